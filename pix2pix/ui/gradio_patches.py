"""Patches of Gradio 6's insides, each with its reason and what upstream says of it.

Numbers are those of issues and pull requests of gradio-app/gradio. A new version of Gradio is tried
without each of them; `tests/ui` says which are still needed.
"""

from __future__ import annotations

import re
from abc import ABCMeta
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio import processing_utils
from gradio.utils import get_upload_folder, is_in_or_equal
from starlette.exceptions import HTTPException

NO_ADDRESS = "Send the file itself, not its address."
MCP_TOOLS = ("translate", "list_models")  # of programs that speak MCP: nothing trains or writes


# Gradio shows an error as HTML, and tells programs the same words. These signs stay legible there.
LOOKALIKES = str.maketrans("<>", "‹›")


def page_error(sentence: str) -> gr.Error:
    """Make the error that the page shows; names in its sentence cannot become HTML."""
    words = re.sub(r"&(?=#|\w+;)", "＆", sentence.translate(LOOKALIKES))
    return gr.Error(words, print_exception=False)


class _WithoutStub(type(gr.HTML)):
    """Gradio's metaclass, but for the `.pyi` that it writes beside the module of a component."""

    def __new__(cls, *given: Any) -> type:
        return ABCMeta.__new__(cls, *given)


class EscapedHTML(gr.HTML, metaclass=_WithoutStub):
    """HTML whose value is filled into a template, where no text of it becomes HTML or code.

    Gradio fills the braces, which escapes HTML, and then runs the result as a JavaScript template
    literal: there `\\` and `$` must be quoted (13299, closed). It is a class because Gradio makes a
    component anew for a visitor once a handler has skipped it.
    """

    def preprocess(self, payload: Any) -> Any:
        """Take the quotes away that `postprocess` made."""
        return _each_text(payload, lambda text: re.sub(r"\\([\\$])", r"\1", text))

    def postprocess(self, value: Any) -> Any:
        """Quote every text of the value."""
        return _each_text(value, lambda text: re.sub(r"[\\$]", r"\\\g<0>", text))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _each_text(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each_text(item, change) for item in value]
    return change(value) if isinstance(value, str) else value


def block_url_downloads() -> None:
    """Let Gradio refuse an address in the place of a file.

    It judges where an address leads (13593, 13596), and then loads all of it into memory, whatever
    its size: no issue of that was found. Every component looks for the functions where they are set
    here. The address of a file that this server holds stands for the file: programs that speak MCP
    upload first.
    """

    async def own_file(url: str, cache_dir: str) -> str:
        file = unquote(url.partition("/gradio_api/file=")[2])
        if file and is_in_or_equal(file, get_upload_folder()) and Path(file).is_file():
            return file
        return await refused(url)

    async def refused(url: str) -> Any:
        raise page_error(NO_ADDRESS)

    processing_utils.async_ssrf_protected_download = own_file
    processing_utils.async_ssrf_protected_get = refused


def expose_mcp_tools() -> None:
    """Let an MCP server that is launched after this offer MCP_TOOLS alone.

    Gradio makes a tool of every endpoint that it documents (11463, open), and one that is
    undocumented takes no arguments by name.
    """
    import gradio.mcp

    class Tools(gradio.mcp.GradioMCPServer):
        def get_tool_to_endpoint(self) -> dict[str, str]:
            endpoints = super().get_tool_to_endpoint()
            return {
                tool: end for tool, end in endpoints.items() if end.removeprefix("/") in MCP_TOOLS
            }

    gradio.mcp.GradioMCPServer = Tools


def keep_file(photo: gr.Image) -> None:
    """Leave the file as it is: `open_picture` reads it, and says why where it cannot.

    Gradio opens it to learn its mode, and shows a trace where it cannot (6489, open).
    """
    opened = photo.preprocess
    photo.preprocess = lambda sent: sent.path if sent and sent.path else opened(sent)


def limit_queue(page: gr.Blocks, owner: Callable[[Any, str], str], limit: int, words: str) -> None:
    """Refuse an event, with these words, of whom so many wait in the page's queue already, which
    Gradio limits for all together alone. ``owner(request, session)`` says whose an event is."""
    queue, push = page._queue, page._queue.push

    async def limited(body: Any, request: Any, username: str | None) -> Any:
        queues = queue.event_queue_per_concurrency_id.values()
        waiting = [event for one in queues for event in list(one.queue)]
        mine = owner(request, body.session_hash)
        if [owner(event.request, event.session_hash) for event in waiting].count(mine) >= limit:
            raise HTTPException(429, words)
        return await push(body=body, request=request, username=username)

    queue.push = limited
