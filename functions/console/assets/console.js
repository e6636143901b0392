// The frame of the page: who is signed in, which view is shown, language and theme.

import { useApi } from "./api.js";
import { button, byId, h, hook, icon } from "./dom.js";
import { language, setLanguage, t } from "./i18n.js";
import { go, hrefOf, where } from "./router.js";
import { finishSignIn, forget, isBack, isSignedIn, signOut, user } from "./session.js";
import { store } from "./store.js";
import { webhooksPage } from "./webhooks.js";

const [main, header] = [byId("main"), byId("header")];
const skipLink = /** @type {HTMLAnchorElement} */ (document.querySelector(".skip"));
/** The current view. @type {{ key: string, title?: string, update?: () => void, close?: () => void } | null} */
let page = null;
let signingIn;

const overlays = () => import("./overlays.js");
/** @param {Parameters<typeof import("./sign-in.js").signInForm>} args */
const signInForm = async (...args) => (await import("./sign-in.js")).signInForm(...args);

/** Moves the focus to the first match in an element. */
const focusOn = (element, selector) => /** @type {HTMLElement | null} */ (element.querySelector(selector))?.focus();

// ── Views ──

async function show() {
  const { path } = where();
  const [place, id, part] = path;
  if (!isSignedIn()) return showSignIn();
  const key = `${place === "webhooks" && id ? `${id}/${part ?? ""}` : "webhooks"} ${language()}`;
  if (page?.key === key) return page.update?.();
  page?.close?.();
  page = { key };
  const mine = page;
  let opened;
  if (place === "webhooks" && id && part === "verify") {
    const { verifyPage } = await import("./verify.js");
    if (page === mine) opened = verifyPage(main, id);
  } else if (place === "webhooks" && id) {
    const { webhookPage } = await import("./webhook.js");
    if (page === mine) opened = webhookPage(main, id);
  } else {
    opened = webhooksPage(main);
  }
  if (!opened) return;
  page = { key, ...opened };
  document.title = `${opened.title} · Anzol`;
}

async function showSignIn(problem) {
  page?.close?.();
  page = { key: "sign-in" };
  renderHeader();
  document.title = `${t("signIn.title")} · Anzol`;
  const form = await signInForm(store.config, begin, problem);
  main.replaceChildren(h("div", { class: "sign-in" }, form));
  focusOn(form, "input, button");
}

/** Starts after a sign-in. */
function begin() {
  store.clear();
  store.user = user(store.config);
  page = null;
  renderHeader();
  if (store.user.tenant) return show();
  main.replaceChildren(
    h(
      "div",
      { class: "blank" },
      h("span", { class: "sign" }, icon("alert")),
      h("h1", {}, t("noTenant.title")),
      h("p", {}, t("noTenant.text")),
    ),
  );
}

/**
 * Asks to sign in again above the current view, so that nothing typed is lost. Returns whether the same user signed in; for another user
 * everything starts again.
 */
function signInAgain() {
  signingIn ??= (async () => {
    if (page?.key === "sign-in" || store.config.hostedUiUrl || !store.config.signInUrl) {
      forget();
      if (page?.key !== "sign-in") showSignIn(t("signIn.ended"));
      return false;
    }
    const before = store.user.id;
    const { openDialog } = await overlays();
    const done = await openDialog({
      title: t("signIn.again"),
      look: "small",
      fill: (close) => {
        const host = h("div", { class: "body" });
        signInForm(store.config, () => close(true), t("signIn.ended"), store.user.name).then((form) => {
          host.append(form);
          focusOn(form, "input[type=password]");
        });
        return host;
      },
    });
    if (done && user(store.config).id === before) return true;
    if (done) begin();
    else {
      forget();
      showSignIn();
    }
    return false;
  })().finally(() => (signingIn = undefined));
  return signingIn;
}

// ── The bar at the top ──

async function chooseTheme(anchor) {
  const { openMenu } = await overlays();
  const now = document.documentElement.dataset.theme ?? "auto";
  const choose = (theme) => () => {
    if (theme === "auto") {
      localStorage.removeItem("anzol.theme");
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem("anzol.theme", theme);
      document.documentElement.dataset.theme = theme;
    }
  };
  openMenu(
    anchor,
    ["auto", "light", "dark"].map((theme) => ({
      text: t(`theme.${theme}`),
      glyph: theme === now ? "check" : "theme",
      run: choose(theme),
    })),
  );
}

function renderHeader() {
  const signedIn = isSignedIn() && store.user.id;
  const languages = h(
    "select",
    { "aria-label": t("language"), on: { change: ({ target }) => switchTo(target.value) } },
    [
      ["en", "English"],
      ["pt-BR", "Português"],
    ].map(([tag, name]) => h("option", { value: tag, lang: tag }, name)),
  );
  languages.value = language();
  const theme = button(
    "icon-only",
    { label: t("theme"), glyph: "theme", "aria-haspopup": "menu", "aria-expanded": "false" },
    () => chooseTheme(theme),
  );
  header.replaceChildren(
    h("a", { class: "brand", href: hrefOf(["webhooks"]) }, hook(), h("span", {}, "Anzol")),
    h("span", { class: "space" }),
    languages,
    theme,
    ...(signedIn
      ? [
          h(
            "span",
            { class: "who", title: store.user.tenant },
            h("span", {}, store.user.name),
            h("span", { class: "role" }, t(store.user.admin ? "role.admin" : "role.user")),
          ),
          button("quiet", { text: t("signOut"), glyph: "logout" }, leave),
        ]
      : []),
  );
}

/** Shows the same view in another language. */
async function switchTo(tag) {
  await setLanguage(tag);
  renderHeader();
  focusOn(header, "select");
  skipLink.textContent = t("skip");
  if (page?.key === "sign-in") showSignIn();
  else show();
}

async function leave() {
  // Closed first, so that its pending requests do not ask to sign in again.
  page?.close?.();
  page = { key: "sign-in" };
  await signOut(store.config);
  store.clear();
  store.user = /** @type {User} */ ({});
  go(["webhooks"]);
  showSignIn();
  const { toast } = await overlays();
  toast(t("signOut.done"));
}

// ── Start ──

skipLink.textContent = t("skip");
skipLink.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
addEventListener("hashchange", show);
try {
  const response = await fetch("/console/config.json");
  if (!response.ok) throw new Error(String(response.status));
  store.config = await response.json();
  useApi(store.config, signInAgain);
  let problem;
  if (isBack())
    await finishSignIn(store.config).catch(
      (error) => (problem = error.key ? t(error.key, error.values) : error.message),
    );
  if (!problem && isSignedIn()) begin();
  else showSignIn(problem);
} catch (error) {
  main.replaceChildren(
    h(
      "p",
      { class: "notice bad", role: "alert" },
      icon("alert"),
      t("config.failed"),
      button("quiet", { text: t("tryAgain") }, () => location.reload()),
    ),
  );
  console.error(error);
}
