"""Run models by ONNX Runtime, where that is faster than PyTorch: on a CPU in float32.

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
from pix2pix.models.folder import WEIGHTS

# Dropout draws from PyTorch's global generator: two seeded translations must not interleave, and
# one forward is faster with all cores than two that share them. Its work is done in the order in
# which it came, so that the many tiles of one picture let every drawing in between, which a lock
# does not promise. And only one thread, not each that asks, keeps OpenMP's helpers and the memory
# of a forward.
_pool = ThreadPoolExecutor(1, "forward")
_forks = 0  # that lie between this process and the program's first
_abandoned: list[Any] = []  # sessions whose threads stayed in the process that was forked
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
        self._has_tint = len(self._session.get_inputs()) > 1

    def run(self, source: np.ndarray, tint: np.ndarray | None = None) -> np.ndarray:
        """Run on N x C x H x W in [-1, 1], and the tint of a model that has one, 1 x 3; returns
        N x C' x H x W, float32. Raises MemoryError."""
        if self._forks_at_start != _forks:  # to end it would be to wait for threads that are gone
            _abandoned.append(self._session)
            self._open()
        inputs = {"source": np.ascontiguousarray(source, np.float32)}
        if self._has_tint:
            colour = np.zeros((1, 3), np.float32) if tint is None else tint
            inputs["tint"] = colour.reshape(1, 3, 1, 1)
        try:
            return self._session.run(["generated"], inputs)[0]
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
