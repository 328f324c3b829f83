"""All ways of explaining one number of one sample, behind one call: `explain`.

Each gives values of the players (words, regions, steps, or whole modalities) and an `Explanation` whose trace holds one
`Attribution` a modality, which the ordinary views draw.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.explain import attending, gradients, sampling
from fusion.explain.players import Players, asking, modalities_of, steps_of
from fusion.explain.targets import Target, numbers
from fusion.signals import Attribution, Explanation, ModalityWeights, Trace
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.models.base import FusionModel
    from fusion.types import Batch


@dataclass(frozen=True)
class Method:
    """One way of explaining: what it reads, what it costs, whether its values have a direction."""

    key: str
    reads: str  # attention | gradients | hiding
    signed: bool
    rows: Callable[[int], int]  # players -> rows through the model, about


METHODS: Mapping[str, Method] = {
    one.key: one
    for one in (
        Method("occlusion", "hiding", True, lambda players: players + 1),
        Method("shapley", "hiding", True, sampling.cost),
        Method("integrated", "gradients", True, lambda players: 2 * gradients.POINTS + 2),
        Method("gradient_x_input", "gradients", True, lambda players: 2),
        Method("grad_cam", "gradients", False, lambda players: 2),
        Method("relevance", "attention", False, lambda players: 2),
        Method("rollout", "attention", False, lambda players: 1),
        Method("mean", "attention", False, lambda players: 1),
        Method("raw", "attention", False, lambda players: 1),
        Method("weights", "weights", False, lambda players: 1),
    )
}
CAVEATS = {
    "hiding": "caveat.explained_by_hiding", "gradients": "caveat.explained_by_gradients",
    "attention": "caveat.explained_by_attention", "weights": "caveat.explained_by_weights",
}  # fmt: skip
FIRST = "occlusion"  # cheap, needs no attention, means what it says


@dataclass(frozen=True, eq=False)
class Told:
    """An explanation with its values by player, which curves and comparisons need."""

    explanation: Explanation
    players: Players
    values: Tensor  # (P,) float64, 0 for players of whom the method says nothing
    judged: tuple[str, ...]  # modalities of whom it says something


def explain(
    model: FusionModel, batch: Batch, target: Target, method: str = FIRST, *, modalities: Sequence[str] = (),
    whole: bool = False, pairs: int = sampling.PAIRS, seed: int = 0, progress: Callable[[float], None] | None = None,
) -> Told:  # fmt: skip
    """Why a number of a sample is what it is. batch: B = 1, in no inference mode; model in evaluation mode.

    modalities: whose steps are judged, all without; whole: judge whole modalities. Raises FusionError for a method
    that doesn't apply, with one that does.
    """
    if method not in METHODS:
        raise FusionError(f'"{method[:40]}" is no method; choose {", ".join(METHODS)}.')
    started = time.perf_counter()
    batch = fresh(batch)
    players = modalities_of(batch) if whole else steps_of(batch, modalities)
    judged = tuple(dict.fromkeys(players.of))
    gap: float | None = None
    error: Tensor | None = None
    if METHODS[method].reads == "weights":
        values, passes = _by_weight(model, batch, players, whole), 1
        steps = players.spread(values)
    elif METHODS[method].reads == "hiding":
        values, error, passes = _by_hiding(model, batch, target, method, players, whole, pairs, seed, progress)
        steps = players.spread(values)
    else:
        steps, gap, passes = _by_step(model, batch, target, method, judged)
        judged = tuple(m for m in judged if m in steps)
        if not judged:
            raise FusionError(f'"{method}" says nothing of {", ".join(dict.fromkeys(players.of))}; choose occlusion.')
        values = _gathered(players, {m: steps[m] for m in judged})
    spread = None if error is None else players.spread(error)
    signals = tuple(_signal(m, method, batch, players, steps[m], spread) for m in judged)
    explanation = Explanation(
        method=method, target=str(target), trace=Trace(signals, batch.steps), passes=passes,
        seconds=time.perf_counter() - started, gap=gap,
    )  # fmt: skip
    return Told(explanation, players, values, judged)


def _by_hiding(
    model: FusionModel, batch: Batch, target: Target, method: str, players: Players, whole: bool, pairs: int, seed: int,
    progress: Callable[[float], None] | None,
) -> tuple[Tensor, Tensor | None, int]:  # fmt: skip
    """Values of the players (P,), their standard errors where they were sampled, rows that were run."""
    ask, count = asking(model, batch, target, players), len(players)
    if method == "occlusion":
        return _plain(sampling.occluded(ask, count))
    if count <= (sampling.MOST_EXACT if whole else 4):
        return _plain(sampling.exact(ask, count))
    return sampling.sampled(ask, count, pairs=pairs, seed=seed, progress=progress)


def _by_weight(model: FusionModel, batch: Batch, players: Players, whole: bool) -> Tensor:
    """The model's own weight of each modality. -> (P,) float64. Raises FusionError where it has none."""
    with torch.inference_mode():
        found = weights_of(model(batch, trace=True).trace, batch) if whole else None
    if found is None:
        raise FusionError(f"{model.card.name} gives no weight to whole modalities here; choose occlusion.")
    return torch.tensor([found[m] for m in players.names], dtype=torch.float64)


def weights_of(trace: Trace, batch: Batch) -> dict[str, float] | None:
    """The share of each modality that is there, by the model's first signal that weighs them all; None without one."""
    there = [m for m in batch.modalities if bool(batch.has(m)[0])]
    for signal in trace.of(ModalityWeights):
        if set(there) <= set(signal.modalities):
            named = dict(zip(signal.modalities, signal.value[0].tolist(), strict=True))
            return {m: named[m] for m in there}
    return None


def _plain(found: tuple[Tensor, int]) -> tuple[Tensor, None, int]:
    return found[0], None, found[1]


def _by_step(
    model: FusionModel, batch: Batch, target: Target, method: str, judged: Sequence[str]
) -> tuple[dict[str, Tensor], float | None, int]:
    """Values by step {m: (T,)}, the gap of those that add up to something, passes. Raises FusionError."""
    if METHODS[method].reads == "attention":
        steps, passes = attending.attributions(model, batch, target, method)
        return steps, None, passes
    if method == "integrated":
        return gradients.integrated(model, batch, target)
    if method == "gradient_x_input":
        return gradients.gradient_x_input(model, batch, target), None, 2
    pictures = [m for m in judged if is_picture(batch, m)]
    if not pictures:
        raise FusionError(
            f"Grad-CAM needs regions of a picture, and {model.card.name} reads none here; choose integrated "
            "gradients or occlusion."
        )
    return gradients.grad_cam(model, batch, target, pictures), None, 2


def fresh(batch: Batch) -> Batch:
    """The same batch with tensors that can be differentiated, wherever they were made."""
    from dataclasses import replace

    clone = lambda table: {m: x.clone() for m, x in table.items()}  # noqa: E731
    if not any(x.is_inference() for x in (*batch.features.values(), *batch.pooled.values(), batch.present)):
        return batch
    return replace(
        batch, features=clone(batch.features), pooled=clone(batch.pooled), mask=clone(batch.mask),
        kept=clone(batch.kept), present=batch.present.clone(),
    )  # fmt: skip


def _gathered(players: Players, steps: Mapping[str, Tensor]) -> Tensor:
    at_home = {m: value.to(players.member[m].device) for m, value in steps.items() if m in players.member}
    return players.gather(at_home).cpu()


def is_picture(batch: Batch, modality: str) -> bool:
    """Whether the steps are places of a picture, by what they are called."""
    rows = batch.steps.get(modality)
    found = [label for label, group in zip(rows[0].labels, rows[0].group, strict=True) if group >= 0] if rows else []
    return bool(found) and all(re.fullmatch(r"\D*\d+\D+\d+\D*", label) for label in found)


def _signal(
    modality: str, method: str, batch: Batch, players: Players, value: Tensor, error: Mapping[str, Tensor] | None
) -> Attribution:  # fmt: skip
    held = players.held()[modality].cpu()
    value = value.cpu().float()
    value = torch.nn.functional.pad(value, (0, len(held) - len(value)))
    return Attribution(
        name=f"{method}_{modality}", unit="none", value=value[None], steps=modality, mask=held[None],
        signed=METHODS[method].signed, error=None if error is None else error[modality].cpu().float()[None],
        caveat=CAVEATS[METHODS[method].reads],
    )  # fmt: skip


def totals(told: Told) -> dict[str, float]:
    """What all parts of a modality add up to, in units of the target: what the modality moved."""
    found = dict.fromkeys(told.judged, 0.0)
    for m, value in zip(told.players.of, told.values.tolist(), strict=True):
        if m in found:
            found[m] += value
    return found


def shares(told: Told) -> dict[str, float]:
    """How the size of all values divides among modalities (MM-SHAP where the method is Shapley). Sums to 1, or to 0.

    Source: Parcalabescu & Frank 2023, arXiv:2212.08158.
    """
    size = told.values.abs()
    total = float(size.sum())
    found = dict.fromkeys(told.judged, 0.0)
    for m, value in zip(told.players.of, size.tolist(), strict=True):
        if m in found:
            found[m] += value
    return {m: value / total if total > 0 else 0.0 for m, value in found.items()}


__all__ = ["FIRST", "METHODS", "Method", "Told", "explain", "fresh", "is_picture", "numbers", "shares", "totals"]
