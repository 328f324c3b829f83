"""An official HSCL file becomes a checkpoint with its text encoder that gives the official score, or is refused."""

from __future__ import annotations

import json
import string
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from fusion import checkpoints
from fusion.__main__ import main
from fusion.data.streams import SENTIMENT
from fusion.explain.edits import Edit
from fusion.streams.inspection import Reader
from fusion.streams.official import adopt, recognised
from fusion.types import Batch, FusionError, Numbers, Part, Sample, Text

GOLDEN = Path(__file__).parent / "golden" / "hscl" / "full_mosi_b6_d48"


@pytest.fixture
def weights() -> dict[str, Tensor]:
    return load_file(GOLDEN / "weights.safetensors")


def saved(folder: Path, weights: dict[str, Tensor], name: str = "best_model.pt") -> Path:
    """A file as the official program writes it."""
    torch.save(weights, folder / name)
    return folder / name


def test_an_official_file_gives_the_official_score(weights: dict[str, Tensor], tmp_path: Path) -> None:
    from transformers import AutoModel

    wrapped = {f"module.{key}": value for key, value in weights.items()}
    made = adopt(saved(tmp_path, wrapped), tmp_path / "own", heads=4)
    assert made.origin["dropped"] == [
        "acoustic_enc.pos_encoder.pe in best_model.pt, which is computed anew: 1 tensor, 30,000 numbers",
        "visual_enc.pos_encoder.pe in best_model.pt, which is computed anew: 1 tensor, 100,000 numbers",
    ]
    assert made.encoders == {"text": "folder:encoders/text", "audio": "given", "vision": "given"}
    assert "no vocabulary" in made.card
    model = checkpoints.load(made)
    text = AutoModel.from_pretrained(made.folder / "encoders" / "text").eval()
    inputs, wanted = (load_file(GOLDEN / f"{name}.safetensors") for name in ("inputs", "outputs"))
    with torch.no_grad():
        hidden = text(
            inputs["bert_sent"], attention_mask=inputs["bert_sent_mask"], token_type_ids=inputs["bert_sent_type"]
        ).last_hidden_state
    torch.testing.assert_close(hidden, wanted["text_hidden"], atol=5e-5, rtol=0)
    features = {"text": hidden, "audio": inputs["acoustic"].transpose(0, 1), "vision": inputs["visual"].transpose(0, 1)}
    mask = {
        "text": inputs["bert_sent_mask"].bool(), "audio": torch.arange(11) < inputs["a_len"][:, None],
        "vision": torch.arange(17) < inputs["v_len"][:, None],
    }  # fmt: skip
    names = ("text", "audio", "vision")
    batch = Batch(features, {}, mask, mask, torch.ones(6, 3, dtype=torch.bool), names, tuple("abcdef"))
    cls = {"audio": inputs["cls_a_noise"].flatten(), "vision": 0.2 * inputs["cls_v_noise"].flatten()}
    output = model(batch, cls=cls)  # type: ignore[call-arg]  # an HSCL
    torch.testing.assert_close(output.prediction[:, None], wanted["prediction"], atol=2e-5, rtol=0)
    again = model(batch).prediction  # with the noise of its own seed
    assert torch.equal(again, model(batch).prediction)
    assert not torch.equal(again, output.prediction)


def test_the_command_line_adopts_it_with_its_vocabulary(weights: dict[str, Tensor], tmp_path: Path, capsys) -> None:  # type: ignore[no-untyped-def]
    source = saved(tmp_path, weights)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *(f"piece{i}" for i in range(56))]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    assert main(["adopt", str(source), "--out", str(tmp_path / "own"), "--heads", "4", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["model"] == "hscl"
    assert (tmp_path / "own" / "encoders" / "text" / "vocab.txt").is_file()
    assert "no vocabulary" not in checkpoints.find(str(tmp_path / "own")).card


@pytest.fixture
def reader(weights: dict[str, Tensor], tmp_path: Path) -> Reader:
    letters = [*string.ascii_lowercase, *(f"##{one}" for one in string.ascii_lowercase)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, "1", "2", "3"]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces))
    return Reader.open(adopt(saved(tmp_path, weights), tmp_path / "own", heads=4))


def test_a_typed_text_with_given_features_is_answered_in_words(reader: Reader) -> None:
    random = np.random.default_rng(0)
    sound, sight = (random.normal(size=(steps, width)) for steps, width in ((7, 5), (9, 20)))
    parts: dict[str, Part] = {"text": Text("Ab c d"), "audio": Numbers(sound), "vision": Numbers(sight)}
    seen = reader.inspect(Sample("mine", parts), [Edit("audio", "zero")])
    assert seen.scale == (-3.0, 3.0)
    assert seen.answer.said in SENTIMENT
    assert seen.before is not None
    assert seen.answer.score != seen.before.score
    assert seen.trace.steps["text"][0].labels[:7] == ("[CLS]", "a", "##b", "c", "d", "[SEP]", "")
    batch, _ = reader.batch(Sample("mine", parts))
    text = checkpoints_text(reader)(
        torch.tensor([[2, 5, 32, 7, 8, 3, *[0] * 44]]), attention_mask=torch.arange(50)[None] < 6
    ).last_hidden_state
    torch.testing.assert_close(batch.features["text"], text, atol=1e-5, rtol=0)  # padding is read, as released
    assert batch.mask["text"].sum() == 6
    assert seen.before.score == pytest.approx(float(reader.model(batch).prediction[0]), abs=1e-5)
    alone = reader.inspect(Sample("words", {"text": Text("ab " * 80)}))
    assert {notice.key for notice in alone.notices} == {"notice.truncated", "notice.absent"}


def checkpoints_text(reader: Reader) -> torch.nn.Module:
    """The text encoder of a checkpoint, as its own library opens it."""
    from transformers import AutoModel

    return AutoModel.from_pretrained(reader.checkpoint.folder / "encoders" / "text").eval()


def test_features_that_no_model_can_read_are_refused_by_name(reader: Reader) -> None:
    spoilt = np.zeros((4, 5))
    spoilt[2, 1] = np.nan
    refused = (
        (spoilt, '"audio" of sample "a" holds NaN or infinity at step 3'),
        (np.zeros((4, 6)), r'"audio" of sample "a" has the shape \(4, 6\).* of 5 features'),
    )
    for values, words in refused:
        with pytest.raises(FusionError, match=words):
            reader.inspect(Sample("a", {"audio": Numbers(values)}))
    with pytest.raises(FusionError, match="Nothing to answer from"):
        reader.inspect(Sample("a", {"text": Text(" ")}))
    with pytest.raises(FusionError, match='What "own" was trained on is not recorded; name a data set'):
        reader.inspect(Sample("a", {"text": Text("a")}), [Edit("text", "shuffle")])


def test_what_does_not_fit_is_refused(weights: dict[str, Tensor], tmp_path: Path) -> None:
    good = saved(tmp_path, weights)
    with pytest.raises(FusionError, match=r"width 48 .* not 768; say how many heads"):
        adopt(good, tmp_path / "own")
    with pytest.raises(FusionError, match="48 of text does not divide by its 5 heads"):
        adopt(good, tmp_path / "own", heads=5)
    changes = {
        "lacks FC_a": {"FC_a.linear_1.weight": None}, "unknown      other": {"other": torch.zeros(2)},
        "missing      tv_encoder.fc1.bias": {"tv_encoder.fc1.bias": None},
        "other shape  ta_encoder.fc1.bias": {"ta_encoder.fc1.bias": torch.zeros(3)},
        "other positions": {"visual_enc.pos_encoder.pe": torch.zeros(5000, 1, 20)},
        "NaN": {"FC_t.linear_1.bias": torch.full((32,), torch.nan)},
    }  # fmt: skip
    for words, change in changes.items():
        other = {key: value for key, value in (weights | change).items() if value is not None}
        with pytest.raises(FusionError, match=words):
            adopt(saved(tmp_path, other, "other.pt"), tmp_path / "own", heads=4)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(FusionError, match="choose another folder"):
        adopt(good, tmp_path / "full", heads=4)
    assert not (tmp_path / "own").exists()
    assert recognised(good)
    assert not recognised(saved(tmp_path, {"weight": torch.zeros(2)}, "else.pt"))
    assert not recognised(GOLDEN / "case.json")
