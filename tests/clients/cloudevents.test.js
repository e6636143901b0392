// The CloudEvents SDK for JavaScript as a producer, in all three content modes, and as a receiver of the deliveries.
// Section numbers refer to CloudEvents 1.0.2: its HTTP protocol binding and its JSON format.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { brotliCompressSync, gzipSync } from 'node:zlib';

import { CloudEvent, HTTP } from 'cloudevents';

import * as s from './stack.js';

/** An event type that no other suite counts. */
const TYPE = 'com.qlik.v1.app.data.updated';
const STRUCTURED = 'application/cloudevents+json';
const BATCH = 'application/cloudevents-batch+json';
/** Characters that are hard to encode in a header: spaces, quotes, percent signs, and characters of two, three and four bytes. */
const HARD = 'say "hello world": 100% of %41, \\, é, 漢字, 😀';

const api = s.clientOf('globex.admin');
const [pure, hybrid] = ['cloudevents', 'hybrid'].map(s.unique);
await s.createWebhook({ after }, api, pure, { eventTypes: [TYPE], enableCloudEventDelivery: true });
await s.createWebhook({ after }, api, hybrid, { eventTypes: [TYPE] });

const create = (attributes, strict) => {
  const required = { id: s.unique('event'), source: '/tests/clients', type: TYPE, time: '2026-11-28T09:30:00.125Z' };
  return new CloudEvent({ ...required, ...attributes }, strict);
};

async function send({ headers, body }) {
  const answer = await fetch(`${s.stack.apiUrl}/api/v1/events`, {
    method: 'POST',
    headers: { ...headers, authorization: `Bearer ${s.stack.tokens['globex.admin']}` },
    body,
  });
  return { status: answer.status, answer: await answer.json() };
}

async function publish(message, count = 1) {
  const { status, answer } = await send(message);
  assert.deepEqual([status, answer.accepted], [202, count], JSON.stringify(answer));
}

/** Sends a message that must be rejected. Returns the fields and rules of the errors. */
async function refused(message) {
  const { status, answer } = await send(message);
  assert.equal(status, 400, JSON.stringify(answer));
  return answer.errors.map(({ field, rule }) => `${field} ${rule}`).join('; ');
}

/** Waits for the delivery of an event. Returns headers, raw body and parsed event. */
const arrived = (id, name = pure) =>
  s.eventually(`delivery of ${id}`, async () => {
    for (const { headers, bodyBase64 } of await s.received(name)) {
      const body = Buffer.from(bodyBase64, 'base64').toString('utf8');
      const event = JSON.parse(body);
      if (event.id === id) return { headers, body, event };
    }
    return false;
  });

const json = (value) => JSON.parse(JSON.stringify(value));

/** Returns an event as it is delivered: without attributes that are null (JSON format, 2.2), and with the two that Anzol adds. */
const asSent = (event) => {
  const set = Object.entries(json(event)).filter(([name, value]) => name === 'data' || value !== null);
  return { ...Object.fromEntries(set), tenantid: s.stack.tenants.globex, anzolhop: 1 };
};

/** Parses a delivery with the SDK. */
const read = ({ headers, body }) => {
  // Like Qlik, we send payloads as application/json. The SDK recognizes no event in them, so its receivers set the type.
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(HTTP.isEvent({ headers, body }), false);
  return HTTP.toEvent({ headers: { ...headers, 'content-type': STRUCTURED }, body });
};

/** Asserts that the delivery is exactly `expected`, as JSON and as parsed by the SDK. */
function assertEvent(delivery, expected) {
  assert.deepEqual(delivery.event, expected);
  if ('data' in expected) {
    const data = `"data":${JSON.stringify(expected.data)}`;
    assert.ok(delivery.body.includes(data), `${data}, byte-identical, in ${delivery.body}`);
  }
  const event = read(delivery);
  assert.equal(event.validate(), true);
  // The SDK drops data that is falsy in JavaScript: 0, false, null and the empty string.
  const { data, ...attributes } = expected;
  assert.deepEqual(json(event), data ? expected : attributes);
}

const EVENTS = {
  'data that is an object': { data: { a: [1, -2.5e-7, null, true], b: { c: HARD }, é: '\u2028\u0001' } },
  'data that is an array': { data: [1, 'two', [3], null] },
  'data that is a string': { data: HARD, datacontenttype: 'application/json' },
  'data that is an empty string': { data: '', datacontenttype: 'text/plain' },
  'data that is a number': { data: 12.5 },
  'data that is zero': { data: 0 },
  'data that is false': { data: false },
  'data that is null': { data: null },
  'no data': {},
  'plain text': { data: `${HARD}\r\n`, datacontenttype: 'text/plain; charset=utf-8' },
  XML: { data: '<?xml version="1.0"?>\n<a b="1">é &amp; 漢字</a>', datacontenttype: 'application/xml' },
  'binary data': { data: Uint8Array.from([0, 255, 195, 40, 10, 13]), datacontenttype: 'application/octet-stream' },
  // Bytes that are a different text in UTF-8.
  'text in another character set': {
    data: Uint8Array.from([0xc3, 0xa9]),
    datacontenttype: 'text/plain; charset=ISO-8859-1',
  },
  // The SDK's schema requires ASCII in dataschema and source.
  'hard text in attributes': {
    subject: HARD,
    myown: HARD,
    dataschema: 'https://schemas.example/%C3%A9?a=%20b',
    data: { a: HARD },
  },
  'extensions of each type': {
    text: 'x',
    whole: 2147483647,
    yes: true,
    no: false,
    zero: 0,
    day: '2026-11-28T10:30:00+01:00',
  },
  'attributes that are undefined': { subject: undefined, dataschema: undefined, datacontenttype: undefined },
};

describe('structured mode', { concurrency: 5 }, () => {
  for (const [name, attributes] of Object.entries(EVENTS)) {
    test(`${name} arrives as published`, async () => {
      const event = create(attributes);
      await publish(HTTP.structured(event));
      assertEvent(await arrived(event.id), asSent(event));
    });
  }

  test('k5a null attributes are not set', async () => {
    const event = create({
      subject: null,
      dataschema: null,
      datacontenttype: null,
      myown: null,
      tenantid: null,
      data: null,
    });
    const message = HTTP.structured(event);
    assert.match(message.body, /"subject":null.*"myown":null/, 'the SDK writes them');
    await publish(message);
    assertEvent(await arrived(event.id), asSent(event));
  });

  test('k5a null time becomes the time of arrival', async () => {
    // The SDK itself always sets a time.
    const event = { ...json(create({ data: 1 })), time: null };
    const before = Date.now();
    await publish({ headers: { 'content-type': STRUCTURED }, body: JSON.stringify(event) });
    const delivery = await arrived(event.id);
    const { time } = delivery.event;
    assert.ok(Math.abs(Date.parse(time) - before) < 10_000, time);
    // We set nanoseconds; the SDK supports milliseconds.
    assert.deepEqual(delivery.event, { ...asSent(event), time });
    assert.equal(read(delivery).validate(), true);
  });

  test('k5b structured event ignores ce- headers', async () => {
    const event = create({ subject: 'of the body', data: { of: 'the body' } });
    const other = create({ subject: 'of the headers', data: { of: 'the headers' } });
    await publish({
      headers: { ...HTTP.binary(other).headers, ...HTTP.structured(event).headers },
      body: HTTP.structured(event).body,
    });
    assertEvent(await arrived(event.id), asSent(event));
  });

  test('k5b content type matches in any case, with parameters', async () => {
    const [event, other] = [create({ data: 1 }), create({})];
    const headers = { ...HTTP.binary(other).headers, 'content-type': 'Application/CloudEvents+JSON ; charset="UTF-8"' };
    await publish({ headers, body: HTTP.structured(event).body });
    assertEvent(await arrived(event.id), asSent(event));
  });

  test('k5d duplicate data or invalid base64 is rejected by name', async () => {
    const structured = (members) => ({
      headers: HTTP.structured(create({})).headers,
      body: JSON.stringify({ ...json(create({})), ...members }),
    });
    assert.match(await refused(structured({ data: 1, data_base64: 'AA==' })), /data_base64/);
    for (const wrong of ['not base64!', 'AA=', 7, {}]) {
      assert.match(await refused(structured({ data_base64: wrong })), /data_base64/, JSON.stringify(wrong));
    }
  });

  test('k5d invalid attribute name is rejected by name', async () => {
    for (const name of ['myOwn', 'my-own', 'my_own', 'é']) {
      assert.throws(() => create({ [name]: 'x' }), /invalid extension name/);
      assert.match(await refused(HTTP.structured(create({ [name]: 'x' }, false))), new RegExp(name));
    }
  });
});

/**
 * Percent-encodes the headers of a binary message (HTTP binding, 3.1.3.2): all characters that are not printable ASCII, spaces, quotes and
 * percent signs. `HTTP.binary` leaves that to its caller.
 */
const encoded = ({ headers, body }) => ({
  headers: Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [
      name,
      name.startsWith('ce-') ? String(value).replace(/[^\x21-\x7e]|["%]/gu, encodeURIComponent) : value,
    ]),
  ),
  body,
});

describe('binary mode', { concurrency: 5 }, () => {
  for (const [name, attributes] of Object.entries(EVENTS)) {
    test(`${name} arrives as published`, async () => {
      const event = create(attributes);
      const message = HTTP.binary(event);
      // The SDK writes a string into the body without encoding it, even if the content type is JSON.
      if (attributes.datacontenttype === 'application/json') message.body = JSON.stringify(event.data);
      await publish(encoded(message));
      // Headers are untyped text. The SDK sets a content type if the event has none.
      const text = ([name, value]) => [
        name,
        ['boolean', 'number'].includes(typeof value) && name !== 'data' ? String(value) : value,
      ];
      const { datacontenttype = message.headers['content-type'], ...sent } = Object.fromEntries(
        Object.entries(json(event)).map(text),
      );
      // An empty body is no data.
      if (sent.data === '') delete sent.data;
      assertEvent(await arrived(event.id), asSent({ ...sent, datacontenttype }));
    });
  }

  test('k5c unencoded text is accepted unchanged', async () => {
    for (const subject of ['hello world', 'say "hello" to', 'it is 100%', 'a, b; c=d']) {
      const event = create({ subject });
      await publish(HTTP.binary(event));
      assert.equal((await arrived(event.id)).event.subject, subject);
    }
  });

  test('k5c quoted value is unquoted, then decoded', async () => {
    for (const [quoted, subject] of [
      ['"hello world"', 'hello world'],
      ['"say \\"hello\\", \\\\o/"', 'say "hello", \\o/'],
      ['"caf%C3%A9 100%25 %22"', 'café 100% "'],
      ['"%2522"', '%22'],
      ['%22hello%20world%22', '"hello world"'],
    ]) {
      const event = create({ subject: 'x', myown: 'x' });
      const { headers, body } = HTTP.binary(event);
      await publish({ headers: { ...headers, 'ce-subject': quoted, 'ce-myown': quoted }, body });
      const delivery = await arrived(event.id);
      assert.deepEqual([delivery.event.subject, delivery.event.myown], [subject, subject], quoted);
      assert.equal(read(delivery).subject, subject);
    }
  });

  test('k5c half-quoted value is rejected by name', async () => {
    for (const subject of ['"hello" world', '"hello', '"hello\\"', '"']) {
      assert.match(await refused(HTTP.binary(create({ subject }))), /^ce-subject quoted_string$/, subject);
    }
  });

  test('k5b JSON body with ce- headers is the data', async () => {
    // This data looks like an event.
    const data = json(create({ subject: 'inner' }));
    const event = create({ data, datacontenttype: 'application/json' });
    await publish(HTTP.binary(event));
    assertEvent(await arrived(event.id), asSent(event));
  });

  test('string sent as JSON by the SDK is rejected by name', async () => {
    assert.match(await refused(HTTP.binary(create({ data: 'just text' }))), /^body json$/);
  });

  test('binary data that could be text keeps its bytes', async () => {
    const data = Uint8Array.from(Buffer.from('\n\u0003é\0'));
    const event = create({ data, datacontenttype: 'application/protobuf' });
    await publish(HTTP.binary(event));
    const delivery = await arrived(event.id);
    assert.equal(delivery.event.data, undefined);
    assert.deepEqual(Buffer.from(delivery.event.data_base64, 'base64'), Buffer.from(data));
    assert.equal(read(delivery).validate(), true);
  });

  test('special characters in an event ID arrive as published', async () => {
    const event = create({ id: s.unique(HARD) });
    await publish(encoded(HTTP.binary(event)));
    const delivery = await arrived(event.id);
    assert.equal(delivery.event.id, event.id);
    assert.equal(read(delivery).id, event.id);
  });

  test('header that is not UTF-8 is rejected by name', async () => {
    for (const subject of ['caf%E9', '%FF', '%C3%28']) {
      const { headers, body } = HTTP.binary(create({ subject: 'x' }));
      assert.match(await refused({ headers: { ...headers, 'ce-subject': subject }, body }), /ce-subject/, subject);
    }
  });
});

describe('batch mode', { concurrency: 5 }, () => {
  // The SDK parses batches but does not write them. A batch is the array of its events.
  const batch = (events) => ({ headers: { 'content-type': BATCH }, body: JSON.stringify(events) });

  test('every event of a batch arrives as published', async () => {
    const events = Object.values(EVENTS).map((attributes) => create(attributes));
    const message = batch(events);
    assert.deepEqual(
      HTTP.toEvent(message).map(({ id }) => id),
      events.map(({ id }) => id),
    );
    await publish(message, events.length);
    for (const event of events) assertEvent(await arrived(event.id), asSent(event));
  });

  test('k5a null attributes in a batch are not set', async () => {
    const events = [
      create({ subject: null, myown: 'set' }),
      create({ subject: 'set', myown: null, tenantid: null }),
      create({ data: null }),
    ];
    await publish(batch(events), events.length);
    for (const event of events) assertEvent(await arrived(event.id), asSent(event));
  });

  test('k5a null in a required attribute is rejected by index', async () => {
    for (const name of ['specversion', 'id', 'source', 'type']) {
      const events = [json(create({})), { ...json(create({})), [name]: null }];
      assert.match(await refused(batch(events)), new RegExp(`\\[1\\]\\.${name}`));
    }
  });

  test('k5b batch ignores ce- headers', async () => {
    const events = [create({ data: 1 }), create({ data: 2 })];
    const { headers, body } = batch(events);
    await publish({ headers: { ...HTTP.binary(create({})).headers, ...headers }, body }, events.length);
    for (const event of events) assertEvent(await arrived(event.id), asSent(event));
  });

  test('empty batch is accepted', async () => {
    assert.deepEqual(HTTP.toEvent(batch([])), []);
    await publish(batch([]), 0);
  });

  test('k5d invalid attribute name is rejected by index', async () => {
    assert.match(await refused(batch([create({}), create({ myOwn: 1 }, false)])), /\[1\]\.myOwn/);
  });
});

test('h1 republished event counts its hops', async () => {
  let event = create({ data: { a: 1 }, datacontenttype: 'application/json' });
  const publishIn = [HTTP.structured, HTTP.binary, HTTP.structured, HTTP.binary];
  for (const [sent, mode] of publishIn.entries()) {
    await publish(mode(event));
    const delivery = await arrived(event.id);
    assert.equal(delivery.event.anzolhop, sent + 1);
    event = read(delivery).cloneWith({ id: s.unique('event') });
  }
  for (const mode of [HTTP.structured, HTTP.binary]) assert.match(await refused(mode(event)), /anzolhop max_hops/);
});

test('h1 delivery published unchanged is rejected', async () => {
  const event = create({});
  await publish(HTTP.structured(event));
  for (const name of [pure, hybrid]) {
    const { headers, body } = await arrived(event.id, name);
    const kept = Object.entries(headers).filter(([header]) => !['host', 'content-length'].includes(header));
    assert.match(await refused({ headers: Object.fromEntries(kept), body }), /webhook-id/);
  }
});

test('k6 gzip is decoded in every mode, others are rejected', async () => {
  const gzipped = ({ headers, body }) => ({
    headers: { ...headers, 'content-encoding': 'gzip' },
    body: gzipSync(body),
  });
  const data = Uint8Array.from([0, 255, 195, 40]);
  const [event, binary, one, two] = [
    create({ data: HARD }),
    create({ data, datacontenttype: 'image/x-own' }),
    create({}),
    create({}),
  ];
  await publish(gzipped(HTTP.structured(event)));
  await publish(gzipped(HTTP.binary(binary)));
  await publish(gzipped({ headers: { 'content-type': BATCH }, body: JSON.stringify([one, two]) }), 2);
  for (const published of [event, binary, one, two]) assertEvent(await arrived(published.id), asSent(published));
  const { headers, body } = HTTP.structured(create({}));
  const { status, answer } = await send({
    headers: { ...headers, 'content-encoding': 'br' },
    body: brotliCompressSync(body),
  });
  assert.equal(status, 415);
  assert.deepEqual(
    [answer.errors[0].rule, answer.errors[0].params.values],
    ['unsupported_encoding', ['gzip', 'identity']],
  );
});

test('hybrid payload parses in the SDK but is not valid', async () => {
  const event = create({ subject: HARD, myown: 'kept', data: { a: 1 } });
  await publish(HTTP.structured(event));
  const delivery = await arrived(event.id, hybrid);
  const found = read(delivery);
  const expected = asSent(event);
  const said = json(found);
  for (const name in expected) assert.deepEqual(said[name], expected[name], name);
  // CloudEvents does not allow the capital letters of legacy names. Receivers that validate use enableCloudEventDelivery.
  assert.throws(() => found.validate(), /invalid attribute name: "cloudEventsVersion"/);
});
