/* The drawing pad, part 2 of 4: the drawing, a list of operations with undo that a reload keeps.

   Owns the operations, the stroke under the pointer, and what of them is on the left square and
   goes to the server. Uses the painting of pad_paint.js, and tells the other parts: refreshTools()
   of pad.js, and changed(), pump() and say() of pad_live.js. */

const MAX_RASTER = 1024; // pixels kept of a picture put on the pad
const STORAGE = { key: "pix2pix-pad", limit: 2000000 };

const paper = find(".paper");

let stroke = null; // the operation under the pointer, not yet in the list
let loading = 0; // rasters being decoded
let lastRaster = null; // the id of the last picture that the configuration put on the pad
// Line drawings and label maps are kept apart, so that looking at another model loses neither.
const drawings = { lines: { ops: [], undone: [] }, labels: { ops: [], undone: [] } };
const drawing = () => drawings[isLabels() ? "labels" : "lines"];

/* ---- Operations and undo -------------------------------------------------------------------- */

function sinceClear({ ops } = drawing()) {
  return ops.slice(ops.findLastIndex((op) => op.kind === "clear") + 1);
}

const nextGroup = () => (drawing().ops.at(-1)?.group ?? 0) + 1; // a group is one step of undo

function commit(op) {
  drawing().ops.push(op);
  drawing().undone = [];
  lay(op);
}

// Strokes of ink stay in the list for the models that take them, and are not seen with others.
const isUnseen = (op) => op.tool === "ink" && !state.hints;
const seen = () => sinceClear().filter((op) => !isUnseen(op));

/** Paint a finished operation: ink on the layer of colours, all else on that of the lines. An
    eraser, a picture and a clean sheet take the colours away as well. */
function lay(op) {
  if (isUnseen(op)) return;
  const lines = isLabels() ? [backing] : [backing, ink];
  if (op.tool !== "ink") lines.forEach((target) => paint(target, op));
  if (!state.hints || op.tool === "pencil") return;
  const over = op.kind === "stroke" ? paint : blank;
  for (const target of [under, colours]) over(target, op);
}

/** Do several operations as one step of undo. */
function perform(ops) {
  finishStroke();
  const group = nextGroup();
  ops.forEach((op) => commit({ ...op, group }));
  settled();
}

function finishStroke() {
  if (!stroke) return;
  const done = stroke;
  stroke = null;
  commit(done);
  settled();
}

/** Move one step between the done and the undone operations. */
function travel(source, destination) {
  finishStroke();
  const [from, to] = [drawing()[source], drawing()[destination]];
  if (!from.length) return;
  do {
    const { group } = from.at(-1);
    while (from.at(-1)?.group === group) to.push(from.pop());
  } while (from.length && isUnseen(to.at(-1)));
  replay();
  settled();
}

function replay() {
  for (const target of isLabels() ? [backing] : [backing, ink, under, colours]) blank(target);
  sinceClear().forEach(lay);
}

/** Everything that follows a finished change of the drawing. */
function settled() {
  frame();
  save();
  changed();
}

/* ---- The drawing as a picture --------------------------------------------------------------- */

function compose() {
  outbox.ctx.drawImage((state.hints ? under : backing).canvas, 0, 0);
  if (stroke && !(state.hints && stroke.tool === "pencil")) paint(outbox, stroke);
  if (!state.hints) return;
  sheet.ctx.drawImage(backing.canvas, 0, 0);
  if (stroke && stroke.tool !== "ink") paint(sheet, stroke);
  layLines(outbox, sheet);
}

function png() {
  compose();
  return outbox.canvas.toDataURL("image/png");
}

/** Whether nothing but background is on the paper, whichever way it came about. */
function isBlank() {
  if (!stroke && !seen().length) return true;
  compose();
  const background = cellOf(state.background);
  return asCells(pixels(outbox).data).every((cell) => cell === background);
}

/** Show the drawing as it is now. */
function frame() {
  if (isLabels()) {
    compose();
    ink.ctx.imageSmoothingEnabled = false;
    ink.ctx.drawImage(outbox.canvas, 0, 0, ink.side, ink.side);
  } else {
    live.ctx.clearRect(0, 0, live.side, live.side);
    if (stroke) paint(live, stroke);
    paper.toggleAttribute("data-inking", stroke?.tool === "ink");
  }
  refreshTools();
}

/** Match the canvases to the square on the screen; the drawing is painted anew, not scaled. */
function fit() {
  const side = Math.min(1600, Math.round(paper.clientWidth * devicePixelRatio)) || state.size;
  for (const target of [colours, ink, live, ghost]) resize(target, side);
  if (state.examples.length) paintExample(ghost, state.examples[0]);
  replay();
  frame();
}

/* ---- Pictures put on the pad ---------------------------------------------------------------- */

async function decode(url) {
  if (typeof url !== "string" || !url.startsWith("data:image/")) throw new Error("not an image");
  const image = make("img", { src: url });
  await image.decode();
  return image;
}

/** The picture, or a smaller one where its longer side is above the limit. */
async function limited(image) {
  const scale = MAX_RASTER / Math.max(image.naturalWidth, image.naturalHeight);
  if (scale >= 1) return image;
  const [width, height] = [image.naturalWidth, image.naturalHeight]
    .map((length) => Math.max(1, Math.round(length * scale)));
  const small = make("canvas", { width, height });
  small.getContext("2d").drawImage(image, 0, 0, width, height);
  return decode(small.toDataURL("image/png"));
}

/** Put a picture (a data URL), and strokes over it, on the pad, as one step of undo. */
async function load(url, strokes) {
  loading += 1;
  try {
    const image = await limited(await decode(url));
    rasters.set(image.src, image);
    const over = strokes.map((op) => ({ kind: "stroke", ...op, borrowed: true }));
    perform([{ kind: "clear" }, { kind: "raster", image: image.src }, ...over]);
  } catch {
    say("This picture could not be put on the pad.");
  } finally {
    loading -= 1;
    pump();
  }
}

/** Put the configuration's picture on the pad, once. */
function loadOnce({ id, image, strokes = [] }) {
  if (id === lastRaster) return;
  lastRaster = id;
  load(image, strokes);
}

/* ---- Across a reload ------------------------------------------------------------------------ */

function save() {
  const written = (part) => (
    JSON.stringify({ lines: part(drawings.lines), labels: part(drawings.labels), lastRaster })
  );
  let text = written(({ ops }) => ops);
  if (text.length > STORAGE.limit) text = written(sinceClear); // without what was cleared
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
