"""The real page on a real server in the test's own process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from starlette.middleware import Middleware

from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.ui.auth import Roles
from pix2pix.ui.limits import limits_middleware
from pix2pix.ui.page import build_page
from pix2pix.ui.theme import CSS_FILE, theme


def launched(page: Any, *, themed: bool = False, **more: Any) -> str:
    """The address at which this process serves a page from now on; `themed` as the app does."""
    if themed:
        more |= {"theme": theme(), "css_paths": CSS_FILE}
    return page.launch(prevent_thread_lock=True, quiet=True, _frontend=False, **more)[1]


class Server:
    """The page with everything on it, launched in this process, asked as a browser asks."""

    def __init__(self, workspace: Path, roles: Roles, *middleware: Middleware) -> None:
        self.workspace = workspace
        self.page = build_page(TranslatorCache(lambda: [workspace / "models"]), roles)
        middleware = [*middleware, limits_middleware(roles)]
        self.url = launched(self.page, app_kwargs={"middleware": middleware})
        self.http = httpx.Client(base_url=self.url, timeout=120)

    def ask(
        self, event: int, data: list[Any], who: dict[str, str] = {}, event_data: Any = None,  # noqa: B006
        session: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        """What the page would be told in the end; each time another page, unless told."""
        session = session or os.urandom(6).hex()
        body = {"data": data, "fn_index": event, "session_hash": session, "event_data": event_data}
        joined = self.http.post("gradio_api/queue/join", json=body, headers=who)
        if joined.status_code != 200:
            return {"status": joined.status_code, **joined.json()}
        url, asked = "gradio_api/queue/data", {"session_hash": session}
        with self.http.stream("GET", url, params=asked, headers=who) as lines:
            for line in lines.iter_lines():
                message = json.loads(line[6:]) if line.startswith("data: ") else {}
                if message.get("msg") == "process_completed":
                    return message
        raise AssertionError("the server hung up")

    def call(self, component: int, name: str, data: Any, who: dict[str, str] = {}) -> Any:  # noqa: B006
        body = {"data": data, "component_id": component, "fn_name": name, "session_hash": "s"}
        return self.http.post("gradio_api/component_server", json=body, headers=who).json()

    def tree(self) -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in sorted(self.workspace.rglob("*"))}

    def server_functions(self) -> list[tuple[int, str]]:
        """(component, name) of all that the page may call."""
        return [
            (number, function.__name__)
            for number, block in self.page.blocks.items()
            for function in getattr(block, "server_fns", None) or []
        ]


def handler(page: Any, name: str) -> Callable[..., Any]:
    """What a page calls under the name of an endpoint or of the function itself."""
    return next(f.fn for f in page.fns.values() if f.api_name == name or f.name == name)


def arguments(event: Any) -> list[Any]:
    """What a page would send where nothing was filled in."""
    return [getattr(component, "value", None) for component in event.inputs]
