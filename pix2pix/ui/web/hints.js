/* Hints of a photo's colours: a few strokes of ink that lie under its lines. The rules are those of
   pix2pix/imaging/hints.py, which says why; where the strokes lie is chance, the same each time. */

const LOOK = 64; // pixels on a side at which colours are looked up
const MOST = 6; // strokes
const TRIED = 3; // places for the first stroke: a person begins with the main colour
const [THIN, WIDE, AREA] = [10 / 256, 32 / 256, 76 / 256]; // widths
const BROAD = 0.15; // share of the strokes that are wider than WIDE
const [FLAT, APART, ALIKE, WITHIN, LEAST] = [0.06, 0.1, 0.22, 0.75, 12];

/** Numbers from 0 to 1, the same each time (mulberry32). */
function chanceFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const apart = (a, b) => Math.max(...a.map((v, c) => Math.abs(v - b[c])));

/** Which of LOOK x LOOK colours differ from their backdrop; all, where the border has no one colour. */
function foreground(colours) {
  const border = colours.filter((_, at) => {
    const [x, y] = [at % LOOK, Math.floor(at / LOOK)];
    return x === 0 || y === 0 || x === LOOK - 1 || y === LOOK - 1;
  });
  const backdrop = [0, 1, 2].map((c) => (
    border.map((rgb) => rgb[c]).sort((a, b) => a - b)[border.length >> 1]
  ));
  const plain = border.filter((rgb) => apart(rgb, backdrop) < FLAT).length / border.length;
  return colours.map((rgb) => plain < 0.6 || apart(rgb, backdrop) > APART);
}

/** Which places a path of so wide a brush covers. */
function covered(path, width) {
  const reach = Math.max(0.5, (width * LOOK) / 2);
  return Array.from({ length: LOOK * LOOK }, (_, at) => {
    const [x, y] = [(at % LOOK) + 0.5, Math.floor(at / LOOK) + 0.5];
    return path.some(([px, py]) => Math.hypot(px * LOOK - x, py * LOOK - y) <= reach);
  });
}

/** Points close together along straight lines, as far as they lie on the thing. */
function inside(stops, thing) {
  const path = [stops[0]];
  for (let n = 1; n < stops.length; n++) {
    for (let t = 0.1; t < 1.05; t += 0.1) {
      const point = [0, 1].map((c) => stops[n - 1][c] + (stops[n][c] - stops[n - 1][c]) * t);
      const [x, y] = point.map((v) => Math.min(LOOK - 1, Math.floor(v * LOOK)));
      if (!thing[y * LOOK + x]) return path;
      path.push(point);
    }
  }
  return path;
}

function hint(colours, thing, places, chance, tries) {
  const pick = (list) => list[Math.floor(list.length * chance())];
  const likeness = (start) => places.filter((at) => apart(colours[at], colours[start]) < ALIKE);
  const starts = Array.from({ length: tries }, () => pick(places));
  const alike = starts.map(likeness);
  const best = alike.reduce((most, list, n) => (list.length > alike[most].length ? n : most), 0);
  let width = THIN * (WIDE / THIN) ** chance();
  if (chance() < BROAD) width = WIDE + (AREA - WIDE) * chance();
  const centre = (at) => [((at % LOOK) + 0.5) / LOOK, (Math.floor(at / LOOK) + 0.5) / LOOK];
  const start = centre(starts[best]);
  const reach = 0.08 + 0.4 * chance();
  const near = alike[best].filter((at) => {
    const [x, y] = centre(at);
    return Math.hypot(x - start[0], y - start[1]) < reach;
  });
  const more = Array.from({ length: Math.floor(4 * chance()) }, () => centre(pick(near)));
  const path = inside([start, ...more], thing);
  const lies = (mask) => mask.filter((is, at) => is && thing[at]).length;
  for (let mask = covered(path, width); width > THIN; mask = covered(path, width)) {
    if (lies(mask) >= WITHIN * mask.filter(Boolean).length) break;
    width = Math.max(THIN, width / 1.5); // what is painted beside a thin heel tells nothing
  }
  const mean = [0, 1, 2].map((c) => (
    alike[best].reduce((sum, at) => sum + colours[at][c], 0) / alike[best].length
  ));
  const color = `#${mean.map((v) => Math.round(255 * v).toString(16).padStart(2, "0")).join("")}`;
  return { kind: "stroke", tool: "ink", color, width, points: path };
}

/** Strokes of ink in fractions of the photo's sides, from LOOK x LOOK pixels of RGBA bytes. */
export function photoHints(rgba, seed = 1) {
  const colours = Array.from({ length: LOOK * LOOK }, (_, at) => (
    [0, 1, 2].map((c) => rgba[4 * at + c] / 255)
  ));
  const thing = foreground(colours);
  const places = [...thing.keys()].filter((at) => thing[at]);
  if (places.length < LEAST) return [];
  const chance = chanceFrom(seed);
  return Array.from({ length: MOST }, (_, n) => (
    hint(colours, thing, places, chance, n ? 1 : TRIED)
  ));
}
