"""Several processes train what one trains: the same batches, gradients averaged, one writer."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pix2pix.config import TrainConfig
from pix2pix.data.loader import PairDataset, batches, steps_per_epoch
from pix2pix.errors import UserError
from pix2pix.training.distributed import ProcessGroup
from pix2pix.training.loop import run_loop
from pix2pix.training.run_folder import read_status
from pix2pix.training.saved_state import load_state, restore_state, save_state
from pix2pix.training.train import main
from pix2pix.training.trainer import Trainer
from tests.support.drawn_pairs import draw_dataset
from tests.support.fork_server import ForkServer
from tests.support.models_and_servers import free_port

ROOT = Path(__file__).resolve().parents[2]
# One picture at a time is normalised, and no noise is drawn: then shares of a batch add up to it.
SETTINGS = ["size=64", "jitter=4", "ngf=4", "ndf=4", "layers=1", "norm=instance", "dropout=none"]
SETTINGS += ["batch_size=4", "save_every_steps=6", "precision=float32"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_dataset(tmp_path_factory.mktemp("ranks") / "data", train=10, val=2)


def command(run: Path, data: Path, steps: int, *more: str) -> list[str]:
    launch = [sys.executable, str(ROOT / "scripts" / "train.py"), "--data", str(data)]
    launch += ["--run", str(run), "--steps", str(steps), "--device", "cpu"]
    launch += [] if "--resume" in more else ["--preset", "maps"]
    frozen = "discriminator=projected" in more  # which has no layers of its own to count
    settings = [setting for setting in SETTINGS if not (frozen and setting.startswith("layers"))]
    return launch + [part for setting in settings for part in ("--set", setting)] + list(more)


def launched(world: int, words: list[str]) -> subprocess.CompletedProcess[str]:
    """The command as torchrun starts it, so many times."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={world}", "--"]
    words = [words[0], *torchrun, *words[1:]]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done


def trained(forks: ForkServer, world: int, words: list[str]) -> None:
    """What torchrun does, without the seconds that every process takes until PyTorch is there."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    with contextlib.ExitStack() as stack:
        waits = [
            stack.enter_context(
                forks.running(
                    words, **shared, WORLD_SIZE=str(world), LOCAL_WORLD_SIZE=str(world),
                    RANK=str(rank), LOCAL_RANK=str(rank),
                )
            )
            for rank in range(world)
        ]  # fmt: skip
        for done in [wait() for _, wait in waits]:
            assert done.returncode == 0, done.stderr


def losses(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_train_what_one_trains_on_frozen_features(
    data: Path, tmp_path: Path, forks: ForkServer
) -> None:
    alone, both = tmp_path / "alone", tmp_path / "both"
    recipe = ["discriminator=projected", "adversarial=hinge", "lambda_perceptual=10"]
    more = [part for setting in recipe for part in ("--set", setting)]
    for world, run in ((1, alone), (2, both)):
        trained(forks, world, command(run, data, 3, *more))
    # Three steps: hinge has corners, over which later steps part by more than rounding.
    for mine, theirs in zip(losses(alone), losses(both), strict=True):
        assert mine == pytest.approx(theirs, rel=2e-3, abs=2e-3)
    one, two = (load_file(run / "model" / "model.safetensors") for run in (alone, both))
    apart = torch.cat([(weights - two[name]).abs().flatten() for name, weights in one.items()])
    print(f"weights differ by {apart.mean():.1e} on average, {apart.max():.1e} at most")
    assert apart.mean() < 2e-5


def test_two_processes_train_what_one_trains(data: Path, tmp_path: Path, forks: ForkServer) -> None:
    alone, both, parts = (tmp_path / name for name in ("alone", "both", "parts"))
    trained(forks, 1, command(alone, data, 12))
    said = launched(2, command(both, data, 12))
    assert [json.loads(x)["model"] for x in said.stdout.splitlines() if x.startswith("{")] == [
        str(both / "model")
    ]  # one writer
    for mine, theirs in zip(losses(alone), losses(both), strict=True):
        assert mine == pytest.approx(theirs, rel=2e-3, abs=2e-4)
    one, two = (load_file(run / "model" / "model.safetensors") for run in (alone, both))
    # Adam makes steps of rounding where a gradient is none, so weights agree but for a few.
    apart = torch.cat([(weights - two[name]).abs().flatten() for name, weights in one.items()])
    print(f"weights differ by {apart.mean():.1e} on average, {apart.max():.1e} at most")
    assert apart.mean() < 2e-5

    # Stopped in the middle and gone on with by as many processes: the same to the bit.
    trained(forks, 2, command(parts, data, 6))
    trained(forks, 2, command(parts, data, 12, "--resume"))
    again = load_file(parts / "model" / "model.safetensors")
    assert all(torch.equal(weights, again[name]) for name, weights in two.items())
    assert losses(parts) == losses(both)


def test_every_process_gets_its_share_of_every_batch(data: Path) -> None:
    config = TrainConfig(size=64, jitter=4)
    dataset = PairDataset(data, "train", config)
    assert [steps_per_epoch(10, 4, world) for world in (1, 2, 4)] == [3, 3, 2]

    def pictures(rank: int, world: int) -> list[torch.Tensor]:
        shares = batches(dataset, 4, 0, 0, rank, world)
        return [next(shares)[0] for _ in range(steps_per_epoch(10, 4, world))]

    for whole, first, second in zip(pictures(0, 1), pictures(0, 2), pictures(1, 2)):
        assert torch.equal(torch.stack([first, second], 1).flatten(0, 1), whole)


def test_batches_that_cannot_be_shared_are_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "pix2pix.training.loop.join_group", lambda device: ProcessGroup(device, 0, 2)
    )
    config = TrainConfig(size=64, jitter=4, ngf=4, ndf=4, batch_size=3)
    with pytest.raises(UserError, match="evenly"):
        run_loop(tmp_path / "run", data, config, device=torch.device("cpu"))


def test_a_run_goes_on_with_as_many_processes_as_it_had(data: Path, tmp_path: Path) -> None:
    config = TrainConfig(size=64, jitter=4, ngf=4, ndf=4, layers=1, batch_size=4, steps=1)
    run, cpu = tmp_path / "run", torch.device("cpu")
    run_loop(run, data, config, device=cpu)
    trainer = Trainer(config, cpu)
    with pytest.raises(UserError, match=r"by 1 process: .*`python scripts/train.py --resume"):
        restore_state(run, trainer, ProcessGroup(cpu, 0, 2))

    state = load_state(run)
    save_state(run, {**state, "random": state["random"] * 2})
    for rank in (0, 1):
        assert restore_state(run, trainer, ProcessGroup(cpu, rank, 2)) == 1
    assert main(run) == 1  # as Resume does on the page, which shows the sentence of the status
    status = read_status(run)
    assert status.state == "failed" and "\n" not in status.sentence
    assert "2 processes" in status.sentence and "torchrun --nproc-per-node 2" in status.sentence
