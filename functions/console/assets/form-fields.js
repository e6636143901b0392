// The fields of a webhook, in the order of the form.

import { debounce, h, icon } from "./dom.js";
import { eventPicker } from "./event-picker.js";
import { field, radioGroup } from "./fields.js";
import { problemIn } from "./filter.js";
import { headerRows } from "./header-rows.js";
import { t } from "./i18n.js";
import { secretField } from "./secret-field.js";
import { store } from "./store.js";

/** The API's limits, in characters. */
const MAX = { name: 512, description: 1024, url: 2048, filter: 4096 };
/** Milliseconds without typing after which the filter is checked. */
const TYPING_MS = 150;

/** @typedef {ReturnType<typeof formFields>} FormFields */

/**
 * Builds the fields, filled from the stored webhook. `byName` has each by the API's name for it.
 * @param {WebhookDraft} stored
 */
export function formFields(stored, isNew) {
  const { admin, id: me } = store.user;
  const texts = textFields(stored, isNew);
  const byName = {
    ...texts,
    secret: secretField(stored.secretKeyAdded),
    headers: headerRows({
      id: "headers",
      label: t("form.headers"),
      hint: t("form.headersHint"),
      values: stored.headers,
    }),
    encryptedHeaders: headerRows({
      id: "encryptedHeaders",
      label: t("form.encrypted"),
      hint: t("form.encryptedHint"),
      names: stored.encryptedHeaders,
    }),
    eventTypes: eventPicker(stored.eventTypes),
    filter: filterField(stored, () => byName.eventTypes.value()),
    level: levelField(stored.level, admin),
    ownerId: ownerField(stored.ownerId),
    enableCloudEventDelivery: formatField(stored.enableCloudEventDelivery),
  };
  const enabled = h("input", { type: "checkbox", id: "enabled" });
  enabled.checked = stored.enabled;
  return {
    byName,
    nodes: inOrder(byName, enabled),
    /** Returns the webhook that the fields describe. */
    read: () => ({
      name: texts.name.value(),
      description: texts.description.value(),
      url: texts.url.value(),
      secret: byName.secret.value(),
      headers: byName.headers.value().given,
      encryptedHeaders: byName.encryptedHeaders.value(),
      eventTypes: byName.eventTypes.value(),
      filter: byName.filter.value(),
      level: byName.level.value(),
      ownerId: admin ? byName.ownerId.value() || me : stored.ownerId,
      enableCloudEventDelivery: byName.enableCloudEventDelivery.value() === "cloudEvents",
      enabled: enabled.checked,
    }),
    /** Adapts fields to the values of others. */
    follow() {
      const level = byName.level.value();
      byName.ownerId.node.hidden = !admin || level !== "user";
      byName.eventTypes.forLevel(level);
      byName.encryptedHeaders.needValues(!isNew && texts.url.value() !== stored.url);
      if (byName.filter.value()) byName.filter.check();
    },
  };
}

function inOrder(byName, enabled) {
  const { name, description, url, secret, headers, encryptedHeaders, eventTypes, filter, level, ownerId } = byName;
  const enabledText = h(
    "span",
    {},
    h("strong", {}, t("form.enabled")),
    h("span", { class: "hint" }, t("form.enabledHint")),
  );
  const enabledNode = h("div", { class: "field check" }, h("label", { class: "choice" }, enabled, enabledText));
  const rest = [secret, headers, encryptedHeaders, eventTypes, filter, level, ownerId, byName.enableCloudEventDelivery];
  return [name.node, description.node, url.node, enabledNode, ...rest.map(({ node }) => node)];
}

/** @param {WebhookDraft} stored */
const textFields = ({ name, description, url }, isNew) => ({
  name: field({ id: "name", label: t("column.name"), max: MAX.name, value: name, required: true, first: isNew }),
  description: field({
    id: "description",
    label: t("form.description"),
    optional: true,
    max: MAX.description,
    value: description ?? "",
    rows: 2,
  }),
  url: field({
    id: "url",
    label: t("column.url"),
    type: "url",
    max: MAX.url,
    value: url,
    required: true,
    hint: t("form.urlHint"),
    placeholder: "https://",
  }),
});

/** The filter, which is checked while it is typed. */
function filterField(stored, eventTypes) {
  const filter = field({
    id: "filter",
    label: t("form.filter"),
    optional: true,
    max: MAX.filter,
    value: stored.filter ?? "",
    rows: 2,
    hint: t("form.filterHint"),
    mono: true,
  });
  const valid = h("p", { class: "hint ok", hidden: true }, icon("check"), t("filter.valid"));
  filter.node.append(valid);
  const check = () => {
    const problem = problemIn(filter.value(), eventTypes());
    filter.say(problem ? t(problem.key, problem.values) : "");
    valid.hidden = Boolean(problem) || !filter.value().trim();
  };
  filter.input.addEventListener("input", debounce(TYPING_MS, check));
  return { ...filter, check };
}

const levelField = (level, admin) =>
  radioGroup("level", t("column.level"), level, [
    {
      value: "tenant",
      label: t("level.tenant"),
      hint: t(admin ? "level.tenantText" : "level.tenantAdmins"),
      disabled: !admin,
    },
    { value: "user", label: t("level.user"), hint: t("level.userText") },
  ]);

/** The owner, with those of other webhooks to choose from. */
function ownerField(value) {
  const list = [...new Set((store.webhooks ?? []).map(({ ownerId }) => ownerId))];
  return field({ id: "ownerId", label: t("column.owner"), value, hint: t("form.ownerHint"), mono: true, list });
}

const formatField = (isPure) =>
  radioGroup("format", t("form.format"), isPure ? "cloudEvents" : "hybrid", [
    { value: "hybrid", label: t("format.hybrid"), hint: t("format.hybridText"), disabled: isPure },
    {
      value: "cloudEvents",
      label: t("format.cloudEvents"),
      hint: t(isPure ? "format.fixed" : "format.cloudEventsText"),
    },
  ]);
