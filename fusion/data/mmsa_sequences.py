"""One modality of a feature file: where its real steps lie, what was wrong with its numbers, and its clean copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROWS = 256  # samples that are worked on at once: a table of several GB is never copied whole
Say = Callable[[str, str], None]  # (kind of sentence, sentence)
Progress = Callable[[int, int], None]


@dataclass
class Sequences:
    """Tables of all splits and, of each of the N samples, where its steps start and how many there are."""

    name: str
    tables: list[np.ndarray]  # a split each, (n, T, D) as the file has them
    start: np.ndarray  # (N,) int64, first real step in the file
    length: np.ndarray  # (N,) int64, 0 where the modality is absent
    bad: np.ndarray  # (N,) int64, numbers that were NaN or infinite
    guessed: bool  # the file gave no lengths

    @property
    def present(self) -> np.ndarray:
        """Which samples have the modality. (N,) bool"""
        return self.length > 0

    @property
    def width(self) -> int:
        """D"""
        return int(self.tables[0].shape[2])

    def notes(self, keep: np.ndarray) -> list[str]:
        """What a reader must know of the modality as a whole; keep (N,) bool are the samples that are used."""
        told = []
        moved = int((keep & self.present & (self.start > 0)).sum())
        if moved:
            told.append(f"{self.name} was padded on the left in {moved:,} samples; its steps were moved to the front.")
        if self.guessed:
            told.append(f"The file gives no lengths of {self.name}; steps after the last that is not 0 are padding.")
        if bad := int(self.bad[keep].sum()):
            rows = int((self.bad[keep] > 0).sum())
            told.append(f"{self.name} holds {bad:,} numbers that are NaN or infinite, in {rows:,} samples; they are 0.")
        if absent := int((keep & ~self.present).sum()):
            told.append(f"{absent:,} samples have no {self.name}: all its numbers are 0.")
        return told

    def write(self, path: Path, kept: np.ndarray, progress: Progress | None = None) -> None:
        """The kept rows as float32, steps from 0 on and zeros behind them, a few rows at a time."""
        steps = max(int(self.length[kept].max(initial=0)), 1)
        out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(kept), steps, self.width))
        place = {int(row): at for at, row in enumerate(kept)}
        done = 0
        for first, chunk in _chunks(self.tables):
            for row, values in enumerate(_clean(chunk)[0], first):
                if row in place and self.length[row]:
                    start, count = int(self.start[row]), int(self.length[row])
                    out[place[row], :count] = values[start : start + count]
            done += len(chunk)
            if progress is not None:
                progress(done, sum(map(len, self.tables)))
        out.flush()


def sequences(
    name: str, tables: list[np.ndarray], given: np.ndarray | None, place: Sequence[str], say: Say,
    progress: Progress | None = None,
) -> Sequences:  # fmt: skip
    """Look through a modality: given (N,) lengths as the file says them, place how a sentence names each row.

    Steps are the given number from where they start: at the front, or, when what is in front is zeros and the last step
    isn't, at the back (padding on the left).
    """
    N, T = sum(map(len, tables)), tables[0].shape[1]
    lead, last, bad = np.full(N, T), np.zeros(N, np.int64), np.zeros(N, np.int64)
    for first, chunk in _chunks(tables):
        values, wrong = _clean(chunk)
        here = slice(first, first + len(chunk))
        bad[here] = wrong.sum(1)
        real = (values != 0).any(2)  # (n, T)
        some = real.any(1)
        lead[here] = np.where(some, real.argmax(1), T)
        last[here] = np.where(some, T - real[:, ::-1].argmax(1), 0)
        for row in np.flatnonzero(bad[here]).tolist():
            nan, infinite = wrong[row]
            say(
                f"{name} not finite",
                f"{place[first + row]}: {name} holds {nan:,} NaN and {infinite:,} infinite numbers, set to 0.",
            )
        if progress is not None:
            progress(first + len(chunk), N)
    left = _left(lead, last, given, T)
    length = last - np.where(left, lead, 0)
    if given is not None:
        for row in np.flatnonzero(given > T).tolist():
            say(
                f"{name} too long",
                f"{place[row]}: {name} is said to have {given[row]:,} steps and has {T}; {T} are read.",
            )
        for row in np.flatnonzero((given < 0) | ((given == 0) & (last > 0))).tolist():
            say(
                f"{name} without a length",
                f"{place[row]}: {name} is said to have {given[row]:,} steps; {length[row]} were found and are read.",
            )
        length = np.where(given > 0, np.minimum(given, T), length)
    length = np.where(last > 0, length, 0)
    start = np.where(left, T - length if given is not None else lead, 0)
    start = np.where(length > 0, start, 0)
    return Sequences(name, tables, start.astype(np.int64), length.astype(np.int64), bad, given is None)


def align(found: Sequence[Sequences]) -> None:
    """Move the modalities of an aligned file by the same number of steps, so that step t stays the same word in all.

    An aligned file gives no lengths and as many steps of each modality; of a sample that is padded on the left, the
    first step is the first that is not 0 in any of them.
    """
    moved = [one for one in found if one.guessed and (one.start > 0).any()]
    if len(moved) < 2 or len({one.tables[0].shape[1] for one in moved}) > 1:
        return
    starts = np.stack([np.where(one.present, one.start, one.tables[0].shape[1]) for one in moved])
    first = starts.min(0)
    for one in moved:
        one.length = np.where(one.present, one.length + one.start - first, 0)
        one.start = np.where(one.present, first, 0)


def _left(lead: np.ndarray, last: np.ndarray, given: np.ndarray | None, T: int) -> np.ndarray:
    """Which samples are padded on the left. (N,) bool

    With lengths: those with a real last step and nothing before their last `given` steps. Without them one sample can't
    tell, its first steps may be silent; the modality is padded on the left where no sample ends before the last step
    and some start after the first.
    """
    some = last > 0
    if given is not None:
        known = some & (given > 0) & (given < T)
        return known & (last > given) & (lead >= T - given)
    whole = bool(some.any()) and bool((last[some] == T).all()) and bool((lead[some] > 0).any())
    return some & whole


def _chunks(tables: list[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """(row of the first, some rows of one table), in order."""
    first = 0
    for table in tables:
        for at in range(0, len(table), ROWS):
            yield first, table[at : at + ROWS]
            first += len(table[at : at + ROWS])


def _clean(chunk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows as finite float32, and their numbers of NaN and of infinite values. -> (n, T, D), (n, 2) int64"""
    with np.errstate(over="ignore"):
        values = chunk.astype(np.float32)
    finite = np.isfinite(values)
    if finite.all():
        return values, np.zeros((len(values), 2), dtype=np.int64)
    nan = np.isnan(values)
    wrong = np.stack([nan.sum((1, 2)), (~finite & ~nan).sum((1, 2))], axis=1)
    return np.where(finite, values, np.float32(0)), wrong
