"""Export a model's generator as ONNX, for programs without PyTorch: browsers, phones, game engines.

The network has one input, `source`, and one output, `target`, both 1 x C x SIZE x SIZE, float32,
from -1 to 1. It normalises as the app does, and its dropout is off: the same source gives the same
target. The names of its sides are in the file's metadata. It is the network alone: from a model
that colours grey the app takes hue and saturation, and the light from the photo. Before the file is
put in place it is run, and what comes out is compared with the model's own output: by onnxruntime
in a second where that is installed, else by onnx itself in half a minute or so. The last line of
output is one JSON object, with the largest `difference` of two values.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.errors import UserError
from pix2pix.model_config import ModelConfig
from pix2pix.models.folder import find_model, load_model
from pix2pix.nn.layers import use_own_statistics
from pix2pix.utils.files import write_atomically, write_errors
from pix2pix.utils.workspace import model_folders

HOW_TO_GET = "Exporting needs two more packages: pip install onnx onnxscript"
MOST_DIFFERENCE = 1e-3  # of values from -1 to 1; the shipped models have 1e-6


def main() -> int:
    args = arguments()
    try:
        generator, config = load_model(find_model(args.model, model_folders()))
        shape = (1, config.generator.source_channels, *[args.size or config.generator.size] * 2)
        if shape[-1] % config.generator.multiple:
            raise UserError(f"The size must be a multiple of {config.generator.multiple}.")
        with write_errors(args.out):
            difference = export(generator, config, shape, args.out)
    except ImportError:
        print(HOW_TO_GET, file=sys.stderr)
        return 1
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    result = {"onnx": str(args.out), "bytes": args.out.stat().st_size, "source": shape}
    print(json.dumps(result | {"difference": difference}))
    return 0


def export(generator: nn.Module, config: ModelConfig, shape: tuple[int, ...], out: Path) -> float:
    """Write the file and return by how much its output differs from the model's own for one random
    source of this shape. Raises UserError, and leaves `out` as it was, where that is too much."""
    source = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    use_own_statistics(generator.eval(), config.norm_mode == "batch")
    with torch.no_grad():
        target = generator(torch.from_numpy(source)).numpy()
    if config.norm_mode == "batch":
        generator = with_instance_norm(generator).eval()
    difference = 0.0

    def write(file: Path) -> None:
        nonlocal difference
        save(generator, config, shape, file)
        difference = float(np.abs(made_by_file(file, source) - target).max())
        if not difference <= MOST_DIFFERENCE:  # nor is NaN
            raise UserError(
                f"What was exported differs from the model by {difference:.2g} and was not saved: "
                "try other versions of onnx and onnxscript."
            )

    write_atomically(out, write)
    return difference


def made_by_file(file: Path, source: np.ndarray) -> np.ndarray:
    """Run the exported file on the source, as another program does."""
    try:
        from onnxruntime import InferenceSession
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        return ReferenceEvaluator(str(file)).run(["target"], {"source": source})[0]
    session = InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(["target"], {"source": source})[0]


def with_instance_norm(network: nn.Module) -> nn.Module:
    """Replace batch norms by instance norms with their scales and shifts: on one picture, which
    is all that the exported network takes, the statistics are the same."""
    for name, layer in network.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            norm = nn.InstanceNorm2d(layer.num_features, layer.eps, affine=True)
            norm.load_state_dict({"weight": layer.weight, "bias": layer.bias})
            setattr(network, name, norm)
        else:
            with_instance_norm(layer)
    return network


def save(generator: nn.Module, config: ModelConfig, shape: tuple[int, ...], file: Path) -> None:
    source = torch.zeros(shape)
    program = torch.onnx.export(
        generator, (source,), input_names=["source"], output_names=["target"], dynamo=True,
        verbose=False,
    )  # fmt: skip
    metadata = {"title": config.title, "source": config.source_name, "target": config.target_name}
    program.model.metadata_props.update(metadata)
    program.save(file, external_data=False)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", required=True, help="name or folder of the model")
    parser.add_argument("--out", required=True, type=Path, metavar="FILE.onnx")
    parser.add_argument("--size", type=int, help="side of the source (default: the model's own)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
