"""The tab Explain of Inspect: why a number is what it is, in several ways, each beside a test of whether it is true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, grid, state
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from fusion.explain.asking import Case, Judged
    from fusion.explain.tabled import Tabled
    from fusion.types import Sample
    from fusion.views import Picture

AT_ONCE = 400  # rows through the model that are run without asking
PAIRS = (4, 8, 32)  # of sampled orders, to choose from


@dataclass(frozen=True)
class Subject:
    """What is explained: a sample, how its case is made, which numbers of it there are, and its pictures."""

    sample: Sample
    make: Callable[[], Case | Tabled]
    key: tuple[Hashable, ...]  # of the checkpoint, the sample and its edits
    targets: Sequence[tuple[str, str]]  # lines of targets, and what a reader calls them; the first is open
    behind: Callable[[str], tuple[bytes | None, str]] = lambda _: (None, "pad")  # modality -> picture, how it is fitted


@st.cache_resource(max_entries=8, show_spinner=False)
def _case(key: tuple[Hashable, ...], _make: Callable[[], Case | Tabled]) -> Case | Tabled:
    return _make()


@st.cache_resource(max_entries=128, show_spinner=False)
def _judged(key: tuple[Hashable, ...], _make: Callable[[], Judged]) -> Judged:
    return _make()


@chrome.fragment
def show(subject: Subject) -> None:
    """Choose a number and a method; what moved it, whether that is true, and what other methods say."""

    case = _case(subject.key, subject.make)
    target, whole = _choices(subject, case.whole_only)
    why = cache.made(lambda: case.applying(target, whole=whole), "applying", *subject.key, target, whole)
    method, pairs = _method(why)
    key = (*subject.key, target, whole, method, pairs if method == "shapley" else 0)
    found = _run(case, target, method, whole, pairs, key)
    if found is None:
        return
    _told(subject, found, whole)
    _trial(subject, [found], key)
    _others(subject, case, target, whole, [one for one, reason in why.items() if not reason], found, pairs)


def _choices(subject: Subject, whole_only: bool) -> tuple[str, bool]:
    """Boxes for the number and, where there is a choice, for what is judged."""
    lines = [line for line, _ in subject.targets]
    names = dict(subject.targets)
    with st.container(horizontal=True, vertical_alignment="bottom", key="explain_choices"):
        if len(lines) > 1:
            key = f"explain_target_{len(lines)}"
            if st.session_state.get(key) not in lines:
                st.session_state[key] = state.get("why") if state.get("why") in lines else lines[0]
            st.selectbox(
                t("explain.target"), lines, key=key, format_func=lambda line: names[line], width=340,
                on_change=lambda: state.put(why=st.session_state[key]),
            )  # fmt: skip
            line = st.session_state[key]
        else:
            line = lines[0]
        if whole_only:
            return line, True
        options = {False: t("explain.parts"), True: t("explain.modalities")}
        whole = st.segmented_control(
            t("explain.judged"), list(options), format_func=options.__getitem__, key="explain_whole",
            default=False, required=True,
        )  # fmt: skip
    return line, bool(whole)


def _method(why: dict[str, str]) -> tuple[str, int]:
    """The ways that apply as chips, why others don't, and how many orders are drawn where they are."""
    from fusion.explain.methods import FIRST

    able = [one for one, reason in why.items() if not reason]
    key = "explain_method"
    if st.session_state.get(key) not in able:
        st.session_state[key] = state.get("how") if state.get("how") in able else FIRST
    method = st.pills(
        t("explain.method"), able, format_func=lambda one: t(f"method.{one}"), key=key, required=True,
        on_change=lambda: state.put(how=st.session_state[key]),
    )  # fmt: skip
    method = method or FIRST
    st.caption(t(f"method.tell.{method}"))
    lacking = [(t(f"method.{one}"), reason) for one, reason in why.items() if reason]
    if lacking:
        reasons = dict.fromkeys(reason for _, reason in lacking)
        st.caption(
            " ".join(
                t(f"explain.lacks.{reason}", names=t("views.list.comma").join(n for n, r in lacking if r == reason))
                for reason in reasons
            )
        )
    pairs = 8
    if method == "shapley":
        pairs = st.select_slider(t("explain.pairs"), PAIRS, 8, key="explain_pairs", help=t("explain.pairs.help"))
    return method, pairs


def _run(
    case: Case | Tabled, target: str, method: str, whole: bool, pairs: int, key: tuple[Hashable, ...]
) -> Judged | None:  # fmt: skip
    """The explanation: at once where it is cheap, else after a button that says what it costs."""
    rows = cache.made(lambda: case.rows(method, whole=whole, pairs=pairs), "explain_rows", *key)
    asked = st.session_state.setdefault("explain_asked", set())
    if rows > AT_ONCE and key not in asked:
        st.markdown(t("explain.cost", rows=f"{rows:,}"))
        if not st.button(t("explain.run"), type="primary", key="explain_run"):
            return None
        asked.add(key)
    with st.spinner(t("explain.wait", rows=f"{rows:,}"), show_time=True):
        bar = st.progress(0.0) if rows > AT_ONCE else None

        def make() -> Judged:
            moved = None if bar is None else bar.progress
            return case.judge(target, method, whole=whole, pairs=pairs, progress=moved)

        found = _judged(key, make)
        if bar is not None:
            bar.empty()
    return found


def _told(subject: Subject, found: Judged, whole: bool) -> None:
    """What was explained and what it cost; then the pictures, one a modality."""
    from fusion.explain.methods import METHODS, shares, totals
    from fusion.views import attribution
    from fusion.views.speech import num, percent, say

    told = found.told
    done, (none, all_) = told.explanation, found.trial.span
    parts = [t("explain.span", value=num(all_), nothing=num(none))]
    if METHODS[found.method].signed:
        moved = t("views.list.comma").join(f"{say(m)} {_plus(v)}" for m, v in totals(told).items())
        parts.append(t("explain.totals", list=moved))
    share = shares(told)
    if len(share) > 1:
        parts.append(
            t("explain.shares", list=t("views.list.comma").join(f"{say(m)} {percent(v)}" for m, v in share.items()))
        )
    if done.gap is not None:
        parts.append(t("explain.gap", gap=percent(done.gap)))
    if done.passes:
        parts.append(t("explain.took", rows=f"{done.passes:,}", seconds=num(done.seconds)))
    else:
        parts.append(t("explain.table"))
    st.markdown(plain(" ".join(parts), 1500))
    if found.verdict == "" or abs(all_ - none) < 0.05:
        st.info(t("explain.small"))
    if whole:
        moved, signed = totals(told), METHODS[found.method].signed
        key = f"explained_whole_{found.method}"
        grid.show(lambda: attribution.modalities(moved, method=found.method, signed=signed), key)
        return
    columns = st.columns(min(2, len(done.trace.signals)))
    for at, signal in enumerate(done.trace):
        picture, fit = subject.behind(signal.steps)  # type: ignore[attr-defined]  # attributions only
        with columns[at % len(columns)]:
            grid.show(
                lambda signal=signal, picture=picture, fit=fit: attribution.parts(
                    signal, subject.sample, done.trace, picture=picture, fit=fit
                ),
                f"explained_{signal.name}",
            )


def _plus(value: float) -> str:
    from fusion.views.speech import num

    return ("−" if value < 0 else "+") + num(abs(value))


def _trial(subject: Subject, found: Sequence[Judged], key: tuple[Hashable, ...]) -> None:
    """The curves of one or several methods beside those of random orders."""
    from fusion.report import why

    def drawn(which: str) -> Callable[[], Picture]:
        return lambda: cache.made(lambda: why.curves(found, inserting=which == "insertion"), "trial", which, *key)

    name = "all" if len(found) > 1 else "one"
    for place, which in zip(st.columns(2), ("deletion", "insertion"), strict=True):
        with place:
            grid.show(drawn(which), f"{which}_{name}")


def _others(
    subject: Subject, case: Case | Tabled, target: str, whole: bool, able: Sequence[str], found: Judged, pairs: int
) -> None:  # fmt: skip
    """All methods side by side, once a person wants them."""
    import pandas as pd

    from fusion.explain import asking
    from fusion.views import attribution
    from fusion.views.speech import percent

    st.markdown(f"##### {t('explain.others')}")
    wanted = (*subject.key, target, whole, "all", pairs)
    asked = st.session_state.setdefault("explain_asked", set())
    rows = sum(case.rows(one, whole=whole, pairs=pairs) for one in able)
    if rows and wanted not in asked:
        st.markdown(t("explain.others.tell", count=len(able), rows=f"{rows:,}"))
        if not st.button(t("explain.others.run"), key="explain_all"):
            return
        asked.add(wanted)
    judged: list[Judged] = []
    bar = st.progress(0.0)
    for at, one in enumerate(able):
        bar.progress(at / len(able), t(f"method.{one}"))
        key = (*subject.key, target, whole, one, pairs if one == "shapley" else 0)
        judged.append(_judged(key, lambda one=one: case.judge(target, one, whole=whole, pairs=pairs)))
    bar.empty()
    lines = []
    for one in sorted(judged, key=lambda one: one.trial.areas()[0]):
        own, chance, _ = one.trial.areas()
        lines.append({
            t("explain.method"): t(f"method.{one.method}"), t("explain.column.deletion"): own,
            t("explain.column.chance"): chance,
            t("explain.column.beaten"): f"{one.trial.beaten()} / {len(one.trial.random)}",
            t("explain.column.verdict"): t(f"explain.verdict.{one.verdict or 'open'}"),
            t("explain.column.insertion"): one.trial.areas("insertion")[0],
            t("explain.column.gap"): "" if one.told.explanation.gap is None else percent(one.told.explanation.gap),
            t("explain.column.rows"): one.told.explanation.passes,
            t("explain.column.seconds"): one.told.explanation.seconds,
        })  # fmt: skip
    st.dataframe(
        pd.DataFrame(lines), hide_index=True, key="explain_table", alt=t("explain.others"),
        column_config={name: st.column_config.NumberColumn(format="%.2f") for name in (
            t("explain.column.deletion"), t("explain.column.chance"), t("explain.column.insertion"),
            t("explain.column.seconds"))},
    )  # fmt: skip
    _trial(subject, judged, wanted)
    table = asking.concord(judged)
    names = [t(f"method.{one.method}") for one in judged]
    grid.show(lambda: attribution.concord(names, table), "concord")
