"""The MCP server: translation is a tool, training and writing are not."""

from __future__ import annotations

import base64
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import gradio.mcp
import pytest
from PIL import Image

from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.ui import server
from pix2pix.ui.gradio_patches import expose_mcp_tools
from pix2pix.ui.page import build_page
from tests.support.models_and_servers import awaited, noise, save_tiny_model
from tests.support.page_server import launched

TRAINS_OR_WRITES = {"/translate_batch", "/build_dataset", "/start_training", "/stop_training"}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[gr.Blocks]:
    folder = tmp_path_factory.mktemp("mcp")
    save_tiny_model(folder / "models" / "faces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIX2PIX_WORKSPACE", str(folder))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        patch.setattr(gradio.mcp, "GradioMCPServer", gradio.mcp.GradioMCPServer)  # puts it back
        expose_mcp_tools()
        yield build_page(TranslatorCache(lambda: [folder / "models"], "cpu"))


def test_only_translation_becomes_a_tool_and_all_stay_endpoints(page: gr.Blocks) -> None:
    server = object.__new__(gradio.mcp.GradioMCPServer)  # without the package it needs to serve
    server.blocks, server.tool_prefix, server.api_info = page, "studio_", page.get_api_info()
    assert server.api_info["named_endpoints"].keys() > TRAINS_OR_WRITES
    assert server.get_tool_to_endpoint() == {
        "studio_translate": "/translate",
        "studio_list_models": "/list_models",
    }


def test_without_its_package_the_app_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["app.py", "--mcp"])
    with pytest.raises(SystemExit) as ended:
        server.main()
    assert ended.value.code == 2
    assert f'pip install "gradio[mcp]=={gr.__version__}"' in capsys.readouterr().err


def test_a_client_lists_the_tools_and_translates(page: gr.Blocks, tmp_path: Path) -> None:
    reason = 'the MCP server is not asked: it needs pip install "gradio[mcp]"'
    mcp = pytest.importorskip("mcp", reason=reason)
    from mcp.client.streamable_http import streamable_http_client

    buffer = io.BytesIO()
    noise(64, 64).save(buffer, "PNG")
    image = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()

    async def ask(address: str) -> tuple[list[str], Any, Any]:
        async with (
            streamable_http_client(address) as (read, write, _),
            mcp.ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = [tool.name for tool in (await session.list_tools()).tools]
            made = await session.call_tool("translate", {"image": image, "model": "faces"})
            return tools, made, await session.call_tool("start_training", {"dataset": "x"})

    url = launched(page, mcp_server=True)
    try:
        tools, made, refused = awaited(ask(f"{url}gradio_api/mcp/"))
    finally:
        page.close()
    assert sorted(tools) == ["list_models", "translate"]
    content = next(item for item in made.content if item.type == "image")
    assert Image.open(io.BytesIO(base64.b64decode(content.data))).size == (64, 64)
    assert refused.isError and "Unknown tool" in refused.content[0].text
