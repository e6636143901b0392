// The dialog that sends a test event and shows the result.

import { api } from "./api.js";
import { button, h, hold, icon } from "./dom.js";
import { duration } from "./format.js";
import { t, titlesOf } from "./i18n.js";
import { openDialog } from "./overlays.js";
import { go } from "./router.js";
import { messageOf, outcome } from "./status.js";
import { store } from "./store.js";

/** Opens the dialog. Returns the delivery if the reader went on to it. */
export async function test(webhook) {
  const types = await store.eventTypes().catch(() => []);
  const titles = titlesOf(types);
  return openDialog({ title: t("test.title"), look: "small", fill: (close) => testForm(webhook, titles, close) });
}

function testForm(webhook, titles, close) {
  const { id, name, url, eventTypes } = webhook;
  const options = eventTypes.map((type) => h("option", { value: type }, titles.get(type) ?? type));
  const choice = h("select", { id: "test-type" }, options);
  const result = h("div", { class: "result", "aria-live": "polite" });
  const send = h("button", { type: "submit", class: "primary" }, icon("send"), h("span", {}, t("test.send")));
  const see = (delivery) => {
    close(delivery);
    go(["webhooks", id], { delivery: delivery.id });
  };

  async function submit(event) {
    event.preventDefault();
    const release = hold(send);
    if (!release) return;
    result.replaceChildren(h("span", { class: "soft" }, t("test.sending")));
    try {
      const delivery = await api.test(id, choice.value);
      result.replaceChildren(...resultOf(delivery, () => see(delivery)));
      store.count([id], { now: true });
      store.reload(id).catch(() => {}); // The health may have changed; the next load shows it too.
    } catch (error) {
      const text = error.missing ? t("notOffered") : error.message;
      result.replaceChildren(h("p", { class: "problem", role: "alert" }, icon("alert"), text));
    } finally {
      release();
    }
  }

  const hasTypes = eventTypes.length > 0;
  const typeField = hasTypes
    ? h("div", { class: "field" }, h("label", { for: "test-type" }, t("test.type")), choice)
    : h("p", { class: "problem" }, icon("alert"), t("test.noTypes"));
  return h(
    "form",
    { on: { submit } },
    h(
      "div",
      { class: "body" },
      h("p", {}, t("test.text", { name })),
      h("p", { class: "soft url" }, url),
      typeField,
      result,
    ),
    h(
      "footer",
      {},
      button("", { text: t("close") }, () => close()),
      hasTypes && send,
    ),
  );
}

function resultOf(delivery, see) {
  const message = messageOf(delivery);
  const seeButton = button("quiet", { text: t("test.see"), glyph: "link" }, see);
  return [
    h("p", {}, outcome(delivery), h("span", { class: "soft" }, duration(delivery.durationMs)), seeButton),
    message ? h("p", { class: "soft" }, message) : "",
  ];
}
