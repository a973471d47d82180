/* The drawing pad: the tools, the pointer, the keyboard, and what puts the other modules together. */

import { INKS, exampleButton, inkChoices, paletteButtons } from "./brushes.js";
import { Drawing } from "./drawing.js";
import { EngineChoice } from "./engine_choice.js";
import { LivePicture } from "./live.js";
import { allowed, firstBrush, isColour, isLabels } from "./paint.js";
import { Camera, openPhoto } from "./photo.js";
import { Pointer } from "./pointer.js";

const PENCILS = { lines: [0.008, 0.014, 0.03], labels: [0.02, 0.06, 0.14] };
const INK_WIDTHS = [0.05, 0.09, 0.15];
const ERASER_FACTOR = 3;

const toggle = (button, on) => button.setAttribute("aria-pressed", String(on));

function withArticle(noun) {
  if (/s$/i.test(noun)) return noun;
  return `${/^[aeiou]/i.test(noun) ? "an" : "a"} ${noun}`;
}

/** The pad's configuration with every gap filled, so that nothing else need ask. */
export function normalise(value) {
  const palette = (value?.palette ?? []).filter((entry) => isColour(entry.color))
    .map(({ name, color }) => ({ name: String(name), color: color.toLowerCase() }));
  return {
    model: "", kind: "drawing", source: "drawing", target: "picture", noise: true, raster: null,
    engine: null, opensPhotos: false, preview: "", ...value,
    size: Math.min(1024, Math.max(16, Math.round(value?.size) || 256)),
    palette: palette.length ? palette : null,
    hints: Boolean(value?.hints) && !palette.length,
    background: isColour(value?.background) ? value.background.toLowerCase() : "#ffffff",
    examples: (value?.examples ?? []).map(({ name, strokes }) => ({
      name: String(name), strokes: strokes.map((op) => ({ kind: "stroke", tool: "pencil", ...op })),
    })),
  };
}

export class Pad {
  /** `element` holds pad.html; `server` has translate and variations, or is null. */
  constructor(element, { server, root }) {
    this.element = element;
    this.paper = this.find(".paper");
    this.config = null; // see normalise()
    this.tool = "pencil";
    this.size = 1;
    this.colour = null; // the brush of a label map
    this.tint = INKS.Red; // of the ink
    this.guideOn = true;
    this.listening = new AbortController();
    this.drawing = new Drawing(element, {
      framed: () => this.refreshTools(),
      changed: () => this.live.changed(),
      loaded: () => this.live.pump(),
      failed: (sentence) => this.live.say(sentence),
    });
    this.engines = new EngineChoice(element, { server, root, onReady: () => this.live.pump() });
    this.live = new LivePicture(element, this.drawing, this.engines);
    this.camera = new Camera(element, this);
    this.actions = this.makeActions();
  }

  async start(value) {
    await this.drawing.restore(Boolean(value?.raster));
    toggle(this.find("[data-do=guide]"), this.guideOn);
    toggle(this.find("[data-do=compare]"), false);
    this.live.markSeed();
    this.configure(value);
    this.listen();
    return this;
  }

  find(selector) { return this.element.querySelector(selector); }

  toggleAll(selector, isOn) {
    for (const button of this.element.querySelectorAll(selector)) toggle(button, isOn(button.dataset));
  }

  /* ---- Tools -------------------------------------------------------------------------------- */

  choose(changes) {
    const { config } = this;
    this.tool = changes.tool ?? this.tool;
    this.size = Math.min(2, Math.max(0, changes.size ?? this.size));
    this.colour = changes.colour ?? this.colour;
    this.tint = changes.tint ?? this.tint;
    const absent = { fill: !isLabels(config), ink: !config.hints };
    if (absent[this.tool]) this.tool = "pencil";
    const brush = this.tool === "ink" ? this.tint : isLabels(config) && this.colour;
    this.toggleAll("[data-tool]", (data) => data.tool === this.tool);
    this.toggleAll("[data-size]", (data) => Number(data.size) === this.size);
    this.toggleAll(".palette button", (data) => data.color === brush);
    if (config.hints) this.find(".palette input").value = this.tint;
  }

  brushWidth(held = this.tool) {
    if (isLabels(this.config)) return PENCILS.labels[this.size];
    if (held === "ink") return INK_WIDTHS[this.size];
    return PENCILS.lines[this.size] * (held === "eraser" ? ERASER_FACTOR : 1);
  }

  /** Set what depends on the drawing: the buttons, the guide and the invitation. */
  refreshTools() {
    const { drawing } = this;
    const since = drawing.seen();
    // A guide under a borrowed drawing would only be in its way.
    const borrowed = since.some((op) => op.kind === "raster" || op.borrowed);
    const hasGuide = this.guideOn && this.config.examples.length > 0 && !borrowed;
    drawing.ghost.canvas.hidden = !hasGuide;
    this.find(".invite").hidden = Boolean(drawing.stroke || since.length);
    this.find("[data-do=undo]").disabled = !drawing.ops.length;
    this.find("[data-do=redo]").disabled = !drawing.current.undone.length;
    this.find("[data-do=clear]").disabled = !since.length;
  }

  makeActions() {
    const { drawing, live } = this;
    return {
      undo: () => drawing.undo(),
      redo: () => drawing.redo(),
      clear: () => drawing.clear(),
      guide: () => {
        this.guideOn = !this.guideOn;
        toggle(this.find("[data-do=guide]"), this.guideOn);
        this.refreshTools();
      },
      dice: () => live.setSeed(Math.floor(Math.random() * 1000000)),
      unseed: () => live.setSeed(null),
      compare: (button) => {
        toggle(button, button.getAttribute("aria-pressed") !== "true");
        live.refresh();
      },
      variations: () => live.askVariations(),
      download: () => live.download(),
      camera: () => this.camera.toggle(),
      photo: () => this.find("[type=file]").click(),
    };
  }

  /* ---- Keyboard ----------------------------------------------------------------------------- */

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
    const editable = "input:not([type=range], [type=color]), textarea, select, [contenteditable]";
    if (!element.offsetParent || event.defaultPrevented || event.target.closest?.(editable)) return;
    const action = this.shortcut(event);
    if (!action) return;
    event.preventDefault();
    action();
  }

  /* ---- Configuration ------------------------------------------------------------------------ */

  /** Take another configuration, with a picture to put on the pad if it has one. */
  configure(value) {
    this.drawing.finishStroke();
    const next = normalise(value);
    const face = (any) => JSON.stringify({ ...any, raster: null });
    const same = this.config && face(this.config) === face(next);
    this.config = this.drawing.config = next;
    if (!same) this.rebuild();
    if (next.raster) {
      this.engines.begin();
      this.drawing.loadOnce(next.raster);
    }
  }

  /** Fit the page to another model; the drawing stays. */
  rebuild() {
    const { config, live } = this;
    this.camera.configure(config);
    this.engines.configure(config);
    live.configure();
    this.find("[data-do=guide]").hidden = !config.examples.length;
    this.find("[data-do=photo]").hidden = !config.opensPhotos;
    this.find(".pad").dataset.kind = isLabels(config) ? "labels" : "lines";
    this.find(".pad").toggleAttribute("data-hints", config.hints);
    this.find("[data-tool=fill]").hidden = !isLabels(config);
    this.find("[data-tool=ink]").hidden = !config.hints;
    for (const name of [".seed", "[data-do=variations]"]) {
      this.find(name).hidden = config.noise === false;
    }
    const what = config.source === "drawing" ? "" : ` ${withArticle(config.source)}`;
    live.hint(".invite", `Draw${what} here`);
    this.offerChoices();
    if (isLabels(config) && !allowed(config).includes(this.colour)) this.colour = firstBrush(config);
    this.choose({});
    this.drawing.configure(config);
    live.changed();
  }

  /** Fill the rows of brushes and examples. */
  offerChoices() {
    const { config } = this;
    const onColour = (colour) => {
      this.choose({ colour, tool: this.tool === "eraser" ? "pencil" : this.tool });
    };
    const onInk = (tint) => this.choose({ tool: "ink", tint });
    const onExample = (strokes) => {
      this.engines.begin();
      this.drawing.perform([{ kind: "clear" }, ...strokes]);
    };
    this.find(".palette").replaceChildren(
      ...paletteButtons(config.palette ?? [], onColour),
      ...(config.hints ? inkChoices(this.tint, onInk) : []),
    );
    const examples = config.examples.map((one) => exampleButton(one, config, onExample));
    this.find(".examples").replaceChildren(...examples);
  }

  /* ---- Start -------------------------------------------------------------------------------- */

  onClick(event) {
    const button = event.target.closest("button");
    const { do: action, tool, size } = button?.dataset ?? {};
    if (action) this.actions[action]?.(button);
    if (tool) this.choose({ tool });
    if (size) this.choose({ size: Number(size) });
  }

  async openPhoto(input) {
    this.engines.begin();
    try {
      await openPhoto(input.files[0], this);
    } catch {
      this.live.say("This file could not be opened as a picture: choose another.");
    }
    input.value = ""; // the same file may be chosen again
  }

  listen() {
    const { seedBox, result } = this.live;
    const split = this.find(".split");
    new Pointer(this).listen();
    const { signal } = this.listening;
    document.addEventListener("keydown", (event) => this.onKey(event), { signal });
    new ResizeObserver(() => this.drawing.fit()).observe(this.paper);
    this.find(".pad").addEventListener("click", (event) => this.onClick(event));
    split.addEventListener("input", () => result.style.setProperty("--split", split.value / 1000));
    const photo = this.find("[type=file]");
    photo.addEventListener("change", () => photo.files[0] && this.openPhoto(photo));
    seedBox.addEventListener("change", () => this.live.setSeed(parseInt(seedBox.value, 10)));
  }

  /** For tests and measurements. */
  get model() { return this.config.model; }

  get ops() { return this.drawing.ops; }

  get sentCount() { return this.live.link.sequence; }

  get shownCount() { return this.live.link.shownCount; }

  get lastShownAt() { return this.live.link.shownAt; }

  idle() { return !this.drawing.stroke && !this.drawing.loading && this.live.isIdle; }

  png() { return this.drawing.png(); }
}

/** Start the pad of the app: called by the component with what Gradio gives it. */
export async function mount({ element, props, server, watch, root }) {
  const pad = new Pad(element, { server, root });
  watch("value", () => pad.config && pad.configure(props.value));
  element.pad = await pad.start(props.value);
}
