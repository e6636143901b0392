// Calls to the API: tokens, errors by rule and field, and retries where they are safe.

import { coded, t } from "./i18n.js";
import { token } from "./session.js";

const WEBHOOKS = "/api/core/webhooks";
/** Deliveries on a page of the history, as the API's `limit`. */
const PAGE = "20";
/** How often a read is tried while the API is busy. */
const TRIES = 3;
/** Longest `Retry-After` that a read waits for, in seconds; with a longer one, the reader sees the error. */
const MAX_WAIT = 5;

/** The rule for a path that this deployment does not have. */
const NO_ROUTE = "route_not_found";

/** Rules about the state of a webhook, not about a value in the request; their texts need no field. */
const STATES = ["webhook_disabled"];

/**
 * One problem of a request.
 * @typedef {{ field?: string, rule?: string, text: string }} Problem
 */

/** An error of the API, or of reaching it (status 0). */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {Problem[]} problems
   * @param {{ retryAfter?: number, missing?: boolean }} [more] `missing` says that this deployment does not offer the operation.
   */
  constructor(status, problems, { retryAfter = 1, missing = false } = {}) {
    super(
      problems.map(({ field, text }) => (field ? `${field}: ${text}` : text)).join(" ") || t("api.failed", { status }),
    );
    this.status = status;
    this.problems = problems;
    this.retryAfter = retryAfter;
    this.missing = missing;
  }

  /** Whether the same request may succeed later. */
  get passing() {
    return [0, 429, 502, 503, 504].includes(this.status);
  }
}

const settings = { config: /** @type {Partial<Config>} */ ({}), signInAgain: async () => false };

/** Sets up the calls. `signInAgain` asks the reader to sign in when the session has expired, and returns whether they did. */
export function useApi(config, signInAgain) {
  Object.assign(settings, { config, signInAgain });
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Translates an item of an error by its rule. Without a known rule the API's English sentence is shown, which starts with the field.
 * @param {ErrorItem} item
 * @returns {Problem}
 */
export function problemOf({ field, rule, params = {}, detail, title }) {
  const prefix = `\`${field}\` `;
  const english = detail?.startsWith(prefix) ? detail.slice(prefix.length) : (detail ?? title);
  return { field: STATES.includes(rule ?? "") ? undefined : field, rule, text: coded(`rule.${rule}`, params, english) };
}

/** Texts for statuses that are about no field. */
const GENERAL = { 401: "api.unauthorized", 429: "api.throttled", 500: "api.internal", 503: "api.busy" };

/** @param {Response} response */
async function errorOf(response) {
  const { status, headers } = response;
  const answer = await response.json().catch(() => ({}));
  /** @type {ErrorItem[]} */
  const items = answer.errors ?? [];
  const retryAfter = Number(headers.get("retry-after")) || 1;
  const general = (key) => new ApiError(status, [{ text: t(key) }], { retryAfter });
  if (status === 409 && headers.get("location")) return general("recover.already");
  // A limit of the API has a rule, which says what to wait for; the throttle of the gateway has none.
  if (GENERAL[status] && !(status === 429 && items[0]?.rule)) return general(GENERAL[status]);
  if (status === 409 && !items.some(({ field }) => field)) return general("api.conflict");
  const missing = status === 404 && items[0]?.rule === NO_ROUTE;
  const problems = items.length ? items.map(problemOf) : [{ text: answer.message ?? t("api.failed", { status }) }];
  return new ApiError(status, problems, { retryAfter, missing });
}

/** Returns the response that early.js has requested, once. */
function takeEarly(method, path, bearer) {
  const { early } = window;
  if (!early || method !== "GET" || path !== early.path) return null;
  delete window.early;
  return bearer === early.idToken ? early.response : null;
}

async function once(method, path, bearer, body, signal) {
  const early = await takeEarly(method, path, bearer);
  if (early) return early;
  try {
    return await fetch(path, {
      method,
      signal,
      headers: { Authorization: `Bearer ${bearer}`, ...(body !== undefined && { "Content-Type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return null;
  }
}

/**
 * Calls the API with a fresh token. Reads are retried while the API is busy.
 * @param {string} method
 * @param {string} path
 * @param {{ body?: unknown, signal?: AbortSignal }} [options]
 */
async function call(method, path, { body, signal } = {}) {
  let spent;
  for (let tries = 1; ; tries += 1) {
    const bearer = await token(settings.config, spent).catch(() => {
      throw new ApiError(0, [{ text: t("signIn.unreachable") }]);
    });
    const response = bearer ? await once(method, path, bearer, body, signal) : undefined;
    if (response === null) throw new ApiError(0, [{ text: t("api.unreachable") }]);
    if (response?.ok) return response;
    if (!response || response.status === 401) {
      // A token that the API rejects is replaced once; if that does not help, the reader has to sign in.
      if (bearer && !spent) {
        spent = bearer;
        continue;
      }
      spent = undefined;
      if (await settings.signInAgain()) continue;
      throw new ApiError(401, [{ text: t("api.unauthorized") }]);
    }
    const error = await errorOf(response);
    if (method !== "GET" || !error.passing || tries >= TRIES || error.retryAfter > MAX_WAIT) throw error;
    await pause(1000 * error.retryAfter);
  }
}

/** @param {Parameters<typeof call>} args */
const json = async (...args) => (await call(...args)).json();
const of = (id, ...more) =>
  [WEBHOOKS, id, ...more].map((part, index) => (index ? encodeURIComponent(part) : part)).join("/");
/** Makes an absolute link relative, so that the page calls the host it came from. */
const sameOrigin = (href) => {
  const { pathname, search } = new URL(href, location.href);
  const at = pathname.indexOf("/api/");
  return pathname.slice(Math.max(at, 0)) + search;
};

export const api = {
  /** Returns all webhooks that the caller can see. @returns {Promise<Webhook[]>} */
  async webhooks(signal) {
    const all = [];
    let path = `${WEBHOOKS}?limit=100`;
    while (path) {
      const page = await json("GET", path, { signal });
      all.push(...page.data);
      path = page.links.next && sameOrigin(page.links.next.href);
    }
    return all;
  },
  webhook: (id) => json("GET", of(id)),
  create: (webhook) => json("POST", WEBHOOKS, { body: { ...webhook, origin: "management-console" } }),
  patch: (id, operations) => call("PATCH", of(id), { body: operations }),
  remove: (id) => call("DELETE", of(id)),
  eventTypes: async () => (await json("GET", `${WEBHOOKS}/event-types`)).data,
  stats: (id, signal) => json("GET", of(id, "stats"), { signal }),
  /**
   * Returns a page of the history as `{data, next}`; pass `next` as `page` to get the page after it.
   * @param {string} id
   * @param {{ status?: string, eventType?: string, page?: string }} query
   * @param {AbortSignal} [signal]
   * @returns {Promise<{ data: Delivery[], next?: string }>}
   */
  async deliveries(id, { status, eventType, page }, signal) {
    const query = new URLSearchParams({ limit: PAGE, ...(status && { status }), ...(eventType && { eventType }) });
    const answer = await json("GET", page ?? `${of(id, "deliveries")}?${query}`, { signal });
    return { data: answer.data, next: answer.links.next && sameOrigin(answer.links.next.href) };
  },
  delivery: (id, deliveryId) => json("GET", of(id, "deliveries", deliveryId)),
  resend: (id, deliveryId) => json("POST", of(id, "deliveries", deliveryId, "actions", "resend")),
  test: (id, eventType) => json("POST", of(id, "actions", "test"), { body: eventType ? { eventType } : {} }),
  /** Starts a recovery of deliveries that failed since then. Returns it, and the path of its progress. */
  async recover(id, since) {
    const response = await call("POST", of(id, "actions", "recover"), { body: { since } });
    const recovery = await response.json();
    const at = response.headers.get("location");
    return { recovery, path: at ? sameOrigin(at) : of(id, "recoveries", recovery.id) };
  },
  recovery: (path) => json("GET", path),
};
