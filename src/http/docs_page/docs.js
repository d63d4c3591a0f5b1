// Page of the API's description: operations, fields, examples, and requests to try. Everything shown comes from
// /openapi.json, and becomes text, never markup. The key stays in the memory of the page.

const METHODS = ["get", "post", "put", "patch", "delete"];
/** Handlings of fields in the order in which they are shown; others follow. */
const HANDLINGS = ["honoured", "emulated", "ignored", "refused"];
/** Number of events of a stream that are shown; earlier ones are dropped. */
const MAX_EVENTS = 500;
/** Values of an example for fields whose schema has none. */
const SAMPLES = {
  model: "sonnet",
  messages: [{ role: "user", content: "Say hello." }],
  input: "Say hello.",
  prompt: "Say hello.",
  max_tokens: 1024,
  name: "example",
  context_size: 1000,
  task_description: "Translate a letter.",
};

const $ = (id) => document.getElementById(id);

/** Returns an element: `on…` are listeners, `text` is its text, all others are attributes. */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "text") made.textContent = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null));
  return made;
}

/** Returns a text as paragraphs; what stands in backticks is code. */
function prose(text = "") {
  return text.split(/\n\s*\n/).filter(Boolean).map((paragraph) => {
    const pieces = paragraph.split(/`([^`]+)`/);
    return element("p", {}, ...pieces.map((piece, index) => (index % 2 ? element("code", { text: piece }) : piece)));
  });
}

// The document

/** OpenAPI document of the server. */
let api;

/** Returns a schema with its reference replaced by what it refers to. */
function resolve(schema = {}) {
  if (!schema?.$ref) return schema === true || !schema ? {} : schema;
  const { $ref, ...own } = schema;
  const target = $ref.slice(2).split("/").reduce((found, key) => found?.[key.replaceAll("~1", "/").replaceAll("~0", "~")], api);
  return { ...resolve(target), ...own };
}

const nameOf = ({ $ref }) => $ref?.split("/").at(-1);

const isNull = (schema) => schema.type === "null";

/** Returns the alternatives of a schema without `null`. */
const variants = (schema) => (schema.oneOf ?? schema.anyOf ?? []).filter((variant) => !isNull(variant));

/** Returns the type of a schema in words. */
function typeOf(schema = {}) {
  const whole = resolve(schema);
  if ("const" in whole) return JSON.stringify(whole.const);
  if (whole.enum) return whole.enum.map((value) => JSON.stringify(value)).join(" | ");
  const union = whole.oneOf ?? whole.anyOf;
  if (union) {
    const words = [...new Set(union.map(typeOf))];
    return nameOf(schema) ?? (words.length > 4 ? `one of ${words.length} kinds` : words.join(" | "));
  }
  if (nameOf(schema)) return nameOf(schema);
  const types = [whole.type ?? "any"].flat();
  return types.map((type) => (type === "array" ? `array of ${typeOf(whole.items)}` : type)).join(" | ");
}

/** Returns the schema whose fields a reader wants to see: that of the items of an array. */
function inner(schema) {
  const whole = resolve(schema);
  return whole.items && !whole.properties ? inner(whole.items) : whole;
}

/** Returns true if a schema has fields to show. */
function hasFields(schema) {
  const whole = inner(schema);
  return Boolean(whole.properties) || variants(whole).some((variant) => hasFields(variant));
}

/** Returns an example of a schema: what it says itself, or its required fields. */
function sampleOf(schema, name = "", depth = 0) {
  const whole = resolve(schema);
  const given = whole.example ?? whole.examples?.[0] ?? SAMPLES[name] ?? whole.default ?? whole.const ?? whole.enum?.[0];
  if (given !== undefined) return given;
  const [variant] = variants(whole);
  if (variant) return sampleOf(variant, name, depth + 1);
  const type = [whole.type].flat()[0];
  if (type === "integer" || type === "number") return whole.minimum ?? 1;
  if (type === "boolean") return false;
  if (type === "array") return depth > 4 || !whole.items ? [] : [sampleOf(whole.items, "", depth + 1)];
  if (type === "object" || whole.properties) {
    const fields = depth > 4 ? [] : (whole.required ?? []);
    return Object.fromEntries(fields.map((field) => [field, sampleOf(whole.properties?.[field], field, depth + 1)]));
  }
  return "text";
}

/** Returns the operations of the document in the order of its tags, each with what the page needs. */
function operationsOf(document) {
  const order = (document.tags ?? []).map(({ name }) => name);
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => {
      const told = item[method];
      const content = resolve(told.requestBody).content ?? {};
      const [mediaType] = Object.keys(content);
      const responses = Object.entries(told.responses ?? {}).map(([status, response]) => [status, resolve(response)]);
      const succeeds = responses.filter(([status]) => !/^[45d]/.test(status) || (status === "503" && path === "/ready"));
      return {
        id: told.operationId ?? `${method} ${path}`,
        tag: told.tags?.[0] ?? path.split("/").filter((part) => part && part !== "v1")[0] ?? "server",
        title: told.summary ?? told.operationId ?? path,
        method,
        path,
        told,
        parameters: [...(item.parameters ?? []), ...(told.parameters ?? [])].map(resolve),
        mediaType,
        body: content[mediaType]?.schema,
        sample: content[mediaType]?.example ?? Object.values(content[mediaType]?.examples ?? {})[0]?.value,
        responses: succeeds,
        errors: responses.filter((response) => !succeeds.includes(response)),
        streams: succeeds.some(([, { content }]) => content?.["text/event-stream"]),
        isSocket: succeeds.length > 0 && succeeds.every(([status]) => status === "101"),
        isPublic: (told.security ?? document.security ?? []).every((one) => Object.keys(one).length === 0),
      };
    }),
  );
  return operations.sort((one, other) => order.indexOf(one.tag) - order.indexOf(other.tag));
}

// Search and navigation

const fieldsOf = (operation) => Object.keys(inner(operation.body ?? {}).properties ?? {});

/** Returns the operations that match all words of the query, and the fields that match one. */
function search(operations, query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return operations.flatMap((operation) => {
    const names = [...fieldsOf(operation), ...operation.parameters.map(({ name }) => name)];
    const { id, tag, title, method, path, told } = operation;
    const text = [id, tag, title, method, path, told.description, ...names].join(" ").toLowerCase();
    if (!words.every((word) => text.includes(word))) return [];
    return [{ operation, fields: names.filter((name) => words.some((word) => name.includes(word))) }];
  });
}

const hashOf = ({ id }) => `#/${encodeURIComponent(id)}`;

function showOperations(operations, current) {
  const found = search(operations, $("search").value);
  const tags = [...new Set(found.map(({ operation }) => operation.tag))];
  const parts = tags.flatMap((tag) => [
    element("h2", { text: tag }),
    element("ul", {}, ...found.filter(({ operation }) => operation.tag === tag).map(({ operation, fields }) =>
      element("li", {}, element("a", { href: hashOf(operation), "aria-current": operation === current && "page" },
        element("span", { class: "method", "data-method": operation.method, text: operation.method === "delete" ? "del" : operation.method }),
        element("span", {}, operation.title, element("small", { text: [operation.path, ...fields.slice(0, 3)].join(" · ") })))))),
  ]);
  $("operations").replaceChildren(...(parts.length ? parts : [element("p", { role: "status", text: "Nothing matches." })]));
  $("operations").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
}

function openMenu(isOpen) {
  $("operations").toggleAttribute("data-open", isOpen);
  $("menu").setAttribute("aria-expanded", String(isOpen));
}

// Fields, responses and errors

const badge = (word) => element("span", { class: "badge", "data-word": word, text: word });

/** Returns a `details` whose content is made when it is opened first, since schemas may refer to themselves. */
function lazily(title, make) {
  return element("details", {
    ontoggle: ({ currentTarget }) => currentTarget.children.length === 1 && currentTarget.append(...[make()].flat()),
  }, element("summary", { text: title }));
}

/** Returns a field with its type, handling and description, and the fields below it. */
function fieldItem(name, schema, isRequired, place = "") {
  const whole = resolve(schema);
  const handling = whole["x-switchboard-handling"];
  return element("li", { "data-handling": handling },
    element("div", { class: "field" },
      element("code", { text: name }),
      element("span", { class: "type", text: typeOf(schema) + place }),
      isRequired ? badge("required") : null,
      handling ? badge(handling) : null,
      whole["x-switchboard-support"] ? badge(whole["x-switchboard-support"]) : null),
    ...prose(whole.description),
    hasFields(schema) ? lazily(`Fields of ${name}`, () => fieldList(schema)) : null);
}

/** Returns the fields of a schema, or its alternatives with theirs. */
function fieldList(schema) {
  const whole = inner(schema);
  const alternatives = variants(whole).filter((variant) => hasFields(variant));
  if (!whole.properties && alternatives.length === 1) return fieldList(alternatives[0]);
  const required = (name) => whole.required?.includes(name) ?? false;
  const items = Object.entries(whole.properties ?? {})
    .sort(([one], [other]) => required(other) - required(one))
    .map(([name, field]) => fieldItem(name, field, required(name)));
  const kinds = whole.properties ? [] : alternatives.map((variant) => {
    const { title, description } = resolve(variant);
    return element("li", {}, element("div", { class: "field" }, element("code", { text: title ?? nameOf(variant) ?? "object" })),
      ...prose(description), lazily("Fields", () => fieldList(variant)));
  });
  return element("ul", { class: "fields" }, ...items, ...kinds);
}

/** Returns the fields of a request, with buttons that show those of one handling alone. */
function requestFields(schema) {
  const list = fieldList(schema);
  const items = [...list.children];
  const count = (word) => items.filter((item) => item.dataset.handling === word).length;
  const press = (pressed) => {
    for (const button of chips.children) button.setAttribute("aria-pressed", String(button.dataset.word === pressed));
    for (const item of items) item.hidden = pressed !== "all" && item.dataset.handling !== pressed;
  };
  const chip = (word, number) =>
    element("button", { type: "button", "data-word": word, "aria-pressed": String(word === "all"), text: `${word} ${number}`, onclick: () => press(word) });
  const told = new Set(items.map((item) => item.dataset.handling).filter(Boolean));
  const words = [...HANDLINGS.filter((word) => told.delete(word)), ...told];
  const chips = element("div", { class: "chips", role: "group", "aria-label": "Show fields by handling" },
    chip("all", items.length), ...words.map((word) => chip(word, count(word))));
  return words.length > 1 ? [chips, list] : [list];
}

function responseParts([status, { description, content = {} }]) {
  const bodies = Object.entries(content).map(([mediaType, told]) => {
    const isStream = mediaType === "text/event-stream";
    const schema = told.itemSchema ?? told["x-event-schema"] ?? told.schema?.["x-event-schema"] ?? told.schema;
    const title = isStream ? `${mediaType}, data of each event` : mediaType;
    return schema && hasFields(schema)
      ? lazily(`${title}: ${typeOf(schema)}`, () => fieldList(schema))
      : element("p", { class: "quiet", text: title });
  });
  return [element("h3", { text: status }), ...prose(description), ...bodies];
}

/** List of error codes at the end of a description. */
const CODES = /(?:`[a-z0-9_]+`(?:, )?)+\.?$/;

function errorTable(errors) {
  const row = ([status, { description = "" }]) => {
    const codes = description.match(CODES)?.[0].match(/[a-z0-9_]+/g) ?? [];
    return element("tr", {}, element("td", { text: status }), element("td", {}, ...prose(description.replace(CODES, ""))),
      element("td", {}, ...codes.map((code) => element("code", { text: code }))));
  };
  const head = ["Status", "Meaning", "Codes"].map((text) => element("th", { scope: "col", text }));
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...errors.map(row)));
}

// Examples

const needsVersion = ({ path }) => path.startsWith("/v1/messages");

function bodySample(operation) {
  if (!operation.body || operation.mediaType !== "application/json") return undefined;
  return operation.sample ?? sampleOf(operation.body);
}

/** Returns the examples of a request by language. */
function examplesOf(operation) {
  const { method, path, mediaType, isPublic } = operation;
  const url = location.origin + path.replace(/\{\*?(\w+)\}/g, (_, name) => name.toUpperCase());
  const sample = bodySample(operation);
  const body = sample === undefined ? "" : JSON.stringify(sample, null, 2);
  const isForm = mediaType === "multipart/form-data";
  const verb = method.toUpperCase();
  const headers = [
    !isPublic && ["Authorization", "Bearer $SWITCHBOARD_API_KEY"],
    needsVersion(operation) && ["anthropic-version", "2023-06-01"],
    body && ["Content-Type", "application/json"],
  ].filter(Boolean);
  const python = (json) => json.replace(/\b(true|false|null)\b(?=[,\n\]}]|$)/g, (word) => ({ true: "True", false: "False", null: "None" })[word]);
  const indent = (text, by) => text.replaceAll("\n", `\n${by}`);
  const own = (line) => headers.map(([name, value]) => line(name, value.replace("$SWITCHBOARD_API_KEY", "")));
  return {
    curl: [
      `curl ${verb === "GET" ? "" : `-X ${verb} `}${url}`,
      ...headers.map(([name, value]) => `-H "${name}: ${value}"`),
      ...(isForm ? ['-F purpose=user_data', '-F file=@notes.txt'] : []),
      ...(body ? [`-d '${body.replaceAll("'", "'\\''")}'`] : []),
    ].join(" \\\n  "),
    Python: [
      "import os, requests", "",
      `answer = requests.${method}(`,
      `    "${url}",`,
      "    headers={",
      ...own((name, value) => `        "${name}": ${name === "Authorization" ? 'f"Bearer {os.environ[\'SWITCHBOARD_API_KEY\']}"' : `"${value}"`},`),
      "    },",
      ...(isForm ? ['    data={"purpose": "user_data"},', '    files={"file": open("notes.txt", "rb")},'] : []),
      ...(body ? [`    json=${indent(python(body), "    ")},`] : []),
      ")", "answer.raise_for_status()", "print(answer.text)",
    ].join("\n"),
    JavaScript: [
      `const answer = await fetch("${url}", {`,
      `  method: "${verb}",`,
      "  headers: {",
      ...own((name, value) => `    "${name}": ${name === "Authorization" ? "`Bearer ${process.env.SWITCHBOARD_API_KEY}`" : `"${value}"`},`),
      "  },",
      ...(isForm ? ["  body: form, // a FormData with `purpose` and `file`"] : []),
      ...(body ? [`  body: JSON.stringify(${indent(body, "  ")}),`] : []),
      "});", "console.log(answer.status, await answer.text());",
    ].join("\n"),
  };
}

/** Returns the examples as tabs, moved through by the arrow keys. */
function exampleTabs(operation) {
  const code = element("code");
  const examples = Object.entries(examplesOf(operation));
  const tabs = examples.map(([language, text], index) => {
    const select = (focus) => {
      for (const tab of tabs) {
        tab.setAttribute("aria-selected", String(tab === tabs[index]));
        tab.tabIndex = tab === tabs[index] ? 0 : -1;
      }
      code.textContent = text;
      panel.setAttribute("aria-labelledby", tabs[index].id);
      if (focus) tabs[index].focus();
    };
    const move = ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (step) tabs.at((index + step) % tabs.length).dispatchEvent(new CustomEvent("pick"));
    };
    return element("button", { type: "button", role: "tab", id: `tab-${language}`, "aria-controls": "example", text: language,
      onclick: () => select(false), onpick: () => select(true), onkeydown: move });
  });
  const copy = element("button", { type: "button", text: "Copy", onclick: async () => {
    await navigator.clipboard.writeText(code.textContent);
    copy.textContent = "Copied";
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  } });
  const panel = element("div", { class: "sample", role: "tabpanel", id: "example" }, element("pre", { tabindex: 0, "aria-label": "Example" }, code), copy);
  tabs[0].click();
  return [element("div", { role: "tablist", "aria-label": "Language" }, ...tabs), panel];
}

// Requests

/** Yields the events of a stream: name and data of each, as they come. */
async function* eventsOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = ""; ;) {
    const { done, value } = await reader.read();
    if (done) return;
    const frames = (rest + value).split(/\r?\n\r?\n/);
    rest = frames.pop();
    for (const frame of frames) {
      const lines = frame.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      if (lines.length) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
    }
  }
}

/** Returns the text that an event adds to the answer, in any of the server's APIs. */
function textOf(data) {
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    return "";
  }
  const [choice] = event.choices ?? [];
  const piece = choice?.delta?.content ?? choice?.text ?? event.delta?.text ?? (event.type === "message" ? event.text : undefined);
  return piece ?? (event.type === "response.output_text.delta" ? event.delta : "") ?? "";
}

const pretty = (text) => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
};

/** Returns what is sent: URL and options of `fetch`, from the fields of the form. */
function requestOf({ method, path, parameters, mediaType }, form) {
  const value = (name) => form.elements.namedItem(name)?.value.trim() ?? "";
  const url = new URL(path.replace(/\{\*?(\w+)\}/g, (_, name) => encodeURIComponent(value(`path:${name}`))), location.origin);
  for (const { name, in: place } of parameters) {
    if (place === "query" && value(`query:${name}`)) url.searchParams.append(name, value(`query:${name}`));
  }
  const headers = new Headers();
  const key = $("key").value.trim();
  if (key) headers.set("authorization", `Bearer ${key}`);
  if (needsVersion({ path })) headers.set("anthropic-version", "2023-06-01");
  let body;
  if (mediaType === "multipart/form-data") {
    body = new FormData();
    for (const input of form.querySelectorAll("[data-part]")) {
      if (input.files?.[0]) body.append(input.dataset.part, input.files[0]);
      else if (!input.files && input.value) body.append(input.dataset.part, input.value);
    }
  } else if (mediaType && value("body")) {
    headers.set("content-type", "application/json");
    body = value("body");
  }
  return [url, { method: method.toUpperCase(), headers, body }];
}

/** Sends the request of the form and shows the answer as it comes. */
async function send(operation, form, output, signal) {
  const begun = performance.now();
  const since = () => `${((performance.now() - begun) / 1000).toFixed(2)} s`;
  const status = element("p", { role: "status", text: "Sending …" });
  output.replaceChildren(status);
  output.dataset.state = "running";
  const end = (state, text) => {
    output.dataset.state = state;
    status.textContent = `${text} · ${since()}`;
  };
  let told = "";
  try {
    const [url, options] = requestOf(operation, form);
    const answer = await fetch(url, { ...options, signal });
    told = `${answer.status} ${answer.statusText}`.trim();
    const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    const head = element("details", {}, element("summary", { text: "Headers" }), element("pre", { tabindex: 0, "aria-label": "Headers", text: headers }));
    const mediaType = answer.headers.get("content-type") ?? "";
    if (mediaType.startsWith("text/event-stream")) {
      const text = element("div", { class: "text", "aria-label": "Text of the answer", role: "log" });
      const raw = element("pre", { tabindex: 0, "aria-label": "Events" });
      output.append(text, element("details", { open: true }, element("summary", { text: "Events" }), raw), head);
      let count = 0;
      for await (const data of eventsOf(answer.body)) {
        count += 1;
        text.append(textOf(data));
        raw.append(`${data}\n`);
        if (raw.childNodes.length > MAX_EVENTS) raw.firstChild.remove();
        raw.scrollTop = raw.scrollHeight;
        status.textContent = `${told} · ${count} events · ${since()}`;
      }
      end(answer.ok ? "done" : "failed", `${told} · ${count} events`);
    } else if (/json|text|^$/.test(mediaType)) {
      const content = await answer.text();
      output.append(element("pre", { tabindex: 0, "aria-label": "Body", text: pretty(content) }), head);
      end(answer.ok ? "done" : "failed", told);
    } else {
      const { size } = await answer.blob();
      output.append(element("p", { text: `${size} bytes of ${mediaType}` }), head);
      end("done", told);
    }
  } catch (error) {
    if (signal.aborted) return end("stopped", `${told} stopped`.trim());
    output.append(element("p", { class: "problem", role: "alert", text: `The request failed: ${error.message}` }));
    end("failed", told || "No answer");
  }
}

function input(label, properties, tag = "input") {
  return element("label", {}, label, element(tag, { spellcheck: "false", autocomplete: "off", ...properties }));
}

/** Returns the inputs of the request's body. */
function bodyInputs(operation) {
  if (operation.mediaType === "multipart/form-data") {
    const whole = inner(operation.body);
    const { properties = {} } = whole.properties ? whole : inner(variants(whole)[0]);
    return Object.entries(properties).map(([name, schema]) => {
      const isFile = name === "file" || resolve(schema).format === "binary";
      return input(name, { type: isFile ? "file" : "text", name: `part:${name}`, "data-part": name });
    });
  }
  if (!operation.body) return [];
  const area = element("textarea", { name: "body", rows: 8, spellcheck: "false" });
  area.value = JSON.stringify(bodySample(operation) ?? {}, null, 2);
  const change = ({ currentTarget }) => {
    try {
      const body = JSON.parse(area.value);
      body.stream = currentTarget.checked;
      area.value = JSON.stringify(body, null, 2);
    } catch {
      currentTarget.checked = !currentTarget.checked;
    }
  };
  const canStream = operation.streams && fieldsOf(operation).includes("stream");
  const stream = element("label", {}, element("input", { type: "checkbox", name: "stream", onchange: change }), "Stream the answer");
  return [element("label", {}, "Body", area), canStream ? stream : null];
}

function tryForm(operation) {
  const output = element("div", { class: "answer" });
  const places = operation.parameters.filter(({ in: place }) => place === "path" || place === "query");
  const fields = places.map(({ name, in: place, required }) =>
    input(place === "path" ? `${name} (in the path)` : name, { name: `${place}:${name}`, required: Boolean(required) }));
  const stop = element("button", { type: "button", text: "Stop", disabled: true });
  const go = element("button", { class: "primary", text: "Send" });
  const form = element("form", { "aria-label": "Try it", onsubmit: async (event) => {
    event.preventDefault();
    const controller = new AbortController();
    stop.onclick = () => controller.abort();
    [go.disabled, stop.disabled] = [true, false];
    await send(operation, form, output, controller.signal);
    [go.disabled, stop.disabled] = [false, true];
  } }, ...fields, ...bodyInputs(operation).filter(Boolean), element("div", {}, go, stop));
  return [form, output];
}

// The page

function showOperation(operation) {
  const { method, path, told, title, parameters, body, responses, errors, isSocket } = operation;
  const permission = told["x-permission"];
  const part = (heading, ...content) => element("section", {}, element("h2", { text: heading }), ...content.flat());
  const parameterItems = parameters.map(({ name, in: place, schema, required, description }) =>
    fieldItem(name, { description, ...schema }, required, ` in ${place}`));
  $("operation").replaceChildren(
    element("h1", { text: title }),
    element("p", { class: "route" }, element("span", { class: "method", "data-method": method, text: method }), element("code", { text: path }),
      permission ? element("span", { class: "quiet", text: `permission: ${permission}` }) : null),
    ...prose(told.description),
    ...[
      parameters.length > 0 && part("Parameters", element("ul", { class: "fields" }, ...parameterItems)),
      body && hasFields(body) && part("Fields of the request", ...requestFields(body)),
      told["x-websocket-messages"] && part("Messages of the client", fieldList(told["x-websocket-messages"])),
      part("Example", ...exampleTabs(operation)),
      part("Try it", ...(isSocket ? prose("This address opens a WebSocket, which this page does not.") : tryForm(operation))),
      part("Answers", ...responses.map(responseParts)),
      errors.length > 0 && part("Errors", errorTable(errors)),
    ].filter(Boolean),
  );
  document.title = `${title} · claude-switchboard`;
}

function showOverview(operations) {
  const { title, description } = api.info;
  $("operation").replaceChildren(element("h1", { text: title }), ...prose(description),
    element("p", {}, `${operations.length} operations. The whole description is an OpenAPI document: `,
      element("a", { href: "/openapi.json", text: "/openapi.json" }), "."),
    ...prose("Choose an operation, or search for a field: press `/`. A key that you enter stays in the memory of this page, and is sent to this server only."));
  document.title = "API · claude-switchboard";
}

function navigate(operations) {
  const id = decodeURIComponent(location.hash.slice(2));
  const current = operations.find((operation) => operation.id === id);
  if (current) showOperation(current);
  else showOverview(operations);
  showOperations(operations, current);
  openMenu(false);
  return current;
}

function shortcuts(event) {
  const isTyping = event.target.closest("input, textarea, select");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("search").focus();
  }
}

async function start() {
  const answer = await fetch("/openapi.json");
  if (!answer.ok) throw new Error(`/openapi.json answered ${answer.status}`);
  api = await answer.json();
  const operations = operationsOf(api);
  $("version").textContent = api.info.version;
  let current = navigate(operations);
  window.addEventListener("hashchange", () => {
    if (!location.hash.startsWith("#/")) return;
    current = navigate(operations);
    window.scrollTo(0, 0);
    $("operation").focus({ preventScroll: true });
  });
  $("search").addEventListener("input", () => {
    showOperations(operations, current);
    openMenu($("search").value !== "");
  });
  $("search").addEventListener("keydown", ({ key }) => {
    if (key === "Enter") $("operations").querySelector("a")?.click();
  });
  $("menu").addEventListener("click", () => openMenu($("menu").getAttribute("aria-expanded") !== "true"));
  document.addEventListener("keydown", shortcuts);
}

start().catch((error) => {
  $("operation").replaceChildren(element("p", { class: "problem", role: "alert", text: `The description of the API cannot be shown: ${error.message}` }));
});
