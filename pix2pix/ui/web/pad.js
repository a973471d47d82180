/* The drawing pad: what puts the other modules together. */

import { make } from "./dom.js";
import { Drawing } from "./drawing.js";
import { EngineChoice } from "./engine_choice.js";
import { LivePicture } from "./live.js";
import { isColour, paintExample, resize, surface } from "./paint.js";
import { Camera, openPhoto } from "./photo.js";
import { Pointer } from "./pointer.js";
import { Tools, toggle } from "./tools.js";

function withArticle(noun) {
  if (/s$/i.test(noun)) return noun;
  return `${/^[aeiou]/i.test(noun) ? "an" : "a"} ${noun}`;
}

/** What the empty paper asks for: words, or a button. */
function invitation({ kind, source, palette, opensPhotos }) {
  if (kind === "photo" && opensPhotos) {
    return make("button", { type: "button", className: "worded", data: { do: "photo" } }, "Open a photo");
  }
  if (kind === "photo") return make("span", {}, "Photos go in under Photo, above");
  if (palette) return make("span", {}, "Pick a colour below and paint here");
  return make("span", {}, source === "drawing" ? "Draw here" : `Draw ${withArticle(source)} here`);
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
function sampleButton({ name, url }, root, onChoose) {
  const photo = make("img", { src: new URL(url, root).href, alt: "" });
  const onclick = () => {
    const canvas = make("canvas", { width: photo.naturalWidth, height: photo.naturalHeight });
    canvas.getContext("2d").drawImage(photo, 0, 0); // no second fetch: it works without a network
    canvas.toBlob(onChoose);
  };
  const properties = { type: "button", title: "Put this photo on the pad", onclick };
  return make("button", properties, photo, make("span", {}, name));
}

/** The pad's configuration with every gap filled, so that nothing else need ask. */
export function normalise(value) {
  const palette = (value?.palette ?? []).filter((entry) => isColour(entry.color))
    .map(({ name, color }) => ({ name: String(name), color: color.toLowerCase() }));
  return {
    model: "", kind: "drawing", source: "drawing", target: "picture", noise: true, raster: null,
    engine: null, opensPhotos: false, photoSide: 0, samples: [], preview: "",
    ...value,
    size: Math.min(1024, Math.max(16, Math.round(value?.size) || 256)),
    palette: palette.length ? palette : null,
    hints: Boolean(value?.hints) && !palette.length,
    tints: (value?.tints ?? []).filter(isColour),
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
    this.config = null; // see normalise()
    this.guideOn = true;
    this.drawing = new Drawing(element, {
      framed: () => this.refresh(),
      changed: () => this.live.changed(),
      loaded: () => this.live.pump(),
      failed: (sentence) => this.live.say(sentence),
    });
    this.engines = new EngineChoice(element, { server, root, onReady: () => this.live.pump() });
    this.live = new LivePicture(element, this.drawing, this.engines);
    this.camera = new Camera(element, this);
    this.tools = new Tools(element, this.drawing, this.makeActions());
  }

  async start(value) {
    await this.drawing.restore(Boolean(value?.raster));
    toggle(this.find("[data-do=guide]"), this.guideOn);
    toggle(this.find("[data-do=compare]"), false);
    this.live.markChosen();
    this.configure(value);
    this.listen();
    // A drawing that a reload kept is to be seen at once, by who draws it here.
    if (!this.engines.server && this.drawing.seen().length) this.engines.begin();
    return this;
  }

  find(selector) { return this.element.querySelector(selector); }

  /** Set what depends on the drawing: the tools and the guide. */
  refresh() {
    // A guide under a borrowed drawing would only be in its way.
    const borrowed = this.drawing.seen().some((op) => op.kind === "raster" || op.borrowed);
    const hasGuide = this.guideOn && this.config.examples.length > 0 && !borrowed;
    this.drawing.ghost.canvas.hidden = !hasGuide;
    this.tools.refresh();
  }

  makeActions() {
    const { live } = this;
    return {
      guide: () => {
        this.guideOn = !this.guideOn;
        toggle(this.find("[data-do=guide]"), this.guideOn);
        this.refresh();
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

  /* ---- Configuration ------------------------------------------------------------------------ */

  /** Take another configuration, with a picture to put on the pad if it has one. */
  configure(value) {
    this.drawing.finishStroke();
    const next = normalise(value);
    const face = (any) => JSON.stringify({ ...any, raster: null });
    const same = this.config && face(this.config) === face(next);
    // What the camera saw last belongs to the model before, whose drawing need not be this one's.
    if (this.config && this.config.model !== next.model) this.camera.stop({ keep: false });
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
    this.find(".seed").hidden = config.noise === false;
    this.find("[data-do=variations]").hidden = config.noise === false && !config.tints.length;
    this.find(".invite").replaceChildren(invitation(config));
    this.offerExamples();
    this.tools.configure();
    this.drawing.configure(config);
    live.changed();
  }

  offerExamples() {
    const { config } = this;
    const onExample = (strokes) => {
      this.engines.begin();
      this.drawing.perform([{ kind: "clear" }, ...strokes]);
    };
    const onSample = (file) => this.openPhoto(file);
    this.find(".examples").replaceChildren(
      ...config.examples.map((one) => exampleButton(one, config, onExample)),
      ...config.samples.map((one) => sampleButton(one, this.engines.root, onSample)),
    );
  }

  /* ---- Start -------------------------------------------------------------------------------- */

  async openPhoto(file) {
    this.engines.begin();
    try {
      await openPhoto(file, this);
    } catch {
      this.live.say("This file could not be opened as a picture: choose another.");
    }
  }

  /** A photo is dropped on the paper: elsewhere the browser would open it in place of the page. */
  onDrop(event) {
    event.preventDefault();
    const file = event.dataTransfer.files[0];
    if (event.type !== "drop" || !file) return;
    if (this.config.opensPhotos) this.openPhoto(file);
    else this.live.say("Pictures go in under Photo, above the paper.");
  }

  listen() {
    const { seedBox, result } = this.live;
    const split = this.find(".split");
    new Pointer(this.tools, {
      begin: () => this.engines.begin(),
      moved: () => this.live.changed(),
    }).listen();
    this.tools.listen();
    split.addEventListener("input", () => result.style.setProperty("--split", split.value / 1000));
    const photo = this.find("[type=file]");
    photo.addEventListener("change", async () => {
      if (photo.files[0]) await this.openPhoto(photo.files[0]);
      photo.value = ""; // the same file may be chosen again
    });
    for (const name of ["dragover", "drop"]) {
      this.find(".paper").addEventListener(name, (event) => this.onDrop(event));
    }
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
