"""The Match page for systems that read streams: samples whose modalities disagree, and whether that finds errors."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import cache, grid, state, stream_rows, tabs, work
from pages.parts.chrome import guard, plain
from pages.parts.stream_fusion import of_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.metrics.intervals import Interval
    from fusion.streams.whole import StreamedSet
    from fusion.views import Picture
    from fusion.views.faithful import Line

TABS = ("disagree", "errors")
SPLITS = ("test", "valid", "train", "")
SORTS = ("conflict", "loss")
CELL = 150  # pixels of one number: five in a row, two on a phone
LEAST = 4  # samples below which nothing is counted
FEW = 5  # wrong or right ones below which no AUC is told
PARTS = 5  # groups of equal size, from the least to the most disagreement


def show() -> None:
    """Everything below the heading, once the whole set was run."""
    found = work.streamed("match")
    if found is None:
        return
    checkpoint, dataset, whole = found
    if not whole.answers:
        st.info(t("streams.unlabelled", name=plain(checkpoint.name, 60)))
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="triage_controls"):
        split = _split(whole)
        frame = whole.frame if split == "all" else whole.frame[whole.frame["split"] == split]
        badge, named, sort = _badge(frame), _class(whole, frame), _sort()
    if len(frame) < LEAST:
        st.info(t("empty.few", n=LEAST, m=len(frame)))
        return
    page = Triage(checkpoint, dataset, whole, frame, split)
    with guard("match.strip"):
        page.strip()
    name, place = tabs.opened("triage", TABS)
    with place, guard(f"triage.tab.{name}"):
        if name == "errors":
            page.errors()
        else:
            page.disagree(badge, named, sort)


def _split(whole: StreamedSet) -> str:
    """The split to look at: the samples to test at first, since a model agrees with what it was trained on."""
    counts = {name or "none": int((whole.frame["split"] == name).sum()) for name in SPLITS}
    options = [name for name in counts if counts[name] and name != "none"]
    if len(options) < 2:
        return "all"
    options.append("all")
    counts["all"] = len(whole.frame)
    now = state.get("split") if state.get("split") in options else options[0]
    words = {"all": t("triage.all")} | {name: t(f"split.{name}") for name in options if name != "all"}
    names = {name: t("match.split.option", name=words[name], count=f"{counts[name]:,}") for name in options}
    st.segmented_control(
        t("triage.split"), options, key="triage_split", default=now, required=True, help=t("triage.split.help"),
        format_func=names.__getitem__, on_change=lambda: state.put(split=st.session_state["triage_split"]),
    )  # fmt: skip
    return now


def _pick(name: str, label: str, options: Sequence[str], told: Callable[[str], str], help: str | None = None) -> str:
    """One of some values, kept in the address under a name; the first means all of them."""
    key = f"triage_{name}"
    now = state.get(name)
    st.session_state[key] = now if now in options else options[0]  # its label follows the language
    st.selectbox(
        label, options, key=key, width=260, format_func=told, help=help,
        on_change=lambda: state.put(**{name: st.session_state[key] if st.session_state[key] != options[0] else None}),
    )  # fmt: skip
    return st.session_state[key]


def _badge(frame: pd.DataFrame) -> str:
    counts = frame["badge"].value_counts()
    options = ["all", *(str(name) for name in counts.index)]
    if bool(frame["opposed"].any()):
        options.append("opposed")

    def words(one: str) -> str:
        if one in ("all", "opposed"):
            return t(f"triage.{one}")
        return t("match.split.option", name=t(f"verdict.badge.{one}"), count=f"{int(counts[one]):,}")

    return _pick("badge", t("triage.badge"), options, words, t("triage.badge.help"))


def _class(whole: StreamedSet, frame: pd.DataFrame) -> str:
    """A true class, or the part of the scale that was answered."""
    column = "target" if whole.classes else "said"
    found = [one for one in dict.fromkeys(frame[column].dropna().tolist()) if one]
    if len(found) < 2:
        return "all"
    options = ["all", *sorted(found, key=whole.classes.index if whole.classes else str)]
    words = lambda one: t("triage.all") if one == "all" else one if whole.classes else t(f"scale.{one}")  # noqa: E731
    return _pick("class", t("triage.class" if whole.classes else "triage.part"), options, words)


def _sort() -> str:
    return _pick("sort", t("match.sort"), SORTS, lambda one: t(f"triage.sort.{one}"))


class Triage:
    """The samples of one split under a checkpoint."""

    def __init__(
        self, checkpoint: Checkpoint, dataset: DataSet, whole: StreamedSet, frame: pd.DataFrame, split: str
    ) -> None:
        self.dataset, self.whole, self.frame = dataset, whole, frame
        self.key = (checkpoint.digest, dataset.digest, split)

    def show(self, make: Callable[[], Picture], *name: Hashable) -> None:
        """A picture, made once for the same samples."""
        grid.show(lambda: cache.made(make, "triage", *self.key, *name), "triage_" + "_".join(map(str, name)))

    @property
    def found(self) -> tuple[Interval | None, int, int]:
        """AUC of disagreement against wrong answers with its interval (None of too few), how many are wrong, right."""
        return cache.made(lambda: finds(self.whole, self.frame, "conflict"), "triage_auc", *self.key)

    def strip(self) -> None:
        """How many samples, how good the answers, how many disagree, and how well disagreement finds errors."""
        from fusion.views.speech import num, percent

        frame, count = self.frame, len(self.frame)
        main = of_samples(self.whole, frame)
        figure = "accuracy" if self.whole.classes else "mae"
        opposed, conflict = int(frame["opposed"].sum()), int((frame["badge"] == "conflict").sum())
        auc, wrong, right = self.found
        between = lambda one: t("linking.interval", low=num(round(one.low, 3)), high=num(round(one.high, 3)))  # noqa: E731
        cells = [
            ("count", f"{count:,}", None),
            (figure, "–" if main is None else num(round(main.value, 3)), None if main is None else between(main)),
            ("opposed", f"{opposed:,}", percent(opposed / count)),
            ("conflict", f"{conflict:,}", percent(conflict / count)),
            ("auc", "–" if auc is None else num(round(auc.value, 3)),
             t("triage.few", wrong=wrong, right=right) if auc is None else between(auc)),
        ]  # fmt: skip
        with st.container(border=True, horizontal=True, gap="small", key="card_verdict_triage"):
            for name, value, below in cells:
                told = f"triage.auc.help.{figure}" if name == "auc" else f"triage.{name}.help"
                st.metric(
                    t(f"triage.{name}"), value, below, delta_color="off", delta_arrow="off", width=CELL, help=t(told)
                )

    def disagree(self, badge: str, named: str, sort: str) -> None:
        """The samples of a badge and a class, those that disagree most or are answered worst first."""
        frame = self.frame
        if badge == "opposed":
            frame = frame[frame["opposed"].astype(bool)]
        elif badge != "all":
            frame = frame[frame["badge"] == badge]
        if named != "all":
            frame = frame[frame["target" if self.whole.classes else "said"] == named]
        if not len(frame):
            st.info(t("triage.none"))
            return
        by = ["loss", "conflict"] if sort == "loss" else ["conflict", "opposed", "loss"]
        frame = frame.sort_values(by, ascending=False, na_position="last", kind="stable")
        st.markdown(t("triage.tell", count=f"{len(frame):,}", all=f"{len(self.frame):,}"))
        stream_rows.show(self.dataset, self.whole, frame, "triage_rows")
        st.caption(t("fusing.rule"))

    def errors(self) -> None:
        """Does disagreement find errors? A number for each sign of trouble, and the figure by how far they disagree."""
        from fusion.views import faithful

        figure = "accuracy" if self.whole.classes else "mae"
        st.markdown(t(f"triage.wrong.{figure}"))
        lines = self.signs()
        if not self.whole.classes and (told := ranked(self.frame)):
            st.markdown(told)
        if lines:
            st.markdown(verdict(lines[0]))
            make = lambda: faithful.lines(  # noqa: E731
                lines, key="finds", title=t("triage.finds.title"), axis=t("triage.finds.axis"), neutral=0.5,
                shows=t("triage.finds.shows"), hides=t("triage.finds.hides"),
            )  # fmt: skip
            self.show(make, "finds")
        else:
            _, wrong, right = self.found
            st.info(t("triage.finds.few", n=FEW, wrong=wrong, right=right))
        groups = self.groups()
        if len(groups) > 1:
            most = 1.0 if self.whole.classes else 1.1 * max(one.high for one in groups) or 1.0
            draw = lambda: faithful.lines(  # noqa: E731
                groups, key="by-conflict", title=t("triage.groups.title"), axis=t(f"views.missing.figure.{figure}"),
                span=(0.0, most), shows=t("triage.groups.shows"), hides=t("triage.groups.hides"),
            )  # fmt: skip
            self.show(draw, "groups")

    def signs(self) -> list[Line]:
        """AUC against wrong answers: of disagreement, of answering differently, and of the answer's own doubt."""
        from fusion.views.faithful import Line

        made = []
        for name in ("conflict", "opposed", *(("doubt",) if self.whole.classes else ())):
            if name == "opposed" and self.frame[name].nunique() < 2:
                continue  # it can't tell anyone apart
            found, wrong, right = finds(self.whole, self.frame, name)
            if found is not None:
                made.append(Line(t(f"triage.sign.{name}"), found.value, found.low, found.high, wrong + right))
        return made

    def groups(self) -> list[Line]:
        """The main figure of equal parts of the samples, from those whose modalities agree to those that disagree."""
        frame = self.frame.sort_values("conflict", kind="stable")
        size = len(frame) // PARTS
        if size < LEAST:
            return []
        edges = np.linspace(0, len(frame), PARTS + 1).round().astype(int)
        made = []
        for at, (start, end) in enumerate(itertools.pairwise(edges.tolist())):
            part = frame.iloc[start:end]
            low, high = float(part["conflict"].iloc[0]), float(part["conflict"].iloc[-1])
            name = t("triage.group", at=at + 1, low=f"{low:.2f}", high=f"{high:.2f}")
            line = of_samples(self.whole, part, name)
            made += [line] if line is not None else []
        return made


def wrong_of(whole: StreamedSet, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Which samples are answered wrongly, and which count: another class; or a score on the other side of the middle
    of the scale than the true one, where that isn't the middle itself. -> (N,) bool twice"""
    if whole.classes:
        known = frame["right"].notna().to_numpy(bool)
        return ~frame["right"].fillna(True).to_numpy(bool), known
    middle = whole.middle
    target, said = frame["target"].to_numpy(np.float64) - middle, frame["answer"].to_numpy(np.float64) - middle
    known = np.isfinite(target) & (np.abs(target) > 1e-9)
    return known & (np.sign(target) != np.sign(said)), known


def finds(whole: StreamedSet, frame: pd.DataFrame, sign: str) -> tuple[Interval | None, int, int]:
    """AUC of a sign of trouble (conflict, opposed, doubt) against wrong answers; None of too few.

    -> it, how many are wrong, and right
    """
    from fusion.metrics.intervals import auc_interval

    wrong, known = wrong_of(whole, frame)
    values = 1 - frame["answer"].to_numpy(np.float64) if sign == "doubt" else frame[sign].to_numpy(np.float64)
    bad, good = values[wrong & known], values[~wrong & known]
    if min(len(bad), len(good)) < FEW:
        return None, len(bad), len(good)
    return auc_interval(bad, good), len(bad), len(good)


def ranked(frame: pd.DataFrame) -> str:
    """One sentence on how far disagreement goes along with the size of the error; "" of too few."""
    from fusion.metrics.intervals import spearman_interval
    from fusion.views.speech import num

    known = frame[frame["error"].notna()]
    if len(known) < 2 * FEW:
        return ""
    found = spearman_interval(known["conflict"].to_numpy(np.float64), known["error"].to_numpy(np.float64))
    if found is None:
        return ""
    way = "yes" if found.low > 0 else "no" if found.high < 0 else "open"
    return t(f"triage.ranked.{way}", **{name: num(round(getattr(found, name), 3)) for name in ("value", "low", "high")})


def verdict(line: Line) -> str:
    """One sentence on what disagreement is worth as a search for errors."""
    from fusion.views.speech import num

    way = "yes" if line.low > 0.5 else "no" if line.high < 0.5 else "open"
    facts = {"value": num(round(line.value, 3)), "low": num(round(line.low, 3)), "high": num(round(line.high, 3))}
    return plain(t(f"triage.verdict.{way}", **facts), 400)
