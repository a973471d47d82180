"""Configure a run: every setting, its range, and the preset that it begins with. No torch."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_type_hints

from pix2pix.errors import UserError
from pix2pix.model_config import Direction, DiscriminatorConfig, GeneratorConfig, Norm
from pix2pix.presets import PRESETS, UNUSED_SETTINGS
from pix2pix.utils.validation import (
    check_number_ranges,
    check_range,
    check_text_length,
    check_types,
    checked_fields,
    parse_value,
    setting_text,
)

Config = TypeVar("Config")
Network = TypeVar("Network", GeneratorConfig, DiscriminatorConfig)
RANGES = {
    "batch_size": (1, 4096), "gradient_accumulation_steps": (1, 4096), "steps": (0, 10**9),
    "steps_per_epoch": (0, 10**6), "epochs": (1, 10**6), "layers": (0, 6),
    "save_every_steps": (1, 10**9), "sample_every_steps": (1, 10**9),
    "keep_every_epochs": (0, 10**6), "lr": (0.0, 1.0), "d_lr": (0.0, 1.0), "beta1": (0.0, 0.9999),
    "lambda_l1": (0.0, 1e6), "lambda_perceptual": (0.0, 1e6), "lambda_features": (0.0, 1e6),
    "d_weight": (0.0, 1e3), "decay": (0.0, 1.0), "ema": (0.0, 0.99999), "warp": (0.0, 1.0),
    "colour_hints": (0.0, 1.0), "recolour": (0.0, 1.0), "seed": (-(10**15), 10**15),
}  # fmt: skip


def _begin_with_preset(cls: type[Config]) -> type[Config]:
    """Let ``TrainConfig(preset="recommended")`` have that preset's values where none is given."""
    fill = cls.__init__

    @functools.wraps(fill)
    def init(self: Config, *args: object, **values: object) -> None:
        given = {**dict(zip(cls.__annotations__, args)), **values}
        fill(self, **({**_preset(given["preset"]), **given} if "preset" in given else given))
        object.__setattr__(self, "_named", frozenset(given))

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
    noise: bool = False  # the U-Net sees a channel of noise, to make textures from
    tint: bool = False  # and the target's mean colour, which is chosen later
    residual: bool = False  # the U-Net's picture begins at the source, which has its channels or 1
    hints: bool = False  # the U-Net sees wide strokes spread over the paper; on with colour_hints
    gate: bool = False  # it says where its picture begins with these; on with colour_hints
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
    batch_size: int = 1  # pairs that go through the networks together
    gradient_accumulation_steps: int = 1  # batches whose gradients add up to one update
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
    keep_light: bool = False  # judge the colours of grey photos on the photos' own light
    diffaugment: bool = False  # change what D sees, for small sets (Zhao et al. 2020)
    # Names and use of the model that comes out.
    source_name: str = ""
    target_name: str = ""
    source_kind: Literal["drawing", "photo", "labels"] = "photo"
    # Of the dataset: which numbers are black and white, and what its originals held; see there.
    ranges: dict[str, list[float]] = field(default_factory=dict, hash=False)
    numbers: dict[str, dict[str, object]] = field(default_factory=dict, hash=False)
    # The run itself.
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = False  # memory layout: faster where bfloat16 is fast
    compile: bool = False  # by torch.compile, which needs a C++ compiler on the CPU
    seed: int = 0
    save_every_steps: int = 1000
    sample_every_steps: int = 500
    keep_every_epochs: int = 0  # a picture and a model after so many epochs too; 0: steps alone
    report_to: Literal["", "tensorboard", "trackio", "wandb"] = ""  # another log of the run

    def __post_init__(self) -> None:
        check_types(self)
        check_text_length(self, "source_name", "target_name")
        check_number_ranges(self.ranges, self.numbers)
        check_range("jitter", self.jitter, 0, self.size)
        for name, (low, high) in RANGES.items():
            check_range(name, getattr(self, name), low, high)
        for name in ("source_channels", "target_channels"):
            if getattr(self, name) not in (0, 1, 3, 4):
                raise UserError(f"{name} must be 1, 3 or 4, or 0 to follow the data.")
        self.check_hints()
        self.check_combinations()

    def check_combinations(self) -> None:
        """Raise UserError for settings that each can be, and not together."""
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

        if self.keep_light and self.derive != "grey":
            raise UserError("keep_light is for grey photos: add derive=grey, or leave it out.")

    @property
    def sees_features(self) -> bool:
        """Return whether training looks at pictures through a frozen ImageNet network."""
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
        for name in changes:
            _check_name(name)
        return with_preset(preset, changes)

    @classmethod
    def from_json(cls, values: object) -> TrainConfig:
        """Read the values of a run; what a run of an older version does not name was the paper's.

        Raises UserError for anything but the fields above with values of their types.
        """
        if isinstance(values, dict):
            values = _without_old_names(values)
        return cls(**{**dataclasses.asdict(cls()), **checked_fields(cls, values)})

    def changes(self) -> dict[str, object]:
        """Return the settings in which this differs from its preset."""
        preset = dataclasses.asdict(train_config(self.preset))
        return {n: v for n, v in dataclasses.asdict(self).items() if v != preset[n]}

    def given(self) -> dict[str, object]:
        """Return the settings that a person chose: those that were named, and without the name of
        a preset the paper's values too. Where every one was named, as ``dataclasses.replace`` does,
        that cannot be told: then those that differ from the preset."""
        values, named = dataclasses.asdict(self), self.__dict__["_named"]
        if len(named) == len(values):
            return self.changes()
        chosen = {name: values[name] for name in named - {"preset"}}
        return chosen if "preset" in named else {**self.changes(), **chosen}

    @property
    def effective_batch_size(self) -> int:
        """Pairs of an update: ``batch_size * gradient_accumulation_steps``."""
        return self.batch_size * self.gradient_accumulation_steps

    def length(self, pass_steps: int) -> tuple[int, int]:
        """Count the steps of an epoch and of the run, where every pair once takes `pass_steps`
        steps."""
        per_epoch = self.steps_per_epoch or pass_steps
        return per_epoch, self.steps or self.epochs * per_epoch

    def generator_config(self) -> GeneratorConfig:
        """Return the layers of the generator; channels that follow the data are 3."""
        hints = self.hints or self.colour_hints > 0
        return self._of_network(GeneratorConfig, kind=self.generator, hints=hints)

    def discriminator_config(self) -> DiscriminatorConfig:
        """Return the layers of the discriminator; channels that follow the data are 3."""
        # The two tutorials' discriminators have biases everywhere, the PyTorch one has none.
        own = {"kind": self.discriminator, "bias": self.discriminator != "patch"}
        return self._of_network(DiscriminatorConfig, **own)

    def _of_network(self, cls: type[Network], **own: Any) -> Network:
        """Take the settings that a network's config has by the same names, and its `own`."""
        shared = {f.name: getattr(self, f.name, None) for f in dataclasses.fields(cls)}
        shared |= {side: shared[side] or 3 for side in ("source_channels", "target_channels")}
        return cls(**{**shared, **own})


def train_config(
    preset: str,
    overrides: Mapping[str, object] | None = None,
    begin: Mapping[str, Any] | None = None,
) -> TrainConfig:
    """Take a preset, changed by the values `begin`, with overrides as `parse_settings` reads them.

    Raises UserError naming the key, for one that the networks do not have too.
    """
    return with_preset(preset, parse_settings(overrides or {}), begin or {})


def with_preset(
    preset: str, given: Mapping[str, Any], begin: Mapping[str, Any] = MappingProxyType({})
) -> TrainConfig:
    """Take a preset, changed by the values `begin` and by those `given`. Raises UserError, also
    where one that was given changes nothing in the networks."""
    config = TrainConfig(**{**begin, **given, "preset": preset})
    refuse_unused(config, given)
    return config


def parse_settings(overrides: Mapping[str, object]) -> dict[str, Any]:
    """Read settings that a form, a command or a program gave, as text or as values.

    Raises UserError naming the key, for one that there is not and a value of another type.
    """
    kinds, given = get_type_hints(TrainConfig), {}
    for key, value in overrides.items():
        _check_name(key)
        given[key] = parse_value(key, setting_text(value), kinds[key])
    return given


def _preset(name: object) -> dict[str, Any]:
    """Return the values of a preset, its name included; raises UserError where there is none."""
    if not isinstance(name, str) or name not in PRESETS:
        raise UserError(f"There is no preset '{name}': choose one of {', '.join(PRESETS)}.")
    return {"preset": name, **PRESETS[name]}


def _without_old_names(values: dict[str, Any]) -> dict[str, Any]:
    """Translate what older runs called otherwise: `accumulate`, the parts into which a batch was
    divided, whose pairs stay as many an update and no more at a time; and `tensorboard`, a bool."""
    values = dict(values)
    if "accumulate" in values:
        parts, pairs = values.pop("accumulate"), values.get("batch_size", 1)
        if not all(isinstance(value, int) and value >= 1 for value in (parts, pairs)):
            raise UserError("accumulate and batch_size must be whole numbers from 1.")
        steps = next(n for n in range(min(parts, pairs), pairs + 1) if pairs % n == 0)
        values |= {"batch_size": pairs // steps, "gradient_accumulation_steps": steps}
    if "tensorboard" in values:
        asked = values.pop("tensorboard")
        if not isinstance(asked, bool):
            raise UserError("tensorboard must be true or false.")
        values.setdefault("report_to", "tensorboard" if asked else "")
    return values


def _check_name(setting: str) -> None:
    keys = [field.name for field in dataclasses.fields(TrainConfig) if field.name != "preset"]
    if setting not in keys:
        near = difflib.get_close_matches(setting, keys)
        advice = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(keys)}."
        raise UserError(f"There is no setting '{setting}': {advice}")


def refuse_unused(config: TrainConfig, names: Container[str]) -> None:
    """Raise UserError where a setting that was given changes nothing in the networks of `config`.
    What only stands there, in a preset or an older run, may."""
    for network, kinds in UNUSED_SETTINGS.items():
        kind = getattr(config, network)
        for key in kinds.get(kind, ()):
            if key in names and getattr(config, key) != getattr(TrainConfig, key):
                raise UserError(
                    f"{network}={kind} has no setting '{key}': leave {key} out, or choose another "
                    f"{network}."
                )
