"""What systems of a shared space need besides answers: what their data are made of, and figures of the space itself.

B rows, N samples, M modalities, K numbers of a representation. Everything is measured on samples that were not fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fusion.explain.subsets import called, subsets
from fusion.metrics import geometry, latent, retrieval
from fusion.signals import Canonical, Embedding, Posterior
from fusion.streams.evaluation import home_of
from fusion.streams.probe import Probed

if TYPE_CHECKING:
    from fusion.models.base import FusionModel
    from fusion.streams.inputs import Streams
    from fusion.types import Batch

SIZE = 128  # samples of one pass
DRAWS = 100  # of the posterior of each sample for its likelihood, in `figures`; benchmarks/coherence.py draws 1,000
IMAGINED = 500  # draws of the prior whose parts are compared
SEED = 11


def made_of(streams: Streams) -> dict[str, Any]:
    """Likelihoods, shapes of pictures, names of tokens and what is ink, as settings of a system that makes samples.

    One-hot steps with names are categorical; one step of numbers between 0 and 1 that is a picture is Bernoulli, and
    square where it can be; all else is normal.
    """
    likelihoods, pictures, tokens = [], [], []
    for modality in streams.modalities:
        m, table = modality.name, streams.features[modality.name]
        side = round(table.shape[2] ** 0.5)
        if m in streams.tokens:
            likelihoods.append("categorical")
            tokens += [f"{m}:{token}" for token in streams.tokens[m]]
        elif modality.kind == "image" and table.shape[1] == 1 and table.min() >= 0 and table.max() <= 1:
            likelihoods.append("bernoulli")
        else:
            likelihoods.append("normal")
        square = likelihoods[-1] == "bernoulli" and side * side == table.shape[2]
        pictures += [1, side, side] if square else [0, 0, 0]
    return {
        "likelihoods": tuple(likelihoods), "pictures": tuple(pictures), "tokens": tuple(tokens), "inked": streams.inked,
    }  # fmt: skip


def left_raw(streams: Streams) -> tuple[str, ...]:
    """Modalities that stay as they are: what is no longer a picture or a letter on another scale."""
    kinds = made_of(streams)["likelihoods"]
    return tuple(m for m, kind in zip(streams.names, kinds, strict=True) if kind != "normal")


def batches(streams: Streams, rows: Tensor) -> Iterator[Batch]:
    """Samples, some hundred at a time."""
    for part in rows.split(1024):
        yield streams.batch(part)


def views_of(model: FusionModel, streams: Streams, rows: Tensor) -> dict[str, np.ndarray]:
    """The place of each modality alone in the shared space, NaN where a sample lacks it. -> {m: (N', K) float32}"""
    inner, device = model.inner if isinstance(model, Probed) else model, home_of(model)
    found: dict[str, list[Tensor]] = {}
    with torch.inference_mode():
        for part in rows.split(SIZE):
            batch = streams.batch(part)
            for signal in inner(batch.to(device)).trace.of(Embedding):
                if signal.modality in streams.names:
                    value = signal.value.float().cpu()
                    value[~batch.has(signal.modality)] = float("nan")
                    found.setdefault(signal.modality, []).append(value)
    return {m: torch.cat(parts).numpy() for m, parts in found.items()}


def figures(
    model: FusionModel, streams: Streams, split: str, progress: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Figures of the space on one split: whether views find each other, and what else the system can be asked for."""
    tell = progress or (lambda _: None)
    rows = streams.rows(split, labelled=False)
    inner = model.inner if isinstance(model, Probed) else model
    tell("how views find each other")
    found: dict[str, Any] = {"pairs": pairs(views_of(model, streams, rows))}
    for canonical in inner.learned().of(Canonical):
        found["canonical"] = _canonical(canonical)
    if hasattr(inner, "log_likelihood"):  # it says how samples came about
        tell("what is made of what")
        found["generative"] = generative(inner, streams, rows)
    return found


def flat(found: Mapping[str, Any]) -> dict[str, Any]:
    """`figures` without tables, for a terminal."""
    rows: dict[str, Any] = {}
    for one in found.get("pairs", ()):
        for way, at in ((one["views"], 0), (one["views"][::-1], 1)):
            rows |= {f"{' to '.join(way)}, {k}": one[k][at] for k in ("r1", "r10", "mrr")}
    canonical = found.get("canonical", {})
    for name, told in (("train", "fitted"), ("held_out", "held out")):
        if canonical.get(name):
            rows[f"mean correlation, {told}"] = float(np.mean(canonical[name]))
    made = found.get("generative", {})
    return rows | {k: v for k, v in made.items() if not isinstance(v, (dict, list))}


def pairs(views: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """For every two views: how often partners find each other among all, and how the views lie to each other."""
    made = []
    for a, b in combinations(views, 2):
        both = np.isfinite(views[a]).all(1) & np.isfinite(views[b]).all(1)
        x, y = views[a][both], views[b][both]
        if len(x) < 12:
            continue
        made.append({"views": [a, b], **between(x, y)})
    return made


def between(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """How often partners find each other among all, there and back, and how two views lie to each other. (N, K) each"""
    there, back = retrieval.both_directions(x, y)
    shared, chance = geometry.mutual_neighbours(x, y)
    return {
        "n": len(x), "r1": [there.recall[1], back.recall[1]], "r10": [there.recall[10], back.recall[10]],
        "mrr": [there.mrr, back.mrr], "median_rank": [there.median, back.median],
        "gap": geometry.modality_gap(x, y), "neighbours": shared, "neighbours_chance": chance,
    }  # fmt: skip


def _canonical(signal: Canonical) -> dict[str, Any]:
    """Correlations of each component: mean over the pairs of views, in the fitted and in the held-out rows."""
    told: dict[str, Any] = {
        "train": signal.value.mean(1).tolist(), "rows": signal.rows, "eigenvalues": signal.eigenvalues.tolist(),
    }  # fmt: skip
    if signal.held_out is not None:
        told |= {"held_out": signal.held_out.mean(1).tolist(), "held_out_rows": signal.held_out_rows}
    if signal.p is not None:
        told |= {"p": signal.p.tolist(), "rounds": signal.rounds}
    return told


def readers_of(model: FusionModel, streams: Streams) -> dict[str, Any]:
    """A classifier of what is shown, for each modality, fitted on the true training samples. -> {m: classifier}"""
    from sklearn.linear_model import LogisticRegression

    rows = streams.rows("train")
    target = streams.target[rows].numpy()
    found = {}
    for at, m in enumerate(streams.names):
        there = torch.from_numpy(streams.present[rows.numpy(), at])
        batch = streams.batch(rows[there])
        shown = batch.features[m] * batch.mask[m][..., None]
        table = shape_of(shown, model.config.likelihoods[at], model.config.steps[at])
        found[m] = LogisticRegression(C=10, max_iter=2000).fit(table, target[there.numpy()])
    return found


def shape_of(shown: Tensor, likelihood: str, steps: int) -> np.ndarray:
    """What a classifier reads of one modality: the likeliest token of each step, or the numbers. -> (N, T x D)"""
    value = shown.float().cpu()
    if value.shape[1] < steps:
        value = torch.cat((value, value.new_zeros(len(value), steps - value.shape[1], value.shape[2])), 1)
    if likelihood == "categorical":
        real = value.abs().sum(-1, keepdim=True) > 0
        value = torch.nn.functional.one_hot(value.argmax(-1), value.shape[-1]) * real
    return value.reshape(len(value), -1).numpy()


@torch.no_grad()
def generative(model: Any, streams: Streams, rows: Tensor) -> dict[str, Any]:
    """Evidence, dimensions in use, and coherence: whether what is made shows the class that it was made from.

    Classifiers learn from the true training samples alone. cross: {given: {made: mean over classes of the share whose
    class is seen}}, by the mean of the posterior; joint: draws of the prior on whose class all classifiers agree.
    """
    names, config = model.config.modalities, model.config
    generator, device = torch.Generator().manual_seed(SEED), home_of(model)
    nats, kl, means = [], [], []
    made: dict[tuple[tuple[str, ...], str], list[np.ndarray]] = {}
    errors: dict[tuple[tuple[str, ...], str], list[Tensor]] = {}
    read = readers_of(model, streams) if streams.classes else {}
    for part in rows.split(SIZE):
        batch = streams.batch(part).to(device)
        posterior = next(iter(model(batch).trace.of(Posterior)))
        kl.append(posterior.kl.cpu())
        means.append(posterior.joint.cpu())
        nats.append(model.log_likelihood(batch, DRAWS, generator).cpu())
        whole = bool(batch.present.all())
        for subset in subsets(names) if whole and read else ():
            shown = model.generate(batch, subset, samples=0)
            for at, m in enumerate(names):
                table = shape_of(shown[m], config.likelihoods[at], config.steps[at])
                made.setdefault((subset, m), []).append(read[m].predict(table))
                if config.likelihoods[at] != "categorical":
                    error = (shown[m] - batch.features[m])[:, : batch.mask[m].shape[1]].square().mean((1, 2))
                    errors.setdefault((subset, m), []).append(error.cpu())
    active = latent.active_units(torch.cat(means).numpy())
    found: dict[str, Any] = {
        "nats": float(torch.cat(nats).mean()), "draws": DRAWS, "active": int(active.sum()), "dimensions": len(active),
        "kl": latent.by_dimension(torch.cat(kl).numpy()).tolist(),
        "variance": latent.variance(torch.cat(means).numpy()).tolist(),
    }  # fmt: skip
    if made:
        target = streams.target[rows].numpy()
        seen = {key: latent.macro_accuracy(np.concatenate(parts), target) for key, parts in made.items()}
        found["cross"] = {
            called(given, names): {m: value for (one, m), value in seen.items() if one == given}
            for given in subsets(names)
        }
        found["cross_by_size"] = {str(k): v for k, v in latent.by_size(seen).items()}
        outside = [value for (given, m), value in seen.items() if m not in given]
        found["cross_mean"] = float(np.mean(outside))
        found["error"] = {
            called(given, names): {
                m: float(torch.cat(parts).mean()) for (one, m), parts in errors.items() if one == given
            }
            for given in subsets(names)
        }
        drawn = model.shown(model.decode(model.imagine(IMAGINED, generator).to(device)))
        said = [
            read[m].predict(shape_of(drawn[m], config.likelihoods[at], config.steps[at])) for at, m in enumerate(names)
        ]
        found["joint"] = latent.joint_coherence(said)
    return found
