"""The tabs of Inspect for an entity: side by side, who reads whom, how alike, candidates and votes, what if."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.words import t
from pages.parts import beside, cache, chrome, explaining, finder, grid, state, tabs
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from fusion.alignment.observed import EntityObservation
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.signals import Attention, Signal
    from fusion.views import Picture
    from fusion.views.entity import Subset

MEAN = -1  # stands for the mean of all heads in the box
SUFFIX = "_partner"  # of the signals of the other entity


def show(checkpoint: Checkpoint, dataset: DataSet, seen: EntityObservation, content: str) -> None:
    """The tabs; the one named in the address is open at first. content: of the picture put in, "" for its own"""
    on = Looked(checkpoint, dataset, seen, content)
    key, place = tabs.opened("entity", list(TABS))
    with place, chrome.guard(f"entity.tab.{key}"):
        TABS[key](on)


class Looked:
    """One entity looked into and what draws it: each picture is made once for its choices and kept."""

    def __init__(self, checkpoint: Checkpoint, dataset: DataSet, seen: EntityObservation, content: str) -> None:
        self.checkpoint, self.dataset, self.seen = checkpoint, dataset, seen
        self.key = (checkpoint.digest, dataset.digest, seen.sample.id, seen.other.id, content, seen.recomputed)
        self.modalities = tuple(seen.weights)

    def picture(self, view: Callable[..., Picture], signal: Signal, **choice: Hashable) -> Callable[[], Picture]:
        """How to make a picture of a signal, once for the same entities and choices."""

        def make() -> Picture:
            return view(signal, self.seen.sample, self.seen.trace, **choice)

        words = tuple(sorted((name, str(value)) for name, value in choice.items()))
        return lambda: cache.made(make, "entity", *self.key, view.__name__, signal.name, words)

    def drawn(self, make: Callable[[], Picture], name: str) -> Callable[[], Picture]:
        """How to make any other picture of these entities, once."""
        return lambda: cache.made(make, "entity", *self.key, name)


def overview(on: Looked) -> None:
    """The two side by side, and how much the model listens to each modality of both."""
    beside.pair(on.dataset, on.seen)
    _weights(on)


def _weights(on: Looked) -> None:
    from fusion.signals import ModalityWeights
    from fusion.views import strips

    found = on.seen.trace.of(ModalityWeights)
    if len(found) == 1:
        st.caption(t("entity.weights.shared"))
    sides = (on.seen.sample, on.seen.imputed), (on.seen.other, on.seen.other_imputed)
    for place, signal, (sample, imputed) in zip(st.columns(max(2, len(found))), found, sides, strict=False):
        with place:
            st.markdown(f"**{plain(finder.name_of(sample), 80)}**")
            usual = np.asarray([on.seen.band[m] for m in signal.modalities], np.float32).T
            filled = tuple(m for m in signal.modalities if imputed.get(m))

            def make(signal=signal, usual=usual, filled=filled):  # type: ignore[no-untyped-def]
                return strips.weights(signal, on.seen.sample, on.seen.trace, usual=usual, filled=filled)

            grid.show(on.drawn(make, signal.name), signal.name, title=False)


@chrome.fragment
def reads(on: Looked) -> None:
    """Which modality reads which, by layer and head, in both entities; and from which neighbours they take."""
    from fusion.signals import Attention, EdgeWeights
    from fusion.views import entity, modalities

    found = {s.name: s for s in on.seen.trace.of(Attention) if not s.name.endswith(SUFFIX)}
    if found:
        signal, head = _head(on, found)
        names = (signal.name, signal.name + SUFFIX)
        for place, name, sample in zip(st.columns(2), names, (on.seen.sample, on.seen.other), strict=True):
            if name in on.seen.trace:
                with place:
                    st.markdown(f"**{plain(finder.name_of(sample), 80)}**")
                    grid.show(on.picture(entity.reading, on.seen.trace[name], head=head), name)
    else:
        have = t("views.list.comma").join(dict.fromkeys(t(f"kind.{type(s).__name__}") for s in on.seen.trace))
        st.info(t("empty.none", kind=t("kind.Attention"), list=have))
    edges = [s for s in on.seen.trace.of(EdgeWeights) if not s.name.endswith(SUFFIX)]
    for place, signal in zip(st.columns(max(2, len(edges))), edges, strict=False):
        with place:
            named = {int(n): finder.name_of(on.dataset.samples[int(n)]) for n in signal.neighbours[0] if int(n) >= 0}

            def make(signal=signal, named=named):  # type: ignore[no-untyped-def]
                return modalities.neighbours(signal, on.seen.sample, on.seen.trace, entities=named)

            grid.show(on.drawn(make, signal.name), signal.name)


def _head(on: Looked, found: dict[str, Attention]) -> tuple[Attention, int | None]:
    """The layer and head in the address, with boxes to choose them."""
    from fusion.views.speech import say

    signal = found.get(state.get("layer")) or next(iter(found.values()))
    head = state.whole("head")
    head = head if head is not None and head < signal.value.shape[1] else None
    st.session_state["entity_layer"], st.session_state["entity_head"] = signal.name, MEAN if head is None else head
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            t("inspect.layer"), list(found), key="entity_layer", format_func=say, width=320,
            on_change=lambda: state.put(layer=st.session_state["entity_layer"], head=None),
        )  # fmt: skip
        st.selectbox(
            t("inspect.head"), [MEAN, *range(signal.value.shape[1])], key="entity_head", width=220,
            format_func=lambda h: t("views.head.mean") if h == MEAN else t("views.head.one", head=h + 1),
            on_change=lambda: state.put(
                head=None if st.session_state["entity_head"] == MEAN else st.session_state["entity_head"]
            ),
        )  # fmt: skip
    return signal, head


def alike(on: Looked) -> None:
    """How alike the two are by modality, before and after the transformer, and what makes the joint similarity."""
    from fusion.signals import ModalityScores, Parts
    from fusion.views import entity, modalities

    trace = on.seen.trace
    left, right = st.columns(2)
    for signal in trace.of(ModalityScores):
        if signal.name == "modality_cosine":
            with left:
                grid.show(on.picture(entity.alike, signal), "alike")
    for signal in trace.of(Parts):
        with right:
            grid.show(on.picture(modalities.shares, signal), signal.name)
    others = [s for s in trace.of(ModalityScores) if s.name in ("pair_confidence", "received_attention")]
    for place, signal in zip(st.columns(2), others, strict=False):
        with place:
            grid.show(on.picture(modalities.scores, signal), signal.name)


def candidates(on: Looked) -> None:
    """The ten best with what each modality says of them, and which modality found the partner or misled."""
    from fusion.views import entity

    answers = _answers(on)
    grid.show(on.drawn(lambda: entity.votes(answers), "votes"), "votes")
    _table(on)


def _answers(on: Looked):  # type: ignore[no-untyped-def]  # fusion.views is slow to import
    from fusion.views.entity import Answers

    seen = on.seen
    goal = seen.partner.id if seen.partner is not None else None
    ids = [one.id for one in seen.candidates]
    named = [finder.name_of(on.dataset.get(id)) for id in ids]
    votes = {
        m: (finder.name_of(on.dataset.get(id)), id == goal, ids.index(id) if id in ids else None)
        for m, id in seen.votes.items()
    }
    cosines = np.asarray([[one.early.get(m, np.nan) for m in on.modalities] for one in seen.candidates], np.float32)
    joint = np.asarray([one.joint for one in seen.candidates], np.float32)
    partner = ids.index(goal) if goal in ids else None
    return Answers(named, cosines, joint, on.modalities, partner, votes, seen.rank_by)


def _table(on: Looked) -> None:
    """The candidates with their pictures; a row can be looked into, or set beside this entity."""
    import pandas as pd

    from fusion.views.speech import say

    seen, kinds = on.seen, st.column_config
    goal = seen.partner.id if seen.partner is not None else ""
    ids = [one.id for one in seen.candidates]
    samples = [on.dataset.get(id) for id in ids]
    voted = [t("views.list.comma").join(say(m) for m, vote in seen.votes.items() if vote == id) for id in ids]
    frame = pd.DataFrame(
        {
            "picture": [cache.thumbnail(sample.image()) for sample in samples],
            "name": [finder.name_of(sample) for sample in samples],
            "partner": [t("entity.yes") if id == goal else "" for id in ids],
            "votes": voted,
            "score": [one.score for one in seen.candidates],
            "joint": [one.joint for one in seen.candidates],
            "id": ids,
        }
    )
    config: dict[str, object] = {name: kinds.TextColumn(t(f"entity.column.{name}")) for name in frame.columns}
    config["picture"] = kinds.ImageColumn(t("table.picture"), width=64)
    for name in ("score", "joint"):
        label, told = t(f"entity.column.{name}"), t(f"entity.column.{name}.help")
        config[name] = kinds.NumberColumn(label, help=told, format="%.3f")
    event = st.dataframe(
        frame, hide_index=True, key="candidates", on_select="rerun", selection_mode="single-row", row_height=54,
        height=40 + 54 * len(frame), column_config=config,
        alt=t("table.alt", count=len(frame), first=plain(frame["name"].iloc[0], 60)),
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    row = chosen[0] if chosen and chosen[0] < len(ids) else None
    id = "" if row is None else ids[row]
    with st.container(horizontal=True, vertical_alignment="center", key="under_candidates"):
        st.button(t("entity.compare"), key="compare", type="primary", disabled=not id, on_click=_compare, args=(id,))
        st.button(t("entity.look"), key="look", disabled=not id, on_click=finder.take, args=(id,))
        st.space("stretch")
        grid.download(frame.drop(columns="picture"), "candidates", "csv_candidates")


def _compare(id: str) -> None:
    state.put(against=id)


def drop(on: Looked) -> None:
    """Every subset of the modalities: where the partner stands, and who would be first."""
    from fusion.views import entity

    st.toggle(t("entity.recomputed"), key="recomputed", help=t("entity.recomputed.help"))
    found, signal = _subsets(on), on.seen.drop
    grid.show(on.drawn(lambda: entity.subsets(signal, on.modalities, found), "subsets"), "subsets")
    _worth(on)
    seconds = on.seen.seconds
    st.caption(t("entity.seconds", total=f"{seconds['total'] * 1000:.0f}", encode=f"{seconds['encode'] * 1000:.0f}"))


def _subsets(on: Looked) -> list[Subset]:
    from fusion.explain.subsets import subsets
    from fusion.views.entity import Subset

    signal = on.seen.drop
    said = signal.said[0] if signal.said else ("",) * len(signal.conditions)
    values = signal.value[0].tolist()
    return [
        Subset(kept, rank, joint, first)
        for kept, (rank, joint), first in zip(subsets(on.modalities), values, said, strict=True)
    ]


def _worth(on: Looked) -> None:
    """Exact Shapley values of the modalities for 1 / rank."""
    from fusion.signals import Parts
    from fusion.views import modalities

    if not on.seen.shapley:
        return
    values = on.seen.drop.value.new_tensor([list(on.seen.shapley.values())])
    signal = Parts(
        name="worth", unit="none", value=values, voices=tuple(on.seen.shapley), total="inverse_rank",
        caveat="caveat.worth",
    )  # fmt: skip
    grid.show(on.picture(modalities.shares, signal), "worth")


def explain(on: Looked) -> None:
    """Why the partner, or any other candidate, stands where it does."""
    from fusion.alignment.explaining import case

    seen, image = on.seen, finder.picture()
    goal = seen.partner or seen.other
    others = [one.id for one in seen.candidates if one.id != goal.id]
    named = {"": goal, **{f":{id}": on.dataset.get(id) for id in others}}
    targets = [
        (kind + end, t(f"explain.target.{kind}", name=plain(finder.name_of(sample), 40)))
        for end, sample in named.items()
        for kind in ("rank", "cosine")
    ]
    aligner = cache.aligner(on.checkpoint, on.dataset)
    explaining.show(explaining.Subject(seen.sample, lambda: case(aligner, seen, image), on.key, targets))


# In reading order: first the two, then what happened inside, then what changes.
TABS = {"overview": overview, "reads": reads, "alike": alike, "candidates": candidates, "drop": drop,
        "explain": explain}  # fmt: skip
