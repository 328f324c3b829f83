"""The bundled sets of sequences: counts of the recipe, nothing leaks between splits, share-alike stays apart."""

from __future__ import annotations

import csv
import fnmatch
import json
from pathlib import Path

import numpy as np
import pytest

from fusion.data import DataSet, emoji_sentiment, open_data, voices
from fusion.encoders.sound import log_mel, open_sound, stacked
from fusion.files import ASSETS
from fusion.types import Audio, FusionError, Numbers

ROOT = Path(__file__).resolve().parent.parent
SHARED = ASSETS / "share-alike"


@pytest.fixture(scope="module")
def groups() -> DataSet:
    return open_data("emoji-groups")


@pytest.fixture(scope="module")
def emotions() -> DataSet:
    return open_data("emotions")


def test_emoji_groups_have_a_name_a_picture_and_a_voice(groups: DataSet) -> None:
    streams, said = groups.streams, voices.meta()["counts"]
    assert groups.word == "synthetic voice"
    assert any("synthetic" in note for note in groups.notes)
    assert streams.names == ("text", "image", "audio")
    assert streams.encoded == ("text", "image")
    assert len(groups) == said["emoji"] == 1636
    assert [len(streams.rows(name)) for name in ("train", "valid", "test")] == [1165, 157, 314]
    assert dict(zip(streams.classes, np.bincount(streams.target).tolist(), strict=True)) == said["groups"]
    assert "Flags" not in streams.classes
    assert streams.present.all()
    assert streams.longest("audio") == 11
    assert streams.features["audio"].min() >= -2
    assert streams.features["audio"].max() <= 2


def test_a_thing_is_in_one_split(groups: DataSet) -> None:
    streams = groups.streams
    where: dict[str, set[str]] = {}
    for row, stem in enumerate(streams.groups):
        where.setdefault(stem, set()).add(streams.split_of(row))
    assert all(len(found) == 1 for found in where.values())
    assert len({sample.text() for sample in groups.samples}) == len(groups)
    texts = {sample.text(): sample.split for sample in groups.samples}
    assert texts["man running"] == texts["woman running"]


def test_no_voice_tells_the_group(groups: DataSet) -> None:
    streams = groups.streams
    spoken = sorted({sample.note["voice"] for sample in groups.samples})
    assert len(spoken) == 8
    number = np.array([spoken.index(sample.note["voice"]) for sample in groups.samples])
    table = np.zeros((len(spoken), len(streams.classes)))
    np.add.at(table, (number, streams.target), 1)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    assert ((table - expected) ** 2 / expected).sum() < 74.9  # the 99 % point of chi squared with 49 degrees


def test_the_recordings_that_are_played_are_those_that_are_read(groups: DataSet) -> None:
    streams = groups.streams
    played = [row for row, sample in enumerate(groups.samples) if isinstance(sample.parts["audio"], Audio)]
    assert len(played) == 12
    for row in played:
        part = groups.samples[row].parts["audio"]
        assert part.path.is_relative_to(groups.root)
        heard = stacked(log_mel(open_sound(part).samples))
        assert np.abs(heard - streams.steps("audio", row)).max() < 0.05
    other = groups.samples[next(row for row in range(len(groups)) if row not in played)].parts["audio"]
    assert isinstance(other, Numbers)
    assert other.values.shape[1] == 160


def test_emotions_are_ratings_of_people(emotions: DataSet) -> None:
    streams, said = emotions.streams, emoji_sentiment.meta()["counts"]
    assert emotions.word == "share-alike"
    assert len(emotions) == said["emoji"] == 390
    assert [len(streams.rows(name)) for name in ("train", "valid", "test")] == [231, 60, 99]
    assert streams.scored
    assert streams.scale == (-1, 1)
    assert streams.encoded == ("text", "image", "image2")
    assert int((streams.target > 0).sum()) == said["positive"] == 337
    joy = next(sample for sample in emotions.samples if sample.note["emoji"] == "😂")
    assert joy.target == pytest.approx((6845 - 3614) / 14622, abs=1e-6)
    assert joy.note["occurrences"] == "14622"
    assert min(int(sample.note["occurrences"]) for sample in emotions.samples) >= 20
    assert streams.in_words(float(streams.target.max())) in ("positive", "strongly positive")
    assert all(part.path.is_file() for sample in emotions.samples for part in list(sample.parts.values())[1:])
    means = [streams.target[streams.rows(name)].mean() for name in ("train", "test")]
    assert abs(means[0] - means[1]) < 0.05


def test_what_is_share_alike_lies_apart_with_its_licence(emotions: DataSet) -> None:
    with (SHARED / "sources.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    names = [path.relative_to(SHARED).as_posix() for path in SHARED.rglob("*") if path.is_file()]
    covered = {name for row in rows if row["licence"] for name in fnmatch.filter(names, row["files"])}
    assert set(names) == covered
    assert all(fnmatch.filter(names, row["files"]) for row in rows)
    assert "Attribution-ShareAlike 4.0 International" in (SHARED / "LICENSE.txt").read_text("utf-8")
    assert "CC BY-SA 4.0" in (ROOT / "NOTICE.md").read_text("utf-8")
    assert "CC BY-SA 4.0" in emotions.notes[0]
    assert "14622" not in "".join(path.read_text("utf-8") for path in (ASSETS / "data").rglob("*.tsv"))


def test_without_the_folder_the_set_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(emoji_sentiment, "FOLDER", tmp_path)
    assert not emoji_sentiment.there()
    with pytest.raises(FusionError, match="assets/share-alike was left out"):
        emoji_sentiment.load()


@pytest.mark.parametrize("folder", [SHARED / "emotions", voices.FOLDER])
def test_a_card_carries_its_word_its_baselines_and_warnings(folder: Path) -> None:
    card = (folder / "card.md").read_text("utf-8")
    assert f"Word: **{json.loads((folder / 'meta.json').read_text('utf-8'))['word']}**" in card
    assert "## Warnings" in card
    found = json.loads((folder / "baselines.json").read_text("utf-8"))["baselines"]
    for figures in found.values():
        for value in figures.values():
            assert f"{value:.3f}".lstrip("0") in card


def test_planted_sets_open_by_name() -> None:
    data = open_data("planted:xor")
    assert data.kind == "streams"
    assert data.streams.encoded == ()
