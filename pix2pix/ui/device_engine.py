"""Say where a page finds what draws on the visitor's own device: the runtime and a model's files.

The runtime is ONNX Runtime Web at the version of `runtime/package.json`: from npm's folder beside
it where it is installed, else from a public CDN, whose files the page checks before it runs them.
No gradio.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pix2pix.model_config import ModelConfig
from pix2pix.models.folder import GRAPH, WEIGHTS
from pix2pix.utils.files import write_atomically

MAX_HEADER = 2**24  # bytes of a safetensors file
SWITCH = "PIX2PIX_ON_DEVICE"  # "off": the server draws for everybody and gives no weights away
PACKAGE = "onnxruntime-web"
RUNTIME_FOLDER = Path(__file__).parent / "runtime"
INSTALLED = RUNTIME_FOLDER / "node_modules" / PACKAGE / "dist"
CDN = "https://cdn.jsdelivr.net/npm/{package}@{version}/dist/{file}"
# Of each of the two kinds the code and its binary, with what npm's files hash to.
RUNTIME = {
    "wasm": {
        "code": (
            "ort.wasm.bundle.min.mjs",
            "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG",
        ),
        "binary": (
            "ort-wasm-simd-threaded.wasm",
            "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM",
        ),
    },
    "webgpu": {
        "code": (
            "ort.webgpu.bundle.min.mjs",
            "sha384-1ntMeyj+z5diX6vBR5h+zlJBPc4iNvhCxE6nlammh8daBYcLBZkzrwDkuJjhwI+f",
        ),
        "binary": (
            "ort-wasm-simd-threaded.asyncify.wasm",
            "sha384-EPVDLTxuO663dkZO/pcKJF6vOyyfq/5z9FY1oksN0UWFX2ABH4wDDZQHeNoUleWR",
        ),
    },
}
RUNTIME_FILES = tuple(name for kind in RUNTIME.values() for name, _ in kind.values())


def runtime_version() -> str:
    """Return the version of the runtime that `package.json` pins."""
    package = json.loads((RUNTIME_FOLDER / "package.json").read_text(encoding="utf-8"))
    return package["dependencies"][PACKAGE]


def has_runtime(folder: Path = INSTALLED) -> bool:
    """Return whether npm's folder has every file that a page loads."""
    return all((folder / name).is_file() for name in RUNTIME_FILES)


def runtime_addresses(own: str | None) -> dict[str, Any]:
    """Return `{kind: {"code", "binary"}}`, each {"url"}: below `own`, else on the CDN with the
    "integrity" that the browser checks."""
    version = runtime_version()

    def address(name: str, digest: str) -> dict[str, str]:
        if own is not None:
            return {"url": f"{own}/{name}"}
        url = CDN.format(package=PACKAGE, version=version, file=name)
        return {"url": url, "integrity": digest}

    return {
        kind: {part: address(*file) for part, file in parts.items()}
        for kind, parts in RUNTIME.items()
    }


def is_switched_off() -> bool:
    """Return whether the server's owner lets no visitor's device draw."""
    return os.environ.get(SWITCH, "").lower() == "off"


def has_graph(folder: Path) -> bool:
    """Return whether a model has a graph that names places in its own weights, by the digest of
    their header that the graph holds (see ``onnx_graph``)."""
    try:
        with (folder / WEIGHTS).open("rb") as file:
            length = min(int.from_bytes(file.read(8), "little"), MAX_HEADER)
            digest = hashlib.sha256(file.read(length)).hexdigest()
        return digest.encode() in (folder / GRAPH).read_bytes()
    except OSError:
        return False


def engine_files(folder: Path, config: ModelConfig, place: str, runtime: dict) -> dict | None:
    """Return what the pad's engine needs of a model whose files are served below `place`, or
    None where it has no graph."""
    if not has_graph(folder):
        return None
    return {
        "graph": f"{place}/{GRAPH}",
        "weights": f"{place}/{WEIGHTS}",
        "bytes": (folder / WEIGHTS).stat().st_size,
        "sourceChannels": config.generator.source_channels,
        "targetChannels": config.generator.target_channels,
        "coloursGrey": config.colours_grey,
        "hasLabelSources": config.source_kind == "labels",
        "targetPalette": config.target_colours,
        "size": config.generator.size,
        "multiple": config.generator.multiple,
        "fit": config.fit,
        "runtime": runtime,
    }


def model_digest(folder: Path) -> str:
    """Return a digest of the model's graph and weights, read anew only when they change."""
    files = [folder / GRAPH, folder / WEIGHTS]
    return _digest(*((file, file.stat().st_mtime_ns, file.stat().st_size) for file in files))


@functools.lru_cache(maxsize=64)
def _digest(*files: tuple[Path, int, int]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for file, *_ in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def compressed(file: Path, folder: Path | None = None) -> Path:
    """Return the gzip of a file, made once, beside it or in `folder`."""
    packed = (folder or file.parent) / f"{file.name}.gz"
    if not packed.is_file() or packed.stat().st_mtime < file.stat().st_mtime:
        data = gzip.compress(file.read_bytes(), 6, mtime=0)
        write_atomically(packed, lambda partial: partial.write_bytes(data))
    return packed
