"""Search on the Match page: a sentence finds pictures, a picture finds sentences, by the model's own alignment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.types import FusionError, Image, Sample, Text
from fusion.words import t
from pages.parts import cache, chrome, state, table

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from pages.parts.pairs import Pairs

TOP = 10
WAYS = ("text", "image")


@chrome.fragment
def show(checkpoint: Checkpoint, dataset: DataSet, pairs: Pairs) -> None:
    """What to ask with, and the ten that come closest; redrawn alone."""
    names = {name: t(f"match.ask.{name}") for name in WAYS}
    way = st.segmented_control(
        t("match.ask"), WAYS, key="ask_way", default=None if "ask_way" in st.session_state else "text", required=True,
        format_func=names.__getitem__,
    )  # fmt: skip
    sample = _sentence(pairs) if way == "text" else _picture(pairs, dataset)
    if sample is None:
        st.info(t("match.ask.empty"))
        return
    with chrome.guard("match.tab.search"):
        _answer(checkpoint, dataset, pairs, sample, way or "text")


def _sentence(pairs: Pairs) -> Sample | None:
    """The sentence typed; examples are those of the first pairs."""
    typed = st.text_input(t("match.ask.sentence"), key="ask_text", placeholder=t("match.ask.example"), max_chars=2000)
    options = pairs.frame["text"].drop_duplicates().head(3).tolist()
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center", key="ask_examples"):
        st.caption(t("match.ask.try"), width="content")
        for number, text in enumerate(options):
            st.button(chrome.plain(text, 34), key=f"ask_{number}", type="tertiary", on_click=_type, args=(text,))
    return Sample("asked", {"text": Text(typed)}) if typed.strip() else None


def _type(text: str) -> None:
    st.session_state["ask_text"] = text


def _picture(pairs: Pairs, dataset: DataSet) -> Sample | None:
    """The picture dropped, or that of the sample on the Inspect page."""
    st.markdown(t("inspect.drop"))
    file = st.file_uploader(
        t("inspect.drop.label"), type=None, key="ask_picture", label_visibility="collapsed", max_upload_size=25
    )
    st.caption(t("inspect.drop.limits"))
    if file is not None:
        return Sample("asked", {"image": Image(data=file.getvalue())})
    desk = state.desk()
    if desk.picture is not None:
        st.caption(t("match.ask.desk"))
        return Sample("asked", {"image": desk.picture})
    return None


def vector(checkpoint: Checkpoint, sample: Sample) -> tuple[dict[str, np.ndarray], float]:
    """The unit vectors of what a sample has, and the share of its words that the text encoder doesn't know.

    -> {modality: (D,)}. Raises FusionError on a picture that can't be read.
    """
    pipeline = cache.pipeline(checkpoint)
    text, image = pipeline.encode([sample])
    output = pipeline.run(pipeline.batch([sample], text, image), trace=False)
    found = {}
    for name, there in (("text", bool(sample.text().strip())), ("image", sample.image() is not None)):
        if there:
            made = output.extras[f"align_{name}"][0].float().cpu().numpy()
            found[name] = made / max(float(np.linalg.norm(made)), 1e-12)
    return found, float(text.unknown[0])


def _answer(checkpoint: Checkpoint, dataset: DataSet, pairs: Pairs, sample: Sample, way: str) -> None:
    """The ten nearest of the other kind, with the picture that was asked with and its own partner marked."""
    from fusion.inference import UNKNOWN_LIMIT, sample_digest
    from fusion.metrics.retrieval import top_k
    from fusion.views.speech import num, percent

    found, unknown = cache.made(lambda: vector(checkpoint, sample), "asked", checkpoint.digest, sample_digest(sample))
    picture = sample.image()
    if picture is not None:
        st.image(cache.shown(picture), width=120, alt=t("inspect.picture.alt"))
    if unknown > UNKNOWN_LIMIT and way == "text":
        languages = ", ".join(cache.pipeline(checkpoint).text.languages)
        st.warning(t("notice.unknown", share=percent(unknown), languages=languages))
    rows = pairs.pictures if way == "text" else np.arange(len(pairs.frame))
    keys = (pairs.image if way == "text" else pairs.text)[rows]
    if way not in found or found[way].shape[0] != keys.shape[1]:
        raise FusionError(t("match.ask.width"))
    index, score = top_k(found[way], keys, min(TOP, len(rows)))
    part = pairs.frame.iloc[rows[index]].assign(score=score.astype(np.float32))
    between = {"best": num(float(score[0])), "last": num(float(score[-1]))}
    st.markdown(t(f"match.answer.{way}", count=f"{len(rows):,}", **between) + _own(pairs, sample, rows, index))
    table.show(dataset, part, ("score",), f"answer_{way}")
    st.caption(t("match.answer.hides"))


def _own(pairs: Pairs, sample: Sample, rows: np.ndarray, index: np.ndarray) -> str:
    """Where the partner of a sentence of the data set stands, "" when the sentence is not one of its own."""
    same = np.flatnonzero((pairs.frame["text"] == sample.text()).to_numpy())
    if not sample.text().strip() or not len(same):
        return ""
    wanted = set(pairs.picture[same].tolist())
    place = next((i + 1 for i, row in enumerate(rows[index]) if int(pairs.picture[row]) in wanted), None)
    return " " + (t("match.own", place=place) if place else t("match.own.absent", count=len(index)))
