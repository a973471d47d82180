/* Pictures from elsewhere on the pad: a photo that a person opens, and the live camera. */

import { make } from "./dom.js";
import { photoHints } from "./hints.js";

const LONGEST = 1024; // pixels at which a photo's lines are found
const CAMERA_SIDE = 480; // of what a model of photos sees

const contextOf = (canvas) => canvas.getContext("2d", { willReadFrequently: true });

/** Draw an image or video on a new canvas that it fills, its sides cut off where they must. */
function onCanvas(image, width, height, [fullWidth, fullHeight], mirrored = false) {
  const canvas = make("canvas", { width, height });
  const ctx = contextOf(canvas);
  const scale = Math.max(width / fullWidth, height / fullHeight);
  const [w, h] = [fullWidth * scale, fullHeight * scale];
  if (mirrored) ctx.setTransform(-1, 0, 0, 1, width, 0);
  ctx.fillStyle = "#ffffff"; // under what is transparent
  ctx.fillRect(0, 0, width, height);
  ctx.imageSmoothingQuality = "high";
  ctx.drawImage(image, (width - w) / 2, (height - h) / 2, w, h);
  return canvas;
}

/** Whether a canvas holds a photo and no drawing; see imaging/line_art.py. */
function looksLikePhoto(canvas) {
  const { data } = contextOf(onCanvas(canvas, 64, 64, [canvas.width, canvas.height]))
    .getImageData(0, 0, 64, 64);
  let [paper, colour] = [0, 0];
  for (let at = 0; at < data.length; at += 4) {
    const rgb = [data[at], data[at + 1], data[at + 2]];
    const [darkest, brightest] = [Math.min(...rgb) / 255, Math.max(...rgb) / 255];
    paper += darkest > 0.8 * brightest && brightest > 0.8;
    colour += brightest - darkest;
  }
  const count = data.length / 4;
  return paper / count < 1 / 3 || colour / count > 0.15;
}

/** Strokes of a photo's colours where it lies on the square pad, its sides kept in proportion. */
function hintsOf(canvas) {
  const { width, height } = canvas;
  const small = make("canvas", { width: 64, height: 64 });
  contextOf(small).drawImage(canvas, 0, 0, 64, 64);
  const longer = Math.max(width, height);
  const [w, h] = [width / longer, height / longer];
  return photoHints(contextOf(small).getImageData(0, 0, 64, 64).data).map((stroke) => ({
    ...stroke,
    width: stroke.width * Math.min(w, h),
    points: stroke.points.map(([x, y]) => [(1 - w) / 2 + x * w, (1 - h) / 2 + y * h]),
  }));
}

/** A file as a data URL. */
function asUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = Object.assign(new FileReader(), { onerror: reject });
    reader.onload = () => resolve(reader.result);
    reader.readAsDataURL(file);
  });
}

/** Make of a picture file what comes on the pad: a data URL, and maybe strokes over it. */
async function asDrawing(file, { engines, config }) {
  const image = await createImageBitmap(file);
  if (config.photoSide) return [await asUrl(file)]; // the browser turns it upright
  const scale = Math.min(1, LONGEST / Math.max(image.width, image.height));
  const size = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = onCanvas(image, ...size, [image.width, image.height]);
  let hints = [];
  if (config.kind === "drawing" && looksLikePhoto(canvas)) {
    const ctx = contextOf(canvas);
    if (config.hints) hints = hintsOf(canvas);
    ctx.putImageData(await engines.worker.lines(ctx.getImageData(0, 0, ...size)), 0, 0);
  }
  return [canvas.toDataURL("image/png"), hints];
}

/** Put a picture file on the pad: as it is, or as lines where the model expects a drawing. The
    camera closes, and of several files the last is shown. */
export async function openPhoto(file, pad) {
  pad.camera.stop();
  const isMine = pad.camera.takeTurn();
  try {
    const picture = await asDrawing(file, pad);
    if (isMine()) await pad.drawing.load(...picture);
  } catch (error) {
    if (isMine()) throw error;
  }
}

function close(stream) {
  for (const track of stream.getTracks()) track.stop();
}

/** The live camera: what it sees is the drawing, as fast as the device translates. A frame that
    comes while one is translated is dropped. */
export class Camera {
  constructor(element, { drawing, live, engines }) {
    Object.assign(this, { drawing, live, engines });
    this.button = element.querySelector("[data-do=camera]");
    this.canvas = element.querySelector(".camera");
    this.video = make("video", { muted: true, playsInline: true });
    this.paper = element.querySelector(".paper");
    this.stream = null;
    this.hasSeen = false; // a frame of this stream
    this.frames = 0; // translated
    this.turn = 0; // see takeTurn
    // Another mode or tab of the page hides the pad.
    new ResizeObserver(() => { if (this.stream && !this.isInSight) this.stop(); }).observe(this.paper);
  }

  /** Whether there is a camera to offer for a model. */
  configure(config) {
    this.stop();
    this.button.hidden = !(config.engine && config.kind !== "labels" && navigator.mediaDevices);
  }

  get isInSight() { return Boolean(this.paper.offsetParent); }

  /** Of the camera and the photos that are opened the last counts. Returns what says whether this
      is still it: to be asked after each wait. */
  takeTurn() {
    const turn = ++this.turn;
    return () => this.turn === turn;
  }

  async toggle() {
    if (this.stream) return this.stop();
    const isMine = this.takeTurn();
    try {
      const video = { facingMode: "user", width: { ideal: 640 }, height: { ideal: 480 } };
      const stream = await navigator.mediaDevices.getUserMedia({ video });
      if (!isMine() || !this.isInSight) return close(stream);
      this.stream = this.video.srcObject = stream;
      this.show(true);
      await this.video.play();
    } catch {
      if (!isMine()) return;
      this.stop();
      this.live.say("The camera did not open: allow this page to use it.");
      return;
    }
    if (!isMine()) return; // whoever took the turn has closed it
    this.engines.useDevice();
    this.run();
  }

  show(isOn) {
    this.button.setAttribute("aria-pressed", String(isOn));
    this.canvas.hidden = !isOn;
    this.live.paused = isOn;
  }

  async run() {
    const { stream, video, canvas } = this;
    const { config } = this.drawing;
    const side = config.photoSide ? Math.max(config.size, CAMERA_SIDE) : config.size;
    canvas.width = canvas.height = side;
    while (this.stream === stream) {
      await new Promise(requestAnimationFrame);
      if (!video.videoWidth) continue;
      const seen = [video.videoWidth, video.videoHeight];
      const frame = onCanvas(video, side, side, seen, true);
      let pixels = contextOf(frame).getImageData(0, 0, side, side);
      try {
        if (config.kind === "drawing") pixels = await this.engines.worker.lines(pixels);
        if (this.stream !== stream) return;
        canvas.getContext("2d").putImageData(pixels, 0, 0);
        this.hasSeen = true;
        if (this.engines.state !== "ready") continue;
        const { pixels: made } = await this.engines.onDevice(pixels);
        if (this.stream === stream) this.live.showFrame(made);
        this.frames += 1;
      } catch (error) {
        if (this.stream === stream) this.stop();
        this.engines.fail(error);
        this.live.say("The camera is off: the model could not run on this device.");
      }
    }
  }

  /** Close the camera, also one that is about to open; what it saw last stays on the pad, unless
      it is not to be kept. */
  stop({ keep = true } = {}) {
    this.turn += 1;
    if (!this.stream) return;
    close(this.stream);
    this.stream = null;
    this.show(false);
    if (this.hasSeen && keep) this.drawing.load(this.canvas.toDataURL("image/png"));
    this.hasSeen = false;
  }
}
