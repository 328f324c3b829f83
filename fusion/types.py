"""What flows through the program: samples, batches, tasks, cards, and the one error that a user can fix.

Axes, everywhere in this project: B samples, M modalities, T steps of one modality, R regions of an image, D features,
H heads, L layers, Q queries, K keys, C classes, V voices, Z latent dimensions, N all items, P pairs.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import PIL.Image
    import torch  # takes seconds to import: a page shows its heading before
    from torch import Tensor


class FusionError(ValueError):
    """Something that a user can fix; its text says what came, what would do and what to do next."""


@dataclass(frozen=True)
class Modality:
    """One input channel of a model: its name, what a step of it is, and its width D."""

    name: str
    kind: str  # text | image | audio | graph | attribute | relation | name
    width: int  # D
    steps: int | None = None  # T (R for an image), None when it varies
    unit: str = "token"  # what one step is: token | region | frame | relation | attribute


@dataclass(frozen=True)
class Text:
    """A text as a person wrote it, and its words where it came already split; each stands in `raw`, in order."""

    raw: str
    words: tuple[str, ...] = ()  # empty: split by fusion.encoders.words


@dataclass(frozen=True)
class Image:
    """A picture: the encoded bytes of a file, or a path to read them from (one of the two)."""

    path: Path | None = None
    data: bytes | None = None

    def open(self) -> PIL.Image.Image:
        """Decode to an upright RGB picture. Raises FusionError on anything but a picture of up to 50 megapixels."""
        from fusion.encoders.pictures import open_picture  # Pillow is slow to import and not every caller draws

        return open_picture(self)


@dataclass(frozen=True)
class Audio:
    """A recording: the encoded bytes of a WAV, OGG or FLAC file, or a path to read them from (one of the two)."""

    path: Path | None = None
    data: bytes | None = None


@dataclass(frozen=True, eq=False)
class Numbers:
    """The features of one modality as a file gave them: nothing a person could look at stands behind them."""

    values: np.ndarray  # (T, D) real steps only


Part = Text | Image | Audio | Numbers


@dataclass(frozen=True)
class Sample:
    """One thing to run through a model: what a person sees of each modality, and the truth where it is known."""

    id: str
    parts: Mapping[str, Part]
    split: str = ""  # train | valid | test | "" when it was never split
    target: tuple[str, ...] | int | float | None = None  # tags by word, class, score
    note: Mapping[str, str] = field(default_factory=dict)  # other columns, for filters and captions
    problem: str = ""  # why it lacks a part, where its data set meant it to have one

    def text(self) -> str:
        """The raw text, "" without one."""
        part = self.parts.get("text")
        return part.raw if isinstance(part, Text) else ""

    def audio(self) -> Audio | None:
        """The recording, None without one."""
        part = self.parts.get("audio")
        return part if isinstance(part, Audio) else None

    def image(self) -> Image | None:
        """The picture, None without one."""
        part = self.parts.get("image")
        return part if isinstance(part, Image) else None

    def called(self) -> str:
        """What a reader calls an entity: its name, with its emoji where it is one, else its id."""
        part = self.parts.get("name")
        name = part.raw if isinstance(part, Text) and part.raw else self.id
        return f"{self.note['emoji']} {name}" if self.note.get("emoji") else name


@dataclass(frozen=True)
class Steps:
    """What the steps of one modality of one sample are called, and how they group for a reader.

    Pieces of one word share a group; marks that a person never wrote ([CLS], [SEP], padding) are in group -1.
    """

    labels: tuple[str, ...]  # T names of steps: word pieces, "row 1, column 3"
    group: tuple[int, ...]  # T group indices, -1 for marks
    groups: tuple[str, ...]  # names of the groups: whole words, or the regions themselves
    spans: tuple[tuple[int, int], ...] = ()  # characters of each group in the raw text, empty for other modalities


@dataclass(frozen=True, eq=False)
class Graph:
    """Knowledge graphs over one id space of N entities; a model makes its own adjacency of them."""

    edges: Tensor  # (2, E) int, head and tail of each triple as they were read
    relations: Tensor  # (E,) int, relation of each triple
    side: Tensor | None = None  # (N,) int, 0 or 1: which of two graphs an entity is in; None: there is only one

    def to(self, device: torch.device | str) -> Graph:
        """The same graph on a device."""
        side = None if self.side is None else self.side.to(device)
        return Graph(self.edges.to(device), self.relations.to(device), side)


@dataclass(frozen=True)
class Fixed:
    """What a person set inside a model in place of what it made there; read by fusion.blocks.setting."""

    value: float = 0.0  # of a gate, or of a weight
    heads: tuple[int, ...] = ()  # of attention that are muted
    modality: str = ""  # whose weight it is; the others share the rest as before


@dataclass(frozen=True)
class Batch:
    """Encoder outputs of B samples, ready for a model.

    Where there is a `graph`, a sample is a question about its entities: features are (N, D) and present (N, M) over all
    N entities (True = really there, False = imputed), query (B, 1..2) names an entity or a pair, ids are those of the
    questions, and `pooled` may hold tables over all N that a model made before.

    `mask`, `kept` and `present` are three different things: a real step (not padding), a real step that the model may
    see (the rest was hidden on purpose), and a modality that is there at all.
    """

    features: dict[str, Tensor]  # {m: (B, T, D)} steps of each modality
    pooled: dict[str, Tensor]  # {m: (B, D)} the encoder's one vector a modality
    mask: dict[str, Tensor]  # {m: (B, T)} bool, True = a real step
    kept: dict[str, Tensor]  # {m: (B, T)} bool, True = a real step that the model may see
    present: Tensor  # (B, M) bool, in the order of `modalities`
    modalities: tuple[str, ...]
    ids: tuple[str, ...]
    target: Tensor | None = None  # by task: (B, T) tags, (B,) class or score, (K, 2) row and answer of links
    steps: dict[str, tuple[Steps, ...]] = field(default_factory=dict)  # {m: B rows}, what the steps are called
    whole: Batch | None = None  # before anything was hidden on purpose; for losses that teach what was hidden
    graph: Graph | None = None
    query: Tensor | None = None  # (B, 1..2) int, entities that are asked about
    fixed: Mapping[str, Fixed] = field(default_factory=dict)  # {name of a signal: what it is set to}

    def __len__(self) -> int:
        return len(self.ids)

    def has(self, modality: str) -> Tensor:
        """Which samples, or which entities of a graph, have the modality. -> (B,) or (N,) bool"""
        return self.present[:, self.modalities.index(modality)]

    def without(self, modality: str) -> Batch:
        """The same batch with one modality marked absent in every sample."""
        present = self.present.clone()
        present[:, self.modalities.index(modality)] = False
        return replace(self, present=present)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on a device."""
        move = lambda tensors: {name: tensor.to(device) for name, tensor in tensors.items()}  # noqa: E731
        return replace(
            self,
            features=move(self.features),
            pooled=move(self.pooled),
            mask=move(self.mask),
            kept=move(self.kept),
            present=self.present.to(device),
            target=None if self.target is None else self.target.to(device),
            whole=None if self.whole is None else self.whole.to(device),
            graph=None if self.graph is None else self.graph.to(device),
            query=None if self.query is None else self.query.to(device),
        )

    def rows(self, index: Tensor | list[int]) -> Batch:
        """Some rows, in the order given; of a graph some questions, over the same entities. index (B',) int"""
        import torch

        index = torch.as_tensor(index, dtype=torch.long, device=self.present.device)
        pick = lambda tensors: {name: tensor[index] for name, tensor in tensors.items()}  # noqa: E731
        order = index.tolist()
        asked = replace(
            self,
            ids=tuple(self.ids[i] for i in order),
            target=self._targets(index),
            steps={name: tuple(rows[i] for i in order) for name, rows in self.steps.items()},
            whole=None if self.whole is None else self.whole.rows(index),
            query=None if self.query is None else self.query[index],
        )
        if self.query is not None:
            return asked
        return replace(
            asked,
            features=pick(self.features),
            pooled=pick(self.pooled),
            mask=pick(self.mask),
            kept=pick(self.kept),
            present=self.present[index],
        )

    def _targets(self, index: Tensor) -> Tensor | None:
        """The targets of some rows; pairs of a question and an answer are those of the questions chosen, renumbered."""
        import torch

        linked = self.query is not None and self.query.shape[1] > 1  # asked with a relation: (K, 2), not (B, ...)
        if self.target is None or not linked or self.target.ndim != 2 or self.target.shape[1] != 2:
            return None if self.target is None else self.target[index]
        row, pair = (index[:, None] == self.target[:, 0]).nonzero().unbind(1)
        return torch.stack((row, self.target[pair, 1]), 1)


class Task(enum.Enum):
    """What a model predicts, which fixes the shape of `FusionOutput.prediction`."""

    REGRESSION = "regression"  # (B,)
    CLASSES = "classes"  # (B, C) logits
    TAGGING = "tagging"  # (B, T) best tag of each step, -1 beyond the sequence
    MATCHING = "matching"  # (B,) probability
    ALIGNMENT = "alignment"  # (B, K) candidates
    LINKS = "links"  # (B, K) candidates
    REPRESENTATION = "representation"  # (B, D)


@dataclass(frozen=True)
class Card:
    """What a system is: shown on the Checkpoints page and by `python -m fusion models`."""

    key: str
    name: str
    title: str
    paper: str  # authors, venue, DOI or arXiv id
    official: str  # owner/name@commit of the released code
    tasks: tuple[Task, ...]
    shows: tuple[str, ...]  # names of the signal kinds it returns
    exceptions: Mapping[str, str] = field(default_factory=dict)  # law -> why a published formula breaks it
