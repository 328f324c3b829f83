"""An official TFR-Net file becomes a checkpoint with its text encoder that answers as it did, or is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fusion import checkpoints
from fusion.__main__ import main
from fusion.data.streams import SENTIMENT
from fusion.models.official.tfr_net import PREFIX, TEXT_ENCODER
from fusion.models.tfr_net import TFRNet
from fusion.streams.official_tfr_net import adopt, recognised
from fusion.types import FusionError

GOLDEN = Path(__file__).parent / "golden" / "tfr_net" / "mmsa_eval_heads3"
TOLD = {"heads": 3, "text_heads": 3, "recon_heads": 3}
OPTIONS = ["--heads", "3", "--text-heads", "3", "--recon-heads", "3", "--json"]


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return load_file(GOLDEN / "weights.safetensors")


def saved(folder: Path, weights: dict[str, Tensor], name: str = "tfr_net-mosi.pth") -> Path:
    """A file as the official program writes it."""
    torch.save(weights, folder / name)
    return folder / name


@pytest.mark.parametrize("prefix", [PREFIX, "", f"module.{PREFIX}"])
def test_the_command_line_adopts_what_gives_the_official_answers(
    weights: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str], prefix: str
) -> None:
    from transformers import AutoModel

    source = saved(tmp_path, {prefix + key.removeprefix(PREFIX): value for key, value in weights.items()})
    (tmp_path / "vocab.txt").write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(str, range(124)))))
    assert main(["adopt", str(source), "--out", str(tmp_path / "own"), *OPTIONS]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "tfr_net"
    made = checkpoints.find(str(tmp_path / "own"))
    assert made.encoders == {"text": "folder:encoders/text", "audio": "given", "vision": "given"}
    assert made.origin["dropped"] == ["marks and buffers that nothing reads: 21 tensors, 21 numbers"]
    assert "reconstructions were trained with samples as tokens" in made.card
    assert "no vocabulary" not in made.card
    model = checkpoints.load(made)
    assert isinstance(model, TFRNet)
    text = AutoModel.from_pretrained(made.folder / "encoders" / "text").eval()
    inputs, wanted = (load_file(GOLDEN / f"{name}.safetensors") for name in ("inputs", "outputs"))
    with torch.no_grad():
        ids, mask, segments = inputs["text_missing"].long().unbind(1)
        hidden = text(ids, attention_mask=mask, token_type_ids=segments).last_hidden_state
        read = {"text": hidden, "audio": inputs["audio_missing"], "vision": inputs["vision_missing"]}
        real = {"text": mask.bool(), "audio": inputs["audio_mask"].bool(), "vision": inputs["vision_mask"].bool()}
        answers, _ = model.answer(read, real)
        torch.testing.assert_close(answers["score"], wanted["prediction"], atol=1e-5, rtol=0)
        for m in read:
            _, guess, _ = model.guess(m, answers[f"hidden/{m}"], real[m])
            torch.testing.assert_close(guess, wanted[f"generated_{m}"], atol=1e-4, rtol=0)


def test_its_scale_is_said_and_can_be_told(weights: dict[str, Tensor], tmp_path: Path) -> None:
    source = saved(tmp_path, weights)
    made = adopt(source, tmp_path / "mosi", **TOLD)
    assert made.metrics == {"scale": [-3.0, 3.0], "words": list(SENTIMENT), "prior": 0.0}
    assert "no vocabulary" in made.card
    assert main(["adopt", str(source), "--out", str(tmp_path / "sims"), *OPTIONS, "--scale=-1,1"]) == 0
    assert checkpoints.find(str(tmp_path / "sims")).metrics["scale"] == [-1.0, 1.0]


def test_what_does_not_fit_is_refused(weights: dict[str, Tensor], tmp_path: Path) -> None:
    good = saved(tmp_path, weights)
    refused = {
        "width .* is 12, not 30; .* --heads N": TOLD | {"heads": None},
        "text width .* is 24, not 768; .* --text-heads N": TOLD | {"text_heads": None},
        "width 12 does not divide by heads 5": TOLD | {"heads": 5},
        "text width 24 .* does not divide by 5": TOLD | {"text_heads": 5},
        "recon_heads 7 does not divide 24": TOLD | {"recon_heads": 7},
    }
    for words, told in refused.items():
        with pytest.raises(FusionError, match=words):
            adopt(good, tmp_path / "own", **told)  # type: ignore[arg-type]  # as said above
    inner = f"{PREFIX}fusion_subnet.Model.classifier.linear_trans_hidden.weight"
    changes = {
        "lacks the tensor fusion_subnet": {inner: None}, "unknown      other": {f"{PREFIX}other": torch.zeros(2)},
        f"lacks {TEXT_ENCODER}embeddings": {f"{PREFIX}{TEXT_ENCODER}embeddings.word_embeddings.weight": None},
        "missing      generator_a": {f"{PREFIX}generator_a.Model.linear.bias": None},
        "other shape  generator_a": {f"{PREFIX}generator_a.Model.linear.bias": torch.zeros(3)},
        "NaN": {f"{PREFIX}generator_a.Model.linear.bias": torch.full((5,), torch.nan)},
    }  # fmt: skip
    for words, change in changes.items():
        other = {key: value for key, value in (weights | change).items() if value is not None}
        with pytest.raises(FusionError, match=words):
            adopt(saved(tmp_path, other, "other.pth"), tmp_path / "own", **TOLD)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(FusionError, match="choose another folder"):
        adopt(good, tmp_path / "full", **TOLD)
    assert not (tmp_path / "own").exists()
    assert recognised(good)
    assert not recognised(saved(tmp_path, {"weight": torch.zeros(2)}, "else.pt"))
    assert not recognised(GOLDEN / "case.json")


def test_projections_between_equal_widths_and_position_numbers_are_left_out(
    weights: dict[str, Tensor], tmp_path: Path
) -> None:
    more = {
        f"{PREFIX}align_subnet.Model.proj_q.weight": torch.zeros(12, 12, 3),
        f"{PREFIX}{TEXT_ENCODER}embeddings.position_ids": torch.arange(24)[None],
    }
    made = adopt(saved(tmp_path, weights | more), tmp_path / "own", **TOLD)
    assert made.origin["dropped"][1:] == [
        "projections between equal widths, which the program skips: 1 tensors, 432 numbers",
        "position numbers of the text encoder: 1 tensors, 24 numbers",
    ]
