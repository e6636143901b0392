// The history of a webhook: chart, filters, deliveries that open, resend and recover, and why there is nothing when there is nothing.

import { fail, setEnabled, test } from "./actions.js";
import { api } from "./api.js";
import { daysChart } from "./chart.js";
import { detailsOf } from "./delivery.js";
import { button, h, hold, icon, newId } from "./dom.js";
import { duration, exactly, relatively, timeOf } from "./format.js";
import { language, t } from "./i18n.js";
import { go, hrefOf, note, where } from "./router.js";
import { silenceOf } from "./silence.js";
import { messageOf, outcome } from "./status.js";
import { store } from "./store.js";

/** How often an open history is read again, in milliseconds. */
const AGAIN_MS = 5_000;
/** Every so many readings the numbers are asked for too. */
const COUNT_EVERY = 4;

/**
 * Shows the history of webhook `id` in `root`. `inAddress` keeps its filters in the address, and links to nothing, being the page of its
 * own.
 */
export function historyOf(root, id, { inAddress = false } = {}) {
  const fromAddress = () => {
    const { params } = where();
    return { status: params.get("status") ?? "", eventType: params.get("type") ?? "" };
  };
  let view = inAddress ? fromAddress() : { status: "", eventType: "" };
  let wanted = inAddress ? where().params.get("delivery") : null;
  let deliveries = null;
  let next;
  let problem = null;
  let titles = new Map();
  let readings = 0;
  let closed = false;
  let reading;
  const open = new Map(); // delivery id → element of its details
  const results = new Map(); // delivery id → what its resend came to
  const rows = new Map();

  const chart = h("div", { class: "chart-host" });
  const statuses = h(
    "div",
    { class: "segments", role: "group", "aria-label": t("history.byStatus") },
    ["", "success", "fail"].map((status) => h("button", { type: "button", data: { status }, on: { click: () => change({ status }) } }, t(`history.${status || "all"}`))),
  );
  const typeId = newId("type");
  const types = h("select", { id: typeId, "aria-label": t("history.byType"), on: { change: () => change({ eventType: types.value }) } });
  const live = h("span", { class: "live", title: t("history.liveText") }, h("i"), t("history.live"));
  const recoverButton = button("", { text: t("recover.button"), glyph: "recover" }, async () => {
    const { recover } = await import("./recover.js");
    await recover(store.find(id));
    read();
  });
  const tools = h(
    "div",
    { class: "history-tools" },
    statuses,
    types,
    live,
    h("span", { class: "space" }),
    recoverButton,
    !inAddress && h("a", { class: "button", href: hrefOf(["webhooks", id]) }, icon("link"), h("span", {}, t("history.ownPage"))),
  );
  const body = h("tbody", { role: "rowgroup" });
  const table = h(
    "table",
    { class: "deliveries", role: "table", "aria-label": t("history.title") },
    h(
      "thead",
      { role: "rowgroup" },
      h("tr", { role: "row" }, ["time", "type", "outcome", "attempt", "trigger", "duration"].map((name) => h("th", { role: "columnheader", scope: "col", class: name }, t(`delivery.column.${name}`))), h("th", { role: "columnheader", scope: "col", class: "tools" }, h("span", { class: "visually-hidden" }, t("column.tools")))),
    ),
    body,
  );
  const state = h("div", { class: "history-state" });
  const further = button("", { text: t("history.more") }, more);
  root.replaceChildren(h("h2", { class: inAddress ? "" : "visually-hidden" }, t("history.title")), chart, tools, state, table, further);

  function change(part) {
    view = { ...view, ...part };
    if (inAddress) note(new URLSearchParams({ ...(view.status && { status: view.status }), ...(view.eventType && { type: view.eventType }) }));
    deliveries = null;
    next = undefined;
    render();
    read();
  }

  // ── Reading ──
  async function read() {
    reading?.abort();
    const mine = (reading = new AbortController());
    let news = deliveries === null;
    try {
      const page = await api.deliveries(id, view, mine.signal);
      if (closed || mine.signal.aborted) return;
      const known = new Map((deliveries ?? []).map((delivery) => [delivery.id, delivery]));
      const fresh = page.data.filter((delivery) => !known.has(delivery.id));
      // Nothing in common: what lay between has not been read, so what follows is read again when asked for.
      if (deliveries === null || fresh.length === page.data.length) next = page.next;
      news ||= fresh.length > 0;
      deliveries = fresh.length === page.data.length ? page.data : [...fresh, ...deliveries];
      problem = null;
    } catch (error) {
      if (error.name === "AbortError" || closed) return;
      problem = error;
    }
    // What is new counts at once; the rest, such as days that pass, from time to time.
    if (news || readings % COUNT_EVERY === 0) store.count([id], { now: news && readings > 0 });
    readings += 1;
    await openWanted();
    render();
  }

  /** Opens the delivery that the address names, read by itself when it is not on the first page. */
  async function openWanted() {
    if (!wanted || !deliveries) return;
    const [delivery, mine] = [deliveries.find((each) => each.id === wanted), wanted];
    wanted = null;
    try {
      const found = delivery ?? (await api.delivery(id, mine));
      if (!delivery) deliveries = [...deliveries, found].sort((a, b) => b.triggeredAt.localeCompare(a.triggeredAt));
      toggle(found);
    } catch (error) {
      fail(t("history.noDelivery"), error);
    }
  }

  async function more() {
    const release = hold(further);
    if (!release) return;
    try {
      const page = await api.deliveries(id, { page: next });
      const known = new Set(deliveries.map((delivery) => delivery.id));
      deliveries = [...deliveries, ...page.data.filter((delivery) => !known.has(delivery.id))];
      next = page.next;
    } catch (error) {
      fail(t("history.failed"), error, more);
    } finally {
      release();
      render();
    }
  }

  // ── Doing ──
  function toggle(delivery) {
    if (open.has(delivery.id)) open.delete(delivery.id);
    else open.set(delivery.id, detailsOf(delivery));
    render();
  }

  async function resend(delivery) {
    if (results.get(delivery.id)?.busy) return;
    results.set(delivery.id, { busy: true });
    render();
    try {
      const sent = await api.resend(id, delivery.id);
      results.set(delivery.id, { sent });
      const shown = (!view.status || view.status === sent.status) && (!view.eventType || view.eventType === sent.eventType);
      if (shown && !deliveries.some((each) => each.id === sent.id)) deliveries = [sent, ...deliveries];
      store.count([id], { now: true });
      store.reload(id).catch(() => {}); // Its health may have changed; the next load shows it too.
    } catch (error) {
      results.set(delivery.id, { error });
    }
    render();
  }

  // ── Showing ──
  function render() {
    const webhook = store.find(id);
    if (!webhook || closed) return;
    const stats = store.stats(id);
    renderChart(stats);
    for (const each of statuses.children) each.setAttribute("aria-pressed", String(each.dataset.status === view.status));
    renderTypes(webhook);
    const list = deliveries ?? [];
    table.hidden = list.length === 0;
    further.hidden = !next || list.length === 0;
    recoverButton.hidden = stats ? !stats.days.some(({ fail: failed }) => failed > 0) && !list.some(({ status }) => status === "fail") : false;
    renderState(webhook, stats);
    renderRows(list);
  }

  function renderChart(stats) {
    const days = stats?.days;
    const any = days?.some(({ success, fail: failed }) => success + failed > 0);
    const key = JSON.stringify([any && days, stats?.complete, language()]);
    if (chart.dataset.key === key) return;
    chart.dataset.key = key;
    chart.replaceChildren(...(any ? [daysChart(days), stats.complete === false ? h("p", { class: "hint" }, t("chart.bounded")) : ""] : []));
  }

  function renderTypes(webhook) {
    const names = [...new Set([...webhook.eventTypes, ...(deliveries ?? []).map(({ eventType }) => eventType), ...(view.eventType ? [view.eventType] : [])])];
    const key = JSON.stringify([names, titles.size, language()]);
    if (types.dataset.key !== key) {
      types.dataset.key = key;
      types.replaceChildren(h("option", { value: "" }, t("history.allTypes")), ...names.map((name) => h("option", { value: name }, titles.get(name) ?? name)));
    }
    types.value = view.eventType;
  }

  function renderState(webhook, stats) {
    let content = [];
    const filtered = view.status || view.eventType;
    if (problem) content = [h("p", { class: "notice bad", role: "alert" }, icon("alert"), h("span", {}, `${t("history.failed")} ${problem.message}`), button("quiet", { text: t("tryAgain") }, read))];
    else if (deliveries === null) content = [h("p", { class: "soft", role: "status" }, t("loading"))];
    else if (deliveries.length === 0 && filtered) content = [h("div", { class: "blank small" }, h("p", {}, t("history.noMatch")), button("", { text: t("history.showAll") }, () => change({ status: "", eventType: "" })))];
    else if (deliveries.length === 0) content = [silenceOf(webhook, stats, store.counts, { test: () => test(webhook).then(read), enable: () => setEnabled([webhook], true), titles })];
    const key = JSON.stringify([problem?.message, deliveries?.length === 0, deliveries === null, filtered, deliveries?.length === 0 && [webhook, stats?.silence], store.counts, titles.size, language()]);
    if (state.dataset.key === key) return;
    state.dataset.key = key;
    state.replaceChildren(...content);
  }

  function renderRows(list) {
    const focused = document.activeElement?.closest?.("[data-key]")?.dataset.key;
    const wantedRows = list.flatMap((delivery) => {
      const isOpen = open.has(delivery.id);
      const result = results.get(delivery.id);
      const due = delivery.nextAttemptAt && Math.floor(Date.now() / AGAIN_MS);
      const signature = JSON.stringify([isOpen, result, due, titles.size, language()]);
      let kept = rows.get(delivery.id);
      if (kept?.signature !== signature) {
        kept = { signature, elements: [rowOf(delivery, isOpen, result)] };
        if (result) kept.elements.push(resultRow(delivery, result));
        if (isOpen) kept.elements.push(h("tr", { role: "row", class: "details-row" }, h("td", { role: "cell", colspan: "7" }, open.get(delivery.id))));
        rows.set(delivery.id, kept);
      }
      return kept.elements;
    });
    const now = [...body.children];
    if (now.length === wantedRows.length && now.every((element, index) => element === wantedRows[index])) return;
    // New ones come in above; what the reader looks at, or has selected, stays where it is.
    for (const element of now) if (!wantedRows.includes(element)) element.remove();
    wantedRows.forEach((element, index) => {
      if (body.children[index] !== element) body.insertBefore(element, body.children[index] ?? null);
    });
    if (focused && document.activeElement === document.body) body.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }

  function rowOf(delivery, isOpen, result) {
    const { id: deliveryId, eventType, attempt, trigger, durationMs, nextAttemptAt } = delivery;
    const message = messageOf(delivery);
    const at = exactly(delivery.triggeredAt);
    const cell = (name, ...content) => h("td", { role: "cell", class: name, data: { label: t(`delivery.column.${name}`) } }, content);
    return h(
      "tr",
      { role: "row", class: `delivery ${delivery.status}${isOpen ? " open" : ""}`, data: { id: deliveryId } },
      cell("time", timeOf(delivery.triggeredAt)),
      cell("type", h("span", { title: eventType }, titles.get(eventType) ?? eventType)),
      cell(
        "outcome",
        outcome(delivery),
        message && h("span", { class: "description", title: message }, message),
        nextAttemptAt && Date.parse(nextAttemptAt) > Date.now() && h("span", { class: "description", title: exactly(nextAttemptAt) }, t("delivery.next", { when: relatively(nextAttemptAt) })),
      ),
      cell("attempt", String(attempt)),
      cell("trigger", t(`trigger.${trigger}`)),
      cell("duration", duration(durationMs)),
      h(
        "td",
        { role: "cell", class: "tools" },
        button("icon-only", { label: t("resend.of", { at }), glyph: "resend", "aria-disabled": result?.busy ? "true" : null, data: { key: `resend ${deliveryId}` } }, () => resend(delivery)),
        button("icon-only", { label: t(isOpen ? "delivery.collapse" : "delivery.expand", { at }), glyph: isOpen ? "up" : "down", "aria-expanded": String(isOpen), data: { key: `details ${deliveryId}` } }, () => toggle(delivery)),
      ),
    );
  }

  /** What a resend came to, below the delivery that was sent again. */
  function resultRow(delivery, { busy, sent, error }) {
    const content = busy
      ? h("span", { class: "soft" }, t("resend.sending"))
      : error
        ? [icon("alert"), h("span", {}, `${t("resend.failed")} ${error.message}`), error.passing && button("quiet", { text: t("tryAgain") }, () => resend(delivery))]
        : [
            h("strong", {}, t("resend.sent")),
            outcome(sent),
            h("span", { class: "soft" }, duration(sent.durationMs)),
            messageOf(sent) && h("span", { class: "soft" }, messageOf(sent)),
            !open.has(sent.id) && button("quiet", { text: t("resend.see") }, () => {
              if (deliveries.some((each) => each.id === sent.id)) toggle(sent);
              else go(["webhooks", id], { delivery: sent.id });
            }),
            button("icon-only small", { label: t("close"), glyph: "close" }, () => (results.delete(delivery.id), render())),
          ];
    return h("tr", { role: "row", class: `result-row${error ? " bad" : ""}` }, h("td", { role: "cell", colspan: "7" }, h("div", { class: "result", role: "status" }, content)));
  }

  const changed = () => render();
  store.addEventListener("change", changed);
  const timer = setInterval(() => document.visibilityState === "visible" && ![...results.values()].some(({ busy }) => busy) && read(), AGAIN_MS);
  store.eventTypes().then((all) => {
    titles = new Map(all.map(({ name, title }) => [name, title]));
    render();
  }).catch(() => {}); // The names do as well.
  store.count([id]);
  render();
  read();

  return {
    update() {
      if (!inAddress) return;
      const asked = fromAddress();
      wanted = where().params.get("delivery");
      if (asked.status !== view.status || asked.eventType !== view.eventType) change(asked);
      else if (wanted) read();
    },
    close() {
      closed = true;
      clearInterval(timer);
      reading?.abort();
      store.removeEventListener("change", changed);
    },
  };
}
