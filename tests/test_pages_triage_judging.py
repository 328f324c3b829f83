"""Judging on the Triage page: notes, names and keys stay whose they are, and files hold the list gone through."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from fusion.data import open_data
from fusion.files import home
from fusion.triage.store import Store
from fusion.triage.verdicts import Verdicts
from fusion.types import Image
from fusion.views.speech import say
from pages.parts import triage_list, triage_partners
from pages.parts.triage_run import Opened
from tests import test_store, triage_app
from tests.opening import opening
from tests.test_pages_streams_sets import said, told
from tests.triage_app import first


@pytest.fixture
def store(fusion_home: Path, tmp_path: Path) -> Store:
    return triage_app.made(triage_app.manifest(tmp_path / "set"))


@pytest.fixture
def app(fusion_home: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., AppTest]]:
    with opening("triage", caplog) as at:
        yield at


def note(at: AppTest):
    """The box for a note of the pair in sight."""
    return next(box for box in at.text_input if box.label == told("queue.note"))


def notes(store: Store, id: str) -> list[tuple[str, str, str]]:
    return [(one.reviewer, one.verdict, one.note) for one in Verdicts.open(store.folder).of(id)]


def test_a_note_stays_with_who_typed_it(app, store: Store) -> None:
    at = app(queue=store.folder.name, who="Ann")
    one = first(store, 1)[0]
    note(at).input("Ann says so").run()
    at.text_input(key="triage_who").input("Bob").run()
    assert note(at).value == ""
    at.button(key="triage_mismatch").click().run()
    assert notes(store, one) == [("Bob", "mismatch", "")]


def test_a_note_without_a_verdict_is_still_there_when_one_comes_back(app, store: Store) -> None:
    at = app(queue=store.folder.name, who="Ann")
    one, two = first(store, 2)
    note(at).input("half a thought").run()
    assert told("queue.note.draft") in said(at)
    at.button(key="triage_on").click().run()
    assert note(at).value == ""
    assert told("queue.note.draft") not in said(at)
    at.button(key="triage_back").click().run()
    assert note(at).value == "half a thought"
    at.button(key="triage_fix").click().run()
    assert notes(store, one) == [("Ann", "fix", "half a thought")]
    at.button(key="triage_back").click().run()
    assert note(at).value == "half a thought"
    assert told("queue.note.draft") not in said(at), "it is kept now"
    assert notes(store, two) == []


def test_a_note_that_comes_again_is_kept_once(app, store: Store) -> None:
    one = first(store, 1)[0]
    at = app(queue=store.folder.name, who="Ann")
    at.button(key="triage_keep").click().run()
    at.button(key="triage_back").click().run()
    note(at).input(" ").run()
    assert notes(store, one) == [("Ann", "keep", "")], "nothing was said"
    note(at).input("a typo").run()
    note(at).input("a typo ").run()
    assert notes(store, one) == [("Ann", "keep", ""), ("Ann", "keep", "a typo")]


def test_a_note_of_one_run_does_not_show_in_another(app, store: Store, tmp_path: Path) -> None:
    other = triage_app.made(tmp_path / "set" / "pairs.csv", store.folder.parent / "other")
    at = app(queue=store.folder.name)
    one = first(store, 1)[0]
    note(at).input("of the first run").run()
    at.selectbox(key="triage_run").select(other.folder.name).run()
    if at.query_params["pair"] != one:
        at.query_params["pair"] = one
        at.run()
    assert at.query_params["pair"] == one
    assert note(at).value == ""


def test_an_address_names_nobody_but_the_one_it_came_with(app, store: Store) -> None:
    at = app(queue=store.folder.name)
    at.text_input(key="triage_who").input("Ann").run()
    assert "who" not in at.query_params
    at.button(key="triage_keep").click().run()
    assert list(Verdicts.open(store.folder).now().values()) == [{"Ann": "keep"}]
    assert told("queue.who.linked", who="Ann") not in said(at)


def test_a_name_that_came_with_a_link_is_asked_about(app, store: Store) -> None:
    at = app(queue=store.folder.name, who="Ann")
    assert told("queue.who.linked", who="Ann") in said(at)
    at.button(key="triage_me").click().run()
    assert told("queue.who.linked", who="Ann") not in said(at)
    assert "who" not in at.query_params
    assert at.text_input(key="triage_who").value == "Ann"
    other = app(queue=store.folder.name, who="Ann")
    other.button(key="triage_not_me").click().run()
    assert other.text_input(key="triage_who").value == ""
    assert "who" not in other.query_params
    other.button(key="triage_keep").click().run()
    assert list(Verdicts.open(store.folder).now().values()) == [{"": "keep"}]


def test_a_browser_remembers_the_name(app, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamlit.runtime.context import ContextProxy

    monkeypatch.setattr(ContextProxy, "cookies", {"fusionscope_who": "Ann%20%C3%84"})
    at = app(queue=store.folder.name)
    assert at.text_input(key="triage_who").value == "Ann Ä"
    assert "who" not in at.query_params
    at.text_input(key="triage_who").input("").run()
    assert at.text_input(key="triage_who").value == ""
    at.button(key="triage_keep").click().run()
    assert list(Verdicts.open(store.folder).now().values()) == [{"": "keep"}]
    linked = app(queue=store.folder.name, who="Ann Ä")
    assert told("queue.who.linked", who="Ann Ä") not in said(linked), "it is this browser's own"


def test_a_random_draw_is_gone_through_as_it_was_drawn(app, store: Store) -> None:
    ids = store.sample(triage_list.RANDOM)
    at = app(queue=store.folder.name, tab="audit", who="Ann")
    assert not at.metric
    Verdicts.open(store.folder, "Ann").put(ids[7], "keep")
    at = app(queue=store.folder.name, tab="audit", who="Ann")
    assert told("queue.rate.wait") in said(at)
    at.button(key="triage_random").click().run()
    assert at.dataframe[0].value["id"].tolist() == ids[:12]
    for _ in range(3):
        at.button(key="triage_mismatch").click().run()
    assert at.query_params["pair"] == ids[3]
    at = app(queue=store.folder.name, tab="audit", who="Ann")
    assert told("queue.rate.counted", wrong=3, count=3, open=0) in said(at)
    assert told("queue.rate.wait") not in said(at)


def test_kappa_is_not_said_of_few_pairs(app, store: Store) -> None:
    ids = first(store, 12)
    ada, bo = (Verdicts.open(store.folder, name) for name in ("Ada", "Bo"))
    ada.put(ids[0], "keep")
    bo.put(ids[0], "mismatch")
    at = app(queue=store.folder.name, tab="audit")
    assert at.dataframe[0].value.iloc[0].tolist()[4] == "–"
    for n, id in enumerate(ids):
        ada.put(id, ("keep", "fix")[n % 2])
        bo.put(id, ("keep", "fix")[n % 2])
    at = app(queue=store.folder.name, tab="audit")
    assert at.dataframe[0].value.iloc[0].tolist()[4] == "1"


def test_the_rows_that_leave_are_those_of_the_address_in_their_order(
    app, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Verdicts.open(store.folder, "Ann")
    for id in first(store, 40)[20:]:
        book.put(id, "mismatch")
    got = files(monkeypatch)
    at = app(queue=store.folder.name, tab="files", show="all", status="mismatch", sort="part_rank")
    assert told("queue.files.rows.tell", count="20") in said(at)
    frame = pd.read_csv(io.BytesIO(got["triage_rows_csv"]()), encoding="utf-8-sig")
    ordered = store.page("part_rank", limit=150)["id"]
    assert frame["id"].tolist() == [id for id in ordered if id in first(store, 40)[20:]]


def test_the_copy_without_mismatches_names_pictures_as_from_beside_the_list(
    app, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = sorted((tmp_path / "set").iterdir())
    got = files(monkeypatch)
    at = app(queue=store.folder.name, tab="files")
    assert told("queue.files.cleaned.beside") in said(at)
    frame = pd.read_csv(io.BytesIO(got["triage_cleaned_csv"]()), encoding="utf-8-sig")
    assert frame["image"].tolist() == [f"{row}.png" for row in range(150)]
    assert sorted((tmp_path / "set").iterdir()) == before
    (tmp_path / "set" / "pairs.csv").unlink()
    for row in range(triage_app.COUNT):
        (tmp_path / "set" / f"{row}.txt").write_text(f"text {row}", "utf-8")
    other = triage_app.made(tmp_path / "set", store.folder.parent / "folder")
    at = app(queue=other.folder.name, tab="files")
    assert told("queue.files.cleaned.within") in said(at)
    frame = pd.read_csv(io.BytesIO(got["triage_cleaned_csv"]()), encoding="utf-8-sig")
    assert set(frame["image"]) == {f"{row}.png" for row in range(triage_app.COUNT)}


def test_verdicts_of_samples_that_the_run_lacks_are_named(app, store: Store) -> None:
    at = app(queue=store.folder.name, tab="files", who="Ann")
    at.file_uploader[0].upload("mine.csv", b"id,verdict\np1,fix\nno-such-1,keep\n", "text/csv").run()
    at.button(key="triage_load").click().run()
    assert told("queue.files.loaded", count="1") in said(at)
    assert told("queue.files.unknown", count="1") in said(at)
    assert Verdicts.open(store.folder).now() == {"p1": {"Ann": "fix"}}


def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], bytes]]:
    """What the buttons of the page hand out, by their keys."""
    found: dict[str, Callable[[], bytes]] = {}
    monkeypatch.setattr(st, "download_button", lambda *a, data, key, **more: found.update({key: data}))
    return found


def test_what_stands_beside_the_next_pair_is_looked_for_once_and_ahead(
    app, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, asked, find = first(store, 4), [], triage_partners.find

    def counted(run: Opened, id: str) -> triage_partners.Found:
        asked.append((id, threading.current_thread().name.startswith("triage-ahead")))
        return find(run, id)

    monkeypatch.setattr(triage_partners, "find", counted)
    at = app(queue=store.folder.name)
    at.button(key="triage_on").click().run()
    at.button(key="triage_on").click().run()
    at.session_state[triage_partners.NEXT][1].result()
    assert asked == [(ids[0], False), *((id, True) for id in ids[1:])]
    at.button(key="triage_back").click().run()
    assert [id for id, _ in asked if id == ids[1]] == [ids[1]], "it is kept"


def test_every_stream_that_is_judged_can_be_seen(app, fusion_home: Path) -> None:
    dataset = open_data("digits")
    sample = next(one for one in dataset.samples if {"image", "twin"} <= set(one.parts))
    frame = pd.DataFrame({"id": [sample.id], "suspicion": [0.9], "rank": [1], "row": [0], "text": ["two!"]})
    folder = test_store.run(home() / "triage" / "digits", frame, data="digits", kind="streams", vectors={})
    at = app(queue=folder.name)
    names = [name for name, part in sample.parts.items() if isinstance(part, Image)]
    assert len(names) == 2
    shown = [image.proto.imgs[0].url for image in at.get("image")]
    assert len(shown) == len(set(shown)) == 2, "the two pictures are others"
    assert all(any(one.value == say(name) for one in at.caption) for name in names)
