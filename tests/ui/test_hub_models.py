"""A model from the Hub in the page: it is there for the visitor who loaded it, and nobody else."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import httpx
import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.imaging.picture import save_png
from pix2pix.models.translator import Translator
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.ui.auth import can_sign_in, visitor_token
from pix2pix.ui.page import build_page
from pix2pix.utils.workspace import hub_model_cache
from tests.support.fake_hub import READER, WRITER, serving
from tests.support.models_and_servers import connected, noise, save_tiny_model, tiny_config
from tests.support.page_server import launched

ID, HOSTILE = "ann/faces", "<img src=x onerror=hit=1>"


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    """The page with the model "mine" on it, its address, and a Hub that it asks; the Hub has a
    public model and a private one."""
    folder = tmp_path_factory.mktemp("page")
    own = save_tiny_model(folder / "models" / "mine", tiny_config(title="Mine"))
    theirs = save_tiny_model(folder / "theirs", tiny_config(title=HOSTILE), seed=1)
    with serving() as hub, pytest.MonkeyPatch.context() as patch:
        for repo, private in ((ID, False), ("ann/secret", True)):
            files = {file.name: file.read_bytes() for file in theirs.iterdir()}
            hub.commit(repo, files, private)
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setenv("HF_TOKEN", READER)  # the server's own
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "gradio"))
        models = TranslatorCache(lambda: [own.parent], "cpu", unlisted=lambda: [hub_model_cache()])
        page = build_page(models)
        yield page, launched(page), hub
        page.close()


class Visitor:
    """One session, which fires the page's own events as a browser does."""

    def __init__(self, page: gr.Blocks, url: str) -> None:
        self.page, self.url, self.session = page, f"{url}gradio_api/queue/", uuid.uuid4().hex

    def fire(self, name: str, *values: Any, **event: Any) -> list[Any]:
        """What the event's handler `name` answers, a value for each of its outputs; a UserError
        with what the page says where it fails."""
        number = next(n for n, f in self.page.fns.items() if getattr(f.fn, "__name__", "") == name)
        asked = {"fn_index": number, "session_hash": self.session, "data": values}
        asked["event_data"] = event
        httpx.post(f"{self.url}join", json=asked, timeout=120).raise_for_status()
        data = f"{self.url}data?session_hash={self.session}"
        with httpx.stream("GET", data, timeout=120) as lines:
            for line in lines.iter_lines():
                said = json.loads(line.removeprefix("data:")) if line else {}
                if said.get("msg") == "process_completed":
                    if not said["success"]:
                        raise UserError(str(said["output"]["error"]))
                    return said["output"]["data"]
        pytest.fail(f"no answer to {name}")


@pytest.fixture
def visitor(opened: tuple) -> Callable[[], Visitor]:
    return lambda: Visitor(*opened[:2])


def names(answer: list[Any]) -> list[str]:
    """Of the cards in an answer of "refresh"."""
    return [card["name"] for card in answer[0]["models"]]


def test_a_model_from_the_hub_is_there_for_the_visitor_who_loaded_it_alone(opened, visitor):
    one, other = visitor(), visitor()
    shown = one.fire("fetch", ID, "", None, None, "Draw")
    name = shown[4]
    assert name.startswith("ann--faces@") and shown[5]["model"] == name and shown[0] == ""
    chosen = {card["name"]: (card["chosen"], card["title"]) for card in shown[6]["models"]}
    assert chosen == {name: ("true", HOSTILE), "mine": ("false", "Mine")}
    nothing = {"models": []}
    assert names(one.fire("refresh", nothing, None)) == [name, "mine"]
    assert names(other.fire("refresh", nothing, None)) == ["mine"]
    assert one.fire("choose", None, "Draw", None, value=name)[1] == name
    with pytest.raises(UserError, match="This model is gone"):
        other.fire("choose", None, "Draw", None, value=name)
    client = connected(opened[1])
    assert [m["name"] for m in client.predict(api_name="/list_models")] == ["mine"]


def test_programs_translate_by_its_name(opened, visitor, tmp_path):
    name = visitor().fire("fetch", ID, "", None, None, "Draw")[4]
    source = noise(64, 64)
    save_png(source, tmp_path / "source.png")
    client = connected(opened[1])
    given = handle_file(tmp_path / "source.png")
    answer = client.predict(image=given, model=name, api_name="/translate")
    expected = Translator.load(hub_model_cache() / name, "cpu").translate(source)
    np.testing.assert_array_equal(np.asarray(Image.open(answer)), np.asarray(expected))
    found = client.predict(files=[given], model=name, api_name="/translate_batch")
    assert "1 of 1 translated" in found[2]
    with pytest.raises(AppError, match="There is no model"):
        client.predict(image=given, model="ann--faces@000000000000", api_name="/translate")


def test_a_private_model_needs_the_visitors_token_and_the_servers_is_not_sent(
    opened, visitor, tmp_path
):
    hub, one = opened[2], visitor()
    hub.asked.clear()
    with pytest.raises(UserError, match="There is no public model ann/secret"):
        one.fire("fetch", "ann/secret", "", None, None, "Draw")
    assert hub.asked and {sent for *_, sent in hub.asked} == {""}
    shown = one.fire("fetch", "ann/secret", READER, None, None, "Draw")
    name = shown[4]
    assert name.startswith("ann--secret@") and shown[0] == ""
    assert one.fire("fetch", "ann/secret", READER, None, None, "Draw")[4] == name, "had already"
    assert visitor().fire("fetch", "ann/secret", READER, None, None, "Draw")[4] != name
    save_png(noise(64, 64), tmp_path / "source.png")
    client, given = connected(opened[1]), handle_file(tmp_path / "source.png")
    with pytest.raises(AppError, match="There is no model"):  # what its commit would call it
        client.predict(image=given, model=name.rpartition("-")[0], api_name="/translate")


def test_a_model_of_ours_is_sent_and_one_of_others_is_not(opened, visitor):
    hub, one = opened[2], visitor()
    with pytest.raises(UserError, match="needs a token"):
        one.fire("send", "mine", "ann/mine", "", True)
    token, said = one.fire("send", "mine", "ann/mine", WRITER, True)
    assert token == "" and f"]({hub.endpoint}/ann/mine)" in said and hub.private["ann/mine"]
    assert json.loads(hub.files("ann/mine")["config.json"])["title"] == "Mine"
    theirs = one.fire("fetch", ID, "", None, None, "Draw")[4]
    with pytest.raises(UserError, match="Only models that are kept here"):
        one.fire("send", theirs, "ann/copy", WRITER, True)
    assert "ann/copy" not in hub.commits


def test_whose_token_is_used():
    signed_in = gr.OAuthToken("hf_signed", "write-repos", 0)
    assert visitor_token(" hf_typed ", signed_in) == "hf_typed"
    assert visitor_token("", signed_in) == "hf_signed"
    assert visitor_token("", None) is visitor_token(None, None) is None


@pytest.mark.parametrize(
    ("environment", "offered"),
    [
        ({"OAUTH_CLIENT_ID": "x", "SYSTEM": "spaces", "SPACE_ID": "ann/studio"}, True),
        ({"OAUTH_CLIENT_ID": "x"}, False),
        ({"SYSTEM": "spaces", "SPACE_ID": "ann/studio"}, False),
    ],
)
def test_only_a_space_with_oauth_offers_to_sign_in(monkeypatch, environment, offered):
    for key in ("OAUTH_CLIENT_ID", "SYSTEM", "SPACE_ID"):
        monkeypatch.delenv(key, raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert can_sign_in() is offered


@pytest.mark.browser
def test_a_visitor_loads_a_model_in_the_page(opened, visit):
    page = visit(opened[1])
    page.locator("#hub-load button").first.click()
    name = page.locator("#hub-model input, #hub-model textarea")
    name.fill(HOSTILE + "<a href=//x>&lt;b&gt;</a>/y")
    page.locator("#hub-load-start").click()
    toast = page.locator("[data-testid=toast-text]")
    assert "‹img src=x onerror=hit=1›‹a href=//x›＆lt;b＆gt;‹/a›/y" in toast.inner_text()
    assert toast.locator("img, a").count() == 0 == page.locator("a[href='//x']").count()
    name.fill(ID)
    page.locator("#hub-load-start").click()
    card = page.locator('.card[data-name^="ann--faces@"]')
    card.wait_for(state="visible")
    assert card.locator("b").inner_text() == HOSTILE and page.evaluate("window.hit") is None
    page.locator("#hub-load-said", has_text="Loaded, and chosen above").wait_for()
