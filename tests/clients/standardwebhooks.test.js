// The verifier published by Standard Webhooks, on real deliveries.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Webhook, WebhookVerificationError } from 'standardwebhooks';

import * as s from './stack.js';

const api = s.clientOf('globex.admin');

/** The library expects the key in base64; ours is the secret as UTF-8. */
const verifier = (secret) => new Webhook(Buffer.from(secret, 'utf8').toString('base64'));

/** Publishes an event of this type and waits for its delivery. Returns the event ID, headers and body. */
async function delivered(name, type) {
  const id = await s.publish(s.stack.tokens['globex.admin'], 'globex', type);
  return s.eventually('delivery', async () => {
    for (const { headers, bodyBase64 } of await s.received(name)) {
      const body = Buffer.from(bodyBase64, 'base64').toString('utf8');
      if (JSON.parse(body).id === id) return { id, headers, body };
    }
    return false;
  });
}

test('delivery verifies with its secret only', async (t) => {
  const name = s.unique('standard');
  const secret = `não só ASCII: ${'s'.repeat(32)}`;
  await s.createWebhook(t, api, name, { secret, eventTypes: [s.APP_DELETED] });
  const { id, headers, body } = await delivered(name, s.APP_DELETED);
  assert.equal(verifier(secret).verify(body, headers).id, id);

  const refused = (what, secret, body, headers) =>
    assert.throws(() => verifier(secret).verify(body, headers), WebhookVerificationError, what);
  refused('another body', secret, body.replace('app-1', 'app-2'), headers);
  refused('another secret', `${secret}!`, body, headers);
  refused('another id', secret, body, { ...headers, 'webhook-id': `${headers['webhook-id']}x` });
  const later = String(Number(headers['webhook-timestamp']) + 1);
  refused('another time', secret, body, { ...headers, 'webhook-timestamp': later });
});

test('rotated secret verifies with old and new', async (t) => {
  const name = s.unique('rotated');
  const [old, fresh, never] = ['o', 'f', 'n'].map((letter) => letter.repeat(40));
  const webhook = await s.createWebhook(t, api, name, { secret: old, eventTypes: [s.APP_DELETED] });
  await api.webhooks.patchWebhook(webhook.id, [{ op: 'replace', path: '/secret', value: fresh }]);
  const { id, headers, body } = await delivered(name, s.APP_DELETED);
  for (const secret of [old, fresh]) assert.equal(verifier(secret).verify(body, headers).id, id);
  for (const secret of [old, fresh]) {
    assert.throws(() => verifier(secret).verify(`${body} `, headers), WebhookVerificationError);
  }
  assert.throws(() => verifier(never).verify(body, headers), WebhookVerificationError);
});
