"""PatchGAN discriminators (paper section 3.2.2 and appendix 6.1.2), and their receptive fields."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pix2pix.model_config import DiscriminatorConfig
from pix2pix.nn.fast_convolutions import WinogradConv
from pix2pix.nn.layers import initialise, norm_layer
from pix2pix.nn.projected import ProjectedDiscriminator


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
        """Return logits for ``target``; with ``other``, a pair: those for ``target``, those for
        it.

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
