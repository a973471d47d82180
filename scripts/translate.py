"""Translate picture files, or every picture in a folder and its subfolders, with a model.

The results have the same names in the same tree. Map tiles z/x/y.png and MBTiles come back without
seams, GeoTIFFs with their place on Earth, videos as MP4 with their sound. A model of one target
channel writes 16-bit PNGs of pictures with more than 8 bits; one whose target has a range writes
its numbers in their own unit and type: metres in a float TIFF, say.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.errors import UserError
from pix2pix.imaging.numbers import result_suffix
from pix2pix.models.batch import list_jobs, refuse_overwriting, run_job
from pix2pix.models.folder import find_model
from pix2pix.models.translator import Translator
from pix2pix.utils.progress import ProgressBar
from scripts.command import answer, command


@command(stopped="Stopped: what was translated is kept.")
def main() -> int:
    args = arguments()
    translator = Translator.load(find_model(args.model), args.device)
    translator.check(tint=args.tint, norm=args.norm)
    jobs = list_jobs(args.input, result_suffix(translator.config.output_numbers))
    refuse_overwriting(jobs, args.out)
    translated, refused = 0, []
    options = {"seed": args.seed, "tint": args.tint, "fit": args.fit, "norm": args.norm}
    for number, job in enumerate(jobs, 1):
        try:
            bar = ProgressBar(job.name, "tile", leave=False)
            done = run_job(translator, job, args.out, on_progress=bar, **options)
            translated += done.translated
            refused += [{"file": file, "reason": reason} for file, reason in done.refused]
            lines = [*done.remarks, *(reason for _, reason in done.refused)]
            print(
                *lines, f"{number}/{len(jobs)} {job.result or job.name}", sep="\n", file=sys.stderr
            )
        except UserError as error:
            print(error, file=sys.stderr)
            refused.append({"file": str(job.file), "reason": str(error)})
    return answer({"translated": translated, "refused": refused})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("input", nargs="+", type=Path, help="files or folders")
    add("--model", required=True, help="model name or folder")
    add("--out", required=True, type=Path, metavar="DIR", help="folder for the results")
    add("--seed", type=int, help="switch the noise on, with this seed, which chooses a tint too")
    add("--tint", default="", metavar="COLOUR", help="what the source leaves open, as #d8b48c or "
        "salmon, for a model that was trained with a tint")  # fmt: skip
    add("--fit", choices=["whole", "tiles"], default="", help="scale the whole picture to the "
        "model's size, or cut it into tiles at its own scale (default: as the model's config "
        "says)")  # fmt: skip
    add("--norm", choices=["batch", "stored"], default="", help="normalise by the statistics of "
        "each picture or tile itself, or by the averages of training, which are the same for all "
        "tiles (default: as the model's config says)")  # fmt: skip
    add("--device", default="auto", help="auto, cpu, cuda or mps")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
