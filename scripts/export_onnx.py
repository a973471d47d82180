"""Export a model's generator as one ONNX file, for programs without PyTorch: phones, game engines.

The network has one input, `source`, and one output, `generated`, N x C x H x W, float32 from -1 to
1; heights and widths are multiples of the metadata's `multiple`. It normalises each picture as the
app does, and its dropout is off: the same source gives the same output. The names of its sides are
in the file's metadata. It is the network alone: from a model that colours grey the app takes hue
and saturation, and the light from the photo. Before the file is put in place it is run, and its
output compared with the model's own. The last line of output is one JSON object, with the largest
`difference` of two values.

With --beside it writes into model folders the `model.onnx` that saving a model writes: the graph
alone, whose weights are places in the `model.safetensors` beside it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.errors import UserError
from pix2pix.models.folder import find_model
from pix2pix.models.saving import export_onnx, write_onnx
from pix2pix.utils.files import write_errors
from scripts.command import answer, command

HOW_TO_GET = "Exporting needs two more packages: pip install onnx onnxruntime"


@command()
def main() -> int:
    args = arguments()
    try:
        if args.beside:
            return answer(write_beside(args.beside))
        difference = export_onnx(find_model(args.model), args.out)
    except ImportError as error:
        raise UserError(HOW_TO_GET) from error
    size = args.out.stat().st_size
    return answer({"onnx": str(args.out), "bytes": size, "difference": difference})


def write_beside(models: list[str]) -> dict[str, list[dict]]:
    """Write every model's graph; returns what was written, and what was refused."""
    written, refused = [], []
    for name in models:
        try:
            folder = find_model(name)
            with write_errors(folder):
                file = write_onnx(folder)
            written.append({"onnx": str(file), "bytes": file.stat().st_size})
        except UserError as error:
            print(error, file=sys.stderr)
            refused.append({"model": name, "reason": str(error)})
    return {"written": written, "refused": refused}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", help="name or folder of the model")
    what.add_argument("--beside", nargs="+", metavar="MODEL", help="names or folders of models")
    parser.add_argument("--out", type=Path, metavar="FILE.onnx", help="with --model")
    args = parser.parse_args()
    if bool(args.model) != bool(args.out):
        parser.error("--model needs --out FILE.onnx, and --beside takes none")
    return args


if __name__ == "__main__":
    sys.exit(main())
