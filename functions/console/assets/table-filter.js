// The filter of one column: a text field, and the values to choose from where there are few.

import { columnOf } from "./columns.js";
import { button, h, newId } from "./dom.js";
import { t } from "./i18n.js";
import { openPopover } from "./overlays.js";

/** Columns with few distinct values. */
const PICKED = ["level", "status", "types"];

/**
 * Opens the filter of a column at its button.
 * @param {import("./webhooks.js").Table} table
 */
export function openFilter(table, id, anchor) {
  const name = t("filter.by", { column: t(`column.${id}`) });
  const value = new Map(table.view.filters).get(id) ?? "";
  const input = h("input", { type: "text", id: newId("filter"), value, autocomplete: "off" });
  const set = (text) => {
    const others = table.view.filters.filter(([column]) => column !== id);
    table.change({ filters: text.trim() ? [...others, [id, text]] : others });
  };
  const setAndClose = (text) => {
    set(text);
    popover.hidePopover();
  };
  input.addEventListener("input", () => set(input.value));
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // Otherwise the key also presses the button that gets the focus.
    popover.hidePopover();
  });
  const values = PICKED.includes(id) ? [...new Set(table.rows().flatMap((row) => valuesOf(id, row)))].sort() : [];
  const picks = values.map((text) => button("pick", { text }, () => setAndClose(`"${text}"`)));
  const popover = openPopover(
    anchor,
    h(
      "div",
      { class: "filter-box" },
      h("label", { for: input.id }, name),
      input,
      picks.length > 0 && h("div", { class: "picks" }, picks),
      h("p", { class: "hint" }, t("filter.hint")),
      button("quiet", { text: t("filter.clear"), glyph: "close" }, () => setAndClose("")),
    ),
    { role: "dialog", "aria-label": name },
  );
  input.focus();
  input.select();
}

function valuesOf(id, row) {
  if (id === "types") return row.webhook.eventTypes.map((name) => row.titles.get(name) ?? name);
  return columnOf(id).text(row).slice(0, 1);
}
