/* The board on which photos are traced, one after the other, into the drawings of a set. */

import { reopenBoard, rememberBoard } from "./reopen_board.js";
import { make, stored } from "./dom.js";
import { Drafts } from "./drafts.js";
import { Drawing } from "./drawing.js";
import { normalise } from "./pad.js";
import { PaletteEditor } from "./palette_editor.js";
import { PhotoUpload } from "./photo_upload.js";
import { Pointer } from "./pointer.js";
import { Tools } from "./tools.js";

const SIDE = 512; // pixels of a drawing; see data/traced.py
const LAST = "pix2pix-traced"; // the set that was open last
const AWAY = "The server does not answer: your drawing is kept in this browser until it does.";
const ALL_DONE = "All photos are traced: check the pairs below.";

const countWords = (name, done, photos) => `${name}: ${done} of ${photos} done`;

export class Board {
  constructor(element, { server, upload, props }) {
    Object.assign(this, { element, server, upload, props });
    Object.assign(this, { set: "", kind: "drawing", photos: [], at: -1, version: 0 });
    Object.assign(this, { isChanging: false, isChanged: false }); // see changeSet
    this.adding = null; // the photos that are being added
    this.coming = null; // what is on its way to the paper: {at}, with the photo's place
    this.drawing = new Drawing(element, {
      framed: () => this.tools.refresh(),
      changed: () => this.drafts.changed(),
      loaded: () => {},
      failed: () => {},
      isClosed: () => !this.photo || Boolean(this.coming),
    }, null);
    this.drafts = new Drafts({
      read: () => this.draft(),
      send: (draft) => this.sendDrawing({ ...draft, image: this.drawing.png() }),
    });
    this.tools = new Tools(element, this.drawing);
    this.palette = new PaletteEditor(element, () => this.changeSet());
    this.through = make("img", { className: "through-paper", alt: "" });
    this.find(".brush").before(this.through);
  }

  find(selector) { return this.element.querySelector(selector); }

  select(part) { return this.find(`[data-part=${part}] select`); }

  say(text) {
    for (const line of this.element.querySelectorAll(".message")) line.textContent = text;
  }

  get photo() { return this.photos[this.at]; }

  get done() { return this.photos.filter(({ state }) => state === "done").length; }

  async ask(call, request = {}, isQuiet = false) {
    let reply;
    try {
      reply = await this.server[call](request);
    } catch { /* it is away, or refuses so much */ }
    reply ??= { error: AWAY };
    if (reply.error && !isQuiet) this.say(reply.error);
    return reply;
  }

  /** Ask for what the paper shows next; until then it shows what it did and takes no strokes.
      Returns null where that fails, or something else was asked for since. */
  async bring(call, request, at = this.at) {
    const coming = { at };
    this.wait(coming);
    const isSaved = await this.flush();
    const reply = isSaved ? await this.ask(call, request) : { error: AWAY };
    if (this.coming !== coming) return null;
    this.wait(null);
    return reply.error ? null : reply;
  }

  wait(coming) {
    this.coming = coming;
    this.find(".work").setAttribute("aria-busy", String(Boolean(coming)));
  }

  /* ---- The set ------------------------------------------------------------------------------ */

  /** Show a set, or the form of a new one where there is none of this name. */
  async open(name) {
    const reply = await this.bring("open_board", { set: name });
    if (!reply) {
      this.select("sets").value = this.set;
      return;
    }
    const { set, kind = this.kind, photos, sets, palettes } = reply;
    if (set !== this.set) this.find(".labels").open = !photos.length;
    Object.assign(this, { set, kind, photos, at: -1 });
    stored(LAST, set || null);
    this.palette.offer(palettes, reply.palette);
    this.offerSets(sets);
    this.configure();
    this.say("");
    const next = photos.findIndex(({ state }) => state !== "done");
    if (this.done || this.props.value?.set) this.tellPage();
    if (photos.length) await this.go(Math.max(0, next));
  }

  offerSets(sets) {
    const options = sets.map(({ name, photos, done }) => (
      make("option", { value: name, textContent: countWords(name, done, photos) })
    ));
    this.select("sets").replaceChildren(
      ...options,
      make("option", { value: "", textContent: "A new set" }),
    );
    this.select("sets").value = this.set;
    this.find("[data-part=sets]").hidden = !sets.length;
  }

  /** Fit the board to the set: its kind, its palette, and whether there are photos. */
  configure() {
    const isLabels = this.kind === "labels";
    const has = this.photos.length > 0;
    this.select("kind").value = this.kind;
    this.find(".labels").hidden = !isLabels;
    this.find("[data-do=add]").className = has ? "worded" : "chief";
    this.find("[data-do=delete]").hidden = !this.set;
    this.find(".start").hidden = has;
    this.find(".work").hidden = !has;
    const { colours } = this.palette;
    this.drawing.configure(normalise({
      size: SIDE,
      kind: this.kind,
      palette: isLabels ? colours : null,
      background: isLabels ? colours[0].color : "#ffffff",
    }));
    this.tools.configure();
    if (!this.photo) this.show("", "", []);
    this.find("[data-do=guide]").hidden = true;
    this.find(".invite").replaceChildren(make("span", { textContent: "Trace the photo here" }));
    this.refresh();
  }

  /** Take another kind or palette. Answers may come in any order, so there is one request at a
      time: changes during it follow together, and a refusal takes back all of them. */
  async changeSet() {
    this.kind = this.select("kind").value;
    const { set } = this;
    if (!set) return this.configure();
    this.isChanged = true;
    if (this.isChanging) return null;
    this.isChanging = true;
    let error;
    while (this.isChanged && this.set === set && !error) {
      this.isChanged = false;
      const request = { set, kind: this.kind, palette: this.palette.colours };
      ({ error } = await this.ask("change_set", request, true));
    }
    await (error ? this.open(set) : this.configure());
    this.isChanging = false;
    return this.say(error ?? "");
  }

  async deleteSet() {
    if (!confirm("Delete this set with its photos and all drawings?")) return;
    this.adding?.stop();
    await this.drafts.forget();
    if (!(await this.ask("delete_set", { set: this.set })).error) await this.open("");
  }

  /* ---- Photos ------------------------------------------------------------------------------- */

  /** Add files to the set that is open now, or to a new one. */
  async add(files) {
    const { set, kind, palette: { colours: palette } } = this;
    const into = { set, kind, palette, frame: this.select("frame").value };
    this.adding = new PhotoUpload(into, {
      upload: this.upload,
      send: (request) => this.server.add_photo(request),
      came: (before, reply) => this.takePhoto(before, reply),
      say: (text) => this.say(text),
    });
    this.find("[data-do=add]").textContent = "Stop";
    const failed = await this.adding.add(files);
    this.adding = null;
    this.find("[data-do=add]").textContent = "Add photos";
    this.say(failed.join(" "));
    const { sets = [] } = await this.ask("open_board", { set: "" });
    this.offerSets(sets);
  }

  /** Take a photo that came into the set `before`, unless another is open by now. Whoever opened
      this one anew may have it already. */
  async takePhoto(before, { set, photo }) {
    if (this.set !== before || this.photos.some(({ name }) => name === photo.name)) return;
    this.set = set;
    stored(LAST, set);
    this.photos.push(photo);
    if (this.at < 0) {
      this.find(".labels").open = false;
      this.configure();
      await this.go(0);
    } else this.refresh();
  }

  async remove() {
    const { set, photo } = this;
    if (!photo || (photo.state && !confirm("Remove this photo and its drawing?"))) return;
    await this.drafts.forget();
    if ((await this.ask("remove_photo", { set, name: photo.name })).error) return;
    const { at, photo: shown } = this;
    this.photos = this.photos.filter((other) => other !== photo);
    this.at = this.photos.indexOf(shown);
    this.tellPage();
    this.configure();
    if (this.at < 0 && this.photos.length) await this.go(Math.min(at, this.photos.length - 1));
  }

  /** Show another photo with what was drawn over it; until it has come, the one before stays. */
  async go(at) {
    const { set, photos: { [at]: photo } } = this;
    const reply = await this.bring("open_photo", { set, name: photo.name }, at);
    if (!reply || !this.photos.includes(photo)) return;
    this.at = this.photos.indexOf(photo);
    const unsaved = this.drafts.unsaved(set, photo.name);
    this.show(photo.name, reply.photo, unsaved ?? reply.strokes);
    if (unsaved) this.drafts.changed();
    this.refresh();
    this.find(".strip [aria-current=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  show(name, photo, strokes) {
    for (const image of [this.through, this.find(".photo img")]) image.src = photo;
    this.drawing.take(strokes);
    this.find(".work").dataset.shown = name;
  }

  step(by) {
    const count = this.photos.length;
    return this.go(((this.coming ?? this).at + by + count) % count);
  }

  async next() {
    if (this.coming) return null;
    if (this.drawing.isBlank()) return this.say("Trace the photo first, or skip it.");
    this.drawing.finishStroke();
    if (!(await this.drafts.save(true))) return null;
    const order = this.photos.map((_, n) => (this.at + 1 + n) % this.photos.length);
    const next = order.find((at) => this.photos[at].state !== "done");
    if (next === undefined) return this.say(ALL_DONE);
    this.say("");
    return this.go(next);
  }

  /** Send what was drawn since; whether the server has all of it. */
  flush() {
    this.drawing.finishStroke();
    return this.drafts.flush();
  }

  /** The drawing as it is now, for the drafts. */
  draft() {
    const { set, photo, drawing } = this;
    if (!photo) return null;
    return { set, name: photo.name, strokes: drawing.isBlank() ? [] : drawing.sinceClear() };
  }

  /** Send a drawing; it is still the one on the paper. */
  async sendDrawing(draft) {
    const photo = this.photos.find(({ name }) => name === draft.name);
    const { state, error } = await this.ask("save_drawing", draft);
    if (error) return false;
    const before = photo.state;
    photo.state = state;
    if ([before, state].includes("done")) this.tellPage();
    if (before !== state) this.refresh();
    return true;
  }

  /** Tell the page that the pairs are others than before. */
  tellPage() {
    this.version += 1;
    this.props.value = { set: this.done ? this.set : "", version: this.version };
  }

  /* ---- The page ----------------------------------------------------------------------------- */

  refresh() {
    const words = { done: "done", begun: "begun", "": "not drawn yet" };
    const thumb = ({ name, state, thumbnail }, at) => make(
      "button",
      { type: "button", title: `${name}, ${words[state]}`, onclick: () => this.go(at), data: { state } },
      make("img", { src: thumbnail, alt: `${name}, ${words[state]}` }),
    );
    const strip = this.find(".strip");
    const { scrollLeft } = strip;
    strip.replaceChildren(...this.photos.map(thumb));
    strip.children[this.at]?.setAttribute("aria-current", "true");
    strip.scrollLeft = scrollLeft;
    this.select("kind").disabled = this.photos.some(({ state }) => state);
    const option = this.select("sets").selectedOptions[0];
    if (this.set && option?.value === this.set) {
      option.textContent = countWords(this.set, this.done, this.photos.length);
    }
    for (const name of ["back", "skip"]) {
      this.find(`[data-do=${name}]`).disabled = this.photos.length < 2;
    }
  }

  listen() {
    const doing = {
      add: () => (this.adding ? this.adding.stop() : this.find(".files").click()),
      delete: () => this.deleteSet(),
      colour: () => this.palette.add(),
      back: () => this.step(-1),
      skip: () => this.step(1),
      remove: () => this.remove(),
      next: () => this.next(),
    };
    this.find(".trace").addEventListener("click", (event) => {
      doing[event.target.closest("button")?.dataset.do]?.();
    });
    const files = this.find(".files");
    files.addEventListener("change", () => {
      this.add([...files.files]);
      files.value = "";
    });
    this.select("sets").addEventListener("change", () => this.open(this.select("sets").value));
    this.select("kind").addEventListener("change", () => this.changeSet());
    const range = this.find(".through input");
    const shine = () => this.through.style.setProperty("--through", range.value / 100);
    range.addEventListener("input", shine);
    new Pointer(this.tools, { begin: () => {}, moved: () => {} }).listen();
    this.tools.listen();
  }

  start() {
    this.configure();
    this.listen();
    return this.open(stored(LAST) ?? "");
  }
}

/** Lay the board out once it is seen: most who open the page do not come to draw pairs. Called by
    the component with what Gradio gives it. */
export function mount({ element, ...given }) {
  const place = element.querySelector(".trace");
  reopenBoard(place);
  const seen = new ResizeObserver(() => {
    if (!place.offsetParent) return;
    seen.disconnect();
    rememberBoard(); // also where it was chosen before anybody listened
    place.append(element.querySelector("template").content);
    element.board = new Board(element, given);
    element.board.start();
  });
  seen.observe(place);
}
