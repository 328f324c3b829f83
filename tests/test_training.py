"""Training: a killed run goes on as if it had not been, and the matching head starts by comparing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from fusion import evaluation, experiment
from fusion.encoders import minilm
from fusion.features import Features
from fusion.metrics.matching import auc
from fusion.models.maf import MAF, Config
from fusion.training import Recipe, Tuned, fit, rate_at
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
    next(run), next(run), next(run)
    run.close()  # killed after the start and two epochs
    rest = fresh()
    epochs = [epoch.number for epoch in fit(rest, train, recipe, score, folder=tmp_path / "broken")]
    assert epochs == [3, 4]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, rest.state_dict()[name]), name


def test_the_first_epoch_is_the_start_and_is_kept_where_training_never_beats_it() -> None:
    torch.manual_seed(5)
    model = MAF(SMALL)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    falling = iter([0.9, 0.5, 0.4])
    epochs = list(fit(model, planted(40, 2), Recipe(epochs=2, batch=16), lambda _: {"score": next(falling)}))
    assert [epoch.number for epoch in epochs] == [0, 1, 2]
    assert [epoch.chosen for epoch in epochs] == [0, 0, 0]
    assert not torch.equal(model.emission.weight, before["emission.weight"])
    assert all(torch.equal(value, before[name]) for name, value in epochs[-1].state.items())


def test_what_has_a_rate_of_zero_stays_as_it_is() -> None:
    torch.manual_seed(5)
    model = MAF(SMALL)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    list(fit(model, planted(40, 2), Recipe(epochs=1, batch=16, decay=0.1, rates=(("cross.", 0.0),)), score))
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert "emission.weight" in changed
    assert not any(name.startswith("cross.") for name in changed)


def test_a_text_encoder_trains_along_and_resumes(tmp_path: Path) -> None:
    texts = [
        f"the {colour} {thing} number {i}" for i in range(5) for colour in ("red", "blue") for thing in ("cat", "cup")
    ]

    def fresh() -> tuple[MAF, Features, Tuned]:
        torch.manual_seed(5)
        reader = minilm(shapes=True)
        reader.module.layers = reader.module.layers[:1]  # the first layer is enough to see gradients
        config = dataclasses.replace(SMALL, text_width=384, shape_width=10, heads=4)
        tokens = reader.tokenise(texts, 7)
        train = dataclasses.replace(
            planted(len(texts), 2, config), text_mask=tokens.mask, text_steps=torch.zeros(len(texts), 7, 394).half()
        )
        return MAF(config), train, Tuned(reader, tokens)

    recipe = Recipe(epochs=2, batch=10, rate=1e-3, text_rate=0.5, decay=0.0)
    model, train, tuned = fresh()
    word = next(iter(tuned.encoder.module.state_dict()))
    before = tuned.encoder.module.state_dict()[word].clone()
    whole = list(fit(model, train, recipe, score, tuned=tuned))[-1]
    after = tuned.encoder.module.state_dict()[word]
    used = torch.zeros(len(after), dtype=torch.bool)
    used[tuned.tokens.ids[:, :7].unique()] = True
    assert (after != before).any(1)[used].float().mean() > 0.9
    assert torch.equal(after[~used], before[~used])
    assert {name.split(".")[0] for name in whole.state} >= {"text_encoder", "cross"}
    model, train, tuned = fresh()
    run = fit(model, train, recipe, score, folder=tmp_path, tuned=tuned)
    next(run), next(run)
    run.close()
    model, train, tuned = fresh()
    list(fit(model, train, recipe, score, folder=tmp_path, tuned=tuned))
    assert torch.equal(tuned.encoder.module.state_dict()[word], after)


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
    config = dataclasses.replace(SMALL, text_width=160, heads=4, inner_width=400)
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
