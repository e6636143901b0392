// What every test starts from: the stack, Qlik's client on it, webhooks that clean up after themselves, and patience.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { createQlikApi } from '@qlik/api';
import { addInterceptor } from '@qlik/api/interceptors';

const file = process.env.ANZOL_STACK ?? new URL('../../target/local/stack.json', import.meta.url);

/** The deployed stack, as `cargo xtask up` describes it. */
export const stack = JSON.parse(readFileSync(file, 'utf8'));

export const V1 = '/api/v1/webhooks';
export const CORE = '/api/core/webhooks';
export const APP_CREATED = 'com.qlik.v1.app.created';
export const APP_DELETED = 'com.qlik.v1.app.deleted';
export const APP_EXPORTED = 'com.qlik.v1.app.exported';
export const APP_PUBLISHED = 'com.qlik.v1.app.published';

/** Never from the client's own cache. */
export const fresh = { noCache: true };

/** Long enough for an event to pass through every queue of a busy local cloud. */
const SOON_MS = 20_000;

/** Every request that left this process, oldest first: method, URL, and the answer's status and headers. */
export const traffic = [];
const { fetch } = globalThis;
globalThis.fetch = async (url, options) => {
  const answer = await fetch(url, options);
  traffic.push({
    method: options?.method?.toUpperCase() ?? 'GET',
    url: String(url),
    status: answer.status,
    headers: answer.headers,
  });
  return answer;
};

/**
 * Lets every client of this process call core, for which it has no functions yet. Interceptors of one client alone are
 * never called: the package passes on only those that were added for all.
 */
export const callCore = () =>
  addInterceptor((request, proceed) => proceed({ ...request, pathTemplate: request.pathTemplate.replace(V1, CORE) }));

/** What the client has said of deprecated APIs, which it does with each call; not for the screen. */
export const notices = [];
for (const level of ['debug', 'warn']) {
  const say = console[level];
  console[level] = (text, ...more) =>
    String(text).startsWith('[Qlik] API deprecation notice') ? notices.push(text) : say(text, ...more);
}

/** Qlik's client with these host settings. */
export const clientWith = (hostConfig) => createQlikApi({ hostConfig: { host: stack.apiUrl, ...hostConfig } });

/** Qlik's client as one of the seeded users. */
export const clientOf = (who) => clientWith({ authType: 'apikey', apiKey: stack.tokens[who] });

/** A name nobody else uses, in this run or another. */
let count = 0;
export const unique = (word) => `${word}-${process.pid.toString(36)}${Date.now().toString(36)}-${count++}`;

/** Where the receiver takes what is sent to this name. */
export const receiverUrl = (name) => `${stack.receiver.url}/${name}`;

/** Creates a webhook that hears of new apps, and deletes it when the test `t` is over; `more` adds or overrides. */
export async function createWebhook(t, api, name, more = {}) {
  const request = { name, url: receiverUrl(name), eventTypes: [APP_CREATED], enabled: true, ...more };
  const created = await api.webhooks.createWebhook(request);
  assert.equal(created.status, 201);
  t.after(() => api.webhooks.deleteWebhook(created.data.id).catch(statusIs(404)));
  return created.data;
}

/** Publishes an event of a tenant with this token; answers its id. */
export async function publish(token, tenant, type) {
  const event = {
    specversion: '1.0',
    id: unique('event'),
    source: 'tests/clients',
    type,
    tenantid: stack.tenants[tenant],
  };
  const answer = await fetch(`${stack.apiUrl}/api/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/cloudevents+json' },
    body: JSON.stringify({ ...event, data: { id: 'app-1' } }),
  });
  assert.equal(answer.status, 202, await answer.text());
  return event.id;
}

/** What the receiver got of this name, newest last. */
export async function received(name) {
  const answer = await fetch(`${stack.receiver.controlUrl}/requests?path=/${name}`);
  return answer.json();
}

/** How the receiver answers this name from now on. */
export async function behave(name, behaviour) {
  const url = `${stack.receiver.controlUrl}/behaviours/${name}`;
  const answer = await fetch(url, { method: 'PUT', body: JSON.stringify(behaviour) });
  assert.equal(answer.status, 204);
}

/** Looks again and again until something is there to see. */
export async function eventually(what, look) {
  const deadline = Date.now() + SOON_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < deadline, `no ${what} within ${SOON_MS / 1000} s`);
    await sleep(100);
  }
}

/** For `assert.rejects`: the client's error for this status, in the shape that all errors have, with exactly these `details`. */
export const refusal =
  (status, ...details) =>
  (error) => {
    assert.equal(error.status, status, error.message);
    const { errors, traceId } = error.data;
    assert.ok(traceId, 'no traceId');
    assert.ok(errors.length > 0);
    for (const { code, title } of errors) assert.deepEqual([code, typeof title], [`HTTP-${status}`, 'string']);
    const said = errors.map(({ detail }) => detail);
    for (const detail of details)
      assert.ok(
        said.some((text) => detail.test(text)),
        `${detail} not in ${said}`,
      );
    if (details.length > 0) assert.equal(errors.length, details.length, said.join('; '));
    return true;
  };

/** For `catch`: lets this status pass. */
const statusIs = (status) => (error) => {
  if (error.status !== status) throw error;
};
