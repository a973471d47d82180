import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Drawing } from "../../../pix2pix/ui/web/drawing.js";
import { Pointer } from "../../../pix2pix/ui/web/pointer.js";
import { LABELS, LINES, WALL, element, openBrowser } from "./browser.js";

let browser;
let pad;
let begun;

/** Something the pointer does, on a paper of 64 x 64. */
const at = (x, y, more = {}) => ({
  clientX: 64 * x, clientY: 64 * y, button: 0, buttons: 1, pointerId: 1, pointerType: "mouse",
  type: "pointermove", preventDefault() {}, ...more,
});
const send = (event) => pad.drawing.live.canvas.listeners[event.type](event);
const press = (x, y, more) => send(at(x, y, { type: "pointerdown", ...more }));
const move = (x, y, more) => send(at(x, y, more));
const lift = (x, y, more) => send(at(x, y, { type: "pointerup", buttons: 0, ...more }));
const pen = (pressure) => ({ pointerType: "pen", pressure });

beforeEach(() => {
  browser = openBrowser();
  begun = 0;
  const found = element();
  const drawing = new Drawing(found, { framed() {}, loaded() {}, changed() {} });
  pad = { // its tools
    drawing, config: LINES, tool: "pencil", colour: WALL, ink: "#ff0000",
    paper: found.querySelector(".paper"), find: (selector) => found.querySelector(selector),
    brushWidth: (held) => ({ pencil: 0.01, eraser: 0.03, ink: 0.09 })[held],
  };
  drawing.configure(LINES);
  new Pointer(pad, { begin() { begun += 1; }, moved() {} }).listen();
});

test("what moves between press and lift is one stroke, in fractions of the paper", () => {
  move(0.1, 0.1); // nothing is pressed
  press(0.25, 0.5);
  move(0.5, 0.5);
  lift(0.5, 0.75);
  move(0.9, 0.9);
  assert.deepEqual(pad.drawing.ops, [{
    kind: "stroke", tool: "pencil", color: null, width: 0.01, group: 1,
    points: [[0.25, 0.5], [0.5, 0.5], [0.5, 0.75]],
  }]);
  assert.equal(begun, 1, "the visitor draws: the device may get ready");
});

test("a stroke leaves the paper, but not far", () => {
  press(0.5, 0.5);
  move(-1, 3);
  lift(0.5, 0.5);
  assert.deepEqual(pad.drawing.ops[0].points, [[0.5, 0.5], [-0.5, 1.5], [0.5, 0.5]]);
});

test("points that the browser put together are taken apart, those closer than a pixel left out", () => {
  press(0.1, 0.1);
  const finer = [at(0.2, 0.1), at(0.2005, 0.1), at(0.3, 0.1)];
  move(0.3, 0.1, { getCoalescedEvents: () => finer });
  lift(0.3, 0.1);
  assert.deepEqual(pad.drawing.ops[0].points, [[0.1, 0.1], [0.2, 0.1], [0.3, 0.1]]);
});

test("a long stroke goes on as the next, and one undo takes all of it back", () => {
  press(0, 0);
  for (let n = 1; n < 300; n++) move((n % 20) / 20, n / 300);
  lift(1, 1);
  const { ops } = pad.drawing;
  assert.deepEqual(ops.map(({ points }) => points.length), [120, 120, 63]);
  assert.deepEqual(ops[0].points.at(-1), ops[1].points[0]);
  pad.drawing.undo();
  assert.equal(ops.length, 0);
});

test("a pen's pressure is kept, also where it lifts and reports none", () => {
  press(0.1, 0.1, pen(0.5));
  move(0.2, 0.1, pen(1));
  lift(0.3, 0.1, pen(0));
  assert.deepEqual(pad.drawing.ops[0].points, [[0.1, 0.1, 1], [0.2, 0.1, 1.6], [0.3, 0.1, 1.6]]);
});

test("a pen turned round erases, whatever tool is held", () => {
  press(0.1, 0.1, { ...pen(0.5), button: 5, buttons: 32 });
  lift(0.2, 0.1);
  assert.deepEqual([pad.drawing.ops[0].tool, pad.drawing.ops[0].width], ["eraser", 0.03]);
});

test("other buttons and a second finger draw nothing", () => {
  press(0.1, 0.1, { button: 2 });
  assert.equal(pad.drawing.stroke, null);
  press(0.1, 0.1);
  press(0.9, 0.9, { pointerId: 2 });
  move(0.8, 0.8, { pointerId: 2 });
  lift(0.8, 0.8, { pointerId: 2 });
  lift(0.2, 0.1);
  assert.deepEqual(pad.drawing.ops.map(({ points }) => points), [[[0.1, 0.1], [0.2, 0.1]]]);
});

test("ink takes the ink's colour, a label's brush its own, and a fill has no stroke", () => {
  pad.tool = "ink";
  press(0.1, 0.1);
  lift(0.1, 0.1);
  pad.config = LABELS;
  pad.drawing.configure(LABELS);
  for (pad.tool of ["pencil", "fill"]) {
    press(0.1, 0.1);
    lift(0.2, 0.1);
  }
  const [lines, labels] = Object.values(pad.drawing.sheets);
  assert.deepEqual([...lines.ops, ...labels.ops].map(({ kind, color }) => [kind, color]),
    [["stroke", "#ff0000"], ["stroke", WALL], ["fill", WALL]]);
});

test("many moves of one frame are painted once", () => {
  browser.frames.length = 0;
  press(0.1, 0.1);
  for (let n = 0; n < 50; n++) move(n / 50, 0.5);
  assert.equal(browser.frames.length, 1);
});
