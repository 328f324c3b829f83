"""Neighbours by lists: the same as by the scan of all rows, and where anything is wrong with them the scan itself."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusion.files import home
from fusion.triage import between, index, partners, running
from fusion.triage.index import Index, build, opened
from fusion.triage.partners import better, near_duplicates, nearest
from fusion.triage.store import Store
from tests import triage_toys as toys
from tests.test_layout import ROOT, pins

COUNT, WIDTH, GROUPS = 3000, 24, 60
pytestmark = pytest.mark.skipif(not index.possible(), reason="FAISS isn't used beside torch on macOS")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Few rows are many, and a search reads an eighth of the lists."""
    monkeypatch.setenv("FUSION_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(index, "EXACT_ROWS", 300)
    monkeypatch.setattr(index, "READ", COUNT * WIDTH // 8)
    monkeypatch.setattr(index, "PROBED", 1)
    partners._finder.cache_clear()
    yield
    partners._finder.cache_clear()


def _rows() -> np.ndarray:
    """Groups that lie apart, 50 rows each in any order; row 17 is zeros."""
    random = np.random.default_rng(0)
    middles = random.standard_normal((GROUPS, WIDTH))
    rows = np.repeat(middles, COUNT // GROUPS, axis=0) + 0.15 * random.standard_normal((COUNT, WIDTH))
    rows = random.permutation(rows).astype(np.float16)
    rows[17] = 0
    return rows


def _index(rows: np.ndarray) -> Index:
    marks = between.hashed(rows)[0]
    assert build(rows, marks)
    found = opened(rows, marks)
    assert found is not None
    return found


def _same(found: tuple[np.ndarray, np.ndarray] | None, meant: tuple[np.ndarray, np.ndarray]) -> None:
    assert found is not None
    assert found[0].tolist() == meant[0].tolist()
    np.testing.assert_allclose(found[1], meant[1], rtol=0, atol=1e-6)


def test_the_lists_give_what_the_scan_gives() -> None:
    """The nearest rows lie in few lists; their cosines are of the run's own vectors, not of what the lists hold."""
    rows = _rows()
    lists = _index(rows)
    for row in (0, 5, 1234, 2999):
        query = rows[row].astype(np.float32) + 0.1
        for k in (1, 5, 20):
            _same(lists.nearest(query, k), nearest(rows, query, k))


def test_a_search_reads_a_part_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """An eighth of the lists can't hold the 2,000 nearest of 3,000; all of them do."""
    rows = _rows()
    lists = _index(rows)
    query = rows[5].astype(np.float32)
    assert lists.nearest(query, 2000) is None
    monkeypatch.setattr(index, "MOST", 10**5)
    monkeypatch.setattr(index, "READ", COUNT * WIDTH)
    _same(lists.nearest(query, 2000), nearest(rows, query, 2000))


def test_only_rows_that_may_be_found_are() -> None:
    rows = _rows()
    lists = _index(rows)
    query = rows[8].astype(np.float32)
    among = np.random.default_rng(1).random(COUNT) < 0.5
    among[nearest(rows, query, 3)[0]] = False
    found = lists.nearest(query, 5, among)
    _same(found, nearest(rows, query, 5, among))
    assert found is not None
    assert among[found[0]].all()
    few = np.zeros(COUNT, bool)
    few[[3, 17]] = True
    assert lists.nearest(query, 2, few) is None  # one of them is zeros


def test_a_row_of_zeros_is_never_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _rows()
    monkeypatch.setattr(index, "READ", COUNT * WIDTH)
    monkeypatch.setattr(index, "MOST", 10**5)
    lists = _index(rows)
    found = lists.nearest(rows[5].astype(np.float32), COUNT - 1)
    assert found is not None
    assert sorted(found[0].tolist()) == [row for row in range(COUNT) if row != 17]
    assert lists.nearest(rows[5].astype(np.float32), COUNT) is None


def test_equal_rows_come_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are: more are fetched, and past MOST the scan says."""
    rows = _rows()
    rows[1000:1400] = rows[1000]
    lists = _index(rows)
    found = lists.nearest(rows[1000].astype(np.float32), 5)
    assert found is not None
    assert found[0].tolist() == [1000, 1001, 1002, 1003, 1004]
    assert len(set(found[1].tolist())) == 1
    monkeypatch.setattr(index, "MOST", 300)
    assert lists.nearest(rows[1000].astype(np.float32), 5) is None


@pytest.mark.parametrize("different", [1, 3, 200])
def test_a_few_different_rows_a_thousand_times(different: int) -> None:
    rows = np.random.default_rng(0).standard_normal((different, WIDTH)).astype(np.float16)[np.arange(600) % different]
    lists = _index(rows)
    query = rows[0].astype(np.float32)
    _same(lists.nearest(query, 3), (np.arange(3) * different, np.ones(3)))


def test_nothing_is_built_of_nothing() -> None:
    rows = np.zeros((400, WIDTH), np.float16)
    assert not build(rows, between.hashed(rows)[0])
    assert not list(index._indexes().iterdir())


def _cut(folder: Path) -> None:
    (folder / "lists").write_bytes((folder / "lists").read_bytes()[:-1])


def _without(folder: Path) -> None:
    (folder / "lists").unlink()


def _sizes(change: Any) -> Any:
    def changed(folder: Path) -> None:
        np.save(folder / "sizes.npy", change(np.load(folder / "sizes.npy")))

    return changed


def _middles(change: Any) -> Any:
    def changed(folder: Path) -> None:
        np.save(folder / "middles.npy", change(np.load(folder / "middles.npy")))

    return changed


def _pickled(folder: Path) -> None:
    np.save(folder / "sizes.npy", np.array([{"a": 1}], object), allow_pickle=True)


def _holds(content: bytes) -> Any:
    return lambda folder: (folder / "middles.npy").write_bytes(content)


DAMAGED = {
    "lists cut": _cut,
    "no lists": _without,
    "one list less": _sizes(lambda sizes: sizes[:-1]),
    "a list below zero": _sizes(lambda sizes: sizes + np.eye(1, len(sizes), dtype=int)[0] * -5000),
    "more rows than there are": _sizes(lambda sizes: sizes * 2),
    "sizes that wrap around": _sizes(lambda sizes: np.append(sizes[:-2], [2**62, 2**62])),
    "sizes in a table": _sizes(lambda sizes: sizes[:, None]),
    "no sizes": _sizes(lambda sizes: sizes[:0]),
    "sizes that are no numbers": _pickled,
    "sizes not whole": _sizes(lambda sizes: sizes + np.nan),
    "sizes without end": _sizes(lambda sizes: sizes + np.inf),
    "sizes of text": _sizes(lambda sizes: sizes.astype(str)),
    "narrow middles": _middles(lambda middles: middles[:, 1:]),
    "middles of another kind": _middles(lambda middles: middles.astype(np.float64)),
    "middles that are no numbers": _middles(lambda middles: middles * np.nan),
    "middles of text": _holds(b"no array"),
    "empty middles": _holds(b""),
    "middles in a zip": _holds(b"PK\x05\x06" + bytes(18)),
    "middles of a size that no memory has": _holds(
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '<f4', 'fortran_order': False, 'shape': (999999999999, 24), }".ljust(118)
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_built_anew(name: str) -> None:
    rows = _rows()
    marks = between.hashed(rows)[0]
    _index(rows)
    DAMAGED[name](next(index._indexes().iterdir()))
    assert opened(rows, marks) is None
    query = rows[5].astype(np.float32)
    _same(_index(rows).nearest(query, 5), nearest(rows, query, 5))


def test_lists_of_nonsense_find_nothing_that_isnt_there() -> None:
    """Their numbers aren't checked when they are opened, a gigabyte of them, but each that is found is."""
    rows = _rows()
    marks = between.hashed(rows)[0]
    _index(rows)
    path = next(index._indexes().iterdir()) / "lists"
    for filled in (b"\xff", b"\x7f", b"\x00"):
        path.with_name("new").write_bytes(filled * path.stat().st_size)
        path.with_name("new").replace(path)  # what is mapped into memory can't be cut
        lists = opened(rows, marks)
        assert lists is not None
        for among in (None, np.ones(COUNT, bool)):
            found = lists.nearest(rows[5].astype(np.float32), 5, among)
            assert found is None or ((found[0] >= 0) & (found[0] < COUNT)).all()


def test_an_index_is_of_its_rows_alone() -> None:
    """One number changed, or the same numbers in another order: another index."""
    rows = _rows()
    _index(rows)
    for other in (rows[::-1].copy(), np.concatenate([rows[:-1], rows[:1]]), rows[:-1]):
        assert opened(other, between.hashed(other)[0]) is None


def test_a_full_disk_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    rows = _rows()
    monkeypatch.setattr(index.np, "save", full)
    assert not build(rows, between.hashed(rows)[0])
    assert not list(index._indexes().iterdir())


def test_the_last_used_are_kept() -> None:
    """Four; opening one is using it."""
    made = []
    for number in range(5):
        rows = _rows()[: 400 + number]
        marks = between.hashed(rows)[0]
        build(rows, marks)
        made.append((rows, marks))
        for place, path in enumerate(sorted(index._indexes().iterdir(), key=lambda path: path.stat().st_mtime)):
            os.utime(path, (10**9 + place, 10**9 + place))
        if number == 3:
            assert opened(*made[0]) is not None
    assert [opened(*one) is not None for one in made] == [True, False, True, True, True]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, list[tuple[int, int]]]:
    """A run of 700 pairs, a tenth of them wrong, and how far it said to be."""
    monkeypatch.setattr(running, "Inspector", toys.Toy)
    monkeypatch.setattr(index, "READ", 10**6)
    told: list[tuple[int, int]] = []
    store = running.inspect_set(
        toys.pairs(700), out=tmp_path / "run", comparing=lambda done, total: told.append((done, total))
    )
    return store, told


def test_a_large_run_is_sorted_at_its_end(run: tuple[Store, list[tuple[int, int]]], tmp_path: Path) -> None:
    """Both sides, in the user's own folder and nowhere else, once; how far it is is told."""
    store, told = run
    made = sorted((home() / "triage" / "indexes").iterdir())
    assert len(made) == 2
    assert not [path for path in store.folder.rglob("*") if path.name in ("lists", "middles.npy", "sizes.npy")]
    assert told[-1] == (1400, 1400)
    before = [path.stat().st_ino for path in made]
    running.inspect_set(toys.pairs(700), out=tmp_path / "run")
    assert [path.stat().st_ino for path in made] == before


def test_a_small_run_is_not_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "Inspector", toys.Toy)
    running.inspect_set(toys.pairs(299), out=tmp_path / "run")
    assert not (home() / "triage" / "indexes").exists()


def test_partners_and_duplicates_are_the_same_by_either(
    run: tuple[Store, list[tuple[int, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the lists alone first, then without them; a row that isn't there yet is looked for again later."""
    store, _ = run
    ids = store.page(limit=4)["id"].tolist()
    with monkeypatch.context() as scan:
        scan.setattr(partners, "nearest", lambda *_: pytest.fail("all rows were read"))
        quick = [(better(store, id), near_duplicates(store, id)) for id in ids]
    folder = home() / "triage" / "indexes"
    shutil.move(folder, folder.with_name("elsewhere"))
    partners._finder.cache_clear()
    slow = [(better(store, id), near_duplicates(store, id)) for id in ids]
    for (proposed, same), (meant, also) in zip(quick, slow, strict=True):
        assert proposed is not None
        assert meant is not None
        assert [one.id for one in (*proposed.right, *proposed.left)] == [one.id for one in (*meant.right, *meant.left)]
        for one, other in zip((*proposed.right, *proposed.left), (*meant.right, *meant.left), strict=True):
            assert one.fit == pytest.approx(other.fit, abs=1e-6)
            assert one.cosine == pytest.approx(other.cosine, abs=1e-6)
        assert [one.id for one in same] == [one.id for one in also]
    shutil.move(folder.with_name("elsewhere"), folder)
    monkeypatch.setattr(partners, "nearest", lambda *_: pytest.fail("all rows were read"))
    assert better(store, ids[0]) is not None


def test_damage_under_an_open_page_is_no_error(run: tuple[Store, list[tuple[int, int]]]) -> None:
    store, _ = run
    id = store.page(limit=1)["id"][0]
    for folder in (home() / "triage" / "indexes").iterdir():
        (folder / "sizes.npy").write_bytes(b"")
    assert better(store, id) is not None
    assert near_duplicates(store, id) == []


def test_without_faiss_the_scan_answers_and_the_run_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr(running, "Inspector", toys.Toy)
    said: list[str] = []
    store = running.inspect_set(toys.pairs(400), out=tmp_path / "run", notice=said.append)
    assert said == [index.ABSENT]
    assert not (home() / "triage" / "indexes").exists()
    assert better(store, store.page(limit=1)["id"][0]) is not None


def test_the_sentence_and_the_readme_name_the_version_that_is_tested() -> None:
    wanted = f"faiss-cpu=={pins('requirements-dev.txt')['faiss-cpu']}"
    assert wanted in index.ABSENT
    assert wanted in (ROOT / "README.md").read_text("utf-8")
