// Parts: elements are made of texts and never of markup, for whatever is shown was written by anybody.

const SVG = "http://www.w3.org/2000/svg";

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, handler] of Object.entries(value)) element.addEventListener(event, handler);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== ""));
  return element;
}

// Puts children in the place of all that an element has, unless they are the same as last time: focus and selection stay.
const shown = new WeakMap();
export function show(element, key, make) {
  const text = JSON.stringify(key);
  if (shown.get(element) === text) return;
  shown.set(element, text);
  const focused = element.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  element.replaceChildren(...[make()].flat());
  if (focused) element.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus();
}

export function table(caption, headings, rows) {
  return el("table", {},
    el("caption", { class: "hidden" }, caption),
    el("thead", {}, el("tr", {}, headings.map((each) => el("th", { scope: "col" }, each)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((cell, index) => (
      index ? el("td", {}, cell) : el("th", { scope: "row" }, cell)))))));
}

export function rate(number) {
  return number >= 10 || !number ? number.toFixed(0) : number.toFixed(1);
}

export function count(number) {
  return number.toLocaleString("en");
}

export function seconds(span) {
  if (span < 0.001) return `${(span * 1e6).toFixed(0)} µs`;
  if (span < 1) return `${(span * 1000).toFixed(span < 0.01 ? 1 : 0)} ms`;
  if (span < 120) return `${span.toFixed(1)} s`;
  return span < 7200 ? `${(span / 60).toFixed(0)} min` : `${(span / 3600).toFixed(1)} h`;
}

export function clock(instant, digits = 0) {
  return new Date(instant * 1000).toISOString().slice(11, digits ? 20 + digits : 19);
}

// Returns whether the page may do something.
export function may(action) {
  return document.documentElement.dataset.allowed.split(" ").includes(action);
}

export async function act(path, given) {
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Word": document.documentElement.dataset.word },
      body: JSON.stringify(given),
    });
    return await answer.json();
  } catch {
    return { problem: "the page's server does not answer" };
  }
}

export async function ask(path) {
  try {
    const answer = await fetch(path, { headers: { Accept: "application/json" } });
    if (answer.status === 401) location.assign("enter");
    return await answer.json();
  } catch {
    return { problem: "the page's server does not answer" };
  }
}
