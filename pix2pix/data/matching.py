"""Pair sources with targets by their names alone.

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

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from difflib import SequenceMatcher

from pix2pix.data.csv_pairs import match_table
from pix2pix.data.records import Matching, Pair, Refusal
from pix2pix.errors import UserError
from pix2pix.utils.text import name_stem, natural_key

RULES = ("auto", "stem", "affix", "name", "order", "csv")
MIN_SUPPORT = 0.05  # the share of names that must differ in the same way before it counts as a rule
MAX_SAMPLED_NAMES = 200  # names looked at to find out in which ways two folders' names differ
MAX_EDITS = 40  # of these ways, so many are tried on all names
Tokens = tuple[str, ...]
NameEdit = Callable[[str], str | None]  # a source's key -> the key its target would have


def match_names(
    source: Sequence[str], target: Sequence[str], rule: str = "auto", table: str = ""
) -> Matching:
    """Pair two lists of names by `rule`; `table` is the text of the CSV.

    Every name ends in exactly one pair or one refusal. Raises UserError for an unknown rule,
    lists of different length under `order`, and a CSV that is none.
    """
    source, target = sorted(source, key=natural_key), sorted(target, key=natural_key)
    if rule == "csv":
        return match_table(source, target, table)
    if rule == "order":
        return _by_order(source, target)
    results = {
        "stem": lambda: _by_edits(source, target, "stem", name_stem, [lambda key: key]),
        "affix": lambda: _by_affix(source, target),
        "name": lambda: _by_name(source, target),
    }
    if rule in results:
        return results[rule]()
    if rule != "auto":
        raise UserError(f"'{rule}' is no rule: choose one of {', '.join(RULES)}.")
    best = results["stem"]()
    for name in ("affix", "name"):
        if len(best.pairs) < min(len(source), len(target)):
            other = results[name]()
            best = max(best, other, key=_rank)  # the earlier one where they are equal
    return best


def _rank(matching: Matching) -> tuple[int, int]:
    """Rank a matching: more pairs are better; without any, a rule that says what they could be."""
    return len(matching.pairs), sum(r.kind == "ambiguous" for r in matching.refused)


# ----------------------------------------------------------------------------------- edits of names


def _by_affix(source: list[str], target: list[str]) -> Matching:
    """Pair by the changes of prefix and suffix that pair most names."""
    votes: Counter[tuple[str, str, str, str]] = Counter()
    for a, b in _neighbours(source, target):
        core = _longest_shared(name_stem(a), name_stem(b))
        if core:
            votes[(*_around(name_stem(a), core), *_around(name_stem(b), core))] += 1
    known = {name_stem(name) for name in target}
    hits: Counter[tuple[str, str, str, str]] = Counter()
    for affixes, _ in votes.most_common(MAX_EDITS):
        way = _apply_affix_edit(*affixes)
        count = sum(way(name_stem(name)) in known for name in source)
        # Seen once and with something removed on both sides, it is no more than a coincidence.
        if count > 1 or not any(affixes[:2]) or not any(affixes[2:]):
            hits[affixes] = count
    ranked = hits.most_common()
    # The commonest is the rule; one that is half as common may contradict it and must be heard.
    ways = [_apply_affix_edit(*affixes) for affixes, count in ranked if 2 * count >= ranked[0][1]]
    matching = _by_edits(source, target, "affix", name_stem, ways, first_only=True)
    before, after, begins, ends = ranked[0][0] if ranked else ("",) * 4
    sides = (("sources", (before, after)), ("targets", (begins, ends)))
    removed = [f'"{affix}" from the {side}' for side, both in sides for affix in both if affix]
    explanation = (
        f"equal names after removing {' and '.join(removed)}" if removed else "equal names"
    )
    return Matching("affix", explanation, matching.pairs, matching.refused)


def _by_name(source: list[str], target: list[str]) -> Matching:
    """Pair by the edits of letters and numbers that enough pairs have in common."""
    votes: Counter[TokenEdit] = Counter()
    for a, b in _neighbours(source, target):
        edit = _token_edit(name_tokens(a), name_tokens(b))
        if edit is not None:
            votes[edit] += 1
    likely = [edit for edit, count in votes.most_common(MAX_EDITS) if count > 1 or _only_adds(edit)]
    ways = [
        _apply_token_edit(edit)
        for edit in likely
        if 50 * votes[edit] >= min(MAX_SAMPLED_NAMES, len(source))
    ]
    return _by_edits(source, target, "name", _squash, ways)


# ----------------------------------------------------------------------------------- pairs by edits


def _by_edits(
    source: list[str],
    target: list[str],
    rule: str,
    key: Callable[[str], str],
    ways: list[NameEdit],
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
    options = _count_support(options, min(len(source), len(target)) if len(ways) > 1 else 0)
    choice_a, choice_b = _choices(options, 0), _choices(options, 1)
    only = {a: found[0] for a, found in choice_a.items() if len(found) == 1}
    pairs = [Pair(a, only[a]) for a in source if a in only and choice_b[only[a]] == [a]]
    if first_only:
        pairs = [p for p in pairs if ways[0](key(p.source)) == key(p.target)]
    explanation = {"stem": "equal names", "name": "the letters and numbers in the names"}
    refused = _leftover(source, target, pairs, choice_a, choice_b)
    return Matching(rule, explanation.get(rule, ""), tuple(pairs), tuple(refused))


def _count_support(options: list[tuple[str, str, int]], names: int) -> list[tuple[str, str, int]]:
    """Yield (source, target, support): how many pairs have the same edit and no commoner one."""
    count = Counter(number for _, _, number in options)
    best: dict[tuple[int, str], int] = {}
    for a, b, number in options:
        for end in ((0, a), (1, b)):
            best[end] = max(best.get(end, 0), count[number])
    support: Counter[int] = Counter()
    for a, b, number in options:
        support[number] += count[number] in (best[0, a], best[1, b])
    least = max(1.0, MIN_SUPPORT * names)
    strongest: dict[tuple[str, str], int] = {}
    for a, b, number in options:
        if support[number] >= least:
            strongest[a, b] = max(strongest.get((a, b), 0), support[number])
    return [(a, b, support) for (a, b), support in strongest.items()]


def _choices(options: list[tuple[str, str, int]], end: int) -> dict[str, list[str]]:
    """Return the partners that each name could have: only the best one where the others have
    less than half its support, else all that come into question."""
    found = defaultdict(list)
    for option in options:
        found[option[end]].append((option[2], option[1 - end]))
    choices = {}
    for name, partners in found.items():
        top_support = max(partners)[0]
        choices[name] = [
            p for support, p in sorted(partners, reverse=True) if 2 * support >= top_support
        ]
    return choices


def _leftover(
    source: list[str],
    target: list[str],
    pairs: list[Pair],
    choice_a: dict[str, list[str]],
    choice_b: dict[str, list[str]],
) -> list[Refusal]:
    refused = []
    sides = (
        ("source", "target", source, choice_a, {p.source for p in pairs}),
        ("target", "source", target, choice_b, {p.target for p in pairs}),
    )
    paired_names = sides[0][4] | sides[1][4]
    for side, other, names, choices, matched in sides:
        for name in names:
            if name in matched:
                continue
            partners = [p for p in choices.get(name, ()) if p not in paired_names]
            if partners:
                partner_names = " or ".join(partners[:3])
                reason = f"could go with {partner_names}: rename it, or say the pair in a CSV"
                refused.append(Refusal(name, side, "ambiguous", reason))
            else:
                refused.append(Refusal(name, side, "unmatched", f"no {other} picture goes with it"))
    return refused


# ----------------------------------------------------------------------------------------- by order


def _by_order(source: list[str], target: list[str]) -> Matching:
    if len(source) != len(target):
        raise UserError(
            f"There are {len(source)} source and {len(target)} target pictures: by sorted order "
            "both folders must hold the same number."
        )
    pairs = tuple(Pair(a, b) for a, b in zip(source, target))
    return Matching("order", "sorted order, whatever the names say: look at every pair", pairs, ())


# ---------------------------------------------------------------------------------- names as edits


def name_tokens(name: str) -> Tokens:
    """Split a name into letters and numbers without leading zeros: `F2-005-01` -> f, 2, 5, 1."""
    runs = re.findall(r"\d+|[^\W\d_]+", name_stem(name))
    return tuple(str(int(run)) if run.isdecimal() else run for run in runs)


def _apply_affix_edit(before: str, after: str, begins: str, ends: str) -> NameEdit:
    def way(key: str) -> str | None:
        if len(key) <= len(before) + len(after):
            return None
        if not (key.startswith(before) and key.endswith(after)):
            return None
        return begins + key[len(before) : len(key) - len(after)] + ends

    return way


# An edit turns a source's tokens into its target's: tokens to delete and to insert, each at a place
# counted from the nearer end (negative: from the last), so that names of any length take it.
TokenEdit = tuple[tuple[int, Tokens, Tokens], ...]


def _only_adds(edit: TokenEdit) -> bool:
    """Return whether one name holds all of the other: else a change seen once is a coincidence."""
    return not any(deleted for _, deleted, _ in edit) or not any(new for _, _, new in edit)


def _squash(name: str) -> str:
    return " ".join(name_tokens(name))


def _token_edit(a: Tokens, b: Tokens) -> TokenEdit | None:
    """Return the edit from `a` to `b`; None where they share no token."""
    changes, equal, i, j = [], 0, 0, 0
    for x, y in [*_common(a, b), (len(a), len(b))]:
        if x > i or y > j:
            place = i if i <= len(a) // 2 else i - len(a) - 1
            changes.append((place, a[i:x], b[j:y]))
        equal += x < len(a)
        i, j = x + 1, y + 1
    return tuple(changes) if equal else None


def _apply_token_edit(edit: TokenEdit) -> NameEdit:
    def way(key: str) -> str | None:
        a, out, position = key.split(" "), [], 0
        for place, deleted, inserted in edit:
            start = place if place >= 0 else len(a) + 1 + place
            if start < position or tuple(a[start : start + len(deleted)]) != deleted:
                return None
            out += a[position:start] + list(inserted)
            position = start + len(deleted)
        equal = len(a) - sum(len(deleted) for _, deleted, _ in edit)
        return " ".join(out + a[position:]) if equal > 0 else None

    return way


def _common(a: Tokens, b: Tokens) -> list[tuple[int, int]]:
    """Return the places (i, j) of a longest common subsequence, the earliest of them."""
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
    """Yield pairs of names worth comparing: a sample of sources, each with targets that share
    its rarest letters and numbers."""
    where = defaultdict(list)
    for name in target:
        for token in set(name_tokens(name)):
            where[token].append(name)
    step = max(1, len(source) // MAX_SAMPLED_NAMES)
    for name in source[::step][:MAX_SAMPLED_NAMES]:
        shared: Counter[str] = Counter()
        for token in sorted(set(name_tokens(name)), key=lambda t: len(where.get(t, ()))):
            for other in where.get(token, ())[:2000]:
                shared[other] += 1000 // len(where[token]) + 1
        for other, _ in shared.most_common(8):
            yield name, other


def _longest_shared(a: str, b: str) -> str:
    """Find the longest run of characters in both names that cuts no number in two."""
    run = SequenceMatcher(None, a, b, autojunk=False).find_longest_match()
    best = a[run.a : run.a + run.size]
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
