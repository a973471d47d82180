"""Translators by name and from many threads: what may be asked for, what is read anew."""

from __future__ import annotations

import dataclasses
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from pix2pix.errors import UserError
from pix2pix.models.folder import CONFIG, WEIGHTS
from pix2pix.models.translator import Translator
from pix2pix.models.translator_cache import TranslatorCache
from pix2pix.utils.files import write_json
from tests.support.models_and_servers import noise, save_tiny_model, tiny_config, translator


def translators(tmp_path: Path, *names: str, keep: int = 3) -> TranslatorCache:
    for number, name in enumerate(names):
        save_tiny_model(tmp_path / "models" / name, seed=number)
    return TranslatorCache(lambda: [tmp_path / "models"], "cpu", keep)


def make_newer(file: Path) -> None:
    """As if written a second later: clocks of file systems are coarse."""
    later = file.stat().st_mtime_ns + 10**9
    os.utime(file, ns=(later, later))


def test_a_known_name_is_loaded_once_and_translates(tmp_path):
    known = translators(tmp_path, "faces")
    assert list(known.models()) == ["faces"]
    assert known.get("faces") is known.get("faces")
    assert known.get("faces").translate(noise(40, 30)).size == (40, 30)


@pytest.mark.parametrize(
    "name",
    ["nobody", "", ".", "..", "../secret", "/etc", "faces/../../secret", "faces\0", "x\n" * 99],
)
def test_a_name_that_is_not_in_the_list_is_refused_also_where_it_leads_to_a_model(tmp_path, name):
    save_tiny_model(tmp_path / "secret")
    with pytest.raises(UserError, match="There is no model") as refusal:
        translators(tmp_path, "faces").get(name)
    assert len(str(refusal.value)) < 200


def test_the_absolute_path_of_a_model_is_no_name(tmp_path):
    known = translators(tmp_path, "faces")
    with pytest.raises(UserError, match="There is no model"):
        known.get(str(tmp_path / "models" / "faces"))


def test_weights_published_anew_under_their_name_are_loaded_anew(tmp_path):
    known = translators(tmp_path, "faces")
    before = known.get("faces").translate(noise(64, 64))
    folder = tmp_path / "models" / "faces"
    config = (folder / CONFIG).stat().st_mtime_ns
    make_newer(save_tiny_model(folder, seed=9) / WEIGHTS)
    os.utime(folder / CONFIG, ns=(config, config))  # that alone is as it was
    assert known.get("faces").translate(noise(64, 64)) != before


def test_a_config_that_arrives_after_its_weights_is_not_missed(tmp_path):
    """Publishing writes the weights first: a reader in between must not keep the old config."""
    known = translators(tmp_path, "faces")
    folder = tmp_path / "models" / "faces"
    make_newer(folder / WEIGHTS)
    assert known.get("faces").config.fit == "tiles"
    write_json(folder / CONFIG, dataclasses.replace(tiny_config(), fit="whole").to_json())
    make_newer(folder / CONFIG)
    assert known.get("faces").config.fit == "whole"


def test_a_name_that_moves_to_an_earlier_folder_is_loaded_from_there(tmp_path):
    save_tiny_model(tmp_path / "shipped" / "faces", tiny_config(title="shipped"))
    known = TranslatorCache(lambda: [tmp_path / "own", tmp_path / "shipped"], "cpu")
    assert known.get("faces").config.title == "shipped"
    own = save_tiny_model(tmp_path / "own" / "faces", tiny_config(title="own"))
    for file in (WEIGHTS, CONFIG):  # a copy that keeps its times
        time = (tmp_path / "shipped" / "faces" / file).stat().st_mtime_ns
        os.utime(own / file, ns=(time, time))
    assert known.get("faces").config.title == "own"


def test_a_model_that_was_deleted_is_gone(tmp_path):
    known = translators(tmp_path, "faces")
    known.get("faces")
    (tmp_path / "models" / "faces" / WEIGHTS).unlink()
    with pytest.raises(UserError, match="There is no model 'faces'"):
        known.get("faces")


def test_only_the_last_few_used_stay_in_memory(tmp_path):
    known = translators(tmp_path, "a", "b", "c", keep=2)
    a, b = known.get("a"), known.get("b")
    assert known.get("a") is a  # used again: b is the oldest now
    c = known.get("c")
    assert (known.get("a"), known.get("c")) == (a, c)
    assert known.get("b") is not b


def test_threads_that_ask_at_once_share_one_translator(tmp_path):
    known = translators(tmp_path, "faces")
    barrier, got = threading.Barrier(8), []

    def work() -> None:
        barrier.wait()
        got.append(known.get("faces"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 8 and len(set(got)) == 1


def test_a_model_that_is_loading_lets_the_others_be_used(tmp_path, monkeypatch):
    known, may_load = translators(tmp_path, "slow", "fast"), threading.Event()
    load, asked = Translator.load, []

    def slow_load(folder, device):
        asked.append(folder.name)
        assert folder.name == "fast" or may_load.wait(30)
        if asked == ["slow", "fast"]:
            raise UserError("Not yet.")
        return load(folder, device)

    monkeypatch.setattr(Translator, "load", slow_load)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(known.get, "slow")
        while not asked:
            threading.Event().wait(0.01)
        with pytest.raises(UserError, match="Not yet"):  # and is not kept
            known.get("fast")
        assert known.get("fast") is known.get("fast") and not waiting.done()
        may_load.set()
        assert waiting.result(30) is known.get("slow")
    assert asked == ["slow", "fast", "fast"]


def test_eight_threads_with_a_seed_each_get_their_own_right_picture():
    one, source = translator(), noise(100, 64)
    seeds = [None, 1, 2, 3, 4, 5, 6, 7]
    expected = [one.translate(source, seed=seed) for seed in seeds]
    wrong: list[int | None] = []
    barrier = threading.Barrier(len(seeds))

    def work(seed: int | None, right: Image.Image) -> None:
        barrier.wait()
        if any(one.translate(source, seed=seed) != right for _ in range(5)):
            wrong.append(seed)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(seeds, expected)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
