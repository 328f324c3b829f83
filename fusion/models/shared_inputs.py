"""What MCCA and KCCA read: one vector a view and row, of batches or of tables, checked at the door.

B rows of a batch, n rows of a table, T steps, D columns, V views.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fusion.blocks.sequences import check_streams, masked_mean, visible
from fusion.types import Batch, FusionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np

    from fusion.models.shared_settings import Settings

    Views = Mapping[str, Tensor | np.ndarray]  # {m: (n, D)}

CELLS = 2**22  # numbers of one block of rows


def complete(
    config: Settings, given: Views | Iterable[Batch], home: torch.device, left_out: list[str]
) -> Iterator[list[Tensor]]:
    """Blocks of rows that have every view, V of (b, D) float64; the ids of other rows go to `left_out`."""
    names = config.modalities
    if isinstance(given, Mapping):
        views = list(tables(config, given, names, home).values())  # type: ignore[arg-type]  # no batch is a mapping
        size = max(1, CELLS // sum(config.widths))
        for start in range(0, len(views[0]), size):
            yield [x[start : start + size] for x in views]
        return
    for batch in given:
        if not set(names) <= set(batch.modalities):
            check_streams(batch, names, config.widths)  # says which one is lacking
        some = torch.stack([batch.has(m) for m in names], 1).any(1)
        left_out += [batch.ids[i] for i in (~some).nonzero()[:, 0].tolist()]
        part = batch if bool(some.all()) else batch.rows(some.nonzero()[:, 0])
        if not len(part):
            continue
        vectors, there = read(config, part)
        whole = there.all(1)
        left_out += [part.ids[i] for i in (~whole).nonzero()[:, 0].tolist()]
        yield [(x if bool(whole.all()) else x[whole]).to(home) for x in vectors]


def read(config: Settings, batch: Batch) -> tuple[list[Tensor], Tensor]:
    """Mean of the steps of each view that may be read, and whether there are any. -> V of (B, D), (B, V) bool

    Raises FusionError on a sample without any view, another width, or a number that is not finite.
    """
    check_streams(batch, config.modalities, config.widths)
    vectors, there = [], []
    for m in config.modalities:
        seen, x = visible(batch, m), batch.features[m]
        one = x.shape[1] == 1  # a mean over one step costs four passes over the numbers for nothing
        vectors.append(torch.where(seen, x[:, 0], 0.0).double() if one else masked_mean(x.double(), seen))
        there.append(seen.any(1))
        _check_finite(m, vectors[-1], batch.ids)
    return vectors, torch.stack(there, 1)


def tables(config: Settings, given: Views, names: Sequence[str], home: torch.device) -> dict[str, Tensor]:
    """Tables of some views as float64, of one length. -> {m: (n, D)}

    Raises FusionError on a view that is lacking, another shape, NaN, or views of different lengths.
    """
    found: dict[str, Tensor] = {}
    for m in names:
        if m not in given:
            raise FusionError(f'There is no view "{m}"; there are {", ".join(given) or "none"}. Give every view.')
        x = torch.as_tensor(given[m])
        width = config.widths[config.modalities.index(m)]
        if x.ndim != 2 or x.shape[1] != width:
            raise FusionError(f'"{m}" has the shape {tuple(x.shape)}; it must be rows x {width} numbers.')
        _check_finite(m, x, ())
        found[m] = x.to(home, torch.float64)
    lengths = {m: len(x) for m, x in found.items()}
    if len(set(lengths.values())) > 1:
        said = ", ".join(f"{m} {n:,}" for m, n in lengths.items())
        raise FusionError(f"The views have different numbers of rows ({said}); row i must be one object in all.")
    return found


def parts(x: Tensor) -> Iterator[Tensor]:
    """Blocks of rows, whatever their width. (n, D) -> (b, D)"""
    yield from x.split(max(1, CELLS // max(1024, x.shape[1])))


def _check_finite(modality: str, x: Tensor, ids: Sequence[str]) -> None:
    broken = ~torch.isfinite(x).all(1)
    if bool(broken.any()):
        at = int(broken.nonzero()[0])
        name = ids[at] if ids else f"{at + 1:,}"
        raise FusionError(f'Row "{name}" of "{modality}" holds NaN or an infinite number; mend it or leave it out.')
