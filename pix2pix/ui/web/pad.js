/* The drawing pad, part 4 of 4: the tools, the pointer, the keyboard, and the start.

   Owns what a person touches and the configuration from Python, and starts everything. Uses the
   operations of pad_drawing.js and the actions on the picture of pad_live.js. */

const PENCILS = { lines: [0.008, 0.014, 0.03], labels: [0.02, 0.06, 0.14] };
const INK_WIDTHS = [0.05, 0.09, 0.15];
const INKS = {
  Red: "#be282d", Orange: "#e0761e", Yellow: "#ebc332", Green: "#328246", Blue: "#284ba0",
  Purple: "#7b3f9b", Pink: "#e58aac", Brown: "#6f4a30", Grey: "#8e8e90", Black: "#1e1e20",
};
const ERASER_FACTOR = 3;
const MAX_POINTS = 120; // a longer stroke continues as the next one, so a frame's work is bounded

const root = find(".pad");
const split = find(".split");

let tool = "pencil";
let size = 1;
let colour = null; // the brush of a label map
let tint = INKS.Red; // of the ink
let guideOn = true;
let pointer = null; // the one that draws the stroke

/* ---- Tools ---------------------------------------------------------------------------------- */

const toggle = (button, on) => button.setAttribute("aria-pressed", String(on));
const toggleAll = (selector, isOn) => (
  element.querySelectorAll(selector).forEach((button) => toggle(button, isOn(button.dataset)))
);

function choose(changes) {
  tool = changes.tool ?? tool;
  size = Math.min(2, Math.max(0, changes.size ?? size));
  colour = changes.colour ?? colour;
  tint = changes.tint ?? tint;
  if (tool === "fill" ? !isLabels() : tool === "ink" && !state.hints) tool = "pencil";
  const brush = tool === "ink" ? tint : isLabels() && colour;
  toggleAll("[data-tool]", (data) => data.tool === tool);
  toggleAll("[data-size]", (data) => Number(data.size) === size);
  toggleAll(".palette button", (data) => data.color === brush);
  if (state.hints) find(".palette input").value = tint;
}

function brushWidth(held = tool) {
  if (isLabels()) return PENCILS.labels[size];
  if (held === "ink") return INK_WIDTHS[size];
  return PENCILS.lines[size] * (held === "eraser" ? ERASER_FACTOR : 1);
}

/** Set what depends on the drawing: the buttons, the guide and the invitation. */
function refreshTools() {
  const since = seen();
  // A guide under a borrowed drawing would only be in its way.
  const borrowed = since.some((op) => op.kind === "raster" || op.borrowed);
  ghost.canvas.hidden = !guideOn || !state.examples.length || borrowed;
  find(".invite").hidden = Boolean(stroke || since.length);
  find("[data-do=undo]").disabled = !drawing().ops.length;
  find("[data-do=redo]").disabled = !drawing().undone.length;
  find("[data-do=clear]").disabled = !since.length;
}

const actions = {
  undo: () => travel("ops", "undone"),
  redo: () => travel("undone", "ops"),
  clear: () => { if (sinceClear().length || stroke) perform([{ kind: "clear" }]); },
  guide: () => {
    guideOn = !guideOn;
    toggle(find("[data-do=guide]"), guideOn);
    refreshTools();
  },
  dice: () => setSeed(Math.floor(Math.random() * 1000000)),
  unseed: () => setSeed(null),
  compare: (button) => {
    toggle(button, button.getAttribute("aria-pressed") !== "true");
    refreshResult();
  },
  variations: askVariations,
  download,
};

/* ---- Pointer -------------------------------------------------------------------------------- */

function place(event) {
  const box = paper.getBoundingClientRect();
  const fraction = (v, from, length) => (
    Math.round(Math.min(1.5, Math.max(-0.5, (v - from) / length)) * 10000) / 10000
  );
  const x = fraction(event.clientX, box.left + paper.clientLeft, paper.clientWidth);
  const y = fraction(event.clientY, box.top + paper.clientTop, paper.clientHeight);
  const hasPressure = event.pointerType === "pen" && event.pressure > 0;
  return hasPressure ? [x, y, Math.round((0.4 + 1.2 * event.pressure) * 100) / 100] : [x, y];
}

function onDown(event) {
  if (stroke || ![0, 5].includes(event.button)) return; // 5: a pen's eraser
  event.preventDefault();
  paper.focus({ preventScroll: true });
  if (tool === "fill") {
    perform([{ kind: "fill", at: place(event).slice(0, 2), color: colour }]);
    return;
  }
  pointer = event.pointerId;
  try { live.canvas.setPointerCapture(pointer); } catch { /* the pointer is already up */ }
  startStroke(event);
}

function startStroke(event) {
  let held = tool === "fill" ? "pencil" : tool;
  if (event.buttons & 32) held = "eraser"; // a pen turned round
  const color = held === "ink" ? tint : isLabels() ? colour : null;
  stroke = {
    kind: "stroke", tool: held, color, width: brushWidth(held), points: [place(event)],
    group: nextGroup(),
  };
  moved();
}

const draws = (event) => stroke && event.pointerId === pointer;

function onMove(event) {
  hover(event);
  if (!draws(event)) return;
  const finer = event.getCoalescedEvents?.() ?? [];
  (finer.length ? finer : [event]).forEach(extend);
  moved();
}

function onUp(event) {
  if (!draws(event)) return;
  if (event.type === "pointerup") extend(event);
  finishStroke();
}

function extend(event) {
  const point = place(event);
  const [x, y, pressure] = stroke.points.at(-1);
  if (pressure && !point[2]) point.push(pressure); // a pen that lifts reports no pressure
  if (Math.hypot(point[0] - x, point[1] - y) < 0.002) return;
  stroke.points.push(point);
  if (stroke.points.length < MAX_POINTS) return;
  const next = { ...stroke, points: [point] };
  commit(stroke);
  stroke = next; // the same group: one undo takes the whole line back
}

let frameAsked = false;

function moved() {
  changed();
  if (frameAsked) return;
  frameAsked = true;
  requestAnimationFrame(() => { frameAsked = false; frame(); });
}

/** The eraser and wide brushes show their outline, where the pointer can hover. */
function hover(event) {
  const brush = find(".brush");
  const across = brushWidth() * paper.clientWidth;
  const visible = event.type !== "pointerleave" && event.pointerType !== "touch"
    && tool !== "fill" && across > 12;
  const [x, y] = visible ? place(event) : [0, 0];
  brush.style.display = visible ? "block" : "none";
  brush.style.width = brush.style.height = `${across}px`;
  const at = (v) => `${v * paper.clientWidth - across / 2}px`;
  brush.style.transform = `translate(${at(x)}, ${at(y)})`;
}

/* ---- Keyboard ------------------------------------------------------------------------------- */

function shortcut({ key, ctrlKey, metaKey, shiftKey, altKey }) {
  const name = key.toLowerCase();
  if (altKey) return null;
  if (ctrlKey || metaKey) {
    if (name === "z") return shiftKey ? actions.redo : actions.undo;
    return name === "y" ? actions.redo : null;
  }
  return {
    p: () => choose({ tool: "pencil" }),
    b: () => choose({ tool: "pencil" }),
    i: () => choose({ tool: "ink" }),
    e: () => choose({ tool: "eraser" }),
    f: () => choose({ tool: "fill" }),
    g: actions.guide,
    "[": () => choose({ size: size - 1 }),
    "]": () => choose({ size: size + 1 }),
    delete: actions.clear,
    backspace: actions.clear,
  }[name] ?? null;
}

function onKey(event) {
  if (!element.isConnected) return listening.abort();
  const editable = "input:not([type=range], [type=color]), textarea, select, [contenteditable]";
  if (!element.offsetParent || event.defaultPrevented || event.target.closest?.(editable)) return;
  const action = shortcut(event);
  if (!action) return;
  event.preventDefault();
  action();
}

/* ---- Configuration from Python -------------------------------------------------------------- */

const isColour = (text) => /^#[0-9a-f]{6}$/i.test(text);

/** The component's value with every gap filled, so that nothing else need ask. */
function normalise(value) {
  const palette = (value?.palette ?? []).filter((entry) => isColour(entry.color))
    .map(({ name, color }) => ({ name: String(name), color: color.toLowerCase() }));
  return {
    model: "", source: "drawing", target: "picture", noise: true, raster: null, ...value,
    size: Math.min(1024, Math.max(16, Math.round(value?.size) || 256)),
    palette: palette.length ? palette : null,
    hints: Boolean(value?.hints) && !palette.length,
    background: isColour(value?.background) ? value.background.toLowerCase() : "#ffffff",
    examples: (value?.examples ?? []).map(({ name, strokes }) => ({
      name: String(name), strokes: strokes.map((op) => ({ kind: "stroke", tool: "pencil", ...op })),
    })),
  };
}

function configure(value) {
  finishStroke();
  const next = normalise(value);
  const face = (any) => JSON.stringify({ ...any, raster: null });
  const same = face(state) === face(next);
  state = next;
  if (!same) rebuild();
  if (state.raster) loadOnce(state.raster);
}

/** Fit the page to another model; the drawing stays. */
function rebuild() {
  forget();
  answer = null; // the picture stays to be seen, but it is not this model's to save
  refreshResult();
  result.dataset.state = "stale";
  root.dataset.kind = isLabels() ? "labels" : "lines";
  root.toggleAttribute("data-hints", state.hints);
  find("[data-tool=fill]").hidden = !isLabels();
  find("[data-tool=ink]").hidden = !state.hints;
  for (const name of [".seed", "[data-do=variations]"]) find(name).hidden = state.noise === false;
  hint(".invite", `Draw ${withArticle(state.source)} here`);
  picture.setAttribute("aria-label", `The ${state.target} made from the drawing`);
  find(".palette").replaceChildren(
    ...(state.palette ?? []).map(paletteButton), ...(state.hints ? inkChoices() : []),
  );
  find(".examples").replaceChildren(...state.examples.map(exampleButton));
  strip.replaceChildren();
  if (isLabels() && !allowed().includes(colour)) colour = firstBrush();
  choose({});
  for (const target of [backing, under, sheet, outbox]) resize(target, state.size);
  fit();
  changed();
}

function withArticle(noun) {
  if (/s$/i.test(noun)) return noun;
  return `${/^[aeiou]/i.test(noun) ? "an" : "a"} ${noun}`;
}

function paletteButton({ name, color }) {
  const swatch = make("span", { className: "swatch", style: `background: ${color}` });
  const onclick = () => choose({ colour: color, tool: tool === "eraser" ? "pencil" : tool });
  const button = make("button", { type: "button", onclick }, swatch, name);
  button.dataset.color = color;
  return button;
}

/** A few inks, and any other. */
function inkChoices() {
  const choices = Object.entries(INKS).map(([name, hex]) => {
    const swatch = make("span", { className: "swatch", style: `background: ${hex}` });
    const onclick = () => choose({ tool: "ink", tint: hex });
    const button = make("button", { type: "button", title: `${name} ink`, onclick }, swatch);
    button.setAttribute("aria-label", `${name} ink`);
    button.dataset.color = hex;
    return button;
  });
  const any = make("input", { type: "color", title: "Any colour", value: tint });
  any.setAttribute("aria-label", "Ink of any colour");
  any.addEventListener("input", () => choose({ tool: "ink", tint: any.value }));
  return [...choices, any];
}

function exampleButton(example) {
  const thumb = surface(make("canvas"));
  resize(thumb, 144);
  paintExample(thumb, example);
  const onclick = () => (
    perform([{ kind: "clear" }, ...example.strokes.map((op) => ({ ...op, borrowed: true }))])
  );
  const properties = { type: "button", title: "Put this drawing on the pad", onclick };
  return make("button", properties, thumb.canvas, make("span", {}, example.name));
}

/* ---- Start ---------------------------------------------------------------------------------- */

const listening = new AbortController();

function onClick(event) {
  const button = event.target.closest("button");
  const { do: action, tool: chosen, size: width } = button?.dataset ?? {};
  if (action) actions[action](button);
  if (chosen) choose({ tool: chosen });
  if (width) choose({ size: Number(width) });
}

function listen() {
  const canvas = live.canvas;
  canvas.addEventListener("pointerdown", onDown);
  canvas.addEventListener("pointermove", onMove);
  canvas.addEventListener("pointerleave", hover);
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, onUp);
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  document.addEventListener("keydown", onKey, { signal: listening.signal });
  new ResizeObserver(fit).observe(paper);
  root.addEventListener("click", onClick);
  split.addEventListener("input", () => result.style.setProperty("--split", split.value / 1000));
  seedBox.addEventListener("change", () => setSeed(parseInt(seedBox.value, 10)));
  watch("value", () => configure(props.value));
}

/** For tests and measurements. */
element.pad = {
  get model() { return state.model; },
  get ops() { return drawing().ops; },
  get sentCount() { return link.sequence; },
  get shownCount() { return link.shownCount; },
  get lastShownAt() { return link.shownAt; },
  idle: () => (
    !stroke && !link.busy && !link.showing && !dirty && !loading && !wantsVariations
  ),
  png,
};

async function start() {
  state = normalise(props.value);
  await restore();
  state = null;
  toggle(find("[data-do=guide]"), guideOn);
  toggle(find("[data-do=compare]"), false);
  markSeed();
  listen();
  configure(props.value);
}

start();
