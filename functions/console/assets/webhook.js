// A webhook's own page: what it is, how it stands, and its history.

import { edit, menuOf, setEnabled, test } from "./actions.js";
import { button, h, icon } from "./dom.js";
import { timeOf } from "./format.js";
import { historyOf } from "./history.js";
import { t } from "./i18n.js";
import { copy } from "./overlays.js";
import { go, hrefOf } from "./router.js";
import { badge, remark } from "./status.js";
import { store } from "./store.js";

/** The line that leads back, for every page below the table. */
export const crumbs = (...parts) =>
  h("nav", { class: "crumbs", "aria-label": t("crumbs") }, h("a", { href: hrefOf(["webhooks"]) }, icon("back"), t("webhooks.title")), parts);

/** A page for a webhook that cannot be shown. */
export const notThere = (problem, again) =>
  h(
    "div",
    { class: "blank" },
    h("span", { class: "sign" }, icon("alert")),
    h("h1", {}, t(problem.status === 404 ? "webhook.gone" : "webhook.failed")),
    h("p", {}, problem.status === 404 ? t("webhook.goneText") : problem.message),
    problem.status !== 404 && button("primary", { text: t("tryAgain"), glyph: "refresh" }, again),
  );

export function webhookPage(root, id) {
  const top = h("div", { class: "top" });
  const host = h("div", { class: "panel own" });
  let history = null;
  let titles = new Map();

  function render() {
    const webhook = store.find(id);
    if (!webhook) return;
    document.title = `${webhook.name} · Anzol`;
    const more = button("", { label: t("menu.of", { name: webhook.name }), glyph: "more", "aria-haspopup": "menu", "aria-expanded": "false" }, () => menuOf(webhook, more, () => go(["webhooks"])));
    const said = remark(webhook);
    const sent = [...Object.keys(webhook.headers), ...webhook.encryptedHeaders];
    const fact = (name, ...content) => h("div", {}, h("dt", {}, t(`column.${name}`)), h("dd", {}, content));
    top.replaceChildren(
      crumbs(),
      h(
        "div",
        { class: "bar" },
        h("h1", {}, webhook.name),
        badge(webhook),
        h("span", { class: "space" }),
        button("", { text: t("menu.test"), glyph: "send" }, () => test(webhook)),
        button("primary", { text: t("menu.edit"), glyph: "edit" }, () => edit(webhook)),
        more,
      ),
      webhook.description ? h("p", { class: "lead" }, webhook.description) : "",
      said
        ? h(
            "p",
            { class: `notice ${webhook.enabled ? "warn" : "bad"}` },
            icon("alert"),
            h("span", {}, said),
            !webhook.enabled && button("quiet", { text: t("menu.enable"), glyph: "play" }, () => setEnabled([webhook], true)),
          )
        : "",
      h(
        "dl",
        { class: "facts" },
        fact("url", h("code", {}, webhook.url), button("icon-only small", { label: t("copy.url"), glyph: "copy" }, () => copy(webhook.url))),
        fact("types", webhook.eventTypes.length ? webhook.eventTypes.map((name) => titles.get(name) ?? name).join(", ") : t("types.none")),
        fact("level", t(`level.${webhook.level}`)),
        fact("owner", webhook.ownerId === store.user.id ? t("you") : h("code", {}, webhook.ownerId)),
        fact("secret", t(webhook.secretKeyAdded ? "secret.set" : "secret.unset"), h("a", { href: hrefOf(["webhooks", id, "verify"]) }, t("menu.verify"))),
        sent.length > 0 && fact("headers", h("code", {}, sent.join(", "))),
        webhook.filter && fact("filter", h("code", {}, webhook.filter)),
        fact("format", t(webhook.enableCloudEventDelivery ? "format.cloudEvents" : "format.hybrid")),
        fact("id", h("code", {}, id), button("icon-only small", { label: t("menu.copyId"), glyph: "copy" }, () => copy(id, t("menu.idCopied")))),
        fact("created", timeOf(webhook.createdAt)),
        fact("updated", timeOf(webhook.updatedAt)),
      ),
    );
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
      root.replaceChildren(crumbs(), notThere(error, load));
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
      root.replaceChildren(crumbs(), notThere({ status: 404 }));
    }
  };
  store.addEventListener("change", changed);
  store.eventTypes().then((types) => {
    titles = new Map(types.map(({ name, title }) => [name, title]));
    render();
  }).catch(() => {});
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
