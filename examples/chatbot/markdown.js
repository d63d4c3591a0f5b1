// Markdown as elements, without innerHTML: text of a model cannot become markup. Headings, lists, quotes, tables, fenced code, rules;
// code, bold, italic, struck-out text and links within lines. HTML is shown as it is written.

import { h } from "./dom.js";

const FENCE = /^ {0,3}(```+|~~~+)\s*([\w+#.-]*)/;
const HEADING = /^(#{1,6})\s+(.+?)\s*#*$/;
const RULE = /^ {0,3}([-*_])( *\1){2,}\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const QUOTE = /^ {0,3}> ?/;
const DIVIDER = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$/;
const INLINE = /(`+)(?!`)(.+?)(?<!`)\1(?!`)|\*\*(?=\S)(.+?)(?<=\S)\*\*|~~(?=\S)(.+?)~~|(?<![\w*])[*](?=[^\s*])(.+?)(?<=[^\s*])[*](?![\w*])|(?<!\w)_(?=\S)(.+?)(?<=\S)_(?!\w)|\[([^\]\n]+)\]\(([^)\s]+)\)|(https?:\/\/[^\s<>)\]]*[^\s<>)\].,;:!?'"])/s;
// Deeper quotes and lists than these are shown as text.
const MAX_DEPTH = 8;

/** Returns the blocks of a text. */
export function written(text, depth = 0) {
  const fragment = document.createDocumentFragment();
  if (depth > MAX_DEPTH) return append(fragment, h("p", {}, text));
  const lines = text.replaceAll("\r", "").split("\n");
  for (let at = 0; at < lines.length; ) {
    const [block, next] = blockAt(lines, at, depth);
    if (block) fragment.append(block);
    at = next;
  }
  return fragment;
}

const append = (parent, child) => (parent.append(child), parent);

/** Returns the block that begins at a line, and the line after it. */
function blockAt(lines, at, depth) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  if (FENCE.test(line)) return code(lines, at);
  if (HEADING.test(line)) {
    const [, marks, title] = HEADING.exec(line);
    // The page has a heading of its own above those of an answer.
    return [h(`h${Math.min(marks.length + 1, 6)}`, {}, ...inline(title)), at + 1];
  }
  if (RULE.test(line)) return [h("hr"), at + 1];
  if (QUOTE.test(line)) return quote(lines, at, depth);
  if (ITEM.test(line)) return list(lines, at, depth);
  if (line.includes("|") && DIVIDER.test(lines[at + 1] ?? "")) return table(lines, at);
  return paragraph(lines, at);
}

/** Returns fenced code, open to the end of the text as long as its end has not come. */
function code(lines, at) {
  const [, fence, language] = FENCE.exec(lines[at]);
  let end = at + 1;
  while (end < lines.length && !lines[end].trim().startsWith(fence)) end += 1;
  const text = lines.slice(at + 1, end).join("\n");
  const copy = h("button", { type: "button", class: "copy", click: () => navigator.clipboard?.writeText(text) }, "Copy");
  // A block that is wider than the page is scrolled by the keyboard too.
  return [h("figure", { class: "code" }, h("figcaption", {}, language || "code", copy), h("pre", { tabindex: "0" }, h("code", {}, text))), end + 1];
}

function quote(lines, at, depth) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  const text = lines.slice(at, end).map((line) => line.replace(QUOTE, "")).join("\n");
  return [append(h("blockquote"), written(text, depth + 1)), end];
}

/** Returns a list. Lines that are indented further than its first mark belong to the item above them. */
function list(lines, at, depth) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const isOrdered = /\d/.test(mark);
  const made = h(isOrdered ? "ol" : "ul", isOrdered ? { start: String(parseInt(mark, 10)) } : {});
  let end = at;
  while (end < lines.length) {
    const item = ITEM.exec(lines[end]);
    if (!item || item[1].length > indent.length || /\d/.test(item[2]) !== isOrdered) break;
    const inner = [item[3]];
    for (end += 1; end < lines.length && belongs(lines, end, indent.length); end += 1) inner.push(lines[end]);
    made.append(listItem(inner, depth));
  }
  return [made, end];
}

function belongs(lines, at, indent) {
  const depthOf = (line) => /^\s*/.exec(line)[0].length;
  if (lines[at].trim()) return depthOf(lines[at]) > indent;
  return at + 1 < lines.length && lines[at + 1].trim() !== "" && depthOf(lines[at + 1]) > indent;
}

function listItem([first, ...rest], depth) {
  const shared = Math.min(...rest.filter((line) => line.trim()).map((line) => /^\s*/.exec(line)[0].length));
  const inner = rest.map((line) => line.slice(Number.isFinite(shared) ? shared : 0)).join("\n");
  const item = h("li", {}, ...inline(first));
  return inner.trim() ? append(item, written(inner, depth + 1)) : item;
}

function table(lines, at) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
  const row = (line, tag) => h("tr", {}, ...cells(line).map((cell) => h(tag, {}, ...inline(cell))));
  const body = h("tbody");
  let end = at + 2;
  for (; end < lines.length && lines[end].includes("|"); end += 1) body.append(row(lines[end], "td"));
  return [h("div", { class: "table", tabindex: "0", role: "group", "aria-label": "Table" }, h("table", {}, h("thead", {}, row(lines[at], "th")), body)), end];
}

function paragraph(lines, at) {
  let end = at + 1;
  const begins = (line) => !line.trim() || [FENCE, HEADING, RULE, QUOTE, ITEM].some((block) => block.test(line));
  while (end < lines.length && !begins(lines[end]) && !DIVIDER.test(lines[end + 1] ?? "")) end += 1;
  return [h("p", {}, ...inline(lines.slice(at, end).join("\n"))), end];
}

/** Returns the texts and elements of a line. */
function inline(text, depth = 0) {
  const made = [];
  let rest = text;
  while (rest && depth < MAX_DEPTH) {
    const found = INLINE.exec(rest);
    if (!found) break;
    if (found.index) made.push(rest.slice(0, found.index));
    made.push(marked(found, depth));
    rest = rest.slice(found.index + found[0].length);
  }
  if (rest) made.push(rest);
  return made;
}

function marked([whole, , code, bold, struck, starred, underscored, label, target, bare], depth) {
  const italic = starred ?? underscored;
  if (code !== undefined) return h("code", {}, code.trim() || code);
  if (bold !== undefined) return h("strong", {}, ...inline(bold, depth + 1));
  if (struck !== undefined) return h("del", {}, ...inline(struck, depth + 1));
  if (italic !== undefined) return h("em", {}, ...inline(italic, depth + 1));
  return link(target ?? bare, label ?? bare) ?? whole;
}

/** Returns a link to the web or to a mail address, which tells its target nothing of the page; or null for any other address. */
function link(target, label) {
  const url = URL.canParse(target) ? new URL(target) : null;
  if (!url || !["http:", "https:", "mailto:"].includes(url.protocol)) return null;
  return h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer", title: url.href }, label);
}
