"""The audit of a ranking: shares with intervals, advice, agreement and figures, each by hand; planted mismatches."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, cohen_kappa_score

from fusion import observations
from fusion.metrics.intervals import wilson
from fusion.triage import audit, planting
from fusion.types import FusionError


def _now(**verdicts: str) -> dict[str, dict[str, str]]:
    """now of one letter a reviewer: k, m, f, u."""
    words = {"k": "keep", "m": "mismatch", "f": "fix", "u": "unsure"}
    return {id: {f"r{i}": words[one] for i, one in enumerate(said)} for id, said in verdicts.items()}


def test_reviewers_who_differ_leave_a_row_open() -> None:
    """A mismatch and a fix are both wrong; unsure decides nothing."""
    said = audit.reviewed(_now(a="k", b="mf", c="km", d="u", e="ku", f=""))
    assert said == {"a": "right", "b": "wrong", "c": "open", "d": "open", "e": "open"}


def test_precision_counts_what_was_decided() -> None:
    now = _now(a="m", b="k", c="f", d="u", e="km")
    found = audit.precision(now)
    assert found is not None
    assert (found.wrong, found.right, found.open, found.counted) == (2, 1, 2, 3)
    assert found.interval == wilson(2, 3)
    some = audit.precision(now, ["a", "c", "nobody looked"])
    assert some is not None
    assert some.interval.value == 1
    assert audit.precision(now, ["d"]) is None
    assert audit.precision({}) is None


def test_the_share_of_the_whole_is_read_from_the_beginning_of_a_sample() -> None:
    """A row picked from further down, or from the queue, changes nothing."""
    sample = ["a", "b", "c", "d", "e"]
    now = _now(a="k", b="m", d="m", e="m", z="m")
    found = audit.share(now, sample)
    assert found is not None
    assert (found.wrong, found.right) == (1, 1)
    assert audit.share(_now(b="m"), sample) is None


def test_the_interval_of_a_random_sample_holds_its_share() -> None:
    """In 95 of 100 samples of 50 from a set with a tenth wrong, or a little more or less."""
    random = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        wrong = random.random(50) < 0.1
        found = audit.share(
            {str(i): {"r": "mismatch" if w else "keep"} for i, w in enumerate(wrong)}, [str(i) for i in range(50)]
        )
        assert found is not None
        held += found.interval.low <= 0.1 <= found.interval.high
    assert 0.92 <= held / 400 <= 0.99


def _judged(wrong: int, count: int = 200) -> dict[str, dict[str, str]]:
    """What was said of the first rows of a queue: the first 40 are wrong, and so are the last few."""
    return {f"{i}": {"r": "mismatch" if i < 40 or i >= count - wrong else "keep"} for i in range(count)}


def test_advice_stops_when_the_last_rows_are_no_worse_than_any() -> None:
    queue, good = [f"{i}" for i in range(200)], _judged(0, 120)
    base = audit.Share(10, 90, 0, wilson(10, 100))
    said = audit.advice(good, queue, base)
    assert said is not None
    assert (said.stop, said.last, said.wrong, said.base, said.known) == (True, 60, 0, 0.1, True)
    assert said.upper == pytest.approx(wilson(0, 60, 0.9).high)
    bad = audit.advice({id: good[id] for id in queue[:90]}, queue, base)
    assert bad is not None
    assert (bad.stop, bad.wrong) == (False, 10)
    assert audit.advice({id: good[id] for id in queue[:59]}, queue, base) is None
    unsure = good | {id: {"r": "unsure"} for id in queue[110:120]}
    assert audit.advice(unsure, queue, base).wrong == 0  # type: ignore[union-attr]  # the 60 before those are decided


@pytest.mark.parametrize(
    ("wrong", "count", "level", "known"),
    [
        (0, 0, audit.TOLERATED, False),  # nobody looked at random rows
        (29, 29, audit.TOLERATED, False),  # too few to know
        (0, 50, audit.TOLERATED, False),  # fewer than are let be
        (1, 50, audit.TOLERATED, False),
        (10, 50, 0.2, True),
    ],
)
def test_advice_can_say_stop_whatever_the_random_sample_says(wrong: int, count: int, level: float, known: bool) -> None:
    queue = [f"{i}" for i in range(200)]
    base = audit.Share(wrong, count - wrong, 0, wilson(wrong, count)) if count else None
    good = audit.advice(_judged(0), queue, base)
    assert good is not None
    assert (good.stop, good.base, good.known) == (True, level, known)
    bad = audit.advice(_judged(9), queue, base)  # 15 % of the last
    assert bad is not None
    assert (bad.stop, bad.wrong) == (False, 9)


def test_kappa_by_hand_and_against_another_program() -> None:
    left, right = ["keep"] * 6 + ["mismatch"] * 4, ["keep"] * 5 + ["mismatch"] * 5
    assert audit.kappa(left, right) == pytest.approx((0.9 - 0.5) / 0.5)  # chance: .6 x .5 + .4 x .5
    assert np.isnan(audit.kappa(["keep"], ["keep"]))
    random = np.random.default_rng(0)
    many = [random.choice(["keep", "mismatch", "fix", "unsure"], 300).tolist() for _ in range(2)]
    assert audit.kappa(*many) == pytest.approx(cohen_kappa_score(*many))
    with pytest.raises(FusionError, match="same rows"):
        audit.kappa(["keep"], [])


def test_agreement_is_of_every_two() -> None:
    found = audit.agreement(_now(a="kkm", b="mm", c="k", d="km"))
    assert [(pair.one, pair.other, pair.rows) for pair in found] == [("r0", "r1", 3), ("r0", "r2", 1), ("r1", "r2", 1)]
    assert found[0].same == pytest.approx(2 / 3)


def test_agreement_of_many_names_takes_no_time_and_is_of_those_who_judged_most() -> None:
    """Whether each judged a row of their own or all the same one."""
    names = [f"u{i}" for i in range(1500)]
    now = {f"own{i}": {name: "keep"} for i, name in enumerate(names)}
    now["same"] = dict.fromkeys(names, "keep") | {"u0": "fix"}
    for i in range(20):
        now[f"more{i}"] = {"u7": "keep", "u1400": "mismatch" if i < 5 else "keep"}
    start = time.monotonic()
    found = audit.agreement(now)
    assert time.monotonic() - start < 5  # every two over every row would be minutes
    assert len(found) == audit.MOST * (audit.MOST - 1) // 2
    assert (found[0].one, found[0].other, found[0].rows) == ("u1400", "u7", 21)
    assert found[0].same == pytest.approx(16 / 21)
    assert found[0].kappa == pytest.approx(0.0)  # the one only ever says keep


def test_average_precision_and_precision_at_k() -> None:
    """Planted rows at ranks 1, 3 and 4: (1 + 2/3 + 3/4) / 3; ties are taken together."""
    planted = np.array([True, False, True, True, False])
    suspicion = np.array([0.9, 0.8, 0.7, 0.6, np.nan])
    assert audit.average_precision(suspicion, planted) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert audit.average_precision(np.zeros(5), planted) == pytest.approx(0.6)
    random = np.random.default_rng(0)
    score, truth = random.integers(0, 20, 500), random.random(500) < 0.1
    assert audit.average_precision(score, truth) == pytest.approx(average_precision_score(truth, score))
    found = audit.at_k(suspicion, planted, (1, 2, 4, 9))
    assert {k: interval.value for k, interval in found.items()} == {1: 1.0, 2: 0.5, 4: 0.75}
    with pytest.raises(FusionError, match="plant"):
        audit.average_precision(suspicion, np.zeros(5, bool))


def test_figures_are_those_that_the_columns_allow() -> None:
    frame = pd.DataFrame(
        {"id": list("abcd"), "right": pd.array([True, False, True, pd.NA], "boolean"), "rank_answer": [1, 2, 4, np.nan]}
    )
    assert set(audit.figures(frame)) == {"accuracy", "mrr"}
    found = audit.with_without(frame, ["b"], "accuracy")
    assert found is not None
    assert (found.whole, found.without, found.rows, found.tagged) == (pytest.approx(2 / 3), 1.0, 3, 1)
    assert found.difference.value == pytest.approx(1 / 3)
    back = audit.with_without(frame, ["c"], "mrr")
    assert back is not None
    assert back.whole == pytest.approx((1 + 1 / 2 + 1 / 4) / 3)
    assert back.without == pytest.approx(0.75)
    assert audit.with_without(frame, list("abc"), "mrr") is None
    with pytest.raises(FusionError, match="accuracy, mrr"):
        audit.with_without(frame, [], "auc")


def test_without_wrong_pairs_matching_looks_better() -> None:
    """The interval of the difference leaves zero out, and holds it when rows are tagged at random."""
    random = np.random.default_rng(0)
    wrong = random.random(600) < 0.2
    frame = pd.DataFrame(
        {
            "id": [str(i) for i in range(600)],
            "match": random.normal(np.where(wrong, -1, 1), 1),
            "match_shuffled": random.normal(-1, 1, 600),
        }
    )
    better = audit.with_without(frame, frame["id"][wrong], "auc")
    assert better is not None
    assert better.difference.low > 0.01
    chance = audit.with_without(frame, frame["id"][random.random(600) < 0.2], "auc")
    assert chance is not None
    assert chance.difference.low < 0 < chance.difference.high


def _pairs(count: int = 300) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    random = np.random.default_rng(1)
    text = random.standard_normal((count, 16))
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    image = text + 0.1 * random.standard_normal((count, 16))
    frame = pd.DataFrame(
        {
            "id": [str(i) for i in range(count)],
            "match": random.uniform(0.6, 1, count),
            "match_shuffled": random.uniform(0, 0.5, count),
            "exchanged": np.roll(np.arange(count), 5) - np.arange(count),
            "far": False,
        }
    )
    return frame, {"text": text.astype(np.float16), "image": image.astype(np.float16)}


def test_mismatches_planted_in_a_run_are_found() -> None:
    """By the exchange that the run made: match scores are those of match_shuffled."""
    frame, vectors = _pairs()
    found = planting.sown(frame, vectors)
    assert found is not None
    assert (found.planted, found.rows) == (30, 300)
    assert found.precision > 0.95
    assert found.parts["match"] == pytest.approx(1.0)  # no planted row keeps its own score
    assert set(found.parts) == {"match", "cosine", "rank", "margin", "neighbours"}
    assert found.at_k[20].value == 1
    assert found.found[20] == pytest.approx(20 / 30)
    assert planting.sown(frame, vectors, seed=1) != found
    before = vectors["image"].copy()
    planting.sown(frame, vectors)
    assert (vectors["image"] == before).all()  # the run stays as it is


def test_nothing_is_planted_where_nothing_was_exchanged() -> None:
    frame, vectors = _pairs()
    assert planting.sown(frame.assign(exchanged=0), vectors) is None
    asked = pd.DataFrame({"id": ["a", "b"], "rank_answer": [1.0, 2.0], "score": [0.5, 0.4]})
    assert planting.sown(asked, {}, "triples") is None
    with pytest.raises(FusionError, match="leaves both kinds"):
        planting.sown(frame, vectors, rate=1.0)


def test_a_large_run_is_planted_in_whole_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that every row stands beside the one that it was exchanged with."""
    monkeypatch.setattr(planting, "SEEDED", 200)
    monkeypatch.setattr(observations, "CHUNK", 50)
    frame, vectors = _pairs()
    columns = {name: "" for name in frame}
    store = SimpleNamespace(
        count=300, columns=columns, meta={"kind": "pairs", "vectors": {"text": 16, "image": 16}},
        column=lambda name: frame[name].to_numpy(), vectors=lambda name: vectors[name],
        names=lambda: tuple(vectors),
    )  # fmt: skip
    rows = planting._rows(300, 0)
    assert len(rows) == 200
    assert all((rows[start : start + 50] % 50 == np.arange(50)).all() for start in range(0, 200, 50))
    found = planting.seeded(store)  # type: ignore[arg-type]  # what a run holds
    assert found is not None
    assert found.rows == 200
    assert found.precision > 0.9
