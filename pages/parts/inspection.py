"""The tabs of the Inspect page: alone, together, inside, out. Only the open tab draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.words import current, t
from pages.parts import cache, grid, pickers, state

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.inference import Observation
    from fusion.signals import Attention, Signal
    from fusion.types import Sample
    from fusion.views import Picture

TABS = ("overview", "attention", "gate", "tags", "space", "drop")
STATISTICS = ("top", "entropy", "real")
MEAN = -1  # stands for the mean of all heads in the box


def run(checkpoint: Checkpoint, sample: Sample) -> Observation:
    """The sample through the checkpoint, with another picture for the drop test. Raises FusionError on bad input."""
    return cache.inspected(checkpoint, sample, _donor(sample))


def _donor(sample: Sample) -> Sample | None:
    """The photograph to exchange: the one chosen, else the first of the gallery with another picture."""
    if sample.image() is None:
        return None
    photographs = cache.data("gallery")
    chosen = st.session_state.get("donor_key")
    if chosen and f"{chosen}-fits" in photographs.index:
        return photographs.get(f"{chosen}-fits")
    return next((one for one in photographs.samples if one.image() != sample.image()), None)


def show(checkpoint: Checkpoint, dataset: DataSet | None, seen: Observation) -> None:
    """The tabs; the one named in the address is open at first."""
    from fusion.inference import sample_digest

    Inspected(checkpoint, dataset, seen, sample_digest(seen.sample)).tabs()


class Inspected:
    """One inspected sample and what draws it: each picture is made once for its choices and kept."""

    def __init__(self, checkpoint: Checkpoint, dataset: DataSet | None, seen: Observation, digest: str) -> None:
        self.checkpoint, self.dataset, self.seen, self.digest = checkpoint, dataset, seen, digest
        self.key = (checkpoint.digest, digest, seen.sample.id, st.session_state.get("donor_key") or "")
        self.sample, self.trace = seen.sample, seen.trace
        self.reference = cache.pipeline(checkpoint).reference

    def tabs(self) -> None:
        """All tabs, and the drawing of the open one."""
        names = {key: t(f"inspect.tab.{key}") for key in TABS}
        asked = state.get("tab")
        st.session_state.setdefault("inspect_tabs", names.get(asked, names["overview"]))
        if st.session_state["inspect_tabs"] not in names.values():  # the language has changed
            st.session_state["inspect_tabs"] = names.get(asked, names["overview"])
        places = st.tabs(list(names.values()), key="inspect_tabs", on_change="rerun")
        for key, place in zip(TABS, places, strict=True):
            if place.open:
                state.put(tab=key if key != "overview" else None)
                with place:
                    getattr(self, key)()

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

    # The tabs

    def overview(self) -> None:
        """Where the words look, how well the halves fit, what the gate lets in, and what goes when an input goes."""
        from fusion.signals import Gate
        from fusion.views import gate

        self.first_look()
        for signal in self.trace.of(Gate):
            grid.show(self.picture(gate.steps, signal), f"{signal.name}_overview", on_pick=_pick_word)
        self.effects("overview")

    @st.fragment
    def first_look(self) -> None:
        """Words to choose from, the picture with the attention of the chosen one, and the score; redrawn alone."""
        from fusion.signals import Attention
        from fusion.views import attention

        self.words("words_overview")
        left, right = st.columns(2)
        crossing = [s for s in self.trace.of(Attention) if s.keys == "image"]
        with left:
            if crossing:
                signal, head, word = self.chosen()
                if signal not in crossing:
                    signal, head = crossing[-1], None
                choice = {"word": word, "head": head, "picture": self.shown(), "fit": self.fit()}
                grid.show(self.picture(attention.regions, signal, **choice), "regions_overview")
            else:
                self.lacks("Attention")
        with right:
            self.hills("overview")

    def words(self, key: str) -> None:
        """The words of the text as chips."""
        steps = next(iter(self.trace.steps.get("text", ())), None)
        if steps is not None and steps.groups:
            pickers.word(steps, self.word(), key)

    def hills(self, place: str) -> None:
        """The match score among true and shuffled pairs."""
        from fusion.signals import Match
        from fusion.views import match

        signal = next(iter(self.trace.of(Match)), None)
        if signal is None:
            self.lacks("Match")
        elif self.seen.match is None:
            st.info(t("inspect.no_match"))
        else:
            known = self.reference
            true, shuffled = (known.true, known.shuffled) if known is not None else (None, None)
            grid.show(self.picture(match.hills, signal, true=true, shuffled=shuffled), f"hills_{place}")

    def effects(self, place: str) -> None:
        """The drop test."""
        from fusion.signals import Effects
        from fusion.views import strips

        for signal in self.trace.of(Effects):
            grid.show(self.picture(strips.drop, signal), f"{signal.name}_{place}")

    @st.fragment
    def attention(self) -> None:
        """The map of heads, and what the chosen head does: over the picture, over the words, all at once."""
        from fusion.views import attention, heads

        signals = self.attentions()
        if not signals:
            self.lacks("Attention")
            return
        signal, head, word = self.chosen()
        assert signal is not None, "there is one when there are any"
        with st.container(horizontal=True, vertical_alignment="bottom"):
            self._head_boxes(signals, signal, head)
        name = st.session_state.get("statistic", "top")
        chosen = (signal.name, head)
        grid.show(self.picture(heads.heads, signal, name=name, chosen=chosen), "heads", on_pick=self._pick_head)
        self.words("words_attention")
        region = st.session_state.get("region")
        left, right = st.columns(2)
        choice = {"word": word, "head": head}
        if signal.keys == "image":
            make = self.picture(
                attention.regions,
                signal,
                **choice,
                picture=self.shown(),
                fit=self.fit(),
                chosen=region,
                shared=st.session_state.get("shared", False),
                opacity=st.session_state.get("opacity", 100) / 100,
            )
            with left:
                grid.show(make, "regions", on_pick=_pick_region)
                st.slider(t("inspect.opacity"), 20, 100, 100, 5, key="opacity", format="%d%%")
                st.toggle(t("inspect.shared"), key="shared")
            with right:
                grid.show(self.picture(attention.words, signal, **choice, region=region), "words", on_pick=_pick_word)
                self._region_box(signal, region)
        else:
            grid.show(self.picture(attention.words, signal, **choice, region=word), "words", on_pick=_pick_word)
        grid.show(self.picture(attention.matrix, signal, **choice), "matrix")

    def _head_boxes(self, signals: tuple[Attention, ...], signal: Attention, head: int | None) -> None:
        """The same choice as a click on the map, for the keyboard."""
        from fusion.views.speech import say

        names = [s.name for s in signals]
        st.session_state["layer_box"], st.session_state["head_box"] = signal.name, MEAN if head is None else head
        st.selectbox(
            t("inspect.layer"),
            names,
            format_func=say,
            key="layer_box",
            on_change=lambda: state.put(layer=_kept("layer_box"), head=None),
        )
        st.selectbox(
            t("inspect.head"),
            [MEAN, *range(signal.value.shape[1])],
            key="head_box",
            on_change=lambda: state.put(head=None if _kept("head_box") == MEAN else _kept("head_box")),
            format_func=lambda h: t("views.head.mean") if h == MEAN else t("views.head.one", head=h + 1),
        )
        st.selectbox(
            t("inspect.statistic"),
            STATISTICS,
            key="statistic",
            format_func=lambda s: t(f"views.heads.statistic.{s}"),
        )

    def _region_box(self, signal: Attention, region: int | None) -> None:
        steps = next(iter(self.trace.steps.get(signal.keys, ())), None)
        count = signal.value.shape[-1]
        side = round(count**0.5)
        names = [t("views.region", row=i // side + 1, column=i % side + 1) for i in range(count)]
        if steps is None or side * side != count:
            return
        st.session_state["region_box"] = region
        st.selectbox(
            t("inspect.region"),
            range(count),
            format_func=names.__getitem__,
            key="region_box",
            index=None,
            placeholder=t("inspect.region.most"),
            on_change=lambda: _pick_region(_kept("region_box")),
        )

    def _pick_head(self, mark: Hashable) -> None:
        if isinstance(mark, tuple):
            name, head = mark
            state.put(layer=name, head=head)

    def gate(self) -> None:
        """How far each word opens the gate, which features open, and what the words become."""
        from fusion.signals import Gate, Norms
        from fusion.views import gate, strips

        signals = self.trace.of(Gate)
        if not signals:
            self.lacks("Gate")
        for signal in signals:
            grid.show(self.picture(gate.steps, signal, word=self.word()), f"{signal.name}_steps", on_pick=_pick_word)
            own = st.toggle(t("inspect.own_range"), key=f"own_{signal.name}")
            grid.show(self.picture(gate.blocks, signal, word=self.word(), own=own), f"{signal.name}_blocks")
        for signal in self.trace.of(Norms):
            grid.show(self.picture(strips.norms, signal), f"{signal.name}_norms")

    def tags(self) -> None:
        """How sure each tag is, who spoke for it, and which tag may follow which."""
        from fusion.signals import Marginals, Parts, Transitions
        from fusion.views import parts, tags

        self._found()
        self.words("words_tags")
        for signal in self.trace.of(Marginals):
            grid.show(
                self.picture(tags.marginals, signal, word=self.word(), path=self.seen.path), f"{signal.name}_marginals"
            )
        for signal in self.trace.of(Parts):
            grid.show(self.picture(parts.bars, signal, word=self.word()), f"{signal.name}_parts")
        learned = cache.pipeline(self.checkpoint).model.learned()
        for signal in learned.of(Transitions):
            grid.show(self.picture(tags.transitions, signal), f"{signal.name}_transitions")

    def _found(self) -> None:
        """The entities as a table, beside the truth where the data set knows it."""
        import pandas as pd

        rows = [(s.text, t(f"type.{s.type}"), round(s.probability, 3)) for s in self.seen.spans]
        if rows:
            names = [t("inspect.entity"), t("inspect.type"), t("views.axis.probability")]
            st.dataframe(
                pd.DataFrame(rows, columns=names), hide_index=True, key="entities", alt=t("inspect.entities.alt")
            )
        else:
            st.markdown(t("inspect.nothing_found"))

    def space(self) -> None:
        """The score, the sample's own vectors, and its place among all others."""
        from fusion.signals import Embedding
        from fusion.views import embedding
        from pages.parts import place

        self.hills("space")
        vectors = self.trace.of(Embedding)
        if not vectors:
            self.lacks("Embedding")
            return
        if self.dataset is not None:
            place.small(self.checkpoint, self.dataset, self.seen, self.digest)
        for width in dict.fromkeys(v.value.shape[-1] for v in vectors):
            first = next(v for v in vectors if v.value.shape[-1] == width)
            grid.show(self.picture(embedding.closeness, first), f"closeness_{width}")

    def drop(self) -> None:
        """The drop test with another picture of one's choice."""
        from fusion.data import gallery

        names = gallery.captions()
        donor = _donor(self.sample)
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
        self.effects("drop")
        seconds = self.seen.seconds
        st.caption(
            t("inspect.seconds", total=f"{seconds['total'] * 1000:.0f}", encode=f"{seconds['encode'] * 1000:.0f}")
        )
        st.caption(t("inspect.badge_rule"))


def _kept(key: str) -> str | int | None:
    return st.session_state.get(key)


def _pick_region(mark: Hashable) -> None:
    st.session_state["region"] = mark


def _pick_word(mark: Hashable) -> None:
    if isinstance(mark, int):
        state.put(token=mark)
