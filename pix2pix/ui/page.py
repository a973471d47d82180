"""The whole page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from pix2pix import keeping
from pix2pix.ui.dataset_tab import dataset_tab
from pix2pix.ui.hub_part import send_part
from pix2pix.ui.limits import download_nothing
from pix2pix.ui.models_row import Models, cards, known
from pix2pix.ui.roles import Roles, guard, owners_part
from pix2pix.ui.shared import KEEP_SECONDS, QUIET, inert
from pix2pix.ui.translate_options import PUBLIC, Most
from pix2pix.ui.translate_tab import translate_tab
from pix2pix.ui.zero_gpu import training_hint
from pix2pix.workspace import probe

TOOLS = ("translate", "list_models")  # for programs that speak MCP: nothing that trains or writes

# Gradio reloads the page when the app is back after a restart: who watched a run finds it again.
KEEP_TAB = """() => {
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
    models: Models,
    train_tab: Callable[[gr.Textbox], None] | None = None,
    roles: Roles = Roles(everybody=True),  # noqa: B008
    queued: Models | None = None,
) -> gr.Blocks:
    """The app, not yet launched.

    `train_tab` lays out a third tab; the textbox it gets holds the name of the dataset that a
    person chose to train on, until it is emptied by who takes it. By `roles` all but the first
    tab may be closed to visitors. `queued` are the models of what waits in the queue, if not those
    of the pad.
    """
    download_nothing()
    kept = 3600, KEEP_SECONDS  # look every hour for uploads and results that are too old
    with gr.Blocks(title="Pix2Pix Studio", analytics_enabled=False, delete_cache=kept) as page:
        gr.HTML(
            '<header class="masthead"><h1>Pix2Pix Studio</h1>'
            "<p>Draw, and the picture follows. Bring pairs, and they become a model.</p></header>"
        )
        to_train = gr.Textbox("", visible=False, label="Dataset to train on")
        with gr.Tabs(elem_id="tabs") as tabs:

            def take(button: gr.Button, name: gr.Textbox) -> None:
                """The button brings the dataset and the person to the Train tab."""
                button.click(
                    lambda chosen: [chosen, gr.Tabs(selected="train")], name, [to_train, tabs],
                    show_progress="hidden", api_visibility="private",
                )  # fmt: skip

            with gr.Tab("Translate", id="translate") as translate:
                most = Most() if roles.everybody else PUBLIC
                parts = translate_tab(models, queued or models, most)
            if parts:
                show_new_models(page, translate, parts.row, parts.mine, models)
            for_all = set(page.fns), set(page.blocks)
            if parts:
                with parts.to_hub, owners_part(page, roles):
                    send_part(models, parts.name)
            with gr.Tab("Dataset", id="dataset"), owners_part(page, roles):
                notes = [note()]
                dataset_tab(page, take if train_tab else None)
            if train_tab:
                with gr.Tab("Train", id="train"), owners_part(page, roles):
                    notes.append(note())
                    train_tab(to_train)

        def warn() -> dict[gr.Markdown, str]:
            return dict(zip(notes, warnings()))

        page.load(warn, None, notes, **QUIET)
        page.load(None, None, None, js=KEEP_TAB)
    guard(page, roles, *for_all)
    page.queue(max_size=256, default_concurrency_limit=2, api_open=False)  # nothing goes past it
    return page


def note() -> gr.Markdown:
    """Where a tab says, as the page is loaded, what this machine cannot do; seen if it says so."""
    return gr.Markdown(elem_classes=["quiet", "note"])


def warnings() -> list[str]:
    """For Dataset and for Train: that what is made could not be kept, or training be slow."""
    disk = probe()
    return [disk, " ".join(filter(None, (training_hint(), keeping.hint(), disk)))]


def show_new_models(
    page: gr.Blocks, tab: gr.Tab, row: gr.HTML, mine: gr.State, models: Models
) -> None:
    """A model that was published since is among the cards when the page or the tab is opened."""

    def refresh(shown: dict[str, Any], mine: dict[str, str]) -> Any:
        found, there = known(models, mine), shown["models"]
        if [card["name"] for card in there] == inert(list(found)):
            return gr.skip()
        chosen = next((card["name"] for card in there if card["chosen"] == "true"), "")
        return cards(found, chosen)

    for opened in (page.load, tab.select):
        opened(refresh, [row, mine], row, show_progress="hidden", api_visibility="private")


def only_tools() -> None:
    """Let an MCP server that is launched after this offer TOOLS alone. Gradio would make a tool of
    every endpoint that it documents, and one that is undocumented takes no arguments by name."""
    import gradio.mcp

    class Tools(gradio.mcp.GradioMCPServer):
        def get_tool_to_endpoint(self) -> dict[str, str]:
            found = super().get_tool_to_endpoint()
            return {tool: end for tool, end in found.items() if end.removeprefix("/") in TOOLS}

    gradio.mcp.GradioMCPServer = Tools
