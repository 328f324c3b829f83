"""Folders of two graphs: what is read, and that every fault is named by file and line before anything is trained."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from fusion.data import DataSet, dbp15k, open_data
from fusion.data.graph_files import NAMED
from fusion.types import FusionError

FILES = {
    "ent_ids_1": "0\thttp://zh.dbpedia.org/resource/猫\n1\thttp://zh.dbpedia.org/resource/狗_(动物)\n2\thttp://zh.dbpedia.org/resource/C\n",
    "ent_ids_2": "10\thttp://dbpedia.org/resource/Cat\n11\thttp://dbpedia.org/resource/Dog%27s_life\n12\thttp://dbpedia.org/resource/C\n",
    "triples_1": "0\t5\t1\n1\t6\t2\n",
    "triples_2": "10\t7\t11\n11\t7\t12\n",
    "ill_ent_ids": "0\t10\n1\t11\n2\t12\n",
}
MANY = 40
RESOURCE = "http://dbpedia.org/resource/"
ANIMALS = ("The_Cat", "Dog", "Cow", "Hen")


def write(folder: Path, **changed: str | None) -> Path:
    """A sound folder of six entities and three links, with some files changed, or absent for None."""
    folder.mkdir(exist_ok=True)
    for name, text in (FILES | changed).items():
        if text is not None:
            (folder / name).write_text(text, "utf-8")
    return folder


def read(folder: Path) -> DataSet:
    return dbp15k.read(folder, train=0.67)


def test_a_folder_is_read_whole(tmp_path: Path) -> None:
    data = read(write(tmp_path / "zh_en"))
    graph = data.graph
    assert data.problems == ()
    assert [s.id for s in data.samples] == ["0", "1", "2", "10", "11", "12"]
    assert [s.parts["name"].raw for s in data.samples] == ["猫", "狗 (动物)", "C", "Cat", "Dog's life", "C"]
    assert graph.titles == ("zh", "en")
    assert graph.side.tolist() == [0, 0, 0, 1, 1, 1]
    assert graph.triples.tolist() == [[0, 0, 1], [1, 1, 2], [3, 2, 4], [4, 2, 5]]
    assert graph.links.tolist() == [[0, 3], [1, 4], [2, 5]]
    assert [(n.relation, n.outgoing, n.entity) for n in graph.neighbours(4)] == [
        ("relation 7", True, 5),
        ("relation 7", False, 3),
    ]
    assert data.spec == f"dbp15k:{tmp_path / 'zh_en'}"
    with pytest.raises(FusionError, match="leave nothing to train on"):
        open_data(data.spec)  # three links are too few for the usual share


def test_packed_files_tables_of_names_and_attributes_are_read(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "set",
        rel_ids_1="5\thttp://x/property/likes\n",
        training_attrs_1="http://zh.dbpedia.org/resource/猫\thttp://x/height\thttp://x/weight\nnone\tx\n",
        sup_ent_ids="0\t10\n1\t11\n",
        ref_ent_ids="2\t12\n",
        **{"dbp_zh_en.json": json.dumps([[0, ["the", "cat"]], [10, ["cat"]]])},
    )
    plain = read(folder)
    for path in list(folder.iterdir()):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    data = read(folder)
    assert (data.graph.triples == plain.graph.triples).all()
    assert data.samples[0].parts["name"].raw == "the cat"
    assert data.graph.relations[:2] == ("likes", "relation 6")
    assert data.graph.attributes_of(0) == [("height", 1), ("weight", 1)]
    assert data.graph.split.tolist() == [0, 0, 2]
    said = "\n".join(data.problems)
    assert '"training_attrs_1.gz", line 2: there is no entity "none"' in said
    assert '"dbp_zh_en.json.gz", line 1: the entity "1" has no translated name' in said


FAULTS = {
    "unknown head": (
        {"triples_1": "0\t5\t1\n9\t5\t1\n1\t6\t2\n"},
        '"triples_1", line 2: there is no entity "9" in its graph',
    ),
    "of the other graph": (
        {"triples_1": "0\t5\t1\n1\t5\t10\n1\t6\t2\n"},
        '"triples_1", line 2: there is no entity "10"',
    ),
    "self loop": (
        {"triples_2": "10\t7\t11\n11\t7\t11\n11\t7\t12\n"},
        '"triples_2", line 2: the entity "11" points to itself',
    ),
    "twice": ({"triples_1": "0\t5\t1\n0\t5\t1\n1\t6\t2\n"}, '"triples_1", line 2: this triple stands there already'),
    "short line": ({"triples_1": "0\t5\t1\n\n1\t6\n1\t6\t2\n"}, '"triples_1", line 3: it has 2 fields, not 3'),
    "no edge": ({"triples_1": "0\t5\t1\n"}, '"ent_ids_1", line 3: the entity "2" has no edge to another'),
    "same id": ({"ent_ids_1": FILES["ent_ids_1"] + "1\tx\n"}, '"ent_ids_1", line 4: the id "1" stands there already'),
    "unknown link": (
        {"ill_ent_ids": "0\t10\n9\t11\n1\t11\n2\t12\n"},
        '"ill_ent_ids", line 2: there is no entity "9" in graph 1',
    ),
    "duplicate link": (
        {"ill_ent_ids": "0\t10\n1\t11\n0\t10\n2\t12\n"},
        '"ill_ent_ids", line 3: this link stands there already (line 1',
    ),
    "second link": (
        {"ill_ent_ids": "0\t10\n1\t11\n0\t12\n2\t12\n"},
        '"ill_ent_ids", line 3: one of its entities has another link (line 1',
    ),
}


@pytest.mark.parametrize(("changed", "said"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_line_is_left_out_and_named(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    data = read(write(tmp_path / "set", **changed))
    assert any(problem.startswith(said) for problem in data.problems), data.problems
    assert len(data.samples) == 6


STOPS = {
    "leak": (
        {"sup_ent_ids": "0\t10\n1\t11\n", "ref_ent_ids": "2\t12\n0\t10\n"},
        r'"ref_ent_ids", line 2.*"sup_ent_ids", line 1, too, so test leaks into train',
    ),
    "one end": (
        {"sup_ent_ids": "0\t10\n1\t11\n", "ref_ent_ids": "2\t11\n"},
        r'"ref_ent_ids", line 1.*"sup_ent_ids", line 2',
    ),
    "valid": (
        {"sup_ent_ids": "0\t10\n", "ref_ent_ids": "1\t11\n", "valid_ent_ids": "2\t12\n1\t11\n"},
        r'"valid_ent_ids", line 2.*leaks into test',
    ),
    "both graphs": ({"ent_ids_2": "10\ta\n2\tb\n12\tc\n"}, r'"ent_ids_2", line 2: the id "2" is one of graph 1 too'),
    "no file": ({"triples_2": None}, r'has no file "triples_2"'),
    "no entity": ({"ent_ids_1": "\n"}, r'"ent_ids_1" holds no entity'),
    "swapped": ({"ill_ent_ids": "10\t0\n11\t1\n12\t2\n"}, r"no link that can be used.*columns may be swapped"),
    "not UTF-8": ({}, r'Line 1 of "ent_ids_1" is not UTF-8'),
    "not packed": ({"ent_ids_1": None}, r'"ent_ids_1.gz" can\'t be read'),
    "not JSON": ({"translated_ent_name.json": "[[0, "}, r'"translated_ent_name.json" is not JSON'),
    "no list": ({"translated_ent_name.json": "{}"}, r'"translated_ent_name.json" holds no list'),
}


@pytest.mark.parametrize("name", STOPS)
def test_a_fault_that_would_make_figures_wrong_stops_the_reading(tmp_path: Path, name: str) -> None:
    changed, said = STOPS[name]
    folder = write(tmp_path / "set", **changed)
    if name == "not UTF-8":
        (folder / "ent_ids_1").write_bytes("0\té".encode("latin-1"))
    if name == "not packed":
        (folder / "ent_ids_1.gz").write_bytes(b"\x1f\x8bnot gzip")
    with pytest.raises(FusionError, match=said):
        read(folder)


def test_many_faults_of_a_kind_are_counted(tmp_path: Path) -> None:
    data = read(write(tmp_path / "set", triples_1=FILES["triples_1"] + "99\t5\t1\n" * MANY))
    assert len(data.problems) == NAMED + 1
    assert data.problems[-1] == f'"triples_1": {MANY - NAMED} more lines like these.'


def test_a_path_that_holds_no_graphs_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="There is no data set"):
        open_data(f"dbp15k:{tmp_path / 'none'}")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FusionError, match="takes the folder"):
        open_data(f"dbp15k:{tmp_path / 'file'}")
    with pytest.raises(FusionError, match='has no file "ent_ids_1"'):
        open_data(f"dbp15k:{tmp_path}")
    with pytest.raises(FusionError, match='has no folder "fb15k237"'):
        open_data(f"fb15k_db15k:{tmp_path}")


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """The three folders of FB15K-237 and DB15K, with four entities a side."""
    files = {
        "fb15k237/entity2id.txt": "4\n/m/a\t0\n/m/b\t1\n/m/c\t2\n/m/d\t3\n",
        "fb15k237/relation2id.txt": "1\n/people/person/likes\t0\n",
        "fb15k237/train2id.txt": "2\n0 1 0\n1 2 0\n",
        "fb15k237/valid2id.txt": "1\n2 3 0\n",
        "fb15k237/test2id.txt": "1\n3 0 0\n",
        "fb15k237/entity2text.txt": "/m/a\tThe Cat\n/m/b\tDog\n/m/c\tCow\n",
        "db15k/entity2id.txt": "4\n" + "".join(f"<{RESOURCE}{name}> {at}\n" for at, name in enumerate(ANIMALS)),
        "db15k/relation2id.txt": "1\n<http://dbpedia.org/ontology/spouse> 0\n",
        "db15k/train.txt": "0\t0\t1\n",
        "db15k/valid.txt": "1\t0\t2\n",
        "db15k/test.txt": "2\t0\t3\n",
        "fb15k237_db15k/links_ids.tsv": "0\t0\n1\t1\n2\t2\n3\t3\n",
        "fb15k237_db15k/FB15K_NumericalTriples.txt": "/m/a\t<http://x/height>\t1.0\n/m/a\t<http://x/height>\t2.0\n/m/z\t<http://x/height>\t2.0\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path


def test_freebase_and_dbpedia_are_aligned_by_their_links(three: Path) -> None:
    data = open_data(f"fb15k_db15k:{three}")
    graph = data.graph
    assert [s.id for s in data.samples] == ["f0", "f1", "f2", "f3", "d0", "d1", "d2", "d3"]
    assert data.samples[0].parts["name"].raw == data.samples[4].parts["name"].raw == "The Cat"
    assert "name" not in data.samples[3].parts
    assert graph.relations == ("likes", "spouse")
    assert graph.triples.tolist() == [[0, 0, 1], [1, 0, 2], [2, 0, 3], [3, 0, 0], [4, 1, 5], [5, 1, 6], [6, 1, 7]]
    assert graph.attributes_of(0) == [("height", 2)]
    assert len(graph.links) == 4
    assert any('"FB15K_NumericalTriples.txt", line 3: there is no entity "/m/z"' in p for p in data.problems)
    assert open_data(f"fb15k_db15k:{three / 'fb15k237_db15k'}").digest == data.digest


def test_links_by_name_stand_in_for_links_by_id(three: Path) -> None:
    (three / "fb15k237_db15k" / "links_ids.tsv").unlink()
    (three / "fb15k237_db15k" / "DB15K_SameAsLink.txt").write_text(
        "".join(
            f"/m/{mark} <SameAs> <{RESOURCE}{ANIMALS[at]}> .\n"
            for mark, at in zip("azbccd", (0, 1, 1, 2, 3, 3), strict=True)
        )
    )
    data = open_data(f"fb15k_db15k:{three}")
    assert data.graph.links.tolist() == [[0, 4], [1, 5], [2, 6], [3, 7]]
    assert [p for p in data.problems if "SameAs" in p] == [
        '"DB15K_SameAsLink.txt", line 2: one of its ends is in neither graph; the link was left out.',
        '"DB15K_SameAsLink.txt", line 5: one of its entities has another link; this one was left out.',
    ]


def test_another_content_has_another_digest(tmp_path: Path) -> None:
    first = read(write(tmp_path / "set"))
    again = read(tmp_path / "set")
    assert first.digest == again.digest
    assert np.array_equal(first.graph.split, again.graph.split)
    shutil.rmtree(tmp_path / "set")
    assert read(write(tmp_path / "set", triples_2="10\t7\t11\n11\t8\t12\n")).digest != first.digest
