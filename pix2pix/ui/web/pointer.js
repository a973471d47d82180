/* The pointer on the paper: mouse, pen or finger become strokes. */

import { isLabels } from "./paint.js";

const MAX_POINTS = 120; // a longer stroke continues as the next one, so a frame's work is bounded

export class Pointer {
  constructor(pad) {
    this.pad = pad;
    this.paper = pad.paper;
    this.pointer = null; // the one that draws the stroke
    this.frameAsked = false;
  }

  listen() {
    const { canvas } = this.pad.drawing.live;
    canvas.addEventListener("pointerdown", (event) => this.onDown(event));
    canvas.addEventListener("pointermove", (event) => this.onMove(event));
    canvas.addEventListener("pointerleave", (event) => this.hover(event));
    for (const name of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(name, (event) => this.onUp(event));
    }
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  place(event) {
    const { paper } = this;
    const box = paper.getBoundingClientRect();
    const fraction = (v, from, length) => (
      Math.round(Math.min(1.5, Math.max(-0.5, (v - from) / length)) * 10000) / 10000
    );
    const x = fraction(event.clientX, box.left + paper.clientLeft, paper.clientWidth);
    const y = fraction(event.clientY, box.top + paper.clientTop, paper.clientHeight);
    const hasPressure = event.pointerType === "pen" && event.pressure > 0;
    return hasPressure ? [x, y, Math.round((0.4 + 1.2 * event.pressure) * 100) / 100] : [x, y];
  }

  onDown(event) {
    const { drawing, engines, tool, colour } = this.pad;
    if (drawing.stroke || ![0, 5].includes(event.button)) return; // 5: a pen's eraser
    event.preventDefault();
    this.paper.focus({ preventScroll: true });
    engines.begin();
    if (tool === "fill") {
      drawing.perform([{ kind: "fill", at: this.place(event).slice(0, 2), color: colour }]);
      return;
    }
    this.pointer = event.pointerId;
    try {
      drawing.live.canvas.setPointerCapture(this.pointer);
    } catch { /* the pointer is already up */ }
    this.startStroke(event);
  }

  startStroke(event) {
    const { drawing, config, tool } = this.pad;
    let held = tool === "fill" ? "pencil" : tool;
    if (event.buttons & 32) held = "eraser"; // a pen turned round
    const color = held === "ink" ? this.pad.tint : isLabels(config) ? this.pad.colour : null;
    drawing.stroke = {
      kind: "stroke", tool: held, color, width: this.pad.brushWidth(held),
      points: [this.place(event)], group: drawing.nextGroup(),
    };
    this.moved();
  }

  isDrawing(event) { return this.pad.drawing.stroke && event.pointerId === this.pointer; }

  onMove(event) {
    this.hover(event);
    if (!this.isDrawing(event)) return;
    const finer = event.getCoalescedEvents?.() ?? [];
    for (const each of finer.length ? finer : [event]) this.extend(each);
    this.moved();
  }

  onUp(event) {
    if (!this.isDrawing(event)) return;
    if (event.type === "pointerup") this.extend(event);
    this.pad.drawing.finishStroke();
  }

  extend(event) {
    const { drawing } = this.pad;
    const point = this.place(event);
    const [x, y, pressure] = drawing.stroke.points.at(-1);
    if (pressure && !point[2]) point.push(pressure); // a pen that lifts reports no pressure
    if (Math.hypot(point[0] - x, point[1] - y) < 0.002) return;
    drawing.stroke.points.push(point);
    if (drawing.stroke.points.length < MAX_POINTS) return;
    const next = { ...drawing.stroke, points: [point] };
    drawing.commit(drawing.stroke);
    drawing.stroke = next; // the same group: one undo takes the whole line back
  }

  moved() {
    this.pad.live.changed();
    if (this.frameAsked) return;
    this.frameAsked = true;
    requestAnimationFrame(() => {
      this.frameAsked = false;
      this.pad.drawing.frame();
    });
  }

  /** The eraser and wide brushes show their outline, where the pointer can hover. */
  hover(event) {
    const { paper } = this;
    const brush = this.pad.find(".brush");
    const across = this.pad.brushWidth() * paper.clientWidth;
    const visible = event.type !== "pointerleave" && event.pointerType !== "touch"
      && this.pad.tool !== "fill" && across > 12;
    const [x, y] = visible ? this.place(event) : [0, 0];
    brush.style.display = visible ? "block" : "none";
    brush.style.width = brush.style.height = `${across}px`;
    const at = (v) => `${v * paper.clientWidth - across / 2}px`;
    brush.style.transform = `translate(${at(x)}, ${at(y)})`;
  }
}
