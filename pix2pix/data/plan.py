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
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from pix2pix.data.dataset import stored_ranges
from pix2pix.data.label_maps import find_label_maps, profile_doubts, spoilt_label_doubts
from pix2pix.data.layout import split_name
from pix2pix.data.listing import Listing, list_files, unreadable_kind
from pix2pix.data.matching import match_names
from pix2pix.data.pair_doubts import ambiguous_doubts, check_pairs
from pix2pix.data.ranges import (
    RangeChoice,
    SideRange,
    count_levels,
    find_range,
    parse_range,
    plain_ranges,
    range_doubts,
    seen_small,
)
from pix2pix.data.reading import THUMBNAIL_SIDE as SIDE
from pix2pix.data.reading import inspect_file, parallel
from pix2pix.data.records import (
    SIDES,
    FileInfo,
    Inputs,
    Matching,
    Pair,
    Plan,
    PlannedPair,
    Refusal,
    doubt,
)
from pix2pix.data.side_doubts import side_doubts
from pix2pix.data.sources import DERIVATIONS
from pix2pix.errors import UserError
from pix2pix.imaging.ab_pairs import cut_boxes
from pix2pix.utils.progress import Progress, ShouldStop
from pix2pix.utils.text import name_stem

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
    inputs, listing = list_files(inputs)
    looks, unreadable = _read_files(inputs, listing, should_stop, on_progress)
    matching = _matching(inputs, listing, looks)
    pairs, refused = _readable_pairs(inputs, matching, looks, unreadable)
    refused += inputs.origin.refused if inputs.origin else ()
    pairs, doubles = _drop_duplicates(pairs)
    refused += [*doubles, *inputs.left_out]
    labels = find_label_maps(inputs, pairs)
    pairs, ranges, range_doubts = _with_ranges(inputs, pairs, choices)
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
    inputs: Inputs, listing: Listing, should_stop: ShouldStop, on_progress: Progress
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


def _matching(inputs: Inputs, listing: Listing, looks: Looks) -> Matching:
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
    matching: Matching, listing: Listing, looks: Looks, alike: dict[tuple[str, str], list[str]]
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
            pairs.append(
                PlannedPair(
                    match.source, match.target, split, group, half, source_look=a, target_look=b
                )
            )
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


def _with_ranges(
    inputs: Inputs, pairs: list[PlannedPair], choices: dict[str, RangeChoice]
) -> tuple[list[PlannedPair], dict[str, SideRange], list[Refusal]]:
    """Find the range of either side and draw the small pictures by it; returns the pairs, the
    ranges and what is doubtful about the numbers."""
    ranges, doubts = plain_ranges(), []
    made_here = inputs.kind == "dataset" and stored_ranges(inputs.source)
    for side in SIDES:
        if inputs.derive and side == "source":
            continue  # it is made from the target, in 8 bits
        names = [getattr(pair, side) for pair in pairs]
        looks = [getattr(pair, f"{side}_look") for pair in pairs]
        values = [look.values for look in looks]
        channels = [3 if look.channels >= 3 else 1 for look in looks]
        commonest = max(sorted(set(channels)), key=channels.count, default=3)
        found = made_here[side] if made_here else find_range(values, commonest)
        chosen = found.chosen(choices[side])
        drawn = SideRange(0.0, 65535.0, "uint16") if chosen.stored else chosen
        smalls = [seen_small(look.small, look.values, drawn) for look in looks]
        ranges[side] = replace(chosen, histogram=count_levels(smalls))
        pairs = [
            replace(pair, **{f"{side}_look": replace(look, small=small)})
            for pair, look, small in zip(pairs, looks, smalls)
        ]
        for kind, files, reason, ends in range_doubts(names, values, chosen, choices[side]):
            fixes = tuple(f"{side}-range={choice}" for choice in ends)
            doubts.append(doubt(side, kind, files, reason, fixes))
    return pairs, ranges, doubts
