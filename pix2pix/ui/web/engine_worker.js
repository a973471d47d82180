/* The engine's own thread: ONNX Runtime Web with one model, fed by the model's own weights.

   Messages come as {id, kind, ...} and are answered by {id, ...} or {id, error}. */

import { lineDrawing } from "./lines.js";

const SESSION = { graphOptimizationLevel: "all", logSeverityLevel: 3 };

let runtimeLoading = null; // the runtime, loaded once: {ort, providers}
let ort = null;
let session = null;
let model = null;
let loading = new AbortController(); // ends the fetching for a model that nobody waits for
let turn = Promise.resolve(); // a session does one thing at a time

/** Fetch a file as bytes, and tell how many have come. A runtime's file is gzip where the server
    sends it as it lies there. */
async function fetchBytes(url, { integrity, signal, onBytes = () => {} } = {}) {
  const reply = await fetch(url, { integrity, signal, priority: "low" });
  if (!reply.ok) throw new Error(`${reply.status} for ${url}`);
  const parts = [];
  for (let reader = reply.body.getReader(), part; !(part = await reader.read()).done;) {
    parts.push(part.value);
    onBytes(part.value.length);
  }
  const blob = new Blob(parts);
  const [first, second] = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  const gzip = first === 0x1f && second === 0x8b;
  const plain = gzip ? blob.stream().pipeThrough(new DecompressionStream("gzip")) : blob.stream();
  return new Uint8Array(await new Response(plain).arrayBuffer());
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The bits of a number as float16. */
function toHalf(value) {
  float[0] = Math.abs(value);
  const sign = value < 0 ? 0x8000 : 0;
  const small = float[0] < 2 ** -14;
  return sign | (small ? Math.round(float[0] * 2 ** 24) : (bits[0] - 0x38000000 + 0x1000) >>> 13);
}

/** The safetensors file of weights that came as int8; see models/small_weights.py. */
function unpackWeights(packed) {
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

/** Import a module of another origin only after its content was checked. */
async function importModule({ url, integrity }) {
  if (!integrity) return import(url);
  const code = new Blob([await fetchBytes(url, { integrity })], { type: "text/javascript" });
  const address = URL.createObjectURL(code);
  try {
    return await import(address);
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** Whether the browser computes on a GPU; one that the processor imitates only counts if asked. */
async function hasGpu(wanted) {
  if (wanted === "no") return false;
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter && (wanted === "yes" || !adapter.info?.isFallbackAdapter));
}

async function startRuntime(runtime, wanted) {
  const gpu = await hasGpu(wanted);
  const { code, binary } = gpu ? runtime.webgpu : runtime.wasm;
  const [loaded, wasmBinary] = await Promise.all([
    importModule(code), fetchBytes(binary.url, binary),
  ]);
  Object.assign(loaded.env.wasm, { wasmBinary, numThreads: 1, proxy: false });
  return { ort: loaded, providers: gpu ? ["webgpu", "wasm"] : ["wasm"] };
}

function loadRuntime(runtime, wanted) {
  runtimeLoading ??= startRuntime(runtime, wanted).catch((error) => {
    runtimeLoading = null; // tried again when it is asked for again
    throw error;
  });
  return runtimeLoading;
}

/** Load the runtime and a model; tells the bytes of its weights as they come. */
async function load({ id, runtime, wanted, files }) {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  const onBytes = (bytes) => postMessage({ id, bytes });
  const [graph, weights, { providers }] = await Promise.all([
    fetchBytes(files.graph, { signal }), fetchBytes(files.weights, { signal, onBytes }),
    loadRuntime(runtime, wanted),
  ]);
  return inTurn(() => startSession({ graph, weights, files, providers, signal }));
}

/** Do something with the session once it does nothing else. */
function inTurn(task) {
  const result = turn.then(task);
  turn = result.catch(() => {});
  return result;
}

async function startSession({ graph, weights, files, providers, signal }) {
  signal.throwIfAborted();
  ({ ort } = await runtimeLoading);
  const start = performance.now();
  await session?.release();
  session = null;
  const externalData = [{ path: "model.safetensors", data: unpackWeights(weights) }];
  let problem;
  for (const provider of providers) {
    try {
      const options = { ...SESSION, externalData, executionProviders: [provider] };
      session = await ort.InferenceSession.create(graph, options);
      model = files;
      return { provider, seconds: (performance.now() - start) / 1000 };
    } catch (error) {
      problem = error;
    }
  }
  throw problem;
}

/** Pixels as the network's input: channels x height x width from -1 to 1; one channel is luma. */
function toTensor(rgba, channels) {
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
function toPixels(values, channels) {
  const count = values.length / channels;
  const rgba = new Uint8ClampedArray(4 * count).fill(255);
  for (let c = 0; c < Math.max(3, channels); c++) {
    const from = (channels === 1 ? 0 : c) * count;
    for (let at = 0; at < count; at++) rgba[4 * at + c] = (values[from + at] * 0.5 + 0.5) * 255;
  }
  return rgba;
}

// Products in whole 64ths, cut as Pillow cuts them in its YCbCr.
const product = (factor, value) => Math.trunc(factor * 64 * value + 0.5);

/** A model that colours grey gives hue and saturation; the light stays the source's own. */
function keepLight(rgba, source) {
  for (let at = 0; at < rgba.length; at += 4) {
    const [r, g, b] = [rgba[at], rgba[at + 1], rgba[at + 2]];
    const blue = (product(-0.168736, r) + product(-0.331264, g) + product(0.5, b)) >> 6;
    const red = (product(0.5, r) + product(-0.418688, g) + product(-0.081312, b)) >> 6;
    const light = Math.round(
      0.299 * source[at] + 0.587 * source[at + 1] + 0.114 * source[at + 2],
    );
    rgba[at] = light + (product(1.402, red) >> 6);
    rgba[at + 1] = light + ((product(-0.344136, blue) + product(-0.714136, red)) >> 6);
    rgba[at + 2] = light + (product(1.772, blue) >> 6);
  }
}

async function run({ pixels, width, height }) {
  const start = performance.now();
  const { sourceChannels, targetChannels, coloursGrey } = model;
  const shape = [1, sourceChannels, height, width];
  const source = new ort.Tensor("float32", toTensor(pixels, sourceChannels), shape);
  const made = await session.run({ [session.inputNames[0]]: source });
  const rgba = toPixels(await made[session.outputNames[0]].getData(), targetChannels);
  if (coloursGrey) keepLight(rgba, pixels);
  return { pixels: rgba, ms: performance.now() - start };
}

const lines = async ({ pixels, width, height, style }) => (
  { pixels: lineDrawing(pixels, width, height, style) }
);

const kinds = { load, run: (request) => inTurn(() => run(request)), lines };

onmessage = async ({ data }) => {
  try {
    const answer = await kinds[data.kind](data);
    postMessage({ id: data.id, ...answer }, answer.pixels ? [answer.pixels.buffer] : []);
  } catch (error) {
    postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};
