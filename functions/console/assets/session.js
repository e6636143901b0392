// Sign-in, sign-out and fresh tokens. Tokens are in the session storage of this tab, and are gone when it is closed.

const KEY = "anzol.session";
const PENDING = "anzol.signing-in";
/** Seconds before its expiry at which a token is replaced. */
const MARGIN = 60;

/** An error of the sign-in; `key` is the key of its text. */
export class SignInError extends Error {
  /**
   * @param {string} key
   * @param {Record<string, any>} [values]
   */
  constructor(key, values) {
    super(key);
    this.key = key;
    this.values = values;
  }
}

const read = (key) => JSON.parse(sessionStorage.getItem(key) ?? "null");
const write = (key, value) => sessionStorage.setItem(key, JSON.stringify(value));

/** Returns the claims of a token, unverified: for display only, since the API verifies the token. */
export function claims(token) {
  try {
    const part = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(part), (c) => c.charCodeAt(0))));
  } catch {
    return {};
  }
}

const now = () => Date.now() / 1000;

/**
 * Returns the seconds until a token expires. `ends` is by the clock of this machine, which may be wrong: it is counted from the moment the
 * token arrived.
 */
/** @param {{ idToken: string, ends?: number }} session */
const secondsLeft = ({ idToken, ends }) => (ends ?? claims(idToken).exp ?? 0) - now();

/** Stores tokens that have just arrived. */
function keep(tokens) {
  const { exp, iat } = claims(tokens.idToken);
  write(KEY, { ...tokens, ...(exp && iat && { ends: now() + exp - iat }) });
}

/** Returns whether a user is signed in, or can be without a password. */
export function isSignedIn() {
  const kept = read(KEY);
  return Boolean(kept && (secondsLeft(kept) > 0 || kept.refreshToken));
}

/** Returns who is signed in. @returns {User} */
export function user(config) {
  const said = claims(read(KEY)?.idToken ?? "");
  const groups = said[config?.rolesClaim ?? "cognito:groups"] ?? [];
  const roles = Array.isArray(groups) ? groups : String(groups).split(/[\s,[\]]+/);
  return {
    id: said.sub ?? "",
    name: said.email ?? said.name ?? said["cognito:username"] ?? said.sub ?? "",
    tenant: said[config?.tenantClaim ?? "custom:tenantId"] ?? "",
    admin: roles.includes(config?.adminRole ?? "TenantAdmin"),
  };
}

/** Forgets the session. */
export const forget = () => sessionStorage.removeItem(KEY);

/** Stores a pasted token. Returns false if it is not a token, or has expired. */
export function keepToken(idToken) {
  if (secondsLeft({ idToken }) <= 0) return false;
  write(KEY, { idToken });
  return true;
}

async function post(url, headers, body) {
  let response;
  try {
    response = await fetch(url, { method: "POST", headers, body });
  } catch {
    throw new SignInError("signIn.unreachable");
  }
  return { ok: response.ok, status: response.status, answer: await response.json().catch(() => ({})) };
}

/** Calls the user pool's API. */
const pool = (config, operation, body) =>
  post(
    config.signInUrl,
    { "Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": `AWSCognitoIdentityProviderService.${operation}` },
    JSON.stringify({ ClientId: config.clientId, ...body }),
  );

/** Calls the token endpoint of the hosted page. */
const hosted = (config, path, fields) =>
  post(
    `${config.hostedUiUrl}/oauth2/${path}`,
    { "Content-Type": "application/x-www-form-urlencoded" },
    new URLSearchParams({ client_id: config.clientId, ...fields }),
  );

/** Signs in with a password, at the user pool's API. */
export async function signIn(config, username, password) {
  const { ok, answer } = await pool(config, "InitiateAuth", {
    AuthFlow: "USER_PASSWORD_AUTH",
    AuthParameters: { USERNAME: username, PASSWORD: password },
  });
  if (!ok) {
    const kind = String(answer.__type ?? "")
      .split("#")
      .pop();
    const known = {
      NotAuthorizedException: "signIn.wrong",
      UserNotFoundException: "signIn.wrong",
      PasswordResetRequiredException: "signIn.reset",
      UserNotConfirmedException: "signIn.unconfirmed",
      TooManyRequestsException: "signIn.tooMany",
    };
    throw new SignInError(known[kind] ?? "signIn.failed", { reason: answer.message ?? kind });
  }
  if (!answer.AuthenticationResult) throw new SignInError("signIn.unfinished");
  const { IdToken: idToken, RefreshToken: refreshToken } = answer.AuthenticationResult;
  keep({ idToken, refreshToken });
}

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));
const redirectUri = () => `${location.origin}/console/`;

/** Goes to the hosted sign-in page: authorization code with PKCE (RFC 7636). */
export async function leaveToSignIn(config) {
  const pending = { state: random(), verifier: random(), hash: location.hash };
  write(PENDING, pending);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(pending.verifier));
  const query = new URLSearchParams({
    response_type: "code",
    client_id: config.clientId,
    redirect_uri: redirectUri(),
    scope: "openid email profile",
    state: pending.state,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: "S256",
  });
  location.assign(`${config.hostedUiUrl}/oauth2/authorize?${query}`);
}

/** Returns whether the address is a redirect from the hosted page. */
export const isBack = () => new URLSearchParams(location.search).has("state");

/** Our texts for the errors of the hosted page (RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6). */
const REFUSALS = {
  access_denied: "signIn.denied",
  interaction_required: "signIn.notDone",
  login_required: "signIn.notDone",
  account_selection_required: "signIn.notDone",
  consent_required: "signIn.notDone",
  server_error: "signIn.unreachable",
  temporarily_unavailable: "signIn.unreachable",
};

/**
 * Exchanges the code from the hosted page for tokens, and returns to the view where the reader was. Anyone can make a link to this page with
 * any query, so a query that does not belong to the pending sign-in changes nothing, and its texts are not shown.
 */
export async function finishSignIn(config) {
  const query = new URLSearchParams(location.search);
  const pending = read(PENDING);
  const ours = Boolean(pending) && pending.state === query.get("state");
  history.replaceState(null, "", `${location.pathname}${(ours && pending.hash) || ""}`);
  if (!ours) throw new SignInError("signIn.stale");
  sessionStorage.removeItem(PENDING);
  const refusal = query.get("error");
  if (refusal !== null) throw new SignInError(Object.hasOwn(REFUSALS, refusal) ? REFUSALS[refusal] : "signIn.refused");
  const { ok, answer } = await hosted(config, "token", {
    grant_type: "authorization_code",
    code: query.get("code") ?? "",
    redirect_uri: redirectUri(),
    code_verifier: pending.verifier,
  });
  // The token endpoint rejects a code that is used, expired, or not ours.
  if (!ok) throw new SignInError("signIn.stale");
  keep({ idToken: answer.id_token, refreshToken: answer.refresh_token });
}

let refreshing;

/**
 * Returns a token that is valid for a while, or null when the session has expired. `spent` is a token that the API has rejected.
 * @param {Partial<Config>} config
 * @param {string} [spent]
 * @returns {Promise<string | null>}
 */
export async function token(config, spent) {
  const kept = read(KEY);
  if (!kept) return null;
  if (kept.idToken !== spent && secondsLeft(kept) > MARGIN) return kept.idToken;
  if (!kept.refreshToken) return kept.idToken !== spent && secondsLeft(kept) > 0 ? kept.idToken : null;
  refreshing ??= refresh(config, kept).finally(() => (refreshing = undefined));
  return refreshing;
}

/** Returns a fresh token, or null when the pool says that the session has expired. Throws if the pool cannot be reached. */
async function refresh(config, kept) {
  let idToken;
  if (config.hostedUiUrl) {
    const { ok, status, answer } = await hosted(config, "token", {
      grant_type: "refresh_token",
      refresh_token: kept.refreshToken,
    });
    if (!ok && status >= 500) throw new SignInError("signIn.unreachable");
    idToken = ok && answer.id_token;
  } else {
    const { ok, status, answer } = await pool(config, "InitiateAuth", {
      AuthFlow: "REFRESH_TOKEN_AUTH",
      AuthParameters: { REFRESH_TOKEN: kept.refreshToken },
    });
    if (!ok && status >= 500) throw new SignInError("signIn.unreachable");
    idToken = ok && answer.AuthenticationResult?.IdToken;
  }
  if (!idToken) return null;
  keep({ ...kept, idToken });
  return idToken;
}

/** Ends the session, here and at the pool. The hosted page has its own session, so this goes there where there is one. */
export async function signOut(config) {
  const kept = read(KEY);
  forget();
  if (kept?.refreshToken) {
    const gone = config.hostedUiUrl
      ? hosted(config, "revoke", { token: kept.refreshToken })
      : pool(config, "RevokeToken", { Token: kept.refreshToken });
    await gone.catch(() => {}); // The token is forgotten in any case.
  }
  if (config.hostedUiUrl) {
    location.assign(
      `${config.hostedUiUrl}/logout?${new URLSearchParams({ client_id: config.clientId, logout_uri: redirectUri() })}`,
    );
  }
}
