// The dialog that resends all deliveries that failed since a time, with the progress.

import { api } from "./api.js";
import { button, h, hold, icon } from "./dom.js";
import { exactly } from "./format.js";
import { t } from "./i18n.js";
import { openDialog } from "./overlays.js";

const HOUR = 3_600_000;
/** How often the progress is loaded, in milliseconds. */
const REFRESH_MS = 1_000;
/** Spans to choose from, besides a time of the reader's choice. */
const SPANS = { hour: HOUR, day: 24 * HOUR, week: 7 * 24 * HOUR };
/** The API accepts at most seven days, and its clock may be a little ahead. */
const MARGIN = 60_000;

/** Formats a local time for `<input type=datetime-local>`. */
const local = (date) => new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

/** Opens the dialog, and follows the recovery until it is done or the dialog is closed. */
export function recover(webhook) {
  const state = { left: false };
  return openDialog({
    title: t("recover.title"),
    look: "small",
    mayClose() {
      state.left = true;
      return true;
    },
    fill: (close) => recoverForm(webhook, state, close),
  });
}

function recoverForm(webhook, state, close) {
  const choice = sinceChoice();
  const result = h("div", { class: "result", "aria-live": "polite" });
  const start = h("button", { type: "submit", class: "primary" }, icon("recover"), h("span", {}, t("recover.start")));
  const done = button("", { text: t("close") }, () => {
    state.left = true;
    close();
  });

  async function submit(event) {
    event.preventDefault();
    const since = choice.since();
    if (Number.isNaN(since.getTime())) return choice.focus();
    const release = hold(start);
    if (!release) return;
    try {
      let { recovery, path } = await api.recover(webhook.id, since.toISOString());
      result.replaceChildren(...progressOf(recovery));
      while (recovery.status !== "done" && !state.left) {
        await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
        recovery = await api.recovery(path);
        result.replaceChildren(...progressOf(recovery));
      }
    } catch (error) {
      const text = error.missing ? t("notOffered") : error.message;
      result.replaceChildren(h("p", { class: "problem", role: "alert" }, icon("alert"), text));
    } finally {
      release();
    }
  }

  return h(
    "form",
    { on: { submit } },
    h(
      "div",
      { class: "body" },
      h("p", {}, t("recover.text", { name: webhook.name })),
      !webhook.enabled && h("p", { class: "notice warn" }, icon("alert"), t("recover.disabled")),
      choice.node,
      result,
    ),
    h("footer", {}, done, start),
  );
}

/** The choice of a time: one of the spans, or any within the retention. */
function sinceChoice() {
  const ago = (ms) => new Date(Date.now() - ms);
  const time = h("input", {
    type: "datetime-local",
    id: "recover-since",
    hidden: true,
    max: local(ago(0)),
    min: local(ago(SPANS.week)),
    value: local(ago(SPANS.day)),
    "aria-label": t("recover.time"),
  });
  let chosen = "day";
  const radioOf = (name) => {
    const choose = () => {
      chosen = name;
      time.hidden = name !== "time";
    };
    const radio = h("input", { type: "radio", name: "since", value: name, on: { change: choose } });
    radio.checked = name === chosen;
    return h("label", { class: "choice" }, radio, t(`recover.${name}`));
  };
  const radios = [...Object.keys(SPANS), "time"].map(radioOf);
  return {
    node: h("fieldset", { class: "choices" }, h("legend", {}, t("recover.since")), radios, time),
    since: () => (chosen === "time" ? new Date(time.value) : ago(SPANS[chosen] - (chosen === "week" ? MARGIN : 0))),
    focus: () => time.focus(),
  };
}

/** The progress as a bar and a sentence. */
function progressOf({ found, requeued, skipped, status, since }) {
  const over = status === "done";
  const most = Math.max(found, 1);
  const value = over || found ? { value: String(over ? most : requeued + skipped) } : {};
  const key = over ? (found ? "recover.done" : "recover.nothing") : "recover.running";
  return [
    h("progress", { max: most, ...value, "aria-label": t("recover.progress") }),
    h("p", {}, t(key, { found, requeued, skipped, done: requeued + skipped })),
    h("p", { class: "hint" }, t("recover.window", { since: exactly(since) })),
  ];
}
