"""The Train tab as people and programs use it: the real app, killed and found again."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import psutil
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from pix2pix.config import train_config
from pix2pix.errors import UserError
from pix2pix.evaluation.evaluate import Evaluation, evaluate
from pix2pix.imaging.decode import from_data_url
from pix2pix.models.translator import Translator
from pix2pix.nn.device import pick_device
from pix2pix.presets import PRESETS
from pix2pix.training import run_control, run_folder
from pix2pix.training.metrics_log import Curves, read_jsonl
from pix2pix.ui.train import evaluate as train_evaluate
from pix2pix.ui.train import watch as train_watch
from pix2pix.ui.train.form import PRESET_TEXTS, TrainForm, format_memory_need, settings_table
from pix2pix.ui.train.launch import read_overrides, run_settings, start_run
from pix2pix.ui.train.live_view import handle_action, load_sample
from pix2pix.ui.train.watch import SLOT, RunWatcher, format_pace, run_facts
from pix2pix.utils.text import format_duration
from tests.support.drawn_pairs import draw_dataset
from tests.support.fork_server import ForkServer
from tests.support.models_and_servers import (
    connected,
    free_port,
    save_tiny_model,
    tiny_config,
    traces,
    until,
)

ROOT = Path(__file__).resolve().parents[2]
PAD = "document.querySelector('.pad').parentElement.pad"
TINY = {"size": 64, "jitter": 4, "ngf": 4, "ndf": 4, "layers": 1}
ENDLESS = {**TINY, "steps": 1_000_000, "save_every_steps": 10_000, "sample_every_steps": 10}
ENDLESS |= {"keep_every_epochs": 0}
# It begins with a z, lest its dataset be the first and so the chosen one.
HOSTILE = "z<img src=x onerror=hit=1>${window.hit=1}{{value}}`"


def named_dataset(folder: Path, train: int = 6, val: int = 2) -> Path:
    draw_dataset(folder, train=train, val=val)
    names = {"source_name": "labels", "target_name": "photos"}
    (folder / "dataset.json").write_text(json.dumps(names))
    return folder


# ------------------------------------------------------------------------------------ the real app


class App:
    """`python app.py`, which can be killed and started again on the same port; it and its runs are
    forks, which start at once."""

    def __init__(self, folder: Path, forks: ForkServer) -> None:
        self.forks, self.folder, self.workspace = forks, folder, folder / "workspace"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        environment = {**os.environ, "PIX2PIX_WORKSPACE": str(self.workspace)}
        environment["GRADIO_TEMP_DIR"] = str(self.folder / "gradio")
        command = [sys.executable, str(ROOT / "app.py"), "--port", str(self.port)]
        pid = self.forks.start(command, env=environment, out=str(self.log))
        self.process = psutil.Process(pid)
        until(self.answers, 120)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def answers(self) -> bool:
        assert self.process.is_running(), self.log.read_text()
        try:
            with urllib.request.urlopen(self.url, timeout=5):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def run(self, name: str) -> Path:
        return self.workspace / "runs" / name

    def status(self, name: str) -> run_folder.Status:
        return run_folder.read_status(self.run(name))

    def end_runs(self) -> None:
        for run in (self.workspace / "runs").glob("*/"):
            run_control.force_stop(run, patience=0.0)


@contextmanager
def started_app(folder: Path, forks: ForkServer) -> Iterator[App]:
    """Its workspace holds the dataset "blocks"."""
    named_dataset(folder / "workspace" / "datasets" / "blocks")
    app = App(folder, forks)
    try:
        yield app
    finally:
        app.kill()
        app.end_runs()
    assert not traces(app.log.read_text())


@pytest.fixture()
def new_app(tmp_path: Path, forks: ForkServer) -> Iterator[App]:
    with started_app(tmp_path, forks) as app:
        yield app


@pytest.fixture(scope="module")
def one_app(tmp_path_factory: pytest.TempPathFactory, forks: ForkServer) -> Iterator[App]:
    with started_app(tmp_path_factory.mktemp("app"), forks) as app:
        yield app


@pytest.fixture()
def app(one_app: App) -> Iterator[App]:
    """With what other tests left there, but for runs that go on: the next would wait for them."""
    yield one_app
    one_app.end_runs()


@pytest.fixture()
def client(app: App) -> Client:
    return connected(app.url)


@pytest.fixture()
def open_page(visit: Callable[..., Any]) -> Callable[..., Any]:
    """Opens an app's Train tab as another visitor each time."""

    def opened(app: App, width: int = 1280, theme: str = "light") -> Any:
        page = visit(f"{app.url}?__theme={theme}", width)
        page.get_by_role("tab", name="Train").click()
        return page

    return opened


def settled(page: Any, run: str, word: str) -> None:
    page.wait_for_function(
        "([run, word]) => document.querySelector('#live .head .name')?.textContent === run"
        " && document.querySelector('#live .state b').textContent.startsWith(word)",
        arg=[run, word],
    )


def step_shown(page: Any) -> int:
    text = page.locator("#live .facts dd").first.inner_text()
    return int(text.split(" of ")[0].replace(",", ""))


def stop(app: App, name: str) -> None:
    run_control.request_stop(app.run(name))
    until(lambda: not app.status(name).is_active)


@pytest.mark.browser
def test_a_run_outlives_the_page_and_the_app_and_its_model_translates(
    new_app: App, open_page: Callable[..., Any]
) -> None:
    app = new_app
    page = open_page(app)
    page.get_by_text("Runs appear here.").wait_for()
    page.locator("#train-preview img").nth(3).wait_for()
    page.get_by_text("8 pairs: 6 train, 2 val, 0 test.").wait_for()
    page.get_by_text("labels to photos").wait_for()
    page.get_by_text("6 train pairs, 100 times: 600 steps. About").wait_for()
    page.wait_for_function("document.querySelector('#run-name input, #run-name textarea').value")
    page.locator("#train-size input").click()
    page.get_by_role("option", name="64", exact=True).click()
    page.locator("#more-settings button").first.click()
    page.locator("#width input").fill("4")
    page.locator("#width input").press("Enter")
    lines = [
        f"{key}={value}" for key, value in ENDLESS.items() if key not in ("size", "ngf", "ndf")
    ]
    page.locator("#overrides textarea").fill(
        "\n".join([*lines, "discriminator=patch", "source_kind=drawing"])
    )
    page.locator("#start-training").click()
    settled(page, "blocks", "Running")
    page.locator("#live .charts path.line").first.wait_for()
    page.locator("#live .cells .pair").nth(1).wait_for()
    left_open = open_page(app)
    settled(left_open, "blocks", "Running")
    page.close()

    app.kill()
    left_open.get_by_text("The app does not answer.").wait_for()
    # Gradio loads a page again only if the app died while it had work for that page; without this
    # help the tab finds the run again as well.
    left_open.route("**/app_id", lambda route: route.abort())
    before = app.status("blocks").step
    app.start()
    left_open.get_by_text("The app does not answer.").wait_for(state="hidden")
    until(lambda: step_shown(left_open) > before)
    left_open.unroute("**/app_id")
    page = left_open
    page.reload()  # the tab that was open stays open
    settled(page, "blocks", "Running")
    page.locator("#live .cells .pair").nth(1).wait_for()
    until(lambda: step_shown(page) > before)

    page.locator("#live [data-action=stop]").click()
    settled(page, "blocks", "Stopped")
    page.locator("#live [data-action=resume]").wait_for()
    page.locator("#live .as input").fill("my blocks")
    page.locator("#live [data-publish]").first.click()
    page.get_by_text("'my blocks' is in the Translate tab now.").wait_for()
    page.locator("#live .open").click()
    page.wait_for_selector("#models .card[data-name='my blocks'][aria-pressed=true]")
    page.wait_for_function(f"{PAD} && {PAD}.idle()")
    count = page.evaluate(f"{PAD}.shownCount")
    page.locator(".pad .paper").click()
    page.wait_for_function(f"{PAD}.idle() && {PAD}.shownCount > {count}")
    shown = page.evaluate("document.querySelector('.pad canvas.picture').toDataURL('image/png')")
    colours = from_data_url(shown, 10_000_000).convert("RGB").getcolors(100_000)
    assert colours is None or len(colours) > 16

    # Its own network is a place to begin: size and width come with it.
    page.get_by_role("tab", name="Train").click()
    page.locator("#live [data-action=finetune]").click()
    page.locator("#more-settings button").first.click()
    page.locator("#width input").wait_for()
    page.wait_for_function(
        "document.querySelector('#start-from input').value.includes('run: blocks')"
        " && document.querySelector('#width input').disabled"
    )


def test_the_api_starts_queues_stops_and_tells(app: App, client: Client) -> None:
    def status(run: str) -> dict[str, Any]:
        return client.predict(run=run, api_name="/training_status")

    def reaches(run: str, state: str) -> None:
        until(lambda: app.status(run).state == state)  # a file is read with less work
        until(lambda: status(run)["state"] == state)

    save_tiny_model(app.workspace / "models" / "tiny")
    asked = {"dataset": "blocks", "preset": "maps", "api_name": "/start_training"}
    free = client.predict(**asked, settings=ENDLESS)["run"]
    assert free.startswith("blocks")
    reaches(free, "running")
    settings = {"layers": 1, "jitter": 4, "ndf": 4, "steps": 5}
    tuned = client.predict(**asked, name="tuned", settings=settings, start_from="tiny")
    assert tuned == {"run": "tuned"}
    reaches("tuned", "queued")
    assert status("tuned")["ahead"] == 1
    everything = client.predict(run="", api_name="/training_status")["runs"]
    assert [run["run"] for run in everything][:2] == ["tuned", free]
    client.predict(run=free, pause=True, api_name="/stop_training")
    reaches(free, "paused")
    assert len(status(free)["models"]) == 1
    reaches("tuned", "finished")
    told = status("tuned")
    assert (told["step"], told["steps"], told["seconds_left"]) == (5, 5, None)
    config = json.loads((app.run("tuned") / "config.json").read_text())
    assert (config["source_name"], config["target_name"]) == ("labels", "photos")
    assert (config["size"], config["ngf"]) == (64, 4), "those of the model to start from"
    assert client.predict(run="tuned", api_name="/stop_training")["state"] == "finished"


@pytest.mark.browser
def test_a_finished_run_goes_on_for_more_epochs(
    app: App, client: Client, open_page: Callable[..., Any]
) -> None:
    settings = {"size": 64, "ngf": 4, "ndf": 4, "layers": 1, "jitter": 4, "steps": 5}
    started = {"dataset": "blocks", "preset": "maps", "name": "short", "settings": settings}
    client.predict(**started, api_name="/start_training")
    until(lambda: app.status("short").state == "finished")
    page = open_page(app)
    page.locator("#live .card[data-run=short]").click()
    settled(page, "short", "Finished")
    page.locator("#live .more").fill("0")
    page.locator("#live [data-action=extend]").click()
    page.get_by_text("Continue for 1 to").wait_for()
    page.locator("#live .more").fill("2")
    page.locator("#live [data-action=extend]").click()
    until(lambda: app.status("short").step > 5 and app.status("short").state == "finished")
    page.wait_for_function("document.querySelector('#live .facts dd').textContent[0] !== '5'")
    settled(page, "short", "Finished")


@pytest.mark.browser
@pytest.mark.skipif(os.name == "nt", reason="Windows cannot hold a process still")
def test_a_run_that_hangs_is_stopped_by_force_and_can_go_on(
    app: App, client: Client, open_page: Callable[..., Any]
) -> None:
    settings = {**ENDLESS, "save_every_steps": 1}
    client.predict(
        dataset="blocks", preset="maps", name="hung", settings=settings, api_name="/start_training"
    )
    run = app.run("hung")
    until(lambda: app.status("hung").step > 1)
    page = open_page(app)
    page.locator("#live .card[data-run=hung]").click()
    settled(page, "hung", "Running")
    os.kill(json.loads((run / "process.json").read_text())["pid"], signal.SIGSTOP)
    page.locator("#live [data-action=stop]").click()
    until((run / "stop").exists)
    assert page.locator("#live [data-action=force]").count() == 0
    os.utime(run / "stop", (time.time() - 60,) * 2)  # as if it had been asked for long ago
    page.locator("#live [data-action=force]").click()
    settled(page, "hung", "Stopped")
    assert not run_folder.is_alive(run)
    before = app.status("hung").step
    page.locator("#live [data-action=resume]").click()
    until(lambda: app.status("hung").step > before)
    stop(app, "hung")


def test_the_legend_of_the_figures_says_when_kid_is_noise() -> None:
    said = train_evaluate.format_results(
        {"faces": Evaluation({"perceptual": 1.0, "kid": 300.0, "images": 6})}
    )
    assert said.startswith("Lower is better for L1") and "KID of fewer than 50 pictures" in said


@pytest.mark.browser
def test_models_are_measured_side_by_side(app: App, open_page: Callable[..., Any]) -> None:
    for number, name in enumerate(("first", "second")):
        save_tiny_model(app.workspace / "models" / name, seed=number)
    page = open_page(app)
    page.locator("#train-preview img").first.wait_for()  # the dataset is chosen
    page.locator("#measure > button").click()
    page.locator("#measure-start").click()
    page.get_by_text("Choose the models to measure.").first.wait_for()
    for name in ("first", "second"):
        page.locator("#measured input").click()
        page.get_by_role("option", name=name, exact=True).click()
    page.locator("#measured input").press("Escape")
    page.locator("#measure-start").click()
    page.locator("#rows img").wait_for()
    figures = page.locator("#figures").inner_text().split()
    data, folder = app.workspace / "datasets" / "blocks", app.workspace / "models"
    for name in ("first", "second"):
        own = evaluate(Translator.load(folder / name, "cpu"), data).measures
        place = figures.index(name)
        assert figures[place + 1 : place + 3] == ["2", f"{own['l1']:.4f}"]
    page.wait_for_function("document.querySelector('#measure-start').disabled === false")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dataset": ""}, "Choose a dataset"),
        ({"dataset": "../../etc"}, "There is no dataset '../../etc'"),
        ({"preset": "magic"}, "There is no preset 'magic'"),
        ({"name": "../x"}, "is no name"),
        ({"settings": {"size": 100}}, "Size must be 64"),
        ({"settings": {"magic": 1}}, "There is no setting 'magic'"),
        ({"settings": {"lr": "fast"}}, "lr must be a number"),
        ({"settings": {"epochs": 1.5}}, "epochs must be a whole number"),
        ({"start_from": "/etc"}, "There is no model '/etc' to start from"),
        ({"start_from": "face-sketch", "settings": {"size": 64}}, "leave size out"),
    ],
)
def test_wrong_input_is_answered_with_a_sentence(
    app: App, client: Client, change: dict, words: str
) -> None:
    before = sorted((app.workspace / "runs").glob("*"))
    asked = {"dataset": "blocks", "preset": "maps", "name": "x", "settings": {}, **change}
    with pytest.raises(AppError, match=words) as refused:
        client.predict(**asked, api_name="/start_training")
    assert "Traceback" not in str(refused.value) and str(app.folder) not in str(refused.value)
    assert sorted((app.workspace / "runs").glob("*")) == before


def test_unknown_runs_are_answered_with_a_sentence(client: Client) -> None:
    for call in ("/stop_training", "/training_status"):
        with pytest.raises(AppError, match="There is no run"):
            client.predict(run="../blocks", api_name=call)


@pytest.mark.browser
def test_a_mistake_on_the_page_is_one_sentence(app: App, open_page: Callable[..., Any]) -> None:
    page = open_page(app)
    page.locator("#train-preview img").first.wait_for()
    page.locator("#more-settings button").first.click()
    page.locator("#lr").locator("input, textarea").fill("fast")
    page.locator("#start-training").click()
    page.get_by_text("lr must be a number, not 'fast'").first.wait_for()


@pytest.mark.browser
def test_two_visitors_see_the_same_and_a_queued_run_says_so(
    app: App, client: Client, open_page: Callable[..., Any]
) -> None:
    asked = {"dataset": "blocks", "preset": "maps", "api_name": "/start_training"}
    client.predict(**asked, name="long", settings=ENDLESS)
    until(lambda: app.status("long").state == "running")
    client.predict(**asked, name="waiting", settings=ENDLESS)
    one, other = open_page(app), open_page(app)
    for page in (one, other):
        settled(page, "long", "Running")
    one.locator("#live .card[data-run=waiting]").click()
    settled(one, "waiting", "Waiting behind 1 run")
    one.locator("#live [data-action=stop]").click()
    settled(one, "waiting", "Stopped")
    other.locator("#live [data-action=pause]").click()
    settled(other, "long", "Paused")
    one.locator("#live .card[data-run=long]").click()
    settled(one, "long", "Paused")
    last = read_jsonl(app.run("long") / "metrics.jsonl")[-1]["step"]
    until(lambda: step_shown(one) == step_shown(other) == last)
    other.locator("#live [data-action=resume]").click()
    settled(one, "long", "Running")
    stop(app, "long")
    settled(one, "long", "Stopped")


@pytest.mark.browser
def test_a_dataset_that_was_sent_here_is_chosen(app: App, open_page: Callable[..., Any]) -> None:
    named_dataset(app.workspace / "datasets" / "later", 3, 1)
    page = open_page(app)
    page.get_by_role("tab", name="Dataset").click()
    page.locator('#datasets .card[data-name="later"]').click()
    page.get_by_role("button", name="Train on this dataset").click()
    page.wait_for_function("document.querySelector('#train-dataset input')?.value === 'later'")
    page.get_by_text("4 pairs: 3 train, 1 val, 0 test.").wait_for()
    page.get_by_text("3 train pairs, 100 times: 300 steps.").wait_for()
    assert page.evaluate("sessionStorage.getItem('pix2pix-tab')") == "Train"  # after a reload
    named_dataset(app.workspace / "datasets" / "made-meanwhile", 1, 1)
    page.locator("#train-dataset input").click()  # another, and then the same is sent again
    page.get_by_role("option", name="blocks").click()
    page.wait_for_function("document.querySelector('#train-dataset input').value === 'blocks'")
    page.get_by_role("tab", name="Dataset").click()
    page.locator('#datasets .card[data-name="made-meanwhile"]').wait_for()
    page.get_by_role("button", name="Train on this dataset").click()
    page.wait_for_function("document.querySelector('#train-dataset input').value === 'later'")


@pytest.mark.browser
def test_the_slider_goes_through_time_and_follows_the_newest(
    app: App, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    pictures_run(app.run("pictures"), [10, 20, 30])
    page = open_page(app)
    page.locator("#live .card[data-run=pictures]").click()
    shown = "document.querySelector('#live .cells').dataset.step"
    page.wait_for_function(f"{shown} === '30'")
    add_picture(app.run("pictures"), 40)
    page.wait_for_function(f"{shown} === '40'")
    page.locator("#live .time input").fill("1")
    page.wait_for_function(f"{shown} === '20'")
    add_picture(app.run("pictures"), 50)
    page.wait_for_function("document.querySelector('#live .time input').max === '4'")
    assert page.evaluate(shown) == "20"
    page.locator("#live button.newest").click()
    page.wait_for_function(f"{shown} === '50'")


@pytest.mark.browser
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_and_words_are_inert(app: App, open_page: Callable[..., Any]) -> None:
    run = app.run(HOSTILE.replace("/", ""))
    pictures_run(run, [10], title=HOSTILE)
    named_dataset(app.workspace / "datasets" / run.name, 1, 0)
    run_folder.write_status(run, state="failed", sentence=HOSTILE, started=0.0)
    page = open_page(app)
    page.locator("#live .card").filter(has_text=run.name).click()
    settled(page, run.name, "Failed")
    assert page.locator("#live .sentence").inner_text() == HOSTILE
    page.locator("#train-dataset input").click()
    page.get_by_role("option", name=run.name).click()
    page.get_by_text("1 pair: 1 train, 0 val, 0 test.").wait_for()
    assert page.evaluate("window.hit") is None


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_tab_fits_a_phone(app: App, open_page: Callable[..., Any], theme: str) -> None:
    pictures_run(app.run("phone"), [10, 20])
    page = open_page(app, 390, theme)
    page.locator("#live .card[data-run=phone]").click()
    page.locator("#live .cells .pair").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    run, setup = page.locator("#live .run").bounding_box(), page.locator("#setup").bounding_box()
    assert run["y"] < setup["y"], "the run comes first where both do not fit"


# -------------------------------------------------------------------------------------- the parts


@pytest.fixture()
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(tmp_path))
    named_dataset(tmp_path / "datasets" / "blocks")
    return tmp_path


def add_picture(run: Path, step: int) -> None:
    """A grid of two columns, whose middle row has the colour of its step."""
    sheet = Image.new("RGB", (2 * 32 + 4, 3 * 32 + 8), "white")
    sheet.paste((step, 200, 100), (0, 36, 68, 68))
    (run / "samples").mkdir(exist_ok=True)
    sheet.save(run / "samples" / f".{step}.png")
    os.replace(run / "samples" / f".{step}.png", run / "samples" / f"step-{step:07d}.png")


def pictures_run(run: Path, steps: list[int], title: str = "") -> None:
    """A run that was stopped, with losses, pictures and a model."""
    if run.exists():
        return
    run.mkdir(parents=True)
    for step in steps:
        add_picture(run, step)
    names = ("d_real", "d_fake", "g_adversarial", "g_l1")
    rows = [
        {"step": step + 1, "epoch": 0, **dict.fromkeys(names, 0.5)} for step in range(steps[-1])
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    save_tiny_model(run / "model", tiny_config(title=title))
    (run / "config.json").write_text(json.dumps({"data": "blocks", "epochs": 9, "device": "cpu"}))
    run_folder.write_status(run, state="stopped", step=steps[-1], steps=90, started=1.0)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_ten_watchers_cost_one_reading(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        pictures_run(workspace / "runs" / name, [10])
    read: list[str] = []
    for owner, function in (
        (run_folder, "list_runs"),
        (train_watch, "list_checkpoints"),
        (Curves, "update"),
    ):
        whole = getattr(owner, function)

        def counted(*args: Any, whole: Any = whole, function: str = function) -> Any:
            read.append(function)
            return whole(*args)

        monkeypatch.setattr(owner, function, counted)
    clock = Clock()
    watch = RunWatcher(every=1.0, now=clock)
    start = threading.Barrier(10)

    def look(_: int) -> dict[str, Any]:
        start.wait()
        return watch.look("one", {})

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(look, range(10)))
    assert len({answer.pop("wait") for answer in answers}) == 10, "each in a slot of its own"
    assert all(answer == answers[0] for answer in answers)
    assert read.count("list_runs") == read.count("update") == 1
    looks = read.count("list_checkpoints")
    clock.now = 1.5
    watch.look("one", {})
    assert read.count("list_runs") == read.count("update") == 2
    assert read.count("list_checkpoints") == looks, "no picture and no validation came since"


def test_many_pages_look_more_seldom_and_all_as_often(workspace: Path) -> None:
    pictures_run(workspace / "runs" / "one", [10])
    clock = Clock()
    watch, due, looks = RunWatcher(now=clock), dict.fromkeys(range(10), 0.0), Counter()
    while clock.now < 100:
        page = min(due, key=due.get)
        clock.now = max(clock.now, due[page])
        due[page] = clock.now + max(1.5, watch.look("one", {})["wait"])
        looks[page] += 1
    assert sum(looks.values()) <= 100 / SLOT + 10 and min(looks.values()) >= 18
    clock.now += 60
    assert watch.look("one", {})["wait"] == SLOT, "a page alone need not wait"


def test_only_what_changed_is_sent(workspace: Path) -> None:
    run = workspace / "runs" / "one"
    pictures_run(run, [10])
    clock = Clock()
    watch = RunWatcher(now=clock)
    first = watch.look("", {})
    assert first["run"] == "one"
    assert first["parts"].keys() == {
        *("runs", "status", "about", "curves", "health", "checkpoints", "validation"),
    }
    seen = first["versions"]
    clock.now = 10
    assert watch.look("one", seen)["parts"] == {}
    add_picture(run, 20)
    clock.now = 20
    assert watch.look("one", seen)["parts"].keys() == {"checkpoints"}
    measures = {"l1": 0.1, "psnr": 18.25, "ssim": 0.5, "perceptual": 0.3}
    (run / "validation.jsonl").write_text(json.dumps({"step": 20, "epoch": 1, **measures}) + "\n")
    clock.now = 25
    newer = watch.look("one", seen)["parts"]
    assert measures.items() <= json.loads(newer["checkpoints"])[-1].items()
    columns = {name: [value] for name, value in measures.items()}
    assert columns.items() <= json.loads(newer["validation"]).items()
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 11, "epoch": 0, "d_real": NaN}\n{"step": 12, "epo')
    clock.now = 30
    newer = watch.look("one", seen)["parts"]
    assert {"curves", "health"} <= newer.keys()
    assert json.loads(newer["curves"])["step"][-1] == 11
    assert json.loads(newer["health"])["level"] == "failed"
    with pytest.raises(UserError, match="There is no run 'gone'"):
        watch.look("gone", {})


def test_curves_are_light_however_long_the_run(workspace: Path) -> None:
    run = workspace / "runs" / "long"
    pictures_run(run, [100])
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.writelines(
            f'{{"step": {step}, "epoch": {step // 100}, "d_real": 0.5, "d_fake": 0.4, '
            f'"g_adversarial": 1.5, "g_l1": 0.2}}\n'
            for step in range(101, 20_000)
        )
    watch = RunWatcher(every=0.0)
    parts: dict[str, str] = {}

    def whole() -> bool:
        parts.update(watch.look("long", {})["parts"])
        watch.watched[run].drawn_at = -10.0
        return json.loads(parts["curves"])["step"][-1] == 19_999

    until(whole)
    curves = json.loads(parts["curves"])
    assert len(curves["step"]) <= 400 and len(parts["curves"]) < 40_000


def test_force_is_offered_when_a_stop_takes_long(workspace: Path) -> None:
    run = workspace / "runs" / "slow"
    pictures_run(run, [10])
    run_folder.write_status(run, state="running")
    (run / "process.json").write_text(json.dumps(run_folder.process_identity(psutil.Process())))
    run_control.request_stop(run)
    offered = []
    for age in (0, 60):
        os.utime(run / "stop", (time.time() - age,) * 2)
        offered.append(json.loads(RunWatcher().look("slow", {})["parts"]["status"])["force"])
    assert offered == [False, True]


def test_a_picture_is_packed_without_its_gaps(workspace: Path) -> None:
    run = workspace / "runs" / "one"
    pictures_run(run, [10])
    whole, small = (
        load_sample({"run": "one", "step": 10}),
        load_sample({"run": "one", "small": True}),
    )
    assert whole["count"] == 2
    packed = from_data_url(whole["image"], 1_000_000)
    assert packed.size == (64, 96)
    for place, expected in (
        ((2, 2), (255,) * 3),
        ((2, 34), (10, 200, 100)),
        ((62, 62), (10, 200, 100)),
    ):
        assert packed.getpixel(place) == pytest.approx(expected, abs=6)
    assert from_data_url(small["image"], 100_000).getpixel((44, 44)) == pytest.approx(
        (10, 200, 100), abs=6
    )
    with pytest.raises(UserError, match="gone"):
        load_sample({"run": "one", "step": 11})


def test_delete_takes_the_run_that_is_named_alone(workspace: Path) -> None:
    for name in ("one", "two"):
        pictures_run(workspace / "runs" / name, [10])
    said = handle_action(RunWatcher(), {"run": "one", "action": "delete"})
    assert said == {"said": "'one' is deleted."}
    assert [status.name for status in run_folder.list_runs()] == ["two"]
    with pytest.raises(UserError, match="There is no run"):
        handle_action(RunWatcher(), {"run": "one", "action": "delete"})


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"action": "explode"}, "no such action"),
        ({"action": "pause"}, "not running"),
        ({"action": "extend", "epochs": "many"}, "1 to"),
        ({"action": "extend", "epochs": 1.5}, "1 to"),
        ({"action": "publish", "name": "x", "step": "../../y"}, "asked for no model"),
        ({"action": "publish", "name": "../x", "step": "newest"}, "is no name"),
        ({"action": "publish", "name": "x", "step": 77}, "no checkpoint of this step"),
        ({"action": "stop", "run": "../datasets"}, "There is no run"),
    ],
)
def test_buttons_that_make_no_sense_are_answered(workspace: Path, asked: dict, words: str) -> None:
    pictures_run(workspace / "runs" / "one", [10])
    with pytest.raises(UserError, match=words):
        handle_action(RunWatcher(), {"run": "one", **asked})


def test_a_run_takes_the_network_and_the_names_that_it_begins_with(workspace: Path) -> None:
    model = tiny_config({"norm": "instance"}, title="Mine")
    save_tiny_model(workspace / "models" / "mine", model)
    settings = run_settings(workspace / "datasets" / "blocks", "maps", {}, "mine")
    assert (settings["size"], settings["ngf"], settings["norm"]) == (64, 4, "instance")
    assert settings["start_from"] == str((workspace / "models" / "mine").resolve())
    reverse = run_settings(workspace / "datasets" / "blocks", "maps", {"direction": "BtoA"})
    assert (reverse["source_name"], reverse["target_name"]) == ("photos", "labels")
    grey = run_settings(workspace / "datasets" / "blocks", "colorize", {})
    assert (grey["source_name"], grey["target_name"]) == ("grey", "colour")


def test_a_dataset_without_train_pairs_is_refused(workspace: Path) -> None:
    named_dataset(workspace / "datasets" / "empty", 0, 2)
    with pytest.raises(UserError, match="holds no train pairs"):
        start_run("empty", "maps", "x", {})
    assert not (workspace / "runs" / "x").exists()


def test_settings_are_read_from_lines_and_json() -> None:
    expected = {"lr": "0.1", "mirror": "false"}
    assert read_overrides("lr = 0.1\n\n mirror=false") == expected
    assert read_overrides("lr=0.1, mirror=false") == expected
    assert read_overrides('{"lr": 0.1}') == {"lr": 0.1}
    assert read_overrides("") == read_overrides(None) == {}
    for text in ("lr", "=3", "{lr"):
        with pytest.raises(UserError, match="key=value"):
            read_overrides(text)


def test_every_preset_is_in_words_and_every_setting_in_the_table() -> None:
    assert PRESET_TEXTS.keys() == PRESETS.keys()
    for preset in PRESETS:
        rows = settings_table(preset)["settings"]
        typed = "\n".join(f"{row['name']}={row['value']}" for row in rows if row["value"])
        assert train_config(preset, read_overrides(typed)) == train_config(preset)
        assert {row["name"] for row in rows} >= set(PRESETS[preset]) - {
            "source_channels",
            "target_channels",
        }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "6 train pairs, 100 times: 600 steps. About"),
        ({"epochs": 1}, "6 train pairs, once: 6 steps."),
        ({"batch_size": 4}, "6 train pairs, 100 times: 200 steps."),
        ({"more": "steps=3"}, "6 train pairs, not all seen: 3 steps."),
        (
            {"more": "steps_per_epoch=30"},
            "6 train pairs, 500 times: 3,000 steps in 100 epochs of 30.",
        ),
        ({"more": "batch_size=4000"}, "lower Size, Network width or Batch size"),
        ({"epochs": None}, ""),
        ({"dataset": "gone"}, ""),
    ],
)
def test_length_and_memory_are_told_before_a_start(
    workspace: Path, changes: dict, words: str
) -> None:
    with gr.Blocks():
        form = TrainForm()
    values = {part: getattr(part, "value", None) for part in form.inputs()}
    values |= {form.dataset: "blocks", form.more: ""}
    values |= {getattr(form, name): value for name, value in changes.items()}
    told = form.describe_length(values)
    assert words in told if words else told == ""


def test_a_set_without_train_pairs_has_no_length(workspace: Path) -> None:
    named_dataset(workspace / "datasets" / "held-out", train=0)
    with gr.Blocks():
        form = TrainForm()
    values = {part: getattr(part, "value", None) for part in form.inputs()}
    assert form.describe_length(values | {form.dataset: "held-out", form.more: ""}) == ""


def test_the_time_is_told_where_a_run_did_the_same_work_before(workspace: Path) -> None:
    with gr.Blocks():
        form = TrainForm()
    values = {part: getattr(part, "value", None) for part in form.inputs()}
    values |= {form.dataset: "blocks", form.more: ""}
    assert "at the pace of" not in form.describe_length(values)
    for name, said in (("other", {"size": 128}), ("same", {"lr": 0.001, "epochs": 3})):
        config = dataclasses.replace(train_config("recommended"), **said)
        settings = {**dataclasses.asdict(config), "device": str(pick_device())}
        folder = run_folder.runs_folder() / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(settings))
        started = 2e9 + (name == "other")  # the last one, whose steps were other work
        run_folder.write_status(folder, state="finished", seconds_per_step=0.5, started=started)
    assert "600 steps, about 5 min at the pace of same." in form.describe_length(values)


def test_figures_are_said_in_words(tmp_path: Path) -> None:
    assert [format_duration(s) for s in (0.2, 50, 725, 3600, 3900, 97_200)] == [
        *("1 s", "50 s", "12 min", "1 h", "1 h 5 min", "1 day 3 h"),
    ]
    assert format_memory_need(3 * 2**30, 4 * 2**30) == "About 3.0 GiB of memory; 4.0 GiB are free."
    assert (format_pace(0.64), format_pace(0.02)) == ("0.64 s a step", "50 steps a second")
    known = {"seconds_per_step": 0.5, "memory_mib": 2048, "config": {"epochs": 20}}
    status = run_folder.Status("a", tmp_path, "running", 5, 100, **known)
    assert run_facts(status, 5, 100, 0, status.seconds_left) == [
        *(("Step", "5 of 100"), ("Epoch", "1 of 20"), ("Speed", "0.5 s a step")),
        *(("Time left", "48 s"), ("Memory", "2.0 GiB")),
    ]
