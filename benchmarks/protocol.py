"""Five-fold matching and retrieval over the gloss pictures' definitions: MAF, and ConSE without training, same pairs.

python benchmarks/protocol.py [--folds 0,1,2,3,4] [--seeds 37,38,39] [--epochs 5] [--keep DIR]

JSON lines on standard output, one a fold, then the figures of all folds in DIR with bootstrap intervals (folds can
run side by side). No epoch is chosen on the test fold: every fold trains for the same number of epochs. Training pairs:
gloss sentences and emoji names of the other folds' pictures, and emoji that the gloss set doesn't have.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fusion import evaluation, experiment
from fusion.data import gloss, names
from fusion.encoders import encoder
from fusion.encoders.conse import Conse
from fusion.files import atomic_file, home
from fusion.metrics.intervals import bootstrap, paired_bootstrap
from fusion.metrics.matching import auc
from fusion.metrics.mismatch import fit_mixture, mismatch_rate
from fusion.metrics.retrieval import ranks, recall_at
from fusion.training import fit

DRAWS = 5  # negatives drawn for each pair


def main() -> None:
    """Run the folds and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", default="0,1,2,3,4")
    parser.add_argument("--seeds", default="37,38,39")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--keep", type=Path, default=home() / "protocol", help="folder of the folds' scores")
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    protocol = gloss.protocol()
    table = gloss.frame()
    own = [
        gloss.sample(row) for row in table[(table["part"] == "picture") & table["link_ok"]].to_dict(orient="records")
    ]
    extra = [s for s in own if s.id not in {p.id for p in protocol}]
    samples = [*protocol, *extra, *names.load()]
    made = experiment.material(samples)
    fold = np.array([int(s.note["fold"]) for s in samples])
    is_protocol = np.arange(len(samples)) < len(protocol)
    conse = Conse(encoder("minilm"), encoder("efficientnet-lite0"))
    for seed in map(int, options.seeds.split(",")):
        for number in map(int, options.folds.split(",")):
            result = one(made, fold, is_protocol, number, seed, options.epochs, conse)
            with atomic_file(options.keep / f"{seed}-{number}.npz") as aside, aside.open("wb") as stream:
                np.savez(stream, **result)
            print(json.dumps({k: v for k, v in result.items() if not isinstance(v, np.ndarray)}), flush=True)
    kept = [dict(np.load(path)) for path in sorted(options.keep.glob("*.npz"))]
    print(json.dumps(pooled(kept)), flush=True)


def one(made, fold, is_protocol, number, seed, epochs, conse) -> dict:  # type: ignore[no-untyped-def]
    """Train without a fold and measure on it."""
    started = time.perf_counter()
    train_rows = torch.from_numpy(np.flatnonzero(fold != number))
    test_rows = torch.from_numpy(np.flatnonzero((fold == number) & is_protocol))
    train, views = made.features.rows(train_rows), made.views[train_rows]
    held_out = set(made.features.image_of[test_rows].tolist())
    assert not held_out & set(views.flatten().tolist()), "a test picture is in training"
    rates = (*experiment.HELD, *experiment.RECIPE.rates)
    recipe = replace(experiment.RECIPE, epochs=epochs, seed=seed, patience=epochs, rates=rates)
    model = experiment.begin(experiment.SETTINGS, train, views, seed, made.prior)
    test, group = made.features.rows(test_rows), made.group[test_rows.numpy()]
    start = evaluation.figures(model.eval(), test, seed=0, group=group)
    print(json.dumps({"fold": number, "start": start}), file=sys.stderr, flush=True)
    for _ in fit(model, train, recipe, lambda _: {"score": 0.0}, views=views):
        pass
    model.eval()
    said = evaluation.outputs(model, test)
    random = [evaluation.outputs(model, test, evaluation.negatives(test, i)).match for i in range(DRAWS)]
    near_rows = [evaluation.negatives(test, i, group) for i in range(DRAWS)]
    differ = (near_rows[0] != torch.arange(len(test))).numpy()
    near = [evaluation.outputs(model, test, rows).match for rows in near_rows]
    base_text, base_image = conse.embed_texts(test.text_pooled), conse.embed_images(test.image_pooled[test.image_of])
    rank, base = ranks(said.text, said.image), ranks(np.asarray(base_text), np.asarray(base_image))
    return {
        "seed": seed, "fold": number, "n": len(test), "auc": auc(np.tile(said.match, DRAWS), np.concatenate(random)),
        "auc_group": auc(np.tile(said.match[differ], DRAWS), np.concatenate([n[differ] for n in near])),
        **{f"r{k}": v for k, v in recall_at(rank, (1, 5, 10)).items()},
        **{f"conse_r{k}": v for k, v in recall_at(base, (1, 5, 10)).items()},
        "auc_at_start": start["auc"], "auc_group_at_start": start["auc_group"],
        "seconds": time.perf_counter() - started, "own": said.match, "random": np.stack(random),
        "near": np.stack(near), "differ": differ, "rank": rank, "base": base,
    }  # fmt: skip


def pooled(results: list[dict]) -> dict:
    """Means over seeds of the five folds' mean, and bootstrap intervals over pairs (all seeds of a pair together)."""
    names_ = ("auc", "auc_group", "r1", "r5", "r10", "conse_r1", "conse_r5", "conse_r10")
    seeds = {seed: [r for r in results if int(r["seed"]) == seed] for seed in sorted({int(r["seed"]) for r in results})}
    by_seed = {name: [float(np.mean([r[name] for r in mine])) for mine in seeds.values()] for name in names_}
    by_fold = {name: float(np.std([r[name] for r in results])) for name in names_}
    pair = np.concatenate([[f"{r['fold']}-{i}" for i in range(len(r["own"]))] for r in results])
    scores = np.stack(
        [np.concatenate([r["own"] for r in results]), np.concatenate([r["random"][0] for r in results])], 1
    )
    interval = bootstrap(scores, lambda rows: auc(rows[:, 0], rows[:, 1]), groups=pair)
    rank, base = (np.concatenate([r[name] for r in results]) for name in ("rank", "base"))
    hits, base_hits = (rank <= 10).astype(float), (base <= 10).astype(float)
    r10 = bootstrap(hits, groups=pair)
    gain = paired_bootstrap(hits, base_hits, groups=pair)
    return {
        "mean": {name: float(np.mean(values)) for name, values in by_seed.items()},
        "sd_over_seeds": {name: float(np.std(values)) for name, values in by_seed.items()},
        "sd_over_folds": by_fold,
        "auc_all_folds": [interval.value, interval.low, interval.high],
        "r10_all_folds": [r10.value, r10.low, r10.high],
        "r10_gain_over_conse": [gain.value, gain.low, gain.high],
        "pairs": len(set(pair.tolist())),
        "seeds": len(seeds),
        "runs": len(results),
    }


def planted(results: list[dict], rate: float, draws: int = 20) -> np.ndarray:
    """Estimated share of wrong pairs where a share was planted, from scores of networks that never saw the pairs.

    One half of the pairs, drawn anew each time, calibrates; in the other half round(rate x n) get the score of another
    picture; networks of different seeds apart. -> (seeds x draws,) estimates
    """
    seeds = sorted({int(r["seed"]) for r in results})
    if len(seeds) > 1:
        return np.concatenate([planted([r for r in results if int(r["seed"]) == s], rate, draws) for s in seeds])
    own = np.concatenate([r["own"] for r in results])
    wrong = np.concatenate([r["random"] for r in results], axis=1)  # (DRAWS, pairs)
    estimates = []
    for seed in range(draws):
        generator = np.random.default_rng(seed)
        order = generator.permutation(len(own))
        known, asked = order[: len(own) // 2], order[len(own) // 2 :]
        scores = own[asked].copy()
        swapped = generator.choice(len(asked), round(rate * len(asked)), replace=False)
        scores[swapped] = wrong[0, asked[swapped]]
        mixture = fit_mixture(own[known], wrong[:, known].ravel())
        estimates.append(mismatch_rate(mixture, scores, seed=seed, n=50).value)
    return np.array(estimates)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
