"""Ways to choose a sample, a word and a head; each writes the state, so that the address says the same."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import streamlit as st

from fusion.types import FusionError
from fusion.words import current, t
from pages.parts import cache, state
from pages.parts.chrome import plain
from pages.parts.state import Desk

if TYPE_CHECKING:
    from collections.abc import Callable

    from fusion.data import DataSet
    from fusion.types import Image, Sample, Steps

UPLOAD = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
SOURCES = ("drop", "gallery", "data")
CAPTIONS = ("fits", "detail", "unrelated")
MOST_CHIPS = 80  # words to choose from; beyond that the select box alone would be as long as the page


def from_address(dataset: DataSet | None) -> str:
    """Lay what the address names on the desk. -> the sentence that says why it couldn't, "" when all is well"""
    story, id = state.get("story"), state.get("id")
    desk = state.desk()
    here = desk.sample.id if desk.sample is not None else ""
    if (story and here == f"story-{story}") or (id and here == id) or not (story or id):
        return ""
    text = state.get("text")
    if story:
        from fusion.data import gallery

        told = next((one for one in gallery.stories() if one.id == story), None)
        if told is None:
            return t("error.story", id=plain(story, 60))
        _take(told.sample(), "story", text)
        return ""
    for kind, source in (("data", dataset), ("gallery", cache.data("gallery"))):
        if source is not None and id in source.index:
            _take(source.get(id), kind, text)
            return ""
    name = dataset.name if dataset is not None else state.get("data", "gloss")
    return t("error.id", id=plain(id, 60), data=plain(name, 60))


def _take(sample: Sample, kind: str, text: str = "") -> None:
    """A whole sample on the desk, its text changed where the address says so."""
    text = text or sample.text()
    here = state.desk().sample
    if here is not None and here.text() != text:
        state.put(token=None)  # the word with that number is another one now
    state.lay(Desk(sample=sample, kind=kind, picture=sample.image(), text=text))
    st.session_state["sentence"] = text
    st.session_state["source"] = {"data": "data", "gallery": "gallery"}.get(kind, "drop")


def sample_of(desk: Desk) -> Sample | None:
    """What to run: the sample taken while it is unchanged, else the picture and text as they are now."""
    from fusion.types import Sample, Text

    if not desk.edited:
        return desk.sample
    if desk.picture is None and not desk.text.strip():
        return None
    parts: dict[str, Text | Image] = {"text": Text(desk.text)}
    if desk.picture is not None:
        parts["image"] = desk.picture
    return Sample(id="own", parts=parts)


def sample(dataset: DataSet | None) -> None:
    """The input of the Inspect page: where the picture comes from, the picture, the text."""
    st.segmented_control(
        t("inspect.source"),
        SOURCES,
        format_func=lambda key: t(f"inspect.source.{key}"),
        key="source",
        default=None if "source" in st.session_state else "gallery",
        required=True,
        width="stretch",
    )
    source = st.session_state.get("source") or "gallery"
    if source == "drop":
        _uploader()
    elif source == "gallery":
        _gallery()
    elif dataset is not None:
        _from_data(dataset)
    _on_the_desk()
    if "sentence" not in st.session_state:
        st.session_state["sentence"] = state.desk().text
    st.text_area(
        t("inspect.text"),
        key="sentence",
        height=104,
        placeholder=t("inspect.text.placeholder"),
        on_change=_typed,
        help=t("inspect.text.help"),
    )
    _captions()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(t("inspect.run"), key="run", type="primary", on_click=_typed)
        st.button(t("inspect.random"), key="random", on_click=_random, args=(dataset,), disabled=dataset is None)


def _typed() -> None:
    desk = state.desk()
    state.lay(Desk(desk.sample, desk.kind or "own", desk.picture, desk.name, st.session_state.get("sentence") or ""))


def _uploader() -> None:
    """A picture dropped in, on the desk as soon as it comes."""
    st.markdown(t("inspect.drop"))
    drop_box("drop_image", _dropped)


def _dropped(name: str, picture: Image) -> None:
    state.lay(Desk(None, "own", picture, name, state.desk().text))


def drop_box(key: str, take: Callable[[str, Any], None], *, sound: bool = False) -> None:
    """A box that hands on the name of a picture (or recording) and the Image (or Audio), and is empty again.

    A box that kept its file would run the page twice for the next one: once for the old file's leaving.
    """
    count = st.session_state.setdefault(f"{key}_count", 0)

    def came() -> None:
        from fusion.types import Audio, Image

        file = st.session_state.get(f"{key}_{count}")
        if file is not None:
            st.session_state[f"{key}_count"] = count + 1
            take(file.name, (Audio if sound else Image)(data=file.getvalue()))

    with st.container(key=key, gap="xsmall"):
        st.file_uploader(
            t("streams.drop.label" if sound else "inspect.drop.label"), type=None, key=f"{key}_{count}",
            label_visibility="collapsed", on_change=came, max_upload_size=25,
        )  # fmt: skip
        st.caption(t("streams.drop.limits" if sound else "inspect.drop.limits"))


def _gallery() -> None:
    """Twelve photographs as buttons; a click lays the photograph and the caption that fits it on the desk."""
    from fusion.data import gallery

    names = gallery.captions()
    photographs = cache.data("gallery")
    firsts = {key: photographs.get(f"{key}-{gallery.FITS}") for key in names}

    def faces() -> str:
        rule = ".st-key-photo_{} button{{background-image:url({})!important}}"
        return "".join(rule.format(key, cache.thumbnail(one.image(), 120)) for key, one in firsts.items())

    st.html(f"<style>{cache.made(faces, 'faces')}</style>")
    desk = state.desk()
    here = desk.sample.note["photograph"] if desk.kind == "gallery" and desk.sample is not None else ""
    with st.container(key="photographs", gap="xsmall"):
        keys = list(names)
        for start in range(0, len(keys), 4):
            for column, key in zip(st.columns(4, gap="xsmall", wrap=False), keys[start : start + 4], strict=False):
                column.button(
                    names[key]["name_zh" if current() == "zh" else "name_en"],
                    key=f"photo_{key}",
                    type="primary" if key == here else "secondary",
                    on_click=_take,
                    args=(firsts[key], "gallery"),
                    width="stretch",
                )


def _captions() -> None:
    """For a photograph of the gallery: the caption that fits, one with a wrong detail, an unrelated one."""
    desk = state.desk()
    if desk.kind != "gallery" or desk.sample is None:
        return
    photographs = cache.data("gallery")
    key = desk.sample.note["photograph"]
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="captions"):
        st.caption(t("inspect.captions"), width="content")
        for kind in CAPTIONS:
            st.button(
                t(f"inspect.captions.{kind}"),
                key=f"caption_{kind}",
                type="tertiary",
                on_click=_take,
                args=(photographs.get(f"{key}-{kind}"), "gallery"),
                disabled=desk.text == photographs.get(f"{key}-{kind}").text(),
            )


def _from_data(dataset: DataSet) -> None:
    """An id of the data set to type, and steps through its rows."""
    if not dataset.samples:
        st.warning(t("empty.data", name=plain(dataset.name)))
        return
    desk = state.desk()
    here = desk.sample.id if desk.kind == "data" and desk.sample is not None else ""
    st.session_state["data_id"] = here
    st.text_input(
        t("inspect.id", name=dataset.name, count=f"{len(dataset):,}"),
        key="data_id",
        on_change=_typed_id,
        args=(dataset,),
        placeholder=dataset.samples[0].id,
    )
    with st.container(horizontal=True, gap="xsmall", key="rows"):
        st.button(t("chrome.previous"), key="row_back", on_click=_row, args=(dataset, -1), shortcut="Alt+ArrowLeft")
        st.button(t("chrome.next"), key="row_on", on_click=_row, args=(dataset, 1), shortcut="Alt+ArrowRight")
    if problem := st.session_state.pop("id_problem", ""):
        st.error(problem)


def _typed_id(dataset: DataSet) -> None:
    wanted = (st.session_state.get("data_id") or "").strip()
    if not wanted:
        return
    try:
        _take(dataset.get(wanted), "data")
    except FusionError as error:
        st.session_state["id_problem"] = plain(str(error), 400)


def _row(dataset: DataSet, by: int) -> None:
    desk = state.desk()
    at = dataset.index.get(desk.sample.id, -1 if by > 0 else 0) if desk.sample is not None else -1 if by > 0 else 0
    _take(dataset.samples[(at + by) % len(dataset)], "data")


def _random(dataset: DataSet) -> None:
    _take(random.choice(dataset.samples), "data")


def _on_the_desk() -> None:
    """The picture in use, small, with where it comes from and a way to go without one."""
    desk = state.desk()
    if desk.picture is None:
        if desk.kind:
            st.caption(t("inspect.no_picture"))
        return
    try:
        made = cache.shown(desk.picture)
    except FusionError as error:
        st.error(plain(str(error), 500))
        return
    note = desk.sample.note if desk.sample is not None else {}
    with st.container(horizontal=True, vertical_alignment="center", key="on_desk"):
        st.image(made, width=96, alt=t("inspect.picture.alt"))
        with st.container(gap="xsmall"):
            if desk.kind == "gallery":
                st.caption(
                    t("inspect.credit", credit=plain(note.get("credit", "")), licence=plain(note.get("licence", "")))
                )
            elif desk.name:
                st.caption(f"{plain(desk.name, 60)}  \n{t('inspect.no_link')}")
            elif desk.kind == "data" and desk.sample is not None:
                st.caption(t("inspect.row", id=plain(desk.sample.id, 60)))
            st.button(t("inspect.remove"), key="remove_picture", type="tertiary", on_click=_remove)


def _remove() -> None:
    desk = state.desk()
    state.lay(Desk(desk.sample, desk.kind, None, "", desk.text))


def word(steps: Steps, chosen: int | None, key: str) -> None:
    """The words of the text as chips; one writes its number to the address, chosen again it takes it away."""
    count = min(len(steps.groups), MOST_CHIPS)
    options = list(range(count))
    st.session_state[key] = chosen if chosen in options else None

    def picked() -> None:
        state.put(token="all" if st.session_state[key] is None else st.session_state[key])

    st.pills(
        t("inspect.word"),
        options,
        format_func=lambda i: f"{i + 1}·{plain(steps.groups[i], 24)}",
        key=key,
        on_change=picked,
        help=t("inspect.word.help"),
    )


def path(key: str, label: str, example: str, none: str) -> str:
    """A box for a path on this machine, with its button. -> the path once it is pressed, "" before

    Raises FusionError with the sentence `none` when it is pressed with nothing typed.
    """
    with st.form(f"form_{key}", border=False):
        typed = st.text_input(label, key=key, placeholder=example).strip()
        pressed = st.form_submit_button(t("checkpoints.open.do"))
    if pressed and not typed:
        raise FusionError(none)
    return typed if pressed else ""
