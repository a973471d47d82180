"""Who may do what, and how much: the real page on a real server, asked by strangers and owners."""

from __future__ import annotations

import errno
import http.client
import io
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
import httpx
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from starlette.middleware import Middleware
from starlette.requests import Request

from pix2pix.errors import UserError
from pix2pix.imaging.picture import save_png
from pix2pix.ui.auth import ALLOW, OWNERS, Roles, is_local_only, is_loopback, signed_in_user
from pix2pix.ui.dataset.draw import FUNCTIONS
from pix2pix.ui.gradio_patches import NO_ADDRESS
from pix2pix.ui.limits import (
    DISK_FULL,
    FOREIGN_HOST,
    MAX_BODY,
    MAX_PER_HOUR,
    MAX_UPLOAD,
    MAX_WAITING,
    PUBLIC_LIMITS,
    LimitsMiddleware,
)
from pix2pix.ui.server import main as start_app
from pix2pix.ui.translate.pad import PadQueue
from tests.support.drawn_pairs import draw_dataset
from tests.support.models_and_servers import connected, noise, save_tiny_model, tiny_config
from tests.support.page_server import Server, arguments

STRANGER, ANN, BOB = {}, {"x-test-user": "ann"}, {"x-test-user": "bob"}
SECRET = "secret-patients"  # a dataset
ROLES = Roles(everybody=False, owners=frozenset({"ann"}))


def data(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


class SignIn:
    """Stands for the signed session: who is signed in, says a header."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        name = dict(scope.get("headers", ())).get(b"x-test-user", b"").decode()
        told = {"userinfo": {"preferred_username": name}, "expires_at": None}
        scope["session"] = {"oauth_info": told} if name else {}
        await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        workspace = tmp_path_factory.mktemp("roles") / "workspace"
        patch.setenv("PIX2PIX_WORKSPACE", str(workspace))
        draw_dataset(workspace / "datasets" / "faces", train=3, val=1)
        draw_dataset(workspace / "datasets" / SECRET, train=1, val=0)
        save_tiny_model(workspace / "models" / "tiny", tiny_config(title="Tiny"))
        started = Server(workspace, ROLES, Middleware(SignIn))
        yield started
        started.page.close(verbose=False)


# --------------------------------------------------------------------------------------- strangers


def test_a_stranger_is_refused_by_every_event_but_those_of_translation(server: Server) -> None:
    before = server.tree()
    allowed, silent = set(), set()
    for number, event in server.page.fns.items():
        if event.fn is None:
            continue
        answer = server.ask(number, arguments(event), STRANGER)
        said = str(answer.get("output", {}).get("error", ""))
        if said == ROLES.sentence:
            continue
        is_guarded = event.fn.__code__.co_name == "guarded"
        (silent if is_guarded else allowed).add(event.name)
    assert allowed == {
        *("pick", "compare", "vary", "translate", "translate_batch"),
        *("choose", "to_pad", "list_models", "refresh"),
        "cut",  # a pair that was given for a photo
        *("begin", "fetch", "cancel", "end"),  # a model from the Hub, for oneself
        "end_unless_begun",
    }
    assert silent == {"leave", "show", "library_items", "warnings"}
    assert server.tree() == before


def test_what_every_page_begins_with_names_nothing(server: Server) -> None:
    said = server.http.get("config").text + server.http.get("gradio_api/info").text
    assert SECRET not in said and "/list_models" in said


def test_what_is_silent_answers_nothing(server: Server) -> None:
    cards = next(
        number for number, event in server.page.fns.items() if event.name == "library_items"
    )
    shown = server.ask(cards, [""], STRANGER)
    assert shown["success"] and "faces" not in json.dumps(shown)
    assert "faces" in json.dumps(server.ask(cards, [""], ANN))


def test_a_stranger_is_refused_by_every_server_function_but_those_of_the_pad(
    server: Server,
) -> None:
    found = {
        name: server.call(number, name, {"run": ""}, STRANGER)["error"]
        for number, name in server.server_functions()
    }
    assert found.pop("translate") == found.pop("variations") != ROLES.sentence
    board = [function.__name__ for function in FUNCTIONS]
    assert found == dict.fromkeys(("look", "sample", "act", *board), ROLES.sentence)


@pytest.mark.parametrize("who", [STRANGER, BOB], ids=["stranger", "bob"])
def test_endpoints_refuse_by_name_too(server: Server, who: dict[str, str]) -> None:
    events = {event.api_name: event for event in server.page.fns.values()}
    for name, data in {
        "start_training": ["faces", "maps", "", {}, ""],
        "stop_training": ["run", False],
        "training_status": [""],
        "build_dataset": arguments(events["build_dataset"]),
    }.items():
        joined = server.http.post(f"gradio_api/call/{name}", json={"data": data}, headers=who)
        event = joined.json()["event_id"]
        said = server.http.get(f"gradio_api/call/{name}/{event}", headers=who).text
        assert "event: error" in said and ROLES.sentence in said


def test_the_owner_may(server: Server) -> None:
    by_name = {event.name: number for number, event in server.page.fns.items()}
    answer = server.ask(by_name["training_status"], [""], ANN)
    assert answer["output"]["data"] == [{"runs": []}]
    number = next(n for n, b in server.page.blocks.items() if getattr(b, "elem_id", "") == "live")
    assert "parts" in server.call(number, "look", {"run": "", "seen": {}}, ANN)
    assert server.call(number, "look", {"run": "", "seen": {}}, BOB) == {"error": ROLES.sentence}


def test_the_parts_are_shown_to_the_owner_alone(server: Server) -> None:
    own = server.page._id
    shows = [n for n, event in server.page.fns.items() if event.targets == [(own, "load")]]
    shown = [json.dumps(server.ask(number, [], ANN)) for number in shows]
    assert sum('"visible": true' in words for words in shown) == 3
    hidden = [json.dumps(server.ask(number, [], STRANGER)) for number in shows]
    assert not any('"visible": true' in words for words in hidden)


# ------------------------------------------------------------------------------------ who is whom


@pytest.mark.parametrize(
    ("environment", "host", "everybody", "owners"),
    [
        ({}, "127.0.0.1", True, set()),
        ({}, "::1", True, set()),
        ({}, "localhost", True, set()),
        ({}, "0.0.0.0", False, set()),
        ({}, "192.168.1.5", False, set()),
        ({ALLOW: "1"}, "0.0.0.0", True, set()),
        ({ALLOW: "0"}, "127.0.0.1", False, set()),
        ({ALLOW: "False"}, "127.0.0.1", False, set()),
        ({ALLOW: " on"}, "0.0.0.0", True, set()),
        ({ALLOW: ""}, "127.0.0.1", True, set()),
        ({"SPACE_ID": "ann/studio", "SPACE_AUTHOR_NAME": "ann"}, "127.0.0.1", False, set()),
        (
            {"SPACE_ID": "s", "SPACE_AUTHOR_NAME": "ann", "OAUTH_CLIENT_SECRET": "x"},
            "0.0.0.0", False, {"ann"},
        ),
        (
            {"SPACE_ID": "s", "SPACE_AUTHOR_NAME": "org", OWNERS: "ann, bob",
             "OAUTH_CLIENT_SECRET": "x"},
            "0.0.0.0", False, {"ann", "bob"},
        ),
        ({OWNERS: "ann"}, "0.0.0.0", False, set()),  # nobody can sign in where there is no secret
    ],
)  # fmt: skip
def test_who_may(
    environment: dict, host: str, everybody: bool, owners: set, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (ALLOW, OWNERS, "SPACE_ID", "SPACE_AUTHOR_NAME", "OAUTH_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Roles.of_server(host) == Roles(everybody, frozenset(owners))
    assert is_local_only(host) == (everybody and not environment.get(ALLOW))


def test_an_address_is_this_machines_own() -> None:
    assert is_loopback("127.0.0.1") and is_loopback("[::1]") and is_loopback("localhost")
    assert not is_loopback("0.0.0.0") and not is_loopback("::") and not is_loopback("example.org")


def test_a_session_that_ran_out_is_nobodys() -> None:
    class Asked:
        scope: dict = {"session": {}}  # noqa: RUF012

    told = {"userinfo": {"preferred_username": "ann"}, "expires_at": 1.0}
    assert signed_in_user(None) is None and signed_in_user(Asked()) is None
    Asked.scope = {"session": {"oauth_info": told}}
    assert signed_in_user(Asked()) is None
    told["expires_at"] = 4e9
    assert signed_in_user(Asked()) == "ann" == signed_in_user(gr.Request(request=Asked()))


# ----------------------------------------------------------------------------------------- limits


def test_too_much_is_refused_with_a_sentence(server: Server) -> None:
    asked = http.client.HTTPConnection("127.0.0.1", httpx.URL(server.url).port, timeout=60)
    asked.putrequest("POST", "/gradio_api/upload")
    asked.putheader("Content-Length", str(MAX_UPLOAD + 1))
    asked.endheaders()  # the length is enough: no body is waited for
    refused = asked.getresponse()
    assert refused.status == 413
    assert refused.read() == b"At most 100 MB can be sent at a time here: send less."
    body = {"data": ["x" * MAX_BODY], "fn_index": 0, "session_hash": "s"}
    answer = server.http.post("gradio_api/queue/join", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (
        413,
        "This is too large to be sent here.",
    )

    def endless() -> Iterator[bytes]:
        yield b"x"

    unsaid = server.http.post("gradio_api/upload", content=endless())
    assert unsaid.status_code == 411


def test_a_stranger_sends_to_what_the_page_uses_alone(server: Server) -> None:
    def sent(place: str, who: dict[str, str]) -> tuple[int, str]:
        answer = server.http.post(f"gradio_api/{place}", json={}, headers=who)
        return answer.status_code, answer.json().get("detail")

    for place in ("process_recording", "run-history/connect", "vibe-edit", "stream/x"):
        assert sent(place, BOB) == (403, ROLES.sentence)
        answer = server.http.post(f"gradio_api/{place}", json={}, headers=ANN)
        assert ROLES.sentence not in answer.text
    assert connected(server.url).predict(api_name="/list_models")[0]["name"] == "tiny"


def test_an_upload_of_a_picture_passes(server: Server) -> None:
    files = {"files": ("a.png", b"not yet a picture", "image/png")}
    sent = server.http.post("gradio_api/upload", files=files)
    assert sent.status_code == 200 and sent.json()[0].endswith("a.png")


def test_no_address_is_fetched_for_a_visitor(server: Server) -> None:
    """Nor handed on: not even this server's own, which here would answer with a picture."""
    files = {"files": ("a.png", data(noise(64, 64)), "image/png")}
    held = server.http.post("gradio_api/upload", files=files).json()[0]
    assert server.http.get(f"gradio_api/file={held}").status_code == 200
    own, client = f"{server.url}gradio_api/file={held}", connected(server.url)
    asked = {"model": "tiny", "api_name": "/translate"}
    for address in ("http://files.example/x.png", f"{server.url}theme.css", own + "/../x.png"):
        with pytest.raises(AppError, match=NO_ADDRESS):
            client.predict(image=handle_file(address), **asked)
    assert Path(client.predict(image=handle_file(own), **asked)).is_file()  # it need not be fetched
    address = f"{server.url}theme.css"
    escaped = [quote(address, safe=""), quote(quote(address, safe=""), safe="")]
    for named in (address, *escaped, address.upper(), "ftp://x/y", "file:///etc/passwd"):
        for place in (f"file={named}", f"file/{named}", f"proxy={named}"):
            for ask in (server.http.get, server.http.head):
                assert ask(f"gradio_api/{place}").status_code == 403
        assert server.http.get(f"gradio_api/file={named}").text == NO_ADDRESS


class Clock:
    time, disk = 0.0, 10**12

    def limits(self, roles: Roles = ROLES) -> LimitsMiddleware:
        return LimitsMiddleware(None, roles, False, lambda: self.time, lambda: self.disk)


def test_the_volume_of_an_hour_counts_by_address_and_is_forgotten() -> None:
    clock = Clock()
    mine = clock.limits()
    assert mine.within_the_hour("a", MAX_PER_HOUR)
    assert not mine.within_the_hour("a", 1) and mine.within_the_hour("b", 1)
    clock.time = 3601.0
    assert mine.within_the_hour("a", 1) and list(mine.sent) == ["a"]


def test_on_a_space_one_visitor_uses_up_nobody_elses_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Clock().limits()

    def send(*forwarded: str) -> int:
        headers = [(b"content-length", str(MAX_UPLOAD).encode())]
        headers += [(b"x-forwarded-for", told.encode()) for told in forwarded]
        scope = {"type": "http", "path": "/gradio_api/upload", "headers": headers}
        scope |= {"client": ("10.0.0.7", 1), "query_string": b"", "server": ("s", 80)}
        return mine.judge(Request(scope | {"scheme": "http"}))[0]

    monkeypatch.setenv("SPACE_ID", "ann/studio")
    greedy = [send(f"9.9.9.{n}, 8.8.8.8", "10.0.0.1") for n in range(12)]  # the first is made up
    assert greedy == [0] * 10 + [429] * 2
    assert send("8.8.4.4") == 0 == send("2001:4860:4860::8888, 10.0.0.1")
    assert send("8.8.4.4, nonsense, 8.8.8.8") == 429 and send() == 0
    monkeypatch.delenv("SPACE_ID")  # elsewhere anybody could write such a header
    assert [send(f"1.1.1.{n}") for n in range(10)] == [0] * 9 + [429]


def test_a_page_whose_name_was_led_to_this_machine_is_refused() -> None:
    own = LimitsMiddleware(None, Roles(everybody=True), loopback_only=True)

    def send(host: str) -> tuple[int, str]:
        scope = {"type": "http", "path": "/gradio_api/queue/join", "client": ("127.0.0.1", 1)}
        headers = [(b"content-length", b"9"), (b"host", host.encode())]
        scope |= {"server": ("127.0.0.1", 7860), "query_string": b"", "scheme": "http"}
        return own.judge(Request(scope | {"headers": headers}))

    for host in ("127.0.0.1:7860", "localhost:7860", "LOCALHOST", "[::1]:7860"):
        assert send(host) == (0, "")
    for host in ("evil.example:7860", "evil_x.example", "localhost.evil", "127.0.0.1@x", "[", ""):
        assert send(host) == (403, FOREIGN_HOST)


def test_a_full_disk_takes_no_upload() -> None:
    clock = Clock()
    clock.disk = 2**30
    scope = {"type": "http", "path": "/gradio_api/upload", "headers": [(b"content-length", b"9")]}
    scope |= {"client": ("a", 1), "query_string": b"", "server": ("s", 80), "scheme": "http"}
    assert clock.limits().judge(Request(scope)) == (
        507, "The server's disk is full: try again tomorrow, or tell its owner.",
    )  # fmt: skip
    clock.disk += 10
    assert clock.limits().judge(Request(scope)) == (0, "")


def test_the_disk_is_that_of_the_uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pix2pix.ui import limits

    seen: list[Path] = []
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "another disk" / "gradio"))
    monkeypatch.setattr(limits.shutil, "disk_usage", lambda place: seen.append(place) or Clock)
    limits.upload_disk()
    assert seen == [tmp_path / "another disk" / "gradio"] and seen[0].is_dir()


def test_a_full_disk_takes_no_results(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither of a photo, nor of a batch, nor a model of the Hub; and what fills it is undone."""
    from pix2pix.ui import limits
    from pix2pix.ui.translate import batch

    files = {"files": ("a.png", data(noise(64, 64)), "image/png")}
    held = server.http.post("gradio_api/upload", files=files).json()[0]
    picture = {"path": held, "meta": {"_type": "gradio.FileData"}}
    numbers = {event.name: number for number, event in server.page.fns.items()}
    photo = [picture, "tiny", "", "auto", "pencil", "", "", False, ""]
    asked = {
        "translate": photo,
        **{name: [1.0, *photo] for name in ("compare", "vary")},  # and the page's clock
        "translate_batch": [[picture], "tiny", "", "", "", ""],
        "fetch": ["ann/faces", "", {}, *arguments(server.page.fns[numbers["fetch"]])[3:]],
    }

    def said(name: str) -> str:
        return str(server.ask(numbers[name], asked[name])["output"].get("error", ""))

    def full(*given: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(batch.zipfile.ZipFile, "write", full)
        patch.setattr(batch, "results_folder", lambda: tmp_path)
        assert said("translate_batch") == DISK_FULL and not [*tmp_path.iterdir()]
    with monkeypatch.context() as patch:
        usage = shutil.disk_usage(tmp_path)._replace(free=2**30 - 1)
        patch.setattr(limits.shutil, "disk_usage", lambda place: usage)
        refused = {name: said(name) for name in asked}
    assert refused.pop("translate_batch") == f"0 of 1 translated. {DISK_FULL}"
    assert set(refused.values()) == {DISK_FULL}
    assert said("translate_batch") == "" == said("translate")


def test_a_stranger_is_told_how_heavy_a_model_may_be(server: Server, monkeypatch: Any) -> None:
    def fetch(*given: Any, most_work: float, **more: Any) -> Path:
        raise UserError(f"At most {most_work:.0f}.")

    monkeypatch.setattr("pix2pix.ui.translate.tab.fetch_model", fetch)
    number = next(n for n, event in server.page.fns.items() if event.name == "fetch")
    data = ["ann/faces", "", {}, *arguments(server.page.fns[number])[3:]]
    assert server.ask(number, data)["output"]["error"] == f"At most {PUBLIC_LIMITS.work:.0f}."


def test_the_pad_counts_who_draws_by_address(server: Server, monkeypatch: Any) -> None:
    asked: list[str] = []
    monkeypatch.setattr(PadQueue, "is_full", lambda line, address: asked.append(address) or True)
    pad = next(n for n, name in server.server_functions() if name == "translate")
    assert server.call(pad, "translate", {})["busy"] and asked == ["127.0.0.1"]


def test_one_visitor_cannot_fill_the_queue(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others are still answered while one visitor's work waits."""
    begun, go_on = threading.Event(), threading.Event()
    number = next(n for n, event in server.page.fns.items() if event.name == "list_models")
    event = server.page.fns[number]

    def slow() -> list:
        begun.set()
        assert go_on.wait(60)
        return []

    monkeypatch.setattr(event, "fn", slow)

    def join(session: str) -> httpx.Response:
        body = {"data": [], "fn_index": number, "session_hash": session}
        return server.http.post("gradio_api/queue/join", json=body)

    try:
        codes = [join("greedy").status_code for _ in range(MAX_WAITING + 6)]
        assert begun.wait(60)
        assert codes[:MAX_WAITING] == [200] * MAX_WAITING and codes[-1] == 429
        assert join("greedy").json()["detail"].startswith("You have much waiting")
        assert join("modest").status_code == 200
    finally:
        go_on.set()


def test_nothing_goes_past_the_queue(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by Gradio's direct calls, and not by programs whose every call is another session."""
    number = next(n for n, event in server.page.fns.items() if event.name == "list_models")
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(server.page.fns[number], "fn", lambda: [begun.set(), go_on.wait(60)][:0])

    def post(place: str, who: dict[str, str] = STRANGER) -> int:
        return server.http.post(f"gradio_api/{place}", json={"data": []}, headers=who).status_code

    assert [post("api/list_models"), post("run/list_models", ANN)] == [404, 404]
    on_space = {"x-forwarded-for": "8.8.8.8"}, {"x-forwarded-for": "8.8.4.4"}
    monkeypatch.setenv("SPACE_ID", "ann/studio")
    try:
        codes = [post("call/list_models", on_space[0]) for _ in range(MAX_WAITING + 6)]
        assert begun.wait(60)
        assert codes[:MAX_WAITING] == [200] * MAX_WAITING and codes[-1] == 429
        assert post("call/list_models", on_space[1]) == 200
    finally:
        go_on.set()


def test_a_stranger_sends_fewer_and_smaller_pictures(server: Server, tmp_path: Path) -> None:
    client = connected(server.url)
    large = tmp_path / "large.png"
    Image.new("L", (5001, 5000)).save(large)
    with pytest.raises(AppError, match="25,000,000"):
        client.predict(image=handle_file(large), model="tiny", api_name="/translate")
    save_png(noise(8, 8), tmp_path / "small.png")
    files = [handle_file(tmp_path / "small.png")] * 51
    with pytest.raises(AppError, match="At most 50 pictures"):
        client.predict(files=files, model="tiny", api_name="/translate_batch")


# -------------------------------------------------------------------------------- the app's start


def test_the_app_opens_no_public_link_and_starts_by_no_guess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked = {}
    monkeypatch.setattr(gr.Blocks, "launch", lambda page, **options: asked.update(options))
    monkeypatch.setattr(sys, "argv", ["app.py"])
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("GRADIO_SHARE", "true")
    start_app()
    assert asked.pop("share") is False
    limits, _ = asked["app_kwargs"]["middleware"]
    assert limits.kwargs["loopback_only"]
    monkeypatch.setenv(ALLOW, "nein")
    with pytest.raises(SystemExit):
        start_app()
    assert capsys.readouterr().err == (
        f"{ALLOW} is 'nein': set it to 1 or 0, or leave it out.\n"
    )  # fmt: skip
