"""Same numbers as the official programs: every case folder below FUSION_PARITY (several, separated by ":").

A case folder holds case.json, weights, inputs and outputs (docs: tests/golden/README.md). The default is tests/golden.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

HERE = Path(__file__).parent


def _folders() -> list[Path]:
    named = os.environ.get("FUSION_PARITY")
    roots = [Path(root) for root in named.split(":") if root] if named else [HERE / "golden"]
    found = sorted({case.parent for root in roots for case in root.rglob("case.json")})
    return found or [root / "no-case-here" for root in roots]  # an empty folder fails, it doesn't pass silently


def _id(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def compare(case: dict, own: dict[str, Tensor], reference: dict[str, Tensor]) -> list[str]:
    """What differs beyond the case's tolerance, in the order of the computation; [] when all agree."""
    wrong = []
    for name, expected in reference.items():
        if name not in own:
            wrong.append(f"{name}: not produced")
            continue
        got = own[name].detach()
        if got.shape != expected.shape:
            wrong.append(f"{name}: shape {tuple(got.shape)}, expected {tuple(expected.shape)}")
        elif not expected.is_floating_point():
            if not torch.equal(got.to(expected.dtype), expected):
                wrong.append(f"{name}: {int((got != expected).sum())} of {expected.numel()} differ")
        else:
            scale = case["outputs"][name]["scale"] or 1.0
            error = float((got.double() - expected.double()).abs().max()) / scale if expected.numel() else 0.0
            limit = case.get("tolerance_by_output", {}).get(name, case["tolerance"])
            if not error <= limit:  # NaN is an error too
                wrong.append(f"{name}: error {error:.2e}, limit {limit:.1e}")
    return wrong


@pytest.mark.parametrize("folder", _folders(), ids=_id)
def test_outputs_equal_those_of_the_official_program(folder: Path) -> None:
    assert (folder / "case.json").exists(), f"no parity case below {folder.parent}"
    case = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    adapter = HERE / "parity" / f"{case['system']}.py"
    assert adapter.exists(), f"the project has no system {case['system']!r} yet"
    spec = importlib.util.spec_from_file_location(f"parity_{case['system']}", adapter)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    weights, inputs, expected = (load_file(folder / f"{part}.safetensors") for part in ("weights", "inputs", "outputs"))
    own = module.outputs({**case["config"], "mode": case["mode"]}, weights, inputs)
    ordered = {name: expected[name] for name in case["outputs"] if name in expected}
    extra = {name for name in own if name.startswith("grad_norm/")} - set(expected)
    assert not extra, f"gradients where the official program has none: {sorted(extra)}"
    assert set(ordered) == set(expected)
    wrong = compare(case, own, ordered)
    assert not wrong, f"{len(wrong)} of {len(ordered)} outputs differ:\n" + "\n".join(wrong[:40])
