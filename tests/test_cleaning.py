"""The cleaned copy of a manifest: nothing of it is lost but what was found wrong, and nothing of it is overwritten."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusion.data import open_data
from fusion.triage import tables
from fusion.triage.cleaning import obstacle
from fusion.triage.store import Store
from fusion.triage.verdicts import Verdicts
from fusion.types import FusionError
from tests.triage_app import made

PICTURE = b"\x89PNG\r\n\x1a\n, or so it says"


@pytest.fixture
def folder(tmp_path: Path, fusion_home: Path) -> Path:
    """Where a manifest lies, beside its pictures."""
    for row in range(6):
        (tmp_path / f"{row}.png").write_bytes(PICTURE)
    return tmp_path


def run(manifest: Path, **verdicts: str) -> tuple[Store, Verdicts]:
    """A run over a manifest, and who decided so."""
    store = made(manifest, manifest.parent / "run")
    book = Verdicts.open(store.folder, "Ann")
    for id, verdict in verdicts.items():
        book.put(id, verdict)
    return store, book


def wide() -> pa.Table:
    """Three pairs beside columns of many types."""
    schema = pa.schema(
        [
            ("id", pa.string()), ("image", pa.string()), ("text", pa.string()), ("score", pa.float64()),
            ("half", pa.float32()), ("flag", pa.bool_()), ("at", pa.timestamp("ns", "UTC")), ("a.b", pa.string()),
            ("tags", pa.list_(pa.string())), ("kind", pa.dictionary(pa.int8(), pa.string())), ("raw", pa.binary()),
            ("count", pa.uint8()), ("more", pa.struct([("x", pa.int16())])), ("triage_note", pa.string()),
        ],
        metadata={"made by": "hand"},
    )  # fmt: skip
    at = datetime.datetime(2020, 1, 2, 3, 4, 5, 678901, datetime.UTC)
    return pa.Table.from_pylist(
        [
            {"id": f"r{row}", "image": f"{row}.png", "text": f"text {row}", "score": 0.12345678901234567 + row,
             "half": 0.1, "flag": not row, "at": at, "a.b": "dotted", "tags": ["p", "q"], "kind": "k", "raw": b"\xff",
             "count": row, "more": {"x": row}, "triage_note": "the owner's"}
            for row in range(3)
        ],
        schema=schema,
    )  # fmt: skip


def test_parquet_keeps_every_column_its_types_and_its_groups(folder: Path) -> None:
    pq.write_table(wide(), folder / "m.parquet", row_group_size=2)
    before = pq.read_table(folder / "m.parquet")
    store, book = run(folder / "m.parquet", r1="mismatch", r2="fix")
    (folder / "far").mkdir()
    assert book.cleaned(store, folder / "far" / "c.parquet") == 2
    after = pq.read_table(folder / "far" / "c.parquet")
    kept = before.take([0, 2])
    assert after.column_names == [*before.column_names, "triage_verdict", "triage_note_2"]
    assert after.drop_columns(["image", "triage_verdict", "triage_note_2"]).equals(kept.drop_columns("image"))
    assert after.select(before.column_names).schema.equals(before.schema, check_metadata=True)
    assert after["image"].to_pylist() == ["../0.png", "../2.png"]
    assert after["triage_verdict"].to_pylist() == ["", "fix"]
    assert pq.ParquetFile(folder / "far" / "c.parquet").num_row_groups == 2
    assert book.cleaned(store, folder / "beside.parquet") == 2
    assert pq.read_table(folder / "beside.parquet")["image"].to_pylist() == ["0.png", "2.png"]


def test_parquet_becomes_text_with_every_column(folder: Path) -> None:
    pq.write_table(wide().drop_columns("raw"), folder / "m.parquet")
    store, book = run(folder / "m.parquet", r1="mismatch")
    assert book.cleaned(store, folder / "c.jsonl") == 2
    lines = [json.loads(line) for line in (folder / "c.jsonl").read_text("utf-8").splitlines()]
    assert list(lines[1]) == [*wide().drop_columns("raw").column_names, "triage_verdict", "triage_note_2"]
    assert lines[1]["score"] == 2.12345678901234567
    assert (lines[1]["flag"], lines[1]["tags"], lines[1]["more"]) == (False, ["p", "q"], {"x": 2})
    assert book.cleaned(store, folder / "c.csv") == 2
    frame = pd.read_csv(folder / "c.csv", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    assert frame.loc[1, ["score", "flag", "tags", "a.b"]].tolist() == [
        "2.1234567890123457", "False", '["p", "q"]', "dotted"
    ]  # fmt: skip
    assert {sample.id for sample in open_data(folder / "c.csv").samples} == {"r0", "r2"}


@pytest.mark.parametrize("where", ["bytes", "structure"])
def test_pictures_inside_a_table_stay_in_parquet(folder: Path, where: str) -> None:
    cells = [PICTURE + bytes([row]) for row in range(3)]
    images = cells if where == "bytes" else [{"bytes": cell, "path": "x.png"} for cell in cells]
    pq.write_table(pa.table({"image": images, "text": ["text 0", "text 1", "text 2"]}), folder / "m.parquet")
    store, book = run(folder / "m.parquet", row2="mismatch")
    for kind in ("csv", "jsonl"):
        with pytest.raises(FusionError, match=r"holds bytes.*write \.parquet"):
            book.cleaned(store, folder / f"c.{kind}")
        assert not (folder / f"c.{kind}").exists()
    (folder / "far").mkdir()
    assert book.cleaned(store, folder / "far" / "c.parquet") == 2
    assert pq.read_table(folder / "far" / "c.parquet")["image"].to_pylist() == [images[0], images[2]]
    assert "take .parquet" in obstacle(store, ".csv")
    assert "take .parquet" in obstacle(store, ".jsonl")
    assert obstacle(store, ".parquet") == ""
    (folder / "m.parquet").write_bytes(b"another")
    assert "changed since the run" in obstacle(store, ".parquet")
    (folder / "m.parquet").unlink()
    assert "not there any more" in obstacle(store, ".csv")


def test_pictures_named_in_a_structure_are_moved_with_it(folder: Path) -> None:
    images = [{"bytes": None, "path": f"{row}.png"} for row in range(2)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pq.write_table(pa.table({"image": pa.array(images, kind), "text": ["text 0", "text 1"]}), folder / "m.parquet")
    store, book = run(folder / "m.parquet")
    (folder / "far").mkdir()
    assert book.cleaned(store, folder / "far" / "c.parquet") == 2
    assert pq.read_table(folder / "far" / "c.parquet")["image"].to_pylist()[1] == {"bytes": None, "path": "../1.png"}
    assert book.cleaned(store, folder / "c.csv") == 2
    assert len(open_data(folder / "c.csv")) == 2


def lines(folder: Path, rows: list[Any]) -> Path:
    """A manifest in JSON Lines; texts are lines as they are."""
    path = folder / "m.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8")
    return path


def test_json_lines_keep_numbers_keys_and_lines_that_are_none(folder: Path) -> None:
    rows: list[Any] = [
        {"id": f"r{row}", "image": f"{row}.png", "text": f"text {row}", **{f"x{at}": at for at in range(80)},
         "score": 0.12345678901234567 + row, "big": 2**70, "half": "\ud800"}
        for row in range(3)
    ]  # fmt: skip
    rows[0].pop("score")
    rows[2]["mix"] = "猫"
    rows[0]["mix"] = 3
    path = lines(folder, [rows[0], '{"id": "torn', rows[1], "[1, 2]", "", rows[2]])
    store, book = run(path, r1="mismatch")
    assert book.cleaned(store, folder / "c.jsonl") == 4
    written = (folder / "c.jsonl").read_text("utf-8").splitlines()
    assert written[1:3] == ['{"id": "torn', "[1, 2]"]
    told = [{**rows[row], "triage_verdict": "", "triage_note": ""} for row in (0, 2)]
    assert [json.loads(written[at]) for at in (0, 3)] == told
    assert book.cleaned(store, folder / "c.csv") == 4
    text = (folder / "c.csv").read_text("utf-8-sig")
    assert '"{""id"": ""torn"' in text.splitlines()
    assert "2.1234567890123457" in text
    assert str(2**70) in text
    with pytest.raises(FusionError, match=r"Line 2 is no row.*\.csv or \.jsonl"):
        book.cleaned(store, folder / "c.parquet")


@pytest.mark.parametrize("values", [[1, "a"], [2**70, 1], [[1], 2], [{}, {}]])
def test_what_parquet_has_no_type_for_is_a_sentence(folder: Path, values: list[Any]) -> None:
    path = lines(folder, [{"image": f"{row}.png", "text": f"text {row}", "mix": values[row]} for row in range(2)])
    store, book = run(path)
    with pytest.raises(FusionError, match=r'holds the column "mix".*Write \.jsonl'):
        book.cleaned(store, folder / "c.parquet")
    assert not (folder / "c.parquet").exists()
    assert book.cleaned(store, folder / "c.jsonl") == 2


def test_lines_of_a_csv_that_no_reader_tells_apart_are_kept_whole(folder: Path) -> None:
    torn = ["y,1.png,two, too, and three", "short", 'z,2.png,"a"b', 'w,3.png,"never closed']
    (folder / "m.csv").write_text(
        "\n".join(["id,image,text,", "x,0.png,text 0,a", 'v,4.png,"text\n4",b', *torn, "u,5.png,text 5,c", ""]), "utf-8"
    )
    store, book = run(folder / "m.csv", u="mismatch")
    assert store.count == 3
    assert book.cleaned(store, folder / "c.csv") == 6
    again = pd.read_csv(folder / "c.csv", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    assert again.iloc[:, 0].tolist() == ["x", "v", *torn]
    assert (folder / "c.csv").read_text("utf-8-sig").splitlines()[0] == "id,image,text,,triage_verdict,triage_note"
    opened = open_data(folder / "c.csv")
    assert [sample.id for sample in opened.samples] == ["x", "v"]
    assert len(opened.problems) == 4, "they are named again"
    assert book.cleaned(store, folder / "c.jsonl") == 6
    assert [json.loads(line) for line in (folder / "c.jsonl").read_text("utf-8").splitlines()][2:] == torn


def test_of_rows_with_one_id_the_one_that_was_looked_at_goes(folder: Path) -> None:
    """It is the first with a text and a picture, wherever it stands."""
    (folder / "m.csv").write_text(
        "id,image,text\nx,absent.png,text 0\nx,1.png,text 1\nx,2.png,text 2\n"
        "y,gone.png,text 3\ny,,text 4\n,5.png,text 5\n",
        "utf-8",
    )
    store, book = run(folder / "m.csv", x="mismatch", y="mismatch")
    assert store.count == 3
    assert book.cleaned(store, folder / "c.csv") == 4
    frame = pd.read_csv(folder / "c.csv", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    assert frame[["image", "text"]].to_numpy().tolist() == [
        ["absent.png", "text 0"], ["2.png", "text 2"], ["", "text 4"], ["5.png", "text 5"]
    ]  # fmt: skip
    assert frame["triage_verdict"].tolist() == [""] * 4


def test_columns_that_the_owner_calls_so_stay(folder: Path) -> None:
    """A copy that was run again has both rounds."""
    (folder / "m.csv").write_text("id,image,text,triage_note,triage_note_2\nx,0.png,text 0,mine,too\n", "utf-8")
    store, book = run(folder / "m.csv")
    book.put("x", "keep", "=now()")
    assert book.cleaned(store, folder / "c.csv") == 1
    frame = pd.read_csv(folder / "c.csv", keep_default_na=False, encoding="utf-8-sig")
    assert frame.iloc[0].to_dict() == {
        "id": "x", "image": "0.png", "text": "text 0", "triage_note": "mine", "triage_note_2": "too",
        "triage_verdict": "keep", "triage_note_3": "'=now()",
    }  # fmt: skip


def test_neither_the_manifest_nor_the_rows_of_a_run_are_overwritten(folder: Path) -> None:
    manifest = folder / "m.csv"
    manifest.write_text("id,image,text\nx,0.png,text 0\ny,1.png,text 1\n", "utf-8")
    store, book = run(manifest, x="mismatch")
    (folder / "link.csv").symlink_to("m.csv")
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and "sqlite" not in path.name}
    for path in (manifest, folder / "run" / ".." / "m.csv", folder / "link.csv"):
        with pytest.raises(FusionError, match="is the manifest itself"):
            book.cleaned(store, path)
    for path in [*(folder / "run").glob("rows-*.parquet"), *(folder / "run" / "shards").glob("*.parquet")]:
        for export in (book.export, store.export, lambda path: book.cleaned(store, path)):
            with pytest.raises(FusionError, match="belongs to the run itself"):
                export(path)
    assert {path: path.read_bytes() for path in kept} == kept
    assert book.export(folder / "run" / "verdicts.parquet") == 1, "another file in the folder is fine"


def test_a_damaged_column_that_the_run_read_nothing_of_is_a_sentence(folder: Path) -> None:
    rows = 2000
    table = pa.table(
        {"image": ["0.png"] * rows, "text": [f"text {row}" for row in range(rows)],
         "score": [row / 7 for row in range(rows)]}
    )  # fmt: skip
    pq.write_table(table, folder / "m.parquet", compression="zstd", use_dictionary=False)
    column = pq.read_metadata(folder / "m.parquet").row_group(0).column(2)
    data = bytearray((folder / "m.parquet").read_bytes())
    at = column.data_page_offset + column.total_compressed_size // 2
    data[at : at + 40] = bytes(40)
    (folder / "m.parquet").write_bytes(data)
    store, book = run(folder / "m.parquet")
    for kind in ("parquet", "csv"):
        with pytest.raises(FusionError, match=r'"m\.parquet" is damaged'):
            book.cleaned(store, folder / f"c.{kind}")
        assert not (folder / f"c.{kind}").exists()


def test_an_exported_number_is_the_number(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"id": ["a", "b"], "x": [0.12345678901234567, float("nan")], "n": [2**60 + 1, 1], "t": ["猫", None],
         "v": [[1, 2], []]}
    )  # fmt: skip
    tables.write(frame, tmp_path / "x.jsonl")
    assert [json.loads(line) for line in (tmp_path / "x.jsonl").read_text("utf-8").splitlines()] == [
        {"id": "a", "x": 0.12345678901234567, "n": 2**60 + 1, "t": "猫", "v": [1, 2]},
        {"id": "b", "x": None, "n": 1, "t": None, "v": []},
    ]
