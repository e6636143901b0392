// Before anything is painted: the colours and the language chosen last time, so that nothing flickers. Everything else is in modules.
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
  texts.href = document.currentScript.src.replace("theme.js", `${root.lang}.js`);
  document.head.append(texts);
}
