"""Follow runs on Hugging Face Jobs: look at a job, fetch what is new, say its state, cancel it. No
torch.

How it got there, and what lies where in the bucket, `jobs_launch` says. Whoever follows has a token
that lives in memory only.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pix2pix.errors import UserError
from pix2pix.hub.client import TOKENS, connect, hub_errors
from pix2pix.training import run_control, run_folder
from pix2pix.utils.files import copy_folder, is_number, read_json_object, write_json
from pix2pix.utils.text import printable

log = logging.getLogger(__name__)
FINAL_STATES = ("COMPLETED", "CANCELED", "ERROR", "DELETED")
FIGURES = ("step", "steps", "epoch", "seconds_per_step", "memory_mib", "updated")
SHARE = 0.1  # of the time that looking may take
AFTER_ERROR = 30.0  # seconds until a look that failed is tried again
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


def sync_remote(run: Path, token: str) -> run_folder.Status:
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
    api = connect(token)
    with hub_errors(f"of {job['namespace']}", "see", token, kind="job"):
        info = api.inspect_job(job_id=job["job_id"], namespace=job["namespace"])
    stage = str(getattr(info.status.stage, "value", info.status.stage))
    with hub_errors(job["bucket"], "read", token, kind="bucket"):
        status = _fetch(api, run, job, is_over=stage in FINAL_STATES)
        numbers = {key: status[key] for key in FIGURES if is_number(status.get(key))}
        figures = {key: value for key, value in numbers.items() if math.isfinite(value)}
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
        status = read_json_object(place / "status.json")
    if small | model_files:
        hashes = {name: remote[name].xet_hash for name in small | model_files}
        write_json(run / run_folder.JOB_FILE, {**job, "files": {**known, **hashes}})
    return status


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
    """Raise UserError for no token."""
    if not (isinstance(token, str) and token.strip()):
        raise UserError(f"Jobs need a token that may write and start jobs: make one at {TOKENS}.")


def write_sentence(run: Path, state: str, sentence: str, **more: Any) -> None:
    """Write down the state of a run whose job was looked at now."""
    now = time.time()
    run_folder.write_status(run, state=state, sentence=sentence, updated=now, looked=now, **more)


# --------------------------------------------------------------------------------- while it runs


def cancel_remote(run: Path, token: str) -> None:
    """Cancel the job of a run; what it saved last stays in the bucket. Raises UserError."""
    cancel_job(read_job(run), token)


def cancel_job(job: dict[str, Any], token: str) -> None:
    """Cancel a job of a `namespace` by its `job_id`. Raises UserError."""
    with hub_errors(f"of {job['namespace']}", "cancel", token, kind="job"):
        connect(token).cancel_job(job_id=job["job_id"], namespace=job["namespace"])


@dataclass
class _FollowedRun:
    token: str
    wake: threading.Event = field(default_factory=threading.Event)


class JobFollowers:
    """Looks at the jobs of runs `every` so many seconds until they are over."""

    def __init__(self, every: float = 10.0) -> None:
        self.every = every
        self.followed: dict[Path, _FollowedRun] = {}
        self.lock = threading.Lock()

    def follow(self, run: Path, token: str) -> None:
        """Watch a run from now on with this token."""
        with self.lock:
            if earlier := self.followed.get(run):
                earlier.wake.set()  # it sees that it was replaced
            self.followed[run] = mine = _FollowedRun(token)
        threading.Thread(target=self._follow, args=(run, mine), daemon=True).start()

    def cancel(self, run: Path) -> None:
        """Cancel the job of a run. Raises UserError, also where no token for it is known."""
        known = self.followed.get(run)
        if not known:
            raise UserError(
                f"'{printable(run.name)}' trains on Hugging Face Jobs: give your token there and "
                "press 'Watch', then stop it."
            )
        cancel_remote(run, known.token)
        known.wake.set()

    def _follow(self, run: Path, mine: _FollowedRun) -> None:
        while self.followed.get(run) is mine and run_folder.is_remote(run):
            start = time.monotonic()
            pause = self._look(run, mine.token)
            if pause is None:
                break
            mine.wake.wait(max(pause, (time.monotonic() - start) / SHARE))
            mine.wake.clear()
        with self.lock:
            if self.followed.get(run) is mine:
                del self.followed[run]

    def _look(self, run: Path, token: str) -> float | None:
        """Look at the job; returns the seconds until the next look, None where the run is over."""
        try:
            return self.every if sync_remote(run, token).is_active else None
        except UserError as error:
            sentence = str(error)
        except Exception:
            log.exception("%s cannot be followed", run.name)
            sentence = "Something broke that should not; the server's log says what."
        try:
            run_folder.write_status(run, sentence=sentence, looked=time.time())
        except OSError:
            log.exception("%s cannot be written", run.name)
        return AFTER_ERROR


FOLLOWERS = JobFollowers()


def stop_run(run: Path, word: str) -> None:
    """Ask a run to stop, to be called by `word` then; the job of one that trains elsewhere is
    cancelled. Raises UserError where that cannot be."""
    if run_folder.is_remote(run):
        if word == "paused":
            raise UserError("A run on Jobs cannot pause: stop it, and resume it there later.")
        FOLLOWERS.cancel(run)
    else:
        run_control.request_stop(run, word)
