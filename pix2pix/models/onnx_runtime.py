"""Run models by ONNX Runtime, where that is faster than PyTorch: on a CPU in float32; and write
their graphs, each compared with PyTorch before.

All pictures are computed in one thread for everybody, in turn.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pix2pix.errors import UserError
from pix2pix.model_config import ModelConfig
from pix2pix.models.folder import GRAPH, WEIGHTS, load_model, read_config
from pix2pix.nn.layers import use_own_statistics
from pix2pix.utils.files import write_atomically

MOST_DIFFERENCE = 1e-3  # of a graph's output, -1 to 1, to PyTorch's; the shipped ones have 1e-6
# Dropout draws from PyTorch's global generator: two seeded translations must not interleave, and
# one forward is faster with all cores than two that share them. Its work is done in the order in
# which it came, so that the many tiles of one picture let every drawing in between, which a lock
# does not promise. And only one thread, not each that asks, keeps OpenMP's helpers and the memory
# of a forward.
_pool = ThreadPoolExecutor(1, "forward")
_forks = 0  # that lie between this process and the program's first
_abandoned: list[Any] = []  # sessions whose threads stayed in the process that was forked
_checked_graphs: set[bytes] = set()  # whose output was compared by this process
log = logging.getLogger(__name__)


def _begin_anew_after_fork() -> None:
    """Make the pool anew: a forked process has neither its thread nor OpenMP's, and would wait."""
    global _pool, _forks
    _pool, _forks = ThreadPoolExecutor(1, "forward"), _forks + 1
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew_after_fork)


def in_turn(forward: Callable[..., np.ndarray], *arguments: Any) -> np.ndarray:
    """Return `forward(*arguments)`, computed when all that was asked for before is done."""
    return _pool.submit(forward, *arguments).result()


def open_session(graph: bytes, folder: Path, threads: int) -> Any:
    """Load a graph over the weights in its folder into ONNX Runtime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors; they are raised as well
    # Threads that spin after their work would take the time of whatever else computes here.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    place = "session.model_external_initializers_file_folder_path"
    options.add_session_config_entry(place, str(folder))
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class OnnxEngine:
    """A graph over the weights in its folder, ready to run. One thread at a time may use it."""

    def __init__(self, graph: bytes, folder: Path) -> None:
        """Raise one of ONNX Runtime's exceptions where it cannot run the graph."""
        self.graph, self.folder = graph, folder
        self._open()

    def _open(self) -> None:
        self._forks_at_start = _forks
        self._session = open_session(self.graph, self.folder, torch.get_num_threads())

    def run(self, source: np.ndarray) -> np.ndarray:
        """Run on N x C x H x W in [-1, 1]; returns N x C' x H x W, float32. Raises MemoryError."""
        if self._forks_at_start != _forks:  # to end it would be to wait for threads that are gone
            _abandoned.append(self._session)
            self._open()
        source = np.ascontiguousarray(source, np.float32)
        try:
            return self._session.run(["generated"], {"source": source})[0]
        except Exception as error:  # it has no exception of its own for memory
            if "alloc" not in str(error):
                raise
            raise MemoryError(str(error)) from error


def onnx_engine(folder: Path, config: ModelConfig) -> OnnxEngine | None:
    """Return the engine of a model in a folder; nothing where onnx and onnxruntime are not
    installed, or not fit for it."""
    try:
        return OnnxEngine(graph_bytes(folder, config), folder)
    except (ImportError, UserError):
        return None
    except Exception:  # each of ONNX Runtime's is a class of its own
        log.warning("ONNX Runtime cannot run '%s', so PyTorch does.", folder.name, exc_info=True)
        return None


def graph_bytes(folder: Path, config: ModelConfig) -> bytes:
    """Build the graph over the weights in a folder. Raises ImportError where it could not be run
    either, and UserError."""
    import onnxruntime  # noqa: F401  what is not run is not built

    from pix2pix.models.onnx_graph import build_graph

    return build_graph(config, folder / WEIGHTS).SerializeToString(deterministic=True)


# ------------------------------------------------------------------- written, and checked before


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
    """Run a graph over a model's weights, and the model by PyTorch, on one random source; return
    the largest difference. Raises UserError where that is too much."""
    generator, config = load_model(folder)
    side = max(64, config.generator.multiple)
    shape = (1, config.generator.source_channels, side, side)
    source = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    use_own_statistics(generator, config.norm_mode == "batch")
    with torch.inference_mode():
        target = generator(torch.from_numpy(source)).numpy()
    try:
        session = open_session(graph, folder, torch.get_num_threads())
        made = session.run(None, {"source": source})[0]
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
