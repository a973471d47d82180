/* Numbers on their way to the network and back: weights, pixels, and the light of a grey photo. */

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The red, green and blue of "#rrggbb", from 0 to 255. */
export const parseColour = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** The bits of a number as float16. */
function toHalf(value) {
  float[0] = Math.abs(value);
  const sign = value < 0 ? 0x8000 : 0;
  const small = float[0] < 2 ** -14;
  return sign | (small ? Math.round(float[0] * 2 ** 24) : (bits[0] - 0x38000000 + 0x1000) >>> 13);
}

/** The safetensors file of weights that came as int8; see pack_weights of models/weights.py. */
export function unpackWeights(packed) {
  if (new TextDecoder().decode(packed.subarray(0, 4)) !== "P2P8") return packed;
  let from = 8 + new DataView(packed.buffer, packed.byteOffset).getUint32(4, true);
  const { bytes, parts } = JSON.parse(new TextDecoder().decode(packed.subarray(8, from)));
  const whole = new Uint8Array(bytes);
  let to = 0;
  for (const { rows, count } of parts) {
    const scales = new Float32Array(packed.slice(from, from + 4 * rows).buffer);
    from += 4 * rows;
    const numbers = packed.subarray(from, from + count);
    from += count;
    whole.set(rows ? asHalves(numbers, scales) : numbers, to);
    to += rows ? 2 * count : count;
  }
  return whole;
}

function asHalves(numbers, scales) {
  const halves = new Uint16Array(numbers.length);
  const each = numbers.length / scales.length;
  scales.forEach((scale, row) => {
    const table = Uint16Array.from({ length: 256 }, (_, n) => toHalf(scale * (n > 127 ? n - 256 : n)));
    for (let at = row * each; at < (row + 1) * each; at++) halves[at] = table[numbers[at]];
  });
  return new Uint8Array(halves.buffer);
}

/** Pixels as the network's input: channels x height x width from -1 to 1; one channel is luma. */
export function toTensor(rgba, channels) {
  const count = rgba.length / 4;
  const values = new Float32Array(channels * count);
  for (let at = 0; at < count; at++) {
    const [r, g, b, a] = [rgba[4 * at], rgba[4 * at + 1], rgba[4 * at + 2], rgba[4 * at + 3]];
    const seen = channels === 1 ? [0.299 * r + 0.587 * g + 0.114 * b] : [r, g, b, a];
    for (let c = 0; c < channels; c++) values[c * count + at] = (seen[c] / 255) * 2 - 1;
  }
  return values;
}

/** The network's output as pixels, rounded and clipped. */
export function toPixels(values, channels) {
  const count = values.length / channels;
  const rgba = new Uint8ClampedArray(4 * count).fill(255);
  for (let c = 0; c < Math.max(3, channels); c++) {
    const from = (channels === 1 ? 0 : c) * count;
    for (let at = 0; at < count; at++) rgba[4 * at + c] = (values[from + at] * 0.5 + 0.5) * 255;
  }
  return rgba;
}

/** A model of label maps gives each pixel the nearest colour of its palette; the first of those
    that are equally near. */
export function toPalette(rgba, palette) {
  for (let at = 0; at < rgba.length; at += 4) {
    let [least, nearest] = [Infinity, null];
    for (const colour of palette) {
      let distance = 0;
      for (let c = 0; c < 3; c++) distance += (colour[c] - rgba[at + c]) ** 2;
      if (distance < least) [least, nearest] = [distance, colour];
    }
    rgba.set(nearest, at);
  }
}

// Products in whole 64ths, cut as Pillow cuts them in its YCbCr.
const product = (factor, value) => Math.trunc(factor * 64 * value + 0.5);

/** A model that colours grey gives hue and saturation; the light stays the source's own. */
export function keepLight(rgba, source) {
  for (let at = 0; at < rgba.length; at += 4) {
    const [r, g, b] = [rgba[at], rgba[at + 1], rgba[at + 2]];
    const blue = (product(-0.16874, r) + product(-0.33126, g) + product(0.5, b)) >> 6;
    const red = (product(0.5, r) + product(-0.41869, g) + product(-0.08131, b)) >> 6;
    const light = Math.round(
      0.299 * source[at] + 0.587 * source[at + 1] + 0.114 * source[at + 2],
    );
    rgba[at] = light + (product(1.402, red) >> 6);
    rgba[at + 1] = light + ((product(-0.34414, blue) + product(-0.71414, red)) >> 6);
    rgba[at + 2] = light + (product(1.772, blue) >> 6);
  }
}
