"""Name the kinds of picture files that are not read here, and say what to do with them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence

from pix2pix.data.records import Refusal

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


def file_doubts(side: str, unreadable: Sequence[str], links: Sequence[str]) -> list[Refusal]:
    """Doubt a folder that holds pictures of unreadable kinds, or links that lead nowhere."""
    doubts = []
    by_kind = defaultdict(list)
    for name in unreadable:
        by_kind[unreadable_kind(name)].append(name)
    for why, names in by_kind.items():
        reason = f"is {why}{and_more(names)}"
        doubts.append(Refusal(names[0], side, "unreadable-kind", reason, tuple(names)))
    if links:
        reason = f"is a link that is not followed: copy its files here{and_more(links)}"
        doubts.append(Refusal(links[0], side, "links", reason, tuple(links)))
    return doubts


def and_more(names: Sequence[str]) -> str:
    """Say how many there are beside the first."""
    return f" (and {len(names) - 1:,} more)" if len(names) > 1 else ""
