"""Dataset repositories against a small Hub of our own: a server that speaks the Hub's protocol."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import traceback
import zipfile
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import yaml
from PIL import Image

from pix2pix.errors import Cancelled, UserError
from pix2pix.hub.client import parse_repo
from pix2pix.hub.dataset_repo import dataset_card
from pix2pix.hub.datasets import pull_dataset, push_dataset
from pix2pix.utils.text import strip_folders
from tests.support.fake_hub import READER, WRITER, Hub

ID = "ann/faces"
TABLES = [f"pairs/{split}-00000.parquet" for split in ("train", "validation", "test")]


def picture(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def strips(**more: bytes) -> dict[str, bytes]:
    names = ["train/1.png", "train/2 ü.png", "val/3.png", "test/4.png"]
    return {**{name: picture(seed) for seed, name in enumerate(names)}, **more}


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def refusal(hub: Hub, into: Path, repo: str = ID, **options: object) -> str:
    """The sentence with which a pull is refused; it left nothing and told no token."""
    with pytest.raises(UserError) as caught:
        pull_dataset(repo, into, **options)
    assert not into.parent.exists() or not list(into.parent.iterdir())
    told = "".join(traceback.format_exception(caught.value))
    token = options.get("token")
    assert not isinstance(token, str) or token.strip() not in told
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    return sentence


# ------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann/faces", ("ann/faces", None)),
        (" ann/faces ", ("ann/faces", None)),
        ("ann/faces@v1.0", ("ann/faces", "v1.0")),
        ("ann/faces@refs/pr/3", ("ann/faces", "refs/pr/3")),
        ("https://huggingface.co/datasets/ann/faces", ("ann/faces", None)),
        ("https://huggingface.co/datasets/ann/faces/", ("ann/faces", None)),
        ("https://huggingface.co/datasets/ann/faces?row=3#top", ("ann/faces", None)),
        ("https://huggingface.co/datasets/ann/fa.ces-2/tree/main", ("ann/fa.ces-2", "main")),
        ("https://hf.co/datasets/ann/faces/tree/refs%2Fpr%2F3", ("ann/faces", "refs/pr/3")),
    ],
)
def test_names_and_addresses_of_datasets_are_understood(text, expected):
    assert parse_repo(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *["", "faces", "/faces", "ann/", "ann/faces/train", "ann faces", "ann/../faces"],
        *["ann/faces@", "ann/faces@../x", "ann/faces@-x", "ann/fa--ces", "ann/faces.git"],
        *["../faces", "ünn/faces", "ann/faces\nx", "ann/faces@" + "x" * 300, "a" * 200 + "/b"],
        *["https://huggingface.co/ann/faces", "https://huggingface.co/datasets/faces"],
        *["https://evil.example/datasets/ann/faces", "file:///etc/passwd"],
        "https://huggingface.co/datasets/ann/faces/tree/..%2F..",
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(UserError, match="owner/name"):
        parse_repo(text)


# ---------------------------------------------------------------------------------------- pulling


def test_a_pull_takes_the_dataset_and_leaves_the_rest(hub, tmp_path):
    rest = {"README.md": b"card", "train/notes.txt": b"n", "train/.hidden.png": b"h"}
    rest |= {"docs/preview.png": picture(9), ".cache/x.png": b"c", "all.zip": b"z" * 5000}
    sha = hub.commit(ID, {**strips(), "dataset.json": b"{}", **rest})
    progress = []
    done = pull_dataset(
        ID,
        tmp_path / "d" / "faces",
        on_progress=lambda *at: progress.append(at),
    )
    expected = {**strips(), "dataset.json": b"{}"}
    assert tree(tmp_path / "d") == {f"faces/{name}": content for name, content in expected.items()}
    total = sum(map(len, expected.values()))
    assert done == {"repo_id": ID, "commit": sha, "files": 5, "bytes": total, "archives": []}
    assert progress == [(i, 5) for i in range(6)]


def test_a_pull_is_of_one_commit_though_the_branch_moves_on(hub, tmp_path):
    old = hub.commit(ID, strips())
    hub.after_info = lambda: hub.commit(ID, {"train/other.png": picture(5)})
    done = pull_dataset(ID, tmp_path / "faces")
    assert (done["commit"], tree(tmp_path / "faces")) == (old, strips())
    assert hub.paths("/tree/") and all(old in path for path in hub.paths("/(tree|resolve)/"))


def test_a_named_revision_is_taken(hub, tmp_path):
    old = hub.commit(ID, strips())
    hub.commit(ID, {"train/other.png": picture(5)})
    done = pull_dataset(f"{ID}@{old}", tmp_path / "faces")
    assert (done["commit"], tree(tmp_path / "faces")) == (old, strips())
    assert "no such revision" in refusal(hub, tmp_path / "none" / "x", f"{ID}@v9")


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        (["trainA/1.png", "trainB/1.JPG", "x.png"], ["trainA/1.png", "trainB/1.JPG"]),
        (["photos/1.png", "sketches/a/1.jpg", "a.txt"], ["photos/1.png", "sketches/a/1.jpg"]),
        (["data.zip", "docs/preview.png"], ["data.zip"]),
        (["data.tar.gz", "more.npz", "sub/other.zip"], ["data.tar.gz", "more.npz"]),
        (["validation/1.png", "training/1.png"], ["training/1.png", "validation/1.png"]),
    ],
    ids=["two folders", "anywhere", "archive", "archives at the top", "other names"],
)
def test_what_is_taken_depends_on_what_is_there(hub, tmp_path, files, taken):
    weights = {".zip": 500, ".gz": 300, ".npz": 300}
    content = {name: b"x" * weights.get(Path(name).suffix, 100) for name in files}
    hub.commit(ID, content)
    done = pull_dataset(ID, tmp_path / "faces")
    assert tree(tmp_path / "faces") == {name: content[name] for name in taken}
    packed = [name for name in taken if Path(name).suffix in weights]
    assert done["archives"] == [tmp_path / "faces" / name for name in packed]


@pytest.mark.parametrize(
    ("files", "options", "words"),
    [
        ({"data/1.parquet": b"p", "README.md": b"r"}, {}, "no pictures.*tables"),
        ({"README.md": b"r"}, {}, "no pictures"),
        (strips(), {"max_files": 3}, "more than 3 files"),
        (strips(), {"max_bytes": 900}, "GB.*smaller"),
        (strips(**{"train/../../x.png": b"p"}), {}, "leads out of its folder"),
        (strips(**{"train/C:\\x.png": b"p"}), {}, "no relative path"),
        (strips(**{"train/nul.png": b"p"}), {}, "Windows cannot store"),
        (strips(**{"train/1.PNG": b"p"}), {}, "there twice"),
        ({"/etc.zip": b"p", "..zip": b"p", "x/..png": b"p"}, {}, "no pictures"),
    ],
    ids=["tables", "nothing", "files", "bytes", "out", "absolute", "device", "case", "hidden"],
)
def test_what_must_not_be_taken_is_refused_before_any_file(hub, tmp_path, files, options, words):
    hub.commit(ID, files)
    assert re.search(words, refusal(hub, tmp_path / "d" / "faces", **options))
    assert hub.paths("/resolve/") == []


def test_a_listing_that_is_too_long_is_not_read_to_its_end(hub, tmp_path):
    hub.commit(ID, {f"train/{i}.png": b"p" for i in range(50)})
    refusal(hub, tmp_path / "d" / "faces", max_files=10)
    assert len(hub.paths("/tree/")) == 4  # pages of three


def test_more_than_the_disk_holds_is_refused(hub, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("pix2pix.hub.datasets.shutil.disk_usage", lambda path: usage)
    hub.commit(ID, strips())
    assert "make room" in refusal(hub, tmp_path / "d" / "faces")


@pytest.mark.parametrize(
    ("repo", "token", "words"),
    [
        ("ann/none", None, "no public dataset ann/none"),
        ("ann/none", READER, "no dataset ann/none that the token may read"),
        ("ann/secret", None, "give a token"),
        ("ann/secret", "hf_unknown", "does not accept the token"),
        ("ann/terms", READER, "terms to accept"),
    ],
)
def test_who_may_not_read_hears_why(hub, tmp_path, repo, token, words):
    hub.commit("ann/secret", strips(), private=True)
    hub.commit("ann/terms", strips())
    hub.gated.add("ann/terms")
    assert words in refusal(hub, tmp_path / "d" / "faces", repo, token=token)


def test_a_private_dataset_comes_with_a_token_that_is_nowhere_on_the_disk(hub, tmp_path):
    hub.commit(ID, strips(), private=True)
    pull_dataset(ID, tmp_path / "faces", token=f" {READER}\n")
    assert tree(tmp_path / "faces") == strips()
    assert {authorization for *_, authorization in hub.asked} == {f"Bearer {READER}"}
    assert all(READER.encode() not in content for content in tree(tmp_path).values())


def test_a_login_of_this_machine_is_used_only_when_told(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", READER)
    hub.commit(ID, strips(), private=True)
    assert "no public dataset" in refusal(hub, tmp_path / "d" / "faces")
    assert {authorization for *_, authorization in hub.asked} == {""}
    pull_dataset(ID, tmp_path / "faces", token=True)
    assert tree(tmp_path / "faces") == strips()


@pytest.mark.parametrize("token", ["hf_sec\nret", "hf_sécret", "hf_sec ret"])
def test_a_damaged_token_is_refused_without_being_shown(hub, tmp_path, token):
    assert "copy it" in refusal(hub, tmp_path / "d" / "faces", token=token)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("status", "words"), [(500, "error 500"), (429, "too often"), (403, "may not read")]
)
def test_a_hub_in_trouble_is_reported(hub, tmp_path, status, words):
    hub.commit(ID, strips())
    hub.broken = status
    assert words in refusal(hub, tmp_path / "d" / "faces", token=READER)


def test_no_network_is_reported(hub, tmp_path, monkeypatch):
    nobody = "http://127.0.0.1:1"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", nobody)
    assert "cannot be reached" in refusal(hub, tmp_path / "d" / "faces")


def test_a_page_that_is_not_the_hubs_is_reported(hub, tmp_path):
    hub.broken = 200  # as the login page of a hotel answers
    assert "login page" in refusal(hub, tmp_path / "d" / "faces")


def test_offline_mode_is_reported(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refusal(hub, tmp_path / "d" / "faces")


def test_a_failure_amid_the_files_leaves_nothing(hub, tmp_path):
    hub.commit(ID, strips())
    hub.forbidden = "val/3.png"
    assert "may not read" in refusal(hub, tmp_path / "d" / "faces", token=READER)


def test_a_folder_that_is_there_stays_as_it_is(hub, tmp_path):
    hub.commit(ID, strips())
    write(tmp_path / "faces", {"mine.txt": b"mine"})
    with pytest.raises(UserError, match="exists already"):
        pull_dataset(ID, tmp_path / "faces")
    assert tree(tmp_path) == {"faces/mine.txt": b"mine"}


def test_a_stop_between_two_files_leaves_nothing(hub, tmp_path):
    hub.commit(ID, {f"train/{i}.png": picture(i) for i in range(40)})
    progress = []
    with pytest.raises(Cancelled):
        pull_dataset(
            ID,
            tmp_path / "d" / "faces",
            should_stop=lambda: len(progress) > 3,
            on_progress=lambda *at: progress.append(at),
        )
    assert tree(tmp_path) == {} and progress[-1][0] < 40


def test_a_stop_amid_a_large_file_leaves_nothing(hub, tmp_path):
    hub.commit(ID, {"data.zip": bytes(25_000_000)})
    with pytest.raises(Cancelled):
        pull_dataset(
            ID,
            tmp_path / "d" / "faces",
            should_stop=lambda: ("GET", f"/datasets/{ID}/resolve") in began(hub),
        )
    assert tree(tmp_path) == {}


def began(hub: Hub) -> set[tuple[str, str]]:
    return {(method, path.partition("/resolve")[0] + "/resolve") for method, path, _ in hub.asked}


# ---------------------------------------------------------------------------------------- pushing


def built(folder: Path) -> Path:
    said = {
        "title": "faces",
        "inputs": {"source": "/home/ann/my sketches", "target": "C:\\Users\\ann\\photos"},
        "pairs": [{"name": "1", "source": "a/1.png"}],
    }
    rest = {"train/Thumbs.db": b"t", "notes.txt": b"n", "train/.hidden.png": b"h", "x.png": b"x"}
    return write(folder, {**strips(), "dataset.json": json.dumps(said).encode(), **rest})


def push(hub: Hub, folder: Path, **options: object) -> str:
    return push_dataset(folder, ID, **{"token": WRITER, "card": "# Faces\n", **options})


def test_a_push_makes_a_private_repository_in_one_commit(hub, tmp_path):
    progress = []
    address = push(hub, built(tmp_path), on_progress=lambda *at: progress.append(at))
    assert address == f"{hub.endpoint}/datasets/{ID}"
    assert hub.private[ID] and len(hub.sent) == 1
    files = hub.files()
    assert files.pop(".gitattributes") and files.pop("README.md") == b"# Faces\n"
    assert all(files.pop(name)[:4] == b"PAR1" for name in TABLES)
    said = json.loads(files.pop("dataset.json"))
    assert said["inputs"] == {"source": "my sketches", "target": "photos"}
    assert said["pairs"] == [{"name": "1", "source": "a/1.png"}]
    assert files == strips()
    posts = [path.split("/")[-2:] for method, path, _ in hub.asked if method == "POST"]
    steps = ["repos/create", "preupload/main", "api/validate-yaml", "commit/main"]
    assert ["/".join(post) for post in posts] == steps
    assert {authorization for *_, authorization in hub.asked} == {f"Bearer {WRITER}"}
    assert progress == [(9, 9)]


def test_what_was_pushed_is_pulled_again(hub, tmp_path):
    push(hub, built(tmp_path / "one"))
    done = pull_dataset(ID, tmp_path / "two", token=READER)
    found = tree(tmp_path / "two")
    assert found.pop("dataset.json") and found == strips()
    assert done["commit"] == hub.commits[ID][-1][0]


def test_large_files_go_by_lfs_and_small_ones_in_the_commit(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("pix2pix.hub.client.BATCH", 2)
    hub.large = 300
    progress = []
    push(hub, built(tmp_path), on_progress=lambda *at: progress.append(at))
    kinds = {line["value"].get("path"): line["key"] for line in hub.sent[0]}
    assert kinds["train/1.png"] == "lfsFile" and kinds["README.md"] == "file"
    assert {name: hub.files()[name] for name in strips()} == strips()
    assert progress == [*((done, 9) for done in (2, 4, 6, 8)), (9, 9)]


def test_a_second_push_replaces_the_pairs_and_nothing_else(hub, tmp_path):
    old = {"LICENSE": b"mit", "docs/p.png": b"d", "train/old.png": b"o"}
    hub.commit(ID, strips(**old, **dict.fromkeys(TABLES, b"o")), True)
    (built(tmp_path) / "val/3.png").unlink()
    push(hub, tmp_path)
    expected = {name: content for name, content in strips().items() if name != "val/3.png"}
    expected |= {"LICENSE": b"mit", "docs/p.png": b"d", "README.md": b"# Faces\n"}
    files = hub.files()
    tables = {name: files.pop(name)[:4] for name in TABLES if name in files}
    assert tables == dict.fromkeys([TABLES[0], TABLES[2]], b"PAR1")
    assert {name: c for name, c in files.items() if name != "dataset.json"} == expected
    assert len(hub.sent) == 1


def test_what_shall_be_private_never_goes_to_a_public_repository(hub, tmp_path):
    hub.commit(ID, {"README.md": b"old"})
    with pytest.raises(UserError, match="there and public"):
        push(hub, built(tmp_path))
    assert hub.sent == [] and hub.paths("preupload") == []
    push(hub, tmp_path, private=False)
    assert len(hub.sent) == 1


@pytest.mark.parametrize(
    ("token", "words"),
    [
        (None, "needs a token"),
        ("", "needs a token"),
        (READER, "may not write"),
        ("hf x", "copy it"),
    ],
)
def test_a_push_needs_the_right_to_write(hub, tmp_path, token, words):
    with pytest.raises(UserError, match=words) as caught:
        push(hub, built(tmp_path), token=token)
    assert not token or token not in "".join(traceback.format_exception(caught.value))
    assert hub.sent == [] and ID not in hub.commits


def test_a_stop_comes_before_the_commit(hub, tmp_path):
    with pytest.raises(Cancelled):
        push(hub, built(tmp_path), should_stop=lambda: bool(hub.paths("/tree/")))
    assert hub.sent == []


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.png": b"p"}, "no pictures in train"),
        ({"train/1.png": b"p", "dataset.json": b"{"}, "damaged"),
    ],
)
def test_a_folder_that_is_no_dataset_is_not_sent(hub, tmp_path, files, words):
    with pytest.raises(UserError, match=words):
        push(hub, write(tmp_path, files))
    assert hub.asked == []


def test_a_push_goes_to_no_other_revision(hub, tmp_path):
    with pytest.raises(UserError, match="without a revision"):
        push_dataset(built(tmp_path), f"{ID}@v1", token=WRITER, card="")


def test_more_pictures_than_the_hub_takes_are_not_sent(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("pix2pix.hub.datasets.MAX_IN_FOLDER", 1)
    with pytest.raises(UserError, match="train holds 2 pictures"):
        push(hub, built(tmp_path))
    assert hub.asked == []


# --------------------------------------------------------------------------------------- the card


def front_and_text(card: str) -> tuple[dict, str]:
    _, front, text = card.split("---\n", 2)
    return yaml.safe_load(front), text


MADE = {
    "source_name": "sketch",
    "target_name": "photo",
    "rule": "stem",
    "explanation": "equal names in /home/ann/my and C:\\Users\\ann\\b",
    "inputs": {"source": "/home/ann/a", "target": "/home/ann/b", "derive": ""},
    "recipe": {"size": 128, "fit": "pad", "split": [0.8, 0.1, 0.1], "seed": 7},
    "counts": {"pairs": 10, "train": 8, "val": 1, "test": 1},
    "refused": [{"file": "/home/ann/a/9.png", "kind": "unmatched"}] * 2 + [{"kind": "damaged"}],
}


def test_the_card_says_what_the_pairs_are():
    said = {"name": "Faces", "about": "Drawn by Ann", "license": "cc-by-4.0", "repo_id": ID}
    front, text = front_and_text(dataset_card(said, MADE))
    assert front == {
        "pretty_name": "Faces",
        "license": "cc-by-4.0",
        "task_categories": ["image-to-image"],
        "tags": ["pix2pix", "image-to-image", "paired"],
    }
    plain = text.replace("\\", "")
    for words in (
        *["# Faces", "Drawn by Ann", "sketch -> photo", "| train | 8 |", "| all | 10 |"],
        *["128 x 128 pixels, padded", "rule stem: equal names", "0.8, 0.1, 0.1", "seed 7"],
        *["2 unmatched, 1 damaged", f"give `{ID}`"],
    ):
        assert words in plain
    assert "ann/" not in plain.replace(ID, "") and "home" not in plain and "Users" not in plain


def test_the_hub_accepts_the_card_as_metadata():
    data = huggingface_hub.DatasetCard(dataset_card({}, MADE, ["train", "val"])).data
    assert data.license == "other"
    (config,) = data.configs
    assert config["data_files"] == [
        {"split": "train", "path": "pairs/train-*.parquet"},
        {"split": "validation", "path": "pairs/validation-*.parquet"},
    ]


def test_a_derived_source_is_named():
    made = {**MADE, "inputs": {"source": "/home/ann/a", "target": None, "derive": "lines-pencil"}}
    assert "made from the target: lines-pencil" in dataset_card({}, made)


@pytest.mark.parametrize("made", [{}, {"counts": [1], "recipe": 3, "refused": {}, "inputs": "x"}])
def test_a_card_needs_no_dataset_json(made):
    front, text = front_and_text(dataset_card({}, made))
    assert front["license"] == "other" and "# Pairs" in text


EVIL = (
    "x\n---\nlicense: mit\n# Big\n<script>alert(1)</script> ![i](http://e.x/i) [l](e.x) `c` | $$x$$"
)


@pytest.mark.parametrize("start", ["", "- ", "> ", "1. ", "=\n", "    ", "\u202e"])
def test_what_people_write_stays_text(start):
    render = pytest.importorskip("markdown_it").MarkdownIt("gfm-like", {"linkify": False}).render
    said = {"name": start + EVIL, "about": start + EVIL, "license": EVIL, "repo_id": EVIL}
    made = {**MADE, "source_name": EVIL, "explanation": EVIL, "counts": {EVIL: EVIL}}
    front, text = front_and_text(dataset_card(said, made))
    assert front["license"] == "other" and "\n" not in front["pretty_name"]
    html, model = render(text), render(front_and_text(dataset_card({"about": "x"}, MADE))[1])
    assert re.findall(r"<(\w+)", html).count("tr") == 2
    outside = [re.sub(r"<table>.*</table>", "", page, flags=re.S) for page in (html, model)]
    tags = [re.findall(r"</?\w+", page) for page in outside]
    assert [tag for tag in tags[0] if tag != "</code"] and set(tags[0]) <= set(tags[1])
    assert tags[0].count("<h1") == 1 and "alert(1)" in html


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ann/my photos", "my photos"),
        ("C:\\Users\\ann\\a.png", "a.png"),
        ("\\\\server\\share\\a.png", "a.png"),
        ("in /home/ann/a.png and C:/x/b.png.", "in a.png and b.png."),
        ("see '/home/ann/a.png'", "see 'a.png'"),
        ("a/b.png, 1/2 and/or", "a/b.png, 1/2 and/or"),
        ("https://e.org/a/b", "https://e.org/a/b"),
        ({"/home/ann/x": ["/home/ann/y", 3, None]}, {"x": ["y", 3, None]}),
    ],
)
def test_absolute_paths_lose_their_folders(text, expected):
    assert strip_folders(text) == expected


def test_hub_modules_import_neither_the_hubs_library_nor_torch():
    code = (
        "import sys, pix2pix.hub.datasets\n"
        "heavy = {'torch', 'gradio', 'huggingface_hub', 'httpx2'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_archive_is_left_packed_and_its_path_returned(hub, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in strips().items():
            packed.writestr(name, content)
    hub.commit(ID, {"faces.zip": buffer.getvalue(), "README.md": b"r"})
    done = pull_dataset(ID, tmp_path / "faces")
    assert done["archives"] == [tmp_path / "faces" / "faces.zip"]
    assert done["archives"][0].read_bytes() == buffer.getvalue()
