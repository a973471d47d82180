"""DiffAugment: change what a discriminator sees, for small sets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SHIFT = 8  # pictures move by up to an eighth of their side
HOLE = 2  # the square that is cut out has half their side


@dataclass(frozen=True)
class Augmentation:
    """One change for each pair: colours of its picture, place and hole of source and picture.

    DiffAugment (Zhao et al. 2020, arXiv 2006.10738): on small sets D learns the training pictures
    by heart. Here it sees them, and the generated ones, only after random changes, through which
    gradients reach the generator.

    Calling it maps a source and the picture to judge with it, N x C x H x W in [-1, 1], to both
    changed; uncovered and cut-out pixels are 0. The same object changes any picture the same way.
    """

    colour: Tensor  # N x 3 in [0, 1): brightness, saturation, contrast
    shift: Tensor  # N x 2 in [0, 1): down, right
    hole: Tensor  # N x 2 in [0, 1): its centre

    @classmethod
    def draw(cls, count: int) -> Augmentation:
        """Draw the changes of so many pairs from torch's global generator on the CPU."""
        return cls(*torch.rand(count, 7).split((3, 2, 2), dim=1))

    def __call__(self, source: Tensor, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Change the source and the picture alike, but for colours: the source keeps its own."""
        both = torch.cat([source, self.jitter_colours(picture)], dim=1)
        both = self.cut_out(self.translate(both))
        return both[:, : source.shape[1]], both[:, source.shape[1] :]

    def jitter_colours(self, x: Tensor) -> Tensor:
        """Change brightness, saturation and contrast, N x C x H x W."""
        brightness, saturation, contrast = self.colour.to(x)[..., None, None, None].unbind(1)
        x = x + brightness - 0.5
        grey = x.mean(dim=1, keepdim=True)
        x = grey + (x - grey) * 2 * saturation
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        return mean + (x - mean) * (0.5 + contrast)

    def translate(self, x: Tensor) -> Tensor:
        """Move each picture of N x C x H x W; what comes into sight is 0."""
        height, width = x.shape[-2:]
        down, right = height // SHIFT, width // SHIFT
        padded = F.pad(x, (right, right, down, down))
        places = (self.shift * torch.tensor([2 * down + 1, 2 * right + 1])).long().tolist()
        windows = [one[:, y : y + height, z : z + width] for one, (y, z) in zip(padded, places)]
        return torch.stack(windows)

    def cut_out(self, x: Tensor) -> Tensor:
        """Set a square of each picture of N x C x H x W to 0."""
        inside = []
        for axis in (-2, -1):
            side = x.shape[axis]
            centre = (self.hole[:, axis, None] * side).floor()
            inside.append((torch.arange(side) - centre + 0.5).abs() < side / HOLE / 2)
        hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return x * (~hole).to(x)
