"""Split triples of one graph: what is known, what leaks, and folders whose columns, ids or splits are wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from fusion.data import DataSet, open_data
from fusion.data.feature_files import Table, write
from fusion.data.graphs import SPLITS
from fusion.data.link_features import link_features, text_of
from fusion.data.triple_names import find_entity, find_relation, near
from fusion.data.triples import TripleSet, among, split_triples
from fusion.types import FusionError

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the development data is not here")
NAMES = ("Cat", "Dog", "Cow", "Hen", "Black_Sea", "Horse", "Goat", "Owl")
LIKES, FEARS, OWNS = 0, 1, 2
TRAIN = [(0, 0, 1), (1, 0, 2), (2, 0, 3), (3, 0, 4), (4, 1, 5), (5, 1, 6), (6, 1, 7), (7, 1, 0), (0, 1, 5), (2, 0, 6)]
VALID, TEST = [(0, 0, 3), (1, 0, 4)], [(2, 1, 7), (3, 0, 6)]


def table(names: list[str] | tuple[str, ...], count: bool = True) -> str:
    """A file of names and ids."""
    return f"{len(names)}\n" * count + "".join(f"{name}\t{at}\n" for at, name in enumerate(names))


def lines(triples: list[tuple[int, int, int]], order: str = "hrt") -> str:
    """A file of triples."""
    return "".join("\t".join(str(row["hrt".index(one)]) for one in order) + "\n" for row in triples)


FILES = {
    "entity2id.txt": table([f"<http://dbpedia.org/resource/{name}>" for name in NAMES]),
    "relation2id.txt": table(["<http://dbpedia.org/ontology/likes>", "<http://x.org/schema#fears>"]),
    "train.txt": lines(TRAIN),
    "valid.txt": lines(VALID),
    "test.txt": lines(TEST),
}


def folder(path: Path, **changed: str | None) -> Path:
    """A sound folder, with some files changed (`train_txt` for train.txt), or absent for None."""
    path.mkdir(exist_ok=True)
    named = {name.replace("_txt", ".txt"): text for name, text in changed.items()}
    for name, text in (FILES | named).items():
        if text is not None:
            (path / name).write_text(text, "utf-8")
    return path


def read(path: Path, own: bool = False) -> DataSet:
    return open_data(f"triples{'_own' * own}:{path}")


def set_of(
    train: list[tuple[int, int, int]], valid: list[tuple[int, int, int]], test: list[tuple[int, int, int]]
) -> TripleSet:
    """Triples with their splits, of three relations."""
    split = [at for at, part in enumerate((train, valid, test)) for _ in part]
    rows = np.array([*train, *valid, *test], dtype=np.int32)
    return TripleSet("toy", rows, np.array(split, dtype=np.uint8), ("likes", "fears", "owns"), entities=8)


def test_known_tails_are_those_of_all_splits_and_both_directions() -> None:
    graph = set_of(TRAIN, VALID, TEST)
    rng = np.random.default_rng(0)
    asked = np.stack((rng.integers(0, 8, 200), rng.integers(0, 6, 200)), 1)
    row, tail = graph.known().tails(asked)
    for at, (head, relation) in enumerate(asked.tolist()):
        turned = relation >= 3
        want = {
            h if turned else t
            for h, r, t in (*TRAIN, *VALID, *TEST)
            if r == relation % 3 and (t if turned else h) == head
        }
        assert tail[row == at].tolist() == sorted(want)
    row, tail = graph.known("train").tails(np.array([[0, 0, 9], [7, 5, 9], [3, 2, 9]]))
    assert (row.tolist(), tail.tolist()) == ([0], [1])
    row, tail = graph.known().tails(np.zeros((0, 2), dtype=np.int64))
    assert len(row) == len(tail) == 0


def test_queries_ask_for_tails_and_then_for_heads() -> None:
    graph = set_of(TRAIN, VALID, TEST)
    asked = graph.queries("test")
    assert asked.tolist() == [[2, 1, 7], [3, 0, 6], [7, 4, 2], [6, 3, 3]]
    assert graph.relation(4) == ("fears", True)
    assert len(graph.queries()) == 2 * 14
    with pytest.raises(FusionError, match='no split "dev" of triples; there are train, valid, test'):
        graph.part("dev")


def test_neighbours_degrees_and_frequencies_are_those_of_train_alone() -> None:
    graph = set_of([*TRAIN, (3, 2, 3)], VALID, TEST)
    assert [(n.relation, n.outgoing, n.entity) for n in graph.neighbours(3)] == [
        ("likes", True, 4), ("owns", True, 3), ("likes", False, 2),
    ]  # fmt: skip
    assert graph.degree().tolist() == [3, 2, 3, 2, 2, 3, 3, 2]  # the one to itself leads nowhere
    assert graph.frequency().tolist() == [5, 5, 1]


def test_what_another_split_gives_away_is_counted_and_not_clean() -> None:
    test = [(0, 0, 1), (1, 0, 0), (2, 1, 1), (0, 2, 1), (0, 0, 3), (3, 1, 7)]
    graph = set_of(TRAIN, VALID, test)
    found = graph.overlaps()["test"]
    assert found._asdict() == {
        "triples": 6, "in_train": 1, "reversed_same": 1, "reversed_other": 1, "parallel": 1, "in_other": 1,
    }  # fmt: skip
    assert graph.clean[graph.rows("test")].tolist() == [False, False, False, True, False, True]
    assert graph.clean[graph.rows("valid")].tolist() == [False, True]
    assert not graph.clean[graph.rows("train")].any()


def test_membership_agrees_with_numpy() -> None:
    rng = np.random.default_rng(1)
    values, known = rng.integers(0, 99, 500), rng.integers(0, 99, 40)
    assert (among(values, known) == np.isin(values, known)).all()
    assert not among(values, known[:0]).any()


def test_a_split_keeps_pairs_together_and_leaves_every_end_in_train() -> None:
    rng = np.random.default_rng(2)
    rows = np.unique(rng.integers(0, 60, (900, 3)) % np.array([60, 4, 60]), axis=0)
    split = split_triples(rows, seed=5, stay=[3])
    graph = TripleSet("toy", rows.astype(np.int32), split, ("a", "b", "c", "d"), entities=60)
    counts = np.bincount(split)
    assert counts[2] == round(0.1 * len(rows))
    assert counts[1] == round(0.05 * len(rows))
    for one in graph.overlaps().values():
        assert one[1:] == (0, 0, 0, 0, 0)
    ends = np.unique(rows[:, [0, 2]])
    assert set(graph.part("train")[:, [0, 2]].ravel()) == set(ends)
    assert (split[rows[:, 1] == 3] == 0).all()
    assert (split == split_triples(rows, seed=5, stay=[3])).all()
    assert (split != split_triples(rows, seed=6, stay=[3])).any()


def test_a_split_leaves_a_training_triple_to_ends_and_relations() -> None:
    star = np.array([(0, 0, leaf) for leaf in range(1, 30)])
    assert not split_triples(star).any()  # every leaf has one triple only
    pair = np.array([(a, 0, b) for a in range(5) for b in range(5) if a < b] + [(0, 1, 4)])
    split = split_triples(pair, valid=0.3, test=0.4)
    assert split[-1] == 0
    assert split.any()


FORMS = {
    "ids behind a count": {},
    "ids without a count": {"entity2id_txt": table([f"http://dbpedia.org/resource/{n}" for n in NAMES], count=False)},
    "head, tail, relation": {
        "train_txt": None, "valid_txt": None, "test_txt": None,
        **{f"{name}2id_txt": f"{len(rows)}\n{lines(rows, 'htr')}".replace("\t", " ")
           for name, rows in (("train", TRAIN), ("valid", VALID), ("test", TEST))},
    },
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_folder_gives_the_same_triples(tmp_path: Path, form: str, packed: bool) -> None:
    path = folder(tmp_path / "set", **FORMS[form])
    for file in list(path.iterdir()) if packed else ():
        (path / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    data = read(path)
    graph = data.triples
    assert data.kind == "triples"
    assert data.problems == ()
    assert not [note for note in data.notes if "columns" in note]  # the order is the usual one of each form
    assert [sample.parts["name"].raw for sample in data.samples] == [name.replace("_", " ") for name in NAMES]
    assert graph.relations == ("likes", "fears")
    for name, rows in zip(SPLITS, (TRAIN, VALID, TEST), strict=True):
        assert graph.part(name).tolist() == [list(row) for row in rows]


def test_a_folder_of_names_with_definitions_is_read(tmp_path: Path) -> None:
    word = lambda rows: "".join(f"n{h}\t_{'hyponym' if r else 'has_part'}\tn{t}\n" for h, r, t in rows)  # noqa: E731
    path = tmp_path / "words"
    path.mkdir()
    for name, rows in (("train", TRAIN), ("valid", VALID), ("test", TEST)):
        (path / name).write_text(word(rows))
    (path / "ent_name.txt").write_text("".join(f"n{at}\t{name}, {name}s\n" for at, name in enumerate(NAMES[:7])))
    (path / "ent_dscp.txt").write_text("0\tcat, a small animal\n1\tdog,  \n2\ta large animal, with horns\nn9\tno one\n")
    data = read(path)
    assert data.triples.relations == ("has part", "hyponym")
    cat, dog, cow = (data.samples[data.index[f"n{at}"]] for at in range(3))
    assert cat.parts["description"].raw == "a small animal"  # its name isn't said twice
    assert text_of(cat) == "Cat, Cats: a small animal"
    assert "description" not in dog.parts
    assert text_of(cow) == "Cow, Cows: a large animal, with horns"
    assert 'The entity "n1" has no description, or an empty one.' in data.problems
    assert 'The entity "n7" has no name.' in data.problems
    assert "name" not in data.samples[data.index["n7"]].parts


@pytest.mark.parametrize("which", ["train_txt", "valid_txt"])
def test_columns_in_another_order_are_detected_and_said(tmp_path: Path, which: str) -> None:
    rows = TRAIN if which == "train_txt" else [(4, 0, 3), (5, 1, 6)]
    sound = read(folder(tmp_path / "sound", **{which: lines(rows)}))
    many = [f"<http://dbpedia.org/resource/{name}>" for name in NAMES] + [f"more{at}" for at in range(20)]
    for order, said in (("htr", "head, tail, relation"), ("rht", "relation, head, tail")):
        path = folder(tmp_path / order, entity2id_txt=table(many), **{which: lines(rows, order)})
        data = read(path)
        name = which.replace("_", ".")
        assert f'"{name}" has its columns in the order {said}, as what stands in them shows' in data.notes[0]
        assert data.triples.part("train").tolist() == sound.triples.part("train").tolist()
        assert data.triples.part("valid").tolist() == sound.triples.part("valid").tolist()


def test_columns_of_names_in_another_order_are_detected(tmp_path: Path) -> None:
    path = tmp_path / "set"
    path.mkdir()
    for name, rows in (("train", TRAIN), ("valid", VALID), ("test", TEST)):
        (path / name).write_text("".join(f"n{h}\tn{t}\t_r{r}\n" for h, r, t in rows))
    data = read(path)
    assert data.triples.relations == ("r0", "r1")
    assert '"train" has its columns in the order head, tail, relation' in data.notes[0]


def test_heads_and_tails_the_wrong_way_round_are_said(tmp_path: Path) -> None:
    born = [(person, 0, person % 3 + 60) for person in range(60)]
    train = [
        *born[:30],
        *((person, 1, (person + 1) % 60) for person in range(60)),
        *((60 + at, 1, 0) for at in range(3)),
    ]
    files = {"entity2id_txt": table([f"e{at}" for at in range(63)]), "train_txt": lines(train)}
    known = [(person, 0, (person + 1) % 3 + 60) for person in range(30)]
    sound = read(folder(tmp_path / "a", **files, test_txt=lines(known), valid_txt=lines(known[:5])))
    assert not [note for note in sound.notes if "look like" in note]
    wrong = read(folder(tmp_path / "b", **files, test_txt=lines(known, "trh"), valid_txt=lines(born[30:])))
    assert 'The heads of "test.txt" look like the tails of the training triples' in "".join(wrong.notes)
    assert 'The heads of "valid.txt"' not in "".join(wrong.notes)


FAULTS = {
    "unknown entity": ({"train_txt": lines([*TRAIN, (99, 0, 1)])}, '"train.txt", line 11: there is no entity "99"'),
    "unknown relation": ({"test_txt": lines([*TEST, (1, 7, 2)])}, '"test.txt", line 3: there is no relation "7"'),
    "self loop": ({"train_txt": lines([*TRAIN, (3, 0, 3)])}, '"train.txt", line 11: the entity "3" points to itself.'),
    "twice": ({"test_txt": lines([*TEST, TEST[0]])}, '"test.txt", line 3: this triple stands there already (line 1)'),
    "leak": ({"test_txt": lines([*TEST, TRAIN[3]])}, '"test.txt", line 3: this triple is one of the split train too.'),
    "short line": ({"train_txt": lines(TRAIN) + "1\t2\n"}, '"train.txt", line 11: it has 2 fields, not 3.'),
    "same id": ({"entity2id_txt": FILES["entity2id.txt"] + "x\t0\n"}, '"entity2id.txt", line 10: the id "0" stands'),
    "wrong count": (
        {"entity2id_txt": FILES["entity2id.txt"].replace("8\n", "9\n", 1)},
        '"entity2id.txt", line 1: it counts 9 and 8 follow.',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "said"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_line_is_named(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    data = read(folder(tmp_path / "set", **changed))
    assert any(problem.startswith(said) for problem in data.problems), data.problems
    assert len(data) == 8


STOPS = {
    "no train": ({"train_txt": None}, 'has no file "train.txt"'),
    "nothing fits": ({"train_txt": lines([(h + 50, r, t + 50) for h, r, t in TRAIN])}, "fits neither head, relation"),
    "empty": ({"train_txt": ""}, '"train.txt" has no triple that can be used; the first problem: it is empty'),
    "no entity": ({"entity2id_txt": "0\n"}, '"entity2id.txt" names nothing'),
}  # fmt: skip


@pytest.mark.parametrize(("changed", "said"), STOPS.values(), ids=STOPS)
def test_a_folder_that_is_of_no_use_stops_the_reading(tmp_path: Path, changed: dict[str, str], said: str) -> None:
    with pytest.raises(FusionError, match=said):
        read(folder(tmp_path / "set", **changed))


def test_a_validation_part_that_overlaps_is_drawn_anew_and_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = [tuple(row) for row in np.unique(rng.integers(0, 8, (400, 3)) % np.array([8, 2, 8]), axis=0).tolist()]
    rows = [row for row in rows if row[0] != row[2]]
    order = rng.permutation(len(rows)).tolist()
    train, test, valid = ([rows[at] for at in part] for part in (order[:70], order[70:80], order[60:84]))
    path = folder(tmp_path / "set", train_txt=lines(train), test_txt=lines(test), valid_txt=lines(valid))
    data = read(path)
    graph = data.triples
    assert "Of the 24 different validation triples, 10 stand in train and 10 in test" in data.notes[0]
    overlap = graph.overlaps()
    assert overlap["valid"].in_train == overlap["valid"].in_other == overlap["test"].in_other == 0
    kept = {tuple(row) for row in graph.part("valid").tolist()}
    assert {rows[at] for at in order[80:84]} <= kept  # what of it was held out stays
    assert {tuple(row) for row in graph.part("test").tolist()} == set(test)
    assert {tuple(row) for row in graph.part("train").tolist()} | kept >= set(train)
    assert (read(path).triples.split == graph.split).all()


def test_reversed_triples_and_relations_without_training_are_said(tmp_path: Path) -> None:
    turned = [(t, 1 - r, h) for h, r, t in TRAIN[:2]]
    more = FILES["relation2id.txt"].replace("2\n", "3\n", 1) + "http://x/owns\t2\n"
    data = read(folder(tmp_path / "set", test_txt=lines([*turned, *TEST, (0, 2, 7)]), relation2id_txt=more))
    said = "\n".join(data.notes)
    assert "Of the 5 test triples, 3 (60%) have their two entities the other way round in train, 0 by the same" in said
    assert 'No training triple has the relation "owns": nothing is learnt of it.' in said
    assert "way round" not in "\n".join(read(tmp_path / "set", own=True).notes)


def test_an_own_split_gives_nothing_away(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    rows = np.unique(rng.integers(0, 8, (300, 3)) % np.array([8, 2, 8]), axis=0)
    rows = [tuple(row) for row in rng.permutation(rows).tolist() if row[0] != row[2]]
    path = folder(tmp_path / "set", train_txt=lines(rows[:70]), test_txt=lines(rows[70:]), valid_txt=lines(rows[:5]))
    data, published = read(path, own=True), read(path)
    assert data.digest != published.digest
    assert data.key != published.key
    assert sorted(map(tuple, data.triples.triples.tolist())) == sorted(rows)
    assert all(one[1:] == (0, 0, 0, 0, 0) for one in data.triples.overlaps().values())
    (path / "valid.txt").unlink()
    assert "The folder has no valid triples, so all triples were split here" in read(path).notes[0]


def test_relations_of_one_name_are_told_apart(tmp_path: Path) -> None:
    path = folder(
        tmp_path / "set",
        relation2id_txt=table(["/tv/tv_program/cast/actor", "/film/film/cast/actor"]),
        relation2text_txt="/tv/tv_program/cast/actor\tactor\n/film/film/cast/actor\tactor\n",
    )
    assert read(path).triples.relations == ("actor (tv program)", "actor (film)")


def test_entities_and_relations_are_found_by_what_they_are_called(tmp_path: Path) -> None:
    data = read(
        folder(tmp_path / "set", test_txt=lines([*TEST, (0, 2, 7)]), relation2id_txt=table(["likes", "fears", "owns"]))
    )
    assert [find_entity(data, words) for words in ("4", "black sea", " Black Sea ")] == [4, 4, 4]
    assert find_entity(data, "http://dbpedia.org/resource/Owl") == 7
    assert (find_relation(data, "Fears"), find_relation(data, "~fears")) == (1, 4)
    with pytest.raises(FusionError, match=r'no entity "Blak See"; did you mean "Black Sea"'):
        find_entity(data, "Blak See")
    with pytest.raises(FusionError, match='no entity ""'):
        find_entity(data, " ")
    with pytest.raises(FusionError, match=r'no relation "feers"; did you mean "likes" or "fears" or "owns"'):
        find_relation(data, "feers")
    with pytest.raises(FusionError, match=r'No training triple has the relation "owns": nothing was learnt.*"likes"'):
        find_relation(data, "~owns")
    with pytest.raises(FusionError, match="no graph whose links are to be predicted"):
        find_relation(open_data("gallery"), "likes")


def test_a_name_of_several_entities_asks_which() -> None:
    data = open_data("keywords")
    with pytest.raises(FusionError, match=r'2 entities are called "dog": "k-\d+" \(.*\), "k-\d+" \(.*\)\. Give the id'):
        find_entity(data, "dog")


def test_near_names_are_found_among_many() -> None:
    rng = np.random.default_rng(5)
    names = ["".join(map(chr, rng.integers(97, 123, 12))) for _ in range(40_000)] + ["Constantinople", "Istanbul"]
    assert near("constantinopel", names)[0] == "Constantinople"
    assert near("istanbul", names)[0] == "Istanbul"
    assert near("\u4e2d", names) == []


def test_features_mark_what_is_missing_and_fill_it_with_the_mean(tmp_path: Path) -> None:
    data = read(folder(tmp_path / "set"))
    ids = [sample.id for sample in data.samples]
    rng = np.random.default_rng(6)
    known = np.array([True] * 6 + [False] * 2)
    values = rng.normal(size=(8, 5)).astype(np.float32) * known[:, None]
    image, text = (
        Table(values, known, "own"),
        Table(rng.normal(size=(8, 3)).astype(np.float32), np.ones(8, bool), "own"),
    )
    write(tmp_path / "image.npz", ids, {"image": image})
    write(tmp_path / "text.safetensors", ids, {"text": text})
    files = [tmp_path / "image.npz", tmp_path / "text.safetensors"]
    made = link_features(data, files=files)
    assert made.widths == {"image": 5, "text": 3}
    assert made.present().tolist() == [[one, True] for one in known.tolist()]
    rows = torch.nn.functional.normalize(torch.from_numpy(values[:6]), dim=1)
    torch.testing.assert_close(made.features["image"][:6], rows)
    mean = torch.nn.functional.normalize(rows.mean(0), dim=0)
    torch.testing.assert_close(made.features["image"][6:], mean.expand(2, -1))
    assert made.replaced("image", 7, torch.ones(5)).known["image"].tolist() == [True] * 6 + [False, True]
    with pytest.raises(FusionError, match="and 7 are read"):
        link_features(data, files=files, widths={"image": 7})
    write(tmp_path / "other.npz", ids, {"name": text})
    with pytest.raises(FusionError, match=r'"other.npz" holds name; link prediction reads image and text'):
        link_features(data, files=[tmp_path / "other.npz"])
    bare = link_features(data, ["image"])
    assert bare.sources == {"image": "nothing"}
    assert not bare.known["image"].any()
    assert not bare.features["image"].any()
    with pytest.raises(FusionError, match="no graph whose links"):
        link_features(open_data("gallery"))


COUNTS = {  # entities, relations, train, valid, test, test triples turned round in train
    "db15k": (12842, 279, 75261, 4034, 9902, 639),
    "mkg_w": (15000, 169, 34196, 4276, 4274, 224),
    "wn9": (6555, 9, 11741, 1337, 1319, 1186),
    "fb15k237": (14541, 237, 272115, 17535, 20466, 0),
}


@needs_data
@pytest.mark.parametrize("name", COUNTS)
def test_the_shared_folders_are_read_whole(name: str) -> None:
    data = read(SHARED / name)
    graph = data.triples
    entities, relations, *splits, turned = COUNTS[name]
    assert (len(data), len(graph.relations)) == (entities, relations)
    assert len(set(graph.relations)) == relations
    assert [len(graph.part(split)) for split in SPLITS] == splits
    overlap = graph.overlaps()["test"]
    assert overlap.in_train == overlap.in_other == 0
    assert overlap.reversed_same + overlap.reversed_other == turned
    assert int(graph.clean[graph.rows("test")].sum()) == splits[2] - turned
    assert all("points to itself" in problem or "more lines" in problem or "already" in problem or "too." in problem
               for problem in data.problems)  # fmt: skip
    if name == "wn9":
        assert all(set(sample.parts) == {"name", "description"} for sample in data.samples)
    if name == "db15k":
        assert "Of the 7,481 different validation triples, 6,584 stand in train and 824 in test" in data.notes[0]
        assert data.samples[data.index["4"]].parts["name"].raw
    if name == "mkg_w":
        assert not any(sample.parts for sample in data.samples)
