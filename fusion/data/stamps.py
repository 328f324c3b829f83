"""Tux Paint's stamps: a picture, an English caption, the caption spoken in French; the category is to be predicted.

The one real set of three modalities that can be had freely. `python -m fusion data get stamps` fetches it; nothing of
it is part of this program. Letters, numbers and symbols are left out, and so are categories below FEWEST stamps.
Stamps of one caption stay in one split. Where a stamp is drawn as SVG alone its picture is absent: a modality that is
really missing, as is speech that nobody recorded.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from fusion.data import stamps_get
from fusion.data.dataset import DataSet
from fusion.data.streams import StreamSet, split_numbers
from fusion.files import digest
from fusion.types import Audio, FusionError, Image, Modality, Part, Sample, Text

LEFT_OUT = ("symbols",)
FEWEST = 10  # stamps of a category
SEED = 37
TEST, VALID = 0.2, 0.1  # of the captions of each category
MODALITIES = (
    Modality("text", "text", 0, unit="token"), Modality("image", "image", 0, unit="region"),
    Modality("audio", "audio", 0, unit="frame"),
)  # fmt: skip


def load() -> DataSet:
    """The data set of the stamps on this disk. Raises FusionError, saying how to get them, when there are none."""
    said = stamps_get.got()
    if said is None:
        raise FusionError(
            "Tux Paint's stamps are not here yet; get them once: python -m fusion data get stamps (161 MB)."
        )
    root = stamps_get.folder()
    rows = read(root)
    if not rows:
        raise FusionError(f"There are no stamps left in {root}; remove it and get them again.")
    count = Counter(category for _, category, _ in rows)
    classes = tuple(sorted(name for name, n in count.items() if n >= FEWEST))
    few = sorted(name for name in count if name not in classes)
    rows = [row for row in rows if row[1] in classes]
    split = splits([(category, _caption(parts)) for _, category, parts in rows])
    samples = tuple(
        Sample(id, parts, part, classes.index(category), {"category": category})
        for (id, category, parts), part in zip(rows, split, strict=True)
    )
    present = np.array([[m.name in sample.parts for m in MODALITIES] for sample in samples])
    streams = StreamSet(
        "Tux Paint's stamps", MODALITIES, {}, {}, present,
        np.array([classes.index(category) for _, category, _ in rows], dtype=np.int64), split_numbers(split), classes,
        groups=tuple(_caption(parts) for _, _, parts in rows),
    )  # fmt: skip
    notes = (
        "The category is the folder that Tux Paint files a stamp in: nobody checked it as a label, and it says nothing "
        "of feelings.",
        f"{int((~present[:, 1]).sum())} stamps are drawn as SVG alone and {int((~present[:, 2]).sum())} have no French "
        "speech: those modalities are really missing.",
        "Speech is one language and few speakers; that none of it was made by a synthesiser is not proved. It hardly "
        "helps: linear models on the test part are right in 82.5 % of the captions, 57.7 % of the pictures (or without "
        "one), 22.6 % of the speech, and 21.9 % by the most frequent category.",
        *((f"Left out: symbols, and {', '.join(few)} with fewer than {FEWEST} stamps.",) if few else ()),
    )
    held = digest(stamps_get.FORMAT, said["sha256"], *(sample.id for sample in samples))
    return DataSet("stamps", streams.title, samples, (), "silver", root, held, notes, "stamps", streams=streams)


def read(root: Path) -> list[tuple[str, str, dict[str, Part]]]:
    """(id, category, parts) of each stamp with a caption, by id; files that are missing are absent parts."""
    rows = []
    for path in sorted(root.glob("*/**/*.txt")):
        id = path.relative_to(root).with_suffix("").as_posix()
        category = id.partition("/")[0]
        caption = caption_of(path)
        if category in LEFT_OUT or not caption:
            continue
        parts: dict[str, Part] = {"text": Text(caption)}
        picture = path.with_suffix(".png")
        speech = path.with_name(f"{path.stem}_desc_{stamps_get.LANGUAGE}.ogg")
        if picture.is_file():
            parts["image"] = Image(picture)
        if speech.is_file():
            parts["audio"] = Audio(speech)
        rows.append((id, category, parts))
    return rows


def _caption(parts: dict[str, Part]) -> str:
    text = parts["text"]
    return text.raw if isinstance(text, Text) else ""


def caption_of(path: Path) -> str:
    """The English caption: the first line of a stamp's text; the others begin with a language."""
    try:
        first = path.read_text("utf-8", "replace").split("\n", 1)[0].strip()
    except OSError:
        return ""
    return "" if ".utf8=" in first else first[:500]


def splits(rows: list[tuple[str, str]]) -> list[str]:
    """A split for each (category, caption); equal captions stay together, and each category is in every split."""
    rng = np.random.default_rng(SEED)
    chosen: dict[str, str] = {}
    for category in sorted({category for category, _ in rows}):
        captions = sorted({text.casefold() for one, text in rows if one == category} - set(chosen))
        order = rng.permutation(len(captions))
        test, valid = max(1, round(TEST * len(order))), max(1, round(VALID * len(order)))
        for place, at in enumerate(order):
            chosen[captions[at]] = "test" if place < test else "valid" if place < test + valid else "train"
    return [chosen[text.casefold()] for _, text in rows]
