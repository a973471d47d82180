"""Train from Python: a run in its folder, which the app shows like any other."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from pix2pix.config import TrainConfig
from pix2pix.errors import ShouldStop, UserError
from pix2pix.models.folder import find_model
from pix2pix.nn.device import pick_device
from pix2pix.training import run_control, run_folder
from pix2pix.training.loop import TrainProgress, check_unused, run_config
from pix2pix.training.metrics_log import read_jsonl
from pix2pix.training.resolve_config import resolve_config
from pix2pix.training.run_process import read_run, run_training
from pix2pix.utils.files import write_json
from pix2pix.utils.workspace import model_folders


@dataclass(frozen=True)
class Run:
    """A training in its folder; it stands for the folder wherever a path is wanted."""

    folder: Path

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def model(self) -> Path:
        """The folder of the current generator, for `Translator.from_pretrained`."""
        return self.folder / "model"

    @property
    def status(self) -> run_folder.Status:
        """What the run is doing now, also where another process trains it."""
        return run_folder.read_status(self.folder)

    @property
    def config(self) -> TrainConfig:
        """Every setting of the run; raises UserError where its `config.json` is damaged."""
        return read_run(self.folder)[0]

    def losses(self) -> list[dict[str, float]]:
        """Read the losses of every step: `step`, `epoch`, `d_real`, `d_fake`, `g_l1`, ..."""
        return read_jsonl(self.folder / "metrics.jsonl")

    def validation(self) -> list[dict[str, float]]:
        """Read the measures on validation pairs, oldest first: `step`, `l1`, `perceptual`, ..."""
        return read_jsonl(self.folder / "validation.jsonl")


def train(
    data: str | os.PathLike[str],
    run: str | os.PathLike[str],
    config: TrainConfig | None = None,
    *,
    start_from: str | os.PathLike[str] | None = None,
    resume: bool = False,
    device: str = "auto",
    should_stop: ShouldStop = lambda: False,
    on_progress: Callable[[TrainProgress], None] = lambda progress: None,
) -> Run:
    """Train on the dataset `data` in the folder `run` until done or asked to stop.

    Without a `config` the preset ``recommended`` is used. With `start_from`, the name or folder of
    a model, its weights are fine-tuned, and its network is the run's. With `resume` the run goes on
    from its last saved state with its own settings, where no other `config` is given. Source and
    target are named, and label maps told, by the dataset where the config leaves that open. The
    run waits while another one uses the device. `on_progress` hears every step.

    Returns the run, whose `status.state` is finished, or stopped where `should_stop` said so or the
    app was asked. Raises UserError for data or settings that cannot work, a folder that is in use,
    a loss that is no number and a disk that is full; what was saved before stays whole.
    """
    folder, data = Path(run), Path(data)
    if not resume:
        check_unused(folder)
    if run_folder.read_status(folder).is_active:
        raise UserError(f"{folder.name} is running already: stop it first.")
    place, model = pick_device(device), None
    if resume and config is None:
        config, _, model, _ = read_run(folder)
    else:
        model = find_model(os.fspath(start_from), model_folders()) if start_from else None
        config = config or TrainConfig.from_preset("recommended")
        config = resolve_config(config.preset, _changes(config), data, model)

    def begin() -> tuple[TrainConfig, Path, Path | None, torch.device]:
        begin_run(folder, None if resume else run_config(config, data, model, place))
        return config, data, model, place

    def stop_request() -> str:
        return "stopped" if should_stop() else run_control.requested_stop(folder)

    on_gpu = [place] if place.type == "cuda" else []
    with torch.random.fork_rng(devices=on_gpu):  # the caller's random numbers stay as they are
        sentence = run_training(folder, begin, stop_request, on_progress)
    if sentence:
        raise UserError(sentence)
    return Run(folder)


def begin_run(run: Path, settings: Mapping[str, object] | None) -> None:
    """Write down what a new run will do, before it waits for its turn; one that goes on has its
    settings."""
    (run / "stop").unlink(missing_ok=True)
    run_folder.write_status(run, started=time.time())
    if settings is not None:
        write_json(run / "config.json", settings)


def _changes(config: TrainConfig) -> dict[str, object]:
    """List what differs from the config's own preset, as the settings of a new run are given."""
    base = TrainConfig.from_preset(config.preset)
    values = dataclasses.asdict(config).items()
    return {name: value for name, value in values if value != getattr(base, name)}
