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

from pix2pix import runs
from pix2pix.config import PRESETS, TrainConfig, setting, train_config
from pix2pix.curves import read_rows
from pix2pix.devices import free_memory, pick_device
from pix2pix.errors import UserError
from pix2pix.health import RECENT, WINDOW, health
from pix2pix.models import find_model
from pix2pix.ranks import is_first
from pix2pix.settings import new_settings
from pix2pix.summary import training_memory
from pix2pix.train_run import begin_run
from pix2pix.training import (
    Progress,
    conduct,
    read_run,
    refuse_used,
    run_config,
    set_process_up,
    train,
)
from pix2pix.workspace import model_folders


def main() -> int:
    args = arguments()
    set_process_up()
    stop: list[bool] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    try:
        if not args.resume:
            refuse_used(args.run)
        config, data, start_from, device = settings(args)
        if not is_first():  # of several processes, only the first one writes
            train(
                args.run, data, config, device=device, start_from=start_from, resume=True,
                should_stop=lambda: bool(stop),
            )  # fmt: skip
            return 0
        if runs.read_status(args.run).is_active:
            raise UserError(f"{args.run.name} is running already: stop it first.")
    except UserError as error:
        print(error, file=sys.stderr)
        return 1

    def begin() -> tuple[TrainConfig, Path, Path | None, torch.device]:
        new = None if args.resume else run_config(config, data, start_from, device)
        begin_run(args.run, new)
        if ahead := runs.ahead_of(args.run):
            print(f"Waiting behind {ahead} other run(s) on {device}.", file=sys.stderr)
        need, free = training_memory(config), free_memory(device)
        if need > free:
            print(
                f"This takes about {need / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are "
                "free: lower size, ngf or batch_size, or set accumulate.",
                file=sys.stderr,
            )
        return config, data, start_from, device

    bar = Bar(args.run, config)
    asked = lambda: "stopped" if stop else runs.stop_word(args.run)  # noqa: E731
    sentence = conduct(args.run, begin, asked, bar)
    bar.close()
    if sentence:
        print(sentence, file=sys.stderr)
        return 1
    ended = runs.read_status(args.run).state
    print(json.dumps({"model": str(args.run / "model"), "stopped": ended != "finished"}))
    return 0


def settings(args: argparse.Namespace) -> tuple[TrainConfig, Path, Path | None, torch.device]:
    """(config, data, model to begin with, device): of the arguments, and for a run that goes on
    of its own `config.json` where they say nothing."""
    overrides = dict(args.set)
    if args.resume:
        config, data, start_from, device = read_run(args.run, args.device or "")
        config = train_config(config.preset, overrides, dataclasses.asdict(config))
        return config, args.data or data, start_from, device
    model = find_model(args.start_from, model_folders()) if args.start_from else None
    config = new_settings(args.preset or "maps", overrides, args.data, model)
    return config, args.data, model, pick_device(args.device or "auto")


class Bar:
    """A progress bar with the losses, and a line when the run's health becomes another; lines now
    and then where standard error is no terminal."""

    def __init__(self, run: Path, config: TrainConfig) -> None:
        self.run, self.config = run, dataclasses.asdict(config)
        self.bar = None
        self.recent: deque[dict[str, float]] = deque(maxlen=RECENT)
        self.level = "good"

    def __call__(self, progress: Progress) -> None:
        self.recent.append({"step": progress.step, "epoch": progress.epoch, **progress.losses})
        if progress.step % WINDOW == 0:
            self.judge()
        if self.bar is None:
            begun = {"initial": progress.step - 1, "total": progress.steps}
            seldom = {} if sys.stderr.isatty() else {"mininterval": 30}
            self.bar = tqdm(desc=f"epoch {progress.epoch}", unit="step", **begun, **seldom)
        self.bar.set_description(f"epoch {progress.epoch}", refresh=False)
        losses = {name: f"{value:.3f}" for name, value in progress.losses.items()}
        self.bar.set_postfix(losses, refresh=False)
        self.bar.update()

    def judge(self) -> None:
        found = health(self.recent, read_rows(self.run / "validation.jsonl"), self.config)
        if found.level not in ("good", self.level):
            said = f"Step {self.recent[-1]['step']:,}: {found.line} {found.evidence} {found.advice}"
            tqdm.write(said, file=sys.stderr)
        self.level = found.level

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="dataset folder; a resumed run knows its own")
    parser.add_argument("--run", type=Path, required=True, help="run folder, made if absent")
    parser.add_argument("--preset", choices=list(PRESETS), help="default: maps")
    parser.add_argument("--epochs", type=count, help="how often to see every pair")
    parser.add_argument("--steps", type=count, help="how many updates, instead of --epochs")
    parser.add_argument("--resume", action="store_true", help="go on where the run stopped")
    parser.add_argument("--from", dest="start_from", metavar="MODEL", help="fine-tune this model")
    parser.add_argument("--device", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        type=setting,
        help="override a value of the preset, such as ngf=32 or lr=0.0001",
    )
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


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
