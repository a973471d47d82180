/* The drawing: a list of operations with undo that a reload keeps, and the surfaces that show it. */

import { make } from "./dom.js";
import {
  asCells, blank, cellOf, isLabels, layLines, outline, paint, paintExample, pixels, rasters, resize,
  surface,
} from "./paint.js";

const MAX_RASTER = 1024; // pixels kept of a picture put on the pad
const MAX_STORED = 2000000; // characters

/** Decode a picture given as a data URL. */
export async function decode(url) {
  if (typeof url !== "string" || !url.startsWith("data:image/")) throw new Error("not an image");
  const image = make("img", { src: url });
  await image.decode();
  return image;
}

/** The picture, or a smaller one where its longer side is above the limit. */
async function limited(image, limit) {
  const scale = limit / Math.max(image.naturalWidth, image.naturalHeight);
  if (scale >= 1) return image;
  const [width, height] = [image.naturalWidth, image.naturalHeight]
    .map((length) => Math.max(1, Math.round(length * scale)));
  const small = make("canvas", { width, height });
  small.getContext("2d").drawImage(image, 0, 0, width, height);
  return decode(small.toDataURL("image/png"));
}

/** `on` has the handlers framed(), what is seen is another; changed(), the drawing is another;
    loaded(), a picture was decoded; failed(sentence); and maybe isClosed(), whether nobody may draw.
    A reload keeps the drawing under `key`, if any.

    A drawing with colours has two layers of both resolutions: strokes of colour lie on `under` and
    `colours`, and the lines above, on `backing` and `ink`, let them through. */
export class Drawing {
  constructor(element, on, key = "pix2pix-pad") {
    Object.assign(this, { on, key });
    this.paper = element.querySelector(".paper");
    this.config = null;
    this.stroke = null; // the operation under the pointer, not yet in the list
    this.loading = 0; // rasters being decoded
    this.lastLoad = 0; // its number
    this.lastRaster = null; // the id of the last picture that the configuration put on the pad
    this.sheets = {}; // see current()
    this.backing = surface(make("canvas")); // finished operations at the model's size
    this.under = surface(make("canvas")); // their colours, of a model that takes them
    this.sheet = surface(make("canvas")); // the lines with the live stroke, where there are colours
    this.outbox = surface(make("canvas")); // all of it, with the live stroke: what is translated
    for (const name of ["colours", "ink", "live", "ghost"]) { // on the screen, at its resolution
      this[name] = surface(element.querySelector(`.${name}`));
    }
  }

  /** The sheet of paper for such models, kept apart so that looking at another model loses none: a
      house front is no street. Who keeps drawings elsewhere has one sheet for every palette. */
  get current() {
    const { palette, kind } = this.config;
    const colours = this.key ? palette?.map(({ color }) => color) : [];
    const name = palette ? ["labels", ...colours].join(" ") : kind === "photo" ? "photos" : "lines";
    this.sheets[name] ??= { ops: [], undone: [] };
    return this.sheets[name];
  }

  get ops() { return this.current.ops; }

  get isClosed() { return Boolean(this.on.isClosed?.()); }

  /** Paint for another configuration; the drawing stays. */
  configure(config) {
    this.config = config;
    for (const target of [this.backing, this.under, this.sheet, this.outbox]) {
      resize(target, config.size);
    }
    this.fit();
  }

  /* ---- Operations and undo ------------------------------------------------------------------ */

  sinceClear({ ops } = this.current) {
    return ops.slice(ops.findLastIndex((op) => op.kind === "clear") + 1);
  }

  nextGroup() { return (this.ops.at(-1)?.group ?? 0) + 1; } // a group is one step of undo

  commit(op) {
    this.ops.push(op);
    this.current.undone = [];
    this.lay(op);
  }

  // Strokes of ink stay in the list for the models that take them, and are not seen with others.
  isUnseen(op) { return op?.tool === "ink" && !this.config.hints; }

  seen() { return this.sinceClear().filter((op) => !this.isUnseen(op)); }

  /** Paint a finished operation: ink on the layer of colours, all else on that of the lines. An
      eraser, a picture and a clean sheet take the colours away as well. */
  lay(op) {
    const { config } = this;
    if (this.isUnseen(op)) return;
    const lines = isLabels(config) ? [this.backing] : [this.backing, this.ink];
    if (op.tool !== "ink") for (const target of lines) paint(target, op, config);
    if (!config.hints || op.tool === "pencil") return;
    for (const target of [this.under, this.colours]) {
      if (op.kind === "stroke") paint(target, op, config);
      else blank(target, config);
    }
  }

  /** Do several operations as one step of undo. */
  perform(ops) {
    if (this.isClosed) return;
    this.finishStroke();
    const group = this.nextGroup();
    for (const op of ops) this.commit({ ...op, group });
    this.settled();
  }

  finishStroke() {
    if (!this.stroke) return;
    const done = this.stroke;
    this.stroke = null;
    this.commit(done);
    this.settled();
  }

  undo() { this.travel("ops", "undone"); }

  redo() { this.travel("undone", "ops"); }

  clear() { if (this.sinceClear().length || this.stroke) this.perform([{ kind: "clear" }]); }

  /** Move one step between the done and the undone operations. */
  travel(source, destination) {
    if (this.isClosed) return;
    this.finishStroke();
    const [from, to] = [this.current[source], this.current[destination]];
    if (!from.length) return;
    do {
      const { group } = from.at(-1);
      while (from.at(-1)?.group === group) to.push(from.pop());
    } while (from.length && this.isUnseen(to.at(-1)));
    this.replay();
    this.settled();
  }

  /** Take other operations for those that are there, as those of another sheet of paper. */
  take(ops) {
    Object.assign(this.current, { ops, undone: [] });
    this.replay();
    this.frame();
  }

  replay() {
    const coloured = [this.backing, this.ink, this.under, this.colours];
    const targets = isLabels(this.config) ? [this.backing] : coloured;
    for (const target of targets) blank(target, this.config);
    for (const op of this.sinceClear()) this.lay(op);
  }

  /** Everything that follows a finished change of the drawing. */
  settled() {
    this.frame();
    this.save();
    this.on.changed();
  }

  /* ---- The drawing as a picture ------------------------------------------------------------- */

  compose() {
    const { config, stroke, outbox, sheet } = this;
    outbox.ctx.drawImage((config.hints ? this.under : this.backing).canvas, 0, 0);
    if (stroke && !(config.hints && stroke.tool === "pencil")) paint(outbox, stroke, config);
    if (!config.hints) return;
    sheet.ctx.drawImage(this.backing.canvas, 0, 0);
    if (stroke && stroke.tool !== "ink") paint(sheet, stroke, config);
    layLines(outbox, sheet);
  }

  /** The drawing as it is now, at the model's size, as ImageData. */
  pixels() {
    this.compose();
    return pixels(this.outbox);
  }

  png() {
    this.compose();
    return this.outbox.canvas.toDataURL("image/png");
  }

  /** What is translated, as ImageData: the drawing, or a photo in its own size with what was drawn
      on it, for a model that takes photos. */
  source() {
    const { config, stroke } = this;
    const seen = this.seen();
    const photo = config.photoSide && rasters.get(seen.find((op) => op.kind === "raster")?.image);
    if (!photo) return this.pixels();
    const [width, height] = [photo.naturalWidth, photo.naturalHeight];
    const sheet = surface(make("canvas", { width, height }));
    sheet.side = Math.max(width, height); // the square paper, of which the photo is a part
    sheet.ctx.translate((width - sheet.side) / 2, (height - sheet.side) / 2);
    for (const op of stroke ? [...seen, stroke] : seen) paint(sheet, op, config);
    return sheet.ctx.getImageData(0, 0, width, height);
  }

  /** The first example instead of the drawing, as ImageData. */
  examplePixels() {
    blank(this.outbox, this.config);
    paintExample(this.outbox, this.config.examples[0], this.config);
    return pixels(this.outbox);
  }

  /** Whether nothing but background is on the paper, whichever way it came about. */
  isBlank() {
    if (!this.stroke && !this.seen().length) return true;
    const background = cellOf(this.config.background);
    return asCells(this.pixels().data).every((cell) => cell === background);
  }

  /** Show the drawing as it is now. */
  frame() {
    const { ink, live, stroke, config } = this;
    if (isLabels(config)) {
      this.compose();
      ink.ctx.imageSmoothingEnabled = false;
      ink.ctx.drawImage(this.outbox.canvas, 0, 0, ink.side, ink.side);
    } else {
      live.ctx.clearRect(0, 0, live.side, live.side);
      if (stroke) paint(live, stroke, config);
      this.paper.toggleAttribute("data-inking", stroke?.tool === "ink");
    }
    this.on.framed();
  }

  /** Draw what the paper shows on another canvas of its size, to be compared with the picture. */
  copyTo(canvas) {
    const { ink, live } = this;
    canvas.width = canvas.height = ink.side;
    const ctx = canvas.getContext("2d");
    const inking = this.stroke?.tool === "ink";
    for (const layer of inking ? [this.colours, live] : [this.colours]) {
      ctx.drawImage(layer.canvas, 0, 0);
    }
    if (this.config.hints) layLines({ ctx }, ink);
    else ctx.drawImage(ink.canvas, 0, 0);
    if (!inking) ctx.drawImage(live.canvas, 0, 0);
  }

  /** Match the canvases to the square on the screen; the drawing is painted anew, not scaled. */
  fit() {
    const { config, ghost } = this;
    const wanted = Math.round(this.paper.clientWidth * devicePixelRatio);
    const side = Math.min(1600, wanted) || config.size;
    for (const target of [this.colours, this.ink, this.live, ghost]) resize(target, side);
    if (config.examples.length) {
      paintExample(ghost, config.examples[0], config);
      if (isLabels(config)) outline(ghost);
    }
    this.replay();
    this.frame();
  }

  /* ---- Pictures put on the pad -------------------------------------------------------------- */

  /** Put a picture (a data URL), and strokes over it, on the pad, as one step of undo. Of several
      that are decoded at once only the last comes there, and none for a model that was left. */
  async load(url, strokes = []) {
    this.loading += 1;
    const number = ++this.lastLoad;
    const { model } = this.config;
    try {
      const image = await limited(await decode(url), this.config.photoSide || MAX_RASTER);
      if (number !== this.lastLoad || model !== this.config.model) return;
      rasters.set(image.src, image);
      const over = strokes.map((op) => ({ kind: "stroke", ...op, borrowed: true }));
      this.perform([{ kind: "clear" }, { kind: "raster", image: image.src }, ...over]);
    } catch {
      if (number === this.lastLoad) this.on.failed("This picture could not be put on the pad.");
    } finally {
      this.loading -= 1;
      this.on.loaded();
    }
  }

  /** Put the configuration's picture on the pad, once. */
  loadOnce({ id, image, strokes }) {
    if (id === this.lastRaster) return;
    this.lastRaster = id;
    this.load(image, strokes);
  }

  /* ---- Across a reload ---------------------------------------------------------------------- */

  save() {
    if (!this.key) return;
    const written = (part) => {
      const sheets = Object.entries(this.sheets).map(([name, sheet]) => [name, part(sheet)]);
      return JSON.stringify({ lastRaster: this.lastRaster, sheets: Object.fromEntries(sheets) });
    };
    let text = written(({ ops }) => ops);
    if (text.length > MAX_STORED) text = written((sheet) => this.sinceClear(sheet));
    try {
      if (text.length > MAX_STORED) sessionStorage.removeItem(this.key);
      else sessionStorage.setItem(this.key, text);
    } catch { /* storage is full or forbidden: the drawing lives on the page alone */ }
  }

  /** Take up the drawing that a reload kept; `hasRaster` says that a picture may be on the pad. */
  async restore(hasRaster) {
    this.loading += 1;
    try {
      const kept = JSON.parse(sessionStorage.getItem(this.key)) ?? {};
      if (hasRaster) this.lastRaster = kept.lastRaster ?? null;
      for (const [name, ops] of Object.entries(kept.sheets ?? {})) {
        this.sheets[name] = { ops, undone: [] };
      }
      const ops = Object.values(this.sheets).flatMap((sheet) => sheet.ops);
      const urls = ops.filter((op) => op.kind === "raster").map((op) => op.image);
      await Promise.all(urls.map(async (url) => rasters.set(url, await decode(url))));
    } catch { /* nothing kept, or not by us */ }
    this.loading -= 1;
  }
}
