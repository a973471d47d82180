"""Measure label maps: which pixels have the right colour of a palette, K x 3 in 0..255."""

from __future__ import annotations

from typing import Any, TypedDict

import torch
from torch import Tensor

from pix2pix.errors import UserError
from pix2pix.evaluation.metrics import to_8bit
from pix2pix.imaging.numbers import nearest_labels
from pix2pix.nn.imagenet import to_rgb


class ClassMeasures(TypedDict):
    """One colour of a label map: its share of the targets' pixels, and intersection over union."""

    color: str  # "#rrggbb"
    share: float
    iou: float | None


class LabelComparison:
    """All measures over pairs of label maps that come a few at a time."""

    def __init__(self, palette: Tensor) -> None:
        self.palette = palette
        self.confused = torch.zeros(len(palette), len(palette), dtype=torch.int64)

    def add(self, generated: Tensor, target: Tensor) -> None:
        """Take N pairs, N x C x H x W in [-1, 1]."""
        self.confused += confusion(generated, target, self.palette)

    def result(self) -> dict[str, Any]:
        """Return the `label_scores`, and as `classes` a `ClassMeasures` for each colour."""
        shares = self.confused.sum(1).double() / self.confused.sum()
        overlaps = class_overlaps(self.confused)
        classes: list[ClassMeasures] = [
            {"color": f"#{bytes(colour).hex()}", "share": share, "iou": None if iou != iou else iou}
            for colour, share, iou in zip(self.palette.tolist(), shares.tolist(), overlaps.tolist())
        ]
        return {**label_scores(self.confused), "classes": classes}


def confusion(generated: Tensor, target: Tensor, palette: Tensor) -> Tensor:
    """Count the pixels of target colour i that were painted in colour j, K x K, each pixel by
    the nearest colour of the `palette` (K x 3 in 0..255)."""
    colours, count = palette.numpy(), len(palette)

    def nearest(picture: Tensor) -> Tensor:
        pixels = to_8bit(to_rgb(picture[None].cpu()))[0].flatten(1).T
        return torch.from_numpy(nearest_labels(pixels.numpy(), colours))

    cells = torch.zeros(count**2, dtype=torch.int64)
    for output, expected in zip(generated, target):
        cells += (nearest(expected) * count + nearest(output)).bincount(minlength=count**2)
    return cells.view(count, count)


def label_scores(confused: Tensor) -> dict[str, float]:
    """Of a K x K `confusion`: `accuracy` is the share of pixels in the right colour, `mean_iou`
    the mean over the colours that occur of overlap over union, and `commonest` the share of the
    commonest target colour, which is the accuracy of painting nothing else."""
    overlaps = class_overlaps(confused)
    confused = confused.double()
    return {
        "accuracy": float(confused.trace() / confused.sum()),
        "mean_iou": float(overlaps[overlaps.isfinite()].mean()),
        "commonest": float(confused.sum(1).max() / confused.sum()),
    }


def class_overlaps(confused: Tensor) -> Tensor:
    """Compute the intersection over union of each colour, K values in [0, 1], NaN for one that
    is nowhere."""
    right = confused.diagonal().double()
    return right / (confused.sum(0) + confused.sum(1) - right)


def parse_palette(colours: list[str]) -> Tensor:
    """Parse a palette as K x 3 in 0..255; raises UserError unless it holds two colours of the
    form #rrggbb."""
    try:
        values = [bytes.fromhex(colour.removeprefix("#")) for colour in colours]
    except ValueError:
        values = []
    if len(set(values)) < 2 or any(len(value) != 3 for value in values):
        raise UserError(
            f"'{','.join(colours)}' is no palette: give two colours or more such as #ff0000."
        )
    return torch.tensor([list(value) for value in dict.fromkeys(values)])
