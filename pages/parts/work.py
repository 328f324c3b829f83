"""Long work started from a page: a child process, its progress, and a way to stop it. The page lives on meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import streamlit as st

from fusion import jobs
from fusion.words import t
from pages.parts import cache, chrome, link_cache, recent, stream_cache
from pages.parts.chrome import fragment, guard, plain
from pages.parts.runs_told import doing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fusion.alignment.whole import AlignedSet
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.links.whole import LinkSet
    from fusion.observations import Observed
    from fusion.streams.whole import StreamedSet
    from pages.parts.kinds import Kind

Whole = TypeVar("Whole")
PASSES = 25  # samples a second on two busy cores: what the estimate before the first report is made of

WARM, ENTITIES = 40, 250  # seconds to load and read features, entities a second: the same for graphs
QUESTIONS = 1_000  # questions of links a second
SEQUENCES = 60  # samples of sequences a second, each answered from every subset of its modalities


def observed(page: str) -> tuple[Checkpoint, DataSet, Observed] | None:
    """What a page of a whole data set shows; None when something is missing, which is said with its way out."""
    return _computed(page, "pairs", cache.observed)


def aligned(page: str) -> tuple[Checkpoint, DataSet, AlignedSet] | None:
    """As `observed`, of all entities of two graphs."""
    return _computed(page, "graph", cache.aligned)


def linked(page: str) -> tuple[Checkpoint, DataSet, LinkSet] | None:
    """As `observed`, of all held-out questions to a graph."""
    return _computed(page, "triples", link_cache.whole)


def streamed(page: str) -> tuple[Checkpoint, DataSet, StreamedSet] | None:
    """As `observed`, of all samples of a set of sequences."""
    return _computed(page, "streams", stream_cache.whole)


def _computed(
    page: str, kind: Kind, kept: Callable[[Checkpoint, DataSet], Whole | None]
) -> tuple[Checkpoint, DataSet, Whole] | None:
    """What was kept of a data set of this kind under the checkpoint in use; without it, the offer to compute it."""
    dataset, checkpoint = chrome.dataset(kind), chrome.checkpoint()
    if dataset is None or checkpoint is None:
        return None
    seen = kept(checkpoint, dataset)
    if seen is None:
        offer(checkpoint, dataset)
        return None
    recent.note(page, checkpoint, dataset)
    return checkpoint, dataset, seen


def offer(found: Checkpoint, dataset: DataSet) -> None:
    """Say that a data set was not computed yet, and offer to do it."""
    key = f"observe-{found.digest[:16]}-{dataset.digest[:16]}"
    arguments = ["observe", dataset.spec or dataset.key, "--checkpoint", str(found.folder), "--json"]
    count = len(dataset)
    if not count:
        st.warning(t("empty.data", name=plain(dataset.name)))
        return
    with st.container(border=True, key="card_offer"), guard("work.title"):
        st.markdown(f"#### {t('work.observe', name=plain(dataset.name), checkpoint=plain(found.name))}")
        if dataset.kind == "graph":
            before = t("work.entities", n=f"{count:,}", s=_time(WARM + count / ENTITIES))
        elif dataset.triples is not None:
            count = len(dataset.triples.queries("valid", "test"))
            before = t("work.questions", n=f"{count:,}", s=_time(WARM + count / QUESTIONS))
        elif dataset.streams is not None:
            before = t("work.sequences", n=f"{count:,}", s=_time(WARM / 2 + count / SEQUENCES))
        else:
            before = t("empty.todo", n=f"{count:,}", s=_time(count / PASSES))
        follow(key, arguments, before, t("work.compute"))


def follow(
    key: str, arguments: Sequence[str], before: str, start: str, done: Callable[[], None] | None = None,
    prepare: Callable[[], None] | None = None,
) -> None:  # fmt: skip
    """A button that starts `python -m fusion ARGUMENTS`, then its progress; the page runs again when it has ended.

    prepare: what is done first when the button is pressed.
    """
    now = jobs.status(key)
    if now is not None and now.state == "running":
        _running(key)
        return
    if now is not None and now.state == "failed":
        st.error(plain(now.message, 600) or t("work.failed"))
    elif now is not None and now.state == "stopped":
        st.info(t("work.stopped"))
    elif now is not None and now.state == "done" and done is not None:
        done()
        return
    st.markdown(before)
    st.button(start, key=f"start_{key}", type="primary", on_click=_start, args=(list(arguments), key, prepare))


def _start(arguments: list[str], key: str, prepare: Callable[[], None] | None = None) -> None:
    if prepare is not None:
        prepare()
    jobs.start(arguments, key)


@fragment(run_every=1.0)
def _running(key: str) -> None:
    now = jobs.status(key)
    if now is None or now.state != "running":
        st.rerun(scope="app")
    share = now.done / now.total if now.total else 0.0
    told = t("work.begin") if not now.total else t("work.steps", done=f"{now.done:,}", total=f"{now.total:,}")
    stage = doing(now) if now.total else ""
    left = "" if now.seconds_left is None else t("work.left", time=_time(now.seconds_left))
    st.progress(min(share, 1.0), text=" ".join(one for one in (stage, told, left) if one))
    st.caption(t("work.alive"))
    st.button(t("work.stop"), key=f"stop_{key}", on_click=jobs.stop, args=(key,))


def _time(seconds: float) -> str:
    """A length of time in words, rounded as an estimate deserves."""
    if seconds < 90:
        return t("work.seconds", count=max(1, round(seconds)))
    return t("work.minutes", count=round(seconds / 60))
