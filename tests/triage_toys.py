"""Runs over made-up pairs for the tests of triage: no encoder, the same numbers in every process."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from fusion.data.dataset import DataSet
from fusion.files import digest
from fusion.observations import Chunk
from fusion.triage import running
from fusion.triage.engine import Inspector, Shard
from fusion.types import Image, Sample, Text

SIZE = 64  # samples of a shard
WIDTH = 16


def pairs(count: int, root: Path = Path("/nowhere")) -> DataSet:
    """Pairs with ids that are hard on files and queries."""
    odd = ('=1+1"', "a,b\n", "'; DROP TABLE rows; --", "猫")
    samples = tuple(
        Sample(
            f"s{row}{odd[row % 8] if row % 8 < len(odd) else ''}",
            {"text": Text(f"text {row}"), "image": Image(path=root / f"{row}.jpg")},
            "test" if row % 3 else "train",
            note={"group": f"g{row % 5}"},
        )
        for row in range(count)
    )
    return DataSet("toy", "Toys", samples, digest=digest("toy", str(count)))


class Toy(Inspector):
    """Vectors by the number of a sample; every tenth pair is wrong."""

    pause = 0.0  # seconds that a shard takes
    log: Path | None = None  # where the number of each shard is written that was looked at

    def __init__(self, data: DataSet, checkpoint: object = None) -> None:
        super().__init__(data, None, size=SIZE)

    def __call__(self, number: int, progress: object = None) -> Shard:
        """As an inspector, slower, and told."""
        time.sleep(self.pause)
        if self.log is not None:
            with self.log.open("a") as stream:
                stream.write(f"{number}\n")
        return super().__call__(number)

    def _pipeline_of(self, samples: object) -> Chunk:
        assert isinstance(samples, tuple | list)
        rows = [int("".join(filter(str.isdigit, sample.text()))) for sample in samples]
        text = np.stack([unit(row) for row in rows])
        noise = np.stack([unit(10**6 + row) for row in rows])
        right = np.array([row % 10 != 0 for row in rows])[:, None]
        image = np.where(right, text + 0.5 * noise, noise)
        image /= np.linalg.norm(image, axis=1, keepdims=True)
        columns = {"exchanged": np.roll(np.arange(len(rows)), 1) - np.arange(len(rows)), "text": text, "image": image}
        return Chunk(
            columns, [], {sample.id: "no picture" for row, sample in zip(rows, samples, strict=True) if not row}
        )


def unit(seed: int) -> np.ndarray:
    """A direction of its own for each number. -> (WIDTH,)"""
    made = np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)
    return made / np.linalg.norm(made)


def run(folder: str, count: int, log: str, pause: float) -> None:
    """A whole run in this process."""
    Toy.pause, Toy.log = pause, Path(log)
    running.Inspector = Toy  # type: ignore[misc,assignment]
    running.inspect_set(pairs(count), out=folder)
