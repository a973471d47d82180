"""The whole page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from pix2pix.ui.dataset_tab import dataset_tab
from pix2pix.ui.models_row import cards
from pix2pix.ui.shared import KEEP_SECONDS, QUIET, inert
from pix2pix.ui.translate_tab import Models, translate_tab
from pix2pix.workspace import probe

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
    queued: Models | None = None,
) -> gr.Blocks:
    """The app, not yet launched.

    `train_tab` lays out a third tab; the textbox it gets holds the name of the dataset that a
    person chose to train on, and changes when another one is chosen. `queued` are the models of
    what waits in the queue, if not those of the pad.
    """
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
                row = translate_tab(models, queued or models)
            with gr.Tab("Dataset", id="dataset"):
                notes = [disk_note()]
                dataset_tab(page, take if train_tab else None)
            if train_tab:
                with gr.Tab("Train", id="train"):
                    notes.append(disk_note())
                    train_tab(to_train)
        if row is not None:
            show_new_models(page, translate, row, models)
        page.load(lambda: [probe()] * len(notes), None, notes, **QUIET)
        page.load(None, None, None, js=KEEP_TAB)
    page.queue(max_size=64, default_concurrency_limit=2)
    return page


def disk_note() -> gr.Markdown:
    """Where it is said, as the page is loaded, that what is made here could not be kept."""
    return gr.Markdown(elem_classes=["quiet", "disk"])


def show_new_models(page: gr.Blocks, tab: gr.Tab, row: gr.HTML, models: Models) -> None:
    """A model that was published since is among the cards when the page or the tab is opened."""

    def refresh(shown: dict[str, Any]) -> Any:
        found, there = models.models(), shown["models"]
        if [card["name"] for card in there] == inert(list(found)):
            return gr.skip()
        chosen = next((card["name"] for card in there if card["chosen"] == "true"), "")
        return cards(found, chosen)

    for opened in (page.load, tab.select):
        opened(refresh, row, row, show_progress="hidden", api_visibility="private")
