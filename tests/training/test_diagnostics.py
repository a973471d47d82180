"""The health line on curves that are drawn, and on the shape of some that were recorded."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from pix2pix.training.diagnostics import RECENT, WINDOW, Diagnosis, diagnose

CONFIG = {"lr": 2e-4, "lambda_l1": 100.0}


def losses(
    count: int, d_real: float, d_fake: float, g: tuple[float, float] = (1.0, 1.0), start: int = 1
) -> list[dict[str, Any]]:
    """Rows whose medians are those given, scattered as a batch of one scatters; G goes from the
    first value to the second."""
    rng = random.Random(start)
    rows = []
    for i in range(count):
        rising = g[0] + (g[1] - g[0]) * i / max(1, count - 1)
        values = {"d_real": d_real, "d_fake": d_fake, "g_adversarial": rising, "g_l1": 0.2}
        scattered = {name: value * math.exp(rng.gauss(0, 0.8)) for name, value in values.items()}
        rows.append({"step": start + i, "epoch": (start + i) // 100, **scattered})
    return rows


def validation(**columns: list[float | None]) -> list[dict[str, Any]]:
    """A line an epoch of 1,000 steps."""
    lines = [dict(zip(columns, values)) for values in zip(*columns.values())]
    return [{"epoch": i, "step": 1000 * (i + 1), **line} for i, line in enumerate(lines)]


BALANCED = losses(3000, 0.38, 0.39, (1.3, 1.3))


def test_two_networks_that_keep_up_with_each_other_are_good():
    found = diagnose(BALANCED, [], CONFIG)
    assert found.level == "good" and found.advice == ""
    assert "0.3" in found.evidence and "0.69" in found.evidence


def test_a_flat_discriminator_is_no_failure():
    rows = losses(5000, math.log(2), math.log(2), (0.69, 0.69))
    found = diagnose(rows, [], CONFIG)
    assert found.level == "good" and "no failure" in found.line


@pytest.mark.parametrize("count", [0, 1, WINDOW - 1])
def test_a_few_steps_are_too_few_to_judge(count: int):
    found = diagnose(losses(count, 0.001, 0.001, (5, 9)), [], CONFIG)
    assert (found.level, found.line) == ("good", "Too early to say.")
    assert f"takes {WINDOW} steps; this run has {count} so far." in found.evidence


@pytest.mark.parametrize("count", [3, 400])
def test_a_run_that_is_shorter_is_judged_by_all_its_steps(count: int):
    even = losses(count, 0.6, 0.6)
    assert diagnose(even[:-1], [], CONFIG, steps=count).line == "Too early to say."
    found = diagnose(even, [], CONFIG, steps=count)
    assert found.level == "good" and f"Over the last {count} steps" in found.evidence
    found = diagnose(losses(count, 0.001, 0.001, (5, 9)), [], CONFIG, steps=count)
    assert found.level == "watch" and f"For {count} steps" in found.evidence


@pytest.mark.parametrize(("bad", "count"), [(math.nan, 3), (math.inf, 3000)])
def test_a_loss_that_is_no_number_is_a_failure_at_once(bad: float, count: int):
    rows = losses(count, 0.4, 0.4)
    rows[-1]["g_adversarial"] = bad
    found = diagnose(rows, [], CONFIG)
    assert found.level == "failed" and "half the learning rate" in found.advice
    assert "g_adversarial" in found.evidence and f"step {count:,}" in found.evidence


def test_a_discriminator_at_zero_for_long_has_won_and_the_advice_names_the_settings():
    found = diagnose(losses(RECENT, 0.002, 0.004, (5, 8)), [], CONFIG)
    assert found.level == "failed"
    assert "0.002" in found.evidence and "0.004" in found.evidence and "2,000" in found.evidence
    for words in ("d_lr=5e-05 instead of 0.0002", "lambda_l1=200", "diffaugment"):
        assert words in found.advice
    own = diagnose(losses(RECENT, 0.002, 0.004, (5, 8)), [], {**CONFIG, "d_lr": 4e-4})
    assert "d_lr=0.0001 instead of 0.0004" in own.advice and "diffaugment=true" in own.advice
    tried = diagnose(losses(RECENT, 0.002, 0.004, (5, 8)), [], {**CONFIG, "diffaugment": True})
    assert "diffaugment" not in tried.advice and tried.advice.endswith("lambda_l1=200.")


@pytest.mark.parametrize(
    "rows",
    [
        losses(WINDOW, 0.002, 0.004, (5, 8)),
        losses(1500, 0.4, 0.4) + losses(WINDOW, 0.002, 0.004, (5, 8), start=1501),
        losses(RECENT, 0.002, 0.004, (8, 5)),
    ],
    ids=["the first steps", "not yet for long", "the generator gains"],
)
def test_a_discriminator_near_zero_is_watched_before_it_is_called_a_failure(rows):
    found = diagnose(rows, [], CONFIG)
    assert found.level == "watch"
    assert "2,000 steps" in found.advice and "d_lr" in found.advice


@pytest.mark.parametrize(("d_real", "d_fake"), [(0.002, 0.3), (0.3, 0.002)])
def test_one_low_loss_of_the_discriminator_is_not_both(d_real: float, d_fake: float):
    assert diagnose(losses(3000, d_real, d_fake, (5, 8)), [], CONFIG).level == "good"


# Medians of every 250 steps of a run on 400 facades that came out well, as it was recorded: the
# discriminator is far ahead in the first 1,200 steps, and the generator comes back.
FACADES = [
    *[(0.136, 0.151, 2.36), (0.022, 0.029, 3.87), (0.013, 0.024, 4.08), (0.022, 0.039, 3.78)],
    *[(0.038, 0.058, 3.36), (0.052, 0.065, 3.25), (0.063, 0.103, 3.10), (0.033, 0.073, 3.18)],
    *[(0.048, 0.078, 3.12), (0.036, 0.074, 2.98), (0.045, 0.085, 2.93), (0.048, 0.099, 2.86)],
]


def test_a_recorded_run_that_recovered_was_watched_and_never_called_a_failure():
    rows: list[dict[str, Any]] = []
    for d_real, d_fake, g in FACADES:
        rows += losses(250, d_real, d_fake, (g, g), start=len(rows) + 1)
    levels = [diagnose(rows[:end], [], CONFIG).level for end in range(50, len(rows) + 1, 50)]
    assert "failed" not in levels
    assert levels[750 // 50 - 1] == levels[1000 // 50 - 1] == "watch"
    assert set(levels[2000 // 50 :]) == {"good"}


LONG = {"step": 12_000, "rows": losses(3000, 0.4, 0.4, start=9001)}
FALLS = [0.30, 0.25, 0.22, 0.20, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.10]
TURNS = [0.90, 0.80, 0.74, 0.71, 0.70, 0.71, 0.72, 0.73, 0.74, 0.75, 0.76, 0.78]


def test_over_fitting_names_the_epoch_to_choose():
    seen = validation(perceptual=TURNS, l1=FALLS, train_l1=FALLS)
    found = diagnose(LONG["rows"], seen, CONFIG)
    assert found.level == "watch" and "by heart" in found.line
    # The fifth, which its line in the file calls 4: the tab counts from 1 as well.
    assert "Since epoch 5 " in found.evidence and "perceptual distance" in found.evidence
    assert "epoch 5 " in found.advice
    unnamed = [{**row, "epoch": None} for row in seen]
    assert diagnose(LONG["rows"], unnamed, CONFIG) == found


def test_without_a_perceptual_measure_l1_is_judged():
    seen = validation(perceptual=[None] * 12, l1=TURNS, train_l1=FALLS)
    found = diagnose(LONG["rows"], seen, CONFIG)
    assert found.level == "watch" and "the L1 on validation pairs" in found.evidence


ODD = [*FALLS[:8], 0.9, *FALLS[9:]]


@pytest.mark.parametrize(
    "seen",
    [
        validation(perceptual=FALLS, train_l1=FALLS),
        validation(perceptual=TURNS, train_l1=FALLS[::-1]),
        validation(perceptual=TURNS[:7], train_l1=FALLS[:7]),
        validation(perceptual=ODD, train_l1=FALLS),
        validation(perceptual=[*FALLS[:11], 0.9], train_l1=FALLS),
        validation(perceptual=TURNS, train_l1=[None] * 12),
    ],
    ids=[
        "both fall",
        "training rises too",
        "too soon",
        "one odd epoch",
        "the last is odd",
        "no L1",
    ],
)
def test_this_is_no_over_fitting(seen):
    assert diagnose(LONG["rows"], seen, CONFIG).level == "good"


@pytest.mark.parametrize(
    ("spreads", "level"),
    [
        ([0.9, 0.8, 0.03, 0.02], "failed"),
        ([0.9, 0.8, 0.2, 0.15], "watch"),
        ([0.9, 0.8, 0.7, 0.02], "good"),  # one validation is no proof
        ([0.02, 0.02, 0.02, 0.6], "good"),
        ([0.02, 0.02], "good"),  # the first 2,000 steps: one blur for all
    ],
)
def test_outputs_that_are_all_alike_are_a_collapse(spreads: list[float], level: str):
    found = diagnose(LONG["rows"], validation(spread=spreads), CONFIG)
    assert found.level == level
    if level != "good":
        assert "alike" in found.line and f"{spreads[-1]:.0%}" in found.evidence and found.advice


def test_the_gravest_is_said_first():
    seen = validation(perceptual=TURNS, train_l1=FALLS, spread=[0.02] * 12)
    assert "collapsed" in diagnose(LONG["rows"], seen, CONFIG).line
    won = losses(RECENT, 0.002, 0.004, (5, 8), start=10_001)
    assert "discriminator" in diagnose(won, seen, CONFIG).line


@pytest.mark.parametrize(
    ("loss", "flat"), [("bce", math.log(2)), ("least-squares", 0.25), ("hinge", 1.0)]
)
def test_near_zero_and_flat_are_those_of_the_loss(loss: str, flat: float):
    config = {**CONFIG, "adversarial": loss}

    def level(share: float) -> Diagnosis:
        return diagnose(losses(RECENT, share * flat, share * flat, (3, 4)), [], config)

    assert level(0.05).level == "failed"
    assert level(0.1).level == "good"
    assert "no failure" in level(1.0).line


def test_files_with_gaps_are_judged_by_what_they_hold():
    rows = [{"step": i, "d_real": None, "epoch": "x"} for i in range(3000)]
    seen = [{"epoch": 1}, {}, {"perceptual": "low", "spread": True, "step": 9000}]
    assert diagnose(rows, seen, {}).level == "good"
    assert diagnose(losses(RECENT, 0.001, 0.001, (5, 8)), seen, {}).level == "failed"
