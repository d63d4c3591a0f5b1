// Elements, lists with keys, and texts. Everything that is shown becomes text, never markup.

const SVG = "http://www.w3.org/2000/svg";

const setStyle = (node, style) => {
  for (const [name, value] of Object.entries(style)) node.style.setProperty(name, value);
};

function fill(made, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "text") made.textContent = value;
    else if (name === "style") setStyle(made, value);
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== null && child !== false));
  return made;
}

/** Returns an element: `on…` are listeners, `text` is its text, `style` an object, all others are attributes. */
export const h = (tag, properties = {}, ...children) => fill(document.createElement(tag), properties, children);

/** Returns an element of SVG, made like those of HTML. */
export const svg = (tag, properties = {}, ...children) => fill(document.createElementNS(SVG, tag), properties, children);

/** Sets a text if it is another one, so that an unchanged page is not laid out again. */
export function setText(node, text) {
  const value = String(text ?? "");
  if (node.textContent !== value) node.textContent = value;
}

/** Sets an attribute if it has another value; without a value it is removed. */
export function setAttribute(node, name, value) {
  if (value === undefined || value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value === true ? "" : String(value));
}

/** Sets a property of the style if it has another value. */
export function setProperty(node, name, value) {
  if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value);
}

const lists = new WeakMap();

/**
 * Makes the children of `parent` those of `items`, in their order. A child stays the same node as long as its key is there:
 * `make(item)` returns a new one, `update(node, item)` shows what has changed.
 */
export function keyed(parent, items, keyOf, make, update = () => {}) {
  const before = lists.get(parent) ?? new Map();
  const now = new Map();
  const wanted = new Set(items.map(keyOf));
  // Before the loop: a node that is moved past one that goes would lose the focus.
  for (const [key, node] of before) if (!wanted.has(key)) node.remove();
  let next = parent.firstChild;
  for (const item of items) {
    const key = keyOf(item);
    if (now.has(key)) continue;
    const node = before.get(key) ?? make(item);
    before.delete(key);
    now.set(key, node);
    update(node, item);
    if (node === next) next = next.nextSibling;
    else parent.insertBefore(node, next);
  }
  lists.set(parent, now);
}

/** Replaces the content of a node, and nothing if the node is shown as `key` already. */
export function replaceOnce(node, key, make) {
  if ((node.dataset.shown ?? "") === key) return;
  node.dataset.shown = key;
  node.replaceChildren(...[make()].flat(Infinity).filter(Boolean));
}

/** Returns a function that runs `work` once in the next frame, however often it is called; a hidden page has no frames. */
export function coalesced(work) {
  let isPlanned = false;
  return () => {
    if (isPlanned) return;
    isPlanned = true;
    requestAnimationFrame(() => {
      isPlanned = false;
      work();
    });
  };
}

/** Copies a text to the clipboard, and returns false where the browser forbids that. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
