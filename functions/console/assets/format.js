// Times, durations, lists and payloads for display. Times are shown in the local time zone, with the exact time on hover.

import { h } from "./dom.js";
import { language, number, t } from "./i18n.js";

/** @type {[Intl.RelativeTimeFormatUnitSingular, number][]} */
const UNITS = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/**
 * Formats a time in full: date, seconds, zone.
 * @param {string} at
 */
export const exactly = (at) =>
  new Intl.DateTimeFormat(language(), { dateStyle: "full", timeStyle: "long" }).format(new Date(at));

const sameDay = (a, b) => a.toDateString() === b.toDateString();

/**
 * Formats a time without a date if it is today, and without a year if it is this year.
 * @param {Date} at
 * @param {"2-digit"} [second]
 */
function shortly(at, second) {
  const now = new Date();
  /** @type {Intl.DateTimeFormatOptions} */
  const options = sameDay(at, now)
    ? { hour: "2-digit", minute: "2-digit", second }
    : {
        day: "numeric",
        month: "short",
        hour: "2-digit",
        minute: "2-digit",
        ...(at.getFullYear() !== now.getFullYear() && { year: "numeric" }),
      };
  return new Intl.DateTimeFormat(language(), options).format(at);
}

/** The largest unit that fits into so many seconds, and how many of it. @returns {[Intl.RelativeTimeFormatUnitSingular, number]} */
function inUnits(seconds) {
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each) ?? ["second", 1];
  return [unit, Math.round(seconds / size)];
}

const secondsFromNow = (at) => Math.round((Date.parse(at) - Date.now()) / 1000);

/**
 * Formats a time as "3 min. ago" or "in 2 hr."; with the style "long" as "3 minutes ago".
 * @param {string} at
 * @param {"short" | "long"} [style]
 */
export function relatively(at, style = "short") {
  const seconds = secondsFromNow(at);
  if (Math.abs(seconds) < 2) return t("time.now");
  const [unit, count] = inUnits(seconds);
  return new Intl.RelativeTimeFormat(language(), { numeric: "auto", style }).format(count, unit);
}

/**
 * Formats the time since then as "8 minutes".
 * @param {string} since
 */
export function span(since) {
  const [unit, count] = inUnits(Math.max(1, -secondsFromNow(since)));
  return new Intl.NumberFormat(language(), { style: "unit", unit, unitDisplay: "long" }).format(count);
}

/**
 * Formats names as "“A”, “B”, or “C”".
 * @param {string[]} names
 */
export const listOr = (names) =>
  new Intl.ListFormat(language(), { type: "disjunction" }).format(names.map((name) => `“${name}”`));

/**
 * Builds a `<time>`; `how` is "short", "minute" (without seconds) or "relative".
 * @param {string | undefined} at
 */
export function timeOf(at, how = "short") {
  if (!at) return h("span", { class: "soft" }, "–");
  const shown = how === "relative" ? relatively(at) : shortly(new Date(at), how === "short" ? "2-digit" : undefined);
  return h("time", { datetime: at, title: exactly(at) }, shown);
}

/** Formats milliseconds as "250 ms" or "1.5 s". */
export const duration = (ms) =>
  ms < 1000
    ? `${number(ms)} ms`
    : `${new Intl.NumberFormat(language(), { maximumFractionDigits: 1 }).format(ms / 1000)} s`;

/** Formats a share as a percentage. It is 100 only if the part is the whole. */
export function percent(part, whole) {
  const share = part / whole;
  const shown = part < whole && share > 0.999 ? 0.999 : share;
  return new Intl.NumberFormat(language(), {
    style: "percent",
    maximumFractionDigits: shown > 0.99 && shown < 1 ? 1 : 0,
  }).format(shown);
}

/** Formats JSON with line breaks, and returns any other text unchanged. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/**
 * Formats a day, which the statistics count in UTC.
 * @param {string} date
 * @param {Intl.DateTimeFormatOptions} options
 */
export const dayOf = (date, options) =>
  new Intl.DateTimeFormat(language(), { timeZone: "UTC", ...options }).format(new Date(`${date}T00:00:00Z`));
