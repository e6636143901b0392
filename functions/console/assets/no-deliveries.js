// Why a history is empty: the reasons that the API found, in words, each with what to do about it.

import { button, h, icon } from "./dom.js";
import { listOr, relatively } from "./format.js";
import { t } from "./i18n.js";
import { reasonOf } from "./status.js";

/** Retention of the history, minus an hour. If a webhook has not changed since then, the reasons cover the whole retention. */
const RETENTION_MS = (7 * 24 - 1) * 3_600_000;

/** Returns the reasons from the statistics, or from the webhook itself where the statistics say nothing. */
function reasonsFor(webhook, stats) {
  if (stats?.silence?.reasons?.length) return stats.silence.reasons;
  if (!webhook.enabled) return [{ code: "disabled" }];
  if (!webhook.eventTypes.length) return [{ code: "no_event_types" }];
  return [];
}

/** The key of the texts for a reason. */
function keyOf({ code, since }, webhook) {
  if (code === "disabled" && webhook.disabledReasonCode) return "stopped";
  const isRecent = since && Date.now() - Date.parse(since) < RETENTION_MS;
  return code === "no_events" && isRecent ? "no_events_yet" : code;
}

/** The sentence about the last event that did not match. */
function lastEventText(key, when, filter) {
  if (!when) return key === "filter" ? t("noDeliveries.filter.all", { filter }) : "";
  return key === "filter" ? t("noDeliveries.filter.last", { when, filter }) : t("noDeliveries.lastEvent", { when });
}

function reasonItem(reason, webhook, types, enable) {
  const { code, since, lastEventAt } = reason;
  const key = keyOf(reason, webhook);
  const when = since ? relatively(since, "long") : "";
  const text = key === "filter" ? "" : t(`noDeliveries.${key}.text`, { types, reason: reasonOf(webhook), when });
  const last = lastEventText(key, lastEventAt && relatively(lastEventAt, "long"), webhook.filter ?? "");
  return h(
    "li",
    { data: { reason: code } },
    h("strong", {}, t(`noDeliveries.${key}`)),
    h("span", {}, [text, last].filter(Boolean).join(" ")),
    code === "disabled" && button("quiet", { text: t("menu.enable"), glyph: "play" }, enable),
  );
}

/**
 * Builds the explanation that stands in place of the history. `counting` says whether statistics may still come; `actions` has `test`
 * and `enable`.
 */
export function noDeliveries(webhook, stats, counting, titles, { test, enable }) {
  const reasons = reasonsFor(webhook, stats);
  const types = listOr(webhook.eventTypes.map((name) => titles.get(name) ?? name));
  const waiting = counting && !stats && !reasons.length;
  return h(
    "div",
    { class: "blank no-deliveries" },
    h("span", { class: "sign" }, icon("bell")),
    h("h3", {}, t("noDeliveries.title")),
    reasons.length
      ? h(
          "ul",
          {},
          reasons.map((reason) => reasonItem(reason, webhook, types, enable)),
        )
      : h("p", {}, t(waiting ? "noDeliveries.looking" : "noDeliveries.unknown")),
    h("div", {}, button("", { text: t("menu.test"), glyph: "send" }, test)),
    h("p", { class: "hint" }, t("noDeliveries.hint")),
  );
}
