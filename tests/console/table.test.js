// The table: columns, order, filters, search, selection, menus, and its state in the address.
import assert from 'node:assert/strict';

import {
  APP_CREATED, APP_DELETED, behave, call, choose, createWebhook, deliveries, deployedWith, eventually, openWindow, arrive, publish, rowOf, scene, stack, unique, webhook,
} from './stage.js';

const names = (page) => page.locator('tr.webhook td.name a').allTextContents();

/** Types into the filter at the head of a column. */
async function filterBy(page, column, text) {
  await page.getByRole('button', { name: `Filter by ${column}` }).click();
  await page.getByRole('textbox', { name: `Filter by ${column}` }).fill(text);
  await page.keyboard.press('Enter');
}

scene('every column says what there is, sorts both ways and can be filtered', { who: 'acme.admin' }, async ({ page, t }) => {
  const tag = unique('cols');
  const first = await createWebhook(t, { name: `${tag} Alpha`, description: 'the first of them' });
  const second = await createWebhook(t, { name: `${tag} beta`, eventTypes: [APP_CREATED, APP_DELETED], enabled: false });
  const third = await createWebhook(t, { name: `${tag} Gamma`, level: 'user' });
  await page.goto(`${stack.consoleUrl}#/webhooks?q=${tag}`);
  await page.reload();
  await eventually('three rows', async () => (await names(page)).length === 3);
  const row = rowOf(page, second.name);
  for (const text of ['hooks.receiver.test', 'Application created', '+1', 'Tenant', 'You', 'Disabled']) await row.getByText(text, { exact: false }).first().waitFor();
  assert.match(await row.locator('td.created time').getAttribute('title'), /20\d\d.*GMT/, 'the exact time is there on hover');
  await rowOf(page, first.name).getByText('the first of them').waitFor();

  const heads = ['Name', 'URL', 'Event types', 'Level', 'Owner', 'Status', 'Last delivery', '24 h success', 'Created', 'Updated'];
  for (const head of heads) {
    const cell = page.getByRole('columnheader', { name: head });
    await page.getByRole('button', { name: head, exact: true }).click();
    const one = await cell.getAttribute('aria-sort');
    const order = await names(page);
    await page.getByRole('button', { name: head, exact: true }).click();
    assert.notEqual(await cell.getAttribute('aria-sort'), one, head);
    if (['Name', 'Created'].includes(head)) assert.deepEqual(await names(page), order.reverse(), head);
  }
  await page.getByRole('button', { name: 'Name', exact: true }).click();
  assert.deepEqual(await names(page), [first.name, second.name, third.name], 'case does not matter');
  assert.match(page.url(), /sort=name/);

  for (const [column, text, expected] of [
    ['Name', 'GAM', [third]], ['Name', `"${second.name}"`, [second]], ['URL', first.url.slice(-12), [first]], ['Event types', 'deleted', [second]],
    ['Level', 'user', [third]], ['Status', '"Disabled"', [second]], ['Owner', 'you', [first, second, third]], ['Created', 'no such time', []],
  ]) {
    await filterBy(page, column, text);
    assert.deepEqual(await names(page), expected.map(({ name }) => name), `${column}: ${text}`);
    await page.getByRole('button', { name: `Remove filter ${column}: ${text}` }).click();
  }
});

scene('the state of the table is in its address, and Back and a reload keep it', { who: 'acme.admin' }, async ({ page, t }) => {
  const tag = unique('state');
  const one = await createWebhook(t, { name: `${tag} one` });
  await createWebhook(t, { name: `${tag} two`, enabled: false });
  await page.reload();
  await page.getByLabel('Search all columns').fill(tag);
  await filterBy(page, 'Status', 'enabled');
  await page.getByRole('button', { name: 'Clear', exact: true }).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Remove filter Status: enabled' }).click();
  await filterBy(page, 'Status', '"Enabled"');
  await page.getByRole('button', { name: 'Name', exact: true }).click();
  await rowOf(page, one.name).getByRole('button', { name: 'Show history' }).click();
  const address = page.url();
  for (const part of [`q=${tag}`, 'status=%22Enabled%22', 'sort=name', `open=${one.id}`]) assert.ok(address.includes(part), address);

  const { context, page: other, wrong } = await openWindow();
  await arrive(other, 'acme.admin', new URL(address).hash);
  await other.locator('.panel').waitFor();
  assert.deepEqual(await names(other), [one.name]);
  assert.equal(await other.getByLabel('Search all columns').inputValue(), tag);
  assert.deepEqual(wrong, []);
  await context.close();

  await rowOf(page, one.name).getByRole('link').click();
  await page.getByRole('heading', { name: one.name }).waitFor();
  await page.goBack();
  await eventually('the same view', async () => (await names(page)).join() === one.name);
  await page.getByLabel('Search all columns').fill('nothing like that');
  await page.getByRole('heading', { name: 'Nothing matches' }).waitFor();
  await page.locator('.blank').getByRole('button', { name: 'Clear filters' }).click();
  await eventually('all of them', async () => (await names(page)).length >= 2);
});

scene('a webhook shows its last delivery, its success rate, and that it fails', { who: 'acme.admin' }, async ({ page, t }) => {
  const good = await createWebhook(t, { name: unique('good') });
  const bad = await createWebhook(t, { name: unique('bad') });
  await behave(bad.name, { status: 500 });
  await publish();
  await deliveries(good.id);
  await deliveries(bad.id);
  await page.reload();
  await rowOf(page, good.name).getByText('100%').waitFor();
  await rowOf(page, good.name).locator('td.last time').waitFor();
  await rowOf(page, good.name).getByText('Enabled').waitFor();
  await rowOf(page, bad.name).getByText('0%').waitFor();
  await rowOf(page, bad.name).getByText('Failing').waitFor();
  await rowOf(page, bad.name).getByText(/failures? in a row/).waitFor();
  // Worst first, when sorted by how they stand.
  await page.getByLabel('Search all columns').fill(good.name.split('-').slice(1, 2).join());
  await page.getByRole('button', { name: 'Status', exact: true }).click();
  const order = await names(page);
  assert.ok(order.indexOf(bad.name) < order.indexOf(good.name), order.join());
});

scene('a receiver that is gone is told apart from one that somebody disabled', { who: 'acme.admin' }, async ({ page, t }) => {
  const gone = await createWebhook(t, { name: unique('gone') });
  await behave(gone.name, { status: 410 });
  await publish();
  await eventually('it is disabled', async () => !(await webhook(gone.id)).enabled);
  await page.reload();
  await rowOf(page, gone.name).getByText('Disabled by us').waitFor();
  await rowOf(page, gone.name).getByText(/410/).waitFor();
});

scene('the menu disables, enables, copies the id, and deletes after asking', { who: 'acme.admin' }, async ({ page, t }) => {
  const { id, name } = await createWebhook(t);
  await page.reload();
  await choose(page, name, 'Disable');
  await rowOf(page, name).getByText('Disabled').waitFor();
  await page.getByText(`“${name}” is disabled.`).waitFor();
  assert.equal((await webhook(id)).enabled, false);
  await choose(page, name, 'Enable');
  await page.getByText(`“${name}” is enabled.`).waitFor();
  assert.equal((await webhook(id)).enabled, true);
  await choose(page, name, 'Copy id');
  await page.getByText('Id copied').waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), id);

  await choose(page, name, 'Delete');
  const dialog = page.getByRole('alertdialog', { name: 'Delete this webhook?' });
  await dialog.getByText(name, { exact: true }).waitFor();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await webhook(id)).id, id);
  await choose(page, name, 'Delete');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await page.getByText(`“${name}” is deleted.`).waitFor();
  await rowOf(page, name).waitFor({ state: 'detached' });
  assert.equal((await call('acme.admin', 'GET', `/api/core/webhooks/${id}`)).status, 404);
});

scene('a change that the API refuses is taken back and can be tried again', { who: 'acme.admin' }, async ({ page, context, t }) => {
  const { id, name } = await createWebhook(t);
  await page.reload();
  await rowOf(page, name).waitFor();
  const busy = (route) => (['PATCH', 'DELETE'].includes(route.request().method()) ? route.fulfill({ status: 503, headers: { 'retry-after': '1' }, json: { errors: [{ code: 'HTTP-503', title: 'Busy; try again soon' }] } }) : route.fallback());
  await context.route(`**/webhooks/${id}`, busy);
  await choose(page, name, 'Disable');
  await page.getByText('was not changed').waitFor();
  await rowOf(page, name).getByText('Enabled').waitFor();
  await choose(page, name, 'Delete');
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click();
  await page.getByText('was not deleted').waitFor();
  await rowOf(page, name).waitFor();
  await context.unroute(`**/webhooks/${id}`, busy);
  await page.locator('#alerts').getByRole('button', { name: 'Try again' }).click();
  await page.getByText(`“${name}” is disabled.`).waitFor();
  assert.equal((await webhook(id)).enabled, false);
});

scene('a selection is disabled and deleted at once, and the dialog names what goes', { who: 'acme.admin' }, async ({ page, t }) => {
  const tag = unique('many');
  const some = [];
  for (const word of ['a', 'b', 'c']) some.push(await createWebhook(t, { name: `${tag} ${word}` }));
  await page.goto(`${stack.consoleUrl}#/webhooks?q=${tag}`);
  await page.reload();
  await page.getByLabel(`Select ${tag} a`).check();
  await page.getByLabel(`Select ${tag} c`).check();
  await page.locator('.bulk').getByText('2 selected').waitFor();
  await page.locator('.bulk').getByRole('button', { name: 'Disable' }).click();
  await page.getByText('2 webhooks are disabled.').waitFor();
  assert.equal((await webhook(some[2].id)).enabled, false);
  await page.locator('.bulk').getByRole('button', { name: 'Delete' }).click();
  const dialog = page.getByRole('alertdialog', { name: 'Delete 2 webhooks?' });
  assert.deepEqual((await dialog.locator('.names strong').allTextContents()).sort(), [`${tag} a`, `${tag} c`]);
  await dialog.getByRole('button', { name: 'Delete 2' }).click();
  await page.getByText('2 webhooks are deleted.').waitFor();
  assert.deepEqual(await names(page), [`${tag} b`]);
  await page.getByLabel('Select all shown').check();
  await page.locator('.bulk').getByText('1 selected').waitFor();
});

scene('the tenant\'s count and its cap are shown', { who: 'acme.admin' }, async ({ page, context, t }) => {
  await createWebhook(t);
  await page.reload();
  await page.locator('.count').getByText(/^\d+ of 100$/).waitFor();
  assert.equal(await page.locator('.bar').getByRole('button', { name: 'Create new' }).isEnabled(), true);
  // The same page in a deployment with a lower cap.
  const { body } = await call('acme.admin', 'GET', '/api/core/webhooks?limit=100');
  await deployedWith(context, { webhookCap: body.data.length });
  await page.reload();
  await page.getByText(/webhooks of your organisation are in use/).waitFor();
  assert.equal(await page.locator('.bar').getByRole('button', { name: 'Create new' }).isEnabled(), false);
});

scene('an empty tenant, a slow answer and a failing API each look like what they are', async ({ page, context }) => {
  let answer;
  await context.route('**/api/core/webhooks?limit=100', (route) => answer(route));
  answer = (route) => route.fulfill({ status: 500, json: { errors: [{ code: 'HTTP-500', title: 'Something went wrong on our side' }] } });
  await arrive(page, 'acme.admin');
  await page.getByRole('heading', { name: 'The webhooks cannot be loaded' }).waitFor();
  let release;
  const held = new Promise((resolve) => (release = resolve));
  answer = async (route) => {
    await held;
    await route.fulfill({ json: { data: [], links: {} } });
  };
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.locator('.skeleton').waitFor();
  release();
  await page.getByRole('heading', { name: 'No webhooks yet' }).waitFor();
  assert.equal(await page.locator('.count').textContent(), '0 of 100');
});

scene('the menu and the table need no mouse', { who: 'acme.admin' }, async ({ page, t }) => {
  const { name } = await createWebhook(t);
  await page.reload();
  await page.getByLabel('Search all columns').fill(name);
  await eventually('one row', async () => (await names(page)).length === 1);
  const menu = rowOf(page, name).locator('button[aria-haspopup=menu]');
  await menu.focus();
  await page.keyboard.press('Enter');
  await eventually('the first item has the focus', () => page.evaluate(() => document.activeElement.textContent.trim() === 'Disable'));
  await page.keyboard.press('ArrowUp');
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), 'Delete');
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowDown');
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), 'Edit');
  await page.keyboard.press('Escape');
  await eventually('the focus is back at the button', () => menu.evaluate((button) => button === document.activeElement));
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.locator('.panel').waitFor();
  // The first stop of the page leads past its head.
  await page.reload();
  await rowOf(page, name).waitFor();
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
});
