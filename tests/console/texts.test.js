// The two languages say the same things, everything that is shown has a text, and the event types are all translated.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';

import * as en from '../../functions/console/assets/en.js';
import * as ptBR from '../../functions/console/assets/pt-BR.js';
import { call } from './stage.js';

const assets = new URL('../../functions/console/assets/', import.meta.url);
const names = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();

test('both languages have the same texts, with the same parts', () => {
  assert.deepEqual(Object.keys(ptBR.texts).sort(), Object.keys(en.texts).sort());
  for (const [key, text] of Object.entries(en.texts)) assert.deepEqual(names(ptBR.texts[key]), names(text), key);
});

test('every text that is asked for is there, and every text is asked for', () => {
  const code = readdirSync(assets).filter((file) => file.endsWith('.js') && !['en.js', 'pt-BR.js'].includes(file)).map((file) => readFileSync(new URL(file, assets), 'utf8')).join('\n');
  const known = (key) => key in en.texts || `${key}.other` in en.texts;
  for (const [, key] of code.matchAll(/\bt\(\s*"([^"]+)"/g)) assert.ok(known(key), key);
  // Keys that are made up at run time have a beginning that is written down.
  const written = [...code.matchAll(/["`]([\w.-]+)(?=["`$])/g)].map(([, part]) => part);
  for (const key of Object.keys(en.texts)) {
    const plain = key.replace(/\.(one|other)$/, '');
    assert.ok(written.some((part) => part === plain || (part.endsWith('.') && plain.startsWith(part))), `nobody asks for ${key}`);
  }
});

test('every event type has a title in Portuguese, and no other has', async () => {
  const { body } = await call('acme.admin', 'GET', '/api/core/webhooks/event-types');
  assert.deepEqual(Object.keys(ptBR.types).sort(), body.data.map(({ name }) => name).sort());
  for (const { category } of body.data) assert.ok(`category.${category}` in ptBR.texts, category);
});
