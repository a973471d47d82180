"""What a dataset would hold, and what it would not and why, before anything is written.

`make_plan` reads every file once: pairs by name (`pairing`), damaged files, equal pictures, pairs
that do not fit each other, label maps that JPEG has spoilt. The originals are only read.

Alignment. Both pictures are seen at 64 x 64; the square root of the gradient's magnitude is their
edge map, of mean 0 and variance 1. The score of a pair is the correlation of its two edge maps,
1.0 for equal edges, about 0 for strangers. A pair is suspicious where moving the target by three
64ths or more raises the score clearly, or where it scores far below the rest of its dataset.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from scipy import fft

from pix2pix.datasets import SPLITS, find_pairs
from pix2pix.derive import DERIVATIONS
from pix2pix.errors import Stopped, UserError
from pix2pix.images import IMAGE_SUFFIXES, Glance, glance, open_picture
from pix2pix.names import natural
from pix2pix.pairing import Match, Matching, Refusal, match_names

LOOK = 64  # the side of the small pictures that pairs are judged by
REACH = 12  # 64ths by which the target is moved in search of a better fit
SHIFT, GAIN, PEAK = 3, 0.1, 0.25  # of a move: at least so far, so much better, so good
OUTLIER = 4.5  # robust standard deviations below the median score
ASPECT = 1.03  # a pair's aspects may differ by this factor
SAMPLE = 16  # files of a side that are looked at for being label maps
BIG = 16_000_000  # pictures of more pixels are decoded one at a time, so that memory stays bounded
THREADS = min(8, os.cpu_count() or 1)
SPLIT_NAMES = {"training": "train", "valid": "val", "validation": "val", "testing": "test"}
SPLIT_NAMES |= {name: name for name in SPLITS}
MAX_FILES = 1_000_000

Item, Result = TypeVar("Item"), TypeVar("Result")
_one_big = threading.Lock()


@dataclass(frozen=True)
class Inputs:
    """Where pairs come from: two folders; one folder of photos and a derivation; or, with neither
    `target` nor `derive`, a folder that already is a dataset. `table` is the text of a CSV."""

    source: Path
    target: Path | None = None
    match: str = "auto"
    table: str = ""
    derive: str = ""

    @property
    def kind(self) -> str:
        return "derived" if self.derive else "folders" if self.target else "dataset"

    @property
    def target_folder(self) -> Path:
        """The folder that targets are named in: the only one where there is one."""
        return self.target or self.source


@dataclass(frozen=True)
class Look:
    """One file: (width, height), digest of its bytes, bits and channels as stored, and a 64 x 64
    x 3 uint8 picture of it."""

    size: tuple[int, int]
    digest: str
    bits: int
    channels: int
    format: str
    small: np.ndarray = field(compare=False, repr=False)


@dataclass(frozen=True)
class Planned:
    """One pair that would be built. `half` says that the pair is the two halves of one strip."""

    source: str
    target: str
    source_look: Look
    target_look: Look
    split: str = ""
    group: str = ""
    half: bool = False
    score: float = 0.0


@dataclass(frozen=True)
class Plan:
    """`refused` is left out of the dataset; `doubts` are pairs that are kept unless told."""

    inputs: Inputs
    rule: str
    explanation: str
    pairs: tuple[Planned, ...]
    refused: tuple[Refusal, ...]
    doubts: tuple[Refusal, ...]
    label_maps: tuple[bool, bool]  # whether the sources, the targets are label maps

    @property
    def examples(self) -> list[tuple[str, str]]:
        """Three pairs of names from the beginning, the middle and the end."""
        count = len(self.pairs)
        chosen = sorted({0, count // 2, count - 1}) if count else []
        return [(self.pairs[i].source, self.pairs[i].target) for i in chosen]

    def counts(self) -> dict[str, int]:
        """How many pairs, and how many refusals and doubts of each kind."""
        found = {"pairs": len(self.pairs)}
        for refusal in (*self.refused, *self.doubts):
            found[refusal.kind] = found.get(refusal.kind, 0) + 1
        return found


def make_plan(
    inputs: Inputs,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Plan:
    """Read all files of `inputs` and say what would become of each.

    Raises UserError where a folder cannot be read, holds no picture or the rule cannot be used, and
    Stopped when `should_stop` says so.
    """
    names = _names(inputs)
    paths = {(side, n): _folder(inputs, side) / n for side in names for n in names[side]}
    looks: dict[tuple[str, str], Look] = {}
    unreadable: list[Refusal] = []
    read = parallel(lambda key: look_at(paths[key]), list(paths), should_stop)
    for done, (key, look) in enumerate(read, 1):
        if isinstance(look, Look):
            looks[key] = look
        else:
            unreadable.append(Refusal(key[1], key[0], "unreadable", str(look)))
        on_progress(done, len(paths))
    matching = _matching(inputs, names, looks)
    pairs, refused = _readable(inputs, matching, looks, unreadable)
    pairs, doubles = _doubles(pairs)
    refused += doubles
    labels = _label_maps(inputs, pairs)
    pairs, doubts = _judged(pairs, should_stop)
    doubts += _spoilt(inputs, pairs)
    return Plan(
        inputs, matching.rule, matching.explanation, tuple(pairs), tuple(refused), tuple(doubts),
        labels,
    )  # fmt: skip


def look_at(path: Path) -> Look | UserError:
    """A file as the plan sees it, or the sentence that says why it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError:
        return UserError(f"{path.name} may not be read: change its permissions.")
    digest = hashlib.sha256(content).hexdigest()
    try:
        with one_at_a_time(path):
            seen: Glance = glance(content, path.name, LOOK)
            picture = seen.picture.resize((LOOK, LOOK)).to_pil(3)
    except UserError as error:
        return error
    bits, channels = seen.picture.bits, len(seen.picture.image.getbands())
    small = np.asarray(picture)
    return Look(seen.size, digest, bits, channels, seen.format, small)


def one_at_a_time(*paths: Path) -> Any:
    """A context that lets only one big picture be in memory, judged by the files' headers."""
    for path in paths:
        try:
            with Image.open(path) as image:
                if image.width * image.height > BIG:
                    return _one_big
        except Exception:  # it is refused where it is read
            continue
    return nullcontext()


def parallel(
    work: Callable[[Item], Result], items: Sequence[Item], should_stop: Callable[[], bool]
) -> Iterator[tuple[Item, Result]]:
    """(item, work(item)) in the order of `items`, on all cores; few are under way at a time.

    Threads are enough: Pillow lets go of the interpreter while it decodes, scales and encodes.
    """
    waiting = iter(items)
    with ThreadPoolExecutor(THREADS) as pool:
        under_way = [(item, pool.submit(work, item)) for item in islice(waiting, 4 * THREADS)]
        try:
            while under_way:
                item, future = under_way.pop(0)
                result = future.result()
                if should_stop():
                    raise Stopped()
                under_way += [(i, pool.submit(work, i)) for i in islice(waiting, 1)]
                yield item, result
        finally:
            for _, future in under_way:
                future.cancel()


# ------------------------------------------------------------------------------- names and pairs


def _folder(inputs: Inputs, side: str) -> Path:
    return inputs.source if side == "source" else inputs.target_folder


def _names(inputs: Inputs) -> dict[str, list[str]]:
    """The picture files of either side, as paths inside its folder."""
    if inputs.derive and inputs.derive not in DERIVATIONS:
        raise UserError(f"'{inputs.derive}' is unknown: choose one of {', '.join(DERIVATIONS)}.")
    if inputs.kind == "dataset":
        found = [f for split in SPLITS for f in find_pairs(inputs.source, split)]
        files = {path for f in found for path in (f.a, f.b) if path}
        names = {"source": sorted(f.relative_to(inputs.source).as_posix() for f in files)}
    elif inputs.target is None:
        names = {"source": _pictures(inputs.source)}
    else:
        _apart(inputs.source, inputs.target)
        names = {"source": _pictures(inputs.source), "target": _pictures(inputs.target)}
    for side, files in names.items():
        if not files:
            folder = _folder(inputs, side).name
            raise UserError(f"'{folder}' holds no pictures: choose the folder they are in.")
    return names


def _apart(source: Path, target: Path) -> None:
    a, b = source.resolve(), target.resolve()
    if a == b or a in b.parents or b in a.parents:
        raise UserError(
            "Sources and targets must be in two folders, neither inside the other: choose again."
        )


def _pictures(folder: Path) -> list[str]:
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
    return sorted(names, key=natural)


def _matching(
    inputs: Inputs, names: dict[str, list[str]], looks: dict[tuple[str, str], Look]
) -> Matching:
    if inputs.kind == "derived":
        alone = tuple(Match(n, n) for n in names["source"])
        return Matching("derived", DERIVATIONS[inputs.derive], alone, ())
    if inputs.kind == "dataset":
        return _as_found(inputs)
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
        left = [r for r in matching.refused if (r.side, r.file) in copies]
        matching = replace(again, refused=(*again.refused, *left))
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


def _as_found(inputs: Inputs) -> Matching:
    """The pairs of a dataset that is there, strips or trainA and trainB, in its own splits."""
    pairs = []
    for split in SPLITS:
        for pair in find_pairs(inputs.source, split):
            a, b = (f.relative_to(inputs.source).as_posix() for f in (pair.a, pair.b or pair.a))
            pairs.append(Match(a, b, split))
    return Matching("as found", "the pairs of a dataset that is there", tuple(pairs), ())


def _readable(
    inputs: Inputs,
    matching: Matching,
    looks: dict[tuple[str, str], Look],
    unreadable: list[Refusal],
) -> tuple[list[Planned], list[Refusal]]:
    """Pairs of which both files can be read; each damaged file is refused once, by name."""
    bad = {(r.side, r.file) for r in unreadable}
    sides = ("source", "target" if inputs.kind == "folders" else "source")
    pairs, partners = [], {}
    for match in matching.pairs:
        keys = (sides[0], match.source), (sides[1], match.target)
        if all(key in looks for key in keys):
            half = inputs.kind == "dataset" and match.source == match.target
            a, b = (looks[key] for key in keys)
            if half:
                a, b = _halves(a)
            group, split = match.group, match.split or _split_of(match.source)
            pairs.append(Planned(match.source, match.target, a, b, split, group, half))
        elif match.source != match.target or inputs.kind == "folders":
            partners |= {keys[0]: match.target, keys[1]: match.source}
    told = []
    for refusal in unreadable:
        partner = partners.get((refusal.side, refusal.file))
        more = f" (its partner {partner} is left out with it)" if partner else ""
        told.append(replace(refusal, reason=refusal.reason.rstrip(".") + more))
    rest = [r for r in matching.refused if (r.side, r.file) not in bad]
    return pairs, rest + told


def _halves(look: Look) -> tuple[Look, Look]:
    width, height = look.size
    middle = LOOK // 2
    size = (width // 2, height)
    left, right = look.small[:, :middle], look.small[:, middle:]
    wide = (np.repeat(side, 2, axis=1) for side in (left, right))
    return tuple(replace(look, size=size, small=small) for small in wide)


def _split_of(name: str) -> str:
    """The split that a file's folder says, if it says one."""
    top, _, rest = name.partition("/")
    return SPLIT_NAMES.get(top.casefold(), "") if rest else ""


def _doubles(pairs: list[Planned]) -> tuple[list[Planned], list[Refusal]]:
    """Pairs that are there twice, source and target, once is enough."""
    first: dict[tuple, str] = {}
    kept, refused = [], []
    for pair in pairs:
        key = pair.source_look.digest, pair.target_look.digest
        original = first.setdefault(key, pair.source)
        if original == pair.source:
            kept.append(pair)
        else:
            reason = f"is the same pair as {original}"
            refused.append(Refusal(pair.source, "pair", "duplicate", reason))
    return kept, refused


# --------------------------------------------------------------------------------- doubtful pairs


def edges(small: np.ndarray) -> np.ndarray:
    """64 x 64 x 3 uint8 -> its edge map, float32, mean 0 and variance 1; zeros where it is flat."""
    channels = np.ascontiguousarray(small.transpose(2, 0, 1), np.float32)
    down, right = np.gradient(channels, axis=(1, 2))
    strength = np.sqrt(np.sqrt((down * down + right * right).max(axis=0)))
    strength -= strength.mean()
    spread = strength.std()
    return strength / spread if spread > 1e-6 else np.zeros_like(strength)


def alignment(source: np.ndarray, target: np.ndarray) -> tuple[float, float, tuple[int, int]]:
    """(score as it is, best score, (down, right) move in 64ths to it) of two edge maps."""
    room = (LOOK + REACH, LOOK + REACH)  # for the moved picture: nothing wraps around
    a, b = fft.rfft2(np.stack([source, target]), room)
    scores = fft.irfft2(a.conj() * b, room) / LOOK**2
    moves = np.arange(-REACH, REACH + 1)
    scores = scores[np.ix_(moves, moves)]
    best = np.unravel_index(scores.argmax(), scores.shape)
    return float(scores[REACH, REACH]), float(scores[best]), tuple(int(moves[i]) for i in best)


def _judged(
    pairs: list[Planned], should_stop: Callable[[], bool]
) -> tuple[list[Planned], list[Refusal]]:
    """Every pair with its score, and what is doubtful about any."""

    def fit(pair: Planned) -> tuple[float, float, tuple[int, int]]:
        return alignment(edges(pair.source_look.small), edges(pair.target_look.small))

    fits = [found for _, found in parallel(fit, pairs, should_stop)]
    scores = np.array([fit[0] for fit in fits])
    doubts = []
    least = -np.inf
    if len(pairs) >= 10:  # fewer say nothing of what is usual
        spread = 1.4826 * np.median(np.abs(scores - np.median(scores)))
        least = np.median(scores) - OUTLIER * max(spread, 0.02)
    for pair, (score, best, move) in zip(pairs, fits):
        doubts += _shape_doubt(pair)
        moved = max(map(abs, move)) >= SHIFT and best >= max(PEAK, score + GAIN)
        if moved or score < least:
            how = f"moved by {_moved(move, pair)} they fit better" if moved else "far below others"
            reason = f"the edges of its two pictures agree little (score {score:.2f}): {how}"
            doubts.append(Refusal(pair.source, "pair", "misaligned", reason))
    return [replace(p, score=round(s, 4)) for p, s in zip(pairs, scores.tolist())], doubts


def _moved(move: tuple[int, int], pair: Planned) -> str:
    """A move of the target in its own pixels, against the way it is off."""
    width, height = pair.target_look.size
    down, right = -move[0] * height / LOOK, -move[1] * width / LOOK
    return f"{right:+.0f}, {down:+.0f} pixels (right, down)"


def _shape_doubt(pair: Planned) -> list[Refusal]:
    (aw, ah), (bw, bh) = pair.source_look.size, pair.target_look.size
    ratio = (aw * bh) / (ah * bw)
    if max(ratio, 1 / ratio) <= ASPECT:
        return []
    reason = f"its source is {aw} x {ah}, its target {bw} x {bh}: one would be distorted"
    return [Refusal(pair.source, "pair", "aspect", reason)]


# ------------------------------------------------------------------------------------- label maps


def _label_maps(inputs: Inputs, pairs: list[Planned]) -> tuple[bool, bool]:
    """Whether each side holds label maps: 64 colours at most, exactly, in nearly every file."""
    if inputs.derive:
        return False, False
    flat = [_share(inputs, pairs, end, _few_colours) for end in ("source", "target")]
    return flat[0] >= 0.8, flat[1] >= 0.8


def _spoilt(inputs: Inputs, pairs: list[Planned]) -> list[Refusal]:
    """A doubt for each side whose JPEGs look like label maps."""
    doubts = []
    for end in () if inputs.derive else ("source", "target"):
        jpegs = [p for p in pairs if getattr(p, f"{end}_look").format == "JPEG"]
        if jpegs and _share(inputs, jpegs, end, _nearly_flat) >= 0.5:
            reason = (
                f"this and {len(jpegs) - 1} more {end} pictures look like label maps saved as "
                "JPEG, which blurs their colours: export them as PNG where you can"
            )
            doubts.append(Refusal(getattr(jpegs[0], end), end, "jpeg labels", reason))
    return doubts


def _share(
    inputs: Inputs, pairs: list[Planned], end: str, test: Callable[[Image.Image], bool]
) -> float:
    """The share of a side's files that pass a test, from a sample spread over all."""
    sample = pairs[:: max(1, len(pairs) // SAMPLE)][:SAMPLE]
    passed = 0
    for pair in sample:
        image = open_picture(_folder(inputs, end) / getattr(pair, end)).to_pil(3)
        if pair.half:
            middle = image.width // 2
            left = end == "source"
            image = image.crop(
                (0 if left else middle, 0, middle if left else image.width, image.height)
            )
        passed += test(image)
    return passed / len(sample) if sample else 0.0


def _few_colours(image: Image.Image) -> bool:
    return image.getcolors(64) is not None


def _nearly_flat(image: Image.Image) -> bool:
    """Whether a picture that went through JPEG was a label map: neighbours are nearly all alike,
    a few colours, three of them at least and not all grey, make up nearly all of it."""
    pixels = np.asarray(image).astype(np.int16)
    steps = np.abs(np.diff(pixels, axis=1)).max(axis=2)
    if (steps <= 10).mean() < 0.8:
        return False
    coarse = (pixels + 8) // 16  # 0 to 16
    counts = np.bincount(np.ravel_multi_index(tuple(coarse.reshape(-1, 3).T), (17, 17, 17)))
    order = counts.argsort()[::-1][:24]
    order = order[counts[order] > 0]
    common = np.stack(np.unravel_index(order, (17, 17, 17)), axis=1)
    common = common[counts[order] > 0.01 * counts.sum()]
    colourful = (np.ptp(common, axis=1) > 2).sum() if len(common) else 0
    return counts[order].sum() > 0.75 * counts.sum() and len(common) >= 3 and colourful >= 1
