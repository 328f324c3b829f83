"""Official variables of TATE become a checkpoint that answers as they do; what doesn't fit is refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fusion import checkpoints
from fusion.__main__ import main
from fusion.models.tate import TATE, Config
from fusion.streams import official_tate
from fusion.streams.official_tate import adopt, recognised, variables
from fusion.types import Batch, FusionError

CASE = Path(__file__).parent / "golden/tate/modality_weights_b7"
STEPS = (9, 11, 6)
TOLD = {"steps": STEPS, "classes": ("negative", "neutral", "positive")}


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return load_file(CASE / "weights.safetensors")


def packed(path: Path, weights: dict[str, Tensor]) -> Path:
    """A table as TensorFlow's reader and NumPy write it, the optimiser's slots among it."""
    slots = {f"{key}/Adam{n}": torch.zeros_like(value) for key, value in weights.items() for n in ("", "_1")}
    more = {"global_step": torch.tensor(290), "beta1_power": torch.tensor(0.1)}
    np.savez(path, allow_pickle=False, **{key: value.numpy() for key, value in (weights | slots | more).items()})
    return path


def test_an_adopted_table_answers_as_the_official_program(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    made = adopt(packed(tmp_path / "run.npz", weights), tmp_path / "made", **TOLD)
    model = checkpoints.load(made)
    assert isinstance(model, TATE)
    assert model.config.weighted
    assert model.config.eval_dropout
    inputs, outputs = (load_file(CASE / f"{part}.safetensors") for part in ("inputs", "outputs"))
    features = {"vision": inputs["visual"], "audio": inputs["audio"], "text": inputs["text"]}
    mask = {m: (x != 0).any(-1) for m, x in features.items()}
    quiet = TATE(Config(**{**vars(model.config), "eval_dropout": False})).eval()
    quiet.load_state_dict(model.state_dict())
    said = quiet(
        Batch(
            features=features, pooled={}, mask=mask, kept=mask, ids=tuple("1234567"), modalities=tuple(features),
            present=torch.stack([one.any(1) for one in mask.values()], 1),
        )
    )  # fmt: skip
    torch.testing.assert_close(said.prediction.softmax(-1), outputs["probability"], atol=1e-5, rtol=1e-5)
    assert made.origin["dropped"] == [
        "two readouts that no output reads: 6 variables, 2,352 numbers",
        f"slots of the optimiser: {2 * len(weights) + 2} variables, "
        f"{2 * sum(value.numel() for value in weights.values()) + 2:,} numbers",
    ]
    assert "dropout is on" in made.card


def test_names_may_end_as_those_of_tensors_do(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    save_file({f"{key}:0": value for key, value in weights.items()}, tmp_path / "run.safetensors")
    assert recognised(tmp_path / "run.safetensors")
    assert adopt(tmp_path / "run.safetensors", tmp_path / "made", **TOLD).config["classes"] == list(TOLD["classes"])


def test_the_command_line_adopts_it(
    tmp_path: Path, weights: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    source = packed(tmp_path / "run.npz", weights)
    options = ["--steps", "9,11,6", "--classes", "bad,so,good", "--tag", "0001", "--out", str(tmp_path / "made")]
    assert main(["adopt", str(source), *options, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == "tate"
    config = checkpoints.read(tmp_path / "made").config
    assert config["classes"] == ["bad", "so", "good"]
    assert config["constant_tag"] == [0, 0, 0, 1]


def without(weights: dict[str, Tensor], key: str) -> dict[str, Tensor]:
    return {name: value for name, value in weights.items() if name != key}


@pytest.mark.parametrize(
    ("change", "told", "said"),
    [
        (lambda w: without(w, "model/dense_1/kernel"), {}, "lacks model/dense_1/kernel"),
        (lambda w: without(w, "model/de/multihead_attention/ln/beta"), {}, "missing      model/de"),
        (lambda w: {**w, "model/dense_9/kernel": torch.ones(2, 2)}, {}, "unknown      model/dense_9/kernel"),
        (lambda w: {**w, "model/dense_6/kernel": torch.ones(24, 28)}, {}, "other shape  model/dense_6/kernel"),
        (lambda w: {**w, "model/dense/kernel": w["model/dense/kernel"] * torch.nan}, {}, "NaN or infinite"),
        (lambda w: w, {"classes": ("a", "b")}, "3 classes and 2 were named"),
        (lambda w: w, {"heads": 5}, "heads 5"),
        (lambda w: w, {"tag": (0, 1)}, "constant_tag has 2"),
        (lambda w: w, {"steps": (9, 11)}, "2 steps"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    tmp_path: Path, weights: dict[str, Tensor], change: Any, told: dict[str, Any], said: str
) -> None:
    source = packed(tmp_path / "run.npz", change(weights))
    with pytest.raises(FusionError, match=said):
        adopt(source, tmp_path / "made", **(TOLD | told))
    assert not (tmp_path / "made").exists()


def test_a_table_that_could_run_code_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", allow_pickle=True, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(FusionError, match=r"bad\.npz is no table of arrays"):
        variables(tmp_path / "bad.npz")


def test_a_damaged_file_is_refused(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    source = packed(tmp_path / "run.npz", weights)
    source.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(FusionError, match="no table of arrays"):
        variables(source)
    (tmp_path / "half.safetensors").write_bytes((CASE / "weights.safetensors").read_bytes()[:5000])
    with pytest.raises(FusionError, match="no table of arrays"):
        variables(tmp_path / "half.safetensors")
    assert not recognised(tmp_path / "half.safetensors")


def test_a_table_that_unpacks_to_more_than_there_is_room_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", x=np.zeros(100_000))
    monkeypatch.setattr(official_tate, "LARGEST", 500_000)
    assert (tmp_path / "bomb.npz").stat().st_size < 5_000
    with pytest.raises(FusionError, match="unpacks to 800,128 bytes"):
        variables(tmp_path / "bomb.npz")


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    with pytest.raises(FusionError, match="would be replaced"):
        adopt(packed(tmp_path / "run.npz", weights), tmp_path / "mine", **TOLD)
    assert (tmp_path / "mine/letter.txt").exists()
