"""Folders of runs that came from someone else, were damaged, or can't be listed: a sentence each, nothing outside."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusion.files import atomic_file, home
from fusion.triage import known, planting, running
from fusion.triage.known import read_meta, remember, runs
from fusion.triage.running import inspect_set
from fusion.triage.store import Store
from fusion.types import FusionError
from tests.triage_toys import SIZE, Toy, pairs

COUNT = 3 * SIZE


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, not to be changed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FUSION_HOME", str(folder.parent / "home"))
        patched.setattr(running, "Inspector", Toy)
        inspect_set(pairs(COUNT), out=folder)
    return folder


@pytest.fixture
def made(whole: Path, tmp_path: Path) -> Path:
    """A finished run to be damaged, listed."""
    remember(shutil.copytree(whole, tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch, fusion_home: Path) -> None:
    """Runs of made-up pairs, in an empty home."""
    monkeypatch.setattr(running, "Inspector", Toy)
    monkeypatch.setattr(Toy, "log", None)


def told(folder: Path, **facts: Any) -> None:  # Any: what JSON holds
    """Change facts of a run; None takes one away."""
    meta = json.loads((folder / "meta.json").read_text("utf-8")) | facts
    kept = {name: value for name, value in meta.items() if value is not None}
    (folder / "meta.json").write_text(json.dumps(kept), "utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    names = json.loads((folder / "meta.json").read_text("utf-8"))["rows"], "vectors/text.npy", "vectors/image.npy"
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("name", ["shards", "vectors", "lock"])
def test_nothing_is_removed_or_written_through_a_link(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "mine"
    elsewhere.mkdir()
    precious = {"000000.parquet": b"rows", "text.npy": b"numbers", "000001.parquet": b"more"}
    for file, words in precious.items():
        (elsewhere / file).write_bytes(words)
    folder = tmp_path / "run"
    folder.mkdir()
    for target in (elsewhere, elsewhere / "new", elsewhere / "text.npy"):
        (folder / name).symlink_to(target)
        with pytest.raises(FusionError, match=f'"{name}" in "run" is a link'):
            inspect_set(pairs(COUNT), out=folder)
        (folder / name).unlink()
    assert {path.name: path.read_bytes() for path in elsewhere.iterdir()} == precious
    assert inspect_set(pairs(COUNT), out=folder).count == COUNT  # without the link it is a folder as any


def test_a_lock_that_is_no_file_is_a_sentence_and_nobody_waits_for_it(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "lock")
    with pytest.raises(FusionError, match="Nothing can be written"):
        inspect_set(pairs(COUNT), out=tmp_path / "run")


def _short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def _other(path: Path) -> None:
    np.save(path, np.zeros((COUNT, 3), np.float16))


def _linked(path: Path) -> None:
    outside = path.parent.parent.parent / "outside.npy"
    path.rename(outside)
    path.symlink_to(outside)


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"x" * 99), _short,
               _other, _linked],
)  # fmt: skip
def test_vectors_that_were_lost_are_made_again(made: Path, damage: Callable[[Path], object], finished: bool) -> None:
    before = contents(made)
    damage(made / "vectors" / "text.npy")
    if not finished:
        told(made, rows=None)
    said: list[str] = []
    store = inspect_set(pairs(COUNT), out=made, notice=said.append)
    assert "Vectors of the run were lost or damaged" in said[0]
    assert contents(made) == before
    assert store.vectors("text").shape == (COUNT, 16)


def test_rows_that_were_damaged_are_written_again_without_looking(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(made)
    path = made / json.loads((made / "meta.json").read_text("utf-8"))["rows"]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    monkeypatch.setattr(Toy, "log", tmp_path / "log")
    inspect_set(pairs(COUNT), out=made)
    assert contents(made) == before
    assert not (tmp_path / "log").exists()


BAD: list[dict[str, Any]] = [
    {"kind": 7}, {"kind": "graphs"}, {"kind": ["pairs"]}, {"count": "abc"}, {"count": 1e400}, {"count": -1},
    {"count": True}, {"size": "a"}, {"size": 10**30}, {"shards": [3]}, {"vectors": 5}, {"vectors": ["text"]},
    {"vectors": {"text": "x"}}, {"calibration": [1]}, {"calibration": {"apart": {"cosine": "x"}}},
    {"calibration": {"weights": [1]}}, {"calibration": {"bias": float("nan")}}, {"calibration": {"how": 3}},
    {"calibration": {"missing": "match"}}, {"left_out": "x"}, {"left_out": [5]}, {"parts": {"a": 1}}, {"data": 3},
    {"began": ["x"]}, {"name": "a\ud800"}, {"problems": "1"},
]  # fmt: skip


def test_facts_of_another_kind_are_a_sentence_and_end_no_list(made: Path) -> None:
    before = (made / "meta.json").read_text("utf-8")
    inspect_set(pairs(SIZE))
    assert [run.count for run in runs()] == [SIZE, COUNT]
    for facts in BAD:
        told(made, **facts)
        for call in (Store.open, read_meta, lambda folder: inspect_set(pairs(COUNT), out=folder)):
            with pytest.raises(FusionError, match="can't be read"):
                call(made)
        assert [run.count for run in runs()] == [SIZE], facts
        (made / "meta.json").write_text(before, "utf-8")
    told(made, count="abc")
    inspect_set(pairs(SIZE + 1))  # which looks through the others


def test_a_run_of_the_same_content_in_another_shape_is_not_gone_on_with(made: Path) -> None:
    before = (made / "meta.json").read_text("utf-8")
    for facts in ({"size": 7}, {"shards": 2}, {"count": 5}, {"kind": "graph"}, {"size": None}):
        told(made, rows=None, **facts)
        with pytest.raises(FusionError, match="the format changed"):
            inspect_set(pairs(COUNT), out=made)
        (made / "meta.json").write_text(before, "utf-8")


def test_a_finished_run_that_lacks_a_fact_is_told_of_again(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Toy, "log", made / ".log")
    before = {name: value for name, value in Store.open(made).meta.items() if name != "made"}
    content = (
        "version",
        "key",
        "kind",
        "data_digest",
        "checkpoint_digest",
        "size",
        "shards",
        "count",
        "vectors",
        "began",
    )
    for name in before.keys() - set(content):
        told(made, **{name: None})
        after = inspect_set(pairs(COUNT), out=made).meta
        assert {key: value for key, value in after.items() if key != "made"} == before
    assert not (made / ".log").exists()  # no sample is looked at again


def test_vectors_whose_names_are_none_are_not_planted_in(tmp_path: Path) -> None:
    store = inspect_set(pairs(COUNT), out=tmp_path / "run")
    told(store.folder, vectors={**store.meta["vectors"], "../../secret": 4})
    assert planting.seeded(Store.open(store.folder)) == planting.seeded(store)


@pytest.mark.parametrize("words", [b"", b".", b"run", b"\xff\xfe", b"/a\x00b", b"/" + b"x" * 5000])
def test_a_note_that_was_damaged_lists_nothing(tmp_path: Path, words: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    inspect_set(pairs(COUNT), out=tmp_path / "run")
    inspect_set(pairs(SIZE), out=tmp_path / "other")
    note = next(path for path in (home() / "triage" / "known").glob("*.txt") if path.read_text().endswith("run"))
    note.write_bytes(words)
    monkeypatch.chdir(tmp_path / "run")  # an empty note would name the folder that one is in
    assert [run.count for run in runs()] == [SIZE]


def test_a_run_that_cant_be_listed_is_made_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> Any:
        if path.suffix == ".txt":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return atomic_file(path)

    monkeypatch.setattr(known, "atomic_file", full)
    said: list[str] = []
    assert inspect_set(pairs(COUNT), out=tmp_path / "run", notice=said.append).count == COUNT
    assert said == [
        "The list of runs can't be written (no space left on device), so this one is found by its folder alone."
    ]
    assert not list((home() / "triage" / "known").glob("*"))  # nothing half written either


def test_a_folder_whose_name_is_no_text_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="not written in UTF-8"):
        inspect_set(pairs(COUNT), out=os.fsdecode(os.fsencode(tmp_path) + b"/x\xff"))
    assert list(tmp_path.glob("x*")) == []
