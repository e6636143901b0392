// The page with the table of webhooks. Its parts are in table-*.js; this file holds their shared state, and loads the data.

import { arrange, columnOf, paramsOf, viewOf } from "./columns.js";
import { h } from "./dom.js";
import { t, titlesOf } from "./i18n.js";
import { note, where } from "./router.js";
import { store } from "./store.js";
import { tableBar } from "./table-bar.js";
import { tableHead } from "./table-head.js";
import { tableRows } from "./table-rows.js";
import { tableState } from "./table-state.js";

/** How often the webhooks and the visible statistics are loaded again, in milliseconds. */
const REFRESH_MS = 30_000;

/**
 * The state that the parts of the table share.
 * @typedef {object} Table
 * @property {import("./columns.js").View} view Search, sort order, filters and the open row; kept in the address.
 * @property {Map<string, string>} titles Titles of event types by name.
 * @property {Set<string>} selected IDs of the selected webhooks.
 * @property {import("./columns.js").Row[]} shown The rows that match the view, in its order.
 * @property {any} problem Why the last load failed, or null.
 * @property {boolean} loading
 * @property {() => import("./columns.js").Row[]} rows Returns all rows, shown or not.
 * @property {(part: Partial<import("./columns.js").View>) => void} change Changes the view.
 * @property {() => void} clearFilters
 * @property {() => void} render
 * @property {() => Promise<void>} load
 */

/** Renders the page into `root`. */
export function webhooksPage(root) {
  /** @type {Table} */
  const table = {
    view: viewOf(where().params),
    titles: new Map(),
    selected: new Set(),
    shown: [],
    problem: null,
    loading: false,
    rows: () =>
      (store.webhooks ?? []).map((webhook) => ({
        webhook,
        stats: store.stats(webhook.id),
        titles: table.titles,
        user: store.user,
      })),
    change(part) {
      table.view = { ...table.view, ...part };
      note(paramsOf(table.view));
      table.render();
    },
    clearFilters() {
      bar.search.value = "";
      table.change({ filters: [], search: "" });
    },
    render: () => renderAll(table, parts),
    load: () => loadAll(table, bar.refresh, rows.visible),
  };
  const [bar, head, rows, state] = [tableBar(table), tableHead(table), tableRows(table), tableState(table)];
  const element = h(
    "table",
    { role: "table", class: "webhooks", "aria-label": t("webhooks.title") },
    head.node,
    rows.body,
  );
  const scroll = h("div", { class: "scroll" }, element);
  const parts = { bar, head, rows, state, element, scroll };
  root.replaceChildren(...bar.nodes, scroll, state.node);

  store.addEventListener("change", table.render);
  const timer = setInterval(() => refresh(table, rows.visible), REFRESH_MS);
  table.render();
  loadFirst(table);

  return {
    title: t("webhooks.title"),
    /** Follows a change of the address by hand or by Back. */
    update() {
      table.view = viewOf(where().params);
      if (document.activeElement !== bar.search) bar.search.value = table.view.search;
      table.render();
    },
    close() {
      store.removeEventListener("change", table.render);
      clearInterval(timer);
      rows.close();
    },
  };
}

/** Whether the sort order or a filter depends on the statistics of webhooks that are not visible. */
const needsAllStats = ({ view }) =>
  [view.sort.id, ...view.filters.map(([id]) => id)].some((id) => columnOf(id).counted);

function renderAll(table, { bar, head, rows, state, element, scroll }) {
  const known = store.webhooks ?? [];
  for (const id of table.selected) if (!store.find(id)) table.selected.delete(id);
  table.shown = arrange(table.rows(), table.view);
  if (needsAllStats(table) && known.length) store.count(known.map(({ id }) => id));
  bar.render(known);
  head.render();
  rows.render();
  element.hidden = known.length === 0;
  scroll.classList.toggle("bare", known.length === 0);
  state.render(known);
}

async function loadAll(table, button, visible) {
  table.loading = true;
  table.problem = null;
  button.classList.add("busy");
  table.render();
  try {
    await store.load();
    store.count(needsAllStats(table) ? table.rows().map(({ webhook }) => webhook.id) : [...visible], { now: true });
  } catch (error) {
    table.problem = error;
  } finally {
    table.loading = false;
    button.classList.remove("busy");
    table.render();
  }
}

/** Loads the webhooks first, then the titles of event types and the modules that the first click needs. */
async function loadFirst(table) {
  await table.load();
  import("./actions.js");
  import("./table-filter.js");
  const types = await store.eventTypes().catch(() => []); // Without titles, the table shows names.
  table.titles = titlesOf(types);
  table.render();
}

/** Shows what others changed. If that fails, the known data stays. */
function refresh(table, visible) {
  if (document.visibilityState !== "visible" || !store.webhooks) return;
  store.load().catch(() => {});
  store.count([...visible]);
  table.render();
}
