"""Reaching the Hugging Face Hub: who asks, and what went wrong in one sentence.

The Hub is asked anonymously unless a token is given; `token=True` stands for the login that is
saved on this machine, which only its owner may use. `endpoint` is the Hub's address, unless told
that of `HF_ENDPOINT` or https://huggingface.co.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pix2pix.errors import Stopped, UserError
from pix2pix.names import printable

TOKENS = "https://huggingface.co/settings/tokens"
BILLING = "https://huggingface.co/settings/billing"
Token = str | bool | None
_NAME = re.compile(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}", re.ASCII)


def check_name(name: str) -> None:
    """A UserError for what is no "owner/name" on the Hub."""
    if not _NAME.fullmatch(name):
        raise UserError(f"'{printable(name)}' is no name on the Hub: give owner/name.")


def connect(token: Token, endpoint: str | None) -> Any:
    """A `huggingface_hub.HfApi`; a UserError for a token that can be none."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()  # progress is the caller's to show
    if isinstance(token, str):
        token = token.strip()
        if not re.fullmatch(r"[!-~]{0,500}", token):  # else an HTTP error would quote it
            raise UserError(f"The token holds characters that none has: copy it from {TOKENS}.")
    return HfApi(endpoint=endpoint, token=token or False, library_name="pix2pix-studio")


@contextmanager
def sentences(
    repo_id: str,
    verb: str,
    token: Token,
    should_stop: Callable[[], bool] = lambda: False,
    kind: str = "dataset",
) -> Iterator[None]:
    """Whatever the Hub, the network or their library raise becomes a UserError about a repository
    of this `kind`.

    UserErrors and Stopped pass; after a stop whatever else is raised is Stopped.
    """
    try:
        yield
    except (UserError, Stopped):
        raise
    except Exception as error:  # the transfer libraries raise anything
        if should_stop():
            raise Stopped from error
        causes = list(_causes(error))
        raise UserError(_sentence(causes, f"{kind} {repo_id}", verb, bool(token))) from error


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _sentence(causes: list[BaseException], repo: str, verb: str, has_token: bool) -> str:
    import httpx2
    from huggingface_hub import errors

    def find(*kinds: type) -> Any:
        return next((cause for cause in causes if isinstance(cause, kinds)), None)

    answer = find(errors.HfHubHTTPError)
    status = answer.response.status_code if answer else 0
    if find(errors.LocalTokenNotFoundError):
        return f"No login is saved on this machine: give a token, made at {TOKENS}."
    if find(errors.OfflineModeIsEnabled):
        return "The Hub is switched off by HF_HUB_OFFLINE: unset it and start again."
    if find(errors.GatedRepoError):
        return f"The {repo} has terms to accept: accept them on its page and give a token of yours."
    if find(errors.RevisionNotFoundError):
        return f"The {repo} has no such revision: give one of its branches, tags or commits."
    if status == 401 and has_token:
        return f"The Hub does not accept the token: make one at {TOKENS}."
    if status in (401, 404) and not has_token:
        return f"There is no public {repo}: check its name, or give a token for it."
    if status == 404:
        return f"There is no {repo} that the token may {verb}: check name and token."
    if status == 402:
        return f"The Hub wants to be paid for the {repo}: see {BILLING}."
    if status == 403:
        return f"The token may not {verb} the {repo}: make one that may at {TOKENS}."
    if status == 429:
        return "The Hub is asked too often from here: wait ten minutes and try again."
    if status:
        return f"The Hub answered with error {status}: try again later."
    if find(httpx2.TransportError, ConnectionError, TimeoutError):
        return "The Hub cannot be reached: check the network connection and try again."
    if any(isinstance(cause, OSError) and cause.errno for cause in causes):
        return "A file cannot be read or written here: check its folder's rights and free space."
    return "The transfer broke off: check the network, a proxy's login page perhaps, and try again."
