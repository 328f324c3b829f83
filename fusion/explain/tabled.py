"""An entity or a question whose answer under every subset of its modalities is known: explained from that table.

Models that align or rank read one vector a modality, so their players are the modalities themselves, and the table of
all subsets answers every question that hiding asks without another pass. What the model's own weights and attention
say of the modalities is tested by the same curves. M modalities.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fusion.explain import curves, sampling
from fusion.explain.asking import Judged
from fusion.explain.curves import Curve
from fusion.explain.methods import CAVEATS, FIRST, METHODS, Told
from fusion.explain.players import Players
from fusion.signals import Attribution, Effects, Explanation, Trace
from fusion.types import FusionError

ALL = 120  # orders: up to five modalities every one is tried, of more as many are drawn
Table = Mapping[frozenset[str], float]  # {modalities that are there: the number}


@dataclass(eq=False)
class Tabled:
    """A case of whole modalities. `table` makes the numbers of a target's line where they are first asked for."""

    modalities: tuple[str, ...]
    lines: tuple[str, ...]  # targets
    table: Callable[[str], Table]
    claims: Mapping[str, Mapping[str, float]]  # {method: {m: share}}, of the model's own signals
    whole_only: bool = True
    _tables: dict[str, Table] = field(default_factory=dict)

    def rows(self, method: str, *, whole: bool = True, pairs: int = 0) -> int:
        """Rows that an explanation runs through the model: none, they stand in the table."""
        return 0

    def applying(self, line: str, *, whole: bool = True) -> dict[str, str]:
        """Which methods can explain a number: {method: "" or why not}."""
        why = {"gradients": "vectors", "attention": "attention", "weights": "weights"}
        able = {key for key, one in METHODS.items() if one.reads == "hiding"} | set(self.claims)
        return {key: "" if key in able else why[one.reads] for key, one in METHODS.items()}

    def judge(
        self, line: str, method: str = FIRST, *, whole: bool = True, pairs: int = 0, seed: int = 0,
        progress: Callable[[float], None] | None = None,
    ) -> Judged:  # fmt: skip
        """An explanation of a number and its test. Raises FusionError for a target or a method that doesn't apply."""
        started = time.perf_counter()
        if line not in self.lines:
            raise FusionError(f'"{line[:60]}" is no target here; choose {", ".join(self.lines[:4])}.')
        why = self.applying(line).get(method)
        if why is None or why:
            able = ", ".join(one for one, reason in self.applying(line).items() if not reason)
            raise FusionError(f'"{method[:40]}" can\'t explain whole modalities here; choose {able}.')
        count = len(self.modalities)
        values = self._values(line, method)
        member = {m: torch.eye(count, dtype=torch.bool)[i][:, None] for i, m in enumerate(self.modalities)}
        signals = tuple(
            Attribution(
                name=f"{method}_{m}", unit="none", value=values[i].float().reshape(1, 1), steps=m,
                mask=torch.ones(1, 1, dtype=torch.bool), signed=METHODS[method].signed,
                caveat=CAVEATS[METHODS[method].reads],
            )
            for i, m in enumerate(self.modalities)
        )  # fmt: skip
        told = Told(
            Explanation(method, line, Trace(signals, {}), 0, time.perf_counter() - started),
            Players(self.modalities, self.modalities, member), values, self.modalities,
        )  # fmt: skip
        signed = METHODS[method].signed
        ask = lambda shown: self._ask(line, shown)  # noqa: E731
        trial = curves.trial(ask, values, signed=signed, draws=1, seed=seed)
        return Judged(told, curves.Trial(trial.span, trial.own, trial.reverse, self._others(ask, trial.own), 0))

    def _values(self, line: str, method: str) -> Tensor:
        if method in self.claims:
            return torch.tensor([self.claims[method][m] for m in self.modalities], dtype=torch.float64)
        make = sampling.occluded if method == "occlusion" else sampling.exact
        return make(lambda shown: self._ask(line, shown), len(self.modalities))[0]

    def _ask(self, line: str, shown: Tensor) -> Tensor:
        if line not in self._tables:
            self._tables[line] = self.table(line)
        table = self._tables[line]
        sets = [frozenset(m for m, there in zip(self.modalities, row, strict=True) if there) for row in shown.tolist()]
        return torch.tensor([table[one] for one in sets], dtype=torch.float64)

    def _others(self, ask: Callable[[Tensor], Tensor], own: Curve) -> tuple[Curve, ...]:
        """The curves of all other orders, or of as many that are drawn."""
        count = len(self.modalities)
        if math.factorial(count) <= ALL:
            orders = torch.tensor(list(itertools.permutations(range(count))))
        else:
            generator = torch.Generator().manual_seed(0)
            orders = torch.stack([torch.randperm(count, generator=generator) for _ in range(ALL)])
        counts = curves.shares(count)
        shown = torch.stack([curves.coalitions(order, counts) for order in orders])  # (O, F, M)
        falls = ask(shown.flatten(0, 1)).reshape(len(orders), len(counts)).numpy()
        share = (counts / count).numpy()
        same = [bool((fall == own.deletion).all()) for fall in falls]
        skipped = same.index(True) if True in same else -1  # the order itself is no rival of its own
        return tuple(Curve(share, fall, fall[::-1]) for at, fall in enumerate(falls) if at != skipped)


def by_subset(effects: Effects, modalities: tuple[str, ...], column: int, nothing: float | None = None) -> Table:
    """One column of a table of all subsets. nothing: the number from nothing, where the table has no row of it"""
    from fusion.explain.subsets import called, subsets

    values = dict(zip(effects.conditions, effects.value[0, :, column].tolist(), strict=True))
    found = {frozenset(some): values[called(some, modalities)] for some in subsets(modalities)}
    found[frozenset()] = values[called((), modalities)] if nothing is None else nothing
    return found
