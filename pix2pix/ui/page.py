"""The whole page."""

from __future__ import annotations

import gradio as gr

from pix2pix.ui.translate_tab import KEEP_SECONDS, Models, translate_tab


def build_page(models: Models) -> gr.Blocks:
    """The app, not yet launched."""
    kept = 3600, KEEP_SECONDS  # look every hour for uploads and results that are too old
    with gr.Blocks(title="Pix2Pix Studio", analytics_enabled=False, delete_cache=kept) as page:
        gr.HTML(
            '<header class="masthead"><h1>Pix2Pix Studio</h1>'
            "<p>Draw on the left. The picture follows your pencil.</p></header>"
        )
        translate_tab(models)
    page.queue(max_size=64, default_concurrency_limit=2)
    return page
