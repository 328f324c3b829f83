"""Spaces side by side: what is planted is found where it can be found, and rows that are counted aren't seen."""

from __future__ import annotations

import numpy as np
import pytest

from fusion.streams import side_by_side
from fusion.streams.side_by_side import Space, compare
from fusion.streams.spaces import pairs
from fusion.types import FusionError

N = 600
SPLIT = np.repeat([0, 1, 2], (300, 120, 180)).astype(np.uint8)  # train, valid, test
CHANCE = 1 / 180


def by_kind(found: list[Space]) -> dict[str, Space]:
    return {one.kind: one for one in found}


def both(space: Space, figure: str) -> float:
    return float(np.mean([value for pair in space.pairs for value in pair[figure]]))


def turned(seed: int = 37) -> dict[str, np.ndarray]:
    """Eight numbers, and the same behind a rotation."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((N, 8))
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    noise = lambda: 0.05 * rng.standard_normal((N, 8))  # noqa: E731
    return {"text": z + noise(), "image": z @ turn + 3 + noise()}


def test_a_rotation_hides_partners_from_raw_and_centred_and_not_from_mcca() -> None:
    found = by_kind(compare(turned(), {}, SPLIT))
    assert list(found) == ["raw", "centred", "mcca", "kcca"]
    assert both(found["raw"], "r1") < 5 * CHANCE
    assert both(found["centred"], "r1") < 8 * CHANCE
    assert both(found["mcca"], "r1") > 0.95
    assert found["raw"].pairs[0]["gap"] > 0.5 > found["mcca"].pairs[0]["gap"]
    assert found["mcca"].pairs[0]["neighbours"] > 0.6
    assert found["mcca"].pairs[0]["n"] == 180
    assert found["mcca"].facts["rows"] == 300


def test_a_square_is_found_by_a_kernel_and_by_no_straight_direction() -> None:
    rng = np.random.default_rng(37)
    z = rng.standard_normal((N, 2))
    views = {
        "text": z + 0.02 * rng.standard_normal((N, 2)),
        "image": z**2 + 0.02 * rng.standard_normal((N, 2)),
    }
    found = by_kind(compare(views, {}, SPLIT))
    assert both(found["kcca"], "r10") > 0.5
    assert both(found["kcca"], "r10") > both(found["mcca"], "r10") + 0.3


def test_rows_that_are_counted_are_not_fitted() -> None:
    """Sixty columns of noise and 300 rows: what is fitted agrees, what is held out must not."""
    rng = np.random.default_rng(37)
    views = {m: rng.standard_normal((N, 60)) for m in ("text", "image")}
    for space in compare(views, {}, SPLIT):
        assert both(space, "r1") < 5 * CHANCE, space.kind


def test_what_is_chosen_does_not_hang_on_the_rows_that_are_counted() -> None:
    views = turned()
    other = {m: x.copy() for m, x in views.items()}
    other["image"][SPLIT == 2] = np.random.default_rng(1).standard_normal((180, 8))
    for before, after in zip(compare(views, {}, SPLIT), compare(other, {}, SPLIT), strict=True):
        assert before.facts == after.facts
        assert both(after, "r1") < 5 * CHANCE


def test_views_of_other_widths_are_told_and_not_compared() -> None:
    views = turned()
    views["image"] = np.concatenate((views["image"], np.ones((N, 2))), 1)
    found = by_kind(compare(views, {}, SPLIT))
    for kind in ("raw", "centred"):
        assert (found[kind].why, found[kind].facts) == ("widths", {"widths": {"text": 8, "image": 10}})
        assert not found[kind].pairs
    assert both(found["mcca"], "r1") > 0.95


def test_what_was_learned_is_counted_as_elsewhere_on_rows_that_all_spaces_have() -> None:
    views, rng = turned(), np.random.default_rng(3)
    learned = {m: rng.standard_normal((N, 5)) for m in views}
    found = by_kind(compare(views, {"": learned}, SPLIT))
    expected = pairs({m: x[SPLIT == 2] for m, x in learned.items()})[0]
    told = found["learned"].pairs[0]
    for name in ("views", "n", "r1", "r10", "mrr", "median_rank", "neighbours", "neighbours_chance"):
        assert told[name] == expected[name]
    assert told["gap"] == pytest.approx(expected["gap"], abs=1e-6)
    learned["text"][SPLIT.searchsorted(2) + 3] = 0  # a row that the checkpoint reads without its text
    views["image"][SPLIT.searchsorted(2) + 5] = np.nan
    assert {one.pairs[0]["n"] for one in compare(views, {"": learned}, SPLIT)} == {178}


def test_learned_spaces_alone_are_compared() -> None:
    learned = turned()
    found = compare({}, {"a": learned, "b": learned}, SPLIT)
    assert [(one.kind, one.name) for one in found] == [
        ("learned", "a"), ("learned_centred", "a"), ("learned", "b"), ("learned_centred", "b"),
    ]  # fmt: skip
    assert found[1].pairs[0]["gap"] < 0.2 < found[0].pairs[0]["gap"]


def test_intervals_hold_the_share() -> None:
    for space in compare(turned(), {}, SPLIT):
        for pair in space.pairs:
            for low, share, high in zip(pair["r1_low"], pair["r1"], pair["r1_high"], strict=True):
                assert 0 <= low <= share <= high <= 1


def test_too_few_rows_are_refused_with_the_number() -> None:
    few = np.where(np.arange(N) < 595, 0, 2).astype(np.uint8)
    with pytest.raises(FusionError, match="12 held-out rows"):
        compare(turned(), {}, few)
    unfitted = np.where(np.arange(N) < side_by_side.FITTED - 1, 0, 2).astype(np.uint8)
    found = by_kind(compare(turned(), {}, unfitted))
    assert (found["mcca"].why, found["mcca"].facts["rows"]) == ("rows", 19)
