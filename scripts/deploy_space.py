"""Put the studio on a Hugging Face Space: create it, upload what it needs, wait until it runs.

With --static the Space is the page of scripts/export_web.py: it draws in the visitor's browser,
costs nothing and never sleeps, and neither trains nor takes uploads.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.errors import UserError
from pix2pix.hub.deploy import HubCall, deploy, plan_space, plan_static_space, stage_files
from pix2pix.models.folder import find_model, list_models
from pix2pix.utils.validation import split_setting
from pix2pix.utils.workspace import ROOT, SHIPPED_MODELS
from scripts.command import answer, command

OWNERS = "PIX2PIX_OWNERS"


@command(stopped="Stopped: what the Hub was asked before holds; the same command does the rest.")
def main() -> int:
    args = arguments()
    with tempfile.TemporaryDirectory() as place:
        folder = args.to or Path(place) / "space"
        files, calls = plan(args, folder)
        size = sum((folder / file).stat().st_size for file in files)
        result = {"space": args.name, "files": len(files), "bytes": size}
        if args.dry_run:
            print(*files, "", *calls, sep="\n")
            return answer({**result, "calls": [call.function for call in calls]})
        address = deploy(calls, True, on_call=lambda call: print(call, file=sys.stderr))
    if not args.static and OWNERS not in dict(args.variable):
        print(
            f"Who signs in as {args.name.partition('/')[0]} may train there; where that is an "
            f"organisation, deploy again with --variable {OWNERS}=NAME.",
            file=sys.stderr,
        )
    return answer({**result, "address": address})


def plan(args: argparse.Namespace, folder: Path) -> tuple[list[Path], list[HubCall]]:
    """Stage what is uploaded in the new `folder`, and plan the calls."""
    if args.static:
        from pix2pix.ui.static_page import export_page, write_space_card

        named = {name: find_model(name) for name in args.model or ()}
        export_page(named or list_models([SHIPPED_MODELS]), folder)
        write_space_card(folder, args.name)
        files = [file.relative_to(folder) for file in folder.rglob("*") if file.is_file()]
        return sorted(files), plan_static_space(args.name, folder, private=args.private)
    if missing := [name for name in args.secret if name not in os.environ]:
        raise UserError(f"There is no {missing[0]} in the environment: set it, then deploy.")
    # What is typed stays in a shell's history.
    secrets = {name: os.environ[name] for name in args.secret}
    files = stage_files(ROOT, folder, args.model)
    calls = plan_space(
        args.name, folder, hardware=args.hardware, private=args.private,
        bucket=args.bucket, variables=dict(args.variable), secrets=secrets,
    )  # fmt: skip
    return files, calls


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("name", metavar="OWNER/NAME", help="the Space, made if absent")
    add("--static", action="store_true", help="files alone: no server, no sleep")
    add("--hardware", default="", help="such as cpu-upgrade, t4-small or zero-a10g")
    add("--private", action="store_true", help="only you can open it")
    add("--bucket", default="", metavar="OWNER/NAME", help="keeps the workspace")
    add("--model", action="append", help="ship this model alone; may be repeated")
    add("--variable", action="append", default=[], type=split_setting, metavar="KEY=VALUE",
        help="set a variable of the Space")  # fmt: skip
    add("--secret", action="append", default=[], metavar="KEY",
        help="set a secret to its value in the environment")  # fmt: skip
    add("--dry-run", action="store_true", help="say what would happen, do nothing")
    add("--to", type=Path, help="keep the tree that is uploaded in this new folder")
    args = parser.parse_args()
    serves = args.hardware or args.bucket or args.variable or args.secret
    if args.static and serves:
        parser.error("--static has no server: leave --hardware, --bucket, --variable, --secret out")
    return args


if __name__ == "__main__":
    sys.exit(main())
