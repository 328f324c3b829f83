"""The tabs of Inspect for a question: question and answer, candidates, how it is decided, the relation, what if."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from fusion.links.lines import read_of
from fusion.words import t
from pages.parts import cache, chrome, explaining, finder, grid, link_cache, link_finder, state, tabs
from pages.parts import link_question as questions
from pages.parts.chrome import plain
from pages.parts.link_lines import unread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.links.observed import LinkCandidate, LinkObservation
    from fusion.signals import Effects, Signal
    from fusion.types import Sample
    from fusion.views import Picture
    from fusion.views.entity import Subset

NEIGHBOURS = 8
SCORES = ("living_factors", "modal_alignment")  # numbers of the head that are drawn one beside the other


def show(checkpoint: Checkpoint, dataset: DataSet, seen: LinkObservation, own: str, text: str | None) -> None:
    """The tabs; the one named in the address is open at first. own: of the picture put in; text: what was put in"""
    on = Looked(checkpoint, dataset, seen, own, text)
    key, place = tabs.opened("links", list(TABS))
    with place, chrome.guard(f"links.tab.{key}"):
        TABS[key](on)


class Looked:
    """One question looked into and what draws it: each picture is made once and kept."""

    def __init__(
        self, checkpoint: Checkpoint, dataset: DataSet, seen: LinkObservation, own: str, text: str | None
    ) -> None:
        self.checkpoint, self.dataset, self.seen, self.text = checkpoint, dataset, seen, text
        self.key = (checkpoint.digest, dataset.digest, seen.head.id, seen.relation, seen.told.id, own, text or "")
        self.branches = read_of(seen.decision)

    def show(self, make: Callable[[], Picture], name: str, *, title: bool = True) -> None:
        """A picture of this question, made once."""
        grid.show(lambda: cache.made(make, "links", *self.key, name), name, title=title)

    def signal(self, view: Callable[..., Picture | None], signal: Signal) -> None:
        """A picture of one of the model's own signals."""
        name = f"{view.__name__}_{signal.name}"

        def make() -> Picture:
            picture = view(signal, self.seen.head, self.seen.trace)
            assert picture is not None, "signals without steps have one"
            return picture

        self.show(make, name)

    def name(self, id: str) -> str:
        """What a reader calls an entity."""
        return finder.name_of(self.dataset.get(id))


def overview(on: Looked) -> None:
    """The head and whom the signals are about side by side; then where each branch puts the answer."""
    from fusion.views import links

    seen = on.seen
    left, right = st.columns(2)
    role = "best" if seen.tail is None else "named" if state.get("against") else "known"
    with left, st.container(border=True, height="stretch", key="card_head"):
        st.caption(t("links.head"))
        _one(on, seen.head, seen.imputed, "head")
    with right, st.container(border=True, height="stretch", key="card_told"):
        st.caption(t(f"links.told.{role}"))
        _one(on, seen.told, seen.told_imputed, "told")
    rank = seen.rank
    if rank is not None:
        ranks = {branch: seen.rank_by[branch] for branch in on.branches}
        on.show(lambda: links.pulled(ranks, rank, seen.among), "pulled")
    if told := unread(seen.decision):
        st.info(told)


def _one(on: Looked, sample: Sample, imputed: Mapping[str, bool], key: str) -> None:
    from fusion.views.speech import say

    name, image = finder.name_of(sample), sample.image()
    face, words = st.columns((0.36, 0.64))
    with face:
        if image is not None:
            st.image(cache.shown(image), width=112, alt=t("entity.picture.of", name=plain(name, 80)))
        else:
            st.caption(t("entity.no_picture"))
    with words:
        st.markdown(f"**{plain(name, 120)}**")
        kind = questions.kind_of(on.dataset, sample)
        st.caption(" · ".join(plain(one, 60) for one in (kind, sample.id) if one))
        described = getattr(sample.parts.get("description"), "raw", "")
        if described:
            st.caption(plain(described, 260))
        lacking = [say(m) for m, filled in imputed.items() if filled]
        if lacking:
            st.badge(t("links.lacks", names=t("views.list.comma").join(lacking)), color="orange")
        if key == "told":
            st.button(t("links.go"), key="go_told", type="tertiary", on_click=link_finder.take, args=(sample.id,))
    found = questions.triples_of(on.dataset).neighbours(on.dataset.index[sample.id])
    st.markdown(f"**{t('links.neighbours', count=f'{len(found):,}')}**")
    lines = []
    for one in found[:NEIGHBOURS]:
        other = plain(finder.name_of(on.dataset.samples[one.entity]), 60)
        lines.append(f"- {plain(one.relation, 60)} {'→' if one.outgoing else '←'} {other}")
    if len(found) > NEIGHBOURS:
        lines.append(f"- {t('entity.more', count=f'{len(found) - NEIGHBOURS:,}')}")
    st.markdown("\n".join(lines) if found else t("links.neighbours.none"))


def candidates(on: Looked) -> None:
    """The ten best with their places by each branch; then the answers that are known already."""
    from fusion.views import links

    seen = on.seen
    on.show(lambda: links.ranking(links.Ranked.of(seen, on.name)), "ranking")
    _table(on, seen.candidates, "candidates")
    if seen.others:
        st.markdown(f"##### {t('links.others')}")
        st.markdown(t("links.others.tell"))
        _table(on, seen.others, "others")


def _table(on: Looked, found: tuple[LinkCandidate, ...], key: str) -> None:
    """Candidates with their pictures; one can be taken as the answer to check, or asked about itself."""
    import pandas as pd

    from fusion.views.speech import say

    seen, kinds = on.seen, st.column_config
    goal = "" if seen.tail is None else seen.tail.id
    samples = [on.dataset.get(one.id) for one in found]
    frame = pd.DataFrame({
        "picture": [cache.thumbnail(sample.image()) for sample in samples],
        "name": [finder.name_of(sample) for sample in samples],
        "asked": [t("entity.yes") if one.id == goal else "" for one in found],
        "known": [t(f"split.{one.known}") if one.known else "" for one in found],
        "place": [one.rank for one in found], "chance": [one.score for one in found],
        **{f"rank_{branch}": [one.ranks[branch] for one in found] for branch in on.branches},
        "id": [one.id for one in found],
    })  # fmt: skip
    if not frame["picture"].notna().any():
        frame = frame.drop(columns="picture")
    config: dict[str, object] = {
        "picture": kinds.ImageColumn(t("table.picture"), width=64), "id": kinds.TextColumn("id", width="small")
    }  # fmt: skip
    for name in ("name", "asked", "known"):
        config[name] = kinds.TextColumn(t(f"links.column.{name}"), help=t(f"links.column.{name}.help"))
    for name in ("place", "chance"):
        told = t(f"links.column.{name}.help")
        form = "%d" if name == "place" else "%.4f"
        config[name] = kinds.NumberColumn(t(f"links.column.{name}"), help=told, format=form, width="small")
    for branch in on.branches:
        label, told = t("table.rank_by", name=say(branch)), t("links.column.rank_by.help")
        config[f"rank_{branch}"] = kinds.NumberColumn(label, help=told, format="%d", width="small")
    event = st.dataframe(
        frame, hide_index=True, key=key, on_select="rerun", selection_mode="single-row", row_height=54,
        height=40 + 54 * len(frame), column_config=config, placeholder="",
        alt=t("table.alt", count=len(frame), first=plain(frame["name"].iloc[0], 60)),
    )  # fmt: skip
    chosen = event["selection"]["rows"]
    id = found[chosen[0]].id if chosen and chosen[0] < len(found) else ""
    with st.container(horizontal=True, vertical_alignment="center", key=f"under_{key}"):
        st.button(
            t("links.check"), key=f"check_{key}", type="primary", disabled=not id, on_click=state.put,
            kwargs={"against": id},
        )  # fmt: skip
        st.button(t("links.go"), key=f"look_{key}", disabled=not id, on_click=link_finder.take, args=(id,))
        st.space("stretch")
        grid.download(frame.drop(columns="picture", errors="ignore"), key, f"csv_{key}")


def decided(on: Looked) -> None:
    """What the answer's chance is made of, what pairs of modalities add, and how much of the product is alive."""
    from fusion.signals import ModalityScores, ModalityWeights, Parts
    from fusion.views import links, modalities, strips

    trace, seen = on.seen.trace, on.seen
    st.caption(t("links.decided.tell", name=plain(finder.name_of(seen.told), 60)))
    left, right = st.columns(2)
    for signal in trace.of(ModalityWeights)[:1]:
        with left:
            on.signal(strips.weights, signal)
    for signal in trace.of(Parts)[:1]:
        with right:
            on.signal(modalities.shares, signal)
    answer = next((one for one in (*seen.candidates, *seen.others) if one.id == seen.told.id), None)
    rival = next((one for one in seen.candidates if one.id != seen.told.id), None)
    if answer is not None and rival is not None:
        apart = {branch: answer.logits[branch] - rival.logits[branch] for branch in on.branches}
        on.show(lambda: links.prefers(apart, on.name(answer.id), on.name(rival.id)), "prefers")
    on.show(lambda: links.together(seen.interaction, seen.interaction_logits), "together")
    found = [signal for signal in trace.of(ModalityScores) if signal.name in SCORES]
    for place, signal in zip(st.columns(2), found, strict=False):
        with place:
            on.signal(modalities.scores, signal)


def relation(on: Looked) -> None:
    """What the relation does to the head, in each branch."""
    from fusion.views import links

    seen = on.seen
    name = questions.relation_name(questions.triples_of(on.dataset), seen.relation)
    on.show(lambda: links.turned({one: seen.context[one].turned for one in on.branches}), "turned")
    on.show(lambda: links.spectrum({one: seen.context[one].singular.numpy() for one in on.branches}, name), "spectrum")


def drop(on: Looked) -> None:
    """Every subset of the modalities, in all entities or in the head alone: where the answer stands."""
    from fusion.views import entity

    seen = on.seen
    head = st.toggle(t("links.drop.head"), key="drop_head", help=t("links.drop.head.help"))
    signal = seen.drop_head if head else seen.drop
    name = plain(finder.name_of(seen.told), 60)
    st.caption(t("links.drop.tell", name=name))
    modalities = tuple(seen.imputed)
    found = _subsets(on, modalities, signal)
    on.show(lambda: entity.subsets(signal, modalities, found, goal="answer"), "subsets_head" if head else "subsets")
    _worth(on)
    seconds = seen.seconds
    st.caption(t("entity.seconds", total=f"{seconds['total'] * 1000:.0f}", encode=f"{seconds['encode'] * 1000:.0f}"))


def _subsets(on: Looked, modalities: tuple[str, ...], signal: Effects) -> list[Subset]:
    """What was kept, the answer's rank and chance then, and who would be first; the last one keeps nothing."""
    from fusion.links.removals import every
    from fusion.views.entity import Subset

    values = signal.value[0].tolist()
    return [
        Subset(kept, rank, chance, on.name(first) if first else t("links.drop.alike"))
        for kept, (rank, chance), first in zip(every(modalities), values, signal.said[0], strict=True)
    ]


def _worth(on: Looked) -> None:
    """Exact Shapley values of the modalities for 1 / rank."""
    from fusion.signals import Parts
    from fusion.views import modalities

    seen = on.seen
    if not seen.shapley:
        return
    values = seen.drop.value.new_tensor([list(seen.shapley.values())])
    signal = Parts(
        name="worth", unit="none", value=values, voices=tuple(seen.shapley), total="inverse_rank_answer",
        caveat="caveat.worth_answer",
    )  # fmt: skip
    on.signal(modalities.shares, signal)


def explain(on: Looked) -> None:
    """Why the answer, or any other candidate, stands where it does."""
    from fusion.links.explaining import case

    seen, image = on.seen, finder.picture()
    others = [one.id for one in seen.candidates if one.id != seen.told.id]
    named = {"": on.name(seen.told.id), **{f":{id}": on.name(id) for id in others}}
    targets = [
        (kind + end, t(f"explain.target.{kind}", name=plain(name, 40)))
        for end, name in named.items()
        for kind in ("rank", "chance")
    ]
    predictor = link_cache.predictor(on.checkpoint, on.dataset)
    explaining.show(explaining.Subject(seen.head, lambda: case(predictor, seen, image, on.text), on.key, targets))


# In reading order: first the two, then who else, then what happened inside, then what changes.
TABS = {"overview": overview, "candidates": candidates, "decided": decided, "relation": relation, "drop": drop,
        "explain": explain}  # fmt: skip
