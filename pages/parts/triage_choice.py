"""Which run Triage shows: those on this machine by name, the one of the set in use, and how to start another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from fusion import jobs, kept
from fusion.words import t
from pages.parts import cache, chrome, state, triage_list, using, work
from pages.parts.chrome import plain
from pages.parts.runs_told import about, length
from pages.parts.triage_run import Opened, opened, token

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.data import DataSet
    from fusion.triage.known import Run

OF = "triage_of"  # what was in use, and which run the address named, when the page was last drawn
SECOND = 20  # pairs a second on two busy cores, for the estimate before the first report


def choose() -> Opened | None:
    """The run in the address, else that of the set and checkpoint in use; without one, the offer to make it."""
    from fusion.triage.known import runs

    found = {token(run): run for run in runs()}
    now = _asked(found)
    if now is None:
        now = _fitting(found)
        st.session_state[OF] = (_in_use(), now or "")
    if now is None:
        start([])
        if not found:
            return None
    st.session_state["triage_run"] = now
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="triage_runs"):
        st.selectbox(
            t("queue.run"), list(found), index=None if now is None else 0, key="triage_run", width=460,
            format_func=labels(found).__getitem__, placeholder=t("queue.run.none"), help=t("queue.run.help"),
            on_change=lambda: _take(found),
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
    chosen, asked, among = _in_use(), state.get("queue"), state.selection()
    seen = st.session_state.get(OF)
    st.session_state[OF] = (chosen, asked)
    if asked not in found:
        if asked:
            st.warning(t("queue.run.gone"))
        state.put(queue=None, pair=None, where=None)
        return None
    run, sent = found[asked], state.get("show") == "sel" and bool(among.ids)
    if sent and not _reads(run, among.data):
        state.put(queue=None, pair=None, where=None)
        return None
    if seen is not None and seen[1] == asked and seen[0] != chosen and not _of(run, *chosen):
        state.put(**{**triage_list.FIRST, "queue": None, "show": "sel" if sent and among.data == chosen[0] else None})
        return None
    if (seen is None or seen[1] != asked) and _use(run):  # a link: what stands above is to be what is judged
        st.session_state[OF] = (_in_use(), asked)
        st.rerun()
    return asked


def _in_use() -> tuple[str, str]:
    """The data set and the checkpoint in use, "" without one."""
    checkpoint = using.quiet()
    return using.data_spec(), "" if checkpoint is None else checkpoint.name


def _of(run: Run, spec: str, checkpoint: str) -> bool:
    """Whether a run is of a data set, and this checkpoint looked at it."""
    return _reads(run, spec) and str(run.meta.get("checkpoint", "")) == checkpoint


def _take(found: Mapping[str, Run]) -> None:
    """Show the run that was chosen, with a list as at first."""
    run = found.get(st.session_state["triage_run"])
    if run is not None:
        state.put(**triage_list.FIRST, queue=token(run))
        _use(run)


def _use(run: Run) -> bool:
    """Use the data set of a run and the checkpoint that looked at it, where they are still there. -> whether they are
    others than those in use"""
    from fusion.data import DATASETS, FETCHED

    spec, name, before = str(run.meta.get("data", "")), str(run.meta.get("checkpoint", "")), _in_use()
    known = spec in DATASETS or spec in FETCHED or ":" in spec
    if not spec or not (known or Path(spec).expanduser().exists()):
        return False
    if not using.trusted(spec):
        kept.allow(spec)  # a run of this machine's user
    if not _reads(run, before[0]):
        using.use_data(spec)
    if name and name != before[1] and any(one.name == name for one in cache.checkpoints()):
        state.put(ckpt=name)
    return _in_use() != before


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
    spec, among = using.data_spec(), state.selection()
    with st.container(border=True, key="card_triage_start"), chrome.guard("queue.start"):
        if not known:
            st.markdown(f"#### {t('queue.none', name=chrome.data_name(spec))}")
        kind = using.kind_of(spec)
        dataset = chrome.dataset(kind)
        checkpoint = chrome.checkpoint()
        if dataset is None or (checkpoint is None and (kind != "pairs" or cache.checkpoints())):
            return  # what would do was said above
        st.markdown(t("queue.start.tell", name=chrome.data_name(spec)))
        if not known and state.get("show") == "sel" and among.ids and among.data in (spec, dataset.key):
            st.info(t("queue.start.sel", count=f"{len(among.ids):,}"))
        without = checkpoint is None
        if kind == "pairs" and checkpoint is not None:
            without = st.toggle(
                t("queue.start.untrained"), key="triage_untrained", help=t("queue.start.untrained.help")
            )
        given = ["inspect-set", dataset.spec or dataset.key, "--json"]
        given += [] if without or checkpoint is None else ["--checkpoint", str(checkpoint.folder)]
        name = "" if without or checkpoint is None else checkpoint.name
        count = _count(dataset)
        before = t("queue.start.before", by=plain(name, 60) or t("queue.untrained"), n=f"{count:,}",
                   s=length(count / SECOND))  # fmt: skip
        there = any(run.finished and _of(run, given[1], name) for run in known)
        work.follow(_key(given), given, before, t("queue.start"), _ended if there else None)
        st.caption(t("queue.start.where"))


def _count(dataset: DataSet) -> int:
    """How many rows a run has: samples, those with one half too, links of two graphs, or questions to one."""
    if dataset.graph is not None:
        return len(dataset.graph.links)
    if dataset.triples is not None:
        return len(dataset.triples.queries("valid", "test"))
    return len(dataset) + len(dataset.incomplete)


def _key(given: Sequence[str]) -> str:
    from fusion.files import digest

    return f"inspect-set-{digest(*given)[:16]}"


def _ended() -> None:
    """A job has ended: what it made is chosen like any other run."""
    st.success(t("queue.start.done"))
