/* The view of a run: asks what is new while it can be seen, and draws only that. */

const SILENT = "The app does not answer. The run goes on by itself; this page tries again.";
const BUSY = 1500; // ms between two looks at a run that works
const QUIET = 3000;

let shown = ""; // the run that is shown
let wanted = ""; // by a person; otherwise the server says which
let seen = {};
let parts = {};
let status = null;
let timer = 0;
let looking = false;
let again = false;
let visible = false;
let lost = false;
let proposed = ""; // as the name of a published model
const smalls = new Map();

const find = (selector) => element.querySelector(selector);

async function ask(call, request) {
  const answer = await server[call](request).catch(() => null); // null also when nobody answers
  lost = !answer;
  return answer ?? { error: SILENT };
}

/* ---- Looking -------------------------------------------------------------------------------- */

const canBeSeen = () => document.visibilityState === "visible" && element.offsetParent !== null;

async function look() {
  clearTimeout(timer);
  if (!element.isConnected) return;
  if (!canBeSeen()) { visible = false; return; } // an observer calls when it can be seen again
  if (looking) { again = true; return; }
  if (!visible) { visible = true; trigger("shown"); }
  looking = true;
  const asked = wanted;
  const answer = await ask("look", { run: asked, seen });
  looking = false;
  if (asked === wanted) take(answer);
  const pause = Math.max(1000 * (answer.wait ?? 0), status?.active ? BUSY : QUIET);
  const wait = again || asked !== wanted ? 0 : pause;
  again = false;
  timer = setTimeout(look, wait);
}

function take(answer) {
  if (!find(".live")) return; // the page is being taken down
  if (answer.error) {
    if (!lost && wanted) { show(""); } // the run is gone: what is there instead?
    say(answer.error);
    return;
  }
  if (find(".said").dataset.lost) say("");
  if (answer.run !== shown) begin(answer.run);
  wanted = answer.run; // it stays in sight when another one's turn comes
  Object.assign(seen, answer.versions);
  for (const [part, text] of Object.entries(answer.parts)) parts[part] = JSON.parse(text);
  const { status: head, about, health, checkpoints: kept, runs, curves, validation } = answer.parts;
  if (head) showStatus(parts.status);
  if (health) showHealth(parts.health);
  if (curves || validation) drawCharts(find(".charts"), parts);
  if (kept) { showMoments(parts.checkpoints); showKept(); }
  if (about) showAbout(parts.about);
  if (runs || head) showRuns(parts.runs ?? []);
  const none = (parts.runs ?? []).length === 0;
  find(".empty").hidden = !none;
  find(".run").hidden = none || !status;
}

/** Show a run from the start; an empty name lets the server choose. */
function show(name) {
  wanted = name;
  try { sessionStorage.setItem("pix2pix-run", name); } catch { /* not kept, then */ }
  if (name !== shown) seen = parts.runs ? { runs: seen.runs } : {};
  look();
}

function begin(name) {
  shown = name;
  status = null;
  parts = { runs: parts.runs };
  seen = { runs: seen.runs };
  chosenStep = null;
  shownKey = "";
  enlarged = -1;
  for (const part of [".charts", ".samples", ".models", ".health", ".published"]) {
    find(part).hidden = true;
  }
  find(".charts").replaceChildren();
  find(".cells").replaceChildren();
  find(".which").textContent = "";
  find(".about").open = false;
}

/* ---- The parts ------------------------------------------------------------------------------ */

function showStatus(said) {
  const before = status?.state;
  status = said;
  find(".live").dataset.state = said.state;
  find(".run > .head .name").textContent = said.name;
  find(".state b").textContent = said.word;
  find(".sentence").textContent = said.sentence;
  find(".sentence").hidden = !said.sentence;
  const percent = Math.round(said.share * 1000) / 10;
  find(".bar").setAttribute("aria-valuenow", percent);
  find(".bar div").style.width = `${percent}%`;
  const facts = said.facts.flatMap(([what, value]) => [
    make("div", {}, make("dt", { textContent: what }), make("dd", { textContent: value }))]);
  find(".facts").replaceChildren(...facts);
  showButtons();
  showKept();
  if (before && before !== said.state) say("");
}

function buttons() {
  const { state, active, resumable, has_model: model, force } = status;
  const found = [];
  if (active && state !== "stopping") found.push(["pause", "Pause"], ["stop", "Stop"]);
  if (force) found.push(["force", "Stop by force"]);
  if (resumable) found.push(["resume", "Resume"]);
  if (state === "finished") found.push(["extend", "Continue"]);
  if (model && !active) found.push(["finetune", "Fine-tune"]);
  return found;
}

function showButtons() {
  const place = find(".buttons");
  const wished = buttons();
  const key = JSON.stringify([shown, wished]);
  if (place.dataset.key === key) return; // what is pressed or typed right now stays
  place.dataset.key = key;
  place.replaceChildren(...wished.map(([action, words]) => {
    const button = make("button", { type: "button", textContent: words, data: { action } });
    if (action !== "extend") return button;
    const epochs = make("input", { type: "number", min: 1, value: 20, className: "more",
      ariaLabel: "More epochs" });
    return make("span", { className: "extend" }, button, "for", epochs, "more epochs");
  }));
}

function showHealth({ level, line, evidence, advice }) {
  find(".health").hidden = false;
  find(".health").dataset.level = level;
  find(".health b").textContent = line;
  find(".evidence").textContent = evidence;
  find(".advice").textContent = advice;
}

function showAbout(rows) {
  find(".about dl").replaceChildren(...rows.map(([what, value]) => (
    make("div", {}, make("dt", { textContent: what }), make("dd", { textContent: value })))));
}

/** The moments whose model was kept, the newest first. */
function showKept() {
  const kept = (parts.checkpoints ?? []).filter((moment) => moment.model).reverse();
  const rows = kept.length || !status?.has_model ? kept : [{ step: "newest" }];
  find(".models").hidden = rows.length === 0;
  const name = find(".as input");
  if (rows.length && (!name.value || name.value === proposed)) name.value = proposed = shown;
  const key = JSON.stringify(rows);
  const place = find(".kept");
  if (place.dataset.key === shown + key) return;
  place.dataset.key = shown + key;
  place.replaceChildren(...rows.map((moment, index) => {
    const { step } = moment;
    const words = step === "newest" ? "As it is now" : `Step ${step.toLocaleString("en")}`;
    const tags = [moment.best && "best", index === 0 && "newest"].filter(Boolean);
    return make("div", { className: "moment", data: { step } },
      make("button", { type: "button", className: "to", textContent: words,
        data: { goto: step } }),
      make("span", { className: "tags" },
        ...tags.map((tag) => make("i", { textContent: tag, className: `tag ${tag}` }))),
      make("span", { className: "quiet figures", textContent: measured(moment).slice(2) }),
      make("button", { type: "button", textContent: "Publish", data: { publish: step } }));
  }));
  markKept(Number(find(".cells").dataset.step));
}

function markKept(step) {
  for (const row of element.querySelectorAll(".moment")) {
    row.classList.toggle("here", Number(row.dataset.step) === step);
  }
}

function showRuns(list) {
  find(".all").hidden = list.length === 0;
  const place = find(".all .cards");
  const key = JSON.stringify([list, shown]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const old = new Map([...place.children].map((card) => [card.dataset.run, card]));
  place.replaceChildren(...list.map((run) => {
    const card = old.get(run.name) ?? runCard(run.name);
    card.setAttribute("aria-pressed", String(run.name === shown));
    card.dataset.state = run.state;
    card.querySelector(".word").textContent = run.word;
    card.querySelector("small").textContent = [run.data, when(run.started)].filter(Boolean).join(", ");
    thumbnail(card, run);
    return card;
  }));
}

function runCard(name) {
  return make("button", { type: "button", className: "card", data: { run: name } },
    make("span", { className: "blank" }),
    make("span", { className: "words" }, make("b", { textContent: name }),
      make("span", { className: "quiet" }, make("i", { className: "dot" }),
        make("span", { className: "word" })),
      make("small", { className: "quiet" })));
}

/** The newest generated picture of a run, asked for when its state or per cent change. */
async function thumbnail(card, { name, word }) {
  if (smalls.get(name) === word) return;
  smalls.set(name, word);
  const { image } = await ask("sample", { run: name, small: true });
  if (image) card.querySelector(".blank").style.backgroundImage = `url("${image}")`;
  else if (lost || image === "") smalls.delete(name); // none yet
}

function when(seconds) {
  if (!seconds) return "";
  const date = new Date(seconds * 1000);
  const today = date.toDateString() === new Date().toDateString();
  const options = today ? { hour: "2-digit", minute: "2-digit" } : { day: "numeric", month: "short" };
  return date.toLocaleString(undefined, options);
}

/* ---- What people do ------------------------------------------------------------------------- */

function say(words) {
  const place = find(".said");
  place.textContent = words;
  place.hidden = !words;
  if (lost) place.dataset.lost = "yes"; else delete place.dataset.lost;
}

async function act(action, more = {}) {
  const run = shown;
  const answer = await ask("act", { run, action, ...more });
  say(answer.error ?? (answer.datasets ? answer.said : ""));
  if (answer.datasets?.length) offerDatasets(answer, more);
  if (action === "publish" && !answer.error) published(more.name.trim(), answer.said);
  again = true;
  look();
}

/** Let a run whose dataset is gone go on with another. */
function offerDatasets({ datasets, action }, more) {
  const choice = make("select", { ariaLabel: "Dataset to go on with" },
    ...datasets.map((name) => make("option", { textContent: name, value: name })));
  const button = make("button", { type: "button", textContent: "Go on with it" });
  button.addEventListener("click", () => act(action, { ...more, dataset: choice.value }));
  find(".said").append(" ", choice, " ", button);
}

function published(name, words) {
  const place = find(".published");
  place.hidden = false;
  place.dataset.model = name;
  place.querySelector("span").textContent = words;
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

function onClick(event) {
  const button = event.target.closest("button");
  if (!button || !element.contains(button)) return;
  const { action, run, column, publish, goto } = button.dataset;
  if (action === "finetune") {
    trigger("select", { value: `run: ${shown}` });
    document.getElementById("setup")?.scrollIntoView({ behavior: "smooth" });
    return;
  }
  if (action === "extend") act("extend", { epochs: find(".more").value });
  else if (action) { button.disabled = true; act(action).finally(() => { button.disabled = false; }); }
  if (run !== undefined) { show(run); toTop(); }
  if (column !== undefined) enlarge(enlarged < 0 ? Number(column) : -1);
  if (goto !== undefined && goto !== "newest") goTo(Number(goto));
  if (publish !== undefined) {
    act("publish", { name: find(".as input").value, step: publish === "newest" ? publish : Number(publish) });
  }
  if (button.matches(".newest")) { chosenStep = null; showMoments(moments); }
  if (button.matches(".open")) openModel(find(".published").dataset.model);
}

function toTop() {
  const top = element.getBoundingClientRect().top;
  if (top < 0 || top > innerHeight * 0.6) element.scrollIntoView({ behavior: "smooth" });
}

function start() {
  element.addEventListener("click", onClick);
  element.addEventListener("input", (event) => {
    if (event.target.closest(".time")) slide();
  });
  document.addEventListener("visibilitychange", look);
  new IntersectionObserver(look).observe(element);
  watch("value", () => { if (props.value?.run) { show(props.value.run); toTop(); } });
  try { wanted = sessionStorage.getItem("pix2pix-run") ?? ""; } catch { /* the newest, then */ }
  look();
}

start();
