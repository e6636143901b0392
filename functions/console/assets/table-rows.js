// The rows of the table. A row is built again only when what it shows has changed, so that the focus and open menus survive.

import { COLUMNS } from "./columns.js";
import { button, h, icon } from "./dom.js";
import { timeOf } from "./format.js";
import { language, t } from "./i18n.js";
import { hrefOf } from "./router.js";
import { badge, rate, remark } from "./status.js";
import { store } from "./store.js";
import { act } from "./table-bar.js";

/** Event types that a cell names; the others are counted. */
const NAMED_TYPES = 1;
/** How often relative times are written again, in milliseconds. */
const TIMES_MS = 30_000;

/**
 * Builds the body of the table. `visible` holds the IDs of the webhooks that are on the screen.
 * @param {import("./webhooks.js").Table} table
 */
export function tableRows(table) {
  const body = h("tbody", { role: "rowgroup" });
  /** @type {Set<string>} */
  const visible = new Set();
  /** @type {Map<string, { signature: string, element: HTMLElement }>} */
  const rows = new Map();
  const panel = openPanel();
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      visible[isIntersecting ? "add" : "delete"](/** @type {HTMLElement} */ (target).dataset.id ?? "");
    }
    store.count([...visible]);
  });

  function elementOf(row) {
    const { id } = row.webhook;
    const signature = signatureOf(table, row);
    let kept = rows.get(id);
    if (kept?.signature !== signature) {
      if (kept) watcher.unobserve(kept.element);
      kept = { signature, element: rowOf(table, row) };
      watcher.observe(kept.element);
      rows.set(id, kept);
    }
    return kept.element;
  }

  function forgetRemoved() {
    for (const [id, { element }] of rows) {
      if (element.isConnected) continue;
      watcher.unobserve(element);
      visible.delete(id);
      rows.delete(id);
    }
  }

  return {
    body,
    visible,
    render() {
      const { open } = table.view;
      const wanted = table.shown.flatMap((row) =>
        row.webhook.id === open ? [elementOf(row), panel.rowFor(open)] : [elementOf(row)],
      );
      if (!table.shown.some(({ webhook }) => webhook.id === open)) panel.close();
      replaceRows(body, wanted);
      forgetRemoved();
    },
    close() {
      watcher.disconnect();
      panel.close();
    },
  };
}

/** Everything that a row shows; the row is built again when it changes. */
function signatureOf({ selected, view, titles }, { webhook, stats }) {
  const time = Math.floor(Date.now() / TIMES_MS);
  return JSON.stringify([
    webhook,
    stats,
    selected.has(webhook.id),
    view.open === webhook.id,
    titles.size,
    language(),
    time,
  ]);
}

/** Replaces the rows if they differ, and gives the focus back to the control that had it. */
function replaceRows(body, wanted) {
  const now = [...body.children];
  if (now.length === wanted.length && now.every((element, index) => element === wanted[index])) return;
  const focused = /** @type {HTMLElement | undefined} */ (document.activeElement?.closest("[data-key]"))?.dataset.key;
  body.replaceChildren(...wanted);
  if (focused && document.activeElement === document.body) {
    body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }
}

function rowOf(table, { webhook, stats }) {
  const { id } = webhook;
  const selected = table.selected.has(id);
  const open = table.view.open === id;
  const cell = (column, ...content) =>
    h("td", { role: "cell", class: column, data: { label: t(`column.${column}`) } }, content);
  return h(
    "tr",
    { role: "row", class: `webhook${open ? " open" : ""}${selected ? " selected" : ""}`, data: { id } },
    h("td", { role: "cell", class: "select" }, checkbox(table, webhook, selected)),
    cell("name", nameOf(webhook)),
    cell("url", urlOf(webhook)),
    cell("types", typesOf(webhook, table.titles)),
    cell("level", t(`level.${webhook.level}`)),
    cell("owner", ownerOf(webhook)),
    cell("status", statusOf(webhook)),
    cell("last", lastOf(stats)),
    cell("rate", stats ? rate(stats.last24Hours) : h("span", { class: "soft" }, "–")),
    cell("created", timeOf(webhook.createdAt, "minute")),
    cell("updated", timeOf(webhook.updatedAt, "minute")),
    h("td", { role: "cell", class: "tools" }, toolsOf(table, webhook, open)),
  );
}

function checkbox(table, { id, name }, selected) {
  const check = h("input", {
    type: "checkbox",
    "aria-label": t("select.row", { name }),
    data: { key: `select ${id}` },
  });
  check.checked = selected;
  check.addEventListener("change", () => {
    table.selected[check.checked ? "add" : "delete"](id);
    table.render();
  });
  return check;
}

const nameOf = ({ id, name, description }) => [
  h("a", { href: hrefOf(["webhooks", id]), title: name, data: { key: `name ${id}` } }, name),
  description && h("span", { class: "description", title: description }, description),
];

function urlOf({ url }) {
  const [, host, path] = /^https:\/\/([^/?]*)(.*)$/.exec(url) ?? ["", url, ""];
  return [
    h("span", { class: "url", title: url }, host),
    h("span", { class: "description", title: url }, path === "/" ? "" : path),
  ];
}

function typesOf({ eventTypes }, titles) {
  if (!eventTypes.length) return h("span", { class: "soft" }, t("types.none"));
  const all = eventTypes.map((type) => titles.get(type) ?? type);
  return h(
    "span",
    { title: all.join("\n") },
    h("span", { class: "first" }, all.slice(0, NAMED_TYPES).join(", ")),
    all.length > NAMED_TYPES && h("span", { class: "more" }, `+${all.length - NAMED_TYPES}`),
  );
}

const ownerOf = ({ ownerId }) =>
  ownerId === store.user.id ? t("you") : h("span", { class: "id", title: ownerId }, ownerId);

function statusOf(webhook) {
  const text = remark(webhook);
  return [badge(webhook), text && h("span", { class: "description", title: text }, text)];
}

function lastOf(stats) {
  const last = stats?.lastDelivery;
  if (!last) return h("span", { class: "soft" }, stats ? t("last.none") : "–");
  return h(
    "span",
    { class: `outcome-time ${last.status}` },
    icon(last.status === "success" ? "check" : "close"),
    h("span", { class: "visually-hidden" }, t(`delivery.${last.status}`)),
    timeOf(last.triggeredAt, "relative"),
  );
}

function toolsOf(table, webhook, open) {
  const { id, name } = webhook;
  const menu = button(
    "icon-only",
    {
      label: t("menu.of", { name }),
      glyph: "more",
      "aria-haspopup": "menu",
      "aria-expanded": "false",
      data: { key: `menu ${id}` },
    },
    () => act("menuOf", webhook, menu),
  );
  const expand = button(
    "icon-only",
    {
      label: t(open ? "history.collapse" : "history.expand", { name }),
      glyph: open ? "up" : "down",
      "aria-expanded": String(open),
      data: { key: `expand ${id}` },
    },
    () => table.change({ open: table.view.open === id ? "" : id }),
  );
  return [menu, expand];
}

/** The history below an open row; at most one is open. */
function openPanel() {
  /** @type {{ id: string, row: HTMLElement, history?: { close(): void } } | undefined} */
  let panel;
  const close = () => {
    panel?.history?.close();
    panel?.row.remove();
    panel = undefined;
  };
  return {
    close,
    rowFor(id) {
      if (panel && panel.id === id) return panel.row;
      close();
      const host = h("div", { class: "panel" }, h("p", { class: "soft" }, t("loading")));
      const cell = h("td", { role: "cell", colspan: String(COLUMNS.length + 2) }, host);
      /** @type {{ id: string, row: HTMLElement, history?: { close(): void } }} */
      const mine = { id, row: h("tr", { role: "row", class: "panel-row" }, cell) };
      panel = mine;
      import("./history.js").then(({ historyOf }) => {
        if (panel === mine) mine.history = historyOf(host, id);
      });
      return mine.row;
    },
  };
}
