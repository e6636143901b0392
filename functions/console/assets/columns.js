// The table's columns: what each says, sorts by, and is filtered by; and the filter, sort and search that work on them.

import { language, t } from "./i18n.js";
import { remark, standing } from "./status.js";

/** Worst first, so that sorting by status brings up what needs somebody. */
const BY_URGENCY = ["stopped", "warning", "failing", "disabled", "enabled"];

const day = (at) => (at ? new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(at)) : "");
const time = (at) => (at ? Date.parse(at) : -Infinity);

/**
 * `text` is what filter and search look at, in full or in part; `key` what is sorted by. `counted` columns need the numbers of
 * every webhook.
 */
export const COLUMNS = [
  { id: "name", text: ({ webhook }) => [webhook.name, webhook.description].filter(Boolean), key: ({ webhook }) => webhook.name.toLowerCase() },
  { id: "url", text: ({ webhook }) => [webhook.url], key: ({ webhook }) => webhook.url.toLowerCase() },
  { id: "types", text: ({ webhook, titles }) => webhook.eventTypes.flatMap((name) => [name, titles.get(name) ?? name]), key: ({ webhook }) => webhook.eventTypes.length },
  { id: "level", text: ({ webhook }) => [t(`level.${webhook.level}`), webhook.level], key: ({ webhook }) => webhook.level },
  { id: "owner", text: ({ webhook, user }) => [webhook.ownerId, ...(webhook.ownerId === user.id ? [t("you"), user.name] : [])], key: ({ webhook, user }) => (webhook.ownerId === user.id ? "" : webhook.ownerId) },
  { id: "status", text: ({ webhook }) => [t(`status.${standing(webhook)}`), remark(webhook)], key: ({ webhook }) => BY_URGENCY.indexOf(standing(webhook)) },
  {
    id: "last",
    counted: true,
    text: ({ stats }) => (stats?.lastDelivery ? [day(stats.lastDelivery.triggeredAt), t(`delivery.${stats.lastDelivery.status}`), stats.lastDelivery.eventType] : []),
    key: ({ stats }) => time(stats?.lastDelivery?.triggeredAt),
  },
  {
    id: "rate",
    counted: true,
    text: ({ stats }) => {
      const { success = 0, fail = 0 } = stats?.last24Hours ?? {};
      return success + fail ? [`${Math.floor((100 * success) / (success + fail))}%`] : [];
    },
    key: ({ stats }) => {
      const { success = 0, fail = 0 } = stats?.last24Hours ?? {};
      return success + fail ? success / (success + fail) : Infinity;
    },
  },
  { id: "created", text: ({ webhook }) => [day(webhook.createdAt), webhook.createdAt], key: ({ webhook }) => time(webhook.createdAt) },
  { id: "updated", text: ({ webhook }) => [day(webhook.updatedAt), webhook.updatedAt], key: ({ webhook }) => time(webhook.updatedAt) },
];

export const columnOf = (id) => COLUMNS.find((column) => column.id === id);

const plain = (text) => text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");

/** Whether any of the texts has the wanted one in it, case and accents aside; in double quotes, whether any is the wanted one. */
export function matches(texts, wanted) {
  const [, whole] = /^"(.*)"$/s.exec(wanted.trim()) ?? [];
  const part = plain(whole ?? wanted.trim());
  return texts.some((text) => (whole === undefined ? plain(text).includes(part) : plain(text) === part));
}

/** What a view of the table wants, from the address. */
export function viewOf(params) {
  const sort = params.get("sort") ?? "-created";
  const [, down, id] = /^(-?)(\w+)$/.exec(sort) ?? [];
  return {
    search: params.get("q") ?? "",
    sort: columnOf(id) ? { id, down: down === "-" } : { id: "created", down: true },
    filters: COLUMNS.map(({ id }) => [id, params.get(id) ?? ""]).filter(([, text]) => text),
    open: params.get("open") ?? "",
  };
}

/** The rows that a view shows, in its order. */
export function arrange(rows, { search, sort, filters }) {
  const { key } = columnOf(sort.id);
  const direction = sort.down ? -1 : 1;
  const kept = rows.filter(
    (row) => filters.every(([id, text]) => matches(columnOf(id).text(row), text)) && (!search.trim() || COLUMNS.some((column) => matches(column.text(row), search))),
  );
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, language(), { numeric: true }) : a === b ? 0 : a < b ? -1 : 1);
  return kept.sort((a, b) => direction * compare(key(a), key(b)) || a.webhook.id.localeCompare(b.webhook.id));
}
