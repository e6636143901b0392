// Calls to Anzol's API, with errors whose messages can be shown.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function get(token, url) {
  let response;
  try {
    response = await fetch(url, { headers: { Authorization: `Bearer ${token}` } });
  } catch {
    throw new ApiError(0, "The API cannot be reached.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const details = (answer.errors ?? []).map((error) => error.detail ?? error.title);
  throw new ApiError(response.status, details.join("; ") || answer.message || `The API answered ${response.status}.`);
}

/** All webhooks the caller sees, by name. */
export async function listWebhooks(token) {
  const webhooks = [];
  let url = "/api/v1/webhooks?sort=%2Bname&limit=100";
  while (url) {
    const page = await get(token, url);
    webhooks.push(...page.data);
    url = page.links.next?.href;
  }
  return webhooks;
}
