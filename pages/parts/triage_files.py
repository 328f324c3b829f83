"""What leaves Triage and comes back: verdicts, ranked rows and a manifest without what is wrong; verdicts of others."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache, chrome, state, triage_list
from pages.parts.chrome import guard, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from pages.parts.triage_run import Opened

KINDS = {"csv": "text/csv", "jsonl": "application/jsonl", "parquet": "application/vnd.apache.parquet"}
MOST = 100_000  # rows that go through a browser; the command line writes any number
LOADED = "triage_loaded"  # what the last import brought


def show(opened: Opened) -> None:
    """Three cards: verdicts out, rows and manifest out, verdicts in."""
    with st.container(border=True, key="card_verdicts_out"), guard("queue.files.verdicts"):
        _verdicts(opened)
    with st.container(border=True, key="card_cleaned"), guard("queue.files.cleaned"):
        _cleaned(opened)
    with st.container(border=True, key="card_rows_out"), guard("queue.files.rows"):
        _rows(opened)
    with st.container(border=True, key="card_verdicts_in"), guard("queue.files.load"):
        _load(opened)
    with st.container(border=True, key="card_where"), guard("queue.files.where"):
        st.markdown(f"##### {t('queue.files.where')}")
        st.markdown(t("queue.files.where.tell"))
        st.code(str(opened.folder), language=None, wrap_lines=True)
        problems = int(opened.store.meta.get("problems") or 0)
        left_out = int(opened.store.meta.get("left_out_count") or 0)
        if problems or left_out:
            st.warning(t("queue.files.problems", problems=f"{problems:,}", left_out=f"{left_out:,}"))
            for sentence in (opened.store.meta.get("left_out") or [])[:10]:
                st.caption(plain(str(sentence), 200))


def _verdicts(opened: Opened) -> None:
    count = len(opened.decided())
    st.markdown(f"##### {t('queue.files.verdicts')}")
    st.markdown(t("queue.files.verdicts.tell", count=f"{count:,}"))
    history = st.toggle(t("queue.files.history"), key="triage_history_out", help=t("queue.files.history.help"))
    _downloads("verdicts", lambda path: opened.verdicts().export(path, history=history), disabled=not count)


def _cleaned(opened: Opened) -> None:
    st.markdown(f"##### {t('queue.files.cleaned')}")
    from fusion.triage.cleaning import belongs, obstacle

    wrong = len(opened.verdicts().ids("mismatch"))
    st.markdown(t("queue.files.cleaned.tell", count=f"{wrong:,}"))
    if opened.kind == "pairs":
        place = belongs(opened.store)
        whose = "beside" if opened.store.meta.get("manifest_digest") else "within"
        st.caption(t(f"queue.files.cleaned.{'whole' if place is None else whose}"))
    cannot = {kind: cache.made(lambda kind=kind: obstacle(opened.store, f".{kind}"), *_stamp(opened), kind)
              for kind in KINDS}  # fmt: skip
    for sentence in dict.fromkeys(filter(None, cannot.values())):
        st.warning(plain(sentence, 400))
    _downloads("cleaned", lambda path: opened.verdicts().cleaned(opened.store, path, placed=True),
               but=[kind for kind, sentence in cannot.items() if sentence])  # fmt: skip


def _rows(opened: Opened) -> None:
    from fusion.triage import tables

    listing = triage_list.frozen(opened)
    count = listing.count
    st.markdown(f"##### {t('queue.files.rows')}")
    st.markdown(t("queue.files.rows.tell", count=f"{count:,}"))
    if count > MOST:
        st.caption(t("queue.files.rows.many", most=f"{MOST:,}"))
    _downloads(
        "rows", lambda path: tables.write(triage_list.rows(opened, listing, 0, count), path),
        disabled=not 0 < count <= MOST,
    )  # fmt: skip


def _stamp(opened: Opened) -> tuple[Hashable, ...]:
    """Of the manifest as it lies there now."""
    path = Path(str(opened.store.meta.get("data", ""))).expanduser()
    there = path.stat() if path.is_file() else None
    return "obstacle", opened.token, None if there is None else (there.st_size, there.st_mtime_ns)


def _downloads(name: str, write: Callable[[Path], object], *, disabled: bool = False, but: Sequence[str] = ()) -> None:
    """A button a kind of file, disabled for those in `but`; the file is made when it is asked for."""

    def made(kind: str) -> bytes:
        chrome.speak()  # it runs in a thread of its own
        with tempfile.TemporaryDirectory(prefix="triage-") as place:
            path = Path(place) / f"{name}.{kind}"
            write(path)
            return path.read_bytes()

    with st.container(horizontal=True, gap="small", key=f"triage_get_{name}"):
        for kind, mime in KINDS.items():
            st.download_button(
                kind.upper(), data=lambda kind=kind: made(kind), file_name=f"{name}.{kind}", mime=mime,
                key=f"triage_{name}_{kind}", on_click="ignore",
                disabled=disabled or kind in but,
            )  # fmt: skip


def _load(opened: Opened) -> None:
    """Verdicts of another machine or of a list of ids: added to those here, none twice."""
    st.markdown(f"##### {t('queue.files.load')}")
    st.markdown(t("queue.files.load.tell"))
    told = st.session_state.get(LOADED)
    if told is not None and told[0] == opened.token:
        (st.success if told[1] else st.error)(plain(told[2], 600))
    key = f"triage_file_{st.session_state.get('triage_files', 0)}"
    file = st.file_uploader(t("queue.files.file"), type=list(KINDS), key=key)
    st.button(t("queue.files.add"), key="triage_load", type="primary", disabled=file is None, on_click=_add,
              args=(opened, key))  # fmt: skip


def _add(opened: Opened, key: str) -> None:
    """Take what was uploaded; what came of it is said on the page."""
    file = st.session_state[key]
    if file is None:
        return
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / f"verdicts.{file.name.rpartition('.')[2].lower()}"
        path.write_bytes(file.getvalue())
        try:
            new, unknown = opened.verdicts(state.get("who")).load(path, opened.store)
        except FusionError as error:
            st.session_state[LOADED] = (opened.token, False, str(error))
            return
    st.session_state["triage_files"] = st.session_state.get("triage_files", 0) + 1  # the file was taken
    said = t("queue.files.loaded", count=f"{new:,}")
    if unknown:
        said += " " + t("queue.files.unknown", count=f"{unknown:,}")
    st.session_state[LOADED] = (opened.token, True, said)
