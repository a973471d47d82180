"""Build a dataset of A|B pictures from two folders, from one or a video and a derivation, from a
table of pictures, or a drawn one."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.data.build import NOTHING_LEFT, build, prepare_build, rebuild
from pix2pix.data.csv_pairs import read_table
from pix2pix.data.layout import find_inputs
from pix2pix.data.matching import RULES
from pix2pix.data.plan import make_plan
from pix2pix.data.raster_pairs import TOGETHER, raster_inputs
from pix2pix.data.reading import ALPHA, CLASSES, PAGES
from pix2pix.data.records import DOUBTS, FITS, FORMATS, LABELS, SPLITS, Inputs, Plan, Recipe
from pix2pix.data.report import describe_doubts
from pix2pix.data.sample import PAIRS, SIZE, make_sample_dataset
from pix2pix.data.sources import DERIVATIONS, clip_inputs
from pix2pix.data.table_pairs import table_inputs
from pix2pix.data.tables import TableLook, local_table, look_at
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import STRIPS
from pix2pix.imaging.picture import set_pillow_limits
from pix2pix.imaging.video import is_video
from pix2pix.utils.files import read_json_object
from pix2pix.utils.progress import ProgressBar


def main() -> int:
    args = arguments()
    set_pillow_limits()
    try:
        make = sample if args.sample else again if args.rebuild else from_pictures
        made = make(args)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped: nothing was written.", file=sys.stderr)
        return 1
    refused = [{"file": r["file"], "reason": r["reason"]} for r in made["refused"]]
    ranges = made.get("ranges") or {"source": [0.0, 255.0], "target": [0.0, 255.0]}
    answer = {**made["counts"], "rule": made["rule"], "ranges": ranges, "refused": refused}
    print(json.dumps({**answer, "doubts": made["doubts"]}))
    return 1 if refused or not made["counts"]["pairs"] else 0


def from_pictures(args: argparse.Namespace) -> dict[str, Any]:
    if is_video(args.source):
        with from_clip(args) as of_clip:
            return from_folders(args, of_clip)
    if args.target and args.source.is_file() and args.target.is_file():
        labels = args.labels in ("target", "both")
        args.together = args.together or TOGETHER
        rasters = raster_inputs(
            args.source,
            args.target,
            near(args),
            args.size,
            labels=labels,
            on_progress=ProgressBar("cutting"),
        )
        with rasters as of_rasters:
            return from_folders(args, of_rasters)
    table = read_table(args.csv)
    with nullcontext() if args.target else from_table(args) as of_table:
        inputs = of_table or find_inputs(args.source, args.target, args.match, table, args.derive)
        return from_folders(args, inputs)


def from_clip(args: argparse.Namespace) -> AbstractContextManager[Inputs]:
    bar = ProgressBar("taking frames", "frame")
    return clip_inputs(args.source, near(args), args.derive, args.every, on_progress=bar)


def near(args: argparse.Namespace) -> Path:
    """Return where a temporary folder goes: to the disk of the dataset."""
    return args.out.absolute().parent if args.out else Path(tempfile.gettempdir())


@contextmanager
def from_table(args: argparse.Namespace) -> Iterator[Inputs | None]:
    """Give the inputs of the table at --source; None where there is none."""
    table = local_table(args.source, args.subset)
    if table is None:
        if args.columns or args.limit or args.subset:
            raise UserError(f"{args.source} is no table of pictures: leave --columns out.")
        yield None
        return
    tell_table(look_at(table, args.columns, args.derive))
    with table_inputs(
        args.source, near(args), args.columns, subset=args.subset, limit=args.limit,
        derive=args.derive, on_progress=ProgressBar("taking out", "‰"),
    ) as inputs:  # fmt: skip
        yield inputs


def tell_table(look: TableLook) -> None:
    """Print the columns of a table, those that are taken, and three examples."""
    print(f"columns of pictures: {', '.join(look.columns)}", file=sys.stderr)
    counts = ", ".join(f"{rows:,} {split or 'rows'}" for split, rows in look.counts.items())
    print(f"taken: {' -> '.join(look.chosen)}{f' ({counts})' if counts else ''}", file=sys.stderr)
    for pictures in look.examples:
        sizes = "  ->  ".join(f"{p.width} x {p.height}" for p in pictures)
        print(f"    {sizes}", file=sys.stderr)


def from_folders(args: argparse.Namespace, inputs: Inputs) -> dict[str, Any]:
    inputs = replace(
        inputs, strips=args.strips, alpha=(args.source_alpha, args.target_alpha),
        classes=(args.source_classes, args.target_classes), pages=args.pages,
    )  # fmt: skip
    recipe = Recipe(
        size=args.size, fit=args.fit, format=args.format, quality=args.quality, keep=args.keep,
        split=args.split, seed=args.seed, together=args.together, labels=args.labels,
        leave_out=tuple(args.leave_out), source_name=args.source_name, target_name=args.target_name,
        source_range=args.source_range, target_range=args.target_range,
    )  # fmt: skip
    chosen = {"source_range": recipe.source_range, "target_range": recipe.target_range}
    plan = make_plan(inputs, on_progress=ProgressBar("reading"), **chosen)
    tell(plan)
    if not plan.pairs:  # its doubts may say how there can be some
        print(NOTHING_LEFT, file=sys.stderr)
        refused = [asdict(refusal) for refusal in plan.refused]
        counts = {"pairs": 0, **dict.fromkeys(SPLITS, 0)}
        doubts = describe_doubts(plan.doubts)
        return {"counts": counts, "rule": plan.rule, "refused": refused, "doubts": doubts}
    if args.plan:
        ready = prepare_build(plan, recipe)
        counts = {split: sum(pair.split == split for pair in ready.pairs) for split in SPLITS}
        return {**ready.report, "counts": {"pairs": len(ready.pairs), **counts}}
    made = build(plan, recipe, args.out, on_progress=ProgressBar("building"))
    for warning in made["warnings"]:
        print(warning, file=sys.stderr)
    return made


def sample(args: argparse.Namespace) -> dict[str, Any]:
    size, seed = args.size or SIZE, args.seed
    counts = make_sample_dataset(args.out, size=size, seed=seed, on_progress=ProgressBar("drawing"))
    return {"counts": counts, "rule": "drawn", "refused": [], "doubts": []}


def again(args: argparse.Namespace) -> dict[str, Any]:
    inputs = read_json_object(args.rebuild).get("inputs") or {}
    origin = inputs.get("origin")
    if origin and args.source and is_video(args.source):
        args.every, args.derive = origin.get("every", 0), inputs["derive"]
        with from_clip(args) as of_clip:
            return rebuild(
                args.rebuild, args.out, of_clip.source, on_progress=ProgressBar("building")
            )
    if origin and args.source and not args.target:
        args.columns, args.limit = tuple(origin["columns"]), origin["limit"]
        args.subset, args.derive = origin["subset"], inputs["derive"]
        with from_table(args) as inputs:
            if inputs:
                return build_anew(args, inputs.source, inputs.target)
    return build_anew(args, args.source, args.target)


def build_anew(args: argparse.Namespace, *sides: Path | None) -> dict[str, Any]:
    return rebuild(args.rebuild, args.out, *sides, on_progress=ProgressBar("building"))


def tell(plan: Plan) -> None:
    """Print the rule, three examples, and every refused or doubtful file with its reason."""
    say = lambda text: print(text, file=sys.stderr)  # noqa: E731
    say(f"{len(plan.pairs)} pairs by rule '{plan.rule}': {plan.explanation}")
    for source, target in plan.examples:
        say(f"    {source}  ->  {target}")
    for side, r in plan.ranges.items():
        if not r.is_plain:
            say(f"{side}s: black is {r.low:g}, white {r.high:g} ({r.numbers}, found "
                f"{r.found[0]:g} to {r.found[1]:g}, percentiles {r.robust[0]:g} to "
                f"{r.robust[1]:g})  {bars(r.histogram)}")  # fmt: skip
    for refusal in plan.refused:
        say(f"left out: {refusal.file} ({refusal.side}): {refusal.reason}")
    for doubt in plan.doubts:
        fixes = " or ".join(f"--{fix.replace('=', ' ')}" for fix in doubt.fixes)
        more = f"; settle it by {fixes}" if fixes else ""
        say(f"look at: {doubt.file} ({doubt.side}): {doubt.reason}{more}")
    for other in plan.others:
        say(f"not used: {other.file} ({other.side}): {other.reason}")


def bars(counts: tuple[int, ...]) -> str:
    """Draw a histogram of one line, black to white."""
    most = max(*counts, 1)
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // most)] for count in counts)


def names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def shares(text: str) -> tuple[float, float, float]:
    try:
        train, val, test = (float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError("three numbers, as 0.8,0.1,0.1") from error
    return train, val, test


def join_negative(words: list[str]) -> list[str]:
    """Join a range to its option: argparse takes -1024,400 for another option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("--source-range", "--target-range"):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add_inputs(parser)
    add_recipe(parser)
    add = parser.add_argument
    add("--plan", action="store_true", help="only say what would be built")
    add("--sample", action="store_true", help=f"draw {PAIRS} pairs of label maps and little houses")
    add("--rebuild", type=Path, metavar="DATASET.JSON", help="build the same dataset again")
    args = parser.parse_args(join_negative(sys.argv[1:]))
    check(parser, args)
    return args


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add what is read, and where the dataset goes."""
    add = parser.add_argument
    add("--source", type=Path, help="folder of source pictures (A); or, without --target, a "
        "dataset, a video (with --derive), or a table: Parquet, a folder of `datasets`, a "
        "WebDataset tar")  # fmt: skip
    add("--target", type=Path, help="folder of target pictures (B); or a GeoTIFF of the place that "
        "the GeoTIFF --source shows")  # fmt: skip
    add("--columns", type=names, default=(), metavar="A,B", help="columns of a table: source and "
        "target, or the one that holds A|B pictures (default: told by their names)")  # fmt: skip
    add("--limit", type=int, default=0, metavar="N", help="the first N pairs of each split")
    add("--subset", default="", metavar="FOLDER", help="of several tables, that in this folder")
    add("--out", type=Path, help="the dataset's folder, made when all is done")
    add("--match", choices=RULES, default="auto", help="rule that pairs the names (default: auto)")
    add("--csv", type=Path, help="table of pairs: source, target, and split or group if you like")
    add("--derive", choices=list(DERIVATIONS), default="", help="make the source from the picture")
    add("--every", type=int, default=0, metavar="N", help="of a video every N-th frame (default: "
        "two a second); those that look like the one before are left out")  # fmt: skip


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Add how pairs are made of what is read."""
    add = parser.add_argument
    add("--size", type=int, help="side of each half in pixels (default: 256, of a sample 128), "
        "0 keeps the pictures'")  # fmt: skip
    add("--fit", choices=list(FITS), default="stretch", help="how pictures get to that size")
    add("--split", type=shares, help="shares of train,val,test (default: as the folders or the CSV "
        "say, else 0.8,0.1,0.1)")  # fmt: skip
    add("--seed", type=int, default=0, help="of the split")
    add("--together", default="", metavar="REGEX", help="names with the same match stay in one "
        "split, such as '^t\\d+' for the scenes t1, t2")  # fmt: skip
    add("--labels", choices=LABELS, default="auto", help="sides scaled without mixing colours")
    add("--format", choices=list(FORMATS), default="png")
    add("--quality", type=int, default=95, help="of JPEG (default: 95)")
    add("--keep", action="store_true", help="keep 16 bits, grey and alpha")
    add("--strips", choices=list(STRIPS), default="halves", help="how A|B pictures hold A and B")
    for side in ("source", "target"):
        add(f"--{side}-alpha", choices=list(ALPHA), default="white", help="what transparency is")
        add(f"--{side}-classes", choices=list(CLASSES), default="", help="show class numbers in "
            "distinct colours; the palette keeps the numbers")  # fmt: skip
    add("--pages", choices=list(PAGES), default="first", help="of files that have several")
    add("--leave-out", nargs="*", choices=DOUBTS, default=[], help="leave out doubtful pairs")
    add("--source-name", default="", help="what A is called, such as sketch")
    add("--target-name", default="", help="what B is called, such as photo")
    numbers = "numbers that are black and white, as 0,4080, or percentiles (default: the least and "
    numbers += "the greatest of all files), for %s of more than 8 bits"
    add("--source-range", default="", metavar="LOW,HIGH", help=numbers % "sources")
    add("--target-range", default="", metavar="LOW,HIGH", help=numbers % "targets")


def check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Refuse arguments that contradict each other, and fill in what follows from others."""
    if args.sample and (args.source or args.rebuild or args.plan):
        parser.error("--sample takes no pictures: leave --source, --rebuild and --plan out")
    if args.size is None and not args.sample:
        args.size = 256
    if not args.rebuild and not args.source and not args.sample:
        parser.error("--source is required")
    if not args.out and not args.plan:
        parser.error("--out is required")
    if args.target and args.derive:
        parser.error("give --target or --derive, not both")
    if args.csv and args.match == "auto":
        args.match = "csv"
    if args.match == "csv" and not args.csv:
        parser.error("--match csv needs --csv")


if __name__ == "__main__":
    sys.exit(main())
