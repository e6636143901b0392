// The kit of the client tests: the stack, Qlik's client, webhooks that are deleted after the test, and waiting.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { createQlikApi } from '@qlik/api';
import { addInterceptor } from '@qlik/api/interceptors';

const file = process.env.ANZOL_STACK ?? new URL('../../target/local/stack.json', import.meta.url);

/** The deployed stack, as described by `cargo xtask up`. */
export const stack = JSON.parse(readFileSync(file, 'utf8'));

export const V1 = '/api/v1/webhooks';
export const CORE = '/api/core/webhooks';
export const APP_CREATED = 'com.qlik.v1.app.created';
export const APP_DELETED = 'com.qlik.v1.app.deleted';
export const APP_EXPORTED = 'com.qlik.v1.app.exported';
export const APP_PUBLISHED = 'com.qlik.v1.app.published';

/** Options that bypass the cache of the client. */
export const fresh = { noCache: true };

/** Long enough for an event to pass all queues of a busy local cloud, in milliseconds. */
const SOON_MS = 20_000;

/** All requests of this process, oldest first: method, URL, and status and headers of the response. */
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
 * Makes every client of this process call the base path `core`, which the package does not support yet. The package ignores interceptors
 * of a single client and calls only those that were added for all.
 */
export const callCore = () =>
  addInterceptor((request, proceed) => proceed({ ...request, pathTemplate: request.pathTemplate.replace(V1, CORE) }));

/** The client's deprecation notices, which it logs with each call; collected instead of printed. */
export const notices = [];
for (const level of ['debug', 'warn']) {
  const say = console[level];
  console[level] = (text, ...more) =>
    String(text).startsWith('[Qlik] API deprecation notice') ? notices.push(text) : say(text, ...more);
}

/** Creates Qlik's client with these host settings. */
export const clientWith = (hostConfig) => createQlikApi({ hostConfig: { host: stack.apiUrl, ...hostConfig } });

/** Creates Qlik's client for a seeded user. */
export const clientOf = (who) => clientWith({ authType: 'apikey', apiKey: stack.tokens[who] });

let count = 0;
/** Returns a unique name. */
export const unique = (word) => `${word}-${process.pid.toString(36)}${Date.now().toString(36)}-${count++}`;

/** Returns the URL of a path at the receiver. */
export const receiverUrl = (name) => `${stack.receiver.url}/${name}`;

/** Creates a webhook for new apps, and deletes it after the test `t`. `more` adds or overrides members. */
export async function createWebhook(t, api, name, more = {}) {
  const request = { name, url: receiverUrl(name), eventTypes: [APP_CREATED], enabled: true, ...more };
  const created = await api.webhooks.createWebhook(request);
  assert.equal(created.status, 201);
  t.after(() => api.webhooks.deleteWebhook(created.data.id).catch(statusIs(404)));
  return created.data;
}

/** Publishes an event of a tenant with this token. Returns its ID. */
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

/** Returns the requests that the receiver got on a path, newest last. */
export async function received(name) {
  const answer = await fetch(`${stack.receiver.controlUrl}/requests?path=/${name}`);
  return answer.json();
}

/** Sets how the receiver responds on a path. */
export async function behave(name, behavior) {
  const url = `${stack.receiver.controlUrl}/behaviours/${name}`;
  const answer = await fetch(url, { method: 'PUT', body: JSON.stringify(behavior) });
  assert.equal(answer.status, 204);
}

/** Calls `look` until it returns a truthy value, and returns that value. */
export async function eventually(what, look) {
  const deadline = Date.now() + SOON_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < deadline, `no ${what} within ${SOON_MS / 1000} s`);
    await sleep(100);
  }
}

/** For `assert.rejects`: checks that the client's error has this status and the standard shape, and if given exactly these problems, each `field rule`. */
export const refusal =
  (status, ...problems) =>
  (error) => {
    assert.equal(error.status, status, error.message);
    const { errors, traceId } = error.data;
    assert.ok(traceId, 'no traceId');
    assert.ok(errors.length > 0);
    for (const { code, title } of errors) assert.deepEqual([code, typeof title], [`HTTP-${status}`, 'string']);
    const found = errors.map(({ field, rule }) => (field ? `${field} ${rule}` : rule));
    if (problems.length > 0) assert.deepEqual(found.sort(), problems.sort());
    return true;
  };

/** For `catch`: ignores errors with this status. */
const statusIs = (status) => (error) => {
  if (error.status !== status) throw error;
};
