// Dialogs, menus and toasts. Escape closes them, and the focus returns to where it was.

import { button, byId, h, icon, newId } from "./dom.js";
import { t } from "./i18n.js";

/**
 * Shows a toast. Errors stay until they are dismissed.
 * @param {string} text
 * @param {{ bad?: boolean, action?: { text: string, run: () => any } }} [options]
 */
export function toast(text, { bad = false, action } = {}) {
  const note = h(
    "div",
    { class: bad ? "toast bad" : "toast" },
    icon(bad ? "alert" : "check"),
    h("span", {}, text),
    action &&
      button("quiet", { text: action.text }, () => {
        note.remove();
        action.run();
      }),
    button("icon-only", { label: t("close"), glyph: "close" }, () => note.remove()),
  );
  const region = byId(bad ? "alerts" : "notes");
  // A modal dialog makes the rest of the page inert; a popover that is shown later stays usable.
  region.append(note);
  if (region.matches(":popover-open")) region.hidePopover();
  region.showPopover();
  if (!bad) setTimeout(() => note.remove(), action ? 12_000 : 5_000);
}

/**
 * Opens a modal dialog. Returns the value that it is closed with. `fill(close, dialog)` builds its content. `mayClose` is asked before Escape,
 * the close button or a click outside close it.
 * @param {{ title: string, look?: string, role?: string, mayClose?: () => boolean | Promise<boolean>,
 *   fill: (close: (value?: any) => void, dialog: HTMLDialogElement) => Node }} options
 * @returns {Promise<any>}
 */
export function openDialog({ title, look = "", fill, mayClose = () => true, role }) {
  const heading = newId("title");
  const before = /** @type {HTMLElement | null} */ (document.activeElement);
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: look, "aria-labelledby": heading, role, closedby: "none" });
    const close = (value) => {
      if (!dialog.open) return;
      stopListening();
      dialog.close();
      dialog.remove();
      (before?.isConnected ? before : byId("main"))?.focus();
      resolve(value);
    };
    const leave = async () => {
      if (await mayClose()) close(undefined);
    };
    const stopListening = onLeave(dialog, leave);
    const closeButton = button("icon-only", { label: t("close"), glyph: "close" }, leave);
    dialog.append(h("header", {}, h("h2", { id: heading }, title), closeButton), fill(close, dialog));
    document.body.append(dialog);
    dialog.showModal();
    /** @type {HTMLElement | null} */
    const first =
      dialog.querySelector("[data-first]") ?? dialog.querySelector("input, textarea, select, footer button");
    first?.focus();
  });
}

/** Calls `leave` for Escape and for clicks outside the dialog. Returns a function that stops listening. */
function onLeave(dialog, leave) {
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    leave();
  });
  // Browsers let a second Escape close a dialog even if its `cancel` was prevented, so the key is handled here. Only the topmost dialog
  // reacts, wherever the focus is.
  const onKey = (event) => {
    const topmost = [...document.querySelectorAll("dialog[open]")].at(-1);
    if (event.key !== "Escape" || event.defaultPrevented || topmost !== dialog) return;
    event.preventDefault();
    leave();
  };
  addEventListener("keydown", onKey);
  const isOutside = ({ target, clientX: x, clientY: y }) => {
    const box = dialog.getBoundingClientRect();
    return target === dialog && (x < box.left || x > box.right || y < box.top || y > box.bottom);
  };
  let pressed = false;
  dialog.addEventListener("pointerdown", (event) => {
    pressed = isOutside(event);
  });
  dialog.addEventListener("click", (event) => {
    if (pressed && isOutside(event)) leave();
  });
  return () => removeEventListener("keydown", onKey);
}

/**
 * Asks before something that cannot be undone. Returns true or undefined.
 * @param {{ title: string, text: string, details?: HTMLElement, yes: string, bad?: boolean }} options
 */
export const confirm = ({ title, text, details, yes, bad = true }) =>
  openDialog({
    title,
    look: "small",
    role: "alertdialog",
    fill: (close) => {
      const submit = (event) => {
        event.preventDefault();
        close(true);
      };
      return h(
        "form",
        { on: { submit } },
        h("div", { class: "body" }, h("p", {}, text), details),
        h(
          "footer",
          {},
          button("", { text: t("cancel"), "data-first": true }, () => close(undefined)),
          h("button", { type: "submit", class: bad ? "danger" : "primary" }, yes),
        ),
      );
    },
  });

/** Places a popover below its anchor, or above it if there is no space. */
function place(popover, anchor) {
  const box = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = popover;
  const below = box.bottom + 4;
  const top = below + height > innerHeight - 8 ? Math.max(8, box.top - height - 4) : below;
  popover.style.top = `${top}px`;
  popover.style.left = `${Math.min(Math.max(8, box.right - width), innerWidth - width - 8)}px`;
}

/**
 * Opens a popover at an anchor. It is removed when it is closed.
 * @param {HTMLElement} anchor
 * @param {Node | Node[]} content
 * @param {Record<string, string | null>} [options]
 */
export function openPopover(anchor, content, { look = "popover", ...attributes } = {}) {
  const popover = h("div", { class: look, popover: "auto", ...attributes }, content);
  // Near its button, so that it belongs to the same landmark. The top layer shows it above everything.
  (anchor.closest("dialog, header, main") ?? document.body).append(popover);
  popover.addEventListener("toggle", ({ newState }) => {
    if (newState !== "closed") return;
    const focus = popover.contains(document.activeElement) || document.activeElement === document.body;
    anchor.setAttribute("aria-expanded", "false");
    popover.remove();
    // The row of the button may have been built again meanwhile.
    const key = CSS.escape(anchor.dataset.key ?? "");
    /** @type {HTMLElement | null} */
    const back = anchor.isConnected ? anchor : document.querySelector(`[data-key="${key}"]`);
    if (focus) back?.focus();
  });
  anchor.setAttribute("aria-expanded", "true");
  popover.showPopover();
  place(popover, anchor);
  return popover;
}

/**
 * Opens a menu at a button. Arrows, Home, End and letters move in it.
 * @param {HTMLElement} anchor
 * @param {{ text: string, glyph: string, run: () => any, bad?: boolean }[]} items
 */
export function openMenu(anchor, items) {
  const buttons = items.map(({ text, glyph, run, bad }) =>
    button(bad ? "bad" : "", { text, glyph, role: "menuitem", tabindex: "-1" }, () => {
      popover.hidePopover();
      run();
    }),
  );
  const move = (event) => {
    const at = buttons.indexOf(/** @type {HTMLButtonElement} */ (document.activeElement));
    const letter = event.key.length === 1 && event.key.toLowerCase();
    const next = {
      ArrowDown: () => (at + 1) % buttons.length,
      ArrowUp: () => (at - 1 + buttons.length) % buttons.length,
      Home: () => 0,
      End: () => buttons.length - 1,
    }[event.key]?.();
    const found = letter ? buttons.findIndex((item) => item.textContent.trim().toLowerCase().startsWith(letter)) : next;
    if (event.key === "Tab") popover.hidePopover();
    if (found === undefined || found < 0) return;
    event.preventDefault();
    buttons[found].focus();
  };
  const popover = openPopover(anchor, buttons, {
    look: "popover menu",
    role: "menu",
    "aria-label": anchor.getAttribute("aria-label"),
  });
  popover.addEventListener("keydown", move);
  buttons[0]?.focus();
  return popover;
}

/** Copies a text and confirms it. */
export async function copy(text, said = t("copied")) {
  try {
    await navigator.clipboard.writeText(text);
    toast(said);
  } catch {
    toast(t("copyFailed"), { bad: true });
  }
}
