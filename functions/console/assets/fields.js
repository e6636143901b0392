// The form's larger fields: text with its hint and problem, the secret, rows of headers, and event types by category.

import { button, h, icon, newId } from "./dom.js";
import { has, number, t } from "./i18n.js";
import { copy } from "./overlays.js";
import { store } from "./store.js";

/** Length of a secret, in characters, and bytes of all headers together; both of the contract. */
const SECRET = { min: 32, max: 64, generated: 48 };
const MAX_HEADERS = 2048;

function problemLine(id) {
  const node = h("p", { class: "problem", id, role: "alert", hidden: true });
  return {
    node,
    say(text) {
      node.replaceChildren(...(text ? [icon("alert"), h("span", {}, text)] : []));
      node.hidden = !text;
    },
  };
}

/** A text field with its label, hint and problem. With `rows` it has several lines. */
export function field({ id, label, value, hint, optional, required, rows, type = "text", max, placeholder, mono, list, first }) {
  const problem = problemLine(`${id}-problem`);
  const about = [hint && `${id}-hint`, `${id}-problem`].filter(Boolean).join(" ");
  const listId = list?.length ? newId("list") : null;
  const input = h(rows ? "textarea" : "input", {
    id, name: id, rows, type: rows ? null : type, maxlength: max, placeholder, "aria-describedby": about, "aria-required": required ? "true" : null,
    autocomplete: "off", spellcheck: mono || type === "url" ? "false" : null, class: mono ? "mono" : null, list: listId, value, "data-first": first,
  });
  const node = h(
    "div",
    { class: "field" },
    h("label", { for: id }, label, optional && h("span", { class: "soft" }, ` ${t("form.optional")}`)),
    input,
    listId && h("datalist", { id: listId }, list.map((each) => h("option", { value: each }))),
    hint && h("p", { class: "hint", id: `${id}-hint` }, hint),
    problem.node,
  );
  const say = (text) => {
    problem.say(text);
    input.toggleAttribute("aria-invalid", Boolean(text));
    if (text) input.setAttribute("aria-invalid", "true");
  };
  input.addEventListener("input", () => say(""));
  return { node, input, value: () => (rows ? input.value : input.value.trim()), say, focus: () => input.focus() };
}

/** A secret from the browser's random source: letters and digits, for about 285 bits. */
function generate() {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  const chosen = [];
  while (chosen.length < SECRET.generated) {
    // Numbers beyond the last whole alphabet are thrown away, so every letter is as likely.
    for (const byte of crypto.getRandomValues(new Uint8Array(64))) if (byte < letters.length * 4 && chosen.length < SECRET.generated) chosen.push(letters[byte % letters.length]);
  }
  return chosen.join("");
}

/** The secret: kept, replaced or removed where there is one; typed or generated where there is none. Its length is its strength. */
export function secretField(isSet) {
  let mode = isSet ? "keep" : "set";
  const problem = problemLine("secret-problem");
  const input = h("input", { id: "secret", type: "text", class: "mono", autocomplete: "off", spellcheck: "false", maxlength: 128, "aria-describedby": "secret-length secret-problem" });
  const meter = h("meter", { min: "0", max: String(SECRET.max), low: String(SECRET.min), high: String(SECRET.min), optimum: String(SECRET.max), value: "0", "aria-label": t("secret.strength") });
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
  const wrong = () => (mode === "set" && input.value && (count() < SECRET.min || count() > SECRET.max) ? t("secret.length", SECRET) : "");
  function measure() {
    meter.value = Math.min(count(), SECRET.max);
    length.textContent = t(!input.value ? "secret.none" : wrong() ? "secret.progress" : "secret.good", { count: count(), ...SECRET });
    copyButton.hidden = !input.value;
  }
  input.addEventListener("input", () => {
    problem.say("");
    measure();
  });
  const editor = h("div", { class: "stack" }, h("div", { class: "with-buttons" }, input, generateButton, copyButton), h("div", { class: "meter" }, meter, length), onceNote);
  const choose = (next) => () => {
    mode = next;
    render();
    (next === "set" ? input : box.querySelector("button"))?.focus();
    box.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const box = h("div", { class: "stack" });
  function render() {
    const said = h("span", {}, icon(mode === "keep" ? "check" : "alert"), t(mode === "keep" ? "secret.set" : "secret.willGo"));
    box.replaceChildren(
      ...(isSet && mode !== "set"
        ? [h("div", { class: "with-buttons kept" }, said, ...(mode === "keep" ? [button("quiet", { text: t("secret.replace"), glyph: "edit" }, choose("set")), button("quiet", { text: t("secret.remove"), glyph: "trash" }, choose("remove"))] : [button("quiet", { text: t("undo") }, choose("keep"))]))]
        : [editor, ...(isSet ? [h("p", { class: "hint" }, t("secret.grace"), " ", button("quiet", { text: t("secret.keep") }, choose("keep")))] : [])]),
    );
  }
  measure();
  render();
  return {
    node: h("div", { class: "field" }, h("label", { for: "secret" }, t("column.secret"), h("span", { class: "soft" }, ` ${t("form.optional")}`)), box, problem.node, h("p", { class: "hint" }, t("secret.hint"))),
    value: () => ({ mode, value: mode === "set" ? input.value : "" }),
    problem: wrong,
    say: problem.say,
    focus: () => input.focus(),
  };
}

/**
 * Rows of names and values. With `names` the values are never shown: those kept stay as they are, until replaced or removed, or until
 * `needValues` says that they have to be given anew.
 */
export function headerRows({ id, label, hint, values = {}, names }) {
  const isEncrypted = Boolean(names);
  const rows = [];
  let needed = false;
  const list = h("div", { class: "rows" });
  const size = h("span", { class: "hint" });
  const problem = problemLine(`${id}-problem`);
  const notice = h("p", { class: "notice warn", hidden: true }, icon("alert"), t("encrypted.anew"));

  function add(name = "", value = "", kept = false) {
    const line = problemLine(newId("problem"));
    const nameInput = h("input", { type: "text", value: name, readonly: kept, placeholder: "X-Header", autocomplete: "off", spellcheck: "false", class: "mono", "aria-label": t("header.name"), "aria-describedby": line.node.id });
    const valueInput = h("input", { type: "text", value, autocomplete: "off", spellcheck: "false", class: "mono", "aria-label": t("header.value"), "aria-describedby": line.node.id });
    const row = { nameInput, valueInput, kept, line };
    const shown = h("span", { class: "hidden-value" }, t("encrypted.kept"));
    const replace = button("quiet", { text: t("secret.replace"), glyph: "edit" }, () => {
      row.kept = false;
      arrange();
      valueInput.focus();
      list.dispatchEvent(new Event("change", { bubbles: true }));
    });
    const remove = button("icon-only", { label: t("header.remove"), glyph: "trash" }, () => {
      rows.splice(rows.indexOf(row), 1);
      row.node.remove();
      measure();
      addButton.focus();
      list.dispatchEvent(new Event("change", { bubbles: true }));
    });
    const content = h("div", { class: "row" });
    row.arrange = () => content.replaceChildren(nameInput, ...(row.kept && !needed ? [shown, replace] : [valueInput]), remove);
    const arrange = row.arrange;
    row.node = h("div", {}, content, line.node);
    row.node.addEventListener("input", () => {
      line.say("");
      problem.say("");
      measure();
    });
    arrange();
    rows.push(row);
    list.append(row.node);
    measure();
    return row;
  }

  function measure() {
    const bytes = rows.reduce((sum, { nameInput, valueInput }) => sum + new TextEncoder().encode(nameInput.value + valueInput.value).length, 0);
    size.textContent = rows.length ? t("header.size", { bytes, max: MAX_HEADERS }) : "";
    size.classList.toggle("over", bytes > MAX_HEADERS);
  }

  const addButton = button("quiet", { text: t("header.add"), glyph: "add" }, () => {
    add().nameInput.focus();
    list.dispatchEvent(new Event("change", { bubbles: true }));
  });
  for (const [name, value] of Object.entries(values)) add(name, value);
  for (const name of names ?? []) add(name, "", true);

  const nameOf = (row) => row.nameInput.value.trim();
  const rowOf = (name) => rows.find((row) => nameOf(row).toLowerCase() === name.toLowerCase());
  return {
    node: h("fieldset", { class: "field" }, h("legend", {}, label, h("span", { class: "soft" }, ` ${t("form.optional")}`)), notice, list, h("div", { class: "with-buttons" }, addButton, size), problem.node, h("p", { class: "hint" }, hint)),
    /** `given` has names with values, `kept` the names whose values stay as they are. A row that is all empty is none. */
    value() {
      const written = rows.filter((row) => (!row.kept || (needed && row.valueInput.value)) && (nameOf(row) || row.valueInput.value));
      return {
        given: Object.fromEntries(written.map((row) => [nameOf(row), row.valueInput.value.trim()])),
        kept: rows.filter((row) => row.kept && !(needed && row.valueInput.value)).map(nameOf),
      };
    },
    problems() {
      const seen = new Set();
      return rows.flatMap((row) => {
        const name = nameOf(row);
        const [lower, twice] = [name.toLowerCase(), seen.has(name.toLowerCase())];
        seen.add(lower);
        const text = !name && row.valueInput.value ? t("header.noName") : name && twice ? t("header.twice") : row.kept && needed && !row.valueInput.value ? t("encrypted.anewOne") : name && isEncrypted && !row.kept && !row.valueInput.value ? t("header.noValue") : "";
        return text ? [{ name, text }] : [];
      });
    },
    /** Says that what is kept has to be given anew, since it was meant for another address. */
    needValues(now) {
      notice.hidden = !(now && rows.some(({ kept }) => kept));
      // Built again only when it changes: a button must not go away while it is being pressed.
      if (needed === now) return;
      needed = now;
      for (const row of rows) if (row.kept) row.arrange();
    },
    say(text, name) {
      if (!text) for (const { line } of rows) line.say("");
      const row = name !== undefined && text && rowOf(name);
      if (row) row.line.say(text);
      else problem.say(text);
    },
    focus() {
      const row = rows.find(({ line }) => !line.node.hidden);
      (row ? (row.valueInput.isConnected ? row.valueInput : row.nameInput) : addButton).focus();
    },
  };
}

/** Event types by category, with a search. */
export function eventPicker(chosen) {
  const picked = new Set(chosen);
  const problem = problemLine("eventTypes-problem");
  const search = h("input", { type: "search", placeholder: t("events.search"), "aria-label": t("events.search"), autocomplete: "off" });
  const count = h("span", { class: "hint", "aria-live": "polite" });
  const list = h("div", { class: "events", role: "group", "aria-label": t("column.types"), tabindex: "0" });
  let types = [];
  let level = "tenant";

  const label = (category) => (has(`category.${category}`) ? t(`category.${category}`) : category);
  const tell = () => {
    count.textContent = t("events.count", { count: picked.size });
    list.dispatchEvent(new Event("change", { bubbles: true }));
  };

  function render() {
    const wanted = search.value.trim().toLowerCase();
    const shown = types.filter(({ name, title, description, category }) => [name, title, description, category, label(category)].some((text) => text.toLowerCase().includes(wanted)));
    const categories = [...new Set(shown.map(({ category }) => category))];
    list.replaceChildren(
      ...categories.map((category) => {
        const mine = shown.filter((type) => type.category === category);
        const able = mine.filter(({ levels }) => levels.includes(level));
        const all = h("input", { type: "checkbox", disabled: able.length === 0, "aria-label": t("events.all", { category: label(category) }) });
        const boxes = mine.map((type) => {
          const fits = type.levels.includes(level);
          const box = h("input", { type: "checkbox", value: type.name, disabled: !fits && !picked.has(type.name) });
          box.checked = picked.has(type.name);
          box.addEventListener("change", (event) => {
            event.stopPropagation();
            picked[box.checked ? "add" : "delete"](type.name);
            problem.say("");
            sum();
            tell();
          });
          return h(
            "label",
            { class: fits ? "choice" : "choice off" },
            box,
            h("span", {}, h("strong", {}, type.title), h("span", { class: "hint" }, type.description), h("code", {}, type.name), !fits && h("span", { class: "hint" }, t("events.otherLevel"))),
          );
        });
        const sum = () => {
          const on = able.filter(({ name }) => picked.has(name)).length;
          all.checked = on > 0 && on === able.length;
          all.indeterminate = on > 0 && on < able.length;
        };
        all.addEventListener("change", (event) => {
          event.stopPropagation();
          for (const { name } of able) picked[all.checked ? "add" : "delete"](name);
          problem.say("");
          render();
          tell();
        });
        sum();
        return h("fieldset", {}, h("legend", {}, h("label", { class: "choice" }, all, h("span", {}, label(category)))), boxes);
      }),
      ...(shown.length ? [] : [h("p", { class: "soft" }, t(types.length ? "events.noMatch" : "loading"))]),
    );
    count.textContent = t("events.count", { count: picked.size });
  }
  search.addEventListener("input", (event) => {
    event.stopPropagation();
    render();
  });
  // Enter in the search is no wish to save.
  search.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
  render();
  return {
    node: h("fieldset", { class: "field" }, h("legend", {}, t("form.events")), h("div", { class: "with-buttons" }, search, count), list, problem.node),
    async load() {
      try {
        types = await store.eventTypes();
        render();
      } catch (error) {
        problem.say(`${t("events.failed")} ${error.message}`);
      }
    },
    /** Types that are not there for this level cannot be picked. */
    forLevel(next) {
      if (next === level) return;
      level = next;
      render();
    },
    value: () => [...picked],
    say(text, index) {
      problem.say(text && index && /^\d+$/.test(index) ? `${[...picked][index] ?? number(Number(index))}: ${text}` : text);
    },
    focus: () => search.focus(),
  };
}
