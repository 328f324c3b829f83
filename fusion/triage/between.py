"""How the two halves of a pair lie among all others: the parts of suspicion that need vectors and nothing else.

For a pair (i, j), the half of row i on one side and of row j on the other, unit vectors t_i and v_j:

    cosine      1 - t_i.v_j
    rank        log(1 + how many others are nearer), among all v for t_i and among all t for v_j
    margin      mean cosine of the LIKE nearest others, less t_i.v_j, both ways: above 0 something else fits better
    neighbours  1 - v_j.e_i, with e_i the expected other half: the mean of v_c, weighted by how like t_c is to t_i,
                e_i = sum_c softmax_c(t_i.t_c / h) v_c over c != i, scaled to length 1; and the same the other way

The first three need one space for both sides; neighbours compares within a side only, so it holds for any two. h is
WIDTH times the standard deviation of the cosines of a side. Up to EXACT rows the others are all rows; above, they are
CANDIDATES rows chosen by a hash of their content, so the work is N x CANDIDATES and no N x N is ever held. Nothing
here depends on the order of the rows. N rows, P pairs, C candidates, D width.

Source: e_i is the kernel regression of Nadaraya 1964 and Watson 1964; the rest is plain retrieval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fusion.device import best
from fusion.neighbours import blocks
from fusion.types import FusionError

Array = np.ndarray
Moved = Callable[[int], None]
EXACT, CANDIDATES = 10_000, 4096  # rows up to which all are compared, and how many stand for all above
LIKE = 5  # nearest others of `margin`; 1 to 20 made no difference on the sets that the score was chosen on
WIDTH = 0.2  # of the kernel, in standard deviations; .15 to .25 were level, .4 and above worse
PROBES = 1024  # rows from which the deviation is taken
EQUAL = 1e-5  # cosines that differ by less are ties, and a tie counts for the pair
BLOCK = 4_000_000  # scores of one kind held at once, 16 MB; four kinds are
HASHED = 500_000  # numbers hashed at once: what stays in a processor's cache is read from there


@dataclass(frozen=True, eq=False)
class Halves:
    """Two sides of N pairs, row by row, and which rows stand for all."""

    left: Array  # (N, D), any float, memory-mapped or not
    right: Array  # (N, E)
    there: Array  # (N,) bool: both halves are there (neither is all zero)
    marks: Array  # (N,) uint64, a hash of what a row holds
    texts: Array  # (N,) uint64, a hash of its left half
    pictures: Array  # (N,) uint64, of its right half
    candidates: Array  # (C,) int, ascending

    @property
    def exact(self) -> bool:
        """Whether every row is compared with every other."""
        return len(self.candidates) == int(self.there.sum())

    @cached_property
    def known(self) -> tuple[Tensor, Tensor]:
        """Both halves of the candidates at length 1. -> (C, D), (C, E)"""
        return _unit(self.left, self.candidates), _unit(self.right, self.candidates)

    @cached_property
    def widths(self) -> tuple[float, float]:
        """The width of the kernel on each side: WIDTH standard deviations of the cosines of different rows."""
        probes = self.candidates[np.argsort(self.marks[self.candidates], kind="stable")[:PROBES]]
        place = torch.from_numpy(np.searchsorted(self.candidates, probes))
        return _width(self.known[0], place), _width(self.known[1], place)


def halves(left: Array, right: Array, seed: int = 0, known: Array | None = None) -> Halves:
    """Two sides and the rows that stand for all. known (N,) bool: rows that have both, none other is compared.

    Raises FusionError when the sides don't have the same rows.
    """
    if left.ndim != 2 or right.ndim != 2 or len(left) != len(right):
        raise FusionError(f"Vectors of shape {left.shape} and {right.shape} came; give two tables with a row a pair.")
    (a, here), (b, too) = hashed(left, seed), hashed(right, seed)
    marks, there = mixed(a + mixed(b)), here & too & (True if known is None else known)
    rows = np.flatnonzero(there)
    if len(rows) > EXACT:
        rows = np.sort(rows[np.argsort(marks[rows], kind="stable")[:CANDIDATES]])
    return Halves(left, right, there, marks, a, b, rows)


def hashed(rows: Array, seed: int = 0) -> tuple[Array, Array]:
    """A hash of each row in half precision, and whether it holds anything. (N, D) -> (N,) uint64, (N,) bool

    Raises FusionError when a number isn't finite.
    """
    factors = np.random.default_rng(seed).integers(1, 2**63, rows.shape[1], dtype=np.uint64) | np.uint64(1)
    # Sixteen bits of the factors at a time: below 2^53 float64 sums whole numbers exactly, and far faster.
    shifts = np.arange(0, 64, 16, dtype=np.uint64)
    pieces = (factors[:, None] >> shifts & np.uint64(0xFFFF)).astype(np.float64)  # (D, 4)
    marks, there = np.zeros(len(rows), np.uint64), np.zeros(len(rows), bool)
    for part in blocks(len(rows), 1, max(1, HASHED // max(1, rows.shape[1]))):
        bits = np.ascontiguousarray(rows[part], np.float16).view(np.uint16)
        size = bits & np.uint16(0x7FFF)
        if (size >= 0x7C00).any():
            raise FusionError("Some vectors hold NaN or infinity; run the inspection again.")
        numbers = np.where(size == 0, np.uint16(0), bits).astype(np.float64)  # minus zero is zero
        marks[part] = ((numbers @ pieces).astype(np.uint64) << shifts).sum(1, dtype=np.uint64)
        there[part] = size.any(1)
    return mixed(marks), there


def mixed(marks: Array) -> Array:
    """Every bit depends on every bit. (N,) uint64 -> (N,) uint64. Source: splitmix64, Steele, Lea, Flood 2014."""
    with np.errstate(over="ignore"):
        z = marks + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def exchange(sides: Halves) -> Array:
    """For each row, another one with a different right half; -1 where there is none. -> (N,) int

    Rows are sorted by a hash of that half and shifted by the size of the largest group of equal ones, so that the
    order of the rows doesn't matter.
    """
    other = np.full(len(sides.there), -1)
    rows = np.flatnonzero(sides.there)
    if len(rows) < 2:
        return other
    ring = rows[np.lexsort((sides.marks[rows], sides.pictures[rows]))]
    largest = int(np.unique(sides.pictures[rows], return_counts=True)[1].max())
    other[ring] = np.roll(ring, largest if largest * 2 <= len(rows) else len(rows) // 2)
    return np.where(differ(sides, other), other, -1)


def differ(sides: Halves, other: Array) -> Array:
    """Whether row i and row other[i] are there and hold different right halves. other (N,), -1 for none -> (N,) bool"""
    return (other >= 0) & sides.there & sides.there[other] & (sides.pictures[other] != sides.pictures)


def measured(sides: Halves, i: Array, j: Array, moved: Moved | None = None) -> dict[str, Array]:
    """The parts of pairs (i, j). i, j (P,) int -> {part: (P, 1 or 2) float32}, NaN where a half is absent.

    Sides of two widths lie in two spaces: then there is `neighbours` alone. moved: told how many pairs are done.
    """
    shared = sides.left.shape[1] == sides.right.shape[1]
    found = {"neighbours": np.full((len(i), 2), np.nan, np.float32)}
    if shared:
        found["cosine"] = np.full((len(i), 1), np.nan, np.float32)
        found |= {name: np.full((len(i), 2), np.nan, np.float32) for name in ("rank", "margin")}
    good = np.flatnonzero(sides.there[i] & sides.there[j])
    if not len(good):
        return found
    known, widths = sides.known, sides.widths
    others = int(sides.there.sum()) - 1
    for part in blocks(len(good), len(sides.candidates), max(1, BLOCK // len(sides.candidates))):
        at = good[part]
        rows = (i[at], j[at])
        own = (_unit(sides.left, rows[0]), _unit(sides.right, rows[1]))
        near = []
        for s in (0, 1):
            guess = _expected(own[s], known[s], known[1 - s], _self(sides.candidates, rows[s]), widths[s])
            near.append(1 - (guess * own[1 - s]).sum(1))
        found["neighbours"][at] = torch.stack(near, 1).cpu().numpy()
        if shared:
            cosine = (own[0] * own[1]).sum(1)  # (P,)
            both = [_among(own[s], known[1 - s], cosine, _self(sides.candidates, rows[1 - s])) for s in (0, 1)]
            found["cosine"][at] = (1 - cosine)[:, None].cpu().numpy()
            found["rank"][at] = np.log1p(torch.stack([b[0] for b in both], 1).cpu().numpy() * others)
            found["margin"][at] = torch.stack([b[1] for b in both], 1).cpu().numpy()
        if moved is not None:
            moved(part.stop)
    return found


def _unit(side: Array, rows: Array) -> Tensor:
    """Some rows at length 1. -> (R, D) float32"""
    return normalize(torch.from_numpy(np.asarray(side[rows], np.float32)).to(best()[0]), dim=1)


def _width(known: Tensor, probes: Tensor) -> float:
    cosine = (known[probes] @ known.T).double()
    cosine[torch.arange(len(probes)), probes] = torch.nan
    rest = cosine[~cosine.isnan()]
    return max(WIDTH * float(rest.std(correction=0)), 1e-6) if len(rest) else 1.0


def _self(candidates: Array, rows: Array) -> tuple[Array, Array]:
    """Which rows are candidates themselves, and where: (R,) -> two index arrays of equal length."""
    place = np.minimum(np.searchsorted(candidates, rows), len(candidates) - 1)
    which = np.flatnonzero(candidates[place] == rows)
    return which, place[which]


def expected(sides: Halves, rows: Array, *, back: bool = False) -> Array:
    """The other half that rows like these have, e_i of the module; back: the left half. rows (P,) -> (P, E) or (P, D)

    Rows of length 1, NaN where there is no other row.
    """
    s = 1 if back else 0
    own = _unit((sides.left, sides.right)[s], rows)
    itself = _self(sides.candidates, rows)
    return _expected(own, sides.known[s], sides.known[1 - s], itself, sides.widths[s]).cpu().numpy()


def _expected(own: Tensor, like: Tensor, halves: Tensor, itself: tuple[Array, Array], width: float) -> Tensor:
    """own (P, D), like (C, D), halves (C, E) of the candidates -> (P, E), of length 1"""
    score = own @ like.T  # (P, C)
    score[torch.from_numpy(itself[0]), torch.from_numpy(itself[1])] = -torch.inf
    score -= score.amax(1, keepdim=True)
    return normalize((score / width).softmax(1) @ halves, dim=1)


def _among(own: Tensor, halves: Tensor, cosine: Tensor, partner: tuple[Array, Array]) -> tuple[Tensor, Tensor]:
    """Share of the other candidates that are nearer than the partner, and by how much the nearest of them are.

    own (P, D), halves (C, D), partner: where a row's partner is a candidate itself -> (P,), (P,)
    """
    score = own @ halves.T  # (P, C)
    which, place = map(torch.from_numpy, partner)
    score[which, place] = -torch.inf
    count = torch.full_like(cosine, len(halves))
    count[which] -= 1
    nearest = score.topk(min(LIKE, max(1, len(halves) - 1)), 1).values
    nearest = torch.where(nearest.isinf(), torch.nan, nearest).nanmean(1)  # NaN: there is no other
    nearer = (score > cosine[:, None] + EQUAL).sum(1) / count.clamp(min=1)
    return nearer, torch.nan_to_num(nearest - cosine)
