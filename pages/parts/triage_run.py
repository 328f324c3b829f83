"""Which run Triage shows: those on this machine by name, the one of the set in use, and how to start another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from fusion import jobs
from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache, chrome, state, using, work
from pages.parts.chrome import plain
from pages.parts.runs_told import about, length

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from fusion.data import DataSet
    from fusion.triage.store import Run, Store
    from fusion.triage.verdicts import Verdicts
    from fusion.types import Image

LARGE = 50_000  # samples above which a set isn't opened for its pictures: they are looked for by their paths
SECOND = 20  # pairs a second on two busy cores, for the estimate before the first report


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
    from pathlib import Path

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
    from pathlib import Path

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


def choose() -> Opened | None:
    """The run in the address, else that of the set and checkpoint in use; without one, the offer to make it."""
    from fusion.triage.store import runs

    found = {token(run): run for run in runs()}
    now = _asked(found)
    if now is None:
        now = _fitting(found)
    if now is None:
        start([])
        if not found:
            return None
    st.session_state["triage_run"] = now
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="triage_runs"):
        st.selectbox(
            t("queue.run"), list(found), index=None if now is None else 0, key="triage_run", width=460,
            format_func=labels(found).__getitem__, placeholder=t("queue.run.none"), help=t("queue.run.help"),
            on_change=lambda: state.put(queue=st.session_state["triage_run"], pair=None, where=None, show=None),
        )  # fmt: skip
        if now is None:
            return None
        st.text_input(
            t("queue.who"), key="triage_who", value=None if "triage_who" in st.session_state else state.get("who"),
            max_chars=80, width=200, placeholder=t("queue.who.none"), help=t("queue.who.help"),
            on_change=lambda: state.put(who=" ".join(st.session_state["triage_who"].split())),
        )  # fmt: skip
        other = st.popover(t("queue.start.other"), key="triage_other", on_change="rerun")
        with other:
            if other.open:
                start(list(found.values()))
    run = found[now]
    if state.get("queue") != now:
        state.put(queue=now)
    if not run.finished:
        _unfinished(run)
        return None
    return opened(run)


def _asked(found: Mapping[str, Run]) -> str | None:
    """The run in the address, unless another set or checkpoint was chosen since, or a selection of another set."""
    of, checkpoint = "triage_of", using.quiet()
    chosen = (using.data_spec(), "" if checkpoint is None else checkpoint.name)
    asked, among = state.get("queue"), state.selection()
    before, then = st.session_state.get(of, (chosen, asked))
    st.session_state[of] = (chosen, asked)
    if asked and asked not in found:
        st.warning(t("queue.run.gone"))
    other = state.get("show") == "sel" and among.ids and asked in found and not _reads(found[asked], among.data)
    if (before != chosen and then == asked) or other or asked not in found:
        state.put(queue=None, pair=None, where=None)
        return None
    return asked


def _reads(run: Run, spec: str) -> bool:
    """Whether a run is of a data set."""
    return spec in (run.meta.get("data"), run.meta.get("data_key"))


def labels(found: Mapping[str, Run]) -> dict[str, str]:
    """{token: a line}, each another: a list whose lines were the same would take one for the other."""
    lines = {key: named(run) for key, run in found.items()}
    said = list(lines.values())
    return {key: line if said.count(line) == 1 else f"{line} · {key[:11]}" for key, line in lines.items()}


def named(run: Run) -> str:
    """A run in a line: the set, what looked at it, how many samples, and when."""
    from fusion.data import DATASETS

    key = str(run.meta.get("data_key", ""))
    name = t(f"data.{key}") if key in DATASETS else str(run.meta.get("name") or key)
    by = str(run.meta.get("checkpoint") or t("queue.untrained"))
    told = t(
        "queue.run.named",
        name=name,
        by=by,
        count=f"{run.count:,}",
        time=str(run.meta.get("began", ""))[:16].replace("T", " "),
    )
    return told if run.finished else t("queue.run.half", told=told, done=f"{run.done:,}")


def _fitting(found: Mapping[str, Run]) -> str | None:
    """The run of the data set in use, under the checkpoint in use or else under any; None where it has none."""
    checkpoint = using.quiet()
    name = "" if checkpoint is None else checkpoint.name
    of = [key for key, run in found.items() if _reads(run, using.data_spec())]
    under = [key for key in of if found[key].meta.get("checkpoint") == name and found[key].finished]
    return next((key for group in (under, of) for key in group), None)


def _unfinished(run: Run) -> None:
    """A run that was stopped: go on with it."""
    given = ["inspect-set", str(run.meta.get("data", "")), "--json"]
    folder = str(run.meta.get("checkpoint_folder", ""))
    given += ["--checkpoint", folder] if folder else []
    given += ["--out", str(run.folder)] if token(run).startswith("at-") else []
    going = ((one.key, about(one.arguments)) for one in jobs.listed() if one.alive)  # here or in a terminal
    key = next((name for name, told in going if told.verb == given[0] and told.things[:1] == (given[1],)), "")
    with st.container(border=True, key="card_unfinished"):
        st.markdown(f"**{t('queue.half', done=f'{run.done:,}', count=f'{run.count:,}')}**")
        work.follow(key or _key(given), given, t("queue.half.tell"), t("queue.half.go"), _ended)


def start(known: Sequence[Run]) -> None:
    """A card that looks at the data set in use, under the checkpoint in use or without any."""
    spec = using.data_spec()
    with st.container(border=True, key="card_triage_start"), chrome.guard("queue.start"):
        if not known:
            st.markdown(f"#### {t('queue.none', name=plain(chrome.data_name(spec)))}")
        kind = using.kind_of(spec)
        dataset = chrome.dataset(kind)
        checkpoint = chrome.checkpoint()
        if dataset is None or (checkpoint is None and (kind != "pairs" or cache.checkpoints())):
            return  # what would do was said above
        st.markdown(t("queue.start.tell", name=plain(chrome.data_name(spec))))
        without = checkpoint is None
        if kind == "pairs" and checkpoint is not None:
            without = st.toggle(
                t("queue.start.untrained"), key="triage_untrained", help=t("queue.start.untrained.help")
            )
        given = ["inspect-set", dataset.spec or dataset.key, "--json"]
        given += [] if without or checkpoint is None else ["--checkpoint", str(checkpoint.folder)]
        by = t("queue.untrained") if without or checkpoint is None else plain(checkpoint.name, 60)
        before = t("queue.start.before", by=by, n=f"{len(dataset):,}", s=length(len(dataset) / SECOND))
        there = any(run.finished and run.meta.get("data") == given[1] and run.meta.get("checkpoint") in (by, "")
                    for run in known)  # fmt: skip
        work.follow(_key(given), given, before, t("queue.start"), _ended if there else None)
        st.caption(t("queue.start.where"))


def _key(given: Sequence[str]) -> str:
    from fusion.files import digest

    return f"inspect-set-{digest(*given)[:16]}"


def _ended() -> None:
    """A job has ended: what it made is chosen like any other run."""
    st.success(t("queue.start.done"))
