"""One inspection (encoding, model, trace, drop test) against the own forward passes of its two encoders.

The encoders' passes start from word pieces and pixels that are ready; the inspection starts from a sentence and a file.
Both run in turn on the same pairs of the gloss set and the gallery.
"""

from __future__ import annotations

import time

import torch

from benchmarks.measuring import REPEATS, Row, Times, alternately, at_most, milliseconds, ratio, spread
from fusion import checkpoints
from fusion.data import gallery, gloss
from fusion.features import encode_texts
from fusion.inference import Pipeline
from fusion.types import Sample


def measure(checkpoint: str) -> list[Row]:
    """Time 20 pairs. Raises FusionError without the checkpoint."""
    pipeline = Pipeline.open(checkpoints.find(checkpoint))
    donor, *photographs = gallery.load()[::3]
    samples = [*gloss.load("test")[: REPEATS - 10], *photographs[:10]]
    ready = [_ready(pipeline, sample) for sample in samples]
    model: list[float] = []

    def encoders(turn: int) -> None:
        ids, mask, pixels = ready[turn]
        with torch.inference_mode():
            pipeline.text.forward_ids(ids, mask)
            pipeline.image.forward_pixels(pixels)

    def decoded(turn: int) -> None:
        picture = samples[turn].image()
        assert picture is not None
        encode_texts(pipeline.text, [samples[turn]], pipeline.model.config.max_length, pipeline.pads is not None)
        pipeline.image.encode([picture.open()])

    def whole(turn: int) -> None:
        model.append(pipeline.inspect(samples[turn], donor).seconds["model"])

    times = alternately({"encoders": encoders, "decoded": decoded, "whole": whole})
    model = model[-REPEATS:]  # without the warm-up
    own, all_ = times["encoders"], times["whole"]
    return [
        milliseconds("the two encoders' own forward passes", own),
        milliseconds("the two encoders with decoding and word pieces", times["decoded"]),
        milliseconds("model, trace and drop test on encoder outputs", Times(model)),
        milliseconds("the whole inspection", all_),
        at_most("model, trace and drop test / encoders", ratio(model, own.wall), "x", 1.0, n=REPEATS,
                spread=spread(_by(model, own.wall), 2)),
        at_most("whole inspection / encoders", ratio(all_.wall, own.wall), "x", 2.0, n=REPEATS,
                spread=spread(_by(all_.wall, own.wall), 2)),
        Row("whole inspection / encoders, processor time", ratio(all_.cpu, own.cpu), "x", n=REPEATS,
            spread=spread(_by(all_.cpu, own.cpu), 2)),
        Row("whole inspection / encoders with decoding", ratio(all_.wall, times["decoded"].wall), "x", n=REPEATS,
            spread=spread(_by(all_.wall, times["decoded"].wall), 2)),
        Row("loading the checkpoint again", _loading(checkpoint) * 1000, "ms"),
    ]  # fmt: skip


def _ready(pipeline: Pipeline, sample: Sample) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Word pieces (1, T), their mask and the pixels (1, 3, S, S) of a sample, as its encoders take them."""
    picture = sample.image()
    assert picture is not None
    tokens = pipeline.text.tokenise([sample.parts["text"]])  # type: ignore[list-item]
    length = min(tokens.ids.shape[1], pipeline.pads or pipeline.model.config.max_length)
    return tokens.ids[:, :length], tokens.mask[:, :length], pipeline.image.prepare([picture.open()])


def _loading(checkpoint: str) -> float:
    started = time.perf_counter()
    Pipeline.open(checkpoints.find(checkpoint))
    return time.perf_counter() - started


def _by(above: list[float], below: list[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]
