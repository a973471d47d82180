"""Convert pictures to sRGB by their ICC profile: by what it does to colours, not by its name."""

from __future__ import annotations

import functools
import hashlib
import io
import struct
from contextlib import suppress

import numpy as np
from PIL import Image, ImageCms

_FAULTS = (ImageCms.PyCMSError, OSError, ValueError, TypeError)
_LEVEL = 1  # of 255: a profile that moves no colour by more is that of sRGB
_GREYS = np.arange(256, dtype=np.uint8)
# XYZ of sRGB's primaries under D50, as profiles have them (IEC 61966-2-1, Bradford-adapted).
_SRGB_XYZ = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert the image (L, LA, RGB, RGBA, I;16, CMYK or LAB) by its embedded profile.

    Unchanged where there is none, it fails, or it moves no colour by more than a level: the detour
    could only round, and the colours of a label map must stay exact. Numbers (I, F) have no colour.
    """
    if image.mode in ("I", "F") or (not profile and image.mode != "LAB"):
        return image
    with suppress(*_FAULTS):
        if image.mode in ("L", "LA", "I;16"):
            return image if is_srgb(profile, "GRAY") else _grey_to_srgb(image, profile)
        if image.mode in ("RGB", "RGBA") and is_srgb(profile):
            return image
        return _convert(image, profile)
    return image


def planes_to_srgb(planes: list[np.ndarray], profile: bytes | None) -> list[np.ndarray] | None:
    """Convert one or three H x W planes of 16 bits by their profile, all bits kept.

    The very planes where it moves nothing or they have other numbers; None where the profile fails.
    """
    space = "GRAY" if len(planes) == 1 else "RGB"
    if planes[0].dtype != np.uint16 or not profile or is_srgb(profile, space):
        return planes
    if len(planes) == 1:
        return [_grey_curve(profile, 65536)[planes[0]]]
    matrix, curves = _matrix_and_curves(profile)
    made = [np.empty_like(plane) for plane in planes]
    step = max(1, 2**20 // planes[0].shape[1])
    for top in range(0, len(planes[0]), step):
        rows = slice(top, top + step)
        bands = np.stack([plane[rows] for plane in planes])
        if matrix is None:
            try:
                seen = _by_tables(bands, profile)
            except _FAULTS:
                return None
        else:
            light = np.stack([curve[band] for curve, band in zip(curves, bands)])
            seen = _encoded(np.tensordot(matrix, light, 1)) * 65535
        for plane, band in zip(made, np.rint(seen)):
            plane[rows] = band
    return made


def _by_tables(bands: np.ndarray, profile: bytes) -> np.ndarray:
    """Convert 3 x h x w of 16 bits by a profile that only littleCMS can follow, which here has 8
    bits: between colours a level apart by tetrahedra (as a colour table is read). Returns
    floats."""
    levels, rest = np.divmod(bands.astype(np.float32), 257.0)
    order = np.argsort(-rest, axis=0)  # the channel that is farthest on its way to the next level
    weights = np.take_along_axis(rest / 257.0, order, axis=0)
    weights = np.concatenate([np.ones_like(weights[:1]), weights, np.zeros_like(weights[:1])])
    corner, made = levels.astype(np.uint8), np.float32(0)
    for step in range(4):
        seen = _convert(Image.fromarray(corner.transpose(1, 2, 0).copy()), profile)
        made = made + np.asarray(seen) * (weights[step] - weights[step + 1])[..., None]
        if step < 3:
            channel = order[step : step + 1]
            higher = np.minimum(np.take_along_axis(corner, channel, axis=0), 254) + 1
            np.put_along_axis(corner, channel, higher.astype(np.uint8), axis=0)
    return made.transpose(2, 0, 1) * 257.0


def profile_name(profile: bytes) -> str:
    """Return a short name that only equal profiles share."""
    return hashlib.sha256(profile).hexdigest()[:16]


@functools.lru_cache(maxsize=64)
def is_srgb(profile: bytes | None, space: str = "RGB") -> bool:
    """Return whether a profile leaves every colour of `space` where it is, or is of no use here:
    broken, or made for pictures of another kind."""
    if not profile:
        return True
    try:
        if ImageCms.getOpenProfile(io.BytesIO(profile)).profile.xcolor_space.strip() != space:
            return True
        if space == "GRAY":
            moved = _grey_curve(profile, 256).astype(int) - _GREYS
        else:
            moved = np.asarray(_convert(_ramp(), profile)).astype(int) - np.asarray(_ramp())
        return bool(np.abs(moved).max() <= _LEVEL)
    except _FAULTS:
        return True


def _convert(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert through littleCMS; an image in LAB needs no profile."""
    srgb = ImageCms.createProfile("sRGB")
    opened = io.BytesIO(profile) if profile else None
    source = ImageCms.getOpenProfile(opened) if opened else ImageCms.createProfile("LAB")
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    converted = ImageCms.profileToProfile(image, source, srgb, outputMode=mode)
    return converted.convert("L") if image.mode == "L" else converted


@functools.lru_cache(maxsize=1)
def _ramp() -> Image.Image:
    """Draw every grey, every step of each primary, and a lattice of 9 x 9 x 9 colours."""
    primaries = np.eye(3, dtype=np.uint8)[:, None] * _GREYS[None, :, None]
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    colours = [np.repeat(_GREYS[:, None], 3, axis=1), primaries.reshape(-1, 3), lattice]
    return Image.fromarray(np.concatenate(colours)[None])


def _grey_to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    if image.mode == "I;16":
        return Image.fromarray(_grey_curve(profile, 65536)[np.asarray(image)])
    curve = _grey_curve(profile, 256).tolist()
    if image.mode == "L":
        return image.point(curve)
    grey, alpha = image.split()
    return Image.merge("LA", (grey.point(curve), alpha))


@functools.lru_cache(maxsize=8)
def _grey_curve(profile: bytes, levels: int) -> np.ndarray:
    """Return what becomes of each of 256 or 65,536 greys, uint8 or uint16.

    Pillow hands littleCMS no 16-bit grey, and littleCMS takes 8-bit greys through a coarse table,
    which is off by up to 10 levels in the dark: so the profile's curve is worked out here
    (ICC.1:2010, 10.5 and 10.15), then sRGB's; a profile without one follows littleCMS.
    """
    grey = np.arange(levels) / (levels - 1)
    light = _tone_curve(profile, grey)
    if light is None:
        known = np.asarray(_convert(Image.fromarray(_GREYS[None]), profile))[0]
        seen = np.interp(grey, _GREYS / 255, known / 255)
    else:
        seen = _encoded(light)
    return np.rint(seen * (levels - 1)).astype(np.uint8 if levels == 256 else np.uint16)


def _encoded(light: np.ndarray) -> np.ndarray:
    """Return light from 0 to 1 as sRGB has it (IEC 61966-2-1), 0 to 1."""
    light = np.clip(light, 0.0, 1.0)
    seen = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.clip(seen, 0.0, 1.0)


@functools.lru_cache(maxsize=8)
def _matrix_and_curves(profile: bytes) -> tuple[np.ndarray | None, list[np.ndarray]]:
    """Return what turns light of the profile's primaries into that of sRGB's, 3 x 3, and the light
    of each of the 65,536 levels of R, G and B; no matrix where the profile has tables instead."""
    tags, levels = _profile_tags(profile), np.arange(65536) / 65535
    curves = [_tone_curve(profile, levels, name) for name in (b"rTRC", b"gTRC", b"bTRC")]
    places = [tags.get(name, 0) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    if b"A2B0" in tags or not all(places) or any(curve is None for curve in curves):
        return None, []
    with suppress(struct.error):
        columns = [struct.unpack_from(">3i", profile, place + 8) for place in places]
        matrix = np.linalg.solve(_SRGB_XYZ, np.array(columns).T / 65536)
        return matrix, [curve.astype(np.float32) for curve in curves]
    return None, []


def _profile_tags(profile: bytes) -> dict[bytes, int]:
    """Return where each tag of a profile begins."""
    with suppress(struct.error):
        (count,) = struct.unpack_from(">I", profile, 128)
        tags = [struct.unpack_from(">4sII", profile, 132 + 12 * n) for n in range(min(count, 100))]
        return {name: offset for name, offset, _ in tags}
    return {}


def _tone_curve(profile: bytes, grey: np.ndarray, tag: bytes = b"kTRC") -> np.ndarray | None:
    """Apply a curve of the profile to levels from 0 to 1; None where it holds none that is
    known."""
    with suppress(struct.error, ValueError, IndexError, ZeroDivisionError):
        start = _profile_tags(profile).get(tag, 0)
        kind = profile[start : start + 4]
        if kind == b"curv":
            (points,) = struct.unpack_from(">I", profile, start + 8)
            values = struct.unpack_from(f">{points}H", profile, start + 12)
            if points < 2:
                return grey ** (values[0] / 256) if points else grey
            return np.interp(grey, np.linspace(0, 1, points), np.array(values) / 65535)
        if kind == b"para":
            (form,) = struct.unpack_from(">H", profile, start + 8)
            count = (1, 3, 4, 5, 7)[form]
            g, *rest = (v / 65536 for v in struct.unpack_from(f">{count}i", profile, start + 12))
            a, b, c, d, e, f = {1: lambda: (1, 0, 0, 0, 0, 0), 3: lambda: (*rest, 0, 0, 0, 0),
                4: lambda: (*rest[:2], 0, 0, rest[2], rest[2]), 5: lambda: (*rest, 0, 0),
                7: lambda: rest}[count]()  # fmt: skip
            edge = -b / a if count in (3, 4) else d
            power = np.maximum(a * grey + b, 0.0) ** g
            return np.where(grey >= edge, power + e, c * grey + f)
    return None
