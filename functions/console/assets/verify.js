// The page for developers of receivers: how to verify the signature, with code for the headers of this webhook.

import { button, byId, h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { copy } from "./overlays.js";
import { hrefOf } from "./router.js";
import { SNIPPETS } from "./snippets.js";
import { store } from "./store.js";
import { crumbs, notFound } from "./webhook.js";

const STEPS = ["raw", "content", "hmac", "compare", "time", "twice", "answer"];
const LANGUAGES = Object.keys(SNIPPETS);

/** Renders the page into `root`. */
export function verifyPage(root, id) {
  async function load() {
    try {
      const webhook = store.find(id) ?? (await store.reload(id));
      const back = h("a", { href: hrefOf(["webhooks", id]) }, webhook.name);
      root.replaceChildren(crumbs(back), article(webhook));
    } catch (error) {
      root.replaceChildren(crumbs(), notFound(error, load));
    }
  }
  load();
  return { title: t("verify.title") };
}

const article = (webhook) =>
  h(
    "article",
    { class: "prose" },
    h("h1", {}, t("verify.title")),
    h("p", { class: "lead" }, t("verify.lead")),
    !webhook.secretKeyAdded && h("p", { class: "notice warn" }, icon("alert"), t("verify.noSecret")),
    h("h2", {}, t("verify.sentTitle")),
    headersTable(webhook),
    h("p", { class: "hint" }, t("verify.names")),
    h("h2", {}, t("verify.recipeTitle")),
    h(
      "ol",
      {},
      STEPS.map((step) => h("li", {}, t(`verify.step.${step}`))),
    ),
    h("p", { class: "hint" }, t("verify.legacy")),
    h("h2", {}, t("verify.codeTitle")),
    h("p", {}, t("verify.codeText")),
    snippets(Object.keys(webhook.headers)),
    h("p", { class: "hint" }, t("verify.libraries"), " ", h("code", {}, "whsec_"), " + base64(secret)."),
  );

function headersTable({ headers, encryptedHeaders, secretKeyAdded }) {
  const row = (name, text) => h("tr", {}, h("th", { scope: "row" }, h("code", {}, name)), h("td", {}, text));
  const rows = [
    secretKeyAdded && row("Qlik-Signature", t("verify.qlikSignature")),
    row("webhook-id", t("verify.webhookId")),
    row("webhook-timestamp", t("verify.timestamp")),
    secretKeyAdded && row("webhook-signature", t("verify.signature")),
    row("Content-Type", "application/json"),
    row("User-Agent", "Qlik Webhook"),
    Object.entries(headers).map(([name, value]) => row(name, value)),
    encryptedHeaders.map((name) => row(name, t("verify.encryptedValue"))),
  ];
  const props = { class: "table-scroll", tabindex: "0", role: "region", "aria-label": t("verify.sentTitle") };
  return h("div", props, h("table", { class: "plain" }, h("tbody", {}, rows)));
}

/** Code in several languages, one at a time. `sent` are the names of the headers that the webhook sends. */
function snippets(sent) {
  let current = LANGUAGES[0];
  const code = h("code", {});
  const pre = h("pre", { tabindex: "0", id: "snippet", role: "tabpanel" }, code);
  const install = h("p", { class: "hint" });
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    choose(LANGUAGES[(LANGUAGES.indexOf(current) + step + LANGUAGES.length) % LANGUAGES.length]);
    byId(`tab-${current}`).focus();
  };
  const tabOf = (key) => {
    const props = { type: "button", role: "tab", id: `tab-${key}`, "aria-controls": "snippet" };
    return h("button", { ...props, on: { click: () => choose(key), keydown: move } }, SNIPPETS[key].name);
  };
  const tabs = LANGUAGES.map(tabOf);
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
    install.textContent = needs ? t("verify.needs", { needs }) : t("verify.needsNothing");
  }
  choose(current);
  const list = h("div", { class: "tabs", role: "tablist", "aria-label": t("verify.languages") }, tabs);
  const copyButton = button("quiet", { text: t("copy.copy"), glyph: "copy" }, () => copy(code.textContent));
  return h("div", { class: "snippets" }, h("div", { class: "snippet-head" }, list, copyButton), pre, install);
}
