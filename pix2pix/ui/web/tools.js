/* The tools of the paper: which one is held, its size and colour, buttons and keys. */

import { brushWidth, inkChoices, inksOf, paletteButtons } from "./brushes.js";
import { allowed, firstBrush, isLabels } from "./paint.js";

const EDITABLE = "input:not([type=range], [type=color]), textarea, select, [contenteditable]";

export const toggle = (button, on) => button.setAttribute("aria-pressed", String(on));

export class Tools {
  /** `element` holds drawing.html; `actions` are what its other buttons do, by their `data-do`. */
  constructor(element, drawing, actions = {}) {
    Object.assign(this, { element, drawing });
    this.paper = this.find(".paper");
    this.tool = "pencil";
    this.size = 1;
    this.colour = null; // the brush of a label map
    this.ink = null; // its colour
    this.listening = new AbortController();
    this.actions = {
      undo: () => drawing.undo(),
      redo: () => drawing.redo(),
      clear: () => drawing.clear(),
      ...actions,
    };
  }

  get config() { return this.drawing.config; }

  find(selector) { return this.element.querySelector(selector); }

  toggleAll(selector, isOn) {
    for (const button of this.element.querySelectorAll(selector)) toggle(button, isOn(button.dataset));
  }

  choose(changes) {
    const { config } = this;
    this.tool = changes.tool ?? this.tool;
    this.size = Math.min(2, Math.max(0, changes.size ?? this.size));
    this.colour = changes.colour ?? this.colour;
    this.ink = changes.ink ?? this.ink;
    const absent = { fill: !isLabels(config), ink: !config.hints };
    if (absent[this.tool]) this.tool = "pencil";
    const brush = this.tool === "ink" ? this.ink : isLabels(config) && this.colour;
    this.toggleAll("[data-tool]", (data) => data.tool === this.tool);
    this.toggleAll("[data-size]", (data) => Number(data.size) === this.size);
    this.toggleAll(".palette button", (data) => data.color === brush);
    if (config.hints) this.find(".palette input").value = this.ink;
  }

  brushWidth(held = this.tool) { return brushWidth(held, this.size, this.config); }

  /** Set what depends on the drawing: the buttons and the invitation. */
  refresh() {
    const { drawing } = this;
    const since = drawing.seen();
    this.find(".invite").hidden = Boolean(drawing.stroke || since.length);
    this.find("[data-do=undo]").disabled = !drawing.ops.length;
    this.find("[data-do=redo]").disabled = !drawing.current.undone.length;
    this.find("[data-do=clear]").disabled = !since.length;
  }

  /** Fit the tools to the drawing's configuration. */
  configure() {
    const { config } = this;
    this.find(".pad").dataset.kind = isLabels(config) ? "labels" : "lines";
    this.find(".pad").toggleAttribute("data-hints", config.hints);
    this.find("[data-tool=fill]").hidden = !isLabels(config);
    this.find("[data-tool=ink]").hidden = !config.hints;
    const onColour = (colour) => {
      this.choose({ colour, tool: this.tool === "eraser" ? "pencil" : this.tool });
    };
    const onInk = (ink) => this.choose({ tool: "ink", ink });
    const inks = inksOf(config.examples);
    if (!inks.includes(this.ink)) [this.ink] = inks;
    this.find(".palette").replaceChildren(
      ...paletteButtons(config.palette ?? [], onColour),
      ...(config.hints ? inkChoices(inks, this.ink, onInk) : []),
    );
    if (isLabels(config) && !allowed(config).includes(this.colour)) this.colour = firstBrush(config);
    this.choose({});
  }

  shortcut({ key, ctrlKey, metaKey, shiftKey, altKey }) {
    const { actions } = this;
    const name = key.toLowerCase();
    if (altKey) return null;
    if (ctrlKey || metaKey) {
      if (name === "z") return shiftKey ? actions.redo : actions.undo;
      return name === "y" ? actions.redo : null;
    }
    return {
      p: () => this.choose({ tool: "pencil" }),
      b: () => this.choose({ tool: "pencil" }),
      i: () => this.choose({ tool: "ink" }),
      e: () => this.choose({ tool: "eraser" }),
      f: () => this.choose({ tool: "fill" }),
      g: actions.guide,
      "[": () => this.choose({ size: this.size - 1 }),
      "]": () => this.choose({ size: this.size + 1 }),
      delete: actions.clear,
      backspace: actions.clear,
    }[name] ?? null;
  }

  onKey(event) {
    const { element } = this;
    if (!element.isConnected) return this.listening.abort();
    if (!this.paper.offsetParent || event.defaultPrevented) return;
    if (event.target.closest?.(EDITABLE)) return;
    // Letters and Delete are other people's keys too: they count where nothing else has the focus.
    const isHere = event.target === document.body || element.contains(event.target);
    if (!isHere && !event.ctrlKey && !event.metaKey) return;
    const action = this.shortcut(event);
    if (!action) return;
    event.preventDefault();
    action();
  }

  onClick(event) {
    const button = event.target.closest("button");
    const { do: action, tool, size } = button?.dataset ?? {};
    if (action) this.actions[action]?.(button);
    if (tool) this.choose({ tool });
    if (size) this.choose({ size: Number(size) });
  }

  listen() {
    const { signal } = this.listening;
    document.addEventListener("keydown", (event) => this.onKey(event), { signal });
    new ResizeObserver(() => this.drawing.fit()).observe(this.paper);
    this.find(".pad").addEventListener("click", (event) => this.onClick(event));
  }
}
