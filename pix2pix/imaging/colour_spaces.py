"""Find the colours that a file declares in other ways than by an ICC profile, and write them as
one: PNG's cICP and gAMA with cHRM, the colour box of HEIC and AVIF, a camera's Adobe RGB in EXIF.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from pix2pix.imaging.picture import Unreadable

_READ_AHEAD = 2**16  # bytes in which a colour box stands
_SRGB_GAMMA, _NEAR = 1 / 2.2, 0.05  # a gAMA so near is written for sRGB, as libpng takes it
_D50 = (0.9642, 1.0, 0.8249)
# x and y of white, red, green and blue.
_SRGB = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
_ADOBE = (0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
_PRIMARIES = {  # by their numbers in ITU-T H.273
    4: (0.31, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    9: (0.3127, 0.329, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}  # every other one is taken for sRGB's
_EXPONENTS = {4: 2.2, 5: 2.8, 8: 1.0}  # of transfer functions; every other one is sRGB's
_HDR = {16: "PQ", 18: "HLG"}
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def declared_profile(stream: BinaryIO, image: Image.Image) -> bytes | None:
    """Return a profile of the colours that a file declares without one; None where it declares
    none, or sRGB. Raises Unreadable for one whose white is no
    picture's white."""
    if image.info.get("icc_profile"):
        return None
    grey = image.mode in ("1", "L", "LA", "I;16", "I")
    if image.format in ("PNG", "AVIF", "HEIF"):
        place = stream.tell()
        codes = _cicp_chunk(stream) if image.format == "PNG" else _colour_box(stream)
        stream.seek(place)
        if codes:
            if codes[1] in _HDR:
                raise Unreadable(
                    f"is a high dynamic range picture ({_HDR[codes[1]]}), whose white is too "
                    "bright: export it as sRGB."
                )
            primaries, exponent = _PRIMARIES.get(codes[0], _SRGB), _EXPONENTS.get(codes[1])
            is_srgb = primaries is _SRGB and exponent is None
            return None if is_srgb else matrix_profile(primaries, exponent, grey)
        return None if "srgb" in image.info else _by_gamma(image.info, grey)
    if b"R03\0" in image.info.get("exif", b"") and image.mode == "RGB":
        return matrix_profile(_ADOBE, 563 / 256, False)
    return None


def _by_gamma(info: dict[Any, Any], grey: bool) -> bytes | None:
    """Return the profile of a PNG's gAMA, and cHRM where it has that."""
    gamma = info.get("gamma")
    if not gamma or not 0.1 < gamma < 10:
        return None
    exponent = None if abs(gamma / _SRGB_GAMMA - 1) <= _NEAR else 1 / gamma
    with suppress(np.linalg.LinAlgError, ArithmeticError, ValueError, struct.error):
        return matrix_profile(info.get("chromaticity") or _SRGB, exponent, grey)
    return matrix_profile(_SRGB, exponent, grey)  # its primaries are no colours


def _cicp_chunk(stream: BinaryIO) -> tuple[int, int] | None:
    """Return the numbers of primaries and curve of a PNG, from its chunks before the pixels."""
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name == b"cICP" and length == 4:
            primaries, curve = stream.read(2)
            return primaries, curve
        if name == b"IDAT":
            break
        stream.seek(length + 4, 1)
    return None


def _colour_box(stream: BinaryIO) -> tuple[int, int] | None:
    """Return the numbers of primaries and curve of a HEIC or AVIF, by its first colour box."""
    stream.seek(0)
    head = stream.read(_READ_AHEAD)
    place = head.find(b"colrnclx") + 8
    return struct.unpack_from(">HH", head, place) if 8 <= place <= len(head) - 4 else None


def matrix_profile(primaries: Sequence[float], exponent: float | None, grey: bool) -> bytes:
    """Write an ICC profile of `primaries` (x and y of white, red, green and blue) and a curve: a
    power, or that of sRGB; of greys it has the curve alone. See ICC.1:2010, 8.3 and 8.4."""
    if exponent is None:  # IEC 61966-2-1
        numbers, form = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045), 3
    else:
        numbers, form = (exponent,), 0
    curve = b"para\0\0\0\0" + struct.pack(">HH", form, 0) + _fixed(numbers)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + _fixed(_D50)}
    if grey:
        tags[b"kTRC"] = curve
    else:
        for name, column in zip((b"r", b"g", b"b"), _adapted(primaries).T):
            tags[name + b"TRC"], tags[name + b"XYZ"] = curve, b"XYZ \0\0\0\0" + _fixed(column)
    table, data, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    head = bytearray(128)
    head[8:12], head[12:24] = b"\x02\x40\0\0", b"mntr" + (b"GRAY" if grey else b"RGB ") + b"XYZ "
    head[36:40], head[68:80] = b"acsp", _fixed(_D50)
    whole = bytes(head) + struct.pack(">I", len(tags)) + table + data
    return struct.pack(">I", len(whole)) + whole[4:]


def _fixed(numbers: Sequence[float] | np.ndarray) -> bytes:
    """Write numbers as s15Fixed16."""
    return struct.pack(f">{len(numbers)}i", *(round(float(n) * 65536) for n in numbers))


def _adapted(primaries: Sequence[float]) -> np.ndarray:
    """Return the columns of red, green and blue in XYZ, 3 x 3, seen under D50 (Bradford)."""
    white, *rest = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in _couples(primaries))
    columns = np.array(rest).T
    columns = columns * np.linalg.solve(columns, white)
    scale = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    return np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD @ columns


def _couples(numbers: Sequence[float]) -> list[tuple[float, float]]:
    return list(zip(numbers[::2], numbers[1::2]))
