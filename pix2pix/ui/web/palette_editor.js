/* The palette of label maps: names and colours, as a person gives them or takes them from a model. */

import { make } from "./dom.js";

const FRESH = ["#e53935", "#43a047", "#1e88e5", "#fdd835", "#8e24aa", "#fb8c00", "#00897b", "#6d4c41"];

export class PaletteEditor {
  /** `onChange` is told of another palette. */
  constructor(element, onChange) {
    Object.assign(this, { onChange, colours: [], palettes: [] });
    this.row = element.querySelector(".entries");
    this.choice = element.querySelector("[data-part=palettes] select");
    this.choice.addEventListener("change", () => {
      if (!this.choice.value) return;
      this.take(this.palettes[this.choice.value].palette);
      this.onChange();
    });
  }

  /** Offer palettes, and take the first where there is no `own`. */
  offer(palettes, own) {
    this.palettes = palettes;
    const options = palettes.map(({ title }, n) => make("option", { value: n, textContent: title }));
    this.choice.replaceChildren(make("option", { value: "", textContent: "choose one" }), ...options);
    this.take(own?.length ? own : palettes[0].palette);
  }

  take(palette) {
    this.colours = palette.map(({ name, color }) => ({ name, color: color.toLowerCase() }));
    this.choice.value = "";
    this.show();
  }

  add() {
    const taken = new Set(this.colours.map(({ color }) => color));
    let color = FRESH.find((one) => !taken.has(one));
    while (!color || taken.has(color)) {
      color = `#${Math.floor(Math.random() * 0x1000000).toString(16).padStart(6, "0")}`;
    }
    this.colours.push({ name: `label ${this.colours.length + 1}`, color });
    this.changed();
    this.row.querySelector(":scope > span:last-child input[type=text]").select();
  }

  changed() {
    this.show();
    this.onChange();
  }

  show() {
    this.row.replaceChildren(...this.colours.map((label, at) => this.entry(label, at)));
  }

  entry(label, at) {
    const ariaLabel = `Colour of ${label.name}`;
    const color = make("input", { type: "color", value: label.color, ariaLabel });
    color.addEventListener("change", () => {
      const isTaken = this.colours.some((other) => other.color === color.value);
      if (!isTaken) label.color = color.value;
      this.changed();
    });
    const name = make("input", { type: "text", value: label.name, maxLength: 40, ariaLabel: "Name" });
    name.addEventListener("change", () => {
      label.name = name.value.trim() || label.name;
      this.changed();
    });
    const remove = make("button", {
      type: "button", textContent: "×", title: `Remove ${label.name}`, ariaLabel: `Remove ${label.name}`,
      disabled: this.colours.length < 3,
    });
    remove.addEventListener("click", () => {
      this.colours.splice(at, 1);
      this.changed();
    });
    return make("span", {}, color, name, remove);
  }
}
