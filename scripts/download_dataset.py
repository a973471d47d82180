"""Fetch a dataset as a folder: a published pix2pix set by its name, or any of the Hugging Face Hub
by hub:OWNER/NAME, whose pictures may be in tables (Parquet, Arrow, WebDataset).

A download that was cut off, stopped or killed goes on with the same command. The last line of the
output is a JSON object with the folder, its pairs and the size of the archive in bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tqdm import tqdm

from pix2pix.data.archive_readers import ArchiveLimits
from pix2pix.data.dataset import dataset_info
from pix2pix.data.importing import import_dataset
from pix2pix.data.report import read_dataset_json
from pix2pix.data.table_pairs import dataset_folder
from pix2pix.errors import UserError
from pix2pix.hub.client import parse_repo, saved_login
from pix2pix.hub.datasets import PUBLISHED, look_at_hub, pull_dataset, pull_pairs
from pix2pix.imaging.picture import set_pillow_limits
from pix2pix.utils.download import discard_download, download, format_size, url_host
from pix2pix.utils.files import write_errors
from pix2pix.utils.progress import ProgressBar
from pix2pix.utils.text import safe_name
from pix2pix.utils.workspace import workspace

ADDRESS = "http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{}.tar.gz"
HUB = "hub:"
NOT_KNOWN = "licence not known to this program; source: "


@dataclass(frozen=True)
class Published:
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
SETS = {
    "facades": Published(
        30_168_306, True, "photos of building fronts | labels of their parts; 400 to train on",
        NOT_KNOWN + "CMP Facade Database, cmp.felk.cvut.cz/~tylecr1/facade",
    ),
    "maps": Published(
        250_242_400, True, "aerial photos | maps of the same place; 1,096 to train on",
        NOT_KNOWN + "pictures of Google Maps",
    ),
    # The licence agreement of Cityscapes as copied in github.com/Sshanu/AdaptSegNet, license.txt;
    # the reference's download script says that it does not provide the set because of it.
    "cityscapes": Published(
        103_441_232, True, "street photos | labels of what is seen; 2,975 to train on",
        "licence of Cityscapes (www.cityscapes-dataset.com): not for commercial use, not to be "
        "passed on; the PyTorch reference of pix2pix no longer offers it for that reason",
    ),
    "edges2shoes": Published(
        2_150_000_000, False, "outlines | photos of shoes; 50 thousand to train on",
        NOT_KNOWN + "UT Zappos50K, vision.cs.utexas.edu/projects/finegrained/utzap50k",
    ),
    "edges2handbags": Published(
        8_590_000_000, False, "outlines | photos of handbags; 137 thousand to train on",
        NOT_KNOWN + "pictures of Amazon, from the iGAN project, github.com/junyanz/iGAN",
    ),
    "night2day": Published(
        2_040_000_000, False, "landscapes by night | by day; about 20 thousand in all",
        NOT_KNOWN + "Transient Attributes, transattr.cs.brown.edu",
    ),
}  # fmt: skip
UNPACKING = "{desc}: {percentage:.0f}%|{bar}| {elapsed} gone, {remaining} left"
LIMITS = ArchiveLimits(entries=200_000)  # edges2handbags


def main() -> int:
    args = arguments()
    set_pillow_limits()
    if args.list:
        for name, published in SETS.items():
            about = "" if published.exact else "about "
            print(f"{name}  {about}{format_size(published.size)}\n    {published.what}")
            print(f"    {published.terms}")
        for repo in PUBLISHED:
            print(f"hub:{repo}\n    the same by tables; licence: see https://hf.co/datasets/{repo}")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl+C
    try:
        with write_errors(args.out):
            result = (fetch_hub if args.name.startswith(HUB) else fetch)(args)
        print(json.dumps(result))
        return 0
    except UserError as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("Stopped: what has arrived is kept, and the same command goes on.", file=sys.stderr)
    return 1


def fetch(args: argparse.Namespace) -> dict:
    """Download, unpack and count; a finished archive outlives a failure to unpack it."""
    out = args.out.with_name(safe_name(args.out.name))
    archive_file = out.with_name(f"{out.name}.tar.gz")
    refuse_taken([out, archive_file] if args.keep_archive else [out])
    published = SETS[args.name]
    print(f"{args.name}: {published.what}; {published.terms}.", file=sys.stderr)
    archive = out.with_name(f".{out.name}.tar.gz")
    with bar(f"{args.name}.tar.gz", unit_scale=True) as shown:
        loaded = download(
            args.address or ADDRESS.format(args.name),
            archive,
            # Another address may have the set in another form.
            size=published.size if published.exact and not args.address else None,
            sha256=args.sha256,
            on_progress=shown,
            on_wait=lambda sentence: tqdm.write(sentence, file=sys.stderr),
        )
    try:
        with bar("unpacking", bar_format=UNPACKING) as shown:
            import_dataset(archive, out.parent, out.name, limits=LIMITS, on_progress=shown)
    except UserError:
        # It would be refused again, unless all that was missing is room on the disk.
        if shutil.disk_usage(out.parent).free > 2 * loaded.bytes:
            discard_download(archive)
        raise
    if args.keep_archive:
        os.replace(archive, archive_file)
    discard_download(archive)
    return {**counts_of(out), "bytes": loaded.bytes, "resumed_from": loaded.resumed_from}


def fetch_hub(args: argparse.Namespace) -> dict:
    """Take the pairs of a repository; what has arrived of a table outlives a stop."""
    out = args.out.with_name(safe_name(args.out.name))
    refuse_taken([out])
    repo, token = args.name.removeprefix(HUB), args.token or saved_login()
    if look := look_at_hub(repo, args.columns, subset=args.subset, token=token):
        counts = ", ".join(f"{rows:,} {split or 'rows'}" for split, rows in look.counts.items())
        print(f"columns: {', '.join(look.columns)}; {counts}", file=sys.stderr)
        print(f"taken: {' -> '.join(look.chosen)}; for example", file=sys.stderr)
        for pictures in look.examples:
            print("  ->  ".join(f"{p.width} x {p.height}" for p in pictures), file=sys.stderr)
    with bar(repo, bar_format=UNPACKING) as shown:
        options = {"limit": args.limit, "subset": args.subset, "token": token, "on_progress": shown}
        taken = pull_pairs(repo, out.parent, args.columns, **options)
    if taken is None:
        return fetch_pictures(repo, out, token)
    kept = taken.source.parent
    with bar("checking", bar_format=UNPACKING) as shown:
        import_dataset(dataset_folder(taken), out.parent, out.name, move=True, on_progress=shown)
    shutil.rmtree(kept)
    return {**counts_of(out), "columns": taken.origin.columns, "table": taken.origin.table}


def fetch_pictures(repo: str, out: Path, token: str | bool | None) -> dict:
    """Take a repository that holds A|B pictures or an archive of them."""
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out.parent) as place:
        with bar(repo, "file") as shown:
            pulled = pull_dataset(repo, Path(place) / "hub", token=token, on_progress=shown)
        things = pulled["archives"] or [Path(place) / "hub"]
        if len(things) > 1:
            raise UserError(f"{repo} holds {len(things)} archives: fetch the one you mean.")
        with bar("unpacking", bar_format=UNPACKING) as shown:
            import_dataset(things[0], out.parent, out.name, move=True, on_progress=shown)
    return {**counts_of(out), "bytes": pulled["bytes"], "commit": pulled["commit"]}


def counts_of(out: Path) -> dict:
    """Count the pairs of a new dataset, and say what was left out."""
    for refused in read_dataset_json(out)["refused"]:
        print(f"left out {refused['file']}: {refused['reason']}", file=sys.stderr)
    info = dataset_info(out)
    return {"dataset": str(out), "pairs": info.total, **info.counts}


def refuse_taken(paths: list[Path]) -> None:
    """Before anything is fetched, in upper or lower case: many disks do not tell them apart."""
    folder = paths[0].parent
    names = {name.casefold() for name in os.listdir(folder)} if folder.is_dir() else set()
    for path in paths:
        if path.name.casefold() in names:
            raise UserError(f"{path} exists already: name another --out or remove it.")


def bar(title: str, unit: str = "B", **style: object) -> closing[ProgressBar]:
    """Make a bar that a log shows too, in few lines."""
    seconds = 0.2 if sys.stderr.isatty() else 10
    style |= {"disable": False, "mininterval": seconds, "maxinterval": seconds}
    return closing(ProgressBar(title, unit, **style))


def arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add, known = parser.add_argument, ", ".join(SETS)
    add("name", nargs="?", type=set_name, metavar="NAME", help=f"{known}, hub:OWNER/NAME")
    add("--list", action="store_true", help="say what each set is, and stop")
    add("--out", type=Path, metavar="DIR", help="dataset folder (default: NAME in the workspace)")
    add("--keep-archive", action="store_true", help="leave DIR.tar.gz beside the dataset")
    add("--from", dest="address", metavar="URL", type=web_address, help="fetch the archive here")
    add("--sha256", metavar="HEX", type=checksum, help="that the archive must have")
    add = parser.add_argument_group("of the Hub").add_argument
    add("--columns", type=lambda text: tuple(text.split(",")), default=(), metavar="A,B",
        help="columns of a table: source and target, or the one of A|B pictures")  # fmt: skip
    add("--limit", type=int, default=0, metavar="N", help="first N pairs of each split")
    add("--subset", default="", metavar="FOLDER", help="of several tables, this one")
    add("--token", help="that may read a private one (default: this machine's login)")
    args = parser.parse_args()
    if not (args.name or args.list):
        parser.error("name a dataset, or --list")
    if args.name:
        last = args.name.rpartition("/")[2].partition("@")[0]
        args.out = (args.out or workspace() / "datasets" / last).expanduser().absolute()
    return args


def set_name(text: str) -> str:
    if text in SETS:
        return text
    try:
        parse_repo(text.removeprefix(HUB) if text.startswith(HUB) else "")
    except UserError as error:
        known = ", ".join(SETS)
        raise argparse.ArgumentTypeError(f"give {known} or hub:OWNER/NAME") from error
    return text


def web_address(text: str) -> str:
    try:
        url_host(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def checksum(text: str) -> str:
    if len(text) != 64 or set(text.lower()) - set("0123456789abcdef"):
        raise argparse.ArgumentTypeError("a SHA-256 has 64 digits from 0 to 9 and a to f")
    return text.lower()


if __name__ == "__main__":
    sys.exit(main())
