// The table: columns, sort order, filters, search, selection, menus, and its state in the address.
import assert from 'node:assert/strict';

import {
  APP_CREATED,
  APP_DELETED,
  arrive,
  behave,
  call,
  choose,
  createWebhook,
  deliveries,
  deployedWith,
  eventually,
  openSession,
  publish,
  RELOAD_FINISHED,
  receiverUrl,
  rowOf,
  SOON_MS,
  stack,
  uiTest,
  unique,
  webhook,
} from './kit.js';

const names = (page) => page.locator('tr.webhook td.name a').allTextContents();

/** Types into the filter of a column. */
async function filterBy(page, column, text) {
  await page.getByRole('button', { name: `Filter by ${column}` }).click();
  await page.getByRole('textbox', { name: `Filter by ${column}` }).fill(text);
  await page.keyboard.press('Enter');
}

uiTest('columns show, sort and filter their values', { who: 'acme.admin' }, async ({ page, t }) => {
  const tag = unique('cols');
  const first = await createWebhook(t, {
    name: `${tag} Alpha`,
    description: 'the first of them',
    url: receiverUrl(`zz-${tag}`),
  });
  const second = await createWebhook(t, {
    name: `${tag} beta`,
    eventTypes: [APP_CREATED, APP_DELETED, RELOAD_FINISHED],
    enabled: false,
  });
  const third = await createWebhook(t, {
    name: `${tag} Gamma`,
    level: 'user',
    ownerId: 'zz-another',
    eventTypes: [APP_CREATED, RELOAD_FINISHED],
  });
  await behave(`${tag}-Gamma`, { status: 500 });
  for (const { id } of [first, third]) await call('acme.admin', 'POST', `/api/core/webhooks/${id}/actions/test`);
  await call('acme.admin', 'PATCH', `/api/core/webhooks/${second.id}`, [
    { op: 'add', path: '/description', value: 'changed last' },
  ]);
  await page.goto(`${stack.consoleUrl}#/webhooks?q=${tag}`);
  await page.reload();
  await eventually('three rows', async () => (await names(page)).length === 3);
  const row = rowOf(page, second.name);
  for (const text of ['hooks.receiver.test', 'Application created', '+2', 'Tenant', 'You', 'Disabled'])
    await row.getByText(text, { exact: false }).first().waitFor();
  assert.match(
    await row.locator('td.created time').getAttribute('title'),
    /20\d\d.*GMT/,
    'the exact time is in the tooltip',
  );
  await rowOf(page, first.name).getByText('the first of them').waitFor();

  // Sorted by the time of the change, as the API reports it.
  const changed = await Promise.all([first, second, third].map(({ id }) => webhook(id)));
  const byChange = changed
    .sort((a, b) => a.updatedAt.localeCompare(b.updatedAt))
    .map(({ id }) => [first, second, third].find((each) => each.id === id));
  await page.evaluate(() => scrollTo(0, 0));
  await rowOf(page, third.name).getByText('0%').waitFor();
  await rowOf(page, first.name).getByText('100%').waitFor();
  // Ascending order of each column. Case is ignored, and webhooks that need attention come first.
  for (const [
    head,
    ascending,
    descending = [...ascending].reverse(),
  ] of /** @type {[string, Webhook[], Webhook[]?][]} */ ([
    ['Name', [first, second, third]],
    ['URL', [second, third, first]],
    ['Event types', [first, third, second]],
    ['Level', [first, second, third], [third, first, second]],
    ['Owner', [first, second, third], [third, first, second]],
    ['Status', [third, second, first]],
    ['Last delivery', [second, first, third]],
    ['Success rate (24 h)', [third, first, second]],
    ['Created', [first, second, third]],
    ['Updated', byChange],
  ])) {
    const cell = page.getByRole('columnheader', { name: head });
    for (let round = 0; round < 2; round += 1) {
      await page.getByRole('button', { name: head, exact: true }).click();
      const up = (await cell.getAttribute('aria-sort')) === 'ascending';
      assert.deepEqual(
        await names(page),
        (up ? ascending : descending).map(({ name }) => name),
        `${head}, ${up ? 'ascending' : 'descending'}`,
      );
      assert.match(
        page.url(),
        new RegExp(`sort=${up ? '' : '-'}\\w|#/webhooks\\?q=[^&]*$`),
        'in the address, unless it is the usual order',
      );
    }
  }
  await page.getByRole('button', { name: 'Name', exact: true }).click();
  assert.match(page.url(), /sort=name/);

  for (const [column, text, expected] of /** @type {[string, string, Webhook[]][]} */ ([
    ['Name', 'GAM', [third]],
    ['Name', `"${second.name}"`, [second]],
    ['URL', '/zz-', [first]],
    ['Event types', 'deleted', [second]],
    ['Level', 'user', [third]],
    ['Status', '"Disabled"', [second]],
    ['Owner', 'you', [first, second]],
    ['Owner', 'another', [third]],
    ['Success rate (24 h)', '100', [first]],
    ['Last delivery', 'fail', [third]],
    ['Created', 'no such time', []],
    ['Updated', '20', [first, second, third]],
  ])) {
    await filterBy(page, column, text);
    assert.deepEqual(
      await names(page),
      expected.map(({ name }) => name),
      `${column}: ${text}`,
    );
    await page.getByRole('button', { name: `Remove filter ${column}: ${text}` }).click();
  }
});

uiTest('table state survives reload and Back', { who: 'acme.admin' }, async ({ page, t }) => {
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
  for (const part of [`q=${tag}`, 'status=%22Enabled%22', 'sort=name', `open=${one.id}`])
    assert.ok(address.includes(part), address);

  const { context, page: other, violations } = await openSession();
  await arrive(other, 'acme.admin', new URL(address).hash);
  await other.locator('.panel').waitFor();
  assert.deepEqual(await names(other), [one.name]);
  assert.equal(await other.getByLabel('Search all columns').inputValue(), tag);
  assert.deepEqual(violations, []);
  await context.close();

  await rowOf(page, one.name).getByRole('link').click();
  await page.getByRole('heading', { name: one.name }).waitFor();
  await page.goBack();
  await eventually('the same view', async () => (await names(page)).join() === one.name);
  await page.getByLabel('Search all columns').fill('nothing like that');
  await page.getByRole('heading', { name: 'No matches' }).waitFor();
  await page.locator('.blank').getByRole('button', { name: 'Clear filters' }).click();
  await eventually('all of them', async () => (await names(page)).length >= 2);
});

uiTest('row shows last delivery, success rate and failures', { who: 'acme.admin' }, async ({ page, t }) => {
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
  await rowOf(page, bad.name)
    .getByText(/Last attempt failed|Failing for/)
    .waitFor();
  // Sorted by status, the failing webhook is first.
  await page.getByLabel('Search all columns').fill(good.name.split('-').slice(1, 2).join());
  await page.getByRole('button', { name: 'Status', exact: true }).click();
  const order = await names(page);
  assert.ok(order.indexOf(bad.name) < order.indexOf(good.name), order.join());
});

uiTest('webhook after 410 is disabled automatically', { who: 'acme.admin' }, async ({ page, t }) => {
  const gone = await createWebhook(t, { name: unique('gone') });
  await behave(gone.name, { status: 410 });
  await publish();
  await eventually('it is disabled', async () => !(await webhook(gone.id)).enabled);
  await page.reload();
  await rowOf(page, gone.name).getByText('Disabled automatically').waitFor();
  await rowOf(page, gone.name).getByText(/410/).waitFor();
});

uiTest('menu disables, enables, copies the ID and deletes', { who: 'acme.admin' }, async ({ page, t }) => {
  const { id, name } = await createWebhook(t);
  await page.reload();
  await choose(page, name, 'Disable');
  await rowOf(page, name).getByText('Disabled').waitFor();
  await page.getByText(`${name} disabled.`).waitFor();
  assert.equal((await webhook(id)).enabled, false);
  await choose(page, name, 'Enable');
  await page.getByText(`${name} enabled.`).waitFor();
  assert.equal((await webhook(id)).enabled, true);
  await choose(page, name, 'Copy ID');
  await page.getByText('ID copied').waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), id);

  await choose(page, name, 'Delete');
  const dialog = page.getByRole('alertdialog', { name: 'Delete this webhook?' });
  await dialog.getByText(name, { exact: true }).waitFor();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  assert.equal((await webhook(id)).id, id);
  await choose(page, name, 'Delete');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await page.getByText(`${name} deleted.`).waitFor();
  await rowOf(page, name).waitFor({ state: 'detached' });
  assert.equal((await call('acme.admin', 'GET', `/api/core/webhooks/${id}`)).status, 404);
});

uiTest('failed change is undone and can be tried again', { who: 'acme.admin' }, async ({ page, context, t }) => {
  const { id, name } = await createWebhook(t);
  await page.reload();
  await rowOf(page, name).waitFor();
  const busy = (route) =>
    ['PATCH', 'DELETE'].includes(route.request().method())
      ? route.fulfill({
          status: 503,
          headers: { 'retry-after': '1' },
          json: { errors: [{ code: 'HTTP-503', title: 'Busy; try again soon' }] },
        })
      : route.fallback();
  await context.route(`**/webhooks/${id}`, busy);
  await choose(page, name, 'Disable');
  await page.getByText("Couldn't update").waitFor();
  await rowOf(page, name).getByText('Enabled').waitFor();
  await choose(page, name, 'Delete');
  await page.getByRole('alertdialog').getByRole('button', { name: 'Delete' }).click();
  await page.getByText("Couldn't delete").waitFor();
  await rowOf(page, name).waitFor();
  await context.unroute(`**/webhooks/${id}`, busy);
  await page.locator('#alerts').getByRole('button', { name: 'Try again' }).click();
  await page.getByText(`${name} disabled.`).waitFor();
  assert.equal((await webhook(id)).enabled, false);
});

uiTest('bulk disable and delete apply to the selection', { who: 'acme.admin' }, async ({ page, t }) => {
  const tag = unique('many');
  const some = [];
  for (const word of ['a', 'b', 'c']) some.push(await createWebhook(t, { name: `${tag} ${word}` }));
  await page.goto(`${stack.consoleUrl}#/webhooks?q=${tag}`);
  await page.reload();
  await page.getByLabel(`Select ${tag} a`).check();
  await page.getByLabel(`Select ${tag} c`).check();
  await page.locator('.bulk').getByText('2 selected').waitFor();
  await page.locator('.bulk').getByRole('button', { name: 'Disable' }).click();
  await page.getByText('2 webhooks disabled.').waitFor();
  assert.equal((await webhook(some[2].id)).enabled, false);
  await page.locator('.bulk').getByRole('button', { name: 'Delete' }).click();
  const dialog = page.getByRole('alertdialog', { name: 'Delete 2 webhooks?' });
  assert.deepEqual((await dialog.locator('.names strong').allTextContents()).sort(), [`${tag} a`, `${tag} c`]);
  await dialog.getByRole('button', { name: 'Delete 2' }).click();
  await page.getByText('2 webhooks deleted.').waitFor();
  assert.deepEqual(await names(page), [`${tag} b`]);
  await page.getByLabel('Select all shown').check();
  await page.locator('.bulk').getByText('1 selected').waitFor();
});

uiTest('count and cap of the tenant are shown', { who: 'acme.admin' }, async ({ page, context, t }) => {
  await createWebhook(t);
  await page.reload();
  await page
    .locator('.count')
    .getByText(/^\d+ of 100$/)
    .waitFor();
  assert.equal(await page.locator('.bar').getByRole('button', { name: 'Create webhook' }).isEnabled(), true);
  // The same page in a deployment with a lower cap.
  const { body } = await call('acme.admin', 'GET', '/api/core/webhooks?limit=100');
  await deployedWith(context, { webhookCap: body.data.length });
  await page.reload();
  await page.getByText(/reached the limit of \d+ webhooks/).waitFor();
  assert.equal(await page.locator('.bar').getByRole('button', { name: 'Create webhook' }).isEnabled(), false);
});

uiTest('empty, slow and failing list each look different', async ({ page, context }) => {
  let answer;
  await context.route('**/api/core/webhooks?limit=100', (route) => answer(route));
  answer = (route) =>
    route.fulfill({ status: 500, json: { errors: [{ code: 'HTTP-500', title: 'Something went wrong on our side' }] } });
  await arrive(page, 'acme.admin');
  await page.getByRole('heading', { name: "Couldn't load webhooks" }).waitFor();
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

uiTest('menu and table work without a mouse', { who: 'acme.admin' }, async ({ page, t }) => {
  const { name } = await createWebhook(t);
  await page.reload();
  await page.getByLabel('Search all columns').fill(name);
  await eventually('one row', async () => (await names(page)).length === 1);
  const menu = rowOf(page, name).locator('button[aria-haspopup=menu]');
  await menu.focus();
  await page.keyboard.press('Enter');
  await eventually('the first item has the focus', () =>
    page.evaluate(() => document.activeElement.textContent.trim() === 'Disable'),
  );
  await page.keyboard.press('ArrowUp');
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), 'Delete');
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowDown');
  assert.equal(await page.evaluate(() => document.activeElement.textContent.trim()), 'Edit');
  await page.keyboard.press('Escape');
  await eventually('the focus is back at the button', () =>
    menu.evaluate((button) => button === document.activeElement),
  );
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.locator('.panel').waitFor();
  // The first tab stop is the skip link.
  await page.reload();
  await rowOf(page, name).waitFor();
  await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement).blur());
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
});

uiTest(
  'only visible rows of 100 load statistics',
  { who: 'acme.admin', hash: '#/webhooks/none' },
  async ({ page, context, t }) => {
    const like = await createWebhook(t);
    const data = Array.from({ length: 100 }, (_, index) => ({
      ...like,
      id: `${like.id.slice(0, -3)}${String(index).padStart(3, '0')}`,
      name: `Number ${index}`,
    }));
    await context.route('**/api/core/webhooks?limit=100', (route) => route.fulfill({ json: { data, links: {} } }));
    const counted = [];
    await context.route('**/stats', (route) => {
      counted.push(route.request().url());
      return route.fulfill({ json: { days: [], last24Hours: { success: 1, fail: 0 } } });
    });
    await page.goto(`${stack.consoleUrl}#/webhooks`);
    await page.locator('.count').getByText('100 of 100').waitFor();
    await page.getByText("You've reached the limit of 100 webhooks.").waitFor();
    assert.equal(await page.locator('tr.webhook').count(), 100);
    await eventually('visible rows have statistics', async () => counted.length >= 10);
    await rowOf(page, 'Number 0').getByText('100%').waitFor();
    assert.ok(new Set(counted).size < 60, `${counted.length} were loaded`);
    // Sorting by a statistic needs all of them.
    await page.getByRole('button', { name: 'Success rate (24 h)', exact: true }).click();
    await eventually('all are loaded', async () => new Set(counted).size === 100, 2 * SOON_MS);
  },
);

uiTest('changes by others appear automatically', {}, async ({ page, t }) => {
  const { id, name } = await createWebhook(t);
  await page.clock.install();
  await arrive(page, 'acme.admin');
  await rowOf(page, name).getByText('Enabled').waitFor();
  await call('acme.admin', 'PATCH', `/api/core/webhooks/${id}`, [{ op: 'replace', path: '/enabled', value: false }]);
  await page.clock.fastForward(31_000);
  await rowOf(page, name).getByText('Disabled').waitFor();
});

uiTest(
  'odd names fit the table, bad address finds nothing',
  { who: 'acme.admin', hash: '#/webhooks/%E0%A4' },
  async ({ page, t }) => {
    await page.getByRole('heading', { name: 'Webhook not found' }).waitFor();
    const tag = unique('odd');
    for (const word of ['اسم عربي', '🎣🚀', 'x'.repeat(200), '<script>alert(1)</script>'])
      await createWebhook(t, { name: `${tag} ${word}`, url: `${receiverUrl('odd')}/${'y'.repeat(300)}` });
    await page.goto(`${stack.consoleUrl}#/webhooks?q=${tag}`);
    await page.reload();
    await eventually('four rows', async () => (await names(page)).length === 4);
    const [wide, narrow] = await page.locator('.scroll').evaluate((scroll) => [scroll.scrollWidth, scroll.clientWidth]);
    assert.ok(wide <= narrow, `${wide} px of table in ${narrow}`);
    const long = page.getByRole('link', { name: 'x'.repeat(200) });
    assert.match(await long.getAttribute('title'), /x{200}$/, 'the full name is in the tooltip');
    await page.getByLabel('Select all shown').check();
    // The sticky cell has the background of its row.
    const looks = await page
      .locator('tr.webhook')
      .first()
      .evaluate((row) => [...row.cells].map((cell) => getComputedStyle(cell).backgroundColor));
    assert.equal(new Set(looks).size, 1, looks.join());
  },
);
