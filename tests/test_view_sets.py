"""Views of any data: what is opened as views, how it is split, and what a file of tables is refused for."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image as Pictures
from safetensors.numpy import save_file

from fusion.data import kind_of, open_data
from fusion.data.splitting import splits
from fusion.types import FusionError

N = 60


def tables(count: int = N) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(37)
    shared = rng.standard_normal((count, 2))
    return {
        "sound": np.concatenate((shared, rng.standard_normal((count, 3))), 1).astype(np.float32),
        "image": np.concatenate((shared, rng.standard_normal((count, 1))), 1),
    }


def stored(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "f.npz", **arrays)
    return f"views:{folder / 'f.npz'}"


def test_pairs_open_as_views_without_their_labels() -> None:
    found = open_data("views:gloss")
    pairs, streams = open_data("gloss"), found.streams
    assert streams is not None
    assert kind_of("views:gloss") == found.kind == "streams"
    assert streams.names == streams.encoded == ("text", "image")
    assert not streams.known.any()
    assert streams.scored
    assert [sample.id for sample in found.samples] == [sample.id for sample in pairs.samples]
    assert [sample.split for sample in found.samples] == [sample.split for sample in pairs.samples]
    assert all(sample.target is None for sample in found.samples)
    assert found.digest not in ("", pairs.digest)
    assert open_data(found.spec).digest == found.digest
    assert {pairs.key, found.key} == {"gloss", "views-gloss"}


def test_entities_open_as_views_in_the_split_of_their_links() -> None:
    found, graphs = open_data("views:emoji"), open_data("emoji")
    assert found.streams is not None
    assert graphs.graph is not None
    assert found.graph is None
    assert set(found.streams.names) == {"image", "name", "description"}
    row = next(row for row in range(len(graphs)) if graphs.graph.split_of(row) == "test")
    assert found.streams.split_of(row) == "test" == found.samples[row].split
    for at, modality in enumerate(found.streams.names):
        there = [modality in sample.parts for sample in graphs.samples]
        assert found.streams.present[:, at].tolist() == there


def test_streams_open_as_views_with_their_features() -> None:
    found, digits = open_data("views:digits"), open_data("digits")
    assert found.streams is not None
    assert digits.streams is not None
    assert found.streams.features.keys() == digits.streams.features.keys()
    assert not found.streams.classes
    assert not found.streams.known.any()
    assert found.streams.tokens == digits.streams.tokens


def test_the_users_pairs_are_split_by_their_pictures(tmp_path: Path) -> None:
    for at in range(30):
        Pictures.new("RGB", (8, 8), (at, 0, 0)).save(tmp_path / f"{at}.png")
    lines = [f"{at % 30}.png,text {at}" for at in range(90)]
    (tmp_path / "own.csv").write_text("image,text\n" + "\n".join(lines) + "\n", encoding="utf-8")
    found = open_data(f"views:{tmp_path / 'own.csv'}")
    assert found.streams is not None
    of: dict[str, set[str]] = {}
    for row, sample in enumerate(found.samples):
        image = sample.image()
        assert image is not None
        of.setdefault(str(image.path), set()).add(found.streams.split_of(row))
    assert {len(one) for one in of.values()} == {1}
    assert set.union(*of.values()) == {"train", "valid", "test"}
    assert "without a split" in " ".join(found.notes)


def test_splits_are_kept_drawn_or_completed() -> None:
    ids = [f"row {at}" for at in range(2000)]
    drawn, told = splits([""] * 2000, ids)
    shares = np.bincount(drawn, minlength=3) / 2000
    assert np.abs(shares - (0.7, 0.1, 0.2)).max() < 0.03
    assert told
    assert (splits([""] * 2500, [*ids, *(f"new {at}" for at in range(500))])[0][:2000] == drawn).all()
    kept, told = splits(["train", "valid", "test", ""], ["a", "b", "c", "d"])
    assert (kept.tolist(), told) == ([0, 1, 2, 3], [])
    half, told = splits(["train", "test"] * 1000, ids)
    assert (half[1::2] == 2).all()
    assert 0.08 < (half[::2] == 1).mean() < 0.17
    assert "no valid samples" in told[0]


def test_tables_of_a_file_are_views_with_what_stands_beside_them(tmp_path: Path) -> None:
    made = tables()
    label = np.array(["cat", "dog", ""] * 20)
    split = np.array(["train"] * 40 + ["val"] * 8 + ["test"] * 12)
    ids = np.array([f"x{at}" for at in range(N)])
    known = np.ones(N)
    known[3] = 0
    made["image"][3] = np.nan
    found = open_data(stored(tmp_path, **made, **{"image.known": known}, label=label, split=split, ids=ids))
    streams = found.streams
    assert streams is not None
    assert streams.names == ("sound", "image")
    assert streams.classes == ("cat", "dog")
    assert streams.target[:3].tolist() == [0, 1, -1]
    assert [len(streams.rows(name)) for name in ("train", "valid", "test")] == [40, 8, 12]
    assert np.array_equal(streams.features["sound"][:, 0], made["sound"])
    assert streams.present[3].tolist() == [True, False]
    assert set(found.samples[3].parts) == {"sound"}
    assert found.samples[0].id == "x0"
    assert (found.samples[0].target, found.samples[2].target) == (0, None)


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    made: dict[str, Any] = {name: table.astype(np.float32) for name, table in tables().items()}
    ids, label = [f"x{at}" for at in range(N)], [float(at) / 7 for at in range(N)]
    np.savez(tmp_path / "f.npz", ids=np.array(ids), label=np.array(label), **made)
    save_file(made, tmp_path / "f.safetensors", metadata={"ids": json.dumps(ids), "label": json.dumps(label)})
    columns = {name: list(table) for name, table in made.items()}
    pd.DataFrame({"id": ids, "label": label, **columns}).to_parquet(tmp_path / "f.parquet")
    sets = [open_data(f"views:{tmp_path / f'f.{ending}'}") for ending in ("npz", "safetensors", "parquet")]
    for one in sets:
        assert one.streams is not None
        assert one.streams.scored
        assert one.streams.scale == (0.0, pytest.approx(59 / 7))
        assert set(one.streams.names) == set(made)
        assert [sample.id for sample in one.samples] == ids
        for name, table in made.items():
            assert np.array_equal(one.streams.features[name][:, 0], table)


def test_a_table_without_labels_has_nothing_to_answer(tmp_path: Path) -> None:
    found = open_data(stored(tmp_path, **tables()))
    assert found.streams is not None
    assert not found.streams.known.any()
    assert found.streams.split.max() <= 2
    assert [sample.id for sample in found.samples[:2]] == ["1", "2"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"image": np.ones((59, 3))}, r"different numbers of rows \(sound 60, image 59\)"),
        ({"image": np.ones((N, 3))}, 'every column of "image" is the same in all rows'),
        ({"image": np.full((N, 3), np.nan)}, r"row 1 .*column 1 is nan, and 60 rows"),
        ({"image": np.ones(N)}, "one table of features, sound, and views are two"),
        ({"image": np.ones((N, 3, 2))}, r"float64 of shape \(60, 3, 2\)"),
        ({"image": np.array([[None, {}]] * N, object)}, "pickled objects, which can run code"),
        ({"A view": np.eye(N)}, '"A view" can\'t name a view'),
        ({"ids": np.array(["a", "a", *map(str, range(58))])}, 'has the id "a" twice'),
        ({"label": np.arange(10)}, "label 10"),
    ],
)
def test_what_a_file_is_refused_for(tmp_path: Path, changed: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(FusionError, match=said):
        open_data(stored(tmp_path, **(tables() | changed)))


def test_columns_that_never_change_and_rows_without_a_view_are_named(tmp_path: Path) -> None:
    made = tables()
    made["sound"][:, 1] = 5
    known = np.ones(N)
    known[7] = 0
    found = open_data(stored(tmp_path, **made, **{"image.known": known, "sound.known": known}))
    assert found.problems == (
        '1 of 5 columns of "sound" never change and are not used: 2',
        "1 rows have no view at all and are left out: 8",
    )


def test_damaged_and_pickled_files_are_refused(tmp_path: Path) -> None:
    for name, content in (("a.npz", b"PK\x03\x04 no"), ("b.npz", pickle.dumps([1])), ("c.safetensors", b"12345678")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FusionError, match=r"can't be read|pickled"):
            open_data(f"views:{tmp_path / name}")
    pd.DataFrame({"a": [[1.0], [1.0, 2.0]], "b": [[1.0], [2.0]]}).to_parquet(tmp_path / "d.parquet")
    with pytest.raises(FusionError, match='row 2 of "a" has 2 numbers where others have 1'):
        open_data(f"views:{tmp_path / 'd.parquet'}")
    with pytest.raises(FusionError, match="There is no data set"):
        open_data(f"views:{tmp_path / 'none.npz'}")
    with pytest.raises(FusionError, match="says the same twice"):
        open_data("views:views:gloss")


def test_one_view_is_none(tmp_path: Path) -> None:
    (tmp_path / "entities").mkdir()
    with pytest.raises(FusionError, match=r"There is no|holds|has no"):
        open_data(f"views:{tmp_path / 'entities'}")
