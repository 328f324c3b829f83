"""A planted mismatch has the exact rate, touches no other pair, and never gives a sample its own picture."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fusion.data import DataSet, open_data
from fusion.data.mismatch import mismatch
from fusion.types import FusionError, Image, Sample, Text


def pairs(pictures: list[str | None], groups: list[str] | None = None) -> DataSet:
    """One sample a name of a picture, None for a text without one."""
    samples = []
    for row, name in enumerate(pictures):
        parts = {"text": Text(f"Text {row}")} | ({"image": Image(data=name.encode())} if name is not None else {})
        samples.append(Sample(f"s{row}", parts, "train", None, {"group": groups[row]} if groups else {}))
    return DataSet("mine-1", "mine", tuple(samples), digest="d")


def changed(before: DataSet, after: DataSet) -> np.ndarray:
    return np.array([a.image() != b.image() for a, b in zip(before.samples, after.samples, strict=True)])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.4, 0.995, 1.0])
def test_the_rate_is_exact_and_only_planted_pairs_change(rate: float, seed: int) -> None:
    data = pairs([f"p{row}" for row in range(97)])
    made, planted = mismatch(data, rate, seed)
    assert planted.sum() == round(rate * 97)
    np.testing.assert_array_equal(planted, changed(data, made))
    for before, after, bad in zip(data.samples, made.samples, planted, strict=True):
        assert (after.id, after.split, after.text()) == (before.id, before.split, before.text())
        assert after.note["mismatched"] == ("1" if bad else "0")
        assert not bad or after.image() == data.get(after.note["image_of"]).image()


@pytest.mark.parametrize(("kinds", "rate"), [(50, 0.3), (2, 1.0), (7, 1.0)])
def test_the_chosen_exchange_pictures_among_themselves(kinds: int, rate: float) -> None:
    data = pairs([f"p{row % kinds}" for row in range(50)])
    made, planted = mismatch(data, rate, 1)
    chosen = [row for row in range(50) if planted[row]]
    before = Counter(data.samples[row].image() for row in chosen)
    assert Counter(made.samples[row].image() for row in chosen) == before


def test_a_seed_gives_the_same_set_and_another_seed_another() -> None:
    data = pairs([f"p{row}" for row in range(60)])
    first, again, other = (mismatch(data, 0.5, seed) for seed in (3, 3, 4))
    assert first[0] == again[0]
    assert (first[1] != other[1]).any()
    assert len({data.digest, first[0].digest, other[0].digest, mismatch(data, 0.51, 3)[0].digest}) == 4
    assert len({data.key, first[0].key, other[0].key}) == 3


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "names",
    [
        ["a"] * 5 + ["b"] * 5,
        ["a"] * 9 + ["b"],  # most can't exchange among themselves
        ["a", "b"],
        ["a"] * 3 + ["b"] * 2 + ["c", None, "d", None],
        [f"{row % 7}" for row in range(40)],
    ],
)
def test_no_sample_gets_a_picture_equal_to_its_own(names: list[str | None], seed: int) -> None:
    data = pairs(names)
    with_picture = sum(name is not None for name in names)
    for rate in (0.1, 0.5, 1.0):
        made, planted = mismatch(data, rate, seed)
        assert planted.sum() == round(rate * with_picture)
        np.testing.assert_array_equal(planted, changed(data, made))
        assert all((sample.image() is None) == (name is None) for sample, name in zip(made.samples, names, strict=True))


def test_one_chosen_pair_takes_the_picture_of_another() -> None:
    made, planted = mismatch(pairs([f"p{row}" for row in range(10)]), 0.1, 0)
    assert planted.sum() == 1
    assert changed(pairs([f"p{row}" for row in range(10)]), made).sum() == 1


def test_files_of_equal_content_count_as_one_picture(tmp_path: Path) -> None:
    content = {"a": b"x" * 9000, "copy of a": b"x" * 9000, "b": b"y" * 9000, "c": b"z"}
    for name, data in content.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    samples = tuple(
        Sample(f"{name}{i}", {"text": Text("t"), "image": Image(path=tmp_path / f"{name}.png")})
        for name in content
        for i in range(3)
    )
    data = DataSet("mine-1", "mine", samples, digest="d")
    for seed in range(10):
        made, planted = mismatch(data, 1.0, seed)
        assert planted.all()
        for before, after in zip(samples, made.samples, strict=True):
            assert before.image().path.read_bytes() != after.image().path.read_bytes()


@pytest.mark.parametrize("seed", range(5))
def test_within_a_group_pictures_stay_in_it(seed: int) -> None:
    groups = [f"g{row % 4}" for row in range(80)]
    data = pairs([f"p{row % 60}" for row in range(80)], groups)
    made, planted = mismatch(data, 0.4, seed, within="group")
    assert planted.sum() == 32
    np.testing.assert_array_equal(planted, changed(data, made))
    for sample in made.samples:
        if sample.note["mismatched"] == "1":
            assert data.get(sample.note["image_of"]).note["group"] == sample.note["group"]
    assert made.digest != mismatch(data, 0.4, seed)[0].digest


def test_what_cannot_be_exchanged_is_said() -> None:
    with pytest.raises(FusionError, match="only 0 pairs"):
        mismatch(pairs(["a"] * 10), 0.2, 0)
    alone = pairs(["a", "b", "c", "d"], ["g1", "g2", "g3", "g3"])
    assert mismatch(alone, 0.5, 0, within="group")[1].tolist() == [False, False, True, True]
    with pytest.raises(FusionError, match='only 2 pairs have another picture of the same "group"'):
        mismatch(alone, 1.0, 0, within="group")
    for rate in (-0.1, 1.1, float("nan")):
        with pytest.raises(FusionError, match="from 0 to 1"):
            mismatch(alone, rate, 0)


def test_the_bundled_set_takes_every_rate_of_the_issue() -> None:
    data = open_data("gloss").split("test")
    for rate in (0.0, 0.1, 0.2, 0.4):
        made, planted = mismatch(data, rate, 11)
        assert planted.sum() == round(rate * len(data))
        np.testing.assert_array_equal(planted, changed(data, made))
        assert mismatch(data, rate, 11, within="group")[1].sum() == planted.sum()
