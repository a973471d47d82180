"""The recipe of a dataset: size, fit, format, labels, doubts and split of its pairs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from pix2pix.data.records import PERCENTILES, RangeChoice
from pix2pix.errors import UserError

FITS = {
    "stretch": "Stretch to a square",
    "pad": "Pad with white to a square",
    "crop": "Crop the centre",
    "tiles": "Cut into tiles",
}
FORMATS = {"png": ".png", "jpg": ".jpg"}
LABELS = ("auto", "none", "source", "target", "both")
DOUBTS = ("aspect", "misaligned", "jpeg labels")
DEFAULT_SHARES = (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class Recipe:
    """How pairs are made. Raises UserError for values that make no sense.

    `size` is the side of each half in pixels, 0 keeps what is there; `fit` says how a picture gets
    to that size. `split` holds the shares of train, val and test; None takes what the folders or
    the CSV say, and 0.8, 0.1, 0.1 where they say nothing. Pairs for which the regular expression
    `together` finds the same text in the source's name stay in one split. `keep` keeps 16 bits,
    grey and alpha where both pictures of a pair have them; else everything is 8-bit RGB on white.
    `labels` says which side is scaled without mixing colours. `leave_out` names kinds of doubt.
    `source_range` and `target_range` say what is black and what is white in files of more than 8
    bits: "" is from the least to the greatest number of all files of that side, "percentiles"
    leaves a thousandth out at either end, and two numbers, as (0, 4080) or "0,4080", are taken.
    """

    size: int = 256
    fit: str = "stretch"
    format: str = "png"
    quality: int = 95
    keep: bool = False
    split: tuple[float, float, float] | None = None
    seed: int = 0
    together: str = ""
    labels: str = "auto"
    leave_out: tuple[str, ...] = ()
    source_name: str = ""
    target_name: str = ""
    source_range: RangeChoice = ""
    target_range: RangeChoice = ""

    def __post_init__(self) -> None:
        for side in ("source_range", "target_range"):
            words = f"The {side.replace('_', ' ')}"
            object.__setattr__(self, side, parse_range(getattr(self, side), words))
        for key, allowed in (("fit", FITS), ("format", FORMATS), ("labels", LABELS)):
            if getattr(self, key) not in allowed:
                known = ", ".join(allowed)
                raise UserError(f"{key} is '{getattr(self, key)}': choose one of {known}.")
        for key in ("size", "quality", "seed"):
            if not isinstance(getattr(self, key), int):
                raise UserError(f"{key} is '{getattr(self, key)}': give a whole number.")
        if self.size and not 16 <= self.size <= 4096:
            raise UserError(f"The size is {self.size}: take 16 to 4096, or 0 to keep sizes.")
        if self.fit == "tiles" and not self.size:
            raise UserError("Tiles need a size: take 256, or another fit.")
        if not 1 <= self.quality <= 100:
            raise UserError(f"The JPEG quality is {self.quality}: take 1 to 100.")
        if odd := set(self.leave_out) - set(DOUBTS):
            raise UserError(f"'{odd.pop()}' is no doubt: choose from {', '.join(DOUBTS)}.")
        _check_split(self.split)
        try:
            re.compile(self.together)
        except re.error as error:
            raise UserError(f"'{self.together}' is no regular expression: {error}.") from error


def _check_split(split: tuple[float, float, float] | None) -> None:
    if split is None:
        return
    ok = len(split) == 3 and all(math.isfinite(s) and s >= 0 for s in split)
    if not ok or abs(sum(split) - 1) > 1e-6:
        raise UserError(
            "The shares of train, val and test are three numbers that add up to 1, as 0.8,0.1,0.1."
        )


def parse_range(value: Any, what: str = "The range") -> RangeChoice:
    """Read a choice: nothing, "percentiles", or two numbers such as "0,4080"; UserError else."""
    if isinstance(value, str) and value.strip().casefold() in ("", "auto", PERCENTILES):
        return "" if value.strip().casefold() != PERCENTILES else PERCENTILES
    parts = value.split(",") if isinstance(value, str) else value or ()
    try:
        low, high = (float(part) for part in parts) if parts else ("", "")
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if low == "":
        return ""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(
            f"{what} is two numbers, the smaller first, such as 0,4080, or {PERCENTILES}."
        )
    return low, high
