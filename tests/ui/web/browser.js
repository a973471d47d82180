/* What the modules need of a browser, without one: elements, storage, and canvases of rectangles. */

import { mock } from "node:test";

class ImageData {
  constructor(data, width, height) {
    Object.assign(this, typeof data === "number"
      ? { data: new Uint8ClampedArray(4 * data * width), width: data, height: width }
      : { data, width, height });
  }
}

/** Fills rectangles and copies pixels as a canvas does; of paths it keeps the number alone. */
class Context {
  constructor(canvas) {
    Object.assign(this, { canvas, fillStyle: "#000000", strokes: 0 });
  }

  fillRect(left, top, width, height) {
    const rgb = [1, 3, 5].map((at) => parseInt(this.fillStyle.slice(at, at + 2), 16));
    const { width: side, data } = this.canvas;
    for (let y = top; y < top + height; y++) {
      for (let x = left; x < left + width; x++) data.set([...rgb, 255], 4 * (y * side + x));
    }
  }

  getImageData(_x, _y, width, height) {
    return new ImageData(this.canvas.data.slice(), width, height);
  }

  putImageData(image) { this.canvas.data.set(image.data); }

  drawImage({ data }) { if (data.length === this.canvas.data.length) this.canvas.data.set(data); }

  stroke() { this.strokes += 1; }
}
for (const name of ["beginPath", "lineTo", "arc", "fill", "clearRect"]) Context.prototype[name] = () => {};

/** An element of any kind: finds another for each selector, always the same one. */
class Element {
  constructor() {
    const found = new Map();
    Object.assign(this, { dataset: {}, style: {}, listeners: {}, children: [], attributes: {} });
    this.querySelector = (selector) => {
      if (!found.has(selector)) found.set(selector, new Element());
      return found.get(selector);
    };
    Object.assign(this, { clientWidth: 64, clientHeight: 64, clientLeft: 0, clientTop: 0 });
    this.offsetParent = {}; // it is seen
    this.getBoundingClientRect = () => ({ left: 0, top: 0 });
  }

  get width() { return this.side ?? 0; }

  set width(side) { this.resize(side); }

  get height() { return this.side ?? 0; }

  set height(side) { this.resize(side); }

  resize(side) {
    this.side = side;
    this.data = new Uint8ClampedArray(4 * side * side);
  }

  get firstElementChild() { return this.querySelector(":first-child"); }

  getContext() {
    this.context ??= new Context(this);
    return this.context;
  }

  append(...children) { this.children.push(...children); }

  addEventListener(name, listener) { this.listeners[name] = listener; }

  setAttribute(name, value) { this.attributes[name] = value; }

  toggleAttribute(name, on) { this.attributes[name] = on; }

  setPointerCapture() {}

  focus() {}

  toDataURL() { return "data:image/png;base64,"; }
}

export const element = () => new Element();

/** Put the globals of a page there; frames come when `frames` are taken and called, and who watches
    sizes hears of others when `resized` are. */
export function openBrowser() {
  const kept = new Map();
  const frames = [];
  const resized = [];
  const sessionStorage = {
    kept, setItem: mock.fn((key, text) => kept.set(key, text)),
    getItem: (key) => kept.get(key) ?? null, removeItem: (key) => kept.delete(key),
  };
  Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true }); // node's own has no setter
  Object.assign(globalThis, {
    ImageData, sessionStorage, devicePixelRatio: 1,
    document: { createElement: () => new Element() },
    location: new URL("http://localhost/"),
    matchMedia: () => ({ matches: false }),
    requestAnimationFrame: (then) => frames.push(then),
    ResizeObserver: class {
      constructor(then) { resized.push(then); }

      observe() {}
    },
    window: globalThis,
  });
  return { frames, resized, sessionStorage };
}

/** A pad's configuration. */
export const LINES = {
  model: "lines", size: 64, source: "sketch", target: "photo", palette: null, hints: false,
  background: "#ffffff", examples: [], engine: null,
};
export const [WALL, DOOR, EARTH] = ["#a05020", "#00ff80", "#102030"];
export const LABELS = {
  ...LINES, model: "labels", background: EARTH,
  palette: [{ name: "wall", color: WALL }, { name: "door", color: DOOR }],
};
export const HINTS = { ...LINES, model: "hints", hints: true };
