"""Why an entity is an answer: the numbers of every subset of the modalities, and what the model's own weights say.

Targets: "rank" is 1 / filtered rank, "chance" the chance, of the answer that was looked at; "rank:ID" and "chance:ID"
those of another candidate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusion.explain.tabled import Tabled, by_subset

if TYPE_CHECKING:
    from fusion.explain.tabled import Table
    from fusion.links.inspection import Predictor
    from fusion.links.observed import LinkObservation
    from fusion.types import Image


def case(
    predictor: Predictor, seen: LinkObservation, image: Image | None = None, text: str | None = None
) -> Tabled:  # fmt: skip
    """A question that was looked into, ready to be asked why. image, text: what was put in, if anything"""

    def table(line: str) -> Table:
        kind, _, id = line.partition(":")
        effects = predictor.by_subset(seen.head.id, seen.relation, id or seen.told.id, image=image, text=text)
        found = by_subset(effects, predictor.modalities, int(kind == "chance"))
        return found if kind == "chance" else {some: 1 / rank for some, rank in found.items()}

    read = {m: seen.decision[m] for m in predictor.modalities}
    total = sum(read.values())
    claims = {"weights": {m: share / total for m, share in read.items()}} if total > 0 else {}
    others = [one.id for one in seen.candidates if one.id != seen.told.id]
    lines = ("rank", "chance", *(f"{kind}:{id}" for id in others for kind in ("rank", "chance")))
    return Tabled(predictor.modalities, lines, table, claims)
