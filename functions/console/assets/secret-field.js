// The secret: kept, replaced or removed where there is one; typed or generated where there is none.

import { button, h, icon } from "./dom.js";
import { optionalMark, problemLine } from "./fields.js";
import { t } from "./i18n.js";
import { copy } from "./overlays.js";

/** Length of a secret in characters, as the API requires it, and of a generated one. */
const LENGTH = { min: 32, max: 64 };
const GENERATED = 48;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** Returns a secret from the browser's random source: letters and digits, about 285 bits. */
function generate() {
  const chosen = [];
  while (chosen.length < GENERATED) {
    // Bytes beyond the last whole alphabet are dropped, so that every letter is equally likely.
    const usable = [...crypto.getRandomValues(new Uint8Array(64))].filter((byte) => byte < LETTERS.length * 4);
    chosen.push(...usable.map((byte) => LETTERS[byte % LETTERS.length]));
  }
  return chosen.slice(0, GENERATED).join("");
}

/** Builds the field. `isSet` says whether the webhook has a secret, which the API never returns. */
export function secretField(isSet) {
  /** @type {"keep" | "set" | "remove"} */
  let mode = isSet ? "keep" : "set";
  const problem = problemLine("secret-problem");
  const editor = secretEditor(problem);
  const box = h("div", { class: "stack" });
  const choose = (next) => () => {
    mode = next;
    render();
    (next === "set" ? editor.input : box.querySelector("button"))?.focus();
    box.dispatchEvent(new Event("change", { bubbles: true }));
  };
  function render() {
    if (isSet && mode !== "set") return box.replaceChildren(keptOrRemoved(mode, choose));
    const keep = button("quiet", { text: t("secret.keep") }, choose("keep"));
    box.replaceChildren(editor.node, ...(isSet ? [h("p", { class: "hint" }, t("secret.grace"), " ", keep)] : []));
  }
  render();
  return {
    node: h(
      "div",
      { class: "field" },
      h("label", { for: "secret" }, t("column.secret"), optionalMark()),
      box,
      problem.node,
      h("p", { class: "hint" }, t("secret.hint")),
    ),
    value: () => ({ mode, value: mode === "set" ? editor.input.value : "" }),
    problem: () => (mode === "set" ? editor.problem() : ""),
    say: problem.say,
    focus: () => editor.input.focus(),
  };
}

function keptOrRemoved(mode, choose) {
  const isKept = mode === "keep";
  const text = h("span", {}, icon(isKept ? "check" : "alert"), t(isKept ? "secret.set" : "secret.willGo"));
  const buttons = isKept
    ? [
        button("quiet", { text: t("secret.replace"), glyph: "edit" }, choose("set")),
        button("quiet", { text: t("secret.remove"), glyph: "trash" }, choose("remove")),
      ]
    : [button("quiet", { text: t("undo") }, choose("keep"))];
  return h("div", { class: "with-buttons kept" }, text, buttons);
}

/** The input for a secret with its length, which is its strength. */
function secretEditor(problem) {
  const input = h("input", {
    id: "secret",
    type: "text",
    class: "mono",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 128,
    "aria-describedby": "secret-length secret-problem",
  });
  const [min, max] = [String(LENGTH.min), String(LENGTH.max)];
  const meter = h("meter", {
    min: "0",
    max,
    low: min,
    high: min,
    optimum: max,
    value: "0",
    "aria-label": t("secret.strength"),
  });
  const length = h("span", { id: "secret-length", class: "hint" });
  const onceNote = h("p", { class: "hint", hidden: true }, icon("info"), t("secret.once"));
  const copyButton = button("quiet", { text: t("copy.copy"), glyph: "copy" }, () => copy(input.value));
  const generateButton = button("quiet", { text: t("secret.generate"), glyph: "key" }, () => {
    input.value = generate();
    onceNote.hidden = false;
    measure();
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.select();
  });
  const count = () => [...input.value].length;
  const isWrong = () => Boolean(input.value) && (count() < LENGTH.min || count() > LENGTH.max);
  function measure() {
    meter.value = Math.min(count(), LENGTH.max);
    const key = !input.value ? "secret.none" : isWrong() ? "secret.progress" : "secret.good";
    length.textContent = t(key, { count: count(), ...LENGTH });
    copyButton.hidden = !input.value;
  }
  input.addEventListener("input", () => {
    problem.say("");
    measure();
  });
  measure();
  return {
    input,
    node: h(
      "div",
      { class: "stack" },
      h("div", { class: "with-buttons" }, input, generateButton, copyButton),
      h("div", { class: "meter" }, meter, length),
      onceNote,
    ),
    problem: () => (isWrong() ? t("secret.length", LENGTH) : ""),
  };
}
