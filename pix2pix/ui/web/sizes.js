/* A picture of any size through a network of one size, as pix2pix/models/translator.py does it. */

import { keepLight, parseColour, toPalette, toPixels } from "./conversions.js";

/** Round halves to the even neighbour, as Python does. */
function rounded(value) {
  const near = Math.round(value);
  return Math.abs(value % 1) === 0.5 && near % 2 ? near - 1 : near;
}

/* ---- Scaling: Pillow's bicubic filter -------------------------------------------------------- */

function cubic(distance) {
  const t = Math.abs(distance);
  if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
  return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
}

/** For each place of an axis of `to` pixels: which of the `from` pixels it is made of. */
function taps(from, to) {
  const scale = from / to;
  const wide = Math.max(1, scale);
  return Array.from({ length: to }, (_, at) => {
    const centre = (at + 0.5) * scale;
    const start = Math.max(0, Math.floor(centre - 2 * wide + 0.5));
    const end = Math.min(from, Math.floor(centre + 2 * wide + 0.5));
    const shares = Array.from({ length: end - start }, (_, k) => cubic((start + k - centre + 0.5) / wide));
    const sum = shares.reduce((a, b) => a + b, 0);
    return { start, shares: Float64Array.from(shares, (share) => share / sum) };
  });
}

/** Scale one axis of RGBA pixels, that of the rows or that of the columns. */
function scaleAxis(rgba, [width, height], to, isRow) {
  const made = new Uint8ClampedArray(4 * to * (isRow ? height : width));
  const [step, next] = isRow ? [4, 4 * width] : [4 * width, 4];
  const nextMade = isRow ? 4 * to : 4;
  const places = taps(isRow ? width : height, to);
  const [outer, inner] = isRow ? [height, to] : [to, width]; // memory in its own order
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const line = isRow ? o : i;
      const at = isRow ? i : o;
      const { start, shares } = places[at];
      for (let c = 0; c < 4; c++) {
        let [sum, from] = [0, line * next + start * step + c];
        for (let k = 0; k < shares.length; k++, from += step) sum += shares[k] * rgba[from];
        made[line * nextMade + at * step + c] = sum;
      }
    }
  }
  return made;
}

/** Scale RGBA pixels from one [width, height] to another. */
export function scale(rgba, [width, height], [toWidth, toHeight]) {
  const rows = toWidth === width ? rgba : scaleAxis(rgba, [width, height], toWidth, true);
  return toHeight === height ? rows : scaleAxis(rows, [toWidth, height], toHeight, false);
}

/** Where the middle of each of `to` pixels lies among `from`; summed up as Pillow does, or the two
    would disagree wherever it lies on a border. */
function nearest(from, to) {
  const step = from / to;
  const places = new Uint32Array(to);
  for (let at = 0, middle = step / 2; at < to; at++, middle += step) places[at] = Math.floor(middle);
  return places;
}

/** Scale RGBA pixels without mixing their colours. */
function scaleNearest(rgba, [width, height], [toWidth, toHeight]) {
  const pixels = new Uint32Array(rgba.buffer, rgba.byteOffset, width * height);
  const made = new Uint32Array(toWidth * toHeight);
  const columns = nearest(width, toWidth);
  nearest(height, toHeight).forEach((row, y) => {
    for (let x = 0; x < toWidth; x++) made[y * toWidth + x] = pixels[row * width + columns[x]];
  });
  return new Uint8ClampedArray(made.buffer);
}

/* ---- Sides that the network divides ---------------------------------------------------------- */

const LEAST = 16; // pixels of a side

function mirrored(length, multiple) {
  const full = Math.ceil(Math.max(length, LEAST) / multiple) * multiple;
  const start = (full - length) >> 1;
  const period = Math.max(1, 2 * (length - 1));
  const places = Array.from({ length: full }, (_, at) => {
    const place = (((at - start) % period) + period) % period;
    return Math.min(place, period - place);
  });
  return { start, places };
}

/** Mirror a box of RGBA pixels outwards to sides that are multiples; `crop` undoes it on channels x
    height x width. */
export function grow(rgba, [width, height], multiple) {
  const [across, down] = [mirrored(width, multiple), mirrored(height, multiple)];
  const size = [across.places.length, down.places.length];
  const [from, to] = [new Uint32Array(rgba.buffer, rgba.byteOffset, width * height),
    new Uint32Array(size[0] * size[1])];
  down.places.forEach((y, row) => {
    across.places.forEach((x, column) => { to[row * size[0] + column] = from[y * width + x]; });
  });
  const crop = (values) => {
    const channels = values.length / to.length;
    const made = new Float32Array(channels * width * height);
    for (let line = 0; line < channels * height; line++) {
      const [c, y] = [Math.floor(line / height), line % height];
      const begin = (c * size[1] + down.start + y) * size[0] + across.start;
      made.set(values.subarray(begin, begin + width), line * width);
    }
    return made;
  };
  return { rgba: new Uint8ClampedArray(to.buffer), size, crop };
}

/* ---- Tiles that fade into each other --------------------------------------------------------- */

function starts(length, side) {
  if (length <= side) return [0];
  const count = Math.ceil((length - side) / (side - (side >> 2))) + 1;
  return Array.from({ length: count }, (_, i) => rounded((i * (length - side)) / (count - 1)));
}

const ramp = (length, margin) => Float32Array.from({ length }, (_, at) => (
  Math.min(1, Math.min(at + 1, length - at) / margin)
));

function cut(rgba, width, [left, top, w, h]) {
  const made = new Uint8ClampedArray(4 * w * h);
  for (let y = 0; y < h; y++) {
    const begin = 4 * ((top + y) * width + left);
    made.set(rgba.subarray(begin, begin + 4 * w), 4 * y * w);
  }
  return made;
}

async function inTiles(rgba, [width, height], { size, targetChannels }, forward) {
  const count = width * height;
  const sums = new Float32Array(targetChannels * count);
  const weights = new Float32Array(count);
  const [w, h] = [Math.min(size, width), Math.min(size, height)];
  const [across, down] = [ramp(w, size >> 2), ramp(h, size >> 2)];
  for (const top of starts(height, size)) {
    for (const left of starts(width, size)) {
      const made = await forward(cut(rgba, width, [left, top, w, h]), [w, h]);
      for (let y = 0; y < h; y++) {
        for (let x = 0; x < w; x++) {
          const [at, weight] = [(top + y) * width + left + x, across[x] * down[y]];
          weights[at] += weight;
          for (let c = 0; c < targetChannels; c++) {
            sums[c * count + at] += weight * made[(c * h + y) * w + x];
          }
        }
      }
    }
  }
  return sums.map((sum, at) => sum / weights[at % count]);
}

/* ---- All of it ------------------------------------------------------------------------------- */

/** Translate RGBA pixels of any [width, height]. `forward(rgba, [width, height])` gives channels x
    height x width of a picture that is no larger than the model's size. */
export async function translate(rgba, sides, model, forward) {
  const { size, fit, targetChannels, coloursGrey, hasLabelSources, targetPalette = [] } = model;
  const isWhole = fit === "whole";
  const factor = isWhole ? size / Math.max(...sides) : 1;
  const small = sides.map((side) => Math.max(1, rounded(side * factor)));
  const values = isWhole
    ? await forward((hasLabelSources ? scaleNearest : scale)(rgba, sides, small), small)
    : await inTiles(rgba, sides, model, forward);
  let made = toPixels(values, targetChannels);
  if (targetPalette.length) {
    toPalette(made, targetPalette.map(parseColour));
    made = scaleNearest(made, small, sides); // between two labels of a map lies no third one
  } else {
    made = scale(made, small, sides);
  }
  if (coloursGrey) keepLight(made, rgba);
  return made;
}
