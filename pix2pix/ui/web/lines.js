/* A photo as a line drawing: the filters of pix2pix/imaging/line_art.py, which says what they do. */

/** Mirror an index about both ends of 0..length-1, the ends repeated. */
function mirror(at, length) {
  const place = ((at % (2 * length)) + 2 * length) % (2 * length);
  return place < length ? place : 2 * length - 1 - place;
}

/** Blur rows with a kernel and turn the picture, so that a second call blurs its columns. */
function blurTurned(values, width, height, kernel) {
  const reach = (kernel.length - 1) / 2;
  const turned = new Float32Array(values.length);
  const row = new Float32Array(width + 2 * reach);
  for (let y = 0; y < height; y++) {
    for (let x = -reach; x < width + reach; x++) {
      row[x + reach] = values[y * width + mirror(x, width)];
    }
    for (let x = 0; x < width; x++) {
      let sum = 0;
      for (let k = 0; k < kernel.length; k++) sum += row[x + k] * kernel[k];
      turned[x * height + y] = sum;
    }
  }
  return turned;
}

function gaussian(values, width, height, sigma) {
  const reach = Math.floor(4 * sigma + 0.5);
  const kernel = Array.from({ length: 2 * reach + 1 }, (_, i) => (
    Math.exp(-((i - reach) ** 2) / (2 * sigma * sigma))
  ));
  const total = kernel.reduce((sum, v) => sum + v, 0);
  const weights = Float32Array.from(kernel, (v) => v / total);
  return blurTurned(blurTurned(values, width, height, weights), height, width, weights);
}

/** The median of each 3 x 3 neighbourhood. */
function median(values, width, height) {
  const around = new Float32Array(9);
  return values.map((_, at) => {
    const [x, y] = [at % width, Math.floor(at / width)];
    let n = 0;
    for (let dy = -1; dy < 2; dy++) {
      const row = mirror(y + dy, height) * width;
      for (let dx = -1; dx < 2; dx++) around[n++] = values[row + mirror(x + dx, width)];
    }
    for (let i = 1; i < 9; i++) { // insertion: nine numbers
      const v = around[i];
      let j = i;
      while (j && around[j - 1] > v) { around[j] = around[j - 1]; j -= 1; }
      around[j] = v;
    }
    return around[4];
  });
}

/** Grey from 0 to 1, its contrast stretched; null for a blank picture. */
function stretchedGrey(rgba) {
  const grey = new Float32Array(rgba.length / 4);
  for (let at = 0; at < grey.length; at++) {
    const [r, g, b] = [rgba[4 * at], rgba[4 * at + 1], rgba[4 * at + 2]];
    grey[at] = ((19595 * r + 38470 * g + 7471 * b + 32768) >> 16) / 255; // as Pillow has it
  }
  const sorted = Float32Array.from(grey).sort();
  const percentile = (share) => {
    const place = share * (sorted.length - 1);
    const low = Math.floor(place);
    const next = sorted[Math.min(low + 1, sorted.length - 1)];
    return sorted[low] + (next - sorted[low]) * (place - low);
  };
  const [low, high] = [percentile(0.01), percentile(0.99)];
  if (high - low < 0.04) return null;
  const span = Math.max(high - low, 0.25);
  return grey.map((v) => Math.min(1, Math.max(0, (v - low) / span)));
}

/** How much ink each point takes, in one of the styles. */
function inkOf(grey, width, height, style) {
  const unit = Math.max(Math.min(width, height) / 256, 0.5);
  const blur = (values, sigma) => gaussian(values, width, height, sigma * unit);
  const edges = (sigma) => {
    const [wide, narrow] = [blur(grey, 1.6 * sigma), blur(grey, sigma)];
    return wide.map((v, at) => v - narrow[at]);
  };
  if (style === "pencil") {
    const [around, here] = [blur(grey, 7), blur(grey, 0.6)];
    return around.map((v, at) => (0.94 - (here[at] + 0.15) / (v + 0.15)) * 3.2);
  }
  if (style === "bold") {
    const [blurred, difference] = [blur(grey, 1.6), edges(1.6)];
    return blurred.map((v, at) => -Math.tanh(9 * (v - 14 * difference[at] - 0.33)));
  }
  const around = blur(grey, 6);
  const contrast = blur(grey.map((v, at) => (v - around[at]) ** 2), 4);
  return edges(1.1).map((v, at) => (v / (Math.sqrt(contrast[at]) + 0.035)) * 7.5 - 0.5);
}

/** Remove connected ink whose summed darkness is under so many pixels. */
function withoutSpecks(ink, width, smallest) {
  const left = Uint8Array.from(ink, (v) => Number(v > 0.08));
  const kept = new Float32Array(ink.length);
  for (let start = 0; start < ink.length; start++) {
    if (!left[start]) continue;
    left[start] = 0;
    const part = [start];
    let mass = 0;
    for (let n = 0; n < part.length; n++) {
      const at = part[n];
      mass += ink[at];
      for (const row of [at - width, at, at + width]) {
        for (const next of [row - 1, row, row + 1]) {
          const near = Math.abs((next % width) - (at % width)) < 2;
          if (near && next >= 0 && left[next]) { left[next] = 0; part.push(next); }
        }
      }
    }
    if (mass >= smallest) for (const at of part) kept[at] = ink[at];
  }
  return kept;
}

/** Black lines on white as RGBA bytes, from RGBA bytes; style is pencil, lines or bold. */
export function lineDrawing(rgba, width, height, style = "lines") {
  const lines = new Uint8ClampedArray(rgba.length).fill(255);
  const grey = stretchedGrey(rgba);
  if (!grey) return lines;
  const ink = inkOf(median(grey, width, height), width, height, style)
    .map((v) => Math.min(1, Math.max(0, v)));
  const unit = Math.max(Math.min(width, height) / 256, 0.5);
  withoutSpecks(ink, width, 9 * unit * unit).forEach((v, at) => {
    lines.fill(Math.floor(255 * (1 - v)), 4 * at, 4 * at + 3);
  });
  return lines;
}
