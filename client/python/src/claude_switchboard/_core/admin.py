"""Calls of the admin API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel

from ..models.admin import ApiKey, DashboardLink, Project, ServerStatus, SignIn
from ..models.base import Deleted, Page
from ..models.usage import Usage
from .accounts import GroupBy, Period
from .call import Call, Request, path_part, read_model
from .lists import delete_call, get_call, post_call

M = TypeVar("M", bound=BaseModel)
KEYS_PATH = "/admin/keys"
PROJECTS_PATH = "/admin/projects"


def status_call() -> Call[ServerStatus]:
    """Call for the state of the server."""
    return get_call(ServerStatus, "/admin/status", is_admin=True)


def sign_ins_call() -> Call[Page[SignIn]]:
    """Call for the sign-ins of the server."""
    return get_call(Page[SignIn], "/admin/sign-ins", is_admin=True)


def all_usage_call(period: Period, group_by: GroupBy | None, project_id: str | None, key_id: str | None) -> Call[Usage]:
    """Call for the usage of all projects, or of one project or key."""
    query = {"period": period, "group_by": group_by, "project_id": project_id, "key_id": key_id, "format": "json"}
    return get_call(Usage, "/admin/usage", query, is_admin=True)


def dashboard_call(read_only: bool) -> Call[DashboardLink]:
    """Call that makes a link to the dashboard."""
    return post_call(DashboardLink, "/admin/dashboard/links", {"read_only": read_only}, is_admin=True)


def keys_call(limit: int | None, after: str | None) -> Call[Page[ApiKey]]:
    """Call for a page of keys."""
    return get_call(Page[ApiKey], KEYS_PATH, {"limit": limit, "after": after}, is_admin=True)


def projects_call(limit: int | None, after: str | None) -> Call[Page[Project]]:
    """Call for a page of projects."""
    return get_call(Page[Project], PROJECTS_PATH, {"limit": limit, "after": after}, is_admin=True)


def create_admin_call(model: type[M], path: str, fields: Mapping[str, object]) -> Call[M]:
    """Call that creates a key or project."""
    return post_call(model, path, dict(fields), is_admin=True)


def get_admin_call(model: type[M], path: str, name: str) -> Call[M]:
    """Call for a key or project."""
    return get_call(model, f"{path}/{path_part(name)}", is_admin=True)


def change_call(model: type[M], path: str, name: str, fields: Mapping[str, object]) -> Call[M]:
    """Call that changes the fields of a key or project; None removes a limit."""
    request = Request("PATCH", f"{path}/{path_part(name)}", body=dict(fields), is_repeatable=True, is_admin=True)
    return Call(request, read_model(model))


def revoke_call(key_id: str) -> Call[ApiKey]:
    """Call that revokes a key."""
    request = Request("DELETE", f"{KEYS_PATH}/{path_part(key_id)}", is_repeatable=True, is_admin=True)
    return Call(request, read_model(ApiKey))


def rotate_call(key_id: str, grace_seconds: int) -> Call[ApiKey]:
    """Call that gives a key another secret."""
    path = f"{KEYS_PATH}/{path_part(key_id)}/rotate"
    return post_call(ApiKey, path, {"grace_seconds": grace_seconds}, is_admin=True)


def budget_call(project_id: str, budget: Mapping[str, object]) -> Call[Project]:
    """Call that replaces the budget of a project."""
    path = f"{PROJECTS_PATH}/{path_part(project_id)}/budget"
    return Call(Request("PUT", path, body=dict(budget), is_repeatable=True, is_admin=True), read_model(Project))


def delete_project_call(project_id: str) -> Call[Deleted]:
    """Call that deletes a project."""
    return delete_call(f"{PROJECTS_PATH}/{path_part(project_id)}", is_admin=True)
