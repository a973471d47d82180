"""Start the app: python app.py [--host H] [--port P]."""

from __future__ import annotations

import argparse
import os

# Before torch loads OpenMP: its threads must sleep, not spin, while they wait, because the browser
# of the person drawing often runs on the same cores (on two of them 3 times as many pictures).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from pix2pix.ui.zero_gpu import lent  # the first to import torch: see there

# isort: split
from pix2pix.translate import Translators
from pix2pix.ui.page import build_page
from pix2pix.ui.theme import CSS_FILE, theme
from pix2pix.ui.train_tab import train_tab
from pix2pix.workspace import model_folders


def main() -> None:
    environment = os.environ.get
    parser = argparse.ArgumentParser(description="Pix2Pix Studio in the browser.")
    parser.add_argument("--host", default=environment("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=int, default=environment("GRADIO_SERVER_PORT"))
    args = parser.parse_args()
    models = Translators(model_folders)
    build_page(models, train_tab, lent(models)).launch(
        server_name=args.host,
        server_port=args.port and int(args.port),
        theme=theme(),
        css_paths=CSS_FILE,
        footer_links=["api", "settings"],
        max_file_size="500mb",
        state_session_capacity=500,  # of about 0.4 MB each
        # Gradio gives up where its own first page takes 3 s, as it may while a run is training.
        _frontend=False,
    )


if __name__ == "__main__":
    main()
