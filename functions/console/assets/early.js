// Before anything is painted: the colours and the language chosen last time, so that nothing flickers; and the first view's webhooks are
// asked for, so that they come along with the modules. Everything else is in those.
"use strict";
{
  const root = document.documentElement;
  const theme = localStorage.getItem("anzol.theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const wanted = localStorage.getItem("anzol.language") ?? navigator.languages.find((tag) => /^(en|pt)\b/i.test(tag)) ?? "en";
  root.lang = /^pt/i.test(wanted) ? "pt-BR" : "en";
  // Its texts come along with the first modules, not after them.
  const texts = document.createElement("link");
  texts.rel = "modulepreload";
  texts.href = document.currentScript.src.replace("early.js", `${root.lang}.js`);
  document.head.append(texts);
  const { idToken } = JSON.parse(sessionStorage.getItem("anzol.session") ?? "{}");
  if (idToken && /^(#\/?(webhooks)?(\?.*)?)?$/.test(location.hash)) {
    const path = "/api/core/webhooks?limit=100";
    // api.js takes it from there, unless the token has to be replaced first. What fails is asked for again.
    window.early = { path, idToken, response: fetch(path, { headers: { Authorization: `Bearer ${idToken}` } }).catch(() => null) };
  }
}
