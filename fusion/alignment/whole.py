"""A whole data set of entities through a graph checkpoint: one row of scalars an entity, and its vectors.

Ranks are counted in chunks among the partners of the links of a split, with CSLS, as in a checkpoint's figures. Kept by
content (weights, data) below the user's folder, or beside a bundled checkpoint for the bundled data. Vectors are kept
in half precision in the user's folder alone: where they are wanted elsewhere, they are made again from the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fusion import shelf
from fusion.alignment import scoring
from fusion.alignment.inspection import Aligner, plain_name
from fusion.data.graphs import SPLITS
from fusion.metrics.intervals import Interval, spearman_interval
from fusion.metrics.ranking import Ranking, rank_pairs, top_candidates
from fusion.types import FusionError

if TYPE_CHECKING:
    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet

KEPT_AS = "aligned 1"  # kind and version of what is kept
FUSED = "fused"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class AlignedSet:
    """All entities of a data set under a checkpoint, in the order of the data set.

    Columns of the frame: id side kind name split (of its link) partner best (the candidate that is first), rank of the
    partner and rank_back (of the entity, seen from its partner), score (joint cosine with the partner), degree, and for
    each modality rank_<m> (by it alone), weight_<m>, effect_<m> (how much farther down the partner falls when the
    modality is left out and the other weights kept), known_<m>. Without a link ranks, score and effects are NaN.
    """

    data: str
    checkpoint: str
    modalities: tuple[str, ...]
    frame: pd.DataFrame
    faithful: Mapping[str, Interval | None]  # {m: Spearman of weight and effect over entities to test}; None: n/a
    _vectors: Callable[[], tuple[Tensor, tuple[int, ...]]] = field(repr=False)  # joint (N, D), widths of its blocks

    def vectors(self, modality: str = FUSED) -> np.ndarray:
        """Unit vectors of a modality or "fused", zero where an entity is read without it. -> (N, D) float32

        Raises FusionError for another modality.
        """
        if modality != FUSED and modality not in self.modalities:
            raise FusionError(f'There is no modality "{modality[:40]}"; there are {", ".join(self.modalities)}.')
        joint, widths = self._loaded
        block = joint if modality == FUSED else joint.split(list(widths), 1)[self.modalities.index(modality)]
        return torch.nn.functional.normalize(block.float(), dim=1).cpu().numpy()

    @cached_property
    def _loaded(self) -> tuple[Tensor, tuple[int, ...]]:
        return self._vectors()

    def pairs(self, *splits: str) -> pd.DataFrame:
        """The rows of graph 0 with a link of these splits, of any without one: one row a pair."""
        chosen = self.frame["split"].isin(splits) if splits else self.frame["split"] != ""
        return self.frame.loc[chosen & (self.frame["side"] == 0), :]


def stored(checkpoint: Checkpoint, dataset: DataSet) -> AlignedSet | None:
    """What was computed before for this checkpoint and data, None when it wasn't (or was for other content)."""
    for folder, meta, frame in shelf.found(KEPT_AS, checkpoint, dataset):
        try:
            faithful = {m: None if row is None else Interval(**row) for m, row in meta["faithful"].items()}
            modalities = tuple(meta["modalities"])
        except (KeyError, TypeError, AttributeError):  # changed by hand: it is made again
            continue
        read = _reader(folder, checkpoint, dataset)
        return AlignedSet(dataset.key, checkpoint.name, modalities, frame, faithful, read)
    return None


def whole(aligner: Aligner, progress: Progress | None = None, *, bundled: bool = False) -> AlignedSet:
    """Every entity of the data set, and keep what came out; what was kept before is returned at once.

    progress: called with the steps done and their number. bundled: keep it beside the checkpoint instead of in the
    user's folder, without vectors.
    """
    before = stored(aligner.checkpoint, aligner.dataset)
    if before is not None and not bundled:
        return before
    columns = _columns(aligner, progress)
    frame = _frame(aligner, columns)
    faithful = {m: _faithful(frame, m) for m in aligner.modalities}
    joint = aligner.tables["joint"]
    made = AlignedSet(
        aligner.dataset.key,
        aligner.checkpoint.name,
        aligner.modalities,
        frame,
        faithful,
        lambda: (joint, aligner.widths),
    )
    told = {m: None if found is None else found.__dict__ for m, found in faithful.items()}
    meta = {"modalities": aligner.modalities, "faithful": told}
    kept = {"joint": joint.half(), "widths": torch.tensor(aligner.widths)}
    shelf.put(KEPT_AS, aligner.checkpoint, aligner.dataset, frame, meta, kept, bundled=bundled)
    return made


def _columns(aligner: Aligner, progress: Progress | None) -> dict[str, np.ndarray]:
    """Ranks, scores and effects of all linked entities. -> {column: (N,) float32}, NaN without a link"""
    names = aligner.modalities
    joint, widths = aligner.tables["joint"], list(aligner.widths)
    columns = {name: np.full(len(joint), np.nan, np.float32) for name in ("rank", "rank_back", "score", "best")}
    columns |= {f"{kind}_{m}": np.full(len(joint), np.nan, np.float32) for kind in ("rank", "effect") for m in names}
    todo = [split for split in SPLITS if len(aligner.graph.pairs(split))]
    done, steps = 0, len(todo) * (2 + 2 * len(names))

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, steps)

    for split in todo:
        pairs = torch.from_numpy(aligner.graph.pairs(split)).long().to(joint.device)
        sides = joint[pairs[:, 0]], joint[pairs[:, 1]]
        rows = pairs.cpu().numpy()
        every = _ranked(*sides)
        _both(columns["rank"], rows, every)
        _both(columns["rank_back"], rows, every[::-1])
        columns["score"][rows] = (sides[0] * sides[1]).sum(1).cpu().numpy()[:, None]
        step()
        for side in (0, 1):
            first = top_candidates(sides[side], sides[1 - side], 1, measure="cosine", csls=scoring.NEAREST)[0][:, 0]
            columns["best"][rows[:, side]] = rows[first.cpu().numpy(), 1 - side]
        step()
        for i, m in enumerate(names):
            _both(columns[f"rank_{m}"], rows, _ranked(*(side.split(widths, 1)[i] for side in sides)))
            step()
            less = _ranked(*(_without(side, widths, i) for side in sides)) if len(names) > 1 else every
            _both(columns[f"effect_{m}"], rows, less)
            step()
    for m in names:
        columns[f"effect_{m}"] -= columns["rank"]
    return columns


def _ranked(left: Tensor, right: Tensor) -> tuple[Ranking, Ranking]:
    return rank_pairs(left, right, measure="cosine", csls=scoring.NEAREST)


def _without(joint: Tensor, widths: list[int], left_out: int) -> Tensor:
    """The other blocks, their weights kept in proportion. (P, D) -> (P, D')"""
    return torch.cat([block for i, block in enumerate(joint.split(widths, 1)) if i != left_out], 1)


def _both(column: np.ndarray, rows: np.ndarray, ranking: tuple[Ranking, ...]) -> None:
    """Write the ranks of both directions to the entities that asked. rows (P, 2)"""
    for side in (0, 1):
        column[rows[:, side]] = ranking[side].ranks.cpu().numpy()


def _frame(aligner: Aligner, columns: dict[str, np.ndarray]) -> pd.DataFrame:
    import pandas as pd

    graph, samples = aligner.graph, aligner.dataset.samples
    ids = np.array([sample.id for sample in samples], dtype=object)
    partner = [graph.partner(row) for row in range(len(samples))]
    best = columns.pop("best")
    frame = pd.DataFrame(
        {
            "id": ids,
            "side": graph.side,
            "kind": list(graph.kind) or [""] * len(samples),
            "name": [plain_name(sample) for sample in samples],
            "split": [graph.split_of(row) for row in range(len(samples))],
            "partner": ["" if row is None else ids[row] for row in partner],
            "best": ["" if np.isnan(row) else ids[int(row)] for row in best],
            "degree": graph.degree(),
            **columns,
        }
    )
    weights = aligner.weights.cpu().numpy()
    known = {m: aligner.batch.has(m).cpu().numpy() for m in aligner.modalities}
    more = {f"weight_{m}": weights[:, i] for i, m in enumerate(aligner.modalities)}
    more |= {f"known_{m}": there for m, there in known.items()}
    return pd.concat([frame, pd.DataFrame(more)], axis=1)


def _faithful(frame: pd.DataFrame, modality: str) -> Interval | None:
    """Does a weight say what its modality does: Spearman of weight and effect over the entities to test.

    Pairs are resampled whole. None where the weights are the same for all, or there is nothing to test.
    """
    tested = frame.loc[frame["split"] == "test", ["id", "partner", "side", f"weight_{modality}", f"effect_{modality}"]]
    if len(tested) < 3:
        return None
    pair = np.where(np.asarray(tested["side"]) == 0, tested["id"], tested["partner"]).astype(str)
    weight, effect = (np.asarray(tested[f"{kind}_{modality}"], np.float64) for kind in ("weight", "effect"))
    return spearman_interval(weight, effect, groups=pair)


def _reader(folder: Path, checkpoint: Checkpoint, dataset: DataSet) -> Callable[[], tuple[Tensor, tuple[int, ...]]]:
    """Joint vectors from a folder, or made again where they aren't there."""

    def read() -> tuple[Tensor, tuple[int, ...]]:
        kept = shelf.vectors(folder)
        if kept is not None and {"joint", "widths"} <= kept.keys():
            return kept["joint"], tuple(kept["widths"].tolist())
        aligner = Aligner.open(checkpoint, dataset)
        return aligner.tables["joint"], aligner.widths

    return read
