"""Import a generator of the PyTorch pix2pix reference (latest_net_G.pth) as a model folder.

Reads U-Nets (unet_128, unet_256 and other powers of two) and ResNets (resnet_6blocks,
resnet_9blocks) with batch or instance norm. Architecture, channels, filters and norm are inferred
from the tensors. The last line of the output is a JSON object that names them.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.errors import UserError
from pix2pix.models.convert import import_weights
from pix2pix.utils.files import write_errors


def main() -> int:
    args = arguments()
    options = {key: value for key, value in vars(args).items() if key not in ("file", "out")}
    try:
        with write_errors(args.out):
            config = import_weights(args.file, args.out, **options)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    network = dataclasses.asdict(config.generator)
    print(json.dumps({"model": str(args.out), "norm_mode": config.norm_mode, "generator": network}))
    return 0


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
