"""The Dataset tab as people and programs use it: by mouse, by API, with hostile names and paths."""

from __future__ import annotations

import gc
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from pix2pix.data import build as build_module
from pix2pix.data import compose
from pix2pix.data.build import build
from pix2pix.data.plan import make_plan
from pix2pix.data.records import Inputs, Plan, Recipe
from pix2pix.data.report import read_dataset_json
from pix2pix.errors import Cancelled, UserError
from pix2pix.imaging.decode import from_data_url
from pix2pix.training import run_control, run_folder
from pix2pix.ui.dataset import build as checking
from pix2pix.ui.dataset.build import CheckedPlan, PlanCache
from pix2pix.ui.dataset.pairs_view import dataset_pair_views, planned_pair_views
from pix2pix.ui.dataset.sources_form import table_examples
from pix2pix.ui.dataset.uploads import (
    TempDir,
    UploadedInputs,
    gather_inputs,
    link_files,
    look,
    resolve_inside,
)
from pix2pix.ui.events import CancelSwitches, time_left
from pix2pix.ui.page import build_page
from pix2pix.utils.files import write_json
from tests.support.drawn_pairs import draw_dataset, draw_folders, drawn_pair, drawn_strip
from tests.support.models_and_servers import connected
from tests.support.page_server import launched

ROOT = Path(__file__).resolve().parents[2]
DAMAGED = 1  # number of the pair whose source is cut short


class NoModels:
    def models(self) -> dict[str, Path]:
        return {}

    def get(self, name: str) -> Any:
        raise UserError(f"There is no model '{name}'.")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIX2PIX_WORKSPACE", str(folder))
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        yield folder


@pytest.fixture(scope="module")
def url(workspace: Path) -> Iterator[str]:
    page = build_page(NoModels())
    yield launched(page, themed=True)
    page.close()


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return connected(url)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """14 pairs whose names differ on the two sides, one of them damaged, and one stray file."""
    root = tmp_path_factory.mktemp("folders")
    source, target = draw_folders(root, 14, "f-{:03}-01.png", "F2-{:03}-01-sz1.jpg")
    damaged = source / f"f-{DAMAGED:03}-01.png"
    damaged.write_bytes(damaged.read_bytes()[:200])
    drawn_pair(99)[1].save(target / "stranger.jpg")
    return source, target


@pytest.fixture()
def plan(folders: tuple[Path, Path]) -> Plan:
    return make_plan(Inputs(*folders))


# ---------------------------------------------------------------------------------------- the API


def by_script(source: Path, target: Path, out: Path, *options: str) -> dict[str, Any]:
    script = [sys.executable, str(ROOT / "scripts" / "build_dataset.py")]
    command = [*script, "--source", source, "--target", target, "--out", out, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def pictures(dataset: Path) -> dict[str, bytes]:
    return {f.relative_to(dataset).as_posix(): f.read_bytes() for f in dataset.glob("*/*.*")}


def test_the_api_builds_what_the_script_builds(
    client: Client, workspace: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    source, target = ([handle_file(f) for f in sorted(side.iterdir())] for side in folders)
    answer = client.predict(
        source=source, target=target, name="by api", size=64, split="0.5,0.3,0.2", seed=3,
        api_name="/build_dataset",
    )  # fmt: skip
    options = ["--size", "64", "--split", "0.5,0.3,0.2", "--seed", "3"]
    expected = by_script(*folders, tmp_path / "out", *options)
    assert answer == {"dataset": "by api", **expected}
    assert answer["pairs"] == 13 and len(answer["refused"]) == 2
    built = pictures(workspace / "datasets" / "by api")
    assert len(built) == 13 and built == pictures(tmp_path / "out")


def test_the_api_takes_archives_and_folders_of_the_workspace(
    client: Client, workspace: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as packed:
        for side in folders:
            for file in side.iterdir():
                packed.write(file, f"{side.name}/{file.name}")
                (workspace / side.name).mkdir(exist_ok=True)
                (workspace / side.name / file.name).write_bytes(file.read_bytes())
    common = {"size": 64, "api_name": "/build_dataset"}
    zipped = client.predict(name="zip", archive=handle_file(tmp_path / "pairs.zip"), **common)
    here = client.predict(name="here", source_path="labels", target_path="photos", **common)
    assert zipped["pairs"] == here["pairs"] == 13
    made = [pictures(workspace / "datasets" / name) for name in ("zip", "here")]
    assert made[0] == made[1]
    with pytest.raises(AppError, match="'here' is there already"):
        client.predict(name="here", source_path="labels", target_path="photos", **common)


def test_the_api_takes_a_table_by_its_columns(client: Client, workspace: Path) -> None:
    from tests.data.test_tables import drawn, parquet

    file = workspace / "columns.parquet"
    file.write_bytes(parquet(drawn(6), ("imageB", "imageA")))
    common = {"size": 64, "api_name": "/build_dataset", "source_path": file.name}
    places = {"source_path": file.name}, {"source_path": "", "archive": handle_file(file)}
    for number, place in enumerate(places):
        for name, columns in (("told", []), ("turned", ["imageB", "imageA"])):
            asked = {**common, **place, "name": f"{name}{number}", "columns": columns}
            assert client.predict(**asked)["pairs"] == 6
    made = [pictures(workspace / "datasets" / f"{n}0") for n in ("told", "turned")]
    assert made[0].keys() == made[1].keys()
    for first, second in zip(*(map(decoded, side.values()) for side in made)):
        assert np.array_equal(first, np.roll(second, 64, axis=1))
    with pytest.raises(AppError, match="are no columns of"):
        client.predict(**common, name="none", columns=["imageB", "nothing"])


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "Choose the pictures first"),
        ({"name": "../../evil"}, "is no name that every disk"),
        ({"source_path": "../..", "target_path": "photos"}, "outside the workspace"),
        ({"source_path": "/etc"}, "outside the workspace"),
        ({"source_path": "nowhere"}, "is no folder in the workspace"),
        ({"source_path": "\0"}, "is no folder in the workspace"),
        ({"split": "a lot"}, "three numbers"),
        ({"size": 7.5}, "whole number"),
        ({"fit": "squeeze"}, "choose one of"),
        ({"match": "csv"}, "Choose the CSV"),
    ],
)
def test_wrong_input_is_answered_with_a_sentence(
    client: Client, workspace: Path, asked: dict, words: str
) -> None:
    before = sorted((workspace / "datasets").glob("*"))
    with pytest.raises(AppError, match=words) as refused:
        client.predict(**{"name": "x", **asked}, api_name="/build_dataset")
    assert "Traceback" not in str(refused.value) and str(workspace) not in str(refused.value)
    assert sorted((workspace / "datasets").glob("*")) == before


def test_only_what_is_documented_can_be_called(client: Client) -> None:
    named = client.view_api(return_format="dict")["named_endpoints"]
    assert {"/build_dataset"} <= named.keys()
    assert not [name for name in named if name.startswith(("/check", "/make", "/send", "/pack"))]


# -------------------------------------------------------------------------------------- the parts


def silent(done: int, total: int) -> None: ...


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_out_of_the_workspace_are_refused(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "good", root / "plain", root / "bad", root / "behind", outside):
        folder.mkdir(parents=True)
    (outside / "secret.png").write_bytes(b"")
    (root / "door").symlink_to(outside)
    (root / "bad" / "a.png").symlink_to(outside / "secret.png")
    (root / "behind" / "b").symlink_to(root / "bad")
    (root / "good" / "b").symlink_to(root / "plain")
    assert resolve_inside(root, " good ") == root / "good"
    refused = {"door": "outside", "bad": "leads outside", "behind": "leads outside"}
    for name, words in {**refused, "good/../..": "outside"}.items():
        with pytest.raises(UserError, match=words):
            resolve_inside(root, name)


def test_uploads_stay_as_they_are_and_equal_names_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / str(i) / name for i, name in enumerate(("a.png", "b.png", "A.PNG"))]
    # What systems leave in every folder is no picture of two names.
    left = [tmp_path / f"{i}-{name}" / name for i in "12" for name in (".DS_Store", "Thumbs.db")]
    for file in [*files, *left]:
        file.parent.mkdir()
        file.write_bytes(file.name.encode())
    made = link_files(list(map(str, [*files[:2], *left])), tmp_path / "made")
    assert {f.name: f.read_bytes() for f in made.iterdir()} == {
        "a.png": b"a.png",
        "b.png": b"b.png",
    }
    with pytest.raises(UserError, match="upload the folder as a ZIP"):
        link_files(list(map(str, files)), tmp_path / "again")
    assert not (tmp_path / "again").exists() and all(file.exists() for file in files)


def test_photos_without_a_partner_ask_what_the_source_is_made_of(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as packed:
        for file in folders[1].iterdir():
            packed.write(file, file.name)
    archive = str(tmp_path / "photos.zip")
    with pytest.raises(UserError, match="made of"):
        gather_inputs(UploadedInputs(archive=archive), tmp_path / "one", lambda: False, silent)
    inputs = gather_inputs(
        UploadedInputs(archive=archive, derive="grey"), tmp_path / "two", bool, silent
    )
    assert inputs.kind == "derived" and len(make_plan(inputs).pairs) == 15


@pytest.mark.parametrize("options", [{}, {"fit": "crop"}, {"fit": "tiles", "size": 32}])
def test_what_is_shown_is_what_is_written(plan: Plan, options: dict, tmp_path: Path) -> None:
    recipe = Recipe(**{"size": 64, **options})
    made = build(plan, recipe, tmp_path / "out")
    files = {pair["source"]: tmp_path / "out" / pair["files"][0]["file"] for pair in made["pairs"]}
    shown = (
        planned_pair_views(plan, recipe)["pairs"] + planned_pair_views(plan, recipe, 12)["pairs"]
    )
    assert [pair["source"] for pair in shown] and len(shown) == len(files) == 13
    for pair in shown:
        picture = np.asarray(from_data_url(pair["image"], 1_000_000))
        np.testing.assert_array_equal(picture, np.asarray(Image.open(files[pair["source"]])))


def test_doubtful_pairs_come_first_with_their_reason(tmp_path: Path) -> None:
    source, target = draw_folders(tmp_path, 14)
    odd = target / "B2-013-x.jpg"
    Image.open(odd).resize((96, 140)).save(odd)
    shown = planned_pair_views(make_plan(Inputs(source, target)), Recipe(size=64))
    assert "96 x 140" in shown["pairs"][0]["doubt"] and shown["pairs"][0]["source"] == "a-013.png"
    assert shown["range"] == "1 to 12 of 14" and shown["after"] == "12" and not shown["before"]


def test_large_pairs_are_shown_small(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    drawn_strip(1, 600).save(tmp_path / "train" / "big.png")
    pair = dataset_pair_views(tmp_path)["pairs"][0]
    assert from_data_url(pair["image"], 1_000_000).size == (512, 256)


def test_the_desk_keeps_few_checks_and_deletes_their_folders(plan: Plan) -> None:
    desk = PlanCache(max_checks=2)
    scratches = [TempDir() for _ in range(3)]
    kept = [scratch.folder for scratch in scratches]
    for number, scratch in enumerate(scratches):
        desk.put(str(number), CheckedPlan(plan, scratch))
    held = desk.get("1")
    del scratches, scratch
    gc.collect()
    assert [folder.exists() for folder in kept] == [False, True, True]
    with pytest.raises(UserError, match="Check the pairs first"):
        desk.get("0")
    desk.leave("1")
    assert kept[1].exists(), "a build still needs it"
    del held
    gc.collect()
    assert not kept[1].exists()
    desk.leave("2")


def test_a_new_check_stops_the_one_before(plan: Plan) -> None:
    desk = PlanCache()
    first, second = desk.running.switch("me", "check"), desk.running.switch("me", "check")
    other = desk.running.switch("me", "build")
    assert first.is_set() and not second.is_set()
    desk.leave("me")
    assert second.is_set() and not other.is_set()
    with pytest.raises(Cancelled):
        make_plan(plan.inputs, should_stop=second.is_set)


def test_the_time_left_is_said_when_it_is_known() -> None:
    assert time_left(1, 0.5) == time_left(10, 0.001) == time_left(10, 1) == ""
    assert time_left(30, 0.5) == ", about 30 s left"
    assert time_left(60, 0.1) == ", about 9 min left"


# --------------------------------------------------------------------------------------- the page


@pytest.fixture()
def page(visit: Callable[..., Any], url: str) -> Any:
    page = visit(url)
    page.get_by_role("tab", name="Dataset").click()
    return page


def upload(page: Any, folders: tuple[Path, Path]) -> None:
    for place, folder in zip(("#source", "#target"), folders):
        page.locator(f"{place} input[type=file]").set_input_files(folder)
        count = len(list(folder.iterdir()))
        rows = f"document.querySelectorAll('{place} tr.file').length"
        page.wait_for_function(f"{rows} === {count}")


def check(page: Any) -> None:
    page.locator("#check").click()
    page.locator("#pairs .pair").first.wait_for()


def build_as(page: Any, name: str) -> None:
    page.locator("#dataset-name").locator("input, textarea").fill(name)
    page.locator("#build").click()


# Checks as soon as the uploaded archive is seen, before the page has told the server of it.
CHECK_WHEN_THERE = """() => {
  const look = new MutationObserver(() => {
    if (document.querySelector('#archive tr.file')) {
      look.disconnect();
      document.querySelector('#check').click();
    }
  });
  look.observe(document.querySelector('#archive'), { childList: true, subtree: true });
}"""


@pytest.mark.browser
def test_of_two_folders_in_an_archive_the_page_says_which_is_which(
    page: Any, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "pairs.zip", "w") as packed:
        for side in folders:
            for file in side.iterdir():
                packed.write(file, f"{side.name}/{file.name}")
    page.locator("#kind").get_by_text("Archive or Hub").click()
    page.evaluate(CHECK_WHEN_THERE)
    page.locator("#archive input[type=file]").set_input_files(tmp_path / "pairs.zip")
    page.locator("#pairs .pair").first.wait_for()
    report = page.locator("#report").inner_text()
    assert "The sources are from labels, the targets from photos." in report


@pytest.mark.browser
def test_two_folders_become_a_dataset(
    page: Any, workspace: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    assert page.locator("#build").is_disabled()
    page.get_by_text("The pairs appear here.").wait_for()
    upload(page, folders)
    check(page)
    report = page.locator("#report").inner_text()
    assert "13 pairs" in report and "1 damaged" in report and "1 without a partner" in report
    assert "f-000-01.png with F2-000-01-sz1.jpg" in report
    assert "sources are from" not in report  # who uploads them says so
    assert page.locator("#pairs .pair img").count() == 12
    page.locator("#pairs .pager").get_by_text("More pairs").click()
    page.get_by_text("13 to 13 of 13").wait_for()
    table = page.locator("#problems")
    table.get_by_text("f-001-01.png", exact=True).locator("visible=true").first.wait_for()
    table.get_by_text("stranger.jpg", exact=True).locator("visible=true").first.wait_for()
    assert (
        "damaged" in table.inner_text() and "no source picture goes with it" in table.inner_text()
    )

    build_as(page, "faces")
    page.get_by_text("faces is ready").wait_for()
    assert page.locator("#dataset-pairs .pair img").count() == 12
    made = workspace / "datasets" / "faces"
    assert len(pictures(made)) == 13 and read_dataset_json(made)["counts"]["pairs"] == 13
    with page.expect_download() as download:
        page.locator("#dataset-zip").click()
    assert download.value.suggested_filename == "faces.zip"
    with zipfile.ZipFile(download.value.path()) as packed:
        inside_zip = {n: packed.read(n) for n in packed.namelist() if n != "dataset.json"}
    assert inside_zip == pictures(made)
    with page.expect_download() as download:
        page.locator("#dataset-npz").click()
    with np.load(download.value.path(), allow_pickle=False) as arrays:
        assert arrays["arr_0"].shape == arrays["arr_1"].shape == (13, 256, 256, 3)

    page.reload()
    page.get_by_role("tab", name="Dataset").click()
    page.locator('#datasets .card[data-name="faces"]').click()
    page.locator("#dataset-about").get_by_text("13 pairs").wait_for()


@pytest.mark.browser
def test_a_dataset_is_deleted_once_no_run_trains_on_it(page: Any, workspace: Path) -> None:
    doomed, stays = (draw_dataset(workspace / "datasets" / n, train=2) for n in ("doomed", "stays"))
    run = workspace / "runs" / "busy"
    write_json(run / "config.json", {"data": str(doomed)})
    run_control.claim_run(run)
    run_folder.write_status(run, state="running")
    page.reload()
    page.get_by_role("tab", name="Dataset").click()
    card = page.locator('#datasets .card[data-name="doomed"]')
    card.click()
    page.locator("#dataset").get_by_text("Delete", exact=True).click()
    delete = page.get_by_role("button", name="Delete this dataset for good")
    delete.click()
    page.get_by_text("'busy' trains on it: let it finish or stop it first.").wait_for()
    assert doomed.is_dir()
    run_folder.write_status(run, state="stopped")
    delete.click()
    card.wait_for(state="detached")
    page.locator("#dataset").wait_for(state="hidden")
    page.locator('#datasets .card[data-name="stays"]').wait_for()
    assert not doomed.exists() and stays.is_dir() and run.is_dir()
    shutil.rmtree(run)


@pytest.mark.browser
def test_the_overlay_shows_source_and_target_over_each_other(
    page: Any, folders: tuple[Path, Path]
) -> None:
    upload(page, folders)
    check(page)
    page.locator("#pairs .pair").nth(2).click()
    assert "f-003-01.png and F2-003-01-sz1.jpg" in page.locator("#pairs .names").inner_text()
    opacity = "getComputedStyle(document.querySelector('#pairs .over .b')).opacity"
    for value in ("0", "30", "100"):
        page.locator("#pairs .mix input").fill(value)
        assert float(page.evaluate(opacity)) == pytest.approx(int(value) / 100)
    page.locator("#pairs [data-how=wipe]").click()
    assert page.evaluate(opacity) == "1"
    shown = page.evaluate("[...document.querySelectorAll('#pairs .over img')].map((i) => i.src)")
    assert shown[0] == shown[1] == page.locator("#pairs .pair img").nth(2).get_attribute("src")


@pytest.mark.browser
def test_stop_leaves_nothing(
    page: Any, workspace: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(page, folders)
    check(page)
    begun, heard, may_go_on = (threading.Event() for _ in range(3))
    read, stop = compose.open_pair_job, CancelSwitches.stop

    def slow(*args: Any) -> Any:
        begun.set()
        assert may_go_on.wait(120)
        return read(*args)

    def stopped(switches: CancelSwitches, session: str, work: str) -> None:
        stop(switches, session, work)
        if work == "build" and begun.is_set():  # a start stops earlier work
            heard.set()

    monkeypatch.setattr(build_module, "open_pair_job", slow)
    monkeypatch.setattr(CancelSwitches, "stop", stopped)
    build_as(page, "stopped")
    assert begun.wait(120)
    page.locator("#stop-build").click()
    assert heard.wait(120)
    may_go_on.set()
    page.get_by_text("Stopped: nothing was written.").wait_for()
    page.wait_for_function("!document.querySelector('#build').disabled")
    assert not [f for f in (workspace / "datasets").iterdir() if "stopped" in f.name]


@pytest.mark.browser
def test_two_clicks_build_once(page: Any, folders: tuple[Path, Path]) -> None:
    upload(page, folders)
    check(page)
    page.locator("#dataset-name").locator("input, textarea").fill("once")
    asked: list[str] = []
    page.on("request", lambda sent: asked.append(sent.url) if "queue/join" in sent.url else None)
    page.locator("#build").dblclick()
    page.get_by_text("once is ready").wait_for()
    assert len(asked) == 1


@pytest.mark.browser
def test_a_name_that_is_none_can_be_mended(page: Any, folders: tuple[Path, Path]) -> None:
    upload(page, folders)
    check(page)
    build_as(page, "..")
    page.locator(".toast-body").wait_for()
    page.locator("#stop-build").wait_for(state="hidden")
    build_as(page, "mended")
    page.get_by_text("mended is ready").wait_for()


@pytest.mark.browser
def test_another_folder_asks_for_another_check(page: Any, folders: tuple[Path, Path]) -> None:
    upload(page, folders)
    check(page)
    page.wait_for_selector("#build.primary:not([disabled])")
    page.locator("#source button[aria-label='Remove this file']").first.click()
    page.get_by_text("check the pairs again").wait_for()
    page.wait_for_selector("#check.primary")
    page.wait_for_selector("#build:disabled")


@pytest.mark.browser
def test_another_rule_during_a_check_begins_it_anew(
    page: Any, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(page, folders)
    check(page)
    begun, may_go_on = threading.Event(), threading.Event()
    make = checking.make_plan

    def slow(inputs: Any, should_stop: Any, **options: Any) -> Any:
        begun.set()
        while not (may_go_on.wait(0.02) or should_stop()):
            pass
        options["should_stop"] = should_stop
        return make(inputs, **options)

    monkeypatch.setattr(checking, "make_plan", slow)
    for rule in ("Sorted order", "The letters and numbers"):
        begun.clear()
        page.locator("#match input").click()
        page.locator("[role=option]", has_text=rule).first.click()
        assert begun.wait(120)
    may_go_on.set()
    page.locator("#report").get_by_text("Paired by the letters and numbers").wait_for()
    page.wait_for_selector("#check:not([disabled])")
    page.locator("#stop-check").wait_for(state="hidden")


@pytest.mark.browser
def test_one_click_settles_what_is_black_and_white(page: Any, workspace: Path) -> None:
    depth = np.linspace(-1024, -4, 64 * 64).reshape(64, 64).astype(np.int32)
    for number in range(6):
        drawn, values = workspace / "ct" / "drawn", depth + number
        drawn.mkdir(parents=True, exist_ok=True)
        drawn_pair(number)[0].save(drawn / f"{number}.png")
        values[0, 0] = 20_000 if number % 2 else values[0, 0]
        (workspace / "ct" / "numbers").mkdir(exist_ok=True)
        tifffile.imwrite(workspace / "ct" / "numbers" / f"{number}.tif", values)
    page.locator("#kind").get_by_text("Workspace").click()
    for side, name in (("source", "drawn"), ("target", "numbers")):
        page.locator(f"#{side}-path").locator("input, textarea").fill(f"ct/{name}")
    check(page)
    page.get_by_text("3 of 6 files hold 20000").locator("visible=true").first.wait_for()
    offered = page.locator("#proposed-range label")
    assert offered.all_inner_texts() == [
        "Targets: -1024 to 1",
        "Targets: -1022 to 0, without a thousandth at either end",
    ]
    offered.first.click()
    page.locator("#proposed-range").wait_for(state="hidden")
    assert "black is -1024, white is 1 " in page.locator("#report").inner_text()
    assert "20000" not in page.locator("#report").inner_text()
    build_as(page, "ct")
    page.get_by_text("ct is ready").wait_for()
    made = read_dataset_json(workspace / "datasets" / "ct")
    assert made["ranges"]["target"] == [-1024.0, 1.0]
    assert not [doubt for doubt in made["doubts"] if doubt["kind"] == "outlier"]


@pytest.mark.browser
def test_a_choice_that_is_heard_after_the_check_leaves_it(page: Any, workspace: Path) -> None:
    draw_folders(workspace / "late", 3)
    page.locator("#kind").get_by_text("Workspace").click()
    with page.expect_request("**/run/predict") as change:
        page.locator("#source-path").locator("input, textarea").fill("late/labels")
    changed = change.value.post_data_json["fn_index"]
    held: list[Any] = []
    is_over = False

    def hold(route: Any) -> None:
        is_change = route.request.post_data_json["fn_index"] == changed
        route.continue_() if is_over or not is_change else held.append(route)

    page.route("**/run/predict", hold)
    page.locator("#target-path").locator("input, textarea").fill("late/photos")
    check(page)
    is_over = True
    with page.expect_response("**/run/predict"):
        for route in held:
            route.continue_()
    build_as(page, "late")
    page.get_by_text("late is ready").wait_for()


@pytest.mark.browser
def test_a_mistake_is_one_sentence_and_can_be_mended(page: Any) -> None:
    page.locator("#check").click()
    page.get_by_text("Choose the pictures first").wait_for()
    page.wait_for_selector("#check:not([disabled])")
    page.locator("#kind").get_by_text("Workspace").click()
    page.locator("#source-path").locator("input, textarea").fill("../..")
    page.locator("#check").click()
    page.get_by_text("lies outside the workspace").wait_for()


@pytest.mark.browser
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_are_inert_text(page: Any, workspace: Path) -> None:
    hostile = "<img src=x onerror=hit=1>${window.hit=1}{{value}}\\x24`"
    for side, suffix in (("markup/a", ".png"), ("markup/b", ".jpg")):
        (workspace / side).mkdir(parents=True)
        for number in range(2):
            picture = drawn_pair(number)[suffix == ".jpg"]
            picture.save(workspace / side / f"{hostile}{number}{suffix}")
    (workspace / "markup" / "a" / f"{hostile}odd.png").write_bytes(b"no picture")
    page.locator("#kind").get_by_text("Workspace").click()
    page.locator("#source-path").locator("input, textarea").fill("markup/a")
    page.locator("#target-path").locator("input, textarea").fill("markup/b")
    check(page)
    assert page.locator("#pairs .pair .name").first.inner_text() == f"{hostile}0.png"
    assert f"{hostile}0.png" in page.locator("#report").inner_text()
    page.locator("#problems").get_by_text(f"{hostile}odd.png", exact=True).locator(
        "visible=true"
    ).first.wait_for()
    build_as(page, "inert")
    page.get_by_text("inert is ready").wait_for()
    assert page.evaluate("window.hit") is None


@pytest.mark.browser
def test_a_card_says_the_whole_name_of_a_dataset(page: Any, workspace: Path) -> None:
    (workspace / "datasets" / "little-houses" / "train").mkdir(parents=True)
    drawn_strip(1, 64).save(workspace / "datasets" / "little-houses" / "train" / "0.png")
    page.reload()
    page.get_by_role("tab", name="Dataset").click()
    card = page.locator('#datasets .card[data-name="little-houses"]')
    for width in (1280, 1100, 390):
        page.set_viewport_size({"width": width, "height": 844})
        assert card.locator("b").bounding_box()["height"] < 20  # one line
        for words in card.locator(".words > *").all():
            assert words.evaluate("e => e.scrollHeight <= e.clientHeight")


@pytest.mark.browser
def test_the_train_tab_gets_the_dataset_that_was_chosen_last(
    visit: Callable[..., Any], workspace: Path
) -> None:
    for name, pairs in (("other", 2), ("gone", 3), ("ready", 1)):
        (workspace / "datasets" / name / "train").mkdir(parents=True)
        for number in range(pairs):
            drawn_strip(1, 64).save(workspace / "datasets" / name / "train" / f"{number}.png")
    page = build_page(NoModels())
    try:
        view = visit(launched(page, themed=True))
        view.get_by_role("tab", name="Dataset").click()
        about, cards = view.locator("#dataset-about"), view.locator("#datasets")
        view.locator('#datasets .card[data-name="other"]').click()
        about.get_by_text("2 pairs").wait_for()
        shutil.rmtree(workspace / "datasets" / "gone")
        view.locator('#datasets .card[data-name="gone"]').click()
        view.get_by_text("There is no dataset 'gone'").wait_for()
        view.locator('#datasets .card[data-name="ready"]').click()
        about.get_by_text("1 pair").wait_for()
        assert cards.locator('[data-name="gone"]').count() == 0
        view.get_by_role("button", name="Train on this dataset").click()
        view.wait_for_function("document.querySelector('#train-dataset input')?.value === 'ready'")
        assert view.get_by_role("tab", name="Train").get_attribute("aria-selected") == "true"
        view.close()
    finally:
        page.close()


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_tab_fits_a_phone(visit: Callable[..., Any], url: str, theme: str) -> None:
    page = visit(f"{url}?__theme={theme}", 390, 844, has_touch=True)
    page.get_by_role("tab", name="Dataset").click()
    page.locator("#check").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = [page.locator(".step").nth(i).bounding_box() for i in range(3)]
    assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]


def test_an_archive_and_a_dataset_of_the_hub_are_not_both_taken(tmp_path: Path) -> None:
    given = UploadedInputs(archive=str(tmp_path / "photos.zip"), repo="ann/photos")
    with pytest.raises(UserError, match="not both: clear one"):
        gather_inputs(given, tmp_path / "one", lambda: False, silent)


def test_a_table_is_looked_at_and_taken_by_its_columns(tmp_path: Path, workspace: Path) -> None:
    """As an upload, and as a file in the workspace."""
    from tests.data.test_tables import drawn, parquet

    file = workspace / "houses.parquet"
    file.write_bytes(parquet(drawn(6), ("imageB", "imageA")))
    for number, place in enumerate(({"archive": str(file)}, {"source_path": "houses.parquet"})):
        found = look(UploadedInputs(**place))
        assert found.chosen == ("imageA", "imageB") and found.counts == {"": 6}
        shown = table_examples(found)["pairs"]
        assert [pair["row"] for pair in shown] == ["row 1", "row 2", "row 3"]
        taken = gather_inputs(
            UploadedInputs(**place, columns=("imageB", "imageA"), limit=4),
            tmp_path / str(number), lambda: False, lambda done, total: None,
        )  # fmt: skip
        assert (taken.source.name, len([*taken.target.iterdir()])) == ("imageB", 4)
    with pytest.raises(UserError, match="no table of pictures"):
        look(UploadedInputs(repo="", source_path=""))
