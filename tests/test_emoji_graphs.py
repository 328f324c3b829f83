"""The emoji graphs: nothing of one is copied from the other, and the counts are those of the recipe."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from fusion.data import DATASETS, DataSet, bundled, emoji, open_data, pairs_only
from fusion.data.feature_files import made_for
from fusion.data.graph_features import graph_features, graph_tables, made_by
from fusion.data.graphs import SPLITS, split_links
from fusion.encoders import image_encoder
from fusion.encoders.cache import FeatureCache
from fusion.types import FusionError


@pytest.fixture(scope="module")
def data() -> DataSet:
    return open_data("emoji")


def described(data: DataSet, side: int) -> set[tuple[str, str, str]]:
    """Triples of a graph in terms that both graphs have: emoji, and for nodes without one, whatever they hold."""
    graph = data.graph
    assert graph is not None
    members = {row: set() for row in np.flatnonzero(np.array(graph.kind) == "subgroup").tolist()}
    for head, relation, tail in graph.triples.tolist():
        if graph.relations[relation] == "inSubgroup":
            members[tail].add(data.samples[head].note["emoji"])
    name = lambda row: data.samples[row].note.get("emoji") or " ".join(sorted(members.get(row, ())))  # noqa: E731
    return {
        (name(head), graph.relations[relation], name(tail))
        for head, relation, tail in graph.triples.tolist()
        if graph.side[head] == side and graph.relations[relation] != "hasKeyword"
    }


def test_the_counts_are_those_of_the_recipe(data: DataSet) -> None:
    graph = data.graph
    assert len(graph.links) == 1586
    assert Counter(SPLITS[at] for at in graph.split) == {"train": 427, "valid": 48, "test": 1111}
    sides = graph.side[graph.triples[:, 0]]
    assert np.bincount(sides).tolist() == [8047, 5619]
    keyword = graph.triples[:, 1] == graph.relations.index("hasKeyword")
    assert np.bincount(sides[keyword]).tolist() == [7044, 4615]
    assert len(graph.triples) - keyword.sum() == 1586 + 421  # a subgroup each, and parts: dealt out, none lost
    said = emoji.meta()["counts"]["graphs"]
    assert [one["entities"] for one in said] == np.bincount(graph.side).tolist()
    assert [one["triples"] for one in said] == [8047, 5619]


def test_no_triple_leaves_its_graph_and_none_but_keywords_is_in_both(data: DataSet) -> None:
    graph = data.graph
    assert (graph.side[graph.triples[:, 0]] == graph.side[graph.triples[:, 2]]).all()
    parts = [{row for row in described(data, side) if row[1] == "hasPart"} for side in (0, 1)]
    assert parts[0]
    assert parts[1]
    assert not parts[0] & parts[1]
    grouped = [{row[0] for row in described(data, side) if row[1] == "inSubgroup"} for side in (0, 1)]
    assert not grouped[0] & grouped[1]
    assert len(grouped[0] | grouped[1]) == 1586


def test_keywords_share_no_node_and_groups_have_no_name(data: DataSet) -> None:
    graph = data.graph
    for row, kind in enumerate(graph.kind):
        parts = data.samples[row].parts
        if kind == "subgroup":
            assert not parts  # its members alone say what it is
        elif kind == "keyword":
            assert set(parts) == {"name"}
        else:
            assert set(parts) == {"image", "name", "description"}
    tails = graph.triples[graph.triples[:, 1] == 0, 2]
    degree = np.bincount(tails)[np.unique(tails)]
    assert degree.min() == 2
    assert degree.max() <= 60


def test_rows_and_ids_say_nothing_of_the_link(data: DataSet) -> None:
    graph = data.graph
    first, second = graph.links[:, 0], graph.links[:, 1] - len(graph.rows(0))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.05
    offsets = Counter((second - first).tolist())
    assert max(offsets.values()) < 8
    numbers = [np.array([int(data.samples[row].id.split("-")[1]) for row in side]) for side in graph.links.T]
    assert abs(np.corrcoef(*numbers)[0, 1]) < 0.05
    assert abs(np.corrcoef(graph.split == 2, first)[0, 1]) < 0.05
    for side in (0, 1):  # kinds are mixed: a row doesn't tell an emoji from a keyword
        linked = np.isin(graph.rows(side), graph.links[:, side])
        assert abs(np.corrcoef(np.arange(len(linked)), linked)[0, 1]) < 0.08


def test_no_linked_pair_shares_a_name_a_picture_or_a_description(data: DataSet) -> None:
    equal = set()
    for first, second in data.graph.links.tolist():
        a, b = data.samples[first].parts, data.samples[second].parts
        assert a["name"] != b["name"]
        assert a["image"].path.read_bytes() != b["image"].path.read_bytes()
        if a["description"].raw == b["description"].raw:
            equal.add(a["description"].raw)
    assert not equal
    names: list[set[str]] = [set(), set()]
    for sample, side in zip(data.samples, data.graph.side, strict=True):
        names[side] |= {sample.parts["name"].raw} if "name" in sample.parts else set()
    assert sorted(names[0] & names[1]) == emoji.meta()["counts"]["names_equal_on_both_sides"]


def test_a_link_is_the_same_emoji(data: DataSet) -> None:
    for first, second in data.graph.links.tolist():
        assert data.samples[first].note["emoji"] == data.samples[second].note["emoji"]
        assert data.graph.kind[first] == data.graph.kind[second]
    assert np.unique(data.graph.links).size == 2 * 1586


def test_neighbours_partners_and_attributes_agree_with_the_tables(data: DataSet) -> None:
    graph = data.graph
    row = next(r for r, s in enumerate(data.samples) if s.note.get("emoji") == "🤦\u200d♀️" and graph.side[r] == 0)
    told = {(n.relation, n.outgoing, data.samples[n.entity].note.get("emoji", "")) for n in graph.neighbours(row)}
    assert ("hasPart", True, "♀️") in told or ("inSubgroup", True, "") in told
    direct = [(h, t) for h, _, t in graph.triples.tolist() if row in (h, t)]
    assert len(graph.neighbours(row)) == len(direct)
    partner = graph.partner(row)
    assert partner is not None
    assert graph.partner(partner) == row
    assert graph.split_of(row) == graph.split_of(partner) in SPLITS
    assert ", ".join(name for name, _ in graph.attributes_of(row)) == data.samples[row].parts["description"].raw
    keyword = graph.neighbours(row)[0].entity
    assert graph.partner(keyword) is None
    assert graph.split_of(keyword) == ""
    assert any(n.entity == row and not n.outgoing for n in graph.neighbours(keyword))


def test_models_of_pairs_and_their_pages_leave_graphs_alone(data: DataSet) -> None:
    assert data.kind == "graph"
    kinds = ("pairs", "graph", "triples", "streams")
    assert {key for kind in kinds for key in bundled(kind)} == set(DATASETS)
    assert all(open_data(key).kind == kind for kind in kinds for key in bundled(kind))
    with pytest.raises(FusionError, match=r"two graphs to align.*gloss or gallery"):
        pairs_only(data)
    assert pairs_only(open_data("gallery")).key == "gallery"
    assert data.head(5).graph is None


def test_links_are_split_by_the_seed_alone() -> None:
    split = split_links(1000)
    assert np.bincount(split).tolist() == [270, 30, 700]
    assert (split == split_links(1000)).all()
    assert (split != split_links(1000, seed=1)).any()
    for count, share in ((1, 0.3), (10, 0.01), (10, 1.0)):
        with pytest.raises(FusionError, match="nothing to train on or nothing to test"):
            split_links(count, share)


def test_the_bundled_picture_features_are_the_encoders_own(data: DataSet, tmp_path: Path) -> None:
    encoder = image_encoder("efficientnet-lite0")
    path = emoji.FOLDER / "pictures.npz"
    assert made_for(path) == made_by(data, encoder), "run tools/measure_emoji.py again"
    table = graph_tables(data, ["image"], cache=FeatureCache(tmp_path))["image"]
    assert not list(tmp_path.rglob("*.safetensors"))  # nothing was encoded
    assert table.known.tolist() == [sample.image() is not None for sample in data.samples]
    rows = np.flatnonzero(table.known)[:: len(data) // 6]
    direct = encoder.encode([data.samples[row].image().open() for row in rows]).pooled.cpu().numpy()
    np.testing.assert_allclose(table.values[rows], direct, atol=2e-3, rtol=2e-3)


def test_the_card_says_what_was_counted_and_measured(data: DataSet) -> None:
    text, said = (emoji.FOLDER / "card.md").read_text("utf-8"), emoji.meta()
    assert said["word"] == data.word == "silver"
    assert "**silver**" in text
    for name, row in said["baselines"].items():
        assert f"| {name} | {row['hits_1']:.3f} |" in text
    pairs = data.graph.pairs("test")
    names = torch.nn.functional.normalize(graph_features(data, ["name"]).features["name"], dim=1)
    scores = names[pairs[:, 0]] @ names[pairs[:, 1]].T
    hits = (scores >= scores.diag()[:, None]).sum(1) == 1
    assert float(hits.float().mean()) == pytest.approx(said["baselines"]["name"]["hits_1"], abs=0.003)
