"""Official folders: what is adopted computes what the official program computed; what does not fit is refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from benchmarks.adopt import official_folder, resnet_state, vocabulary
from fusion import checkpoints
from fusion.adopt import adopt
from fusion.encoders import fresh
from fusion.inference import Pipeline
from fusion.types import Batch, FusionError, Image, Sample, Text

BERT = {
    "vocab_size": 160, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40,
    "max_position_embeddings": 32, "type_vocab_size": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
}  # fmt: skip
GOLDEN = Path(__file__).parent / "golden" / "maf" / "eval_b5_h48"


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("official") / "run"
    official_folder(folder, bert=BERT, length=10, depths=(1, 2, 1, 1), widths=4)
    return folder


@pytest.fixture
def source(official: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return shutil.copytree(official, tmp_path / "official")


@pytest.fixture(scope="module")
def adopted(official: Path) -> checkpoints.Checkpoint:
    return adopt(official, official.parent / "adopted")


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the state dict or the JSON table of a file in place."""
    if path.suffix == ".json":
        table = json.loads(path.read_text())
        edit(table)
        path.write_text(json.dumps(table))
    else:
        state = torch.load(path, weights_only=True)
        edit(state)
        torch.save(state, path)


def plain_resnet(state: dict[str, Tensor], pixels: Tensor, depths: tuple[int, ...]) -> Tensor:
    """The forward pass behind the usual names: stride on the 3 x 3 convolution. pixels (B, 3, S, S) -> (B, D, 7, 7)"""

    def norm(x: Tensor, at: str) -> Tensor:
        mean, var = state[f"{at}.running_mean"], state[f"{at}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{at}.weight"], state[f"{at}.bias"], eps=1e-5)

    x = F.relu(norm(F.conv2d(pixels, state["conv1.weight"], stride=2, padding=3), "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, depth in enumerate(depths):
        for block in range(depth):
            at, stride = f"layer{stage + 1}.{block}", 2 if stage and not block else 1
            y = F.relu(norm(F.conv2d(x, state[f"{at}.conv1.weight"]), f"{at}.bn1"))
            y = F.relu(norm(F.conv2d(y, state[f"{at}.conv2.weight"], stride=stride, padding=1), f"{at}.bn2"))
            y = norm(F.conv2d(y, state[f"{at}.conv3.weight"]), f"{at}.bn3")
            if not block:
                x = norm(F.conv2d(x, state[f"{at}.downsample.0.weight"], stride=stride), f"{at}.downsample.1")
            x = F.relu(x + y)
    return x


def golden_folder(folder: Path) -> dict[str, Any]:
    """The parity case as an official folder, with an image net of the width that its head reads."""
    case = json.loads((GOLDEN / "case.json").read_text())["config"]
    folder.mkdir()
    torch.save(load_file(GOLDEN / "weights.safetensors"), folder / "pytorch_model.bin")
    torch.save(resnet_state((1, 1, 1, 1), case["region_dim"] // 32), folder / "pytorch_encoder.bin")
    said = {"max_seq_length": case["max_seq_length"], "num_labels": case["num_labels"], "do_lower": False}
    said["label_map"] = {f"tag{i}": i for i in range(1, case["num_labels"])}
    (folder / "model_config.json").write_text(json.dumps(said))
    (folder / "config.json").write_text(json.dumps(case))
    return case


def test_an_adopted_checkpoint_computes_the_official_outputs(tmp_path: Path) -> None:
    case = golden_folder(tmp_path / "run")
    made = adopt(tmp_path / "run", tmp_path / "adopted")
    inputs, outputs = load_file(GOLDEN / "inputs.safetensors"), load_file(GOLDEN / "outputs.safetensors")
    from transformers import BertModel

    text = BertModel.from_pretrained(made.folder / "encoders" / "text").eval()
    mask, regions = inputs["input_mask"].bool(), case["regions"]
    with torch.inference_mode():
        encoded = text(inputs["input_ids"], inputs["input_mask"], inputs["segment_ids"])
        batch = Batch(
            features={"text": encoded.last_hidden_state, "image": inputs["visual_att"].flatten(2).transpose(1, 2)},
            pooled={"text": encoded.pooler_output, "image": inputs["visual_mean"]},
            mask={"text": mask, "image": torch.ones(len(mask), regions, dtype=torch.bool)},
            kept={"text": mask, "image": inputs["added_input_mask"][:, :regions].bool()},
            present=torch.ones(len(mask), 2, dtype=torch.bool),
            modalities=("text", "image"),
            ids=tuple("abcde"),
        )
        output = checkpoints.load(made)(batch)
    own = {"text_hidden": encoded.last_hidden_state, "match_probability": output.trace["match_score"].value}
    own |= {"emissions": output.extras["emissions"], "gated_visual": output.extras["gated"]}
    for name, value in own.items():
        torch.testing.assert_close(value, outputs[name], atol=1e-5 * float(outputs[name].abs().max()), rtol=0, msg=name)
    assert torch.equal(output.prediction, outputs["tags"])
    assert made.config["cm_swap_in_ner"]
    assert made.config["negatives"] == "representations"
    assert made.config["cm_padding"] == "published"
    assert made.config["classes"] == ["PAD", *(f"tag{i}" for i in range(1, case["num_labels"]))]


def test_the_adopted_image_encoder_computes_what_its_official_tensors_say(adopted: checkpoints.Checkpoint) -> None:
    encoder = fresh(adopted.encoders["image"], adopted.folder, "cpu")
    state = {key.removeprefix("resnet."): value for key, value in resnet_state((1, 2, 1, 1), 4).items()}
    pixels = torch.randn(2, 3, 224, 224)
    expected = plain_resnet(state, pixels, (1, 2, 1, 1))  # (B, 128, 7, 7)
    with torch.inference_mode():
        steps, pooled = encoder.forward_pixels(pixels)
    assert steps.shape == (2, 49, 128)
    torch.testing.assert_close(steps, expected.flatten(2).transpose(1, 2), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(pooled, expected.mean((2, 3)), atol=1e-4, rtol=1e-4)
    assert encoder.recipe.fit == "crop"
    assert encoder.recipe.side == encoder.recipe.resize == 224
    torch.testing.assert_close(torch.tensor(encoder.recipe.mean), 255 * torch.tensor((0.485, 0.456, 0.406)))


def test_an_adopted_checkpoint_inspects_a_raw_sample_and_keeps_case(adopted: checkpoints.Checkpoint) -> None:
    from PIL import Image as Pictures

    Pictures.linear_gradient("L").convert("RGB").save(adopted.folder.parent / "picture.png")
    parts = {"text": Text("Ann at q"), "image": Image(path=adopted.folder.parent / "picture.png")}
    seen = Pipeline.open(adopted).inspect(Sample("one", parts))
    assert seen.trace.steps["text"][0].labels[:7] == ("[CLS]", "A", "##n", "##n", "a", "##t", "q")
    assert seen.trace["region_attention"].value.shape == (1, 3, 10, 49)
    assert seen.match is not None
    assert 0 < seen.match < 1


def test_what_nothing_reads_is_said_and_nothing_is_called_official(adopted: checkpoints.Checkpoint) -> None:
    layers, classes = adopted.origin["dropped"]
    assert "32 tensors" in layers
    assert "2 tensors, 129,000 numbers" in classes  # 1000 x 128 + 1000
    assert layers in adopted.card
    assert adopted.origin["official"] is False
    assert len(adopted.origin["sha256"]) == 5
    assert all(len(value) == 64 for value in adopted.origin["sha256"].values())
    assert adopted.metrics == {}


def test_wrappers_prefixes_old_names_and_old_files_make_no_difference(
    source: Path, adopted: checkpoints.Checkpoint, tmp_path: Path
) -> None:
    def age(state: dict[str, Tensor]) -> None:
        for key in list(state):
            old = key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
            state[f"module.{old}"] = state.pop(key)
        state["module.bert.embeddings.position_ids"] = torch.arange(32)[None]

    def forget(state: dict[str, Tensor]) -> None:
        for key in [key for key in state if key.endswith("num_batches_tracked")]:
            del state[key]

    change(source / "pytorch_model.bin", age)
    change(source / "pytorch_encoder.bin", forget)
    state = torch.load(source / "pytorch_encoder.bin", weights_only=True)
    torch.save(state, source / "pytorch_encoder.bin", _use_new_zipfile_serialization=False)
    change(source / "model_config.json", lambda said: said.pop("label_map"))  # 13 classes: the official ones
    made = adopt(source, tmp_path / "made")
    assert made.config == adopted.config
    for file in ("weights.safetensors", "encoders/text/model.safetensors"):
        ours, theirs = load_file(made.folder / file), load_file(adopted.folder / file)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert any("position" in line for line in made.origin["dropped"])


def test_without_a_vocabulary_it_adopts_and_says_what_is_missing(source: Path, tmp_path: Path) -> None:
    (source / "vocab.txt").rename(tmp_path / "words.txt")
    made = adopt(source, tmp_path / "made")
    assert "vocab.txt" in made.card
    checkpoints.load(made)
    with pytest.raises(FusionError, match=r"vocab\.txt"):
        fresh(made.encoders["text"], made.folder, "cpu")
    again = adopt(source, tmp_path / "made", vocabulary=tmp_path / "words.txt")  # replaces a checkpoint, never others
    assert fresh(again.encoders["text"], again.folder, "cpu").tokenise(["Ab"]).names[0].labels == (
        "[CLS]", "A", "##b", "[SEP]",
    )  # fmt: skip


def test_one_error_lists_every_tensor_that_does_not_fit(source: Path, tmp_path: Path) -> None:
    def spoil(state: dict[str, Tensor]) -> None:
        for key in (
            "crf.transitions",
            "Gate_text.weight",
            "bert.pooler.dense.bias",
            "bert.encoder.layer.1.output.dense.bias",
        ):
            del state[key]
        state["extra.one"] = state["extra.two"] = torch.zeros(3)
        state["classifier.bias"] = torch.zeros(14)

    change(source / "pytorch_model.bin", spoil)
    with pytest.raises(FusionError) as refused:
        adopt(source, tmp_path / "made")
    rows = {tuple(line.split()[:-1]) for line in str(refused.value).splitlines()[1:]}
    assert len(rows) == 7
    for kind, key in (
        ("missing", "crf.transitions"), ("missing", "Gate_text.weight"), ("missing", "bert.pooler.dense.bias"),
        ("missing", "bert.encoder.layer.1.output.dense.bias"), ("unknown", "extra.one"), ("unknown", "extra.two"),
        ("other", "classifier.bias"),
    ):  # fmt: skip
        assert any(row[0] == kind and key in row for row in rows), (kind, key)
    assert not (tmp_path / "made").exists()


def test_an_image_net_of_other_blocks_is_refused_by_name(source: Path, tmp_path: Path) -> None:
    change(source / "pytorch_encoder.bin", lambda state: state.pop("resnet.layer2.1.bn3.running_var"))
    with pytest.raises(FusionError, match=r"missing +layer2\.1\.bn3\.running_var \(32,\)"):
        adopt(source, tmp_path / "made")


class Harm:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["zip", "bare pickle", "whole module"])
def test_a_pickle_that_runs_code_is_refused_and_never_runs(source: Path, tmp_path: Path, how: str) -> None:
    path, harm = source / "pytorch_model.bin", Harm(tmp_path / "harm")
    if how == "zip":
        torch.save({"bert.x": harm}, path)
    elif how == "bare pickle":
        path.write_bytes(pickle.dumps(harm))
    else:
        torch.save(torch.nn.Linear(2, 3), path)
    with pytest.raises(FusionError, match="could run code, so it was refused"):
        adopt(source, tmp_path / "made")
    assert not harm.path.exists()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def poison(state: dict[str, Tensor]) -> None:
    state["vismap2text.weight"][3, 5] = torch.nan


@pytest.mark.parametrize(
    ("file", "spoil", "sentence"),
    [
        ("pytorch_model.bin", cut, r"pytorch_model\.bin is damaged or cut off"),
        ("pytorch_encoder.bin", cut, r"pytorch_encoder\.bin is damaged or cut off"),
        ("pytorch_encoder.bin", lambda path: path.write_bytes(b""), "is damaged or cut off"),
        ("pytorch_encoder.bin", lambda path: path.write_text("<!doctype html>"), "is damaged or cut off|refused"),
        ("pytorch_encoder.bin", lambda path: path.unlink(), r"has no pytorch_encoder\.bin"),
        ("pytorch_encoder.bin", lambda path: torch.save([1, 2], path), "holds no table of tensors"),
        ("pytorch_encoder.bin", lambda path: torch.save({"epoch": 3}, path), "'epoch', no tensor"),
        (
            "pytorch_encoder.bin",
            lambda path: change(
                path, lambda state: state.update({"resnet.conv1.weight": torch.zeros(1).expand(10**10)})
            ),
            "not stored as a plain tensor",
        ),
        (
            "pytorch_encoder.bin",
            lambda path: torch.save(resnet_state((1, 1, 1, 1), 5), path),
            "160 features.*reads 128",
        ),
        ("pytorch_model.bin", lambda path: change(path, poison), "vismap2text.weight in .* holds NaN"),
        ("model_config.json", cut, r"model_config\.json can't be read"),
        ("model_config.json", lambda path: path.write_text("[1]"), "no table of settings"),
        (
            "model_config.json",
            lambda path: change(path, lambda s: s.update(max_seq_length=12)),
            "10 positions.*length 12",
        ),
        (
            "model_config.json",
            lambda path: change(path, lambda s: s.update(max_seq_length="10")),
            "'10', which is no size",
        ),
        ("model_config.json", lambda path: change(path, lambda s: s.update(num_labels=12)), "num_labels 12.*has 13"),
        ("model_config.json", lambda path: change(path, lambda s: s["label_map"].pop("4")), "does not name the 13"),
        ("model_config.json", lambda path: change(path, lambda s: s["label_map"].update({"4": "O"})), "each once"),
        ("config.json", lambda path: change(path, lambda s: s.update(hidden_size=32)), "hidden_size 32.*has 24"),
        ("config.json", lambda path: change(path, lambda s: s.update(vocab_size=161)), "vocab_size 161.*has 160"),
        (
            "config.json",
            lambda path: change(path, lambda s: s.update(num_attention_heads=5)),
            "5, which does not divide 24",
        ),
        ("config.json", lambda path: change(path, lambda s: s.update(hidden_act="relu")), "hidden_act 'relu'"),
        ("config.json", lambda path: change(path, lambda s: s.update(hidden_dropout_prob="x")), "which is no share"),
        (
            "config.json",
            lambda path: change(path, lambda s: s.update(num_hidden_layers=3)),
            "missing +bert.encoder.layer.2",
        ),
        ("vocab.txt", lambda path: path.write_text("\n".join(vocabulary(150))), "150 pieces; the weights have 160"),
        ("vocab.txt", lambda path: path.write_text("a\n" * 160), r"lacks \[PAD\]"),
        ("vocab.txt", lambda path: path.write_bytes(b"\xff" * 9), "not UTF-8"),
    ],
)
def test_a_bad_folder_is_refused_in_a_sentence(
    source: Path, tmp_path: Path, file: str, spoil: Callable[[Path], object], sentence: str
) -> None:
    spoil(source / file)
    with pytest.raises(FusionError, match=sentence):
        adopt(source, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_nothing_but_a_checkpoint_is_ever_replaced(official: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("x")
    with pytest.raises(FusionError, match='"letters" exists and is no checkpoint'):
        adopt(official, tmp_path / "letters")
    with pytest.raises(FusionError, match="is no checkpoint"):
        adopt(official, official)
    with pytest.raises(FusionError, match='no folder "nowhere"'):
        adopt(tmp_path / "nowhere", tmp_path / "made")
    with pytest.raises(FusionError, match=r'no vocabulary "a\.txt"'):
        adopt(official, tmp_path / "made", vocabulary=tmp_path / "a.txt")
    assert (tmp_path / "letters" / "dear.txt").exists()
