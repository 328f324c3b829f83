"""The contact sheet takes samples evenly; what it links to is tested with each kind of map."""

from __future__ import annotations

import numpy as np
import pytest

from pages.parts.contact import MOST, spread


@pytest.mark.parametrize("count", [0, 1, MOST - 1, MOST, MOST + 1, 10 * MOST, 1_000_003])
def test_samples_are_taken_evenly_from_the_first_to_the_last(count: int) -> None:
    taken = spread(count)
    assert len(taken) == min(count, MOST)
    if count:
        assert (taken[0], taken[-1]) == (0, count - 1)
    steps = np.diff(taken)
    assert not len(steps) or steps.max() - steps.min() <= 1
