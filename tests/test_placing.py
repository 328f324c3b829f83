"""Own samples in a shared space: they lie where their like lies, and find their partners in the other views."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from fusion import checkpoints, words
from fusion.data import open_data
from fusion.streams import placing, runs
from fusion.streams.inspection import Reader
from fusion.streams.whole import StreamedSet, whole
from fusion.types import FusionError, Numbers, Sample
from fusion.types import Image as Part
from pages.parts import cache

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("canonical_image", "canonical_twin")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """MCCA of the two hands of the digits."""
    root = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FUSION_HOME", str(root))
        patch.setattr(checkpoints, "roots", lambda: [root / "checkpoints"])
        settings = {"modalities": "image,twin", "components": "8", "c": "0.1"}
        runs.train("mcca", "views:digits", name="hands", say=lambda _: None, settings=settings)
        whole(Reader.open(checkpoints.find("hands")))
        yield root


@pytest.fixture(scope="module")
def opened(home: Path) -> tuple[Reader, StreamedSet]:
    reader = Reader.open(checkpoints.find("hands"))
    return reader, whole(reader)


def dropped(row: int, side: int = 150) -> Part:
    """A scan of the set as a person would drop it: larger, smooth, with a margin."""
    part = open_data("digits").samples[row].parts["image"]
    assert isinstance(part, Part)
    sheet = Image.new("RGB", (side + 60, side + 40), "white")
    sheet.paste(part.open().resize((side, side), Image.Resampling.BICUBIC), (30, 20))
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return Part(data=stream.getvalue())


def test_a_dropped_picture_lies_by_its_scan_and_finds_its_digit_in_the_other_hand(
    opened: tuple[Reader, StreamedSet],
) -> None:
    reader, seen = opened
    digits = open_data("digits")
    held = [row for row, sample in enumerate(digits.samples) if sample.split == "test"][::16]
    cosines, hits = [], []
    for row in held:
        own, _ = placing.vectors(reader, Sample("own", {"image": dropped(row)}))
        assert set(own) == {"canonical_image", "canonical_fused"}
        there = seen.vectors("canonical_image")[seen.frame["id"].tolist().index(digits.samples[row].id)]
        cosines.append(float(own["canonical_image"] @ there / np.linalg.norm(there)))
        cosines[-1] /= float(np.linalg.norm(own["canonical_image"]))
        (found,) = placing.across(seen, own, NAMES)
        assert (found.given, found.seen) == ("image", "twin")
        assert list(found.cosine) == sorted(found.cosine, reverse=True)
        hits += [digits.get(id).target == digits.samples[row].target for id in found.ids]
    assert np.mean(cosines) > 0.7  # where a sign stood from left to right is lost
    assert np.mean(hits) > 0.7  # chance is a tenth


def test_each_view_looks_in_every_other_view(opened: tuple[Reader, StreamedSet]) -> None:
    reader, seen = opened
    sample = reader.dataset.samples[0]
    own, _ = placing.vectors(reader, sample)
    assert set(own) == {*NAMES, "canonical_fused"}
    assert {(one.given, one.seen) for one in placing.across(seen, own, NAMES)} == {("image", "twin"), ("twin", "image")}


def test_a_vector_that_samples_share_is_named_once(opened: tuple[Reader, StreamedSet]) -> None:
    reader, seen = opened
    own, _ = placing.vectors(reader, reader.dataset.samples[0])
    best = placing.across(seen, own, NAMES)[0]
    table = torch.from_numpy(seen.vectors("canonical_twin").copy())
    first = seen.frame["id"].tolist().index(best.ids[0])
    table[100:120] = table[first]
    doubled = replace(seen, _vectors=lambda: {name: table for name in NAMES})
    found = placing.across(doubled, own, NAMES)[0]
    assert len(set(np.round(found.cosine, 6))) == len(found.ids) == placing.NEAREST
    assert found.cosine[0] == pytest.approx(best.cosine[0])


def test_nothing_and_other_widths_are_refused(opened: tuple[Reader, StreamedSet]) -> None:
    reader, _ = opened
    with pytest.raises(FusionError, match="bring one of image, twin"):
        placing.vectors(reader, Sample("own", {}))
    with pytest.raises(FusionError, match="steps of 64 features"):
        placing.vectors(reader, Sample("own", {"image": Numbers(np.zeros((1, 3)))}))


def test_the_map_places_what_is_dropped(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_HOME", str(home))
    monkeypatch.setattr(checkpoints, "roots", lambda: [home / "checkpoints"])
    cache.data.clear()
    test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    test.query_params["ckpt"], test.query_params["lang"] = "hands", "en"
    words.use("en")
    test.switch_page("pages/map.py")
    test.run()
    assert not test.exception
    told = lambda: " ".join(one.value for one in (*test.markdown, *test.caption))  # noqa: E731
    assert words.t("placing.tell") in told()
    assert words.t("placing.near") not in told()
    test.session_state["stream_parts"] = {"image": dropped(3)}
    test.run()
    assert not test.exception
    assert not test.error, [one.value for one in test.error]
    assert words.t("placing.near") in told()
