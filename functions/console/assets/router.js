// Where the reader is: the part of the address after `#`, so that a view can be shared, and Back works.

/** A part of the address; one that was typed by hand may be spelled wrong, and then is nobody's name. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The path's parts and the parameters, e.g. `#/webhooks/1?status=fail`. */
export function where() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decoded), params: new URLSearchParams(query) };
}

export function hrefOf(path, params) {
  const query = params ? new URLSearchParams([...new URLSearchParams(params)].filter(([, value]) => value !== "")).toString() : "";
  return `#/${path.map(encodeURIComponent).join("/")}${query && `?${query}`}`;
}

/** Goes to another page. */
export const go = (path, params) => {
  location.hash = hrefOf(path, params);
};

/** Notes a change of the page that is shown, without a step to go back to. */
export function note(params) {
  const next = hrefOf(where().path, params);
  if (next !== location.hash) history.replaceState(null, "", next);
}
