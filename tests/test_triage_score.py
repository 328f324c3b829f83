"""Suspicion: what each part says on worked examples, the laws of the score, and what it finds without labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from fusion.metrics.calibration import logit
from fusion.triage import between, parts, score
from fusion.triage.score import Calibration, logistic, percentiles, ranked, reweighed, scored
from fusion.types import FusionError


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _pairs(
    count: int = 300, wrong: float = 0.1, seed: int = 0
) -> tuple[pd.DataFrame, dict[str, np.ndarray], np.ndarray]:
    """Pairs in one space, a share of them with another's picture, and a match score that is a little right."""
    random = np.random.default_rng(seed)
    text = _unit(random.standard_normal((count, 16)))
    image = _unit(text + 0.2 * random.standard_normal((count, 16)))
    planted = np.zeros(count, bool)
    planted[random.choice(count, round(wrong * count), replace=False)] = True
    image[planted] = np.roll(image[planted], 1, axis=0)
    true, false = (1 / (1 + np.exp(-random.normal(middle, 1.5, count))) for middle in (1, -1))
    frame = pd.DataFrame(
        {"id": [f"{row:04d}" for row in range(count)], "match": np.where(planted, false, true),
         "match_shuffled": 1 / (1 + np.exp(-random.normal(-1, 1.5, count)))}
    )  # fmt: skip
    return frame, {"text": text.astype(np.float16), "image": image.astype(np.float16)}, planted


def _precision(suspicion: np.ndarray, planted: np.ndarray) -> float:
    """Share of the planted among as many of the most suspicious."""
    return float(planted[np.argsort(-suspicion, kind="stable")[: planted.sum()]].mean())


def test_rank_margin_and_cosine_on_three_pairs() -> None:
    """Texts along the axes; the picture of the third lies nearest to the first."""
    text = np.eye(3)
    image = _unit(np.array([[1.0, 0, 0], [0, 1, 0], [3, 0, 4]]))  # the third: .6, 0, .8
    sides = between.halves(text, image)
    found = between.measured(sides, np.arange(3), np.arange(3))
    np.testing.assert_allclose(found["cosine"][:, 0], [0, 0, 0.2], atol=1e-6)
    np.testing.assert_allclose(found["rank"], 0, atol=1e-6)  # each is the nearest both ways
    swapped = between.measured(sides, np.array([0]), np.array([2]))
    assert swapped["cosine"][0, 0] == pytest.approx(0.4)
    # the first text has one nearer picture, the third picture one nearer text
    np.testing.assert_allclose(swapped["rank"][0], np.log(2) * np.ones(2), atol=1e-6)
    np.testing.assert_allclose(swapped["margin"][0], [(1 + 0) / 2 - 0.6, (0 + 0.8) / 2 - 0.6], atol=1e-6)


def test_among_some_candidates_a_partner_that_is_one_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(between, "EXACT", 100)
    monkeypatch.setattr(between, "CANDIDATES", 64)
    random = np.random.default_rng(3)
    text = _unit(random.standard_normal((300, 8)))
    image = _unit(text + 0.5 * random.standard_normal((300, 8)))
    sides = between.halves(text, image)
    assert len(sides.candidates) == 64
    rows = np.arange(300)
    found = between.measured(sides, rows, rows)
    score = text @ image[sides.candidates].T  # (300, 64)
    for row in rows:
        others = score[row][sides.candidates != row]
        own = float(text[row] @ image[row])
        assert found["margin"][row, 0] == pytest.approx(np.sort(others)[-5:].mean() - own, abs=1e-5)
        assert found["rank"][row, 0] == pytest.approx(np.log1p((others > own).mean() * 299), abs=1e-5)


def test_of_three_sides_an_exchanged_row_has_two_from_one_other_row() -> None:
    random = np.random.default_rng(4)
    vectors = {name: _unit(random.standard_normal((40, 6))) for name in ("a", "b", "c")}
    vectors["c"][:5] = 0
    frame = pd.DataFrame({"id": [str(row) for row in range(40)]})
    found = parts.raw(frame, vectors, sides=("a", "b", "c"))
    other = parts.exchanges(frame, vectors, ("a", "b", "c"))
    assert (other[found.fitted] >= 0).all()
    a, b, c = vectors.values()
    for row, wrong in zip(found.fitted, found.exchanged["cosine"][:, 0], strict=True):
        far = other[row]
        cosines = [a[row] @ b[far]] + ([a[row] @ c[far], b[far] @ c[far]] if c[row].any() and c[far].any() else [])
        if c[far].any() and not c[row].any():
            cosines += [b[far] @ c[far]]
        assert wrong == pytest.approx(1 - np.mean(cosines), abs=1e-5)


def test_neighbours_are_a_kernel_over_the_other_rows() -> None:
    """Against the formula written out, in two spaces of different widths."""
    random = np.random.default_rng(3)
    left, right = _unit(random.standard_normal((6, 4))), _unit(random.standard_normal((6, 3)))
    cosine = left @ left.T
    width = between.WIDTH * cosine[~np.eye(6, dtype=bool)].std()
    expected = np.zeros((6, 3))
    for row in range(6):
        weight = np.array([np.exp(cosine[row, other] / width) if other != row else 0.0 for other in range(6)])
        expected[row] = weight @ right / weight.sum()
    found = between.measured(between.halves(left, right), np.arange(6), np.arange(6))
    np.testing.assert_allclose(found["neighbours"][:, 0], 1 - (_unit(expected) * right).sum(1), atol=1e-4)
    assert set(found) == {"neighbours"}  # two widths are two spaces


def test_rows_above_the_limit_are_compared_with_chosen_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks are scaled up to the whole set, the choice depends on content alone, and results stay close."""
    frame, vectors, planted = _pairs(600)
    whole, exact = scored(frame, vectors)
    monkeypatch.setattr(between, "EXACT", 500)
    monkeypatch.setattr(between, "CANDIDATES", 300)
    some, sampled = scored(frame, vectors)
    assert (exact.compared, sampled.compared) == (600, 300)
    assert np.corrcoef(whole["suspicion"], some["suspicion"])[0, 1] > 0.95
    sides = between.halves(vectors["text"], vectors["image"])
    back = between.halves(vectors["text"][::-1], vectors["image"][::-1])
    assert sorted(599 - back.candidates) == sides.candidates.tolist()
    rank = between.measured(sides, np.arange(600), np.arange(600))["rank"]
    assert rank.max() > np.log(301)  # ranks among all 600
    assert _precision(some["suspicion"].to_numpy(), planted) > 0.9


def test_a_hash_is_of_the_bits_and_no_block_changes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written out in whole numbers of Python: the sum of bits times factors below 2^64, then mixed."""
    rows = np.random.default_rng(0).standard_normal((40, 7)).astype(np.float16)
    rows[3], rows[4], rows[5] = 0, -0.0, -65504
    rows[6, ::2] = -0.0
    factors = np.random.default_rng(0).integers(1, 2**63, 7, dtype=np.uint64) | np.uint64(1)
    bits = (rows + np.float16(0)).view(np.uint16)
    sums = [sum(int(b) * int(f) for b, f in zip(row, factors, strict=True)) % 2**64 for row in bits]
    for block in (9, 10**6):
        monkeypatch.setattr(between, "HASHED", block)
        marks, there = between.hashed(rows)
        assert marks.tolist() == between.mixed(np.array(sums, np.uint64)).tolist()
        assert np.flatnonzero(~there).tolist() == [3, 4]


def test_an_exchange_gives_everyone_another_picture() -> None:
    """Also where pictures repeat; nobody when all have the same."""
    random = np.random.default_rng(0)
    image = np.repeat(_unit(random.standard_normal((20, 5))), 4, axis=0)
    text = _unit(random.standard_normal((80, 5)))
    other = between.exchange(between.halves(text, image))
    assert sorted(other) == list(range(80))
    assert (np.abs(image[other] - image).max(1) > 0.01).all()
    same = between.exchange(between.halves(text, np.repeat(image[:1], 80, axis=0)))
    assert (same == -1).all()
    assert (between.exchange(between.halves(text[:1], image[:1])) == -1).all()


def test_planted_pairs_are_found_without_a_label() -> None:
    """And better than by the match score."""
    frame, vectors, planted = _pairs()
    made, calibration = scored(frame, vectors)
    assert calibration.how == "calibrated"
    assert _precision(made["suspicion"].to_numpy(), planted) > 0.9
    assert _precision(-frame["match"].to_numpy(), planted) < 0.7
    assert calibration.apart["suspicion"] > calibration.apart["match"]
    plain, other = scored(frame, vectors, how="percentile")
    assert other.how == "percentile"
    columns = [name for name in plain if name.startswith("part_")]
    np.testing.assert_allclose(plain["suspicion"], plain[columns].mean(axis=1), atol=1e-6)


def test_noise_says_nothing() -> None:
    """Where exchanged pairs look like true ones, no row is suspicious."""
    random = np.random.default_rng(5)
    vectors = {name: _unit(random.standard_normal((400, 8))) for name in ("text", "image")}
    made, calibration = scored(pd.DataFrame({"id": range(400)}), vectors)
    assert calibration.apart["suspicion"] == pytest.approx(0.5, abs=0.08)
    assert made["suspicion"].between(0.2, 0.8).all()


def test_the_order_of_the_rows_changes_nothing() -> None:
    """Rows and vectors turned around give the same scores, to rounding, and the same ranks."""
    frame, vectors, _ = _pairs()
    order = np.random.default_rng(1).permutation(len(frame))
    there = scored(frame, vectors)[0]
    back = scored(frame.iloc[order].reset_index(drop=True), {k: v[order] for k, v in vectors.items()})[0]
    np.testing.assert_allclose(back["suspicion"], there["suspicion"].to_numpy()[order], atol=1e-4)
    assert np.corrcoef(back["rank"], there["rank"].to_numpy()[order])[0, 1] > 0.9999


def test_suspicion_never_falls_when_a_part_rises() -> None:
    """Each figure of a row is made worse by itself; the row itself did not help to learn the curve."""
    frame, vectors, _ = _pairs()
    before = scored(frame, vectors)[0]
    for row in (0, 50, 200):
        worse = frame.copy()
        worse.loc[row, "match"] = frame.loc[row, "match"] / 4
        after = scored(worse, vectors)[0]
        assert after.loc[row, "suspicion"] > before.loc[row, "suspicion"]
        assert after.loc[row, "part_match"] > before.loc[row, "part_match"]


def test_no_row_calibrates_itself() -> None:
    """A row with a wild match score leaves the curve of its own fold as it was."""
    frame, vectors, _ = _pairs()
    known = parts.raw(frame, vectors)
    fold = known.marks % np.uint64(score.FOLDS)
    row = 7
    odds = lambda table: logit(scored(table, vectors)[0]["part_match"].to_numpy(np.float64))  # noqa: E731
    wild = frame.copy()
    wild.loc[row, "match"] = 1e-6
    same, others = (np.abs(odds(wild) - odds(frame))[kind] for kind in (fold == fold[row], fold != fold[row]))
    assert np.sort(same)[-2] < 1e-5  # all but itself
    assert others.max() > 1e-3


def test_the_runs_own_exchange_is_used() -> None:
    """match_shuffled belongs to the picture that the run chose."""
    frame, vectors, _ = _pairs()
    step = np.roll(np.arange(300), -3) - np.arange(300)
    known = parts.raw(frame.assign(exchanged=step), vectors)
    own = (vectors["text"].astype(np.float64) * vectors["image"][np.roll(np.arange(300), -3)]).sum(1)
    np.testing.assert_allclose(known.exchanged["cosine"][:, 0], 1 - own[known.fitted], atol=2e-3)
    wild = parts.raw(frame.assign(exchanged=np.where(np.arange(300) == 4, 900, 0)), vectors)  # past the end
    assert np.isnan(wild.exchanged["match"]).all() if "match" in wild.exchanged else True
    assert "cosine" not in wild.exchanged


def test_missing_parts_are_left_out_and_named() -> None:
    frame, vectors, planted = _pairs()
    made, calibration = scored(frame[["id"]].assign(far=planted), vectors)
    assert calibration.missing == ("match", "conflict", "loss")
    assert calibration.unused == ("far",)  # shown, but exchanged pairs have none
    assert "part_far" in made
    assert "part_match" not in made
    assert set(calibration.weights) == {"cosine", "rank", "margin", "neighbours"}


def test_a_row_without_a_half_has_no_parts_of_vectors() -> None:
    """NaN stays with its row: the others are scored, and a row without anything comes last."""
    frame, vectors, _ = _pairs()
    frame.loc[3, "match"] = np.nan
    frame.loc[5, "match"] = np.nan
    vectors["image"][5] = 0
    made, _ = scored(frame, vectors)
    assert np.isnan(made.loc[3, "part_match"])
    assert np.isfinite(made.loc[3, "suspicion"])
    assert np.isnan(made.loc[5, "suspicion"])
    assert made.loc[5, "rank"] == len(made)
    assert made.drop(5)["suspicion"].notna().all()


@pytest.mark.parametrize("count", [1, 2, 12])
def test_few_rows_are_ranked_instead(count: int) -> None:
    frame, vectors, _ = _pairs(count, 0.0)
    made, calibration = scored(frame, vectors)
    assert calibration.how == "percentile"
    assert made["suspicion"].between(0, 1).all()
    assert sorted(made["rank"]) == list(range(1, count + 1))


def test_constant_columns_and_ties_say_nothing() -> None:
    frame, vectors, _ = _pairs()
    equal = frame.assign(match=0.7, match_shuffled=0.7)
    made, calibration = scored(equal, vectors)
    assert calibration.weights["match"] == 0
    np.testing.assert_allclose(made["part_match"], 0.5, atol=1e-6)
    same = {name: np.ones((300, 4)) for name in ("text", "image")}
    flat, how = scored(frame[["id"]], same)
    assert how.how == "percentile"  # nothing could be exchanged
    np.testing.assert_allclose(flat["suspicion"], 0.5)
    assert flat["rank"].tolist() == list(range(1, 301))  # ties by id


def test_without_anything_to_say_there_is_no_suspicion() -> None:
    made, calibration = scored(pd.DataFrame({"id": ["a", "b"]}), {})
    assert made["suspicion"].isna().all()
    assert calibration.missing == parts.PARTS


def test_sequences_are_compared_by_modality() -> None:
    """Vectors named after a modality are the sides; a row that lacks it has none; a loss is ranked."""
    frame, vectors, planted = _pairs()
    table = {"embedding_text": vectors["text"], "embedding_image": vectors["image"][:, :8],
             "embedding_fused": vectors["text"], "shared_text_image_text": vectors["text"]}  # fmt: skip
    rows = pd.DataFrame({"id": frame["id"], "has_text": True, "has_image": np.arange(300) != 9, "loss": planted * 1.0})
    made, calibration = scored(rows, table, kind="streams")
    assert set(calibration.weights) == {"neighbours"}
    assert calibration.unused == ("loss",)
    assert np.isnan(made.loc[9, "part_neighbours"])
    assert made["part_neighbours"].notna().sum() == 299


def test_three_sides_are_compared_two_by_two() -> None:
    frame, vectors, _ = _pairs()
    third = np.roll(vectors["text"], 1, axis=0)
    table = {"a": vectors["text"], "b": vectors["image"], "c": third}
    known = parts.raw(frame[["id"]], table, sides=("a", "b", "c"))
    alone = [parts.raw(frame[["id"]], table, sides=two).own["cosine"] for two in (("a", "b"), ("a", "c"), ("b", "c"))]
    np.testing.assert_allclose(known.own["cosine"], np.mean(alone, 0), atol=1e-6)


def test_links_and_questions_keep_the_rank_of_their_answer() -> None:
    """Two graphs compare the ends of a link; a question has the chance and the rank of its answer."""
    frame, vectors, planted = _pairs()
    links = pd.DataFrame({"id": frame["id"], "rank": 5.0, "score": 0.5})
    made, calibration = scored(links, {"left": vectors["text"], "right": vectors["image"]}, kind="graph")
    assert (made["rank_answer"] == 5).all()
    assert _precision(made["suspicion"].to_numpy(), planted) > 0.9
    asked = links.assign(rank=np.arange(300) + 1.0, score=np.linspace(0.99, 0.01, 300))
    made, calibration = scored(asked, {"head": vectors["text"], "tail": vectors["image"]}, kind="triples")
    assert calibration.how == "percentile"
    assert made.sort_values("rank")["id"].iloc[0] == "0299"
    assert set(calibration.weights) == {"match", "rank"}


def test_weights_of_ones_own() -> None:
    """The mean weights nearly give the score again; a part alone gives its own order; a wrong name is refused."""
    frame, vectors, _ = _pairs()
    made, calibration = scored(frame, vectors)
    again = reweighed(made, calibration.weights, calibration)
    assert np.corrcoef(rankdata(again), rankdata(made["suspicion"]))[0, 1] > 0.99
    alone = reweighed(made, {"match": 2.0}, calibration)
    assert (np.argsort(alone, kind="stable") == np.argsort(made["part_match"].to_numpy(), kind="stable")).all()
    assert np.isnan(reweighed(made, {}, calibration)).all()
    plain, ranks = scored(frame, vectors, how="percentile")
    np.testing.assert_allclose(reweighed(plain, ranks.weights, ranks), plain["suspicion"], atol=1e-6)
    for weights in ({"loss": 1.0}, {"match": -1.0}, {"match": float("nan")}):
        with pytest.raises(FusionError, match="can't weigh"):
            reweighed(made, weights, calibration)


def test_a_calibration_is_read_back() -> None:
    frame, vectors, _ = _pairs()
    calibration = scored(frame, vectors)[1]
    assert Calibration.read(calibration.told()) == calibration
    with pytest.raises(FusionError, match="can't be read"):
        Calibration.read({"how": "calibrated"})


def test_logistic_weights_are_never_negative() -> None:
    """A column that points the wrong way weighs nothing, NaN is left out, and chances come out right."""
    random = np.random.default_rng(2)
    label = np.repeat([0.0, 1.0], 4000)
    table = np.stack([random.normal(2 * label, 1), random.normal(-label, 1)], 1)
    table[:5, 0] = np.nan
    slope, offset = logistic(table, label)
    assert slope[1] == 0
    assert slope[0] == pytest.approx(2, abs=0.15)  # log odds of two normals two apart are 2 x - 2
    assert offset == pytest.approx(-2, abs=0.15)


def test_percentiles_and_ranks_by_hand() -> None:
    np.testing.assert_allclose(percentiles(np.array([3.0, 1.0, 3.0, np.nan])), [2 / 3, 1 / 6, 2 / 3, np.nan])
    np.testing.assert_allclose(percentiles(np.array([4.0])), [0.5])
    assert ranked(np.array([0.2, np.nan, 0.9, 0.2]), np.array(["b", "c", "d", "a"], object)).tolist() == [3, 4, 1, 2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: {"text": v["text"][:9], "image": v["image"]}, "needs 300 vectors"),
        (lambda v: {"text": v["text"] * np.nan, "image": v["image"]}, "NaN"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(change, said) -> None:  # type: ignore[no-untyped-def]
    frame, vectors, _ = _pairs()
    with pytest.raises(FusionError, match=said):
        scored(frame, change(vectors))
