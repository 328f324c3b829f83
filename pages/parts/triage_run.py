"""A finished run as the pages of Triage ask it: its rows, its verdicts, its pictures, and what the address calls it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from fusion.types import FusionError
from pages.parts import cache

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.data import DataSet
    from fusion.triage.known import Run
    from fusion.triage.store import Store
    from fusion.triage.verdicts import Verdicts
    from fusion.types import Image

LARGE = 50_000  # samples above which a set isn't opened for its pictures: they are looked for by their paths


@dataclass(frozen=True, eq=False)
class Opened:
    """A finished run, and what the pages need to know of it."""

    token: str  # what the address calls it
    folder: Path
    stamp: int  # changes when the run is made anew
    store: Store

    @property
    def spec(self) -> str:
        """The data set, as `open_data` takes it."""
        return str(self.store.meta.get("data", ""))

    @property
    def checkpoint(self) -> str:
        """The name of the checkpoint, "" where the untrained encoders looked."""
        return str(self.store.meta.get("checkpoint", ""))

    @property
    def parts(self) -> list[str]:
        """Parts of the suspicion that some row has, in the order of the columns."""
        return [name.removeprefix("part_") for name in self.store.columns if name.startswith("part_")]

    @property
    def kind(self) -> str:
        """pairs, graph, triples or streams."""
        return str(self.store.meta.get("kind", "pairs"))

    def verdicts(self, reviewer: str = "") -> Verdicts:
        """What was decided in this run, and where this reviewer's decisions go."""
        return _verdicts(str(self.folder), self.stamp, reviewer)

    def decided(self) -> Mapping[str, Mapping[str, str]]:
        """{id: {reviewer: verdict}}, read again only when a line was added."""
        book = self.verdicts()
        return _decided(str(self.folder), self.stamp, book.latest(), book)

    def drawn(self, count: int) -> list[str]:
        """So many ids at random, the same for everyone; drawn once, since a large set takes a second."""
        return _drawn(str(self.folder), self.stamp, count, self.store)

    def image(self, row: Mapping[str, object], *, right: bool = False) -> Image | None:
        """The picture of a row, None without one or where it is no longer there; right: of the entity at the right."""
        sides = {"graph": ("id", "partner"), "triples": ("head", "tail")}.get(self.kind, ("id", "id"))
        return _image(self, str(row[sides[right]]), str(row.get("image") or ""))

    def told(self, row: Mapping[str, object], *, half: str = "") -> str:
        """A row in words: its text, or what is linked with what; half: of a linked pair, left or right alone."""
        if self.kind == "graph":
            ends = {"left": row.get("name"), "right": row.get("partner_name")}
            return str(ends[half]) if half in ends else f"{ends['left']} \u2194 {ends['right']}"
        if self.kind == "triples":
            ends = [row.get("name"), row.get("tail_name")][:: -1 if row.get("reversed") else 1]
            return f"{ends[0]} \u2013 {row.get('relation_name')} \u2013 {ends[1]}"
        return str(row.get("text") or "")


@st.cache_resource(max_entries=8, show_spinner=False)
def _store(folder: str, stamp: int) -> Store:
    from fusion.triage.store import Store

    return Store.open(folder)


@st.cache_resource(max_entries=64, show_spinner=False)
def _verdicts(folder: str, stamp: int, reviewer: str) -> Verdicts:
    from fusion.triage.verdicts import Verdicts

    return Verdicts.open(Path(folder), reviewer)


@st.cache_resource(max_entries=8, show_spinner=False)
def _decided(folder: str, stamp: int, latest: int, _book: Verdicts) -> Mapping[str, Mapping[str, str]]:
    return _book.now()


@st.cache_resource(max_entries=8, show_spinner=False)
def _drawn(folder: str, stamp: int, count: int, _store: Store) -> list[str]:
    return _store.sample(count)


def _image(opened: Opened, id: str, place: str) -> Image | None:
    dataset = dataset_of(opened)
    if dataset is not None:
        sample = dataset.find(id)
        return None if sample is None else sample.image()
    from fusion.files import inside
    from fusion.types import Image

    root = Path(opened.spec).expanduser()
    root = root if root.is_dir() else root.parent
    try:
        path = inside(root, place)
    except FusionError:
        return None
    return Image(path=path) if place and path.is_file() else None


def dataset_of(opened: Opened) -> DataSet | None:
    """The set that a run is of, None where it is too large to open for a picture, or gone."""
    if opened.store.count > LARGE:
        return None
    try:
        return cache.data(opened.spec)
    except FusionError:
        return None


def opened(run: Run) -> Opened:
    """A finished run, its file opened once for all visitors. Raises FusionError where it can't be read."""
    stamp = (run.folder / "meta.json").stat().st_mtime_ns
    return Opened(token(run), run.folder, stamp, _store(str(run.folder), stamp))


def token(run: Run) -> str:
    """What the address calls a run: its folder's name below the user's, else a hash of the path."""
    from fusion.files import digest, home

    own = run.folder.parent.resolve() == (home() / "triage").resolve()
    return run.folder.name if own else f"at-{digest(str(run.folder.resolve()))[:16]}"
