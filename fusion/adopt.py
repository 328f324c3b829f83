"""Official checkpoints -> ours: a folder of the official MAF program becomes a checkpoint with its own two encoders.

The source holds pytorch_model.bin (text encoder and head), pytorch_encoder.bin (image net), config.json (of BERT) and
model_config.json {bert_model, do_lower, max_seq_length, num_labels, label_map}; vocab.txt where its owner added it.
Sizes are read from the shapes of the tensors; settings that contradict them are refused. Nothing in a file ever runs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from fusion import checkpoints
from fusion.files import file_digest
from fusion.foreign import Foreign, fill, settings, state_dict, whole
from fusion.models.maf import CLASSES, MAF, Config
from fusion.models.official import maf as names
from fusion.models.official import resnet
from fusion.types import FusionError

if TYPE_CHECKING:
    from transformers import BertConfig, ResNetConfig

    from fusion.checkpoints import Checkpoint

HEAD, PICTURES, BERT, SETTINGS = "pytorch_model.bin", "pytorch_encoder.bin", "config.json", "model_config.json"
VOCABULARY = "vocab.txt"
CROSS = "txt2img_attention.layer."
LAYERS = f"{names.TEXT_ENCODER}encoder.layer."
POSITIONS = f"{names.TEXT_ENCODER}embeddings.position_ids"  # 0, 1, 2, ..., which some versions saved
_MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


@dataclass(frozen=True)
class Texts:
    """What the text encoder's folder will hold."""

    config: BertConfig
    state: dict[str, Tensor]
    vocabulary: Path | None
    lower: bool  # whether it reads lower-cased text


def adopt(source: Path, destination: Path, *, vocabulary: Path | None = None) -> Checkpoint:
    """Turn an official MAF folder into a checkpoint folder, with the released switches and its encoders inside.

    `vocabulary` is the vocab.txt of its text encoder, by default the one in the source; without one the checkpoint is
    whole but can't read raw text yet. `origin["dropped"]` of the result says which tensors nothing reads.
    Raises FusionError on absent, damaged or code-bearing files, unknown or missing tensors, and contradicting settings.
    """
    _check_places(source, destination)
    said, bert = settings(source / SETTINGS), settings(source / BERT)
    head, pictures = state_dict(source / HEAD), state_dict(source / PICTURES, names.IMAGE_ENCODER)
    config = _head_config(head, said, bert)
    state, text = _split_head(head, config, _bert_config(head, config, bert))
    resnet_config, image = _image_encoder(pictures, config)
    words = read_vocabulary(vocabulary, source / VOCABULARY, text[0].vocab_size)
    texts = Texts(*text, words, bool(said.get("do_lower", False)))
    with torch.device("meta"):
        model = MAF(config)
    model.load_state_dict(state, assign=True)

    def encoders(aside: Path) -> None:
        write_text(aside / "encoders" / "text", texts)
        _write_image(aside / "encoders" / "image", resnet_config, image)

    files = [source / name for name in (HEAD, PICTURES, BERT, SETTINGS)] + ([words] if words else [])
    origin = {
        "kind": "adopted",
        "source": f"{MAF.card.official}: {HEAD}, {PICTURES}",
        "sha256": {path.name: file_digest(path) for path in files},
        "official": False,  # no weights were ever published, so there is no checksum to compare these with
        "text_model": str(said.get("bert_model", "")),
        "dropped": _dropped(head, pictures),
    }
    return checkpoints.save(
        destination,
        model,
        encoders={"text": "folder:encoders/text", "image": "folder:encoders/image"},
        data="not recorded in the official files",
        metrics={},
        card=_card(source.resolve().name, origin, config, words is not None),
        origin=origin,
        fill=encoders,
    )


def _check_places(source: Path, destination: Path) -> None:
    if not source.is_dir():
        raise FusionError(f'There is no folder "{source.name}"; name the folder that holds {HEAD}.')
    absent = [name for name in (HEAD, PICTURES, SETTINGS, BERT) if not (source / name).is_file()]
    if absent:
        raise FusionError(f'The folder "{source.name}" has no {", ".join(absent)}; copy the whole official folder.')
    if not destination.exists() or (destination.is_dir() and not any(destination.iterdir())):
        return
    if not all((destination / name).is_file() for name in ("config.json", "weights.safetensors")):
        raise FusionError(
            f'"{destination.name}" exists and is no checkpoint, and would be replaced; choose another folder.'
        )


def _head_config(head: Foreign, said: Mapping[str, Any], bert: Mapping[str, Any]) -> Config:
    """The settings of MAF: sizes by shapes, heads and dropout by config.json, names of classes by model_config.json."""
    width = head.agreed("vismap2text.weight", 0, bert, "hidden_size")
    columns, length = head.axis("crs_classifier.weight", 1), whole(said, "max_seq_length")
    if columns and columns != (length or columns // (2 * width)) * 2 * width:
        raise FusionError(
            f"crs_classifier.weight in {HEAD} has {columns} columns: {columns / (2 * width):g} positions of 2 x {width}"
            f"; {SETTINGS} says max_seq_length {length}; use the settings saved with these weights."
        )
    if not columns and not length:
        raise FusionError(
            f"{HEAD} lacks crs_classifier.weight and {SETTINGS} lacks max_seq_length; copy the folder again."
        )
    activation, epsilon = bert.get("hidden_act", "gelu"), bert.get("layer_norm_eps", 1e-12)
    if activation != "gelu" or epsilon != 1e-12:
        raise FusionError(
            f"{BERT} says hidden_act {activation!r} and layer_norm_eps {epsilon!r}; MAF has gelu and 1e-12."
        )
    heads, dropout = whole(bert, "num_attention_heads"), bert.get("hidden_dropout_prob", 0.1)
    if heads is None or width % heads:
        raise FusionError(
            f"{BERT} says num_attention_heads {heads}, which does not divide {width}; use the file saved with it."
        )
    if not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
        raise FusionError(
            f"{BERT} says hidden_dropout_prob {dropout!r}, which is no share; use the file saved with it."
        )
    return Config.released(
        text_width=width,
        image_width=head.agreed("vismap2text.weight", 1, {}, "region width", 2048),
        max_length=length or (columns or 0) // (2 * width),
        heads=heads,
        layers=max(1, len(head.indices(rf"{CROSS}(\d+)\."))),
        inner_width=head.agreed(f"{CROSS}0.intermediate.dense.weight", 0, bert, "intermediate_size"),
        classes=_classes(said.get("label_map"), head.agreed("classifier.weight", 0, said, "num_labels")),
        dropout=float(dropout),
    )


def _classes(label_map: object, count: int) -> tuple[str, ...]:
    """Names of the C classes by id. The map goes from id to name or back, and may leave out 0, which is padding."""
    if label_map is None and count == len(CLASSES):
        return CLASSES
    pairs = list(label_map.items()) if isinstance(label_map, dict) else []
    if pairs and all(isinstance(value, int) for _, value in pairs):
        pairs = [(value, key) for key, value in pairs]
    try:
        named = {0: CLASSES[0]} | {int(key): str(value) for key, value in pairs}
    except ValueError:
        named = {}
    if sorted(named) != list(range(count)) or len(set(named.values())) != count:
        raise FusionError(
            f"label_map in {SETTINGS} does not name the {count} classes of classifier.weight, each once, by the ids 1 "
            f"to {count - 1} (0 is padding); use the settings saved with these weights."
        )
    return tuple(named[i] for i in range(count))


def _bert_config(head: Foreign, config: Config, bert: Mapping[str, Any]) -> BertConfig:
    from transformers import BertConfig  # seconds to import

    at = f"{names.TEXT_ENCODER}embeddings."
    found = max(1, len(head.indices(rf"{LAYERS}(\d+)\.")))
    return BertConfig(
        vocab_size=head.agreed(f"{at}word_embeddings.weight", 0, bert, "vocab_size"),
        hidden_size=config.text_width,
        num_hidden_layers=min(whole(bert, "num_hidden_layers") or found, max(found, 200)),  # more is nonsense
        num_attention_heads=config.heads,
        intermediate_size=head.agreed(f"{LAYERS}0.intermediate.dense.weight", 0, bert, "intermediate_size"),
        max_position_embeddings=head.agreed(f"{at}position_embeddings.weight", 0, bert, "max_position_embeddings"),
        type_vocab_size=head.agreed(f"{at}token_type_embeddings.weight", 0, bert, "type_vocab_size"),
        hidden_act="gelu",
        layer_norm_eps=1e-12,
    )


def _split_head(
    head: Foreign, config: Config, bert: BertConfig
) -> tuple[dict[str, Tensor], tuple[BertConfig, dict[str, Tensor]]]:
    """The state of MAF, and that of its text encoder, filled together so that one error lists all."""
    from transformers import BertModel

    with torch.device("meta"):
        own, text = MAF(config).state_dict(), BertModel(bert).state_dict()
    wanted = own | {names.TEXT_ENCODER + key: value for key, value in text.items()}
    unread = (names.UNUSED, POSITIONS)
    filled = fill(head, wanted, lambda key: names.official_name(key) if key in own else key, unread)
    return {key: filled[key] for key in own}, (bert, {key: filled[names.TEXT_ENCODER + key] for key in text})


def _image_encoder(pictures: Foreign, config: Config) -> tuple[ResNetConfig, dict[str, Tensor]]:
    """Depths and widths of a ResNet by the names and shapes of its tensors, and its state under transformers' names."""
    from transformers import ResNetConfig, ResNetModel

    bottleneck = any(".conv3." in key for key in pictures.tensors)
    last, usual = ("conv3", 256) if bottleneck else ("conv2", 64)
    stages = range(1, resnet.STAGES + 1)
    widths = [pictures.agreed(f"layer{s}.0.{last}.weight", 0, {}, "width", usual * 2 ** (s - 1)) for s in stages]
    if widths[-1] != config.image_width:
        raise FusionError(
            f"{PICTURES} gives regions of {widths[-1]} features, and {HEAD} reads {config.image_width}; use the files "
            "of one training run."
        )
    made = ResNetConfig(
        embedding_size=pictures.agreed("conv1.weight", 0, {}, "width", 64),
        hidden_sizes=widths,
        depths=[max(1, len(pictures.indices(rf"layer{s}\.(\d+)\."))) for s in stages],
        layer_type="bottleneck" if bottleneck else "basic",
        downsample_in_bottleneck=False,  # the stride is on the 3 x 3 convolution
    )
    with torch.device("meta"):
        wanted = ResNetModel(made).state_dict()
    return made, fill(pictures, wanted, resnet.official_name, (resnet.CLASSIFIER,))


def _dropped(head: Foreign, pictures: Foreign) -> list[str]:
    """One line a group of tensors that nothing reads."""
    groups = {
        f"self-attention layers of {HEAD} that no output reads": [
            value for key, value in head.tensors.items() if names.UNUSED.match(key)
        ],
        f"position numbers of {HEAD}": [value for key, value in head.tensors.items() if key == POSITIONS],
        f"ImageNet classes of {PICTURES}": [
            value for key, value in pictures.tensors.items() if key.startswith(resnet.CLASSIFIER)
        ],
    }
    return [
        f"{what}: {len(tensors)} tensors, {sum(t.numel() for t in tensors):,} numbers"
        for what, tensors in groups.items()
        if tensors
    ]


def read_vocabulary(named: Path | None, beside: Path, size: int) -> Path | None:
    """The vocabulary file, checked; None when none was named and none lies beside the weights."""
    path = named or beside
    if not path.is_file():
        if named is not None:
            raise FusionError(f'There is no vocabulary "{path.name}"; name the vocab.txt of the text encoder.')
        return None
    try:
        pieces = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise FusionError(f'"{path.name}" is not UTF-8 text; name the vocab.txt of the text encoder.') from None
    lacking = ", ".join(mark for mark in _MARKS if mark not in pieces)
    if len(pieces) != size or lacking:
        raise FusionError(
            f'"{path.name}" has {len(pieces)} pieces{" and lacks " + lacking if lacking else ""}; the weights have '
            f"{size}. Name the vocab.txt that the text encoder was trained with."
        )
    return path


def write_text(folder: Path, texts: Texts) -> None:
    """A text encoder in the layout of transformers; its tokenizer is complete once vocab.txt lies beside it."""
    folder.mkdir(parents=True)
    texts.config.save_pretrained(folder)
    save_file({key: value.contiguous() for key, value in texts.state.items()}, folder / "model.safetensors")
    longest = texts.config.max_position_embeddings
    said = {"tokenizer_class": "BertTokenizer", "do_lower_case": texts.lower, "model_max_length": longest}
    (folder / "tokenizer_config.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    if texts.vocabulary is not None:
        shutil.copyfile(texts.vocabulary, folder / VOCABULARY)


def _write_image(folder: Path, config: ResNetConfig, state: dict[str, Tensor]) -> None:
    """An image encoder in the layout of transformers: shorter edge to 224 pixels, its middle, ImageNet's mean and std.

    The released program cuts a random square and mirrors at random, for evaluation too; the middle is its fixed form.
    """
    folder.mkdir(parents=True)
    config.save_pretrained(folder)
    save_file({key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors")
    recipe = {
        "do_resize": True, "size": {"shortest_edge": 224}, "resample": 2,
        "do_center_crop": True, "crop_size": {"height": 224, "width": 224},
        "do_normalize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")


def _card(name: str, origin: Mapping[str, Any], config: Config, reads_text: bool) -> str:
    hashes = "\n".join(f"- `{file}` sha256 `{value}`" for file, value in origin["sha256"].items())
    dropped = "\n".join(f"- {line}" for line in origin["dropped"]) or "- nothing"
    vocabulary = """
Its text encoder has **no vocabulary**: put the `vocab.txt` that it was trained with into `encoders/text`, or adopt it
again with `--vocab FILE`. Until then it can't read raw text.
"""
    return f"""# {name}

Adopted from files in the format of the official program ({MAF.card.official}). It published no weights, so these can't
be compared with published ones, and are not called official. Licence: what their owner says; the program has none.

Switches as released: negatives exchange representations, tagging reads them in training, matching reads padding.
Length {config.max_length} word pieces, {len(config.classes)} classes; its text encoder and its ResNet are in here.
{"" if reads_text else vocabulary}
## Files
{hashes}

## Left out, because nothing reads it
{dropped}

## Figures
None: nothing was measured here. What it was trained on is not recorded in the files.
"""
