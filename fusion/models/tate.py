"""TATE: a tag says which modalities are missing, and the joint code of what is left is pulled to that of everything.

X_m = x_m P_m, no bias: a row of zeros stays one                                                    (1)
B_d(X) = LN(Y + W_2 ReLU(W_1 Y)), Y = LN(X + [A_h V_h]_h), A = softmax(Q K^T / sqrt(d/H)), E_m = B_D(X_m)
C_m = [E_m W_mn for each other n], one W a pair of modalities, C = [C_1 | ... | C_M] along time      (2)
U = [C; tag], tag (M + 1): 1 0 ... 0 where all are there, else 0 and a 1 for each one missing; Enc = B(U), Dec = B(Enc)
a = softmax_t((x W_u * sigmoid(x W_m)) W_r), o = sum_t a_t x_t, x = Enc                               (3)
logits = (o W_d) W_l + b_l                                                                        (4)
L = sum_b CE + .1 sKL(Enc, Enc*) + .1 sKL(Dec, U) + .1 mean|tag - sigmoid(o_last)| + 1e-4 |W_l, b_l|^2 / 2   (5)

x_m (B, T_m, D_m), E_m (B, T_m, D), C (B, T, D), T = sum T_m, U, Enc, Dec (B, T, D + M + 1), o (B, D + M + 1), a (B, T).
sKL: both Kullback-Leibler divergences between softmaxes over features in nats, probabilities clipped to 1e-7, mean over
positions, sum over samples. Enc*: of a frozen network of the same form that was trained on complete data before, by
CE + 1e-4 |all its weights|^2 / 2; it reads the same samples complete (`Batch.whole`), where all modalities are known.
One score instead of classes: |y - yhat| instead of CE. Paper: Zeng, Liu, Zhou, SIGIR 2022, arXiv:2204.13707.

A missing modality is steps[m] rows of zeros, which after a block are one learned constant: Enc attends to them and the
readout does not. One row that counts steps[m] times stands for them here, which is the same. A step hidden on purpose
is such a row too, counted once. Padding is no key.

Released code (JaydenZeng/TATE@e450189), each a switch: the tag is one constant, as its comparison is always false; the
teacher is the network itself with another draw of dropout, which is never off, on the incomplete batch; the readout
takes missing positions in; padding is attended. `weighted` is its later variant: C_m is multiplied by the softmax over
modalities of p_m = max_c softmax(a readout (3) of E_m, mapped to classes). Widths: D / (M - 1) must be whole, and as
D + M + 1 need not divide by the heads when M is not 3, `joint_heads` 0 takes the largest number up to them that does.
Biases of W_1, W_2 start small, not at 0: the derivative of LN at a row of equal numbers is 1e4.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fusion.models.base import WIDEST, FusionModel, check_settings
from fusion.models.tate_blocks import Block, Made, Readout, Sure, divergence, read
from fusion.models.tate_signals import tell
from fusion.signals import FusionOutput, Trace
from fusion.types import Card, FusionError, Modality, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fusion.types import Batch

_SIZE, _WEIGHT = (1, WIDEST), (0, 1e6)
RANGES = {
    "widths": _SIZE, "steps": _SIZE, "width": _SIZE, "heads": _SIZE, "joint_heads": (0, WIDEST), "dropout": (0, 0.999),
    "constant_tag": (0, 1), "teacher_weight": _WEIGHT, "decoder_weight": _WEIGHT, "tag_weight": _WEIGHT,
    "decay": _WEIGHT,
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """Sizes, loss weights and switches of TATE; the defaults are the paper's on MOSI."""

    modalities: tuple[str, ...] = ("vision", "audio", "text")
    widths: tuple[int, ...] = (709, 33, 768)  # D_m
    steps: tuple[int, ...] = (100, 150, 25)  # longest T_m; as many rows stand for a missing modality
    classes: tuple[str, ...] = ()  # (): one score
    width: int = 300  # D
    heads: int = 4
    joint_heads: int = 0  # of Enc and Dec; 0: the largest number up to `heads` that divides D + M + 1
    dropout: float = 0.2  # of attention
    teacher_weight: float = 0.1
    decoder_weight: float = 0.1
    tag_weight: float = 0.1
    decay: float = 1e-4  # of W_l and b_l, of all weights while the teacher is trained; 1e-5 for IEMOCAP and `weighted`
    weighted: bool = False  # multiply C_m by how sure modality m is alone; needs classes
    tag: Literal["sample", "constant"] = "sample"
    constant_tag: tuple[int, ...] = (0, 1, 1, 0)  # the released MOSI file's; 0 0 0 1 in its IEMOCAP file
    teacher: Literal["complete", "self"] = "complete"
    eval_dropout: bool = False
    masked_readout: bool = True  # whether the readout leaves out what was not seen
    padding: Literal["masked", "attended"] = "masked"

    def __post_init__(self) -> None:
        check_settings(self, RANGES)
        count = len(self.modalities)
        if count < 2 or len(self.widths) != count or len(self.steps) != count:
            raise FusionError(
                f"There are {count} modalities, {len(self.widths)} widths and {len(self.steps)} steps; give two "
                "modalities or more, and a width and a longest length for each."
            )
        if self.width % self.heads or self.width % (count - 1):
            raise FusionError(
                f"width {self.width} must divide by heads {self.heads} and by {count - 1}, the partners of a "
                "modality; change it."
            )
        if self.joint_heads and self.joint_width % self.joint_heads:
            raise FusionError(
                f"width {self.width} with the {count + 1} digits of the tag is {self.joint_width}, which does not "
                f"divide by joint_heads {self.joint_heads}; change one, or set joint_heads to 0."
            )
        if self.tag == "constant" and len(self.constant_tag) != count + 1:
            raise FusionError(f"constant_tag has {len(self.constant_tag)} digits; {count} modalities need {count + 1}.")
        if self.weighted and len(self.classes) < 2:
            raise FusionError("weighted compares how sure modalities are of a class; name the classes, or turn it off.")

    @property
    def joint_width(self) -> int:
        """D + M + 1, of Enc and Dec."""
        return self.width + len(self.modalities) + 1

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The pairs of modalities that share a space, by their numbers."""
        return tuple(combinations(range(len(self.modalities)), 2))

    @classmethod
    def released(cls, **overrides: object) -> Config:
        """The behaviour of the official code on MOSI."""
        switches = cls(
            tag="constant", constant_tag=cls.constant_tag, teacher="self", eval_dropout=True, masked_readout=False,
            padding="attended",
        )  # fmt: skip
        return replace(switches, **overrides)  # type: ignore[arg-type]


class TATE(FusionModel):
    """The tag-assisted transformer encoder over M >= 2 sequences, any of which may be missing."""

    card = Card(
        key="tate",
        name="TATE",
        title="Tag-assisted sentiment analysis under uncertain missing modalities",
        paper="Zeng, Liu, Zhou, SIGIR 2022, arXiv:2204.13707",
        official="JaydenZeng/TATE@e450189",
        tasks=(Task.CLASSES, Task.REGRESSION),
        shows=("ModalityScores", "ModalityWeights", "Attention", "Embedding"),
    )
    Config = Config
    stages = ("teacher", "fusion")

    def __init__(self, config: Config) -> None:
        super().__init__()
        count, width, joint = len(config.modalities), config.width, config.joint_width
        self.config, self.classes = config, config.classes
        self.task = Task.CLASSES if config.classes else Task.REGRESSION
        self.modalities = tuple(
            Modality(m, "image" if m == "vision" else m, d, t, "token" if m == "text" else "frame")
            for m, d, t in zip(config.modalities, config.widths, config.steps, strict=True)
        )
        self.project = nn.ModuleList(nn.Linear(d, width, bias=False) for d in config.widths)
        self.own = nn.ModuleList(Block(width, config.heads) for _ in range(count))
        self.shared = nn.ModuleList(nn.Linear(width, width // (count - 1), bias=False) for _ in config.pairs)
        heads = config.joint_heads or max(h for h in range(1, config.heads + 1) if joint % h == 0)
        self.encoder, self.decoder = Block(joint, heads), Block(joint, heads)
        self.readout = Readout(joint)
        self.hidden = nn.Linear(joint, width, bias=False)  # W_d
        self.answer = nn.Linear(width, len(config.classes) or 1)  # W_l, b_l
        if config.weighted:
            self.pools = nn.ModuleList(Readout(width) for _ in range(count))
            self.sure = nn.ModuleList(nn.Linear(width, len(config.classes)) for _ in range(count))
        self._stage, self._teacher = self.stages[-1], []  # a list hides the teacher's weights from the state dict
        self.reset()

    _teacher: list[TATE]

    def reset(self) -> None:
        """Weights by Xavier's rule, biases of W_l and norms as in the paper's program."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.LayerNorm)):
                module.reset_parameters()
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(self.answer.bias)

    def start(self, stage: str) -> None:
        """`teacher`: learn from complete samples. `fusion`, after it: from incomplete ones, beside what was learned.

        The published teacher is a frozen copy and the network starts anew; the released one is the network itself. The
        copy isn't saved with the weights: without it `loss` has no term of a teacher.
        """
        if stage not in self.stages:
            raise FusionError(f'TATE has no stage "{stage}"; it has {" and ".join(self.stages)}.')
        if stage == "teacher":
            self._teacher = []
        elif self._stage == "teacher" and self.config.teacher == "complete":
            self._stage = stage
            self._teacher = [copy.deepcopy(self).requires_grad_(False).eval()]
            self.reset()
        self._stage = stage

    def forward(self, batch: Batch, *, trace: bool = True) -> FusionOutput:
        """Prediction (B,) or logits (B, C); fused (B, D + M + 1) the readout o; the trace.

        In the stage of the teacher it reads `batch.whole`. Raises FusionError for a sample with nothing to read, and
        for more steps than it was made for.
        """
        if self._stage == "teacher" and batch.whole is not None:
            batch = batch.whole
        made = self.run(batch, trace=trace)
        said = tell(self.config, batch, made, self._gap(batch, made)) if trace else Trace()
        return FusionOutput(made.prediction, made.fused, said, made.extras())

    def run(self, batch: Batch, *, trace: bool) -> Made:
        """Eq. (1) to (4), with all that lies between; attention is kept where a trace is asked for."""
        config = self.config
        rate = config.dropout if self.training or config.eval_dropout else 0.0
        features, seen, real, counts = read(config, batch)
        there = torch.stack([see.any(1) for see in seen], 1)  # (B, M)
        projected = [project(x) for project, x in zip(self.project, features, strict=True)]
        blocks = [
            block(x, see.to(x.dtype), see, rate, trace=trace)
            for block, x, see in zip(self.own, projected, seen, strict=True)
        ]
        own = [result for result, _ in blocks]
        shared = [(space(own[a]), space(own[b])) for space, (a, b) in zip(self.shared, config.pairs, strict=True)]
        common = [  # C_m, (B, T_m, D)
            torch.cat([x[pair.index(m)] for x, pair in zip(shared, config.pairs, strict=True) if m in pair], -1)
            for m in range(len(own))
        ]
        sure = self._alone(own, seen, counts, there) if config.weighted else None
        if sure is not None:
            common = [sure.weight[:, m, None, None] * x for m, x in enumerate(common)]
        positions, keys, tag = torch.cat(common, 1), torch.cat(counts, 1), self.tag(there)
        tagged = torch.cat((positions, tag.to(positions)[:, None].expand(-1, positions.shape[1], -1)), -1)
        encoded, joint = self.encoder(tagged, keys, None, rate, trace=trace)
        decoded, decoder = self.decoder(encoded, keys, None, rate, trace=trace)
        taken = torch.cat(seen, 1).to(keys) if config.masked_readout else keys
        fused, readout = self.readout(encoded, taken)
        prediction = self.answer(self.hidden(fused))
        return Made(
            there=there, seen=tuple(seen), real=tuple(real), counts=tuple(counts), projected=tuple(projected),
            own=tuple(own), shared=tuple(shared), sure=sure, tag=tag, tagged=tagged,
            encoded=encoded, decoded=decoded, readout=readout, fused=fused,
            prediction=prediction if self.classes else prediction.squeeze(-1),
            inside={m: inside for m, (_, inside) in zip(config.modalities, blocks, strict=True)}
            | {"joint": joint, "decoder": decoder},
        )  # fmt: skip

    def tag(self, there: Tensor) -> Tensor:
        """The code that is appended to every position. there (B, M) bool -> (B, M + 1)"""
        if self.config.tag == "constant":
            return torch.tensor(self.config.constant_tag, device=there.device).expand(len(there), -1).float()
        return torch.cat((there.all(1, keepdim=True), ~there), 1).float()

    def _alone(self, own: Sequence[Tensor], seen: Sequence[Tensor], counts: Sequence[Tensor], there: Tensor) -> Sure:
        """The variant's weights: the softmax over modalities of the largest class probability of each E_m alone."""
        pooled = []
        for m, pool in enumerate(self.pools):
            taken = counts[m]
            if self.config.masked_readout:  # of a missing modality every row is the same
                taken = torch.where(there[:, m, None], seen[m].to(taken), taken)
            pooled.append(pool(own[m], taken)[0])
        logits = torch.stack([sure(x) for sure, x in zip(self.sure, pooled, strict=True)], 1)
        opinion = logits.softmax(-1)
        return Sure(torch.stack(pooled, 1), opinion, opinion.amax(-1).softmax(-1))

    def _target(self, batch: Batch) -> tuple[Tensor, Tensor] | None:
        """Enc* (B, T, D + M + 1), and what each position counts (B, T), 1 a sample or 0 without a truth; or None.

        Of the published teacher real steps count, and only samples that are complete as they came.
        """
        own = self.config.teacher == "self"
        if not own and not self._teacher:
            return None
        teacher = self if own else self._teacher[0].to(batch.present.device)
        with torch.no_grad():
            made = teacher.run(batch if own else batch.whole or batch, trace=False)
        counts = torch.cat(made.counts, 1) * (made.there.all(1, keepdim=True) | own)
        return made.encoded, counts / counts.sum(1, keepdim=True).clamp(min=1)

    def _gap(self, batch: Batch, made: Made) -> Tensor | None:
        """Divergence from Enc* at each position where there is a truth. -> (B, T), None without a teacher"""
        if not self._teacher and not (self.config.teacher == "self" and self.config.eval_dropout):
            return None
        target = self._target(batch)
        return None if target is None else divergence(made.encoded, target[0]) * (target[1] > 0)

    def loss(self, output: FusionOutput, batch: Batch, step: int = 0) -> dict[str, Tensor]:
        """Eq. (5) by term, in nats and summed over the batch: answer, teacher, decoder, tag, decay.

        While the teacher is trained: answer of the samples that are complete, decay of all weights.
        """
        assert batch.target is not None, "a training batch has targets"
        if self._stage == "teacher":
            return self._teacher_loss(output, batch)
        return self.terms(output, batch.target, self._target(batch))

    def _teacher_loss(self, output: FusionOutput, batch: Batch) -> dict[str, Tensor]:
        assert batch.target is not None
        complete = output.extras["there"].all(1)
        weights = sum(parameter.square().sum() for parameter in self.parameters())
        return {
            "answer": (self._surprise(output.prediction, batch.target) * complete).sum(),
            "decay": self.config.decay / 2 * torch.as_tensor(weights),
        }

    def terms(self, output: FusionOutput, target: Tensor, teacher: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
        """Eq. (5) with Enc* and the weight of its positions given."""
        made, config = output.extras, self.config
        counts, digits = made["counts"], len(config.modalities) + 1
        told = torch.sigmoid(output.fused[:, -digits:])
        terms = {
            "answer": self._surprise(output.prediction, target).sum(),
            "decoder": config.decoder_weight
            * (divergence(made["decoded"], made["tagged"]) * counts / counts.sum(1, keepdim=True)).sum(),
            "tag": config.tag_weight * (made["tag"] - told).abs().mean(),
            "decay": config.decay / 2 * (self.answer.weight.square().sum() + self.answer.bias.square().sum()),
        }
        if teacher is not None:
            terms["teacher"] = config.teacher_weight * (divergence(made["encoded"], teacher[0]) * teacher[1]).sum()
        return terms

    def _surprise(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy, or the distance of two scores. -> (B,)"""
        if self.classes:
            return F.cross_entropy(prediction, target, reduction="none")
        return (prediction - target).abs()
