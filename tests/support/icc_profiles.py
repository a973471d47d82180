"""ICC profiles of a curve and three primaries, made by hand."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence

SRGB_XYZ = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7139))
P3_XYZ = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))


def icc(
    curve: bytes,
    *,
    grey: bool,
    name: str = "sRGB of mine",
    primaries: Sequence[Sequence[float]] = SRGB_XYZ,
    table: bytes = b"",
) -> bytes:
    """A profile of three primaries, or of greys, with one tone curve, whatever its name says; or of
    a table alone."""

    def xyz(*numbers: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(n * 65536) for n in numbers))

    text = name.encode() + b"\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78)
    tags = {b"desc": desc, b"cprt": b"text\0\0\0\0none\0", b"wtpt": xyz(0.9642, 1.0, 0.8249)}
    if table:
        tags[b"A2B0"] = table
    elif grey:
        tags[b"kTRC"] = curve
    else:
        for channel, numbers in zip("rgb", primaries):
            tags[f"{channel}TRC".encode()] = curve
            tags[f"{channel}XYZ".encode()] = xyz(*numbers)
    index, data = b"", b""
    start = 132 + 12 * len(tags)
    for tag, content in tags.items():
        content += bytes(-len(content) % 4)
        index += struct.pack(">4sII", tag, start + len(data), len(content))
        data += content
    head = bytearray(128)
    head[8:12], head[12:16] = b"\x02\x10\0\0", b"mntr"
    head[16:24] = (b"GRAY" if grey else b"RGB ") + b"XYZ "
    head[36:40], head[68:80] = b"acsp", struct.pack(">3i", 63190, 65536, 54061)
    whole = bytes(head) + struct.pack(">I", len(tags)) + index + data
    return struct.pack(">I", len(whole)) + whole[4:]


def icc_of_tables(power: float, primaries: Sequence[Sequence[float]] = P3_XYZ) -> bytes:
    """A profile of a table (mft2) without matrix and curves, that does what one of a power and
    primaries does: its grid has two points an axis, between which light adds up."""
    curve = struct.pack(">1024H", *(round((n / 1023) ** power * 65535) for n in range(1024)))
    grid = b"".join(
        struct.pack(">3H", *(
            round(32768 * max(0, sum(on * p[axis] for on, p in zip(corner, primaries))))
            for axis in range(3)))
        for corner in itertools.product((0, 1), repeat=3)
    )  # fmt: skip
    head = b"mft2\0\0\0\0" + bytes((3, 3, 2, 0))
    head += struct.pack(">9i2H", *(65536 * (n % 4 == 0) for n in range(9)), 1024, 2)
    table = head + 3 * curve + grid + 3 * struct.pack(">2H", 0, 65535)
    return icc(b"", grey=False, table=table)


def gamma(value: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(value * 256))


SRGB = b"para\0\0\0\0" + struct.pack(">HH5i", 3, 0, *(round(n * 65536) for n in (
    2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)))  # fmt: skip
