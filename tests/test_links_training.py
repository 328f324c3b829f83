"""Training to predict links: it learns, goes on exactly where it stopped, reads no triple that it is tested on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fusion import checkpoints
from fusion.__main__ import main
from fusion.data import DataSet
from fusion.data.graph_features import GraphFeatures
from fusion.data.triples import TripleSet
from fusion.links import evaluation, ranking, runs
from fusion.links.baselines import BASELINES, Popularity
from fusion.links.inputs import Fusing, everything, without
from fusion.links.objectives import each, one_of_all
from fusion.links.training import LinkRecipe, fit, pairs_of
from fusion.models import MODELS
from fusion.training import Clock
from fusion.types import FusionError, Sample, Text

SIZE = 40  # entities: two rings of 20, relation 0 leads one on, relation 1 to the same place in the other ring
RECIPE = LinkRecipe(epochs=12, batch=16, rate=0.02, check=3, clip=10.0, structure_epochs=5)


def ring() -> TripleSet:
    """A graph whose relations are rules; every tenth triple is held out."""
    half = SIZE // 2
    on = [(i, 0, i // half * half + (i + 1) % half) for i in range(SIZE)]
    across = [(i, 1, i + half) for i in range(half)]
    triples = np.array(on + across, dtype=np.int32)
    split = np.zeros(len(triples), dtype=np.uint8)
    split[5::10], split[7::10] = 1, 2
    return TripleSet("Two rings", triples, split, ("next", "opposite"), entities=SIZE)


def dataset(triples: TripleSet) -> DataSet:
    """Its entities with names."""
    samples = tuple(Sample(f"e{i}", {"name": Text(f"place {i % 20} of {i // 20}")}) for i in range(len(triples)))
    return DataSet("rings", "Two rings", samples, triples=triples)


def task(triples: TripleSet) -> runs.Task:
    """With a text that says where in its ring an entity is, and no picture."""
    data = dataset(triples)
    angle = torch.arange(SIZE) % 20 * (2 * torch.pi / 20)
    text = torch.stack((angle.cos(), angle.sin(), torch.arange(SIZE) // 20 * 1.0), 1)
    ids = tuple(sample.id for sample in data.samples)
    features = GraphFeatures(ids, {"text": text}, {"text": torch.ones(SIZE, dtype=torch.bool)}, {"text": "mine"})
    features = without(features, SIZE)
    return runs.Task(data, features, everything(data, features))


def small(made: runs.Task, **switches: Any) -> Fusing:
    """A model of a few numbers."""
    config = MODELS["imf"].Config(
        entities=SIZE, relations=2, width=8, image_width=1, text_width=3, inputs="projected", offsets=True,
        contrastive_weight=1e-3, map_dropout=0.0, **switches,
    )  # fmt: skip
    torch.manual_seed(1)
    model: Any = MODELS["imf"](config)
    model.begin(made.batch)
    return Fusing(model, made.batch)


def test_training_finds_held_out_tails_and_keeps_the_best_check() -> None:
    made = task(ring())
    linker = small(made)
    epochs = list(fit(linker, made.triples, replace(RECIPE, epochs=30)))
    assert epochs[0].number == 0
    scores = [epoch.scores["score"] for epoch in epochs if epoch.scores]
    assert max(scores) > scores[0] + 0.2
    linker.module.load_state_dict(epochs[-1].state)
    again = next(fit(linker, made.triples, replace(RECIPE, epochs=0)))
    assert again.scores["score"] == pytest.approx(max(scores), abs=1e-6)
    assert set(again.scores) == {"score", "tail", "head", "structure", "image", "text", "fused"}


def test_a_run_that_stopped_goes_on_exactly(tmp_path: Path) -> None:
    made = task(ring())
    whole = list(fit(small(made), made.triples, RECIPE))
    run = fit(small(made), made.triples, RECIPE, folder=tmp_path / "run")
    assert [next(run).number for _ in range(9)][-1] == 8  # the last state that was kept is that of epoch 6
    other = list(fit(small(made), made.triples, RECIPE, folder=tmp_path / "run"))
    assert [epoch.number for epoch in other[:2]] == [6, 7]
    assert other[-1].losses == whole[-1].losses
    assert all(torch.equal(value, whole[-1].state[name]) for name, value in other[-1].state.items())
    ended = list(fit(small(made), made.triples, RECIPE, folder=tmp_path / "run"))
    assert [epoch.number for epoch in ended] == [12], "an ended run still gives what it kept"
    assert ended[0].scores == next(epoch.scores for epoch in reversed(whole) if epoch.best)
    assert all(torch.equal(value, whole[-1].state[name]) for name, value in ended[0].state.items())


def test_triples_to_test_are_never_read() -> None:
    triples = ring()
    changed = triples.triples.copy()
    changed[triples.split == 2] = [[3, 1, 9]]
    ends = []
    for one in (triples, replace(triples, triples=changed)):
        made = task(one)
        ends.append(list(fit(small(made), one, RECIPE))[-1])
    assert ends[0].losses == ends[1].losses
    assert all(torch.equal(value, ends[1].state[name]) for name, value in ends[0].state.items())


@pytest.mark.parametrize("name", list(BASELINES))
@pytest.mark.parametrize("loss", ["each", "one_of_all"])
def test_baselines_learn_in_the_same_harness(name: str, loss: Any) -> None:
    torch.manual_seed(2)
    triples = ring()
    made = BASELINES[name](SIZE, 2, 16, 0.1, loss)
    epochs = list(fit(made, triples, replace(RECIPE, epochs=60, rate=0.05)))
    assert max(epoch.losses.get(next(iter(epochs[-1].losses)), 0) for epoch in epochs[1:3]) > sum(
        epochs[-1].losses.values()
    )
    train = evaluation.ranked(made, triples.queries("train"), triples.known())
    assert (1 / train[:, 0]).mean() > 0.3


def test_the_loss_of_each_is_that_of_the_dense_targets() -> None:
    torch.manual_seed(0)
    scores = torch.randn(3, 7)
    row, tail = torch.tensor([0, 0, 2]), torch.tensor([1, 4, 6])
    target = torch.full((3, 7), 0.1 / 7)
    target[row, tail] += 0.9
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(scores, target)
    torch.testing.assert_close(each(scores, row, tail), wanted)


def test_the_loss_of_one_of_all_is_the_mean_of_its_answers() -> None:
    torch.manual_seed(0)
    scores = torch.randn(2, 5)
    logs = scores.log_softmax(1)
    wanted = -((logs[0, 1] + logs[0, 4]) / 2 + logs[1, 3]) / 2
    torch.testing.assert_close(one_of_all(scores, torch.tensor([0, 0, 1]), torch.tensor([1, 4, 3])), wanted)


def test_choosing_among_all_is_one_term_more_a_branch() -> None:
    made = task(ring())
    query, row, tail = (torch.tensor(one) for one in ([[0, 0], [3, 1]], [0, 1], [1, 23]))
    linker = small(made)
    linker.model.eval()
    plain = linker.terms(query, row, tail, 0)
    linker.choice = 2.0
    more = linker.terms(query, row, tail, 0)
    scores = [one.T.clone() for one in linker.ranker()(query)(slice(0, SIZE))]
    assert {name: more[name] for name in plain} == plain
    for i, name in enumerate(linker.columns[:-1]):
        wanted = 2 / SIZE * one_of_all(scores[i], row, tail)
        torch.testing.assert_close(more[f"choice/{name}"], wanted, atol=1e-6, rtol=1e-5)


def test_popularity_ranks_by_how_often_an_entity_answers() -> None:
    triples = ring()
    asked = triples.queries("train")
    counts = np.zeros((4, SIZE))
    np.add.at(counts, (asked[:, 1], asked[:, 2]), 1)
    scores = Popularity(asked, SIZE, 2).ranker()(torch.tensor([[0, 0], [5, 3]]))
    for found, relation in zip(next(scores(slice(0, SIZE))).T.numpy(), (0, 3), strict=True):
        assert (np.floor(found) == counts[relation]).all()


def test_queries_come_with_all_their_tails() -> None:
    triples = ring()
    known = triples.known("train")
    query, row, tail = pairs_of(known, np.arange(len(known.keys)))
    found = {(*query[r].tolist(), t) for r, t in zip(row.tolist(), tail.tolist(), strict=True)}
    assert found == set(map(tuple, triples.queries("train").tolist()))
    assert len(np.unique(query, axis=0)) == len(query)


def test_a_paused_process_is_not_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, busy = iter([0.0, 10.0, 110.0, 112.0]), iter([0.0, 9.0, 10.0, 20.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(wall))
    monkeypatch.setattr("time.process_time", lambda: next(busy))
    clock = Clock()
    assert [clock.lap() for _ in range(3)] == [9.0, 1.0, 2.0]  # two threads count once


def test_ranks_are_those_of_sorted_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    triples = ring()
    torch.manual_seed(3)
    table = torch.randn(SIZE, 4, SIZE)

    class Given:
        columns: tuple[str, ...] = (evaluation.WHOLE,)
        count = SIZE

        def ranker(self, asked: Any = None) -> Any:
            return lambda query: ranking.blocks_of(table[query[:, 0], query[:, 1]])

    monkeypatch.setattr(ranking, "QUERIES", 3)  # more chunks than one, and blocks that end within the candidates
    monkeypatch.setattr(ranking, "CELLS", 21)
    ranks = evaluation.ranks_of(Given(), triples, "test")[:, 0]
    for rank, (head, relation, tail) in zip(ranks, triples.queries("test").tolist(), strict=True):
        others = set(triples.queries()[:, 2][(triples.queries()[:, :2] == [head, relation]).all(1)].tolist()) - {tail}
        scores = {i: float(table[head, relation, i]) for i in range(SIZE) if i not in others}
        assert rank == 1 + sum(value > scores[tail] for value in scores.values())


def test_figures_tell_directions_branches_and_subsets() -> None:
    triples = ring()
    data = dataset(triples)
    count = len(triples.part("test"))
    ranks = np.stack([np.arange(1, 2 * count + 1), np.ones(2 * count)], 1).astype(float)
    found = evaluation.figures(data, ("text", evaluation.WHOLE), ranks)
    assert found["mrr"] == found["tail"]["hits1"] == 1
    assert found["branches"]["text"]["tail"]["mrr"] == pytest.approx((1 / np.arange(1, count + 1)).mean())
    assert found["branches"]["text"]["head"]["mrr"] < found["branches"]["text"]["tail"]["mrr"]
    assert sum(one["n"] for one in found["relations"].values()) == count == found["n"]
    assert sum(one["n"] for one in found["popularity"].values()) == 2 * count
    gain = evaluation.margin([ranks[:, 1]], [ranks[:, 0]])
    assert gain["low"] > 0
    assert gain["value"] == pytest.approx((gain["tail"]["value"] + gain["head"]["value"]) / 2)
    with pytest.raises(FusionError, match="has no test triples"):
        evaluation.ranks_of(
            Popularity(triples.queries("train"), SIZE, 2), replace(triples, split=triples.split.clip(max=1)), "test"
        )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The rings as files, with names to read."""
    where, triples = tmp_path / "rings", ring()
    where.mkdir()
    names = [f"{chr(97 + i % 20)}lace {i % 20} of {i // 20}".replace(" ", "_") for i in range(SIZE)]
    files = {
        "entity2id.txt": [f"{name}\t{at}" for at, name in enumerate(names)],
        "relation2id.txt": ["next\t0", "opposite\t1"],
    }
    for split in ("train", "valid", "test"):
        files[f"{split}.txt"] = ["\t".join(map(str, row)) for row in triples.part(split).tolist()]
    for name, lines in files.items():
        (where / name).write_text("\n".join(lines) + "\n", "utf-8")
    return where


def arguments(folder: Path, *more: str) -> tuple[str, ...]:
    given = ("--set", "width=8", "--set", "check=2", "--set", "structure_epochs=3", "--rate", "0.02", "--epochs", "4")
    return ("train", "imf", "--data", f"triples:{folder}", "--batch", "16", *given, *more)


def test_the_command_line_trains_measures_and_says_the_same_again(
    folder: Path, fusion_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, "--seeds", "2", "--seed", "3", "--name", "mine", "--json")) == 0
    said = json.loads(capsys.readouterr().out)
    saved = checkpoints.find("mine")
    assert saved.metrics == said["metrics"]
    assert [one["seed"] for one in saved.metrics["seeds"]] == [3, 4]
    assert set(saved.metrics["baselines"]) == {"popularity", "distmult", "transe"}
    assert sum(saved.metrics["weights"].values()) == pytest.approx(1)
    assert all(name in saved.card for name in ("DistMult", "popularity", "| structure |", "not the best one"))
    assert [path.name for path in (fusion_home / "runs" / "mine").iterdir()] == ["history.jsonl"]  # for its curves
    assert main(("evaluate", "--checkpoint", "mine", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert said["metrics"]["test"] == {k: v for k, v in found.items() if k not in ("checkpoint", "data")}
    assert main(("evaluate", "--checkpoint", "mine")) == 0
    assert "branches structure tail mrr" in capsys.readouterr().out
    assert main(arguments(folder, "--seeds", "2", "--seed", "3", "--name", "mine", "--resume")) == 0
    assert "was trained already" in capsys.readouterr().err


def test_a_run_may_read_the_structure_alone(
    folder: Path, fusion_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, "--set", "modalities=structure", "--set", "baselines=", "--name", "alone")) == 0
    saved = checkpoints.find("alone")
    assert saved.metrics["weights"]["text"] == saved.metrics["weights"]["image"] == 0
    assert set(saved.encoders.values()) == {"nothing"}
    assert main(("evaluate", "--checkpoint", "alone", "--json")) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--set", "widht=3"), 'There is no setting "widht"'),
        (("--set", "check=soon"), 'The setting check takes numbers, not "soon"'),
        (("--set", "modalities=image"), "must hold structure"),
        (("--set", "entities=3"), 'There is no setting "entities"'),
        (("--set", "width=9"), "is odd"),
        (("--mismatch", "0.1"), "are for pairs of text and image"),
        (("--data", "emoji"), "holds no triples"),
    ],
)
def test_what_cannot_be_trained_is_told(
    folder: Path, fusion_home: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    assert main(arguments(folder, *more)) == 2
    assert said in capsys.readouterr().err
