"""Raw text, pictures and recordings -> features, by encoders that are frozen unless a training loop thaws them.

`encoder(name)` gives one: a name of ENCODERS, `hf:<local folder or hub name>` for what transformers can load,
`folder:<sub-folder>` for an encoder that lies inside a checkpoint, or `<name of ENCODERS>:<file>` for one of ours with
fine-tuned weights inside a checkpoint.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import torch

from fusion.device import best, exclusive
from fusion.encoders.audio import AudioEncoder, mel, resemblyzer
from fusion.encoders.base import Check, Encoded, verify
from fusion.encoders.image import ImageEncoder, efficientnet_lite0
from fusion.encoders.ink import InkEncoder
from fusion.encoders.text import TextEncoder, minilm
from fusion.encoders.use import use
from fusion.files import inside
from fusion.types import FusionError

__all__ = [
    "ENCODERS",
    "AudioEncoder",
    "Check",
    "Encoded",
    "Encoder",
    "ImageEncoder",
    "TextEncoder",
    "audio_encoder",
    "encoder",
    "fresh",
    "image_encoder",
    "text_encoder",
    "verify",
]

Encoder = TextEncoder | ImageEncoder | AudioEncoder
ENCODERS: dict[str, Callable[[], Encoder]] = {
    "minilm": minilm,
    "minilm+shape": functools.partial(minilm, shapes=True),
    "use": use,
    "efficientnet-lite0": efficientnet_lite0,
    "ink": InkEncoder,
    "mel": mel,
    "resemblyzer": resemblyzer,
}


def encoder(name: str, root: Path | None = None, device: torch.device | str | None = None) -> Encoder:
    """The encoder of that name, shared by all who ask and never to be trained; on the best device unless one is given.

    Raises FusionError for an unknown name, absent weights, or a folder outside `root`.
    """
    with exclusive("encoders"):  # two pages that open at once load it once
        return _shared(name, root, best()[0] if device is None else torch.device(device))


def text_encoder(name: str, root: Path | None = None) -> TextEncoder:
    """`encoder` where a text encoder is needed. Raises FusionError when the name is that of another kind."""
    made = encoder(name, root)
    if not isinstance(made, TextEncoder):
        raise FusionError(f'"{name}" encodes {_reads(made)}; name a text encoder, such as minilm.')
    return made


def image_encoder(name: str, root: Path | None = None) -> ImageEncoder:
    """`encoder` where an image encoder is needed. Raises FusionError when the name is that of another kind."""
    made = encoder(name, root)
    if not isinstance(made, ImageEncoder):
        raise FusionError(f'"{name}" encodes {_reads(made)}; name an image encoder, such as efficientnet-lite0.')
    return made


def audio_encoder(name: str = "mel") -> AudioEncoder:
    """`encoder` where an audio encoder is needed. Raises FusionError when the name is that of another kind."""
    made = encoder(name)
    if not isinstance(made, AudioEncoder):
        raise FusionError(f'"{name}" encodes {_reads(made)}; name an audio encoder: mel or resemblyzer.')
    return made


def _reads(made: Encoder) -> str:
    if isinstance(made, TextEncoder):
        return "texts"
    return "images" if isinstance(made, ImageEncoder) else "recordings"


def fresh(name: str, root: Path | None = None, device: torch.device | str | None = None) -> Encoder:
    """As `encoder`, but one's own copy, which may be fine-tuned."""
    if name in ENCODERS:
        made = ENCODERS[name]()
    else:
        from fusion.encoders.hf import from_folder, from_hub  # brings in transformers, which is slow

        kind, _, where = name.partition(":")
        if kind == "hf" and where:
            folder = Path(where).expanduser()
            made = from_folder(folder, name) if folder.is_dir() else from_hub(where, name)
        elif kind == "folder" and where:
            if root is None:
                raise FusionError(f'The encoder "{name}" lies inside a checkpoint; open it through its checkpoint.')
            made = from_folder(inside(root, where), name)
        elif kind in ENCODERS and where:
            if root is None:
                raise FusionError(f'The encoder "{name}" lies inside a checkpoint; open it through its checkpoint.')
            made = ENCODERS[kind]()
            if not isinstance(made, TextEncoder):
                raise FusionError(f'"{name}": only text encoders come with fine-tuned weights; use {kind} as it is.')
            made.fill(inside(root, where), name)
        else:
            raise FusionError(
                f'There is no encoder "{name}"; there are {", ".join(ENCODERS)}, hf:<local folder or hub name> and '
                "folder:<folder inside the checkpoint>."
            )
    return made.to(best()[0] if device is None else device)


@functools.lru_cache(maxsize=8)
def _shared(name: str, root: Path | None, device: torch.device) -> Encoder:
    return fresh(name, root, device)
