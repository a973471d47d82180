"""Time the training step against plain PyTorch and against the recipe without its additions."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
from pathlib import Path

# Both in processes of their own, because ours changes how its process keeps memory: each line that
# comes in is answered with the seconds of one step, and the step is that of the preset `maps`.
STEP_HEAD = """
import sys, time, torch
from torch import nn
sys.path.insert(0, sys.argv[1])
from pix2pix.config import train_config
config = train_config("maps", {"precision": "float32"})
torch.manual_seed(0)
source, target = torch.rand(2, 1, 3, 256, 256) * 2 - 1
"""
OUR_STEP = """
from pix2pix.training.loop import reuse_freed_memory
from pix2pix.training.trainer import Trainer
reuse_freed_memory()
trainer = Trainer(config, torch.device("cpu"))
def step():
    return trainer.step(source, target)
"""
PLAIN_STEP = """
from pix2pix.nn.discriminators import build_discriminator
from pix2pix.nn.generators import build_generator
from pix2pix.nn.layers import FastUpConv, FastDownConv, WinogradConv
FastDownConv.forward = WinogradConv.forward = nn.Conv2d.forward
FastUpConv.forward = nn.ConvTranspose2d.forward
G = build_generator(config.generator_config())
D = build_discriminator(config.discriminator_config())
g_adam = torch.optim.Adam(G.parameters(), lr=2e-4, betas=(0.5, 0.999))
d_adam = torch.optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
bce, l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()
def step():
    fake = G(source)
    on_real, on_fake = D(source, target), D(source, fake.detach())
    d_loss = bce(on_real, torch.ones_like(on_real)) + bce(on_fake, torch.zeros_like(on_fake))
    d_loss = 0.5 * d_loss
    d_adam.zero_grad()
    d_loss.backward()
    d_adam.step()
    on_fake = D(source, fake)
    g_loss = bce(on_fake, torch.ones_like(on_fake)) + 100 * l1(fake, target)
    g_adam.zero_grad()
    g_loss.backward()
    g_adam.step()
    return d_loss.item(), g_loss.item()
"""
# The step of `recommended`, and that of what it grew out of: half the paper's widths, resize
# convolutions as they are written, the PatchGAN and no feature loss.
RECIPE_STEP = """
import sys, time, torch
from torch import nn
sys.path.insert(0, sys.argv[1])
from pix2pix.config import train_config
from pix2pix.training.trainer import Trainer
torch.manual_seed(0)
source, target = torch.rand(2, 1, 3, 256, 256) * 2 - 1
trainer = Trainer(train_config("recommended", {"precision": "float32"}), torch.device("cpu"))
def step():
    return trainer.step(source, target)
"""
PATCHGAN_STEP = (
    RECIPE_STEP.replace(
        'train_config("recommended", {',
        'train_config("maps", {"ngf": "32", "ndf": "32", "upsample": "resize", ',
    )
    + """
from pix2pix.nn.layers import ResizeConv
ResizeConv.forward = nn.Sequential.forward
"""
)
STEP_TAIL = """
for line in sys.stdin:
    start = time.perf_counter()
    step()
    print(time.perf_counter() - start, torch.get_num_threads(), flush=True)
"""


def step_against_plain(steps: int) -> dict[str, object]:
    """Time the training step of `maps` in float32 on the CPU: ours and plain PyTorch, by turns."""
    codes = {"ours": STEP_HEAD + OUR_STEP, "plain": STEP_HEAD + PLAIN_STEP}
    seconds, threads = timed_steps(codes, steps)
    ours, plain = (statistics.median(seconds[name]) for name in codes)
    ratio = statistics.median(b / a for a, b in zip(seconds["ours"], seconds["plain"]))
    return {
        "step_threads": threads,
        "step_seconds": round(ours, 3),
        "plain_step_seconds": round(plain, 3),
        "step_against_plain": round(plain / ours, 2),
        "step_against_plain_by_turn": round(ratio, 2),
    }


def recipe_against_patchgan(steps: int) -> dict[str, object]:
    """Time the training step of `recommended` against the same without what it adds."""
    seconds, _ = timed_steps({"recipe": RECIPE_STEP, "patchgan": PATCHGAN_STEP}, steps)
    recipe, patchgan = (statistics.median(values) for values in seconds.values())
    return {
        "recipe_step_seconds": round(recipe, 3),
        "patchgan_step_seconds": round(patchgan, 3),
        "recipe_step_against_patchgan": round(recipe / patchgan, 2),
    }


def timed_steps(codes: dict[str, str], steps: int) -> tuple[dict[str, list[float]], int]:
    """Seconds of the steps of each program, by turns, and the threads that they used."""
    root = Path(__file__).resolve().parents[2]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    seconds: dict[str, list[float]] = {name: [] for name in codes}
    with contextlib.ExitStack() as stack:
        workers = {
            name: stack.enter_context(
                subprocess.Popen([sys.executable, "-c", code + STEP_TAIL, str(root)], **pipes)
            )
            for name, code in codes.items()
        }
        threads = set()
        for turn in range(-2, steps):  # the first two warm up
            for name, worker in workers.items():
                worker.stdin.write("\n")
                worker.stdin.flush()
                taken, used = worker.stdout.readline().split()
                threads.add(int(used))
                if turn >= 0:
                    seconds[name].append(float(taken))
    return seconds, max(threads)
