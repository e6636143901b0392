// Code for receivers, as text: each verifies `webhook-signature` in constant time, and rejects old messages.

const own = (sent, comment) => (sent.length ? [`${comment} This webhook also sends: ${sent.join(", ")}`] : []);

const node = (sent) => [
  'import { createHmac, timingSafeEqual } from "node:crypto";',
  "",
  ...own(sent, "//"),
  "// headers: lowercase names, as Node provides them. body: the raw bytes, before parsing JSON.",
  "export function verify(secret, headers, body, now = Date.now() / 1000) {",
  '  const id = headers["webhook-id"];',
  '  const timestamp = headers["webhook-timestamp"];',
  "  if (!id || !(Math.abs(now - Number(timestamp)) <= 300)) return false;",
  '  const expected = createHmac("sha256", secret).update(`${id}.${timestamp}.`).update(body).digest();',
  '  return (headers["webhook-signature"] ?? "").split(" ").some((part) => {',
  '    const given = Buffer.from(part.replace(/^v1,/, ""), "base64");',
  '    return part.startsWith("v1,") && given.length === expected.length && timingSafeEqual(given, expected);',
  "  });",
  "}",
];

const python = (sent) => [
  "import base64, hashlib, hmac, time",
  "",
  ...own(sent, "#"),
  "# headers: a mapping with lowercase names. body: the raw bytes, before parsing JSON.",
  "def verify(secret, headers, body, now=None):",
  '    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")',
  "    if not message_id or not timestamp.isdigit():",
  "        return False",
  "    if abs((time.time() if now is None else now) - int(timestamp)) > 300:",
  "        return False",
  '    signed = f"{message_id}.{timestamp}.".encode() + body',
  "    expected = base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()",
  '    given = headers.get("webhook-signature", "").split(" ")',
  '    return any(hmac.compare_digest(part.encode(), f"v1,{expected}".encode()) for part in given)',
];

const go = (sent) => [
  "package receiver",
  "",
  "import (",
  '\t"crypto/hmac"',
  '\t"crypto/sha256"',
  '\t"encoding/base64"',
  '\t"math"',
  '\t"net/http"',
  '\t"strconv"',
  '\t"strings"',
  '\t"time"',
  ")",
  "",
  ...own(sent, "//"),
  "// Verify takes the raw body, before parsing JSON.",
  "func Verify(secret string, header http.Header, body []byte, now time.Time) bool {",
  '\tid, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")',
  "\tseconds, err := strconv.ParseInt(timestamp, 10, 64)",
  '\tif err != nil || id == "" || math.Abs(float64(now.Unix()-seconds)) > 300 {',
  "\t\treturn false",
  "\t}",
  "\tmac := hmac.New(sha256.New, []byte(secret))",
  '\tmac.Write([]byte(id + "." + timestamp + "."))',
  "\tmac.Write(body)",
  "\texpected := mac.Sum(nil)",
  '\tfor _, part := range strings.Split(header.Get("webhook-signature"), " ") {',
  '\t\tencoded, isV1 := strings.CutPrefix(part, "v1,")',
  "\t\tgiven, err := base64.StdEncoding.DecodeString(encoded)",
  "\t\tif isV1 && err == nil && hmac.Equal(given, expected) {",
  "\t\t\treturn true",
  "\t\t}",
  "\t}",
  "\treturn false",
  "}",
];

const rust = (sent) => [
  "use base64::{Engine as _, engine::general_purpose::STANDARD};",
  "use hmac::{Hmac, KeyInit as _, Mac as _};",
  "use http::HeaderMap;",
  "use sha2::Sha256;",
  "",
  ...own(sent, "//"),
  "/// `body` is the raw bytes, before parsing JSON; `now` is in seconds since 1970.",
  "pub fn verify(secret: &str, headers: &HeaderMap, body: &[u8], now: i64) -> bool {",
  '    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");',
  '    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp"));',
  "    let fresh = timestamp.parse::<i64>().is_ok_and(|seconds| (now - seconds).abs() <= 300);",
  "    if id.is_empty() || !fresh {",
  "        return false;",
  "    }",
  "    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };",
  '    mac.update(format!("{id}.{timestamp}.").as_bytes());',
  "    mac.update(body);",
  '    header("webhook-signature").split(\' \').filter_map(|part| part.strip_prefix("v1,")).any(|part| {',
  "        STANDARD.decode(part).is_ok_and(|given| mac.clone().verify_slice(&given).is_ok())",
  "    })",
  "}",
];

const lines = (source) => (sent) => `${source(sent).join("\n")}\n`;

/** By language: its name, what it needs beyond its standard library, and its source for a webhook with these headers. */
export const SNIPPETS = {
  node: { name: "Node.js", needs: "", source: lines(node) },
  python: { name: "Python", needs: "", source: lines(python) },
  go: { name: "Go", needs: "", source: lines(go) },
  rust: { name: "Rust", needs: "base64 0.23, hmac 0.13, sha2 0.11, http 1", source: lines(rust) },
};
