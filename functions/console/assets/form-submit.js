// Saving a form: a new webhook, or the changes of an existing one.

import { ApiError, api } from "./api.js";
import { t } from "./i18n.js";
import { toast } from "./overlays.js";
import { differing, fieldOf } from "./patch.js";
import { store } from "./store.js";

/** Creates the webhook and returns it. */
export async function create(wanted) {
  const { secret, encryptedHeaders, description, filter, ...rest } = wanted;
  const webhook = await api.create({
    ...rest,
    encryptedHeaders: encryptedHeaders.given,
    ...(description && { description }),
    ...(filter.trim() && { filter }),
    ...(secret.value && { secret: secret.value }),
  });
  store.put(webhook);
  toast(t("form.created", { name: webhook.name }));
  return webhook;
}

/**
 * Saves changes of one webhook. `save` returns the webhook, or `conflicts`: fields that someone else changed since the form was opened.
 * Saving again overwrites those.
 */
export function updater(webhook) {
  let seen = webhook;
  return async (operations) => {
    if (operations.length) {
      const present = await api.webhook(webhook.id);
      const mine = new Set(operations.map(({ path }) => path.split("/")[1]));
      const conflicts = differing(seen, present).filter((field) => mine.has(field));
      seen = present;
      if (conflicts.length) return { conflicts };
      await api.patch(webhook.id, operations);
    }
    // The webhook is saved. If it cannot be read now, the next load shows it.
    const saved = await store.reload(webhook.id).catch(() => webhook);
    toast(t("form.saved"));
    return { saved };
  };
}

/** The fields of rules about permissions, which the API reports for the whole request. */
const FIELD_OF_RULE = { admin_required_for_level: "level", admin_required_for_owner: "ownerId" };

/**
 * Returns the problems that an error of the API is about. A problem of a patch may name the index of an operation; then its field is the one
 * that the operation changes.
 */
export function problemsOfError(error, operations) {
  if (!(error instanceof ApiError)) throw error;
  if (error.passing) return [{ text: `${error.message} ${t("form.notSaved")}` }];
  return error.problems.map(({ field, rule, text }) => {
    const [, index] = /^\[(\d+)\]/.exec(field ?? "") ?? [];
    const operation = operations[index];
    return { field: operation ? fieldOf(operation) : (field ?? FIELD_OF_RULE[rule]), text };
  });
}
