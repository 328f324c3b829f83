"""Training of systems of streams: stage by stage, with data hidden on purpose where the recipe says so.

The epoch of a stage is chosen by the validation split alone: the negative mean absolute error, the accuracy, or the
evidence bound of a model that answers nothing, as the mean of complete samples and of the same samples with as much
hidden as in training, drawn once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusion import missing
from fusion.device import amp_dtype, best
from fusion.files import atomic_file
from fusion.streams.evaluation import answers, bound, one_figure
from fusion.training import Clock, Epoch, Recipe, groups, rate_at
from fusion.types import FusionError, Task

if TYPE_CHECKING:
    from fusion.models.base import FusionModel
    from fusion.streams.inputs import Streams
    from fusion.types import Batch

VALIDATION_SEED = 2011  # of what is hidden from the validation samples, the same in every run


@dataclass(frozen=True)
class StreamRecipe(Recipe):
    """How to train a system of streams; the defaults suit a few hundred to a few thousand samples."""

    epochs: int = 40
    batch: int = 32
    rate: float = 1e-3
    warm_up: float = 0.05
    decay: float = 1e-4
    clip: float = 1.0
    patience: int = 8
    minutes: float = 20.0
    hide: str = missing.MODALITIES  # steps | modalities | a modality: what is hidden at random while training
    hide_rate: float = 0.3  # 0: nothing
    widest: int = 0  # D above which features are brought down to it, texts too; 0: wide ones of others to 64
    teacher_epochs: int = 15  # at most, of a stage before the last
    choose_ridge: bool = True  # of a system that is solved in one go: the ridge that does best on the valid samples


@dataclass(frozen=True)
class StageEpoch(Epoch):
    """An epoch, and the stage that it belongs to."""

    stage: str = "fusion"


def fit(
    model: FusionModel, streams: Streams, recipe: StreamRecipe, *, folder: Path | None = None
) -> Iterator[StageEpoch]:
    """Train through the stages of a model; yields after every epoch, each stage from its own number 1, and before all
    the last epoch of the run that a resume goes on from.

    The model is left with the weights of the last stage's best epoch. folder: where to keep the state for a resume.
    Raises FusionError when a split is empty or the loss stops being a number.
    """
    device = best()[0]
    labelled = model.task is not Task.REPRESENTATION
    train, valid = (streams.rows(split, labelled=labelled) for split in ("train", "valid"))
    model.to(device)
    run = _Run(model, streams, recipe, train, valid, device, folder)
    run.restore()
    for stage in model.stages[run.stage :]:
        yield from run.follow(stage)


class _Run:
    """All that changes while a run goes on."""

    def __init__(
        self, model: FusionModel, streams: Streams, recipe: StreamRecipe, train: Tensor, valid: Tensor,
        device: torch.device, folder: Path | None,
    ) -> None:  # fmt: skip
        self.model, self.streams, self.recipe, self.device = model, streams, recipe, device
        self.train, self.valid = train, valid
        self.saved = None if folder is None else folder / "state.pt"
        self.generator = torch.Generator().manual_seed(recipe.seed)
        torch.manual_seed(recipe.seed)
        self.stage, self.spent = 0, 0.0
        self.finished: dict[str, dict[str, Tensor]] = {}  # {stage: its best weights}, what later ones start from
        self.resumed: dict[str, Any] | None = None

    def restore(self) -> None:
        """Go on where a run of the same folder stood."""
        if self.saved is None or not self.saved.exists():
            return
        state = torch.load(self.saved, weights_only=True, map_location="cpu")
        self.finished = state["finished"]
        for stage, weights in self.finished.items():
            self.model.start(stage)
            self.model.load_state_dict(weights)
        self.stage, self.spent, self.resumed = state["stage"], state["spent"], state

    def follow(self, stage: str) -> Iterator[StageEpoch]:
        """Train one stage to its end; the model is left at its best epoch."""
        recipe, last = self.recipe, self.stage == len(self.model.stages) - 1
        epochs = recipe.epochs if last else recipe.teacher_epochs
        self.model.start(stage)
        parts = groups(self.model, recipe)
        optimiser = torch.optim.AdamW(parts, lr=recipe.rate)
        total = epochs * math.ceil(len(self.train) / recipe.batch)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(step, total, recipe.warm_up))
        number, chosen, idle, top, kept = 0, 0, 0, -math.inf, _copied(self.model)
        if self.resumed is not None:
            state, self.resumed = self.resumed, None
            self.model.load_state_dict(state["model"])
            optimiser.load_state_dict(state["optimiser"])
            schedule.load_state_dict(state["schedule"])
            self.generator.set_state(state["generator"])
            torch.set_rng_state(state["random"])
            number, chosen, idle, top, kept = (state[k] for k in ("number", "chosen", "idle", "top", "kept"))
            yield StageEpoch(number, {}, state["scores"], number == chosen, chosen, 0.0, kept, stage)
        else:
            top = self.judge()["score"]
        while number < epochs and idle < recipe.patience and self.spent <= recipe.minutes * 60:
            number += 1
            started, clock = time.perf_counter(), Clock()
            losses = self.epoch(optimiser, schedule, hidden=last)
            scores = self.judge()
            better = scores["score"] > top
            if better:
                top, idle, chosen, kept = scores["score"], 0, number, _copied(self.model)
            else:
                idle += 1
            self.spent += clock.lap()
            self.keep(
                model=self.model.state_dict(), optimiser=optimiser.state_dict(), schedule=schedule.state_dict(),
                number=number, chosen=chosen, idle=idle, top=top, kept=kept, scores=scores,
            )  # fmt: skip
            seconds = time.perf_counter() - started
            yield StageEpoch(number, losses, scores, better, chosen, seconds, kept, stage)
        self.model.load_state_dict(kept)
        self.model.eval()
        self.finished[stage] = kept
        self.stage += 1

    def keep(self, **now: object) -> None:
        """Write the state of this epoch aside, then in place of the one before."""
        if self.saved is None:
            return
        state = {
            **now, "stage": self.stage, "spent": self.spent, "generator": self.generator.get_state(),
            "random": torch.get_rng_state(), "finished": self.finished,
        }  # fmt: skip
        with atomic_file(self.saved) as aside:
            torch.save(state, aside)

    def epoch(self, optimiser, schedule, *, hidden: bool) -> dict[str, float]:  # type: ignore[no-untyped-def]
        """One pass over the samples to train on. -> mean loss by term"""
        self.model.train()
        dtype = amp_dtype(self.device)
        sums: dict[str, float] = {}
        count = 0
        for rows in self.train[torch.randperm(len(self.train), generator=self.generator)].split(self.recipe.batch):
            if len(rows) < 2:
                continue  # batch statistics and contrasts need two
            batch = self.hidden(self.streams.batch(rows), self.generator, hidden).to(self.device)
            with torch.autocast(self.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
                terms = self.model.loss(self.model(batch, trace=False), batch, schedule.last_epoch)
            loss = torch.stack(list(terms.values())).sum()
            if not torch.isfinite(loss):
                names = ", ".join(f"{name} {float(value.detach()):.3g}" for name, value in terms.items())
                raise FusionError(f"The loss is no longer a number ({names}); try a lower --rate.")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
            optimiser.step()
            schedule.step()
            count += 1
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value.detach())
        self.model.eval()
        return {name: value / max(1, count) for name, value in sums.items()}

    def hidden(self, batch: Batch, generator: torch.Generator, hide: bool = True) -> Batch:
        """The batch with as much hidden as the recipe says."""
        batch = replace(batch, whole=batch)
        return missing.hide(batch, self.recipe.hide, self.recipe.hide_rate, generator) if hide else batch

    def judge(self) -> dict[str, float]:
        """Validation figures; "score" is the one to maximise."""
        self.model.eval()
        complete = self.figure()
        if not self.recipe.hide_rate:
            return {"complete": complete, "score": complete}
        generator = torch.Generator().manual_seed(VALIDATION_SEED)
        change: Callable[[Batch], Batch] = lambda batch: self.hidden(batch, generator)  # noqa: E731
        partly = self.figure(change)
        return {"complete": complete, "hidden": partly, "score": (complete + partly) / 2}

    def figure(self, change: Callable[[Batch], Batch] | None = None) -> float:
        """The validation figure, as samples are or after a change: higher is better."""
        if self.model.task is Task.REPRESENTATION:
            return bound(self.model, self.streams, self.valid, change)
        return one_figure(self.streams, self.valid, answers(self.model, self.streams, self.valid, change))


def _copied(model: FusionModel) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
