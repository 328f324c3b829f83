"""Any text or image encoder that transformers can load, from a folder or the hub: BERT, RoBERTa, ResNet, ViT, ...

Weights are read from safetensors only, and no code of a model's author ever runs. Which kind a model is follows from
its configuration: a vocabulary makes a text encoder, picture channels an image encoder.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from fusion.encoders.bert import Hidden, masked_mean
from fusion.encoders.image import ImageEncoder, Recipe
from fusion.encoders.text import TextEncoder
from fusion.encoders.tokens import Pieces
from fusion.files import digest, file_digest
from fusion.types import FusionError

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The files of a folder that decide what its encoder says.
_READ = (
    "*.safetensors", "config.json", "preprocessor_config.json", "tokenizer*.json", "vocab*", "*.model", "merges.txt",
)  # fmt: skip
# What transformers raises on a folder that isn't what it says.
_BROKEN = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError)


def from_folder(folder: Path, name: str) -> TextEncoder | ImageEncoder:
    """The encoder saved in a folder in the layout of transformers.

    Raises FusionError when the folder lacks a file, holds no safetensors, or its tensors don't fit its configuration.
    """
    if not (folder / "config.json").is_file():
        raise FusionError(f'The folder "{folder.name}" has no config.json; save a model there with save_pretrained.')
    if not any(folder.glob("*.safetensors")):
        raise FusionError(
            f'The folder "{folder.name}" has no weights as safetensors; save them again with '
            "save_pretrained(..., safe_serialization=True)."
        )
    from transformers import AutoConfig  # four seconds, and MiniLM needs none of it
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except _BROKEN as error:
        raise FusionError(
            f'transformers knows no model for the config.json of "{folder.name}": {_first(error)}'
        ) from error
    if hasattr(config, "text_config") and hasattr(config, "vision_config"):
        raise FusionError(f'"{folder.name}" reads text and pictures at once; give a text encoder and an image encoder.')
    if hasattr(config, "num_channels"):
        return _image(folder, name, config)
    if hasattr(config, "vocab_size"):
        return _text(folder, name, config)
    raise FusionError(f'"{folder.name}" ({config.model_type}) encodes neither text nor pictures; choose one that does.')


def from_hub(repository: str, name: str) -> TextEncoder | ImageEncoder:
    """The encoder of a hub repository, from the local hub cache when it is there, else downloaded.

    Raises FusionError when it is neither there nor to be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        try:
            folder = snapshot_download(repository, allow_patterns=list(_READ), local_files_only=True)
        except LocalEntryNotFoundError:
            folder = snapshot_download(repository, allow_patterns=list(_READ))
    except (OSError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        raise FusionError(
            f'"{repository}" is no folder here, and the hub did not give it; save it in a folder and use hf:FOLDER.'
        ) from error
    return from_folder(Path(folder), name)


class TransformersText(nn.Module):
    """A text model of transformers with the forward pass of fusion.encoders.bert.Bert."""

    def __init__(self, model: PreTrainedModel, *, pooler: bool) -> None:
        super().__init__()
        self.model = model
        self.pooler = pooler
        self._explicit: tuple[torch.device, PreTrainedModel] | None = None  # a tuple, so that it is no submodule

    def forward(self, ids: Tensor, mask: Tensor, segment: Tensor, *, trace: bool = False) -> Hidden:
        """Hidden states of ids (B, T); pooled by the trained pooler where there is one, else by a masked mean."""
        model = self._with_weights() if trace else self.model
        inputs = {"input_ids": ids, "attention_mask": mask.to(ids.dtype)}
        if getattr(model.config, "type_vocab_size", 0) > 1:
            inputs["token_type_ids"] = segment
        made = model(**inputs, output_attentions=trace)
        steps = made.last_hidden_state  # (B, T, D)
        pooled = made.pooler_output if self.pooler else masked_mean(steps, mask)
        return Hidden(steps, pooled, tuple(made.attentions or ()) if trace else ())

    def _with_weights(self) -> PreTrainedModel:
        """The same network with an explicit softmax, sharing every tensor: switching one network is not thread-safe."""
        if self._explicit is None or self._explicit[0] != self.model.device:
            tensors: list[Tensor] = [*self.model.parameters(), *self.model.buffers()]
            twin = copy.deepcopy(self.model, {id(tensor): tensor for tensor in tensors})
            twin.set_attn_implementation("eager")
            self._explicit = (self.model.device, twin)
        return self._explicit[1].train(self.training)


def _text(folder: Path, name: str, config: PretrainedConfig) -> TextEncoder:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_fast=True)
    except _BROKEN as error:
        raise FusionError(
            f'The tokenizer of "{folder.name}" can\'t be read; put its tokenizer.json or vocab.txt beside config.json.'
        ) from error
    if not getattr(tokenizer, "is_fast", False) or len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise FusionError(f'"{folder.name}" has no vocabulary; put its tokenizer.json or vocab.txt beside config.json.')
    if len(tokenizer) > config.vocab_size:
        raise FusionError(
            f'The vocabulary in "{folder.name}" has {len(tokenizer)} pieces, its weights {config.vocab_size}; '
            "use the vocabulary that the model was trained with."
        )
    model, missing = _model(folder)
    pooler = any(key.startswith("pooler.") for key in model.state_dict()) and not missing
    if getattr(config, "is_encoder_decoder", False):
        model, pooler = model.get_encoder(), False
    return TextEncoder(
        name,
        TransformersText(model, pooler=pooler),
        Pieces(tokenizer.backend_tokenizer, pad_id=_pad_id(tokenizer)),
        width=int(config.hidden_size),
        digest=lambda: _digest(folder),
        max_length=_reads(tokenizer, config),
        pooling="pooler" if pooler else "mean",
    )


def _image(folder: Path, name: str, config: PretrainedConfig) -> ImageEncoder:
    if config.num_channels != 3:
        raise FusionError(f'"{folder.name}" reads {config.num_channels} channels; choose one that reads RGB pictures.')
    model, _ = _model(folder)
    recipe = read_recipe(folder, config)
    regions = _maps(model, recipe)
    with torch.no_grad():
        made = regions(torch.zeros(1, 3, recipe.side, recipe.side))
    return ImageEncoder(
        name,
        model,
        regions,
        width=made.shape[1],
        grid=(made.shape[2], made.shape[3]),
        recipe=recipe,
        digest=lambda: _digest(folder),
    )


def _maps(model: PreTrainedModel, recipe: Recipe) -> Callable[[Tensor], Tensor]:
    """The function from pixels (B, 3, S, S) to a map (B, D, rows, columns) of a convolution or patch network."""
    patch = getattr(model.config, "patch_size", None)

    def run(pixels: Tensor) -> Tensor:
        hidden = model(pixel_values=pixels).last_hidden_state
        if hidden.ndim == 4:
            return hidden  # (B, D, rows, columns) of a convolution network
        cells = round((hidden.shape[1]) ** 0.5)
        if patch is not None and (recipe.side // int(patch)) ** 2 <= hidden.shape[1]:
            cells = recipe.side // int(patch)
        patches = hidden[:, hidden.shape[1] - cells * cells :]  # class and register tokens come first
        return patches.transpose(1, 2).unflatten(2, (cells, cells))

    return run


def read_recipe(folder: Path, config: PretrainedConfig | None = None) -> Recipe:
    """How pictures are prepared: the folder's preprocessor_config.json, or stretched, with ImageNet's mean and std.

    Raises FusionError when that file can't be read.
    """
    side = getattr(config, "image_size", None) or 224
    side = int(side if isinstance(side, (int, float)) else side[0])
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return _recipe(side, "stretch", side, IMAGENET_MEAN, IMAGENET_STD, 3)
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        size, crop = said.get("size", side), said.get("crop_size", {})
        mean, std = said.get("image_mean", IMAGENET_MEAN), said.get("image_std", IMAGENET_STD)
        edge = size if isinstance(size, int) else size.get("shortest_edge") or size["height"]
        stretched = isinstance(size, dict) and "height" in size
        cut = crop if isinstance(crop, int) else crop.get("height", edge)
        if not said.get("do_normalize", True):
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        whole = stretched and not said.get("do_center_crop", False)
        resample = int(said.get("resample", 3))
        if "crop_pct" in said and not crop:  # ConvNeXt's and ResNet's: resize to side / crop_pct, then take the middle
            return _recipe(int(edge), "crop", round(edge / (said["crop_pct"] or 1)), mean, std, resample)
        target = int(edge) if whole or not said.get("do_center_crop", True) else int(cut)
        return _recipe(target, "stretch" if stretched else "crop", int(edge), mean, std, resample)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FusionError(f'The preprocessor_config.json of "{folder.name}" can\'t be read; save it again.') from error


def _recipe(side: int, fit: str, resize: int, mean: object, std: object, resample: int) -> Recipe:
    low, spread = (tuple(255.0 * float(value) for value in values) for values in (mean, std))  # type: ignore[attr-defined]
    if len(low) != 3 or len(spread) != 3 or not 8 <= side <= 2048 or not side <= resize <= 4096 or 0.0 in spread:
        raise ValueError("sizes or channels out of range")
    return Recipe(side, fit, resize, low, spread, resample)  # type: ignore[arg-type]  # lengths checked above


def _model(folder: Path) -> tuple[PreTrainedModel, bool]:
    """The model, every tensor from the file; and whether its pooler was absent. Raises FusionError otherwise."""
    from transformers import AutoModel

    try:
        model, loaded = AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, output_loading_info=True,
            dtype=torch.float32,
        )  # fmt: skip
    except SafetensorError as error:
        raise FusionError(f'The weights of "{folder.name}" are damaged or cut off; copy them again.') from error
    except _BROKEN as error:
        raise FusionError(f'The weights of "{folder.name}" don\'t load: {_first(error)}') from error
    missing = sorted(loaded["missing_keys"])
    lost = [key for key in missing if not key.startswith("pooler.")]
    if lost:
        some = ", ".join(lost[:3])
        raise FusionError(f'The weights of "{folder.name}" lack {len(lost)} tensors ({some}); save them again.')
    if not all(bool(torch.isfinite(tensor).all()) for tensor in model.parameters()):
        raise FusionError(f'The weights of "{folder.name}" hold NaN or infinity; choose another model.')
    return model, bool(missing)


def _pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    return next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if isinstance(i, int)), 0)


def _reads(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> int:
    """How many pieces the model reads: the smaller of what its tokenizer says and what its positions allow."""
    positions = int(getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 512)
    if config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        positions -= 2  # these number their positions from the padding id on
    return max(2, min(positions, int(tokenizer.model_max_length)))


def _digest(folder: Path) -> str:
    """sha256 over the names and checksums of every file that decides what the encoder says."""
    files = sorted({path for pattern in _READ for path in folder.glob(pattern) if path.is_file()})
    return digest(*(part for path in files for part in (path.name, file_digest(path))))


def _first(error: BaseException) -> str:
    """The first sentence of a library's error, short."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else line[:199] + "\u2026"
