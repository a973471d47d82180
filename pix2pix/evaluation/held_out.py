"""Validate a generator on held-out pairs, again and again while it trains."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pix2pix.evaluation.metrics import (
    BATCH,
    CHOOSER,
    JUDGE,
    Comparison,
    FeatureComparison,
    Features,
)
from pix2pix.nn.imagenet import installed

Generate = Callable[[Tensor], Tensor]  # some of the sources -> the pictures that people would see


class HeldOut:
    """Pairs to validate on, each side N x C x H x W in [-1, 1]. What the networks, which run on
    `device`, see in the targets is kept, 1.5 MB a pair.

    No gradient is kept, and PyTorch's random numbers go on as if nothing had been.
    """

    def __init__(self, source: Tensor, target: Tensor, device: torch.device | str = "cpu") -> None:
        self.source, self.target, self.device = source, target, device
        self.seen: dict[tuple[type, int], Features | None] = {}

    def validate(self, generate: Generate, by_features: bool = True) -> dict[str, float]:
        """Measure a generator: the mean `l1`, `psnr`, `ssim`, `perceptual` by `CHOOSER` unless
        `by_features` is off, and the `spread`, without what cannot be measured."""
        compared = Comparison(CHOOSER if by_features else None, self.device)
        figures = self._compare(compared, generate)
        names = ("l1", "psnr", "ssim", "perceptual", "spread")
        return {name: figures[name] for name in names if figures[name] is not None}

    def judge(self, generate: Generate) -> dict[str, Any]:
        """Report on a generator: `perceptual` and `perceptual_halves` by the network named `judge`;
        empty where that is not installed."""
        if not installed(JUDGE):
            return {}
        told = self._compare(FeatureComparison(JUDGE, self.device), generate)
        names = ("perceptual", "perceptual_halves")
        finite = {n: told[n] for n in names if math.isfinite(told.get(n, math.nan))}
        return {"judge": JUDGE, **finite}

    @torch.no_grad()
    def _compare(
        self, compared: Comparison | FeatureComparison, generate: Generate
    ) -> dict[str, float | None]:
        gpus = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(devices=gpus):
            for start in range(0, len(self.source), BATCH):
                batch, key = slice(start, start + BATCH), (type(compared), start)
                made, known = generate(self.source[batch]), self.seen.get(key)
                self.seen[key] = compared.add(made, self.target[batch], known)
        return compared.result()
