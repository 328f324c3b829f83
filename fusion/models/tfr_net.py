"""TFR-Net: sentiment of streams with holes in them, by a network that also learns to fill the holes.

Paper: Yuan, Li, Xu, Yu, "Transformer-based Feature Reconstruction Network for Robust Multimodal Sentiment Analysis",
ACM MM 2021, doi:10.1145/3474085.3475585. Equations are numbered in the order of the computation.

    x_m = Conv_m(f_m),  x~_m = sqrt(D) x_m + position                                     (0)  D = 30 channels
    pre-norm transformer layers of queries x~_m and source x~_s, causal                   (1)  fusion/blocks/prenorm.py
    h_m = [self(x~_m); m <- s for each other s]                                           (2)
    h'_m = Enc(h_m^T)^T,  guess_m = W_m h'_m + b                                          (2a) tokens: the M D channels
    r = BiGRU(h_m),  g = sigmoid(Conv(r)),  u_m = max_t tanh(W [h_m; g * tanh r] + b)     (3)
    y = W_2 LeakyReLU(W_1 BatchNorm([u_1; ...; u_M]) + b_1) + b_2
    L_m = (SmoothL1(mu guess_m, mu f_m) + kappa CMD(mu guess_m, mu f_m)) / (n + 1e-4)     (4)
    CMD(p, q) = |p' - q'| + sum_{k=2,3} |mean (p - p')^k - mean (q - q')^k|               (5)  p' the mean row of p
    L = |y - target| + sum_m w_m L_m

f_m (B, T_m, D_m) features in which every hidden step is a zero row, h_m (B, T_m, M D), mu (B, T_m) 1 where a real step
was hidden, n the number of entries that mu marks, g in (0, 1), u_m (B, K_m) in (-1, 1). The target of eq. (4) are the
features as they were. Steps 2a run in `loss` and for a trace only: the prediction reads nothing of them. Sequences are
padded to the trained lengths T_m, because the encoders of eq. (2a) are as wide as T_m, and padded steps are read as
zero rows. A modality that is absent has no steps: zero rows without positions, u_m = 0, and nothing of it is guessed.

Texts come as features, so a hidden step of a text is a zero row like any other. (The paper hides words before its text
encoder, which reads [UNK] there; whoever has such features calls `answer` with them and `terms` with the whole ones.)

With classes the first term of L is cross-entropy.

Differs from the official code (Columbine21/TFR-Net@1da0157, thuiar/MMSA@a94e65d), each a switch of `Config`:
* `recon_axis`: the released encoders of eq. (2a) take samples for tokens, so a guess depends on its batch, and
  `recon_causal` hides later ones. `time` is ours: tokens are steps, with other weight shapes.
* `cmd`: off in the first release, 5 in the second; `empty_cmd`: they count a constant where nothing was hidden.
* `target_grad`: the gradient of eq. (4) also moves what made the target.
* `padding_pool`: the maximum of eq. (3) runs over padding too. `zero_position`: a step whose first channel is exactly
  zero has no position, whatever the mask says.
Training alone differs by the steps of its optimiser, which is no part of a model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.blocks import setting
from fusion.blocks.dropping import Dropout
from fusion.blocks.prenorm import PreNorm, later, sinusoids
from fusion.blocks.sequences import visible
from fusion.models.base import WIDEST, FusionModel, check_settings
from fusion.models.tfr_net_blocks import Pool, deepened, filling, padded, read
from fusion.models.tfr_net_signals import signals_of
from fusion.signals import FusionOutput, Trace
from fusion.types import Card, FusionError, Modality, Task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fusion.types import Batch, Fixed

_SIZE = (1, WIDEST)
RANGES = {
    "widths": _SIZE, "steps": _SIZE, "width": (4, WIDEST), "heads": _SIZE, "cross_layers": (1, 100),
    "self_layers": (1, 100), "kernels": _SIZE, "hidden": _SIZE, "gru_layers": (1, 100), "head_width": _SIZE,
    "dropout": (0, 0.999), "attention_dropout": (0, 0.999), "recon_weights": (0, 1e9), "cmd": (0, 1e9),
    "recon_heads": (0, WIDEST), "warm_up": (0, 2**62),
}  # fmt: skip
MOSI = {  # of the paper's three modalities: kernel, K, attention dropout, weight of the reconstruction
    "text": (1, 36, 0.2, 5.0), "audio": (5, 20, 0.1, 2.0), "vision": (3, 48, 0.0, 20.0),
}  # fmt: skip
OTHER = (3, 32, 0.1, 1.0)  # of any other modality
KINDS = {"text": ("text", "token"), "image": ("image", "region"), "vision": ("image", "frame")}  # else by its name


@dataclass(frozen=True)
class Config:
    """Sizes, loss weights and switches of TFR-Net; the defaults are those of the paper's runs on unaligned MOSI.

    A list with one entry a modality may be empty: then it is the paper's by the modality's name.
    """

    modalities: tuple[str, ...] = ("text", "audio", "vision")
    widths: tuple[int, ...] = (768, 5, 20)  # D_m
    steps: tuple[int, ...] = (50, 500, 375)  # T_m, part of the weights
    classes: tuple[str, ...] = ()  # names of classes; (): the answer is one score
    width: int = 30  # D; a modality that has it already is not projected
    heads: int = 6
    cross_layers: int = 3  # of the encoders of pairs
    self_layers: int = 3  # of the self encoders and those of eq. (2a)
    kernels: tuple[int, ...] = ()  # of the projections, odd
    hidden: tuple[int, ...] = ()  # K_m
    gru_layers: int = 3
    head_width: int = 128
    dropout: float = 0.2
    attention_dropout: tuple[float, ...] = ()  # by source
    recon_weights: tuple[float, ...] = ()  # w_m
    cmd: float = 5.0  # kappa; 0 leaves the moments out
    empty_cmd: bool = False  # whether a modality from which nothing was hidden counts the constant of its moments
    recon_axis: Literal["channel", "batch", "time"] = "channel"  # what the tokens of eq. (2a) are
    recon_heads: int = 0  # of eq. (2a); 0: the largest divisor of T_m up to 25 (with axis time: `heads`)
    recon_causal: bool = False  # whether a token of eq. (2a) sees earlier ones only
    causal: bool = True  # whether a step sees earlier ones only
    target_grad: bool = False
    padding_pool: bool = False
    zero_position: bool = False
    warm_up: int = 0  # training steps before eq. (4) is taught: those of the first epoch in the paper's runs

    def __post_init__(self) -> None:
        check_settings(self, RANGES)
        if len(self.modalities) < 2:
            raise FusionError(f"TFR-Net crosses modalities and got {len(self.modalities)}; name two or more.")
        for name in ("widths", "steps", "kernels", "hidden", "attention_dropout", "recon_weights"):
            given = getattr(self, name)
            if len(given) != len(self.modalities) and not (given == () and name not in ("widths", "steps")):
                raise FusionError(f"{name} has {len(given)} entries and there are {len(self.modalities)} modalities.")
        bad = [m for m in self.modalities if "." in m or hasattr(nn.ModuleDict, m)]
        if bad:
            raise FusionError(f'A modality can\'t be called "{bad[0]}"; give it a plain name.')
        if any(kernel % 2 == 0 for kernel in self.kernels):
            raise FusionError(f"kernels {self.kernels} must be odd, so that a sequence keeps its length.")
        if self.width % self.heads:
            raise FusionError(f"width {self.width} does not divide by heads {self.heads}; change one of them.")
        for length, heads in zip(self.tokens_width(), self.rebuild_heads(), strict=True):
            if length % heads:
                raise FusionError(f"recon_heads {heads} does not divide {length}; leave it at 0, which always does.")

    @classmethod
    def released(cls, **overrides: object) -> Config:
        """The behaviour of the official code in its first release; the second one differs in cmd=5.

        Its 25 heads of eq. (2a) are what recon_heads=0 gives wherever 25 divides the lengths, and elsewhere it can't
        be built.
        """
        own = cls(
            recon_axis="batch", recon_causal=True, cmd=0.0, empty_cmd=True, target_grad=True, padding_pool=True,
            zero_position=True,
        )  # fmt: skip
        return replace(own, **overrides)  # type: ignore[arg-type]

    def of(self, name: str) -> dict[str, float]:
        """A list with one entry a modality, or what stands for it: "kernels", "hidden", ... -> {m: number}"""
        place = ("kernels", "hidden", "attention_dropout", "recon_weights").index(name)
        given: Sequence[float] = getattr(self, name) or [MOSI.get(m, OTHER)[place] for m in self.modalities]
        return dict(zip(self.modalities, given, strict=True))

    def tokens_width(self) -> tuple[int, ...]:
        """Width of the encoder of eq. (2a) of each modality: T_m, or M D."""
        both = len(self.modalities) * self.width
        return tuple(both if self.recon_axis == "time" else length for length in self.steps)

    def rebuild_heads(self) -> tuple[int, ...]:
        """Heads of the encoder of eq. (2a) of each modality."""
        if self.recon_axis == "time" and not self.recon_heads:
            return (self.heads,) * len(self.steps)
        return tuple(
            self.recon_heads or max(h for h in range(1, 26) if length % h == 0) for length in self.tokens_width()
        )


class TFRNet(FusionModel):
    """The transformer-based feature reconstruction network over given features of M >= 2 streams."""

    card = Card(
        key="tfr_net",
        name="TFR-Net",
        title="Transformer-based feature reconstruction for sentiment with missing steps",
        paper="Yuan, Li, Xu, Yu, ACM MM 2021, doi:10.1145/3474085.3475585",
        official="Columbine21/TFR-Net@1da0157",
        tasks=(Task.REGRESSION, Task.CLASSES),
        shows=("Attention", "Gate", "Reconstruction", "Embedding"),
    )
    Config = Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.classes = config, config.classes
        self.task = Task.CLASSES if config.classes else Task.REGRESSION
        names, width, drop = config.modalities, config.width, config.dropout
        sizes = list(zip(names, config.widths, config.steps, strict=True))
        self.modalities = tuple(
            Modality(m, KINDS.get(m, (m, ""))[0], d, t, KINDS.get(m, ("", "frame"))[1]) for m, d, t in sizes
        )
        kernels, rates = config.of("kernels"), config.of("attention_dropout")
        self.project = nn.ModuleDict({
            m: nn.Conv1d(d, width, int(kernels[m]), padding=int(kernels[m]) // 2, bias=False)
            for m, d, _ in sizes if d != width
        })  # fmt: skip
        self.encode = nn.ModuleDict()
        for m in names:
            layers = {s: config.self_layers if s == m else config.cross_layers for s in self._sources(m)}
            self.encode[m] = nn.ModuleDict({
                s: PreNorm(width, config.heads, count, drop, rates[s]) for s, count in layers.items()
            })  # fmt: skip
        both = len(names) * width  # M D
        rebuilders = zip(names, config.tokens_width(), config.rebuild_heads(), strict=True)
        self.rebuild = nn.ModuleDict({
            m: PreNorm(tokens, heads, config.self_layers, drop, rates[m]) for m, tokens, heads in rebuilders
        })  # fmt: skip
        self.generate = nn.ModuleDict({m: nn.Linear(both, d) for m, d, _ in sizes})
        hidden = {m: int(value) for m, value in config.of("hidden").items()}
        self.pool = nn.ModuleDict({m: Pool(both, hidden[m], config.gru_layers) for m in names})
        self.norm = nn.BatchNorm1d(sum(hidden.values()))
        self.head_inner = nn.Linear(sum(hidden.values()), config.head_width)
        self.head = nn.Linear(config.head_width, len(config.classes) or 1)
        self.dropout = Dropout(drop)

    def _sources(self, modality: str) -> list[str]:
        """Whom the queries of a modality look at: itself first, the others in order."""
        return [modality, *(m for m in self.config.modalities if m != modality)]

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """Scores (B,) or logits (B, C); fused (B, sum of K) the utterance vectors side by side; the trace.

        Raises FusionError on features that don't fit, on a mask with holes, and on a sample without any step.
        """
        inputs, real = self.inputs(batch)
        made, attentions = self.answer(inputs, real, trace=trace, fixed=batch.fixed)
        score = made["score"] if self.classes else made["score"][:, 0]
        extras = {name: value for name, value in made.items() if name.startswith(("hidden/", "gate/", "winner/"))}
        signals = Trace()
        if trace:
            whole = batch if batch.whole is None else batch.whole
            truth = {m: self._padded(whole.features[m], m) for m in self.config.modalities}
            hidden = {m: real[m] & ~self._padded(visible(batch, m), m) for m in self.config.modalities}
            guesses = {m: self.guess(m, made[f"hidden/{m}"], real[m])[1] for m in self.config.modalities}
            signals = signals_of(batch, made, attentions, real, hidden, guesses, truth)
        return FusionOutput(score, made["fused"], signals, extras)

    def inputs(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """What is read of a batch, in the trained lengths. -> {m: (B, T_m, D_m)} 0 where unseen, {m: (B, T_m)} real"""
        return read(batch, self.config.modalities, self.config.widths, self.config.steps)

    def _padded(self, x: Tensor, modality: str) -> Tensor:
        """Steps at the end up to the trained length. (B, T, ...) -> (B, T_m, ...)"""
        return padded(x, self.config.steps[self.config.modalities.index(modality)])

    def answer(
        self,
        inputs: Mapping[str, Tensor],
        real: Mapping[str, Tensor],
        *,
        trace: bool = False,
        fixed: Mapping[str, Fixed] = setting.NOTHING,
    ) -> tuple[dict[str, Tensor], dict[tuple[str, str], list[Tensor]]]:
        """Eqs. (0) to (3) and the head, from features (B, T_m, D_m) with holes and real steps (B, T_m).

        -> "projected/m", "hidden/m" (B, T_m, M D), "gru/m", "gate/m", "utterance/m", "winner/m", "fused", "normed",
        "score" (B, 1 or C); and attention by (queries, source), one tensor (B, H, Q, K) a layer.
        """
        config, made = self.config, dict[str, Tensor]()
        attentions: dict[tuple[str, str], list[Tensor]] = {}
        tokens = {}
        for m in config.modalities:
            x = self.dropout(inputs[m]) if m == "text" else inputs[m]
            if m in self.project:
                x = self.project[m](x.transpose(1, 2)).transpose(1, 2)
            made[f"projected/{m}"] = x  # (B, T_m, D)
            placed = x[..., 0] != 0 if config.zero_position else real[m]
            positions = sinusoids(x.shape[1], config.width, x.device).to(x.dtype)
            tokens[m] = math.sqrt(config.width) * x + positions * placed[..., None]  # (B, T_m, D)
        for m in config.modalities:
            streams = []
            for s in self._sources(m):
                x, source = tokens[m], tokens[s]
                unseen = later(x.shape[1], source.shape[1], x.device) if config.causal else None
                stream, attention = self.encode[m][s](x, None if s == m else source, unseen, trace=trace)  # type: ignore[index]  # a ModuleDict
                streams.append(stream)
                attentions[m, s] = attention
            made[f"hidden/{m}"] = torch.cat(streams, -1)  # (B, T_m, M D) eq. (2)
            pooled = self.pool[m](made[f"hidden/{m}"], real[m], config.padding_pool, fixed, f"gate_{m}")
            made |= {f"{name}/{m}": value for name, value in pooled.items()}
        made["fused"] = torch.cat([made[f"utterance/{m}"] for m in config.modalities], 1)
        if self.training and len(made["fused"]) < 2:
            raise FusionError("TFR-Net normalises over its batch while it trains; give it two samples or more.")
        made["normed"] = self.norm(self.dropout(made["fused"]))
        made["score"] = self.head(F.leaky_relu(self.head_inner(made["normed"])))
        return made, attentions

    def guess(
        self, modality: str, h: Tensor, real: Tensor, *, trace: bool = False
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Eq. (2a). h (B, T_m, M D), real (B, T_m) -> h' (B, T_m, M D), features (B, T_m, D_m), attention a layer"""
        config = self.config
        h, attention = deepened(self.rebuild[modality], h, real, config.recon_axis, config.recon_causal, trace)
        return h, self.generate[modality](h), attention

    def loss(self, output: FusionOutput, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """L by term. `batch.target` (B,) scores or classes; the reconstruction is taught where steps were hidden."""
        assert batch.target is not None, "a training batch has answers"
        measure = F.cross_entropy if self.classes else F.l1_loss
        terms = {"prediction": measure(output.prediction, batch.target)}
        if step < self.config.warm_up:
            return terms
        whole = batch if batch.whole is None else batch.whole
        weights = self.config.of("recon_weights")
        for m in self.config.modalities:
            real = batch.mask[m] & batch.has(m)[:, None]
            hidden = real & ~batch.kept[m] & visible(whole, m) if batch.whole is not None else real & ~batch.kept[m]
            _, guess, _ = self.guess(m, output.extras[f"hidden/{m}"], self._padded(real, m))
            parts = self.terms(guess, self._padded(whole.features[m], m), self._padded(hidden, m))
            terms[f"reconstruction/{m}"] = weights[m] * (parts[0] + self.config.cmd * parts[1])
        return terms

    def terms(self, guess: Tensor, truth: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The two parts of eq. (4), before kappa. guess, truth (B, T, D), hidden (B, T) bool -> (), ()"""
        truth = truth if self.config.target_grad else truth.detach()
        return filling(guess, truth, hidden, self.config.empty_cmd)
