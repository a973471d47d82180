"""Layers that the networks share, their initial weights and their norm statistics."""

from __future__ import annotations

from torch import Tensor, nn

from pix2pix.model_config import GeneratorConfig
from pix2pix.nn.fast_convolutions import FastUpConv, ResizeConv


def has_dropout(config: GeneratorConfig, index: int, depth: int) -> bool:
    """Return whether up-block ``index``, counted from the innermost, has dropout."""
    if config.dropout == "innermost":
        return index < 3
    if config.dropout == "after-innermost":
        return 1 <= index <= depth - 5  # as many as the PyTorch reference has: three at 256
    return False


class ConvBlock(nn.Sequential):
    """A convolution, then its norm and its dropout where it has them."""

    def __init__(self, conv: nn.Module, norm: str, dropout: float = 0.0) -> None:
        last = conv[-1] if isinstance(conv, nn.Sequential) else conv
        layers = [conv, *norm_layer(norm, last.out_channels)]
        super().__init__(*layers, *([nn.Dropout(dropout)] if dropout else []))


def norm_layer(norm: str, channels: int) -> list[nn.Module]:
    """Return zero or one layer. Instance norm is without parameters, as in the PyTorch
    reference."""
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    return [nn.InstanceNorm2d(channels)] if norm == "instance" else []


def upsample_layer(channels: int, width: int, kind: str, bias: bool) -> nn.Module:
    """Double height and width by the paper's 4x4 transposed convolution or a resize convolution."""
    if kind == "transposed":
        return FastUpConv(channels, width, 4, 2, 1, bias=bias)
    return ResizeConv(channels, width, bias)


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


def initialise(layer: nn.Module) -> None:
    """Set weights from N(0, 0.02), norm scales from N(1, 0.02), biases 0 (paper section 6.2)."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(layer.weight, 0.0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)


def parameter_count(network: nn.Module) -> int:
    """Count trainable parameters."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def has_stored_statistics(config: GeneratorConfig) -> bool:
    """Return whether the generator keeps averages of its training that it can normalise by."""
    return config.norm == "batch" and config.kind != "small-unet"  # which has no norm


def use_own_statistics(generator: nn.Module, use_own: bool = True) -> None:
    """Make batch norm use each picture's own statistics, or, unless `use_own`, those stored in
    training, in ``eval()`` too. The stored ones stay as they are.

    A model trained at batch 1 looks different with its running averages.
    """
    for layer in generator.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.track_running_stats = False
            layer.train(use_own)
