// The simple fields of a form: text with its hint and problem, and a group of radio buttons.

import { h, icon, newId } from "./dom.js";
import { t } from "./i18n.js";

/**
 * A part of the form.
 * @typedef {object} Field
 * @property {HTMLElement} node
 * @property {() => any} value
 * @property {(text: string, part?: string) => void} say Shows a problem, or none; `part` names a header or an index of the field.
 * @property {() => void} focus
 */

/** The line below a field that shows its problem. */
export function problemLine(id) {
  const node = h("p", { class: "problem", id, role: "alert", hidden: true });
  return {
    node,
    say(text) {
      node.replaceChildren(...(text ? [icon("alert"), h("span", {}, text)] : []));
      node.hidden = !text;
    },
  };
}

/** The mark of a field that may stay empty. */
export const optionalMark = () => h("span", { class: "soft" }, ` ${t("form.optional")}`);

/**
 * Builds a text field with its label, hint and problem. With `rows` it has several lines.
 * @param {{ id: string, label: string, value: string, hint?: string, optional?: boolean, required?: boolean, rows?: number, type?: string,
 *   max?: number, placeholder?: string, mono?: boolean, list?: string[], first?: boolean }} options
 */
export function field({
  id,
  label,
  value,
  hint,
  optional,
  required,
  rows,
  type = "text",
  max,
  placeholder,
  mono,
  list,
  first,
}) {
  const problem = problemLine(`${id}-problem`);
  const listId = list?.length ? newId("list") : null;
  const input = /** @type {HTMLInputElement} */ (
    h(rows ? "textarea" : "input", {
      id,
      name: id,
      rows,
      type: rows ? null : type,
      maxlength: max,
      placeholder,
      "aria-describedby": [hint && `${id}-hint`, `${id}-problem`].filter(Boolean).join(" "),
      "aria-required": required ? "true" : null,
      autocomplete: "off",
      spellcheck: mono || type === "url" ? "false" : null,
      class: mono ? "mono" : null,
      list: listId,
      value,
      "data-first": first,
    })
  );
  const say = (text) => {
    problem.say(text);
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  input.addEventListener("input", () => say(""));
  const node = h(
    "div",
    { class: "field" },
    h("label", { for: id }, label, optional && optionalMark()),
    input,
    listId &&
      h(
        "datalist",
        { id: listId },
        (list ?? []).map((each) => h("option", { value: each })),
      ),
    hint && h("p", { class: "hint", id: `${id}-hint` }, hint),
    problem.node,
  );
  return { node, input, value: () => (rows ? input.value : input.value.trim()), say, focus: () => input.focus() };
}

/**
 * Builds a group of radio buttons. Each choice is `{value, label, hint, disabled}`.
 * @param {{ value: string, label: string, hint: string, disabled?: boolean }[]} choices
 */
export function radioGroup(id, label, chosen, choices) {
  const problem = h("p", { class: "problem", id: `${id}-problem`, role: "alert", hidden: true });
  const radios = choices.map(({ value, label: text, hint, disabled = false }) => {
    const input = h("input", { type: "radio", name: id, value, disabled });
    input.checked = value === chosen;
    return h(
      "label",
      { class: "choice" },
      input,
      h("span", {}, h("strong", {}, text), h("span", { class: "hint" }, hint)),
    );
  });
  const props = { class: "choices", id, "aria-describedby": `${id}-problem` };
  const node = h("fieldset", props, h("legend", {}, label), radios, problem);
  return {
    node,
    value: () => /** @type {HTMLInputElement | null} */ (node.querySelector("input:checked"))?.value,
    say(text) {
      problem.replaceChildren(...(text ? [icon("alert"), text] : []));
      problem.hidden = !text;
    },
    focus: () => node.querySelector("input")?.focus(),
  };
}
