"""The Runs page: every job as a row, the chosen one with its curves and its log, and a form that starts another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion import cleared, histories, jobs
from fusion.words import t
from pages.parts import cache, chrome, grid, runs_start, runs_told, state, table, tabs, using
from pages.parts.chrome import guard, plain
from pages.parts.runs_told import length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.jobs import JobStatus

TABS = ("list", "start")
EVERY, IDLE = 2.0, 5.0  # seconds between two looks while something runs, and while nothing does
PAGE = 50  # rows at once
LINES = 40  # of a log
BUNDLED = ("train", "late", "--data", "emoji-groups", "--epochs", "10")  # a minute or two on a laptop


def show() -> None:
    """Everything below the heading."""
    name, place = tabs.opened("runs", TABS)
    with place, guard(f"runs.tab.{name}"):
        if name == "start":
            runs_start.show()
        elif any(one.alive for one in jobs.listed()):
            _live()
        else:
            _all()
            _waiting()


@chrome.fragment(run_every=IDLE)
def _waiting() -> None:
    """Notice what is started elsewhere: in a terminal, or in another tab."""
    if any(one.alive for one in jobs.listed()):
        st.rerun(scope="app")


@chrome.fragment(run_every=EVERY)
def _live() -> None:
    if not any(one.alive for one in jobs.listed()):
        st.rerun(scope="app")
    _all()


def _all() -> None:
    """The table and what is known of the chosen row."""
    found = sorted(jobs.listed(), key=lambda one: not one.alive)  # what runs stands first, however long it has
    if not found:
        (_emptied if cleared.last() else _none)()
        return
    running = [one for one in found if one.state == "running"]
    ahead = [one.seconds_left for one in running if one.seconds_left is not None and one.done < one.total]
    said = t("runs.jobs.count", count=f"{len(found):,}", running=len(running))
    if ahead:
        said = t("runs.jobs.next", said=said, time=length(min(ahead)))
    st.markdown(said)
    asked = state.get("run")
    if asked not in {one.key for one in found}:
        if asked:
            st.warning(t("runs.unknown"))
        state.put(run=(running or found)[0].key)
    chosen = next(one for one in found if one.key == state.get("run"))
    pages = -(-len(found) // PAGE)
    page = min(st.session_state.setdefault("page_runs", found.index(chosen) // PAGE), pages - 1)
    _table(found[page * PAGE : (page + 1) * PAGE], chosen, said)
    with st.container(horizontal=True, vertical_alignment="center", key="under_runs"):
        table.turns("runs", page, pages, len(found))
        st.space("stretch")
        _clear(found)
    with st.container(border=True, key="card_run"), guard("runs.one"):
        _one(chosen)


def _none() -> None:
    """Nothing was ever started here: a way to begin."""
    with st.container(border=True, key="card_none"):
        st.markdown(f"**{t('runs.none')}**")
        st.markdown(t("runs.none.tell"))
        st.button(
            t("runs.none.train"), key="runs_first", type="primary", on_click=runs_start.start, args=(list(BUNDLED),)
        )


def _emptied() -> None:
    """Everything was taken off the list: a way back."""
    with st.container(border=True, key="card_none"):
        st.markdown(t("runs.emptied"))
        _clear([])


def _clear(found: Sequence[JobStatus]) -> None:
    """Buttons that take all that has ended off the list, and put back what was taken off last."""
    before, ended = len(cleared.last()), [one.key for one in found if not one.alive]
    if before:
        st.button(t("runs.back", count=f"{before:,}"), key="runs_back", type="tertiary", on_click=cleared.bring_back,
                  help=t("runs.back.help", days=cleared.DAYS))  # fmt: skip
    if ended:
        st.button(t("runs.clear", count=f"{len(ended):,}"), key="runs_clear", type="tertiary", on_click=jobs.clear,
                  args=(ended,), help=t("runs.clear.help", days=cleared.DAYS))  # fmt: skip


def _table(found: Sequence[JobStatus], chosen: JobStatus, said: str) -> None:
    import pandas as pd

    keys = [one.key for one in found]
    frame = pd.DataFrame(
        {
            "title": [runs_told.title(one) for one in found],
            "state": [t(f"runs.state.{one.state}") for one in found],
            "kind": [runs_told.kind(one) for one in found],
            "share": [1.0 if one.state == "done" else round(one.done / max(one.total, 1), 2) for one in found],
            "elapsed": [length(one.seconds) for one in found],
            "left": [length(one.seconds_left) for one in found],
            "device": [next(iter(one.notes.get("device", ())), "–").upper() for one in found],
            "time": [runs_told.when(one.time) for one in found],
        }
    )
    kinds = st.column_config
    config: dict[str, object] = {name: kinds.TextColumn(t(f"runs.column.{name}")) for name in frame.columns}
    config["title"] = kinds.TextColumn(t("runs.column.title"), width="medium")
    config["share"] = kinds.ProgressColumn(t("runs.column.share"), min_value=0.0, max_value=1.0, format="percent")
    key = f"runs_rows_{hash(tuple(keys)) & 0xFFFFFF:06x}"  # rows move when a run is added: another table then

    def pick() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        if rows and rows[0] < len(keys):
            state.put(run=keys[rows[0]], beside=None)

    st.dataframe(
        frame, hide_index=True, key=key, on_select=pick, selection_mode="single-row", column_config=config,
        selection_default={"selection": {"rows": [keys.index(chosen.key)] if chosen.key in keys else []}},
        height=min(400, 40 + 36 * len(frame)), alt=said,
    )  # fmt: skip


def _one(job: JobStatus) -> None:
    """How it stands, what can be done with it, what it made, its curves and its last lines."""
    st.markdown(f"##### {plain(runs_told.title(job), 80)}")
    told = t("runs.told", kind=runs_told.kind(job), state=t(f"runs.state.{job.state}"), time=runs_told.when(job.time),
             elapsed=length(job.seconds))  # fmt: skip
    st.markdown(told)
    if job.alive:
        _progress(job)
    elif job.state == "failed":
        st.error(t("runs.killed") if job.message == jobs.KILLED else plain(job.message, 600) or t("work.failed"))
        st.markdown(runs_told.advice(job))
    elif job.state == "stopped":
        st.info(t("runs.stopped"))
    _actions(job)
    if job.state == "done":
        _results(job)
    if runs_told.about(job.arguments).verb == "train":
        with guard("views.runs.title"):
            _curves(job)
    log = jobs.log(job.key, LINES)
    with st.expander(t("runs.log"), expanded=job.state == "failed", key=f"log_{job.key}"):
        st.code(log or t("runs.log.none"), language=None, wrap_lines=True)
        st.caption(t("runs.command"))
        st.code("python -m fusion " + " ".join(job.arguments), language=None, wrap_lines=True)


def _progress(job: JobStatus) -> None:
    if job.state == "queued":
        st.progress(0.0, text=t("runs.queued"))
        return
    share = job.done / job.total if job.total else 0.0
    doing = runs_told.doing(job)
    told = (
        t("work.steps", done=f"{job.done:,}", total=f"{job.total:,}") if job.total else "" if doing else t("work.begin")
    )
    left = "" if job.seconds_left is None else t("work.left", time=length(job.seconds_left))
    if job.total and job.done >= job.total:
        left = t("runs.ending")
    st.progress(min(share, 1.0), text=" ".join(part for part in (plain(doing, 60), told, left) if part))


def _actions(job: JobStatus) -> None:
    with st.container(horizontal=True, key="run_actions"):
        if job.alive:
            st.button(t("work.stop"), key="run_stop", on_click=jobs.stop, args=(job.key,))
            return
        if job.state in ("failed", "stopped"):
            st.button(t("runs.resume"), key="run_resume", type="primary", on_click=_resume, args=(job,))
        st.button(
            t("runs.forget"), key="run_forget", type="tertiary", on_click=jobs.clear, args=([job.key],),
            help=t("runs.forget.help", days=cleared.DAYS),
        )  # fmt: skip


def _resume(job: JobStatus) -> None:
    jobs.start(runs_told.again(job), job.key, where=job.where)


def _results(job: JobStatus) -> None:
    """Links to what came of it, where it is still there."""
    told = runs_told.about(job.arguments)
    names = {one.name: one for one in cache.checkpoints()}
    made = names.get(runs_told.made(job))
    with st.container(horizontal=True, key="run_results"):
        if made is not None:
            own = {"ckpt": made.name, **({"data": made.data} if using.trusted(made.data) else {})}
            chrome.link("inspect", t("runs.open.inspect"), **own)
            chrome.link("checkpoints", t("runs.open.checkpoints"), **own)
        elif told.verb == "train":
            st.caption(t("runs.gone"))
        folder = next(iter(job.notes.get("triage", ())), "")
        if told.verb == "inspect-set" and folder:
            _triage(folder)
        if told.verb == "observe" and runs_told.read(job) in names and using.trusted(told.data):
            own = {"ckpt": runs_told.read(job), "data": told.data}
            chrome.link("map", t("runs.open.map"), **own)
            chrome.link("match", t("runs.open.match"), **own)


def _triage(folder: str) -> None:
    """A link to what an inspection found, where its folder is still there."""
    from fusion.triage.known import runs as known
    from pages.parts.triage_run import token

    found = next((run for run in known() if str(run.folder) == folder and run.finished), None)
    if found is None:
        st.caption(t("runs.gone.triage"))
    else:
        chrome.link("triage", t("runs.open.triage"), queue=token(found))


def _curves(job: JobStatus) -> None:
    """One small plot a term; another run's lines over them, where one is chosen."""
    from fusion.views import runs

    titles = list(job.notes.get("run", ()))
    kept = [one for one in titles if len(histories.read(one))]
    if not kept:
        st.caption(t("views.runs.none") if job.alive else t("runs.curves.none"))
        return
    others = [one for one in histories.titles() if one not in kept or len(kept) > 1]
    with st.container(horizontal=True, key="run_curves"):
        first = kept[0]
        if len(kept) > 1:
            first = st.selectbox(t("runs.which"), kept, key=f"which_{job.key}", help=t("runs.which.help"), width=280)
        others = [one for one in others if one != first]
        if others:
            now = state.get("beside")
            st.session_state["runs_beside"] = now if now in others else None
            st.selectbox(
                t("runs.beside"), others, index=None, key="runs_beside", placeholder=t("runs.beside.none"), width=280,
                on_change=lambda: state.put(beside=st.session_state["runs_beside"]), help=t("runs.beside.help"),
            )  # fmt: skip
    names = [first, *([state.get("beside")] if state.get("beside") in others else [])]
    grid.show(lambda: runs.curves([runs.Run(one, histories.read(one)) for one in names]), "run_curve")
    known = {one.name for one in cache.checkpoints()}
    if len(names) == 2 and known.issuperset(names):
        chrome.link("compare", t("runs.compare"), ckpt=names[0], **{"with": names[1]})
