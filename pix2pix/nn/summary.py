"""Summarise a pair of networks: layer tables, totals, receptive fields.

Networks run once on the meta device, which has shapes and no numbers, so a summary of the largest
costs no memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized
from torch.overrides import TorchFunctionMode

from pix2pix.config import TrainConfig
from pix2pix.model_config import GeneratorConfig
from pix2pix.nn.discriminators import CHANNELS, receptive_fields
from pix2pix.nn.generators import construct_generator
from pix2pix.nn.layers import parameter_count
from pix2pix.nn.training_memory import meta_networks, training_memory

Shape = tuple[int, ...]  # channels, height, width


@dataclass(frozen=True)
class Row:
    """One operation in the order of execution; ``name`` is empty for one without parameters that
    the network calls as a function."""

    name: str
    operation: str
    input: Shape
    output: Shape
    parameters: int = 0


@dataclass(frozen=True)
class NetworkSummary:
    """The operations of a network, its trainable parameters, and batch norm's running means and
    variances, which Keras counts as non-trainable parameters."""

    rows: list[Row]
    parameters: int
    statistics: int


@dataclass(frozen=True)
class Summary:
    """Both networks of a configuration."""

    config: TrainConfig
    generator: NetworkSummary
    discriminator: NetworkSummary
    fields: list[int]  # as `receptive_fields` returns them; none of frozen features

    def to_json(self) -> dict[str, dict]:
        """Return the figures as JSON: `parameters` are the trainable ones."""
        return {
            "generator": {"parameters": self.generator.parameters},
            "discriminator": {
                "parameters": self.discriminator.parameters,
                "receptive_field": self.fields[-1] if self.fields else None,
                "output": list(self.discriminator.rows[-1].output[1:]),
            },
        }


def summarise(config: TrainConfig) -> Summary:
    """Summarise both networks of ``config``, run on the meta device. Raises UserError for a
    wrong size."""
    generator, discriminator, source, target = meta_networks(config)
    judged: torch.Tensor | list[torch.Tensor] = target
    if projected := config.discriminator == "projected":
        sides = (config.size // scale for scale in (4, 8, 16, 32))
        with torch.device("meta"):
            judged = [torch.empty(1, width, side, side) for width, side in zip(CHANNELS, sides)]
    fields = [] if projected else receptive_fields(discriminator)
    networks = (
        summarise_network(generator, source),
        summarise_network(discriminator, source, judged),
    )
    return Summary(config, *networks, fields)


def summarise_network(network: nn.Module, *inputs: Any) -> NetworkSummary:
    """Summarise a network by one forward of `inputs` in ``eval()`` mode."""
    rows = trace_layers(network.eval(), *inputs)
    statistics = sum(b.numel() for name, b in network.named_buffers() if "running_" in name)
    return NetworkSummary(rows, parameter_count(network), statistics)


def multiply_adds(config: GeneratorConfig) -> int:
    """Count multiply-adds of a generator's convolutions, for one picture of its own size."""
    with torch.device("meta"):
        shape = 1, config.source_channels, config.size, config.size
        rows = trace_layers(construct_generator(config).eval(), torch.empty(shape))
    # A kernel is laid on every pixel of what it makes, or of what it enlarges: the smaller of both.
    convolutions = filter(is_convolution, rows)
    return sum(row.parameters * min(map(pixels, (row.input, row.output))) for row in convolutions)


def pixels(shape: Shape) -> int:
    """Count the places of a shape C x H x W."""
    return shape[1] * shape[2]


class FunctionTracer(TorchFunctionMode):
    """Notes the operations that a network calls itself, outside of its layers."""

    # Python's name of the function -> what the table calls it.
    SHOWN = {  # noqa: RUF012
        "cat": "Concatenate", "leaky_relu": "Leaky ReLU", "relu": "ReLU", "tanh": "Tanh",
        "max_pool2d": "Max pool 2x2", "add": "Add",
    }  # fmt: skip

    def __init__(self, rows: list[Row], inside: list[str]) -> None:
        self.rows, self.inside = rows, inside

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        operation = self.SHOWN.get(getattr(func, "__name__", "").strip("_"))
        if operation and not self.inside:
            read = args[0][0] if isinstance(args[0], (list, tuple)) else args[0]
            self.rows.append(Row("", operation, tuple(read.shape[1:]), tuple(result.shape[1:])))
        return result


def trace_layers(network: nn.Module, *inputs: torch.Tensor) -> list[Row]:
    """Record every operation of one forward of `inputs`, N x C x H x W, in order."""
    rows: list[Row] = []
    inside: list[str] = []  # the layer that runs: what it calls is not listed beside it

    def enter(name: str) -> Callable:
        return lambda layer, args: inside.append(name)

    def leave(name: str) -> Callable:
        def note(layer: nn.Module, args: tuple, output: torch.Tensor) -> None:
            inside.pop()
            shapes = tuple(args[0].shape[1:]), tuple(output.shape[1:])
            rows.append(Row(name, describe_layer(layer), *shapes, parameter_count(layer)))

        return note

    hooks = []
    for name, layer in network.named_modules():
        if is_parametrized(layer) or not (list(layer.children()) or ".parametrizations." in name):
            hooks.append(layer.register_forward_pre_hook(enter(name)))
            hooks.append(layer.register_forward_hook(leave(name)))
    with torch.no_grad(), FunctionTracer(rows, inside):
        network(*inputs)
    for hook in hooks:
        hook.remove()
    return rows


def describe_layer(layer: nn.Module) -> str:
    """Describe a layer in a few words."""
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        kind = "Conv" if isinstance(layer, nn.Conv2d) else "Transposed conv"
        stride = "" if layer.stride[0] == 1 else f", stride {layer.stride[0]}"
        return f"{kind} {layer.kernel_size[0]}x{layer.kernel_size[1]}{stride}"
    names = {
        nn.BatchNorm2d: "Batch norm", nn.InstanceNorm2d: "Instance norm", nn.ReLU: "ReLU",
        nn.Tanh: "Tanh", nn.Upsample: "Enlarge 2x", nn.ZeroPad2d: "Zero pad",
        nn.ReflectionPad2d: "Reflection pad",
    }  # fmt: skip
    if isinstance(layer, nn.LeakyReLU):
        return f"Leaky ReLU {layer.negative_slope}"
    if type(layer) is nn.Dropout:
        return f"Dropout {layer.p}"
    return names.get(type(layer), type(layer).__name__)


def is_convolution(row: Row) -> bool:
    """Return whether the row is a convolution, which has most of the multiply-adds."""
    return row.operation.startswith(("Conv ", "Transposed conv "))


def format_summary(summary: Summary) -> str:
    """Format the tables for a terminal."""
    config = summary.config
    size = config.size
    parts = [
        *network_table("Generator", config.generator, summary.generator),
        *network_table("Discriminator", config.discriminator, summary.discriminator),
    ]
    height, width = summary.discriminator.rows[-1].output[1:]
    parts += [
        "Each output judges what a frozen network sees around it, at four scales."
        if not summary.fields
        else f"Receptive field: each of the {height} x {width} outputs judges a patch of "
        f"{summary.fields[-1]} x {summary.fields[-1]} pixels of {size} x {size}.",
        "",
    ]
    mib = training_memory(config) / 2**20
    parts += [f"Training takes about {mib:,.0f} MiB of memory, and the pairs that are kept.", ""]
    if not summary.fields:
        return "\n".join(parts)
    rows = [("Layer", "Operation", "Its input", "One output sees of it")]
    convolutions = filter(is_convolution, reversed(summary.discriminator.rows))
    for row, field in zip(convolutions, summary.fields):
        rows.append((row.name, row.operation, f"{row.input[1]} x {row.input[2]}",
                     f"{field} x {field}"))  # fmt: skip
    return "\n".join([*parts, *align_columns(rows)])


def network_table(title: str, kind: str, network: NetworkSummary) -> list[str]:
    """Format one network: a title, a line for each operation, and the totals as Keras has them."""
    cells = [("Layer", "Operation", "Output", "Parameters")]
    for row in network.rows:
        shape = " x ".join(map(str, row.output))
        cells.append((row.name, row.operation, shape, f"{row.parameters:,}"))
    return [
        f"{title}: {kind}",
        "",
        *align_columns(cells, right={3}),
        "",
        f"Trainable parameters: {network.parameters:,}",
        f"Running statistics: {network.statistics:,}",
        f"Total: {network.parameters + network.statistics:,}",
        "",
    ]


def align_columns(
    rows: list[tuple[str, ...]], right: frozenset[int] | set[int] = frozenset()
) -> list:
    """Align the cells of lines, the first underlined; columns in ``right`` end flush."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = (c.rjust(w) if i in right else c.ljust(w)
                 for i, (c, w) in enumerate(zip(row, widths)))  # fmt: skip
        lines.append("  ".join(cells).rstrip())
    return [lines[0], "  ".join("-" * w for w in widths), *lines[1:]]
