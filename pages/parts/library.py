"""The checkpoints found: a table, the card of the chosen one, what it gives when it runs, and two ways to add one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache, chrome, pickers, state, using, work
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from fusion.checkpoints import Checkpoint

LONGEST_CARD = 20_000  # characters
FIGURES = ("f1", "auc", "text_r10", "hits1", "mrr", "accuracy", "mae")  # shown in the table where they were measured
MEGABYTE = 1_000_000


def show() -> None:
    """Everything on the first tab."""
    found = cache.checkpoints()
    names = [one.name for one in found]
    now = state.get("ckpt") or next(iter(names), "")
    if now and now not in names:
        own = chrome.checkpoint()  # one opened by its folder; an unknown one says so
        found = [*found, own] if own is not None else found
    if found:
        chosen = _table(found, now)
        with chrome.guard("checkpoints.card"):
            _card(chosen, now)
    else:
        with st.container(border=True, key="card_none"):
            st.markdown(f"**{t('empty.ckpt')}**")
            st.markdown(t("empty.ckpt.why"))
    with chrome.guard("checkpoints.unreadable"):
        _unreadable()
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, key="card_open", height="stretch"), chrome.guard("checkpoints.open"):
        _open()
    with right, st.container(border=True, key="card_import", height="stretch"), chrome.guard("checkpoints.import"):
        _import()


def _table(found: Sequence[Checkpoint], now: str) -> Checkpoint:
    """All of them. -> the chosen one, at first the one in use"""
    import pandas as pd

    spot = next((i for i, one in enumerate(found) if now in (one.name, str(one.folder))), None)
    measured = [name for name in FIGURES if any(figure(one.metrics, name) is not None for one in found)]
    rows = pd.DataFrame(
        {
            "used": [t("checkpoints.used") if i == spot else "" for i in range(len(found))],
            "name": [one.name for one in found],
            "system": [_system(one) for one in found],
            "data": [one.data for one in found],
            **{name: [figure(one.metrics, name) for one in found] for name in measured},
            "size": [one.size / MEGABYTE for one in found],
            "created": [one.created for one in found],
            "origin": [_origin(one) for one in found],
        }
    )
    kinds = st.column_config
    config: dict[str, object] = {name: kinds.TextColumn(t(f"checkpoints.column.{name}")) for name in rows.columns}
    for name in measured:
        config[name] = kinds.NumberColumn(
            t(f"checkpoints.column.{name}"), help=t(f"checkpoints.column.{name}.help"), format="%.3f"
        )
    config["size"] = kinds.NumberColumn(t("checkpoints.column.size"), format="%.1f MB")
    st.markdown(t("checkpoints.tell", count=len(found)))
    event = st.dataframe(
        rows, hide_index=True, key="checkpoint_rows", on_select="rerun", selection_mode="single-row",
        column_config=config, placeholder="–",
        alt=t("checkpoints.alt", count=len(found), names=", ".join(one.name for one in found[:8])),
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    return found[chosen[0]] if chosen and chosen[0] < len(found) else found[spot or 0]


def _system(one: Checkpoint) -> str:
    from fusion.models import MODELS

    return MODELS[one.model].card.name


def _origin(one: Checkpoint) -> str:
    """Bundled, adopted, or made by the user; "official" only when the checkpoint's own record says so."""
    from fusion.files import ASSETS

    if one.origin.get("official") is True:
        return t("checkpoints.origin.official")
    if one.origin.get("kind") == "adopted":
        return t("checkpoints.origin.adopted")
    return t(
        "checkpoints.origin.bundled" if one.folder.is_relative_to(ASSETS.resolve()) else "checkpoints.origin.yours"
    )


def figure(metrics: Mapping[str, object], name: str) -> float | None:
    """A held-out figure: of the test split where there is one, else at the top; None when it wasn't measured."""
    test = metrics.get("test")
    for where in (test, metrics):
        value = where.get(name) if isinstance(where, dict) else None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return None


def _card(one: Checkpoint, now: str) -> None:
    """What the chosen one is: its use, what it gives when it runs, its card, its files."""
    with st.container(border=True, key="card_checkpoint"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"#### {plain(one.name, 80)}")
            st.space("stretch")
            if now in (one.name, str(one.folder)):
                st.badge(t("checkpoints.used"), color="blue")
            else:
                st.button(
                    t("checkpoints.use"), key="use_checkpoint", type="primary", on_click=using.use_checkpoint,
                    args=(_address(one),),
                )  # fmt: skip
            chrome.link("inspect", t("checkpoints.inspect"), ckpt=_address(one))
        with chrome.guard("checkpoints.probe"):
            _probe(one)
        _facts(one)
        text = card_text(one.card)
        if text:
            st.markdown(text)
        else:
            st.info(t("checkpoints.no_card"))
        figures = flat(one.metrics)
        if len(figures):
            with st.expander(t("checkpoints.figures", count=len(figures))):
                st.dataframe(figures, hide_index=True, key="figures", alt=t("checkpoints.figures", count=len(figures)))


def _address(one: Checkpoint) -> str:
    """What a link calls it: its name below the roots, its folder elsewhere."""
    from fusion import checkpoints as library

    try:
        return one.name if library.find(one.name).folder == one.folder else str(one.folder)
    except FusionError:
        return str(one.folder)


def _probe(one: Checkpoint) -> None:
    """Chips of the kinds of signal that came back when it ran on one photograph, and what it can't show and why."""
    if using.reads_of(one) != "pairs":  # a trial run would read the features of its whole data set first
        from fusion.models import MODELS

        kinds = list(MODELS[one.model].card.shows)
        told = t("checkpoints.promised")
    else:
        photograph = cache.data("gallery").samples[0]
        trace = cache.inspected(one, photograph, None).trace
        kinds = list(dict.fromkeys(type(signal).__name__ for signal in trace))
        told = t("checkpoints.probed", count=len(trace.signals))
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="chips_kinds"):
        for kind in kinds:
            st.badge(t(f"kind.{kind}"), color="gray")
    st.caption(told)


def _facts(one: Checkpoint) -> None:
    """System, encoders, origin, checksum: what one needs to say which model this was."""
    from fusion.models import MODELS

    card = MODELS[one.model].card
    weights = cache.parameters(one)
    rows = {
        "system": f"{card.name}: {card.title}. {card.paper}",
        "encoders": ", ".join(f"{modality} {name}" for modality, name in one.encoders.items()),
        "trained_on": one.data,
        "parameters": f"{weights:,}",
        "origin": _origin(one) + (f" ({one.origin['source']})" if one.origin.get("source") else ""),
        "sha256": one.digest,
        "versions": ", ".join(f"{name} {value}" for name, value in one.versions.items()),
        "folder": str(one.folder),
    }
    lines = [f"| {t(f'checkpoints.fact.{name}')} | {plain(value, 400)} |" for name, value in rows.items() if value]
    with st.expander(t("checkpoints.facts")):
        st.markdown("\n".join(["| | |", "|---|---|", *lines]))


def card_text(card: str) -> str:
    """A card for the page: headings below the page's own, and no picture, since one could be fetched from anywhere."""
    text = card.strip()
    text = text if len(text) <= LONGEST_CARD else text[:LONGEST_CARD] + "…"
    text = "".join(c if c in "\n\t" or (c.isprintable() and not "\ud800" <= c <= "\udfff") else " " for c in text)
    text = text.replace("![", "\\![").replace("<", "&lt;")
    return re.sub(r"^(#{1,6})\s", lambda found: "#" * min(len(found[1]) + 4, 6) + " ", text, flags=re.M)


def flat(metrics: Mapping[str, object]) -> pd.DataFrame:
    """Every figure of a checkpoint as a row: its path in metrics.json and its value."""
    import pandas as pd

    rows: list[tuple[str, str]] = []

    def walk(value: object, path: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, f"{path}.{name}" if path else str(name))
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                walk(inner, f"{path}.{number}")
        else:
            rows.append((path, f"{value:.4g}" if isinstance(value, float) else str(value)))

    walk(dict(metrics), "")
    return pd.DataFrame(rows, columns=[t("checkpoints.figure"), t("checkpoints.value")])


def _unreadable() -> None:
    """Folders that look like a checkpoint and can't be read, each with the reason."""
    from fusion import checkpoints as library

    problems = library.unreadable()
    if problems:
        with st.container(border=True, key="card_unreadable"):
            st.markdown(f"##### {t('checkpoints.unreadable', count=len(problems))}")
            for name, sentence in problems.items():
                st.warning(f"**{plain(name, 80)}** {plain(sentence, 600)}")


def _open() -> None:
    """A folder on this machine, read in full before it is used."""
    st.markdown(f"##### {t('checkpoints.open')}")
    st.markdown(t("checkpoints.open.tell"))
    path = pickers.path("open_path", t("checkpoints.folder"), "~/checkpoints/mine", t("checkpoints.folder.none"))
    if not path:
        return
    folder = Path(path).expanduser()
    from fusion import checkpoints as library
    from fusion import kept

    if not (folder / "config.json").is_file() and (folder / "pytorch_model.bin").is_file():
        raise FusionError(t("checkpoints.open.official"))
    found = library.read(folder)
    cache.parameters(found)  # a folder that can be read may still not load
    kept.allow(str(found.folder))
    using.use_checkpoint(str(found.folder))
    st.rerun()


def _import() -> None:
    """An official MAF folder becomes a checkpoint of ours, in a process of its own."""
    from fusion.files import digest

    st.markdown(f"##### {t('checkpoints.import')}")
    st.markdown(t("checkpoints.import.tell"))
    path = st.text_input(t("checkpoints.folder"), key="import_path", placeholder="~/MAF/output/twitter2015")
    words = st.text_input(t("checkpoints.vocabulary"), key="import_words", help=t("checkpoints.vocabulary.help"))
    if not path.strip():
        st.button(t("checkpoints.import.do"), key="import_nothing", disabled=True)
        return
    source = Path(path.strip()).expanduser()
    if not (source / "pytorch_model.bin").is_file():
        raise FusionError(t("checkpoints.import.none", path=plain(path, 120)))
    arguments = ["adopt", str(source.resolve()), "--json"]
    arguments += ["--vocab", str(Path(words.strip()).expanduser().resolve())] if words.strip() else []
    work.follow(
        f"adopt-{digest(*arguments)[:16]}", arguments, t("checkpoints.import.before"), t("checkpoints.import.do"),
        lambda: _imported(source.resolve().name),
    )  # fmt: skip


def _imported(name: str) -> None:
    st.success(t("checkpoints.imported", name=plain(name, 80)))
    if state.get("ckpt") != name:
        st.button(
            t("chrome.use", name=plain(name, 40)),
            key="use_imported",
            type="primary",
            on_click=using.use_checkpoint,
            args=(name,),
        )
