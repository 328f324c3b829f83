"""The list of the Triage page: the place in it is kept, another run begins afresh, and words find linked entities."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from fusion import kept
from fusion.files import home
from fusion.triage.conditions import Condition
from fusion.triage.known import Run
from fusion.triage.store import Store
from fusion.triage.verdicts import Verdicts
from pages.parts import triage_list, triage_run
from tests import test_store, triage_app
from tests.opening import opening
from tests.test_pages_streams_sets import said, told
from tests.triage_app import rows

G0 = (("note_group", "in", ("g0",)),)


@pytest.fixture
def store(fusion_home: Path, tmp_path: Path) -> Store:
    return triage_app.made(triage_app.manifest(tmp_path / "set"))


@pytest.fixture
def app(fusion_home: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., AppTest]]:
    with opening("triage", caplog) as at:
        yield at


def ids_of(store: Store, order: str = "suspicion", where: tuple[tuple[str, str, object], ...] = ()) -> list[str]:
    return store.page(order, [Condition(*one) for one in where], limit=1000)["id"].tolist()


def looked_at(store: Store, checkpoint: str) -> None:
    """Write into a run that a checkpoint looked at it."""
    path = store.folder / "meta.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"checkpoint": checkpoint}), "utf-8")


def linked(kind: str, data: str) -> Store:
    """A run over links, of which each has other ids than the entities that it links."""
    count = 6
    names = [f"cat {n}" if n % 3 == 0 else f"hat {n}" for n in range(count)]
    columns: dict[str, object] = {
        "id": [f"e{n}" if kind == "graph" else f"e{n}|likes|f{n}" for n in range(count)], "name": names,
        "suspicion": np.linspace(0.9, 0.1, count), "rank": np.arange(1, count + 1), "row": np.arange(count),
    }  # fmt: skip
    ends = [f"f{n}" for n in range(count)]
    if kind == "graph":
        columns |= {"partner": ends, "partner_name": [f"Mouse {n}" for n in range(count)]}
    else:
        columns |= {
            "head": [f"e{n}" for n in range(count)], "tail": ends, "tail_name": [f"Mouse {n}" for n in range(count)],
            "relation_name": "likes", "reversed": False,
        }  # fmt: skip
    told = {"kind": kind, "data": data, "data_key": data, "vectors": {}}
    return Store.open(test_store.run(home() / "triage" / f"run-of-{kind}", pd.DataFrame(columns), **told))


def test_an_empty_list_has_a_way_out_whatever_is_chosen(app, store: Store) -> None:
    at = app(queue=store.folder.name, find="zzz")
    assert told("queue.empty") in said(at)
    at.button(key="triage_afresh").click().run()
    assert rows(at) == ids_of(store)[:12]
    at = app(queue=store.folder.name, take="10", where=json.dumps([["rank", ">", 147]]))
    at.button(key="triage_among_all").click().run()
    assert rows(at) == ids_of(store)[147:]
    at = app(queue=store.folder.name, find="zzz", show="all")
    assert not [one for one in at.button if one.key == "triage_among_all"]
    at.button(key="triage_afresh").click().run()
    assert rows(at) == ids_of(store)[:12]


@pytest.mark.parametrize("by_name", [True, False])
def test_coming_back_from_inspect_one_stands_where_one_was(app, store: Store, by_name: bool) -> None:
    looked_at(store, "maf-gloss")
    ids, spec = ids_of(store, where=G0), str(store.meta["data"])
    kept.allow(spec)
    asked = {"queue": store.folder.name} if by_name else {"data": spec, "ckpt": "maf-twitter"}  # none under that one
    at = app(show="all", **asked)
    assert at.query_params["queue"] == store.folder.name
    at.query_params["where"], at.query_params["pair"] = json.dumps(G0), ids[7]
    at.run()
    assert at.query_params["pair"] == ids[7]
    at.query_params["data"], at.query_params["ckpt"] = spec, "maf-gloss"  # what Inspect is opened with
    at.run()
    assert at.query_params["queue"] == store.folder.name
    assert at.query_params["pair"] == ids[7]
    assert json.loads(at.query_params["where"])[0][0] == "note_group"
    assert ids[7] in rows(at)


def test_what_stands_above_is_what_is_judged(app, store: Store) -> None:
    looked_at(store, "maf-gloss")
    at = app(queue=store.folder.name, ckpt="maf-twitter")
    assert at.query_params["data"] == str(store.meta["data"])
    assert at.query_params["ckpt"] == "maf-gloss"
    at = app(queue=store.folder.name, data="gloss")
    assert at.query_params["data"] == str(store.meta["data"]), "the run that a link names goes before its set"
    at.query_params["data"] = "gloss"  # another set is chosen above
    at.run()
    assert "queue" not in at.query_params
    assert "pair" not in at.query_params


def test_after_a_look_outside_the_list_one_goes_on_where_one_was(app, store: Store) -> None:
    ids = ids_of(store, where=G0)
    outside = next(id for id in ids_of(store) if id not in ids)
    Verdicts.open(store.folder, "Ada").put(outside, "keep")
    query = {"queue": store.folder.name, "who": "Ada", "show": "all", "where": json.dumps(G0), "pair": ids[5]}
    for key in ("triage_on", "triage_back", "triage_keep", "triage_return"):
        at = app(**query)
        at.button(key="triage_undo").click().run()
        assert at.query_params["pair"] == outside
        assert told("queue.at.none") in said(at)
        assert rows(at) == ids[:12], "the list stays at that place"
        at.button(key=key).click().run()
        assert at.query_params["pair"] == ids[5], key
        assert told("queue.at", at="6", count=str(len(ids))) in said(at)
        Verdicts.open(store.folder, "Ada").put(outside, "keep")
    at = app(**query | {"pair": ids[13]})
    at.button(key="triage_undo").click().run()
    assert rows(at) == ids[12:24]


def test_after_a_look_further_down_the_list_there_is_a_way_back(app, store: Store) -> None:
    ids = ids_of(store)
    Verdicts.open(store.folder, "Ada").put(ids[120], "keep")
    at = app(queue=store.folder.name, who="Ada", show="all", pair=ids[5])
    at.button(key="triage_undo").click().run()
    assert ids[120] in rows(at)
    at.button(key="triage_return").click().run()
    assert at.query_params["pair"] == ids[5]
    assert rows(at) == ids[:12]
    assert not [one for one in at.button if one.key == "triage_return"]


@pytest.mark.parametrize("order", ["part_rank", "row", "cosine"])
def test_a_link_brings_the_place_back_in_any_order(app, store: Store, order: str) -> None:
    assert order in store.columns
    ids = ids_of(store, order)
    at = app(queue=store.folder.name, show="all", sort=order, pair=ids[113])
    assert ids[113] in rows(at)
    at.button(key="triage_on").click().run()
    assert at.query_params["pair"] == ids[114]


def test_of_a_list_without_what_was_judged_nothing_is_judged(app, store: Store) -> None:
    book = Verdicts.open(store.folder, "Ada")
    for id in ids_of(store)[:3]:
        book.put(id, "keep")
    at = app(queue=store.folder.name, who="Ada", show="all", status="open")
    assert at.get("progress")[0].proto.text == told("queue.progress", done=0, count=147)
    at.button(key="triage_mismatch").click().run()
    assert at.get("progress")[0].proto.text == told("queue.progress", done=1, count=147)
    everyone = told("queue.progress.all", told="keep 3, mismatch 1")
    assert everyone in [one.value for one in at.caption], "what all said of the run is another sentence"


def test_another_run_begins_with_a_list_as_at_first(app, store: Store, tmp_path: Path) -> None:
    other = triage_app.made(tmp_path / "set" / "pairs.csv", tmp_path / "elsewhere")
    name = triage_run.token(Run(other.folder, other.meta, 150, True))
    own = json.dumps({"margin": 1.0})
    asked = {"status": "open", "find": "text", "sort": "row", "take": "50", "weights": own, "where": json.dumps(G0)}
    at = app(queue=store.folder.name, tab="", **asked)
    at.selectbox(key="triage_run").select(name).run()
    assert at.query_params["queue"] == name
    assert not {*asked} & {*at.query_params}
    assert at.query_params["pair"] == ids_of(other)[0]
    assert rows(at) == ids_of(other)[:12]


@pytest.mark.parametrize(("kind", "data"), [("graph", "emoji"), ("triples", "keywords")])
def test_entities_that_a_map_sends_are_found_at_both_ends(app, fusion_home: Path, kind: str, data: str) -> None:
    store = linked(kind, data)
    name = kept.select(data, ("e1", "f4", "nobody"))
    at = app(queue=store.folder.name, sel=name, show="sel")
    assert rows(at) == [ids_of(store)[1], ids_of(store)[4]]
    at = app(queue=store.folder.name, find="CAT")
    assert rows(at) == [ids_of(store)[0], ids_of(store)[3]]
    at = app(queue=store.folder.name, find="mouse 2")
    assert rows(at) == [ids_of(store)[2]]


def test_another_selection_is_another_list(app, store: Store) -> None:
    spec = str(store.meta["data"])
    at = app(queue=store.folder.name, sel=kept.select(spec, ("p3", "p14")), show="sel")
    assert sorted(rows(at)) == ["p14", "p3"]
    at.query_params["sel"] = kept.select(spec, ("p20",))
    at.run()
    assert rows(at) == ["p20"]


def test_a_list_by_ones_own_weights_says_so_and_only_where_they_hold(app, store: Store) -> None:
    own = json.dumps({"margin": 2.5, "rank": 0})
    at = app(queue=store.folder.name, show="all", weights=own)
    formula = next(one.value for one in at.caption if told("queue.formula.own") in one.value)
    assert f"{told('queue.part.margin')} 2.5" in formula
    unused = ", ".join(told(f"queue.part.{name}") for name in ("cosine", "rank", "neighbours"))
    assert told("queue.formula.unused", parts=unused) in formula
    assert at.button(key="triage_weights_off").label == told("queue.weights.off")
    at = app(queue=store.folder.name, show="all", weights=own, sort="part_rank")
    assert not [one for one in at.caption if told("queue.formula.own") in one.value]
    assert at.button(key="triage_weights_off").label.startswith("Your weights wait")


def test_the_start_card_names_the_list_once_and_counts_every_row(app, fusion_home: Path, tmp_path: Path) -> None:
    path = triage_app.manifest(tmp_path / "set", 20).rename(tmp_path / "set" / "good.csv")
    (tmp_path / "set" / "3.png").unlink()
    kept.allow(str(path))
    name = kept.select(str(path), ("p1", "p2"))
    at = app(data=str(path), sel=name, show="sel")
    told_of = [one.value for one in at.markdown if "csv" in one.value]
    assert len(told_of) == 2
    assert all("good\\.csv" in one for one in told_of), "escaped once"
    assert "20 samples by" in said(at), "a row with one half is looked at, too"
    assert at.info[0].value == told("queue.start.sel", count="2")
    assert not app(data=str(path)).info


@pytest.mark.parametrize(("data", "count"), [("emoji", "1,586"), ("keywords", "2,606")])
def test_the_start_card_counts_what_a_run_has_rows_of(app, fusion_home: Path, data: str, count: str) -> None:
    assert f"{count} samples by" in said(app(data=data)), "links, not entities"


def test_a_link_to_a_pair_that_is_not_there_has_a_button_to_the_list(app, store: Store) -> None:
    at = app(queue=store.folder.name, pair="nope")
    assert any("nope" in one.value for one in at.error)
    at.button(key="triage_return").click().run()
    assert at.query_params["pair"] == ids_of(store)[0]
    assert not at.error


def test_a_range_that_leaves_nothing_out_is_no_filter(app, store: Store) -> None:
    at = app(queue=store.folder.name)
    at.session_state["triage_more"] = True
    at.run()
    at.selectbox(key="triage_column").select("cosine").run()
    assert at.button(key="triage_add").disabled
    assert told("queue.add.whole") in said(at)
    low = at.number_input(key="triage_low_cosine")
    low.set_value(low.value + 1e-3).run()
    at.button(key="triage_add").click().run()
    assert json.loads(at.query_params["where"])[0][:2] == ["cosine", ">="]


@pytest.mark.parametrize(("checkpoint", "why"), [("", "untrained"), ("was-here-once", "gone"), ("maf-gloss", "")])
def test_why_inspect_can_not_be_opened_is_said(app, store: Store, checkpoint: str, why: str) -> None:
    looked_at(store, checkpoint)
    at = app(queue=store.folder.name)
    assert at.button(key="triage_inspect").disabled == bool(why)
    found = [one.value for one in at.caption if one.value.startswith("Inspect can’t show")]
    assert found == ([told(f"queue.inspect.{why}")] if why else [])


def test_the_parts_stand_in_the_list_as_bars_in_one_column(app, store: Store) -> None:
    frame = app(queue=store.folder.name).dataframe[0].value
    names = [name for name in frame.columns if name.startswith("part_")]
    assert frame.columns.tolist().index("parts") < 5
    assert np.allclose(np.stack(frame["parts"].tolist()), np.nan_to_num(frame[names].to_numpy()))
    assert len(frame) == triage_list.BLOCK
