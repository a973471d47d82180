"""Send a run's losses, measures and samples to TensorBoard, trackio or wandb as well."""

from __future__ import annotations

import importlib
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from PIL import Image

from pix2pix.config import TrainConfig
from pix2pix.errors import UserError

PROJECT = "pix2pix-studio"  # that runs are found in
REPORT_ID = "report_id.txt"  # in the run folder: what a run that goes on is known by there
MAX_WAITING = 10_000  # steps that a slow service may be behind; further ones are not sent
LAST_SECONDS = 20.0  # that the end of a run waits for a service
log = logging.getLogger(__name__)
Values = Mapping[str, "float | Image.Image"]
Write = Callable[[int, Values], None]  # takes a step and what was measured then


class ExternalLog:
    """Sends by a thread of its own: a service that is slow or away never holds up training."""

    def __init__(self, kind: str, run: Path, config: TrainConfig, first_step: int = 0) -> None:
        """`kind` is that of ``report_to``. In TensorBoard steps after ``first_step`` replace those
        of a killed process. Raises UserError where its package is not installed."""
        try:
            name = "torch.utils.tensorboard" if kind == "tensorboard" else kind
            package = importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"{kind} is not installed: `pip install {kind}`, or leave report_to empty."
            ) from error
        self.waiting: SimpleQueue[tuple[int, Values] | None] = SimpleQueue()
        if kind == "tensorboard":
            opened = _tensorboard(package, run, first_step)
        else:
            opened = _service(package, run, config, is_private=kind == "trackio")
        self.thread = Thread(target=self._work, args=(kind, opened), name=kind, daemon=True)
        self.thread.start()

    def send(self, step: int, group: str, values: Values) -> None:
        """Send numbers and pictures of a step; returns at once."""
        if self.thread.is_alive() and self.waiting.qsize() < MAX_WAITING:
            self.waiting.put((step, {f"{group}/{name}": value for name, value in values.items()}))

    def close(self) -> None:
        """Send what is left, as long as that takes no more than ``LAST_SECONDS``."""
        self.waiting.put(None)
        self.thread.join(LAST_SECONDS)

    def _work(self, kind: str, opened: Any) -> None:
        try:
            with opened as write:
                for step, values in iter(self.waiting.get, None):
                    write(step, values)
        except Exception as error:  # each service has its own
            log.warning("%s failed, and the run goes on without it: %s", kind, error)


@contextmanager
def _tensorboard(package: Any, run: Path, first_step: int) -> Iterator[Write]:
    writer = package.SummaryWriter(str(run / "tensorboard"), purge_step=first_step + 1)

    def write(step: int, values: Values) -> None:
        for name, value in values.items():
            if isinstance(value, Image.Image):
                colours = np.asarray(value.convert("RGB"))
                writer.add_image(name, colours, step, dataformats="HWC")
            else:
                writer.add_scalar(name, value, step)

    yield write
    writer.close()


@contextmanager
def _service(package: Any, run: Path, config: TrainConfig, is_private: bool) -> Iterator[Write]:
    """Write to trackio or wandb, which have the same interface."""
    known = run / REPORT_ID
    resume = "allow" if known.exists() else "never"
    if resume == "never":
        known.write_text(uuid.uuid4().hex[:12], encoding="ascii")
    of_wandb = {"id": known.read_text("ascii"), "dir": str(run)}
    own = {"private": True} if is_private else of_wandb
    package.init(project=PROJECT, name=run.name, config=asdict(config), resume=resume, **own)

    def write(step: int, values: Values) -> None:
        shown = {
            name: package.Image(value) if isinstance(value, Image.Image) else value
            for name, value in values.items()
        }
        package.log(shown, step=step)

    yield write
    package.finish()
