"""The Map page: controls, the map itself, the quality box, and the table of what was chosen with the lasso."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from fusion.types import FusionError
from fusion.words import t
from pages.parts import cache, chrome, grid, place, state, table

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.observations import Observed
    from fusion.projections import Projection
    from pages.parts.place import Rows

METHODS = ("pca", "umap")
COLOURS = ("modality", "match", "cosine", "mean_gate")
RINGS = 200  # samples of a selection that are ringed and joined on the map
COLUMNS = ("match", "cosine", "rank_text", "rank_image", "mean_gate", "entities")


def show(checkpoint: Checkpoint, dataset: DataSet, observed: Observed) -> None:
    """Everything below the heading, once the data set was computed."""
    key = f"{checkpoint.digest} {dataset.digest}"
    rows = place.rows_of(observed, key)
    if len(rows.vectors) < 4:
        st.info(t("empty.few", n=4, m=len(rows.vectors)))
        return
    method, centred, colour, worst = controls(COLOURS)
    left, right = st.columns((0.7, 0.3), gap="medium")
    with left:
        projection, name = projected(rows, key, method, centred)
        _map(checkpoint, dataset, observed, rows, projection, (key, name, centred, colour, worst))
    with right, chrome.guard("map.quality"):
        _quality(observed, rows, projection, key)
    _chosen(dataset, observed)


def controls(colours: Sequence[str], graphs: bool = False, pairs: bool = True) -> tuple[str, bool, str, int]:
    """Method, centring, colour, number of worst pairs. graphs: what lies there are entities of two graphs.

    pairs: whether there are any; without, nothing is centred or joined.
    """
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="map_controls"):
        method = state.get("method", "pca")
        st.segmented_control(
            t("map.method"),
            METHODS,
            key="map_method",
            default=method if method in METHODS else "pca",
            required=True,
            format_func=lambda m: t(f"map.method.{m}"),
            on_change=lambda: state.put(method=st.session_state["map_method"]),
            help=t("map.method.help"),
        )
        colour = state.get("colour", colours[0])
        st.session_state["map_colour"] = colour if colour in colours else colours[0]  # its label follows the language
        st.selectbox(
            t("map.colour"),
            colours,
            key="map_colour",
            width=190,
            format_func=lambda c: t(f"map.colour.{c}"),
            on_change=lambda: state.put(colour=st.session_state["map_colour"]),
        )
        if not pairs:
            return st.session_state["map_method"], False, st.session_state["map_colour"], 0
        told = t("map.worst.help.graph" if graphs else "map.worst.help")
        worst = st.slider(t("map.worst"), 0, 200, 50, 10, key="map_worst", width=190, help=told)
        names = ("map.centred.graph", "map.centred.help.graph") if graphs else ("map.centred", "map.centred.help")
        centred = st.toggle(t(names[0]), value=True, key="map_centred", help=t(names[1]))
    return st.session_state["map_method"], centred, st.session_state["map_colour"], worst


def projected(rows: Rows, key: str, method: str, centred: bool) -> tuple[Projection, str]:
    """The map asked for; PCA while UMAP is still being made, and what is being made said above it."""
    if method == "umap":
        from fusion.projections import start

        try:
            job = start(rows.vectors, "umap", labels=rows.modalities, centred=centred)
        except FusionError as error:
            st.info(chrome.plain(str(error), 300))
        else:
            made = job.result()
            if made is not None:
                return made, "umap"
            if job.state() == "running":
                _waiting(job.digest)
            else:
                st.warning(f"{t('map.umap.failed')} {chrome.plain(job.error(), 300)}")
    return place.pca(rows, key, centred), "pca"


@chrome.fragment(run_every=1.5)
def _waiting(digest: str) -> None:
    from fusion.projections import Job

    job = Job(digest)
    if job.state() != "running":
        st.rerun(scope="app")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(t("map.umap.running", seconds=round(job.seconds())))
        st.button(t("work.stop"), key="stop_umap", on_click=_stop, args=(job,))


def _stop(job) -> None:  # type: ignore[no-untyped-def]
    job.stop()
    state.put(method="pca")
    st.session_state["map_method"] = "pca"


def _map(
    checkpoint: Checkpoint,
    dataset: DataSet,
    observed: Observed,
    rows: Rows,
    projection: Projection,
    name: tuple[Hashable, ...],
) -> None:
    """The page's one WebGL picture. A lasso chooses samples."""
    from fusion.views import embedding

    chosen = state.selection()
    ids = chosen.ids if chosen.data == (dataset.spec or dataset.key) else ()
    colour, worst = str(name[3]), int(str(name[4]))
    seen = _desk(checkpoint)

    def make():  # type: ignore[no-untyped-def]
        lines, distances = _lines(rows, ids[:RINGS], worst)
        frame = observed.frame
        values = None if colour == "modality" else frame[colour].to_numpy(np.float32)[rows.sample]
        return embedding.scatter(
            projection.points,
            rows.modalities,
            rows.ids,
            method=t(f"map.method.{name[1]}"),
            pairs=lines,
            distances=distances,
            selected=rows.of(ids[:RINGS]),
            placed=None if seen is None else place.placed(rows, projection, seen[0]),
            colour=values,
            colour_name="" if values is None else t(f"map.colour.{colour}"),
            total=rows.total,
        )

    whom = "" if seen is None else seen[1]
    chart = f"map_{name[1]}_{name[2]}"

    def took(marks: list[Hashable]) -> None:
        if marks:
            state.select(dataset.spec or dataset.key, [rows.ids[mark] for mark in marks if isinstance(mark, int)])

    grid.show(lambda: cache.made(make, "map", projection.digest, ids, whom, *name), chart, on_lasso=took, title=False)


def _desk(checkpoint: Checkpoint):  # type: ignore[no-untyped-def]
    """The sample on the Inspect page under this checkpoint, with its digest; None when there is none to run."""
    from fusion.inference import sample_digest
    from pages.parts import inspection, pickers

    sample = pickers.sample_of(state.desk())
    if sample is None:
        return None
    try:
        return inspection.run(checkpoint, sample), sample_digest(sample)
    except FusionError:
        return None  # the Inspect page says why


def _lines(rows: Rows, ids: tuple[str, ...], worst: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs to join: those of the selection and the farthest in the original space, with their distances."""
    if not len(rows.pairs):
        return rows.pairs, np.zeros(0, np.float32)
    apart = np.linalg.norm(rows.vectors[rows.pairs[:, 0]] - rows.vectors[rows.pairs[:, 1]], axis=1)
    keep = set(np.argsort(-apart)[:worst].tolist())
    wanted = set(ids)
    keep |= {i for i, (a, _) in enumerate(rows.pairs) if rows.ids[a] in wanted} if wanted else set()
    order = sorted(keep)
    return rows.pairs[order], apart[order].astype(np.float32)


def _quality(observed: Observed, rows: Rows, projection: Projection, key: str) -> None:
    """How far to trust the map, and how well pairs lie together, both in the original space."""
    found = cache.made(lambda: _figures(observed.frame, rows, projection), "quality", key, projection.digest)
    trust(found, len(rows.pairs))


def trust(found: dict[str, str], pairs: int) -> None:
    """The quality box: measures by name, and what each of them says. pairs: 0 where there are none"""
    import pandas as pd

    with st.container(border=True, key="card_quality"):
        st.markdown(f"##### {t('map.quality')}")
        if pairs:
            st.caption(t("map.quality.tell", n=f"{pairs:,}"))
        table = pd.DataFrame(
            {
                t("map.quality.what"): [t(f"map.quality.{name}") for name in found],
                t("map.quality.value"): list(found.values()),
            }
        )
        st.table(table, border="horizontal", hide_index=True, hide_header=True)
        with st.popover(t("map.quality.read"), type="tertiary"):
            for name in found:
                st.markdown(f"**{t(f'map.quality.{name}')}** {t(f'map.quality.{name}.help')}")


def _figures(frame: pd.DataFrame, rows: Rows, projection: Projection) -> dict[str, str]:
    from fusion.metrics import geometry, sample
    from fusion.views.speech import num, percent

    found: dict[str, str] = {}
    if len(rows.pairs) >= 4:
        some = rows.pairs[sample(len(rows.pairs))]
        text, image = rows.vectors[some[:, 0]], rows.vectors[some[:, 1]]
        for name, column in (("text_to_image", "rank_text"), ("image_to_text", "rank_image")):
            ranks = frame[column].dropna().to_numpy()
            shares = [percent(float((ranks <= k).mean())) for k in (1, 5, 10)]
            found[name] = " · ".join([*(share.rstrip("%").rstrip() for share in shares[:-1]), shares[-1]])
        found["gap"] = num(geometry.modality_gap(text, image))
        found["alignment"] = num(geometry.alignment(text, image))
        found["uniformity"] = f"{num(geometry.uniformity(text))} · {num(geometry.uniformity(image))}"
    return found | trusted(rows, projection)


def trusted(rows: Rows, projection: Projection) -> dict[str, str]:
    """How far neighbours on the map are neighbours in truth."""
    from fusion.projections import quality
    from fusion.views.speech import num, percent

    found: dict[str, str] = {}
    trust = quality(rows.vectors, projection.points, sample=1000)
    found["trust"] = num(trust.trustworthiness)
    found["continuity"] = num(trust.continuity)
    found["overlap"] = percent(trust.overlap)
    if projection.explained is not None:
        found["explained"] = percent(sum(projection.explained))
    return found


def _chosen(dataset: DataSet, observed: Observed) -> None:
    """The rows of the selection, or how to make one."""
    chosen = state.selection()
    st.header(t("map.chosen"), anchor=False)
    if not chosen.ids or chosen.data != (dataset.spec or dataset.key):
        st.markdown(t("map.chosen.none"))
        return
    frame = observed.frame
    part = frame[frame["id"].astype(str).isin(chosen.ids)].sort_values("match", na_position="last")
    st.markdown(t("map.chosen.tell", count=len(part), match=f"{part['match'].mean():.2f}"))
    table.show(dataset, part, COLUMNS, "selection")
