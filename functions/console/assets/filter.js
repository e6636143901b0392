// The filter language, parsed as the API parses it, so that mistakes show while the filter is typed. The API decides in the end.

const ATTRIBUTES = ["id", "spaceId", "topLevelResourceId", "data.status"];
const RELOAD_FINISHED = "com.qlik.v1.app.reload.finished";
const STATUSES = ["ok", "error"];
/** The API's limit, in characters. */
const MAX = 4096;

/**
 * Parses `comparison *( ("and" / "or") comparison )`. Returns null for a valid filter, else the key of the text that says what is wrong.
 * `values.at` is the character, from 1; `values.after` the word before it.
 * @param {string} text
 * @param {string[]} [eventTypes]
 * @returns {{ key: string, values: Record<string, any> } | null}
 */
export function problemIn(text, eventTypes = []) {
  if (!text.trim()) return null;
  if ([...text].length > MAX) return { key: "filter.tooLong", values: { max: MAX } };
  const { problem, comparisons } = parse(text);
  if (problem) return problem;
  const statuses = comparisons.filter(({ attribute }) => attribute === "data.status");
  if (statuses.length && (eventTypes.length !== 1 || eventTypes[0] !== RELOAD_FINISHED)) {
    return { key: "filter.statusAlone", values: { type: RELOAD_FINISHED } };
  }
  if (statuses.some(({ value }) => !STATUSES.includes(value))) return { key: "filter.statusValue", values: {} };
  return null;
}

/** Returns the comparisons of a filter up to its first mistake. */
function parse(text) {
  const comparisons = [];
  const reader = readerOf(text);
  for (;;) {
    const attribute = reader.word(ATTRIBUTES);
    if (!attribute) return { problem: reader.expected("attribute"), comparisons };
    if (!reader.word(["eq", "ne"])) return { problem: reader.expected("operator"), comparisons };
    const value = reader.string();
    if (value === null) return { problem: reader.expected("value"), comparisons };
    comparisons.push({ attribute, value });
    if (reader.isAtEnd()) return { comparisons };
    if (!reader.word(["and", "or"])) return { problem: reader.expected("joint"), comparisons };
  }
}

function readerOf(text) {
  let at = 0;
  let last = "";
  const skip = () => {
    while (text[at] === " ") at += 1;
  };
  const take = (found) => {
    at += found.length;
    last = found;
  };
  return {
    /** Takes one of the known words, in any case. */
    word(known) {
      skip();
      const [found] = /^[^ "]*/.exec(text.slice(at)) ?? [""];
      const name = known.find((each) => each.toLowerCase() === found.toLowerCase());
      if (name) take(found);
      return name;
    },
    /** Takes a value in double quotes, or returns null. */
    string() {
      skip();
      const [quoted] = /^"(?:[^"\\]|\\.)*"/s.exec(text.slice(at)) ?? [""];
      try {
        const value = JSON.parse(quoted);
        take(quoted);
        return value;
      } catch {
        return null;
      }
    },
    isAtEnd() {
      skip();
      return at === text.length;
    },
    expected: (what) => ({
      key: `filter.expected.${what}`,
      values: { at: [...text.slice(0, at)].length + 1, after: last },
    }),
  };
}
