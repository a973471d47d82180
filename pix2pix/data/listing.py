"""List every file of the folders that a dataset is planned from, and say what each is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

from pix2pix.data.dataset import list_pairs
from pix2pix.data.layout import check_folder, is_dataset, is_folder, is_picture_name, is_visible
from pix2pix.data.pair_doubts import find_gap, strip_doubts
from pix2pix.data.reading import MAX_PAGES, list_pages, page_name
from pix2pix.data.records import SPLITS, Inputs, Pair, Refusal, and_more, doubt
from pix2pix.data.report import read_facts
from pix2pix.data.sources import DERIVATIONS
from pix2pix.errors import UserError
from pix2pix.utils.text import natural_key

MAX_FILES = 1_000_000  # pictures of a side
# Kinds of picture files that are not read here, and what to do with them.
_CAMERA = ".dng .cr2 .cr3 .nef .arw .raf .orf .rw2 .raw"
_VOLUME = ".dcm .dicom .nii .nrrd .nhdr .mha .mhd .img .mgz .mnc .vtk .vti"
_RASTER = ".hgt .dem .asc .bil .bip .bsq .flt .vrt .ecw .sid .nc .nc4 .hdf .hdf4 .he5 .grib .grib2"
_TEXTURE = ".jxl .jp2 .j2k .jpx .tga .ico .dds .pcx .ktx .ktx2 .vtf .blp .pam .qoi"
_UNREADABLE = {
    _CAMERA: "a camera's raw file: export it as TIFF or JPEG",
    ".psd .psb .xcf .kra .clip .procreate": "a paint program's file: export it as PNG",
    ".svg .ai .eps .pdf": "a drawing or document without pixels: export it as PNG",
    ".exr .hdr": "a high dynamic range picture: export it as a float TIFF",
    _TEXTURE: "of a kind not read here: save it as PNG",
    _VOLUME: "a medical volume: export its slices as PNG or TIFF",
    _RASTER: "a raster of measurements: convert it to GeoTIFF, with gdal_translate say",
    ".ply .pcd .las .laz .e57": "a cloud of points: export its depth as 16-bit PNG or float TIFF",
    ".npy .mat .h5 .hdf5": "an array: save it as PNG or TIFF, or two of them as an .npz",
    ".mp4 .mov .avi .mkv .webm": "a video: export its frames as PNG",
}
_KINDS = {end: why for ends, why in _UNREADABLE.items() for end in ends.split()}


def unreadable_kind(name: str) -> str:
    """Say what kind of picture a file is that cannot be read here; empty for any other file."""
    stem, suffix = os.path.splitext(name.lower())
    return _KINDS.get(os.path.splitext(stem)[1] if suffix == ".gz" else suffix, "")


@dataclass
class Listing:
    """The files of the inputs: picture names by side, doubts about files, `others` that are no
    pictures or none of the dataset's, unreadable kinds by side, and the pairs of a dataset."""

    names: dict[str, list[str]] = field(default_factory=dict)
    doubts: list[Refusal] = field(default_factory=list)
    others: list[Refusal] = field(default_factory=list)
    unreadable: dict[str, list[str]] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    refused: tuple[Refusal, ...] = ()

    def add_folder(self, side: str, folder: Path, used: Set[str] | None = None) -> None:
        """Sort all files of a folder; of a dataset's, only the `used` ones are pictures of it.
        Raises UserError where it cannot be read or holds more than MAX_FILES pictures."""
        check_folder(folder)
        pictures, unreadable, links = [], [], []
        for name, what in walk_files(folder):
            if what == "link":
                links.append(name)
            elif what == "hidden":
                self.others.append(Refusal(name, side, "hidden", "is a hidden file"))
            elif is_picture_name(name) and (used is None or name in used):
                pictures.append(name)
            elif is_picture_name(name):
                reason = "lies in none of the dataset's splits"
                self.others.append(Refusal(name, side, "unused", reason))
            elif unreadable_kind(name):
                unreadable.append(name)
            elif is_link_as_text(folder / name):
                links.append(name)
            else:
                self.others.append(Refusal(name, side, "no picture", "is no picture"))
            if len(pictures) > MAX_FILES:
                raise UserError(f"'{folder.name}' holds more than a million pictures: divide it.")
        self.names[side] = sorted(pictures, key=natural_key)
        self.unreadable[side] = unreadable
        for why in dict.fromkeys(map(unreadable_kind, unreadable)):
            names = [name for name in unreadable if unreadable_kind(name) == why]
            self.doubts.append(doubt(side, "unreadable-kind", names, f"is {why}{and_more(names)}"))
        if links:
            reason = f"is a link that is not followed: copy its files here{and_more(links)}"
            self.doubts.append(doubt(side, "links", links, reason))


def list_files(inputs: Inputs) -> tuple[Inputs, Listing]:
    """List the files of both sides, as paths inside their folders, page by page where that is
    asked for; also returns the inputs with what the files say of them."""
    listing = Listing()
    if inputs.derive and inputs.derive not in DERIVATIONS:
        raise UserError(f"'{inputs.derive}' is unknown: choose one of {', '.join(DERIVATIONS)}.")
    if inputs.kind == "dataset":
        inputs = _list_dataset(inputs, listing)
    else:
        listing.add_folder("source", inputs.source)
        if inputs.target is not None:
            _refuse_nested(inputs.source, inputs.target)
            listing.add_folder("target", inputs.target)
    for side, files in listing.names.items():
        if not files and not listing.unreadable[side] and not listing.refused:
            folder = inputs.title or inputs.folder(side).name
            raise UserError(f"'{folder}' holds no pictures: choose the folder they are in.")
        if inputs.pages == "all" and inputs.kind != "dataset":
            listing.names[side] = [n for f in files for n in _pages_of(inputs, side, f)]
    return inputs, listing


def _list_dataset(inputs: Inputs, listing: Listing) -> Inputs:
    """List the pairs of an existing dataset, A|B or two folders a split, in its own splits. A
    folder of A|B pictures that names none leaves them open."""
    root, pairs = inputs.source, []
    names_splits = is_dataset(root)
    for split in SPLITS:
        found, refused = list_pairs(root, split)
        listing.refused += tuple(refused)
        for pair in found:
            a, b = (f.relative_to(root).as_posix() for f in (pair.a, pair.b or pair.a))
            pairs.append(Pair(a, b, split if names_splits else ""))
    listing.pairs = tuple(pairs)
    used = {name for match in pairs for name in (match.source, match.target)}
    listing.add_folder("source", root, used | {refusal.file for refusal in listing.refused})
    listing.names["source"] = [n for n in listing.names["source"] if n in used]
    strips = [match.source for match in pairs if match.source == match.target]
    if strips and inputs.strips == "halves" and not read_facts(root).is_made_here:
        listing.doubts += strip_doubts(root, strips)
    if strips and inputs.strips == "gap":
        gap = find_gap(root, strips)
        return replace(inputs, strips=f"gap {gap}")
    return inputs


def _pages_of(inputs: Inputs, side: str, name: str) -> list[str]:
    pages = list_pages(inputs.folder(side) / name)[:MAX_PAGES]
    return [page_name(name, page) for page in pages] if len(pages) > 1 else [name]


def _refuse_nested(source: Path, target: Path) -> None:
    a, b = source.resolve(), target.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise UserError(
            "Sources and targets must be in two folders, neither inside the other: choose again."
        )


# --------------------------------------------------------------------------------- what is on disk


def walk_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (path inside `folder`, what it is) of every visible file: "file", "hidden", or "link"
    for a link that leads nowhere or back into a folder that it lies in. Links to folders are
    followed, and hidden folders are left alone.
    """
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (os.path.realpath(folder),))]
    while waiting:
        inside, above = waiting.pop()
        try:
            entries = sorted(os.scandir(folder / inside), key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in entries:
            name = f"{inside}/{entry.name}" if inside else entry.name
            if is_folder(entry):
                real = os.path.realpath(entry.path)
                if real in above:
                    yield name, "link"
                elif is_visible(entry.name):
                    waiting.append((name, (*above, real)))
            elif entry.is_symlink() and not os.path.exists(entry.path):
                yield name, "link"
            else:
                yield name, "file" if is_visible(entry.name) else "hidden"


def is_link_as_text(file: Path) -> bool:
    """Return whether it is a text that names another folder: a link, copied by what knows none."""
    try:
        if file.suffix or file.stat().st_size > 500:
            return False
        return re.fullmatch(r"\.{1,2}/[^\n\0]+\n?", file.read_text(encoding="utf-8")) is not None
    except (OSError, ValueError):
        return False
