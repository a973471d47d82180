"""Little houses drawn by code: the label map of a scene and a picture of the same scene.

They are the pairs of the sample dataset, for who wants to see whether training works before there
are pairs of their own. A scene is a list of shapes with a label's name each, in fractions of the
side, so that it serves as a picture of any size and as a drawing on the pad. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter
from scipy import ndimage

PALETTE = {
    "sky": "#8cb8e8",
    "cloud": "#ffffff",
    "grass": "#62a834",
    "wall": "#e8cf9a",
    "brick": "#d07850",
    "boards": "#3f8f8a",
    "roof": "#a8402c",
    "window": "#2c4470",
    "door": "#704020",
    "tree": "#1e5c30",
}
WALLS = ["wall", "brick", "boards"]  # what a house is built of: its label tells its colour
ROOFS = ["#9c4630", "#a8523a", "#94503c"]
FINE = 2  # pixels of the drawing for one of the picture: its lines are smooth


@dataclass(frozen=True)
class Shape:
    """A polygon of one label; `points` (x, y) as fractions of the side, y downwards."""

    label: str
    points: tuple[tuple[float, float], ...]

    def to_json(self, palette: Mapping[str, str]) -> dict:
        """Return an operation of the drawing pad; `palette` is label -> "#rrggbb"."""
        points = [[round(x, 4), round(y, 4)] for x, y in self.points]
        return {"kind": "shape", "color": palette[self.label], "points": points}


def draw_shapes(shapes: Sequence[Shape], palette: Mapping[str, str], size: int) -> Image.Image:
    """Draw a label map of size x size in the palette's exact colours; later shapes lie on top."""
    picture = Image.new("RGB", (size, size), palette[shapes[0].label])
    pen = ImageDraw.Draw(picture)
    for shape in shapes:
        pen.polygon([(x * size, y * size) for x, y in shape.points], fill=palette[shape.label])
    return picture


def box(label: str, left: float, top: float, right: float, bottom: float) -> Shape:
    """Make an upright rectangle."""
    return Shape(label, ((left, top), (right, top), (right, bottom), (left, bottom)))


def blob(label: str, x: float, y: float, rx: float, ry: float, rng: np.random.Generator) -> Shape:
    """Make a round shape with an uneven outline: a tree, a bush, a pond."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    rough = 1 + ndimage.gaussian_filter1d(rng.normal(size=24), 1.0, mode="wrap") * 0.15
    points = zip(x + rx * rough * np.cos(angles), y + ry * rough * np.sin(angles))
    return Shape(label, tuple((float(px), float(py)) for px, py in points))


def draw_house(seed: int, size: int) -> tuple[Image.Image, Image.Image]:
    """Draw (label map in the colours of PALETTE, picture), size x size, both of the same scene."""
    shapes = house_shapes(seed)
    rng = np.random.default_rng([seed, 1])
    picture = np.zeros((size * FINE, size * FINE, 3))
    for shape in shapes:
        _paint(picture, shape, rng)
    fine = Image.fromarray(np.uint8(np.clip(picture, 0, 1) * 255))
    return draw_shapes(shapes, PALETTE, size), fine.resize((size, size), Image.Resampling.BOX)


# ------------------------------------------------------------------------------------ the scene


def house_shapes(seed: int) -> list[Shape]:
    """Make a scene: one or two houses on a lawn, trees and clouds, the farthest first."""
    rng = np.random.default_rng(seed)
    horizon = rng.uniform(0.62, 0.76)
    shapes = [box("sky", 0, 0, 1, 1)]
    for _ in range(rng.integers(0, 3)):
        x, y = rng.uniform(0.05, 0.95), rng.uniform(0.06, 0.2)
        shapes += [
            blob("cloud", x + dx, y, 0.1, 0.045, rng) for dx in rng.uniform(-0.08, 0.08, size=2)
        ]
    for x in rng.uniform(0, 1, size=rng.integers(0, 3)):
        shapes += _tree(x, horizon + 0.01, rng.uniform(0.7, 1.0), rng)
    hills = [(x, horizon + rng.uniform(-0.02, 0.02)) for x in np.linspace(0, 1, 6)]
    shapes.append(Shape("grass", ((0.0, 1.0), *hills, (1.0, 1.0))))
    if rng.random() < 0.35:
        left, width = rng.choice([0.02, 0.66]), rng.uniform(0.24, 0.32)
        shapes += _house(left, width, horizon + 0.04, rng.uniform(0.14, 0.2), "wall", rng)
    width = rng.uniform(0.44, 0.7)
    left, ground = rng.uniform(0.06, 0.94 - width), rng.uniform(horizon + 0.06, 0.9)
    wall = WALLS[(seed + seed // 3) % len(WALLS)]  # houses beside each other differ
    shapes += _house(left, width, ground, rng.uniform(0.24, 0.42), wall, rng)
    if rng.random() < 0.6:
        x = left - 0.06 if rng.random() < 0.5 else left + width + 0.06
        shapes += _tree(x, ground + 0.03, rng.uniform(1.0, 1.4), rng)
    return shapes


def _tree(x: float, foot: float, scale: float, rng: np.random.Generator) -> list[Shape]:
    """Make a tree, or a bush, that stands at `foot`."""
    height = scale * rng.uniform(0.1, 0.2)
    trunk = box("door", x - 0.012 * scale, foot - height, x + 0.012 * scale, foot)
    crown = blob("tree", x, foot - height, 0.09 * scale, 0.1 * scale, rng)
    return [trunk, crown] if height > 0.13 else [crown]


def _house(
    left: float, width: float, ground: float, height: float, wall: str, rng: np.random.Generator
) -> list[Shape]:
    """Make walls of the kind `wall`, `height` high, that stand on `ground`, a roof of one of four
    forms, a door and windows in the other bays of one or two floors."""
    right, top = left + width, ground - height
    eaves, peak = 0.035, top - rng.uniform(0.1, 0.2)
    middle = left + width * rng.choice([0.5, 0.35, 0.65])
    low, high = (left - eaves, top), (right + eaves, top)
    forms = [
        [low, (middle, peak), high],
        [low, (left + 0.07, peak), (right - 0.07, peak), high],
        [low, (left - eaves, top - 0.05), (right + eaves, peak), high],
        [low, (left - eaves, top - 0.06), (right + eaves, top - 0.06), high],
    ]
    shapes = [box(wall, left, top, right, ground)]
    chimney = left + width * rng.uniform(0.2, 0.3)
    form = rng.choice(4, p=[0.4, 0.35, 0.15, 0.1])
    if form == 1:
        shapes.append(box("brick", chimney, peak - 0.06, chimney + 0.045, top))
    shapes.append(Shape("roof", tuple((float(x), float(y)) for x, y in forms[form])))
    bays = max(2, round(width / 0.18))
    floors = 2 if height > 0.32 else 1
    bay, floor = width / bays, height / floors
    entrance = int(rng.integers(bays))
    for level in range(floors):
        for column in range(bays):
            x, y = left + bay * (column + 0.5), top + floor * level
            if level == floors - 1 and column == entrance:
                rise = min(0.18, floor * 0.8)
                shapes.append(box("door", x - 0.045, ground - rise, x + 0.045, ground))
            elif rng.random() < 0.92:
                half = bay * 0.3
                shapes.append(box("window", x - half, y + floor * 0.2, x + half, y + floor * 0.66))
    return shapes


# -------------------------------------------------------------------------------------- painting


def _paint(picture: np.ndarray, shape: Shape, rng: np.random.Generator) -> None:
    """Paint a shape's material over `picture`, side x side x 3 from 0 to 1."""
    side = len(picture)
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).polygon([(x * side, y * side) for x, y in shape.points], fill=255)
    if shape.label == "cloud":
        mask = mask.filter(ImageFilter.GaussianBlur(side / 50))
    frame = mask.getbbox()
    if frame is None:  # it lies outside
        return
    left, top, right, bottom = frame
    inside = np.asarray(mask.crop(frame), float)[..., None] / 255
    y, x = np.mgrid[0 : bottom - top, 0 : right - left] / side
    paint = MATERIALS[shape.label](x, y, rng)
    part = picture[top:bottom, left:right]
    part += (paint - part) * inside
    if shape.label == "roof":  # its eaves throw a shadow on the wall
        picture[bottom : bottom + side // 40, left + side // 28 : right - side // 28] *= 0.72


def _colour(name: str) -> np.ndarray:
    return np.array(ImageColor.getrgb(name)) / 255


def _mix(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Blend colours: `a` where `share`, h x w, is 0 and `b` where it is 1."""
    return a + (b - a) * np.clip(share, 0, 1)[..., None]


def _sky(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _mix(_colour("#4a8fdc"), _colour("#d6e9f8"), y / 0.75)


def _cloud(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _mix(_colour("#ffffff"), _colour("#d4dce8"), y / y.max(initial=0.01))


def _grass(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blades grow longer and darker towards the front."""
    blades = ndimage.gaussian_filter(rng.normal(size=x.shape), (2.0, 0.6))
    paint = _mix(_colour("#9cc860"), _colour("#4a8c2c"), y / 0.35)
    return paint * (1 + (0.25 + y) * blades)[..., None]


def _wall(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Plaster over a base of stone."""
    base = (y > y.max() - 0.02)[..., None]
    return _lit("#f2e0ba", x, rng) * np.where(base, 0.66, 1.0)


def _brick(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Courses of bricks with pale joints, each shifted by half a brick."""
    course = np.floor(y / 0.022)
    joint = ((y / 0.022) % 1 > 0.72) | ((x / 0.05 + course / 2) % 1 > 0.88)
    return _mix(_lit("#b8583a", x, rng), _colour("#e4c4a8"), joint * 0.6)


def _boards(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Painted boards, each in the shadow of the one above it, between white corner posts."""
    shadow = 1 - 0.35 * ((y / 0.032) % 1 < 0.25)
    paint = _lit("#58a8a2", x, rng) * shadow[..., None]
    post = np.minimum(x, x.max(initial=0.01) - x) < 0.014
    return np.where(post[..., None], _colour("#f4f2ea"), paint)


def _lit(colour: str, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint a wall that is lit from the left."""
    light = 1.04 - 0.28 * x / x.max(initial=0.01) + rng.normal(0, 0.02, x.shape)
    return _colour(colour) * light[..., None]


def _roof(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of tiles, each row shifted by half a tile."""
    row = np.floor(y / 0.03)
    joint = ((y / 0.03) % 1 > 0.7) | ((x / 0.04 + row / 2) % 1 > 0.85)
    light = 1.15 - 0.3 * x / x.max(initial=0.01) - 0.3 * joint + rng.normal(0, 0.03, x.shape)
    return _colour(str(rng.choice(ROOFS))) * light[..., None]


def _window(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a white frame with a cross, and glass in which the sky is mirrored aslant."""
    width, height = x.max(initial=0.01), y.max(initial=0.01)
    u, v = x / width, y / height
    glass = _mix(_colour("#28384e"), _colour("#6f9cc4"), 0.9 - v)
    glass = _mix(glass, _colour("#e4f2fc"), ((u + v) % 1.0 < 0.25) * 0.8)
    edge = np.minimum(np.minimum(x, width - x), np.minimum(y, height - y)) < 0.014
    cross = (np.abs(u - 0.5) * width < 0.008) | (np.abs(v - 0.45) * height < 0.007)
    return np.where((edge | cross)[..., None], _colour("#f6f4ee"), glass)


def _door(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two panels in a frame and a brass knob; a trunk of a tree is as dark."""
    width, height = x.max(initial=0.01), y.max(initial=0.01)
    u, v = x / width, y / height
    paint = _mix(_colour("#6e4424"), _colour("#201008"), u * 0.3)
    panel = (np.abs(u - 0.5) < 0.28) & (np.abs(v % 0.5 - 0.26) < 0.17)
    paint = np.where(panel[..., None], paint * 1.35, paint)
    knob = np.hypot(u * width - 0.82 * width, v * height - 0.52 * height) < 0.008
    return np.where(knob[..., None], _colour("#f0d070"), paint)


def _tree_paint(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Clumps of leaves, lit from above on the left."""
    leaves = ndimage.gaussian_filter(rng.normal(size=x.shape), len(x) / 24)
    leaves = 0.18 * leaves / leaves.std() + rng.normal(0, 0.05, x.shape)
    u, v = x / x.max(initial=0.01), y / y.max(initial=0.01)
    return _mix(_colour("#6fae48"), _colour("#1c4a28"), 0.15 + 0.4 * (u + v) + leaves)


MATERIALS: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "sky": _sky, "cloud": _cloud, "grass": _grass, "wall": _wall, "brick": _brick,
    "boards": _boards, "roof": _roof, "window": _window, "door": _door, "tree": _tree_paint,
}  # fmt: skip
