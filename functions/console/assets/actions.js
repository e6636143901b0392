// The actions of a webhook. Their results show at once where that is safe, and are undone if the API refuses.

import { api } from "./api.js";
import { h, inTurns } from "./dom.js";
import { t } from "./i18n.js";
import { confirm, copy, openMenu, toast } from "./overlays.js";
import { go } from "./router.js";
import { store } from "./store.js";
import { test } from "./test-event.js";

export { test };

/** Longest time that the edit panel waits for the current state of the webhook, in milliseconds. */
const FRESH_MS = 500;
/** Webhooks changed at a time. */
const WIDTH = 4;

/** Shows what failed, and offers to try again where that may help. */
export function fail(text, error, again) {
  const action = error.passing && again ? { text: t("tryAgain"), run: again } : undefined;
  toast(`${text} ${error.message}`, { bad: true, action });
}

/** Enables or disables webhooks. */
export async function setEnabled(webhooks, enabled) {
  const before = webhooks.filter((webhook) => webhook.enabled !== enabled);
  for (const webhook of before) {
    const { disabledReason, disabledReasonCode, ...rest } = webhook;
    store.put({ ...(enabled ? rest : webhook), enabled });
  }
  const failed = [];
  await inTurns(before, WIDTH, async (webhook) => {
    try {
      await api.patch(webhook.id, [{ op: "replace", path: "/enabled", value: enabled }]);
      await store.reload(webhook.id).catch(() => {}); // It is changed; the next load shows the rest.
      store.count([webhook.id], { now: true });
    } catch (error) {
      if (error.status === 404) return store.drop(webhook.id);
      store.put(webhook);
      failed.push({ webhook, error });
    }
  });
  for (const { webhook, error } of failed)
    fail(t("actions.notChanged", { name: webhook.name }), error, () => setEnabled([webhook], enabled));
  const done = before.length - failed.length;
  if (done) toast(t(enabled ? "actions.enabled" : "actions.disabled", { count: done, name: before[0].name }));
}

/** Deletes webhooks after a confirmation. Returns whether any was deleted. */
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
  await inTurns(webhooks, WIDTH, async (webhook) => {
    try {
      await api.remove(webhook.id);
      store.drop(webhook.id); // A list that was loaded meanwhile may still contain it.
    } catch (error) {
      if (error.status === 404) return; // Someone else deleted it first.
      store.put(webhook);
      failed.push({ webhook, error });
    }
  });
  for (const { webhook, error } of failed) fail(t("actions.notDeleted", { name: webhook.name }), error);
  const done = webhooks.length - failed.length;
  if (done) toast(t("actions.deleted", { count: done, name: webhooks[0].name }));
  return done > 0;
}

/** Opens the create dialog or the edit panel, whose modules are loaded when they are first needed. */
export async function edit(webhook) {
  // The page may know an older state. If the current one takes long, saving detects conflicts.
  const late = new Promise((resolve) => setTimeout(resolve, FRESH_MS, webhook));
  const fresh = webhook && Promise.race([store.reload(webhook.id).catch(() => webhook), late]);
  const { openForm } = await import("./form.js");
  return openForm(await fresh);
}

/** Opens the menu of a webhook at its button. `gone` is called after it was deleted. */
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
