"""Handle events of the page: errors as sentences, server functions, events nobody need see."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import gradio as gr

from pix2pix.errors import UserError

log = logging.getLogger(__name__)

# Of an event of the page's own.
HIDDEN_EVENT = {"show_progress": "hidden", "api_visibility": "private"}


class user_errors:
    """``with sentences():`` shows a UserError to the person instead of a trace in the log."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, UserError):
            raise page_error(str(error)) from error


# Gradio shows an error as HTML, and tells programs the same words. These signs stay legible there.
LOOKALIKES = str.maketrans("<>", "‹›")


def page_error(sentence: str) -> gr.Error:
    """Make the error that the page shows; names in its sentence cannot become HTML."""
    words = re.sub(r"&(?=#|\w+;)", "＆", sentence.translate(LOOKALIKES))
    return gr.Error(words, print_exception=False)


def server_function(
    name: str, handler: Callable[[Any], dict[str, Any]], failed: str
) -> Callable[[Any], dict[str, Any]]:
    """Make `handler` a function that the page calls as ``server.<name>``. A UserError is
    answered as {"error": sentence}, and so is what should not happen, with `failed`; its trace
    is logged."""

    def guarded(request: Any) -> dict[str, Any]:
        try:
            return handler(request)
        except UserError as error:
            return {"error": str(error)}
        except Exception:
            log.exception("%s failed", name)
            return {"error": failed}

    guarded.__name__ = name
    return guarded
