// The columns of the table: the texts they are filtered by and the keys they are sorted by; and filter, sort and search themselves.

import { language, t } from "./i18n.js";
import { remark, STATES, stateOf } from "./status.js";

/**
 * The data of a row.
 * @typedef {{ webhook: Webhook, stats?: Stats, titles: Map<string, string>, user: User }} Row
 *
 * The state of the table.
 * @typedef {{ search: string, sort: { id: string, down: boolean }, filters: [string, string][], open: string }} View
 *
 * @typedef {object} Column
 * @property {string} id
 * @property {(row: Row) => string[]} text Texts that filter and search look at, in full or in part.
 * @property {(row: Row) => string | number} key What rows are sorted by.
 * @property {boolean} [counted] Whether the column needs the statistics of every webhook.
 */

const day = (at) =>
  at ? new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeStyle: "short" }).format(new Date(at)) : "";
const time = (at) => (at ? Date.parse(at) : -Infinity);

/** @type {Column[]} */
export const COLUMNS = [
  {
    id: "name",
    text: ({ webhook: { name, description } }) => (description ? [name, description] : [name]),
    key: ({ webhook }) => webhook.name.toLowerCase(),
  },
  { id: "url", text: ({ webhook }) => [webhook.url], key: ({ webhook }) => webhook.url.toLowerCase() },
  {
    id: "types",
    text: ({ webhook, titles }) => webhook.eventTypes.flatMap((name) => [name, titles.get(name) ?? name]),
    key: ({ webhook }) => webhook.eventTypes.length,
  },
  {
    id: "level",
    text: ({ webhook }) => [t(`level.${webhook.level}`), webhook.level],
    key: ({ webhook }) => webhook.level,
  },
  {
    id: "owner",
    text: ({ webhook, user }) => [webhook.ownerId, ...(webhook.ownerId === user.id ? [t("you"), user.name] : [])],
    key: ({ webhook, user }) => (webhook.ownerId === user.id ? "" : webhook.ownerId),
  },
  {
    id: "status",
    text: ({ webhook }) => [t(`status.${stateOf(webhook)}`), remark(webhook)],
    key: ({ webhook }) => STATES.indexOf(stateOf(webhook)),
  },
  {
    id: "last",
    counted: true,
    text: ({ stats }) =>
      stats?.lastDelivery
        ? [
            day(stats.lastDelivery.triggeredAt),
            t(`delivery.${stats.lastDelivery.status}`),
            stats.lastDelivery.eventType,
          ]
        : [],
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
  {
    id: "created",
    text: ({ webhook }) => [day(webhook.createdAt), webhook.createdAt],
    key: ({ webhook }) => time(webhook.createdAt),
  },
  {
    id: "updated",
    text: ({ webhook }) => [day(webhook.updatedAt), webhook.updatedAt],
    key: ({ webhook }) => time(webhook.updatedAt),
  },
];

/** Returns the column with that ID, which the caller knows to exist. */
export const columnOf = (id) => /** @type {Column} */ (COLUMNS.find((column) => column.id === id));

const isColumn = (id) => COLUMNS.some((column) => column.id === id);

const plain = (text) => text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");

/**
 * Returns whether any text contains the wanted one, ignoring case and accents. A wanted text in double quotes has to match in full.
 */
export function matches(texts, wanted) {
  const [, whole] = /^"(.*)"$/s.exec(wanted.trim()) ?? [];
  const part = plain(whole ?? wanted.trim());
  return texts.some((text) => (whole === undefined ? plain(text).includes(part) : plain(text) === part));
}

/**
 * Reads a view from the parameters of the address.
 * @param {URLSearchParams} params
 * @returns {View}
 */
export function viewOf(params) {
  const sort = params.get("sort") ?? "-created";
  const [, down, id] = /^(-?)(\w+)$/.exec(sort) ?? [];
  return {
    search: params.get("q") ?? "",
    sort: isColumn(id) ? { id, down: down === "-" } : { id: "created", down: true },
    filters: COLUMNS.flatMap(({ id: column }) => {
      const text = params.get(column);
      return text ? [/** @type {[string, string]} */ ([column, text])] : [];
    }),
    open: params.get("open") ?? "",
  };
}

/**
 * Writes a view as parameters of the address; the defaults are left out.
 * @param {View} view
 */
export function paramsOf({ search, sort, filters, open }) {
  const params = new URLSearchParams();
  if (search.trim()) params.set("q", search);
  if (sort.id !== "created" || !sort.down) params.set("sort", `${sort.down ? "-" : ""}${sort.id}`);
  for (const [id, text] of filters) params.set(id, text);
  if (open) params.set("open", open);
  return params;
}

/**
 * Returns the rows that a view shows, in its order.
 * @param {Row[]} rows
 * @param {View} view
 */
export function arrange(rows, { search, sort, filters }) {
  const { key } = columnOf(sort.id);
  const direction = sort.down ? -1 : 1;
  const kept = rows.filter(
    (row) =>
      filters.every(([id, text]) => matches(columnOf(id).text(row), text)) &&
      (!search.trim() || COLUMNS.some((column) => matches(column.text(row), search))),
  );
  const compare = (a, b) =>
    typeof a === "string" ? a.localeCompare(b, language(), { numeric: true }) : a === b ? 0 : a < b ? -1 : 1;
  return kept.sort((a, b) => direction * compare(key(a), key(b)) || a.webhook.id.localeCompare(b.webhook.id));
}
