// Times, durations and payloads for the eye. Times are shown in the local zone, with the exact one on hover.

import { h } from "./dom.js";
import { language, number, t } from "./i18n.js";

const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** The whole of a time: date, seconds, zone. */
export const exactly = (at) =>
  new Intl.DateTimeFormat(language(), { dateStyle: "full", timeStyle: "long" }).format(new Date(at));

const sameDay = (a, b) => a.toDateString() === b.toDateString();

/** A time as short as it is clear: today's by the clock, others by the day. */
function shortly(at, second) {
  const now = new Date();
  const options = sameDay(at, now)
    ? { hour: "2-digit", minute: "2-digit", second }
    : { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", ...(at.getFullYear() !== now.getFullYear() && { year: "numeric" }) };
  return new Intl.DateTimeFormat(language(), options).format(at);
}

/** "3 minutes ago", "in 2 hours". */
export function relatively(at) {
  const seconds = Math.round((new Date(at) - Date.now()) / 1000);
  if (Math.abs(seconds) < 2) return t("time.now");
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? UNITS.at(-1);
  return new Intl.RelativeTimeFormat(language(), { numeric: "auto", style: "short" }).format(Math.round(seconds / size), unit);
}

/** A `<time>`; `how` is "short", "minute" (without seconds) or "relative". */
export function timeOf(at, how = "short") {
  if (!at) return h("span", { class: "soft" }, "–");
  const shown = how === "relative" ? relatively(at) : shortly(new Date(at), how === "short" ? "2-digit" : undefined);
  return h("time", { datetime: at, title: exactly(at) }, shown);
}

/** Milliseconds as people say them. */
export const duration = (ms) =>
  ms < 1000 ? `${number(ms)} ms` : `${new Intl.NumberFormat(language(), { maximumFractionDigits: 1 }).format(ms / 1000)} s`;

/** A share as a percentage that says 100 only when it is all. */
export function percent(part, whole) {
  const share = part / whole;
  const shown = part < whole && share > 0.999 ? 0.999 : share;
  return new Intl.NumberFormat(language(), { style: "percent", maximumFractionDigits: shown > 0.99 && shown < 1 ? 1 : 0 }).format(shown);
}

/** JSON with line breaks; any other text as it is. Answers the text and whether it was JSON. */
export function pretty(text) {
  try {
    return { text: JSON.stringify(JSON.parse(text), null, 2), json: true };
  } catch {
    return { text, json: false };
  }
}

/** A day of the calendar in UTC, as the counts have it. */
export const dayOf = (date, options) =>
  new Intl.DateTimeFormat(language(), { timeZone: "UTC", ...options }).format(new Date(`${date}T00:00:00Z`));
