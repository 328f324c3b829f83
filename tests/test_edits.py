"""Edits as data: lines that read back, what each changes, and that undone ones leave no trace."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import torch

from fusion import checkpoints
from fusion.explain import edits
from fusion.explain.edits import Edit
from fusion.models.base import ClosedForm
from fusion.signals import Attention, Gate, ModalityWeights
from fusion.streams.inspection import Reader
from fusion.types import Batch, Fixed, FusionError, Image, Sample, Text
from tests import toys

LINES = (
    "text:remove", "audio:drop:0.25:3", "vision:shuffle:2", "audio:noise:1.5:4", "text:hide:0+3", "image:paint:5",
    "image:blur:0+48", "text:replace:2:dog", "text:replace:1:a%2Cb%3Ac", "image:swap:v1f250", "gate:fix:0.5",
    "late_weight:fix:0.8:audio", "region_attention:mute:0+2",
)  # fmt: skip
MODALITIES = ("text", "audio", "vision", "image")
SIGNALS = ("gate", "late_weight", "region_attention")
GRID = (7, 7)


def settable(key: str) -> list[tuple[str, str]]:
    model, batch = sample(key)
    return [(key, signal.name) for signal in model(batch).trace if signal.settable]


def sample(key: str, **switches: object) -> tuple[torch.nn.Module, Batch]:
    model = toys.build(key, **switches)
    return model, toys.TOYS[key].batch(model.config, 5)


SOLVED = [key for key in toys.TOYS if isinstance(toys.build(key), ClosedForm)]
ALL = [pair for key in toys.TOYS if key not in SOLVED for pair in settable(key)]


@pytest.mark.parametrize("line", LINES)
def test_a_line_reads_back(line: str) -> None:
    found = edits.read(line, MODALITIES, SIGNALS)
    assert edits.read(edits.write(found), MODALITIES, SIGNALS) == found
    assert edits.write(found) == line


def test_edits_of_one_line_keep_their_order() -> None:
    line = "text:replace:2:dog,image:paint:5,text:hide:0,gate:fix:0"
    assert edits.write(edits.read(line, MODALITIES, SIGNALS)) == line


@pytest.mark.parametrize(
    "line",
    ["text:mute:0", "gate:hide:1", "text:hide", "text:hide:x", "text:hide:-1", "gate:fix", "gate:fix:2", "image:swap",
     "text:replace:1", "text:remove:1", "text:drop:2", "text:remove,text:zero", "nobody:remove", "text:fly"],
)  # fmt: skip
def test_what_is_no_edit_is_refused(line: str) -> None:
    with pytest.raises(FusionError):
        edits.read(line, MODALITIES, SIGNALS)


def test_the_systems_with_gates_and_weights_can_be_set() -> None:
    assert {"maf", "meaformer", "late", "hybrid", "tfr_net"} <= {key for key, _ in ALL}


@pytest.mark.parametrize(("key", "name"), ALL)
def test_a_signal_that_is_set_is_what_was_said_and_moves_what_follows(key: str, name: str) -> None:
    model, batch = sample(key)
    with torch.inference_mode():
        before = model(batch)
        signal = before.trace[name]
        if isinstance(signal, Attention):
            fixed = Fixed(heads=tuple(range(signal.value.shape[1])))
        elif isinstance(signal, ModalityWeights):
            fixed = Fixed(0.9, modality=signal.modalities[-1])
        else:
            assert isinstance(signal, Gate)
            fixed = Fixed(0.125)
        after = model(replace(batch, fixed={name: fixed}))
        plain = model(replace(batch, fixed={name: fixed}), trace=False)
    value = after.trace[name].value
    if isinstance(signal, Attention):
        assert not value.any()
    elif isinstance(signal, ModalityWeights):
        assert torch.allclose(value[..., -1], torch.tensor(0.9))
        assert torch.allclose(value.sum(-1), torch.ones(()))
    else:
        assert (value == 0.125).all()
    assert not torch.allclose(after.fused, before.fused) or not torch.allclose(
        after.prediction.float(), before.prediction.float()
    )
    assert torch.allclose(plain.fused, after.fused, atol=1e-5)


@pytest.mark.parametrize("key", [key for key in toys.TOYS if key not in SOLVED])
def test_an_edit_undone_leaves_every_bit(key: str) -> None:
    model, batch = sample(key)
    kept = {name: value.clone() for name, value in batch.features.items()}
    with torch.inference_mode():
        before = model(batch)
        for name in batch.features if batch.graph is None else ():
            for how in ("remove", "zero", "noise", "drop", "hide"):
                edits.of_batch(batch.rows([0]), Edit(name, how, places=(0,)))  # type: ignore[arg-type]
        for signal in before.trace:
            if signal.settable:
                model(replace(batch, fixed={signal.name: Fixed(0.3, (0,))}))
        after = model(batch)
    for name, value in batch.features.items():
        assert torch.equal(value, kept[name])
    assert torch.equal(before.prediction, after.prediction)
    assert all(torch.equal(a.value, b.value) for a, b in zip(before.trace, after.trace, strict=True))


def test_muting_a_head_that_is_not_there_is_refused() -> None:
    model, batch = sample("maf")
    name = next(signal.name for signal in model(batch).trace if isinstance(signal, Attention))
    with pytest.raises(FusionError, match="has no head 9"):
        model(replace(batch, fixed={name: Fixed(heads=(9,))}))


def test_a_weight_of_a_modality_that_is_not_weighed_is_refused() -> None:
    model, batch = sample("late")
    with pytest.raises(FusionError, match="name one of them"):
        model(replace(batch, fixed={"late_weight": Fixed(1.0, modality="smell")}))


def test_hidden_words_are_not_kept_and_all_of_them_are_none() -> None:
    _, batch = sample("late")
    one = batch.rows([0])
    m = one.modalities[0]
    count = int(one.mask[m].sum())
    some = edits.of_batch(one, Edit(m, "hide", places=(0,)))
    assert int((one.kept[m] & ~some.kept[m]).sum()) == int(one.kept[m][0, 0])
    gone = edits.of_batch(one, Edit(m, "hide", places=tuple(range(count))))
    assert not bool(gone.has(m))
    with pytest.raises(FusionError, match="has no step"):
        edits.of_batch(one, Edit(m, "hide", places=(999,)))


def test_noise_is_drawn_by_seed_and_only_on_real_steps() -> None:
    _, batch = sample("late")
    one, m = batch.rows([0]), batch.modalities[1]
    first, again, other = (edits.of_batch(one, Edit(m, "noise", 1.0, seed)) for seed in (1, 1, 2))
    assert torch.equal(first.features[m], again.features[m])
    assert not torch.equal(first.features[m], other.features[m])
    padding = ~(one.mask[m] & one.kept[m])
    assert torch.equal(first.features[m][padding], one.features[m][padding])


def picture(width: int, height: int) -> Image:
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    PIL.Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)).save(buffer, "PNG")
    return Image(data=buffer.getvalue())


def pixels(image: Image) -> np.ndarray:
    return np.asarray(image.open(), np.int16)


@pytest.mark.parametrize("size", [(70, 70), (140, 70), (70, 140)])
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("how", ["paint", "blur"])
def test_a_painted_region_changes_there_and_nowhere_else(size: tuple[int, int], fit: str, how: str) -> None:
    one = Sample("a", {"image": picture(*size), "text": Text("x")})
    middle = 3 * 7 + 3
    after = edits.of_sample(one, [Edit("image", how, places=(middle,))], grid=GRID, fit=fit)  # type: ignore[arg-type]
    image = after.image()
    assert image is not None
    changed = (pixels(image) != pixels(one.parts["image"])).any(-1)  # type: ignore[arg-type]
    left, top, right, bottom = edits.region(size, (3, 3), GRID, fit)
    assert changed[top:bottom, left:right].mean() > 0.9
    changed[top:bottom, left:right] = False
    assert not changed.any()
    if how == "paint":
        assert np.ptp(pixels(image)[top:bottom, left:right].reshape(-1, 3), axis=0).max() == 0


@pytest.mark.parametrize("size", [(70, 70), (140, 70), (71, 133)])
@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_regions_tile_what_the_encoder_sees(size: tuple[int, int], fit: str) -> None:
    covered = np.zeros(size[::-1], int)
    for row in range(7):
        for column in range(7):
            left, top, right, bottom = edits.region(size, (row, column), GRID, fit)
            covered[top:bottom, left:right] += 1
    assert covered.max() == 1
    assert covered.all() == (fit != "crop" or size[0] == size[1])


def test_words_are_replaced_where_they_stand() -> None:
    one = Sample("a", {"text": Text("The cat, the cat!")})
    after = edits.of_sample(one, [Edit("text", "replace", places=(4,), text="dog")])
    assert after.text() == "The cat, the dog!"
    twice = edits.of_sample(one, [Edit("text", "replace", places=(1, 4), text="dog")])
    assert twice.text() == "The dog, the dog!"
    assert edits.of_sample(one, [Edit("text", "replace", places=(1,), text="")]).text() == "The , the cat!"
    with pytest.raises(FusionError, match="There is no word 9"):
        edits.of_sample(one, [Edit("text", "replace", places=(9,), text="x")])


def test_a_part_that_is_not_there_can_not_be_edited() -> None:
    with pytest.raises(FusionError, match="no picture"):
        edits.of_sample(Sample("a", {"text": Text("x")}), [Edit("image", "paint", places=(0,))], grid=GRID)
    with pytest.raises(FusionError, match="no text"):
        edits.of_sample(Sample("a", {}), [Edit("text", "replace", places=(0,), text="y")])


def test_an_edited_sample_keeps_the_features_that_it_came_with() -> None:
    """The text of a digit is given, not encoded here: swapping or hiding the picture leaves it as it was."""
    reader = Reader.open(checkpoints.find("mmvae-digits"))
    one, two = (reader.dataset.samples[row] for row in (0, 40))
    before, other = reader.batch(one)[0], reader.batch(two)[0]
    _, after, _ = reader.after(one, [Edit("image", "swap", text=two.id)])
    assert after.present.all()
    assert torch.equal(after.features["text"], before.features["text"])
    assert torch.equal(after.features["image"], other.features["image"])
    _, words, _ = reader.after(one, [Edit("text", "swap", text=two.id)])
    assert torch.equal(words.features["text"], other.features["text"])
    assert torch.equal(words.features["image"], before.features["image"])


def test_a_picture_that_is_read_as_a_whole_has_no_regions_to_paint() -> None:
    reader = Reader.open(checkpoints.find("mmvae-digits"))
    with pytest.raises(FusionError, match="read as a whole"):
        reader.after(reader.dataset.samples[0], [Edit("image", "paint", places=(0,))])
