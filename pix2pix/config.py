"""What can be chosen, and the presets: frozen dataclasses that read and write JSON. No torch."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from argparse import ArgumentTypeError
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pix2pix.errors import UserError

MODEL_FORMAT = 1
MAX_WORDS = 200  # characters of a title or a name
MAX_COLOURS = 256  # of a palette

Config = TypeVar("Config")
Norm = Literal["batch", "instance", "none"]
Direction = Literal["AtoB", "BtoA"]
# Which statistics normalise a picture at translate time: its own, or those kept from training.
NormMode = Literal["batch", "stored"]


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that fixes a generator's layers.

    ``dropout`` says where the 0.5 dropout of the U-Net sits: on the three innermost up-blocks
    (paper's code, Keras and TensorFlow ports) or on the three after the innermost (PyTorch
    reference). ``bias`` is that of every convolution but the last, which always has one.
    """

    kind: Literal["unet", "small-unet", "resnet"] = "unet"
    size: int = 256
    source_channels: int = 3
    target_channels: int = 3
    ngf: int = 64
    norm: Norm = "batch"
    dropout: Literal["innermost", "after-innermost", "none"] = "innermost"
    bias: bool = True
    upsample: Literal["transposed", "resize"] = "transposed"
    blocks: int = 9  # of the ResNet only
    depth: int = 0  # halvings of the U-Net; 0: to 1 x 1
    widest: int = 8  # times ngf: channels of the U-Net's deep layers
    hints: bool = False  # the U-Net sees the colours of wide strokes spread over the paper as well

    def __post_init__(self) -> None:
        check_types(self)
        if not (64 <= self.size <= 1024 and self.size & (self.size - 1) == 0):
            raise UserError(f"Size must be 64, 128, 256, 512 or 1024, not {self.size}.")
        for name in ("source_channels", "target_channels"):
            check_range(name, getattr(self, name), 1, 64)
        check_range("ngf", self.ngf, 1, 256)
        check_range("blocks", self.blocks, 1, 64)
        check_range("depth", self.depth, 0, int(math.log2(self.size)))
        check_range("widest", self.widest, 1, 8)
        if self.hints and (self.kind, self.source_channels) != ("unet", 3):
            raise UserError("Hints of colour need a U-Net with 3 source channels.")

    @property
    def halvings(self) -> int:
        """How often the U-Net halves the sides: to 1 x 1, unless `depth` says less."""
        return self.depth or int(math.log2(self.size))

    def at_size(self, size: int) -> GeneratorConfig:
        """Take the same weights to pictures of another size: a U-Net keeps its depth."""
        depth = self.halvings if self.kind == "unet" else self.depth
        return dataclasses.replace(self, size=size, depth=depth)

    @property
    def multiple(self) -> int:
        """Heights and widths that the network takes are multiples of this."""
        if self.kind == "unet":
            return 2**self.halvings
        return 16 if self.kind == "small-unet" else 4


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Everything that fixes a discriminator's layers.

    ``patch`` is the paper's PatchGAN: ``layers`` counts its strided convolutions (0 is the 1x1
    "pixel" one; 1, 2, 3, 4, 5 see 16, 34, 70, 142, 286 pixels). ``projected`` judges the features
    of a frozen network (Sauer et al. 2021). ``scratch`` and ``cityscapes`` are the two tutorials'
    own networks.
    """

    kind: Literal["patch", "scratch", "cityscapes", "projected"] = "patch"
    source_channels: int = 3
    target_channels: int = 3
    ndf: int = 64
    layers: int = 3
    norm: Norm = "batch"
    bias: bool = False  # of all convolutions but the first and the last, which always have one

    def __post_init__(self) -> None:
        check_types(self)
        check_range("ndf", self.ndf, 1, 256)
        check_range("layers", self.layers, 0, 6)


@dataclass(frozen=True)
class ModelConfig:
    """A model folder's ``config.json``: all that is needed to rebuild and run the generator."""

    generator: GeneratorConfig
    title: str = ""
    source_name: str = "source"
    target_name: str = "target"
    direction: Direction = "AtoB"
    norm_mode: NormMode = "batch"
    # What a person gives it: a drawing on the pad, a photo, or a label map painted with `palette`.
    source_kind: Literal["drawing", "photo", "labels"] = "photo"
    palette: list[dict[str, str]] = field(default_factory=list)  # [{"name", "color": "#rrggbb"}]
    # Pictures of other sizes: scaled as a whole (a face), or cut into tiles at their own scale
    # (a map).
    fit: Literal["whole", "tiles"] = "tiles"
    training: dict[str, object] = field(default_factory=dict)
    format_version: int = MODEL_FORMAT

    def __post_init__(self) -> None:
        check_types(self)
        if self.format_version > MODEL_FORMAT:
            raise UserError(
                f"The model has format {self.format_version} and this version reads up to "
                f"{MODEL_FORMAT}: update Pix2Pix Studio."
            )
        check_words(self, "title", "source_name", "target_name")
        check_palette(self.palette)

    @property
    def has_noise(self) -> bool:
        """Whether dropout gives the model a source of variation at translate time."""
        kind, dropout = self.generator.kind, self.generator.dropout
        return kind == "small-unet" or dropout != "none"

    @property
    def colours_grey(self) -> bool:
        """Whether its sources are its targets in grey (preset ``colorize``)."""
        return (self.training.get("derive") or self.training.get("preset")) in ("grey", "colorize")

    def to_json(self) -> dict[str, object]:
        """Return what ``config.json`` holds."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: object) -> ModelConfig:
        """Read what ``config.json`` holds.

        Raises UserError for anything but the fields above with values of their types.
        """
        data = checked_fields(cls, data)
        if "generator" not in data:
            raise UserError("config.json has no generator: it is not a Pix2Pix Studio model.")
        generator = checked_fields(GeneratorConfig, data["generator"])
        return cls(**{**data, "generator": GeneratorConfig(**generator)})


def _begin_with_preset(cls: type[Config]) -> type[Config]:
    """Let ``TrainConfig(preset="recommended")`` have that preset's values where none is given."""
    fill = cls.__init__

    @functools.wraps(fill)
    def init(self: Config, *args: object, **values: object) -> None:
        given = {**dict(zip(cls.__annotations__, args)), **values}
        fill(self, **({**_preset(given["preset"]), **given} if "preset" in given else given))

    setattr(cls, "__init__", init)  # noqa: B010  # so that type checkers go by the fields
    return cls


@_begin_with_preset
@dataclass(frozen=True)
class TrainConfig:
    """Every value of a run. The defaults are the paper's, at 256 pixels; with a ``preset`` what
    is not given is the preset's."""

    preset: str = "maps"
    # Networks. Channel counts of 0 follow the data.
    generator: Literal["unet", "small-unet", "resnet"] = "unet"
    size: int = 256
    source_channels: int = 0
    target_channels: int = 0
    ngf: int = 64
    norm: Norm = "batch"  # of both networks; the small U-Net has none
    dropout: Literal["innermost", "after-innermost", "none"] = "innermost"
    bias: bool = True
    upsample: Literal["transposed", "resize"] = "transposed"
    blocks: int = 9  # of the ResNet only
    depth: int = 0  # halvings of the U-Net; 0: to 1 x 1
    widest: int = 8  # times ngf: channels of the U-Net's deep layers
    hints: bool = False  # the U-Net sees wide strokes spread over the paper; on with colour_hints
    discriminator: Literal["patch", "scratch", "cityscapes", "projected"] = "patch"
    ndf: int = 64
    layers: int = 3
    # Losses (paper section 3.1): G = adversarial + lambda_l1 * L1; D's loss is weighted.
    adversarial: Literal["bce", "least-squares", "hinge"] = "bce"
    lambda_l1: float = 100.0
    lambda_perceptual: float = 0.0  # of what a frozen ImageNet network sees; 0 is off
    lambda_features: float = 0.0  # of D's inner activations on real and generated; 0 is off
    d_weight: float = 0.5
    # Optimiser and schedule.
    lr: float = 2e-4
    d_lr: float = 0.0  # D's own learning rate; 0: the same
    beta1: float = 0.5
    batch_size: int = 1
    accumulate: int = 1  # parts that a batch is computed in, one after the other, to save memory
    epochs: int = 200
    steps: int = 0  # 0: epochs decide
    steps_per_epoch: int = 0  # 0: an epoch sees every pair once
    decay: float = 0.5  # the last share of the run over which lr falls to 0; 0 is never
    schedule: Literal["linear", "cosine"] = "linear"  # how it falls
    ema: float = 0.0  # decay of the generator's moving average; 0 is off
    # Data (paper section 6.2: resize to 286, crop 256, mirror), A and B moved together.
    direction: Direction = "AtoB"
    derive: Literal["pairs", "grey"] = "pairs"  # grey: the source is the target in grey
    jitter: int = 30
    jitter_kind: Literal["crop", "shrink"] = "crop"
    mirror: bool = True
    warp: float = 0.0  # 0..1: random scale, place and bend of both pictures, instead of the crop
    colour_hints: float = (
        0.0  # share of the pairs whose source gets strokes of the target's colours
    )
    recolour: float = 0.0  # share of these whose target becomes one of other colours before
    diffaugment: bool = False  # change what D sees, for small sets (Zhao et al. 2020)
    # Names and use of the model that comes out.
    source_name: str = ""
    target_name: str = ""
    source_kind: Literal["drawing", "photo", "labels"] = "photo"
    # The run itself.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = False  # memory layout: faster on GPUs with bfloat16
    compile: bool = False  # by torch.compile, which needs a C++ compiler on the CPU
    seed: int = 0
    save_every_steps: int = 1000
    sample_every_steps: int = 500
    keep_every_epochs: int = 0  # a picture and a model after so many epochs too; 0: steps alone
    tensorboard: bool = False  # write its log files as well

    def __post_init__(self) -> None:
        check_types(self)
        check_words(self, "source_name", "target_name")
        check_range("batch_size", self.batch_size, 1, 4096)
        check_range("accumulate", self.accumulate, 1, self.batch_size)
        check_range("steps", self.steps, 0, 10**9)
        check_range("steps_per_epoch", self.steps_per_epoch, 0, 10**6)
        check_range("epochs", self.epochs, 1, 10**6)
        check_range("jitter", self.jitter, 0, self.size)
        check_range("layers", self.layers, 0, 6)
        check_range("save_every_steps", self.save_every_steps, 1, 10**9)
        check_range("sample_every_steps", self.sample_every_steps, 1, 10**9)
        check_range("keep_every_epochs", self.keep_every_epochs, 0, 10**6)
        for name, low, high in (
            ("lr", 0.0, 1.0),
            ("d_lr", 0.0, 1.0),
            ("beta1", 0.0, 0.9999),
            ("lambda_l1", 0.0, 1e6),
            ("lambda_perceptual", 0.0, 1e6),
            ("lambda_features", 0.0, 1e6),
            ("d_weight", 0.0, 1e3),
            ("decay", 0.0, 1.0),
            ("ema", 0.0, 0.99999),
            ("warp", 0.0, 1.0),
            ("colour_hints", 0.0, 1.0),
            ("recolour", 0.0, 1.0),
        ):
            check_range(name, getattr(self, name), low, high)
        for name in ("source_channels", "target_channels"):
            if getattr(self, name) not in (0, 1, 3, 4):
                raise UserError(f"{name} must be 1, 3 or 4, or 0 to follow the data.")
        self.check_hints()
        if self.schedule == "cosine" and not self.decay:
            raise UserError("schedule=cosine says how lr falls: add decay=0.5, or leave it out.")
        if self.d_lr and not self.lr:
            raise UserError("d_lr follows lr in its schedule: give lr a value above 0.")
        if self.discriminator == "projected" and self.lambda_features:
            raise UserError(
                "lambda_features compares what a PatchGAN sees: set it to 0, or choose "
                "lambda_perceptual with the projected discriminator."
            )
        # Two convolutions of stride 1 follow the strided ones, and each takes a pixel off.
        if self.discriminator == "patch" and self.layers and self.size >> self.layers < 3:
            raise UserError(
                f"{self.layers} layers of the discriminator leave nothing of {self.size} pixels: "
                "choose fewer layers or a larger size."
            )

    @property
    def sees_features(self) -> bool:
        """Whether training looks at pictures through a frozen ImageNet network."""
        return self.discriminator == "projected" or self.lambda_perceptual > 0

    def check_hints(self) -> None:
        """Raise UserError where there is nothing to lay strokes of colour on, or to colour anew."""
        if (self.hints or self.colour_hints) and self.generator != "unet":
            raise UserError("Hints of colour need the U-Net: set generator to unet.")
        if self.recolour and not self.colour_hints:
            raise UserError("recolour needs strokes that tell its colours: add colour_hints=0.8.")
        if not self.colour_hints:
            return
        if self.derive == "grey" or self.source_kind == "labels":
            raise UserError(
                "colour_hints are for drawings: leave it out for grey photos and labels."
            )
        for name in ("source_channels", "target_channels"):
            if getattr(self, name) not in (0, 3):
                raise UserError(f"colour_hints need colour: set {name} to 3, or leave it out.")

    @classmethod
    def from_preset(cls, preset: str, **changes: str | float | bool) -> TrainConfig:
        """Take a preset with some values changed: ``from_preset("recommended", epochs=20)``.

        Raises UserError for an unknown preset, an unknown name, a value that is out of range and
        one that the chosen networks do not have.
        """
        values = {**_preset(preset), **changes}
        for name in changes:
            _check_name(name)
        config = cls(**values)
        refuse_unused(config, changes)
        return config

    @classmethod
    def from_json(cls, values: object) -> TrainConfig:
        """Read the values of a run; what a run of an older version does not name was the paper's.

        Raises UserError for anything but the fields above with values of their types.
        """
        return cls(**{**dataclasses.asdict(cls()), **checked_fields(cls, values)})

    def length(self, whole: int) -> tuple[int, int]:
        """Count the steps of an epoch and of the run, where every pair once takes `whole` steps."""
        per_epoch = self.steps_per_epoch or whole
        return per_epoch, self.steps or self.epochs * per_epoch

    def generator_config(self) -> GeneratorConfig:
        """Return the layers of the generator; channels that follow the data are 3."""
        return GeneratorConfig(
            kind=self.generator,
            size=self.size,
            source_channels=self.source_channels or 3,
            target_channels=self.target_channels or 3,
            ngf=self.ngf,
            norm=self.norm,
            dropout=self.dropout,
            bias=self.bias,
            upsample=self.upsample,
            blocks=self.blocks,
            depth=self.depth,
            widest=self.widest,
            hints=self.hints or self.colour_hints > 0,
        )

    def discriminator_config(self) -> DiscriminatorConfig:
        """Return the layers of the discriminator; channels that follow the data are 3."""
        return DiscriminatorConfig(
            kind=self.discriminator,
            source_channels=self.source_channels or 3,
            target_channels=self.target_channels or 3,
            ndf=self.ndf,
            layers=self.layers,
            norm=self.norm,
            # The two tutorials' discriminators have biases everywhere, the PyTorch one has none.
            bias=self.discriminator != "patch",
        )


# What each preset changes; the rest is the paper's. `recommended` is `maps` with
# what helped at equal time (docs/benchmarks.md).
PRESETS: dict[str, dict[str, Any]] = {
    "recommended": {
        "ngf": 32,
        "ndf": 32,
        "upsample": "resize",
        "widest": 4,
        "discriminator": "projected",
        "adversarial": "hinge",
        "diffaugment": True,
        "lambda_l1": 10.0,
        "lambda_perceptual": 10.0,
        "ema": 0.998,
        "epochs": 100,
        "decay": 0.0,
        "keep_every_epochs": 10,
    },
    "maps": {"epochs": 100, "decay": 0.0, "keep_every_epochs": 10},
    "cityscapes": {
        "generator": "small-unet",
        "discriminator": "cityscapes",
        "direction": "BtoA",
        "source_kind": "labels",
        "lambda_l1": 10.0,
        "d_weight": 1.0,
        "beta1": 0.9,
        "batch_size": 32,
        "epochs": 150,
        "steps_per_epoch": 100,
        "decay": 0.0,
        "keep_every_epochs": 10,
        "jitter_kind": "shrink",
        "mirror": False,
    },
    "scratch": {"discriminator": "scratch", "epochs": 100, "decay": 0.0, "keep_every_epochs": 10},
    "colorize": {
        "source_channels": 1,
        "target_channels": 3,
        "derive": "grey",
        "epochs": 100,
        "decay": 0.0,
        "keep_every_epochs": 10,
        "source_name": "grey",
        "target_name": "colour",
    },
    "face-sketch": {
        "direction": "BtoA",
        "source_kind": "drawing",
        "source_name": "sketch",
        "target_name": "photo",
        "epochs": 100,
        "decay": 0.0,
    },
}

# Settings that networks of a kind are built without.
WITHOUT: dict[str, dict[str, tuple[str, ...]]] = {
    "generator": {
        "unet": ("blocks",),
        "small-unet": ("ngf", "dropout", "bias", "upsample", "blocks", "depth", "widest"),
        "resnet": ("upsample", "depth", "widest"),
    },
    "discriminator": {
        "scratch": ("layers",),
        "cityscapes": ("layers",),
        "projected": ("layers", "lambda_features"),
    },
}


def train_config(
    preset: str,
    overrides: Mapping[str, str] | None = None,
    begin: Mapping[str, Any] | None = None,
) -> TrainConfig:
    """Take a preset, changed by the values `begin`, with ``key=value`` overrides given as text.

    Raises UserError naming the key, for one that the networks do not have too.
    """
    values = {**_preset(preset), **(begin or {})}
    hints = get_type_hints(TrainConfig)
    for key, text in (overrides or {}).items():
        _check_name(key)
        values[key] = parse_value(key, text, hints[key])
    config = TrainConfig(**values)
    refuse_unused(config, overrides or {})
    return config


def _preset(name: object) -> dict[str, Any]:
    """Return the values of a preset, its name included; raises UserError where there is none."""
    if not isinstance(name, str) or name not in PRESETS:
        raise UserError(f"There is no preset '{name}': choose one of {', '.join(PRESETS)}.")
    return {"preset": name, **PRESETS[name]}


def _check_name(setting: str) -> None:
    keys = [field.name for field in dataclasses.fields(TrainConfig) if field.name != "preset"]
    if setting not in keys:
        raise UserError(f"There is no setting '{setting}': choose from {', '.join(keys)}.")


def refuse_unused(config: TrainConfig, given: Container[str]) -> None:
    """Raise UserError where a setting that was given changes nothing in the networks of `config`.
    What only stands there, in a preset or an older run, may."""
    for network, kinds in WITHOUT.items():
        kind = getattr(config, network)
        for key in kinds.get(kind, ()):
            if key in given and getattr(config, key) != getattr(TrainConfig, key):
                raise UserError(
                    f"{network}={kind} has no setting '{key}': leave {key} out, or choose another "
                    f"{network}."
                )


def as_text(value: Any) -> str:
    """Write a setting as ``train_config`` and ``--set`` read it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def setting(text: str) -> tuple[str, str]:
    """Split ``key=value`` into its two parts: the ``type`` of the commands' ``--set``."""
    key, equals, value = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"'{text}' is not of the form key=value")
    return key, value


def parse_value(key: str, text: str, kind: Any) -> Any:
    """Read ``text`` as the type of the setting ``key``; raises UserError."""
    if kind is bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise UserError(f"{key} must be true or false, not '{text}'.")
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError as error:
            number = "a whole number" if kind is int else "a number"
            raise UserError(f"{key} must be {number}, not '{text}'.") from error
    return text


def check_types(config: Any) -> None:
    """Raise UserError where a field's value is not of its annotated type or one of its choices."""
    for name, kind in get_type_hints(type(config)).items():
        value = getattr(config, name)
        origin = get_origin(kind)
        if origin is Literal:
            if value not in get_args(kind):
                choices = ", ".join(map(str, get_args(kind)))
                raise UserError(f"{name} must be one of {choices}, not '{value}'.")
        elif kind is float:
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise UserError(f"{name} must be a number, not '{value}'.")
        else:
            plain = origin or kind
            if not isinstance(value, plain) or (plain is int and isinstance(value, bool)):
                raise UserError(f"{name} must be of type {plain.__name__}, not '{value}'.")


def check_words(config: Any, *names: str) -> None:
    """Raise UserError where one of these fields is too long to be shown on a card."""
    for name in names:
        if len(getattr(config, name)) > MAX_WORDS:
            raise UserError(f"{name} is longer than {MAX_WORDS} characters: shorten it.")


def check_palette(palette: list[Any]) -> None:
    """Raise UserError for what is no list of {"name", "color": "#rrggbb"}."""
    if len(palette) > MAX_COLOURS:
        raise UserError(f"The palette has more than {MAX_COLOURS} colours: take some out.")
    for label in palette:
        words = list(label.values()) if isinstance(label, dict) else []
        known = words and label.keys() == {"name", "color"}
        if not known or not all(isinstance(w, str) and len(w) <= MAX_WORDS for w in words):
            raise UserError("Each colour of the palette needs a name and a color, both as text.")
        if not re.fullmatch(r"#[0-9A-Fa-f]{6}", label["color"]):
            raise UserError("The colours of the palette must be of the form #rrggbb.")


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Raise UserError unless ``low <= value <= high`` (NaN is outside)."""
    if not (math.isfinite(value) and low <= value <= high):
        raise UserError(f"{name} must be from {low} to {high}, not {value}.")


def checked_fields(cls: type, data: Any) -> dict[str, Any]:
    """Return ``data`` as keyword arguments of the dataclass ``cls``.

    Raises UserError for other keys.
    """
    if not isinstance(data, dict):
        raise UserError("config.json must hold an object with named fields.")
    unknown = sorted(set(map(str, data)) - {f.name for f in dataclasses.fields(cls)})
    if unknown:
        raise UserError(f"config.json has a field this version does not know: {unknown[0]}.")
    return data
