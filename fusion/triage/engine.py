"""What is looked at, shard by shard: one class that takes the number of a shard and gives its scalars and vectors.

The plain engine calls it in a loop, `ray_engine` in actors; pictures change places inside a shard alone, so the two
give the same. Pairs come in shards of 512; two graphs, triples and sequences, whose ranks are among all, in one shard.

What a shard holds, one line a sample, by the kind of the set:
    pairs    id split text image problem picture, match match_shuffled mean_gate far exchanged entities (with a
             checkpoint), cosine, note_<column> of the user's; vectors "text" and "image", unit, zero where absent
    graph    a line a link: the frame of `AlignedSet.pairs`, and partner_name best_name; vectors "left" and "right" of
             its two entities, joint, unit
    triples  a line a question: the frame of `LinkSet`; vectors "head" and "tail", unit rows of the fused branch
    streams  the frame of `StreamedSet`, and the text; vectors of each level, zero where the modality is absent
The rank of a partner or an answer is the column rank_answer: `rank` is that of the suspicion.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fusion import checkpoints, observations
from fusion.checkpoints import Checkpoint
from fusion.data import open_data
from fusion.data.dataset import DataSet
from fusion.features import encode
from fusion.files import digest, shorten
from fusion.models import MODELS
from fusion.triage import tables
from fusion.types import FusionError, Sample, Task

if TYPE_CHECKING:
    import pandas as pd

    from fusion.inference import Pipeline

SIZE = observations.CHUNK
NOTES = 16  # columns of the user's that come along
UNTRAINED = ("minilm", "efficientnet-lite0")  # encoders that look where no checkpoint is given
_MARK = "\x00"  # before the name of vectors among columns
Progress = Callable[[int, int], None]
Columns = dict[str, Any]  # Any: arrays and lists, one value a sample


@dataclass(frozen=True, eq=False)
class Shard:
    """What came out of the samples of one shard."""

    number: int
    table: pa.Table  # one row a sample
    vectors: Mapping[str, np.ndarray]  # {name: (rows, D) float16}

    def packed(self) -> bytes:
        """The shard as bytes that run nothing when they are opened."""
        table = self.table
        for name, value in self.vectors.items():
            table = table.append_column(_MARK + name, pa.array([line.tobytes() for line in value], pa.binary()))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return sink.getvalue().to_pybytes()

    @classmethod
    def unpacked(cls, number: int, data: bytes) -> Shard:
        """What `packed` made."""
        with pa.ipc.open_stream(data) as stream:
            table = stream.read_all()
        names = [name for name in table.column_names if name.startswith(_MARK)]
        lines = {name: b"".join(table.column(name).to_pylist()) for name in names}
        vectors = {
            name.removeprefix(_MARK): np.frombuffer(line, np.float16).reshape(len(table), -1)
            for name, line in lines.items()
        }
        return cls(number, table.drop_columns(names), vectors)


class Inspector:
    """Looks at the shards of a data set under a checkpoint, without one by the untrained encoders (pairs alone)."""

    def __init__(
        self, data: DataSet | str, checkpoint: Checkpoint | str | None, expected: str = "", size: int = 0
    ) -> None:
        """data, checkpoint: opened here where they are names; expected: the digest that the data must have then."""
        self._data, self._checkpoint, self._expected, self.size = data, checkpoint, expected, size or SIZE

    @property
    def given(self) -> tuple[DataSet | str, Checkpoint | str | None]:
        """The data and the checkpoint as they were given."""
        return self._data, self._checkpoint

    @cached_property
    def dataset(self) -> DataSet:
        """The data set. Raises FusionError when it isn't there, or isn't the one that was meant."""
        found = self._data if isinstance(self._data, DataSet) else _opened(self._data)
        if self._expected and found.digest != self._expected:
            raise FusionError(
                f'"{found.name}" has the hash {found.digest[:12]} here and {self._expected[:12]} where the run began; '
                "copy the same data to every machine."
            )
        if not found.samples:
            raise FusionError(f'"{found.name}" has no sample that can be read; open another one.')
        return found

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint. Raises FusionError when there is none of its name."""
        return checkpoints.find(self._checkpoint) if isinstance(self._checkpoint, str) else self._checkpoint

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-self.count // self.size) if self.dataset.kind == "pairs" else 1

    @property
    def count(self) -> int:
        """How many samples there are, incomplete ones included."""
        return len(self.dataset) + len(self.dataset.incomplete)

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """What is looked at, in order: the samples, then those that lack a half."""
        return (*self.dataset.samples, *self.dataset.incomplete)

    def check(self) -> None:
        """Raises FusionError when the checkpoint doesn't read such data, before anything is looked at."""
        kind, checkpoint = self.dataset.kind, self.checkpoint
        if checkpoint is None:
            if kind != "pairs":
                raise FusionError(
                    f'"{self.dataset.name}" holds no pairs of image and text, and only those can be looked at without '
                    "a checkpoint; name one with --checkpoint."
                )
            return
        tasks = MODELS[checkpoint.model].card.tasks
        reads = {Task.TAGGING: "pairs", Task.ALIGNMENT: "graph", Task.LINKS: "triples"}
        if kind != next((reads[task] for task in tasks if task in reads), "streams"):
            raise FusionError(f'"{checkpoint.name}" doesn\'t read "{self.dataset.name}"; choose another checkpoint.')

    def __call__(self, number: int, progress: Progress | None = None) -> Shard:
        """Look at one shard. progress: called with samples done and their number, of a set of one shard alone."""
        kind = self.dataset.kind
        if kind == "pairs":
            return self._pairs(number, self.samples[number * self.size : (number + 1) * self.size])
        assert self.checkpoint is not None, "see `check`"
        look = {"graph": _graph, "triples": _triples, "streams": _streams}[kind]
        frame, vectors = look(self.checkpoint, self.dataset, progress)
        frame = frame.rename(columns={"rank": "rank_answer"}).assign(problem="")
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        return Shard(number, table, {_plain(name): value.astype(np.float16) for name, value in vectors.items()})

    def _pairs(self, number: int, samples: Sequence[Sample]) -> Shard:
        made = self._pipeline_of(samples)
        columns = dict(made.columns)
        vectors = {name: columns.pop(name).astype(np.float16) for name in ("text", "image")}
        both = np.logical_and(*(np.abs(one).sum(1) > 0 for one in vectors.values()))
        wide = [one.astype(np.float32) for one in vectors.values()]  # as they are kept, so that a reader finds the same
        cosine = np.where(both, (wide[0] * wide[1]).sum(1), np.nan).astype(np.float32)
        root = self.dataset.root
        told: Columns = {
            "id": [s.id for s in samples], "split": [s.split for s in samples], "text": [s.text() for s in samples],
            "image": [observations.place_of(s, root) for s in samples],
            "picture": [_picture(s) for s in samples], "problem": [made.failed.get(s.id, s.problem) for s in samples],
        }  # fmt: skip
        if self.checkpoint is not None:
            told["entities"] = made.said
        told |= {name: pa.array(value, from_pandas=True) for name, value in columns.items()}
        told["cosine"] = pa.array(cosine, from_pandas=True)
        told |= {f"note_{key}": [s.note.get(key) for s in samples] for key in self._notes}
        fields = {name: pa.string() for name in told if isinstance(told[name], list)}
        return Shard(number, pa.table({k: pa.array(v, fields.get(k)) if k in fields else v for k, v in told.items()}),
                     vectors)  # fmt: skip

    def _pipeline_of(self, samples: Sequence[Sample]) -> observations.Chunk:
        if self.checkpoint is None:
            return self._untrained(samples)
        return observations.chunk(self._pipeline, samples)

    @cached_property
    def _pipeline(self) -> Pipeline:
        from fusion.inference import Pipeline

        assert self.checkpoint is not None, "see `check`"
        return Pipeline.open(self.checkpoint)

    @cached_property
    def _notes(self) -> list[str]:
        """The columns of the user's, the same for every shard."""
        return list(dict.fromkeys(key for sample in self.samples for key in sample.note))[:NOTES]

    @cached_property
    def _baseline(self) -> Any:  # Conse
        from fusion.encoders import image_encoder, text_encoder
        from fusion.encoders.conse import Conse

        return Conse(text_encoder(UNTRAINED[0]), image_encoder(UNTRAINED[1]))

    def _untrained(self, samples: Sequence[Sample]) -> observations.Chunk:
        """Text vectors, and pictures placed among them by the names of the classes that they look like."""
        import torch

        space, failed = self._baseline, {}
        features = encode(samples, space.text, space.image, limit=space.text.max_length, skip=failed)
        there = features.image_of >= 0
        with torch.inference_mode():
            text = space.embed_texts(features.text_pooled) * (features.text_mask.sum(1) > 2)[:, None]
            image = torch.zeros(len(samples), text.shape[1])
            if bool(there.any()):
                pooled = features.image_pooled[features.image_of[there]]
                image[there] = space.embed_images(pooled.to(space.image.device)).cpu()
        exchanged = observations.exchanged(features.image_of, observations.SEED) - torch.arange(len(samples))
        columns = {"exchanged": exchanged.int().numpy(), "text": text.numpy(), "image": image.numpy()}
        return observations.Chunk(columns, [], failed)


def plain(inspector: Inspector, numbers: Sequence[int], progress: Progress | None = None) -> Iterator[Shard]:
    """The shards of these numbers, one after the other, in this process."""
    for number in numbers:
        yield inspector(number, progress)


def _opened(spec: str) -> DataSet:
    """The data of a name, a path, or an address of a table: that is copied to this machine first."""
    return open_data(tables.fetched(spec) if tables.REMOTE.match(spec) else spec)


def _graph(
    checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    from fusion.alignment.inspection import Aligner
    from fusion.alignment.whole import whole

    made = whole(Aligner.open(checkpoint, dataset), progress)
    frame = made.pairs()
    if frame.empty:
        raise FusionError(f'"{dataset.name}" has no links to look at; add some.')
    joint, index = made.vectors(), dataset.index
    names = made.frame.set_index("id")["name"]
    vectors = {side: joint[[index[id] for id in frame[c]]] for side, c in (("left", "id"), ("right", "partner"))}
    told = frame.assign(partner_name=names.reindex(frame["partner"]).to_numpy(),
                        best_name=names.reindex(frame["best"]).to_numpy())  # fmt: skip
    return told.reset_index(drop=True), vectors


def _triples(
    checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    from fusion.links.inspection import FUSED, Predictor

    made = Predictor.open(checkpoint, dataset).whole(progress)
    table, index = made.vectors(FUSED if FUSED in made.branches else made.branches[0]), dataset.index
    return made.frame, {name: table[[index[id] for id in made.frame[name]]] for name in ("head", "tail")}


def _streams(
    checkpoint: Checkpoint, dataset: DataSet, progress: Progress | None
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    from fusion.streams.inspection import Reader
    from fusion.streams.whole import whole

    made = whole(Reader.open(checkpoint, dataset), progress)
    texts = {sample.id: sample.text() for sample in dataset.samples}
    frame = made.frame.assign(text=[texts.get(id, "") for id in made.frame["id"]])
    vectors = {}
    for name, modality in made.levels.items():
        there = frame[f"has_{modality}"].to_numpy(bool) if modality in made.modalities else np.ones(len(frame), bool)
        vectors[name] = made.vectors(name) * there[:, None]  # a row without the modality has nothing to compare
    return frame, vectors


def _picture(sample: Sample) -> str:
    """What is the same for samples with the same picture, "" without one."""
    image = sample.image()
    if image is None:
        return ""
    return digest(str(image.path) if image.path is not None else image.data or b"")[:16]


def _plain(name: str) -> str:
    """A name of vectors that a file can have."""
    return re.sub(r"[^A-Za-z0-9_+-]+", "-", shorten(name, 60)) or "vectors"
