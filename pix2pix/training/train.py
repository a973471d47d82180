"""Train a run in its folder: from Python, or as the process that the app starts for it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from pix2pix.config import TrainConfig
from pix2pix.errors import Cancelled, UserError
from pix2pix.models.folder import find_model
from pix2pix.nn.device import is_shared, out_of_memory, pick_device
from pix2pix.training import run_control, run_folder
from pix2pix.training.loop import TrainProgress, check_unused, run_loop, set_process_up
from pix2pix.training.metrics_log import read_jsonl
from pix2pix.training.resolve_config import (
    RunSettings,
    read_run,
    resolve_config,
    resume_run,
    run_config,
)
from pix2pix.utils.files import save_errors, write_json
from pix2pix.utils.progress import ShouldStop

STATUS_SECONDS = 1.0  # between two lines of status


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
        return read_run(self.folder, "cpu").config  # the device that it names may not be here

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
    if resume and config is None:
        settings = read_run(folder, device)._replace(data=data)
    else:
        settings = _settings(config, data, start_from, device)

    on_gpu = [settings.device] if settings.device.type == "cuda" else []
    with torch.random.fork_rng(devices=on_gpu):  # the caller's random numbers stay as they are
        sentence = run_training(
            folder,
            lambda: begin_run(folder, settings, resume),
            lambda: "stopped" if should_stop() else run_control.requested_stop(folder),
            on_progress,
        )
    if sentence:
        raise UserError(sentence)
    return Run(folder)


def begin_run(run: Path, settings: RunSettings, resume: bool) -> RunSettings:
    """Write down what a new run will do, before it waits for its turn; one to `resume` has its
    settings. Returns them."""
    (run / "stop").unlink(missing_ok=True)
    run_folder.write_status(run, started=time.time())
    if not resume:
        write_json(run / "config.json", run_config(*settings))
    return settings


def _settings(
    config: TrainConfig | None, data: Path, start_from: str | os.PathLike[str] | None, device: str
) -> RunSettings:
    """Resolve the settings of a new run: what differs from the config's own preset was given."""
    config = config or TrainConfig.from_preset("recommended")
    model = find_model(start_from) if start_from else None
    of_data = ("ranges", "numbers")  # which the dataset says
    given = {name: value for name, value in config.changes().items() if name not in of_data}
    config = resolve_config(config.preset, given, data, model)
    return RunSettings(config, data, model, pick_device(device))


# -------------------------------------------------------------------------- as the process of a run


def run_training(
    run: Path,
    begin: Callable[[], RunSettings],
    stop_request: Callable[[], str],
    watch: Callable[[TrainProgress], None] = lambda progress: None,
) -> str:
    """Run one training as its process: wait for the device, train, and write down how it ends.

    ``begin`` gives its settings; what it raises is a failure of the run. ``stop_request`` is the
    word of who asks it to stop, empty while nobody does. Returns the sentence of a failure, empty
    if there was none.
    """
    word = ""

    def should_stop() -> bool:
        nonlocal word
        word = word or stop_request()
        return bool(word)

    def work(reporter: StatusReporter) -> str:
        def on_progress(progress: TrainProgress) -> None:
            reporter(progress)
            watch(progress)

        config, data, start_from, device = begin()
        with (
            contextlib.nullcontext()
            if is_shared()
            else run_control.wait_for_device(run, str(device), should_stop)
        ):
            run_folder.write_status(run, state="starting", updated=time.time())
            run_loop(
                run, data, config, device=device, start_from=start_from, resume=True,
                should_stop=should_stop, on_progress=on_progress,
            )  # fmt: skip
        return word or "finished"

    return report_outcome(run, work)


def report_outcome(run: Path, work: Callable[[StatusReporter], str]) -> str:
    """Do a run's ``work`` as its process and write down how it ends: `work` returns the state.

    Returns the sentence of a failure, empty if there was none.
    """
    reporter, end, sentence = StatusReporter(run), "interrupted", ""
    try:
        with save_errors(run):
            run_control.claim_run(run)
    except UserError as error:  # nothing can be written down, or another process writes it
        return str(error)
    try:
        with save_errors(run):
            run_folder.write_status(run, state="queued", updated=time.time(), sentence="")
            end = work(reporter)
    except Cancelled:
        end = run_control.requested_stop(run) or "stopped"
    except UserError as error:
        end, sentence = "failed", str(error)
    except Exception as error:
        if out_of_memory(error):
            end, sentence = "failed", "There was not enough memory: lower size, ngf or batch_size."
        else:
            end, sentence = "failed", "Something broke that should not: its log has the details."
            traceback.print_exc()
    except KeyboardInterrupt:  # a notebook's stop button: the process lives on, the run does not
        end = "stopped"
        raise
    finally:
        with contextlib.suppress(OSError):
            (run / "stop").unlink(missing_ok=True)  # first: who sees the end may start it again
            run_folder.write_status(
                run, state=end, sentence=sentence, updated=time.time(), **reporter.progress
            )
    return sentence


class StatusReporter:
    """Tells ``status.json`` about the steps, seldom enough to cost nothing."""

    def __init__(self, run: Path) -> None:
        self.run, self.process = run, psutil.Process()
        self.reported_at, self.step = time.monotonic(), 0
        self.pace = 0.0
        self.progress: dict[str, int] = {}

    def __call__(self, progress: TrainProgress) -> None:
        """Hear of a step, and write it down at most once in STATUS_SECONDS."""
        names = "step", "steps", "epoch", "per_epoch"
        self.progress = {name: getattr(progress, name) for name in names}
        now = time.monotonic()
        if now - self.reported_at < STATUS_SECONDS and progress.step != progress.steps:
            return
        if self.step:
            pace = (now - self.reported_at) / (progress.step - self.step)
            self.pace = 0.8 * self.pace + 0.2 * pace if self.pace else pace
        self.reported_at, self.step = now, progress.step
        run_folder.write_status(
            self.run, state="running", seconds_per_step=self.pace,
            memory_mib=self.memory() // 2**20, updated=time.time(), sentence="", **self.progress,
        )  # fmt: skip

    def memory(self) -> int:
        """Return the bytes that the run takes: the GPU's where it trains on one."""
        if torch.cuda.is_initialized():
            return torch.cuda.max_memory_reserved()
        return self.process.memory_info().rss


def main(run: Path) -> int:
    """Train what ``RUN/config.json`` says, or go on with it.

    ``python -m pix2pix.training.train RUN`` calls this.
    """
    signal.signal(signal.SIGTERM, lambda *_: run_control.request_stop(run))  # shutdown, `kill`
    set_process_up()
    sentence = run_training(run, lambda: resume_run(run), lambda: run_control.requested_stop(run))
    if sentence:
        print(sentence, file=sys.stderr)  # into its log: a full disk takes no status
    return 1 if sentence else 0


def lower_priority() -> None:
    """Let the app go first where it wants a core: a page that hangs helps no training."""
    with contextlib.suppress(psutil.Error):
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if os.name == "nt" else 5)


if __name__ == "__main__":
    lower_priority()
    sys.exit(main(Path(sys.argv[1])))
