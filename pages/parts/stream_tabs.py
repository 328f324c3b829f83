"""The tabs of Inspect for streams, filled by the kinds of signals that a checkpoint gives; before and after edits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from fusion.words import t
from pages.parts import (
    cache,
    chrome,
    editing,
    explaining,
    grid,
    state,
    stream_cache,
    stream_finder,
    stream_near,
    stream_parts,
    stream_place,
    tabs,
    walking,
    work,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.signals import Signal, Trace
    from fusion.streams.observed import StreamObservation
    from fusion.views import Picture
    from pages.parts.stream_finder import Chosen

MEAN = -1  # stands for the mean of all heads in the box


def show(checkpoint: Checkpoint, dataset: DataSet, seen: StreamObservation, now: Chosen) -> None:
    """The tabs; the one named in the address is open at first."""
    on = Looked(checkpoint, dataset, seen, now)
    key, place = tabs.opened("streams", list(TABS))
    with place, chrome.guard(f"streams.tab.{key}"):
        TABS[key](on)


class Looked:
    """One sample looked into and what draws it: each picture is made once for its choices and kept."""

    def __init__(self, checkpoint: Checkpoint, dataset: DataSet, seen: StreamObservation, now: Chosen) -> None:
        from fusion.explain import edits

        self.checkpoint, self.dataset, self.seen, self.now = checkpoint, dataset, seen, now
        self.line = edits.write(seen.edits)
        self.key = (checkpoint.digest, dataset.digest, seen.sample.id, now.own)

    def show(self, make: Callable[[], Picture], name: str, *, edited: bool = True, **how: Callable[..., None]) -> None:
        """A picture of this sample, made once. edited: whether it is of the sample after its edits"""
        line = self.line if edited else ""
        grid.show(lambda: cache.made(make, "streams", *self.key, line, name), name, **how)

    def sides(self) -> tuple[StreamObservation, ...]:
        """The sample as it is now, and as it was before its edits, in front, where there are some."""
        if not self.seen.edits:
            return (self.seen,)
        return stream_cache.looked(self.checkpoint, self.dataset, self.now.sample, self.now.own, ""), self.seen

    def both(self, make: Callable[[StreamObservation], Picture], name: str) -> None:
        """A picture of the whole observation, of the sample as it was too where there are edits."""
        if not self.seen.edits:
            self.show(lambda: make(self.seen), name)
            return
        for place, told, one in zip(st.columns(2), ("before", "after"), self.sides(), strict=True):
            with place:
                st.markdown(f"**{t(f'streams.{told}')}**")
                self.show(lambda one=one: make(one), f"{name}_{told}")

    def signal(
        self, view: Callable[..., Picture | None], name: str, on_pick: Callable[[Hashable], None] | None = None,
        compared: bool = True, **choice: Hashable,
    ) -> bool:  # fmt: skip
        """A view of the signal of a name, beside how it was where there are edits to compare. -> whether one applies"""
        words = tuple(sorted((key, str(value)) for key, value in choice.items() if key != "picture"))

        def made(trace: Trace, line: str) -> Picture | None:
            make = lambda: view(trace[name], self.seen.sample, trace, **choice)  # noqa: E731
            return cache.made(make, "streams", *self.key, line, view.__module__, view.__name__, name, words)

        key = f"{view.__module__.rpartition('.')[2]}_{view.__name__}_{name}"
        after = made(self.seen.trace, self.line) if name in self.seen.trace else None
        was = self.seen.trace_before if compared else None
        before = made(was, "") if was is not None and name in was else None
        if after is None and before is None:
            return False
        if was is None:
            assert after is not None, "without edits there is one trace"
            grid.show(lambda: after, key, on_pick=on_pick)
            return True
        left, right = st.columns(2)
        for place, picture, told in ((left, before, "before"), (right, after, "after")):
            with place:
                st.markdown(f"**{t(f'streams.{told}')}**")
                if picture is None:
                    st.info(t("streams.gone"))
                else:
                    grid.show(lambda picture=picture: picture, f"{key}_{told}", on_pick=on_pick)
        return True

    def all_of(self, kind: type[Signal]) -> tuple[str, ...]:
        """Names of the signals of a kind, of both traces."""
        both = [*self.seen.trace.of(kind), *(self.seen.trace_before.of(kind) if self.seen.trace_before else ())]
        return tuple(dict.fromkeys(signal.name for signal in both))

    def drawn(self, *kinds: type[Signal]) -> bool:
        """All pictures of some kinds of signals, in that order. -> whether there was one"""
        from fusion.views import VIEWS

        return any([self.signal(view, name) for kind in kinds for name in self.all_of(kind) for view in VIEWS[kind]])

    def any(self, name: str) -> Any:
        """The signal of a name, after the edits where it is there; of whatever kind it is."""
        before = self.seen.trace_before
        return self.seen.trace[name] if name in self.seen.trace or before is None else before[name]

    def names(self) -> tuple[str, ...]:
        """Names of all signals of both traces, without the drop test, which the answers by subset hold."""
        both = [*self.seen.trace, *(self.seen.trace_before or ())]
        return tuple(dict.fromkeys(signal.name for signal in both if signal.name != "drop"))

    def lacks(self, kind: str) -> None:
        """Why a tab is empty, and what there is instead."""
        have = t("views.list.comma").join(dict.fromkeys(t(f"kind.{type(s).__name__}") for s in self.seen.trace))
        st.info(t("empty.none", kind=t(f"kind.{kind}"), list=have))


def overview(on: Looked) -> None:
    """The parts as a person sees them, the answer, and what is answered from every subset of them."""
    from fusion.views import streams

    seen = on.seen
    stream_parts.show(on)
    if seen.classes:
        was = None if seen.before is None else seen.before.chances
        on.show(lambda: streams.chances(seen.answer.chances, was), "chances")
    span = streams.span_of([one.effects for one in on.sides()], bool(seen.classes))
    on.both(lambda one: streams.subsets(one.effects, bool(one.classes), span), "answers")
    stream_parts.pictures(on)


@chrome.fragment
def crossing(on: Looked) -> None:
    """What the steps of one modality take from those of another: a signal, a head, and its pictures."""
    from fusion.signals import Attention
    from fusion.views import attention, heads

    found = {name: on.any(name) for name in on.all_of(Attention)}
    if not found:
        on.lacks("Attention")
        return
    between = sorted(found, key=lambda name: found[name].queries == found[name].keys)  # what crosses comes first
    name, head = _head(between, {one: signal.value.shape[1] for one, signal in found.items()})
    picture, fit = _behind(on, found[name].keys)
    on.signal(attention.regions, name, head=head, picture=picture, fit=fit)
    on.signal(attention.matrix, name, head=head)
    on.signal(attention.words, name, head=head)
    if len(found) > 1 or found[name].value.shape[1] > 1:
        on.signal(heads.heads, name, _pick_head, chosen=(name, head))


def _pick_head(mark: Hashable) -> None:
    if isinstance(mark, tuple):
        state.put(layer=mark[0], head=mark[1])


def _behind(on: Looked, modality: str) -> tuple[bytes | None, str]:
    """The picture whose regions are looked at, and how its encoder lays it on a square."""
    from fusion.encoders import image_encoder
    from fusion.types import Image

    part = on.seen.sample.parts.get(modality)
    if not isinstance(part, Image) or modality not in stream_finder.droppable(on.checkpoint):
        return None, "pad"
    return cache.shown(part), image_encoder(on.checkpoint.encoders[modality]).recipe.fit


def _head(names: list[str], heads: dict[str, int]) -> tuple[str, int | None]:
    """The layer and head in the address, with boxes to choose them."""
    from fusion.views.speech import say

    name = state.get("layer") if state.get("layer") in names else names[0]
    head = state.whole("head")
    head = head if head is not None and head < heads[name] else None
    st.session_state["stream_layer"], st.session_state["stream_head"] = name, MEAN if head is None else head
    with st.container(horizontal=True, vertical_alignment="bottom", key="layer_and_head"):
        st.selectbox(
            t("inspect.layer"), names, key="stream_layer", format_func=say, width=360,
            on_change=lambda: state.put(layer=st.session_state["stream_layer"], head=None),
        )  # fmt: skip
        st.selectbox(
            t("inspect.head"), [MEAN, *range(heads[name])], key="stream_head", width=220,
            format_func=lambda h: t("views.head.mean") if h == MEAN else t("views.head.one", head=h + 1),
            on_change=lambda: state.put(
                head=None if st.session_state["stream_head"] == MEAN else st.session_state["stream_head"]
            ),
        )  # fmt: skip
    return name, head


def fused(on: Looked) -> None:
    """Weights, votes, parts, scores, gates, lengths and posteriors: whatever of them the checkpoint gives."""
    from fusion.signals import Gate, ModalityScores, ModalityWeights, Norms, Opinions, Parts, Posterior

    if not on.drawn(ModalityWeights, Posterior, Opinions, Parts, ModalityScores, Gate, Norms):
        on.lacks("ModalityWeights")


def space(on: Looked) -> None:
    """The nearest samples of the set by each embedding, coloured by label; and how close the sample's own are."""
    from fusion.signals import Embedding
    from fusion.views import VIEWS, streams

    seen, whole = on.seen, stream_cache.whole(on.checkpoint, on.dataset)
    if whole is None:
        work.offer(on.checkpoint, on.dataset)
    else:
        label = seen.truth if seen.truth is not None else seen.answer.said if seen.classes else seen.answer.score
        if seen.truth is None:
            st.caption(t("streams.near.answer"))
        usual = stream_near.usual(whole, label)
        sides = [("before", seen.trace_before, ""), ("after", seen.trace, on.line)] if seen.edits else []
        sides = sides or [("after", seen.trace, "")]
        for place, (told, trace, line) in zip(st.columns(len(sides)), sides, strict=True):
            assert trace is not None, "edits leave what was before"
            with place:
                if seen.edits:
                    st.markdown(f"**{t(f'streams.{told}')}**")

                def make(trace: Trace = trace, line: str = line) -> Picture:
                    own = seen.sample.id if not on.now.own else ""
                    found = stream_near.nearest(whole, trace, own, placed=not line)
                    return streams.neighbours(found, label, seen.classes, seen.scale, usual)

                on.show(make, f"near_{told}", edited=bool(line), on_pick=_open)
        stream_place.inspected(on.checkpoint, on.dataset, whole, on.now, seen)
    widths: dict[int, list[str]] = {}
    for name in on.all_of(Embedding):
        widths.setdefault(on.any(name).value.shape[-1], []).append(name)
    for name in (same[0] for same in widths.values() if len(same) > 1):  # vectors of one width can be compared
        for view in VIEWS[Embedding]:
            on.signal(view, name)


def _open(mark: Hashable) -> None:
    stream_finder.take(str(mark))


def rebuilt(on: Looked) -> None:
    """What was hidden beside what the model makes of it, or what it makes of each modality, where it makes any."""
    from fusion.signals import CrossGeneration, Reconstruction
    from fusion.views import VIEWS

    if on.drawn(CrossGeneration):
        walking.show(on)
        return
    names = on.all_of(Reconstruction)
    hidden = [name for name in names if name in on.seen.trace and bool(on.any(name).hidden.any())]
    if not names:
        on.lacks("Reconstruction")
    elif not hidden:
        st.info(t("streams.rebuilt.hide"))
    for name in hidden:  # before the edits there was nothing to guess
        for view in VIEWS[Reconstruction]:
            on.signal(view, name, compared=False)


@chrome.fragment
def what_if(on: Looked) -> None:
    """Any signal, before and after; then who is worth what for the answer."""
    from fusion.signals import Parts
    from fusion.views import VIEWS, modalities
    from fusion.views.speech import say

    seen = on.seen
    names = [name for name in on.names() if VIEWS.get(type(on.any(name)))]
    before = on.sides()[0]
    there = [m for m, here in before.present.items() if here]
    droppable = stream_finder.droppable(on.checkpoint)
    editing.show(editing.Bench(before.sample, before.trace, there, droppable, (), on.dataset))
    if seen.edits and names:
        key = "stream_signal"
        if st.session_state.get(key) not in names:
            st.session_state.pop(key, None)
        name = st.selectbox(t("streams.whatif.signal"), names, key=key, format_func=say, width=420)
        for view in VIEWS[type(on.any(name))]:
            on.signal(view, name)

    def worth(one: StreamObservation) -> Picture:
        signal = Parts(
            name="worth", unit="none", value=one.effects.value.new_tensor([list(one.shapley.values())]),
            voices=tuple(one.shapley), total="answer_above_nothing", caveat="caveat.stream_subsets",
        )  # fmt: skip
        picture = modalities.shares(signal, one.sample, one.trace)
        assert picture is not None, "parts of one number have one"
        return picture

    on.both(worth, "worth")
    seconds = seen.seconds
    st.caption(t("streams.seconds", total=f"{seconds['total'] * 1000:.0f}", encode=f"{seconds['encode'] * 1000:.0f}"))


def explain(on: Looked) -> None:
    """Why the answer is what it is, after the edits that were made."""
    from fusion.views.speech import answered

    seen = on.seen
    targets = [("answer", t("explain.target.answer"))]
    if seen.classes:
        others = [one for one in seen.classes if one != seen.answer.said]
        targets = [(f"answer:{seen.answer.said}", t("explain.target.class.said", name=answered(seen.answer.said)))]
        targets += [(f"answer:{one}", t("explain.target.class", name=answered(one))) for one in others]
    reader = stream_cache.reader(on.checkpoint, on.dataset)
    explaining.show(
        explaining.Subject(
            seen.sample, lambda: reader.case(on.now.sample, seen.edits), (*on.key, on.line), targets,
            lambda m: _behind(on, m),
        )
    )  # fmt: skip


# In reading order: the whole, what the modalities take from each other, how they are fused, where that leads.
TABS: dict[str, Callable[[Looked], None]] = {
    "overview": overview, "crossing": crossing, "fused": fused, "space": space, "rebuilt": rebuilt,
    "explain": explain, "whatif": what_if,
}  # fmt: skip
