"""The tabs of Inspect for streams, filled by the kinds of signals that a checkpoint gives; before and after edits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, chrome, grid, stream_finder, tabs
from pages.parts.chrome import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.signals import Signal, Trace
    from fusion.streams.observed import StreamObservation
    from fusion.views import Picture
    from pages.parts.stream_finder import Chosen


def show(checkpoint: Checkpoint, dataset: DataSet, seen: StreamObservation, now: Chosen) -> None:
    """The tabs; the one named in the address is open at first."""
    on = Looked(checkpoint, dataset, seen, now)
    key, place = tabs.opened("streams", list(TABS))
    with place, chrome.guard(f"streams.tab.{key}"):
        TABS[key](on)


class Looked:
    """One sample looked into and what draws it: each picture is made once for its choices and kept."""

    def __init__(self, checkpoint: Checkpoint, dataset: DataSet, seen: StreamObservation, now: Chosen) -> None:
        from fusion.streams import edits

        self.checkpoint, self.dataset, self.seen, self.now = checkpoint, dataset, seen, now
        self.line = edits.write(seen.edits)
        self.key = (checkpoint.digest, dataset.digest, seen.sample.id, now.own)

    def show(self, make: Callable[[], Picture], name: str, *, edited: bool = True, **how: Callable[..., None]) -> None:
        """A picture of this sample, made once. edited: whether it is of the sample after its edits"""
        line = self.line if edited else ""
        grid.show(lambda: cache.made(make, "streams", *self.key, line, name), name, **how)

    def signal(self, view: Callable[..., Picture | None], name: str, **choice: Hashable) -> bool:
        """A view of the signal of a name, as it was and after the edits where there are some. -> whether one applies"""
        words = tuple(sorted((key, str(value)) for key, value in choice.items()))

        def made(trace: Trace, line: str) -> Picture | None:
            make = lambda: view(trace[name], self.seen.sample, trace, **choice)  # noqa: E731
            return cache.made(make, "streams", *self.key, line, view.__module__, view.__name__, name, words)

        key = f"{view.__module__.rpartition('.')[2]}_{view.__name__}_{name}"
        after = made(self.seen.trace, self.line) if name in self.seen.trace else None
        was = self.seen.trace_before
        before = made(was, "") if was is not None and name in was else None
        if after is None and before is None:
            return False
        if was is None:
            assert after is not None, "without edits there is one trace"
            grid.show(lambda: after, key)
            return True
        left, right = st.columns(2)
        for place, picture, told in ((left, before, "before"), (right, after, "after")):
            with place:
                st.markdown(f"**{t(f'streams.{told}')}**")
                if picture is None:
                    st.info(t("streams.gone"))
                else:
                    grid.show(lambda picture=picture: picture, f"{key}_{told}")
        return True

    def all_of(self, kind: type[Signal]) -> tuple[str, ...]:
        """Names of the signals of a kind, of both traces."""
        both = [*self.seen.trace.of(kind), *(self.seen.trace_before.of(kind) if self.seen.trace_before else ())]
        return tuple(dict.fromkeys(signal.name for signal in both))

    def drawn(self, *kinds: type[Signal]) -> bool:
        """All pictures of some kinds of signals, in that order. -> whether there was one"""
        from fusion.views import VIEWS

        return any([self.signal(view, name) for kind in kinds for name in self.all_of(kind) for view in VIEWS[kind]])

    def lacks(self, kind: str) -> None:
        """Why a tab is empty, and what there is instead."""
        have = t("views.list.comma").join(dict.fromkeys(t(f"kind.{type(s).__name__}") for s in self.seen.trace))
        st.info(t("empty.none", kind=t(f"kind.{kind}"), list=have))


def overview(on: Looked) -> None:
    """The parts as a person sees them, and what each says alone."""
    from fusion.signals import Opinions
    from fusion.views import strips

    _parts(on)
    on.drawn(Opinions)
    on.signal(strips.drop, "drop")


def _parts(on: Looked) -> None:
    """What the sample is made of, each part with what was done to it."""
    from fusion.types import Audio, Image, Numbers, Text
    from fusion.views.speech import percent, say

    done = {edit.modality: edit for edit in on.seen.edits}
    names = stream_finder.names_of(on.checkpoint)
    for place, modality in zip(st.columns(len(names)), names, strict=True):
        part = on.seen.sample.parts.get(modality)
        with place, st.container(border=True, height="stretch", key=f"part_{modality}"):
            st.caption(say(modality))
            if isinstance(part, Text):
                st.markdown(plain(part.raw, 400) or "–")
            elif isinstance(part, (Image, Audio)):
                with chrome.guard("error.picture"):
                    stream_finder.seen(part, say(modality))
            elif isinstance(part, Numbers):
                st.markdown(t("streams.numbers", steps=len(part.values), width=part.values.shape[1]))
            else:
                has = stream_finder.there(on.dataset, on.now, modality)
                st.markdown(t("streams.given" if has else "streams.lacks"))
            if modality in done:
                edit = done[modality]
                st.badge(t(f"streams.done.{edit.how}", name=say(modality), rate=percent(edit.rate)), color="orange")


TABS: dict[str, Callable[[Looked], None]] = {"overview": overview}
