"""Build a generator's ONNX graph by its config alone: nodes whose weights are places in
``model.safetensors``.

One input ``source``, N x C x H x W, and one output ``generated``, N x C' x H x W, float32 from -1
to 1; H and W are multiples of ``GeneratorConfig.multiple``; and of a model with a tint a second
input ``tint``, 1 x 3 x 1 x 1, which is left out as 0. Each picture is normalised by its own
statistics unless the config says "stored"; dropout is off. Weights stored as float16 are cast to
float32, and resize convolutions computed as one transposed convolution, as by
`pix2pix.nn.layers.ResizeConv`: from constants, so a runtime does both once, on loading.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from pix2pix.errors import UserError
from pix2pix.model_config import GeneratorConfig, ModelConfig
from pix2pix.models.weights import StoredTensor, read_layout
from pix2pix.nn.extra_inputs import SLIGHT, WIDEST_LINE
from pix2pix.nn.generators import LIVELY
from pix2pix.nn.layers import ENLARGED

OPSET, IR_VERSION = 17, 8  # of 2022: ONNX Runtime on servers and in browsers knows every operator
DTYPES = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}
EPSILON = 1e-5  # of PyTorch's norms


def build_graph(config: ModelConfig, weights: Path) -> onnx.ModelProto:
    """Build the graph of a model over its weights file, which is to lie in the graph's folder.

    The same config and places give the same bytes. Raises UserError for weights that lack a tensor.
    """
    layout, digest = read_layout(weights)
    graph = _Graph(layout, weights.name, config.norm_mode == "stored", config.generator.norm)
    network = {"unet": _unet, "small-unet": _small_unet, "resnet": _resnet}[config.generator.kind]
    try:
        network(graph, config.generator)
    except KeyError as error:
        raise UserError(
            f"{weights.parent.name}/{weights.name} lacks {error} as float16 or float32: save the "
            "model anew."
        ) from error
    sides = ("batch", config.generator.source_channels, "height", "width")
    inputs = [helper.make_tensor_value_info("source", TensorProto.FLOAT, sides)]
    if config.generator.tint:
        inputs.append(helper.make_tensor_value_info("tint", TensorProto.FLOAT, (1, 3, 1, 1)))
    sides = ("batch", config.generator.target_channels, "height", "width")
    generated = helper.make_tensor_value_info("generated", TensorProto.FLOAT, sides)
    model = helper.make_model(
        helper.make_graph(graph.nodes, "generator", inputs, [generated], graph.initialisers),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="Pix2Pix Studio",
    )
    facts = {
        "weights": digest,
        "size": config.generator.size,
        "multiple": config.generator.multiple,
    }
    helper.set_model_props(model, {name: str(value) for name, value in facts.items()})
    return model


class _Graph:
    """Nodes in the order in which they run, named by what they make."""

    def __init__(
        self, layout: dict[str, StoredTensor], file: str, stored_statistics: bool, norm: str
    ) -> None:
        self.layout, self.file = layout, file
        self.stored_statistics, self.norm_kind = stored_statistics, norm
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[TensorProto] = []
        self._made: set[str] = set()

    def op(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        out = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=out, **attributes))
        return out

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        """Keep a small array in the graph itself."""
        if name not in self._made:
            self._made.add(name)
            array = np.asarray(values, dtype)
            self.initialisers.append(onnx.numpy_helper.from_array(array, name))
        return name

    def weight(self, name: str) -> str:
        """Return a stored tensor, in float32."""
        tensor = self.layout[name]
        if tensor.dtype not in DTYPES:
            raise KeyError(name)
        if name not in self._made:
            self._made.add(name)
            place = TensorProto(name=name, data_type=DTYPES[tensor.dtype], dims=tensor.shape)
            place.data_location = TensorProto.EXTERNAL
            facts = {"location": self.file, "offset": tensor.offset, "length": tensor.length}
            for key, value in facts.items():
                place.external_data.add(key=key, value=str(value))
            self.initialisers.append(place)
            if tensor.dtype == "F16":
                self.op("Cast", name, out=f"{name}:float", to=TensorProto.FLOAT)
        return f"{name}:float" if tensor.dtype == "F16" else name

    def bias(self, name: str) -> list[str]:
        return [self.weight(f"{name}.bias")] if f"{name}.bias" in self.layout else []

    def conv(self, x: str, name: str, stride: int = 1, padding: int = 0, **attributes: Any) -> str:
        """Convolve by the layer's stored kernel."""
        weight, kind = f"{name}.weight", attributes.pop("kind", "Conv")
        return self.op(
            kind, x, self.weight(weight), *self.bias(name), strides=[stride] * 2,
            pads=[padding] * 4, kernel_shape=self.layout[weight].shape[2:], **attributes,
        )  # fmt: skip

    def up_conv(self, x: str, name: str, stride: int, padding: int = 0, **attributes: Any) -> str:
        return self.conv(x, name, stride, padding, kind="ConvTranspose", **attributes)

    def resize_conv(self, x: str, name: str) -> str:
        """Enlarge by nearest to twice the size and convolve by 3x3, in one."""
        out, channels = self.layout[f"{name}.weight"].shape[:2]
        rows = self.constant("3x3 rows", [-1, 9], np.int64)
        square = self.constant(f"4x4 of {out}x{channels}", [out, channels, 4, 4], np.int64)
        enlarged = self.constant("enlarged", np.kron(ENLARGED, ENLARGED).T)  # w to M w M^T
        kernels = self.op(
            "MatMul", self.op("Reshape", self.weight(f"{name}.weight"), rows), enlarged
        )
        kernels = self.op("Transpose", self.op("Reshape", kernels, square), perm=[1, 0, 2, 3])
        return self.op(
            "ConvTranspose", x, kernels, *self.bias(name), strides=[2, 2], pads=[1] * 4,
            kernel_shape=[4, 4],
        )  # fmt: skip

    def norm(self, x: str, name: str, channels: int) -> str:
        if self.norm_kind == "none":
            return x
        if self.norm_kind == "instance":
            ones, zeros = np.ones(channels), np.zeros(channels)
            scale, shift = (
                self.constant(f"{kind} {channels}", values)
                for kind, values in (("ones", ones), ("zeros", zeros))
            )
            return self.op("InstanceNormalization", x, scale, shift, epsilon=EPSILON)
        affine = [self.weight(f"{name}.{field}") for field in ("weight", "bias")]
        if not self.stored_statistics:
            return self.op("InstanceNormalization", x, *affine, epsilon=EPSILON)
        statistics = [self.weight(f"{name}.{field}") for field in ("running_mean", "running_var")]
        return self.op("BatchNormalization", x, *affine, *statistics, epsilon=EPSILON)

    def channels(self, x: str, start: int, end: int) -> str:
        bounds = [self.constant(f"channel {i}", [i], np.int64) for i in (start, end, 1)]
        return self.op("Slice", x, *bounds)

    def reflect(self, x: str, padding: int) -> str:
        pads = self.constant(f"pads {padding}", [0, 0, padding, padding] * 2, np.int64)
        return self.op("Pad", x, pads, mode="reflect")


def _unet(graph: _Graph, config: GeneratorConfig) -> None:
    depth = config.halvings
    widths = [config.ngf * min(2**i, config.widest) for i in range(depth)]
    resize = config.upsample == "resize"

    def enlarge(x: str, name: str) -> str:
        return graph.resize_conv(x, f"{name}.1") if resize else graph.up_conv(x, name, 2, 1)

    x = "source"
    start = "source" if config.residual else ""  # what the picture begins at
    if config.hints:
        start = _spread_colours(graph, config.size)
        x = graph.op("Concat", x, start, axis=1)
    if config.noise:
        x = _add_noise(graph, x)
    if config.tint:
        plane = graph.op("Mul", graph.channels(x, 0, 1), graph.constant("no tint", 0.0))
        x = graph.op("Concat", x, graph.op("Add", plane, "tint"), axis=1)
    skips = []
    for i, width in enumerate(widths):
        x = graph.conv(graph.op("LeakyRelu", x, alpha=0.2) if i else x, f"down.{i}.0", 2, 1)
        if i not in (0, depth - 1):
            x = graph.norm(x, f"down.{i}.1", width)
        skips.append(x)
    skips.pop()
    for i, width in enumerate(reversed(widths[:-1])):
        x = graph.norm(enlarge(graph.op("Relu", x), f"up.{i}.0"), f"up.{i}.1", width)
        x = graph.op("Concat", x, skips.pop(), axis=1)
    x = enlarge(graph.op("Relu", x), "out")
    if start:
        start = graph.op("Atanh", graph.op("Mul", start, graph.constant("lively", LIVELY)))
        if config.gate:
            x, share = graph.channels(x, 0, 3), graph.channels(x, 3, 4)
            start = graph.op("Mul", share, start)
        x = graph.op("Add", x, start)
    graph.op("Tanh", x, out="generated")


def _add_noise(graph: _Graph, x: str) -> str:
    """`pix2pix.nn.extra_inputs.AddNoise`: its square, as often as it takes, cut to the size."""
    square = graph.weight("noise.square")
    shape, one = graph.op("Shape", x), graph.constant("one", 1, np.int64)
    side = graph.constant("side", graph.layout["noise.square"].shape[-1], np.int64)
    zero, two, four = (graph.constant(f"axis {i}", [i], np.int64) for i in (0, 2, 4))
    batch = graph.op("Slice", shape, zero, graph.constant("axis 1", [1], np.int64))
    sides = graph.op("Slice", shape, two, four)
    times = graph.op("Add", graph.op("Div", graph.op("Sub", sides, one), side), one)
    times = graph.op("Concat", batch, graph.constant("a channel", [1], np.int64), times, axis=0)
    corner = graph.constant("corner", [0, 0], np.int64)
    axes = graph.constant("height and width", [2, 3], np.int64)
    noise = graph.op("Slice", graph.op("Tile", square, times), corner, sides, axes)
    return graph.op("Concat", x, noise, axis=1)


def _spread_colours(graph: _Graph, size: int) -> str:
    """`pix2pix.nn.extra_inputs.SpreadColours`, the same step by step."""
    reach = max(1, round(WIDEST_LINE * size / 2))

    def largest(x: str, reach: int) -> str:  # of a window: of its rows, then of its columns
        side = 2 * reach + 1
        x = graph.op("MaxPool", x, kernel_shape=[1, side], pads=[0, reach, 0, reach])
        return graph.op("MaxPool", x, kernel_shape=[side, 1], pads=[reach, 0, reach, 0])

    def smallest(x: str, reach: int) -> str:
        return graph.op("Neg", largest(graph.op("Neg", x), reach))

    slight, two = graph.constant("slight", SLIGHT), graph.constant("two", 2.0)
    strokes = smallest(largest("source", reach), reach)
    darkest = graph.op("Mul", graph.op("ReduceMin", strokes, axes=[1]), two)
    weight = graph.op("Sub", graph.constant("paper", 1.8), darkest)
    bounds = graph.constant("none", 0.0), graph.constant("all", 1.0)
    weight = smallest(graph.op("Clip", weight, *bounds), 1)
    layers = [graph.op("Concat", graph.op("Mul", strokes, weight), weight, axis=1)]
    for _ in range(int(math.log2(size))):
        # Of an odd side the last window is half outside, and its mean that of the rest.
        pool = {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]}
        layers.append(graph.op("AveragePool", layers[-1], count_include_pad=0, **pool))
    spread = ""
    for layer in reversed(layers):
        colours, weight = graph.channels(layer, 0, 3), graph.channels(layer, 3, 4)
        if spread:
            sizes = graph.op("Shape", colours)
            spread = graph.op("Resize", spread, "", "", sizes, mode="linear")
            spread = graph.op("Mul", spread, slight)
        # The coarsest begins with white paper: 1 everywhere.
        numerator = graph.op("Add", colours, spread or slight)
        spread = graph.op("Div", numerator, graph.op("Add", weight, slight))
    return spread


def _small_unet(graph: _Graph, config: GeneratorConfig) -> None:
    x, skips = "source", []
    for i in range(4):
        x = graph.op("Relu", graph.conv(x, f"down.{i}", padding=1))
        skips.append(x)
        x = graph.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    for i in (0, 3):
        x = graph.op("Relu", graph.conv(x, f"bottleneck.{i}", padding=1))
    for i in range(4):
        x = graph.op("Concat", graph.up_conv(x, f"up.{i}", 2), skips.pop(), axis=1)
        x = graph.op("Relu", graph.conv(x, f"merge.{i}", padding=1))
    graph.op("Tanh", graph.conv(x, "out"), out="generated")


def _resnet(graph: _Graph, config: GeneratorConfig) -> None:
    n, number = config.ngf, 0  # of the layer in its nn.Sequential
    norm = int(config.norm != "none")

    def step(x: str, channels: int, up: bool = False, **attributes: Any) -> str:
        nonlocal number
        layer = (graph.up_conv if up else graph.conv)(x, f"layers.{number}", **attributes)
        x = graph.norm(layer, f"layers.{number + 1}", channels)
        number += 2 + norm
        return graph.op("Relu", x)

    number += 1
    x = step(graph.reflect("source", 3), n)
    for width in (2 * n, 4 * n):
        x = step(x, width, stride=2, padding=1)
    for _ in range(config.blocks):
        inside, first = x, f"layers.{number}.layers.1"
        second = f"layers.{number}.layers.{4 + norm + (config.dropout != 'none')}"
        for name in (first, second):
            inside = graph.conv(graph.reflect(inside, 1), name)
            after = f"{name.rpartition('.')[0]}.{int(name.rpartition('.')[2]) + 1}"
            inside = graph.norm(inside, after, 4 * n)
            inside = graph.op("Relu", inside) if name == first else inside
        x = graph.op("Add", x, inside)
        number += 1
    for width in (2 * n, n):
        x = step(x, width, up=True, stride=2, padding=1, output_padding=[1, 1])
    number += 1
    x = graph.conv(graph.reflect(x, 3), f"layers.{number}")
    graph.op("Tanh", x, out="generated")
