"""Put the page together from its three tabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from pix2pix.hub import bucket_sync
from pix2pix.ui.auth import Roles, guard_events, owner_only
from pix2pix.ui.common import HIDDEN_EVENT, RESULT_SECONDS, escape_template
from pix2pix.ui.components.hub_forms import export_form, publish_form
from pix2pix.ui.components.model_cards import ModelSource, known_models, model_card_items
from pix2pix.ui.dataset.tab import dataset_tab
from pix2pix.ui.limits import block_url_downloads
from pix2pix.ui.translate.options import PUBLIC_LIMITS, Limits
from pix2pix.ui.translate.tab import translate_tab
from pix2pix.ui.web_files import WebPage
from pix2pix.ui.zero_gpu import training_hint
from pix2pix.utils.workspace import storage_warning

MCP_TOOLS = (
    "translate",
    "list_models",
)  # for programs that speak MCP: nothing that trains or writes

# Gradio reloads the page when the app is back after a restart: who watched a run finds it again.
TAB_SCRIPT = """() => {
  const tabs = () => [...document.querySelectorAll('[role=tab]')].filter((tab) => tab.offsetParent);
  const name = (tab) => tab.textContent.trim();
  try {
    const kept = sessionStorage.getItem('pix2pix-tab');
    tabs().find((tab) => name(tab) === kept)?.click();
    document.addEventListener('click', ({ target }) => {
      const tab = target.closest('[role=tab]');
      if (tab) sessionStorage.setItem('pix2pix-tab', name(tab));
    });
  } catch { /* the browser keeps nothing for us */ }
}"""


def build_page(
    models: ModelSource,
    train_tab: Callable[[gr.Textbox], None] | None = None,
    roles: Roles = Roles(everybody=True),  # noqa: B008
    queued: ModelSource | None = None,
) -> gr.Blocks:
    """Build the app, not yet launched.

    `train_tab` lays out a third tab; the textbox it gets holds the name of the dataset that a
    person chose to train on, until it is emptied by who takes it. By `roles` all but the first
    tab may be closed to visitors. `queued` are the models of what waits in the queue, if not those
    of the pad.
    """
    block_url_downloads()
    cache_times = 3600, RESULT_SECONDS  # look every hour for uploads and results that are too old
    with WebPage(title="Pix2Pix Studio", analytics_enabled=False, delete_cache=cache_times) as page:
        page.folders = models.models
        gr.HTML(
            '<header class="masthead"><h1>Pix2Pix Studio</h1>'
            "<p>Draw, and the picture follows. Bring pairs, and they become a model.</p></header>"
        )
        to_train = gr.Textbox("", visible=False, label="Dataset to train on")
        with gr.Tabs(elem_id="tabs") as tabs:

            def take(button: gr.Button, name: gr.Textbox) -> None:
                """Bring the dataset and the person to the Train tab."""
                button.click(
                    lambda chosen: [chosen, gr.Tabs(selected="train")], name, [to_train, tabs],
                    show_progress="hidden", api_visibility="private",
                )  # fmt: skip

            with gr.Tab("Translate", id="translate") as translate:
                limits = Limits() if roles.everybody else PUBLIC_LIMITS
                parts = translate_tab(models, queued or models, limits)
            if parts:
                show_new_models(page, translate, parts.row, parts.mine, models)
            for_all = set(page.fns), set(page.blocks)
            if parts:
                with parts.to_hub, owner_only(page, roles):
                    publish_form(models, parts.name)
                    export_form(models, parts.name)
            with gr.Tab("Dataset", id="dataset"), owner_only(page, roles):
                notes = [storage_note()]
                dataset_tab(page, take if train_tab else None)
            if train_tab:
                with gr.Tab("Train", id="train"), owner_only(page, roles):
                    notes.append(storage_note())
                    train_tab(to_train)

        def warn() -> dict[gr.Markdown, str]:
            return dict(zip(notes, warnings()))

        page.load(warn, None, notes, **HIDDEN_EVENT)
        page.load(None, None, None, js=TAB_SCRIPT)
    guard_events(page, roles, *for_all)
    page.queue(max_size=256, default_concurrency_limit=2, api_open=False)  # nothing goes past it
    return page


def storage_note() -> gr.Markdown:
    """Lay out where a tab says, as the page is loaded, what this machine cannot do."""
    return gr.Markdown(elem_classes=["quiet", "note"])


def warnings() -> list[str]:
    """Return the warnings of Dataset and Train: results will not last, or training is slow."""
    disk = storage_warning()
    return [disk, " ".join(filter(None, (training_hint(), bucket_sync.storage_hint(), disk)))]


def show_new_models(
    page: gr.Blocks, tab: gr.Tab, row: gr.HTML, mine: gr.State, models: ModelSource
) -> None:
    """Show a model that was published since when the page or the tab is opened."""

    def refresh(shown: dict[str, Any], mine: dict[str, str]) -> Any:
        models_now, shown_models = known_models(models, mine), shown["models"]
        if [card["name"] for card in shown_models] == escape_template(list(models_now)):
            return gr.skip()
        chosen = next((card["name"] for card in shown_models if card["chosen"] == "true"), "")
        return model_card_items(models_now, chosen)

    for opened in (page.load, tab.select):
        opened(refresh, [row, mine], row, show_progress="hidden", api_visibility="private")


def expose_mcp_tools() -> None:
    """Let an MCP server that is launched after this offer TOOLS alone. Gradio would make a tool of
    every endpoint that it documents, and one that is undocumented takes no arguments by name."""
    import gradio.mcp

    class Tools(gradio.mcp.GradioMCPServer):
        def get_tool_to_endpoint(self) -> dict[str, str]:
            endpoints = super().get_tool_to_endpoint()
            return {
                tool: end for tool, end in endpoints.items() if end.removeprefix("/") in MCP_TOOLS
            }

    gradio.mcp.GradioMCPServer = Tools
