// What lies over the page: dialogs, menus and passing notes. All of it can be left by Escape, and gives the focus back.

import { button, h, icon, newId } from "./dom.js";
import { t } from "./i18n.js";

/** Shows a note that passes; errors stay until dismissed. `action` is `{text, run}`. */
export function toast(text, { bad = false, action } = {}) {
  const note = h(
    "div",
    { class: bad ? "toast bad" : "toast" },
    icon(bad ? "alert" : "check"),
    h("span", {}, text),
    action && button("quiet", { text: action.text }, () => (note.remove(), action.run())),
    button("icon-only", { label: t("close"), glyph: "close" }, () => note.remove()),
  );
  const region = document.getElementById(bad ? "alerts" : "notes");
  // Modal dialogs make the rest of the page inert; a popover shown after them lies above.
  region.append(note);
  if (region.matches(":popover-open")) region.hidePopover();
  region.showPopover();
  if (!bad) setTimeout(() => note.remove(), action ? 12_000 : 5_000);
}

/**
 * Opens a modal dialog and answers what it was closed with. `fill(close, dialog)` answers its content. `mayClose` is asked before
 * Escape, the cross or a click outside close it.
 */
export function openDialog({ title, look = "", fill, mayClose = () => true, role }) {
  const heading = newId("title");
  const before = document.activeElement;
  return new Promise((resolve) => {
    const close = (value) => {
      if (!dialog.open) return;
      removeEventListener("keydown", escape);
      dialog.close();
      dialog.remove();
      (before?.isConnected ? before : document.getElementById("main"))?.focus();
      resolve(value);
    };
    const leave = async () => {
      if (await mayClose()) close(undefined);
    };
    const dialog = h("dialog", { class: look, "aria-labelledby": heading, role, closedby: "none" });
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      leave();
    });
    // Browsers let a second Escape close a dialog whatever its `cancel` says; this one is ours. It works wherever the focus is, in the
    // topmost dialog.
    const escape = (event) => {
      if (event.key !== "Escape" || event.defaultPrevented || [...document.querySelectorAll("dialog[open]")].at(-1) !== dialog) return;
      event.preventDefault();
      leave();
    };
    addEventListener("keydown", escape);
    let pressed = false;
    const isOutside = ({ target, clientX: x, clientY: y }) => {
      const box = dialog.getBoundingClientRect();
      return target === dialog && (x < box.left || x > box.right || y < box.top || y > box.bottom);
    };
    dialog.addEventListener("pointerdown", (event) => (pressed = isOutside(event)));
    dialog.addEventListener("click", (event) => pressed && isOutside(event) && leave());
    dialog.append(
      h(
        "header",
        {},
        h("h2", { id: heading }, title),
        button("icon-only", { label: t("close"), glyph: "close" }, leave),
      ),
      fill(close, dialog),
    );
    document.body.append(dialog);
    dialog.showModal();
    (dialog.querySelector("[data-first]") ?? dialog.querySelector("input, textarea, select, footer button"))?.focus();
  });
}

/** Asks before something that cannot be undone. Answers true or undefined. */
export const confirm = ({ title, text, details, yes, bad = true }) =>
  openDialog({
    title,
    look: "small",
    role: "alertdialog",
    fill: (close) =>
      h(
        "form",
        { on: { submit: (event) => (event.preventDefault(), close(true)) } },
        h("div", { class: "body" }, h("p", {}, text), details),
        h(
          "footer",
          {},
          button("", { text: t("cancel"), "data-first": true }, () => close(undefined)),
          h("button", { type: "submit", class: bad ? "danger" : "primary" }, yes),
        ),
      ),
  });

/** Places a popover below its anchor, or above it, inside the window. */
function place(popover, anchor) {
  const box = anchor.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = popover;
  const below = box.bottom + 4;
  const top = below + height > innerHeight - 8 ? Math.max(8, box.top - height - 4) : below;
  popover.style.top = `${top}px`;
  popover.style.left = `${Math.min(Math.max(8, box.right - width), innerWidth - width - 8)}px`;
}

/** Opens a popover at an anchor, once; it goes when it is left. */
export function openPopover(anchor, content, { look = "popover", ...attributes } = {}) {
  const popover = h("div", { class: look, popover: "auto", ...attributes }, content);
  // Where its button is, so that it belongs to the same landmark; it lies above everything all the same.
  (anchor.closest("dialog, header, main") ?? document.body).append(popover);
  popover.addEventListener("toggle", ({ newState }) => {
    if (newState !== "closed") return;
    const focus = popover.contains(document.activeElement) || document.activeElement === document.body;
    anchor.setAttribute("aria-expanded", "false");
    popover.remove();
    // The row it was in may have been built again since.
    const back = anchor.isConnected ? anchor : document.querySelector(`[data-key="${CSS.escape(anchor.dataset.key ?? "")}"]`);
    if (focus) back?.focus();
  });
  anchor.setAttribute("aria-expanded", "true");
  popover.showPopover();
  place(popover, anchor);
  return popover;
}

/** Opens a menu at a button. `items` are `{text, glyph, run, bad}`; arrows, Home, End and letters move in it. */
export function openMenu(anchor, items) {
  const buttons = items.filter(Boolean).map(({ text, glyph, run, bad }) =>
    button(bad ? "bad" : "", { text, glyph, role: "menuitem", tabindex: "-1" }, () => {
      popover.hidePopover();
      run();
    }),
  );
  const move = (event) => {
    const at = buttons.indexOf(document.activeElement);
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
  const popover = openPopover(anchor, buttons, { look: "popover menu", role: "menu", "aria-label": anchor.getAttribute("aria-label") });
  popover.addEventListener("keydown", move);
  buttons[0]?.focus();
  return popover;
}

/** Copies a text and says so. */
export async function copy(text, said = t("copied")) {
  try {
    await navigator.clipboard.writeText(text);
    toast(said);
  } catch {
    toast(t("copyFailed"), { bad: true });
  }
}
