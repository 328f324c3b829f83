"""The measures: exact against slow definitions, ties against the model, the same whatever the block or the order."""

import numpy as np
import pytest
from scipy import stats

from fusion.metrics import behaviour, calibration, geometry, intervals, matching, mismatch, retrieval, sample, tagging
from fusion.neighbours import nearest
from fusion.types import FusionError


def draw(rows: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def turned(width: int) -> np.ndarray:
    return np.linalg.qr(draw(width, width, 9).astype(np.float64))[0]


def slow_ranks(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = (a.astype(np.float64) / np.linalg.norm(a.astype(np.float64), axis=1, keepdims=True) for a in (x, y))
    cosine = x @ y.T
    own = np.diag(cosine)[:, None]
    return 1 + (cosine >= own - 1e-12).sum(axis=1) - 1


def test_rank_is_the_slow_definition_whatever_the_block_and_the_order() -> None:
    x = draw(83, 19)
    y = x + 1.2 * draw(83, 19, 1)
    ranks = retrieval.ranks(x, y)
    assert (ranks == slow_ranks(x, y)).all()
    assert ranks.max() > 5  # not a trivial case
    for chunk in (1, 7, 83, 500):
        assert (retrieval.ranks(x, y, chunk=chunk) == ranks).all()
    order = np.random.default_rng(3).permutation(83)
    assert (retrieval.ranks(x[order], y[order]) == ranks[order]).all()
    assert (retrieval.ranks(x, y[order], partner=np.argsort(order)) == ranks).all()


def test_ties_count_against_the_model_even_after_rounding() -> None:
    same = np.repeat(draw(1, 37), 41, axis=0)
    assert (retrieval.ranks(same, same) == 41).all()
    x = draw(40, 37)
    y = x.copy()
    y[5] = 3.7 * y[4]  # the same direction at another length: equal cosine up to rounding
    ranks = retrieval.ranks(x, y)
    assert ranks[4] == 2
    assert (np.delete(ranks, [4, 5]) == 1).all()
    zero = x.copy()
    zero[3] = 0.0
    assert retrieval.ranks(zero, y)[3] == 40


def test_groups_choose_among_their_own_only() -> None:
    x, y = draw(60, 11), draw(60, 11, 1)
    group = np.arange(60) % 7
    ranks = retrieval.ranks(x, y, groups=group)
    for name in range(7):
        rows = group == name
        assert (ranks[rows] == retrieval.ranks(x[rows], y[rows])).all()
    forth, back = retrieval.both_directions(x, y, groups=group)
    assert forth.candidates == (8, 9)
    assert (back.ranks == retrieval.ranks(y, x, groups=group)).all()


def test_figures_of_ranks() -> None:
    ranks = np.array([1, 2, 4, 10])
    assert retrieval.recall_at(ranks, (1, 3, 10)) == {1: 0.25, 3: 0.5, 10: 1.0}
    assert retrieval.mrr(ranks) == pytest.approx((1 + 0.5 + 0.25 + 0.1) / 4)
    assert retrieval.median_rank(ranks) == 3.0


def test_top_is_sorted_exact_and_equal_scores_go_by_index() -> None:
    queries, keys = draw(9, 23), draw(150, 23, 1)
    keys[[20, 90, 140]] = queries[0]
    index, score = retrieval.top_k(queries, keys, 6, chunk=4)
    assert index[0, :3].tolist() == [20, 90, 140]
    q, k = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (queries.astype(np.float64), keys.astype(np.float64)))
    assert (index[1:] == np.argsort(-(q @ k.T), axis=1)[1:, :6]).all()
    assert np.allclose(score, np.take_along_axis(q @ k.T, index, axis=1), atol=1e-14)
    one, _ = retrieval.top_k(queries[2], keys, 6)
    assert (one == index[2]).all()
    assert retrieval.top_k(queries, keys[:4], 99)[0].shape == (9, 4)
    assert (retrieval.top_k(np.ones((50, 8)), np.ones((50, 8)), 3)[0] == [0, 1, 2]).all()


def test_nearest_is_straight_distance_far_from_zero_too() -> None:
    keys = draw(200, 13) + 1000.0
    queries = keys[:20] + 0.1 * draw(20, 13, 1)
    index, distance = nearest(queries, keys, 5, skip=np.arange(20), chunk=3)
    apart = np.linalg.norm(queries[:, None].astype(np.float64) - keys[None].astype(np.float64), axis=2)
    apart[np.arange(20), np.arange(20)] = np.inf
    assert (index == np.argsort(apart, axis=1)[:, :5]).all()
    assert np.allclose(distance, np.sort(apart, axis=1)[:, :5], rtol=1e-12)


def test_hubness_counts_lists_and_knows_chance() -> None:
    x = draw(400, 6)
    found = retrieval.hubness(x, draw(300, 6, 1), k=5)
    assert found.counts.sum() == 400 * 5
    assert found.never == np.mean(found.counts == 0)
    assert found.skewness == pytest.approx(stats.skew(found.counts))
    hub = np.vstack([np.full((1, 6), 1.0), -np.eye(6)])
    assert retrieval.hubness(np.abs(x), hub, k=1).counts[0] == 400
    assert found.chance_never == pytest.approx((1 - 5 / 300) ** 400)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    x = draw(5, 3)
    x[2, 1] = bad
    with pytest.raises(FusionError, match="1 of 5 rows"):
        retrieval.ranks(x, draw(5, 3))


def test_unlike_spaces_are_refused() -> None:
    with pytest.raises(FusionError, match="two spaces"):
        retrieval.ranks(draw(5, 3), draw(5, 4))
    with pytest.raises(FusionError, match="partner"):
        retrieval.ranks(draw(5, 3), draw(6, 3))


def test_gap_alignment_uniformity_are_their_formulas() -> None:
    x, y = draw(70, 12), draw(70, 12, 1) + 0.5
    u, v = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x.astype(np.float64), y.astype(np.float64)))
    assert geometry.modality_gap(x, x) == 0.0
    assert geometry.modality_gap(x, y) == pytest.approx(np.linalg.norm(u.mean(0) - v.mean(0)))
    assert geometry.alignment(x, y) == pytest.approx(np.mean(np.sum((u - v) ** 2, axis=1)))
    apart = np.sum((u[:, None] - u[None]) ** 2, axis=2)[~np.eye(70, dtype=bool)]
    for chunk in (1, 9, 70):
        assert geometry.uniformity(x, chunk) == pytest.approx(np.log(np.mean(np.exp(-2 * apart))), abs=1e-6)
    assert geometry.uniformity(np.ones((10, 4))) == pytest.approx(0.0, abs=1e-5)


def test_a_straight_cut_sees_a_gap_and_nothing_where_there_is_none() -> None:
    x, y = draw(300, 40), draw(300, 40, 1)
    assert geometry.separability(x, x) == 0.5
    assert abs(geometry.separability(x, y) - 0.5) < 0.1  # held out: D is not small against N
    assert geometry.separability(x, y + 1.0) > 0.99


def test_likeness_of_spaces() -> None:
    x, other = draw(90, 14), draw(90, 5, 1)
    rotated = (x @ turned(14)) * 3.0 + 7.0
    assert geometry.linear_cka(x, rotated) == pytest.approx(1.0)
    assert geometry.procrustes(x, rotated) == pytest.approx(0.0, abs=1e-9)
    assert geometry.procrustes(x, draw(90, 14, 5)) > 0.5
    assert geometry.mutual_neighbours(x, (x @ turned(14)) * 3.0, 7) == (1.0, 7 / 89)
    drawn = np.mean([geometry.linear_cka(draw(60, 50, s), draw(60, 50, 100 + s)) for s in range(20)])
    assert abs(drawn) < 0.02  # the biased form gives about .45 here
    K, L = (a.astype(np.float64) @ a.T.astype(np.float64) for a in (x, other))
    assert geometry.linear_cka(x, other) == pytest.approx(slow_hsic(K, L) / np.sqrt(slow_hsic(K, K) * slow_hsic(L, L)))
    assert np.isnan(geometry.linear_cka(np.ones((9, 2)), x[:9]))


def slow_hsic(K: np.ndarray, L: np.ndarray) -> float:
    n = len(K)
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    one = np.ones(n)
    rest = (one @ K @ one) * (one @ L @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ K @ L @ one)
    return (np.trace(K @ L) + rest) / (n * (n - 3))


def random_tags(seed: int, sentences: int = 200) -> list[list[str]]:
    random = np.random.default_rng(seed)
    tags = ["O", "O", "B-PER", "I-PER", "B-LOC", "I-LOC", "I-MISC", "B-MISC-X"]
    return [random.choice(tags, random.integers(0, 12)).tolist() for _ in range(sentences)]


def test_spans_and_their_scores_are_those_of_seqeval() -> None:
    oracle = pytest.importorskip("seqeval.metrics")
    entities = pytest.importorskip("seqeval.metrics.sequence_labeling").get_entities
    gold, predicted = random_tags(0), [[*row] for row in random_tags(0)]
    random = np.random.default_rng(1)
    for row, other in zip(predicted, random_tags(2), strict=True):
        for place in range(min(len(row), len(other))):
            if random.random() < 0.4:
                row[place] = other[place]
    for row in gold + predicted:
        assert tagging.spans(row) == [(start, end + 1, kind) for kind, start, end in entities(row)]
    report = oracle.classification_report(gold, predicted, output_dict=True, zero_division=0)
    ours = tagging.span_f1(gold, predicted)
    report["overall"] = report.pop("micro avg")
    assert list(ours) == ["overall", "LOC", "MISC", "MISC-X", "PER"]
    for kind, row in ours.items():
        expected = report[kind]
        assert row["precision"] == pytest.approx(expected["precision"])
        assert row["recall"] == pytest.approx(expected["recall"])
        assert row["f1"] == pytest.approx(expected["f1-score"])
        assert row["support"] == expected["support"]
    counts = tagging.span_counts(gold, predicted)
    assert tagging.f1_of_counts(counts) == pytest.approx(ours["overall"]["f1"])


def test_spans_of_broken_sequences_and_of_other_marks() -> None:
    assert tagging.spans(["I-PER", "I-PER", "I-LOC", "B-LOC", "O", "I-LOC"]) == [
        (0, 2, "PER"), (2, 3, "LOC"), (3, 4, "LOC"), (5, 6, "LOC"),
    ]  # fmt: skip
    assert tagging.spans([]) == []
    for tag in ("X", "[CLS]", "B-", "PER", "S-PER"):
        with pytest.raises(FusionError, match="not a word tag"):
            tagging.spans(["O", tag])
    with pytest.raises(FusionError, match="Sentence 1"):
        tagging.span_f1([["O"], ["O"]], [["O"], ["O", "O"]])
    assert tagging.span_f1([["O"]], [["O"]])["overall"]["f1"] == 0.0


def test_auc_counts_ties_half_and_is_the_area_of_its_curve() -> None:
    random = np.random.default_rng(0)
    true, false = random.integers(2, 9, 80) / 10, random.integers(0, 7, 60) / 10  # many ties
    pairs = true[:, None] - false[None]
    assert matching.auc(true, false) == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
    rate, recall, thresholds = matching.roc(true, false)
    assert np.trapezoid(recall, rate) == pytest.approx(matching.auc(true, false))
    assert (rate[0], recall[0], rate[-1], recall[-1]) == (0, 0, 1, 1)
    assert thresholds[0] == np.inf
    assert matching.auc([1.0, 1.0], [1.0]) == 0.5
    with pytest.raises(FusionError):
        matching.auc([], [1.0])
    with pytest.raises(FusionError):
        matching.auc([np.nan], [1.0])


def test_curves_hold_what_each_threshold_keeps() -> None:
    random = np.random.default_rng(0)
    true, false = random.normal(1, 1, 70), random.normal(0, 1, 90)
    curve = matching.curves(true, false)
    assert len(curve.thresholds) == 201
    for place in (0, 60, 140, 200):
        threshold = curve.thresholds[place]
        hits, wrong = (true >= threshold).sum(), (false >= threshold).sum()
        precision, recall, f1 = matching.precision_recall_f1(true, false, threshold)
        assert (curve.kept_true[place], curve.kept_false[place]) == (hits, wrong)
        assert precision == curve.precision[place] == pytest.approx(hits / (hits + wrong) if hits + wrong else 1.0)
        assert recall == pytest.approx(hits / 70)
        assert f1 == curve.f1[place] == pytest.approx(2 * hits / (2 * hits + wrong + 70 - hits))
    assert matching.precision_recall_f1(true, false, curve.best())[2] == curve.f1.max()
    assert matching.precision_recall_f1(true, false, 99.0) == (1.0, 0.0, 0.0)


def test_percentile_counts_equal_scores_half() -> None:
    assert matching.percentile(2.0, [1.0, 2.0, 2.0, 3.0]) == 50.0
    assert matching.percentile(np.array([0.0, 9.0]), [1.0, 2.0]).tolist() == [0.0, 100.0]


def test_bootstrap_interval_covers_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(120):
        values = np.random.default_rng(seed).normal(0.3, 1, 80)
        inside += not intervals.bootstrap(values, seed=seed, n=300).excludes(0.3)
    assert 0.87 <= inside / 120 <= 1.0
    found = [intervals.bootstrap(values, seed=4, n=50) for _ in range(2)]
    assert found[0] == found[1]


def test_paired_bootstrap_sees_a_difference_that_unpaired_noise_hides() -> None:
    random = np.random.default_rng(0)
    hard = random.normal(0, 5, 300)
    a, b = hard + 0.2 + random.normal(0, 0.5, 300), hard + random.normal(0, 0.5, 300)
    assert intervals.paired_bootstrap(a, b, n=300).low > 0
    assert not intervals.paired_bootstrap(a, np.roll(b, 1), n=300).excludes()
    scores = np.stack([random.normal(1, 1, 200), random.normal(0, 1, 200)], axis=1)
    same = intervals.paired_bootstrap(scores, scores, lambda v: matching.auc(v[:, 0], v[:, 1]), n=20)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_groups_are_resampled_whole() -> None:
    group = np.array([3, 1, 3, 2, 2, 2])
    for rows in intervals.resampled(6, 50, 0, group):
        counts = np.bincount(rows, minlength=6)
        assert counts[0] == counts[2]
        assert counts[3] == counts[4] == counts[5]
        assert len(rows) == sum({1: 1, 2: 3, 3: 2}[g] for g in (1, 2, 3) for _ in range(counts[{1: 1, 2: 3, 3: 0}[g]]))
    copies = np.repeat(np.random.default_rng(0).normal(size=40), 10)
    alone, together = (intervals.bootstrap(copies, n=300, groups=g) for g in (None, np.arange(400) // 10))
    assert together.high - together.low > 2 * (alone.high - alone.low)


@pytest.mark.parametrize("paired", [False, True])
def test_auc_interval_is_that_of_resampled_scores(paired: bool) -> None:
    random = np.random.default_rng(0)
    true, false = np.round(random.normal(1, 1, 150), 1), np.round(random.normal(0, 1, 150), 1)
    found = intervals.auc_interval(true, false, paired=paired, n=800)
    assert found.value == pytest.approx(matching.auc(true, false))
    slow = []
    for seed in range(400):
        draw = np.random.default_rng(seed)
        rows = draw.integers(0, 150, 150)
        slow.append(matching.auc(true[rows], false[rows if paired else draw.integers(0, 150, 150)]))
    assert np.allclose([found.low, found.high], np.percentile(slow, [2.5, 97.5]), atol=0.015)


def test_wilson_interval_of_a_share() -> None:
    found = intervals.wilson(8, 10)
    expected = stats.binomtest(8, 10).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert intervals.wilson(0, 5).low == 0.0
    with pytest.raises(FusionError):
        intervals.wilson(1, 0)


@pytest.mark.parametrize("equal_mass", [False, True])
def test_reliability_of_honest_and_of_boastful_probabilities(equal_mass: bool) -> None:
    random = np.random.default_rng(0)
    p = random.random(40_000)
    honest = calibration.reliability(p, random.random(40_000) < p, equal_mass=equal_mass)
    assert honest.ece < 0.01
    assert honest.counts.sum() == 40_000
    assert len(honest.edges) == len(honest.counts) + 1
    boastful = calibration.reliability(np.full(1000, 0.9), np.arange(1000) < 600, equal_mass=equal_mass)
    assert boastful.ece == pytest.approx(0.3)
    assert boastful.counts.tolist() == [1000]
    with pytest.raises(FusionError, match="reliability"):
        calibration.reliability(np.array([1.2]), np.array([True]))


def test_calibration_makes_boastful_probabilities_honest() -> None:
    random = np.random.default_rng(0)
    score = lambda n, middle: 1 / (1 + np.exp(-4 * random.normal(middle, 1, n)))  # noqa: E731
    true, false, test_true, test_false = score(3000, 0.6), score(3000, -0.6), score(3000, 0.6), score(3000, -0.6)
    truth = np.r_[np.ones(3000, dtype=bool), np.zeros(3000, dtype=bool)]
    assert calibration.reliability(np.r_[test_true, test_false], truth).ece > 0.1
    platt = calibration.fit_platt(calibration.logit(true), calibration.logit(false))
    isotonic = calibration.fit_isotonic(true, false)
    for honest in (platt(calibration.logit(np.r_[test_true, test_false])), isotonic(np.r_[test_true, test_false])):
        assert calibration.reliability(honest, truth).ece < 0.03
    assert platt.slope == pytest.approx(1.2 / 4, rel=0.1)  # log odds of two normals: 1.2 x, seen through 4 x
    assert (np.diff(isotonic(np.linspace(0, 1, 50))) >= 0).all()
    apart = calibration.fit_platt(np.array([2.0, 3.0]), np.array([0.0, 1.0]))
    assert np.isfinite([apart.slope, apart.offset]).all()
    assert apart(3.0) > 0.5 > apart(0.0)


def rate_errors(pairs: int, seeds: int = 30) -> tuple[np.ndarray, float]:
    errors, covered = [], []
    for planted in (0.0, 0.1, 0.2, 0.4):
        for seed in range(seeds):
            random = np.random.default_rng([seed, pairs, int(100 * planted)])
            true, false = lambda n, r=random: r.normal(1.466, 1, n), lambda n, r=random: r.normal(0, 1, n)  # AUC .85
            wrong = round(planted * pairs)
            mixture = mismatch.fit_mixture(true(pairs), false(pairs))
            found = mismatch.mismatch_rate(mixture, np.r_[true(pairs - wrong), false(wrong)], n=200)
            errors.append(found.value - planted)
            covered.append(found.low - 1e-9 <= planted <= found.high + 1e-9)
    return np.array(errors), float(np.mean(covered))


@pytest.mark.parametrize(("pairs", "share", "typical"), [(500, 0.80, 0.038), (1500, 0.97, 0.022), (3000, 0.98, 0.016)])
def test_planted_mismatch_rate_is_found_within_five_points(pairs: int, share: float, typical: float) -> None:
    # Over 200 seeds a rate: .88, .995 and .999 of the errors within five points, root mean square .033, .018 and .013.
    errors, covered = rate_errors(pairs)
    assert np.mean(np.abs(errors) <= 0.05) >= share
    assert np.sqrt(np.mean(errors**2)) < typical
    assert abs(errors.mean()) < 0.008
    assert covered > 0.88


def test_mismatch_rate_does_not_depend_on_the_scale_of_the_scores() -> None:
    random = np.random.default_rng(0)
    true, false = random.normal(1.5, 1, 800), random.normal(0, 1, 2400)
    mixed = np.r_[random.normal(1.5, 1, 600), random.normal(0, 1, 200)]
    squeeze = lambda s: 1 / (1 + np.exp(-5 * s))  # noqa: E731
    plain = mismatch.mismatch_rate(mismatch.fit_mixture(true, false), mixed)
    squeezed = mismatch.mismatch_rate(mismatch.fit_mixture(squeeze(true), squeeze(false)), squeeze(mixed))
    assert squeezed.value == pytest.approx(plain.value, abs=1e-9)
    mixture = mismatch.fit_mixture(true, false)
    posterior = mixture.posterior(mixed, plain.value)
    assert posterior.mean() == pytest.approx(plain.value, abs=1e-3)  # where the likelihood is highest, they agree
    assert posterior[:600].mean() < posterior[600:].mean()


def test_gate_faithfulness_is_a_rank_correlation_and_says_when_there_is_none() -> None:
    random = np.random.default_rng(0)
    gate, base = random.random(200), random.normal(size=200)
    sign = np.where(random.random(200) < 0.5, -1, 1)
    assert behaviour.gate_faithfulness(gate, base, base + sign * gate**3) == pytest.approx(1.0)
    noise = np.round(random.random(200), 1)  # ties
    assert behaviour.spearman(gate, noise) == pytest.approx(stats.spearmanr(gate, noise).statistic)
    assert behaviour.gate_faithfulness(np.full(200, 0.5), base, base + gate) is None


def test_even_attention_has_entropy_one_and_mass_of_its_size() -> None:
    even = np.full((2, 3, 8), 1 / 8)
    mask = np.ones((2, 1, 8), dtype=bool)
    assert np.allclose(behaviour.attention_entropy(even, mask), 1.0)
    chosen = np.arange(8) < 3
    mass, size = behaviour.attention_mass(even, chosen, mask)
    assert np.allclose(mass, size)
    assert np.allclose(size, 3 / 8)
    one = np.eye(8)[None, :3]
    assert np.allclose(behaviour.attention_entropy(one), 0.0)
    mask[:, :, 6:] = False  # padding
    assert np.allclose(behaviour.attention_entropy(even, mask), 1.0)
    mass, size = behaviour.attention_mass(even, chosen, mask)
    assert np.allclose(mass, 3 / 8)
    assert np.allclose(size, 3 / 6)
    assert np.isnan(behaviour.attention_entropy(np.zeros((1, 4)))).all()


def test_a_sample_is_everything_or_seeded() -> None:
    assert (sample(5000) == np.arange(5000)).all()
    rows = sample(9000, seed=3)
    assert len(rows) == len(set(rows.tolist())) == 2000
    assert (rows == sample(9000, seed=3)).all()
    assert (np.diff(rows) > 0).all()
