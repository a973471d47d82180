"""The records of a dataset on its way: names that match, files, pairs and the plan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import numpy as np

from pix2pix.data.ranges import FileValues, SideRange

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Match:
    """One pair of names; `split` and `group` are empty unless a CSV says them."""

    source: str
    target: str
    split: str = ""
    group: str = ""


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
    pairs: tuple[Match, ...]
    refused: tuple[Refusal, ...]


@dataclass(frozen=True)
class Origin:
    """The table that folders were taken from: its address, its columns (source and target, or one
    of A|B pictures), the most pairs of a split (0: all), and the rows that have no pictures."""

    table: str
    columns: tuple[str, ...]
    subset: str = ""
    limit: int = 0
    refused: tuple[Refusal, ...] = ()


@dataclass(frozen=True)
class Inputs:
    """Where pairs come from: two folders; one folder of photos and a derivation; or, with neither
    `target` nor `derive`, a folder that already is a dataset. `table` is the text of a CSV.

    The others say how the files are read, `alpha` and `classes` for source and target: `strips` is
    one of `ab_pairs.STRIPS`; `alpha` of `reading.ALPHA`; "colours" in `classes` shows class numbers
    in distinct colours; "all" `pages` makes a picture of every page. `title` is what the
    person calls the folder, where it is one of ours, and `left_out` what an archive held beside it.
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

    @property
    def kind(self) -> str:
        return "derived" if self.derive else "folders" if self.target else "dataset"

    @property
    def is_dataset_as_is(self) -> bool:
        """Whether it is a dataset whose files can be taken as they are."""
        as_is = self.strips == "halves" and self.alpha == ("white", "white")
        return self.kind == "dataset" and as_is and not any(self.classes)

    @property
    def target_folder(self) -> Path:
        """Return the folder that targets are named in: the only one where there is one."""
        return self.target or self.source


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
    """One pair that would be built. `half` says that the pair is the two halves of one strip."""

    source: str
    target: str
    source_look: FileInfo
    target_look: FileInfo
    split: str = ""
    group: str = ""
    half: bool = False
    score: float = 0.0


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


class Doubt(TypedDict):
    """A doubt for programs: `side` is source, target or pair, `files` are all it is about."""

    kind: str
    side: str
    files: list[str]
    sentence: str


def describe_doubts(doubts: Iterable[Refusal]) -> list[Doubt]:
    """Describe doubts for `dataset.json`, the command and the API: one for each kind and side, and
    the sentence of the first where several files have their own."""
    groups: dict[tuple[str, str], list[Refusal]] = {}
    for doubt in doubts:
        groups.setdefault((doubt.kind, doubt.side), []).append(doubt)
    described = []
    for (kind, side), members in groups.items():
        first = members[0]
        files = dict.fromkeys(name for d in members for name in d.files or (d.file,))
        more = f", and {len(members) - 1} more like it" if len(members) > 1 else ""
        described.append(
            Doubt(
                kind=kind,
                side=side,
                files=[*files],
                sentence=f"{first.file}: {first.reason}{more}.",
            )
        )
    return described
