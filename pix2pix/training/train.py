"""Train a run in its folder: from Python, or as the process that the app starts for it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from pix2pix.config import TrainConfig
from pix2pix.errors import Cancelled, UserError
from pix2pix.nn.device import out_of_memory
from pix2pix.presets import FIRST_PRESET
from pix2pix.training import run_control, run_folder
from pix2pix.training.distributed import is_first, is_shared
from pix2pix.training.loop import TrainProgress, check_unused, run_loop, set_process_up
from pix2pix.training.metrics_log import read_jsonl
from pix2pix.training.resolve_config import (
    RunSettings,
    new_run,
    read_run,
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
    device: str = "",
    should_stop: ShouldStop = lambda: False,
    on_progress: Callable[[TrainProgress], None] = lambda progress: None,
) -> Run:
    """Train on the dataset `data` in the folder `run` until done or asked to stop.

    Without a `config` the preset ``recommended`` is used. With `start_from`, the name or folder of
    a model, its weights are fine-tuned, and its network is the run's. With `resume` the run goes on
    from its last saved state with its own settings, where no other `config` is given. Source and
    target are named, and label maps told, by the dataset where the config leaves that open. The
    `device` is auto, cpu, cuda or mps; unless told, a run that goes on has its own, and a new one
    the fastest there is. It waits while another one uses that. `on_progress` hears every step.

    Returns the run, whose `status.state` is finished, or stopped where `should_stop` said so or the
    app was asked. Raises UserError for data or settings that cannot work, a folder that is in use,
    a loss that is no number and a disk that is full; what was saved before stays whole.
    """
    run, data = Path(run), Path(data)
    if resume and config is None:
        settings = resume_run(run, device, data)
    else:
        config = config or TrainConfig.from_preset(FIRST_PRESET)
        of_data = ("ranges", "numbers")  # which the dataset says
        given = {name: value for name, value in config.given().items() if name not in of_data}
        settings = new_run(config.preset, given, data, start_from, device or "auto")
    on_gpu = [settings.device] if settings.device.type == "cuda" else []
    with torch.random.fork_rng(devices=on_gpu):  # the caller's random numbers stay as they are
        begin_run(run, settings, resume)
        train_run(run, settings, should_stop, on_progress)
    return Run(run)


# -------------------------------------------------------------------------- as the process of a run


def begin_run(run: Path, settings: RunSettings, resume: bool) -> None:
    """Make this process that of a run, which the app can watch from now on; a new one's settings
    are written down. Raises UserError for a folder that is in use, and for one that holds a run
    unless that is to `resume`."""
    if not is_first():  # of several processes, only the first one writes
        return
    if not resume:
        check_unused(run)
    if run_folder.read_status(run).is_active:
        raise UserError(f"{run.name} is running already: stop it first.")
    with save_errors(run):
        run_control.claim_run(run)
        (run / "stop").unlink(missing_ok=True)
        run_folder.write_status(run, started=time.time())
        if not resume:
            write_json(run / "config.json", run_config(*settings))


def train_run(
    run: Path,
    settings: RunSettings | None = None,
    should_stop: ShouldStop = lambda: False,
    on_progress: Callable[[TrainProgress], None] = lambda progress: None,
) -> None:
    """Train a run in this process: wait for the device, train, and write down how it ends.

    Without `settings` they are those of its ``config.json``. It stops where `should_stop` says so
    or the app asks. Raises UserError for all that makes it fail.
    """
    if not is_first():
        train_in_turn(run, settings, should_stop, lambda progress: None)
        return
    with save_errors(run):
        run_control.claim_run(run)
    reporter = StatusReporter(run, on_progress)
    asked, end, sentence = "", "interrupted", ""

    def stop() -> bool:
        nonlocal asked
        asked = asked or ("stopped" if should_stop() else run_control.requested_stop(run))
        return bool(asked)

    try:
        with errors_of_training(), save_errors(run):
            train_in_turn(run, settings, stop, reporter)
        end = asked or "finished"
    except Cancelled:
        end = asked or "stopped"
    except UserError as error:
        end, sentence = "failed", str(error)
        raise
    except KeyboardInterrupt:  # a notebook's stop button: the process lives on, the run does not
        end = "stopped"
        raise
    finally:
        with contextlib.suppress(OSError):
            (run / "stop").unlink(missing_ok=True)  # first: who sees the end may start it again
            run_folder.write_status(
                run, state=end, sentence=sentence, updated=time.time(), **reporter.progress
            )


def train_in_turn(
    run: Path,
    settings: RunSettings | None,
    should_stop: ShouldStop,
    on_progress: Callable[[TrainProgress], None],
) -> None:
    """Train when the device is free; several processes of ``torchrun`` do not wait. Raises
    Cancelled where that is to stop before."""
    config, data, start_from, device = settings or resume_run(run)
    turn = run_control.wait_for_device(run, str(device), should_stop)
    with contextlib.nullcontext() if is_shared() else turn:
        if is_first():
            run_folder.write_status(run, state="starting", updated=time.time())
        run_loop(
            run, data, config, device=device, start_from=start_from, resume=True,
            should_stop=should_stop, on_progress=on_progress,
        )  # fmt: skip


@contextlib.contextmanager
def errors_of_training() -> Iterator[None]:
    """Turn what breaks a training into a UserError; the trace of what should not be goes to its
    log."""
    try:
        yield
    except (UserError, Cancelled):
        raise
    except Exception as error:
        sentence = "There was not enough memory: lower size, ngf or batch_size."
        if not out_of_memory(error):
            sentence = "Something broke that should not: its log has the details."
            traceback.print_exc()
        raise UserError(sentence) from error


class StatusReporter:
    """Tells ``status.json`` about the steps, seldom enough to cost nothing, and `then` of each."""

    def __init__(self, run: Path, then: Callable[[TrainProgress], None]) -> None:
        self.run, self.then, self.process = run, then, psutil.Process()
        self.reported_at, self.step = time.monotonic(), 0
        self.pace = 0.0
        self.progress: dict[str, int] = {}

    def __call__(self, progress: TrainProgress) -> None:
        """Hear of a step, and write it down at most once in STATUS_SECONDS."""
        names = "step", "steps", "epoch", "per_epoch"
        self.progress = {name: getattr(progress, name) for name in names}
        late = time.monotonic() - self.reported_at >= STATUS_SECONDS
        if late or progress.step == progress.steps:
            self.write(progress.step)
        self.then(progress)

    def write(self, step: int) -> None:
        """Write down how far the run is, and at which pace."""
        now = time.monotonic()
        if self.step:
            pace = (now - self.reported_at) / (step - self.step)
            self.pace = 0.8 * self.pace + 0.2 * pace if self.pace else pace
        self.reported_at, self.step = now, step
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
    try:
        train_run(run)
    except UserError as error:
        print(error, file=sys.stderr)  # into its log: a full disk takes no status
        return 1
    return 0


def lower_priority() -> None:
    """Let the app go first where it wants a core: a page that hangs helps no training."""
    with contextlib.suppress(psutil.Error):
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if os.name == "nt" else 5)


if __name__ == "__main__":
    lower_priority()
    sys.exit(main(Path(sys.argv[1])))
