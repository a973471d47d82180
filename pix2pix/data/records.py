"""The records of a dataset on its way: names that match, files, pairs, the plan and the recipe."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import numpy as np

from pix2pix.data.ranges import FileValues, RangeChoice, SideRange, parse_range, plain_ranges
from pix2pix.errors import UserError

SPLITS = ("train", "val", "test")
SIDES = ("source", "target")
FITS = {
    "stretch": "Stretch to a square",
    "pad": "Pad with white to a square",
    "crop": "Crop the centre",
    "tiles": "Cut into tiles",
}
FORMATS = {"png": ".png", "jpg": ".jpg"}
LABELS = ("auto", "none", "source", "target", "both")
DOUBTS = ("aspect", "misaligned")  # of pairs, which can be left out for them
DEFAULT_SHARES = (0.8, 0.1, 0.1)
BAD_SHARES = (
    "The shares of train, val and test are three numbers that add up to 1, as "
    f"{','.join(map(str, DEFAULT_SHARES))}."
)


@dataclass(frozen=True)
class Pair:
    """One pair by its names inside the input folders; `half` says that both are one strip's halves.

    `split` and `group` are empty unless a CSV or a folder says them. A pair that is to be built has
    a `name` (without suffix) for its pictures in their split, the SHA-256 `digests` of its files
    and a `score`: how well the edges of its pictures agree, 1 for equal ones.
    """

    source: str
    target: str
    split: str = ""
    group: str = ""
    half: bool = False
    score: float = 0.0
    name: str = ""
    digests: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Refusal:
    """A file that is left out, or kept with a doubt. `side` is source, target, pair or csv.

    A doubt about more than one file names them in `files`, of which `file` shows it; `fixes` are
    the options that settle it, as `build_dataset.py` has them: "target-alpha=mask". Of a doubtful
    pair `file` is the source, which may be that of other pairs too, and `target` the target.
    """

    file: str
    side: str
    kind: str
    reason: str
    files: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    target: str = ""


def doubt(
    side: str, kind: str, files: Sequence[str], reason: str, fixes: Sequence[str] = ()
) -> Refusal:
    """Doubt some files of a side, of which the first shows it."""
    return Refusal(files[0], side, kind, reason, tuple(files), tuple(fixes))


def and_more(names: Sequence[str]) -> str:
    """Say how many there are beside the first."""
    return f" (and {len(names) - 1:,} more)" if len(names) > 1 else ""


@dataclass(frozen=True)
class Matching:
    """What a rule made of two lists of names. `rule` is never `auto`: it is the rule taken."""

    rule: str
    explanation: str
    pairs: tuple[Pair, ...]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True)
class Origin:
    """The table that folders were taken from: its address, its columns (source and target, or one
    of A|B pictures), the most pairs of a split (0: all), and the rows that have no pictures. Of a
    video, every so many frames were taken."""

    table: str
    columns: tuple[str, ...]
    subset: str = ""
    limit: int = 0
    refused: tuple[Refusal, ...] = ()
    every: int = 0


class PaletteColour(TypedDict, total=False):
    """A colour of a label map, and the class number that it stands for, if it does for one."""

    name: str
    color: str
    number: int


@dataclass(frozen=True)
class Inputs:
    """Where pairs come from: two folders; one folder of photos and a derivation; or, with neither
    `target` nor `derive`, a folder that already is a dataset. `table` is the text of a CSV.

    The others say how the files are read, `alpha` and `classes` for source and target: `strips` is
    one of `ab_pairs.STRIPS`; `alpha` of `reading.ALPHA`; "colours" in `classes` shows class numbers
    in distinct colours; "all" `pages` makes a picture of every page. `title` is what the
    person calls the folder, where it is one of ours, `left_out` what an archive held beside it, and
    `taken` says in words which frames of a video the photos are. Sources that a person drew here
    have a `source_kind`, "drawing" or "labels", and labels their `palette` of {"name", "color"}.
    Names with the same match of `together` stay in one split, unless a recipe has its own.
    """

    source: Path
    target: Path | None = None
    match: str = "auto"
    table: str = ""
    derive: str = ""
    strips: str = "halves"
    alpha: tuple[str, str] = ("white", "white")
    classes: tuple[str, str] = ("", "")
    pages: str = "first"
    title: str = ""
    left_out: tuple[Refusal, ...] = ()
    origin: Origin | None = None
    source_kind: str = ""
    palette: tuple[PaletteColour, ...] = ()
    taken: str = ""
    together: str = ""

    @property
    def kind(self) -> str:
        """Return "folders" for two of them, "derived" for one of photos, else "dataset"."""
        return "derived" if self.derive else "folders" if self.target else "dataset"

    @property
    def is_dataset_as_is(self) -> bool:
        """Return whether it is a dataset whose files can be taken as they are."""
        as_is = self.strips == "halves" and self.alpha == ("white", "white")
        return self.kind == "dataset" and as_is and not any(self.classes)

    @property
    def needs_matching(self) -> bool:
        """Whether names of two folders must be matched, which those of drawings need not."""
        return self.kind == "folders" and not self.source_kind

    def folder(self, side: str) -> Path:
        """Return the folder that the names of "source" or "target" are in."""
        return self.target or self.source if side == "target" else self.source


@dataclass(frozen=True)
class FileInfo:
    """One file: (width, height), digest of its bytes, bits and channels as stored, its `values`
    where they have more than 8 bits, bands that were left out, the name of a profile that moved its
    colours, and a 64 x 64 x 3 uint8 picture of it, as the network sees it. `halves` are values and
    small picture of A and B where a strip has more than 8 bits."""

    size: tuple[int, int]
    digest: str
    bits: int
    channels: int
    format: str
    small: np.ndarray = field(compare=False, repr=False)
    values: FileValues | None = field(default=None, compare=False, repr=False)
    extra_bands: int = 0  # bands that are neither colour nor transparency and were left out
    profile: str = ""
    pages: int = 1
    alpha: str = ""  # "hides" colours or "mask" where transparency holds what is meant
    classes: tuple[int, ...] = ()  # the class numbers that are shown in colours
    halves: tuple[tuple[FileValues, np.ndarray], ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class PlannedPair(Pair):
    """One pair that would be built, with what is known of its files."""

    source_look: FileInfo
    target_look: FileInfo


@dataclass(frozen=True)
class Plan:
    """`refused` is left out of the dataset; `doubts` are pairs that are kept unless told, or say
    what is wrong with a side; `others` are the files of the folders that are no pictures, or are
    none of the dataset's. Every file is in one of them or in `pairs`."""

    inputs: Inputs
    rule: str
    explanation: str
    pairs: tuple[PlannedPair, ...]
    refused: tuple[Refusal, ...]
    doubts: tuple[Refusal, ...]
    label_maps: tuple[bool, bool]  # whether the sources, the targets are label maps
    ranges: dict[str, SideRange] = field(default_factory=plain_ranges)  # of "source" and "target"
    others: tuple[Refusal, ...] = ()

    @property
    def examples(self) -> list[tuple[str, str]]:
        """Return three pairs of names from the beginning, the middle and the end."""
        count = len(self.pairs)
        chosen = sorted({0, count // 2, count - 1}) if count else []
        return [(self.pairs[i].source, self.pairs[i].target) for i in chosen]

    def counts(self) -> dict[str, int]:
        """Count the pairs, and the refusals and doubts of each kind."""
        counts = {"pairs": len(self.pairs)}
        for refusal in (*self.refused, *self.doubts):
            counts[refusal.kind] = counts.get(refusal.kind, 0) + 1
        return counts


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
        shares = DEFAULT_SHARES if self.split is None else self.split
        ok = len(shares) == 3 and all(math.isfinite(s) and s >= 0 for s in shares)
        if not ok or abs(sum(shares) - 1) > 1e-6:
            raise UserError(BAD_SHARES)
        try:
            re.compile(self.together)
        except re.error as error:
            raise UserError(f"'{self.together}' is no regular expression: {error}.") from error


def parse_shares(text: str) -> tuple[float, float, float] | None:
    """Read the shares of train, val and test, such as "0.8,0.1,0.1"; None where nothing is given.
    Raises UserError."""
    if not text.strip():
        return None
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UserError(BAD_SHARES) from error
    return train, val, test
