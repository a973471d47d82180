"""Estimate the memory that a run will take, before it starts.

Networks run once on the meta device, which has shapes and no numbers, so the largest cost nothing.
"""

from __future__ import annotations

import functools

import torch
from torch import nn

from pix2pix.config import TrainConfig
from pix2pix.data.loader import CACHE_SHARE
from pix2pix.nn.discriminators import construct_discriminator
from pix2pix.nn.generators import construct_generator
from pix2pix.nn.imagenet import LITE0, imagenet_network

# Measured on the CPU, from 200 to 1,200 MiB: U-Nets take 0.8 to 1.1 of what these foresee, the
# ResNet 0.7 (kept activations, their gradients, and what convolutions put aside while they run).
ACTIVATIONS = 2.4  # times those that are kept for the gradients
# Frozen features are many small maps that little is put aside for: 720 to 1,180 MiB were taken
# where these foresee 1.2 to 1.3 times that.
WITH_FEATURES = 1.2
PROGRAM_BYTES = 700 * 2**20  # bytes of Python and PyTorch


def training_memory(config: TrainConfig, pairs: int = 0, free: int = 0) -> int:
    """About so many bytes a run takes: weights, their gradients and Adam's two averages, the moving
    average, activations, and of `pairs` as many as are kept decoded where so many bytes are free.
    """
    generator, discriminator, activations = saved_activations(config)
    weights = 4 * (generator + discriminator) + (generator if config.ema else 0)
    half = 0.5 if config.precision == "bfloat16" else 1.0
    channels = (config.source_channels or 3) + (config.target_channels or 3)
    pictures = min(pairs * channels * (config.size + config.jitter) ** 2, CACHE_SHARE * free)
    times = WITH_FEATURES if config.sees_features else ACTIVATIONS
    return int(PROGRAM_BYTES + weights + times * half * activations + pictures)


@functools.lru_cache(maxsize=64)
def saved_activations(config: TrainConfig) -> tuple[int, int, int]:
    """Count the bytes of both networks' weights, and of what one forward of both saves for the
    gradients: of G for a batch, and of D for the real and the generated pairs."""
    generator, discriminator, source, target = meta_networks(config, config.batch_size)
    networks = [generator, discriminator]
    see = imagenet_network(LITE0, "meta") if config.sees_features else nn.Sequential()
    weights = [p for network in (*networks, see) for p in network.parameters()]
    weight_storages = {p.untyped_storage()._cdata for p in weights}
    saved: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weight_storages:
            saved[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        generated = generator(source)
        seen = see(generated)
        if config.discriminator == "projected":
            discriminator(source, seen, seen)
        else:
            discriminator(source, target, generated)
    sizes = [sum(p.nbytes for p in network.parameters()) for network in networks]
    return *sizes, sum(storage.nbytes() for storage in saved.values())


def meta_networks(
    config: TrainConfig, count: int = 1
) -> tuple[nn.Module, nn.Module, torch.Tensor, torch.Tensor]:
    """Return both networks of a run on the meta device, and `count` sources and targets, N x C x H
    x W. Raises UserError for a size that is none of a network."""
    network = config.generator_config()
    with torch.device("meta"):
        generator = construct_generator(network)
        discriminator = construct_discriminator(config.discriminator_config())
        source, target = (
            torch.empty(count, channels, network.size, network.size)
            for channels in (network.source_channels, network.target_channels)
        )
    return generator, discriminator, source, target
