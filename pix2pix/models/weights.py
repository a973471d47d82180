"""Find the tensors in a file of weights, and pack such a file for a browser. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pix2pix.errors import UserError

MAX_HEADER_BYTES = 1_000_000
MAGIC = b"P2P8"  # then the length of a JSON header as uint32, the header, and the parts in order
SMALLEST = 1024  # numbers; smaller tensors, such as biases and norms, stay as they are


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in the weights file, in bytes from its start."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


def read_layout(weights: Path) -> tuple[dict[str, StoredTensor], str]:
    """Read where a safetensors file's tensors lie, and a digest of that. Raises UserError."""
    try:
        with weights.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = file.read(size) if size <= MAX_HEADER_BYTES else b""
        layout = {}
        for name, tensor in json.loads(header).items():
            if name != "__metadata__":
                start, end = tensor["data_offsets"]
                shape = tuple(tensor["shape"])
                place = StoredTensor(tensor["dtype"], shape, 8 + size + start, end - start)
                layout[name] = place
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{weights.parent.name}/{weights.name} is missing or not a safetensors file: "
            "take the model anew from its source."
        ) from error
    return layout, hashlib.sha256(header).hexdigest()


def pack_weights(file: Path) -> bytes:
    """Pack a safetensors file for its way to a browser, which makes float16 of int8: the same file,
    in which weights differ by half a step of 127 at most. Tensors of float16 with two dimensions or
    more, but for the `outer_layers`, have one scale for each index of the first: as float32 before
    their int8 numbers."""
    data, layout = file.read_bytes(), read_layout(file)[0]
    parts, payload, end, kept = [], [], 0, outer_layers(layout)
    for name, tensor in sorted(layout.items(), key=lambda item: item[1].offset):
        small = len(tensor.shape) < 2 or tensor.length < 2 * SMALLEST
        if tensor.dtype != "F16" or small or name.startswith(kept):
            continue
        rows, start, stop = tensor.shape[0], tensor.offset, tensor.offset + tensor.length
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


def outer_layers(names: Iterable[str]) -> tuple[str, ...]:
    """Name the U-Net's outer layers, some hundredths of it: what the source meets first, where an
    error goes through all of the network, and what makes edges and pixels of features, where
    nothing mends one."""
    up = max((int(name.split(".")[1]) for name in names if name.startswith("up.")), default=0)
    return "noise.", "down.0.", "down.1.", f"up.{up - 1}.", f"up.{up}.", "out."
