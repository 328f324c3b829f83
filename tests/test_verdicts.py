"""Nothing that was decided is lost: killed writers, two reviewers at once, undoing, exports that come back, odd ids."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from fusion.triage import tables, verdict_file
from fusion.triage.store import Store
from fusion.triage.verdict_file import FILE, LINE, SCHEMA, readable
from fusion.triage.verdicts import VERDICTS, Verdicts
from fusion.types import FusionError
from tests import test_store

ROOT = Path(__file__).resolve().parent.parent
WRITER = """
import sys
from pathlib import Path
from fusion.triage.verdicts import VERDICTS, Verdicts
verdicts = Verdicts.open(Path(sys.argv[1]), sys.argv[2])
for number in range(int(sys.argv[3])):
    verdicts.put(f"s{number}", VERDICTS[number % 4], "seen")
    print(number, flush=True)
"""


def writer(folder: Path, reviewer: str, count: int) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WRITER, str(folder), reviewer, str(count)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


def test_two_reviewers_at_once_lose_nothing(tmp_path: Path) -> None:
    children = [writer(tmp_path, name, 200) for name in ("Ann", "Bo")]
    for child in children:
        child.communicate(timeout=180)
        assert child.returncode == 0
    verdicts = Verdicts.open(tmp_path)
    assert len(verdicts.history()) == 400
    now = verdicts.now()
    assert len(now) == 200
    assert all(opinions == dict.fromkeys(("Ann", "Bo"), VERDICTS[int(id[1:]) % 4]) for id, opinions in now.items())


def test_no_verdict_that_was_told_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    told = 0
    for turn in range(20):
        child = writer(tmp_path, f"r{turn}", 100_000)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(random.Random(turn).random() / 10)
        child.send_signal(signal.SIGKILL)
        said = child.communicate()[0].count(b"\n") + 1
        told += said
        kept = sum(who == f"r{turn}" for who in Verdicts.open(tmp_path).history()["reviewer"])
        assert said <= kept <= said + 1  # the last one may be kept and not yet told
    assert told > 20


def test_two_opinions_of_one_sample_stand_side_by_side(tmp_path: Path) -> None:
    ann, bo = Verdicts.open(tmp_path, "Ann"), Verdicts.open(tmp_path, "Bo")
    ann.put("a", "keep")
    bo.put("a", "mismatch", "other person")
    ann.put("b", "fix")
    bo.put("b", "fix")
    assert ann.now() == {"a": {"Ann": "keep", "Bo": "mismatch"}, "b": {"Ann": "fix", "Bo": "fix"}}
    assert ann.disagreements() == ["a"]
    assert ann.counts() == {"keep": 0, "mismatch": 0, "fix": 1, "unsure": 0, "disagreement": 1}
    bo.put("a", "keep")
    assert ann.disagreements() == []
    assert [(e.reviewer, e.verdict) for e in ann.of("a")] == [("Ann", "keep"), ("Bo", "mismatch"), ("Bo", "keep")]


def test_undo_takes_back_ones_own_last_decision_and_then_the_one_before(tmp_path: Path) -> None:
    ann, bo = Verdicts.open(tmp_path, "Ann"), Verdicts.open(tmp_path, "Bo")
    ann.put("a", "keep")
    ann.put("a", "mismatch")
    bo.put("b", "keep")
    assert ann.undo() == "a"
    assert ann.now() == {"a": {"Ann": "keep"}, "b": {"Bo": "keep"}}
    assert ann.undo() == "a"
    assert ann.undo() is None
    assert ann.now() == {"b": {"Bo": "keep"}}
    assert [e.undone for e in ann.of("a")] == [True, True, False, False]  # all of it is still there
    ann.put("a", "unsure")
    assert ann.now()["a"] == {"Ann": "unsure"}


def test_no_line_is_ever_changed(tmp_path: Path) -> None:
    Verdicts.open(tmp_path, "Ann").put("a", "keep")
    with sqlite3.connect(tmp_path / FILE) as connection:
        for command in ("UPDATE events SET verdict = 'fix'", "DELETE FROM events"):
            with pytest.raises(sqlite3.IntegrityError, match="no line"):
                connection.execute(command)
    connection.close()


def test_a_clock_that_is_set_back_changes_no_order(tmp_path: Path) -> None:
    ann = Verdicts.open(tmp_path, "Ann")
    first = ann.put("a", "keep")
    later = tmp_path / "later.csv"
    tomorrow = (datetime.now(UTC) + timedelta(hours=23)).isoformat()
    frame = ann.table().assign(event="another", time=tomorrow, verdict="fix")
    tables.write(frame, later)
    assert ann.load(later).new == 1
    assert ann.put("a", "mismatch").time > tomorrow
    assert ann.now()["a"] == {"Ann": "mismatch"}
    assert first.time < tomorrow


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("history", [False, True])
def test_an_export_comes_back_whole_and_once(tmp_path: Path, kind: str, history: bool) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    ann, bo = Verdicts.open(tmp_path / "one", "Ann"), Verdicts.open(tmp_path / "one", "Bo")
    odd = ['=HYPERLINK("x")', "-1", "'=1", "01", "true", "nan", 'a,b\n"c"', "猫", "2020-01-01", "'"]
    for id in odd:
        ann.put(id, "mismatch", f"@{id}")
    bo.put("01", "keep")
    ann.put("gone", "fix")
    ann.undo()
    path = tmp_path / f"verdicts.{kind}"
    assert ann.export(path, history=history) == len(odd) + 1 + 2 * history
    other = Verdicts.open(tmp_path / "two", "Cy")
    assert other.load(path).new == len(odd) + 1 + 2 * history
    assert other.load(path).new == 0
    assert other.now() == ann.now()
    pd.testing.assert_frame_equal(other.table(), ann.table())
    assert ann.load(path).new == 0


def test_an_undoing_stays_when_the_decision_is_loaded_again(tmp_path: Path) -> None:
    ann = Verdicts.open(tmp_path, "Ann")
    ann.put("a", "keep")
    ann.export(tmp_path / "before.csv")
    ann.undo()
    assert ann.load(tmp_path / "before.csv").new == 0
    assert ann.now() == {}


def test_a_spreadsheet_runs_nothing_of_an_export(tmp_path: Path) -> None:
    Verdicts.open(tmp_path, "=Ann()").put("+1", "keep", "\t=1")
    Verdicts.open(tmp_path).export(tmp_path / "out.csv")
    cells = pd.read_csv(tmp_path / "out.csv", dtype=str, encoding="utf-8-sig").iloc[0]
    assert [cells[name] for name in ("id", "reviewer", "note")] == ["'+1", "'=Ann()", "'\t=1"]


def test_a_table_of_ids_and_verdicts_will_do(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("verdict,id,colour\nmismatch,a,red\nfix,b,\n", encoding="utf-8")
    ann = Verdicts.open(tmp_path, "Ann")
    assert ann.load(tmp_path / "mine.csv").new == 2
    assert ann.load(tmp_path / "mine.csv").new == 0
    assert ann.now() == {"a": {"Ann": "mismatch"}, "b": {"Ann": "fix"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,opinion\na,keep\n", 'no column "verdict"'),
        ("id,verdict\na,keep\nb,maybe\n", 'Row 2 .* "maybe"'),
        ("id,verdict,time\na,keep,yesterday\n", 'time "yesterday"'),
        ("id,verdict,time\na,keep,0001-01-01T00:00:00+05:00\n", 'time "0001'),
        ("id,verdict,time\na,keep,9999-12-31T23:59:59.999999+00:00\n", "Row 1 .* more than a day ahead"),
        ("id,verdict,time\na,keep,2999-01-01\n", "more than a day ahead"),
        ("id,verdict\na,keep\nb,maybe\n", r'Row 2 of "mine\.csv"'),
        ("id,verdict\n,keep\n", "Row 1"),
    ],
)
def test_a_table_that_is_none_adds_nothing(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
    verdicts = Verdicts.open(tmp_path)
    with pytest.raises(FusionError, match=said):
        verdicts.load(tmp_path / "mine.csv")
    assert verdicts.history().empty
    assert verdicts.put("a", "keep").id == "a", "and decisions go on"


def test_an_id_of_an_export_keeps_its_spaces(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    ann, other = Verdicts.open(tmp_path, "Ann"), Verdicts.open(tmp_path / "other", "Bo")
    ann.put(" a.jpg", "keep", " as it was ")
    ann.export(tmp_path / "out.csv")
    assert other.load(tmp_path / "out.csv").new == 1
    assert [(e.id, e.note) for e in other.of(" a.jpg")] == [(" a.jpg", " as it was ")]
    (tmp_path / "mine.csv").write_text("id,verdict\n b , fix\n", encoding="utf-8")
    assert other.load(tmp_path / "mine.csv").new == 1
    assert other.now()["b"] == {"Bo": "fix"}


def _line(**cells: str) -> str:
    """SQL that adds a line, each cell as SQL."""
    good = {"id": "'a'", "verdict": "'keep'", "reviewer": "'Ann'", "time": "'2026-01-31T12:00:00.000000+00:00'",
            "note": "''", "event": "'e'", "undoes": "''"}  # fmt: skip
    return f"{SCHEMA}; INSERT INTO events ({LINE}) VALUES ({', '.join((good | cells).values())});"


@pytest.mark.parametrize(
    "script",
    [
        f"{SCHEMA}; CREATE TRIGGER eat BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END;",
        f"{SCHEMA}; CREATE TRIGGER sqlite AFTER INSERT ON events BEGIN SELECT RAISE(ABORT, 'x'); END;",
        f"{SCHEMA}; DROP TRIGGER kept; CREATE TRIGGER kept BEFORE DELETE ON events BEGIN SELECT 1; END;",
        f"{SCHEMA}; CREATE TABLE more (x);",
        f"CREATE TABLE events ({LINE});",
        "CREATE VIEW events AS SELECT 1 AS number, 'e' AS event;",
        "CREATE TABLE cats (name); INSERT INTO cats VALUES ('Tom');",
        _line(time="'never'"),
        _line(verdict="'delete'"),
        _line(verdict="''"),
        _line(id="x'ff'"),
        _line(note="x'00'"),
    ],
)
def test_a_file_that_holds_anything_else_is_refused_and_stays(tmp_path: Path, script: str) -> None:
    """A trigger of its own could drop every line unseen."""
    connection = sqlite3.connect(tmp_path / FILE)
    connection.executescript(script)
    connection.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(FusionError, match="holds no verdicts, or more than that"):
        Verdicts.open(tmp_path)
    with pytest.raises(FusionError, match="holds no verdicts, or more than that"):
        readable(tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_good_line_is_read(tmp_path: Path) -> None:
    """The one that the refused lines above differ from."""
    connection = sqlite3.connect(tmp_path / FILE)
    connection.executescript(_line())
    connection.close()
    assert Verdicts.open(tmp_path).now() == {"a": {"Ann": "keep"}}


@pytest.mark.parametrize("raised", ["IGNORE", "ABORT, 'x'"])
def test_a_line_that_the_file_does_not_take_is_said(tmp_path: Path, raised: str) -> None:
    ann = Verdicts.open(tmp_path, "Ann")
    ann.put("a", "keep")
    other = sqlite3.connect(tmp_path / FILE)
    other.execute(f"CREATE TRIGGER eat BEFORE INSERT ON events BEGIN SELECT RAISE({raised}); END")
    other.close()
    with pytest.raises(FusionError, match="was not kept"):
        ann.put("b", "keep")
    with pytest.raises(FusionError, match="was not kept"):
        ann.undo()
    assert ann.now() == {"a": {"Ann": "keep"}}


def test_a_file_that_is_emptied_meanwhile_is_said(tmp_path: Path) -> None:
    ann = Verdicts.open(tmp_path, "Ann")
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("DROP TABLE events")
    other.close()
    for ask in (ann.now, ann.latest):
        with pytest.raises(FusionError, match="can't be read: no such table"):
            ask()
    with pytest.raises(FusionError, match="was not kept"):
        ann.put("a", "keep")


def test_after_the_last_time_that_there_is_nothing_is_kept_and_that_is_said(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / FILE)
    connection.executescript(_line(time="'9999-12-31T23:59:59.999999+00:00'"))
    connection.close()
    with pytest.raises(FusionError, match=r'the time "9999.* without that line'):
        Verdicts.open(tmp_path, "Ann").put("b", "keep")
    assert Verdicts.open(tmp_path, "Bo").put("b", "keep").reviewer == "Bo"


def test_who_waits_for_another_to_make_the_file_is_not_told_to_copy_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite says that it is busy at once where several set up a fresh file."""
    real, busy = verdict_file._writable, sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY_RECOVERY
    turns = iter([busy, busy])

    def writable(path: Path) -> sqlite3.Connection:
        for error in turns:
            raise error
        return real(path)

    monkeypatch.setattr(verdict_file, "_writable", writable)
    ann = Verdicts.open(tmp_path, "Ann")
    assert ann.writable
    ann.put("a", "keep")
    monkeypatch.setattr(verdict_file, "WAIT", -1)
    turns = iter([busy])
    with pytest.raises(FusionError, match="in use by another program"):
        Verdicts.open(tmp_path)


def test_what_is_no_file_of_verdicts_is_refused(tmp_path: Path) -> None:
    verdicts = Verdicts.open(tmp_path)
    with pytest.raises(FusionError, match="no verdict"):
        verdicts.put("a", "delete")
    with pytest.raises(FusionError, match="no file"):
        verdicts.load(tmp_path / "absent.csv")
    with pytest.raises(FusionError, match="no kind of table"):
        verdicts.export(tmp_path / "out.xlsx")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / FILE).write_bytes(b"no database at all" * 100)
    with pytest.raises(FusionError, match="holds no verdicts"):
        Verdicts.open(tmp_path / "junk")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / FILE).symlink_to(tmp_path / FILE)
    with pytest.raises(FusionError, match="is a link"):
        Verdicts.open(tmp_path / "link")


def test_a_folder_that_can_only_be_read_is_looked_at_and_keeps_nothing(tmp_path: Path) -> None:
    Verdicts.open(tmp_path, "Ann").put("a", "keep")
    looked = Verdicts(sqlite3.connect(tmp_path / FILE), tmp_path, "Bo", writable=False)
    assert looked.now() == {"a": {"Ann": "keep"}}
    with pytest.raises(FusionError, match="can only be read"):
        looked.put("a", "fix")
    with pytest.raises(FusionError, match="can only be read"):
        looked.undo()
    looked.close()


def test_a_full_disk_keeps_what_was_there_and_says_so(tmp_path: Path) -> None:
    ann = Verdicts.open(tmp_path, "Ann")
    ann.put("a", "keep")
    pages = ann._connection.execute("PRAGMA page_count").fetchone()[0]
    ann._connection.execute(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        for number in range(1000):
            ann.put(f"s{number}", "fix", "x" * 2000)

    with pytest.raises(FusionError, match=r"was not kept .* full\. Make room"):
        fill()
    kept = len(ann.history())
    ann._connection.execute("PRAGMA max_page_count = 100000")
    ann.put("b", "mismatch")
    assert len(Verdicts.open(tmp_path).history()) == kept + 1
    assert ann.now()["a"] == {"Ann": "keep"}


@pytest.mark.parametrize("folded", [False, True])
def test_what_is_not_folded_into_the_file_yet_is_read_too(tmp_path: Path, folded: bool) -> None:
    ann = Verdicts.open(tmp_path, "Ann")
    ann.put("a", "keep")
    if folded:
        ann.close()
    connection = readable(tmp_path / FILE)
    assert Verdicts(connection, tmp_path, "Bo", writable=False).now() == {"a": {"Ann": "keep"}}
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("INSERT INTO events (event) VALUES ('x')")


def test_parquet_goes_to_any_path_that_fsspec_knows() -> None:
    frame = pd.DataFrame({"id": ["=a", "b"], "verdict": ["keep", "fix"]})
    tables.write(frame, "memory://somewhere/verdicts.parquet")
    pd.testing.assert_frame_equal(tables.read("memory://somewhere/verdicts.parquet"), frame, check_dtype=False)
    with pytest.raises(FusionError, match=r"address in \.parquet"):
        tables.write(frame, "memory://somewhere/verdicts.csv")
    with pytest.raises(FusionError, match="can't be written"):
        tables.write(frame, "nothing://somewhere/verdicts.parquet")


def test_verdicts_of_samples_that_the_run_lacks_are_left_out(tmp_path: Path) -> None:
    ann = Verdicts.open(tmp_path, "Ann")
    store = test_store.run(tmp_path / "run", pd.DataFrame({"id": ["a", "b"], "suspicion": [0.9, 0.1], "rank": [1, 2],
                                                           "row": [0, 1]}), vectors={})  # fmt: skip
    (tmp_path / "mine.csv").write_text("id,verdict\na,keep\nno-such-1,keep\nno-such-2,fix\n", encoding="utf-8")
    assert ann.load(tmp_path / "mine.csv", Store.open(store)) == (1, 2)
    assert ann.now() == {"a": {"Ann": "keep"}}


def test_a_line_without_a_time_counts_again_once_it_was_taken_back(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("id,verdict\na,mismatch\n", encoding="utf-8")
    ann = Verdicts.open(tmp_path, "Ann")
    for _ in range(3):
        assert ann.load(tmp_path / "mine.csv").new == 1
        assert ann.load(tmp_path / "mine.csv").new == 0
        assert ann.now() == {"a": {"Ann": "mismatch"}}
        ann.undo()
        assert ann.now() == {}


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_moved_away_gets_no_more_verdicts(tmp_path: Path, replaced: bool) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "other").mkdir()
    ann = Verdicts.open(tmp_path / "run", "Ann")
    ann.put("a", "keep")
    before = ann.latest()
    (tmp_path / "run" / FILE).rename(tmp_path / "moved.sqlite")
    if replaced:
        bo = Verdicts.open(tmp_path / "other", "Bo")
        bo.put("c", "fix")
        bo.close()
        (tmp_path / "other" / FILE).rename(tmp_path / "run" / FILE)
    ann.put("b", "mismatch")
    others = {"c": {"Bo": "fix"}} if replaced else {}
    assert ann.now() == {**others, "b": {"Ann": "mismatch"}}
    assert ann.latest() > before + 1, "nothing that was read before holds"
    assert Verdicts.open(tmp_path / "run").now() == ann.now()
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved.sqlite").rename(tmp_path / "moved" / FILE)
    assert Verdicts.open(tmp_path / "moved").now() == {"a": {"Ann": "keep"}}, "nothing of it is lost"


def test_two_who_have_a_file_open_that_is_replaced_both_go_on_in_the_new_one(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "other").mkdir()
    ann, bo = Verdicts.open(tmp_path / "run", "Ann"), Verdicts.open(tmp_path / "run", "Bo")
    ann.put("a", "keep")
    bo.put("b", "keep")
    new = Verdicts.open(tmp_path / "other")
    new.put("c", "fix")
    new.close()
    (tmp_path / "run" / FILE).rename(tmp_path / "moved.sqlite")
    (tmp_path / "other" / FILE).rename(tmp_path / "run" / FILE)
    ann.put("d", "keep")
    bo.put("d", "fix")
    ann.put("e", "keep")
    expected = {"c": {"": "fix"}, "d": {"Ann": "keep", "Bo": "fix"}, "e": {"Ann": "keep"}}
    assert bo.now() == ann.now() == Verdicts.open(tmp_path / "run").now() == expected
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved.sqlite").rename(tmp_path / "moved" / FILE)
    assert Verdicts.open(tmp_path / "moved").now() == {"a": {"Ann": "keep"}, "b": {"Bo": "keep"}}
