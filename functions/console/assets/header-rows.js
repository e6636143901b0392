// Rows of header names and values, plain or encrypted.

import { button, h, icon, newId } from "./dom.js";
import { optionalMark, problemLine } from "./fields.js";
import { t } from "./i18n.js";

/** The API's limit for all names and values together, in bytes. */
const MAX_BYTES = 2048;

/** @typedef {ReturnType<typeof headerRow>} HeaderRow */

/**
 * Builds the field. With `names` it is for encrypted headers: values are never shown, and those kept stay unchanged until they are replaced
 * or removed, or until `needValues` says that they have to be entered again.
 * @param {{ id: string, label: string, hint: string, values?: Record<string, string>, names?: string[] }} options
 */
export function headerRows({ id, label, hint, values = {}, names }) {
  const problem = problemLine(`${id}-problem`);
  const notice = h("p", { class: "notice warn", hidden: true }, icon("alert"), t("encrypted.again"));
  const list = rowList(() => problem.say(""));
  const { rows, addButton } = list;
  for (const [name, value] of Object.entries(values)) list.add(name, value);
  for (const name of names ?? []) list.add(name, "", true);

  const node = h(
    "fieldset",
    { class: "field" },
    h("legend", {}, label, optionalMark()),
    notice,
    list.node,
    h("div", { class: "with-buttons" }, addButton, list.size),
    problem.node,
    h("p", { class: "hint" }, hint),
  );
  return {
    node,
    value: () => readRows(rows, list.isNeeded()),
    problems: () => problemsOf(rows, list.isNeeded(), Boolean(names)),
    /** Asks for the kept values again, because they were meant for another URL. */
    needValues(now) {
      notice.hidden = !(now && rows.some(({ kept }) => kept));
      list.need(now);
    },
    say(text, name) {
      if (!text) for (const row of rows) row.say("");
      const row = name !== undefined && text && rows.find((each) => each.name().toLowerCase() === name.toLowerCase());
      if (row) row.say(text);
      else problem.say(text);
    },
    focus() {
      const wrong = rows.find((row) => row.hasProblem());
      (wrong ? wrong.editable() : addButton).focus();
    },
  };
}

/** Builds the rows, the button that adds one, and their total size. Calls `edited` after each input. */
function rowList(edited) {
  /** @type {HeaderRow[]} */
  const rows = [];
  let needed = false;
  const node = h("div", { class: "rows" });
  const size = h("span", { class: "hint" });
  const changed = () => node.dispatchEvent(new Event("change", { bubbles: true }));
  const addButton = button("quiet", { text: t("header.add"), glyph: "add" }, () => {
    add().nameInput.focus();
    changed();
  });
  const actions = {
    changed,
    isNeeded: () => needed,
    edited() {
      edited();
      measure();
    },
    remove(row) {
      rows.splice(rows.indexOf(row), 1);
      row.node.remove();
      measure();
      addButton.focus();
      changed();
    },
  };

  function add(name = "", value = "", kept = false) {
    const row = headerRow({ name, value, kept }, actions);
    rows.push(row);
    node.append(row.node);
    measure();
    return row;
  }

  function measure() {
    const bytes = rows.reduce((sum, row) => sum + row.bytes(), 0);
    size.textContent = rows.length ? t("header.size", { bytes, max: MAX_BYTES }) : "";
    size.classList.toggle("over", bytes > MAX_BYTES);
  }

  /** Shows or hides the inputs of kept values. */
  function need(now) {
    // Built again only when it changes: a button must not disappear while it is being pressed.
    if (needed === now) return;
    needed = now;
    for (const row of rows) if (row.kept) row.arrange();
  }

  return { node, rows, size, addButton, add, need, isNeeded: actions.isNeeded };
}

function headerRow({ name, value, kept }, actions) {
  const line = problemLine(newId("problem"));
  const input = (text, props) =>
    h("input", {
      type: "text",
      value: text,
      autocomplete: "off",
      spellcheck: "false",
      class: "mono",
      "aria-describedby": line.node.id,
      ...props,
    });
  const nameInput = input(name, { readonly: kept, placeholder: "X-Header", "aria-label": t("header.name") });
  const valueInput = input(value, { "aria-label": t("header.value") });
  const shown = h("span", { class: "hidden-value" }, t("encrypted.kept"));
  const replace = button("quiet", { text: t("secret.replace"), glyph: "edit" }, () => {
    row.kept = false;
    row.arrange();
    valueInput.focus();
    actions.changed();
  });
  const remove = button("icon-only", { label: t("header.remove"), glyph: "trash" }, () => actions.remove(row));
  const content = h("div", { class: "row" });
  const node = h("div", {}, content, line.node);
  node.addEventListener("input", () => {
    line.say("");
    actions.edited();
  });
  const row = {
    node,
    nameInput,
    valueInput,
    kept,
    arrange: () =>
      content.replaceChildren(
        nameInput,
        ...(row.kept && !actions.isNeeded() ? [shown, replace] : [valueInput]),
        remove,
      ),
    name: () => nameInput.value.trim(),
    bytes: () => new TextEncoder().encode(nameInput.value + valueInput.value).length,
    say: line.say,
    hasProblem: () => !line.node.hidden,
    editable: () => (valueInput.isConnected ? valueInput : nameInput),
  };
  row.arrange();
  return row;
}

/** `given` has names with values, `kept` the names whose values stay unchanged. Empty rows are left out. */
function readRows(rows, needed) {
  const isEntered = (row) => !row.kept || (needed && row.valueInput.value);
  const entered = rows.filter((row) => isEntered(row) && (row.name() || row.valueInput.value));
  return {
    given: Object.fromEntries(entered.map((row) => [row.name(), row.valueInput.value.trim()])),
    kept: rows.filter((row) => !isEntered(row)).map((row) => row.name()),
  };
}

function problemsOf(rows, needed, isEncrypted) {
  const seen = new Set();
  return rows.flatMap((row) => {
    const name = row.name();
    const lower = name.toLowerCase();
    const text = problemOf(row, { name, repeated: seen.has(lower), needed, isEncrypted });
    seen.add(lower);
    return text ? [{ name, text }] : [];
  });
}

function problemOf({ kept, valueInput }, { name, repeated, needed, isEncrypted }) {
  const value = valueInput.value;
  if (!name && value) return t("header.noName");
  if (name && repeated) return t("header.twice");
  if (kept && needed && !value) return t("encrypted.againOne");
  return name && isEncrypted && !kept && !value ? t("header.noValue") : "";
}
