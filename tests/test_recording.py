"""What a run writes while it trains, and that writing it changes nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from drawn_pairs import draw_dataset

from pix2pix.config import TrainConfig
from pix2pix.curves import read_rows
from pix2pix.data import PairDataset
from pix2pix.errors import UserError
from pix2pix.recording import Recorder, generate, tensorboard
from pix2pix.runs import best
from pix2pix.trainer import Trainer
from pix2pix.training import train

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = TrainConfig(size=64, ngf=4, ndf=4, jitter=4, steps=9, save_every_steps=3, ema=0.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_dataset(tmp_path_factory.mktemp("recording") / "data", train=3, val=4)


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(folder, data, SMALL, device=CPU)
    return folder


def test_each_saved_model_is_measured_on_the_validation_pairs(run: Path, data: Path) -> None:
    rows = read_rows(run / "validation.jsonl")
    assert [row["step"] for row in rows] == [3, 6, 9] and [r["epoch"] for r in rows] == [0, 1, 2]
    assert {"l1", "psnr", "ssim", "train_l1", "spread"} <= set(rows[-1])
    losses = read_rows(run / "metrics.jsonl")
    assert rows[1]["train_l1"] == pytest.approx(sum(r["g_l1"] for r in losses[3:6]) / 6)
    # The last model's L1, computed here from the pictures that it makes.
    trainer = Trainer(SMALL, CPU)
    state = torch.load(run / "state.pt", weights_only=True)
    trainer.load_state_dict(state["trainer"])
    pairs = [PairDataset(data, "val", SMALL).plain(i) for i in range(4)]
    made = generate(trainer, torch.stack([source for source, _ in pairs]))
    eight = [((x + 1) * 127.5).round() for x in (made, torch.stack([t for _, t in pairs]))]
    assert rows[-1]["l1"] == pytest.approx(float((eight[0] - eight[1]).abs().mean() / 255))
    measure = "perceptual" if "perceptual" in rows[0] else "l1"
    assert best(run).step == min(rows, key=lambda row: row[measure])["step"]


def test_looking_changes_nothing(data: Path, run: Path, tmp_path: Path) -> None:
    seldom = tmp_path / "seldom"
    train(seldom, data, SMALL.__class__(**{**vars(SMALL), "save_every_steps": 100}), device=CPU)
    one, two = (torch.load(r / "state.pt", weights_only=True)["trainer"] for r in (run, seldom))
    for part in ("generator", "discriminator", "average"):
        assert all(torch.equal(value, two[part][name]) for name, value in one[part].items())


def test_validations_take_a_small_share_of_the_time(data: Path, tmp_path: Path) -> None:
    dataset = PairDataset(data, "train", SMALL)
    recorder = Recorder(tmp_path, Trainer(SMALL, CPU), dataset, data)
    recorder.losses(1, 0, {"g_l1": 0.5})
    recorder.started -= 1000.0
    for spent, rows in ((21.0, 0), (19.0, 1)):  # seconds of 1000
        recorder.spent = spent
        recorder.epoch_ended(1, 0)
        assert len(read_rows(tmp_path / "validation.jsonl")) == rows
    recorder.close()


def test_tensorboard_files_are_written_on_request(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(tmp_path / "run", data, SMALL.__class__(**{**vars(SMALL), "tensorboard": True}),
          device=CPU)  # fmt: skip
    seen = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    written = [event.value for event in seen.Scalars("loss/g_l1")]
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert written == pytest.approx([row["g_l1"] for row in rows])
    assert len(seen.Scalars("validation/l1")) == 3


def test_tensorboard_that_is_absent_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        tensorboard(tmp_path)
