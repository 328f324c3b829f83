"""The Triage page: a list that a link brings back, verdicts that are kept at once, and what they say of the order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fusion import jobs, kept, words
from fusion.triage import audit, planting
from fusion.triage.conditions import Condition
from fusion.triage.known import Run
from fusion.triage.score import Calibration
from fusion.triage.store import Store
from fusion.triage.verdicts import Verdicts
from fusion.triage.weighing import Weighing
from fusion.types import FusionError
from fusion.views.speech import percent
from pages.parts import triage_list, triage_run
from tests import triage_app
from tests.opening import opening
from tests.test_pages_streams_sets import said, told
from tests.triage_app import first, rows


@pytest.fixture
def store(fusion_home: Path, tmp_path: Path) -> Store:
    return triage_app.made(triage_app.manifest(tmp_path / "set"))


@pytest.fixture
def app(fusion_home: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., AppTest]]:
    with opening("triage", caplog) as at:
        yield at


def said_of(store: Store) -> dict[str, dict[str, str]]:
    return Verdicts.open(store.folder).now()


def test_without_a_run_the_set_in_use_can_be_inspected(app, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(jobs, "start", lambda arguments, key, **more: started.append(arguments))
    at = app()
    assert "was not looked through yet" in said(at)
    next(one for one in at.button if one.label == told("queue.start")).click().run()
    assert started[0][:2] == ["inspect-set", "gloss"]
    assert "--checkpoint" in started[0]


@pytest.mark.parametrize("language", list(words.LANGUAGES))
def test_the_most_suspicious_come_first_with_their_parts(app, store: Store, language: str) -> None:
    at = app(queue=store.folder.name, lang=language)
    assert not at.error
    assert rows(at) == first(store, triage_list.BLOCK)
    frame = at.dataframe[0].value
    assert [name for name in frame.columns if name.startswith("part_")] == [
        "part_cosine", "part_rank", "part_margin", "part_neighbours",
    ]  # fmt: skip
    assert frame["now"].tolist() == ["▸"] + [""] * (triage_list.BLOCK - 1)
    top = store.page(limit=1).iloc[0]
    assert str(top["id"]) in said(at)
    assert told("queue.progress", language, done=0, count="150") in at.get("progress")[0].proto.text
    assert at.query_params["pair"] == top["id"]


def test_a_verdict_is_kept_at_once_and_the_next_pair_comes(app, store: Store) -> None:
    at = app(queue=store.folder.name, who="Ada")
    one, two, three = first(store, 3)
    at.button(key="triage_mismatch").click().run()
    assert said_of(store) == {one: {"Ada": "mismatch"}}
    assert at.query_params["pair"] == two
    at.button(key="triage_keep").click().run()
    assert said_of(store)[two] == {"Ada": "keep"}
    assert at.query_params["pair"] == three
    assert at.dataframe[0].value["said"].tolist()[:3] == ["mismatch", "keep", ""]
    at.button(key="triage_undo").click().run()
    assert list(said_of(store)) == [one]
    assert at.query_params["pair"] == two
    assert not at.error
    again = app(queue=store.folder.name, who="Ada", pair=two)
    assert again.dataframe[0].value["said"].tolist()[:2] == ["mismatch", ""]
    assert again.dataframe[0].value["now"].tolist()[1] == "▸"


def test_a_note_goes_along_and_may_come_later(app, store: Store) -> None:
    at = app(queue=store.folder.name, who="Ada")
    one, two = first(store, 2)
    note = lambda: next(box for box in at.text_input if box.label == told("queue.note"))  # noqa: E731
    note().input("a typo").run()
    assert said_of(store) == {}, "a note alone is no verdict"
    at.button(key="triage_fix").click().run()
    book = Verdicts.open(store.folder)
    assert [(e.verdict, e.note) for e in book.of(one)] == [("fix", "a typo")]
    at.button(key="triage_unsure").click().run()
    at.button(key="triage_back").click().run()
    note().input("look again").run()
    assert [(e.verdict, e.note) for e in book.of(two)] == [("unsure", ""), ("unsure", "look again")]


def test_going_on_past_what_was_read_reads_on(app, store: Store) -> None:
    ids = first(store, 150)
    at = app(queue=store.folder.name, pair=ids[99], show="all")
    at.button(key="triage_on").click().run()
    assert at.query_params["pair"] == ids[100]
    assert rows(at)[0] == ids[100]
    assert len(rows(at)) == triage_list.BLOCK, "no more than is in sight goes to the browser"
    at.button(key="triage_back").click().run()
    assert at.query_params["pair"] == ids[99]
    at = app(queue=store.folder.name, pair=ids[-1], show="all")
    at.button(key="triage_keep").click().run()
    assert at.query_params["pair"] == ids[-1], "the last one has no next"
    at.button(key="triage_leaf_back").click().run()
    assert at.query_params["pair"] in ids[100:140]


def test_a_list_stays_as_it_was_until_it_is_made_anew(app, store: Store) -> None:
    at = app(queue=store.folder.name, status="open", who="Ada")
    ids = first(store, 3)
    at.button(key="triage_keep").click().run()
    assert rows(at)[:2] == ids[:2], "the judged one is still in sight"
    assert at.query_params["pair"] == ids[1]
    at.button(key="triage_again").click().run()
    assert rows(at)[0] == ids[1]
    other = app(queue=store.folder.name, status="open", who="Bo")
    assert rows(other)[0] == ids[0], "what another one judged is open for me"


def test_filters_on_any_column_come_back_by_the_link(app, store: Store) -> None:
    where = (("note_group", "in", ("g0",)), ("suspicion", ">=", 0.5))
    expected = store.page(where=[Condition(*one) for one in where], limit=12)["id"].tolist()
    at = app(queue=store.folder.name, show="all", where=json.dumps(where))
    assert rows(at) == expected
    at.button(key="triage_off_0").click().run()
    assert json.loads(at.query_params["where"]) == [["suspicion", ">=", 0.5]]
    assert len(rows(at)) >= len(expected)


@pytest.mark.parametrize("where", ["[", '{"a": 1}', '[["nothing", "=", 1]]', '[["id", "runs", 1]]', "[1]"])
def test_a_filter_that_is_none_is_said(app, store: Store, where: str) -> None:
    at = app(queue=store.folder.name, where=where)
    assert at.error
    assert not at.dataframe


def test_order_and_words_change_the_list(app, store: Store) -> None:
    at = app(queue=store.folder.name, show="all", sort="part_rank")
    assert rows(at) == store.page("part_rank", limit=12)["id"].tolist()
    at.text_input(key="triage_find").input("text 14").run()
    assert set(at.dataframe[0].value["text"]) <= {"text 14", *(f"text 14{n}" for n in range(10))}
    at.text_input(key="triage_find").input("nowhere").run()
    assert told("queue.empty") in said(at)
    at.button(key="triage_afresh").click().run()
    assert rows(at) == first(store, 12)


def test_a_selection_of_another_page_is_a_list(app, store: Store) -> None:
    ids = ("p3", "p14", "p20")
    name = kept.select(str(store.meta["data"]), ids)
    at = app(queue=store.folder.name, sel=name, show="sel")
    assert sorted(rows(at)) == sorted(ids)


def test_links_to_what_is_not_there_say_so(app, store: Store) -> None:
    at = app(queue="gone")
    assert told("queue.run.gone") in said(at)
    at = app(queue=store.folder.name, pair="nobody")
    assert any("nobody" in one.value for one in at.error)
    assert rows(at) == first(store, 12), "the list is there all the same"
    at.button(key="triage_leaf_on").click().run()
    assert at.query_params["pair"] in first(store)


def test_two_reviewers_differ_and_the_audit_counts_it(app, store: Store) -> None:
    ids = first(store, audit.LAST + 1)
    ada, bo = (Verdicts.open(store.folder, name) for name in ("Ada", "Bo"))
    for id in ids:
        ada.put(id, "mismatch")
    bo.put(ids[0], "keep")
    at = app(queue=store.folder.name, who="Ada")
    assert "Bo: keep" in said(at)
    assert told("queue.differ", told="Bo: keep") in said(at)
    at = app(queue=store.folder.name, tab="audit")
    agreed = audit.agreement(said_of(store))
    assert at.dataframe[0].value.iloc[0].tolist()[:3] == ["Ada", "Bo", agreed[0].rows]
    found = audit.advice(said_of(store), first(store, 150), None)
    assert found is not None
    assert any(f"{found.wrong} were wrong" in one.value for one in at.info)
    assert told("queue.advice.guess", base=percent(audit.TOLERATED), count=audit.FEWEST) in said(at)
    at.button(key="triage_differ").click().run()
    assert rows(at) == [ids[0]]


def test_who_found_nothing_for_long_is_told_to_stop(app, store: Store) -> None:
    book, random = Verdicts.open(store.folder, "Ada"), store.sample(triage_list.RANDOM)
    for id in {*first(store, audit.LAST), *random}:
        book.put(id, "keep")
    at = app(queue=store.folder.name, tab="audit")
    assert any(one.value.startswith("You can stop") for one in at.success)
    assert told("queue.advice.low", base=percent(audit.TOLERATED), share=percent(0)) in said(at)


def test_mismatches_are_planted_when_asked_for(app, store: Store) -> None:
    at = app(queue=store.folder.name, tab="audit")
    assert not at.dataframe
    at.button(key="triage_planted_go").click().run()
    found = planting.seeded(store)
    assert found is not None
    assert [row[0] for row in at.dataframe[0].value.to_numpy().tolist()] == [f"{k:,}" for k in found.at_k]
    assert f"{found.planted:,} of {found.rows:,} pairs were exchanged" in said(at)


def test_the_share_of_wrong_pairs_is_of_the_random_draw(app, store: Store) -> None:
    book = Verdicts.open(store.folder, "Ada")
    ids = store.sample(triage_list.RANDOM)
    for at_, id in enumerate(ids[:20]):
        book.put(id, "mismatch" if at_ < 3 else "keep")
    book.put(first(store, 1)[0], "mismatch")
    found = audit.share(said_of(store), ids)
    assert found is not None
    at = app(queue=store.folder.name, tab="audit")
    assert at.metric[0].value.replace("\xa0", " ") == "15 %"
    assert told("queue.rate.done", done=len({*ids} & {*said_of(store)}), count=50) in at.get("progress")[0].proto.text
    at.button(key="triage_random").click().run()
    assert set(rows(at)) <= set(ids)


def test_a_run_that_was_stopped_can_go_on(app, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = json.loads((store.folder / "meta.json").read_text("utf-8"))
    (store.folder / "meta.json").write_text(json.dumps(meta | {"rows": ""}), "utf-8")
    started: list[list[str]] = []
    monkeypatch.setattr(jobs, "start", lambda arguments, key, **more: started.append(arguments))
    at = app(queue=store.folder.name)
    assert "150 of 150" in said(at)
    next(one for one in at.button if one.label == told("queue.half.go")).click().run()
    assert started == [["inspect-set", meta["data"], "--json"]]


def test_files_say_what_leaves(app, store: Store) -> None:
    Verdicts.open(store.folder, "Ada").put(first(store, 1)[0], "mismatch")
    at = app(queue=store.folder.name, tab="files")
    assert not at.error
    assert told("queue.files.verdicts.tell", count="1") in said(at)
    assert told("queue.files.cleaned.tell", count="1") in said(at)
    assert told("queue.files.rows.tell", count="150") in said(at)
    assert str(store.folder) in at.code[0].value


def test_verdicts_of_elsewhere_are_added_and_a_file_that_is_none_is_said(app, store: Store, tmp_path: Path) -> None:
    Verdicts.open(store.folder, "Ada").put(first(store, 1)[0], "mismatch")
    Verdicts.open(store.folder).export(tmp_path / "out.csv")
    other = triage_app.made(tmp_path / "set" / "pairs.csv", tmp_path / "elsewhere")
    at = app(queue=triage_run.token(Run(other.folder, other.meta, 150, True)), tab="files")
    at.file_uploader[0].upload("out.csv", (tmp_path / "out.csv").read_bytes(), "text/csv").run()
    at.button(key="triage_load").click().run()
    assert told("queue.files.loaded", count="1") in said(at)
    assert said_of(other) == said_of(store)
    at.file_uploader[0].upload("bad.csv", b"id,verdict\np1,good\n", "text/csv").run()
    at.button(key="triage_load").click().run()
    assert "is no verdict" in at.error[0].value or "has the verdict" in at.error[0].value
    assert said_of(other) == said_of(store)


def test_weights_of_ones_own_order_the_list_and_come_back_by_the_link(app, store: Store) -> None:
    own = {"cosine": 0.0, "rank": 0.0, "margin": 1.0, "neighbours": 0.0}
    at = app(queue=store.folder.name, show="all", weights=json.dumps(own))
    by = store.page("part_margin", limit=150)
    assert by["part_margin"].head(12).tolist() == pytest.approx(at.dataframe[0].value["part_margin"].tolist())
    weighing = Weighing.of(own, Calibration.read(store.meta["calibration"]))
    ids = store.page(weighing, limit=150)["id"].tolist()
    assert len(set(ids)) == 150
    ten = app(queue=store.folder.name, take="10", weights=json.dumps(own))
    assert rows(ten) == ids[:10], "the most suspicious by these weights, not by the run's"
    again = app(queue=store.folder.name, show="all", weights=json.dumps(own), pair=ids[120])
    assert ids[120] in rows(again)
    again.button(key="triage_keep").click().run()
    assert again.query_params["pair"] == ids[121]
    at.button(key="triage_weights_off").click().run()
    assert rows(at) == first(store, 12)
    for wrong in ("[1]", '{"nothing": 1}', '{"margin": -1}', "{"):
        assert rows(app(queue=store.folder.name, show="all", weights=wrong)) == first(store, 12)


def test_a_verdict_that_can_not_be_kept_is_said_and_the_row_stays(
    app, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = app(queue=store.folder.name)

    def full(self: Verdicts, id: str, verdict: str, note: str = "") -> None:
        raise FusionError("The disk is full. Make room, and decide again.")

    monkeypatch.setattr(Verdicts, "put", full)
    at.button(key="triage_keep").click().run()
    assert "The disk is full" in at.error[0].value
    assert at.query_params["pair"] == first(store, 1)[0]
    assert said_of(store) == {}
