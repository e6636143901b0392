// The create dialog and the edit panel: all fields of a webhook, checked while typed, with the API's errors at their fields.

import { ApiError, api } from "./api.js";
import { button, debounce, h, hold, icon } from "./dom.js";
import { eventPicker, field, headerRows, secretField } from "./fields.js";
import { problemIn } from "./filter.js";
import { t } from "./i18n.js";
import { confirm, openDialog, toast } from "./overlays.js";
import { store } from "./store.js";

/** Bounds of the contract, in characters. */
const MAX = { name: 512, description: 1024, url: 2048, filter: 4096 };

/** What is wrong with a URL before the API is asked; the API knows more rules. */
function urlProblem(text) {
  if (!text) return t("form.required");
  let url;
  try {
    url = new URL(text);
  } catch {
    return t("url.absolute");
  }
  if (url.protocol !== "https:") return t("url.https");
  if (/^[\d.]+$|^\[/.test(url.hostname)) return t("url.noAddress");
  return "";
}

const unescaped = (part) => part.replaceAll("~1", "/").replaceAll("~0", "~");
const escaped = (part) => part.replaceAll("~", "~0").replaceAll("/", "~1");
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** The JSON Patch that leads from the stored webhook to what the form says. */
export function patchFor(stored, wanted) {
  const operations = [];
  const set = (path, value) => operations.push({ op: "add", path, value });
  for (const name of ["name", "description", "url", "filter", "level", "ownerId", "enableCloudEventDelivery", "enabled"]) {
    if (wanted[name] !== (stored[name] ?? "")) set(`/${name}`, wanted[name]);
  }
  if (!same([...wanted.eventTypes].sort(), [...stored.eventTypes].sort())) set("/eventTypes", wanted.eventTypes);
  if (!same(Object.entries(wanted.headers).sort(), Object.entries(stored.headers).sort())) set("/headers", wanted.headers);
  if (wanted.secret.mode === "remove") operations.push({ op: "remove", path: "/secret" });
  if (wanted.secret.mode === "set" && wanted.secret.value) set("/secret", wanted.secret.value);
  const { kept, given } = wanted.encryptedHeaders;
  for (const name of stored.encryptedHeaders) {
    if (!kept.includes(name) && !(name in given)) operations.push({ op: "remove", path: `/encryptedHeaders/${escaped(name)}` });
  }
  for (const [name, value] of Object.entries(given)) set(`/encryptedHeaders/${escaped(name)}`, value);
  return operations;
}

/** The names of what differs between two states of a webhook, as far as the form has fields for it. */
const differing = (a, b) =>
  ["name", "description", "url", "filter", "level", "ownerId", "enableCloudEventDelivery", "enabled", "eventTypes", "headers", "encryptedHeaders"].filter((name) => !same(a[name] ?? "", b[name] ?? ""));

/** Opens the form: for a new webhook, or for the one given. Answers the webhook as it is then, or undefined. */
export function openForm(webhook) {
  const isNew = !webhook;
  const { admin, id: me } = store.user;
  const stored = webhook ?? {
    name: "", description: "", url: "", eventTypes: [], level: admin ? "tenant" : "user", ownerId: me, filter: "", headers: {},
    encryptedHeaders: [], enabled: true, enableCloudEventDelivery: false, secretKeyAdded: false,
  };
  /** What was last seen of it, by which others' changes are told from one's own. */
  let seen = webhook;
  let isDirty = () => false;
  const warn = (event) => isDirty() && event.preventDefault();
  addEventListener("beforeunload", warn);

  return openDialog({
    title: isNew ? t("form.create") : t("form.edit", { name: webhook.name }),
    look: isNew ? "wide" : "side",
    mayClose: async () => !isDirty() || Boolean(await confirm({ title: t("form.discardTitle"), text: t("form.discardText"), yes: t("form.discard") })),
    fill(close, dialog) {
      // ── Fields ──
      const name = field({ id: "name", label: t("column.name"), max: MAX.name, value: stored.name, required: true, first: isNew });
      const description = field({ id: "description", label: t("form.description"), optional: true, max: MAX.description, value: stored.description ?? "", rows: 2 });
      const url = field({ id: "url", label: t("column.url"), type: "url", max: MAX.url, value: stored.url, required: true, hint: t("form.urlHint"), placeholder: "https://" });
      const secret = secretField(stored.secretKeyAdded);
      const headers = headerRows({ id: "headers", label: t("form.headers"), hint: t("form.headersHint"), values: stored.headers });
      const encrypted = headerRows({ id: "encryptedHeaders", label: t("form.encrypted"), hint: t("form.encryptedHint"), names: stored.encryptedHeaders });
      const events = eventPicker(stored.eventTypes);
      const filter = field({ id: "filter", label: t("form.filter"), optional: true, max: MAX.filter, value: stored.filter ?? "", rows: 2, hint: t("form.filterHint"), mono: true });
      const good = h("p", { class: "hint ok", hidden: true }, icon("check"), t("filter.good"));
      filter.node.append(good);

      const radio = (group, value, checked, label, hint, disabled = false) => {
        const input = h("input", { type: "radio", name: group, value, disabled });
        input.checked = checked;
        return h("label", { class: "choice" }, input, h("span", {}, h("strong", {}, label), h("span", { class: "hint" }, hint)));
      };
      const group = (id, label, ...choices) => {
        const problem = h("p", { class: "problem", id: `${id}-problem`, role: "alert", hidden: true });
        const node = h("fieldset", { class: "choices", id, "aria-describedby": `${id}-problem` }, h("legend", {}, label), choices, problem);
        return {
          node,
          value: () => node.querySelector("input:checked")?.value,
          say(text) {
            problem.replaceChildren(...(text ? [icon("alert"), text] : []));
            problem.hidden = !text;
          },
          focus: () => node.querySelector("input")?.focus(),
        };
      };
      const level = group(
        "level",
        t("column.level"),
        radio("level", "tenant", stored.level === "tenant", t("level.tenant"), t(admin ? "level.tenantText" : "level.tenantAdmins"), !admin),
        radio("level", "user", stored.level === "user", t("level.user"), t("level.userText")),
      );
      const owners = [...new Set((store.webhooks ?? []).map(({ ownerId }) => ownerId))];
      const owner = field({ id: "ownerId", label: t("column.owner"), value: stored.ownerId, hint: t("form.ownerHint"), mono: true, list: owners });
      const format = group(
        "format",
        t("form.format"),
        radio("format", "hybrid", !stored.enableCloudEventDelivery, t("format.hybrid"), t("format.hybridText"), stored.enableCloudEventDelivery),
        radio("format", "cloudEvents", stored.enableCloudEventDelivery, t("format.cloudEvents"), t(stored.enableCloudEventDelivery ? "format.fixed" : "format.cloudEventsText")),
      );
      const enabled = h("input", { type: "checkbox", id: "enabled" });
      enabled.checked = stored.enabled;

      const summary = h("div", { class: "notice bad", role: "alert", tabindex: "-1", hidden: true });
      const save = h("button", { type: "submit", class: "primary" }, isNew ? t("form.createButton") : t("form.save"));

      const read = () => ({
        name: name.value(),
        description: description.value(),
        url: url.value(),
        secret: secret.value(),
        headers: headers.value().given,
        encryptedHeaders: encrypted.value(),
        eventTypes: events.value(),
        filter: filter.value(),
        level: level.value(),
        ownerId: admin ? owner.value() || me : stored.ownerId,
        enableCloudEventDelivery: format.value() === "cloudEvents",
        enabled: enabled.checked,
      });

      // ── Checks while typing ──
      const checkFilter = () => {
        const problem = problemIn(filter.value(), events.value());
        filter.say(problem ? t(problem.key, problem.values) : "");
        good.hidden = Boolean(problem) || !filter.value().trim();
        return !problem;
      };
      filter.input.addEventListener("input", debounce(150, checkFilter));
      const follow = () => {
        const isUser = level.value() === "user";
        owner.node.hidden = !admin || !isUser;
        events.forLevel(level.value());
        encrypted.needValues(!isNew && url.value() !== stored.url);
        if (filter.value()) checkFilter();
      };

      const parts = { name, description, url, secret, headers, encryptedHeaders: encrypted, eventTypes: events, filter, level, ownerId: owner, enableCloudEventDelivery: format };

      /** Shows each problem at its field, what has none at the top, and leads there. */
      function showProblems(problems) {
        for (const part of Object.values(parts)) part.say("");
        const general = [];
        let first;
        for (const { field: of = "", text } of problems) {
          const [, key, more] = /^(\w+)[.[]?(.*?)\]?$/.exec(of) ?? [];
          const part = parts[key];
          if (!part) general.push(of ? `${of}: ${text}` : text);
          else part.say(text, more);
          first ??= part;
        }
        summary.hidden = general.length === 0;
        summary.replaceChildren(icon("alert"), h("span", {}, general.join(" ")));
        const target = general.length ? summary : first;
        (general.length ? summary : first?.node)?.scrollIntoView({ block: "center" });
        target?.focus();
      }

      function ownProblems(wanted) {
        const problems = [];
        const add = (of, text) => text && problems.push({ field: of, text });
        add("name", wanted.name.trim() ? "" : t("form.required"));
        add("url", urlProblem(wanted.url));
        add("secret", secret.problem());
        for (const [of, part] of [["headers", headers], ["encryptedHeaders", encrypted]]) for (const { name: header, text } of part.problems()) add(`${of}.${header}`, text);
        if (wanted.enabled && !wanted.eventTypes.length) add("eventTypes", t("events.none"));
        const inFilter = problemIn(wanted.filter, wanted.eventTypes);
        if (inFilter) add("filter", t(inFilter.key, inFilter.values));
        return problems;
      }

      async function submit(event) {
        event.preventDefault();
        const wanted = read();
        const problems = ownProblems(wanted);
        if (problems.length) return showProblems(problems);
        const release = hold(save);
        if (!release) return;
        let operations = [];
        try {
          let result;
          if (isNew) {
            const { secret: { value: secretValue }, encryptedHeaders: { given }, description: about, filter: condition, ...rest } = wanted;
            result = await api.create({ ...rest, encryptedHeaders: given, ...(about && { description: about }), ...(condition.trim() && { filter: condition }), ...(secretValue && { secret: secretValue }) });
            store.put(result);
            toast(t("form.created", { name: result.name }));
          } else {
            operations = patchFor(stored, wanted);
            if (operations.length) {
              // Whoever saves in the meantime is not overwritten unawares: the first attempt says what would be lost.
              const present = await api.webhook(webhook.id);
              const mine = new Set(operations.map(({ path }) => path.split("/")[1]));
              const lost = differing(seen, present).filter((of) => mine.has(of));
              seen = present;
              if (lost.length) return showProblems(lost.map((of) => ({ field: of, text: t("form.changedMeanwhile") })));
              await api.patch(webhook.id, operations);
            }
            // It is saved; if it cannot be read now, the next load shows it.
            result = await store.reload(webhook.id).catch(() => webhook);
            toast(t("form.saved", { name: result.name }));
          }
          initial = JSON.stringify(read());
          close(result);
        } catch (error) {
          if (!(error instanceof ApiError)) throw error;
          // Problems of a patch may name the operation; that of its path is the field.
          const named = error.problems.map(({ field: of, text }) => {
            const [, index] = /^\[(\d+)\]/.exec(of ?? "") ?? [];
            const [, key, more] = operations[index]?.path.split("/") ?? [];
            return { field: key ? (more ? `${key}.${unescaped(more)}` : key) : of ?? guess(text), text };
          });
          showProblems(error.passing ? [{ text: `${error.message} ${t("form.notSaved")}` }] : named);
        } finally {
          release();
        }
      }

      /** The field of a refusal that says no field first. */
      const guess = (text) => (/enableCloudEventDelivery/.test(text) ? "enableCloudEventDelivery" : /level `|nível `/.test(text) ? "level" : undefined);

      const form = h(
        "form",
        { novalidate: true, on: { submit, change: follow } },
        h(
          "div",
          { class: "body" },
          summary,
          name.node,
          description.node,
          url.node,
          h("div", { class: "field check" }, h("label", { class: "choice" }, enabled, h("span", {}, h("strong", {}, t("form.enabled")), h("span", { class: "hint" }, t("form.enabledHint"))))),
          secret.node,
          headers.node,
          encrypted.node,
          events.node,
          filter.node,
          level.node,
          owner.node,
          format.node,
        ),
        h("footer", {}, button("", { text: t("cancel") }, () => dialog.dispatchEvent(new Event("cancel", { cancelable: true }))), save),
      );
      url.input.addEventListener("input", follow);
      let initial = JSON.stringify(read());
      isDirty = () => JSON.stringify(read()) !== initial;
      events.load().then(follow);
      follow();
      return form;
    },
  }).finally(() => removeEventListener("beforeunload", warn));
}
