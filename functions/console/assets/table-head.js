// The head of the table: for each column a sort button and a filter button, and the box that selects all rows.

import { COLUMNS } from "./columns.js";
import { button, h, icon } from "./dom.js";
import { t } from "./i18n.js";

/** Columns of times: the first click sorts them newest first, all others ascending. */
const TIMES = ["created", "updated", "last"];

/**
 * Builds the head.
 * @param {import("./webhooks.js").Table} table
 */
export function tableHead(table) {
  const all = h("input", { type: "checkbox", "aria-label": t("select.all") });
  all.addEventListener("change", () => {
    for (const { webhook } of table.shown) table.selected[all.checked ? "add" : "delete"](webhook.id);
    table.render();
  });
  const heads = new Map(COLUMNS.map(({ id }) => [id, headOf(table, id)]));
  const cell = (name, content) => h("th", { role: "columnheader", class: name, scope: "col" }, content);
  const tools = cell("tools", h("span", { class: "visually-hidden" }, t("column.tools")));
  const cells = [cell("select", all), [...heads.values()].map((head) => head.cell), tools];

  return {
    node: h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, cells)),
    render() {
      const { sort, filters } = table.view;
      const filtered = new Set(filters.map(([id]) => id));
      for (const [id, head] of heads) head.render(sort.id === id ? sort : null, filtered.has(id));
      const selected = table.shown.filter(({ webhook }) => table.selected.has(webhook.id)).length;
      all.checked = table.shown.length > 0 && selected === table.shown.length;
      all.indeterminate = selected > 0 && selected < table.shown.length;
    },
  };
}

/** The head of one column. `render` takes the sort order if the table is sorted by this column, else null. */
function headOf(table, id) {
  const column = t(`column.${id}`);
  const sortIcon = h("span", { class: "sort-icon" });
  const toggle = () => {
    const { sort } = table.view;
    table.change({ sort: sort.id === id ? { id, down: !sort.down } : { id, down: TIMES.includes(id) } });
  };
  const props = { type: "button", class: "sort", title: t("sort.by", { column }), on: { click: toggle } };
  const sortButton = h("button", props, h("span", {}, column), sortIcon);
  const filter = button(
    "icon-only small",
    { label: t("filter.by", { column }), glyph: "filter", "aria-expanded": "false", "aria-haspopup": "dialog" },
    async () => (await import("./table-filter.js")).openFilter(table, id, filter),
  );
  const cell = h(
    "th",
    { role: "columnheader", class: id, scope: "col" },
    h("span", { class: "head" }, sortButton, filter),
  );
  return {
    cell,
    render(sort, filtered) {
      const [order, glyph] = sort
        ? sort.down
          ? ["descending", "sortDown"]
          : ["ascending", "sortUp"]
        : ["none", "sort"];
      cell.setAttribute("aria-sort", order);
      sortIcon.replaceChildren(icon(glyph));
      filter.classList.toggle("on", filtered);
    },
  };
}
