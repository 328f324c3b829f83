"""Training to align: it learns, goes on exactly where it stopped, reads no link that it is tested on, and says so."""

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
from fusion.alignment import evaluation, runs
from fusion.alignment.inputs import everything, model_input, start_linear
from fusion.alignment.inspection import Aligner
from fusion.alignment.training import AlignmentRecipe, Known, fit
from fusion.alignment.whole import whole
from fusion.data import DataSet, open_data
from fusion.data.graph_features import graph_features
from fusion.models import MODELS
from fusion.types import FusionError

COUNT = 60  # entities of each graph
WORDS = ("an", "be", "ci", "do", "er", "fo", "gu", "ha", "it", "jo")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two graphs with the same edges and half of the letters of each name in common."""
    where, random = tmp_path / "xx_yy", np.random.default_rng(4)
    where.mkdir()
    order, edges = random.permutation(COUNT), random.integers(0, COUNT, (4 * COUNT, 2))
    names = ["".join(WORDS[i] for i in random.integers(0, 10, 4)) + "_" + str(at) for at in range(COUNT)]
    other = [name[:4] + "".join(WORDS[i] for i in random.integers(0, 10, 2)) for name in names]
    place = {int(old): at for at, old in enumerate(order)}
    files = {
        "ent_ids_1": [f"{at}\thttp://a/{name}" for at, name in enumerate(names)],
        "ent_ids_2": [f"{COUNT + at}\thttp://b/{other[int(old)]}" for at, old in enumerate(order)],
        "triples_1": [f"{a}\t{(a + b) % 3}\t{b}" for a, b in edges],
        "triples_2": [f"{COUNT + place[int(a)]}\t{(a + b) % 3}\t{COUNT + place[int(b)]}" for a, b in edges],
        "ill_ent_ids": [f"{at}\t{COUNT + place[at]}" for at in range(COUNT)],
    }
    for name, lines in files.items():
        (where / name).write_text("\n".join(lines) + "\n", "utf-8")
    return where


@pytest.fixture
def data(folder: Path) -> DataSet:
    return open_data(f"dbp15k:{folder}")


def task(data: DataSet) -> runs.Task:
    features = graph_features(data, ["relation", "char"])
    return runs.Task(data, features, everything(data, features))


def small(key: str, made: runs.Task, **switches: Any) -> Any:
    """A model over letters and edges."""
    sizes = {"widths": (12, 12)} if key == "mclea" else {"width": 12, "inner_width": 8, "fusion_heads": 2}
    config = MODELS[key].Config(
        entities=len(made.dataset), modalities=("graph", "char"), input_widths=(12, made.features.widths["char"]),
        hidden_widths=(12,), missing="masked", **sizes, **switches,
    )  # fmt: skip
    torch.manual_seed(1)
    return MODELS[key](config)


RECIPE = AlignmentRecipe(epochs=12, rate=0.02, check=4, patience=9, iterative=4, collect=2, survive=2)


@pytest.mark.parametrize("key", ["mclea", "meaformer"])
def test_training_finds_held_out_partners_and_keeps_the_best_check(data: DataSet, key: str) -> None:
    made = task(data)
    model = small(key, made)
    epochs = list(fit(model, made.batch, made.pairs("train"), made.pairs("test"), replace(RECIPE, epochs=40)))
    assert epochs[0].number == 0
    scores = [epoch.scores["score"] for epoch in epochs if epoch.scores]
    assert max(scores) > scores[0] + 0.1
    model.load_state_dict(epochs[-1].state)
    again = list(fit(model, made.batch, made.pairs("train"), made.pairs("test"), replace(RECIPE, epochs=0)))
    assert again[0].scores["score"] == pytest.approx(max(scores), abs=1e-6)


def test_a_run_that_stopped_goes_on_exactly(data: DataSet, tmp_path: Path) -> None:
    made = task(data)
    whole_run = list(fit(small("mclea", made), made.batch, made.pairs("train"), made.pairs("valid"), RECIPE))
    run = fit(
        small("mclea", made), made.batch, made.pairs("train"), made.pairs("valid"), RECIPE, folder=tmp_path / "run"
    )
    assert [next(run).number for _ in range(10)][-1] == 9  # the last state that was kept is that of epoch 8
    other = list(
        fit(small("mclea", made), made.batch, made.pairs("train"), made.pairs("valid"), RECIPE, folder=tmp_path / "run")
    )
    assert other[0].number == 9
    assert other[-1].losses == whole_run[-1].losses
    assert other[-1].pairs == whole_run[-1].pairs > len(made.pairs("train"))
    assert all(torch.equal(value, whole_run[-1].state[name]) for name, value in other[-1].state.items())


def test_links_to_test_are_never_read(data: DataSet) -> None:
    made = task(data)
    graph = data.graph
    assert graph is not None
    links = graph.links.copy()
    tested = np.flatnonzero(graph.split == 2)
    links[tested, 1] = links[np.roll(tested, 1), 1]  # all wrong now
    other = runs.Task(replace(data, graph=replace(graph, links=links)), made.features, made.batch)
    ends = [
        list(fit(small("mclea", made), one.batch, one.pairs("train"), one.pairs("valid"), RECIPE))[-1]
        for one in (made, other)
    ]
    assert ends[0].found is not None
    assert len(ends[0].found) > 0
    assert ends[0].losses == ends[1].losses
    assert all(torch.equal(value, ends[1].state[name]) for name, value in ends[0].state.items())


def test_neighbours_join_after_several_looks_in_a_row() -> None:
    joint = torch.eye(6)[[0, 1, 2, 0, 1, 2]]
    known = Known(torch.tensor([[0, 3]]), torch.tensor([0, 0, 0, 1, 1, 1]))
    assert known.look(joint, 0, 2) == 0
    moved = joint[[0, 2, 1, 3, 4, 5]]  # others are nearest now: counting starts again
    assert known.look(moved, 0, 2) == 0
    assert known.look(joint, 0, 2) == 0
    assert known.look(joint, 0, 2) == 2
    assert known.pairs().tolist() == [[0, 3], [1, 4], [2, 5]]
    assert known.look(joint, 0, 2) == 0, "nobody is free any more"


def test_linear_maps_start_with_the_cosines_of_centred_features(data: DataSet) -> None:
    made = task(data)
    model = small("mclea", made)
    model.encoder.linear["char"] = torch.nn.Linear(made.features.widths["char"], 200)
    start_linear(model, made.batch, {})
    assert made.batch.graph is not None
    side = made.batch.graph.side
    x = model_input(model, made.batch, "char")
    y = model.encoder.linear["char"](x)
    means = [x[side == one].mean(0) for one in (0, 1)]
    assert all(y[side == one].mean(0).norm() < 1e-4 for one in (0, 1)), "each graph is centred"
    centred = torch.where(side[:, None] == 0, x - means[0], x - means[1]).double()
    apart = torch.nn.functional.normalize(means[1] - means[0], dim=0).double()
    centred = centred - (centred @ apart)[:, None] * apart
    wanted = torch.nn.functional.normalize(centred, dim=1)
    torch.testing.assert_close(
        torch.nn.functional.normalize(y.double(), dim=1) @ torch.nn.functional.normalize(y.double(), dim=1).T,
        wanted @ wanted.T, atol=2e-3, rtol=0,
    )  # fmt: skip


def test_untrained_sums_are_those_of_standard_scores(data: DataSet) -> None:
    features = graph_features(data, ["relation", "char"])
    torch.manual_seed(2)
    features = replace(
        features,
        features={**features.features, "name": torch.nn.functional.normalize(torch.randn(2 * COUNT, 7), dim=1)},
    )
    assert data.graph is not None
    pairs = data.graph.pairs("test")
    total = np.zeros((len(pairs), len(pairs)))
    for m in ("char", "name"):
        table = features.features[m].double().numpy()
        score = table[pairs[:, 0]] @ table[pairs[:, 1]].T
        total += (score - score.mean()) / score.std()
    wanted = (total >= np.diag(total)[:, None] - 1e-5).sum(1)
    found = evaluation.untrained(features, pairs, ("char", "name"), 0)
    assert (found == wanted).mean() > 0.95  # what counts as a tie differs in the last digits
    assert abs(np.median(found) - np.median(wanted)) <= 1


def test_a_loss_that_is_no_number_is_told(data: DataSet) -> None:
    made = task(data)
    model = small("mclea", made)
    with torch.no_grad():
        model.icl_log_variance.fill_(-200.0)  # e^200 is beyond float32
    with pytest.raises(FusionError, match=r"no longer a number .*icl/char inf.*lower --rate"):
        list(fit(model, made.batch, made.pairs("train"), made.pairs("valid"), replace(RECIPE, check=99)))


def arguments(folder: Path, *more: str) -> tuple[str, ...]:
    given = ("--set", "modalities=graph,char", "--set", "width=12", "--rate", "0.02", "--epochs", "6")
    return ("train", "meaformer", "--data", f"dbp15k:{folder}", *given, *more)


def test_the_command_line_trains_measures_and_says_the_same_again(
    folder: Path, fusion_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, "--seeds", "2", "--seed", "3", "--name", "mine", "--json")) == 0
    said = json.loads(capsys.readouterr().out)
    saved = checkpoints.find("mine")
    assert saved.metrics["seeds"][0]["seed"] == 3
    assert len(saved.metrics["seeds"]) == 2
    assert saved.metrics == said["metrics"]
    assert set(saved.metrics["stability"]) == {"graph", "char"}
    assert saved.data == f"dbp15k:{folder}"
    assert "| seed 4 |" in saved.card
    assert "untrained: char" in saved.card
    assert not (fusion_home / "runs" / "mine" / "state.pt").exists()
    assert main(("evaluate", "--checkpoint", "mine", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert {k: v for k, v in said["metrics"]["test"].items() if k != "found"} == {
        k: v for k, v in found.items() if k not in ("checkpoint", "data")
    }
    frame = whole(Aligner.open(saved)).frame
    tested = frame[(frame["split"] == "test") & (frame["side"] == 0)]
    assert found["hits1"] == pytest.approx((tested["rank"] == 1).mean())
    assert main(arguments(folder, "--seeds", "2", "--seed", "3", "--name", "mine", "--resume")) == 0
    assert "was trained already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--set", "widht=3"), 'There is no setting "widht"'),
        (("--set", "iterative=soon"), 'The setting iterative takes numbers, not "soon"'),
        (("--set", "iterative"), "should be FIELD=VALUE"),
        (("--set", "modalities=char,char"), "names one twice"),
        (("--set", "modalities=image,graph"), "No entity of .* has the modality image"),
        (("--mismatch", "0.1"), "are for pairs of text and image"),
        (("--features", "none.npz"), "none.npz"),
        (("--data", "gallery"), "holds no graphs"),
    ],
)
def test_what_cannot_be_trained_is_told_before(
    folder: Path, fusion_home: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    import re

    assert main(arguments(folder, *more)) == 2
    errors = capsys.readouterr().err
    assert re.search(said, errors), errors
    assert "links to train on" not in errors


def test_an_entity_in_two_links_stops_the_run(data: DataSet) -> None:
    assert data.graph is not None
    links = data.graph.links.copy()
    links[1, 1] = links[0, 1]
    with pytest.raises(FusionError, match="1 entities are in more than one link"):
        runs.checked(replace(data, graph=replace(data.graph, links=links)))
