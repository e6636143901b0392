// The page's two languages: texts by key, plurals, and the API's own sentences in the reader's words.

const KEY = "anzol.language";

/** `en` or `pt-BR`; early.js has chosen by the browser or by what was kept. */
export const language = () => document.documentElement.lang;

const read = (tag) => (tag === "pt-BR" ? import("./pt-BR.js") : import("./en.js"));
let { texts, server, types } = await read(language());

/** Switches, and keeps the choice for this browser. Whoever shows texts has to show them again. */
export async function setLanguage(tag) {
  ({ texts, server, types } = await read(tag));
  localStorage.setItem(KEY, tag);
  document.documentElement.lang = tag;
}

/** The text of `key` with `{names}` filled in. With `count`, the form `key.one` or `key.other` that fits. */
export function t(key, values = {}) {
  let form = key;
  if ("count" in values && !(key in texts)) {
    // Intl has a singular for 0 in Portuguese, as in French; Brazilians count "0 falhas".
    form = `${key}.${values.count === 1 ? "one" : "other"}`;
  }
  const text = texts[form] ?? form;
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? number(values[name]) : values[name] ?? ""));
}

/** Whether there is such a text. */
export const has = (key) => key in texts;

export const number = (value) => new Intl.NumberFormat(language()).format(value);

/** What the API said, in the reader's language as far as it is known, else as it came; it begins as sentences do. */
export function fromServer(text) {
  let said = text;
  for (const [pattern, translated] of server) {
    const match = pattern.exec(text);
    if (match) {
      said = translated.replace(/\$(\d)/g, (_, group) => match[group] ?? "");
      break;
    }
  }
  return said.charAt(0).toLocaleUpperCase(language()) + said.slice(1);
}

/** An event type of the catalogue, with title and description in the reader's language as far as they are known. */
export function localType(type) {
  const [title, description] = types[type.name] ?? [type.title, type.description];
  return { ...type, title, description };
}
