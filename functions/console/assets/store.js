// The data of the page: webhooks, their statistics, event types. It is gone when the page is closed. Views listen to `change`.

import { ApiError, api } from "./api.js";
import { inTurns } from "./dom.js";
import { localType } from "./i18n.js";

/** Age at which statistics are loaded again, in milliseconds. */
const FRESH_MS = 20_000;
/** Statistics that arrive within so many milliseconds cause one `change`. */
const TOGETHER_MS = 60;
/** Statistics loaded at a time. */
const WIDTH = 4;

export const store = new (class extends EventTarget {
  config = /** @type {Config} */ ({});
  user = /** @type {User} */ ({});
  /** All webhooks that the user can see, or null before they are loaded. @type {Webhook[] | null} */
  webhooks = null;
  /** Statistics by webhook ID, with the time they were loaded at. @type {Map<string, { at: number, stats: Stats }>} */
  #stats = new Map();
  /** @type {Set<string>} */
  #loading = new Set();
  /** @type {Promise<EventType[]> | undefined} */
  #types;
  #timer;
  /** Counts the changes made by this page. */
  #changes = 0;
  /** Whether this deployment has statistics; false once the API has said that it does not. */
  counts = true;

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** Announces statistics in groups, so that a hundred of them do not render the table a hundred times. */
  #changedSoon() {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#changed();
    }, TOGETHER_MS);
  }

  /** Forgets the data of a user. */
  clear() {
    this.webhooks = null;
    this.#stats.clear();
    this.#types = undefined;
  }

  /** Loads the webhooks. */
  async load() {
    const changes = this.#changes;
    const webhooks = await api.webhooks();
    // A change made by this page meanwhile is newer; the next load shows the rest.
    if (changes !== this.#changes && this.webhooks) return;
    this.webhooks = webhooks;
    this.#changed();
  }

  /** @param {string} id */
  find(id) {
    return this.webhooks?.find((webhook) => webhook.id === id);
  }

  /** Replaces a webhook, or adds a new one. @param {Webhook} webhook */
  put(webhook) {
    this.#changes += 1;
    const known = this.find(webhook.id);
    const all = this.webhooks ?? [];
    this.webhooks = known ? all.map((each) => (each === known ? webhook : each)) : [webhook, ...all];
    this.#changed();
  }

  /** Removes a webhook. @param {string} id */
  drop(id) {
    this.#changes += 1;
    this.webhooks = this.webhooks?.filter((webhook) => webhook.id !== id) ?? null;
    this.#changed();
  }

  /** Loads one webhook. @param {string} id @returns {Promise<Webhook>} */
  async reload(id) {
    const webhook = await api.webhook(id);
    this.put(webhook);
    return webhook;
  }

  /** Returns the event types, which are loaded once. */
  async eventTypes() {
    this.#types ??= api.eventTypes().catch((error) => {
      this.#types = undefined;
      throw error;
    });
    return (await this.#types).map(localType);
  }

  /** Returns the statistics of a webhook as last loaded, or undefined. @param {string} id */
  stats(id) {
    return this.#stats.get(id)?.stats;
  }

  /** Loads the statistics of these webhooks, unless they are fresh or being loaded. @param {string[]} ids */
  async count(ids, { now = false } = {}) {
    const stale = ids.filter(
      (id) => !this.#loading.has(id) && (now || Date.now() - (this.#stats.get(id)?.at ?? 0) > FRESH_MS),
    );
    if (!this.counts || !stale.length) return;
    for (const id of stale) this.#loading.add(id);
    await inTurns(stale, WIDTH, async (id) => {
      try {
        const stats = await api.stats(id);
        this.#stats.set(id, { at: Date.now(), stats });
        this.#changedSoon();
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        if (error.missing) this.counts = false;
      } finally {
        this.#loading.delete(id);
      }
    });
  }
})();
