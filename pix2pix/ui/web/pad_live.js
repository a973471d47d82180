/* The drawing pad, part 3 of 4: the live translation and the right square that shows it.

   One request is on its way at a time, and the last state of the drawing is always sent. Owns the
   requests and their numbers, the answer on the page, the seed, the variations, and the sentences
   on the page. Uses the surfaces of pad_paint.js, and of pad_drawing.js the drawing (isBlank, png),
   `stroke`, `loading` and decode(). */

const PATIENCE_MS = 20000;
const AGAIN_MS = 2000; // until a busy or silent server is asked again
const VARIATIONS = 4;
const SILENCE = "The server does not answer; the drawing is kept.";

const result = find(".result");
const picture = find(".picture");
const strip = find(".variations");
const seedBox = find(".number");

const link = {
  sequence: 0, // requests sent; an answer carries its request's number
  forget: 0, // answers up to this one are dropped
  shown: 0, // the number of the picture on the page
  shownCount: 0,
  shownAt: 0,
  busy: false,
  showing: 0, // answers that have come and are not on the page yet
  asked: "", // what was last sent, so that the same is not sent twice
};
let dirty = false; // the drawing, the model or the seed differs from what was last sent
let wantsVariations = false;
let seed = null;
let answer = null; // the data URL of the picture on the page, or null
let ghostAnswer = null; // {key, image}: the first example's translation, for the empty state

const say = (text) => { find(".message").textContent = text; };

/** Show a line on a square, or none. */
const hint = (name, text) => find(name).replaceChildren(...(text ? [make("span", {}, text)] : []));

/* ---- What to ask ---------------------------------------------------------------------------- */

/** The drawing or the model is another. */
function changed() {
  strip.dataset.stale = "";
  translateAnew();
}

function translateAnew() {
  dirty = true;
  if (!stroke && isBlank()) showEmpty();
  pump();
}

const toSend = (call, image, show, extra) => (
  { call, show, request: { model: state.model, image, seed, ...extra } }
);

/** The next thing to ask the server, as {call, request, show}, or null. */
function nextJob() {
  const job = dirty ? translation() : null;
  if (job || !wantsVariations) return job;
  wantsVariations = false;
  return isBlank() ? null : toSend("variations", png(), showVariations, { count: VARIATIONS });
}

function translation() {
  dirty = false;
  if (isBlank()) {
    showEmpty();
    return ghostTranslation();
  }
  const image = png();
  const key = [state.model, seed, image].join();
  // Lifting the pencil changes no pixel: what is on its way is already the last state.
  if (key === link.asked) return null;
  link.asked = key;
  return toSend("translate", image, showPicture);
}

const ghostKey = () => [state.model, seed, state.size, state.source].join("\n");

function ghostTranslation() {
  const key = ghostKey();
  if (!state.examples.length || ghostAnswer?.key === key) return null;
  blank(outbox);
  paintExample(outbox, state.examples[0]);
  const image = outbox.canvas.toDataURL("image/png");
  return toSend("translate", image, (reply) => keepGhost(reply, key));
}

/* ---- Asking --------------------------------------------------------------------------------- */

// Overtaken by a clear, another model or a newer answer.
const overtaken = (sequence) => sequence <= link.forget || sequence < link.shown;

async function pump() {
  if (link.busy || loading) return;
  const job = nextJob();
  if (!job) return;
  link.sequence += 1;
  const { sequence } = link;
  setBusy(true);
  const reply = await ask(job);
  link.showing += 1;
  setBusy(false);
  pump(); // the newest state leaves before the last answer is decoded
  try {
    if (overtaken(sequence)) return;
    if (reply.busy) askAgain(job);
    if (reply.error) fail(String(reply.error));
    else await job.show(reply, sequence);
  } catch {
    fail("The server sent no picture; the next stroke tries again.");
  } finally {
    link.showing -= 1;
  }
}

function setBusy(busy) {
  link.busy = busy;
  result.setAttribute("aria-busy", String(busy));
}

async function ask({ call, request }) {
  let timer;
  const patience = new Promise((_, reject) => { timer = setTimeout(reject, PATIENCE_MS); });
  try {
    // Gradio's client swallows a failed connection and answers nothing.
    return (await Promise.race([server[call](request), patience])) ?? { error: SILENCE, busy: true };
  } catch {
    return { error: SILENCE, busy: true };
  } finally {
    clearTimeout(timer);
  }
}

/** A person who has stopped drawing gets the picture late rather than never. */
function askAgain({ call }) {
  setTimeout(() => {
    if (call === "variations") wantsVariations = true;
    else dirty = true;
    pump();
  }, AGAIN_MS);
}

function fail(sentence) {
  link.asked = "";
  say(sentence);
}

/** Drop every answer still on its way. */
function forget() {
  link.forget = link.sequence;
  link.asked = "";
  wantsVariations = false;
}

/* ---- Showing the answer --------------------------------------------------------------------- */

async function showPicture(reply, sequence) {
  const image = await decode(reply.image);
  if (overtaken(sequence)) return;
  put(image);
  answer = reply.image;
  link.shown = sequence;
  link.shownCount += 1;
  link.shownAt = performance.now();
  result.dataset.state = "picture";
  hint(".caption", "");
  say("");
  refreshResult();
}

function put(image) {
  picture.width = image.naturalWidth;
  picture.height = image.naturalHeight;
  picture.getContext("2d").drawImage(image, 0, 0);
}

async function keepGhost(reply, key) {
  ghostAnswer = { key, image: await decode(reply.image) };
  say("");
  if (key === ghostKey() && isBlank()) showEmpty();
}

/** The right square while nothing is drawn: a faint promise of what will come. */
function showEmpty() {
  forget();
  answer = null;
  if (ghostAnswer?.key === ghostKey()) put(ghostAnswer.image);
  else picture.width = picture.height = 1;
  result.dataset.state = "empty";
  hint(".caption", `The ${state.target} appears here while you draw`);
  strip.replaceChildren();
  refreshResult();
}

/** Set the buttons below the picture, and the drawing laid over it. */
function refreshResult() {
  for (const name of ["download", "compare", "variations"]) {
    find(`[data-do=${name}]`).disabled = !answer;
  }
  const comparing = find("[data-do=compare]").getAttribute("aria-pressed") === "true";
  result.toggleAttribute("data-compare", comparing && Boolean(answer));
  if (!comparing || !answer) return;
  const before = find(".before");
  before.width = before.height = ink.side;
  const ctx = before.getContext("2d");
  const inking = stroke?.tool === "ink";
  for (const { canvas } of inking ? [colours, live] : [colours]) ctx.drawImage(canvas, 0, 0);
  if (state.hints) layLines({ ctx }, ink);
  else ctx.drawImage(ink.canvas, 0, 0);
  if (!inking) ctx.drawImage(live.canvas, 0, 0);
}

function download() {
  const stem = `${state.model} ${state.target}`.replace(/[^\p{L}\p{N}]+/gu, "-");
  const name = stem.replace(/^-|-$/g, "").slice(0, 80) || "picture";
  make("a", { href: answer, download: `${name}.png` }).click();
}

/* ---- Seed and variations -------------------------------------------------------------------- */

function askVariations() {
  wantsVariations = true;
  pump();
}

async function showVariations(reply) {
  const tiles = await Promise.all(reply.images.slice(0, VARIATIONS).map(variationTile));
  strip.replaceChildren(...tiles);
  delete strip.dataset.stale;
  markSeed();
}

async function variationTile({ seed: number, image }) {
  const shown = Object.assign(await decode(image), { alt: "" });
  const properties = { type: "button", title: "Use this seed", onclick: () => setSeed(number) };
  const tile = make("button", properties, shown, make("span", {}, `Seed ${number}`));
  tile.dataset.seed = number;
  return tile;
}

/** The variations stay as they are: they are of this drawing with whatever seed. */
function setSeed(value) {
  seed = Number.isInteger(value) && value >= 0 ? Math.min(value, 4294967295) : null;
  seedBox.value = seed ?? "";
  markSeed();
  translateAnew();
}

function markSeed() {
  find("[data-do=unseed]").disabled = seed === null;
  for (const tile of strip.children) {
    tile.setAttribute("aria-pressed", String(Number(tile.dataset.seed) === seed));
  }
}
