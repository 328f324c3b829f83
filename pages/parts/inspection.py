"""The tabs of the Inspect page: alone, together, inside, out. Only the open tab draws."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import current, t
from pages.parts import attending, cache, chrome, editing, explaining, grid, tabs
from pages.parts.chrome import plain
from pages.parts.inspected import Inspected

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.explain.edits import Edit
    from fusion.inference import Observation
    from fusion.types import Sample


def run(checkpoint: Checkpoint, sample: Sample, made: Sequence[Edit] = (), other: Sample | None = None) -> Observation:
    """The sample through the checkpoint, with another picture for the drop test. Raises FusionError on bad input.

    other: the sample whose part a swap takes.
    """
    return cache.inspected(checkpoint, sample, _donor(sample), made, other)


def _donor(sample: Sample) -> Sample | None:
    """The photograph to exchange: the one chosen, else the first of the gallery with another picture."""
    if sample.image() is None:
        return None
    photographs = cache.data("gallery")
    chosen = st.session_state.get("donor_key")
    if chosen and f"{chosen}-fits" in photographs.index:
        return photographs.get(f"{chosen}-fits")
    return next((one for one in photographs.samples if one.image() != sample.image()), None)


def show(checkpoint: Checkpoint, dataset: DataSet | None, seen: Observation, before: Observation) -> None:
    """The tabs; the one named in the address is open at first. before: without edits, the same where there are none"""
    from fusion.inference import sample_digest

    on = Inspected(checkpoint, dataset, seen, sample_digest(seen.sample), editing.line())
    on.before = on if before is seen else Inspected(checkpoint, dataset, before, sample_digest(before.sample))
    key, place = tabs.opened("inspect", list(TABS))
    with place, chrome.guard(f"inspect.tab.{key}"):
        TABS[key](on)


def overview(on: Inspected) -> None:
    """Where the words look, how well the halves fit, what the gate lets in, and what goes when an input goes."""
    from fusion.signals import Gate
    from fusion.views import gate

    first_look(on)
    for signal in on.trace.of(Gate):
        grid.show(on.picture(gate.steps, signal), f"{signal.name}_overview", on_pick=attending.pick_word)
    effects(on, "overview")


@chrome.fragment
def first_look(on: Inspected) -> None:
    """Words to choose from, the picture with the attention of the chosen one, and the score; redrawn alone."""
    from fusion.signals import Attention
    from fusion.views import attention

    on.words("words_overview")
    if on.sample.image() is None:
        return  # no regions and no score: the notices on top say so once
    left, right = st.columns(2)
    crossing = [s for s in on.trace.of(Attention) if s.keys == "image"]
    with left:
        if crossing:
            signal, head, word = on.chosen()
            if signal not in crossing:
                signal, head = crossing[-1], None
            choice = {"word": word, "head": head, "picture": on.shown(), "fit": on.fit()}
            grid.show(on.picture(attention.regions, signal, **choice), "regions_overview")
        else:
            on.lacks("Attention")
    with right:
        hills(on, "overview")


def hills(on: Inspected, place: str) -> None:
    """The match score among true and shuffled pairs."""
    from fusion.signals import Match
    from fusion.views import match

    signal = next(iter(on.trace.of(Match)), None)
    if signal is None:
        on.lacks("Match")
    elif on.seen.match is not None:  # the notices on top say which half is missing
        known = on.reference
        true, shuffled = (known.true, known.shuffled) if known is not None else (None, None)
        grid.show(on.picture(match.hills, signal, true=true, shuffled=shuffled), f"hills_{place}")


def effects(on: Inspected, place: str) -> None:
    """The drop test."""
    from fusion.signals import Effects
    from fusion.views import strips

    for signal in on.trace.of(Effects):
        grid.show(on.picture(strips.drop, signal), f"{signal.name}_{place}")


def gate(on: Inspected) -> None:
    """How far each word opens the gate, which features open, and what the words become."""
    from fusion.signals import Gate, Norms
    from fusion.views import gate, strips

    signals = on.trace.of(Gate)
    if not signals:
        on.lacks("Gate")
    for signal in signals:
        grid.show(on.picture(gate.steps, signal, word=on.word()), f"{signal.name}_steps", on_pick=attending.pick_word)
        own = st.toggle(t("inspect.own_range"), key=f"own_{signal.name}")
        grid.show(on.picture(gate.blocks, signal, word=on.word(), own=own), f"{signal.name}_blocks")
    for signal in on.trace.of(Norms):
        grid.show(on.picture(strips.norms, signal), f"{signal.name}_norms")


def tag(on: Inspected) -> None:
    """How sure each tag is, who spoke for it, and which tag may follow which."""
    from fusion.signals import Marginals, Parts, Transitions
    from fusion.views import parts, tags

    _found(on)
    on.words("words_tags")
    for signal in on.trace.of(Marginals):
        grid.show(on.picture(tags.marginals, signal, word=on.word(), path=on.seen.path), f"{signal.name}_marginals")
    for signal in on.trace.of(Parts):
        grid.show(on.picture(parts.bars, signal, word=on.word()), f"{signal.name}_parts")
    learned = cache.pipeline(on.checkpoint).model.learned()
    for signal in learned.of(Transitions):
        grid.show(on.picture(tags.transitions, signal), f"{signal.name}_transitions")


def _found(on: Inspected) -> None:
    """The entities as a table, beside the truth where the data set knows it."""
    import pandas as pd

    rows = [(s.text, t(f"type.{s.type}"), round(s.probability, 3)) for s in on.seen.spans]
    if rows:
        names = [t("inspect.entity"), t("inspect.type"), t("views.axis.probability")]
        st.dataframe(pd.DataFrame(rows, columns=names), hide_index=True, key="entities", alt=t("inspect.entities.alt"))
    else:
        st.markdown(t("inspect.nothing_found"))


def space(on: Inspected) -> None:
    """The score, the sample's own vectors, and its place among all others."""
    from fusion.signals import Embedding
    from fusion.views import embedding
    from pages.parts import place

    hills(on, "space")
    vectors = on.trace.of(Embedding)
    if not vectors:
        on.lacks("Embedding")
        return
    if on.dataset is not None:
        place.small(on.checkpoint, on.dataset, on.seen, on.digest)
    for width in dict.fromkeys(v.value.shape[-1] for v in vectors):
        first = next(v for v in vectors if v.value.shape[-1] == width)
        grid.show(on.picture(embedding.closeness, first), f"closeness_{width}")


def unseen(on: Inspected) -> list[Edit]:
    """The edits that the inspected sample doesn't show yet: of what is read, and of signals."""
    from fusion.explain.edits import SEEN

    return [edit for edit in editing.made(("text", "image")) if edit.how not in SEEN]


def bench(on: Inspected) -> None:
    """Make edits; what they changed, in numbers and in any picture, before and after."""
    from fusion.views import VIEWS
    from fusion.views.speech import say

    was = on.before
    editing.show(
        editing.Bench(
            was.sample, was.trace, [m for m, there in _there(was.sample).items() if there], ("text", "image"),
            ("remove", "zero", "drop", "noise"), on.dataset,
        )
    )  # fmt: skip
    if was is on:
        return
    st.dataframe(
        _changes(was, on), hide_index=True, key="edit_changes", alt=t("edits.title"),
        column_config={t("edits.column.what"): st.column_config.TextColumn(width=130)},
    )  # fmt: skip
    names = [s.name for s in was.trace if s.name in on.trace and VIEWS.get(type(s)) and s.per_sample]
    names.sort(key=lambda name: getattr(was.trace[name], "queries", "") == getattr(was.trace[name], "keys", "-"))
    name = st.selectbox(t("edits.signal"), names, key="edit_signal", format_func=say, width=420)
    for view in VIEWS[type(was.trace[name])]:
        both = []
        for side in (was, on):
            known = inspect.signature(view).parameters
            choice = {"word": side.word(), "picture": side.shown(), "fit": side.fit()}
            choice = {key: value for key, value in choice.items() if key in known}
            both.append(side.picture(view, side.trace[name], **choice))
        if any(make() is None for make in both):
            continue
        for column, make, told in zip(st.columns(2), both, ("before", "after"), strict=True):
            with column:
                st.markdown(f"**{t(f'edits.{told}')}**")
                grid.show(make, f"edit_{told}_{view.__name__}_{name}")


def _there(sample: Sample) -> dict[str, bool]:
    return {"text": bool(sample.text().strip()), "image": sample.image() is not None}


def _changes(was: Inspected, now: Inspected) -> pd.DataFrame:
    """What the two answers say, line by line."""
    import pandas as pd

    from fusion.views.speech import num, percent, say

    def said(seen: Observation) -> dict[str, str]:
        names = t("views.list.comma").join(f"{span.text} ({t(f'type.{span.type}')})" for span in seen.spans)
        shares = t("views.list.comma").join(f"{say(m)} {percent(value)}" for m, value in seen.shares.items())
        return {
            t("verdict.entities"): names or t("inspect.nothing_found"),
            t("verdict.match"): "–" if seen.match is None else num(seen.match),
            t("verdict.gate"): "–" if seen.mean_gate is None else num(seen.mean_gate),
            t("verdict.most"): shares, t("verdict.badge"): t(f"verdict.badge.{seen.badge}"),
        }  # fmt: skip

    before, after = said(was.seen), said(now.seen)
    return pd.DataFrame({
        t("edits.column.what"): list(before), t("edits.before"): list(before.values()),
        t("edits.after"): list(after.values()),
    })  # fmt: skip


def drop(on: Inspected) -> None:
    """Edits of one's own, then the drop test with another picture of one's choice."""
    from fusion.data import gallery

    bench(on)

    names = gallery.captions()
    donor = _donor(on.sample)
    if donor is not None:
        with st.container(horizontal=True, vertical_alignment="bottom", key="donor"):
            image = donor.image()
            if image is not None:
                st.image(cache.shown(image), width=72, alt=t("inspect.donor"))
            st.selectbox(
                t("inspect.donor"),
                list(names),
                key="donor_key",
                index=None,
                placeholder=t("inspect.donor.first"),
                format_func=lambda key: names[key]["name_zh" if current() == "zh" else "name_en"],
                persist_state="session",
            )
    effects(on, "drop")
    seconds = on.seen.seconds
    st.caption(t("inspect.seconds", total=f"{seconds['total'] * 1000:.0f}", encode=f"{seconds['encode'] * 1000:.0f}"))
    st.caption(t("inspect.badge_rule"))


def explain(on: Inspected) -> None:
    """Why a tag or the match score is what it is."""
    on.words("words_explain")
    explaining.show(
        explaining.Subject(
            on.sample, lambda: cache.pipeline(on.checkpoint).case(on.sample, unseen(on)), (*on.key[:3], on.line),
            _targets(on),
            lambda modality: (on.shown(), on.fit()) if modality == "image" else (None, "pad"),
        )
    )  # fmt: skip


def _targets(on: Inspected) -> list[tuple[str, str]]:
    """The tag of the chosen word, else of the first one found, and the match score."""
    steps = next(iter(on.trace.steps.get("text", ())), None)
    found = []
    if steps is not None and steps.groups:
        word = on.word() or 0
        step = steps.group.index(word)
        tag = cache.pipeline(on.checkpoint).model.classes[on.seen.path[step]]
        found.append((f"tag:{step}:{tag}", t("explain.target.tag", word=plain(steps.groups[word], 40), tag=tag)))
    if on.seen.match is not None:
        found.append(("match", t("explain.target.match")))
    return found if on.seen.spans or on.word() is not None else found[::-1]  # without a name, the match says more


# In reading order: first the whole, then what happened inside, then what changes.
TABS = {
    "overview": overview,
    "attention": attending.show,
    "gate": gate,
    "tags": tag,
    "space": space,
    "explain": explain,
    "drop": drop,
}
