"""A case of canonical correlation: solve it with the reference's settings and return what the reference returned."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from fusion.blocks.canonical import correlations
from fusion.models import kcca, mcca

KERNELS = {"linear": "linear", "rbf": "rbf", "poly": "polynomial", "polynomial": "polynomial"}


def outputs(config: dict, weights: dict[str, Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every output of the case under its official name; the published program keeps no weights."""
    assert not weights
    count = len(config["features"])
    names = tuple(f"view {v}" for v in range(count))
    shared: dict[str, Any] = {
        "modalities": names, "widths": tuple(config["features"]), "steps": (1,) * count,
        "components": config["components"], "c": listed(config["shrinkage"]), "ridge_unit": "identity",
    }  # fmt: skip
    if config["method"] == "mcca":
        model = mcca.MCCA(mcca.Config.released(**shared))
    else:
        model = kcca.KCCA(kcca.Config.released(**shared, **kernel(config)))
    train, other = ({m: inputs[f"{part}_{v}"] for v, m in enumerate(names)} for part in ("train", "heldout"))
    model.solve(train, other)
    assert model.config.components == config["components"]
    result: dict[str, Tensor] = {}
    for part, views in (("train", train), ("heldout", other)):
        scores = list(model.transform(views).values())
        found = correlations(scores)
        table = torch.ones(count, count, config["components"], dtype=torch.float64)
        for at, (a, b) in enumerate(combinations(range(count), 2)):
            table[a, b] = table[b, a] = found[:, at]
        result[f"{part}_pairwise_correlations"] = table
        result[f"{part}_score"] = found.mean(1)
        result[f"score_method_{part}"] = found.mean()
        result |= {f"{part}_variates_{v}": one for v, one in enumerate(scores)}
    kind = "weights" if config["method"] == "mcca" else "alpha"
    return result | {f"weights_{v}": getattr(model, f"{kind}_{v}") for v in range(count)}


def listed(value: float | list[float]) -> tuple[float, ...]:
    """One number for all views or one each, as settings have it."""
    return tuple(float(one) for one in value) if isinstance(value, list) else (float(value),)


def kernel(config: dict) -> dict[str, Any]:
    """Kernel settings; a width that is not given is one over the number of columns in the reference."""
    named = config["kernel"] if isinstance(config["kernel"], list) else [config["kernel"]]
    given = config.get("gamma")
    gamma = [one or 0.0 for one in given] if isinstance(given, list) else [given or 0.0]
    return {
        "kernel": tuple(KERNELS[one] for one in named), "gamma": listed(gamma), "width": "features",
        "degree": int(config.get("degree", 3)), "offset": float(config.get("coef0", 1.0)),
    }  # fmt: skip
