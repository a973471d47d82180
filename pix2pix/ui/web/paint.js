/* Painting: how an operation of the drawing becomes pixels.

   An operation has coordinates from 0 to 1, and the same functions paint it on every surface, at the
   model's size for the network or at the screen's resolution for the person. `config` is the pad's
   configuration (see normalise() in pad.js); a surface is {canvas, ctx, side}. */

import { parseColour } from "./conversions.js";

/* ---- Surfaces ------------------------------------------------------------------------------- */

export function surface(canvas) {
  // Read often, or (on the screen) changed a little and often: both are quicker off the GPU.
  return { canvas, ctx: canvas.getContext("2d", { willReadFrequently: true }), side: 0 };
}

export function resize(target, side) {
  target.side = target.canvas.width = target.canvas.height = side;
}

export const pixels = ({ ctx, side }) => ctx.getImageData(0, 0, side, side);
export const asCells = (bytes) => new Uint32Array(bytes.buffer); // one number a pixel

/* ---- Colours -------------------------------------------------------------------------------- */

const UNSEEN = 70; // between two colours, of the 441 from black to white: windows show on a wall

export const cellOf = (hex) => asCells(new Uint8ClampedArray([...parseColour(hex), 255]))[0];

export const isColour = (text) => /^#[0-9a-f]{6}$/i.test(text);
export const isLabels = (config) => Boolean(config.palette);
export const allowed = ({ palette, background }) => (
  [...palette.map((entry) => entry.color), background]
);
// A first stroke in the paper's own colour, or in one that looks like it, would seem to do nothing.
export const firstBrush = (config) => {
  const others = allowed(config).filter((hex) => hex !== config.background);
  const isSeen = (hex) => distance(parseColour(hex), parseColour(config.background)) > UNSEEN;
  return others.find(isSeen) ?? others[0] ?? config.background;
};

const distance = (a, b) => Math.hypot(...a.map((v, i) => v - b[i]));

/** The palette colour nearest to [r, g, b]: a label map may hold no other. */
function nearest(rgb, config) {
  const away = (hex) => distance(parseColour(hex), rgb);
  return allowed(config).reduce((best, hex) => (away(hex) < away(best) ? hex : best));
}

function inkColour(op, config) {
  if (op.tool === "eraser") return config.background;
  if (op.tool === "ink" && isColour(op.color)) return op.color;
  if (isLabels(config)) return nearest(parseColour(op.color ?? firstBrush(config)), config);
  return parseColour(config.background).reduce((sum, v) => sum + v, 0) < 384 ? "#ffffff" : "#000000";
}

/* ---- Strokes -------------------------------------------------------------------------------- */

const mix = (a, b, t) => (
  { x: a.x + (b.x - a.x) * t, y: a.y + (b.y - a.y) * t, r: a.r + (b.r - a.r) * t }
);

/** Smooth a stroke through the midpoints of its points; returns discs {x, y, r} in pixels. */
function smooth(stroke, side) {
  const points = stroke.points.map(([x, y, pressure = 1]) => (
    { x: x * side, y: y * side, r: Math.max(0.5, (stroke.width * side * pressure) / 2) }
  ));
  const step = Math.max(side * 0.006, points[0].r / 2);
  const discs = [points[0]];
  for (let i = 1; i < points.length; i++) {
    const from = discs.at(-1);
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
    for (const { x, y } of run) ctx.lineTo(x, y);
    ctx.stroke();
  }
}

/** A stroke of one point: a canvas strokes no path that has no length. */
function dot(ctx, { x, y, r }) {
  ctx.beginPath();
  ctx.arc(x, y, r, 0, 2 * Math.PI);
  ctx.fill();
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

function paintStroke(target, op, config) {
  const discs = smooth(op, target.side);
  target.ctx.fillStyle = target.ctx.strokeStyle = inkColour(op, config);
  if (isLabels(config)) {
    for (const [i, disc] of discs.entries()) stamp(target, discs[Math.max(0, i - 1)], disc);
  } else if (discs.length > 1) trace(target.ctx, discs);
  else dot(target.ctx, discs[0]);
}

/** A polygon in whole pixels of one colour, row by row between the edges that it cuts. */
function paintShape({ ctx, side }, op, config) {
  ctx.fillStyle = inkColour(op, config);
  const points = op.points.map(([x, y]) => [x * side, y * side]);
  for (let row = 0; row < side; row++) {
    const y = row + 0.5;
    const cuts = [];
    points.forEach(([x1, y1], i) => {
      const [x2, y2] = points[(i + 1) % points.length];
      if ((y1 <= y) !== (y2 <= y)) cuts.push(x1 + ((y - y1) / (y2 - y1)) * (x2 - x1));
    });
    cuts.sort((a, b) => a - b);
    for (let i = 0; i + 1 < cuts.length; i += 2) {
      const [from, to] = [Math.round(cuts[i]), Math.round(cuts[i + 1])];
      ctx.fillRect(from, row, to - from, 1);
    }
  }
}

/* ---- Fills and pictures --------------------------------------------------------------------- */

/** Fill the connected region of one exact colour around a point. */
function flood(target, op, config) {
  const { ctx, side } = target;
  const image = pixels(target);
  const cells = asCells(image.data);
  const clip = (v) => Math.min(side - 1, Math.max(0, Math.floor(v * side)));
  const start = clip(op.at[1]) * side + clip(op.at[0]);
  const [old, fresh] = [cells[start], cellOf(inkColour(op, config))];
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

export const rasters = new Map(); // data URL -> decoded image, so that a replay need not wait

function paintRaster(target, op, config) {
  const image = rasters.get(op.image);
  const { ctx, side } = target;
  if (!image) return;
  blank(target, config);
  const scale = side / Math.max(image.naturalWidth, image.naturalHeight);
  const [w, h] = [image.naturalWidth * scale, image.naturalHeight * scale];
  ctx.drawImage(image, (side - w) / 2, (side - h) / 2, w, h);
  if (isLabels(config)) keepToPalette(target, config);
}

function keepToPalette(target, config) {
  const image = pixels(target);
  const cells = asCells(image.data);
  const known = new Map();
  cells.forEach((cell, at) => {
    if (!known.has(cell)) {
      known.set(cell, cellOf(nearest(image.data.subarray(4 * at, 4 * at + 3), config)));
    }
    cells[at] = known.get(cell);
  });
  target.ctx.putImageData(image, 0, 0);
}

export function blank({ ctx, side }, config) {
  ctx.fillStyle = config.background;
  ctx.fillRect(0, 0, side, side);
}

/* ---- Any operation -------------------------------------------------------------------------- */

export function paint(target, op, config) {
  if (op.kind === "stroke") paintStroke(target, op, config);
  else if (op.kind === "shape") paintShape(target, op, config);
  else if (op.kind === "fill") flood(target, op, config);
  else if (op.kind === "raster") paintRaster(target, op, config);
  else blank(target, config);
}

/** Paint an example on one surface: its colours first, as they lie under the lines. */
export function paintExample(target, { strokes }, config) {
  const isInk = (op) => op.tool === "ink";
  for (const op of strokes.filter(isInk)) paint(target, op, config);
  for (const op of strokes.filter((op) => !isInk(op))) paint(target, op, config);
}

const EDGE = 0.004; // width of an outline, as a share of the paper's side

/** Leave of the areas on a surface their edges, each in its own colour: areas themselves would look
    like paint. */
export function outline(target) {
  const { ctx, side } = target;
  const image = pixels(target);
  const cells = asCells(image.data);
  const areas = cells.slice();
  const reach = Math.max(1, Math.round(EDGE * side));
  for (let at = 0; at < areas.length; at++) {
    const [x, y] = [at % side, Math.floor(at / side)];
    const isEdge = (x >= reach && areas[at - reach] !== areas[at])
      || (x < side - reach && areas[at + reach] !== areas[at])
      || (y >= reach && areas[at - reach * side] !== areas[at])
      || (y < side - reach && areas[at + reach * side] !== areas[at]);
    if (!isEdge) cells[at] = 0;
  }
  ctx.putImageData(image, 0, 0);
}

/** Lay lines over what is on a surface: white paper lets it through. */
export function layLines({ ctx }, lines) {
  ctx.globalCompositeOperation = "multiply";
  ctx.drawImage(lines.canvas, 0, 0);
  ctx.globalCompositeOperation = "source-over";
}
