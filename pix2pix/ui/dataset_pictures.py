"""Pairs as pictures on the page: a dozen at a time, one of them with its source over its target.

A pair that is to be built is made by the code that builds it, so the page shows what is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from PIL import Image

from pix2pix.build import Job, Recipe, pictures_of, prepare, strips
from pix2pix.datasets import PairFile, find_pairs, open_pair
from pix2pix.errors import UserError
from pix2pix.images import as_picture, data_url, resize
from pix2pix.pairing import SPLITS, Refusal
from pix2pix.plan import Plan
from pix2pix.ui.dataset_words import KINDS
from pix2pix.ui.shared import inert

HERE = Path(__file__).parent
SHOWN = 12
SIDE = 256  # pixels; larger pairs are shown at this height
Item = TypeVar("Item")


def pairs_view(empty: str, **options: Any) -> gr.HTML:
    """A grid of pairs, the chosen one above it. Its ``select`` event carries the number of the
    first pair of another dozen."""
    return gr.HTML(
        value={"empty": empty},
        html_template=(HERE / "dataset_pairs.html").read_text(encoding="utf-8"),
        css_template=(HERE / "dataset_pairs.css").read_text(encoding="utf-8"),
        js_on_load=(HERE / "dataset_pairs.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        **options,
    )


def planned_pairs(plan: Plan, recipe: Recipe, start: int = 0) -> dict[str, Any]:
    """A dozen of a plan's pairs as they would be built; doubtful ones come first."""
    try:
        head, jobs = prepare(plan, recipe)
    except UserError as error:
        return inert({"empty": str(error)})
    doubts: dict[str, list[Refusal]] = {}
    for doubt in plan.doubts:
        if doubt.side == "pair":
            doubts.setdefault(doubt.file, []).append(doubt)
    jobs.sort(key=lambda job: job.source not in doubts)
    folders = plan.inputs.source, plan.inputs.target_folder
    labels = tuple(head["label_maps"])

    def made(job: Job) -> dict[str, Any]:
        pair = {"source": job.source, "target": "" if _one_file(job) else job.target}
        found = doubts.get(job.source, [])
        pair["doubt"] = "; ".join(doubt.reason for doubt in found)
        pair["mark"] = ", ".join(KINDS[doubt.kind] for doubt in found)
        try:
            sides = pictures_of(folders, job)
            pictures = list(strips(*sides, recipe, labels, plan.inputs.derive, job.name))
        except UserError as error:
            return {**pair, "doubt": str(error), "mark": KINDS["unfit"], "image": ""}
        if len(pictures) > 1:
            pair["note"] = f"the first of {len(pictures)} tiles"
        return {**pair, **shown(pictures[0][1])}

    return _dozen(jobs, start, made)


def _one_file(job: Job) -> bool:
    return job.half or job.source == job.target


def dataset_pairs(folder: Path, start: int = 0) -> dict[str, Any]:
    """A dozen of a dataset's pairs."""
    found = [(split, pair) for split in SPLITS for pair in find_pairs(folder, split)]

    def read(place: tuple[str, PairFile]) -> dict[str, Any]:
        split, file = place
        pair = {"source": file.name, "target": "", "doubt": "", "mark": "", "note": split}
        try:
            return {**pair, **shown(strip_of(file))}
        except UserError as error:
            return {**pair, "doubt": str(error), "mark": KINDS["unreadable"], "image": ""}

    return _dozen(found, start, read)


def strip_of(file: PairFile) -> Image.Image:
    """A and B beside each other, B at A's size."""
    a, b = (side.convert("RGB") for side in open_pair(file))
    strip = Image.new("RGB", (2 * a.width, a.height))
    strip.paste(a, (0, 0))
    strip.paste(resize(b, a.size), (a.width, 0))
    return strip


def shown(strip: Image.Image) -> dict[str, Any]:
    """An A|B picture for the page, its pixels as they are up to a height of ``SIDE``."""
    ratio = strip.width / 2 / strip.height
    if strip.height > SIDE or strip.width > 4 * SIDE:
        scale = min(SIDE / strip.height, 4 * SIDE / strip.width)
        half = max(1, round(strip.width / 2 * scale))
        strip = as_picture(strip).to_pil(3)
        strip = strip.resize((2 * half, max(1, round(strip.height * scale))))
    return {"image": data_url(strip), "ratio": f"{min(4, max(0.25, ratio)):.4f}"}


def _dozen(
    items: Sequence[Item], start: int, make: Callable[[Item], dict[str, Any]]
) -> dict[str, Any]:
    start = min(max(0, start), max(0, len(items) - 1)) // SHOWN * SHOWN
    part = items[start : start + SHOWN]
    return inert(
        {
            "pairs": [make(item) for item in part],
            "range": f"{start + 1} to {start + len(part)} of {len(items):,}",
            "before": str(start - SHOWN) if start else "",
            "after": str(start + SHOWN) if start + SHOWN < len(items) else "",
        }
    )
