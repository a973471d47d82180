"""Starts of Python that cost nothing: a process that has loaded PyTorch forks, and runs a command.

A new process takes seconds of the processor until PyTorch is there. Tests that need many of them,
and not the start itself, have theirs from here: one that can be killed, and runs the same command.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]


class ForkServer:
    """Runs `python FILE ...` and `python -m MODULE ...` as forks of a process of its own, or of one
    that is there."""

    def __init__(self, process: Any = None) -> None:
        self.process = process or subprocess.Popen(
            [sys.executable, __file__], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip

    def start(self, words: list[str], **more: Any) -> int:
        """The pid of the command, whose first word is Python; see `become` for the rest."""
        asked = {"words": list(map(str, words[1:])), "env": dict(os.environ), **more}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def popen(self, words: list[str], **options: Any) -> SimpleNamespace:
        """What the engine needs of subprocess.Popen: its pid, with both outputs in one file."""
        more = {"cwd": str(options["cwd"]), "env": options["env"]}
        return SimpleNamespace(pid=self.start(words, out=options["stdout"].name, **more))

    def as_subprocess(self) -> SimpleNamespace:
        """What stands for the module subprocess where runs are started."""
        return SimpleNamespace(Popen=self.popen, DEVNULL=subprocess.DEVNULL)

    def run(self, words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """As subprocess.run: its exit status, and what it wrote."""
        with self.running(words, **environment) as (_, wait):
            return wait()

    @contextlib.contextmanager
    def running(self, words: list[str], **environment: str) -> Any:
        """The process, and a function that waits for its end as `run` does."""
        with tempfile.TemporaryDirectory() as folder:
            out, err, code = (os.path.join(folder, name) for name in ("out", "err", "code"))
            os.mkfifo(code)
            ended = os.open(code, os.O_RDONLY | os.O_NONBLOCK)
            env = {**os.environ, **environment}
            process = psutil.Process(self.start(words, env=env, out=out, err=err, code=code))

            def wait() -> subprocess.CompletedProcess[str]:
                assert select.select([ended], [], [], 300)[0], f"{words} goes on after 300 s"
                status = int(os.read(ended, 9) or -signal.SIGKILL)
                texts = Path(out).read_text(), Path(err).read_text()
                return subprocess.CompletedProcess(words, status, *texts)

            yield process, wait
            os.close(ended)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)


def serve() -> None:
    """Load PyTorch, and fork for whoever asks."""
    import torch

    import pix2pix.models.onnx_graph
    import pix2pix.models.translator
    import pix2pix.training.train  # noqa: F401
    from pix2pix.evaluation.held_out import HeldOut

    pictures = torch.zeros(2, 3, 64, 64)
    torch.optim.Adam([pictures])  # the first one loads a compiler, for seconds
    held_out = HeldOut(pictures, pictures)
    for measure in (held_out.validate, held_out.judge):  # what they look with stays loaded
        measure(lambda source: source)
    answer()


def answer() -> None:
    """Fork for every line of the input, and answer with the pid."""
    signal.signal(signal.SIGCHLD, reap)
    while line := sys.stdin.readline():
        asked = json.loads(line)
        if is_app(asked["words"]):
            import pix2pix.ui.server  # noqa: F401
        ended = os.open(asked.pop("code"), os.O_WRONLY) if "code" in asked else -1
        if not (pid := os.fork()):
            become(**asked, ended=ended)
        if ended >= 0:
            os.close(ended)
        print(pid, flush=True)


def is_app(words: list[str]) -> bool:
    return Path(words[0]).name == "app.py"


def double() -> ForkServer:
    """This process once more, which forks for it: a server has threads, and a fork would lose them.
    It ends with this process, and the runs that it started do not."""
    asked, answers = os.pipe(), os.pipe()
    if not os.fork():
        os.dup2(asked[0], 0)
        os.dup2(answers[1], 1)
        for end in (*asked, *answers):
            os.close(end)
        sys.stdin, sys.stdout = open(0), open(1, "w")  # noqa: SIM115
        answer()
        os._exit(0)
    os.close(asked[0])
    os.close(answers[1])
    ends = {"stdin": os.fdopen(asked[1], "w"), "stdout": os.fdopen(answers[0])}
    return ForkServer(SimpleNamespace(**ends))


def reap(*_: object) -> None:
    """Bury the dead at once: one that lies there would count as a process that lives."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def become(
    words: list[str], env: dict[str, str], out: str, err: str = "", cwd: str = "", ended: int = -1
) -> None:
    """Run the command and end this process; `ended` is a pipe that hears the exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd or ROOT)
    for number, path in enumerate((os.devnull, out, err or out)):
        flags = os.O_RDONLY if not number else os.O_WRONLY | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(path, flags, 0o644), number)
    status = 1
    try:
        if is_app(words):  # its runs start as forks, too
            from pix2pix.training import run_control

            run_control.subprocess = double().as_subprocess()
        execute(words)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        if ended >= 0:
            os.write(ended, str(status).encode())
        os._exit(status)


def execute(words: list[str]) -> None:
    if words[0] == "-m":
        sys.argv = words[1:]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = words, str(Path(words[0]).parent)
        runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    serve()
