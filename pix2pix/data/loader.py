"""Load pairs for training: decoded once, augmented with A and B together.

With ``derive="grey"`` the source is the target in grey, and the files may be plain photos.
"""

from __future__ import annotations

import colorsys
import functools
import itertools
import math
import os
import random
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from pix2pix.config import TrainConfig
from pix2pix.data.dataset import (
    find_pairs,
    folder_ranges,
    is_photo_dataset,
    open_source_target,
)
from pix2pix.data.ranges import SideRange
from pix2pix.data.report import read_facts
from pix2pix.data.sources import seeded_random
from pix2pix.errors import UserError
from pix2pix.imaging.hints import LOOK, colour_hints, paint_hints
from pix2pix.imaging.picture import LUMA, resize, to_array
from pix2pix.utils.machine import free_memory, local_processes, usable_cores

CACHE_SHARE = 0.25  # of the memory that is free when a run begins, for decoded pictures
CPU = torch.device("cpu")
PAPER = 0.92  # luma above which a picture is backdrop, for its mean
LIGHT = 0.6  # what is lighter takes less and less of another colour: soles and soft shadows
TURNED = 0.3  # share of recoloured targets whose hues are turned
NEUTRAL = 0.4  # share of the others that become black, grey or white: photos have no deep black
PAIRS_FOR_CHANNELS = 32  # pairs whose channels are the dataset's
WORKERS = max(1, min(4, usable_cores() // 2))  # threads that prepare batches


class PairDataset(Dataset[tuple[Tensor, Tensor]]):
    """The pairs of one split as tensors in [-1, 1]; decoded pictures are kept as uint8 while there
    is room.

    An item is (source, target), both C x size x size: changed by chance in `train`, as the config
    says and otherwise in each `epoch`, and as it is in the other splits.
    """

    def __init__(
        self, folder: str | os.PathLike[str], split: str, config: TrainConfig, epoch: int = 0
    ) -> None:
        """Find the pairs; raises UserError where the split holds none."""
        folder = Path(folder)
        self.config, self.split, self.epoch = config, split, epoch
        self.files = find_pairs(folder, split)
        if not self.files:
            raise UserError(f"{folder.name} holds no pictures in {split}/: choose another dataset.")
        self.facts = read_facts(folder)
        if config.colour_hints and self.facts.has_hints:
            raise UserError(
                f"The sources of {folder.name} have strokes of colour already: leave colour_hints "
                "out, or choose a dataset of lines alone."
            )
        self.photos = config.derive == "grey" and is_photo_dataset(folder, self.facts)
        self.labels = self.facts.label_sides(config)
        # Of A ("source") and B ("target").
        self.ranges = folder_ranges(folder, self.facts, photos=self.photos)
        self.cache: dict[int, tuple[Tensor, Tensor]] = {}
        self.cache_bytes = free_memory(CPU) * CACHE_SHARE / local_processes()  # bytes
        self.channels = self.count_channels()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not 0 <= index < len(self):  # else a loop over the pairs would not end
            raise IndexError(index)
        return self.augmented(index, self.epoch) if self.split == "train" else self.plain(index)

    def count_channels(self) -> tuple[int, int]:
        """Return source and target channels: as configured, else 1 or 3, what the pictures of some
        pairs, spread over all, need."""
        configured = self.config.source_channels, self.config.target_channels
        if self.config.colour_hints:
            return 3, 3
        if all(configured):
            return configured
        some = range(0, len(self.files), -(-len(self.files) // PAIRS_FOR_CHANNELS))
        counts = zip(*([len(p.getbands()) for p in self.pictures(i)] for i in some))
        most = [
            1 if side.numbers != "uint8" and side.channels == 1 else max(count)
            for side, count in zip(self.turned_ranges(), counts)
        ]  # an A|B picture of a photo and of depth has three channels on both sides
        # Opened with transparency both have it, and it is a channel only where that was asked for.
        source, target = (
            known or (3 if count >= 3 else 1) for known, count in zip(configured, most)
        )
        return source, target

    def turned_ranges(self) -> tuple[SideRange, SideRange]:
        """Return the ranges of source and target, as the direction and the derivation say."""
        a, b = self.ranges["source"], self.ranges["target"]
        source, target = (b, a) if self.config.direction == "BtoA" else (a, b)
        return (SideRange(), target) if self.config.derive == "grey" else (source, target)

    def number_facts(self) -> dict[str, dict[str, object]]:
        """Return `ranges` and `numbers` of a run's config; empty ones of 8-bit pictures."""
        sides = dict(zip(("source", "target"), self.turned_ranges()))
        if all(side.is_plain for side in sides.values()):
            return {"ranges": {}, "numbers": {}}
        return {
            "ranges": {name: [side.low, side.high] for name, side in sides.items()},
            "numbers": {
                name: {"type": side.numbers, "channels": side.channels}
                for name, side in sides.items()
            },
        }

    def pictures(self, index: int) -> tuple[Image.Image, Image.Image]:
        """Open source and target as the direction and the derivation say, PIL pictures; transparent
        ones are so only where a network has a fourth channel."""
        config = self.config
        return open_source_target(
            self.files[index], config.direction, grey=config.derive == "grey", photos=self.photos,
            alpha=4 in (config.source_channels, config.target_channels), ranges=self.ranges,
        )  # fmt: skip

    def decoded(self, index: int) -> tuple[Tensor, Tensor]:
        """Return source and target, uint8 C x (size + jitter) x (size + jitter), from memory where
        they were decoded before."""
        if index in self.cache:
            return self.cache[index]
        source, target = self.at_size(index, self.config.size + self.config.jitter)
        if source.nbytes + target.nbytes <= self.cache_bytes:
            self.cache_bytes -= source.nbytes + target.nbytes
            self.cache[index] = source, target
        return source, target

    def at_size(self, index: int, side: int) -> tuple[Tensor, Tensor]:
        """Scale source and target to a square, uint8 C x side x side: label maps without mixing
        their colours, and both so where the preset's own jitter is so."""
        shrink = self.config.jitter_kind == "shrink"
        tensors = []
        for picture, channels, labels in zip(self.pictures(index), self.channels, self.labels):
            nearest = labels or shrink
            picture = resize(picture, (side, side), labels=nearest)
            array = to_array(picture, channels)
            tensors.append(torch.from_numpy(np.rint((array + 1) * 127.5).astype(np.uint8)))
        return tuple(tensors)

    def plain(self, index: int) -> tuple[Tensor, Tensor]:
        """Return source and target without augmentation, C x size x size in [-1, 1]."""
        source, target = (
            side.float() / 127.5 - 1 for side in self.at_size(index, self.config.size)
        )
        if self.config.colour_hints:
            source = hinted(source, target, seeded_random(0, self.files[index].name))
        return source, target

    def augmented(self, index: int, epoch: int) -> tuple[Tensor, Tensor]:
        """Return source and target after one random transform of both, C x size x size in [-1, 1].

        The randomness depends on (seed, epoch, index) alone, so that a resumed run goes on exactly.
        """
        seed = (self.config.seed * 1_000_003 + epoch) * 1_000_003 + index
        rng = torch.Generator().manual_seed(seed % 2**63)
        source, target = self.decoded(index)
        both = torch.cat([source, target]).float() / 127.5 - 1
        labels = [i for i in range(len(both)) if self.labels[i >= len(source)]]
        both = augment(both, self.config, rng, labels)
        source, target = both[: len(source)], both[len(source) :]
        chance = random.Random(seed)
        if chance.random() < self.config.colour_hints:
            if chance.random() < self.config.recolour:
                target = recoloured(target, chance)
            source = hinted(source, target, chance)
        return source, target


def augment(
    both: Tensor, config: TrainConfig, rng: torch.Generator, labels: Sequence[int] = ()
) -> Tensor:
    """Augment C x S x S with S = size + jitter to C x size x size: warp or crop, then mirror
    (paper section 6.2). Source and target are channels of one tensor, so nothing parts them."""
    size = config.size
    if config.warp:
        grid = warp_grid(size, config.warp, rng)
        # Beyond their edges a drawing and its photo go on as they end: paper, a wall, a neck. Of
        # other pairs that would be stripes, and the network would learn them: they are mirrored.
        beyond = "border" if config.source_kind == "drawing" else "reflection"
        sampled = functools.partial(F.grid_sample, padding_mode=beyond, align_corners=False)
        warped = sampled(both[None], grid)[0]
        if labels:
            warped[labels] = sampled(both[None, labels], grid, mode="nearest")[0]
        both = warped
    elif config.jitter_kind == "shrink":
        both = F.interpolate(both[None], (size, size), mode="nearest")[0]
    else:
        top, left = torch.randint(0, config.jitter + 1, (2,), generator=rng).tolist()
        both = both[:, top : top + size, left : left + size]
    if config.mirror and torch.rand((), generator=rng) < 0.5:
        both = both.flip(-1)
    return both


def warp_grid(size: int, strength: float, rng: torch.Generator) -> Tensor:
    """Draw where each output pixel looks, 1 x size x size x 2 in [-1, 1]: at strength 1 a scale of
    0.75 to 1.3, a turn of up to 8 degrees, a shift of up to a tenth and a smooth bend."""
    scale_x, scale_y, turn, x, y = (
        torch.rand(5, generator=rng) * 2 - 1
    ).tolist()  # each in [-1, 1]
    # Width and height share most of the scale, and differ by a little: faces are long or round.
    zoom = math.exp(0.27 * strength * scale_x)
    zoom_y = zoom * math.exp(0.08 * strength * scale_y)
    angle = math.radians(8 * strength * turn)
    cos, sin = math.cos(angle), math.sin(angle)
    shift = 0.2 * strength  # of [-1, 1]: a tenth of the side
    theta = torch.tensor(
        [[cos * zoom, -sin * zoom_y, shift * x], [sin * zoom, cos * zoom_y, shift * y]]
    )
    grid = F.affine_grid(theta[None], [1, 1, size, size], align_corners=False)
    knots = torch.randn(1, 2, 5, 5, generator=rng) * 0.03 * strength
    bend = F.interpolate(knots, (size, size), mode="bicubic", align_corners=True)
    return grid + bend.permute(0, 2, 3, 1)


def hinted(source: Tensor, target: Tensor, chance: random.Random) -> Tensor:
    """Lay the source over strokes of the target's colours; both are 3 x S x S in [-1, 1]."""
    small = F.interpolate(target[None], (LOOK, LOOK), mode="area")[0].permute(1, 2, 0)
    hints = colour_hints((small.numpy() + 1) / 2, chance)
    paper = torch.from_numpy(np.array(paint_hints(hints, source.shape[:0:-1]))).permute(2, 0, 1)
    return (source + 1) * (paper.float() / 255) - 1


def recoloured(target: Tensor, chance: random.Random) -> Tensor:
    """Colour the target, 3 x S x S in [-1, 1], anew and keep black and white: turn its hues, or
    make what is not light in it shades of one colour, of black too, so that a few hundred brown
    and black things teach every colour."""
    picture = (target + 1) / 2
    luma = torch.tensor(LUMA)
    grey = (luma[:, None, None] * picture).sum(0)
    if chance.random() < TURNED:
        turn = torch.tensor(hue_turn(math.radians(60 + 240 * chance.random())))
        turned = torch.einsum("ij,jhw->ihw", turn, picture - grey)
        return (grey + (1 + chance.random()) * turned).clamp(0, 1) * 2 - 1
    hue, saturation, value = (chance.random() for _ in range(3))
    if chance.random() < NEUTRAL:
        hsv = hue, 0.2 * saturation, 0.08 + 0.85 * value**2
    else:
        hsv = hue, 0.4 + 0.6 * saturation, 0.2 + 0.8 * value
    color = torch.tensor(colorsys.hsv_to_rgb(*hsv))
    middle = float((luma * color).sum())
    thing = grey[grey < PAPER]
    mean = float(thing.mean()) if len(thing) else 0.5
    power = math.log(middle) / math.log(min(max(mean, 0.02), 0.98))
    shade = grey.clamp(0, 1) ** min(max(power, 0.5), 3.5)
    color = color[:, None, None]
    dark, light = color * (shade / middle), 1 - (1 - color) * ((1 - shade) / (1 - middle))
    painted = torch.where(shade < middle, dark, light)
    share = ((PAPER - grey) / (PAPER - LIGHT)).clamp(0, 1)
    return torch.lerp(grey.expand_as(painted), painted, share).clamp(0, 1) * 2 - 1


def hue_turn(angle: float) -> list[list[float]]:
    """Return the 3 x 3 matrix that turns RGB around the axis of greys."""
    cos, sin = math.cos(angle), math.sin(angle)
    same, next_, last = (
        (1 + 2 * cos) / 3,
        (1 - cos) / 3 - sin / 3**0.5,
        (1 - cos) / 3 + sin / 3**0.5,
    )
    return [[same, next_, last], [last, same, next_], [next_, last, same]]


def batches(
    dataset: PairDataset, batch_size: int, seed: int, start: int = 0, rank: int = 0, world: int = 1
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (source N x C x S x S, target) without end, from batch number ``start`` on.

    Each epoch has its own order, fixed by (seed, epoch); a last, smaller batch is kept. Of each
    batch every one of the ``world`` processes gets an equal share; what cannot be shared out is
    left to another epoch. Threads prepare the next batches while the networks work on this one.
    """
    per_epoch = steps_per_epoch(len(dataset), batch_size, world)

    def made(number: int) -> tuple[Tensor, Tensor]:
        epoch, batch = divmod(number, per_epoch)
        chosen = epoch_order(len(dataset), seed, epoch)[
            batch * batch_size : (batch + 1) * batch_size
        ]
        mine = chosen[: len(chosen) // world * world][rank::world]
        pairs = [dataset.augmented(i, epoch) for i in mine]
        return torch.stack([s for s, _ in pairs]), torch.stack([t for _, t in pairs])

    with single_threaded_pool() as pool:
        ahead = deque(pool.submit(made, start + i) for i in range(2 * WORKERS))
        for number in itertools.count(start + len(ahead)):
            ready = ahead.popleft().result()
            ahead.append(pool.submit(made, number))
            yield ready


def single_threaded_pool() -> ThreadPoolExecutor:
    """Start `WORKERS` threads in each of which torch computes on that thread alone.

    With OpenMP threads of their own they would outnumber the cores, and then those of the networks
    sleep at every layer instead of waiting a moment: a step took half as long again on two cores.
    """
    usual = torch.get_num_threads()
    started = threading.Barrier(WORKERS + 1)

    def compute_alone() -> None:
        torch.get_num_threads()  # a new thread takes the process's number when it first asks
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(WORKERS, initializer=compute_alone)
    for _ in range(WORKERS):
        pool.submit(torch.get_num_threads)
    started.wait()
    torch.set_num_threads(usual)  # it holds for this thread, and for those begun from now on
    return pool


@functools.lru_cache(maxsize=2)
def epoch_order(pairs: int, seed: int, epoch: int) -> list[int]:
    """Shuffle the numbers of the pairs for an epoch: always the same for (seed, epoch)."""
    rng = torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)
    return torch.randperm(pairs, generator=rng).tolist()


def steps_per_epoch(pairs: int, batch_size: int, world: int = 1) -> int:
    """Count the batches of an epoch; a last one that `world` processes cannot share is none."""
    full_batches, rest = divmod(pairs, batch_size)
    return full_batches + (rest >= world)
