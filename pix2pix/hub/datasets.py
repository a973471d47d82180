"""Pull and push dataset repositories of the Hugging Face Hub, and read tables of pictures there.

How the token is meant: see `hub.client`.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from pix2pix.data.layout import parse_split, subfolders
from pix2pix.data.records import Inputs
from pix2pix.data.report import DATASET_JSON
from pix2pix.data.table_pairs import extract_pairs, transfer_name
from pix2pix.data.tables import KINDS, Table, TableLook, look_at, make_table
from pix2pix.errors import Cancelled, UserError
from pix2pix.hub.client import (
    Token,
    byte_progress,
    check_right_to_push,
    connect,
    hub_errors,
    list_files,
    parse_repo,
    push_files,
)
from pix2pix.hub.dataset_repo import TABLE_FOLDER, write_tables
from pix2pix.imaging.decode import IMAGE_SUFFIXES
from pix2pix.utils.files import atomic_folder
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.text import PathTree, printable, strip_folders, unsafe_name_reason

MAX_FILES, MAX_BYTES = 150_000, 20 * 10**9  # of a repository that is pulled
MAX_IN_FOLDER = 10_000  # files; the Hub's own limit
ARCHIVES = (".zip", ".tar.gz", ".tgz", ".tar", ".npz")
WORKERS = 8  # files fetched at the same time
# Published pix2pix sets that are tables of the columns imageA and imageB.
HUB_TABLES = ("huggan/facades", "huggan/maps", "huggan/edges2shoes", "huggan/night2day")
READ_AHEAD = 4 * 2**20  # bytes of files that are read from the beginning to the end


# ---------------------------------------------------------------------------------------- pulling


def pull_dataset(
    repo: str,
    into: Path,
    *,
    token: Token = None,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
    max_files: int = MAX_FILES,
    max_bytes: int = MAX_BYTES,
) -> dict[str, Any]:
    """Fetch the dataset repository `repo` (see `parse_repo`), one commit, as the folder `into`.

    What is taken: pictures in train, val, test, trainA, ...; where there are none, either all
    pictures or the archives at the top (.zip, .tar.gz, .npz), whichever are more bytes; and
    dataset.json. Archives stay packed. Progress counts files; `should_stop` is also asked by
    other threads, amid a file.

    Returns `repo_id`, `commit`, `files` and `bytes` (numbers) and `archives` (paths, or empty).
    Raises UserError for a repository that cannot or must not be taken, and Cancelled; both leave
    nothing behind.
    """
    api, repo_id, commit, sizes = _list_commit(repo, token, max_files, should_stop)
    names = _choose_files(sizes, repo_id)
    _check_files(names, sum(sizes[name] for name in names), max_bytes, repo_id, into)
    with atomic_folder(into) as folder:
        with hub_errors(repo_id, "read", token, should_stop):
            _download(api, repo_id, commit, names, folder, should_stop, on_progress)
        shutil.rmtree(folder / ".cache", ignore_errors=True)  # notes of huggingface_hub
        size = sum((folder / name).stat().st_size for name in names)
    archives = [into / name for name in names if name.lower().endswith(ARCHIVES)]
    source_info = {"repo_id": repo_id, "commit": commit, "files": len(names), "bytes": size}
    return {**source_info, "archives": archives}


def _list_commit(
    repo: str, token: Token, max_files: int, should_stop: ShouldStop
) -> tuple[Any, str, str, dict[str, int]]:
    """Return (API, owner/name, commit, bytes of each file) of what `repo` names now."""
    repo_id, revision = parse_repo(repo)
    with hub_errors(repo_id, "read", token, should_stop):
        api = connect(token)
        commit = api.dataset_info(repo_id, revision=revision, timeout=30, expand=["sha"]).sha
        sizes = list_files(api, repo_id, commit, "dataset", max_files, should_stop)
    return api, repo_id, commit, sizes


def _choose_files(sizes: dict[str, int], repo_id: str) -> list[str]:
    """Choose the files that make the dataset, by the rule that `pull_dataset` states."""
    pictures = [name for name in sizes if is_picture(name)]
    parted = [name for name in pictures if in_split(name)]
    packed = [n for n in sizes if n.lower().endswith(ARCHIVES) and "/" not in n and n[0] != "."]
    if not parted and sum(map(sizes.get, packed)) > sum(map(sizes.get, pictures)):
        return packed
    if not pictures:
        raise UserError(
            f"{repo_id} holds no pictures: choose one that has them as files, in tables "
            "(.parquet) or in a .zip at its top."
        )
    return (parted or pictures) + [name for name in (DATASET_JSON,) if name in sizes]


def is_picture(name: str) -> bool:
    """Return whether a file of a repository is a picture that is not hidden."""
    path = PurePosixPath(name)
    # "..", which must be refused, is not hidden.
    hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in path.parts)
    return path.suffix.lower() in IMAGE_SUFFIXES and not hidden


def _check_files(names: list[str], total: int, max_bytes: int, repo_id: str, into: Path) -> None:
    """Raise UserError where files must not be written: unsafe names, or too many bytes."""
    tree = PathTree()
    for name in names:
        if fault := unsafe_name_reason(name) or tree.add(tuple(name.split("/")), False):
            raise UserError(
                f"{repo_id} holds '{printable(name)}', {fault}: choose another dataset."
            )
    giga = f"{total / 1e9:.1f} GB"
    if total > max_bytes:
        raise UserError(f"{repo_id} is {giga}, over {max_bytes / 1e9:g} GB: take a smaller one.")
    existing = next(path for path in into.absolute().parents if path.exists())
    if total > (free := shutil.disk_usage(existing).free):
        raise UserError(f"{repo_id} is {giga} and {free / 1e9:.1f} GB are free: make room.")


def _download(
    api: Any,
    repo_id: str,
    commit: str,
    names: list[str],
    folder: Path,
    should_stop: ShouldStop,
    on_progress: Progress,
) -> None:
    ended = threading.Event()  # one failed: the others need not go on

    def look(so_far: int = 0) -> None:
        if ended.is_set() or should_stop():
            raise Cancelled

    bar = byte_progress(look)

    def fetch(name: str) -> None:
        look()
        api.hf_hub_download(
            repo_id, name, repo_type="dataset", revision=commit, local_dir=folder, tqdm_class=bar
        )

    pool = ThreadPoolExecutor(WORKERS)
    try:
        on_progress(0, len(names))
        for done, fetched in enumerate(as_completed([pool.submit(fetch, n) for n in names]), 1):
            fetched.result()
            on_progress(done, len(names))
    finally:
        ended.set()
        pool.shutdown(cancel_futures=True)


# ----------------------------------------------------------------------------- tables of pictures


def hub_table(
    repo: str,
    *,
    token: Token = None,
    subset: str = "",
    should_stop: ShouldStop = lambda: False,
) -> Table | None:
    """Return the table in a dataset repository (see `parse_repo`), of one commit; None where it
    holds pictures in train, val or test, or more bytes of pictures than of tables.

    Whoever reads its parts does so inside `hub_errors`, as `pull_pairs` does. Raises UserError
    where the repository cannot be read, and Cancelled.
    """
    api, repo_id, commit, sizes = _list_commit(repo, token, MAX_FILES, should_stop)
    tables = {name: size for name, size in sizes.items() if name.lower().endswith((*KINDS,))}
    pictures = {name: size for name, size in sizes.items() if is_picture(name)}
    parted = any(map(in_split, pictures))
    if parted or not tables or sum(pictures.values()) > sum(tables.values()):
        return None
    with hub_errors(repo_id, "read", token, should_stop):
        opener = _opener(api, f"datasets/{repo_id}@{commit}", tables)
        return make_table(f"hub:{repo_id}@{commit}", tables, opener, subset)


def _opener(api: Any, root: str, sizes: dict[str, int]) -> Callable[[str], Callable[[], BinaryIO]]:
    from huggingface_hub import HfFileSystem

    files = HfFileSystem(token=api.token, skip_instance_cache=True)

    def opener(name: str) -> Callable[[], BinaryIO]:
        # Parquet is read here and there, by requests of the size that its reader asks for.
        ahead = not name.lower().endswith(".parquet")
        options = {"cache_type": "readahead" if ahead else "none", "block_size": READ_AHEAD}
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
) -> Inputs | None:
    """Take the pairs of the table in a repository (see `extract_pairs`) into a folder of their own
    in `into`, where the same call goes on after a stop; None where there is no table.

    Raises UserError and Cancelled.
    """
    options = {"token": token, "subset": subset, "should_stop": should_stop}
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
) -> TableLook | None:
    """Look at the table in a repository (see `look_at`); None where there is none."""
    table = hub_table(repo, token=token, subset=subset)
    if table is None:
        return None
    with hub_errors(parse_repo(repo)[0], "read", token):
        return look_at(table, columns)


# ---------------------------------------------------------------------------------------- pushing


def push_dataset(
    folder: Path,
    repo: str,
    *,
    token: Token,
    private: bool = True,
    card: str,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> str:
    """Make the dataset repository `repo` hold what `folder` holds, in one commit on its main
    branch, and return the address of its page.

    Pictures in train, val, test, trainA, ... and dataset.json are uploaded, the latter without
    the absolute paths in it, and `card` becomes README.md. Beside them are Parquet tables of the
    same pairs, which the Hub's viewer shows and `datasets` loads. What of these an older push left
    and is gone from `folder` leaves the repository's newest state too. A repository that is
    there and public is refused unless `private` is False. Raises UserError, and Cancelled before
    the commit.
    """
    files = dataset_files(folder)
    _check_folders(files)
    files["README.md"] = card.encode()
    check_right_to_push(repo, "dataset", token)
    with tempfile.TemporaryDirectory(prefix=".tables-", dir=folder.parent) as tables:
        written = write_tables(folder, Path(tables), should_stop=should_stop)
        files |= {name: str(path) for name, path in written.items()}
        return push_files(
            files, repo, "dataset", token=token, private=private, is_part=_is_pushed,
            should_stop=should_stop, on_progress=on_progress,
        )  # fmt: skip


def _is_pushed(name: str) -> bool:
    """Return whether a push may have brought this file, so that the next may take it away."""
    path = PurePosixPath(name)
    return _is_part(name) or (path.parent.as_posix(), path.suffix) == (TABLE_FOLDER, ".parquet")


def _is_part(name: str) -> bool:
    return is_picture(name) and in_split(name)


def in_split(name: str) -> bool:
    """Return whether a file lies in a folder that is called like a split, or a side of one."""
    top, slash, _ = name.partition("/")
    return bool(slash and parse_split(top)[0])


def dataset_files(folder: Path) -> dict[str, str | bytes]:
    """List what of a dataset leaves this machine: name below its folder -> path of the file, or
    its content. Raises UserError where there are no pictures or dataset.json is damaged."""
    paths = sorted(
        path
        for top in subfolders(folder)
        if parse_split(top.name)[0]
        for path in top.rglob("*")
        if path.is_file()
    )
    by_name = {path.relative_to(folder).as_posix(): str(path) for path in paths}
    files: dict[str, str | bytes] = {name: path for name, path in by_name.items() if _is_part(name)}
    if not files:
        raise UserError(f"{printable(folder.name)} holds no pictures in train, val or test.")
    try:
        description = json.loads((folder / DATASET_JSON).read_text(encoding="utf-8"))
        files[DATASET_JSON] = json.dumps(strip_folders(description), indent=2).encode() + b"\n"
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{DATASET_JSON} is damaged: build the dataset again.") from error
    return files


def _check_folders(files: dict[str, Any]) -> None:
    counts = Counter(str(PurePosixPath(name).parent) for name in files if _is_part(name))
    top, count = counts.most_common(1)[0]
    if count > MAX_IN_FOLDER:
        raise UserError(
            f"{printable(top)} holds {count:,} pictures and the Hub takes {MAX_IN_FOLDER:,} in a "
            "folder: send its archive from the Hub's own page."
        )
