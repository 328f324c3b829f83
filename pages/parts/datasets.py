"""The data sets: what the chosen one holds and lacks, what was wrong with its rows, and a way to open one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion import kept
from fusion.words import t
from pages.parts import cache, chrome, graphs, grid, pickers, state, stream_sets, triples, using, work
from pages.parts.chrome import plain
from pages.parts.matching import CELL

if TYPE_CHECKING:
    from fusion.data import DataSet

SHEET = 12  # pictures on the contact sheet
SHOWN = 500  # problems in the table; the file has all
CARDS = {"graph": graphs.show, "triples": triples.show, "streams": stream_sets.show}


def show() -> None:
    """Everything on the second tab."""
    _choose()
    dataset = chrome.dataset(using.kind_of(using.data_spec()))
    if dataset is not None and dataset.kind != "pairs":
        with chrome.guard("checkpoints.data"):
            CARDS[dataset.kind](dataset)
        with chrome.guard("checkpoints.problems"):
            _problems(dataset)
    elif dataset is not None:
        with st.container(border=True, key="card_data"), chrome.guard("checkpoints.data"):
            _card(dataset)
        with chrome.guard("checkpoints.problems"):
            _problems(dataset)
        with chrome.guard("checkpoints.observed"):
            _observed(dataset)
    with st.container(border=True, key="card_open_data"), chrome.guard("checkpoints.open_data"):
        _open()


def _choose() -> None:
    """The bundled sets and those opened in this visit; choosing one uses it on every page."""
    known = using.offered()
    now = using.data_spec()
    opened = st.session_state.setdefault("opened_data", [])
    if now not in known and now not in opened and using.trusted(now):
        opened.append(now)
    options = [*known, *opened]
    names = {spec: t(f"data.{spec}") if spec in known else chrome.short(spec, 40) for spec in options}
    st.session_state["data_choice"] = now if now in options else None
    st.segmented_control(
        t("checkpoints.data"), options, key="data_choice", required=now in options,
        format_func=names.__getitem__,
        on_change=lambda: using.use_data(st.session_state["data_choice"]),
    )  # fmt: skip


def _card(dataset: DataSet) -> None:
    """Counts, splits, what is missing, where the labels come from, and a contact sheet."""
    splits: dict[str, int] = {}
    for sample in dataset.samples:
        splits[sample.split] = splits.get(sample.split, 0) + 1
    no_image = sum(sample.image() is None for sample in dataset.samples)
    no_text = sum(not sample.text().strip() for sample in dataset.samples)
    pictures = len({str(image.path) for sample in dataset.samples if (image := sample.image()) is not None})
    labelled = sum(sample.target is not None for sample in dataset.samples)
    st.markdown(f"#### {_name(dataset)}")
    with st.container(border=True, horizontal=True, gap="small", key="card_verdict_data"):
        for name, value, below in (
            ("samples", len(dataset), t("checkpoints.data.pictures", count=f"{pictures:,}")),
            ("no_image", no_image, _share(no_image, len(dataset))),
            ("no_text", no_text, _share(no_text, len(dataset))),
            ("labelled", labelled, t(f"checkpoints.data.word.{dataset.word}")),
        ):
            st.metric(
                t(f"checkpoints.data.{name}"), f"{value:,}", below, delta_color="off", delta_arrow="off", width=CELL,
                help=t(f"checkpoints.data.{name}.help"),
            )  # fmt: skip
    if any(splits):
        known = {name: t(f"split.{name}") for name in ("train", "valid", "test")}
        parts = [f"{known.get(name, plain(name, 30))} {count:,}" for name, count in splits.items() if name]
        st.markdown(t("checkpoints.data.splits", parts=t("views.list.comma").join(parts)))
    for note in dataset.notes:
        st.info(plain(note, 600))
    _sheet(dataset)
    with st.container(horizontal=True):
        chrome.link("map", t("checkpoints.data.map"))
        chrome.link("match", t("checkpoints.data.match"))
        if dataset.spec and dataset.spec != dataset.key:
            st.button(
                t("checkpoints.data.again"),
                key="data_again",
                type="tertiary",
                on_click=cache.forget_data,
                args=(dataset.spec,),
            )


def _name(dataset: DataSet) -> str:
    from fusion.data import bundled

    return t(f"data.{dataset.key}") if dataset.key in bundled("pairs") else plain(dataset.name, 80)


def _share(part: int, whole: int) -> str:
    from fusion.views.speech import percent

    return percent(part / whole) if whole else ""


def _sheet(dataset: DataSet) -> None:
    """Twelve samples taken evenly from the whole set, so that one sees what is in it."""
    step = max(1, len(dataset) // SHEET)
    with st.container(horizontal=True, gap="small", key="contact_sheet"):
        for sample in dataset.samples[::step][:SHEET]:
            small = cache.thumbnail(sample.image(), 104)
            if small is not None:
                st.image(small, width=60, alt=sample.text()[:120] or sample.id)


def _problems(dataset: DataSet) -> None:
    """One sentence for each row that was left out or changed."""
    import pandas as pd

    if not dataset.problems:
        st.caption(t("checkpoints.problems.none"))
        return
    table = pd.DataFrame({t("checkpoints.problem"): list(dataset.problems)})
    with st.container(border=True, key="card_problems"):
        st.markdown(f"##### {t('checkpoints.problems', count=f'{len(table):,}')}")
        st.dataframe(
            table.head(SHOWN), hide_index=True, key="problem_rows",
            alt=t("checkpoints.problems.alt", count=len(table), first=dataset.problems[0]),
        )  # fmt: skip
        if len(table) > SHOWN:
            st.caption(t("views.showing", shown=f"{SHOWN:,}", count=f"{len(table):,}"))
        grid.download(table, f"problems-{dataset.key}", "problems_csv")


def _observed(dataset: DataSet) -> None:
    """Whether the checkpoint in use was run over the whole set, and a way to do it."""
    checkpoint = chrome.checkpoint()
    if checkpoint is None:
        return
    seen = cache.observed(checkpoint, dataset)
    if seen is None:
        work.offer(checkpoint, dataset)
        return
    st.success(t("checkpoints.observed", name=plain(checkpoint.name, 60), count=f"{len(seen.frame):,}"))
    failed = seen.frame[seen.frame["problem"] != ""][["id", "problem"]]
    if len(failed):
        st.warning(t("checkpoints.observed.problems", count=f"{len(failed):,}"))
        st.dataframe(failed.head(SHOWN), hide_index=True, key="observed_problems", alt=t("checkpoints.problem"))
        grid.download(failed, f"unread-{dataset.key}", "unread_csv")


def _open() -> None:
    """A table or folder on this machine."""
    st.markdown(f"##### {t('checkpoints.open_data')}")
    st.markdown(t("checkpoints.open_data.tell"))
    asked = state.get("data")
    if asked and not using.trusted(asked) and "open_data_path" not in st.session_state:
        st.session_state["open_data_path"] = asked  # what a link named: opening it is a person's to decide
    path = pickers.path("open_data_path", t("checkpoints.path"), "~/pairs.csv", t("checkpoints.path.none"))
    if not path:
        return
    found = cache.data(path)
    kept.allow(found.spec or path)
    using.use_data(found.spec or path)
    st.rerun()
