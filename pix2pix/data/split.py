"""Split pairs into train, val and test; near-duplicates and groups stay in one split.

A model that is judged on pictures it has all but seen looks better than it is. Two pictures are
near-duplicates where, at 16 x 16, they differ by less than 2 grey levels plus a tenth of their own
contrast: on real sets that holds for neighbouring frames of a video, and not for two portraits of
one studio. A picture that is nearly flat says nothing and groups nobody.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pix2pix.data.records import SPLITS, PlannedPair

CONTRAST = 8.0  # grey levels of standard deviation below which a picture is flat
ABSOLUTE, RELATIVE = 2.0, 0.1
_PAGE = r"\[\d+\](?=\.\w+$)"  # as `reading.page_name` has it
ROWS = 2048  # pictures compared with all others at a time


def assign_splits(
    pairs: Sequence[PlannedPair],
    shares: tuple[float, float, float] | None,
    otherwise: tuple[float, float, float],
    seed: int,
    together: str = "",
) -> tuple[list[str], list[str]]:
    """Return the split of every pair, and warnings. Without `shares` the pairs' own splits
    count, where all have one, else the shares `otherwise`. `together` is a regular expression on
    the source's name."""
    if shares is None and all(pair.split for pair in pairs):
        return [pair.split for pair in pairs], []
    shares = shares or otherwise
    groups = groups_of(pairs, together)
    members = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    order = sorted(members)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda group: -len(members[group]))  # the large ones first: they fit least
    targets = _whole_counts(len(pairs), shares)
    full = dict(zip(SPLITS, targets))
    room = dict(full)
    splits = [""] * len(pairs)
    for group in order:
        size = len(members[group])
        fitting = [s for s in SPLITS if room[s] >= size]
        # Among those it fits into, the one that is emptiest for its share; else where most is free.
        emptiest = max(fitting, key=lambda s: room[s] / full[s], default=None)
        split = emptiest or max(SPLITS, key=lambda s: room[s])
        room[split] -= size
        for index in members[group]:
            splits[index] = split
    return splits, _warnings(splits, targets, members)


def groups_of(pairs: Sequence[PlannedPair], together: str = "") -> list[int]:
    """Group the pairs: those that get the same number stay in one split."""
    edges = _groups_by_name(pairs, together)
    for look in ("source_look", "target_look"):
        edges += near_duplicates([getattr(pair, look).small for pair in pairs])
    first, second = np.array(edges).T
    graph = coo_array((np.ones(len(edges)), (first, second)), (len(pairs), len(pairs)))
    return connected_components(graph, directed=False)[1].tolist()


def near_duplicates(smalls: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Find pairs (i, j), i < j, of pictures (each 64 x 64 x 3 uint8) that are nearly equal."""
    if len(smalls) < 2:
        return []
    fine = np.stack([_block_means(small, 4) for small in smalls])  # 16 x 16
    coarse = np.stack([_block_means(small, 8) for small in smalls])  # never further apart than fine
    contrast = fine.std(axis=1)
    limit = np.where(contrast < CONTRAST, -1.0, ABSOLUTE + RELATIVE * contrast)
    squares = (coarse**2).mean(axis=1)
    matches = []
    for start in range(0, len(smalls), ROWS):
        rows = slice(start, start + ROWS)
        products = coarse[rows] @ coarse.T / coarse.shape[1]
        distance = squares[rows, None] + squares[None] - 2 * products
        bound = np.minimum(limit[rows, None], limit[None])
        near = (distance <= np.square(bound) + 0.05) & (bound > 0)
        for i, j in np.argwhere(near):
            i = int(i) + start
            if i < j and np.sqrt(((fine[i] - fine[j]) ** 2).mean()) <= min(limit[i], limit[j]):
                matches.append((i, int(j)))
    return matches


def _block_means(small: np.ndarray, factor: int) -> np.ndarray:
    """Return the mean of every `factor` x `factor` pixels, float32 and flat. Whole numbers are
    added row by row and column by column, in a fifth of the time of a mean over two axes."""
    side = small.shape[0] // factor
    blocks = small.astype(np.uint16).reshape(side, factor, side, factor, 3)
    rows = sum(blocks[:, i] for i in range(factor))
    return (sum(rows[:, :, i] for i in range(factor)) / np.float32(factor**2)).ravel()


def _groups_by_name(pairs: Sequence[PlannedPair], together: str) -> list[tuple[int, int]]:
    first: dict[str, int] = {}
    groups = []
    for index, pair in enumerate(pairs):
        keys = [f"group {pair.group}"] if pair.group else []
        match = re.search(together, pair.source) if together else None
        if match:
            keys.append(f"name {match.group(1) if match.re.groups else match.group(0)}")
        # One file in many pairs, and the pages of one.
        keys += [f"file {re.sub(_PAGE, '', name)}" for name in {pair.source, pair.target}]
        groups += [(first.setdefault(key, index), index) for key in keys]
    return groups


def _whole_counts(count: int, shares: tuple[float, float, float]) -> list[int]:
    """Divide `count` pairs by shares into integers; a split with a share gets one where it can."""
    exact = [count * share for share in shares]
    counts = [int(e + 1e-9) for e in exact]
    for i in sorted(range(3), key=lambda i: counts[i] - exact[i])[: count - sum(counts)]:
        counts[i] += 1
    for i in range(1, 3):
        if shares[i] > 0 and counts[i] == 0 and counts[0] > 1:
            counts[i], counts[0] = 1, counts[0] - 1
    return counts


def _warnings(splits: list[str], targets: list[int], members: dict[int, list[int]]) -> list[str]:
    got = [splits.count(split) for split in SPLITS]
    off = max(abs(a - b) for a, b in zip(got, targets))
    if off <= max(1, 0.05 * len(splits)):
        return []
    largest = max(map(len, members.values()))
    return [
        f"Pairs that look alike or belong together stay in one split, {largest} in the largest "
        f"group: the splits hold {got[0]}, {got[1]} and {got[2]} pairs instead of {targets[0]}, "
        f"{targets[1]} and {targets[2]}."
    ]
