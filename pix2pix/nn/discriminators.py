"""The discriminators: PatchGAN and the projected one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from pix2pix.model_config import DiscriminatorConfig
from pix2pix.nn.layers import WinogradConv, initialise, norm_layer

CHANNELS = (24, 40, 112, 320)  # of EfficientNet-lite0's maps at 1/4, 1/8, 1/16 and 1/32
MIXED = 64  # channels of each map after mixing
SEED = 2111  # of the random mixing, which is the same in all runs and is not saved


class ProjectedDiscriminator(nn.Module):
    """Logits N x 1 x h x w at each scale, from the maps of a picture and its source.

    Sauer et al. 2021 (arXiv 2111.01007): it judges what a frozen ImageNet network sees in a
    picture, at four scales, instead of its pixels. It need not learn to see first, so the generator
    has something to learn from within minutes.

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
        """Return logits for pictures with these `maps`, N x 1 x h x w at each scale; with `other`,
        those for it as well. `source` is N x C x H x W in [-1, 1].

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
    """Build the judge of one scale: N x channels x h x w to N x 1 x h x w."""
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, 2 * ndf, 3, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(2 * ndf, 2 * ndf, 3, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(2 * ndf, 1, 1)),
    )


class PatchGAN(nn.Module):
    """Convolutional discriminator (paper section 3.2.2 and appendix 6.1.2): one logit a patch."""

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        n, slope = config.ndf, 0.3 if config.kind == "cityscapes" else 0.2
        # (filters, kernel, stride, normalised, padding); padding "same" is 1 before, 2 after.
        if config.kind == "scratch":
            spec = [(n * m, 4, 2, m > 1, 1) for m in (1, 2, 4, 8)]
            spec += [(n * 8, 4, 1, True, "same"), (1, 4, 1, False, "same")]
        elif config.kind == "cityscapes":
            # Its tutorial normalises once, after the last wide layer, and counts 2,765,249.
            spec = [(n * m, 4, 2, False, 1) for m in (1, 2, 4)]
            spec += [(n * 8, 4, 1, True, "same"), (1, 3, 1, False, 0)]
        elif config.layers == 0:
            spec = [(n, 1, 1, False, 0), (n * 2, 1, 1, True, 0), (1, 1, 1, False, 0)]
        else:
            spec = [(n * min(2**i, 8), 4, 2, i > 0, 1) for i in range(config.layers)]
            spec += [(n * min(2**config.layers, 8), 4, 1, True, 1), (1, 4, 1, False, 1)]
        layers: list[nn.Module] = []
        channels = config.source_channels + config.target_channels
        for i, (width, kernel, stride, normalised, padding) in enumerate(spec):
            norm = config.norm if normalised else "none"
            if padding == "same":
                layers.append(nn.ZeroPad2d((1, 2, 1, 2)))
            bias = config.bias or not normalised
            pad = 0 if padding == "same" else padding
            conv = WinogradConv if (kernel, stride) == (4, 1) else nn.Conv2d
            layers.append(conv(channels, width, kernel, stride, pad, bias=bias))
            if i < len(spec) - 1:
                layers += [*norm_layer(norm, width), nn.LeakyReLU(slope)]
            channels = width
        self.layers = nn.Sequential(*layers)

    def forward(
        self, source: Tensor, target: Tensor, other: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return logits N x 1 x h x w for ``target``; with ``other``, a pair: those for ``target``,
        those for it. Pictures are N x C x H x W in [-1, 1].

        One pass for both is faster than two. Batch norm sees each side by itself, as in two.
        """
        x = torch.cat([source, target], dim=1)
        if other is None:
            return self.layers(x)
        x = torch.cat([x, torch.cat([source, other], dim=1)])
        for layer in self.layers:
            if isinstance(layer, nn.BatchNorm2d):
                x = torch.cat([layer(side) for side in x.chunk(2)])
            else:
                x = layer(x)
        return x.chunk(2)

    def activations(self, source: Tensor, target: Tensor) -> list[Tensor]:
        """Return the output of each LeakyReLU, and last the logits."""
        x, outputs = torch.cat([source, target], dim=1), []
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                outputs.append(x)
        return [*outputs, x]


def construct_discriminator(config: DiscriminatorConfig) -> PatchGAN | ProjectedDiscriminator:
    """Construct the discriminator of ``config``; the projected one has its initial weights."""
    return (ProjectedDiscriminator if config.kind == "projected" else PatchGAN)(config)


def build_discriminator(config: DiscriminatorConfig) -> PatchGAN | ProjectedDiscriminator:
    """Build the discriminator of ``config``, the paper's with the paper's initial weights."""
    discriminator = construct_discriminator(config)
    return discriminator if config.kind == "projected" else discriminator.apply(initialise)


def receptive_fields(discriminator: PatchGAN) -> list[int]:
    """Compute the side of the input that one output sees at each convolution, from the last to
    the first: 4, 7, 16, 34, 70 for the paper's, whose last value is its name."""
    fields, field = [], 1
    for layer in reversed(discriminator.layers):
        if isinstance(layer, nn.Conv2d):
            field = (field - 1) * layer.stride[0] + layer.kernel_size[0]
            fields.append(field)
    return fields
