"""A start for MAF's matching head: the co-attention begins as a dot product of text and image in an aligned space.

With a few thousand pairs, eq. (3) and (4) of MAF hardly learn to compare from scratch (measured: docs/decisions). Two
linear heads on pooled vectors learn it in seconds; here they are written into the layer, which then trains on as usual.

    t = W_t x, i = W_i v     K dimensions; see `aligned`
    t i = ((t + i)^2 - (t - i)^2) / 4,  GELU(z) + GELU(-z) = z erf(z / sqrt 2) = 0.8 z^2 near 0

The image is written along the K directions of the text space in which texts vary least, the text is read from the
others, four hidden units a dimension make the product, and one more such direction carries the sum to the head.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion.blocks.attention import CrossLayer
from fusion.losses import unit

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
PRIOR = 0.5  # weight of the untrained form beside the trained ones
IMAGE_ENERGY = 1.5  # squared length of the image's part relative to a token's own


def heads(
    text: Tensor, image: Tensor, views: Tensor, width: int, seed: int, *, count: int = 4, epochs: int = 25,
    noise: float = 0.2,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Pairs of linear heads that place partners close, `count` of them from different starts, trained side by side.

    text (N, D), image (U, D'), both centred; views (N, V) picture indices or -1. -> (S, K, D), (S, K, D')
    """
    generator = torch.Generator().manual_seed(seed)
    made = [_even(count, width, side.shape[1], generator).requires_grad_() for side in (text, image)]
    optimiser = torch.optim.AdamW(made, lr=2e-3, weight_decay=0.05)
    steps = epochs * (len(text) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps + 1)
    text_noise, image_noise = noise * text.std(), noise * image.std()
    for _ in range(epochs):
        orders = torch.stack([torch.randperm(len(text), generator=generator) for _ in range(count)])  # (S, N)
        for rows in orders[:, : len(text) // 64 * 64].split(64, 1):
            choice = torch.randint(views.shape[1], (*rows.shape, 1), generator=generator)
            picked = views[rows].gather(2, choice).squeeze(2)
            picked = torch.where(picked >= 0, picked, views[rows, 0])
            t, v = text[rows], image[picked]  # (S, B, D), (S, B, D')
            t = t + text_noise * torch.randn(t.shape, generator=generator)
            v = v + image_noise * torch.randn(v.shape, generator=generator)
            logits = unit(t @ made[0].mT) @ unit(v @ made[1].mT).mT / 0.1  # (S, B, B)
            partner = torch.arange(logits.shape[1]).repeat(count)
            ways = (functional.cross_entropy(one.flatten(0, 1), partner) for one in (logits, logits.mT))
            loss = count * sum(ways, torch.zeros(())) / 2  # the mean over pairs of heads, times how many there are
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return made[0].detach(), made[1].detach()


def _even(count: int, rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """What a fresh linear layer holds: uniform within 1 / sqrt(columns). -> (count, rows, columns)"""
    return (torch.rand(count, rows, columns, generator=generator) * 2 - 1) / math.sqrt(columns)


def aligned(
    text: Tensor, image: Tensor, views: Tensor, width: int, seed: int, prior: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Linear maps of text (N, D) and image (U, D') into one space, where partners' dot products are high.

    The bilinear forms of four pairs of heads are averaged. Where `prior` (U, D) places pictures among the texts with
    nothing trained (ConSE), the linear map nearest to it (ridge regression) is added at half their weight: it knows
    things that the pairs don't show. Their sum is cut to the `width` directions that move the score most.
    -> (K, D), (K, D')
    """
    own = views[:, 0]
    text, image = text - text.mean(0), image - image[own].mean(0)
    shuffled = image[own[torch.randperm(len(own), generator=torch.Generator().manual_seed(seed))]]

    def even(form: Tensor) -> Tensor:
        return form / ((text @ form) * shuffled).sum(1).std()  # to scores of random pairs with deviation 1

    of_text, of_image = heads(text, image, views, width, seed)
    form = even(torch.stack([even(one.T @ other) for one, other in zip(of_text, of_image, strict=True)]).mean(0))
    if prior is not None:
        seen = views[views >= 0].unique()
        there, wanted = image[seen].double(), (prior[seen] - prior[seen].mean(0)).double()
        gram = there.T @ there
        gram.diagonal().add_(torch.linalg.matrix_norm(there) ** 2 / len(gram))  # ridge: the mean eigenvalue
        form = form + PRIOR * even(torch.linalg.solve(gram, there.T @ wanted).T.float())
    roots = [_root(side) for side in (text, image[own])]  # x = root z, z white: what the cut keeps is counted in scores
    left, size, right = torch.linalg.svd(roots[0].T @ form.double() @ roots[1], full_matrices=False)
    scale = size[:width].sqrt()[:, None]
    cut = (left[:, :width].T * scale, right[:width] * scale)
    found = [
        torch.linalg.solve_triangular(root, side, upper=False, left=False)
        for root, side in zip(roots, cut, strict=True)
    ]
    return found[0].float(), found[1].float()


def _root(rows: Tensor) -> Tensor:
    """Lower triangular square root of the covariance of rows (N, D), a thousandth of its mean variance added."""
    covariance = torch.cov(rows.T.double())
    covariance.diagonal().add_(1e-3 * covariance.diagonal().mean())
    return torch.linalg.cholesky(covariance)


def start(model: MAF, train: Features, views: Tensor, seed: int, width: int = 96, prior: Tensor | None = None) -> None:
    """Write an aligned space of `width` dimensions into the first co-attention layer and the matching head, in place.

    train: samples with pictures; views (N, V): indices of each sample's pictures, -1 for none; prior: see `aligned`.
    """
    size = model.config.text_width
    layer = cast(CrossLayer, model.cross[0])  # a ModuleList types its members as Module
    assert layer.inner is not None
    assert layer.outer is not None
    width = min(width, size // 4, model.config.image_width, model.config.inner_width // 4)  # what there is room for
    inner = 4 * width
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(train), generator=generator)[:2000]
    tokens = train.text_steps[rows][..., :size][train.text_mask[rows]].float()  # (n, D)
    mean = tokens.mean(0)
    directions = torch.linalg.eigh(torch.cov((tokens - mean).T.double()))[1].float()  # (D, D), least varied first
    free, carrier, rest = directions[:, :width], directions[:, width], directions[:, width + 1 :]
    project = rest @ rest.T  # what texts are read from
    of_text, of_image = aligned(train.text_pooled @ project, train.image_pooled, views, width, seed, prior)
    t = train.text_pooled @ project @ of_text.T
    i = train.image_pooled[views[:, 0]] @ of_image.T
    read_text = (of_text @ project) / t.std(0)[:, None]  # (K, D), unit variance over texts
    text_bias = -t.mean(0) / t.std(0)
    weight = t.std(0) * i.std(0)  # (K,), what each dimension had in the dot product
    weight = weight / weight.mean()
    loud = math.sqrt(IMAGE_ENERGY * float((tokens - mean).pow(2).sum(1).mean()) / width)
    usual = (tokens + loud * torch.randn(len(tokens), width, generator=generator) @ free.T).std(1).mean()
    level = tokens.mean()
    with torch.no_grad():
        model.region_map.weight[:width] = of_image / i.std(0)[:, None]
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
        near = some @ model.region_map.weight[:width].T + model.region_map.bias[:width]
        _look(layer, tokens, near, read_text, text_bias, spread)
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
