"""One inspected sample and what is chosen of it: word, head, and pictures made once for those choices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import t
from pages.parts import cache, pickers, state

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.inference import Observation
    from fusion.signals import Attention, Signal
    from fusion.views import Picture


class Inspected:
    """One inspected sample and what draws it: each picture is made once for its choices and kept."""

    def __init__(
        self, checkpoint: Checkpoint, dataset: DataSet | None, seen: Observation, digest: str, line: str = ""
    ) -> None:
        self.checkpoint, self.dataset, self.seen, self.digest = checkpoint, dataset, seen, digest
        self.line = line  # the edits that it was run after
        self.before = self  # the same without them
        self.key = (checkpoint.digest, digest, seen.sample.id, st.session_state.get("donor_key") or "", line)
        self.sample, self.trace = seen.sample, seen.trace
        self.reference = cache.pipeline(checkpoint).reference

    def picture(self, view: Callable[..., Picture], signal: Signal | None, **choice: Hashable) -> Callable[[], Picture]:
        """How to make a picture, once for the same sample, signal and choices."""
        name = "" if signal is None else signal.name
        words = tuple(sorted((k, v) for k, v in choice.items() if k not in ("true", "shuffled", "picture", "path")))

        def make() -> Picture:
            return view(signal, self.sample, self.trace, **choice)

        return lambda: cache.made(make, *self.key, view.__module__, view.__name__, name, words)

    def lacks(self, kind: str) -> None:
        """Why a panel is empty, and what there is instead."""
        have = ", ".join(dict.fromkeys(t(f"kind.{type(s).__name__}") for s in self.trace))
        st.info(t("empty.none", kind=t(f"kind.{kind}"), list=have))

    # What is chosen

    def attentions(self) -> tuple[Attention, ...]:
        """Every attention signal, between modalities first."""
        from fusion.signals import Attention

        return tuple(sorted(self.trace.of(Attention), key=lambda s: s.queries == s.keys))

    def chosen(self) -> tuple[Attention | None, int | None, int | None]:
        """The attention signal, head and word in the address; a head beyond the last one is the mean of all."""
        signals = {s.name: s for s in self.attentions()}
        signal = signals.get(state.get("layer")) or next(iter(signals.values()), None)
        head = state.whole("head")
        head = head if signal is not None and head is not None and head < signal.value.shape[1] else None
        return signal, head, self.word()

    def word(self) -> int | None:
        """The word in the address, at first that of the first name found; None for all words together."""
        steps = next(iter(self.trace.steps.get("text", ())), None)
        if steps is None or state.get("token") == "all":
            return None
        at = state.whole("token")
        if at is not None and at < len(steps.groups):
            return at
        starts = [start for start, _ in steps.spans]
        return next((starts.index(span.start) for span in self.seen.spans if span.start in starts), None)

    def shown(self) -> bytes | None:
        image = self.sample.image()
        return None if image is None else cache.shown(image)

    def fit(self) -> str:
        """How the image encoder lays a picture on its square."""
        return cache.pipeline(self.checkpoint).image.recipe.fit

    def words(self, key: str) -> None:
        """The words of the text as chips."""
        steps = next(iter(self.trace.steps.get("text", ())), None)
        if steps is not None and steps.groups:
            pickers.word(steps, self.word(), key)
