"""How much a visitor may send: judged before it is taken, and refused with a sentence.

Large uploads, too many of them, and too much waiting work of one visitor are turned away in front
of Gradio, which would take them all. Nor does Gradio download for a visitor what an address names.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import gradio as gr
from gradio import processing_utils
from gradio.utils import get_upload_folder, is_in_or_equal
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pix2pix.ui.roles import ALLOW, Roles, is_own
from pix2pix.ui.shared import complaint

MIB = 2**20
MOST_WAITING = 16  # events of one visitor in the queue: a page load brings about ten
MOST_BODY = 32 * MIB  # of a request that is no upload: the largest is a drawing
MOST_UPLOAD, MOST_AN_HOUR = 100 * MIB, 1024 * MIB  # of a visitor who may only translate
MOST_FOR_OWNERS = 2048 * MIB  # of one request of those who may do everything
KEEP_FREE = 1024 * MIB  # of the disks that uploads and results go to
HOUR = 3600.0
# What a page and Gradio's clients send to. More lies there, such as a converter of videos that
# answers outside the queue, which is nobody's who may only translate.
POSTED = {"queue", "call", "run", "api", "component_server", "upload", "cancel", "reset", "mcp"}
JOINS = re.compile(r"/gradio_api/(queue/join|call/.+)$")  # the queue: a page, a program
# Where Gradio would hand on what lies elsewhere. `C:` is no scheme but a disk.
ELSEWHERE = re.compile(r"/gradio_api/(proxy=|file[=/][a-z][a-z0-9+.-]+:)", re.IGNORECASE)
DISK_FULL = "The server's disk is full: try again tomorrow, or tell its owner."
NOT_OWN = (
    "This app is for its own machine: open it as http://127.0.0.1 or localhost there, or behind a "
    f"proxy of yours start it with {ALLOW}=0 or 1."
)
NO_ADDRESS = "Send the file itself, not its address."


class Limits:
    """ASGI middleware. `waiting()` gives whose each event is that waits, see `whose`. With `own`
    only what was sent to an address of this machine is taken: a foreign page may have its own name
    lead here, and the browser believes that both are one."""

    def __init__(
        self,
        app: ASGIApp,
        roles: Roles,
        waiting: Callable[[], list[str]],
        own: bool = False,
        now: Callable[[], float] = time.monotonic,
        free: Callable[[], int] = lambda: disk_of_uploads().free,
    ) -> None:
        self.app, self.roles, self.waiting, self.own = app, roles, waiting, own
        self.now, self.free = now, free
        self.sent: dict[str, deque[tuple[float, int]]] = {}  # uploads of the last hour, by address
        self.lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and ELSEWHERE.search(unquote(scope["path"])):
            return await PlainTextResponse(NO_ADDRESS, 403)(scope, receive, send)
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        request = Request(scope)
        code, sentence = self.judge(request)
        joins = not code and JOINS.search(scope["path"])
        if joins and len(all_waiting := self.waiting()) >= MOST_WAITING:  # else nobody has too many
            body = await whole(receive)
            receive = again(body, receive)
            if all_waiting.count(whose(request, session_of(body))) >= MOST_WAITING:
                code, sentence = 429, "You have much waiting here already: let it finish first."
        if code:  # in the form in which the page shows it
            upload = scope["path"].endswith("/upload")
            answer = PlainTextResponse(sentence, code) if upload else None
            answer = answer or JSONResponse({"detail": sentence}, code)
            return await answer(scope, receive, send)
        await self.app(scope, receive, send)

    def judge(self, request: Request) -> tuple[int, str]:
        """A status and a sentence for a request that is refused, else (0, "")."""
        if self.own and not is_own(host_of(request)):
            return 403, NOT_OWN
        owner = self.roles.may(request)
        place = request.url.path.partition("/gradio_api/")[2].split("/")[0]
        if not owner and place not in POSTED:
            return 403, self.roles.sentence
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return 411, "The request does not say how long it is: send it with its length."
        size = int(length)
        if not request.url.path.endswith("/upload"):
            return (413, "This is too large to be sent here.") if size > MOST_BODY else (0, "")
        most = MOST_FOR_OWNERS if owner else MOST_UPLOAD
        if size > most:
            return 413, f"At most {most // MIB} MB can be sent at a time here: send less."
        if self.free() - size < KEEP_FREE:
            return 507, DISK_FULL
        if not owner and not self.within_the_hour(address_of(request), size):
            return 429, f"At most {MOST_AN_HOUR // MIB} MB an hour can be sent: try again later."
        return 0, ""

    def within_the_hour(self, address: str, size: int) -> bool:
        """Whether an address may send so many bytes more; if so they count."""
        with self.lock:
            then = self.now() - HOUR
            for key, sent in list(self.sent.items()):
                while sent and sent[0][0] < then:
                    sent.popleft()
                if not sent:
                    del self.sent[key]
            sent = self.sent.setdefault(address, deque())
            if sum(bytes_ for _, bytes_ in sent) + size > MOST_AN_HOUR:
                return False
            sent.append((self.now(), size))
            return True


def limits(page: gr.Blocks, roles: Roles, own: bool = False) -> Middleware:
    """The middleware for ``page.launch``."""

    def waiting() -> list[str]:
        queues = page._queue.event_queue_per_concurrency_id.values()
        events = [event for queue in queues for event in list(queue.queue)]
        return [whose(event.request, event.session_hash) for event in events]

    return Middleware(Limits, roles=roles, waiting=waiting, own=own)


def download_nothing() -> None:
    """Let Gradio refuse an address in the place of a file. It would load the whole of it into
    memory, whatever its size, and every component looks for the functions where they are set here.
    The address of a file that this server holds stands for the file: programs that speak MCP
    upload first."""

    async def own_file(url: str, cache_dir: str) -> str:
        file = unquote(url.partition("/gradio_api/file=")[2])
        if file and is_in_or_equal(file, get_upload_folder()) and Path(file).is_file():
            return file
        return await refused(url)

    async def refused(url: str) -> Any:
        raise complaint(NO_ADDRESS)

    processing_utils.async_ssrf_protected_download = own_file
    processing_utils.async_ssrf_protected_get = refused


def disk_of_uploads() -> Any:
    """The figures of the disk that Gradio puts uploads on: ``GRADIO_TEMP_DIR`` may be another."""
    place = Path(get_upload_folder())
    place.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(place)


def disk_is_short() -> bool:
    """Whether no more results and models of the Hub are taken, which lie in a temporary folder and,
    for a day, where Gradio copies them, beside the uploads."""
    disks = disk_of_uploads(), shutil.disk_usage(tempfile.gettempdir())
    return min(disk.free for disk in disks) < KEEP_FREE


def host_of(request: Request) -> str:
    """What the visitor calls this server; `request.url` makes good what it takes for no name."""
    with contextlib.suppress(ValueError):
        return urlsplit("//" + request.headers.get("host", "")).hostname or ""
    return ""


def address_of(request: Request) -> str:
    """The visitor's: on a Space the last public one that is told, since every connection there is
    the proxy's, and what stands before those that the platform appends may be made up."""
    if "SPACE_ID" in os.environ:
        told = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        for address in map(str.strip, reversed(told)):
            with contextlib.suppress(ValueError):
                if ipaddress.ip_address(address).is_global:
                    return address
    return request.client.host if request.client else ""


def whose(request: Request, session: str) -> str:
    """Whom an event counts for: the page it comes from, or the address of a program that calls
    without one, and so by another session each time."""
    return address_of(request) if "/gradio_api/call/" in request.url.path else session


async def whole(receive: Receive) -> bytes:
    """The body of a request whose length was judged."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message["type"] == "http.request" and message.get("more_body", False)
    return b"".join(parts)


def again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that begins with a body that was read already."""
    told = False

    async def replay() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def session_of(body: bytes) -> str:
    """The visitor's session in the body of an event, or nothing."""
    try:
        told: Any = json.loads(body)
        return str(told["session_hash"])
    except (ValueError, RecursionError, TypeError, KeyError):
        return ""
