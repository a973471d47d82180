"""The networks: U-Net, small U-Net and ResNet generators, and the PatchGAN discriminators.

Every generator maps a source N x C x H x W in [-1, 1] to a target N x C' x H x W in [-1, 1]. Every
discriminator maps source and target to logits N x 1 x h x w, one for each patch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pix2pix.config import DiscriminatorConfig, GeneratorConfig
from pix2pix.convolutions import Doubling, Halving, ResizeConv, Wide
from pix2pix.projected import ProjectedDiscriminator

WIDEST_LINE = 8 / 256  # of a side; what is wider is a stroke of colour
SLIGHT = 1e-4  # weight of the farther strokes beside the nearer


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
        channels = config.source_channels * (2 if config.hints else 1)
        for i, width in enumerate(widths):
            # No norm on the first layer, and none on the bottleneck: 1 x 1 has no variance.
            bare = i in (0, depth - 1)
            conv = Halving(channels, width, 4, 2, 1, bias=config.bias)
            self.down.append(Block(conv, "none" if bare else config.norm))  # H / 2^(i+1)
            channels = width
        self.up = nn.ModuleList()
        for i, width in enumerate(reversed(widths[:-1])):
            conv = upsampling(channels, width, config.upsample, config.bias)
            dropout = 0.5 if has_dropout(config, i, depth) else 0.0
            self.up.append(Block(conv, config.norm, dropout))
            channels = 2 * width  # after concatenation with the skip
        self.out = upsampling(channels, config.target_channels, config.upsample, bias=True)

    def forward(self, source: Tensor) -> Tensor:
        skips = []
        x = source  # N x C x 256 x 256
        if self.spread:
            x = torch.cat([x, self.spread(x)], dim=1)
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else nn.functional.leaky_relu(x, 0.2))  # 128, 64, ... 1
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = block(nn.functional.relu(x))  # 2, 4, ... 128
            x = torch.cat([x, skips.pop()], dim=1)
        return torch.tanh(self.out(nn.functional.relu(x)))  # N x C' x 256 x 256


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
        strokes = F.max_pool2d(source, 2 * self.reach + 1, 1, self.reach)
        strokes = -F.max_pool2d(-strokes, 2 * self.reach + 1, 1, self.reach)
        weight = (1.8 - 2 * strokes.amin(1, keepdim=True)).clamp(0, 1)  # of paper 0
        weight = -F.max_pool2d(-weight, 3, 1, 1)  # edges are blends
        layers = [torch.cat([strokes * weight, weight], dim=1)]
        for _ in range(self.halvings):  # to 1 x 1 at this size
            layers.append(F.avg_pool2d(layers[-1], 2, ceil_mode=True))
        spread = torch.ones_like(layers[-1][:, :3])
        for layer in reversed(layers):
            spread = F.interpolate(spread, layer.shape[-2:], mode="bilinear")
            spread = (layer[:, :3] + SLIGHT * spread) / (layer[:, 3:] + SLIGHT)
        return spread


def has_dropout(config: GeneratorConfig, index: int, depth: int) -> bool:
    """Whether up-block ``index``, counted from the innermost, has dropout."""
    if config.dropout == "innermost":
        return index < 3
    if config.dropout == "after-innermost":
        return 1 <= index <= depth - 5  # as many as the PyTorch reference has: three at 256
    return False


class Block(nn.Sequential):
    """A convolution, then its norm and its dropout where it has them."""

    def __init__(self, conv: nn.Module, norm: str, dropout: float = 0.0) -> None:
        last = conv[-1] if isinstance(conv, nn.Sequential) else conv
        layers = [conv, *norm_layer(norm, last.out_channels)]
        super().__init__(*layers, *([nn.Dropout(dropout)] if dropout else []))


def norm_layer(norm: str, channels: int) -> list[nn.Module]:
    """Zero or one layer. Instance norm is without parameters, as in the PyTorch reference."""
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    return [nn.InstanceNorm2d(channels)] if norm == "instance" else []


def upsampling(channels: int, width: int, kind: str, bias: bool) -> nn.Module:
    """Double height and width by the paper's 4x4 transposed convolution or a resize convolution."""
    if kind == "transposed":
        return Doubling(channels, width, 4, 2, 1, bias=bias)
    return ResizeConv(channels, width, bias)


class SmallUNet(nn.Module):
    """The max-pool U-Net of the preset ``cityscapes`` (SPEC section 3): any H, W multiple of 16."""

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
        skips = []
        x = source  # N x C x 256 x 256
        for i, conv in enumerate(self.down):
            x = torch.relu(conv(x))
            x = self.first_dropout(x) if i == 0 else x
            skips.append(x)
            x = nn.functional.max_pool2d(x, 2)  # 128, 64, 32, 16
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
        return x + self.layers(x)


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
            conv = Wide if (kernel, stride) == (4, 1) else nn.Conv2d
            layers.append(conv(channels, width, kernel, stride, pad, bias=bias))
            if i < len(spec) - 1:
                layers += [*norm_layer(norm, width), nn.LeakyReLU(slope)]
            channels = width
        self.layers = nn.Sequential(*layers)

    def forward(
        self, source: Tensor, target: Tensor, other: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Logits for ``target``; with ``other``, a pair: those for ``target``, those for it.

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
        """What comes out of each LeakyReLU, and last the logits."""
        x, found = torch.cat([source, target], dim=1), []
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                found.append(x)
        return [*found, x]


def construct_generator(config: GeneratorConfig) -> nn.Module:
    """The generator of ``config``, for weights to be loaded into."""
    return {"unet": UNet, "small-unet": SmallUNet, "resnet": ResNet}[config.kind](config)


def build_generator(config: GeneratorConfig) -> nn.Module:
    """The generator of ``config``, with the paper's initial weights."""
    return construct_generator(config).apply(initialise)


def construct_discriminator(config: DiscriminatorConfig) -> PatchGAN | ProjectedDiscriminator:
    """The discriminator of ``config``; the projected one has its initial weights."""
    return (ProjectedDiscriminator if config.kind == "projected" else PatchGAN)(config)


def build_discriminator(config: DiscriminatorConfig) -> PatchGAN | ProjectedDiscriminator:
    """The discriminator of ``config``, with the paper's initial weights where it is the paper's."""
    discriminator = construct_discriminator(config)
    return discriminator if config.kind == "projected" else discriminator.apply(initialise)


def initialise(layer: nn.Module) -> None:
    """Weights from N(0, 0.02), norm scales from N(1, 0.02), biases 0 (paper section 6.2)."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


def parameter_count(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def receptive_fields(discriminator: PatchGAN) -> list[int]:
    """What one output sees of the input of each convolution, on a side, from the last convolution
    to the first: 4, 7, 16, 34, 70 for the paper's, whose last value is its name."""
    fields, field = [], 1
    for layer in reversed(discriminator.layers):
        if isinstance(layer, nn.Conv2d):
            field = (field - 1) * layer.stride[0] + layer.kernel_size[0]
            fields.append(field)
    return fields


def has_stored_statistics(config: GeneratorConfig) -> bool:
    """Whether the generator keeps averages of its training that it can normalise by."""
    return config.norm == "batch" and config.kind != "small-unet"  # which has no norm


def use_own_statistics(generator: nn.Module, own: bool = True) -> None:
    """Make batch norm use each picture's own statistics, or, unless `own`, those stored in
    training, in ``eval()`` too. The stored ones stay as they are.

    A model trained at batch 1 looks different with its running averages (SPEC section 7).
    """
    for layer in generator.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.track_running_stats = False
            layer.train(own)
