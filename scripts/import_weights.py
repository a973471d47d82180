"""Import a generator of the PyTorch pix2pix reference (latest_net_G.pth) as a model folder.

Reads U-Nets (unet_128, unet_256 and other powers of two) and ResNets (resnet_6blocks,
resnet_9blocks) with batch or instance norm. Architecture, channels, filters and norm are inferred
from the tensors. The last line of the output is a JSON object that names them.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.models.convert import import_weights
from scripts.command import answer, command


@command()
def main() -> int:
    args = arguments()
    config = import_weights(**vars(args))
    network = dataclasses.asdict(config.generator)
    return answer({"model": str(args.out), "norm_mode": config.norm_mode, "generator": network})


def arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add = parser.add_argument
    add("file", type=Path, metavar="FILE.pth", help="the weights")
    add("--out", type=Path, required=True, metavar="DIR", help="model folder")
    add("--direction", choices=["AtoB", "BtoA"], default="AtoB")
    add("--source-name", default="source", help="what goes in, such as satellite")
    add("--target-name", default="target", help="what comes out, such as map")
    add("--norm-mode", choices=["batch", "stored"], default="batch", help="batch norm at translate "
        "time: batch is each picture's own statistics, as the reference's test.py has it unless "
        "told --eval; stored is those kept from training, for weights trained at a larger batch; "
        "without meaning for instance norm (default: batch)")  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
