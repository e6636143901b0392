// The state of a webhook and the outcome of a delivery, in words and as badges.

import { h, icon, svg } from "./dom.js";
import { percent, relatively, span } from "./format.js";
import { coded, sentence, t } from "./i18n.js";

/** The states of a webhook, worst first; `stopped` was disabled automatically, `disabled` by a user. */
export const STATES = ["stopped", "warning", "failing", "disabled", "enabled"];

/** Returns the state of a webhook, one of `STATES`. */
export function stateOf(webhook) {
  if (!webhook.enabled) return webhook.disabledReasonCode ? "stopped" : "disabled";
  const state = webhook.health?.state;
  return state === "failing" || state === "warning" ? state : "enabled";
}

/** Says why a webhook was disabled automatically. */
export const reasonOf = ({ disabledReason, disabledReasonCode = "" }) =>
  coded(`reason.${disabledReasonCode}`, {}, disabledReason ?? disabledReasonCode);

/** Says more about the state of a webhook; empty when there is nothing to add. */
export function remark(webhook) {
  const state = stateOf(webhook);
  if (state === "stopped") return reasonOf(webhook);
  if (state !== "failing" && state !== "warning") return "";
  const { consecutiveFailures: count, failingSince } = webhook.health;
  if (!failingSince) return t("status.failures", { count });
  return t("status.failingSince", { count, when: relatively(failingSince, "long"), duration: span(failingSince) });
}

const LOOKS = { enabled: "good", failing: "warn", warning: "bad", stopped: "bad", disabled: "off" };
const GLYPHS = { enabled: "check", failing: "alert", warning: "alert", stopped: "close", disabled: "pause" };

/** A badge with the state of a webhook; its icon has the same meaning as its color. */
export function badge(webhook) {
  const state = stateOf(webhook);
  const props = { class: `badge ${LOOKS[state]}`, title: remark(webhook) || null };
  return h("span", props, icon(GLYPHS[state]), t(`status.${state}`));
}

/** Failures before anything was sent. */
const NOT_SENT = ["blocked", "disabled"];

/** A badge with the outcome of a delivery: the HTTP status if there was a response, else the kind of failure. */
export function outcome({ status, response, failure }) {
  const good = status === "success";
  const label = t(good ? "delivery.success" : NOT_SENT.includes(failure) ? "delivery.notSent" : "delivery.fail");
  const code = response?.statusCode ? ` · ${response.statusCode}` : failure ? ` · ${t(`failure.${failure}`)}` : "";
  return h("span", { class: `badge ${good ? "good" : "bad"}` }, icon(good ? "check" : "close"), `${label}${code}`);
}

/** Says more about how a delivery failed; empty when the badge says it all. */
export function messageOf({ failure, statusMessage = "", response }) {
  if (failure === "http_status" || failure === "disabled") return "";
  const values = { message: statusMessage, status: response?.statusCode, location: response?.headers?.location };
  return failure && statusMessage ? coded(`failure.${failure}.text`, values, statusMessage) : sentence(statusMessage);
}

const RATE_WIDTH = 48;

/** The share of successes, as a bar and a percentage. */
export function rate({ success, fail }) {
  const all = success + fail;
  if (!all) return h("span", { class: "soft", title: t("rate.none") }, "–");
  // Even one failure among thousands stays visible.
  const width = fail ? Math.min(RATE_WIDTH - 2, (success / all) * RATE_WIDTH) : RATE_WIDTH;
  return h(
    "span",
    { class: "share", title: t("chart.day", { success, fail }) },
    svg(
      "svg",
      { viewBox: `0 0 ${RATE_WIDTH} 8`, "aria-hidden": "true" },
      svg("rect", { class: "bad", x: 0, y: 0, width: RATE_WIDTH, height: 8, rx: 2 }),
      svg("rect", { class: "good", x: 0, y: 0, width, height: 8, rx: 2 }),
    ),
    h("span", {}, percent(success, all)),
  );
}
