"""Official HSCL state dicts -> ours: best_model.pt becomes a checkpoint with its own text encoder.

Sizes are read from the shapes of the tensors, heads are told or those of the paper. Sound and vision come as features,
in the order of the file that it was trained on. Nothing in it ever runs. No weights were ever published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fusion import checkpoints
from fusion.adopt import VOCABULARY, Texts, read_vocabulary, write_text
from fusion.blocks.multihead import positions
from fusion.files import file_digest
from fusion.foreign import Foreign, fill, state_dict
from fusion.models.hscl import HEADS, HSCL
from fusion.models.official import bert
from fusion.models.official import hscl as names
from fusion.streams.adopted import MOSI, NO_VOCABULARY, check_place, scored
from fusion.streams.inputs import GIVEN
from fusion.types import FusionError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import BertConfig

    from fusion.checkpoints import Checkpoint
    from fusion.models.hscl import Config

MARKS = ("fusion_prj.linear_1.weight", "FC_at.linear_1.weight")  # no other official file has them
PAPER = 768  # width whose heads the paper says
POSITION_IDS = f"{names.TEXT_ENCODER}embeddings.position_ids"  # 0, 1, 2, ..., which some versions saved


def recognised(source: Path) -> bool:
    """Whether a file is a state dict of HSCL."""
    try:
        file = state_dict(source)
    except FusionError:
        return False
    return all(mark in file.tensors for mark in MARKS)


def adopt(
    source: Path, destination: Path, *, vocabulary: Path | None = None, heads: int | None = None,
    encoder_heads: Sequence[int] = (), scale: tuple[float, float] = MOSI,
) -> Checkpoint:  # fmt: skip
    """Turn an official HSCL state dict into a checkpoint with the released switches and its text encoder inside.

    `vocabulary` is the vocab.txt of its text encoder, by default the one beside the file; without one the checkpoint is
    whole but can't read raw text yet. `heads` of the text encoder and of both attentions, `encoder_heads` of sound and
    vision: no file says them; by default the paper's, for the widths of the paper. `scale`: lowest and highest score
    that it was trained on.
    Raises FusionError on damaged or code-bearing files, missing or unknown tensors, and heads that don't fit.
    """
    check_place(destination)
    file = state_dict(source)
    lacking = [key for key in names.needed() if file.axis(key, 0) is None]
    if lacking:
        raise FusionError(f"{source.name} lacks {lacking[0]}; save the state dict of the whole HSCL.")
    model, texts = filled(file, heads, encoder_heads)
    words = read_vocabulary(vocabulary, source.parent / VOCABULARY, texts[0].vocab_size)
    origin: dict[str, Any] = {
        "kind": "adopted", "source": f"{HSCL.card.official}: {file.name}", "official": False,
        "sha256": {path.name: file_digest(path) for path in (source, *([words] if words else []))},
        "text_model": "bert-base-uncased", "dropped": _dropped(file),
    }  # fmt: skip
    encoders = {"text": "folder:encoders/text", "audio": GIVEN, "vision": GIVEN}
    return checkpoints.save(
        destination, model, encoders=encoders, data="not recorded in the official file", metrics=scored(scale),
        card=_card(destination.name, origin, model.config, words is not None), origin=origin,
        fill=lambda aside: write_text(aside / "encoders" / "text", Texts(*texts, words, True)),
    )  # fmt: skip


def filled(
    file: Foreign, heads: int | None = None, encoder_heads: Sequence[int] = ()
) -> tuple[HSCL, tuple[BertConfig, dict[str, Tensor]]]:
    """The model of a state dict in evaluation mode, and its text encoder's settings and state."""
    from transformers import BertModel  # seconds to import

    sizes = names.settings(file.tensors)
    width, others = sizes["widths"][0], sizes["widths"][1:]
    if heads is None and width != PAPER:
        raise FusionError(f"Text has width {width} in {file.name}, not {PAPER}; say how many heads it has: --heads N.")
    unknown = [one for one in others if one not in HEADS]
    if unknown and not encoder_heads:
        raise FusionError(
            f"{file.name} reads sound and vision of widths {others[0]} and {others[1]}, which are not the paper's; say "
            "how many heads their encoders have: --encoder-heads N,N."
        )
    config = names.config(file.tensors, heads=heads or 12, encoder_heads=tuple(encoder_heads))
    texts = bert.config(file.tensors, names.TEXT_ENCODER, config.heads)
    with torch.device("meta"):
        model, text = HSCL(config), BertModel(texts).state_dict()
    own = model.state_dict()
    foreign = lambda key: names.official_name(key) if key in own else key  # noqa: E731
    state = fill(
        file, own | {names.TEXT_ENCODER + key: value for key, value in text.items()}, foreign,
        (*names.UNREAD, POSITION_IDS),
    )  # fmt: skip
    _check_positions(file)
    model.load_state_dict({key: state[key] for key in own}, assign=True)
    return model.eval().requires_grad_(False), (texts, {key: state[names.TEXT_ENCODER + key] for key in text})


def _check_positions(file: Foreign) -> None:
    """The file's tables of positions are those that are computed here; the last column of an odd width is cut."""
    for key, width in zip(names.UNREAD, names.settings(file.tensors)["widths"][1:], strict=True):
        table = file.tensors.get(key)
        if table is None:
            continue
        flat = table.reshape(len(table), -1)[:100, :width].float()
        if flat.shape[1] != width or not torch.allclose(flat, positions(len(flat), width, flat), atol=1e-4):
            raise FusionError(f"{key} in {file.name} holds other positions than the official program computes; it was "
                              "written by another program.")  # fmt: skip


def _dropped(file: Foreign) -> list[str]:
    return [
        f"{key} in {file.name}, which is computed anew: 1 tensor, {file.tensors[key].numel():,} numbers"
        for key in (*names.UNREAD, POSITION_IDS)
        if key in file.tensors
    ]


def _card(name: str, origin: Mapping[str, Any], config: Config, reads_text: bool) -> str:
    hashes = "\n".join(f"- `{file}` sha256 `{value}`" for file, value in origin["sha256"].items())
    dropped = "\n".join(f"- {line}" for line in origin["dropped"]) or "- nothing"
    heads = ", ".join(map(str, config.own_heads()))
    return f"""# {name}

Adopted from a file in the format of the official program ({HSCL.card.official}). It published no weights, so these
can't be compared with published ones, and are not called official. Licence of the program: MIT; of the weights: what
their owner says.

Switches as released: other similarities in its contrast, a distance that is not squared, a residual around both
attentions, padding of text that is read, and summary tokens of sound and vision that were drawn anew at every call and
saved by nobody. Here they are drawn once, from seed {config.cls_seed}: with other ones its answers change a little.
Text of width {config.widths[0]} with {config.text_heads()} heads, sound and vision of widths {config.widths[1]} and
{config.widths[2]} with {heads} heads; heads and lengths are recorded in no file. Its text encoder is in here.
{"" if reads_text else NO_VOCABULARY}
## Files
{hashes}

## Left out
{dropped}

## Figures
None: nothing was measured here. What it was trained on is not recorded in the file.
"""
