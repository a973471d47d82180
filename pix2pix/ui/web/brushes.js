/* The brushes of the pad: how wide each is, and the colours to choose from below the paper. */

import { COMMON, nameColours } from "./colour_names.js";
import { make } from "./dom.js";
import { isColour, isLabels } from "./paint.js";

// Widths of the three sizes, fine, medium and broad, as shares of the paper's side.
const PENCIL_WIDTHS = [0.008, 0.014, 0.03];
const LABEL_WIDTHS = [0.02, 0.06, 0.14]; // of a label map's brush, which its eraser shares
const INK_WIDTHS = [0.05, 0.09, 0.15];
const ERASER_FACTOR = 3; // of a pencil's width

const MOST_INKS = 10; // fit into one row of a phone

/** How wide a tool is at a size, as a share of the paper's side. */
export function brushWidth(tool, size, config) {
  if (isLabels(config)) return LABEL_WIDTHS[size];
  if (tool === "ink") return INK_WIDTHS[size];
  return PENCIL_WIDTHS[size] * (tool === "eraser" ? ERASER_FACTOR : 1);
}

const swatch = (color) => make("span", { className: "swatch", style: `background: ${color}` });

/** A button for each colour of a label map. */
export function paletteButtons(palette, onChoose) {
  return palette.map(({ name, color }) => {
    const properties = { type: "button", onclick: () => onChoose(color), data: { color } };
    return make("button", properties, swatch(color), name);
  });
}

/** The inks of a model: those of its examples, the most used first, and common ones beside them. */
export function inksOf(examples) {
  const uses = new Map(); // of a colour: how many examples have it
  for (const { strokes } of examples) {
    const colours = strokes.filter((op) => op.tool === "ink" && isColour(op.color));
    for (const colour of new Set(colours.map((op) => op.color.toLowerCase()))) {
      uses.set(colour, (uses.get(colour) ?? 0) + 1);
    }
  }
  const own = [...uses].sort(([, a], [, b]) => b - a).map(([colour]) => colour);
  return [...new Set([...own, ...Object.values(COMMON)])].slice(0, MOST_INKS);
}

/** A few inks, and any other; `ink` is the one that is held. */
export function inkChoices(inks, ink, onChoose) {
  const names = nameColours(inks);
  const choices = inks.map((color) => {
    const name = `${names.get(color)} ink`;
    const words = { title: name, ariaLabel: name };
    const onclick = () => onChoose(color);
    return make("button", { type: "button", ...words, onclick, data: { color } }, swatch(color));
  });
  return [...choices, anyColour("Ink of any colour", ink, onChoose)];
}

function anyColour(ariaLabel, value, onChoose) {
  const any = make("input", { type: "color", title: "Any colour", ariaLabel, value });
  any.addEventListener("input", () => onChoose(any.value));
  return any;
}

/** The tints of a model, none, and any other. */
export function tintChoices(tints, onChoose) {
  const choices = [null, ...tints].map((color, number) => {
    const name = color ? `Tint ${number}` : "No tint";
    const words = { title: name, ariaLabel: name };
    const onclick = () => onChoose(color);
    const properties = { type: "button", ...words, onclick, data: { color: color ?? "" } };
    return make("button", properties, color ? swatch(color) : make("span", { className: "swatch none" }));
  });
  const any = anyColour("Tint of any colour", tints[0], onChoose);
  return [make("span", {}, "Tint"), ...choices, any];
}
