/* Elements of the page. */

/** A new HTML element with properties, `data` attributes and children; words are never markup. */
export function make(tag, properties = {}, ...children) {
  const { data, ...plain } = properties;
  const made = Object.assign(document.createElement(tag), plain);
  Object.assign(made.dataset, data ?? {});
  made.append(...children);
  return made;
}
