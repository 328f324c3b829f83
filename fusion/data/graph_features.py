"""What a model reads of the entities of two graphs: one table a modality, and which rows of it are real.

image        pooled vectors of the entity's picture; text modalities (name, description): vectors of its text
attribute    which of the most frequent attributes it has, how often; relation: how often each of the most frequent
             relations touches it, as head or as tail; char: pairs of letters in the words of its name

Image and text rows have length 1, and so have those of char. A picture or a text that an entity lacks is drawn from a
normal distribution with the mean and spread of the known ones, column by column, before that; counts are then zeros.
Source: the inputs of MCLEA (arXiv:2209.00891, lzxlin/MCLEA@6946d43), which MEAformer reads too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fusion.data.dataset import DataSet
from fusion.data.feature_files import Table, made_for, read
from fusion.data.graphs import SEED, GraphSet
from fusion.encoders import Encoder, ImageEncoder, TextEncoder, encoder
from fusion.encoders.cache import FeatureCache
from fusion.files import ASSETS, atomic_file, digest
from fusion.types import FusionError, Text

MODALITIES = ("image", "attribute", "relation", "name", "char", "description")
ENCODED = {"image": "efficientnet-lite0", "name": "use", "description": "use"}  # by which encoder, unless told
COUNTED = ("attribute", "relation", "char")
PLAIN = ("attribute", "relation")  # raw counts: how many is what they say
FREQUENT = 1000  # attributes and relations that have a column
LETTER_PAIRS = 4096  # columns of char at most; DBP15K has under 2,000
TEXTS = 256  # encoded at a time
Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class GraphFeatures:
    """Tables of N entities by modality, in the order of MODALITIES."""

    ids: tuple[str, ...]
    features: dict[str, Tensor]  # {m: (N, D) float32}
    known: dict[str, Tensor]  # {m: (N,) bool}, False = drawn at random, or nothing to count
    sources: dict[str, str]  # {m: which encoder or counting made it}
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)  # {m: D names}, for tables of counts

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names in their order."""
        return tuple(self.features)

    @property
    def widths(self) -> dict[str, int]:
        """{m: D}"""
        return {name: table.shape[1] for name, table in self.features.items()}

    def present(self) -> Tensor:
        """Which entity really has which modality. -> (N, M) bool"""
        return torch.stack(tuple(self.known.values()), 1)

    def coverage(self) -> dict[str, float]:
        """{m: share of entities that really have it}"""
        return {name: float(known.float().mean()) for name, known in self.known.items()}

    def replaced(self, modality: str, row: int, vector: Tensor) -> GraphFeatures:
        """The same with one row known and new, brought to length 1 as its table is. vector (D,)"""
        table, known = self.features[modality].clone(), self.known[modality].clone()
        table[row] = vector if modality in PLAIN else F.normalize(vector, dim=0)
        known[row] = True
        return replace(self, features=self.features | {modality: table}, known=self.known | {modality: known})


def graph_features(
    dataset: DataSet, modalities: Sequence[str] | None = None, *, encoders: Mapping[str, str | Encoder] | None = None,
    files: Sequence[Path] = (), widths: Mapping[str, int] | None = None, seed: int = SEED,
    cache: FeatureCache | None = None, progress: Progress | None = None,
) -> GraphFeatures:  # fmt: skip
    """The features of a graph data set: those modalities, or all that it has, `char` apart.

    encoders: {m: name or encoder} where another than ENCODED is wanted; files: feature files whose tables stand before
    what would be computed; widths: {m: D} that a model reads; seed: of the rows drawn for what is missing.
    Raises FusionError for a data set of pairs, a modality that no entity has, or a file that doesn't fit.
    """
    tables = graph_tables(
        dataset, modalities, encoders=encoders, files=files, widths=widths, cache=cache, progress=progress
    )
    generator = torch.Generator().manual_seed(seed)
    features = {}
    for name, table in tables.items():
        values, known = torch.from_numpy(table.values).float(), torch.from_numpy(table.known)
        if name not in COUNTED:
            values = _drawn(values, known, generator)
        features[name] = values if name in PLAIN else F.normalize(values, dim=1)
        width = (widths or {}).get(name, values.shape[1])
        if values.shape[1] != width:
            raise FusionError(
                f'"{dataset.name}" has {values.shape[1]} features a row in "{name}", and the checkpoint reads {width}; '
                "open the data set that it was trained on."
            )
    return GraphFeatures(
        tuple(sample.id for sample in dataset.samples), features,
        {name: torch.from_numpy(table.known) for name, table in tables.items()},
        {name: table.source for name, table in tables.items()},
        {name: table.columns for name, table in tables.items() if table.columns},
    )  # fmt: skip


def graph_tables(
    dataset: DataSet, modalities: Sequence[str] | None = None, *, encoders: Mapping[str, str | Encoder] | None = None,
    files: Sequence[Path] = (), widths: Mapping[str, int] | None = None, cache: FeatureCache | None = None,
    progress: Progress | None = None,
) -> dict[str, Table]:  # fmt: skip
    """As `graph_features`, before missing rows are drawn and lengths made 1: what a feature file holds."""
    graph = dataset.graph
    if graph is None:
        raise FusionError(f'"{dataset.name}" holds no graphs; these features are for entities, as in the set emoji.')
    ids = [sample.id for sample in dataset.samples]
    given = {name: table for path in files for name, table in read(path, ids, widths).items()}
    wanted = list(modalities) if modalities is not None else [*_had(dataset), *given]
    order = [name for name in MODALITIES if name in wanted] + sorted(set(wanted) - set(MODALITIES))
    found: dict[str, Table] = {}
    for name in order:
        if name in given:
            found[name] = given[name]
        elif name in COUNTED:
            found[name] = _counted(name, dataset, graph)
        elif name in ENCODED:
            found[name] = encoded(name, dataset, (encoders or {}).get(name, ENCODED[name]), cache, progress)
        else:
            raise FusionError(
                f'There is no modality "{name[:40]}"; there are {", ".join(MODALITIES)}, and those of a feature file.'
            )
        if not found[name].known.any():
            had = ", ".join(_had(dataset))
            raise FusionError(f'No entity of "{dataset.name}" has the modality {name}; choose among {had}.')
    return found


def _had(dataset: DataSet) -> list[str]:
    """The modalities that some entity has, char apart: letters align names of one spelling only."""
    held = {part for sample in dataset.samples for part in sample.parts}
    counted = {"relation"} | ({"attribute"} if dataset.graph is not None and len(dataset.graph.counts) else set())
    return [name for name in MODALITIES if name in held | counted]


def _drawn(values: Tensor, known: Tensor, generator: torch.Generator) -> Tensor:
    """Unknown rows drawn from a normal distribution with the known ones' mean and spread in each column."""
    missing = int((~known).sum())
    if missing:
        real = values[known]
        spread = real.std(0, correction=0)
        values = values.clone()
        values[~known] = real.mean(0) + spread * torch.randn(missing, values.shape[1], generator=generator)
    return values


def encoded(
    modality: str, dataset: DataSet, by: str | Encoder, cache: FeatureCache | None = None,
    progress: Progress | None = None, texts: Sequence[str] | None = None,
) -> Table:  # fmt: skip
    """Pooled features of every sample's picture, or of its text: its part of that name, or `texts` (N), "" for none.

    Raises FusionError for an encoder of the other kind.
    """
    made = encoder(by) if isinstance(by, str) else by
    store = cache or FeatureCache()
    if modality == "image":
        if not isinstance(made, ImageEncoder):
            raise FusionError(
                f"{made.name} encodes texts; name an image encoder for pictures, such as efficientnet-lite0."
            )
        return _bundled(dataset, made, modality) or _pictures(dataset, made, store, progress)
    if not isinstance(made, TextEncoder):
        raise FusionError(f"{made.name} encodes pictures; name a text encoder for {modality}, such as use or minilm.")
    if texts is None:
        parts = [sample.parts.get(modality) for sample in dataset.samples]
        texts = [part.raw if isinstance(part, Text) else "" for part in parts]
    ours = _bundled(dataset, made, modality)
    if ours is not None:
        return ours
    values = _texts(made, texts, store, progress)
    return Table(values, np.array([bool(text.strip()) for text in texts]), made.name)


BUNDLED = {"image": "pictures.npz", "text": "texts.npz"}  # beside a bundled set: features that nobody waits for


def _bundled(dataset: DataSet, made: Encoder, modality: str) -> Table | None:
    """Features that come with a bundled set, None without or when they are of another content or other weights."""
    path = ASSETS / "data" / dataset.key / BUNDLED.get(modality, "")
    if dataset.spec != dataset.key or not path.is_file() or made_for(path) != made_by(dataset, made):
        return None
    return replace(read(path, [sample.id for sample in dataset.samples])[modality], source=made.name)


def made_by(dataset: DataSet, made: Encoder) -> str:
    """What a bundled file of features is of: the data set's content, the weights and the preprocessing."""
    return digest(dataset.digest, made.name, made.digest, made.preprocessing)


def _pictures(dataset: DataSet, made: ImageEncoder, store: FeatureCache, progress: Progress | None) -> Table:
    found = store.images(made, dataset.samples, progress, pooled_only=True)
    return Table(found.pooled.numpy(), found.present.numpy(), made.name)


def _texts(made: TextEncoder, texts: Sequence[str], store: FeatureCache, progress: Progress | None) -> np.ndarray:
    """Vectors of N texts, each different one encoded once; kept as one file by content. -> (N, D) float32"""
    place = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    unique = list(place)
    key = digest("texts-1", made.name, made.digest, made.preprocessing, *unique)
    path = store.folder / "texts" / f"{key[:40]}.safetensors"
    try:
        vectors = load_file(path)["pooled"]
        if vectors.shape != (len(unique), made.pooled_width):
            raise ValueError("it holds other texts")
        path.touch()  # counts as used
    except (OSError, SafetensorError, KeyError, ValueError):
        vectors = torch.zeros(len(unique), made.pooled_width, dtype=torch.float16)
        for start in range(0, len(unique), TEXTS):
            vectors[start : start + TEXTS] = made.encode(unique[start : start + TEXTS]).pooled.half().cpu()
            if progress is not None:
                progress(min(start + TEXTS, len(unique)), len(unique))
        with atomic_file(path) as aside:
            save_file({"pooled": vectors}, aside)
        store.trim(frozenset((path,)))
    return vectors[torch.tensor([place[text] for text in texts])].float().numpy()


def _counted(modality: str, dataset: DataSet, graph: GraphSet) -> Table:
    if modality == "char":
        return _letters(dataset)
    if modality == "attribute":
        rows, which, often = graph.counts.T if len(graph.counts) else np.zeros((3, 0), dtype=np.int32)
        names = graph.attributes
    else:
        rows = graph.triples[:, [0, 2]].ravel()
        which, often, names = graph.triples[:, 1].repeat(2), np.ones(2 * len(graph.triples), np.int32), graph.relations
    kept = np.argsort(-np.bincount(which, minlength=len(names)), kind="stable")[:FREQUENT]
    column = np.full(len(names), -1)
    column[kept] = np.arange(len(kept))
    used = column[which] >= 0
    values = np.zeros((len(graph), max(len(kept), 1)), dtype=np.float32)
    np.add.at(values, (rows[used], column[which[used]]), often[used])
    return Table(values, values.sum(1) > 0, "counts", tuple(names[at] for at in kept))


def _letters(dataset: DataSet) -> Table:
    """How often each pair of letters stands in the words of the names, the most frequent pairs first."""
    found = []
    for sample in dataset.samples:
        part = sample.parts.get("name")
        words = part.raw.lower().split() if isinstance(part, Text) else []
        found.append(Counter(word[at : at + 2] for word in words for at in range(len(word) - 1)))
    total: Counter[str] = Counter()
    for own in found:
        total.update(own)
    names = [pair for pair, _ in total.most_common(LETTER_PAIRS)]
    column = {pair: at for at, pair in enumerate(names)}
    values = np.zeros((len(found), max(len(names), 1)), dtype=np.float32)
    for row, own in enumerate(found):
        for pair, count in own.items():
            at = column.get(pair)
            if at is not None:
                values[row, at] = count
    return Table(values, values.sum(1) > 0, "pairs of letters", tuple(names))
