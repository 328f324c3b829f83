"""What TATE shows of a sample: its tag, who reads whom, what the readout takes of each modality, the shared spaces.

Paper: Zeng, Liu, Zhou, SIGIR 2022, arXiv:2204.13707; released code: JaydenZeng/TATE@e450189. Letters are those of
fusion/models/tate.py, eq. (1) to (5). The steps "joint" are the positions of all
modalities, one modality after the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.blocks.sequences import masked_mean
from fusion.signals import Attention, Embedding, ModalityScores, ModalityWeights, Norms, Opinions, Signal, Trace
from fusion.types import Steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fusion.models.tate import Config
    from fusion.models.tate_blocks import Made, Sure
    from fusion.types import Batch

JOINT, READER, MODALITIES = "joint", "readout", "modalities"  # axes over several modalities


def tell(config: Config, batch: Batch, made: Made, gap: Tensor | None) -> Trace:
    """The trace of B samples. gap (B, T): divergence from the teacher at each position, None without one."""
    found = [*_tags(config, made), *_readout(config, made), *_attention(config, batch, made), *_spaces(config, made)]
    if made.sure is not None:
        found += _confidence(config, made, made.sure)
    if gap is not None:
        own = "_self" if config.teacher == "self" else ""
        found.append(
            Norms(
                name="teacher_gap", unit="none", value=gap, steps=JOINT, mask=torch.cat(made.real, 1),
                caveat=f"caveat.teacher_gap{own}",
            )
        )  # fmt: skip
    return Trace(tuple(found), {**batch.steps, **_steps(config, batch, made)})


def _tags(config: Config, made: Made) -> Iterator[Signal]:
    digits = ("complete", *(f"without_{m}" for m in config.modalities))
    constant = "_constant" if config.tag == "constant" else ""
    yield ModalityScores(name="tag", unit="none", value=made.tag, modalities=digits, caveat=f"caveat.tag{constant}")
    yield ModalityScores(
        name="tag_prediction", unit="probability", value=torch.sigmoid(made.fused[:, -len(digits) :]),
        modalities=digits, neutral=0.5, caveat=f"caveat.tag_prediction{constant}",
    )  # fmt: skip


def _readout(config: Config, made: Made) -> Iterator[Signal]:
    """a, its sum over the positions of each modality, and that relative to how many positions are read."""
    names, member, real = config.modalities, _members(made), torch.cat(made.real, 1)
    read = torch.cat(made.seen if config.masked_readout else made.counts, 1).to(made.readout)
    mass, share = ((x * real) @ member for x in (made.readout, read / read.sum(1, keepdim=True)))  # (B, M)
    if config.padding == "attended" and not config.masked_readout:
        names = (*names, "padding")
        mass, share = (torch.cat((x, 1 - x.sum(1, keepdim=True).clamp(max=1)), 1) for x in (mass, share))
    yield ModalityWeights(
        name="readout_mass", unit="weight", normalised_over="modality", value=mass, modalities=names,
        caveat="caveat.readout_mass",
    )  # fmt: skip
    yield ModalityScores(
        name="readout_lift", unit="none", value=torch.where(share > 0, mass / share.clamp(min=1e-12), 0.0),
        modalities=names, neutral=1.0, caveat="caveat.readout_lift",
    )  # fmt: skip
    yield Attention(
        name="readout", unit="weight", normalised_over=JOINT, value=made.readout[:, None, None], layer=0, layers=1,
        queries=READER, keys=JOINT, query_mask=torch.ones_like(real[:, :1]), key_mask=read > 0,
        caveat="caveat.readout",
    )  # fmt: skip


def _attention(config: Config, batch: Batch, made: Made) -> Iterator[Signal]:
    """Attention of Enc: summed over the positions of each modality, and whole; then that of each modality to itself."""
    whole, member = made.inside["joint"].attention, _members(made)
    assert whole is not None, "a trace was asked for"
    keys, real = torch.cat(made.counts, 1), torch.cat(made.real, 1)
    asking = (keys * real)[..., None] * member  # (B, T, M)
    asking = asking / asking.sum(1, keepdim=True)
    blocks = torch.einsum("bhtk,btq->bhqk", whole @ member, asking)  # (B, H, M, M)
    every = torch.ones_like(made.there)
    yield Attention(
        name="block_attention", unit="weight", normalised_over=MODALITIES, value=blocks, layer=0, layers=1,
        queries=MODALITIES, keys=MODALITIES, query_mask=every, key_mask=every, caveat="caveat.block_attention",
    )  # fmt: skip
    yield Attention(
        name="encoder_attention", unit="weight", normalised_over=JOINT, value=whole, layer=0, layers=1,
        queries=JOINT, keys=JOINT, query_mask=real, key_mask=keys > 0, caveat="caveat.encoder_attention",
    )  # fmt: skip
    for m, see in zip(config.modalities, made.seen, strict=True):
        own, steps = made.inside[m].attention, batch.mask[m].shape[1]
        assert own is not None, "a trace was asked for"
        yield Attention(
            name=f"own_attention_{m}", unit="weight", normalised_over=m, value=own[..., :steps, :steps], layer=0,
            layers=1, queries=m, keys=m, query_mask=see[:, :steps], key_mask=see[:, :steps],
            caveat="caveat.own_attention",
        )  # fmt: skip


def _spaces(config: Config, made: Made) -> Iterator[Signal]:
    """o, the mean of E_m, both sides of each shared space, and the cosine between these."""
    yield Embedding(
        name="embedding_fused", unit="none", value=made.fused, modality="fused", caveat="caveat.joint_embedding"
    )
    read = [
        torch.where(see.any(1, keepdim=True), see, True) for see in made.seen
    ]  # all rows of a missing one are equal
    for m, x, rows in zip(config.modalities, made.own, read, strict=True):
        yield Embedding(
            name=f"embedding_{m}", unit="none", value=masked_mean(x, rows), modality=m, caveat="caveat.own_embedding"
        )
    cosines, names = [], []
    for (a, b), (left, right) in zip(config.pairs, made.shared, strict=True):
        one, other = masked_mean(left, read[a]), masked_mean(right, read[b])
        both = config.modalities[a], config.modalities[b]
        names.append("_".join(sorted(both)))
        cosines.append(F.cosine_similarity(one, other) * (made.there[:, a] & made.there[:, b]))
        for m, vector in zip(both, (one, other), strict=True):
            yield Embedding(
                name=f"shared_{names[-1]}_{m}", unit="none", value=vector, modality="+".join(both),
                caveat="caveat.shared_space",
            )  # fmt: skip
    yield ModalityScores(
        name="shared_cosine", unit="cosine", value=torch.stack(cosines, 1), modalities=tuple(names), neutral=0.0,
        caveat="caveat.shared_space",
    )  # fmt: skip


def _confidence(config: Config, made: Made, sure: Sure) -> Iterator[Signal]:
    yield Opinions(
        name="modality_opinion", unit="probability", normalised_over="class", value=sure.opinion,
        voices=config.modalities, present=made.there, together=made.prediction.softmax(-1), classes=config.classes,
        caveat="caveat.modality_opinion",
    )  # fmt: skip
    yield ModalityScores(
        name="modality_confidence", unit="probability", value=sure.opinion.amax(-1), modalities=config.modalities,
        neutral=1 / len(config.classes), caveat="caveat.modality_opinion",
    )  # fmt: skip
    yield ModalityWeights(
        name="confidence_weight", unit="weight", normalised_over="modality", value=sure.weight,
        modalities=config.modalities, caveat="caveat.confidence_weight",
    )  # fmt: skip


def _members(made: Made) -> Tensor:
    """Which modality each position belongs to. -> (T, M), one 1 a row"""
    sizes = torch.tensor([x.shape[1] for x in made.real], device=made.readout.device)
    return F.one_hot(torch.arange(len(sizes), device=sizes.device).repeat_interleave(sizes), len(sizes)).to(
        made.readout
    )


def _steps(config: Config, batch: Batch, made: Made) -> dict[str, tuple[Steps, ...]]:
    """Names of the modalities, of the one that reads, and of the joint positions where each modality names its own."""
    size, names = len(batch), config.modalities
    numbers = tuple(range(len(names)))
    found = {MODALITIES: (Steps(names, numbers, names),) * size, READER: (Steps((READER,), (0,), (READER,)),) * size}
    if any(m not in batch.steps for m in names):
        return found
    lengths = [x.shape[1] for x in made.real]
    rows = [_joined([batch.steps[m][row] for m in names], lengths, names) for row in range(size)]
    return {**found, JOINT: tuple(rows)}


def _joined(each: list[Steps], lengths: list[int], names: tuple[str, ...]) -> Steps:
    """The steps of several modalities as one row, each followed by marks up to its length."""
    labels: list[str] = []
    group: list[int] = []
    groups: list[str] = []
    for steps, length, name in zip(each, lengths, names, strict=True):
        more = max(0, length - len(steps.labels))
        labels += [*steps.labels[:length], *[""] * more]
        group += [*(g + len(groups) if g >= 0 else -1 for g in steps.group[:length]), *[-1] * more]
        groups += [f"{one} ({name})" for one in steps.groups]
    return Steps(tuple(labels), tuple(group), tuple(groups))
