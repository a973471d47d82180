"""Pairs drawn by hand in the Dataset tab: traced, left, taken up again, built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pix2pix.data.compose import fit_square
from pix2pix.data.records import Recipe
from pix2pix.data.report import read_dataset_json
from pix2pix.errors import UserError
from pix2pix.imaging.decode import from_data_url
from pix2pix.imaging.example_houses import draw_house
from pix2pix.ui.auth import Roles
from pix2pix.ui.dataset.draw import drawn_inputs
from pix2pix.ui.page import build_page
from pix2pix.utils.files import read_json_object
from tests.support.page_server import Server, launched

BOARD = "document.querySelector('.trace').parentElement.board"
ROOF = [(0.2, 0.6), (0.5, 0.2), (0.8, 0.6)]
WALLS = [(0.3, 0.6), (0.3, 0.9), (0.7, 0.9), (0.7, 0.6)]

# Notes of each change of a palette how many are under way, and how many labels it tells of.
COUNTED = """async (request, ask) => {
  asked.push([underway += 1, request.palette.length]);
  const reply = await ask(request);
  underway -= 1;
  return reply;
}"""


# Keeps one request back until `letGo` is called; those after it go on.
HELD = """async (request, ask) => {
  if (!window.letGo) await new Promise((done) => { window.letGo = done; });
  return ask(request);
}"""


class NoModels:
    def models(self) -> dict[str, Path]:
        return {}


class Desk:
    """What a person does at the board, in coordinates from 0 to 1."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def open(self) -> None:
        self.page.get_by_role("tab", name="Dataset").click()
        self.page.locator("#kind").get_by_text("Draw them").click()
        self.page.wait_for_selector(".trace .set")

    def add(self, files: list[Path]) -> None:
        self.page.locator(".trace .files").set_input_files(files)
        self.page.wait_for_function(f"{BOARD}.photos.length === {len(files)} && !{BOARD}.adding")

    def see(self, name: str) -> None:
        """Wait for a photo on the board."""
        self.page.wait_for_selector(f".trace .work[data-shown='{name}']")

    def choose_labels(self) -> None:
        self.page.locator(".trace [data-part=kind] select").select_option("labels")

    def begin_labels(self, photo: list[Path]) -> None:
        """Begin a set of label maps, in the first palette, with the photo of the first house."""
        self.choose_labels()
        self.add(photo)
        self.see("001-house_0")

    def draw(self, *points: tuple[float, float]) -> None:
        paper = self.page.locator(".trace .paper")
        paper.evaluate("(paper) => paper.scrollIntoView({ block: 'center', behavior: 'instant' })")
        box = None
        while box != (box := paper.bounding_box()):  # messages that come and go move it
            self.page.evaluate("new Promise((done) => requestAnimationFrame(done))")
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
        self.page.mouse.move(*places[0])
        self.page.mouse.down()
        for place in places[1:]:
            self.page.mouse.move(*place, steps=4)
        self.page.mouse.up()

    def press(self, name: str) -> None:
        self.page.locator(".trace").get_by_role("button", name=name, exact=True).click()

    def hear(self, words: str) -> None:
        """Wait for what the board says."""
        said = self.page.locator(".trace .message", has_text=words)
        said.locator("visible=true").wait_for()

    def answer(self, call: str, answer: str) -> None:
        """Let `answer(request, ask)` of the page's language stand before a call of the server."""
        self.page.evaluate(f"""() => {{
          const board = {BOARD}, {{ server }} = board;
          const answer = (request) => ({answer})(request, server.{call});
          board.server = new Proxy(server, {{
            get: (calls, name) => (name === "{call}" ? answer : calls[name]),
          }});
        }}""")

    def drawing(self) -> np.ndarray:
        url = self.page.evaluate(f"{BOARD}.drawing.png()")
        return np.asarray(from_data_url(url, 10_000_000).convert("RGB"))

    def states(self) -> list[str]:
        return self.page.evaluate(f"{BOARD}.photos.map(({{ state }}) => state)")

    def build(self, name: str) -> None:
        self.page.locator("#check").click()
        self.page.locator("#pairs .pair").first.wait_for()
        self.page.locator("#dataset-name").locator("input, textarea").fill(name)
        self.page.locator("#build").click()
        self.page.get_by_text(f"{name} is ready").wait_for()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One app, which looks for its workspace whenever it is asked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        app = build_page(NoModels(), roles=Roles(everybody=True))
        yield launched(app, themed=True)
        app.close(verbose=False)


@pytest.fixture()
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIX2PIX_WORKSPACE", str(tmp_path / "workspace"))
    return tmp_path / "workspace"


@pytest.fixture()
def desk(visit: Callable[..., Any], url: str, workspace: Path) -> Desk:
    desk = Desk(visit(url, height=1100))
    desk.open()
    return desk


@pytest.fixture()
def photos(tmp_path: Path) -> list[Path]:
    """Three pictures of houses, none of them square."""
    files = []
    for number in range(3):
        files.append(tmp_path / f"house {number}.png")
        draw_house(number, 200)[1].crop((0, 20, 200, 160 + 10 * number)).save(files[-1])
    return files


@pytest.mark.browser
def test_traced_left_taken_up_again_and_built(
    desk: Desk, visit: Callable[..., Any], url: str, workspace: Path, photos: list[Path]
) -> None:
    desk.add(photos)
    desk.see("001-house_0")
    desk.press("Save and next")
    desk.hear("Trace the photo first")
    desk.draw(*ROOF)
    first = desk.drawing()
    desk.press("Save and next")
    desk.see("002-house_1")

    # The server hears nothing of these strokes, and the page is left at once.
    desk.page.route("**/component_server", lambda route: route.abort())
    desk.draw(*ROOF)
    desk.draw(*WALLS)
    second = desk.drawing()
    desk.page.unroute("**/component_server")
    desk.page.reload()
    desk.see("002-house_1")
    assert np.array_equal(desk.drawing(), second)
    desk.page.wait_for_function(f"{BOARD}.photo.state === 'begun'")
    desk.press("Undo")
    assert not np.array_equal(desk.drawing(), second)
    desk.press("Redo")

    # Another browser, which knows nothing of the set but that it is there.
    desk.page.wait_for_function(f"{BOARD}.flush()")
    other = Desk(visit(url, height=1100))
    other.open()
    other.page.locator(".trace [data-part=sets] select").select_option("drawings")
    other.see("002-house_1")
    assert np.array_equal(other.drawing(), second) and other.states() == ["done", "begun", ""]
    other.page.close()

    desk.press("Skip")
    desk.see("003-house_2")
    desk.press("Back")
    desk.see("002-house_1")
    desk.press("Save and next")
    desk.see("003-house_2")
    desk.build("houses")
    desk.page.get_by_text("2 pairs of 256 x 256 pixels, drawing to photo.").wait_for()

    info = read_dataset_json(workspace / "datasets" / "houses")
    assert info["source_kind"] == "drawing" and info["label_maps"] == [False, False]
    assert [refused["file"] for refused in info["refused"]] == ["003-house_2.png"]
    assert info["doubts"] == []
    for pair, photo, drawn in zip(info["pairs"], photos, (first, second)):
        built = np.asarray(Image.open(workspace / "datasets" / "houses" / pair["files"][0]["file"]))
        small = Image.fromarray(drawn).resize((256, 256), Image.Resampling.BICUBIC)
        assert np.array_equal(built[:, :256], np.asarray(small))
        assert built[102, 90].max() < 100 < built[102, 128].min()  # a side of the roof; under it
        framed = fit_square(Image.open(photo), Recipe(size=256, fit="crop"), False)
        assert np.abs(built[:, 256:].astype(int) - np.asarray(framed)).mean() < 4


@pytest.mark.browser
def test_label_maps_bring_their_palette(desk: Desk, workspace: Path, photos: list[Path]) -> None:
    page = desk.page
    desk.choose_labels()
    names = page.locator(".trace .entries input[type=text]")
    for _ in range(7):  # three are left
        page.locator(".trace .entries button").last.click()
    names.nth(1).fill("wood")
    desk.press("Add a colour")
    page.keyboard.type("flower")
    page.keyboard.press("Enter")
    desk.add(photos[:1])
    desk.see("001-house_0")
    page.locator(".trace .palette").get_by_role("button", name="wood", exact=True).click()
    desk.draw(*ROOF)
    page.locator(".trace .palette").get_by_role("button", name="flower", exact=True).click()
    page.locator(".trace [data-tool=fill]").click()
    desk.draw((0.05, 0.05))
    page.wait_for_function(f"{BOARD}.photo.state === 'begun'")
    page.locator(".trace summary").click()
    page.get_by_role("button", name="Remove wood").click()
    desk.hear("is drawn in this colour")
    page.get_by_role("button", name="Remove grass").click()
    page.get_by_role("button", name="Remove grass").wait_for(state="detached")
    drawn = desk.drawing()
    desk.press("Save and next")
    desk.hear("All photos are traced")
    desk.build("painted")
    page.get_by_text("1 pair of 256 x 256 pixels, labels to photo.").wait_for()

    info = read_dataset_json(workspace / "datasets" / "painted")
    palette = {label["name"]: bytes.fromhex(label["color"][1:]) for label in info["palette"]}
    assert list(palette) == ["sky", "wood", "flower"]
    assert info["source_kind"] == "labels" and info["label_maps"] == [True, False]
    file = workspace / "datasets" / "painted" / info["pairs"][0]["files"][0]["file"]
    built = np.asarray(Image.open(file))[:, :256]
    small = Image.fromarray(drawn).resize((256, 256), Image.Resampling.NEAREST)
    assert np.array_equal(built, np.asarray(small))
    assert {bytes(p) for p in built.reshape(-1, 3)} == {palette["wood"], palette["flower"]}
    assert bytes(built[102, 90]) == palette["wood"] and bytes(built[5, 5]) == palette["flower"]


@pytest.mark.browser
def test_quick_changes_of_the_palette_follow_each_other(desk: Desk, photos: list[Path]) -> None:
    page = desk.page
    desk.begin_labels(photos[:1])
    page.evaluate("window.asked = []; window.underway = 0")
    desk.answer("change_set", COUNTED)
    page.locator(".trace summary").click()
    labels = page.locator(".trace .entries button")
    count = labels.count()
    clicks = "for (const _ of [1, 2, 3]) {}.querySelector('.entries > :last-child button').click()"
    page.evaluate(clicks.format(f"{BOARD}.element"))
    page.wait_for_function(f"!{BOARD}.isChanging")
    # One request at a time: the first goes alone, and one more tells of both that came during it.
    assert page.evaluate("window.asked") == [[1, count - 1], [1, count - 3]]
    page.reload()
    desk.open()
    desk.see("001-house_0")
    assert labels.count() == count - 3


@pytest.mark.browser
def test_a_refused_palette_is_taken_back(desk: Desk, photos: list[Path]) -> None:
    page = desk.page
    desk.begin_labels(photos[:1])
    used = page.locator(".trace .palette button[aria-pressed=true]").inner_text()
    desk.draw(*ROOF)
    page.wait_for_function(f"{BOARD}.photo.state === 'begun'")
    page.locator(".trace summary").click()
    names = f"{BOARD}.palette.colours.map(({{ name }}) => name)"
    before = page.evaluate(names)
    words = f"{BOARD}.find('.message').textContent"
    desk.answer("open_board", f"(asked, ask) => {{ window.said = {words}; return ask(asked); }}")
    page.locator(".trace .entries").get_by_role("button", name=f"Remove {used}").click()
    desk.hear("is drawn in this colour")
    assert page.evaluate("said") == ""  # whoever reads that it was refused finds the label again
    assert page.evaluate(names) == before


@pytest.mark.browser
def test_photos_and_sets_go_when_told(desk: Desk, workspace: Path, photos: list[Path]) -> None:
    desk.page.on("dialog", lambda dialog: dialog.accept())
    broken = photos[0].with_name("broken.png")
    broken.write_bytes(b"no picture")
    desk.page.locator(".trace .files").set_input_files([broken, *photos[:2]])
    desk.hear("is no image that can be read")
    desk.see("001-house_0")
    desk.draw(*ROOF)
    desk.press("Save and next")
    desk.see("002-house_1")
    desk.press("Remove")
    desk.see("001-house_0")
    desk.press("Clear")
    desk.page.wait_for_function(f"{BOARD}.photo.state === ''")
    folder = workspace / "traced" / "drawings"
    assert sorted(f.name for f in folder.rglob("*.*")) == ["001-house_0.png", "traced.json"]
    desk.press("Delete this set")
    desk.page.locator(".trace .start").wait_for()
    assert not folder.exists()


@pytest.mark.browser
def test_a_drawing_stays_with_its_photo_while_the_next_is_on_its_way(
    desk: Desk, workspace: Path, photos: list[Path]
) -> None:
    desk.add(photos)
    desk.see("001-house_0")
    desk.draw(*ROOF)
    first = desk.drawing()
    desk.answer("open_photo", HELD)
    desk.press("Save and next")
    desk.page.wait_for_function("Boolean(window.letGo)")
    desk.draw(*WALLS)  # the paper takes it neither for this photo nor for the next
    desk.press("Undo")
    desk.press("Save and next")
    assert np.array_equal(desk.drawing(), first)
    desk.page.evaluate("window.letGo()")
    desk.see("002-house_1")
    assert desk.page.evaluate(f"{BOARD}.drawing.isBlank()")
    desk.draw(*WALLS)
    desk.page.wait_for_function(f"{BOARD}.photo.state === 'begun'")
    strokes = workspace / "traced" / "drawings" / "strokes"
    assert desk.states() == ["done", "begun", ""]
    saved = [read_json_object(file)["strokes"] for file in sorted(strokes.glob("*.json"))]
    assert [len(ops) for ops in saved] == [1, 1] and saved[0] != saved[1]


@pytest.mark.browser
def test_the_photo_stays_where_the_next_does_not_come(desk: Desk, photos: list[Path]) -> None:
    desk.add(photos)
    desk.see("001-house_0")
    desk.draw(*ROOF)
    desk.answer("open_photo", "async (asked, ask) => (window.isAway ? null : ask(asked))")
    desk.page.evaluate("window.isAway = true")
    for _ in "ab":
        desk.press("Save and next")
        desk.hear("The server does not answer")
        assert desk.page.evaluate(f"{BOARD}.photo.name") == "001-house_0"
        desk.draw(*WALLS)  # it goes on
        desk.page.wait_for_function(f"{BOARD}.flush()")
        assert desk.states() == ["done", "", ""]
    assert desk.page.evaluate(f"{BOARD}.drawing.ops.length") == 3
    # Neither does the photo of another set: nothing is on the paper then, and nothing is drawn.
    desk.page.evaluate(f"{BOARD}.open('drawings')")
    desk.draw(*ROOF)
    assert desk.page.evaluate(f"[{BOARD}.drawing.ops.length, {BOARD}.at]") == [0, -1]
    desk.page.evaluate("window.isAway = false")
    desk.page.locator(".trace .strip button").first.click()
    desk.see("001-house_0")
    assert desk.page.evaluate(f"{BOARD}.drawing.ops.length") == 3


@pytest.mark.browser
def test_photos_go_into_the_set_they_were_added_to(
    desk: Desk, workspace: Path, photos: list[Path]
) -> None:
    page, sets = desk.page, desk.page.locator(".trace [data-part=sets] select")
    desk.add(photos[:1])
    desk.see("001-house_0")
    page.wait_for_function(f"!{BOARD}.find('[data-part=sets]').hidden")
    sets.select_option("")
    page.wait_for_function(f"{BOARD}.set === ''")
    desk.answer("add_photo", HELD)
    page.locator(".trace .files").set_input_files(photos[1:])
    page.wait_for_function("Boolean(window.letGo)")
    sets.select_option("drawings")  # before the first of the new set has come
    page.wait_for_function(f"{BOARD}.set === 'drawings'")
    page.evaluate("window.letGo()")
    page.wait_for_function(f"!{BOARD}.adding")
    names = f"{BOARD}.photos.map(({{ name }}) => name)"
    assert page.evaluate(f"[{BOARD}.set, {names}]") == ["drawings", ["001-house_0"]]
    files = sorted(f.relative_to(workspace / "traced") for f in workspace.rglob("photos/*.png"))
    others = [Path("drawings-2", "photos", f"00{n}-house_{n}.png") for n in (1, 2)]
    assert files == [Path("drawings", "photos", "001-house_0.png"), *others]
    page.wait_for_function(f"{BOARD}.select('sets').options.length === 3")
    sets.select_option("drawings-2")
    desk.see("001-house_1")
    assert page.evaluate(names) == ["001-house_1", "002-house_2"]


@pytest.mark.browser
def test_the_board_fits_a_phone(desk: Desk, photos: list[Path]) -> None:
    desk.page.set_viewport_size({"width": 390, "height": 844})
    desk.choose_labels()
    desk.add(photos)
    desk.see("001-house_0")
    assert desk.page.evaluate("document.documentElement.scrollWidth") <= 390
    paper, turn, photo = (
        desk.page.locator(f".trace {place}").bounding_box()
        for place in (".paper", "[data-do=next]", ".photo")
    )
    assert paper["width"] > 340
    # Paper, tools and the way on are on one screen, and the photo comes after them.
    assert turn["y"] + turn["height"] - paper["y"] < 844 and photo["y"] > turn["y"]


def test_only_what_was_uploaded_is_added(
    workspace: Path, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    server = Server(workspace, Roles(everybody=True))
    functions = dict((name, number) for number, name in server.server_functions())

    def ask(function: str, **request: Any) -> dict[str, Any]:
        return server.call(functions[function], function, request)

    try:
        new = {"set": "", "kind": "drawing", "palette": [], "frame": "crop"}
        for file in (str(photos[0]), "/etc/passwd", "", None, "a\0b"):
            assert "did not arrive" in ask("add_photo", file=file, **new)["error"]
        assert ask("open_board", set="")["sets"] == []
        sent = server.http.post(
            "gradio_api/upload", files={"files": ("cat.png", photos[0].read_bytes())}
        ).json()
        assert ask("add_photo", file=sent[0], **new)["photo"]["name"] == "001-cat"
        assert "gone" in ask("open_photo", set="../datasets", name="001-cat")["error"]
    finally:
        server.page.close(verbose=False)


def test_nothing_is_planned_from_nothing(workspace: Path) -> None:
    for value in ({}, None, {"set": ""}, {"set": "../x"}, {"set": 3}):
        with pytest.raises(UserError):
            drawn_inputs(value)
