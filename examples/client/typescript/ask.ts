// An answer, a stream, a session and the usage, with types made from the OpenAPI document of the server.
import createClient, { type Middleware } from "openapi-fetch";

import type { components, paths } from "./openapi.js";

type Chunk = components["schemas"]["ChatCompletionChunk"];

// No answer has more tokens, so that all of this costs less than a tenth of a cent with haiku.
const MAX_TOKENS = 100;

const client = createClient<paths>({ baseUrl: process.env.SWITCHBOARD_BASE_URL ?? "http://127.0.0.1:8080" });
const authorization: Middleware = {
  onRequest({ request }) {
    request.headers.set("authorization", `Bearer ${process.env.SWITCHBOARD_API_KEY ?? "unused"}`);
    return request;
  },
};
client.use(authorization);

/** Returns the JSON of an answer, or fails with what the server says. Streams and tables would be a string. */
function expect<T>({ data, error }: { data?: T; error?: unknown }): Exclude<T, string> {
  if (data === undefined || typeof data === "string") throw new Error(JSON.stringify(error ?? data));
  return data as Exclude<T, string>;
}

/** Yields the data of server-sent events. */
async function* events(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of body) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) if (line.startsWith("data: ")) yield line.slice("data: ".length).trim();
  }
}

const answer = expect(
  await client.POST("/v1/chat/completions", {
    body: { model: "haiku", max_tokens: MAX_TOKENS, messages: [{ role: "user", content: "Name a river." }] },
  }),
);
console.log(answer.choices[0]?.message.content, answer.usage);

const { response } = await client.POST("/v1/chat/completions", {
  body: { model: "haiku", max_tokens: MAX_TOKENS, stream: true, messages: [{ role: "user", content: "Name three rivers." }] },
  parseAs: "stream",
});
if (!response.ok || !response.body) throw new Error(`the stream was refused: ${response.status}`);
for await (const data of events(response.body)) {
  if (data === "[DONE]") break;
  const chunk = JSON.parse(data) as Chunk;
  process.stdout.write(chunk.choices[0]?.delta.content ?? "");
}
console.log();

const session = expect(await client.POST("/v1/sessions", { body: { model: "haiku" } }));
const path = { id: session.id };
expect(await client.POST("/v1/sessions/{id}/messages", { params: { path }, body: { content: "Name a lake.", max_tokens: MAX_TOKENS } }));
const messages = expect(await client.GET("/v1/sessions/{id}/messages", { params: { path, query: { order: "asc" } } }));
console.log(messages.data.map(({ role }) => role));
expect(await client.DELETE("/v1/sessions/{id}", { params: { path } }));

const usage = expect(await client.GET("/v1/usage", { params: { query: { period: "month" } } }));
console.log(usage.total_tokens, usage.total_cost);
