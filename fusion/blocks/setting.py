"""Where a person's hand reaches into a model: a gate or a weight set to a value, attention heads muted.

A model passes each signal that can be set through one of these, by the name that the signal has in its trace; without
an entry for that name the tensor comes back as it was. `Signal.settable` says which do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from torch import Tensor

from fusion.types import Fixed, FusionError

NOTHING: Mapping[str, Fixed] = MappingProxyType({})


def gate(fixed: Mapping[str, Fixed], name: str, value: Tensor, modalities: Sequence[str] = ()) -> Tensor:
    """A gate in [0, 1], everywhere or, of one gate a modality, at one. value (B, ...) or (B, M, D)"""
    if name not in fixed:
        return value
    one = fixed[name]
    made = value.clone()
    if one.modality:
        made[:, _place(name, one.modality, modalities)] = one.value
    else:
        made[:] = one.value
    return made


def weights(fixed: Mapping[str, Fixed], name: str, value: Tensor, modalities: Sequence[str]) -> Tensor:
    """The weight of one modality, the others sharing the rest as they did, or evenly. value (..., M), rows sum to 1"""
    if name not in fixed:
        return value
    one = fixed[name]
    at = _place(name, one.modality or modalities[0], modalities)
    rest = value.clone()
    rest[..., at] = 0
    total = rest.sum(-1, keepdim=True)
    even = rest.new_full(rest.shape, 1 / max(len(modalities) - 1, 1))
    even[..., at] = 0
    rest = (rest / total.clamp(min=1e-30)).where(total > 0, even) * (1 - one.value)
    rest[..., at] = one.value if len(modalities) > 1 else 1.0
    return rest


def heads(fixed: Mapping[str, Fixed], name: str, attention: Tensor) -> Tensor:
    """Attention with some heads at nothing. (B, H, Q, K)"""
    if name not in fixed:
        return attention
    lost = [head for head in fixed[name].heads if head >= attention.shape[1]]
    if lost:
        raise FusionError(f"{name} has no head {lost[0]}; it has 0 to {attention.shape[1] - 1}.")
    made = attention.clone()
    made[:, list(fixed[name].heads)] = 0
    return made


def _place(name: str, modality: str, modalities: Sequence[str]) -> int:
    if modality not in modalities:
        raise FusionError(f'{name} weighs {", ".join(modalities)}, not "{modality[:40]}"; name one of them.')
    return list(modalities).index(modality)
