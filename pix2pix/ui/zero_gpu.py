"""Borrow ZeroGPU: the hardware of a Space whose GPU is lent for seconds, to one call at a time.

The package `spaces`, which is there on such a Space, lends it: what it decorates runs in a process
forked for the call, and CUDA is there alone. Arguments and results are pickled on their way. What
waits in the page's queue (photos, variations, batches) and the API borrow the GPU, a picture a
call. The pad asks for pictures more often than a GPU can be lent: its translators stay on the CPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    # Before torch: in this process it only promises CUDA. Models that are moved there lie on disk
    # until a process has the GPU.
    import spaces
except ImportError:
    spaces = None

import gradio as gr
from PIL import Image

from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.picture import Picture, as_picture
from pix2pix.models.translator import Translator
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.nn.device import on_zero_gpu
from pix2pix.utils.progress import Progress, ShouldStop

# What a call asks for: less comes sooner, and whoever has less left of the day's share is refused.
SECONDS, SECONDS_PER_MEGAPIXEL, MAX_SECONDS = 15, 1, 120


def training_hint() -> str:
    """Say what this hardware cannot do for the Train tab; empty where training works."""
    if not on_zero_gpu():
        return ""
    return (
        "ZeroGPU lends its GPU for seconds, so a run here has the processor alone: "
        "train on Hugging Face Jobs, or give the Space other hardware."
    )


def borrow_models(models: TranslatorCache) -> TranslatorCache | ZeroGpuModels:
    """`models` on the borrowed GPU, or as they are where none is lent. Call it once, before the
    page is launched, in the main thread: there alone models can be moved to the promised CUDA."""
    if spaces is None or not on_zero_gpu():
        return models
    on_gpu = TranslatorCache(models.folders, "cuda", models.keep, models.unlisted)
    for name in list(on_gpu.models())[: on_gpu.keep]:
        with contextlib.suppress(UserError):  # said when it is chosen
            on_gpu.get(name)

    def translate(name: str, picture: Picture, options: dict[str, Any]) -> Image.Image | str:
        """Return a sentence instead of raising UserError, of which only its kind would come
        back."""
        try:
            return on_gpu.get(name).translate(picture, **options)
        except UserError as error:
            return str(error)

    return ZeroGpuModels(models, spaces.GPU(translate, duration=gpu_seconds))


def gpu_seconds(name: str, picture: Picture, *options: object) -> int:
    """Return how long the GPU is asked for."""
    width, height = picture.size
    return min(MAX_SECONDS, SECONDS + SECONDS_PER_MEGAPIXEL * width * height // 10**6)


class ZeroGpuModels:
    """Models as the page knows them, each picture a call of `borrow`."""

    def __init__(self, models: TranslatorCache, borrow: Callable[..., Image.Image | str]) -> None:
        self._models, self._borrow = models, borrow

    def models(self) -> dict[str, Path]:
        """Name -> folder of all, as `TranslatorCache.models`."""
        return self._models.models()

    def get(self, name: str) -> ZeroGpuTranslator:
        """Return a model; raises UserError for a name that is not in ``models``, or no usable
        model."""
        return ZeroGpuTranslator(name, self._models.get(name), self._borrow)


@dataclass(frozen=True)
class ZeroGpuTranslator:
    """A translator whose pictures are made on a borrowed GPU; what is read and written by parts,
    as mosaics are, is left to `own` on the processor: no loan lasts so long."""

    name: str
    own: Translator
    borrow: Callable[..., Image.Image | str]

    def __getattr__(self, name: str) -> Any:
        """Leave all else to `own`."""
        return getattr(self.own, name)

    def translate(
        self,
        picture: Picture | Image.Image,
        *,
        on_progress: Progress = lambda done, total: None,
        should_stop: ShouldStop = lambda: False,
        **options: Any,
    ) -> Image.Image:
        """Translate as `Translator.translate` does, with its `options`, stopped between pictures
        only. Raises UserError besides where no GPU is to be had."""
        if should_stop():
            raise Cancelled
        source = picture if isinstance(picture, Picture) else as_picture(picture)
        try:
            made = self.borrow(self.name, source, options)
        except gr.Error as error:  # the quota is used up, or nobody gave the GPU back in time
            raise UserError(str(error.message)) from error
        if isinstance(made, str):
            raise UserError(made)
        on_progress(1, 1)
        return made
