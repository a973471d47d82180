import assert from "node:assert/strict";
import { test } from "node:test";

import { nearest, path, short, smoothed } from "../../../pix2pix/ui/web/charts.js";
import { measured } from "../../../pix2pix/ui/web/samples.js";

test("a short curve stays; a long one is the mean of a 25th of it, gaps left open", () => {
  assert.deepEqual(smoothed([3, 1, 2]), [3, 1, 2]);
  const values = Array.from({ length: 100 }, (_, n) => n); // two to each side
  const smooth = smoothed(values.with(50, null));
  assert.equal(smooth[50], null);
  assert.equal(smooth[20], 20);
  assert.equal(smooth[49], (47 + 48 + 49 + 51) / 4, "a gap counts for nothing");
  assert.deepEqual([smooth[0], smooth[99]], [1, 98]);
  assert.deepEqual(smoothed(Array(100).fill(null)), Array(100).fill(null));
});

test("a line is lifted where a value is missing", () => {
  const same = (value) => value;
  assert.equal(path([0, 1, 2, 3], [5, null, 6, 7], same, same), "M0.0 5.0M2.0 6.0L3.0 7.0");
  assert.equal(path([0, 1], [undefined, undefined], same, same), "");
});

test("the cursor reads the nearest step", () => {
  const steps = [10, 20, 40];
  const table = [[-5, 0], [14, 0], [16, 1], [29, 1], [31, 2], [99, 2]];
  for (const [step, index] of table) assert.equal(nearest(steps, step), index, `${step}`);
});

test("numbers are written in a few digits, and measures in the order that is read", () => {
  assert.deepEqual([0, 0.012345, 1.5, 123.4, null, undefined].map((value) => short(value)),
    ["0", "0.0123", "1.50", "123", "", ""]);
  assert.equal(measured({ ssim: 0.5, l1: 0.1234, perceptual: 0 }), ", L1 0.123, SSIM 0.500, perceptual 0");
  assert.equal(measured({}), "");
});
