"""Measure training steps, single pictures, or many people at once, as ratios within one run.

The first two run our code and plain code that does the same work, by turns; medians are compared.
The last line of output is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.utils.validation import count
from scripts.command import answer, command
from scripts.dev.benchmark_load import load
from scripts.dev.benchmark_network import (
    recipe_against_patchgan,
    step_against_plain,
    translate_against_reference,
)


@command()
def main() -> int:
    args = arguments()
    result: dict[str, object] = {"cores": os.cpu_count()}
    well = True
    if args.load:
        measured, well = load(args.minutes, args.visitors, args.batches)
        result |= measured
    elif args.only != "translate":
        result |= step_against_plain(args.steps) | recipe_against_patchgan(args.steps)
    if not args.load and args.only != "step":
        result |= translate_against_reference(args.turns)
    result["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return answer(result, well)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--only", choices=("step", "translate", "all"), default="all")
    add("--steps", type=count, default=30, help="training steps of each side")
    add("--turns", type=int, default=20, help="pictures of each way to translate")
    add("--load", action="store_true", help="instead: many people at once")
    add("--minutes", type=float, default=10.0, help="of load")
    add("--visitors", type=int, default=30, help="who draw at once")
    add("--batches", type=int, default=5, help="jobs at once, one after another")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
