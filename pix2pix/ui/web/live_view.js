/* The view of a run: asks what is new while it can be seen, and draws only that. */

import { drawCharts } from "./charts.js";
import { isNew, make, stored } from "./dom.js";
import { RunCards } from "./run_cards.js";
import { Samples, measured } from "./samples.js";

const SILENT = "The app does not answer. The run goes on by itself; this page tries again.";
const BUSY = 1500; // ms between two looks at a run that works
const QUIET = 3000;
const SURE = 4000; // ms in which a second click deletes
const RUN = "pix2pix-run"; // the one that was shown last

/** The rows of a list of terms, from [[what, value], ...]. */
const terms = (rows) => rows.map(([what, value]) => (
  make("div", {}, make("dt", { textContent: what }), make("dd", { textContent: value }))));

/** Ask once more before a run is deleted; returns whether this was the second click. */
function isSure(button) {
  if (button.dataset.sure) return true;
  const words = button.textContent;
  button.textContent = "Delete for good?";
  button.dataset.sure = "yes";
  setTimeout(() => { button.textContent = words; delete button.dataset.sure; }, SURE);
  return false;
}

/** Go to the Translate tab, which lists the models anew, and choose one there. */
function openModel(name) {
  document.querySelector("#tabs [role=tab]")?.click();
  const until = Date.now() + 10000;
  const choose = () => {
    const cards = [...document.querySelectorAll("#models .card")];
    const card = cards.find((one) => one.dataset.name === name);
    if (card) card.click();
    else if (Date.now() < until) setTimeout(choose, 100);
  };
  choose();
}

export class LiveView {
  /** `server` has look, sample and act; trigger(event, data) tells the app. */
  constructor(element, server, trigger) {
    Object.assign(this, { element, server, trigger });
    this.shown = ""; // the run that is shown
    this.wanted = ""; // by a person; otherwise the server says which
    this.seen = {};
    this.parts = {};
    this.status = null;
    this.timer = 0;
    this.looking = false;
    this.again = false;
    this.visible = false;
    this.lost = false;
    this.proposed = ""; // as the name of a published model
    const fetchSample = (step) => this.ask("sample", { run: this.shown, step });
    this.cards = new RunCards(element, (run) => this.fetchSmall(run));
    this.samples = new Samples(element, fetchSample, (step) => this.markKept(step));
  }

  find(selector) { return this.element.querySelector(selector); }

  async ask(call, request) {
    const answer = await this.server[call](request).catch(() => null); // nobody answers: null, too
    this.lost = !answer;
    return answer ?? { error: SILENT };
  }

  async fetchSmall(run) {
    const { image } = await this.ask("sample", { run, small: true });
    return this.lost ? "" : image;
  }

  /* ---- Looking ------------------------------------------------------------------------------ */

  canBeSeen() {
    return document.visibilityState === "visible" && this.element.offsetParent !== null;
  }

  async look() {
    clearTimeout(this.timer);
    if (!this.element.isConnected) return;
    if (!this.canBeSeen()) { this.visible = false; return; } // an observer calls when it can be seen again
    if (this.looking) { this.again = true; return; }
    if (!this.visible) { this.visible = true; this.trigger("shown"); }
    this.looking = true;
    const asked = this.wanted;
    const answer = await this.ask("look", { run: asked, seen: this.seen });
    this.looking = false;
    if (asked === this.wanted) this.take(answer);
    const pause = Math.max(1000 * (answer.wait ?? 0), this.status?.active ? BUSY : QUIET);
    const wait = this.again || asked !== this.wanted ? 0 : pause;
    this.again = false;
    this.timer = setTimeout(() => this.look(), wait);
  }

  take(answer) {
    if (!this.find(".live")) return; // the page is being taken down
    if (answer.error) {
      const isRemembered = this.wanted && !this.shown; // by the browser: nobody asked for it now
      if (!this.lost && this.wanted) { this.show(""); } // the run is gone: what is there instead?
      if (this.lost || !isRemembered) this.say(answer.error);
      return;
    }
    if (this.find(".said").dataset.lost) this.say("");
    if (answer.run !== this.shown) this.begin(answer.run);
    this.wanted = answer.run; // it stays in sight when another one's turn comes
    Object.assign(this.seen, answer.versions);
    for (const [part, text] of Object.entries(answer.parts)) this.parts[part] = JSON.parse(text);
    const { status: head, about, health, checkpoints: kept, runs, curves, validation } = answer.parts;
    if (head) this.showStatus(this.parts.status);
    if (health) this.showHealth(this.parts.health);
    if (curves || validation) drawCharts(this.find(".charts"), this.parts);
    if (kept) { this.samples.show(this.parts.checkpoints); this.showKept(); }
    if (about) this.find(".about dl").replaceChildren(...terms(this.parts.about));
    if (runs || head) this.cards.show(this.parts.runs ?? [], this.shown);
    const none = (this.parts.runs ?? []).length === 0;
    this.find(".empty").hidden = !none;
    this.find(".run").hidden = none || !this.status;
  }

  /** Show a run from the start; an empty name lets the server choose. */
  show(name) {
    this.wanted = name;
    stored(RUN, name, "sessionStorage");
    if (name !== this.shown) this.seen = this.parts.runs ? { runs: this.seen.runs } : {};
    this.look();
  }

  begin(name) {
    this.shown = name;
    this.status = null;
    this.parts = { runs: this.parts.runs };
    this.seen = { runs: this.seen.runs };
    for (const part of [".charts", ".samples", ".models", ".health", ".published"]) {
      this.find(part).hidden = true;
    }
    this.find(".charts").replaceChildren();
    this.samples.begin(name);
    this.find(".about").open = false;
  }

  /* ---- The parts ---------------------------------------------------------------------------- */

  showStatus(said) {
    const before = this.status?.state;
    this.status = said;
    this.find(".live").dataset.state = said.state;
    this.find(".run > .head .name").textContent = said.name;
    this.find(".state b").textContent = said.word;
    this.find(".sentence").textContent = said.sentence;
    this.find(".sentence").hidden = !said.sentence;
    const percent = Math.round(said.share * 1000) / 10;
    this.find(".bar").setAttribute("aria-valuenow", percent);
    this.find(".bar div").style.width = `${percent}%`;
    this.find(".facts").replaceChildren(...terms(said.facts));
    this.showButtons();
    this.showKept();
    if (before && before !== said.state) this.say("");
  }

  buttons() {
    const { state, active, resumable, has_model: model, force } = this.status;
    const found = [];
    if (active && state !== "stopping") found.push(["pause", "Pause"], ["stop", "Stop"]);
    if (force) found.push(["force", "Stop by force"]);
    if (resumable) found.push(["resume", "Resume"]);
    if (state === "finished") found.push(["extend", "Continue"]);
    if (model && !active) found.push(["finetune", "Fine-tune"]);
    if (!active) found.push(["delete", "Delete"]);
    return found;
  }

  showButtons() {
    const place = this.find(".buttons");
    const wished = this.buttons();
    if (!isNew(place, [this.shown, wished])) return;
    place.replaceChildren(...wished.map(([action, words]) => {
      const button = make("button", { type: "button", textContent: words, data: { action } });
      if (action !== "extend") return button;
      const epochs = make("input", { type: "number", min: 1, value: 20, className: "more",
        ariaLabel: "More epochs" });
      return make("span", { className: "extend" }, button, "for", epochs, "more epochs");
    }));
  }

  showHealth({ level, line, evidence, advice }) {
    this.find(".health").hidden = false;
    this.find(".health").dataset.level = level;
    this.find(".health b").textContent = line;
    this.find(".evidence").textContent = evidence;
    this.find(".advice").textContent = advice;
  }

  /** The checkpoints whose model was kept, the newest first. */
  showKept() {
    const kept = (this.parts.checkpoints ?? []).filter((checkpoint) => checkpoint.model).reverse();
    const rows = kept.length || !this.status?.has_model ? kept : [{ step: "newest" }];
    this.find(".models").hidden = rows.length === 0;
    const name = this.find(".as input");
    if (rows.length && (!name.value || name.value === this.proposed)) {
      name.value = this.proposed = this.shown;
    }
    const place = this.find(".kept");
    if (!isNew(place, [this.shown, rows])) return;
    place.replaceChildren(...rows.map((checkpoint, index) => {
      const { step } = checkpoint;
      const words = step === "newest" ? "As it is now" : `Step ${step.toLocaleString("en")}`;
      const tags = [checkpoint.best && "best", index === 0 && "newest"].filter(Boolean);
      return make("div", { className: "checkpoint", data: { step } },
        make("button", { type: "button", className: "to", textContent: words,
          data: { goto: step } }),
        make("span", { className: "tags" },
          ...tags.map((tag) => make("i", { textContent: tag, className: `tag ${tag}` }))),
        make("span", { className: "quiet figures", textContent: measured(checkpoint).slice(2) }),
        make("button", { type: "button", textContent: "Publish", data: { publish: step } }));
    }));
    this.markKept(Number(this.find(".cells").dataset.step));
  }

  markKept(step) {
    for (const row of this.element.querySelectorAll(".checkpoint")) {
      row.classList.toggle("here", Number(row.dataset.step) === step);
    }
  }

  /* ---- What people do ----------------------------------------------------------------------- */

  say(words) {
    const place = this.find(".said");
    place.textContent = words;
    place.hidden = !words;
    if (this.lost) place.dataset.lost = "yes"; else delete place.dataset.lost;
  }

  async act(action, more = {}) {
    const run = this.shown;
    const answer = await this.ask("act", { run, action, ...more });
    this.say(answer.error ?? (answer.datasets ? answer.said : ""));
    if (answer.datasets?.length) this.offerDatasets(answer, more);
    if (action === "publish" && !answer.error) this.published(more.name.trim(), answer.said);
    if (action === "delete" && !answer.error) {
      this.show("");
      this.say(answer.said);
    }
    this.again = true;
    this.look();
  }

  /** Let a run whose dataset is gone go on with another. */
  offerDatasets({ datasets, action }, more) {
    const choice = make("select", { ariaLabel: "Dataset to go on with" },
      ...datasets.map((name) => make("option", { textContent: name, value: name })));
    const button = make("button", { type: "button", textContent: "Go on with it" });
    button.addEventListener("click", () => this.act(action, { ...more, dataset: choice.value }));
    this.find(".said").append(" ", choice, " ", button);
  }

  published(name, words) {
    const place = this.find(".published");
    place.hidden = false;
    place.dataset.model = name;
    place.querySelector("span").textContent = words;
  }

  onClick(event) {
    const button = event.target.closest("button");
    if (!button || !this.element.contains(button)) return;
    const { samples } = this;
    const { action, run, column, publish, goto } = button.dataset;
    if (action === "finetune") {
      this.trigger("select", { value: `run: ${this.shown}` });
      document.getElementById("setup")?.scrollIntoView({ behavior: "smooth" });
      return;
    }
    if (action === "extend") this.act("extend", { epochs: this.find(".more").value });
    else if (action && (action !== "delete" || isSure(button))) {
      button.disabled = true;
      this.act(action).finally(() => { button.disabled = false; });
    }
    if (run !== undefined) { this.show(run); this.toTop(); }
    if (column !== undefined) samples.enlarge(samples.enlarged < 0 ? Number(column) : -1);
    if (goto !== undefined && goto !== "newest") samples.goTo(Number(goto));
    if (publish !== undefined) {
      const step = publish === "newest" ? publish : Number(publish);
      this.act("publish", { name: this.find(".as input").value, step });
    }
    if (button.matches(".newest")) samples.follow();
    if (button.matches(".open")) openModel(this.find(".published").dataset.model);
  }

  toTop() {
    const top = this.element.getBoundingClientRect().top;
    if (top < 0 || top > innerHeight * 0.6) this.element.scrollIntoView({ behavior: "smooth" });
  }

  start(run) {
    const { element } = this;
    element.addEventListener("click", (event) => this.onClick(event));
    element.addEventListener("input", (event) => {
      if (event.target.closest(".time")) this.samples.slide();
    });
    document.addEventListener("visibilitychange", () => this.look());
    new IntersectionObserver(() => this.look()).observe(element);
    this.wanted = run;
    this.look();
  }
}

/** Start the view in the Train tab: called by the component with what Gradio gives it. */
export function mount({ element, props, server, trigger, watch }) {
  const view = new LiveView(element, server, trigger);
  watch("value", () => {
    if (!props.value?.run) return;
    view.show(props.value.run);
    view.toTop();
  });
  view.start(stored(RUN, undefined, "sessionStorage") ?? "");
}
