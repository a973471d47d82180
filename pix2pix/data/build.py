"""Build a dataset from a plan: A|B pictures in train, val and test, and `dataset.json`.

The folder appears under its name when it is complete, and not before. `dataset.json` names every
original with its digest and every option, so that `rebuild` makes the same bytes from them again.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from pix2pix.data.archives import atomic_folder
from pix2pix.data.compose import compose_ab, open_pair_job
from pix2pix.data.layout import find_splits, split_name
from pix2pix.data.ranges import SideRange
from pix2pix.data.reading import class_colours, limit_big_pictures, page_file, parallel
from pix2pix.data.recipe import DEFAULT_SHARES, FORMATS, PairJob, Recipe
from pix2pix.data.records import (
    SPLITS,
    Inputs,
    Plan,
    PlannedPair,
    Refusal,
    describe_doubts,
    plain_ranges,
)
from pix2pix.data.report import (
    BuiltFile,
    BuiltPair,
    DatasetOrigin,
    DatasetRecipe,
    DatasetReport,
    PaletteColour,
)
from pix2pix.data.split import assign_splits
from pix2pix.errors import UserError
from pix2pix.utils.files import write_json
from pix2pix.utils.progress import Progress, ShouldStop

NOTHING_LEFT = (
    "No pair is left to build: look at what was refused, choose another rule for the names, or "
    "give a CSV of pairs."
)


def build(
    plan: Plan,
    recipe: Recipe,
    out: Path,
    *,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> DatasetReport:
    """Make the dataset `out` and return what its `dataset.json` says.

    Raises UserError where `out` is taken, nothing is left to build or the disk is full, and
    Cancelled when told to stop: then there is no `out`, as after any other failure.
    """
    check_output(out, plan.inputs)
    head, jobs = prepare_build(plan, recipe)
    return _write(head, jobs, out, should_stop, on_progress)


def prepare_build(plan: Plan, recipe: Recipe) -> tuple[DatasetReport, list[PairJob]]:
    """Return all that `dataset.json` says before any pixel is made, and the pairs to make."""
    left_out = {d.file: d for d in plan.doubts if d.kind in recipe.leave_out and d.side == "pair"}
    pairs = [p for p in plan.pairs if p.source not in left_out]
    if not pairs:
        raise UserError(NOTHING_LEFT)
    ranges = {
        "source": plan.ranges["source"].chosen(recipe.source_range),
        "target": plan.ranges["target"].chosen(recipe.target_range),
    }
    label_maps = _label_maps(plan, recipe)
    if recipe.format == "jpg" and any(label_maps):
        side = "sources" if label_maps[0] else "targets"
        raise UserError(f"The {side} are label maps, whose colours JPEG would blur: choose PNG.")
    splits, warnings = assign_splits(
        pairs, recipe.split, DEFAULT_SHARES, recipe.seed, recipe.together
    )
    jobs = _name_jobs(pairs, splits, plan.inputs.kind == "dataset")
    a, b = side_names(plan.inputs)
    head: DatasetReport = {
        "format_version": 1,
        "source_name": recipe.source_name or a,
        "target_name": recipe.target_name or b,
        "rule": plan.rule,
        "explanation": plan.explanation,
        "label_maps": list(label_maps),
        "scaled": _is_mostly_scaled(pairs, recipe),
        "ranges": {side: [r.low, r.high] for side, r in ranges.items()},
        "numbers": {
            side: {
                "type": r.numbers,
                "channels": r.channels,
                "stored": r.stored,
                "kept": _is_kept(r, ranges, recipe),
            }
            for side, r in ranges.items()
        },
        "inputs": {
            "source": str(plan.inputs.source),
            "target": str(plan.inputs.target) if plan.inputs.target else None,
            "derive": plan.inputs.derive,
            "strips": plan.inputs.strips,
            "alpha": list(plan.inputs.alpha),
            "classes": list(plan.inputs.classes),
            "pages": plan.inputs.pages,
            **_origin(plan.inputs),
        },
        "recipe": asdict(recipe),
        "made_with": {"pillow": PIL.__version__, "numpy": np.__version__},
        "warnings": warnings + _keep_warning(ranges, recipe, plan.inputs),
        "refused": [asdict(r) for r in (*plan.refused, *left_out.values())],
        "doubts": describe_doubts(
            d
            for d in plan.doubts
            if left_out.get(d.file) is not d and not _is_settled(d, plan, ranges)
        ),
        "others": [{"file": o.file, "side": o.side, "reason": o.reason} for o in plan.others],
    }
    if palette := _class_palette(plan):
        head["palette"] = palette
    return head, jobs


def rebuild(
    dataset: Path,
    out: Path,
    source: Path | None = None,
    target: Path | None = None,
    *,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> DatasetReport:
    """Build the dataset that a `dataset.json` describes, byte for byte, from the same originals.

    `source` and `target` say where the originals are now, if they have moved. Raises UserError
    where one is missing or has changed, or where the file is no such description.
    """
    try:
        description = json.loads(dataset.read_text(encoding="utf-8"))
        jobs = [
            PairJob(p["name"], p["split"], p["source"], p["target"], tuple(p["digests"]), p["half"],
                p["score"])
            for p in description.pop("pairs")
        ]  # fmt: skip
        description.pop("counts")
        recipe = _recipe_from_json(description["recipe"])
        report_ranges(description)
        if source:
            description["inputs"]["source"] = str(source)
        if target:
            description["inputs"]["target"] = str(target)
        inputs = _inputs_from_json(description)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{dataset.name} does not describe a dataset that was built here: choose another."
        ) from error
    check_output(out, inputs)
    for job in jobs:
        if job.split not in SPLITS or not _is_inside(job):
            raise UserError(f"{dataset.name} names files outside its folders: do not use it.")
    return _write(
        {**description, "recipe": asdict(recipe)}, jobs, out, should_stop, on_progress, strict=True
    )


def _origin(inputs: Inputs) -> dict[str, DatasetOrigin]:
    if not inputs.origin:
        return {}
    values = asdict(inputs.origin)
    del values["refused"]  # they are among the others
    return {"origin": values}


def check_output(out: Path, inputs: Inputs) -> None:
    """Raise UserError unless the dataset can be made there without touching an original."""
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()  # made for this
    if out.exists():
        raise UserError(f"'{out.name}' is there already: choose another name, or delete it first.")
    for folder in {inputs.source, inputs.target_folder}:
        a, b = folder.resolve(), out.resolve()
        if a == b or a in b.parents or b in a.parents:
            raise UserError("The dataset must lie outside the folders it is made from.")


def _class_palette(plan: Plan) -> list[PaletteColour]:
    """Return the palette of class numbers that are shown in colours, with their numbers."""
    looks = [look for pair in plan.pairs for look in (pair.source_look, pair.target_look)]
    numbers = sorted({number for look in looks for number in look.classes})
    colours = class_colours(np.array(numbers, np.int64))
    return [
        {"name": f"class {n}", "color": f"#{bytes(colour).hex()}", "number": n}
        for n, colour in zip(numbers, colours)
    ]


def side_names(inputs: Inputs) -> tuple[str, str]:
    """Name the two sides, where the recipe does not, by their folders."""
    if inputs.derive:
        return inputs.derive, "photo"
    if inputs.target:
        return inputs.source.name, inputs.target.name
    splits = find_splits(inputs.source)
    return next((place.names for place in splits.values() if place.b), ("A", "B"))


def _write(
    head: DatasetReport,
    jobs: list[PairJob],
    out: Path,
    should_stop: ShouldStop,
    on_progress: Progress,
    strict: bool = False,
) -> DatasetReport:
    """Make all pairs in a folder beside `out`, then give it its name."""
    recipe, inputs = _recipe_from_json(head["recipe"]), _inputs_from_json(head)
    folders = inputs.source, inputs.target_folder
    labels, ranges = tuple(head["label_maps"]), report_ranges(head)
    done_pairs, refused = [], list(head["refused"])
    with atomic_folder(out) as partial:
        for split in SPLITS:
            (partial / split).mkdir()

        def make(job: PairJob) -> BuiltPair | UserError:
            try:
                files = (page_file(name, inputs.pages)[0] for name in (job.source, job.target))
                with limit_big_pictures(*(f / name for f, name in zip(folders, files))):
                    pictures = open_pair_job(inputs, job, ranges)
                    made = compose_ab(*pictures, recipe, labels, inputs.derive, job.name)
                    files = _save_pair(made, partial, job, recipe)
                return {**asdict(job), "digests": list(job.digests), "files": files}
            except UserError as error:
                return error

        for done, (job, result) in enumerate(parallel(make, jobs, should_stop), 1):
            if isinstance(result, UserError):
                if strict:
                    raise result
                reason = str(result).rstrip(".")
                refused.append(
                    {"file": job.source, "side": "pair", "kind": "unfit", "reason": reason}
                )
            else:
                done_pairs.append(result)
            on_progress(done, len(jobs))
        if not done_pairs:
            raise UserError(
                f"No pair could be made: {refused[-1]['file']}: {refused[-1]['reason']}."
            )
        counts = {s: sum(len(p["files"]) for p in done_pairs if p["split"] == s) for s in SPLITS}
        made = {**head, "refused": refused, "counts": {"pairs": sum(counts.values()), **counts}}
        made["pairs"] = done_pairs
        write_json(partial / "dataset.json", made)
    return made


def _save_pair(
    made: Iterator[tuple[str, Image.Image]], folder: Path, job: PairJob, recipe: Recipe
) -> list[BuiltFile]:
    """Write the pictures of one pair: their names in the dataset and the digests of their bytes."""
    files = []
    for suffix, strip in made:
        name = f"{job.split}/{job.name}{suffix}{FORMATS[recipe.format]}"
        # Straight to a file, not to memory: only then does Pillow encode JPEG in parallel.
        if recipe.format == "jpg":
            picture = strip if strip.mode == "RGB" else strip.convert("RGB")
            picture.save(folder / name, quality=recipe.quality, subsampling="4:2:0")
        else:
            # Matching runs alone is three times as fast as looking for all repeats, and makes
            # photos up to a seventh larger and label maps no larger.
            strip.save(folder / name, compress_type=zlib.Z_RLE)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        files.append({"file": name, "sha256": digest})
    return files


def _name_jobs(pairs: list[PlannedPair], splits: list[str], by_file: bool) -> list[PairJob]:
    """Name every pair after its source, `by_file` without any folders; no two names are alike,
    whatever their case."""
    used_names: dict[str, int] = {}
    jobs = []
    for pair, split in zip(pairs, splits):
        stem = Path(pair.source).with_suffix("").as_posix()
        top, _, rest = stem.partition("/")
        name = rest if rest and split_name(top) else stem
        name = stem.rpartition("/")[2] if by_file else name
        name = re.sub(r"[^\w.-]+", "_", name.replace("/", "_")).strip("._")[:120] or "pair"
        number = used_names[name.casefold()] = used_names.get(name.casefold(), 0) + 1
        while number > 1 and f"{name}-{number}".casefold() in used_names:
            number += 1
        unique = name if number == 1 else f"{name}-{number}"
        used_names.setdefault(unique.casefold(), 1)
        digests = pair.source_look.digest, pair.target_look.digest
        jobs.append(
            PairJob(unique, split, pair.source, pair.target, digests, pair.half, pair.score)
        )
    return jobs


def report_ranges(head: DatasetReport) -> dict[str, SideRange]:
    """Read the ranges that a report says its pictures were made by; those of 8 bits where an old
    one says none."""
    if "ranges" not in head:
        return plain_ranges()
    ranges, numbers = head["ranges"], head["numbers"]
    return {
        side: SideRange(
            *ranges[side], numbers[side]["type"], numbers[side]["channels"],
            stored=numbers[side]["stored"],
        )
        for side in ("source", "target")
    }  # fmt: skip


def _is_kept(side: SideRange, ranges: dict[str, SideRange], recipe: Recipe) -> bool:
    """Return whether the A|B pictures hold a side's numbers themselves, and not grey by its range:
    those of 16-bit greys do."""
    grey = recipe.format == "png" and all(r.channels == 1 for r in ranges.values())
    return recipe.keep and grey and side.numbers == "uint16" and not side.stored


def _is_settled(doubt: Refusal, plan: Plan, ranges: dict[str, SideRange]) -> bool:
    """Return whether a doubt is about numbers whose range was chosen since."""
    before, now = plan.ranges.get(doubt.side), ranges.get(doubt.side)
    if before is None or now is None or (before.low, before.high) == (now.low, now.high):
        return False
    return doubt.kind in ("outlier", "nodata", "no-contrast", "narrow-range")


def _keep_warning(ranges: dict[str, SideRange], recipe: Recipe, inputs: Inputs) -> list[str]:
    """Say where more than 8 bits were to be kept and an A|B picture cannot: Pillow's PNG has 16
    bits in grey alone."""
    deep = [side for side, r in ranges.items() if r.numbers != "uint8" and not r.stored]
    if not recipe.keep or not deep or inputs.derive:
        return []
    if recipe.format != "jpg" and all(r.channels == 1 for r in ranges.values()):
        return []
    why = "JPEG has no more" if recipe.format == "jpg" else "an A|B picture with colour has no more"
    return [f"The {' and '.join(deep)} pictures are cut to 8 bits of their range: {why}."]


def _label_maps(plan: Plan, recipe: Recipe) -> tuple[bool, bool]:
    if recipe.labels == "auto":
        return plan.label_maps
    return recipe.labels in ("source", "both"), recipe.labels in ("target", "both")


def _is_mostly_scaled(pairs: list[PlannedPair], recipe: Recipe) -> bool:
    """Return whether most pictures of the dataset are at another scale than their originals."""
    if recipe.fit == "tiles" or not recipe.size:
        return False
    as_they_were = sum(pair.source_look.size == (recipe.size,) * 2 for pair in pairs)
    return 2 * as_they_were < len(pairs)


def _recipe_from_json(values: DatasetRecipe) -> Recipe:
    split = tuple(values["split"]) if values["split"] else None
    return Recipe(**{**values, "split": split, "leave_out": tuple(values["leave_out"])})


def _inputs_from_json(head: DatasetReport) -> Inputs:
    inputs = head["inputs"]
    target = Path(inputs["target"]) if inputs["target"] else None
    return Inputs(
        Path(inputs["source"]), target, derive=inputs["derive"],
        strips=inputs.get("strips", "halves"), alpha=tuple(inputs.get("alpha", ("white", "white"))),
        classes=tuple(inputs.get("classes", ("", ""))), pages=inputs.get("pages", "first"),
    )  # fmt: skip


def _is_inside(job: PairJob) -> bool:
    """Return whether a job read from a file stays inside its folders."""
    names = (job.source, job.target)
    inside = all(not Path(n).is_absolute() and ".." not in Path(n).parts for n in names)
    return inside and re.fullmatch(r"[\w.-]{1,140}", job.name) is not None
