"""From a plan to a dataset on disk: A|B pictures in train, val and test, and `dataset.json`.

The folder appears under its name when it is complete, and not before. `dataset.json` names every
original with its digest and every option, so that `rebuild` makes the same bytes from them again.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from pix2pix.archives import new_folder
from pix2pix.datasets import SPLITS
from pix2pix.derive import derive
from pix2pix.errors import UserError
from pix2pix.files import write_json
from pix2pix.images import Picture, as_picture, open_picture, resize
from pix2pix.plan import Inputs, Plan, Planned, one_at_a_time, parallel
from pix2pix.records import BuiltFile, BuiltPair, DatasetRecipe, DatasetReport
from pix2pix.splits import assign_splits

FITS = {
    "stretch": "Stretch to a square",
    "pad": "Pad with white to a square",
    "crop": "Crop the centre",
    "tiles": "Cut into tiles",
}
FORMATS = {"png": ".png", "jpg": ".jpg"}
LABELS = ("auto", "none", "source", "target", "both")
DOUBTS = ("aspect", "misaligned", "jpeg labels")
SHARES = (0.8, 0.1, 0.1)


@dataclass(frozen=True)
class Recipe:
    """How pairs are made. Raises UserError for values that make no sense.

    `size` is the side of each half in pixels, 0 keeps what is there; `fit` says how a picture gets
    to that size. `split` holds the shares of train, val and test; None takes what the folders or
    the CSV say, and 0.8, 0.1, 0.1 where they say nothing. Pairs for which the regular expression
    `together` finds the same text in the source's name stay in one split. `keep` keeps 16 bits,
    grey and alpha where both pictures of a pair have them; else everything is 8-bit RGB on white.
    `labels` says which side is scaled without mixing colours. `leave_out` names kinds of doubt.
    """

    size: int = 256
    fit: str = "stretch"
    format: str = "png"
    quality: int = 95
    keep: bool = False
    split: tuple[float, float, float] | None = None
    seed: int = 0
    together: str = ""
    labels: str = "auto"
    leave_out: tuple[str, ...] = ()
    source_name: str = ""
    target_name: str = ""

    def __post_init__(self) -> None:
        for key, allowed in (("fit", FITS), ("format", FORMATS), ("labels", LABELS)):
            if getattr(self, key) not in allowed:
                known = ", ".join(allowed)
                raise UserError(f"{key} is '{getattr(self, key)}': choose one of {known}.")
        if self.size and not 16 <= self.size <= 4096:
            raise UserError(f"The size is {self.size}: take 16 to 4096, or 0 to keep sizes.")
        if self.fit == "tiles" and not self.size:
            raise UserError("Tiles need a size: take 256, or another fit.")
        if not 1 <= self.quality <= 100:
            raise UserError(f"The JPEG quality is {self.quality}: take 1 to 100.")
        if odd := set(self.leave_out) - set(DOUBTS):
            raise UserError(f"'{odd.pop()}' is no doubt: choose from {', '.join(DOUBTS)}.")
        _check_split(self.split)
        try:
            re.compile(self.together)
        except re.error as error:
            raise UserError(f"'{self.together}' is no regular expression: {error}.") from error


def _check_split(split: tuple[float, float, float] | None) -> None:
    if split is None:
        return
    ok = len(split) == 3 and all(math.isfinite(s) and s >= 0 for s in split)
    if not ok or abs(sum(split) - 1) > 1e-6:
        raise UserError(
            "The shares of train, val and test are three numbers that add up to 1, as 0.8,0.1,0.1."
        )


@dataclass(frozen=True)
class Job:
    """One pair to be made: names inside the input folders, digests of both files' bytes, and the
    name (without suffix) that its pictures get in their split."""

    name: str
    split: str
    source: str
    target: str
    digests: tuple[str, str]
    half: bool = False
    score: float = 0.0


def build(
    plan: Plan,
    recipe: Recipe,
    out: Path,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> DatasetReport:
    """Make the dataset `out` and return what its `dataset.json` says.

    Raises UserError where `out` is taken, nothing is left to build or the disk is full, and Stopped
    when told to stop: then there is no `out`, as after any other failure.
    """
    check_out(out, plan.inputs)
    head, jobs = prepare(plan, recipe)
    return _write(head, jobs, out, should_stop, on_progress)


def prepare(plan: Plan, recipe: Recipe) -> tuple[DatasetReport, list[Job]]:
    """All that `dataset.json` says before any pixel is made, and the pairs to make."""
    left_out = {d.file: d for d in plan.doubts if d.kind in recipe.leave_out and d.side == "pair"}
    pairs = [p for p in plan.pairs if p.source not in left_out]
    if not pairs:
        raise UserError(
            "No pair is left to build: look at what was refused, choose another rule for the "
            "names, or give a CSV of pairs."
        )
    label_maps = _label_maps(plan, recipe)
    if recipe.format == "jpg" and any(label_maps):
        side = "sources" if label_maps[0] else "targets"
        raise UserError(f"The {side} are label maps, whose colours JPEG would blur: choose PNG.")
    splits, warnings = assign_splits(pairs, recipe.split, SHARES, recipe.seed, recipe.together)
    jobs = _jobs(pairs, splits)
    a, b = direction(plan.inputs)
    head: DatasetReport = {
        "format_version": 1,
        "source_name": recipe.source_name or a,
        "target_name": recipe.target_name or b,
        "rule": plan.rule,
        "explanation": plan.explanation,
        "label_maps": list(label_maps),
        "scaled": _scaled(pairs, recipe),
        "inputs": {
            "source": str(plan.inputs.source),
            "target": str(plan.inputs.target) if plan.inputs.target else None,
            "derive": plan.inputs.derive,
        },
        "recipe": asdict(recipe),
        "made_with": {"pillow": PIL.__version__, "numpy": np.__version__},
        "warnings": warnings,
        "refused": [asdict(r) for r in (*plan.refused, *left_out.values())],
        "doubts": [asdict(d) for d in plan.doubts if left_out.get(d.file) is not d],
    }
    return head, jobs


def rebuild(
    dataset: Path,
    out: Path,
    source: Path | None = None,
    target: Path | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> DatasetReport:
    """The dataset that a `dataset.json` describes, byte for byte, from the same originals.

    `source` and `target` say where the originals are now, if they have moved. Raises UserError
    where one is missing or has changed, or where the file is no such description.
    """
    try:
        said = json.loads(dataset.read_text(encoding="utf-8"))
        jobs = [
            Job(p["name"], p["split"], p["source"], p["target"], tuple(p["digests"]), p["half"],
                p["score"])
            for p in said.pop("pairs")
        ]  # fmt: skip
        said.pop("counts")
        recipe = _recipe(said["recipe"])
        if source:
            said["inputs"]["source"] = str(source)
        if target:
            said["inputs"]["target"] = str(target)
        inputs = _inputs(said)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{dataset.name} does not describe a dataset that was built here: choose another."
        ) from error
    check_out(out, inputs)
    for job in jobs:
        if job.split not in SPLITS or not _safe(job):
            raise UserError(f"{dataset.name} names files outside its folders: do not use it.")
    return _write(
        {**said, "recipe": asdict(recipe)}, jobs, out, should_stop, on_progress, strict=True
    )


def check_out(out: Path, inputs: Inputs) -> None:
    """UserError unless the dataset can be made there without touching an original."""
    if out.is_dir() and not any(out.iterdir()):
        out.rmdir()  # made for this
    if out.exists():
        raise UserError(f"'{out.name}' is there already: choose another name, or delete it first.")
    for folder in {inputs.source, inputs.target_folder}:
        a, b = folder.resolve(), out.resolve()
        if a == b or a in b.parents or b in a.parents:
            raise UserError("The dataset must lie outside the folders it is made from.")


def direction(inputs: Inputs) -> tuple[str, str]:
    """What the two sides are called unless the recipe says it."""
    if inputs.derive:
        return inputs.derive, "photo"
    if inputs.target:
        return inputs.source.name, inputs.target.name
    return "A", "B"


def pictures_of(folders: tuple[Path, Path], job: Job) -> tuple[Picture, Picture]:
    """Source and target of a job at full size, read from their files once; the photo twice where
    the source is yet to be derived from it.

    Raises UserError where a file is gone or is not the one that was planned.
    """
    contents = []
    for folder, name, digest in zip(folders, (job.source, job.target), job.digests):
        if contents and name == job.source and folders[0] == folders[1]:
            break
        try:
            content = (folder / name).read_bytes()
        except OSError as error:
            raise UserError(f"{name} is gone or may not be read: put it back.") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise UserError(f"{name} is not the file that was planned: make the plan again.")
        contents.append(content)
    first = open_picture(contents[0], job.source)
    if job.half:
        return _half(first, 0), _half(first, 1)
    return first, open_picture(contents[1], job.target) if len(contents) > 1 else first


def _half(strip: Picture, which: int) -> Picture:
    width, height = strip.size
    middle = width // 2
    if middle == 0:
        raise UserError("A strip of one pixel cannot be cut in two.")
    box = (middle * which, 0, middle * (which + 1), height)
    return Picture(strip.image.crop(box), strip.low, strip.high)


# ------------------------------------------------------------------------------------ one picture


def strips(
    source: Picture, target: Picture, recipe: Recipe, labels: tuple[bool, bool], how: str, key: str
) -> Iterator[tuple[str, Image.Image]]:
    """(suffix of the name, A|B picture) of one pair: one, or one for each tile.

    With a derivation `how` the source is made from the target at its final size, so that lines are
    as thick in every photo. Raises UserError where the pictures are smaller than a tile.
    """
    a, b = _as_kept(source, target) if recipe.keep else (source.to_pil(3), target.to_pil(3))
    if recipe.fit == "tiles" or not recipe.size:
        b = resize(b, a.size, labels=labels[1])
    for suffix, left, right in _pieces(a, b, recipe, labels):
        if how:
            left = as_picture(derive(right, how, key + suffix)).to_pil(len(right.getbands()))
        yield suffix, _side_by_side(left, right)


def _pieces(
    a: Image.Image, b: Image.Image, recipe: Recipe, labels: tuple[bool, bool]
) -> Iterator[tuple[str, Image.Image, Image.Image]]:
    if recipe.fit != "tiles":
        yield "", _fitted(a, recipe, labels[0]), _fitted(b, recipe, labels[1])
        return
    size = recipe.size
    if min(a.size) < size:
        raise UserError(f"it is {a.width} x {a.height}, smaller than a tile of {size} pixels")
    for row, top in enumerate(_places(a.height, size)):
        for column, left in enumerate(_places(a.width, size)):
            box = (left, top, left + size, top + size)
            yield f"-r{row:02}c{column:02}", a.crop(box), b.crop(box)


def _places(length: int, size: int) -> list[int]:
    """Where tiles begin that cover a length evenly; neighbours overlap by less than a tile."""
    count = math.ceil(length / size)
    return [round(i * (length - size) / max(1, count - 1)) for i in range(count)]


def _as_kept(source: Picture, target: Picture) -> tuple[Image.Image, Image.Image]:
    """Both in the one mode that loses nothing which both have: 16-bit grey, grey, RGBA or RGB."""
    if source.channels == target.channels == 1:
        if max(source.bits, target.bits) == 16:
            return _sixteen(source), _sixteen(target)
        if not {"LA"} & {source.image.mode, target.image.mode}:
            return source.to_pil(1), target.to_pil(1)
    alpha = {source.image.mode[-1], target.image.mode[-1]} & {"A"}
    return (source.to_pil(4), target.to_pil(4)) if alpha else (source.to_pil(3), target.to_pil(3))


def _sixteen(picture: Picture) -> Image.Image:
    if picture.image.mode == "I;16":
        return picture.image
    unit = (picture.tile((0, 0, *picture.size), 1)[0] + 1) / 2
    return Image.fromarray(np.rint(unit * 65535).astype(np.uint16))


def _fitted(image: Image.Image, recipe: Recipe, label: bool) -> Image.Image:
    size = recipe.size
    if not size or image.size == (size, size):
        return image
    if recipe.fit == "stretch":
        return resize(image, (size, size), labels=label)
    width, height = image.size
    if recipe.fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return resize(image.crop((left, top, left + side, top + side)), (size, size), labels=label)
    scale = size / max(width, height)
    inner = tuple(max(1, round(n * scale)) for n in (width, height))
    white = {"I;16": 65535, "L": 255}.get(image.mode, (255,) * len(image.getbands()))
    paper = Image.new(image.mode, (size, size), white)
    paper.paste(
        resize(image, inner, labels=label), ((size - inner[0]) // 2, (size - inner[1]) // 2)
    )
    return paper


def _side_by_side(a: Image.Image, b: Image.Image) -> Image.Image:
    strip = Image.new(a.mode, (a.width + b.width, a.height))
    strip.paste(a, (0, 0))
    strip.paste(b, (a.width, 0))
    return strip


# --------------------------------------------------------------------------------------- writing


def _write(
    head: DatasetReport,
    jobs: list[Job],
    out: Path,
    should_stop: Callable[[], bool],
    on_progress: Callable[[int, int], None],
    strict: bool = False,
) -> DatasetReport:
    """Make all pairs in a folder beside `out`, then give it its name."""
    recipe, inputs = _recipe(head["recipe"]), _inputs(head)
    folders = inputs.source, inputs.target_folder
    labels = tuple(head["label_maps"])
    done_pairs, refused = [], list(head["refused"])
    with new_folder(out) as partial:
        for split in SPLITS:
            (partial / split).mkdir()

        def make(job: Job) -> BuiltPair | UserError:
            try:
                with one_at_a_time(folders[0] / job.source, folders[1] / job.target):
                    pictures = pictures_of(folders, job)
                    made = strips(*pictures, recipe, labels, inputs.derive, job.name)
                    files = _save(made, partial, job, recipe)
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


def _save(
    made: Iterator[tuple[str, Image.Image]], folder: Path, job: Job, recipe: Recipe
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


def _jobs(pairs: list[Planned], splits: list[str]) -> list[Job]:
    """A name for every pair, from its source's name, unlike all others whatever their case."""
    taken: dict[str, int] = {}
    jobs = []
    for pair, split in zip(pairs, splits):
        stem = Path(pair.source).with_suffix("").as_posix()
        top, _, rest = stem.partition("/")
        name = rest if rest and top.removesuffix("A") in SPLITS else stem
        name = re.sub(r"[^\w.-]+", "_", name.replace("/", "_")).strip("._")[:120] or "pair"
        number = taken[name.casefold()] = taken.get(name.casefold(), 0) + 1
        while number > 1 and f"{name}-{number}".casefold() in taken:
            number += 1
        unique = name if number == 1 else f"{name}-{number}"
        taken.setdefault(unique.casefold(), 1)
        digests = pair.source_look.digest, pair.target_look.digest
        jobs.append(Job(unique, split, pair.source, pair.target, digests, pair.half, pair.score))
    return jobs


def _label_maps(plan: Plan, recipe: Recipe) -> tuple[bool, bool]:
    if recipe.labels == "auto":
        return plan.label_maps
    return recipe.labels in ("source", "both"), recipe.labels in ("target", "both")


def _scaled(pairs: list[Planned], recipe: Recipe) -> bool:
    """Whether most pictures of the dataset are at another scale than their originals."""
    if recipe.fit == "tiles" or not recipe.size:
        return False
    as_they_were = sum(pair.source_look.size == (recipe.size,) * 2 for pair in pairs)
    return 2 * as_they_were < len(pairs)


def _recipe(said: DatasetRecipe) -> Recipe:
    split = tuple(said["split"]) if said["split"] else None
    return Recipe(**{**said, "split": split, "leave_out": tuple(said["leave_out"])})


def _inputs(head: DatasetReport) -> Inputs:
    said = head["inputs"]
    target = Path(said["target"]) if said["target"] else None
    return Inputs(Path(said["source"]), target, derive=said["derive"])


def _safe(job: Job) -> bool:
    """Whether a job read from a file stays inside its folders."""
    names = (job.source, job.target)
    inside = all(not Path(n).is_absolute() and ".." not in Path(n).parts for n in names)
    return inside and re.fullmatch(r"[\w.-]{1,140}", job.name) is not None
