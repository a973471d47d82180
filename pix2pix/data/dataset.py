"""Find, open and describe datasets: folders of pairs. No torch.

Layouts: ``train/ val/ test/`` of A|B strips, or two folders a split of files with equal names (see
`layout`); a folder of pictures alone is all train. ``dataset.json`` beside them says more, and is
not needed.
"""

from __future__ import annotations

import contextlib
import filecmp
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image

from pix2pix.data.layout import find_splits, is_dataset, subfolders
from pix2pix.data.matching import match_names
from pix2pix.data.ranges import FileValues, SideRange, find_range, measure_values, plain_ranges
from pix2pix.data.reading import limit_big_pictures, parallel
from pix2pix.data.records import SIDES, SPLITS, Refusal
from pix2pix.data.report import DATASET_JSON, DatasetFacts, read_facts
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import cut_boxes, cut_strip, is_ab_pair
from pix2pix.imaging.decode import list_images, open_picture
from pix2pix.imaging.picture import Picture, as_picture
from pix2pix.utils.progress import ShouldStop
from pix2pix.utils.text import printable
from pix2pix.utils.workspace import workspace

SAMPLED_PAIRS = 5  # pictures of a split that tell whether they are pairs
MEASURED_PAIRS = 4  # of all, whose bits are those of all
MAX_LABELS = 64  # colours of a label map


@dataclass(frozen=True)
class PairFile:
    """One pair on disk: an A|B strip, or A and B as two files."""

    name: str
    a: Path
    b: Path | None = None


@dataclass(frozen=True)
class DatasetInfo:
    """What a list of datasets shows. `size` is that of the first pair's A, (width, height) in
    pixels, None where it cannot be read; `counts` are pairs by split."""

    name: str
    title: str
    counts: dict[str, int]
    layout: str  # "strips" or "folders"
    size: tuple[int, int] | None
    source_name: str
    target_name: str
    facts: DatasetFacts

    @property
    def total(self) -> int:
        """Return the pairs of all splits."""
        return sum(self.counts.values())


def list_pairs(folder: Path, split: str) -> tuple[list[PairFile], list[Refusal]]:
    """List the pairs of one split in name order, and the files of two folders without a partner,
    named below `folder`; both empty where there is no such split. A folder without any split is
    all train, of A|B pictures."""
    splits = find_splits(folder)
    place = splits.get(split)
    if place is None:
        is_plain = split == "train" and not splits and folder.is_dir()
        return [PairFile(f.stem, f) for f in list_images(folder)] if is_plain else [], []
    if place.b is None:
        return [PairFile(f.stem, f) for f in list_images(place.a)], []
    files = tuple({f.name: f for f in list_images(side)} for side in (place.a, place.b))
    matching = match_names([*files[0]], [*files[1]], "stem")
    sides = {"source": place.a, "target": place.b}
    refused = [
        replace(r, file=(sides[r.side] / r.file).relative_to(folder).as_posix())
        for r in matching.refused
    ]
    pairs = [(files[0][match.source], files[1][match.target]) for match in matching.pairs]
    return sorted((PairFile(a.stem, a, b) for a, b in pairs), key=lambda pair: pair.name), refused


def find_pairs(folder: Path, split: str) -> list[PairFile]:
    """List the pairs of one split as `list_pairs` does. Raises UserError where a file of two
    folders has no partner, or could have several."""
    pairs, refused = list_pairs(folder, split)
    if refused:
        place = find_splits(folder)[split]
        a, b = (side.relative_to(folder).as_posix() for side in (place.a, place.b))
        odd = min(refused, key=lambda r: r.file)
        name = Path(odd.file).stem
        fault = f"'{name}' is in one only"
        if odd.kind == "ambiguous":
            fault = f"'{name}' is there several times"
        raise UserError(
            f"{a} and {b} do not hold the same names ({fault}): "
            "build the dataset in the Dataset tab, which shows what matches."
        )
    return pairs


def open_pair(
    file: PairFile, alpha: bool = False, ranges: dict[str, SideRange] | None = None
) -> tuple[Image.Image, Image.Image]:
    """Open A and B as 8-bit L or RGB, over white where they are transparent, or with `alpha` as
    RGBA there, deeper files by the `ranges` of A ("source") and B ("target"). Raises UserError
    where one cannot be read or cut."""
    a, b = (ranges["source"], ranges["target"]) if ranges else (None, None)
    first = open_picture(file.a)
    if file.b is not None:
        return _to_8bit(first, alpha, a), _to_8bit(open_picture(file.b), alpha, b)
    boxes = cut_boxes(first.size, "halves", file.a.name)
    if not first.is_deep:  # one conversion for both
        first = as_picture(_to_8bit(first, alpha, None))
    return _to_8bit(first.crop(boxes[0]), alpha, a), _to_8bit(first.crop(boxes[1]), alpha, b)


def _to_8bit(picture: Picture, alpha: bool, side: SideRange | None) -> Image.Image:
    picture = side.apply(picture) if side else picture
    return picture.to_pil(4) if alpha and picture.image.mode in ("LA", "RGBA") else picture.to_pil()


def open_source_target(
    file: PairFile,
    direction: str = "AtoB",
    *,
    grey: bool = False,
    photos: bool = False,
    alpha: bool = False,
    ranges: dict[str, SideRange] | None = None,
) -> tuple[Image.Image, Image.Image]:
    """Open source and target as the direction says; with `grey` the source is the target in grey,
    and the target all of the file where that is one of `photos`. Raises the UserErrors of
    `open_pair`."""
    if grey and photos:
        photo = _to_8bit(open_picture(file.a), False, ranges["target"] if ranges else None)
        return photo.convert("L"), photo
    first, second = open_pair(file, alpha, ranges)
    source, target = (second, first) if direction == "BtoA" else (first, second)
    return (target.convert("L") if grey else source), target


def is_photo_dataset(folder: Path, facts: DatasetFacts) -> bool:
    """Return whether pictures of this dataset are plain photos, for sources that are derived as
    they are read: what the Dataset tab built, what has two folders and what mostly looks like
    A|B strips are pairs."""
    if facts.is_built:
        return False
    some = [pair for split in SPLITS for pair in find_pairs(folder, split)[:SAMPLED_PAIRS]]
    return 2 * sum(map(_looks_like_pair, some)) <= len(some)


def _looks_like_pair(file: PairFile) -> bool:
    try:
        return file.b is not None or is_ab_pair(open_picture(file.a))
    except UserError:
        return False  # who reads it says why


def list_datasets(root: Path) -> dict[str, Path]:
    """List the datasets right inside `root` by name, without hidden ones; never raises."""
    inside = sorted(subfolders(root), key=lambda child: child.name.casefold())
    return {child.name: child for child in inside if is_dataset(child)}


def locate_dataset(stored: Path) -> Path:
    """Find the dataset of a run in a workspace that may have been renamed or copied: where it was,
    else the one of its name in the workspace. That one comes first where it is a copy, with the
    same `dataset.json`. Raises UserError where there is none."""
    here = workspace() / "datasets" / stored.name
    for place in (here, stored) if _is_copy(here, stored) else (stored, here):
        if place.is_dir() and (is_dataset(place) or list_images(place)):
            return place
    raise UserError(
        f"The dataset '{printable(stored.name)}' is neither in the workspace nor where it was: "
        "name it with --data, or choose another in the Train tab."
    )


def _is_copy(folder: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return filecmp.cmp(folder / DATASET_JSON, other / DATASET_JSON)
    return False


def dataset_info(folder: Path) -> DatasetInfo:
    """Read what the folder and its `dataset.json` say, whatever that holds. Raises UserError
    where the folder holds no pairs that can be recognised."""
    pairs = {split: find_pairs(folder, split) for split in SPLITS}
    first = next((found[0] for found in pairs.values() if found), None)
    try:
        size = open_pair(first)[0].size if first else None
    except UserError:
        size = None
    facts = read_facts(folder)
    return DatasetInfo(
        name=folder.name,
        title=facts.title or folder.name,
        counts={split: len(found) for split, found in pairs.items()},
        layout="folders" if first and first.b else "strips",
        size=size,
        source_name=facts.source_name,
        target_name=facts.target_name,
        facts=facts,
    )


def label_colours(pictures: Iterable[Image.Image]) -> list[tuple[int, int, int]] | None:
    """List the colours of label maps, the commonest first; None where there are too many for
    such."""
    counts: Counter[tuple[int, int, int]] = Counter()
    for picture in pictures:
        colour_counts = picture.convert("RGB").getcolors(MAX_LABELS)
        for count, colour in colour_counts or []:
            counts[colour] += count
        if colour_counts is None or len(counts) > MAX_LABELS:
            return None
    return [colour for colour, _ in counts.most_common()]


def label_palette(facts: DatasetFacts, sources: Iterable[Image.Image]) -> list[dict[str, str]]:
    """Make the palette to paint label maps with: {"name", "color" as "#rrggbb"} for each label,
    the commonest first. Those without a name get a number; empty where the sources hold too many
    colours for label maps."""
    colours = [f"#{bytes(colour).hex()}" for colour in label_colours(sources) or []]
    return [
        {"name": facts.label_names.get(colour, f"label {number}"), "color": colour}
        for number, colour in enumerate(colours, 1)
    ]


# ----------------------------------------------------------------------------------------- ranges


def stored_ranges(folder: Path) -> dict[str, SideRange] | None:
    """Return what black and white mean in a dataset's pictures, which hold its ranges already: by
    the `dataset.json` of one that was built here; None for any other."""
    facts = read_facts(folder)
    return facts.ranges if facts.is_built else None


def folder_ranges(
    folder: Path,
    facts: DatasetFacts | None = None,
    *,
    photos: bool = False,
    should_stop: ShouldStop = lambda: False,
) -> dict[str, SideRange]:
    """Return the ranges of A ("source") and B ("target") of a dataset: what its `facts` say, read
    unless given, else what is found over all its files where some of them have more than 8 bits;
    `photos` are one picture a file, no strips."""
    facts = facts or read_facts(folder)
    if facts.ranges:
        return facts.ranges
    pairs = [pair for split in SPLITS for pair in find_pairs(folder, split)]
    some = pairs[:: max(1, len(pairs) // MEASURED_PAIRS)][:MEASURED_PAIRS]
    ranges = plain_ranges()
    for number, side in enumerate(SIDES):
        measure = partial(_measure, number, photos)
        if any(map(measure, some)):
            work = parallel(measure, pairs, should_stop)
            ranges[side] = find_range([values for _, values in work], 3)
    return ranges


def _measure(number: int, photos: bool, pair: PairFile) -> FileValues | None:
    """Measure A (0) or B (1) of a pair, or all of a photo."""
    file = pair.b if pair.b and number else pair.a
    try:
        with limit_big_pictures(file):
            picture = open_picture(file)
            if pair.b is None and picture.is_deep and not photos:
                picture = cut_strip(picture, "halves", file.name)[number]
            return measure_values(picture)
    except UserError:
        return None  # who reads the pair says why
