"""Draw both networks: U-Nets as a U with their skip connections, the others as a chain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageDraw, ImageFont

from pix2pix.nn.summary import Row, Summary, is_convolution

SCALE = 2  # drawn larger and reduced: Pillow's lines have hard edges
PITCH, MARGIN, HEADER = 104, 48, 104  # between columns; around all; above a network's blocks
LABEL, NOTE = 38, 40  # room above and below a block
INK, SOFT, LINE, SKIP_LINE = "#1f2937", "#6b7280", "#9ca3af", "#3b82f6"
KINDS = {  # kind of block -> colour and meaning
    "picture": ("#fbbf24", "picture"),
    "encoder": ("#60a5fa", "encoder"),
    "skip": ("#bfdbfe", "copied by a skip connection"),
    "decoder": ("#34d399", "decoder"),
    "dropout": ("#0f9f85", "decoder with dropout"),
    "layer": ("#818cf8", "convolution"),
    "residual": ("#c4b5fd", "residual blocks"),
}


@dataclass
class Block:
    """One stage: its parts are (channels, kind), concatenated from left to right. ``x`` and ``y``
    are its centre; ``note`` says how it came from the block before."""

    parts: list[tuple[int, str]]
    size: int
    note: str = ""
    skip_from: Block | None = None
    x: float = 0.0
    y: float = 0.0

    @property
    def height(self) -> float:
        """Height of the block in the picture, in points."""
        return 10 + 9 * math.log2(self.size)

    @property
    def widths(self) -> list[float]:
        """Width of each part, in points."""
        return [7 + 3.4 * math.log2(channels) for channels, _ in self.parts]

    @property
    def right(self) -> float:
        """Right edge, in points."""
        return self.x + sum(self.widths) / 2

    @property
    def left(self) -> float:
        """Left edge, in points."""
        return self.x - sum(self.widths) / 2


def draw_networks(summary: Summary) -> Image.Image:
    """Draw the generator above the discriminator. A block's height grows with the logarithm of
    its size, its width with that of its channels."""
    config, fields = summary.config, summary.fields
    names = {"unet": "U-Net", "small-unet": "small U-Net", "resnet": "ResNet"}
    size = f"{config.size} x {config.size}"
    title, judges = "Discriminator: projected, the finest of four heads", (
        "Each of its outputs judges what a frozen network sees around it, and the source."
    )  # fmt: skip
    if fields:
        title, patch = "Discriminator: PatchGAN", f"{fields[-1]} x {fields[-1]}"
        judges = f"Each of its outputs judges a patch of {patch} pixels."
    networks = [
        (f"Generator: {names[config.generator]} for {size}",
         f"{summary.generator.parameters:,} parameters",
         network_blocks(summary.generator.rows), config.generator != "resnet"),
        (title, f"{summary.discriminator.parameters:,} parameters. {judges}",
         network_blocks(one_head(summary)), False),
    ]  # fmt: skip
    columns = max(len(blocks) for _, _, blocks, _ in networks)
    width = max(2 * MARGIN + PITCH * columns, 880)
    bottoms = [0.0]
    for _, _, blocks, u_shaped in networks:
        bottoms.append(place_blocks(blocks, width, bottoms[-1] + HEADER, u_shaped))
    image = Image.new("RGB", (width * SCALE, round(bottoms[-1]) * SCALE), "white")
    pen = Pen(image)
    for top, network in zip(bottoms, networks):
        pen.network(top, *network)
    return image.reduce(SCALE)


def one_head(summary: Summary) -> list[Row]:
    """Return D's rows; of the projected one, whose heads are alike, those of the first, at 1/4."""
    rows = summary.discriminator.rows
    starts = [i for i, row in enumerate(rows) if row.operation == "Concatenate"]
    return rows[starts[0] : starts[1]] if len(starts) > 1 else rows


def network_blocks(rows: list[Row]) -> list[Block]:
    """Make a block for the input and one for each convolution; a residual block is one."""
    first, last = rows[0], [row for row in rows if is_convolution(row)][-1]
    discriminator = first.operation == "Concatenate"  # it reads source and target together
    parts = [(first.input[0], "picture")]
    if discriminator:
        parts.append((first.output[0] - first.input[0], "picture"))
    blocks = [Block(parts, first.input[1], "source and,target" if discriminator else "source")]
    residual = sum(row.operation == "Add" for row in rows)
    has_skips = any(row.operation == "Concatenate" for row in rows[1:])
    kind = "encoder" if has_skips else "layer"
    for row in rows[discriminator:]:
        channels, size, _ = row.output
        block = blocks[-1]
        if row.operation.startswith(("Transposed", "Enlarge")) and has_skips:
            kind = "decoder"
        if is_convolution(row) and residual and ".layers." in row.name:
            if block.parts[0][1] != "residual":
                note = f"{residual} residual,blocks"
                blocks.append(Block([(channels, "residual")], size, note))
        elif is_convolution(row):
            ends = row is last and not discriminator
            note = row.operation.replace("Transposed conv", "Transposed")
            blocks.append(Block([(channels, "picture" if ends else kind)], size, note))
        elif row.operation.startswith("Dropout") and block.parts[0][1] == "decoder":
            block.parts = [(block.parts[0][0], "dropout")]
        elif row.operation == "Concatenate":
            encoders = (b for b in reversed(blocks) if b.parts[0][1] == "encoder")
            block.skip_from = next(b for b in encoders if b.size == size)
            block.parts.insert(0, (channels - row.input[0], "skip"))
    return blocks


def place_blocks(nodes: list[Block], width: int, top: float, u_shaped: bool) -> float:
    """Set each block's centre below ``top``, the network in the middle; returns its lower end.

    In a U a block's row is that of its size; a chain has one row.
    """
    tallest = max(node.height for node in nodes)
    rows, y = {}, top
    for size in sorted({node.size for node in nodes}, reverse=True) if u_shaped else []:
        height = next(node.height for node in nodes if node.size == size)
        rows[size] = y + LABEL + height / 2
        y += LABEL + height
    for i, node in enumerate(nodes):
        node.x = width / 2 + (i - (len(nodes) - 1) / 2) * PITCH
        node.y = rows[node.size] if u_shaped else top + LABEL + tallest / 2
    return y + MARGIN if u_shaped else top + LABEL + tallest + NOTE + MARGIN


class Pen:
    """Draws on an image of ``SCALE`` times the coordinates."""

    def __init__(self, image: Image.Image) -> None:
        self.draw = ImageDraw.Draw(image)
        self.width = image.width / SCALE

    def network(
        self, top: float, title: str, facts: str, nodes: list[Block], u_shaped: bool
    ) -> None:
        """Draw one network with its title and the legend of its colours."""
        self.text((MARGIN, top + 32), title, 22, INK, "ls")
        self.text((MARGIN, top + 56), facts, 14, SOFT, "ls")
        self.legend(top + 80, nodes)
        for node in nodes:
            if node.skip_from:
                ends = [(node.skip_from.right, node.y), (node.left, node.y)]
                self.arrow(ends, SKIP_LINE)
        for before, after in pairwise(nodes):
            self.step(before, after)
        for node in nodes:
            self.block(node)
            if not u_shaped:
                for line, words in enumerate(node.note.replace(", ", ",").split(",")):
                    tallest = max(n.height for n in nodes)
                    y = node.y + tallest / 2 + 18 + 15 * line
                    self.text((node.x, y), words, 12, SOFT, "ms")

    def legend(self, y: float, nodes: list[Block]) -> None:
        """Draw what the colours mean that these blocks have."""
        used = {kind for node in nodes for _, kind in node.parts}
        x = float(MARGIN)
        for kind, (color, meaning) in KINDS.items():
            if kind in used:
                self.box((x, y - 10, x + 14, y + 2), color)
                self.text((x + 20, y), meaning, 13, SOFT, "ls")
                x += 44 + font(13).getlength(meaning) / SCALE

    def step(self, before: Block, after: Block) -> None:
        """Draw the way from a block to the next: down and right, right and up, or straight on."""
        if before.y == after.y:
            path = [(before.right, before.y), (after.left, after.y)]
        elif before.y < after.y:
            path = [(before.x, before.y), (before.x, after.y), (after.left, after.y)]
        else:
            own = after.right - after.widths[-1] / 2  # the part that is computed, not copied
            end = after.y + after.height / 2
            path = [(before.right, before.y), (own, before.y), (own, end)]
        self.arrow(path, LINE)

    def block(self, node: Block) -> None:
        """Draw a block with its channels and size above it."""
        top, bottom, x = node.y - node.height / 2, node.y + node.height / 2, node.left
        for (_, kind), width in zip(node.parts, node.widths):
            self.box((x, top, x + width, bottom), KINDS[kind][0])
            x += width
        channels = " + ".join(str(count) for count, _ in node.parts)
        self.text((node.x, top - 20), channels, 14, INK, "ms")
        self.text((node.x, top - 6), f"{node.size} x {node.size}", 11, SOFT, "ms")

    def box(self, box: tuple[float, float, float, float], color: str) -> None:
        """Draw a filled box: left, top, right and bottom in points."""
        box = tuple(round(value * SCALE) for value in box)
        self.draw.rounded_rectangle(box, 3 * SCALE, fill=color, outline="white", width=SCALE)

    def arrow(self, path: list[tuple[float, float]], color: str) -> None:
        """Draw a line through these points, with a head at its end."""
        (x0, y0), (x1, y1) = path[-2:]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        # The head's base is where the line ends, so that the tip stays sharp.
        base = x1 - 8 * dx, y1 - 8 * dy
        line = [(x * SCALE, y * SCALE) for x, y in [*path[:-1], base]]
        self.draw.line(line, color, round(1.5 * SCALE), joint="curve")
        sides = [(base[0] - w * dy, base[1] + w * dx) for w in (4, -4)]
        self.draw.polygon([(x * SCALE, y * SCALE) for x, y in [(x1, y1), *sides]], color)

    def text(self, at: tuple[float, float], words: str, size: int, color: str, anchor: str) -> None:
        """Write words at a point; `anchor` is Pillow's."""
        place = at[0] * SCALE, at[1] * SCALE
        self.draw.text(place, words, color, font(size), anchor)


def font(size: int) -> ImageFont.FreeTypeFont:
    """Load Pillow's own font, so that the picture is the same on every machine."""
    return ImageFont.load_default(size * SCALE)
