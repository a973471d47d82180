"""Put a plan into words: the rule, the counts, and the table of what is refused or doubtful."""

from __future__ import annotations

from typing import Any

from pix2pix.data.ranges import PERCENTILES
from pix2pix.data.reading import ALPHA, CLASSES, PAGES
from pix2pix.data.records import DEFAULT_SHARES, FITS, Plan, Refusal
from pix2pix.data.report import format_pairs, side_words
from pix2pix.data.sources import DERIVATIONS
from pix2pix.imaging.ab_pairs import STRIPS

RULE_TEXTS = {
    "Find out": "auto",
    "Equal names": "stem",
    "Equal names but for a beginning or an end": "affix",
    "The letters and numbers in the names": "name",
    "Sorted order, whatever the names say": "order",
    "The CSV": "csv",
}
DERIVE_TEXTS = {words.replace("->", "to").capitalize(): name for name, words in DERIVATIONS.items()}
FIT_TEXTS = {words: name for name, words in FITS.items()}
DOUBT_TEXTS = {  # of refusals and doubts, for one file and as "5 ..."
    "unmatched": "without a partner",
    "ambiguous": "with several possible partners",
    "unreadable": "damaged",
    "duplicate": "there twice",
    "missing": "named in the CSV but not there",
    "split": "with an unknown split in the CSV",
    "unfit": "that cannot be made",
    "aspect": "of different shapes",
    "misaligned": "badly aligned",
    "jpeg": "label maps saved as JPEG",
    "outlier": "with numbers far from all others",
    "nodata": "with a number that seems to stand for no value",
    "narrow-range": "of few levels, or of different kinds of numbers",
    "no-contrast": "without contrast",
    "double": "that are the same",
    "alpha": "with transparency that matters",
    "class-numbers": "with class numbers for colours",
    "no-seam": "that are no A|B pictures",
    "pages": "with several pages",
    "links": "that are links",
    "unreadable-kind": "of a kind that is not read",
    "left out": "of an archive that cannot be used",
    "profiles": "with other colour profiles",
}
READING_TEXTS = {"strips": STRIPS, "alpha": ALPHA, "classes": CLASSES, "pages": PAGES}
DOUBT_CHOICES = {"Different shapes": "aspect", "Badly aligned": "misaligned"}
HEADERS = ["File", "What", "Why"]
ALL = "All"
MAX_ROWS = 1000  # that the page's table shows
TURN = "Direction, in the Train tab, turns them around."
AS_FOUND = "as the folders say"


def format_counts(plan: Plan) -> str:
    """Format counts: 138 pairs, 5 without a partner, 3 damaged."""
    counts = plan.counts()
    parts = [format_pairs(counts.pop("pairs"))]
    refused = {refusal.kind for refusal in plan.refused}
    parts += [f"{n} {DOUBT_TEXTS.get(kind, kind)}" for kind, n in counts.items() if kind in refused]
    return ", ".join(parts) + "."


def report_items(plan: Plan) -> dict[str, Any]:
    """Return what the report over the pictures shows."""
    number = len({d.file for d in plan.doubts if d.side == "pair" and not d.files})
    doubts = [f"{number} to look at first; they are kept unless you leave them out."] * bool(number)
    doubts += [f"{d.file}: {d.reason}." for d in plan.doubts if d.side != "pair" or d.files]
    if plan.others:
        names = ", ".join(other.file for other in plan.others[:5])
        more = f" and {len(plan.others) - 5:,} more" if len(plan.others) > 5 else ""
        doubts.append(f"Not used, for they are no pictures of it: {names}{more}.")
    examples = [{"source": a, "target": b} for a, b in plan.examples]
    rule = f"Paired by {plan.explanation}"
    if plan.rule == "derived":
        rule, examples = f"Every photo becomes a pair: {plan.explanation}", []
    elif plan.rule == "as found":
        rule, examples = f"Taken as they are: {plan.explanation}", []
    sides, warning = side_words(plan.inputs), ""
    if plan.rule == "order":
        warning = "One missing file shifts all that follow: look at every pair before you build."
    return {
        "counts": format_counts(plan), "doubts": " ".join(doubts), "rule": rule,
        "sides": f"{sides} {TURN}" if sides else "", "examples": examples, "warning": warning,
        "ranges": range_items(plan),
    }  # fmt: skip


def range_items(plan: Plan) -> list[dict[str, Any]]:
    """Say what is black and white on either side, with a histogram of bars from 0 to 100."""
    items = []
    for side, known in plan.ranges.items():
        text = f"{side.capitalize()}s: black is {known.low:g}, white is {known.high:g}"
        if known.numbers != "uint8":
            text += f" ({known.numbers}; percentiles {known.robust[0]:g} to {known.robust[1]:g})"
        most = max(*known.histogram, 1)
        bars = [
            {"x": str(x), "height": str(-(-100 * count // most))}
            for x, count in enumerate(known.histogram)
        ]
        items.append({"text": f"{text}.", "bars": bars})
    return items


def doubt_rows(plan: Plan, kind: str = "") -> list[list[str]]:
    """Return the table's rows: refused files first, then doubtful pairs, of one kind or of all."""
    refusals = [r for r in (*plan.refused, *plan.doubts) if kind in ("", r.kind)]
    return [_row(refusal) for refusal in refusals[:MAX_ROWS]]


def _row(refusal: Refusal) -> list[str]:
    what = f"{refusal.side}, {DOUBT_TEXTS.get(refusal.kind, refusal.kind)}".removeprefix("csv, ")
    return [refusal.file, what, refusal.reason]


def doubt_kinds(plan: Plan) -> list[tuple[str, str]]:
    """List the choices of what the table shows, with numbers; empty where it would be."""
    counts = plan.counts()
    counts.pop("pairs")
    if not counts:
        return []
    choices = [
        (f"{DOUBT_TEXTS.get(kind, kind).capitalize()} ({n})", kind) for kind, n in counts.items()
    ]
    return [(f"{ALL} ({sum(counts.values())})", ""), *choices]


def fix_choices(plan: Plan) -> list[tuple[str, str]]:
    """List what settles the plan's doubts, and what already does, as (words, option)."""
    inputs = plan.inputs
    options = {fix for doubt in plan.doubts for fix in doubt.fixes}
    options |= {f"strips={inputs.strips.split(' ')[0]}"} - {"strips=halves"}
    options |= {f"pages={inputs.pages}"} - {"pages=first"}
    for side, alpha, classes in zip(("source", "target"), inputs.alpha, inputs.classes):
        options |= {f"{side}-alpha={alpha}"} if alpha != "white" else set()
        options |= {f"{side}-classes={classes}"} if classes else set()
    choices = {}
    for option in sorted(options):
        key, _, value = option.partition("=")
        side, _, field = key.rpartition("-")
        words = READING_TEXTS.get(field, {}).get(value)
        if words:
            choices[option] = f"{side.capitalize()}: {words.lower()}" if side else words
    return [(words, option) for option, words in choices.items()]


def range_choices(plan: Plan) -> list[tuple[str, str]]:
    """List the ranges of numbers that settle the plan's doubts, as (words, option)."""
    options = dict.fromkeys(fix for doubt in plan.doubts for fix in doubt.fixes)
    choices = []
    for option in options:
        side, _, chosen = option.partition("-range=")
        if not chosen:
            continue
        ends = chosen.replace(",", " to ")
        if chosen == PERCENTILES:
            low, high = plan.ranges[side].robust
            ends = f"{low:g} to {high:g}, without a thousandth at either end"
        choices.append((f"{side.capitalize()}s: {ends}", option))
    return choices


def default_shares(plan: Plan) -> str:
    """Return the first value of the field for the shares: the plan's own splits where every pair
    has one."""
    has_splits = plan.pairs and all(pair.split for pair in plan.pairs)
    return AS_FOUND if has_splits else ", ".join(map(str, DEFAULT_SHARES))
