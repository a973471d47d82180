"""Measure how close generated pictures come to their targets.

Pictures are N x C x H x W in [-1, 1] with 1, 3 or 4 channels, and are judged at the 8 bits that
people see. L1, PSNR and SSIM reward blur. The perceptual distance and KID do not: they compare
what a network trained on ImageNet sees.

There are two such networks. EfficientNet-lite0, the smaller one, measures a run's own validation:
it chooses the `best` checkpoint and draws the curves, and a run may be trained on its features as
well. A generator can learn to please the network that it was trained or chosen by. So what is
reported of a model (`evaluate`, cards, studies) is by the judge, EfficientNet-lite2, and `best`
stays with lite0: a judge that chose the checkpoint would flatter it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pix2pix.nn.imagenet import SIDES, how_to_get, imagenet_network, installed, to_rgb
from pix2pix.nn.losses import perceptual_distances

CHOOSER, JUDGE = "efficientnet-lite0", "efficientnet-lite2"
INSTALL_HINT = (
    "The perceptual distance and KID were left out: get the network that they need with "
    f"{how_to_get(JUDGE)}."
)
FEW_IMAGES = 50  # pictures of which KID is mostly noise
NOISY_KID = (
    f"KID of fewer than {FEW_IMAGES} pictures is mostly noise: measure more to compare by it."
)
MAX_PSNR = 100.0  # dB, given to equal pictures too
MEASURES = ("l1", "psnr", "ssim", "perceptual", "perceptual_halves", "kid", "kid_halves", "spread")
BATCH = 8  # pictures measured at a time
# Pictures that are compared with each other at most, spread over all.
MAX_KID_SAMPLES, MAX_DIVERSITY_SAMPLES = 2000, 300
_THUMBNAIL = 32  # side at which outputs are told apart


# --------------------------------------------------------------------------------- pixel measures


def l1(generated: Tensor, target: Tensor) -> Tensor:
    """Compute the mean absolute difference of each pair, N values on the scale 0 to 1."""
    return (to_8bit(generated) - to_8bit(target)).abs().mean((1, 2, 3)) / 255


def psnr(generated: Tensor, target: Tensor) -> Tensor:
    """Compute the peak signal-to-noise ratio of each pair in dB, N values of 100 at most."""
    error = (to_8bit(generated) - to_8bit(target)).square().mean((1, 2, 3)) / 255**2
    return (-10 * error.log10()).clamp(max=MAX_PSNR)


def ssim(generated: Tensor, target: Tensor) -> Tensor:
    """Compute the structural similarity of each pair, N values up to 1: windows of 7 x 7 equal
    weights, the mean over channels. Raises ValueError for pictures under 7 pixels."""
    from skimage.metrics import structural_similarity  # half a second, for who measures only

    pairs = zip(to_8bit(generated).cpu().numpy(), to_8bit(target).cpu().numpy())
    values = [structural_similarity(a, b, channel_axis=0, data_range=255) for a, b in pairs]
    return torch.tensor(values, dtype=torch.float32)


def to_8bit(pictures: Tensor) -> Tensor:
    """Convert pictures in [-1, 1] to whole numbers from 0 to 255, float32."""
    return ((pictures.float().clamp(-1, 1) + 1) * 127.5).round()


# ------------------------------------------------------------------- what an ImageNet network sees


class Features(NamedTuple):
    """Four maps N x C x h x w, the last at 1/4, 1/8, 1/16 and 1/32 of the network's own side, and
    N x 1280 of the whole picture."""

    maps: list[Tensor]
    pooled: Tensor


@torch.no_grad()
def features(pictures: Tensor, network: str, device: torch.device | str = "cpu") -> Features | None:
    """Compute the network's features of N x C x H x W in [-1, 1], scaled to its own side; they lie
    on the CPU. None where it is not installed."""
    if not installed(network):
        return None
    x = to_8bit(to_rgb(pictures.to(device)))
    x = F.interpolate(x, (SIDES[network],) * 2, mode="bicubic", antialias=True).clamp(0, 255)
    see = imagenet_network(network, str(device))
    maps = see(x / 127.5 - 1)
    return Features([x.cpu() for x in maps], see.head(maps[-1]).cpu().mean((2, 3)))


def kid(generated: Tensor, target: Tensor) -> float | None:
    """Compute the kernel inception distance of two sets of `Features.pooled`, N x D and M x D,
    times 1000.

    The unbiased squared maximum mean discrepancy under the kernel (x.y / D + 1)^3 (Binkowski et
    al. 2018), so that equal sets give about 0 and often less. One subset is compared: all, or 2000
    spread over all. None for fewer than 2 pictures, and mostly noise for fewer than `FEW_IMAGES`.
    """
    if min(len(generated), len(target)) < 2:
        return None
    x, y = (
        side[evenly_spaced(len(side), MAX_KID_SAMPLES)].double() for side in (generated, target)
    )

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def among(side: Tensor) -> Tensor:
        values, count = kernel(side, side), len(side)
        return (values.sum() - values.trace()) / (count * (count - 1))

    return 1000 * float(among(x) + among(y) - 2 * kernel(x, y).mean())


# --------------------------------------------------------------------------------------- collapse


def thumbnails(pictures: Tensor) -> Tensor:
    """Shrink pictures, N x D in [-1, 1], to a size at which noise is no difference."""
    return F.adaptive_avg_pool2d(pictures.float().cpu(), _THUMBNAIL).flatten(1)


def output_diversity(generated: Tensor, target: Tensor) -> float | None:
    """How different the outputs are for different inputs: the mean difference of two outputs over
    that of two targets, both N x D from `thumbnails`. Near 0 is collapse, 1 as varied as the
    targets. None for fewer than 2 pictures or targets that are all alike."""
    chosen = evenly_spaced(len(target), MAX_DIVERSITY_SAMPLES)
    if len(chosen) < 2:
        return None
    output_spread, target_spread = (
        torch.pdist(x[chosen], p=1).mean().item() for x in (generated, target)
    )
    return output_spread / target_spread if target_spread else None


# ------------------------------------------------------------------------------ all of them at once


class FeatureComparison:
    """What one ImageNet network says of pairs that come a few at a time."""

    def __init__(self, network: str, device: torch.device | str = "cpu") -> None:
        self.network, self.device = network, device
        self.distances: list[Tensor] = []  # of each pair
        self.apart: list[Tensor] = []  # of each even target and the odd one after it
        self.waiting: list[Tensor] | None = None  # the maps of an even target without its odd one
        self.pooled_features: list[tuple[Tensor, Tensor]] = []

    def add(
        self, generated: Tensor, target: Tensor, known: Features | None = None
    ) -> Features | None:
        """Take N pairs, N x C x H x W in [-1, 1]. Returns the features of the targets, which may be
        given as `known` the next time; None where the network is not installed."""
        known = known or features(target, self.network, self.device)
        if known is None:
            return None
        look = features(generated, self.network, self.device)
        self.distances.append(perceptual_distances(look.maps, known.maps))
        self.pooled_features.append((look.pooled, known.pooled))
        maps = known.maps
        if self.waiting:
            maps = [torch.cat(both) for both in zip(self.waiting, maps)]
        pairs = len(maps[0]) // 2 * 2
        even, odd = ([m[side:pairs:2] for m in maps] for side in (0, 1))
        self.apart.append(perceptual_distances(even, odd))
        self.waiting = [m[pairs:] for m in maps] if pairs < len(maps[0]) else None
        return known

    def result(self) -> dict[str, float | None]:
        """Return the mean `perceptual` and `kid`, and both between the even and the odd real
        pictures: `perceptual_halves` is how far real pictures are from each other, which a
        picture far from its own target reaches; `kid_halves` is the noise of a KID of so many
        pairs, below which no model can be told apart. What cannot be measured is left out, or
        None."""
        if not self.pooled_features:
            return {}
        made, real = map(torch.cat, zip(*self.pooled_features))
        found = {"perceptual": torch.cat(self.distances).mean().item()}
        if len(real) > 1:
            found["perceptual_halves"] = torch.cat(self.apart).mean().item()
        return found | {"kid": kid(made, real), "kid_halves": kid(real[::2], real[1::2])}


class Comparison:
    """All measures over pairs that come a few at a time, so that a split of any size fits; those of
    features where there is a network."""

    def __init__(self, network: str | None = JUDGE, device: torch.device | str = "cpu") -> None:
        self.values: dict[str, list[Tensor]] = {"l1": [], "psnr": [], "ssim": []}
        self.by_features = FeatureComparison(network, device) if network else None
        self.small: list[tuple[Tensor, Tensor]] = []

    def add(
        self, generated: Tensor, target: Tensor, known: Features | None = None
    ) -> Features | None:
        """Take N pairs, N x C x H x W in [-1, 1], a batch of 8 or so. Returns the features of the
        targets, which may be given as `known` the next time: to look is most of the time."""
        for name, measure in (("l1", l1), ("psnr", psnr), ("ssim", ssim)):
            self.values[name].append(measure(generated, target).cpu())
        self.small.append((thumbnails(generated), thumbnails(target)))
        return self.by_features.add(generated, target, known) if self.by_features else None

    def result(self) -> dict[str, float | None]:
        """Return `images`, the means of `l1`, `psnr` and `ssim`, what `FeatureComparison.result`
        has, and `spread`; None for what cannot be measured (nothing was added, no network, NaN)."""
        means = {name: float(torch.cat(v).mean()) for name, v in self.values.items() if v}
        means |= self.by_features.result() if self.by_features else {}
        means["spread"] = (
            output_diversity(*map(torch.cat, zip(*self.small))) if self.small else None
        )
        finite = {n: means[n] for n in MEASURES if means.get(n) is not None}
        finite = {n: value for n, value in finite.items() if math.isfinite(value)}
        images = sum(map(len, self.values["l1"]))
        return {"images": images, **dict.fromkeys(MEASURES), **finite}


def evenly_spaced(count: int, limit: int) -> list[int]:
    """Return at most `limit` of `count` positions, from the first to the last, evenly spread."""
    return torch.linspace(0, count - 1, min(count, limit)).round().long().tolist()
