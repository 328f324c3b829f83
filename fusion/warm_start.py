"""A start for MAF's matching head: the co-attention begins as a dot product of text and image in an aligned space.

With a few thousand pairs, eq. (3) and (4) of MAF hardly learn to compare from scratch (measured: docs/decisions). Two
linear heads on pooled vectors learn it in seconds; here they are written into the layer, which then trains on as usual.

    t = W_t x, i = W_i v     heads of K dimensions, trained by info_nce on pooled vectors
    t i = ((t + i)^2 - (t - i)^2) / 4,  GELU(z) + GELU(-z) = z erf(z / sqrt 2) = 0.8 z^2 near 0

The image is written along the K directions of the text space in which texts vary least, the text is read from the
others, four hidden units a dimension make the product, and one more such direction carries the sum to the head.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from fusion.blocks.attention import CrossLayer
from fusion.losses import info_nce

if TYPE_CHECKING:
    from fusion.features import Features
    from fusion.models.maf import MAF

SQUARE = math.sqrt(2 / math.pi)  # z erf(z / sqrt 2) = SQUARE z^2 + O(z^4)
SCALE = 0.3  # of what the hidden units see, so that the square holds
GAIN = 0.08  # of the sum against the rest of a position's vector
LOOKS = (
    0.5,
    0.75,
    1.0,
    1.25,
    1.5,
)  # standard deviation over regions of the logits of the heads that look from the start
IMAGE_ENERGY = 1.5  # squared length of the image's part relative to a token's own


def heads(
    text: Tensor, image: Tensor, views: Tensor, width: int, seed: int, *, epochs: int = 25, noise: float = 0.2
) -> tuple[nn.Linear, nn.Linear]:
    """Two linear heads that place partners close: text (N, D), image (U, D'), views (N, V) picture indices or -1."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    of_text, of_image = nn.Linear(text.shape[1], width), nn.Linear(image.shape[1], width)
    optimiser = torch.optim.AdamW([*of_text.parameters(), *of_image.parameters()], lr=2e-3, weight_decay=0.05)
    steps = epochs * max(1, len(text) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps + 1)
    text_noise, image_noise = noise * text.std(), noise * image.std()
    for _ in range(epochs):
        for rows in torch.randperm(len(text), generator=generator).split(64):
            if len(rows) < 2 or schedule.last_epoch >= steps:
                continue
            choice = torch.randint(views.shape[1], (len(rows), 1), generator=generator)
            picked = views[rows].gather(1, choice).squeeze(1)
            picked = torch.where(picked >= 0, picked, views[rows, 0])
            t, v = text[rows], image[picked]
            t, v = t + text_noise * torch.randn_like(t), v + image_noise * torch.randn_like(v)
            loss = info_nce(of_text(t), of_image(v), 0.1, 0.5)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return of_text.requires_grad_(False), of_image.requires_grad_(False)


def start(model: MAF, train: Features, views: Tensor, seed: int, width: int = 64) -> None:
    """Write an aligned space of `width` dimensions into the first co-attention layer and the matching head, in place.

    train: samples with pictures; views (N, V): indices of each sample's pictures, -1 for none.
    """
    size = model.config.text_width
    layer = cast(CrossLayer, model.cross[0])  # a ModuleList types its members as Module
    inner = 4 * width
    assert model.config.inner_width >= inner, "the hidden layer has no room for four units a dimension"
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(train), generator=generator)[:2000]
    tokens = train.text_steps[rows][..., :size][train.text_mask[rows]].float()  # (n, D)
    mean = tokens.mean(0)
    directions = torch.linalg.eigh(torch.cov((tokens - mean).T.double()))[1].float()  # (D, D), least varied first
    free, carrier, rest = directions[:, :width], directions[:, width], directions[:, width + 1 :]
    project = rest @ rest.T  # what texts are read from
    of_text, of_image = heads(train.text_pooled @ project, train.image_pooled, views, width, seed)
    t = train.text_pooled @ project @ of_text.weight.T
    i = train.image_pooled[views[:, 0]] @ of_image.weight.T
    read_text = (of_text.weight @ project) / t.std(0)[:, None]  # (K, D), unit variance over texts
    text_bias = -t.mean(0) / t.std(0)
    weight = t.std(0) * i.std(0)  # (K,), what each dimension had in the dot product
    weight = weight / weight.mean()
    loud = math.sqrt(IMAGE_ENERGY * float((tokens - mean).pow(2).sum(1).mean()) / width)
    usual = (tokens + loud * torch.randn(len(tokens), width, generator=generator) @ free.T).std(1).mean()
    level = tokens.mean()
    with torch.no_grad():
        model.region_map.weight[:width] = of_image.weight / i.std(0)[:, None]
        model.region_map.bias[:width] = -i.mean(0) / i.std(0)
        layer.value.weight.copy_(torch.eye(size))
        layer.value.bias.zero_()
        layer.attended.weight.mul_(0.1)
        layer.attended.weight[:, :width] = loud * free
        layer.attended.bias.zero_()
        spread = size // layer.heads * math.ceil(width * layer.heads / size)  # heads that carry the aligned values
        for linear in (layer.query, layer.key):
            linear.weight.mul_(0.1)  # the heads that carry the aligned values begin with an even look at all regions
            linear.bias.zero_()
        some = train.image_steps[:: max(1, len(train.image_steps) // 64)].float()  # (m, R, D')
        aligned = some @ model.region_map.weight[:width].T + model.region_map.bias[:width]
        _look(layer, tokens, aligned, read_text, text_bias, spread)
        read_image = (free.T * usual) / loud  # (K, D) of the normalised sum
        image_bias = (free.T.sum(1) * level - free.T @ mean) / loud
        read, bias = read_text * usual, text_bias + read_text.sum(1) * level
        both, apart = read + read_image, read - read_image
        both_bias, apart_bias = bias + image_bias, bias - image_bias
        layer.inner.weight[:inner] = SCALE * torch.cat((both, -both, apart, -apart))
        layer.inner.bias[:inner] = SCALE * torch.cat((both_bias, -both_bias, apart_bias, -apart_bias))
        layer.outer.weight.mul_(0.1)
        layer.outer.weight[:, :inner] = (
            GAIN * carrier[:, None] * torch.cat((weight, weight, -weight, -weight)) / (4 * SQUARE * SCALE**2)
        )
        layer.outer.bias.zero_()
        model.match.weight.zero_()
        blocks = model.match.weight.view(2, model.config.max_length, 2 * size)
        blocks[1, :, size:], blocks[0, :, size:] = carrier / 2, -carrier / 2
        model.match.bias.zero_()
        if model.shape_map is not None:
            model.shape_map.weight.mul_(0.1)


def _look(layer: CrossLayer, tokens: Tensor, regions: Tensor, read: Tensor, bias: Tensor, first: int) -> None:
    """Let the other heads begin by looking at the regions that lie close to the word in the aligned space, in place.

    tokens (n, D), regions (m, R, K) in aligned coordinates, read (K, D) and bias (K,) from tokens to them; first: the
    first feature of a free head. Each group of K features compares the same coordinates, a later one more sharply.
    """
    width, head = len(read), layer.query.out_features // layer.heads
    asked = (tokens[:256] @ read.T + bias)[:, :head]
    logits = torch.einsum("nk,mrk->nmr", asked, regions[..., :head]) / math.sqrt(head)
    usual = float(logits.std(-1).mean())
    for group, start in enumerate(range(first, layer.query.out_features - width + 1, width)):
        rows = slice(start, start + width)
        sharp = LOOKS[min(group, len(LOOKS) - 1)] / usual
        layer.query.weight[rows], layer.query.bias[rows] = sharp * read, sharp * bias
        layer.key.weight[rows] = 0
        layer.key.weight[rows, :width] = torch.eye(width)


def settle(model: MAF, logits: Tensor, true: Tensor) -> None:
    """Scale and shift the matching head so that its logits fit. logits (n,) of c_1 - c_0, true (n,) 0 or 1."""
    scale, shift = torch.ones(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    centre, spread = logits.mean(), logits.std().clamp(min=1e-6)
    optimiser = torch.optim.LBFGS([scale, shift], max_iter=50)

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = nn.functional.binary_cross_entropy_with_logits((logits - centre) / spread * scale + shift, true.float())
        value.backward()
        return value

    optimiser.step(loss)
    with torch.no_grad():
        factor = (scale / spread).item()
        model.match.weight.mul_(factor)
        constant = (shift - scale * centre / spread).item() / 2
        model.match.bias.copy_(torch.tensor([-constant, constant]))
