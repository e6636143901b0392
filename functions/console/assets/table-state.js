// The notice in place of the table: loading, an error, no webhooks, or none that match the filters.

import { button, h, icon } from "./dom.js";
import { language, t } from "./i18n.js";
import { store } from "./store.js";
import { act } from "./table-bar.js";

const SKELETON_ROWS = 6;

/**
 * Builds the element.
 * @param {import("./webhooks.js").Table} table
 */
export function tableState(table) {
  const node = h("div", { class: "state", "aria-live": "polite" });
  return {
    node,
    render(known) {
      const { problem, loading, shown } = table;
      const unloaded = store.webhooks === null;
      // Replaced only when it changes, because screen readers read every replacement aloud.
      const key = JSON.stringify([
        problem?.message,
        unloaded,
        loading && unloaded,
        known.length === 0,
        shown.length === 0,
        language(),
      ]);
      if (node.dataset.key === key) return;
      node.dataset.key = key;
      node.replaceChildren(...contentOf(table, known));
    },
  };
}

function contentOf(table, known) {
  const { problem, load, loading, shown } = table;
  const again = (look, props) => button(look, { text: t("tryAgain"), ...props }, load);
  const create = () => button("primary", { text: t("create.button"), glyph: "add" }, () => act("edit"));
  if (problem && !store.webhooks) {
    return [box("alert", t("webhooks.failed"), problem.message, again("primary", { glyph: "refresh" }))];
  }
  if (problem)
    return [h("p", { class: "notice bad", role: "alert" }, icon("alert"), problem.message, again("quiet", {}))];
  if (!store.webhooks) return loading ? [skeleton()] : [];
  if (known.length === 0) {
    return [box("send", t("webhooks.none"), t(store.user.admin ? "webhooks.noneText" : "webhooks.noOwn"), create())];
  }
  if (shown.length > 0) return [];
  const clear = button("", { text: t("chips.clear") }, () => table.clearFilters());
  return [box("search", t("webhooks.noMatch"), t("webhooks.noMatchText"), clear)];
}

const box = (glyph, title, text, action) =>
  h(
    "div",
    { class: "blank" },
    h("span", { class: "sign" }, icon(glyph)),
    h("h2", {}, title),
    h("p", {}, text),
    h("div", {}, action),
  );

const skeleton = () =>
  h(
    "div",
    { class: "skeleton", role: "status" },
    h("span", { class: "visually-hidden" }, t("loading")),
    Array.from({ length: SKELETON_ROWS }, () => h("i")),
  );
