"""A whole data set through a checkpoint: one row of scalars a sample, and its embeddings; what Map and Match read.

Kept by content (weights, data) below the user's folder, or beside a bundled checkpoint for the bundled data, so that
the pages open at once. Tensors go to float16 on disk; a row's own picture is compared with one exchanged picture.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

import fusion
from fusion import device
from fusion.features import Features, encode
from fusion.files import atomic_file, atomic_folder, digest, home
from fusion.inference import entities_of_tags, first_pieces
from fusion.types import FusionError

if TYPE_CHECKING:
    import pandas as pd

    from fusion.checkpoints import Checkpoint
    from fusion.data import DataSet
    from fusion.inference import Pipeline
    from fusion.types import Sample

VERSION = 1
CHUNK = 512  # samples whose features are in memory at once: 65 MB of regions
SEED = 7  # of the exchanged pictures
KEPT = 7 * 86_400  # seconds for which a run that was broken off can go on


@dataclass(frozen=True)
class Observed:
    """Scalars (one row a sample) and unit embeddings of a data set under a checkpoint."""

    data: str
    checkpoint: str
    frame: pd.DataFrame  # id split text image match match_shuffled cosine rank_text rank_image far ...
    vectors: dict[str, np.ndarray]  # {"text": (N, D), "image": (N, D)} float32, unit length, zero where absent


def _key(checkpoint: Checkpoint, dataset: DataSet) -> str:
    return digest(str(VERSION), checkpoint.digest, dataset.digest)[:24]


def _places(checkpoint: Checkpoint, dataset: DataSet) -> list[Path]:
    return [checkpoint.folder / "observations" / dataset.key, home() / "observations" / _key(checkpoint, dataset)]


def stored(checkpoint: Checkpoint, dataset: DataSet) -> Observed | None:
    """What was computed before for this checkpoint and data, None when it wasn't (or was for other content)."""
    import pandas as pd  # slow to import

    for folder in _places(checkpoint, dataset):
        meta = folder / "meta.json"
        if not meta.exists() or json.loads(meta.read_text(encoding="utf-8"))["key"] != _key(checkpoint, dataset):
            continue
        vectors = {k: v.astype(np.float32) for k, v in load_file(folder / "vectors.safetensors").items()}
        return Observed(dataset.key, checkpoint.name, pd.read_parquet(folder / "rows.parquet"), vectors)
    return None


def save(observed: Observed, folder: Path, key: str) -> None:
    """Write a folder of rows.parquet, vectors.safetensors (float16) and meta.json at once."""
    with atomic_folder(folder) as aside:
        observed.frame.to_parquet(aside / "rows.parquet", index=False, compression="zstd")
        save_file(
            {k: np.ascontiguousarray(v, np.float16) for k, v in observed.vectors.items()}, aside / "vectors.safetensors"
        )
        meta = {"key": key, "data": observed.data, "checkpoint": observed.checkpoint, "version": VERSION}
        (aside / "meta.json").write_text(json.dumps(meta) + "\n", encoding="utf-8")
        for path in (aside, *aside.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)


def observe(
    pipeline: Pipeline, dataset: DataSet, progress: Callable[[int, int], None] | None = None, *, bundled: bool = False
) -> Observed:
    """Run every sample and keep what came out. Chunk by chunk, so memory doesn't grow with the data set.

    Each chunk is kept at once: a run that was killed goes on after the last whole one, with the same result. bundled:
    keep it beside the checkpoint instead of in the user's folder. Raises FusionError on an empty data set.
    """
    import pandas as pd

    if not dataset.samples:
        raise FusionError(f'"{dataset.name}" has no sample that can be read; open another one.')
    pieces: list[dict[str, np.ndarray]] = []
    failed: dict[str, str] = {}
    said: list[str] = []
    total = len(dataset.samples)
    chunks = _chunks(pipeline, dataset)
    for number, start in enumerate(range(0, total, CHUNK)):
        path = chunks / f"{number:06d}.safetensors"
        made = _kept(path)
        if made is None:
            if progress is not None and start:
                progress(start, total)  # where this run began, or what it did so far
            made = chunk(pipeline, dataset.samples[start : start + CHUNK])
            _keep(path, made)
        pieces.append(made.columns)
        said += made.said
        failed |= made.failed
    if progress is not None:
        progress(total, total)
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    vectors = {"text": columns.pop("text"), "image": columns.pop("image")}
    both = (np.abs(vectors["text"]).sum(1) > 0) & (np.abs(vectors["image"]).sum(1) > 0)
    frame = pd.DataFrame(
        {
            "id": [s.id for s in dataset.samples],
            "split": [s.split for s in dataset.samples],
            "text": [s.text() for s in dataset.samples],
            "image": [place_of(s, dataset.root) for s in dataset.samples],
            "problem": [failed.get(s.id, "") for s in dataset.samples],
            "entities": said,
            **columns,
        }
    )
    frame["cosine"] = np.where(both, (vectors["text"] * vectors["image"]).sum(1), np.nan).astype(np.float32)
    frame["rank_text"], frame["rank_image"] = partner_ranks(
        vectors["text"], vectors["image"], pictures_of(dataset), both
    )
    observed = Observed(dataset.key, pipeline.checkpoint.name, frame, vectors)
    save(observed, _places(pipeline.checkpoint, dataset)[0 if bundled else 1], _key(pipeline.checkpoint, dataset))
    _clear(chunks)
    return observed


@dataclass(frozen=True)
class Chunk:
    """What came out of some samples."""

    columns: dict[str, np.ndarray]  # of `measure`
    said: list[str]  # entities in words
    failed: dict[str, str]  # id -> why its picture was left out


def chunk(pipeline: Pipeline, samples: Sequence[Sample]) -> Chunk:
    """Encode and run some samples; pictures change places among them alone, so nothing depends on the rest of the set.

    A sample whose picture can't be read goes on without it, and is named.
    """
    failed: dict[str, str] = {}
    features = encode(
        samples, pipeline.text, pipeline.image, limit=pipeline.model.config.max_length,
        pads=pipeline.pads is not None, skip=failed,
    )  # fmt: skip
    return Chunk(*measure(pipeline, features), failed)


def _chunks(pipeline: Pipeline, dataset: DataSet) -> Path:
    """Where the chunks of a run are kept: a run under other versions or on another device is another run."""
    told = (fusion.__version__, torch.__version__, str(pipeline.device), str(CHUNK), "exchanged")
    return home() / "observations" / f"{digest(_key(pipeline.checkpoint, dataset), *told)[:24]}.partial"


def _keep(path: Path, made: Chunk) -> None:
    told = {"names": json.dumps(list(made.columns)), "said": json.dumps(made.said), "failed": json.dumps(made.failed)}
    with atomic_file(path) as aside:
        save_file({name: np.ascontiguousarray(value) for name, value in made.columns.items()}, aside, metadata=told)


def _kept(path: Path) -> Chunk | None:
    """A chunk of an earlier run, None when there is none that can be read."""
    try:
        with safe_open(path, "numpy") as stored:
            told = stored.metadata()
            columns = {name: stored.get_tensor(name) for name in json.loads(told["names"])}  # the file sorts them
        return Chunk(columns, json.loads(told["said"]), json.loads(told["failed"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _clear(chunks: Path) -> None:
    """Remove the chunks of a run that has ended, and those of runs that nobody took up again."""
    shutil.rmtree(chunks, ignore_errors=True)
    for other in chunks.parent.glob("*.partial"):
        with suppress(OSError):
            if other.stat().st_mtime < time.time() - KEPT:
                shutil.rmtree(other, ignore_errors=True)


def pictures_of(dataset: DataSet) -> np.ndarray:
    """Which samples have the same picture: a number a picture. -> (N,) int"""
    return np.unique([place_of(s, dataset.root) or s.id for s in dataset.samples], return_inverse=True)[1]


def partner_ranks(
    text: np.ndarray, image: np.ndarray, picture: np.ndarray, both: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rank of each text's picture among the distinct pictures, and of each picture's text among other pictures' texts.

    text, image (N, D) unit; picture (N,) int; both (N,) bool -> (N,), (N,) float32 from 1, NaN where a half is absent;
    ties count against the model.
    """
    there = np.flatnonzero(both)
    first = there[np.unique(picture[there], return_index=True)[1]]
    of_text, of_image = (np.full(len(text), np.nan, np.float32) for _ in range(2))
    for rows in np.array_split(there, max(1, len(there) // 1024 + 1)):
        if not len(rows):
            continue
        own = (text[rows] * image[rows]).sum(1, keepdims=True)
        others = picture[first] != picture[rows][:, None]
        of_text[rows] = 1 + ((text[rows] @ image[first].T >= own - 1e-6) & others).sum(1)
        others = picture[there] != picture[rows][:, None]
        of_image[rows] = 1 + ((image[rows] @ text[there].T >= own - 1e-6) & others).sum(1)
    return of_text, of_image


def place_of(sample: Sample, root: Path | None) -> str:
    """Where a sample's picture lies below the data set's root, "" without one; a path outside is named by its hash."""
    image = sample.image()
    if image is None or image.path is None:
        return ""
    path = image.path.resolve()
    if root is not None and path.is_relative_to(root.resolve()):
        return path.relative_to(root.resolve()).as_posix()
    return f"{digest(str(path))[:12]}/{path.name}"


def measure(pipeline: Pipeline, features: Features, size: int = 64) -> tuple[dict[str, np.ndarray], list[str]]:
    """Scalars and embeddings of samples already encoded, in their order, and their entities in words.

    Each picture is exchanged with that of another sample (seeded, a different picture wherever there is one);
    "exchanged" is how many rows further on that sample stands, 0 where there is none.
    """
    order = torch.argsort(features.text_mask.sum(1), stable=True)  # texts of like length together: little padding
    partner = exchanged(features.image_of, SEED)
    rows: list[torch.Tensor] = list(order.split(size))
    parts: dict[str, list[torch.Tensor]] = {}
    said: list[str] = [""] * len(features)

    def run(group: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        return [_forward(pipeline, features, index, partner, said) for index in group]

    for result in device.halving(run, rows, 1, lambda _: None):
        for name, value in result.items():
            parts.setdefault(name, []).append(value)
    back = torch.argsort(order)
    columns = {name: torch.cat(values)[back].numpy() for name, values in parts.items()}
    columns["exchanged"] = (partner - torch.arange(len(features))).int().numpy()
    return columns, said


def _forward(pipeline, features, index, partner, said) -> dict[str, torch.Tensor]:  # type: ignore[no-untyped-def]
    batch = features.batch(index, pad=pipeline.pads).to(pipeline.device)
    output = pipeline.run(batch, trace=False)
    made = output.extras
    wrong = pipeline.run(features.batch(index, partner[index], pad=pipeline.pads).to(pipeline.device), trace=False)
    both = batch.present.all(1).cpu()
    nan = torch.tensor(float("nan"))
    tags = output.prediction.cpu()
    gate = made["gate"].mean(-1).float().cpu()
    words = torch.zeros_like(gate, dtype=torch.bool)
    for row, i in enumerate(index.tolist()):
        opens = first_pieces(features.names[i].group)[: words.shape[1]]  # the rest is padding of its encoding group
        words[row, : len(opens)] = opens
        said[i] = entities_of_tags(features.names[i], tags[row].tolist(), pipeline.model.classes)
    unit = torch.nn.functional.normalize
    places = pipeline.reference.places if pipeline.reference else {}
    far = torch.zeros(len(index), dtype=torch.bool)
    for name, place in places.items():
        far |= torch.from_numpy(place.far(batch.pooled[name].float().cpu().numpy())) & batch.has(name).cpu()
    return {
        "match": torch.where(both, made["match"].float().cpu(), nan),
        "match_shuffled": torch.where(both, wrong.extras["match"].float().cpu(), nan),
        "mean_gate": torch.where(both, (gate * words).sum(1) / words.sum(1).clamp(min=1), nan),
        "far": far,
        "text": unit(made["align_text"].float().cpu(), dim=-1) * batch.has("text").cpu()[:, None],
        "image": unit(made["align_image"].float().cpu(), dim=-1) * batch.has("image").cpu()[:, None],
    }


def exchanged(image_of: torch.Tensor, seed: int) -> torch.Tensor:
    """For each sample, another one with a different picture, itself where there is none. (N,) -> (N,) int

    Samples are sorted by picture in a seeded random order of pictures and shifted by the size of the largest group, so
    no sample can meet its own picture unless one picture has more than half of them.
    """
    count = len(image_of)
    generator = torch.Generator().manual_seed(seed)
    there = (image_of >= 0).nonzero().squeeze(1)
    partner = torch.arange(count)
    if len(there) < 2:
        return partner
    pictures = int(image_of.max()) + 1
    shuffle = torch.randperm(pictures, generator=generator)
    key = shuffle[image_of[there]] * count + torch.randperm(len(there), generator=generator)
    order = there[torch.argsort(key)]
    largest = int(torch.bincount(image_of[there]).max())
    shift = largest if largest * 2 <= len(there) else len(there) // 2
    partner[order] = order.roll(shift)
    return partner
