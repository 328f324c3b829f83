"""The sample photographs with hand-written captions, and the stories that the app opens with.

*Illustrative*: written by hand to show one effect each, and too few to measure anything.
"""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fusion.files import ASSETS, inside
from fusion.types import Image, Sample, Text

if TYPE_CHECKING:
    from pathlib import Path

DATA = ASSETS / "data"
FOLDER = DATA / "gallery"
FITS, DETAIL, UNRELATED = "fits", "detail", "unrelated"  # kinds of caption
CAPTIONS = (FITS, DETAIL, UNRELATED)


@dataclass(frozen=True)
class Story:
    """A picture and a sentence worth opening first, with what there is to see, in English and Chinese."""

    id: str
    image: Path
    text: str
    title: dict[str, str]  # {language: one line}
    tell: dict[str, str]  # {language: one or two sentences}

    def sample(self) -> Sample:
        """The story as something to run through a model."""
        parts = {"text": Text(self.text), "image": Image(path=self.image)}
        return Sample(id=f"story-{self.id}", parts=parts, note={"word": "illustrative"})


@dataclass(frozen=True)
class Pair:
    """One sentence with two pictures; which of them it has says what its first word means."""

    word: str
    text: str
    images: tuple[Path, Path]
    kinds: tuple[str, str]  # the word's tag with each picture: LOC | PER | ORG | MISC | O


def load() -> list[Sample]:
    """Every photograph with each of its three captions; the note says which kind it is and names the photograph."""
    samples = []
    for key, row in captions().items():
        for kind in CAPTIONS:
            note = {
                "photograph": key,
                "caption": kind,
                "name_en": row["name_en"],
                "name_zh": row["name_zh"],
                "credit": row["credit"],
                "licence": row["licence"],
                "word": "illustrative",
            }
            if kind == DETAIL:
                note["wrong"] = row["wrong"]
            parts = {"text": Text(row[kind]), "image": Image(path=FOLDER / f"{key}.jpg")}
            samples.append(Sample(id=f"{key}-{kind}", parts=parts, note=note))
    return samples


@functools.cache
def captions() -> dict[str, dict[str, str]]:
    """captions.toml: {photograph: its names, captions, credit and licence}."""
    return tomllib.loads((FOLDER / "captions.toml").read_text("utf-8"))


def stories() -> tuple[Story, ...]:
    """The stories of the first page, in order."""
    return tuple(
        Story(
            id=row["id"],
            image=inside(DATA, row["image"]),
            text=row["text"],
            title={"en": row["title_en"], "zh": row["title_zh"]},
            tell={"en": row["tell_en"], "zh": row["tell_zh"]},
        )
        for row in written()["story"]
    )


def pairs() -> tuple[Pair, ...]:
    """Sentences whose first word one picture makes a country and another something else."""
    return tuple(
        Pair(
            word=row["word"],
            text=row["text"],
            images=(inside(DATA, row["image"]), inside(DATA, row["other_image"])),
            kinds=(row["kind"], row["other_kind"]),
        )
        for row in written()["pair"]
    )


@functools.cache
def written() -> dict[str, Any]:
    """stories.toml as it stands. Any: what TOML holds."""
    return tomllib.loads((DATA / "stories.toml").read_text("utf-8"))
