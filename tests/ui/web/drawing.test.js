import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Drawing } from "../../../pix2pix/ui/web/drawing.js";
import { cellOf } from "../../../pix2pix/ui/web/paint.js";
import { DOOR, EARTH, HINTS, LABELS, LINES, WALL, element, openBrowser } from "./browser.js";

const line = (color, ...points) => (
  { kind: "stroke", tool: "pencil", color, width: 0.1, points: points.length ? points : [[0.5, 0.5]] }
);
const ink = { ...line("#ff0000"), tool: "ink" };
let drawing;
let storage;
let changes;

/** Draw as the pointer does: each stroke is one step of undo. */
function draw(...ops) {
  for (const op of ops) {
    drawing.stroke = { ...op, group: drawing.nextGroup() };
    drawing.finishStroke();
  }
}

const seen = () => [...drawing.pixels().data].join();

beforeEach(() => {
  storage = openBrowser().sessionStorage;
  changes = 0;
  drawing = new Drawing(element(), { framed() {}, loaded() {}, changed() { changes += 1; } });
  drawing.configure(LABELS);
});

test("what is undone leaves the paper as it was, and comes back", () => {
  const states = [seen()];
  for (const op of [line(WALL), line(DOOR, [0.1, 0.1], [0.9, 0.2]), line(EARTH)]) {
    draw(op);
    states.push(seen());
  }
  assert.equal(new Set(states).size, 4);
  for (const state of states.slice(0, 3).reverse()) {
    drawing.undo();
    assert.equal(seen(), state);
  }
  drawing.undo(); // there is nothing left
  for (const state of states.slice(1)) {
    drawing.redo();
    assert.equal(seen(), state);
  }
  assert.equal(changes, 3 + 3 + 3);
});

test("a new stroke forgets what was undone, and several at once are one step", () => {
  draw(line(WALL), line(DOOR));
  drawing.undo();
  draw(line(DOOR));
  drawing.redo();
  assert.equal(drawing.ops.length, 2);
  drawing.perform([{ kind: "clear" }, line(WALL), line(DOOR)]);
  drawing.undo();
  assert.equal(drawing.ops.length, 2);
});

test("a stroke under the pointer is finished before anything else is done", () => {
  drawing.stroke = { ...line(WALL), group: 1 };
  drawing.undo();
  assert.deepEqual([drawing.stroke, drawing.ops.length], [null, 0]);
  drawing.redo();
  assert.equal(drawing.ops.length, 1);
});

test("clearing is a step like others, and a clean sheet is not cleared again", () => {
  draw(line(WALL));
  drawing.clear();
  drawing.clear();
  assert.equal(drawing.ops.length, 2);
  assert.ok(drawing.isBlank());
  drawing.undo();
  assert.ok(!drawing.isBlank());
});

test("a paper that was painted over with its own colour is blank", () => {
  draw(line(WALL), { ...line(null), tool: "eraser", width: 0.5 });
  assert.equal(drawing.ops.length, 2);
  assert.ok(drawing.isBlank());
});

test("line drawings and label maps do not mix", () => {
  draw(line(WALL));
  drawing.configure(LINES);
  assert.ok(drawing.isBlank());
  draw(line(null), line(null));
  drawing.configure(LABELS);
  assert.equal(drawing.ops.length, 1);
});

test("the guide of a label map is the outlines of its areas, that of a drawing is its lines", () => {
  const points = [[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]];
  const shape = { kind: "shape", color: DOOR, points };
  const guide = (config) => {
    drawing.configure({ ...config, examples: [{ name: "door", strokes: [shape] }] });
    const { canvas, side } = drawing.ghost;
    const cells = new Uint32Array(canvas.data.slice().buffer);
    return [0.1, 0.26, 0.5, 0.74, 0.9].map((x) => cells[(side / 2) * side + Math.floor(x * side)]);
  };
  assert.deepEqual(guide(LABELS), [0, cellOf(DOOR), 0, cellOf(DOOR), 0]);
  assert.equal(guide(LINES).filter(Boolean).length, 3);
});

test("photos have a sheet of their own, which a reload keeps", async () => {
  const PHOTO = { ...LINES, kind: "photo" };
  drawing.configure(LINES);
  draw(line(null));
  drawing.configure(PHOTO);
  assert.ok(drawing.isBlank());
  draw(line(null), line(null));
  const after = new Drawing(element(), { framed() {}, loaded() {}, changed() {} });
  await after.restore(false);
  after.configure(PHOTO);
  assert.equal(after.ops.length, 2);
  after.configure(LINES);
  assert.equal(after.ops.length, 1);
});

test("ink is unseen by models that take none: undo goes on to what is seen", () => {
  drawing.configure(HINTS);
  draw(line(null), ink, ink);
  assert.equal(drawing.seen().length, 3);
  drawing.configure(LINES);
  assert.equal(drawing.seen().length, 1);
  drawing.undo();
  assert.equal(drawing.ops.length, 0);
  drawing.redo();
  assert.equal(drawing.ops.length, 1, "the line alone: what follows is unseen");
});

test("a reload keeps the drawing, but not what was undone", async () => {
  draw(line(WALL), line(DOOR));
  drawing.undo();
  const after = new Drawing(element(), { framed() {}, loaded() {}, changed() {} });
  await after.restore(false);
  after.configure(LABELS);
  assert.deepEqual(after.ops, drawing.ops);
  assert.deepEqual(after.pixels(), drawing.pixels());
  assert.equal(after.loading, 0);
});

test("every palette has a sheet of its own, which is there again with it", () => {
  draw(line(WALL));
  drawing.configure({ ...LABELS, palette: [{ name: "road", color: "#804080" }] });
  assert.equal(drawing.ops.length, 0, "a wall is no road");
  draw(line("#804080"), line("#804080"));
  drawing.configure({ ...LABELS, model: "another of these colours" });
  assert.equal(drawing.ops.length, 1);
});

test("of a drawing too long to be kept, what was cleared away goes first, then all", () => {
  const long = { kind: "raster", image: "x".repeat(2000000) };
  draw(long, { kind: "clear" }, line(DOOR));
  const [kept] = Object.values(JSON.parse(storage.kept.get("pix2pix-pad")).sheets);
  assert.equal(kept.length, 1);
  draw(long);
  assert.equal(storage.kept.size, 0);
});

test("storage that is full, or holds what we did not write, is no harm", async () => {
  storage.setItem = () => { throw new Error("full"); };
  draw(line(WALL));
  assert.equal(drawing.ops.length, 1);
  storage.kept.set("pix2pix-pad", "{broken");
  await drawing.restore(true);
  assert.equal(drawing.loading, 0);
});

test("of two pictures that are decoded at once the last one stays, and one that is late says nothing", async () => {
  const decoding = [];
  const { createElement } = document;
  document.createElement = (tag) => {
    const made = createElement(tag);
    if (tag === "img") made.decode = () => new Promise((...ends) => { decoding.push(ends); });
    return Object.assign(made, { naturalWidth: 64, naturalHeight: 64, data: [] });
  };
  let failures = 0;
  drawing.on.failed = () => { failures += 1; };
  const urls = ["large", "broken", "small"].map((name) => `data:image/png;base64,${name}`);
  const loads = urls.map((url) => drawing.load(url));
  decoding[2][0]();
  await loads[2];
  decoding[0][0]();
  decoding[1][1](new Error("no picture"));
  await Promise.all(loads);
  const images = drawing.ops.filter((op) => op.kind === "raster").map((op) => op.image);
  assert.deepEqual([images, failures, drawing.loading], [[urls[2]], 0, 0]);
});
