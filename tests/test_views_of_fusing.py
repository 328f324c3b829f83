"""Pictures of entities and of weights over a set: every number drawn is the number given, and findings follow it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fusion import words
from fusion.signals import Attention, Effects, ModalityScores, Parts, Trace
from fusion.types import Sample, Steps
from fusion.views import entity, faithful, fusing
from fusion.views.base import Picture
from fusion.views.speech import num
from tests.traces import values

MODALITIES = ("image", "name", "graph")
SAMPLE = Sample("e", {})


@pytest.fixture(autouse=True)
def _english():
    words.use("en")
    yield
    words.use("en")


def weighed(count: int = 40, modalities: tuple[str, ...] = MODALITIES) -> fusing.Weighed:
    random = np.random.default_rng(3)
    weights = random.dirichlet(np.ones(len(modalities)), count).astype(np.float32)
    known = random.random((count, len(modalities))) > 0.2
    return fusing.Weighed(modalities, weights, known, np.where(np.arange(count) % 3, "animal", "flag"))


def whole(picture: Picture) -> None:
    """What every picture promises."""
    assert picture.alt
    assert picture.finding
    assert picture.shows
    assert picture.hides
    assert len(picture.table)


def test_a_triangle_has_every_entity_once_and_knows_who_it_is():
    seen = weighed()
    picture = fusing.ternary(seen)
    whole(picture)
    rows = [row for trace in picture.marks for row in trace]
    assert sorted(rows) == list(range(40))
    drawn = np.concatenate([np.stack([np.asarray(t[c]) for c in "abc"], 1) for t in picture.figure.data])
    np.testing.assert_allclose(drawn, seen.weights[rows], atol=1e-6)
    filled = {row for row in picture.marks[1]}
    assert filled == set(np.flatnonzero(~seen.known.all(1)).tolist())
    assert num(float(seen.weights.mean(0).max())) in picture.finding


def test_ridges_count_every_entity_once_real_ones_above_filled_ones_below():
    seen = weighed(modalities=("image", "name", "graph", "relation"))
    picture = fusing.ridges(seen)
    whole(picture)
    lines = [np.asarray(t.y) for t in picture.figure.data if t.fill == "tonexty"]
    assert len(lines) == 2 * 4
    for i in range(4):
        above, below = lines[2 * i], lines[2 * i + 1]
        base_line = 3 - i
        assert (above >= base_line - 1e-6).all()
        assert (below <= base_line + 1e-6).all()
        ratio = (above - base_line).sum() / 0.52 / ((base_line - below).sum() / 0.26)
        assert ratio == pytest.approx(seen.known[:, i].sum() / (~seen.known[:, i]).sum(), rel=1e-4)
    assert list(picture.table[words.t("views.axis.filled")]) == (~seen.known).sum(0).tolist()


def test_one_weight_for_all_is_said_and_drawn_as_bars():
    seen = fusing.Weighed(MODALITIES, np.tile([[0.5, 0.3, 0.2]], (5, 1)).astype(np.float32), np.ones((5, 3), bool),
                          np.full(5, ""))  # fmt: skip
    np.testing.assert_allclose(values(fusing.constant(seen).figure, 0, "x"), [0.5, 0.3, 0.2], atol=1e-6)
    assert fusing.ridges(weighed(0)).finding == words.t("views.none.points")


def test_medians_and_means_of_kinds_are_those_of_their_entities():
    seen = weighed()
    chosen = seen.weights[seen.kinds == "animal"]
    lines = fusing.parallel(seen)
    whole(lines)
    np.testing.assert_allclose(values(lines.figure, 1, "y"), np.median(chosen, 0), atol=1e-6)
    cells = fusing.by_kind(seen)
    whole(cells)
    np.testing.assert_allclose(values(cells.figure, 0, "z")[0], chosen.mean(0), atol=1e-6)


def test_coverage_is_the_share_of_what_is_known():
    seen = weighed()
    picture = faithful.coverage(seen)
    whole(picture)
    np.testing.assert_allclose(values(picture.figure, 0, "x"), 100 * seen.known.mean(0), atol=1e-4)
    np.testing.assert_allclose(values(picture.figure, 1, "x"), 100 * (~seen.known).mean(0), atol=1e-4)


@pytest.mark.parametrize(("low", "high", "way"), [(0.1, 0.4, "up"), (-0.4, -0.1, "down"), (-0.1, 0.3, "none")])
def test_a_weight_means_something_only_where_its_interval_says_so(low: float, high: float, way: str):
    seen = weighed()
    effect = np.full(40, np.nan)
    effect[:10] = [0, 0, 9, 99, -9, 0, 0, 1, 0, 0]
    picture = faithful.honest(seen, "name", effect, faithful.Rank((low + high) / 2, low, high))
    whole(picture)
    start = words.catalogue("en")[f"views.honest.{way}"].split("ρ")[0]
    assert picture.finding.startswith(start)
    rows = [row for trace in picture.marks for row in trace]
    assert sorted(rows) == list(range(10))
    drawn = dict(zip(rows, np.concatenate([np.asarray(t.y) for t in picture.figure.data]).tolist(), strict=True))
    assert drawn[3] == pytest.approx(2)  # 99 places: one hundredfold
    assert drawn[4] == pytest.approx(-1)
    assert "30" in picture.finding  # 3 of 10 partners fall


def test_without_a_correlation_that_is_said():
    picture = faithful.honest(weighed(), "name", np.zeros(40), None)
    assert picture.finding.startswith(words.catalogue("en")["views.honest.same"].split(":")[0])
    assert faithful.honest(weighed(), "name", np.full(40, np.nan), None).finding == words.t("views.none.pairs")


def test_lines_keep_their_intervals():
    found = [faithful.Line("a", 0.5, 0.4, 0.7, 10), faithful.Line("<b>", 0.2, 0.1, 0.3, 99)]
    picture = faithful.lines(found, key="k", title="t", axis="x", shows="s", hides="h")
    bars = picture.figure.data[0].error_x
    np.testing.assert_allclose(np.asarray(bars.array), [0.2, 0.1], atol=1e-6)
    np.testing.assert_allclose(np.asarray(bars.arrayminus), [0.1, 0.1], atol=1e-6)
    assert "&lt;b&gt;" in str(picture.figure.data[0].y[1])
    assert "0.5" in picture.finding


def test_gates_are_counted_and_set_against_the_score():
    gate = np.asarray([0.1, 0.2, 0.2, 0.9, np.nan])
    picture = faithful.gates(gate, "image")
    whole(picture)
    assert values(picture.figure, 0, "y").sum() == 4
    cloud = faithful.gate_match(gate, np.asarray([0.5, np.nan, 0.3, 0.9, 0.1]), "image", faithful.Rank(0.5, 0.2, 0.7))
    whole(cloud)
    assert cloud.marks == ((0, 2, 3),)
    assert cloud.finding.startswith(words.catalogue("en")["views.gate_match.up"].split(":")[0])


def steps() -> dict[str, tuple[Steps, ...]]:
    return {"modalities": (Steps(MODALITIES, (0, 1, 2), MODALITIES),)}


def reads(mask: tuple[bool, ...] = (True, True, True)) -> tuple[Attention, Trace]:
    weights = torch.tensor([[[[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]],
                             [[0.1, 0.6, 0.3], [0.5, 0.2, 0.3], [0.2, 0.2, 0.6]]]])  # fmt: skip
    there = torch.tensor([mask])
    signal = Attention(
        name="modality_attention_1", unit="weight", value=weights, layer=0, layers=1, queries="modalities",
        keys="modalities", query_mask=there, key_mask=there,
    )  # fmt: skip
    return signal, Trace((signal,), steps())


@pytest.mark.parametrize("head", [None, 0, 1])
def test_who_reads_whom_is_the_head_that_was_chosen(head: int | None):
    signal, trace = reads()
    picture = entity.reading(signal, SAMPLE, trace, head=head)
    whole(picture)
    expected = signal.value[0].mean(0) if head is None else signal.value[0, head]
    np.testing.assert_allclose(values(picture.figure, 0, "z"), expected, atol=1e-6)
    assert num(float(expected.max())) in picture.alt


def test_a_modality_that_is_not_read_has_no_row():
    signal, trace = reads((True, False, True))
    assert values(entity.reading(signal, SAMPLE, trace).figure, 0, "z").shape == (2, 2)


def test_alike_shows_both_stages_and_the_joint_similarity():
    early, late = torch.tensor([[0.9, -0.2, 0.4]]), torch.tensor([[0.5, 0.1, 0.3]])
    made = [ModalityScores(name=n, unit="cosine", value=v, modalities=MODALITIES)
            for n, v in (("modality_cosine", early), ("late_cosine", late))]  # fmt: skip
    parts = Parts(
        name="p", unit="cosine", value=torch.tensor([[0.3, -0.1, 0.2]]), voices=MODALITIES, total="joint_cosine"
    )
    picture = entity.alike(made[0], SAMPLE, Trace((*made, parts)))
    whole(picture)
    np.testing.assert_allclose(values(picture.figure, 0, "x"), early[0], atol=1e-6)
    np.testing.assert_allclose(values(picture.figure, 1, "x"), late[0], atol=1e-6)
    assert values(picture.figure, 2, "x")[0] == pytest.approx(0.4, abs=1e-6)
    assert "jointly 0.4" in picture.finding


def answers(partner: int | None, rank_by: dict[str, int]) -> entity.Answers:
    cosines = np.asarray([[0.9, 0.1, 0.2], [0.3, 0.8, 0.5]], np.float32)
    votes = {"image": ("cat", True, 0), "name": ("dog", False, 1), "graph": ("far <b>", False, None)}
    if partner is None:
        votes = {m: (name, False, place) for m, (name, _, place) in votes.items()}
    return entity.Answers(["cat", "dog"], cosines, np.asarray([0.6, 0.5]), MODALITIES, partner, votes, rank_by)


def test_votes_name_who_was_right_and_who_misled():
    picture = entity.votes(answers(0, {"image": 1, "name": 7, "graph": 1200}))
    whole(picture)
    stars = [[entity.VOTE in cell for cell in row] for row in picture.figure.data[0].text]
    assert stars == [[True, False, False, False], [False, True, False, False]]
    frame = picture.figure.layout.shapes[0]
    assert (frame.y0, frame.y1) == (-0.5, 0.5)
    assert "Right by itself: image." in picture.finding
    assert "name misleads: it would choose dog, with the partner at place 7." in picture.finding
    assert "1,200" in picture.finding


def test_without_a_partner_votes_are_told_and_nobody_misleads():
    picture = entity.votes(answers(None, {}))
    assert not picture.figure.layout.shapes
    assert "mislead" not in picture.finding
    assert "dog" in picture.finding


def subsets(ranks: list[float]) -> tuple[Effects, list[entity.Subset]]:
    kept = [("image", "name"), ("name",), ("image",)]
    found = [entity.Subset(k, r, 0.5, f"first {i}") for i, (k, r) in enumerate(zip(kept, ranks, strict=True))]
    value = torch.tensor([[[s.rank, s.joint] for s in found]])
    signal = Effects(
        name="subsets", unit="none", value=value, conditions=("as_is", "without_image", "without_name"),
        observables=("partner_rank", "joint_cosine"), units=("rank", "cosine"), caveat="caveat.subsets",
    )  # fmt: skip
    return signal, found


def test_a_subset_that_still_finds_the_partner_is_named_and_so_is_the_dearest_loss():
    signal, found = subsets([2, 40, 2])
    picture = entity.subsets(signal, ("image", "name"), found)
    whole(picture)
    bars = next(t for t in picture.figure.data if t.type == "bar")
    np.testing.assert_allclose(np.asarray(bars.x), [0.5, 0.025, 0.5], atol=1e-6)
    assert "image alone would do as well (place 2)" in picture.finding
    assert "Without image it falls to place 40" in picture.finding
    dots = [np.asarray(t.y).tolist() for t in picture.figure.data if t.type == "scatter"]
    assert dots == [[0, 2], [1], [0, 1], [2]]  # image kept, image gone, name kept, name gone


def test_without_a_partner_subsets_say_who_is_first():
    signal, found = subsets([float("nan")] * 3)
    picture = entity.subsets(signal, ("image", "name"), found)
    assert "first 0 is first, and 2 of 3" in picture.finding
