"""Diagnose how a run is doing, by rule and in plain words. No torch.

The rules read losses and validation as the run wrote them. The words name what was seen, and what
to try. Losses are those of the two networks: a discriminator that can tell nothing has ln 2 = 0.69
with the paper's loss, and staying there is no failure; at 0 it can tell everything, and the
generator learns nothing from it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from pix2pix.utils.files import is_number

Rows = Sequence[Mapping[str, Any]]
LOSSES = ("d_real", "d_fake", "g_adversarial", "g_l1")
WINDOW = 500  # steps whose median is looked at, all of a shorter run; before that nothing is said
WINDOWS_TO_FAIL = 4  # of which each has D near zero: it recovers from one or two by itself
NEAR_ZERO = 0.07  # of the loss of a D that cannot tell: 0.05 with the paper's loss
FLAT_LOSS = {"bce": math.log(2), "least-squares": 0.25, "hinge": 1.0}  # of a D that cannot tell
PATIENCE = 5  # validations since the best
COLLAPSED, NEARLY_COLLAPSED = 0.1, 0.25  # spread of the outputs against that of the targets
MIN_FOR_COLLAPSE = 2000  # steps: early outputs are one blur
RECENT = WINDOW * WINDOWS_TO_FAIL  # rows that the rules look at


@dataclass(frozen=True)
class Diagnosis:
    """A sentence about the run, what it rests on, and what to try (empty while all is well)."""

    level: Literal["good", "watch", "failed"]
    line: str
    evidence: str = ""
    advice: str = ""


def diagnose(rows: Rows, validation: Rows, config: Mapping[str, Any], steps: int = 0) -> Diagnosis:
    """Return the diagnosis of the first rule that holds, the gravest first.

    `rows` are lines of `metrics.jsonl`, of which the last 2,000 matter (`Curves.recent`);
    `validation` are those of `validation.jsonl`, `config` is the run's `config.json`, `steps` its
    length, where that is known. What is missing in any of them is not judged.
    """
    rows = list(rows)[-RECENT:]
    window = min(WINDOW, steps or WINDOW)
    diagnosis = _not_a_number(rows)
    if not diagnosis and len(rows) < window:
        done = f"A first judgement takes {window} steps; this run has {len(rows)} so far."
        return Diagnosis("good", "Too early to say.", done)
    strong = _strong_discriminator(rows, config, window)
    found = strong, _collapse(validation), _overfitting(validation)
    diagnosis = diagnosis or _worst(found)
    if diagnosis:
        return diagnosis
    d_real, d_fake = (_median(rows[-window:], name) for name in ("d_real", "d_fake"))
    if d_real is None or d_fake is None:
        return Diagnosis("good", "The losses are finite.")
    line, share = "The two networks keep each other busy.", (d_real + d_fake) / 2 / _flat(config)
    if share > 0.95:
        line = "The discriminator can hardly tell pictures apart, which is no failure."
    elif share < 0.2:
        line = "The discriminator is ahead, as it often is, and the generator still learns."
    chance_level = (
        f"it would be {_flat(config):.2f} if D could tell nothing and 0 if it could tell all"
    )
    evidence = f"Over the last {window} steps D's loss is {d_real:.2f} on real pairs and "
    return Diagnosis("good", line, f"{evidence}{d_fake:.2f} on generated ones; {chance_level}.")


# ------------------------------------------------------------------------------------- the rules


def _not_a_number(rows: Rows) -> Diagnosis | None:
    for row in rows:
        bad = [name for name in row if is_number(row[name]) and not math.isfinite(row[name])]
        if bad:
            return Diagnosis(
                "failed",
                "The training broke down: a loss is no longer a number.",
                f"{', '.join(bad)} is {row[bad[0]]} at step {row.get('step', 0):,}.",
                "Fine-tune its last model with half the learning rate (lr), or with "
                "precision=float32.",
            )
    return None


def _strong_discriminator(rows: Rows, config: Mapping[str, Any], window: int) -> Diagnosis | None:
    """Detect that D's losses on real and on generated pairs are both near zero, now or for long."""
    near = NEAR_ZERO * _flat(config)
    near_zero = []  # newest first, while both losses are near zero
    for end in range(len(rows), window - 1, -window):
        d_real, d_fake, g = (_median(rows[end - window : end], name) for name in LOSSES[:3])
        if d_real is None or d_fake is None or g is None or max(d_real, d_fake) >= near:
            break
        near_zero.append((d_real, d_fake, g))
    if not near_zero:
        return None
    (d_real, d_fake, now), before = near_zero[0], near_zero[-1][2]
    steps = len(near_zero) * window
    losses = f"For {steps:,} steps D's loss is {d_real:.3f} on real pairs and {d_fake:.3f} on "
    evidence = f"{losses}generated ones (medians; under {near:.2f} is near zero)"
    if len(near_zero) >= WINDOWS_TO_FAIL and now >= 0.95 * before:
        return Diagnosis(
            "failed",
            "The discriminator has won: it tells every picture, and the generator learns nothing "
            "from it.",
            f"{evidence}, and G's adversarial loss does not fall ({before:.1f}, now {now:.1f}).",
            f"Stop this run and {_discriminator_advice(config)}",
        )
    return Diagnosis(
        "watch",
        "The discriminator is far ahead; many runs recover from this.",
        f"{evidence}; G's adversarial loss is {now:.1f}.",
        f"If it stays so for {RECENT:,} steps, {_discriminator_advice(config)}",
    )


def _discriminator_advice(config: Mapping[str, Any]) -> str:
    """Advise against a discriminator that is too strong, in the run's own settings."""
    lr = config.get("d_lr") or config.get("lr")
    weight = config.get("lambda_l1")
    slower = f"d_lr={lr / 4:g} instead of {lr:g}" if is_number(lr) else "a lower d_lr"
    heavier = f"lambda_l1={2 * weight:g}" if is_number(weight) and weight else "a larger lambda_l1"
    augmented = config.get("diffaugment") is True
    few = "" if augmented else "; with few pairs, with diffaugment=true"
    return f"start anew with {slower}, or with {heavier}{few}."


def _collapse(validation: Rows) -> Diagnosis | None:
    """Detect that the outputs for different inputs are alike."""
    judged = [row for row in validation if row.get("step", 0) >= MIN_FOR_COLLAPSE]
    spreads = [row["spread"] for row in judged if is_number(row.get("spread"))][-2:]
    if len(spreads) < 2 or max(spreads) >= NEARLY_COLLAPSED:
        return None
    failed = max(spreads) < COLLAPSED
    line = "The outputs are alike whatever goes in: the generator has collapsed."
    evidence = (
        "Two outputs differ by {:.0%} of what two targets differ by, on the validation pairs."
    )
    return Diagnosis(
        "failed" if failed else "watch",
        line if failed else "The outputs for different inputs are much alike.",
        evidence.format(spreads[-1]),
        "Check in the samples that source and target belong together; then start anew with a "
        "larger lambda_l1 or a lower learning rate.",
    )


def _overfitting(validation: Rows) -> Diagnosis | None:
    """Detect that training L1 falls while the validation measure rises since its best."""
    measures = ("perceptual", "l1")
    name = next((n for n in measures if any(is_number(row.get(n)) for row in validation)), "")
    known = [row for row in validation if is_number(row.get(name))]
    if len(known) <= PATIENCE:
        return None
    values = _smooth([row[name] for row in known])
    best = min(range(len(values)), key=lambda i: (values[i], known[i][name]))
    train = [row["train_l1"] for row in known if is_number(row.get("train_l1"))]
    if len(train) < len(known) or len(known) - 1 - best < PATIENCE:
        return None
    train = _smooth(train)
    if values[-1] < 1.02 * values[best] or train[-1] > 0.98 * train[best]:
        return None
    label = "perceptual distance" if name == "perceptual" else "L1"
    epoch = known[best].get("epoch")
    epoch = (epoch if is_number(epoch) else best) + 1  # files count from 0, people from 1
    return Diagnosis(
        "watch",
        "The model learns the training pairs by heart and gets worse on others.",
        f"Since epoch {epoch} the {label} on validation pairs rose from {values[best]:.3f} to "
        f"{values[-1]:.3f}, while L1 on training pairs fell from {train[best]:.3f} to "
        f"{train[-1]:.3f}.",
        f"Choose the model of epoch {epoch} or about; more pairs, mirror, jitter and warp help a "
        "new run.",
    )


def _worst(diagnoses: Sequence[Diagnosis | None]) -> Diagnosis | None:
    problems = [one for one in diagnoses if one]
    return next((one for one in problems if one.level == "failed"), next(iter(problems), None))


def _flat(config: Mapping[str, Any]) -> float:
    """Return the loss of a discriminator that can tell nothing."""
    return FLAT_LOSS.get(config.get("adversarial", "bce"), FLAT_LOSS["bce"])


def _median(rows: Rows, name: str) -> float | None:
    values = [row[name] for row in rows if is_number(row.get(name))]
    return median(values) if values else None


def _smooth(values: Sequence[float]) -> list[float]:
    """Replace each value by the median of itself and its neighbours: one odd epoch decides
    nothing."""
    return [median(values[max(0, i - 1) : i + 2]) for i in range(len(values))]
