"""Many at once: everybody gets their own answer, too many are told so, nobody holds up the rest."""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio.context import LocalContext
from PIL import Image
from starlette.requests import Request
from torch import Tensor, nn

from pix2pix.imaging.decode import from_data_url
from pix2pix.imaging.picture import data_url
from pix2pix.ui.translate.pad import (
    BUSY,
    MAX_CONCURRENT,
    MAX_IMAGE_BYTES,
    MAX_PER_VISITOR,
    MAX_WAITING,
    pad,
)
from pix2pix.ui.translate.tab import live_functions
from tests.support.models_and_servers import awaited, noise, translator

STATE = {"model": "faces", "size": 64, "source": "sketch", "target": "photo", "palette": None,
         "background": "#ffffff", "examples": []}  # fmt: skip


class OneModel:
    def __init__(self, model: Any) -> None:
        self.model = model

    def models(self) -> dict[str, Path]:
        return {}

    def get(self, name: str) -> Any:
        return self.model


def pad_of(model: Any) -> Any:
    return pad(*live_functions(OneModel(model)), STATE)


def request(image: Image.Image) -> dict[str, Any]:
    return {"model": "faces", "image": data_url(image), "seed": None}


def test_visitors_at_once_each_get_their_own_picture() -> None:
    model = translator()
    component, people = pad_of(model), [noise(64, 64, seed=n) for n in range(8)]

    async def draw(image: Image.Image) -> list[dict[str, Any]]:
        return [await component.translate(request(image)) for _ in range(4)]

    async def together() -> list[list[dict[str, Any]]]:
        return await asyncio.gather(*map(draw, people))

    for image, answers in zip(people, awaited(together())):
        right = {"image": data_url(model.translate(image))}
        assert answers == [right] * 4


def test_numbers_are_shown_as_a_picture_from_black_to_white() -> None:
    """Heights from 0 to 9, by a network that gives its source back."""
    known = {"target": {"type": "float32", "channels": 1}}
    network = {"source_channels": 1, "target_channels": 1}
    model = translator(nn.Identity(), network, numbers=known, ranges={"target": [0.0, 9.0]})
    drawing = noise(64, 64, channels=1)
    assert model.translate(drawing).mode == "F"
    answer = awaited(pad_of(model).translate(request(drawing)))
    shown = from_data_url(answer["image"], MAX_IMAGE_BYTES)
    apart = np.asarray(shown.convert("L"), int) - np.asarray(drawing.convert("L"), int)
    assert np.abs(apart).max() <= 1


class Held(nn.Module):
    """Gives its source back once it may, and says when it has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.may, self.begun = threading.Event(), threading.Semaphore(0)

    def forward(self, source: Tensor) -> Tensor:
        self.begun.release()
        assert self.may.wait(30)
        return source


def test_too_many_are_told_so_and_those_before_them_are_served() -> None:
    held = Held()
    component, drawing = pad_of(translator(held)), request(noise(64, 64))
    before = set(threading.enumerate())

    async def crowd() -> tuple[list[dict[str, Any]], dict[str, Any], int]:
        inside = [
            asyncio.ensure_future(draw_from(component, f"10.0.0.{number}", drawing))
            for number in range(MAX_CONCURRENT + MAX_WAITING)
        ]
        await asyncio.to_thread(held.begun.acquire)
        threads = sum(t.name.startswith("pad") for t in set(threading.enumerate()) - before)
        refused = await component.variations(drawing)
        held.may.set()
        return await asyncio.gather(*inside), refused, threads

    served, refused, threads = awaited(crowd())
    assert refused == {"error": BUSY, "busy": True} and threads == MAX_CONCURRENT
    assert all("image" in answer for answer in served)
    assert "image" in awaited(component.translate(drawing))  # there is room again


async def draw_from(component: Any, address: str, drawing: dict[str, Any]) -> dict[str, Any]:
    LocalContext.request.set(Request({"type": "http", "client": (address, 1), "headers": []}))
    return await component.translate(drawing)


def test_one_visitor_leaves_places_to_the_others() -> None:
    held = Held()
    component, drawing = pad_of(translator(held)), request(noise(64, 64))
    places, half = MAX_CONCURRENT + MAX_WAITING, (MAX_CONCURRENT + MAX_WAITING) // 2

    async def crowd() -> list[list[dict[str, Any]]]:
        asked = [["1.1.1.1"] * places, ["2.2.2.2"] * (MAX_PER_VISITOR + 1), ["3.3.3.3"]]
        asked = [[draw_from(component, one, drawing) for one in visit] for visit in asked]
        inside = [[asyncio.ensure_future(draw) for draw in visit] for visit in asked]
        await asyncio.to_thread(held.begun.acquire)
        held.may.set()
        return [await asyncio.gather(*visit) for visit in inside]

    served = [[("image" in reply) for reply in visit] for visit in awaited(crowd())]
    assert served == [
        [True] * half + [False] * (places - half), [True] * MAX_PER_VISITOR + [False], [True],
    ]  # fmt: skip


class Counting(nn.Module):
    """Counts its forwards."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, source: Tensor) -> Tensor:
        self.count += 1
        return source + 0.0


def test_the_tiles_of_large_pictures_let_each_drawing_in_between() -> None:
    counting, over = Counting(), threading.Event()
    model, drawing, mosaic = translator(counting), noise(64, 64), noise(800, 800)

    def batch() -> None:
        while not over.is_set():
            model.translate(mosaic)

    batches = [threading.Thread(target=batch) for _ in range(2)]
    for thread in batches:
        thread.start()
    waits = []
    while counting.count < 100 or len(waits) < 31:
        before = counting.count
        model.translate(drawing)
        waits.append(counting.count - before)
    over.set()
    for thread in batches:
        thread.join(60)
    # Its own, one of each batch, and those that began before this thread came to hand it in: more
    # where others use the cores. Behind a whole mosaic it would wait for 289.
    assert np.percentile(waits, 90) <= 100


def in_a_fork(connection: Any, model: Any, image: Image.Image) -> None:
    connection.send(data_url(model.translate(image)))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_process_forked_while_somebody_draws_translates_as_well() -> None:
    """So ZeroGPU works. The thread that computes, and what it holds, stay behind."""
    held, model = Held(), translator()
    busy = threading.Thread(target=translator(held).translate, args=(noise(64, 64),))
    busy.start()
    assert held.begun.acquire(timeout=30)
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    child = context.Process(target=in_a_fork, args=(there, model, noise(64, 64)))
    child.start()
    try:
        assert here.poll(30)
        answer = here.recv()
    finally:
        held.may.set()
        child.kill(), child.join(30), busy.join(30)
    assert answer == data_url(model.translate(noise(64, 64)))
