"""What README and docs/ say is so: links lead somewhere, their Python runs, commands are there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.drawn_pairs import draw_folders
from tests.support.models_and_servers import noise

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The code of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run_python(code: str, folder: Path) -> str:
    """What it prints, in a process of its own, as a program of somebody else's would run it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PIX2PIX_WORKSPACE": str(folder / "work")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_is_a_page_to_read() -> None:
    assert len(README.splitlines()) <= 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text)
    for link in filter(None, (a or b for a, b in links)):
        if not link.startswith(("http", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_scripts_and_options_that_are_there(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8"), "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if found := re.search(r"(?:scripts/(\w+)|\b(app))\.py(.*)", line):
                script, app, words = found.groups()
                file = ROOT / ("pix2pix/ui/server.py" if app else f"scripts/{script}.py")
                said = file.read_text(encoding="utf-8")
                for option in re.findall(r"(--[a-z-]+)", words):
                    assert f'"{option}"' in said, f"{file.name} has no {option}"


def test_the_code_and_tests_that_stand_for_security_are_there() -> None:
    """`ui/page.py`: `name` is in that file, and so is `test_y` of `ui/test_x.py::test_y`."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    code = re.findall(r"`([\w/]+\.py)`: `(\w+)`", page)
    tests = re.findall(r"`([\w/]+\.py)::(\w+)`", page)
    assert code and len(tests) > 20
    for folder, named in (("pix2pix", code), ("tests", tests)):
        for file, name in named:
            text = (ROOT / folder / file).read_text(encoding="utf-8")
            assert re.search(rf"^(def |class )?{name}\b", text, re.MULTILINE), (
                f"{file} has no {name}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_is_python(page: Path) -> None:
    for block in blocks(page.read_text(encoding="utf-8"), "python"):
        compile(block, page.name, "exec")


def test_the_readmes_python_runs(tmp_path: Path) -> None:
    draw_folders(tmp_path, 10, "{:03}.png", "{:03}.png")
    (tmp_path / "labels").rename(tmp_path / "sketches")
    noise(96, 64).save(tmp_path / "drawing.png")
    code = next(block for block in blocks(README, "python") if "build_dataset" in block)
    assert "epochs=20" in code
    said = run_python(code.replace("epochs=20", "epochs=20, steps=2"), tmp_path)
    assert Image.open(tmp_path / "photo.png").size == (96, 64)
    assert "'images': 1" in said and "'perceptual'" in said


def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = json.loads((ROOT / "docs" / "quickstart.ipynb").read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["metadata"]["kernelspec"]["name"]) == (4, "python3")
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells), "clear the outputs before you commit"
    code = "\n".join("".join(cell["source"]) for cell in cells)
    code = re.sub(r"(?m)^( *)%pip.*", r"\1raise", code)  # it is there: nothing to install
    assert 'from_preset("quick")' in code
    code = code.replace('from_preset("quick")', 'from_preset("quick", steps=2)')
    measured = 'evaluate(run, work / "houses").measures'
    assert code.endswith(measured)
    code = f'{code.removesuffix(measured)}print(sorted({measured}))\nsheet.save("sheet.png")'
    said = run_python(code, tmp_path)
    assert "'pairs': 200" in said and "finished after 2 steps" in said and "'l1'" in said
    made = np.asarray(Image.open(tmp_path / "sheet.png"))[:, 128:256]
    assert made.std() > 5, "the model's picture is no empty one"
