"""The tab Trust of Fusion: which signals follow what removal does, and whether the modalities only add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, grid, state, work
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Hashable

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.explain.additive import Split
    from fusion.trusting import Trusted


def show(checkpoint: Checkpoint, dataset: DataSet) -> None:
    """The table once it is there, else the offer to measure it."""
    from fusion import trusting

    if not trusting.able(checkpoint, dataset):
        st.info(t("trust.unable", name=plain(checkpoint.name, 60)))
        return
    st.markdown(t("trust.tell"))
    found = trusting.stored(checkpoint, dataset)
    if found is None or _running(checkpoint, dataset):
        with st.container(border=True, key="card_trust_offer"):
            if found is None:
                st.markdown(f"**{t('trust.none', name=plain(checkpoint.name, 60))}**")
            before = t("trust.before", count=f"{trusting.size(dataset):,}")
            work.follow(_key(checkpoint, dataset), _arguments(checkpoint, dataset), before, t("work.compute"))
        return
    key = (checkpoint.digest, dataset.digest, repr([one.rho for one in found.rows]))
    _signals(found, key)
    _parts(found, dataset, key)
    with st.expander(t("trust.rules")):
        for rule in trusting.rules():
            st.markdown(rule)
    _again(found, checkpoint, dataset)


def _key(checkpoint: Checkpoint, dataset: DataSet) -> str:
    return f"trust-{checkpoint.digest[:16]}-{dataset.digest[:16]}"


def _arguments(checkpoint: Checkpoint, dataset: DataSet) -> list[str]:
    return ["trust", str(checkpoint.folder), "--data", dataset.spec or dataset.key, "--again", "--json"]


def _running(checkpoint: Checkpoint, dataset: DataSet) -> bool:
    from fusion import jobs

    now = jobs.status(_key(checkpoint, dataset))
    return now is not None and now.state == "running"


def _signals(found: Trusted, key: tuple[Hashable, ...]) -> None:
    """The picture of all signals and their table."""
    from fusion.views import trusted

    grid.show(lambda: cache.made(lambda: trusted.signals(found.rows), "trusted", *key), "trusted")
    if found.rows:
        with st.container(border=True, key="card_trust_table"):
            table = trusted.numbers(found.rows).dropna(axis=1, how="all")  # nobody needs a column of nothing
            columns = table.select_dtypes("float32").columns
            config = {name: st.column_config.NumberColumn(format="%.2f") for name in columns}
            alt = t("views.trusted.alt", count=len(table))
            st.dataframe(table, hide_index=True, key="trusted_rows", column_config=config, alt=alt)


def _parts(found: Trusted, dataset: DataSet, key: tuple[Hashable, ...]) -> None:
    """The model beside its additive projection, for one modality against the rest."""
    from fusion.views import trusted

    if not found.splits:
        if found.lacks:
            st.info(t("trust.lacks", reason=plain(found.lacks, 300)))
        return
    one = _chosen(found)

    def take(mark: Hashable) -> None:
        if isinstance(mark, str):
            state.select(dataset.spec or dataset.key, [mark])

    make = lambda: cache.made(lambda: trusted.added(one), "added", *key, one.modality)  # noqa: E731
    grid.show(make, f"added_{one.modality}", on_pick=take)
    chosen = state.selection()
    if chosen.primary in one.ids and chosen.data == (dataset.spec or dataset.key):
        name = plain(chosen.primary, 40)
        chrome.link("inspect", t("fusion.open", name=name), id=chosen.primary)


def _chosen(found: Trusted) -> Split:
    """The modality that is held against the rest, kept in the address."""
    from fusion.views.speech import say

    options = {one.modality: one for one in found.splits}
    now = state.get("modality") if state.get("modality") in options else next(iter(options))
    if len(options) > 1:
        st.segmented_control(
            t("trust.which"), list(options), key="trust_modality", default=now, required=True, format_func=say,
            on_change=lambda: state.put(modality=st.session_state["trust_modality"]),
        )  # fmt: skip
    return options[now]


def _again(found: Trusted, checkpoint: Checkpoint, dataset: DataSet) -> None:
    """What it was measured on, and the way to measure it with the seeds of now."""
    from fusion import jobs

    beside = t("views.list.comma").join(plain(one, 40) for one in found.beside) or t("trust.alone")
    held = t("trust.held") if found.split else ""
    st.caption(t("trust.n", count=f"{found.n:,}", held=held, data=chrome.data_name(found.data), beside=beside))

    def start() -> None:
        jobs.start(_arguments(checkpoint, dataset), _key(checkpoint, dataset))

    st.button(t("trust.again"), key="trust_again", on_click=start)
