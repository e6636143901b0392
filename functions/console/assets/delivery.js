// One delivery in full: what was sent, what came back, and the same request for a shell.

import { button, h, icon } from "./dom.js";
import { exactly, pretty } from "./format.js";
import { has, t } from "./i18n.js";
import { copy } from "./overlays.js";
import { messageOf } from "./status.js";

const OMITTED = "**OMITTED**";

function headersOf(headers, hint) {
  const entries = Object.entries(headers ?? {});
  const omitted = entries.some(([, value]) => value.includes(OMITTED));
  return [
    entries.length
      ? h(
          "dl",
          { class: "headers" },
          entries.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { class: value.includes(OMITTED) ? "omitted" : null }, value))),
        )
      : h("p", { class: "soft" }, t("delivery.noHeaders")),
    omitted && h("p", { class: "hint" }, icon("info"), hint),
  ];
}

/** What was wrong with the rest of an answer, by the API's word for it; nothing when it came whole. */
export function bodyErrorOf({ bodyError }) {
  if (!bodyError) return null;
  const key = `delivery.bodyError.${bodyError}`;
  return t(has(key) ? key : "delivery.bodyError.other", { word: bodyError });
}

function payloadOf(name, text, cut) {
  if (!text) return h("p", { class: "soft" }, t("delivery.noBody"));
  const { text: shown } = pretty(text);
  return [
    h("div", { class: "payload-head" }, h("h4", {}, name), button("quiet", { text: t("copy.payload"), glyph: "copy" }, () => copy(shown))),
    h("pre", { tabindex: "0", "aria-label": name }, h("code", {}, shown), cut && h("span", { class: "cut" }, `\n… ${t("delivery.cut")}`)),
    cut && h("p", { class: "hint" }, icon("info"), t("delivery.cutText")),
    text === OMITTED && h("p", { class: "hint" }, icon("info"), t("delivery.echoed")),
  ];
}

/** A word for a POSIX shell. */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * The request as a curl command: to this URL as it is written, brackets and braces included, and by https alone. What is omitted has to be
 * filled in; what depends on the sending is left to curl.
 */
export function curlOf({ request }) {
  const skipped = /^(content-length|accept-encoding|host)$/i;
  const lines = [`curl -g -i --proto ${quoted("=https")} ${quoted(request.url)}`];
  for (const [name, value] of Object.entries(request.headers)) if (!skipped.test(name)) lines.push(`  -H ${quoted(`${name}: ${value}`)}`);
  lines.push(`  --data-raw ${quoted(JSON.stringify(request.body))}`);
  return lines.join(" \\\n");
}

/** The details of a delivery. */
export function detailsOf(delivery) {
  const { id, request, response, triggeredAt } = delivery;
  const message = messageOf(delivery);
  const sent = JSON.stringify(request.body);
  return h(
    "div",
    { class: "details" },
    h(
      "div",
      { class: "details-bar" },
      h("span", { class: "soft" }, exactly(triggeredAt)),
      h("span", { class: "soft id" }, id),
      h("span", { class: "space" }),
      button("quiet", { text: t("copy.curl"), glyph: "copy" }, () => copy(curlOf(delivery))),
    ),
    h(
      "div",
      { class: "sides" },
      h("section", { "aria-label": t("delivery.request") }, h("h3", {}, t("delivery.request")), h("p", { class: "target" }, h("strong", {}, "POST"), " ", request.url), headersOf(request.headers, t("delivery.omitted")), payloadOf(t("delivery.payload"), sent, false)),
      h(
        "section",
        { "aria-label": t("delivery.response") },
        h("h3", {}, t("delivery.response")),
        response
          ? [h("p", { class: "target" }, h("strong", {}, `HTTP ${response.statusCode}`)), headersOf(response.headers, t("delivery.echoed")), payloadOf(t("delivery.body"), response.body, response.bodyTruncated), bodyErrorOf(response) && h("p", { class: "hint" }, icon("alert"), bodyErrorOf(response))]
          : h("p", { class: "notice" }, icon("info"), h("span", {}, message ? `${t("delivery.noResponse")} ${message}` : t("delivery.noResponse"))),
      ),
    ),
  );
}
