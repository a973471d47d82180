"""Modules import downwards only, and the light ones work without torch and gradio."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pix2pix"

# From the bottom up; a module imports from its own layer and those below.
LAYERS = [
    {"errors", "files", "config", "images", "drawing", "pictures", "workspace", "names", "scenes"}
    | {"strips", "hints", "records"},
    {"pairing", "derive", "containers", "archives", "npz", "download"},
    {"folders", "datasets", "cards"},
    {"plan", "splits"},
    {"build"},
    {"building"},
    {"convolutions", "imagenet", "projected"},
    {
        "networks",
        "losses",
        "diffaugment",
        "data",
        "devices",
        "runs",
        "moments",
        "health",
        "curves",
        "ranks",
    },
    {"models", "checkpoint", "importing", "summary", "diagram", "metrics"},
    {"hub", "hub_access", "hub_push", "hub_models", "space"}
    | {"jobs", "job_watch", "job_side"}
    | {"keeping"},
    {"trainer", "recording", "settings", "training", "translate", "evaluation"},
    {"train_run"},
    {"ui"},
    {"app"},
]
LIGHT = ["images", "drawing", "files", "config", "errors", "pictures", "workspace", "names"]
LIGHT += ["pairing", "derive", "containers", "archives", "npz", "folders", "datasets", "plan"]
LIGHT += [
    "hints",
    "strips",
    "scenes",
    "splits",
    "build",
    "building",
    "records",
    "runs",
    "moments",
    "curves",
    "health",
    "jobs",
    "job_side",
    "keeping",
]


def imports(file: Path, tree: ast.AST) -> set[str]:
    """Full names of what a file imports anywhere in it, relative imports resolved."""
    package = file.relative_to(ROOT).parent.parts
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *([node.module] if node.module else [])])
            # `from pix2pix import images` names the module in what is imported.
            names = [f"{module}.{alias.name}" for alias in node.names]
            found |= set(names) if module == "pix2pix" else {module}
    return found


def modules() -> list[Path]:
    return sorted(file for file in PACKAGE.rglob("*.py") if file.name != "__init__.py")


def layer(name: str) -> int:
    for number, members in enumerate(LAYERS):
        if name in members:
            return number
    pytest.fail(f"'{name}' has no layer: give it one in tests/test_structure.py")


def module_name(file: Path) -> str:
    """The first name below the package: ``ui`` for all files of the page."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file: Path) -> None:
    own = layer(module_name(file))
    names = imports(file, ast.parse(file.read_text(encoding="utf-8")))
    assert "app" not in names
    for name in names:
        if name.startswith("pix2pix."):
            assert layer(name.split(".")[1]) <= own, f"{file.name} imports upwards: {name}"
        if name.split(".")[0] == "gradio":
            assert own >= layer("ui"), f"{file.name} imports gradio"


def test_no_modules_import_each_other() -> None:
    edges = {}
    for file in modules():
        names = imports(file, ast.parse(file.read_text(encoding="utf-8")))
        inner = {n.split(".")[1] for n in names if n.startswith("pix2pix.")}
        edges.setdefault(module_name(file), set()).update(inner - {module_name(file)})
    while edges:
        leaves = [name for name, needs in edges.items() if not needs & edges.keys()]
        assert leaves, f"these import each other in a circle: {sorted(edges)}"
        for name in leaves:
            del edges[name]


def test_the_parser_of_this_test_sees_every_form() -> None:
    tree = ast.parse("import gradio as gr\nfrom ..images import x\nfrom pix2pix import config\n")
    found = imports(PACKAGE / "ui" / "page.py", tree)
    assert found == {"gradio", "pix2pix.images", "pix2pix.config"}


def run_fresh(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_light_modules_import_no_torch() -> None:
    names = ", ".join(f"pix2pix.{name}" for name in LIGHT)
    run_fresh(
        f"import sys, {names}\n"
        "heavy = {'torch', 'torchvision', 'gradio'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )


def test_the_engine_works_without_gradio() -> None:
    names = [module_name(file) for file in modules() if module_name(file) != "ui"]
    imports = ", ".join(f"pix2pix.{name}" for name in names)
    run_fresh(f"import sys; sys.modules['gradio'] = None\nimport {imports}")


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_is_clean(command: list[str]) -> None:
    ruff = subprocess.run([sys.executable, "-m", "ruff", *command, ROOT], capture_output=True)
    assert ruff.returncode == 0, ruff.stdout.decode()
