// The bar above the table: title, count, search, bulk actions, and the filters that are set.

import { button, debounce, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { store } from "./store.js";

/** Milliseconds without typing after which the search applies. */
const TYPING_MS = 120;

/** Runs an action of actions.js, which is loaded when it is first needed. */
export const act = async (name, ...args) => (await import("./actions.js"))[name](...args);

/**
 * Builds the bar. `refresh` and `search` are its controls.
 * @param {import("./webhooks.js").Table} table
 */
export function tableBar(table) {
  const count = h("span", { class: "count", "aria-live": "polite" });
  const search = h("input", {
    type: "search",
    id: "search",
    value: table.view.search,
    placeholder: t("search.placeholder"),
    "aria-label": t("search.label"),
  });
  search.addEventListener(
    "input",
    debounce(TYPING_MS, () => table.change({ search: search.value })),
  );
  const create = button("primary", { text: t("create.button"), glyph: "add" }, () => act("edit"));
  const refresh = button("icon-only", { label: t("refresh"), glyph: "refresh" }, () => table.load());
  const bulk = h("div", { class: "bulk", hidden: true });
  const title = h("h1", {}, t("webhooks.title"));
  const searchBox = h("div", { class: "search" }, icon("search"), search);
  const bar = h("div", { class: "bar" }, title, count, bulk, searchBox, refresh, create);
  const cap = h("p", { class: "notice warn", role: "status", hidden: true });
  const chips = h("div", { class: "chips", hidden: true });

  return {
    nodes: [bar, cap, chips],
    search,
    refresh,
    render(known) {
      const most = store.config.webhookCap;
      // Only an administrator sees all webhooks of the tenant, so only for them does the cap mean something.
      const counts = most && store.user.admin;
      const full = Boolean(counts && known.length >= most);
      const total = counts ? t("count.of", { count: known.length, most }) : t("count", { count: known.length });
      count.textContent = store.webhooks ? total : "";
      create.disabled = full;
      cap.hidden = !full;
      if (full && !cap.hasChildNodes()) cap.append(icon("alert"), t("cap.reached", { most }));
      renderBulk(
        bulk,
        known.filter(({ id }) => table.selected.has(id)),
      );
      renderChips(chips, table, known, search);
    },
  };
}

function renderBulk(bulk, chosen) {
  const allEnabled = chosen.every(({ enabled }) => enabled);
  const allDisabled = chosen.every(({ enabled }) => !enabled);
  bulk.hidden = chosen.length === 0;
  bulk.replaceChildren(
    h("span", { class: "chosen" }, t("select.count", { count: chosen.length })),
    button("quiet", { text: t("menu.enable"), glyph: "play", disabled: allEnabled }, () =>
      act("setEnabled", chosen, true),
    ),
    button("quiet", { text: t("menu.disable"), glyph: "pause", disabled: allDisabled }, () =>
      act("setEnabled", chosen, false),
    ),
    button("quiet bad", { text: t("menu.delete"), glyph: "trash" }, () => act("remove", chosen)),
  );
}

function renderChips(chips, table, known, search) {
  const { filters } = table.view;
  chips.hidden = filters.length === 0 && !table.view.search.trim();
  const chipOf = ([id, text]) => {
    const name = `${t(`column.${id}`)}: ${text}`;
    const others = () => filters.filter(([other]) => other !== id);
    const remove = { label: t("chips.remove", { filter: name }), glyph: "close" };
    return h(
      "span",
      { class: "chip" },
      name,
      button("icon-only small", remove, () => table.change({ filters: others() })),
    );
  };
  chips.replaceChildren(
    h("span", { class: "soft" }, t("chips.shown", { count: table.shown.length, all: known.length })),
    ...filters.map(chipOf),
    button("quiet", { text: t("chips.clear") }, () => {
      table.clearFilters();
      search.focus();
    }),
  );
}
