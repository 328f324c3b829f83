"""Pictures found by the kind of a signal: a new model that returns known signals gets all of these for nothing.

A view is `view(signal, sample, trace, **choice) -> Picture | None`, pure, for one sample (B = 1); None says that it
doesn't apply (regions of a text). Pictures of a whole data set are called by name: `match.reliability`,
`match.ranks`, `embedding.scatter`, and `match.hills` without a signal.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Protocol

from fusion.signals import (
    Attention,
    Attribution,
    Canonical,
    CrossGeneration,
    EdgeWeights,
    Effects,
    Embedding,
    Gate,
    Marginals,
    Match,
    ModalityScores,
    ModalityWeights,
    Norms,
    Opinions,
    Parts,
    Posterior,
    Reconstruction,
    Transitions,
)
from fusion.views import (
    attention,
    attribution,
    canonical,
    embedding,
    gate,
    generation,
    heads,
    match,
    modalities,
    opinions,
    parts,
    posterior,
    reconstruction,
    strips,
    tags,
)
from fusion.views.base import Picture
from fusion.views.speech import say

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import numpy as np

    from fusion.signals import Signal, Trace
    from fusion.types import Sample

VIEWS: dict[type[Signal], tuple[Callable[..., Picture | None], ...]] = {
    Embedding: (embedding.closeness,),
    Attention: (heads.heads, attention.regions, attention.words, attention.matrix),
    ModalityWeights: (strips.weights,),
    ModalityScores: (modalities.scores,),
    EdgeWeights: (modalities.neighbours,),
    Gate: (gate.steps, gate.blocks),
    Match: (match.hills,),
    Marginals: (tags.marginals,),
    Parts: (parts.bars, modalities.shares),
    Opinions: (opinions.voices,),
    Reconstruction: (reconstruction.lines, reconstruction.errors),
    Norms: (strips.norms,),
    Transitions: (tags.transitions,),
    Effects: (strips.drop,),
    Posterior: (posterior.experts, posterior.shares, posterior.subsets),
    CrossGeneration: (generation.grid,),
    Attribution: (attribution.parts,),
    Canonical: (canonical.agreement, canonical.pairs, canonical.loadings),
}
WHOLE = (heads.heads,)  # views of all signals of a kind at once


class Scores(Protocol):
    """What `draw_all` compares a match score with."""

    @property
    def true(self) -> np.ndarray:
        """Scores of true pairs (P,)."""
        ...

    @property
    def shuffled(self) -> np.ndarray:
        """Scores of exchanged pairs (N,)."""
        ...


def draw(
    signal: Signal, sample: Sample, trace: Trace, *, without: Collection[Callable[..., object]] = (), **choice: object
) -> list[Picture]:
    """All pictures of one signal of one sample but some; each view takes the choices that it knows."""
    pictures = []
    for view in VIEWS[type(signal)]:
        if view in without:
            continue
        known = inspect.signature(view).parameters
        picture = view(signal, sample, trace, **{name: value for name, value in choice.items() if name in known})
        if picture is not None:
            pictures.append(picture)
    return pictures


def draw_all(
    trace: Trace, sample: Sample, reference: Scores | None = None, **choice: object
) -> list[tuple[str, list[Picture]]]:
    """All pictures of a trace of one sample under the names of its signals, each drawn once.

    The model's own order, but an encoder's attention to itself comes last: the fusion is what one opens a report for.
    """
    if reference is not None:
        choice = {"true": reference.true, "shuffled": reference.shuffled, **choice}
    own = [s for s in trace if isinstance(s, Attention) and s.queries == s.keys]
    order = [*(s for s in trace if not any(s is other for other in own)), *own]
    seen: set[str] = set()
    mapped = False  # the map of heads is one for all attention
    result: list[tuple[str, list[Picture]]] = []
    for signal in order:
        drawn = draw(signal, sample, trace, without=WHOLE if isinstance(signal, Attention) and mapped else (), **choice)
        mapped |= isinstance(signal, Attention)
        new = [picture for picture in drawn if picture.key not in seen]
        seen |= {picture.key for picture in new}
        if new:
            result.append((say(signal.name), new))
    return result


__all__ = ["VIEWS", "Picture", "Scores", "draw", "draw_all"]
