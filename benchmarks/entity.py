"""Inspecting one entity among 40,000: six modalities at the sizes of the paper, random weights and features.

How long an inspection takes depends on sizes alone, so nothing here needs a trained checkpoint. Warm: the graph encoder
has run, and others of the same graph and split were looked at before.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.measuring import REPEATS, Row, Times, alternately, at_most, milliseconds, spread
from fusion import checkpoints
from fusion.alignment.inspection import Aligner
from fusion.data import DataSet, open_data
from fusion.data.graph_features import GraphFeatures
from fusion.data.graphs import GraphSet, split_links
from fusion.models import MODELS
from fusion.types import Sample, Text

ENTITIES, LINKS, TRIPLES = 40_000, 15_000, 165_000  # as DBP15K zh_en
WIDTHS = {"image": 1280, "attribute": 1000, "relation": 1000, "name": 300, "char": 1811}
ORDER = ("image", "attribute", "relation", "graph", "name", "char")


def data() -> DataSet:
    """Two random graphs of that size."""
    random = np.random.default_rng(0)
    half = ENTITIES // 2
    side = (np.arange(ENTITIES) >= half).astype(np.uint8)
    heads, tails = (random.integers(0, half, TRIPLES) for _ in range(2))
    shift = half * random.integers(0, 2, TRIPLES)
    triples = np.stack((heads + shift, random.integers(0, 1000, TRIPLES), tails + shift), 1).astype(np.int32)
    links = np.stack((random.permutation(half)[:LINKS], half + random.permutation(half)[:LINKS]), 1).astype(np.int32)
    names = tuple(f"relation {i}" for i in range(1000))
    graph = GraphSet(("one", "two"), side, triples, names, links, split_links(LINKS))
    samples = tuple(Sample(f"e{i}", {"name": Text(f"entity {i}")}) for i in range(ENTITIES))
    return DataSet("random", "Random graphs", samples, digest="0" * 64, spec="random", graph=graph)


def features(dataset: DataSet) -> GraphFeatures:
    """Random tables of these widths."""
    generator = torch.Generator().manual_seed(0)
    tables = {m: F.normalize(torch.randn(ENTITIES, width, generator=generator), dim=1) for m, width in WIDTHS.items()}
    known = {m: torch.ones(ENTITIES, dtype=torch.bool) for m in WIDTHS}
    return GraphFeatures(tuple(s.id for s in dataset.samples), tables, known, dict.fromkeys(WIDTHS, "random"))


def measure(checkpoint: str) -> list[Row]:
    """Time a linked entity, one without a link, and a picture put in. The checkpoint's name is not used."""
    dataset = data()
    torch.manual_seed(0)
    inputs = tuple(WIDTHS.get(m, 300) for m in ORDER)
    model = MODELS["meaformer"](MODELS["meaformer"].Config(ENTITIES, ORDER, inputs))
    with tempfile.TemporaryDirectory() as name:
        named = {m: "efficientnet-lite0" if m == "image" else "random" for m in WIDTHS}
        folder = Path(name) / "random"
        made = checkpoints.save(folder, model, encoders=named, data="random", metrics={}, card="", origin={}, half=True)
        started = time.perf_counter()
        aligner = Aligner(made, checkpoints.load(made), dataset, features(dataset))
        opened = time.perf_counter() - started
    tested = [int(row) for row in aligner.graph.pairs("test")[:, 0]]
    bare = [row for row in aligner.graph.rows(0).tolist() if aligner.graph.partner(row) is None]
    picture = next(image for sample in open_data("emoji").samples if (image := sample.image()) is not None)
    times = alternately(
        {
            "linked": lambda turn: aligner.inspect(f"e{tested[turn]}"),
            "bare": lambda turn: aligner.inspect(f"e{bare[turn]}"),
            "image": lambda turn: aligner.inspect(f"e{tested[turn]}", image=picture),
        }
    )
    return [
        _row("one entity with a link, all 63 subsets of its modalities", times["linked"]),
        _row("one without a link, among the whole other graph", times["bare"]),
        milliseconds("one with another picture, which is encoded first", times["image"]),
        Row("the same as processor time, with a link", float(np.median(times["linked"].cpu)) * 1000, "ms", n=REPEATS),
        Row("opening: graph encoder and all joint vectors", opened, "s"),
    ]


def _row(name: str, times: Times) -> Row:
    return at_most(name, times.median * 1000, "ms", 300.0, n=len(times.wall), spread=spread(times.wall, 1, 1000))
