"""Measure models on the pairs of a dataset, and show their pictures beside the targets.

A source is translated as the app would do it, at its own size; the picture and its target are then
compared at the model's size. Lower is better for L1, the perceptual distance and KID (times 1000),
higher for PSNR, SSIM, accuracy and IoU; L1, PSNR and SSIM reward blur. The perceptual distance and
KID are by EfficientNet-lite2, which takes no part in training and choosing. `perceptual_halves` and
`kid_halves` are the same between the even and the odd real pictures: how far different real
pictures are apart, and the noise of KID. A model that follows strokes of colour is measured with
some of each target's, unless told otherwise. The last line of output is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.data.report import read_facts
from pix2pix.errors import UserError
from pix2pix.evaluation.evaluate import Evaluation, comparison_picture, evaluate, markdown_table
from pix2pix.evaluation.metrics import FEW_IMAGES, INSTALL_HINT, NOISY_KID
from pix2pix.imaging.picture import save_png
from pix2pix.models.folder import find_models
from pix2pix.models.translator import Translator
from pix2pix.utils.files import write_atomically, write_json
from pix2pix.utils.progress import ProgressBar
from pix2pix.utils.validation import count
from scripts.command import answer, command


@command()
def main() -> int:
    args = arguments()
    evaluations = {
        name: evaluate(
            Translator.load(folder, args.device), args.data, args.split,
            direction=args.direction, derive=args.derive, fit=args.fit, palette=args.palette,
            hints=args.hints, limit=args.limit, show=args.show,
            on_progress=ProgressBar(name, "pair"),
        )
        for name, folder in find_models(args.model).items()
    }  # fmt: skip
    results = {name: evaluation.measures for name, evaluation in evaluations.items()}
    result = {"models": results} if len(results) > 1 else next(iter(results.values()))
    refused = {r["file"]: r["reason"] for e in evaluations.values() for r in e.refused}
    wrong = [f"{file} was left out: {reason}" for file, reason in refused.items()]
    wrong += save(args.picture, lambda file: save_png(comparison_picture(evaluations), file))
    wrong += save(args.markdown, lambda file: write_text(file, markdown_table(results)))
    wrong += save(args.json, lambda file: write_json(file, result))
    notes = describe_directions(evaluations, args.data)
    notes += [INSTALL_HINT] if any(r["perceptual"] is None for r in results.values()) else []
    if any(r["kid"] is not None and r["images"] < FEW_IMAGES for r in results.values()):
        notes.append(NOISY_KID)
    print(markdown_table(results), *wrong, *notes, sep="\n", file=sys.stderr)
    return answer(result, well=not wrong)


def describe_directions(evaluations: dict[str, Evaluation], data: Path) -> list[str]:
    """Say which side of the dataset the models were given."""
    facts, found = read_facts(data), {e.direction for e in evaluations.values()} - {""}
    sides, notes = [f"{facts.source_name} (A)", f"{facts.target_name} (B)"], []
    for direction in sorted(found):
        names = ", ".join(n for n, e in evaluations.items() if e.direction == direction)
        source, target = sides if direction == "AtoB" else sides[::-1]
        notes.append(f"From {source} to {target}: {names}; --direction turns them round.")
    return notes


def save(file: Path | None, write: Callable[[Path], None]) -> list[str]:
    """Write a file that was asked for; returns why that cannot be: the figures are not lost."""
    try:
        if file:
            write(file)
    except (OSError, UserError):
        return [f"{file} could not be saved: name another file."]
    return []


def write_text(file: Path, text: str) -> None:
    write_atomically(file, lambda partial: partial.write_text(text, encoding="utf-8"))


def colours(text: str) -> list[str]:
    return [colour.strip() for colour in text.split(",")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--model", required=True, nargs="+", action="extend", help="names or folders of models; a "
        "run's folder stands for its checkpoints")  # fmt: skip
    add("--data", required=True, type=Path, metavar="DIR", help="dataset folder")
    add("--split", default="val", choices=["train", "val", "test"])
    add("--picture", type=Path, default=Path("evaluation.png"), help="file for the rows of source, "
        "generated and target (default: evaluation.png)")  # fmt: skip
    add("--markdown", type=Path, help="file for the table")
    add("--json", type=Path, help="file for what the last line of output says")
    add("--show", type=count, default=8, help="pairs in the picture (default: 8)")
    add("--limit", type=count, default=0, help="pairs at most, evenly spread (default: all)")
    add("--direction", choices=["AtoB", "BtoA"], default="", help="which side is the source "
        "(default: the model's)")  # fmt: skip
    add("--derive", choices=["pairs", "grey"], default="", help="grey: the dataset holds plain "
        "photos, whose grey is the source (default: as the model was trained)")  # fmt: skip
    add("--fit", choices=["whole", "tiles"], default="", help="scale each source to the model's "
        "size, or cut it into tiles at its own scale (default: the model's)")  # fmt: skip
    add("--palette", type=colours, metavar="#RRGGBB,...", help="the colours of label maps "
        "(default: found where the targets are label maps)")  # fmt: skip
    add("--no-hints", dest="hints", action="store_false", help="draw no strokes of the target's "
        "colours on drawings, for models that follow such")  # fmt: skip
    add("--device", default="auto", help="auto, cpu, cuda or mps")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
