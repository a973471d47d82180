"""The look of the page: one accent colour, system fonts, light and dark; its files."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, sizes

FONT = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
UI = Path(__file__).parent
CSS_FILE = UI / "page.css"
OFFSCREEN = "away"  # hidden by CSS: what is in it stays in the page, such as the drawing on the pad


def theme() -> gr.themes.Base:
    """Make the theme. No font is fetched from elsewhere: the page must work on a closed network."""
    base = gr.themes.Base(
        primary_hue=colors.indigo,
        neutral_hue=colors.slate,
        spacing_size=sizes.spacing_md,
        radius_size=sizes.radius_lg,
        font=FONT,
        font_mono=("ui-monospace", "SFMono-Regular", "Menlo", "monospace"),
    )
    return base.set(
        body_background_fill="#f7f8fb",
        body_background_fill_dark="#0f1218",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#171b23",
        background_fill_secondary="#f1f3f8",
        background_fill_secondary_dark="#1d222c",
        block_background_fill="*background_fill_primary",
        block_background_fill_dark="*background_fill_primary",
        block_border_width="1px",
        block_shadow="none",
        border_color_primary="#dfe3ec",
        border_color_primary_dark="#2b3240",
        body_text_color="#1c2130",
        body_text_color_dark="#e8ebf2",
        body_text_color_subdued="#5b6477",
        body_text_color_subdued_dark="#a0a9ba",
        color_accent="#4f46e5",
        input_background_fill_dark="#222936",
        input_placeholder_color="#5f6b80",
        input_placeholder_color_dark="#8f9bb0",
        button_primary_background_fill="#4f46e5",
        button_primary_background_fill_hover="#4338ca",
        button_primary_background_fill_dark="#585ce5",
        button_primary_background_fill_hover_dark="#6366f1",
        button_primary_text_color="#ffffff",
        button_transition="background 120ms",
    )
