"""Time the training step, and one picture through the generator, on the CPU.

The step is timed against plain PyTorch and against the recipe without its additions; the picture by
ONNX Runtime, by PyTorch with and without folded resize convolutions, and as the PyTorch pix2pix
reference runs it. All by turns.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import nn

from pix2pix.config import TrainConfig, train_config
from pix2pix.model_config import GeneratorConfig, ModelConfig
from pix2pix.models.folder import find_model, load_model, read_config
from pix2pix.models.onnx_runtime import OnnxEngine, graph_bytes
from pix2pix.models.saving import save_model
from pix2pix.models.translator import Translator
from pix2pix.nn.discriminators import build_discriminator
from pix2pix.nn.generators import build_generator
from pix2pix.nn.layers import FastDownConv, FastUpConv, ResizeConv, WinogradConv
from pix2pix.training.loop import reuse_freed_memory
from pix2pix.training.trainer import Trainer

Step = Callable[[torch.Tensor, torch.Tensor], object]  # of source and target


def _config(preset: str, **values: str) -> TrainConfig:
    return train_config(preset, {"precision": "float32", **values})


def our_step() -> Step:
    """Make the training step of `maps`."""
    reuse_freed_memory()
    return Trainer(_config("maps"), torch.device("cpu")).step


def plain_step() -> Step:
    """Make the same in plain PyTorch."""
    FastDownConv.forward = WinogradConv.forward = nn.Conv2d.forward
    FastUpConv.forward = nn.ConvTranspose2d.forward
    config = _config("maps")
    G = build_generator(config.generator_config())
    D = build_discriminator(config.discriminator_config())
    g_adam = torch.optim.Adam(G.parameters(), lr=2e-4, betas=(0.5, 0.999))
    d_adam = torch.optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
    bce, l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()

    def step(source: torch.Tensor, target: torch.Tensor) -> tuple[float, float]:
        fake = G(source)
        on_real, on_fake = D(source, target), D(source, fake.detach())
        d_loss = bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
        d_loss = 0.5 * d_loss
        d_adam.zero_grad()
        d_loss.backward()
        d_adam.step()
        on_fake = D(source, fake)
        g_loss = bce(on_fake, torch.ones_like(on_fake)) + 100 * l1(fake, target)
        g_adam.zero_grad()
        g_loss.backward()
        g_adam.step()
        return d_loss.item(), g_loss.item()

    return step


def recipe_step() -> Step:
    """Make the step of `recommended`."""
    return Trainer(_config("recommended"), torch.device("cpu")).step


def patchgan_step() -> Step:
    """Make the step of what `recommended` grew out of: half the paper's widths, resize convolutions
    as they are written, the PatchGAN and no feature loss."""
    ResizeConv.forward = nn.Sequential.forward
    config = _config("maps", ngf="32", ndf="32", upsample="resize")
    return Trainer(config, torch.device("cpu")).step


def step_against_plain(steps: int) -> dict[str, object]:
    """Time the training step of `maps` in float32 on the CPU: ours and plain PyTorch, by turns."""
    (ours, plain), threads = timed_steps((our_step, plain_step), steps)
    ratio = statistics.median(b / a for a, b in zip(ours, plain))
    ours, plain = statistics.median(ours), statistics.median(plain)
    return {
        "step_threads": threads,
        "step_seconds": round(ours, 3),
        "plain_step_seconds": round(plain, 3),
        "step_against_plain": round(plain / ours, 2),
        "step_against_plain_by_turn": round(ratio, 2),
    }


def recipe_against_patchgan(steps: int) -> dict[str, object]:
    """Time the training step of `recommended` against the same without what it adds."""
    seconds, _ = timed_steps((recipe_step, patchgan_step), steps)
    recipe, patchgan = map(statistics.median, seconds)
    return {
        "recipe_step_seconds": round(recipe, 3),
        "patchgan_step_seconds": round(patchgan, 3),
        "recipe_step_against_patchgan": round(recipe / patchgan, 2),
    }


def timed_steps(
    makers: tuple[Callable[[], Step], ...], steps: int
) -> tuple[list[list[float]], int]:
    """Return the seconds of the steps of each, by turns, and the threads that they used. Each has a
    process of its own, because ours changes how its process keeps memory."""
    context = multiprocessing.get_context("spawn")
    pipes = []
    for make in makers:
        pipe, its_end = context.Pipe()
        context.Process(target=_answer_steps, args=(its_end, make), daemon=True).start()
        pipes.append(pipe)
    seconds, threads = [[] for _ in pipes], set()
    for turn in range(-2, steps):  # the first two warm up
        for pipe, found in zip(pipes, seconds):
            pipe.send(True)
            taken, used = pipe.recv()
            threads.add(used)
            if turn >= 0:
                found.append(taken)
    for pipe in pipes:
        pipe.send(False)
    return seconds, max(threads)


def _answer_steps(pipe: Connection, make: Callable[[], Step]) -> None:
    """Answer each True with the seconds of one step, and the threads it may use."""
    torch.manual_seed(0)
    source, target = torch.rand(2, 1, 3, 256, 256) * 2 - 1
    step = make()
    while pipe.recv():
        start = time.perf_counter()
        step(source, target)
        pipe.send((time.perf_counter() - start, torch.get_num_threads()))


# ------------------------------------------------------------------------------- one picture

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
                seconds = by_turns(ways(folder), read_config(folder).generator, rounds)
                result[f"{folder.name}, {threads} threads"] = summary(seconds)
    torch.set_num_threads(usual)
    return result


def ways(folder: Path) -> dict[str, Way]:
    """Return functions from 1 x C x H x W to C' x H x W that do the same, but for the last, which
    takes dropout, noise and the norm as in training. A tint is none."""
    engine = OnnxEngine(graph_bytes(folder, read_config(folder)), folder)
    today = Translator(*load_model(folder), "cpu")  # from no folder: PyTorch
    reference, _ = load_model(folder)

    def by_pytorch(source: np.ndarray) -> np.ndarray:
        return today._forward(source[0], None, True)

    def unfolded(source: np.ndarray) -> np.ndarray:
        with mock.patch.object(ResizeConv, "forward", nn.Sequential.forward):
            return by_pytorch(source)

    def as_reference(source: np.ndarray) -> np.ndarray:
        with plain_layers(), torch.no_grad():
            return reference.train()(torch.from_numpy(source))[0].numpy()

    return {
        "onnx_runtime": lambda source: engine.run(source)[0],
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
