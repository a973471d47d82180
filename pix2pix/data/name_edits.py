"""Find the edits that turn source names into target names: prefixes, suffixes, tokens."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from pix2pix.utils.text import fold_name

MAX_SAMPLED_NAMES = 200  # names looked at to find out in which ways two folders' names differ
MAX_EDITS = 40  # of these ways, so many are tried on all names
Tokens = tuple[str, ...]
NameEdit = Callable[[str], str | None]  # a source's key -> the key its target would have


def name_stem(name: str) -> str:
    """Return the name without its suffix, in lower case and in one Unicode form:
    `Photos/A1.JPG` -> `photos/a1`."""
    return fold_name(PurePosixPath(name).with_suffix("").as_posix())


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
