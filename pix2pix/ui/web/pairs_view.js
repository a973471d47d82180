/* The grid of pairs: which one is chosen, and its two halves laid over each other.

   Both halves come from the one A|B picture of the grid, so nothing is asked of the server. */

/** Start the view: called by the component with what Gradio gives it. */
export function mount({ element, trigger, watch }) {
  const find = (selector) => element.querySelector(selector);
  let how = "fade";
  let mix = "50";

  function compare() {
    const over = find(".over");
    if (!over) return;
    over.dataset.how = how;
    over.style.setProperty("--mix", Number(mix) / 100);
    find(".mix input").value = mix;
    element.querySelectorAll("[data-how][aria-pressed]").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.how === how));
    });
  }

  function choose(pair) {
    if (!pair) return;
    element.querySelectorAll(".pair").forEach((other) => {
      other.setAttribute("aria-pressed", String(other === pair));
    });
    const { source, target, note, doubt, ratio } = pair.dataset;
    const picture = pair.querySelector("img");
    for (const side of [find(".over .a"), find(".over .b")]) {
      side.hidden = !picture;
      if (picture) side.src = picture.src;
    }
    find(".over").style.setProperty("--ratio", ratio || 1);
    find(".about .names").textContent = (
      [source, target].filter(Boolean).join(" and ") + (note ? `, ${note}` : "")
    );
    find(".about .doubt").textContent = doubt;
    compare();
  }

  element.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.matches(".pair")) choose(button);
    if (button.dataset.how) { how = button.dataset.how; compare(); }
    if (button.dataset.start) trigger("select", { value: button.dataset.start });
  });
  element.addEventListener("input", (event) => { mix = event.target.value; compare(); });
  watch("value", () => choose(find(".pair")));
  choose(find(".pair"));
}
