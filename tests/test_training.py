"""Training: a killed run goes on as if it had not been, and the matching head starts by comparing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from fusion import evaluation, experiment
from fusion.features import Features
from fusion.metrics.matching import auc
from fusion.models.maf import MAF, Config
from fusion.training import Recipe, fit, rate_at
from fusion.types import FusionError, Steps

SMALL = Config(
    text_width=24, image_width=20, regions=6, max_length=7, heads=2, inner_width=40, dropout=0.0, cm_padding="masked",
    negative_rate=4, classes=("PAD", "O", "B-LOC", "X"),
)  # fmt: skip


def planted(count: int, seed: int, config: Config = SMALL) -> Features:
    """Pairs whose picture is a linear image of the text's mean, one picture a sample."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(4, config.text_width, generator=torch.Generator().manual_seed(0))
    drawing = torch.randn(4, config.image_width, generator=torch.Generator().manual_seed(1))
    hidden = torch.randn(count, 4, generator=generator)
    steps = (hidden @ mixing)[:, None] + 0.3 * torch.randn(count, 7, config.text_width, generator=generator)
    regions = (hidden @ drawing)[:, None] + 0.3 * torch.randn(count, 6, config.image_width, generator=generator)
    mask = torch.ones(count, 7, dtype=torch.bool)
    names = Steps(("a",) * 7, tuple(range(7)), ("a",) * 7, tuple((i, i + 1) for i in range(7)))
    return Features(
        tuple(map(str, range(count))), steps.half(), mask, steps.mean(1), torch.arange(count), regions.half(),
        regions.mean(1), (names,) * count, torch.ones(count, 7, dtype=torch.long),
    )  # fmt: skip


def score(_: object) -> dict[str, float]:
    return {"score": 0.0}


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    train, recipe = planted(40, 2), Recipe(epochs=4, batch=16, rate=1e-3, patience=9, noise=0.1)

    def fresh() -> MAF:
        torch.manual_seed(5)
        return MAF(SMALL)

    whole = fresh()
    list(fit(whole, train, recipe, score, folder=tmp_path / "whole"))
    run = fit(fresh(), train, recipe, score, folder=tmp_path / "broken")
    next(run), next(run)
    run.close()  # killed after two epochs
    rest = fresh()
    epochs = [epoch.number for epoch in fit(rest, train, recipe, score, folder=tmp_path / "broken")]
    assert epochs == [3, 4]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, rest.state_dict()[name]), name


def test_a_loss_that_is_no_number_stops_with_a_sentence() -> None:
    train = planted(20, 3)
    broken = dataclasses.replace(train, text_pooled=train.text_pooled * float("nan"))
    with pytest.raises(FusionError, match="no longer a number"):
        list(fit(MAF(SMALL), broken, Recipe(epochs=1, batch=10), score))


def test_the_rate_rises_and_falls() -> None:
    rates = [rate_at(step, 100, 0.1) for step in range(100)]
    assert max(rates) == rates[9] == 1.0
    assert rates[0] < rates[5]
    assert rates[-1] < 0.02


def test_the_matching_head_compares_before_any_training() -> None:
    config = dataclasses.replace(SMALL, text_width=160, heads=4, inner_width=300)
    train, held_out = planted(400, 4, config), planted(120, 6, config)
    views = torch.stack((train.image_of, torch.full_like(train.image_of, -1)), 1)
    model = experiment.begin(config, train, views, seed=0)
    own = evaluation.outputs(model, held_out).match
    wrong = evaluation.outputs(model, held_out, evaluation.negatives(held_out, 0)).match
    random = MAF(config).eval()
    by_chance = [evaluation.outputs(random, held_out, rows).match for rows in (None, evaluation.negatives(held_out, 0))]
    assert auc(own, wrong) > 0.8
    assert abs(auc(*by_chance) - 0.5) < 0.2
    assert np.isfinite(own).all()
