"""What MCCA and KCCA refuse, leave out and say of it, and what they answer for rows that lack a view."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from fusion.models import kcca, mcca
from fusion.models.kcca import KCCA
from fusion.models.mcca import MCCA
from fusion.signals import Embedding, ModalityScores, Opinions
from fusion.types import Batch, FusionError
from tests.planted_views import kernel, linear, settings, views
from tests.test_canonical import batches, close

TWO, THREE = views((6, 4)), views((6, 4, 5))
both = pytest.mark.parametrize("system", ["mcca", "kcca"])


def fresh(system: str, given: dict[str, Any] = TWO, **switches: Any) -> MCCA | KCCA:
    """A model that was not solved yet."""
    if system == "mcca":
        return MCCA(mcca.Config(**settings(given, **switches)))
    return KCCA(kcca.Config(**settings(given, **switches)))


@both
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda v: {**v, "image": v["image"][:79]}, "different numbers of rows (text 80, image 79)"),
        (lambda v: {"text": v["text"]}, 'no view "image"; there are text'),
        (lambda v: {**v, "image": v["image"][:, :3]}, "must be rows x 4 numbers"),
        (lambda v: {**v, "image": v["image"].clone().index_fill_(0, torch.tensor(4), torch.nan)}, 'Row "5" of "image"'),
        (lambda v: {**v, "text": v["text"].clone().index_fill_(0, torch.tensor(0), torch.inf)}, 'Row "1" of "text"'),
        (lambda v: {**v, "image": torch.full((80, 4), 0.1).double()}, '"image" is the same in every row'),
        (lambda v: {m: x[:2] for m, x in v.items()}, "2 rows have every view"),
    ],
)
def test_what_allows_no_solution_is_refused_with_the_reason(system, spoil, said):
    with pytest.raises(FusionError) as caught:
        fresh(system).solve(spoil(TWO))
    assert said in str(caught.value)


@both
@pytest.mark.parametrize(
    ("switches", "said"),
    [
        ({"c": (1.2,)}, "must be a list of float from 0 to 1"), ({"c": (0.1, 0.1, 0.1)}, "c has 3 numbers"),
        ({"modalities": ("text",), "widths": (6,), "steps": (1,)}, "nothing to agree with"),
        ({"widths": (6,)}, "widths has 1 numbers for 2"), ({"components": 0}, "int from 1"),
    ],
)  # fmt: skip
def test_settings_that_mean_nothing_are_refused(system, switches, said):
    with pytest.raises(FusionError) as caught:
        fresh(system, **switches)
    assert said in str(caught.value)


def test_more_columns_than_rows_need_a_ridge():
    wide = views((200, 150, 100), rows=60)
    with pytest.raises(FusionError, match="200 directions for 60 rows"):
        linear(wide, c=(0.0,))
    with pytest.raises(FusionError, match="150 directions"):
        linear(wide, c=(0.3, 0.0, 0.3))
    done = fresh("mcca", wide, c=(0.3,)).solve(wide)
    assert [one.key for one in done.remarks] == ["notice.few_rows"]


@pytest.mark.parametrize("c", [(0.0,), (0.2, 0.0)])
def test_a_kernel_of_full_rank_needs_a_ridge(c):
    with pytest.raises(FusionError, match="makes any two views agree perfectly"):
        fresh("kcca", c=c)
    with pytest.raises(FusionError, match="directions for 80 rows"):
        kernel(views((90, 100)), kernel=("linear",), c=(0.0,))


@both
def test_more_components_than_there_are_directions_are_cut_and_it_is_said(system):
    narrow = views((6, 2))
    switches = {"kernel": ("linear",)} if system == "kcca" else {}
    model = fresh(system, narrow, components=5, **switches)
    done = model.solve(narrow)
    assert (model.config.components, model.eigenvalues.shape) == (2, (2,))
    assert [one.key for one in done.remarks] == ["notice.fewer_components"]
    assert done.remarks[0].values == {"asked": 5, "found": 2}


@both
def test_constant_columns_are_named_and_change_nothing(system):
    given = {
        **TWO,
        "image": torch.cat((TWO["image"][:, :2], torch.full((80, 1), 0.1).double(), TWO["image"][:, 2:]), 1),
    }
    model = fresh(system, given)
    done = model.solve(given)
    named = next(one for one in done.remarks if one.key == "notice.constant_columns")
    assert named.values == {"name": ("image",), "count": 1, "columns": "3"}
    close(model.correlation_train, (linear if system == "mcca" else kernel)(TWO).correlation_train, 1e-9)
    assert (model.loadings_1[2] == 0).all()
    elsewhere = {**given, "image": given["image"].clone()}
    elsewhere["image"][:, 2] = 7.0
    if system == "mcca":
        assert torch.equal(model.transform(elsewhere)["image"], model.transform(given)["image"])


def holed(given: dict[str, torch.Tensor], lacking: dict[int, str]) -> Batch:
    """All rows in one batch, of which some lack a view; what stands in its place is noise."""
    batch = batches(given, 80)[0]
    present = batch.present.clone()
    features = {m: x.clone() for m, x in batch.features.items()}
    for row, names in lacking.items():
        for m in names.split("+"):
            present[row, batch.modalities.index(m)] = False
            features[m][row] = 1e6
    return replace(batch, present=present, features=features)


@both
def test_rows_that_lack_a_view_take_no_part_and_are_named(system):
    lacking = {3: "text", 7: "image", 11: "text+image+audio"}
    model = fresh(system, THREE)
    done = model.solve([holed(THREE, lacking)])
    assert done.rows == 77
    assert sorted(done.left_out) == ["row 12", "row 4", "row 8"]
    named = next(one for one in done.remarks if one.key == "notice.rows_left_out")
    assert named.values["count"] == 3
    rest = {m: x[[i for i in range(80) if i not in lacking]] for m, x in THREE.items()}
    close(model.correlation_train, (linear if system == "mcca" else kernel)(rest).correlation_train, 1e-9)


@both
@pytest.mark.parametrize("fuse", ["mean", "sum", "concat"])
def test_a_row_is_fused_from_the_views_that_it_has(system, fuse):
    model = fresh(system, THREE, fuse=fuse)
    model.solve(THREE)
    made = model.transform(THREE)
    output = model(holed(THREE, {2: "text", 5: "image+audio"}))
    stacked = torch.stack([made[m] for m in THREE], 1)  # (n, V, K)
    kept = torch.ones(80, 3, 1, dtype=torch.float64)
    kept[2, 0] = kept[5, 1] = kept[5, 2] = 0
    there = stacked * kept
    wanted = {"mean": there.sum(1) / kept.sum(1), "sum": there.sum(1), "concat": there.flatten(1)}[fuse]
    close(output.fused, wanted)
    close(output.prediction, wanted)
    assert output.fused.dtype == torch.float64
    unit = stacked / stacked.std(0)
    apart = output.trace.of(ModalityScores)[0].value
    close(apart[0], unit[0].std(0, correction=0), 1e-8)
    close(apart[2], unit[2, 1:].std(0, correction=0), 1e-8)
    close(apart[5], torch.zeros(3).double())
    text = output.trace.of(Embedding)[0]
    assert (text.value[2] == 0).all()
    first = output.trace.of(Opinions)[0]
    assert first.present[2].tolist() == [False, True, True]
    close(first.together, there.sum(1)[:, 0] / kept.sum(1)[:, 0])


@both
def test_a_row_without_any_view_is_named(system):
    model = fresh(system, THREE)
    model.solve(THREE)
    with pytest.raises(FusionError, match='Sample "row 10" has none of text, image, audio'):
        model(holed(THREE, {9: "text+image+audio"}))
    batch = batches(THREE, 80)[0]
    batch.features["image"][2] = torch.nan
    with pytest.raises(FusionError, match='Row "row 3" of "image" holds NaN'):
        model(batch)


@both
def test_a_batch_in_single_precision_is_answered_in_it(system):
    model = fresh(system, TWO)
    model.solve(TWO)
    batch = batches({m: x.float() for m, x in TWO.items()}, 80)[0]
    output = model(batch)
    assert output.fused.dtype == torch.float32
    assert all(tensor.dtype != torch.float64 for signal in output.trace for tensor in signal.tensors().values())


@both
def test_held_out_rows_without_all_views_are_not_counted(system):
    model = fresh(system, THREE)
    model.solve(THREE, [holed(views((6, 4, 5), seed=1), {0: "text", 1: "image"})])
    assert model.learned()["canonical"].held_out_rows == 78
    with pytest.raises(FusionError, match="2 held-out rows"):
        model.solve(THREE, {m: x[:2] for m, x in THREE.items()})


@both
def test_a_model_may_be_solved_again_on_other_rows(system):
    model = fresh(system, THREE)
    model.solve(THREE, THREE, rounds=9)
    again = views((6, 4, 5), rows=50, seed=3)
    model.solve(again)
    learned = model.learned()["canonical"]
    assert (learned.rows, learned.held_out, learned.p) == (50, None, None)
    close(model.correlations(again), learned.value)
