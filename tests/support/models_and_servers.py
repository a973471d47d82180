"""What several tests need: small models with random weights, and pictures to feed them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pix2pix.model_config import GeneratorConfig, ModelConfig
from pix2pix.models.saving import save_model
from pix2pix.models.translator import Translator
from pix2pix.nn.generators import construct_generator

TINY = {"size": 64, "ngf": 4}

# Below the ports that systems give out by themselves, and others for each worker and each run of
# the tests: one that is free stays free until the server that is told of it has started.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = itertools.count(11_000 + 2_000 * (WORKER % 10) + 100 * (os.getpid() % 20))


def tiny_config(generator: dict | None = None, **model: object) -> ModelConfig:
    """A model's config around a network of 64 pixels and 4 filters, with what is named changed."""
    return ModelConfig(GeneratorConfig(**{**TINY, **(generator or {})}), **model)


def tiny_generator(config: ModelConfig, seed: int = 0) -> nn.Module:
    """Random weights and random running statistics, strong enough to paint a picture."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = construct_generator(config.generator)
        for layer in generator.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0.0, 0.1)
                layer.running_var.uniform_(0.1, 0.3)
    return generator.eval()


def save_tiny_model(folder: Path, config: ModelConfig | None = None, seed: int = 0) -> Path:
    """A model folder; `config` is that of `tiny_config` unless told."""
    config = config or tiny_config()
    save_model(folder, tiny_generator(config, seed), config, "# A model for tests\n", half=False)
    return folder


def noise(width: int, height: int, channels: int = 3, seed: int = 0) -> Image.Image:
    """An image in which no two places look alike: L, RGB or RGBA."""
    shape = (height, width) if channels == 1 else (height, width, channels)
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(values)


def translator(
    generator: nn.Module | None = None, network: dict | None = None, **model: object
) -> Translator:
    """On the CPU, of `tiny_config(network, **model)`; its own generator or a fake."""
    config = tiny_config(network, **model)
    return Translator(generator or tiny_generator(config), config, "cpu")


class Recorder(nn.Module):
    """Returns its source and keeps what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, source: Tensor) -> Tensor:
        self.seen.append(source.clone())
        return source


class Constants(nn.Module):
    """One value for each tile, in the order in which tiles come."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.values = iter(values)

    def forward(self, source: Tensor) -> Tensor:
        return torch.full_like(source, next(self.values))


def load_script(name: str) -> ModuleType:
    """`scripts/NAME.py` as a module, in this process."""
    file = Path(__file__).resolve().parents[2] / "scripts" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"script_{Path(name).name}", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    """A port of this machine that nobody uses, and another each time."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port := next(PORTS)))
            return port


def connected(url: str) -> Any:
    """A program that uses the API, and waits for a server on a busy machine."""
    from gradio_client import Client

    return Client(url, verbose=False, httpx_kwargs={"timeout": 120})


def awaited(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What it gives; in a thread of its own, since Playwright keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


def until(found: Callable[[], Any], seconds: float = 180) -> Any:
    """The first answer that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.05)  # the next look at the condition
    pytest.fail(f"not in {seconds} s")


LOST_STREAM = re.compile(
    r"ERROR: +Exception in ASGI application\n(?:(?!ERROR:).*\n)*?"
    r"RuntimeError: Caught handled exception, but response already started\.\n"
)


def traces(log: str) -> str:
    """The log of a server if there is a trace in it, else nothing. One is Gradio's way: it answers
    a page that asks for the events of a session from before a restart with 404, too late."""
    rest = LOST_STREAM.sub(lambda found: "" if "sse_stream" in found[0] else found[0], log)
    return rest if "Traceback" in rest else ""


def unpack_weights(packed: bytes) -> bytes:
    """The safetensors file of packed weights, as `conversions.js` unpacks it."""
    length = int.from_bytes(packed[4:8], "little")
    place, made = 8 + length, []
    for part in json.loads(packed[8:place])["parts"]:
        rows, count = part["rows"], part["count"]
        scales = np.frombuffer(packed, "<f4", rows, place)
        place += 4 * rows
        numbers = np.frombuffer(packed, np.int8, count, place)
        place += count
        if rows:
            made.append((numbers.reshape(rows, -1) * scales[:, None]).astype("<f2").tobytes())
        else:
            made.append(numbers.tobytes())
    return b"".join(made)
