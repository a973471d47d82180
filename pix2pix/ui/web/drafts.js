/* Drawings on their way to the server. What it has not taken yet lies in the browser's own storage,
   so that neither a reload nor a server that is away costs a stroke. */

import { stored } from "./dom.js";

const SAVE_MS = 400; // after the last stroke
const AGAIN_MS = 5000; // after a save that failed
const UNSAVED = "pix2pix-traced-unsaved";

export class Drafts {
  /** `read()` gives the drawing as it is now, {set, name, strokes}, or null where there is none;
      `send({set, name, strokes, done})` whether the server has taken it. */
  constructor({ read, send }) {
    Object.assign(this, { read, send, isDirty: false });
    this.saving = Promise.resolve(true); // one after the other
  }

  changed() {
    const draft = this.read();
    if (!draft) return;
    this.isDirty = true;
    stored(UNSAVED, draft);
    this.saveLater(SAVE_MS);
  }

  /** The strokes over a photo that the server had not taken when the page was left, or null. */
  unsaved(set, name) {
    const draft = stored(UNSAVED);
    return draft?.set === set && draft?.name === name ? draft.strokes : null;
  }

  /** Send no more of it; done when what is under way has come to its end. */
  forget() {
    clearTimeout(this.timer);
    this.isDirty = false;
    stored(UNSAVED, null);
    this.saving = this.saving.then(() => true);
    return this.saving;
  }

  saveLater(delay) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), delay);
  }

  /** Send what was not sent yet; whether the server has all of it. */
  flush() { return this.isDirty ? this.save(false) : this.saving; }

  save(done) {
    clearTimeout(this.timer);
    this.isDirty = false;
    const draft = { ...this.read(), done };
    this.saving = this.saving.then(() => this.send(draft)).then((isTaken) => {
      if (!isTaken) {
        this.isDirty = true;
        this.saveLater(AGAIN_MS);
      } else if (!this.isDirty) stored(UNSAVED, null);
      return isTaken;
    });
    return this.saving;
  }
}
