// The sign-in form: the hosted page where there is one, a password where the user pool is asked directly, a token elsewhere.

import { button, h, hold, hook, icon } from "./dom.js";
import { t } from "./i18n.js";
import { keepToken, leaveToSignIn, signIn } from "./session.js";

/** A form that calls `done` when somebody has signed in. `problem` is shown at once; `name` fills in who. */
export function signInForm(config, done, problem, name = "") {
  const message = h("p", { class: "problem", role: "alert", hidden: !problem }, icon("alert"), h("span", {}, problem ?? ""));
  const say = (text) => {
    message.lastChild.textContent = text;
    message.hidden = !text;
  };
  const title = [hook(), h("h1", {}, t("signIn.title")), h("p", { class: "soft" }, t("signIn.lead"))];

  if (config.hostedUiUrl) {
    const leave = button("primary wide", { text: t("signIn.hosted"), glyph: "link" }, () => leaveToSignIn(config));
    return h("div", { class: "sign-in-form" }, title, message, leave);
  }

  const submit = h("button", { type: "submit", class: "primary wide" }, t(config.signInUrl ? "signIn.button" : "signIn.useToken"));
  const work = async (form) => {
    if (config.signInUrl) await signIn(config, form.get("username").trim(), form.get("password"));
    else if (!keepToken(form.get("token").trim())) throw Object.assign(new Error(), { key: "signIn.noToken" });
  };
  const form = h(
    "form",
    {
      class: "sign-in-form",
      on: {
        submit: async (event) => {
          event.preventDefault();
          const release = hold(submit);
          if (!release) return;
          say("");
          try {
            await work(new FormData(form));
            done();
          } catch (error) {
            say(error.key ? t(error.key, error.values) : error.message);
            const secret = form.querySelector("input[type=password]");
            secret.value = "";
            secret.focus();
          } finally {
            release();
          }
        },
      },
    },
    title,
    message,
    config.signInUrl
      ? [
          h("div", { class: "field" }, h("label", { for: "username" }, t("signIn.username")), h("input", { id: "username", name: "username", autocomplete: "username", required: true, value: name, autocapitalize: "none", spellcheck: "false" })),
          h("div", { class: "field" }, h("label", { for: "password" }, t("signIn.password")), h("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true })),
        ]
      : [
          h("p", { class: "soft" }, t("signIn.outside"), " ", h("code", {}, config.issuer)),
          h("div", { class: "field" }, h("label", { for: "token" }, t("signIn.token")), h("input", { id: "token", name: "token", type: "password", autocomplete: "off", required: true })),
        ],
    submit,
  );
  return form;
}
