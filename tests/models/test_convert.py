"""Imported weights against the reference's networks, built here anew from its layer order."""

from __future__ import annotations

import functools
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pix2pix.errors import UserError
from pix2pix.models.convert import convert_tensors, import_weights, read_tensors
from pix2pix.models.folder import load_model
from pix2pix.nn.layers import use_own_statistics
from tests.support.fork_server import ForkServer

ROOT = Path(__file__).resolve().parents[2]
NORMS = {
    "batch": nn.BatchNorm2d,
    "instance": nn.InstanceNorm2d,
    # As releases before 0.4 stored it.
    "old instance": functools.partial(nn.InstanceNorm2d, track_running_stats=True),
    "none": lambda channels: nn.Identity(),
}


class SkipBlock(nn.Module):
    """One level of the reference's U-Net: ``model`` holds the next level."""

    def __init__(
        self, outer: int, inner: int, norm: str, *, source: int | None = None,
        inside: nn.Module | None = None, outermost: bool = False, dropout: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.outermost = outermost
        bias = "instance" in norm
        read = outer if source is None else source
        down = nn.Conv2d(read, inner, 4, 2, 1, bias=bias)
        back = inner if inside is None else 2 * inner
        up = nn.ConvTranspose2d(back, outer, 4, 2, 1, bias=bias or outermost)
        # In place as in the reference: the skip carries what the LeakyReLU leaves.
        leaky, relu = nn.LeakyReLU(0.2, True), nn.ReLU(True)
        if outermost:
            layers = [down, inside, relu, up, nn.Tanh()]
        elif inside is None:
            layers = [leaky, down, relu, up, NORMS[norm](outer)]
        else:
            layers = [leaky, down, NORMS[norm](inner), inside, relu, up, NORMS[norm](outer)]
            layers += [nn.Dropout(0.5)] if dropout else []
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) if self.outermost else torch.cat([x, self.model(x)], 1)


class ReferenceUNet(nn.Module):
    def __init__(self, depth: int, norm: str, source: int = 3, target: int = 3, n: int = 8) -> None:
        super().__init__()
        block = SkipBlock(8 * n, 8 * n, norm)
        for _ in range(depth - 5):
            block = SkipBlock(8 * n, 8 * n, norm, inside=block, dropout=True)
        for outer, inner in ((4 * n, 8 * n), (2 * n, 4 * n), (n, 2 * n)):
            block = SkipBlock(outer, inner, norm, inside=block)
        self.model = SkipBlock(target, n, norm, source=source, inside=block, outermost=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class ReferenceResidual(nn.Module):
    def __init__(self, width: int, norm: str, dropout: bool) -> None:
        super().__init__()
        bias = "instance" in norm
        layers = [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), NORMS[norm](width)]
        layers += [nn.ReLU(True), *([nn.Dropout(0.5)] if dropout else [])]
        layers += [nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), NORMS[norm](width)]
        self.conv_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class ReferenceResNet(nn.Module):
    def __init__(self, blocks: int, norm: str, dropout: bool = False, n: int = 8) -> None:
        super().__init__()
        bias = "instance" in norm
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, n, 7, bias=bias), NORMS[norm](n), nn.ReLU()]
        for a, b in ((n, 2 * n), (2 * n, 4 * n)):
            layers += [nn.Conv2d(a, b, 3, 2, 1, bias=bias), NORMS[norm](b), nn.ReLU()]
        layers += [ReferenceResidual(4 * n, norm, dropout) for _ in range(blocks)]
        for a, b in ((4 * n, 2 * n), (2 * n, n)):
            conv = nn.ConvTranspose2d(a, b, 3, 2, 1, output_padding=1, bias=bias)
            layers += [conv, NORMS[norm](b), nn.ReLU()]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(n, 3, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def randomise(network: nn.Module) -> nn.Module:
    """Weights and statistics that make the picture vary and no two layers alike."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.3)
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.2)
            nn.init.normal_(layer.bias, 0.0, 0.3)
        if getattr(layer, "running_mean", None) is not None:
            nn.init.normal_(layer.running_mean, 0.0, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    return network


def without_dropout(network: nn.Module) -> nn.Module:
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()
    return network


CASES = {
    "unet_128 batch": (lambda: ReferenceUNet(7, "batch"), 128),
    "unet_128 instance": (lambda: ReferenceUNet(7, "instance"), 128),
    "unet_128 old instance": (lambda: ReferenceUNet(7, "old instance"), 128),
    "unet_128 none": (lambda: ReferenceUNet(7, "none"), 128),
    "unet_256 batch": (lambda: ReferenceUNet(8, "batch"), 256),
    "unet_64 1 to 4 channels": (lambda: ReferenceUNet(6, "batch", 1, 4), 64),
    "resnet_6blocks batch": (lambda: ReferenceResNet(6, "batch"), 64),
    "resnet_9blocks instance": (lambda: ReferenceResNet(9, "instance"), 64),
    "resnet_9blocks old instance": (lambda: ReferenceResNet(9, "old instance"), 64),
    "resnet_6blocks instance dropout": (lambda: ReferenceResNet(6, "instance", True), 64),
    "resnet_9blocks batch dropout": (lambda: ReferenceResNet(9, "batch", True), 64),
    "resnet_6blocks none dropout": (lambda: ReferenceResNet(6, "none", True), 64),
}


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("case", CASES)
def test_outputs_agree_with_the_reference(case: str, prefix: str, tmp_path: Path) -> None:
    build, size = CASES[case]
    reference = randomise(build())
    state = {prefix + name: value for name, value in reference.state_dict().items()}
    torch.save(state, tmp_path / "latest_net_G.pth")
    import_weights(tmp_path / "latest_net_G.pth", tmp_path / "model")
    ours, config = load_model(tmp_path / "model")
    source = torch.rand(2, config.generator.source_channels, size, size) * 2 - 1
    with torch.no_grad():
        # Old statistics are ignored: instance norm has each picture's own, as train() computes.
        reference.train("old" in case)
        without_dropout(reference)
        expected = reference(source)
        assert expected.std() > 0.05  # a flat picture would prove nothing
        torch.testing.assert_close(ours(source), expected, atol=1e-4, rtol=0)
        if "batch" in case:
            without_dropout(reference.train())
            own = reference(source)
            assert (own - expected).abs().max() > 0.01  # the two modes do differ
            use_own_statistics(ours)
            torch.testing.assert_close(ours(source), own, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("unet_128 batch", ("unet", 128, 3, 3, "batch", "after-innermost", False)),
        ("unet_256 batch", ("unet", 256, 3, 3, "batch", "after-innermost", False)),
        ("unet_128 old instance", ("unet", 128, 3, 3, "instance", "after-innermost", True)),
        ("unet_64 1 to 4 channels", ("unet", 64, 1, 4, "batch", "after-innermost", False)),
        ("resnet_6blocks batch", ("resnet", 256, 3, 3, "batch", "none", False)),
        ("resnet_9blocks batch dropout", ("resnet", 256, 3, 3, "batch", "after-innermost", False)),
        ("resnet_9blocks instance", ("resnet", 256, 3, 3, "instance", "none", True)),
    ],
)  # fmt: skip
def test_the_config_is_inferred(case: str, expected: tuple) -> None:
    _, found = convert_tensors(CASES[case][0]().state_dict(), "x.pth")
    fields = ("kind", "size", "source_channels", "target_channels", "norm", "dropout", "bias")
    assert found.ngf == 8
    assert tuple(getattr(found, field) for field in fields) == expected
    if found.kind == "resnet":
        assert found.blocks == (6 if "6" in case else 9)


def test_dropout_sits_where_the_reference_has_it() -> None:
    torch.manual_seed(0)
    reference = randomise(ReferenceUNet(8, "batch"))
    ours, _ = convert_tensors(reference.state_dict(), "x.pth")
    theirs = [m.model[5].out_channels for m in reference.modules()
              if isinstance(m, SkipBlock) and isinstance(m.model[-1], nn.Dropout)]  # fmt: skip
    held = [i for i, block in enumerate(ours.up) if isinstance(block[-1], nn.Dropout)]
    assert held == [1, 2, 3] and len(theirs) == 3


def test_half_precision_and_files_without_batch_counters_are_read() -> None:
    state = randomise(ReferenceUNet(6, "batch")).state_dict()
    old = {k: v.half() for k, v in state.items() if not k.endswith("num_batches_tracked")}
    ours, _ = convert_tensors(old, "x.pth")
    assert {p.dtype for p in ours.parameters()} == {torch.float32}


class Bomb:
    def __reduce__(self) -> tuple:
        return (Path("ran").touch, ())


def discriminator() -> dict[str, Tensor]:
    net = nn.Sequential(nn.Conv2d(6, 8, 4, 2, 1), nn.LeakyReLU(), nn.Conv2d(8, 1, 4, 1, 1))
    return {f"model.{name}": value for name, value in net.state_dict().items()}


def with_extra_key() -> dict[str, Tensor]:
    return {**ReferenceUNet(6, "batch").state_dict(), "model.extra.weight": torch.zeros(3)}


def without_a_layer() -> dict[str, Tensor]:
    state = ReferenceResNet(6, "batch").state_dict()
    return {k: v for k, v in state.items() if "model.12." not in k}


def zero_padded_resnet() -> dict[str, Tensor]:
    state = ReferenceResNet(6, "instance").state_dict()
    moved = {"conv_block.1.": "conv_block.0.", "conv_block.5.": "conv_block.3."}
    for old, new in moved.items():
        state = {k.replace(old, new): v for k, v in state.items()}
    return state


def within_itself() -> dict:
    state: dict = {"epoch": 3}
    state["model"] = state
    return state


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\n<!DOCTYPE html><html>Not found</html>", "web page"),
        (b"", "damaged"),
        (b"\x80\x02 nonsense", "damaged"),
        (pickle.dumps({"model.model.0.weight": Bomb()}, 2), "never run"),
        (discriminator, "discriminator"),
        (zero_padded_resnet, "not a generator"),
        (without_a_layer, "not a generator"),
        (with_extra_key, "not a generator"),
        (lambda: {"features.0.weight": torch.zeros(8, 3, 3, 3)}, "not a generator"),
        (lambda: {"epoch": 3, "model": {}}, "not a table of weights"),
        (lambda: [torch.zeros(3)], "not a table of weights"),
        (within_itself, "not a table of weights"),
        (lambda: ReferenceUNet(6, "batch", 1, 2).state_dict(), "1 channels into 2"),
        (lambda: ReferenceUNet(5, "batch").state_dict(), "Size must be"),
    ],
)
def test_other_files_are_refused_in_a_sentence(
    content: bytes | Callable, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "latest_net_G.pth"
    if callable(content):
        torch.save(content(), file)
    else:
        file.write_bytes(content)
    with pytest.raises(UserError, match=says) as refusal:
        import_weights(file, tmp_path / "model")
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "ran").exists() and not (tmp_path / "model").exists()


def test_a_pickle_with_code_inside_torch_format_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model.model.0.weight": Bomb()}, tmp_path / "x.pth")
    with pytest.raises(UserError, match="never run"):
        read_tensors(tmp_path / "x.pth")
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_holds_anything_is_left_alone(tmp_path: Path) -> None:
    torch.save(ReferenceUNet(6, "batch").state_dict(), tmp_path / "x.pth")
    import_weights(tmp_path / "x.pth", tmp_path / "model")
    before = [(file, file.stat().st_mtime_ns) for file in sorted(tmp_path.rglob("*"))]
    for folder in (tmp_path, tmp_path / "model"):
        with pytest.raises(UserError, match="holds files already"):
            import_weights(tmp_path / "x.pth", folder)
    assert before == [(file, file.stat().st_mtime_ns) for file in sorted(tmp_path.rglob("*"))]


def test_the_command(tmp_path: Path, forks: ForkServer) -> None:
    torch.save(ReferenceUNet(7, "batch").state_dict(), tmp_path / "latest_net_G.pth")
    command = [sys.executable, ROOT / "scripts" / "import_weights.py"]
    names = ["--source-name", "labels", "--target-name", "facade", "--direction", "BtoA"]
    weights = tmp_path / "latest_net_G.pth"
    done = forks.run([*command, weights, "--out", tmp_path / "facades", *names])
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["generator"]["kind"] == "unet" and result["generator"]["size"] == 128
    generator, config = load_model(tmp_path / "facades")
    assert (config.source_name, config.target_name) == ("labels", "facade")
    assert config.direction == "BtoA"
    assert config.norm_mode == "batch"
    assert next(generator.parameters()).dtype == torch.float32
    refused = forks.run([*command, tmp_path / "absent.pth", "--out", tmp_path / "y"])
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_compiled_and_nested_checkpoints_are_read_and_bad_weights_are_not(tmp_path: Path) -> None:
    state = ReferenceUNet(7, "batch").state_dict()
    names = {
        "compiled.pth": {f"_orig_mod.{k}": v for k, v in state.items()},
        "both.pth": {f"module._orig_mod.{k}": v for k, v in state.items()},
        "nested.pth": {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}},
        "gan.pth": {"netD": {"net.0.weight": torch.zeros(1, 1, 1, 1)}, "netG": state, "step": 7},
        "deep.pth": {"state": {"model_state_dict": state, "optimizer": {"lr": 0.1}}},
    }
    for name, content in names.items():
        torch.save(content, tmp_path / name)
        tensors = read_tensors(tmp_path / name)
        assert tensors.keys() == state.keys(), name
    key = next(iter(state))
    torch.save({**state, key: torch.full_like(state[key], float("nan"))}, tmp_path / "nan.pth")
    with pytest.raises(UserError, match=r"weights of 'nan.pth' are not all numbers"):
        import_weights(tmp_path / "nan.pth", tmp_path / "out")
    two = {"a": dict(state), "b": dict(state)}
    torch.save(two, tmp_path / "two.pth")
    with pytest.raises(UserError, match="not a table of weights"):
        read_tensors(tmp_path / "two.pth")
