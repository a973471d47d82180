"""The disk that people's work lies on: what is said of it, and what works without it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pix2pix.imaging.picture import data_url, save_png
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.ui.page import build_page
from pix2pix.utils import files, workspace
from pix2pix.utils.workspace import model_folders, storage_warning
from tests.support.models_and_servers import awaited, noise, save_tiny_model


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that is not there yet, on the program's disk, which has room."""
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(tmp_path / "work" / "space"))
    monkeypatch.delenv("SPACE_ID", raising=False)
    monkeypatch.setattr(workspace, "ROOT", tmp_path)
    disk = SimpleNamespace(total=10**12, free=10**11)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: disk)
    return tmp_path


def test_a_good_disk_needs_no_words_and_is_left_as_it_was(place: Path) -> None:
    assert storage_warning() == "" and list(place.iterdir()) == []
    (place / "work" / "space").mkdir(parents=True)
    assert storage_warning() == "" and list((place / "work" / "space").iterdir()) == []


def test_a_file_in_the_way_and_a_disk_that_refuses_are_said(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "work").write_text("a file")
    assert (
        storage_warning().startswith("The workspace cannot be written")
        and "PIX2PIX_WORKSPACE" in storage_warning()
    )
    (place / "work").unlink()

    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    assert storage_warning().startswith("The workspace cannot be written")


def test_a_space_forgets_unless_the_workspace_is_a_mount(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACE_ID", "somebody/studio")
    assert storage_warning().startswith("This Space forgets")
    if not Path("/proc/self").exists():
        pytest.skip("no second file system to mount the workspace from")
    monkeypatch.setattr(workspace, "ROOT", Path("/proc"))  # another device than the workspace's
    assert storage_warning() == ""


@pytest.mark.parametrize(
    "total, free, said", [(10**12, 5 * 10**8, "500 MB"), (10**12, 2 * 10**9, ""), (0, 0, "")]
)
def test_a_disk_that_is_nearly_full_is_said(
    place: Path, monkeypatch: pytest.MonkeyPatch, total: int, free: int, said: str
) -> None:
    disk = SimpleNamespace(total=total, free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: disk)
    assert said in storage_warning() and bool(said) == bool(storage_warning())


def test_the_page_works_where_nothing_can_be_saved(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "work").write_text("a file where the workspace's folder should be")
    shipped = save_tiny_model(place / "checkpoints" / "faces").parent
    monkeypatch.setattr(workspace, "SHIPPED_MODELS", shipped)
    models = TranslatorCache(model_folders)
    page = build_page(models)
    functions = {f.api_name or f.name: f.fn for f in page.fns.values()}
    loads = {f.name: f.fn for f in page.fns.values() if "load" in dict(map(reversed, f.targets))}
    assert loads["warnings"]() == [storage_warning()] * 2 and storage_warning()

    photo = noise(80, 60)
    save_png(photo, place / "photo.png")
    right = models.get("faces").translate(photo)
    assert functions["translate"](str(place / "photo.png"), "faces") == right
    pictures, archive, _ = functions["translate_batch"](
        [str(place / "photo.png")], "faces", "", "", "", "", SimpleNamespace(session_hash="s"),
        lambda *a, **k: None,
    )  # fmt: skip
    assert Path(pictures[0][0]).exists() and Path(archive).exists()
    component = next(b for b in page.blocks.values() if hasattr(b, "variations"))
    asked = {"model": "faces", "image": data_url(photo), "seed": None}
    assert awaited(component.translate(asked)) == {"image": data_url(right)}


def test_a_file_that_is_being_read_is_replaced_a_moment_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So Windows answers while somebody reads it."""
    replace, refused = os.replace, [PermissionError(13, "in use")] * 2

    def busy(*paths: Path) -> None:
        if refused:
            raise refused.pop()
        replace(*paths)

    monkeypatch.setattr(files.os, "replace", busy)
    with pytest.raises(PermissionError):
        files.write_json(tmp_path / "status.json", {})
    refused.append(PermissionError(13, "in use"))
    monkeypatch.setattr(files, "RETRY_PAUSES", [0.0] * 3)
    files.write_json(tmp_path / "status.json", {"step": 1})
    assert json.loads((tmp_path / "status.json").read_text()) == {"step": 1}
    assert [f.name for f in tmp_path.iterdir()] == ["status.json"]
