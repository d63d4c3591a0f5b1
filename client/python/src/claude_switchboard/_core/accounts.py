"""Calls for usage, budgets, models and routing."""

from __future__ import annotations

from typing import Literal

from ..models.usage import Budget, Model, ModelList, Route, Usage
from .call import Answer, Call, Request, read_model, validated
from .lists import get_call

Period = Literal["day", "week", "month", "all"]
GroupBy = Literal["model", "key", "day", "end_user"]


def usage_call(period: Period, group_by: GroupBy | None) -> Call[Usage]:
    """Call for the usage of the project of the key."""
    query = {"period": period, "group_by": group_by, "format": "json"}
    return get_call(Usage, "/v1/usage", query)


def budget_call() -> Call[list[Budget]]:
    """Call for the budgets of the key and its project."""
    query = {"period": "day", "format": "json"}

    def read(answer: Answer) -> list[Budget]:
        return validated(Usage, answer.json()).budgets

    return Call(Request("GET", "/v1/usage", query, is_repeatable=True), read)


def models_call() -> Call[list[Model]]:
    """Call for the models that the key may use."""

    def read(answer: Answer) -> list[Model]:
        return validated(ModelList, answer.json()).data

    return Call(Request("GET", "/v1/models", is_repeatable=True), read)


def route_call(task: str, context_size: int) -> Call[Route]:
    """Call for the model that the rules choose."""
    body = {"task_description": task, "context_size": context_size}
    return Call(Request("POST", "/v1/route", body=body, is_repeatable=True), read_model(Route))
