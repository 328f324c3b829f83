"""The first stage of IMF: its graph encoder, trained on the triples alone; its rows start the structure branch.

Source: the released program of IMF (HestiaSky/IMF-Pytorch@df883e4): Adam at 5e-4, full batches, two wrong triples each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.device import best
from fusion.models.imf_structure import StructureConfig, StructureEncoder, corrupted
from fusion.training import Clock
from fusion.types import FusionError

if TYPE_CHECKING:
    from fusion.types import Graph

DECAY = 1e-5
REPORTS = 10  # steps between two reports


def structure_rows(
    graph: Graph, entities: int, relations: int, width: int, *, steps: int, rate: float, seed: int, minutes: float,
    progress: Callable[[int, int, float], None] | None = None,
) -> tuple[Tensor, float]:  # fmt: skip
    """Train the graph encoder on the edges of `graph`. -> rows (N, D), and the seconds that it took

    Rows are scaled to the spread that a random start would have: longer ones drown what is learned after.

    progress: told the step, how many there are, and the loss. It ends early when `minutes` are over.
    Raises FusionError for an odd width, of which two heads can't have half each, or a loss that is no number.
    """
    if width % 2:
        raise FusionError(f"The graph encoder has two heads of half the width each, and {width} is odd; choose an even "
                          "width.")  # fmt: skip
    device, clock, spent = best()[0], Clock(), 0.0
    torch.manual_seed(seed)
    encoder = StructureEncoder(StructureConfig(entities, relations, width=width // 2)).to(device)
    graph = graph.to(device)
    triples = torch.stack((graph.edges[0], graph.relations, graph.edges[1]), 1)
    optimiser = torch.optim.Adam(encoder.parameters(), lr=rate, weight_decay=DECAY)
    for step in range(1, steps + 1):
        wrong = corrupted(triples.cpu(), entities, encoder.config.negatives).to(device)
        loss = encoder.loss(encoder(graph), triples, wrong)
        if not torch.isfinite(loss):
            raise FusionError("The loss of the graph encoder is no longer a number; try a lower structure_rate.")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        spent += clock.lap()
        if progress is not None and (step % REPORTS == 0 or step == steps):
            progress(step, steps, float(loss.detach()))
        if spent > minutes * 60:
            break
    with torch.inference_mode():
        rows = encoder.eval()(graph)[0]
    spread = (2 / (entities + width)) ** 0.5  # of Xavier's normal distribution for a table (N, D)
    return (rows * (spread / rows.std().clamp(min=1e-12))).cpu().clone(), spent
