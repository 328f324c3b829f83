"""Which face a page shows: by the kind of data that the checkpoint in use reads, which follows from its task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pages.parts import (
    entity,
    entity_map,
    entity_match,
    gating,
    link_fusion,
    link_map,
    link_match,
    links,
    listening,
    matching,
    pair_map,
    pairing,
    stream_fusion,
    stream_map,
    stream_match,
    streams,
    using,
    work,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pages.parts.kinds import Kind


def _map() -> None:
    found = work.observed("map")
    if found is not None:
        pair_map.show(*found)


def _match() -> None:
    found = work.observed("match")
    if found is not None:
        matching.show(*found)


FACES: dict[Kind, dict[str, Callable[[], None]]] = {
    "pairs": {"inspect": pairing.show, "fusion": gating.show, "map": _map, "match": _match},
    "graph": {
        "inspect": entity.show, "fusion": listening.show, "map": entity_map.show, "match": entity_match.show,
    },
    "triples": {
        "inspect": links.show, "fusion": link_fusion.show, "map": link_map.show, "match": link_match.show,
    },
    "streams": {
        "inspect": streams.show, "fusion": stream_fusion.show, "map": stream_map.show, "match": stream_match.show,
    },
}  # fmt: skip


def show(page: str) -> None:
    """Everything of a page below its heading."""
    FACES[using.kind()][page]()
