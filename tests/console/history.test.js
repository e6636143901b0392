// The history: its deliveries, their order and details; resend, replay, test events; and the reasons for an empty history.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';

import {
  APP_CREATED,
  APP_DELETED,
  behave,
  call,
  choose,
  createWebhook,
  deliveries,
  eventually,
  publish,
  RELOAD_FINISHED,
  received,
  rowOf,
  stack,
  uiTest,
  unique,
  webhook,
} from './kit.js';

/** Expands a row. Tries again if the row was rebuilt under the click because its statistics arrived. */
const expand = (page, name) =>
  eventually(`the row of ${name} is expanded`, async () => {
    const row = rowOf(page, name);
    if (await row.getByRole('button', { name: 'Hide history' }).isVisible()) return true;
    await row.getByRole('button', { name: 'Show history' }).click();
    return row.getByRole('button', { name: 'Hide history' }).isVisible();
  });
const open = (page, id) => page.goto(`${stack.consoleUrl}#/webhooks/${id}`);
const rows = (page) => page.locator('tr.delivery');

uiTest('expanded row shows deliveries and updates itself', { who: 'acme.admin' }, async ({ page, t }) => {
  const hook = await createWebhook(t);
  await publish();
  await deliveries(hook.id);
  await page.reload();
  await expand(page, hook.name);
  await rows(page).first().waitFor();
  const cells = await rows(page).first().locator('td').allTextContents();
  assert.match(
    cells.join(' | '),
    /^(\w+ \d+, )?\d\d:\d\d:\d\d [AP]M \| Application created \| Delivered · 200 \| 1 \| Event \| \d/,
  );
  assert.match(await rows(page).first().locator('time').getAttribute('title'), /20\d\d/);
  await publish();
  await eventually('the second appears automatically', async () => (await rows(page).count()) === 2);
  await page.locator('.chart').getByText('2 delivered', { exact: true }).waitFor();
  assert.equal(await page.locator('.chart tbody tr').count(), 7);
});

uiTest('history filters by status and type in the address', { who: 'acme.admin' }, async ({ page, t }) => {
  const hook = await createWebhook(t, { eventTypes: [APP_CREATED, APP_DELETED] });
  await publish(APP_CREATED);
  await deliveries(hook.id, 1);
  await behave(hook.name, { status: 308, headers: { location: 'https://www.example.com/' } });
  await publish(APP_DELETED);
  await deliveries(hook.id, 2);
  await open(page, hook.id);
  await eventually('both', async () => (await rows(page).count()) === 2);
  await page.getByRole('button', { name: 'Failed', exact: true }).click();
  await eventually('the failed one', async () => (await rows(page).count()) === 1);
  // Redirects are not followed, and the target is named.
  await rows(page)
    .getByText(/redirect to https:\/\/www.example.com/)
    .waitFor();
  assert.match(page.url(), /status=fail/);
  await page.reload();
  await eventually('still', async () => (await rows(page).count()) === 1);
  await page.getByRole('button', { name: 'Delivered', exact: true }).click();
  await rows(page).getByText('Application created').waitFor();
  await page.getByLabel('Filter by event type').selectOption(APP_DELETED);
  await page.getByText('No deliveries match.').waitFor();
  await page.getByRole('button', { name: 'Show all' }).click();
  await eventually('both again', async () => (await rows(page).count()) === 2);
  await page.locator('.chart').getByText('1 failed', { exact: true }).waitFor();
});

uiTest('delivery shows all and copies JSON and curl', { who: 'acme.admin' }, async ({ page, t }) => {
  const hook = await createWebhook(t, {
    secret: 's'.repeat(32),
    encryptedHeaders: { 'X-Api-Key': 'k3y' },
    headers: { 'X-Team': "it's us" },
  });
  await behave(hook.name, { status: 200, headers: { 'content-type': 'application/json' }, body: '{"taken":[1,2]}' });
  const event = await publish();
  const [delivery] = await deliveries(hook.id);
  await open(page, hook.id);
  await rows(page)
    .first()
    .getByRole('button', { name: /Show request and response/ })
    .click();
  const [request, response] = [
    page.getByRole('region', { name: 'Request' }),
    page.getByRole('region', { name: 'Response' }),
  ];
  await request.getByText(hook.url).waitFor();
  for (const name of ['Qlik-Signature', 'webhook-id', 'webhook-signature', 'X-Team'])
    await request.getByText(name, { exact: true }).waitFor();
  await request.getByText('**OMITTED**', { exact: true }).waitFor();
  await request.getByText(/Encrypted header values were sent but are hidden here/).waitFor();
  assert.match(await response.locator('pre').textContent(), /\{\n {2}"taken": \[\n {4}1,/);
  await response.getByText('HTTP 200').waitFor();
  await request.getByRole('button', { name: 'Copy' }).click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  assert.equal(JSON.parse(copied).id, event);
  assert.deepEqual(JSON.parse(copied), delivery.request.body);
  assert.match(copied, /\n {2}"/);
  await page.getByRole('button', { name: 'Copy as curl' }).click();
  await eventually('curl', async () => /^curl/.test(await page.evaluate(() => navigator.clipboard.readText())));
  const command = await page.evaluate(() => navigator.clipboard.readText());
  // A shell parses the command as intended.
  const words = execFileSync('sh', ['-c', `curl() { printf '%s\\n' "$@"; }; ${command}`], { encoding: 'utf8' });
  assert.ok(words.includes(`\n${hook.url}\n`) && words.includes("\nX-Team: it's us\n"), words);
  assert.deepEqual(JSON.parse(words.trim().split('\n').at(-1)), delivery.request.body);
  // curl sends the request. Only the address of the host and the trusted CA are those of the local receiver.
  const { address, caFile } = stack.receiver;
  const answer = execFileSync(
    'sh',
    [
      '-c',
      `curl() { command curl --silent --show-error --connect-to "::${address}" --cacert '${caFile}' "$@"; }; ${command}`,
    ],
    { encoding: 'utf8' },
  );
  assert.match(answer, /^HTTP\/\S+ 200/);
  assert.ok(answer.endsWith('{"taken":[1,2]}'), answer);
  const [sent, again] = await received(hook.name);
  assert.equal(again.bodyBase64, sent.bodyBase64);
  assert.equal(again.headers['qlik-signature'], sent.headers['qlik-signature']);
});

uiTest('long response is marked as truncated', { who: 'acme.admin' }, async ({ page, t }) => {
  const hook = await createWebhook(t);
  await behave(hook.name, { body: 'long '.repeat(5000) });
  await publish();
  const [delivery] = await deliveries(hook.id);
  assert.equal(delivery.response.bodyTruncated, true);
  await page.goto(`${stack.consoleUrl}#/webhooks/${hook.id}?delivery=${delivery.id}`);
  await page.getByRole('region', { name: 'Response' }).getByText('Truncated').waitFor();
  await page.getByText('Only the first 16 KiB').waitFor();
});

uiTest('resend shows its result in place', { who: 'acme.admin' }, async ({ page, t }) => {
  const hook = await createWebhook(t);
  await behave(hook.name, { status: 410 });
  await publish();
  await deliveries(hook.id);
  await page.reload();
  await expand(page, hook.name);
  await rows(page).getByText('Failed · 410').waitFor();
  await page.getByRole('button', { name: /^Resend delivery/ }).click();
  const result = page.locator('.result-row');
  await result.getByText('Resent:').waitFor();
  await result.getByText('Failed · 410').waitFor();
  await behave(hook.name, {});
  await page
    .getByRole('button', { name: /^Resend delivery/ })
    .last()
    .click();
  await result.getByText('Delivered · 200').waitFor();
  await eventually('three rows', async () => (await rows(page).count()) === 3);
  await rows(page).first().getByText('Resend', { exact: true }).waitFor();
  await result.getByRole('button', { name: 'View', exact: true }).click();
  await page.locator('.details-row').waitFor();
});

uiTest('replay resends failed deliveries once', { who: 'acme.admin' }, async ({ page, t }) => {
  const hook = await createWebhook(t);
  // Redirects are not retried, so these have failed permanently.
  await behave(hook.name, { status: 308, headers: { location: 'https://www.example.com/' } });
  for (let index = 0; index < 3; index += 1) await publish();
  await deliveries(hook.id, 3);
  await behave(hook.name, {});
  await open(page, hook.id);
  await page.getByRole('button', { name: 'Replay failed…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Replay failed deliveries' });
  await dialog.getByLabel('Last hour').check();
  await dialog.getByRole('button', { name: 'Replay', exact: true }).click();
  await dialog.getByText(/3 of 3 resent, 0 skipped/).waitFor({ timeout: 30_000 });
  await eventually('all three are sent again', async () => (await received(hook.name)).length === 6);
  // A second replay finds the same deliveries, and sends none.
  await dialog.getByRole('button', { name: 'Replay', exact: true }).click();
  await dialog.getByText(/0 of 3 resent/).waitFor({ timeout: 30_000 });
  await dialog.locator('footer').getByRole('button', { name: 'Close' }).click();
  await eventually(
    'they are in the history',
    async () => (await rows(page).getByText('Replay', { exact: true }).count()) === 3,
  );
  assert.equal((await received(hook.name)).length, 6);
});

uiTest('test event shows its result', { who: 'acme.admin' }, async ({ page, t }) => {
  const hook = await createWebhook(t, { eventTypes: [APP_CREATED, APP_DELETED] });
  await page.reload();
  await choose(page, hook.name, 'Send test event');
  const dialog = page.getByRole('dialog', { name: 'Send test event' });
  await dialog.getByLabel('Event type').selectOption(APP_DELETED);
  await dialog.getByRole('button', { name: 'Send', exact: true }).click();
  await dialog.getByText('Delivered · 200').waitFor();
  const [request] = await received(hook.name);
  assert.match(Buffer.from(request.bodyBase64, 'base64').toString(), /com\.qlik\.v1\.app\.deleted/);
  await behave(hook.name, { status: 500 });
  await dialog.getByRole('button', { name: 'Send', exact: true }).click();
  await dialog.getByText('Failed · 500').waitFor();
  // The button still has the focus, and Escape still closes the dialog.
  assert.equal(
    await dialog
      .getByRole('button', { name: 'Send', exact: true })
      .evaluate((button) => button === document.activeElement),
    true,
  );
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await choose(page, hook.name, 'Send test event');
  await dialog.getByRole('button', { name: 'Send', exact: true }).click();
  await dialog.getByText('Failed · 500').waitFor();
  await dialog.getByRole('button', { name: 'View delivery' }).click();
  await page.getByRole('heading', { name: hook.name }).waitFor();
  await page.getByRole('region', { name: 'Response' }).getByText('HTTP 500').waitFor();
});

uiTest('older deliveries load on demand', { who: 'acme.admin' }, async ({ page, t }) => {
  const hook = await createWebhook(t);
  for (let index = 0; index < 23; index += 1) await publish();
  await deliveries(hook.id, 23);
  await open(page, hook.id);
  await eventually('a page', async () => (await rows(page).count()) === 20);
  await page.getByRole('button', { name: 'Show older deliveries' }).click();
  await eventually('all', async () => (await rows(page).count()) === 23);
  const ids = await rows(page).evaluateAll((all) => all.map((row) => row.dataset.id));
  assert.equal(new Set(ids).size, 23);
  assert.deepEqual(
    ids,
    (await deliveries(hook.id, 23)).map(({ id }) => id),
  );
  await page.getByRole('button', { name: 'Show older deliveries' }).waitFor({ state: 'hidden' });
});

uiTest('failed load of history can be tried again', { who: 'acme.admin' }, async ({ page, context, t }) => {
  const hook = await createWebhook(t);
  await publish();
  await deliveries(hook.id);
  const refuse = (route) => route.abort();
  await context.route('**/deliveries?**', refuse);
  await open(page, hook.id);
  await page
    .getByRole('alert')
    .getByText(/Couldn't load the history. Couldn't reach the API/)
    .waitFor();
  await context.unroute('**/deliveries?**', refuse);
  await page.locator('.history-state').getByRole('button', { name: 'Try again' }).click();
  await rows(page).first().waitFor();
});

// ── Reasons for an empty history ──

for (const [reason, make, happen, text] of /** @type {[string, object, () => any, RegExp][]} */ ([
  ['disabled', { enabled: false }, () => publish(), /The webhook is disabled/],
  ['no_event_types', { eventTypes: [], enabled: false }, () => {}, /No event types selected/],
  ['no_events', { eventTypes: ['com.qlik.v1.di-projects.di-tasks.stopped'] }, () => {}, /No matching events/],
  [
    'level',
    { level: 'user', eventTypes: [RELOAD_FINISHED] },
    () => publish(RELOAD_FINISHED, { userid: 'another', ownerid: 'another' }),
    /none from this owner/,
  ],
  [
    'filter',
    { filter: 'spaceId eq "nowhere"' },
    () => publish(APP_CREATED, { spaceid: 'somewhere' }),
    /excluded every event/,
  ],
])) {
  uiTest(`empty history explains ${reason}`, { who: 'acme.admin' }, async ({ page, t }) => {
    const hook = await createWebhook(t, { name: unique(reason), ...make });
    await happen();
    await eventually('the API knows why', async () => {
      const { body } = await call('acme.admin', 'GET', `/api/core/webhooks/${hook.id}/stats`);
      return body.silence?.reasons?.some(({ code }) => code === reason);
    });
    await page.reload();
    await expand(page, hook.name);
    const why = page.locator('.no-deliveries');
    await why.getByRole('heading', { name: 'Why are there no deliveries?' }).waitFor();
    await why.locator(`[data-reason=${reason}]`).getByText(text).first().waitFor();
    if (reason !== 'disabled') return;
    await why.getByRole('button', { name: 'Enable' }).click();
    await eventually('it is enabled', async () => (await webhook(hook.id)).enabled);
    await why.locator('[data-reason=disabled]').waitFor({ state: 'detached' });
  });
}
