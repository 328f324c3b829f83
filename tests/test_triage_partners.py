"""Better partners and near duplicates: the true partner of an exchanged half, copies, and nothing else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fusion.triage import partners
from fusion.triage.partners import better, near_duplicates, nearest

COUNT, WIDTH = 120, 12
Made = tuple[SimpleNamespace, dict[str, np.ndarray]]


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _vectors(wide: int = WIDTH) -> dict[str, np.ndarray]:
    """Texts in twelve groups; the pictures of rows 3 and 50 have changed places. Pictures in a space of their own when
    `wide` differs."""
    random = np.random.default_rng(0)
    group = _unit(random.standard_normal((COUNT // 10, WIDTH)))
    text = _unit(np.repeat(group, 10, axis=0) + 0.15 * random.standard_normal((COUNT, WIDTH)))
    turn = np.eye(WIDTH) if wide == WIDTH else random.standard_normal((WIDTH, wide))
    image = _unit((text + 0.05 * random.standard_normal((COUNT, WIDTH))) @ turn)
    image[[3, 50]] = image[[50, 3]]
    return {"text": text, "image": image}


def _store(monkeypatch: pytest.MonkeyPatch, vectors: dict[str, np.ndarray], **meta: Any) -> Any:  # what a Store does
    frame = pd.DataFrame({"id": [f"r{row}" for row in range(COUNT)], "row": range(COUNT), "text": ""})
    frame.loc[[10, 77], "text"] = "the same words"

    def ids(where: tuple[Any, ...]) -> list[str]:
        return frame.loc[frame[where[0].column] == where[0].value, "id"].tolist()

    store = SimpleNamespace(
        folder=Path("run"), meta={"kind": "pairs", "rows": "r", **meta}, columns=dict.fromkeys(frame), ids=ids,
        column=lambda name: frame[name].to_numpy(), names=lambda: tuple(vectors), vectors=lambda name: vectors[name],
        row=lambda id: frame[frame["id"] == id].iloc[0].to_dict(), frame=frame,
    )  # fmt: skip
    monkeypatch.setattr(partners, "finder", lambda asked: partners.Finder(store))  # type: ignore[arg-type]
    return store


@pytest.mark.parametrize("wide", [WIDTH, 7])
def test_an_exchanged_half_finds_its_own_again(wide: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one space by all three cosines, in two by the neighbours alone; both ways round."""
    store = _store(monkeypatch, _vectors(wide))
    found = better(store, "r3", 5)
    assert found is not None
    assert found.better
    assert found.sides == ("text", "image")
    group = {f"r{row}" for row in range(10) if row != 3}
    assert found.right[0].id in group | {"r50"}  # r50 has the picture that was of r3
    assert "r50" in [one.id for one in found.right]
    assert "r50" in [one.id for one in found.left]  # and its text fits the picture of r3
    assert [one.fit for one in found.right] == sorted((one.fit for one in found.right), reverse=True)
    assert found.right[0].fit > found.own.fit + 0.3
    assert np.isfinite(found.own.cosine) == (wide == WIDTH)


def test_a_pair_that_belongs_together_keeps_its_partner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the same group may fit about as well, others don't come near."""
    found = better(_store(monkeypatch, _vectors()), "r25", 3)
    assert found is not None
    assert {one.id for one in found.right} <= {f"r{row}" for row in range(20, 30)}
    assert max(one.fit for one in found.right) < found.own.fit + 0.1


def test_the_fit_is_the_mean_of_its_cosines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written out for one pair."""
    vectors = _vectors()
    finder = partners.Finder(_store(monkeypatch, vectors))
    fit, cosine = finder.fits(np.array([5]), np.array([9]))
    text, image = vectors["text"], vectors["image"]

    def mean(like: np.ndarray, other: np.ndarray, row: int) -> np.ndarray:
        score = like @ like.T
        width = 0.2 * score[~np.eye(COUNT, dtype=bool)].std()
        weight = np.exp((score[row] - 1) / width)
        weight[row] = 0
        made = weight @ other
        return made / np.linalg.norm(made)

    three = [text[5] @ image[9], mean(text, image, 5) @ image[9], mean(image, text, 9) @ text[5]]
    assert fit[0] == pytest.approx(np.mean(three), abs=1e-4)
    assert cosine[0] == pytest.approx(three[0], abs=1e-5)


def test_equal_halves_are_proposed_once_and_the_own_never(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine rows with one picture are one proposal."""
    vectors = _vectors()
    others = [row for row in range(10) if row != 3]
    vectors["image"][others] = vectors["image"][0]
    store = _store(monkeypatch, vectors)
    group = {f"r{row}" for row in others}
    found, own = better(store, "r3", 120), better(store, "r4", 120)
    assert found is not None
    assert own is not None
    ids = [one.id for one in found.right]
    assert len(group & set(ids)) == 1
    assert len(set(ids)) == len(ids) == partners.SHORTLIST
    assert "r3" not in ids
    assert not group & {one.id for one in own.right}


def test_a_row_without_a_half_has_no_proposals(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = _vectors()
    vectors["image"][8] = 0
    store = _store(monkeypatch, vectors)
    assert better(store, "r8") is None
    found = better(store, "r3", 200)
    assert found is not None
    assert "r8" not in {one.id for one in (*found.right, *found.left)}
    assert better(_store(monkeypatch, {"text": vectors["text"]}), "r1") is None


def test_a_space_is_shared_only_where_the_cosine_tells_pairs_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the calibration of the run, whatever the widths say."""
    store = _store(monkeypatch, _vectors(), calibration={"apart": {"cosine": 0.5}})
    found = better(store, "r3")
    assert found is not None
    assert np.isnan(found.own.cosine)
    assert "r50" in [one.id for one in found.right]


def test_near_duplicates_are_copies_and_rows_of_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = _vectors()
    random = np.random.default_rng(1)
    vectors["image"][99] = _unit((vectors["image"][10] + 0.02 * random.standard_normal(WIDTH))[None])[0]
    vectors["image"][77] = vectors["image"][10]
    store = _store(monkeypatch, vectors)
    found = {one.id: one for one in near_duplicates(store, "r10")}
    assert found["r77"].same == ("text",)
    assert found["r77"].cosines["image"] == pytest.approx(1.0)
    assert found["r99"].same == ()
    assert set(found["r99"].cosines) == {"image"}
    assert next(iter(found)) == "r77"  # alike in both halves
    assert near_duplicates(store, "r64") == []


def test_a_text_of_many_rows_makes_no_copies_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten rows of one text, with the same vector, too: alike are only those whose picture is."""
    vectors = _vectors()
    rows = range(10, 120, 10)
    vectors["text"][list(rows)] = vectors["text"][10]
    vectors["image"][40] = vectors["image"][10]
    store = _store(monkeypatch, vectors)
    store.frame.loc[list(rows), "text"] = "two!"
    assert [one.id for one in near_duplicates(store, "r10")] == ["r40"]
    store.frame.loc[list(rows)[5:], "text"] = ""
    assert [one.same for one in near_duplicates(store, "r10", 9) if one.same] == [("text",)] * 4


def test_of_many_equal_rows_the_first_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partners, "_BLOCK", 8 * 700)
    rows = np.random.default_rng(0).standard_normal((2500, 8)).astype(np.float16)
    rows[100:2400] = rows[0]
    found, cosines = partners.nearest(rows, rows[0], 9)
    assert found.tolist() == [0, *range(100, 108)]
    np.testing.assert_allclose(cosines, 1, atol=1e-3)


def test_nearest_reads_every_row_once_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one product of all rows, whatever the block; rows of zeros are never found."""
    random = np.random.default_rng(0)
    rows, query = random.standard_normal((500, 6)).astype(np.float16), random.standard_normal(6)
    rows[17] = 0
    wide = rows.astype(np.float64)
    with np.errstate(invalid="ignore"):
        cosine = wide @ query / np.linalg.norm(wide, axis=1) / np.linalg.norm(query)
    cosine[17] = -np.inf
    for block in (60, 6_000_000):
        monkeypatch.setattr(partners, "_BLOCK", block)
        found, score = nearest(rows, query, 7)
        assert found.tolist() == np.argsort(-cosine)[:7].tolist()
        np.testing.assert_allclose(score, np.sort(cosine)[::-1][:7], atol=1e-5)
    assert len(nearest(rows, query, 900)[0]) == 499
