"""Put the page together from its three tabs."""

from __future__ import annotations

from typing import Any

import gradio as gr

from pix2pix.hub import bucket_backup
from pix2pix.ui.auth import Roles, guard_events, owner_only
from pix2pix.ui.dataset.tab import DatasetTab
from pix2pix.ui.events import HIDDEN_EVENT, RESULT_SECONDS
from pix2pix.ui.gradio_patches import block_url_downloads
from pix2pix.ui.hub_forms import export_form, push_model_form
from pix2pix.ui.limits import PUBLIC_LIMITS, Limits, limit_waiting
from pix2pix.ui.model_view import ModelSource, known_models, model_card_items
from pix2pix.ui.train.tab import dataset_choices, train_tab
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

# For those whom a button took to another tab.
KEEP_TRAIN = "() => { try { sessionStorage.setItem('pix2pix-tab', 'Train'); } catch {} }"


TITLE = "Pix2Pix Studio"
CACHE_TIMES = 3600, RESULT_SECONDS  # look every hour for uploads and results that are too old
MASTHEAD = (
    f'<header class="masthead"><h1>{TITLE}</h1>'
    "<p>Draw, and the picture follows. Bring pairs, and they become a model.</p></header>"
)


def build_page(
    models: ModelSource,
    roles: Roles = Roles(everybody=True),  # noqa: B008
    queued: ModelSource | None = None,
) -> gr.Blocks:
    """Build the app, not yet launched.

    By `roles` all but the first tab may be closed to visitors. `queued` are the models of what
    waits in the queue, if not those of the pad.
    """
    block_url_downloads()
    with WebPage(title=TITLE, analytics_enabled=False, delete_cache=CACHE_TIMES) as page:
        page.folders = models.models
        gr.HTML(MASTHEAD)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Translate", id="translate") as tab:
                limits = Limits() if roles.everybody else PUBLIC_LIMITS
                translate = translate_tab(models, queued or models, limits)
            if translate:
                show_new_models(page, tab, translate.row, translate.mine, models)
            for_all = set(page.fns), set(page.blocks)
            if translate:
                with translate.to_hub, owner_only(page, roles):
                    push_model_form(models, translate.name)
                    export_form(models, translate.name)
                    translate.lay_out_deletion()
            notes = []  # where the tabs say, as the page is loaded, what this machine cannot do
            with gr.Tab("Dataset", id="dataset") as tab, owner_only(page, roles):
                notes.append(gr.Markdown(elem_classes=["quiet", "note"]))
                library = DatasetTab(page).library
                library.refresh_on(tab.select)
            with gr.Tab("Train", id="train"), owner_only(page, roles):
                notes.append(gr.Markdown(elem_classes=["quiet", "note"]))
                run = train_tab()

        def take_to_train(name: str) -> list[Any]:
            return [dataset_choices(None, name), gr.Tabs(selected="train")]

        library.train.click(take_to_train, library.name, [run.dataset, tabs], **HIDDEN_EVENT)
        library.train.click(None, None, None, js=KEEP_TRAIN)
        page.load(warnings, None, notes, **HIDDEN_EVENT)
        page.load(None, None, None, js=TAB_SCRIPT)
        tabs.change(None, None, None, js="() => scrollTo(0, 0)")  # another tab begins at its top
    guard_events(page, roles, *for_all)
    page.queue(max_size=256, default_concurrency_limit=2, api_open=False)  # nothing goes past it
    limit_waiting(page)
    return page


def warnings() -> list[str]:
    """Return the warnings of Dataset and Train: results will not last, or training is slow."""
    disk = storage_warning()
    return [disk, " ".join(filter(None, (training_hint(), bucket_backup.storage_hint(), disk)))]


def show_new_models(
    page: gr.Blocks, tab: gr.Tab, row: gr.HTML, mine: gr.State, models: ModelSource
) -> None:
    """Show a model that was published since when the page or the tab is opened."""

    def refresh(shown: dict[str, Any], mine: dict[str, str]) -> Any:
        chosen = next((card["name"] for card in shown["models"] if card["chosen"] == "true"), "")
        now = model_card_items(known_models(models, mine), chosen)
        return gr.skip() if now == shown else now

    for opened in (page.load, tab.select):
        opened(refresh, [row, mine], row, show_progress="hidden", api_visibility="private")
