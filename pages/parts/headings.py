"""The pages in their groups, and what each is called, is for, and offers as help: keys of the words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pages.parts.kinds import Kind

# Each group of links, and of each page what it is called, its heading, what it is for, and its help.
GROUPS = {
    "start": ("home",),
    "look": ("inspect", "fusion"),
    "align": ("map", "match", "triage"),
    "library": ("compare", "runs", "checkpoints"),
}
PAGES = {
    "home": ("home.nav", "home.title", "home.lead", "home.help"),
    "inspect": ("inspect.nav", "inspect.title", "inspect.lead", "inspect.help"),
    "fusion": ("fusion.nav", "fusion.title", "fusion.lead", "fusion.help"),
    "map": ("map.nav", "map.title", "map.lead", "map.help"),
    "match": ("match.nav", "match.title", "match.lead", "match.help"),
    "triage": ("triage.nav", "triage.title", "triage.lead", "triage.help"),
    "compare": ("compare.nav", "compare.title", "compare.lead", "compare.help"),
    "runs": ("runs.nav", "runs.title", "runs.lead", "runs.help"),
    "checkpoints": ("checkpoints.nav", "checkpoints.title", "checkpoints.lead", "checkpoints.help"),
}
# What a page is for, and its help, where it shows something else than pairs of image and text.
OTHERS: dict[Kind, dict[str, tuple[str, str]]] = {
    "graph": {
        "inspect": ("inspect.lead.graph", "inspect.help.graph"),
        "fusion": ("fusion.lead.graph", "fusion.help.graph"),
        "map": ("map.lead.graph", "map.help.graph"),
        "match": ("match.lead.graph", "match.help.graph"),
    },
    "triples": {
        "inspect": ("inspect.lead.triples", "inspect.help.triples"),
        "fusion": ("fusion.lead.triples", "fusion.help.triples"),
        "map": ("map.lead.triples", "map.help.triples"),
        "match": ("match.lead.triples", "match.help.triples"),
    },
    "streams": {
        "inspect": ("inspect.lead.streams", "inspect.help.streams"),
        "fusion": ("fusion.lead.streams", "fusion.help.streams"),
        "map": ("map.lead.streams", "map.help.streams"),
        "match": ("match.lead.streams", "match.help.streams"),
    },
}


def differs(page: str) -> bool:
    """Whether a page says something else by the kind of data that it shows."""
    return any(page in pages for pages in OTHERS.values())


def purpose(page: str, kind: Kind) -> tuple[str, str]:
    """What a page is for where it shows a kind of data, and its help."""
    return OTHERS.get(kind, {}).get(page, PAGES[page][2:])
