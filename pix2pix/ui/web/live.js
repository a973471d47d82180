/* The live translation and the right square that shows it.

   One request is on its way at a time, and the last state of the drawing is always asked for. */

import { tintChoices } from "./brushes.js";
import { decode } from "./drawing.js";
import { make } from "./dom.js";
import { asCells } from "./paint.js";

const AGAIN_MS = 2000; // until a busy or silent server is asked again
const VARIATIONS = 4;

const isSame = (a, b) => {
  if (a.model !== b?.model || a.seed !== b.seed || a.tint !== b.tint) return false;
  const [one, other] = [a, b].map(({ pixels }) => asCells(pixels.data));
  return one.length === other.length && one.every((cell, at) => cell === other[at]);
};

/** The picture made from a drawing, its seed and its variations. `engines` answers, see
    engine_choice.js. */
export class LivePicture {
  constructor(element, drawing, engines) {
    Object.assign(this, { element, drawing, engines });
    this.result = this.find(".result");
    this.picture = this.find(".picture");
    this.strip = this.find(".variations");
    this.seedBox = this.find(".number");
    this.link = {
      sequence: 0, // requests sent; an answer carries its request's number
      forget: 0, // answers up to this one are dropped
      shown: 0, // the number of the picture on the page
      shownCount: 0,
      shownAt: 0,
      busy: false,
      showing: 0, // answers that have come and are not on the page yet
      asked: null, // what was last sent, so that the same is not sent twice
    };
    this.dirty = false; // the drawing, model, seed or tint differs from what was last sent
    this.wantsVariations = false;
    this.seed = null;
    this.tint = null; // for all of the picture, of a model that was trained with one
    this.answer = null; // what made the picture on the page, or null
    this.ghostAnswer = null; // {key, image}: the first example's translation, for the empty state;
    // `rough`: a small picture of it, until that has come
    this.paused = false; // the camera has the right square
    this.isRevealed = false; // see reveal()
  }

  find(selector) { return this.element.querySelector(selector); }

  get config() { return this.drawing.config; }

  get isIdle() {
    return !this.link.busy && !this.link.showing && !this.dirty && !this.wantsVariations;
  }

  say(text) { this.find(".message").textContent = text; }

  /** Show a line on a square, or none. */
  hint(name, text) {
    this.find(name).replaceChildren(...(text ? [make("span", {}, text)] : []));
  }

  /* ---- What to ask -------------------------------------------------------------------------- */

  /** Fit the page to another model; the picture stays to be seen, but it is not its own to save. */
  configure() {
    this.forget();
    this.answer = null;
    this.refresh();
    this.result.dataset.state = "stale";
    this.picture.setAttribute("aria-label", "The picture made from the drawing");
    this.strip.replaceChildren();
    this.offerTints();
    this.loadPreview();
  }

  /** Until the first example is translated, the small picture that comes with the model is seen. */
  async loadPreview() {
    const [key, { preview }] = [this.ghostKey(), this.config];
    const image = preview && await decode(preview).catch(() => null);
    if (!image || this.ghostAnswer?.key === key || this.ghostKey() !== key) return;
    this.ghostAnswer = { key, image, rough: true };
    if (this.result.dataset.state === "empty") this.put(image);
  }

  /** The drawing or the model is another. */
  changed() {
    this.strip.dataset.stale = "";
    this.translateAnew();
  }

  translateAnew() {
    this.dirty = true;
    if (this.engines.isOffering) {
      this.hint(".caption", "Press “Draw on this device” to see the picture");
    }
    if (!this.drawing.stroke && this.drawing.isBlank()) this.showEmpty();
    this.pump();
  }

  job(call, pixels, show, extra) {
    return { call, pixels, show, model: this.config.model, seed: this.seed, tint: this.tint, ...extra };
  }

  /** The next thing to ask, as {call, model, seed, pixels, show}, or null. */
  nextJob() {
    const job = this.dirty ? this.translation() : null;
    if (job || !this.wantsVariations) return job;
    this.wantsVariations = false;
    if (this.drawing.isBlank()) return null;
    const show = (reply) => this.showVariations(reply);
    const { noise, tints } = this.config; // without seeds there are the tints
    const how = noise === false ? { tints: tints.slice(0, VARIATIONS) } : { count: VARIATIONS };
    return this.job("variations", this.drawing.source(), show, { ...how, tint: null });
  }

  translation() {
    this.dirty = false;
    if (this.drawing.isBlank()) {
      this.showEmpty();
      return this.ghostTranslation();
    }
    const show = (reply, sequence) => this.showPicture(reply, sequence);
    const job = this.job("translate", this.drawing.source(), show);
    // Lifting the pencil changes no pixel: what is on its way is already the last state.
    if (isSame(job, this.link.asked)) return null;
    this.link.asked = job;
    return job;
  }

  ghostKey() {
    const { model, size, source } = this.config;
    return [model, this.seed, this.tint, size, source].join("\n");
  }

  ghostTranslation() {
    const key = this.ghostKey();
    const known = this.ghostAnswer?.key === key && !this.ghostAnswer.rough;
    if (!this.config.examples.length || known) return null;
    const show = (reply) => this.keepGhost(reply, key);
    return this.job("translate", this.drawing.examplePixels(), show);
  }

  /* ---- Asking ------------------------------------------------------------------------------- */

  // Overtaken by a clear, another model or a newer answer.
  isOvertaken(sequence) { return sequence <= this.link.forget || sequence < this.link.shown; }

  async pump() {
    const { link } = this;
    if (link.busy || this.paused || this.drawing.loading || !this.engines.canAnswer) return;
    const job = this.nextJob();
    if (!job) return;
    link.sequence += 1;
    const { sequence } = link;
    this.setBusy(true);
    const reply = await this.engines.ask(job);
    link.showing += 1;
    this.setBusy(false);
    this.pump(); // the newest state leaves before the last answer is decoded
    try {
      if (this.isOvertaken(sequence)) return;
      if (reply.busy) this.askAgain(job);
      if (reply.error) this.fail(String(reply.error));
      else await job.show(reply, sequence);
    } catch {
      this.fail("The server sent no picture; the next stroke tries again.");
    } finally {
      link.showing -= 1;
    }
  }

  setBusy(busy) {
    this.link.busy = busy;
    this.result.setAttribute("aria-busy", String(busy));
  }

  /** A person who has stopped drawing gets the picture late rather than never. */
  askAgain({ call }) {
    setTimeout(() => {
      if (call === "variations") this.wantsVariations = true;
      else this.dirty = true;
      this.pump();
    }, AGAIN_MS);
  }

  fail(sentence) {
    this.link.asked = null;
    this.say(sentence);
  }

  /** Drop every answer still on its way. */
  forget() {
    this.link.forget = this.link.sequence;
    this.link.asked = null;
    this.wantsVariations = false;
  }

  /* ---- Showing the answer ------------------------------------------------------------------- */

  async showPicture(reply, sequence) {
    const image = reply.pixels ?? await decode(reply.image);
    if (this.isOvertaken(sequence)) return;
    this.put(image);
    this.answer = reply;
    this.link.shown = sequence;
    this.link.shownCount += 1;
    this.link.shownAt = performance.now();
    this.result.dataset.state = "picture";
    this.hint(".caption", "");
    this.say("");
    this.refresh();
    this.reveal();
  }

  /** On a phone the first picture may come below the screen: once, the paper goes to its top. */
  reveal() {
    if (this.isRevealed || this.drawing.stroke || !this.engines.began) return;
    this.isRevealed = true;
    const { top, height } = this.result.getBoundingClientRect();
    if (top + height / 2 > innerHeight) this.drawing.paper.scrollIntoView({ behavior: "smooth" });
  }

  /** Show a frame of the camera. */
  showFrame(pixels) {
    this.put(pixels);
    this.answer = { pixels };
    this.result.dataset.state = "picture";
    this.hint(".caption", "");
    this.refresh();
  }

  put(image) {
    const { picture } = this;
    const ctx = picture.getContext("2d");
    picture.width = image.naturalWidth ?? image.width;
    picture.height = image.naturalHeight ?? image.height;
    if (image instanceof ImageData) ctx.putImageData(image, 0, 0);
    else ctx.drawImage(image, 0, 0);
  }

  async keepGhost(reply, key) {
    this.ghostAnswer = { key, image: reply.pixels ?? await decode(reply.image) };
    this.say("");
    if (key === this.ghostKey() && this.drawing.isBlank()) this.showEmpty();
  }

  /** The right square while nothing is drawn: a faint promise of what will come. */
  showEmpty() {
    this.forget();
    this.answer = null;
    if (this.ghostAnswer?.key === this.ghostKey()) this.put(this.ghostAnswer.image);
    else this.picture.width = this.picture.height = 1;
    this.result.dataset.state = "empty";
    this.say("");
    const drawn = this.config.kind !== "photo";
    this.hint(".caption", `The picture appears here${drawn ? " while you draw" : ""}`);
    this.strip.replaceChildren();
    this.refresh();
  }

  /** Set the buttons below the picture, and the drawing laid over it. */
  refresh() {
    for (const name of ["download", "compare", "variations"]) {
      this.find(`[data-do=${name}]`).disabled = !this.answer;
    }
    const comparing = this.find("[data-do=compare]").getAttribute("aria-pressed") === "true";
    this.result.toggleAttribute("data-compare", comparing && Boolean(this.answer));
    if (comparing && this.answer) this.drawing.copyTo(this.find(".before"));
  }

  download() {
    const { model, target } = this.config;
    const stem = `${model} ${target}`.replace(/[^\p{L}\p{N}]+/gu, "-");
    const name = stem.replace(/^-|-$/g, "").slice(0, 80) || "picture";
    const href = this.answer.image ?? this.picture.toDataURL("image/png");
    make("a", { href, download: `${name}.png` }).click();
  }

  /* ---- Tint --------------------------------------------------------------------------------- */

  offerTints() {
    const { tints } = this.config;
    const row = this.find(".tints");
    row.hidden = !tints.length;
    row.replaceChildren(...(tints.length ? tintChoices(tints, (tint) => this.setTint(tint)) : []));
    this.tint = null;
    this.markChosen();
  }

  setTint(tint) {
    this.tint = tint;
    this.markChosen();
    this.strip.dataset.stale = "";
    this.translateAnew();
  }

  /* ---- Seed and variations ------------------------------------------------------------------ */

  askVariations() {
    this.wantsVariations = true;
    this.say("Making four variations…");
    this.pump();
  }

  async showVariations(reply) {
    const shown = reply.images.slice(0, VARIATIONS).map((each) => this.variationTile(each));
    this.strip.replaceChildren(...await Promise.all(shown));
    delete this.strip.dataset.stale;
    this.say("");
    this.markChosen();
    this.strip.scrollIntoView({ block: "nearest" }); // it lies below the picture
  }

  /** A picture of a tint, or of a seed, which has a tint of its own. */
  async variationTile({ seed = null, tint = null, image }) {
    const shown = Object.assign(await decode(image), { alt: "" });
    const onclick = () => {
      this.tint = tint;
      this.setSeed(seed);
    };
    const [title, words] = tint ? ["Use this tint", `Tint ${tint}`] : ["Use this seed", `Seed ${seed}`];
    const data = tint ? { color: tint } : { seed };
    return make("button", { type: "button", title, onclick, data }, shown, make("span", {}, words));
  }

  /** The variations stay as they are: they are of this drawing with whatever seed. */
  setSeed(value) {
    this.seed = Number.isInteger(value) && value >= 0 ? Math.min(value, 4294967295) : null;
    this.seedBox.value = this.seed ?? "";
    this.markChosen();
    this.translateAnew();
  }

  /** Mark the tint and the variation that the picture has. */
  markChosen() {
    this.find("[data-do=unseed]").disabled = this.seed === null;
    for (const button of this.element.querySelectorAll(".tints button")) {
      button.setAttribute("aria-pressed", String(button.dataset.color === (this.tint ?? "")));
    }
    for (const tile of this.strip.children) {
      const { color, seed } = tile.dataset;
      const isChosen = color ? color === this.tint : Number(seed) === this.seed;
      tile.setAttribute("aria-pressed", String(isChosen));
    }
  }
}
