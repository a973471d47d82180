"""The records of a dataset on its way: names that match, files, pairs and the plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

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
    """A file that is left out, or kept with a doubt. `side` is source, target, pair or csv."""

    file: str
    side: str
    kind: str
    reason: str


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
    `target` nor `derive`, a folder that already is a dataset. `table` is the text of a CSV."""

    source: Path
    target: Path | None = None
    match: str = "auto"
    table: str = ""
    derive: str = ""
    origin: Origin | None = None

    @property
    def kind(self) -> str:
        return "derived" if self.derive else "folders" if self.target else "dataset"

    @property
    def target_folder(self) -> Path:
        """Return the folder that targets are named in: the only one where there is one."""
        return self.target or self.source


@dataclass(frozen=True)
class FileInfo:
    """One file: (width, height), digest of its bytes, bits and channels as stored, and a 64 x 64
    x 3 uint8 picture of it."""

    size: tuple[int, int]
    digest: str
    bits: int
    channels: int
    format: str
    small: np.ndarray = field(compare=False, repr=False)


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


@dataclass(frozen=True)
class Plan:
    """`refused` is left out of the dataset; `doubts` are pairs that are kept unless told."""

    inputs: Inputs
    rule: str
    explanation: str
    pairs: tuple[PlannedPair, ...]
    refused: tuple[Refusal, ...]
    doubts: tuple[Refusal, ...]
    label_maps: tuple[bool, bool]  # whether the sources, the targets are label maps

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
