"""HSCL: read a score off text that looked at sound and at vision, in spaces ordered by the score.

Paper: Chen, Wang, Hao, "Hierarchical Supervised Contrastive Learning for Multimodal Sentiment Analysis", MultiMedia
Modeling 2024, doi:10.1007/978-3-031-53308-2_5. Text (B, T, D) comes from an encoder outside; every other
modality m is a sequence of its own width d_m.

    E_m = Encoder([c_m; x_m] sqrt(d_m) + positions),  R_m = E_m at c_m,  R_t = E_t at its first token
    H_t = LN(E_t + A(E_t, E_t)),  F_mt = LN(rho + A(H_t, E_m)),  Y_mt = LN(F_mt + W_2 ReLU(W_1 F_mt))     (1)
    R_mt = Y_mt at the first token,  u = mean_m R_mt,  g = tanh(W_1' u),  f = W_2' g,  y = W_3' tanh(f)   (2)
    S_m = ReLU(W R_m + b) for t and each m, and for each pair mt, with weights of their own
    L_tm = SupCR(S_t, S_m) + alpha / N sum |S_t - S_m|^p                                                 (3), (4)
    L = |y - y'| + w_1 sum_m L_tm + w_2 sum_(m < n) SupCR(S_mt, S_nt)                                     (5)

A: attention; rho = H_t; p = 2; SupCR: fusion.losses. "Hierarchical" are the two levels of contrast, single modalities
and pairs. With one modality beside the text there is no second pair, and the contrast of pairs is left out.

Ours, where the paper has nothing to say: one or any number of other modalities; classes instead of a score (cross-
entropy; two targets differ by 0 or 1); a hidden or padded step is never attended to, a missing modality is its summary
token alone, missing text is a zero vector, and a sample without one of two modalities is left out of their contrast.

Differs from the official code (Turdidae810/HSCL@28bf987), each a switch of `Config`:
* `supcr_denominator`: the released loss sums the similarities of the positive, not of the anchor.
* `similarity_power`: the released distance of two projections is not squared.
* `cross_residual`: the released rho is E_t, so that text reaches text only through the queries.
* `text_padding`: the released self-attention reads padding, so its answer depends on how much of it there is.
* `cls_token`: the released c_m is drawn anew at every call, at test too, and never trained or saved. Here it is drawn
  at every call of training, and for all others once, from `cls_seed`; forward(cls=...) takes one, `spread` tries many.
* `init`: the released program draws its weights many times over, of one distribution; this changes the stream alone.
Which epoch it keeps is chosen by the test set in the released program; that is not offered here.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks.multihead import EncoderLayer, MultiHead, positions
from fusion.losses import supcr
from fusion.models import hscl_signals
from fusion.models.base import WIDEST, FusionModel, check_settings
from fusion.signals import FusionOutput, Trace
from fusion.types import Card, FusionError, Modality, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.types import Batch

_SIZE, _WEIGHT = (1, WIDEST), (0, 1e3)
RANGES = {
    "widths": _SIZE, "steps": _SIZE, "heads": (0, WIDEST), "encoder_heads": _SIZE, "encoder_inner": _SIZE,
    "encoder_layers": (1, 100), "projection": _SIZE, "dropout": (0, 0.999), "temperature": (0.01, 1e3),
    "similarity_weight": _WEIGHT, "single_weight": _WEIGHT, "pair_weight": _WEIGHT, "cls_seed": (0, 2**31),
}  # fmt: skip
KINDS = {"text": ("text", "token"), "image": ("image", "region"), "vision": ("image", "frame")}
HEADS = {5: 1, 20: 5, 35: 5, 74: 2}  # of the encoder of a width, in the paper
NOISE = {"audio": 1.0}  # deviation of a drawn summary token; 0.2 of any other modality


@dataclass(frozen=True)
class Config:
    """Sizes, loss weights and switches of HSCL; the defaults are the paper's on MOSI."""

    modalities: tuple[str, ...] = ("text", "audio", "vision")  # the first one asks the others
    widths: tuple[int, ...] = (768, 5, 20)  # D of each
    steps: tuple[int, ...] = (50, 375, 500)  # T of each in training; longer ones are read, too
    classes: tuple[str, ...] = ()  # (): a score
    heads: int = 0  # of both attentions of eq. (1); 0: the paper's 12, or the most below that divide
    encoder_heads: tuple[int, ...] = ()  # of each other modality; (): the paper's, else the most up to 5 that divide
    encoder_inner: tuple[int, ...] = ()  # of each other modality; (): the paper's, 64 of width 20 and else 32
    encoder_layers: int = 3
    projection: int = 128  # width of the head and of the spaces of contrast
    dropout: float = 0.1
    temperature: float = 0.5  # tau of eq. (3)
    similarity_weight: float = 0.1  # alpha of eq. (4)
    single_weight: float = 0.01  # w_1 of eq. (5)
    pair_weight: float = 0.1  # w_2 of eq. (5); 0.05 on MOSEI
    supcr_denominator: Literal["anchor", "positive"] = "anchor"
    similarity_power: Literal[2, 1] = 2
    cross_residual: Literal["attended", "input"] = "attended"
    text_padding: Literal["masked", "attended"] = "masked"
    cls_token: Literal["learned", "noise"] = "learned"
    cls_seed: int = 0  # of the noise outside training
    init: Literal["once", "repeated"] = "once"

    def __post_init__(self) -> None:
        check_settings(self, RANGES)
        count = len(self.modalities)
        if count < 2 or len(self.widths) != count or len(self.steps) != count:
            raise FusionError(
                f"HSCL got {count} modalities, {len(self.widths)} widths and {len(self.steps)} lengths; it needs the "
                "text and at least one more modality, and a width and a length for each."
            )
        if len(self.classes) == 1:
            raise FusionError("One class leaves nothing to choose; name two or more, or none to predict a score.")
        for name in ("encoder_heads", "encoder_inner"):
            given = getattr(self, name)
            if given and len(given) != count - 1:
                raise FusionError(
                    f"{name} has {len(given)} numbers; give one for each modality but the first, or none."
                )
        for name, width, heads in zip(
            self.modalities, self.widths, (self.text_heads(), *self.own_heads()), strict=True
        ):
            if width % heads:
                raise FusionError(f"The width {width} of {name} does not divide by its {heads} heads; change one.")

    @classmethod
    def released(cls, **overrides: object) -> Config:
        """The behaviour of the official code."""
        own = cls(
            supcr_denominator="positive", similarity_power=1, cross_residual="input", text_padding="attended",
            cls_token="noise", init="repeated",
        )  # fmt: skip
        return replace(own, **overrides)  # type: ignore[arg-type]

    def own_heads(self) -> tuple[int, ...]:
        """Heads of the encoder of each modality but the first."""
        return self.encoder_heads or tuple(HEADS.get(width) or _most(width, 5) for width in self.widths[1:])

    def text_heads(self) -> int:
        """Heads of the attentions whose queries are text."""
        return self.heads or _most(self.widths[0], 12)

    def own_inner(self) -> tuple[int, ...]:
        """Width inside the encoder's layers of each modality but the first."""
        return self.encoder_inner or tuple(64 if width == 20 else 32 for width in self.widths[1:])


def _most(width: int, limit: int) -> int:
    return max(heads for heads in range(1, limit + 1) if width % heads == 0)


class Encoder(nn.Module):
    """A sequence with its place in it, through layers of self-attention."""

    def __init__(self, width: int, heads: int, inner: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(width, heads, inner, dropout) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def placed(self, x: Tensor) -> Tensor:
        """x sqrt(d) + positions. (B, T, d) -> (B, T, d)"""
        return x * math.sqrt(x.shape[-1]) + positions(x.shape[1], x.shape[2], x)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """(B, T, d), (B, T) bool -> (B, T, d); a sample must see a step"""
        x = self.dropout(self.placed(x))
        for layer in self.layers:
            x = layer(x, seen)
        return x


class Crossed(NamedTuple):
    """What one bimodal layer makes, and on its way."""

    output: Tensor  # (B, T, D) Y
    attended: Tensor  # (B, T, D) H
    crossed: Tensor  # (B, T, D) F
    share: Tensor  # (B,) length of what came across relative to rho, at the first token
    self_attention: Tensor  # (B, H, T, T), or empty
    cross_attention: Tensor  # (B, H, T, K), or empty


class FusionLayer(nn.Module):
    """Text that looks at itself, then at another modality: eq. (1)."""

    def __init__(self, width: int, other: int, heads: int, dropout: float, residual: str) -> None:
        super().__init__()
        self.residual = residual
        self.own, self.cross = MultiHead(width, heads, dropout), MultiHead(width, heads, dropout, other)
        self.own_norm, self.cross_norm, self.norm = (nn.LayerNorm(width) for _ in range(3))
        self.inner, self.outer = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, text: Tensor, other: Tensor, read: Tensor, seen: Tensor, *, trace: bool = False) -> Crossed:
        """text (B, T, D), other (B, K, d), which of their steps may be attended to (B, T) and (B, K) bool"""
        own, self_attention = self.own(text, text, read, trace=trace)
        attended = self.own_norm(text + self.dropout(own))
        across, cross_attention = self.cross(attended, other, seen, trace=trace)
        rho = attended if self.residual == "attended" else text
        crossed = self.cross_norm(rho + self.dropout(across))
        output = self.norm(crossed + self.dropout(self.outer(self.dropout(F.relu(self.inner(crossed))))))
        share = across[:, 0].norm(dim=-1) / rho[:, 0].norm(dim=-1).clamp(min=1e-12)
        return Crossed(output, attended, crossed, share, self_attention, cross_attention)


class HSCL(FusionModel):
    """Hierarchical supervised contrastive learning over given sequences."""

    card = Card(
        key="hscl",
        name="HSCL",
        title="Hierarchical supervised contrastive learning for multimodal sentiment",
        paper="Chen, Wang, Hao, MultiMedia Modeling 2024, doi:10.1007/978-3-031-53308-2_5",
        official="Turdidae810/HSCL@28bf987",
        tasks=(Task.REGRESSION, Task.CLASSES),
        shows=("Attention", "ModalityScores", "Opinions", "Embedding"),
    )
    Config = Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        width, drop, to = config.widths[0], config.dropout, config.projection
        others = config.widths[1:]
        self.config, self.classes = config, config.classes
        self.task = Task.CLASSES if config.classes else Task.REGRESSION
        self.modalities = tuple(
            Modality(name, KINDS.get(name, (name, "frame"))[0], wide, steps, KINDS.get(name, (name, "frame"))[1])
            for name, wide, steps in zip(config.modalities, config.widths, config.steps, strict=True)
        )
        self.encoders = nn.ModuleList(
            Encoder(wide, heads, inner, config.encoder_layers, drop)
            for wide, heads, inner in zip(others, config.own_heads(), config.own_inner(), strict=True)
        )
        self.fusions = nn.ModuleList(
            FusionLayer(width, wide, config.text_heads(), drop, config.cross_residual) for wide in others
        )
        self.hidden, self.feature = nn.Linear(width, to), nn.Linear(to, to)
        self.answer = nn.Linear(to, len(config.classes) or 1)
        self.single = nn.ModuleList(nn.Linear(wide, to) for wide in config.widths)  # contrast of t and each m
        self.pair = nn.ModuleList(nn.Linear(width, to) for _ in others)  # contrast of each mt
        self.dropout = nn.Dropout(drop)
        matrices = [parameter for parameter in self.parameters() if parameter.ndim > 1 and not parameter.is_meta]
        for last in range(1, len(matrices) + 1) if config.init == "repeated" else (len(matrices),):
            for matrix in matrices[:last]:
                nn.init.xavier_normal_(matrix)
        learned = others if config.cls_token == "learned" else ()
        self.summaries = nn.ParameterList(nn.Parameter(0.02 * torch.randn(wide)) for wide in learned)

    def draw(self, seed: int | None = None) -> dict[str, Tensor]:
        """Summary tokens as the released program draws them, {m: (d,)}, on the CPU; None: from torch's own stream."""
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        others = zip(self.config.modalities[1:], self.config.widths[1:], strict=True)
        return {m: NOISE.get(m, 0.2) * torch.randn(width, generator=generator) for m, width in others}

    def forward(self, batch: Batch, *, trace: bool = True, cls: Mapping[str, Tensor] | None = None) -> FusionOutput:
        """Score (B,) or logits (B, C); fused (B, P) is f of eq. (2); the trace. `cls`: summary tokens {m: (d,)}.

        Raises FusionError for a sample in which no modality is present.
        """
        text, read, others = self.encode(batch, cls)
        seen = self._seen(batch, self.config.modalities[0])
        layers = [
            fusion(text, encoded, read, shown, trace=trace)
            for fusion, (encoded, shown) in zip(self.fusions, others, strict=True)
        ]
        branches = torch.stack([layer.output[:, 0] for layer in layers], 1)  # (B, M - 1, D) R_mt
        prediction, feature = self.head(branches.mean(1))
        single = [text[:, 0], *(encoded[:, 0] for encoded, _ in others)]
        projected = [F.relu(f(self.dropout(x))) for f, x in zip(self.single, single, strict=True)]
        pairs = [F.relu(f(self.dropout(x))) for f, x in zip(self.pair, branches.unbind(1), strict=True)]
        extras = {"feature": feature, "branches": branches, "pairs": torch.stack(pairs, 1)}  # pairs (B, M - 1, P)
        for name, other in zip(self.config.modalities[1:], projected[1:], strict=True):
            extras[f"views_{name}"] = torch.stack((projected[0], other), 1)  # (B, 2, P)
        told = hscl_signals.trace(self, batch, seen, read, others, layers, prediction, extras) if trace else Trace()
        return FusionOutput(prediction, feature, told, extras)

    def encode(
        self, batch: Batch, cls: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """E_t (B, T, D), which of its steps may be attended to (B, T), and of each other modality E_m and the same."""
        for name, some in zip(batch.ids, batch.present.any(1).tolist(), strict=True):
            if not some:
                raise FusionError(
                    f'"{name}" has none of {", ".join(self.config.modalities)}; give it at least one of them.'
                )
        first, *rest = self.config.modalities
        seen, real = self._seen(batch, first), batch.mask[first] & batch.has(first)[:, None]
        attended = self.config.text_padding == "attended"
        shown = seen | (~real & batch.has(first)[:, None]) if attended else seen
        text = torch.where(shown[..., None], batch.features[first], 0.0)
        read = torch.ones_like(seen) if attended else seen.clone()
        read[:, 0] |= ~read.any(1)  # a softmax needs a step; what it sees there is zero
        summaries = self._summaries(cls)
        others = []
        for number, name in enumerate(rest):
            seen, start = self._seen(batch, name), summaries[number].to(text.device, text.dtype)
            x = torch.where(seen[..., None], batch.features[name], 0.0)
            x = torch.cat((start.expand(len(x), 1, -1), x), 1)  # (B, T + 1, d)
            shown = F.pad(seen, (1, 0), value=True)
            others.append((self.encoders[number](x, shown), shown))
        return text, read, others

    def head(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Eq. (2). (B, D) -> score (B,) or logits (B, C), f (B, P)"""
        feature = self.feature(torch.tanh(self.hidden(self.dropout(u))))
        answer = self.answer(torch.tanh(feature))
        return (answer if self.classes else answer[:, 0]), feature

    def _summaries(self, cls: Mapping[str, Tensor] | None) -> list[Tensor]:
        names = self.config.modalities[1:]
        if cls is None and self.config.cls_token == "learned":
            return list(self.summaries)
        given = cls if cls is not None else self.draw(None if self.training else self.config.cls_seed)
        return [given[name] for name in names]

    def _seen(self, batch: Batch, modality: str) -> Tensor:
        return batch.mask[modality] & batch.kept[modality] & batch.has(modality)[:, None]

    def loss(self, output: FusionOutput, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Eq. (5) by term: prediction, contrast and similarity of single modalities, contrast of pairs."""
        assert batch.target is not None, "a training batch has targets"
        config, made, target = self.config, output.extras, batch.target
        first, *rest = config.modalities
        zero = output.prediction.sum() * 0.0
        contrast, similarity, pairs = [zero], [zero], [zero]
        for name in rest:
            rows = batch.has(first) & batch.has(name)
            views = made[f"views_{name}"]
            contrast.append(self._contrast(views[rows], target[rows]))
            apart = (views[rows, 0] - views[rows, 1]).norm(dim=-1) ** config.similarity_power
            similarity.append(apart.sum() / rows.sum().clamp(min=1))
        for a, b in itertools.combinations(range(len(rest)), 2):
            rows = batch.has(first) & batch.has(rest[a]) & batch.has(rest[b])
            pairs.append(self._contrast(made["pairs"][rows][:, [a, b]], target[rows]))
        wrong = F.cross_entropy(output.prediction, target) if self.classes else F.l1_loss(output.prediction, target)
        return {
            "prediction": wrong,
            "single_contrast": config.single_weight * torch.stack(contrast).sum(),
            "single_similarity": config.single_weight * config.similarity_weight * torch.stack(similarity).sum(),
            "pair_contrast": config.pair_weight * torch.stack(pairs).sum(),
        }

    def _contrast(self, views: Tensor, target: Tensor) -> Tensor:
        """views (N, 2, P) -> () nats, 0 of none"""
        if not len(views):
            return views.sum()
        return supcr(views[:, 0], views[:, 1], target, self.config.temperature, self.config.supcr_denominator)
