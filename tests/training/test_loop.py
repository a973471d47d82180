"""The training step against plain PyTorch, the run folder, resuming, and the data it reads."""

from __future__ import annotations

import copy
import json
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from filelock import FileLock, Timeout
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from pix2pix.config import TrainConfig, train_config
from pix2pix.errors import UserError
from pix2pix.models.folder import load_model, read_config
from pix2pix.training import run_control, run_folder
from pix2pix.training.checkpoints import list_checkpoints
from pix2pix.training.diagnostics import diagnose
from pix2pix.training.loop import TrainProgress, run_loop
from pix2pix.training.resolve_config import RunSettings
from pix2pix.training.saved_state import load_state
from pix2pix.training.train import main, train_run
from pix2pix.training.trainer import NonFiniteLoss, Trainer, learning_rate
from tests.support.fork_server import ForkServer
from tests.support.models_and_servers import load_script, save_tiny_model, tiny_config

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
SMALL = TrainConfig(size=64, ngf=4, ndf=4, jitter=6, precision="float32", save_every_steps=1000)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five training and two validation A|B strips, each half with a picture of its own."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        (folder / split).mkdir()
        for i in range(count):
            small = rng.integers(0, 256, (4, 8, 3), dtype=np.uint8)
            Image.fromarray(small).resize((140, 70)).save(folder / split / f"{i}.png")
    return folder


# ------------------------------------------------------------------------------------- the step


def pictures(seed: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("preset", ["maps", "cityscapes"])
def test_the_step_is_that_of_the_paper(preset: str) -> None:
    overrides = {"size": "64", "ndf": "4", "precision": "float32"}
    config = train_config(preset, overrides, {"ngf": 4})
    trainer = Trainer(config, CPU)
    # In float64: biases before a norm have gradients of rounding noise, and Adam scales float32's
    # up to whole steps.
    trainer.generator.double()
    trainer.discriminator.double()
    generator, judge = map(copy.deepcopy, (trainer.generator, trainer.discriminator))
    adam = {"lr": 2e-4, "betas": (0.5 if preset == "maps" else 0.9, 0.999)}
    weight, l1 = (0.5, 100) if preset == "maps" else (1.0, 10)
    g_adam = torch.optim.Adam(generator.parameters(), foreach=False, **adam)
    d_adam = torch.optim.Adam(judge.parameters(), foreach=False, **adam)
    bce = nn.BCEWithLogitsLoss()
    for step in range(2):
        source, target = pictures(2 * step).double(), pictures(2 * step + 1).double()
        torch.manual_seed(step)  # dropout
        losses = trainer.step(source, target)

        torch.manual_seed(step)
        fake = generator(source)
        real_logits, fake_logits = judge(source, target), judge(source, fake.detach())
        d_real = bce(real_logits, torch.ones_like(real_logits))
        d_fake = bce(fake_logits, torch.zeros_like(fake_logits))
        d_adam.zero_grad()
        (weight * (d_real + d_fake)).backward()
        d_adam.step()
        logits = judge(source, fake)
        g_adversarial = bce(logits, torch.ones_like(logits))
        g_l1 = (fake - target).abs().mean()
        g_adam.zero_grad()
        (g_adversarial + l1 * g_l1).backward()
        g_adam.step()

        expected = {
            "d_real": d_real, "d_fake": d_fake, "g_adversarial": g_adversarial, "g_l1": g_l1
        }  # fmt: skip
        assert losses == pytest.approx({k: v.item() for k, v in expected.items()}, abs=1e-9)
    for ours, plain in ((trainer.generator, generator), (trainer.discriminator, judge)):
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, atol=1e-8, rtol=0)


def test_the_average_follows_its_formula() -> None:
    trainer = Trainer(replace(SMALL, ema=0.25), CPU)
    expected = None
    for step in range(5):
        trainer.step(pictures(step), pictures(step + 9))
        now = [p.detach().clone() for p in trainer.generator.parameters()]
        decay = min(0.25, (1 + step) / (10 + step))  # 2/11, 3/12, 0.25, 0.25
        expected = now if expected is None else [
            decay * mean + (1 - decay) * value for mean, value in zip(expected, now)
        ]  # fmt: skip
    average = trainer.current_generator()
    assert average is not trainer.generator
    for mean, value in zip(average.parameters(), expected):
        torch.testing.assert_close(mean, value, atol=1e-7, rtol=1e-5)
    for mean, value in zip(average.buffers(), trainer.generator.buffers()):
        assert torch.equal(mean, value)


def test_the_learning_rate_falls_linearly_at_the_end() -> None:
    config = replace(SMALL, lr=1.0, decay=0.5)
    rates = [learning_rate(config, step, 100) for step in (0, 49, 50, 75, 99)]
    assert rates == pytest.approx([1.0, 1.0, 1.0, 0.5, 0.02])
    assert {learning_rate(replace(config, decay=0.0), step, 100) for step in range(100)} == {1.0}


# -------------------------------------------------------------------------------- run and resume


def weights(run: Path) -> dict[str, torch.Tensor]:
    """All that a run would go on with: both networks and both optimisers."""
    found = {}
    for part, state in load_state(run)["trainer"].items():
        values = state["state"] if "optimizer" in part else {"": state}
        for key, entry in values.items():
            found |= {f"{part} {key} {name}": value for name, value in entry.items()}
    return found


def assert_same_weights(run: Path, other: Path) -> None:
    ours, theirs = weights(run), weights(other)
    assert ours.keys() == theirs.keys() and len(ours) > 50
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_resuming_continues_bit_for_bit(pairs: Path, tmp_path: Path) -> None:
    config = replace(
        SMALL, steps=9, batch_size=2, warp=0.5, decay=0.5, ema=0.9,
        save_every_steps=4, sample_every_steps=3,
    )  # fmt: skip
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    run_loop(straight, pairs, config, device=CPU)
    done: list[TrainProgress] = []
    run_loop(broken, pairs, config, device=CPU, on_progress=done.append,
          should_stop=lambda: len(done) == 5)  # fmt: skip
    assert [p.step for p in done] == [1, 2, 3, 4, 5]
    torch.manual_seed(123)  # a new process begins with another state of the generator
    run_loop(broken, pairs, config, device=CPU, resume=True)
    assert_same_weights(broken, straight)
    assert [row["step"] for row in lines(broken)] == list(range(1, 10))
    assert lines(broken) == lines(straight)
    for picture in ("step-0000003.png", "step-0000006.png", "step-0000009.png"):
        shown = [(run / "samples" / picture).read_bytes() for run in (straight, broken)]
        assert shown[0] == shown[1]
    kept, shown = (
        {file.stem for file in (broken / name).iterdir()} for name in ("checkpoints", "samples")
    )
    assert "step-0000005" in kept <= shown  # that of the stop and of the save after four, too


def command(data: Path, run: Path, *more: str) -> list[str]:
    settings = ["size=64", "ndf=4", "jitter=6", "precision=float32", "decay=0.5",
                "save_every_steps=10", "sample_every_steps=20", "keep_every_epochs=0"]  # fmt: skip
    settings += [] if "cityscapes" in more else ["ngf=4"]  # which has widths of its own
    more = more if {"--preset", "--resume"} & {*more} else ("--preset", "maps", *more)
    sets = [word for setting in settings for word in ("--set", setting)]
    script = [sys.executable, str(ROOT / "scripts" / "train.py"), "--device", "cpu"]
    return [*script, "--data", str(data), "--run", str(run), *sets, *more]


def wait_for_line(run: Path, step: int, process: psutil.Process) -> None:
    limit = time.monotonic() + 120
    while time.monotonic() < limit and process.is_running():
        metrics = run / "metrics.jsonl"
        if metrics.exists() and metrics.read_bytes().count(b"\n") >= step:
            return
        time.sleep(0.01)
    process.kill()
    pytest.fail(f"no step {step} in time")


@pytest.mark.parametrize("what", ["loss", "weight"])
def test_what_is_no_number_stops_the_run_and_the_last_state_is_whole(
    what: str, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, config = tmp_path / "run", replace(SMALL, steps=6, save_every_steps=2)
    step, steps = Trainer.step, []

    def breaks(trainer: Trainer, *pair: torch.Tensor) -> dict[str, float]:
        steps.append(step(trainer, *pair))
        if len(steps) == 4 and what == "loss":
            raise NonFiniteLoss({"d_real": math.nan, "d_fake": 0.7})
        if len(steps) == 4:  # by an update after losses that were fine
            next(trainer.generator.parameters()).data.view(-1)[0] = math.inf
        return steps[-1]

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", breaks)
        with pytest.raises(UserError, match="not a number any more: fine-tune"):
            run_loop(run, pairs, config, device=CPU)
    assert load_state(run)["step"] == 2 and len(lines(run)) == 4
    told = diagnose(lines(run), [], {})
    assert (told.level == "failed" and "d_real is nan at step 4" in told.evidence) == (
        what == "loss"
    )
    run_loop(run, pairs, config, device=CPU, resume=True)
    assert [row["step"] for row in lines(run)] == [*range(1, 7)]
    assert math.isfinite(lines(run)[3]["d_real"])


def test_a_run_is_stopped_killed_and_resumed(
    pairs: Path, tmp_path: Path, forks: ForkServer
) -> None:
    run = tmp_path / "run"
    arguments = command(pairs, run, "--steps", "80")

    with forks.running(arguments) as (process, wait):
        wait_for_line(run, 3, process)
        process.terminate()
        done = wait()
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last == {"model": str(run / "model"), "stopped": True}
    stopped = load_state(run)["step"]
    assert 3 <= stopped < 80 and [row["step"] for row in lines(run)] == [*range(1, stopped + 1)]
    load_model(run / "model")

    with forks.running(command(pairs, run, "--steps", "80", "--resume")) as (process, wait):
        wait_for_line(run, stopped + 13, process)
        process.kill()
        assert wait().returncode == -signal.SIGKILL
    assert load_state(run)["step"] >= 10
    load_model(run / "model")

    again = [*arguments[:2], "--run", str(run), "--resume"]  # the run knows its own settings
    done = forks.run(again)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["stopped"] is False
    config = json.loads((run / "config.json").read_text())
    assert (config["steps"], config["ngf"], config["data"]) == (80, 4, str(pairs))
    rows = {row["step"]: row for row in lines(run)}
    assert [*rows] == [*range(1, 81)]
    assert rows[1].keys() == {"step", "epoch", "d_real", "d_fake", "g_adversarial", "g_l1"}
    samples = sorted(file.name for file in (run / "samples").iterdir())
    shown = {stopped, *range(10, 81, 10)}  # every 20 steps, and of every model
    assert samples == [f"step-{step:07d}.png" for step in sorted(shown)]
    grid = Image.open(run / "samples" / samples[0])
    assert grid.size == (2 * 64 + 4, 3 * 64 + 2 * 4)  # two pairs of val; source, generated, target
    files = sorted(file.name for file in (run / "model").iterdir())
    assert files == ["README.md", "config.json", "model.onnx", "model.safetensors"]

    overrides = {"size": "64", "ngf": "4", "ndf": "4", "jitter": "6", "precision": "float32",
                 "decay": "0.5", "steps": "80"}  # fmt: skip
    run_loop(tmp_path / "straight", pairs, train_config("maps", overrides), device=CPU)
    assert_same_weights(run, tmp_path / "straight")


@pytest.fixture
def train_main(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """scripts/train.py's main, in this process; returns the exit code."""
    script = load_script("train")
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def main(words: list[str]) -> int:
        monkeypatch.setattr(sys, "argv", words[1:])
        try:
            return script.main()
        except SystemExit as stop:
            return stop.code

    yield main
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_a_network_for_any_size_goes_on_at_another(
    pairs: Path, tmp_path: Path, train_main: Callable
) -> None:
    small = ["--preset", "cityscapes", "--steps", "1", "--set", "batch_size=1"]
    assert train_main(command(pairs, tmp_path / "first", *small)) == 0
    further = [*small, "--set", "size=128", "--set", "lr=0"]
    further += ["--from", str(tmp_path / "first" / "model")]
    assert train_main(command(pairs, tmp_path / "larger", *further)) == 0
    models = [tmp_path / run / "model" for run in ("first", "larger")]
    before, after = (load_file(model / "model.safetensors") for model in models)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert [read_config(model).generator.size for model in models] == [64, 128]


def test_fine_tuning_starts_from_the_model(pairs: Path, tmp_path: Path) -> None:
    run_loop(tmp_path / "first", pairs, replace(SMALL, steps=2), device=CPU)
    start = tmp_path / "first" / "model"
    still = replace(SMALL, steps=1, lr=0.0)
    run_loop(tmp_path / "second", pairs, still, device=CPU, start_from=start)
    before, after = (load_file(f / "model.safetensors") for f in (start, tmp_path / "second/model"))
    convolutions = [name for name, value in before.items() if value.ndim == 4]
    assert all(torch.equal(before[name], after[name]) for name in convolutions)
    with pytest.raises(UserError, match="another network"):
        run_loop(tmp_path / "x", pairs, replace(still, ngf=8), device=CPU, start_from=start)


def test_a_run_stopped_before_its_first_step_has_the_model_it_began_with(
    pairs: Path, tmp_path: Path
) -> None:
    model = save_tiny_model(tmp_path / "m")
    config = replace(SMALL, ema=0.99, steps=3)
    run_loop(tmp_path / "run", pairs, config, device=CPU, start_from=model,
             should_stop=lambda: True)  # fmt: skip
    files = (folder / "model.safetensors" for folder in (model, tmp_path / "run" / "model"))
    before, after = map(load_file, files)
    assert before.keys() == after.keys()
    assert all(
        torch.equal(after[name], value.to(after[name].dtype)) for name, value in before.items()
    )


def test_the_network_comes_with_the_model_to_start_from(
    pairs: Path, tmp_path: Path, train_main: Callable, capsys: pytest.CaptureFixture
) -> None:
    """Its channels too: pairs in colour are turned grey for a model of grey pictures."""
    network = {"source_channels": 1, "norm": "instance", "dropout": "none"}
    model = save_tiny_model(tmp_path / "grey", tiny_config(network))
    words = ["train.py", "--data", str(pairs), "--run", str(tmp_path / "run"), "--device", "cpu",
             "--from", str(model), "--set", "ndf=4", "--steps", "1"]  # fmt: skip
    assert train_main([sys.executable, *words]) == 0
    assert read_config(tmp_path / "run" / "model").generator == read_config(model).generator
    words[4] = str(tmp_path / "other")
    assert train_main([sys.executable, *words, "--set", "ngf=8"]) == 1
    assert "leave ngf out" in capsys.readouterr().err


# ---------------------------------------------------------------------------- the run's folder


def test_a_run_that_saved_no_state_begins_anew(pairs: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True)
    (run / "samples" / "step-0000777.png").write_bytes(b"")
    (run / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n')
    for resume in (False, True):
        run_loop(run, pairs, replace(SMALL, steps=1), device=CPU, resume=resume)
        assert [row["step"] for row in lines(run)] == [1]
    assert [f.name for f in (run / "samples").iterdir()] == ["step-0000001.png"]
    with pytest.raises(UserError, match="holds a run already"):
        run_loop(run, pairs, replace(SMALL, steps=1), device=CPU)


@pytest.mark.parametrize("resume", [False, True])
def test_what_a_run_made_outlives_its_state(pairs: Path, tmp_path: Path, resume: bool) -> None:
    """Somebody deletes the state, which is large: resumed, the run would begin anew over it."""
    run = tmp_path / "run"
    run_loop(run, pairs, replace(SMALL, steps=2), device=CPU)
    (run / "state.pt").unlink()
    files = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match="has a model but no state"):
        run_loop(run, pairs, replace(SMALL, steps=2), device=CPU, resume=resume)
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == files


def test_pictures_of_steps_that_run_again_go(pairs: Path, tmp_path: Path) -> None:
    run, config = tmp_path / "run", replace(SMALL, steps=2, sample_every_steps=1)
    run_loop(run, pairs, config, device=CPU)
    (run / "samples" / "step-0000003.png").write_bytes(b"")  # was killed after that step
    later = replace(config, steps=3, sample_every_steps=100)
    run_loop(run, pairs, later, device=CPU, resume=True, should_stop=lambda: True)
    assert [point.step for point in list_checkpoints(run)] == [1, 2]


def test_a_run_in_the_terminal_is_one_of_the_list(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """It can be paused from the page and gone on with there, and waits for its turn."""
    script, run = load_script("train"), tmp_path / "run"

    class Pausing(script.Bar):
        def __call__(self, progress: TrainProgress) -> None:
            super().__call__(progress)
            with pytest.raises(Timeout):
                FileLock(tmp_path / ".cpu.lock").acquire(blocking=False)
            if progress.step == 3:
                run_control.request_stop(run, "paused")

    monkeypatch.setattr(script, "Bar", Pausing)
    monkeypatch.setattr(script.signal, "signal", lambda *_: None)
    monkeypatch.chdir(pairs.parent)
    words = command(Path(pairs.name), run, "--steps", "9")
    monkeypatch.setattr(sys, "argv", words[1:])
    before = time.time()
    assert script.main() == 0
    status = run_folder.read_status(run)
    assert (status.state, status.step, status.per_epoch) == ("paused", 3, 5)
    assert status.started >= before
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["stopped"] is True
    assert status.config["data"] == str(pairs)  # found from anywhere
    assert main(run) == 0  # as the app's own process goes on
    assert [row["step"] for row in lines(run)] == list(range(1, 10))


def test_the_terminal_tells_of_a_run_that_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    bar = load_script("train").Bar(tmp_path, SMALL)
    won = {"d_real": 0.001, "d_fake": 0.001, "g_adversarial": 9.0, "g_l1": 0.4}
    even = {"d_real": 0.6, "d_fake": 0.6, "g_adversarial": 0.9, "g_l1": 0.4}
    for step in range(1, 2501):
        losses = even if step <= 500 else won
        bar(TrainProgress(step, 2500, 0, 10_000, losses, 1.0))
    bar.close()
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Step ")]
    assert [line.split(":")[0] for line in said] == ["Step 1,000", "Step 2,500"]
    assert "discriminator" in said[-1]


def test_a_longer_run_in_epochs_forgets_its_steps(
    pairs: Path, tmp_path: Path, train_main: Callable
) -> None:
    run = tmp_path / "run"
    assert train_main(command(pairs, run, "--steps", "3")) == 0
    assert train_main(command(pairs, run, "--resume", "--epochs", "1")) == 0
    assert len(lines(run)) == 5


def test_a_resumed_run_keeps_the_model_it_began_with(
    pairs: Path, tmp_path: Path, train_main: Callable
) -> None:
    model = save_tiny_model(tmp_path / "mine")
    run = tmp_path / "run"
    assert train_main(command(pairs, run, "--steps", "1", "--from", str(model))) == 0
    (model / "model.safetensors").unlink()  # not needed again
    words = command(pairs, run, "--resume", "--steps", "2")
    assert train_main(words) == 0
    assert json.loads((tmp_path / "run/config.json").read_text())["start_from"] == str(model)
    assert train_main([*words, "--preset", "maps"]) == 2


def test_a_place_that_cannot_be_written_is_one_sentence(
    pairs: Path, tmp_path: Path, train_main: Callable, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert train_main(command(pairs, tmp_path / "file" / "run")) == 1
    said = capsys.readouterr().err
    assert "could not be saved" in said and "Traceback" not in said


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"),
     RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")],
)  # fmt: skip
def test_memory_that_ran_out_is_said(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("pix2pix.training.train.run_loop", run_out)
    with pytest.raises(UserError, match="lower size, ngf or batch_size"):
        train_run(tmp_path / "run", RunSettings(SMALL, tmp_path, None, CPU))
    assert run_folder.read_status(tmp_path / "run").state == "failed"


# ------------------------------------------------------------------------------- wrong settings


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--set", "ngff=4"], 1, "There is no setting 'ngff': did you mean ngf?"),
        (["--set", "zzz=4"], 1, "There is no setting 'zzz': choose from"),
        (["--data", "absent"], 1, "There is no folder 'absent'"),
        (["--set", "lr=fast"], 1, "lr must be a number"),
        (["--set", "lr=nan"], 1, "lr must be from"),
        (["--set", "size=100"], 1, "Size must be"),
        (["--set", "size=0"], 1, "must be"),
        (["--set", "layers=6"], 1, "layers"),
        (["--set", "generator=vae"], 1, "generator must be one of"),
        (["--device", "abacus"], 1, "not available"),
        (["--from", "absent"], 1, "There is no model 'absent'"),
        (["--resume"], 1, "is not that of a run"),
        (["--set", "ngf"], 2, "key=value"),
        (["--preset", "nope"], 2, "invalid choice"),
        (["--steps", "5", "--epochs", "2"], 2, "not both"),
        (["--steps", "many"], 2, "invalid count"),
        (["--epochs", "0"], 2, "must be 1 or more"),
    ],
)
def test_wrong_settings_are_refused_in_a_sentence(
    more: list[str], code: int, says: str, pairs: Path, tmp_path: Path,
    train_main: Callable, capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    assert train_main(command(pairs, tmp_path / "run", *more)) == code
    last = capsys.readouterr().err.splitlines()
    told = [line for line in last if not line.startswith("Look at ")]  # noise has no seams
    assert says in told[-1] and (code == 2 or len(told) == 1)
    assert not (tmp_path / "run" / "model").exists()


def test_a_folder_without_pairs_is_refused(
    tmp_path: Path, train_main: Callable, capsys: pytest.CaptureFixture
) -> None:
    assert train_main(command(tmp_path, tmp_path / "run")) == 1
    assert "holds no pictures in train/" in capsys.readouterr().err


def test_a_used_run_folder_is_refused(
    pairs: Path, tmp_path: Path, train_main: Callable, capsys: pytest.CaptureFixture
) -> None:
    words = command(pairs, tmp_path / "run", "--steps", "1")
    assert train_main(words) == 0
    capsys.readouterr()
    assert train_main(words) == 1
    assert "holds a run already" in capsys.readouterr().err
    again = command(pairs, tmp_path / "run", "--steps", "1", "--resume", "--set", "ngf=8")
    assert train_main(again) == 1
    assert "another network" in capsys.readouterr().err
