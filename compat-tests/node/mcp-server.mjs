// An MCP server with one tool, which returns the weather.

import { createInterface } from "node:readline";

const look = {
  name: "look",
  description: "Looks out of the window.",
  inputSchema: { type: "object", properties: {} },
};
const answers = {
  initialize: ({ protocolVersion }) =>
    ({ protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "weather", version: "1" } }),
  "tools/list": () => ({ tools: [look] }),
  "tools/call": () => ({ content: [{ type: "text", text: "It is sunny." }] }),
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  console.log(JSON.stringify({ jsonrpc: "2.0", id, result: answers[method]?.(params) ?? {} }));
});
