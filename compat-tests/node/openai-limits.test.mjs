// Keys with limits and budgets, with OpenAI's SDK for Node.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import OpenAI from 'openai';

import { baseURL, say } from './support.mjs';

const adminKey = process.env.ADMIN_KEY;
const skip = adminKey ? false : 'without ADMIN_KEY no keys can be made';
const ids = [];

async function admin(method, path, body) {
    const headers = { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' };
    const url = baseURL.replace(/\/v1$/, '') + path;
    return (await fetch(url, { method, headers, body: body && JSON.stringify(body) })).json();
}

/** Creates a client with a new key and a counter of its requests. */
async function client(terms) {
    const made = await admin('POST', '/admin/keys', { name: 'compat-tests', ...terms });
    ids.push(made.id);
    const sent = { count: 0 };
    const counting = (...request) => {
        sent.count += 1;
        return fetch(...request);
    };
    return [new OpenAI({ baseURL, apiKey: made.key, fetch: counting }), sent];
}

const ask = (openai, more = {}) =>
    openai.chat.completions.create({ model: 'haiku', messages: [{ role: 'user', content: say('Hello') }], ...more });

after(() => Promise.all(ids.map((id) => admin('DELETE', `/admin/keys/${id}`))));

test('rate limited request is retried until it passes', { skip }, async () => {
    const [openai, sent] = await client({ requests_per_minute: 120 });
    let asked = 0;
    while (sent.count === asked && asked < 400) {
        const answer = await ask(openai, { temperature: 0 });
        assert.equal(answer.choices[0].message.content, 'Hello');
        asked += 1;
    }
    assert.equal(sent.count, asked + 1);
});

test('request over budget is not retried', { skip }, async () => {
    const [openai, sent] = await client({ budget: { monthly: { money: '0.000000001' } } });
    await assert.rejects(ask(openai), (error) => {
        assert.ok(error instanceof OpenAI.RateLimitError);
        assert.equal(error.code, 'insufficient_quota');
        return true;
    });
    assert.equal(sent.count, 1);
});
