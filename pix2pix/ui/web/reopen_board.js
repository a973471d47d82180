/* A reload finds the person at the board where photos are traced, if that is where they were. */

import { stored } from "./dom.js";

const KIND = "pix2pix-pictures"; // where pictures come from, for as long as the browser is open

export const rememberBoard = () => stored(KIND, "draw", "sessionStorage");

/** Choose the board again until it is seen, at `place`. A page that is being made may lose the choice. */
export function reopenBoard(place) {
  document.addEventListener("change", ({ target }) => {
    if (target.closest?.("#kind")) stored(KIND, target.value, "sessionStorage");
  });
  const choose = () => {
    if (stored(KIND, undefined, "sessionStorage") !== "draw" || place.offsetParent) return;
    const kinds = document.querySelector("#kind");
    const choice = kinds?.offsetParent && kinds.querySelector("[value=draw]");
    if (choice) Object.assign(choice, { checked: false }).click();
    setTimeout(choose, 2000);
  };
  choose();
}
