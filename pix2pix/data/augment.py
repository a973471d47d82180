"""Augment pairs, A and B moved together."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from pix2pix.config import TrainConfig


def augment(
    both: Tensor, config: TrainConfig, rng: torch.Generator, labels: Sequence[int] = ()
) -> Tensor:
    """Augment C x S x S with S = size + jitter to C x size x size: warp or crop, then mirror
    (paper section 6.2). Source and target are channels of one tensor, so nothing parts them."""
    size = config.size
    if config.warp:
        look = warp_grid(size, config.warp, rng)
        sampled = functools.partial(F.grid_sample, padding_mode="border", align_corners=False)
        warped = sampled(both[None], look)[0]
        if labels:
            warped[labels] = sampled(both[None, labels], look, mode="nearest")[0]
        both = warped
    elif config.jitter_kind == "shrink":
        both = F.interpolate(both[None], (size, size), mode="nearest")[0]
    else:
        top, left = torch.randint(0, config.jitter + 1, (2,), generator=rng).tolist()
        both = both[:, top : top + size, left : left + size]
    if config.mirror and torch.rand((), generator=rng) < 0.5:
        both = both.flip(-1)
    return both


def warp_grid(size: int, strength: float, rng: torch.Generator) -> Tensor:
    """Where each output pixel looks, 1 x size x size x 2 in [-1, 1]: at strength 1 a scale of 0.75
    to 1.3, a turn of up to 8 degrees, a shift of up to a tenth and a smooth bend."""
    scale_x, scale_y, turn, x, y = (
        torch.rand(5, generator=rng) * 2 - 1
    ).tolist()  # each in [-1, 1]
    # Width and height share most of the scale, and differ by a little: faces are long or round.
    zoom = math.exp(0.27 * strength * scale_x)
    zoom_y = zoom * math.exp(0.08 * strength * scale_y)
    angle = math.radians(8 * strength * turn)
    cos, sin = math.cos(angle), math.sin(angle)
    shift = 0.2 * strength  # of [-1, 1]: a tenth of the side
    theta = torch.tensor(
        [[cos * zoom, -sin * zoom_y, shift * x], [sin * zoom, cos * zoom_y, shift * y]]
    )
    grid = F.affine_grid(theta[None], [1, 1, size, size], align_corners=False)
    knots = torch.randn(1, 2, 5, 5, generator=rng) * 0.03 * strength
    bend = F.interpolate(knots, (size, size), mode="bicubic", align_corners=True)
    return grid + bend.permute(0, 2, 3, 1)
