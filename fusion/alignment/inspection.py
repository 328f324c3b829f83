"""A graph checkpoint at work on its data set: one entity looked into, its candidates, and what each modality says.

Ranks are counted among the partners of the links of the entity's own split, as in the figures of a checkpoint; an
entity without a link is ranked among the whole other graph. The graph encoder runs once, when the checkpoint is opened:
another picture changes an entity's own vector, weights and ranks, and nothing else.
N entities, M modalities, K candidates.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fusion import checkpoints
from fusion.alignment import scoring
from fusion.alignment.inputs import asking, everything, read_features
from fusion.alignment.observed import Candidate, EntityObservation
from fusion.alignment.removals import by_subset, worth
from fusion.data import open_data
from fusion.device import best, exclusive
from fusion.encoders import image_encoder
from fusion.explain.subsets import one_removed
from fusion.files import inside
from fusion.inference import Notice
from fusion.models.entities import ROWS
from fusion.signals import ModalityWeights
from fusion.types import FusionError, Task

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.data.graph_features import GraphFeatures, Progress
    from fusion.data.graphs import GraphSet
    from fusion.models.base import FusionModel
    from fusion.signals import Effects, FusionOutput
    from fusion.types import Batch, Image, Sample

SHOWN = 10  # candidates
FILE = "file:"  # an encoder of this name is a feature file inside the checkpoint
POOLED = ("graph", "scores")  # tables that no change of an entity's own features touches


@dataclass(frozen=True, eq=False)
class Pool:
    """Whom an entity is ranked among, and who else asks for them."""

    rows: Tensor  # (K,) int, candidates
    place: Mapping[int, int]  # row -> where it is among them
    askers: Mapping[int, int]  # row -> which query it is
    near: tuple[Tensor, Tensor] | None  # of `scoring.crowding`; None: ranked by the plain cosine


@dataclass(frozen=True, eq=False)
class _Seen:
    """One entity as it is asked about, perhaps with another picture."""

    row: int
    sample: Sample
    batch: Batch
    joint: Tensor  # (D,) of length 1
    replaced: bool


class Aligner:
    """A checkpoint of two graphs with its data set; one forward pass at a time (`device.exclusive`)."""

    def __init__(self, checkpoint: Checkpoint, model: FusionModel, dataset: DataSet, features: GraphFeatures) -> None:
        self.checkpoint, self.dataset, self.features = checkpoint, dataset, features
        self.device = best()[0]
        self.model = model.to(self.device)
        self.modalities: tuple[str, ...] = model.config.modalities
        self.widths: tuple[int, ...] = model.config.out_widths()
        plain = everything(dataset, features).to(self.device)
        with torch.inference_mode(), exclusive(checkpoint.digest):
            self.tables: dict[str, Tensor] = model.tables(plain)  # type: ignore[operator]  # of every entity model
        self.batch = replace(plain, pooled=self.tables)
        self.lengths = scoring.lengths(self.tables["joint"], self.widths)  # (N, M)
        self._pools: dict[tuple[int, str], Pool] = {}
        self._recomputed: dict[tuple[tuple[str, ...], int, int, int], Tensor] = {}

    @classmethod
    def open(cls, checkpoint: Checkpoint, dataset: DataSet | None = None, progress: Progress | None = None) -> Aligner:
        """Load a checkpoint and the features that it reads; the data set that it was trained on unless one is given.

        Raises FusionError when it aligns nothing, or when its data isn't there or doesn't fit.
        """
        model = checkpoints.load(checkpoint)
        if model.task is not Task.ALIGNMENT:
            raise FusionError(f'"{checkpoint.name}" aligns no entities; choose a checkpoint of MCLEA or MEAformer.')
        data = open_data(checkpoint.data) if dataset is None else dataset
        named = sorted({name.removeprefix(FILE) for name in checkpoint.encoders.values() if name.startswith(FILE)})
        files = [inside(checkpoint.folder, name) for name in named]
        return cls(checkpoint, model, data, read_features(checkpoint, data, files=files, progress=progress))

    @property
    def graph(self) -> GraphSet:
        """The graphs of the data set."""
        assert self.dataset.graph is not None, "read_features takes nothing else"
        return self.dataset.graph

    @property
    def weights(self) -> Tensor:
        """Weight of each modality of each entity. -> (N, M)"""
        if self.weighs:
            return self.tables["meta_weight"]
        shared: Tensor = self.model.weights()[: len(self.modalities)]  # type: ignore[operator]  # one for all
        return shared.expand(len(self.dataset), -1)

    @property
    def weighs(self) -> bool:
        """Whether each entity's weights depend on what it has, so that they can be made anew without a modality."""
        return "meta_weight" in self.tables

    def known(self, row: int) -> dict[str, bool]:
        """{m: whether the entity really has it}, False where it was filled in or is empty."""
        return {m: bool(self.batch.has(m)[row]) for m in self.modalities}

    @cached_property
    def band(self) -> dict[str, tuple[float, float, float]]:
        """{m: the tenth percentile, median and ninetieth percentile of its weight over all entities}"""
        found = torch.quantile(self.weights.float(), torch.tensor([0.1, 0.5, 0.9], device=self.device), dim=0)  # (3, M)
        return {m: tuple(found[:, i].tolist()) for i, m in enumerate(self.modalities)}  # type: ignore[misc]  # three

    def inspect(
        self, id: str, *, image: Image | None = None, against: str | None = None, recomputed: bool = False
    ) -> EntityObservation:
        """Look into one entity: its candidates, weights, ranks, and every subset of its modalities.

        image: a picture in the place of its own; against: id of the entity of the other graph to compare it with,
        instead of its partner (or, without a link, of its best candidate). recomputed: make the weights anew under each
        subset, with all entities lacking the same modalities, instead of keeping them; slow the first time, and the
        same for a model with one weight for all.
        Raises FusionError for unknown ids, two entities of one graph, or a picture that can't be used.
        """
        started = time.perf_counter()
        row = self._row(id)
        other = None if against is None else self._across(row, against)
        with torch.inference_mode(), exclusive(self.checkpoint.digest):
            seen = self._seen(row, image)
            encoded = time.perf_counter()
            made = self._observe(seen, other, recomputed)
        done = time.perf_counter()
        seconds = {"encode": encoded - started, "model": done - encoded, "total": done - started}
        return EntityObservation(**made, seconds=seconds)

    def by_subset(self, id: str, goal: str, image: Image | None = None) -> Effects:
        """Rank of an entity of the other graph and its joint cosine, under every subset of an entity's modalities.

        Weights of what is left stay in proportion. Raises FusionError as `inspect` does.
        """
        row = self._row(id)
        other = self._across(row, goal)
        with torch.inference_mode(), exclusive(self.checkpoint.digest):
            seen, pool = self._seen(row, image), self.pool(row)
            return self._drop(seen, pool, scoring.parts(seen.joint, self._facing(row), self.widths), other, False)

    def pool(self, row: int) -> Pool:
        """Whom an entity is ranked among; made once for each graph and split."""
        side, split = int(self.graph.side[row]), self.graph.split_of(row)
        if (side, split) not in self._pools:
            self._pools[side, split] = self._pool(side, split)
        return self._pools[side, split]

    def _pool(self, side: int, split: str) -> Pool:
        joint = self.tables["joint"]
        if not split:
            rows = torch.from_numpy(self.graph.rows(1 - side)).long().to(self.device)
            return Pool(rows, _places(rows), {}, None)
        pairs = torch.from_numpy(self.graph.pairs(split)).long().to(self.device)
        askers, rows = pairs[:, side], pairs[:, 1 - side]
        return Pool(rows, _places(rows), _places(askers), scoring.crowding(joint[askers], joint[rows]))

    def _row(self, id: str) -> int:
        self.dataset.get(id)
        return self.dataset.index[id]

    def _across(self, row: int, against: str) -> int:
        other = self._row(against)
        if self.graph.side[row] == self.graph.side[other]:
            where = self.graph.titles[int(self.graph.side[row])]
            raise FusionError(
                f'"{self.dataset.samples[row].id}" and "{against[:80]}" are both of the graph "{where}"; compare an '
                "entity with one of the other graph."
            )
        return other

    def _seen(self, row: int, image: Image | None) -> _Seen:
        sample = self.dataset.samples[row]
        if image is None:
            return _Seen(row, sample, self.batch, self.tables["joint"][row], False)
        source = self.checkpoint.encoders.get("image")
        if "image" not in self.modalities or source is None or source.startswith(FILE):
            reads = (
                "reads no pictures" if "image" not in self.modalities else "reads features that another program made"
            )
            raise FusionError(f'"{self.checkpoint.name}" {reads}, so a picture can\'t be put in; leave it out.')
        vector = image_encoder(source, self.checkpoint.folder).encode([image.open()]).pooled[0].float().cpu()
        changed = self.features.replaced("image", row, vector)
        present = self.batch.present.clone()
        present[row, self.batch.modalities.index("image")] = True
        table = changed.features["image"].to(self.device)
        batch = replace(self.batch, features={**self.batch.features, "image": table}, present=present)
        own = self._run(batch, torch.tensor([[row]])).fused[0]
        return _Seen(row, replace(sample, parts={**sample.parts, "image": image}), batch, own, True)

    def _run(self, batch: Batch, query: Tensor, *, trace: bool = False) -> FusionOutput:
        output: FusionOutput = self.model(asking(batch, query.to(self.device)), trace=trace)
        return output

    def _observe(self, seen: _Seen, other: int | None, recomputed: bool) -> dict[str, Any]:  # fields of the observation
        row, pool, samples = seen.row, self.pool(seen.row), self.dataset.samples
        own = scoring.lengths(seen.joint, self.widths)
        everyone = scoring.parts(seen.joint, self._facing(row), self.widths)  # (n, M), all of the other graph
        made, lengths = everyone[self._among(row, pool.rows)], self.lengths[pool.rows]
        joint, cosines = made.sum(1), scoring.cosines(made, own, lengths)
        scores = joint if pool.near is None else scoring.csls(joint, pool.near, pool.askers.get(row, -1))
        top = scores.topk(min(SHOWN, len(scores))).indices
        partner = self.graph.partner(row)
        shown = other if other is not None else partner if partner is not None else int(pool.rows[top[0]])
        trace = self._run(seen.batch, torch.tensor([[row, shown]]), trace=True).trace.cpu()
        weights, facing = _weights(trace.of(ModalityWeights), self.modalities)
        drop = self._drop(seen, pool, everyone, shown if partner is None else partner, recomputed)
        ranks: dict[str, Any] = {"rank": None, "rank_overall": None, "rank_by": {}, "shapley": {}}
        if partner is not None:
            at = pool.place[partner]
            ranks = {
                "rank": int(scoring.ranks(scores, at)),
                "rank_overall": int(scoring.ranks(everyone.sum(1), int(self._among(row, partner)))),
                "rank_by": dict(zip(self.modalities, scoring.ranks(cosines, at).tolist(), strict=True)),
                "shapley": worth(drop, self.modalities),
            }
        return ranks | {
            "sample": seen.sample, "partner": None if partner is None else samples[partner], "other": samples[shown],
            "checkpoint": self.checkpoint.name,
            "trace": trace.plus(one_removed(drop, len(self.modalities)), drop),
            "candidates": self._candidates(seen, pool.rows[top], scores[top], made[top], cosines[top]),
            "among": len(pool.rows), "among_all": len(everyone),
            "votes": {
                m: samples[int(pool.rows[int(cosines[:, i].argmax())])].id
                for i, m in enumerate(self.modalities) if float(own[i]) > 0
            },
            "weights": weights, "other_weights": facing, "band": self.band, "drop": drop,
            "recomputed": recomputed and self.weighs,
            "imputed": {m: not there for m, there in self._known(seen).items()},
            "other_imputed": {m: not there for m, there in self.known(shown).items()},
            "notices": self._notices(seen, partner),
        }  # fmt: skip

    def _drop(self, seen: _Seen, pool: Pool, everyone: Tensor, goal: int, recomputed: bool) -> Effects:
        """Every subset of the modalities, for the partner or whom the entity is compared with."""
        rows, at = pool.rows, pool.place.get(goal)
        if at is None:  # someone from outside is compared: one more candidate
            rows, at = torch.cat((rows, rows.new_tensor([goal]))), len(rows)
        return by_subset(
            everyone[self._among(seen.row, rows)], scoring.lengths(seen.joint, self.widths), self.lengths[rows],
            self.modalities, at, lambda place: plain_name(self.dataset.samples[int(rows[place])]),
            (lambda subset: self._under(seen, subset, rows)) if recomputed and self.weighs else None,
        )  # fmt: skip

    def _under(self, seen: _Seen, subset: tuple[str, ...], rows: Tensor) -> tuple[Tensor, Tensor]:
        """Lengths of the blocks when all entities have a subset of the modalities alone. -> own (M,), (K, M) of rows"""
        batch = seen.batch
        for m in self.modalities:
            batch = batch if m in subset else batch.without(m)
        batch = replace(batch, pooled={name: self.tables[name] for name in POOLED if name in self.tables})
        key = subset, int(rows[0]), int(rows[-1]), len(rows)  # ends of a pool and its length tell it from the others
        if key not in self._recomputed:
            self._recomputed[key] = torch.cat([self._lengths(batch, some) for some in rows.split(ROWS)])
        return self._lengths(batch, rows.new_tensor([seen.row]))[0], self._recomputed[key]

    def _lengths(self, batch: Batch, rows: Tensor) -> Tensor:
        """Of a model whose weights depend on what else there is. rows (n,) -> (n, M)"""
        made = self.model.fused(batch, rows[:, None])  # type: ignore[operator]  # has it where it has meta weights
        return scoring.lengths(made["joint"][:, 0], self.widths)

    def _known(self, seen: _Seen) -> dict[str, bool]:
        return {m: bool(seen.batch.has(m)[seen.row]) for m in self.modalities}

    def _facing(self, row: int) -> Tensor:
        """Joint vectors of the other graph, without copying them where they lie together. -> (n, D)"""
        rows = self.graph.rows(1 - int(self.graph.side[row]))
        first, last = int(rows[0]), int(rows[-1])
        if last - first + 1 == len(rows):
            return self.tables["joint"][first : last + 1]
        return self.tables["joint"][torch.from_numpy(rows).to(self.device)]

    def _among(self, row: int, entities: Tensor | int) -> Any:  # Any: an index as wide as `entities`
        """Where entities of the other graph are in `_facing`."""
        side = torch.from_numpy(self.graph.side).to(self.device) == 1 - int(self.graph.side[row])
        return side.cumsum(0)[entities] - 1

    def _candidates(
        self, seen: _Seen, rows: Tensor, scores: Tensor, made: Tensor, cosines: Tensor
    ) -> tuple[Candidate, ...]:
        """The best ones, with exact parts of their joint cosine. rows and scores (k,), made and cosines (k, M)"""
        late: list[dict[str, float]] = [{} for _ in rows]
        if self.weighs:
            found = self.model.fused(seen.batch, torch.cat((rows.new_tensor([seen.row]), rows))[:, None])  # type: ignore[operator]
            after = torch.stack([found[f"late/{m}"][:, 0] for m in self.modalities], 1)  # (1 + k, M, D)
            late = [self._named(one) for one in (after[1:] * after[:1]).sum(-1)]
        return tuple(
            Candidate(
                self.dataset.samples[int(row)].id,
                float(scores[at]),
                float(made[at].sum()),
                self._named(cosines[at]),
                late[at],
                self._named(made[at]),
            )
            for at, row in enumerate(rows)
        )

    def _named(self, values: Tensor) -> dict[str, float]:
        return dict(zip(self.modalities, values.tolist(), strict=True))

    def _notices(self, seen: _Seen, partner: int | None) -> tuple[Notice, ...]:
        notes = []
        lacking = [m for m, there in self._known(seen).items() if not there]
        if lacking:
            read = self.model.config.missing == "imputed"
            notes.append(Notice("notice.imputed" if read else "notice.masked", {"modalities": tuple(lacking)}))
        if partner is None:
            notes.append(Notice("notice.unlinked", {}))
        elif self.graph.split_of(seen.row) == "train":
            notes.append(Notice("notice.trained", {}))
        return tuple(notes)


def plain_name(sample: Sample) -> str:
    """What a reader calls an entity."""
    return sample.called()


def _places(rows: Tensor) -> dict[int, int]:
    return {row: at for at, row in enumerate(rows.tolist())}


def _weights(
    signals: Sequence[ModalityWeights], modalities: Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Weights of the entity and of the other one; one signal is for both."""
    named = [dict(zip(s.modalities, s.value[0].tolist(), strict=True)) for s in signals]
    both = [{m: one[m] for m in modalities} for one in named]
    return both[0], both[-1]
