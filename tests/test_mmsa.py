"""Feature files in the MMSA schema: nothing in them runs, what is wrong is named by row, and the copy is exact."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusion.__main__ import main
from fusion.data import kind_of, mmsa_import, open_data, unpickling
from fusion.data.mmsa_import import import_file
from fusion.types import FusionError, Numbers

SIZES = {"train": 7, "valid": 3, "test": 4}
WIDTHS = {"text": 6, "audio": 5, "vision": 3}
STEPS = {"text": 8, "audio": 12, "vision": 9}


def made(seed: int = 0, *, left: bool = False, lengths: bool = True) -> dict[str, dict[str, Any]]:
    """A feature file as the MMSA programs lay it out, unaligned unless lengths are left out."""
    rng = np.random.default_rng(seed)
    file = {}
    for split, N in SIZES.items():
        part: dict[str, Any] = {
            "raw_text": [f"{split} sentence {at}" for at in range(N)],
            "id": [f"{split}{at // 2}$_${at}" for at in range(N)],
            "regression_labels": rng.uniform(-3, 3, N).astype(np.float32),
            "classification_labels": rng.integers(0, 3, N).astype(np.float32),
        }
        names = ("Negative", "Neutral", "Positive")
        part["annotations"] = [names[int(value)] for value in part["classification_labels"]]
        for name, D in WIDTHS.items():
            T = STEPS[name] if lengths else 8
            table, count = np.zeros((N, T, D), np.float32), rng.integers(1, T, N)
            for at, n in enumerate(count):
                where = slice(T - n, T) if left and name != "text" else slice(0, n)
                table[at, where] = rng.standard_normal((n, D))
            part[name] = table
            if lengths and name != "text":
                part[f"{name}_lengths"] = count.tolist()
            if name == "text":
                mask = (np.arange(T)[None] < count[:, None]).astype(np.float32)
                part["text_bert"] = np.stack([mask * 7, mask, 0 * mask], axis=1)
        file[split] = part
    return file


def written(path: Path, file: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(file, protocol=protocol))
    return path


def imported(tmp_path: Path, file: object, **options: Any) -> tuple[dict[str, Any], Any]:
    said = import_file(written(tmp_path / "file.pkl", file), tmp_path / "copy", **options)
    return said, open_data(f"mmsa:{tmp_path / 'copy'}")


def refused(tmp_path: Path, file: object, says: str) -> None:
    with pytest.raises(FusionError, match=says):
        import_file(written(tmp_path / "file.pkl", file), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("protocol", range(6))
def test_the_copy_holds_what_the_file_holds(tmp_path: Path, protocol: int) -> None:
    file = made()
    said = import_file(written(tmp_path / "file.pkl", file, protocol), tmp_path / "copy")
    data = open_data(f"mmsa:{tmp_path / 'copy'}")
    streams = data.streams
    assert kind_of("mmsa:x") == data.kind == "streams"
    assert streams.names == ("text", "audio", "vision")
    assert said["splits"] == {name: sum(s.split == name for s in data.samples) for name in SIZES} == SIZES
    assert said["problems"] == []
    assert "Unknown file" in said["notes"][0]
    whole = {name: np.concatenate([part[name] for part in file.values()]) for name in WIDTHS}
    for name, table in whole.items():
        stored = streams.features[name]
        assert isinstance(stored, np.memmap)
        assert np.array_equal(stored, table[:, : stored.shape[1]])
        real = np.arange(stored.shape[1])[None] < streams.length[name][:, None]
        assert (np.asarray(stored)[~real] == 0).all()
    given = np.concatenate([part["audio_lengths"] for part in file.values()])
    assert streams.length["audio"].tolist() == given.tolist()
    assert np.allclose(streams.target, np.concatenate([part["regression_labels"] for part in file.values()]))
    first = data.samples[0]
    assert first.text() == "train sentence 0"
    assert isinstance(first.parts["vision"], Numbers)
    assert first.parts["vision"].values.shape == (streams.length["vision"][0], 3)
    assert first.target == pytest.approx(float(file["train"]["regression_labels"][0]))
    assert streams.groups[1] == "train0"
    assert streams.scale == (-3, 3)


def test_left_padding_is_moved_to_the_front_and_said(tmp_path: Path) -> None:
    (tmp_path / "right").mkdir()
    right = imported(tmp_path / "right", made(seed=4))[1].streams
    said, data = imported(tmp_path, made(seed=4, left=True))
    for name in WIDTHS:
        assert np.array_equal(data.streams.features[name], right.features[name])
        assert np.array_equal(data.streams.length[name], right.length[name])
    assert [name for name in WIDTHS if any(f"{name} was padded on the left" in note for note in said["notes"])] == [
        "audio", "vision",
    ]  # fmt: skip


def test_modalities_of_an_aligned_file_stay_aligned(tmp_path: Path) -> None:
    file = made(lengths=False)
    for part in file.values():
        for name in WIDTHS:
            part[name][:] = 0
            part[name][:, 3:] = np.arange(1, 6)[None, :, None]
        part["audio"][:, 3] = 0  # silence under the first word
        part.pop("text_bert")
    said, data = imported(tmp_path, file)
    for name in WIDTHS:
        assert (data.streams.length[name] == 5).all()
        assert (np.asarray(data.streams.features[name])[:, 1, 0] == 2).all()
    assert (np.asarray(data.streams.features["audio"])[:, 0] == 0).all()
    assert any("gives no lengths of audio" in note for note in said["notes"])


def test_numbers_that_are_none_are_zero_and_their_row_is_named(tmp_path: Path) -> None:
    file = made()
    file["valid"]["audio"][1, 0, :2] = np.nan
    file["test"]["vision"][2, 0, 1] = np.inf
    file["test"]["vision"] = file["test"]["vision"].astype(np.float64)
    file["test"]["vision"][2, 0, 2] = 1e300  # infinite in 32 bits
    said, data = imported(tmp_path, file)
    assert said["problems"] == [
        'valid row 1 ("valid0$_$1"): audio holds 2 NaN and 0 infinite numbers, set to 0.',
        'test row 2 ("test1$_$2"): vision holds 0 NaN and 2 infinite numbers, set to 0.',
    ]
    assert all(np.isfinite(table).all() for table in data.streams.features.values())
    assert any("audio holds 2 numbers that are NaN or infinite, in 1 samples" in note for note in said["notes"])


def test_many_bad_rows_are_counted_not_listed(tmp_path: Path) -> None:
    file = made()
    for part in file.values():
        part["audio"][:, 0, 0] = np.nan
    mine, mmsa_import.SAID = mmsa_import.SAID, 3
    try:
        said, _ = imported(tmp_path, file)
    finally:
        mmsa_import.SAID = mine
    assert len(said["problems"]) == 4
    assert "11 more rows" in said["problems"][-1]


def test_lengths_beyond_the_array_are_cut_and_said(tmp_path: Path) -> None:
    file = made()
    file["train"]["audio_lengths"][2] = 900
    file["train"]["vision_lengths"][3] = -4
    said, data = imported(tmp_path, file)
    assert 'train row 2 ("train1$_$2"): audio is said to have 900 steps and has 12; 12 are read.' in said["problems"]
    assert any('train row 3 ("train1$_$3"): vision is said to have -4 steps' in one for one in said["problems"])
    assert data.streams.length["audio"][2] == 12


def test_labels_outside_the_scale_leave_their_row_out(tmp_path: Path) -> None:
    file = made()
    file["train"]["regression_labels"][5] = 4.5
    file["test"]["regression_labels"][0] = np.nan
    said, data = imported(tmp_path, file)
    assert said["problems"] == [
        'test row 0 ("test0$_$0"): its label is nan; it was left out.',
        'train row 5 ("train2$_$5"): its label 4.5 lies outside -3 to 3; it was left out.',
    ]
    assert len(data) == 12
    assert "train2$_$5" not in data.index
    file["train"]["regression_labels"][5] = 0.5
    for part in file.values():
        part["regression_labels"] /= 3
    file["test"]["regression_labels"][0] = 0
    assert imported(tmp_path, file)[1].streams.scale == (-1, 1)
    assert imported(tmp_path, file, scale=(-2.0, 2.0))[1].streams.scale == (-2, 2)


def test_classes_can_be_read_in_the_place_of_scores(tmp_path: Path) -> None:
    file = made(seed=2)
    said, data = imported(tmp_path, file, classes=True)
    assert data.streams.classes == ("Negative", "Neutral", "Positive")
    given = np.concatenate([part["classification_labels"] for part in file.values()])
    assert data.streams.target.dtype == np.int64
    assert data.streams.target.tolist() == given.tolist()
    assert said["words"] == []


def test_a_sample_with_nothing_is_left_out_and_one_with_something_stays(tmp_path: Path) -> None:
    file = made()
    for name in WIDTHS:
        file["train"][name][0] = 0
    file["train"]["audio"][1] = 0
    said, data = imported(tmp_path, file)
    assert 'train row 0 ("train0$_$0"): it has no modality at all; it was left out.' in said["problems"]
    assert data.samples[0].id == "train0$_$1"
    assert data.streams.present[0].tolist() == [True, False, True]
    assert "audio" not in data.samples[0].parts
    assert any("1 samples have no audio" in note for note in said["notes"])


def test_a_file_without_features_of_its_text_leaves_them_to_an_encoder(tmp_path: Path) -> None:
    file = made()
    for part in file.values():
        del part["text"]
    data = imported(tmp_path, file)[1]
    assert data.streams.encoded == ("text",)
    assert data.streams.present.all()


def test_shared_videos_and_repeated_ids_are_said(tmp_path: Path) -> None:
    file = made()
    file["test"]["id"][0] = "train0$_$77"
    file["valid"]["id"][1] = "valid0$_$0"
    said, data = imported(tmp_path, file)
    assert any('"train0" in test and train: a model can know the speaker' in note for note in said["notes"])
    assert any("the same id" in one for one in said["problems"])
    assert len(data) == 13


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda f: f["test"].update(audio=np.ones((4, 50, 5)), audio_lengths=[3] * 4),
            "audio has 12 steps in .train. and 50 in .test.: aligned and unaligned",
        ),
        (lambda f: f["test"].pop("audio_lengths"), "only one of .train. and .test. has audio lengths: aligned"),
        (lambda f: f["test"].update(audio=np.ones((4, 12, 74))), "audio has 5 features a step in .train. and 74"),
        (lambda f: f["valid"].update(vision=np.ones((3, 9))), "vision of .valid. is of shape .3, 9."),
        (lambda f: f["valid"].update(vision=np.ones((2, 9, 3))), "has 3 rows and vision 2"),
        (lambda f: f["train"].update(regression_labels=np.ones(6)), "rows and regression_labels 6"),
        (lambda f: f["train"].pop("audio"), "audio in .valid. and none in .train."),
        (
            lambda f: [p.pop(key) for p in f.values() for key in ("regression_labels", "classification_labels")],
            "neither regression_labels",
        ),
        (lambda f: [p["regression_labels"].fill(9) for p in f.values()], "leaves no sample: train row 0"),
        (lambda f: f.clear(), "no parts .train., .valid. and .test."),
    ],
)  # fmt: skip
def test_a_file_that_contradicts_itself_is_refused(tmp_path: Path, change: Any, says: str) -> None:
    file = made()
    change(file)
    refused(tmp_path, file, f'"file.pkl".*{says}')


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch hostile-was-run",)


DEEP = b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s."  # a key whose hash would overflow the C stack
HOSTILE = {
    "a call": (pickle.dumps({"train": Hostile()}), r"asks for (posix|nt)\.system"),
    "a call in text": (b"cos\nsystem\n(S'touch hostile-was-run'\ntR.", r"asks for os\.system"),
    "a getter": (pickle.dumps({"train": getattr}), "asks for builtins.getattr"),
    "numpy's own loader": (b"\x80\x02cnumpy\nload\n.", "asks for numpy.load"),
    "a set": (pickle.dumps({"train": {1, 2}}), "holds sets"),
    "a deep key": (DEEP, "keys are no strings"),
    "a claimed length": (b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"abc.", "damaged or cut"),
    "a far memo": (b"\x80\x04}r\xff\xff\xff\xff.", "no parts"),
    "an old class": (b"(ios\nsystem\n.", "holds objects of classes"),
    "a persistent id": (b"Pabc\n.", "holds persistent ids"),
    "nothing": (b"", "damaged or cut"),
    "a text": (b"text,label\na,1\n", "damaged or cut|no plain pickle"),
    "a cut file": (pickle.dumps(made())[:-900], "damaged or cut"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_damaged_pickle_is_refused_in_one_sentence(tmp_path: Path, name: str, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    data, says = HOSTILE[name]
    (tmp_path / "file.pkl").write_bytes(data)
    with pytest.raises(FusionError, match=says) as error:
        import_file(tmp_path / "file.pkl", tmp_path / "copy")
    assert str(error.value).startswith('"file.pkl"')
    assert len(str(error.value)) < 400
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file.pkl"]


def test_arrays_with_more_or_fewer_numbers_than_they_say_are_refused(tmp_path: Path) -> None:
    data = pickle.dumps({"train": {"audio": np.ones((2, 3), np.float32)}}, protocol=2)
    assert b"K\x02K\x03" in data
    (tmp_path / "file.pkl").write_bytes(data.replace(b"K\x02K\x03", b"K\x02K\x63"))
    with pytest.raises(FusionError, match="more or fewer numbers than its shape"):
        unpickling.load(tmp_path / "file.pkl")


def test_every_kind_of_array_is_read_as_numpy_would(tmp_path: Path) -> None:
    values = {
        "half": np.arange(6, dtype=np.float16).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(4, dtype=">f4"), "words": np.array(["one", "zwei"]), "objects": np.array(["a", None], object),
        "bytes": np.array([b"x", b"yz"]), "true": np.array([True, False]), "none": np.zeros((0, 4)),
    }  # fmt: skip
    for protocol in range(6):
        path = written(tmp_path / "file.pkl", {"train": values | {"number": np.float64(2.5)}}, protocol)
        found = unpickling.load(path)
        assert found["train"].pop("number") == 2.5
        for name, value in values.items():
            assert found["train"][name].dtype == value.dtype
            assert np.array_equal(found["train"][name], value)


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    # As Python 2 writes numpy.ones((2, 3), "f4") with protocol 2: its bytes are a str, with a module of the time.
    data = (
        b"\x80\x02}U\x05train}U\x05audiocnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x18" + np.ones(6, "<f4").tobytes() + b"tbss."
    )
    (tmp_path / "file.pkl").write_bytes(data)
    assert np.array_equal(unpickling.load(tmp_path / "file.pkl")["train"]["audio"], np.ones((2, 3), np.float32))


def test_the_command_imports_and_says_what_it_found(tmp_path: Path, capsys: Any) -> None:
    path = written(tmp_path / "file.pkl", made())
    assert main(["data", "import", "mmsa", str(path), "--out", str(tmp_path / "copy"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["samples"] == 14
    assert main(["data", said["spec"], "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row["kind"] == "streams"
    assert row["modalities"]["audio"]["width"] == 5
    assert main(["data", "import", "mmsa", str(path), "--out", str(tmp_path / "copy"), "--scale", "3"]) == 2
    assert "such as --scale=-3,3" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert main(["data", "import", "mmsa", str(path), "--out", str(tmp_path / "mine")]) == 2
    assert (tmp_path / "mine" / "letter.txt").exists()


def test_a_copy_that_was_changed_is_no_data_set(tmp_path: Path) -> None:
    imported(tmp_path, made())
    copy = tmp_path / "copy"
    (copy / "audio.npy").write_bytes((copy / "audio.npy").read_bytes()[:200])
    with pytest.raises(FusionError, match='The copy in "copy" is damaged'):
        open_data(f"mmsa:{copy}")
    with pytest.raises(FusionError, match="holds no copy of a feature file"):
        open_data(f"mmsa:{tmp_path}")
