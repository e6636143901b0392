// The kit of the browser tests: the stack, a browser, signed-in users, webhooks that are deleted after the test, and evidence of failures.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import axe from 'axe-core';
import { chromium } from 'playwright-core';

const file = process.env.ANZOL_STACK ?? new URL('../../target/local/stack.json', import.meta.url);

/** The deployed stack, as described by `cargo xtask up`. */
export const stack = JSON.parse(readFileSync(file, 'utf8'));
/** The password of every seeded user. */
export const PASSWORD = 'Anzol-local-1';
export const APP_CREATED = 'com.qlik.v1.app.created';
export const APP_DELETED = 'com.qlik.v1.app.deleted';
export const RELOAD_FINISHED = 'com.qlik.v1.app.reload.finished';

/** Failing tests leave a screenshot and a trace here (`npx playwright-core show-trace …`). */
const evidence = fileURLToPath(new URL('../../target/console/', import.meta.url));
/** Screenshots of the main views: beside the evidence, or where `ANZOL_PICTURES` says, for the README. */
const pictures = process.env.ANZOL_PICTURES ? `${process.env.ANZOL_PICTURES}/` : `${evidence}pictures/`;

/** Long enough for an event to pass all queues of a busy local cloud, in milliseconds. */
export const SOON_MS = 30_000;

export const browser = await chromium.launch({
  executablePath: process.env.ANZOL_CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--no-first-run',
  ],
});
after(() => browser.close());

// ── Sessions ──

/** Opens a browser session. `violations` collects errors and violations of the Content-Security-Policy. */
export async function openSession(options = {}) {
  const context = await browser.newContext({
    locale: 'en-US',
    viewport: { width: 1440, height: 900 },
    timezoneId: 'America/Sao_Paulo',
    permissions: ['clipboard-read', 'clipboard-write'],
    ...options,
  });
  context.setDefaultTimeout(SOON_MS);
  const violations = [];
  await context.exposeBinding('noteViolation', (_, text) => violations.push(text));
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }) =>
      window.noteViolation(`policy: ${violatedDirective} ${blockedURI} ${sample}`),
    );
  });
  const page = await context.newPage();
  page.on('pageerror', (error) => violations.push(`page: ${error.stack}`));
  // The browser also logs every failed request; the tests check those that they provoke.
  page.on(
    'console',
    (message) =>
      message.type() === 'error' &&
      !/Failed to load resource/.test(message.text()) &&
      violations.push(`console: ${message.text()}`),
  );
  return { context, page, violations };
}

/**
 * Defines a test in its own session. It fails on errors and violations of the policy, and then leaves a screenshot and a trace. `who` is
 * signed in.
 */
export function uiTest(name, options, run) {
  if (!run) [options, run] = [{}, options];
  const { who, hash = '', ...window } = options;
  test(name, async (t) => {
    const { context, page, violations } = await openSession(window);
    await context.tracing.start({ snapshots: true }); // Without screenshots, which cost more than the test.
    try {
      if (who) await arrive(page, who, hash);
      await run({ t, page, context, violations });
      assert.deepEqual(violations, []);
      await context.tracing.stop();
    } catch (error) {
      const path = evidence + name.replace(/[^\w]+/g, '-');
      mkdirSync(evidence, { recursive: true });
      await page.screenshot({ path: `${path}.png` }).catch(() => {});
      await context.tracing.stop({ path: `${path}.zip` }).catch(() => {});
      error.message += `\n  evidence: ${path}.png, ${path}.zip`;
      throw error;
    } finally {
      await context.close();
    }
  });
}

/** Opens the console as a signed-in user, with the token from the description of the stack. */
export async function arrive(page, who, hash = '') {
  await page.addInitScript((idToken) => {
    if (!sessionStorage.getItem('visited')) sessionStorage.setItem('anzol.session', JSON.stringify({ idToken }));
    sessionStorage.setItem('visited', 'yes');
  }, stack.tokens[who]);
  await page.goto(stack.consoleUrl + hash);
}

/** Signs in with the form. */
export async function signIn(page, who, password = PASSWORD) {
  await page.locator('#username').fill(who);
  await page.locator('#password').fill(password);
  await page.locator('form button[type=submit]').click();
}

/** Returns the configuration of the page. */
export const config = async () => (await fetch(`${stack.consoleUrl}config.json`)).json();

/** Overrides members of the configuration of the page. */
export async function deployedWith(context, more) {
  const json = { ...(await config()), ...more };
  await context.route('**/console/config.json', (route) => route.fulfill({ json }));
}

/** Returns the row of a webhook in the table. */
export const rowOf = (page, name) => page.locator('tr.webhook', { has: page.getByRole('link', { name, exact: true }) });

/** Chooses an item of the menu of a webhook in the table. */
export async function choose(page, name, item) {
  await rowOf(page, name).locator('button[aria-haspopup=menu]').click();
  await page.getByRole('menuitem', { name: item }).click();
}

/** Asserts that axe-core finds no violation of WCAG 2.2 AA and its best practices. */
export async function expectAccessible(page, what) {
  // Playwright evaluates `axe.source` despite the policy, as a browser extension would.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }),
  );
  const found = violations.map(
    ({ id, help, nodes }) =>
      `${id}: ${help}\n${nodes.map(({ html, failureSummary }) => `    ${html.slice(0, 200)}\n      ${failureSummary.replaceAll('\n', ' ')}`).join('\n')}`,
  );
  assert.deepEqual(found, [], what);
}

/** Takes a screenshot of a main view. */
export async function picture(page, name, options = {}) {
  mkdirSync(pictures, { recursive: true });
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: `${pictures}${name}.png`, animations: 'disabled', ...options });
}

/** Asserts that the page is no wider than its window. */
export async function expectNoSidewaysScroll(page, what) {
  const [page_, window_] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  assert.ok(page_ <= window_, `${what}: ${page_} px in a window of ${window_}`);
}

// ── The stack ──

let count = 0;
/** Returns a unique name. */
export const unique = (word) => `${word}-${process.pid.toString(36)}${Date.now().toString(36)}-${count++}`;

/** Returns the URL of a path at the receiver. */
export const receiverUrl = (name) => `${stack.receiver.url}/${name}`;

/** Calls the API as a user. Returns status and body. */
export async function call(who, method, path, body) {
  const answer = await fetch(`${stack.apiUrl}${path}`, {
    method,
    headers: { authorization: `Bearer ${stack.tokens[who]}`, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, body: text && JSON.parse(text) };
}

const CORE = '/api/core/webhooks';

/** Creates a webhook for new apps, and deletes it after the test `t`. `more` adds or overrides members. */
export async function createWebhook(t, more = {}, who = 'acme.admin') {
  const name = more.name ?? unique('hook');
  const request = {
    name,
    url: receiverUrl(name.replace(/\W+/g, '-')),
    eventTypes: [APP_CREATED],
    enabled: true,
    ...more,
  };
  const { status, body } = await call(who, 'POST', CORE, request);
  assert.equal(status, 201, JSON.stringify(body));
  t.after(() => call(who, 'DELETE', `${CORE}/${body.id}`));
  return body;
}

/** Reads a webhook from the API. */
export const webhook = async (id, who = 'acme.admin') => (await call(who, 'GET', `${CORE}/${id}`)).body;

/** Deletes all webhooks with this name after the test: for webhooks that the page creates. */
export const deleteLater = (t, name, who = 'acme.admin') =>
  t.after(async () => {
    const { body } = await call(who, 'GET', `${CORE}?name=${encodeURIComponent(name)}&limit=100`);
    for (const { id } of body.data) await call(who, 'DELETE', `${CORE}/${id}`);
  });

/** Publishes an event. `more` adds or overrides attributes. Returns its ID. */
export async function publish(type = APP_CREATED, more = {}, who = 'acme.admin') {
  const event = {
    specversion: '1.0',
    id: unique('event'),
    source: 'tests/console',
    type,
    data: { id: 'app-1', name: 'Sales' },
    ...more,
  };
  const answer = await fetch(`${stack.apiUrl}/api/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.tokens[who]}`, 'content-type': 'application/cloudevents+json' },
    body: JSON.stringify(event),
  });
  assert.equal(answer.status, 202, await answer.text());
  return event.id;
}

/** Sets how the receiver responds on a path. */
export async function behave(name, behavior) {
  const answer = await fetch(`${stack.receiver.controlUrl}/behaviours/${name}`, {
    method: 'PUT',
    body: JSON.stringify(behavior),
  });
  assert.equal(answer.status, 204);
}

/** Returns the requests that the receiver got on a path, newest last. */
export const received = async (name) => (await fetch(`${stack.receiver.controlUrl}/requests?path=/${name}`)).json();

/** Waits until the history of a webhook has so many rows, and returns it, newest first. */
export const deliveries = (id, atLeast = 1) =>
  eventually(`${atLeast} deliveries`, async () => {
    const { body } = await call('acme.admin', 'GET', `${CORE}/${id}/deliveries?limit=100`);
    return body.data.length >= atLeast && body.data;
  });

/** Calls `look` until it returns a truthy value, and returns that value. */
export async function eventually(what, look, ms = SOON_MS) {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < deadline, `not within ${ms} ms: ${what}`);
    await sleep(200);
  }
}
