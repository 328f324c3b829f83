"""Splits of samples that came without them: by the hash of an id, so that a sample keeps its split as others come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusion.data.graphs import SPLITS
from fusion.data.streams import UNSPLIT, split_numbers
from fusion.files import digest

TRAIN, VALID = 0.7, 0.1  # of samples that were never split; the rest is to test


def splits(names: Sequence[str], groups: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Splits as given, or drawn by the hash of a sample's group where one of the three is missing; and what to say.

    names: "" where a sample was never split. -> (N,) uint8 for `StreamSet.split`; where train, valid and test are
    all there, samples without one stay without; where valid alone is missing, it is drawn from train.
    """
    given = split_numbers(names)
    have = [bool((given == at).any()) for at in range(len(SPLITS))]
    if all(have):
        return given, []
    place = np.array([int(digest("split", group)[:8], 16) / 2**32 for group in groups])
    if have == [True, False, True]:
        given[(given == 0) & (place < VALID / (TRAIN + VALID))] = SPLITS.index("valid")
        return given, ["It has no valid samples, so an eighth of those to train on was drawn by the hash of their ids."]
    drawn = np.digitize(place, (TRAIN, TRAIN + VALID)).astype(np.uint8)
    told = f"Samples are split {TRAIN:.0%} to {VALID:.0%} to the rest by the hash of their ids or pictures"
    told += (
        "; the split that it has lacks one of train, valid and test." if any(have) else ", as it came without a split."
    )
    assert (drawn < UNSPLIT).all(), "each has a split"
    return drawn, [told]
