"""Print the layers, shapes and parameters of a preset's two networks, and draw them.

The last line of the output is a JSON object: trainable parameters of both, and the receptive
field and output size of the discriminator.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.config import train_config
from pix2pix.imaging.picture import save_png
from pix2pix.nn.diagram import draw_networks
from pix2pix.nn.summary import format_summary, summarise
from pix2pix.presets import PRESETS
from pix2pix.utils.validation import split_setting
from scripts.command import answer, command


@command()
def main() -> int:
    args = arguments()
    size = {"size": str(args.size)} if args.size else {}
    summary = summarise(train_config(args.preset, {**size, **dict(args.set)}))
    print(format_summary(summary), end="\n\n")
    if args.image:
        save_png(draw_networks(summary), args.image)
    return answer(summary.to_json())


def arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add = parser.add_argument
    add("--preset", default="maps", choices=list(PRESETS))
    add("--size", type=int, help="of the pictures (default: the preset's)")
    add("--image", type=Path, metavar="F.png", help="draw both networks here")
    add("--set", action="append", default=[], metavar="KEY=VALUE", type=split_setting,
        help="override a value of the preset, such as ngf=32 or generator=resnet")  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
