// Event types by category, with a search.

import { h } from "./dom.js";
import { problemLine } from "./fields.js";
import { has, number, t } from "./i18n.js";
import { store } from "./store.js";

const labelOf = (category) => (has(`category.${category}`) ? t(`category.${category}`) : category);

/** Builds the field; `chosen` are the names of the chosen event types. */
export function eventPicker(chosen) {
  const picked = new Set(chosen);
  const problem = problemLine("eventTypes-problem");
  const search = searchBox(render);
  const count = h("span", { class: "hint", "aria-live": "polite" });
  const list = h("div", { class: "events", role: "group", "aria-label": t("column.types"), tabindex: "0" });
  /** @type {EventType[]} */
  let types = [];
  /** @type {Level} */
  let level = "tenant";

  const renderCount = () => {
    count.textContent = t("events.count", { count: picked.size });
  };
  const changed = () => {
    problem.say("");
    renderCount();
    list.dispatchEvent(new Event("change", { bubbles: true }));
  };
  function render() {
    const shown = types.filter((type) => matches(type, search.value));
    const categories = [...new Set(shown.map(({ category }) => category))];
    const group = (category) => {
      const members = shown.filter((type) => type.category === category);
      return categoryGroup({ category, members, level, picked, changed, render });
    };
    const empty = h("p", { class: "soft" }, t(types.length ? "events.noMatch" : "loading"));
    list.replaceChildren(...(shown.length ? categories.map(group) : [empty]));
    renderCount();
  }
  render();
  const tools = h("div", { class: "with-buttons" }, search, count);
  return {
    node: h("fieldset", { class: "field" }, h("legend", {}, t("form.events")), tools, list, problem.node),
    async load() {
      try {
        types = await store.eventTypes();
        render();
      } catch (error) {
        problem.say(`${t("events.failed")} ${error.message}`);
      }
    },
    /** Event types that are not available at this level cannot be picked. */
    forLevel(next) {
      if (next === level) return;
      level = next;
      render();
    },
    value: () => [...picked],
    say(text, index) {
      const isIndexed = text && index && /^\d+$/.test(index);
      problem.say(isIndexed ? `${[...picked][index] ?? number(Number(index))}: ${text}` : text);
    },
    focus: () => search.focus(),
  };
}

/** Builds the search, which calls `render` when its text changes. */
function searchBox(render) {
  const search = h("input", {
    type: "search",
    placeholder: t("events.search"),
    "aria-label": t("events.search"),
    autocomplete: "off",
  });
  search.addEventListener("input", (event) => {
    event.stopPropagation();
    render();
  });
  // Enter in the search must not submit the form.
  search.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
  return search;
}

function matches({ name, title, description, category }, wanted) {
  const part = wanted.trim().toLowerCase();
  return [name, title, description, category, labelOf(category)].some((text) => text.toLowerCase().includes(part));
}

/** The event types of a category below a box that picks them all. */
function categoryGroup({ category, members, level, picked, changed, render }) {
  const available = members.filter(({ levels }) => levels.includes(level));
  const label = labelOf(category);
  const all = h("input", {
    type: "checkbox",
    disabled: available.length === 0,
    "aria-label": t("events.all", { category: label }),
  });
  const renderAll = () => {
    const on = available.filter(({ name }) => picked.has(name)).length;
    all.checked = on > 0 && on === available.length;
    all.indeterminate = on > 0 && on < available.length;
  };
  all.addEventListener("change", (event) => {
    event.stopPropagation();
    for (const { name } of available) picked[all.checked ? "add" : "delete"](name);
    render();
    changed();
  });
  const boxes = members.map((type) =>
    typeBox(type, type.levels.includes(level), picked, () => {
      renderAll();
      changed();
    }),
  );
  renderAll();
  return h("fieldset", {}, h("legend", {}, h("label", { class: "choice" }, all, h("span", {}, label))), boxes);
}

/** One event type. One that is not available stays enabled while it is picked, so that it can be removed. */
function typeBox({ name, title, description }, isAvailable, picked, changed) {
  const box = h("input", { type: "checkbox", value: name, disabled: !isAvailable && !picked.has(name) });
  box.checked = picked.has(name);
  box.addEventListener("change", (event) => {
    event.stopPropagation();
    picked[box.checked ? "add" : "delete"](name);
    changed();
  });
  const text = h(
    "span",
    {},
    h("strong", {}, title),
    h("span", { class: "hint" }, description),
    h("code", {}, name),
    !isAvailable && h("span", { class: "hint" }, t("events.otherLevel")),
  );
  return h("label", { class: isAvailable ? "choice" : "choice off" }, box, text);
}
