"""Translate pictures of any size with a model, tile by tile where they are large."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.decode import load_picture, open_picture
from pix2pix.imaging.numbers import from_units, picture_of, range_notice, to_palette
from pix2pix.imaging.picture import (
    MODES,
    Picture,
    as_picture,
    from_array,
    image_from_bytes,
    parse_colour,
    with_light,
)
from pix2pix.model_config import ModelConfig
from pix2pix.models.folder import find_model, load_model
from pix2pix.models.onnx_runtime import OnnxEngine, in_turn, onnx_engine
from pix2pix.models.tiling import LargePicture, pad_reflect, translate_windows, with_own_light
from pix2pix.nn.device import has_fast_bfloat16, memory_errors, pick_device
from pix2pix.nn.layers import has_stored_statistics, use_own_statistics
from pix2pix.utils.progress import Progress, ShouldStop

MIN_SIDE = 16  # a ResNet's padding and norms need more than the one pixel that 4 become inside


class Translator:
    """One model, ready on its device: ``translator(picture)`` is the translated picture.

    Safe to call from several threads, which take turns. ONNX Runtime paints where it is faster: by
    a model loaded from its folder, without noise, on a CPU without fast bfloat16.
    """

    def __init__(
        self,
        generator: nn.Module,
        config: ModelConfig,
        device: str = "auto",
        folder: Path | None = None,
    ) -> None:
        """`folder` is where the model lies on disk, if it does.

        Raises UserError for an absent device, or a generator from or to what is no picture.
        """
        for channels in (config.generator.source_channels, config.generator.target_channels):
            if channels not in MODES:
                raise UserError(
                    f"The model has {channels} channels and pictures have 1, 3 or 4: "
                    "choose another model."
                )
        self.config, self.folder = config, folder
        self.palette = np.array([*map(parse_colour, config.target_colours)])  # K x 3 in 0..255
        self.device = pick_device(device)
        # One channel may be asked for in 16 bits, and bfloat16 has eight.
        deep = config.generator.target_channels == 1 or config.output_numbers is not None
        fast = not deep and has_fast_bfloat16(self.device)
        self.dtype = torch.bfloat16 if fast else torch.float32
        self._onnx: OnnxEngine | None = None
        with memory_errors(self.device):
            self.generator = generator.eval().to(
                self.device, self.dtype, memory_format=torch.channels_last
            )

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Translator:
        """Load the model in a folder; raises UserError where it holds no usable one."""
        translator = cls(*load_model(folder), device, folder)
        if translator.device.type == "cpu" and translator.dtype == torch.float32:
            translator._onnx = onnx_engine(folder, translator.config)
        return translator

    @classmethod
    def from_pretrained(
        cls, model: str | os.PathLike[str], device: str = "auto", *, token: str | bool | None = None
    ) -> Translator:
        """Load a model by its name, its folder, that of a run, or its place on the Hub.

        A name is that of a folder in ``checkpoints/`` or in the workspace's ``models/``. On the
        Hugging Face Hub a model is "owner/name" or "owner/name@revision"; for a private one give
        a `token`, or True for the login that is saved on this machine. `device` is auto, cpu,
        cuda or mps. Raises UserError where there is no such model or device.
        """
        name = os.fspath(model)
        if isinstance(model, str) and "/" in model and not Path(model).is_dir():
            # Here, not above: what serves the Hub is built on models.
            from pix2pix.hub.models import fetch_for_owner

            return cls.load(fetch_for_owner(name, token), device)
        return cls.load(find_model(model), device)

    def push_to_hub(
        self, repo: str, *, private: bool = True, token: str | bool | None = True
    ) -> str:
        """Make the Hub's model repository "owner/name" hold this model; returns its address.

        It is made where there is none, and private unless told; the login that is saved on this
        machine is used unless a `token` is given. Raises UserError for a model that lies in no
        folder, a repository that is public already, and where the Hub refuses.
        """
        if self.folder is None:
            raise UserError("This model lies in no folder: save it, load it from there, then push.")
        from pix2pix.hub.models import push_model

        return push_model(self.folder, repo, token=token, private=private)

    def __call__(
        self,
        picture: Image.Image | str | os.PathLike[str] | np.ndarray,
        seed: int | None = None,
        *,
        tint: str = "",
        fit: str = "",
        norm: str = "",
    ) -> Image.Image:
        """Translate one picture: a PIL image, a file, or a uint8 array H x W or H x W x C with 1,
        3 or 4 channels.

        The result has the size of the picture, upright as its EXIF says, and the unit of the target
        where the model has one; a picture outside the range of the model's sources is warned of.
        `seed`, `tint`, `fit` and `norm` are those of `translate`.
        Raises UserError for what is no picture.
        """
        if isinstance(picture, np.ndarray):
            opened = as_picture(image_from_bytes(picture))
        elif isinstance(picture, Image.Image):
            opened = load_picture(picture)
        else:
            opened = open_picture(picture)
        if notice := self.range_notice(opened):
            warnings.warn(notice, stacklevel=2)
        return self.translate(opened, seed=seed, tint=tint, fit=fit, norm=norm)

    def translate(
        self,
        picture: Picture | Image.Image,
        *,
        seed: int | None = None,
        tint: str = "",
        fit: str = "",
        norm: str = "",
        in_units: bool = True,
        on_progress: Progress = lambda done, total: None,
        should_stop: ShouldStop = lambda: False,
    ) -> Image.Image:
        """Generate the picture in the size of ``picture``: L, RGB or RGBA, or I;16 where the
        model gives one channel and the picture has more than 8 bits. A model whose target has a
        range gives its numbers in their own unit and type: L, I;16, I or F; one whose targets are
        label maps gives the colours of its ``target_palette`` alone. Black and white of
        what comes in are those of the model's range, where it has one. Without ``in_units`` both
        pictures are seen by their ranges already, as a dataset's are, in 8 bits.

        With ``fit`` "whole" the picture is scaled to the model's size and back; with "tiles" it
        keeps its scale and goes through overlapping tiles where it is larger; unless told, the
        model's config decides. With ``norm`` "batch" it normalises by the statistics of the
        picture, or each tile, itself; with "stored" by the averages of training; unless told, the
        config decides. A ``seed`` switches dropout on as the noise source (paper section 3.1):
        same seed, same picture. A ``tint``, such as "#d8b48c", is the colour that a model with one
        (`TrainConfig.tint`) gives what the source leaves open; else a seed chooses it. A model that
        colours grey gives a photo its hues and saturation, and the light stays the photo's own: the
        network's is a blurred copy.
        ``on_progress`` hears (tiles done, tiles in all); Cancelled is raised after ``should_stop``
        says so, UserError for averages that the model does not hold, for a tint where it has none,
        and where memory runs out.
        """
        if fit not in ("", "whole", "tiles"):
            raise UserError("fit must be whole, tiles, or empty for the model's own.")
        norm, colour = self._norm(norm), self._tint(tint, seed)
        picture = picture if isinstance(picture, Picture) else as_picture(picture)
        picture = self.by_range(picture) if in_units else picture
        if should_stop():
            raise Cancelled
        with memory_errors(self.device):
            if (fit or self.config.fit) == "whole":
                result = self._translate_whole(picture, seed=seed, norm=norm, tint=colour)
                on_progress(1, 1)
                if self.config.colours_grey and result.mode == "RGB":
                    result = with_light(result, picture.to_pil(1))
            else:
                result = self._translate_tiles(
                    picture, seed=seed, tint=tint, norm=norm, on_progress=on_progress,
                    should_stop=should_stop,
                )  # fmt: skip
        return result if in_units else self.look(result)

    def check(self, *, tint: str = "", norm: str = "") -> None:
        """Raise UserError for a tint or a norm that this model does not take."""
        self._norm(norm)
        self._tint(tint, None)

    def by_range(self, picture: Picture) -> Picture:
        """Return a picture with black and white of the model's range, where it has one."""
        known = self.config.number_range("source")
        if known is None or not (picture.is_deep or known[2] == "uint8"):
            return picture
        return picture.with_range(*known[:2])

    def range_notice(self, picture: Picture | Image.Image, name: str = "The picture") -> str:
        """Say where a picture does not go with the range of the model's sources; empty where it
        does. Where it has none, say where a picture of more than 8 bits is nearly black."""
        picture = picture if isinstance(picture, Picture) else as_picture(picture)
        return range_notice(picture, name, self.config.number_range("source"))

    def look(self, result: Image.Image) -> Image.Image:
        """Draw what `translate` gave as people see it: in 8 bits, black at the range's low end."""
        return picture_of(result, self.config.output_numbers)

    def _image(self, array: np.ndarray, bits: int) -> Image.Image:
        """Make an image of what the network gave, C x H x W in [-1, 1]: in the target's unit, or
        in 8 or 16 bits."""
        if self.config.output_numbers is not None:
            return from_units(array.mean(axis=0, keepdims=True), *self.config.output_numbers)
        return from_array(array, bits=bits)

    def _labels(self, result: Image.Image) -> Image.Image:
        """Return a label map in its own colours alone, where the model gives such."""
        return to_palette(result, self.palette) if len(self.palette) else result

    def _norm(self, requested: str) -> str:
        """Return the norm mode asked for, or the model's own."""
        if requested not in ("", "batch", "stored"):
            raise UserError("norm must be batch, stored, or empty for the model's own.")
        default, stored = self.config.norm_mode, has_stored_statistics(self.config.generator)
        if requested == "stored" and default != "stored" and not stored:
            raise UserError("This model keeps no averages of its training: use its own norm.")
        return requested or default

    def _bit_depth(self, picture: Picture) -> int:
        """16 where the picture has them and the result can: Pillow has no colours of 16 bits."""
        return picture.bits if self.config.gives_16_bits else 8

    def _translate_whole(self, picture: Picture, **options: Any) -> Image.Image:
        scale = self.config.generator.size / max(picture.size)
        width, height = (max(1, round(side * scale)) for side in picture.size)
        labels = self.config.source_kind == "labels"
        source = picture.resize((width, height), labels=labels)
        array = source.tile((0, 0, width, height), self.config.generator.source_channels)
        made = self._forward_padded(array, **options)
        result = self._labels(self._image(made, self._bit_depth(picture)))
        # Between two labels of a map lies no third one.
        way = Image.Resampling.NEAREST if len(self.palette) else Image.Resampling.BICUBIC
        return result.resize(picture.size, way)

    def _translate_tiles(self, picture: Picture, **options: Any) -> Image.Image:
        result: Image.Image | None = None

        def write(rows: Image.Image, top: int) -> None:
            nonlocal result
            result = result or Image.new(rows.mode, picture.size)
            result.paste(rows, (0, top))

        large = LargePicture(picture.size, picture.tile, write, self._bit_depth(picture))
        self.translate_large(large, **options)
        assert result is not None  # a picture has a row
        return result

    def translate_large(
        self,
        picture: LargePicture,
        *,
        seed: int | None = None,
        tint: str = "",
        norm: str = "",
        in_units: bool = True,
        on_progress: Progress = lambda done, total: None,
        should_stop: ShouldStop = lambda: False,
    ) -> None:
        """Translate a picture that is read and written by parts, in windows that fade into each
        other, as `translate` does with ``fit`` "tiles". Without ``in_units`` rows are written as
        people see them, in 8 bits; how its numbers are read is up to the picture either way.
        Raises the same."""
        generator, norm, colour = self.config.generator, self._norm(norm), self._tint(tint, seed)
        if self.config.colours_grey and picture.bits == 8:
            picture = with_own_light(picture)

        def image(array: np.ndarray) -> Image.Image:
            made = self._labels(self._image(array, picture.bits))
            return made if in_units else self.look(made)

        with memory_errors(self.device):
            translate_windows(
                picture,
                lambda array, tile_seed: self._forward_padded(
                    array, seed=tile_seed, norm=norm, tint=colour
                ),
                image,
                generator.size,
                (generator.source_channels, generator.target_channels),
                seed=seed,
                on_progress=on_progress,
                should_stop=should_stop,
            )

    def _tint(self, tint: str, seed: int | None) -> np.ndarray | None:
        """Return the colour, 1 x 3 in [-1, 1], of all of a picture and its tiles: that of `tint`,
        or the one that the seed chooses; None for none."""
        if not self.config.generator.tint:
            if tint:
                raise UserError("This model takes no tint: leave it out.")
            return None
        if tint:
            return (parse_colour(tint).astype(np.float32) / 127.5 - 1)[None]
        return None if seed is None else self.generator.tint.chosen(seed).float().cpu().numpy()

    def _forward_padded(self, array: np.ndarray, **options: Any) -> np.ndarray:
        """Run the network on C x H x W of any size: mirrored outwards, and cropped again."""
        padded, crop = pad_reflect(array, self.config.generator.multiple, MIN_SIDE)
        return self.forward(padded, **options)[crop]

    def forward(
        self, array: np.ndarray, seed: int | None, norm: str = "", tint: np.ndarray | None = None
    ) -> np.ndarray:
        """Run the network on C x H x W in [-1, 1], with a tint 1 x 3, in turn; returns
        C' x H x W, float32."""
        norm = norm or self.config.norm_mode
        # The graph has the model's own norm and no dropout.
        plain = norm == self.config.norm_mode and (seed is None or not self.config.has_noise)
        if self._onnx and plain:
            return in_turn(self._onnx.run, array[None], *([] if tint is None else [tint]))[0]
        return in_turn(self._forward, array, seed, norm == "batch", tint)

    @torch.inference_mode()
    def _forward(
        self,
        array: np.ndarray,
        seed: int | None,
        own_statistics: bool,
        tint: np.ndarray | None = None,
    ) -> np.ndarray:
        source = torch.from_numpy(np.ascontiguousarray(array))[None]
        source = source.to(self.device, self.dtype, memory_format=torch.channels_last)
        colour = [] if tint is None else [torch.from_numpy(tint).to(self.device)]
        use_own_statistics(self.generator, own_statistics)
        for layer in self.generator.modules():
            if isinstance(layer, nn.Dropout):
                layer.train(seed is not None)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices, enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed % 2**63)
            generated = self.generator(source, *colour)
        return generated[0].float().cpu().numpy()
