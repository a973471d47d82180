"""Fetch a dataset as a folder: a set that the authors of pix2pix published, or one of the Hugging
Face Hub. What has arrived of an archive or a table outlives a stop, and the same call goes on."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pix2pix.data.archive_readers import ArchiveLimits
from pix2pix.data.dataset import dataset_info
from pix2pix.data.importing import import_dataset
from pix2pix.data.table_pairs import dataset_folder
from pix2pix.errors import UserError
from pix2pix.hub.client import Token
from pix2pix.hub.datasets import pull_dataset, pull_pairs
from pix2pix.utils.download import discard_download, download
from pix2pix.utils.progress import Progress
from pix2pix.utils.text import safe_name

# Begins a part of the work: (title, unit), "B" for bytes, "file", or "" for shares of the whole.
Part = Callable[[str, str], AbstractContextManager[Progress]]
ADDRESS = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{}.tar.gz"
NOT_KNOWN = "licence not known to this program; source: "
LIMITS = ArchiveLimits(entries=200_000)  # edges2handbags


@dataclass(frozen=True)
class PaperSet:
    """A dataset of the pix2pix authors; ``size`` of its archive in bytes, ``exact`` or rounded."""

    size: int
    exact: bool
    what: str
    terms: str


# What each set is: docs/datasets.md of github.com/junyanz/pytorch-CycleGAN-and-pix2pix, which asks
# to cite the papers of those who collected the pictures. Exact sizes: facades and maps as the
# server announced them in published logs of wget (2022 and 2023), cityscapes as several programs on
# GitHub have it, in accord with the 99M of the server's own listing. Rounded sizes: that listing
# (8.0G, 2.0G and 1.9G, in units of 1024), as quoted in 2024. No SHA-256 of these archives has been
# found in any published list.
PAPER_SETS = {
    "facades": PaperSet(
        30_168_306, True, "photos of building fronts | labels of their parts; 400 to train on",
        NOT_KNOWN + "CMP Facade Database, cmp.felk.cvut.cz/~tylecr1/facade",
    ),
    "maps": PaperSet(
        250_242_400, True, "aerial photos | maps of the same place; 1,096 to train on",
        NOT_KNOWN + "pictures of Google Maps",
    ),
    # The licence agreement of Cityscapes as copied in github.com/Sshanu/AdaptSegNet, license.txt;
    # the reference's download script says that it does not provide the set because of it.
    "cityscapes": PaperSet(
        103_441_232, True, "street photos | labels of what is seen; 2,975 to train on",
        "licence of Cityscapes (www.cityscapes-dataset.com): not for commercial use, not to be "
        "passed on; the PyTorch reference of pix2pix no longer offers it for that reason",
    ),
    "edges2shoes": PaperSet(
        2_150_000_000, False, "outlines | photos of shoes; 50 thousand to train on",
        NOT_KNOWN + "UT Zappos50K, vision.cs.utexas.edu/projects/finegrained/utzap50k",
    ),
    "edges2handbags": PaperSet(
        8_590_000_000, False, "outlines | photos of handbags; 137 thousand to train on",
        NOT_KNOWN + "pictures of Amazon, from the iGAN project, github.com/junyanz/iGAN",
    ),
    "night2day": PaperSet(
        2_040_000_000, False, "landscapes by night | by day; about 20 thousand in all",
        NOT_KNOWN + "Transient Attributes, transattr.cs.brown.edu",
    ),
}  # fmt: skip


def fetch_set(
    name: str,
    out: Path,
    part: Part,
    *,
    address: str | None = None,
    sha256: str | None = None,
    keep_archive: bool = False,
    on_wait: Callable[[str], None] = lambda sentence: None,
) -> dict[str, Any]:
    """Fetch the set of this `name` in PAPER_SETS, from another `address` if told, and unpack it as
    the folder `out`; with `keep_archive` its archive stays beside that.

    Returns the folder, its counts, the `bytes` of the archive and how many of them an earlier call
    had fetched. A finished archive outlives a failure to unpack it. Raises UserError and OSError.
    """
    out = out.with_name(safe_name(out.name))
    archive, kept = (out.with_name(f"{dot}{out.name}.tar.gz") for dot in (".", ""))
    _refuse_taken(out, *([kept] if keep_archive else []))
    known = PAPER_SETS[name]
    with part(f"{name}.tar.gz", "B") as on_progress:
        loaded = download(
            address or ADDRESS.format(name),
            archive,
            # Another address may have the set in another form.
            size=known.size if known.exact and not address else None,
            sha256=sha256,
            on_progress=on_progress,
            on_wait=on_wait,
        )
    try:
        with part("unpacking", "") as on_progress:
            import_dataset(archive, out.parent, out.name, limits=LIMITS, on_progress=on_progress)
    except UserError:
        # It would be refused again, unless all that was missing is room on the disk.
        if shutil.disk_usage(out.parent).free > 2 * loaded.bytes:
            discard_download(archive)
        raise
    if keep_archive:
        os.replace(archive, kept)
    discard_download(archive)
    return {**_counts(out), "bytes": loaded.bytes, "resumed_from": loaded.resumed_from}


def fetch_from_hub(
    repo: str,
    out: Path,
    part: Part,
    *,
    columns: tuple[str, ...] = (),
    limit: int = 0,
    subset: str = "",
    token: Token = None,
) -> dict[str, Any]:
    """Make the folder `out` of a dataset repository: of the pairs in its table (see `pull_pairs`),
    else of its A|B pictures or the one archive of them.

    Returns the folder, its counts and what was taken. Raises UserError and OSError.
    """
    out = out.with_name(safe_name(out.name))
    _refuse_taken(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    options = {"limit": limit, "subset": subset, "token": token}
    with part(repo, "") as on_progress:
        taken = pull_pairs(repo, out.parent, columns, on_progress=on_progress, **options)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out.parent) as place:
        if taken:
            found = dataset_folder(taken)
            about = {"columns": taken.origin.columns, "table": taken.origin.table}
        else:
            with part(repo, "file") as on_progress:
                pulled = pull_dataset(
                    repo, Path(place) / "hub", token=token, on_progress=on_progress
                )
            things = pulled["archives"] or [Path(place) / "hub"]
            if len(things) > 1:
                raise UserError(f"{repo} holds {len(things)} archives: fetch the one you mean.")
            found, about = things[0], {key: pulled[key] for key in ("bytes", "commit")}
        with part("unpacking", "") as on_progress:
            import_dataset(found, out.parent, out.name, move=True, on_progress=on_progress)
    if taken:
        shutil.rmtree(taken.source.parent)
    return {**_counts(out), **about}


def _counts(out: Path) -> dict[str, Any]:
    info = dataset_info(out)
    return {"dataset": str(out), "pairs": info.total, **info.counts}


def _refuse_taken(*paths: Path) -> None:
    """Before anything is fetched, in upper or lower case: many disks do not tell them apart."""
    folder = paths[0].parent
    names = {name.casefold() for name in os.listdir(folder)} if folder.is_dir() else set()
    for path in paths:
        if path.name.casefold() in names:
            raise UserError(f"{path} exists already: name another --out or remove it.")
