"""Build a dataset of A|B pictures from two folders, from one or a video and a derivation, from a
table of pictures, or a drawn one."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.data.build import NOTHING_LEFT, build, prepare_build
from pix2pix.data.csv_pairs import read_table
from pix2pix.data.matching import RULES
from pix2pix.data.open_inputs import open_inputs
from pix2pix.data.plan import make_plan
from pix2pix.data.reading import ALPHA, CLASSES, PAGES
from pix2pix.data.rebuild import rebuild
from pix2pix.data.records import (
    DOUBTS,
    FITS,
    FORMATS,
    LABELS,
    SPLITS,
    Inputs,
    Origin,
    Plan,
    Recipe,
    parse_shares,
)
from pix2pix.data.report import (
    describe_doubts,
    format_pairs,
    format_splits,
    side_words,
    summarise_report,
)
from pix2pix.data.sample import PAIRS, SIZE, make_sample_dataset
from pix2pix.data.sources import DERIVATIONS
from pix2pix.data.tables import local_table, look_at
from pix2pix.imaging.ab_pairs import STRIPS
from pix2pix.utils.progress import ProgressBar
from scripts.command import answer, command

MOST_TOLD = 20  # files that are left out, one a line


@command(stopped="Stopped: nothing was written.")
def main() -> int:
    args = arguments()
    bar = ProgressBar("building")
    if args.sample:
        counts = make_sample_dataset(args.out, size=args.size, seed=args.seed, on_progress=bar)
        made: Any = {"counts": counts, "rule": "drawn", "refused": [], "doubts": []}
    elif args.rebuild:
        made = rebuild(args.rebuild, args.out, args.source, args.target, on_progress=bar)
    else:
        made = from_pictures(args, bar)
    counts = made["counts"]
    if counts["pairs"]:
        start = "Nothing is written: it would be" if args.plan else f"{args.out} holds"
        say(f"{start} {format_pairs(counts['pairs'])}: {format_splits(counts)}.")
    return answer(summarise_report(made), well=counts["pairs"] > 0)


def from_pictures(args: argparse.Namespace, bar: ProgressBar) -> Any:
    """Plan, tell the plan, and build it unless that is all; returns the report."""
    given = Inputs(
        args.source, args.target, args.match, read_table(args.csv), args.derive,
        strips=args.strips, alpha=(args.source_alpha, args.target_alpha),
        classes=(args.source_classes, args.target_classes), pages=args.pages,
        origin=Origin("", args.columns, args.subset, args.limit, every=args.every),
    )  # fmt: skip
    options = {field.name: getattr(args, field.name) for field in fields(Recipe)}
    recipe = Recipe(**{**options, "split": parse_shares(args.split)})
    if not args.target and (table := local_table(args.source, args.subset)):
        say(*look_at(table, args.columns, args.derive).describe())
    near = args.out.absolute().parent if args.out else Path(tempfile.gettempdir())
    with open_inputs(given, recipe, near, on_progress=ProgressBar("taking out", "it")) as inputs:
        ranges = {"source_range": recipe.source_range, "target_range": recipe.target_range}
        plan = make_plan(inputs, on_progress=ProgressBar("reading"), **ranges)
        tell(plan)
        counts = dict.fromkeys(("pairs", *SPLITS), 0)
        if not plan.pairs:  # its doubts may say how there can be some
            say(NOTHING_LEFT)
            refused, doubts = [asdict(r) for r in plan.refused], describe_doubts(plan.doubts)
            return {"counts": counts, "rule": plan.rule, "refused": refused, "doubts": doubts}
        if args.plan:
            ready = prepare_build(plan, recipe)
            for pair in ready.pairs:
                counts["pairs"] += 1
                counts[pair.split] += 1
            return {**ready.report, "counts": counts}
        made = build(plan, recipe, args.out, on_progress=bar)
        say(*made["warnings"])
        return made


def say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)


def tell(plan: Plan) -> None:
    """Print the rule, three examples, and every refused or doubtful file with its reason."""
    say(f"{len(plan.pairs)} pairs by rule '{plan.rule}': {plan.explanation}")
    if words := side_words(plan.inputs):
        say(f"{words} train.py --set direction=BtoA turns them round.")
    say(*(f"    {source}  ->  {target}" for source, target in plan.examples))
    for side, r in plan.ranges.items():
        if not r.is_plain:
            say(f"{side}s: black is {r.low:g}, white {r.high:g} ({r.numbers}, found "
                f"{r.found[0]:g} to {r.found[1]:g}, percentiles {r.robust[0]:g} to "
                f"{r.robust[1]:g})  {bars(r.histogram)}")  # fmt: skip
    say(*(f"left out: {r.file} ({r.side}): {r.reason}" for r in plan.refused[:MOST_TOLD]))
    if (more := len(plan.refused) - MOST_TOLD) > 0:
        say(f"left out: {more} more, which the last line names")
    for doubt in plan.doubts:
        fixes = " or ".join(f"--{fix.replace('=', ' ')}" for fix in doubt.fixes)
        more = f"; settle it by {fixes}" if fixes else ""
        say(f"look at: {doubt.file} ({doubt.side}): {doubt.reason}{more}")
    say(*(f"not used: {other.file} ({other.side}): {other.reason}" for other in plan.others))


def bars(counts: tuple[int, ...]) -> str:
    """Draw a histogram of one line, black to white."""
    most = max(*counts, 1)
    return "".join(" ▁▂▃▄▅▆▇█"[-(-8 * count // most)] for count in counts)


def names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


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
    usage = "%(prog)s --source DIR --target DIR --out DIR [option]... (--help lists them)"
    parser = argparse.ArgumentParser(description=__doc__, usage=usage)
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
    add("--source", type=Path, metavar="DIR", help="folder of source pictures (A); or, without "
        "--target, a dataset, a video (with --derive), or a table: Parquet, a folder of "
        "`datasets`, a WebDataset tar")  # fmt: skip
    add("--target", type=Path, metavar="DIR", help="folder of target pictures (B); or a GeoTIFF of "
        "the place that the GeoTIFF --source shows")  # fmt: skip
    add("--columns", type=names, default=(), metavar="A,B", help="columns of a table: source and "
        "target, or the one that holds A|B pictures (default: told by their names)")  # fmt: skip
    add("--limit", type=int, default=0, metavar="N", help="the first N pairs of each split")
    add("--subset", default="", metavar="FOLDER", help="of several tables, that in this folder")
    add("--out", type=Path, metavar="DIR", help="the dataset's folder, made when all is done")
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
    add("--split", default="", metavar="TRAIN,VAL,TEST", help="their shares (default: as the "
        "folders or the CSV say, else 0.8,0.1,0.1)")  # fmt: skip
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
    if args.size is None:
        args.size = SIZE if args.sample else 256
    if not args.rebuild and not args.source and not args.sample:
        parser.error("--source is required")
    if not args.out and not args.plan:
        parser.error("--out is required")
    if args.target and args.derive:
        parser.error("give --target or --derive, not both")
    if args.csv and args.match == "auto":
        args.match = "csv"
    args.leave_out = tuple(args.leave_out)
    if args.match == "csv" and not args.csv:
        parser.error("--match csv needs --csv")


if __name__ == "__main__":
    sys.exit(main())
