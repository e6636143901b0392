// The tools above a history: filters by status and event type, the live mark, replay, and the link to the page of the webhook.

import { button, h, icon, newId } from "./dom.js";
import { language, t } from "./i18n.js";
import { hrefOf } from "./router.js";
import { store } from "./store.js";

const STATUSES = ["", "success", "fail"];

/**
 * Builds the tools.
 * @param {import("./history.js").History} history
 */
export function historyTools(history) {
  const segment = (status) =>
    h(
      "button",
      { type: "button", data: { status }, on: { click: () => history.change({ status }) } },
      t(`history.${status || "all"}`),
    );
  const statuses = h(
    "div",
    { class: "segments", role: "group", "aria-label": t("history.byStatus") },
    STATUSES.map(segment),
  );
  const types = h("select", {
    id: newId("type"),
    "aria-label": t("history.byType"),
    on: { change: () => history.change({ eventType: types.value }) },
  });
  const recoverButton = button("", { text: t("recover.button"), glyph: "recover" }, async () => {
    const { recover } = await import("./recover.js");
    await recover(store.find(history.id));
    history.read();
  });
  const page = hrefOf(["webhooks", history.id]);
  const node = h(
    "div",
    { class: "history-tools" },
    statuses,
    types,
    h("span", { class: "live", title: t("history.liveText") }, h("i"), t("history.live")),
    h("span", { class: "space" }),
    recoverButton,
    !history.inAddress && h("a", { class: "button", href: page }, icon("link"), h("span", {}, t("history.ownPage"))),
  );
  return {
    node,
    render(webhook, stats) {
      for (const each of statuses.querySelectorAll("button")) {
        each.setAttribute("aria-pressed", String(each.dataset.status === history.view.status));
      }
      renderTypes(types, history, webhook);
      recoverButton.hidden = Boolean(stats) && !hasFailures(history, stats);
    },
  };
}

const hasFailures = ({ deliveries }, stats) =>
  stats.days.some(({ fail }) => fail > 0) || (deliveries ?? []).some(({ status }) => status === "fail");

/** Offers the event types of the webhook, of the deliveries, and of the filter that is set. */
function renderTypes(types, { view, deliveries, titles }, webhook) {
  const delivered = (deliveries ?? []).map(({ eventType }) => eventType);
  const names = [...new Set([...webhook.eventTypes, ...delivered, ...(view.eventType ? [view.eventType] : [])])];
  const key = JSON.stringify([names, titles.size, language()]);
  if (types.dataset.key !== key) {
    types.dataset.key = key;
    types.replaceChildren(
      h("option", { value: "" }, t("history.allTypes")),
      ...names.map((name) => h("option", { value: name }, titles.get(name) ?? name)),
    );
  }
  types.value = view.eventType;
}
