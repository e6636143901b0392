// The page for developers of receivers: its snippets run on a real delivery.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import { choose, createWebhook, eventually, publish, received, uiTest } from './kit.js';

const SECRET = 'a-secret-of-more-than-32-characters!';

uiTest('snippets accept deliveries and reject forgeries', { who: 'acme.admin' }, async ({ page, t }) => {
  const hook = await createWebhook(t, {
    secret: SECRET,
    headers: { 'X-Team': 'orders' },
    encryptedHeaders: { 'X-Key': 'k' },
  });
  await publish();
  const [{ headers, bodyBase64 }] = await eventually('it arrives', async () => {
    const got = await received(hook.name);
    return got.length > 0 && got;
  });
  const body = Buffer.from(bodyBase64, 'base64');
  await page.reload();
  await choose(page, hook.name, 'Verify signatures');
  await page.getByRole('heading', { name: 'Verify signatures' }).waitFor();
  for (const name of ['Qlik-Signature', 'webhook-id', 'webhook-timestamp', 'webhook-signature', 'X-Team', 'X-Key'])
    await page.getByRole('rowheader', { name }).waitFor();
  const snippet = async (language) => {
    await page.getByRole('tab', { name: language }).click();
    const text = await page.locator('#snippet').textContent();
    assert.match(text, /X-Team/, "the webhook's own headers are named");
    return text;
  };
  const folder = mkdtempSync(join(tmpdir(), 'anzol-verify-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const forged = Buffer.from(body.toString().replace('Sales', 'Other'));
  assert.notDeepEqual(forged, body);

  writeFileSync(join(folder, 'verify.mjs'), await snippet('Node.js'));
  const { verify } = await import(pathToFileURL(join(folder, 'verify.mjs')).href);
  assert.equal(verify(SECRET, headers, body), true);
  assert.equal(verify(SECRET, headers, forged), false);
  assert.equal(verify('another secret', headers, body), false);
  assert.equal(verify(SECRET, headers, body, Date.now() / 1000 + 600), false, 'too old');
  assert.equal(verify(SECRET, {}, body), false);

  writeFileSync(join(folder, 'receiver.py'), await snippet('Python'));
  const run = (secret, bytes, late = 0) =>
    execFileSync(
      'python3',
      [
        '-c',
        'import json, sys, base64, time\nfrom receiver import verify\na = json.load(sys.stdin)\nprint(verify(a["secret"], a["headers"], base64.b64decode(a["body"]), time.time() + a["late"]))',
      ],
      {
        cwd: folder,
        encoding: 'utf8',
        input: JSON.stringify({ secret, headers, body: bytes.toString('base64'), late }),
        env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
      },
    ).trim();
  assert.equal(run(SECRET, body), 'True');
  assert.equal(run(SECRET, forged), 'False');
  assert.equal(run('another secret', body), 'False');
  assert.equal(run(SECRET, body, 600), 'False');

  assert.match(await snippet('Go'), /func Verify\(/);
  assert.match(await snippet('Rust'), /pub fn verify\(/);
  await page.getByRole('button', { name: 'Copy' }).click();
  await eventually('copied', async () =>
    /pub fn verify/.test(await page.evaluate(() => navigator.clipboard.readText())),
  );
  // Arrow keys work too.
  await page.getByRole('tab', { name: 'Rust' }).press('ArrowRight');
  assert.equal(await page.getByRole('tab', { name: 'Node.js' }).getAttribute('aria-selected'), 'true');
});

uiTest('webhook without secret shows that nothing is signed', { who: 'acme.admin' }, async ({ page, t }) => {
  const hook = await createWebhook(t);
  await page.reload();
  await choose(page, hook.name, 'Verify signatures');
  await page.getByText(/has no secret, so its deliveries aren't signed/).waitFor();
  assert.equal(await page.getByRole('rowheader', { name: 'Qlik-Signature' }).count(), 0);
});
