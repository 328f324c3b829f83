"""Names of the official TATE variables (JaydenZeng/TATE@e450189): own parameter -> TensorFlow's name.

The program saves `MT_ATT_model-STEP.{index,meta,data-*}`; read here is a table of its variables by their names. Its
dense kernels and matrices are (in, out), ours (out, in). The heads, the lengths and the names of the classes aren't in
the file; nor is the tag, which is a constant of the graph: 0 1 1 0 in the MOSI program, 0 0 0 1 in that of IEMOCAP.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from torch import Tensor

from fusion.models.tate import Config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PREFIX = "model/"
ANSWER = f"{PREFIX}all_weights/W_l"
ORDER = ("vision", "audio", "text")  # of positions, tag digits and variables
_OWN = ("vv", "aa", "tt")
_SHARED = ("wei_va", "wei_vt", "wei_ta")
_READOUT = {"content": "Wu", "gate": "Wm", "score": "Wr"}
_BLOCK = {
    "query.weight": "multihead_attention/dense/kernel",
    "key.weight": "multihead_attention/dense_1/kernel",
    "value.weight": "multihead_attention/dense_2/kernel",
    "attended_norm.weight": "multihead_attention/ln/gamma",
    "attended_norm.bias": "multihead_attention/ln/beta",
    "inner.weight": "positionwise_feedforward/dense/kernel",
    "inner.bias": "positionwise_feedforward/dense/bias",
    "outer.weight": "positionwise_feedforward/dense_1/kernel",
    "outer.bias": "positionwise_feedforward/dense_1/bias",
    "norm.weight": "positionwise_feedforward/ln/gamma",
    "norm.bias": "positionwise_feedforward/ln/beta",
}
UNUSED = (
    re.compile(r"model/all_weights/W[rmu]_(wa|va)$"),  # created and read by nothing
    re.compile(r"(.*/)?(Adam(_\d+)?|beta[12]_power(_\d+)?|global_step)$"),  # of the optimiser
)


def official_name(own: str, weighted: bool = False) -> str:
    """The official key of one of our parameters; `weighted`, the variant, has three more dense layers before W_d."""
    part, _, rest = own.partition(".")
    number, _, inner = rest.partition(".")
    if part == "project":
        name = f"dense{_nth(int(number))}/kernel"
    elif part == "sure":
        name = f"dense_{3 + int(number)}/{'kernel' if inner == 'weight' else 'bias'}"
    elif part == "hidden":
        name = f"dense_{6 if weighted else 3}/kernel"
    elif part == "own":
        name = f"{_OWN[int(number)]}/{_BLOCK[inner]}"
    elif part in ("encoder", "decoder"):
        name = f"{'nn' if part == 'encoder' else 'de'}/{_BLOCK[rest]}"
    elif part == "shared":
        name = f"all_weights/{_SHARED[int(number)]}"
    elif part == "readout":
        name = f"all_weights/{_READOUT[number]}_wq"
    elif part == "pools":
        name = f"all_weights/{_READOUT[inner.partition('.')[0]]}_{_OWN[int(number)]}"
    else:
        assert part == "answer", f"the official program has no {own}"
        name = f"all_weights/{'W_l' if rest == 'weight' else 'b_l'}"
    return PREFIX + name


def _nth(number: int) -> str:
    return f"_{number}" if number else ""


def from_official(own: str, value: Tensor) -> Tensor:
    """An official variable as our parameter: matrices transposed, b_l (1, C) as a vector."""
    if own == "answer.bias":
        return value.flatten()
    return value.T.contiguous() if value.ndim == 2 else value


def to_official(own: str, value: Tensor) -> Tensor:
    """The other way round."""
    if own == "answer.bias":
        return value[None]
    return value.T.contiguous() if value.ndim == 2 else value


def settings(
    weights: Mapping[str, Tensor], heads: int, steps: Sequence[int], classes: Sequence[str] = ()
) -> dict[str, Any]:
    """Keywords of Config: sizes by the shapes, the rest as told. Raises KeyError where a tensor is missing."""
    found = [weights[f"{PREFIX}dense{_nth(m)}/kernel"].shape for m in range(len(ORDER))]
    count = weights[ANSWER].shape[1]
    weighted = f"{PREFIX}all_weights/Wr_vv" in weights
    return {
        "modalities": ORDER, "widths": tuple(shape[0] for shape in found), "width": found[0][1], "heads": heads,
        "joint_heads": heads, "steps": tuple(steps), "weighted": weighted, "decay": 1e-5 if weighted else 1e-4,
        "classes": tuple(classes) or tuple(f"class {i + 1}" for i in range(count)),
    }  # fmt: skip


def config(
    weights: Mapping[str, Tensor], heads: int, steps: Sequence[int], classes: Sequence[str] = (), **overrides: Any
) -> Config:
    """The settings of a released run by its variables."""
    return Config.released(**(settings(weights, heads, steps, classes) | overrides))
