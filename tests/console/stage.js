// What every test starts from: the stack, a browser, users who are signed in, webhooks that clean up after themselves, and evidence
// of what went wrong.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import axe from 'axe-core';
import { chromium } from 'playwright-core';

const file = process.env.ANZOL_STACK ?? new URL('../../target/local/stack.json', import.meta.url);

/** The deployed stack, as `cargo xtask up` describes it. */
export const stack = JSON.parse(readFileSync(file, 'utf8'));
/** Of every seeded user. */
export const PASSWORD = 'Anzol-local-1';
export const APP_CREATED = 'com.qlik.v1.app.created';
export const APP_DELETED = 'com.qlik.v1.app.deleted';
export const RELOAD_FINISHED = 'com.qlik.v1.app.reload.finished';

/** Where failing tests leave a screenshot and a trace (`npx playwright-core show-trace …`). */
const evidence = fileURLToPath(new URL('../../target/console/', import.meta.url));
/** Where pictures go: beside the evidence, or, for the README, wherever `ANZOL_PICTURES` says. */
const pictures = process.env.ANZOL_PICTURES ? `${process.env.ANZOL_PICTURES}/` : `${evidence}pictures/`;

/** Long enough for an event to pass through every queue of a busy local cloud. */
export const SOON_MS = 30_000;

export const browser = await chromium.launch({
  executablePath: process.env.ANZOL_CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run',
  ],
});
after(() => browser.close());

// ── Scenes ──

/** Opens a window whose violations of the policy and errors are noted. */
export async function openWindow(options = {}) {
  const context = await browser.newContext({ locale: 'en-US', viewport: { width: 1440, height: 900 }, timezoneId: 'America/Sao_Paulo', permissions: ['clipboard-read', 'clipboard-write'], ...options });
  context.setDefaultTimeout(SOON_MS);
  const wrong = [];
  await context.exposeBinding('noteViolation', (_, text) => wrong.push(text));
  await context.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI, sample }) =>
      window.noteViolation(`policy: ${violatedDirective} ${blockedURI} ${sample}`));
  });
  const page = await context.newPage();
  page.on('pageerror', (error) => wrong.push(`page: ${error.stack}`));
  // The browser notes every refused request there; those that tests provoke are looked at by the tests.
  page.on('console', (message) => message.type() === 'error' && !/Failed to load resource/.test(message.text()) && wrong.push(`console: ${message.text()}`));
  return { context, page, wrong };
}

/**
 * A test in a window of its own. Whatever it does, it must not break the policy or throw; when it fails, a screenshot and a trace stay.
 * `who` is signed in already, by the form's own way of keeping tokens.
 */
export function scene(name, options, run) {
  if (!run) [options, run] = [{}, options];
  const { who, hash = '', ...window } = options;
  test(name, async (t) => {
    const { context, page, wrong } = await openWindow(window);
    await context.tracing.start({ snapshots: true }); // without a film, which takes more of a small machine than the test does
    try {
      if (who) await arrive(page, who, hash);
      await run({ t, page, context, wrong });
      assert.deepEqual(wrong, []);
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

/** Opens the console as somebody who is signed in, with the token that the stack has for them. */
export async function arrive(page, who, hash = '') {
  await page.addInitScript((idToken) => {
    if (!sessionStorage.getItem('visited')) sessionStorage.setItem('anzol.session', JSON.stringify({ idToken }));
    sessionStorage.setItem('visited', 'yes');
  }, stack.tokens[who]);
  await page.goto(stack.consoleUrl + hash);
}

/** Signs in by the form. */
export async function signIn(page, who, password = PASSWORD) {
  await page.locator('#username').fill(who);
  await page.locator('#password').fill(password);
  await page.locator('form button[type=submit]').click();
}

/** What the page is told of the deployment. */
export const config = async () => (await fetch(`${stack.consoleUrl}config.json`)).json();

/** Tells the page something else of the deployment. */
export async function deployedWith(context, more) {
  const json = { ...(await config()), ...more };
  await context.route('**/console/config.json', (route) => route.fulfill({ json }));
}

/** The row of a webhook in the table. */
export const rowOf = (page, name) => page.locator('tr.webhook', { has: page.getByRole('link', { name, exact: true }) });

/** Opens the menu of a webhook in the table and chooses. */
export async function choose(page, name, item) {
  await rowOf(page, name).locator('button[aria-haspopup=menu]').click();
  await page.getByRole('menuitem', { name: item }).click();
}

/** What axe-core has against the page: nothing, by the rules of WCAG 2.2 AA and its own good practice. */
export async function expectAccessible(page, what) {
  // Not in the middle of a fade; and `axe.source` goes in from outside, past the policy, as a reader's tools do.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  const told = violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map(({ html, failureSummary }) => `    ${html.slice(0, 200)}\n      ${failureSummary.replaceAll('\n', ' ')}`).join('\n')}`);
  assert.deepEqual(told, [], what);
}

/** Takes a picture of a main view. */
export async function picture(page, name, options = {}) {
  mkdirSync(pictures, { recursive: true });
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: `${pictures}${name}.png`, animations: 'disabled', ...options });
}

/** Whether the page is no wider than its window. */
export async function expectNoSidewaysScroll(page, what) {
  const [page_, window_] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
  assert.ok(page_ <= window_, `${what}: ${page_} px in a window of ${window_}`);
}

// ── The stack ──

let count = 0;
/** A name nobody else uses, in this run or another. */
export const unique = (word) => `${word}-${process.pid.toString(36)}${Date.now().toString(36)}-${count++}`;

/** Where the receiver takes what is sent to this name. */
export const receiverUrl = (name) => `${stack.receiver.url}/${name}`;

/** Calls the API as somebody; answers status and body. */
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

/** Creates a webhook that hears of new apps, and deletes it when the test `t` is over; `more` adds or overrides. */
export async function createWebhook(t, more = {}, who = 'acme.admin') {
  const name = more.name ?? unique('hook');
  const request = { name, url: receiverUrl(name.replace(/\W+/g, '-')), eventTypes: [APP_CREATED], enabled: true, ...more };
  const { status, body } = await call(who, 'POST', CORE, request);
  assert.equal(status, 201, JSON.stringify(body));
  t.after(() => call(who, 'DELETE', `${CORE}/${body.id}`));
  return body;
}

/** What the API says of a webhook. */
export const webhook = async (id, who = 'acme.admin') => (await call(who, 'GET', `${CORE}/${id}`)).body;

/** Deletes, when the test is over, every webhook of that name: for those that the page makes. */
export const deleteLater = (t, name, who = 'acme.admin') =>
  t.after(async () => {
    const { body } = await call(who, 'GET', `${CORE}?name=${encodeURIComponent(name)}&limit=100`);
    for (const { id } of body.data) await call(who, 'DELETE', `${CORE}/${id}`);
  });

/** Publishes an event; `more` adds or overrides. */
export async function publish(type = APP_CREATED, more = {}, who = 'acme.admin') {
  const event = { specversion: '1.0', id: unique('event'), source: 'tests/console', type, data: { id: 'app-1', name: 'Sales' }, ...more };
  const answer = await fetch(`${stack.apiUrl}/api/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.tokens[who]}`, 'content-type': 'application/cloudevents+json' },
    body: JSON.stringify(event),
  });
  assert.equal(answer.status, 202, await answer.text());
  return event.id;
}

/** How the receiver answers this path from now on. */
export async function behave(name, behaviour) {
  const answer = await fetch(`${stack.receiver.controlUrl}/behaviours/${name}`, { method: 'PUT', body: JSON.stringify(behaviour) });
  assert.equal(answer.status, 204);
}

/** What the receiver got at this path, newest last. */
export const received = async (name) => (await fetch(`${stack.receiver.controlUrl}/requests?path=/${name}`)).json();

/** The history of a webhook, newest first, once it has at least so many rows. */
export const deliveries = (id, atLeast = 1) =>
  eventually(`${atLeast} deliveries`, async () => {
    const { body } = await call('acme.admin', 'GET', `${CORE}/${id}/deliveries?limit=100`);
    return body.data.length >= atLeast && body.data;
  });

/** Looks again and again until something is there to see. */
export async function eventually(what, look, ms = SOON_MS) {
  const deadline = Date.now() + ms;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < deadline, `not within ${ms} ms: ${what}`);
    await sleep(200);
  }
}
