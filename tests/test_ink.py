"""Ink of dropped pictures: held-out digits drawn at another size, paper or polarity are read as the scans are."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fusion.data import open_data
from fusion.encoders import image_encoder, ink
from fusion.encoders.pictures import open_bytes
from fusion.streams.encoding import encode_part
from fusion.streams.inputs import read
from fusion.types import FusionError, Sample
from fusion.types import Image as Part

LOST = 0.03  # of the accuracy on the scans themselves


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    streams = open_data("digits").streams
    assert streams is not None
    return streams.features["image"][:, 0], np.asarray(streams.target), streams.split


def drawn(scan: np.ndarray, side: int, margin: int, *, light: bool, noise: float = 0.0, kind: str = "PNG") -> bytes:
    """A scan as a smooth picture of another size on wider paper."""
    sheet = np.full((side + 2 * margin, side + 2 * margin + 9), 255.0)
    small = Image.fromarray(np.round(255 * (1 - scan.reshape(8, 8))).astype(np.uint8))
    sheet[margin : margin + side, margin : margin + side] = small.resize((side, side), Image.Resampling.BICUBIC)
    sheet = (255 - sheet if light else sheet) + noise * np.random.default_rng(37).standard_normal(sheet.shape)
    stream = io.BytesIO()
    Image.fromarray(np.clip(sheet, 0, 255).astype(np.uint8)).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("side", "margin", "light", "noise", "kind"),
    [(96, 0, False, 0, "PNG"), (50, 12, True, 0, "PNG"), (220, 60, False, 5, "PNG"), (40, 6, True, 5, "JPEG")],
)
def test_held_out_digits_of_another_size_are_read_as_their_scans(
    digits: tuple[np.ndarray, np.ndarray, np.ndarray], side: int, margin: int, light: bool, noise: float, kind: str
) -> None:
    from sklearn.linear_model import LogisticRegression

    x, y, split = digits
    reader = LogisticRegression(max_iter=2000).fit(x[split == 0], y[split == 0])
    held = np.flatnonzero(split == 2)
    pictures = [open_bytes(drawn(x[row], side, margin, light=light, noise=noise, kind=kind)) for row in held]
    made = image_encoder("ink").encode(pictures)
    assert made.steps.shape == (len(held), 1, 64)
    assert 0 <= float(made.steps.min()) <= float(made.steps.max()) <= 1
    assert reader.score(made.pooled.numpy(), y[held]) > reader.score(x[held], y[held]) - LOST


def test_place_size_and_polarity_change_nothing() -> None:
    base = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(base).line([(60, 40), (120, 40), (80, 160)], fill=0, width=16)
    one = ink.grid(base.convert("RGB"))
    moved = Image.new("L", (500, 300), 250)
    grey = np.minimum(np.asarray(base.crop((40, 20, 140, 180))), 250)
    moved.paste(Image.fromarray(grey), (290, 60))
    assert np.abs(ink.grid(moved.convert("RGB")) - one).max() < 0.06
    assert np.abs(ink.grid(Image.fromarray(255 - np.asarray(base)).convert("RGB")) - one).max() < 0.02
    assert np.abs(ink.grid(base.resize((90, 90)).convert("RGB")) - one).max() < 0.2


def test_thin_strokes_are_thickened_to_the_scans() -> None:
    sheet = Image.new("L", (400, 400), 255)
    ImageDraw.Draw(sheet).ellipse((120, 60, 280, 340), outline=0, width=3)
    made = ink.grid(sheet.convert("RGB"))
    assert ink.THIN <= made.mean() < 0.3
    assert made[0].max() > 0.3  # the sign fills the height
    assert made[-1].max() > 0.3
    assert made[3:5, 3:5].max() < 0.1  # and stays open


def test_a_wide_sign_fills_the_width() -> None:
    sheet = Image.new("L", (300, 100), 255)
    ImageDraw.Draw(sheet).rectangle((20, 40, 280, 60), fill=0)
    made = ink.grid(sheet.convert("RGB"))
    assert made[3:5].min() > 0.05
    assert made[0].max() == made[-1].max() == 0


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_an_empty_sheet_is_refused(grey: int) -> None:
    with pytest.raises(FusionError, match="no ink in this picture"):
        ink.grid(Image.new("RGB", (30, 30), (grey, grey, grey)))


def test_the_set_of_digits_names_the_encoder_and_a_dropped_picture_passes_it() -> None:
    dataset = open_data("digits")
    streams = read(dataset)
    assert streams.encoders == {"image": "ink", "twin": "ink", "text": "given"}
    own = dataset.samples[-1]
    part = own.parts["image"]
    assert isinstance(part, Part)
    assert part.data is not None
    made = encode_part("ink", "twin", Sample("own", {"twin": Part(data=part.data)}))
    assert made is not None
    steps, names, _ = made
    assert steps.shape == (1, 64)
    assert len(names.labels) == 1
    assert np.corrcoef(steps[0].numpy(), streams.features["image"][-1, 0])[0, 1] > 0.85
