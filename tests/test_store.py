"""A run's rows under questions: order, filters of any kind, odd names, and folders that came from someone else."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from fusion.triage import rows as lines
from fusion.triage import tables
from fusion.triage.conditions import Condition
from fusion.triage.known import VERSION
from fusion.triage.store import Store
from fusion.types import FusionError

ROWS = "rows-0123456789abcdef.parquet"
ODD = ['plain"; DROP VIEW rows; --', "select", "a b'c", "名", "Rank ", "%s?", "$1"]


def run(folder: Path, frame: pd.DataFrame | None = None, **meta: object) -> Path:
    """The folder of a finished run."""
    folder.mkdir(parents=True, exist_ok=True)
    made = rows() if frame is None else frame
    made.to_parquet(folder / ROWS, index=False)
    told = {"version": VERSION, "rows": ROWS, "count": len(made), "vectors": {"text": 4}, **meta}
    (folder / "meta.json").write_text(json.dumps(told), "utf-8")
    (folder / "vectors").mkdir(exist_ok=True)
    np.save(folder / "vectors" / "text.npy", np.arange(len(made) * 4, dtype=np.float16).reshape(-1, 4))
    return folder


def rows(count: int = 40) -> pd.DataFrame:
    rank = np.arange(1, count + 1)
    suspicion = np.where(rank > count - 4, np.nan, 1 - rank / (count + 1))
    frame = pd.DataFrame({
        "id": [f"id {n}" for n in rank], "split": np.where(rank % 2, "test", "train"), "suspicion": suspicion,
        "rank": rank, "row": (rank * 7) % count, "text": [f"Text {n % 3}" for n in rank],
        "part_rank": np.where(rank % 5 == 0, np.nan, (rank % 11) / 11), "far": [n % 4 == 0 for n in rank],
    })  # fmt: skip
    frame["problem"] = np.where(rank % 10 == 0, "damaged", "")
    frame["label"] = [None if n % 6 == 0 else f"l{n % 6}" for n in rank]
    for name in ODD:
        frame[name] = [f"v{n % 2}" for n in rank]
    return frame


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(run(tmp_path_factory.mktemp("store") / "run"))


def test_pages_come_in_order_and_cover_every_row_once(store: Store) -> None:
    pages = [store.page(offset=start, limit=7) for start in range(0, 40, 7)]
    assert pd.concat(pages)["rank"].tolist() == list(range(1, 41))
    some = [Condition("split", "=", "test")]
    pages = [store.page(where=some, offset=start, limit=7) for start in range(0, 20, 7)]
    assert pd.concat(pages)["rank"].tolist() == list(range(1, 41, 2))
    assert store.page(offset=40).empty
    parts = store.page("part_rank", limit=40)["part_rank"].to_numpy()
    assert np.isnan(parts[-8:]).all()  # rows without the part come last
    assert (np.diff(parts[:-8]) <= 0).all()
    assert store.page("row", limit=40)["row"].tolist() == list(range(40))


@pytest.mark.parametrize(
    ("condition", "keep"),
    [
        (Condition("rank", "<", 10), lambda f: f["rank"] < 10),
        (Condition("rank", ">=", "38"), lambda f: f["rank"] >= 38),
        (Condition("far", "=", True), lambda f: f["far"]),
        (Condition("label", "!=", "l1"), lambda f: f["label"] != "l1"),
        (Condition("label", "in", ["l1", None]), lambda f: f["label"].isin(["l1"]) | f["label"].isna()),
        (Condition("label", "not in", ["l1"]), lambda f: ~f["label"].isin(["l1"])),
        (Condition("label", "not in", ["l1", None]), lambda f: ~f["label"].isin(["l1"]) & f["label"].notna()),
        (Condition("rank", "in", [3, 4, 99]), lambda f: f["rank"].isin([3, 4])),
        (Condition("id", "in", []), lambda f: f["rank"] < 0),
        (Condition("text", "contains", "tEXT 1"), lambda f: f["text"] == "Text 1"),
        (Condition("text", "contains", "%"), lambda f: f["rank"] < 0),
        (Condition("problem", "empty"), lambda f: f["problem"] == ""),
        (Condition("label", "filled"), lambda f: f["label"].notna()),
        (Condition("suspicion", "empty"), lambda f: f["suspicion"].isna()),
        (Condition("part_rank", ">", np.float32(0.5)), lambda f: f["part_rank"] > 0.5),
        (
            Condition("text", "contains", "text 1", ("label", "split")),
            lambda f: f["text"] == "Text 1",
        ),
        (
            Condition("label", "in", ["l1", "train"], ("split",)),
            lambda f: f["label"].isin(["l1"]) | (f["split"] == "train"),
        ),
    ],
)
def test_a_condition_keeps_what_pandas_keeps(store: Store, condition: Condition, keep: object) -> None:
    frame = rows()
    expected = frame[keep(frame)]["id"].tolist()  # type: ignore[operator]
    assert store.ids([condition]) == expected
    assert store.count_of([condition]) == len(expected)
    assert store.page(where=[condition], limit=100)["id"].tolist() == expected


def test_facets_spans_places_rows_and_samples(store: Store) -> None:
    assert store.facets("split") == [("test", 20), ("train", 20)]
    assert store.facets("label", [Condition("rank", "<=", 6)]) == [*((f"l{n}", 1) for n in range(1, 6)), (None, 1)]
    assert store.span("rank", [Condition("far", "=", True)]) == (4, 40)
    assert store.span("rank", [Condition("rank", "<", 0)]) is None
    assert store.place("id 5") == 4
    assert store.place("id 5", [Condition("split", "=", "test")]) == 2
    assert store.place("id 5", [Condition("split", "=", "train")]) is None
    assert store.row("id 3")["row"] == 21
    assert store.take(["id 9", "gone", "id 2"])["id"].tolist() == ["id 9", "id 2"]
    ten = store.sample(10, seed=1)
    assert len(set(ten)) == 10
    assert store.sample(20, seed=1)[:10] == ten
    assert store.sample(10, seed=2) != ten
    assert store.sample(99, where=[Condition("rank", "<=", 2)]) in (["id 1", "id 2"], ["id 2", "id 1"])
    assert store.column("rank")[store.row("id 3")["row"]] == 3
    with pytest.raises(FusionError, match='no sample "gone"'):
        store.row("gone")


@pytest.mark.parametrize("order", ["suspicion", "part_rank", "label", "row", "far", "text"])
def test_a_row_stands_where_the_pages_of_an_order_have_it(store: Store, order: str) -> None:
    for where in ((), (Condition("split", "=", "test"),)):
        ids = store.page(order, where, limit=40)["id"].tolist()
        assert [store.place(id, where, order) for id in ids] == list(range(len(ids)))
    with pytest.raises(FusionError, match="no column"):
        store.place("id 1", (), "nothing")


@pytest.mark.parametrize("name", ODD)
def test_a_column_of_any_name_is_a_column_and_no_command(store: Store, name: str) -> None:
    assert store.facets(name) == [("v0", 20), ("v1", 20)]
    assert store.count_of([Condition(name, "=", "v1"), Condition(name, "contains", "V")]) == 20
    assert store.page(name, limit=1)[name].tolist() == ["v0"]
    assert store.count_of() == 40


def test_what_is_no_column_no_comparison_and_no_value_is_a_sentence(store: Store) -> None:
    for call in (
        lambda: store.page("rank; DROP VIEW rows"),
        lambda: store.facets("gone"),
        lambda: store.span('rank" FROM rows; --'),
        lambda: store.count_of([Condition("1=1 OR id", "=", "x")]),
    ):
        with pytest.raises(FusionError, match="no column"):
            call()
    with pytest.raises(FusionError, match="compares nothing"):
        store.count_of([Condition("id", "LIKE '%' OR id =", "x")])
    for condition in (Condition("rank", "<", "many"), Condition("rank", "in", ["x"])):
        with pytest.raises(FusionError, match="can't be compared"):
            store.count_of([condition])
    assert store.count_of([Condition("id", "=", "x' OR '1'='1")]) == 0


@pytest.mark.parametrize("name", ["it's", "a [1] *?", "id=5", "new\nline", "..hidden", "文件夹"])
def test_a_folder_of_any_name_opens(tmp_path: Path, name: str) -> None:
    opened = Store.open(run(tmp_path / name))
    assert opened.row("id 3")["rank"] == 3  # the id is that of the rows, not of the folder's name


def test_vectors_are_mapped_and_of_these_rows(store: Store, tmp_path: Path) -> None:
    text = store.vectors("text")
    assert isinstance(text, np.memmap)
    assert text.shape == (40, 4)
    assert not text.flags.writeable
    with pytest.raises(FusionError, match="there are text"):
        store.vectors("image")
    folder = run(tmp_path / "run", vectors={"text": 4, "../../secret": 4, "pickled": 4, "short": 4})
    np.save(folder / "vectors" / "pickled.npy", np.array([{}] * 40, dtype=object), allow_pickle=True)
    np.save(folder / "vectors" / "short.npy", np.zeros((3, 4), np.float16))
    opened = Store.open(folder)
    assert opened.names() == ("text", "pickled", "short")
    for name in ("pickled", "short", "../../secret"):
        with pytest.raises(FusionError):
            opened.vectors(name)
    (folder / "vectors" / "text.npy").unlink()
    np.save(tmp_path / "outside.npy", np.zeros((40, 4), np.float16))
    (folder / "vectors" / "text.npy").symlink_to(tmp_path / "outside.npy")
    with pytest.raises(FusionError, match="outside"):
        opened.vectors("text")


def test_a_folder_from_someone_else_opens_nothing_outside(store: Store, tmp_path: Path) -> None:
    secret = tmp_path / "secret.parquet"
    rows().to_parquet(secret)
    for name in ("../secret.parquet", str(secret), "*.parquet", "rows-*.parquet", 7, {"a": 1}, ["x"]):
        with pytest.raises(FusionError, match="not there"):
            Store.open(run(tmp_path / "run", rows=name))
    linked = run(tmp_path / "linked")
    (linked / ROWS).unlink()
    (linked / ROWS).symlink_to(secret)
    with pytest.raises(FusionError, match="outside"):
        Store.open(linked)
    (tmp_path / "words.csv").write_text("a\n1\n", "utf-8")
    for query in (
        f"SELECT * FROM read_csv('{tmp_path / 'words.csv'}')",
        f"SELECT * FROM read_parquet('{secret}')",
        f"SELECT * FROM read_text('{tmp_path / 'words.csv'}')",
        f"COPY rows TO '{tmp_path / 'out.csv'}'",
        f"ATTACH '{tmp_path / 'other.db'}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_paths = []",
    ):
        with pytest.raises(duckdb.Error):
            store._connection.cursor().execute(query)
    assert not (tmp_path / "out.csv").exists()


def test_what_is_no_finished_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="holds no run"):
        Store.open(tmp_path / "absent")
    with pytest.raises(FusionError, match="format 9"):
        Store.open(run(tmp_path / "newer", version=9))
    with pytest.raises(FusionError, match="not ended"):
        Store.open(run(tmp_path / "unfinished", rows=""))
    with pytest.raises(FusionError, match='no column "rank"'):
        Store.open(run(tmp_path / "without", rows_frame := rows().drop(columns="rank")))
    assert len(rows_frame) == 40
    broken = run(tmp_path / "broken")
    (broken / ROWS).write_bytes((broken / ROWS).read_bytes()[:500])
    with pytest.raises(FusionError, match="can't be read"):
        Store.open(broken)
    for text in ("{", "[]", "null", "[" * 100_000):
        (broken / "meta.json").write_text(text, "utf-8")
        with pytest.raises(FusionError, match="can't be read"):
            Store.open(broken)


def test_a_run_that_can_only_be_read_is_read(tmp_path: Path) -> None:
    folder = run(tmp_path / "run")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(folder.iterdir())
    opened = Store.open(folder)
    assert opened.page(limit=3)["rank"].tolist() == [1, 2, 3]
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("path", ["out.csv", "out.jsonl", "out.parquet", "memory://out/rows.parquet"])
def test_rows_are_exported_in_order(store: Store, tmp_path: Path, path: str) -> None:
    target = path if "://" in path else tmp_path / path
    assert store.export(target, [Condition("split", "=", "test")]) == 20
    frame = tables.read(target)
    assert frame["rank"].astype(float).tolist() == list(range(1, 41, 2))
    assert set(ODD) <= set(frame.columns)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.assign(rank=1),
        lambda f: f.assign(rank=f["rank"] + 1),
        lambda f: f.assign(rank=f["rank"].where(f["rank"] > 1, 2)),
        lambda f: f.assign(rank=f["rank"].where(f["rank"] > 1, 10**18)),
        lambda f: f.assign(rank=f["rank"].astype("Int64").where(f["rank"] > 1)),
        lambda f: f.assign(rank=f["rank"].astype(float)),
        lambda f: f.assign(rank=f["rank"].astype(str)),
        lambda f: f.assign(row=f["row"] + 1),
        lambda f: f.assign(row=-f["row"]),
        lambda f: f.assign(row=7),
    ],
)
def test_rows_that_are_not_counted_once_each_are_not_opened(tmp_path: Path, change: object) -> None:
    with pytest.raises(FusionError, match="not in order; run it again"):
        Store.open(run(tmp_path / "run", change(rows())))  # type: ignore[operator]
    empty = Store.open(run(tmp_path / "empty", rows(0)))
    assert empty.page().empty


def test_a_page_never_holds_more_rows_than_were_asked_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the file holds when it is read."""
    repeated = "(SELECT * FROM read_parquet([$1]) UNION ALL SELECT * FROM read_parquet([$1]))"
    path = "'" + str(store.folder / ROWS).replace("'", "''") + "'"
    connection = duckdb.connect(":memory:")
    connection.execute(f"CREATE VIEW rows AS SELECT * FROM {repeated.replace('$1', path)}")
    monkeypatch.setattr(store, "_connection", connection)
    assert len(store.page(limit=5)) == 5


def test_a_million_rows_are_counted_soon(tmp_path: Path) -> None:
    count = 1_000_000
    rank = np.arange(1, count + 1)
    frame = pd.DataFrame({"id": "x", "suspicion": 0.5, "rank": rank, "row": rank[::-1] - 1})
    folder = run(tmp_path / "run", frame)
    Store.open(folder)
    began = time.process_time()
    Store.open(folder)
    assert time.process_time() - began < 1


def test_damaged_rows_are_said_to_be_damaged_and_no_value_is_blamed(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    count = 5000
    rank = np.arange(1, count + 1)
    frame = pd.DataFrame({"id": [random.bytes(20).hex() for _ in rank], "suspicion": 1 - rank / count, "rank": rank,
                          "row": rank - 1, "part_rank": random.random(count)})  # fmt: skip
    folder = run(tmp_path / "run", frame)
    pages = parquet.read_metadata(folder / ROWS).row_group(0)
    said = set()
    for name in ("part_rank", "id"):
        column = next(pages.column(k) for k in range(len(frame.columns)) if pages.column(k).path_in_schema == name)
        start = column.dictionary_page_offset or column.data_page_offset
        whole = (folder / ROWS).read_bytes()
        for at in (0, 30, column.total_compressed_size // 2):
            damaged = bytearray(whole)
            damaged[start + at : start + at + 40] = random.bytes(40)
            (folder / ROWS).write_bytes(damaged)
            opened = Store.open(folder)
            for ask in (lambda: opened.page(offset=9, limit=9), lambda: opened.count_of([Condition(name, "=", 0.5)])):  # noqa: B023
                try:
                    ask()
                except FusionError as error:
                    said.add(str(error))
        (folder / ROWS).write_bytes(whole)
    assert said == {'The rows in "run" can\'t be read; run it again.'}
    opened = Store.open(folder)
    for value in ("x", 10**40, object(), b"x", [1], {1: 2}, np.array([1])):
        with pytest.raises(FusionError, match="take a value of its kind"):
            opened.count_of([Condition("rank", "=", value)])


def test_a_question_that_takes_too_much_memory_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MEMORY", "20MB")
    frame = rows(4000).assign(text=[f"{n} " + "long " * 4000 for n in range(4000)])
    opened = Store.open(run(tmp_path / "run", frame))
    for ask in (lambda: opened.facets("text"), lambda: opened.page("text", limit=4000), lambda: opened.span("text")):
        with contextlib.suppress(FusionError):
            ask()
    with pytest.raises(FusionError, match=r"more memory than a question may have \(20MB\)"):
        opened.facets("text")
