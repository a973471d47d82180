"""Configure networks and model folders: frozen dataclasses that read and write JSON. No torch."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal

from pix2pix.errors import UserError
from pix2pix.utils.validation import (
    check_number_ranges,
    check_palette,
    check_range,
    check_text_length,
    check_types,
    checked_fields,
)

MODEL_FORMAT = 1
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
    gate: bool = False  # and says for each pixel how much of them its picture begins with
    noise: bool = False  # the U-Net sees a channel of noise as well
    tint: bool = False  # and one colour for all of the picture, which is chosen
    residual: bool = False  # the U-Net's picture begins at the source

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
        channels = self.source_channels, self.target_channels
        if (self.noise or self.tint) and self.kind != "unet":
            raise UserError("Noise and tint are channels of the U-Net: set generator to unet.")
        if self.tint and self.target_channels != 3:
            raise UserError("A tint is a colour: set target_channels to 3, or leave tint out.")
        if self.residual and (self.kind != "unet" or channels[0] not in (1, channels[1])):
            raise UserError(
                "residual needs a U-Net whose source has 1 channel or those of the target."
            )
        if self.hints and (self.kind, *channels) != ("unet", 3, 3):
            raise UserError("Hints of colour need a U-Net with 3 source and 3 target channels.")
        if self.gate and not self.hints:
            raise UserError("gate is for hints of colour: set colour_hints, or leave it out.")

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
    # Which numbers are black and white in pictures of more than 8 bits, {"source": [low, high]},
    # and what their files hold, {"source": {"type": "uint16", "channels": 1}}; or "target".
    ranges: dict[str, list[float]] = field(default_factory=dict)
    numbers: dict[str, dict[str, object]] = field(default_factory=dict)
    # Of label maps that it gives: each pixel takes the nearest of these colours.
    target_palette: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_types(self)
        if self.format_version > MODEL_FORMAT:
            raise UserError(
                f"The model has format {self.format_version} and this version reads up to "
                f"{MODEL_FORMAT}: update Pix2Pix Studio."
            )
        check_text_length(self, "title", "source_name", "target_name")
        check_palette(self.palette)
        check_palette(self.target_palette)
        check_number_ranges(self.ranges, self.numbers)

    def number_range(self, side: str) -> tuple[float, float, str] | None:
        """Return (low, high, type) of the numbers of "source" or "target"; None where they are
        plain 8-bit pictures."""
        kind, ends = self.numbers.get(side), self.ranges.get(side)
        if kind is None or ends is None or (kind["type"] == "uint8" and list(ends) == [0, 255]):
            return None
        return float(ends[0]), float(ends[1]), str(kind["type"])

    @property
    def output_numbers(self) -> tuple[float, float, str] | None:
        """Return (low, high, type) of what it gives in its own unit: where its targets have a range
        and one number a pixel; None where it gives 8-bit pictures or colours."""
        known = self.number_range("target")
        return known if known and self.numbers["target"]["channels"] == 1 else None

    @property
    def target_colours(self) -> list[str]:
        """Return the colours, "#rrggbb", that all pixels of its label maps have; none of a model
        that gives other pictures."""
        is_plain = self.generator.target_channels in (1, 3) and self.output_numbers is None
        colours = [label["color"] for label in self.target_palette]
        return colours if is_plain and len(colours) > 1 else []

    @property
    def gives_16_bits(self) -> bool:
        """Return whether a source of 16 bits may become a picture of 16: grey, and no label map."""
        return self.generator.target_channels == 1 and not self.target_colours

    @property
    def keeps_edges(self) -> bool:
        """Return whether it makes maps or pictures from above, in tiles: where such a source is
        transparent there is nothing, while a drawing is paper there."""
        seen = self.generator.source_channels == 4  # the model itself says what becomes of it
        return self.fit == "tiles" and self.source_kind != "drawing" and not seen

    @property
    def has_noise(self) -> bool:
        """Return whether the model has a source of variation at translate time: dropout, noise or a
        tint."""
        network = self.generator
        drops = network.kind == "small-unet" or network.dropout != "none"
        return drops or network.noise or network.tint

    @property
    def colours_grey(self) -> bool:
        """Return whether its sources are its targets in grey (preset ``colorize``)."""
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
