"""Training: `fit` is a generator of epochs; the caller prints, plots, saves or stops.

Encoders stay frozen here and their outputs are given (fusion.features), so a step is the fusion model's own cost.
A run folder holds the last state (model, optimiser, random numbers); a killed run goes on from it, exactly.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.device import amp_dtype, best
from fusion.files import atomic_file
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.features import Features
    from fusion.models.base import FusionModel


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
    minutes: float = 30.0  # budget; the epoch that passes it is the last
    seed: int = 37
    noise: float = 0.0  # standard deviation of Gaussian noise on pooled features, relative to theirs
    rates: tuple[tuple[str, float], ...] = ()  # (start of a parameter's name, its rate as a multiple of `rate`)


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave."""

    number: int  # from 1
    losses: dict[str, float]  # mean by term
    scores: dict[str, float]  # validation
    best: bool  # the best validation score so far
    seconds: float
    state: dict[str, Tensor] = field(repr=False)  # weights of the best epoch so far


def groups(model: FusionModel, recipe: Recipe) -> list[dict[str, object]]:
    """Parameters by decay (matrices only; not biases, normalisation or CRF scores) and by learning rate."""
    made: dict[tuple[bool, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        decayed = parameter.ndim > 1 and not name.startswith("crf.")
        multiple = next((rate for start, rate in recipe.rates if name.startswith(start)), 1.0)
        made.setdefault((decayed, multiple), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": recipe.decay if decayed else 0.0, "lr": recipe.rate * multiple}
        for (decayed, multiple), parameters in made.items()
    ]


def fit(
    model: FusionModel, train: Features, recipe: Recipe, score: Callable[[FusionModel], dict[str, float]],
    *, pad: int | None = None, folder: Path | None = None, views: Tensor | None = None,
) -> Iterator[Epoch]:  # fmt: skip
    """Train on features; yields after every epoch. `score` returns validation figures, "score" the one to maximise.

    pad: word pieces to pad to, for models that read padding. folder: where to keep the state for a resume.
    views (N, V) int: picture indices to choose from for each sample (other renderings of the same thing).
    Raises FusionError when the loss stops being a number.
    """
    device = best()[0]
    model.to(device)
    optimiser = torch.optim.AdamW(groups(model, recipe), lr=recipe.rate)
    per_epoch = math.ceil(len(train) / recipe.batch)
    total = recipe.epochs * per_epoch
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(step, total, recipe.warm_up))
    generator = torch.Generator().manual_seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    first, top, kept, idle, spent = 0, -math.inf, {}, 0, 0.0
    saved = folder / "state.pt" if folder is not None else None
    if saved is not None and saved.exists():
        state = torch.load(saved, weights_only=True, map_location="cpu")
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"])
        torch.set_rng_state(state["random"])
        first, top, kept, idle, spent = state["epoch"], state["top"], state["kept"], state["idle"], state["spent"]
    for number in range(first + 1, recipe.epochs + 1):
        if idle >= recipe.patience or spent > recipe.minutes * 60:
            return
        started = time.perf_counter()
        losses = _epoch(model, train, recipe, optimiser, schedule, generator, pad, device, views)
        model.eval()
        scores = score(model)
        better = scores["score"] > top
        if better:
            top, idle = scores["score"], 0
            kept = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
        else:
            idle += 1
        spent += time.perf_counter() - started
        if saved is not None:
            with atomic_file(saved) as aside:
                torch.save(
                    {
                        "model": model.state_dict(), "optimiser": optimiser.state_dict(),
                        "schedule": schedule.state_dict(), "generator": generator.get_state(),
                        "random": torch.get_rng_state(), "epoch": number, "top": top, "kept": kept, "idle": idle,
                        "spent": spent,
                    },
                    aside,
                )  # fmt: skip
        yield Epoch(number, losses, scores, better, time.perf_counter() - started, kept)


def rate_at(step: int, total: int, warm_up: float) -> float:
    """Linear warm-up, then linear decay to 0; a share of the peak rate."""
    rising = max(1, int(total * warm_up))
    return (step + 1) / rising if step < rising else max(0.0, (total - step) / max(1, total - rising))


def _epoch(model, train, recipe, optimiser, schedule, generator, pad, device, views) -> dict[str, float]:  # type: ignore[no-untyped-def]
    model.train()
    order = torch.randperm(len(train), generator=generator)
    sums: dict[str, float] = {}
    count = 0
    dtype = amp_dtype(device)
    for rows in order.split(recipe.batch):
        if len(rows) < 2:
            continue  # a contrastive loss of one sample has nothing to contrast
        batch = _batch(train, rows, pad, views, generator).to(device)
        if recipe.noise:
            for name, value in batch.pooled.items():
                batch.pooled[name] = value + torch.randn_like(value) * value.std() * recipe.noise
        with torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None):
            terms = model.loss(model(batch, trace=False), batch, count)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            names = ", ".join(f"{name} {float(value.detach()):.3g}" for name, value in terms.items())
            raise FusionError(f"The loss is no longer a number ({names}); try a lower --rate.")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
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
