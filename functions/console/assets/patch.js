// The difference between two states of a webhook: as a JSON Patch, and as the names of fields.

const escaped = (part) => part.replaceAll("~", "~0").replaceAll("/", "~1");
const unescaped = (part) => part.replaceAll("~1", "/").replaceAll("~0", "~");
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

/** Fields with one value each. */
const PLAIN = ["name", "description", "url", "filter", "level", "ownerId", "enableCloudEventDelivery", "enabled"];
/** All fields of the form, except for the secret, which the API never returns. */
const FIELDS = [...PLAIN, "eventTypes", "headers", "encryptedHeaders"];

/** Returns the JSON Patch that leads from the stored webhook to the one in the form. */
export function patchFor(stored, wanted) {
  const operations = [];
  const set = (path, value) => operations.push({ op: "add", path, value });
  for (const name of PLAIN) if (wanted[name] !== (stored[name] ?? "")) set(`/${name}`, wanted[name]);
  if (!same([...wanted.eventTypes].sort(), [...stored.eventTypes].sort())) set("/eventTypes", wanted.eventTypes);
  if (!same(Object.entries(wanted.headers).sort(), Object.entries(stored.headers).sort()))
    set("/headers", wanted.headers);
  if (wanted.secret.mode === "remove") operations.push({ op: "remove", path: "/secret" });
  if (wanted.secret.mode === "set" && wanted.secret.value) set("/secret", wanted.secret.value);
  const { kept, given } = wanted.encryptedHeaders;
  for (const name of stored.encryptedHeaders) {
    if (!kept.includes(name) && !(name in given))
      operations.push({ op: "remove", path: `/encryptedHeaders/${escaped(name)}` });
  }
  for (const [name, value] of Object.entries(given)) set(`/encryptedHeaders/${escaped(name)}`, value);
  return operations;
}

/** Returns the names of the form's fields that differ between two states of a webhook. */
export const differing = (a, b) => FIELDS.filter((name) => !same(a[name] ?? "", b[name] ?? ""));

/** Returns the field that an operation changes, e.g. `encryptedHeaders.X-Key`. */
export function fieldOf({ path }) {
  const [, field, part] = path.split("/");
  return part ? `${field}.${unescaped(part)}` : field;
}
