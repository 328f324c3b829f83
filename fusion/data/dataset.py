"""What a data set is to the rest of the program: its samples, and what was wrong with the rows that are not there."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fusion.data.graph_files import label
from fusion.data.graphs import SPLITS, GraphSet
from fusion.data.streams import StreamSet
from fusion.data.triples import TripleSet
from fusion.files import digest
from fusion.types import FusionError, Sample, Text

DataKind = Literal["pairs", "graph", "triples", "streams"]


@dataclass(frozen=True)
class DataSet:
    """Samples in their order, with ids that differ.

    `key` is safe in a file name; `spec` is what `open_data` takes to open it again. With a `graph` or `triples`, a
    sample is an entity, and its row there is the same; a part of the set has neither. The rows of `streams` are those
    of the samples too, in a part of the set as well.
    """

    key: str
    name: str
    samples: tuple[Sample, ...]
    problems: tuple[str, ...] = ()  # one sentence a row that was left out or changed
    word: str = "yours"  # its truth: silver | illustrative | synthetic voice | share-alike | yours
    root: Path | None = None  # folder that its pictures lie in
    digest: str = ""  # sha256 of what it holds
    notes: tuple[str, ...] = ()  # what a reader of its figures must know of the whole set
    spec: str = ""
    graph: GraphSet | None = None  # two knowledge graphs whose entities the samples are
    triples: TripleSet | None = None  # one knowledge graph whose links are to be predicted
    streams: StreamSet | None = None  # sequences of several modalities, with a score or a class
    incomplete: tuple[Sample, ...] = ()  # rows with one half, left out of the samples; a run over the set lists them

    def __post_init__(self) -> None:
        for rows in (self.graph, self.triples, self.streams):
            assert rows is None or len(rows) == len(self.samples), "a row for each sample"

    @property
    def kind(self) -> DataKind:
        """What it is a set of: images with sentences, entities of two graphs to align or of one to link, sequences."""
        if self.streams is not None:
            return "streams"
        return "triples" if self.triples is not None else "pairs" if self.graph is None else "graph"

    def __len__(self) -> int:
        return len(self.samples)

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of each id."""
        return {sample.id: row for row, sample in enumerate(self.samples)}

    @cached_property
    def called(self) -> dict[str, list[int]]:
        """Rows by what a person may call a sample, without case: its name, emoji, address or the end of that."""
        found: dict[str, list[int]] = {}
        for row, sample in enumerate(self.samples):
            name, address = sample.parts.get("name"), sample.note.get("address", "")
            names = (name.raw if isinstance(name, Text) else "", sample.note.get("emoji", ""))
            for one in {text.casefold() for text in (*names, address, address.strip("<>"), label(address)) if text}:
                found.setdefault(one, []).append(row)
        return found

    def get(self, id: str) -> Sample:
        """The sample of an id, an incomplete one too. Raises FusionError when there is none."""
        found = self.find(id)
        if found is None:
            raise FusionError(f'"{self.name}" has no sample "{id[:80]}"; its ids are like {_examples(self.samples)}.')
        return found

    def find(self, id: str) -> Sample | None:
        """As `get`, None when there is none."""
        row = self.index.get(id)
        return self._halves.get(id) if row is None else self.samples[row]

    @cached_property
    def _halves(self) -> dict[str, Sample]:
        return {sample.id: sample for sample in self.incomplete}

    def summary(self) -> dict[str, Any]:
        """Counts, splits and problems, as `python -m fusion data --json` prints them. Any: what JSON holds."""
        splits = Counter(sample.split or "all" for sample in self.samples)
        row: dict[str, Any] = {
            "key": self.key, "name": self.name, "kind": self.kind, "word": self.word, "samples": len(self.samples),
            "splits": dict(splits), "with_image": sum(sample.image() is not None for sample in self.samples),
            "problems": list(self.problems), "notes": list(self.notes),
        }  # fmt: skip
        if self.graph is not None:
            row |= {
                "graphs": list(self.graph.titles), "entities": [len(self.graph.rows(side)) for side in (0, 1)],
                "triples": len(self.graph.triples), "relations": len(self.graph.relations),
                "attributes": len(self.graph.attributes), "links": len(self.graph.links),
                "link_splits": {name: len(self.graph.pairs(name)) for name in SPLITS},
                "without_an_edge": int((self.graph.degree() == 0).sum()),
            }  # fmt: skip
        if self.triples is not None:
            row |= _links(self.triples)
        if self.streams is not None:
            row |= _streams(self.streams)
        return row

    def head(self, count: int) -> DataSet:
        """Its first samples, all of them when there are fewer."""
        return self._subset(range(len(self.samples))[: max(count, 0)], f"head {count}")

    def split(self, name: str) -> DataSet:
        """The samples of one split. Raises FusionError when there is none of that name."""
        rows = [row for row, sample in enumerate(self.samples) if sample.split == name]
        if not rows:
            found = sorted({sample.split for sample in self.samples if sample.split})
            have = f"it has {', '.join(found)}" if found else "it was never split"
            raise FusionError(f'"{self.name}" has no split "{name}"; {have}.')
        return self._subset(rows, f"split {name}")

    def pick(self, count: int, seed: int = 0) -> DataSet:
        """Some samples, chosen by the seed, in their order here."""
        count = min(max(count, 0), len(self.samples))
        rows = np.random.default_rng(seed).choice(len(self.samples), count, replace=False) if count else []
        return self._subset(sorted(int(row) for row in rows), f"pick {count} {seed}")

    def _subset(self, rows: range | list[int], how: str) -> DataSet:
        samples = tuple(self.samples[row] for row in rows)
        key = f"{self.key}-{how.replace(' ', '-')}"
        streams = None if self.streams is None else self.streams.take(rows)
        return replace(
            self, key=key, samples=samples, digest=digest(self.digest, how), incomplete=(), graph=None, triples=None,
            streams=streams,
        )  # fmt: skip


def _links(found: TripleSet) -> dict[str, Any]:
    """Counts of one graph whose triples are split, and what its held-out triples share with train."""
    return {
        "entities": len(found), "triples": len(found.triples), "relations": len(found.relations),
        "triple_splits": {name: len(found.rows(name)) for name in SPLITS},
        "without_a_training_triple": int((found.degree() == 0).sum()),
        "relations_without_a_training_triple": int((found.frequency() == 0).sum()),
        "overlaps": {name: overlap._asdict() for name, overlap in found.overlaps().items()},
        "clean": {name: int(found.clean[found.rows(name)].sum()) for name in ("valid", "test")},
    }  # fmt: skip


def _streams(found: StreamSet) -> dict[str, Any]:
    """The target, and of each modality its width, its longest sequence and how many samples have it."""
    return {
        "target": {"classes": list(found.classes)} if found.classes else {"scale": list(found.scale)},
        "with_target": int(found.known.sum()),
        "modalities": {
            modality.name: {
                "width": modality.width, "longest": found.longest(modality.name) if modality.width else None,
                "present": int(found.present[:, at].sum()),
            }
            for at, modality in enumerate(found.modalities)
        },
    }  # fmt: skip


def _examples(samples: tuple[Sample, ...]) -> str:
    return ", ".join(f'"{sample.id[:40]}"' for sample in samples[:2]) or "none, it is empty"
