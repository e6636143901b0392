// Runs before the first paint: sets the theme and the language chosen last time, so that nothing flickers, and requests the webhooks of the
// first view, so that they arrive with the modules.

{
  const root = document.documentElement;
  const theme = localStorage.getItem("anzol.theme");
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  const wanted =
    localStorage.getItem("anzol.language") ?? navigator.languages.find((tag) => /^(en|pt)\b/i.test(tag)) ?? "en";
  root.lang = /^pt/i.test(wanted) ? "pt-BR" : "en";
  // The texts load together with the first modules, not after them.
  const texts = document.createElement("link");
  texts.rel = "modulepreload";
  texts.href = /** @type {HTMLScriptElement} */ (document.currentScript).src.replace("early.js", `${root.lang}.js`);
  document.head.append(texts);
  const { idToken } = JSON.parse(sessionStorage.getItem("anzol.session") ?? "{}");
  if (idToken && /^(#\/?(webhooks)?(\?.*)?)?$/.test(location.hash)) {
    const path = "/api/core/webhooks?limit=100";
    // api.js uses the response, unless the token has to be replaced first or the request failed.
    window.early = {
      path,
      idToken,
      response: fetch(path, { headers: { Authorization: `Bearer ${idToken}` } }).catch(() => null),
    };
  }
}
