"""A sample of one's own in the space of a checkpoint: where each of its views lies, and what lies near in the others.

N samples of a set, K numbers of the space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from fusion.device import best, exclusive
from fusion.metrics.retrieval import top_k
from fusion.signals import Embedding

if TYPE_CHECKING:
    from fusion.inference import Notice
    from fusion.streams.inspection import Reader
    from fusion.streams.whole import StreamedSet
    from fusion.types import Sample

NEAREST = 6
DOUBLES = 50  # samples that are looked through for each that is named
DIGITS = 4  # by which two vectors count as one: the same word of two samples


@dataclass(frozen=True)
class Found:
    """The nearest samples of a set in one view, to a sample's own other view; the nearest first."""

    given: str  # modality of the sample's own vector
    seen: str  # modality in which was searched
    ids: tuple[str, ...]
    cosine: tuple[float, ...]


def vectors(reader: Reader, sample: Sample) -> tuple[dict[str, np.ndarray], tuple[Notice, ...]]:
    """Where the views of a sample lie, by the name of the embedding; of views that it has alone, and of all together.

    -> {name: (K,) float32}, what was noticed of its parts. Raises FusionError for a sample without any modality, or a
    part that can't be read.
    """
    batch, notices = reader.batch(sample)
    with exclusive(reader.checkpoint.digest), torch.inference_mode():
        trace = reader.model(batch.to(best()[0])).trace.cpu()
    found = {
        signal.name: signal.value[0].float().numpy().copy()
        for signal in trace.of(Embedding)
        if signal.modality not in reader.names or bool(batch.has(signal.modality)[0])
    }
    return found, notices


def across(
    whole: StreamedSet, own: Mapping[str, np.ndarray], names: Sequence[str], *, count: int = NEAREST
) -> list[Found]:
    """For each own view, the nearest samples by cosine in every other view, one for each vector that several share.

    names: embeddings of single modalities in one shared space. A sample of the set may find itself.
    """
    ids = whole.frame["id"].astype(str).to_numpy()
    made = []
    for a in names:
        for b in names:
            if a == b or a not in own:
                continue
            table = whole.vectors(b)
            there = whole.frame[f"has_{whole.levels[b]}"].to_numpy(bool)
            rows = np.flatnonzero(there & np.isfinite(table).all(1))
            if not len(rows) or table.shape[1] != len(own[a]):
                continue
            at, cosine = top_k(own[a], table[rows], min(DOUBLES * count, len(rows)))
            _, first = np.unique(np.round(table[rows[at]], DIGITS), axis=0, return_index=True)
            some = np.sort(first)[:count]
            made.append(
                Found(
                    whole.levels[a], whole.levels[b], tuple(ids[rows[at[some]]].tolist()), tuple(cosine[some].tolist())
                )
            )
    return made
