"""A sample and a trace with every kind of signal, each axis of another size, for whatever draws or writes them."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import plotly.graph_objects as go
import torch

from fusion.signals import (
    Attention,
    Attribution,
    Canonical,
    CrossGeneration,
    EdgeWeights,
    Effects,
    Embedding,
    Gate,
    Marginals,
    Match,
    ModalityScores,
    ModalityWeights,
    Norms,
    Opinions,
    Parts,
    Posterior,
    Reconstruction,
    Trace,
    Transitions,
)
from fusion.types import Image, Sample, Steps, Text

CLASSES = ("O", "B-PER", "I-PER", "B-LOC", "X")
SENTENCE = ("Messi", "feeds", "the", "old", "dog", "in", "Rosario", ".")


def text_steps(groups: tuple[str, ...], pieces: tuple[int, ...] = (), padding: int = 0) -> Steps:
    """[CLS], each word in as many pieces as asked, [SEP], padding."""
    counts = pieces or (1,) * len(groups)
    labels, group, spans, at = ["[CLS]"], [-1], [], 0
    for index, (word, count) in enumerate(zip(groups, counts, strict=True)):
        labels += [word, *("##" + word[1:2] for _ in range(count - 1))]
        group += [index] * count
        spans.append((at, at + len(word)))
        at += len(word) + 1
    labels += ["[SEP]", *["[PAD]"] * padding]
    group += [-1] * (1 + padding)
    return Steps(tuple(labels), tuple(group), groups, tuple(spans))


def region_steps(rows: int, columns: int, marks: int = 0) -> Steps:
    names = tuple(f"row {y + 1}, column {x + 1}" for y in range(rows) for x in range(columns))
    return Steps((*("[CLS]",) * marks, *names), (*(-1,) * marks, *range(len(names))), names)


def picture_bytes(width: int = 40, height: int = 24) -> bytes:
    ramp = np.linspace(0, 255, width * height * 3).reshape(height, width, 3).astype(np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(ramp).save(buffer, "PNG")
    return buffer.getvalue()


def made(
    groups: tuple[str, ...] = SENTENCE, *, pieces: tuple[int, ...] = (), grid: tuple[int, int] = (7, 7), marks: int = 0,
    heads: int = 5, features: int = 64, padding: int = 2, layers: int = 3, seed: int = 0,
) -> tuple[Sample, Trace]:  # fmt: skip
    """A sample and a trace with every kind of signal, each axis of another size, like a tagger with an image gate."""
    torch.manual_seed(seed)
    names = text_steps(groups, pieces, padding)
    places = region_steps(*grid, marks)
    T, R, C = len(names.labels), len(places.labels), len(CLASSES)
    mask = torch.arange(T)[None] < T - padding
    seen = torch.ones(1, R, dtype=torch.bool)
    on_text = {"steps": "text", "mask": mask}
    attend = lambda q, k, hidden: torch.softmax(  # noqa: E731
        (torch.randn(1, heads, q, k) * 2).masked_fill(~hidden[:, None, None], -torch.inf), -1
    )
    region = attend(T, R, seen)
    voices = torch.randn(1, 3, T, C) * torch.tensor([2.0, 0.8, 0.3])[None, :, None, None]
    before = torch.tensor([[[0.73, 0.51, 0.94], [0.41, 0.0, 0.63], [0.12, 0.0, 0.22], [0.18, 0.49, float("nan")]]])
    signals = (
        *(
            Attention(
                name=f"text_attention_{i + 1}", unit="weight", normalised_over="text", value=attend(T, T, mask),
                layer=i, layers=layers, queries="text", keys="text", query_mask=mask, key_mask=mask,
                caveat="caveat.text_attention",
            )
            for i in range(layers)
        ),
        Match(name="match_score", unit="probability", value=torch.tensor([0.73]), caveat="caveat.match_score"),
        Attention(
            name="region_attention", unit="weight", normalised_over="image", value=region, layer=0, layers=1,
            queries="text", keys="image", query_mask=mask, key_mask=seen, caveat="caveat.region_attention",
        ),
        Gate(
            name="gate", unit="weight", value=torch.sigmoid(torch.randn(1, T, features)), modality="image",
            caveat="caveat.gate", **on_text,
        ),
        Norms(name="image_share", unit="none", value=torch.rand(1, T), caveat="caveat.norm", **on_text),
        Parts(
            name="emission_parts", unit="logit", value=voices, voices=("text", "image", "bias"), total="emissions",
            classes=CLASSES, caveat="caveat.emission_parts", **on_text,
        ),
        Marginals(
            name="crf_marginals", unit="probability", normalised_over="class", classes=CLASSES,
            value=torch.softmax(torch.randn(1, T, C) * 3, -1), caveat="caveat.marginals", **on_text,
        ),
        ModalityWeights(
            name="shares", unit="weight", normalised_over="modality", value=torch.tensor([[0.65, 0.25, 0.10]]),
            modalities=("text", "image", "audio"), caveat="caveat.weights",
        ),
        ModalityScores(
            name="modality_cosine", unit="cosine", value=torch.tensor([[0.41, -0.2, 0.93]]), neutral=0.0,
            modalities=("image", "graph", "name"), caveat="caveat.modality_cosine",
        ),
        Parts(
            name="cosine_share", unit="cosine", value=torch.tensor([[0.5, -0.1]]), voices=("image", "name"),
            total="joint_cosine", caveat="caveat.cosine_share",
        ),
        EdgeWeights(
            name="edge_attention_1", unit="weight", value=torch.softmax(torch.randn(1, 2, 6), -1), layer=0, layers=2,
            entity=torch.tensor([7]), neighbours=torch.tensor([[7, 3, 12, 5, 9, -1]]), degree=torch.tensor([5]),
            mask=torch.arange(6)[None] < 5, caveat="caveat.edge_attention",
        ),
        Embedding(
            name="aligned_text", unit="cosine", value=torch.randn(1, 9), modality="text", caveat="caveat.aligned"
        ),
        Embedding(
            name="aligned_image", unit="cosine", value=torch.randn(1, 9), modality="image", caveat="caveat.aligned"
        ),
        Opinions(
            name="branch_answers", unit="none", value=torch.tensor([[1.4, -0.6, 0.0]]),
            voices=("text", "image", "audio"), present=torch.tensor([[True, True, False]]),
            together=torch.tensor([0.4]), caveat="caveat.branch_answers",
        ),
        Reconstruction(
            name="reconstruction_text", unit="none", value=torch.randn(1, T, 6), truth=torch.randn(1, T, 6),
            hidden=mask & (torch.arange(T)[None] % 3 == 1), scale=torch.rand(1, 6) + 0.5,
            caveat="caveat.reconstruction", **on_text,
        ),
        _posterior(),
        _crossed(),
        _canonical(),
        Transitions(
            name="crf_transitions", unit="logit", per_sample=False, value=torch.randn(C, C), start=torch.randn(C),
            end=torch.randn(C), classes=CLASSES, caveat="caveat.transitions",
        ),
        *_attributions(on_text["mask"], places),
        Effects(
            name="drop", unit="probability", value=before, observables=("match", "gate", "confidence"),
            conditions=("as_is", "without_text", "without_image", "exchanged_image"),
            units=("probability", "weight", "probability"), caveat="caveat.drop",
            said=(("Messi (PER), Rosario (LOC)", "", "Messi (PER)", "Messi (PER), Rosario (LOC)"),),
        ),
    )  # fmt: skip
    parts_ = {"text": Text(" ".join(groups)), "image": Image(data=picture_bytes())}
    return Sample("one", parts_), Trace(signals, {"text": (names,), "image": (places,)})


def _attributions(mask: torch.Tensor, places: Steps) -> tuple[Attribution, ...]:
    """Of the words, sampled, both ways; of the regions, shares."""
    regions = torch.ones(1, len(places.labels), dtype=torch.bool)
    return (
        Attribution(
            name="shapley_text", unit="none", value=torch.randn(mask.shape) * mask, steps="text", mask=mask,
            signed=True, error=torch.rand(mask.shape) * mask, caveat="caveat.explained_by_hiding",
        ),
        Attribution(
            name="raw_image", unit="none", value=torch.rand(regions.shape), steps="image", mask=regions, signed=False,
            caveat="caveat.explained_by_attention",
        ),
    )  # fmt: skip


def _posterior() -> Posterior:
    """Three experts, one of them not there, over seven latent dimensions."""
    subsets = (("text",), ("image",), ("audio",), ("text", "image"), ("text", "audio"), ("image", "audio"),
               ("text", "image", "audio"))  # fmt: skip
    return Posterior(
        name="posterior", unit="none", value=torch.randn(1, 3, 7), scale=torch.rand(1, 3, 7) + 0.2,
        present=torch.tensor([[True, True, False]]), joint=torch.randn(1, 7), joint_scale=torch.rand(1, 7) + 0.1,
        prior_scale=torch.ones(1, 7), subset_mean=torch.randn(1, 7, 7), subset_scale=torch.rand(1, 7, 7) + 0.2,
        subset_present=torch.tensor([[True, True, False, True, False, False, False]]),
        share=torch.softmax(torch.randn(1, 4, 7), 1), kl=torch.rand(1, 7), modalities=("text", "image", "audio"),
        distance=torch.tensor([[[0.0, 1.7, 0.0], [1.7, 0.0, 0.0], [0.0, 0.0, 0.0]]]),
        subsets=subsets, rule="mopoe", caveat="caveat.posterior",
    )  # fmt: skip


def _crossed() -> CrossGeneration:
    """A word of up to five letters, a picture of 3 x 4 pixels, and a modality of two steps that is not there."""
    words = torch.softmax(3 * torch.randn(1, 4, 5, 4), -1).flatten(2)
    truth = torch.nn.functional.one_hot(torch.tensor([[0, 1, 2, 3, 3]]), 4).float().flatten(1)
    known = torch.cat((torch.ones(1, 16), torch.zeros(1, 4), torch.ones(1, 12), torch.zeros(1, 6)), 1).bool()
    return CrossGeneration(
        name="cross_generation", unit="none", value=torch.cat((words, torch.rand(1, 4, 12), torch.randn(1, 4, 6)), -1),
        truth=torch.cat((truth, torch.rand(1, 12), torch.zeros(1, 6)), 1), real=known,
        told=torch.tensor([[True, True, False, True]]), sources=("text", "image", "audio", "all"),
        modalities=("text", "image", "audio"), sizes=((5, 4), (1, 12), (2, 3)),
        likelihoods=("categorical", "bernoulli", "normal"), pictures=((), (1, 3, 4), ()),
        tokens=(("a", "b", "c", ""), (), ()), caveat="caveat.cross_generation",
    )  # fmt: skip


def _canonical() -> Canonical:
    """Three views with four components, held-out rows and p-values."""
    widths = {"text": 13, "image": 6, "audio": 3}
    return Canonical(
        name="canonical", unit="none", per_sample=False, value=torch.rand(4, 3), modalities=tuple(widths),
        eigenvalues=torch.tensor([1.8, 1.2, 0.9, 0.4]), redundancy=torch.rand(3, 4), rank=torch.tensor([13, 6, 3]),
        loadings={m: 2 * torch.rand(width, 4) - 1 for m, width in widths.items()},
        scores={m: torch.randn(17, 4) for m in widths}, rows=120, held_out=torch.rand(4, 3) - 0.2, held_out_rows=17,
        p=torch.tensor([0.005, 0.03, 0.2, 0.2]), rounds=200, caveat="caveat.canonical",
    )  # fmt: skip


class Compared:
    """Scores of true and of shuffled pairs."""

    true = np.asarray([0.2, 0.6, 0.7, 0.8, 0.9, 0.95], np.float32)
    shuffled = np.asarray([0.05, 0.1, 0.3, 0.4, 0.75], np.float32)


def values(figure: go.Figure, curve: int = 0, name: str = "z") -> np.ndarray:
    """The numbers of one trace of a figure."""
    return np.asarray(figure.data[curve][name], np.float32)
