"""Train in a run folder: the loop around the training step. It knows no UI."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from pix2pix.config import TrainConfig
from pix2pix.data.loader import PairDataset, batches, steps_per_epoch
from pix2pix.errors import UserError
from pix2pix.imaging.picture import set_pillow_limits
from pix2pix.models.folder import load_model
from pix2pix.nn.device import keep_to_usable_cores
from pix2pix.nn.generators import add_hints, add_input
from pix2pix.training.checkpoints import checkpoint_folder
from pix2pix.training.distributed import ProcessGroup, is_first, join_group
from pix2pix.training.recorder import Recorder
from pix2pix.training.resolve_config import run_config
from pix2pix.training.saved_state import STATE_FILE, clear_leftovers, random_state, restore_state
from pix2pix.training.trainer import NonFiniteLoss, Trainer, learning_rate
from pix2pix.utils.files import save_errors, write_json
from pix2pix.utils.progress import ShouldStop

STATE_MINUTES = 10.0  # a state is saved at least so often, however slow the steps are


@dataclass(frozen=True)
class TrainProgress:
    """What a watcher is told after each step."""

    step: int
    steps: int
    epoch: int
    per_epoch: int  # steps
    losses: dict[str, float]
    seconds: float  # since this process began the run


@dataclass
class Training:
    """What one process of a run trains with; the first one's `recorder` writes."""

    config: TrainConfig
    dataset: PairDataset
    ranks: ProcessGroup
    trainer: Trainer
    per_epoch: int  # steps
    steps: int
    recorder: Recorder | None = None


def run_loop(
    run: Path,
    data: Path,
    config: TrainConfig,
    *,
    device: torch.device,
    start_from: Path | None = None,
    resume: bool = False,
    should_stop: ShouldStop = lambda: False,
    on_progress: Callable[[TrainProgress], None] = lambda progress: None,
) -> Path:
    """Train in the folder ``run`` until done or asked to stop; returns its model folder.

    The run folder is described in ``run_folder``. With ``resume`` it goes on from the saved state,
    where there is one. Under ``torchrun`` every process calls this, and each takes its share of
    every batch. Raises UserError for data or settings that cannot work, a loss that is no number
    and a disk that is full; the last saved state stays whole.
    """
    saved_before = (run / STATE_FILE).exists()
    if is_first() and not (resume and saved_before):
        check_unused(run)
    work = set_up(data, config, join_group(device))
    if start_from and not saved_before:
        load_initial_weights(work.trainer, start_from)
    torch.manual_seed(config.seed + work.ranks.rank)  # of the noise: each process has its own
    with save_errors(run), contextlib.ExitStack() as stack:
        step = restore_state(run, work.trainer, work.ranks) if saved_before else 0
        is_model_missing = False
        if work.ranks.is_first:
            if not saved_before:
                clear_leftovers(run)
            write_json(run / "config.json", run_config(work.config, data, start_from, device))
            recorder = Recorder(run, work.trainer, work.dataset, data, work.per_epoch, step)
            work.recorder = stack.enter_context(contextlib.closing(recorder))
            is_model_missing = saved_before and not checkpoint_folder(run, step).exists()
        if any(work.ranks.any(is_model_missing)):  # it was killed between a state and its model
            save(work, step)
        train_from(work, step, should_stop, on_progress)
    return run / "model"


def set_up(data: Path, config: TrainConfig, ranks: ProcessGroup) -> Training:
    """Open the dataset and make the networks. Raises UserError where batches cannot be shared."""
    dataset = PairDataset(data, "train", config)
    source, target = dataset.channels
    config = dataclasses.replace(
        config, source_channels=source, target_channels=target, **dataset.number_facts()
    )
    dataset.config = config
    pass_steps = steps_per_epoch(len(dataset), config.effective_batch_size, ranks.world)
    if config.effective_batch_size % ranks.world or not pass_steps:
        raise UserError(
            f"{ranks.world} processes cannot share batches of {config.effective_batch_size} from "
            f"{len(dataset)} pairs evenly: choose a batch_size that is a multiple."
        )
    trainer = Trainer(config, ranks.device, ranks)
    return Training(config, dataset, ranks, trainer, *config.length(pass_steps))


def train_from(
    work: Training,
    first_step: int,
    should_stop: ShouldStop,
    on_progress: Callable[[TrainProgress], None],
) -> None:
    """Train from a step on, and save what is due, until done or asked to stop."""
    config, ranks, per_epoch, step = work.config, work.ranks, work.per_epoch, first_step
    started = saved = time.monotonic()
    shares = batches(
        work.dataset, config.effective_batch_size, config.seed, step, ranks.rank, ranks.world
    )
    for source, target in shares:
        epoch = step // per_epoch
        late = time.monotonic() - saved > 60 * STATE_MINUTES
        stop, late = ranks.any(step >= work.steps or should_stop(), late)
        due = step % config.save_every_steps == 0 or is_checkpoint_epoch(config, step, per_epoch)
        if stop or late or (step > first_step and due):
            save(work, step)
            saved = time.monotonic()
        if stop:
            break
        work.trainer.set_lr(learning_rate(config, step, work.steps))
        try:
            losses = ranks.mean(work.trainer.step(source, target))
        except NonFiniteLoss as error:
            if work.recorder:  # for the curves and the health line
                work.recorder.row(step + 1, error.losses)
            raise
        step += 1
        if work.recorder:
            record_step(work, work.recorder, step, losses)
            seconds = time.monotonic() - started
            on_progress(TrainProgress(step, work.steps, epoch, per_epoch, losses, seconds))


def record_step(work: Training, recorder: Recorder, step: int, losses: dict[str, float]) -> None:
    """Write down a step's losses, and the picture and the validation that are due after it."""
    recorder.losses(step, losses)
    is_sampled = step % work.config.sample_every_steps == 0 or step == work.steps
    if is_sampled or is_checkpoint_epoch(work.config, step, work.per_epoch):
        recorder.sample(step)
    if step % work.per_epoch == 0:
        recorder.epoch_ended(step)


def check_unused(run: Path) -> None:
    """Raise UserError where the folder holds a run that has saved anything: a state comes first,
    and what a run made outlives it."""
    if (run / STATE_FILE).exists():
        raise UserError(f"{run.name} holds a run already: resume it, or name another folder.")
    if (run / "model").exists() or any((run / "checkpoints").glob("step-*")):
        raise UserError(
            f"{run.name} has a model but no {STATE_FILE} to go on from: put that back, or start "
            "another run, which can begin with this model."
        )


def is_checkpoint_epoch(config: TrainConfig, step: int, per_epoch: int) -> bool:
    """Return whether so many epochs end with this step that a picture and a model are kept."""
    return bool(config.keep_every_epochs) and step % (per_epoch * config.keep_every_epochs) == 0


def save(work: Training, step: int) -> None:
    """Save the state and the model: all processes send their random state, the first one
    writes."""
    random = work.ranks.gather(random_state(work.ranks.device))
    if work.recorder:
        work.trainer.check_weights()
        work.recorder.save(step, random)


def load_initial_weights(trainer: Trainer, folder: Path) -> None:
    """Begin with a model's weights (fine-tuning), which may learn hints of colour, noise or a tint
    from there. Raises UserError where the networks differ otherwise."""
    generator, config = load_model(folder)
    weights, model = generator.state_dict(), config.generator
    expected = trainer.config.generator_config()
    for part in ("noise", "tint"):
        if getattr(expected, part) and not getattr(model, part):
            weights = add_input(trainer.generator, weights, part)
            model = dataclasses.replace(model, **{part: True})
    if expected.gate and not model.gate:
        weights = add_hints(trainer.generator, weights)
        model = dataclasses.replace(model, hints=True, gate=True)
    if model.at_size(expected.size) != expected.at_size(expected.size):
        raise UserError(
            f"'{folder.name}' is another network than this run's: take the run's settings from "
            "the model."
        )
    trainer.generator.load_state_dict(weights)
    if trainer.average:
        trainer.average.module.load_state_dict(weights)


def set_process_up() -> None:
    """Set what holds for a whole process that trains and does nothing else."""
    set_pillow_limits()
    keep_to_usable_cores()
    reuse_freed_memory()


def reuse_freed_memory() -> None:
    """Let this process keep the memory that a step frees for the next step, where glibc hands it
    out: fetching a fresh page from the system for all of it costs about a tenth of a step.

    For processes that train and do nothing else: malloc stays so until the process ends.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):  # other systems
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)  # M_MMAP_MAX: large blocks come from the heap as well
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: and the heap does not shrink
