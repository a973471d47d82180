"""Datasets as folders: found, described, imported and exported, without torch.

Layouts: ``train/ val/ test/`` of A|B strips, or ``trainA/ trainB/`` (and ``valA/`` ...) of files
with equal stems; a folder of pictures alone is all train. ``dataset.json`` beside them says more,
and is not needed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from pix2pix.archives import new_folder, unpack
from pix2pix.containers import LIMITS, Limits
from pix2pix.errors import Stopped, UserError
from pix2pix.files import write_json
from pix2pix.folders import children, find_folders, is_dataset
from pix2pix.images import list_images, open_picture, resize
from pix2pix.names import printable, safe_name
from pix2pix.npz import read_pairs, write_pairs
from pix2pix.pairing import SPLITS
from pix2pix.strips import is_pair_strip

INFO = "dataset.json"
MOST_LABELS = 64  # colours of a label map
HINTED = "lines+colours"  # the derivation of ``derive`` that makes them
LOOKED_AT = 5  # pictures of a split that tell whether they are pairs
_MAX_INFO = 200_000_000  # bytes of a dataset.json that are read
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PairFile:
    """One pair on disk: an A|B strip, or A and B as two files."""

    name: str
    a: Path
    b: Path | None = None


@dataclass(frozen=True)
class Description:
    """What a list of datasets shows. `size` is that of the first pair's A, (width, height) in
    pixels, None where it cannot be read; `counts` are pairs by split."""

    name: str
    title: str
    counts: dict[str, int]
    layout: str  # "strips" or "folders"
    size: tuple[int, int] | None
    source_name: str
    target_name: str

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def find_pairs(folder: Path, split: str) -> list[PairFile]:
    """The pairs of one split in name order; empty where the folder has no such split. A folder
    with no split at all is all train."""
    if (folder / f"{split}A").is_dir() and (folder / f"{split}B").is_dir():
        a = {f.stem: f for f in list_images(folder / f"{split}A")}
        b = {f.stem: f for f in list_images(folder / f"{split}B")}
        odd = sorted(a.keys() ^ b.keys())
        if odd:
            raise UserError(
                f"{split}A and {split}B do not hold the same names ('{odd[0]}' is in one only): "
                "build the dataset in the Dataset tab, which shows what matches."
            )
        return [PairFile(stem, a[stem], b[stem]) for stem in sorted(a)]
    if (folder / split).is_dir():
        return [PairFile(f.stem, f) for f in list_images(folder / split)]
    if split == "train" and folder.is_dir() and not is_dataset(folder):
        return [PairFile(f.stem, f) for f in list_images(folder)]
    return []


def open_pair(file: PairFile, alpha: bool = False) -> tuple[Image.Image, Image.Image]:
    """A and B as 8-bit L or RGB, over white where they are transparent, or with `alpha` as RGBA
    there; a UserError where one cannot be read or cut."""
    first = _opened(file.a, alpha)
    if file.b is not None:
        return first, _opened(file.b, alpha)
    half = first.width // 2
    if first.width % 2 or half == 0:
        raise UserError(
            f"{file.a.name} is {first.width} pixels wide and cannot be cut into two "
            "halves: A|B strips have an even width."
        )
    boxes = (0, 0, half, first.height), (half, 0, first.width, first.height)
    return first.crop(boxes[0]), first.crop(boxes[1])


def _opened(file: Path, alpha: bool) -> Image.Image:
    picture = open_picture(file)
    return picture.to_pil(4) if alpha and picture.image.mode in ("LA", "RGBA") else picture.to_pil()


def open_sides(
    file: PairFile,
    direction: str = "AtoB",
    *,
    grey: bool = False,
    photos: bool = False,
    alpha: bool = False,
) -> tuple[Image.Image, Image.Image]:
    """Source and target as the direction says; with `grey` the source is the target in grey, and
    the target all of the file where that is one of `photos`. Raises the UserErrors of `open_pair`.
    """
    if grey and photos:
        photo = _opened(file.a, alpha=False)
        return photo.convert("L"), photo
    first, second = open_pair(file, alpha)
    source, target = (second, first) if direction == "BtoA" else (first, second)
    return (target.convert("L") if grey else source), target


def holds_photos(folder: Path) -> bool:
    """Whether pictures of this dataset are plain photos, for sources that are derived as they are
    read: what the Dataset tab built, what has two folders and what mostly looks like A|B strips are
    pairs."""
    if "recipe" in read_info(folder):
        return False
    some = [pair for split in SPLITS for pair in find_pairs(folder, split)[:LOOKED_AT]]
    return 2 * sum(map(_is_pair, some)) <= len(some)


def _is_pair(file: PairFile) -> bool:
    try:
        return file.b is not None or is_pair_strip(open_picture(file.a))
    except UserError:
        return False  # who reads it says why


def label_colours(pictures: Iterable[Image.Image]) -> list[tuple[int, int, int]] | None:
    """All the colours of label maps, the commonest first; None where they are too many for such."""
    counts: Counter[tuple[int, int, int]] = Counter()
    for picture in pictures:
        found = picture.convert("RGB").getcolors(MOST_LABELS)
        for count, colour in found or []:
            counts[colour] += count
        if found is None or len(counts) > MOST_LABELS:
            return None
    return [colour for colour, _ in counts.most_common()]


def label_palette(folder: Path, sources: Iterable[Image.Image]) -> list[dict[str, str]]:
    """What a person paints label maps with: {"name", "color" as "#rrggbb"} for each label, the
    commonest first. The names are those of `palette` in `dataset.json`, a list of the same form,
    else numbers; empty where the sources hold too many colours for label maps."""
    said = read_info(folder).get("palette")
    names = {}
    for label in said if isinstance(said, list) else []:
        if isinstance(label, dict) and isinstance(label.get("name"), str):
            names[str(label.get("color")).lower()] = printable(label["name"])
    colours = [f"#{bytes(colour).hex()}" for colour in label_colours(sources) or []]
    return [
        {"name": names.get(colour, f"label {number}"), "color": colour}
        for number, colour in enumerate(colours, 1)
    ]


def list_datasets(root: Path) -> dict[str, Path]:
    """The datasets right inside `root` by name, hidden ones left out; never raises."""
    inside = sorted(children(root), key=lambda child: child.name.casefold())
    return {child.name: child for child in inside if is_dataset(child)}


def describe(folder: Path) -> Description:
    """What the folder and its `dataset.json` say, whatever that holds; a UserError where the
    folder's pairs cannot be told."""
    pairs = {split: find_pairs(folder, split) for split in SPLITS}
    first = next((found[0] for found in pairs.values() if found), None)
    try:
        size = open_pair(first)[0].size if first else None
    except UserError:
        size = None
    info = read_info(folder)
    return Description(
        name=folder.name,
        title=_text(info, "title", folder.name),
        counts={split: len(found) for split, found in pairs.items()},
        layout="folders" if first and first.b else "strips",
        size=size,
        source_name=_text(info, "source_name", "A"),
        target_name=_text(info, "target_name", "B"),
    )


def read_info(folder: Path) -> dict[str, Any]:
    """The object in `dataset.json`, empty where there is none that can be read. The values are
    whatever the file's author wrote."""
    try:
        if (folder / INFO).stat().st_size > _MAX_INFO:
            return {}
        info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


def said_label_maps(folder: Path) -> list[Any] | None:
    """What `dataset.json` says of [A, B] being label maps, None where it says nothing of them. The
    two values are whatever the file's author wrote."""
    said = read_info(folder).get("label_maps")
    return said if isinstance(said, list) and len(said) == 2 else None


def has_hints(folder: Path) -> bool:
    """Whether the sources are drawings with strokes of the targets' colours."""
    inputs = read_info(folder).get("inputs")
    return isinstance(inputs, dict) and inputs.get("derive") == HINTED


def import_dataset(
    thing: Path,
    root: Path,
    name: str,
    *,
    limits: Limits = LIMITS,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> Path:
    """Make `root`/`name` of an archive, an .npz file or a folder that holds a dataset.

    Files are copied as they are. Pairs that cannot be read or cut are left out and named in
    `dataset.json` under "refused". `on_progress` hears thousandths. A UserError, for names that
    are taken or unsafe too, Stopped or any other failure leaves nothing behind.
    """
    name = safe_name(name)
    if name.casefold() in {child.name.casefold() for child in children(root)}:
        raise UserError(f"There is a dataset '{name}' already: choose another name.")
    asked = {"should_stop": should_stop}
    if thing.suffix.lower() == ".npz" and thing.is_file():
        return read_npz(thing, root / name, limits=limits, on_progress=on_progress, **asked)
    with new_folder(root / name) as folder:
        if thing.is_dir():
            _take(_dataset_in(thing), folder, name, shutil.copyfile, on_progress, should_stop)
        else:
            unpacked = folder / ".unpacked"
            first, second = _part(on_progress, 0, 500), _part(on_progress, 500, 1000)
            unpack(thing, unpacked, limits=limits, on_progress=first, **asked)
            inner = _dataset_in(unpacked, printable(thing.name))
            _take(inner, folder, name, os.replace, second, should_stop)
            shutil.rmtree(unpacked)
    return root / name


def read_npz(
    file: Path,
    into: Path,
    *,
    limits: Limits = LIMITS,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> Path:
    """Make the new dataset `into` of `arr_0` and `arr_1` (see `npz.read_pairs`), all in train/ as
    A|B strips in PNG, grey where both arrays are. UserError or Stopped leave nothing behind."""
    with new_folder(into) as folder:
        (folder / "train").mkdir()
        pairs = read_pairs(file, limits=limits, should_stop=should_stop)
        count = 0
        for count, (source, target, total) in enumerate(pairs, 1):
            mode = "L" if source.mode == target.mode == "L" else "RGB"
            strip = Image.new(mode, (2 * source.width, source.height))
            strip.paste(source, (0, 0))
            strip.paste(target, (source.width, 0))
            strip.save(folder / "train" / f"{count - 1:05}.png")
            on_progress(count, total)
        _write_info(folder, {}, into.name, {"train": count}, [])
    return into


def write_npz(
    folder: Path,
    file: Path,
    *,
    size: int = 256,
    split: str | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> int:
    """Write the pairs of one split, or of all in the order train, val, test, as `arr_0` (A) and
    `arr_1` (B), uint8 N x `size` x `size` x 3; returns N.

    Other sizes are scaled, label maps that `dataset.json` names without mixing colours. A
    UserError for an unreadable pair or a dataset without pairs leaves an old file as it was.
    """
    files = [pair for part in ([split] if split else SPLITS) for pair in find_pairs(folder, part)]
    if not files:
        raise UserError(f"{printable(folder.name)} holds no pairs there: choose another dataset.")
    labels = said_label_maps(folder)

    def pictures(side: int) -> Iterator[Image.Image]:
        exact = bool(labels) and labels[side] is True
        for done, pair in enumerate(files, 1):  # each strip twice: the arrays follow each other
            if should_stop():
                raise Stopped
            yield resize(open_pair(pair)[side].convert("RGB"), (size, size), labels=exact)
            on_progress(side * len(files) + done, 2 * len(files))

    write_pairs(file, len(files), size, pictures)
    return len(files)


# ----------------------------------------------------------------------------------- one import


def _dataset_in(folder: Path, name: str = "") -> Path:
    found = find_folders(folder)
    if found.kind != "dataset":
        raise UserError(
            f"{name or printable(folder.name)} holds pictures that are no A|B pairs yet: unpack it "
            "and build a dataset from its folders in the Dataset tab."
        )
    return found.root


def _take(
    root: Path,
    folder: Path,
    title: str,
    put: Callable[[Path, Path], Any],
    on_progress: Progress,
    should_stop: Callable[[], bool],
) -> None:
    """Bring every pair of the dataset `root` that can be opened, and what is written about it."""
    pairs = [(split, pair) for split in SPLITS for pair in find_pairs(root, split)]
    counts, refused = dict.fromkeys(SPLITS, 0), []
    for done, (split, pair) in enumerate(pairs):
        if should_stop():
            raise Stopped
        on_progress(done, len(pairs))
        try:
            open_pair(pair)
        except UserError as error:
            name = pair.a.relative_to(root).as_posix()
            refused.append({"file": name, "reason": str(error)})
            continue
        for path in filter(None, (pair.a, pair.b)):
            new = folder / path.relative_to(root)
            new.parent.mkdir(exist_ok=True)
            put(path, new)
        counts[split] += 1
    if not any(counts.values()):
        raise UserError(f"No pair of {len(pairs)} can be used: {refused[0]['reason']}")
    for path in list(root.iterdir()):  # a licence and the like
        if path.suffix.lower() in (".md", ".txt", ".csv") and path.is_file():
            put(path, folder / path.name)
    _write_info(folder, read_info(root), title, counts, refused)
    on_progress(len(pairs), len(pairs))


def _write_info(
    folder: Path,
    said: dict[str, Any],
    title: str,
    counts: dict[str, int],
    refused: list[dict[str, str]],
) -> None:
    """`dataset.json`: what its author `said`, with the counts and refusals that hold here."""
    known = {"format_version": 1, "title": title, "source_name": "A", "target_name": "B"}
    known |= {"rule": "as found"}
    before = said.get("refused")
    here = {
        "counts": {"pairs": sum(counts.values()), **dict.fromkeys(SPLITS, 0), **counts},
        "refused": [*(before if isinstance(before, list) else []), *refused],
    }
    try:
        write_json(folder / INFO, {**known, **said, **here})
    except (RecursionError, UnicodeError):  # what can be read cannot always be written
        write_json(folder / INFO, {**known, **here, "refused": refused})


def _part(on_progress: Progress, begin: int, end: int) -> Progress:
    """A progress of its own as the thousandths from `begin` to `end` of another."""
    return lambda done, total: on_progress(begin + (end - begin) * done // max(1, total), 1000)


def _text(info: dict[str, Any], key: str, default: str) -> str:
    value = info.get(key)
    return printable(value.strip()) if isinstance(value, str) and value.strip() else default
