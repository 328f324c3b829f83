"""Tiny models and random batches for the laws: one builder a system, a different size on every axis.

A new system adds one function and one row of TOYS. `lawful` holds switches under which a law that a published formula
breaks (Card.exceptions) must hold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from fusion.models import MODELS
from fusion.models.base import ClosedForm, FusionModel
from fusion.models.maf import CLASSES
from fusion.types import Batch, Graph, Steps
from tests import stream_toys, vae_toys, view_toys
from tests.noise import Pairs, noise


@dataclass(frozen=True)
class Toy:
    """How to build one system small, what to feed it, and where its planted answer lies."""

    config: Callable[..., Any]
    batch: Callable[[Any, int], Batch]  # config, B -> random batch
    planted: Callable[[Any, int], Batch]  # config, B -> batch whose target follows from one modality
    answer: str  # the modality that carries the planted answer
    padded: Callable[[Batch], Pairs]  # the same but for what nothing may read, and both must be answered alike
    cut: Callable[[Batch], Pairs]  # with and without what nothing may read
    hidden: Callable[[Batch], Pairs]  # with other content where something was hidden on purpose
    changed: Callable[[Batch, str], Batch]  # with other content of one modality
    lawful: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # law -> switches
    flat: tuple[str, ...] = ()  # endings of parameters whose gradient is zero by mathematics


def build(key: str, **switches: Any) -> FusionModel:
    """The toy model of a system, in evaluation mode, from the same seed each time; one that is solved is solved."""
    torch.manual_seed(3)
    model = MODELS[key](TOYS[key].config(**switches)).eval()
    if isinstance(model, ClosedForm):
        planted = TOYS[key].planted
        model.solve([planted(model.config, 90), planted(model.config, 40)], [planted(model.config, 60)], rounds=19)
    return model


def exchange(batch: Batch, modality: str, order: Tensor) -> Batch:
    """The batch with one modality of every sample taken from another. order (B,) int

    Of a graph, of the first entity of every question: its features, or its place among the edges.
    """
    if batch.graph is not None and batch.query is not None:
        first = batch.query[:, 0]
        moved = torch.arange(len(batch.present))
        moved[first] = first[order]
        if modality not in batch.features:
            graph = Graph(moved[batch.graph.edges], batch.graph.relations, batch.graph.side)
            return replace(batch, graph=graph)
        return replace(batch, features={**batch.features, modality: batch.features[modality][moved]})
    swap = lambda tensors: tensors | ({modality: tensors[modality][order]} if modality in tensors else {})  # noqa: E731
    return replace(
        batch, features=swap(batch.features), pooled=swap(batch.pooled), mask=swap(batch.mask), kept=swap(batch.kept)
    )


def maf_config(**switches: Any) -> Any:
    sizes = {
        "text_width": 12, "image_width": 7, "pooled_width": 5, "shape_width": 3, "regions": 8, "max_length": 9,
        "heads": 3, "layers": 2, "inner_width": 17, "dropout": 0.0, "negative_rate": 4, "cm_padding": "masked",
    }  # fmt: skip
    return MODELS["maf"].Config(**(sizes | switches))


def maf_batch(config: Any, size: int) -> Batch:
    """Random features; texts of different lengths, the longest as long as the model reads; some regions hidden."""
    steps, regions, width = config.max_length, config.regions, config.text_width + config.shape_width
    lengths = torch.tensor([steps - (3 * i) % (steps - 2) for i in range(size)])
    mask = torch.arange(steps) < lengths[:, None]
    seen = torch.rand(size, regions) > 0.2
    seen[:, 0] = True
    target = torch.randint(1, len(config.classes), (size, steps)) * mask
    words, places = _names("word", steps), _names("region", regions)
    return Batch(
        features={"text": torch.randn(size, steps, width), "image": torch.randn(size, regions, config.image_width)},
        pooled={"text": torch.randn(size, config.pooled_width), "image": torch.randn(size, config.image_width)},
        mask={"text": mask, "image": torch.ones(size, regions, dtype=torch.bool)},
        kept={"text": mask, "image": seen},
        present=torch.ones(size, 2, dtype=torch.bool),
        modalities=("text", "image"),
        ids=tuple(f"sample {i}" for i in range(size)),
        target=target,
        steps={"text": (words,) * size, "image": (places,) * size},
    )  # fmt: skip


def _names(kind: str, count: int) -> Steps:
    """Numbered steps, each its own group; words lie one after the other in a text of six characters each."""
    names = tuple(f"{kind} {i + 1}" for i in range(count))
    return Steps(names, tuple(range(count)), names, tuple((7 * i, 7 * i + 6) for i in range(count)))


def maf_planted(config: Any, size: int) -> Batch:
    """Word 2 is a name in every text; only the picture says whether of a person or a place. The rest is noise."""
    batch = maf_batch(config, size)
    person = torch.rand(size) > 0.5
    text = 0.1 * torch.randn_like(batch.features["text"])
    text[:, 1, 0] += 2.0  # which word is the name
    image = 0.1 * torch.randn_like(batch.features["image"])
    image[..., 0] += torch.where(person, 2.0, -2.0)[:, None]
    mask = torch.ones_like(batch.mask["text"])
    target = torch.full_like(batch.target, CLASSES.index("O"))  # type: ignore[arg-type]  # a batch of maf_batch has one
    target[:, 1] = torch.where(person, CLASSES.index("B-PER"), CLASSES.index("B-LOC"))
    seen = {"text": mask, "image": batch.mask["image"]}
    pooled = {"text": text[:, 1, : config.pooled_width], "image": image.mean(1)}
    return replace(batch, features={"text": text, "image": image}, pooled=pooled, mask=seen, kept=seen, target=target)


def maf_padded(batch: Batch) -> Pairs:
    assert any((~mask).any() for mask in batch.mask.values()), "a batch without padding can't show it"
    return [(batch, noise(batch, modality, ~mask)) for modality, mask in batch.mask.items()]


def maf_cut(batch: Batch) -> Pairs:
    batch = batch.rows(batch.mask["text"].sum(1).argsort()[:5])  # the five shortest texts
    longest = int(batch.mask["text"].sum(1).max())
    assert longest < batch.mask["text"].shape[1]
    cut = lambda tensors: {**tensors, "text": tensors["text"][:, :longest]}  # noqa: E731
    return [(batch, replace(batch, features=cut(batch.features), mask=cut(batch.mask), kept=cut(batch.kept)))]


def maf_hidden(batch: Batch) -> Pairs:
    text = batch.mask["text"].clone()
    text[:, 1] = False  # the second step of every text, real and hidden
    batch = replace(batch, kept={**batch.kept, "text": text})
    where = {m: batch.mask[m] & ~kept for m, kept in batch.kept.items()}
    assert all(hidden.any() for hidden in where.values())
    return [(batch, noise(batch, m, hidden)) for m, hidden in where.items()]


def maf_changed(batch: Batch, modality: str) -> Batch:
    other = noise(batch, modality, torch.ones_like(batch.mask[modality]))
    return replace(other, pooled={**other.pooled, modality: torch.randn_like(other.pooled[modality])})


SIDES = (60, 61)  # entities of the two graphs
WIDTHS = {"image": 7, "attribute": 9, "relation": 10, "graph": 12, "name": 8, "char": 13}


def entity_sizes() -> dict[str, Any]:
    return {
        "entities": sum(SIDES), "modalities": tuple(WIDTHS), "input_widths": tuple(WIDTHS.values()),
        "hidden_widths": (12,), "heads": (2, 3), "dropout": 0.0, "candidates": 5,
    }  # fmt: skip


def mclea_config(**switches: Any) -> Any:
    sizes = {"widths": (18, 5, 14, 12, 15, 16), "projected": ("image", "graph"), "pairs": 30}
    return MODELS["mclea"].Config(**(entity_sizes() | sizes | switches))


def meaformer_config(**switches: Any) -> Any:
    sizes = {
        "width": 12, "fusion_layers": 2, "fusion_heads": 3, "inner_width": 17, "fusion_dropout": 0.0, "pairs": 30,
    }  # fmt: skip
    return MODELS["meaformer"].Config(**(entity_sizes() | sizes | switches))


def entity_batch(config: Any, size: int) -> Batch:
    """Random features and edges; questions about random pairs of the two graphs; some entities lack a modality."""
    count, (left, right) = sum(SIDES), SIDES
    edges = torch.cat((torch.randint(0, left, (2, 150)), torch.randint(left, count, (2, 170))), 1)
    side = (torch.arange(count) >= left).long()
    partner = left + torch.randperm(right)[:left]
    first = torch.randperm(left)[:size]
    return Batch(
        features={m: torch.randn(count, width) for m, width in WIDTHS.items() if m != "graph"}, pooled={}, mask={},
        kept={}, present=torch.rand(count, len(WIDTHS)) > 0.1, modalities=tuple(WIDTHS),
        ids=tuple(f"entity {i}" for i in first.tolist()), target=partner[first][:, None],
        graph=Graph(edges, torch.randint(0, 4, (edges.shape[1],)), side),
        query=torch.stack((first, partner[first]), 1),
    )  # fmt: skip


def entity_planted(config: Any, size: int) -> Batch:
    """The two of a pair look alike in their picture alone. All else is noise, and pairs are drawn anew each time."""
    batch = entity_batch(config, size)
    assert batch.query is not None
    image = torch.nn.functional.normalize(batch.features["image"], dim=1)
    image[batch.query[:, 1]] = image[batch.query[:, 0]]
    features = {m: 0.1 * value for m, value in batch.features.items()} | {"image": image}
    return replace(batch, features=features, present=torch.ones_like(batch.present))


def entity_padded(batch: Batch) -> Pairs:
    """Triples that come twice or the other way round, and those of an entity with itself, say nothing new."""
    assert batch.graph is not None
    edges = batch.graph.edges
    more = torch.cat((edges, edges[:, :40], edges[:, 30:80].flip(0), torch.arange(9).expand(2, -1)), 1)
    return [(batch, replace(batch, graph=_graph(batch, more)))]


def entity_cut(batch: Batch) -> Pairs:
    assert batch.graph is not None
    edges = batch.graph.edges
    apart = edges[:, edges[0] != edges[1]].sort(0).values.unique(dim=1)
    assert apart.shape[1] < edges.shape[1]
    return [(batch, replace(batch, graph=_graph(batch, apart)))]


def _graph(batch: Batch, edges: Tensor) -> Graph:
    assert batch.graph is not None
    return Graph(edges, torch.zeros_like(edges[0]), batch.graph.side)


def entity_hidden(batch: Batch) -> Pairs:
    """What stands where an entity lacks a modality."""
    return [(batch, noise(batch, m, ~batch.has(m))) for m in batch.features]


def entity_changed(batch: Batch, modality: str) -> Batch:
    if modality not in batch.features:
        assert batch.graph is not None
        return replace(batch, graph=_graph(batch, batch.graph.edges.roll(3, 1).roll(1, 0).sort(1).values))
    return noise(batch, modality, torch.ones_like(batch.present[:, 0]))


LINKED = {"image": 7, "text": 13}


def imf_config(**switches: Any) -> Any:
    sizes = {
        "entities": sum(SIDES), "relations": 4, "width": 12, "image_width": LINKED["image"],
        "text_width": LINKED["text"], "fusion_dropout": 0.0, "dropout": 0.0, "map_dropout": 0.0, "output_dropout": 0.0,
        "candidates": 5, "offsets": True, "contrastive_weight": 0.01,
    }  # fmt: skip
    return MODELS["imf"].Config(**(sizes | switches))


def link_batch(config: Any, size: int) -> Batch:
    """Random triples over random features; questions whose tail is known; some entities lack a modality."""
    count, modalities = config.entities, ("structure", *LINKED)
    heads, tails = torch.randperm(count)[: 2 * size].unflatten(0, (2, -1))
    edges = torch.cat((torch.randint(0, count, (2, 300)), torch.stack((heads, tails))), 1)
    query = torch.stack((heads, torch.randint(0, 2 * config.relations, (size,)), tails), 1)
    return Batch(
        features={m: torch.randn(count, width) for m, width in LINKED.items()}, pooled={}, mask={}, kept={},
        present=torch.rand(count, 3) > 0.1, modalities=modalities, ids=tuple(f"query {i}" for i in range(size)),
        target=torch.stack((torch.arange(size), tails), 1),
        graph=Graph(edges, torch.randint(0, config.relations, (edges.shape[1],))), query=query,
    )  # fmt: skip


def link_planted(config: Any, size: int) -> Batch:
    """The tail's picture is the opposite of the head's. All else is noise, and triples are drawn anew each time."""
    batch = link_batch(config, size)
    assert batch.query is not None
    image = torch.nn.functional.normalize(torch.randn_like(batch.features["image"]), dim=1)
    image[batch.query[:, 2]] = -image[batch.query[:, 0]]
    return replace(batch, features={**batch.features, "image": image}, present=torch.ones_like(batch.present))


def mlp_config(key: str) -> Callable[..., Any]:
    """Settings of one of the classic strategies."""

    def config(**switches: Any) -> Any:
        sizes = {"width": 12, "layers": 1, "dropout": 0.0, "heads": 3, "rank": 2}
        return MODELS[key].Config(**(dict(stream_toys.SIZES) | sizes | switches))

    return config


ENTITIES = {
    "padded": entity_padded, "cut": entity_cut, "hidden": entity_hidden, "changed": entity_changed,
    "lawful": {"hidden": {"missing": "masked"}},
}  # fmt: skip


def hscl_config(**switches: Any) -> Any:
    sizes = {"heads": 5, "encoder_heads": (3, 2), "encoder_inner": (14, 15), "projection": 8, "dropout": 0.0}
    return MODELS["hscl"].Config(**({**stream_toys.SIZES, **sizes} | switches))


def tfr_net_config(**switches: Any) -> Any:
    sizes = {
        "width": 8, "heads": 2, "cross_layers": 1, "self_layers": 1, "kernels": (1, 5, 3), "hidden": (5, 4, 6),
        "gru_layers": 1, "head_width": 16, "dropout": 0.0, "attention_dropout": (0.0, 0.0, 0.0),
    }  # fmt: skip
    return MODELS["tfr_net"].Config(**({**stream_toys.SIZES, **sizes} | switches))


def tate_config(**switches: Any) -> Any:
    sizes = {"width": 12, "heads": 4, "classes": ("low", "high"), "dropout": 0.0}
    return MODELS["tate"].Config(**({**stream_toys.SIZES, **sizes} | switches))


def vae_config(key: str) -> Callable[..., Any]:
    """Settings of one of the multimodal VAEs."""

    def config(**switches: Any) -> Any:
        sizes = {"samples": 2} if key == "mmvae" else {}
        return MODELS[key].Config(**({**vae_toys.SIZES, **sizes} | switches))

    return config


def views_config(key: str) -> Callable[..., Any]:
    """Settings of a system of views that is solved; a wide kernel, as there are few rows."""
    sizes = {**view_toys.SIZES, **({"gamma": (0.02,), "c": (0.3,)} if key == "kcca" else {})}
    return lambda **switches: MODELS[key].Config(**(sizes | switches))


TOYS: dict[str, Toy] = {
    "maf": Toy(
        maf_config,
        maf_batch,
        maf_planted,
        answer="image",
        padded=maf_padded,
        cut=maf_cut,
        hidden=maf_hidden,
        changed=maf_changed,
        lawful={"padding": {"cm_padding": "masked"}},
        flat=(".key.bias",),  # adds the same score to every key, which the softmax ignores
    ),
    "mclea": Toy(mclea_config, entity_batch, entity_planted, answer="image", **ENTITIES),
    "meaformer": Toy(meaformer_config, entity_batch, entity_planted, answer="image", flat=(".key.bias",), **ENTITIES),
    "imf": Toy(imf_config, link_batch, link_planted, answer="image", **{**ENTITIES, "lawful": {}}),
    "hscl": Toy(hscl_config, **stream_toys.LAWS),
    "tfr_net": Toy(tfr_net_config, **stream_toys.LAWS),
    "tate": Toy(tate_config, **stream_toys.LAWS),
    "early": Toy(mlp_config("early"), **stream_toys.LAWS),
    "late": Toy(mlp_config("late"), **stream_toys.LAWS),
    "hierarchical": Toy(mlp_config("hierarchical"), **stream_toys.LAWS),
    "hybrid": Toy(mlp_config("hybrid"), **stream_toys.LAWS),
    "feature": Toy(mlp_config("feature"), **stream_toys.LAWS),
    "mvae": Toy(vae_config("mvae"), **vae_toys.LAWS),
    "mmvae": Toy(vae_config("mmvae"), **vae_toys.LAWS),
    "mopoe": Toy(vae_config("mopoe"), **vae_toys.LAWS),
    "mcca": Toy(views_config("mcca"), **view_toys.LAWS),
    "kcca": Toy(views_config("kcca"), **view_toys.LAWS),
}
