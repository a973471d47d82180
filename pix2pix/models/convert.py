"""Convert generators of the PyTorch pix2pix reference (``latest_net_G.pth``) to models of our
own.

The reference (github.com/junyanz/pytorch-CycleGAN-and-pix2pix, models/networks.py) nests its
U-Net: each block's ``model`` is a Sequential that holds the next block. What a file holds is read
off its tensors alone: architecture, size, channels, filters, norm and biases.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from pix2pix.errors import UserError
from pix2pix.model_config import Direction, GeneratorConfig, ModelConfig, NormMode
from pix2pix.models.card import converted_model_card
from pix2pix.models.folder import check_finite
from pix2pix.models.saving import save_model
from pix2pix.nn.generators import construct_generator
from pix2pix.nn.layers import parameter_count

# A convolution's and its norm's name; "" where no norm follows.
Layer = tuple[str, str]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
# Names of the generator's weights in a checkpoint that holds more, the likeliest first.
TABLES = ("netG", "G", "generator", "G_state_dict", "netG_state_dict", "generator_state_dict",
    "state_dict", "model_state_dict", "model", "params", "weights")  # fmt: skip
WRAPPERS = {"module", "_orig_mod", "netG", "G", "generator"}
CHANNEL_AXES = (1, 3, 4)  # those that pictures have


def import_weights(
    file: Path,
    out: Path,
    *,
    direction: Direction = "AtoB",
    source_name: str = "source",
    target_name: str = "target",
    norm_mode: NormMode = "batch",
) -> ModelConfig:
    """Write the generator of ``file`` as the model folder ``out``; returns its config.

    ``norm_mode`` "batch" is what the reference's test.py does unless told ``--eval``. Raises
    UserError for a file that is not such a generator, and for a folder that holds anything.
    """
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"'{out.name}' holds files already: name a new folder for the model.")
    generator, model_config = convert_tensors(read_tensors(file), file.name)
    config = ModelConfig(
        generator=model_config,
        title=out.name,
        source_name=source_name,
        target_name=target_name,
        direction=direction,
        norm_mode=norm_mode,
        training={"imported_from": file.name},
    )
    card = converted_model_card(config, parameter_count(generator))
    save_model(out, generator, config, card, half=False)
    return config


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read name -> tensor, without the ``module.`` of a data-parallel run and the ``_orig_mod.`` of
    a compiled one; no pickled code ever runs. A checkpoint may hold the table of weights among
    other things, as ``{"state_dict": {...}, "epoch": 20}`` does.

    Raises UserError for anything but a file of named tensors, and for weights that are no numbers.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(256).lstrip()
    except OSError as error:
        raise UserError(f"'{file.name}' cannot be opened: give a .pth file.") from error
    if start.startswith(b"<"):
        raise UserError(f"'{file.name}' is a web page, not weights: download the file itself.")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or hostile pickle raises whatever it likes
        raise UserError(
            f"'{file.name}' is damaged or holds more than tensors, and code in a file is never "
            "run: take the weights anew from their source."
        ) from error
    try:
        table = find_table(state)
    except RecursionError:  # a file may hold itself
        table = None
    if table is None:
        raise UserError(f"'{file.name}' is not a table of weights: give a *_net_G.pth file.")
    tensors = {plain_name(name): value for name, value in table.items()}
    check_finite(tensors, file.name)
    return tensors


def find_table(state: object) -> dict[str, Tensor] | None:
    """Find the generator's table of weights in what a file holds: it all, or one of its entries,
    by the usual names first; None where there is none, or several that may be meant."""
    if not isinstance(state, dict):
        return None
    names = [name for name in state if isinstance(name, str)]
    if state and len(names) == len(state) and all(isinstance(v, Tensor) for v in state.values()):
        return state
    inner = {name: find_table(state[name]) for name in names if isinstance(state[name], dict)}
    found = {name: table for name, table in inner.items() if table}
    for name in TABLES:
        if name in found:
            return found[name]
    return next(iter(found.values())) if len(found) == 1 else None


def plain_name(name: str) -> str:
    """Take off what wrappers of a network put before a tensor's name, and a trainer's "netG."."""
    parts = name.split(".")
    while parts[0] in WRAPPERS and len(parts) > 1:
        del parts[0]
    return ".".join(part for part in parts if part != "_orig_mod")


def convert_tensors(tensors: dict[str, Tensor], name: str) -> tuple[nn.Module, GeneratorConfig]:
    """Build the generator, in ``eval()`` mode, from the reference's weights; returns its config
    too.

    ``name`` is the file's, for the sentence of the UserError that an unknown network raises.
    """
    config, layers = infer_config(tensors, name)
    with torch.device("meta"):
        generator = construct_generator(config)
    state = {}
    remaining = dict(tensors)
    half = len(layers) // 2
    for i, (source_layer, ours) in enumerate(zip(layers, own_layers(generator))):
        for key, value in take_layer(remaining, source_layer, ours, config.norm):
            # A decoder convolution reads skip and upsampled halves: they put the skip first, we
            # last. The first one, of the bottleneck alone, has no skip.
            swapped = config.kind == "unet" and i > half and value.ndim == 4
            state[key] = torch.cat(value.chunk(2)[::-1]) if swapped else value
    try:
        generator.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise unknown_layout_error(name) from error
    # Releases of PyTorch before 0.4 kept instance norm's running statistics, which nothing reads.
    statistics = STATISTICS if config.norm == "instance" else ()
    if any(key.rpartition(".")[2] not in statistics for key in remaining):
        raise unknown_layout_error(name)
    return generator.eval(), config


def take_layer(
    tensors: dict[str, Tensor], source: Layer, target: Layer, norm: str
) -> list[tuple[str, Tensor]]:
    """Take one layer's tensors out of ``tensors``: (our name, float32 value) of each."""
    fields = [(0, "weight"), (0, "bias")]
    if norm == "batch" and target[1]:
        fields += [(1, field) for field in ("weight", "bias", *STATISTICS)]
        tensors.setdefault(f"{source[1]}.num_batches_tracked", torch.tensor(0))  # PyTorch < 0.4.1
    taken = []
    for part, field in fields:
        value = tensors.pop(f"{source[part]}.{field}", None)
        if value is not None:
            value = value.float() if value.is_floating_point() else value
            taken.append((f"{target[part]}.{field}", value))
    return taken


def infer_config(tensors: dict[str, Tensor], name: str) -> tuple[GeneratorConfig, list[Layer]]:
    """Infer the config from the tensors' names and shapes, and the layers in the order in which
    they run. Raises UserError where they are no generator of the reference."""
    convolutions = [key for key, value in tensors.items() if value.ndim == 4]
    kind, dropout, layers = infer_layers(convolutions, name)
    ends = [f"{layers[i][0]}.weight" for i in (0, -1)]
    if not set(ends) <= set(convolutions):
        raise unknown_layout_error(name)
    first, last = (tensors[end] for end in ends)
    # A transposed convolution's weight is in x out, a convolution's out x in.
    source, target = first.shape[1], last.shape[1 if kind == "unet" else 0]
    if source not in CHANNEL_AXES or target not in CHANNEL_AXES:
        raise UserError(
            f"'{name}' turns {source} channels into {target}: only networks between pictures of "
            "1, 3 or 4 channels can be used."
        )
    # Batch norm has weights of its own, and makes the biases before it idle: the reference then
    # leaves them out. Instance norm has none, but biases, and in old files statistics.
    bias, follower = f"{layers[0][0]}.bias" in tensors, layers[1][1]
    if f"{follower}.weight" in tensors:
        norm = "batch"
    else:
        norm = "instance" if bias or f"{follower}.running_mean" in tensors else "none"
    config = GeneratorConfig(
        kind=kind,
        # Each halving of a U-Net is undone by another; the reference trains ResNets at 256.
        size=2 ** (len(layers) // 2) if kind == "unet" else 256,
        source_channels=source,
        target_channels=target,
        ngf=first.shape[0],
        norm=norm,
        dropout=dropout,
        bias=bias,
        blocks=(len(layers) - 6) // 2 if kind == "resnet" else 9,
    )
    return config, layers


def infer_layers(
    convolutions: list[str], name: str
) -> tuple[Literal["unet", "resnet"], Literal["after-innermost", "none"], list[Layer]]:
    """Infer (kind, dropout, layers) from the names of a generator's convolutions. Raises
    UserError."""
    if "model.model.0.weight" in convolutions:
        # Dropout is invisible in the tensors; the reference trains with it.
        return "unet", "after-innermost", unet_layers(len(convolutions) // 2)
    if {"model.1.weight", "model.10.conv_block.1.weight"} <= set(convolutions):
        dropout = "model.10.conv_block.6.weight" in convolutions
        layers = resnet_layers((len(convolutions) - 6) // 2, dropout)
        return "resnet", "after-innermost" if dropout else "none", layers
    if {"model.0.weight", "net.0.weight"} & set(convolutions):
        raise UserError(
            f"'{name}' holds a discriminator, which makes no pictures: give the *_net_G.pth beside "
            "it."
        )
    raise unknown_layout_error(name)


def unet_layers(depth: int) -> list[Layer]:
    """List the reference's names, encoder then decoder, of a U-Net that halves ``depth`` times.

    A block's Sequential is [conv, inner, relu, conv, tanh] outermost, [relu, conv, norm, inner,
    relu, conv, norm] in the middle and [relu, conv, relu, conv, norm] innermost.
    """
    down, up = [("model.model.0", "")], [("model.model.3", "")]
    block = "model.model.1"
    for _ in range(depth - 2):
        down.append((f"{block}.model.1", f"{block}.model.2"))
        up.append((f"{block}.model.5", f"{block}.model.6"))
        block += ".model.3"
    down.append((f"{block}.model.1", ""))
    up.append((f"{block}.model.3", f"{block}.model.4"))
    return down + up[::-1]


def resnet_layers(blocks: int, dropout: bool) -> list[Layer]:
    """List the reference's names of a ResNet: 3 convolutions, ``blocks`` of 2, then 3 more.

    A residual block is [pad, conv, norm, relu, (dropout), pad, conv, norm].
    """
    layers = [("model.1", "model.2"), ("model.4", "model.5"), ("model.7", "model.8")]
    second = 6 if dropout else 5
    for i in range(10, 10 + blocks):
        block = f"model.{i}.conv_block"
        layers.append((f"{block}.1", f"{block}.2"))
        layers.append((f"{block}.{second}", f"{block}.{second + 1}"))
    end = 10 + blocks
    layers += [(f"model.{i}", f"model.{i + 1}") for i in (end, end + 3)]
    return [*layers, (f"model.{end + 7}", "")]


def own_layers(generator: nn.Module) -> list[Layer]:
    """List our convolutions' names in the order in which they run, each with its batch norm."""
    layers: list[Layer] = []
    for name, layer in generator.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            layers.append((name, ""))
        elif isinstance(layer, nn.BatchNorm2d):
            layers[-1] = (layers[-1][0], name)
    return layers


def unknown_layout_error(name: str) -> UserError:
    """Make the error for weights of another network than the reference's."""
    return UserError(
        f"'{name}' is not a generator of the PyTorch pix2pix reference: give a *_net_G.pth of "
        "unet_128, unet_256, resnet_6blocks or resnet_9blocks."
    )
