// The page of one webhook: its settings, its state, and its history.

import { edit, menuOf, setEnabled, test } from "./actions.js";
import { button, h, icon } from "./dom.js";
import { timeOf } from "./format.js";
import { historyOf } from "./history.js";
import { t, titlesOf } from "./i18n.js";
import { copy } from "./overlays.js";
import { go, hrefOf } from "./router.js";
import { badge, remark } from "./status.js";
import { store } from "./store.js";

/** The line that leads back to the table, for every page below it. */
export const crumbs = (...parts) =>
  h(
    "nav",
    { class: "crumbs", "aria-label": t("crumbs") },
    h("a", { href: hrefOf(["webhooks"]) }, icon("back"), t("webhooks.title")),
    parts,
  );

/**
 * The page of a webhook that cannot be shown. `again` loads it again.
 * @param {{ status: number, message?: string }} problem
 * @param {() => any} [again]
 */
export function notFound(problem, again = () => {}) {
  const missing = problem.status === 404;
  return h(
    "div",
    { class: "blank" },
    h("span", { class: "sign" }, icon("alert")),
    h("h1", {}, t(missing ? "webhook.gone" : "webhook.failed")),
    h("p", {}, missing ? t("webhook.goneText") : problem.message),
    !missing && button("primary", { text: t("tryAgain"), glyph: "refresh" }, again),
  );
}

/** Renders the page into `root`. */
export function webhookPage(root, id) {
  const top = h("div", { class: "top" });
  const host = h("div", { class: "panel own" });
  /** @type {ReturnType<typeof historyOf> | null} */
  let history = null;
  let titles = new Map();

  function render() {
    const webhook = store.find(id);
    if (!webhook) return;
    document.title = `${webhook.name} · Anzol`;
    top.replaceChildren(crumbs(), bar(webhook), ...notices(webhook), facts(webhook, titles));
  }

  async function load() {
    try {
      if (!store.find(id)) {
        root.replaceChildren(crumbs(), h("p", { class: "soft", role: "status" }, t("loading")));
        await store.reload(id);
      } else {
        store.reload(id).catch((error) => error.status === 404 && store.drop(id));
      }
    } catch (error) {
      root.replaceChildren(crumbs(), notFound(error, load));
      return;
    }
    render();
    root.replaceChildren(top, host);
    history = historyOf(host, id, { inAddress: true });
  }

  const changed = () => {
    if (store.find(id)) render();
    else if (history) {
      history.close();
      history = null;
      root.replaceChildren(crumbs(), notFound({ status: 404 }));
    }
  };
  store.addEventListener("change", changed);
  store
    .eventTypes()
    .then((types) => {
      titles = titlesOf(types);
      render();
    })
    .catch(() => {}); // Without titles, the page shows names.
  load();

  return {
    title: store.find(id)?.name ?? t("webhook.title"),
    update: () => history?.update(),
    close() {
      store.removeEventListener("change", changed);
      history?.close();
    },
  };
}

function bar(webhook) {
  const more = button(
    "",
    { label: t("menu.of", { name: webhook.name }), glyph: "more", "aria-haspopup": "menu", "aria-expanded": "false" },
    () => menuOf(webhook, more, () => go(["webhooks"])),
  );
  return h(
    "div",
    { class: "bar" },
    h("h1", {}, webhook.name),
    badge(webhook),
    h("span", { class: "space" }),
    button("", { text: t("menu.test"), glyph: "send" }, () => test(webhook)),
    button("primary", { text: t("menu.edit"), glyph: "edit" }, () => edit(webhook)),
    more,
  );
}

function notices(webhook) {
  const text = remark(webhook);
  const enable = () => button("quiet", { text: t("menu.enable"), glyph: "play" }, () => setEnabled([webhook], true));
  return [
    webhook.description ? h("p", { class: "lead" }, webhook.description) : "",
    text
      ? h(
          "p",
          { class: `notice ${webhook.enabled ? "warn" : "bad"}` },
          icon("alert"),
          h("span", {}, text),
          !webhook.enabled && enable(),
        )
      : "",
  ];
}

function facts(webhook, titles) {
  const { id, url, eventTypes, level, ownerId, headers, encryptedHeaders, secretKeyAdded, filter } = webhook;
  const sent = [...Object.keys(headers), ...encryptedHeaders];
  const fact = (name, ...content) => h("div", {}, h("dt", {}, t(`column.${name}`)), h("dd", {}, content));
  const copyButton = (label, run) => button("icon-only small", { label, glyph: "copy" }, run);
  const types = eventTypes.map((name) => titles.get(name) ?? name).join(", ");
  return h(
    "dl",
    { class: "facts" },
    fact(
      "url",
      h("code", {}, url),
      copyButton(t("copy.url"), () => copy(url)),
    ),
    fact("types", types || t("types.none")),
    fact("level", t(`level.${level}`)),
    fact("owner", ownerId === store.user.id ? t("you") : h("code", {}, ownerId)),
    fact(
      "secret",
      t(secretKeyAdded ? "secret.set" : "secret.unset"),
      h("a", { href: hrefOf(["webhooks", id, "verify"]) }, t("menu.verify")),
    ),
    sent.length > 0 && fact("headers", h("code", {}, sent.join(", "))),
    filter && fact("filter", h("code", {}, filter)),
    fact("format", t(webhook.enableCloudEventDelivery ? "format.cloudEvents" : "format.hybrid")),
    fact(
      "id",
      h("code", {}, id),
      copyButton(t("menu.copyId"), () => copy(id, t("menu.idCopied"))),
    ),
    fact("created", timeOf(webhook.createdAt)),
    fact("updated", timeOf(webhook.updatedAt)),
  );
}
