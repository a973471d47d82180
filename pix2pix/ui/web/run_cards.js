/* The list of all runs: a card each, with the newest generated picture. */

import { isNew, make } from "./dom.js";

function runCard(name) {
  return make("button", { type: "button", className: "card", data: { run: name } },
    make("span", { className: "blank" }),
    make("span", { className: "words" }, make("b", { textContent: name }),
      make("span", { className: "quiet" }, make("i", { className: "dot" }),
        make("span", { className: "word" })),
      make("small", { className: "quiet" })));
}

function when(seconds) {
  if (!seconds) return "";
  const date = new Date(seconds * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const options = today ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short" };
  return date.toLocaleString(undefined, options);
}

export class RunCards {
  /** `fetchSmall(name)` asks for a run's picture: "" while there is none or nobody answers. */
  constructor(element, fetchSmall) {
    Object.assign(this, { element, fetchSmall });
    this.pictures = new Map(); // run -> the word of its state when its picture was asked for
  }

  show(list, shown) {
    const all = this.element.querySelector(".all");
    all.hidden = list.length === 0;
    const place = all.querySelector(".cards");
    if (!isNew(place, [list, shown])) return;
    const old = new Map([...place.children].map((card) => [card.dataset.run, card]));
    place.replaceChildren(...list.map((run) => {
      const card = old.get(run.name) ?? runCard(run.name);
      card.setAttribute("aria-pressed", String(run.name === shown));
      card.dataset.state = run.state;
      card.querySelector(".word").textContent = run.word;
      const facts = [run.data, when(run.started)].filter(Boolean);
      card.querySelector("small").textContent = facts.join(", ");
      this.thumbnail(card, run);
      return card;
    }));
  }

  /** The newest generated picture of a run, asked for when its state or per cent change. */
  async thumbnail(card, { name, word }) {
    if (this.pictures.get(name) === word) return;
    this.pictures.set(name, word);
    const image = await this.fetchSmall(name);
    if (image) card.querySelector(".blank").style.backgroundImage = `url("${image}")`;
    else if (image === "") this.pictures.delete(name); // ask again
  }
}
