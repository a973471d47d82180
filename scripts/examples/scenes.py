"""Draw sources for models of facades, streets, maps and grey photos: something to begin with on
the first screen, and for the pictures on model cards.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

from pix2pix.imaging.example_houses import Shape, blob, box
from pix2pix.imaging.strokes import Points


def band(label: str, points: Points, width: float) -> Shape:
    """Make a polyline with a width: a road or a river."""
    path = np.asarray(points, float)
    along = np.gradient(path, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    across *= width / 2 / np.maximum(np.hypot(*across.T), 1e-9)[:, None]
    outline = np.concatenate([path + across, (path - across)[::-1]])
    return Shape(label, tuple((float(x), float(y)) for x, y in outline))


# ------------------------------------------------------------------------------------ label maps


def facade_shapes(seed: int) -> list[Shape]:
    """Make a house front: floors of windows between moldings, balconies, a shop or a door below."""
    rng = np.random.default_rng(seed)
    left, right = rng.uniform(-0.05, 0.12), rng.uniform(0.88, 1.05)
    top, ground = rng.uniform(0.04, 0.14), rng.uniform(0.92, 0.98)
    shapes = [box("background", 0, 0, 1, 1), box("wall", left, top, right, ground)]
    shapes.append(box("molding", left - 0.02, top, right + 0.02, top + 0.035))
    floors, columns = int(rng.integers(3, 6)), int(rng.integers(3, 7))
    storey, bay = (ground - top - 0.04) / floors, (right - left) / columns
    balconies = set(rng.choice(columns, columns // 3, replace=False).tolist())
    blinds, arched = rng.random() < 0.3, rng.random() < 0.5
    for floor in range(floors - 1):
        y = top + 0.04 + storey * floor
        for column in range(columns):
            _window(shapes, left + bay * column, y, bay, storey, arched, blinds)
            if column in balconies and floor:
                x = left + bay * column
                shapes.append(box("balcony", x, y + storey * 0.7, x + bay, y + storey * 0.95))
        if floor % 2:
            shapes.append(box("molding", left, y + storey * 0.96, right, y + storey * 1.02))
    y = ground - storey
    shapes.append(box("molding", left, y - 0.01, right, y + 0.015))
    door = int(rng.integers(columns))
    shop = rng.random() < 0.6
    for column in range(columns):
        x = left + bay * column
        if column == door:
            shapes.append(box("door", x + bay * 0.28, y + storey * 0.22, x + bay * 0.72, ground))
        elif shop:
            shapes.append(box("shop", x + bay * 0.1, y + storey * 0.22, x + bay * 0.9, ground))
        else:
            _window(shapes, x, y, bay, storey, False, False)
    return shapes


def _window(
    shapes: list[Shape], x: float, y: float, bay: float, storey: float, arched: bool, blinds: bool
) -> None:
    """Add a window with its sill, in a bay of a floor; a cornice above, or blinds beside it."""
    left, right, top, foot = x + bay * 0.3, x + bay * 0.7, y + storey * 0.22, y + storey * 0.8
    if blinds:
        shapes.append(box("blind", left - bay * 0.16, top, right + bay * 0.16, foot))
    shapes.append(box("window", left, top, right, foot))
    shapes.append(box("sill", left - bay * 0.05, foot, right + bay * 0.05, foot + storey * 0.06))
    if arched:
        over = top - storey * 0.1
        shapes.append(box("cornice", left - bay * 0.06, over, right + bay * 0.06, top))


def street_shapes(seed: int) -> list[Shape]:
    """Make a road ahead between rows of houses, with trees, lamps, signs, cars and people."""
    rng = np.random.default_rng(seed)
    view = _View(float(rng.uniform(0.44, 0.56)), float(rng.uniform(0.5, 0.56)))
    x, y = view.x, view.y
    shapes = [box("sky", 0, 0, 1, 1), box("tree", 0, y - 0.06, 1, y + 0.02)]
    shapes.append(Shape("pavement", ((-2.2, 1), (x - 0.02, y), (x + 0.02, y), (3.2, 1))))
    shapes.append(Shape("road", ((x - 1.0, 1), (x - 0.01, y), (x + 0.01, y), (x + 1.0, 1))))
    for side in (-1, 1):
        _houses(shapes, view, side, rng)
        for near in np.sort(rng.uniform(0.16, 0.36, int(rng.integers(1, 4)))):
            kind = ("tree", "tree", "lamp", "sign")[int(rng.integers(4))]
            _upright(shapes, view, kind, 1.25 * side, float(near), rng)
        if rng.random() < 0.6:
            near = float(rng.uniform(0.26, 0.38))
            _upright(shapes, view, "person", 1.3 * side, near, rng)
        for near in np.linspace(0.1, rng.uniform(0.15, 0.55), int(rng.integers(0, 4))):
            _car(shapes, view, 0.8 * side, float(near))
    _car(shapes, view, float(rng.choice([-0.35, 0.35])), float(rng.uniform(0.12, 0.3)))
    return shapes


@dataclass(frozen=True)
class _View:
    """Where a street vanishes. Something on the ground is `across` half widths of the road from
    its middle, and `near`: 0 there, 1 at the lower edge of the picture."""

    x: float
    y: float

    def place(self, across: float, near: float, up: float = 0.0) -> tuple[float, float]:
        """Return where a point is seen, `up` above the ground in half widths of the road."""
        return self.x + across * near, self.y + (1 - self.y) * near - up * near


def _houses(shapes: list[Shape], view: _View, side: int, rng: np.random.Generator) -> None:
    """Add the houses of one side of a street, each with a height of its own, the far ones first."""
    ends = [0.05, 0.1, 0.17, 0.28, 0.45, 0.8]
    for far, near in itertools.pairwise(ends):
        if rng.random() < 0.15:  # a garden
            _upright(shapes, view, "tree", 1.9 * side, (far + near) / 2, rng)
            continue
        high = float(rng.uniform(1.3, 2.4))
        # Along the street, and the near end, which is seen where the next house is lower.
        corners = [(1.7, far, 0), (1.7, far, high), (1.7, near, high), (3.5, near, high),
                   (3.5, near, 0), (1.7, near, 0)]  # fmt: skip
        points = tuple(view.place(across * side, at, up) for across, at, up in corners)
        shapes.append(Shape("building", points))


def _upright(
    shapes: list[Shape], view: _View, kind: str, across: float, near: float,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """Add a tree, a lamp, a sign or a person who stands beside the road."""
    x, foot = view.place(across, near)
    if kind == "person":
        tall, wide = 0.42 * near, 0.07 * near
        shapes.append(blob("pedestrian", x, foot - 0.9 * tall, 0.6 * wide, 0.1 * tall, rng))
        shapes.append(blob("pedestrian", x, foot - 0.6 * tall, wide, 0.26 * tall, rng))
        for leg in (-1, 1):
            shapes.append(box("pedestrian", x + (leg * 0.45 - 0.3) * wide, foot - 0.42 * tall,
                              x + (leg * 0.45 + 0.3) * wide, foot))  # fmt: skip
    elif kind == "tree":
        shapes.append(box("tree", x - 0.04 * near, foot - 0.7 * near, x + 0.04 * near, foot))
        for _ in range(4):
            dx, dy = rng.uniform(-0.22, 0.22) * near, rng.uniform(0.6, 1.1) * near
            shapes.append(blob("tree", x + dx, foot - dy, 0.26 * near, 0.26 * near, rng))
    else:
        tall, wide = (1.5 if kind == "lamp" else 0.9) * near, max(0.018 * near, 0.004)
        shapes.append(box("pole", x - wide, foot - tall, x + wide, foot))
        arm = np.sign(view.x - x) * 0.25 * near
        if kind == "lamp":
            shapes.append(box("pole", min(x, x + arm), foot - tall, max(x, x + arm),
                              foot - tall + 2 * wide))  # fmt: skip
        else:
            shapes.append(blob("sign", x, foot - tall, 0.1 * near, 0.1 * near, rng))


CAR = (
    (-0.3, 0), (-0.3, 0.06), (-0.19, 0.06), (-0.19, 0.03), (0.19, 0.03), (0.19, 0.06), (0.3, 0.06),
    (0.3, 0), (0.33, 0), (0.34, 0.24), (0.27, 0.3), (0.2, 0.5), (-0.2, 0.5), (-0.27, 0.3),
    (-0.34, 0.24), (-0.33, 0),
)  # fmt: skip


def _car(shapes: list[Shape], view: _View, across: float, near: float) -> None:
    """Add a car seen from behind or ahead."""
    points = tuple(view.place(across + dx, near, up) for dx, up in CAR)
    shapes.append(Shape("car", points))


def town_shapes(seed: int) -> list[Shape]:
    """Make a map of a town: roads that part it into blocks of houses, parks and open land, and a
    lake or a canal."""
    rng = np.random.default_rng(seed)
    shapes = [box("land", 0, 0, 1, 1)]
    rows, columns = (np.linspace(0, 1, int(rng.integers(4, 6)))[1:-1] for _ in range(2))
    rows, columns = (at + rng.uniform(-0.05, 0.05, len(at)) for at in (rows, columns))
    for left, right in itertools.pairwise([-0.1, *columns, 1.1]):
        for top, bottom in itertools.pairwise([-0.1, *rows, 1.1]):
            kind = rng.choice(["building", "plants", "land"], p=[0.7, 0.18, 0.12])
            if kind != "land":
                shapes.append(_block(str(kind), left, top, right, bottom, rng))
    t = np.linspace(-0.05, 1.05, 16)
    bend = 0.09 * np.sin(t * np.pi * rng.uniform(0.6, 1.4) + rng.uniform(0, 3))
    if rng.random() < 0.5:
        slope, start = rng.uniform(-0.3, 0.3), rng.uniform(0.3, 0.7)
        canal = [(float(x), float(start + slope * x + y)) for x, y in zip(t, bend)]
        shapes.append(band("land", canal, 0.16))
        shapes.append(band("water", canal, 0.1))
    else:
        x, y = (float(v) for v in rng.uniform(0.2, 0.8, 2))
        shapes += [blob("land", x, y, 0.19, 0.16, rng), blob("water", x, y, 0.15, 0.12, rng)]
    for at, turned in [*((x, False) for x in columns), *((y, True) for y in rows)]:
        bend = 0.02 * np.sin(t * np.pi * rng.uniform(1, 3))
        path = [(float(at + b), float(p)) for b, p in zip(bend, t)]
        path = [(y, x) for x, y in path] if turned else path
        shapes.append(band("road", path, float(rng.choice([0.03, 0.03, 0.055]))))
    return shapes


def _block(
    kind: str, left: float, top: float, right: float, bottom: float, rng: np.random.Generator
) -> Shape:
    """Fill the place between four roads, with verges and round corners."""
    verge, corner = 0.035, 0.03
    left, top, right, bottom = left + verge, top + verge, right - verge, bottom - verge
    points = []
    for x, y, dx, dy in (
        (left, top, 1, 1), (right, top, -1, 1), (right, bottom, -1, -1), (left, bottom, 1, -1),
    ):  # fmt: skip
        ends = (x, y + dy * corner), (x + dx * corner, y)
        points += ends if dx == dy else ends[::-1]
    jitter = rng.uniform(-0.008, 0.008, (len(points), 2))
    moved = np.array(points) + jitter
    return Shape(kind, tuple((float(px), float(py)) for px, py in moved))


EXAMPLE_SOURCES: dict[str, Callable[[int], list[Shape]]] = {
    "facades": facade_shapes, "streets": street_shapes, "towns": town_shapes,
}  # fmt: skip


# ----------------------------------------------------------------------------------- grey photos


def draw_landscape(seed: int, size: int) -> Image.Image:
    """Draw a grey landscape, mode 'L', with a photo's textures: sky, hills, a meadow or a lake.
    What is far is paler and smoother than what is near."""
    rng = np.random.default_rng(seed)
    y = np.mgrid[0:size, 0:size][0] / size
    horizon = rng.uniform(0.4, 0.6)
    clouds = texture(size, 2.1, rng)
    grey = 0.62 + 0.25 * (y / horizon) + 0.11 * clouds * (1 - 0.6 * y / horizon)
    for depth in range(3):
        ridge = horizon + 0.05 * depth - (0.16 - 0.04 * depth) * np.abs(texture(size, 2.2, rng)[0])
        ridge = ndimage.gaussian_filter1d(ridge, 2 + 2 * depth)
        shade = 0.56 - 0.13 * depth + 0.035 * (1 + depth) * texture(size, 1.7, rng)
        grey = blend_below(grey, shade, y, ridge)
    shore = horizon + rng.uniform(0.12, 0.2)
    if rng.random() < 0.5:  # water: the sky again, darker, in long ripples
        ripples = ndimage.gaussian_filter1d(texture(size, 1.5, rng), size / 24, axis=1)
        plain = 0.5 + 0.1 * clouds[::-1] + 0.05 * ripples / ripples.std() + 0.2 * (y - shore)
        edge = np.full(size, shore)
    else:  # a meadow, whose blades are seen near by alone
        near = np.clip((y - shore) / (1 - shore), 0, 1)
        plain = 0.5 - 0.12 * near + 0.06 * texture(size, 2.0, rng)
        plain += 0.05 * near * texture(size, 1.0, rng)
        edge = shore + 0.02 * texture(size, 2.4, rng)[0]
    grey = blend_below(grey, plain, y, edge)
    return Image.fromarray(np.uint8(255 * np.clip(grey, 0, 1)))


def blend_below(
    behind: np.ndarray, front: np.ndarray, y: np.ndarray, edge: np.ndarray
) -> np.ndarray:
    """Lay `front` below its `edge`, a height for each column, with a lens's soft line between."""
    return behind + (front - behind) * np.clip((y - edge[None]) * len(y) / 1.5 + 0.5, 0, 1)


def texture(size: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Make size x size noise whose amplitude falls with frequency by `slope`, deviation 1:
    photos have about 1, clouds and ridges more."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(
        np.fft.rfft2(rng.normal(size=(size, size))) / frequency**slope, (size,) * 2
    )
    return noise / noise.std()
