"""Layer tables, totals, receptive fields and the picture of the networks."""

from __future__ import annotations

import json
import runpy
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pix2pix.config import train_config
from pix2pix.errors import UserError
from pix2pix.model_config import GeneratorConfig
from pix2pix.nn import summary as summary_module
from pix2pix.nn.diagram import draw_networks, network_blocks, one_head
from pix2pix.nn.discriminators import build_discriminator
from pix2pix.nn.generators import build_generator, construct_generator
from pix2pix.nn.imagenet import LITE0, imagenet_network
from pix2pix.nn.layers import parameter_count
from pix2pix.nn.summary import format_summary, multiply_adds, summarise
from pix2pix.nn.training_memory import saved_activations, training_memory
from pix2pix.presets import PRESETS
from pix2pix.ui.limits import PUBLIC_LIMITS
from tests.support.fork_server import ForkServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "change", [{}, {"kind": "resnet"}, {"kind": "small-unet"}, {"upsample": "resize"}]
)
def test_multiply_adds_are_what_pytorch_counts(change: dict) -> None:
    config = GeneratorConfig(size=64, ngf=16, **change)
    with torch.device("meta"), FlopCounterMode(display=False) as counted:
        construct_generator(config).eval()(torch.empty(1, 3, 64, 64))
    assert multiply_adds(config) == pytest.approx(counted.get_total_flops() / 2, rel=0.01)


def test_a_public_server_takes_the_models_that_people_train() -> None:
    taken = [GeneratorConfig(size=1024), GeneratorConfig(size=1024, upsample="resize")]
    taken += [GeneratorConfig(kind="resnet", size=512)]
    refused = GeneratorConfig(kind="resnet", size=1024, blocks=64)  # 75 s on two cores
    assert max(map(multiply_adds, taken)) < PUBLIC_LIMITS.work < multiply_adds(refused)


@pytest.mark.parametrize(
    ("preset", "generator", "discriminator", "field", "output"),
    [
        ("maps", 54_419_459, 2_768_705, 70, [30, 30]),
        ("face-sketch", 54_419_459, 2_768_705, 70, [30, 30]),
        ("scratch", 54_419_459, 6_965_441, 142, [16, 16]),
        ("cityscapes", 1_393_315, 2_765_249, 62, [30, 30]),
        # One source channel: 2 x 64 filters of 4 x 4 fewer in both.
        ("colorize", 54_419_459 - 2 * 64 * 16, 2_768_705 - 2 * 64 * 16, 70, [30, 30]),
    ],
)
def test_totals(preset: str, generator: int, discriminator: int, field: int, output: list) -> None:
    summary = summarise(train_config(preset))
    assert summary.to_json() == {
        "generator": {"parameters": generator},
        "discriminator": {
            "parameters": discriminator, "receptive_field": field, "output": output
        },
    }  # fmt: skip
    assert sum(row.parameters for row in summary.generator.rows) == generator
    assert sum(row.parameters for row in summary.discriminator.rows) == discriminator


def test_statistics_are_counted_as_keras_counts_them() -> None:
    summary = summarise(train_config("scratch"))
    assert summary.generator.parameters + summary.generator.statistics == 54_429_315
    assert summary.discriminator.parameters + summary.discriminator.statistics == 6_968_257
    assert "Total: 54,429,315" in format_summary(summary)


def test_every_operation_is_listed_in_order() -> None:
    rows = summarise(train_config("maps", {"size": "64"})).generator.rows
    assert [row.operation for row in rows[:5]] == [
        "Conv 4x4, stride 2", "Leaky ReLU", "Conv 4x4, stride 2", "Batch norm", "Leaky ReLU"
    ]  # fmt: skip
    assert [row.operation for row in rows[-3:]] == ["ReLU", "Transposed conv 4x4, stride 2", "Tanh"]
    assert sum(row.operation == "Concatenate" for row in rows) == 5
    assert sum(row.operation == "Dropout 0.5" for row in rows) == 3
    for before, after in pairwise(rows):
        assert after.input == before.output
    small = summarise(train_config("cityscapes")).generator.rows
    assert sum(row.operation == "Max pool 2x2" for row in small) == 4
    resnet = summarise(train_config("maps", {"generator": "resnet"})).generator.rows
    assert sum(row.operation == "Add" for row in resnet) == 9


def test_the_receptive_field_table() -> None:
    table = format_summary(summarise(train_config("maps"))).split("One output sees of it")[1]
    lines = [line.split()[-3:] for line in table.splitlines()[2:]]
    assert [line[0] for line in lines] == ["4", "7", "16", "34", "70"]
    inputs = [line.split(" x ")[0].split()[-1] for line in table.splitlines()[2:]]
    assert inputs == ["31", "32", "64", "128", "256"]


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [64, 1024])
def test_every_preset_at_every_size_is_drawn(preset: str, size: int) -> None:
    summary = summarise(train_config(preset, {"size": str(size)}))
    drawn = draw_networks(summary)
    columns = max(
        len(network_blocks(summary.generator.rows)), len(network_blocks(one_head(summary)))
    )
    assert drawn.width >= 100 * columns
    assert len(drawn.getcolors(1 << 20)) > 20


@pytest.mark.parametrize("override", [{"generator": "resnet"}, {"upsample": "resize"}])
def test_other_generators_are_drawn(override: dict) -> None:
    summary = summarise(train_config("maps", override))
    found = network_blocks(summary.generator.rows)
    if "upsample" in override:
        assert sum(block.skip_from is not None for block in found) == 7
    else:
        assert [b.parts[0][1] for b in found].count("residual") == 1
    assert draw_networks(summary).height > 400


def test_skips_join_blocks_of_one_size() -> None:
    found = network_blocks(summarise(train_config("maps")).generator.rows)
    joined = [block for block in found if block.skip_from]
    assert [block.size for block in joined] == [2, 4, 8, 16, 32, 64, 128]
    assert all(b.skip_from.size == b.size for b in joined)
    assert [b.size for b in found if "dropout" in dict(map(reversed, b.parts))] == [2, 4, 8]


def test_a_discriminator_too_deep_for_the_size_is_refused() -> None:
    with pytest.raises(UserError, match="6 layers"):
        summarise(train_config("maps", {"size": "64", "layers": "6"}))


def test_the_command(tmp_path: Path, forks: ForkServer) -> None:
    image = tmp_path / "networks.png"
    command = [sys.executable, ROOT / "scripts" / "summary.py", "--preset", "maps"]
    done = forks.run([*command, "--size", "1024", "--image", image])
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["discriminator"]["output"] == [126, 126]
    assert Image.open(image).format == "PNG"


def test_nothing_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    real, devices = summary_module.trace_layers, set()

    def watched(network: nn.Module, *inputs: torch.Tensor) -> list:
        devices.update(tensor.device.type for tensor in [*inputs, *network.state_dict().values()])
        return real(network, *inputs)

    monkeypatch.setattr(summary_module, "trace_layers", watched)
    summarise(train_config("maps", {"size": "1024", "ngf": "256"}))  # 4 GB in weights alone
    assert devices == {"meta"}


def test_wrong_arguments_exit_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").touch()
    script = runpy.run_path(str(ROOT / "scripts" / "summary.py"))
    for words, says in (
        (["--set", "ngf=many"], "ngf must be a whole number, not 'many'.\n"),
        (["--size", "100"], "Size must be 64, 128, 256, 512 or 1024, not 100.\n"),
        (["--image", str(tmp_path / "file" / "x.png")], "could not be saved"),
    ):
        monkeypatch.setattr(sys, "argv", ["summary.py", *words])
        assert script["main"]() == 1
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("preset", ["maps", "cityscapes", "recommended"])
def test_what_is_kept_for_the_gradients_is_what_pytorch_keeps(preset: str) -> None:
    """On the meta device nearly as with real tensors, whose layers take other ways."""
    config = replace(
        train_config(preset), size=64, ngf=4, ndf=4, batch_size=2, gradient_accumulation_steps=2
    )
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    generator = build_generator(config.generator_config())
    judge = build_discriminator(config.discriminator_config())
    networks = generator, judge
    source, target = torch.zeros(2, 2, 3, 64, 64)
    see = imagenet_network(LITE0) if preset == "recommended" else None
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        x = generator(source)
        if see:
            maps = see(x)
            (logits, *_), _ = judge(source, maps, maps)
        else:
            logits = judge(source, target, x)
    for network in (*networks, *([see] if see else [])):
        for parameter in network.parameters():
            kept.pop(parameter.untyped_storage().data_ptr(), None)
    assert logits[0].requires_grad
    expected = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    *weights, found = saved_activations(config)
    assert weights == [4 * parameter_count(network) for network in networks]
    assert found == pytest.approx(expected, rel=0.1)


def test_memory_grows_with_what_it_is_for() -> None:
    config = replace(train_config("recommended"), ema=0.0)
    plain = training_memory(config)
    assert 0.7 < plain / 2**30 < 1.2  # 722 MiB were measured, program included
    for change in ({"ema": 0.99}, {"batch_size": 2}, {"ngf": 64}, {"size": 512}):
        assert training_memory(replace(config, **change)) > plain
    parts = replace(config, batch_size=1, gradient_accumulation_steps=8)
    assert training_memory(parts) == plain
    for channels in (1, 4):
        of_others = replace(config, source_channels=3, target_channels=channels)
        assert training_memory(of_others) == pytest.approx(plain, rel=0.1)
    assert training_memory(config, 100, 2**40) - plain == 100 * 6 * 286**2
    assert training_memory(config, 10**9, 2**30) - plain == 2**28, "no more are kept than fit"
