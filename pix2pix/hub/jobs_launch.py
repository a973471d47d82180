"""Launch and resume runs on Hugging Face Jobs. No torch.

All passes through a private bucket, where `jobs/NAME-TIME/` holds `source/` (the engine), `data/`
(the dataset), `start/` (the model to begin with) and `run/`, the run folder. The job has it mounted
and runs `bucket_backup`, which trains and copies what it writes to `run/`; `jobs_follow` brings
that into the folder of the run here, so that whoever watches runs sees this one as any other. Such
a folder has a `job.json`. A person's token comes with every call and is written down nowhere: the
job needs none.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import Any

from pix2pix.errors import UserError
from pix2pix.hub.client import check_repo_name, connect, hub_errors
from pix2pix.hub.datasets import dataset_files
from pix2pix.hub.deploy import HubCall, make_call, private_bucket
from pix2pix.hub.jobs_follow import cancel_job, read_job, require_token, write_sentence
from pix2pix.training import run_folder
from pix2pix.utils.files import saving, write_json
from pix2pix.utils.progress import Progress
from pix2pix.utils.workspace import IMPORT_ROOT

IMAGE = "ghcr.io/astral-sh/uv:python3.12-bookworm"  # Python and uv; CUDA comes with torch's wheel
MOUNT, WORK = "/job", "/tmp/job"  # on the job's machine: its bucket, and where it trains
MAX_HOURS = 168.0
BATCH = 100  # files uploaded in one call
HOURLY = {"minute": 60.0, "hour": 1.0, "second": 3600.0}  # from a price to that of an hour


@dataclass(frozen=True)
class Flavour:
    """Hardware for a job. `price` is in US dollars an hour, None where the Hub does not say it."""

    name: str
    words: str
    price: float | None


def flavours(token: str) -> list[Flavour]:
    """List the hardware to train on, the cheapest first. Raises UserError."""
    with hub_errors("hardware", "see", token, kind="list of"):
        hardware = connect(token).list_jobs_hardware()
    return sorted(map(_flavour, hardware), key=lambda flavour: flavour.price or 0.0)


def _flavour(hardware: Any) -> Flavour:
    parts = [hardware.cpu, hardware.ram]
    if hardware.accelerator:
        one = hardware.accelerator
        parts.insert(0, f"{one.quantity} x {one.model} with {one.vram}")
    factor = HOURLY.get(hardware.unit_label)
    price = float(hardware.unit_cost_usd) * factor if factor else None
    return Flavour(hardware.name, f"{hardware.pretty_name}: {', '.join(parts)}", price)


# ------------------------------------------------------------------------------------ what is sent


def plan_job(
    name: str, settings: dict[str, Any], bucket: str, *, flavour: str, hours: float, prefix: str
) -> list[HubCall]:
    """Plan the calls that send a run. `settings` are those of its `config.json`; the owner in
    `bucket`, "owner/name", pays; `prefix` is the folder in it, new for every run.

    Raises UserError for what cannot be sent.
    """
    check_repo_name(bucket)
    config = {**settings, "data": "data", "device": "auto"}
    add = [(source, f"{prefix}/source/{name}") for name, source in _package_files().items()]
    files = dataset_files(Path(settings["data"]))
    add += [(content, f"{prefix}/data/{name}") for name, content in files.items()]
    if settings["start_from"]:
        model, config["start_from"] = Path(settings["start_from"]), "start"
        files = sorted(file for file in model.iterdir() if file.is_file())
        add += [(file, f"{prefix}/start/{file.name}") for file in files]
    add.append((json.dumps(config).encode(), f"{prefix}/run/config.json"))
    bucket_id = {"bucket_id": bucket}
    uploads = [
        HubCall("batch_bucket_files", {**bucket_id, "add": add[start : start + BATCH]})
        for start in range(0, len(add), BATCH)
    ]
    return [*private_bucket(bucket), *uploads, _run_job(name, bucket, prefix, flavour, hours)]


def plan_resume(name: str, job: dict[str, Any], *, flavour: str, hours: float) -> list[HubCall]:
    """Plan the calls that resume a run from its last state in the bucket."""
    bucket, prefix = job["bucket"], job["prefix"]
    anew = [(b"{}", f"{prefix}/run/status.json")]  # else the end of the last job would be its own
    return [
        HubCall("batch_bucket_files", {"bucket_id": bucket, "add": anew}),
        _run_job(name, bucket, prefix, flavour, hours),
    ]


def _run_job(name: str, bucket: str, prefix: str, flavour: str, hours: float) -> HubCall:
    from huggingface_hub import Volume

    if not (isinstance(hours, (int, float)) and 0 < hours <= MAX_HOURS):
        raise UserError(f"Give the job a time limit of up to {MAX_HOURS:.0f} hours.")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,63}", flavour):
        raise UserError("Choose the hardware: 'Show hardware and prices' lists what there is.")
    volume = Volume(
        type="bucket", source=bucket, mount_path=MOUNT, path=prefix, read_only=False
    )  # fmt: skip
    source = f"{MOUNT}/source"
    environment = {"PYTHONPATH": source, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    uv = ["uv", "run", "--no-project", "--with-requirements", f"{source}/requirements.txt"]
    return HubCall(
        "run_job",
        {
            "image": IMAGE,
            "command": [*uv, "python", "-m", "pix2pix.hub.bucket_backup", MOUNT, WORK],
            "env": environment,
            "flavor": flavour,
            "timeout": round(hours * 3600),
            "name": _plain_name(name),
            "volumes": [volume],
            "namespace": bucket.partition("/")[0],
        },
    )


def _package_files() -> dict[str, Path | bytes]:
    """List the files of the package without the page, and its requirements."""
    file = IMPORT_ROOT / "requirements.txt"
    if file.is_file():
        lines = file.read_text(encoding="utf-8").splitlines()
    else:  # an installed package has its pins in its metadata, those of its extras too
        lines = [line for line in requires("pix2pix-studio") or [] if "extra ==" not in line]
    needs = "".join(f"{line}\n" for line in lines if not line.startswith(("gradio", "#")))
    package = IMPORT_ROOT / "pix2pix"
    files = {
        file.relative_to(IMPORT_ROOT).as_posix(): file
        for file in sorted(package.rglob("*.py"))
        if file.relative_to(package).parts[0] != "ui"
    }
    return {**files, "requirements.txt": needs.encode()}


def _plain_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "run"


# ----------------------------------------------------------------------------------- sent, resumed


def start_remote(
    run: Path,
    settings: dict[str, Any],
    bucket: str,
    *,
    flavour: str,
    hours: float,
    token: str,
    on_progress: Progress = lambda done, total: None,
) -> str:
    """Send a new run and return the address of its job. `run` follows it from then on.

    Raises UserError for what cannot be sent or is refused; then there is no such run.
    """
    require_token(token)
    now = time.time()
    prefix = f"jobs/{_plain_name(run.name)}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}"
    calls = plan_job(run.name, settings, bucket, flavour=flavour, hours=hours, prefix=prefix)
    job = {
        "job_id": "", "namespace": bucket.partition("/")[0], "bucket": bucket, "prefix": prefix,
        "flavour": flavour, "timeout": round(hours * 3600), "started": now, "url": "", "files": {},
    }  # fmt: skip
    with hub_errors(bucket, "write to", token, kind="bucket"):
        try:
            run.mkdir(parents=True)
        except FileExistsError as error:
            message = f"There is a run '{run.name}' already: choose another name."
            raise UserError(message) from error
    try:
        with hub_errors(bucket, "write to", token, kind="bucket"):
            write_json(run / run_folder.JOB_FILE, job)
            write_json(run / "config.json", {**settings, "device": f"{flavour} on Jobs"})
            write_sentence(run, "starting", "Its files are being sent.", started=now)
        return _make_calls(calls, run, job, token, on_progress)
    except BaseException:
        shutil.rmtree(run, ignore_errors=True)
        raise


def resume_remote(run: Path, *, flavour: str, hours: float, token: str) -> str:
    """Let a run that ended early go on in a new job and return its address. Raises UserError."""
    require_token(token)
    job = read_job(run)
    if run_folder.read_status(run).state not in run_folder.RESUMABLE:
        raise UserError(f"'{run.name}' is running or finished: there is nothing to resume.")
    calls = plan_resume(run.name, job, flavour=flavour, hours=hours)
    job |= {"flavour": flavour, "timeout": round(hours * 3600), "started": time.time()}
    return _make_calls(calls, run, job, token)


def _make_calls(
    calls: list[HubCall],
    run: Path,
    job: dict[str, Any],
    token: str,
    on_progress: Progress = lambda done, total: None,
) -> str:
    """Make the calls, of which the last one starts the job, and write down what it is called; one
    that cannot be written down is cancelled."""
    api = connect(token)
    with hub_errors(job["bucket"], "write to", token, kind="bucket"):
        for done, call in enumerate(calls[:-1]):
            on_progress(done, len(calls))
            make_call(api, call)
    with hub_errors(f"of {job['namespace']}", "start", token, kind="job"):
        info = api.run_job(**calls[-1].arguments)
    try:
        with saving(run):
            write_json(run / run_folder.JOB_FILE, {**job, "job_id": info.id, "url": info.url})
            write_sentence(run, "starting", f"Hugging Face looks for a machine: {job['flavour']}.")
    except BaseException:  # nobody could follow or stop it, and it would be paid for
        cancel_job({**job, "job_id": info.id}, token)
        raise
    on_progress(len(calls), len(calls))
    return info.url
