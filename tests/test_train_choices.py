"""Lists that fill themselves anew while somebody may be choosing from them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from pix2pix.config import PRESETS
from pix2pix.ui.roles import Roles
from pix2pix.ui.train_api import start_training
from tests.drawn_pairs import draw_dataset
from tests.helpers import save_tiny_model
from tests.page_server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    workspace = tmp_path_factory.mktemp("choices")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIX2PIX_WORKSPACE", str(workspace))
        draw_dataset(workspace / "datasets" / "faces", train=3, val=1)
        save_tiny_model(workspace / "models" / "tiny")
        started = Server(workspace, Roles(everybody=True))
        yield started
        started.page.close(verbose=False)


def answers(server: Server, session: str, chosen: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the lists become when the Train tab comes into sight: elem_id -> update."""
    found = {}
    for number, event in server.page.fns.items():
        if any(name == "shown" for _, name in event.targets):
            data = [chosen.get(str(c.elem_id)) for c in event.inputs]
            updates = server.ask(number, data, session=session)["output"]["data"]
            found |= {c.elem_id: u for c, u in zip(event.outputs, updates, strict=True)}
    return found


def test_what_is_chosen_is_sent_back_only_where_it_is_gone(server: Server) -> None:
    """It would undo what a person chose while the answer was on its way."""
    save_tiny_model(server.workspace / "models" / "old")
    first = answers(server, "page", {})
    assert first["train-dataset"]["value"] == "faces"  # nothing was chosen
    chosen = {"train-dataset": "faces", "start-from": "old", "measured": ["old", "tiny"]}
    for name, update in answers(server, "page", chosen).items():
        assert name not in chosen or (update["choices"] and "value" not in update), name
    shutil.rmtree(server.workspace / "models" / "old")
    after = answers(server, "page", chosen)
    assert "value" not in after["train-dataset"]
    assert after["start-from"]["value"] == ""
    assert after["measured"]["value"] == ["tiny"]


def test_programs_are_told_of_every_preset() -> None:
    told = start_training.__doc__.partition("`preset` is ")[2].partition(";")[0]
    assert told.replace(" or ", ", ").split(", ") == list(PRESETS)
