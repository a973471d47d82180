/* The visitor's own device as an engine: a worker with ONNX Runtime Web; see engine_worker.js. */

export const LOAD_MS = 180000; // a slow line and a slow processor
const RUN_MS = 15000; // a picture of TILES pixels that takes longer will not come
const TILES = 2 ** 18;

export class Engine {
  constructor() {
    this.worker = new Worker(new URL("./engine_worker.js", import.meta.url), { type: "module" });
    this.waiting = new Map(); // id -> {resolve, reject, onBytes}
    this.last = 0;
    this.worker.onmessage = ({ data }) => this.take(data);
    this.worker.onerror = () => this.close("The engine's thread did not start.");
  }

  take({ id, bytes, error, ...answer }) {
    const caller = this.waiting.get(id);
    if (!caller) return;
    if (bytes) return caller.onBytes(bytes);
    this.waiting.delete(id);
    if (error) caller.reject(new Error(error));
    else caller.resolve(answer);
  }

  async call(kind, data, patience, onBytes = () => {}) {
    if (!this.worker) throw new Error("The engine is closed.");
    const id = ++this.last;
    let timer;
    try {
      return await new Promise((resolve, reject) => {
        this.waiting.set(id, { resolve, reject, onBytes });
        timer = setTimeout(() => reject(new Error("The engine took too long.")), patience);
        this.worker.postMessage({ ...data, id, kind });
      });
    } finally {
      clearTimeout(timer);
      this.waiting.delete(id);
    }
  }

  /** Load a model by the `engine` of a pad's configuration, whose addresses are relative to `root`;
      `gpuMode` says whether by a GPU: auto, yes or no. `onBytes` hears how many bytes of weights
      came. */
  async load(files, root, gpuMode, onBytes) {
    return this.call("load", { files, root, gpuMode }, LOAD_MS, onBytes);
  }

  /** Translate ImageData of any size, with a tint if any; {pixels: ImageData of that size, ms}. */
  async run({ data, width, height }, { tint = null, patience } = {}) {
    const request = { pixels: data, width, height, tint };
    const most = patience ?? RUN_MS * Math.ceil((width * height) / TILES);
    const { pixels, ms } = await this.call("run", request, most);
    return { pixels: new ImageData(pixels, width, height), ms };
  }

  /** The lines of a photo, black on white, as ImageData; needs no model. */
  async lines({ data, width, height }, style = "lines") {
    const request = { pixels: data, width, height, style };
    const { pixels } = await this.call("lines", request, RUN_MS);
    return new ImageData(pixels, width, height);
  }

  close(reason = "The engine was closed.") {
    this.worker?.terminate();
    this.worker = null;
    for (const { reject } of this.waiting.values()) reject(new Error(reason));
    this.waiting.clear();
  }
}
