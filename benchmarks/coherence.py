"""MVAE, MMVAE and MoPoE on digits in two hands with their words: what each makes of what (fusion/data/digits.py).

Cross coherence: the digit that a classifier of modality m sees in what is decoded from q(z|X_S), against the true one,
mean of the classes, averaged over all (S, m) with m outside S. Joint coherence: draws of the prior on whose digit all
classifiers agree. Classifiers and probes learn from the train samples, everything is measured on test samples; the
epoch is that of the best bound on the validation samples. The bar is the ordering that is known of these systems, MoPoE
at least MMVAE above MVAE of the joint bound alone, or both of the mixtures above .8. Quality stands beside coherence:
mean squared error of the image from itself and from all others, in shares of black.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch

from benchmarks.measuring import Row
from fusion.data import digits, open_data
from fusion.metrics import latent
from fusion.models import mmvae, mopoe, mvae
from fusion.models.vae import VAE
from fusion.streams.inputs import Streams, read
from fusion.types import Batch

SEEDS = (37, 38, 39)
GOOD = 0.8
DRAWS = 1000  # of the prior, and of each test sample for its likelihood
SIZES: Mapping[str, Any] = {
    "likelihoods": ("bernoulli", "bernoulli", "categorical"), "latent": 16, "hidden": 256, "layers": 2,
    "tokens": tuple(f"text:{letter}" for letter in digits.LETTERS),
}  # fmt: skip
SYSTEMS: Mapping[str, tuple[type[VAE], Mapping[str, Any]]] = {
    "mvae": (mvae.MVAE, {"warm_up": int(mvae.RECIPE["warm_up"])}),
    "mvae_all": (mvae.MVAE, {"warm_up": int(mvae.RECIPE["warm_up"]), "subsets": "all_only"}),
    "mmvae": (mmvae.MMVAE, {"samples": int(mmvae.RECIPE["samples"])}),
    "mopoe": (mopoe.MoPoE, {"warm_up": int(mopoe.RECIPE["warm_up"])}),
}
RECIPES = {"mvae": mvae.RECIPE, "mvae_all": mvae.RECIPE, "mmvae": mmvae.RECIPE, "mopoe": mopoe.RECIPE}
TAUGHT = ("epochs", "batch", "rate")


@dataclass(frozen=True)
class Opened:
    """The set with its classifiers of each modality."""

    streams: Streams
    readers: Mapping[str, Any]  # {m: a scikit-learn classifier of what is shown}

    def batch(self, split: str) -> Batch:
        """All samples of a split."""
        return self.streams.batch(self.streams.rows(split))

    def named(self, modality: str, shown: torch.Tensor) -> np.ndarray:
        """The digits that are seen in what was made. (N, T, D) -> (N,)"""
        return self.readers[modality].predict(features(modality, shown))


def features(modality: str, shown: torch.Tensor) -> np.ndarray:
    """What a classifier reads: pixels, or the letters up to the end. (N, T, D) -> (N, T D)"""
    table = shown.detach().numpy()
    if modality != "text":
        return table.reshape(len(table), -1)
    best = np.eye(table.shape[2], dtype=np.float32)[table.argmax(2)]
    ended = np.cumsum(best[..., -1], 1) - best[..., -1] > 0  # steps behind the first end
    return (best * ~ended[..., None]).reshape(len(table), -1)


def opened() -> Opened:
    """Read the set and train the classifiers, on train samples alone."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    streams = read(open_data("digits"))
    train = streams.batch(streams.rows("train"))
    assert train.target is not None
    target = train.target.numpy()
    readers = {}
    for m in streams.names:
        one = LogisticRegression(C=10, max_iter=1000) if m == "text" else SVC(C=10)
        readers[m] = one.fit(features(m, train.features[m] * train.mask[m][..., None]), target)
    return Opened(streams, readers)


def fit(key: str, seed: int, found: Opened, changes: Mapping[str, Any] | None = None) -> tuple[VAE, int, float]:
    """Train one system. -> at its best epoch, that epoch, seconds"""
    kind, switches = SYSTEMS[key]
    taught = {**RECIPES[key], **{k: v for k, v in (changes or {}).items() if k in TAUGHT}}
    own = {k: v for k, v in (changes or {}).items() if k not in TAUGHT}
    streams, settings = found.streams, {**SIZES, **switches, **own}
    torch.manual_seed(seed)
    model = kind(
        kind.Config(modalities=streams.names, widths=streams.widths, steps=tuple(streams.steps.values()), **settings)
    )
    train, valid = found.batch("train"), found.batch("valid")
    optimiser = torch.optim.Adam(model.parameters(), lr=taught["rate"])
    best, chosen, kept, step = -np.inf, 0, copy.deepcopy(model.state_dict()), 0
    started = time.perf_counter()
    for epoch in range(1, int(taught["epochs"]) + 1):
        model.train()
        for rows in torch.randperm(len(train)).split(int(taught["batch"])):
            batch = train.rows(rows)
            loss = torch.stack(list(model.loss(model(batch, trace=False), batch, step).values())).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            step += 1
        if epoch % 5 == 0:
            score = judged(model, valid)
            if score > best:
                best, chosen, kept = score, epoch, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model.eval(), chosen, time.perf_counter() - started


@torch.no_grad()
def judged(model: VAE, valid: Batch) -> float:
    """The system's own bound on the validation samples, the mean of a few draws that are the same each time."""
    model.eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        losses = [model.loss(model(valid, trace=False), valid, 10**9) for _ in range(4)]
    return -float(np.mean([float(torch.stack(list(one.values())).sum()) for one in losses]))


@torch.no_grad()
def figures(model: VAE, found: Opened, seed: int, draws: int = DRAWS) -> dict[str, float]:
    """All figures of one trained system on the test samples."""
    from sklearn.linear_model import LogisticRegression

    names, test, train = model.config.modalities, found.batch("test"), found.batch("train")
    assert test.target is not None
    assert train.target is not None
    target, generator = test.target.numpy(), torch.Generator().manual_seed(seed)
    cross, probes = {}, {}
    for size in range(1, len(names) + 1):
        for given in combinations(names, size):
            made = model.generate(test, given, generator=generator)
            for m in names:
                cross[given, m] = latent.macro_accuracy(found.named(m, made[m][0]), target)
            if size in (1, len(names)):
                before, after = (model.encode(one, given).mean.numpy() for one in (train, test))
                probe = LogisticRegression(max_iter=1000).fit(before, train.target.numpy())
                probes["all" if size > 1 else given[0]] = float((probe.predict(after) == target).mean())
    imagined = model.shown(model.decode(model.imagine(draws, generator)))
    joint = latent.joint_coherence([found.named(m, imagined[m]) for m in names])
    by_size = latent.by_size(cross)
    own, others = (
        model.shown(model.decode(model.encode(test, given).mean, "image"))["image"]
        for given in (("image",), tuple(m for m in names if m != "image"))
    )
    outside = [value for (given, m), value in cross.items() if m not in given]
    truth = test.features["image"]
    kl = model(test).trace["posterior"].kl  # type: ignore[attr-defined]
    return {
        "cross": float(np.mean(outside)), **{f"cross_{size}": value for size, value in by_size.items()},
        "joint": joint, **{f"probe_{name}": value for name, value in probes.items()},
        "nats": float(model.log_likelihood(test, draws, generator).mean()),
        "error_own": float((own - truth).square().mean()), "error_others": float((others - truth).square().mean()),
        "active": float(latent.active_units(model.encode(test).mean.numpy()).sum()), "kl": float(kl.sum(1).mean()),
        **{f"{'+'.join(given)}>{m}": value for (given, m), value in cross.items() if len(given) == 1},
    }  # fmt: skip


def measure(checkpoint: str) -> list[Row]:
    """Every system from three seeds. The checkpoint is not used."""
    torch.set_num_threads(1)
    return list(rows(list(SYSTEMS), SEEDS, DRAWS))


def rows(systems: Sequence[str], seeds: Sequence[int], draws: int) -> Iterator[Row]:
    """Every figure, its mean over the seeds, and the bar."""
    found = opened()
    test = found.batch("test")
    assert test.target is not None
    for m in found.streams.names:
        seen = latent.macro_accuracy(
            found.named(m, test.features[m] * test.mask[m][..., None]), test.target.numpy()
        )  # fmt: skip
        yield Row(f"classifier of real {m}", seen, "", n=len(test))
    mean: dict[str, dict[str, float]] = {}
    for key in systems:
        made = []
        for seed in seeds:
            model, epoch, seconds = fit(key, seed, found)
            made.append({**figures(model, found, seed, draws), "epoch": float(epoch), "seconds": seconds})
        mean[key] = {name: float(np.mean([one[name] for one in made])) for name in made[0]}
        for name, value in mean[key].items():
            each = ", ".join(f"{one[name]:.3f}" for one in made)
            yield Row(f"{key}, {name}", value, "", n=len(seeds), spread=each)
    if {"mopoe", "mmvae", "mvae_all"} <= set(mean):
        a, b, c = (mean[key]["cross"] for key in ("mopoe", "mmvae", "mvae_all"))
        yield Row(
            "cross coherence, MoPoE - MMVAE", a - b, "", "ordering MoPoE >= MMVAE > MVAE, or both above .8",
            bool(a >= b > c or min(a, b) > GOOD), len(seeds),
        )  # fmt: skip


def main() -> int:
    """Print a line a figure; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)))
    parser.add_argument("--draws", type=int, default=DRAWS)
    options = parser.parse_args()
    missed = False
    for row in rows(options.systems.split(","), [int(one) for one in options.seeds.split(",")], options.draws):
        missed |= row.met is False
        print(
            f"{row.name:38s} {row.value:9.4f}  {row.spread}  {row.bar} {'' if row.met is None else row.met}", flush=True
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
