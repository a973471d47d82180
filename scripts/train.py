"""Train a generator on a dataset of pairs, in a run folder, from the command line."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.config import PRESETS, setting, train_config
from pix2pix.devices import pick_device
from pix2pix.errors import UserError
from pix2pix.models import find_model
from pix2pix.training import Progress, train
from pix2pix.workspace import model_folders


def main() -> int:
    args = arguments()
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    try:
        config = train_config(args.preset, dict(args.set))
        model = train(
            args.run,
            args.data,
            config,
            device=pick_device(args.device),
            start_from=find_model(args.start_from, model_folders()) if args.start_from else None,
            resume=args.resume,
            should_stop=lambda: bool(stop),
            on_progress=Reporter(args.print_every),
        )
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps({"model": str(model), "stopped": bool(stop)}))
    return 0


class Reporter:
    """Prints the losses, the speed and the time left."""

    def __init__(self, every: int) -> None:
        self.every, self.since, self.step = every, time.monotonic(), 0

    def __call__(self, progress: Progress) -> None:
        if progress.step % self.every and progress.step != progress.steps:
            return
        now = time.monotonic()
        each = (now - self.since) / max(progress.step - self.step, 1) if self.step else 0.0
        self.since, self.step = now, progress.step
        left = (progress.steps - progress.step) * each
        losses = "  ".join(f"{name} {value:.3f}" for name, value in progress.losses.items())
        print(
            f"step {progress.step}/{progress.steps}  epoch {progress.epoch}  {losses}  "
            f"{each:.2f} s a step  {left / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="dataset folder")
    parser.add_argument("--run", type=Path, required=True, help="run folder, made if absent")
    parser.add_argument("--preset", default="maps", choices=list(PRESETS))
    parser.add_argument("--epochs", type=int, help="how often to see every pair")
    parser.add_argument("--steps", type=int, help="how many updates, instead of --epochs")
    parser.add_argument("--resume", action="store_true", help="go on where the run stopped")
    parser.add_argument("--from", dest="start_from", metavar="MODEL", help="fine-tune this model")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--print-every", type=int, default=50, metavar="STEPS")
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
    args.set += [(k, str(getattr(args, k))) for k in ("epochs", "steps") if getattr(args, k)]
    return args


if __name__ == "__main__":
    sys.exit(main())
