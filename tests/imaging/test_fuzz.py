"""Nonsense and malice to every event, endpoint and server function: no trace comes back, no file is
touched outside the workspace, and the next honest call works."""

from __future__ import annotations

import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from pix2pix.data.traced import SIDE, TracedSet
from pix2pix.imaging.picture import data_url, save_png
from pix2pix.training.run_control import force_stop
from pix2pix.ui.auth import Roles
from tests.support.drawn_pairs import draw_dataset
from tests.support.models_and_servers import noise, save_tiny_model, tiny_config
from tests.support.page_server import Server, arguments

MOST_ROUNDS = 3  # of each event; each round is other nonsense, by a seed
TYPED = ["", "tiny", "faces", "datasets/faces"]  # what an honest person may have typed
SECRET = "top-secret-content"


def deep(levels: int) -> Any:
    value: Any = "x"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def nonsense(secret: Path) -> list[Any]:
    file = {"meta": {"_type": "gradio.FileData"}}
    paths = [str(secret), "/etc/passwd", "../../../etc/passwd", "..", "\\\\host\\share\\x", "a\0b"]
    return [
        *(None, True, -1, 0, 2**70, -(2**70), 1e308, 0.5, "", " ", "x" * 200_000, "\u202e\ud7ff"),
        *([], {}, [None], [[]], deep(60), {"__type__": "update", "visible": True}),
        *paths,
        *({"path": path, **file} for path in paths),
        *([{"path": path, **file}] for path in paths),
        {"path": "x.png", "url": f"file://{secret}", **file},
        {"path": "x.png", "url": "http://127.0.0.1:1/x.png", **file},
        *("data:image/png;base64,AAAA", "data:image/png;base64,", "data:text/html,<script>"),
        *("<img src=x onerror=hit=1>", "${hit=1}", "{{value}}", "run: ../..", "owner/../name"),
        *("size=1000000", '{"ngf": 1e9}', "[" * 5000, "ngf=99999999", "1" * 5000),
    ]


class Watch:
    """Hears of every file that this process opens, makes, moves or deletes."""

    CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink")

    def __init__(self) -> None:
        self.on = False
        self.read: set[str] = set()
        self.changed: set[str] = set()
        sys.addaudithook(self.hear)

    def hear(self, event: str, args: tuple) -> None:
        if not self.on:
            return
        if event == "open" and isinstance(args[0], (str, bytes)):
            path = os.path.abspath(os.fsdecode(args[0]))
            writes = (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            (self.changed if writes else self.read).add(path)
        elif event in self.CHANGES and -1 in args[-1:]:  # else in a folder that was named before
            self.changed |= {os.path.abspath(os.fsdecode(p)) for p in args[:2] if _is_path(p)}


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, bytes, os.PathLike))


@pytest.fixture(scope="module")
def watch() -> Watch:
    return Watch()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("fuzz")
        (folder / "secret.txt").write_text(SECRET)
        workspace = folder / "workspace"
        for name in ("GRADIO_TEMP_DIR", "TMPDIR"):
            (folder / name).mkdir()
            patch.setenv(name, str(folder / name))
        patch.setattr(tempfile, "tempdir", str(folder / "TMPDIR"))
        patch.setenv("PIX2PIX_WORKSPACE", str(workspace))
        patch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")  # nobody is there
        draw_dataset(workspace / "datasets" / "faces", train=3, val=1)
        save_tiny_model(workspace / "models" / "tiny", tiny_config(title="Tiny"))
        (workspace / "models" / "tiny" / "samples").mkdir()
        traced = TracedSet(workspace / "traced" / "tiny", "drawing", [])
        traced.write()
        save_png(noise(SIDE, SIDE), traced.folder / "photos" / "tiny.png")
        started = Server(workspace, Roles(everybody=True))
        yield started
        started.page.close(verbose=False)
        for run in (workspace / "runs").glob("*"):  # a press of *Try it* needs no arguments
            force_stop(run)


def check(text: str) -> None:
    for sign in ("Traceback", 'File "', ".py", SECRET, "root:x:"):
        assert sign not in text, text[:2000]


def check_files(server: Server, watch: Watch) -> None:
    folder = server.workspace.parent
    allowed = [server.workspace, folder / "GRADIO_TEMP_DIR", folder / "TMPDIR", "/dev", "/proc"]
    outside = [p for p in watch.changed if not p.startswith(tuple(map(str, allowed)))]
    assert not [path for path in outside if "__pycache__" not in path]
    assert not watch.read & {"/etc/passwd", str(folder / "secret.txt")}


def honest(server: Server) -> None:
    """The next honest call works."""
    pad = next(number for number, name in server.server_functions() if name == "translate")
    request = {"model": "tiny", "image": data_url(noise(64, 64).convert("RGB")), "seed": None}
    assert server.call(pad, "translate", request)["image"].startswith("data:image/png")


def spoilt(event: Any, rng: random.Random, values: list[Any]) -> Iterator[list[Any]]:
    """Inputs that are all nonsense, then some that are honest but for one."""
    yield [rng.choice(values) for _ in event.inputs]
    for place in rng.sample(range(len(event.inputs)), min(len(event.inputs), MOST_ROUNDS)):
        data = [
            rng.choice(TYPED) if isinstance(component, gr.Textbox) else value
            for component, value in zip(event.inputs, arguments(event), strict=True)
        ]
        data[place] = rng.choice(values)
        yield data


def test_every_event_outlives_nonsense(server: Server, watch: Watch) -> None:
    rng, values = random.Random(0), nonsense(server.workspace.parent / "secret.txt")
    watch.on = True
    try:
        for number, event in server.page.fns.items():
            for data in spoilt(event, rng, values) if event.fn else ():
                check(json.dumps(server.ask(number, data, event_data=rng.choice(values))))
        heard = server.workspace / "heard"
        heard.write_text("the watch is awake")
    finally:
        watch.on = False
    assert str(heard) in watch.changed
    check_files(server, watch)
    honest(server)


def test_every_server_function_outlives_nonsense(server: Server, watch: Watch) -> None:
    rng, values = random.Random(1), nonsense(server.workspace.parent / "secret.txt")
    names = ["run", "seen", "step", "action", "epochs", "name", "small", "model", "image", "seed"]
    names += ["set", "file", "kind", "palette", "frame", "strokes", "done"]
    picture = data_url(noise(64, 64).convert("RGB"))
    watch.on = True
    try:
        for number, name in server.server_functions():
            for _ in range(40):
                request = {key: rng.choice([*values, picture, "tiny"]) for key in names}
                request |= {"model": "tiny", "image": picture} if rng.random() < 0.3 else {}
                answer = server.call(number, name, request)
                check(json.dumps(answer))
                assert isinstance(answer, dict)
            for value in values:
                answer = server.call(number, name, value)
                assert "error" in answer or name in ("look", "open_board")
    finally:
        watch.on = False
    check_files(server, watch)
    honest(server)


def test_broken_requests_are_answered(server: Server) -> None:
    """What is no JSON, too deep, of the wrong shape, or for what is not there."""
    bodies = [b"", b"{", b"[" * 200_000, b'{"a":' * 50_000, b"null", b"[]", b'"x"', b"\xff\xfe"]
    shapes: list[Any] = [{"fn_index": n, "data": []} for n in (-1, 10**6, "x", None, 1.5)]
    shapes += [{"component_id": n, "fn_name": "__init__", "data": 1} for n in (-1, 0, 5, "x")]
    shapes += [{"component_id": 5, "fn_name": name, "data": 1} for name in ("get_config", "")]
    shapes += [{"data": deep(200), "fn_index": 0, "session_hash": {"x": 1}}]
    bodies += [json.dumps(shape).encode() for shape in shapes]
    # A connection each: the server hangs up where Gradio itself fails.
    headers = {"content-type": "application/json", "connection": "close"}
    for place in ("queue/join", "component_server", "call/translate", "run/translate", "reset"):
        for body in bodies:
            answer = server.http.post(f"gradio_api/{place}", content=body, headers=headers)
            check(answer.text)
            assert answer.status_code >= 400 or place in ("queue/join", "call/translate", "reset")
    honest(server)


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "secret.txt", "../secret.txt", "workspace/models/tiny/config.json", "%00"],
)
def test_files_are_not_handed_out_by_their_path(server: Server, path: str) -> None:
    """The server gives what it was sent or made itself, and nothing else of the disk."""
    named = path if path.startswith("/") else f"{server.workspace.parent}/{path}"
    answer = server.http.get(f"gradio_api/file={named}")
    assert answer.status_code in (403, 404)
    check(answer.text)
