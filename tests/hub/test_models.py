"""Models from the Hub and to it, against a small Hub of our own."""

from __future__ import annotations

import json
import os
import pickle
import re
from pathlib import Path

import huggingface_hub
import pytest

from pix2pix.errors import Cancelled, UserError
from pix2pix.hub import models
from pix2pix.hub.client import parse_repo
from pix2pix.hub.models import fetch_model, push_model
from pix2pix.imaging.picture import save_png
from pix2pix.model_config import GeneratorConfig
from pix2pix.models.folder import list_models, load_model
from pix2pix.models.translator_cache import TranslatorCache
from tests.support.fake_hub import READER, WRITER, Hub
from tests.support.models_and_servers import noise, save_tiny_model, tiny_config

ID = "ann/faces"
FILES = ["config.json", "model.safetensors"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a model that works."""
    folder = save_tiny_model(tmp_path_factory.mktemp("model") / "m", tiny_config(title="Faces"))
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def changed(model: dict[str, bytes], **values: object) -> dict[str, bytes]:
    """The model with other values in its config; those of `generator` are added to its own."""
    config = json.loads(model["config.json"])
    generator = {**config["generator"], **values.pop("generator", {})}
    config |= {**values, "generator": generator}
    return {**model, "config.json": json.dumps(config).encode()}


def resolved(hub: Hub) -> list[str]:
    """The files that were asked for, in order, once each."""
    names = [path.rpartition("/")[2] for path in hub.paths("/resolve/")]
    return list(dict.fromkeys(names))


def fetch(hub: Hub, cache: Path, repo: str = ID, **options: object) -> Path:
    return fetch_model(repo, cache, **options)


def refusal(hub: Hub, cache: Path, repo: str = ID, **options: object) -> str:
    """The sentence with which a fetch is refused; it left nothing."""
    with pytest.raises(UserError) as caught:
        fetch(hub, cache, repo, **options)
    assert not cache.exists() or not list(cache.iterdir())
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence and "unfinished" not in sentence
    return sentence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann/faces@v1", ("ann/faces", "v1")),
        ("https://huggingface.co/ann/faces", ("ann/faces", None)),
        ("https://hf.co/ann/faces/tree/refs%2Fpr%2F3?x#y", ("ann/faces", "refs/pr/3")),
    ],
)
def test_names_and_addresses_of_models_are_understood(text, expected):
    assert parse_repo(text, "model") == expected


@pytest.mark.parametrize(
    "text",
    [
        *["faces", "ann/../x", "ann/fa--ces", "https://huggingface.co/datasets/ann/faces"],
        *["https://huggingface.co/spaces/ann/faces", "https://evil.example/ann/faces"],
        "https://huggingface.co/ann/faces/blob/main/config.json",
    ],
)
def test_what_names_no_model_is_refused(text):
    with pytest.raises(UserError, match="names no model"):
        parse_repo(text, "model")


# --------------------------------------------------------------------------------------- fetching


def test_two_files_of_the_commit_are_taken_and_the_rest_is_not_asked_for(hub, model, tmp_path):
    rest = {
        "model.onnx": b"not ours",
        "pickled.bin": b"p",
        "pix2pix.py": b"import os",
        "samples/1.png": b"s",
    }
    sha = hub.commit(ID, {**model, **rest})
    hub.after_info = lambda: hub.commit(ID, {"config.json": b"{}", "model.safetensors": b""})
    progress = []
    folder = fetch(hub, tmp_path / "c", on_progress=lambda *at: progress.append(at))
    assert folder == tmp_path / "c" / f"ann--faces@{sha[:12]}"
    assert list(folder.parent.iterdir()) == [folder]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: model[name] for name in [*FILES, "model.onnx"]
    }
    assert resolved(hub) == FILES and hub.paths("/tree/") == []
    assert all(sha in path for path in hub.paths("/(resolve|paths-info)/"))
    total = sum(len(model[name]) for name in FILES)
    assert progress[0] == (0, total) and progress[-1] == (total, total)
    assert [done for done, _ in progress] == sorted(done for done, _ in progress)


def test_what_is_fetched_translates_by_its_name_and_is_not_listed(hub, model, tmp_path):
    hub.commit(ID, model)
    save_tiny_model(tmp_path / "own" / "mine")
    known = TranslatorCache(lambda: [tmp_path / "own"], "cpu", unlisted=lambda: [tmp_path / "c"])
    name = fetch(hub, tmp_path / "c").name
    assert list(known.models()) == ["mine"]
    assert known.get(name).config.title == "Faces"
    assert known.get(name).translate(noise(40, 30)).size == (40, 30)


def test_a_commit_that_is_there_is_not_fetched_again(hub, model, tmp_path):
    old = hub.commit(ID, model)
    first = fetch(hub, tmp_path)
    hub.asked.clear()
    assert fetch(hub, tmp_path) == fetch(hub, tmp_path, f"{ID}@{old}") == first
    assert hub.paths("/(resolve|paths-info)/") == []
    hub.commit(ID, changed(model, title="Newer"))
    second = fetch(hub, tmp_path)
    assert second != first and load_model(second)[1].title == "Newer"
    assert list_models([tmp_path]).keys() == {first.name, second.name}


def test_a_model_that_would_hold_up_the_others_is_refused_before_its_weights(
    hub, model, tmp_path, monkeypatch
):
    monkeypatch.setattr(models, "multiply_adds", lambda network: network.blocks * 10**9)
    hub.commit(ID, changed(model, generator={"blocks": 64}))
    assert refusal(hub, tmp_path / "c", most_work=9e9) == (
        f"{ID} takes 64 billion multiplications a picture and here the limit is 9: choose a "
        "smaller model, or run the app yourself."
    )
    assert resolved(hub) == FILES[:1]
    hub.commit(ID, model)
    assert fetch(hub, tmp_path / "c", most_work=9e9).is_dir()


def test_what_lies_in_the_cache_is_for_those_who_may_read_it(hub, model, tmp_path):
    hub.commit(ID, model, private=True)
    assert "no public model ann/faces" in refusal(hub, tmp_path / "c")
    fetch(hub, tmp_path / "c", token=READER)
    with pytest.raises(UserError, match="no public model"):
        fetch(hub, tmp_path / "c")
    hub.gated.add(ID)
    with pytest.raises(UserError, match="terms to accept"):
        fetch(hub, tmp_path / "c", token=READER)


@pytest.mark.parametrize("closed", ["private", "gated"])
def test_a_model_that_is_not_public_is_shared_with_nobody(hub, model, tmp_path, closed):
    sha = hub.commit(ID, model, private=closed == "private")
    hub.gated |= {ID} if closed == "gated" else set()
    hub.agreed |= {READER, WRITER}
    first = fetch(hub, tmp_path, token=READER)
    assert re.fullmatch(rf"ann--faces@{sha[:12]}-[0-9a-f]{{16}}", first.name)
    hub.asked.clear()
    assert fetch(hub, tmp_path, token=READER, visitor_models=[tmp_path / "other", first]) == first
    assert hub.paths("/(resolve|paths-info)/") == []
    other = fetch(hub, tmp_path, token=WRITER)
    assert other != first and load_model(other)[1].title == "Faces"
    known = TranslatorCache(list, "cpu", unlisted=lambda: [tmp_path])
    assert known.get(first.name).config.title == "Faces"
    with pytest.raises(UserError, match="There is no model"):
        known.get(f"ann--faces@{sha[:12]}")
    models.shutil.rmtree(first)  # to make room
    assert fetch(hub, tmp_path, token=READER, visitor_models=[first]) not in (first, other)


def test_a_public_model_is_one_folder_whoever_asks(hub, model, tmp_path):
    hub.commit(ID, model)
    assert fetch(hub, tmp_path, token=READER) == fetch(hub, tmp_path)


def test_the_servers_own_token_is_never_sent(hub, model, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITER)
    hub.commit(ID, model)
    fetch(hub, tmp_path)
    assert len(hub.asked) >= 5 and {sent for *_, sent in hub.asked} == {""}


def test_the_least_recently_used_go(hub, model, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "MAX_MODELS", 2)
    names = []
    for number in range(3):
        repo = f"ann/model{number}"
        hub.commit(repo, model)
        names.append(fetch(hub, tmp_path, repo).name)
        for age, name in enumerate(reversed(names)):  # clocks of file systems are coarse
            if (tmp_path / name).exists():
                os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
        if number == 1:
            TranslatorCache(list, "cpu", unlisted=lambda: [tmp_path]).get(names[0])
    assert {path.name for path in tmp_path.iterdir()} == {names[0], names[2]}


NETWORK = {"kind": "unet", "size": 1024, "ngf": 256}  # 1.3 billion numbers


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"loader": "os.system"}, "does not know: loader"),
        ({"generator": {"layers": [1]}}, "does not know: layers"),
        ({"generator": {"ngf": 100_000}}, "ngf must be from"),
        ({"generator": {"size": 100_000}}, "Size must be"),
        ({"generator": {"blocks": 10**12}}, "blocks must be from"),
        ({"generator": {"source_channels": 2}}, "1, 3 or 4 channels"),
        ({"generator": NETWORK}, "too small a file"),
        ({"title": "x" * 1000}, "title is longer"),
        ({"title": ["x"]}, "title must be of type str"),
        ({"palette": [{"name": "sky"}]}, "needs a name and a color"),
        ({"palette": [{"name": "sky", "color": "red;}"}]}, "#rrggbb"),
        ({"palette": [{"name": "sky", "color": "#000000"}] * 999}, "more than 256 colours"),
        ({"palette": [None]}, "needs a name and a color"),
    ],
)
def test_a_config_that_will_not_do_is_refused_before_the_weights(
    hub, model, tmp_path, values, words
):
    hub.commit(ID, changed(model, **values))
    assert words in refusal(hub, tmp_path / "c")
    assert resolved(hub) == ["config.json"]


def test_a_network_of_gigabytes_is_within_the_ranges_and_needs_the_other_check():
    GeneratorConfig(**NETWORK)


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ({"config.json": 1_000_001}, "config.json is 1 MB and at most 1 MB"),
        ({"model.safetensors": 300_000_001}, "model.safetensors is 300 MB and at most 300 MB"),
    ],
)
def test_files_that_are_too_large_are_not_asked_for(hub, model, tmp_path, listed, words):
    hub.commit(ID, model)
    hub.listed = listed
    assert words in refusal(hub, tmp_path / "c")
    assert resolved(hub) == []


def test_a_listing_that_tells_less_is_found_out(hub, model, tmp_path, monkeypatch):
    hub.commit(ID, model)
    hub.listed = {"model.safetensors": len(model["model.safetensors"]) - 1}
    assert "not as large as the Hub says" in refusal(hub, tmp_path / "c")
    monkeypatch.setitem(models.LIMITS, "model.safetensors", 300_000)
    hub.commit(ID, {**model, "model.safetensors": bytes(25_000_000)})
    hub.listed = {"model.safetensors": 300_000}
    assert "not as large as the Hub says" in refusal(hub, tmp_path / "c")


@pytest.mark.parametrize("name", FILES)
def test_a_repository_without_a_model_is_refused(hub, model, tmp_path, name):
    hub.commit(ID, {key: content for key, content in model.items() if key != name})
    assert f"holds no {name}" in refusal(hub, tmp_path / "c")


class Bomb:
    """What `pickle.load` would run."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("exploded",)


def test_a_pickle_that_is_called_safetensors_is_refused(hub, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps([Bomb(), bytes(len(model["model.safetensors"]))])
    hub.commit(ID, {**model, "model.safetensors": content})
    assert "not a safetensors file" in refusal(hub, tmp_path / "c")
    assert not (tmp_path / "exploded").exists()


def test_weights_of_another_network_are_refused(hub, model, tmp_path):
    hub.commit(ID, changed(model, generator={"norm": "none"}))
    assert "do not fit" in refusal(hub, tmp_path / "c")


def test_a_stop_leaves_nothing(hub, model, tmp_path):
    hub.commit(ID, {**model, "model.safetensors": bytes(25_000_000)})
    with pytest.raises(Cancelled):
        fetch(hub, tmp_path / "c", should_stop=lambda: "model.safetensors" in resolved(hub))
    assert list((tmp_path / "c").iterdir()) == []


# ---------------------------------------------------------------------------------------- pushing


def mine(folder: Path) -> Path:
    """A model of the workspace with all that may lie beside it."""
    told = {"data": "/home/ann/secret/faces", "steps": 7}
    save_tiny_model(folder, tiny_config(title="Mine", training=told))
    save_png(noise(8, 8), folder / "thumbnail.png")
    save_png(noise(8, 8), folder / "samples" / "1.png")
    noise(8, 8).save(folder / "samples" / "2.jpg")
    noise(8, 8).save(folder / "results.jpg")
    (folder / "examples.json").write_text("[]")
    (folder / "notes.txt").write_text("mine alone")
    return folder


def push(hub: Hub, folder: Path, **options: object) -> str:
    return push_model(folder, ID, **{"token": WRITER, **options})


def test_a_model_is_pushed_privately_in_one_commit(hub, tmp_path):
    folder = mine(tmp_path / "mine")
    assert push(hub, folder) == f"{hub.endpoint}/{ID}"
    assert hub.private[ID] and hub.kinds[ID] == "model" and len(hub.sent) == 1
    files = hub.files()
    assert files.pop(".gitattributes")
    said = json.loads(files.pop("config.json"))
    assert said["title"] == "Mine" and said["training"] == {"data": "faces", "steps": 7}
    front = huggingface_hub.ModelCard(card := files.pop("README.md").decode()).data
    assert (front.license, front.pipeline_tag) == ("other", "image-to-image")
    assert front.tags == ["pix2pix", "image-to-image"] and card.endswith("# A model for tests\n")
    names = ["examples.json", "model.onnx", "model.safetensors", "results.jpg", "samples/1.png"]
    names += ["samples/2.jpg", "thumbnail.png"]
    assert files == {name: (folder / name).read_bytes() for name in names}
    assert {sent for *_, sent in hub.asked} == {f"Bearer {WRITER}"}


def test_what_was_pushed_is_fetched_again(hub, tmp_path):
    folder = mine(tmp_path / "mine")
    push(hub, folder)
    fetched = fetch(hub, tmp_path / "c", token=READER)
    assert (fetched / "model.safetensors").read_bytes() == (
        folder / "model.safetensors"
    ).read_bytes()
    assert models.read_config(fetched).title == "Mine"


def test_a_card_keeps_what_it_says(hub, tmp_path):
    folder = mine(tmp_path / "mine")
    front = (
        "license: mit\npipeline_tag: image-to-image\ntags:\n- pix2pix\n- faces\ndatasets:\n- a/b"
    )
    (folder / "README.md").write_text(f"---\n{front}\n---\n\n# Faces\n")
    push(hub, folder)
    expected = front.replace("- faces", "- faces\n- image-to-image")
    assert hub.files()["README.md"].decode() == f"---\n{expected}\n---\n\n# Faces\n"
    (folder / "README.md").write_text("---\n- a\n---\n")
    with pytest.raises(UserError, match="no YAML"):
        push(hub, folder)


def test_a_newer_push_removes_samples_that_are_gone_and_nothing_else(hub, tmp_path):
    hub.commit(ID, {"samples/old.jpg": b"o", "LICENSE": b"mit", "samples/about.txt": b"a"}, True)
    push(hub, mine(tmp_path / "mine"))
    assert {"LICENSE", "samples/about.txt", "samples/1.png"} < hub.files().keys()
    assert "samples/old.jpg" not in hub.files()


def test_what_shall_be_private_never_goes_to_a_public_repository(hub, tmp_path):
    hub.commit(ID, {"README.md": b"old"})
    folder = mine(tmp_path / "mine")
    with pytest.raises(UserError, match="there and public"):
        push(hub, folder)
    assert hub.sent == [] and hub.paths("preupload") == []
    push(hub, folder, private=False)
    assert len(hub.sent) == 1


@pytest.mark.parametrize(
    ("token", "words"), [(None, "needs a token"), ("", "needs a token"), (READER, "may not write")]
)
def test_pushing_needs_the_right_to_write(hub, tmp_path, monkeypatch, token, words):
    monkeypatch.setenv("HF_TOKEN", WRITER)  # the server's own is no visitor's
    with pytest.raises(UserError, match=words):
        push(hub, mine(tmp_path / "mine"), token=token)
    assert hub.sent == [] and ID not in hub.commits


def test_a_broken_model_is_not_pushed(hub, tmp_path):
    folder = mine(tmp_path / "mine")
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match=re.escape("mine/model.safetensors is missing or not")):
        push(hub, folder)
    assert hub.asked == []
