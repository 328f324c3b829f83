"""A sentence encoder for many languages: 512 features a text, about a millisecond, no attention.

Yang, Cer, Ahmad, Guo, Law, Constant, Hernandez Abrego, Yuan, Tar, Sung, Strope, Kurzweil, "Multilingual Universal
Sentence Encoder for Semantic Retrieval", ACL 2020 demos, doi:10.18653/v1/2020.acl-demos.12. Convolutions over word
pieces, a sum over them, and a small tower. The weights are those of a package, read as data; its code is never run
(a test compares with it).

x_t = E[id_t]; y = LN(x P) in three parts, one a window n of 2, 3 and 5 pieces
h_n = y_n + relu(conv_n(y_n)); c_n = h_n + relu(conv'_n(h_n)); s_t = LN([x; c_2; c_3; c_5]) C + b    (T, 512)
v = sum_t s_t / sqrt(T); u = relu(v P_1 + relu(v D_0) D_1); z = tanh(u P_3 + relu(u D_2) D_3); out = z / |z|
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusion.encoders.base import USE, USE_PIECES
from fusion.encoders.bert import Hidden
from fusion.encoders.text import TextEncoder
from fusion.encoders.tokens import Pieces
from fusion.files import digest

WIDTH = 512
PART = 256  # features of one window
WINDOWS = {2: 0, 3: 1, 5: 2}  # pieces of a window -> how many of them lie before its own
BLOCKS = 17  # the table is stored in blocks of every 17th piece, each with its own scale
LANGUAGES = ("ar", "zh", "en", "fr", "de", "it", "ja", "ko", "nl", "pl", "pt", "es", "th", "tr", "ru")
UNKNOWN, START, END, PAD = 0, 1, 2, 0


class Use(nn.Module):
    """The network. Its 128,000 piece vectors stay as bytes; those of a batch are turned to numbers when they are read.

    Source: the shapes and names of the released weights.
    """

    table: Tensor
    scale: Tensor
    low: Tensor

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.register_buffer("table", torch.zeros(pieces, WIDTH, dtype=torch.uint8))
        self.register_buffer("scale", torch.ones(BLOCKS))
        self.register_buffer("low", torch.zeros(BLOCKS))
        self.project = nn.Linear(WIDTH, len(WINDOWS) * PART)
        self.project_norm = nn.LayerNorm(len(WINDOWS) * PART, eps=1e-12)
        self.first = nn.ModuleList(nn.Linear(n * PART, PART) for n in WINDOWS)
        self.second = nn.ModuleList(nn.Linear(n * PART, PART) for n in WINDOWS)
        self.norm = nn.LayerNorm(WIDTH + len(WINDOWS) * PART, eps=1e-12)
        self.step = nn.Linear(WIDTH + len(WINDOWS) * PART, WIDTH)
        self.d0, self.p1 = nn.Linear(WIDTH, 320, bias=False), nn.Linear(WIDTH, 320, bias=False)
        self.d1 = nn.Linear(320, 320, bias=False)
        self.d2, self.p3 = nn.Linear(320, WIDTH, bias=False), nn.Linear(320, WIDTH, bias=False)
        self.d3 = nn.Linear(WIDTH, WIDTH, bias=False)

    def forward(self, ids: Tensor, mask: Tensor, segment: Tensor, *, trace: bool = False) -> Hidden:
        """ids, mask (B, T) -> steps (B, T, 512), whose sum makes pooled (B, 512) of length 1. No attention to trace."""
        real = mask[..., None].to(self.scale.dtype)
        block = ids % BLOCKS
        x = self.table[ids].to(self.scale.dtype) * self.scale[block][..., None] + self.low[block][..., None]
        parts = self.project_norm(self.project(x)).split(PART, -1)
        made = [x]
        for part, (size, before), first, second in zip(parts, WINDOWS.items(), self.first, self.second, strict=True):
            inner = part + F.relu(first(_windows(part * real, size, before)))
            made.append(inner + F.relu(second(_windows(inner * real, size, before))))
        steps = self.step(self.norm(torch.cat(made, -1))) * real
        v = steps.sum(1) / real.sum(1).clamp(min=1).sqrt()
        u = F.relu(self.p1(v) + self.d1(F.relu(self.d0(v))))
        z = torch.tanh(self.p3(u) + self.d3(F.relu(self.d2(u))))
        return Hidden(steps, F.normalize(z, dim=-1, eps=1e-6), ())


def _windows(x: Tensor, size: int, before: int) -> Tensor:
    """(B, T, D) -> (B, T, size D): each piece beside `before` pieces back and the rest ahead, zeros beyond the text.

    A product with these takes a fraction of a convolution's time at such lengths.
    """
    padded = F.pad(x, (0, 0, before, size - 1 - before))
    return torch.cat([padded[:, at : at + x.shape[1]] for at in range(size)], -1)


def use() -> TextEncoder:
    """The encoder. Raises FusionError when its package is absent or differs from its checksum."""
    weights, vocabulary = USE.checked(), USE_PIECES.checked()
    return TextEncoder(
        "use",
        load(weights),
        read_pieces(vocabulary),
        width=WIDTH,
        digest=lambda: digest(USE.sha256, USE_PIECES.sha256),
        languages=LANGUAGES,
        max_length=256,
        pooling="sum",
    )


def load(path: Path) -> Use:
    """The network with the weights of a file of arrays."""
    with np.load(path, allow_pickle=False) as stored:
        one = {name: torch.from_numpy(stored[name]) for name in stored.files if name[0] != "q"}
        module = Use(BLOCKS * len(stored["q1"])).requires_grad_(False)
        for block in range(BLOCKS):
            module.table[block::BLOCKS] = torch.from_numpy(stored[f"q{block + 1}"])
    module.scale.copy_(one["scale"])
    module.low.copy_(one["lo"])
    join = lambda name: torch.cat([one[f"{name}{n}"] for n in WINDOWS], -1)  # noqa: E731
    _fill(module.project, join("proj").T, join("proj_b"))
    _fill(module.project_norm, join("ln_g"), join("ln_b"))
    for n, first, second in zip(WINDOWS, module.first, module.second, strict=True):
        for name, layer in (("1", first), ("2", second)):
            _fill(layer, one[f"w{name}_{n}"].T, one[f"b{name}_{n}"])
    _fill(module.norm, one["ln_g"], one["ln_b"])
    _fill(module.step, one["cnn_W"].T, one["cnn_b"])
    for name in ("d0", "d1", "d2", "d3", "p1", "p3"):
        _fill(getattr(module, name), one[name].T)
    return module


def _fill(layer: nn.Module, weight: Tensor, bias: Tensor | None = None) -> None:
    layer.get_parameter("weight").copy_(weight)
    if bias is not None:
        layer.get_parameter("bias").copy_(bias)


def read_pieces(path: Path) -> Pieces:
    """The tokenizer of a SentencePiece unigram model: its pieces with their scores, and its table of normal forms.

    Source: the field numbers of sentencepiece_model.proto (pieces 1; normaliser 3, whose field 2 is the table).
    """
    from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors  # not every command
    from tokenizers.models import Unigram

    data = path.read_bytes()
    pieces: list[tuple[str, float]] = []
    table = b""
    for number, start, end in _fields(data, 0, len(data)):
        inner = {inside: data[a:b] for inside, a, b in _fields(data, start, end)} if number in (1, 3) else {}
        if number == 1:
            pieces.append((inner[1].decode("utf-8"), struct.unpack("<f", inner[2])[0]))
        elif number == 3:
            table = inner[2]
    tokenizer = Tokenizer(Unigram(pieces, UNKNOWN, False))
    tokenizer.normalizer = normalizers.Sequence(  # type: ignore[assignment]  # its stub knows the getter only
        [normalizers.Precompiled(table), normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()  # type: ignore[assignment]
    tokenizer.decoder = decoders.Metaspace()  # type: ignore[assignment]
    marks = [(pieces[START][0], START), (pieces[END][0], END)]
    tokenizer.add_special_tokens([name for name, _ in marks])
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=f"{marks[0][0]} $A {marks[1][0]}", special_tokens=marks
    )
    return Pieces(tokenizer, pad_id=PAD, languages=LANGUAGES, unk_id=UNKNOWN)


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(number, start, end) of each field of a protocol buffer's message that lies in data[at:end]."""
    while at < end:
        tag, at = _number(data, at)
        kind = tag & 7
        if kind == 0:
            start = at
            _, at = _number(data, at)
        else:
            size, at = _number(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            start, at = at, at + size
        yield tag >> 3, start, at


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number in base 128, lowest digit first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
