import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";

import { Camera, openPhoto } from "../../../pix2pix/ui/web/photo.js";
import { LABELS, LINES, element, openBrowser } from "./browser.js";

const MODEL = { ...LINES, kind: "drawing", engine: {} };
const PHOTOS = { ...LINES, kind: "photo", photoSide: 64 };
let browser;
let pad;
let asked; // what the visitor is asked: each is answered by allow() or refuse()
let streams;
let decoding; // files by name: each is decoded when its function is called

const askForCamera = () => new Promise((resolve, reject) => {
  const allow = () => {
    const stream = { isLive: true, getTracks: () => [{ stop() { stream.isLive = false; } }] };
    streams.push(stream);
    resolve(stream);
  };
  asked.push({ allow, refuse: () => reject(new Error("not allowed")) });
});

const live = () => streams.map(({ isLive }) => isLive);

/** A camera on the pad of a model. */
function openPad(config) {
  pad = {
    config, drawing: { config, load: mock.fn(async () => {}) }, live: { say: mock.fn() },
    engines: { useDevice: mock.fn() },
  };
  pad.camera = new Camera(element(), pad);
  Object.assign(pad.camera, { video: { play: async () => {} }, run: mock.fn() });
  return pad.camera;
}

beforeEach(() => {
  browser = openBrowser();
  [asked, streams, decoding] = [[], [], {}];
  const mediaDevices = { getUserMedia: askForCamera };
  Object.defineProperty(globalThis, "navigator", { value: { mediaDevices }, configurable: true });
  globalThis.createImageBitmap = ({ name }) => new Promise((resolve, reject) => {
    decoding[name] = (error) => (error ? reject(error) : resolve({ width: 8, height: 8 }));
  });
  globalThis.FileReader = class {
    readAsDataURL({ name }) {
      this.result = name;
      queueMicrotask(() => this.onload());
    }
  };
});

test("a camera opens and closes, and keeps what it saw last", async () => {
  const camera = openPad(MODEL);
  const opening = camera.toggle();
  asked[0].allow();
  await opening;
  assert.deepEqual([live(), pad.live.paused, camera.run.mock.callCount()], [[true], true, 1]);
  camera.hasSeen = true;
  camera.toggle();
  assert.deepEqual([live(), pad.live.paused, pad.drawing.load.mock.callCount()], [[false], false, 1]);
});

test("of two presses while the visitor is asked one camera stays, and the next press closes it", async () => {
  for (const order of [[0, 1], [1, 0]]) {
    [asked, streams] = [[], []];
    const camera = openPad(MODEL);
    const opening = [camera.toggle(), camera.toggle()];
    for (const at of order) asked[at].allow();
    await Promise.all(opening);
    assert.deepEqual([live().filter(Boolean).length, camera.run.mock.callCount()], [1, 1]);
    camera.toggle();
    assert.deepEqual(live(), [false, false]);
    assert.equal(pad.drawing.load.mock.callCount(), 0, "it saw nothing yet");
  }
});

test("a camera that opens too late is closed: for another model, a photo, or out of sight", async () => {
  const leaving = [
    (camera) => camera.configure({ ...LABELS, kind: "labels", engine: {} }),
    () => { openPhoto({ name: "photo" }, pad); },
    (camera) => { camera.paper.offsetParent = null; },
  ];
  for (const leave of leaving) {
    const camera = openPad(MODEL);
    const opening = camera.toggle();
    leave(camera);
    asked.at(-1).allow();
    await opening;
    assert.deepEqual([streams.at(-1).isLive, camera.stream, camera.run.mock.callCount()], [false, null, 0]);
  }
});

test("a camera is closed once the pad is out of sight, and while its picture is still to start", async () => {
  const camera = openPad(MODEL);
  let play;
  camera.video = { play: () => new Promise((resolve) => { play = resolve; }) };
  const opening = camera.toggle();
  asked[0].allow();
  await new Promise(setImmediate);
  browser.resized.at(-1)();
  assert.deepEqual(live(), [true], "another size of the pad is none of its business");
  camera.paper.offsetParent = null;
  browser.resized.at(-1)();
  play();
  await opening;
  assert.deepEqual([live(), camera.run.mock.callCount()], [[false], 0]);
});

test("a refusal is told, but not one that nobody waits for", async () => {
  const camera = openPad(MODEL);
  const opening = [camera.toggle(), camera.toggle()];
  asked[0].refuse();
  await opening[0];
  assert.equal(pad.live.say.mock.callCount(), 0);
  asked[1].refuse();
  await opening[1];
  assert.match(pad.live.say.mock.calls[0].arguments[0], /did not open/);
  assert.equal(camera.run.mock.callCount(), 0);
});

test("of two photos the last one stays, however long the first one takes", async () => {
  openPad(PHOTOS);
  const opening = ["large", "small"].map((name) => openPhoto({ name }, pad));
  decoding.small();
  await opening[1];
  decoding.large();
  await opening[0];
  assert.deepEqual(pad.drawing.load.mock.calls.map((call) => call.arguments[0]), ["small"]);
});

test("a photo that cannot be read is told of, if it is the last", async () => {
  openPad(PHOTOS);
  const opening = ["first", "second"].map((name) => openPhoto({ name }, pad));
  decoding.first(new Error("no picture"));
  await opening[0];
  decoding.second(new Error("no picture"));
  await assert.rejects(opening[1], /no picture/);
});
