"""What a user brings opens as it was meant, each bad row is named, and nothing outside the named folder is touched."""

from __future__ import annotations

import codecs
import csv
import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusion.data import DATASETS, DataSet, open_data
from fusion.data.words import split_words
from fusion.types import FusionError, Text

SHARED = os.environ.get("FUSION_SHARED_DATA", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of the user's with three small pictures."""
    root = tmp_path / "mine"
    (root / "img").mkdir(parents=True)
    for i, name in enumerate(("a", "b", "c")):
        PIL.Image.new("RGB", (4, 4), (80 * i, 0, 0)).save(root / "img" / f"{name}.png")
    return root


def table(root: Path, content: str | bytes, name: str = "pairs.csv") -> DataSet:
    path = root / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    return open_data(str(path))


def refused(root: Path, content: str | bytes, name: str = "pairs.csv") -> str:
    with pytest.raises(FusionError) as caught:
        table(root, content, name)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert len(sentence) < 500
    return sentence


def parquet(root: Path, columns: dict[str, Any]) -> DataSet:
    pq.write_table(pa.table(columns), root / "pairs.parquet")
    return open_data(root / "pairs.parquet")


def texts(data: DataSet) -> list[str]:
    return [sample.text() for sample in data.samples]


def test_a_table_gives_ids_labels_splits_and_the_other_columns(folder: Path) -> None:
    rows = "id,image,text,label,split,source\nx1,img/a.png,A red dot,cat,train,web\nx2,img/b.png,两个点,dog,val,\n"
    data = table(folder, rows)
    assert data.problems == ()
    assert [(s.id, s.text(), s.target, s.split) for s in data.samples] == [
        ("x1", "A red dot", 0, "train"),
        ("x2", "两个点", 1, "valid"),
    ]
    assert data.get("x1").note == {"source": "web", "label": "cat"}
    assert data.get("x2").image().open().size == (4, 4)
    assert (data.word, data.root, data.name) == ("yours", folder.resolve(), "pairs.csv")
    assert open_data(data.spec) == data
    with pytest.raises(FusionError, match='no sample "x9"'):
        data.get("x9")


@pytest.mark.parametrize("header", ["image_path,caption", "Path,Sentence", "FILE,Text", " img , text ", "图片,文本"])
def test_columns_go_by_many_names(folder: Path, header: str) -> None:
    assert texts(table(folder, f"{header}\nimg/a.png,One\n")) == ["One"]


@pytest.mark.parametrize("sign", [",", "\t", ";", "|"])
@pytest.mark.parametrize("name", ["pairs.csv", "pairs.tsv"])
def test_the_delimiter_is_found_in_the_first_line(folder: Path, sign: str, name: str) -> None:
    data = table(folder, f"image{sign}text\nimg/a.png{sign}One\n", name)
    assert texts(data) == ["One"]
    assert bool(data.notes) == ((sign, name[-3:]) not in ((",", "csv"), ("\t", "tsv")))


def test_a_delimiter_may_be_named_as_excel_does(folder: Path) -> None:
    assert texts(table(folder, "sep=^\nimage^text\nimg/a.png^One, two\n")) == ["One, two"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_as_utf8_or_marked_utf16(folder: Path, encoding: str) -> None:
    assert texts(table(folder, "image,text\r\nimg/a.png,Ein Löwe 🦁\r\n".encode(encoding))) == ["Ein Löwe 🦁"]
    big = codecs.BOM_UTF16_BE + "image,text\nimg/a.png,Ü\n".encode("utf-16-be")
    assert texts(table(folder, big)) == ["Ü"]


@pytest.mark.parametrize(
    ("encoding", "text", "seems"),
    [
        ("cp1252", "Un café résumé", "Windows-1252"),
        ("gb18030", "一只红色的火鸡站在雪地里", "GB18030"),
        ("utf-16-le", "plain words", "UTF-16 without its mark"),
    ],
)
def test_another_encoding_is_named_with_its_line(folder: Path, encoding: str, text: str, seems: str) -> None:
    sentence = refused(folder, f"image,text\nimg/a.png,ok\nimg/b.png,{text}\n".encode(encoding))
    assert seems in sentence
    assert "UTF-8" in sentence
    assert f"Line {1 if 'UTF-16' in seems else 3}" in sentence


def test_each_bad_row_is_named_and_the_rest_loads(folder: Path) -> None:
    (folder / "img/empty.png").touch()
    rows = [
        "id,image,text",
        "1,img/a.png,Good",
        "2,img/none.png,Missing file",
        "1,img/b.png,Same id",
        "3,img/c.png,   ",
        "4,,No picture",
        "5,img,A folder",
        "6,img/empty.png,No bytes",
        "7,img/b.png,Hello, world",
        "8,img/b.png",
        '9,img/b.png,"He said "hi"',
        "10,https://example.org/a.png,An address",
        "11,img/b.png,Also good",
    ]
    data = table(folder, "\n".join(rows))
    assert [sample.id for sample in data.samples] == ["1", "11"]
    lacking = {sample.id: (list(sample.parts), sample.problem) for sample in data.incomplete}
    assert list(lacking) == ["2", "3", "4", "5", "6", "10"]
    assert lacking["2"] == (["text"], 'There is no file "img/none.png".')
    assert lacking["3"] == (["image"], "Its text is empty.")
    assert data.get("2") is data.incomplete[0]
    assert data.head(2).incomplete == ()
    assert [int(problem.split(":")[0].removeprefix("line ")) for problem in data.problems] == list(range(3, 13))
    said = "\n".join(data.problems)
    for words in (
        'line 3: there is no file "img/none.png"', 'line 4: the id "1" is that of line 2', "line 5: its text is empty",
        "line 6: it names no picture", 'line 7: "img" is a folder', 'line 8: the file "img/empty.png" is empty',
        "line 9: it has 4 fields, the first line 3; put quotes", "line 10: it has 2 fields",
        "line 11: something follows a closing quote", "is an address, not a file",
    ):  # fmt: skip
        assert words in said


def test_quoted_texts_may_hold_commas_quotes_and_line_ends(folder: Path) -> None:
    data = table(folder, 'image,text\nimg/a.png,"One, ""two""\nthree"\nimg/b.png,Four\nimg/none.png,x\n')
    assert texts(data) == ['One, "two"\nthree', "Four"]
    assert data.problems == ('line 5: there is no file "img/none.png"',)


def test_a_quote_that_is_never_closed_costs_one_row(folder: Path) -> None:
    data = table(folder, 'image,text\nimg/a.png,"Open\nimg/b.png,Two\nimg/c.png,Three\n')
    assert texts(data) == ["Two", "Three"]
    assert len(data.problems) == 1
    assert data.problems[0].startswith("line 2: its quote is not closed")


def test_quotes_between_tabs_are_part_of_the_text_unless_they_close(folder: Path) -> None:
    rows = 'image\ttext\nimg/a.png\t"Wow" she said\nimg/b.png\t"open\nimg/c.png\t"One ""two"" three"\nimg/c.png\t"end\n'
    data = table(folder, rows, "pairs.tsv")
    assert data.problems == ()
    assert texts(data) == ['"Wow" she said', '"open', 'One "two" three', '"end']


def test_nul_surrogates_and_very_long_texts_load(folder: Path) -> None:
    long = "word " * 20_000
    data = table(folder, f"image,text\nimg/a.png,A\x00B\nimg/b.png,{long}\n")
    assert texts(data) == ["A\ufffdB", long]
    assert [problem[:6] for problem in data.problems] == ["line 2"]
    lines = '{"image": "img/a.png", "text": "x\\ud800y"}\n{"image": "img/a\\u0000.png", "text": "z"}\n'
    data = table(folder, lines, "pairs.jsonl")
    assert texts(data) == ["x\ufffdy"]
    assert data.problems[1].startswith("line 2: the file")
    data.problems[1].encode("utf-8")
    assert "UTF-8" in refused(folder, "image,text\nimg/a.png,x\ud800y\n")


def test_a_row_that_is_left_out_says_what_it_lacks_and_not_what_was_changed_in_it(folder: Path) -> None:
    data = table(folder, "image,text\nimg/a.png,One\nnone.png,A\x00B\nnone.png,\n")
    assert data.problems[0] == 'line 3: there is no file "none.png"'
    assert data.problems[1] == "line 4: its text is empty"
    assert [sample.problem for sample in data.incomplete] == ['There is no file "none.png".']


def test_missing_columns_are_named_with_those_found(folder: Path) -> None:
    sentence = refused(folder, "picture_name,words\nimg/a.png,One\n")
    assert '"picture_name", "words"' in sentence
    assert "one for the image (image, image_path" in sentence
    assert "one for the text (text, caption" in sentence
    assert "one for the text" in refused(folder, "image^text\nimg/a.png^One\n")
    assert "one for the image" not in refused(folder, "image,words\nimg/a.png,One\n")


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.tsv", "pairs.jsonl", "pairs.parquet"])
def test_empty_and_header_only_files_say_so(folder: Path, name: str) -> None:
    assert f'"{name}"' in refused(folder, b"", name)
    assert f'"{name}"' in refused(folder, b"image,text\n".replace(b",", b"\t" if name.endswith("tsv") else b","), name)
    assert f'"{name}"' in refused(folder, b"\n \n\n", name)


def test_files_of_other_kinds_are_named(folder: Path) -> None:
    assert "Excel workbook" in refused(folder, b"PK\x03\x04rest")
    assert "Parquet" in refused(folder, b"PAR1rest")
    assert "no table" in refused(folder, "image,text\n", "pairs.xlsx")
    assert "no Parquet file" in refused(folder, "image,text\nimg/a.png,One\n", "pairs.parquet")


@pytest.mark.parametrize("spec", ["", "nowhere", "a\x00b", "~nobody-here/x.csv", "x" * 5000, "/dev/null"])
def test_nothing_at_a_path_is_one_sentence(spec: str) -> None:
    with pytest.raises(FusionError, match="gloss"):
        open_data(spec)


def test_a_broken_json_line_is_named_by_its_number(folder: Path) -> None:
    lines = [
        '{"image": "img/a.png", "text": "One", "label": 3}',
        '{"image": "img/b.png", "text": ',
        "[1, 2]",
        "",
        "[" * 100_000,
        '{"image": 7, "text": "x"}',
        '{"image": "img/b.png", "text": 7}',
        '{"text": "No picture"}',
        '{"image": {"path": "img/c.png"}, "text": ["Two", "words"], "label": 4}',
    ]
    data = table(folder, "\n".join(lines), "pairs.jsonl")
    assert [(s.id, s.text(), s.target) for s in data.samples] == [("line1", "One", 3), ("line9", "Two words", 4)]
    assert data.get("line9").parts["text"] == Text("Two words", ("Two", "words"))
    assert [problem.split(":")[0] for problem in data.problems] == [f"line {i}" for i in (2, 3, 5, 6, 7, 8)]


def test_parquet_gives_paths_or_the_bytes_of_pictures(folder: Path) -> None:
    content = (folder / "img/a.png").read_bytes()
    assert texts(parquet(folder, {"image": ["img/a.png", None], "text": ["One", "Two"]})) == ["One"]
    data = parquet(folder, {"image": [content, b""], "text": ["One", "Two"], "embedding": [[0.0], [1.0]]})
    assert data.samples[0].image().open().size == (4, 4)
    assert data.problems == ("row 2: its picture has no bytes",)
    assert data.samples[0].note == {}
    structs = [{"bytes": content, "path": None}, {"bytes": None, "path": "img/b.png"}]
    assert len(parquet(folder, {"image": structs, "text": ["One", "Two"]}).samples) == 2
    coded = pa.array(["One", "Two"]).dictionary_encode()
    assert texts(parquet(folder, {"image": ["img/a.png", "img/b.png"], "text": coded})) == ["One", "Two"]


def test_parquet_of_the_wrong_types_is_named(folder: Path) -> None:
    with pytest.raises(FusionError, match="row 1: its image is a number"):
        parquet(folder, {"image": [1, 2], "text": ["One", "Two"]})
    with pytest.raises(FusionError, match="row 1: its text is a number"):
        parquet(folder, {"image": ["img/a.png"], "text": [1.5]})
    path = folder / "pairs.parquet"
    pq.write_table(pa.table({"image": ["img/a.png"] * 500, "text": [str(i) for i in range(500)]}), path)
    whole = path.read_bytes()
    for cut in (whole[:100], whole[:-20], whole[:200] + bytes(400) + whole[600:]):
        path.write_bytes(cut)
        with pytest.raises(FusionError, match=r"pairs\.parquet"):
            open_data(path)


def test_files_too_large_to_hold_are_refused_before_they_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusion.data.tables.TEXT_BYTES", 64)
    assert "split it" in refused(folder, "image,text\n" + "img/a.png,One\n" * 10)
    monkeypatch.setattr("fusion.data.tables.ROWS", 1000)
    with pytest.raises(FusionError, match="1,000 rows"):
        parquet(folder, {"image": ["img/a.png"] * 5000, "text": ["One"] * 5000})
    monkeypatch.setattr("fusion.data.tables.LINES", 2)
    monkeypatch.setattr("fusion.data.tables.TEXT_BYTES", 4096)
    assert "more than 2 lines" in refused(folder, "image,text\n" + "img/a.png,One\n" * 10)


def test_pictures_stay_inside_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    PIL.Image.new("RGB", (4, 4)).save(outside / "o.png")
    (folder / "link.png").symlink_to(outside / "o.png")
    (folder / "dangling.png").symlink_to(outside / "none.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "linked").symlink_to(outside)
    (folder / "inner.png").symlink_to("img/a.png")
    (folder.parent / "mine2").mkdir()  # begins with the same letters
    PIL.Image.new("RGB", (4, 4)).save(folder.parent / "mine2" / "m.png")
    os.mkfifo(folder / "pipe.png")
    bad = (
        "../outside/o.png", str(outside / "o.png"), "link.png", "linked/o.png", "dangling.png", "../none.png", "img/",
        "img/../../outside/o.png", "../mine2/m.png", "..", ".", "loop.png", "pipe.png", "/etc/passwd",
        "file:///etc/passwd", "/nowhere/none.png",
    )  # fmt: skip
    good = ("img/a.png", "./img/b.png", "img/../img/c.png", "inner.png", str(folder / "img/a.png"), "img\\a.png")
    rows = "image,text\n" + "".join(f"{name},Words\n" for name in (*bad, *good))
    data = table(folder, rows)
    assert len(data.samples) == len(good)
    assert len(data.problems) == len(bad)
    assert all(s.image().path.is_relative_to(folder.resolve()) for s in data.samples)
    assert "there is no file" not in data.problems[-1]  # says nothing of what is out there
    monkeypatch.setenv("FUSION_DATA_ROOTS", f"{outside}:{folder.parent / 'nowhere'}")
    found = {s.image().path for s in table(folder, rows).samples}
    assert outside.resolve() / "o.png" in found
    assert len(table(folder, rows).samples) == len(good) + 5


def test_labels_become_numbers_classes_or_tags(folder: Path) -> None:
    def targets(*labels: str) -> list[Any]:
        rows = [json.dumps({"image": "img/a.png", "text": "Ann's dog", "label": label}) for label in labels]
        return [sample.target for sample in table(folder, "\n".join(rows), "pairs.jsonl").samples]

    assert targets("2", "0", "") == [2, 0, None]
    assert targets("0.5", "-1") == [0.5, -1.0]
    assert targets("nan", "x") == [0, 1]
    assert targets("dog", "cat", "dog") == [1, 0, 1]
    by_word = ("B-PER", "O", "O", "O")
    assert len(split_words("Ann's dog")) == 4
    assert targets("B-PER O O O", '["B-PER", "O", "O", "O"]') == [by_word, by_word]
    assert targets("B-PER O") == [("B-PER", "O")]
    assert targets("B-PER O O") == [None]


def test_a_file_changed_or_a_picture_replaced_changes_the_digest(folder: Path) -> None:
    rows = "image,text\nimg/a.png,One\n"
    before = table(folder, rows)
    assert table(folder, rows).digest == before.digest
    assert table(folder, rows + "img/b.png,Two\n").digest != before.digest
    PIL.Image.new("RGB", (9, 9)).save(folder / "img/a.png")
    assert table(folder, rows).digest != before.digest


def test_a_hundred_thousand_rows_open_in_two_seconds(tmp_path: Path) -> None:
    for i in range(2000):
        (tmp_path / f"{i}.png").write_bytes(b"x")
    with (tmp_path / "pairs.csv").open("w", encoding="utf-8") as stream:
        stream.write("id,image,text,label\n")
        stream.writelines(f'{i},{i % 2000}.png,"A sentence, number {i}",{i % 3}\n' for i in range(100_000))
    taken, plain = [], []  # processor seconds, and those of the plain reader that stands for this machine's speed
    for _ in range(3):
        begun = time.process_time()
        data = open_data(tmp_path / "pairs.csv")
        taken.append(time.process_time() - begun)
        assert len(data) == 100_000
        begun = time.process_time()
        with (tmp_path / "pairs.csv").open(encoding="utf-8", newline="") as stream:
            assert sum(1 for _ in csv.DictReader(stream)) == 100_000
        plain.append(time.process_time() - begun)
    assert min(taken) < max(2.0, 10 * min(plain))


def test_a_folder_of_captions_pairs_by_name(folder: Path) -> None:
    (folder / "train").mkdir()
    for name in ("a", "b"):
        (folder / "img" / f"{name}.txt").write_text(f"Caption {name}\n", encoding="utf-8")
    PIL.Image.new("RGB", (4, 4)).save(folder / "train" / "T.JPG")
    (folder / "train" / "T.txt").write_bytes(codecs.BOM_UTF8 + "Ü".encode())
    PIL.Image.new("RGB", (4, 4)).save(folder / "bad.png")
    (folder / "bad.txt").write_bytes("café".encode("cp1252"))
    (folder / "alone.txt").write_text("No picture", encoding="utf-8")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "h.txt").write_text("hidden", encoding="utf-8")
    data = open_data(folder)
    assert [(s.id, s.text(), s.split) for s in data.samples] == [
        ("img/a.png", "Caption a", ""), ("img/b.png", "Caption b", ""), ("train/T.JPG", "Ü", "train"),
    ]  # fmt: skip
    said = "\n".join(data.problems)
    assert len(data.problems) == 3
    for words in (
        '"img/c.png": it has no caption',
        '"bad.png": Line 1 of "bad.txt" is not UTF-8',
        '"alone.txt": there is no',
    ):
        assert words in said
    lacking = {sample.id: (list(sample.parts), sample.problem) for sample in data.incomplete}
    assert sorted(lacking) == ["alone.txt", "bad.png", "img/c.png"]
    assert lacking["alone.txt"] == (["text"], "There is no picture for this caption.")
    assert data.get("img/c.png").image().open().size == (4, 4)
    (folder / "alone.txt").write_text("Still no picture", encoding="utf-8")
    assert open_data(folder).digest != data.digest


def test_names_that_are_not_utf8_are_passed_by(folder: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")
    (folder / "a.png").write_bytes((folder / "img/a.png").read_bytes())
    (folder / "a.txt").write_text("fine", encoding="utf-8")
    (folder / f"{odd}.png").write_bytes((folder / "img/a.png").read_bytes())
    (folder / f"{odd}.txt").write_text("odd", encoding="utf-8")
    data = open_data(folder)
    assert texts(data) == ["fine"]
    "".join(data.problems).encode()
    lines = '{"image": "a.png", "text": "One"}\n{"image": "caf\\udce9.png", "text": "Two"}\n'
    assert texts(table(folder, lines, "pairs.jsonl")) == ["One"]
    (folder / f"{odd}.csv").write_text("image,text\na.png,One\n", encoding="utf-8")
    with pytest.raises(FusionError, match="caf\ufffd"):
        open_data(folder / f"{odd}.csv")


def test_captions_stay_inside_the_folder(folder: Path) -> None:
    secret = folder.parent / "secret.txt"
    secret.write_text("secret", encoding="utf-8")
    (folder / "img/a.txt").symlink_to(secret)
    (folder / "img/b.txt").write_text("fine", encoding="utf-8")
    data = open_data(folder)
    assert texts(data) == ["fine"]
    assert "outside the folder" in "\n".join(data.problems)


def test_a_folder_without_pairs_says_what_would_do(folder: Path) -> None:
    with pytest.raises(FusionError, match="None of the 3 pictures"):
        open_data(folder)
    (folder / "pairs.csv").write_text("image,text\n", encoding="utf-8")
    with pytest.raises(FusionError, match=r'such as "pairs\.csv"'):
        open_data(folder)
    (folder / "nothing").mkdir()
    with pytest.raises(FusionError, match="has no picture"):
        open_data(folder / "nothing")


TWEETS = (
    "IMGID:11\nRT\tO\n@\tO\nAnn\tB-PER\nLee\tI-PER\n\nIMGID:12\nLos\tI-LOC\nAngeles\tI-LOC\n!\tO\nOscars\tB-OTHER\n\n"
)


def test_a_twitter_folder_keeps_its_words_and_tags(folder: Path) -> None:
    root = folder / "twitter2015"
    (root / "twitter2015_images").mkdir(parents=True)
    PIL.Image.new("RGB", (4, 4)).save(root / "twitter2015_images/11.jpg")
    (root / "train.txt").write_bytes(codecs.BOM_UTF8 + TWEETS.replace("\n", "\r\n").encode())
    (root / "valid.txt.gz").write_bytes(gzip.compress(TWEETS.encode()))
    (root / "test.txt").write_text(
        "IMGID:../../img/a\n\xa0\tO\nx\tB-XYZ\nno tag\n\nIMGID:12\n\nlost\tO\n", encoding="utf-8"
    )
    data = open_data(root)
    assert [sample.id for sample in data.samples[:4]] == ["train-11", "train-12", "valid-11", "valid-12"]
    first, second = data.get("train-11"), data.get("train-12")
    assert first.parts["text"] == Text("RT @ Ann Lee", ("RT", "@", "Ann", "Lee"))
    assert first.target == ("O", "O", "B-PER", "I-PER")
    assert first.image().open().size == (4, 4)
    assert second.image() is None
    assert second.problem.startswith('There is no file "twitter2015_images/12.jpg')
    assert first.problem == ""
    assert second.target == ("I-LOC", "I-LOC", "O", "B-MISC")
    assert data.split("test").samples[0].target == ("O", "O", "O")
    assert any("begin with I-" in note and "train 1, valid 1" in note for note in data.notes)
    said = "\n".join(data.problems)
    for words in (
        '"train.txt", line 7: there is no file',
        "unknown tags (B-XYZ)",
        "line 4: it has no tag",
        "outside the folder",
    ):
        assert words in said


def test_twitter_without_pictures_is_a_set_of_texts(tmp_path: Path) -> None:
    (tmp_path / "dev.txt").write_text(TWEETS, encoding="utf-8")
    data = open_data(tmp_path)
    assert [sample.image() for sample in data.samples] == [None, None]
    assert {sample.split for sample in data.samples} == {"valid"}
    assert data.problems == ()
    assert "no folder of pictures" in data.notes[0]


def test_damaged_and_swollen_twitter_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(TWEETS.encode())[:-30])
    with pytest.raises(FusionError, match=r"train\.txt\.gz"):
        open_data(tmp_path)
    monkeypatch.setattr("fusion.data.twitter.BYTES", 1000)
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(TWEETS.encode() * 100))
    with pytest.raises(FusionError, match="unpacks to more"):
        open_data(tmp_path)


@pytest.mark.parametrize(
    ("name", "tweets", "entities", "late"),
    [
        ("twitter2015", (4000, 1000, 3257), (6166, 1541, 5072), 135),
        ("twitter2017", (3373, 723, 723), (6049, 1324, 1351), 0),
    ],
)
def test_the_published_twitter_sets_have_their_known_counts(
    name: str, tweets: tuple[int, ...], entities: tuple[int, ...], late: int
) -> None:
    root = Path(SHARED) / name
    if not SHARED or not root.is_dir():
        pytest.skip("the Twitter sets are not here: name the folder that holds them in FUSION_SHARED_DATA")
    data = open_data(root)
    parts = [data.split(split).samples for split in ("train", "valid", "test")]
    assert tuple(map(len, parts)) == tweets
    assert tuple(sum(tag[0] == "B" for s in part for tag in s.target) for part in parts) == entities
    assert (f"test {late}" in "".join(data.notes)) == bool(late)
    assert len(data.problems) == 0
    for sample in data.samples:
        text = sample.parts["text"]
        assert len(sample.target) == len(text.words)  # no text in a failure's message
        assert " ".join(text.words) == text.raw or not sample.id


@pytest.mark.parametrize("key", list(DATASETS))
def test_the_bundled_sets_open_by_key(key: str) -> None:
    data = open_data(key)
    assert data.key == key
    assert data.problems == ()
    assert data.word in ("silver", "illustrative", "share-alike", "synthetic voice", "synthetic pairs")
    assert len(data.index) == len(data.samples) > 0
    pictures = [image for sample in data.samples if (image := sample.image()) is not None]
    assert pictures
    for image in pictures:
        assert image.data or (image.path.is_relative_to(data.root) and image.path.is_file())
    assert open_data(key).digest == data.digest != ""


def test_parts_of_a_set_keep_their_order_and_get_their_own_digest(folder: Path) -> None:
    rows = "image,text,split\n" + "".join(
        f"img/{'abc'[i % 3]}.png,Text {i},{'train' if i < 7 else 'test'}\n" for i in range(10)
    )
    data = table(folder, rows)
    assert texts(data.head(2)) == ["Text 0", "Text 1"]
    assert len(data.head(99)) == 10
    assert texts(data.split("test")) == ["Text 7", "Text 8", "Text 9"]
    picked = data.pick(5, seed=3)
    assert picked == data.pick(5, seed=3)
    assert texts(picked) == sorted(texts(picked))
    assert len({data.digest, data.head(2).digest, data.head(3).digest, picked.digest, data.pick(5, 4).digest}) == 5
    with pytest.raises(FusionError, match='no split "dev"; it has test, train'):
        data.split("dev")
