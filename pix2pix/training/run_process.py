"""Train as the process of a run: wait for the device, train, write down how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from pix2pix.config import TrainConfig
from pix2pix.data.dataset import locate_dataset
from pix2pix.errors import Cancelled, UserError
from pix2pix.nn.device import out_of_memory, pick_device
from pix2pix.training import run_control, run_folder
from pix2pix.training.distributed import is_shared
from pix2pix.training.loop import TrainProgress, run_loop, save_errors, set_process_up

STATUS_SECONDS = 1.0  # between two lines of status


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


def run_training(
    run: Path,
    settings: Callable[[], tuple[TrainConfig, Path, Path | None, torch.device]],
    stop_request: Callable[[], str],
    watch: Callable[[TrainProgress], None] = lambda progress: None,
) -> str:
    """Run one training as its process: wait for the device, train, and write down how it ends.

    ``settings`` are (config, data, model to begin with, device), and ``stop_request`` is the word
    of who asks it to stop, empty while nobody does. Returns the sentence of a failure, empty if
    there was none.
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

        config, data, start_from, device = settings()
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


def read_run(run: Path, device: str = "") -> tuple[TrainConfig, Path, Path | None, torch.device]:
    """Read (config, data, model to begin with, device) of ``config.json``, or with the given
    `device`. Raises UserError where it is damaged or the device is absent."""
    try:
        values = json.loads((run / "config.json").read_text(encoding="utf-8"))
        data, start_from, recorded_device = (
            values.pop(key) for key in ("data", "start_from", "device")
        )
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{run.name}/config.json is not that of a run: start it anew.") from error
    start_from = Path(start_from) if start_from else None
    return (
        TrainConfig.from_json(values),
        Path(data),
        start_from,
        pick_device(device or recorded_device),
    )


def resume_run(
    run: Path, device: str = "", data: Path | None = None
) -> tuple[TrainConfig, Path, Path | None, torch.device]:
    """Read what a run goes on with, as `read_run` does; its dataset is found again where the
    workspace was moved, unless `data` names it. Raises UserError where it is gone."""
    config, stored, start_from, place = read_run(run, device)
    return config, data or locate_dataset(stored), start_from, place


def main(run: Path) -> int:
    """Train what ``RUN/config.json`` says, or go on with it.

    ``python -m pix2pix.training.run_process RUN`` calls this.
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
