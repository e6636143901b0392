// Sending again everything that failed since a time, with its progress.

import { api } from "./api.js";
import { button, h, hold, icon } from "./dom.js";
import { exactly } from "./format.js";
import { t } from "./i18n.js";
import { openDialog } from "./overlays.js";

const HOUR = 3_600_000;
/** How often progress is asked for, in milliseconds. */
const AGAIN_MS = 1_000;
const CHOICES = [["hour", HOUR], ["day", 24 * HOUR], ["week", 7 * 24 * HOUR]];
/** The API takes at most seven days; by the time it looks, a little more has passed. */
const MARGIN = 60_000;

/** A local time as `<input type=datetime-local>` has it. */
const local = (date) => new Date(date - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);

/** Asks since when, begins, and shows how far it is until it is done or left. */
export function recover(webhook) {
  let left = false;
  return openDialog({
    title: t("recover.title"),
    look: "small",
    mayClose: () => (left = true),
    fill(close) {
      const time = h("input", { type: "datetime-local", id: "recover-since", hidden: true, max: local(new Date()), min: local(new Date(Date.now() - CHOICES[2][1])), value: local(new Date(Date.now() - 24 * HOUR)), "aria-label": t("recover.time") });
      const radios = [...CHOICES.map(([name]) => name), "time"].map((name) => {
        const radio = h("input", { type: "radio", name: "since", value: name, on: { change: () => (time.hidden = name !== "time") } });
        radio.checked = name === "day";
        return h("label", { class: "choice" }, radio, t(`recover.${name}`));
      });
      const result = h("div", { class: "result", "aria-live": "polite" });
      const begin = h("button", { type: "submit", class: "primary" }, icon("recover"), h("span", {}, t("recover.begin")));
      const done = button("", { text: t("close") }, () => ((left = true), close()));

      const show = (recovery) => {
        const { found, requeued, skipped, status, since } = recovery;
        const over = status === "done";
        const bar = h("progress", { max: Math.max(found, 1), ...(over || found ? { value: String(over ? Math.max(found, 1) : requeued + skipped) } : {}), "aria-label": t("recover.progress") });
        result.replaceChildren(
          bar,
          h("p", {}, h("strong", {}, t(over ? (found ? "recover.done" : "recover.nothing") : "recover.running")), " ", t("recover.counts", { found, requeued, skipped })),
          h("p", { class: "hint" }, t("recover.window", { since: exactly(since) })),
        );
      };

      const submit = async (event) => {
        event.preventDefault();
        const choice = new FormData(form).get("since");
        const ago = new Map(CHOICES).get(choice);
        const since = ago ? new Date(Date.now() - ago + (choice === "week" ? MARGIN : 0)) : new Date(time.value);
        if (Number.isNaN(since.getTime())) return time.focus();
        const release = hold(begin);
        if (!release) return;
        try {
          let { recovery, path } = await api.recover(webhook.id, since.toISOString());
          show(recovery);
          while (recovery.status !== "done" && !left) {
            await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
            recovery = await api.recovery(path);
            show(recovery);
          }
        } catch (error) {
          result.replaceChildren(h("p", { class: "problem", role: "alert" }, icon("alert"), error.missing ? t("notOffered") : error.message));
        } finally {
          release();
        }
      };
      const form = h(
        "form",
        { on: { submit } },
        h("div", { class: "body" }, h("p", {}, t("recover.text", { name: webhook.name })), !webhook.enabled && h("p", { class: "notice warn" }, icon("alert"), t("recover.disabled")), h("fieldset", { class: "choices" }, h("legend", {}, t("recover.since")), radios, time), result),
        h("footer", {}, done, begin),
      );
      return form;
    },
  });
}
