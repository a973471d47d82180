"""The studio as a Space: what is uploaded, and what the Hub is asked, against a server of ours."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import huggingface_hub
import pytest
import yaml
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.hub import deploy as hub_deploy
from pix2pix.hub.deploy import HubCall, deploy, plan_space, plan_static_space, stage_files
from pix2pix.imaging.decode import from_data_url
from pix2pix.imaging.picture import data_url, save_png
from pix2pix.imaging.strokes import draw_strokes
from pix2pix.models.translator import Translator
from scripts.examples.faces import example_faces
from tests.support.fake_hub import asking
from tests.support.models_and_servers import connected, free_port, load_script, traces, until

ROOT = Path(__file__).resolve().parents[2]
SECRET = "s3cret-value"
HOST = "https://huggingface.co"
NEW, OLD = "a" * 40, "b" * 40  # commits


class Hub(ThreadingHTTPServer):
    """Answers what deploying asks for, and keeps it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, dict]] = []  # method, path, body
        self.stages = ["BUILDING", "APP_STARTING", f"RUNNING {NEW}"]  # and the commit, if told
        self.refuse = ""  # a path that answers 403
        self.there: dict[str, bool] = {}  # kind of what was there before -> private
        self.files: list[str] = []  # of the Space before
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def bodies(self, end: str) -> list[dict]:
        return [body for _, path, body in self.asked if path.endswith(end)]


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *args: object) -> None:
        pass

    def route(self) -> None:
        path = self.path.partition("?")[0]
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        lines = [json.loads(line) for line in raw.splitlines() if line.startswith(b"{")]
        body = {"lines": lines} if len(lines) != 1 else lines[0]
        self.server.asked.append((self.command, path, body))
        if self.server.refuse and self.server.refuse in path:
            return self.answer(403, {"error": "no"})
        if path.endswith("/runtime"):
            stages = self.server.stages
            stage, _, sha = (stages.pop(0) if len(stages) > 1 else stages[0]).partition(" ")
            said = {"stage": stage, "hardware": {}, "gcTimeout": None}
            return self.answer(200, said | ({"sha": sha} if sha else {}))
        if "/preupload/" in path:
            files = [
                {**file, "uploadMode": "regular", "shouldIgnore": False} for file in body["files"]
            ]
            return self.answer(200, {"files": files})
        if "/commit/" in path:
            address = f"{HOST}/spaces/ann/studio/commit/{NEW}"
            return self.answer(200, {"commitOid": NEW, "commitUrl": address, "success": True})
        if "/tree/" in path:
            files = self.server.files
            found = [{"type": "file", "path": f, "size": 1, "oid": "0" * 40} for f in files]
            return self.answer(200, found)
        if path.endswith(("/variables", "/secrets", "/volumes")):
            return self.answer(200, {})
        if path.endswith("/hardware"):
            return self.answer(200, {"stage": "BUILDING", "hardware": {}, "gcTimeout": None})
        kind, name = ("buckets", "work") if "/buckets/" in path else ("spaces", "studio")
        about = {"id": f"ann/{name}", "private": self.server.there.get(kind, True), "sha": OLD}
        if self.command == "POST":  # made, or there
            url = f"{self.server.url}/{kind}/ann/{name}"
            return self.answer(409 if kind in self.server.there else 200, {"url": url})
        made = {"size": 0, "totalFiles": 0, "createdAt": "2026-01-01T00:00:00.000Z"}
        return self.answer(200, about | (made if kind == "buckets" else {}))

    do_GET = do_POST = do_PUT = do_HEAD = route

    def answer(self, status: int, content: object) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(hub_deploy, "POLL_SECONDS", 0.01)
    server = Hub()
    with asking(server.url):
        yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A staged folder without weights."""
    folder = tmp_path / "space"
    (folder / "pix2pix").mkdir(parents=True)
    (folder / "app.py").write_text("print('app')\n")
    (folder / "pix2pix" / "__init__.py").write_text("")
    return folder


EVERYTHING = {
    "hardware": "cpu-upgrade", "private": True, "bucket": "ann/work",
    "variables": {"PIX2PIX_ALLOW_TRAINING": "1"}, "secrets": {"TOKEN": SECRET},
}  # fmt: skip


def test_the_tree_runs_by_itself_and_holds_no_more_than_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, script = tmp_path / "space", load_script("deploy_space")
    words = ["ann/studio", "--dry-run", "--to", str(tree), "--model", "face-sketch"]
    monkeypatch.setattr(sys, "argv", ["deploy_space.py", *words])
    assert script.main() == 0
    names = {f.relative_to(tree).as_posix() for f in tree.rglob("*") if f.is_file()}
    assert {"app.py", "requirements.txt", "README.md", "pix2pix/ui/web/pad.js"} <= names
    assert "checkpoints/face-sketch/model.safetensors" in names
    assert not {name.split("/")[0] for name in names} & {"tests", "scripts", ".ci", "workspace"}
    assert not any("__pycache__" in name or name.endswith(".pyc") for name in names)
    drawing = draw_strokes(example_faces()["Long hair"], 256)
    save_png(drawing, tmp_path / "face.png")
    expected = Translator.load(ROOT / "checkpoints" / "face-sketch", "cpu").translate(drawing)
    with started(tree, tmp_path) as url:
        page = httpx.get(url, timeout=60)
        assert page.status_code == 200 and "Draw, and the picture follows" in page.text
        client, given = connected(url), handle_file(tmp_path / "face.png")
        assert [m["name"] for m in client.predict(api_name="/list_models")] == ["face-sketch"]
        answer = client.predict(image=given, model="face-sketch", api_name="/translate")
        assert Image.open(answer).tobytes() == expected.tobytes()
        parts = httpx.get(f"{url}/config", timeout=60).json()["components"]
        pad = next(p["id"] for p in parts if "variations" in p["props"].get("server_fns", []))
        asked = {"model": "face-sketch", "image": data_url(drawing), "seed": None}
        body = {"component_id": pad, "fn_name": "translate", "session_hash": "s", "data": asked}
        drawn = httpx.post(f"{url}/gradio_api/component_server", json=body, timeout=60).json()
        assert from_data_url(drawn["image"], 10**6).tobytes() == expected.tobytes()
        with pytest.raises(AppError, match="visitors can only translate"):
            client.predict(dataset="x", api_name="/start_training")


@contextlib.contextmanager
def started(tree: Path, beside: Path) -> Iterator[str]:
    """`python app.py` in the tree, with nothing of this checkout, as on a Space; its address."""
    port = free_port()
    environment = {key: v for key, v in os.environ.items() if key not in ("PYTHONPATH",)}
    environment |= {"PIX2PIX_WORKSPACE": str(beside / "work"), "SPACE_ID": "ann/studio"}
    environment |= {"GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(beside / "gradio")}
    with (beside / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=tree, env=environment, stdout=log, stderr=log
        )

    def answers() -> bool:
        assert process.poll() is None, (beside / "log").read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{port}", timeout=60).is_success
        except httpx.TransportError:
            return False

    try:
        until(answers)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
    assert not traces((beside / "log").read_text())


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model nobody"):
        stage_files(ROOT, tmp_path / "space", ["nobody"])
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match="there already"):
        stage_files(ROOT, tmp_path / "taken")


def test_the_readme_opens_with_what_a_space_needs() -> None:
    head = yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---")[1])
    pins = (ROOT / "requirements.txt").read_text()
    assert head["sdk"] == "gradio" and f"gradio=={head['sdk_version']}\n" in pins
    assert (ROOT / head["app_file"]).is_file() and head["license"] == "mit"
    hardware = [flavour.value for flavour in huggingface_hub.SpaceHardware]
    assert head["suggested_hardware"] in hardware
    # The models lie in the Space itself: none of the Hub is used that `models` could name.
    shipped = {folder.name for folder in (ROOT / "checkpoints").glob("*/")}
    assert "models" not in head and shipped
    assert head["python_version"] in ("3.10", "3.11", "3.12", "3.13")
    assert re.fullmatch(r"\d+[mh]", head["startup_duration_timeout"])


def test_each_call_is_one_that_the_installed_library_takes(small: Path) -> None:
    for call in plan_space("ann/studio", small, **EVERYTHING):
        function = getattr(huggingface_hub.HfApi, call.function)
        inspect.signature(function).bind(None, **call.arguments)  # else a TypeError


def test_the_hub_is_asked_for_everything_in_order(hub: Hub, small: Path) -> None:
    told: list[str] = []
    calls = plan_space("ann/studio", small, **EVERYTHING)
    address = deploy(calls, "hf_token", on_call=lambda call: told.append(str(call)))
    assert address == f"{hub.url}/spaces/ann/studio"
    made = {"name": "studio", "organization": "ann", "type": "space", "sdk": "gradio"}
    assert hub.bodies("/repos/create") == [{**made, "visibility": "private"}]
    assert hub.bodies("/volumes")[0]["volumes"][0]["mountPath"] == "/data"
    variables = {body["key"]: body["value"] for body in hub.bodies("/variables")}
    assert variables == {"PIX2PIX_ALLOW_TRAINING": "1", "PIX2PIX_WORKSPACE": "/data"}
    assert hub.bodies("/secrets") == [{"key": "TOKEN", "value": SECRET}]
    assert hub.bodies("/hardware") == [{"flavor": "cpu-upgrade"}]
    paths = [path for _, path, _ in hub.asked]
    commit = next(i for i, path in enumerate(paths) if "/commit/" in path)
    sent = [
        line["value"]["path"] for line in hub.asked[commit][2]["lines"] if line["key"] == "file"
    ]
    assert sorted(sent) == ["app.py", "pix2pix/__init__.py"]
    assert max(i for i, path in enumerate(paths) if path.endswith("/variables")) < commit
    assert [path.endswith("/runtime") for path in paths[-3:]] == [True] * 3, "until it runs"
    assert SECRET not in "".join(told) and "add_space_secret" in "".join(told)


@pytest.mark.parametrize("kind", ["spaces", "buckets"])
def test_what_is_there_and_public_is_refused_before_anything_is_told_to_it(
    kind: str, hub: Hub, small: Path
) -> None:
    hub.there = {"spaces": True, "buckets": True}
    deploy(plan_space("ann/studio", small, **EVERYTHING), "hf_token")
    hub.asked.clear()
    hub.there[kind] = False
    words = "The bucket ann/work is public" if kind == "buckets" else "The Space ann/studio is"
    with pytest.raises(UserError, match=words):
        deploy(plan_space("ann/studio", small, **EVERYTHING), "hf_token")
    paths = [path for _, path, _ in hub.asked]
    after = ("/preupload/", "/commit/", "/variables", "/secrets", "/volumes", "/hardware")
    assert paths and not any(part in path for path in paths for part in after)
    if kind == "spaces":  # nobody asked for a private one
        deploy(plan_space("ann/studio", small), "hf_token")


def test_of_an_older_version_only_what_is_not_ours_stays(hub: Hub, small: Path) -> None:
    (small / "checkpoints" / "x").mkdir(parents=True)
    (small / "checkpoints" / "x" / "config.json").write_text("{}")
    stale = ["pix2pix/old.py", "pix2pix/ui/old.js", "checkpoints/y/config.json", ".github/old.png"]
    hub.files = [*stale, ".gitattributes", "app.py", "checkpoints/x/config.json", "notes.txt"]
    deploy(plan_space("ann/studio", small), "hf_token")
    commits = [body["lines"] for _, path, body in hub.asked if "/commit/" in path]
    lines = [line for lines in commits for line in lines]
    assert {x["value"]["path"] for x in lines if x["key"] == "deletedFile"} == set(stale)
    assert "checkpoints/x/config.json" in {x["value"].get("path") for x in lines}


@pytest.mark.parametrize(
    "stages",
    [
        [f"RUNNING {OLD}", f"BUILDING {OLD}", f"RUNNING {OLD}", f"RUNNING {NEW}"],
        ["NO_APP_FILE", "NO_APP_FILE", "BUILDING", f"RUNNING {NEW}"],
        [f"BUILD_ERROR {OLD}", "BUILDING", f"RUNNING {NEW}"],
        ["RUNNING", "RUNNING_BUILDING", "RUNNING_APP_STARTING", f"RUNNING {NEW}"],
    ],
)
def test_a_deployment_ends_when_what_it_uploaded_runs(
    stages: list[str], hub: Hub, small: Path
) -> None:
    hub.stages = list(stages)
    assert deploy(plan_space("ann/studio", small), "hf_token").endswith("/ann/studio")
    assert len(hub.stages) == 1, "the last stage was waited for"


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ([f"RUNNING {OLD}", "BUILDING", f"BUILD_ERROR {NEW}"], r"does not run \(BUILD_ERROR\)"),
        (["RUNNING", "BUILDING", "BUILD_ERROR"], r"does not run \(BUILD_ERROR\)"),
        (["NO_APP_FILE"], r"does not run \(NO_APP_FILE\)"),
        ([f"PAUSED {OLD}"], r"does not run \(PAUSED\)"),
        ([f"RUNNING {OLD}"], r"does not run the new version after .* \(RUNNING\)"),
        (["APP_STARTING"], r"does not run the new version after .* \(APP_STARTING\)"),
    ],
)
def test_a_space_that_does_not_come_to_run_is_a_sentence(
    stages: list[str], words: str, hub: Hub, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.stages = list(stages)
    monkeypatch.setattr(hub_deploy, "FINAL_STAGES", 0.05)
    monkeypatch.setattr(hub_deploy, "MAX_WAIT", 1.0)
    with pytest.raises(UserError, match=words):
        deploy(plan_space("ann/studio", small), "hf_token")


def test_a_running_space_of_which_no_commit_is_told_counts_once_it_lasts(
    hub: Hub, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.stages = ["RUNNING"]
    monkeypatch.setattr(hub_deploy, "FINAL_STAGES", 0.05)
    assert deploy(plan_space("ann/studio", small), "hf_token")


def test_a_hub_that_refuses_is_a_sentence(hub: Hub, small: Path) -> None:
    hub.refuse = "/api"
    with pytest.raises(UserError, match="may not write to the Space ann/studio"):
        deploy(plan_space("ann/studio", small), "hf_token")


def test_a_name_that_is_none_is_refused(small: Path) -> None:
    for name, bucket in (("studio", ""), ("ann/../x", ""), ("ann/studio", "work")):
        with pytest.raises(UserError, match="is no name on the Hub"):
            plan_space(name, small, bucket=bucket)


def test_a_rehearsal_lists_files_and_calls_and_asks_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    script = load_script("deploy_space")

    def never(*args: object, **options: object) -> None:
        pytest.fail("the Hub was asked")

    monkeypatch.setattr(script, "deploy", never)
    monkeypatch.setenv("MY_TOKEN", SECRET)
    words = ["ann/studio", "--dry-run", "--to", str(tmp_path / "tree"), "--secret", "MY_TOKEN"]
    monkeypatch.setattr(
        sys, "argv", ["deploy_space.py", *words, "--bucket", "ann/work", "--private"]
    )
    assert script.main() == 0
    lines = capsys.readouterr().out.splitlines()
    said = json.loads(lines[-1])
    kept = [file for file in (tmp_path / "tree").rglob("*") if file.is_file()]
    assert said["files"] == len(kept) and said["bytes"] == sum(f.stat().st_size for f in kept)
    assert said["calls"][0] == "create_repo" and said["calls"][-1] == "get_space_runtime"
    assert said["calls"].index("bucket_info") < said["calls"].index("upload_folder")
    assert "repo_info" in said["calls"] and "checkpoints/*" in lines[-3]
    assert "app.py" in lines and not any(SECRET in line for line in lines)
    monkeypatch.setattr(sys, "argv", ["deploy_space.py", "ann/studio", "--secret", "ABSENT"])
    assert script.main() == 1
    assert "There is no ABSENT in the environment" in capsys.readouterr().err


def test_a_static_space_is_the_exported_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    script, tree = load_script("deploy_space"), tmp_path / "tree"
    words = ["deploy_space.py", "ann/page", "--static", "--model", "streets"]
    monkeypatch.setattr(sys, "argv", [*words, "--dry-run", "--to", str(tree)])
    assert script.main() == 0
    said = capsys.readouterr().out
    assert "space_sdk='static'" in said and 'sdk: "static"' in (tree / "README.md").read_text()
    state = json.loads(
        re.search(r"id=\"models\">(.*)</script>", (tree / "index.html").read_text())[1]
    )
    for file in ("graph", "weights"):
        assert (tree / state[0]["state"]["engine"][file]).is_file()
    for call in plan_static_space("ann/page", tree, private=True):
        inspect.signature(getattr(huggingface_hub.HfApi, call.function)).bind(
            None, **call.arguments
        )
    monkeypatch.setattr(sys, "argv", [*words, "--hardware", "t4-small"])
    with pytest.raises(SystemExit, match="2"):
        script.main()


def test_a_page_is_exported_over_its_own_kind_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def export(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["export_web.py", "streets", *map(str, words)])
        return load_script("export_web").main()

    for _ in range(2):
        assert export("--out", tmp_path / "page") == 0
        said = json.loads(capsys.readouterr().out.splitlines()[-1])
    files = [file for file in (tmp_path / "page").rglob("*") if file.is_file()]
    assert said["files"] == len(files) and said["bytes"] == sum(f.stat().st_size for f in files)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert export("--out", tmp_path / "mine") == 1 and "something else" in capsys.readouterr().err
    assert export("--out", tmp_path / "new", "--runtime", tmp_path) == 1
    assert "lacks ort.wasm" in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_a_call_is_told_as_it_is_made() -> None:
    call = HubCall("add_space_secret", {"key": "A", "value": "b"}, ("value",))
    assert str(call) == "add_space_secret(key='A', value='***')"


def test_who_deploys_is_told_who_may_train(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    script = load_script("deploy_space")
    monkeypatch.setattr(script, "deploy", lambda *args, **options: "https://ann-studio.hf.space")
    monkeypatch.setattr(sys, "argv", ["deploy_space.py", "team/studio"])
    assert script.main() == 0
    said = capsys.readouterr().err
    assert "signs in as team may train" in said and "--variable PIX2PIX_OWNERS=NAME" in said
    monkeypatch.setattr(
        sys, "argv", ["deploy_space.py", "team/studio", "--variable", "PIX2PIX_OWNERS=ann"]
    )
    assert script.main() == 0 and not capsys.readouterr().err
