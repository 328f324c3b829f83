"""Training of link predictors: every entity is scored for a batch of queries; `fit` is a generator of epochs.

A query is (head, relation) with all its tails of the train split; inverse relations are relations of their own. The
epoch is chosen by the filtered MRR of the valid split, known tails of train and valid taken out: no triple to test is
read. Whatever is ranked here keeps to `Linker`: the fusion system, each of its branches alone, and the baselines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from fusion.device import best
from fusion.files import atomic_file
from fusion.links.evaluation import WHOLE
from fusion.links.ranking import ranked
from fusion.training import Clock, Epoch, Recipe, groups, rate_at
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.data.triples import Known, TripleSet
    from fusion.links.ranking import Block

TINY = 1e-16  # of Adam: a mean over all B N scores has gradients far below its usual 1e-8


class Linker(Protocol):
    """What the harness trains and ranks."""

    columns: tuple[str, ...]  # of its scores; "decision" is what it answers with

    @property
    def module(self) -> torch.nn.Module:
        """What is trained and kept."""
        ...

    def to(self, device: torch.device) -> Any:
        """Move everything to a device."""
        ...

    def terms(self, query: Tensor, row: Tensor, tail: Tensor, step: int) -> dict[str, Tensor]:
        """The loss of a batch by term. query (B, 2); row, tail (K,): which entities are true of which query"""
        ...

    @property
    def count(self) -> int:
        """N"""
        ...

    def ranker(self, asked: Tensor | None = None) -> Callable[[Tensor], Block]:
        """As `fusion.links.ranking.Ranker`."""
        ...


@dataclass(frozen=True)
class LinkRecipe(Recipe):
    """How to train; the defaults are those of the keywords graph (docs/decisions)."""

    epochs: int = 48
    batch: int = 128  # queries a step
    rate: float = 5e-3
    warm_up: float = 0.02
    decay: float = 0.0
    clip: float = 10.0
    patience: int = 3  # checks without a better validation score before stopping
    check: int = 4  # epochs between two checks on the valid triples
    choice: float = 3.0  # weight of the answer among all entities, in shares of 1 / N; 0: the paper's terms alone
    structure_epochs: int = 200  # of the graph encoder, before; 0: its rows start at random
    structure_rate: float = 5e-4
    baselines: tuple[str, ...] = ("distmult", "transe")  # trained beside, to compare with; popularity always is


def fit(
    linker: Linker, triples: TripleSet, recipe: LinkRecipe, *, folder: Path | None = None, spent: float = 0.0
) -> Iterator[Epoch]:
    """Train on the train split, judged on the valid one; yields after every epoch. Before, the model as it came,
    number 0, or the epoch that a resume goes on from.

    folder: where to keep the state for a resume; spent: seconds of the budget that are gone already.
    Raises FusionError when a split is empty or the loss stops being a number.
    """
    for name in ("train", "valid"):
        if not len(triples.part(name)):
            raise FusionError(
                f'"{triples.title}" has no {name} triples; split it, some to train on, some to choose by.'
            )
    device = best()[0]
    linker.to(device)
    run = _Run(linker, triples, recipe, device)
    run.spent = spent
    saved = folder / "state.pt" if folder is not None else None
    if saved is not None and saved.exists():
        run.restore(torch.load(saved, weights_only=True, map_location="cpu"))
        yield run.told({}, run.scores, better=True)  # what is kept: a run that had ended may not have been measured
    else:
        yield run.check({})
    while run.number < recipe.epochs and run.idle < recipe.patience and run.spent <= recipe.minutes * 60:
        losses = run.epoch()
        if run.number % recipe.check and run.number < recipe.epochs and run.spent <= recipe.minutes * 60:
            yield run.told(losses, {}, better=False)
            continue
        epoch = run.check(losses)
        if saved is not None:
            with atomic_file(saved) as aside:
                torch.save(run.state(), aside)
        yield epoch


def pairs_of(known: Known, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Queries by number, with all their tails. rows (B,) -> query (B, 2), row (K,), tail (K,), int64"""
    query = np.stack(np.divmod(known.keys[rows], known.width), 1)
    return query, *known.tails(query)


class _Run:
    """All that changes while a run goes on."""

    def __init__(self, linker: Linker, triples: TripleSet, recipe: LinkRecipe, device: torch.device) -> None:
        self.linker, self.recipe, self.device = linker, recipe, device
        self.known = triples.known("train")
        self.valid, self.filter = triples.queries("valid"), triples.known("train", "valid")
        self.parts = groups(linker.module, recipe)
        self.optimiser = torch.optim.AdamW(self.parts, lr=recipe.rate, eps=TINY, fused=True)
        self.steps = recipe.epochs * math.ceil(len(self.known.keys) / recipe.batch)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimiser, self._rate)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        torch.manual_seed(recipe.seed)
        self.number, self.chosen, self.top, self.idle, self.spent = 0, 0, -math.inf, 0, 0.0
        self.kept: dict[str, Tensor] = {}
        self.scores: dict[str, float] = {}  # of the best check
        self.clock = Clock()

    def _rate(self, step: int) -> float:
        return rate_at(step, self.steps, self.recipe.warm_up)

    def epoch(self) -> dict[str, float]:
        """Ask every query once. -> mean loss by term"""
        self.clock.lap()
        self.linker.module.train()
        self.number += 1
        order = torch.randperm(len(self.known.keys), generator=self.generator)
        sums: dict[str, float] = {}
        batches = order.split(self.recipe.batch)
        if len(batches) > 1 and len(batches[-1]) < 2:  # a batch normalisation of one query has no spread
            batches = batches[:-1]
        for rows in batches:
            asked = [torch.from_numpy(one).to(self.device) for one in pairs_of(self.known, rows.numpy())]
            for name, value in self._step(*asked).items():
                sums[name] = sums.get(name, 0.0) + value / len(batches)
        self.spent += self.clock.lap()
        return sums

    def _step(self, query: Tensor, row: Tensor, tail: Tensor) -> dict[str, float]:
        terms = self.linker.terms(query, row, tail, self.number)
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

    def check(self, losses: dict[str, float]) -> Epoch:
        """Judge the model as it is, and keep it where it is the best so far."""
        self.clock.lap()
        module = self.linker.module.eval()
        ranks = ranked(self.linker, self.valid, self.filter)
        by = {name: 1 / ranks[:, i] for i, name in enumerate(self.linker.columns)}
        half = len(self.valid) // 2
        score = float(by[WHOLE].mean())
        scores = {"score": score, "tail": float(by[WHOLE][:half].mean()), "head": float(by[WHOLE][half:].mean())}
        scores |= {name: float(value.mean()) for name, value in by.items() if name != WHOLE}
        better = score > self.top
        if better:
            self.top, self.idle, self.chosen, self.scores = score, 0, self.number, scores
            self.kept = {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
        else:
            self.idle += 1
        self.spent += self.clock.lap()
        return self.told(losses, scores, better=better)

    def told(self, losses: dict[str, float], scores: dict[str, float], *, better: bool) -> Epoch:
        """The epoch in words; `scores` is empty where nothing was checked."""
        return Epoch(self.number, losses, scores, better, self.chosen, self.spent, self.kept)

    def state(self) -> dict[str, Any]:
        """What a resume needs, exactly."""
        return {
            "model": self.linker.module.state_dict(), "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(), "generator": self.generator.get_state(),
            "random": torch.get_rng_state(), "kept": self.kept, "number": self.number, "chosen": self.chosen,
            "top": self.top, "idle": self.idle, "spent": self.spent, "scores": self.scores,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.linker.module.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])
        self.kept, self.number, self.chosen = state["kept"], state["number"], state["chosen"]
        self.top, self.idle, self.spent, self.scores = state["top"], state["idle"], state["spent"], state["scores"]
