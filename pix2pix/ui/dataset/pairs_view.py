"""Show pairs as pictures: a dozen at a time, one of them with its source over its target.

A pair that is to be built is made by the code that builds it, so the page shows what is written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from PIL import Image

from pix2pix.data.build import prepare_build
from pix2pix.data.compose import compose_ab, open_pair_job
from pix2pix.data.dataset import (
    PairFile,
    dataset_info,
    find_pairs,
    folder_ranges,
    open_pair,
)
from pix2pix.data.pair_doubts import dataset_doubts
from pix2pix.data.ranges import SideRange
from pix2pix.data.records import SPLITS, Pair, Plan, Recipe, Refusal
from pix2pix.data.report import format_pairs, format_splits
from pix2pix.errors import UserError
from pix2pix.imaging.picture import as_picture, data_url, resize
from pix2pix.ui.custom_html import custom_html
from pix2pix.ui.dataset.wording import DOUBT_TEXTS

PAIRS_PER_PAGE = 12
PREVIEW_PAIRS = 4  # of a dataset to train on
SIDE = 256  # pixels; larger pairs are shown at this height
Item = TypeVar("Item")


def pairs_view(empty: str, **options: Any) -> gr.HTML:
    """Lay out a grid of pairs, the chosen one above it. Its ``select`` event carries the number
    of the first pair of another dozen."""
    return custom_html(
        "dataset/pairs_view.html", ["dataset/pairs_view.css"], "pairs_view.js", ["select"],
        value={"empty": empty}, **options,
    )  # fmt: skip


@functools.lru_cache(maxsize=32)
def preview_pairs(folder: Path, times: tuple[int, ...]) -> dict[str, Any]:
    """Encode a few pairs; `times` only say when to look again."""
    info = dataset_info(folder)
    pairs = [pair for split in SPLITS for pair in find_pairs(folder, split)]
    pictures, ranges = [], folder_ranges(folder)
    for pair in pairs[:: max(1, len(pairs) // PREVIEW_PAIRS)][:PREVIEW_PAIRS]:
        try:
            picture = join_pair(pair, ranges)
            picture.thumbnail((SIDE, SIDE))
            pictures.append({**encode_pair(picture), "name": pair.name})
        except UserError:
            continue  # the Dataset tab says what is wrong with it
    words = [f"{format_pairs(info.total)}: {format_splits(info.counts)}."]
    if not info.counts.get("val"):
        words.append("Without val pairs, samples show training pairs.")
    words += [f"Look at {d.file}: it {d.reason}." for d in dataset_doubts(folder)]
    return {"pairs": pictures, "words": " ".join(words)}


def planned_pair_views(plan: Plan, recipe: Recipe, start: int = 0) -> dict[str, Any]:
    """Show a dozen of a plan's pairs as they would be built; doubtful ones come first."""
    try:
        ready = prepare_build(plan, recipe)
    except UserError as error:
        return {"empty": str(error)}
    doubts: dict[tuple[str, str], list[Refusal]] = {}
    for doubt in plan.doubts:
        doubts.setdefault((doubt.side, doubt.file), []).append(doubt)

    def doubts_of(job: Pair) -> list[Refusal]:
        """Doubts that this pair shows: its own, and those about a side that name its file."""
        keys = [("pair", job.source), ("source", job.source), ("target", job.target)]
        found = [doubt for key in keys for doubt in doubts.get(key, ())]
        return [doubt for doubt in found if doubt.target in ("", job.target)]

    jobs = sorted(ready.pairs, key=lambda job: not doubts_of(job))

    def made(job: Pair) -> dict[str, Any]:
        pair = {"source": job.source, "target": "" if _one_file(job) else job.target}
        doubts_of_pair = doubts_of(job)
        pair["doubt"] = "; ".join(doubt.reason for doubt in doubts_of_pair)
        pair["mark"] = ", ".join(
            DOUBT_TEXTS.get(doubt.kind, doubt.kind) for doubt in doubts_of_pair
        )
        try:
            sides = open_pair_job(plan.inputs, job, ready.ranges)
            pictures = list(
                compose_ab(*sides, recipe, ready.label_maps, plan.inputs.derive, job.name)
            )
        except UserError as error:
            return {**pair, "doubt": str(error), "mark": DOUBT_TEXTS["unfit"], "image": ""}
        if len(pictures) > 1:
            pair["note"] = f"the first of {len(pictures)} tiles"
        return {**pair, **encode_pair(pictures[0][1])}

    return _page_of(jobs, start, made)


def _one_file(job: Pair) -> bool:
    return job.half or job.source == job.target


def dataset_pair_views(folder: Path, start: int = 0) -> dict[str, Any]:
    """Show a dozen of a dataset's pairs."""
    pairs = [(split, pair) for split in SPLITS for pair in find_pairs(folder, split)]
    ranges = folder_ranges(folder)

    def read(place: tuple[str, PairFile]) -> dict[str, Any]:
        split, file = place
        pair = {"source": file.name, "target": "", "doubt": "", "mark": "", "note": split}
        try:
            return {**pair, **encode_pair(join_pair(file, ranges))}
        except UserError as error:
            return {**pair, "doubt": str(error), "mark": DOUBT_TEXTS["unreadable"], "image": ""}

    return _page_of(pairs, start, read)


def join_pair(file: PairFile, ranges: dict[str, SideRange] | None = None) -> Image.Image:
    """Join A and B side by side, B at A's size, deep files by the `ranges` of their dataset."""
    return join_pictures(*(side.convert("RGB") for side in open_pair(file, ranges=ranges)))


def join_pictures(a: Image.Image, b: Image.Image) -> Image.Image:
    """Join two RGB pictures side by side, the second at the first one's size."""
    pair = Image.new("RGB", (2 * a.width, a.height))
    pair.paste(a, (0, 0))
    pair.paste(resize(b, a.size), (a.width, 0))
    return pair


def encode_pair(pair: Image.Image) -> dict[str, Any]:
    """Encode an A|B picture for the page, unscaled up to a height of ``SIDE``."""
    ratio = pair.width / 2 / pair.height
    if pair.height > SIDE or pair.width > 4 * SIDE:
        scale = min(SIDE / pair.height, 4 * SIDE / pair.width)
        half = max(1, round(pair.width / 2 * scale))
        pair = as_picture(pair).to_pil(3)
        pair = pair.resize((2 * half, max(1, round(pair.height * scale))))
    return {"image": data_url(pair), "ratio": f"{min(4, max(0.25, ratio)):.4f}"}


def _page_of(
    items: Sequence[Item], start: int, make: Callable[[Item], dict[str, Any]]
) -> dict[str, Any]:
    start = min(max(0, start), max(0, len(items) - 1)) // PAIRS_PER_PAGE * PAIRS_PER_PAGE
    part = items[start : start + PAIRS_PER_PAGE]
    return {
        "pairs": [make(item) for item in part],
        "range": f"{start + 1} to {start + len(part)} of {len(items):,}",
        "before": str(start - PAIRS_PER_PAGE) if start else "",
        "after": str(start + PAIRS_PER_PAGE) if start + PAIRS_PER_PAGE < len(items) else "",
    }
