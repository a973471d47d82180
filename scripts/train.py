"""Train a generator on a dataset of pairs, in a run folder, from the command line."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import signal
import sys
from collections import deque
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.config import TrainConfig, train_config
from pix2pix.data.pair_doubts import dataset_doubts
from pix2pix.errors import UserError
from pix2pix.nn.training_memory import training_memory
from pix2pix.presets import FIRST_PRESET, PRESETS
from pix2pix.training import run_control, run_folder
from pix2pix.training.diagnostics import RECENT, WINDOW, diagnose
from pix2pix.training.distributed import is_first
from pix2pix.training.loop import TrainProgress, set_process_up
from pix2pix.training.metrics_log import read_jsonl
from pix2pix.training.resolve_config import RunSettings, describe_losses, new_run, resume_run
from pix2pix.training.train import begin_run, train_run
from pix2pix.utils.machine import free_memory
from pix2pix.utils.validation import count, split_setting
from scripts.command import answer, command


@command()
def main() -> int:
    args = arguments()
    set_process_up()
    stop: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    settings = run_settings(args)
    begin_run(args.run, settings, args.resume)
    if is_first():
        tell(args.run, settings, is_new=not args.resume)
    with contextlib.closing(Bar(args.run, settings.config)) as bar:
        train_run(args.run, settings, lambda: bool(stop), bar)
    if not is_first():  # of several processes, one answers
        return 0
    ended = run_folder.read_status(args.run).state
    return answer({"model": str(args.run / "model"), "stopped": ended != "finished"})


def run_settings(args: argparse.Namespace) -> RunSettings:
    """Return the settings that the arguments give, and for a run that goes on those of its own
    `config.json` where they say nothing."""
    overrides = dict(args.set)
    if not args.resume:
        preset, device = args.preset or FIRST_PRESET, args.device or "auto"
        return new_run(preset, overrides, args.data, args.start_from, device)
    settings = resume_run(args.run, args.device or "", args.data)
    config = dataclasses.asdict(settings.config)
    return settings._replace(config=train_config(config["preset"], overrides, config))


def tell(run: Path, settings: RunSettings, is_new: bool) -> None:
    """Say what a run waits for, what is doubtful in a new one's dataset, and what does not fit."""
    config, data, _, device = settings
    lines = []
    for doubt in dataset_doubts(data) if is_new and config.derive != "grey" else []:
        fixes = " or ".join(f"--{fix.replace('=', ' ')}" for fix in doubt.fixes)
        lines.append(
            f"Look at {doubt.file}: it {doubt.reason}. Build a dataset of {data.name} with "
            f"build_dataset.py {fixes}."
        )
    if ahead := run_control.count_ahead(run):
        lines.append(f"Waiting behind {ahead} other run(s) on {device}.")
    with contextlib.suppress(UserError):  # of networks that cannot be, which training says
        need, free = training_memory(config), free_memory(device)
        if need > free:
            lines.append(
                f"This takes about {need / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are "
                "free: lower size, ngf or batch_size; gradient_accumulation_steps makes up for "
                "smaller batches."
            )
    if note := describe_losses(config, data):
        lines.append(note)
    for line in lines:
        print(line, file=sys.stderr)


class Bar:
    """A progress bar with the losses, and a line when the run's health becomes another; lines now
    and then where standard error is no terminal."""

    def __init__(self, run: Path, config: TrainConfig) -> None:
        self.run, self.config = run, dataclasses.asdict(config)
        self.bar = None
        self.recent: deque[dict[str, float]] = deque(maxlen=RECENT)
        self.level = "good"

    def __call__(self, progress: TrainProgress) -> None:
        self.recent.append({"step": progress.step, "epoch": progress.epoch, **progress.losses})
        if progress.step % WINDOW == 0 or progress.step == progress.steps:
            self.judge(progress.steps)
        if self.bar is None:
            bounds = {"initial": progress.step - 1, "total": progress.steps}
            seldom = {} if sys.stderr.isatty() else {"mininterval": 30}
            self.bar = tqdm(desc=f"epoch {progress.epoch + 1}", unit="step", **bounds, **seldom)
        self.bar.set_description(f"epoch {progress.epoch + 1}", refresh=False)
        losses = {name: f"{value:.3f}" for name, value in progress.losses.items()}
        self.bar.set_postfix(losses, refresh=False)
        self.bar.update()

    def judge(self, steps: int) -> None:
        validation = read_jsonl(self.run / "validation.jsonl")
        diagnosis = diagnose(self.recent, validation, self.config, steps)
        if diagnosis.level not in ("good", self.level):
            facts = f"{diagnosis.line} {diagnosis.evidence} {diagnosis.advice}"
            line = f"Step {self.recent[-1]['step']:,}: {facts}"
            tqdm.write(line, file=sys.stderr)
        self.level = diagnosis.level

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, help="dataset folder; a resumed run knows its own")
    add("--run", type=Path, required=True, help="run folder, made if absent")
    add("--preset", choices=list(PRESETS), help=f"default: {FIRST_PRESET}")
    add(
        "--epochs",
        type=count,
        help="how often to see every pair; in quick and cityscapes an epoch is so many steps "
        "(steps_per_epoch)",
    )
    add("--steps", type=count, help="how many updates, instead of --epochs")
    add("--resume", action="store_true", help="go on where the run stopped")
    add("--from", dest="start_from", metavar="MODEL", help="fine-tune this model")
    add("--device", help="auto, cpu, cuda or mps (default: auto)")
    add("--set", action="append", default=[], metavar="KEY=VALUE", type=split_setting,
        help="override a value of the preset, such as ngf=32 or lr=0.0001")  # fmt: skip
    args = parser.parse_args()
    if args.epochs and args.steps:
        parser.error("give --epochs or --steps, not both")
    if not args.data and not args.resume:
        parser.error("--data is required")
    if args.resume and (args.preset or args.start_from):
        parser.error("a resumed run has its preset and its model: leave --preset and --from out")
    if args.epochs:
        args.set += [("epochs", str(args.epochs)), ("steps", "0")]
    if args.steps:
        args.set += [("steps", str(args.steps))]
    return args


if __name__ == "__main__":
    sys.exit(main())
