"""Allow more than translation: to everybody on a machine of their own, on a public server only
to its owner."""

from __future__ import annotations

import functools
import ipaddress
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.context import LocalContext
from gradio.utils import get_space

from pix2pix.errors import UserError

ALLOW, OWNERS = "PIX2PIX_ALLOW_TRAINING", "PIX2PIX_OWNERS"
YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Roles:
    """`everybody` may do everything, or those who signed in on the Hub as one of `owners`."""

    everybody: bool
    owners: frozenset[str] = frozenset()

    @classmethod
    def of_server(cls, host: str) -> Roles:
        """By the environment: ``PIX2PIX_ALLOW_TRAINING`` (1 or 0) decides, and where it is not
        set, whether only this machine can reach `host`. The owner of a Space is who made it, or
        those of ``PIX2PIX_OWNERS`` (Hub names with commas between), which an organisation's needs:
        nobody signs in by the name of an organisation. A UserError where the first
        is neither a yes nor a no."""
        allow, space = os.environ.get(ALLOW, "").strip().lower(), "SPACE_ID" in os.environ
        if allow not in ("", *YES, *NO):
            raise UserError(f"{ALLOW} is '{allow}': set it to 1 or 0, or leave it out.")
        owners = os.environ.get(OWNERS) or os.environ.get("SPACE_AUTHOR_NAME", "")
        # Sessions are signed with a secret that only a Space has: elsewhere nobody can sign in.
        signed = space and "OAUTH_CLIENT_SECRET" in os.environ
        names = {name.strip() for name in owners.split(",") if name.strip()} if signed else set()
        return cls(allow in YES or is_local_only(host), frozenset(names))

    @property
    def sentence(self) -> str:
        """Why something is refused, and what to do."""
        if self.owners:
            return (
                "Here that is for the owner alone: sign in as the owner (the Space of an "
                f"organisation names its owners in {OWNERS}), or run the app yourself."
            )
        return (
            "On this public server visitors can only translate: run the app yourself, or ask its "
            f"owner to start it with {ALLOW}=1."
        )

    def allows(self, request: Any) -> bool:
        """Return whether who sent this request may do everything."""
        return self.everybody or signed_in_user(request) in self.owners


def is_local_only(host: str) -> bool:
    """Return whether everybody may do everything since only this machine reaches `host`, and
    nobody said so (`Roles.of_server`)."""
    is_configured = os.environ.get(ALLOW, "").strip() or "SPACE_ID" in os.environ
    return not is_configured and is_loopback(host)


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def signed_in_user(request: Any) -> str | None:
    """Return the visitor's name on the Hub from the session that Gradio's sign-in signed."""
    request = getattr(request, "request", request)  # gr.Request wraps that of the server
    oauth_info = getattr(request, "scope", {}).get("session", {}).get("oauth_info")
    if not oauth_info or (oauth_info.get("expires_at") or float("inf")) < time.time():
        return None
    return oauth_info.get("userinfo", {}).get("preferred_username")


@contextmanager
def owner_only(page: gr.Blocks, roles: Roles) -> Iterator[None]:
    """Show what is laid out inside to those who may use it, and a sentence to the others.

    This is for people's eyes; `guard_events` is what refuses.
    """
    if roles.everybody:
        yield
        return
    notice = gr.Markdown(roles.sentence, elem_classes="quiet")
    with gr.Column(visible=False) as part:
        yield

    def show(request: gr.Request) -> list[Any]:
        owner = roles.allows(request)
        return [gr.Markdown(visible=not owner), gr.Column(visible=owner)]

    page.load(show, None, [notice, part], show_progress="hidden", api_visibility="private")


def guard_events(page: gr.Blocks, roles: Roles, events: set[int], components: set[int]) -> None:
    """Refuse every event, endpoint and server function of the page to those who may not, but for
    the ids of `events` and `components`. To be called when the page is complete."""
    if roles.everybody:
        return
    for number, event in page.fns.items():
        if event.fn is not None and number not in events:
            # Nobody asked for what happens as a page comes and goes: its refusal is silent.
            silent = {name for _, name in event.targets} in ({"load"}, {"unload"})
            nothing = gr.skip() if event.outputs else None
            event.fn = require_owner(
                event.fn, roles, (lambda _, n=nothing: n) if silent else _raise_error
            )
    for number, block in page.blocks.items():
        for function in getattr(block, "server_fns", None) or []:
            if number not in components:
                setattr(block, function.__name__, require_owner(function, roles, _error_reply))


def require_owner(function: Callable, roles: Roles, refuse: Callable[[str], Any]) -> Callable:
    """Wrap `function`: for others than the owner it returns what `refuse` makes of the sentence."""

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if not roles.allows(LocalContext.request.get(None)):
            return refuse(roles.sentence)
        return function(*args, **kwargs)

    return guarded


def _raise_error(sentence: str) -> Any:
    raise UserError(sentence)


def _error_reply(sentence: str) -> dict[str, str]:
    return {"error": sentence}


def visitor_token(typed: str | None, signed_in: gr.OAuthToken | None) -> str | None:
    """Return the token that a visitor typed, else that of their sign-in; never the server's."""
    return (typed or "").strip() or (signed_in.token if signed_in else None)


def can_sign_in() -> bool:
    """Return whether this is a Space with OAuth: elsewhere Gradio would hand every visitor the
    login that is saved on the server."""
    return bool(os.environ.get("OAUTH_CLIENT_ID") and get_space())
