"""Inspect, Fusion, Map and Match for a graph checkpoint: what the pages say is what the checkpoint computes."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from streamlit.testing.v1 import AppTest

from fusion import checkpoints, data, words
from fusion.alignment.inputs import encoders_of
from fusion.alignment.inspection import Aligner
from fusion.alignment.whole import AlignedSet, whole
from fusion.data import DataSet, emoji
from fusion.data.graph_features import graph_features
from fusion.data.graphs import GraphSet
from fusion.models import maf, mclea, meaformer
from fusion.triage.verdicts import Verdicts
from fusion.types import Image
from pages.parts import cache, entity_map, entity_tabs, finder, kinds, listening
from tests import triage_app
from tests.contact_sheet import linked

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("inspect", "fusion", "map", "match")
MODALITIES = ("image", "name", "graph")
PAIRS = 30
Open = Callable[..., AppTest]


def small() -> DataSet:
    """Thirty linked pairs of the emoji graphs, and what is between them; one entity lost its picture."""
    full = emoji.load()
    graph = full.graph
    assert graph is not None
    chosen = [at for split in (0, 1, 2) for at in np.flatnonzero(graph.split == split)[: PAIRS // 3]]
    linked = graph.links[chosen]
    near = {n.entity for row in linked.ravel() for n in graph.neighbours(int(row))[:2]}
    rows = np.asarray(sorted(set(linked.ravel().tolist()) | near))
    place = {int(row): at for at, row in enumerate(rows)}
    inside = np.isin(graph.triples[:, [0, 2]], rows).all(1)
    triples = graph.triples[inside].copy()
    triples[:, [0, 2]] = np.vectorize(place.__getitem__)(triples[:, [0, 2]])
    links = np.vectorize(place.__getitem__)(linked).astype(np.int32)
    counts = np.zeros((0, 3), np.int32)
    cut = GraphSet(
        graph.titles, graph.side[rows], triples, graph.relations, links, graph.split[chosen], (), counts,
        tuple(graph.kind[row] for row in rows),
    )  # fmt: skip
    samples = [full.samples[row] for row in rows]
    bare = int(links[-1, 0])
    parts = {name: part for name, part in samples[bare].parts.items() if name != "image"}
    samples[bare] = replace(samples[bare], parts=parts)
    return DataSet("emoji", "Few emoji", tuple(samples), spec="emoji", digest="few", root=full.root, graph=cut)


@pytest.fixture(scope="module")
def few() -> DataSet:
    return small()


@pytest.fixture(scope="module")
def folder(few: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints with random weights: two of graphs, and one of pairs that comes first by its name."""
    root = tmp_path_factory.mktemp("checkpoints")
    found = graph_features(few, ("image", "name"))
    widths = tuple(found.widths.get(m, 16) for m in MODALITIES)
    shared = {"entities": len(few), "modalities": MODALITIES, "input_widths": widths, "hidden_widths": (16,)}
    torch.manual_seed(2)
    made = {
        "mea": meaformer.MEAformer(meaformer.Config(**shared, width=16, inner_width=16, fusion_heads=2)),
        "mcl": mclea.MCLEA(mclea.Config(**shared, widths=(16, 16, 16))),
    }
    for name, model in made.items():
        checkpoints.save(
            root / name, model.eval(), encoders=encoders_of(found, MODALITIES), data="emoji", metrics={},
            card=f"# {name}\n\nRandom weights.\n", origin={},
        )  # fmt: skip
    config = maf.Config(
        text_width=384, shape_width=10, image_width=1280, pooled_width=384, max_length=64, heads=4, inner_width=48,
        cm_padding="masked",
    )  # fmt: skip
    checkpoints.save(
        root / "a-maf", maf.MAF(config).eval(), data="gloss", metrics={}, card="", origin={},
        encoders={"text": "minilm+shape", "image": "efficientnet-lite0"},
    )  # fmt: skip
    return root


@pytest.fixture(scope="module")
def aligned(few: DataSet, folder: Path) -> AlignedSet:
    """All entities under the checkpoint "mea", and under "mcl"."""
    whole(Aligner.open(checkpoints.read(folder / "mcl"), few))
    return whole(Aligner.open(checkpoints.read(folder / "mea"), few))


@pytest.fixture
def app(
    folder: Path, few: DataSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Open]:
    """Opens a page as a link would: app(page, **query), with the checkpoint "mea" unless another one is named."""
    monkeypatch.setattr(checkpoints, "roots", lambda: [folder])
    monkeypatch.setitem(data.DATASETS, "emoji", lambda: few)
    cache.forget_data("emoji")

    def opened(page: str, **query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for name, value in ({"lang": "en", "ckpt": "mea"} | query).items():
            at.query_params[name] = value
        words.use(query.get("lang", "en"))
        at.switch_page(f"pages/{page}.py")
        return at.run()

    yield opened
    words.use("en")
    cache.forget_data("emoji")
    broken = [record.getMessage() for record in caplog.records if record.exc_info]
    assert not broken, broken


def told(key: str, language: str = "en", **values: object) -> str:
    return words.catalogue(language)[key].format(**values)


def said(at: AppTest) -> str:
    kinds_of = ("title", "header", "markdown", "caption", "error", "warning", "info", "success")
    return "\n".join(str(one.value) for kind in kinds_of for one in getattr(at, kind)).replace("\\", "")


def metric(at: AppTest, key: str) -> str:
    return next(one.value for one in at.metric if one.label == told(key))


def frame(at: AppTest, column: str):  # type: ignore[no-untyped-def]
    return next(one.value for one in at.dataframe if column in one.value)


def held_out(aligned: AlignedSet) -> str:
    """A held-out entity of the first graph with its picture."""
    return str(aligned.pairs("test")["id"].iloc[0])


def test_a_checkpoint_is_shown_by_its_task_alone() -> None:
    systems = re.compile(r"mclea|meaformer|\"maf\"|\bimf\b|hscl|tfr_net|\btate\b")
    assert not [path for path in (ROOT / "pages").rglob("*.py") if systems.search(path.read_text())]
    assert set(kinds.READS.values()) == {"pairs", "graph", "triples", "streams"}


@pytest.mark.parametrize("language", list(words.LANGUAGES))
@pytest.mark.parametrize("page", PAGES)
def test_a_link_that_names_the_checkpoint_brings_its_data_set_and_its_purpose(
    app: Open, aligned: AlignedSet, page: str, language: str
) -> None:
    at = app(page, lang=language)
    assert not at.exception
    assert not at.error
    assert told(f"{page}.lead.graph", language) in [one.value for one in at.markdown]
    assert told(f"{page}.help.graph", language) in [one.value for one in at.markdown]
    charts = at.get("plotly_chart")
    assert all(chart.proto.alt for chart in charts)
    assert charts or page in ("inspect", "match")


def test_the_data_set_in_a_link_brings_a_checkpoint_that_reads_it(app: Open, aligned: AlignedSet) -> None:
    at = app("match", ckpt="", data="emoji")
    assert not at.error
    assert metric(at, "aligning.count") == "10"


@pytest.mark.parametrize("page", PAGES)
def test_pairs_under_a_graph_checkpoint_are_refused_with_two_ways_out(
    app: Open, aligned: AlignedSet, page: str
) -> None:
    at = app(page, data="gloss")
    assert any("aligns the entities of two graphs" in error.value for error in at.error)
    assert at.button(key="use_other").label == told("chrome.use", name="a\\-maf")
    at.button(key="use_emoji").click().run()
    assert not at.error


def test_choosing_a_checkpoint_of_the_other_kind_lets_go_of_the_data_set(app: Open, aligned: AlignedSet) -> None:
    at = app("match", data="emoji")
    at.radio(key="pick_ckpt").set_value("a-maf").run()
    assert not at.error
    assert "data" not in at.session_state["view"]
    at.radio(key="pick_data").set_value("emoji").run()
    assert not at.error
    assert at.session_state["view"].get("ckpt") is None
    assert metric(at, "aligning.count") == "10"


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_an_entity_opens_by_its_link_with_every_tab(
    app: Open, few: DataSet, aligned: AlignedSet, language: str
) -> None:
    id = held_out(aligned)
    at = app("inspect", id=id, lang=language)
    row = aligned.frame.set_index("id").loc[id]
    assert next(m.value for m in at.metric if m.label == told("entity.verdict.rank", language)) == f"{int(row['rank'])}"
    assert finder.name_of(few.get(id)) in said(at)
    assert finder.name_of(few.get(row["partner"])) in said(at)
    for tab in entity_tabs.TABS:
        at.session_state["entity_tabs"] = told(f"entity.tab.{tab}", language)
        at.run()
        assert not at.exception, tab
        assert not at.error, tab
        charts = at.get("plotly_chart")
        assert charts, tab
        assert all(chart.proto.alt for chart in charts)


def test_candidates_are_in_the_order_of_the_model_with_the_votes(
    app: Open, few: DataSet, folder: Path, aligned: AlignedSet
) -> None:
    id = held_out(aligned)
    seen = Aligner.open(checkpoints.read(folder / "mea"), few).inspect(id)
    at = app("inspect", id=id, tab="candidates")
    table = frame(at, "votes")
    assert table["id"].tolist() == [one.id for one in seen.candidates]
    for m, vote in seen.votes.items():
        voted = table.loc[table["id"] == vote, "votes"]
        assert all(told(f"name.{m}") in cell for cell in voted)
    assert table.loc[table["partner"] != "", "id"].tolist() == [
        one.id for one in seen.candidates if seen.partner is not None and one.id == seen.partner.id
    ]


def test_the_weights_of_a_filled_in_modality_are_marked(app: Open, few: DataSet, aligned: AlignedSet) -> None:
    bare = aligned.frame[(aligned.frame["split"] != "") & ~aligned.frame["known_image"]]["id"].iloc[0]
    at = app("inspect", id=str(bare))
    assert not at.error
    assert any(told("name.image") in info.value for info in at.info)
    own = at.get("plotly_chart")[0]
    assert told("views.weights.filled", name=told("name.image")) in own.proto.spec


def test_comparing_with_another_one_is_in_the_link(app: Open, few: DataSet, aligned: AlignedSet) -> None:
    id = held_out(aligned)
    other = str(aligned.pairs("train")["partner"].iloc[0])
    at = app("inspect", id=id, against=other)
    assert not at.error
    assert told("entity.other.named") in said(at)
    at.button(key="against_drop").click().run()
    assert told("entity.other.partner") in said(at)
    same = str(aligned.pairs("train")["id"].iloc[0])
    refused = app("inspect", id=id, against=same)
    assert any("the other graph" in error.value for error in refused.error)
    refused.button(key="against_away").click().run()
    assert not refused.error


def test_an_unknown_entity_in_a_link_is_a_sentence(app: Open, aligned: AlignedSet) -> None:
    at = app("inspect", id="no-such-entity")
    assert not at.exception
    assert any("no-such-entity" in error.value.replace("\\", "") for error in at.error)


def test_a_search_finds_names_of_both_graphs_and_a_click_looks_into_one(
    app: Open, few: DataSet, aligned: AlignedSet
) -> None:
    at = app("inspect")
    name = few.get(held_out(aligned)).parts["name"].raw
    at.text_input(key="entity_search").set_value(name).run()
    found = [button for button in at.button if button.key.startswith("found_")]
    assert name in found[0].label.replace("\\", "")
    found[0].click().run()
    assert at.session_state["view"]["id"] == few.samples[finder.search(few, name)[0]].id
    assert at.metric
    at.text_input(key="entity_search").set_value("<b>zzz</b> *x*").run()
    assert not at.exception
    assert any("zzz" in info.value for info in at.info)


def test_wrongly_aligned_entities_come_one_after_the_other_worst_first(
    app: Open, few: DataSet, aligned: AlignedSet
) -> None:
    worst = finder.wrong(aligned)
    assert (np.diff(worst["rank"].to_numpy()) <= 0).all()
    assert set(worst["split"]) == {"test"}
    at = app("inspect")
    for step in range(3):
        at.button(key="next_wrong").click().run()
        assert at.session_state["view"]["id"] == worst["id"].iloc[step]
        assert metric(at, "entity.verdict.rank") == f"{int(worst['rank'].iloc[step])}"


def colour() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (40, 30), (200, 10, 40)).save(buffer, "PNG")
    return buffer.getvalue()


def test_another_picture_is_computed_anew_and_set_against_before(
    app: Open, few: DataSet, folder: Path, aligned: AlignedSet
) -> None:
    id = held_out(aligned)
    at = app("inspect", id=id)
    at.session_state["entity_picture"] = (id, Image(data=colour()))
    at.run()
    assert not at.error
    aligner = Aligner.open(checkpoints.read(folder / "mea"), few)
    before, after = aligner.inspect(id), aligner.inspect(id, image=Image(data=colour()))
    table = frame(at, told("entity.moved.before"))
    weight = table[table[told("entity.moved.what")] == told("entity.moved.weight", name=told("name.image"))].iloc[0]
    from fusion.views.speech import num

    assert weight[told("entity.moved.before")] == num(before.weights["image"])
    assert weight[told("entity.moved.after")] == num(after.weights["image"])
    assert before.weights["image"] != after.weights["image"]
    at.button(key="remove_picture").click().run()
    assert not any(told("entity.moved.before") in one.value for one in at.dataframe)


def test_a_picture_that_cannot_be_read_is_a_sentence(app: Open, aligned: AlignedSet) -> None:
    id = held_out(aligned)
    at = app("inspect", id=id)
    at.session_state["entity_picture"] = (id, Image(data=b"no picture"))
    at.run()
    assert not at.exception
    assert at.error
    assert at.button(key="remove_picture")


def test_three_modalities_are_a_triangle_and_a_click_goes_to_the_selection(
    app: Open, few: DataSet, aligned: AlignedSet
) -> None:
    at = app("fusion")
    drawn = [chart.proto.spec for chart in at.get("plotly_chart")]
    assert any("scatterternary" in spec for spec in drawn)
    page = listening.Listening(checkpoints.find("mea"), few, aligned)
    weights = page.weighed
    np.testing.assert_allclose(weights.weights.sum(1), 1, atol=1e-5)
    np.testing.assert_array_equal(weights.known[:, 0], aligned.frame["known_image"])


def test_a_weight_stands_beside_the_effect_of_removal(app: Open, aligned: AlignedSet) -> None:
    at = app("fusion", tab="honest", modality="name")
    at.session_state["fusion_tabs"] = told("fusion.tab.honest")
    at.run()
    assert not at.error
    found = aligned.faithful["name"]
    from fusion.views.speech import num

    if found is not None:
        assert num(found.value) in said(at)
    assert told("views.honest.title", name=told("name.name")) in said(at)


def test_one_weight_for_all_is_said_instead_of_a_correlation(app: Open, aligned: AlignedSet) -> None:
    at = app("fusion", ckpt="mcl")
    assert told("fusion.shared") in said(at)
    at.session_state["fusion_tabs"] = told("fusion.tab.honest")
    at.run()
    assert not at.error
    assert told("fusion.honest.shared") in said(at)


def test_the_map_joins_wrong_pairs_first(few: DataSet, aligned: AlignedSet) -> None:
    rows = entity_map.rows_of(few, aligned, "fused")
    assert len(rows.ids) == len(few)
    assert rows.pairs.shape == (10, 2)
    lines, apart = entity_map._lines(aligned, rows, (), 3)
    ranks = aligned.frame.set_index("id")["rank"]
    joined = sorted((ranks[rows.ids[a]] for a, _ in lines), reverse=True)
    assert joined == sorted(aligned.pairs("test")["rank"], reverse=True)[:3]
    for (a, b), distance in zip(lines, apart, strict=True):
        assert distance == pytest.approx(float(np.linalg.norm(rows.vectors[a] - rows.vectors[b])), abs=1e-5)
    image = entity_map.rows_of(few, aligned, "image")
    assert image.vectors.shape[1] == 16


@pytest.mark.parametrize("space", ["fused", "image", "graph"])
def test_the_map_lists_wrong_ones_until_others_are_chosen(
    app: Open, few: DataSet, aligned: AlignedSet, space: str
) -> None:
    at = app("map", space=space, colour="rank")
    assert not at.error
    assert frame(at, "other")["id"].tolist()[:3] == finder.wrong(aligned)["id"].tolist()[:3]
    from pages.parts.state import Selection

    at.session_state["selection"] = Selection("emoji", (held_out(aligned),), held_out(aligned))
    at.run()
    assert frame(at, "other")["id"].tolist() == [held_out(aligned)]
    assert linked(at) == ([held_out(aligned)] if few.get(held_out(aligned)).image() else [])


def test_a_verdict_on_a_link_colours_both_its_entities(
    app: Open, few: DataSet, folder: Path, aligned: AlignedSet
) -> None:
    graph = few.graph
    assert graph is not None
    ids, partners = ([few.samples[row].id for row in graph.links[:, side]] for side in (0, 1))
    found = checkpoints.read(folder / "mea")
    with triage_app.inspected(ids, found, few, "graph", partner=partners) as store:
        book = Verdicts.open(store.folder, "Ada")
        for id in ids[:3]:
            book.put(id, "mismatch")
        at = app("map", colour="verdict", lang="zh")
        assert not at.error
        verdicts = f"{told('queue.verdict.mismatch', 'zh')} 6"
        assert told("map.verdict.entities", "zh", count=len(few), judged=6, verdicts=verdicts) in said(at)
        assert told("map.suspicion.told", median="0.5", high="0.9", id=ids[0]) in said(app("map", colour="suspicion"))


def test_hits_and_ranks_are_those_of_the_set(app: Open, aligned: AlignedSet) -> None:
    from fusion.views.speech import num, percent

    at = app("match")
    pairs = aligned.pairs("test")
    assert metric(at, "aligning.hits1") == percent(float((pairs["rank"] <= 1).mean()))
    assert metric(at, "aligning.hits10") == percent(float((pairs["rank"] <= 10).mean()))
    assert metric(at, "aligning.mrr") == num(float((1 / pairs["rank"]).mean()))
    assert frame(at, "other")["id"].tolist() == finder.wrong(aligned)["id"].tolist()
    at.segmented_control(key="entity_split").set_value("train").run()
    assert metric(at, "aligning.hits1") == percent(float((aligned.pairs("train")["rank"] <= 1).mean()))
    for tab in ("ranks", "slices", "modalities"):
        at.session_state["aligning_tabs"] = told(f"aligning.tab.{tab}")
        at.run()
        assert not at.error, tab
        assert at.get("plotly_chart"), tab


def test_what_was_not_computed_is_offered(app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "aligned", lambda *_: None)
    for page in ("fusion", "map", "match"):
        at = app(page)
        assert not at.error
        assert any(button.label == told("work.compute") for button in at.button)
    at = app("inspect")
    assert at.button(key="next_wrong").disabled


def test_the_checkpoints_page_says_what_a_graph_checkpoint_gives_and_what_its_data_holds(
    app: Open, few: DataSet, aligned: AlignedSet
) -> None:
    at = app("checkpoints")
    assert not at.error
    assert told("checkpoints.promised") in said(at)
    at = app("checkpoints", tab="data")
    at.session_state["checkpoints_tabs"] = told("checkpoints.tab.data")
    at.run()
    assert not at.error
    assert metric(at, "checkpoints.graph.links") == str(PAIRS)
    assert told("checkpoints.graph.ready", name="mea", count=f"{len(few):,}") in said(at)
