"""Every held-out question through a checkpoint of link prediction: one row a question, and the rows of the entities.

Ranks are filtered and counted in chunks as in a checkpoint's figures; no table of all entities by all entities is made.
Kept by content (weights, data) below the user's folder, or beside a bundled checkpoint for the bundled data.
N entities, Q questions, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from fusion import shelf
from fusion.links.evaluation import WHOLE, subsets
from fusion.links.inputs import ranker_of
from fusion.links.inspection import FUSED, Predictor
from fusion.links.ranking import ranked
from fusion.metrics.intervals import bootstrap, paired_bootstrap
from fusion.types import FusionError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.links.ranking import Block

KEPT_AS = "links 1"  # kind and version of what is kept
PARTS = ("test", "valid")
PAIRS = (("structure", "image"), ("structure", "text"), ("image", "text"))
Progress = Callable[[int, int], None]
Vectors = dict[str, Tensor]  # {branch: (N, D)}


@dataclass(frozen=True, eq=False)
class LinkSet:
    """All questions of the test and the valid split, tails asked and heads asked.

    Columns of the frame: id ("head|relation|tail" of ids, "~" before a relation read backwards), head, relation (0 to
    2R - 1), relation_name, reversed, tail (ids), name and tail_name, split, direction (tail or head, which is asked of
    the triple as it stands), rank (of the tail by the decision) and rank_<branch>, where a tie counts half, score (the
    tail's chance), best and best_name (whom the model answers with, other known answers apart), best_score, copied (one
    end's name stands in the other's), clean (no other split gives the triple away), popularity (training triples of the
    tail that lead to another entity), kind and tail_kind.
    """

    data: str
    checkpoint: str
    branches: tuple[str, ...]  # "fused" is the branch of the product, not the decision
    decision: Mapping[str, float]  # {branch: its weight}
    frame: pd.DataFrame
    _vectors: Callable[[], Vectors] = field(repr=False)

    def vectors(self, branch: str) -> np.ndarray:
        """Unit rows of all entities in a branch, in the order of the data set. -> (N, D) float32

        Raises FusionError for another branch.
        """
        if branch not in self.branches:
            raise FusionError(f'There is no branch "{branch[:40]}"; there are {", ".join(self.branches)}.')
        return torch.nn.functional.normalize(self._loaded[branch].float(), dim=1).cpu().numpy()

    @property
    def alignment(self) -> np.ndarray:
        """Cosines of each entity's rows between modalities, in the order of PAIRS. -> (N, 3) float32"""
        rows = {m: self.vectors(m) for m in self.branches if m != FUSED}
        return np.stack([(rows[a] * rows[b]).sum(1) for a, b in PAIRS], 1)

    @cached_property
    def _loaded(self) -> Vectors:
        return self._vectors()

    def by_relation(self, split: str = "test", *, directions: bool = True) -> pd.DataFrame:
        """Mean reciprocal ranks by relation and branch, the most asked relation first.

        directions: tails and heads apart. Columns: relation (0..2R-1, or 0..R-1), relation_name, reversed, n, mrr of
        the decision with low and high (95 %, over questions), mrr_<branch>, best_branch, gain (mrr less that of the
        best branch, chosen on the same questions, so a little low) with gain_low and gain_high.
        """
        import pandas as pd

        frame = self.frame.loc[self.frame["split"] == split, :]
        count = self._relations
        number = np.asarray(frame["relation"]) % (2 * count if directions else count)
        back = {f"mrr_{k}": 1 / np.asarray(frame[f"rank_{k}"], np.float64) for k in self.branches}
        decided = 1 / np.asarray(frame["rank"], np.float64)
        names = dict(zip(frame["relation"] % count, frame["relation_name"], strict=True))
        rows = []
        for relation in np.unique(number).tolist():
            mask = number == relation
            means = {name: float(values[mask].mean()) for name, values in back.items()}
            best = max(means, key=lambda name: means[name])
            mrr, gain = bootstrap(decided[mask]), paired_bootstrap(decided[mask], back[best][mask])
            rows.append({
                "relation": relation, "relation_name": names[relation % count], "reversed": relation >= count,
                "n": int(mask.sum()), "mrr": mrr.value, "low": mrr.low, "high": mrr.high, **means,
                "best_branch": best.removeprefix("mrr_"), "gain": gain.value, "gain_low": gain.low,
                "gain_high": gain.high,
            })  # fmt: skip
        return pd.DataFrame(rows).sort_values("n", ascending=False, kind="stable", ignore_index=True)

    @property
    def _relations(self) -> int:
        """R: backwards relations are numbered from there on."""
        backwards = self.frame.loc[self.frame["direction"] == "head", "relation"]
        forwards = self.frame.loc[self.frame["direction"] == "tail", "relation"]
        return int(backwards.to_numpy()[0] - forwards.to_numpy()[0])  # the first of both are one triple


def stored(checkpoint: Checkpoint, dataset: DataSet) -> LinkSet | None:
    """What was computed before for this checkpoint and data, None when it wasn't (or was for other content)."""
    for folder, meta, frame in shelf.found(KEPT_AS, checkpoint, dataset):
        try:
            branches = tuple(meta["decision"])
            decision = {k: float(meta["decision"][k]) for k in branches}
        except (KeyError, TypeError, ValueError):  # changed by hand: it is made again
            continue
        read = _reader(folder, checkpoint, dataset, branches)
        return LinkSet(dataset.key, checkpoint.name, branches, decision, frame, read)
    return None


def whole(predictor: Predictor, progress: Progress | None = None, *, bundled: bool = False) -> LinkSet:
    """Every held-out question, and keep what came out; what was kept before is returned at once.

    progress: called with the questions done and their number. bundled: keep it beside the checkpoint instead of in the
    user's folder, without vectors. Raises FusionError when nothing is held out.
    """
    before = stored(predictor.checkpoint, predictor.dataset)
    if before is not None and not bundled:
        return before
    asked = {name: predictor.triples.queries(name) for name in PARTS}
    if not sum(map(len, asked.values())):
        raise FusionError(f'"{predictor.dataset.name}" has no triples to test on; split it.')
    frame = _frame(predictor, asked, _answers(predictor, np.concatenate(list(asked.values())), progress))
    decision, branches = predictor.decision, predictor.branches
    tables = {k: predictor.tables[k] for k in branches}
    kept = {k: table.half() for k, table in tables.items()}
    shelf.put(KEPT_AS, predictor.checkpoint, predictor.dataset, frame, {"decision": decision}, kept, bundled=bundled)
    return LinkSet(predictor.dataset.key, predictor.checkpoint.name, branches, decision, frame, lambda: tables)


class _Ready:
    """A predictor as `ranked` wants it: its tables are there already."""

    def __init__(self, predictor: Predictor) -> None:
        self.columns, self.predictor = (*predictor.branches, WHOLE), predictor
        self.count = len(predictor.dataset)

    def ranker(self, asked: Tensor | None = None) -> Callable[[Tensor], Block]:
        """See `fusion.links.inputs.ranker_of`."""
        return ranker_of(self.predictor.model, self.predictor.batch, asked)


def _answers(predictor: Predictor, asked: np.ndarray, progress: Progress | None) -> dict[str, np.ndarray]:
    """Ranks by every branch and the decision, the tail's chance, whom the model answers with, and that one's chance.

    asked (Q, 3) -> {column: (Q,)}
    """
    chance, highest, best = np.zeros(len(asked), np.float32), np.full(len(asked), -np.inf, np.float32), asked[:, 2] * 0
    done = 0

    def look(rows: np.ndarray, start: int, decided: Tensor) -> None:
        nonlocal done
        tail = asked[rows, 2] - start
        here = np.flatnonzero((tail >= 0) & (tail < len(decided)))
        chance[rows[here]] = decided[tail[here], here].cpu().numpy()
        value, place = (one.cpu().numpy() for one in decided.max(0))
        better = value > highest[rows]
        highest[rows[better]], best[rows[better]] = value[better], place[better] + start
        done += len(here)
        if progress is not None and len(here):
            progress(done, len(asked))

    ranks = ranked(_Ready(predictor), asked, predictor.answers, look).astype(np.float32)
    columns = {f"rank_{k}": ranks[:, i] for i, k in enumerate(predictor.branches)}
    return {"rank": ranks[:, -1], **columns, "score": chance, "best": best, "best_score": highest}


def _frame(predictor: Predictor, asked: Mapping[str, np.ndarray], columns: dict[str, np.ndarray]) -> pd.DataFrame:
    import pandas as pd

    samples, triples = predictor.dataset.samples, predictor.triples
    ids = np.array([sample.id for sample in samples], dtype=object)
    names = np.array([sample.called() for sample in samples], dtype=object)
    kinds = np.array(triples.kind or [""] * len(samples), dtype=object)
    head, relation, tail = np.concatenate(list(asked.values())).T
    count = len(triples.relations)
    relations = np.array(triples.relations, dtype=object)[relation % count]
    split = np.repeat(list(asked), [len(rows) for rows in asked.values()])
    marks = np.where(relation >= count, "~", "")
    id = pd.Series([f"{a}|{mark}{r}|{b}" for a, mark, r, b in zip(ids[head], marks, relations, ids[tail], strict=True)])
    again = id.duplicated().to_numpy()
    id[again] += "|" + pd.Series(split)[again]  # a triple may stand in both splits
    best = columns.pop("best")
    twice = [np.tile(mask, 2) for mask in _own(predictor.dataset, "clean")]
    said = [~np.tile(mask, 2) for mask in _own(predictor.dataset, "own words")]
    return pd.DataFrame({
        "id": id, "head": ids[head], "relation": relation, "relation_name": relations, "reversed": relation >= count,
        "tail": ids[tail], "name": names[head], "tail_name": names[tail], "split": split,
        "direction": np.where(relation >= count, "head", "tail"), **columns, "best": ids[best],
        "best_name": names[best], "copied": np.concatenate(said) if said else False, "clean": np.concatenate(twice),
        "popularity": triples.degree()[tail],
        "kind": kinds[head], "tail_kind": kinds[tail],
    })  # fmt: skip


def _own(dataset: DataSet, subset: str) -> list[np.ndarray]:
    """A subset of the figures for each split; nothing where the data has none."""
    found = [subsets(dataset, split) for split in PARTS]
    return [one[subset] for one in found if subset in one]


def _reader(folder: Path, checkpoint: Checkpoint, dataset: DataSet, branches: tuple[str, ...]) -> Callable[[], Vectors]:
    """Rows of the entities from a folder, or made again where they aren't there."""

    def read() -> Vectors:
        kept = shelf.vectors(folder)
        if kept is not None and kept.keys() >= set(branches):
            return kept
        tables = Predictor.open(checkpoint, dataset).tables
        return {k: tables[k] for k in branches}

    return read
