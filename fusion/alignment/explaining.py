"""Why two entities are aligned: the numbers of every subset of the modalities, and what the model's own signals say.

Targets: "rank" is 1 / rank, "cosine" the joint cosine, of the partner (or of whom the entity is compared with);
"rank:ID" and "cosine:ID" those of another candidate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusion.explain.tabled import Tabled, by_subset
from fusion.signals import ModalityScores

if TYPE_CHECKING:
    from fusion.alignment.inspection import Aligner
    from fusion.alignment.observed import EntityObservation
    from fusion.explain.tabled import Table
    from fusion.types import Image

ATTENTION = "received_attention"  # of the transformer over modalities


def case(aligner: Aligner, seen: EntityObservation, image: Image | None = None) -> Tabled:
    """An entity that was looked into, ready to be asked why. image: the picture that was put in, if any"""

    def table(line: str) -> Table:
        kind, _, id = line.partition(":")
        goal = id or (seen.partner or seen.other).id
        effects = aligner.by_subset(seen.sample.id, goal, image)
        found = by_subset(effects, aligner.modalities, int(kind == "cosine"), nothing=0.0)
        if kind == "cosine":
            return found
        return {some: 1 / rank if rank else 0.0 for some, rank in found.items()}

    claims = {"weights": dict(seen.weights)}
    read = next((s for s in seen.trace.of(ModalityScores) if s.name == ATTENTION), None)
    if read is not None:
        total = float(read.value[0].sum())
        claims["mean"] = dict(zip(read.modalities, (read.value[0] / total).tolist(), strict=True))
    goal = (seen.partner or seen.other).id
    others = [one.id for one in seen.candidates if one.id != goal]
    lines = ("rank", "cosine", *(f"{kind}:{id}" for id in others for kind in ("rank", "cosine")))
    return Tabled(aligner.modalities, lines, table, claims)
