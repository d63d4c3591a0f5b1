"""Keys with limits and budgets, with the OpenAI SDK: which errors it retries and which it raises."""

import os

import httpx
import openai
import pytest

from conftest import BASE_URL, TIMEOUT, say

ADMIN_KEY = os.environ.get("ADMIN_KEY")
pytestmark = pytest.mark.skipif(not ADMIN_KEY, reason="without ADMIN_KEY no keys can be made")


@pytest.fixture
def key():
    """Creates a client with a new key of these properties, which records its requests."""
    ids = []
    admin = httpx.Client(base_url=BASE_URL.removesuffix("/v1"), headers={"authorization": f"Bearer {ADMIN_KEY}"})

    def make(**terms):
        made = admin.post("/admin/keys", json={"name": "compat-tests", **terms})
        assert made.status_code == 201, made.text
        ids.append(made.json()["id"])
        sent = []
        http = httpx.Client(event_hooks={"request": [sent.append]})
        client = openai.OpenAI(base_url=BASE_URL, api_key=made.json()["key"], timeout=TIMEOUT, http_client=http)
        return client, sent

    def revoke():
        for id in ids:
            admin.delete(f"/admin/keys/{id}")

    make.revoke = revoke
    yield make
    revoke()


def ask(client, prompt, **more):
    messages = [{"role": "user", "content": prompt}]
    return client.chat.completions.with_raw_response.create(model="haiku", messages=messages, **more)


def test_rate_limited_request_is_retried_until_it_passes(key):
    client, sent = key(requests_per_minute=120)
    # Cache hits, which are faster than the rate limit allows.
    for count in range(1, 400):
        answer = ask(client, say("Hello"), temperature=0)
        if answer.retries_taken:
            break
    assert answer.retries_taken == 1, "it waits as long as it was told"
    assert len(sent) == count + 1
    assert answer.parse().choices[0].message.content == "Hello"
    assert answer.headers["x-ratelimit-limit-requests"] == "120"


def test_request_over_budget_is_not_retried(key):
    client, sent = key(budget={"daily": {"tokens": 1}})
    with pytest.raises(openai.RateLimitError) as refused:
        ask(client, say("Hello"))
    assert len(sent) == 1
    assert (refused.value.code, refused.value.type) == ("insufficient_quota", "insufficient_quota")
    assert "Of 1 tokens 1 tokens are left" in refused.value.message


def test_answers_have_their_cost_and_cached_ones_none(key, marker):
    client, _ = key()
    prompt = f"{marker} [[say=Hello usage_in=1000 usage_out=100]]"
    made, again = (ask(client, prompt, seed=7) for _ in range(2))
    assert (made.headers["x-cache"], again.headers["x-cache"]) == ("miss", "hit")
    costs = [answer.parse().usage.model_extra["cost_usd"] for answer in (made, again)]
    assert costs == [0.00015, 0]
    assert ask(client, prompt, seed=7, extra_headers={"cache-control": "no-cache"}).headers["x-cache"] == "miss"


def test_stream_is_repeated_from_the_cache(key, marker):
    client, _ = key()
    messages = [{"role": "user", "content": f"{marker} [[tokens=5]]"}]

    def stream():
        chunks = client.chat.completions.create(model="haiku", messages=messages, temperature=0, stream=True)
        return [chunk.choices[0].delta.content for chunk in chunks]

    assert stream() == stream() == ["", "w1", " w2", " w3", " w4", " w5", None]


def test_key_lists_its_models_only(key):
    client, _ = key(models=["haiku"])
    assert [model.id for model in client.models.list()] == ["haiku"]
    with pytest.raises(openai.PermissionDeniedError) as refused:
        client.chat.completions.create(model="opus", messages=[{"role": "user", "content": "Hi"}])
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_project_of_another_key_is_refused(key):
    client, _ = key()
    for more in ({"extra_headers": {"OpenAI-Project": "proj_other"}}, {"extra_body": {"project_id": "proj_other"}}):
        with pytest.raises(openai.PermissionDeniedError) as refused:
            ask(client, "Hi", **more)
        assert refused.value.code == "mismatched_project"
    own = ask(client, say("Hello"), extra_headers={"OpenAI-Project": "default"}, extra_body={"project_id": "default"})
    assert own.parse().choices[0].message.content == "Hello"


def test_usage_is_reported_as_json_and_csv(key, marker):
    client, _ = key()
    ask(client, f"{marker} [[say=Hello usage_in=1000 usage_out=100]]")
    report = client.get("/usage", cast_to=httpx.Response, options={"params": {"period": "day", "group_by": "model"}})
    body = report.json()
    assert body["totals"]["requests"] >= 1
    assert "claude-haiku-5-5" in [group["name"] for group in body["groups"]]
    csv = client.get("/usage", cast_to=httpx.Response, options={"params": {"format": "csv"}})
    assert csv.headers["content-type"].startswith("text/csv")


def test_revoked_key_is_refused_with_its_reason(key):
    client, _ = key()
    client.models.list()
    key.revoke()
    with pytest.raises(openai.AuthenticationError) as refused:
        client.models.list()
    assert refused.value.code == "revoked_api_key"
