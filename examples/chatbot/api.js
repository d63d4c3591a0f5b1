// Requests to the server.

/** Refusal of the server, or a server that cannot be reached (then `status` is undefined). */
export class ApiError extends Error {
  constructor({ message, code, param }, status) {
    super(message);
    this.code = code;
    this.param = param;
    this.status = status;
  }
}

export class Api {
  #base;
  #key;

  constructor(base, key) {
    this.#base = base.trim().replace(/\/+$/, "");
    this.#key = key.trim();
  }

  get(path) {
    return this.#json("GET", path);
  }

  post(path, body) {
    return this.#json("POST", path, body);
  }

  delete(path) {
    return this.#json("DELETE", path);
  }

  /** Yields all entries of a list, page by page. */
  async *list(path, limit = 100) {
    for (let after = ""; ; ) {
      const page = await this.get(`${path}${path.includes("?") ? "&" : "?"}limit=${limit}${after}`);
      yield* page.data;
      if (!page.has_more) return;
      after = `&after=${page.last_id}`;
    }
  }

  /** Yields the chunks of a streamed answer. Aborting `signal` closes the connection, which ends the run on the server. */
  async *stream(path, body, signal) {
    const response = await this.#send("POST", path, { ...body, stream: true, stream_options: { include_usage: true } }, signal);
    // The chunks repeat the name of the request; this is the model that answers.
    const model = response.headers.get("x-switchboard-model");
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new ApiError({ message: "The connection was lost before the end of the answer.", code: "connection_lost" });
      text += value;
      const lines = text.split("\n");
      text = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data: ")) continue;
        const data = line.slice("data: ".length).trim();
        if (data === "[DONE]") return;
        const chunk = JSON.parse(data);
        if (chunk.error) throw new ApiError(chunk.error);
        yield { ...chunk, model };
      }
    }
  }

  async #json(method, path, body) {
    return (await this.#send(method, path, body)).json();
  }

  async #send(method, path, body, signal) {
    const headers = { ...(this.#key && { authorization: `Bearer ${this.#key}` }), ...(body && { "content-type": "application/json" }) };
    const response = await this.#fetch(this.#base + path, { method, headers, signal, body: body && JSON.stringify(body) });
    if (response.ok) return response;
    const { error } = await response.json().catch(() => ({}));
    throw new ApiError(error ?? { message: `The server answered ${response.status}.` }, response.status);
  }

  async #fetch(url, options) {
    try {
      return await fetch(url, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      const message =
        `No connection to ${url}. Either no server is there, or it lets in no pages of the origin ${location.origin}: ` +
        "then its operator can add that to server.allowed_origins.";
      throw new ApiError({ message, code: "no_connection" });
    }
  }
}
