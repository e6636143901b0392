// The rows of a history. A row is built again only when what it shows has changed; what the reader looks at stays in place.

import { api } from "./api.js";
import { deliveryRow, resultRow } from "./delivery-row.js";
import { h } from "./dom.js";
import { REFRESH_MS } from "./history-reader.js";
import { language, t } from "./i18n.js";
import { go } from "./router.js";
import { store } from "./store.js";

const COLUMNS = ["time", "type", "outcome", "attempt", "trigger", "duration"];

/**
 * Builds the table of deliveries.
 * @param {import("./history.js").History} history
 */
export function historyRows(history) {
  const body = h("tbody", { role: "rowgroup" });
  const head = (name, content) => h("th", { role: "columnheader", scope: "col", class: name }, content);
  const node = h(
    "table",
    { class: "deliveries", role: "table", "aria-label": t("history.title") },
    h(
      "thead",
      { role: "rowgroup" },
      h(
        "tr",
        { role: "row" },
        COLUMNS.map((name) => head(name, t(`delivery.column.${name}`))),
        head("tools", h("span", { class: "visually-hidden" }, t("column.tools"))),
      ),
    ),
    body,
  );
  /** @type {Map<string, { signature: string, elements: HTMLElement[] }>} */
  const rows = new Map();
  return {
    node,
    render(deliveries) {
      node.hidden = deliveries.length === 0;
      arrange(
        body,
        deliveries.flatMap((delivery) => elementsOf(history, rows, delivery)),
      );
    },
  };
}

/** The row of a delivery, the result of its resend and its details, as far as they are shown. */
function elementsOf(history, rows, delivery) {
  const details = history.open.get(delivery.id);
  const result = history.results.get(delivery.id);
  const due = delivery.nextAttemptAt && Math.floor(Date.now() / REFRESH_MS);
  const signature = JSON.stringify([Boolean(details), result, due, history.titles.size, language()]);
  const kept = rows.get(delivery.id);
  if (kept?.signature === signature) return kept.elements;
  const actions = {
    resend: () => resend(history, delivery),
    toggle: () => history.toggle(delivery),
    view: () => view(history, result.sent),
    dismiss: () => {
      history.results.delete(delivery.id);
      history.render();
    },
  };
  const elements = [
    deliveryRow(delivery, { open: Boolean(details), busy: result?.busy, titles: history.titles }, actions),
  ];
  if (result) elements.push(resultRow(result, history.open.has(result.sent?.id), actions));
  if (details)
    elements.push(h("tr", { role: "row", class: "details-row" }, h("td", { role: "cell", colspan: "7" }, details)));
  rows.set(delivery.id, { signature, elements });
  return elements;
}

/** Inserts new rows and removes old ones without touching the others, which may hold the focus or a selection. */
function arrange(body, wanted) {
  const focused = /** @type {HTMLElement | undefined} */ (document.activeElement?.closest("[data-key]"))?.dataset.key;
  const now = [...body.children];
  if (now.length === wanted.length && now.every((element, index) => element === wanted[index])) return;
  for (const element of now) if (!wanted.includes(element)) element.remove();
  for (const [index, element] of wanted.entries()) {
    if (body.children[index] !== element) body.insertBefore(element, body.children[index] ?? null);
  }
  if (focused && document.activeElement === document.body) {
    body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }
}

async function resend(history, delivery) {
  const { id, results, view: filters } = history;
  if (results.get(delivery.id)?.busy) return;
  results.set(delivery.id, { busy: true });
  history.render();
  try {
    const sent = await api.resend(id, delivery.id);
    results.set(delivery.id, { sent });
    const matches =
      (!filters.status || filters.status === sent.status) &&
      (!filters.eventType || filters.eventType === sent.eventType);
    if (matches && !history.deliveries.some((each) => each.id === sent.id))
      history.deliveries = [sent, ...history.deliveries];
    store.count([id], { now: true });
    store.reload(id).catch(() => {}); // The health may have changed; the next load shows it too.
  } catch (error) {
    results.set(delivery.id, { error });
  }
  history.render();
}

/** Opens the delivery that a resend made; it may be hidden by the filters. */
function view(history, sent) {
  if (history.deliveries.some(({ id }) => id === sent.id)) history.toggle(sent);
  else go(["webhooks", history.id], { delivery: sent.id });
}
