// Sign-in, sign-out, fresh tokens, and sessions that expire while the page is in use.
import assert from 'node:assert/strict';

import {
  arrive,
  config,
  createWebhook,
  deployedWith,
  openSession,
  PASSWORD,
  receiverUrl,
  rowOf,
  signIn,
  stack,
  uiTest,
  unique,
} from './kit.js';

const kept = (page) => page.evaluate(() => JSON.parse(sessionStorage.getItem('anzol.session')));

/** Returns an expired copy of a token. Only the page reads its claims before the API rejects it. */
function expired(token) {
  const [head, body, signature] = token.split('.');
  const claims = { ...JSON.parse(Buffer.from(body, 'base64url').toString()), exp: 1 };
  return [head, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.');
}

uiTest('wrong password is rejected, right one signs in', async ({ page, t }) => {
  const { name } = await createWebhook(t);
  await page.goto(stack.consoleUrl);
  await signIn(page, 'acme.admin', 'not-the-password');
  await page.getByText('Incorrect username or password.').waitFor();
  assert.equal(await page.locator('#password').inputValue(), '');
  assert.equal(await page.locator('#username').inputValue(), 'acme.admin');
  await signIn(page, 'acme.admin');
  await rowOf(page, name).waitFor();
  await page.getByText('acme.admin@example.com').waitFor();
  // No token is stored beyond the tab.
  const everywhere = await page.evaluate(() => JSON.stringify({ ...localStorage }) + document.cookie);
  assert.doesNotMatch(everywhere, /eyJ/);
});

uiTest('sign-out forgets tokens and revokes the session', async ({ page }) => {
  await page.goto(stack.consoleUrl);
  await signIn(page, 'acme.admin');
  await page.getByRole('heading', { name: 'Webhooks', exact: true }).waitFor();
  const { refreshToken } = await kept(page);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.locator('#username').waitFor();
  assert.equal(await kept(page), null);
  const { signInUrl, clientId } = await config();
  const answer = await fetch(signInUrl, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': 'AWSCognitoIdentityProviderService.InitiateAuth',
    },
    body: JSON.stringify({
      ClientId: clientId,
      AuthFlow: 'REFRESH_TOKEN_AUTH',
      AuthParameters: { REFRESH_TOKEN: refreshToken },
    }),
  });
  assert.equal(answer.status, 400, 'the refresh token still works');
  await page.reload();
  await page.locator('#username').waitFor();
});

uiTest('expired token is replaced silently', async ({ page, t }) => {
  const { name } = await createWebhook(t);
  await page.goto(stack.consoleUrl);
  await signIn(page, 'acme.admin');
  await rowOf(page, name).waitFor();
  const session = await kept(page);
  await page.evaluate((session) => sessionStorage.setItem('anzol.session', JSON.stringify(session)), {
    idToken: expired(session.idToken),
    refreshToken: session.refreshToken,
  });
  await page.reload();
  await rowOf(page, name).waitFor();
  const fresh = await kept(page);
  assert.notEqual(fresh.idToken, expired(session.idToken));
  assert.equal(fresh.refreshToken, session.refreshToken);
});

uiTest('rejected token is replaced once, then asks to sign in', { who: 'acme.admin' }, async ({ page }) => {
  await page.getByRole('heading', { name: 'Webhooks', exact: true }).waitFor();
  // This token looks valid, but the API rejects its signature.
  await page.evaluate(() => {
    const { idToken } = JSON.parse(sessionStorage.getItem('anzol.session'));
    sessionStorage.setItem(
      'anzol.session',
      JSON.stringify({ idToken: `${idToken.split('.').slice(0, 2).join('.')}.AAAA` }),
    );
  });
  await page.getByRole('button', { name: 'Refresh' }).click();
  const dialog = page.getByRole('dialog', { name: 'Sign in again' });
  await dialog.getByText('Your session expired').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('.sign-in #username').waitFor();
});

uiTest('expired session keeps the entries of a form', { who: 'acme.admin' }, async ({ page, t }) => {
  const { name } = await createWebhook(t);
  await page.reload();
  await rowOf(page, name).locator('button[aria-haspopup=menu]').click();
  await page.getByRole('menuitem', { name: 'Edit' }).click();
  await page.locator('#description').fill('typed before the session ended');
  await page.evaluate(() => sessionStorage.removeItem('anzol.session'));
  await page.getByRole('button', { name: 'Save' }).click();
  const dialog = page.getByRole('dialog', { name: 'Sign in again' });
  await dialog.locator('#username').fill('acme.admin');
  await dialog.locator('#password').fill(PASSWORD);
  await dialog.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Changes saved.').waitFor();
  await rowOf(page, name).getByText('typed before the session ended').waitFor();
});

uiTest('hosted sign-in exchanges a code with PKCE', async ({ page, context }) => {
  // In real deployments the domain of the pool serves the hosted page; here the local cloud does.
  const { clientId } = await config();
  await deployedWith(context, { hostedUiUrl: stack.awsEndpointUrl });
  const asked = [];
  const exchanged = [];
  await context.route('**/oauth2/authorize?**', async (route) => {
    const query = new URL(route.request().url()).searchParams;
    asked.push(query);
    await route.fulfill({
      status: 302,
      headers: { location: `${query.get('redirect_uri')}?code=the-code&state=${query.get('state')}` },
    });
  });
  await context.route('**/oauth2/token', async (route) => {
    exchanged.push(new URLSearchParams(route.request().postData()));
    await route.fulfill({
      json: { id_token: stack.tokens['acme.admin'], refresh_token: 'refresh' },
      headers: { 'access-control-allow-origin': '*' },
    });
  });
  await page.goto(`${stack.consoleUrl}#/webhooks?q=kept`);
  assert.equal(await page.locator('#password').count(), 0);
  await page.getByRole('button', { name: 'Continue to sign in' }).click();
  await page.getByRole('heading', { name: 'Webhooks', exact: true }).waitFor();
  const [query] = asked;
  const [fields] = exchanged;
  assert.equal(query.get('client_id'), clientId);
  assert.equal(query.get('response_type'), 'code');
  assert.equal(query.get('code_challenge_method'), 'S256');
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(fields.get('code_verifier')));
  assert.equal(Buffer.from(digest).toString('base64url'), query.get('code_challenge'));
  assert.equal(fields.get('code'), 'the-code');
  assert.equal(fields.get('redirect_uri'), query.get('redirect_uri'));
  // The view is restored, and no code is left in the address.
  assert.equal(new URL(page.url()).search, '');
  assert.match(page.url(), /#\/webhooks\?q=kept$/);

  // A response that was not requested is rejected.
  await page.evaluate(() => sessionStorage.clear());
  await page.goto(`${stack.consoleUrl}?code=stolen&state=other`);
  await page.getByText('This sign-in link has expired.').waitFor();
  assert.equal(exchanged.length, 1);
});

uiTest('two tenants see only their own webhooks', async ({ page, t }) => {
  const mine = await createWebhook(t, { name: unique('acme') }, 'acme.admin');
  const theirs = await createWebhook(t, { name: unique('globex') }, 'globex.admin');
  const other = await openSession();
  try {
    await arrive(page, 'acme.admin');
    await arrive(other.page, 'globex.admin');
    await rowOf(page, mine.name).waitFor();
    await rowOf(other.page, theirs.name).waitFor();
    assert.equal(await rowOf(page, theirs.name).count(), 0);
    assert.equal(await rowOf(other.page, mine.name).count(), 0);
    // The address of the webhook does not show it either.
    await other.page.goto(`${stack.consoleUrl}#/webhooks/${mine.id}`);
    await other.page.getByRole('heading', { name: 'Webhook not found' }).waitFor();
    assert.deepEqual(other.violations, []);
  } finally {
    await other.context.close();
  }
});

uiTest('user sees own webhooks and creates level user', { who: 'acme.user' }, async ({ page, t }) => {
  const admins = await createWebhook(t, {}, 'acme.admin');
  const own = await createWebhook(t, { level: 'user' }, 'acme.user');
  await page.reload();
  await rowOf(page, own.name).waitFor();
  assert.equal(await rowOf(page, admins.name).count(), 0);
  await page.locator('.bar').getByRole('button', { name: 'Create webhook' }).click();
  const dialog = page.getByRole('dialog', { name: 'Create webhook' });
  assert.equal(await dialog.getByRole('radio', { name: /^Tenant/ }).isDisabled(), true);
  assert.equal(await dialog.getByRole('radio', { name: /^User/ }).isChecked(), true);
  assert.equal(await dialog.locator('#ownerId').isVisible(), false);
});

uiTest('missing permission shows in the form', { who: 'acme.user' }, async ({ page, t }) => {
  const own = await createWebhook(t, { level: 'user' }, 'acme.user');
  await page.reload();
  await rowOf(page, own.name).locator('button[aria-haspopup=menu]').click();
  await page.getByRole('menuitem', { name: 'Edit' }).click();
  // Enables the level, as if the page allowed it.
  await page.locator('input[name=level][value=tenant]').evaluate((input) => (input.disabled = false));
  await page.locator('input[name=level][value=tenant]').check();
  await page.locator('#url').fill(receiverUrl('elsewhere'));
  await page.getByRole('button', { name: 'Save' }).click();
  await page
    .locator('#level')
    .getByText(/Only administrators can use the level Tenant/)
    .waitFor();
  await page.getByRole('dialog').waitFor();
});

uiTest('wrong clock does not refresh tokens', async ({ page, t }) => {
  const { name } = await createWebhook(t);
  await page.clock.install({ time: Date.now() + 3 * 24 * 3_600_000 });
  const asked = [];
  page.on('request', (request) => request.headers()['x-amz-target'] && asked.push(request.postDataJSON().AuthFlow));
  await page.goto(stack.consoleUrl);
  await signIn(page, 'acme.admin');
  await rowOf(page, name).waitFor();
  await page.getByRole('button', { name: 'Refresh' }).click();
  await rowOf(page, name).waitFor();
  assert.deepEqual(asked, ['USER_PASSWORD_AUTH'], 'the token is valid, and is not replaced for each call');
});

uiTest('account without tenant gets an explanation', async ({ page }) => {
  await page.addInitScript(() => {
    const part = (value) => btoa(JSON.stringify(value)).replace(/=+$/, '');
    sessionStorage.setItem(
      'anzol.session',
      JSON.stringify({ idToken: [part({}), part({ sub: 'no-tenant', exp: Date.now() / 1000 + 3600 }), ''].join('.') }),
    );
  });
  await page.goto(`${stack.consoleUrl}#/somewhere`);
  await page.getByRole('heading', { name: 'No organization' }).waitFor();
  await page.getByText(/isn't assigned to an organization/).waitFor();
});
