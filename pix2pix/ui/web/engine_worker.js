/* The engine's own thread: ONNX Runtime Web with one model, fed by the model's own weights.

   Messages come as {id, kind, ...} and are answered by {id, ...} or {id, error}. */

import { parseColour, toTensor, unpackWeights } from "./conversions.js";
import { lineDrawing } from "./lines.js";
import { grow, translate } from "./sizes.js";

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
  const reader = reply.body.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    onBytes(part.value.length);
  }
  const blob = new Blob(parts);
  const [first, second] = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  const gzip = first === 0x1f && second === 0x8b;
  const plain = gzip ? blob.stream().pipeThrough(new DecompressionStream("gzip")) : blob.stream();
  return new Uint8Array(await new Response(plain).arrayBuffer());
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
async function hasGpu(gpuMode) {
  if (gpuMode === "no") return false;
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter && (gpuMode === "yes" || !adapter.info?.isFallbackAdapter));
}

async function startRuntime(runtime, root, gpuMode) {
  const gpu = await hasGpu(gpuMode);
  const [code, binary] = ["code", "binary"].map((part) => {
    const { url, ...more } = runtime[gpu ? "webgpu" : "wasm"][part];
    return { url: new URL(url, root).href, ...more };
  });
  const [loaded, wasmBinary] = await Promise.all([
    importModule(code), fetchBytes(binary.url, binary),
  ]);
  Object.assign(loaded.env.wasm, { wasmBinary, numThreads: 1, proxy: false });
  return { ort: loaded, providers: gpu ? ["webgpu", "wasm"] : ["wasm"] };
}

function loadRuntime(...given) {
  runtimeLoading ??= startRuntime(...given).catch((error) => {
    runtimeLoading = null; // tried again when it is asked for again
    throw error;
  });
  return runtimeLoading;
}

/** Load the runtime and a model; tells the bytes of its weights as they come. */
async function load({ id, files, root, gpuMode }) {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  const onBytes = (bytes) => postMessage({ id, bytes });
  const [graph, weights, { providers }] = await Promise.all([
    fetchBytes(new URL(files.graph, root), { signal }),
    fetchBytes(new URL(files.weights, root), { signal, onBytes }),
    loadRuntime(files.runtime, root, gpuMode),
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

/** A tint as the network takes it: red, green and blue from -1 to 1; 0 is none. */
function tintTensor(tint) {
  const values = tint ? parseColour(tint).map((byte) => byte / 127.5 - 1) : [0, 0, 0];
  return new ort.Tensor("float32", Float32Array.from(values), [1, 3, 1, 1]);
}

/** The network on RGBA pixels no larger than its size: channels x height x width. */
async function forward(rgba, sides, tint) {
  const { sourceChannels, multiple } = model;
  const grown = grow(rgba, sides, multiple);
  const shape = [1, sourceChannels, grown.size[1], grown.size[0]];
  const source = new ort.Tensor("float32", toTensor(grown.rgba, sourceChannels), shape);
  const more = session.inputNames.includes("tint") ? { tint: tintTensor(tint) } : {};
  const made = await session.run({ source, ...more });
  return grown.crop(await made[session.outputNames[0]].getData());
}

async function run({ pixels, width, height, tint }) {
  const start = performance.now();
  const tinted = (rgba, sides) => forward(rgba, sides, tint);
  const made = await translate(pixels, [width, height], model, tinted);
  return { pixels: made, ms: performance.now() - start };
}

const lines = async ({ pixels, width, height, style }) => (
  { pixels: lineDrawing(pixels, width, height, style) }
);

const kinds = { load, run: (request) => inTurn(() => run(request)), lines };

addEventListener("message", async ({ data }) => {
  try {
    const answer = await kinds[data.kind](data);
    postMessage({ id: data.id, ...answer }, answer.pixels ? [answer.pixels.buffer] : []);
  } catch (error) {
    postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
});
