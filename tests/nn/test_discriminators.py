"""The projected discriminator: what it sees, what is frozen and rebuilt from its seed."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from pix2pix.model_config import DiscriminatorConfig
from pix2pix.nn.discriminators import CHANNELS, MIXED, ProjectedDiscriminator, build_discriminator
from pix2pix.nn.layers import parameter_count

CONFIG = DiscriminatorConfig(kind="projected", ndf=8)


def maps(seed: int, count: int = 2, side: int = 64) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    sides = (side // scale for scale in (4, 8, 16, 32))
    return [torch.randn(count, c, s, s, generator=rng) for c, s in zip(CHANNELS, sides)]


def test_its_channels_are_those_of_the_network_that_it_looks_through() -> None:
    from pix2pix.nn.imagenet import LITE0, imagenet_network

    maps = imagenet_network(LITE0)(torch.zeros(1, 3, 64, 64))
    seen = [tuple(x.shape[1:]) for x in maps]
    assert seen == [(c, s, s) for c, s in zip(CHANNELS, (16, 8, 4, 2))]


def test_the_mixing_is_fixed_by_its_seed_and_not_saved() -> None:
    torch.manual_seed(1)
    one = build_discriminator(CONFIG)
    torch.manual_seed(2)
    other = build_discriminator(CONFIG)
    assert not any("mix" in name for name in one.state_dict())
    assert parameter_count(one) == 4 * (67 * 16 * 9 + 16 + 16 * 16 * 9 + 16 + 16 + 1)
    for a, b in zip(one.mix(maps(0)), other.mix(maps(0))):
        assert torch.equal(a, b)
    other.load_state_dict(one.state_dict())
    source = torch.randn(2, 3, 64, 64)
    for a, b in zip(one(source, maps(0)), other(source, maps(0))):
        assert torch.equal(a, b)


def test_mixing_is_the_sum_of_random_convolutions_from_the_deepest_up() -> None:
    network = ProjectedDiscriminator(CONFIG)
    seen, expected, above = maps(3), [], None
    for i in (3, 2, 1, 0):
        channels, scales = (
            network.get_buffer(f"mix_channels_{i}"),
            network.get_buffer(f"mix_scales_{i}"),
        )
        assert channels.shape == (MIXED, CHANNELS[i], 1, 1)
        assert abs(channels.std() * math.sqrt(CHANNELS[i] / 2) - 1) < 0.1  # He's scale
        x = torch.einsum("oc,nchw->nohw", channels[:, :, 0, 0], seen[i])
        if above is not None:
            x = x + F.interpolate(above, scale_factor=2, mode="bilinear")
        above = F.conv2d(x, scales, padding=1)
        expected.insert(0, above)
    for ours, plain in zip(network.mix(seen), expected):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-3)


def test_one_pass_for_two_pictures_is_as_two() -> None:
    network = ProjectedDiscriminator(CONFIG)
    source, real, fake = torch.randn(2, 3, 64, 64), maps(5), maps(6)
    together = network(source, real, fake)
    for logits, one in zip(together, (real, fake)):
        for a, b, side in zip(logits, network(source, one), (16, 8, 4, 2)):
            assert a.shape == (2, 1, side, side)
            torch.testing.assert_close(a, b)


def test_each_scale_sees_the_source() -> None:
    network = ProjectedDiscriminator(CONFIG)
    seen = maps(7)
    one, other = (network(torch.full((2, 3, 64, 64), value), seen) for value in (-1.0, 1.0))
    assert all(not torch.allclose(a, b) for a, b in zip(one, other))


def test_the_heads_weights_have_a_spectral_norm_of_one() -> None:
    network = ProjectedDiscriminator(CONFIG)
    before = [layer.weight.clone() for head in network.heads for layer in head[::2]]
    network(torch.zeros(2, 3, 64, 64), maps(8))
    assert all(
        torch.equal(a, layer.weight)
        for a, layer in zip(before, (layer for head in network.heads for layer in head[::2]))
    )  # looking changes nothing: the parts of a batch are judged alike
    # Where a weight's two largest singular values lie close, an iteration gains little.
    for _ in range(300):
        network.update_norms()
    for head in network.heads:
        for layer in head[::2]:
            largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
            assert abs(largest - 1) < 0.02
