"""Training from the command line, to the end: what is saved opens, and says what was measured of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from fusion import checkpoints
from fusion.__main__ import main
from fusion.encoders import fresh, text_encoder
from fusion.inference import Pipeline
from fusion.types import FusionError, Sample, Text
from fusion.types import Image as Picture

COLOURS = {"red": (200, 30, 30), "green": (30, 160, 40), "blue": (30, 40, 200), "black": (10, 10, 10)}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Fifty-two pictures of one colour each, with a sentence that names it."""
    generator = np.random.default_rng(0)
    rows = ["image,text"]
    for number in range(52):
        colour, value = list(COLOURS.items())[number % len(COLOURS)]
        pixels = np.clip(np.array(value) + generator.integers(-20, 20, (24, 24, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,A wall painted {colour} seen on day {number}.")
    (tmp_path / "pairs.csv").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path / "pairs.csv"


def train(table: Path, name: str, *more: str) -> int:
    command = ["train", "maf", "--data", str(table), "--epochs", "1", "--batch", "20", "--name", name, "--json"]
    small = [part for pair in ("inner_width=32", "negative_rate=8", "max_length=16") for part in ("--set", pair)]
    return main([*command, *small, *more])


def test_a_fine_tuned_text_encoder_is_kept_with_its_checkpoint(
    table: Path, fusion_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(table, "tuned", "--fine-tune", "--rate", "0.001") == 0
    said = json.loads(capsys.readouterr().out)
    checkpoint = checkpoints.find("tuned")
    weights = checkpoint.folder / "encoders" / "text.safetensors"
    assert checkpoint.encoders["text"] == "minilm+shape:encoders/text.safetensors"
    own, frozen = Pipeline.open(checkpoint).text, text_encoder("minilm+shape")
    assert own.digest != frozen.digest
    saved = load_file(weights)
    for name, value in own.module.state_dict().items():
        assert torch.equal(value.cpu(), saved[name].float()), name
    sentence = ["A wall painted red."]
    apart = (own.encode(sentence).pooled - frozen.encode(sentence).pooled).abs().max()
    assert apart > 1e-4
    observation = Pipeline.open(checkpoint).inspect(
        Sample("a", {"text": Text(sentence[0]), "image": Picture(path=table.parent / "0.png")})
    )
    assert observation.match is not None
    assert np.isfinite(observation.match)
    assert main(["evaluate", "--checkpoint", "tuned", "--data", str(table), "--json"]) == 0
    json.loads(capsys.readouterr().out)
    assert said["metrics"]["recipe"]["text_rate"] == 1.0


@pytest.mark.parametrize("damage", ["cut", "shape", "nan", "name"])
def test_damaged_fine_tuned_weights_are_refused_in_one_sentence(tmp_path: Path, damage: str) -> None:
    state = {name: value.half() for name, value in text_encoder("minilm").module.state_dict().items()}
    first = next(iter(state))
    if damage == "shape":
        state[first] = state[first][:-1].clone()
    elif damage == "nan":
        state[first] = state[first] * float("nan")
    elif damage == "name":
        state["another"] = state.pop(first)
    save_file(state, tmp_path / "text.safetensors")
    if damage == "cut":
        (tmp_path / "text.safetensors").write_bytes((tmp_path / "text.safetensors").read_bytes()[:1000])
    with pytest.raises(FusionError, match="fine-tuned weights"):
        fresh("minilm:text.safetensors", tmp_path)
    with pytest.raises(FusionError, match="outside the folder"):
        fresh("minilm:../text.safetensors", tmp_path)
    with pytest.raises(FusionError, match="through its checkpoint"):
        fresh("minilm:text.safetensors")
