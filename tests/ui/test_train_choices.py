"""Lists that fill themselves anew while somebody may be choosing from them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest

from pix2pix.errors import UserError
from pix2pix.presets import PRESETS
from pix2pix.ui.auth import Roles
from pix2pix.ui.train.form import TrainForm
from pix2pix.ui.train.launch import run_settings, start_training
from pix2pix.utils.files import write_json
from tests.support.drawn_pairs import draw_dataset
from tests.support.models_and_servers import save_tiny_model, tiny_config
from tests.support.page_server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    workspace = tmp_path_factory.mktemp("choices")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIX2PIX_WORKSPACE", str(workspace))
        draw_dataset(workspace / "datasets" / "faces", train=3, val=1)
        save_tiny_model(workspace / "models" / "tiny")
        started = Server(workspace, Roles(everybody=True))
        answers(started, "page", {})  # the lists are filled, as when the tab comes into sight
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


def after(server: Server, elem_id: str, event: str, values: dict[str, Any]) -> dict[str, Any]:
    """What the fields become when this one was chosen: elem_id -> value or update."""
    page, found = server.page, {}
    [field] = (key for key, block in page.blocks.items() if block.elem_id == elem_id)
    for number, handler in page.fns.items():
        if (field, event) in handler.targets and len(handler.outputs) > 1:
            data = [values.get(str(c.elem_id)) for c in handler.inputs]
            answer = server.ask(number, data, session="page")["output"]["data"]
            found |= {c.elem_id: v for c, v in zip(handler.outputs, answer, strict=True)}
    return found


def test_a_model_to_start_from_brings_its_direction(server: Server) -> None:
    folder = server.workspace / "datasets" / "named"
    draw_dataset(folder, train=1)
    (folder / "dataset.json").write_text('{"source_name": "sketch", "target_name": "photo"}')
    names = {"source_name": "sketch", "target_name": "photo"}
    save_tiny_model(
        server.workspace / "models" / "sketch",
        tiny_config(direction="BtoA", source_kind="drawing", **names),
    )
    answers(server, "page", {})  # it is among the choices from now on
    values = {"preset": "recommended", "start-from": "sketch", "train-dataset": "faces"}
    assert after(server, "start-from", "change", values)["direction"] == "BtoA"
    assert after(server, "preset", "input", values)["direction"] == "BtoA"
    values["train-dataset"] = "named"  # whose source is what the model's is
    assert after(server, "start-from", "change", values)["direction"] == "AtoB"
    assert after(server, "train-dataset", "change", values)["direction"]["value"] == "AtoB"
    values |= {"start-from": "", "preset": "face-sketch"}
    assert after(server, "preset", "input", values)["direction"] == "AtoB"
    assert after(server, "train-dataset", "change", values)["direction"]["value"] == "AtoB"
    values["train-dataset"] = "faces"  # which says nothing: as in the preset's tutorial
    assert after(server, "train-dataset", "change", values)["direction"]["value"] == "BtoA"
    values["preset"] = "maps"  # which has none of its own
    assert "value" not in after(server, "train-dataset", "change", values)["direction"]


def test_a_network_of_fixed_width_is_not_given_one(server: Server) -> None:
    values = {"preset": "cityscapes", "start-from": "", "train-dataset": "faces"}
    width = after(server, "preset", "input", values)["width"]
    assert not width["interactive"] and "fixed" in width["info"]
    values["preset"] = "maps"
    width = after(server, "preset", "input", values)["width"]
    assert width["interactive"] and width["info"] == ""
    with gr.Blocks():
        form = TrainForm()
    filled = {part: getattr(part, "value", None) for part in form.inputs()}
    filled |= {form.width: 16, form.more: "generator=small-unet"}
    given = form.overrides(filled)
    assert "ngf" not in given and given["ndf"] == 16
    settings = run_settings(server.workspace / "datasets" / "faces", "maps", given)
    assert (settings["generator"], settings["ngf"], settings["ndf"]) == ("small-unet", 64, 16)
    filled[form.more] = "generator=small-unet\nngf=16"
    with pytest.raises(UserError, match="has no setting 'ngf'"):
        run_settings(server.workspace / "datasets" / "faces", "maps", form.overrides(filled))


@pytest.mark.filterwarnings("ignore:The value passed into gr.Dropdown")
@pytest.mark.parametrize("label_maps", [[False, False], [True, False], [False, True]])
@pytest.mark.parametrize("preset", PRESETS)
def test_a_form_left_as_it_is_trains_as_the_command_does(
    server: Server, preset: str, label_maps: list[bool]
) -> None:
    """Label maps as targets get other losses and a lower rate, whoever starts the run."""
    data = server.workspace / "datasets" / "drawn"
    if not data.exists():
        draw_dataset(data, train=1, val=0)
    write_json(data / "dataset.json", {"label_maps": label_maps})
    with gr.Blocks():
        form = TrainForm()
    filled = {part: getattr(part, "value", None) for part in form.inputs()}
    filled |= {form.preset: preset, form.dataset: "drawn"}
    for part, update in form.preset_fields(filled).items():
        if part in filled and part is not form.preset:
            filled[part] = getattr(update, "value", update)
    direction = filled[form.direction]
    assert form.overrides(filled) == {"direction": direction, "report_to": ""}
    settings = run_settings(data, preset, form.overrides(filled))
    assert settings == run_settings(data, preset, {})
    if preset == "recommended" and label_maps[1]:
        assert "learning rate of 0.0004" in form.describe_length(filled)


def test_one_event_writes_the_length_of_a_run(server: Server) -> None:
    """Of two answers on their way the slower would win, which may be about another dataset."""
    writers = [
        handler for handler in server.page.fns.values()
        if "length" in [part.elem_id for part in handler.outputs]
    ]  # fmt: skip
    [writer] = writers
    assert writer.trigger_mode == "always_last"
    asked = {server.page.blocks[number].elem_id for number, _ in writer.targets}
    assert {"train-dataset", "preset", "epochs", "train-size", "start-from"} <= asked


def test_programs_are_told_of_every_preset() -> None:
    told = start_training.__doc__.partition("`preset` is ")[2].partition(";")[0]
    assert told.replace(" or ", ", ").split(", ") == list(PRESETS)
