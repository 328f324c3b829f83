"""Text encoders: texts -> one vector a word piece, one vector a text, and where each piece looked.

A `TextEncoder` is a transformer and a tokenizer. It is frozen and in evaluation mode unless a training loop takes
`module` and calls `forward_ids`. Attention is computed with an explicit softmax only where a trace is asked for;
otherwise the fused kernel runs, and a test shows that both agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from fusion.device import exclusive
from fusion.encoders.base import MINILM, MINILM_PIECES, Encoded
from fusion.encoders.bert import Hidden, load_bert
from fusion.encoders.tokens import SHAPES, Pieces, Tokens
from fusion.files import file_digest
from fusion.signals import Attention
from fusion.types import FusionError, Text

ROWS = 32  # texts of one forward pass: more gains nothing on a CPU and costs memory


class TextEncoder:
    """A pretrained text encoder. `width` is D of `steps`, `pooled_width` D' of `pooled`."""

    def __init__(
        self,
        name: str,
        module: nn.Module,
        pieces: Pieces,
        *,
        width: int,
        digest: Callable[[], str],
        languages: tuple[str, ...] = (),
        max_length: int = 512,
        shapes: bool = False,
        pooling: str = "mean",
    ) -> None:
        """`module` maps (ids, mask, segment, trace) to Hidden; `digest` computes a sha256 when first asked for."""
        self.name = name
        self.module = module.eval().requires_grad_(False)
        self.pieces = pieces
        self.languages = languages  # ISO 639-1 codes; empty when the weights don't say
        self.max_length = max_length
        self.pad_id = pieces.pad_id
        self.shape_width = len(SHAPES) if shapes else 0
        self.pooled_width = width
        self.width = self.pooled_width + self.shape_width
        self.preprocessing = f"pieces-1 shapes-{self.shape_width} {pooling}"  # changes with what steps mean
        self._digest = digest

    @cached_property
    def digest(self) -> str:
        """sha256 of the weights (of the weights and the vocabulary, for a folder)."""
        return self._digest()

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.module.parameters()).device

    def to(self, device: torch.device | str) -> TextEncoder:
        """Itself, moved to a device."""
        self.module.to(device)
        return self

    def fill(self, weights: Path, name: str) -> None:
        """Take other weights of the same network from a safetensors file, and another name.

        Raises FusionError when the file can't be read or its tensors aren't exactly those of the network.
        """
        try:
            tensors = load_file(weights)
        except (OSError, SafetensorError) as error:
            raise FusionError(
                f"The fine-tuned weights {weights.name} can't be read ({error}); copy the checkpoint again."
            ) from None
        own = {key: value.shape for key, value in self.module.state_dict().items()}
        if own != {key: value.shape for key, value in tensors.items()}:
            raise FusionError(
                f"The fine-tuned weights {weights.name} don't fit {self.name}; use the checkpoint as it was saved."
            )
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise FusionError(f"The fine-tuned weights {weights.name} hold NaN or infinite numbers; train again.")
        self.module.load_state_dict({key: value.float() for key, value in tensors.items()})
        self.name = name
        self._digest = lambda: file_digest(weights)

    def tokenise(self, texts: Sequence[str | Text], length: int | None = None) -> Tokens:
        """Word pieces of B texts, padded to `length` or the longest. Raises FusionError when `length` is too long."""
        if length is not None and length > self.max_length:
            raise FusionError(f"The encoder {self.name} reads {self.max_length} pieces, not {length}; ask for fewer.")
        return self.pieces.tokenise(texts, self.max_length, length)

    def forward_ids(self, ids: Tensor, mask: Tensor, segment: Tensor | None = None, *, trace: bool = False) -> Hidden:
        """Hidden states of ids (B, T) under mask (B, T), with gradients where they are on; word-shape columns apart."""
        return self.module(ids, mask, torch.zeros_like(ids) if segment is None else segment, trace=trace)

    def encode(
        self,
        texts: Sequence[str | Text],
        *,
        length: int | None = None,
        trace: bool = False,
        padding: Literal["read", "zero"] = "read",
    ) -> Encoded:
        """Features of B texts, without gradients.

        T is exactly `length`, or the longest text. With a `length`, padding="read" runs padding through the encoder, as
        MAF's matching head was published; "zero" leaves zeros there and saves its time. Without one it is zeros.
        Raises FusionError when `length` is more than the encoder reads.
        """
        tokens = self.tokenise(texts, length)
        read = length is not None and padding == "read"
        with torch.no_grad(), exclusive(self.name):
            hidden = self._run(tokens.to(self.device), read=read, trace=trace)
        steps = hidden.steps
        if self.shape_width:
            steps = torch.cat((steps, tokens.shapes.to(steps.device)), -1)
        mask = tokens.mask.to(steps.device)
        return Encoded(
            steps, hidden.pooled, mask, tokens.names, self._signals(hidden, mask), tokens.unknown, tokens.truncated
        )

    def _run(self, tokens: Tokens, *, read: bool, trace: bool) -> Hidden:
        """Forward in groups of similar length (one group for a trace), zeros past each group's longest."""
        steps = tokens.ids.shape[1]
        sizes = tokens.mask.sum(1)
        if len(sizes) == 0:
            return Hidden(
                torch.zeros(0, steps, self.pooled_width, device=self.device),
                torch.zeros(0, self.pooled_width, device=self.device),
                (),
            )
        order = torch.argsort(sizes, stable=True)
        parts: list[Hidden] = []
        for rows in [order] if trace else order.split(ROWS):
            used = steps if read else int(sizes[rows].max())
            short = tokens.ids[rows, :used], tokens.mask[rows, :used], tokens.segment[rows, :used]
            made = self.forward_ids(*short, trace=trace)
            rest = steps - used
            parts.append(
                Hidden(
                    made.steps if read else F.pad(made.steps * short[1][..., None], (0, 0, 0, rest)),
                    made.pooled,
                    tuple(F.pad(layer, (0, rest, 0, rest)) for layer in made.attention),
                )
            )
        back = torch.argsort(order)
        attention = tuple(layer[back] for layer in parts[0].attention) if trace else ()
        return Hidden(
            torch.cat([part.steps for part in parts])[back], torch.cat([part.pooled for part in parts])[back], attention
        )

    def _signals(self, hidden: Hidden, mask: Tensor) -> tuple[Attention, ...]:
        return tuple(
            Attention(
                name=f"text_attention_{layer + 1}",
                unit="weight",
                normalised_over="text",
                caveat="caveat.text_attention",
                value=value,
                layer=layer,
                layers=len(hidden.attention),
                queries="text",
                keys="text",
                query_mask=mask,
                key_mask=mask,
            )
            for layer, value in enumerate(hidden.attention)
        )


def minilm(*, shapes: bool = False) -> TextEncoder:
    """MiniLM: BERT of 6 layers x 12 heads, 384 features, English, lower-cased; pooled by a masked mean.

    With `shapes`, the last columns of its steps say how each word was written (fusion.encoders.tokens.SHAPES).
    Raises FusionError when its package is absent or differs from its checksum.
    """
    from tokenizers import Tokenizer  # not every command encodes

    weights, vocabulary = MINILM.checked(), MINILM_PIECES.checked()
    module = load_bert(weights.parent)
    return TextEncoder(
        "minilm+shape" if shapes else "minilm",
        module,
        Pieces(Tokenizer.from_file(str(vocabulary)), pad_id=0, languages=("en",)),
        width=module.width,
        digest=lambda: MINILM.sha256,
        languages=("en",),
        max_length=256,
        shapes=shapes,
    )
