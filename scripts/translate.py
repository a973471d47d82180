"""Translate picture files, or every picture in a folder, with a model.

A model of one target channel writes 16-bit PNGs of pictures with more than 8 bits; one whose target
has a range writes its numbers in their own unit and type: metres in a float TIFF, say.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import AB_PAIR_HINT, is_ab_pair
from pix2pix.imaging.decode import list_images, open_picture
from pix2pix.imaging.numbers import picture_suffix, save_picture
from pix2pix.imaging.picture import set_pillow_limits
from pix2pix.models.folder import find_model
from pix2pix.models.translator import Translator
from pix2pix.utils.text import printable
from pix2pix.utils.workspace import model_folders


def main() -> int:
    args = arguments()
    set_pillow_limits()
    try:
        translator = Translator.load(find_model(args.model, model_folders()), args.device)
        known = translator.config.output_numbers
        numbers = known[2] if known else ""
        suffix = ".tif" if numbers not in ("", "uint8", "uint16") else ".png"
        files = find_inputs(args.input, args.out, suffix)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    refused = []
    for number, (file, name) in enumerate(files, 1):
        try:
            picture = open_picture(file)
            if is_ab_pair(picture):
                print(f"{printable(file.name)} {AB_PAIR_HINT}", file=sys.stderr)
            if notice := translator.range_notice(picture, printable(file.name)):
                print(notice, file=sys.stderr)
            result = translator.translate(
                picture,
                seed=args.seed,
                fit=args.fit,
                norm=args.norm,
                on_progress=Progress(file.name),
            )
            made = f"{name}{picture_suffix(result)}"
            save_picture(result, args.out / made, numbers)
            print(f"{number}/{len(files)} {made}", file=sys.stderr)
        except UserError as error:
            print(error, file=sys.stderr)
            refused.append({"file": str(file), "reason": str(error)})
    print(json.dumps({"translated": len(files) - len(refused), "refused": refused}))
    return 1 if refused else 0


def find_inputs(inputs: list[Path], out: Path, suffix: str = ".png") -> list[tuple[Path, str]]:
    """(file, output stem) of every input; raises UserError where one would be overwritten, two
    would overwrite each other or a folder holds no picture."""
    files: list[Path] = []
    for item in inputs:
        images = list_images(item) if item.is_dir() else [item]
        if not images:
            raise UserError(f"{item} holds no pictures: name another folder.")
        files += images
    outputs: dict[str, Path] = {}
    for file in files:
        if outputs.setdefault(file.stem, file) is not file:
            raise UserError(
                f"{outputs[file.stem]} and {file} would both be written as {file.stem}{suffix}: "
                "rename one or translate them into two folders."
            )
    for stem, file in outputs.items():
        result = out / f"{stem}{suffix}"
        if result.exists() and file.exists() and result.samefile(file):
            raise UserError(f"{file} would be overwritten by its translation: name another --out.")
    return [(file, stem) for stem, file in outputs.items()]


class Progress:
    """Says how far a picture of many tiles is."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, done: int, total: int) -> None:
        if total > 1 and sys.stderr.isatty():
            end = "\n" if done == total else ""
            print(f"\r{self.name}: tile {done}/{total}", end=end, file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("input", nargs="+", type=Path, help="picture files or folders")
    parser.add_argument("--model", required=True, help="model name or folder")
    parser.add_argument("--out", required=True, type=Path, help="folder for STEM.png files")
    parser.add_argument("--seed", type=int, help="switch the dropout noise on, with this seed")
    parser.add_argument(
        "--fit",
        choices=["whole", "tiles"],
        default="",
        help="scale the whole picture to the model's size, or cut it into tiles at its own scale "
        "(default: as the model's config says)",
    )
    parser.add_argument(
        "--norm",
        choices=["batch", "stored"],
        default="",
        help="normalise by the statistics of each picture or tile itself, or by the averages of "
        "training, which are the same for all tiles (default: as the model's config says)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
