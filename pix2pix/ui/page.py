"""Put the page together from its three tabs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from pix2pix.hub import bucket_backup
from pix2pix.ui.auth import Roles, guard_events, owner_only
from pix2pix.ui.components.hub_forms import export_form, publish_form
from pix2pix.ui.components.model_cards import ModelSource, known_models, model_card_items
from pix2pix.ui.dataset.tab import dataset_tab
from pix2pix.ui.events import HIDDEN_EVENT
from pix2pix.ui.gradio_patches import block_url_downloads, escape_template
from pix2pix.ui.long_work import RESULT_SECONDS
from pix2pix.ui.translate.options import PUBLIC_LIMITS, Limits
from pix2pix.ui.translate.tab import translate_tab
from pix2pix.ui.web_files import WebPage
from pix2pix.ui.zero_gpu import training_hint
from pix2pix.utils.workspace import storage_warning

# Gradio reloads the page when the app is back after a restart: who watched a run finds it again.
TAB_SCRIPT = """() => {
  const tabs = () => [...document.querySelectorAll('[role=tab]')].filter((tab) => tab.offsetParent);
  const name = (tab) => tab.textContent.trim();
  try {
    const keep = (tab) => tab && sessionStorage.setItem('pix2pix-tab', name(tab));
    const kept = sessionStorage.getItem('pix2pix-tab');
    // Without one somebody may have chosen a tab before this was asked.
    if (!kept) keep(tabs().find((tab) => tab.ariaSelected === 'true'));
    const back = (tries) => {
      const tab = tabs().find((tab) => name(tab) === kept);
      tab?.click();
      if (kept && !tab && tries) setTimeout(back, 100, tries - 1);
    };
    back(50);
    document.addEventListener('click', ({ target }) => {
      keep(target.closest('[role=tab]'));
    });
  } catch { /* the browser keeps nothing for us */ }
}"""


TITLE = "Pix2Pix Studio"
CACHE_TIMES = 3600, RESULT_SECONDS  # look every hour for uploads and results that are too old
MASTHEAD = (
    f'<header class="masthead"><h1>{TITLE}</h1>'
    "<p>Draw, and the picture follows. Bring pairs, and they become a model.</p></header>"
)


def build_page(
    models: ModelSource, train_tab: Callable[[gr.Textbox], None] | None = None,
    roles: Roles = Roles(everybody=True),  # noqa: B008
    queued: ModelSource | None = None,
) -> gr.Blocks:  # fmt: skip
    """Build the app, not yet launched.

    `train_tab` lays out a third tab; the textbox it gets holds the name of the dataset that a
    person chose to train on, until it is emptied by who takes it. By `roles` all but the first
    tab may be closed to visitors. `queued` are the models of what waits in the queue, if not those
    of the pad.
    """
    block_url_downloads()
    with WebPage(title=TITLE, analytics_enabled=False, delete_cache=CACHE_TIMES) as page:
        page.folders = models.models
        gr.HTML(MASTHEAD)
        to_train = gr.Textbox("", visible=False, label="Dataset to train on")
        with gr.Tabs(elem_id="tabs") as tabs:
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
                dataset_tab(page, take_to(to_train, tabs) if train_tab else None)
            if train_tab:
                with gr.Tab("Train", id="train"), owner_only(page, roles):
                    notes.append(storage_note())
                    train_tab(to_train)
        warn_on_load(page, notes)
        page.load(None, None, None, js=TAB_SCRIPT)
        tabs.change(None, None, None, js="() => scrollTo(0, 0)")  # another tab begins at its top
    guard_events(page, roles, *for_all)
    page.queue(max_size=256, default_concurrency_limit=2, api_open=False)  # nothing goes past it
    return page


def take_to(to_train: gr.Textbox, tabs: gr.Tabs) -> Callable[[gr.Button, gr.Textbox], None]:
    """Return what wires a button to bring a dataset, by its name, and the person to training."""

    def wire(button: gr.Button, name: gr.Textbox) -> None:
        shown = [to_train, tabs]
        button.click(lambda x: [x, gr.Tabs(selected="train")], name, shown, **HIDDEN_EVENT)

    return wire


def storage_note() -> gr.Markdown:
    """Lay out where a tab says, as the page is loaded, what this machine cannot do."""
    return gr.Markdown(elem_classes=["quiet", "note"])


def warn_on_load(page: gr.Blocks, notes: list[gr.Markdown]) -> None:
    """Fill the tabs' notes when the page is loaded."""

    def warn() -> dict[gr.Markdown, str]:
        return dict(zip(notes, warnings()))

    page.load(warn, None, notes, **HIDDEN_EVENT)


def warnings() -> list[str]:
    """Return the warnings of Dataset and Train: results will not last, or training is slow."""
    disk = storage_warning()
    return [disk, " ".join(filter(None, (training_hint(), bucket_backup.storage_hint(), disk)))]


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
