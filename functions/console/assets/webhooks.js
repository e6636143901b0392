// The table of webhooks: sort, filter, search, select, expand, and the state of all that in the address.

import { COLUMNS, arrange, columnOf, viewOf } from "./columns.js";
import { button, debounce, h, icon, newId } from "./dom.js";
import { timeOf } from "./format.js";
import { language, t } from "./i18n.js";
import { hrefOf, note, where } from "./router.js";
import { badge, rate, remark } from "./status.js";
import { store } from "./store.js";

/** What can be done comes when it is first wanted, or when the page has nothing else to do. */
const actions = () => import("./actions.js");
const act = (name, ...args) => actions().then((module) => module[name](...args));

/** How often the shown numbers are asked for again, in milliseconds. */
const AGAIN_MS = 30_000;
/** Event types named in a cell before the rest is counted. */
const NAMED = 1;

export function webhooksPage(root) {
  let view = viewOf(where().params);
  let titles = new Map();
  let problem = null;
  let loading = false;
  const selected = new Set();
  const rows = new Map();
  const inSight = new Set();
  let panel = null;
  let shown = [];

  // ── The parts that stay ──
  const count = h("span", { class: "count", "aria-live": "polite" });
  const search = h("input", { type: "search", id: "search", value: view.search, placeholder: t("search.placeholder"), "aria-label": t("search.label") });
  const create = button("primary", { text: t("create.button"), glyph: "add" }, () => act("edit"));
  const refresh = button("icon-only", { label: t("refresh"), glyph: "refresh" }, () => load());
  const bulk = h("div", { class: "bulk", hidden: true });
  const bar = h(
    "div",
    { class: "bar" },
    h("h1", {}, t("webhooks.title")),
    count,
    bulk,
    h("div", { class: "search" }, icon("search"), search),
    refresh,
    create,
  );
  const cap = h("p", { class: "notice warn", role: "status", hidden: true });
  const chips = h("div", { class: "chips", hidden: true });
  const all = h("input", { type: "checkbox", "aria-label": t("select.all") });
  const heads = new Map(COLUMNS.map((column) => [column.id, head(column)]));
  const body = h("tbody", { role: "rowgroup" });
  const table = h(
    "table",
    { role: "table", class: "webhooks", "aria-label": t("webhooks.title") },
    h(
      "thead",
      { role: "rowgroup" },
      h(
        "tr",
        { role: "row" },
        h("th", { role: "columnheader", class: "select", scope: "col" }, all),
        [...heads.values()].map(({ cell }) => cell),
        h("th", { role: "columnheader", class: "tools", scope: "col" }, h("span", { class: "visually-hidden" }, t("column.tools"))),
      ),
    ),
    body,
  );
  const scroll = h("div", { class: "scroll" }, table);
  const state = h("div", { class: "state", "aria-live": "polite" });
  root.replaceChildren(bar, cap, chips, scroll, state);

  search.addEventListener("input", debounce(120, () => change({ search: search.value })));
  all.addEventListener("change", () => {
    for (const { webhook } of shown) selected[all.checked ? "add" : "delete"](webhook.id);
    render();
  });

  // ── Heads: a sort button, a filter button ──
  function head({ id }) {
    const name = t(`column.${id}`);
    const sortIcon = h("span", { class: "sort-icon" });
    const sort = h("button", { type: "button", class: "sort", title: t("sort.by", { column: name }), on: { click: () => toggle(id) } }, h("span", {}, name), sortIcon);
    const filter = button("icon-only small", { label: t("filter.by", { column: name }), glyph: "filter", "aria-expanded": "false", "aria-haspopup": "dialog" }, () => openFilter(id, filter, name));
    const cell = h("th", { role: "columnheader", class: id, scope: "col" }, h("span", { class: "head" }, sort, filter));
    return { cell, sortIcon, filter };
  }

  function toggle(id) {
    // Times begin with the newest, everything else with A.
    const first = ["created", "updated", "last"].includes(id);
    change({ sort: view.sort.id === id ? { id, down: !view.sort.down } : { id, down: first } });
  }

  async function openFilter(id, anchor, name) {
    const { openPopover } = await import("./overlays.js");
    const input = h("input", { type: "text", id: newId("filter"), value: new Map(view.filters).get(id) ?? "", autocomplete: "off" });
    const set = (text) => {
      const filters = view.filters.filter(([column]) => column !== id);
      change({ filters: text.trim() ? [...filters, [id, text]] : filters });
    };
    input.addEventListener("input", () => set(input.value));
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault(); // Else the button that gets the focus back would be pressed by it.
      popover.hidePopover();
    });
    // What there is to choose from, where that is few.
    const values = ["level", "status", "types"].includes(id) ? [...new Set(allRows().flatMap((row) => valuesOf(id, row)))].sort() : [];
    const popover = openPopover(
      anchor,
      h(
        "div",
        { class: "filter-box" },
        h("label", { for: input.id }, t("filter.by", { column: name })),
        input,
        values.length > 0 && h("div", { class: "picks" }, values.map((value) => button("pick", { text: value }, () => (set(`"${value}"`), popover.hidePopover())))),
        h("p", { class: "hint" }, t("filter.hint")),
        button("quiet", { text: t("filter.clear"), glyph: "close" }, () => (set(""), popover.hidePopover())),
      ),
      { role: "dialog", "aria-label": t("filter.by", { column: name }) },
    );
    input.focus();
    input.select();
  }

  const valuesOf = (id, row) => (id === "types" ? row.webhook.eventTypes.map((name) => titles.get(name) ?? name) : columnOf(id).text(row).slice(0, 1));

  // ── State ──
  function change(part) {
    view = { ...view, ...part };
    const params = new URLSearchParams();
    if (view.search.trim()) params.set("q", view.search);
    if (view.sort.id !== "created" || !view.sort.down) params.set("sort", `${view.sort.down ? "-" : ""}${view.sort.id}`);
    for (const [id, text] of view.filters) params.set(id, text);
    if (view.open) params.set("open", view.open);
    note(params);
    render();
  }

  const allRows = () => (store.webhooks ?? []).map((webhook) => ({ webhook, stats: store.stats(webhook.id), titles, user: store.user }));

  async function load() {
    loading = true;
    problem = null;
    refresh.classList.add("busy");
    render();
    try {
      await store.load();
      const needed = needsAll() ? store.webhooks.map(({ id }) => id) : [...inSight];
      store.count(needed, { now: true });
    } catch (error) {
      problem = error;
    } finally {
      loading = false;
      refresh.classList.remove("busy");
      render();
    }
  }

  /** Whether the order or a filter depends on the numbers of webhooks out of sight. */
  const needsAll = () => [view.sort.id, ...view.filters.map(([id]) => id)].some((id) => columnOf(id).counted);

  // ── Showing ──
  function render() {
    const known = store.webhooks ?? [];
    for (const id of selected) if (!store.find(id)) selected.delete(id);
    shown = arrange(allRows(), view);
    if (needsAll() && known.length) store.count(known.map(({ id }) => id));
    renderBar(known);
    renderHeads();
    renderRows();
    renderState(known);
  }

  function renderBar(known) {
    const most = store.config.webhookCap;
    // Somebody who sees only their own cannot tell how full the tenant is.
    count.textContent = store.webhooks ? (most && store.user.admin ? t("count.of", { count: known.length, most }) : t("count", { count: known.length })) : "";
    const full = Boolean(most && store.user.admin && known.length >= most);
    create.disabled = full;
    cap.hidden = !full;
    if (full && !cap.hasChildNodes()) cap.append(icon("alert"), t("cap.reached", { most }));
    const chosen = known.filter(({ id }) => selected.has(id));
    bulk.hidden = chosen.length === 0;
    bulk.replaceChildren(
      h("span", { class: "chosen" }, t("select.count", { count: chosen.length })),
      button("quiet", { text: t("menu.enable"), glyph: "play", disabled: chosen.every(({ enabled }) => enabled) }, () => act("setEnabled", chosen, true)),
      button("quiet", { text: t("menu.disable"), glyph: "pause", disabled: chosen.every(({ enabled }) => !enabled) }, () => act("setEnabled", chosen, false)),
      button("quiet bad", { text: t("menu.delete"), glyph: "trash" }, () => act("remove", chosen)),
    );
    const filters = view.filters;
    chips.hidden = filters.length === 0 && !view.search.trim();
    chips.replaceChildren(
      h("span", { class: "soft" }, t("chips.shown", { count: shown.length, all: known.length })),
      ...filters.map(([id, text]) => {
        const name = `${t(`column.${id}`)}: ${text}`;
        return h("span", { class: "chip" }, name, button("icon-only small", { label: t("chips.remove", { filter: name }), glyph: "close" }, () => change({ filters: filters.filter(([other]) => other !== id) })));
      }),
      button("quiet", { text: t("chips.clear") }, () => {
        search.value = "";
        change({ filters: [], search: "" });
        search.focus();
      }),
    );
  }

  function renderHeads() {
    const filtered = new Set(view.filters.map(([id]) => id));
    for (const [id, { cell, sortIcon, filter }] of heads) {
      const sorted = view.sort.id === id;
      cell.setAttribute("aria-sort", sorted ? (view.sort.down ? "descending" : "ascending") : "none");
      sortIcon.replaceChildren(icon(sorted ? (view.sort.down ? "sortDown" : "sortUp") : "sort"));
      filter.classList.toggle("on", filtered.has(id));
    }
    const visible = shown.filter(({ webhook }) => selected.has(webhook.id)).length;
    all.checked = shown.length > 0 && visible === shown.length;
    all.indeterminate = visible > 0 && visible < shown.length;
  }

  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) inSight[isIntersecting ? "add" : "delete"](target.dataset.id);
    store.count([...inSight]);
  });

  function renderRows() {
    const focused = document.activeElement?.closest?.("[data-key]")?.dataset.key;
    const wanted = shown.flatMap((row) => {
      const { id } = row.webhook;
      const open = view.open === id;
      const signature = JSON.stringify([row.webhook, row.stats, selected.has(id), open, titles.size, language(), Math.floor(Date.now() / AGAIN_MS)]);
      let kept = rows.get(id);
      if (kept?.signature !== signature) {
        if (kept) watcher.unobserve(kept.element);
        kept = { signature, element: rowOf(row, open) };
        watcher.observe(kept.element);
        rows.set(id, kept);
      }
      return open ? [kept.element, panelOf(row.webhook)] : [kept.element];
    });
    if (panel && !shown.some(({ webhook }) => webhook.id === panel.id && view.open === panel.id)) closePanel();
    const now = [...body.children];
    if (now.length !== wanted.length || now.some((element, index) => element !== wanted[index])) {
      body.replaceChildren(...wanted);
      if (focused && document.activeElement === document.body) body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
    }
    for (const [id, { element }] of rows) {
      if (element.isConnected) continue;
      watcher.unobserve(element);
      inSight.delete(id);
      rows.delete(id);
    }
  }

  function rowOf({ webhook, stats }, open) {
    const { id, name, description, url, eventTypes, level, ownerId } = webhook;
    const [, host, path] = /^https:\/\/([^/?]*)(.*)$/.exec(url) ?? ["", url, ""];
    const cell = (column, ...content) => h("td", { role: "cell", class: column, data: { label: t(`column.${column}`) } }, content);
    const check = h("input", { type: "checkbox", "aria-label": t("select.one", { name }), data: { key: `select ${id}` } });
    check.checked = selected.has(id);
    check.addEventListener("change", () => {
      selected[check.checked ? "add" : "delete"](id);
      render();
    });
    const first = eventTypes.slice(0, NAMED).map((type) => titles.get(type) ?? type);
    const more = button("icon-only", { label: t("menu.of", { name }), glyph: "more", "aria-haspopup": "menu", "aria-expanded": "false", data: { key: `menu ${id}` } }, () => act("menuOf", webhook, more));
    const expand = button(
      "icon-only",
      { label: t(open ? "history.collapse" : "history.expand", { name }), glyph: open ? "up" : "down", "aria-expanded": String(open), data: { key: `expand ${id}` } },
      () => change({ open: view.open === id ? "" : id }),
    );
    const said = remark(webhook);
    const last = stats?.lastDelivery;
    return h(
      "tr",
      { role: "row", class: `webhook${open ? " open" : ""}${selected.has(id) ? " selected" : ""}`, data: { id } },
      h("td", { role: "cell", class: "select" }, check),
      cell("name", h("a", { href: hrefOf(["webhooks", id]), title: name, data: { key: `name ${id}` } }, name), description && h("span", { class: "description", title: description }, description)),
      cell("url", h("span", { class: "url", title: url }, host), h("span", { class: "description", title: url }, path === "/" ? "" : path)),
      cell("types", first.length ? h("span", { title: eventTypes.map((type) => titles.get(type) ?? type).join("\n") }, h("span", { class: "first" }, first.join(", ")), eventTypes.length > NAMED && h("span", { class: "more" }, `+${eventTypes.length - NAMED}`)) : h("span", { class: "soft" }, t("types.none"))),
      cell("level", t(`level.${level}`)),
      cell("owner", ownerId === store.user.id ? t("you") : h("span", { class: "id", title: ownerId }, ownerId)),
      cell("status", badge(webhook), said && h("span", { class: "description", title: said }, said)),
      cell("last", last ? h("span", { class: `outcome-time ${last.status}` }, icon(last.status === "success" ? "check" : "close"), h("span", { class: "visually-hidden" }, t(`delivery.${last.status}`)), timeOf(last.triggeredAt, "relative")) : h("span", { class: "soft" }, stats ? t("last.none") : "–")),
      cell("rate", stats ? rate(stats.last24Hours) : h("span", { class: "soft" }, "–")),
      cell("created", timeOf(webhook.createdAt, "minute")),
      cell("updated", timeOf(webhook.updatedAt, "minute")),
      h("td", { role: "cell", class: "tools" }, more, expand),
    );
  }

  // ── The history below an open row ──
  function panelOf(webhook) {
    if (panel?.id !== webhook.id) {
      closePanel();
      const host = h("div", { class: "panel" }, h("p", { class: "soft" }, t("loading")));
      panel = { id: webhook.id, row: h("tr", { role: "row", class: "panel-row" }, h("td", { role: "cell", colspan: String(COLUMNS.length + 2) }, host)), host };
      const mine = panel;
      import("./history.js").then(({ historyOf }) => {
        if (panel === mine) mine.history = historyOf(host, webhook.id);
      });
    }
    return panel.row;
  }

  function closePanel() {
    panel?.history?.close();
    panel?.row.remove();
    panel = null;
  }

  // ── Nothing to show, and why ──
  function renderState(known) {
    table.hidden = known.length === 0;
    scroll.classList.toggle("bare", known.length === 0);
    const box = (glyph, title, text, ...more) => [h("div", { class: "blank" }, h("span", { class: "sign" }, icon(glyph)), h("h2", {}, title), h("p", {}, text), h("div", {}, more))];
    let content = [];
    if (problem && !store.webhooks) content = box("alert", t("webhooks.failed"), problem.message, button("primary", { text: t("tryAgain"), glyph: "refresh" }, load));
    else if (problem) content = [h("p", { class: "notice bad", role: "alert" }, icon("alert"), problem.message, button("quiet", { text: t("tryAgain") }, load))];
    else if (!store.webhooks) content = loading ? [h("div", { class: "skeleton", role: "status" }, h("span", { class: "visually-hidden" }, t("loading")), Array.from({ length: 6 }, () => h("i")))] : [];
    else if (known.length === 0) content = box("send", t("webhooks.none"), t(store.user.admin ? "webhooks.noneText" : "webhooks.noneOfYours"), button("primary", { text: t("create.button"), glyph: "add" }, () => act("edit")));
    else if (shown.length === 0) content = box("search", t("webhooks.noMatch"), t("webhooks.noMatchText"), button("", { text: t("chips.clear") }, () => ((search.value = ""), change({ filters: [], search: "" }))));
    // Not said again and again: readers of a screen would hear it each time.
    const key = JSON.stringify([problem?.message, store.webhooks === null, loading && store.webhooks === null, known.length === 0, shown.length === 0, language()]);
    if (state.dataset.key === key) return;
    state.dataset.key = key;
    state.replaceChildren(...content);
  }

  const changed = () => render();
  store.addEventListener("change", changed);
  const timer = setInterval(() => {
    if (document.visibilityState === "visible" && store.webhooks) {
      store.load().catch(() => {}); // What others changed; when it cannot be had, what is known stays.
      store.count([...inSight]);
      render();
    }
  }, AGAIN_MS);
  // First the webhooks; then what their types are called, and what can be done.
  render();
  load().then(async () => {
    actions();
    const types = await store.eventTypes().catch(() => []); // The names do as well.
    titles = new Map(types.map(({ name, title }) => [name, title]));
    render();
  });

  return {
    title: t("webhooks.title"),
    /** The address changed by hand or by Back. */
    update() {
      view = viewOf(where().params);
      if (document.activeElement !== search) search.value = view.search;
      render();
    },
    close() {
      store.removeEventListener("change", changed);
      clearInterval(timer);
      watcher.disconnect();
      closePanel();
    },
  };
}
