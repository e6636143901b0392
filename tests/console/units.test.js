// Parts of the console that need neither a browser nor a stack: redirects of the hosted sign-in, the curl command, errors of the API.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { promisify } from 'node:util';

const asset = (file) => new URL(`../../functions/console/assets/${file}`, import.meta.url).href;

const kept = new Map();
Object.assign(globalThis, {
  document: {
    documentElement: { lang: 'en' },
    createElement: () => ({}),
    addEventListener() {},
    getElementById: () => null,
    body: { append() {} },
  },
  window: globalThis,
  addEventListener() {},
  location: {
    origin: 'https://anzol.example',
    pathname: '/console/',
    search: '',
    hash: '',
    href: 'https://anzol.example/console/',
  },
  history: {
    replaceState(_, __, address) {
      shown = address;
    },
  },
  sessionStorage: {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  },
  localStorage: { getItem: () => null, setItem() {} },
});
let shown;

const { finishSignIn, SignInError } = await import(asset('session.js'));
const { bodyErrorOf, curlOf } = await import(asset('delivery.js'));
const en = await import(asset('en.js'));
const ptBR = await import(asset('pt-BR.js'));

const PENDING = 'anzol.signing-in';
const config = { hostedUiUrl: 'https://login.example', clientId: 'client' };

/** Opens the page with a query while a sign-in is pending, or none. Returns the error and the requests. */
async function arrive(
  query,
  pending,
  token = { ok: true, body: /** @type {any} */ ({ id_token: 'a.b.c', refresh_token: 'r' }) },
) {
  kept.clear();
  shown = undefined;
  if (pending) kept.set(PENDING, JSON.stringify(pending));
  location.search = query;
  const asked = [];
  globalThis.fetch = async (url, { body }) => {
    asked.push({ url, body: new URLSearchParams(String(body)) });
    return new Response(JSON.stringify(token.body), { status: token.ok ? 200 : 400 });
  };
  const error = await finishSignIn(config).then(
    () => null,
    (error) => error,
  );
  return { error, asked };
}

const pending = { state: 'mine', verifier: 'verifier', hash: '#/webhooks?q=kept' };

test('l5_error text from outside is not shown, sign-in is kept', async () => {
  for (const state of ['x', '', 'mine2', 'MINE']) {
    const { error, asked } = await arrive(
      `?state=${state}&error=1&error_description=Your+account+is+locked.+Call+555-0100`,
      pending,
    );
    assert.ok(error instanceof SignInError);
    assert.equal(error.key, 'signIn.stale');
    assert.doesNotMatch(JSON.stringify([error.message, error.values ?? {}]), /locked|555/);
    assert.deepEqual(JSON.parse(kept.get(PENDING)), pending, 'the pending sign-in is kept');
    assert.deepEqual(asked, []);
  }
  assert.equal(shown, '/console/', 'the address is clean');
});

test('l5_redirect without pending sign-in is stale', async () => {
  for (const query of [
    '?state=x&error=access_denied&error_description=evil',
    '?state=null&code=c',
    '?state=&code=c',
    '?state=undefined&error=x',
  ]) {
    const { error, asked } = await arrive(query, null);
    assert.equal(error?.key, 'signIn.stale', query);
    assert.deepEqual(asked, []);
  }
});

test('l5_each known error code has its own text', async () => {
  for (const [code, key] of [
    ['access_denied', 'signIn.denied'],
    ['login_required', 'signIn.notDone'],
    ['consent_required', 'signIn.notDone'],
    ['server_error', 'signIn.unreachable'],
    ['temporarily_unavailable', 'signIn.unreachable'],
    ['invalid_scope', 'signIn.refused'],
    ['1', 'signIn.refused'],
    ['<b>x</b>', 'signIn.refused'],
    ['constructor', 'signIn.refused'],
    ['__proto__', 'signIn.refused'],
  ]) {
    const { error } = await arrive(`?state=mine&error=${encodeURIComponent(code)}&error_description=Call+555`, pending);
    assert.equal(error.key, key, code);
    assert.equal(error.values, undefined, 'no text from the address');
    assert.ok(en.texts[key] && !/\{/.test(en.texts[key]), key);
    assert.equal(kept.get(PENDING), undefined, 'this sign-in is over');
  }
});

test('l5_code is exchanged once and the view restored', async () => {
  const { error, asked } = await arrive('?state=mine&code=the-code', pending);
  assert.equal(error, null);
  assert.equal(asked[0].url, 'https://login.example/oauth2/token');
  assert.deepEqual([asked[0].body.get('code'), asked[0].body.get('code_verifier')], ['the-code', 'verifier']);
  assert.equal(kept.get(PENDING), undefined);
  assert.equal(shown, '/console/#/webhooks?q=kept');
  const refused = await arrive('?state=mine&code=spent', pending, {
    ok: false,
    body: { error: 'invalid_grant', error_description: 'Call 555' },
  });
  assert.equal(refused.error.key, 'signIn.stale');
});

const delivery = (url) => ({
  request: { url, headers: { 'Content-Type': 'application/json', 'X-Quote': "it's", Host: 'x' }, body: { a: "it's" } },
});

test('l4_curl command takes the URL literally', () => {
  const url = 'https://victim.example/[1-9999999]?a={a,b}';
  const command = curlOf(delivery(url));
  assert.match(command, /^curl -g -i --proto '=https' 'https:\/\/victim\.example\/\[1-9999999\]\?a=\{a,b\}' \\\n/);
  assert.doesNotMatch(command, /host:/i);
});

/** Runs a copied command against a local server. Returns the request targets that arrived. */
async function run(command, prefix) {
  const arrived = [];
  const server = createServer((request, response) => {
    arrived.push(request.url);
    request.resume().on('end', () => response.end('ok'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  try {
    // Plain HTTP instead of TLS, and the local server instead of the host.
    const local = command
      .replace("--proto '=https'", `--proto '=http' --connect-to ::127.0.0.1:${port}`)
      .replace("'https://", "'http://");
    await promisify(execFile)('sh', ['-c', `${prefix}${local}`], { timeout: 10_000 }).catch(() => {});
  } finally {
    server.close();
  }
  return arrived;
}

test('l4_curl command sends one request when run', async (t) => {
  const there = await promisify(execFile)('curl', ['--version']).then(
    () => true,
    () => false,
  );
  if (!there) return t.skip('curl is not installed');
  for (const [url, target] of [
    ['https://victim.example/[1-5]?a={a,b}', '/[1-5]?a={a,b}'],
    ['https://victim.example/[a-z:2]/x', '/[a-z:2]/x'],
    ["https://victim.example/'$(id)'", "/'$(id)'"],
  ]) {
    assert.deepEqual(await run(curlOf(delivery(url)), ''), [target]);
  }
  // The flag prevents globbing.
  assert.equal((await run(curlOf(delivery('https://victim.example/[1-5]')).replace(' -g', ''), '')).length, 5);
});

test('l4_curl command allows https only', async (t) => {
  const there = await promisify(execFile)('curl', ['--version']).then(
    () => true,
    () => false,
  );
  if (!there) return t.skip('curl is not installed');
  const command = curlOf(delivery('http://127.0.0.1:9/'));
  const refused = await promisify(execFile)('sh', ['-c', command], { timeout: 10_000 }).then(
    () => null,
    (error) => error,
  );
  assert.equal(refused?.code, 1, 'curl: unsupported protocol');
});

test('k1_each body error has its own sentence', () => {
  const said = ['cut', 'encoding', 'timeout', 'length'].map((bodyError) => bodyErrorOf({ bodyError }));
  assert.equal(new Set(said).size, 4);
  for (const sentence of said) assert.match(sentence, /^[A-Z].*\.$/);
  assert.match(bodyErrorOf({ bodyError: 'new-word' }), /new-word/);
  assert.equal(bodyErrorOf({}), null);
  for (const { texts } of [en, ptBR]) assert.ok(texts['failure.protocol']);
});

/** Calls the API with a response that it would send. Returns the error. */
async function errorOf(
  { status, headers = {}, items = [], body = /** @type {object} */ ({ errors: items }) },
  call = (api) => api.webhook('id'),
) {
  const { api, useApi } = await import(asset('api.js'));
  useApi({}, async () => false);
  kept.set('anzol.session', JSON.stringify({ idToken: 'a.b.c', ends: Date.now() / 1000 + 3600 }));
  globalThis.fetch = async () => new Response(JSON.stringify(body), { status, headers });
  return call(api).then(
    () => null,
    (error) => error,
  );
}

/** An item of an error as the API sends it. */
const item = (status, detail, more = {}) => ({
  code: `HTTP-${status}`,
  title: 'The request is not valid',
  detail,
  ...more,
});

test('h3_limits and running replay have their own texts', async () => {
  const rule = { rule: 'too_many_under_way_of_user', params: { max: 5, seconds: 7 } };
  const limit = await errorOf(
    { status: 429, headers: { 'retry-after': '7' }, items: [item(429, 'at most 5 …', rule)] },
    (api) => api.test('id', 'x'),
  );
  assert.equal(limit.message, 'You can run 5 tests and resends at a time. Try again in 7 seconds.');
  // The gateway's throttle has no rule, the API's own rate limit has one: both say the same.
  for (const items of [
    [],
    [item(429, 'You need to wait 1 second until limit is lifted.', { rule: 'rate_limit', params: { seconds: 1 } })],
  ]) {
    const throttled = await errorOf({ status: 429, headers: { 'retry-after': '1' }, items }, (api) =>
      api.resend('id', 'd'),
    );
    assert.equal(throttled.message, en.texts['api.throttled']);
  }
  const running = await errorOf(
    {
      status: 409,
      headers: { location: 'https://api.example/api/core/webhooks/id/recoveries/r' },
      items: [
        item(409, '`recovery` r of this webhook is still running', { rule: 'recovery_running', field: 'recovery' }),
      ],
    },
    (api) => api.recover('id', '2026-11-28T00:00:00Z'),
  );
  assert.equal(running.message, en.texts['recover.already']);
  const changed = await errorOf(
    {
      status: 409,
      items: [item(409, 'the resource was changed or deleted at the same time; read it again', { rule: 'conflict' })],
    },
    (api) => api.patch('id', []),
  );
  assert.equal(changed.message, en.texts['api.conflict']);
  const disabled = await errorOf(
    {
      status: 409,
      items: [item(409, '`enabled` is false: enable the webhook …', { rule: 'webhook_disabled', field: 'enabled' })],
    },
    (api) => api.recover('id', '2026-11-28T00:00:00Z'),
  );
  assert.equal(disabled.message, en.texts['rule.webhook_disabled']);
});

test('error item is translated by rule, not by its sentence', async () => {
  const items = [
    item(400, '`name` is required and must not be empty', { field: 'name', rule: 'required' }),
    item(400, '`description` must have at most 1024 characters', {
      field: 'description',
      rule: 'max_length',
      params: { max: 1024 },
    }),
    item(400, '`headers.Host` is a reserved header name', { field: 'headers.Host', rule: 'header_reserved' }),
    item(400, '`url` breaks a rule of a newer version', { field: 'url', rule: 'new_rule' }),
  ];
  const { problems, missing } = await errorOf({ status: 400, items }, (api) => api.create({}));
  assert.deepEqual(
    problems.map(({ field, text }) => [field, text]),
    [
      ['name', 'This field is required.'],
      ['description', 'Must have at most 1024 characters.'],
      ['headers.Host', 'This header name is reserved.'],
      ['url', 'Breaks a rule of a newer version.'],
    ],
  );
  assert.equal(missing, false);
});

test('error without rule shows the sentence of the API', async () => {
  const old = await errorOf({
    status: 403,
    items: [item(403, 'only a tenant admin can give a webhook to another user')],
  });
  assert.deepEqual(old.problems, [
    { field: undefined, rule: undefined, text: 'Only a tenant admin can give a webhook to another user.' },
  ]);
  const gateway = await errorOf({ status: 403, body: { message: 'Forbidden' } });
  assert.equal(gateway.message, 'Forbidden');
});

test('unknown route differs from unknown webhook', async () => {
  const route = await errorOf({
    status: 404,
    items: [item(404, 'there is no /api/x', { rule: 'route_not_found', params: { path: '/api/x' } })],
  });
  const webhook = await errorOf({
    status: 404,
    items: [item(404, 'there is no webhook id', { rule: 'not_found', params: { resource: 'webhook', id: 'id' } })],
  });
  assert.deepEqual([route.missing, webhook.missing], [true, false]);
});

test('messageOf shows the failure in the language of the page', async () => {
  const { messageOf } = await import(asset('status.js'));
  assert.equal(messageOf({ failure: 'http_status', statusMessage: 'the receiver answered 500' }), '');
  assert.equal(
    messageOf({ failure: 'dns', statusMessage: 'the host name could not be resolved' }),
    'The host name could not be resolved.',
  );
  assert.equal(messageOf({ status: 'success' }), '');
});
