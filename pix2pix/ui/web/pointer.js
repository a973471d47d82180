/* The pointer on the paper: mouse, pen or finger become strokes. */

import { isLabels } from "./paint.js";

const MAX_POINTS = 120; // a longer stroke continues as the next one, so a frame's work is bounded

export class Pointer {
  /** `on` has the handlers begin(), somebody wants to draw, and moved(), a stroke goes on. */
  constructor(tools, on) {
    Object.assign(this, { tools, on, drawing: tools.drawing, paper: tools.paper });
    this.pointer = null; // the one that draws the stroke
    this.frameAsked = false;
  }

  listen() {
    const { canvas } = this.drawing.live;
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
    const { drawing, tools: { tool, colour } } = this;
    if (drawing.stroke || drawing.isClosed) return;
    if (![0, 5].includes(event.button)) return; // 5: a pen's eraser
    event.preventDefault();
    this.paper.focus({ preventScroll: true });
    this.on.begin();
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
    const { drawing, tools: { config, tool } } = this;
    let held = tool === "fill" ? "pencil" : tool;
    if (event.buttons & 32) held = "eraser"; // a pen turned round
    const color = held === "ink" ? this.tools.ink : isLabels(config) ? this.tools.colour : null;
    drawing.stroke = {
      kind: "stroke", tool: held, color, width: this.tools.brushWidth(held),
      points: [this.place(event)], group: drawing.nextGroup(),
    };
    this.moved();
  }

  isDrawing(event) { return this.drawing.stroke && event.pointerId === this.pointer; }

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
    this.drawing.finishStroke();
  }

  extend(event) {
    const { drawing } = this;
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
    this.on.moved();
    if (this.frameAsked) return;
    this.frameAsked = true;
    requestAnimationFrame(() => {
      this.frameAsked = false;
      this.drawing.frame();
    });
  }

  /** The eraser and wide brushes show their outline, where the pointer can hover. */
  hover(event) {
    const { paper, tools } = this;
    const brush = tools.find(".brush");
    const across = tools.brushWidth() * paper.clientWidth;
    const visible = event.type !== "pointerleave" && event.pointerType !== "touch"
      && tools.tool !== "fill" && across > 12;
    const [x, y] = visible ? this.place(event) : [0, 0];
    brush.style.display = visible ? "block" : "none";
    brush.style.width = brush.style.height = `${across}px`;
    const at = (v) => `${v * paper.clientWidth - across / 2}px`;
    brush.style.transform = `translate(${at(x)}, ${at(y)})`;
  }
}
