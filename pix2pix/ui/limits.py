"""Limit what a visitor may send and ask: judged before it is taken, refused with a sentence.

Large uploads, too many of them, and too much waiting work of one visitor are turned away in front
of Gradio, which would take them all. Nor does Gradio download for a visitor what an address names.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import os
import re
import shutil
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pix2pix.errors import UserError
from pix2pix.imaging.picture import MAX_PIXELS
from pix2pix.ui.auth import ALLOW, Roles, is_loopback
from pix2pix.ui.gradio_patches import NO_ADDRESS, limit_queue

MIB = 2**20
MAX_WAITING = 16  # events of one visitor in the queue: a page load brings about ten
MAX_BODY = 32 * MIB  # of a request that is no upload: the largest is a drawing
MAX_UPLOAD, MAX_PER_HOUR = 100 * MIB, 1024 * MIB  # of a visitor who may only translate
MAX_OWNER_UPLOAD = 2048 * MIB  # of one request of those who may do everything
MIN_FREE_DISK = 1024 * MIB  # of the disks that uploads and results go to
HOUR = 3600.0
# What a page and Gradio's clients send to. More lies there, such as a converter of videos that
# answers outside the queue, which is nobody's who may only translate.
POST_ROUTES = {
    "queue",
    "call",
    "run",
    "api",
    "component_server",
    "upload",
    "cancel",
    "reset",
    "mcp",
}
# Where Gradio would hand on what lies elsewhere. `C:` is no scheme but a disk.
PROXY_ROUTE = re.compile(r"/gradio_api/(proxy=|file[=/][a-z][a-z0-9+.-]+:)", re.IGNORECASE)
MUCH_WAITING = "You have much waiting here already: let it finish first."
DISK_FULL = "The server's disk is full: try again tomorrow, or tell its owner."
FOREIGN_HOST = (
    "This app is for its own machine: open it as http://127.0.0.1 or localhost there, or behind a "
    f"proxy of yours start it with {ALLOW}=0 or 1."
)


@dataclass(frozen=True)
class Limits:
    """What a visitor may ask for at a time."""

    files: int = 200  # of one batch
    pixels: int = MAX_PIXELS  # of one picture
    frames: int = 20_000  # of the videos of one batch
    work: float = math.inf  # of a model of the Hub for one picture, in multiply-adds


# Where strangers share a server. The paper's U-Net takes 6 billion multiply-adds at 256 pixels and
# 97 at 1024, a ResNet 199 at 512: no forward holds up the others for more than seconds on a CPU.
PUBLIC_LIMITS = Limits(files=50, pixels=25_000_000, frames=240, work=250e9)


class DiskFull(UserError):
    """The disk takes no more results: nothing that is tried next would be taken either."""


class LimitsMiddleware:
    """ASGI middleware that judges requests before Gradio takes them.

    With `loopback_only` only what was sent to an address of this machine is taken: a foreign page
    may have its own name lead here, and the browser believes that both are one.
    """

    def __init__(
        self,
        app: ASGIApp,
        roles: Roles,
        loopback_only: bool = False,
        now: Callable[[], float] = time.monotonic,
        free: Callable[[], int] = lambda: upload_disk().free,
    ) -> None:
        self.app, self.roles, self.loopback_only = app, roles, loopback_only
        self.now, self.free = now, free
        self.sent: dict[str, deque[tuple[float, int]]] = {}  # uploads of the last hour, by address
        self.lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a sentence where it asks for too much."""
        if scope["type"] == "http" and PROXY_ROUTE.search(unquote(scope["path"])):
            return await PlainTextResponse(NO_ADDRESS, 403)(scope, receive, send)
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        code, sentence = self.judge(Request(scope))
        if code:  # in the form in which the page shows it
            upload = scope["path"].endswith("/upload")
            answer = PlainTextResponse(sentence, code) if upload else None
            answer = answer or JSONResponse({"detail": sentence}, code)
            return await answer(scope, receive, send)
        await self.app(scope, receive, send)

    def judge(self, request: Request) -> tuple[int, str]:
        """Return a status and a sentence for a request that is refused, else (0, "")."""
        if self.loopback_only and not is_loopback(request_host(request)):
            return 403, FOREIGN_HOST
        owner = self.roles.allows(request)
        place = request.url.path.partition("/gradio_api/")[2].split("/")[0]
        if not owner and place not in POST_ROUTES:
            return 403, self.roles.sentence
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return 411, "The request does not say how long it is: send it with its length."
        size = int(length)
        if not request.url.path.endswith("/upload"):
            return (413, "This is too large to be sent here.") if size > MAX_BODY else (0, "")
        limit = MAX_OWNER_UPLOAD if owner else MAX_UPLOAD
        if size > limit:
            return 413, f"At most {limit // MIB} MB can be sent at a time here: send less."
        if self.free() - size < MIN_FREE_DISK:
            return 507, DISK_FULL
        if not owner and not self.within_the_hour(visitor_address(request), size):
            return 429, f"At most {MAX_PER_HOUR // MIB} MB an hour can be sent: try again later."
        return 0, ""

    def within_the_hour(self, address: str, size: int) -> bool:
        """Return whether an address may send so many bytes more; if so they count."""
        with self.lock:
            then = self.now() - HOUR
            for key, sent in list(self.sent.items()):
                while sent and sent[0][0] < then:
                    sent.popleft()
                if not sent:
                    del self.sent[key]
            sent = self.sent.setdefault(address, deque())
            if sum(bytes_ for _, bytes_ in sent) + size > MAX_PER_HOUR:
                return False
            sent.append((self.now(), size))
            return True


def limits_middleware(roles: Roles, loopback_only: bool = False) -> Middleware:
    """Make the middleware for ``page.launch``."""
    return Middleware(LimitsMiddleware, roles=roles, loopback_only=loopback_only)


def limit_waiting(page: gr.Blocks) -> None:
    """Limit what of one visitor waits in the page's queue."""
    limit_queue(page, event_owner, MAX_WAITING, MUCH_WAITING)


def upload_disk() -> Any:
    """Return the usage of the disk that Gradio puts uploads on; ``GRADIO_TEMP_DIR`` may be
    another."""
    place = Path(get_upload_folder())
    place.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(place)


def check_disk() -> None:
    """Raise UserError where no more results and models of the Hub are taken.

    They lie in a temporary folder and, for a day, where Gradio copies them, beside the uploads.
    """
    disks = upload_disk(), shutil.disk_usage(tempfile.gettempdir())
    if min(disk.free for disk in disks) < MIN_FREE_DISK:
        raise DiskFull(DISK_FULL)


def request_host(request: Request) -> str:
    """Return what the visitor calls this server, or nothing where that is not a host name."""
    with contextlib.suppress(ValueError):
        return urlsplit("//" + request.headers.get("host", "")).hostname or ""
    return ""


def visitor_address(request: Request) -> str:
    """Return the visitor's address: on a Space the last public one in the header, since every
    connection there is the proxy's, and what stands before those that the platform appends may
    be made up."""
    if "SPACE_ID" in os.environ:
        addresses = ",".join(request.headers.getlist("x-forwarded-for")).split(",")
        for address in map(str.strip, reversed(addresses)):
            with contextlib.suppress(ValueError):
                if ipaddress.ip_address(address).is_global:
                    return address
    return request.client.host if request.client else ""


def event_owner(request: Request, session: str) -> str:
    """Return whom an event counts for: the page it comes from, or the address of a program that
    calls without one, and so by another session each time."""
    return visitor_address(request) if "/gradio_api/call/" in request.url.path else session
