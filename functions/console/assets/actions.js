// What can be done with a webhook: shown at once where that is safe, and taken back when the API refuses.

import { api } from "./api.js";
import { button, h, hold, icon, inTurns } from "./dom.js";
import { duration } from "./format.js";
import { t } from "./i18n.js";
import { confirm, copy, openDialog, openMenu, toast } from "./overlays.js";
import { go } from "./router.js";
import { messageOf, outcome } from "./status.js";
import { store } from "./store.js";

/** Milliseconds that the edit panel waits at most for the webhook as it is now. */
const FRESH_MS = 500;

/** A note of what failed, with another try where that may help. */
export function fail(text, error, again) {
  const action = error.passing && again ? { text: t("tryAgain"), run: again } : undefined;
  toast(`${text} ${error.message}`, { bad: true, action });
}

/** Enables or disables. */
export async function setEnabled(webhooks, enabled) {
  const before = webhooks.filter((webhook) => webhook.enabled !== enabled);
  for (const webhook of before) {
    const { disabledReason, disabledReasonCode, ...rest } = webhook;
    store.put({ ...(enabled ? rest : webhook), enabled });
  }
  const failed = [];
  await inTurns(before, 4, async (webhook) => {
    try {
      await api.patch(webhook.id, [{ op: "replace", path: "/enabled", value: enabled }]);
      await store.reload(webhook.id).catch(() => {}); // It is changed; the rest is news for the next time.
      store.count([webhook.id], { now: true });
    } catch (error) {
      if (error.status === 404) return store.drop(webhook.id);
      store.put(webhook);
      failed.push({ webhook, error });
    }
  });
  for (const { webhook, error } of failed) fail(t("actions.notChanged", { name: webhook.name }), error, () => setEnabled([webhook], enabled));
  const done = before.length - failed.length;
  if (done) toast(t(enabled ? "actions.enabled" : "actions.disabled", { count: done, name: before[0].name }));
}

/** Asks, then deletes; answers whether anything went. */
export async function remove(webhooks) {
  const listed = h(
    "ul",
    { class: "names" },
    webhooks.map(({ name, url }) => h("li", {}, h("strong", {}, name), h("span", { class: "soft" }, url))),
  );
  const sure = await confirm({
    title: t("delete.title", { count: webhooks.length }),
    text: t("delete.text", { count: webhooks.length }),
    details: listed,
    yes: t("delete.yes", { count: webhooks.length }),
  });
  if (!sure) return false;
  for (const { id } of webhooks) store.drop(id);
  const failed = [];
  await inTurns(webhooks, 4, async (webhook) => {
    try {
      await api.remove(webhook.id);
      store.drop(webhook.id); // A list that was read meanwhile may have brought it back.
    } catch (error) {
      if (error.status === 404) return; // Somebody else was quicker.
      store.put(webhook);
      failed.push({ webhook, error });
    }
  });
  for (const { webhook, error } of failed) fail(t("actions.notDeleted", { name: webhook.name }), error);
  const done = webhooks.length - failed.length;
  if (done) toast(t("actions.deleted", { count: done, name: webhooks[0].name }));
  return done > 0;
}

/** Sends a test event and shows how that went. */
export async function test(webhook) {
  const types = await store.eventTypes().catch(() => []);
  const titleOf = (name) => types.find((type) => type.name === name)?.title ?? name;
  return openDialog({
    title: t("test.title"),
    look: "small",
    fill: (close) => {
      const choice = h("select", { id: "test-type" }, webhook.eventTypes.map((name) => h("option", { value: name }, titleOf(name))));
      const result = h("div", { class: "result", "aria-live": "polite" });
      const send = h("button", { type: "submit", class: "primary" }, icon("send"), h("span", {}, t("test.send")));
      const submit = async (event) => {
        event.preventDefault();
        const release = hold(send);
        if (!release) return;
        result.replaceChildren(h("span", { class: "soft" }, t("test.sending")));
        try {
          const delivery = await api.test(webhook.id, choice.value);
          const see = button("quiet", { text: t("test.see"), glyph: "link" }, () => {
            close(delivery);
            go(["webhooks", webhook.id], { delivery: delivery.id });
          });
          result.replaceChildren(
            h("p", {}, outcome(delivery), h("span", { class: "soft" }, duration(delivery.durationMs)), see),
            messageOf(delivery) ? h("p", { class: "soft" }, messageOf(delivery)) : "",
          );
          store.count([webhook.id], { now: true });
          store.reload(webhook.id).catch(() => {}); // Its health may have changed; the next load shows it too.
        } catch (error) {
          const text = error.missing ? t("notOffered") : error.message;
          result.replaceChildren(h("p", { class: "problem", role: "alert" }, icon("alert"), text));
        } finally {
          release();
        }
      };
      const some = webhook.eventTypes.length > 0;
      return h(
        "form",
        { on: { submit } },
        h(
          "div",
          { class: "body" },
          h("p", {}, t("test.text", { name: webhook.name })),
          h("p", { class: "soft url" }, webhook.url),
          some ? h("div", { class: "field" }, h("label", { for: "test-type" }, t("test.type")), choice) : h("p", { class: "problem" }, icon("alert"), t("test.noTypes")),
          result,
        ),
        h("footer", {}, button("", { text: t("close") }, () => close()), some && send),
      );
    },
  });
}

/** Opens the create dialog or the edit panel; its files come when they are first needed. */
export async function edit(webhook) {
  // As it is now, unless that takes long: what this page knows may be old. Whether it is, saving finds out.
  const late = new Promise((resolve) => setTimeout(resolve, FRESH_MS, webhook));
  const fresh = webhook && Promise.race([store.reload(webhook.id).catch(() => webhook), late]);
  const { openForm } = await import("./form.js");
  return openForm(await fresh);
}

/** The menu of a webhook. `gone` is called after it was deleted. */
export function menuOf(webhook, anchor, gone = () => {}) {
  return openMenu(anchor, [
    webhook.enabled
      ? { text: t("menu.disable"), glyph: "pause", run: () => setEnabled([webhook], false) }
      : { text: t("menu.enable"), glyph: "play", run: () => setEnabled([webhook], true) },
    { text: t("menu.edit"), glyph: "edit", run: () => edit(webhook) },
    { text: t("menu.test"), glyph: "send", run: () => test(webhook) },
    { text: t("menu.history"), glyph: "recover", run: () => go(["webhooks", webhook.id]) },
    { text: t("menu.verify"), glyph: "key", run: () => go(["webhooks", webhook.id, "verify"]) },
    { text: t("menu.copyId"), glyph: "copy", run: () => copy(webhook.id, t("menu.idCopied")) },
    { text: t("menu.delete"), glyph: "trash", bad: true, run: async () => (await remove([webhook])) && gone() },
  ]);
}
