"""The generators: U-Net, small U-Net and ResNet.

Every generator maps a source N x C x H x W in [-1, 1] to a target N x C' x H x W in [-1, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pix2pix.imaging.picture import LUMA
from pix2pix.model_config import GeneratorConfig
from pix2pix.nn.extra_inputs import AddNoise, AddTint, SpreadColours
from pix2pix.nn.layers import FastDownConv, FastUpConv, ResizeConv, initialise, norm_layer

LIVELY = 0.9  # of a stroke's colour, or the source's, is where a picture begins: tanh has no end


class UNet(nn.Module):
    """The paper's generator (section 3.2.1 and appendix 6.1.1), for any power-of-two size.

    At 256 the encoder is C64-C128-C256-C512-C512-C512-C512-C512 and the decoder
    CD512-CD512-CD512-C512-C256-C128-C64 before concatenation with the mirrored encoder layer.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        depth = config.halvings  # of 256: 8, to 1 x 1
        widths = [config.ngf * min(2**i, config.widest) for i in range(depth)]
        self.down = nn.ModuleList()
        self.spread = SpreadColours(config.size) if config.hints else None
        self.noise = AddNoise() if config.noise else None
        self.tint = AddTint() if config.tint else None
        self.residual, self.gate = config.residual, config.gate
        channels = config.source_channels * (2 if config.hints else 1)
        channels += config.noise + 3 * config.tint
        for i, width in enumerate(widths):
            # No norm on the first layer, and none on the bottleneck: 1 x 1 has no variance.
            bare = i in (0, depth - 1)
            conv = FastDownConv(channels, width, 4, 2, 1, bias=config.bias)
            self.down.append(ConvBlock(conv, "none" if bare else config.norm))  # H / 2^(i+1)
            channels = width
        self.up = nn.ModuleList()
        for i, width in enumerate(reversed(widths[:-1])):
            conv = upsample_layer(channels, width, config.upsample, config.bias)
            dropout = 0.5 if has_dropout(config, i, depth) else 0.0
            self.up.append(ConvBlock(conv, config.norm, dropout))
            channels = 2 * width  # after concatenation with the skip
        made = config.target_channels + config.gate
        self.out = upsample_layer(channels, made, config.upsample, bias=True)

    def forward(self, source: Tensor, colour: Tensor | None = None) -> Tensor:
        """Map N x C x H x W in [-1, 1] to N x C' x H x W in [-1, 1]; `colour` is the tint of a
        network that has one, N x 3: in training the mean colours of the targets."""
        skips = []
        x = source  # N x C x 256 x 256
        start = source if self.residual else None  # what the picture begins at
        if self.spread:
            start = self.spread(source)
            x = torch.cat([x, start], dim=1)
        if self.noise:
            x = self.noise(x)
        if self.tint:
            x = self.tint(x, colour)
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else F.leaky_relu(x, 0.2))  # 128, 64, ... 1
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = block(F.relu(x))  # 2, 4, ... 128
            x = torch.cat([x, skips.pop()], dim=1)
        x = self.out(F.relu(x))
        if start is not None:  # what the strokes say, to find which takes thousands of steps
            start = torch.atanh(LIVELY * start)
            if self.gate:  # a stroke on the hair says nothing of the wall behind it
                x, share = x[:, :-1], x[:, -1:]
                start = share * start
            x = x + start
        return torch.tanh(x)  # N x C' x 256 x 256


class ConvBlock(nn.Sequential):
    """A convolution, then its norm and its dropout where it has them."""

    def __init__(self, conv: nn.Module, norm: str, dropout: float = 0.0) -> None:
        last = conv[-1] if isinstance(conv, nn.Sequential) else conv
        layers = [conv, *norm_layer(norm, last.out_channels)]
        super().__init__(*layers, *([nn.Dropout(dropout)] if dropout else []))


def has_dropout(config: GeneratorConfig, index: int, depth: int) -> bool:
    """Return whether up-block ``index``, counted from the innermost, has dropout."""
    if config.dropout == "innermost":
        return index < 3
    if config.dropout == "after-innermost":
        return 1 <= index <= depth - 5  # as many as the PyTorch reference has: three at 256
    return False


def upsample_layer(channels: int, width: int, kind: str, bias: bool) -> nn.Module:
    """Double height and width by the paper's 4x4 transposed convolution or a resize convolution."""
    if kind == "transposed":
        return FastUpConv(channels, width, 4, 2, 1, bias=bias)
    return ResizeConv(channels, width, bias)


def add_hints(unet: UNet, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights for `unet`, which sees hints and has a gate, from those of the same network
    without hints, or without the gate. It begins with the same pictures: what it sees of hints and
    the gate are 0; of a network that had hints the gate is 1."""
    weights, first = dict(weights), weights["down.0.0.weight"]  # ngf x C x 4 x 4, C with noise
    more = unet.down[0][0].weight.shape[1] - first.shape[1]  # channels of hints, where it had none
    parts = [first[:, :more], torch.zeros_like(first[:, :more]), first[:, more:]]
    weights["down.0.0.weight"] = torch.cat(parts, 1)
    for name in unet.out.state_dict(prefix="out."):
        is_bias = name.endswith("bias")
        dim = int(not is_bias and isinstance(unet.out, nn.ConvTranspose2d))  # of output channels
        opening = 1.0 if is_bias and not more else 0.0
        gate = torch.full_like(weights[name].narrow(dim, 0, 1), opening)
        weights[name] = torch.cat([weights[name], gate], dim)
    return weights


def add_input(unet: UNet, weights: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return weights for `unet`, which sees the `part` noise or tint, from those of the same
    network without. It begins with the same pictures: of the part it sees nothing."""
    own = {k: v for k, v in unet.state_dict().items() if k.startswith(f"{part}.")}
    name, channels = "down.0.0.weight", {"noise": 1, "tint": 3}[part]
    first = weights[name]  # ngf x C x 4 x 4, the channels of a tint at the end
    at = first.shape[1] - (3 if part == "noise" and "tint.colours" in weights else 0)
    blind = torch.zeros_like(first[:, :1]).repeat(1, channels, 1, 1)
    return {**weights, **own, name: torch.cat([first[:, :at], blind, first[:, at:]], 1)}


class SmallUNet(nn.Module):
    """The max-pool U-Net of the preset ``cityscapes``: any H, W multiple of 16."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        channels = config.source_channels
        downs, ups = (32, 64, 96, 96), (128, 96, 64, 32)
        self.down = nn.ModuleList()
        for width in downs:
            self.down.append(nn.Conv2d(channels, width, 3, padding=1))
            channels = width
        self.bottleneck = nn.Sequential(
            nn.Conv2d(channels, 96, 3, padding=1),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Conv2d(96, 256, 3, padding=1),
            nn.ReLU(),
        )
        channels = 256
        self.up, self.merge = nn.ModuleList(), nn.ModuleList()
        for width, skip in zip(ups, reversed(downs)):
            self.up.append(nn.ConvTranspose2d(channels, width, 2, 2))
            self.merge.append(nn.Conv2d(width + skip, 128, 3, padding=1))
            channels = 128
        self.first_dropout, self.last_dropout = nn.Dropout(0.1), nn.Dropout(0.1)
        self.out = nn.Conv2d(channels, config.target_channels, 1)

    def forward(self, source: Tensor) -> Tensor:
        """Map N x C x H x W in [-1, 1] to N x C' x H x W in [-1, 1]."""
        skips = []
        x = source  # N x C x 256 x 256
        for i, conv in enumerate(self.down):
            x = torch.relu(conv(x))
            x = self.first_dropout(x) if i == 0 else x
            skips.append(x)
            x = F.max_pool2d(x, 2)  # 128, 64, 32, 16
        x = self.bottleneck(x)  # N x 256 x 16 x 16
        for up, merge in zip(self.up, self.merge):
            x = torch.relu(merge(torch.cat([up(x), skips.pop()], dim=1)))  # 32, 64, 128, 256
        return torch.tanh(self.out(self.last_dropout(x)))


class ResNet(nn.Module):
    """The residual generator (Johnson et al. 2016) in the PyTorch pix2pix reference's layout, for
    imported weights: any H, W multiple of 4."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        n, bias = config.ngf, config.bias

        def norm(channels: int) -> list[nn.Module]:
            return [*norm_layer(config.norm, channels), nn.ReLU()]

        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(config.source_channels, n, 7, bias=bias),
            *norm(n),  # n x 256 x 256
            nn.Conv2d(n, 2 * n, 3, 2, 1, bias=bias),
            *norm(2 * n),  # 2n x 128 x 128
            nn.Conv2d(2 * n, 4 * n, 3, 2, 1, bias=bias),
            *norm(4 * n),  # 4n x 64 x 64
        ]
        layers += [ResidualBlock(4 * n, config, bias) for _ in range(config.blocks)]
        layers += [
            nn.ConvTranspose2d(4 * n, 2 * n, 3, 2, 1, output_padding=1, bias=bias),
            *norm(2 * n),  # 2n x 128 x 128
            nn.ConvTranspose2d(2 * n, n, 3, 2, 1, output_padding=1, bias=bias),
            *norm(n),  # n x 256 x 256
            nn.ReflectionPad2d(3),
            nn.Conv2d(n, config.target_channels, 7),
            nn.Tanh(),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, source: Tensor) -> Tensor:
        """Map N x C x H x W in [-1, 1] to N x C' x H x W in [-1, 1]."""
        return self.layers(source)


class ResidualBlock(nn.Module):
    """x + two 3x3 convolutions of it."""

    def __init__(self, width: int, config: GeneratorConfig, bias: bool) -> None:
        super().__init__()
        dropout = [nn.Dropout(0.5)] if config.dropout != "none" else []
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=bias),
            *norm_layer(config.norm, width),
            nn.ReLU(),
            *dropout,
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=bias),
            *norm_layer(config.norm, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map N x C x H x W to as much."""
        return x + self.layers(x)


def keep_light(colours: Tensor, grey: Tensor) -> Tensor:
    """Give N x 3 x H x W the light of N x 1 x H x W, all in [-1, 1]: hue and saturation stay, which
    are Cb and Cr of ITU-R 601."""
    luma = colours.new_tensor(LUMA)[:, None, None]
    return (colours + grey - (luma * colours).sum(1, keepdim=True)).clamp(-1, 1)


def construct_generator(config: GeneratorConfig) -> nn.Module:
    """Construct the generator of ``config``, for weights to be loaded into."""
    return {"unet": UNet, "small-unet": SmallUNet, "resnet": ResNet}[config.kind](config)


def build_generator(config: GeneratorConfig) -> nn.Module:
    """Build the generator of ``config`` with the paper's initial weights."""
    generator = construct_generator(config).apply(initialise)
    if config.gate:
        last = generator.out if config.upsample == "transposed" else generator.out[-1]
        nn.init.ones_(last.bias[-1:])
    return generator
