"""Fetch a dataset as a folder: a published pix2pix set by its name, or any of the Hugging Face Hub
by hub:OWNER/NAME, whose pictures may be in tables (Parquet, Arrow, WebDataset).

A download of an archive or a table that was cut off, stopped or killed goes on with the same
command; pictures and archives of the Hub are fetched anew. The last line of the output is a JSON
object with the folder, its pairs and the size of the archive in bytes.
"""

from __future__ import annotations

import argparse
import signal
import sys
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tqdm import tqdm

from pix2pix.data.report import read_dataset_json, typed
from pix2pix.errors import UserError
from pix2pix.hub.client import parse_repo, saved_login
from pix2pix.hub.datasets import HUB_TABLES, look_at_hub
from pix2pix.hub.fetch_dataset import PAPER_SETS, fetch_from_hub, fetch_set
from pix2pix.utils.download import format_size, url_host
from pix2pix.utils.progress import ProgressBar
from pix2pix.utils.text import printable
from pix2pix.utils.workspace import workspace
from scripts.command import answer, command

HUB = "hub:"
SHARES = "{desc}: {percentage:.0f}%|{bar}| {elapsed} gone, {remaining} left"


@command(stopped="Stopped: the same command goes on.")
def main() -> int:
    args = arguments()
    if args.list:
        return list_sets()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl+C
    if args.name.startswith(HUB):
        repo, token = args.name.removeprefix(HUB), args.token or saved_login()
        if look := look_at_hub(repo, args.columns, subset=args.subset, token=token):
            print(*look.describe(), sep="\n", file=sys.stderr)
        chosen = {"columns": args.columns, "limit": args.limit, "subset": args.subset}
        result = fetch_from_hub(repo, args.out, bar, token=token, **chosen)
    else:
        paper_set = PAPER_SETS[args.name]
        print(f"{args.name}: {paper_set.what}; {paper_set.terms}.", file=sys.stderr)
        result = fetch_set(
            args.name, args.out, bar, address=args.address, sha256=args.sha256,
            keep_archive=args.keep_archive,
            on_wait=lambda sentence: tqdm.write(sentence, file=sys.stderr),
        )  # fmt: skip
    for refused in typed(read_dataset_json(Path(result["dataset"])), "refused", list):
        if isinstance(refused, dict):  # its author may have written anything
            file, reason = (printable(str(refused.get(key, "?"))) for key in ("file", "reason"))
            print(f"left out {file}: {reason}", file=sys.stderr)
    return answer(result)


def list_sets() -> int:
    for name, paper_set in PAPER_SETS.items():
        about = "" if paper_set.exact else "about "
        print(f"{name}  {about}{format_size(paper_set.size)}\n    {paper_set.what}")
        print(f"    {paper_set.terms}")
    for repo in HUB_TABLES:
        print(f"hub:{repo}\n    the same by tables; licence: see https://hf.co/datasets/{repo}")
    return 0


def bar(title: str, unit: str) -> closing[ProgressBar]:
    """Make a bar that a log shows too, in few lines."""
    seconds = 0.2 if sys.stderr.isatty() else 10
    style = {"bar_format": SHARES} if not unit else {"unit_scale": unit == "B"}
    style |= {"disable": False, "mininterval": seconds, "maxinterval": seconds}
    return closing(ProgressBar(title, unit, **style))


def arguments() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    add, known = parser.add_argument, ", ".join(PAPER_SETS)
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
    if text in PAPER_SETS:
        return text
    try:
        parse_repo(text.removeprefix(HUB) if text.startswith(HUB) else "")
    except UserError as error:
        known = ", ".join(PAPER_SETS)
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
