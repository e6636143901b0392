// Parts of the console that need no browser and no stack: signing in from an address, and the copied curl command.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { promisify } from 'node:util';

const asset = (file) => new URL(`../../functions/console/assets/${file}`, import.meta.url);

const kept = new Map();
Object.assign(globalThis, {
  document: { documentElement: { lang: 'en' }, createElement: () => ({}), addEventListener() {}, getElementById: () => null, body: { append() {} } },
  window: globalThis,
  addEventListener() {},
  location: { origin: 'https://anzol.example', pathname: '/console/', search: '', hash: '', href: 'https://anzol.example/console/' },
  history: { replaceState(_, __, address) { shown = address; } },
  sessionStorage: { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) },
  localStorage: { getItem: () => null, setItem() {} },
});
let shown;

const { finishSignIn, SignInError } = await import(asset('session.js'));
const { bodyErrorOf, curlOf } = await import(asset('delivery.js'));
const en = await import(asset('en.js'));
const ptBR = await import(asset('pt-BR.js'));

const PENDING = 'anzol.signing-in';
const config = { hostedUiUrl: 'https://login.example', clientId: 'client' };

/** Comes to the page by this query while a sign-in is pending, or none; answers what was thrown and asked for. */
async function arrive(query, pending, token = { ok: true, body: { id_token: 'a.b.c', refresh_token: 'r' } }) {
  kept.clear();
  shown = undefined;
  if (pending) kept.set(PENDING, JSON.stringify(pending));
  location.search = query;
  const asked = [];
  globalThis.fetch = async (url, { body }) => {
    asked.push({ url, body: new URLSearchParams(body) });
    return { ok: token.ok, status: token.ok ? 200 : 400, json: async () => token.body };
  };
  const error = await finishSignIn(config).then(() => null, (error) => error);
  return { error, asked };
}

const pending = { state: 'mine', verifier: 'verifier', hash: '#/webhooks?q=kept' };

test("l5_a stranger's error text is not shown and ends no sign-in", async () => {
  for (const state of ['x', '', 'mine2', 'MINE']) {
    const { error, asked } = await arrive(`?state=${state}&error=1&error_description=Your+account+is+locked.+Call+555-0100`, pending);
    assert.ok(error instanceof SignInError);
    assert.equal(error.key, 'signIn.stale');
    assert.doesNotMatch(JSON.stringify([error.message, error.values ?? {}]), /locked|555/);
    assert.deepEqual(JSON.parse(kept.get(PENDING)), pending, 'the started sign-in is still there');
    assert.deepEqual(asked, []);
  }
  assert.equal(shown, '/console/', 'the address is clean');
});

test('l5_a stranger with no sign-in pending is told that it is stale', async () => {
  for (const query of ['?state=x&error=access_denied&error_description=evil', '?state=null&code=c', '?state=&code=c', '?state=undefined&error=x']) {
    const { error, asked } = await arrive(query, null);
    assert.equal(error?.key, 'signIn.stale', query);
    assert.deepEqual(asked, []);
  }
});

test('l5_only known error codes are told apart, each by our own text', async () => {
  for (const [code, key] of [
    ['access_denied', 'signIn.denied'], ['login_required', 'signIn.notDone'], ['consent_required', 'signIn.notDone'],
    ['server_error', 'signIn.unreachable'], ['temporarily_unavailable', 'signIn.unreachable'],
    ['invalid_scope', 'signIn.refused'], ['1', 'signIn.refused'], ['<b>x</b>', 'signIn.refused'], ['constructor', 'signIn.refused'], ['__proto__', 'signIn.refused'],
  ]) {
    const { error } = await arrive(`?state=mine&error=${encodeURIComponent(code)}&error_description=Call+555`, pending);
    assert.equal(error.key, key, code);
    assert.equal(error.values, undefined, 'no text of theirs');
    assert.ok(en.texts[key] && !/\{/.test(en.texts[key]), key);
    assert.equal(kept.get(PENDING), undefined, 'this sign-in is over');
  }
});

test('l5_the code of a sign-in of ours is exchanged once, where the reader was', async () => {
  const { error, asked } = await arrive('?state=mine&code=the-code', pending);
  assert.equal(error, null);
  assert.equal(asked[0].url, 'https://login.example/oauth2/token');
  assert.deepEqual([asked[0].body.get('code'), asked[0].body.get('code_verifier')], ['the-code', 'verifier']);
  assert.equal(kept.get(PENDING), undefined);
  assert.equal(shown, '/console/#/webhooks?q=kept');
  const refused = await arrive('?state=mine&code=spent', pending, { ok: false, body: { error: 'invalid_grant', error_description: 'Call 555' } });
  assert.equal(refused.error.key, 'signIn.stale');
});

const delivery = (url) => ({ request: { url, headers: { 'Content-Type': 'application/json', 'X-Quote': "it's", Host: 'x' }, body: { a: "it's" } } });

test('l4_the copied command takes a URL as it is written', () => {
  const url = 'https://victim.example/[1-9999999]?a={a,b}';
  const command = curlOf(delivery(url));
  assert.match(command, /^curl -g -i --proto '=https' 'https:\/\/victim\.example\/\[1-9999999\]\?a=\{a,b\}' \\\n/);
  assert.doesNotMatch(command, /host:/i);
});

/** Runs a copied command with curl sent to a server of ours instead; answers the targets that arrived. */
async function run(command, prefix) {
  const arrived = [];
  const server = createServer((request, response) => {
    arrived.push(request.url);
    request.resume().on('end', () => response.end('ok'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    // What curl would do over TLS, over a plain proxy-like connection of this machine.
    const local = command.replace("--proto '=https'", `--proto '=http' --connect-to ::127.0.0.1:${server.address().port}`).replace("'https://", "'http://");
    await promisify(execFile)('sh', ['-c', `${prefix}${local}`], { timeout: 10_000 }).catch(() => {});
  } finally {
    server.close();
  }
  return arrived;
}

test('l4_the copied command, run, sends one request', async (t) => {
  const there = await promisify(execFile)('curl', ['--version']).then(() => true, () => false);
  if (!there) return t.skip('there is no curl');
  for (const [url, target] of [
    ['https://victim.example/[1-5]?a={a,b}', '/[1-5]?a={a,b}'],
    ['https://victim.example/[a-z:2]/x', '/[a-z:2]/x'],
    ["https://victim.example/'$(id)'", "/'$(id)'"],
  ]) {
    assert.deepEqual(await run(curlOf(delivery(url)), ''), [target]);
  }
  // The flag is what does it.
  assert.equal((await run(curlOf(delivery('https://victim.example/[1-5]')).replace(' -g', ''), '')).length, 5);
});

test('l4_the copied command speaks https alone', async (t) => {
  const there = await promisify(execFile)('curl', ['--version']).then(() => true, () => false);
  if (!there) return t.skip('there is no curl');
  const command = curlOf(delivery('http://127.0.0.1:9/'));
  const refused = await promisify(execFile)('sh', ['-c', command], { timeout: 10_000 }).then(() => null, (error) => error);
  assert.equal(refused?.code, 1, 'curl: unsupported protocol');
});

test('k1_what was wrong with the rest of an answer is said in a sentence', () => {
  const said = ['cut', 'encoding', 'timeout', 'length'].map((bodyError) => bodyErrorOf({ bodyError }));
  assert.equal(new Set(said).size, 4);
  for (const sentence of said) assert.match(sentence, /^[A-Z].*\.$/);
  assert.match(bodyErrorOf({ bodyError: 'new-word' }), /new-word/);
  assert.equal(bodyErrorOf({}), null);
  for (const { texts } of [en, ptBR]) assert.ok(texts['failure.protocol']);
});

test('h3_bounds and a running recovery are said in sentences', async () => {
  const { api, useApi } = await import(asset('api.js'));
  useApi({}, async () => false);
  const refusal = async (status, headers, detail, call) => {
    kept.set('anzol.session', JSON.stringify({ idToken: 'a.b.c', ends: Date.now() / 1000 + 3600 }));
    globalThis.fetch = async () => new Response(JSON.stringify({ errors: [{ code: `HTTP-${status}`, title: 'no', detail }] }), { status, headers });
    return call().then(() => null, (error) => error);
  };
  const bound = await refusal(429, { 'retry-after': '5' }, 'at most 5 tests and resends of one user may be under way; try again in 5 seconds', () => api.test('id', 'x'));
  assert.equal(bound.message, 'At most 5 tests and resends of one user may be under way; try again in 5 seconds');
  const throttled = await refusal(429, { 'retry-after': '1' }, 'You need to wait 1 second until limit is lifted.', () => api.resend('id', 'd'));
  assert.equal(throttled.message, en.texts['api.throttled']);
  const running = await refusal(409, { location: 'https://api.example/api/core/webhooks/id/recoveries/r' }, '`recovery` r of this webhook is still running', () => api.recover('id', '2026-11-28T00:00:00Z'));
  assert.equal(running.message, en.texts['recover.already']);
  const changed = await refusal(409, {}, 'it was changed or deleted meanwhile; read it again', () => api.patch('id', []));
  assert.equal(changed.message, en.texts['api.conflict']);
});
