"""Read the files of a plan in parallel, in bounded memory."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from pix2pix.data.records import FileInfo
from pix2pix.errors import Cancelled, ShouldStop, UserError
from pix2pix.imaging.decode import Preview, open_preview

THUMBNAIL_SIDE = 64  # the side of the small pictures that pairs are judged by
BIG_PICTURE_PIXELS = (
    16_000_000  # pictures of more pixels are decoded one at a time, so that memory stays bounded
)
THREADS = min(8, os.cpu_count() or 1)
Item, Result = TypeVar("Item"), TypeVar("Result")
_big_picture_lock = threading.Lock()


def inspect_file(path: Path) -> FileInfo | UserError:
    """Read one file for the plan; returns the reason where it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError:
        return UserError(f"{path.name} may not be read: change its permissions.")
    digest = hashlib.sha256(content).hexdigest()
    try:
        with limit_big_pictures(path):
            preview: Preview = open_preview(content, path.name, THUMBNAIL_SIDE)
            picture = preview.picture.resize((THUMBNAIL_SIDE, THUMBNAIL_SIDE)).to_pil(3)
    except UserError as error:
        return error
    bits, channels = preview.picture.bits, len(preview.picture.image.getbands())
    small = np.asarray(picture)
    return FileInfo(preview.size, digest, bits, channels, preview.format, small)


def limit_big_pictures(*paths: Path) -> Any:
    """Let only one big picture be in memory at a time, judged by the files' headers."""
    for path in paths:
        try:
            with Image.open(path) as image:
                if image.width * image.height > BIG_PICTURE_PIXELS:
                    return _big_picture_lock
        except Exception:  # it is refused where it is read
            continue
    return nullcontext()


def parallel(
    work: Callable[[Item], Result], items: Sequence[Item], should_stop: ShouldStop
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, work(item)) in the order of `items`, on all cores; few are under way at a
    time.

    Threads are enough: Pillow lets go of the interpreter while it decodes, scales and encodes.
    """
    waiting = iter(items)
    with ThreadPoolExecutor(THREADS) as pool:
        under_way = [(item, pool.submit(work, item)) for item in islice(waiting, 4 * THREADS)]
        try:
            while under_way:
                item, future = under_way.pop(0)
                result = future.result()
                if should_stop():
                    raise Cancelled()
                under_way += [(i, pool.submit(work, i)) for i in islice(waiting, 1)]
                yield item, result
        finally:
            for _, future in under_way:
                future.cancel()
