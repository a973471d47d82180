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

from collections import defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from pix2pix.data.checks import (
    check_pairs,
    find_label_maps,
    profile_doubts,
    spoilt_label_doubts,
)
from pix2pix.data.dataset import list_pairs
from pix2pix.data.file_kinds import file_doubts, unreadable_kind
from pix2pix.data.layout import is_link_as_text, is_picture_name, split_name, walk_files
from pix2pix.data.matching import match_names
from pix2pix.data.plausibility import (
    ambiguous_doubts,
    find_gap,
    is_made_here,
    side_doubts,
    strip_doubts,
)
from pix2pix.data.ranges import with_ranges
from pix2pix.data.reading import (
    MAX_PAGES,
    inspect_file,
    list_pages,
    page_name,
    parallel,
    side_folder,
)
from pix2pix.data.reading import THUMBNAIL_SIDE as SIDE
from pix2pix.data.recipe import parse_range
from pix2pix.data.records import (
    SPLITS,
    FileInfo,
    Inputs,
    Matching,
    Pair,
    Plan,
    PlannedPair,
    RangeChoice,
    Refusal,
)
from pix2pix.data.sources import DERIVATIONS
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import cut_boxes
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.text import name_stem, natural_key

MAX_FILES = 1_000_000
Looks = dict[tuple[str, str], FileInfo]  # by side and name


def make_plan(
    inputs: Inputs,
    *,
    source_range: RangeChoice = "",
    target_range: RangeChoice = "",
    should_stop: ShouldStop = lambda: False,
    on_progress: Progress = lambda done, total: None,
) -> Plan:
    """Read all files of `inputs` and say what would become of each.

    The ranges are those of `Recipe`, where they are chosen before anything was looked at.

    Raises UserError where a folder cannot be read, holds no picture or the rule cannot be used, and
    Cancelled when `should_stop` says so.
    """
    choices = {
        "source": parse_range(source_range, "The source range"),
        "target": parse_range(target_range, "The target range"),
    }
    inputs, listing = _list_files(inputs)
    looks, unreadable = _read_files(inputs, listing, should_stop, on_progress)
    matching = _matching(inputs, listing, looks)
    pairs, refused = _readable_pairs(inputs, matching, looks, unreadable)
    refused += inputs.origin.refused if inputs.origin else ()
    pairs, doubles = _drop_duplicates(pairs)
    refused += [*doubles, *inputs.left_out]
    labels = find_label_maps(inputs, pairs)
    pairs, ranges, range_doubts = with_ranges(inputs, pairs, choices)
    pairs, doubts = check_pairs(pairs, should_stop)
    if inputs.source_kind:  # traced over the photo: they lie where they were drawn
        doubts = []
    doubts = [*doubts, *spoilt_label_doubts(inputs, pairs), *profile_doubts(pairs, labels)]
    of_sides = side_doubts(inputs, pairs, labels, ranges)
    classes = {doubt.side for doubt in of_sides if doubt.kind == "class-numbers"}
    doubts += [doubt for doubt in range_doubts if doubt.side not in classes]  # they lie anywhere
    doubts += [*listing.doubts, *of_sides, *ambiguous_doubts(refused)]
    return Plan(
        inputs, matching.rule, matching.explanation, tuple(pairs), tuple(refused), tuple(doubts),
        labels, ranges, tuple(listing.others),
    )  # fmt: skip


def _read_files(
    inputs: Inputs, listing: _Listing, should_stop: ShouldStop, on_progress: Progress
) -> tuple[Looks, list[Refusal]]:
    """Return what is known of every picture, and those that cannot be read."""
    keys = [(side, name) for side, names in listing.names.items() for name in names]
    looks: Looks = {}
    unreadable = []
    read = parallel(lambda key: inspect_file(inputs, *key), keys, should_stop, on_progress)
    for (side, name), look in read:
        if isinstance(look, FileInfo):
            looks[side, name] = look
        else:
            unreadable.append(Refusal(name, side, "unreadable", str(look)))
    return looks, unreadable


@dataclass
class _Listing:
    """The files of the inputs: picture names by side, doubts about files, `others` that are no
    pictures or none of the dataset's, unreadable kinds by side, and the pairs of a dataset."""

    names: dict[str, list[str]] = field(default_factory=dict)
    doubts: list[Refusal] = field(default_factory=list)
    others: list[Refusal] = field(default_factory=list)
    unreadable: dict[str, list[str]] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    refused: tuple[Refusal, ...] = ()

    def add_folder(self, side: str, folder: Path, used: Set[str] | None = None) -> None:
        """Sort all files of a folder; of a dataset's, only the `used` ones are pictures of it.
        Raises UserError where it cannot be read or holds more than MAX_FILES pictures."""
        if not folder.is_dir():
            raise UserError(f"'{folder.name}' is not a folder that can be read: choose another.")
        pictures, unreadable, links = [], [], []
        for name, what in walk_files(folder):
            if what == "link":
                links.append(name)
            elif what == "hidden":
                self.others.append(Refusal(name, side, "hidden", "is a hidden file"))
            elif is_picture_name(name) and (used is None or name in used):
                pictures.append(name)
            elif is_picture_name(name):
                reason = "lies in none of the dataset's splits"
                self.others.append(Refusal(name, side, "unused", reason))
            elif unreadable_kind(name):
                unreadable.append(name)
            elif is_link_as_text(folder / name):
                links.append(name)
            else:
                self.others.append(Refusal(name, side, "no picture", "is no picture"))
            if len(pictures) > MAX_FILES:
                raise UserError(f"'{folder.name}' holds more than a million pictures: divide it.")
        self.names[side] = sorted(pictures, key=natural_key)
        self.unreadable[side] = unreadable
        self.doubts += file_doubts(side, unreadable, links)


def _list_files(inputs: Inputs) -> tuple[Inputs, _Listing]:
    """List the files of both sides, as paths inside their folders, page by page where that is
    asked for; also returns the inputs with what the files say of them."""
    listing = _Listing()
    if inputs.derive and inputs.derive not in DERIVATIONS:
        raise UserError(f"'{inputs.derive}' is unknown: choose one of {', '.join(DERIVATIONS)}.")
    if inputs.kind == "dataset":
        inputs = _list_dataset(inputs, listing)
    else:
        listing.add_folder("source", inputs.source)
        if inputs.target is not None:
            _refuse_nested(inputs.source, inputs.target)
            listing.add_folder("target", inputs.target)
    for side, files in listing.names.items():
        if not files and not listing.unreadable[side] and not listing.refused:
            folder = inputs.title or side_folder(inputs, side).name
            raise UserError(f"'{folder}' holds no pictures: choose the folder they are in.")
        if inputs.pages == "all" and inputs.kind != "dataset":
            listing.names[side] = [n for f in files for n in _pages_of(inputs, side, f)]
    return inputs, listing


def _list_dataset(inputs: Inputs, listing: _Listing) -> Inputs:
    """List the pairs of an existing dataset, A|B or two folders a split, in its own splits."""
    root, pairs = inputs.source, []
    for split in SPLITS:
        found, refused = list_pairs(root, split)
        listing.refused += tuple(refused)
        for pair in found:
            a, b = (f.relative_to(root).as_posix() for f in (pair.a, pair.b or pair.a))
            pairs.append(Pair(a, b, split))
    listing.pairs = tuple(pairs)
    used = {name for match in pairs for name in (match.source, match.target)}
    listing.add_folder("source", root, used | {refusal.file for refusal in listing.refused})
    listing.names["source"] = [n for n in listing.names["source"] if n in used]
    strips = [match.source for match in pairs if match.source == match.target]
    if strips and inputs.strips == "halves" and not is_made_here(root):
        listing.doubts += strip_doubts(root, strips)
    if strips and inputs.strips == "gap":
        gap = find_gap(root, strips)
        return replace(inputs, strips=f"gap {gap}")
    return inputs


def _pages_of(inputs: Inputs, side: str, name: str) -> list[str]:
    pages = list_pages(side_folder(inputs, side) / name)[:MAX_PAGES]
    return [page_name(name, page) for page in pages] if len(pages) > 1 else [name]


def _refuse_nested(source: Path, target: Path) -> None:
    a, b = source.resolve(), target.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise UserError(
            "Sources and targets must be in two folders, neither inside the other: choose again."
        )


def _matching(inputs: Inputs, listing: _Listing, looks: Looks) -> Matching:
    names = listing.names
    if inputs.kind == "derived":
        alone = tuple(Pair(n, n) for n in names["source"])
        words = ": ".join(filter(None, (DERIVATIONS[inputs.derive], inputs.taken)))
        return Matching("derived", words, alone, ())
    if inputs.kind == "dataset":
        return Matching(
            "as found", "the pairs of a dataset that is there", listing.pairs, listing.refused
        )
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
    return replace(matching, refused=tuple(_name_reasons(matching, listing, looks, alike)))


def _name_reasons(
    matching: Matching, listing: _Listing, looks: Looks, alike: dict[tuple[str, str], list[str]]
) -> Iterator[Refusal]:
    """Say of unmatched files whose copy they are, or which file of an unreadable kind would be
    their partner; `alike` are the names on a side by their digest."""
    paired = {("source", p.source) for p in matching.pairs}
    paired |= {("target", p.target) for p in matching.pairs}
    unreadable = {
        (side, name_stem(name)): name
        for side, names in listing.unreadable.items()
        for name in names
    }
    for refusal in matching.refused:
        look = looks.get((refusal.side, refusal.file))
        twins = alike[refusal.side, look.digest] if look else []
        original = next((n for n in twins if (refusal.side, n) in paired), None)
        other = "target" if refusal.side == "source" else "source"
        partner = unreadable.get((other, name_stem(refusal.file)))
        if original is not None:
            reason = f"is the same picture as {original}"
            yield replace(refusal, kind="duplicate", reason=reason)
        elif partner and refusal.kind == "unmatched":
            reason = f"its partner {partner} cannot be read, {unreadable_kind(partner)}"
            yield replace(refusal, reason=reason)
        else:
            yield refusal


def _readable_pairs(
    inputs: Inputs, matching: Matching, looks: Looks, unreadable: list[Refusal]
) -> tuple[list[PlannedPair], list[Refusal]]:
    """Return the pairs of which both files can be read; each damaged file is refused once."""
    bad = {(r.side, r.file) for r in unreadable}
    sides = ("source", "target" if inputs.kind == "folders" else "source")
    pairs, partners, uncut = [], {}, []
    for match in matching.pairs:
        keys = (sides[0], match.source), (sides[1], match.target)
        if all(key in looks for key in keys):
            half = inputs.kind == "dataset" and match.source == match.target
            a, b = (looks[key] for key in keys)
            if half:
                try:
                    a, b = _cut_look(a, inputs.strips, match.source)
                except UserError as error:
                    uncut.append(Refusal(match.source, "pair", "unfit", str(error).rstrip(".")))
                    continue
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
    return pairs, rest + reported + uncut


def _cut_look(look: FileInfo, strips: str, name: str) -> tuple[FileInfo, FileInfo]:
    """Cut what is known of a strip in two; raises UserError where it cannot be cut so."""
    width, height = look.size
    boxes = cut_boxes(look.size, strips, name)
    size = boxes[0][2] - boxes[0][0], boxes[0][3] - boxes[0][1]
    if look.halves:
        return tuple(replace(look, size=size, values=v, small=small) for v, small in look.halves)
    whole, halves = Image.fromarray(look.small), []
    for box in boxes:
        place = (round(at * SIDE / side) for at, side in zip(box, (width, height) * 2))
        half = whole.crop(tuple(place)).resize((SIDE, SIDE), Image.Resampling.NEAREST)
        halves.append(replace(look, size=size, small=np.asarray(half)))
    return halves[0], halves[1]


def _split_from_folder(name: str) -> str:
    """Return the split that a file's folder names, if it names one."""
    top, _, rest = name.partition("/")
    return split_name(top) if rest else ""


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
