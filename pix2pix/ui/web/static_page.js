/* A page of static files: the pad, its models as cards, and no server. */

import { make } from "./dom.js";
import { Pad } from "./pad.js";

// Where a browser was told to load modules from files.
document.querySelector(".from-disk").remove();
const models = JSON.parse(document.getElementById("models").textContent);
const element = document.getElementById("studio");
const nav = document.querySelector("nav");

function card({ card: [title, direction], state }) {
  const picture = state.preview ? make("img", { src: state.preview, alt: "" }) : make("span", { className: "blank" });
  const words = make("span", { className: "words" }, make("b", {}, title), " ",
    make("small", {}, direction));
  const onclick = () => choose(state.model);
  const properties = { type: "button", className: "card", onclick, data: { name: state.model } };
  return make("button", properties, picture, words);
}

/** A model's state for the pad; its example drawings are a file of their own. */
async function stateOf({ state, examples }) {
  state.examples ??= await fetch(examples).then((reply) => reply.json()).catch(() => []);
  return state;
}

async function choose(name) {
  for (const each of nav.children) {
    each.setAttribute("aria-pressed", String(each.dataset.name === name));
  }
  const state = await stateOf(models.find((one) => one.state.model === name));
  // Another may have been chosen meanwhile.
  if (nav.querySelector("[aria-pressed=true]")?.dataset.name === name) pad.configure(state);
}

function embedLine() {
  const address = new URL("?embedded", location.href).href;
  return `<iframe src="${address}" width="760" height="640" allow="camera" style="border:0"></iframe>`;
}

const wanted = new URLSearchParams(location.search);
document.body.classList.toggle("embedded", wanted.has("embedded"));
document.querySelector(".embed").textContent = embedLine();
const first = models.find(({ state }) => state.model === wanted.get("model")) ?? models[0];
const pad = new Pad(element, { server: null, root: document.baseURI });
element.pad = await pad.start(await stateOf(first));
if (models.length > 1) nav.append(...models.map(card));
nav.querySelector(`[data-name="${CSS.escape(first.state.model)}"]`)?.setAttribute("aria-pressed", "true");
