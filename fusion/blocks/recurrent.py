"""A bidirectional GRU over sequences of different lengths: both directions in one loop, gradients by hand.

The same numbers as `nn.GRU` over packed sequences, whose parts this reads. On a processor each step of `nn.GRU` costs
many small operations and as many nodes for the gradient; here a step of both directions is eight and, back, four.

    r = sigmoid(x_r + h_r),  z = sigmoid(x_z + h_z),  n = tanh(x_n + r * h_n),  h <- n + z * (h - n)

with x = W_i input + b_i, (h_r, h_z, h_n) = W_h h + b_h. Source: Cho et al. 2014, in the form of PyTorch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def bidirectional(gru: nn.GRU, x: Tensor, lengths: Tensor) -> Tensor:
    """x (B, T, D), lengths (B,) from 1 to T -> (B, T, 2K), 0 behind each sequence. `gru` is batch first, both ways."""
    if x.device.type != "cpu":
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(gru(packed)[0], batch_first=True, total_length=x.shape[1])[0]
    steps = torch.arange(x.shape[1])
    real = steps < lengths[:, None]  # (B, T)
    back = torch.where(real, lengths[:, None] - 1 - steps, steps)[..., None]  # each sequence turned round by itself
    longest = int(lengths.max())
    for layer in range(gru.num_layers):
        ways = []
        for way, turned in (("", x), ("_reverse", x.gather(1, back.expand_as(x)))):
            weight, bias = getattr(gru, f"weight_ih_l{layer}{way}"), getattr(gru, f"bias_ih_l{layer}{way}")
            ways.append(nn.functional.linear(turned[:, :longest], weight, bias))
        inner = [
            torch.stack([getattr(gru, f"{n}_hh_l{layer}{w}") for w in ("", "_reverse")]) for n in ("weight", "bias")
        ]
        made = _Loop.apply(torch.stack(ways).permute(2, 0, 1, 3), inner[0], inner[1])  # (T', 2, B, K)
        made = nn.functional.pad(made.permute(1, 2, 0, 3), (0, 0, 0, x.shape[1] - longest))  # (2, B, T, K)
        x = torch.cat((made[0], made[1].gather(1, back.expand_as(made[1]))), -1) * real[..., None]
    return x


class _Loop(torch.autograd.Function):
    """One layer. x (T, 2, B, 3K), weight (2, 3K, K), bias (2, 3K) -> h (T, 2, B, K) from h = 0"""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = x.contiguous()
        steps, ways, size, three = x.shape
        width = three // 3
        matrix, offset = weight.transpose(1, 2).contiguous(), bias[:, None]
        h = x.new_zeros(ways, size, width)
        out, gates = x.new_empty(steps, ways, size, width), x.new_empty(steps, ways, size, 2 * width)
        new, inner = torch.empty_like(out), torch.empty_like(out)
        parts = (x[..., : 2 * width].unbind(0), x[..., 2 * width :].unbind(0))
        for x_rz, x_n, gate, n, h_n, to in zip(
            *parts, gates.unbind(0), new.unbind(0), inner.unbind(0), out.unbind(0), strict=True
        ):
            read = torch.baddbmm(offset, h, matrix)  # (2, B, 3K)
            torch.add(x_rz, read[..., : 2 * width], out=gate).sigmoid_()
            h_n.copy_(read[..., 2 * width :])
            torch.addcmul(x_n, gate[..., :width], h_n, out=n).tanh_()
            h = torch.lerp(n, h, gate[..., width:], out=to)
        ctx.save_for_backward(weight, out, gates, new, inner)
        return out

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, out, gates, new, inner = ctx.saved_tensors
        r, z = gates.chunk(2, -1)
        before = torch.cat((torch.zeros_like(out[:1]), out[:-1]))
        of_new = (1 - z) * (1 - new * new)  # how the state moves with x_n
        factors = torch.cat((of_new * inner * r * (1 - r), (before - new) * z * (1 - z), of_new * r), -1)  # of h_*
        states, changes = torch.empty_like(out), torch.empty_like(factors)
        carried = torch.zeros_like(out[0])
        rows = (upstream[0].unbind(0), states.unbind(0), changes.unbind(0), factors.unbind(0), z.unbind(0))
        for up, state, change, factor, keep in list(zip(*rows, strict=True))[::-1]:
            torch.add(up, carried, out=state)
            torch.mul(factor.unflatten(-1, (3, -1)), state[..., None, :], out=change.unflatten(-1, (3, -1)))
            carried = torch.addcmul(torch.bmm(change, weight), state, keep)
        of_x = torch.cat((changes[..., : 2 * r.shape[-1]], states * of_new), -1)
        flat = changes.transpose(0, 1).flatten(1, 2)  # (2, T B, 3K)
        of_weight = flat.transpose(1, 2) @ before.transpose(0, 1).flatten(1, 2)
        return of_x, of_weight, flat.sum(1)
