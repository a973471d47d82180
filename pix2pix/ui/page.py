"""The whole page."""

from __future__ import annotations

import gradio as gr

from pix2pix.ui.translate_tab import Models, translate_tab


def build_page(models: Models) -> gr.Blocks:
    """The app, not yet launched."""
    keep = 24 * 3600  # seconds that uploads and results stay on disk
    with gr.Blocks(
        title="Pix2Pix Studio", analytics_enabled=False, delete_cache=(3600, keep)
    ) as page:
        gr.HTML(
            '<header class="masthead"><h1>Pix2Pix Studio</h1>'
            "<p>Draw on the left. The picture follows your pencil.</p></header>"
        )
        translate_tab(models)
    page.queue(max_size=64, default_concurrency_limit=2)
    return page
