"""The server: `python app.py` and the command `pix2pix-studio` start it.

pix2pix-studio [--host H] [--port P] [--mcp]
"""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec

# Before torch loads OpenMP: its threads must sleep, not spin, while they wait, because the browser
# of the person drawing often runs on the same cores (on two of them 3 times as many pictures).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pix2pix.ui.zero_gpu import borrow_models  # the first to import torch: see there

# isort: split
import gradio as gr

from pix2pix.errors import UserError
from pix2pix.hub.bucket_backup import start_bucket_backup
from pix2pix.imaging.picture import set_pillow_limits
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.nn.device import keep_to_usable_cores
from pix2pix.ui.auth import Roles, is_local_only
from pix2pix.ui.gradio_patches import expose_mcp_tools
from pix2pix.ui.limits import limits_middleware
from pix2pix.ui.page import build_page
from pix2pix.ui.theme import CSS_FILE, theme
from pix2pix.utils.workspace import hub_model_cache, model_folders


def main() -> None:
    """Serve the page until the process ends; exits with 2 for arguments that cannot work."""
    parser = arguments()
    args = parser.parse_args()
    if args.mcp and not find_spec("mcp"):
        wanted = f'"gradio[mcp]=={gr.__version__}"'
        parser.exit(2, f"--mcp needs one more package: install it by pip install {wanted}.\n")
    set_pillow_limits()
    keep_to_usable_cores()
    models = TranslatorCache(model_folders, unlisted=lambda: [hub_model_cache()])
    if args.mcp:
        expose_mcp_tools()
    try:
        roles = Roles.of_server(args.host)
    except UserError as error:
        parser.exit(2, f"{error}\n")
    start_bucket_backup()
    page = build_page(models, roles, borrow_models(models))
    page.launch(
        server_name=args.host,
        server_port=args.port and int(args.port),
        # Gradio would share by GRADIO_SHARE and in notebooks, but who may do what goes by the host.
        share=False,
        theme=theme(),
        css_paths=CSS_FILE,
        footer_links=["api", "settings"],
        mcp_server=args.mcp,
        max_file_size="500mb",
        app_kwargs={"middleware": [limits_middleware(roles, is_local_only(args.host))]},
        state_session_capacity=500,  # of about 0.4 MB each
        # Gradio gives up where its own first page takes 3 s, as it may while a run is training.
        _frontend=False,
    )


def arguments() -> argparse.ArgumentParser:
    """Describe the options, whose defaults are Gradio's own variables of the environment."""
    environment = os.environ.get
    parser = argparse.ArgumentParser(description="Pix2Pix Studio in the browser.")
    parser.add_argument("--host", default=environment("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=environment("GRADIO_SERVER_PORT"))
    parser.add_argument(
        "--mcp",
        action="store_true",
        default=environment("GRADIO_MCP_SERVER", "").lower() == "true",
        help="offer translation, and nothing that trains or writes, to programs that speak MCP",
    )
    return parser
