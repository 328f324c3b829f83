"""Features of entities: what each table holds, what is drawn where one is missing, and which files are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pictures

from fusion.__main__ import main
from fusion.data import DataSet, open_data
from fusion.data.feature_files import Table, made_for, read, write
from fusion.data.graph_features import GraphFeatures, graph_features, graph_tables
from fusion.data.graphs import GraphSet
from fusion.encoders import image_encoder, text_encoder
from fusion.encoders.cache import FeatureCache
from fusion.types import FusionError, Image, Sample, Text

IDS = tuple("abcdef")


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    """Six entities in two graphs: two with a picture, one without a name, one that no triple touches."""
    for name, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        Pictures.new("RGB", (32, 32), colour).save(tmp_path / f"{name}.png")
    names = ("red heart", "sea", "", "rotes Herz", "Meer", "sea")
    samples = [Sample(id, {"name": Text(name)} if name else {}) for id, name in zip(IDS, names, strict=True)]
    for at, name in ((0, "red"), (3, "blue")):
        samples[at] = Sample(samples[at].id, {**samples[at].parts, "image": Image(path=tmp_path / f"{name}.png")})
    graph = GraphSet(
        ("one", "two"), np.array([0, 0, 0, 1, 1, 1], dtype=np.uint8),
        np.array([[0, 1, 1], [1, 1, 1], [1, 0, 0], [3, 1, 4]], dtype=np.int32), ("is", "likes"),
        np.array([[0, 3], [1, 4]], dtype=np.int32), np.array([0, 2], dtype=np.uint8), ("height", "age"),
        np.array([[0, 1, 1], [3, 1, 2], [4, 0, 1]], dtype=np.int32), ("thing",) * 6,
    )  # fmt: skip
    return DataSet("tiny", "Tiny", tuple(samples), digest="0" * 64, graph=graph)


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")


def made(data: DataSet, cache: FeatureCache, *names: str, **more: object) -> GraphFeatures:
    return graph_features(data, names or None, cache=cache, **more)  # type: ignore[arg-type]


def test_every_modality_that_is_there_has_a_table(data: DataSet, cache: FeatureCache) -> None:
    found = made(data, cache)
    assert found.modalities == ("image", "attribute", "relation", "name")
    assert found.widths == {"image": 1280, "attribute": 2, "relation": 2, "name": 512}
    assert found.present().tolist() == [
        [True, True, True, True], [False, False, True, True], [False, False, False, False],
        [True, True, True, True], [False, True, True, True], [False, False, False, True],
    ]  # fmt: skip
    assert found.coverage()["image"] == pytest.approx(1 / 3)
    assert all(torch.isfinite(table).all() for table in found.features.values())
    for name in ("image", "name"):
        torch.testing.assert_close(found.features[name].norm(dim=1), torch.ones(6))


def test_counts_are_of_both_ends_the_most_frequent_first(data: DataSet, cache: FeatureCache) -> None:
    found = made(data, cache, "relation", "attribute")
    assert found.columns == {"relation": ("likes", "is"), "attribute": ("age", "height")}
    assert found.features["relation"].tolist() == [
        [1, 1],
        [3, 1],
        [0, 0],
        [1, 0],
        [1, 0],
        [0, 0],
    ]  # a loop counts twice
    assert found.features["attribute"].tolist() == [[1, 0], [0, 0], [0, 0], [2, 0], [0, 1], [0, 0]]


def test_letters_are_pairs_within_words(data: DataSet, cache: FeatureCache) -> None:
    found = made(data, cache, "char")
    assert set(found.columns["char"]) == set(
        ["re", "ed", "he", "ea", "ar", "rt", "se", "ro", "ot", "te", "es", "er", "rz", "me", "ee"]
    )
    ea = found.columns["char"].index("ea")
    assert (found.features["char"][:, ea] > 0).tolist() == [True, True, False, False, False, True]
    torch.testing.assert_close(found.features["char"][1], found.features["char"][5])
    assert found.known["char"].tolist() == [True, True, False, True, True, True]


def test_real_rows_are_the_encoders_own_and_missing_ones_are_drawn_by_the_seed(
    data: DataSet, cache: FeatureCache
) -> None:
    first, again, other = (made(data, cache, seed=seed) for seed in (1, 1, 2))
    picture = image_encoder("efficientnet-lite0").encode([data.samples[0].image().open()]).pooled[0].cpu()
    torch.testing.assert_close(first.features["image"][0], picture / picture.norm(), atol=1e-5, rtol=0)
    name = text_encoder("use").encode(["red heart"]).pooled[0].cpu()
    torch.testing.assert_close(first.features["name"][0], name, atol=1e-3, rtol=0)
    for modality in ("image", "name"):
        known = first.known[modality]
        assert torch.equal(first.features[modality], again.features[modality])
        assert torch.equal(first.features[modality][known], other.features[modality][known])
        assert not torch.equal(first.features[modality][~known], other.features[modality][~known])


def test_drawn_rows_have_the_mean_and_spread_of_the_known_ones() -> None:
    from fusion.data.graph_features import _drawn

    known = torch.arange(4000) < 2000
    values = torch.where(known[:, None], torch.randn(4000, 3) * torch.tensor([0.1, 1.0, 5.0]) + 7, 0.0)
    made = _drawn(values, known, torch.Generator().manual_seed(0))
    torch.testing.assert_close(made[~known].mean(0), made[known].mean(0), atol=0.4, rtol=0)
    torch.testing.assert_close(made[~known].std(0), made[known].std(0), atol=0, rtol=0.1)
    assert torch.equal(made[known], values[known])


def test_what_was_encoded_is_not_encoded_again(
    data: DataSet, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(data, cache)
    encoder = text_encoder("use")
    monkeypatch.setattr(type(encoder), "encode", lambda *a, **k: pytest.fail("encoded again"))
    monkeypatch.setattr(type(image_encoder("efficientnet-lite0")), "encode_pixels", lambda *a: pytest.fail("again"))
    second = made(data, FeatureCache(cache.folder))
    assert all(torch.equal(first.features[name], second.features[name]) for name in first.modalities)
    next((cache.folder / "texts").iterdir()).write_bytes(b"damaged")
    with pytest.raises(pytest.fail.Exception, match="encoded again"):
        made(data, cache)


def test_a_row_can_be_replaced(data: DataSet, cache: FeatureCache) -> None:
    found = made(data, cache, "image", "relation")
    changed = found.replaced("image", 1, torch.arange(1280.0))
    assert changed.known["image"].tolist() == [True, True, False, True, False, False]
    torch.testing.assert_close(changed.features["image"][1].norm(), torch.tensor(1.0))
    assert torch.equal(changed.features["image"][2:], found.features["image"][2:])
    assert not found.known["image"][1]


def test_what_can_not_be_computed_is_said(data: DataSet, cache: FeatureCache) -> None:
    for names, said in (
        (("description",), 'No entity of "Tiny" has the modality description'),
        (("smell",), 'There is no modality "smell"'),
    ):
        with pytest.raises(FusionError, match=said):
            made(data, cache, *names)
    with pytest.raises(FusionError, match="name an image encoder"):
        made(data, cache, "image", encoders={"image": "use"})
    with pytest.raises(FusionError, match="name a text encoder"):
        made(data, cache, "name", encoders={"name": "efficientnet-lite0"})
    with pytest.raises(FusionError, match='2 features a row in "relation", and the checkpoint reads 1000'):
        made(data, cache, "relation", widths={"relation": 1000})
    with pytest.raises(FusionError, match="holds no graphs"):
        made(open_data("gallery"), cache)


def test_models_of_other_widths_and_encoders_by_name(data: DataSet, cache: FeatureCache) -> None:
    found = made(data, cache, "name", encoders={"name": "minilm"}, widths={"name": 384})
    assert found.widths == {"name": 384}
    assert found.sources == {"name": "minilm"}


# --- files -----------------------------------------------------------------------------------------------------------


def tables() -> dict[str, Table]:
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    return {"image": Table(values, np.array([1, 1, 0, 1, 1, 1], dtype=bool), "vgg16")}


@pytest.mark.parametrize("name", ["f.safetensors", "f.npz"])
def test_a_file_keeps_what_it_was_given(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, IDS, tables(), "d" * 64)
    found = read(tmp_path / name, IDS)["image"]
    assert found.known.tolist() == [True, True, False, True, True, True]
    assert found.values.tolist() == [[0, 1], [2, 3], [0, 0], [6, 7], [8, 9], [10, 11]]
    assert found.source == "vgg16"
    assert made_for(tmp_path / name) == "d" * 64


def test_a_file_stands_before_what_would_be_computed(data: DataSet, cache: FeatureCache, tmp_path: Path) -> None:
    write(tmp_path / "f.safetensors", IDS, tables() | {"sound": Table(np.eye(6, dtype=np.float32), np.ones(6, bool))})
    found = made(data, cache, files=[tmp_path / "f.safetensors"])
    assert found.modalities == ("image", "attribute", "relation", "name", "sound")
    assert found.widths["image"] == 2
    assert found.sources["image"] == "vgg16"
    torch.testing.assert_close(found.features["image"][3], torch.tensor([6.0, 7.0]) / 85**0.5)
    torch.testing.assert_close(found.features["sound"], torch.eye(6))


FAULTS = {
    "missing": (dict(ids=IDS[:4]), 'lacks 2 of the 6 entities, the first "e"'),
    "other": (dict(ids=(*IDS, "x")), 'has 1 rows of other entities, the first "x"'),
    "order": (dict(ids=("b", "a", *IDS[2:])), 'row 1 is "b" where the data set has "a"'),
    "twice": (dict(ids=("a", "a", *IDS[2:])), 'row 2: the entity "a" stands there twice'),
    "rows": (dict(image=np.zeros((5, 2), np.float32)), '"image" has 5 rows for 6 entities'),
    "shape": (dict(image=np.zeros(6, np.float32)), r'"image" is float32 of shape \(6,\)'),
    "none": (dict(known=np.zeros(6, bool)), "is known of no entity at all"),
    "flags": (dict(known=np.ones(5, bool)), r"image.known has shape \(5,\)"),
    "width": (dict(image=np.zeros((6, 3), np.float32)), 'has 3 features a row in "image", and 2 are read'),
    "nan": (dict(bad=np.nan), r'"image", row 2 \(entity "b"\), column 2 is nan, and 1 rows'),
    "infinite": (dict(bad=np.inf), r'row 2 \(entity "b"\), column 2 is inf'),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("name", FAULTS)
def test_a_file_that_does_not_fit_is_named(tmp_path: Path, name: str, suffix: str) -> None:
    change, said = FAULTS[name]
    table = tables()["image"]
    values = change.get("image", table.values.copy())
    if "bad" in change:
        values[1, 1] = change["bad"]
        values[2, 0] = change["bad"]  # not known: may hold anything
    path = tmp_path / f"f{suffix}"
    write(path, change.get("ids", IDS), {"image": Table(values, change.get("known", table.known))})
    with pytest.raises(FusionError, match=said) as error:
        read(path, IDS, {"image": 2})
    assert path.name in str(error.value)


def test_a_damaged_or_absent_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    with pytest.raises(FusionError, match="There is no file"):
        read(path, IDS)
    write(path, IDS, tables())
    whole = path.read_bytes()
    path.write_bytes(whole[:-4] + b"\x00\x00\x00\x41")
    with pytest.raises(FusionError, match="another checksum"):
        read(path, IDS)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FusionError, match="can't be read as features"):
        read(path, IDS)
    np.savez(tmp_path / "g.npz", image=np.zeros((6, 2)))
    with pytest.raises(FusionError, match="has no ids"):
        read(tmp_path / "g.npz", IDS)
    np.savez(tmp_path / "p.npz", ids=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FusionError, match="can't be read as features"):
        read(tmp_path / "p.npz", IDS)  # nothing pickled is loaded
    with pytest.raises(FusionError, match=r"neither \.safetensors nor \.npz"):
        write(tmp_path / "f.csv", IDS, tables())


def test_the_command_writes_what_the_library_computes(
    tmp_path: Path, fusion_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "zh_en"
    folder.mkdir()
    for graph, first in ((1, 0), (2, 100)):
        (folder / f"ent_ids_{graph}").write_text("".join(f"{first + at}\thttp://x/resource/n{at}\n" for at in range(8)))
        (folder / f"triples_{graph}").write_text("".join(f"{first + at}\t1\t{first + at + 1}\n" for at in range(7)))
    (folder / "ill_ent_ids").write_text("".join(f"{at}\t{100 + at}\n" for at in range(8)))
    out = tmp_path / "f.safetensors"
    assert (
        main(["data", "features", f"dbp15k:{folder}", "--out", str(out), "--modality", "relation,name", "--json"]) == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert said["modalities"]["name"] == {"width": 512, "known": 16, "source": "use"}
    data = open_data(f"dbp15k:{folder}")
    stored = read(out, [sample.id for sample in data.samples])
    direct = graph_tables(data, ["relation", "name"])
    for name, table in direct.items():
        np.testing.assert_array_equal(stored[name].values, table.values)
    assert made_for(out) == data.digest
    assert main(["data", "features", f"dbp15k:{folder}"]) == 2
    assert main(["data", f"dbp15k:{folder}", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert (row["kind"], row["entities"], row["links"]) == ("graph", [8, 8], 8)
