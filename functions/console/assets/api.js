// Calls to Anzol's API: tokens, errors with the field they are about, and tries again where that is safe.

import { fromServer, t } from "./i18n.js";
import { token } from "./session.js";

const WEBHOOKS = "/api/core/webhooks";
/** Tries of a read when the API asks for patience. */
const TRIES = 3;
/** Seconds that a read waits at most before the next of them; who is told to wait longer is better told. */
const PATIENCE = 5;

/** What went wrong. `problems` are texts with the field they are about, when they are about one. */
export class ApiError extends Error {
  constructor(status, problems, { retryAfter, missing } = {}) {
    super(problems.map(({ field, text }) => (field ? `${field}: ${text}` : text)).join(" ") || t("api.failed", { status }));
    this.status = status;
    this.problems = problems;
    this.retryAfter = retryAfter;
    this.missing = missing;
  }

  /** Whether trying the same again may do. */
  get passing() {
    return [0, 429, 502, 503, 504].includes(this.status);
  }
}

const settings = { config: null, signInAgain: async () => false };

/** `signInAgain` asks the reader to sign in when the session is over, and answers whether they did. */
export function useApi(config, signInAgain) {
  Object.assign(settings, { config, signInAgain });
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** `` `field` must … `` as a field and a text. */
function problemOf(detail) {
  const [, field, rest] = /^`([^`]+)`\s*(.*)$/s.exec(detail) ?? [];
  return field ? { field, text: fromServer(rest) } : { text: fromServer(detail) };
}

async function errorOf(response) {
  const answer = await response.json().catch(() => ({}));
  const retryAfter = Number(response.headers.get("retry-after")) || 1;
  const { status } = response;
  const missing = status === 404 && /^there is no \//.test(answer.errors?.[0]?.detail ?? "");
  const general = { 401: "api.unauthorized", 429: "api.throttled", 500: "api.internal", 503: "api.busy" }[status];
  const said = answer.errors?.[0]?.detail ?? "";
  // A bound of our own says which, and when to try again; the gateway's throttle says nothing of use.
  if (status === 429 && /^at most /.test(said)) return new ApiError(status, [{ text: fromServer(said) }], { retryAfter });
  if (status === 409 && response.headers.get("location")) return new ApiError(status, [{ text: t("recover.already") }]);
  if (general) return new ApiError(status, [{ text: t(general) }], { retryAfter });
  const problems = (answer.errors ?? []).map(({ detail, title }) => (detail ? problemOf(detail) : { text: fromServer(title) }));
  if (status === 409 && !problems.some(({ field }) => field)) return new ApiError(status, [{ text: t("api.conflict") }]);
  return new ApiError(status, problems.length ? problems : [{ text: answer.message ?? t("api.failed", { status }) }], { retryAfter, missing });
}

/** What early.js has asked for already, once. */
function takeEarly(method, path, bearer) {
  const { early } = window;
  if (method !== "GET" || path !== early?.path) return null;
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

async function call(method, path, { body, signal } = {}) {
  let spent;
  for (let tries = 1; ; tries += 1) {
    const bearer = await token(settings.config, spent).catch(() => {
      throw new ApiError(0, [{ text: t("signIn.unreachable") }]);
    });
    const response = bearer && (await once(method, path, bearer, body, signal));
    if (bearer && !response) throw new ApiError(0, [{ text: t("api.unreachable") }]);
    if (response?.ok) return response;
    if (!bearer || response.status === 401) {
      // A token the API refuses is replaced once; if that does not help, somebody has to sign in.
      if (bearer && spent !== bearer && !spent) {
        spent = bearer;
        continue;
      }
      spent = undefined;
      if (await settings.signInAgain()) continue;
      throw new ApiError(401, [{ text: t("api.unauthorized") }]);
    }
    const error = await errorOf(response);
    if (method !== "GET" || !error.passing || tries >= TRIES || error.retryAfter > PATIENCE) throw error;
    await pause(1000 * error.retryAfter);
  }
}

const json = async (...args) => (await call(...args)).json();
const of = (id, ...more) => [WEBHOOKS, id, ...more].map((part, index) => (index ? encodeURIComponent(part) : part)).join("/");
/** Links are absolute; the page stays where it came from. */
const sameOrigin = (href) => {
  const { pathname, search } = new URL(href, location.href);
  const at = pathname.indexOf("/api/");
  return pathname.slice(Math.max(at, 0)) + search;
};

export const api = {
  /** All webhooks the caller sees. */
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
  /** A page of the history: `{data, next}`; `next` is given back as `page` for the one after it. */
  async deliveries(id, { status, eventType, page, limit = 20 }, signal) {
    const query = new URLSearchParams({ limit, ...(status && { status }), ...(eventType && { eventType }) });
    const answer = await json("GET", page ?? `${of(id, "deliveries")}?${query}`, { signal });
    return { data: answer.data, next: answer.links.next && sameOrigin(answer.links.next.href) };
  },
  delivery: (id, deliveryId) => json("GET", of(id, "deliveries", deliveryId)),
  resend: (id, deliveryId) => json("POST", of(id, "deliveries", deliveryId, "actions", "resend")),
  test: (id, eventType) => json("POST", of(id, "actions", "test"), { body: eventType ? { eventType } : {} }),
  /** Begins to recover what failed since then; answers the recovery and where its progress is. */
  async recover(id, since) {
    const response = await call("POST", of(id, "actions", "recover"), { body: { since } });
    const recovery = await response.json();
    const at = response.headers.get("location");
    return { recovery, path: at ? sameOrigin(at) : of(id, "recoveries", recovery.id) };
  },
  recovery: (path) => json("GET", path),
};
