"""Upload files to a repository of the Hugging Face Hub, in one commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pix2pix.errors import Cancelled, UserError
from pix2pix.hub.client import (
    REPO_KINDS,
    TOKENS,
    Token,
    connect,
    hub_errors,
    list_files,
    parse_repo,
)
from pix2pix.utils.progress import Progress, ShouldStop

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
    endpoint: str | None,
) -> str:
    """Commit `files` (name -> path, or content) to the repository `repo` of this `kind`, which is
    made where there is none, and return the address of its page.

    What `is_part` says of an older push and is not in `files` leaves the newest state; the rest
    stays. `on_progress` hears files. Raises UserError where there is no token, where it may not
    write, where the repository is public and `private` is True; and Cancelled before the commit.
    """
    repo_id = check_right_to_push(repo, kind, token)
    with hub_errors(repo_id, "write", token, should_stop, kind):
        api = connect(token, endpoint)
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
