// The problems of a form: those found before the API is called, and where all problems are shown.

import { h, icon } from "./dom.js";
import { problemIn } from "./filter.js";
import { t } from "./i18n.js";

/** Returns what is wrong with a URL, or an empty text. The API has further rules. */
function urlProblem(text) {
  if (!text) return t("form.noUrl");
  let url;
  try {
    url = new URL(text);
  } catch {
    return t("url.absolute");
  }
  if (url.protocol !== "https:") return t("url.https");
  if (/^[\d.]+$|^\[/.test(url.hostname)) return t("url.noAddress");
  return "";
}

/**
 * Returns what is wrong with the entries, as `{field, text}`.
 * @param {import("./form-fields.js").FormFields["byName"]} fields
 */
export function problemsOf(wanted, fields) {
  const filter = problemIn(wanted.filter, wanted.eventTypes);
  const headers = ["headers", "encryptedHeaders"].flatMap((name) =>
    fields[name].problems().map((problem) => ({ field: `${name}.${problem.name}`, text: problem.text })),
  );
  return [
    { field: "name", text: wanted.name.trim() ? "" : t("form.noName") },
    { field: "url", text: urlProblem(wanted.url) },
    { field: "secret", text: fields.secret.problem() },
    ...headers,
    { field: "eventTypes", text: wanted.enabled && !wanted.eventTypes.length ? t("events.none") : "" },
    { field: "filter", text: filter ? t(filter.key, filter.values) : "" },
  ].filter(({ text }) => text);
}

/**
 * Builds the place for problems without a field. `show` shows each problem at its field, and moves the focus to the first.
 * @param {import("./form-fields.js").FormFields["byName"]} fields
 */
export function problemSummary(fields) {
  const node = h("div", { class: "notice bad", role: "alert", tabindex: "-1", hidden: true });
  return {
    node,
    /** @param {import("./api.js").Problem[]} problems */
    show(problems) {
      for (const field of Object.values(fields)) field.say("");
      const general = [];
      /** @type {import("./fields.js").Field | undefined} */
      let first;
      for (const { field: path = "", text } of problems) {
        const [, name, part] = /^(\w+)[.[]?(.*?)\]?$/.exec(path) ?? [];
        const field = fields[name];
        if (!field) general.push(path ? `${path}: ${text}` : text);
        else field.say(text, part);
        first ??= field;
      }
      node.hidden = general.length === 0;
      node.replaceChildren(icon("alert"), h("span", {}, general.join(" ")));
      const target = general.length ? node : first;
      (general.length ? node : first?.node)?.scrollIntoView({ block: "center" });
      target?.focus();
    },
  };
}
