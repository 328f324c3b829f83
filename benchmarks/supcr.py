"""HSCL: processor time and memory of its contrast, beside the official arithmetic and a loop over anchors.

Supervised contrastive regression of 128 samples in two views of 128 numbers, forward and backward, labels from -3 to 3
in steps of 0.2, so that many distances tie. The official arithmetic is written out here: arrays of three indices of 256
each. All forms must give the same value first. Processor seconds of all threads. The step is one of training at the
size of MOSI, batch 32, lengths (50, 375, 500), text features at hand; the official one with its text encoder takes 36.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.measuring import Row, alternately, at_most, spread
from fusion.losses import supcr, unit
from fusion.models.hscl import HSCL, Config
from fusion.types import Batch, FusionError

SAMPLES, WIDTH, TAU, REPEATS, STEPS = 128, 128, 0.5, 30, 3
LIMIT = 0.04
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def measure(checkpoint: str) -> list[Row]:
    """Costs. The checkpoint is not used. Raises FusionError when two forms disagree."""
    torch.manual_seed(0)
    left, right = (torch.rand(SAMPLES, WIDTH, requires_grad=True) for _ in range(2))
    target = torch.randint(-15, 16, (SAMPLES,)) / 5
    ours: dict[str, Loss] = {
        name: lambda a, b, y, name=name: supcr(a, b, y, TAU, name) for name in ("anchor", "positive")
    }
    others: dict[str, Loss] = {"official": official, "loop": row_loop}
    value = ours["positive"](left, right, target)
    for name, loss in others.items():
        if not torch.allclose(loss(left, right, target), value, rtol=1e-5):
            raise FusionError(f"The contrast is {float(value)} and its form {name} differs; they must agree first.")
    run = lambda loss: lambda _: loss(left, right, target).backward()  # noqa: E731
    times = alternately({name: run(loss) for name, loss in (ours | others).items()}, repeats=REPEATS)
    middle = {name: float(np.median(one.cpu)) for name, one in times.items()}
    said = {
        "anchor": "published", "positive": "released", "official": "released, the official arithmetic",
        "loop": "released, a loop over anchors",
    }  # fmt: skip
    title = f"the contrast of {SAMPLES} samples in two views, forward and backward"
    rows = []
    for name, words in said.items():
        more: dict[str, Any] = {"n": REPEATS, "spread": spread(times[name].cpu, 4)}
        if name in ours:
            rows.append(at_most(f"{title}: {words}", middle[name], "CPU-s", LIMIT, **more))
        else:
            rows.append(Row(f"{title}: {words}", middle[name], "CPU-s", **more))
    most = {name: largest(lambda name=name: run((ours | others)[name])(0)) for name in said}
    square = 2 * SAMPLES * (2 * SAMPLES + 1)
    rows += [
        at_most(f"its largest array: {said[name]}", most[name], "numbers", square, f"at most {square:,}, O(N²)")
        for name in ours
    ]
    rows.append(Row(f"its largest array: {said['official']}", most["official"], "numbers"))
    return [*rows, step()]


def official(left: Tensor, right: Tensor, target: Tensor) -> Tensor:
    """The released form as the released program computes it: every anchor, positive and other at once."""
    rows, labels = unit(torch.cat((left, right))), target.repeat(2)
    size = len(rows)
    S, far = rows @ rows.T / TAU, (labels[:, None] - labels[None, :]).abs()
    counted = (far[:, None, :] >= far[:, :, None]) & ~torch.eye(size, dtype=torch.bool)[:, None, :]  # (2N, 2N, 2N)
    total = (S.exp()[None] * counted).sum(2)  # of anchor and positive
    pairs = ~torch.eye(size, dtype=torch.bool)
    return (total.log() - S)[pairs].sum() / (size * (size - 1))


def row_loop(left: Tensor, right: Tensor, target: Tensor) -> Tensor:
    """The same with one anchor after the other."""
    rows, labels = unit(torch.cat((left, right))), target.repeat(2)
    size = len(rows)
    S = rows @ rows.T / TAU
    chance, loss = S.exp(), S.new_zeros(())
    for anchor in range(size):
        far = (labels - labels[anchor]).abs()
        counted = far[None, :] >= far[:, None]
        counted[:, anchor] = False
        terms = (chance * counted).sum(1).log() - S[anchor]
        loss = loss + terms.sum() - terms[anchor]
    return loss / (size * (size - 1))


def largest(run: Callable[[], object]) -> int:
    """Numbers in the largest array that is made."""

    class Watch(TorchDispatchMode):
        most = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = function(*args, **(kwargs or {}))
            for one in made if isinstance(made, (tuple, list)) else [made]:
                self.most = max(self.most, one.numel() if isinstance(one, Tensor) else 0)
            return made

    with Watch() as watch:
        run()
    return watch.most


def step() -> Row:
    """A training step at the size of MOSI."""
    config, size = Config(), 32
    model = HSCL(config).train()
    shape = tuple(zip(config.modalities, config.widths, config.steps, strict=True))
    mask = {m: torch.arange(steps) < torch.randint(steps // 4, steps + 1, (size,))[:, None] for m, _, steps in shape}
    batch = Batch(
        {m: torch.randn(size, steps, width) for m, width, steps in shape}, {}, mask, mask,
        torch.ones(size, 3, dtype=torch.bool), config.modalities, tuple(map(str, range(size))),
        6 * torch.rand(size) - 3,
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)

    def one(_: int) -> None:
        optimiser.zero_grad()
        torch.stack(list(model.loss(model(batch, trace=False), batch).values())).sum().backward()
        optimiser.step()

    times = alternately({"step": one}, repeats=STEPS, warm=1)["step"]
    return Row(
        f"a training step of HSCL, lengths (50, 375, 500), {size} samples", float(np.median(times.cpu)), "CPU-s",
        n=STEPS, spread=spread(times.cpu, 2),
    )  # fmt: skip
