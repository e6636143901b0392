// What the page knows: webhooks, their numbers, the event types. Views listen; nothing is kept beyond the page.

import { ApiError, api } from "./api.js";
import { inTurns } from "./dom.js";
import { localType } from "./i18n.js";

/** How old numbers may be before they are asked for again, in milliseconds. */
const FRESH_MS = 20_000;
/** Numbers that come within so many milliseconds are told of together. */
const TOGETHER_MS = 60;
/** Numbers asked for at a time. */
const WIDTH = 4;

export const store = new (class extends EventTarget {
  config = {};
  user = {};
  /** All webhooks that are seen, or null before the first answer. */
  webhooks = null;
  /** Numbers by webhook id: `{at, stats}`. */
  #stats = new Map();
  #asked = new Set();
  #types;
  #telling;
  /** Counts what was changed here. */
  #changes = 0;
  /** Whether this deployment counts; false once it has said that it does not. */
  counts = true;

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** Tells of numbers that come one by one, together: a hundred of them are not to draw the table a hundred times. */
  #changedSoon() {
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      this.#changed();
    }, TOGETHER_MS);
  }

  /** Forgets everything, for another user. */
  clear() {
    this.webhooks = null;
    this.#stats.clear();
    this.#types = undefined;
  }

  async load() {
    const changes = this.#changes;
    const webhooks = await api.webhooks();
    // What was changed here while they were on their way is newer; the next time shows the rest.
    if (changes !== this.#changes && this.webhooks) return;
    this.webhooks = webhooks;
    this.#changed();
  }

  find(id) {
    return this.webhooks?.find((webhook) => webhook.id === id);
  }

  /** Puts a webhook in the place of what was known of it, or beside the others. */
  put(webhook) {
    this.#changes += 1;
    const known = this.find(webhook.id);
    this.webhooks = known ? this.webhooks.map((each) => (each === known ? webhook : each)) : [webhook, ...(this.webhooks ?? [])];
    this.#changed();
  }

  drop(id) {
    this.#changes += 1;
    this.webhooks = this.webhooks?.filter((webhook) => webhook.id !== id) ?? null;
    this.#changed();
  }

  /** Reads one webhook again. */
  async reload(id) {
    const webhook = await api.webhook(id);
    this.put(webhook);
    return webhook;
  }

  async eventTypes() {
    this.#types ??= api.eventTypes().catch((error) => {
      this.#types = undefined;
      throw error;
    });
    return (await this.#types).map(localType);
  }

  /** The numbers of a webhook as last heard, or undefined. */
  stats(id) {
    return this.#stats.get(id)?.stats;
  }

  /** Asks for the numbers of these webhooks, unless they are fresh or on their way. */
  async count(ids, { now = false } = {}) {
    const stale = ids.filter((id) => !this.#asked.has(id) && (now || Date.now() - (this.#stats.get(id)?.at ?? 0) > FRESH_MS));
    if (!this.counts || !stale.length) return;
    for (const id of stale) this.#asked.add(id);
    await inTurns(stale, WIDTH, async (id) => {
      try {
        const stats = await api.stats(id);
        this.#stats.set(id, { at: Date.now(), stats });
        this.#changedSoon();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (error.missing) this.counts = false;
      } finally {
        this.#asked.delete(id);
      }
    });
  }
})();
