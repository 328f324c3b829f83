"""Official TFR-Net state dicts -> ours: a saved run becomes a checkpoint with its own text encoder.

Sizes and lengths are read from the shapes of the tensors, heads are told or those of the paper. Sound and vision come
as features, in the order of the file that it was trained on. Nothing in it ever runs. No weights were ever published.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from fusion import checkpoints
from fusion.adopt import VOCABULARY, Texts, read_vocabulary, write_text
from fusion.files import file_digest
from fusion.foreign import Foreign, fill, state_dict
from fusion.models.official import bert
from fusion.models.official import tfr_net as names
from fusion.models.tfr_net import TFRNet
from fusion.streams.adopted import MOSI, NO_VOCABULARY, check_place, scored
from fusion.streams.inputs import GIVEN
from fusion.types import FusionError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import BertConfig

    from fusion.checkpoints import Checkpoint
    from fusion.models.tfr_net import Config

MARKS = ("align_subnet.Model.trans_l_mem.layer_norm.weight", "fusion_subnet.Model.text_encoder.fc.weight")
PAPER, HEADS = 30, 6  # width whose heads the paper says, and they
TEXT, TEXT_HEADS = 768, 12  # of BERT
VOCABULARIES = {30_522: "bert-base-uncased", 21_128: "bert-base-chinese"}
POSITION_IDS = f"{names.TEXT_ENCODER}embeddings.position_ids"  # 0, 1, 2, ..., which some versions saved


def recognised(source: Path) -> bool:
    """Whether a file is a state dict of TFR-Net, with its wrapper's prefix or without."""
    try:
        file = state_dict(source)
    except FusionError:
        return False
    return all(mark in file.tensors or names.PREFIX + mark in file.tensors for mark in MARKS)


def adopt(
    source: Path, destination: Path, *, vocabulary: Path | None = None, heads: int | None = None,
    text_heads: int | None = None, recon_heads: int = 0, scale: tuple[float, float] = MOSI,
) -> Checkpoint:  # fmt: skip
    """Turn an official TFR-Net state dict into a checkpoint with the released switches and its text encoder inside.

    `vocabulary` is the vocab.txt of its text encoder, by default the one beside the file; without one the checkpoint is
    whole but can't read raw text yet. `heads` of its attention, `text_heads` of its text encoder and `recon_heads` of
    what rebuilds hidden steps: no file says them; by default the paper's, for the widths of the paper, and for the
    last one what `Config` says of 0. `scale`: lowest and highest score that it was trained on.
    Raises FusionError on damaged or code-bearing files, missing or unknown tensors, and heads that don't fit.
    """
    check_place(destination)
    file = state_dict(source)
    model, texts = filled(file, heads, text_heads, recon_heads)
    words = read_vocabulary(vocabulary, source.parent / VOCABULARY, texts[0].vocab_size)
    origin: dict[str, Any] = {
        "kind": "adopted", "source": f"{TFRNet.card.official}: {file.name}", "official": False,
        "sha256": {path.name: file_digest(path) for path in (source, *([words] if words else []))},
        "text_model": VOCABULARIES.get(texts[0].vocab_size, ""), "dropped": _dropped(file),
    }  # fmt: skip
    encoders = {"text": "folder:encoders/text", "audio": GIVEN, "vision": GIVEN}
    return checkpoints.save(
        destination, model, encoders=encoders, data="not recorded in the official file", metrics=scored(scale),
        card=_card(destination.name, origin, model.config, words is not None), origin=origin,
        fill=lambda aside: write_text(aside / "encoders" / "text", Texts(*texts, words, True)),
    )  # fmt: skip


def filled(
    file: Foreign, heads: int | None = None, text_heads: int | None = None, recon_heads: int = 0
) -> tuple[TFRNet, tuple[BertConfig, dict[str, Tensor]]]:
    """The model of a state dict in evaluation mode, and its text encoder's settings and state. Raises FusionError."""
    from transformers import BertModel  # seconds to import

    plain = Foreign(file.name, names.plain(file.tensors))
    lacking = [key for key in bert.needed(names.TEXT_ENCODER) if plain.axis(key, 0) is None]
    if lacking:
        raise FusionError(f"{file.name} lacks {lacking[0]}; save the state dict of the whole TFR-Net.")
    told = {"heads": (heads, "width", PAPER, HEADS), "text-heads": (text_heads, "text width", TEXT, TEXT_HEADS)}
    sizes = {"width": names.settings(plain.tensors)["width"], "text width": names.settings(plain.tensors)["widths"][0]}
    counts = {}
    for option, (said, what, usual, count) in told.items():
        if said is None and sizes[what] != usual:
            raise FusionError(
                f"The {what} in {file.name} is {sizes[what]}, not {usual}; say how many heads it has: --{option} N."
            )
        counts[option] = said or count
    config = names.config(plain.tensors, heads=counts["heads"], recon_heads=recon_heads)
    if sizes["text width"] % counts["text-heads"]:
        raise FusionError(
            f"The text width {sizes['text width']} in {file.name} does not divide by {counts['text-heads']} heads; "
            "give the number that it was trained with: --text-heads N."
        )
    text_config = bert.config(plain.tensors, names.TEXT_ENCODER, counts["text-heads"])
    with torch.device("meta"):
        model, text = TFRNet(config), BertModel(text_config).state_dict()
    own = model.state_dict()
    foreign = lambda key: names.official_name(key) if key in own else key  # noqa: E731
    wanted = own | {names.TEXT_ENCODER + key: value for key, value in text.items()}
    state = fill(plain, wanted, foreign, (POSITION_IDS,))
    model.load_state_dict({key: state[key] for key in own}, assign=True)
    texts = {key: state[names.TEXT_ENCODER + key] for key in text}
    return model.eval().requires_grad_(False), (text_config, texts)


def _dropped(file: Foreign) -> list[str]:
    """One line a group of tensors that nothing reads."""
    used = names.plain(file.tensors)
    bare = {key.removeprefix(names.PREFIX): value for key, value in file.tensors.items()}
    unread = {key: value for key, value in bare.items() if key not in used}
    marks = {key for key in unread if names.UNUSED.match(key)}
    groups = {
        "marks and buffers that nothing reads": marks,
        "projections between equal widths, which the program skips": set(unread) - marks,
        "position numbers of the text encoder": {POSITION_IDS} & set(bare),
    }
    return [
        f"{what}: {len(keys)} tensors, {sum(bare[key].numel() for key in keys):,} numbers"
        for what, keys in groups.items()
        if keys
    ]


def _card(name: str, origin: Mapping[str, Any], config: Config, reads_text: bool) -> str:
    hashes = "\n".join(f"- `{file}` sha256 `{value}`" for file, value in origin["sha256"].items())
    dropped = "\n".join(f"- {line}" for line in origin["dropped"]) or "- nothing"
    lengths = ", ".join(
        f"{m} {t} x {d}" for m, t, d in zip(config.modalities, config.steps, config.widths, strict=True)
    )
    text_model = f" ({origin['text_model']} by the size of its vocabulary)" if origin["text_model"] else ""
    return f"""# {name}

Adopted from a file in the format of the official program ({TFRNet.card.official}, thuiar/MMSA@a94e65d). It published
no weights, so these can't be compared with published ones, and are not called official. Licence of the program: MIT;
of the weights: what their owner says.

Switches as released: **reconstructions were trained with samples as tokens**, each seeing earlier ones of its batch
alone: here, where a sample is looked at by itself, they are what the program gives to the first sample of a batch. The
maximum over steps runs over padding, and a step whose first number is exactly zero has no position. One difference
remains: the program reads what its text encoder gives at padding, and here padding of texts is zeros like any other,
so that the answer to a text that is shorter than {config.steps[0]} word pieces differs from the program's.

Longest sequences and widths: {lengths}; {config.heads} heads, and {", ".join(map(str, config.rebuild_heads()))} where
steps are rebuilt: heads are recorded in no file. Its text encoder{text_model} is in here; texts must be read by it,
and the text features of a data set by another encoder do not fit.
{"" if reads_text else NO_VOCABULARY}
## Files
{hashes}

## Left out, because nothing reads it
{dropped}

## Figures
None: nothing was measured here. What it was trained on is not recorded in the file.
"""
