"""What every system obeys, over the table of models.

A law that a published formula breaks is declared on the card, must really break there, and must hold under the switch
that tests/toys.py names; nothing is skipped. Laws of training by steps have another reading for what is
solved in one go.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fusion import checkpoints, signals
from fusion.models import MODELS
from fusion.models.base import ClosedForm, FusionModel
from fusion.signals import Attention, Embedding, FusionOutput, Gate, Match, ModalityWeights, Norms, Parts, Signal
from fusion.types import Batch, FusionError, Image, Sample, Task, Text
from fusion.views import VIEWS, draw
from tests.toys import TOYS, build, exchange

SIZE = 11  # B: no other axis of a toy has it
STEP_AXIS = {
    "Gate": 1,
    "Norms": 1,
    "Marginals": 1,
    "Parts": 2,
    "Attention": 2,
    "EdgeWeights": 2,
    "Reconstruction": 1,
}  # where a signal's own steps lie

every_model = pytest.mark.parametrize("key", list(MODELS))
SOLVED = [key for key, model in MODELS.items() if issubclass(model, ClosedForm)]
every_trained_model = pytest.mark.parametrize("key", [key for key in MODELS if key not in SOLVED])
every_solved_model = pytest.mark.parametrize("key", SOLVED)


def random_batch(key: str, model: FusionModel, size: int = SIZE) -> Batch:
    torch.manual_seed(5)
    return TOYS[key].batch(model.config, size)


def seen(output: FusionOutput) -> dict[str, Tensor]:
    """All that an output says about real steps, whatever padding stands behind them."""
    said: dict[str, Tensor] = {"prediction": output.prediction[output.prediction != -1], "fused": output.fused}
    for signal in output.trace:
        mask = signal.query_mask if isinstance(signal, Attention) else getattr(signal, "mask", None)
        value: Tensor = signal.value  # type: ignore[attr-defined]  # every kind has one
        if isinstance(signal, Attention):
            value = value[..., signal.key_mask.any(0)]  # keys that a row sees, wherever padding stands among them
        if mask is not None:
            value = value.movedim(STEP_AXIS[type(signal).__name__], 1)[mask]
        said[signal.name] = value
    return said


def same(left: FusionOutput, right: FusionOutput, tolerance: float = 1e-5) -> bool:
    a, b = seen(left), seen(right)
    return a.keys() == b.keys() and all(
        a[name].shape == b[name].shape
        and torch.allclose(a[name].double(), b[name].double(), atol=tolerance, rtol=tolerance)
        for name in a
    )


def lawful(key: str, law: str) -> FusionModel:
    return build(key, **TOYS[key].lawful.get(law, {}))


def test_every_model_has_a_toy() -> None:
    assert list(TOYS) == list(MODELS)


@every_model
def test_the_prediction_has_the_shape_of_its_task(key: str) -> None:
    model = build(key)
    batch = random_batch(key, model)
    output = model(batch)
    size, classes = len(batch), len(model.classes)
    steps = batch.mask[model.modalities[0].name].shape[1] if batch.mask else 0
    shapes = {
        Task.REGRESSION: (size,), Task.CLASSES: (size, classes), Task.TAGGING: (size, steps), Task.MATCHING: (size,),
        Task.ALIGNMENT: (size, getattr(model.config, "candidates", 0)),
        Task.LINKS: (size, getattr(model.config, "candidates", 0)), Task.REPRESENTATION: tuple(output.fused.shape),
    }  # fmt: skip
    assert output.prediction.shape == shapes[model.task]
    assert output.fused.shape[0] == size
    assert output.fused.ndim == 2
    if model.task is Task.TAGGING:
        real = batch.mask[model.modalities[0].name]
        assert ((output.prediction >= 0) == real).all()
        assert output.prediction.max() < classes


@every_model
def test_every_signal_has_its_samples_first_and_its_steps_where_its_kind_says(key: str) -> None:
    model = build(key)
    batch = random_batch(key, model)
    trace = model(batch).trace
    count = lambda steps: len(trace.steps[steps][0].labels)  # noqa: E731
    for signal in trace:
        assert all(len(tensor) == len(batch) for tensor in signal.tensors().values()), signal.name
        if isinstance(signal, Attention):
            queries, keys = count(signal.queries), count(signal.keys)
            assert signal.value.shape[2:] == (queries, keys)
            assert signal.query_mask.shape == (len(batch), queries)
            assert signal.key_mask.shape == (len(batch), keys)
        elif getattr(signal, "mask", None) is not None:
            mask: Tensor = signal.mask  # type: ignore[attr-defined]
            steps = getattr(signal, "steps", None)  # an entity's edges are no steps of a modality
            assert steps is None or mask.shape == (len(batch), count(steps))
            assert signal.value.shape[STEP_AXIS[type(signal).__name__]] == mask.shape[1], signal.name


@every_model
def test_the_trace_holds_the_kinds_that_the_card_promises(key: str) -> None:
    model = build(key)
    trace = model(random_batch(key, model)).trace.plus(*model.learned())
    assert {type(signal).__name__ for signal in trace} == set(model.card.shows)
    assert all(hasattr(signals, name) for name in model.card.shows)
    assert all(not signal.per_sample for signal in model.learned())


@every_model
def test_what_must_sum_to_one_does_and_ranges_hold(key: str) -> None:
    model = build(key)
    batch = random_batch(key, model)
    output = model(batch)
    for name, value in seen(output).items():
        assert torch.isfinite(value).all(), name
        signal = next((one for one in output.trace if one.name == name), None)
        if signal is not None and signal.normalised_over:
            total = value.sum(-1)
            torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0, msg=name)
            assert value.min() >= 0
        if isinstance(signal, (Gate, Match)):
            assert value.min() >= 0
            assert value.max() <= 1
        if isinstance(signal, Norms):
            assert value.min() >= 0
        if isinstance(signal, Embedding) and signal.unit == "cosine":
            torch.testing.assert_close(value.norm(dim=-1), torch.ones(len(batch)))
        if isinstance(signal, Parts):
            expected = output.extras[signal.total]
            torch.testing.assert_close(signal.value.sum(1), expected, atol=1e-5, rtol=1e-5)
        assert not isinstance(signal, (Attention, ModalityWeights)) or signal.normalised_over


@every_model
def test_an_answer_does_not_depend_on_the_rest_of_its_batch(key: str) -> None:
    model = build(key)
    batch = random_batch(key, model)
    whole = model(batch)
    for row in range(len(batch)):
        alone = model(batch.rows([row]))
        mine = FusionOutput(whole.prediction[row : row + 1], whole.fused[row : row + 1], whole.trace.at(row))
        assert same(alone, mine), row


@every_model
def test_exchanging_samples_exchanges_their_answers(key: str) -> None:
    model = build(key)
    batch = random_batch(key, model)
    order = torch.randperm(len(batch))
    ours, theirs = model(batch), model(batch.rows(order))
    if ours.prediction.is_floating_point():
        torch.testing.assert_close(ours.prediction[order], theirs.prediction, atol=1e-6, rtol=1e-6)
    else:
        assert torch.equal(ours.prediction[order], theirs.prediction)
    # 1e-6: the last elements of a block go through other instructions than the rest
    torch.testing.assert_close(ours.fused[order], theirs.fused, atol=1e-6, rtol=1e-6)
    for signal, other in zip(ours.trace, theirs.trace, strict=True):
        for name, tensor in signal.tensors().items():
            torch.testing.assert_close(tensor[order], other.tensors()[name], atol=1e-6, rtol=1e-6, msg=signal.name)


def changes_nothing(model: FusionModel, pairs: list[tuple[Batch, Batch]]) -> bool:
    return all(same(model(before), model(after)) for before, after in pairs)


@every_model
def test_padding_changes_nothing(key: str) -> None:
    model = lawful(key, "padding")
    for number, (before, after) in enumerate(TOYS[key].padded(random_batch(key, model))):
        assert same(model(before), model(after)), number


@every_model
def test_cutting_padding_off_changes_nothing(key: str) -> None:
    model = lawful(key, "padding")
    assert changes_nothing(model, TOYS[key].cut(random_batch(key, model)))


@every_model
@pytest.mark.parametrize("law", ["padding", "hidden"])
def test_a_declared_exception_really_is_one(key: str, law: str) -> None:
    declared = law in MODELS[key].card.exceptions
    assert declared == (law in TOYS[key].lawful)
    if declared:
        published = {name: MODELS[key].Config.__dataclass_fields__[name].default for name in TOYS[key].lawful[law]}
        model = build(key, **published)
        broken = {"padding": TOYS[key].padded, "hidden": TOYS[key].hidden}[law]
        assert not changes_nothing(model, broken(random_batch(key, model)))


@every_model
def test_what_was_hidden_on_purpose_changes_nothing(key: str) -> None:
    model = lawful(key, "hidden")
    for number, (before, after) in enumerate(TOYS[key].hidden(random_batch(key, model))):
        assert same(model(before), model(after)), number


@every_model
def test_what_a_missing_modality_holds_changes_nothing(key: str) -> None:
    model = build(key)
    for modality in (m.name for m in model.modalities):
        batch = random_batch(key, model).without(modality)
        other = TOYS[key].changed(batch, modality)
        assert same(model(batch), model(other)), modality
        assert not same(model(batch), model(random_batch(key, model))), f"{modality} is read by nothing"


@every_trained_model
@pytest.mark.parametrize("released", [False, True], ids=["published", "released"])
def test_every_parameter_is_saved_and_gets_a_gradient(key: str, released: bool) -> None:
    config = TOYS[key].config()
    if released:
        changes = vars(MODELS[key].Config.released())
        defaults = vars(MODELS[key].Config())
        config = TOYS[key].config(**{name: value for name, value in changes.items() if value != defaults[name]})
    model = MODELS[key](config).train()
    batch = random_batch(key, model)
    sum(model.loss(model(batch), batch).values()).backward()
    saved = model.state_dict()
    steepest = max(float(p.grad.abs().max()) for p in model.parameters() if p.grad is not None)
    for name, parameter in model.named_parameters():
        assert name in saved
        assert parameter.grad is not None, f"no gradient reaches {name}"
        assert torch.isfinite(parameter.grad).all(), name
        largest = float(parameter.grad.abs().max())
        if name.endswith(TOYS[key].flat):
            assert largest < 1e-6, f"{name} is declared flat"
        else:
            assert largest > 1e-7 * min(1.0, steepest), f"the gradient of {name} is zero"


@every_trained_model
def test_the_loss_is_finite_named_and_needs_no_trace(key: str) -> None:
    model = build(key).train()
    batch = random_batch(key, model)
    torch.manual_seed(1)
    terms = model.loss(model(batch, trace=False), batch)
    torch.manual_seed(1)
    again = model.loss(model(batch, trace=True), batch)
    assert terms.keys() == again.keys()
    for name, term in terms.items():
        assert term.shape == ()
        assert torch.isfinite(term)
        torch.testing.assert_close(term, again[name], atol=1e-5, rtol=1e-5)


@every_model
def test_with_and_without_a_trace_the_answer_is_the_same(key: str) -> None:
    model = build(key)
    batch = random_batch(key, model)
    told, silent = model(batch, trace=True), model(batch, trace=False)
    assert type(told) is type(silent)
    assert len(list(silent.trace)) == 0
    if told.prediction.is_floating_point():
        torch.testing.assert_close(told.prediction, silent.prediction, atol=1e-5, rtol=1e-5)
    else:
        assert torch.equal(told.prediction, silent.prediction)
    torch.testing.assert_close(told.fused, silent.fused, atol=1e-5, rtol=1e-5)
    assert told.extras.keys() == silent.extras.keys()
    for name, value in told.extras.items():
        torch.testing.assert_close(value, silent.extras[name], atol=1e-5, rtol=1e-5)


def train(key: str, steps: int, **switches: Any) -> tuple[FusionModel, list[float]]:
    """A toy model after some steps on its planted task, with the loss of every step."""
    model = build(key, **switches).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for step in range(steps):
        batch = TOYS[key].planted(model.config, 24)
        loss = sum(model.loss(model(batch, trace=False), batch, step).values())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[union-attr]  # a sum of tensors is one
        optimiser.step()
        losses.append(float(loss.detach()))  # type: ignore[union-attr]
    return model.eval(), losses


@every_trained_model
def test_the_same_seed_gives_the_same_training(key: str) -> None:
    (first, losses), (second, again) = train(key, 3, dropout=0.3), train(key, 3, dropout=0.3)
    assert losses == again
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def hits(task: Task, prediction: Tensor, batch: Batch) -> Tensor:
    """Which samples are answered rightly; of a score, whether it lies on the true side of the middle; of a vector,
    whether its nearest one belongs to a sample of the same class. -> (B,) bool"""
    answer = batch.target if task is not Task.LINKS else batch.query[:, 2:]  # type: ignore[index]  # it asks
    assert answer is not None
    if task is Task.REGRESSION:
        return (prediction > answer.mean()) == (answer > answer.mean())
    if task is Task.CLASSES:
        return prediction.argmax(1) == answer
    if task is Task.REPRESENTATION:
        apart = torch.cdist(prediction, prediction).fill_diagonal_(torch.inf)
        return answer[apart.argmin(1)] == answer
    return (prediction[:, : answer.shape[1]] == answer).all(1)  # of more candidates the first counts


@every_trained_model
def test_it_learns_and_shuffling_the_modality_with_the_answer_hurts_most(key: str) -> None:
    model, losses = train(key, 60)
    assert losses[-1] < losses[0]
    batch = TOYS[key].planted(model.config, 60)

    def right(one: Batch) -> float:
        return float(hits(model.task, model(one, trace=False).prediction, batch).float().mean())

    plain = right(batch)
    order = torch.roll(torch.arange(60), 7)
    hurt = {m.name: plain - right(exchange(batch, m.name, order)) for m in model.modalities}
    assert plain > 0.95
    worst = max(hurt, key=lambda name: hurt[name])
    assert worst == TOYS[key].answer
    assert hurt[worst] > 0.3  # half of the exchanged ones hold the other answer
    assert all(hurt[worst] > 2 * drop for name, drop in hurt.items() if name != worst)


@every_solved_model
@pytest.mark.parametrize("released", [False, True], ids=["published", "released"])
def test_every_buffer_of_a_solved_model_is_filled_saved_and_precise(key: str, released: bool) -> None:
    changes = vars(MODELS[key].Config.released()) if released else {}
    defaults = vars(MODELS[key].Config())
    model = build(key, **{name: value for name, value in changes.items() if value != defaults[name]})
    assert not list(model.parameters())
    saved = model.state_dict()
    for name, value in model.named_buffers():
        assert name in saved
        assert value.dtype == torch.float64, name
        assert torch.isfinite(value).all(), name
        assert value.abs().max() > 0, f"{name} was never filled"


@every_solved_model
def test_a_solved_model_says_that_steps_do_not_train_it(key: str) -> None:
    model = build(key)
    batch = random_batch(key, model)
    with pytest.raises(FusionError, match="call solve"):
        model.loss(model(batch), batch)
    with pytest.raises(FusionError, match="not solved yet"):
        MODELS[key](TOYS[key].config())(batch)


@every_solved_model
def test_the_same_data_give_the_same_solution(key: str) -> None:
    first, second = build(key).state_dict(), build(key).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


@every_solved_model
def test_it_finds_what_is_shared_and_shuffling_the_modality_that_shares_most_hurts_most(key: str) -> None:
    model = build(key)
    batch = TOYS[key].planted(model.config, 200)

    def linked(one: Batch) -> float:
        """The strongest correlation of every pair of views, summed."""
        embeddings = [signal.value for signal in model(one).trace.of(Embedding) if signal.modality != "fused"]
        stacked = torch.stack(embeddings) - torch.stack(embeddings).mean(1, keepdim=True)
        unit = stacked / stacked.norm(dim=1, keepdim=True)
        return sum(float((unit[a] * unit[b]).sum(0).max()) for a, b in ((0, 1), (1, 2)))

    plain = linked(batch)
    order = torch.roll(torch.arange(200), 7)
    hurt = {m.name: plain - linked(exchange(batch, m.name, order)) for m in model.modalities}
    assert plain > 1.5
    worst = max(hurt, key=lambda name: hurt[name])
    assert worst == TOYS[key].answer
    assert hurt[worst] > 1.2
    assert all(hurt[worst] > 1.5 * drop for name, drop in hurt.items() if name != worst)


def alike(model: FusionModel, loaded: FusionModel, batch: Batch) -> bool:
    """The same weights to the last bit; 1e-6: those of a map to one number lie elsewhere in memory after a load."""
    theirs = loaded.state_dict()
    equal = all(torch.equal(value, theirs[name]) for name, value in model.state_dict().items())
    return equal and same(model(batch), loaded(batch), tolerance=1e-6)


@every_model
def test_a_checkpoint_gives_back_the_model_that_was_saved(key: str, tmp_path: Path) -> None:
    model = build(key)
    batch = random_batch(key, model)
    made = checkpoints.save(
        tmp_path / "saved", model, encoders={"text": "a", "image": "b"}, data="toy", metrics={"f1": 0.5},
        card="# Toy\n", origin={"source": "toy"},
    )  # fmt: skip
    loaded = checkpoints.load(made)
    assert loaded.config == model.config
    assert not loaded.training
    assert alike(model, loaded, batch)
    half = checkpoints.save(
        tmp_path / "half", model, encoders={}, data="", metrics={}, card="", origin={}, half=True,
    )  # fmt: skip
    kept = load_file(half.folder / "weights.safetensors").values()
    assert {value.dtype for value in kept if value.is_floating_point()} == {torch.float16}
    rounded = build(key)
    rounded.load_state_dict({name: value.half().float() for name, value in model.state_dict().items()})
    assert alike(rounded, checkpoints.load(half), batch)


@every_model
def test_every_signal_draws(key: str) -> None:
    from PIL import Image as Pictures

    model = build(key)
    trace = model(random_batch(key, model)).trace.cpu().at(0)
    sample = Sample("one", {"text": Text("a word"), "image": Image(data=_png(Pictures.new("RGB", (30, 20), "red")))})
    drawn: list[Signal] = [*trace, *model.learned()]
    for signal in drawn:
        assert VIEWS[type(signal)]
        pictures = draw(signal, sample, trace)
        assert pictures, signal.name
        for picture in pictures:
            assert picture.alt
            assert len(picture.table)
            assert picture.figure.data or picture.figure.layout.images, signal.name


def _png(picture: Any) -> bytes:
    import io

    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
