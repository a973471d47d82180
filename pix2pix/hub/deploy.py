"""Deploy the studio as a Hugging Face Space.

What is to be done is a list of calls of `huggingface_hub.HfApi`, so that a rehearsal shows exactly
what a deployment does.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pix2pix.errors import UserError
from pix2pix.hub.client import Token, check_repo_name, connect, hub_errors
from pix2pix.utils.text import printable

FILES = ("app.py", "requirements.txt", "packages.txt", "README.md", "LICENSE")
PICTURE_SUFFIXES = ".github"  # that the README and docs/ show
MOUNT = "/data"  # where a bucket lies in the Space
MAX_LISTED_FILES = 20  # items of a list
# Ours alone: what is not uploaded anew is deleted.
FOLDERS = ("pix2pix", "checkpoints", "docs", PICTURE_SUFFIXES)
MAX_WAIT = 1800.0  # seconds for building and starting: torch and its friends are large
POLL_SECONDS = 2.0  # seconds
INFO_CALLS = {"repo_info": ("Space", "repo_id"), "bucket_info": ("bucket", "bucket_id")}
FINAL_STAGES = 60.0  # seconds after which a stage is believed that may be an older version's


@dataclass(frozen=True)
class HubCall:
    """One function of `HfApi` with its arguments; `secret` names those that nobody may see."""

    function: str
    arguments: dict[str, Any]
    secret: tuple[str, ...] = ()

    def __str__(self) -> str:
        arguments = {k: "***" if k in self.secret else v for k, v in self.arguments.items()}
        words = ", ".join(f"{key}={_format_argument(value)}" for key, value in arguments.items())
        return f"{self.function}({words})"


def make_call(api: Any, call: HubCall) -> Any:
    """Make the call and return the Hub's answer. Plans ask for the info of what must be private,
    since what was there before stays as it was: a UserError where it is public."""
    answer = getattr(api, call.function)(**call.arguments)
    if call.function in INFO_CALLS and not answer.private:
        kind, name = INFO_CALLS[call.function]
        raise UserError(f"The {kind} {call.arguments[name]} is public: name a private or new one.")
    return answer


def _format_argument(value: Any) -> str:
    """Format an argument for people: a path, bytes as their number, of many files the first two."""
    if isinstance(value, list):
        more = [f"... {len(value)} in all"] if len(value) > MAX_LISTED_FILES else []
        return "[" + ", ".join([*map(_format_argument, value[: 2 if more else None]), *more]) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_format_argument, value)) + ")"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return repr(str(value)) if isinstance(value, Path) else repr(value)


def stage_files(root: Path, to: Path, models: list[str] | None = None) -> list[Path]:
    """Copy what a Space needs of the project at `root` into the new folder `to`; returns the files
    relative to it. `models` are names in `checkpoints/`, all of them unless told.

    Raises UserError where a model is missing or `to` is there already.
    """
    if to.exists():
        raise UserError(f"{to} is there already: name a folder that is not.")
    shipped = {folder.name for folder in (root / "checkpoints").glob("*/") if folder.is_dir()}
    if unknown := sorted(set(models or []) - shipped):
        names = ", ".join(sorted(shipped)) or "none"
        raise UserError(f"There is no model {printable(unknown[0])} in checkpoints/, only {names}.")
    chosen = [root / name for name in FILES]
    models = [f"checkpoints/{model}" for model in sorted(models or shipped)]
    for folder in ("pix2pix", "docs", PICTURE_SUFFIXES, *models):
        chosen += sorted((root / folder).rglob("*"))
    files = [
        file.relative_to(root)
        for file in chosen
        if file.is_file()
        and not {"__pycache__", "node_modules"} & {*file.parts}
        and not file.name.startswith(".")
    ]
    for file in files:
        (to / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / file, to / file)
    return files


def plan_space(
    name: str,
    folder: Path,
    *,
    hardware: str = "",
    private: bool = False,
    bucket: str = "",
    variables: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> list[HubCall]:
    """Plan the calls that make or update the Space `name` ("owner/name") of the staged `folder`.

    With a `bucket` ("owner/name") the workspace lies in it and outlives the Space's own disk. It
    must be private, and with `private` the Space too, also where they are there already.
    Raises UserError for what is no name.
    """
    from huggingface_hub import Volume

    space, variables = {"repo_id": name}, dict(variables or {})
    settings = []
    if bucket:
        check_repo_name(bucket)
        volume = Volume(type="bucket", source=bucket, mount_path=MOUNT)
        settings += private_bucket(bucket)
        settings.append(HubCall("set_space_volumes", {**space, "volumes": [volume]}))
        variables.setdefault("PIX2PIX_WORKSPACE", MOUNT)
    for key, value in variables.items():
        settings.append(HubCall("add_space_variable", {**space, "key": key, "value": value}))
    for key, value in (secrets or {}).items():
        secret = {**space, "key": key, "value": value}
        settings.append(HubCall("add_space_secret", secret, ("value",)))
    if hardware:
        settings.append(HubCall("request_space_hardware", {**space, "hardware": hardware}))
    upload = {"commit_message": "Deploy Pix2Pix Studio", "delete_patterns": _all_in(*FOLDERS)}
    return _space_calls(name, folder, "gradio", private, settings, upload)


def plan_static_space(name: str, folder: Path, *, private: bool = False) -> list[HubCall]:
    """Plan the calls that make or update the Space `name` ("owner/name") of static files: it has
    no server, costs nothing and never sleeps. Raises UserError for what is no name."""
    stale = _all_in("web", "models", "runtime")
    upload = {"commit_message": "Deploy a page of Pix2Pix Studio", "delete_patterns": stale}
    return _space_calls(name, folder, "static", private, [], upload)


def _all_in(*folders: str) -> list[str]:
    return [f"{folder}/*" for folder in folders]


def _space_calls(
    name: str,
    folder: Path,
    sdk: str,
    private: bool,
    settings: list[HubCall],
    upload: dict[str, Any],
) -> list[HubCall]:
    """Plan to make a Space, change its settings, upload the folder, and look whether it runs."""
    check_repo_name(name)
    space = {"repo_id": name, "repo_type": "space"}
    made = {**space, "space_sdk": sdk, "private": private, "exist_ok": True}
    look = [HubCall("repo_info", {**space, "expand": ["private"]})] if private else []
    return [
        HubCall("create_repo", made), *look, *settings,
        HubCall("upload_folder", {**space, "folder_path": folder, **upload}),
        HubCall("get_space_runtime", {"repo_id": name}),
    ]  # fmt: skip


def private_bucket(bucket: str) -> list[HubCall]:
    """Plan the calls that make a bucket, and check that an existing one is private."""
    made = HubCall("create_bucket", {"bucket_id": bucket, "private": True, "exist_ok": True})
    return [made, HubCall("bucket_info", {"bucket_id": bucket})]


def deploy(
    calls: list[HubCall],
    token: Token,
    on_call: Callable[[HubCall], None] = lambda call: None,
) -> str:
    """Make the calls in order, the last one until the Space runs what was uploaded, and return the
    Space's address.

    Raises UserError where the Hub refuses, a Space or bucket is public that must not be, or the
    Space does not run in the end.
    """
    name = calls[0].arguments["repo_id"]
    answer = None
    with hub_errors(name, "write to", token, kind="Space"):
        api = connect(token)
        for call in calls[:-1]:
            on_call(call)
            answer = make_call(api, call)
        on_call(calls[-1])
        stage = _wait_for_stage(lambda: make_call(api, calls[-1]), name, answer.oid)
    if stage != "RUNNING":
        raise UserError(f"{name} does not run ({stage}): its page on the Hub has the log.")
    return f"{api.endpoint}/spaces/{name}"


def _wait_for_stage(look: Callable[[], Any], name: str, commit: str) -> str:
    """Wait until the Space rests with the uploaded `commit`; returns its stage.

    What the Hub says first may be of the version before: one that runs is not ours while its
    commit is another, and what may be old news in other ways counts only when it has lasted.
    """
    start = since = time.monotonic()
    last = ""
    while time.monotonic() - start < MAX_WAIT:
        runtime = look()
        stage, sha = str(getattr(runtime.stage, "value", runtime.stage)), runtime.raw.get("sha")
        if stage != last:
            last, since = stage, time.monotonic()
        rests = not stage.endswith(("BUILDING", "STARTING"))
        is_ours = sha == commit and stage != "NO_APP_FILE"
        may_be = not (stage == "RUNNING" and sha) and time.monotonic() - since >= FINAL_STAGES
        if rests and (is_ours or may_be):
            return stage
        time.sleep(POLL_SECONDS)
    raise UserError(
        f"{name} does not run the new version after {MAX_WAIT / 60:.0f} minutes ({last}): look at "
        "its page."
    )
