"""Time one picture through the network on the CPU: ONNX Runtime, PyTorch with and without folded
resize convolutions, and the network as the PyTorch pix2pix reference runs it, all by turns."""

from __future__ import annotations

import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from pix2pix.model_config import GeneratorConfig, ModelConfig
from pix2pix.models.folder import WEIGHTS, find_model, load_model, read_config, save_model
from pix2pix.models.onnx_graph import build_graph, open_session
from pix2pix.models.translator import Translator
from pix2pix.nn.generators import build_generator
from pix2pix.nn.layers import FastDownConv, FastUpConv, ResizeConv

MODELS = ("face-sketch", "facades", "streets")
PAPER = GeneratorConfig(bias=False, dropout="after-innermost")  # ngf 64, as the reference has it
Way = Callable[[np.ndarray], np.ndarray]


def translate_against_reference(rounds: int) -> dict[str, object]:
    """Median milliseconds of a picture for every model, number of threads and way, and how many
    times as fast the others are: median of the ratios by turn."""
    result: dict[str, object] = {}
    usual = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as place:
        save_model(Path(place) / "ngf-64", build_generator(PAPER), ModelConfig(PAPER), "")
        for folder in [Path(place) / "ngf-64", *(find_model(m) for m in MODELS)]:
            for threads in (1, 2):
                torch.set_num_threads(threads)
                seconds = by_turns(ways(folder, threads), read_config(folder).generator, rounds)
                result[f"{folder.name}, {threads} threads"] = summary(seconds)
    torch.set_num_threads(usual)
    return result


def ways(folder: Path, threads: int) -> dict[str, Way]:
    """Return functions of 1 x C x H x W that do the same."""
    session = open_session(build_graph(read_config(folder), folder / WEIGHTS).SerializeToString(),
                           folder, threads)  # fmt: skip
    today = Translator(*load_model(folder), "cpu")  # from no folder: PyTorch
    reference, _ = load_model(folder)

    def by_pytorch(source: np.ndarray) -> np.ndarray:
        return today._forward(source[0], None, True)

    def unfolded(source: np.ndarray) -> np.ndarray:
        with mock.patch.object(ResizeConv, "forward", nn.Sequential.forward):
            return by_pytorch(source)

    def as_reference(source: np.ndarray) -> np.ndarray:
        with plain_layers(), torch.no_grad():
            return reference.train()(torch.from_numpy(source)).numpy()

    return {
        "onnx_runtime": lambda source: session.run(None, {"source": source})[0],
        "pytorch": by_pytorch,
        "pytorch_unfolded": unfolded,
        "reference": as_reference,
    }


@contextlib.contextmanager
def plain_layers() -> Iterator[None]:
    """Let the network's layers be PyTorch's own."""
    plain = {FastDownConv: nn.Conv2d, FastUpConv: nn.ConvTranspose2d, ResizeConv: nn.Sequential}
    with contextlib.ExitStack() as stack:
        for ours, theirs in plain.items():
            stack.enter_context(mock.patch.object(ours, "forward", theirs.forward))
        yield


def by_turns(ways: dict[str, Way], network: GeneratorConfig, rounds: int) -> dict[str, list[float]]:
    shape = 1, network.source_channels, network.size, network.size
    source = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(-2, rounds):  # the first two warm up
        for name, way in ways.items():
            start = time.perf_counter()
            way(source)
            if turn >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def summary(seconds: dict[str, list[float]]) -> dict[str, float]:
    found = {
        f"{name}_ms": round(1000 * statistics.median(each), 1) for name, each in seconds.items()
    }
    ours, *others = seconds
    for other in others:
        ratios = (b / a for a, b in zip(seconds[ours], seconds[other]))
        found[f"against_{other}"] = round(statistics.median(ratios), 2)
    return found
