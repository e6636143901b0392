// For whoever writes the receiver: what the signature is, and code that checks it, for this webhook's own headers.

import { button, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { copy } from "./overlays.js";
import { SNIPPETS } from "./snippets.js";
import { store } from "./store.js";
import { crumbs, notThere } from "./webhook.js";

export function verifyPage(root, id) {
  let current = "node";

  function snippets(webhook) {
    const sent = Object.keys(webhook.headers);
    const code = h("code", {});
    const pre = h("pre", { tabindex: "0", id: "snippet", role: "tabpanel" }, code);
    const install = h("p", { class: "hint" });
    const tabs = Object.entries(SNIPPETS).map(([key, { name }]) =>
      h("button", {
        type: "button", role: "tab", id: `tab-${key}`, "aria-controls": "snippet",
        on: {
          click: () => choose(key),
          keydown: (event) => {
            const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (!step) return;
            const keys = Object.keys(SNIPPETS);
            choose(keys[(keys.indexOf(current) + step + keys.length) % keys.length]);
            document.getElementById(`tab-${current}`).focus();
          },
        },
      }, name),
    );
    function choose(key) {
      current = key;
      const { source, needs } = SNIPPETS[key];
      for (const tab of tabs) {
        const on = tab.id === `tab-${key}`;
        tab.setAttribute("aria-selected", String(on));
        tab.tabIndex = on ? 0 : -1;
      }
      code.textContent = source(sent);
      pre.setAttribute("aria-labelledby", `tab-${key}`);
      install.textContent = t(needs ? "verify.needs" : "verify.needsNothing", { needs });
    }
    choose(current);
    return h(
      "div",
      { class: "snippets" },
      h("div", { class: "snippet-head" }, h("div", { class: "tabs", role: "tablist", "aria-label": t("verify.languages") }, tabs), button("quiet", { text: t("copy.copy"), glyph: "copy" }, () => copy(code.textContent))),
      pre,
      install,
    );
  }

  function render(webhook) {
    const row = (name, text) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, name)), h("td", {}, text));
    const own = [...Object.entries(webhook.headers), ...webhook.encryptedHeaders.map((name) => [name, t("verify.encryptedValue")])];
    root.replaceChildren(
      crumbs(h("a", { href: `#/webhooks/${encodeURIComponent(id)}` }, webhook.name)),
      h(
        "article",
        { class: "prose" },
        h("h1", {}, t("verify.title")),
        h("p", { class: "lead" }, t("verify.lead")),
        !webhook.secretKeyAdded && h("p", { class: "notice warn" }, icon("alert"), t("verify.noSecret")),
        h("h2", {}, t("verify.sentTitle")),
        h(
          "div",
          { class: "table-scroll", tabindex: "0", role: "region", "aria-label": t("verify.sentTitle") },
          h(
            "table",
            { class: "plain" },
            h(
              "tbody",
              {},
              webhook.secretKeyAdded && row("Qlik-Signature", t("verify.qlikSignature")),
              row("webhook-id", t("verify.webhookId")),
              row("webhook-timestamp", t("verify.timestamp")),
              webhook.secretKeyAdded && row("webhook-signature", t("verify.signature")),
              row("Content-Type", "application/json"),
              row("User-Agent", "Qlik Webhook"),
              own.map(([name, value]) => row(name, value)),
            ),
          ),
        ),
        h("p", { class: "hint" }, t("verify.names")),
        h("h2", {}, t("verify.recipeTitle")),
        h("ol", {}, ["raw", "content", "hmac", "compare", "time", "twice", "answer"].map((step) => h("li", {}, t(`verify.step.${step}`)))),
        h("p", { class: "hint" }, t("verify.legacy")),
        h("h2", {}, t("verify.codeTitle")),
        h("p", {}, t("verify.codeText")),
        snippets(webhook),
        h("p", { class: "hint" }, t("verify.libraries"), " ", h("code", {}, "whsec_"), " + base64(secret)."),
      ),
    );
  }

  async function load() {
    try {
      render(store.find(id) ?? (await store.reload(id)));
    } catch (error) {
      root.replaceChildren(crumbs(), notThere(error, load));
    }
  }
  load();
  return { title: t("verify.title") };
}
