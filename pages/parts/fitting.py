"""Fitting a shared space from a page: which views, by which system and how; a job does it, and the result is a link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from fusion import jobs, kept
from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache, chrome, using, work
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES = ("data", "signals", "file")
SYSTEMS = ("mcca", "kcca")
KERNELS = ("rbf", "linear", "polynomial")
COMPONENTS = 16  # at first
MOST = 512  # components
STRENGTH = 0.1  # ridge at first, where it is not chosen
SHOWN = "fit_started"  # the fit that this visit started last


@dataclass(frozen=True)
class Fit:
    """What is to be fitted, and what the result is called."""

    system: str
    data: str  # as the command line takes it
    name: str
    settings: tuple[str, ...]  # FIELD=VALUE each

    @property
    def arguments(self) -> list[str]:
        """Of `python -m fusion`."""
        chosen = [part for one in self.settings for part in ("--set", one)]
        return ["train", self.system, "--data", self.data, "--name", self.name, *chosen]

    @property
    def key(self) -> str:
        """Of its job."""
        from fusion.files import digest

        return f"fit-{digest(*self.arguments)[:16]}"


def show() -> None:
    """The form, and how the fit that was started stands."""
    with st.container(border=True, key="card_fit"):
        st.markdown(f"##### {t('fit.title')}")
        st.markdown(t("fit.tell"))
        with chrome.guard("fit.title"):
            _form()
    started = st.session_state.get(SHOWN)
    if isinstance(started, Fit):
        with st.container(border=True, key="card_fit_run"), chrome.guard("fit.running"):
            _followed(started)


def _form() -> None:
    st.segmented_control(
        t("fit.views"), SOURCES, key="fit_source", default=None if "fit_source" in st.session_state else "data",
        required=True, format_func=lambda one: t(f"fit.views.{one}"), help=t("fit.views.help"),
    )  # fmt: skip
    source = st.session_state.get("fit_source") or "data"
    views = {"data": _data, "signals": _signals, "file": _file}[source]()
    left, right = st.columns(2, gap="medium")
    with left:
        system = st.segmented_control(
            t("fit.system"), SYSTEMS, key="fit_system", default="mcca", required=True, format_func=str.upper,
            help=t("fit.system.help"),
        )  # fmt: skip
        components = st.number_input(
            t("fit.components"), 1, MOST, COMPONENTS, key="fit_components", help=t("fit.components.help")
        )
    with right:
        kernel = ""
        if system == "kcca":
            kernel = st.segmented_control(
                t("fit.kernel"), KERNELS, key="fit_kernel", default="rbf", required=True, help=t("fit.kernel.help"),
                format_func=lambda one: t(f"fit.kernel.{one}"),
            )  # fmt: skip
        by = st.segmented_control(
            t("fit.ridge"), ("valid", "number"), key="fit_ridge", default="valid", required=True,
            format_func=lambda one: t(f"fit.ridge.{one}"), help=t("fit.ridge.help"),
        )  # fmt: skip
        ridge = None
        if by == "number":
            ridge = st.number_input(t("fit.ridge.value"), 0.0, 1.0, STRENGTH, 0.01, key="fit_strength", format="%.4g")
    name = st.text_input(t("fit.name"), key="fit_name", placeholder=t("fit.name.none"), max_chars=60).strip()
    if st.button(t("fit.start"), key="fit_start", type="primary"):
        made = asked(system or "mcca", views, int(components), ridge, kernel or "", name)
        jobs.start(made.arguments, made.key)
        st.session_state[SHOWN] = made
        st.rerun()


def _data() -> str:
    """A data set whose samples have two modalities or more: a bundled one, or one opened in this visit."""
    from fusion.data import DATASETS, FETCHED

    opened = [one for one in st.session_state.get("opened_data", ()) if not one.startswith("signals:")]
    options = [*DATASETS, *(one for one in opened if one not in (*DATASETS, *FETCHED))]
    now = using.data_spec()
    if now in FETCHED:
        options.append(now)
    chosen = st.selectbox(
        t("fit.data"), options, index=options.index(now) if now in options else 0, key="fit_data",
        format_func=lambda one: t(f"data.{one}") if one in DATASETS else plain(one, 60),
    )  # fmt: skip
    return chosen or ""


def _signals() -> str:
    """The embeddings that a checkpoint makes of its own data set."""
    names = [one.name for one in cache.checkpoints() if not one.data.startswith("signals:")]
    now = using.quiet()
    chosen = st.selectbox(
        t("fit.checkpoint"), names, key="fit_checkpoint", help=t("fit.checkpoint.help"),
        index=names.index(now.name) if now is not None and now.name in names else 0,
    )  # fmt: skip
    return f"signals:{chosen}" if chosen else ""


def _file() -> str:
    """Tables of features in a file on this machine, looked at when the fit is started."""
    path = st.text_input(t("fit.file"), key="fit_file", placeholder="~/views.npz", help=t("fit.file.help")).strip()
    return f"views:{path.removeprefix('views:')}" if path else ""


def asked(system: str, views: str, components: int, ridge: float | None, kernel: str, name: str) -> Fit:
    """The fit of some choices. Raises FusionError where there are no views, or where settings don't go together."""
    from fusion.data import kind_of
    from fusion.models import MODELS

    if not views:
        raise FusionError(t("fit.none"))
    if any(c in name for c in "/\\") or name.startswith((".", "-")):
        raise FusionError(t("fit.name.wrong", name=plain(name, 60)))
    checked: dict[str, object] = {"components": components}
    settings = [f"components={components}"]
    if kernel:
        checked["kernel"] = (kernel,)
        settings.append(f"kernel={kernel}")
    if ridge is not None:
        checked["c"] = (ridge,)
        settings.append(f"c={ridge:g}")
    MODELS[system].Config(**checked)  # refuses at once what the job would refuse in some seconds
    if views.startswith("views:"):
        found = cache.data(views)  # a file typed by hand: read before it is trusted
        kept.allow(found.spec or views)
        views = found.spec or views
    elif kind_of(views) != "streams":
        views = f"views:{views}"
    return Fit(system, views, name or _called(system, views, settings), tuple(settings))


def _called(system: str, views: str, settings: Sequence[str]) -> str:
    """A name from the choices: the same choices have the same one."""
    prefix, _, rest = views.rpartition(":")
    stem = rest.rstrip("/").rpartition("/")[2].rpartition(".")[0] or rest if "/" in rest else rest
    plain_stem = "".join(c if c.isalnum() or c in "_-" else "-" for c in stem)[:40].strip("-") or "views"
    own = [one.partition("=")[::2] for one in settings]
    usual = {"components": str(COMPONENTS), "kernel": KERNELS[0]}
    told = [("k" if k == "components" else "c" if k == "c" else "") + v for k, v in own if usual.get(k) != v]
    return "-".join([system, *(["of"] if prefix == "signals" else []), plain_stem, *told])


def _followed(fit: Fit) -> None:
    """How it stands: progress, why it failed, or the way on."""
    st.markdown(f"**{plain(fit.name, 80)}**")
    work.follow(fit.key, fit.arguments, t("fit.again"), t("fit.start"), lambda: _made(fit))


def _made(fit: Fit) -> None:
    st.success(t("fit.made", name=plain(fit.name, 80)))
    with st.container(horizontal=True):
        chrome.link("fusion", t("fit.fusion"), ckpt=fit.name, data=fit.data, tab="space")
        chrome.link("map", t("fit.map"), ckpt=fit.name, data=fit.data)
        chrome.link("inspect", t("fit.inspect"), ckpt=fit.name, data=fit.data)
