// Why a history is empty: the reasons that the API found in what really happened, in words, each with what to do.

import { button, h, icon } from "./dom.js";
import { relatively } from "./format.js";
import { t } from "./i18n.js";
import { reasonOf } from "./status.js";

/** How far back the history goes, less an hour: whoever was not changed since then looks back on all of it. */
const RETENTION_MS = (7 * 24 - 1) * 3_600_000;

/** The reasons, as far as they are known: from the counts, or else from the webhook itself. */
export function reasonsFor(webhook, stats) {
  if (stats?.silence?.reasons?.length) return stats.silence.reasons;
  if (!webhook.enabled) return [{ code: "disabled" }];
  if (!webhook.eventTypes.length) return [{ code: "no_event_types" }];
  return [];
}

/** An explanation to stand where the history would. `counting` says whether the reasons may still come. */
export function silenceOf(webhook, stats, counting, { test, enable, titles }) {
  const reasons = reasonsFor(webhook, stats);
  const lately = (since) => since && Date.now() - Date.parse(since) < RETENTION_MS;
  const types = webhook.eventTypes.map((name) => titles.get(name) ?? name).join(", ");
  const said = ({ code, since, lastEventAt }) => {
    const key = code === "disabled" && webhook.disabledReasonCode ? "stopped" : code === "no_events" && lately(since) ? "no_events_yet" : code;
    const when = lastEventAt ? t("silence.lastEvent", { when: relatively(lastEventAt) }) : "";
    return h(
      "li",
      { data: { reason: code } },
      h("strong", {}, t(`silence.${key}`)),
      h("span", {}, t(`silence.${key}.text`, { types, reason: reasonOf(webhook), filter: webhook.filter ?? "", when: since ? relatively(since) : "" }), when && ` ${when}`),
      code === "disabled" && button("quiet", { text: t("menu.enable"), glyph: "play" }, enable),
    );
  };
  const waiting = counting && !stats && !reasons.length;
  return h(
    "div",
    { class: "blank silence" },
    h("span", { class: "sign" }, icon("bell")),
    h("h3", {}, t("silence.title")),
    reasons.length ? h("ul", {}, reasons.map(said)) : h("p", {}, t(waiting ? "silence.looking" : "silence.unknown", { types })),
    h("div", {}, button("", { text: t("menu.test"), glyph: "send" }, test)),
    h("p", { class: "hint" }, t("silence.hint")),
  );
}
