"""Training to align entities: `fit` is a generator of epochs; the caller prints, plots, saves or stops.

Losses are the models' own. A run is judged on the held-out links of its data set alone; links to test are never read.
Iterative learning (MCLEA, MEAformer): from some epoch on, unaligned entities that are each other's nearest neighbours
at several checks in a row join the training pairs; no link is read for that either.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusion.alignment.inputs import asking
from fusion.device import best
from fusion.files import atomic_file
from fusion.metrics.ranking import mutual, rank_pairs
from fusion.training import Clock, Epoch, Recipe, groups, rate_at
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.alignment.inputs import EntityModel
    from fusion.types import Batch

DISTRACTORS = 2000  # entities of each graph among which a held-out one must find its partner


@dataclass(frozen=True)
class AlignmentRecipe(Recipe):
    """How to train; the defaults are those of the emoji graphs (docs/decisions)."""

    epochs: int = 60
    batch: int = 3500  # pairs a step
    rate: float = 1e-2
    warm_up: float = 0.05
    patience: int = 10  # checks without a better validation score before stopping
    check: int = 15  # epochs between two checks on the held-out links
    rates: tuple[tuple[str, float], ...] = (
        ("fusion", 0.1), ("icl_log", 0.1), ("ial_log", 0.1), ("log_var", 0.1), ("layers.", 0.01),
    )  # fmt: skip
    noise: float = 0.0  # standard deviation of Gaussian noise on features while training, relative to theirs
    flatten: tuple[tuple[str, float], ...] = (("image", 0.25),)  # see alignment.inputs.start_linear; others 0
    start: bool = True  # start linear maps from the features
    iterative: int = 10  # epoch from which neighbours join the pairs; 0: never
    collect: int = 5  # epochs between two looks for neighbours
    survive: int = 2  # looks in a row that a pair must survive
    draw: float = 1.0  # found pairs that an epoch draws at most, as a multiple of the number of links
    csls: int = 3  # of the ranking, and of the looks


class Known:
    """The pairs to train on: the links, and what iterative learning took for such."""

    def __init__(self, links: Tensor, side: Tensor) -> None:
        self.links, self.side = links, side
        self.found = links.new_zeros(0, 2)
        self.seen: dict[tuple[int, int], int] = {}  # candidate -> looks in a row

    def pairs(self) -> Tensor:
        """(P, 2) int"""
        return torch.cat((self.links, self.found))

    def free(self, side: int) -> Tensor:
        """Entities of a graph that are in no pair. -> (n,) int"""
        taken = torch.zeros(len(self.side), dtype=torch.bool, device=self.side.device)
        taken[self.pairs().flatten()] = True
        return ((self.side == side) & ~taken).nonzero().squeeze(1)

    def look(self, joint: Tensor, csls: int, survive: int) -> int:
        """Take up pairs of free entities that were each other's nearest at `survive` looks in a row. -> how many"""
        left, right = self.free(0), self.free(1)
        if not len(left) or not len(right):
            return 0
        pairs = mutual(joint[left], joint[right], measure="cosine", csls=csls)
        found = torch.stack((left[pairs[:, 0]], right[pairs[:, 1]]), 1)
        self.seen = {pair: self.seen.get(pair, 0) + 1 for pair in map(tuple, found.tolist())}
        ripe = [pair for pair, times in self.seen.items() if times >= survive]
        if ripe:
            self.found = torch.cat((self.found, torch.tensor(ripe, device=joint.device, dtype=self.found.dtype)))
        return len(ripe)

    def state(self) -> dict[str, Any]:
        """What a resume needs."""
        seen = [(*pair, times) for pair, times in self.seen.items()]
        return {"found": self.found.cpu(), "seen": torch.tensor(seen, dtype=torch.long).reshape(-1, 3)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.found = state["found"].to(self.links.device)
        self.seen = {(a, b): times for a, b, times in state["seen"].tolist()}


@dataclass(frozen=True)
class AlignmentEpoch(Epoch):
    """What one epoch gave; `scores` is empty where nothing was checked."""

    pairs: int = 0  # trained on, found ones included
    found: Tensor | None = field(default=None, repr=False)  # (F, 2) pairs that iterative learning took up


def fit(
    model: EntityModel, batch: Batch, train: Tensor, valid: Tensor, recipe: AlignmentRecipe, *,
    folder: Path | None = None,
) -> Iterator[AlignmentEpoch]:  # fmt: skip
    """Train on pairs (P, 2) of the entities of `batch`, judged on held-out pairs; yields after every epoch.

    The first epoch is number 0: the model as it came. folder: where to keep the state for a resume.
    Raises FusionError when the loss stops being a number.
    """
    device = best()[0]
    model.to(device)
    batch, train, valid = batch.to(device), train.to(device), valid.to(device)
    assert batch.graph is not None, "everything() makes one"
    assert batch.graph.side is not None, "alignment needs two graphs"
    run = _Run(model, batch, Known(train, batch.graph.side), recipe, _judge(batch, train, valid, recipe))
    saved = folder / "state.pt" if folder is not None else None
    if saved is not None and saved.exists():
        run.restore(torch.load(saved, weights_only=True, map_location="cpu"))
    else:
        yield run.check(0, {}, 0.0)
    while run.number < recipe.epochs and run.idle < recipe.patience and run.spent <= recipe.minutes * 60:
        started, clock = time.perf_counter(), Clock()
        losses = run.epoch()
        seconds = time.perf_counter() - started
        run.spent += clock.lap()
        last = run.number == recipe.epochs or run.spent > recipe.minutes * 60
        if last or run.number % recipe.check == 0:
            epoch = run.check(run.number, losses, seconds)
            if saved is not None:
                with atomic_file(saved) as aside:
                    torch.save(run.state(), aside)
            yield epoch
        else:
            yield run.told(losses, {}, False, seconds)


def _judge(batch: Batch, train: Tensor, valid: Tensor, recipe: AlignmentRecipe) -> Callable[[EntityModel], Any]:
    """Validation figures: the rank of held-out partners among them and random entities that aren't trained on.

    "score" is the mean of both directions' MRR. Which of the others are linked, and to what, is not read.
    """
    assert batch.graph is not None
    assert batch.graph.side is not None
    side = batch.graph.side
    free = torch.ones(len(side), dtype=torch.bool, device=side.device)
    free[train.flatten()] = False
    free[valid.flatten()] = False
    generator = torch.Generator().manual_seed(0)
    others = [((side == one) & free).nonzero().squeeze(1) for one in (0, 1)]
    count = min(DISTRACTORS, *(len(one) for one in others))
    drawn = [one[torch.randperm(len(one), generator=generator)[:count].to(one.device)] for one in others]
    rows = [torch.cat((valid[:, i], drawn[i])) for i in (0, 1)]

    def run(model: EntityModel) -> dict[str, float]:
        joint = model.tables(batch)["joint"]
        both = rank_pairs(joint[rows[0]], joint[rows[1]], csls=recipe.csls)
        ranks = torch.stack([one.ranks[: len(valid)] for one in both]).double()
        return {
            "hits1": float((ranks <= 1).double().mean()), "hits10": float((ranks <= 10).double().mean()),
            "score": float((1 / ranks).mean()),
        }  # fmt: skip

    return run


class _Run:
    """All that changes while a run goes on."""

    def __init__(
        self, model: EntityModel, batch: Batch, known: Known, recipe: AlignmentRecipe, judge: Callable[..., Any]
    ) -> None:
        self.model, self.batch, self.known, self.recipe, self.judge = model, batch, known, recipe, judge
        self.optimiser = torch.optim.AdamW(groups(model, recipe), lr=recipe.rate)
        self.steps = recipe.epochs * math.ceil(len(known.links) / recipe.batch)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        torch.manual_seed(recipe.seed)
        self.number, self.chosen, self.top, self.idle, self.spent = 0, 0, -math.inf, 0, 0.0
        self.kept: dict[str, Tensor] = {}
        self.spread = {m: value.std().item() for m, value in batch.features.items()}

    def _rate(self, step: int) -> float:
        return rate_at(step, self.steps, self.recipe.warm_up)

    def epoch(self) -> dict[str, float]:
        """Train on every pair once. -> mean loss by term"""
        self.model.train()
        self.number += 1
        found = self.known.found
        most = int(self.recipe.draw * len(self.known.links))
        drawn = torch.randperm(len(found), generator=self.generator)[:most].to(found.device)
        pairs = torch.cat((self.known.links, found[drawn]))
        order = torch.randperm(len(pairs), generator=self.generator)
        count = math.ceil(len(self.known.links) / self.recipe.batch)  # found pairs widen the steps, not their number
        sums: dict[str, float] = {}
        for rows in order.chunk(count):
            query = pairs[rows.to(pairs.device)]
            for name, value in self._step(asking(self._noisy(), query)).items():
                sums[name] = sums.get(name, 0.0) + value / count
        recipe = self.recipe
        if recipe.iterative and self.number >= recipe.iterative and self.number % recipe.collect == 0:
            self.known.look(self.model.eval().tables(self.batch)["joint"], recipe.csls, recipe.survive)
        return sums

    def _noisy(self) -> Batch:
        if not self.recipe.noise:
            return self.batch
        features = {
            m: value + torch.randn_like(value) * (self.spread[m] * self.recipe.noise)
            for m, value in self.batch.features.items()
        }
        return replace(self.batch, features=features)

    def _step(self, batch: Batch) -> dict[str, float]:
        terms = self.model.loss(self.model(batch, trace=False), batch, self.number)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            names = ", ".join(f"{name} {float(value.detach()):.3g}" for name, value in terms.items())
            raise FusionError(f"The loss is no longer a number ({names}); try a lower --rate.")
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        trained = [one for group in self.optimiser.param_groups for one in group["params"]]
        torch.nn.utils.clip_grad_norm_(trained, self.recipe.clip)
        self.optimiser.step()
        self.schedule.step()
        return {name: float(value.detach()) for name, value in terms.items()}

    def check(self, number: int, losses: dict[str, float], seconds: float) -> AlignmentEpoch:
        """Judge the model as it is, and keep it where it is the best so far."""
        started, clock = time.perf_counter(), Clock()
        scores = self.judge(self.model.eval())
        better = scores["score"] > self.top
        if better:
            self.top, self.idle, self.chosen = scores["score"], 0, number
            self.kept = {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}
        else:
            self.idle += 1
        self.spent += clock.lap()
        return self.told(losses, scores, better, seconds + time.perf_counter() - started)

    def told(self, losses: dict[str, float], scores: dict[str, float], better: bool, seconds: float) -> AlignmentEpoch:
        """The epoch in words."""
        count = len(self.known.links) + len(self.known.found)
        return AlignmentEpoch(
            self.number, losses, scores, better, self.chosen, seconds, self.kept, count, self.known.found
        )

    def state(self) -> dict[str, Any]:
        """What a resume needs, exactly."""
        return {
            "model": self.model.state_dict(), "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(), "generator": self.generator.get_state(),
            "random": torch.get_rng_state(), "known": self.known.state(), "kept": self.kept,
            "number": self.number, "chosen": self.chosen, "top": self.top, "idle": self.idle, "spent": self.spent,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])
        self.known.restore(state["known"])
        self.kept, self.number, self.chosen = state["kept"], state["number"], state["chosen"]
        self.top, self.idle, self.spent = state["top"], state["idle"], state["spent"]
