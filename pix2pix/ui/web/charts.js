/* Curves as small SVG charts. */

import { make } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 400;
const HIGH = 96;

function draw(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// Those with `from0` start at 0, for there 0 means something; the others use their whole height.
const CHARTS = [
  { part: "curves", title: "Adversarial losses", from0: true, lines: [
    ["d_real", "D, real"], ["d_fake", "D, generated"], ["g_adversarial", "G"]] },
  { part: "curves", title: "L1 of the generator", lines: [["g_l1", "L1"]] },
  { part: "validation", title: "L1, train and validation", lines: [
    ["train_l1", "Train"], ["l1", "Validation"]] },
  { part: "validation", title: "Perceptual distance", lines: [["perceptual", "Validation"]] },
  { part: "validation", title: "PSNR, in dB", lines: [["psnr", "Validation"]] },
  { part: "validation", title: "SSIM", lines: [["ssim", "Validation"]] },
];

const late = new WeakMap(); // place -> what came while somebody read a value there

/** Replace the charts; `parts` holds {curves: columns, validation: columns}. */
export function drawCharts(place, parts) {
  if (place.querySelector(".cursor:not(.away)")) {
    late.set(place, parts);
    return;
  }
  late.delete(place);
  const shown = CHARTS.map((chart) => [chart, parts[chart.part]])
    .filter(([chart, columns]) => columns?.step?.length > 1 && (
      chart.lines.some(([name]) => columns[name]?.some((value) => value !== null))));
  const onLeave = () => late.has(place) && drawCharts(place, late.get(place));
  place.replaceChildren(...shown.map(([chart, columns]) => figure(chart, columns, onLeave)));
  place.hidden = shown.length === 0;
}

function figure({ title, lines, from0 }, columns, onLeave) {
  const steps = columns.step;
  const known = lines.filter(([name]) => columns[name]?.some((value) => value !== null));
  const { ticks, digits } = scale(known.flatMap(([name]) => columns[name]), from0);
  const [low, top] = [ticks[0], ticks[ticks.length - 1]];
  const [first, last] = [steps[0], steps[steps.length - 1]];
  const x = (step) => ((step - first) / Math.max(1, last - first)) * WIDE;
  const y = (value) => HIGH * (1 - (Math.min(value, top) - low) / (top - low));
  const drawing = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none",
    role: "img", "aria-label": title });
  for (const tick of ticks) {
    drawing.append(draw("line", { class: "rule", x1: 0, x2: WIDE, y1: y(tick), y2: y(tick) }));
  }
  const smooth = Object.fromEntries(known.map(([name]) => [name, smoothed(columns[name])]));
  for (const [name] of known) {
    drawing.append(draw("path", { class: `raw ${name}`, d: path(steps, columns[name], x, y) }));
  }
  for (const [name] of known) {
    drawing.append(draw("path", { class: `line ${name}`, d: path(steps, smooth[name], x, y) }));
  }
  const cursor = draw("line", { class: "cursor away", y1: 0, y2: HIGH });
  drawing.append(cursor);
  const values = known.map(([name, label]) => [name, label, make("b")]);
  const exact = Math.min(digits + 2, Math.max(3, digits + 1)); // digits of a value that is read
  const at = make("span", { className: "at" });
  const read = (index) => {
    for (const [name, , shown] of values) {
      shown.textContent = smooth[name][index]?.toFixed(exact) ?? "";
    }
    at.textContent = `step ${steps[index].toLocaleString("en")}`;
  };
  const end = () => { read(steps.length - 1); cursor.classList.add("away"); };
  const labels = ticks.map((tick) => make("span", {}, tick.toFixed(digits))).reverse();
  const plot = make("div", { className: "plot" }, make("div", { className: "scale" }, ...labels),
    drawing);
  plot.addEventListener("pointermove", (event) => {
    const box = drawing.getBoundingClientRect();
    const step = first + ((event.clientX - box.left) / box.width) * (last - first);
    const index = nearest(steps, step);
    read(index);
    cursor.classList.remove("away");
    for (const side of ["x1", "x2"]) cursor.setAttribute(side, x(steps[index]));
  });
  plot.addEventListener("pointerleave", () => { end(); onLeave(); });
  const legend = make("figcaption", {}, ...values.map(([name, label, shown]) => (
    make("span", { className: "key" }, make("i", { className: name }), label, shown))));
  end();
  return make("figure", {}, make("h4", {}, title, at), plot, legend);
}

/** A moving average over a 25th of the curve; a short curve stays as it is. */
export function smoothed(values) {
  const reach = Math.floor(values.length / 50);
  if (!reach) return values;
  return values.map((value, index) => {
    const near = values.slice(Math.max(0, index - reach), index + reach + 1)
      .filter((one) => one !== null && one !== undefined);
    if (value === null || !near.length) return null;
    return near.reduce((sum, one) => sum + one, 0) / near.length;
  });
}

export function path(steps, values, x, y) {
  let line = "";
  let pen = "M";
  steps.forEach((step, index) => {
    const value = values[index];
    if (value === null || value === undefined) { pen = "M"; return; }
    line += `${pen}${x(step).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = "L";
  });
  return line;
}

/** The scale's `ticks`, evenly spaced round numbers from below the lowest value to above the highest,
    and the `digits` that tell them apart; a few outliers of the first steps are cut off. */
export function scale(values, from0) {
  const sorted = values.filter((value) => value !== null && value !== undefined)
    .sort((one, other) => one - other);
  const high = sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * 0.99))];
  const low = from0 ? 0 : sorted[0];
  const wanted = (high - low || Math.abs(high) || 1) / 3;
  const exponent = Math.floor(Math.log10(wanted));
  const times = [1, 2, 5, 10].find((each) => each * 10 ** exponent >= wanted) ?? 10;
  const digits = Math.max(0, -exponent - (times === 10 ? 1 : 0));
  const step = times * 10 ** exponent;
  const first = Math.floor(low / step);
  const count = Math.max(1, Math.ceil(high / step) - first);
  return { ticks: Array.from({ length: count + 1 }, (_, n) => (first + n) * step), digits };
}

export function nearest(steps, step) {
  let index = steps.findIndex((one) => one >= step);
  if (index < 0) index = steps.length - 1;
  return index > 0 && step - steps[index - 1] < steps[index] - step ? index - 1 : index;
}

/** A number in a few digits. */
export function short(value, digits = 3) {
  if (value === null || value === undefined) return "";
  if (value === 0) return "0";
  return value >= 100 ? value.toFixed(0) : value.toPrecision(digits);
}
