// The view that the address names after `#`, so that a view can be shared and Back works.

/** Decodes a part of the address. One that cannot be decoded stays as it is, and names no webhook. */
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Returns the parts of the path and the parameters, e.g. of `#/webhooks/1?status=fail`. */
export function where() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decoded), params: new URLSearchParams(query) };
}

/**
 * Returns the address of a view, without empty parameters.
 * @param {string[]} path
 * @param {URLSearchParams | Record<string, string>} [params]
 */
export function hrefOf(path, params = {}) {
  const query = new URLSearchParams([...new URLSearchParams(params)].filter(([, value]) => value !== "")).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${query && `?${query}`}`;
}

/**
 * Goes to another view.
 * @param {string[]} path
 * @param {Record<string, string>} [params]
 */
export const go = (path, params) => {
  location.hash = hrefOf(path, params);
};

/** Changes the parameters of the current view without a new entry in the browser's history. @param {URLSearchParams} params */
export function note(params) {
  const next = hrefOf(where().path, params);
  if (next !== location.hash) history.replaceState(null, "", next);
}
