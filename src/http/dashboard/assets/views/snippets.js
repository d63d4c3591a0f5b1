// A chat request as curl and as Python.

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const indented = (text, by) => text.replaceAll("\n", `\n${by}`);

/** Returns a value as Python writes it. */
function python(value, by = "") {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return value.length ? `[\n${value.map((item) => `${by}    ${python(item, `${by}    `)},\n`).join("")}${by}]` : "[]";
  if (typeof value === "object") return `{\n${Object.entries(value).map(([name, item]) => `${by}    ${JSON.stringify(name)}: ${python(item, `${by}    `)},\n`).join("")}${by}}`;
  return JSON.stringify(value);
}

function curl(origin, body) {
  const flags = body.stream ? "-N " : "";
  return [`curl ${flags}${origin}/v1/chat/completions`, '-H "Authorization: Bearer $SWITCHBOARD_API_KEY"', '-H "Content-Type: application/json"', `-d ${quoted(JSON.stringify(body, null, 2))}`].join(" \\\n  ");
}

function openai(origin, { stream, ...body }) {
  const fields = Object.entries(stream ? { ...body, stream } : body).map(([name, value]) => `    ${name}=${indented(python(value), "    ")},`);
  const reading = stream
    ? ["for chunk in answer:", "    if chunk.choices and chunk.choices[0].delta.content:", '        print(chunk.choices[0].delta.content, end="", flush=True)']
    : ["print(answer.choices[0].message.content)"];
  return ["import os", "from openai import OpenAI", "", `client = OpenAI(base_url="${origin}/v1", api_key=os.environ["SWITCHBOARD_API_KEY"])`,
    "answer = client.chat.completions.create(", ...fields, ")", ...reading].join("\n");
}

/** Returns the request as texts by language; `origin` is where callers find the server. */
export const snippetsOf = (origin, body) => ({ curl: curl(origin, body), Python: openai(origin, body) });
