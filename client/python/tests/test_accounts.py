"""Usage, budgets, routing, the admin API and the short names, on the real server."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

import pytest
from running import Server

from claude_code_api import ClaudeClient
from claude_switchboard import (
    AsyncSwitchboard,
    AuthenticationError,
    BudgetError,
    RateLimitError,
    Switchboard,
    SwitchboardError,
)


def key_client(client: Switchboard, server: Server, **options: object) -> Switchboard:
    key = client.admin.keys.create("poor", **options)  # type: ignore[arg-type]
    return Switchboard(server.url, key.key, max_retries=0)


def test_usage_counts_requests_with_exact_money(client: Switchboard) -> None:
    before = client.get_usage(period="day")
    answer = client.complete('[[say="Hello."]]', model="haiku")
    after = client.get_usage(period="day", group_by="model")
    assert answer.usage is not None and answer.cost is not None
    assert after.total_tokens - before.total_tokens == answer.usage.total_tokens
    assert after.totals.cost - before.totals.cost == answer.cost
    assert isinstance(after.total_cost, Decimal)
    assert any("haiku" in group.name for group in after.groups)


def test_route_and_models_cost_nothing(client: Switchboard) -> None:
    assert client.route("Refactor the parser", context_size=50_000).recommended_model == "opus"
    assert any("haiku" in model.id for model in client.get_models())


def test_exhausted_budget_says_what_is_left_and_when_it_begins_anew(client: Switchboard, server: Server) -> None:
    with key_client(client, server, budget={"daily": {"money": Decimal("0.000001")}}) as poor:
        with pytest.raises(BudgetError) as caught:
            poor.complete("hello", model="opus")
        [budget] = poor.get_budget()
    assert caught.value.left == Decimal("0.000001")
    assert caught.value.budget is not None
    assert (caught.value.budget.unit, caught.value.budget.window, caught.value.budget.scope) == ("usd", "daily", "key")
    assert caught.value.resets_at == budget.resets_at
    assert budget.resets_at > datetime.now(timezone.utc)
    assert budget.money is not None and budget.money.cap == Decimal("0.000001")


def test_budget_of_tokens_says_what_is_left(client: Switchboard, server: Server) -> None:
    with (
        key_client(client, server, budget={"monthly": {"tokens": 5}}) as poor,
        pytest.raises(BudgetError) as caught,
    ):
        poor.complete("hello", model="haiku")
    assert caught.value.budget is not None
    assert (caught.value.budget.unit, caught.value.left) == ("tokens", Decimal(5))


def test_rate_limit_says_when_to_come_back(client: Switchboard, server: Server) -> None:
    with key_client(client, server, requests_per_minute=1) as hasty:
        hasty.complete('[[say="Hi"]]', model="haiku")
        with pytest.raises(RateLimitError) as caught:
            hasty.complete('[[say="Hi"]]', model="haiku")
    assert caught.value.retry_after is not None and 0 < caught.value.retry_after <= 61
    assert caught.value.limits.remaining_requests == 0


def test_wrong_key_is_told_apart(server: Server) -> None:
    with Switchboard(server.url, "wrong") as stranger, pytest.raises(AuthenticationError):
        stranger.complete("hello")


def test_admin_makes_changes_rotates_and_revokes_keys(client: Switchboard, server: Server) -> None:
    made = client.admin.keys.create("app", requests_per_minute=100, permissions=["inference", "usage"])
    assert made.key is not None and made.key not in repr(made)
    assert client.admin.keys.change(made.id, requests_per_minute=None, name="App").requests_per_minute is None
    rotated = client.admin.keys.rotate(made.id)
    assert rotated.key not in (None, made.key)
    assert client.admin.keys.revoke(made.id).revoked_at is not None
    assert made.id in [key.id for key in client.admin.keys.list(limit=100).data]
    with Switchboard(server.url, rotated.key) as former, pytest.raises(AuthenticationError):
        former.complete("hello", model="haiku")


def test_admin_manages_projects(client: Switchboard, server: Server) -> None:
    project = client.admin.projects.create("py-tests", name="Tests")
    key = client.admin.keys.create("app", project_id=project.id)
    client.admin.projects.set_budget(project.id, {"monthly": {"money": Decimal("2.50")}})
    assert client.admin.projects.get(project.id).budget.monthly.money == Decimal("2.50")
    with ClaudeClient(server.url, key.key, project.id) as member:
        assert member.complete('[[say="Hi"]]', model="haiku").content == "Hi"
        assert "".join(member.stream("[[tokens=2]]", model="haiku")) == "w1 w2"
        answers = member.batch(['[[say="a"]]', '[[say="b"]]'], model="haiku", parallel=True)
        assert [answer.content for answer in answers] == ["a", "b"]
        assert member.get_usage(period="month").total_tokens > 0
    usage = client.admin.get_usage(period="day", project_id=project.id)
    assert usage.totals.requests == 4
    client.admin.keys.revoke(key.id)
    assert client.admin.projects.delete(project.id).deleted


def test_admin_sees_the_state_of_the_server(client: Switchboard) -> None:
    status = client.admin.get_status()
    assert status.ready and status.workers.max > 0
    assert isinstance(status.cost_usd, Decimal)
    (sign_in,) = client.admin.list_sign_ins().data
    assert (sign_in.name, sign_in.ready, sign_in.breaker[0].state) == ("default", True, "closed")
    link = client.admin.create_dashboard_link(read_only=True)
    assert link.read_only and "/dashboard/#" in link.url and link.url not in repr(link)


def test_admin_without_admin_key_says_what_to_set(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWITCHBOARD_ADMIN_KEY", raising=False)
    with Switchboard(server.url, server.key) as client, pytest.raises(SwitchboardError, match="SWITCHBOARD_ADMIN_KEY"):
        client.admin.get_status()


async def test_async_accounts_and_admin(async_client: AsyncSwitchboard) -> None:
    assert (await async_client.get_usage()).period == "month"
    assert await async_client.get_budget() == []
    assert (await async_client.route("Hi")).recommended_model == "haiku"
    assert (await async_client.admin.get_status()).ready
    assert len((await async_client.admin.list_sign_ins()).data) == 1
    made = await async_client.admin.keys.create("async")
    assert (await async_client.admin.keys.revoke(made.id)).revoked_at is not None
