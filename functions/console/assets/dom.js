// Builds pages from elements, never from markup, so that no text of a user can become markup.

/**
 * Builds an element. In `props`, `on` has listeners and `data` data attributes; true sets an empty attribute; false, null and undefined set
 * none. Children are nodes, texts, arrays of those, or nothing.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, any>} [props]
 * @param {...any} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "value") Object.assign(element, { value });
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  const shown = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  element.append(...shown);
  return element;
}

/**
 * Builds an SVG element.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Paths on a grid of 20 × 20. */
const ICONS = {
  add: "M10 4v12M4 10h12",
  alert: "M10 3 18 17H2ZM10 8.5v3.5M10 14.4v.1",
  back: "M12 4l-6 6 6 6",
  bell: "M5 14V9a5 5 0 0 1 10 0v5l1.5 1.5h-13ZM8.5 17.5h3",
  check: "M4 10.5l4 4 8-9",
  close: "M5 5l10 10M15 5 5 15",
  copy: "M7 7h9v9H7ZM4 13V4h9",
  down: "M5 7.5l5 5 5-5",
  edit: "M4 16l.8-3.4L13.5 4l2.5 2.5-8.6 8.7ZM11.5 6l2.5 2.5",
  filter: "M3 5h14l-5.5 6.5V16l-3 1v-5.5Z",
  info: "M10 2.8a7.2 7.2 0 1 0 0 14.4 7.2 7.2 0 0 0 0-14.4M10 9.3v4.2M10 6.5v.1",
  key: "M9.5 10a3 3 0 1 0-6 0 3 3 0 1 0 6 0M9.5 10H17v3M14 10v2.5",
  link: "M8 6H4.5v9.5H14V12M11 4h5v5M16 4l-7 7",
  logout: "M8 4H4v12h4M12 6.5 15.5 10 12 13.5M15 10H8",
  more: "M4 10a.7.7 0 1 0 1.4 0 .7.7 0 1 0-1.4 0M9.3 10a.7.7 0 1 0 1.4 0 .7.7 0 1 0-1.4 0M14.6 10a.7.7 0 1 0 1.4 0 .7.7 0 1 0-1.4 0",
  pause: "M7 5v10M13 5v10",
  play: "M6.5 4.5v11l9-5.5Z",
  recover: "M4 10a6 6 0 1 0 2-4.5M4 3.5v3h3M10 7v3.4l2.4 1.4",
  refresh: "M15.5 8A6 6 0 1 0 16 11.5M16 4v4h-4",
  resend: "M4 8.5a6 6 0 0 1 10.5-2.3L16.5 8M16.5 3.5V8H12M16 11.5A6 6 0 0 1 5.5 13.8L3.5 12M3.5 16.5V12H8",
  search: "M8.7 3.5a5.2 5.2 0 1 0 0 10.4 5.2 5.2 0 0 0 0-10.4M12.6 12.6 17 17",
  send: "M3.5 9.5 17 3.5l-5 13.5-2.6-5.4ZM9.4 11.6 17 3.5",
  sort: "M6.5 8 10 4.5 13.5 8M6.5 12l3.5 3.5 3.5-3.5",
  sortUp: "M6.5 8 10 4.5 13.5 8",
  sortDown: "M6.5 12l3.5 3.5 3.5-3.5",
  theme: "M10 3.2a6.8 6.8 0 1 0 0 13.6ZM10 3.2a6.8 6.8 0 0 1 0 13.6",
  trash: "M4 6h12M8 6V4h4v2M5.5 6l.7 10h7.6l.7-10M8.7 9v4.5M11.3 9v4.5",
  up: "M5 12.5l5-5 5 5",
};

/** Builds an icon, which screen readers skip: the text beside it, or the label of its button, says the same. */
export const icon = (name) =>
  svg("svg", { viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true" }, svg("path", { d: ICONS[name] }));

/** Builds the logo, a fish hook, in the color of the theme. */
export const hook = () =>
  svg(
    "svg",
    {
      viewBox: "0 0 32 32",
      class: "hook",
      fill: "none",
      stroke: "currentColor",
      "stroke-width": "3",
      "stroke-linecap": "round",
      "aria-hidden": "true",
    },
    svg("circle", { cx: "20", cy: "5", r: "2.5" }),
    svg("path", { d: "M20 8v13a7 7 0 0 1-14 0v-4l5 4" }),
  );

/**
 * Builds a button with an icon, a text, or both. `label` names a button that has only an icon.
 * @param {string} look
 * @param {{ label?: string, text?: string, glyph?: string, [prop: string]: any }} props
 * @param {(event: Event) => any} click
 */
export function button(look, { label, text, glyph, ...props }, click) {
  return h(
    "button",
    { type: "button", class: look, "aria-label": label, title: label, ...props, on: { click, ...props.on } },
    glyph && icon(glyph),
    text && h("span", {}, text),
  );
}

/**
 * Marks a button as busy. It keeps the focus, which a disabled button would lose. Returns a function that releases it, or null if it is busy
 * already.
 */
export function hold(control) {
  if (control.getAttribute("aria-disabled") === "true") return null;
  control.setAttribute("aria-disabled", "true");
  control.classList.add("busy");
  return () => {
    control.removeAttribute("aria-disabled");
    control.classList.remove("busy");
  };
}

/** Returns an element of index.html. @param {string} id */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

let count = 0;
/** Returns an ID that is unique on the page. */
export const newId = (word) => `${word}-${++count}`;

/**
 * Runs `work` for each item, at most `width` at a time.
 * @template Item
 * @param {Item[]} items
 * @param {number} width
 * @param {(item: Item) => Promise<any>} work
 */
export async function inTurns(items, width, work) {
  const left = [...items];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** Returns a function that calls `work` after it has not been called for `ms` milliseconds. */
export function debounce(ms, work) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), ms);
  };
}
