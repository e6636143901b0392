// Loads the deliveries of a history: the first page again and again, older pages on demand, and one by its ID.

import { fail } from "./actions.js";
import { api } from "./api.js";
import { button, hold } from "./dom.js";
import { t } from "./i18n.js";
import { where } from "./router.js";
import { store } from "./store.js";

/** How often an open history is loaded again, in milliseconds. */
export const REFRESH_MS = 5_000;
/** Every so many loads the statistics are loaded too. */
const STATS_EVERY = 4;

/**
 * Builds the reader. `wanted` is the ID of a delivery to open as soon as it is loaded.
 * @param {import("./history.js").History} history
 */
export function historyReader(history) {
  /** @type {AbortController | undefined} */
  let reading;
  let reads = 0;
  let timer;
  const moreButton = button("", { text: t("history.more") }, () => readMore(history, moreButton));

  const reader = {
    moreButton,
    wanted: history.inAddress ? where().params.get("delivery") : null,
    async read() {
      reading?.abort();
      const mine = new AbortController();
      reading = mine;
      let isNew = history.deliveries === null;
      try {
        const page = await api.deliveries(history.id, history.view, mine.signal);
        if (history.closed || mine.signal.aborted) return;
        isNew = merge(history, page) || isNew;
        history.problem = null;
      } catch (error) {
        if (error.name === "AbortError" || history.closed) return;
        history.problem = error;
      }
      // New deliveries change the statistics at once; the passing of days changes them from time to time.
      if (isNew || reads % STATS_EVERY === 0) store.count([history.id], { now: isNew && reads > 0 });
      reads += 1;
      await openWanted(history, reader);
      history.render();
    },
    start() {
      timer = setInterval(() => {
        const resending = [...history.results.values()].some(({ busy }) => busy);
        if (document.visibilityState === "visible" && !resending) reader.read();
      }, REFRESH_MS);
      reader.read();
    },
    close() {
      clearInterval(timer);
      reading?.abort();
    },
  };
  return reader;
}

/** Puts the first page before what is known. Returns whether it has new deliveries. */
function merge(history, page) {
  const known = new Set((history.deliveries ?? []).map(({ id }) => id));
  const fresh = page.data.filter(({ id }) => !known.has(id));
  // With no delivery in common there is a gap, so the list starts again from this page.
  const isGap = fresh.length === page.data.length;
  if (history.deliveries === null || isGap) history.next = page.next;
  history.deliveries = isGap ? page.data : [...fresh, ...history.deliveries];
  return fresh.length > 0;
}

/** Opens the delivery that the address names. It is loaded by itself if it is not on the first page. */
async function openWanted(history, reader) {
  if (!reader.wanted || !history.deliveries) return;
  const { wanted } = reader;
  reader.wanted = null;
  const listed = history.deliveries.find(({ id }) => id === wanted);
  try {
    const delivery = listed ?? (await api.delivery(history.id, wanted));
    if (!listed) {
      history.deliveries = [...history.deliveries, delivery].sort((a, b) => b.triggeredAt.localeCompare(a.triggeredAt));
    }
    history.toggle(delivery);
  } catch (error) {
    fail(t("history.noDelivery"), error);
  }
}

async function readMore(history, moreButton) {
  const release = hold(moreButton);
  if (!release) return;
  try {
    const page = await api.deliveries(history.id, { page: history.next });
    const known = new Set(history.deliveries.map(({ id }) => id));
    history.deliveries = [...history.deliveries, ...page.data.filter(({ id }) => !known.has(id))];
    history.next = page.next;
  } catch (error) {
    fail(t("history.failed"), error, () => readMore(history, moreButton));
  } finally {
    release();
    history.render();
  }
}
