"""Time and memory of adopting a full-size official folder (BERT-base, ResNet-152, L = 128; random weights).

`python -m benchmarks.adopt` makes such a folder, adopts it in one child process and inspects one sample in another,
and prints one JSON object: seconds on the clock, start of Python and imports included, and peak resident memory in MB.
"""

from __future__ import annotations

import argparse
import json
import os
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent
BERT_SIZES = {
    "vocab_size": 28_996, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "initializer_range": 0.02,
}  # fmt: skip
DEPTHS = (3, 8, 36, 3)  # of ResNet-152


def official_folder(folder: Path, *, bert: dict[str, Any], length: int, depths: tuple[int, ...], widths: int) -> None:
    """Write a folder in the official format with random weights, by names written out here, not the importer's."""
    labels = ("O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "X", "[CLS]", "[SEP]")
    folder.mkdir(parents=True)
    torch.save(head_state(bert, length, len(labels) + 1, widths * 32), folder / "pytorch_model.bin")
    torch.save(resnet_state(depths, widths), folder / "pytorch_encoder.bin")
    (folder / "config.json").write_text(json.dumps(bert), encoding="utf-8")
    said = {
        "bert_model": "bert-base-cased", "do_lower": False, "max_seq_length": length, "num_labels": len(labels) + 1,
        "label_map": {str(i): label for i, label in enumerate(labels, 1)},
    }  # fmt: skip
    (folder / "model_config.json").write_text(json.dumps(said), encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(vocabulary(bert["vocab_size"])) + "\n", encoding="utf-8")


def vocabulary(size: int) -> list[str]:
    """Marks, letters alone and inside words, then pieces that no text has."""
    pieces = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *string.ascii_letters,
        *(f"##{c}" for c in string.ascii_letters),
    ]
    pieces += list(string.digits + string.punctuation)
    return (pieces + [f"[unused{i}]" for i in range(max(0, size - len(pieces)))])[:size]


def head_state(bert: dict[str, Any], length: int, classes: int, image: int) -> dict[str, torch.Tensor]:
    """pytorch_model.bin: the text encoder, the head, and the two layers that no output reads."""
    width, inner = bert["hidden_size"], bert["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "bert.embeddings.word_embeddings.weight": (bert["vocab_size"], width),
        "bert.embeddings.position_embeddings.weight": (bert["max_position_embeddings"], width),
        "bert.embeddings.token_type_embeddings.weight": (bert["type_vocab_size"], width),
        "bert.embeddings.LayerNorm.weight": (width,),
        "bert.embeddings.LayerNorm.bias": (width,),
        "crf.start_transitions": (classes,),
        "crf.end_transitions": (classes,),
        "crf.transitions": (classes, classes),
    }
    linear: dict[str, tuple[int, int]] = {
        "bert.pooler.dense": (width, width),
        "vismap2text": (width, image),
        "crs_classifier": (2, length * 2 * width),
        "Gate_text": (width, width),
        "Gate_image": (width, width),
        "classifier": (classes, 2 * width),
        "text_dense_cl": (width, width),
        "text_ouput_cl": (width, width),
        "image_dense_cl": (width, image),
        "image_output_cl": (width, width),
    }
    stacks = [f"bert.encoder.layer.{i}" for i in range(bert["num_hidden_layers"])]
    for stack in [*stacks, "txt2img_attention.layer.0", "self_attention.layer.0", "self_attention_v2.layer.0"]:
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            linear[f"{stack}.attention.{part}"] = (width, width)
        linear[f"{stack}.intermediate.dense"] = (inner, width)
        linear[f"{stack}.output.dense"] = (width, inner)
        for norm in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{stack}.{norm}.weight": (width,), f"{stack}.{norm}.bias": (width,)}
    for name, (rows, columns) in linear.items():
        shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    noise = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=noise) * 0.02 + float(name.endswith("LayerNorm.weight"))
        for name, shape in shapes.items()
    }


def resnet_state(depths: tuple[int, ...], width: int) -> dict[str, torch.Tensor]:
    """pytorch_encoder.bin: a bottleneck ResNet under the usual names, with running statistics and classes.

    width: channels of the stem, 64 in the usual nets; the last stage gives 32 times as many.
    """
    noise = torch.Generator().manual_seed(1)
    state: dict[str, torch.Tensor] = {}

    def conv(name: str, out: int, into: int, size: int) -> None:
        spread = (2.0 / (into * size * size)) ** 0.5
        state[f"resnet.{name}.weight"] = torch.randn(out, into, size, size, generator=noise) * spread

    def norm(name: str, count: int) -> None:
        state[f"resnet.{name}.weight"] = 1 + 0.1 * torch.randn(count, generator=noise)
        state[f"resnet.{name}.bias"] = 0.1 * torch.randn(count, generator=noise)
        state[f"resnet.{name}.running_mean"] = 0.1 * torch.randn(count, generator=noise)
        state[f"resnet.{name}.running_var"] = 2 + torch.rand(count, generator=noise)
        state[f"resnet.{name}.num_batches_tracked"] = torch.tensor(7)

    conv("conv1", width, 3, 7)
    norm("bn1", width)
    into = width
    for stage, depth in enumerate(depths):
        narrow, out = width * 2**stage, width * 2**stage * 4
        for block in range(depth):
            at = f"layer{stage + 1}.{block}"
            for number, (a, b, size) in enumerate(((narrow, into, 1), (narrow, narrow, 3), (out, narrow, 1)), 1):
                conv(f"{at}.conv{number}", a, b, size)
                norm(f"{at}.bn{number}", a)
            if block == 0:
                conv(f"{at}.downsample.0", out, into, 1)
                norm(f"{at}.downsample.1", out)
            into = out
    state["resnet.fc.weight"], state["resnet.fc.bias"] = torch.randn(1000, into, generator=noise), torch.zeros(1000)
    return state


def child(arguments: list[str], home: Path) -> dict[str, float]:
    """Run `python -m fusion ...` alone: seconds on the clock, seconds of processor time, peak resident memory in MB."""
    started = time.perf_counter()
    environment = os.environ | {"FUSION_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "fusion", *arguments], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(
            f"python -m fusion {' '.join(arguments)} ended with status {os.waitstatus_to_exitcode(status)}"
        )
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 2),  # what a busy machine changes least
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


def measure(workplace: Path) -> dict[str, Any]:
    """Make the folder in a child (its memory is not ours), adopt it, inspect one picture with one sentence."""
    from PIL import Image

    source, made, picture = workplace / "official", workplace / "adopted", workplace / "picture.png"
    subprocess.run([sys.executable, "-m", "benchmarks.adopt", "--make", str(source)], cwd=ROOT, check=True)
    Image.linear_gradient("L").convert("RGB").save(picture)
    size = sum(path.stat().st_size for path in source.iterdir())
    adopted = child(["adopt", str(source), "--out", str(made), "--json"], workplace / "home")
    ask = ["inspect", "--checkpoint", str(made), "--image", str(picture), "--text", "Anna flies to Paris", "--json"]
    child(ask, workplace / "home")  # the first run reads cold files
    return {
        "source_mb": round(size / 1e6),
        "threads": torch.get_num_threads(),
        "adopt": adopted,
        "inspect": child(ask, workplace / "home"),
    }


def main() -> None:
    """Print the measurement, or only make a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--make", type=Path, help="only write an official folder there")
    made = parser.parse_args().make
    if made:
        official_folder(made, bert=BERT_SIZES, length=128, depths=DEPTHS, widths=64)
        return
    with tempfile.TemporaryDirectory() as workplace:
        print(json.dumps(measure(Path(workplace)), indent=1))


if __name__ == "__main__":
    main()
