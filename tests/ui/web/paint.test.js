import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { normalise } from "../../../pix2pix/ui/web/pad.js";
import { blank, cellOf, firstBrush, paint, asCells, pixels, resize, surface } from "../../../pix2pix/ui/web/paint.js";
import { DOOR, EARTH, LABELS, LINES, WALL, element, openBrowser } from "./browser.js";

const SIDE = 48;
let target;

beforeEach(() => {
  openBrowser();
  target = surface(element());
  resize(target, SIDE);
  blank(target, LABELS);
});

/** Check every pixel's centre against what says whether it is painted. */
function assertPainted(isPainted, colour) {
  asCells(pixels(target).data).forEach((cell, at) => {
    const [x, y] = [(at % SIDE) + 0.5, Math.floor(at / SIDE) + 0.5];
    assert.equal(cell, cellOf(isPainted(x, y) ? colour : EARTH), `at ${x}, ${y}`);
  });
}

test("a brush of labels covers the pixels within its radius, and blends none", () => {
  const [[ax, ay], [bx, by], r] = [[10, 9], [37, 30], 4];
  const points = [[ax / SIDE, ay / SIDE], [bx / SIDE, by / SIDE]];
  paint(target, { kind: "stroke", tool: "pencil", color: WALL, width: (2 * r) / SIDE, points }, LABELS);
  const along = [bx - ax, by - ay];
  assertPainted((x, y) => {
    const t = ((x - ax) * along[0] + (y - ay) * along[1]) / (along[0] ** 2 + along[1] ** 2);
    const at = Math.min(1, Math.max(0, t));
    return Math.hypot(x - ax - at * along[0], y - ay - at * along[1]) <= r + 1e-9;
  }, WALL);
});

test("a shape is filled where an odd number of its edges lies to the left", () => {
  const points = [[0.1, 0.1], [0.9, 0.2], [0.5, 0.5], [0.8, 0.9], [0.2, 0.8]]; // with a notch
  paint(target, { kind: "shape", color: DOOR, points }, LABELS);
  const corners = points.map(([x, y]) => [x * SIDE, y * SIDE]);
  assertPainted((x, y) => corners.filter(([x1, y1], i) => {
    const [x2, y2] = corners[(i + 1) % corners.length];
    return (y1 <= y) !== (y2 <= y) && x1 + ((y - y1) / (y2 - y1)) * (x2 - x1) <= x;
  }).length % 2, DOOR);
});

test("a fill stops at other colours and the paper's ends", () => {
  const points = [[0.5, -0.1], [0.5, 1.1]]; // a wall from top to bottom
  paint(target, { kind: "stroke", tool: "pencil", color: WALL, width: 0.1, points }, LABELS);
  const before = asCells(pixels(target).data);
  paint(target, { kind: "fill", at: [0.9, 0.5], color: DOOR }, LABELS);
  asCells(pixels(target).data).forEach((cell, at) => {
    const isRight = at % SIDE >= SIDE / 2 && before[at] === cellOf(EARTH);
    assert.equal(cell, isRight ? cellOf(DOOR) : before[at]);
  });
});

test("a label map gets no other colour than its palette's nearest", () => {
  paint(target, { kind: "fill", at: [0, 0], color: "#a35522" }, LABELS);
  assertPainted(() => true, WALL);
});

test("a configuration from outside has its gaps filled and its bounds kept", () => {
  assert.deepEqual([normalise(null).size, normalise({ size: 1e9 }).size, normalise({ size: -1 }).size],
    [256, 1024, 16]);
  const { palette, hints, background } = normalise({
    palette: [{ name: "wall", color: "#A05020" }, { name: "script", color: "red;}" }],
    hints: true, background: "url(x)",
  });
  assert.deepEqual(palette, [{ name: "wall", color: WALL }]);
  assert.deepEqual([hints, background], [false, LINES.background], "a label map takes no ink");
  assert.equal(normalise({ palette: [{ name: "none", color: "" }] }).palette, null);
  const { examples } = normalise({ examples: [{ name: 7, strokes: [{ points: [] }] }] });
  assert.deepEqual(examples, [{ name: "7", strokes: [{ kind: "stroke", tool: "pencil", points: [] }] }]);
});

test("the first brush is seen on the paper", () => {
  const colours = (...hexes) => ({ background: hexes[0], palette: hexes.map((color) => ({ color })) });
  assert.equal(firstBrush(colours("#0030ff", "#0000de", "#007fff", "#ff5000")), "#007fff");
  assert.equal(firstBrush(colours("#0030ff", "#0000de")), "#0000de", "where there is no better one");
});
