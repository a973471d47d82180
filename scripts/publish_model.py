"""Publish a run's generator, or that of a checkpoint, as a model folder: weights, config, card, and
sources to begin with. Card and sources are the run's own, unless others are given: those that our
code draws come with the model's pictures of them on the card."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.models.folder import (
    CARD,
    EXAMPLES,
    THUMBNAIL,
    WEIGHTS,
    find_model,
    load_model,
    sample_files,
)
from pix2pix.models.saving import save_model
from pix2pix.models.translator import Translator
from pix2pix.training.checkpoints import entitle_card
from pix2pix.utils.files import atomic_folder
from scripts.command import answer, command
from scripts.examples.sources import KINDS, Drawn, add_examples, draw_sources


@command()
def main() -> int:
    args = arguments()
    model = find_model(args.run)
    generator, config = load_model(model)
    if args.card:
        card = args.card.read_text(encoding="utf-8")
    else:
        card = entitle_card((model / CARD).read_text(encoding="utf-8"), args.title)
    sources = []
    if args.examples and args.through:
        painter = Translator.load(find_model(args.through))
        drawn = draw_sources(args.examples, painter.config)
        sources = [Drawn(source.name, painter.translate(source.picture)) for source in drawn]
    elif args.examples:
        sources = draw_sources(args.examples, config)
    with atomic_folder(args.out) as out:
        save_model(out, generator, dataclasses.replace(config, title=args.title), card)
        if sources:
            add_examples(out, sources)
        else:
            copy_examples(model, out)
    return answer({"model": str(args.out), "bytes": (args.out / WEIGHTS).stat().st_size})


def copy_examples(model: Path, out: Path) -> None:
    """Copy what a run's model has to begin with: drawings or photos, and its picture."""
    for file in [model / EXAMPLES, model / THUMBNAIL, *sample_files(model)]:
        if file.is_file():
            copy = out / file.relative_to(model)
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copy)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("run", type=Path, help="run folder, or one of its checkpoints")
    add("--out", type=Path, required=True, metavar="DIR", help="new model folder")
    add("--title", required=True, help="what people read on its card")
    add("--card", type=Path, help="the model card, Markdown; default: the one that the run wrote")
    add("--examples", choices=KINDS, help="sources drawn by code to add")
    add("--through", type=Path, metavar="MODEL", help="let this model translate the drawn sources "
        "first: a drawn town becomes a photo")  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
