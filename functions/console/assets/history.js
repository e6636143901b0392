// The history of a webhook: its chart, tools and deliveries. The parts are in history-*.js; this file holds their shared state.

import { chartHost } from "./chart.js";
import { detailsOf } from "./delivery.js";
import { h } from "./dom.js";
import { historyReader } from "./history-reader.js";
import { historyRows } from "./history-rows.js";
import { historyState } from "./history-state.js";
import { historyTools } from "./history-tools.js";
import { t, titlesOf } from "./i18n.js";
import { note, where } from "./router.js";
import { store } from "./store.js";

/**
 * The state that the parts of a history share.
 * @typedef {object} History
 * @property {string} id The ID of the webhook.
 * @property {boolean} inAddress Whether the filters are kept in the address: on the page of the webhook.
 * @property {{ status: string, eventType: string }} view The filters; empty for all.
 * @property {Map<string, string>} titles Titles of event types by name.
 * @property {Delivery[] | null} deliveries Newest first, or null before they are loaded.
 * @property {string} [next] Link to the next page.
 * @property {any} problem Why the last load failed, or null.
 * @property {Map<string, HTMLElement>} open Details of open deliveries, by delivery ID.
 * @property {Map<string, ResendResult>} results Results of resends, by the ID of the delivery that was resent.
 * @property {boolean} closed
 * @property {(part: { status?: string, eventType?: string }) => void} change Changes the filters.
 * @property {(delivery: Delivery) => void} toggle Opens or closes the details of a delivery.
 * @property {() => Promise<void>} read
 * @property {() => void} render
 *
 * @typedef {{ busy?: boolean, sent?: Delivery, error?: any }} ResendResult
 */

/** Shows the history of webhook `id` in `root`. Returns `update` and `close` for the page around it. */
export function historyOf(root, id, { inAddress = false } = {}) {
  /** @type {History} */
  const history = {
    id,
    inAddress,
    view: inAddress ? filtersInAddress() : { status: "", eventType: "" },
    titles: new Map(),
    deliveries: null,
    problem: null,
    open: new Map(),
    results: new Map(),
    closed: false,
    change(part) {
      Object.assign(history.view, part);
      if (inAddress) note(paramsOf(history.view));
      Object.assign(history, { deliveries: null, next: undefined });
      history.render();
      reader.read();
    },
    toggle(delivery) {
      if (history.open.has(delivery.id)) history.open.delete(delivery.id);
      else history.open.set(delivery.id, detailsOf(delivery));
      history.render();
    },
    read: () => reader.read(),
    render: () => renderAll(history, parts),
  };
  const reader = historyReader(history);
  const [chart, tools, state, rows] = [chartHost(), historyTools(history), historyState(history), historyRows(history)];
  const parts = { chart, tools, state, rows, reader };
  const title = h("h2", { class: inAddress ? "" : "visually-hidden" }, t("history.title"));
  root.replaceChildren(title, chart.node, tools.node, state.node, rows.node, reader.moreButton);

  store.addEventListener("change", history.render);
  loadTitles(history);
  store.count([id]);
  history.render();
  reader.start();

  return {
    /** Follows a change of the address. */
    update() {
      if (inAddress) follow(history, reader);
    },
    close() {
      history.closed = true;
      reader.close();
      store.removeEventListener("change", history.render);
    },
  };
}

function filtersInAddress() {
  const { params } = where();
  return { status: params.get("status") ?? "", eventType: params.get("type") ?? "" };
}

const paramsOf = ({ status, eventType }) =>
  new URLSearchParams({ ...(status && { status }), ...(eventType && { type: eventType }) });

function renderAll(history, { chart, tools, state, rows, reader }) {
  const webhook = store.find(history.id);
  if (!webhook || history.closed) return;
  const stats = store.stats(history.id);
  const list = history.deliveries ?? [];
  chart.render(stats);
  tools.render(webhook, stats);
  state.render(webhook, stats);
  rows.render(list);
  reader.moreButton.hidden = !history.next || list.length === 0;
}

async function loadTitles(history) {
  const types = await store.eventTypes().catch(() => []); // Without titles, the history shows names.
  history.titles = titlesOf(types);
  history.render();
}

function follow(history, reader) {
  const { status, eventType } = filtersInAddress();
  reader.wanted = where().params.get("delivery");
  if (status !== history.view.status || eventType !== history.view.eventType) history.change({ status, eventType });
  else if (reader.wanted) reader.read();
}
