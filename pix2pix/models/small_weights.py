"""Pack weights as int8 by channel for their way to a browser, which makes float16 of them again.

The graph `model.onnx` names places in `model.safetensors`. What is unpacked is that file again; its
weights differ by half a step of 127 at most from those that were packed. No torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

MAGIC = b"P2P8"  # then the length of a JSON header as uint32, the header, and the parts in order
SMALLEST = 1024  # numbers; smaller tensors, such as biases and norms, stay as they are


def pack_weights(file: Path) -> bytes:
    """Return a safetensors file packed. Tensors of float16 with two dimensions or more have one
    scale for each index of the first: as float32 before their int8 numbers."""
    data = file.read_bytes()
    parts, payload, end = [], [], 0
    for start, stop, rows in _tensors(data):
        values = np.frombuffer(data[start:stop], "<f2").astype(np.float32).reshape(rows, -1)
        scales = np.abs(values).max(axis=1) / 127
        scales[scales == 0] = 1.0
        numbers = np.rint(values / scales[:, None]).astype(np.int8)
        parts += [{"rows": 0, "count": start - end}, {"rows": rows, "count": values.size}]
        payload += [data[end:start], scales.astype("<f4").tobytes(), numbers.tobytes()]
        end = stop
    parts.append({"rows": 0, "count": len(data) - end})
    head = json.dumps({"bytes": len(data), "parts": parts}).encode()
    return b"".join([MAGIC, len(head).to_bytes(4, "little"), head, *payload, data[end:]])


def unpack_weights(packed: bytes) -> bytes:
    """Return the safetensors file as a browser unpacks it."""
    length = int.from_bytes(packed[4:8], "little")
    place, made = 8 + length, []
    for part in json.loads(packed[8:place])["parts"]:
        rows, count = part["rows"], part["count"]
        scales = np.frombuffer(packed, "<f4", rows, place)
        place += 4 * rows
        numbers = np.frombuffer(packed, np.int8, count, place)
        place += count
        if rows:
            made.append((numbers.reshape(rows, -1) * scales[:, None]).astype("<f2").tobytes())
        else:
            made.append(numbers.tobytes())
    return b"".join(made)


def _tensors(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (start, end, first dimension) of each tensor that is packed, in the file's order."""
    first = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:first])
    header.pop("__metadata__", None)
    for tensor in sorted(header.values(), key=lambda tensor: tensor["data_offsets"]):
        start, stop = (first + offset for offset in tensor["data_offsets"])
        shape = tensor["shape"]
        if tensor["dtype"] == "F16" and len(shape) > 1 and stop - start >= 2 * SMALLEST:
            yield start, stop, shape[0]
