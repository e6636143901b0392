// The notice above the deliveries: loading, an error, none that match the filters, or the reason why there are none.

import { setEnabled, test } from "./actions.js";
import { button, h, icon } from "./dom.js";
import { language, t } from "./i18n.js";
import { noDeliveries } from "./no-deliveries.js";
import { store } from "./store.js";

/**
 * Builds the element.
 * @param {import("./history.js").History} history
 */
export function historyState(history) {
  const node = h("div", { class: "history-state" });
  return {
    node,
    render(webhook, stats) {
      const { deliveries, problem, titles } = history;
      const empty = deliveries?.length === 0;
      const filtered = Boolean(history.view.status || history.view.eventType);
      const reasons = empty && [webhook, stats?.silence];
      const key = JSON.stringify([
        problem?.message,
        empty,
        deliveries === null,
        filtered,
        reasons,
        store.counts,
        titles.size,
        language(),
      ]);
      if (node.dataset.key === key) return;
      node.dataset.key = key;
      node.replaceChildren(...contentOf(history, webhook, stats, filtered));
    },
  };
}

function contentOf({ problem, deliveries, titles, read, change }, webhook, stats, filtered) {
  if (problem) {
    const text = h("span", {}, `${t("history.failed")} ${problem.message}`);
    const again = button("quiet", { text: t("tryAgain") }, read);
    return [h("p", { class: "notice bad", role: "alert" }, icon("alert"), text, again)];
  }
  if (deliveries === null) return [h("p", { class: "soft", role: "status" }, t("loading"))];
  if (deliveries.length > 0) return [];
  if (filtered) {
    const all = button("", { text: t("history.showAll") }, () => change({ status: "", eventType: "" }));
    return [h("div", { class: "blank small" }, h("p", {}, t("history.noMatch")), all)];
  }
  const actions = { test: () => test(webhook).then(read), enable: () => setEnabled([webhook], true) };
  return [noDeliveries(webhook, stats, store.counts, titles, actions)];
}
