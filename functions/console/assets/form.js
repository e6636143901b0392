// The create dialog and the edit panel of a webhook.

import { button, h, hold } from "./dom.js";
import { formFields } from "./form-fields.js";
import { problemSummary, problemsOf } from "./form-problems.js";
import { create, problemsOfError, updater } from "./form-submit.js";
import { t } from "./i18n.js";
import { confirm, openDialog } from "./overlays.js";
import { patchFor } from "./patch.js";
import { store } from "./store.js";

/** @returns {WebhookDraft} */
const emptyWebhook = () => ({
  name: "",
  description: "",
  url: "",
  eventTypes: [],
  level: store.user.admin ? "tenant" : "user",
  ownerId: store.user.id,
  filter: "",
  headers: {},
  encryptedHeaders: [],
  enabled: true,
  enableCloudEventDelivery: false,
  secretKeyAdded: false,
});

const confirmDiscard = () =>
  confirm({ title: t("form.discardTitle"), text: t("form.discardText"), yes: t("form.discard") });

/**
 * Opens the form: for a new webhook, or for the one given. Returns the saved webhook, or undefined.
 * @param {Webhook} [webhook]
 */
export function openForm(webhook) {
  let isDirty = () => false;
  const warn = (event) => isDirty() && event.preventDefault();
  addEventListener("beforeunload", warn);
  return openDialog({
    title: webhook ? t("form.edit", { name: webhook.name }) : t("form.create"),
    look: webhook ? "side" : "wide",
    mayClose: async () => !isDirty() || Boolean(await confirmDiscard()),
    fill(close, dialog) {
      const form = webhookForm(webhook, close, dialog);
      isDirty = form.isDirty;
      return form.node;
    },
  }).finally(() => removeEventListener("beforeunload", warn));
}

function webhookForm(webhook, close, dialog) {
  const stored = webhook ?? emptyWebhook();
  const fields = formFields(stored, !webhook);
  const summary = problemSummary(fields.byName);
  const update = webhook && updater(webhook);
  const save = h("button", { type: "submit", class: "primary" }, t(webhook ? "form.save" : "form.createButton"));
  const state = () => JSON.stringify(fields.read());
  let initial = "";

  async function submit(event) {
    event.preventDefault();
    const wanted = fields.read();
    const problems = problemsOf(wanted, fields.byName);
    if (problems.length) return summary.show(problems);
    const release = hold(save);
    if (!release) return;
    const operations = webhook ? patchFor(stored, wanted) : [];
    try {
      const { saved, conflicts } = webhook ? await update(operations) : { saved: await create(wanted) };
      if (conflicts) return summary.show(conflicts.map((field) => ({ field, text: t("form.changedMeanwhile") })));
      initial = state();
      close(saved);
    } catch (error) {
      summary.show(problemsOfError(error, operations));
    } finally {
      release();
    }
  }

  const cancel = button("", { text: t("cancel") }, () =>
    dialog.dispatchEvent(new Event("cancel", { cancelable: true })),
  );
  const node = h(
    "form",
    { novalidate: true, on: { submit, change: fields.follow } },
    h("div", { class: "body" }, summary.node, fields.nodes),
    h("footer", {}, cancel, save),
  );
  fields.byName.url.input.addEventListener("input", fields.follow);
  initial = state();
  fields.byName.eventTypes.load().then(fields.follow);
  fields.follow();
  return { node, isDirty: () => state() !== initial };
}
