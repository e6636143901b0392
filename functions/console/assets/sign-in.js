// The sign-in form: the hosted page where there is one, a password where the user pool is called directly, a token elsewhere.

import { button, h, hold, hook, icon } from "./dom.js";
import { t } from "./i18n.js";
import { keepToken, leaveToSignIn, SignInError, signIn } from "./session.js";

/**
 * Builds the form.
 * @param {Config} config
 * @param {() => void} done Called after a sign-in.
 * @param {string} [problem] Shown at first.
 * @param {string} [name] Fills in the username.
 */
export function signInForm(config, done, problem, name = "") {
  const text = h("span", {}, problem ?? "");
  const message = h("p", { class: "problem", role: "alert", hidden: !problem }, icon("alert"), text);
  const say = (problemText) => {
    text.textContent = problemText;
    message.hidden = !problemText;
  };
  const title = [hook(), h("h1", {}, t("signIn.title")), h("p", { class: "soft" }, t("signIn.lead"))];
  if (config.hostedUiUrl) {
    const leave = () => leaveToSignIn(config);
    const hostedButton = button("primary wide", { text: t("signIn.hosted"), glyph: "link" }, leave);
    return h("div", { class: "sign-in-form" }, title, message, hostedButton);
  }
  const fields = config.signInUrl ? passwordFields(name) : tokenFields(config);
  const label = t(config.signInUrl ? "signIn.button" : "signIn.useToken");
  const submit = h("button", { type: "submit", class: "primary wide" }, label);
  const form = h("form", { class: "sign-in-form" }, title, message, fields, submit);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const release = hold(submit);
    if (!release) return;
    say("");
    try {
      await signInWith(config, new FormData(form));
      done();
    } catch (error) {
      say(error.key ? t(error.key, error.values) : error.message);
      const secret = /** @type {HTMLInputElement} */ (form.querySelector("input[type=password]"));
      secret.value = "";
      secret.focus();
    } finally {
      release();
    }
  });
  return form;
}

/** @param {FormData} data */
async function signInWith(config, data) {
  const text = (name) => String(data.get(name));
  if (config.signInUrl) await signIn(config, text("username").trim(), text("password"));
  else if (!keepToken(text("token").trim())) throw new SignInError("signIn.noToken");
}

const inputField = (id, label, props) =>
  h("div", { class: "field" }, h("label", { for: id }, label), h("input", { id, name: id, required: true, ...props }));

const passwordFields = (value) => [
  inputField("username", t("signIn.username"), {
    autocomplete: "username",
    value,
    autocapitalize: "none",
    spellcheck: "false",
  }),
  inputField("password", t("signIn.password"), { type: "password", autocomplete: "current-password" }),
];

const tokenFields = ({ issuer }) => [
  h("p", { class: "soft" }, t("signIn.outside"), " ", h("code", {}, issuer)),
  inputField("token", t("signIn.token"), { type: "password", autocomplete: "off" }),
];
