"""Inspect, Fusion, Map and Match for a link predictor: what the pages say is what the checkpoint computes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from streamlit.testing.v1 import AppTest

from fusion import checkpoints, data, words
from fusion.data import DataSet, keywords
from fusion.data.link_features import link_features
from fusion.data.triples import TripleSet
from fusion.links.inputs import encoders_of
from fusion.links.inspection import Predictor
from fusion.links.whole import LinkSet, whole
from fusion.models import imf, mclea
from fusion.types import Image
from fusion.views.speech import num, percent
from pages.parts import beyond, cache, link_fusion, link_map, link_match, link_question, link_tabs, place
from tests.contact_sheet import linked

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("inspect", "fusion", "map", "match")
TRIPLES = 60
Open = Callable[..., AppTest]


def small() -> DataSet:
    """Some triples of the bundled graph, of every relation and split, and the entities that they join."""
    full = keywords.load()
    triples = full.triples
    assert triples is not None
    order = np.random.default_rng(3).permutation(len(triples.triples))
    chosen = np.sort(np.concatenate([order[triples.split[order] == split][:TRIPLES] for split in (0, 1, 2)]))
    rows = np.unique(triples.triples[chosen][:, [0, 2]])
    cut = triples.triples[chosen].copy()
    cut[:, [0, 2]] = np.searchsorted(rows, cut[:, [0, 2]])
    kinds = tuple(triples.kind[row] for row in rows)
    own = TripleSet(triples.title, cut, triples.split[chosen], triples.relations, kinds, len(rows))
    samples = tuple(full.samples[row] for row in rows)
    return replace(full, samples=samples, triples=own, digest="few links", notes=())


@pytest.fixture(scope="module")
def few() -> DataSet:
    return small()


@pytest.fixture(scope="module")
def folder(few: DataSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints with random weights: one of links, and one that aligns two graphs and comes first by its name."""
    root = tmp_path_factory.mktemp("checkpoints")
    assert few.triples is not None
    found = link_features(few)
    torch.manual_seed(5)
    config = imf.Config(
        entities=len(few), relations=len(few.triples.relations), width=16, inputs="projected",
        image_width=found.widths["image"], text_width=found.widths["text"],
    )  # fmt: skip
    model = imf.IMF(config)
    with torch.no_grad():
        for parameter in model.parameters():  # else a new model's answers hardly differ
            parameter.add_(0.2 * torch.randn_like(parameter))
    checkpoints.save(
        root / "links", model.eval(), encoders=encoders_of(found), data="keywords", metrics={},
        card="# links\n\nRandom weights.\n", origin={},
    )  # fmt: skip
    other = mclea.MCLEA(mclea.Config(entities=9, modalities=("image",), input_widths=(8,), widths=(8,)))
    checkpoints.save(
        root / "aligns", other.eval(), encoders={}, data="emoji", metrics={}, card="", origin={},
    )  # fmt: skip
    return root


@pytest.fixture(scope="module")
def predictor(few: DataSet, folder: Path) -> Predictor:
    return Predictor.open(checkpoints.read(folder / "links"), few)


@pytest.fixture(scope="module")
def asked(predictor: Predictor) -> LinkSet:
    """All held-out questions."""
    return whole(predictor)


@pytest.fixture
def app(
    folder: Path, few: DataSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Open]:
    """Opens a page as a link would: app(page, **query), with the checkpoint "links" unless another one is named."""
    monkeypatch.setattr(checkpoints, "roots", lambda: [folder])
    monkeypatch.setitem(data.DATASETS, "keywords", lambda: few)
    cache.forget_data("keywords")

    def opened(page: str, **query: str) -> AppTest:
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
        for name, value in ({"lang": "en", "ckpt": "links"} | query).items():
            at.query_params[name] = value
        words.use(query.get("lang", "en"))
        if page != "home":
            at.switch_page(f"pages/{page}.py")
        return at.run()

    yield opened
    words.use("en")
    cache.forget_data("keywords")
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


def tabbed(at: AppTest, page: str, tab: str, language: str = "en") -> AppTest:
    at.session_state[f"{page}_tabs"] = told(f"{page}.tab.{tab}", language)
    return at.run()


def row_of(asked: LinkSet, direction: str = "tail"):  # type: ignore[no-untyped-def]
    """A question to test, its head with a picture where a tail is asked."""
    found = asked.frame[(asked.frame["split"] == "test") & (asked.frame["direction"] == direction)]
    return found.iloc[0]


def query_of(few: DataSet, row) -> dict[str, str]:  # type: ignore[no-untyped-def]
    assert few.triples is not None
    return {"id": row["head"], "rel": link_question.address(few.triples, int(row["relation"])), "against": row["tail"]}


@pytest.mark.parametrize("language", list(words.LANGUAGES))
@pytest.mark.parametrize("page", PAGES)
def test_a_link_that_names_the_checkpoint_brings_its_data_set_and_its_purpose(
    app: Open, asked: LinkSet, page: str, language: str
) -> None:
    at = app(page, lang=language)
    assert not at.exception
    assert not at.error
    assert told(f"{page}.lead.triples", language) in [one.value for one in at.markdown]
    assert told(f"{page}.help.triples", language) in [one.value for one in at.markdown]
    charts = at.get("plotly_chart")
    assert all(chart.proto.alt for chart in charts)
    assert charts or page in ("inspect", "match")


@pytest.mark.parametrize("direction", ["tail", "head"])
def test_a_question_opens_by_its_link_with_its_rank(
    app: Open, few: DataSet, predictor: Predictor, asked: LinkSet, direction: str
) -> None:
    row = row_of(asked, direction)
    query = query_of(few, row)
    assert query["rel"].startswith("~") == (direction == "head")
    at = app("inspect", **query)
    assert not at.error
    seen = predictor.inspect(row["head"], int(row["relation"]), row["tail"])
    assert metric(at, "links.verdict.rank") == f"{int(np.ceil(row['rank'])):,}" == f"{seen.rank:,}"
    assert metric(at, "links.verdict.answer") == row["best_name"]
    best = min(seen.rank_by, key=lambda one: seen.rank_by[one])
    assert metric(at, "links.verdict.best") == told(f"name.{best}")
    for names, key in ((seen.raised, "links.sentence.raised"), (seen.lowered, "links.sentence.lowered")):
        assert bool(names) == (told(key, names="").strip(" .") in said(at))
    assert row["name"] in said(at)
    assert row["tail_name"] in said(at)


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_every_tab_of_a_question_draws(app: Open, few: DataSet, asked: LinkSet, language: str) -> None:
    at = app("inspect", lang=language, **query_of(few, row_of(asked)))
    for tab in link_tabs.TABS:
        tabbed(at, "links", tab, language)
        assert not at.exception, tab
        assert not at.error, tab
        charts = at.get("plotly_chart")
        assert charts, tab
        assert all(chart.proto.alt for chart in charts)


def test_candidates_stand_in_the_order_of_the_decision_with_the_places_of_the_branches(
    app: Open, few: DataSet, predictor: Predictor, asked: LinkSet
) -> None:
    row = row_of(asked)
    seen = predictor.inspect(row["head"], int(row["relation"]), row["tail"])
    at = tabbed(app("inspect", **query_of(few, row)), "links", "candidates")
    table = frame(at, "asked")
    assert table["id"].tolist() == [one.id for one in seen.candidates]
    for branch in seen.decision:
        assert table[f"rank_{branch}"].tolist() == [one.ranks[branch] for one in seen.candidates]
    assert table.loc[table["asked"] != "", "id"].tolist() == [row["tail"]]


def test_a_head_without_a_relation_is_asked_by_one_that_it_has(app: Open, few: DataSet, asked: LinkSet) -> None:
    row = row_of(asked)
    assert few.triples is not None
    own = link_question.relations(few.triples, few.index[row["head"]])
    at = app("inspect", id=row["head"])
    assert at.selectbox(key="link_relation").value == own[0]
    assert metric(at, "links.verdict.rank") != "–"
    at.selectbox(key="link_relation").set_value(own[0] + 1).run()
    assert at.session_state["view"]["rel"] == link_question.address(few.triples, own[0] + 1)
    assert not at.error


def test_unknown_names_in_a_link_are_sentences_with_the_nearest_names(app: Open, few: DataSet, asked: LinkSet) -> None:
    row = row_of(asked)
    at = app("inspect", id="no-such-entity", rel="hasKeyward")
    assert not at.exception
    assert any("no-such-entity" in error.value.replace("\\", "") for error in at.error)
    at = app("inspect", id=row["head"], rel="hasKeyward")
    assert any("hasKeyword" in error.value for error in at.error)
    assert at.metric
    at = app("inspect", id=few.samples[0].called()[:-1] + "x")
    assert any(few.samples[0].called() in error.value.replace("\\", "") for error in at.error)


def test_an_entity_may_be_linked_to_by_its_name(app: Open, few: DataSet, asked: LinkSet) -> None:
    named = next(s for s in few.samples if len(few.called.get(s.parts["name"].raw.casefold(), [])) == 1)
    at = app("inspect", id=named.parts["name"].raw)
    assert not at.error
    assert at.session_state["view"]["id"] == named.id


def test_search_random_and_the_next_wrong_one_ask_questions(app: Open, few: DataSet, asked: LinkSet) -> None:
    at = app("inspect")
    name = few.get(row_of(asked)["head"]).parts["name"].raw
    at.text_input(key="entity_search").set_value(name).run()
    at.button(key=next(b.key for b in at.button if b.key.startswith("found_"))).click().run()
    assert few.get(at.session_state["view"]["id"]).parts["name"].raw == name
    at.button(key="random").click().run()
    assert metric(at, "links.verdict.rank") != "–"
    held = asked.frame[asked.frame["split"] == "test"]
    worst = held[held["rank"] > 1].sort_values(["rank", "score"], ascending=[False, True], kind="stable")
    at = app("inspect")
    for step in range(3):
        at.button(key="next_wrong").click().run()
        wanted = query_of(few, worst.iloc[step])
        assert {name: at.session_state["view"][name] for name in wanted} == wanted
        assert metric(at, "links.verdict.rank") == f"{int(np.ceil(worst['rank'].iloc[step])):,}"


def colour() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (40, 30), (200, 10, 40)).save(buffer, "PNG")
    return buffer.getvalue()


def test_another_picture_and_another_text_are_computed_anew_and_set_against_before(
    app: Open, few: DataSet, predictor: Predictor, asked: LinkSet
) -> None:
    row = row_of(asked)
    at = app("inspect", **query_of(few, row))
    at.session_state["entity_picture"] = (row["head"], Image(data=colour()))
    at.text_area(key="link_description").set_value("a warm drink").run()
    assert not at.error
    picture = Image(data=colour())
    before = predictor.inspect(row["head"], int(row["relation"]), row["tail"])
    after = predictor.inspect(row["head"], int(row["relation"]), row["tail"], image=picture, text="a warm drink")
    table = frame(at, told("entity.moved.before")).set_index(told("entity.moved.what"))
    assert before.rank is not None
    assert after.rank is not None
    for branch in ("image", "text"):
        line = table.loc[told("links.moved.rank_by", name=told(f"name.{branch}"))]
        assert line[told("entity.moved.before")] == num(before.rank_by[branch])
        assert line[told("entity.moved.after")] == num(after.rank_by[branch])
    at.button(key="remove_picture").click().run()
    at.button(key="remove_text").click().run()
    assert not any(told("entity.moved.before") in one.value for one in at.dataframe)


def test_a_picture_that_cannot_be_read_is_a_sentence(app: Open, few: DataSet, asked: LinkSet) -> None:
    row = row_of(asked)
    at = app("inspect", **query_of(few, row))
    at.session_state["entity_picture"] = (row["head"], Image(data=b"no picture"))
    at.run()
    assert not at.exception
    assert at.error


def test_figures_are_those_of_the_set(app: Open, few: DataSet, asked: LinkSet) -> None:
    at = app("match")
    held = asked.frame[asked.frame["split"] == "test"]
    assert metric(at, "linking.count") == f"{len(held):,}"
    assert metric(at, "linking.mrr") == num(round(float((1 / held["rank"]).mean()), 3))
    assert metric(at, "linking.hits10") == percent(float((held["rank"] <= 10).mean()))
    shown = frame(at, "question")
    ranks = held.loc[held["rank"] > 1, "rank"].sort_values(ascending=False)
    assert shown["rank"].tolist() == ranks.head(len(shown)).tolist()
    for tab in link_match.TABS[1:]:
        tabbed(at, "linking", tab)
        assert not at.error, tab
        assert at.get("plotly_chart"), tab
    at = app("match", part="own", split="valid")
    own = asked.frame[(asked.frame["split"] == "valid") & ~asked.frame["copied"].astype(bool)]
    assert 0 < len(own) < int((asked.frame["split"] == "valid").sum())
    assert metric(at, "linking.count") == f"{len(own):,}"


def test_words_filter_wrong_answers_and_an_empty_filter_says_so(app: Open, asked: LinkSet) -> None:
    at = app("match")
    word = row_of(asked)["tail_name"].split()[-1]
    at.text_input(key="link_filter").set_value(word).run()
    shown = frame(at, "question")
    assert all(word.casefold() in f"{q}\n{a}".casefold() for q, a in zip(shown["question"], shown["tail"], strict=True))
    at.text_input(key="link_filter").set_value("[zzz").run()
    assert not at.exception
    assert any("zzz" in info.value for info in at.info)


def test_relations_by_branch_and_the_gain_of_fusion_are_those_of_the_set(
    app: Open, few: DataSet, folder: Path, asked: LinkSet
) -> None:
    page = link_fusion.Deciding(checkpoints.read(folder / "links"), few, asked)
    table = page.by_relation
    held = asked.frame[asked.frame["split"] == "test"]
    for _, row in table.iterrows():
        mine = held[held["relation"] == row["relation"]]
        assert row["mrr"] == pytest.approx(float((1 / mine["rank"]).mean()))
        assert row["mrr_text"] == pytest.approx(float((1 / mine["rank_text"]).mean()))
    assert page.names(table)[0].endswith(("→", "←"))
    found = link_fusion.gains(page)
    assert [one.value for one in found] == sorted((one.value for one in found), reverse=True)
    at = tabbed(app("fusion"), "deciding", "relations")
    tails = held[held["relation"] == table["relation"].iloc[0]]
    assert num(round(float((1 / tails["rank"]).mean()), 3)) in said(at)
    for tab in link_fusion.TABS:
        tabbed(at, "deciding", tab)
        assert not at.error, tab
        if tab == "spaces":  # offered first: it is measured in a process of its own
            assert words.t("beside.before") in said(at)
        else:
            assert at.get("plotly_chart"), tab


def test_the_map_lies_by_branch_and_kinds_of_neighbours_are_counted(app: Open, few: DataSet, asked: LinkSet) -> None:
    assert few.triples is not None
    rows = link_map.rows_of(few, asked, "image")
    assert rows.vectors.shape == (len(few), 16)
    assert set(rows.modalities) <= {*few.triples.kind, told("map.kind.other")}
    vectors = np.repeat(np.eye(4, dtype=np.float32), 20, 0)
    kinds = np.repeat(np.asarray(list("abcd"), dtype=object), 20)
    near, chance = place.same_kind(vectors, kinds)
    assert near == 1
    assert chance == pytest.approx(19 / 79)
    at = app("map", space="text", colour="degree")
    assert not at.error
    from pages.parts.state import Selection

    id = row_of(asked)["head"]
    at.session_state["selection"] = Selection("keywords", (id,), id)
    at.run()
    assert frame(at, "degree")["id"].tolist() == [id]
    assert linked(at) == ([id] if "picture" in frame(at, "degree") else [])


def test_what_was_not_computed_is_offered(app: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from pages.parts import link_cache

    monkeypatch.setattr(link_cache, "whole", lambda *_: None)
    for page in ("fusion", "map", "match"):
        at = app(page)
        assert not at.error
        assert any(button.label == told("work.compute") for button in at.button)
    assert app("inspect").button(key="next_wrong").disabled


@pytest.mark.parametrize("page", PAGES)
def test_data_of_another_kind_is_refused_with_ways_out(app: Open, asked: LinkSet, page: str) -> None:
    at = app(page, data="gloss")
    assert any("predicts the links of the one graph" in error.value for error in at.error)
    at.button(key="use_keywords").click().run()
    assert not at.error


def test_choosing_a_checkpoint_of_another_kind_lets_go_of_the_question(app: Open, few: DataSet, asked: LinkSet) -> None:
    at = app("inspect", data="keywords", **query_of(few, row_of(asked)))
    at.radio(key="pick_ckpt").set_value("aligns").run()
    assert not {"data", "id", "rel", "against"} & set(at.session_state["view"])


def test_the_data_page_counts_the_triples(app: Open, few: DataSet, asked: LinkSet) -> None:
    at = tabbed(app("checkpoints", tab="data"), "checkpoints", "data")
    assert not at.error
    assert few.triples is not None
    assert metric(at, "checkpoints.triples.triples") == str(3 * TRIPLES)
    assert metric(at, "checkpoints.triples.clean") == str(int(few.triples.clean[few.triples.rows("test")].sum()))
    assert told("checkpoints.triples.ready", name="links") in said(at)


def test_home_leads_to_examples_that_exist(app: Open) -> None:
    at = app("home", ckpt="")
    assert told("home.beyond.keywords") in said(at)
    for spec, query in beyond.EXAMPLES.items():
        found = keywords.load() if spec == "keywords" else data.open_data(spec)
        assert query["id"] in found.index
        if "rel" in query:
            assert found.triples is not None
            assert link_question.number(found.triples, query["rel"]) is not None


def test_a_branch_that_no_entity_has_is_said_to_be_missing(
    app: Open, few: DataSet, asked: LinkSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pages.parts import link_cache

    gone = {**asked.decision, "image": 0.0}
    monkeypatch.setattr(link_cache, "whole", lambda *_: replace(asked, decision=gone))
    seen = link_cache.looked
    monkeypatch.setattr(link_cache, "looked", lambda *a, **k: replace(seen(*a, **k), decision=gone))
    at = app("inspect", **query_of(few, row_of(asked)))
    assert told("links.unread", names=told("name.image")) in [one.value for one in at.info]
    table = frame(tabbed(at, "links", "candidates"), "asked")
    assert "rank_image" not in table
    assert "rank_text" in table
    at = app("fusion")
    assert told("links.unread", names=told("name.image")) in [one.value for one in at.info]
    assert "rank_image" not in frame(app("match"), "question")
