"""Plan a dataset: which pairs it would hold, what is refused and why, before anything is
written.

`make_plan` reads every file once: pairs by name (`matching`), damaged files, equal pictures, pairs
that do not fit each other, label maps that JPEG has spoilt. The originals are only read.

Alignment. Both pictures are seen at 64 x 64; the square root of the gradient's magnitude is their
edge map, of mean 0 and variance 1. The score of a pair is the correlation of its two edge maps,
1.0 for equal edges, about 0 for strangers. A pair is suspicious where moving the target by three
64ths or more raises the score clearly, or where it scores far below the rest of its dataset.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from pix2pix.data.checks import check_pairs, find_label_maps, side_folder, spoilt_label_doubts
from pix2pix.data.dataset import find_pairs
from pix2pix.data.matching import match_names
from pix2pix.data.reading import THUMBNAIL_SIDE, inspect_file, parallel
from pix2pix.data.records import (
    SPLITS,
    FileInfo,
    Inputs,
    Match,
    Matching,
    Plan,
    PlannedPair,
    Refusal,
)
from pix2pix.data.sources import DERIVATIONS
from pix2pix.errors import UserError
from pix2pix.imaging.decode import IMAGE_SUFFIXES
from pix2pix.utils.filenames import natural_key
from pix2pix.utils.progress import Progress, ShouldStop

SPLIT_NAMES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
SPLIT_NAMES |= {name: name for name in SPLITS}
MAX_FILES = 1_000_000


def make_plan(
    inputs: Inputs,
    *,
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> Plan:
    """Read all files of `inputs` and say what would become of each.

    Raises UserError where a folder cannot be read, holds no picture or the rule cannot be used, and
    Cancelled when `should_stop` says so.
    """
    names = _list_names(inputs)
    paths = {(side, n): side_folder(inputs, side) / n for side in names for n in names[side]}
    looks: dict[tuple[str, str], FileInfo] = {}
    unreadable: list[Refusal] = []
    read = parallel(lambda key: inspect_file(paths[key]), list(paths), should_stop)
    for done, (key, look) in enumerate(read, 1):
        if isinstance(look, FileInfo):
            looks[key] = look
        else:
            unreadable.append(Refusal(key[1], key[0], "unreadable", str(look)))
        on_progress(done, len(paths))
    matching = _matching(inputs, names, looks)
    pairs, refused = _readable_pairs(inputs, matching, looks, unreadable)
    refused += inputs.origin.refused if inputs.origin else ()
    pairs, doubles = _drop_duplicates(pairs)
    refused += doubles
    labels = find_label_maps(inputs, pairs)
    pairs, doubts = check_pairs(pairs, should_stop)
    doubts += spoilt_label_doubts(inputs, pairs)
    return Plan(
        inputs, matching.rule, matching.explanation, tuple(pairs), tuple(refused), tuple(doubts),
        labels,
    )  # fmt: skip


def _list_names(inputs: Inputs) -> dict[str, list[str]]:
    """List the picture files of both sides, as paths inside their folders."""
    if inputs.derive and inputs.derive not in DERIVATIONS:
        raise UserError(f"'{inputs.derive}' is unknown: choose one of {', '.join(DERIVATIONS)}.")
    if inputs.kind == "dataset":
        pairs = [f for split in SPLITS for f in find_pairs(inputs.source, split)]
        files = {path for f in pairs for path in (f.a, f.b) if path}
        names = {"source": sorted(f.relative_to(inputs.source).as_posix() for f in files)}
    elif inputs.target is None:
        names = {"source": _list_pictures(inputs.source)}
    else:
        _refuse_nested(inputs.source, inputs.target)
        names = {"source": _list_pictures(inputs.source), "target": _list_pictures(inputs.target)}
    for side, files in names.items():
        if not files:
            folder = side_folder(inputs, side).name
            raise UserError(f"'{folder}' holds no pictures: choose the folder they are in.")
    return names


def _refuse_nested(source: Path, target: Path) -> None:
    a, b = source.resolve(), target.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise UserError(
            "Sources and targets must be in two folders, neither inside the other: choose again."
        )


def _list_pictures(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise UserError(f"'{folder.name}' is not a folder that can be read: choose another.")
    names = []
    for place, inner, files in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                names.append((Path(place) / name).relative_to(folder).as_posix())
        if len(names) > MAX_FILES:
            raise UserError(f"'{folder.name}' holds more than a million pictures: divide it.")
    return sorted(names, key=natural_key)


def _matching(
    inputs: Inputs, names: dict[str, list[str]], looks: dict[tuple[str, str], FileInfo]
) -> Matching:
    if inputs.kind == "derived":
        alone = tuple(Match(n, n) for n in names["source"])
        return Matching("derived", DERIVATIONS[inputs.derive], alone, ())
    if inputs.kind == "dataset":
        return _existing_pairs(inputs)
    matching = match_names(names["source"], names["target"], inputs.match, inputs.table)
    alike = defaultdict(list)
    for key, look in looks.items():
        alike[key[0], look.digest].append(key[1])
    doubtful = {(r.side, r.file) for r in matching.refused if r.kind == "ambiguous"}
    copies = {
        (side, name)
        for (side, _), twins in alike.items()
        for name in sorted(twins, key=lambda n: (len(n), n))[1:]  # "copy of x" is longer than "x"
        if (side, name) in doubtful
    }
    if copies:  # a copy must not stand in its original's way
        rest = {s: [n for n in names[s] if (s, n) not in copies] for s in names}
        again = match_names(rest["source"], rest["target"], inputs.match, inputs.table)
        remaining = [r for r in matching.refused if (r.side, r.file) in copies]
        matching = replace(again, refused=(*again.refused, *remaining))
    paired = {("source", p.source) for p in matching.pairs}
    paired |= {("target", p.target) for p in matching.pairs}

    def named(refusal: Refusal) -> Refusal:
        look = looks.get((refusal.side, refusal.file))
        twins = alike[refusal.side, look.digest] if look else []
        original = next((n for n in twins if (refusal.side, n) in paired), None)
        if original is None:
            return refusal
        return replace(refusal, kind="duplicate", reason=f"is the same picture as {original}")

    return replace(matching, refused=tuple(named(refusal) for refusal in matching.refused))


def _existing_pairs(inputs: Inputs) -> Matching:
    """Match the pairs of an existing dataset, A|B or trainA and trainB, in its own splits."""
    pairs = []
    for split in SPLITS:
        for pair in find_pairs(inputs.source, split):
            a, b = (f.relative_to(inputs.source).as_posix() for f in (pair.a, pair.b or pair.a))
            pairs.append(Match(a, b, split))
    return Matching("as found", "the pairs of a dataset that is there", tuple(pairs), ())


def _readable_pairs(
    inputs: Inputs,
    matching: Matching,
    looks: dict[tuple[str, str], FileInfo],
    unreadable: list[Refusal],
) -> tuple[list[PlannedPair], list[Refusal]]:
    """Return the pairs of which both files can be read; each damaged file is refused once."""
    bad = {(r.side, r.file) for r in unreadable}
    sides = ("source", "target" if inputs.kind == "folders" else "source")
    pairs, partners = [], {}
    for match in matching.pairs:
        keys = (sides[0], match.source), (sides[1], match.target)
        if all(key in looks for key in keys):
            half = inputs.kind == "dataset" and match.source == match.target
            a, b = (looks[key] for key in keys)
            if half:
                a, b = _is_label_strip(a)
            group, split = match.group, match.split or _split_from_folder(match.source)
            pairs.append(PlannedPair(match.source, match.target, a, b, split, group, half))
        elif match.source != match.target or inputs.kind == "folders":
            partners |= {keys[0]: match.target, keys[1]: match.source}
    reported = []
    for refusal in unreadable:
        partner = partners.get((refusal.side, refusal.file))
        more = f" (its partner {partner} is left out with it)" if partner else ""
        reported.append(replace(refusal, reason=refusal.reason.rstrip(".") + more))
    rest = [r for r in matching.refused if (r.side, r.file) not in bad]
    return pairs, rest + reported


def _is_label_strip(look: FileInfo) -> tuple[FileInfo, FileInfo]:
    width, height = look.size
    middle = THUMBNAIL_SIDE // 2
    size = (width // 2, height)
    left, right = look.small[:, :middle], look.small[:, middle:]
    wide = (np.repeat(side, 2, axis=1) for side in (left, right))
    return tuple(replace(look, size=size, small=small) for small in wide)


def _split_from_folder(name: str) -> str:
    """Return the split that a file's folder names, if it names one."""
    top, _, rest = name.partition("/")
    return SPLIT_NAMES.get(top.casefold(), "") if rest else ""


def _drop_duplicates(pairs: list[PlannedPair]) -> tuple[list[PlannedPair], list[Refusal]]:
    """Drop pairs whose source and target are there twice."""
    first: dict[tuple, str] = {}
    unique, refused = [], []
    for pair in pairs:
        key = pair.source_look.digest, pair.target_look.digest
        original = first.setdefault(key, pair.source)
        if original == pair.source:
            unique.append(pair)
        else:
            reason = f"is the same pair as {original}"
            refused.append(Refusal(pair.source, "pair", "duplicate", reason))
    return unique, refused
