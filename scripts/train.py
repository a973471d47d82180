"""Train a generator on a dataset of pairs, in a run folder, from the command line."""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
from collections import deque
from pathlib import Path

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.config import TrainConfig, train_config
from pix2pix.data.plausibility import dataset_doubts
from pix2pix.errors import UserError
from pix2pix.models.folder import find_model
from pix2pix.nn.device import is_first, pick_device
from pix2pix.nn.training_memory import training_memory
from pix2pix.presets import PRESETS
from pix2pix.training import run_control, run_folder
from pix2pix.training.diagnostics import RECENT, WINDOW, diagnose
from pix2pix.training.loop import TrainProgress, check_unused, run_loop, set_process_up
from pix2pix.training.metrics_log import read_jsonl
from pix2pix.training.resolve_config import RunSettings, describe_losses, resolve_config, resume_run
from pix2pix.training.train import begin_run, run_training
from pix2pix.utils.memory import free_memory
from pix2pix.utils.validation import count, split_setting


def main() -> int:
    args = arguments()
    set_process_up()
    stop: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    try:
        if not args.resume:
            check_unused(args.run)
        config, data, start_from, device = settings = run_settings(args)
        if not is_first():  # of several processes, only the first one writes
            run_loop(
                args.run, data, config, device=device, start_from=start_from, resume=True,
                should_stop=lambda: bool(stop),
            )  # fmt: skip
            return 0
        if run_folder.read_status(args.run).is_active:
            raise UserError(f"{args.run.name} is running already: stop it first.")
    except UserError as error:
        print(error, file=sys.stderr)
        return 1

    if not (args.resume or config.derive == "grey"):
        tell_doubts(data)

    def begin() -> RunSettings:
        begin_run(args.run, settings, args.resume)
        warn(args.run, config, device)
        if note := describe_losses(config, settings.data):
            print(note, file=sys.stderr)
        return settings

    bar = Bar(args.run, config)
    stop_request = lambda: "stopped" if stop else run_control.requested_stop(args.run)  # noqa: E731
    sentence = run_training(args.run, begin, stop_request, bar)
    bar.close()
    if sentence:
        print(sentence, file=sys.stderr)
        return 1
    ended = run_folder.read_status(args.run).state
    print(json.dumps({"model": str(args.run / "model"), "stopped": ended != "finished"}))
    return 0


def tell_doubts(data: Path) -> None:
    """Say what is doubtful in a dataset, and what helps."""
    for doubt in dataset_doubts(data):
        fixes = " or ".join(f"--{fix.replace('=', ' ')}" for fix in doubt.fixes)
        print(
            f"Look at {doubt.file}: it {doubt.reason}. Build a dataset of {data.name} with "
            f"build_dataset.py {fixes}.", file=sys.stderr,
        )  # fmt: skip


def warn(run: Path, config: TrainConfig, device: torch.device) -> None:
    """Say what the run waits for, and that it takes more memory than there is."""
    if ahead := run_control.count_ahead(run):
        print(f"Waiting behind {ahead} other run(s) on {device}.", file=sys.stderr)
    need, free = training_memory(config), free_memory(device)
    if need > free:
        print(
            f"This takes about {need / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are "
            "free: lower size, ngf or batch_size; gradient_accumulation_steps makes up for "
            "smaller batches.",
            file=sys.stderr,
        )


def run_settings(args: argparse.Namespace) -> RunSettings:
    """Return the settings that the arguments give, and for a run that goes on those of its own
    `config.json` where they say nothing."""
    overrides = dict(args.set)
    if args.resume:
        settings = resume_run(args.run, args.device or "", args.data)
        config = dataclasses.asdict(settings.config)
        return settings._replace(config=train_config(config["preset"], overrides, config))
    model = find_model(args.start_from) if args.start_from else None
    config = resolve_config(args.preset or "maps", overrides, args.data, model)
    return RunSettings(config, args.data, model, pick_device(args.device or "auto"))


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
        if progress.step % WINDOW == 0:
            self.judge()
        if self.bar is None:
            bounds = {"initial": progress.step - 1, "total": progress.steps}
            seldom = {} if sys.stderr.isatty() else {"mininterval": 30}
            self.bar = tqdm(desc=f"epoch {progress.epoch}", unit="step", **bounds, **seldom)
        self.bar.set_description(f"epoch {progress.epoch}", refresh=False)
        losses = {name: f"{value:.3f}" for name, value in progress.losses.items()}
        self.bar.set_postfix(losses, refresh=False)
        self.bar.update()

    def judge(self) -> None:
        diagnosis = diagnose(self.recent, read_jsonl(self.run / "validation.jsonl"), self.config)
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
    add("--preset", choices=list(PRESETS), help="default: maps")
    add("--epochs", type=count, help="how often to see every pair")
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
