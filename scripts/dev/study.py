"""Compare settings at equal time: each arm trains on each dataset for the same minutes of one core.

So that nothing else on the machine changes the outcome, the minutes are given as steps: the step of
every arm is timed first, one arm after the other on one thread, and each trains as many steps as
fit. Their generators are then measured on pairs that none has seen, by a network that takes no part
in training, and so is one half of the real pictures against the other. What is done is kept: the
same command goes on where it was stopped, and one with other settings, data or minutes is refused.
The last line of output is one JSON object.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pix2pix.config import TrainConfig
from pix2pix.errors import UserError
from pix2pix.evaluation.evaluate import comparison_picture, evaluate
from pix2pix.evaluation.metrics import JUDGE
from pix2pix.imaging.grids import labelled_rows
from pix2pix.imaging.picture import save_png
from pix2pix.models.translator import Translator
from pix2pix.presets import PRESETS
from pix2pix.training.loop import run_loop, set_process_up
from pix2pix.training.resolve_config import resolve_config
from pix2pix.utils.files import write_atomically, write_json
from pix2pix.utils.validation import split_setting
from scripts.command import answer, command
from scripts.examples.sources import ON_THE_PAD, SHOWN, draw_sources

# The preset `maps`, the same with half the channels, and that with one thing changed at a time.
ARMS = {
    "maps": "maps",
    "half": "maps ngf=32 ndf=32",
    "half, EMA": "maps ngf=32 ndf=32 ema=0.998",
    "half, decay": "maps ngf=32 ndf=32 decay=0.5",
    "half, instance norm": "maps ngf=32 ndf=32 norm=instance",
    "half, resize convolution": "maps ngf=32 ndf=32 upsample=resize",
    "half, batch 4": "maps ngf=32 ndf=32 batch_size=4",
    "half, feature matching": "maps ngf=32 ndf=32 lambda_features=10",
    "half, hinge": "maps ngf=32 ndf=32 adversarial=hinge",
    "half, least squares": "maps ngf=32 ndf=32 adversarial=least-squares",
    "half, DiffAugment": "maps ngf=32 ndf=32 diffaugment=true",
    "frozen features": "maps ngf=32 ndf=32 upsample=resize widest=4 discriminator=projected "
    "adversarial=hinge lambda_perceptual=20 lambda_l1=10 lr=0.0018 ema=0.998",
}
TIMED, WARM = 12, 3  # steps that are timed, after so many that are not
MEASURES = {"perceptual": "{:.3f}", "kid": "{:.0f}", "l1": "{:.3f}", "ssim": "{:.3f}"}
HALVES = ("perceptual_halves", "kid_halves")  # of the real pictures


@dataclasses.dataclass(frozen=True)
class Job:
    """One training: an arm on a dataset from a seed, in `folder`."""

    arm: str
    data_name: str
    data: Path
    config: TrainConfig
    folder: Path


@command(stopped="Stopped: the same command goes on.")
def main() -> int:
    args = arguments()
    arms = ARMS | dict(args.arm)
    arms = {name: arms[name] for name in args.only or arms}
    torch.set_num_threads(1)
    seconds = timed_steps(args, arms)
    jobs = [job for seed in args.seeds for job in planned(args, arms, seconds, seed)]
    for job in jobs:
        check(job)  # all of them before any trains
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.at_once, context, torch.set_num_threads, (1,)) as pool:
        for job, measures in zip(jobs, pool.map(work, jobs), strict=True):
            print(job.folder.name, measures, flush=True)
    lines = [line for name, _ in args.data for line in table(args, name, arms, jobs)]
    text = "\n".join(lines)
    write_atomically(args.out / "study.md", lambda file: file.write_text(text + "\n"))
    print(text, flush=True)
    for note in save_pictures(args, jobs):  # after the figures, which took hours
        print(note, file=sys.stderr)
    return answer({"runs": len(jobs), "table": str(args.out / "study.md")})


def config_of(args: argparse.Namespace, arm: str, data: str, **values: Any) -> TrainConfig:
    """Resolve the settings of an arm, written as "PRESET key=value ...", on a dataset."""
    preset, *changes = arm.split()
    folder, _, direction = data.partition(":")
    overrides = dict(args.set) | dict(map(split_setting, changes))
    overrides |= {"direction": direction} if direction else {}
    overrides |= {key: str(value) for key, value in values.items()}
    return resolve_config(preset, overrides, Path(folder))


def timed_steps(args: argparse.Namespace, arms: dict[str, str]) -> dict[str, float]:
    """Seconds of a step of each arm, on the first dataset. Raises UserError where `--out` has them
    of other settings or data."""
    file, data = args.out / "seconds.json", Path(args.data[0][1].partition(":")[0])
    known = json.loads(file.read_text()) if file.exists() else {}
    steps = WARM + TIMED + 1
    configs = {n: config_of(args, arm, args.data[0][1], steps=steps) for n, arm in arms.items()}
    for name in known.keys() & arms.keys():
        recorded = known[name]  # earlier versions left a bare number
        if not isinstance(recorded, dict) or recorded.get("of") != said(configs[name], data):
            raise other(args.out)
    for name in [name for name in arms if name not in known]:
        known[name] = {"seconds": time_step(configs[name], data), "of": said(configs[name], data)}
        print(f"{name}: {known[name]['seconds']:.3f} s a step", flush=True)
        write_json(file, known)
    return {name: known[name]["seconds"] for name in arms}


def said(config: TrainConfig, data: Path) -> dict[str, Any]:
    """Return what is written beside a figure: all that it was measured with."""
    return {"data": str(data.resolve()), **dataclasses.asdict(config)}


def said_of_job(job: Job) -> dict[str, Any]:
    return {**said(job.config, job.data), "judge": JUDGE}


def other(folder: Path) -> UserError:
    return UserError(
        f"{folder} was measured with other settings, data, minutes or networks: give another --out."
    )


def time_step(config: TrainConfig, data: Path) -> float:
    """Seconds of a core that a step of a run takes, the reading of pairs included: the median of
    `TIMED` steps. What else the machine does takes no part in it."""
    set_process_up()
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        run_loop(
            Path(folder) / "run", data, config, device=torch.device("cpu"),
            on_progress=lambda _: ends.append(time.process_time()),
        )  # fmt: skip
    # The last step is left out: a picture and a model are made with it.
    return statistics.median(b - a for a, b in itertools.pairwise(ends[WARM - 1 : -1]))


def planned(
    args: argparse.Namespace, arms: dict[str, str], seconds: dict[str, float], seed: int
) -> list[Job]:
    jobs = []
    for data_name, data in args.data:
        for name, arm in arms.items():
            steps = max(1, round(60 * args.minutes / seconds[name]))
            never = {"save_every_steps": 10**6, "sample_every_steps": 10**6, "keep_every_epochs": 0}
            config = config_of(args, arm, data, steps=steps, seed=seed, **never)
            folder = args.out / f"{data_name} {name} {seed}".replace(" ", "-").replace(",", "")
            jobs.append(Job(name, data_name, Path(data.partition(":")[0]), config, folder))
    return jobs


def check(job: Job) -> None:
    """Raise UserError where the folder holds what another job, or an earlier version, left."""
    file = job.folder / "job.json"
    previous = json.loads(file.read_text()) if file.exists() else None
    leftovers = [
        name for name in ("metrics.jsonl", "measures.json") if (job.folder / name).exists()
    ]
    if (previous or leftovers) and previous != said_of_job(job):
        raise other(job.folder)


def work(job: Job) -> dict[str, float | None]:
    """Train and measure, unless that is done; returns the measures."""
    set_process_up()
    check(job)  # once more: another arm of this call may have a name of the same letters
    done = job.folder / "measures.json"
    if not done.exists():
        write_json(job.folder / "job.json", said_of_job(job))
        run_loop(job.folder, job.data, job.config, device=torch.device("cpu"), resume=True)
        translator = Translator.load(job.folder / "model", "cpu")
        result = evaluate(translator, job.data, direction=job.config.direction, fit="whole")
        write_json(done, {name: result.measures[name] for name in (*MEASURES, *HALVES)})
        (job.folder / "state.pt").unlink()  # half a gigabyte
    return json.loads(done.read_text())


def table(
    args: argparse.Namespace, data_name: str, arms: dict[str, str], jobs: list[Job]
) -> list[str]:
    """Markdown: a row for each arm, in each cell the mean over seeds and every seed's value; then
    how far the two halves of the real pictures are apart."""
    seeds = " and ".join(map(str, args.seeds))
    lines = [f"### {data_name}: {args.minutes:g} min, seeds {seeds}", ""]
    lines += [f"| arm | settings | steps | {' | '.join(MEASURES)} |"]
    lines += [f"| --- | --- | ---: |{' ---: |' * len(MEASURES)}"]
    real: dict[str, float | None] = {}
    for name, arm in arms.items():
        mine = [job for job in jobs if (job.arm, job.data_name) == (name, data_name)]
        measures = [json.loads((job.folder / "measures.json").read_text()) for job in mine]
        real = real or measures[0]
        cells = [cell([f[measure] for f in measures], how) for measure, how in MEASURES.items()]
        lines.append(f"| {name} | `{arm}` | {mine[0].config.steps:,} | {' | '.join(cells)} |")
    halves = [cell([real[f"{m}_halves"]], MEASURES[m]) for m in ("perceptual", "kid")]
    lines.append(f"| one half of the real pictures to the other | | | {' | '.join(halves)} | | |")
    return [*lines, "", f"Perceptual distance and KID by {JUDGE}.", ""]


def cell(values: list[float | None], how: str) -> str:
    if None in values:
        return "-"
    if len(values) == 1:
        return how.format(values[0])
    each = ", ".join(how.format(value) for value in values)
    return f"{how.format(statistics.fmean(values))} ({each})"


def save_pictures(args: argparse.Namespace, jobs: list[Job]) -> list[str]:
    """Save a picture of each dataset, and of sources drawn by code where they can be; returns
    why one is missing."""
    notes = []
    for name, _ in args.data:
        painters = {name: picture} | ({f"{name}-drawn": of_drawn} if name in ON_THE_PAD else {})
        for title, make in painters.items():
            try:
                save_png(make(jobs, name, args.seeds[0]), args.out / f"{title}.png")
            except UserError as error:
                notes.append(f"{title}.png was left out: {error}")
    return notes


def picture(jobs: list[Job], data_name: str, seed: int) -> Image.Image:
    """Show the same sources through the generator of each arm, a row for each."""
    mine = [job for job in jobs if (job.data_name, job.config.seed) == (data_name, seed)]
    return comparison_picture(
        {
            job.arm: evaluate(
                Translator.load(job.folder / "model", "cpu"), job.data,
                direction=job.config.direction, fit="whole", limit=6, show=6,
            )
            for job in mine
        }
    )  # fmt: skip


def of_drawn(jobs: list[Job], data_name: str, seed: int) -> Image.Image:
    """Show sources drawn by code: a picture that holds nothing of the dataset."""
    rows: list[tuple[str, list[Image.Image]]] = []
    for job in jobs:
        if (job.data_name, job.config.seed) == (data_name, seed):
            translator = Translator.load(job.folder / "model", "cpu")
            drawn = draw_sources(data_name, translator.config)[:SHOWN]
            sources = [one.picture for one in drawn]
            rows = rows or [("source", sources)]
            rows.append((job.arm, [translator.translate(s, fit="whole") for s in sources]))
    return labelled_rows(rows)


def arm(text: str) -> tuple[str, str]:
    name, value = split_setting(text)
    if value.partition(" ")[0] not in PRESETS:
        raise argparse.ArgumentTypeError(f"'{value}' does not begin with a preset's name")
    return name, value


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--data", required=True, nargs="+", type=split_setting, metavar="NAME=DIR[:BtoA]",
        help="dataset folders, with the direction where it is not AtoB")  # fmt: skip
    add("--out", required=True, type=Path, help="folder for runs, figures, table and pictures")
    add("--minutes", required=True, type=float, help="time of one core for each training")
    add("--seeds", nargs="+", type=int, default=[0, 1])
    add("--only", nargs="+", metavar="ARM", help="of the arms, these (default: all)")
    add("--arm", nargs="+", type=arm, default=[], metavar="NAME='PRESET KEY=VALUE ...'",
        help="arms of your own")  # fmt: skip
    add("--set", action="append", default=[], type=split_setting, metavar="KEY=VALUE",
        help="override a value in every arm, such as size=128")  # fmt: skip
    add("--at-once", type=int, default=1, help="trainings at a time, one thread each (default: 1)")
    args = parser.parse_args()
    if args.only and (unknown := set(args.only) - set(ARMS | dict(args.arm))):
        parser.error(f"there is no arm {', '.join(sorted(unknown))}")
    return args


if __name__ == "__main__":
    sys.exit(main())
