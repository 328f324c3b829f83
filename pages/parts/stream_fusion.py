"""The Fusion page for systems that read streams: what is kept as data go missing, and what weights mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.streams.summing import correlated, held_out, of_samples, worth_of
from fusion.words import t
from pages.parts import (
    cache,
    chrome,
    grid,
    recent,
    side_by_side,
    state,
    stream_figures,
    stream_space,
    tabs,
    trusting,
    work,
)
from pages.parts.chrome import guard, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.views import Picture
    from fusion.views.faithful import Line


def show() -> None:
    """The tabs: three are of the checkpoint's own figures, two need the whole set."""
    dataset, checkpoint = chrome.dataset("streams"), chrome.checkpoint()
    if dataset is None or checkpoint is None:
        return
    recent.note("fusion", checkpoint, dataset)
    page = Fusing(checkpoint, dataset)
    own = {"space": stream_space.show} if stream_space.kept(checkpoint) else {}
    offered = own | SPACES if stream_figures.unanswered(checkpoint) else own | TABS | SPACES
    key, place = tabs.opened("fusing", list(offered))
    with place, guard(f"fusing.tab.{key}"):
        offered[key](page)


class Fusing:
    """A checkpoint with its figures; each picture is made once and kept."""

    def __init__(self, checkpoint: Checkpoint, dataset: DataSet) -> None:
        self.checkpoint, self.dataset = checkpoint, dataset
        self.figure = stream_figures.main(checkpoint)

    def show(self, make: Callable[[], Picture], *name: Hashable) -> None:
        """A picture under a name, made once for the same figures."""
        key = (self.checkpoint.digest, str(self.checkpoint.folder), self.checkpoint.created, self.dataset.digest)
        grid.show(lambda: cache.made(make, "fusing", *key, *name), "fusing_" + "_".join(map(str, name)))

    def measured(self) -> bool:
        """Whether there are figures; said where there are none, and of which data set they are."""
        if not self.figure:
            st.info(t("fusing.unmeasured", name=plain(self.checkpoint.name, 60)))
            return False
        if self.checkpoint.data != (self.dataset.spec or self.dataset.key):
            st.info(t("fusing.elsewhere", data=chrome.data_name(self.checkpoint.data)))
        return True


# Figures that the checkpoint keeps


def missing(page: Fusing) -> None:
    """The main figure as more goes missing, beside other checkpoints of the same data set."""
    from fusion.views import missing as views

    options = stream_figures.hidden(page.checkpoint)
    if not page.measured():
        return
    if not options:
        st.info(t("views.missing.none"))
        return
    what = chosen(options, "fusing.what", "what")
    others = stream_figures.others(page.checkpoint)
    runs = stream_figures.runs_beside(page.checkpoint, what)
    page.show(lambda: views.curves(runs, what=what, figure=page.figure), "missing", what, *(o.digest for o in others))
    if not others:
        st.caption(t("fusing.alone", data=chrome.data_name(page.checkpoint.data)))
    if page.figure == "mae":
        st.caption(t("fusing.mae"))


def chosen(options: Sequence[str], label: str, name: str) -> str:
    """One of some things that can be hidden, kept in the address under a name."""
    from fusion.views.speech import say

    now = state.get(name) if state.get(name) in options else options[0]
    key = f"fusing_{name}"
    words = {"modalities": t("fusing.what.modalities"), "steps": t("fusing.what.steps")}
    st.segmented_control(
        t(label), options, key=key, default=now, required=True, help=t("fusing.what.help"),
        format_func=lambda one: words.get(one) or t("fusing.what.one", name=say(one)),
        on_change=lambda: state.put(**{name: st.session_state[key]}),
    )  # fmt: skip
    return now


def subsets(page: Fusing) -> None:
    """The main figure with each subset of the modalities alone, and from nothing."""
    from fusion.views import missing as views

    if not page.measured():
        return
    found, nothing = stream_figures.subsets_of(page.checkpoint)
    if not found or nothing is None:
        st.info(t("views.missing.none"))
        return
    names = stream_figures.modalities_of(page.checkpoint)
    sure = stream_figures.interval_of(page.checkpoint)
    page.show(lambda: views.subsets(found, names, figure=page.figure, nothing=nothing, interval=sure), "subsets")


def beside(page: Fusing) -> None:
    """Figures beside those of the baselines, and how far ours is above each."""
    from fusion.views import faithful

    if not page.measured():
        return
    metrics = page.checkpoint.metrics
    margins = metrics.get("margin")
    lines = _margins(margins if isinstance(margins, dict) else {}, int(stream_figures.test_of(page.checkpoint)["n"]))
    if lines:
        clear = [one for one in lines if one.low > 0]
        below = [plain(one.name, 60) for one in lines if one.low <= 0]
        told = t("fusing.beside.all", count=len(lines)) if not below else t(
            "fusing.beside.some", above=len(clear), count=len(lines), names=t("views.list.comma").join(below)
        )  # fmt: skip
        st.markdown(told)
        least, most = min(0.0, *(one.low for one in lines)), max(0.0, *(one.high for one in lines))
        room = 0.1 * (most - least) or 1.0
        page.show(
            lambda: faithful.lines(
                lines, key="margin", title=t("fusing.margin.title"), axis=t(f"fusing.margin.axis.{page.figure}"),
                neutral=0.0, span=(least - room, most + room), shows=t("fusing.margin.shows"),
                hides=t("fusing.margin.hides"),
            ),
            "margin",
        )  # fmt: skip
    else:
        st.info(t("fusing.beside.none"))
    with st.container(border=True, key="card_beside"):
        st.markdown(f"##### {t('fusing.table')}")
        table = compared(page.checkpoint)
        st.dataframe(table, hide_index=True, key="beside_rows", alt=t("fusing.table.alt", count=len(table)))
        st.caption(t("fusing.table.tell"))
        grid.download(table, "baselines", "csv_beside")


def _margins(table: dict[str, object], count: int) -> list[Line]:
    from fusion.views.faithful import Line

    found = []
    for key, one in table.items():
        value, low, high = (stream_figures.number(one, name) for name in ("value", "low", "high"))
        if value is not None and low is not None and high is not None:
            found.append(Line(called(key), value, low, high, count))
    return found


def called(key: str) -> str:
    """What a reader calls a baseline: a system by its name, the answer from nothing, or a ridge map of modalities."""
    from fusion.models import MODELS
    from fusion.views.speech import say

    if key in MODELS:
        return MODELS[key].card.name
    if key == "nothing":
        return t("fusing.beside.nothing")
    return t("fusing.beside.ridge", names=t("views.list.plus").join(say(m) for m in key.split("+")))


def compared(found: Checkpoint) -> pd.DataFrame:
    """Figures of ours and of the baselines: means over seeds with the lowest and the highest, and areas where known."""
    import pandas as pd

    from fusion.models import MODELS

    test = stream_figures.test_of(found)
    columns = [name for name in stream_figures.BESIDE if stream_figures.number(test, name) is not None]
    metrics = found.metrics
    baselines = metrics.get("baselines")
    rows = {MODELS[found.model].card.name: stream_figures.runs_of(metrics.get("seeds")) or [test]}
    rows |= {called(key): stream_figures.runs_of(runs) for key, runs in (baselines or {}).items()}
    areas, half = ({called(k): v for k, v in table.items()} if isinstance(table, dict) else {}
                   for table in (metrics.get("areas"), metrics.get("half_missing")))  # fmt: skip
    sign = stream_figures.TURNED.get(stream_figures.main(found), 1.0)
    made = []
    for name, runs in rows.items():
        row = {t("views.axis.system"): name, t("fusing.seeds"): len(runs)}
        row |= {t(f"fusing.figure.{c}"): _mean([stream_figures.number(one, c) for one in runs]) for c in columns}
        for label, table in (("fusing.area", areas), ("fusing.half", half)):
            if table:
                row[t(label)] = _mean([sign * v for v in stream_figures.numbers(table.get(name))])
        made.append(row)
    return pd.DataFrame(made)


def _mean(values: Sequence[float | None]) -> str:
    """ "0.712 (0.70 to 0.73)", the plain number for one, a dash for none."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean = f"{sum(known) / len(known):.3f}"
    return mean if len(known) < 2 else t("fusing.several", mean=mean, low=f"{min(known):.3f}", high=f"{max(known):.3f}")


# What the whole set says


def weights(page: Fusing) -> None:
    """Weights and gates as modalities vanish, and weights beside the worth that answers have from each modality."""
    from fusion.views import combined
    from fusion.views import missing as views

    found = work.streamed("fusion")
    if found is None:
        return
    whole, frame = found[2], held_out(found[2])
    shares, mean = worth_of(whole, frame)
    page.show(lambda: combined.worth(shares, mean), "worth")
    if not mean:
        st.info(t("fusing.weightless"))
    else:
        lines = correlated(whole, frame)
        if lines:
            page.show(lambda: _correlations(lines), "meaning")
        else:
            st.info(t("fusing.constant"))
    if whole.followed:
        from fusion.streams.whole import RATES

        what = chosen(list(whole.followed), "fusing.vanishing", "modality")
        st.caption(t("fusing.followed"))
        for name, table in whole.followed[what].items():
            page.show(lambda name=name, table=table: views.followed(name, table, RATES, what), "followed", what, name)


def _correlations(lines: list[Line]) -> Picture:
    from fusion.views import faithful

    return faithful.lines(
        lines, key="meaning", title=t("fusing.meaning.title"), axis=t("fusing.meaning.axis"), neutral=0.0,
        span=(-1.0, 1.0), shows=t("fusing.meaning.shows"), hides=t("fusing.meaning.hides"),
    )  # fmt: skip


def combine(page: Fusing) -> None:
    """How many samples combine their modalities in which way, and how good the answers are there."""
    from fusion.views import combined

    found = work.streamed("fusion")
    if found is None:
        return
    whole, frame = found[2], held_out(found[2])
    figure = "accuracy" if whole.classes else "mae"
    counts = {str(name): int(count) for name, count in frame["badge"].value_counts().items()}
    lines = {name: line for name in counts if (line := of_samples(whole, frame[frame["badge"] == name])) is not None}
    page.show(lambda: combined.badges(counts, lines, t(f"views.missing.figure.{figure}")), "badges")
    st.markdown(t("fusing.rule"))
    opposed = frame["opposed"].to_numpy(bool)
    chrome.link("match", t("fusing.opposed", count=f"{int(opposed.sum()):,}", all=f"{len(frame):,}"))


SPACES = {"spaces": lambda page: side_by_side.show(page.checkpoint, page.dataset)}
TABS = {
    "missing": missing, "subsets": subsets, "weights": weights, "combine": combine,
    "trust": lambda page: trusting.show(page.checkpoint, page.dataset), "beside": beside,
}  # fmt: skip
