"""A link predictor at work: an inspected question says what the model computes, alone and among all held-out ones."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from fusion import checkpoints
from fusion.__main__ import main
from fusion.data import DATASETS, DataSet
from fusion.data.feature_files import Table, write
from fusion.data.graph_features import GraphFeatures
from fusion.data.triples import TripleSet
from fusion.links import evaluation, inspection, removals, whole
from fusion.links.inputs import asking, everything
from fusion.links.inspection import Predictor
from fusion.models.imf import BRANCHES, IMF, MODALITIES, Config
from fusion.types import FusionError, Image, Sample, Text

N, WIDTHS = 40, {"image": 12, "text": 10}
RELATIONS = ("likes", "knows", "near", "never trained")
NAMES = ("apple", "red apple", "stone", "stones")  # the first two stand inside each other


@dataclass(frozen=True)
class World:
    data: DataSet
    known: dict[str, np.ndarray]
    tables: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def world() -> World:
    random = np.random.default_rng(3)
    triples = np.unique(
        np.stack([random.integers(0, N, 260), random.integers(0, 3, 260), random.integers(0, N, 260)], 1), axis=0
    )
    triples = triples[triples[:, 0] != triples[:, 2]]
    triples = random.permutation(triples).astype(np.int32)
    split = np.zeros(len(triples), np.uint8)
    split[:30], split[30:50] = 2, 1
    turned = triples[0][::-1].copy()  # a held-out triple that stands turned round in train
    planted = np.array([[0, 0, 1], turned], np.int32)
    fresh = ~(triples[:, None] == planted[None]).all(2).any(1)
    triples, split = (
        np.concatenate((triples[fresh], planted)),
        np.concatenate((split[fresh], np.array([2, 0], np.uint8))),
    )
    graph = TripleSet("Small", triples, split, RELATIONS, ("thing",) * N)
    names = [*NAMES, *(f"entity {i}" for i in range(4, N))]
    samples = tuple(Sample(f"e{i}", {"name": Text(name)}) for i, name in enumerate(names))
    data = DataSet("small", "Small", samples, digest="small", spec="small", triples=graph)
    tables = {m: random.normal(size=(N, width)).astype(np.float32) for m, width in WIDTHS.items()}
    known = {m: np.arange(N) % 5 != at for at, m in enumerate(WIDTHS)}
    return World(data, known, tables)


@pytest.fixture(scope="module")
def checkpoint(world: World, tmp_path_factory: pytest.TempPathFactory) -> checkpoints.Checkpoint:
    folder = tmp_path_factory.mktemp("links")
    tables = {m: Table(world.tables[m], world.known[m], "of the test") for m in WIDTHS}
    write(folder / "features.safetensors", [sample.id for sample in world.data.samples], tables)
    torch.manual_seed(5)
    model = IMF(Config(N, len(RELATIONS), 16, 12, 10, inputs="projected", offsets=True, rank=2))
    features = {m: normalize(torch.from_numpy(world.tables[m]), dim=1) for m in WIDTHS}
    known = {m: torch.from_numpy(world.known[m]) for m in WIDTHS}
    model.begin(everything(world.data, GraphFeatures((), features, known, {})))
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm1d)):
        norm.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
        norm.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    with torch.no_grad():
        assert model.decision is not None
        assert model.offsets is not None
        model.decision.copy_(torch.tensor([0.4, -0.3, 0.1, 0.2]))
        model.offsets.uniform_(-2, 0)
        for core in model.context.values():
            core.core.mul_(6)  # type: ignore[operator, union-attr]

    def copy_to(aside: Path) -> None:
        shutil.copy(folder / "features.safetensors", aside)

    return checkpoints.save(
        folder / "made", model, encoders=dict.fromkeys(WIDTHS, "file:features.safetensors"), data="small", metrics={},
        card="", origin={"digest": "small"},
        fill=copy_to,
    )  # fmt: skip


@pytest.fixture(scope="module")
def predictor(world: World, checkpoint: checkpoints.Checkpoint) -> Predictor:
    return Predictor.open(checkpoint, world.data)


def held_out(predictor: Predictor, *splits: str) -> list[list[int]]:
    return predictor.triples.queries(*(splits or ("test",))).tolist()


def id(row: int) -> str:
    return f"e{row}"


def logits(predictor: Predictor, query: list[int]) -> Tensor:
    """(4, N), by the formulas of the model's own file over tables made anew."""
    batch = replace(predictor.batch, pooled={})
    return predictor.model.scores(batch, torch.tensor([query[:2]]))[0]


def placed(scores: Tensor, predictor: Predictor, query: list[int]) -> float:
    """The filtered rank by counting one entity after another."""
    head, relation, tail = query
    count = len(RELATIONS)
    known = {
        (t if relation < count else h)
        for h, r, t in predictor.triples.triples.tolist()
        if (h if relation < count else t) == head and r == relation % count
    }
    rest = [row for row in range(N) if row not in known - {tail}]
    near = 1e-6 * abs(float(scores[tail]))
    better = sum(float(scores[row]) > float(scores[tail]) + near for row in rest)
    return 1 + better + sum(abs(float(scores[row] - scores[tail])) <= near for row in rest if row != tail) / 2


def test_ranks_are_those_of_the_definition_in_an_inspection_the_whole_set_and_the_figures(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    made = predictor.whole().frame
    figures = evaluation.ranks_of(whole._Ready(predictor), predictor.triples, "test")
    tested = made[made["split"] == "test"]
    for at, query in enumerate(held_out(predictor)):
        scores = logits(predictor, query)
        chance = predictor.model.decide(scores[None], predictor.read)[0]
        seen = predictor.inspect(id(query[0]), query[1], id(query[2]))
        row = tested.iloc[at]
        assert (row["head"], row["relation"], row["tail"]) == (id(query[0]), query[1], id(query[2]))
        expected = [placed(one, predictor, query) for one in (*scores, chance)]
        assert [row[f"rank_{k}"] for k in BRANCHES] + [row["rank"]] == expected == figures[at].tolist()
        assert [*seen.rank_by.values(), seen.rank] == [math.ceil(one) for one in expected]
        assert row["score"] == pytest.approx(float(chance[query[2]]), rel=1e-5)
    assert len(made) == 2 * (len(predictor.triples.part("test")) + len(predictor.triples.part("valid")))
    assert made["id"].is_unique


def test_a_candidate_says_who_put_it_where_and_parts_add_up(predictor: Predictor) -> None:
    for query in held_out(predictor)[:12]:
        seen = predictor.inspect(id(query[0]), query[1], id(query[2]))
        scores = logits(predictor, query)
        weights = predictor.model.weights()
        places = [one.rank for one in seen.candidates[:10]]
        assert places == list(range(1, 11))
        assert id(query[2]) in {one.id for one in seen.candidates}
        assert len(seen.candidates) <= 11
        for one in (*seen.candidates, *seen.others):
            assert list(one.logits.values()) == pytest.approx(scores[:, one.row].tolist(), abs=1e-4)
            chance = weights * scores[:, one.row].sigmoid()
            assert one.score == pytest.approx(float(chance.sum()), rel=1e-4)
            assert sum(one.shares.values()) == pytest.approx(1, abs=1e-5)
            assert list(one.shares.values()) == pytest.approx((chance / chance.sum()).tolist(), rel=1e-3)
        known = predictor.splits(query[0], query[1])
        assert {one.id: one.known for one in seen.others} == {id(r): known[r] for r in known if r != query[2]}
        assert {one.known for one in seen.candidates if one.row != query[2]} <= {""}
        assert seen.among == N - len(known) + 1
        assert seen.raised == tuple(k for k in BRANCHES if seen.rank_by[k] < seen.rank)  # type: ignore[operator]
        assert seen.lowered == tuple(k for k in BRANCHES if seen.rank_by[k] > seen.rank)  # type: ignore[operator]
        assert sum(seen.decision.values()) == pytest.approx(1)
        for at, k in enumerate(BRANCHES):
            rest = scores[at].clone()
            rest[[row for row in known if row != query[2]]] = -torch.inf
            assert seen.votes[k] == id(int(rest.argmax()))


def chance_without(predictor: Predictor, query: list[int], left_out: tuple[str, ...], row: int | None) -> Tensor:
    """(N,) of a model that is told that a head, or that everyone, lacks some modalities; tables made anew."""
    present = predictor.batch.present.clone()
    rows = slice(None) if row is None else row
    for m in left_out:
        present[rows, predictor.batch.modalities.index(m)] = False
    batch = replace(predictor.batch, pooled={}, present=present)
    tables = predictor.model.tables(batch)
    if row is not None:  # the head alone is read otherwise; as a candidate it keeps what it has
        heads = {k: torch.where(torch.arange(N)[:, None] == row, tables[k], predictor.tables[k]) for k in BRANCHES}
        relations = {name: table for name, table in tables.items() if name.startswith("relation_")}
        contexts = predictor.model.contexts({**heads, **relations}, torch.tensor([query[:2]]))
        found = predictor.model._logits(predictor.tables, contexts)
        return predictor.model.decide(found, predictor.read)[0]
    asked = replace(batch, pooled=tables)
    return predictor.model.decide(
        predictor.model.scores(asked, torch.tensor([query[:2]])), predictor.model.read(batch)
    )[0]


@pytest.mark.parametrize("at", [3, 40])
def test_what_is_left_out_is_what_the_model_reads_where_it_is_missing(predictor: Predictor, at: int) -> None:
    query = held_out(predictor)[at % len(held_out(predictor))]
    seen = predictor.inspect(id(query[0]), query[1], id(query[2]))
    for effects, row in ((seen.drop, None), (seen.drop_head, query[0])):
        assert effects.conditions[0] == "as_is"
        assert effects.conditions[-1] == "without_all"
        assert len(effects.conditions) == 8
        for place, subset in enumerate(removals.every(MODALITIES)):
            left_out = tuple(m for m in MODALITIES if m not in subset)
            expected = chance_without(predictor, query, left_out, row)
            rank, chance = effects.value[0, place].tolist()
            tolerance = 1e-4 if row is None else 0.05  # the mean of the others leaves the head out
            assert chance == pytest.approx(float(expected[query[2]]), rel=tolerance, abs=1e-5), (effects.caveat, subset)
            if row is None:
                assert rank == placed(expected.logit(1e-12), predictor, query)
    assert seen.drop.value[0, -1, 0] == (seen.among + 1) / 2, "with nothing to tell entities apart, the mean place"
    assert seen.drop.said[0][-1] == ""
    assert seen.drop.said[0][0] == seen.candidates[0].id
    assert sum(seen.shapley.values()) == pytest.approx(1 / seen.rank - 2 / (seen.among + 1), abs=1e-6)  # type: ignore[operator]
    assert list(seen.trace["drop"].value.shape) == [1, 4, 2]


def test_pairs_of_modalities_are_credited_with_what_needs_both() -> None:
    both = torch.zeros(8, 5)
    for place, subset in enumerate(removals.every(MODALITIES)):
        lead = 1.0 * ("structure" in subset) - 0.5 * ("text" in subset) + 2.0 * ({"image", "text"} <= set(subset))
        both[place, 2] = lead * 5 / 4  # four others at 0: the mean takes a fifth away
    found = removals.together(both, 2, MODALITIES)
    assert found == pytest.approx({("structure", "image"): 0, ("structure", "text"): 0, ("image", "text"): 2}, abs=1e-6)
    assert removals.shares(found)["image", "text"] == pytest.approx(1, abs=1e-5)
    assert removals.shares(dict.fromkeys(found, 0.0)) == dict.fromkeys(found, 0.0)
    for place, subset in enumerate(removals.every(MODALITIES)):
        both[place, 2] = 3.0 * (len(subset) == 3)
    third = removals.together(both, 2, MODALITIES)
    assert len({round(value, 5) for value in third.values()}) == 1, "what needs all three is shared alike"


def test_the_contextual_map_is_the_relations_matrix_and_the_turn_of_the_head(predictor: Predictor) -> None:
    seen = predictor.inspect("e3", "~knows")
    assert (seen.relation, seen.relation_name, seen.reversed) == (1 + len(RELATIONS), "knows", True)
    for k in BRANCHES:
        relation = predictor.tables[f"relation_{k}"][seen.relation]
        matrix = torch.einsum("c,cab->ab", relation, predictor.model.context[k].core)
        torch.testing.assert_close(seen.context[k].singular, torch.linalg.svdvals(matrix), atol=1e-4, rtol=1e-4)
        looked_for = predictor.model.contexts(predictor.tables, torch.tensor([[3, seen.relation]]))[k][0]
        cosine = torch.cosine_similarity(predictor.tables[k][3], looked_for, dim=0)
        assert seen.context[k].turned == pytest.approx(float(cosine), abs=1e-5)


def test_another_picture_or_description_gives_what_features_with_it_give(
    world: World, checkpoint: checkpoints.Checkpoint, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = 5  # has a text; its picture is missing
    vectors = {"image": torch.linspace(-1, 1, 12), "text": torch.linspace(2, -1, 10)}
    read: list[object] = []

    def encoder(modality: str) -> object:
        def encode(inputs: list[object]) -> object:
            read.extend(inputs)
            return SimpleNamespace(pooled=vectors[modality][None])

        return lambda name, root: SimpleNamespace(encode=encode)

    monkeypatch.setattr(inspection, "image_encoder", encoder("image"))
    monkeypatch.setattr(inspection, "text_encoder", encoder("text"))
    monkeypatch.setattr(Image, "open", lambda self: "decoded")
    own = replace(checkpoint, encoders={"image": "one", "text": "other"})
    open_to_it = Predictor(own, predictor.model, world.data, predictor.features)
    old = predictor.features
    features = {m: old.features[m].clone() for m in WIDTHS}
    known = {m: old.known[m].clone() for m in WIDTHS}
    for m in WIDTHS:
        features[m][row], known[m][row] = normalize(vectors[m], dim=0), True
        # who lacks it is read as the mean of those that have it, which a checkpoint keeps as it was
        features[m][~known[m]] = old.features[m][~old.known[m]][0]
    changed = Predictor(own, predictor.model, world.data, GraphFeatures(old.ids, features, known, old.sources))
    expected = changed.inspect(id(row), "likes", "e7")
    seen = open_to_it.inspect(id(row), "likes", "e7", image=Image(data=b"x"), text="a thing that rolls")
    assert read == ["decoded", "entity 5: a thing that rolls"]
    assert not predictor.has(row)["image"]
    assert seen.imputed["image"] is False
    for k in BRANCHES:
        mine, theirs = seen.trace[f"embedding_{k}"].value, expected.trace[f"embedding_{k}"].value
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)
    rows = {one.row: one for one in expected.candidates}
    near = [one for one in seen.candidates if one.row in rows]
    assert len(near) >= 8
    for one in near:
        assert one.score == pytest.approx(rows[one.row].score, rel=0.05)
    assert open_to_it.inspect(id(row), "likes", "e7").imputed["image"], "what was put in is not kept"


def test_notices_say_what_a_reader_must_know(predictor: Predictor) -> None:
    graph = predictor.triples
    keys = lambda seen: {notice.key for notice in seen.notices}  # noqa: E731
    trained = graph.part("train")[0].tolist()
    assert "notice.link_trained" in keys(predictor.inspect(id(trained[0]), trained[1], id(trained[2])))
    assert "notice.link_copied" in keys(predictor.inspect("apple", "likes", "red apple"))
    assert "notice.link_copied" not in keys(predictor.inspect("stone", "likes", "stones")), "whole words"
    assert "notice.link_relation" in keys(predictor.inspect("e4", 3))
    head, relation, tail = graph.part("train")[-1].tolist()  # planted: the other way round it is held out
    turned = predictor.inspect(id(tail), relation, id(head))
    assert turned.split == "test"
    assert "notice.link_turned" in keys(turned)
    assert "notice.link_turned" in keys(predictor.inspect(id(head), relation + len(RELATIONS), id(tail)))
    nobody = next(row for row in range(N) if row not in predictor.splits(4, 0) and row != 4)
    unknown = predictor.inspect("e4", "likes", id(nobody))
    assert unknown.split == ""
    assert "notice.link_unknown" in keys(unknown)
    assert unknown.rank is not None
    lacking = next(n for n in predictor.inspect("e5", "likes").notices if n.key == "notice.link_imputed")
    assert lacking.values == {"modalities": ("image",)}


def test_without_a_tail_the_first_held_out_answer_is_asked_about(predictor: Predictor) -> None:
    for query in held_out(predictor)[:20]:
        seen = predictor.inspect(id(query[0]), query[1])
        assert seen.tail is not None
        assert seen.split == "test"
    asked = {(h, r) for h, r, _ in held_out(predictor, "test", "valid")}
    free = next((h, r) for h in range(N) for r in range(3) if (h, r) not in asked)
    seen = predictor.inspect(id(free[0]), free[1])
    assert (seen.tail, seen.rank, dict(seen.rank_by), seen.raised) == (None, None, {}, ())
    assert seen.told.id == seen.candidates[0].id
    assert len(seen.candidates) == 10
    assert "notice.link_open" in {notice.key for notice in seen.notices}


def test_what_is_unknown_is_answered_with_what_is_near(predictor: Predictor, world: World) -> None:
    with pytest.raises(FusionError, match=r'did you mean .*"red apple"'):
        predictor.inspect("red aple", "likes")
    with pytest.raises(FusionError, match="likes"):
        predictor.inspect("apple", "liks")
    with pytest.raises(FusionError, match="No training triple"):
        predictor.inspect("apple", "never trained")
    with pytest.raises(FusionError, match="no entity"):
        predictor.inspect("apple", "likes", "nobody at all")
    with pytest.raises(FusionError, match="0 to 7"):
        predictor.inspect("apple", 8)
    with pytest.raises(FusionError, match="another program"):
        predictor.inspect("apple", "likes", image=Image(data=b"x"))
    with pytest.raises(FusionError, match="description is empty"):
        predictor.inspect("apple", "likes", text="  ")
    other = replace(world.data, digest="else")
    with pytest.raises(FusionError, match="holds other triples"):
        Predictor.open(predictor.checkpoint, other)


def test_the_whole_set_is_kept_and_found_again(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    steps: list[tuple[int, int]] = []
    made = whole.whole(predictor, lambda done, total: steps.append((done, total)))
    assert steps[-1] == (len(made.frame), len(made.frame))
    found = whole.stored(predictor.checkpoint, predictor.dataset)
    assert found is not None
    assert found.frame.equals(made.frame)
    assert found.decision == pytest.approx(made.decision)
    for k in BRANCHES:
        expected = normalize(predictor.tables[k], dim=1).numpy()
        np.testing.assert_allclose(found.vectors(k), expected, atol=2e-3)
    rows = [normalize(predictor.tables[m], dim=1) for m in MODALITIES]
    np.testing.assert_allclose(found.alignment[:, 2], (rows[1] * rows[2]).sum(1).numpy(), atol=5e-3)
    with pytest.raises(FusionError, match="no branch"):
        found.vectors("sound")
    beside = shutil.copytree(predictor.checkpoint.folder, tmp_path / "beside")
    moved = Predictor.open(replace(predictor.checkpoint, folder=beside), predictor.dataset)
    monkeypatch.setenv("FUSION_HOME", str(tmp_path / "nothing"))
    moved.whole(bundled=True)
    bundled = whole.stored(moved.checkpoint, moved.dataset)
    assert bundled is not None
    assert {path.name for path in (beside / "observations" / "small").iterdir()} == {"rows.parquet", "meta.json"}
    np.testing.assert_allclose(bundled.vectors("fused"), made.vectors("fused"), atol=1e-5)
    other = replace(predictor.dataset, digest="else")
    assert whole.stored(predictor.checkpoint, other) is None


def test_rows_of_the_whole_set_agree_with_the_data(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    made = predictor.whole()
    graph, count = predictor.triples, len(RELATIONS)
    for row in made.frame.to_dict("records"):
        head, tail, best = (int(row[name][1:]) for name in ("head", "tail", "best"))
        assert graph.relation(row["relation"]) == (row["relation_name"], row["reversed"])
        known = predictor.splits(head, row["relation"])
        assert row["split"] in known[tail]
        assert best not in set(known) - {tail}
        assert (row["rank"] == 1) == (best == tail)
        assert row["best_score"] >= row["score"] - 1e-6
        assert row["popularity"] == graph.degree()[tail]
        assert row["direction"] == ("head" if row["relation"] >= count else "tail")
    planted = made.frame[made.frame["id"].isin(["e0|likes|e1", "e1|~likes|e0"])]
    assert np.asarray(planted["copied"]).all()
    assert np.asarray(planted["clean"]).all()
    assert len(planted) == 2
    assert np.count_nonzero(made.frame["copied"]) == 2
    assert not np.asarray(made.frame["clean"]).all()
    tested = made.frame[made.frame["split"] == "test"]
    table = made.by_relation()
    for row in table.to_dict("records"):
        mine = tested[tested["relation"] == row["relation"]]
        assert row["n"] == len(mine)
        assert row["mrr"] == pytest.approx((1 / mine["rank"]).mean(), rel=1e-5)
        best = max(BRANCHES, key=lambda k: (1 / mine[f"rank_{k}"]).mean())
        assert row["best_branch"] == best
        assert row["gain"] == pytest.approx(row["mrr"] - row[f"mrr_{best}"], abs=1e-6)
        assert row["low"] <= row["mrr"] <= row["high"]
    both = made.by_relation(directions=False)
    assert np.sum(both["n"]) == np.sum(table["n"]) == len(tested)
    assert set(both["relation"]) <= set(range(count))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_command_line_asks_and_reports(
    world: World, checkpoint: checkpoints.Checkpoint, lang: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("FUSION_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(DATASETS, "small", lambda: world.data)
    ask = ["inspect", "--checkpoint", str(checkpoint.folder), "--data", "small", "--head", "apple", "--relation"]
    assert main([*ask, "likes", "--tail", "e1", "--json", "--out", str(tmp_path / "out"), "--lang", lang]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["head"], told["tail"], told["split"], told["reversed"]) == ("e0", "e1", "test", False)
    assert told["rank"]["by"].keys() == set(BRANCHES)
    assert len(told["drop"]["everywhere"]) == 8
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "red apple" in page
    assert "{" not in page.split("<script")[0].split("</style>")[-1]
    assert (tmp_path / "out" / "csv" / "candidates.csv").is_file()
    assert main([*ask, "~likes"]) == 0
    assert "apple <- likes - ?" in capsys.readouterr().out
    assert main(["observe", "small", "--checkpoint", str(checkpoint.folder), "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert seen["questions"] == 2 * len(world.data.triples.part("test", "valid"))  # type: ignore[union-attr]
    assert main([*ask[:-1]]) == 2
    assert "--relation" in capsys.readouterr().err


def test_a_batch_of_everything_is_asked_without_a_question(predictor: Predictor) -> None:
    batch = everything(predictor.dataset, predictor.features)
    assert len(asking(batch, torch.tensor([[0, 1], [2, 3]])).ids) == 2
    assert batch.query is not None
    assert len(batch.query) == 0


def test_a_checkpoint_that_learned_its_rows_needs_no_features(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FUSION_HOME", str(tmp_path))
    torch.manual_seed(2)
    model = IMF(
        Config.released(entities=N, relations=len(RELATIONS), width=16, image_width=4096, text_width=768)
    ).eval()
    saved = checkpoints.save(
        tmp_path / "adopted", model, encoders={}, data="small", metrics={}, card="", origin={"kind": "adopted"}
    )
    own = Predictor.open(saved, world.data)
    query = own.triples.queries("test")[0].tolist()
    seen = own.inspect(id(query[0]), query[1], id(query[2]))
    assert seen.imputed == dict.fromkeys(MODALITIES, False)
    assert seen.decision == pytest.approx(dict.fromkeys(BRANCHES, 0.25))
    rows = model.inputs.trained["image"]
    torch.testing.assert_close(seen.trace["embedding_image"].value[0], rows[query[0]])
    assert len(own.whole().frame) == 2 * len(own.triples.part("test", "valid"))
    with pytest.raises(FusionError, match="learned a row of its own for every picture"):
        own.inspect(id(query[0]), query[1], image=Image(data=b"x"))
