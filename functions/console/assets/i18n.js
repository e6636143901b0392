// The texts of the console in two languages, with plurals, and the API's errors in the reader's language.

const KEY = "anzol.language";

/** Returns `en` or `pt-BR`, which early.js has chosen. */
export const language = () => document.documentElement.lang;

const load = (tag) => (tag === "pt-BR" ? import("./pt-BR.js") : import("./en.js"));
/** @type {{ texts: Record<string, string>, types: Record<string, string[]> }} */
let { texts, types } = await load(language());

/** Switches the language, and keeps the choice in this browser. The caller renders again. */
export async function setLanguage(tag) {
  ({ texts, types } = await load(tag));
  localStorage.setItem(KEY, tag);
  document.documentElement.lang = tag;
}

/**
 * Returns the text of `key` with its `{names}` filled in. A `count` chooses between `key.one` and `key.other` where those exist.
 * @param {string} key
 * @param {Record<string, any>} [values]
 */
export function t(key, values = {}) {
  let form = key;
  if ("count" in values && !(key in texts)) {
    // Intl uses the singular for 0 in Portuguese; Brazilians say "0 falhas".
    form = `${key}.${values.count === 1 ? "one" : "other"}`;
  }
  const text = texts[form] ?? form;
  return text.replace(/\{(\w+)\}/g, (_, name) => shown(values[name]));
}

/** Writes a value into a text. */
function shown(value) {
  if (typeof value === "number") return number(value);
  return Array.isArray(value) ? value.join(", ") : (value ?? "");
}

/** Returns whether there is a text for `key`. */
export const has = (key) => key in texts;

/** Returns the text for a code of the API, or else the API's own English sentence. */
export const coded = (key, values, fallback) => sentence(has(key) ? t(key, values) : fallback);

/** Writes a text as a sentence: it starts with a capital letter and ends with a period. */
export function sentence(text) {
  if (!text) return "";
  const capitalized = text.charAt(0).toLocaleUpperCase(language()) + text.slice(1);
  return /[.!?…]$/.test(text) ? capitalized : `${capitalized}.`;
}

/** Formats a number. */
export const number = (value) => new Intl.NumberFormat(language()).format(value);

/**
 * Returns the titles of event types by name.
 * @param {EventType[]} all
 * @returns {Map<string, string>}
 */
export const titlesOf = (all) => new Map(all.map(({ name, title }) => [name, title]));

/**
 * Returns an event type with its title and description in the reader's language. English ones come from the API.
 * @param {EventType} type
 */
export function localType(type) {
  const [title, description] = types[type.name] ?? [type.title, type.description];
  return { ...type, title, description };
}
