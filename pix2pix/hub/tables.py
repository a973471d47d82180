"""Read tables of pictures on the Hugging Face Hub as far as they are needed, by parts of files.

How the token and the Hub's address (`endpoint`) are meant: see `hub.client`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from pix2pix.data.records import Inputs
from pix2pix.data.table_pairs import extract_pairs, transfer_name
from pix2pix.data.table_rows import TableLook, look_at
from pix2pix.data.tables import KINDS, Table, make_table
from pix2pix.hub.client import Token, connect, hub_errors, list_files, parse_repo
from pix2pix.hub.datasets import MAX_FILES, in_split, is_picture
from pix2pix.utils.progress import Progress, ShouldStop

# Published pix2pix sets that are tables of the columns imageA and imageB.
PUBLISHED = ("huggan/facades", "huggan/maps", "huggan/edges2shoes", "huggan/night2day")
_READ_AHEAD = 4 * 2**20  # bytes of files that are read from the beginning to the end


def hub_table(
    repo: str,
    *,
    token: Token = None,
    subset: str = "",
    should_stop: ShouldStop = lambda: False,
    endpoint: str | None = None,
) -> Table | None:
    """Return the table in a dataset repository (see `parse_repo`), of one commit; None where it
    holds pictures in train, val or test, or more bytes of pictures than of tables.

    Whoever reads its parts does so inside `hub_errors`, as `pull_pairs` does. Raises UserError
    where the repository cannot be read, and Cancelled.
    """
    repo_id, revision = parse_repo(repo)
    with hub_errors(repo_id, "read", token, should_stop):
        api = connect(token, endpoint)
        info = api.dataset_info(repo_id, revision=revision, timeout=30, expand=["sha"])
        sizes = list_files(api, repo_id, info.sha, "dataset", MAX_FILES, should_stop)
        tables = {name: size for name, size in sizes.items() if name.lower().endswith((*KINDS,))}
        pictures = {name: size for name, size in sizes.items() if is_picture(name)}
        parted = any(map(in_split, pictures))
        if parted or not tables or sum(pictures.values()) > sum(tables.values()):
            return None
        opener = _opener(api, f"datasets/{repo_id}@{info.sha}", tables)
        return make_table(f"hub:{repo_id}@{info.sha}", tables, opener, subset)


def _opener(api: Any, root: str, sizes: dict[str, int]) -> Callable[[str], Callable[[], BinaryIO]]:
    from huggingface_hub import HfFileSystem

    files = HfFileSystem(endpoint=api.endpoint, token=api.token, skip_instance_cache=True)

    def opener(name: str) -> Callable[[], BinaryIO]:
        # Parquet is read here and there, by requests of the size that its reader asks for.
        ahead = not name.lower().endswith(".parquet")
        options = {"cache_type": "readahead" if ahead else "none", "block_size": _READ_AHEAD}
        # Of a file of known size the folder around it is not listed.
        return lambda: files.open(f"{root}/{name}", "rb", size=sizes[name], **options)

    return opener


def pull_pairs(
    repo: str,
    into: Path,
    columns: tuple[str, ...] = (),
    *,
    limit: int = 0,
    subset: str = "",
    derive: str = "",
    token: Token = None,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
    endpoint: str | None = None,
) -> Inputs | None:
    """Take the pairs of the table in a repository (see `extract_pairs`) into a folder of their own
    in `into`, where the same call goes on after a stop; None where there is no table.

    Raises UserError and Cancelled.
    """
    options = {"token": token, "subset": subset, "should_stop": should_stop, "endpoint": endpoint}
    table = hub_table(repo, **options)
    if table is None:
        return None
    with hub_errors(parse_repo(repo)[0], "read", token, should_stop):
        return extract_pairs(
            table, into / transfer_name(table, columns, limit, derive), columns, limit=limit,
            subset=subset, derive=derive, should_stop=should_stop, on_progress=on_progress,
        )  # fmt: skip


def look_at_hub(
    repo: str,
    columns: tuple[str, ...] = (),
    *,
    subset: str = "",
    token: Token = None,
    endpoint: str | None = None,
) -> TableLook | None:
    """Look at the table in a repository (see `look_at`); None where there is none."""
    table = hub_table(repo, token=token, subset=subset, endpoint=endpoint)
    if table is None:
        return None
    with hub_errors(parse_repo(repo)[0], "read", token):
        return look_at(table, columns)
