"""The form that starts a training: system, data set and seeds first, then any setting of the model or its recipe."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import streamlit as st

from fusion import jobs
from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache, chrome, kinds, state, using
from pages.parts.chrome import plain
from pages.parts.runs_told import about, made

if TYPE_CHECKING:
    from fusion.settings import Setting
    from pages.parts.kinds import Kind

# What the data or the encoders decide, what has a place of its own in the form, and what only the code can give.
LEFT_OUT = (
    "entities", "relations", "image_width", "text_width", "pooled_width", "shape_width", "regions", "max_length",
    "epochs", "batch", "rate", "minutes", "seed", "text_rate", "noise", "cls_seed",
)  # fmt: skip
FIRST = {"pairs": "gloss", "graph": "emoji", "triples": "keywords", "streams": "emoji-groups"}


def start(arguments: list[str]) -> None:
    """Start a job after those that were queued, and look at it."""
    key = f"{arguments[0]}-{time.strftime('%Y%m%d-%H%M%S')}"
    jobs.start(arguments, key, queue=True)
    state.put(run=key, beside=None, tab=None)
    st.session_state.pop("runs_tabs", None)


def show() -> None:
    """The form, and the button that queues the training."""
    from fusion.models import MODELS

    with st.container(border=True, key="card_start"):
        st.markdown(f"##### {t('runs.start.title')}")
        st.markdown(t("runs.start.tell"))
        left, right = st.columns(2, gap="medium")
        with left:
            names = {key: f"{model.card.name} · {model.card.title}" for key, model in MODELS.items()}
            system = st.selectbox(
                t("fit.system"), list(names), key="start_system", index=list(names).index("late"),
                format_func=names.__getitem__, help=t("runs.start.system.help"),
            )  # fmt: skip
        kind = kinds.READS[MODELS[system].card.tasks[0]]
        with right:
            data = _data(kind)
        wanted = _recipe(kind, system)
        wanted += _settings(kind, system)
        if st.button(t("runs.start"), key="start_go", type="primary"):
            arguments = ["train", system, "--data", data, *wanted]
            _checked(arguments)
            start(arguments)
            st.rerun()
    st.caption(t("runs.start.queue"))
    chrome.link("checkpoints", t("runs.start.fit"), tab="fit")


def _data(kind: Kind) -> str:
    """A data set of the kind that the system reads: a bundled one, or one opened in this visit."""
    from fusion.data import bundled, kind_of

    options = [*bundled(kind)]
    opened = [*st.session_state.get("opened_data", ()), using.data_spec()]
    options += [one for one in dict.fromkeys(opened) if one not in options and kind_of(one) == kind]
    first = using.data_spec() if using.data_spec() in options else FIRST[kind]
    return st.selectbox(
        t("chrome.data"), options, index=options.index(first) if first in options else 0, key=f"start_data_{kind}",
        format_func=lambda one: t(f"data.{one}") if one in bundled(kind) else plain(one, 60),
        help=t("runs.start.data.help"),
    )  # fmt: skip


def _recipe(kind: Kind, system: str) -> list[str]:
    """Name, seeds, epochs, minutes, and rate and batch where they are wanted. -> arguments"""
    usual = _usual_recipe(kind, system)
    made: list[str] = []
    with st.container(horizontal=True, gap="medium", key="start_recipe"):
        name = st.text_input(
            t("fit.name"), key="start_name", placeholder=t("fit.name.none"), max_chars=60, width=260
        ).strip()
        seed = st.number_input(t("runs.start.seed"), 0, 99_999, 37, key="start_seed", width=130,
                               help=t("runs.start.seed.help"))  # fmt: skip
        seeds = 1
        if kind != "pairs":
            seeds = st.number_input(t("runs.start.seeds"), 1, 10, 1, key="start_seeds", width=130,
                                    help=t("runs.start.seeds.help"))  # fmt: skip
        minutes = st.number_input(t("runs.start.minutes"), 1.0, 1440.0, 30.0, 5.0, key="start_minutes", width=150,
                                  format="%.0f", help=t("runs.start.minutes.help"))  # fmt: skip
    made += ["--name", name] if name else []
    made += ["--seed", str(seed), "--minutes", f"{minutes:g}"] + (["--seeds", str(seeds)] if seeds > 1 else [])
    with st.container(horizontal=True, gap="medium", key="start_more"):
        for option, kind_of_number, low, high in (
            ("epochs", int, 1, 100_000), ("batch", int, 2, 1_000_000), ("rate", float, 1e-8, 10.0),
        ):  # fmt: skip
            value = st.number_input(
                t(f"runs.start.{option}"), kind_of_number(low), kind_of_number(high), None, key=f"start_{option}",
                width=170, placeholder=f"{usual[option]:g}",
                format="%.1e" if kind_of_number is float else "%d", help=t(f"runs.start.{option}.help"),
            )  # fmt: skip
            made += [] if value is None else [f"--{option}", f"{value:g}"]
    if kind == "pairs":
        told = t("runs.start.fine_tune.help")
        made += ["--fine-tune"] if st.toggle(t("runs.start.fine_tune"), key="start_fine_tune", help=told) else []
    return made


def _settings(kind: Kind, system: str) -> list[str]:
    """Any other setting that the reader chose to change, as `--set FIELD=VALUE`. -> arguments"""
    known = {one.name: one for one in _described(kind, system)}
    usual = _usual_settings(kind, system)
    chosen = st.multiselect(
        t("runs.start.settings"), list(known), key=f"start_settings_{system}", help=t("runs.start.settings.help"),
        placeholder=t("runs.start.settings.none", count=len(known)),
    )  # fmt: skip
    made: list[str] = []
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom", key="start_settings"):
        for name in chosen:
            value = _setting(system, known[name], usual.get(name, known[name].default))
            made += ["--set", f"{name}={value}"]
    return made


def _setting(system: str, one: Setting, now: Any) -> str:
    """A place for one setting, by its type. -> its value as the command line takes it"""
    key, told = f"start_{system}_{one.name}", t("runs.start.told", told=one.told) if one.told else None
    if one.choices:
        return st.selectbox(one.name, one.choices, index=one.choices.index(now), key=key, help=told, width=220)
    if one.kind is bool:
        return str(st.toggle(one.name, bool(now), key=key, help=told, width=220)).lower()
    if one.kind is str:
        return st.text_input(one.name, str(now), key=key, help=told, width=220)
    whole = one.kind is int
    start = None if now is None else one.kind(now)
    value = st.number_input(one.name, value=start, key=key, help=told, width=220, step=1 if whole else None,
                            format="%d" if whole else "%.4g")  # fmt: skip
    if value is None:
        raise FusionError(t("runs.start.empty", name=one.name))
    return f"{value:g}" if not whole else str(int(value))


def _described(kind: Kind, system: str) -> list[Setting]:
    from fusion.models import MODELS
    from fusion.settings import described

    found = list(described(MODELS[system].Config, LEFT_OUT))
    if kind != "pairs":  # the recipe of pairs has its own options alone
        known = {one.name for one in found}
        found += [one for one in described(type(_usual(kind)), LEFT_OUT) if one.name not in known]
    return found


def _usual(kind: Kind) -> Any:
    """The recipe that a training of this kind starts from."""
    if kind == "pairs":
        from fusion.experiment import RECIPE

        return RECIPE
    if kind == "graph":
        from fusion.alignment.training import AlignmentRecipe

        return AlignmentRecipe()
    if kind == "triples":
        from fusion.links.training import LinkRecipe

        return LinkRecipe()
    from fusion.streams.training import StreamRecipe

    return StreamRecipe()


def _own(system: str) -> dict[str, Any]:
    """What a system of streams wants otherwise than the others, beside its settings."""
    from fusion.models import MODELS

    found = vars(sys.modules[MODELS[system].Config.__module__]).get("RECIPE", {})
    return found if isinstance(found, dict) else {}


def _usual_recipe(kind: Kind, system: str) -> dict[str, Any]:
    return vars(_usual(kind)) | (_own(system) if kind == "streams" else {})


def _usual_settings(kind: Kind, system: str) -> dict[str, Any]:
    """The values that a training of this kind starts from, where they are not those of the field."""
    if kind == "pairs":
        from fusion.experiment import SETTINGS

        return vars(SETTINGS)
    if kind == "graph":
        from fusion.alignment.runs import defaults

        return defaults(system)
    if kind == "triples":
        from fusion.links.runs import DEFAULTS as LINKS

        return LINKS
    return _own(system)


def _checked(arguments: list[str]) -> None:
    """Raises FusionError for a name that is none, or that a checkpoint has already."""
    name = arguments[arguments.index("--name") + 1] if "--name" in arguments else ""
    if any(c in name for c in "/\\") or name.startswith((".", "-")):
        raise FusionError(t("fit.name.wrong", name=plain(name, 60)))
    making = {made(one) for one in jobs.listed() if one.alive and about(one.arguments).verb == "train"}
    if name in {one.name for one in cache.checkpoints()} | making:
        raise FusionError(t("runs.start.taken", name=plain(name, 60)))
