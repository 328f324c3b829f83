"""TFR-Net: processor time of one training step at the size of unaligned MOSI, beside the official arithmetic.

Both steps are forward, losses, backward and Adam over the same number of weights, 8 samples, lengths (50, 500, 375),
dropout in force, text features at hand. The official arithmetic is written out here as the released program computes
it, time first and one operation after the other, without its two passes of the text encoder. Without dropout it must
give the same loss as our released switches, which is checked first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measuring import Row, alternately, at_most, ratio, spread
from fusion.models.official.tfr_net import LETTERS, official_name
from fusion.models.tfr_net import Config, TFRNet
from fusion.types import Batch, FusionError

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES, REPEATS = 8, 3
RATE = 0.2  # of steps that are hidden


def measure(checkpoint: str) -> list[Row]:
    """The costs. The checkpoint is not used. Raises FusionError when the two arithmetics disagree."""
    torch.manual_seed(0)
    batch = mosi(SAMPLES)
    _agree(batch)
    ours, theirs = TFRNet(Config()).train(), TFRNet(Config.released(cmd=5.0)).train()
    steps = {"ours": _step(ours, lambda: sum(ours.loss(ours(batch, trace=False), batch).values(), torch.zeros(())))}
    steps["official"] = _step(theirs, lambda: Official(theirs).loss(batch))
    times = alternately(steps, repeats=REPEATS, warm=1)
    said = ratio(times["ours"].cpu, times["official"].cpu)
    name = f"a training step of TFR-Net, lengths (50, 500, 375), {SAMPLES} samples"
    rows = [
        at_most(f"{name}, over the official arithmetic, processor time", said, "times", 0.5, n=REPEATS),
        *(
            Row(f"{name}, {who}", sorted(one.cpu)[REPEATS // 2], "CPU-s", n=REPEATS, spread=spread(one.cpu, 2))
            for who, one in times.items()
        ),
    ]  # fmt: skip
    with torch.inference_mode():
        ours.eval()
        answer = alternately({"answer": lambda _: ours(batch, trace=False)}, repeats=REPEATS, warm=1)["answer"]
    return [
        *rows,
        Row(f"an answer of TFR-Net, {SAMPLES} samples", sorted(answer.cpu)[REPEATS // 2], "CPU-s", n=REPEATS),
    ]


def mosi(size: int, config: Config | None = None) -> Batch:
    """Random features in the lengths of unaligned MOSI, some steps hidden. Real lengths differ as there."""
    config = config or Config()
    features, mask, kept = {}, {}, {}
    for m, width, steps in zip(config.modalities, config.widths, config.steps, strict=True):
        lengths = torch.randint(steps // 4, steps + 1, (size,))
        lengths[0] = steps
        mask[m] = torch.arange(steps) < lengths[:, None]
        kept[m] = mask[m] & (torch.rand(size, steps) > RATE)
        features[m] = torch.randn(size, steps, width) * mask[m][..., None]
    return Batch(
        features=features, pooled={}, mask=mask, kept=kept, modalities=config.modalities,
        present=torch.ones(size, len(config.modalities), dtype=torch.bool),
        ids=tuple(str(i) for i in range(size)), target=torch.rand(size) * 6 - 3,
    )  # fmt: skip


def _step(model: TFRNet, loss: Callable[[], Tensor]) -> Callable[[int], None]:
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4)

    def step(_: int) -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return step


def _agree(batch: Batch) -> None:
    """Raises FusionError when the arithmetic below is not that of the released switches."""
    config = Config.released(cmd=5.0, dropout=0.0, attention_dropout=(0.0, 0.0, 0.0))
    model = TFRNet(config).train()
    ours = float(sum(model.loss(model(batch, trace=False), batch).values()).detach())  # type: ignore[union-attr]  # a sum of tensors is one
    theirs = float(Official(model).loss(batch).detach())
    if abs(ours - theirs) > 1e-4 * abs(ours):
        raise FusionError(f"The two arithmetics of TFR-Net disagree: {ours} and {theirs}.")


class Official:
    """The arithmetic of the released program over the weights of a model, under their official names."""

    def __init__(self, model: TFRNet) -> None:
        self.model, self.config = model, model.config
        self.weights = {official_name(name): value for name, value in model.named_parameters()}
        self.rates = self.config.of("attention_dropout")

    def loss(self, batch: Batch) -> Tensor:
        """The whole loss of a training batch. -> ()"""
        config, drop, names = self.config, self.config.dropout, self.config.modalities
        tokens, hidden = {}, {}
        for m in names:
            x = batch.features[m] * batch.kept[m][..., None]
            x = F.dropout(x, drop) if m == "text" else x
            kernel = self.weights[f"align_subnet.Model.proj_{LETTERS[m]}.weight"]
            tokens[m] = F.conv1d(x.transpose(1, 2), kernel, padding=kernel.shape[2] // 2).permute(2, 0, 1)
        for m in names:
            streams = [self._encode(f"{LETTERS[m]}_mem", tokens[m], None, config.heads, self.rates[m], True)]
            for s in names:
                if s != m:
                    stack = f"{LETTERS[m]}_with_{LETTERS[s]}"
                    streams.append(self._encode(stack, tokens[m], tokens[s], config.heads, self.rates[s], True))
            hidden[m] = torch.cat(streams, 2)  # time first
        total, vectors = torch.zeros(()), []
        for m, heads in zip(names, config.rebuild_heads(), strict=True):
            # (T, B, 90) as (B, 90, T), read as if the samples were the steps
            deep = hidden[m].permute(1, 2, 0)
            deep = self._encode(f"{LETTERS[m]}_final", deep, None, heads, self.rates[m], False).transpose(1, 2)
            generator = {"text": "t", "audio": "a", "vision": "v"}[m]
            guess = self._linear(f"generator_{generator}.Model.linear", deep)
            total = total + config.of("recon_weights")[m] * self._reconstruction(guess, batch, m)
            vectors.append(F.dropout(self._pool(m, hidden[m].transpose(0, 1), batch), drop))
        head = "fusion_subnet.Model.classifier."
        x = self.model.norm(torch.cat(vectors, 1))
        x = F.leaky_relu(self._linear(f"{head}linear_trans_hidden", x))
        assert batch.target is not None
        return total + F.l1_loss(self._linear(f"{head}linear_trans_final", x)[:, 0], batch.target)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _embed(self, x: Tensor, placed: bool) -> Tensor:
        """Scaled inputs with their positions, time first. (T, B, D) -> (T, B, D)"""
        steps, _, width = x.shape
        embedded = math.sqrt(width) * x
        if placed:
            half = width // 2
            rates = torch.exp(torch.arange(half) * -(math.log(10_000) / (half - 1)))
            angles = torch.arange(steps + 1)[:, None] * rates
            table = torch.cat((angles.sin(), angles.cos()), 1)
            table[0] = 0
            at = torch.arange(1, steps + 1)[:, None] * (x[..., 0] != 0)  # (T, B)
            embedded = embedded + table.index_select(0, at.reshape(-1)).view(x.shape).detach()
        return F.dropout(embedded, self.config.dropout)

    def _encode(self, name: str, x: Tensor, source: Tensor | None, heads: int, rate: float, placed: bool) -> Tensor:
        """One transformer, time first. (Q, B, D), (K, B, D) -> (Q, B, D)"""
        stack, drop = f"align_subnet.Model.trans_{name}.", self.config.dropout
        layers = self.config.self_layers if source is None else self.config.cross_layers
        source = None if source is None else self._embed(source, placed)
        x = self._embed(x, placed)
        for number in range(layers):
            layer, residual = f"{stack}layers.{number}.", x
            asked = self._norm(f"{layer}layer_norms.0", x)
            looked = asked if source is None else self._norm(f"{layer}layer_norms.0", source)
            x, _ = self._attend(f"{layer}self_attn.", asked, looked, heads, rate)
            x = residual + F.dropout(x, drop)
            residual = x
            x = self._norm(f"{layer}layer_norms.1", x)
            x = F.dropout(F.relu(self._linear(f"{layer}fc1", x)), drop)
            x = residual + F.dropout(self._linear(f"{layer}fc2", x), drop)
        return self._norm(f"{stack}layer_norm", x)

    def _attend(self, name: str, x: Tensor, source: Tensor, heads: int, rate: float) -> tuple[Tensor, Tensor]:
        """Attention, time first, and its mean over heads, which the released layer makes and throws away."""
        queries, size, width = x.shape
        keys, each = source.shape[0], x.shape[2] // heads
        weight, bias = self.weights[f"{name}in_proj_weight"], self.weights[f"{name}in_proj_bias"]
        if source is x:
            q, k, v = F.linear(x, weight, bias).chunk(3, -1)
        else:
            q = F.linear(x, weight[:width], bias[:width])
            k, v = F.linear(source, weight[width:], bias[width:]).chunk(2, -1)
        q = (q * each**-0.5).contiguous().view(queries, size * heads, each).transpose(0, 1)
        k = k.contiguous().view(keys, size * heads, each).transpose(0, 1)
        v = v.contiguous().view(keys, size * heads, each).transpose(0, 1)
        scores = torch.bmm(q, k.transpose(1, 2))
        scores += torch.triu(torch.full((queries, keys), -torch.inf), 1 + abs(keys - queries))[None]
        weights = F.dropout(F.softmax(scores.float(), -1).type_as(scores), rate)
        mixed = torch.bmm(weights, v).transpose(0, 1).contiguous().view(queries, size, width)
        mean = weights.view(size, heads, queries, keys).sum(1) / heads
        return self._linear(f"{name}out_proj", mixed), mean

    def _pool(self, modality: str, h: Tensor, batch: Batch) -> Tensor:
        """The utterance vector. (B, T, 90) -> (B, K)"""
        pool = self.model.pool[modality]
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            h, batch.mask[modality].sum(1), batch_first=True, enforce_sorted=False
        )
        read = torch.nn.utils.rnn.pad_packed_sequence(pool.gru(packed)[0], batch_first=True, total_length=h.shape[1])[0]  # type: ignore[operator]  # a module
        gate = torch.sigmoid(pool.gate(read.transpose(1, 2))).transpose(1, 2)  # type: ignore[operator]
        mixed = torch.tanh(pool.linear(torch.cat((h, torch.tanh(read) * gate), -1)))  # type: ignore[operator]
        return mixed.max(1)[0]

    def _reconstruction(self, guess: Tensor, batch: Batch, modality: str) -> Tensor:
        """Smooth L1 and five times the moments, over removed positions. -> ()"""
        where = (batch.mask[modality] & ~batch.kept[modality]).float()[..., None].expand(guess.shape)
        made, wanted = guess * where, batch.features[modality] * where
        count = where.sum() + 1e-4
        rows = made.reshape(-1, guess.shape[-1]), wanted.reshape(-1, guess.shape[-1])
        means = rows[0].mean(0), rows[1].mean(0)
        centred = rows[0] - means[0], rows[1] - means[1]
        gaps = [means[0] - means[1], *((centred[0] ** k).mean(0) - (centred[1] ** k).mean(0) for k in (2, 3))]
        moments = sum((((gap**2).sum() + 1e-12) ** 0.5 for gap in gaps), torch.zeros(()))
        return F.smooth_l1_loss(made, wanted, reduction="sum") / count + self.config.cmd * moments / count


if __name__ == "__main__":
    torch.set_num_threads(1)
    for row in measure(""):
        print(row)
