"""What checkpoints of official programs for streams have in common when they become ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fusion.data.streams import SENTIMENT
from fusion.types import FusionError

MOSI = (-3.0, 3.0)  # scale of MOSI and MOSEI; that of SIMS goes from -1 to 1
NO_VOCABULARY = """
Its text encoder has **no vocabulary**: put the `vocab.txt` that it was trained with into `encoders/text`, or adopt it
again with `--vocab FILE`. Until then it can't read raw text.
"""


def check_place(destination: Path) -> None:
    """Raises FusionError where a checkpoint would replace anything but a checkpoint."""
    taken = destination.exists() and (not destination.is_dir() or any(destination.iterdir()))
    if taken and not (destination / "weights.safetensors").is_file():
        raise FusionError(
            f'"{destination.name}" exists and is no checkpoint, and would be replaced; choose another folder.'
        )


def scored(scale: tuple[float, float]) -> dict[str, Any]:
    """What no file says and an answer in words needs: the scale of sentiment, its parts, and the answer from nothing.

    That answer is the middle of the scale, which is neutral.
    """
    return {"scale": list(scale), "words": list(SENTIMENT), "prior": (scale[0] + scale[1]) / 2}
