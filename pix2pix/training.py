"""The loop around the training step: a run in a folder, which knows no UI."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import psutil
import torch
from torch import Tensor, nn

from pix2pix import runs
from pix2pix.checkpoint import STATE, load_state, save_state
from pix2pix.config import ModelConfig, TrainConfig, checked_fields
from pix2pix.data import PairDataset, batches, steps_per_epoch
from pix2pix.datasets import find_pairs
from pix2pix.devices import pick_device
from pix2pix.errors import Stopped, UserError
from pix2pix.files import copy_folder, write_atomically, write_json
from pix2pix.images import save_png
from pix2pix.models import load_model, save_model
from pix2pix.pictures import rows_picture
from pix2pix.trainer import Trainer, learning_rate

STATE_MINUTES = 10.0  # a state is saved at least so often, however slow the steps are
STATUS_SECONDS = 1.0  # between two lines of status


@dataclass(frozen=True)
class Progress:
    """What a watcher is told after each step."""

    step: int
    steps: int
    epoch: int
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

    The run folder is described in ``runs``. Raises UserError for data or settings that cannot
    work, a loss that is no number and a disk that is full; the last saved state stays whole.
    """
    dataset = PairDataset(data, "train", config)
    source_channels, target_channels = dataset.channels
    config = dataclasses.replace(
        config, source_channels=source_channels, target_channels=target_channels
    )
    dataset.config = config
    if not resume and (run / "metrics.jsonl").exists():
        raise UserError(f"{run.name} holds a run already: resume it, or name another folder.")
    per_epoch = steps_per_epoch(len(dataset), config.batch_size)
    steps = config.steps or config.epochs * per_epoch
    trainer, step = Trainer(config, device), 0
    if start_from:
        start_with(trainer, start_from)
    if resume:
        step = restore(run, trainer)
    with saving(run):
        write_json(run / "config.json", run_config(config, data, start_from, device))
        samples = fixed_samples(dataset, data, config)
        started = saved = time.monotonic()
        with (run / "metrics.jsonl").open("a", encoding="utf-8") as metrics:
            for epoch, source, target in batches(dataset, config.batch_size, config.seed, step):
                if step >= steps or should_stop():
                    break
                trainer.set_lr(learning_rate(config, step, steps))
                losses = trainer.step(source, target)
                step += 1
                write_line(metrics, {"step": step, "epoch": epoch, **losses})
                if step % config.sample_every_steps == 0 or step == steps:
                    grid = sample_grid(trainer, samples)
                    save_png(grid, run / "samples" / f"step-{step:07d}.png")
                due = time.monotonic() - saved > 60 * STATE_MINUTES
                if step % config.save_every_steps == 0 or due:
                    save_run(run, trainer, config, step)
                    saved = time.monotonic()
                on_progress(Progress(step, steps, epoch, losses, time.monotonic() - started))
        save_run(run, trainer, config, step)
    return run / "model"


def restore(run: Path, trainer: Trainer) -> int:
    """Go back to the saved state, its losses included, and return its step."""
    state = load_state(run)
    trainer.load_state_dict(state["trainer"])
    torch.set_rng_state(state["rng"])
    if state.get("cuda_rng") is not None and trainer.device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda_rng"], trainer.device)
    for name in ("metrics.jsonl", "validation.jsonl"):
        cut_after(run / name, state["step"])
    return state["step"]


def cut_after(file: Path, step: int) -> None:
    """Drop the lines of later steps, which will be run again, and a half-written last one."""
    if not file.exists():
        return
    kept = []
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                later = json.loads(line)["step"] > step
            except (ValueError, KeyError, TypeError):
                break
            if later or not line.endswith("\n"):
                break
            kept.append(line)
    write_atomically(file, lambda partial: partial.write_text("".join(kept), encoding="utf-8"))


def run_config(
    config: TrainConfig, data: Path, start_from: Path | None, device: torch.device
) -> dict[str, Any]:
    """What ``config.json`` of a run holds: enough to start it again."""
    return {
        **dataclasses.asdict(config),
        "data": str(data),
        "start_from": str(start_from) if start_from else "",
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
    if found.generator != trainer.config.generator_config():
        raise UserError(
            f"'{folder.name}' is another network than this run's: give the run the model's "
            "size, ngf, channels, norm, dropout, bias and upsample."
        )
    trainer.generator.load_state_dict(generator.state_dict())


def fixed_samples(
    dataset: PairDataset, data: Path, config: TrainConfig, count: int = 8
) -> tuple[Tensor, Tensor]:
    """The pairs that every sample grid shows: from val where there is one, spread evenly."""
    shown = PairDataset(data, "val", config) if find_pairs(data, "val") else dataset
    chosen = torch.linspace(0, len(shown) - 1, min(count, len(shown))).long().tolist()
    pairs = [shown.plain(i) for i in chosen]
    return torch.stack([s for s, _ in pairs]), torch.stack([t for _, t in pairs])


@torch.no_grad()
def sample_grid(trainer: Trainer, samples: tuple[Tensor, Tensor]) -> Any:
    """A picture of three rows: source, generated, target. One image per forward, without dropout,
    each normalised by its own statistics: as the translator will show it."""
    generator = trainer.current_generator()
    dropouts = [m for m in generator.modules() if isinstance(m, nn.Dropout)]
    for dropout in dropouts:
        dropout.eval()
    kept = {name: buffer.clone() for name, buffer in generator.named_buffers()}
    source, target = samples
    generated = torch.cat([generator(s[None].to(trainer.device)).cpu() for s in source])
    generator.load_state_dict(kept, strict=False)  # looking must not change what is trained
    for dropout in dropouts:
        dropout.train()
    return rows_picture([source.numpy(), generated.float().numpy(), target.numpy()])


def save_run(run: Path, trainer: Trainer, config: TrainConfig, step: int) -> None:
    """The resumable state, and the generator as a model folder."""
    state = {"step": step, "trainer": trainer.state_dict(), "rng": torch.get_rng_state()}
    if trainer.device.type == "cuda":
        state["cuda_rng"] = torch.cuda.get_rng_state(trainer.device)
    save_state(run, state)
    model = ModelConfig(
        generator=config.generator_config(),
        title=run.name,
        source_name=config.source_name or "source",
        target_name=config.target_name or "target",
        direction=config.direction,
        source_kind=config.source_kind,
        fit="whole" if config.source_kind == "drawing" else "tiles",
        training={"preset": config.preset, "steps": step, "batch_size": config.batch_size},
    )
    card = f"# {run.name}\n\nA pix2pix generator after {step:,} steps of `{config.preset}`.\n"
    save_model(run / "model", trainer.current_generator(), model, card)
    copy_folder(run / "model", run / "checkpoints" / f"step-{step:07d}")
    runs.prune(run)


def write_line(file: TextIO, row: dict[str, Any]) -> None:
    file.write(json.dumps(row) + "\n")
    file.flush()


# ----------------------------------------------------------------------- the run's own process


class Reporter:
    """Tells ``status.json`` about the steps, seldom enough to cost nothing."""

    def __init__(self, run: Path) -> None:
        self.run, self.process = run, psutil.Process()
        self.said, self.step = time.monotonic(), 0
        self.pace = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self.said < STATUS_SECONDS and progress.step != progress.steps:
            return
        if self.step:
            pace = (now - self.said) / (progress.step - self.step)
            self.pace = 0.8 * self.pace + 0.2 * pace if self.pace else pace
        self.said, self.step = now, progress.step
        runs.write_status(
            self.run, state="running", step=progress.step, steps=progress.steps,
            epoch=progress.epoch, seconds_per_step=self.pace, updated=time.time(), sentence="",
            memory_mib=self.process.memory_info().rss // 2**20,
        )  # fmt: skip


def reported(run: Path, work: Callable[[Reporter], str]) -> str:
    """Do a run's ``work`` as its process and write down how it ends: `work` returns the state.

    Returns the sentence of a failure, empty if there was none.
    """
    runs.claim(run)
    sentence = ""
    try:
        runs.write_status(run, state="starting", updated=time.time(), sentence="")
        end = work(Reporter(run))
    except Stopped:
        end = runs.stop_word(run) or "stopped"
    except UserError as error:
        end, sentence = "failed", str(error)
    except MemoryError:
        end, sentence = "failed", "There was not enough memory: lower size, ngf or batch_size."
    except Exception:
        end, sentence = "failed", "Something broke that should not: its log has the details."
        traceback.print_exc()
    with contextlib.suppress(OSError):
        runs.write_status(run, state=end, sentence=sentence, updated=time.time())
        for name in ("stop", "process.json"):
            (run / name).unlink(missing_ok=True)
    return sentence


def read_run(run: Path) -> tuple[TrainConfig, Path, str, str]:
    """(config, data, start_from, device) of ``config.json``; UserError where it is damaged."""
    try:
        said = json.loads((run / "config.json").read_text(encoding="utf-8"))
        data, start_from, device = (said.pop(key) for key in ("data", "start_from", "device"))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"{run.name}/config.json is not that of a run: start it anew.") from error
    return TrainConfig(**checked_fields(TrainConfig, said)), Path(data), start_from, device


def main(run: Path) -> int:
    """``python -m pix2pix.training RUN``: train what ``RUN/config.json`` says, or go on with it."""
    word = ""

    def should_stop() -> bool:
        nonlocal word
        word = word or runs.stop_word(run)
        return bool(word)

    def work(reporter: Reporter) -> str:
        config, data, start_from, device = read_run(run)
        runs.write_status(run, state="queued")
        with runs.turn(run, device, should_stop):
            runs.write_status(run, state="starting", updated=time.time())
            resume = (run / STATE).exists()
            if not resume:  # ended before its first state was saved: begin anew
                (run / "metrics.jsonl").unlink(missing_ok=True)
            train(
                run, data, config, device=pick_device(device), resume=resume,
                start_from=Path(start_from) if start_from and not resume else None,
                should_stop=should_stop, on_progress=reporter,
            )  # fmt: skip
        return word or "finished"

    return 1 if reported(run, work) else 0


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(main(Path(sys.argv[1])))
