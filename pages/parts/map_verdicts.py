"""What Triage knows of the points of a map: the verdict on each, and how suspicious it is.

Any map of a data set that was inspected for Triage under the same checkpoint gets these two columns; they colour points
and cut them out as any other column does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache, state, triage_run

if TYPE_CHECKING:
    from pages.parts.atlas import Atlas, Column
    from pages.parts.triage_run import Opened

VERDICT, SUSPICION = "verdict", "suspicion"  # as the address names the two


def columns(atlas: Atlas) -> dict[str, Column]:
    """The two columns, {} where no finished run is of this data set and checkpoint, or it can't be read."""
    try:
        run = opened(atlas.checkpoint, atlas.dataset)
        return {} if run is None else _columns(atlas, run)
    except FusionError:  # Triage says what is wrong with it
        return {}


def opened(checkpoint: str, dataset: str) -> Opened | None:
    """The finished run of a data set under a checkpoint: the one that Triage shows, else the newest.

    Both are digests, as its folder tells them. Raises FusionError where it can't be opened.
    """
    from fusion.triage.known import runs

    both = (checkpoint, dataset)
    found = [
        run
        for run in runs()
        if run.finished and (run.meta.get("checkpoint_digest"), run.meta.get("data_digest")) == both
    ]
    if not found:
        return None
    shown = [run for run in found if triage_run.token(run) == state.get("queue")]
    return triage_run.opened((shown or found)[0])


def _columns(atlas: Atlas, run: Opened) -> dict[str, Column]:
    from fusion.triage import places
    from fusion.views.palette import VERDICTS, Tints
    from pages.parts.atlas import Column

    latest = run.verdicts().latest()
    key = (str(run.folder), run.stamp, atlas.dataset)
    said = cache.made(lambda: places.verdicts(run.store, run.decided(), atlas.ids()), "map_verdicts", *key, latest)
    high = cache.made(lambda: places.suspicion(run.store, atlas.ids()), "map_suspicion", *key)
    names = {name: t(f"queue.verdict.{name}") if name else t("map.verdict.none") for name in VERDICTS}
    code = np.array([names[one] for one in said.tolist()], dtype=object)
    entities = len(places.ends(run.store)) > 1
    tints = Tints({names[name]: colour for name, colour in VERDICTS.items()}, names[""])
    return {
        VERDICT: Column(
            t("map.colour.verdict"), code, (*key, latest), tints, lambda rows: judged(said[rows], entities)
        ),
        SUSPICION: Column(t("queue.suspicion"), high, key, None, lambda rows: suspected(high[rows], atlas, rows)),
    }


def judged(said: np.ndarray, entities: bool) -> str:
    """How many of some samples, or entities, have which verdict. said: (R,) names, "" for none."""
    from fusion.triage.places import GRAVEST

    ending = "entities" if entities else "samples"
    names, counts = np.unique(said[said != ""].astype(str), return_counts=True)
    found = dict(zip(names.tolist(), counts.tolist(), strict=True))
    told = [f"{t(f'queue.verdict.{name}')} {found[name]:,}" for name in reversed(GRAVEST) if name in found]
    facts = {"count": f"{len(said):,}", "judged": f"{sum(found.values()):,}"}
    if not told:
        return t(f"map.verdict.{ending}.nobody", count=facts["count"])
    return t(f"map.verdict.{ending}", **facts, verdicts=t("views.list.comma").join(told))


def suspected(high: np.ndarray, atlas: Atlas, rows: np.ndarray) -> str:
    """The middle and the highest suspicion of some rows, "" where none has any."""
    from fusion.views.speech import num, plain

    known = np.isfinite(high)
    if not known.any():
        return ""
    top = int(np.nanargmax(high))
    facts = {"median": num(float(np.median(high[known]))), "high": num(float(high[top]))}
    return t("map.suspicion.told", **facts, id=plain(str(atlas.ids()[int(rows[top])]), 40))
