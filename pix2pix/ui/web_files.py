"""Serve the page's modules, the runtime and the models' files that a visitor's device draws with.

Their addresses hold a digest of what they name, so that a browser keeps them for ever, and what
compresses well is sent compressed.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from pix2pix.errors import UserError
from pix2pix.models.folder import GRAPH, WEIGHTS, read_config
from pix2pix.ui.device_engine import (
    INSTALLED,
    RUNTIME_FILES,
    compressed,
    engine_files,
    has_runtime,
    is_switched_off,
    model_digest,
    runtime_addresses,
    runtime_version,
)
from pix2pix.ui.gradio_patches import page_error
from pix2pix.utils.workspace import hub_model_cache

WEB = Path(__file__).parent / "web"
PREFIX = "studio"  # of every address here, below that of the page
FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
# Gradio runs this in a function with `element` and the rest in scope. Its own idea of the page's
# address may have another scheme, where a proxy stands before it.
MOUNT = """
const base = new URL(window.gradio_config?.root ?? document.baseURI, document.baseURI);
const root = new URL(base.pathname.replace(/\\/*$/, "/"), location.origin).href;
import(new URL("{module}", root)).then((module) => (
  module.mount({{ element, props, server, upload, watch, trigger, root }})
)).catch((error) => {{
  console.error(error);
  element.append("This part of the page did not load: reload the page.");
}});
"""


def mount_script(module: str, events: Sequence[str] = ()) -> str:
    """Return the ``js_on_load`` of a component that a module of `web/` brings to life: it exports
    ``mount({ element, props, server, upload, watch, trigger, root })``. Gradio looks for the names
    of the `events` that it triggers in this text."""
    names = ", ".join(f'"{event}"' for event in events)
    script = MOUNT.format(module=f"{PREFIX}/web/{_modules()[0]}/{module}")
    return f"// Triggers: {names}\n{script}" if events else script


class WebPage(gr.Blocks):
    """Blocks that serve the files of their modules, whoever launches them, and show a UserError of
    any event as its sentence; `folders()` are the models, name -> folder, whose files are given
    away."""

    folders: Callable[[], dict[str, Path]] = staticmethod(dict)

    def launch(self, *args: Any, app_kwargs: dict[str, Any] | None = None, **options: Any) -> Any:
        """Launch as ``gr.Blocks.launch`` does."""
        more = app_kwargs or {}
        routes = [*web_routes(lambda: self.folders()), *more.get("routes", [])]
        middleware = [*more.get("middleware", []), Middleware(CompressedPage)]
        own = {**more, "routes": routes, "middleware": middleware}
        return super().launch(*args, app_kwargs=own, **options)

    async def call_function(self, *args: Any, **options: Any) -> Any:
        """Call an event's function as ``gr.Blocks.call_function`` does."""
        try:
            return await super().call_function(*args, **options)
        except UserError as error:
            raise page_error(str(error)) from error


class CompressedPage:
    """ASGI middleware that compresses the page, and what tells programs of it: the largest files
    that a visitor loads. Gradio itself goes by suffixes, and these have none."""

    def __init__(self, app: ASGIApp) -> None:
        self.app, self.compressed = app, GZipMiddleware(app, compresslevel=5)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        is_page = scope["type"] == "http" and scope["path"].endswith(("/", "/config"))
        await (self.compressed if is_page else self.app)(scope, receive, send)


def device_files(name: str, folder: Path) -> dict[str, Any] | None:
    """Return the addresses of what a visitor's own device needs to draw with a model, or None
    where the server draws for everybody."""
    is_private = folder.parent == hub_model_cache()  # found by whoever knows its name
    if is_switched_off() or is_private or not (folder / GRAPH).is_file():
        return None
    own = f"{PREFIX}/runtime/{runtime_version()}" if has_runtime() else None
    place = f"{PREFIX}/models/{quote(name, safe='')}/{model_digest(folder)}"
    return engine_files(folder, read_config(folder), place, runtime_addresses(own))


@functools.cache
def _modules() -> tuple[str, dict[str, bytes]]:
    """Return the digest of all modules, which import each other, and their text."""
    files = {file.name: file.read_bytes() for file in sorted(WEB.glob("*.js"))}
    digest = hashlib.blake2b(digest_size=8)
    for name, content in files.items():
        digest.update(name.encode() + content)
    return digest.hexdigest(), files


def web_routes(folders: Callable[[], dict[str, Path]]) -> list[Route]:
    """Make the routes for ``page.launch``; `folders()` are the models that everybody may see."""

    def module(request: Request) -> Response:
        content = _modules()[1].get(request.path_params["name"])
        if not content:
            return _missing()
        return Response(content, media_type=TYPES[".js"], headers=FOR_EVER)

    async def runtime(request: Request) -> Response:
        name = request.path_params["name"]
        known = name in RUNTIME_FILES and (INSTALLED / name).is_file()
        if not known or request.path_params["version"] != runtime_version():
            return _missing()
        file, headers = INSTALLED / name, {**FOR_EVER, "Vary": "Accept-Encoding"}
        kind = TYPES[file.suffix]
        if "gzip" in request.headers.get("accept-encoding", ""):  # 14 MB: compressed once for all
            file, headers["Content-Encoding"] = await run_in_threadpool(compressed, file), "gzip"
        return FileResponse(file, media_type=kind, headers=headers)

    def model(request: Request) -> Response:
        wanted = request.path_params
        folder = folders().get(wanted["name"])
        known = folder and wanted["file"] in (GRAPH, WEIGHTS) and not is_switched_off()
        if not known or not (folder / GRAPH).is_file() or wanted["digest"] != model_digest(folder):
            return _missing()
        kind = "application/octet-stream"
        return FileResponse(folder / wanted["file"], media_type=kind, headers=FOR_EVER)

    return [
        Route(
            f"/{PREFIX}/web/{{digest}}/{{name}}", module, middleware=[Middleware(GZipMiddleware)]
        ),
        Route(f"/{PREFIX}/runtime/{{version}}/{{name}}", runtime),
        Route(f"/{PREFIX}/models/{{name}}/{{digest}}/{{file}}", model),
    ]


def _missing() -> Response:
    return PlainTextResponse("There is no such file: reload the page.", 404)
