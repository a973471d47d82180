"""Follow a run on Hugging Face Jobs: look at its job, fetch what is new, say its state.

How it got there, and what lies where in the bucket, `launch` says.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import Any

from pix2pix.errors import UserError
from pix2pix.hub.client import TOKENS, connect, hub_errors
from pix2pix.training import run_folder
from pix2pix.utils import files as utils_files
from pix2pix.utils.files import copy_folder, write_json

FINAL_STATES = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
FIGURES = ("step", "steps", "epoch", "seconds_per_step", "memory_mib", "updated")
_SMALL = re.compile(r"(metrics|validation)\.jsonl|samples/step-\d{7}\.png", re.ASCII)
_MODEL = re.compile(
    r"(model|checkpoints/step-\d{7})/\w[\w-]*\.(json|md|onnx|safetensors)", re.ASCII
)


def read_job(run: Path) -> dict[str, Any]:
    """Read `job.json`; raises UserError where it is missing or damaged."""
    if not run_folder.is_remote(run):
        raise UserError(f"'{run.name}' was not sent to Jobs: choose a run that was.")
    try:
        job = json.loads((run / run_folder.JOB_FILE).read_text(encoding="utf-8"))
        values = [job[key] for key in ("job_id", "namespace", "bucket", "prefix", "flavour", "url")]
        if all(isinstance(value, str) for value in values) and isinstance(job["files"], dict):
            return job
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(
        f"{run.name}/{run_folder.JOB_FILE} is damaged: the run cannot be followed any more."
    )


def sync_remote(run: Path, token: str, endpoint: str | None = None) -> run_folder.Status:
    """Look at the job of a run, fetch what is new and return the run's state.

    Losses and pictures come at every look, models once the job is over, and only when they are
    there is the run over too; the state to resume from stays in the bucket. Raises UserError, and
    then nothing that was there is lost.
    """
    require_token(token)
    job = read_job(run)
    if not job["job_id"]:
        write_sentence(
            run, "failed", "It was cut off while it was sent: send it again by another name."
        )
        return run_folder.read_status(run)
    api = connect(token, endpoint)
    with hub_errors(f"of {job['namespace']}", "see", token, kind="job"):
        info = api.inspect_job(job_id=job["job_id"], namespace=job["namespace"])
    stage = str(getattr(info.status.stage, "value", info.status.stage))
    with hub_errors(job["bucket"], "read", token, kind="bucket"):
        status = _fetch(api, run, job, is_over=stage in FINAL_STATES)
        figures = {key: status[key] for key in FIGURES if _is_finite(status.get(key))}
        state, sentence = _describe_state(stage, info, job, status)
        run_folder.write_status(run, state=state, sentence=sentence, looked=time.time(), **figures)
    return run_folder.read_status(run)


def _describe_state(
    stage: str, info: Any, job: dict[str, Any], status: dict[str, Any]
) -> tuple[str, str]:
    """Return (state of the run, sentence) from the stage of its job and its own status."""
    sentence = str(status.get("sentence") or "")[:500]
    state = status.get("state")
    if stage == "SCHEDULING":
        return "starting", f"Hugging Face looks for a machine: {job['flavour']}."
    if stage not in FINAL_STATES:
        if state == "running":
            return "running", sentence
        if state in (*run_folder.RESUMABLE, "finished"):
            return "running", "Its last files are being saved."
        return "starting", "The machine installs what training needs, which takes minutes."
    if state == "finished" or (state == "failed" and sentence):
        return state, sentence
    if stage == "CANCELED":
        return "stopped", "Its job was cancelled; what it saved last is here."
    message = str(info.status.message or "")
    ran = info.durations.running_secs if info.durations else None
    if "timeout" in message.lower() or (ran or 0) >= job["timeout"]:
        return "stopped", "The time limit of its job was over: resume it there with more time."
    if stage == "COMPLETED" and state in run_folder.RESUMABLE:
        return state, sentence
    reason = message or ("deleted" if stage == "DELETED" else "no reason was given")
    return "failed", f"Its job ended ({reason}): its log is at {job['url']}."


def _fetch(api: Any, run: Path, job: dict[str, Any], *, is_over: bool) -> dict[str, Any]:
    """Bring what is new of the run folder here and return what its `status.json` says."""
    top, known = f"{job['prefix']}/run", job["files"]
    listed = api.list_bucket_tree(job["bucket"], prefix=top, recursive=True)
    remote = {f.path.removeprefix(f"{top}/"): f for f in listed if f.type == "file"}
    changed = {name for name, file in remote.items() if known.get(name) != file.xet_hash}
    small = {name for name in changed if _SMALL.fullmatch(name)}
    models = {str(PurePosixPath(n).parent) for n in changed if is_over and _MODEL.fullmatch(n)}
    model_files = {
        n for n in remote if _MODEL.fullmatch(n) and str(PurePosixPath(n).parent) in models
    }
    names = small | model_files | ({"status.json"} & remote.keys())
    with tempfile.TemporaryDirectory(prefix=".fetched-", dir=run) as folder:
        place = Path(folder)
        files = [(remote[name], place / name) for name in sorted(names)]
        for _, file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
        api.download_bucket_files(job["bucket"], files)
        for name in sorted(small):
            _write_file(place / name, run / name)
        for model in models:
            copy_folder(place / model, run / model)
        status = utils_files.read_json_object(place / "status.json")
    if small | model_files:
        hashes = {name: remote[name].xet_hash for name in small | model_files}
        write_json(run / run_folder.JOB_FILE, {**job, "files": {**known, **hashes}})
    return status


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _write_file(new: Path, old: Path) -> None:
    """Write a file; lines are added to those that are there: who reads them reads on."""
    old.parent.mkdir(parents=True, exist_ok=True)
    if new.suffix == ".jsonl" and old.exists():
        content, have = new.read_bytes(), old.read_bytes()
        if content.startswith(have):
            with old.open("ab") as file:
                file.write(content[len(have) :])
            return
    os.replace(new, old)


def require_token(token: str) -> None:
    if not (isinstance(token, str) and token.strip()):
        raise UserError(f"Jobs need a token that may write and start jobs: make one at {TOKENS}.")


def write_sentence(run: Path, state: str, sentence: str, **more: Any) -> None:
    now = time.time()
    run_folder.write_status(run, state=state, sentence=sentence, updated=now, looked=now, **more)
