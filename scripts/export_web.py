"""Write a page of static files that draws with models in any browser, without a server.

The folder opens from any static host, or here by `python -m http.server --directory DIR`. It holds
the runtime (ONNX Runtime Web) where npm has installed it (`npm ci --ignore-scripts --prefix
pix2pix/ui/runtime`) or `--runtime` names its folder `dist`; else the page takes the same version
from a public CDN and checks it. The last line of output is one JSON object.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pix2pix.models.folder import find_model
from pix2pix.ui.static_page import export_page
from scripts.command import answer, command


@command()
def main() -> int:
    args = arguments()
    folders = {folder.resolve().name: folder for folder in map(find_model, args.model)}
    result = export_page(folders, args.out, args.runtime, args.int8)
    return answer({"page": str(args.out / "index.html"), **result})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="+", metavar="MODEL", help="name or folder of a model")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--runtime", type=Path, metavar="DIR", help="dist of onnxruntime-web")
    parser.add_argument("--int8", action="store_true", help="weights of half the size, not exact")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
