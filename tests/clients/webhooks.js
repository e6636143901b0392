// The ten operations of the webhooks API through Qlik's own client: the tests for both base paths.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import * as s from './stack.js';

const names = (page) => page.data.data.map(({ name }) => name);

/** Returns this page and all that follow it in one direction. */
async function follow(page, direction) {
  const pages = [page];
  for (let next = page[direction]; next; next = pages.at(-1)[direction]) pages.push(await next(s.fresh));
  return pages;
}

/** Defines the tests for the base path `base`. */
export function operations(base) {
  describe(base, { concurrency: false }, () => {
    const api = s.clientOf('globex.admin');

    test('event types can be listed', async () => {
      const { data } = await api.webhooks.getWebhookEventTypes(s.fresh);
      const created = data.data.find(({ name }) => name === s.APP_CREATED);
      assert.deepEqual(created.levels.toSorted(), ['tenant', 'user']);
      for (const member of ['title', 'description', 'category']) assert.ok(created[member], member);
      assert.equal(new URL(s.traffic.at(-1).url).pathname, `${base}/event-types`, 'the calls go where they should');
    });

    test('webhook is created, read, patched, replaced, deleted', async (t) => {
      const name = s.unique('life');
      const created = await s.createWebhook(t, api, name, {
        description: 'first',
        secret: 's'.repeat(32),
        headers: { 'X-Key': 'value' },
      });
      assert.deepEqual([created.name, created.enabled, created.level, created.origin], [name, true, 'tenant', 'api']);
      assert.deepEqual([created.secretKeyAdded, created.secret], [true, undefined]);
      const read = async () => (await api.webhooks.getWebhook(created.id, s.fresh)).data;
      assert.deepEqual(await read(), created);

      const patched = await api.webhooks.patchWebhook(created.id, [
        { op: 'replace', path: '/enabled', value: false },
        { op: 'replace', path: '/eventTypes', value: [s.APP_DELETED] },
        { op: 'remove', path: '/description' },
        { op: 'add', path: '/headers', value: { 'X-Other': 'other' } },
      ]);
      assert.equal(patched.status, 204);
      const { enabled, eventTypes, description, headers, secretKeyAdded } = await read();
      assert.deepEqual(
        { enabled, eventTypes, description, headers, secretKeyAdded },
        {
          enabled: false,
          eventTypes: [s.APP_DELETED],
          description: undefined,
          headers: { 'X-Other': 'other' },
          secretKeyAdded: true,
        },
      );

      const replaced = await api.webhooks.updateWebhook(created.id, {
        name: `${name}-2`,
        url: s.receiverUrl(name),
        eventTypes: [s.APP_CREATED],
      });
      assert.equal(replaced.status, 200);
      assert.deepEqual(await read(), replaced.data);
      assert.equal(replaced.data.name, `${name}-2`);
      assert.deepEqual(
        [replaced.data.enabled, replaced.data.secretKeyAdded, replaced.data.headers],
        [false, false, {}],
        'PUT resets what it leaves out',
      );
      assert.deepEqual([replaced.data.id, replaced.data.createdAt], [created.id, created.createdAt]);

      assert.equal((await api.webhooks.deleteWebhook(created.id)).status, 204);
      await assert.rejects(read(), s.refusal(404));
    });

    test('pages link forward and back', async (t) => {
      const word = s.unique('page');
      const all = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((letter) => `${word}-${letter}`);
      for (const name of all.toReversed()) await s.createWebhook(t, api, name);
      const first = await api.webhooks.getWebhooks({ name: word, sort: '+name', limit: 2 }, s.fresh);
      const forth = await follow(first, 'next');
      assert.deepEqual(forth.map(names), [all.slice(0, 2), all.slice(2, 4), all.slice(4, 6), all.slice(6)]);
      const back = await follow(forth.at(-1), 'prev');
      assert.deepEqual(back.map(names), forth.map(names).toReversed());
      assert.deepEqual([first.prev, forth.at(-1).next], [undefined, undefined]);
      for (const { href } of Object.values(forth[1].data.links)) {
        assert.ok(href.startsWith(`${s.stack.apiUrl}${base}?`), href);
      }
      // A cursor works with another page size: Qlik's Python client sends one.
      const next = new URL(first.data.links.next.href).searchParams.get('next');
      const rest = await api.webhooks.getWebhooks({ name: word, sort: '+name', limit: 100, next }, s.fresh);
      assert.deepEqual(names(rest), all.slice(2));
    });

    test('lists can be filtered and sorted', async (t) => {
      const word = s.unique('List');
      const made = {
        b: await s.createWebhook(t, api, `${word}-b`, { enabled: false, origin: 'automations' }),
        a: await s.createWebhook(t, api, `${word}-a`, { eventTypes: [s.APP_CREATED, s.APP_DELETED] }),
        c: await s.createWebhook(t, api, `${word}-c`, { level: 'user', origin: 'management-console' }),
      };
      const admin = made.a.createdByUserId;
      for (const [query, expected] of /** @type {[object, string][]} */ ([
        [{}, 'cab'], // newest first
        [{ sort: '+name' }, 'abc'],
        [{ sort: 'name' }, 'abc'],
        [{ sort: '-name' }, 'cba'],
        [{ sort: '+createdAt' }, 'bac'],
        [{ sort: '-url' }, 'cba'],
        [{ name: word.toUpperCase(), sort: 'name' }, 'abc'],
        [{ url: `${word}-b` }, 'b'],
        [{ enabled: true, sort: 'name' }, 'ac'],
        [{ enabled: false }, 'b'],
        [{ eventTypes: s.APP_DELETED }, 'a'],
        [{ eventTypes: `${s.APP_CREATED},${s.APP_DELETED}` }, 'a'],
        [{ level: 'user' }, 'c'],
        [{ level: 'tenant', sort: 'name' }, 'ab'],
        [{ origins: 'automations' }, 'b'],
        [{ origins: 'automations,management-console', sort: 'name' }, 'bc'],
        [{ createdByUserId: admin, sort: 'name' }, 'abc'],
        [{ updatedByUserId: 'no-one' }, ''],
        [{ level: 'user', ownerId: admin }, 'c'],
      ])) {
        const page = await api.webhooks.getWebhooks({ name: word, ...query }, s.fresh);
        const letters = names(page)
          .map((name) => name.at(-1))
          .join('');
        assert.equal(letters, expected, JSON.stringify(query));
      }
    });

    test('rejected request explains why', async (t) => {
      const webhook = await s.createWebhook(t, api, s.unique('refused'));
      await assert.rejects(
        api.webhooks.createWebhook({ url: 'http://1.2.3.4', secret: 'short' }),
        s.refusal(400, 'name required', 'url must_be_https', 'eventTypes event_type_required', 'secret length'),
      );
      await assert.rejects(api.webhooks.getWebhooks({ limit: 0 }, s.fresh), s.refusal(400, 'limit whole_number'));
      await assert.rejects(api.webhooks.getWebhooks({ sort: 'secret' }, s.fresh), s.refusal(400, 'sort sort_field'));
      await assert.rejects(
        api.webhooks.patchWebhook(webhook.id, [{ op: 'replace', path: '/name', value: '' }]),
        s.refusal(400, 'name required'),
      );
      await assert.rejects(
        api.webhooks.patchWebhook(webhook.id, [{ op: 'replace', path: '/id', value: 'x' }]),
        s.refusal(base === s.CORE ? 409 : 400),
      );
      for (const call of [
        () => api.webhooks.getWebhook('none', s.fresh),
        () => api.webhooks.getWebhookDeliveries('none', {}, s.fresh),
        () => api.webhooks.getWebhookDelivery(webhook.id, 'none', s.fresh),
        () => api.webhooks.resendWebhookDelivery(webhook.id, 'none'),
        () => s.clientOf('acme.admin').webhooks.getWebhook(webhook.id, s.fresh),
      ]) {
        await assert.rejects(call(), s.refusal(404));
      }
      const user = s.clientOf('acme.user');
      const request = { name: 'n', url: s.receiverUrl('n'), eventTypes: [s.APP_CREATED] };
      await assert.rejects(user.webhooks.createWebhook(request), s.refusal(403, 'admin_required_for_level'));
      // The error of the gateway itself has its own form.
      const outsider = s.clientWith({ authType: 'apikey', apiKey: 'not.a.token' });
      await assert.rejects(outsider.webhooks.getWebhooks({}, s.fresh), {
        status: 401,
        data: { message: 'Unauthorized' },
      });
    });

    test('delivery shows in the history and is resent', async (t) => {
      const name = s.unique('delivered');
      // Each base path has its own event type, because their suites may run at the same time.
      const type = base === s.V1 ? s.APP_EXPORTED : s.APP_PUBLISHED;
      const webhook = await s.createWebhook(t, api, name, { eventTypes: [type] });
      const id = await s.publish(s.stack.tokens['globex.admin'], 'globex', type);
      const list = async (query = {}) =>
        (await api.webhooks.getWebhookDeliveries(webhook.id, query, s.fresh)).data.data;
      const [delivery] = await s.eventually('delivery', async () => {
        const rows = await list({ status: 'success', eventType: type });
        return rows.length > 0 && rows;
      });
      assert.deepEqual([delivery.webhookId, delivery.response.statusCode], [webhook.id, 200]);
      assert.deepEqual([delivery.request.url, delivery.request.body.id], [s.receiverUrl(name), id]);
      const one = await api.webhooks.getWebhookDelivery(webhook.id, delivery.id, s.fresh);
      assert.deepEqual(one.data, delivery);

      // A resend to a receiver that now fails adds a new row.
      await s.behave(name, { status: 500 });
      const again = await api.webhooks.resendWebhookDelivery(webhook.id, delivery.id);
      assert.deepEqual([again.status, again.data.status, again.data.response.statusCode], [201, 'fail', 500]);
      assert.notEqual(again.data.id, delivery.id);
      const sent = await s.received(name);
      assert.equal(sent.length, 2);
      const ids = new Set(sent.map(({ headers }) => headers['webhook-id']));
      assert.equal(ids.size, 1, 'one event, one webhook-id');

      const idsOf = (rows) => rows.map((row) => row.id);
      assert.deepEqual(idsOf(await list()), [again.data.id, delivery.id], 'newest first');
      assert.deepEqual(idsOf(await list({ sort: '+triggeredAt' })), [delivery.id, again.data.id]);
      assert.deepEqual(idsOf(await list({ status: 'fail' })), [again.data.id]);
      assert.deepEqual(idsOf(await list({ eventType: s.APP_DELETED })), []);
      const first = await api.webhooks.getWebhookDeliveries(webhook.id, { limit: 1 }, s.fresh);
      const pages = await follow(first, 'next');
      assert.deepEqual(
        pages.flatMap((page) => idsOf(page.data.data)),
        [again.data.id, delivery.id],
      );
      const back = await follow(pages.at(-1), 'prev');
      assert.deepEqual(
        back.flatMap((page) => idsOf(page.data.data)),
        [delivery.id, again.data.id],
      );
    });

    test(
      base === s.V1 ? 'every answer says that it is deprecated' : 'no answer says that it is deprecated',
      async (t) => {
        const webhook = await s.createWebhook(t, api, s.unique('deprecated'));
        const before = s.traffic.length;
        s.notices.length = 0;
        await api.webhooks.getWebhooks({}, s.fresh);
        await assert.rejects(api.webhooks.getWebhook('none', s.fresh), s.refusal(404));
        await api.webhooks.getWebhook(webhook.id, s.fresh);
        const answers = s.traffic.slice(before);
        assert.equal(answers.length, 3);
        // The client logs the deprecation too, but not of errors.
        const logged = s.notices.filter((notice) => notice.includes('deprecated since: 2026-11'));
        assert.equal(logged.length, base === s.V1 ? 2 : 0, s.notices.join('; '));
        for (const { url, headers } of answers) {
          const said = ['deprecation', 'sunset', 'link'].map((name) => headers.get(name));
          if (base === s.CORE) {
            assert.deepEqual(said, [null, null, null], url);
            continue;
          }
          const [deprecation, sunset, link] = said;
          assert.match(deprecation, /^@\d+$/);
          const since = new Date(Number(deprecation.slice(1)) * 1000);
          assert.equal(since.toISOString(), '2026-11-03T00:00:00.000Z');
          assert.equal(new Date(sunset).toISOString(), '2027-11-01T00:00:00.000Z');
          const successor = new URL(url).pathname.replace(s.V1, s.CORE);
          assert.ok(link.startsWith(`<${successor}`) && link.includes('rel="successor-version"'), link);
        }
      },
    );
  });
}
