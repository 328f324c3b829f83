"""Sequences of text, sound and vision whose answer was planted: which modality carries how much of it is known.

Each carrier m of a sample has a hidden value a_m; a step that carries it is x = s a_m u_m + e, with a unit vector u_m
that is drawn once and noise e ~ N(0, 1) in every feature, so s is the strength of a step against noise. All other steps
and modalities are noise alone. With `few`, only so many steps of a sequence carry it, at places drawn for each sample,
and 2 s v_m, v_m at right angles to u_m, marks them.

    additive    a_m ~ U(-1, 1) of each carrier,  y = 3 mean_m a_m
    xor         a_m = -1 or 1 of each of two,    y = 2 a_1 a_2: neither says anything alone
    one         a_m ~ U(-1, 1) of one carrier,   y = 3 a_m
    redundant   one a ~ U(-1, 1) for all,        y = 3 a: any of them says all

Scores lie in [-3, 3]; as classes, "low" is y < 0 and "high" the rest. N samples, T steps, D features.
`planted:NAME` opens one of PLANS; `as_mmsa` gives the dictionary that a feature file of the MMSA programs holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import numpy as np

from fusion.data.dataset import DataSet
from fusion.data.graphs import SPLITS
from fusion.data.streams import SENTIMENT, StreamSet
from fusion.files import digest
from fusion.types import FusionError, Modality, Numbers, Sample

PREFIX = "planted"
SIZES: Mapping[str, tuple[int, int]] = {"text": (8, 12), "audio": (12, 5), "vision": (10, 7)}  # longest T, and D
UNITS = {"text": "token"}  # the steps of the others are frames
CLASSES = ("low", "high")
SHARES = (0.65, 0.15)  # of the samples, to train on and to choose by; the rest is to test
Kind = Literal["additive", "xor", "one", "redundant"]


@dataclass(frozen=True)
class Plan:
    """What is planted where; the same plan gives the same numbers."""

    kind: Kind = "xor"
    carriers: tuple[str, ...] = ("text", "audio")  # of xor two, of one the one; the others carry noise alone
    strength: float = 1.0  # s, of one step
    few: int = 0  # steps that carry it; 0: all
    classes: bool = False  # whether the target is a class
    samples: int = 1500
    seed: int = 0
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=lambda: SIZES)  # {m: (longest T, D)}

    def __post_init__(self) -> None:
        count = len(self.carriers)
        unknown = [m for m in self.carriers if m not in self.sizes]
        if unknown or len(set(self.carriers)) != count:
            raise FusionError(f'"{", ".join(self.carriers)}" must be different names of {", ".join(self.sizes)}.')
        wanted = {"xor": (2, 2), "one": (1, 1)}.get(self.kind, (1, len(self.sizes)))
        if not wanted[0] <= count <= wanted[1]:
            raise FusionError(f"{self.kind} has {wanted[0]} to {wanted[1]} carriers, not {count}; name others.")
        if any(width < 2 for _, width in self.sizes.values()) or self.samples < 20 or self.strength <= 0:
            raise FusionError("A planted set has 20 samples or more, 2 features or more each and a strength above 0.")


@dataclass(frozen=True, eq=False)
class Planted:
    """A set, and the truth about it that no file of measured features has."""

    plan: Plan
    streams: StreamSet
    hidden: Mapping[str, np.ndarray]  # {carrier: (N,)} a_m
    where: Mapping[str, np.ndarray]  # {m: (N, T) bool} steps that carry it, none of other modalities
    direction: Mapping[str, np.ndarray]  # {m: (D,)} u_m, length 1

    def oracle(self) -> np.ndarray:
        """The answer of a reader who knows the plan, the places and the directions, but not the noise. -> (N,) scores

        Each a_m is read as the mean of x u_m / s over the steps that carry it. Nothing that is trained can be expected
        to come much nearer to the target.
        """
        read = {}
        for m in self.plan.carriers:
            along = self.streams.features[m] @ self.direction[m] / self.plan.strength  # (N, T)
            read[m] = (along * self.where[m]).sum(1) / self.where[m].sum(1)
        if self.plan.kind == "redundant":
            steps = {m: self.where[m].sum(1) for m in read}
            read = {"all": sum(read[m] * steps[m] for m in read) / sum(steps.values())}
        return _target(self.plan.kind, {m: np.clip(a, -1, 1) for m, a in read.items()})


def plant(plan: Plan) -> Planted:
    """Draw a set."""
    draw = np.random.default_rng(plan.seed)
    N, names = plan.samples, tuple(plan.sizes)
    hidden = _hidden(plan, draw)
    features, length, where, direction = {}, {}, {}, {}
    for m, (T, D) in plan.sizes.items():
        axes = np.linalg.qr(draw.standard_normal((D, 2)))[0]  # u_m and v_m
        u, v = axes[:, 0], axes[:, 1]
        lengths = draw.integers(max(T // 2, 1), T + 1, N)
        real = np.arange(T) < lengths[:, None]
        chosen = real if not plan.few else _some(real, plan.few, draw)
        x = draw.standard_normal((N, T, D))
        carried = chosen & (m in plan.carriers)
        if m in plan.carriers:
            x += plan.strength * (hidden[m][:, None] * carried)[..., None] * u
            if plan.few:
                x += 2 * plan.strength * carried[..., None] * v
        features[m] = (x * real[..., None]).astype(np.float32)
        length[m], where[m], direction[m] = lengths.astype(np.int64), carried, u.astype(np.float32)
    y = _target(plan.kind, hidden)
    first, second = (int(N * share) for share in (SHARES[0], sum(SHARES)))
    split = np.repeat(np.arange(len(SPLITS), dtype=np.uint8), [first, second - first, N - second])
    streams = StreamSet(
        f"planted, {plan.kind}",
        tuple(
            Modality(m, m if m in ("text", "audio") else "image", D, T, UNITS.get(m, "frame"))
            for m, (T, D) in plan.sizes.items()
        ),
        features, length, np.ones((N, len(names)), bool),
        (y >= 0).astype(np.int64) if plan.classes else y.astype(np.float32), split,
        CLASSES if plan.classes else (), (-3.0, 3.0), () if plan.classes else SENTIMENT,
    )  # fmt: skip
    return Planted(plan, streams, hidden, where, direction)


def _hidden(plan: Plan, draw: np.random.Generator) -> dict[str, np.ndarray]:
    """a_m of every sample. -> {carrier: (N,)}"""
    N = plan.samples
    if plan.kind == "redundant":
        return dict.fromkeys(plan.carriers, draw.uniform(-1, 1, N))
    if plan.kind == "xor":
        return {m: draw.choice((-1.0, 1.0), N) for m in plan.carriers}
    return {m: draw.uniform(-1, 1, N) for m in plan.carriers}


def _target(kind: Kind, values: Mapping[str, np.ndarray]) -> np.ndarray:
    """y of hidden values, or of what a reader takes them for. -> (N,)"""
    table = np.stack(list(values.values()))
    return 2 * np.sign(table).prod(0) if kind == "xor" else 3 * table.mean(0)


def _some(real: np.ndarray, count: int, draw: np.random.Generator) -> np.ndarray:
    """So many of the real steps of each row, all where there are fewer. (N, T) bool -> (N, T) bool"""
    order = np.where(real, draw.random(real.shape), 2.0).argsort(1).argsort(1)  # place of each step in its row
    return real & (order < count)


PLANS: Mapping[str, Plan] = {
    "additive": Plan("additive", ("text", "audio", "vision")),
    "xor": Plan("xor"),
    "one": Plan("one", ("audio",)),
    "redundant": Plan("redundant", ("text", "audio", "vision"), 0.7),
    "additive-steps": Plan("additive", ("text", "audio", "vision"), 2.0, few=2),
    "xor-steps": Plan("xor", strength=2.0, few=2),
    # Out of the noise, so that a network reads little else: what explanations are graded by.
    "one-clear": Plan("one", ("audio",), strength=3.0),
}


@cache
def named(name: str) -> Planted:
    """One of PLANS, "-classes" behind its name for classes. Raises FusionError when there is none."""
    base = name.removesuffix("-classes")
    if base not in PLANS:
        raise FusionError(f'Nothing is planted as "{name[:40]}"; there are {", ".join(PLANS)}, each with -classes too.')
    plan = PLANS[base]
    return plant(Plan(**{**vars(plan), "classes": True}) if name != base else plan)


def read(name: str) -> DataSet:
    """One of PLANS as a data set. Raises FusionError when there is none of that name."""
    found = named(name)
    streams, plan = found.streams, found.plan
    samples = tuple(
        Sample(
            f"{name} {row + 1}", {m: Numbers(streams.steps(m, row)) for m in streams.names}, streams.split_of(row),
            streams.target[row].item(), {f"{m} says": f"{found.hidden[m][row]:+.2f}" for m in plan.carriers},
        )
        for row in range(len(streams))
    )  # fmt: skip
    note = f"Planted numbers, not measured ones: the answer stands in {' and '.join(plan.carriers)} ({plan.kind})."
    held = digest(PREFIX, name, repr(plan), *(digest_of(streams.features[m]) for m in streams.names))
    return DataSet(
        f"{PREFIX}-{name}", f"Planted, {name}", samples, word="illustrative", digest=held, notes=(note,),
        spec=f"{PREFIX}:{name}", streams=streams,
    )  # fmt: skip


def digest_of(table: np.ndarray) -> str:
    """sha256 of an array's numbers."""
    import hashlib

    return hashlib.sha256(np.ascontiguousarray(table).tobytes()).hexdigest()


def as_mmsa(found: Planted) -> dict[str, dict[str, Any]]:
    """What the pickle of a feature file holds, by split. Text lengths stand in the mask of `text_bert`, as there."""
    streams = found.streams
    score = np.where(streams.target > 0, 2.0, -2.0) if streams.classes else streams.target
    said = np.where(score < 0, "Negative", np.where(score > 0, "Positive", "Neutral"))
    made = {}
    for name in SPLITS:
        rows = streams.rows(name)
        mask = streams.mask("text", np.arange(len(streams)))[rows]
        tokens = np.where(mask, 100 + rows[:, None], 0)
        made[name] = {
            "raw_text": [f"planted sentence {row + 1}" for row in rows],
            "id": [f"{name}{row // 5}$_${row % 5}" for row in rows],
            "text_bert": np.stack((tokens, mask, np.zeros_like(tokens)), 1).astype(np.float32),
            **{m: streams.features[m][rows] for m in streams.names},
            **{f"{m}_lengths": streams.length[m][rows].tolist() for m in streams.names if m != "text"},
            "annotations": said[rows].tolist(),
            "classification_labels": (np.sign(score[rows]) + 1).astype(np.float32),
            "regression_labels": score[rows].astype(np.float32),
        }
    return made
