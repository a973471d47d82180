"""Layers that the networks share, their initial weights and their norm statistics.

The 4x4 convolutions here train faster on a CPU: the same sums in another order.
They are PyTorch's layers, and take ways of their own only while they train in float32 on a CPU,
where a layer is large enough to gain: models in use, GPUs and bfloat16 have good ones already.

`FastDownConv` and `FastUpConv`, the strided ones, are products of matrices where they see few
places: deep in the U-Net the weights are most of the work, and PyTorch's convolution reorders all
of them for each pass. `WinogradConv`, of stride 1, is Winograd's minimal filtering (Lavin and Gray
2016, arXiv 1509.09308, section 4): 4x4 outputs of a 7x7 window by 49 products where the sum takes
16 * 16, with rounding in the fifth digit. The widest layer of the 70x70 PatchGAN is a third of a
step's work.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pix2pix.model_config import GeneratorConfig

KERNEL, OUT = 4, 4  # side of the kernel, and of the outputs that one window makes
WINDOW = KERNEL + OUT - 1
POINTS = (0.0, 1.0, -1.0, 0.5, -0.5, 2.0)  # of evaluation; the seventh is infinity
ENLARGED = ((0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0))  # M of `ResizeConv`
# Weights from which a layer is large; places that are few, and many.
MIN_WEIGHTS, FEW_PLACES, MANY_PLACES = 2**20, 64, 512


class FastDownConv(nn.Conv2d):
    """The 4x4 convolution of stride 2 and padding 1: H, W to H/2, W/2."""

    def forward(self, x: Tensor) -> Tensor:
        """Map N x C x H x W to N x C' x H/2 x W/2."""
        n, _, height, width = x.shape
        few = n * height * width <= 4 * FEW_PLACES
        if height % 2 or width % 2 or not (is_faster(self, x) and few):
            return super().forward(x)
        windows = F.unfold(x, KERNEL, padding=1, stride=2)  # N x 16C x HW/4
        y = (self.weight.flatten(1) @ windows).view(n, -1, height // 2, width // 2)
        return y if self.bias is None else y + self.bias[:, None, None]


class FastUpConv(nn.ConvTranspose2d):
    """The transposed 4x4 convolution of stride 2 and padding 1: H, W to 2H, 2W."""

    def forward(self, x: Tensor) -> Tensor:
        """Map N x C x H x W to N x C' x 2H x 2W."""
        n, _, height, width = x.shape
        if not (is_faster(self, x) and n * height * width <= FEW_PLACES):
            return super().forward(x)
        windows = self.weight.flatten(1).T @ x.flatten(2)  # N x 16C' x HW
        y = F.fold(windows, (2 * height, 2 * width), KERNEL, padding=1, stride=2)
        return y if self.bias is None else y + self.bias[:, None, None]


class WinogradConv(nn.Conv2d):
    """The 4x4 convolution of stride 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Map N x C x H x W as the convolution does."""
        if not (is_faster(self, x) and x[:, 0].numel() >= MANY_PLACES):
            return super().forward(x)
        n, c, pad = *x.shape[:2], self.padding[0]
        height, width = (side + 2 * pad - KERNEL + 1 for side in x.shape[2:])
        rows, columns = -(-height // OUT), -(-width // OUT)  # of windows
        right, bottom = pad + OUT * columns - width, pad + OUT * rows - height
        x = F.pad(x, (pad, right, pad, bottom))
        out, kernel, window = winograd_matrices()
        windows = F.unfold(x, WINDOW, stride=OUT).view(n, c, WINDOW**2, rows * columns)
        seen = window @ windows.permute(2, 1, 0, 3).reshape(WINDOW**2, -1)
        weights = kernel @ self.weight.reshape(-1, KERNEL**2).T
        # One product of matrices for each of the 49 places: out x in times in x windows.
        made = weights.view(WINDOW**2, -1, c) @ seen.view(WINDOW**2, c, -1)
        y = (out @ made.flatten(1)).view(OUT, OUT, -1, n, rows, columns)
        y = y.permute(3, 2, 4, 0, 5, 1).reshape(n, -1, OUT * rows, OUT * columns)
        y = y[:, :, :height, :width]
        return y if self.bias is None else y + self.bias[:, None, None]


class ResizeConv(nn.Sequential):
    """Nearest enlarging to twice the size, then a 3x3 convolution: H, W to 2H, 2W, without the
    checkerboard of a transposed one (Odena et al. 2016, distill.00003).

    The same numbers come from a 4x4 transposed convolution of stride 2 with the kernel M w M^T,
    which reads each input pixel once instead of four times: 1.84 times fewer products.
    """

    def __init__(self, channels: int, width: int, bias: bool) -> None:
        conv = nn.Conv2d(channels, width, 3, padding=1, bias=bias)
        super().__init__(nn.Upsample(scale_factor=2), conv)

    def forward(self, x: Tensor) -> Tensor:
        """Map N x C x H x W to N x C' x 2H x 2W."""
        conv = self[1]
        n, _, height, width = x.shape
        if x.device.type != "cpu" or x.dtype == torch.bfloat16:
            return super().forward(x)
        if n * height * width >= FEW_PLACES:
            return F.conv_transpose2d(x, self.folded(), conv.bias, stride=2, padding=1)
        # Deep in the U-Net the weights are most of the work: they are read once, as they lie.
        windows = F.unfold(self[0](x), 3, padding=1)  # N x 9C x 4HW
        y = (conv.weight.flatten(1) @ windows).view(n, -1, 2 * height, 2 * width)
        return y if conv.bias is None else y + conv.bias[:, None, None]

    def folded(self) -> Tensor:
        """Return the kernel of the equal transposed convolution, C x C' x 4 x 4."""
        weight = self[1].weight  # C' x C x 3 x 3
        rows = weight.new_tensor(ENLARGED)
        kernels = weight.reshape(-1, 9) @ torch.kron(rows, rows).T
        return kernels.view(*weight.shape[:2], 4, 4).transpose(0, 1)


def is_faster(layer: nn.Module, x: Tensor) -> bool:
    """Return whether a layer is trained as this module is made for."""
    if not layer.training or x.device.type != "cpu" or x.dtype != torch.float32:
        return False
    return layer.weight.numel() >= MIN_WEIGHTS and not torch.is_autocast_enabled("cpu")


@functools.cache
def winograd_matrices() -> tuple[Tensor, Tensor, Tensor]:
    """Return the matrices of outputs (16 x 49), kernels (49 x 16) and windows (49 x 49), which
    act on flattened squares: Kronecker squares of those in one dimension (Toom-Cook at
    `POINTS`)."""
    out = np.zeros((OUT, WINDOW))
    kernel = np.zeros((WINDOW, KERNEL))
    window = np.zeros((WINDOW, WINDOW))
    for i, point in enumerate(POINTS):
        others = np.delete(POINTS, i)
        out[:, i] = point ** np.arange(OUT)
        kernel[i] = point ** np.arange(KERNEL) / np.prod(point - others)
        window[i, :-1] = np.poly(others)[::-1]
    out[-1, -1] = kernel[-1, -1] = 1.0
    window[-1] = np.poly(POINTS)[::-1]
    squares = (np.kron(matrix, matrix) for matrix in (out, kernel, window))
    return tuple(torch.tensor(square, dtype=torch.float32) for square in squares)


def norm_layer(norm: str, channels: int) -> list[nn.Module]:
    """Return zero or one layer. Instance norm is without parameters, as in the PyTorch
    reference."""
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    return [nn.InstanceNorm2d(channels)] if norm == "instance" else []


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
