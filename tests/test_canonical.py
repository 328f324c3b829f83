"""MCCA obeys the identities of canonical correlation, whichever way it reads its rows."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fusion.blocks import canonical, evidence
from fusion.blocks.canonical import alternate, correlations, links, solve
from fusion.blocks.whitening import Basis, Moments, steady, thin, whitening
from fusion.models import mcca
from fusion.models.mcca import MCCA, Config, Reservoir
from fusion.types import Batch
from tests.planted_views import aligned, linear, settings, views

TWO, THREE = views((6, 4)), views((6, 4, 5))


def close(ours: Any, theirs: Any, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


def scores(model: MCCA, given: dict[str, torch.Tensor]) -> torch.Tensor:
    """(V, n, K)"""
    return torch.stack(list(model.transform(given).values()))


@pytest.mark.parametrize("objective", ["gevp", "sumcor", "maxvar"])
def test_two_views_without_a_ridge_are_the_textbook(objective):
    x, y = (np.linalg.qr(a.numpy() - a.numpy().mean(0))[0] for a in TWO.values())
    textbook = np.linalg.svd(x.T @ y, compute_uv=False)[:3]
    model = linear(TWO, c=(0.0,), objective=objective)
    close(model.correlation_train[:, 0], torch.from_numpy(textbook.copy()), 1e-10)
    shift = 1.0 if objective == "maxvar" else 0.0  # its eigenvalues count a view's agreement with itself
    close(model.eigenvalues, torch.from_numpy(textbook.copy()) + shift, 1e-10)


@pytest.mark.parametrize("c", [0.0, 0.2, 1.0])
def test_a_constant_added_to_a_view_changes_nothing(c):
    moved = {m: x + 1000 * (v + 1) for v, (m, x) in enumerate(THREE.items())}
    close(scores(linear(moved, c=(c,)), moved), scores(linear(THREE, c=(c,)), THREE))


def test_without_a_ridge_any_invertible_map_of_a_view_changes_nothing():
    torch.manual_seed(2)
    mapped = {**THREE, "image": THREE["image"] @ torch.randn(4, 4, dtype=torch.float64)}
    close(scores(linear(mapped, c=(0.0,)), mapped), scores(linear(THREE, c=(0.0,)), THREE))


@pytest.mark.parametrize("unit", ["scaled", "identity"])
def test_an_orthogonal_map_of_a_view_changes_nothing_at_any_ridge(unit):
    torch.manual_seed(2)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q
    mapped = {**THREE, "image": THREE["image"] @ turn}
    fitted = {"c": (0.3,), "ridge_unit": unit}
    close(scores(linear(mapped, **fitted), mapped), scores(linear(THREE, **fitted), THREE))


def test_the_unit_of_a_view_counts_only_with_the_identity_ridge():
    larger = {**THREE, "image": 50 * THREE["image"]}
    found = {
        unit: float((linear(larger, c=(0.3,), ridge_unit=unit).correlation_train
                     - linear(THREE, c=(0.3,), ridge_unit=unit).correlation_train).abs().max())
        for unit in ("scaled", "identity")
    }  # fmt: skip
    assert found["scaled"] < 1e-10
    assert found["identity"] > 1e-3


@pytest.mark.parametrize("c", [(0.0,), (0.1,), (0.4, 0.0, 0.9), (1.0,)])
@pytest.mark.parametrize("unit", ["scaled", "identity"])
def test_directions_have_the_length_that_the_ridge_asks_for_and_are_orthogonal_in_it(c, unit):
    model = linear(THREE, c=c, ridge_unit=unit)
    total = torch.zeros(3, 3, dtype=torch.float64)
    for v, (x, one) in enumerate(zip(THREE.values(), model.config.ridges(), strict=True)):
        covariance = torch.cov(x.T)
        scale = covariance.trace() / len(covariance) if unit == "scaled" else 1.0
        u = getattr(model, f"weights_{v}")
        total += u.T @ ((1 - one) * covariance + one * scale * torch.eye(len(u), dtype=u.dtype)) @ u
    close(total, 3 * torch.eye(3, dtype=torch.float64))


def test_a_view_agrees_perfectly_with_its_copy():
    close(linear({"text": TWO["text"], "image": TWO["text"]}, c=(0.0,)).correlation_train, torch.ones(3, 1).double())
    four = dict.fromkeys(("a", "b", "c", "d"), TWO["text"])
    close(linear(four, c=(0.0,)).eigenvalues, torch.full((3,), 3.0, dtype=torch.float64))


def test_independent_views_agree_by_chance_only_where_they_were_fitted():
    torch.manual_seed(4)
    train, other = ({m: torch.randn(n, 8, dtype=torch.float64) for m in "ab"} for n in (400, 2000))
    model = MCCA(Config(**settings(train, c=(0.0,))))
    model.solve(train, other)
    assert model.correlation_train.min() > 0.1
    assert model.correlation_heldout.abs().max() < 3 / 2000**0.5


def test_the_order_of_views_and_of_rows_is_kept():
    plain = linear(THREE)
    turned = {m: THREE[m] for m in ("text", "audio", "image")}
    close(scores(linear(turned), turned)[[0, 2, 1]], scores(plain, THREE))
    order = torch.randperm(80, generator=torch.Generator().manual_seed(1))
    mixed = {m: x[order] for m, x in THREE.items()}
    close(scores(linear(mixed), mixed), scores(plain, THREE)[:, order])


def test_the_largest_score_of_the_first_view_is_positive():
    first = scores(linear(THREE), THREE)[0]
    assert (first.gather(0, first.abs().argmax(0, keepdim=True)) > 0).all()


def test_the_divisor_of_covariances_turns_no_direction():
    n, n1 = (scores(linear(THREE, covariance=how), THREE) for how in ("n", "n-1"))
    close(n / n1, torch.full_like(n, (80 / 79) ** 0.5), 1e-8)


def test_keeping_the_diagonal_blocks_without_a_ridge_lifts_eigenvalues_by_one_and_nothing_else():
    plain, kept = linear(THREE, c=(0.0,)), linear(THREE, c=(0.0,), diagonal_blocks="kept")
    close(kept.eigenvalues, plain.eigenvalues + 1)
    close(scores(kept, THREE), scores(plain, THREE))
    ridged = (linear(THREE, c=(0.3,), diagonal_blocks=how).correlation_train for how in ("zero", "kept"))
    assert (next(ridged) - next(ridged)).abs().max() > 1e-4


def test_maxvar_is_the_first_left_singular_vector_of_the_whitened_views_side_by_side():
    c, parts = 0.2, []
    for x in THREE.values():
        u, s, _ = torch.linalg.svd(x - x.mean(0), full_matrices=False)
        variance = s.square() / 79
        parts.append(u * s / ((1 - c) * variance + c * variance.mean()).sqrt())
    shared = torch.linalg.svd(torch.cat(parts, 1), full_matrices=False).U[:, :3]
    total = scores(linear(THREE, c=(c,), objective="maxvar"), THREE).sum(0)
    total = total / total.norm(dim=0)
    close(total, aligned(shared, total))


@pytest.mark.parametrize("shape", [(9, 7), (7, 9)])
@pytest.mark.parametrize("strength", [1.0, 1e-4])
def test_a_large_pair_of_views_has_the_singular_vectors_of_a_small_one(shape, strength, monkeypatch):
    torch.manual_seed(3)
    block = strength * torch.randn(shape, dtype=torch.float64) / 10
    basis = Basis((), (torch.ones(shape[0]), torch.ones(shape[1])), {(0, 1): block}, (), 0, 1.0)
    ones = [torch.ones(one, dtype=torch.float64) for one in shape]
    small = solve(basis, ones, 3)
    monkeypatch.setattr(canonical, "LARGE", 8)
    large = solve(basis, ones, 3)
    close(large.eigenvalues, small.eigenvalues, 1e-12)
    turned = large.flipped((large.weights[0] * small.weights[0]).sum(0).sign())
    for ours, theirs in zip(turned.weights, small.weights, strict=True):
        close(ours, theirs)
    three = {(a, b): torch.randn(5, 5, dtype=torch.float64) for a, b in ((0, 1), (0, 2), (1, 2))}
    wide = Basis((), (torch.ones(5),) * 3, three, (), 0, 1.0)
    some = solve(wide, [torch.ones(5).double()] * 3, 2)
    monkeypatch.setattr(canonical, "LARGE", 1000)
    close(some.eigenvalues, solve(wide, [torch.ones(5).double()] * 3, 2).eigenvalues)


def test_alternating_never_loses_and_beats_what_it_started_from():
    basis = thin(list(THREE.values()))
    d = [whitening(one, 0.05, basis.freedom, basis.rows, "scaled") for one in basis.variance]
    between = links(basis, d)
    start = [w / one[:, None] for w, one in zip(solve(basis, d, 3).weights, d, strict=True)]
    values, z, history = alternate(between, start)
    assert all(later >= earlier - 1e-12 for said in history for earlier, later in pairwise(said))
    assert any(said[-1] > said[0] + 1e-6 for said in history)
    for one in z:  # unit variance of every view, and nothing in common between its components
        close(3 * one.T @ one, torch.eye(3, dtype=torch.float64))
    close(values[0], torch.tensor(history[0][-1] / 3, dtype=torch.float64))
    sums = [
        float(linear(THREE, c=(0.0,), objective=how).correlation_train[0].sum()) for how in ("gevp", "sumcor")
    ]  # fmt: skip
    assert sums[1] >= sums[0] - 1e-12


@pytest.mark.parametrize("block", [1, 7, 80])
def test_rows_added_up_block_by_block_give_the_same_as_all_at_once(block, monkeypatch):
    plain = linear(THREE)
    monkeypatch.setattr(mcca, "HELD", 0)
    streamed = MCCA(Config(**settings(THREE)))
    streamed.solve(batches(THREE, block))
    assert plain.config == streamed.config
    for name, value in plain.state_dict().items():
        close(streamed.state_dict()[name], value, 1e-9)


def batches(given: dict[str, torch.Tensor], size: int) -> list[Batch]:
    """The same rows as batches of one step each."""
    count = len(next(iter(given.values())))
    found = []
    for rows in torch.arange(count).split(size):
        mask = {m: torch.ones(len(rows), 1, dtype=torch.bool) for m in given}
        found.append(
            Batch(
                features={m: x[rows][:, None] for m, x in given.items()}, pooled={}, mask=mask, kept=mask,
                present=torch.ones(len(rows), len(given), dtype=torch.bool), modalities=tuple(given),
                ids=tuple(f"row {i + 1}" for i in rows.tolist()),
            )
        )  # fmt: skip
    return found


def test_a_stream_far_from_zero_keeps_its_digits():
    far = {m: x + 1e6 for m, x in THREE.items()}
    moments = Moments([x.shape[1] for x in far.values()])
    for rows in torch.arange(80).split(9):
        moments.add([x[rows] for x in far.values()])
    for v, x in enumerate(THREE.values()):
        close(moments.covariance(v, v), torch.cov(x.T), 1e-8)


def test_a_reservoir_keeps_every_row_equally_often():
    hits = torch.zeros(60)
    for seed in range(400):
        kept = Reservoir(15, seed)
        for part in torch.arange(60.0)[:, None].split(13):
            kept.add([part])
        assert len(kept.rows[0]) == 15
        hits[kept.rows[0][:, 0].long()] += 1
    assert hits.min() > 60  # 100 expected, standard deviation 8.7
    assert hits.max() < 140


def test_loadings_redundancy_and_spread_are_those_of_the_scores():
    model = linear(THREE)
    learned = model.learned()["canonical"]
    made = scores(model, THREE)
    for v, (m, x) in enumerate(THREE.items()):
        both = torch.corrcoef(torch.cat((x, made[v]), 1).T)[: x.shape[1], x.shape[1] :]
        close(learned.loadings[m], both)
        close(getattr(model, f"spread_{v}"), made[v].std(0))
        own = [at for at, pair in enumerate(((0, 1), (0, 2), (1, 2))) if v in pair]
        close(learned.redundancy[v], both.square().mean(0) * learned.value[:, own].square().mean(1))
    close(learned.value, correlations(list(made)))


def test_what_is_shared_is_found_and_what_is_not_has_no_small_p():
    torch.manual_seed(0)
    shared, other = torch.randn(300, 1, dtype=torch.float64), {m: torch.randn(300, 5).double() for m in "abc"}
    given = {m: torch.cat((shared + 0.5 * torch.randn(300, 1).double(), x), 1) for m, x in other.items()}
    for names in (("a", "b"), ("a", "b", "c")):
        p = linear({m: given[m] for m in names}).permutation_test({m: given[m] for m in names}, rounds=99)
        assert p[0] == 0.01
        assert p[1] > 0.05
        assert (p.diff() >= 0).all()


def test_p_values_of_independent_views_are_spread_evenly():
    torch.manual_seed(1)
    found = []
    for seed in range(60):
        q = [torch.linalg.qr(torch.randn(40, 3, dtype=torch.float64)).Q for _ in range(2)]
        found.append(float(evidence.permutation_test(q, 1, rounds=39, seed=seed)[0]))
    assert 0.35 < np.mean(found) < 0.65
    assert np.mean(np.asarray(found) <= 0.1) < 0.25


def test_the_grid_chooses_a_ridge_by_rows_that_were_not_fitted():
    train, other, third = (views((40, 30), n, seed) for seed, n in enumerate((60, 300, 300)))
    model = linear(train)
    choice = model.choose_c(train, other)
    assert choice.held_out[choice.grid.index(choice.c)] == max(choice.held_out)
    assert choice.fitted[0] > choice.fitted[-1]
    best, least = (linear(train, c=(c,)).correlations(third).mean() for c in (choice.c, 0.001))
    assert best > least + 0.005


def test_a_failing_solver_of_a_device_leaves_the_work_to_the_cpu():
    def solver(x: Any) -> tuple[torch.Tensor]:
        if not isinstance(x, torch.Tensor):
            raise torch.linalg.LinAlgError("no convergence")
        return (2 * x,)

    told: list[str] = []
    broken: Any = SimpleNamespace(device=torch.device("meta"), cpu=lambda: torch.ones(2))  # stands for a GPU's tensor
    found = steady(solver, broken, told)
    assert found[0].is_meta
    assert told == ["fell_back"]
    with pytest.raises(torch.linalg.LinAlgError):
        steady(lambda x: (_ for _ in ()).throw(torch.linalg.LinAlgError("no")), torch.ones(2, 2), [])


def test_it_stays_in_float64_and_stays_where_a_device_has_none(monkeypatch):
    model = linear(TWO)
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    for move in (model.float, model.half, lambda: model.to(torch.float32)):
        move()
        assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())
    model.to("meta")
    assert model.mean_0.is_meta

    def refuse(value: torch.Tensor) -> torch.Tensor:
        raise TypeError("Cannot convert to float64 on this device")

    still = linear(TWO)
    assert still._apply(refuse) is still
    assert torch.equal(still.mean_0, kept["mean_0"])
