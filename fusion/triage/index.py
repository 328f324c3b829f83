"""Neighbours among so many rows that reading them all takes seconds: FAISS sorts them once, a search reads a part.

    build(vectors, marks, moved=None) -> bool       sort the rows into lists; marks: their hashes, `between.hashed`
    opened(vectors, marks) -> Index | None          what was built for these rows, None without
    Index.nearest(query, k, among=None) -> (rows, cosines) | None      None: this needs the scan of all rows

An inverted file: k-means of a sample gives about sqrt(N) middles, each row lies in the list of the nearest one, in half
precision, and a search reads the lists whose middles are nearest to the query, READ numbers in all. What it finds is
compared again with the run's own vectors, so a cosine is the same as by the scan; a row in a list that isn't read is
missed.

An index lies in the user's own folder, under a hash of the rows that it is of, never in the folder of a run, which may
have come from anyone. FAISS parses no file: the middles and the lengths of the lists are plain arrays, checked before
they are used, and the lists are memory-mapped. N rows, D width, L lists.

Source: inverted files, Sivic and Zisserman 2003; FAISS, Douze et al. 2024.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap

from fusion.files import atomic_folder, digest, home
from fusion.neighbours import blocks

Array = np.ndarray
Moved = Callable[[int], None]
EXACT_ROWS = 1_000_000  # from so many rows on an index is used; below, the scan of all takes a second or two
READ = 64_000_000  # numbers that a search reads, 128 MB: of a million rows of 384 one in six, of 64 all of them
PROBED = 64  # lists that it reads at least, however many rows there are
SAMPLE = 64  # rows a list that the middles are found from
ROUNDS = 10  # of k-means
KEPT = 4  # indexes in the user's folder, the two sides of two runs; those not used for longest go
FETCHING = 4  # threads that fetch the lists of a search from the disk; 32, as FAISS has it, slow those in memory
OFF = 6e-4  # by which a score of half precision may differ: 2^-11 for rows of length 1, and the sums
MOST = 4096  # rows that a search fetches to find the nearest among equal ones; the scan where they don't do
ABSENT = (
    "Partners and near duplicates in a run of this size take seconds a question; with FAISS they take a part of one: "
    "pip install faiss-cpu==1.15.0, then start the run again, which only adds that."
)
_BLOCK = 4_000_000  # numbers in memory at once, 16 MB
_VERSION = 1
_LISTS, _MIDDLES, _SIZES = "lists", "middles.npy", "sizes.npy"


class Index:
    """The lists of one side of a run. Safe to share between threads."""

    def __init__(self, faiss: Any, lists: Any, vectors: Array) -> None:  # Any: FAISS is optional
        self._faiss, self._lists, self._vectors = faiss, lists, vectors

    def nearest(self, query: Array, k: int, among: Array | None = None) -> tuple[Array, Array] | None:
        """The rows of highest cosine to a query, best first; equal ones by row. (D,) -> (k,) int, (k,) float

        among (N,) bool: rows that may be found. None where the lists that were read hold fewer than k of them, or so
        many equal ones that only the scan of all rows can tell which come first.
        """
        asked = _units(query[None])[0]
        share = READ / self._vectors.size
        lists = min(self._lists.nlist, max(PROBED, round(share * self._lists.nlist)))
        params = self._faiss.SearchParametersIVF(nprobe=lists)
        if among is not None:
            bits = np.packbits(among, bitorder="little")
            chosen = self._faiss.IDSelectorBitmap(len(bits), self._faiss.swig_ptr(bits))
            params.sel = chosen
        self._faiss.omp_set_num_threads(1)  # of this thread: one query is too little to share out
        fetched = max(4 * k, 64)
        while fetched <= MOST:
            scores, rows = (found[0] for found in self._lists.search(asked[None], fetched, params=params))
            whole = (rows >= 0) & (rows < len(self._vectors))
            rows, least = rows[whole], float(scores[whole].min(initial=np.inf))
            if len(rows) < k:
                return None
            cosines = self._cosines(rows, asked)
            order = np.lexsort((rows, -cosines))[:k]
            if len(rows) < fetched or cosines[order[-1]] > least + OFF:
                return rows[order], cosines[order]
            fetched *= 8
        return None

    def _cosines(self, rows: Array, asked: Array) -> Array:
        """As the run's vectors have them, the same for equal rows. (R,), (D,) -> (R,) float32"""
        table = np.asarray(self._vectors[rows], np.float32)
        return (table * asked).sum(1) / np.maximum(np.linalg.norm(table, axis=1), 1e-12)


def available() -> bool:
    """Whether FAISS is here and can be used."""
    return _faiss() is not None


def possible() -> bool:
    """Whether FAISS can be used where it is installed. Not on macOS: it brings an OpenMP library of its own, as torch
    does, and there the second one in a process ends it. On Linux the two don't meet."""
    return sys.platform != "darwin"


def opened(vectors: Array, marks: Array) -> Index | None:
    """The index that was built for these rows; None where there is none, it is damaged, or FAISS isn't installed."""
    faiss, folder = _faiss(), _folder(vectors, marks)
    if faiss is None or not folder.is_dir():
        return None
    try:
        middles, sizes = (np.array(open_memmap(folder / name, mode="r")) for name in (_MIDDLES, _SIZES))
        told = sizes.ravel().tolist()  # Python's numbers: their sum doesn't wrap around
        whole = (
            sizes.dtype == np.int64
            and middles.shape == (len(told), vectors.shape[1])
            and middles.dtype == np.float32
            and sizes.shape == (len(told),)
            and np.isfinite(middles).all()
            and min(told, default=-1) >= 0
            and (folder / _LISTS).stat().st_size == sum(told) * _row(vectors.shape[1])
        )
        if not whole:
            return None
        lists = _lists(faiss, middles)
        inside = faiss.OnDiskInvertedLists(len(told), lists.code_size, str(folder / _LISTS))
        sizes = sizes.astype(np.uint64)
        inside.set_all_lists_sizes(faiss.swig_ptr(sizes))
        inside.totsize, inside.read_only = sum(told) * _row(vectors.shape[1]), True
        inside.prefetch_nthread = FETCHING
        inside.do_mmap()
        lists.replace_invlists(inside, True)
        inside.this.disown()  # the lists have it now
        lists.ntotal = sum(told)
        os.utime(folder)
    except (OSError, ValueError, RuntimeError):  # the last is what FAISS raises; the scan of all rows takes its place
        return None
    return Index(faiss, lists, vectors)


def build(vectors: Array, marks: Array, moved: Moved | None = None) -> bool:
    """Sort the rows (N, D) into lists, where that isn't done; moved: told how many rows are. -> whether it is done

    marks (N,) uint64: the hash of each row. Nothing is built without FAISS, or where the disk can't take it.
    """
    faiss, folder = _faiss(), _folder(vectors, marks)
    if faiss is None or opened(vectors, marks) is not None:
        return faiss is not None
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        with atomic_folder(folder) as aside:
            _write(faiss, vectors, marks, aside, moved)
    except (OSError, RuntimeError):
        return False
    _sweep(folder)
    return True


def _write(faiss: Any, vectors: Array, marks: Array, folder: Path, moved: Moved | None) -> None:
    """The lists one after the other, each its codes and then its rows, as FAISS lays them out."""
    middles = _middles(faiss, vectors, marks)
    lists = _lists(faiss, middles)
    place = np.full(len(vectors), len(middles), np.int32)  # which list; a row of zeros in none
    for rows, units in _there(vectors):
        place[rows] = lists.quantizer.search(units, 1)[1][:, 0]
        if moved is not None:
            moved(int(rows[-1]) + 1)
    sizes = np.bincount(place, minlength=len(middles) + 1)[:-1].astype(np.int64)
    with (folder / _LISTS).open("wb") as stream:
        for rows in np.split(np.argsort(place, kind="stable"), np.cumsum(sizes))[:-1]:
            stream.writelines(units.astype("<f2").tobytes() for _, units in _there(vectors, rows))
            stream.write(rows.astype("<i8").tobytes())
    np.save(folder / _MIDDLES, middles)
    np.save(folder / _SIZES, sizes)


def _middles(faiss: Any, vectors: Array, marks: Array) -> Array:
    """Middles of a sample of different rows, the ones of the lowest hashes. -> (L, D) float32"""
    different = np.unique(marks, return_index=True)[1]
    count = 2 ** max(0, round(math.log2(max(1, len(different))) / 2))
    sample = [units for _, units in _there(vectors, np.sort(different[: SAMPLE * count]))]
    if not sample:
        raise RuntimeError("no row holds anything")
    units = np.concatenate(sample)
    found = faiss.Kmeans(
        vectors.shape[1], min(count, len(units)), niter=ROUNDS, seed=0, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=SAMPLE,
    )  # fmt: skip
    found.train(units)
    return found.centroids


def _lists(faiss: Any, middles: Array) -> Any:
    """Empty lists around their middles (L, D)."""
    around = faiss.IndexFlatIP(middles.shape[1])
    around.add(middles)
    half, product = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    lists = faiss.IndexIVFScalarQuantizer(around, middles.shape[1], len(middles), half, product, False)
    lists.is_trained = True  # half precision has nothing to learn
    return lists


def _row(width: int) -> int:
    """Bytes of a row in the lists: its code, and its number."""
    return 2 * width + 8


def _there(vectors: Array, rows: Array | None = None) -> Iterator[tuple[Array, Array]]:
    """All rows or some, at length 1, a block at a time; a row of zeros is left out. -> (R,) int64, (R, D) float32"""
    count = len(vectors) if rows is None else len(rows)
    for part in blocks(count, 1, max(1, _BLOCK // vectors.shape[1])):
        at = np.arange(part.start, part.stop) if rows is None else rows[part]
        table = np.asarray(vectors[part if rows is None else at], np.float32)
        good = table.any(1)
        if good.any():
            yield at[good], _units(table[good])


def _units(rows: Array) -> Array:
    table = np.asarray(rows, np.float32)
    return np.ascontiguousarray(table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12))


def _folder(vectors: Array, marks: Array) -> Path:
    """Where the index of these rows lies: by their content, whatever a run says of itself."""
    return _indexes() / digest("index", str(_VERSION), str(vectors.shape), np.ascontiguousarray(marks).tobytes())[:32]


def _indexes() -> Path:
    return home() / "triage" / "indexes"


def _sweep(new: Path) -> None:
    """Remove the indexes that were not used for longest, but never the new one."""
    with suppress(OSError):
        found = [path for path in _indexes().iterdir() if path.is_dir() and not path.name.startswith(".")]
        others = sorted((path for path in found if path != new), key=lambda path: -path.stat().st_mtime)
        for path in others[KEPT - 1 :]:
            shutil.rmtree(path, ignore_errors=True)


def _faiss() -> Any:
    """FAISS, or None where it isn't there."""
    if not possible():
        return None
    try:
        import faiss
    except ImportError:
        return None
    return faiss
