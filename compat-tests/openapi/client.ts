// Compiles if the types that openapi-typescript makes of the document fit what a client writes.
import type { components, operations, paths } from "./openapi";

type ChatRequest = components["schemas"]["CreateChatCompletionRequest"];
type Ok<Id extends keyof operations> = operations[Id]["responses"] extends { 200: { content: { "application/json": infer Body } } }
  ? Body
  : never;

export const request: ChatRequest = {
  model: "haiku",
  messages: [
    { role: "system", content: "Answer in one word." },
    { role: "user", content: [{ type: "text", text: "Hi" }] },
  ],
  temperature: null,
  response_format: { type: "json_schema", json_schema: { name: "answer", schema: { type: "object" } } },
};

// @ts-expect-error a message has a role
export const withoutRole: ChatRequest = { model: "haiku", messages: [{ content: "Hi" }] };

// @ts-expect-error logprobs are refused
export const refused: ChatRequest = { model: "haiku", messages: [], logprobs: true };

export function text(answer: Ok<"createChatCompletion">): string | null | undefined {
  return answer.choices[0]?.message.content;
}

export type Page = paths["/v1/batches"]["get"]["parameters"]["query"];
export const page: Page = { limit: 10, order: "asc" };

// @ts-expect-error there is no such order
export const wrongPage: Page = { order: "random" };
