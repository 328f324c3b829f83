"""Training: `fit` is a generator of epochs; the caller prints, plots, saves or stops.

Encoders' outputs are given (fusion.features), so a step is the fusion model's own cost; a text encoder that is to be
fine-tuned comes as `Tuned` and runs in every step.
A run folder holds the last state (model, optimiser, random numbers); a killed run goes on from it, exactly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.device import amp_dtype, best
from fusion.files import atomic_file
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.encoders import TextEncoder
    from fusion.encoders.tokens import Tokens
    from fusion.features import Features
    from fusion.models.base import FusionModel
    from fusion.types import Batch


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are the paper's where it says."""

    epochs: int = 24
    batch: int = 64
    rate: float = 5e-5  # peak learning rate
    warm_up: float = 0.1  # share of all steps
    decay: float = 0.01  # decoupled; not on biases and normalisation
    clip: float = 1.0  # of the gradient's norm
    patience: int = 5  # epochs without a better validation score before stopping
    minutes: float = 30.0  # budget, as `Clock` counts; the epoch that passes it is the last
    seed: int = 37
    noise: float = 0.0  # standard deviation of Gaussian noise on pooled features, relative to theirs
    rates: tuple[tuple[str, float], ...] = ()  # (start of a parameter's name, its rate as a multiple of `rate`)
    text_rate: float = 0.0  # that of the text encoder, as a multiple of `rate`; 0: frozen


@dataclass(frozen=True)
class Tuned:
    """A text encoder of one's own that trains along, and the word pieces of every training sample."""

    encoder: TextEncoder
    tokens: Tokens

    def read(self, batch: Batch, rows: Tensor) -> Batch:
        """The batch with its texts encoded anew, with gradients. rows (B,): which training samples these are"""
        device, mask = batch.mask["text"].device, batch.mask["text"]
        longest = mask.shape[1]
        ids, segment, shapes = (
            part[rows, :longest].to(device) for part in (self.tokens.ids, self.tokens.segment, self.tokens.shapes)
        )
        hidden = self.encoder.forward_ids(ids, mask, segment)
        steps = hidden.steps * mask[..., None]
        if self.encoder.shape_width:
            steps = torch.cat((steps, shapes), -1)
        return replace(batch, features=batch.features | {"text": steps}, pooled=batch.pooled | {"text": hidden.pooled})


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave."""

    number: int  # from 1
    losses: dict[str, float]  # mean by term
    scores: dict[str, float]  # validation
    best: bool  # the best validation score so far
    chosen: int  # number of the best epoch so far
    seconds: float
    state: dict[str, Tensor] = field(repr=False)  # weights of the best epoch so far; the encoder's start with ENCODER


ENCODER = "text_encoder."


class Clock:
    """Seconds that count towards a budget: those of the wall in which this process had a processor.

    A run that was paused, or waited for other programs, is not charged for it; several threads count once.
    """

    def __init__(self) -> None:
        self.wall, self.busy = time.perf_counter(), time.process_time()

    def lap(self) -> float:
        """Seconds since the last lap."""
        wall, busy = time.perf_counter(), time.process_time()
        passed = min(wall - self.wall, busy - self.busy)
        self.wall, self.busy = wall, busy
        return passed


def groups(model: torch.nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Parameters by decay (matrices only; not biases, normalisation or CRF scores) and by learning rate.

    Those with a rate of 0 stay as they are: no gradient is computed for them.
    """
    made: dict[tuple[bool, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        decayed = parameter.ndim > 1 and not name.startswith("crf.")
        multiple = next((rate for start, rate in recipe.rates if name.startswith(start)), 1.0)
        parameter.requires_grad_(multiple > 0)
        if multiple == 0:
            continue
        made.setdefault((decayed, multiple), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": recipe.decay if decayed else 0.0, "lr": recipe.rate * multiple}
        for (decayed, multiple), parameters in made.items()
    ]


def fit(
    model: FusionModel, train: Features, recipe: Recipe, score: Callable[[FusionModel], dict[str, float]],
    *, pad: int | None = None, folder: Path | None = None, views: Tensor | None = None, tuned: Tuned | None = None,
) -> Iterator[Epoch]:  # fmt: skip
    """Train on features; yields after every epoch. `score` returns validation figures, "score" the one to maximise.

    A fresh run first yields epoch 0, the model as it came: training has to beat it.

    pad: word pieces to pad to, for models that read padding. folder: where to keep the state for a resume.
    views (N, V) int: picture indices to choose from for each sample (other renderings of the same thing).
    tuned: a text encoder to train along, at recipe.text_rate times the rate.
    Raises FusionError when the loss stops being a number.
    """
    device = best()[0]
    model.to(device)
    trained: dict[str, torch.nn.Module] = {"model": model}
    parts = groups(model, recipe)
    if tuned is not None:
        trained["encoder"] = tuned.encoder.to(device).module.requires_grad_(True)
        own = replace(recipe, rate=recipe.rate * recipe.text_rate, rates=())
        parts += groups(trained["encoder"], own)
    optimiser = torch.optim.AdamW(parts, lr=recipe.rate)
    per_epoch = math.ceil(len(train) / recipe.batch)
    total = recipe.epochs * per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(step, total, recipe.warm_up))
    generator = torch.Generator().manual_seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    first, chosen, top, kept, idle, spent = 0, 0, -math.inf, {}, 0, 0.0
    saved = folder / "state.pt" if folder is not None else None
    if saved is not None and saved.exists():
        state = torch.load(saved, weights_only=True, map_location="cpu")
        for name, part in trained.items():
            part.load_state_dict(state[name])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])
        first, chosen, top = state["epoch"], state["chosen"], state["top"]
        kept, idle, spent = state["kept"], state["idle"], state["spent"]
    else:
        model.eval()
        started = time.perf_counter()
        scores = score(model)
        top, kept = scores["score"], _copied(trained)
        yield Epoch(0, {}, scores, True, 0, time.perf_counter() - started, kept)
    for number in range(first + 1, recipe.epochs + 1):
        if idle >= recipe.patience or spent > recipe.minutes * 60:
            return
        started, clock = time.perf_counter(), Clock()
        losses = _epoch(model, train, recipe, optimiser, schedule, generator, pad, device, views, tuned)
        for part in trained.values():
            part.eval()
        scores = score(model)
        better = scores["score"] > top
        if better:
            top, idle, chosen = scores["score"], 0, number
            kept = _copied(trained)
        else:
            idle += 1
        spent += clock.lap()
        if saved is not None:
            with atomic_file(saved) as aside:
                state = {name: part.state_dict() for name, part in trained.items()}
                state |= {"optimiser": optimiser.state_dict(), "schedule": schedule.state_dict()}
                state |= {"generator": generator.get_state(), "random": torch.get_rng_state(), "epoch": number}
                state |= {"chosen": chosen, "top": top, "kept": kept, "idle": idle, "spent": spent}
                torch.save(state, aside)
        yield Epoch(number, losses, scores, better, chosen, time.perf_counter() - started, kept)


def _copied(trained: dict[str, torch.nn.Module]) -> dict[str, Tensor]:
    starts = {"model": "", "encoder": ENCODER}
    return {
        starts[part] + name: value.detach().cpu().clone()
        for part, module in trained.items()
        for name, value in module.state_dict().items()
    }


def rate_at(step: int, total: int, warm_up: float) -> float:
    """Linear warm-up, then linear decay to 0; a share of the peak rate."""
    rising = max(1, int(total * warm_up))
    return (step + 1) / rising if step < rising else max(0.0, (total - step) / max(1, total - rising))


def _epoch(model, train, recipe, optimiser, schedule, generator, pad, device, views, tuned) -> dict[str, float]:  # type: ignore[no-untyped-def]
    model.train()
    if tuned is not None:
        tuned.encoder.module.train()
    order = torch.randperm(len(train), generator=generator)
    sums: dict[str, float] = {}
    count = 0
    dtype = amp_dtype(device)
    for rows in order.split(recipe.batch):
        if len(rows) < 2:
            continue  # a contrastive loss of one sample has nothing to contrast
        batch = _batch(train, rows, pad, views, generator).to(device)
        with torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            if tuned is not None:
                batch = tuned.read(batch, rows)
            if recipe.noise:
                for name, value in batch.pooled.items():
                    batch.pooled[name] = value + torch.randn_like(value) * value.std().detach() * recipe.noise
            terms = model.loss(model(batch, trace=False), batch, count)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            names = ", ".join(f"{name} {float(value.detach()):.3g}" for name, value in terms.items())
            raise FusionError(f"The loss is no longer a number ({names}); try a lower --rate.")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(
            [one for group in optimiser.param_groups for one in group["params"]], recipe.clip
        )
        optimiser.step()
        schedule.step()
        count += 1
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
    return {name: value / max(1, count) for name, value in sums.items()}


def _batch(train, rows, pad, views, generator):  # type: ignore[no-untyped-def]
    """A training batch; where samples have several renderings, one is drawn for each."""
    batch = train.batch(rows, pad=pad)
    if views is None:
        return batch
    choice = torch.randint(views.shape[1], (len(rows), 1), generator=generator)
    picked = views[rows].gather(1, choice).squeeze(1)
    there = (picked >= 0)[:, None]
    at = picked.clamp(min=0)
    batch.features["image"] = train.image_steps[at].float() * there[..., None]
    batch.pooled["image"] = train.image_pooled[at] * there
    return batch
