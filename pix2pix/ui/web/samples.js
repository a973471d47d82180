/* The same pairs at every moment of the run, and a slider through time. */

const pictures = new Map(); // "run/step" -> {image, count}, a few of them
let moments = [];
let chosenStep = null; // null follows the newest
let shownKey = "";
let enlarged = -1;
let fetching = false;

const sampled = () => moments.filter((moment) => moment.sample);

function showMoments(found) {
  moments = found;
  const steps = sampled();
  find(".samples").hidden = steps.length === 0;
  const slider = find(".time input");
  slider.max = Math.max(0, steps.length - 1);
  slider.disabled = steps.length < 2;
  const index = steps.findIndex((moment) => moment.step === chosenStep);
  if (index < 0) chosenStep = null;
  slider.value = index < 0 ? steps.length - 1 : index;
  showSample();
}

function slide() {
  const steps = sampled();
  const index = Number(find(".time input").value);
  chosenStep = index === steps.length - 1 ? null : steps[index].step;
  showSample();
}

/** Go to a moment from the table: the picture of its step, or the last before it. */
function goTo(step) {
  const before = sampled().filter((moment) => moment.step <= step);
  if (!before.length) return;
  const steps = sampled();
  const { step: found } = before[before.length - 1];
  chosenStep = found === steps[steps.length - 1].step ? null : found;
  showMoments(moments);
}

function wantedMoment() {
  const steps = sampled();
  return steps.find(({ step }) => step === chosenStep) ?? steps[steps.length - 1];
}

const keyOf = (moment) => `${shown}/${moment?.step}`;

/** Show the wanted moment: one picture is asked for at a time, and after it the one wanted then. */
async function showSample() {
  const moment = wantedMoment();
  if (!moment) { shownKey = ""; return; }
  find(".newest").setAttribute("aria-pressed", String(chosenStep === null));
  const key = keyOf(moment);
  if (key === shownKey || pictures.has(key)) { showPicture(moment, key); return; }
  if (fetching) return;
  fetching = true;
  const answer = await fetchPicture(moment.step);
  fetching = false;
  if (answer) {
    pictures.set(key, answer);
    if (pictures.size > 40) pictures.delete(pictures.keys().next().value);
    if (keyOf(moment) === key) showPicture(moment, key); // else another run is shown by now
  }
  if (keyOf(wantedMoment()) !== key) showSample();
}

async function fetchPicture(step) {
  const answer = await ask("sample", { run: shown, step });
  if (!answer.image) return null;
  const picture = new Image();
  picture.src = answer.image;
  await picture.decode().catch(() => {});
  return answer;
}

/** The picture and the words on it, together. */
function showPicture(moment, key) {
  find(".which").textContent = `step ${moment.step.toLocaleString("en")}${measured(moment)}`;
  if (key === shownKey) return;
  shownKey = key;
  markKept(moment.step);
  paintCells(pictures.get(key), moment.step);
}

function measured({ l1, psnr, ssim, perceptual }) {
  const said = [];
  if (l1 !== undefined) said.push(`L1 ${short(l1)}`);
  if (psnr !== undefined) said.push(`PSNR ${short(psnr)}`);
  if (ssim !== undefined) said.push(`SSIM ${short(ssim)}`);
  if (perceptual !== undefined) said.push(`perceptual ${short(perceptual)}`);
  return said.length ? `, ${said.join(", ")}` : "";
}

function paintCells({ image, count }, step) {
  const place = find(".cells");
  if (place.children.length !== count) {
    place.replaceChildren(...Array.from({ length: count }, (_, column) => {
      const cell = (row) => make("span", { data: { row } });
      return make("button", { type: "button", className: "pair", title: "Enlarge this pair",
        ariaLabel: `Pair ${column + 1}`, data: { column } }, cell(0), cell(1), cell(2));
    }));
  }
  place.dataset.step = step;
  place.style.setProperty("--count", count);
  for (const pair of place.children) {
    const column = Number(pair.dataset.column);
    for (const cell of pair.children) {
      cell.style.backgroundImage = `url("${image}")`;
      cell.style.backgroundSize = `${count * 100}% 300%`;
      const across = count > 1 ? (column / (count - 1)) * 100 : 0;
      cell.style.backgroundPosition = `${across}% ${Number(cell.dataset.row) * 50}%`;
    }
  }
  enlarge(enlarged < count ? enlarged : -1);
}

/** One pair large, the others out of the way; -1 shows all. */
function enlarge(column) {
  enlarged = column;
  find(".sheet").classList.toggle("large", column >= 0);
  for (const pair of find(".cells").children) {
    pair.hidden = column >= 0 && Number(pair.dataset.column) !== column;
    pair.title = column >= 0 ? "Show all pairs" : "Enlarge this pair";
  }
}
