"""A report of what a page shows, as one HTML file: made by a job of its own, then downloaded."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

import fusion
from fusion.files import atomic_file, digest, home
from fusion.types import FusionError
from fusion.words import current, t
from pages.parts import cache, finder, link_finder, pickers, state, stream_finder, using, work
from pages.parts import link_question as questions

if TYPE_CHECKING:
    from collections.abc import Callable

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.types import Audio, Image
    from pages.parts.kinds import Kind

SECONDS = 15  # of a report: a model to load, pictures to draw
KEPT = 30 * 86_400  # seconds that a report is kept


@dataclass
class Asked:
    """What the command line is told of a sample, and the files that it reads: parts that a person brought."""

    words: list[str] = field(default_factory=list)
    files: dict[Path, bytes] = field(default_factory=dict)

    def add(self, name: str, value: str | None) -> None:
        """An option with its value; nothing without one."""
        if value:
            self.words.append(f"--{name}={value}")

    def part(self, name: str, part: Image | Audio | None) -> None:
        """A picture or a recording: of the disk by its path, else kept aside under its content."""
        if part is None:
            return
        if part.data is None:
            self.add(name, str(part.path))
            return
        path = home() / "reports" / "parts" / f"{cache.content(part)[:24]}{Path(part.path or '').suffix}"
        self.files[path] = part.data
        self.add(name, str(path))


def show(page: str) -> None:
    """The way to a report of what the page shows: of the sample on Inspect, of the whole set on Fusion."""
    kind = using.kind()
    name = state.get("ckpt")
    found = cache.checkpoint(name) if name else using.usual()
    spec = using.data_spec()
    if found is None or not using.fits(found, spec):
        return
    dataset = cache.data(spec)
    asked = Asked([dataset.spec or dataset.key]) if page == "fusion" else SAMPLES[kind](found, dataset)
    if asked is not None:
        with st.popover(t("reporting.title"), key="report"):
            st.markdown(t("reporting.set" if page == "fusion" else "reporting.sample"))
            asked.words = ["report", *asked.words, f"--checkpoint={found.folder}"]
            _make(asked, found.name, found.digest, dataset.digest)


def compared(a: Checkpoint, b: Checkpoint, dataset: DataSet, id: str | None) -> None:
    """The way to a report of two checkpoints: of the sample of an id, or of the whole set."""
    word = state.get("switch")
    asked = Asked(["compare", str(a.folder), *([f"--switch={word}"] if word else [str(b.folder)])])
    asked.add("data", dataset.spec or dataset.key)
    asked.add("id", id)
    with st.popover(t("reporting.title"), key="report"):
        st.markdown(t("reporting.compared.sample" if id else "reporting.compared.set"))
        _make(asked, f"{a.name}-compared", a.digest, b.digest, dataset.digest)


def _make(asked: Asked, name: str, *content: str) -> None:
    """Make it, follow it, and hand it out; the same report of the same weights and data is made once.

    name: of the file that a person gets; content: hashes of what the report is of.
    """
    words = [*asked.words, f"--lang={current()}"]
    key = f"report-{digest(fusion.__version__, *content, *words)[:24]}"
    path = home() / "reports" / f"{key}.html"
    if path.is_file():
        for aside in asked.files:
            aside.unlink(missing_ok=True)
        st.download_button(
            t("reporting.download", size=f"{path.stat().st_size / 1e6:.1f}"), data=path.read_bytes,
            file_name=f"fusionscope-{name}.html", mime="text/html", key="report_download", type="primary",
            on_click="ignore",
        )  # fmt: skip
        return
    before = t("reporting.before", s=SECONDS)
    work.follow(key, [*words, f"--out={path}"], before, t("reporting.make"), prepare=lambda: _keep(asked))


def _keep(asked: Asked) -> None:
    """Parts that a person brought, for the job to read; they go when the report is there. Old reports go, too."""
    folder = home() / "reports"
    for old in (*folder.glob("*.html"), *folder.glob("parts/*")):
        if old.stat().st_mtime < time.time() - KEPT:
            old.unlink(missing_ok=True)
    for path, data in asked.files.items():
        with atomic_file(path) as aside:
            aside.write_bytes(data)


def _pair(found: Checkpoint, dataset: DataSet) -> Asked | None:
    desk, asked = state.desk(), Asked()
    sample = pickers.sample_of(desk)
    if sample is None:
        return None
    spec, edit = dataset.spec or dataset.key, state.get("edit")
    whose = "gallery" if desk.kind == "gallery" else spec
    asked.add("edit", edit)
    if desk.kind in ("data", "gallery") and not desk.edited and (whose == spec or "swap" not in edit):
        asked.add("data", whose)
        asked.add("id", sample.id)
    else:
        asked.add("data", spec)
        asked.add("text", sample.text())
        asked.part("image", sample.image())
    donor = st.session_state.get("donor_key")
    if donor and sample.image() is not None:
        asked.part("donor", cache.data("gallery").get(f"{donor}-fits").image())
    return asked


def _entity(found: Checkpoint, dataset: DataSet) -> Asked | None:
    asked = Asked()
    if state.get("id") not in dataset.index:
        return None
    for name, value in (
        ("data", dataset.spec or dataset.key),
        ("id", state.get("id")),
        ("against", state.get("against")),
    ):
        asked.add(name, value)
    if st.session_state.get("recomputed"):
        asked.words.append("--recomputed")
    asked.part("image", finder.picture())
    return asked


def _question(found: Checkpoint, dataset: DataSet) -> Asked | None:
    question, asked = questions.asked(dataset), Asked()
    if question is None:
        return None
    relation = questions.address(questions.triples_of(dataset), question.relation)
    for name, value in (("data", dataset.spec or dataset.key), ("id", question.head), ("relation", relation),
                        ("against", question.tail), ("text", link_finder.text(question))):  # fmt: skip
        asked.add(name, value)
    asked.part("image", finder.picture())
    return asked


def _stream(found: Checkpoint, dataset: DataSet) -> Asked | None:
    asked = Asked()
    try:
        now = stream_finder.chosen(dataset)
    except FusionError:  # an unknown id, which the page says
        return None
    if now is None or (now.own and set(now.sample.parts) - {"text", "image", "audio"}):
        return None
    asked.add("data", dataset.spec or dataset.key)
    asked.add("edit", state.get("edit"))
    if not now.own:
        asked.add("id", now.sample.id)
        return asked
    asked.add("text", now.sample.text())
    for name in ("image", "audio"):
        part = now.sample.parts.get(name)
        asked.part(name, None if part is None or not hasattr(part, "data") else part)  # type: ignore[arg-type]
    return asked


SAMPLES: dict[Kind, Callable[[Checkpoint, DataSet], Asked | None]] = {
    "pairs": _pair, "graph": _entity, "triples": _question, "streams": _stream,
}  # fmt: skip
