/* Words for colours, as people who cannot see them, or read no hex, would say them. */

import { parseColour } from "./conversions.js";

/** Colours of any palette. */
export const COMMON = {
  Red: "#be282d", Orange: "#e0761e", Yellow: "#ebc332", Green: "#328246", Blue: "#284ba0",
  Purple: "#7b3f9b", Pink: "#e58aac", Brown: "#6f4a30", Grey: "#8e8e90", Black: "#1e1e20",
};
const NAMED = {
  ...COMMON,
  White: "#ffffff", "Light grey": "#d4d4d6", "Dark grey": "#55565a",
  "Light skin": "#eac2aa", Tan: "#ce9878", "Dark skin": "#8a5a40", Beige: "#ead9b6",
  Blond: "#d6b882", Ginger: "#a04e28", "Dark brown": "#48301f", Olive: "#7c7a30",
  "Bright red": "#f22020", "Dark red": "#7a1c20", "Light red": "#e8807a",
  "Bright pink": "#d64c8c", Magenta: "#f020e0", Lilac: "#b79ad6", "Dark purple": "#452560",
  "Bright yellow": "#fff020", "Light yellow": "#f6ec9c", "Bright green": "#3ce030",
  "Light green": "#a2d694", "Dark green": "#20523c", Turquoise: "#2fa8a0", Cyan: "#40e8e8",
  "Light blue": "#8fc1e8", "Bright blue": "#2f7ff0", Navy: "#26365f",
};
const FAR = 0.08; // in OKLab: another name than the nearest would be wrong

/** A colour in OKLab, where equal distances look equal; see Ottosson, "A perceptual color space". */
function toOklab(hex) {
  const [r, g, b] = parseColour(hex).map((byte) => {
    const v = byte / 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  });
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s,
  ];
}
const PLACES = Object.entries(NAMED).map(([name, hex]) => [name, toOklab(hex)]);

/** A name for each colour, "#rrggbb" -> name, of which no two are the same: the nearest one, or one
    as good where that is another's, else the nearest one with a number. */
export function nameColours(colours) {
  const choices = colours.flatMap((colour) => {
    const place = toOklab(colour);
    return PLACES.map(([name, known]) => (
      { colour, name, away: Math.hypot(...known.map((v, i) => v - place[i])) }
    ));
  }).sort((a, b) => a.away - b.away);
  const [names, taken] = [new Map(), new Set()];
  const give = (colour, name) => {
    names.set(colour, name);
    taken.add(name);
  };
  for (const { colour, name, away } of choices) {
    if (away < FAR && !names.has(colour) && !taken.has(name)) give(colour, name);
  }
  for (const { colour, name } of choices) {
    if (names.has(colour)) continue;
    let free = name;
    for (let number = 2; taken.has(free); number++) free = `${name} ${number}`;
    give(colour, free);
  }
  return names;
}
