"""Save model folders: weights, config, card, and the graph for ONNX Runtime and browsers, which is
compared with PyTorch before it is written."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from pix2pix.errors import UserError
from pix2pix.model_config import ModelConfig
from pix2pix.models.folder import CARD, CONFIG, GRAPH, WEIGHTS, load_model, read_config
from pix2pix.models.onnx_runtime import graph_bytes, open_session
from pix2pix.nn.layers import use_own_statistics
from pix2pix.utils.files import write_atomically, write_json

MOST_DIFFERENCE = 1e-3  # of a graph's output, -1 to 1, to PyTorch's; the shipped ones have 1e-6
_checked_graphs: set[bytes] = set()  # whose output was compared by this process
log = logging.getLogger(__name__)


def save_model(
    folder: Path, generator: nn.Module, config: ModelConfig, card: str, half: bool = True
) -> None:
    """Write the folder, each file atomically: the weights, then ``config.json``, which makes it a
    model, then the graph, where onnx and onnxruntime are installed.

    With ``half`` the weights are stored as float16; running statistics can exceed its range and
    stay float32. Raises OSError where it cannot be written.
    """
    tensors = {}
    for name, tensor in generator.state_dict().items():
        tensor = tensor.detach().cpu().contiguous()
        small = half and tensor.is_floating_point() and "running_" not in name
        tensors[name] = tensor.half() if small else tensor

    def write(file: Path) -> None:
        try:
            save_file(tensors, file)
        except SafetensorError as error:  # so safetensors says that the disk is full
            raise OSError(str(error)) from error

    write_atomically(folder / WEIGHTS, write)
    write_atomically(folder / CARD, lambda f: f.write_text(card, encoding="utf-8"))
    write_json(folder / CONFIG, config.to_json())
    refresh_graph(folder)


def refresh_graph(folder: Path) -> None:
    """Write a model's ``model.onnx`` where that can be, and leave none of other weights where it
    cannot: PyTorch runs a model without. Raises OSError."""
    try:
        write_onnx(folder)
    except (ImportError, UserError) as error:
        (folder / GRAPH).unlink(missing_ok=True)
        if isinstance(error, UserError):
            log.warning("'%s' has no %s: %s", folder.name, GRAPH, error)


def write_onnx(folder: Path) -> Path:
    """Write a model's ``model.onnx``, the graph whose weights are places in ``model.safetensors``;
    see `pix2pix.models.onnx_graph`.

    A graph whose output is not PyTorch's is not written; one that is there already is not compared
    again. Raises ImportError without onnx or onnxruntime, UserError for an unusable model, OSError.
    """
    file, graph = folder / GRAPH, graph_bytes(folder, read_config(folder))
    if file.is_file() and file.read_bytes() == graph:
        return file
    if graph not in _checked_graphs:
        compare_graph(graph, folder)
        _checked_graphs.add(graph)
    write_atomically(file, lambda f: f.write_bytes(graph))
    return file


def compare_graph(graph: bytes, folder: Path) -> float:
    """Run a graph over a model's weights, and the model by PyTorch, on one random source with a
    random tint; return the largest difference. Raises UserError where that is too much."""
    generator, config = load_model(folder)
    side = max(64, config.generator.multiple)
    shape = (1, config.generator.source_channels, side, side)
    rng = np.random.default_rng(0)
    inputs = {"source": rng.uniform(-1, 1, shape).astype(np.float32)}
    if config.generator.tint:
        inputs["tint"] = rng.uniform(-1, 1, (1, 3, 1, 1)).astype(np.float32)
    use_own_statistics(generator, config.norm_mode == "batch")
    with torch.inference_mode():
        source, *tint = map(torch.from_numpy, inputs.values())
        target = generator(source, *(colour.flatten(1) for colour in tint)).numpy()
    try:
        session = open_session(graph, folder, torch.get_num_threads())
        made = session.run(None, inputs)[0]
    except ImportError:
        raise
    except Exception as error:  # each of ONNX Runtime's is a class of its own
        raise UserError(f"ONNX Runtime cannot run the graph of '{folder.name}': {error}") from error
    difference = float(np.abs(made - target).max())
    # What a network diverged to, neither runtime has a number for.
    if not np.allclose(made, target, rtol=0, atol=MOST_DIFFERENCE, equal_nan=True):
        raise UserError(
            f"The ONNX graph differs from the model by {difference:.2g} and was not written: "
            "install the versions of onnx and onnxruntime that requirements.txt names."
        )
    return difference


def export_onnx(folder: Path, out: Path) -> float:
    """Write a model as one file with its weights and the names of its sides; return the largest
    difference of its output to PyTorch's. Raises ImportError as `write_onnx` does, and UserError,
    which leaves `out` as it was, where that is too much."""
    from onnx import external_data_helper, helper

    from pix2pix.models.onnx_graph import build_graph

    config = read_config(folder)
    model = build_graph(config, folder / WEIGHTS)
    external_data_helper.load_external_data_for_model(model, str(folder))
    facts = {entry.key: entry.value for entry in model.metadata_props if entry.key != "weights"}
    names = {"title": config.title, "source": config.source_name, "target": config.target_name}
    helper.set_model_props(model, facts | names)
    graph = model.SerializeToString(deterministic=True)
    difference = compare_graph(graph, folder)
    write_atomically(out, lambda file: file.write_bytes(graph))
    return difference
