"""Open what pairs come from: folders, a dataset, a video, a table of pictures or two GeoTIFFs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from pix2pix.data.layout import find_inputs
from pix2pix.data.raster_pairs import raster_inputs
from pix2pix.data.records import Inputs, Origin, Recipe
from pix2pix.data.sources import clip_inputs
from pix2pix.data.table_pairs import table_inputs
from pix2pix.errors import UserError
from pix2pix.imaging.video import is_video


@contextmanager
def open_inputs(given: Inputs, recipe: Recipe, near: Path, **options: Any) -> Iterator[Inputs]:
    """Give the folders to plan from; what is taken out of a file lies in a temporary folder in
    `near` meanwhile.

    `given` names the folders or the file, and how files are read; its `origin` says which columns
    and subset of a table are taken, how many pairs, and every how many frames of a video. GeoTIFFs
    are cut to the size of the `recipe`. `options` are `should_stop` and `on_progress`. Raises
    UserError for what cannot be used, and Cancelled.
    """
    source, target, wanted = given.source, given.target, given.origin or Origin("", ())
    taken: Any = nullcontext()
    if is_video(source):
        taken = clip_inputs(source, near, given.derive, wanted.every, **options)
    elif target is None:
        taken = table_inputs(
            source, near, wanted.columns, subset=wanted.subset, limit=wanted.limit,
            derive=given.derive, **options,
        )  # fmt: skip
    elif source.is_file() and target.is_file():
        labels = recipe.labels in ("target", "both")
        taken = raster_inputs(source, target, near, recipe.size, labels=labels, **options)
    with taken as found:
        if found is None and (wanted.columns or wanted.limit or wanted.subset):
            raise UserError(f"{source} is no table of pictures: leave columns, limit, subset out.")
        found = found or find_inputs(source, target, given.match, given.table, given.derive)
        yield replace(
            found, strips=given.strips, alpha=given.alpha, classes=given.classes, pages=given.pages
        )
