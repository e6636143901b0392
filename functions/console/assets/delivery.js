// The details of a delivery: request, response, and the request as a curl command.

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
          entries.map(([name, value]) =>
            h("div", {}, h("dt", {}, name), h("dd", { class: value.includes(OMITTED) ? "omitted" : null }, value)),
          ),
        )
      : h("p", { class: "soft" }, t("delivery.noHeaders")),
    omitted && h("p", { class: "hint" }, icon("info"), hint),
  ];
}

/** Says why the body of a response is incomplete; null if it is complete. */
export function bodyErrorOf({ bodyError }) {
  if (!bodyError) return null;
  const key = `delivery.bodyError.${bodyError}`;
  return t(has(key) ? key : "delivery.bodyError.unknown", { word: bodyError });
}

function payloadOf(name, text, cut) {
  if (!text) return h("p", { class: "soft" }, t("delivery.noBody"));
  const shown = pretty(text);
  return [
    h(
      "div",
      { class: "payload-head" },
      h("h4", {}, name),
      button("quiet", { text: t("copy.payload"), glyph: "copy" }, () => copy(shown)),
    ),
    h(
      "pre",
      { tabindex: "0", "aria-label": name },
      h("code", {}, shown),
      cut && h("span", { class: "cut" }, `\n… ${t("delivery.cut")}`),
    ),
    cut && h("p", { class: "hint" }, icon("info"), t("delivery.cutText")),
    text === OMITTED && h("p", { class: "hint" }, icon("info"), t("delivery.echoed")),
  ];
}

/** Quotes a word for a POSIX shell. */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/**
 * Returns the request as a curl command that takes the URL literally, brackets and braces included, and uses HTTPS only. The reader fills in
 * omitted values; curl sets the headers that depend on the connection.
 */
export function curlOf({ request }) {
  const skipped = /^(content-length|accept-encoding|host)$/i;
  const lines = [`curl -g -i --proto ${quoted("=https")} ${quoted(request.url)}`];
  for (const [name, value] of Object.entries(request.headers))
    if (!skipped.test(name)) lines.push(`  -H ${quoted(`${name}: ${value}`)}`);
  lines.push(`  --data-raw ${quoted(JSON.stringify(request.body))}`);
  return lines.join(" \\\n");
}

/** Builds the details of a delivery. */
export function detailsOf(delivery) {
  const copyCurl = button("quiet", { text: t("copy.curl"), glyph: "copy" }, () => copy(curlOf(delivery)));
  return h(
    "div",
    { class: "details" },
    h(
      "div",
      { class: "details-bar" },
      h("span", { class: "soft" }, exactly(delivery.triggeredAt)),
      h("span", { class: "soft id" }, delivery.id),
      h("span", { class: "space" }),
      copyCurl,
    ),
    h(
      "div",
      { class: "sides" },
      section("delivery.request", requestOf(delivery)),
      section("delivery.response", responseOf(delivery)),
    ),
  );
}

const section = (key, content) => h("section", { "aria-label": t(key) }, h("h3", {}, t(key)), content);

const requestOf = ({ request }) => [
  h("p", { class: "target" }, h("strong", {}, "POST"), " ", request.url),
  headersOf(request.headers, t("delivery.omitted")),
  payloadOf(t("delivery.payload"), JSON.stringify(request.body), false),
];

function responseOf(delivery) {
  const { response, failure } = delivery;
  if (!response) {
    const text =
      failure === "disabled" ? t("delivery.wasDisabled") : `${t("delivery.noResponse")} ${messageOf(delivery)}`;
    return h("p", { class: "notice" }, icon("info"), h("span", {}, text.trim()));
  }
  const bodyError = bodyErrorOf(response);
  return [
    h("p", { class: "target" }, h("strong", {}, `HTTP ${response.statusCode}`)),
    headersOf(response.headers, t("delivery.echoed")),
    payloadOf(t("delivery.body"), response.body, response.bodyTruncated),
    bodyError && h("p", { class: "hint" }, icon("alert"), bodyError),
  ];
}
