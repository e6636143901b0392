// How a webhook and a delivery stand, in words, and how that looks.

import { h, icon, svg } from "./dom.js";
import { percent, relatively } from "./format.js";
import { fromServer, has, language, t } from "./i18n.js";

/** `enabled`, `failing`, `warning`, `stopped` (by us) or `disabled` (by somebody). */
export function standing(webhook) {
  if (!webhook.enabled) return webhook.disabledReasonCode ? "stopped" : "disabled";
  const state = webhook.health?.state;
  return state === "failing" || state === "warning" ? state : "enabled";
}

/** Why we disabled a webhook, in the reader's language where we know the reason's code. */
export function reasonOf({ disabledReason, disabledReasonCode }) {
  const key = `reason.${disabledReasonCode}`;
  return language() !== "en" && has(key) ? t(key) : fromServer(disabledReason ?? disabledReasonCode ?? "");
}

/** What else there is to say of its standing; may be empty. */
export function remark(webhook) {
  const kind = standing(webhook);
  if (kind === "stopped") return reasonOf(webhook);
  if (kind === "failing" || kind === "warning") {
    const { consecutiveFailures: count, failingSince } = webhook.health;
    return failingSince ? t("status.failures", { count, since: relatively(failingSince) }) : t("status.failures", { count, since: "" });
  }
  return "";
}

const LOOKS = { enabled: "good", failing: "warn", warning: "bad", stopped: "bad", disabled: "off" };
const GLYPHS = { enabled: "check", failing: "alert", warning: "alert", stopped: "close", disabled: "pause" };

/** A badge; the sign says what the colour says. */
export function badge(webhook) {
  const kind = standing(webhook);
  return h("span", { class: `badge ${LOOKS[kind]}`, title: remark(webhook) || null }, icon(GLYPHS[kind]), t(`status.${kind}`));
}

/** The outcome of a delivery, with the HTTP status if one came back. */
export function outcome({ status, response, failure }) {
  const good = status === "success";
  const code = response?.statusCode ? ` · ${response.statusCode}` : failure ? ` · ${t(`failure.${failure}`)}` : "";
  return h("span", { class: `badge ${good ? "good" : "bad"}` }, icon(good ? "check" : "close"), `${t(good ? "delivery.success" : "delivery.fail")}${code}`);
}

/** What else is known of how a delivery went; empty when the badge says it all. */
export const messageOf = ({ statusMessage = "" }) => (/^the receiver answered \d+$/.test(statusMessage) ? "" : fromServer(statusMessage));

/** The share of successes in a day, as a bar and a percentage. */
export function rate({ success, fail }) {
  const all = success + fail;
  if (!all) return h("span", { class: "soft", title: t("rate.none") }, "–");
  const width = 48;
  // Even one failure among thousands is to be seen.
  const good = fail ? Math.min(width - 2, (success / all) * width) : width;
  return h(
    "span",
    { class: "share", title: t("chart.day", { success, fail }) },
    svg(
      "svg",
      { viewBox: `0 0 ${width} 8`, "aria-hidden": "true" },
      svg("rect", { class: "bad", x: 0, y: 0, width, height: 8, rx: 2 }),
      svg("rect", { class: "good", x: 0, y: 0, width: good, height: 8, rx: 2 }),
    ),
    h("span", {}, percent(success, all)),
  );
}
