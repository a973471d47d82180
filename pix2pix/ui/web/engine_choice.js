/* Who makes the pictures: the server, or the visitor's own device once it is ready and faster.

   Nothing large is fetched before the visitor draws, nor on a connection that is metered or saves
   data, nor on a phone without asking. Whatever fails on the device, the server goes on. */

import { make } from "./dom.js";
import { Engine, LOAD_MS } from "./engine.js";

const PATIENCE_MS = 20000; // with the server
const RUNTIME_MB = 4; // of the smaller runtime, as it is sent
const KEPT = 5; // times of which the median is taken
const SILENCE = "The server does not answer; the drawing is kept.";
const BROKEN = "This device could not run the model";

const median = (times) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)];

const isTouched = () => matchMedia("(hover: none) and (pointer: coarse)").matches;

/** Whether many bytes may come without asking. */
export function mayFetch({ connection, userAgentData } = navigator, isPhone = isTouched()) {
  const slow = /2g|3g/.test(connection?.effectiveType ?? "");
  if (connection?.saveData || connection?.type === "cellular" || slow) return false;
  return !userAgentData?.mobile && !isPhone;
}

function asPng(pixels, canvas) {
  Object.assign(canvas, { width: pixels.width, height: pixels.height });
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(pixels, 0, 0);
  return canvas.toDataURL("image/png");
}

export class EngineChoice {
  /** `server` has the functions translate and variations, or is null where a page has none. `root`
      is what the addresses of the engine's files are relative to. `onReady` is called when a picture
      can be asked for. */
  constructor(element, { server, root, onReady }) {
    Object.assign(this, { server, root, onReady });
    this.badge = element.querySelector(".engine");
    this.button = this.badge.querySelector("button");
    this.canvas = make("canvas"); // on which what the server gets becomes a PNG
    this.config = null;
    this.engine = null; // the worker
    this.state = "off"; // then loading, ready, failed
    this.loaded = ""; // the model that the worker holds or loads
    this.turn = 0; // the number of the load that counts: who goes back to a model loads it anew
    this.share = 0; // of its weights that have come
    this.provider = null; // webgpu or wasm
    this.picked = ""; // by the visitor: server or device
    this.times = { server: [], device: [] };
    this.isSilent = false; // the server
    this.began = false; // the visitor draws
    this.gpuMode = new URLSearchParams(location.search).get("gpu") ?? "auto";
    this.button.addEventListener("click", () => this.onButton());
  }

  /** Another model: its engine is loaded when the visitor draws for it. */
  configure(config) {
    const key = ({ model, engine }) => [model, engine?.weights].join();
    const another = !this.config || key(this.config) !== key(config);
    this.config = config;
    if (another) {
      this.state = "off";
      this.times = { server: [], device: [] };
      this.loaded = "";
      this.turn += 1;
    }
    if (another && this.began && !this.server) this.begin();
    this.show();
  }

  get canAnswer() { return Boolean(this.server) || this.state === "ready"; }

  /** Whether nothing draws until the visitor lets this device. */
  get isOffering() {
    return !this.server && this.began && this.state === "off" && this.picked !== "device"
      && Boolean(this.config.engine) && !mayFetch();
  }

  get isDevice() {
    if (this.state !== "ready") return false;
    if (!this.server || this.isSilent) return true;
    if (this.picked) return this.picked === "device";
    const { server, device } = this.times;
    return server.length > 0 && median(device) < median(server);
  }

  /* ---- Loading ------------------------------------------------------------------------------ */

  /** The visitor draws: get this device ready, once the page has nothing better to do. */
  begin() {
    this.began = true;
    if (!this.config.engine || this.state !== "off") return;
    if (!mayFetch() && this.picked !== "device") return this.show();
    const idle = window.requestIdleCallback ?? ((then) => setTimeout(then, 200));
    idle(() => this.load(), { timeout: 2000 });
  }

  /** The visitor asked for this device. */
  useDevice() {
    this.began = true;
    this.picked = "device";
    if (this.state === "failed") this.state = "off";
    if (this.state === "off") this.load();
    this.show();
  }

  /** The worker, which finds lines without a model as well. */
  get worker() {
    this.engine ??= new Engine();
    return this.engine;
  }

  async load() {
    const { model, engine: files } = this.config;
    if (!files || this.loaded === model) return;
    Object.assign(this, { loaded: model, state: "loading", share: 0, provider: null });
    const turn = ++this.turn;
    this.show();
    try {
      await this.loadFiles(files, turn);
    } catch (error) {
      if (this.turn === turn) this.fail(error);
    }
  }

  async loadFiles(files, turn) {
    let came = 0;
    const onBytes = (bytes) => {
      came += bytes;
      if (this.turn !== turn) return;
      this.share = Math.min(1, came / files.bytes);
      this.show();
    };
    const { provider, seconds } = await this.worker.load(files, this.root, this.gpuMode, onBytes);
    if (this.turn !== turn) return;
    Object.assign(this, { provider, seconds });
    const { size } = this.config;
    const blank = new ImageData(size, size);
    const device = [];
    await this.engine.run(blank, { patience: LOAD_MS }); // the first one compiles
    for (let n = 0; n < 2; n++) device.push((await this.engine.run(blank)).ms);
    if (this.turn !== turn) return;
    this.times.device = device;
    this.state = "ready";
    this.show();
    this.onReady();
  }

  fail(error) {
    console.warn(`${BROKEN}:`, error);
    this.engine?.close();
    this.engine = null;
    this.loaded = "";
    this.turn += 1;
    if (this.provider === "webgpu") {
      Object.assign(this, { gpuMode: "no", state: "off" }); // a lost GPU: the processor is left
      this.begin();
    } else {
      this.state = "failed";
    }
    this.show();
  }

  /* ---- Asking ------------------------------------------------------------------------------- */

  /** Answer a job of live.js: {pixels}, {image} or {images} as data URLs, or {error, busy}. Of
      variations this device makes those of `tints`; those of seeds are the server's. */
  async ask(job) {
    const { call, model, seed, tint, pixels, count } = job;
    const able = (call === "translate" ? seed === null : job.tints) && this.loaded === model;
    if (able && this.isDevice) {
      try {
        return await (call === "translate" ? this.onDevice(pixels, tint) : this.inTints(job));
      } catch (error) {
        this.fail(error);
      }
    }
    if (!this.server) return { error: `${BROKEN}.`, busy: this.state === "off" };
    const image = asPng(pixels, this.canvas);
    const request = { model, seed, image, ...(tint && { tint }), ...(count && { count }) };
    const start = performance.now();
    const reply = await this.askServer(call, request);
    this.isSilent = reply.error === SILENCE;
    if (call === "translate" && !reply.error) this.note("server", performance.now() - start);
    // With the device in its place the answer need not be waited for.
    return this.isSilent && able && this.isDevice ? this.ask(job) : reply;
  }

  async onDevice(pixels, tint) {
    const start = performance.now();
    const reply = await this.engine.run(pixels, { tint });
    this.note("device", performance.now() - start);
    return { pixels: reply.pixels };
  }

  /** Variations without a seed: the same drawing in several tints. */
  async inTints({ pixels, tints }) {
    const images = [];
    for (const tint of tints) {
      const made = await this.onDevice(pixels, tint);
      images.push({ tint, image: asPng(made.pixels, this.canvas) });
    }
    return { images };
  }

  note(who, ms) {
    this.times[who] = [...this.times[who], ms].slice(-KEPT);
    this.show();
  }

  async askServer(call, request) {
    let timer;
    const patience = new Promise((_, reject) => { timer = setTimeout(reject, PATIENCE_MS); });
    try {
      // Gradio's client swallows a failed connection and answers nothing.
      const reply = await Promise.race([this.server[call](request), patience]);
      return reply ?? { error: SILENCE, busy: true };
    } catch {
      return { error: SILENCE, busy: true };
    } finally {
      clearTimeout(timer);
    }
  }

  /* ---- The badge ---------------------------------------------------------------------------- */

  onButton() {
    if (this.state === "ready") this.picked = this.isDevice ? "server" : "device";
    else this.useDevice();
    this.show();
    this.onReady();
  }

  /** What the badge says, and its button. */
  words() {
    const { state, config, server } = this;
    const size = `${Math.ceil((config.engine?.bytes ?? 0) / 1e6)} MB`;
    const all = `${Math.ceil((config.engine?.bytes ?? 0) / 1e6) + RUNTIME_MB} MB`;
    const took = (who) => (this.times[who].length ? `, ${Math.round(median(this.times[who]))} ms` : "");
    if (!config.engine) return ["", ""];
    if (state === "loading") {
      const part = this.share < 1 ? `${Math.round(100 * this.share)} % of ${size}` : "starting";
      return [`Getting this device ready: ${part}`, ""];
    }
    if (state === "ready") {
      if (!this.isDevice) return [`On the server${took("server")}`, "Use this device"];
      return [`On this device${took("device")}`, server && !this.isSilent ? "Use the server" : ""];
    }
    if (state === "failed") return server ? ["", ""] : [`${BROKEN}.`, "Try again"];
    return this.began && !mayFetch() ? ["", `Draw on this device (${all})`] : ["", ""];
  }

  show() {
    const [words, button] = this.words();
    this.badge.firstElementChild.textContent = words;
    this.button.textContent = button;
    this.button.hidden = !button;
    this.badge.hidden = !words && !button;
    this.badge.toggleAttribute("data-offer", this.isOffering);
    this.badge.dataset.state = this.isDevice ? "device" : this.state;
  }
}
