import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { EngineChoice, mayFetch } from "../../../pix2pix/ui/web/engine_choice.js";
import { LINES, element, openBrowser } from "./browser.js";

const FILES = { weights: "w", graph: "g", runtime: {}, bytes: 5e6 };
const CONFIG = { ...LINES, engine: FILES };
const PICTURE = { image: "data:image/png;base64,server" };
let ready;

/** Who makes the pictures of a page; `server` answers with this, or is null. */
function choice(server = PICTURE, more = {}) {
  ready = mock.fn();
  const translate = mock.fn(async () => server);
  const made = new EngineChoice(element(), {
    server: server && { translate, variations: translate }, root: "http://localhost/", onReady: ready,
  });
  made.configure(CONFIG);
  return Object.assign(made, more);
}

/** An engine that is ready: `run` gives its picture or fails. */
const engine = (run = async () => ({ pixels: "device", ms: 5 })) => ({ run: mock.fn(run), close: mock.fn() });
const onDevice = (run) => ({ state: "ready", loaded: "lines", engine: engine(run) });
const job = (more = {}) => (
  { call: "translate", model: "lines", seed: null, pixels: new ImageData(8, 8), ...more }
);
const times = (server, device) => ({ times: { server, device } });

beforeEach(() => {
  openBrowser();
  mock.method(console, "warn", () => {});
});

test("many bytes come unasked on lines that are neither slow nor metered, and on no phone", () => {
  const table = [
    [{}, false, true], [{ connection: { effectiveType: "4g" } }, false, true],
    [{ connection: { saveData: true } }, false, false],
    [{ connection: { type: "cellular" } }, false, false],
    [{ connection: { effectiveType: "3g" } }, false, false],
    [{ connection: { effectiveType: "slow-2g" } }, false, false],
    [{ userAgentData: { mobile: true } }, false, false], [{}, true, false],
  ];
  for (const [navigator, isPhone, may] of table) assert.equal(mayFetch(navigator, isPhone), may);
});

test("the device draws where it is ready and faster, alone, or picked", () => {
  const table = [
    // state, server answers, silent, picked, times of server and device -> the device draws
    ["off", true, false, "device", [90], [10], false],
    ["loading", false, false, "", [], [], false],
    ["failed", true, true, "device", [90], [10], false],
    ["ready", true, false, "", [90], [10], true],
    ["ready", true, false, "", [10], [90], false],
    ["ready", true, false, "", [], [10], false], // nothing to compare with yet
    ["ready", true, false, "", [10, 90, 95], [20, 20, 900], true], // by the median
    ["ready", true, false, "server", [90], [10], false],
    ["ready", true, false, "device", [10], [90], true],
    ["ready", true, true, "server", [10], [90], true],
    ["ready", false, false, "", [], [90], true],
  ];
  for (const [state, hasServer, isSilent, picked, server, device, draws] of table) {
    const made = choice(hasServer ? PICTURE : null, { state, isSilent, picked, ...times(server, device) });
    assert.equal(made.isDevice, draws, JSON.stringify([state, hasServer, isSilent, picked]));
  }
});

test("the device gets ready when the visitor draws, and answers from then on", async () => {
  const made = choice(PICTURE, { engine: { ...engine(), load: async (_files, _root, _gpuMode, onBytes) => {
    onBytes(2e6);
    assert.deepEqual(made.words(), ["Getting this device ready: 40 % of 5 MB", ""]);
    return { provider: "wasm", seconds: 1 };
  } } });
  await made.ask(job());
  made.note("server", 1e6);
  await made.load();
  assert.deepEqual([made.state, made.provider, ready.mock.callCount()], ["ready", "wasm", 1]);
  assert.deepEqual(await made.ask(job()), { pixels: "device" });
  made.configure({ ...CONFIG, model: "other" });
  assert.deepEqual([made.state, made.isDevice, made.times.server.length], ["off", false, 0]);
});

test("whoever goes to another model and back while the first one loads gets it ready all the same", async () => {
  let [loads, abort] = [0, () => {}];
  const load = () => new Promise((resolve, reject) => { // as in the worker, the next ends it
    abort();
    abort = () => reject(new Error("This operation was aborted"));
    loads += 1;
    if (loads === 2) setTimeout(() => resolve({ provider: "wasm", seconds: 1 }));
  });
  const made = choice(PICTURE, { engine: { ...engine(), load } });
  const first = made.load();
  made.configure({ ...CONFIG, model: "other" });
  made.configure(CONFIG);
  const second = made.load();
  await first;
  assert.deepEqual([made.state, made.loaded, made.engine.close.mock.callCount()], ["loading", "lines", 0]);
  await second;
  assert.deepEqual([made.state, made.provider, loads], ["ready", "wasm", 2]);
});

test("bytes of a load that nobody waits for do not count", async () => {
  const sent = [];
  const load = (_files, _root, _gpuMode, onBytes) => new Promise(() => { sent.push(onBytes); });
  const made = choice(PICTURE, { engine: { ...engine(), load } });
  for (const model of ["lines", "other", "lines"]) {
    made.configure({ ...CONFIG, model });
    made.load();
  }
  sent[2](1e6);
  sent[0](4e6);
  assert.equal(made.share, 0.2);
});

test("what the device cannot do is the server's: seeds, variations, another model", async () => {
  for (const more of [{ seed: 3 }, { call: "variations", count: 4 }, { model: "other" }]) {
    const made = choice(PICTURE, { ...onDevice(), picked: "device" });
    assert.deepEqual(await made.ask(job(more)), PICTURE);
    assert.equal(made.engine.run.mock.callCount(), 0);
  }
});

test("a tint goes to whoever draws", async () => {
  const tint = "#d0b090";
  const device = choice(PICTURE, { ...onDevice(), picked: "device" });
  await device.ask(job({ tint }));
  assert.deepEqual(device.engine.run.mock.calls[0].arguments[1], { tint });
  for (const [more, sent] of [[{ tint }, tint], [{ tint: null }, undefined]]) {
    const server = choice();
    await server.ask(job(more));
    assert.equal(server.server.translate.mock.calls[0].arguments[0].tint, sent);
  }
});

test("variations in several tints are the device's, those of seeds are not", async () => {
  const pixels = new ImageData(8, 8);
  const made = choice(null, onDevice(async () => ({ pixels, ms: 5 })));
  const tints = ["#d0b090", "#405060"];
  const { images } = await made.ask(job({ call: "variations", tints }));
  assert.deepEqual(images.map(({ tint }) => tint), tints);
  assert.deepEqual(made.engine.run.mock.calls.map((call) => call.arguments[1].tint), tints);
  assert.match((await made.ask(job({ call: "variations", count: 4 }))).error, /could not/);
});

test("a device that fails gives the same job to the server", async () => {
  const broken = onDevice(async () => { throw new Error("no memory"); });
  const made = choice(PICTURE, { ...broken, ...times([90], [10]) });
  assert.deepEqual(await made.ask(job()), PICTURE);
  assert.deepEqual([made.state, made.engine, made.words()], ["failed", null, ["", ""]]);
  assert.equal(broken.engine.close.mock.callCount(), 1);
});

test("a lost GPU is followed by the processor, not by giving up", () => {
  const made = choice(PICTURE, { ...onDevice(), provider: "webgpu" });
  made.load = mock.fn();
  globalThis.requestIdleCallback = (then) => then();
  made.fail(new Error("device lost"));
  assert.deepEqual([made.state, made.gpuMode, made.load.mock.callCount()], ["off", "no", 1]);
  delete globalThis.requestIdleCallback;
});

test("a silent server's jobs go to a device that is ready", async () => {
  const made = choice(undefined, onDevice());
  made.server.translate = async () => undefined; // as Gradio's client answers without a connection
  assert.deepEqual(await made.ask(job()), { pixels: "device" });
  const without = choice();
  without.server.translate = async () => { throw new Error("network"); };
  const reply = await without.ask(job());
  assert.deepEqual([reply.busy, /does not answer/.test(reply.error)], [true, true]);
});

test("without a server or a device there is a sentence, and a button to try again", async () => {
  const made = choice(null);
  made.fail(new Error("broken weights"));
  assert.match((await made.ask(job())).error, /could not run/);
  assert.equal(made.words()[1], "Try again");
});

test("on a phone the badge offers the device and its size; a press loads it", () => {
  globalThis.matchMedia = () => ({ matches: true });
  const made = choice(null);
  made.load = mock.fn();
  assert.ok(!made.isOffering, "nothing was drawn yet");
  made.begin();
  assert.ok(made.isOffering && !made.load.mock.callCount());
  assert.equal(made.button.textContent, "Draw on this device (9 MB)");
  made.button.listeners.click();
  assert.equal(made.load.mock.callCount(), 1);
  assert.ok(!made.isOffering);
});

test("the badge says who draws, how fast, and goes back and forth", () => {
  const made = choice(PICTURE, { state: "ready", ...times([90], [10, 12, 11]) });
  made.show();
  const words = () => [made.badge.firstElementChild.textContent, made.button.textContent];
  assert.deepEqual(words(), ["On this device, 11 ms", "Use the server"]);
  made.button.listeners.click();
  assert.deepEqual(words(), ["On the server, 90 ms", "Use this device"]);
  made.button.listeners.click();
  assert.deepEqual(words(), ["On this device, 11 ms", "Use the server"]);
  assert.equal(ready.mock.callCount(), 2, "each asks for the picture anew");
});

test("a model without a graph is the server's, and nothing is said", () => {
  const made = choice();
  made.configure(LINES);
  made.begin();
  assert.deepEqual([made.state, made.words()], ["off", ["", ""]]);
});
