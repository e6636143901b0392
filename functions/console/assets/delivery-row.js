// One delivery in the history, and the result of resending it.

import { button, h, icon } from "./dom.js";
import { duration, exactly, relatively, timeOf } from "./format.js";
import { t } from "./i18n.js";
import { messageOf, outcome } from "./status.js";

/** Builds the row of a delivery. `actions` has `resend` and `toggle`. */
export function deliveryRow(delivery, { open, busy, titles }, actions) {
  const { id, eventType, attempt, trigger, durationMs } = delivery;
  const at = exactly(delivery.triggeredAt);
  const cell = (name, ...content) =>
    h("td", { role: "cell", class: name, data: { label: t(`delivery.column.${name}`) } }, content);
  const resendProps = {
    label: t("resend.of", { at }),
    glyph: "resend",
    "aria-disabled": busy ? "true" : null,
    data: { key: `resend ${id}` },
  };
  const toggleProps = {
    label: t(open ? "delivery.collapse" : "delivery.expand", { at }),
    glyph: open ? "up" : "down",
    "aria-expanded": String(open),
    data: { key: `details ${id}` },
  };
  return h(
    "tr",
    { role: "row", class: `delivery ${delivery.status}${open ? " open" : ""}`, data: { id } },
    cell("time", timeOf(delivery.triggeredAt)),
    cell("type", h("span", { title: eventType }, titles.get(eventType) ?? eventType)),
    cell("outcome", outcomeOf(delivery)),
    cell("attempt", String(attempt)),
    cell("trigger", t(`trigger.${trigger}`)),
    cell("duration", duration(durationMs)),
    h(
      "td",
      { role: "cell", class: "tools" },
      button("icon-only", resendProps, actions.resend),
      button("icon-only", toggleProps, actions.toggle),
    ),
  );
}

function outcomeOf(delivery) {
  const { nextAttemptAt } = delivery;
  const message = messageOf(delivery);
  const isDue = nextAttemptAt && Date.parse(nextAttemptAt) > Date.now();
  return [
    outcome(delivery),
    message && h("span", { class: "description", title: message }, message),
    isDue &&
      h(
        "span",
        { class: "description", title: exactly(nextAttemptAt) },
        t("delivery.next", { when: relatively(nextAttemptAt) }),
      ),
  ];
}

/** Builds the row below a delivery that was resent. `isOpen` says whether the new delivery is open already. */
export function resultRow(result, isOpen, actions) {
  const content = h("div", { class: "result", role: "status" }, resultOf(result, isOpen, actions));
  return h(
    "tr",
    { role: "row", class: `result-row${result.error ? " bad" : ""}` },
    h("td", { role: "cell", colspan: "7" }, content),
  );
}

function resultOf({ busy, sent, error }, isOpen, actions) {
  if (busy) return h("span", { class: "soft" }, t("resend.sending"));
  if (error) {
    const text = h("span", {}, `${t("resend.failed")} ${error.message}`);
    return [icon("alert"), text, error.passing && button("quiet", { text: t("tryAgain") }, actions.resend)];
  }
  const message = messageOf(sent);
  return [
    h("strong", {}, t("resend.sent")),
    outcome(sent),
    h("span", { class: "soft" }, duration(sent.durationMs)),
    message && h("span", { class: "soft" }, message),
    !isOpen && button("quiet", { text: t("resend.view") }, actions.view),
    button("icon-only small", { label: t("close"), glyph: "close" }, actions.dismiss),
  ];
}
