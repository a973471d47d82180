"""A run on Hugging Face Jobs as its folder here knows it: looked at, fetched, told in a sentence.

How it got there, and what lies where in the bucket, is said in `jobs`.
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

from pix2pix import runs
from pix2pix.errors import UserError
from pix2pix.files import copy_folder, write_json
from pix2pix.hub_access import TOKENS, connect, sentences

OVER = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
FIGURES = ("step", "steps", "epoch", "seconds_per_step", "memory_mib", "updated")
_SMALL = re.compile(r"(metrics|validation)\.jsonl|samples/step-\d{7}\.png", re.ASCII)
_MODEL = re.compile(r"(model|checkpoints/step-\d{7})/\w[\w-]*\.(json|md|safetensors)", re.ASCII)


def read_job(run: Path) -> dict[str, Any]:
    """What `job.json` says; a UserError where it is missing or damaged."""
    if not runs.is_remote(run):
        raise UserError(f"'{run.name}' was not sent to Jobs: choose a run that was.")
    try:
        job = json.loads((run / runs.JOB).read_text(encoding="utf-8"))
        told = [job[key] for key in ("job_id", "namespace", "bucket", "prefix", "flavour", "url")]
        if all(isinstance(value, str) for value in told) and isinstance(job["files"], dict):
            return job
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(f"{run.name}/{runs.JOB} is damaged: the run cannot be followed any more.")


def sync_remote(run: Path, token: str, endpoint: str | None = None) -> runs.Status:
    """Look at the job of a run, fetch what is new and return the run's state.

    Losses and pictures come at every look, models once the job is over, and only when they are
    there is the run over too; the state to resume from stays in the bucket. Raises UserError, and
    then nothing that was there is lost.
    """
    need_token(token)
    job = read_job(run)
    if not job["job_id"]:
        say(run, "failed", "It was cut off while it was sent: send it again by another name.")
        return runs.read_status(run)
    api = connect(token, endpoint)
    with sentences(f"of {job['namespace']}", "see", token, kind="job"):
        info = api.inspect_job(job_id=job["job_id"], namespace=job["namespace"])
    stage = str(getattr(info.status.stage, "value", info.status.stage))
    with sentences(job["bucket"], "read", token, kind="bucket"):
        said = _fetch(api, run, job, is_over=stage in OVER)
        figures = {key: said[key] for key in FIGURES if _is_finite(said.get(key))}
        state, sentence = _state(stage, info, job, said)
        runs.write_status(run, state=state, sentence=sentence, looked=time.time(), **figures)
    return runs.read_status(run)


def _state(stage: str, info: Any, job: dict[str, Any], said: dict[str, Any]) -> tuple[str, str]:
    """(state of the run, sentence) from the stage of its job and what the run says of itself."""
    told = str(said.get("sentence") or "")[:500]
    own = said.get("state")
    if stage == "SCHEDULING":
        return "starting", f"Hugging Face looks for a machine: {job['flavour']}."
    if stage not in OVER:
        if own == "running":
            return "running", told
        if own in (*runs.RESUMABLE, "finished"):
            return "running", "Its last files are being saved."
        return "starting", "The machine installs what training needs, which takes minutes."
    if own == "finished" or (own == "failed" and told):
        return own, told
    if stage == "CANCELED":
        return "stopped", "Its job was cancelled; what it saved last is here."
    message = str(info.status.message or "")
    ran = info.durations.running_secs if info.durations else None
    if "timeout" in message.lower() or (ran or 0) >= job["timeout"]:
        return "stopped", "The time limit of its job was over: resume it there with more time."
    if stage == "COMPLETED" and own in runs.RESUMABLE:
        return own, told
    reason = message or ("deleted" if stage == "DELETED" else "no reason was given")
    return "failed", f"Its job ended ({reason}): its log is at {job['url']}."


def _fetch(api: Any, run: Path, job: dict[str, Any], *, is_over: bool) -> dict[str, Any]:
    """Bring what is new of the run folder here and return what its `status.json` says."""
    top, known = f"{job['prefix']}/run", job["files"]
    listed = api.list_bucket_tree(job["bucket"], prefix=top, recursive=True)
    there = {f.path.removeprefix(f"{top}/"): f for f in listed if f.type == "file"}
    changed = {name for name, file in there.items() if known.get(name) != file.xet_hash}
    small = {name for name in changed if _SMALL.fullmatch(name)}
    models = {str(PurePosixPath(n).parent) for n in changed if is_over and _MODEL.fullmatch(n)}
    whole = {n for n in there if _MODEL.fullmatch(n) and str(PurePosixPath(n).parent) in models}
    wanted = small | whole | ({"status.json"} & there.keys())
    with tempfile.TemporaryDirectory(prefix=".fetched-", dir=run) as folder:
        place = Path(folder)
        files = [(there[name], place / name) for name in sorted(wanted)]
        for _, file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
        api.download_bucket_files(job["bucket"], files)
        for name in sorted(small):
            _put(place / name, run / name)
        for model in models:
            copy_folder(place / model, run / model)
        said = runs.read_object(place / "status.json")
    if small | whole:
        hashes = {name: there[name].xet_hash for name in small | whole}
        write_json(run / runs.JOB, {**job, "files": {**known, **hashes}})
    return said


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _put(new: Path, old: Path) -> None:
    """Lines are added to those that are there, where they go on: whoever reads them reads on."""
    old.parent.mkdir(parents=True, exist_ok=True)
    if new.suffix == ".jsonl" and old.exists():
        content, have = new.read_bytes(), old.read_bytes()
        if content.startswith(have):
            with old.open("ab") as file:
                file.write(content[len(have) :])
            return
    os.replace(new, old)


def need_token(token: str) -> None:
    if not (isinstance(token, str) and token.strip()):
        raise UserError(f"Jobs need a token that may write and start jobs: make one at {TOKENS}.")


def say(run: Path, state: str, sentence: str, **more: Any) -> None:
    now = time.time()
    runs.write_status(run, state=state, sentence=sentence, updated=now, looked=now, **more)
