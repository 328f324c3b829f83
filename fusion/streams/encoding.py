"""Words, pictures and recordings -> the steps that a system of streams reads: word pieces, regions, frames.

Each text, picture and recording is encoded once and kept by content (fusion.encoders.cache).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from fusion.encoders import audio_encoder, image_encoder, text_encoder
from fusion.encoders.cache import FeatureCache
from fusion.encoders.sound import open_sound
from fusion.inference import UNKNOWN_LIMIT, Notice
from fusion.types import Audio, FusionError, Image, Modality, Steps, Text

if TYPE_CHECKING:
    from fusion.streams.inputs import Progress, Streams
    from fusion.types import Sample

ENCODED = {"text": "minilm", "image": "efficientnet-lite0", "audio": "mel"}  # by which encoder, unless told
INSIDE = "folder:"  # how the name of an encoder begins that lies inside a checkpoint
PIECES = 32  # of a text: a name with its keywords, a sentence


def encoded(
    streams: Streams, samples: Sequence[Sample], modalities: Sequence[str], progress: Progress | None = None,
    encoders: Mapping[str, str] | None = None,
) -> Streams:  # fmt: skip
    """The same streams with the features of some modalities made from the samples' parts.

    A part that can't be read is absent. Raises FusionError for a modality that no encoder reads.
    """
    features, length, present = dict(streams.features), dict(streams.length), streams.present.copy()
    described = {m.name: m for m in streams.modalities}
    chosen = dict(streams.encoders)
    for m in modalities:
        kind = described[m].kind
        if kind not in ENCODED:
            raise FusionError(f'No encoder reads "{m}", which is of the kind {kind}; give its features.')
        chosen[m] = (encoders or {}).get(m, ENCODED[kind])
        step = None if progress is None else (lambda done, total, m=m: progress(m, done, total))
        features[m], length[m], there, unit = _one(kind, chosen[m], m, samples, step)
        column = streams.names.index(m)
        present[:, column] &= there
        described[m] = Modality(m, kind, features[m].shape[2], features[m].shape[1], unit)
    return replace(
        streams, features=features, length=length, present=present, encoders=chosen,
        modalities=tuple(described[m.name] for m in streams.modalities),
    )  # fmt: skip


def _one(kind, name, modality, samples, progress):  # type: ignore[no-untyped-def]
    """Features (N, T, D) float16, lengths (N,), present (N,), the unit of a step."""
    cache = FeatureCache()
    named = [replace(s, parts={kind: s.parts[modality]} if modality in s.parts else {}) for s in samples]
    if kind == "text":
        found = cache.texts(text_encoder(name), named, PIECES, "zero", progress)
        unit = "token"
    elif kind == "image":
        found = cache.images(image_encoder(name), named, progress)
        unit = "region"
    else:
        found = cache.sounds(audio_encoder(name), named, progress)
        unit = "frame"
    mask = found.mask.numpy()
    longest = max(1, int(mask.sum(1).max(initial=0)))
    values = np.zeros((len(samples), longest, found.steps(slice(0, 1)).shape[2]), np.float16)
    for start in range(0, len(samples), 256):
        values[start : start + 256] = found.steps(slice(start, start + 256))[:, :longest].half().numpy()
    return values, mask.sum(1).astype(np.int64), found.present.numpy(), unit


def encode_part(
    name: str, modality: str, sample: Sample, root: Path | None = None, longest: int = PIECES
) -> tuple[Tensor, Steps, list[Notice]] | None:
    """One part of one sample as steps with their names and what a reader should know; None where it isn't there.

    A part says itself what it is, a text, a picture or a recording; a modality may have any name.

    root: the folder of a checkpoint that has its own encoders. Such a text encoder reads up to `longest` pieces, and
    padding after them, as official programs do: its steps then go on past their names.
    Raises FusionError for a picture or a recording that can't be read.
    """
    part = sample.parts.get(modality)
    notices: list[Notice] = []
    if isinstance(part, Text):
        if not part.raw.strip():
            return None
        encoder, own = text_encoder(name, root), name.startswith(INSIDE)
        limit = min(longest, encoder.max_length) if own else PIECES
        made = encoder.encode([part], length=limit, padding="read" if own else "zero")
        if made.unknown and made.unknown[0] > UNKNOWN_LIMIT:
            languages = ", ".join(encoder.languages)
            notices.append(Notice("notice.unknown", {"share": f"{made.unknown[0]:.0%}", "languages": languages}))
        if made.truncated and made.truncated[0]:
            notices.append(Notice("notice.truncated", {"words": made.truncated[0], "limit": limit}))
        if own:
            count = int(made.mask[0].sum())
            names = made.names[0]
            return made.steps[0].cpu(), replace(names, labels=names.labels[:count], group=names.group[:count]), notices
    elif isinstance(part, Image):
        made = image_encoder(name, root).encode([part.open()])
    elif isinstance(part, Audio):
        sound = open_sound(part)
        notices += [Notice("notice.sound", {"note": note}) for note in sound.notes]
        made = audio_encoder(name).encode([sound])
    else:
        return None
    count = int(made.mask[0].sum())
    return made.steps[0, :count].cpu(), made.names[0], notices
