"""MAF: tag every word of a post with an entity type, using its picture only as far as it fits the text.

Paper: Xu, Huang, Sha, Wang, "MAF: A General Matching and Alignment Framework for Multimodal Named Entity Recognition",
WSDM 2022, doi:10.1145/3488560.3498475. Equations are numbered in the order of the computation.

    t = W_t2 ReLU(W_t1 p + b) + b,  i = W_i2 ReLU(W_i1 v + b) + b                          (2)  alignment heads
    A = softmax((X W_Q)(V W_K)^T / sqrt(D/H)),  O = BERTlayer(X; A V W_Val)               (3)  co-attention
    c = W_cm flatten([X; O~]) + b,  P = softmax(c)_1                                      (4)  cross-modal matching
    O' = P O~,  G = sigmoid(W_gt X + b + W_gi O' + b),  Z = G * O'                         (5)  gate
    E = W_c [X; Z] + b,  log p(y) = CRF(E)                                                (6)  tags
    L_CA = share CE(S) + (1 - share) CE(S^T),  S_ab = cos(t_a, i_b) / tau                  (7)
    L = lambda L_CRF + (1 - lambda) (L_CM + L_CA)                                         (8)

X (B, T, D) word pieces, p (B, D) their pooled vector, V (B, R, D) regions after a linear map, v (B, D_image) pooled
image, O~ = O but for the negatives of training, P in [0, 1], G in (0, 1), E in nats.

Differs from the official code (xubodhu/MAF@3952fb0), each a switch of `Config`:
* `negatives`: the released code exchanges the finished O between samples. A linear head on [X; O~] is a sum of a term
  in X and a term in O~, so over a set of exchanges it can't tell true from exchanged; and no picture is ever wrong at
  inference in that way. `images` exchanges the pictures before the co-attention instead.
* `cm_swap_in_ner`: the released code also tags with the exchanged O~ while training.
* `cm_padding`: the released matching head reads padding positions; `masked` leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks import setting
from fusion.blocks.attention import CrossLayer
from fusion.blocks.crf import CRF
from fusion.losses import info_nce, unit
from fusion.models.base import WIDEST, FusionModel, check_settings
from fusion.signals import Attention, Embedding, FusionOutput, Gate, Marginals, Match, Norms, Parts, Trace, Transitions
from fusion.types import Card, FusionError, Modality, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fusion.types import Batch, Fixed

CLASSES = (
    "PAD", "O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "X", "[CLS]", "[SEP]",
)  # fmt: skip

_SIZE, _SHARE = (1, WIDEST), (0, 1)
RANGES = {
    "text_width": _SIZE, "image_width": _SIZE, "pooled_width": (0, WIDEST), "shape_width": (0, WIDEST),
    "regions": _SIZE, "max_length": _SIZE, "heads": _SIZE, "layers": (1, 100), "inner_width": _SIZE,
    "dropout": (0, 0.999),
    "temperature": (1e-3, 1e3), "text_share": _SHARE, "tagging_share": _SHARE, "negative_rate": (0, WIDEST),
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Sizes, loss weights and switches of MAF; the defaults are the paper's."""

    text_width: int = 768  # D of the text features, word-shape columns apart
    image_width: int = 2048  # D of one region
    pooled_width: int = 0  # D of the pooled text vector; 0: that of the text features
    shape_width: int = 0  # last columns of the text features that are word-shape flags, added through a learned map
    regions: int = 49  # R
    max_length: int = 128  # L, part of the weights: the matching head has one block of columns a position
    heads: int = 12
    layers: int = 1  # of the co-attention
    inner_width: int = 3072
    classes: tuple[str, ...] = CLASSES
    dropout: float = 0.1
    temperature: float = 0.179  # tau of eq. (7)
    text_share: float = 0.7  # lambda_c of eq. (7), weight of text to image
    tagging_share: float = 0.62  # lambda of eq. (8)
    negative_rate: int = 16  # 2k, samples of a training batch that exchange pictures; none in a batch of 2k or fewer
    negatives: Literal["images", "representations"] = "images"  # what they exchange
    cm_swap_in_ner: bool = False  # whether tagging reads the exchanged representation in training
    cm_padding: Literal["published", "masked"] = "published"  # whether matching reads padding positions
    use_image: bool = True  # False: the same network with Z = 0, the text-only baseline

    def __post_init__(self) -> None:
        check_settings(self, RANGES)
        if self.text_width % self.heads:
            raise FusionError(
                f"text_width {self.text_width} does not divide by heads {self.heads}; change one of them."
            )
        if self.cm_swap_in_ner and self.negatives == "images":
            raise FusionError('cm_swap_in_ner reads exchanged representations; set negatives="representations" too.')

    @classmethod
    def released(cls, **overrides: object) -> Config:
        """The behaviour of the official code."""
        return replace(cls(negatives="representations", cm_swap_in_ner=True), **overrides)  # type: ignore[arg-type]


def attention_name(layer: int, layers: int) -> str:
    """What the attention of a layer is called in the trace."""
    return "region_attention" if layers == 1 else f"region_attention_{layer + 1}"


class MAF(FusionModel):
    """The matching and alignment framework over given text and image features."""

    card = Card(
        key="maf",
        name="MAF",
        title="Matching and alignment for multimodal named entity recognition",
        paper="Xu, Huang, Sha, Wang, WSDM 2022, doi:10.1145/3488560.3498475",
        official="xubodhu/MAF@3952fb0",
        tasks=(Task.TAGGING, Task.MATCHING),
        shows=("Match", "Attention", "Gate", "Norms", "Parts", "Marginals", "Embedding", "Transitions"),
        exceptions={"padding": "with cm_padding=published the matching head reads padding positions, eq. (4)"},
    )
    Config = Config
    task = Task.TAGGING

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.text_width
        self.config = config
        self.classes = config.classes
        self.modalities = (
            Modality("text", "text", width + config.shape_width, config.max_length, "token"),
            Modality("image", "image", config.image_width, config.regions, "region"),
        )
        self.region_map = nn.Linear(config.image_width, width)
        self.cross = nn.ModuleList(
            CrossLayer(width, config.heads, config.inner_width, config.dropout) for _ in range(config.layers)
        )
        self.match = nn.Linear(config.max_length * 2 * width, 2)
        self.gate_text, self.gate_image = nn.Linear(width, width), nn.Linear(width, width)
        self.emission = nn.Linear(2 * width, len(config.classes))
        self.crf = CRF(len(config.classes))
        self.align_text = nn.Sequential(
            nn.Linear(config.pooled_width or width, width), nn.ReLU(), nn.Linear(width, width)
        )
        self.align_image = nn.Sequential(nn.Linear(config.image_width, width), nn.ReLU(), nn.Linear(width, width))
        self.dropout = nn.Dropout(config.dropout)
        self.shape_map = nn.Linear(config.shape_width, width, bias=False) if config.shape_width else None

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """Tags (B, T), -1 beyond the sequence; fused (B, 2D) the mean of [X; Z] over real steps; the trace.

        Raises FusionError when the text is longer than the trained length, or shorter where padding is read.
        """
        text, regions, kept = self._inputs(batch)
        seen = batch.mask["image"] & batch.kept["image"]  # (B, R)
        crossed, attentions = self._interact(text, regions, seen, trace, batch.fixed)
        own_logits = self._match_logits(text, crossed, kept)  # (B, 2)
        swapped, match_logits, match_target = self._negatives(text, regions, seen, kept, crossed, own_logits)
        if swapped is not None and self.config.cm_swap_in_ner:
            crossed_in, logits_in = swapped, match_logits
        else:
            crossed_in, logits_in = crossed, own_logits
        has_image = batch.has("image") if self.config.use_image else torch.zeros_like(batch.has("image"))
        match = logits_in.softmax(-1)[:, 1] * has_image  # (B,) P, 0 without a picture
        scaled = match[:, None, None] * crossed_in  # (B, T, D) O', eq. (5)
        gate = setting.gate(batch.fixed, "gate", torch.sigmoid(self.gate_text(text) + self.gate_image(scaled)))
        gated = gate * scaled  # (B, T, D) Z
        emissions = self.emission(torch.cat((text, gated), -1))  # (B, T, C) eq. (6)
        real = batch.mask["text"]
        share = real.to(text.dtype) / real.sum(1, keepdim=True).clamp(min=1)
        fused = (torch.cat((text, gated), -1) * share[..., None]).sum(1)  # (B, 2D)
        extras = {
            "region_projection": regions,
            "cross_output": crossed,
            "match_logits": match_logits,
            "match_target": match_target,
            "match": match,
            "emissions": emissions,
            "gated": gated,
            "gate": gate,
            "align_text": self.align_text(batch.pooled["text"] * batch.has("text")[:, None]),
            "align_image": self.align_image(batch.pooled["image"] * batch.has("image")[:, None]),
        }
        tags = self.crf.decode(emissions, real) if not self.training else emissions.argmax(-1)
        signals = self._trace(batch, text, attentions, extras) if trace else Trace()
        return FusionOutput(tags, fused, signals, extras)

    def _inputs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """X (B, T, D), V (B, R, D) and which text positions the matching head reads (B, T)."""
        config, features = self.config, batch.features["text"]
        steps = features.shape[1]
        if steps > config.max_length:
            raise FusionError(
                f"The text has {steps} word pieces; this checkpoint reads {config.max_length}. Shorten it."
            )
        if config.cm_padding == "published" and steps < config.max_length:
            raise FusionError(f"Its matching head reads padding: pad texts to {config.max_length} pieces, not {steps}.")
        text = features[..., : config.text_width]
        if self.shape_map is not None:
            text = text + self.shape_map(features[..., config.text_width :])
        visible = batch.kept["text"] | ~batch.mask["text"]  # padding is kept as the encoder left it
        text = self.dropout(text) * (visible & batch.has("text")[:, None])[..., None]
        regions = self.region_map(batch.features["image"] * batch.has("image")[:, None, None])
        read = torch.ones_like(visible) if config.cm_padding == "published" else batch.mask["text"]
        return text, regions, read

    def _interact(
        self, text: Tensor, regions: Tensor, seen: Tensor, trace: bool, fixed: Mapping[str, Fixed] = setting.NOTHING
    ) -> tuple[Tensor, list[Tensor]]:
        """Eq. (3). -> O (B, T, D), attention of each layer (B, H, T, R) where asked for"""
        crossed, attentions = text, []
        for at, layer in enumerate(self.cross):
            crossed, attention = layer(
                crossed, regions, seen, trace=trace, fixed=fixed, name=attention_name(at, len(self.cross))
            )
            if attention is not None:
                attentions.append(attention)
        return crossed, attentions

    def _match_logits(self, text: Tensor, crossed: Tensor, read: Tensor) -> Tensor:
        """Eq. (4) over the positions that are read. -> (B, 2)"""
        pair = torch.cat((text, crossed), -1) * read[..., None]  # (B, T, 2D)
        weight = self.match.weight[:, : pair.shape[1] * pair.shape[2]]  # positions past T would meet zeros
        return F.linear(pair.flatten(1), weight, self.match.bias)

    def _negatives(
        self, text: Tensor, regions: Tensor, seen: Tensor, read: Tensor, crossed: Tensor, own: Tensor
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Exchange the last 2k samples' halves while training. -> O~ or None, logits (B, 2), true match (B,) 0 or 1"""
        count, size = self.config.negative_rate, len(text)
        target = torch.ones(size, dtype=torch.long, device=text.device)
        if not self.training or count < 2 or size <= count:
            return None, own, target
        half = count // 2
        order = torch.arange(size, device=text.device)
        order[size - count :] = torch.cat((order[size - half :], order[size - count : size - half]))
        target[size - count :] = 0
        if self.config.negatives == "representations":
            swapped = crossed[order]
            return swapped, self._match_logits(text, swapped, read), target
        tail, partner = order[size - count :] * 0 + torch.arange(size - count, size, device=text.device), order[-count:]
        wrong, _ = self._interact(text[tail], regions[partner], seen[partner], False)
        return None, torch.cat((own[: size - count], self._match_logits(text[tail], wrong, read[tail]))), target

    def loss(self, output: FusionOutput, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Eq. (8) by term, in nats: tagging, matching, alignment. `batch.target` (B, T) class ids, -1 untagged."""
        assert batch.target is not None, "a training batch has tags"
        made, share = output.extras, self.config.tagging_share
        tagged = batch.target[:, 0] >= 0  # pairs without tags teach matching and alignment alone
        likelihood = self.crf.log_likelihood(made["emissions"], batch.target.clamp(min=0), batch.mask["text"])
        terms = {"tagging": -share * (likelihood * tagged).sum() / tagged.sum().clamp(min=1)}
        if self.config.use_image:
            terms["matching"] = (1 - share) * F.cross_entropy(made["match_logits"], made["match_target"])
            terms["alignment"] = (1 - share) * info_nce(
                made["align_text"], made["align_image"], self.config.temperature, self.config.text_share
            )
        return terms

    def _trace(self, batch: Batch, text: Tensor, attentions: list[Tensor], made: dict[str, Tensor]) -> Trace:
        mask, width = batch.mask["text"], self.config.text_width
        of_text, of_image = self.emission.weight[:, :width], self.emission.weight[:, width:]
        bias = self.emission.bias.expand_as(made["emissions"])
        voices = torch.stack((text @ of_text.T, made["gated"] @ of_image.T, bias), 1)  # (B, 3, T, C)
        ratio = made["gated"].norm(dim=-1) / text.norm(dim=-1).clamp(min=1e-12)  # (B, T)
        steps = {"steps": "text", "mask": mask}
        return Trace(
            (
                Match(name="match_score", unit="probability", value=made["match"], caveat="caveat.match_score"),
                *(
                    Attention(
                        name=attention_name(layer, len(attentions)), settable=True, unit="weight",
                        normalised_over="image", value=attention, layer=layer, layers=len(attentions),
                        queries="text", keys="image", query_mask=mask,
                        key_mask=batch.mask["image"] & batch.kept["image"], caveat="caveat.region_attention",
                    )
                    for layer, attention in enumerate(attentions)
                ),
                Gate(
                    name="gate", settable=True, unit="weight", value=made["gate"], modality="image",
                    caveat="caveat.gate", **steps,
                ),
                Norms(name="image_share", unit="none", value=ratio, caveat="caveat.norm", **steps),
                Parts(
                    name="emission_parts", unit="logit", value=voices, voices=("text", "image", "bias"),
                    total="emissions", classes=self.classes, caveat="caveat.emission_parts", **steps,
                ),
                Marginals(
                    name="crf_marginals", unit="probability", normalised_over="class",
                    value=self.crf.marginals(made["emissions"], mask), classes=self.classes,
                    caveat="caveat.marginals", **steps,
                ),
                Embedding(
                    name="aligned_text", unit="cosine", value=unit(made["align_text"]), modality="text",
                    caveat="caveat.aligned",
                ),
                Embedding(
                    name="aligned_image", unit="cosine", value=unit(made["align_image"]), modality="image",
                    caveat="caveat.aligned",
                ),
            ),
            batch.steps,
        )  # fmt: skip

    def learned(self) -> Trace:
        """The CRF's transition scores."""
        return Trace((
            Transitions(
                name="crf_transitions", unit="logit", per_sample=False, value=self.crf.transitions.detach(),
                start=self.crf.start.detach(), end=self.crf.end.detach(), classes=self.classes,
                caveat="caveat.transitions",
            ),
        ))  # fmt: skip
