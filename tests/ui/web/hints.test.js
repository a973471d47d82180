import assert from "node:assert/strict";
import { test } from "node:test";

import { photoHints } from "../../../pix2pix/ui/web/hints.js";

const SIDE = 64;
const [RED, BLUE] = ["#c81e1e", "#141eb4"];
const isRed = (x, y) => x >= 10 && x < 32 && y >= 20 && y < 50;
const isBlue = (x, y) => x >= 32 && x < 54 && y >= 20 && y < 50;

/** A photo of 64 x 64 whose pixels have the colour [r, g, b] of their place. */
function photo(colourAt) {
  const rgba = new Uint8ClampedArray(4 * SIDE * SIDE).fill(255);
  for (let at = 0; at < SIDE * SIDE; at++) rgba.set(colourAt(at % SIDE, Math.floor(at / SIDE)), 4 * at);
  return rgba;
}
const shoe = photo((x, y) => (
  isRed(x, y) ? [200, 30, 30] : isBlue(x, y) ? [20, 30, 180] : [255, 255, 255]
));

test("strokes lie on the thing, have the colours of where they lie, and are the same each time", () => {
  const hints = photoHints(shoe);
  assert.equal(hints.length, 6);
  assert.deepEqual(new Set(hints.map(({ color }) => color)), new Set([RED, BLUE]));
  for (const { color, points } of hints) {
    const [x, y] = points[0].map((v) => SIDE * v);
    assert.ok((color === RED ? isRed : isBlue)(x, y), `${color} begins at ${x}, ${y}`);
    assert.ok(points.every(([px, py]) => isRed(SIDE * px, SIDE * py) || isBlue(SIDE * px, SIDE * py)));
  }
  assert.deepEqual(photoHints(shoe), hints);
  assert.notDeepEqual(photoHints(shoe, 2), hints);
});

test("a brush is no wider than the thing", () => {
  const heel = photo((x, y) => (y > 8 && y < 56 && x > 29 && x < 34 ? [200, 30, 30] : [255, 255, 255]));
  for (let seed = 1; seed < 6; seed++) {
    for (const { width } of photoHints(heel, seed)) assert.ok(width * SIDE < 7, `${width * SIDE}`);
  }
});

test("a sheet without a thing has no colours; one without a plain backdrop has them everywhere", () => {
  assert.deepEqual(photoHints(photo(() => [240, 240, 240])), []);
  const landscape = photo((x, y) => (y < 32 ? [60, 120, 220] : [40, 140, 50 + (x % 3)]));
  const places = photoHints(landscape).flatMap(({ points }) => points.map(([, y]) => y < 0.5));
  assert.deepEqual(new Set(places), new Set([true, false]));
});
