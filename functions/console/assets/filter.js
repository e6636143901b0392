// The filter language, read as the API reads it, so that mistakes show while they are made. The API has the last word.

export const ATTRIBUTES = ["id", "spaceId", "topLevelResourceId", "data.status"];
const RELOAD_FINISHED = "com.qlik.v1.app.reload.finished";
const STATUSES = ["ok", "error"];
const MAX = 4096;

/**
 * Reads `comparison *( ("and" / "or") comparison )`. Answers null when all is well, else `{key, values}` of the text that says what
 * is wrong; `values.at` is the character, from 1.
 */
export function problemIn(text, eventTypes = []) {
  if (!text.trim()) return null;
  if ([...text].length > MAX) return { key: "filter.tooLong", values: { max: MAX } };
  let at = 0;
  const comparisons = [];
  const skip = () => {
    while (text[at] === " ") at += 1;
  };
  const wrong = (key) => ({ key: `filter.expected.${key}`, values: { at: [...text.slice(0, at)].length + 1 } });
  const word = (known) => {
    skip();
    const [found] = /^[^ "]*/.exec(text.slice(at));
    const name = known.find((each) => each.toLowerCase() === found.toLowerCase());
    if (name) at += found.length;
    return name;
  };
  for (;;) {
    const attribute = word(ATTRIBUTES);
    if (!attribute) return wrong("attribute");
    if (!word(["eq", "ne"])) return wrong("operator");
    skip();
    const [quoted] = /^"(?:[^"\\]|\\.)*"/s.exec(text.slice(at)) ?? [];
    let value;
    try {
      value = JSON.parse(quoted);
    } catch {
      return wrong("value");
    }
    at += quoted.length;
    comparisons.push({ attribute, value });
    skip();
    if (at === text.length) break;
    if (!word(["and", "or"])) return wrong("joint");
  }
  const statuses = comparisons.filter(({ attribute }) => attribute === "data.status");
  if (statuses.length && (eventTypes.length !== 1 || eventTypes[0] !== RELOAD_FINISHED)) return { key: "filter.statusAlone", values: { type: RELOAD_FINISHED } };
  if (statuses.some(({ value }) => !STATUSES.includes(value))) return { key: "filter.statusValue", values: {} };
  return null;
}
