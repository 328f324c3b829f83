"""The emoji and keywords graph: nothing held out is given away, and the counts are those of the recipe."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fusion.__main__ import main
from fusion.data import DataSet, keywords, open_data, pairs_only
from fusion.data.feature_files import made_for
from fusion.data.graph_features import BUNDLED, made_by
from fusion.data.graphs import SPLITS
from fusion.data.link_features import ENCODED, link_features, link_tables, text_of
from fusion.encoders import encoder
from fusion.encoders.cache import FeatureCache
from fusion.types import FusionError

RELATIONS = ("hasKeyword", "inSubgroup", "hasPart", "inGroup")


@pytest.fixture(scope="module")
def data() -> DataSet:
    return open_data("keywords")


def test_the_counts_are_those_of_the_recipe(data: DataSet) -> None:
    graph, said = data.triples, keywords.meta()["counts"]
    assert graph.relations == RELATIONS
    assert (len(graph), said["with_picture"], len(graph.triples)) == (2685, 1543, 8689)
    assert np.bincount(graph.split).tolist() == [said[name] for name in SPLITS] == [7386, 434, 869]
    for at, name in enumerate(RELATIONS):
        found = np.bincount(graph.split[graph.triples[:, 1] == at], minlength=3)
        assert found.tolist() == list(said["relations"][name].values())
    kinds = Counter(graph.kind)
    assert [kinds[name] for name in ("keyword", "subgroup", "group")] == [1039, 95, 8]
    assert sum(sample.image() is not None for sample in data.samples) == 1543
    assert all(sample.image() is None or sample.image().path.is_file() for sample in data.samples)


def test_no_held_out_triple_stands_in_train_turned_round_or_by_another_relation(data: DataSet) -> None:
    graph = data.triples
    train = {(h, t) for h, _, t in graph.part("train").tolist()}
    for name in ("valid", "test"):
        for head, _, tail in graph.part(name).tolist():
            assert (head, tail) not in train
            assert (tail, head) not in train
        assert graph.overlaps()[name][1:] == (0, 0, 0, 0, 0)
    assert graph.clean[graph.split > 0].all()
    assert len(np.unique(graph.triples[:, [0, 2]], axis=0)) == len(graph.triples)  # two entities, one triple
    pairs = {frozenset((h, t)) for h, _, t in graph.triples.tolist()}
    assert len(pairs) == len(graph.triples)


def test_every_entity_keeps_a_training_triple_and_groups_are_not_asked_for(data: DataSet) -> None:
    graph = data.triples
    degree = np.bincount(graph.triples[:, [0, 2]].ravel(), minlength=len(graph))
    assert degree.min() == 2
    assert (graph.degree() > 0).all()
    assert (graph.frequency() > 0).all()
    assert (graph.split[graph.triples[:, 1] == RELATIONS.index("inGroup")] == 0).all()
    tails = graph.triples[graph.triples[:, 1] == 0, 2]
    assert np.bincount(tails).max() <= 120


def test_rows_and_ids_say_nothing(data: DataSet) -> None:
    graph = data.triples
    assert [sample.id for sample in data.samples] == [f"k-{at:04d}" for at in range(len(data))]
    head, _, tail = graph.triples.T
    assert abs(np.corrcoef(head, tail)[0, 1]) < 0.03
    for kind in ("keyword", "subgroup"):
        mine = np.array([one == kind for one in graph.kind])
        assert abs(np.corrcoef(np.arange(len(mine)), mine)[0, 1]) < 0.05
    for name in ("valid", "test"):
        mine = graph.split == SPLITS.index(name)
        for column in (head, tail, np.arange(len(mine))):
            assert abs(np.corrcoef(column, mine)[0, 1]) < 0.04
    names = [sample.parts["name"].raw for sample in data.samples]
    assert names != sorted(names)


def test_an_emoji_says_its_name_and_nothing_of_its_keywords(data: DataSet) -> None:
    graph = data.triples
    for sample, kind in zip(data.samples, graph.kind, strict=True):
        entity = kind not in ("keyword", "subgroup", "group")
        assert set(sample.parts) == ({"image", "name"} if entity else {"name"})
        assert set(sample.note) == {"graph", "kind"} | ({"emoji"} if entity else set())
    for head, relation, tail in graph.triples.tolist():
        if relation == 0:  # an emoji's own name is not its keyword
            assert data.samples[head].parts["name"].raw != data.samples[tail].parts["name"].raw


def test_no_picture_is_stored_twice(data: DataSet) -> None:
    assert not list(keywords.FOLDER.rglob("*.png"))
    held = [sample.image().path.read_bytes() for sample in data.samples if sample.image() is not None]
    assert len(held) - len(set(held)) <= 5  # Noto draws a few emoji alike


def test_what_can_be_copied_from_a_name_is_marked(data: DataSet) -> None:
    graph, said = data.triples, keywords.meta()
    names = [sample.parts["name"].raw for sample in data.samples]
    mask = keywords.spelled_within(graph.triples, names)
    test = graph.split == SPLITS.index("test")
    assert np.flatnonzero(mask & test).tolist() == said["copied_test"]
    keyword = graph.triples[:, 1] == 0
    assert int((test & keyword).sum()) == said["counts"]["test_keywords"] == 662
    assert int((test & keyword & mask).sum()) == said["counts"]["test_keywords_copied"] == 204
    left = [(names[h], names[t]) for h, _, t in graph.triples[test & keyword & ~mask].tolist()]
    assert not [pair for pair in left if pair[1].lower() in pair[0].lower()]
    assert data.notes[0].startswith("204 of the 662 test triples of hasKeyword have the keyword in the emoji's name")
    rows = np.array([[0, 0, 1], [1, 0, 0], [0, 0, 2], [2, 0, 3], [3, 0, 3]])
    called = ["Red Heart", "heart", "love", ""]
    assert keywords.spelled_within(rows, called).tolist() == [True, True, False, False, False]


def test_the_card_says_what_was_counted(data: DataSet) -> None:
    text, counts = (keywords.FOLDER / "card.md").read_text("utf-8"), keywords.meta()["counts"]
    assert f"**{data.word}**" in text
    for name, of in counts["relations"].items():
        assert f"| {name} | {of['train']:,} | {of['valid']} | {of['test']} |" in text
    assert "204 of the 662 test triples" in text
    assert "458" in text


@pytest.mark.parametrize("name", ["image", "text"])
def test_the_bundled_features_are_the_encoders_own(data: DataSet, name: str, tmp_path: Path) -> None:
    made = encoder(ENCODED[name])
    assert made_for(keywords.FOLDER / BUNDLED[name]) == made_by(data, made), "run tools/encode_keywords.py again"
    table = link_tables(data, [name], cache=FeatureCache(tmp_path))[name]
    assert not list(tmp_path.rglob("*.safetensors"))  # nothing was encoded
    assert table.source == ENCODED[name]
    rows = np.flatnonzero(table.known)[:: len(data) // 6]
    inputs = [data.samples[row].image().open() if name == "image" else text_of(data.samples[row]) for row in rows]
    np.testing.assert_allclose(table.values[rows], made.encode(inputs).pooled.cpu().numpy(), atol=2e-3, rtol=2e-3)


def test_other_texts_are_encoded_and_kept(data: DataSet, tmp_path: Path) -> None:
    cache, part = FeatureCache(tmp_path), open_data("keywords")
    done: list[int] = []
    other = DataSet("mine", "Mine", part.samples, spec="triples:mine", triples=part.triples)
    tables = link_tables(other, ["text"], cache=cache, progress=lambda at, of: done.append(at))
    np.testing.assert_allclose(tables["text"].values, link_tables(data, ["text"])["text"].values, atol=2e-3)
    assert done[-1] == len({text_of(sample) for sample in part.samples})
    link_tables(other, ["text"], cache=cache, progress=lambda at, of: done.append(-1))
    assert -1 not in done


def test_an_entity_without_a_picture_is_marked_and_has_the_mean(data: DataSet) -> None:
    made = link_features(data)
    assert made.widths == {"image": 1280, "text": 384}
    missing = [row for row, sample in enumerate(data.samples) if sample.image() is None]
    assert (~made.known["image"]).nonzero().ravel().tolist() == missing
    assert made.coverage()["text"] == 1
    assert (made.features["image"][missing] == made.features["image"][missing[0]]).all()
    for table in made.features.values():
        np.testing.assert_allclose(table.norm(dim=1).numpy(), 1, atol=1e-5)


def test_systems_of_pairs_say_what_they_take(data: DataSet, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FusionError, match=r"a graph whose links are to be predicted.*gloss or gallery.*predicts links"):
        pairs_only(data)
    for key, what in (("emoji", "two graphs to align"), ("keywords", "a graph whose links are to be predicted")):
        assert main(["train", "maf", "--data", key]) == 2
        assert what in capsys.readouterr().err


def test_the_command_line_lists_the_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "keywords"]) == 0
    said = capsys.readouterr().out
    assert "Emoji and keywords (silver): 2685 entities, 1543 with an image, 8689 triples" in said


def test_the_features_are_written_to_a_file_and_read_back(data: DataSet, tmp_path: Path) -> None:
    path = tmp_path / "both.npz"
    assert main(["data", "features", "keywords", "--out", str(path)]) == 0
    made, again = link_features(data), link_features(data, files=[path])
    for name, table in made.features.items():
        np.testing.assert_allclose(table.numpy(), again.features[name].numpy(), atol=1e-3)
        assert (made.known[name] == again.known[name]).all()
