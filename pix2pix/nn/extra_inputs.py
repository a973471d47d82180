"""What a U-Net may see beside its source: the colours of strokes, noise, a tint."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDEST_LINE = 8 / 256  # of a side; what is wider is a stroke of colour
SLIGHT = 1e-4  # weight of the farther strokes beside the nearer
NOISE_SIDE = 256  # pixels after which the noise repeats


class SpreadColours(nn.Module):
    """The colours of the wide strokes of a drawing, N x 3 x H x W in [-1, 1], spread over the paper
    around them; white where there is no such stroke.

    Strokes alone are too little of a picture for a loss to notice within hours, and norms over one
    picture take away what is the same all over it. A maximum over a window takes lines off and a
    minimum lets strokes grow again; these fill the rest from coarse to fine (push-pull, Gortler et
    al. 1996, section 3.3).
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.reach = max(1, round(WIDEST_LINE * size / 2))
        self.halvings = int(math.log2(size))

    def forward(self, source: Tensor) -> Tensor:
        """Spread the strokes of N x C x H x W over the paper."""
        strokes = -largest_near(-largest_near(source, self.reach), self.reach)
        weight = (1.8 - 2 * strokes.amin(1, keepdim=True)).clamp(0, 1)  # of paper 0
        weight = -largest_near(-weight, 1)  # edges are blends
        layers = [torch.cat([strokes * weight, weight], dim=1)]
        for _ in range(self.halvings):  # to 1 x 1 at this size
            layers.append(F.avg_pool2d(layers[-1], 2, ceil_mode=True))
        spread = torch.ones_like(layers[-1][:, :3])
        for layer in reversed(layers):
            spread = F.interpolate(spread, layer.shape[-2:], mode="bilinear")
            spread = (layer[:, :3] + SLIGHT * spread) / (layer[:, 3:] + SLIGHT)
        return spread


def largest_near(x: Tensor, reach: int) -> Tensor:
    """Return the largest of the 2 reach + 1 rows and columns around each pixel of N x C x H x W.

    It is `max_pool2d` at stride 1, which on a CPU looks at the whole window of each pixel. Here the
    rows come first, then the columns, and nine take four comparisons of all pixels at once.
    """
    side = 2 * reach + 1
    for dim, pad in ((2, (0, 0, reach, reach)), (3, (reach, reach))):
        x = F.pad(x, pad, value=-torch.inf)
        seen = 1
        while seen < side:
            step = min(seen, side - seen)
            rest = x.shape[dim] - step
            x = torch.maximum(x.narrow(dim, 0, rest), x.narrow(dim, step, rest))
            seen += step
    return x


class AddNoise(nn.Dropout):
    """Append a channel of noise to N x C x H x W, which gives a plain area something to grow a
    texture from: of equal places a convolution makes equal places.

    A square of 1/f noise, as strong at every scale, that repeats without a seam. Like dropout it is
    random in training and with a seed, by its place, and the same for every picture otherwise.
    """

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        sides = torch.fft.fftfreq(NOISE_SIDE), torch.fft.rfftfreq(NOISE_SIDE)
        frequency = torch.hypot(sides[0][:, None], sides[1][None])
        frequency[0, 0] = torch.inf
        spectrum = torch.fft.rfft2(torch.randn(NOISE_SIDE, NOISE_SIDE, generator=rng)) / frequency
        noise = torch.fft.irfft2(spectrum, (NOISE_SIDE, NOISE_SIDE))
        self.register_buffer("square", (noise / noise.std())[None, None].half().float())

    def forward(self, x: Tensor) -> Tensor:
        """Map N x C x H x W to N x (C + 1) x H x W."""
        (n, _, height, width), square = x.shape, self.square
        squares = [square] * n
        if self.training:
            places = torch.randint(NOISE_SIDE, (n, 2)).tolist()
            squares = [square.roll(place, (2, 3)) for place in places]
        times = [-(-side // NOISE_SIDE) for side in (height, width)]
        noise = torch.cat(squares).tile(1, 1, *times)[..., :height, :width]
        return torch.cat([x, noise], dim=1)


class AddTint(nn.Module):
    """Append three channels of one colour to N x C x H x W. What a source leaves open, such as the
    paint of a house, a network without it makes the mean of all.

    In training the colour is the mean of the target, and now and then left out (0). Later it may be
    any, or with a seed that of one of the last targets.
    """

    LEFT_OUT, KEPT = 0.3, 64

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("colours", torch.zeros(self.KEPT, 3))

    def forward(self, x: Tensor, colour: Tensor | None) -> Tensor:
        """Map N x C x H x W, and colours N x 3 in [-1, 1], to N x (C + 3) x H x W."""
        if colour is None:
            colour = x.new_zeros(len(x), 3)
        elif self.training:
            if torch.is_grad_enabled():  # D's update may compute the same batch before, without
                recent = torch.cat([colour.to(self.colours), self.colours])
                self.colours.copy_(recent[: self.KEPT])
            colour = colour * (torch.rand(len(colour), 1) >= self.LEFT_OUT).to(colour)
        plane = colour.to(x)[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return torch.cat([x, plane], dim=1)

    def chosen(self, seed: int) -> Tensor:
        """Return one of the colours, 1 x 3: each seed's is as far as can be from those before."""
        away, colour = self.colours.new_full((self.KEPT,), torch.inf), self.colours.mean(0)
        for _ in range(seed % self.KEPT + 1):
            away = torch.minimum(away, (self.colours - colour).norm(dim=1))
            colour = self.colours[away.argmax()]
        return colour[None]
