"""Components of our own on `gr.HTML`: a template, its styles, a module of `web/`, and functions of
the server that the module calls."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from pix2pix.errors import UserError
from pix2pix.ui.gradio_patches import EscapedHTML
from pix2pix.ui.model_view import read_asset
from pix2pix.ui.web_files import mount_script

Request = dict[str, Any]
Reply = dict[str, Any]
log = logging.getLogger(__name__)
# The script of a row of cards: its ``select`` event carries the name of the chosen one. Answers to
# quick clicks may come in any order, so there is one request at a time: of the clicks during it
# the last one follows when `on_card` says that it was answered.
CHOOSE_CARD = """
let asked = '', wanted = '';
const ask = () => {
  [asked, wanted] = [wanted, ''];
  if (asked) trigger('select', { value: asked });
};
element.addEventListener('answered', ask);
element.addEventListener('click', (event) => {
  const card = event.target.closest('.card');
  if (card) wanted = card.dataset.name;
  if (card && !asked) ask();
});
"""


def custom_html(
    template: str, styles: Sequence[str] = (), module: str = "", events: Sequence[str] = (),
    **options: Any,
) -> gr.HTML:  # fmt: skip
    """Lay out a component; `template` and `styles` are HTML and CSS, or paths of their files below
    `pix2pix/ui`.

    `module` of `web/` brings it to life and triggers the `events`; `options` are those of
    ``gr.HTML``. A value that fills braces of the template is escaped, and any other given to the
    module as it is.
    """
    html = template if "<" in template else read_asset(template)
    css = "\n".join(style if "{" in style else read_asset(style) for style in styles)
    if module:
        options["js_on_load"] = mount_script(module, events)
    kind = EscapedHTML if "{{" in html else gr.HTML
    return kind(html_template=html, css_template=css, apply_default_css=False, **options)


def on_card(
    cards: gr.HTML, choose: Callable[..., Any], inputs: list[Any] | None, outputs: list[Any],
    **options: Any,
) -> None:  # fmt: skip
    """Call `choose`, an event handler, for a click on one of the `cards`, whose script is
    ``CHOOSE_CARD``; `options` are those of the event."""
    chosen = cards.select(choose, inputs, outputs, **options)
    inside = f"#{cards.elem_id} :is(.cards, .none)"
    answered = f"""() => document.querySelector('{inside}')
      .dispatchEvent(new Event('answered', {{ bubbles: true }}))"""
    for after in (chosen.then, chosen.failure):  # a failure triggers only the latter
        after(None, js=answered)


def server_function(
    name: str, handler: Callable[[Request], Reply], failed: str
) -> Callable[[Any], Reply]:
    """Make `handler` a function that the page calls as ``server.<name>`` with an object. A
    UserError is answered as {"error": sentence}, and so is what should not happen, with `failed`;
    its trace is logged. It is called outside Gradio's queue, by anyone who can reach the page.
    """

    def guarded(request: Any) -> Reply:
        try:
            if not isinstance(request, dict):
                raise UserError("The page asked for nothing: reload it.")
            return handler(request)
        except UserError as error:
            return {"error": str(error)}
        except Exception:
            log.exception("%s failed", name)
            return {"error": failed}

    guarded.__name__ = name
    return guarded
