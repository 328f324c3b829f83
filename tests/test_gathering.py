"""Signals of a checkpoint as views: gathered once, again when the weights change, with what samples say to a person."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion import checkpoints, gathering
from fusion.data import kind_of, open_data
from fusion.data.dataset import DataSet
from fusion.streams import runs
from fusion.streams.inspection import Reader
from fusion.streams.whole import whole
from fusion.types import FusionError

N = 300


def quiet(_: str) -> None:
    pass


def trained(folder: Path, seed: int = 37) -> str:
    """A space of two tables that share two numbers, with classes. -> the spec of the tables"""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((N, 2))
    made = [np.concatenate((shared, rng.standard_normal((N, more))), 1) for more in (4, 3)]
    label = np.where(shared[:, 0] > 0, "high", "low")
    label[5] = ""
    known = np.arange(N) != 8
    path = folder / "two.npz"
    np.savez(path, first=made[0], second=made[1], label=label, **{"second.known": known})  # type: ignore[arg-type]
    runs.train("mcca", f"views:{path}", name="space", say=quiet, settings={"components": "3"})
    return f"views:{path}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    return tmp_path


def test_signals_are_views_with_labels_and_splits(home: Path) -> None:
    spec = trained(home)
    with pytest.raises(FusionError, match=r"not gathered yet; gather them: python -m fusion data signals:space"):
        open_data("signals:space")
    gathering.ready("signals:space")
    found, behind = open_data("signals:space"), open_data(spec)
    streams = found.streams
    assert streams is not None
    assert behind.streams is not None
    assert kind_of("signals:space") == found.kind == "streams"
    assert streams.classes == ("high", "low")
    assert np.array_equal(streams.target, behind.streams.target)
    assert np.array_equal(streams.split, behind.streams.split)
    assert streams.present[8].tolist() == [True, False]
    assert len(streams.names) == 2
    made = whole(Reader.open(checkpoints.find("space")))
    for name in streams.names:
        there = streams.present[:, streams.names.index(name)]
        assert np.allclose(streams.features[name][there, 0], made.vectors(name)[there])


def test_a_space_is_fitted_on_signals(home: Path) -> None:
    trained(home)
    gathering.ready("signals:space")
    made = runs.train("mcca", "signals:space", name="again", say=quiet, settings={"components": "2"})
    assert made.data == "signals:space"
    assert made.metrics["space"]["canonical"]["held_out"][0] > 0.9
    assert runs.evaluate(made, None, "test")["accuracy"] == made.metrics["test"]["accuracy"]


def test_what_was_gathered_is_kept_until_the_weights_change(home: Path) -> None:
    trained(home)
    path = gathering.gather("space")
    written = path.stat().st_mtime_ns
    assert gathering.gather("space").stat().st_mtime_ns == written
    trained(home, seed=38)
    assert gathering.gather("space").stat().st_mtime_ns != written


def test_signals_of_signals_and_of_nothing_are_refused(home: Path) -> None:
    trained(home)
    with pytest.raises(FusionError, match="Signals of signals"):
        gathering.gather("space@signals:space")
    with pytest.raises(FusionError, match='no checkpoint "none"'):
        gathering.gather("none")
    gathering.ready("gloss")
    assert not (home / "signals").exists()


def test_a_pair_keeps_its_words_and_picture(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = open_data("gallery")
    rng = np.random.default_rng(37)
    views = {name: rng.standard_normal((len(gallery), 4)).astype(np.float32) for name in ("text", "image")}
    made = gathering.Gathered([s.id for s in gallery.samples], [""] * len(gallery), views)

    def pairs(checkpoint: object, dataset: DataSet, progress: object) -> gathering.Gathered:
        assert dataset.key == "gallery"
        return made

    monkeypatch.setattr(gathering, "_pairs", pairs)
    gathering.ready("signals:maf-gloss@gallery")
    found = open_data("signals:maf-gloss@gallery")
    assert found.streams is not None
    assert set(found.streams.names) == {"text", "image"}
    assert np.array_equal(found.streams.features["text"][:, 0], views["text"])
    assert {sample.note.get("group") for sample in found.samples} == {s.note.get("group") for s in gallery.samples}
