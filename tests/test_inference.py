"""What stands between a model and a page: the drop test, Shapley values, references, ranks and exchanged pictures."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from fusion import reference
from fusion.explain.ablation import badge, shapley
from fusion.features import piece_targets, word_tags
from fusion.inference import entities_of_tags, first_pieces
from fusion.models.maf import CLASSES
from fusion.observations import exchanged, partner_ranks
from fusion.types import Steps


def test_shapley_values_sum_to_the_whole_effect_and_ignore_what_is_ignored() -> None:
    names = ["a", "b", "c"]
    subsets = [frozenset(s) for n in range(4) for s in itertools.combinations(names, n)]
    score = {s: 2.0 * ("a" in s) + 3.0 * ("a" in s and "b" in s) for s in subsets}
    values = shapley(names, score)
    assert sum(values.values()) == pytest.approx(score[frozenset(names)] - score[frozenset()])
    assert values == pytest.approx({"a": 3.5, "b": 1.5, "c": 0.0})


@pytest.mark.parametrize(
    ("values", "expected"),
    [((0.5, -0.1), "conflict"), ((0.5, -0.01), "dominance"), ((0.5, 0.1), "dominance"), ((0.3, 0.25), "complement")],
)
def test_the_badge_follows_its_rule(values: tuple[float, float], expected: str) -> None:
    assert badge(dict(zip(("text", "image"), values, strict=True))) == expected


def test_words_and_pieces_translate_both_ways() -> None:
    names = Steps(
        labels=("[CLS]", "ka", "##reni", "##na", "in", "paris", "[SEP]", "[PAD]"),
        group=(-1, 0, 0, 0, 1, 2, -1, -1),
        groups=("Karenina", "in", "Paris"),
        spans=((0, 8), (9, 11), (12, 17)),
    )
    tags = ("B-PER", "O", "B-LOC")
    ids = piece_targets(names, tags, CLASSES)
    assert [CLASSES[i] for i in ids] == ["[CLS]", "B-PER", "X", "X", "O", "B-LOC", "[SEP]", "PAD"]
    assert word_tags(names, ids, CLASSES) == list(tags)
    assert entities_of_tags(names, ids, CLASSES) == "Karenina (PER), Paris (LOC)"
    assert first_pieces(names.group).tolist() == [False, True, False, False, True, True, False, False]


def test_an_exchanged_picture_is_another_one() -> None:
    image_of = torch.tensor([0, 0, 0, 1, 2, 2, 3, 4, -1, 5])
    partner = exchanged(image_of, 3)
    there = image_of >= 0
    assert (image_of[partner] != image_of)[there].all()
    assert partner[8] == 8
    assert torch.equal(partner, exchanged(image_of, 3))


def test_ranks_count_ties_against_the_model_and_own_pictures_not_at_all() -> None:
    text = np.eye(4, 5, dtype=np.float32)
    image = np.eye(4, 5, dtype=np.float32)
    image[2] = image[3] = text[2]  # the last picture looks like the third
    picture = np.array([0, 1, 2, 3])
    both = np.array([True, True, True, True])
    of_text, of_image = partner_ranks(text, image, picture, both)
    assert of_text.tolist() == [1, 1, 2, 4]  # text 3 is orthogonal to all pictures: last among four
    assert of_image[:2].tolist() == [1, 1]
    same = partner_ranks(text, image, np.array([0, 1, 2, 2]), both)[0]
    assert same[2] == 1  # a tie with the own picture doesn't count


def test_a_reference_calibrates_knows_percentiles_and_comes_back_from_disk(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    train = generator.normal(size=(400, 8)) @ np.diag([5, 4, 3, 2, 0.01, 0.01, 0.01, 0.01])
    place = reference.place(train[:300].astype(np.float32), train[300:].astype(np.float32))
    made = reference.Reference(
        np.linspace(0.2, 1, 50),
        np.linspace(0, 0.8, 70),
        np.zeros(0),
        np.array([[0.0, 0.1], [1.0, 0.9]]),
        {"image": place},
    )
    reference.save(tmp_path, made)
    back = reference.load(tmp_path)
    assert back is not None
    assert back.percentile(0.6) == pytest.approx(made.percentile(0.6), abs=0.02)
    assert float(back.calibrated(0.5)) == pytest.approx(0.5)
    assert reference.load(tmp_path / "nowhere") is None


def test_what_differs_off_the_axes_is_far_and_what_lies_along_them_is_not() -> None:
    generator = np.random.default_rng(1)
    axes = np.linalg.qr(generator.normal(size=(200, 200)))[0]
    scale = np.concatenate((np.full(60, 3.0), np.full(140, 0.1)))
    rows = (generator.normal(size=(900, 200)) * scale @ axes.T).astype(np.float32)
    place = reference.place(rows[:600], rows[600:])
    along = rows[600:] * 2
    off = rows[600:] + 10 * axes[:, 150].astype(np.float32)
    assert place.far(rows[600:]).mean() < 0.03
    assert place.far(along).mean() < 0.03
    assert place.far(off).all()
