"""KCCA obeys its identities: linear is MCCA, centring is that of the fitted rows, approximations become exact."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fusion.blocks import kernels
from fusion.blocks.whitening import whitening
from fusion.models.kcca import KCCA, Config
from tests.planted_views import aligned, kernel, linear, settings, views
from tests.test_canonical import batches, close, scores

TWO, THREE = views((6, 4)), views((6, 4, 5))
OTHER = views((6, 4, 5), rows=37, seed=1)
METHODS: dict[str, dict[str, Any]] = {
    "exact": {}, "nystrom": {"method": "nystrom", "landmarks": 25}, "waves": {"method": "waves", "landmarks": 60},
}  # fmt: skip
every_method = pytest.mark.parametrize("how", list(METHODS))


@pytest.mark.parametrize("unit", ["scaled", "identity"])
@pytest.mark.parametrize("c", [(0.0,), (0.2,), (0.1, 0.5, 1.0)])
def test_a_linear_kernel_is_mcca_with_the_same_ridge(unit, c):
    fitted = {"c": c, "ridge_unit": unit}
    for how in ({}, {"method": "nystrom", "landmarks": 80}):
        ours, theirs = kernel(THREE, kernel=("linear",), **fitted, **how), linear(THREE, **fitted)
        close(scores(ours, THREE), scores(theirs, THREE), 1e-8)
        close(scores(ours, OTHER), scores(theirs, OTHER), 1e-8)
        close(ours.eigenvalues, theirs.eigenvalues)
        for v in range(3):
            close(getattr(ours, f"loadings_{v}"), getattr(theirs, f"loadings_{v}"), 1e-8)


def test_a_centred_gram_matrix_sums_to_nothing_and_centring_its_own_rows_gives_it_back():
    x = THREE["text"]
    k = kernels.kernel(x, x, "rbf", 0.05)
    wanted = k - k.mean(0) - k.mean(1, keepdim=True) + k.mean()
    centred = kernels.centre(k, k.mean(0), k.mean())
    close(centred, wanted)
    assert centred.sum(0).abs().max() < 1e-10
    assert centred.sum(1).abs().max() < 1e-10


@pytest.mark.parametrize("kind", ["linear", "rbf", "polynomial"])
def test_fitted_rows_get_their_own_scores(kind):
    model = kernel(THREE, kernel=(kind,), c=(0.1,))
    gammas, made = model.config.gammas(), scores(model, THREE)
    for v, x in enumerate(THREE.values()):
        x = x - x.mean(0)
        k = kernels.kernel(x, x, kind, gammas[v])
        wanted = (k - k.mean(0) - k.mean(1, keepdim=True) + k.mean()) @ getattr(model, f"alpha_{v}")
        close(made[v], wanted, 1e-8)
        close(made[v].mean(0), torch.zeros(3).double(), 1e-8)


@every_method
def test_one_new_row_has_the_scores_that_it_has_in_any_batch(how):
    model = kernel(THREE, **METHODS[how])
    together = scores(model, OTHER)
    for row in (0, 20, 36):
        close(scores(model, {m: x[row : row + 1] for m, x in OTHER.items()})[:, 0], together[:, row], 1e-12)


@every_method
def test_any_subset_of_the_views_is_projected_as_in_all(how):
    model = kernel(THREE, **METHODS[how])
    whole = model.transform(OTHER)
    part = model.transform({"audio": OTHER["audio"]})
    assert list(part) == ["audio"]
    assert torch.equal(part["audio"], whole["audio"])
    assert list(model.transform(OTHER, which=["image"])) == ["image"]


@every_method
@pytest.mark.parametrize("kind", ["rbf", "linear", "polynomial"])
def test_shifting_all_rows_changes_nothing(how, kind):
    if how == "waves" and kind != "rbf":
        with pytest.raises(ValueError, match="rbf kernel only"):
            Config(kernel=(kind,), method="waves")
        return
    fitted = {"kernel": (kind,), "gamma": (0.03,), **METHODS[how]}
    plain = kernel(THREE, **fitted)
    moved = kernel({m: x + 5 for m, x in THREE.items()}, **fitted)
    close(scores(moved, {m: x + 5 for m, x in OTHER.items()}), scores(plain, OTHER), 1e-7)


def test_without_centring_a_linear_kernel_knows_a_shift():
    given = {m: x + 5 for m, x in THREE.items()}
    centred, bare = (kernel(given, kernel=("linear",), centre=how, c=(0.1,)) for how in (True, False))
    assert (centred.correlation_train - bare.correlation_train).abs().max() > 1e-3
    close(bare.mean_0, torch.zeros(6).double())
    close(scores(bare, {m: x * 0 for m, x in given.items()}), torch.zeros(3, 80, 3).double())


@pytest.mark.parametrize("ridge", ["norm", "square", "ridge"])
def test_each_ridge_is_what_its_formula_puts_for_the_squared_gram_matrix(ridge):
    """The constraint of alpha, worked out with whole matrices instead of eigenvalues."""
    c, n = 0.1, 80
    for unit in ("scaled", "identity"):
        model = kernel(TWO, c=(c,), ridge=ridge, ridge_unit=unit, gamma=(0.05,))
        total = torch.zeros(3, 3, dtype=torch.float64)
        for v, x in enumerate(TWO.values()):
            x = x - x.mean(0)
            k = kernels.kernel(x, x, "rbf", 0.05)
            k = k - k.mean(0) - k.mean(1, keepdim=True) + k.mean()
            eye, alpha = torch.eye(n, dtype=k.dtype), getattr(model, f"alpha_{v}")
            mean = k.trace() / (n - 1)  # of the eigenvalues that are not 0
            one, trace = (mean, k.trace() / n) if unit == "scaled" else (n - 1, 1.0)
            within = {
                "norm": (1 - c) * k @ k + c * one * k,
                "square": (k + n * c * trace / 2 * eye) @ (k + n * c * trace / 2 * eye),
                "ridge": (1 - c) * k @ k + c * (mean**2 if unit == "scaled" else 1.0) * eye,
            }[ridge]
            total += alpha.T @ within @ alpha / (n - 1)
        close(total, 2 * torch.eye(3, dtype=torch.float64), 1e-8)


def test_kpls_has_the_norm_in_feature_space_for_its_constraint_and_needs_no_ridge():
    model = kernel(TWO, objective="kpls", c=(0.0,), gamma=(0.05,))
    total = torch.zeros(3, 3, dtype=torch.float64)
    for v, x in enumerate(TWO.values()):
        x = x - x.mean(0)
        k = kernels.kernel(x, x, "rbf", 0.05)
        k = k - k.mean(0) - k.mean(1, keepdim=True) + k.mean()
        alpha = getattr(model, f"alpha_{v}")
        total += alpha.T @ k @ alpha
    close(total, 2 * torch.eye(3, dtype=torch.float64), 1e-8)
    text, image = scores(model, TWO)
    close(model.eigenvalues, (text * image).sum(0) / 79)  # a covariance, not a correlation
    assert (model.eigenvalues - model.correlation_train[:, 0]).abs().max() > 0.1


def test_as_many_landmarks_as_rows_are_exact_and_fewer_come_nearer_with_their_number():
    given = views((6, 4, 5), rows=160)
    for gamma, tolerance in ((0.3, 1e-8), (0.02, 1e-4)):  # a smooth kernel loses digits with its last eigenvalues
        exact, whole = (kernel(given, gamma=(gamma,), **how) for how in ({}, {"method": "nystrom", "landmarks": 160}))
        close(scores(whole, OTHER), scores(exact, OTHER), tolerance)
    for choice in ("uniform", "spread"):
        errors = []
        for landmarks in (12, 40, 120):
            near = scores(kernel(given, gamma=(0.02,), method="nystrom", landmarks=landmarks, choice=choice), OTHER)
            wanted = scores(exact, OTHER)
            errors.append(
                float(torch.stack([(aligned(a, b) - b).norm() for a, b in zip(near, wanted, strict=True)]).sum())
            )
        assert errors[0] > errors[1] > errors[2], choice


def test_many_random_waves_have_the_kernel_for_their_products():
    x = THREE["text"]
    frequency, phase = kernels.waves(6, 40_000, 0.05, seed=0)
    features = kernels.wave_features(x, frequency, phase)
    assert (features @ features.T - kernels.kernel(x, x, "rbf", 0.05)).abs().max() < 0.04


def test_landmarks_far_apart_are_drawn_from_every_heap():
    torch.manual_seed(0)
    heaps = torch.cat([torch.randn(50, 3).double() * 0.01 + 10 * at for at in range(6)])
    found = kernels.spread_out(heaps, 6, seed=0)
    assert sorted((found // 50).tolist()) == [0, 1, 2, 3, 4, 5]
    assert len(set(kernels.spread_out(heaps.new_zeros(9, 3), 9, seed=0).tolist())) == 9


def test_the_width_is_that_of_the_median_distance():
    x = THREE["text"]
    middle = torch.pdist(x).median()
    assert kernels.median_width(x) == pytest.approx(float(1 / (2 * middle**2)))
    assert kernel(THREE).config.gamma[0] == pytest.approx(float(1 / (2 * middle**2)))
    assert kernel(THREE, width="features").config.gamma == pytest.approx((1 / 6, 1 / 4, 1 / 5))
    assert kernel(THREE, gamma=(0.5, 0.0, 0.25), width="features").config.gamma == pytest.approx((0.5, 0.25, 0.25))
    assert kernels.median_width(torch.tensor([[0.0], [0.0], [0.0], [0.0], [2.0]]).double()) == pytest.approx(1 / 8)


def test_distances_of_equal_rows_far_from_zero_are_not_negative():
    x = torch.full((4, 3), 1e8, dtype=torch.float64)
    assert kernels.squared_distances(x, x).min() >= 0


def test_above_the_limit_it_takes_landmarks_and_says_so():
    model = KCCA(Config(**settings(THREE, limit=60, landmarks=30)))
    done = model.solve(THREE)
    assert (model.config.method, model.config.stored) == ("nystrom", 30)
    assert [one.key for one in done.remarks] == ["notice.landmarks"]
    assert done.remarks[0].values == {"limit": "60", "landmarks": "30"}
    assert not KCCA(Config(**settings(THREE, limit=80))).solve(THREE, OTHER).remarks[1:]  # of few rows alone


@every_method
@pytest.mark.parametrize("block", [9, 80])
def test_rows_may_come_in_batches(how, block):
    model = KCCA(Config(**settings(THREE, **METHODS[how])))
    model.solve(batches(THREE, block), batches(OTHER, block))
    close(scores(model, OTHER), scores(kernel(THREE, **METHODS[how]), OTHER), 1e-10)
    close(model.correlations(OTHER), model.correlation_heldout, 1e-10)


def test_planted_signals_are_found_in_rows_that_were_not_fitted():
    train, other = (views((64, 64), n, seed) for seed, n in ((0, 500), (1, 1000)))
    model = KCCA(Config(**settings(train, gamma=(0.002,), c=(0.05,), ridge_unit="scaled")))
    model.solve(train, other)
    assert model.correlation_heldout.min() > 0.99


def test_a_whitening_without_a_ridge_is_one_over_the_root_of_the_variance():
    variance = torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64)
    for ridge in ("norm", "ridge", "square"):
        close(whitening(variance, 0.0, 9.0, 10, "scaled", ridge), variance.rsqrt())
