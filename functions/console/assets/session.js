// Signing in and out. The token lives in this tab's session storage and goes when the tab does.

const KEY = "anzol.token";

export function token() {
  const kept = sessionStorage.getItem(KEY);
  if (kept && claims(kept).exp * 1000 > Date.now()) return kept;
  sessionStorage.removeItem(KEY);
  return null;
}

export const keep = (newToken) => sessionStorage.setItem(KEY, newToken);

export const signOut = () => sessionStorage.removeItem(KEY);

/** What a token says, unverified: for showing only. */
export function claims(anyToken) {
  try {
    const part = anyToken.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(part), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return {};
  }
}

/** Signs in at the user pool's API; throws an Error whose message can be shown. */
export async function signIn(config, username, password) {
  let response;
  try {
    response = await fetch(config.signInUrl, {
      method: "POST",
      headers: {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "AWSCognitoIdentityProviderService.InitiateAuth",
      },
      body: JSON.stringify({
        AuthFlow: "USER_PASSWORD_AUTH",
        ClientId: config.clientId,
        AuthParameters: { USERNAME: username, PASSWORD: password },
      }),
    });
  } catch {
    throw new Error("The sign-in service cannot be reached.");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) {
    const wrong = /NotAuthorized|UserNotFound/.test(answer.__type ?? "");
    throw new Error(wrong ? "User name or password is wrong." : answer.message ?? "Signing in failed.");
  }
  if (!answer.AuthenticationResult) {
    throw new Error("This account has to finish setting up first: its administrator has to set a permanent password.");
  }
  keep(answer.AuthenticationResult.IdToken);
}
