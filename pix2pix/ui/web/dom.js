/* Elements of the page, and what the browser keeps for it. */

/** A new HTML element with properties, `data` attributes and children; words are never markup. */
export function make(tag, properties = {}, ...children) {
  const { data, ...plain } = properties;
  const made = Object.assign(document.createElement(tag), plain);
  Object.assign(made.dataset, data ?? {});
  made.append(...children);
  return made;
}

/** Whether a place shows something else so far; what is pressed or typed there is left alone. */
export function isNew(place, shown) {
  const key = JSON.stringify(shown);
  if (place.dataset.key === key) return false;
  place.dataset.key = key;
  return true;
}

/** Read what the browser keeps under a key; with a value, keep that, and with null nothing. */
export function stored(key, value, storage = "localStorage") {
  try {
    const shelf = window[storage];
    if (value === undefined) return JSON.parse(shelf.getItem(key));
    if (value === null) shelf.removeItem(key);
    else shelf.setItem(key, JSON.stringify(value));
  } catch { /* forbidden, full or not by us: the page alone knows */ }
  return null;
}
