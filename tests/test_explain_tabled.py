"""Explanations of whole modalities from a table of all subsets: of entities, of questions, and of a planted table."""

from __future__ import annotations

import itertools
import math

import pytest

from fusion import checkpoints
from fusion.alignment import explaining as of_entities
from fusion.alignment.inspection import Aligner
from fusion.data import open_data
from fusion.explain.methods import totals
from fusion.explain.tabled import ALL, Table, Tabled
from fusion.links import explaining as of_links
from fusion.links.inspection import Predictor
from fusion.types import FusionError

WORTH = {"a": 4.0, "b": 2.0, "c": 1.0, "d": 0.5}


def added(names: tuple[str, ...] = tuple(WORTH)) -> Tabled:
    """A game that only adds up, with one claim that is right and one that is reversed."""
    values = {m: WORTH.get(m, 0.1) for m in names}

    def table(line: str) -> Table:
        sign = -1 if line == "down" else 1
        sets = itertools.chain.from_iterable(itertools.combinations(names, k) for k in range(len(names) + 1))
        return {frozenset(some): sign * sum(values[m] for m in some) for some in sets}

    return Tabled(names, ("up", "down"), table, {"weights": values, "mean": {m: -v for m, v in values.items()}})


@pytest.mark.parametrize("line", ["up", "down"])
@pytest.mark.parametrize("method", ["occlusion", "shapley"])
def test_a_sum_is_explained_by_its_terms(line: str, method: str) -> None:
    found = added().judge(line, method)
    assert totals(found.told) == pytest.approx({m: v if line == "up" else -v for m, v in WORTH.items()})
    assert found.trial.span == (0.0, 7.5 if line == "up" else -7.5)
    assert found.verdict == "better"  # 1 of 24 orders is as good: itself


def test_claims_are_tested_against_every_other_order() -> None:
    right, wrong = added().judge("up", "weights"), added().judge("up", "mean")
    assert len(right.trial.random) == math.factorial(4) - 1
    assert (right.verdict, wrong.verdict) == ("better", "worse")
    assert right.trial.beaten() == len(right.trial.random)
    assert wrong.trial.own.deletion.tolist() == right.trial.reverse.deletion.tolist()


def test_of_many_modalities_orders_are_drawn() -> None:
    found = added((*WORTH, "e", "f")).judge("up", "shapley")
    assert ALL - 1 <= len(found.trial.random) <= ALL


def test_what_does_not_apply_is_refused() -> None:
    case = added()
    assert case.applying("up")["relevance"] == "attention"
    assert case.applying("up")["integrated"] == "vectors"
    with pytest.raises(FusionError, match="choose occlusion, shapley, mean, weights"):
        case.judge("up", "integrated")
    with pytest.raises(FusionError, match="no target"):
        case.judge("sideways")


@pytest.mark.parametrize("name", ["meaformer-emoji", "mclea-emoji"])
def test_an_entity_is_explained_as_its_subsets_are(name: str) -> None:
    aligner = Aligner.open(checkpoints.find(name), open_data("emoji"))
    left, right = (aligner.dataset.samples[int(row)] for row in aligner.graph.pairs("test")[5])
    seen = aligner.inspect(left.id)
    case = of_entities.case(aligner, seen)
    assert totals(case.judge("rank", "shapley").told) == pytest.approx(dict(seen.shapley), abs=1e-6)
    joint = case.judge("cosine", "occlusion").trial.span[1]
    assert joint == pytest.approx(float(seen.drop.value[0, 0, 1]), abs=1e-6)
    assert totals(case.judge("rank", "weights").told) == pytest.approx(dict(seen.weights), abs=1e-6)
    assert ("mean" in case.claims) == (name == "meaformer-emoji")
    other = next(one for one in seen.candidates if one.id != right.id)
    first = case.judge(f"cosine:{other.id}", "shapley").trial.span[1]
    assert first == pytest.approx(other.joint, abs=1e-5)


def test_a_question_is_explained_as_its_subsets_are() -> None:
    predictor = Predictor.open(checkpoints.find("imf-keywords"))
    head, relation, tail = predictor.triples.queries("test")[7].tolist()
    samples = predictor.dataset.samples
    seen = predictor.inspect(samples[head].id, relation, samples[tail].id)
    case = of_links.case(predictor, seen)
    assert totals(case.judge("rank", "shapley").told) == pytest.approx(dict(seen.shapley), abs=1e-6)
    chances = {one.id: one.score for one in seen.candidates}
    for id, chance in list(chances.items())[:3]:
        line = "chance" if id == seen.told.id else f"chance:{id}"
        assert case.judge(line, "occlusion").trial.span[1] == pytest.approx(chance, abs=1e-6)
    assert sum(totals(case.judge("chance", "weights").told).values()) == pytest.approx(1)
