// The texts: both languages have the same keys, every text is used, every used key exists, and every code of the API is translated.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import * as en from '../../functions/console/assets/en.js';
import * as ptBR from '../../functions/console/assets/pt-BR.js';
import { call } from './kit.js';

const assets = new URL('../../functions/console/assets/', import.meta.url);
const read = (path) => readFileSync(new URL(path, assets), 'utf8');
const modules = readdirSync(assets).filter((file) => file.endsWith('.js') && !['en.js', 'pt-BR.js'].includes(file));
const code = modules.map(read).join('\n');

const { schemas } = JSON.parse(read('../../../infra/openapi.json')).components;
/** The values of an enumeration of the API. */
const values = (name) => schemas[name].enum ?? schemas[name].oneOf.map((each) => each.const ?? each.enum[0]);

/** The rules that errors of the API name. */
const RULES = schemas.ErrorItem.properties.rule?.enum ?? [];
/** Rules that the console has no text for. */
const WITHOUT_TEXT = [
  // Requests of the console are valid JSON in UTF-8.
  'duplicate_member json_escape max_depth max_members byte_order_mark gzip_incomplete gzip method_not_allowed unsupported_media_type unsupported_charset unsupported_encoding',
  // The status has a text.
  'token_required token_without_subject token_subject_invalid conflict recovery_running internal unavailable',
  // Publishing of events.
  'events_required max_events event_max_bytes event_array spec_version_required attribute_required attribute_name attribute_header attribute_not_header attribute_value integer not_empty media_type uri base64 charset_utf8 must_equal hop_count max_hops quoted_string percent_encoding visible_ascii tenant_required test_attribute_reserved event_type_reserved source_reserved event_delivered delivery_header not_queued publish_role_required other_tenant unsupported_event_media_type',
  // Settings of a deployment, and access tokens for client credentials.
  'domain_names setting_header_name setting_role_name setting_retry_schedule scope_unknown client_not_allowed refused_by_issuer basic_credentials unknown_client outside_issuer',
].flatMap((line) => line.split(' '));

/** Reasons for no deliveries. */
const reasons = Object.values(schemas).find((schema) => schema.enum?.includes('no_event_types')).enum;

/** Prefixes of the keys that the code completes at run time, each with all possible endings. */
const FAMILIES = {
  'category.': ['Analytics applications', 'Users', 'API keys', 'Automations', 'Data integration', 'Webhooks'],
  'column.': [
    'name',
    'url',
    'types',
    'level',
    'owner',
    'status',
    'last',
    'rate',
    'created',
    'updated',
    'secret',
    'headers',
    'filter',
    'format',
    'id',
  ],
  'delivery.': values('Status'),
  'delivery.bodyError.': values('BodyError'),
  'delivery.column.': ['time', 'type', 'outcome', 'attempt', 'trigger', 'duration'],
  'failure.': values('FailureKind').flatMap((kind) => [kind, `${kind}.text`]),
  'filter.expected.': ['attribute', 'operator', 'value', 'joint'],
  'history.': ['all', ...values('Status')],
  'level.': values('Level'),
  'noDeliveries.': ['stopped', 'no_events_yet', ...reasons].flatMap((each) => [each, `${each}.text`]),
  'reason.': ['GONE', 'FAILURE_THRESHOLD'],
  'recover.': ['hour', 'day', 'week', 'time'],
  'rule.': RULES,
  'status.': ['stopped', 'warning', 'failing', 'disabled', 'enabled'],
  'theme.': ['auto', 'light', 'dark'],
  'trigger.': values('Trigger'),
  'verify.step.': ['raw', 'content', 'hmac', 'compare', 'time', 'twice', 'answer'],
};

/** Keys that English leaves to the sentences of the API. */
const LEFT_TO_API = /^(rule\.|reason\.|failure\.\w+\.text$)/;

const plain = (key) => key.replace(/\.(one|other)$/, '');
const keysOf = ({ texts }) => [...new Set(Object.keys(texts).map(plain))].sort();
const placeholders = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);

test('both languages have the same keys and placeholders', () => {
  const keys = keysOf(en);
  assert.deepEqual(
    keysOf(ptBR).filter((key) => keys.includes(key) || !LEFT_TO_API.test(key)),
    keys,
  );
  for (const key of keys) {
    const used = ({ texts }) =>
      [...new Set([key, `${key}.one`, `${key}.other`].flatMap((form) => placeholders(texts[form] ?? '')))].sort();
    assert.deepEqual(used(ptBR), used(en), key);
  }
});

test('every key that the code names exists', () => {
  const keys = keysOf(en);
  for (const [, key] of code.matchAll(/\bt\(\s*"([^"]+)"/g)) assert.ok(keys.includes(key), key);
  const beginnings = new Set(
    [...code.matchAll(/`([\w.]+\.)\$\{/g)]
      .map(([, beginning]) => beginning)
      .filter((beginning) => keys.some((key) => key.startsWith(beginning))),
  );
  for (const beginning of beginnings) assert.ok(beginning in FAMILIES, `which keys begin with ${beginning}?`);
});

test('every text is used by the code', () => {
  const literals = new Set([...code.matchAll(/"([\w.-]+)"/g)].map(([, text]) => text));
  const families = Object.entries(FAMILIES).filter(([beginning]) => code.includes(`\`${beginning}\${`));
  const completed = new Set(families.flatMap(([beginning, ends]) => ends.map((end) => beginning + end)));
  for (const key of new Set([...keysOf(en), ...keysOf(ptBR)]))
    assert.ok(literals.has(key) || completed.has(key), `${key} is not used`);
});

test('every code of the API that the console shows has a text', () => {
  const shown = ['delivery.', 'delivery.bodyError.', 'level.', 'reason.', 'trigger.'].flatMap((beginning) =>
    FAMILIES[beginning].map((end) => beginning + end),
  );
  const failures = values('FailureKind').map((kind) => `failure.${kind}`);
  const rules = RULES.filter((rule) => !WITHOUT_TEXT.includes(rule)).map((rule) => `rule.${rule}`);
  const keys = keysOf(ptBR);
  for (const key of [...shown, ...failures, ...rules]) assert.ok(keys.includes(key), key);
  assert.ok(RULES.length > 0, 'the API documents its rules');
});

test('every event type has a title in Portuguese, and no other has', async () => {
  const { body } = await call('acme.admin', 'GET', '/api/core/webhooks/event-types');
  assert.deepEqual(Object.keys(ptBR.types).sort(), body.data.map(({ name }) => name).sort());
  for (const { category } of body.data) assert.ok(`category.${category}` in ptBR.texts, category);
});
