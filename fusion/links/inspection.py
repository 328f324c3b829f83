"""A checkpoint of link prediction at work on its data set: one question looked into, and what each branch answers.

Ranks are filtered: all known answers of a question but the one that is asked about are ranked nowhere. Tables of
entities are made once, when the checkpoint is opened; another picture or text changes the head's own rows alone.
N entities, R relations, K branches, D width.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fusion import checkpoints
from fusion.data import open_data
from fusion.data.graphs import SPLITS
from fusion.data.link_features import text_of
from fusion.data.triple_names import find_entity, find_relation
from fusion.device import best, exclusive
from fusion.encoders import image_encoder, text_encoder
from fusion.explain.subsets import one_removed
from fusion.files import inside
from fusion.links import removals
from fusion.links.inputs import FILE, STRUCTURE, asking, everything, read_features
from fusion.links.noticing import notices
from fusion.links.observed import ContextMap, LinkCandidate, LinkObservation
from fusion.metrics.ranking import filtered_ranks
from fusion.types import FusionError, Task, Text

if TYPE_CHECKING:
    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.data.graph_features import GraphFeatures, Progress
    from fusion.data.triples import Known, TripleSet
    from fusion.links.whole import LinkSet
    from fusion.models.base import FusionModel
    from fusion.signals import Effects
    from fusion.types import Batch, Image, Sample

SHOWN = 10  # candidates
RELATIONS = 256  # of which the singular values are kept
FUSED = removals.FUSED


@dataclass(frozen=True, eq=False)
class _Asked:
    """A question, its known answers, and what is read of its head."""

    head: int
    relation: int  # 0..2R-1
    tail: int | None
    sample: Sample
    batch: Batch
    tables: Mapping[str, Tensor]  # of all entities, the head's rows anew where its picture or text was replaced
    split_of: Mapping[int, str]  # row -> split, of every known answer


class Predictor:
    """A checkpoint of one graph with its data set; one forward pass at a time (`device.exclusive`)."""

    def __init__(self, checkpoint: Checkpoint, model: FusionModel, dataset: DataSet, features: GraphFeatures) -> None:
        self.checkpoint, self.dataset, self.features = checkpoint, dataset, features
        self.device = best()[0]
        self.model: Any = model.to(self.device)  # of every model of links: tables, contexts, scores, decide, weights
        self.modalities: tuple[str, ...] = tuple(m.name for m in model.modalities)
        self.branches: tuple[str, ...] = (*self.modalities, FUSED)
        plain = everything(dataset, features).to(self.device)
        with torch.inference_mode(), exclusive(checkpoint.digest):
            self.tables: dict[str, Tensor] = self.model.tables(plain)
            self.read: Tensor = self.model.read(plain)  # (K,) bool
        self.batch = replace(plain, pooled=self.tables)
        self._singular: dict[int, Mapping[str, Tensor]] = {}

    @classmethod
    def open(
        cls, checkpoint: Checkpoint, dataset: DataSet | None = None, progress: Progress | None = None
    ) -> Predictor:
        """Load a checkpoint and the features that it reads; the data set that it was trained on unless one is given.

        Raises FusionError when it predicts no links, or when its data isn't there or doesn't fit.
        """
        model = checkpoints.load(checkpoint)
        if model.task is not Task.LINKS:
            raise FusionError(f'"{checkpoint.name}" predicts no links; choose a checkpoint of IMF.')
        data = open_data(checkpoint.data) if dataset is None else dataset
        named = sorted({name.removeprefix(FILE) for name in checkpoint.encoders.values() if name.startswith(FILE)})
        files = [inside(checkpoint.folder, name) for name in named]
        return cls(checkpoint, model, data, read_features(checkpoint, data, files=files, progress=progress))

    @property
    def triples(self) -> TripleSet:
        """The triples of the data set."""
        assert self.dataset.triples is not None, "everything() takes nothing else"
        return self.dataset.triples

    @cached_property
    def answers(self) -> Known:
        """Every known answer, of all splits and both directions."""
        return self.triples.known()

    @property
    def decision(self) -> dict[str, float]:
        """{branch: its weight in the decision}, which sum to 1; 0 for one that isn't read."""
        return self._named(self.model.weights(self.read))

    def there(self, modality: str) -> np.ndarray:
        """Which entities really have a modality in what the checkpoint reads: pictures, or features from a file.

        -> (N,) bool
        """
        found: Tensor = self.model.inputs.has(self.batch, modality)
        return found.cpu().numpy()

    def has(self, row: int) -> dict[str, bool]:
        """{m: whether the entity really has it}, False where it is read as the mean."""
        return {m: bool(self.model.inputs.has(self.batch, m)[row]) for m in self.modalities}

    def inspect(
        self, head: str, relation: str | int, tail: str | None = None, *, image: Image | None = None,
        text: str | None = None,
    ) -> LinkObservation:  # fmt: skip
        """Ask for the tail of (head, relation, ?): candidates, what every branch says, and every subset of modalities.

        head and tail are ids or names; relation a name, "~name" for the relation read backwards, or its number of 2R.
        image, text: a picture, or a description, in the place of the head's own.
        Raises FusionError for an unknown entity or relation, or for a picture or text that can't be used.
        """
        started = time.perf_counter()
        row = find_entity(self.dataset, head)
        number = self.number(relation)
        told = None if tail is None else find_entity(self.dataset, tail)
        with torch.inference_mode(), exclusive(self.checkpoint.digest):
            asked = self._asked(row, number, told, image, text)
            encoded = time.perf_counter()
            made = self._observe(asked)
        done = time.perf_counter()
        seconds = {"encode": encoded - started, "model": done - encoded, "total": done - started}
        return LinkObservation(**made, seconds=seconds)

    def by_subset(
        self, head: str, relation: str | int, goal: str, *, image: Image | None = None, text: str | None = None
    ) -> Effects:
        """Rank of an entity as the answer and its chance, under every subset of the modalities of all entities.

        Other known answers are ranked nowhere. Raises FusionError as `inspect` does.
        """
        row, number, told = find_entity(self.dataset, head), self.number(relation), find_entity(self.dataset, goal)
        with torch.inference_mode(), exclusive(self.checkpoint.digest):
            asked = self._asked(row, number, told, image, text)
            scored = self._scored(asked)[1]
            known = [other for other in asked.split_of if other != told]
            leave_out = torch.tensor(known, dtype=torch.long, device=self.device)
            name = lambda at: self.dataset.samples[at].id  # noqa: E731
            return removals.effects(scored.chance, told, leave_out, self.modalities, name, "caveat.links_without")

    def whole(self, progress: Progress | None = None, *, bundled: bool = False) -> LinkSet:
        """Every held-out question, see `fusion.links.whole`."""
        from fusion.links.whole import whole

        return whole(self, progress, bundled=bundled)

    def number(self, relation: str | int) -> int:
        """0..2R-1 of a relation's name, of "~name" for the relation read backwards, or of a number.

        Raises FusionError for another one, or by name for one without a training triple.
        """
        count = len(self.triples.relations)
        if isinstance(relation, str):
            backwards = relation.startswith("~") and relation not in self.triples.relations
            return (find_relation(self.dataset, relation[backwards:]) + count * backwards) % (2 * count)
        if not 0 <= relation < 2 * count:
            raise FusionError(f"There is no relation number {relation}; there are 0 to {2 * count - 1}.")
        return relation

    def splits(self, head: int, relation: int) -> dict[int, str]:
        """{row: split of the triple} of every known answer; one that stands in several counts for the first."""
        triples, r = self.triples.triples, relation % len(self.triples.relations)
        near, far = (2, 0) if relation >= len(self.triples.relations) else (0, 2)
        rows = np.flatnonzero((triples[:, near] == head) & (triples[:, 1] == r))
        found: dict[int, str] = {}
        for at in rows[np.argsort(self.triples.split[rows], kind="stable")].tolist():
            found.setdefault(int(triples[at, far]), SPLITS[int(self.triples.split[at])])
        return found

    def _asked(self, head: int, relation: int, tail: int | None, image: Image | None, text: str | None) -> _Asked:
        split_of = self.splits(head, relation)
        if tail is None:
            held = [row for name in ("test", "valid") for row, split in split_of.items() if split == name]
            tail = held[0] if held else None
        sample, batch, tables = self.dataset.samples[head], self.batch, self.tables
        if image is not None or text is not None:
            sample, batch, tables = self._replaced(head, image, text)
        return _Asked(head, relation, tail, sample, batch, tables, split_of)

    def _replaced(self, head: int, image: Image | None, text: str | None) -> tuple[Sample, Batch, Mapping[str, Tensor]]:
        """The head with another picture or description, and the tables with its new rows."""
        sample, own = self.dataset.samples[head], {m: self.features.features[m][head] for m in self.features.features}
        known = {m: self.features.known[m][head].item() for m in own}
        if image is not None:
            encoder = image_encoder(self._source("image", "picture"), self.checkpoint.folder)
            own["image"], known["image"] = encoder.encode([image.open()]).pooled[0].float().cpu(), True
            sample = replace(sample, parts={**sample.parts, "image": image})
        if text is not None:
            if not text.strip():
                raise FusionError("The description is empty; write what the entity is, or leave it out.")
            sample = replace(sample, parts={**sample.parts, "description": Text(text)})
            reader = text_encoder(self._source("text", "text"), self.checkpoint.folder)
            own["text"], known["text"] = reader.encode([text_of(sample)]).pooled[0].float().cpu(), True
        there = {m: F.normalize(own[m], dim=0).to(self.device) for m in own if known[m]}
        rows = removals.single(self.model, self.batch, there)
        rows[STRUCTURE] = self.tables[STRUCTURE][head]
        rows[FUSED] = self.model.fuse_entities([rows[m][None] for m in self.modalities])[0]
        changed = dict(self.tables)
        for branch in self.branches:
            changed[branch] = self.tables[branch].clone()
            changed[branch][head] = rows[branch]
        present = self.batch.present.clone()
        present[head] = torch.tensor([known.get(m, bool(self.batch.has(m)[head])) for m in self.batch.modalities])
        return sample, replace(self.batch, pooled=changed, present=present), changed

    def _source(self, modality: str, what: str) -> str:
        """The encoder that a new picture or text goes through. Raises FusionError where there is none."""
        source = self.checkpoint.encoders.get(modality)
        if source is None or source.startswith(FILE) or not self.model.config.freeze_features:
            why = "reads features that another program made"
            if not self.model.config.freeze_features:
                why = f"learned a row of its own for every {what}"
            elif source is None:
                why = f"reads no {what}s"
            raise FusionError(f'"{self.checkpoint.name}" {why}, so another {what} can\'t be put in; leave it out.')
        return source

    @cached_property
    def _removed(self) -> removals.Removed:
        return removals.Removed.of(self.model, replace(self.batch, pooled={}), self.tables, self.modalities)

    def _observe(self, asked: _Asked) -> dict[str, Any]:  # fields of the observation
        samples, tail = self.dataset.samples, asked.tail
        looked_for, scored = self._scored(asked)
        list_of = _Places(scored.head[0], scored.head_chance[0], [row for row in asked.split_of if row != tail])
        found = list_of.best(SHOWN)
        told = tail if tail is not None else found[0]
        shown = found if tail is None or tail in found else [*found, tail]
        candidates = [self._candidate(asked, list_of, row) for row in shown]
        others = sorted((row for row in asked.split_of if row != tail), key=lambda row: -float(list_of.chance[row]))
        at_tail = next((one for one in candidates if one.row == tail), None)
        ask = torch.tensor([[asked.head, asked.relation, told]], device=self.device)
        name = lambda row: samples[row].id  # noqa: E731
        drops = [
            removals.effects(chance, told, list_of.leave_out, self.modalities, name, caveat)
            for chance, caveat in ((scored.chance, "caveat.links_without"), (scored.head_chance, "caveat.head_without"))
        ]
        together = removals.together(scored.fused, told, self.modalities)
        by = {} if at_tail is None else dict(at_tail.ranks)
        rank = None if at_tail is None else at_tail.rank
        name_of, backwards = self.triples.relation(asked.relation)
        trace = self.model(asking(asked.batch, ask), trace=True).trace.cpu()
        return {
            "head": asked.sample, "relation": asked.relation, "relation_name": name_of, "reversed": backwards,
            "tail": None if tail is None else samples[tail], "told": samples[told],
            "split": "" if tail is None else asked.split_of.get(tail, ""), "checkpoint": self.checkpoint.name,
            "trace": trace.plus(one_removed(drops[0], len(self.modalities)), drops[0]),
            "candidates": tuple(candidates),
            "others": tuple(self._candidate(asked, list_of, row) for row in others[:SHOWN]),
            "rank": rank, "rank_by": by, "among": len(samples) - len(list_of.leave_out),
            "votes": {k: name(list_of.first(i)) for i, k in enumerate(self.branches) if self.read[i]},
            "decision": self.decision,
            "raised": tuple(k for k, place in by.items() if rank is not None and place < rank),
            "lowered": tuple(k for k, place in by.items() if rank is not None and place > rank),
            "interaction": removals.shares(together), "interaction_logits": together,
            "context": self._context(asked, looked_for), "drop": drops[0], "drop_head": drops[1],
            "shapley": removals.worth(drops[0], self.modalities),
            "imputed": {m: not there for m, there in self._has(asked, asked.head).items()},
            "told_imputed": {m: not there for m, there in self._has(asked, told).items()},
            "notices": notices(self, asked.head, asked.relation, tail, self._has(asked, asked.head), asked.split_of),
        }  # fmt: skip

    def _scored(self, asked: _Asked) -> tuple[dict[str, Tensor], removals.Scored]:
        """What is looked for, {branch: (S, D)}, and every entity as the answer, under every subset."""
        own = {m: asked.tables[m][asked.head] for m in self.modalities}
        heads = self._removed.heads(self.model, own, self.modalities)
        relations = {name: table for name, table in self.tables.items() if name.startswith("relation_")}
        query = torch.tensor([[at, asked.relation] for at in range(len(heads[FUSED]))], device=self.device)
        looked_for: dict[str, Tensor] = self.model.contexts({**heads, **relations}, query)
        return looked_for, removals.scored(
            self.model, asked.tables, self._removed, looked_for, self.read, self.modalities
        )

    def _has(self, asked: _Asked, row: int) -> dict[str, bool]:
        return {m: bool(self.model.inputs.has(asked.batch, m)[row]) for m in self.modalities}

    def _candidate(self, asked: _Asked, places: _Places, row: int) -> LinkCandidate:
        logits = places.logits[:, row]
        parts = self.model.weights(self.read) * logits.sigmoid()
        ranks = places.ranks(row)
        return LinkCandidate(
            row, self.dataset.samples[row].id, float(places.chance[row]), ranks[-1], self._named(logits),
            dict(zip(self.branches, ranks[:-1], strict=True)), self._named(parts / parts.sum().clamp(min=1e-30)),
            asked.split_of.get(row, ""),
        )  # fmt: skip

    def _named(self, values: Tensor) -> dict[str, float]:
        return dict(zip(self.branches, values.tolist(), strict=True))

    def _context(self, asked: _Asked, looked_for: Mapping[str, Tensor]) -> dict[str, ContextMap]:
        if asked.relation not in self._singular:
            if len(self._singular) >= RELATIONS:
                self._singular.pop(next(iter(self._singular)))
            rows = {k: self.tables[f"relation_{k}"][asked.relation][None] for k in self.branches}
            found = {k: self.model.context[k].maps(rows[k])[0] for k in self.branches}
            self._singular[asked.relation] = {k: torch.linalg.svdvals(one).cpu() for k, one in found.items()}
        return {
            k: ContextMap(values, float(F.cosine_similarity(asked.tables[k][asked.head], looked_for[k][0], dim=0)))
            for k, values in self._singular[asked.relation].items()
        }


class _Places:
    """Where entities stand in the answer to one question; some known answers stand nowhere."""

    def __init__(self, logits: Tensor, chance: Tensor, leave_out: Sequence[int]) -> None:
        self.logits, self.chance = logits, chance  # (K, N), (N,)
        self.leave_out = torch.tensor(leave_out, dtype=torch.long, device=chance.device)
        self.scores = torch.cat((logits, chance[None])).index_fill(1, self.leave_out, -torch.inf)

    def best(self, count: int) -> list[int]:
        """Rows of the highest chance, best first."""
        there = len(self.chance) - len(self.leave_out)
        return self.scores[-1].topk(min(count, there)).indices.tolist()

    def first(self, branch: int) -> int:
        """Whom a branch alone puts first."""
        return int(self.scores[branch].argmax())

    def ranks(self, row: int) -> list[int]:
        """Place of an entity, left out or not, by every branch and then by the decision; a tie counts half."""
        scores = self.scores
        if torch.isinf(scores[-1, row]):
            own = torch.cat((self.logits[:, row], self.chance[row][None]))
            scores = scores.index_copy(1, self.leave_out.new_tensor([row]), own[:, None])
        nobody = self.leave_out[:0]
        found = filtered_ranks(scores, self.leave_out.new_full((len(scores),), row), nobody, nobody)
        return [math.ceil(place) for place in found.tolist()]
