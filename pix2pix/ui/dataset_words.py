"""A plan in words: the rule, the counts, and the table of what is refused or doubtful."""

from __future__ import annotations

from typing import Any

from pix2pix.build import FITS
from pix2pix.derive import DERIVATIONS
from pix2pix.pairing import SPLITS, Refusal
from pix2pix.plan import Plan
from pix2pix.ui.shared import inert

RULES = {
    "Find out": "auto",
    "Equal names": "stem",
    "Equal names but for a beginning or an end": "affix",
    "The letters and numbers in the names": "name",
    "Sorted order, whatever the names say": "order",
    "The CSV": "csv",
}
DERIVE = {words.replace("->", "to").capitalize(): name for name, words in DERIVATIONS.items()}
FIT = {words: name for name, words in FITS.items()}
KINDS = {  # of refusals and doubts, for one file and as "5 ..."
    "unmatched": "without a partner",
    "ambiguous": "with several possible partners",
    "unreadable": "damaged",
    "duplicate": "there twice",
    "missing": "named in the CSV but not there",
    "split": "with an unknown split in the CSV",
    "unfit": "that cannot be made",
    "aspect": "of different shapes",
    "misaligned": "badly aligned",
    "jpeg labels": "label maps saved as JPEG",
}
DOUBTS = {"Different shapes": "aspect", "Badly aligned": "misaligned"}
HEADERS = ["File", "What", "Why"]
ALL = "All"
MAX_ROWS = 1000  # that the page's table shows
AS_FOUND = "as the folders say"


def counts(plan: Plan) -> str:
    """138 pairs, 5 without a partner, 3 damaged."""
    found = plan.counts()
    said = [pairs(found.pop("pairs"))]
    refused = {refusal.kind for refusal in plan.refused}
    said += [f"{n} {KINDS.get(kind, kind)}" for kind, n in found.items() if kind in refused]
    return ", ".join(said) + "."


def pairs(number: int) -> str:
    return f"{number:,} pair" if number == 1 else f"{number:,} pairs"


def report(plan: Plan) -> dict[str, Any]:
    """What the report over the pictures shows, every word inert."""
    number = len({doubt.file for doubt in plan.doubts if doubt.side == "pair"})
    doubts = [f"{number} to look at first; they are kept unless you leave them out."] * bool(number)
    doubts += [f"{d.file}: {d.reason}." for d in plan.doubts if d.side != "pair"]
    examples = [{"source": a, "target": b} for a, b in plan.examples]
    rule = f"Paired by {plan.explanation}"
    if plan.rule == "derived":
        rule, examples = f"Every photo becomes a pair: {plan.explanation}", []
    elif plan.rule == "as found":
        rule, examples = f"Taken as they are: {plan.explanation}", []
    warning = ""
    if plan.rule == "order":
        warning = "One missing file shifts all that follow: look at every pair before you build."
    return inert(
        {
            "counts": counts(plan), "doubts": " ".join(doubts), "rule": rule,
            "examples": examples, "warning": warning,
        }
    )  # fmt: skip


def rows(plan: Plan, kind: str = "") -> list[list[str]]:
    """The table: refused files first, then doubtful pairs, of one kind or of all."""
    found = [r for r in (*plan.refused, *plan.doubts) if kind in ("", r.kind)]
    return [_row(refusal) for refusal in found[:MAX_ROWS]]


def _row(refusal: Refusal) -> list[str]:
    what = f"{refusal.side}, {KINDS.get(refusal.kind, refusal.kind)}".removeprefix("csv, ")
    return [refusal.file, what, refusal.reason]


def kinds(plan: Plan) -> list[tuple[str, str]]:
    """Choices of what the table shows, with numbers; nothing where it would be empty."""
    found = plan.counts()
    found.pop("pairs")
    if not found:
        return []
    named = [(f"{KINDS.get(kind, kind).capitalize()} ({n})", kind) for kind, n in found.items()]
    return [(f"{ALL} ({sum(found.values())})", ""), *named]


def shares_of(plan: Plan) -> str:
    """What the field for the shares starts with: the plan's own splits where every pair has one."""
    own = plan.pairs and all(pair.split for pair in plan.pairs)
    return AS_FOUND if own else "0.8, 0.1, 0.1"


def splits(numbers: dict[str, int]) -> str:
    """110 train, 14 val, 14 test."""
    return ", ".join(f"{numbers.get(split, 0):,} {split}" for split in SPLITS)
