"""Subsets of modalities in a fixed order, what each is called, and the part of an effect that has one left out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor, tensor

if TYPE_CHECKING:
    from fusion.signals import Effects

AS_IS, WITHOUT, ONLY, WITH = "as_is", "without_", "only_", "with_"  # fusion.views.speech reads these
NONE = "without_all"


def subsets(modalities: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """All subsets but the empty one, larger ones first: everything, each one removed, ..., each one alone."""
    sizes = range(len(modalities), 0, -1)
    found = [list(itertools.combinations(modalities, size)) for size in sizes]
    if len(modalities) > 1:
        found[1].reverse()  # without the first modality comes first
    return tuple(subset for same in found for subset in same)


def called(subset: Sequence[str], modalities: Sequence[str]) -> str:
    """The name of a condition.

    >>> called(("image", "name"), ("image", "graph", "name"))
    'without_graph'
    """
    left_out = [m for m in modalities if m not in subset]
    if not left_out:
        return AS_IS
    if not subset:
        return NONE
    if len(left_out) == 1:
        return WITHOUT + left_out[0]
    return ONLY + subset[0] if len(subset) == 1 else WITH + "+".join(subset)


def members(found: Sequence[Sequence[str]], modalities: Sequence[str]) -> Tensor:
    """Which modality is in which subset. -> (S, M) float32"""
    return tensor([[float(m in subset) for m in modalities] for subset in found])


def one_removed(effects: Effects, modalities: int) -> Effects:
    """The first of all subsets: everything there, and one modality gone."""
    some = slice(0, modalities + 1 if modalities > 1 else 1)
    return replace(
        effects, name="drop", value=effects.value[:, some], conditions=effects.conditions[some],
        said=tuple(row[some] for row in effects.said),
    )  # fmt: skip
