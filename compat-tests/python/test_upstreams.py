"""Endpoints that another server answers, with clients that know one base URL: OpenAI's SDK and LangChain.

The other server is one of these tests, and so is the server in front of it, because upstreams are set at the start.
"""

import base64
import contextlib
import http.server
import json
import struct
import threading

import openai
import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import OpenAIEmbeddings
from test_traces import KEY, serving
from test_traces import pytestmark as needs_programs

pytestmark = needs_programs
UPSTREAM_KEY = "sk-upstream-made-up"
WORDS = ("cat", "dog", "stone")


def vector(text):
    """Returns a vector by the words in a text, so that similar texts are near."""
    return [float(text.lower().count(word)) for word in WORDS] + [0.1]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({"object": "list", "data": []})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append((self.path, dict(self.headers), body))
        match self.path:
            case "/v1/embeddings":
                self.answer(embeddings(body))
            case "/v1/moderations":
                self.answer({"id": "modr-1", "model": body["model"], "results": []})
            case "/v1/chat/completions" if body.get("stream"):
                self.stream(body["model"])
            case _:
                self.answer({"error": {"message": "no such path"}}, 404)

    def answer(self, value, status=200):
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def stream(self, model):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        shared = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
        for text in ("Hello", " there"):
            choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}
            self.event({**shared, "choices": [choice]})
        self.event({**shared, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6}
        self.event({**shared, "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def event(self, value):
        self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())

    def log_message(self, *arguments):
        pass


def embeddings(body):
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    as_base64 = body.get("encoding_format") == "base64"

    def encoded(text):
        numbers = vector(text if isinstance(text, str) else "")
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode() if as_base64 else numbers

    data = [{"object": "embedding", "index": index, "embedding": encoded(text)} for index, text in enumerate(texts)]
    usage = {"prompt_tokens": 3 * len(texts), "total_tokens": 3 * len(texts)}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}


@pytest.fixture(scope="module")
def servers():
    """A server in front of another one; returns both."""
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    upstream.daemon_threads = True
    upstream.requests = []
    thread = threading.Thread(target=upstream.serve_forever)
    thread.start()
    setting = (
        f'{{ other = {{ base_url = "http://127.0.0.1:{upstream.server_port}/v1", key_variable = "OTHER_KEY", '
        'endpoints = ["embeddings", "moderations", "chat"], default_models = { moderations = "rate-1" }, '
        'models = { "embed-1" = "input 1000", "rate-1" = "free", "talk-1" = "input 1000, output 1000" } } }'
    )
    with contextlib.ExitStack() as stack:
        stack.callback(thread.join)
        stack.callback(upstream.shutdown)
        server = stack.enter_context(serving(None, SWITCHBOARD_UPSTREAMS=setting, OTHER_KEY=UPSTREAM_KEY))
        yield server, upstream


@pytest.fixture
def client(servers):
    return openai.OpenAI(base_url=f"{servers[0].address()}/v1", api_key=KEY, max_retries=0)


def test_embeddings_come_from_the_other_server(servers, client):
    answer = client.embeddings.create(model="embed-1", input=["a cat", "a dog"])
    assert answer.data[0].embedding == pytest.approx(vector("a cat"))
    assert answer.usage.prompt_tokens == 6
    path, headers, body = servers[1].requests[-1]
    assert (path, body["model"]) == ("/v1/embeddings", "embed-1")
    assert headers["authorization"] == f"Bearer {UPSTREAM_KEY}"
    assert KEY not in str(headers) and not any(name.startswith("x-stainless") for name in headers)
    usage = servers[0].http.get("/v1/usage", params={"group_by": "model"}).json()
    assert any(group["name"] == "embed-1" for group in usage["groups"]), usage


def test_retrieval_of_langchain_works_with_one_base_url(servers):
    base_url = f"{servers[0].address()}/v1"
    model = OpenAIEmbeddings(model="embed-1", base_url=base_url, api_key=KEY, check_embedding_ctx_length=False)
    store = InMemoryVectorStore(model)
    store.add_documents([Document(page_content=f"the {word}") for word in WORDS])
    assert store.similarity_search("which dog", k=1)[0].page_content == "the dog"


def test_moderation_without_a_model_gets_the_default(servers, client):
    assert client.moderations.create(input="a").model == "rate-1"
    assert servers[1].requests[-1][2] == {"model": "rate-1", "input": "a"}


@pytest.mark.parametrize("with_usage", [False, True])
def test_chat_is_streamed_with_usage_if_asked_for(servers, client, with_usage):
    options = {"stream_options": {"include_usage": True}} if with_usage else {}
    messages = [{"role": "user", "content": "Hi"}]
    chunks = list(client.chat.completions.create(model="talk-1", messages=messages, stream=True, **options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello there"
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == ([6] if with_usage else [])
    assert servers[1].requests[-1][2]["stream_options"] == {"include_usage": True}


def test_models_of_both_servers_are_listed(client):
    owners = {model.id: model.owned_by for model in client.models.list()}
    assert (owners["embed-1"], owners["haiku"]) == ("other", "anthropic")


def test_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as error:
        client.embeddings.create(model="embed-2", input="a")
    assert error.value.code == "model_not_found"
