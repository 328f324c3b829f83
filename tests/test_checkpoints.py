"""Checkpoint folders: strict on the way in, never half-written on the way out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fusion import checkpoints
from fusion.types import FusionError
from tests.toys import build


def save(folder: Path, **changes: Any) -> checkpoints.Checkpoint:
    settings: dict[str, Any] = {
        "encoders": {"text": "minilm", "image": "efficientnet-lite0"}, "data": "toy", "metrics": {"f1": 0.25},
        "card": "# Toy\n", "origin": {"command": "none"},
    }  # fmt: skip
    return checkpoints.save(folder, build("maf"), **(settings | changes))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save(tmp_path / "roots" / "toy").folder


def configure(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    config = json.loads((folder / "config.json").read_text())
    edit(config)
    (folder / "config.json").write_text(json.dumps(config))


def weigh(folder: Path, edit: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "weights.safetensors")
    edit(weights)
    save_file(weights, folder / "weights.safetensors")


def poison(weights: dict[str, torch.Tensor]) -> None:
    weights["region_map.weight"][1, 2] = float("nan")


def overflow(weights: dict[str, torch.Tensor]) -> None:
    weights["emission.bias"] = torch.full_like(weights["emission.bias"], 1e6).half()  # beyond float16: infinite


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_what_was_saved_is_described_without_its_weights(saved: Path) -> None:
    made = checkpoints.read(saved)
    assert (made.name, made.model, made.data, dict(made.metrics)) == ("toy", "maf", "toy", {"f1": 0.25})
    assert made.encoders == {"text": "minilm", "image": "efficientnet-lite0"}
    assert made.card == "# Toy\n"
    assert made.origin == {"command": "none"}
    assert len(made.digest) == 64
    assert made.size == (saved / "weights.safetensors").stat().st_size
    assert made.versions["torch"] == torch.__version__.split("+")[0]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda f: weigh(f, lambda w: [w.pop("crf.end"), w.pop("emission.bias")]),
            r"lacks 2 of \d+ tensors \(crf.end, em",
        ),
        (lambda f: weigh(f, lambda w: w.update(more=torch.zeros(2))), r"has 1 unknown ones \(more\)"),
        (lambda f: weigh(f, lambda w: w.update({"crf.end": torch.zeros(12)})), r"crf.end \(12,\) instead of \(13,\)"),
        (lambda f: weigh(f, poison), r"1 of \d+ tensors .* hold NaN or infinite numbers \(region_map.weight\)"),
        (lambda f: weigh(f, overflow), r"infinite numbers \(emission.bias\)"),
        (lambda f: cut(f / "weights.safetensors"), r"weights.safetensors of \"toy\" can't be read"),
        (lambda f: (f / "weights.safetensors").write_bytes(b"\xff" * 64), "can't be read"),
        (lambda f: (f / "weights.safetensors").write_bytes(b""), "can't be read"),
        (lambda f: (f / "weights.safetensors").unlink(), "has no weights.safetensors"),
        (lambda f: configure(f, lambda c: c.update(format=99)), "has format 99; .* reads up to 1. Update"),
        (lambda f: configure(f, lambda c: c.pop("format")), "has no format number"),
        (lambda f: configure(f, lambda c: c.update(format="1")), "has no format number"),
        (lambda f: configure(f, lambda c: c.update(model="xyz")), 'the system "xyz"; known: maf'),
        (lambda f: configure(f, lambda c: c.update(model=["maf"])), "the system"),
        (lambda f: configure(f, lambda c: c.pop("encoders")), "lacks encoders"),
        (lambda f: configure(f, lambda c: c["config"].update(depth=3)), r"settings that .* lacks: \['depth'\]"),
        (lambda f: configure(f, lambda c: c["config"].update(heads=5)), "does not divide by heads 5"),
        (lambda f: configure(f, lambda c: c["config"].update(heads="3")), "heads.*'3'"),
        (lambda f: configure(f, lambda c: c["config"].update(heads=0)), "heads.*0"),
        (lambda f: configure(f, lambda c: c["config"].update(text_width=-12)), "text_width.*-12"),
        (lambda f: configure(f, lambda c: c["config"].update(text_width=10**12)), "text_width"),
        (lambda f: configure(f, lambda c: c["config"].update(layers=10**9)), "layers"),
        (lambda f: configure(f, lambda c: c["config"].update(dropout=1.5)), "dropout.*1.5"),
        (lambda f: configure(f, lambda c: c["config"].update(temperature=0)), "temperature.*0"),
        (lambda f: configure(f, lambda c: c["config"].update(cm_padding="both")), "cm_padding.*both"),
        (lambda f: configure(f, lambda c: c["config"].update(classes=["O", "O"])), "classes"),
        (lambda f: configure(f, lambda c: c["config"].update(classes=7)), "classes"),
        (lambda f: configure(f, lambda c: c["config"].update(max_length=10)), r"another shape \(match.weight"),
        (lambda f: configure(f, lambda c: c.update(config=[])), "config"),
        (lambda f: configure(f, lambda c: c.update(encoders="minilm")), "encoders"),
        (lambda f: configure(f, lambda c: c.update(encoders={"text": 3})), "encoders"),
        (lambda f: (f / "config.json").write_text("{"), 'config.json of "toy" can\'t be read'),
        (lambda f: (f / "config.json").write_text("[" * 100_000), 'config.json of "toy" can\'t be read'),
        (lambda f: (f / "config.json").write_bytes(b"\xff\xfe{}"), "can't be read"),
        (lambda f: (f / "config.json").write_text("[]"), "holds no table"),
        (lambda f: (f / "metrics.json").write_text("[]"), "metrics.json .* holds no table"),
    ],
)
def test_a_bad_folder_is_refused_in_one_sentence(saved: Path, spoil: Callable[[Path], object], sentence: str) -> None:
    spoil(saved)
    with pytest.raises(FusionError, match=sentence) as refused:
        checkpoints.load(checkpoints.read(saved))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_one_bad_folder_hides_no_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = tmp_path / "roots"
    save(roots / "good")
    configure(save(roots / "newer").folder, lambda config: config.update(format=2))
    (roots / "broken").mkdir()
    (roots / "broken" / "config.json").write_text("not json")
    (roots / "letters").mkdir()
    monkeypatch.setenv("FUSION_CHECKPOINTS", str(roots))
    assert "good" in [made.name for made in checkpoints.listed()]
    problems = checkpoints.unreadable()
    assert problems.keys() == {"newer", "broken"}
    assert "Update it" in problems["newer"]
    assert checkpoints.find("good").folder == (roots / "good").resolve()
    assert checkpoints.find(str(roots / "good")).name == "good"
    with pytest.raises(FusionError, match=r'no checkpoint "gone".*good'):
        checkpoints.find("gone")


def test_saving_again_replaces_the_whole_folder(saved: Path) -> None:
    (saved / "stale.txt").write_text("of the one before")
    save(saved, metrics={"f1": 0.5}, fill=lambda aside: (aside / "extra.txt").write_text("new"))
    assert checkpoints.read(saved).metrics == {"f1": 0.5}
    assert sorted(path.name for path in saved.iterdir()) == [
        "card.md", "config.json", "extra.txt", "metrics.json", "weights.safetensors",
    ]  # fmt: skip
    assert [path.name for path in saved.parent.iterdir()] == ["toy"]


def test_a_save_that_fails_leaves_what_was_there(saved: Path) -> None:
    def fail(aside: Path) -> None:
        raise RuntimeError("the disk is full")

    before = checkpoints.read(saved).digest
    with pytest.raises(RuntimeError, match="disk is full"):
        save(saved, metrics={"f1": 0.9}, fill=fail)
    assert checkpoints.read(saved).metrics == {"f1": 0.25}
    assert checkpoints.read(saved).digest == before
    assert [path.name for path in saved.parent.iterdir()] == ["toy"]


KILLED = """
import sys, time
from pathlib import Path
from tests.test_checkpoints import save
def wait(aside):
    print("writing", flush=True)
    time.sleep(60)
save(Path(sys.argv[1]), metrics={"f1": 0.9}, fill=wait)
"""


def test_a_killed_save_leaves_the_old_checkpoint_whole_and_nothing_that_is_listed(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(__file__).parent.parent
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(saved)], cwd=root, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == "writing\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    monkeypatch.setenv("FUSION_CHECKPOINTS", str(saved.parent))
    assert checkpoints.read(saved).metrics == {"f1": 0.25}
    checkpoints.load(checkpoints.read(saved))
    ours = [made for made in checkpoints.listed() if made.folder.parent == saved.parent.resolve()]
    assert [made.name for made in ours] == ["toy"]
    assert checkpoints.unreadable() == {}


def test_half_precision_keeps_numbers_that_it_cannot_hold(tmp_path: Path) -> None:
    model = build("imf")
    with torch.no_grad():
        model.get_buffer("context.fused.norm_out.running_var").fill_(1e6)
    saved = checkpoints.save(tmp_path / "c", model, encoders={}, data="x", metrics={}, card="", origin={}, half=True)
    assert (checkpoints.load(saved).get_buffer("context.fused.norm_out.running_var") == 1e6).all()
