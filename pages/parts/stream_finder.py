"""The input of Inspect for streams: a sample of the set or parts of one's own, and what is done to each modality."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache, editing, finder, pickers, state
from pages.parts.chrome import plain

if TYPE_CHECKING:
    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.explain.edits import Edit
    from fusion.streams.whole import StreamedSet
    from fusion.types import Audio, Image, Part, Sample

HELD_OUT = "test"
LONGEST = 2_000  # characters of a text that is typed
KEEP = "keep"  # stands for no edit in a box
OWN = "own"  # id of a sample of one's own
FORMATS = {b"OggS": "audio/ogg", b"fLaC": "audio/flac"}  # by how a file begins; else WAV


@dataclass(frozen=True)
class Chosen:
    """What is run: a sample, and what parts brought along are known by ("" for a sample of the set)."""

    sample: Sample
    own: str = ""


def names_of(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The modalities that a checkpoint reads, in its order."""
    return tuple(checkpoint.config["modalities"])


def droppable(checkpoint: Checkpoint) -> tuple[str, ...]:
    """Those of them that a person can bring: the checkpoint names an encoder for them."""
    from fusion.streams.inputs import GIVEN

    return tuple(m for m in names_of(checkpoint) if checkpoint.encoders.get(m, GIVEN) != GIVEN)


def called(sample: Sample) -> str:
    """What a reader calls a sample: its text, else its id."""
    text = " ".join(part for part in (sample.note.get("emoji", ""), sample.text()) if part)
    return text or sample.id


def from_address(checkpoint: Checkpoint, dataset: DataSet) -> list[str]:
    """Why what the address names can't be shown; it is taken out of the address."""
    problems, id = [], state.get("id")
    if id and id not in dataset.index:
        state.put(id=None)
        problems.append(t("error.sample", id=plain(id, 60), data=plain(dataset.name, 60)))
    try:
        edited(checkpoint)
    except FusionError as error:
        state.put(edit=None)
        problems.append(plain(str(error), 400))
    return problems


def edited(checkpoint: Checkpoint) -> tuple[Edit, ...]:
    """The edits in the address. Raises FusionError for what is none."""
    return editing.made(names_of(checkpoint))


def chosen(dataset: DataSet) -> Chosen | None:
    """The sample in the address, else one of the parts that were brought; None without either."""
    id = state.get("id")
    return Chosen(dataset.get(id)) if id else own()


def own() -> Chosen | None:
    """The parts that were brought as a sample, None without any."""
    from fusion.files import digest
    from fusion.types import Sample, Text

    found: dict[str, Part] = dict(_brought())
    known = [f"{m} {cache.content(part)}" for m, part in _brought().items()]
    if state.get("text").strip():
        found["text"] = Text(state.get("text"))
        known.append(f"text {state.get('text')}")
    return Chosen(Sample(OWN, found), digest(*sorted(known))) if found else None


def _brought() -> dict[str, Image | Audio]:
    """Pictures and recordings brought along, by modality; they stay on this machine and in no link."""
    return st.session_state.setdefault("stream_parts", {})


def wrong(whole: StreamedSet) -> pd.DataFrame:
    """Samples with the worst answers first, those to test alone where there are any; of classes the wrong ones."""
    frame = whole.frame
    found = frame[frame["right"].eq(False).fillna(False)] if whole.classes else frame[frame["error"].notna()]
    held = found[found["split"] == HELD_OUT]
    return (held if len(held) else found).sort_values("loss", ascending=False, kind="stable")


def show(checkpoint: Checkpoint, dataset: DataSet, whole: StreamedSet | None, now: Chosen | None) -> None:
    """Where the sample comes from, the sample, and what is done to each of its modalities."""
    source = "data"
    if droppable(checkpoint):
        st.segmented_control(
            t("streams.source"), ("data", OWN), format_func=lambda key: t(f"streams.source.{key}"), key="stream_source",
            default=None if "stream_source" in st.session_state else "data" if state.get("id") or now is None else OWN,
            required=True, width="stretch", on_change=_turn,
        )  # fmt: skip
        source = st.session_state.get("stream_source") or "data"
    if source == OWN:
        parts(checkpoint, dataset)
    else:
        _of_set(dataset, whole)
    if now is not None:
        _edits(checkpoint, dataset, now)


def take(id: str) -> None:
    """Look at a sample of the set as it is."""
    state.put(id=id, text=None, edit=None)
    editing.forget()
    st.session_state.pop("stream_source", None)


def _turn() -> None:
    """Another source: what was looked at from the one before goes from the address."""
    if st.session_state.get("stream_source") == OWN:
        state.put(id=None, edit=None)
        editing.forget()


def _of_set(dataset: DataSet, whole: StreamedSet | None) -> None:
    """Search, walk, chance, and the worst answers."""
    example = plain(called(dataset.samples[0]), 30) if len(dataset) else ""
    st.text_input(
        t("streams.search"), key="entity_search", placeholder=t("entity.search.example", name=example),
        help=t("streams.search.help"),
    )  # fmt: skip
    finder.results(dataset, lambda sample: plain(sample.id, 20), take, name=called)
    with st.container(horizontal=True, gap="xsmall", key="rows"):
        st.button(t("chrome.previous"), key="row_back", on_click=_row, args=(dataset, -1), shortcut="Alt+ArrowLeft")
        st.button(t("chrome.next"), key="row_on", on_click=_row, args=(dataset, 1), shortcut="Alt+ArrowRight")
        st.button(t("entity.random"), key="random", on_click=_random, args=(dataset,))
    worst = None if whole is None else wrong(whole)
    st.button(
        t("streams.wrong") if worst is None else t("streams.wrong.count", count=f"{len(worst):,}"), key="next_wrong",
        on_click=_wrong, args=(worst,), disabled=worst is None or not len(worst), help=t("streams.wrong.help"),
        width="stretch",
    )  # fmt: skip


def _row(dataset: DataSet, by: int) -> None:
    at = dataset.index.get(state.get("id"), -1 if by > 0 else 0)
    take(dataset.samples[(at + by) % len(dataset)].id)


def _random(dataset: DataSet) -> None:
    """One of those to test where there are any."""
    held = [sample for sample in dataset.samples if sample.split == HELD_OUT]
    take(random.choice(held or dataset.samples).id)


def _wrong(worst: pd.DataFrame | None) -> None:
    ids = [] if worst is None else worst["id"].astype(str).tolist()
    if ids:
        now = state.get("id")
        take(ids[(ids.index(now) + 1) % len(ids)] if now in ids else ids[0])


def first(dataset: DataSet, whole: StreamedSet | None) -> list[Sample]:
    """Three samples to begin with: the worst one where it is known, else held-out ones at even distances."""
    held = [sample for sample in dataset.samples if sample.split == HELD_OUT] or list(dataset.samples)
    found = [held[round(share * (len(held) - 1))] for share in (0.1, 0.5, 0.9)] if held else []
    if whole is not None and len(worst := wrong(whole)):
        found = [dataset.get(str(worst["id"].iloc[0])), *found[:2]]
    return list({sample.id: sample for sample in found}.values())


def parts(checkpoint: Checkpoint, dataset: DataSet) -> None:
    """A text to type, a picture and a recording to drop, of the modalities that the checkpoint has encoders for."""
    from fusion.views.speech import say

    can, several = droppable(checkpoint), len(_images(checkpoint, dataset)) > 1
    if "text" in can:
        if "stream_text" not in st.session_state:
            st.session_state["stream_text"] = state.get("text")
        st.text_area(
            t("streams.text"), key="stream_text", height=80, max_chars=LONGEST, help=t("streams.text.help"),
            on_change=lambda: state.put(text=st.session_state["stream_text"].strip(), id=None),
        )  # fmt: skip
    for modality in _images(checkpoint, dataset):
        st.markdown(t("streams.drop.image", name=say(modality)) if several else t("inspect.drop"))
        pickers.drop_box(f"stream_{modality}", lambda _, picture, modality=modality: _bring(modality, picture))
    if "audio" in can:
        st.markdown(t("streams.drop"))
        pickers.drop_box("stream_audio", lambda _, sound: _bring("audio", sound), sound=True)
    for modality, part in _brought().items():
        with st.container(horizontal=True, vertical_alignment="center", key=f"brought_{modality}"):
            try:
                seen(part, say(modality))
            except FusionError as error:
                st.error(plain(str(error), 500))
            st.button(t("streams.take_out"), key=f"out_{modality}", type="tertiary", on_click=_out, args=(modality,))
    others = [say(m) for m in names_of(checkpoint) if m not in can]
    if others:
        st.caption(t("streams.not_droppable", names=t("views.list.comma").join(others)))


def _images(checkpoint: Checkpoint, dataset: DataSet) -> list[str]:
    """The modalities among those to bring that are pictures."""
    kinds = {} if dataset.streams is None else {m.name: m.kind for m in dataset.streams.modalities}
    return [m for m in droppable(checkpoint) if kinds.get(m, m) == "image"]


def _bring(modality: str, part: Image | Audio) -> None:
    _brought()[modality] = part
    state.put(id=None)


def _out(modality: str) -> None:
    _brought().pop(modality, None)


def seen(part: Image | Audio, name: str, width: int = 140) -> None:
    """A picture to look at, or a recording to play. Raises FusionError for a picture that can't be read."""
    from fusion.types import Image

    if isinstance(part, Image):
        st.image(cache.shown(part), width=width, alt=t("entity.picture.of", name=name))
        return
    if part.path is not None and not part.path.is_file():
        raise FusionError(t("streams.sound.gone", name=plain(part.path.name, 60)))
    data = part.data if part.data is not None or part.path is None else part.path.read_bytes()
    if data is not None:
        st.audio(data, format=FORMATS.get(data[:4], "audio/wav"))


# What is done to modalities


def there(dataset: DataSet, now: Chosen, modality: str) -> bool:
    """Whether a sample has a modality, as far as can be told before it is read."""
    row = None if now.own else dataset.index.get(now.sample.id)
    if row is None or dataset.streams is None or modality not in dataset.streams.names:
        return modality in now.sample.parts
    return bool(dataset.streams.present[row, dataset.streams.names.index(modality)])


def _edits(checkpoint: Checkpoint, dataset: DataSet, now: Chosen) -> None:
    """A box for each modality, a slider where steps are dropped, and ways back."""
    from fusion.explain.edits import BOXES
    from fusion.views.speech import say

    try:
        made = {edit.modality: edit for edit in edited(checkpoint) if edit.how in BOXES}
    except FusionError:  # it was said, and the address is clean by now
        made = {}
    st.markdown(f"**{t('streams.edits')}**", help=t("streams.edits.help"))
    for modality in names_of(checkpoint):
        has, edit = there(dataset, now, modality), made.get(modality)
        st.session_state[f"how_{modality}"] = edit.how if edit is not None else KEEP
        st.selectbox(
            say(modality), (KEEP, *BOXES), key=f"how_{modality}", disabled=not has, on_change=_how,
            args=(checkpoint, modality), format_func=lambda how: t(f"streams.how.{how}"),
            help=None if has else t("streams.lacks"),
        )  # fmt: skip
        if edit is not None and edit.how == "drop":
            st.session_state[f"rate_{modality}"] = round(100 * edit.rate)
            st.slider(
                t("streams.rate", name=say(modality)), 0, 100, step=5, key=f"rate_{modality}", format="%d%%",
                on_change=_how, args=(checkpoint, modality),
            )  # fmt: skip
        if edit is not None and edit.how == "noise":
            st.session_state[f"rate_{modality}"] = round(100 * edit.rate)
            st.slider(
                t("streams.strength", name=say(modality)), 0, 300, step=25, key=f"rate_{modality}", format="%d%%",
                on_change=_how, args=(checkpoint, modality),
            )  # fmt: skip
        if edit is not None and edit.how in ("drop", "shuffle", "noise"):
            st.button(
                t(f"streams.again.{edit.how}"), key=f"again_{modality}", type="tertiary", on_click=_again,
                args=(checkpoint, modality),
            )  # fmt: skip
    with st.container(horizontal=True, gap="xsmall", key="edit_back"):
        st.button(t("streams.undo"), key="edit_undo", on_click=editing.undo, disabled=not state.get("edit"))
        st.button(
            t("streams.restore"), key="edit_none", on_click=editing.put, args=((),), disabled=not state.get("edit")
        )


def _how(checkpoint: Checkpoint, modality: str) -> None:
    """Take a modality's box and slider into the address, its edit last."""
    from fusion.explain.edits import BOXES, RATE, Edit

    before = edited(checkpoint)
    own = next((edit for edit in before if edit.modality == modality and edit.how in BOXES), None)
    how, rate = st.session_state[f"how_{modality}"], st.session_state.get(f"rate_{modality}")
    others = [edit for edit in before if edit is not own]
    if how == KEEP:
        editing.put(others)
        return
    same = own is not None and own.how == how  # a new edit starts at the usual rate
    editing.put(
        [*others, Edit(modality, how, rate / 100 if same and rate is not None else RATE, own.seed if same else 0)]
    )


def _again(checkpoint: Checkpoint, modality: str) -> None:
    from dataclasses import replace

    from fusion.explain.edits import BOXES

    again = lambda edit: edit.modality == modality and edit.how in BOXES  # noqa: E731
    editing.put([replace(edit, seed=edit.seed + 1) if again(edit) else edit for edit in edited(checkpoint)])
