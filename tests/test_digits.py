"""Digits in two hands: no form is in two splits, twins are of one digit and another hand, words can be read back."""

from __future__ import annotations

import numpy as np
import pytest

from fusion.data import DataSet, digits, kind_of, open_data
from fusion.metrics import latent
from fusion.types import FusionError


@pytest.fixture(scope="module")
def found() -> DataSet:
    return open_data("digits")


def test_forms_repeat_one_sequence_and_stay_in_one_split(found: DataSet) -> None:
    streams = found.streams
    assert streams is not None
    assert kind_of("digits") == found.kind == "streams"
    assert found.word == "synthetic pairs"
    target = streams.target
    for start in (0, 130, 256, 386, 516, 646, 776, 1157, 1287, 1667):  # those that begin with the first letter
        assert target[start : start + 20].tolist() == [*range(10), *range(10)]
    parts = [{streams.groups[row] for row in streams.rows(name)} for name in ("train", "valid", "test")]
    assert [len(one) for one in parts] == [9, 2, 3]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    assert [len(streams.rows(name)) for name in ("train", "valid", "test")] == [1157, 258, 382]


def test_a_twin_is_another_scan_of_the_same_digit_in_the_same_split(found: DataSet) -> None:
    streams = found.streams
    assert streams is not None
    image, twin = streams.features["image"][:, 0], streams.features["twin"][:, 0]
    assert image.min() == 0
    assert image.max() == 1
    assert (np.abs(image - twin).sum(1) > 0).all()
    assert (np.sort(image.sum(1)) == np.sort(twin.sum(1))).all(), "every scan is the twin of one other"
    for split in range(3):
        for digit in range(10):
            rows = (streams.split == split) & (streams.target == digit)
            assert {scan.tobytes() for scan in image[rows]} == {scan.tobytes() for scan in twin[rows]}
    own = sum(sample.note["form"] == sample.note["twin form"] for sample in found.samples)
    assert own <= 5


def test_words_are_spelled_in_four_ways_and_can_be_read_back(found: DataSet) -> None:
    streams = found.streams
    assert streams is not None
    for row in range(0, len(found), 37):
        word = found.samples[row].text()
        assert word.lower().strip("!") == streams.classes[streams.target[row]]
        steps = streams.features["text"][row]
        assert digits.read(steps) == word
        assert streams.length["text"][row] == len(word) + 1
        assert (steps[: len(word) + 1].sum(1) == 1).all()
        assert not steps[len(word) + 1 :].any()
    spelled = {sample.text() for sample in found.samples if sample.target == 3}
    assert spelled == {"three", "THREE", "Three", "three!"}


def test_a_person_sees_the_scans_and_the_draw_is_the_same_each_time(found: DataSet) -> None:
    picture = found.samples[5].parts["image"].open()  # type: ignore[union-attr]  # an Image
    assert picture.size == (96, 96)
    dark = 1 - np.asarray(picture.convert("L").resize((8, 8), 0), np.float32) / 255
    assert found.streams is not None
    np.testing.assert_allclose(dark.ravel(), found.streams.features["image"][5, 0], atol=0.01)
    assert digits.load().digest == found.digest


def test_coherence_counts_agreement_and_active_units_those_that_vary() -> None:
    assert latent.joint_coherence([[1, 2, 3, 4], [1, 2, 0, 4], [1, 0, 3, 4]]) == 0.5
    assert latent.macro_accuracy([0, 0, 0, 1], [0, 0, 0, 2]) == 0.5
    means = np.stack([np.zeros(50), np.linspace(0, 1, 50), np.full(50, 3.0)], 1)
    assert latent.active_units(means).tolist() == [False, True, False]
    assert latent.by_dimension(np.asarray([[1.0, 0.0], [3.0, 0.0]])).tolist() == [2, 0]
    crossed = {(("a",), "b"): 0.4, (("b",), "a"): 0.8, (("a", "b"), "c"): 0.9, (("a", "b"), "a"): 0.0}
    assert latent.by_size(crossed) == {1: 0.6, 2: 0.9}
    with pytest.raises(FusionError, match="two modalities"):
        latent.joint_coherence([[1, 2]])
    with pytest.raises(FusionError, match="two samples"):
        latent.active_units(np.zeros((1, 3)))
