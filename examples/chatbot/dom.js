// Elements. What a model or a user says becomes text everywhere, never markup.

export const $ = (id) => document.getElementById(id);

/** Makes an element: `h("a", { href: "..." }, "text", child)`. Functions are listeners; null and false leave a property or a child out. */
export function h(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === false) continue;
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== false));
  return made;
}

const currency = (digits) => new Intl.NumberFormat("en", { style: "currency", currency: "USD", ...digits });
const CENTS = currency({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
const SMALL = currency({ minimumFractionDigits: 2, maximumSignificantDigits: 2, roundingPriority: "morePrecision" });

/** Dollars with cents, or with the two digits that matter: $12.40, $0.052, $0.00021. */
export const dollars = (amount) => (Math.abs(amount) < 0.1 ? SMALL : CENTS).format(amount);
