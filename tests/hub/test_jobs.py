"""Runs on Hugging Face Jobs, against a server of ours: sent, watched, cut off and fetched back."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import huggingface_hub
import pytest
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.hub import jobs_follow
from pix2pix.hub.bucket_backup import copy_changes, file_stamps
from pix2pix.hub.jobs_follow import cancel_remote, read_job, sync_remote
from pix2pix.hub.jobs_launch import flavours, plan_job, resume_remote, start_remote
from pix2pix.models.folder import load_model
from pix2pix.training import run_control, run_folder
from pix2pix.training.checkpoints import list_checkpoints, publish_checkpoint
from pix2pix.training.resolve_config import read_run
from pix2pix.ui.train.jobs import flavour_label
from pix2pix.ui.train.launch import run_settings
from pix2pix.ui.train.live_view import handle_action
from pix2pix.ui.train.tab import train_tab
from pix2pix.ui.train.watch import RunWatcher
from pix2pix.utils.files import write_json
from tests.support.drawn_pairs import draw_dataset
from tests.support.fake_jobs import BUCKET, OWNER, READER, FakeHub
from tests.support.models_and_servers import save_tiny_model, until

TINY = {"size": 64, "jitter": 4, "ngf": 4, "ndf": 4, "layers": 1, "steps": 4}
TINY |= {"sample_every_steps": 2, "save_every_steps": 2}
ON = {"flavour": "t4-small", "hours": 1.5}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    server = FakeHub(tmp_path / "storage")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(tmp_path / "workspace"))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = draw_dataset(tmp_path / "workspace" / "datasets" / "blocks", train=5, val=2)
    (folder / "dataset.json").write_text(json.dumps({"source_name": "labels", "target_name": "p"}))
    return folder


@pytest.fixture
def run(hub: FakeHub, data: Path) -> Path:
    """A run that was sent."""
    run = run_folder.runs_folder() / "faces"
    start_remote(run, settings(data), BUCKET, **ON, token=OWNER)
    return run


def settings(data: Path, start_from: str = "") -> dict:
    return {**run_settings(data, "maps", TINY), "start_from": start_from}


def job_folder(folder: Path, state: str, step: int, /, **said: object) -> Path:
    """What a job has in its run folder after so many steps."""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (step, 0, 0)).save(folder / "samples" / f"step-{step:07d}.png")
    lines = [json.dumps({"step": n, "epoch": 0, "g_l1": 0.5}) + "\n" for n in range(1, step + 1)]
    (folder / "metrics.jsonl").write_text("".join(lines))
    status = {"state": state, "step": step, "steps": 4, "seconds_per_step": 0.5, **said}
    (folder / "status.json").write_text(json.dumps(status))
    (folder / "state.pt").write_bytes(b"large" * step)  # seen without its time
    if step >= 2:
        for place in ("model", f"checkpoints/step-{step:07d}"):
            save_tiny_model(folder / place)
    return folder


def everything(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


# ------------------------------------------------------------------------------------------- sent


def test_each_call_is_one_that_the_installed_library_takes(data: Path, tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "model")
    (model / "samples").mkdir()  # of a model for photos: they stay here
    calls = plan_job("a b/ü", settings(data, str(model)), BUCKET, **ON, prefix="jobs/x")
    for call in calls:
        inspect.signature(getattr(huggingface_hub.HfApi, call.function)).bind(
            None, **call.arguments
        )
    names = [name for call in calls for _, name in call.arguments.get("add", [])]
    sent = [content for call in calls for content, _ in call.arguments.get("add", [])]
    assert all(isinstance(content, bytes) or Path(content).is_file() for content in sent)
    assert "jobs/x/start/model.safetensors" in names and "jobs/x/data/train/00.png" in names
    assert "jobs/x/source/pix2pix/hub/bucket_backup.py" in names
    assert not [name for name in names if "/ui/" in name]
    assert calls[-1].arguments["name"] == "a-b"
    assert len(str(calls[2])) < 1000, "a call can be read"


def test_the_hub_is_asked_for_everything_in_order(hub: FakeHub, run: Path) -> None:
    bucket = f"/api/buckets/{BUCKET}"
    posts = hub.paths("POST")
    assert posts[0] == bucket and posts[-1] == "/api/jobs/ann"
    assert set(posts[1:-1]) == {f"{bucket}/batch"} and hub.buckets == {BUCKET: True}
    asked = hub.jobs["job0"]
    assert (asked["flavor"], asked["timeoutSeconds"]) == ("t4-small", 5400)
    prefix = asked["volumes"][0]["path"]
    assert asked["volumes"][0] == {
        **{"type": "bucket", "source": BUCKET, "mountPath": "/job"},
        **{"path": prefix, "readOnly": False},
    }
    config = json.loads(hub.read(f"{prefix}/run/config.json"))
    assert (config["data"], config["start_from"], config["device"]) == ("data", "", "auto")
    assert "secrets" not in asked
    job = read_job(run)
    assert (job["job_id"], job["prefix"]) == ("job0", prefix)
    assert run_folder.read_status(run).state == "starting"


def test_the_token_is_in_no_file_and_in_no_call(
    hub: FakeHub, run: Path, data: Path, tmp_path: Path
) -> None:
    hub.put(job_folder(tmp_path / "there", "finished", 2))
    hub.status = {"stage": "COMPLETED", "message": None}
    sync_remote(run, OWNER)
    assert OWNER.encode() not in everything(tmp_path) and OWNER.encode() not in b"".join(hub.sent)
    calls = plan_job("faces", settings(data), BUCKET, **ON, prefix="jobs/x")
    assert OWNER not in "".join(map(str, calls))
    assert {token for _, _, token in hub.asked} == {OWNER}


@pytest.mark.parametrize(
    ("token", "refuse", "words"),
    [
        ("", {}, "need a token"),
        ("hf_unknown", {}, "does not accept the token"),
        (READER, {}, "may not write to the bucket ann/work"),
        (OWNER, {"/batch": 403}, "may not write to the bucket ann/work"),
        (OWNER, {"/api/jobs": 402}, "wants to be paid"),
        (OWNER, {"/api/jobs": 403}, "may not start the job of ann"),
        (OWNER, {"/api/jobs": 500}, "error 500"),
    ],
)
def test_what_is_refused_is_a_sentence_and_leaves_no_run(
    token: str, refuse: dict, words: str, hub: FakeHub, data: Path
) -> None:
    hub.refuse = refuse
    run = run_folder.runs_folder() / "faces"
    with pytest.raises(UserError, match=words):
        start_remote(run, settings(data), BUCKET, **ON, token=token)
    assert not run.exists() and not hub.jobs


@pytest.mark.parametrize("resumed", [False, True])
def test_a_job_that_cannot_be_written_down_is_cancelled(
    resumed: bool, hub: FakeHub, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_folder.runs_folder() / "faces"
    if resumed:
        start_remote(run, settings(data), BUCKET, **ON, token=OWNER)
        hub.put(job_folder(tmp_path / "there", "running", 2))
        cancel_remote(run, OWNER)
        sync_remote(run, OWNER)
    hub.status = {"stage": "RUNNING", "message": None}
    before = read_job(run) if resumed else {}

    def full(path: Path, job: dict) -> None:
        if job.get("job_id"):
            raise OSError(28, "No space left on device")
        write_json(path, job)

    monkeypatch.setattr("pix2pix.hub.jobs_launch.write_json", full)
    with pytest.raises(UserError, match="faces could not be saved"):
        if resumed:
            resume_remote(run, **ON, token=OWNER)
        else:
            start_remote(run, settings(data), BUCKET, **ON, token=OWNER)
    last = f"job{len(hub.jobs) - 1}"
    assert hub.info(last)["status"]["stage"] == "CANCELED"
    assert read_job(run) == before if resumed else not run.exists()


def test_what_cannot_be_sent_asks_for_nothing(hub: FakeHub, data: Path) -> None:
    run = run_folder.runs_folder() / "faces"
    for bucket, change, words in (
        ("work", {}, "is no name on the Hub"),
        (BUCKET, {"hours": 0}, "time limit"),
        (BUCKET, {"hours": float("nan")}, "time limit"),
        (BUCKET, {"flavour": ""}, "Choose the hardware"),
    ):
        with pytest.raises(UserError, match=words):
            start_remote(run, settings(data), bucket, **{**ON, **change}, token=OWNER)
    run.mkdir(parents=True)
    with pytest.raises(UserError, match="There is a run 'faces' already"):
        start_remote(run, settings(data), BUCKET, **ON, token=OWNER)
    assert not hub.asked and run.exists()


def test_a_public_bucket_gets_nothing(hub: FakeHub, data: Path) -> None:
    hub.buckets[BUCKET] = False
    with pytest.raises(UserError, match="is public"):
        start_remote(run_folder.runs_folder() / "faces", settings(data), BUCKET, **ON, token=OWNER)
    assert not hub.files


def test_hardware_has_prices_an_hour_the_cheapest_first(hub: FakeHub) -> None:
    basic, small = flavours(OWNER)
    assert flavour_label(basic) == "$0.01 an hour, CPU Basic: 4 vCPU, 15 GB"
    assert (
        flavour_label(small) == "$0.40 an hour, Nvidia T4 - small: 1 x T4 with 16 GB, 4 vCPU, 15 GB"
    )


# ---------------------------------------------------------------------------------------- watched


def test_a_run_comes_back_as_it_grows_and_is_published_in_the_end(
    hub: FakeHub, run: Path, tmp_path: Path
) -> None:
    assert sync_remote(run, OWNER).sentence == "Hugging Face looks for a machine: t4-small."
    hub.status = {"stage": "RUNNING", "message": None}
    assert "installs" in sync_remote(run, OWNER).sentence
    there = tmp_path / "there"
    hub.put(job_folder(there, "running", 2))
    status = sync_remote(run, OWNER)
    assert (status.state, status.step, status.steps, status.seconds_left) == ("running", 2, 4, 1.0)
    losses = (run / "metrics.jsonl").stat().st_ino
    assert [moment.step for moment in list_checkpoints(run)] == [2] and not (run / "model").exists()
    hub.put(job_folder(there, "finished", 4))
    assert "being saved" in sync_remote(run, OWNER).sentence
    assert (run / "metrics.jsonl").stat().st_ino == losses, "lines are added: curves go on"
    assert (run / "metrics.jsonl").read_text() == (there / "metrics.jsonl").read_text()
    hub.status = {"stage": "COMPLETED", "message": None}
    assert sync_remote(run, OWNER).state == "finished"
    assert not (run / "state.pt").exists()
    assert [moment.model is not None for moment in list_checkpoints(run)] == [True, True]
    assert load_model(publish_checkpoint(run, "Mine"))[1].title == "Mine"
    heads = len(hub.paths("HEAD"))
    assert sync_remote(run, OWNER).state == "finished"
    assert len(hub.paths("HEAD")) == heads + 1, "what is here is not fetched again"
    assert [entry.name for entry in run.iterdir() if entry.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("status", "ran", "said", "state", "words"),
    [
        ({"stage": "ERROR", "message": "OOMKilled"}, 5, "running", "failed", "OOM.*/jobs/ann/"),
        ({"stage": "ERROR", "message": None}, 5, "failed", "failed", "lower size"),
        ({"stage": "ERROR", "message": "Job timeout"}, 5, "running", "stopped", "time limit"),
        ({"stage": "ERROR", "message": None}, 5401, "running", "stopped", "time limit"),
        ({"stage": "CANCELED", "message": None}, 5, "running", "stopped", "cancelled"),
        ({"stage": "DELETED", "message": None}, 5, "running", "failed", "deleted"),
        ({"stage": "COMPLETED", "message": None}, 5, "stopped", "stopped", ""),
        ({"stage": "COMPLETED", "message": None}, 5, "starting", "failed", "no reason"),
    ],
)  # fmt: skip
def test_how_a_job_ends_is_a_state_and_a_sentence(
    status: dict, ran: int, said: str, state: str, words: str,
    hub: FakeHub, run: Path, tmp_path: Path,
) -> None:  # fmt: skip
    sentence = "Not enough memory: lower size." if said == "failed" else ""
    hub.put(job_folder(tmp_path / "there", said, 1, sentence=sentence))
    hub.status, hub.ran = status, ran
    found = sync_remote(run, OWNER)
    assert found.state == state
    assert re.search(words, found.sentence) if words else not found.sentence


def test_a_bucket_cannot_write_elsewhere_nor_break_the_page(
    hub: FakeHub, run: Path, tmp_path: Path
) -> None:
    there = job_folder(tmp_path / "there", "running", 2, step=float("nan"), memory_mib="much")
    for name in ("config.json", "job.json", "process.json", "samples/../../x.png", "model/x.pt"):
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text("{}")
    before = (run / "config.json").read_text()
    hub.put(there)
    hub.status = {"stage": "COMPLETED", "message": None}
    assert sync_remote(run, OWNER).step == 0
    assert (run / "config.json").read_text() == before and read_job(run)["job_id"] == "job0"
    assert not (run / "model" / "x.pt").exists() and not (run / "process.json").exists()


def test_trouble_while_watching_loses_nothing(
    hub: FakeHub, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put(job_folder(tmp_path / "there", "running", 2))
    hub.status = {"stage": "RUNNING", "message": None}
    sync_remote(run, OWNER)
    before = everything(run)
    for token, refuse, words in (
        ("hf_unknown", {}, "does not accept the token"),
        (OWNER, {"/api/jobs": 403}, "may not see the job of ann"),
        (OWNER, {"/api/jobs": 404}, "no job of ann"),
        (OWNER, {"/tree": 404}, "no bucket ann/work"),
        ("", {}, "need a token"),
    ):
        hub.refuse = refuse
        with pytest.raises(UserError, match=words):
            sync_remote(run, token)
    hub.refuse = {}
    with pytest.raises(UserError, match="cannot be reached"), monkeypatch.context() as patch:
        patch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
        sync_remote(run, OWNER)
    assert everything(run) == before
    assert sync_remote(run, OWNER).state == "running"


def test_a_run_that_nobody_watches_says_how_to_go_on(run: Path) -> None:
    assert "looks for a machine" in run_folder.read_status(run).sentence
    run_folder.write_status(run, looked=time.time() - 3600)
    status = run_folder.read_status(run)
    assert status.state == "starting" and "give your token" in status.sentence
    for call in (lambda: run_control.start_process(run), lambda: run_control.extend_run(run, 3)):
        with pytest.raises(UserError, match="trains on Hugging Face Jobs"):
            call()


def test_a_run_that_was_cut_off_goes_on_in_a_new_job(
    hub: FakeHub, run: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="nothing to resume"):
        resume_remote(run, **ON, token=OWNER)
    hub.put(job_folder(tmp_path / "there", "running", 2))
    cancel_remote(run, OWNER)
    assert sync_remote(run, OWNER).state == "stopped"
    assert publish_checkpoint(run, "so far").is_dir()
    resume_remote(run, flavour="l4x1", hours=3, token=OWNER)
    assert hub.jobs["job1"]["volumes"] == hub.jobs["job0"]["volumes"]
    assert f"{hub.prefix()}/run/state.pt" in hub.files
    hub.status = {"stage": "RUNNING", "message": None}
    assert sync_remote(run, OWNER).state == "starting", "the end of the last job is not this one's"


# -------------------------------------------------------------------------------------- in the job


def test_what_was_sent_trains_in_a_mounted_bucket(
    hub: FakeHub, run: Path, data: Path, tmp_path: Path
) -> None:
    mount, prefix = tmp_path / "mount", hub.prefix()
    for name in [name for name in hub.files if name.startswith(prefix)]:
        file = mount / name.removeprefix(f"{prefix}/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(hub.read(name))
    asked = hub.jobs["job0"]
    places = {"/job": str(mount), "/tmp/job": str(tmp_path / "machine"), "python": sys.executable}
    command = asked["command"][asked["command"].index("python") :]
    environment = {**os.environ, **asked["environment"], "PYTHONPATH": str(mount / "source")}
    done = subprocess.run(
        [places.get(word, word) for word in command], cwd=tmp_path, env=environment,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (mount / "run" / "state.pt").exists(), "to go on from"
    hub.put(mount / "run")
    hub.status = {"stage": "COMPLETED", "message": None}
    status = sync_remote(run, OWNER)
    assert (status.state, status.step) == ("finished", 4)
    assert [moment.step for moment in list_checkpoints(run) if moment.model and moment.sample] == [
        2,
        4,
    ]
    assert load_model(run / "model")[1].source_name == "labels"
    assert read_run(run, "cpu")[1] == data, "here it still names the dataset here"


def test_only_changes_are_copied_and_the_end_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out, copied = job_folder(tmp_path / "run", "running", 1), tmp_path / "out", []

    def copy(source: Path, target: Path) -> None:
        copied.append(source.relative_to(run).as_posix())
        Path(target).write_bytes(source.read_bytes())

    monkeypatch.setattr("pix2pix.hub.bucket_backup.shutil.copyfile", copy)
    (run / "process.json").write_text("{}")
    (run / ".status.json.x").write_text("{")
    known: dict = {}
    copy_changes(run, out, known, with_state=False)
    assert copied == ["metrics.jsonl", "samples/step-0000001.png", "status.json"]
    copy_changes(run, out, known, with_state=True)
    assert copied[3:] == ["state.pt"]
    job_folder(run, "finished", 3)
    shutil.rmtree(run / "samples")
    copied.clear()
    copy_changes(run, out, known, with_state=True)
    assert copied[0] == "state.pt" and copied[-1] == "status.json" and "model/config.json" in copied
    assert known == file_stamps(run) and not list((out / "samples").iterdir())


def test_a_copy_that_is_cut_off_leaves_the_state_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out, known = job_folder(tmp_path / "run", "running", 1), tmp_path / "out", {}
    copy_changes(run, out, known, with_state=True)
    before = (out / "state.pt").read_bytes()

    def cut_off(source: Path, target: Path) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:3])
        raise OSError("the bucket is gone")

    (run / "state.pt").write_bytes(b"a state that is newer")
    monkeypatch.setattr("pix2pix.hub.bucket_backup.shutil.copyfile", cut_off)
    with pytest.raises(OSError, match="gone"):
        copy_changes(run, out, known, with_state=True)
    monkeypatch.undo()
    assert (out / "state.pt").read_bytes() == before
    copy_changes(run, out, known, with_state=True)
    assert (out / "state.pt").read_bytes() == b"a state that is newer"
    assert file_stamps(out).keys() == file_stamps(run).keys()


# ------------------------------------------------------------------------------------ on the page


@pytest.fixture
def page(hub: FakeHub, data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The handlers of the tab by name, and its components by their elem_id."""
    followers = jobs_follow.JobFollowers(every=0.01)
    monkeypatch.setattr(jobs_follow, "FOLLOWERS", followers)
    monkeypatch.setattr("pix2pix.ui.train.jobs.FOLLOWERS", followers)
    with gr.Blocks() as blocks:
        train_tab()
    yield blocks
    followers.followed.clear()


def handler(page: gr.Blocks, name: str) -> Any:
    return next(fn for fn in page.fns.values() if fn.name == name)


def test_the_form_sends_watches_stops_and_watches_again(
    hub: FakeHub, page: gr.Blocks, tmp_path: Path
) -> None:
    send = handler(page, "send")
    values = {part: part.value for part in send.inputs}
    given = {
        "train-dataset": "blocks", "run-name": "faces", "jobs-token": OWNER, "jobs-bucket": BUCKET,
        "overrides": "\n".join(f"{k}={v}" for k, v in {**TINY, "discriminator": "patch"}.items()),
    }  # fmt: skip
    values |= {part: given[part.elem_id] for part in values if part.elem_id in given}
    token = next(part for part in values if part.elem_id == "jobs-token")
    with pytest.raises(UserError, match="Give your token first"):
        send.fn({**values, token: ""}, None)
    answer = send.fn(values, None)
    run = run_folder.runs_folder() / "faces"
    assert any(isinstance(said, dict) and said.get("run") == "faces" for said in answer.values())
    hub.put(job_folder(tmp_path / "there", "running", 2))
    hub.status = {"stage": "RUNNING", "message": None}
    until(lambda: run_folder.read_status(run).state == "running")
    with pytest.raises(UserError, match="cannot pause"):
        handle_action(RunWatcher(), {"run": "faces", "action": "pause"})
    handle_action(RunWatcher(), {"run": "faces", "action": "stop"})
    until(lambda: run_folder.read_status(run).state == "stopped")
    until(lambda: not jobs_follow.FOLLOWERS.followed)
    signed_in = gr.OAuthToken(token=OWNER, scope="jobs", expires_at=0)
    handler(page, "resume").fn("", "faces", "l4x1", 1, signed_in)
    jobs_follow.FOLLOWERS.followed.clear()  # as a restart of the app does
    with pytest.raises(UserError, match="give your token"):
        handle_action(RunWatcher(), {"run": "faces", "action": "stop"})
    again = handler(page, "watch_again")
    with pytest.raises(UserError, match="does not accept"):
        again.fn("hf_unknown", "faces", None)
    assert not jobs_follow.FOLLOWERS.followed
    again.fn(OWNER, "faces", None)
    hub.refuse = {"/api/jobs": 500}
    until(lambda: "error 500" in run_folder.read_status(run).sentence)
    assert run_folder.read_status(run).is_active, "it goes on, only nobody can see it"


def test_the_prices_are_choices(hub: FakeHub, page: gr.Blocks) -> None:
    (choices,) = handler(page, "show_prices").fn(OWNER, None).values()
    assert [name for _, name in choices.choices] == ["cpu-basic", "t4-small"]


def test_of_two_that_send_one_name_at_once_the_first_keeps_its_run(
    hub: FakeHub, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_folder.runs_folder() / "faces"

    def meanwhile(*args: Any, **options: Any) -> list:
        calls = plan_job(*args, **options)
        run.mkdir(parents=True)
        (run / "config.json").write_text("the first's")
        return calls

    monkeypatch.setattr("pix2pix.hub.jobs_launch.plan_job", meanwhile)
    with pytest.raises(UserError, match="There is a run 'faces' already"):
        start_remote(run, settings(data), BUCKET, **ON, token=OWNER)
    assert not hub.asked and (run / "config.json").read_text() == "the first's"
