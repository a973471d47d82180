"""The records of a dataset on its way: names that match, files, pairs and the plan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

import numpy as np

from pix2pix.imaging.picture import Picture

SPLITS = ("train", "val", "test")
SIDES = ("source", "target")
EIGHT_BITS = (0.0, 255.0)
BINS = 32  # of a side's histogram
PERCENTILES = "percentiles"  # the range that leaves a thousandth out at either end
RangeChoice = str | tuple[float, float]  # "" for what is found, PERCENTILES, or (low, high)
# Shares of a file's numbers that are less: where its `quantiles` lie.
POINTS = np.concatenate([[0.0, 0.001], np.linspace(0.01, 0.99, 49), [0.999, 1.0]])


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
    the options that settle it, as `build_dataset.py` has them: "target-alpha=mask".
    """

    file: str
    side: str
    kind: str
    reason: str
    files: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()


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

    @property
    def target_folder(self) -> Path:
        """Return the folder that targets are named in: the only one where there is one."""
        return self.target or self.source


@dataclass(frozen=True)
class FileValues:
    """The numbers of one file of more than 8 bits.

    `low` and `high` are the least and the greatest, `quantiles` those at `POINTS` without the
    extremes that stand `apart`: {number: share of the pixels}. `distinct` counts whole numbers, and
    is 65 where there are more or others; `scale` is that of the picture. A file without any value
    has `count` 0.
    """

    numbers: str
    channels: int
    count: int
    low: float = 0.0
    high: float = 0.0
    quantiles: np.ndarray = field(default_factory=lambda: np.zeros(len(POINTS)), compare=False)
    apart: dict[float, float] = field(default_factory=dict, compare=False)
    distinct: int = 65
    scale: str = ""

    @property
    def core(self) -> tuple[float, float]:
        """Return the least and greatest number without the extremes that stand apart."""
        return float(self.quantiles[0]), float(self.quantiles[-1])


@dataclass(frozen=True)
class SideRange:
    """What is black and white in the files of one side, and how it was found.

    `found` is from the least to the greatest number, `robust` between the percentiles, `histogram`
    counts pixels from low to high; `numbers` and `channels` are those of most files. `stored` says
    that the pictures hold the range already, as those of a dataset that was built here.
    """

    low: float = 0.0
    high: float = 255.0
    numbers: str = "uint8"
    channels: int = 3
    found: tuple[float, float] = EIGHT_BITS
    robust: tuple[float, float] = EIGHT_BITS
    histogram: tuple[int, ...] = (0,) * BINS
    stored: bool = False

    @property
    def is_plain(self) -> bool:
        """Return whether it is that of all 8-bit pictures."""
        return self.numbers == "uint8" and (self.low, self.high) == EIGHT_BITS

    def chosen(self, choice: RangeChoice) -> SideRange:
        """Return the range that a person chose instead, or that was found."""
        if self.stored:
            return self
        low, high = self.robust if choice == PERCENTILES else choice or with_span(self.found)
        return replace(self, low=float(low), high=float(high))

    def apply(self, picture: Picture) -> Picture:
        """Put black and white where the range has them; 8-bit pictures on a deeper side stay."""
        if self.stored or self.is_plain or not (picture.is_deep or self.numbers == "uint8"):
            return picture
        return picture.with_range(self.low, self.high)


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


@dataclass(frozen=True)
class PlannedPair:
    """One pair that would be built, as a `Pair` with what is known of its files."""

    source: str
    target: str
    source_look: FileInfo
    target_look: FileInfo
    split: str = ""
    group: str = ""
    half: bool = False
    score: float = 0.0


def with_span(ends: tuple[float, float]) -> tuple[float, float]:
    """Return two ends that are apart."""
    low, high = ends
    return (low, high) if high > low else (low, low + 1.0)


def plain_ranges() -> dict[str, SideRange]:
    """Return the ranges of two sides of 8-bit pictures."""
    return {"source": SideRange(), "target": SideRange()}


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
