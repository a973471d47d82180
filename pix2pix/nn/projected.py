"""The projected discriminator (Sauer et al. 2021, arXiv 2111.01007).

It judges what a frozen ImageNet network sees in a picture, at four scales, instead of its pixels:
it need not learn to see first, so the generator has something to learn from within minutes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from pix2pix.model_config import DiscriminatorConfig

CHANNELS = (24, 40, 112, 320)  # of EfficientNet-lite0's maps at 1/4, 1/8, 1/16 and 1/32
MIXED = 64  # channels of each map after mixing
SEED = 2111  # of the random mixing, which is the same in all runs and is not saved


class ProjectedDiscriminator(nn.Module):
    """Logits N x 1 x h x w at each scale, from the maps of a picture and its source.

    Fixed random convolutions mix the channels of each map (1x1) and, from the deepest up, the
    scales (3x3) (section 3.2), so that no head can look at a few channels alone. A head is two
    3x3 convolutions with spectral norm (Miyato et al. 2018), and sees the source as well.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(SEED)
        for i, channels in enumerate(CHANNELS):
            for name, width, kernel in (("channels", channels, 1), ("scales", MIXED, 3)):
                weight = torch.randn(MIXED, width, kernel, kernel, generator=rng)
                weight *= math.sqrt(2 / (width * kernel**2))  # He et al. 2015
                self.register_buffer(f"mix_{name}_{i}", weight, persistent=False)
        channels = MIXED + config.source_channels
        self.heads = nn.ModuleList(head(channels, config.ndf) for _ in CHANNELS)
        self.heads.eval()  # in training each forward would turn the norms on: see `update_norms`

    def forward(
        self, source: Tensor, maps: Sequence[Tensor], other: Sequence[Tensor] | None = None
    ) -> list[Tensor] | tuple[list[Tensor], list[Tensor]]:
        """Return logits for a picture with these `maps`; with `other`, a pair: those for it as
        well.

        Nothing here depends on the rest of a batch, so one pass for both is as two, and faster.
        """
        if other is not None:
            maps = [torch.cat(both) for both in zip(maps, other)]
            source = torch.cat([source, source])
        logits = []
        for mixed, judge in zip(self.mix(maps), self.heads):
            small = F.adaptive_avg_pool2d(source, mixed.shape[-2:])
            logits.append(judge(torch.cat([mixed, small], dim=1)))
        if other is None:
            return logits
        real, fake = zip(*(both.chunk(2) for both in logits))
        return [*real], [*fake]

    @torch.no_grad()
    def update_norms(self) -> None:
        """Follow weights that an update changed by one power iteration of each spectral norm."""
        self.heads.train()
        for layer in self.heads.modules():
            if isinstance(layer, nn.Conv2d):
                _ = layer.weight  # computed anew whenever it is read
        self.heads.eval()

    def mix(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Mix maps N x `CHANNELS` x h x w each into N x 64 x h x w each."""
        mixed: list[Tensor] = []
        for i in reversed(range(len(maps))):  # 1/32, 1/16, 1/8, 1/4
            x = F.conv2d(maps[i], getattr(self, f"mix_channels_{i}"))
            if mixed:
                x = x + F.interpolate(mixed[0], x.shape[-2:], mode="bilinear")
            mixed.insert(0, F.conv2d(x, getattr(self, f"mix_scales_{i}"), padding=1))
        return mixed


def head(channels: int, ndf: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, 2 * ndf, 3, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(2 * ndf, 2 * ndf, 3, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(2 * ndf, 1, 1)),
    )
