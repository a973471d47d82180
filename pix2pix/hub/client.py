"""Reach the Hugging Face Hub: tokens, names, errors in one sentence, and uploads.

The Hub is asked anonymously unless a token is given; `token=True` stands for `HF_TOKEN` or the
login that is saved on this machine, which only its owner may use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from pix2pix.errors import Cancelled, UserError
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.text import printable

TOKENS = "https://huggingface.co/settings/tokens"
BILLING = "https://huggingface.co/settings/billing"
Token = str | bool | None
REPO_KINDS = {"dataset": "datasets/", "model": ""}  # of the pages of a kind
_NAME = re.compile(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}", re.ASCII)
_REPO = re.compile(rf"(?P<id>{_NAME.pattern})(?:@(?P<revision>.+))?", re.ASCII)
_ADDRESS = re.compile(
    r"https?://(?:huggingface\.co|hf\.co)/(datasets/|spaces/|)([^/]+/[^/]+?)(?:/tree/(.+))?"
)
_REVISION = re.compile(r"\w[\w./-]{0,199}", re.ASCII)


def check_repo_name(name: str) -> None:
    """Raise UserError for what is not an "owner/name" on the Hub."""
    if not _NAME.fullmatch(name):
        raise UserError(f"'{printable(name)}' is no name on the Hub: give owner/name.")


def parse_repo(text: str, kind: str = "dataset") -> tuple[str, str | None]:
    """(owner/name, revision or None) from `owner/name`, `owner/name@revision` or the address of
    a page of this `kind`; a revision is a branch, a tag or a commit. Else a UserError."""
    text, place = text.strip().rstrip("/"), REPO_KINDS[kind]
    address = _ADDRESS.fullmatch(text.partition("?")[0].partition("#")[0].rstrip("/"))
    if address and address[1] == place:
        repo_id, revision = address[2], unquote(address[3]) if address[3] else None
    else:
        plain = _REPO.fullmatch(text)
        repo_id, revision = plain.group("id", "revision") if plain else ("", None)
    bad_id = not _NAME.fullmatch(repo_id) or repo_id.endswith(".git")
    bad_revision = revision and (not _REVISION.fullmatch(revision) or ".." in revision)
    if bad_id or bad_revision or "--" in repo_id or ".." in repo_id:
        raise UserError(
            f"'{printable(text)}' names no {kind} on the Hub: give owner/name, "
            f"owner/name@revision or an address that begins with https://huggingface.co/{place}."
        )
    return repo_id, revision


def connect(token: Token) -> Any:
    """Return a `huggingface_hub.HfApi`; raises UserError for what cannot be a token."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()  # progress is the caller's to show
    if isinstance(token, str):
        token = token.strip()
        if not re.fullmatch(r"[!-~]{0,500}", token):  # else an HTTP error would quote it
            raise UserError(f"The token holds characters that none has: copy it from {TOKENS}.")
    return HfApi(token=token or False, library_name="pix2pix-studio")


def saved_login() -> Token:
    """Return True where this machine has a login or `HF_TOKEN`, else None."""
    from huggingface_hub import get_token

    return True if get_token() else None


def list_files(
    api: Any, repo_id: str, commit: str, kind: str, limit: int, should_stop: ShouldStop
) -> dict[str, int]:
    """List every file of the commit with its size in bytes, by no more pages than needed.

    Raises UserError where there are more than `limit`, and Cancelled.
    """
    sizes: dict[str, int] = {}
    for entry in api.list_repo_tree(repo_id, recursive=True, revision=commit, repo_type=kind):
        if should_stop():
            raise Cancelled
        if hasattr(entry, "size"):  # a folder has none
            sizes[entry.path] = entry.size
        if len(sizes) > limit:
            raise UserError(f"{repo_id} holds more than {limit:,} files: take a smaller one.")
    return sizes


def byte_progress(on_bytes: Callable[[int], None]) -> type:
    """Make a progress bar for huggingface_hub that shows nothing: `on_bytes` hears how many
    bytes of the file have arrived, and what it raises ends the transfer. Storage by Xet has two
    bars a file, of what is written and of what came over the network."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})
            self.so_far = 0.0

        def update(self, n: float | None = 1) -> None:
            self.so_far += n or 0
            on_bytes(int(self.so_far))

    return Bar


@contextmanager
def hub_errors(
    repo_id: str,
    verb: str,
    token: Token,
    should_stop: ShouldStop = lambda: False,
    kind: str = "dataset",
) -> Iterator[None]:
    """Turn whatever the Hub, the network or their library raise into a UserError about a
    repository of this `kind`.

    UserErrors and Cancelled pass; after a stop whatever else is raised is Cancelled.
    """
    try:
        yield
    except (UserError, Cancelled):
        raise
    except Exception as error:  # the transfer libraries raise anything
        if should_stop():
            raise Cancelled from error
        causes = list(_error_chain(error))
        raise UserError(_explain(causes, f"{kind} {repo_id}", verb, bool(token))) from error


def _error_chain(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _explain(causes: list[BaseException], repo: str, verb: str, has_token: bool) -> str:
    import httpx2
    from huggingface_hub import errors

    def find(*kinds: type) -> Any:
        return next((cause for cause in causes if isinstance(cause, kinds)), None)

    answer = find(errors.HfHubHTTPError)
    status = answer.response.status_code if answer else 0
    if find(errors.LocalTokenNotFoundError):
        return f"No login is saved here: run hf auth login, or set HF_TOKEN, made at {TOKENS}."
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


MAX_LISTED = 150_000  # files that a repository may hold
BATCH = 100  # files uploaded between two looks at `should_stop`


def push_files(
    files: dict[str, str | bytes],
    repo: str,
    kind: str,
    *,
    token: Token,
    private: bool,
    is_part: Callable[[str], bool],
    should_stop: ShouldStop,
    on_progress: Progress,
) -> str:
    """Commit `files` (name -> path, or content) to the repository `repo` of this `kind`, which is
    made where there is none, and return the address of its page.

    What `is_part` says of an older push and is not in `files` leaves the newest state; the rest
    stays. `on_progress` hears files. Raises UserError where there is no token, where it may not
    write, where the repository is public and `private` is True; and Cancelled before the commit.
    """
    repo_id = check_right_to_push(repo, kind, token)
    with hub_errors(repo_id, "write", token, should_stop, kind):
        api = connect(token)
        api.create_repo(repo_id, repo_type=kind, private=private, exist_ok=True)
        repo_info = api.repo_info(repo_id, repo_type=kind, timeout=30, expand=["private", "sha"])
        if private and not repo_info.private:
            raise UserError(
                f"{repo_id} is there and public: choose another name, or agree to that."
            )
        existing = list_files(api, repo_id, repo_info.sha, kind, MAX_LISTED, should_stop)
        stale = [name for name in existing if is_part(name) and name not in files]
        _commit(api, repo_id, kind, files, stale, should_stop, on_progress)
    return f"{api.endpoint}/{REPO_KINDS[kind]}{repo_id}"


def check_right_to_push(repo: str, kind: str, token: Token) -> str:
    """Return owner/name; raises UserError where it names a revision or there is no token."""
    repo_id, revision = parse_repo(repo, kind)
    if revision:
        raise UserError(f"It goes to the main branch: give '{repo_id}' without a revision.")
    if not token:
        raise UserError(f"Sending a {kind} needs a token that may write: make one at {TOKENS}.")
    return repo_id


def _commit(
    api: Any,
    repo_id: str,
    kind: str,
    files: dict[str, str | bytes],
    stale: list[str],
    should_stop: ShouldStop,
    on_progress: Progress,
) -> None:
    """Send contents first, then one commit; the library's `upload_folder` would make many."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    add = [CommitOperationAdd(name, content) for name, content in files.items()]
    for start in range(0, len(add), BATCH):
        if should_stop():
            raise Cancelled
        batch = add[start : start + BATCH]
        api.preupload_lfs_files(repo_id, additions=batch, repo_type=kind)
        on_progress(start + len(batch), len(add))
    operations = [*(CommitOperationDelete(name) for name in stale), *add]
    message = f"{kind.title()} from Pix2Pix Studio"
    api.create_commit(repo_id, operations, repo_type=kind, commit_message=message)
