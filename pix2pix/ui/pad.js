"use strict";

/* The drawing pad. A drawing is a list of operations with coordinates from 0 to 1, painted by one
   set of functions on two surfaces: `backing`, at the model's size, is what the server sees, and
   `ink`, at the screen's resolution, is what the person sees. Runs as the body of a function with
   `element`, `props`, `server` and `watch` in scope. */

const PENCILS = { lines: [0.008, 0.014, 0.03], labels: [0.02, 0.06, 0.14] };
const ERASER_FACTOR = 3;
const MAX_POINTS = 120; // a longer stroke continues as the next one, so a frame's work is bounded
const MAX_RASTER = 1024; // pixels kept of a picture put on the pad
const PATIENCE_MS = 20000;
const VARIATIONS = 4;
const STORAGE = { key: "pix2pix-pad", limit: 2000000 };
const SILENCE = "The server does not answer; the drawing is kept.";

const find = (selector) => element.querySelector(selector);
const root = find(".pad");
const paper = find(".paper");
const result = find(".result");
const picture = find(".picture");
const split = find(".split");
const seedBox = find(".number");

/* ---- Surfaces and painting ------------------------------------------------------------------ */

function surface(canvas) {
  // Read often, or (on the screen) changed a little and often: both are quicker off the GPU.
  return { canvas, ctx: canvas.getContext("2d", { willReadFrequently: true }), side: 0 };
}

function resize(target, side) {
  target.side = target.canvas.width = target.canvas.height = side;
}

const backing = surface(document.createElement("canvas")); // finished operations
const outbox = surface(document.createElement("canvas")); // the same, with the live stroke
const ink = surface(find(".ink"));
const live = surface(find(".live"));
const ghost = surface(find(".ghost"));

const parse = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const rasters = new Map(); // data URL -> decoded image, so that a replay need not wait

/** The palette colour nearest to [r, g, b]: a label map may hold no other. */
function nearest(rgb) {
  const distance = (hex) => parse(hex).reduce((sum, v, i) => sum + (v - rgb[i]) ** 2, 0);
  return allowed().reduce((best, hex) => (distance(hex) < distance(best) ? hex : best));
}

const isLabels = () => Boolean(state.palette);
const allowed = () => [...state.palette.map((entry) => entry.color), state.background];
// A first stroke in the paper's own colour would seem to do nothing.
const firstBrush = () => allowed().find((hex) => hex !== state.background) ?? state.background;

function inkColour(op) {
  if (op.tool === "eraser") return state.background;
  if (isLabels()) return nearest(parse(op.color ?? firstBrush()));
  return parse(state.background).reduce((sum, v) => sum + v, 0) < 384 ? "#ffffff" : "#000000";
}

/** Smooth a stroke through the midpoints of its points; returns discs {x, y, r} in pixels. */
function smooth(stroke, side) {
  const points = stroke.points.map(([x, y, pressure = 1]) => (
    { x: x * side, y: y * side, r: Math.max(0.5, (stroke.width * side * pressure) / 2) }
  ));
  const step = Math.max(side * 0.006, points[0].r / 2);
  const mix = (a, b, t) => (
    { x: a.x + (b.x - a.x) * t, y: a.y + (b.y - a.y) * t, r: a.r + (b.r - a.r) * t }
  );
  const discs = [points[0]];
  for (let i = 1; i < points.length; i++) {
    const from = discs[discs.length - 1];
    const bend = points[i];
    const isLast = i === points.length - 1;
    const to = isLast ? bend : mix(bend, points[i + 1], 0.5);
    const length = Math.hypot(bend.x - from.x, bend.y - from.y)
      + Math.hypot(to.x - bend.x, to.y - bend.y);
    const pieces = isLast ? 1 : Math.max(1, Math.ceil(length / step));
    for (let n = 1; n <= pieces; n++) {
      const t = n / pieces;
      discs.push(mix(mix(from, bend, t), mix(bend, to, t), t));
    }
  }
  return discs;
}

/** Draw a run of discs as one path, so that no edge pixel is covered twice and a stroke drawn live
    equals the same stroke replayed. Only pressure, which varies the width, needs a path a band. */
function trace(ctx, discs) {
  const runs = discs.some(({ r }) => r !== discs[0].r)
    ? discs.map((disc, i) => [discs[Math.max(0, i - 1)], disc])
    : [discs];
  ctx.lineCap = ctx.lineJoin = "round";
  for (const run of runs) {
    ctx.lineWidth = run[0].r + run.at(-1).r;
    ctx.beginPath();
    run.forEach(({ x, y }) => ctx.lineTo(x, y));
    if (run.length === 1) ctx.lineTo(run[0].x, run[0].y); // a dot
    ctx.stroke();
  }
}

/** Stamp the band between two discs in whole pixels: canvas paths would blend at the edges. */
function stamp({ ctx, side }, a, b) {
  const r = Math.max(a.r, b.r);
  const [dx, dy] = [b.x - a.x, b.y - a.y];
  const square = dx * dx + dy * dy || 1;
  const clip = (v) => Math.min(side, Math.max(0, v));
  const [left, right] = [clip(Math.floor(Math.min(a.x, b.x) - r)), clip(Math.max(a.x, b.x) + r)];
  const [top, bottom] = [clip(Math.floor(Math.min(a.y, b.y) - r)), clip(Math.max(a.y, b.y) + r)];
  for (let y = top; y < bottom; y++) {
    let [start, end] = [-1, -1];
    for (let x = left; x < right; x++) {
      const [px, py] = [x + 0.5 - a.x, y + 0.5 - a.y];
      const t = Math.min(1, Math.max(0, (px * dx + py * dy) / square));
      if ((px - t * dx) ** 2 + (py - t * dy) ** 2 > r * r) continue;
      if (start < 0) start = x;
      end = x;
    }
    if (start >= 0) ctx.fillRect(start, y, end - start + 1, 1);
  }
}

const pixels = ({ ctx, side }) => ctx.getImageData(0, 0, side, side);

/** Fill the connected region of one exact colour around a point. */
function flood(target, op) {
  const { ctx, side } = target;
  const image = pixels(target);
  const cells = new Uint32Array(image.data.buffer);
  const clip = (v) => Math.min(side - 1, Math.max(0, Math.floor(v * side)));
  const start = clip(op.at[1]) * side + clip(op.at[0]);
  const old = cells[start];
  const [r, g, b] = parse(inkColour(op));
  const fresh = new Uint32Array(new Uint8ClampedArray([r, g, b, 255]).buffer)[0];
  if (old === fresh) return;
  const stack = [start];
  while (stack.length) {
    const at = stack.pop();
    if (cells[at] !== old) continue;
    cells[at] = fresh;
    const x = at % side;
    if (x > 0) stack.push(at - 1);
    if (x < side - 1) stack.push(at + 1);
    if (at >= side) stack.push(at - side);
    if (at < side * (side - 1)) stack.push(at + side);
  }
  ctx.putImageData(image, 0, 0);
}

function paintRaster(target, op) {
  const image = rasters.get(op.image);
  const { ctx, side } = target;
  if (!image) return;
  blank(target);
  const scale = side / Math.max(image.naturalWidth, image.naturalHeight);
  const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
  ctx.drawImage(image, (side - w) / 2, (side - h) / 2, w, h);
  if (!isLabels()) return;
  const data = pixels(target);
  const known = new Map();
  for (let i = 0; i < data.data.length; i += 4) {
    const rgb = [data.data[i], data.data[i + 1], data.data[i + 2]];
    const key = rgb.join();
    if (!known.has(key)) known.set(key, parse(nearest(rgb)));
    data.data.set(known.get(key), i);
  }
  ctx.putImageData(data, 0, 0);
}

function blank({ ctx, side }) {
  ctx.fillStyle = state.background;
  ctx.fillRect(0, 0, side, side);
}

function paintStroke(target, op) {
  const discs = smooth(op, target.side);
  target.ctx.fillStyle = target.ctx.strokeStyle = inkColour(op);
  if (!isLabels()) trace(target.ctx, discs);
  else discs.forEach((disc, i) => stamp(target, discs[Math.max(0, i - 1)], disc));
}

function paint(target, op) {
  if (op.kind === "stroke") paintStroke(target, op);
  else if (op.kind === "fill") flood(target, op);
  else if (op.kind === "raster") paintRaster(target, op);
  else blank(target);
}

/* ---- The drawing: operations, undo, persistence --------------------------------------------- */

let state = null;
let stroke = null; // the operation under the pointer, not yet in the list
let loading = 0; // rasters being decoded
let lastRaster = null;
// Line drawings and label maps are kept apart, so that looking at another model loses neither.
const drawings = { lines: { ops: [], undone: [] }, labels: { ops: [], undone: [] } };
const drawing = () => drawings[isLabels() ? "labels" : "lines"];
const sinceClear = () => {
  const { ops } = drawing();
  return ops.slice(ops.findLastIndex((op) => op.kind === "clear") + 1);
};
const nextGroup = () => (drawing().ops.at(-1)?.group ?? 0) + 1;

function commit(op) {
  drawing().ops.push(op);
  drawing().undone = [];
  paint(backing, op);
  if (!isLabels()) paint(ink, op);
}

/** Do several operations as one step of undo. */
function perform(ops) {
  finishStroke();
  const group = nextGroup();
  ops.forEach((op) => commit({ ...op, group }));
  settled();
}

/** Move one step between the done and the undone operations. */
function travel(source, destination) {
  finishStroke();
  const [from, to] = [drawing()[source], drawing()[destination]];
  const group = from.at(-1)?.group;
  if (group === undefined) return;
  while (from.at(-1)?.group === group) to.push(from.pop());
  replay();
  settled();
}

function replay() {
  for (const target of isLabels() ? [backing] : [backing, ink]) {
    blank(target);
    sinceClear().forEach((op) => paint(target, op));
  }
  frame();
}

/** Everything that follows a finished change of the drawing. */
function settled() {
  frame();
  save();
  changed();
}

function compose() {
  outbox.ctx.drawImage(backing.canvas, 0, 0);
  if (stroke) paint(outbox, stroke);
}

function png() {
  compose();
  return outbox.canvas.toDataURL("image/png");
}

/** Whether nothing but background is on the paper, whichever way it came about. */
function isBlank() {
  if (!stroke && !sinceClear().length) return true;
  compose();
  const cells = new Uint32Array(pixels(outbox).data.buffer);
  const [r, g, b] = parse(state.background);
  const paperCell = new Uint32Array(new Uint8ClampedArray([r, g, b, 255]).buffer)[0];
  return cells.every((cell) => cell === paperCell);
}

async function decode(url) {
  if (typeof url !== "string" || !url.startsWith("data:image/")) throw new Error("not an image");
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

/** Put a picture (a data URL) on the pad, as one operation. */
async function load(url) {
  loading += 1;
  try {
    let image = await decode(url);
    const scale = MAX_RASTER / Math.max(image.naturalWidth, image.naturalHeight);
    if (scale < 1) {
      const small = document.createElement("canvas");
      small.width = Math.max(1, Math.round(image.naturalWidth * scale));
      small.height = Math.max(1, Math.round(image.naturalHeight * scale));
      small.getContext("2d").drawImage(image, 0, 0, small.width, small.height);
      image = await decode((url = small.toDataURL("image/png")));
    }
    rasters.set(url, image);
    perform([{ kind: "clear" }, { kind: "raster", image: url }]);
  } catch {
    say("This picture could not be put on the pad.");
  } finally {
    loading -= 1;
    pump();
  }
}

function save() {
  const kept = { lines: drawings.lines.ops, labels: drawings.labels.ops, lastRaster };
  const text = JSON.stringify(kept);
  try {
    if (text.length > STORAGE.limit) sessionStorage.removeItem(STORAGE.key);
    else sessionStorage.setItem(STORAGE.key, text);
  } catch { /* storage is full or forbidden: the drawing lives on the page alone */ }
}

async function restore() {
  loading += 1;
  try {
    const kept = JSON.parse(sessionStorage.getItem(STORAGE.key)) ?? {};
    if (state.raster) lastRaster = kept.lastRaster ?? null;
    for (const kind of ["lines", "labels"]) drawings[kind].ops = kept[kind] ?? [];
    const ops = [...drawings.lines.ops, ...drawings.labels.ops];
    const urls = ops.filter((op) => op.kind === "raster").map((op) => op.image);
    await Promise.all(urls.map(async (url) => rasters.set(url, await decode(url))));
  } catch { /* nothing kept, or not by us */ }
  loading -= 1;
}

/* ---- What the person sees ------------------------------------------------------------------- */

const guide = { on: true };

function withArticle(noun) {
  if (/s$/i.test(noun)) return noun;
  return `${/^[aeiou]/i.test(noun) ? "an" : "a"} ${noun}`;
}

function frame() {
  if (isLabels()) {
    compose();
    ink.ctx.imageSmoothingEnabled = false;
    ink.ctx.drawImage(outbox.canvas, 0, 0, ink.side, ink.side);
  } else {
    live.ctx.clearRect(0, 0, live.side, live.side);
    if (stroke) paint(live, stroke);
  }
  const since = sinceClear();
  // A guide under a borrowed drawing would only be in its way.
  const borrowed = since.some((op) => op.kind === "raster" || op.borrowed);
  ghost.canvas.hidden = !guide.on || !state.examples.length || borrowed;
  find(".invite").hidden = Boolean(stroke || since.length);
  find("[data-do=undo]").disabled = !drawing().ops.length;
  find("[data-do=redo]").disabled = !drawing().undone.length;
  find("[data-do=clear]").disabled = !since.length;
}

const drawExample = (target, example) => example.strokes.forEach((op) => paint(target, op));

/** Match the canvases to the square on the screen; the drawing is painted anew, not scaled. */
function fit() {
  const side = Math.min(1600, Math.round(paper.clientWidth * devicePixelRatio)) || state.size;
  for (const target of [ink, live, ghost]) resize(target, side);
  if (state.examples.length) drawExample(ghost, state.examples[0]);
  replay();
}

const say = (text) => { find(".message").textContent = text; };

/** Show a line on a square, or none. */
function hint(name, text) {
  const pill = document.createElement("span");
  pill.textContent = text;
  find(name).replaceChildren(...(text ? [pill] : []));
}

/* ---- Live translation: one request at a time, the last state always ------------------------- */

const link = {
  sequence: 0, // requests sent; an answer carries its request's number
  forget: 0, // answers up to this one are dropped
  shown: 0, // the number of the picture on the page
  shownCount: 0,
  shownAt: 0,
  busy: false,
  asked: "", // what was last sent, so that the same is not sent twice
};
let dirty = false; // the drawing differs from what was last sent
let wantsVariations = false;
let seed = null;
let answer = null; // the data URL of the picture on the page, or null
let ghostAnswer = null; // {key, image}: the first example's translation, for the empty state

function changed() {
  dirty = true;
  find(".variations").dataset.stale = "";
  if (!stroke && isBlank()) showEmpty();
  pump();
}

/** The next thing to ask the server, as {call, request, show}, or null. */
function nextJob() {
  const send = (call, image, show, extra) => (
    { call, show, request: { model: state.model, image, seed, ...extra } }
  );
  if (dirty) {
    dirty = false;
    if (!isBlank()) {
      const image = png();
      const key = [state.model, seed, image].join();
      // Lifting the pencil changes no pixel: what is on its way is already the last state.
      if (key === link.asked) return null;
      link.asked = key;
      return send("translate", image, showPicture);
    }
    showEmpty();
    const key = ghostKey();
    if (!state.examples.length || ghostAnswer?.key === key) return null;
    return send("translate", ghostImage(), (reply) => keepGhost(reply, key));
  }
  if (wantsVariations) {
    wantsVariations = false;
    if (!isBlank()) return send("variations", png(), showVariations, { count: VARIATIONS });
  }
  return null;
}

async function pump() {
  if (link.busy || loading) return;
  const job = nextJob();
  if (!job) return;
  link.busy = true;
  link.sequence += 1;
  const { sequence } = link;
  result.setAttribute("aria-busy", "true");
  const reply = await ask(job);
  link.busy = false;
  result.setAttribute("aria-busy", "false");
  pump(); // the newest state leaves before the last answer is decoded
  // Answers overtaken by a clear, another model or a newer answer are dropped.
  if (sequence <= link.forget || sequence < link.shown) return;
  try {
    if (reply.error) fail(String(reply.error));
    else await job.show(reply, sequence);
  } catch {
    fail("The server sent no picture; the next stroke tries again.");
  }
}

function fail(sentence) {
  link.asked = "";
  say(sentence);
}

async function ask(job) {
  let timer;
  const patience = new Promise((_, reject) => { timer = setTimeout(reject, PATIENCE_MS); });
  try {
    // Gradio's client swallows a failed connection and answers nothing.
    return (await Promise.race([server[job.call](job.request), patience])) ?? { error: SILENCE };
  } catch {
    return { error: SILENCE };
  } finally {
    clearTimeout(timer);
  }
}

function put(image) {
  picture.width = image.naturalWidth;
  picture.height = image.naturalHeight;
  picture.getContext("2d").drawImage(image, 0, 0);
}

async function showPicture(reply, sequence) {
  const image = await decode(reply.image);
  if (sequence <= link.forget || sequence < link.shown) return;
  put(image);
  answer = reply.image;
  link.shown = sequence;
  link.shownCount += 1;
  link.shownAt = performance.now();
  result.dataset.state = "picture";
  hint(".caption", "");
  say("");
  refreshResult();
  element.dispatchEvent(new CustomEvent("pad:shown", { bubbles: true, detail: { sequence } }));
}

const ghostKey = () => [state.model, seed, state.size, state.source].join("\n");

function ghostImage() {
  blank(outbox);
  drawExample(outbox, state.examples[0]);
  return outbox.canvas.toDataURL("image/png");
}

async function keepGhost(reply, key) {
  ghostAnswer = { key, image: await decode(reply.image) };
  say("");
  if (key === ghostKey() && isBlank()) showEmpty();
}

/** Drop every answer still on its way. */
function forget() {
  link.forget = link.sequence;
  link.asked = "";
}

/** The right square while nothing is drawn: a faint promise of what will come. */
function showEmpty() {
  forget();
  answer = null;
  wantsVariations = false;
  if (ghostAnswer?.key === ghostKey()) put(ghostAnswer.image);
  else picture.width = picture.height = 1;
  result.dataset.state = "empty";
  hint(".caption", `The ${state.target} appears here while you draw`);
  find(".variations").replaceChildren();
  refreshResult();
}

/* ---- The result's own tools ----------------------------------------------------------------- */

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
  for (const layer of [ink, live]) ctx.drawImage(layer.canvas, 0, 0);
}

async function showVariations(reply) {
  const tiles = reply.images.slice(0, VARIATIONS).map(async ({ seed: number, image }) => {
    const button = document.createElement("button");
    const label = document.createElement("span");
    const shown = await decode(image);
    shown.alt = "";
    label.textContent = `Seed ${number}`;
    button.type = "button";
    button.title = "Use this seed";
    button.dataset.seed = number;
    button.append(shown, label);
    button.addEventListener("click", () => setSeed(number));
    return button;
  });
  const strip = find(".variations");
  strip.replaceChildren(...await Promise.all(tiles));
  delete strip.dataset.stale;
  markSeed();
}

function setSeed(value) {
  seed = Number.isInteger(value) && value >= 0 ? Math.min(value, 4294967295) : null;
  seedBox.value = seed ?? "";
  markSeed();
  const stale = find(".variations").hasAttribute("data-stale");
  changed();
  if (!stale) delete find(".variations").dataset.stale; // the drawing is still the same
}

function markSeed() {
  find("[data-do=unseed]").disabled = seed === null;
  for (const tile of find(".variations").children) {
    tile.setAttribute("aria-pressed", String(Number(tile.dataset.seed) === seed));
  }
}

function download() {
  const anchor = document.createElement("a");
  const stem = `${state.model} ${state.target}`.replace(/[^\p{L}\p{N}]+/gu, "-");
  anchor.download = `${stem.replace(/^-|-$/g, "").slice(0, 80) || "picture"}.png`;
  anchor.href = answer;
  anchor.click();
}

/* ---- Tools, pointer and keyboard ------------------------------------------------------------ */

let tool = "pencil";
let size = 1;
let colour = null; // the brush of a label map
let pointer = null; // the one pointer that draws

const toggle = (button, on) => button.setAttribute("aria-pressed", String(on));
const brushWidth = (erasing) => (
  PENCILS[isLabels() ? "labels" : "lines"][size] * (erasing && !isLabels() ? ERASER_FACTOR : 1)
);

function choose(changes) {
  tool = changes.tool ?? tool;
  size = Math.min(2, Math.max(0, changes.size ?? size));
  colour = changes.colour ?? colour;
  if (tool === "fill" && !isLabels()) tool = "pencil";
  for (const button of element.querySelectorAll("[data-tool]")) {
    toggle(button, button.dataset.tool === tool);
  }
  for (const button of element.querySelectorAll("[data-size]")) {
    toggle(button, Number(button.dataset.size) === size);
  }
  for (const button of find(".palette").children) toggle(button, button.dataset.color === colour);
}

function place(event) {
  const box = paper.getBoundingClientRect();
  const fraction = (v, from, length) => (
    Math.round(Math.min(1.5, Math.max(-0.5, (v - from) / length)) * 10000) / 10000
  );
  const [x, y] = [
    fraction(event.clientX, box.left + paper.clientLeft, paper.clientWidth),
    fraction(event.clientY, box.top + paper.clientTop, paper.clientHeight),
  ];
  const hasPressure = event.pointerType === "pen" && event.pressure > 0;
  return hasPressure ? [x, y, Math.round((0.4 + 1.2 * event.pressure) * 100) / 100] : [x, y];
}

function extend(event) {
  const point = place(event);
  const [x, y, pressure] = stroke.points.at(-1);
  if (pressure && !point[2]) point.push(pressure); // a pen that lifts reports no pressure
  if (Math.hypot(point[0] - x, point[1] - y) < 0.002) return;
  stroke.points.push(point);
  if (stroke.points.length < MAX_POINTS) return;
  const next = { ...stroke, points: [point] };
  commit(stroke);
  stroke = next; // the same group: one undo takes the whole line back
}

let frameAsked = false;

function moved() {
  changed();
  if (frameAsked) return;
  frameAsked = true;
  requestAnimationFrame(() => { frameAsked = false; frame(); });
}

function startStroke(event) {
  const erasing = tool === "eraser" || Boolean(event.buttons & 32); // 32: a pen turned round
  stroke = {
    kind: "stroke", tool: erasing ? "eraser" : "pencil", color: isLabels() ? colour : null,
    width: brushWidth(erasing), points: [place(event)], group: nextGroup(),
  };
  moved();
}

function finishStroke() {
  if (!stroke) return;
  const done = stroke;
  [stroke, pointer] = [null, null];
  commit(done);
  settled();
}

function onDown(event) {
  if (pointer !== null || ![0, 5].includes(event.button)) return;
  event.preventDefault();
  paper.focus({ preventScroll: true });
  if (tool === "fill") {
    const [x, y] = place(event);
    perform([{ kind: "fill", at: [x, y], color: colour }]);
    return;
  }
  pointer = event.pointerId;
  try { live.canvas.setPointerCapture(pointer); } catch { /* the pointer is already up */ }
  startStroke(event);
}

function onMove(event) {
  hover(event);
  if (event.pointerId !== pointer || !stroke) return;
  const finer = event.getCoalescedEvents?.() ?? [];
  (finer.length ? finer : [event]).forEach(extend);
  moved();
}

function onUp(event) {
  if (event.pointerId !== pointer) return;
  if (stroke && event.type === "pointerup") extend(event);
  finishStroke();
  pointer = null;
}

/** The eraser and wide brushes show their outline, where the pointer can hover. */
function hover(event) {
  const brush = find(".brush");
  const across = brushWidth(tool === "eraser") * paper.clientWidth;
  const visible = event.type !== "pointerleave" && event.pointerType !== "touch"
    && tool !== "fill" && across > 12;
  const [x, y] = visible ? place(event) : [0, 0];
  brush.style.display = visible ? "block" : "none";
  brush.style.width = brush.style.height = `${across}px`;
  const at = (v) => `${v * paper.clientWidth - across / 2}px`;
  brush.style.transform = `translate(${at(x)}, ${at(y)})`;
}

const actions = {
  undo: () => travel("ops", "undone"),
  redo: () => travel("undone", "ops"),
  clear: () => { if (sinceClear().length || stroke) perform([{ kind: "clear" }]); },
  guide: () => {
    guide.on = !guide.on;
    toggle(find("[data-do=guide]"), guide.on);
    frame();
  },
  dice: () => setSeed(Math.floor(Math.random() * 1000000)),
  unseed: () => setSeed(null),
  compare: (button) => {
    toggle(button, button.getAttribute("aria-pressed") !== "true");
    refreshResult();
  },
  variations: () => { wantsVariations = true; pump(); },
  download,
};

function shortcut({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  const name = key.toLowerCase();
  if (altKey) return null;
  if (ctrlKey || metaKey) {
    if (name === "z") return shiftKey ? actions.redo : actions.undo;
    return name === "y" ? actions.redo : null;
  }
  return {
    p: () => choose({ tool: "pencil" }),
    b: () => choose({ tool: "pencil" }),
    e: () => choose({ tool: "eraser" }),
    f: () => choose({ tool: "fill" }),
    g: actions.guide,
    "[": () => choose({ size: size - 1 }),
    "]": () => choose({ size: size + 1 }),
    delete: actions.clear,
    backspace: actions.clear,
  }[name] ?? null;
}

function onKey(event) {
  if (!element.isConnected) return listening.abort();
  const editable = "input:not([type=range]), textarea, select, [contenteditable]";
  if (!element.offsetParent || event.defaultPrevented || event.target.closest?.(editable)) return;
  const action = shortcut(event);
  if (!action) return;
  event.preventDefault();
  action();
}

/* ---- Configuration from Python -------------------------------------------------------------- */

const isColour = (text) => /^#[0-9a-f]{6}$/i.test(text);

/** The component's value with every gap filled, so that nothing else need ask. */
function normalise(value) {
  const palette = (value?.palette ?? []).filter((entry) => isColour(entry.color))
    .map(({ name, color }) => ({ name: String(name), color: color.toLowerCase() }));
  const background = isColour(value?.background) ? value.background.toLowerCase() : "#ffffff";
  return {
    model: "", source: "drawing", target: "picture", examples: [], raster: null, ...value,
    size: Math.min(1024, Math.max(16, Math.round(value?.size) || 256)),
    palette: palette.length ? palette : null, background,
    examples: (value?.examples ?? []).map(({ name, strokes }) => ({
      name: String(name), strokes: strokes.map((op) => ({ kind: "stroke", tool: "pencil", ...op })),
    })),
  };
}

function paletteButton({ name, color }) {
  const button = document.createElement("button");
  const swatch = document.createElement("span");
  button.type = "button";
  button.dataset.color = color;
  swatch.className = "swatch";
  swatch.style.background = color;
  button.append(swatch, name);
  button.addEventListener("click", () => (
    choose({ colour: color, tool: tool === "eraser" ? "pencil" : tool })
  ));
  return button;
}

function exampleButton(example) {
  const button = document.createElement("button");
  const label = document.createElement("span");
  const thumb = surface(document.createElement("canvas"));
  resize(thumb, 144);
  drawExample(thumb, example);
  label.textContent = example.name;
  button.type = "button";
  button.title = "Put this drawing on the pad";
  button.append(thumb.canvas, label);
  button.addEventListener("click", () => {
    perform([{ kind: "clear" }, ...example.strokes.map((op) => ({ ...op, borrowed: true }))]);
  });
  return button;
}

function configure(value) {
  finishStroke();
  const next = normalise(value);
  const face = (value) => JSON.stringify({ ...value, raster: null });
  const same = face(state) === face(next);
  state = next;
  if (!same) {
    forget();
    result.dataset.state = "stale";
    root.dataset.kind = isLabels() ? "labels" : "lines";
    find("[data-tool=fill]").hidden = !isLabels();
    hint(".invite", `Draw ${withArticle(state.source)} here`);
    picture.setAttribute("aria-label", `The ${state.target} made from the drawing`);
    find(".palette").replaceChildren(...(state.palette ?? []).map(paletteButton));
    find(".examples").replaceChildren(...state.examples.map(exampleButton));
    find(".variations").replaceChildren();
    if (isLabels() && !allowed().includes(colour)) colour = firstBrush();
    choose({});
    for (const target of [backing, outbox]) resize(target, state.size);
    fit();
    changed();
  }
  if (state.raster && state.raster.id !== lastRaster) {
    lastRaster = state.raster.id;
    load(state.raster.image);
  }
}

/* ---- Start ---------------------------------------------------------------------------------- */

const listening = new AbortController();

function listen() {
  const canvas = live.canvas;
  canvas.addEventListener("pointerdown", onDown);
  canvas.addEventListener("pointermove", onMove);
  canvas.addEventListener("pointerleave", hover);
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, onUp);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  document.addEventListener("keydown", onKey, { signal: listening.signal });
  new ResizeObserver(fit).observe(paper);
  root.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.do) actions[button.dataset.do](button);
    if (button?.dataset.tool) choose({ tool: button.dataset.tool });
    if (button?.dataset.size) choose({ size: Number(button.dataset.size) });
  });
  split.addEventListener("input", () => result.style.setProperty("--split", split.value / 1000));
  seedBox.addEventListener("change", () => setSeed(parseInt(seedBox.value, 10)));
  watch("value", () => configure(props.value));
}

element.pad = {
  load,
  get ops() { return drawing().ops; },
  get sentCount() { return link.sequence; },
  get shownCount() { return link.shownCount; },
  get lastShownAt() { return link.shownAt; },
  idle: () => !stroke && !link.busy && !dirty && !loading && !wantsVariations,
  png,
};

async function start() {
  state = normalise(props.value);
  await restore();
  state = null;
  toggle(find("[data-do=guide]"), guide.on);
  toggle(find("[data-do=compare]"), false);
  markSeed();
  listen();
  configure(props.value);
}

start();
