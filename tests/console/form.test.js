// The create dialog and the edit panel: all fields, problems at their fields, and entries that survive a stray click.
import assert from 'node:assert/strict';

import {
  APP_CREATED,
  call,
  choose,
  createWebhook,
  deleteLater,
  eventually,
  publish,
  RELOAD_FINISHED,
  received,
  receiverUrl,
  rowOf,
  uiTest,
  unique,
  webhook,
} from './kit.js';

const openCreate = async (page) => {
  await page.locator('.bar').getByRole('button', { name: 'Create webhook' }).click();
  const dialog = page.getByRole('dialog', { name: 'Create webhook' });
  await dialog.getByLabel('Application created').waitFor();
  return dialog;
};

uiTest('create with all fields delivers as configured', { who: 'acme.admin' }, async ({ page, t }) => {
  const name = unique('made');
  deleteLater(t, name);
  const dialog = await openCreate(page);
  await dialog.locator('#name').fill(name);
  await dialog.locator('#description').fill('Made by hand');
  await dialog.locator('#url').fill(receiverUrl(name));
  await dialog.getByRole('button', { name: 'Generate' }).click();
  const secret = await dialog.locator('#secret').inputValue();
  assert.match(secret, /^[A-Za-z0-9]{48}$/);
  await dialog.getByText('48 characters').waitFor();
  await dialog.getByText("You won't be able to see it again").waitFor();
  const headers = dialog.locator('fieldset', { has: page.locator('legend', { hasText: 'HTTP headers' }) });
  await headers.getByRole('button', { name: 'Add header' }).click();
  await headers.getByLabel('Header name').fill('X-Team');
  await headers.getByLabel('Header value').fill('orders');
  const encrypted = dialog.locator('fieldset', { has: page.locator('legend', { hasText: 'Encrypted headers' }) });
  await encrypted.getByRole('button', { name: 'Add header' }).click();
  await encrypted.getByLabel('Header name').fill('X-Api-Key');
  await encrypted.getByLabel('Header value').fill('k3y');
  await dialog.getByLabel('Search events').fill('created');
  await eventually('fewer types', async () => (await dialog.locator('.events input[value]').count()) < 5);
  await dialog.getByLabel('Application created').check();
  await dialog.locator('#filter').fill('spaceId eq "finance"');
  await dialog.getByText('Filter is valid.').waitFor();
  await dialog.getByRole('radio', { name: /^CloudEvents 1.0/ }).check();
  await dialog.getByRole('button', { name: 'Create', exact: true }).click();
  await page.getByText(`${name} created.`).waitFor();
  const id = await rowOf(page, name).getAttribute('data-id');
  const made = await webhook(id);
  const {
    description,
    eventTypes,
    headers: plain,
    encryptedHeaders,
    secretKeyAdded,
    filter,
    origin,
    enabled,
    level,
    enableCloudEventDelivery,
  } = made;
  assert.deepEqual(
    {
      description,
      eventTypes,
      plain,
      encryptedHeaders,
      secretKeyAdded,
      filter,
      origin,
      enabled,
      level,
      enableCloudEventDelivery,
    },
    {
      description: 'Made by hand',
      eventTypes: [APP_CREATED],
      plain: { 'X-Team': 'orders' },
      encryptedHeaders: ['X-Api-Key'],
      secretKeyAdded: true,
      filter: 'spaceId eq "finance"',
      origin: 'management-console',
      enabled: true,
      level: 'tenant',
      enableCloudEventDelivery: true,
    },
  );
  await publish(APP_CREATED, { spaceid: 'finance' });
  const [request] = await eventually('it arrives', async () => {
    const got = await received(name);
    return got.length > 0 && got;
  });
  assert.equal(request.headers['x-team'], 'orders');
  assert.equal(request.headers['x-api-key'], 'k3y');
  assert.ok(request.headers['webhook-signature']);
});

uiTest('mistakes show at their fields before submit', { who: 'acme.admin' }, async ({ page }) => {
  const dialog = await openCreate(page);
  const create = dialog.getByRole('button', { name: 'Create', exact: true });
  await create.click();
  const problem = (field) => dialog.locator(`#${field}-problem`);
  assert.equal(await problem('name').textContent(), 'Enter a name.');
  assert.equal(await problem('url').textContent(), 'Enter a URL.');
  assert.match(await problem('eventTypes').textContent(), /at least one event type/);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'name', 'the first problem has the focus');
  assert.equal(await dialog.locator('#name').getAttribute('aria-invalid'), 'true');
  for (const [url, expected] of /** @type {[string, RegExp][]} */ ([
    ['http://hooks.example.com', /https/],
    ['https://10.0.0.1/x', /IP address/],
    ['hooks.example.com', /full URL/],
  ])) {
    await dialog.locator('#url').fill(url);
    await create.click();
    assert.match(await problem('url').textContent(), expected, url);
  }
  await dialog.locator('#secret').fill('short');
  await dialog.getByText('5 of 32 to 64 characters').waitFor();
  await create.click();
  assert.match(await problem('secret').textContent(), /32 to 64/);
  // The filter is checked while it is typed.
  for (const [filter, expected] of /** @type {[string, RegExp][]} */ ([
    ['id eq foo', /after “eq” \(character 7\)/],
    ['name eq "x"', /Expected id,.*character 1\)/],
    ['id eq "x" xor', /character 11\)/],
    ['data.status eq "ok"', /only event type/],
  ])) {
    await dialog.locator('#filter').fill(filter);
    await eventually(filter, async () => expected.test(await problem('filter').textContent()));
  }
  await dialog.getByLabel('Application reload finished').check();
  await eventually('it fits this type', async () => (await problem('filter').textContent()) === '');
  await dialog.locator('#filter').fill('data.status eq "maybe"');
  await dialog.getByText('data.status must be "ok" or "error".').waitFor();
  assert.equal(await dialog.locator(`.events input[value="${RELOAD_FINISHED}"]`).isChecked(), true);
});

uiTest('API errors show at their fields', { who: 'acme.admin' }, async ({ page, t }) => {
  const name = unique('refused');
  deleteLater(t, name);
  const dialog = await openCreate(page);
  await dialog.locator('#name').fill(name);
  await dialog.locator('#url').fill('https://intranet.corp/hook#part');
  await dialog.getByLabel('Application created').check();
  const headers = dialog.locator('fieldset', { has: page.locator('legend', { hasText: 'HTTP headers' }) });
  await headers.getByRole('button', { name: 'Add header' }).click();
  await headers.getByLabel('Header name').fill('Host');
  await headers.getByLabel('Header value').fill('elsewhere');
  const encrypted = dialog.locator('fieldset', { has: page.locator('legend', { hasText: 'Encrypted headers' }) });
  await encrypted.getByRole('button', { name: 'Add header' }).click();
  await encrypted.getByLabel('Header name').fill('Bad Name');
  await encrypted.getByLabel('Header value').fill('x');
  await dialog.getByRole('button', { name: 'Create', exact: true }).click();
  await dialog
    .locator('#url-problem')
    .getByText(/fragment/)
    .waitFor();
  await headers.locator('.rows').getByText('This header name is reserved.').waitFor();
  await encrypted
    .locator('.rows')
    .getByText(/Must have a name of letters/)
    .waitFor();
  await dialog.locator('#url').fill(receiverUrl(name));
  await headers.getByLabel('Header name').fill('X-Host');
  await encrypted.getByLabel('Header name').fill('X-Host');
  await dialog.getByRole('button', { name: 'Create', exact: true }).click();
  await encrypted
    .locator('.rows')
    .getByText(/also used under HTTP headers/)
    .waitFor();
  await encrypted.getByRole('button', { name: 'Remove header' }).click();
  await dialog.getByRole('button', { name: 'Create', exact: true }).click();
  await page.getByText(`${name} created.`).waitFor();
});

uiTest('stray click or Escape keeps the entries', { who: 'acme.admin' }, async ({ page }) => {
  const dialog = await openCreate(page);
  // Without entries, the dialog closes at once.
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await openCreate(page);
  await dialog.locator('#name').fill('precious');
  const asked = page.getByRole('alertdialog', { name: 'Discard changes?' });
  for (const leave of [
    () => page.keyboard.press('Escape'),
    () => page.mouse.click(5, 450),
    () => dialog.getByRole('button', { name: 'Cancel' }).click(),
    () => dialog.getByRole('button', { name: 'Close' }).click(),
  ]) {
    await leave();
    await asked.waitFor();
    // Escape keeps the entries.
    await page.keyboard.press('Escape');
    await asked.waitFor({ state: 'detached' });
    assert.equal(await dialog.locator('#name').inputValue(), 'precious');
  }
  await page.keyboard.press('Escape');
  await asked.getByRole('button', { name: 'Discard' }).click();
  await dialog.waitFor({ state: 'detached' });
  await eventually('the focus is back where it was', () =>
    page.evaluate(() => document.activeElement.textContent.trim() === 'Create webhook'),
  );
});

uiTest('edit patches only what was changed', { who: 'acme.admin' }, async ({ page, t }) => {
  const before = await createWebhook(t, {
    secret: 's'.repeat(32),
    headers: { 'X-Keep': '1' },
    encryptedHeaders: { 'X-Key': 'k', 'X-Old': 'o' },
    description: 'old',
  });
  await page.reload();
  await choose(page, before.name, 'Edit');
  const panel = page.getByRole('dialog', { name: `Edit ${before.name}` });
  await panel.getByText('Secret is set').waitFor();
  assert.doesNotMatch(await panel.innerHTML(), /s{32}/);
  const patches = [];
  page.on('request', (request) => request.method() === 'PATCH' && patches.push(request.postDataJSON()));
  await panel.locator('#description').fill('new');
  await panel.getByLabel('Application deleted').check();
  const encrypted = panel.locator('fieldset', { has: page.locator('legend', { hasText: 'Encrypted headers' }) });
  await encrypted.getByRole('button', { name: 'Remove header' }).nth(1).click();
  await panel.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Changes saved.').waitFor();
  assert.deepEqual(patches, [
    [
      { op: 'add', path: '/description', value: 'new' },
      { op: 'add', path: '/eventTypes', value: [APP_CREATED, 'com.qlik.v1.app.deleted'] },
      { op: 'remove', path: '/encryptedHeaders/X-Old' },
    ],
  ]);
  const after = await webhook(before.id);
  assert.deepEqual([after.secretKeyAdded, after.headers, after.encryptedHeaders], [true, { 'X-Keep': '1' }, ['X-Key']]);

  await choose(page, before.name, 'Edit');
  await panel.getByRole('button', { name: 'Remove', exact: true }).click();
  await panel.getByText('no longer be signed').waitFor();
  await panel.getByRole('button', { name: 'Save' }).click();
  await panel.waitFor({ state: 'detached' });
  assert.equal((await webhook(before.id)).secretKeyAdded, false);
});

uiTest('new URL asks for encrypted values again', { who: 'acme.admin' }, async ({ page, t }) => {
  const before = await createWebhook(t, { encryptedHeaders: { 'X-Key': 'k', 'X-Other': 'o' } });
  await page.reload();
  await choose(page, before.name, 'Edit');
  const panel = page.getByRole('dialog', { name: `Edit ${before.name}` });
  const encrypted = panel.locator('fieldset', { has: page.locator('legend', { hasText: 'Encrypted headers' }) });
  await encrypted.getByText('saved (hidden)').first().waitFor();
  const url = receiverUrl(`${before.name}-moved`);
  await panel.locator('#url').fill(url);
  await encrypted.getByText(/You changed the URL/).waitFor();
  await panel.getByRole('button', { name: 'Save' }).click();
  assert.equal(await encrypted.getByText('Re-enter this value, or remove the header.').count(), 2);
  await encrypted.getByLabel('Header value').first().fill('k2');
  await encrypted.getByRole('button', { name: 'Remove header' }).nth(1).click();
  await panel.getByRole('button', { name: 'Save' }).click();
  await panel.waitFor({ state: 'detached' });
  const after = await webhook(before.id);
  assert.deepEqual([after.url, after.encryptedHeaders], [url, ['X-Key']]);
  await publish();
  const [request] = await eventually('it arrives', async () => {
    const got = await received(`${before.name}-moved`);
    return got.length > 0 && got;
  });
  assert.equal(request.headers['x-key'], 'k2');
});

uiTest('edit changes level and owner but not CloudEvents back', { who: 'acme.admin' }, async ({ page, t }) => {
  const before = await createWebhook(t, { enableCloudEventDelivery: true });
  await page.reload();
  await choose(page, before.name, 'Edit');
  const panel = page.getByRole('dialog', { name: `Edit ${before.name}` });
  assert.equal(await panel.getByRole('radio', { name: /^Compatible/ }).isDisabled(), true);
  await panel.getByLabel('Application created').waitFor();
  assert.equal(await panel.locator('#ownerId').isVisible(), false);
  await panel.locator('input[name=level][value=user]').check();
  // A type that is not available at this level cannot be selected.
  assert.equal(await panel.locator('.events input[value="com.qlik.v1.app.deleted"]').isDisabled(), true);
  await panel.locator('#ownerId').fill('someone-else');
  await panel.getByRole('button', { name: 'Save' }).click();
  await panel.waitFor({ state: 'detached' });
  const after = await webhook(before.id);
  assert.deepEqual([after.level, after.ownerId], ['user', 'someone-else']);
});

uiTest('conflict and busy API keep the form open', { who: 'acme.admin' }, async ({ page, context, t }) => {
  const before = await createWebhook(t);
  await page.reload();
  await choose(page, before.name, 'Edit');
  const panel = page.getByRole('dialog', { name: `Edit ${before.name}` });
  await panel.locator('#description').fill('typed');
  for (const [status, expected] of [
    [409, /Someone else changed this/],
    [429, /Too many requests/],
    [503, /is busy/],
  ]) {
    const refuse = (route) =>
      route.request().method() === 'PATCH'
        ? route.fulfill({ status, json: { errors: [{ code: `HTTP-${status}`, title: 'no' }] } })
        : route.fallback();
    await context.route(`**/webhooks/${before.id}`, refuse);
    await panel.getByRole('button', { name: 'Save' }).click();
    await panel.getByRole('alert').getByText(expected).waitFor();
    assert.equal(await panel.locator('#description').inputValue(), 'typed');
    await context.unroute(`**/webhooks/${before.id}`, refuse);
  }
  await panel.getByRole('button', { name: 'Save' }).click();
  await panel.waitFor({ state: 'detached' });
  assert.equal((await webhook(before.id)).description, 'typed');
});

uiTest('concurrent edit asks before overwriting', { who: 'acme.admin' }, async ({ page, t }) => {
  const before = await createWebhook(t, { description: 'old', headers: { 'X-One': '1' } });
  await page.reload();
  await choose(page, before.name, 'Edit');
  const panel = page.getByRole('dialog', { name: `Edit ${before.name}` });
  await panel.locator('#description').fill('mine');
  await call('acme.admin', 'PATCH', `/api/core/webhooks/${before.id}`, [
    { op: 'replace', path: '/description', value: 'theirs' },
    { op: 'add', path: '/headers/X-Two', value: '2' },
  ]);
  await panel.getByRole('button', { name: 'Save' }).click();
  await panel
    .locator('#description-problem')
    .getByText(/Someone else changed this while you were editing/)
    .waitFor();
  assert.equal((await webhook(before.id)).description, 'theirs');
  await panel.getByRole('button', { name: 'Save' }).click();
  await panel.waitFor({ state: 'detached' });
  const after = await webhook(before.id);
  assert.deepEqual([after.description, after.headers], ['mine', { 'X-One': '1', 'X-Two': '2' }]);
});

uiTest('create, edit, resend and delete work by keyboard alone', { who: 'acme.admin' }, async ({ page, t }) => {
  const name = unique('keys');
  deleteLater(t, name);
  const press = async (...keys) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  /** Presses Tab until the focus is on the wanted element. */
  const tabTo = async (wanted, key = 'Tab') => {
    for (let step = 0; step < 120; step += 1) {
      await page.keyboard.press(key);
      const at = await page.evaluate(() => {
        const it = /** @type {HTMLInputElement} */ (document.activeElement);
        return `${it.getAttribute('aria-label') ?? ''}|${it.textContent.trim()}|${it.id}|${it.value ?? ''}`;
      });
      if (at.split('|').some((part) => (wanted instanceof RegExp ? wanted.test(part) : part === wanted))) return;
    }
    assert.fail(`Tab does not reach ${wanted}`);
  };
  await page.locator('tr.webhook, .blank').first().waitFor();
  await tabTo('Create webhook');
  await press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Create webhook' });
  await dialog.getByLabel('Application created').waitFor();
  await page.keyboard.type(name);
  await tabTo('url');
  await page.keyboard.type(receiverUrl(name));
  await tabTo(APP_CREATED);
  await press('Space');
  await tabTo('Create');
  await press('Enter');
  await page.getByText(`${name} created.`).waitFor();
  await eventually('the focus is back', () =>
    page.evaluate(() => document.activeElement.textContent.trim() === 'Create webhook'),
  );

  await tabTo(`Actions for ${name}`);
  await press('Enter');
  await page.getByRole('menu').waitFor();
  await press('e', 'Enter');
  const panel = page.getByRole('dialog', { name: `Edit ${name}` });
  await panel.waitFor();
  await tabTo('description');
  await page.keyboard.type('by keyboard');
  await press('Enter'); // A line break: the field has several lines.
  await tabTo('Save');
  await press('Enter');
  await panel.waitFor({ state: 'detached' });
  await publish();
  await eventually('it arrives', async () => (await received(name)).length > 0);

  await tabTo(`Show history of ${name}`);
  await press('Enter');
  await page.locator('tr.delivery').first().waitFor();
  await tabTo(/^Resend delivery/);
  await press('Enter');
  await page.locator('.result-row').getByText('Delivered · 200').waitFor();
  assert.match(
    await page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? ''),
    /^Resend delivery/,
    'the focus stays',
  );

  await tabTo(`Actions for ${name}`, 'Shift+Tab');
  await press('Enter');
  await page.getByRole('menu').waitFor();
  await press('End', 'Enter');
  await page.getByRole('alertdialog').waitFor();
  await tabTo('Delete');
  await press('Enter');
  await page.getByText(`${name} deleted.`).waitFor();
});
