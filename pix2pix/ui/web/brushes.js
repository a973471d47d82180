/* What a person chooses from below the paper: the brushes of a palette, inks and examples. */

import { make } from "./dom.js";
import { paintExample, resize, surface } from "./paint.js";

export const INKS = {
  Red: "#be282d", Orange: "#e0761e", Yellow: "#ebc332", Green: "#328246", Blue: "#284ba0",
  Purple: "#7b3f9b", Pink: "#e58aac", Brown: "#6f4a30", Grey: "#8e8e90", Black: "#1e1e20",
};

const swatch = (color) => make("span", { className: "swatch", style: `background: ${color}` });

/** A button for each colour of a label map. */
export function paletteButtons(palette, onChoose) {
  return palette.map(({ name, color }) => {
    const properties = { type: "button", onclick: () => onChoose(color), data: { color } };
    return make("button", properties, swatch(color), name);
  });
}

/** A few inks, and any other. */
export function inkChoices(tint, onChoose) {
  const choices = Object.entries(INKS).map(([name, color]) => {
    const words = { title: `${name} ink`, ariaLabel: `${name} ink` };
    const onclick = () => onChoose(color);
    return make("button", { type: "button", ...words, onclick, data: { color } }, swatch(color));
  });
  const words = { title: "Any colour", ariaLabel: "Ink of any colour" };
  const any = make("input", { type: "color", ...words, value: tint });
  any.addEventListener("input", () => onChoose(any.value));
  return [...choices, any];
}

/** An example as a small picture; a click gives its strokes. */
export function exampleButton(example, config, onChoose) {
  const thumb = surface(make("canvas"));
  resize(thumb, 144);
  paintExample(thumb, example, config);
  const onclick = () => onChoose(example.strokes.map((op) => ({ ...op, borrowed: true })));
  const properties = { type: "button", title: "Put this drawing on the pad", onclick };
  return make("button", properties, thumb.canvas, make("span", {}, example.name));
}

/** A photo to try the model on; a click gives it as a file. */
export function sampleButton({ name, url }, root, onChoose) {
  const photo = make("img", { src: new URL(url, root).href, alt: "" });
  const onclick = () => {
    const canvas = make("canvas", { width: photo.naturalWidth, height: photo.naturalHeight });
    canvas.getContext("2d").drawImage(photo, 0, 0); // no second fetch: it works without a network
    canvas.toBlob(onChoose);
  };
  const properties = { type: "button", title: "Put this photo on the pad", onclick };
  return make("button", properties, photo, make("span", {}, name));
}
