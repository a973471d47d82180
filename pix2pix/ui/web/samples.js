/* The same pairs at every checkpoint of the run, and a slider through time. */

import { short } from "./charts.js";
import { make } from "./dom.js";

const MAX_KEPT = 40; // pictures

/** The measures of a checkpoint in words. */
export function measured({ l1, psnr, ssim, perceptual }) {
  const measures = Object.entries({ L1: l1, PSNR: psnr, SSIM: ssim, perceptual });
  const known = measures.filter(([, value]) => value !== undefined);
  return known.map(([name, value]) => `, ${name} ${short(value)}`).join("");
}

export class Samples {
  /** `fetchSample(step)` asks for the pictures of a step of the run that is shown; `onStep(step)`
      hears which step is seen. */
  constructor(element, fetchSample, onStep) {
    Object.assign(this, { element, fetchSample, onStep });
    this.pictures = new Map(); // "run/step" -> {image, count}, a few of them
    this.checkpoints = [];
    this.begin("");
    this.fetching = false;
  }

  find(selector) { return this.element.querySelector(selector); }

  /** Another run is shown from now on. */
  begin(run) {
    this.run = run;
    this.chosenStep = null; // null follows the newest
    this.shownKey = "";
    this.enlarged = -1;
    this.find(".cells").replaceChildren();
    this.find(".which").textContent = "";
  }

  get sampled() { return this.checkpoints.filter((checkpoint) => checkpoint.sample); }

  show(found) {
    this.checkpoints = found;
    const steps = this.sampled;
    this.find(".samples").hidden = steps.length === 0;
    const slider = this.find(".time input");
    slider.max = Math.max(0, steps.length - 1);
    slider.disabled = steps.length < 2;
    const index = steps.findIndex((checkpoint) => checkpoint.step === this.chosenStep);
    if (index < 0) this.chosenStep = null;
    slider.value = index < 0 ? steps.length - 1 : index;
    this.showWanted();
  }

  /** Follow the newest checkpoint again. */
  follow() {
    this.chosenStep = null;
    this.show(this.checkpoints);
  }

  slide() {
    const steps = this.sampled;
    const index = Number(this.find(".time input").value);
    this.chosenStep = index === steps.length - 1 ? null : steps[index].step;
    this.showWanted();
  }

  /** Go to a checkpoint from the table: the picture of its step, or the last before it. */
  goTo(step) {
    const steps = this.sampled;
    const before = steps.filter((checkpoint) => checkpoint.step <= step);
    if (!before.length) return;
    const { step: found } = before.at(-1);
    this.chosenStep = found === steps.at(-1).step ? null : found;
    this.show(this.checkpoints);
  }

  get wanted() {
    const steps = this.sampled;
    return steps.find(({ step }) => step === this.chosenStep) ?? steps.at(-1);
  }

  keyOf(checkpoint) { return `${this.run}/${checkpoint?.step}`; }

  /** Show the wanted checkpoint: one picture is asked for at a time, and after it the one wanted
      then. */
  async showWanted() {
    const { wanted, pictures } = this;
    if (!wanted) { this.shownKey = ""; return; }
    this.find(".newest").setAttribute("aria-pressed", String(this.chosenStep === null));
    const key = this.keyOf(wanted);
    if (key === this.shownKey || pictures.has(key)) { this.showPicture(wanted, key); return; }
    if (this.fetching) return;
    this.fetching = true;
    const answer = await this.fetchPicture(wanted.step);
    this.fetching = false;
    if (answer) {
      pictures.set(key, answer);
      if (pictures.size > MAX_KEPT) pictures.delete(pictures.keys().next().value);
      // Else another run is shown by now.
      if (this.keyOf(wanted) === key) this.showPicture(wanted, key);
    }
    if (this.keyOf(this.wanted) !== key) this.showWanted();
  }

  async fetchPicture(step) {
    const answer = await this.fetchSample(step);
    if (!answer.image) return null;
    const picture = new Image();
    picture.src = answer.image;
    await picture.decode().catch(() => {});
    return answer;
  }

  /** The picture and the words on it, together. */
  showPicture(checkpoint, key) {
    const step = checkpoint.step.toLocaleString("en");
    this.find(".which").textContent = `step ${step}${measured(checkpoint)}`;
    if (key === this.shownKey) return;
    this.shownKey = key;
    this.paintCells(this.pictures.get(key), checkpoint.step);
    this.onStep(checkpoint.step);
  }

  paintCells({ image, count }, step) {
    const place = this.find(".cells");
    if (place.children.length !== count) {
      place.replaceChildren(...Array.from({ length: count }, (_, column) => {
        const cell = (row) => make("span", { data: { row } });
        return make("button", { type: "button", className: "pair", title: "Enlarge this pair",
          ariaLabel: `Pair ${column + 1}`, data: { column } }, cell(0), cell(1), cell(2));
      }));
    }
    place.dataset.step = step;
    place.style.setProperty("--count", count);
    for (const pair of place.children) {
      const column = Number(pair.dataset.column);
      for (const cell of pair.children) {
        cell.style.backgroundImage = `url("${image}")`;
        cell.style.backgroundSize = `${count * 100}% 300%`;
        const across = count > 1 ? (column / (count - 1)) * 100 : 0;
        cell.style.backgroundPosition = `${across}% ${Number(cell.dataset.row) * 50}%`;
      }
    }
    this.enlarge(this.enlarged < count ? this.enlarged : -1);
  }

  /** One pair large, the others out of the way; again, or -1, shows all. */
  enlarge(column) {
    this.enlarged = column;
    this.find(".sheet").classList.toggle("large", column >= 0);
    for (const pair of this.find(".cells").children) {
      pair.hidden = column >= 0 && Number(pair.dataset.column) !== column;
      pair.title = column >= 0 ? "Show all pairs" : "Enlarge this pair";
    }
  }
}
