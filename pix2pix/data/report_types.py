"""What `dataset.json` says of a dataset that was built here, as types: the report of a build."""

from __future__ import annotations

from typing import TypedDict

from pix2pix.data.records import PaletteColour


class Counts(TypedDict):
    """Pairs of a dataset, all of them and by split."""

    pairs: int
    train: int
    val: int
    test: int


class Doubt(TypedDict):
    """A doubt for programs: `side` is source, target or pair, `files` are all it is about."""

    kind: str
    side: str
    files: list[str]
    sentence: str


class Refused(TypedDict, total=False):
    """A file or pair that was left out of a dataset, and why.

    `side` is source, target or pair; `kind` is one word, such as unreadable or misaligned.
    """

    file: str
    side: str
    kind: str
    reason: str


class BuiltFile(TypedDict):
    """An A|B picture of a dataset, named below its folder, with the digest of its bytes."""

    file: str
    sha256: str


class BuiltPair(TypedDict):
    """A pair of a dataset: where it came from, and the pictures that were made of it.

    `source` and `target` are names in the input folders, `digests` the SHA-256 of both files;
    `half` says that both are the two halves of one picture; `score` is how well their edges
    agree, 1 for equal ones.
    """

    name: str
    split: str
    source: str
    target: str
    digests: list[str]
    half: bool
    score: float
    files: list[BuiltFile]


class DatasetOrigin(TypedDict):
    """The table that pictures were taken from; `limit` is the most pairs of a split, 0 for all. Of
    a video, `every` so many frames were taken."""

    table: str
    columns: list[str] | tuple[str, ...]
    subset: str
    limit: int
    every: int


class DatasetInputs(TypedDict, total=False):
    """The folders that a dataset was made from; `derive` is how sources came from targets, the
    rest how the files were read: see `Inputs`. `origin` is there where they came from a table."""

    source: str
    target: str | None
    derive: str
    strips: str
    alpha: list[str]
    classes: list[str]
    pages: str
    origin: DatasetOrigin


class Numbers(TypedDict):
    """What the files of a side held: the commonest type, such as uint16 or float32, and channels.

    `stored` says that they held a range already, as the pictures of a dataset that was built here;
    `kept` that the A|B pictures hold the numbers themselves, which others show from black to white.
    """

    type: str
    channels: int
    stored: bool
    kept: bool


class DatasetRecipe(TypedDict, total=False):
    """How the pairs of a dataset were made: the fields of `Recipe`."""

    size: int
    fit: str
    format: str
    quality: int
    keep: bool
    split: list[float] | tuple[float, float, float] | None
    seed: int
    together: str
    labels: str
    leave_out: list[str] | tuple[str, ...]
    source_name: str
    target_name: str
    source_range: str | list[float] | tuple[float, float]
    target_range: str | list[float] | tuple[float, float]


class DatasetReport(TypedDict, total=False):
    """What `dataset.json` says of a dataset that was built here: the report of a build.

    `rule` is how names were matched, `label_maps` whether sources and targets are label maps,
    `others` the files that are no pictures of it, `palette` the colours of label maps that have
    names or numbers, `source_kind` what A is where a person drew it here, "drawing" or "labels",
    `scaled` whether most pictures are at another scale than their originals. `ranges` says which
    number of the originals is black and which is white on either side.
    """

    format_version: int
    source_name: str
    target_name: str
    rule: str
    explanation: str
    label_maps: list[bool]
    scaled: bool
    ranges: dict[str, list[float]]
    numbers: dict[str, Numbers]
    inputs: DatasetInputs
    recipe: DatasetRecipe
    made_with: dict[str, str]
    warnings: list[str]
    refused: list[Refused]
    doubts: list[Doubt]
    others: list[Refused]
    palette: list[PaletteColour]
    source_kind: str
    counts: Counts
    pairs: list[BuiltPair]
