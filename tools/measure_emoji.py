"""Measures what the emoji graphs give away without training:  python tools/measure_emoji.py

Writes assets/data/emoji/pictures.npz (pooled features of its pictures, so that nobody waits for them),
the baselines into meta.json, and card.md. Run it after build_emoji.py. Two minutes on a CPU the first time.
"""

import json
import os

import numpy as np
import torch
from emoji_card import write_card
from scipy import sparse

from fusion.data import DataSet, emoji
from fusion.data.feature_files import write
from fusion.data.graph_features import graph_features, graph_tables, made_by
from fusion.encoders import image_encoder

STEPS, STAY = 12, 0.5  # of a walk; the share that goes back to its start at each


def similarities(data: DataSet, pairs: np.ndarray) -> dict[str, np.ndarray]:
    """Cosines of the first against the second ends of links, by what they are drawn from. -> {name: (P, P)}"""
    graph = data.graph
    assert graph is not None
    features = graph_features(data, ["image", "name", "description"]).features
    found = {name: _cosine(table.numpy(), pairs) for name, table in features.items()}
    seeds = graph.pairs("train", "valid")
    keyword = graph.relations.index("hasKeyword")
    found["structure"] = _cosine(walks(data, seeds), pairs)
    found["structure, keywords alone"] = _cosine(walks(data, seeds, keyword), pairs)
    return found


def walks(data: DataSet, seeds: np.ndarray, only: int | None = None) -> np.ndarray:
    """Where damped random walks over the triples from each entity meet the known links. -> (N, seeds)"""
    graph = data.graph
    assert graph is not None
    triples = graph.triples if only is None else graph.triples[graph.triples[:, 1] == only]
    heads, tails = triples[:, 0], triples[:, 2]
    ends = np.concatenate((heads, tails)), np.concatenate((tails, heads))
    steps = sparse.csr_matrix((np.ones(len(ends[0])), ends), shape=(len(graph), len(graph)))
    steps = sparse.diags(1 / np.maximum(np.asarray(steps.sum(1)).ravel(), 1)) @ steps
    start = np.zeros((len(graph), len(seeds)))
    for side in (0, 1):
        start[seeds[:, side], np.arange(len(seeds))] = 1
    at, met = start, np.zeros_like(start)
    for _ in range(STEPS):
        met += STAY * at
        at = (1 - STAY) * (steps @ at)
    return np.sqrt(met)


def _cosine(table: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    return unit[pairs[:, 0]] @ unit[pairs[:, 1]].T


def standard(scores: np.ndarray) -> np.ndarray:
    """Scores with mean 0 and spread 1 over the whole table."""
    return (scores - scores.mean()) / scores.std()


def spread(scores: np.ndarray, near: int = 3) -> np.ndarray:
    """CSLS: twice the score, less what both ends score with their nearest three."""
    rows = np.sort(scores, 1)[:, -near:].mean(1)
    columns = np.sort(scores, 0)[-near:].mean(0)
    return 2 * scores - rows[:, None] - columns[None]


def ranking(scores: np.ndarray) -> dict[str, float]:
    """Hits@1, Hits@10 and MRR of the own partner among all, ties counted against it."""
    rank = (scores >= np.diag(scores)[:, None]).sum(1)
    return {
        "hits_1": round(float((rank <= 1).mean()), 4), "hits_10": round(float((rank <= 10).mean()), 4),
        "mrr": round(float((1 / rank).mean()), 4),
    }  # fmt: skip


def measure(data: DataSet) -> dict[str, dict[str, float]]:
    """A row a kind of evidence, on the test links, English to Chinese."""
    assert data.graph is not None
    one = {name: standard(table) for name, table in similarities(data, data.graph.pairs("test")).items()}
    rows = {
        "structure": one["structure"],
        "structure, keywords alone": one["structure, keywords alone"],
        "image": one["image"],
        "name": one["name"],
        "description": one["description"],
        "image + structure": one["image"] + one["structure"],
        "image + name": one["image"] + one["name"],
        "image + name + structure": one["image"] + one["name"] + one["structure"],
        "image + name + structure / 4": one["image"] + one["name"] + one["structure"] / 4,
        "image + name + description": one["image"] + one["name"] + one["description"],
        "all four": one["image"] + one["name"] + one["description"] + one["structure"],
    }
    made = {name: ranking(scores) for name, scores in rows.items()}
    again = ("name", "image + name", "image + name + structure / 4", "image + name + description")
    return made | {f"{name}, CSLS": ranking(spread(rows[name])) for name in again}


def main() -> None:
    """Encode the pictures once, measure, and write the card."""
    torch.set_num_threads(max(1, min(2, os.cpu_count() or 1)))
    data = emoji.load()
    encoder = image_encoder("efficientnet-lite0")
    pictures = graph_tables(data, ["image"])
    write(
        emoji.FOLDER / "pictures.npz", [sample.id for sample in data.samples], pictures,
        made_by(data, encoder), half=True,
    )  # fmt: skip
    meta = emoji.meta() | {"baselines": measure(data)}
    aside = emoji.FOLDER / ".meta.json"
    aside.write_text(json.dumps(meta, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(aside, emoji.FOLDER / "meta.json")
    write_card(emoji.FOLDER / "card.md", meta)
    for name, row in meta["baselines"].items():
        print(f"{name:<40} {row['hits_1']:.3f} {row['hits_10']:.3f} {row['mrr']:.3f}")


if __name__ == "__main__":
    main()
