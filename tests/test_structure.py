"""Packages import downwards only, and what is light works without torch and gradio."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "pix2pix"

# From the bottom up; a module imports from its own layer and those below.
LAYERS = (
    ("errors",),
    ("utils",),
    ("config", "model_config", "presets"),
    ("imaging",),
    ("data",),
    ("nn",),
    ("models",),
    ("evaluation",),
    ("training",),
    ("hub",),
    ("ui",),
)
# The one way up, taken when it is called: `Translator.from_pretrained` and `push_to_hub` reach the
# Hub.
WAYS_UP = {("pix2pix.models.translator", "pix2pix.hub.models")}


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
            # `from pix2pix import config` names the module in what is imported.
            names = {f"{module}.{alias.name}" for alias in node.names}
            found |= names if module == "pix2pix" else {module}
    return found


def modules() -> list[Path]:
    return sorted(file for file in PACKAGE.rglob("*.py") if file.name != "__init__.py")


def dotted(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def layer(name: str) -> int:
    """The layer of a module by the first name below the package: its folder, or itself."""
    top = name.split(".")[1]
    return next(number for number, names in enumerate(LAYERS) if top in names)


@pytest.mark.parametrize("file", modules(), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file: Path) -> None:
    own = layer(dotted(file))
    names = imports(file, ast.parse(file.read_text(encoding="utf-8")))
    assert "app" not in names
    for name in names:
        if name.startswith("pix2pix."):
            down = layer(name) <= own or (dotted(file), name) in WAYS_UP
            assert down, f"{file.name} imports upwards: {name}"
        if name.split(".")[0] == "gradio":
            assert own == layer("pix2pix.ui"), f"{file.name} imports gradio"


def test_no_modules_import_each_other() -> None:
    own = {dotted(file): file for file in modules()}
    edges = {}
    for name, file in own.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        top = ast.Module([node for node in tree.body if "Import" in type(node).__name__], [])
        found = imports(file, top)
        for node in top.body:  # a package's modules, imported as such
            if isinstance(node, ast.ImportFrom):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
        edges[name] = (found & own.keys()) - {name}
    while edges:
        leaves = [name for name, needs in edges.items() if not needs & edges.keys()]
        assert leaves, f"these import each other in a circle: {sorted(edges)}"
        for name in leaves:
            del edges[name]


def run_fresh(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def is_light(file: Path) -> bool:
    """Files, pictures and what says so in its first lines need no torch to be imported."""
    folder, source = file.parent.relative_to(PACKAGE).as_posix(), file.read_text(encoding="utf-8")
    if folder == "data":  # but what makes tensors there
        return "\nimport torch\n" not in source
    said = "No torch." in (ast.get_docstring(ast.parse(source)) or "")
    return said or folder in ("utils", "imaging")


def test_light_modules_import_no_torch() -> None:
    light = [dotted(file) for file in modules() if is_light(file)]
    assert {"pix2pix.config", "pix2pix.data.build", "pix2pix.training.run_control"} <= {*light}
    run_fresh(
        f"import sys, {', '.join(light)}\n"
        "heavy = {'torch', 'torchvision', 'gradio'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )


def test_the_engine_works_without_gradio() -> None:
    names = [dotted(file) for file in modules() if "ui" not in file.relative_to(PACKAGE).parts]
    run_fresh(f"import sys; sys.modules['gradio'] = None\nimport {', '.join(names)}")


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["lint", "format"])
def test_ruff_is_clean(command: list[str]) -> None:
    ruff = subprocess.run([sys.executable, "-m", "ruff", *command, ROOT], capture_output=True)
    assert ruff.returncode == 0, ruff.stdout.decode()
