"""Audio encoders: recordings -> one vector a third of a second, one vector a recording.

`mel` is arithmetic alone: stacked log-mel frames. `resemblyzer` is a pretrained speaker encoder: it tells voices and
recordings apart, not words and not feelings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from fusion.device import exclusive
from fusion.encoders.base import RESEMBLYZER, Encoded
from fusion.encoders.sound import (
    MELS,
    MOST_STEPS,
    PART,
    PARTS,
    STEP,
    WIDTH,
    Sound,
    log_mel,
    mel_power,
    mel_widths,
    open_sound,
    stacked,
    step_names,
)
from fusion.files import digest
from fusion.types import Audio

SPEAKER = 256
WINDOW = 160  # frames that the speaker encoder hears at once: 1.6 s, as it was trained
LOUD = -30.0  # dB of full scale that quiet speech is raised to, as it was trained
AT_ONCE = 64  # windows


class Hearing(Protocol):
    """What turns one recording into steps (T, D)."""

    def __call__(self, sound: Sound) -> Tensor:
        """(T, D) float32 on the CPU."""
        ...


class AudioEncoder:
    """An encoder of recordings. `width` is D of `steps` and of `pooled`, `steps` the most that a recording has."""

    steps = MOST_STEPS
    seconds = STEP  # of one step

    def __init__(self, name: str, hear: Hearing, width: int, digest: str, module: nn.Module | None = None) -> None:
        """`hear` makes the steps; `module` holds its weights where there are any."""
        self.name = name
        self.width = self.pooled_width = width
        self.digest = digest
        self.preprocessing = "sound-1"  # changes with what steps mean
        self.module = module
        self._hear = hear

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return torch.device("cpu") if self.module is None else next(self.module.parameters()).device

    def to(self, device: torch.device | str) -> AudioEncoder:
        """Itself, moved to a device; arithmetic without weights stays on the CPU."""
        if self.module is not None:
            self.module.to(device)
        return self

    @torch.no_grad()
    def encode(self, sounds: Sequence[Audio | Sound], length: int | None = None) -> Encoded:
        """Steps of B recordings, padded to the longest of them or to `length`. Raises FusionError as `open_sound`."""
        opened = [sound if isinstance(sound, Sound) else open_sound(sound) for sound in sounds]
        with exclusive(self.name):
            rows = [self._hear(sound)[: length or self.steps] for sound in opened]
        T = length or max((len(row) for row in rows), default=0)
        steps = torch.zeros(len(rows), T, self.width)
        mask = torch.zeros(len(rows), T, dtype=torch.bool)
        pooled = torch.zeros(len(rows), self.width)
        for at, row in enumerate(rows):
            steps[at, : len(row)], mask[at, : len(row)] = row, True
            pooled[at] = row.mean(0)
        names = tuple(step_names(T) for _ in rows)
        return Encoded(steps, pooled, mask, names).to(self.device)


def mel() -> AudioEncoder:
    """Stacked log-mel features: 40 bands of four parts of each 320 ms, 160 wide, scaled to about [-2, 2]."""
    return AudioEncoder(
        "mel",
        lambda sound: torch.from_numpy(stacked(log_mel(sound.samples))),
        WIDTH,
        digest(f"mel {MELS} {PART} {PARTS}"),
    )


class SpeakerNetwork(nn.Module):
    """Three LSTM layers over mel frames and a projection onto the sphere. Source: the pinned package."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MELS, SPEAKER, 3, batch_first=True)
        self.linear = nn.Linear(SPEAKER, SPEAKER)

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, 160, 40) mel power -> (B, 256), length 1, no number below 0"""
        _, (hidden, _) = self.lstm(frames)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)

    def windows(self, sound: Sound) -> Tensor:
        """What it hears in the 1.6 s around the middle of each step. -> (T, 256) on the CPU"""
        loud = 10 * np.log10(np.mean(np.square(sound.samples, dtype=np.float64)) + 1e-12)
        raised = sound.samples * 10 ** (max(0.0, LOUD - loud) / 20)
        power = torch.from_numpy((mel_power(raised) * 2 / mel_widths()).astype(np.float32))  # of equal area, as trained
        size = PART * PARTS
        T = -(-len(power) // size)
        before = (WINDOW - size) // 2
        padded = nn.functional.pad(power, (0, 0, before, T * size - len(power) + WINDOW))
        cut = padded.unfold(0, WINDOW, size)[:T].transpose(1, 2)  # (T, 160, 40)
        device = self.linear.weight.device
        return torch.cat([self(cut[at : at + AT_ONCE].to(device)).cpu() for at in range(0, T, AT_ONCE)])


def resemblyzer() -> AudioEncoder:
    """The speaker encoder, 256 wide. Raises FusionError when its weights are absent or others."""
    state = torch.load(RESEMBLYZER.checked(), map_location="cpu", weights_only=True)["model_state"]
    network = SpeakerNetwork().eval()
    network.load_state_dict({name: state[name] for name in network.state_dict()})
    network.requires_grad_(False)
    return AudioEncoder("resemblyzer", network.windows, SPEAKER, RESEMBLYZER.sha256, network)
