import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { beforeEach, mock, test } from "node:test";

import { brushWidth, inkChoices, inksOf, paletteButtons, tintChoices } from "../../../pix2pix/ui/web/brushes.js";
import { COMMON, nameColours } from "../../../pix2pix/ui/web/colour_names.js";
import { exampleButton, normalise } from "../../../pix2pix/ui/web/pad.js";
import { isColour } from "../../../pix2pix/ui/web/paint.js";
import { DOOR, LABELS, LINES, WALL, openBrowser } from "./browser.js";

const FACES = new URL("../../../checkpoints/face-sketch/examples.json", import.meta.url);

beforeEach(() => openBrowser());

test("each brush gives its own colour, and a label's name is never markup", () => {
  const chosen = mock.fn();
  const hostile = { name: "<img src=x>", color: DOOR };
  const buttons = paletteButtons([LABELS.palette[0], hostile], chosen);
  for (const button of buttons) button.onclick();
  assert.deepEqual(chosen.mock.calls.map(({ arguments: [colour] }) => colour), [WALL, DOOR]);
  assert.equal(buttons[1].children[1], "<img src=x>", "a text node");
});

const example = (...colors) => ({ strokes: colors.map((color) => ({ tool: "ink", color })) });

test("inks are those of the examples, the most used first, and common ones beside them", () => {
  const common = inksOf([]);
  assert.equal(new Set(common).size, 10);
  const pencil = { strokes: [{ tool: "pencil", color: "#000001" }] };
  const own = inksOf([example("#aaaaaa", "#AAAAAA", "#bbbbbb"), example("#BBBBBB", "url(x)"), pencil]);
  assert.deepEqual(own, ["#bbbbbb", "#aaaaaa", ...common.slice(0, 8)]);
  assert.deepEqual(inksOf([example(common[3])]).toSorted(), common.toSorted());
  const many = Array.from({ length: 12 }, (_, i) => `#0000${i + 10}`);
  assert.deepEqual(inksOf([example(...many)]), many.slice(0, 10));
});

test("inks are colours that the pad takes, and one more is any other", () => {
  const chosen = mock.fn();
  const inks = inksOf([example("#654321")]);
  const choices = inkChoices(inks, "#123456", chosen);
  const any = choices.pop();
  for (const button of choices) button.onclick();
  any.listeners.input();
  const colours = chosen.mock.calls.map(({ arguments: [colour] }) => colour);
  assert.deepEqual(colours, [...inks, "#123456"]);
  assert.ok(colours.every(isColour));
});

test("every ink of a model has a name of its own, in words", () => {
  const examples = JSON.parse(readFileSync(FACES));
  const buttons = inkChoices(inksOf(examples), "#123456", () => {}).slice(0, -1);
  const names = buttons.map(({ title, ariaLabel, dataset }) => {
    assert.equal(title, ariaLabel);
    return [dataset.color, title];
  });
  const right = [
    ["#eac2aa", "Light skin"], ["#ce9878", "Tan"], ["#704a36", "Brown"], ["#a04e28", "Ginger"],
    ["#d6b882", "Blond"], ["#2c3e6c", "Navy"], ["#1a1616", "Black"], ["#b0262c", "Red"],
    ["#543828", "Dark brown"], ["#285c46", "Dark green"],
  ].map(([color, name]) => [color, `${name} ink`]);
  assert.deepEqual(new Map(names), new Map(right));
});

test("of two alike colours the nearer one has the name; what is like no other is not called so", () => {
  const names = nameColours(["#8a8a8c", "#8e8e90", "#919193", "#0000ff"]);
  assert.equal(names.get("#8e8e90"), "Grey");
  assert.equal(new Set(names.values()).size, 4);
  assert.deepEqual([names.get("#8a8a8c"), names.get("#919193")].toSorted(), ["Grey 2", "Grey 3"]);
  assert.deepEqual([...nameColours(Object.values(COMMON)).values()].toSorted(), Object.keys(COMMON).toSorted());
});

test("tints are none, those of the model, and any other", () => {
  const chosen = mock.fn();
  const [word, ...choices] = tintChoices(["#d0b090", "#405060"], chosen);
  const any = choices.pop();
  for (const button of choices) button.onclick();
  any.listeners.input();
  const tints = chosen.mock.calls.map(({ arguments: [tint] }) => tint);
  assert.deepEqual([word.children, tints], [["Tint"], [null, "#d0b090", "#405060", "#d0b090"]]);
  assert.deepEqual(normalise({ tints: ["#d0b090", "url(x)", 3] }).tints, ["#d0b090"]);
});

test("an example's strokes are borrowed: the guide makes way for them", () => {
  const stroke = { kind: "stroke", tool: "pencil", width: 0.1, points: [[0.5, 0.5]] };
  const chosen = mock.fn();
  exampleButton({ name: "dot", strokes: [stroke] }, LINES, chosen).onclick();
  assert.deepEqual(chosen.mock.calls[0].arguments, [[{ ...stroke, borrowed: true }]]);
  assert.ok(!("borrowed" in stroke), "the example itself stays");
});

test("a size is finer than the next, and the eraser wider than the pencil", () => {
  for (const [tool, config] of [["pencil", LINES], ["ink", LINES], ["pencil", LABELS]]) {
    const widths = [0, 1, 2].map((size) => brushWidth(tool, size, config));
    assert.ok(widths[0] < widths[1] && widths[1] < widths[2]);
  }
  assert.ok(brushWidth("eraser", 1, LINES) > brushWidth("pencil", 1, LINES));
  assert.equal(brushWidth("eraser", 1, LABELS), brushWidth("pencil", 1, LABELS));
});
