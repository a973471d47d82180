"""Which source picture belongs to which target picture, judged by their names alone.

Names are paths inside the two folders, with `/` between their parts. A rule is one of

- `stem`: equal names, whatever their suffixes;
- `affix`: equal names after a prefix and a suffix that most share are removed on either side;
- `name`: the letters and numbers in the names: `f-005-01.jpg` goes with `F2-005-01-sz1.jpg` when
  many names differ in just that way;
- `order`: the first with the first, the second with the second, as people sort (2 before 10);
- `csv`: a table of pairs.

`auto` takes that of the first three rules which pairs most, the earlier of equals. Where a name
could go with two, neither is chosen: both are refused with the reason.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pix2pix.errors import UserError
from pix2pix.names import natural

RULES = ("auto", "stem", "affix", "name", "order", "csv")
SAMPLE = 200  # names looked at to find out in which ways two folders' names differ
EDITS = 40  # of these ways, so many are tried on all names
SUPPORT = 0.05  # the share of names that must differ in the same way before it counts as a rule
SPLITS = ("train", "val", "test")
Tokens = tuple[str, ...]
Way = Callable[[str], str | None]  # a source's key -> the key its target would have


@dataclass(frozen=True)
class Match:
    """One pair of names; `split` and `group` are empty unless a CSV says them."""

    source: str
    target: str
    split: str = ""
    group: str = ""


@dataclass(frozen=True)
class Refusal:
    """A file that is left out, or kept with a doubt. `side` is source, target, pair or csv."""

    file: str
    side: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Matching:
    """What a rule made of two lists of names. `rule` is never `auto`: it is the rule taken."""

    rule: str
    explanation: str
    pairs: tuple[Match, ...]
    refused: tuple[Refusal, ...]


def match_names(
    source: Sequence[str], target: Sequence[str], rule: str = "auto", table: str = ""
) -> Matching:
    """Pair two lists of names by `rule`; `table` is the text of the CSV.

    Every name ends in exactly one pair or one refusal. Raises UserError for an unknown rule,
    lists of different length under `order`, and a CSV that is none.
    """
    source, target = sorted(source, key=natural), sorted(target, key=natural)
    if rule == "csv":
        return _by_table(source, target, table)
    if rule == "order":
        return _by_order(source, target)
    found = {
        "stem": lambda: _by_ways(source, target, "stem", stem, [_same]),
        "affix": lambda: _by_affix(source, target),
        "name": lambda: _by_name(source, target),
    }
    if rule in found:
        return found[rule]()
    if rule != "auto":
        raise UserError(f"'{rule}' is no rule: choose one of {', '.join(RULES)}.")
    best = found["stem"]()
    for name in ("affix", "name"):
        if len(best.pairs) < min(len(source), len(target)):
            other = found[name]()
            best = max(best, other, key=_worth)  # the earlier one where they are equal
    return best


def _worth(matching: Matching) -> tuple[int, int]:
    """More pairs are better; where there is none, a rule that says what they could be."""
    return len(matching.pairs), sum(r.kind == "ambiguous" for r in matching.refused)


def stem(name: str) -> str:
    """The name without its suffix, case ignored: `Photos/A1.JPG` -> `photos/a1`."""
    return PurePosixPath(name).with_suffix("").as_posix().casefold()


def tokens(name: str) -> Tokens:
    """Runs of letters and of digits, without leading zeros: `F2-005-01` -> f, 2, 5, 1."""
    runs = re.findall(r"\d+|[^\W\d_]+", stem(name))
    return tuple(str(int(run)) if run.isdecimal() else run for run in runs)


# ------------------------------------------------------------------- ways in which names differ


def _same(key: str) -> str:
    return key


def _by_affix(source: list[str], target: list[str]) -> Matching:
    """The changes of prefix and suffix that pair most names."""
    votes: Counter[tuple[str, str, str, str]] = Counter()
    for a, b in _neighbours(source, target):
        core = _longest_shared(stem(a), stem(b))
        if core:
            votes[(*_around(stem(a), core), *_around(stem(b), core))] += 1
    known = {stem(name) for name in target}
    hits: Counter[tuple[str, str, str, str]] = Counter()
    for affixes, _ in votes.most_common(EDITS):
        way = _affix_way(*affixes)
        count = sum(way(stem(name)) in known for name in source)
        # Seen once and with something removed on both sides, it is no more than a coincidence.
        if count > 1 or not any(affixes[:2]) or not any(affixes[2:]):
            hits[affixes] = count
    ranked = hits.most_common()
    # The commonest is the rule; one that is half as common may contradict it and must be heard.
    ways = [_affix_way(*affixes) for affixes, count in ranked if 2 * count >= ranked[0][1]]
    matching = _by_ways(source, target, "affix", stem, ways, first_only=True)
    before, after, begins, ends = ranked[0][0] if ranked else ("",) * 4
    sides = (("sources", (before, after)), ("targets", (begins, ends)))
    removed = [f'"{affix}" from the {side}' for side, both in sides for affix in both if affix]
    said = f"equal names after removing {' and '.join(removed)}" if removed else "equal names"
    return Matching("affix", said, matching.pairs, matching.refused)


def _affix_way(before: str, after: str, begins: str, ends: str) -> Way:
    def way(key: str) -> str | None:
        if len(key) <= len(before) + len(after):
            return None
        if not (key.startswith(before) and key.endswith(after)):
            return None
        return begins + key[len(before) : len(key) - len(after)] + ends

    return way


# An edit turns a source's tokens into its target's: tokens to delete and to insert, each at a place
# counted from the nearer end (negative: from the last), so that names of any length take it.
Edit = tuple[tuple[int, Tokens, Tokens], ...]


def _by_name(source: list[str], target: list[str]) -> Matching:
    """All changes of the names' letters and numbers that enough pairs have in common."""
    votes: Counter[Edit] = Counter()
    for a, b in _neighbours(source, target):
        edit = _edit(tokens(a), tokens(b))
        if edit is not None:
            votes[edit] += 1
    likely = [edit for edit, count in votes.most_common(EDITS) if count > 1 or _only_adds(edit)]
    ways = [_edit_way(edit) for edit in likely if 50 * votes[edit] >= min(SAMPLE, len(source))]
    return _by_ways(source, target, "name", _joined, ways)


def _only_adds(edit: Edit) -> bool:
    """Whether one name holds all of the other: else a change seen once is a coincidence."""
    return not any(deleted for _, deleted, _ in edit) or not any(new for _, _, new in edit)


def _joined(name: str) -> str:
    return " ".join(tokens(name))


def _edit(a: Tokens, b: Tokens) -> Edit | None:
    """How `a` becomes `b`; None where they share no token."""
    changes, kept, i, j = [], 0, 0, 0
    for x, y in [*_common(a, b), (len(a), len(b))]:
        if x > i or y > j:
            place = i if i <= len(a) // 2 else i - len(a) - 1
            changes.append((place, a[i:x], b[j:y]))
        kept += x < len(a)
        i, j = x + 1, y + 1
    return tuple(changes) if kept else None


def _edit_way(edit: Edit) -> Way:
    def way(key: str) -> str | None:
        a, out, position = key.split(" "), [], 0
        for place, deleted, inserted in edit:
            start = place if place >= 0 else len(a) + 1 + place
            if start < position or tuple(a[start : start + len(deleted)]) != deleted:
                return None
            out += a[position:start] + list(inserted)
            position = start + len(deleted)
        kept = len(a) - sum(len(deleted) for _, deleted, _ in edit)
        return " ".join(out + a[position:]) if kept > 0 else None

    return way


def _common(a: Tokens, b: Tokens) -> list[tuple[int, int]]:
    """Places (i, j) of a longest common subsequence, the earliest of them."""
    length = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in reversed(range(len(a))):
        for j in reversed(range(len(b))):
            longer = max(length[i + 1][j], length[i][j + 1])
            length[i][j] = length[i + 1][j + 1] + 1 if a[i] == b[j] else longer
    places, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j]:
            places.append((i, j))
            i, j = i + 1, j + 1
        elif length[i + 1][j] >= length[i][j + 1]:
            i += 1
        else:
            j += 1
    return places


def _neighbours(source: list[str], target: list[str]) -> Iterable[tuple[str, str]]:
    """Pairs of names worth comparing: a sample of sources, each with targets that share its
    rarest letters and numbers."""
    where = defaultdict(list)
    for name in target:
        for token in set(tokens(name)):
            where[token].append(name)
    step = max(1, len(source) // SAMPLE)
    for name in source[::step][:SAMPLE]:
        shared: Counter[str] = Counter()
        for token in sorted(set(tokens(name)), key=lambda t: len(where.get(t, ()))):
            for other in where.get(token, ())[:2000]:
                shared[other] += 1000 // len(where[token]) + 1
        for other, _ in shared.most_common(8):
            yield name, other


def _longest_shared(a: str, b: str) -> str:
    """The longest run of characters in both that cuts no number in two."""
    best = ""
    for i in range(len(a)):
        for j in range(i + len(best) + 1, len(a) + 1):
            if a[i:j] not in b:
                break
            best = a[i:j]
    for name in (a, b):
        before, after = name.split(best, 1) if best else ("", "")
        if re.search(r"\d$", before) and re.match(r"\d", best):
            best = re.sub(r"^\d+", "", best)
        if re.match(r"\d", after) and re.search(r"\d$", best):
            best = re.sub(r"\d+$", "", best)
    return best


def _around(name: str, core: str) -> tuple[str, str]:
    before, after = name.split(core, 1)
    return before, after


# ------------------------------------------------------------------------------- who gets whom


def _by_ways(
    source: list[str],
    target: list[str],
    rule: str,
    key: Callable[[str], str],
    ways: list[Way],
    first_only: bool = False,
) -> Matching:
    """Pair names whose keys one of `ways` turns into each other, where nothing else could be meant.
    With `first_only` the other ways can contradict the first and pair nothing themselves.

    A pair counts as much as the way it goes is common: `m-014-01` goes with `M2-014-01-sz1`, as
    88 others do, and not with `m1-014-01-sz1`, which belongs to `m1-014-01`.
    """
    by_key = defaultdict(list)
    for name in target:
        by_key[key(name)].append(name)
    options: list[tuple[str, str, int]] = []  # source, target, number of the way
    for a in source:
        for number, way in enumerate(ways):
            options += [(a, b, number) for b in by_key.get(way(key(a)) or "", ())]
    options = _backed(options, min(len(source), len(target)) if len(ways) > 1 else 0)
    choice_a, choice_b = _choices(options, 0), _choices(options, 1)
    pairs = [Match(a, choice_a[a][0]) for a in source if _mutual(a, choice_a, choice_b)]
    if first_only:
        pairs = [p for p in pairs if ways[0](key(p.source)) == key(p.target)]
    explanation = {"stem": "equal names", "name": "the letters and numbers in the names"}
    refused = _leftover(source, target, pairs, choice_a, choice_b)
    return Matching(rule, explanation.get(rule, ""), tuple(pairs), tuple(refused))


def _backed(options: list[tuple[str, str, int]], names: int) -> list[tuple[str, str, int]]:
    """(source, target, support): how many pairs go the same way and have no commoner way to go."""
    count = Counter(number for _, _, number in options)
    best: dict[tuple[int, str], int] = {}
    for a, b, number in options:
        for end in ((0, a), (1, b)):
            best[end] = max(best.get(end, 0), count[number])
    support: Counter[int] = Counter()
    for a, b, number in options:
        support[number] += count[number] in (best[0, a], best[1, b])
    least = max(1.0, SUPPORT * names)
    strongest: dict[tuple[str, str], int] = {}
    for a, b, number in options:
        if support[number] >= least:
            strongest[a, b] = max(strongest.get((a, b), 0), support[number])
    return [(a, b, support) for (a, b), support in strongest.items()]


def _choices(options: list[tuple[str, str, int]], end: int) -> dict[str, list[str]]:
    """For each name the partners it could have: only the best one where the others have less than
    half its support, else all that come into question."""
    found = defaultdict(list)
    for option in options:
        found[option[end]].append((option[2], option[1 - end]))
    choices = {}
    for name, partners in found.items():
        most = max(partners)[0]
        choices[name] = [p for support, p in sorted(partners, reverse=True) if 2 * support >= most]
    return choices


def _mutual(a: str, choice_a: dict[str, list[str]], choice_b: dict[str, list[str]]) -> bool:
    return a in choice_a and len(choice_a[a]) == 1 and choice_b[choice_a[a][0]] == [a]


def _leftover(
    source: list[str],
    target: list[str],
    pairs: list[Match],
    choice_a: dict[str, list[str]],
    choice_b: dict[str, list[str]],
) -> list[Refusal]:
    refused = []
    sides = (
        ("source", "target", source, choice_a, {p.source for p in pairs}),
        ("target", "source", target, choice_b, {p.target for p in pairs}),
    )
    taken = sides[0][4] | sides[1][4]
    for side, other, names, choices, matched in sides:
        for name in names:
            if name in matched:
                continue
            partners = [p for p in choices.get(name, ()) if p not in taken]
            if partners:
                named = " or ".join(partners[:3])
                reason = f"could go with {named}: rename it, or say the pair in a CSV"
                refused.append(Refusal(name, side, "ambiguous", reason))
            else:
                refused.append(Refusal(name, side, "unmatched", f"no {other} picture goes with it"))
    return refused


# ------------------------------------------------------------------------------ order and tables


def _by_order(source: list[str], target: list[str]) -> Matching:
    if len(source) != len(target):
        raise UserError(
            f"There are {len(source)} source and {len(target)} target pictures: by sorted order "
            "both folders must hold the same number."
        )
    pairs = tuple(Match(a, b) for a, b in zip(source, target))
    return Matching("order", "sorted order, whatever the names say: look at every pair", pairs, ())


def _by_table(source: list[str], target: list[str], table: str) -> Matching:
    rows = _rows(table)
    if not rows or len(rows[0]) < 2:
        raise UserError("The CSV needs two columns, source and target: one row for each pair.")
    files_a, files_b = _lookup(source), _lookup(target)
    header = [cell.strip().casefold() for cell in rows[0]]
    if header[0] in files_a or header[0] in files_b:
        header = ["source", "target"]
    else:
        rows = rows[1:]
    extra = {name: header.index(name) for name in ("split", "group") if name in header}
    first, second = _picture_columns(header, extra)
    if sum(row[first].casefold() in files_b for row in rows) > len(rows) / 2:
        first, second = second, first  # the columns stand the other way round
    pairs, refused = [], []
    for number, row in enumerate(rows, 1):
        row = [cell.strip() for cell in row] + [""] * len(header)
        a, b = files_a.get(row[first].casefold()), files_b.get(row[second].casefold())
        values = {name: row[column] for name, column in extra.items()}
        split = values.get("split", "").casefold()
        if a is None or b is None:
            missing = row[first] if a is None else row[second]
            reason = f"the CSV names it in row {number}, but the folder does not hold it"
            refused.append(Refusal(missing or "(empty)", "csv", "missing", reason))
        elif split and split not in SPLITS:
            reason = f"row {number} of the CSV puts it into '{split}': use train, val or test"
            refused.append(Refusal(a, "csv", "split", reason))
        else:
            pairs.append(Match(a, b, split, values.get("group", "")))
    named = {p.source for p in pairs}, {p.target for p in pairs}
    for side, files, known in (("source", source, named[0]), ("target", target, named[1])):
        odd = [f for f in files if f not in known and not any(r.file == f for r in refused)]
        refused += [Refusal(f, side, "unmatched", "the CSV does not name it") for f in odd]
    return Matching("csv", "the pairs that the CSV names", tuple(pairs), tuple(refused))


def _rows(table: str) -> list[list[str]]:
    text = table.removeprefix("\ufeff")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise UserError("The CSV cannot be read: save it as plain UTF-8 text.") from error
    return [row for row in rows if len(row) >= 2]


def _lookup(names: list[str]) -> dict[str, str]:
    """Names as a table may write them: with or without suffix, case ignored. Where two names are
    alike without their suffix, only the whole name counts."""
    stems = Counter(stem(name) for name in names)
    found = {stem(name): name for name in names if stems[stem(name)] == 1}
    return {**found, **{name.casefold(): name for name in names}}


def _picture_columns(header: list[str], extra: dict[str, int]) -> tuple[int, int]:
    if {"source", "target"} <= set(header):
        return header.index("source"), header.index("target")
    free = [column for column in range(len(header)) if column not in extra.values()]
    if len(free) < 2:
        raise UserError("The CSV needs two columns, source and target: one row for each pair.")
    return free[0], free[1]
