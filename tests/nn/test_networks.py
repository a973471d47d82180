"""Parameter counts, shapes, placement of layers, initial weights and receptive fields."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pix2pix.config import train_config
from pix2pix.errors import UserError
from pix2pix.model_config import DiscriminatorConfig, GeneratorConfig
from pix2pix.nn.discriminators import build_discriminator, receptive_fields
from pix2pix.nn.extra_inputs import AddTint
from pix2pix.nn.generators import build_generator, construct_generator
from pix2pix.nn.layers import ResizeConv, has_stored_statistics, parameter_count, use_own_statistics

SIZES = (64, 128, 256, 512, 1024)


def on_meta(config: GeneratorConfig | DiscriminatorConfig) -> nn.Module:
    """The network without memory or numbers."""
    with torch.device("meta"):
        if isinstance(config, GeneratorConfig):
            return construct_generator(config)
        return build_discriminator(config)


def shape_of(network: nn.Module, *channels: int, size: int) -> tuple[int, ...]:
    pictures = [torch.empty(2, c, size, size, device="meta") for c in channels]
    return tuple(network(*pictures).shape)


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (GeneratorConfig(), 54_419_459),
        (GeneratorConfig(bias=False), 54_413_955),
        (GeneratorConfig(kind="small-unet"), 1_393_315),
        (DiscriminatorConfig(), 2_768_705),
        (DiscriminatorConfig(kind="scratch", bias=True), 6_965_441),
        (DiscriminatorConfig(kind="cityscapes", bias=True), 2_765_249),
        # resnet_9blocks of the PyTorch reference, whose log says 11.378 M.
        (GeneratorConfig(kind="resnet", norm="instance"), 11_378_179),
    ],
)
def test_parameter_counts(config: GeneratorConfig | DiscriminatorConfig, count: int) -> None:
    assert parameter_count(on_meta(config)) == count


@pytest.mark.parametrize(
    ("config", "total"),
    [
        (GeneratorConfig(), 54_419_459 + 9_856),
        (DiscriminatorConfig(kind="scratch", bias=True), 6_968_257),
    ],
)
def test_totals_with_running_statistics(config, total: int) -> None:
    network = on_meta(config)
    statistics = sum(b.numel() for n, b in network.named_buffers() if "running_" in n)
    assert parameter_count(network) + statistics == total


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["unet", "small-unet", "resnet"])
def test_generators_keep_the_size(kind: str, size: int) -> None:
    network = on_meta(GeneratorConfig(kind=kind, size=size))
    assert shape_of(network, 3, size=size) == (2, 3, size, size)


@pytest.mark.parametrize("channels", [(1, 3), (3, 1), (4, 3), (3, 4), (1, 1), (4, 4)])
@pytest.mark.parametrize("kind", ["unet", "small-unet", "resnet"])
def test_channels_follow_the_data(kind: str, channels: tuple[int, int]) -> None:
    source, target = channels
    config = GeneratorConfig(kind=kind, source_channels=source, target_channels=target)
    assert shape_of(on_meta(config), source, size=256) == (2, target, 256, 256)
    judge = on_meta(DiscriminatorConfig(source_channels=source, target_channels=target))
    assert shape_of(judge, source, target, size=256) == (2, 1, 30, 30)


@pytest.mark.parametrize("layers", range(6))
def test_patch_outputs_at_every_size(layers: int) -> None:
    network = on_meta(DiscriminatorConfig(layers=layers))
    for size in SIZES:
        side = size // 2**layers - (2 if layers else 0)
        if side > 0:
            assert shape_of(network, 3, 3, size=size) == (2, 1, side, side)


def test_outputs_of_the_tutorials_discriminators() -> None:
    scratch = on_meta(DiscriminatorConfig(kind="scratch", bias=True))
    cityscapes = on_meta(DiscriminatorConfig(kind="cityscapes", bias=True))
    assert shape_of(scratch, 3, 3, size=256) == (2, 1, 16, 16)
    assert shape_of(cityscapes, 3, 3, size=256) == (2, 1, 30, 30)


def test_unet_widths() -> None:
    network = on_meta(GeneratorConfig())
    assert [block[0].out_channels for block in network.down] == [64, 128, 256, *[512] * 5]
    assert [block[0].out_channels for block in network.up] == [*[512] * 4, 256, 128, 64]
    assert [block[0].in_channels for block in network.up] == [512, *[1024] * 4, 512, 256]
    assert network.out.in_channels == 128


@pytest.mark.parametrize(
    ("dropout", "size", "held"),
    [
        ("innermost", 256, [0, 1, 2]),
        ("after-innermost", 256, [1, 2, 3]),
        ("after-innermost", 128, [1, 2]),
        ("none", 256, []),
    ],
)
def test_dropout_placement(dropout: str, size: int, held: list[int]) -> None:
    network = on_meta(GeneratorConfig(size=size, dropout=dropout))
    found = [i for i, block in enumerate(network.up) if isinstance(block[-1], nn.Dropout)]
    assert found == held
    assert all(network.up[i][-1].p == 0.5 for i in held)


def test_presets_have_the_papers_dropout() -> None:
    for preset in ("maps", "scratch", "colorize", "face-sketch"):
        assert train_config(preset).generator_config().dropout == "innermost"


def test_small_unet_dropout() -> None:
    network = on_meta(GeneratorConfig(kind="small-unet"))
    rates = {name: m.p for name, m in network.named_modules() if isinstance(m, nn.Dropout)}
    assert rates == {"bottleneck.2": 0.3, "first_dropout": 0.1, "last_dropout": 0.1}


@pytest.mark.parametrize(
    ("norm", "kind"), [("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d)]
)
def test_where_norms_are(norm: str, kind: type) -> None:
    network = on_meta(GeneratorConfig(norm=norm))
    normalised = [any(isinstance(m, kind) for m in block) for block in network.down]
    assert normalised == [False, *[True] * 6, False]  # not the first, not the bottleneck
    assert all(isinstance(block[1], kind) for block in network.up)
    judge = on_meta(DiscriminatorConfig(norm=norm))
    kinds = [type(m) for m in judge.layers]
    assert kinds[:2] == [nn.Conv2d, nn.LeakyReLU]
    assert kinds.count(kind) == 3 and issubclass(kinds[-1], nn.Conv2d)


def test_norm_none_has_no_norms() -> None:
    for config in (GeneratorConfig(norm="none"), DiscriminatorConfig(norm="none")):
        network = on_meta(config)
        assert not any("Norm" in type(m).__name__ for m in network.modules())


def test_instance_norm_has_no_parameters_or_statistics() -> None:
    names = on_meta(GeneratorConfig(norm="instance")).state_dict()
    convolutions = [n for n in names if n.endswith(".weight")]
    assert len(convolutions) == 16 and len(names) == 32  # a bias each


def test_resize_convolution() -> None:
    network = on_meta(GeneratorConfig(upsample="resize"))
    assert not any(isinstance(m, nn.ConvTranspose2d) for m in network.modules())
    assert sum(isinstance(m, nn.Upsample) for m in network.modules()) == 8
    assert shape_of(network, 3, size=256) == (2, 3, 256, 256)


def test_leaky_slopes() -> None:
    for kind, slope in (("patch", 0.2), ("scratch", 0.2), ("cityscapes", 0.3)):
        layers = on_meta(DiscriminatorConfig(kind=kind)).layers
        assert {m.negative_slope for m in layers if isinstance(m, nn.LeakyReLU)} == {slope}


@pytest.mark.parametrize("kind", ["unet", "small-unet"])
def test_initial_weights_and_range(kind: str) -> None:
    torch.manual_seed(0)
    network = build_generator(GeneratorConfig(kind=kind, size=64, ngf=16))
    weights = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    values = torch.cat([m.weight.flatten() for m in weights])
    assert abs(values.mean()) < 1e-4 and abs(values.std() - 0.02) < 1e-4
    assert all((m.bias == 0).all() for m in weights)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    if norms:
        scales = torch.cat([m.weight for m in norms])
        assert abs(scales.mean() - 1) < 0.005 and abs(scales.std() - 0.02) < 0.005
        assert all((m.bias == 0).all() for m in norms)
    output = network(torch.randn(1, 3, 64, 64))
    assert output.abs().max() <= 1


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        (DiscriminatorConfig(layers=0), [1, 1, 1]),
        (DiscriminatorConfig(layers=1), [4, 7, 16]),
        (DiscriminatorConfig(layers=2), [4, 7, 16, 34]),
        (DiscriminatorConfig(layers=3), [4, 7, 16, 34, 70]),
        (DiscriminatorConfig(layers=4), [4, 7, 16, 34, 70, 142]),
        (DiscriminatorConfig(layers=5), [4, 7, 16, 34, 70, 142, 286]),
        (DiscriminatorConfig(kind="scratch"), [4, 7, 16, 34, 70, 142]),
        (DiscriminatorConfig(kind="cityscapes"), [3, 6, 14, 30, 62]),
    ],
)
def test_receptive_fields(config: DiscriminatorConfig, fields: list[int]) -> None:
    assert receptive_fields(on_meta(config)) == fields


@pytest.mark.parametrize(
    "config",
    [
        *(DiscriminatorConfig(layers=layers, ndf=2, norm="none") for layers in range(6)),
        DiscriminatorConfig(kind="scratch", ndf=2, norm="none"),
        DiscriminatorConfig(kind="cityscapes", ndf=2, norm="none"),
    ],
    ids=lambda config: f"{config.kind}-{config.layers}",
)
def test_gradients_reach_as_far_as_the_receptive_field(config: DiscriminatorConfig) -> None:
    network = build_discriminator(config)
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.1, 1.0)  # nothing cancels
    field = receptive_fields(network)[-1]
    size = 512 if field > 128 else 256
    source = torch.rand(1, 3, size, size, requires_grad=True)
    logits = network(source, torch.zeros_like(source))
    middle = logits.shape[-1] // 2
    (logits[0, 0, middle, middle] / logits.detach().max()).backward()
    touched = source.grad[0].abs().sum(0) > 0
    for axis in (0, 1):
        reached = touched.any(axis).nonzero().flatten()
        assert reached[-1] - reached[0] + 1 == field


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("kind", ["unet", "small-unet", "resnet"])
def test_a_network_says_whether_it_keeps_statistics(kind: str, norm: str) -> None:
    config = GeneratorConfig(kind=kind, norm=norm, size=64, ngf=4, blocks=1)
    kept = [name for name, _ in construct_generator(config).named_buffers() if "running" in name]
    assert has_stored_statistics(config) is bool(kept)


@pytest.mark.parametrize("kind", ["unet", "resnet"])
def test_own_statistics_equal_those_of_training(kind: str) -> None:
    torch.manual_seed(0)
    network = build_generator(GeneratorConfig(kind=kind, size=64, ngf=8, dropout="none", blocks=2))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.running_mean)
    source = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network.train()(source)
        stored = network.eval()(source)
        use_own_statistics(network.eval())
        assert not torch.allclose(stored, expected, atol=1e-3)
        torch.testing.assert_close(network(source), expected)
        torch.testing.assert_close(network(source), expected)  # and leaves no trace
        use_own_statistics(network, use_own=False)
        torch.testing.assert_close(network(source), stored)


def test_a_resize_convolution_is_enlarging_and_a_convolution_gradients_too() -> None:
    """The whole network in float64, where 128 pixels have both of its ways: few places and many."""
    config = GeneratorConfig(size=128, ngf=2, upsample="resize", dropout="none", norm="instance")
    torch.manual_seed(0)
    network = build_generator(config).double()
    source = torch.randn(2, 3, 128, 128, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 128, 128, dtype=torch.float64)

    def results() -> list[torch.Tensor]:
        output = network(source)
        wanted = source, *network.parameters()
        return [output, *torch.autograd.grad((output * weight).sum(), wanted, allow_unused=True)]

    ours = results()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ResizeConv, "forward", torch.nn.Sequential.forward)
        plain = results()
    for one, other in zip(ours, plain):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("depth", "widest"), [(0, 8), (6, 4), (7, 4)])
def test_depth_and_widest_shape_the_u_net(depth: int, widest: int) -> None:
    config = GeneratorConfig(size=128, ngf=2, depth=depth, widest=widest)
    network = construct_generator(config)
    halvings = depth or 7
    assert len(network.down) == halvings and config.multiple == 2**halvings
    assert [block[0].out_channels for block in network.down] == [
        2 * min(2**i, widest) for i in range(halvings)
    ]
    larger = config.at_size(256)
    network.load_state_dict(construct_generator(larger).state_dict())  # the same weights
    assert network.eval()(torch.zeros(1, 3, 256, 256)).shape == (1, 3, 256, 256)


def test_noise_gives_a_plain_area_a_texture_that_a_seed_changes() -> None:
    plain = torch.zeros(1, 3, 320, 320)  # wider than the square of noise
    spreads = []
    for noise in (False, True):
        config = GeneratorConfig(size=64, ngf=4, depth=2, noise=noise, norm="none", dropout="none")
        generator = build_generator(config).eval()
        with torch.no_grad():
            first, again = generator(plain), generator(plain)
        assert torch.equal(first, again)
        spreads.append(float(first[..., 64:-64, 64:-64].std((2, 3)).mean()))
    # Two places of a transposed convolution's step differ in any case.
    assert spreads[1] > 3 * spreads[0]
    square = generator.noise(plain)[:, 3:]
    assert torch.equal(square[..., :64, :64], square[..., 256:, 256:]) and 0.9 < square.std() < 1.1
    with torch.no_grad():
        generator.train()
        torch.manual_seed(1)
        one = generator(plain)
        assert not torch.equal(one, generator(plain)) and not torch.equal(one, first)
        torch.manual_seed(1)
        assert torch.equal(one, generator(plain))


def test_the_tints_of_the_first_seeds_differ_most() -> None:
    tint = AddTint()
    corners = [[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, 1.0]]
    near = torch.rand(60, 3, generator=torch.Generator().manual_seed(0)) * 0.2
    tint.colours.copy_(torch.cat([near[:30], torch.tensor(corners), near[30:]]))
    chosen = [tint.chosen(seed)[0].tolist() for seed in range(5)]
    assert sorted(chosen[:4]) == sorted(corners) and max(map(abs, chosen[4])) < 0.2
    assert tint.chosen(64).tolist() == [chosen[0]] and tint.chosen(2**70).shape == (1, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_residual_unet_begins_at_its_source(channels: int) -> None:
    config = GeneratorConfig(size=64, ngf=4, source_channels=channels, residual=True)
    generator = build_generator(config)
    torch.nn.init.zeros_(generator.out.weight)
    source = torch.rand(1, channels, 64, 64) * 2 - 1
    with torch.no_grad():
        generated = generator(source)
    assert generated.shape[1] == 3 and torch.allclose(
        generated, 0.9 * source.expand_as(generated), atol=1e-6
    )
    with pytest.raises(UserError, match="1 channel or those of the target"):
        GeneratorConfig(source_channels=4, residual=True)
