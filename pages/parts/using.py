"""What is in use: checkpoint, data set, and which of the kinds they are; nothing is drawn here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fusion.types import FusionError
from pages.parts import cache, state
from pages.parts.kinds import KINDS, reads

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from pages.parts.kinds import Kind

# Of another kind of data set.
OTHER = {
    "data": None, "id": None, "rel": None, "against": None, "story": None, "text": None, "sel": None, "edit": None,
}  # fmt: skip


def kind_of(spec: str) -> Kind:
    """The kind of data set that a key or path names."""
    from fusion import data  # numpy and more: a heading doesn't wait for it

    return data.kind_of(spec)


def use_checkpoint(name: str) -> None:
    """Use a checkpoint, and let go of a data set, and of a sample of it, that it can't read."""
    try:
        found = cache.checkpoint(name)
        reads(found)
        same = fits(found, data_spec())
    except FusionError:  # the page says what is wrong with it
        same = True
    state.put(ckpt=name, **({} if same else OTHER))


def use_data(spec: str) -> None:
    """Use a data set, and let go of a checkpoint that can't read it."""
    found = quiet()
    same = kind_of(spec) == "pairs" if found is None else fits(found, spec)
    state.put(**({} if same else {**OTHER, "ckpt": None}) | {"data": spec})


def data_spec() -> str:
    """The data set in use: the one chosen, else the one that the checkpoint in use was trained on or reads."""
    from fusion.data import bundled

    chosen = state.get("data")
    if chosen:
        return chosen
    found = quiet()
    wanted = "pairs" if found is None else reads_of(found)
    if found is None or wanted == "pairs":
        return "gloss"
    own = kind_of(found.data) == wanted and trusted(found.data)
    return found.data if own else next(iter(bundled(wanted)), found.data)


def kind() -> Kind:
    """What the pages show: pairs, entities to align, triples or streams, by what the checkpoint in use reads."""
    found = quiet()
    return kind_of(data_spec()) if found is None else reads_of(found)


def reads_of(found: Checkpoint) -> Kind:
    """What kind of data set a checkpoint reads; pairs where no page shows its task."""
    try:
        return reads(found)
    except FusionError:
        return "pairs"


def usual() -> Checkpoint | None:
    """The checkpoint in use when none was chosen: one trained on the data set chosen, one that reads it, or any."""
    spec = state.get("data", "gloss")
    fitting = [one for one in cache.checkpoints() if fits(one, spec)]
    trained = (one for one in fitting if one.data == spec)
    return next((one for group in (trained, fitting, cache.checkpoints()) for one in group), None)


def fits(found: Checkpoint, spec: str) -> bool:
    """Whether a checkpoint is known to read a data set: one of triples knows the entities of its own alone, one of
    streams the features of its own; another set with the same features is opened by a link that names both."""
    wanted = reads_of(found)
    return wanted == kind_of(spec) and (wanted not in ("triples", "streams") or found.data == spec)


def offered() -> list[str]:
    """Keys of the bundled data sets that some checkpoint here can read; those of pairs always."""
    from fusion.data import bundled

    found = {"pairs", *(reads_of(one) for one in cache.checkpoints())}
    return [key for kind in KINDS if kind in found for key in bundled(kind)]


def quiet() -> Checkpoint | None:
    """The checkpoint in use, None without one or where it can't be read."""
    name = state.get("ckpt")
    if not name:
        return usual()
    try:
        return cache.checkpoint(name)
    except FusionError:
        return None


def trusted(spec: str) -> bool:
    """Whether a link may open a data set: one that has a key, a planted one, which is computed, or a path that a person
    or the server's settings allowed."""
    from fusion import kept
    from fusion.data import DATASETS, FETCHED

    behind = spec.removeprefix("views:")  # the views of a set open nothing that the set doesn't
    known = behind in DATASETS or behind in FETCHED or behind.startswith("planted:")
    known = known or spec.startswith("signals:")  # only what was gathered is opened
    return known or kept.allowed(spec) or kept.allowed(behind)
