"""The loop around the training step: a run in a folder, which knows no UI."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from pix2pix import runs
from pix2pix.checkpoint import STATE
from pix2pix.config import TrainConfig
from pix2pix.data import PairDataset, batches, steps_per_epoch
from pix2pix.devices import out_of_memory, pick_device
from pix2pix.errors import Stopped, UserError
from pix2pix.files import write_json
from pix2pix.images import set_pillow_limits
from pix2pix.models import load_model
from pix2pix.ranks import Ranks, is_first, is_shared, join
from pix2pix.recording import Recorder, begin_anew, random_state, restore
from pix2pix.trainer import NotANumber, Trainer, keep_memory, learning_rate

STATE_MINUTES = 10.0  # a state is saved at least so often, however slow the steps are
STATUS_SECONDS = 1.0  # between two lines of status


@dataclass(frozen=True)
class Progress:
    """What a watcher is told after each step."""

    step: int
    steps: int
    epoch: int
    per_epoch: int  # steps
    losses: dict[str, float]
    seconds: float  # since this process began the run


def train(
    run: Path,
    data: Path,
    config: TrainConfig,
    *,
    device: torch.device,
    start_from: Path | None = None,
    resume: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Train in the folder ``run`` until done or told to stop; returns its model folder.

    The run folder is described in ``runs``. With ``resume`` it goes on from the saved state, where
    there is one. Under ``torchrun`` every process calls this, and each takes its share of every
    batch. Raises UserError for data or settings that cannot work, a loss that is no number and a
    disk that is full; the last saved state stays whole.
    """
    saved_before = (run / STATE).exists()
    if is_first() and not resume:
        refuse_used(run)
    ranks = join(device)
    dataset = PairDataset(data, "train", config)
    source_channels, target_channels = dataset.channels
    config = dataclasses.replace(
        config, source_channels=source_channels, target_channels=target_channels
    )
    dataset.config = config
    whole = steps_per_epoch(len(dataset), config.batch_size, ranks.world)
    if config.batch_size % ranks.world or not whole:
        raise UserError(
            f"{ranks.world} processes cannot share batches of {config.batch_size} from "
            f"{len(dataset)} pairs evenly: choose a batch_size that is a multiple."
        )
    per_epoch, steps = config.length(whole)
    trainer, begun = Trainer(config, ranks.device, ranks.shared), 0
    if start_from and not saved_before:
        start_with(trainer, start_from)
    torch.manual_seed(config.seed + ranks.rank)  # of the noise: each process has its own
    with saving(run), contextlib.ExitStack() as stack:
        if saved_before:
            begun = restore(run, trainer, ranks)
        step, recorder = begun, None
        if ranks.is_first:
            if not saved_before:
                begin_anew(run)
            write_json(run / "config.json", run_config(config, data, start_from, device))
            recorder = Recorder(run, trainer, dataset, data, per_epoch, begun)
            stack.enter_context(contextlib.closing(recorder))
        lost = recorder is not None and saved_before and not recorder.has_model(step)
        if any(ranks.any(lost)):  # it was killed between a state and its model
            save(recorder, ranks, step, per_epoch)
        started = saved = time.monotonic()
        shares = batches(dataset, config.batch_size, config.seed, step, ranks.rank, ranks.world)
        for _, source, target in shares:
            epoch = step // per_epoch
            late = time.monotonic() - saved > 60 * STATE_MINUTES
            stop, late = ranks.any(step >= steps or should_stop(), late)
            due = step % config.save_every_steps == 0 or ends_epochs(config, step, per_epoch)
            if stop or late or (step > begun and due):
                save(recorder, ranks, step, per_epoch)
                saved = time.monotonic()
            if stop:
                break
            trainer.set_lr(learning_rate(config, step, steps))
            try:
                losses = ranks.mean(trainer.step(source, target))
            except NotANumber as error:
                if recorder:  # for the curves and the health line
                    recorder.row(step + 1, epoch, error.losses)
                raise
            step += 1
            if recorder:
                recorder.losses(step, epoch, losses)
                shown = step % config.sample_every_steps == 0 or step == steps
                if shown or ends_epochs(config, step, per_epoch):
                    recorder.sample(step)
                if step % per_epoch == 0:
                    recorder.epoch_ended(step, epoch)
                seconds = time.monotonic() - started
                on_progress(Progress(step, steps, epoch, per_epoch, losses, seconds))
    return run / "model"


def refuse_used(run: Path) -> None:
    """Raises UserError where the folder holds a run that has saved anything."""
    if (run / STATE).exists() or (run / "model").exists():
        raise UserError(f"{run.name} holds a run already: resume it, or name another folder.")


def ends_epochs(config: TrainConfig, step: int, per_epoch: int) -> bool:
    """Whether so many epochs end with this step that a picture and a model are kept."""
    return bool(config.keep_every_epochs) and step % (per_epoch * config.keep_every_epochs) == 0


def save(recorder: Recorder | None, ranks: Ranks, step: int, per_epoch: int) -> None:
    """All processes tell their random state, and the first one writes: the state before all that
    takes time, then the model with its picture and its figures, at whichever step that is."""
    random = ranks.gather(random_state(ranks.device))
    if recorder:
        recorder.trainer.check_weights()
        recorder.keep_state(step, random)
        if recorder.sampled != step:
            recorder.sample(step)
        recorder.validate(step, max(0, step - 1) // per_epoch)
        recorder.keep_model(step)


def run_config(
    config: TrainConfig, data: Path, start_from: Path | None, device: torch.device
) -> dict[str, Any]:
    """What ``config.json`` of a run holds: enough to start it again."""
    return {
        **dataclasses.asdict(config),
        "data": str(data.resolve()),
        "start_from": str(start_from.resolve()) if start_from else "",
        "device": str(device),
    }


@contextlib.contextmanager
def saving(run: Path) -> Iterator[None]:
    """A disk that is full or may not be written to is said in one sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{run.name} could not be saved: check that the disk has space and that the run's "
            "folder can be written to, then resume; the last saved state is whole."
        ) from error


def start_with(trainer: Trainer, folder: Path) -> None:
    """Begin with a model's weights (fine-tuning); raises UserError where the networks differ."""
    generator, found = load_model(folder)
    wanted = trainer.config.generator_config()
    if found.generator.at_size(wanted.size) != wanted.at_size(wanted.size):
        raise UserError(
            f"'{folder.name}' is another network than this run's: take the run's settings from "
            "the model."
        )
    trainer.generator.load_state_dict(generator.state_dict())


# ----------------------------------------------------------------------- the run's own process


class Reporter:
    """Tells ``status.json`` about the steps, seldom enough to cost nothing."""

    def __init__(self, run: Path) -> None:
        self.run, self.process = run, psutil.Process()
        self.said, self.step = time.monotonic(), 0
        self.pace = 0.0
        self.reached: dict[str, int] = {}

    def __call__(self, progress: Progress) -> None:
        names = "step", "steps", "epoch", "per_epoch"
        self.reached = {name: getattr(progress, name) for name in names}
        now = time.monotonic()
        if now - self.said < STATUS_SECONDS and progress.step != progress.steps:
            return
        if self.step:
            pace = (now - self.said) / (progress.step - self.step)
            self.pace = 0.8 * self.pace + 0.2 * pace if self.pace else pace
        self.said, self.step = now, progress.step
        runs.write_status(
            self.run, state="running", seconds_per_step=self.pace,
            memory_mib=self.memory() // 2**20, updated=time.time(), sentence="", **self.reached,
        )  # fmt: skip

    def memory(self) -> int:
        """Bytes that the run takes: the GPU's where it trains on one."""
        if torch.cuda.is_initialized():
            return torch.cuda.max_memory_reserved()
        return self.process.memory_info().rss


def conduct(
    run: Path,
    settings: Callable[[], tuple[TrainConfig, Path, Path | None, torch.device]],
    asked: Callable[[], str],
    watch: Callable[[Progress], None] = lambda progress: None,
) -> str:
    """Be a run's process: wait for its turn, train, and write down how it ends.

    ``settings`` are (config, data, model to begin with, device), and ``asked`` is the word of who
    asks it to stop, empty while nobody does. Returns the sentence of a failure, empty if there was
    none.
    """
    word = ""

    def should_stop() -> bool:
        nonlocal word
        word = word or asked()
        return bool(word)

    def work(reporter: Reporter) -> str:
        def on_progress(progress: Progress) -> None:
            reporter(progress)
            watch(progress)

        config, data, start_from, device = settings()
        with contextlib.nullcontext() if is_shared() else runs.turn(run, str(device), should_stop):
            runs.write_status(run, state="starting", updated=time.time())
            train(
                run, data, config, device=device, start_from=start_from, resume=True,
                should_stop=should_stop, on_progress=on_progress,
            )  # fmt: skip
        return word or "finished"

    return reported(run, work)


def reported(run: Path, work: Callable[[Reporter], str]) -> str:
    """Do a run's ``work`` as its process and write down how it ends: `work` returns the state.

    Returns the sentence of a failure, empty if there was none.
    """
    reporter, end, sentence = Reporter(run), "interrupted", ""
    try:
        with saving(run):
            runs.claim(run)
    except UserError as error:  # nothing can be written down, or another process writes it
        return str(error)
    try:
        with saving(run):
            runs.write_status(run, state="queued", updated=time.time(), sentence="")
            end = work(reporter)
    except Stopped:
        end = runs.stop_word(run) or "stopped"
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
            runs.write_status(
                run, state=end, sentence=sentence, updated=time.time(), **reporter.reached
            )
    return sentence


def read_run(run: Path, device: str = "") -> tuple[TrainConfig, Path, Path | None, torch.device]:
    """(config, data, model to begin with, device, unless told) of ``config.json``; UserError where
    it is damaged or the device is absent."""
    try:
        said = json.loads((run / "config.json").read_text(encoding="utf-8"))
        data, start_from, own = (said.pop(key) for key in ("data", "start_from", "device"))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{run.name}/config.json is not that of a run: start it anew.") from error
    start_from = Path(start_from) if start_from else None
    return TrainConfig.from_json(said), Path(data), start_from, pick_device(device or own)


def main(run: Path) -> int:
    """``python -m pix2pix.training RUN``: train what ``RUN/config.json`` says, or go on with it."""
    signal.signal(signal.SIGTERM, lambda *_: runs.ask_to_stop(run))  # shutdown, `kill`
    set_process_up()
    sentence = conduct(run, lambda: read_run(run), lambda: runs.stop_word(run))
    if sentence:
        print(sentence, file=sys.stderr)  # into its log: a full disk takes no status
    return 1 if sentence else 0


def set_process_up() -> None:
    """Set what holds for a whole process that trains and does nothing else."""
    set_pillow_limits()
    keep_memory()


def give_way() -> None:
    """Let the app go first where it wants a core: a page that hangs helps no training."""
    with contextlib.suppress(psutil.Error):
        psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if os.name == "nt" else 5)


if __name__ == "__main__":
    give_way()
    sys.exit(main(Path(sys.argv[1])))
