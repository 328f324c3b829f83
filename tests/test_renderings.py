"""Emoji renderings: every emoji is drawn twice, no drawing stands for two, and one thing stays in one split."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fusion.data import DataSet, bundled, kind_of, open_data, renderings, voices
from fusion.files import file_digest
from fusion.types import Image


@pytest.fixture(scope="module")
def found() -> DataSet:
    return open_data("renderings")


def test_every_emoji_has_two_drawings_and_a_name(found: DataSet) -> None:
    streams = found.streams
    assert streams is not None
    assert kind_of("renderings") == found.kind == "streams"
    assert "renderings" in bundled("streams")
    assert streams.names == streams.encoded == ("image", "drawing", "text")
    assert streams.present.all()
    assert len(found) == len(found.index) == 1570
    assert {sample.note["group"] for sample in found.samples} == set(streams.classes)
    for sample in found.samples[::97]:
        drawn = [part for part in sample.parts.values() if isinstance(part, Image)]
        assert len(drawn) == 2
        assert all(one.open().size == (64, 64) for one in drawn)
        assert sample.text()


def test_no_drawing_stands_for_two_emoji(found: DataSet) -> None:
    for name in ("image", "drawing"):
        parts = [sample.parts[name] for sample in found.samples]
        digests = {file_digest(part.path) for part in parts if isinstance(part, Image) and part.path is not None}
        assert len(digests) == len(found)


def test_one_thing_is_in_one_split_that_of_the_emoji_groups(found: DataSet) -> None:
    streams, groups = found.streams, voices.load()
    assert streams is not None
    parts = [{streams.groups[row] for row in streams.rows(name)} for name in ("train", "valid", "test")]
    assert not any(a & b for a, b in itertools.combinations(parts, 2))
    assert [len(streams.rows(name)) for name in ("train", "valid", "test")] == [1110, 153, 307]
    of = {sample.id[1:]: sample for sample in groups.samples}
    for row in range(0, len(found), 53):
        sample = found.samples[row]
        other = of[sample.id[1:]]
        assert (sample.split, sample.text(), sample.note["group"]) == (other.split, other.text(), other.note["group"])
        assert streams.classes[streams.target[row]] == sample.note["group"]
        assert streams.split_of(row) == sample.split


def test_it_is_the_same_at_every_load_and_says_its_weaknesses(found: DataSet) -> None:
    again = renderings.load()
    assert again.digest == found.digest
    assert np.array_equal(again.streams.target, found.streams.target)  # type: ignore[union-attr]
    assert found.word == "silver"
    assert "left out" in " ".join(found.notes)
