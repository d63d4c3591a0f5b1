"""Keys, projects and the state of the server, for its operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.accounts import GroupBy, Period
from .._core.admin import (
    KEYS_PATH,
    PROJECTS_PATH,
    all_usage_call,
    budget_call,
    change_call,
    create_admin_call,
    dashboard_call,
    delete_project_call,
    get_admin_call,
    keys_call,
    projects_call,
    revoke_call,
    rotate_call,
    sign_ins_call,
    status_call,
)
from ..models.admin import ApiKey, DashboardLink, Project, ServerStatus, SignIn
from ..models.base import Deleted, Page
from ..models.usage import Usage
from .transport import Transport

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..options import BudgetOptions, KeyChanges, KeyOptions, ProjectChanges, ProjectOptions


class Keys:
    """Keys of callers."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, *, project_id: str = "default", **options: Unpack[KeyOptions]) -> ApiKey:
        """Makes a key; its text is in `key`, this once.

        >>> made = client.admin.keys.create("app", budget={"daily": {"money": "5.00"}})
        >>> made.key
        'sk-sb-...'
        """
        fields = {"name": name, "project_id": project_id, **options}
        return self._transport.send(create_admin_call(ApiKey, KEYS_PATH, fields))

    def get(self, key_id: str) -> ApiKey:
        """Key as it is now."""
        return self._transport.send(get_admin_call(ApiKey, KEYS_PATH, key_id))

    def list(self, *, limit: int | None = None, after: str | None = None) -> Page[ApiKey]:
        """Keys in the order of their creation, revoked ones too."""
        return self._transport.send(keys_call(limit, after))

    def change(self, key_id: str, **changes: Unpack[KeyChanges]) -> ApiKey:
        """Changes what is given; None removes a limit."""
        return self._transport.send(change_call(ApiKey, KEYS_PATH, key_id, {**changes}))

    def rotate(self, key_id: str, *, grace_seconds: int = 0) -> ApiKey:
        """Gives a key another secret, shown once; the previous one stays valid for `grace_seconds`."""
        return self._transport.send(rotate_call(key_id, grace_seconds))

    def revoke(self, key_id: str) -> ApiKey:
        """Revokes a key for good."""
        return self._transport.send(revoke_call(key_id))


class Projects:
    """Projects, whose keys share usage, budgets, files and batches."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, project_id: str, *, name: str | None = None, **options: Unpack[ProjectOptions]) -> Project:
        """Makes a project with an id of your choice."""
        fields = {"id": project_id, "name": name or project_id, **options}
        return self._transport.send(create_admin_call(Project, PROJECTS_PATH, fields))

    def get(self, project_id: str) -> Project:
        """Project as it is now."""
        return self._transport.send(get_admin_call(Project, PROJECTS_PATH, project_id))

    def list(self, *, limit: int | None = None, after: str | None = None) -> Page[Project]:
        """Projects in the order of their ids."""
        return self._transport.send(projects_call(limit, after))

    def change(self, project_id: str, **changes: Unpack[ProjectChanges]) -> Project:
        """Changes what is given; None removes a limit."""
        return self._transport.send(change_call(Project, PROJECTS_PATH, project_id, {**changes}))

    def set_budget(self, project_id: str, budget: BudgetOptions) -> Project:
        """Replaces the budget of a project."""
        return self._transport.send(budget_call(project_id, {**budget}))

    def delete(self, project_id: str) -> Deleted:
        """Deletes a project whose keys are all revoked."""
        return self._transport.send(delete_project_call(project_id))


class Admin:
    """Keys, projects and the state of the server; needs the admin key."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.keys: Keys = Keys(transport)
        self.projects: Projects = Projects(transport)

    def get_status(self) -> ServerStatus:
        """State of the server: workers, what waits and runs, usage of today.

        >>> client.admin.get_status().workers.busy
        0
        """
        return self._transport.send(status_call())

    def list_sign_ins(self) -> Page[SignIn]:
        """Sign-ins of the server to Claude, and what is left of their plans.

        >>> client.admin.list_sign_ins().data[0].ready
        True
        """
        return self._transport.send(sign_ins_call())

    def get_usage(
        self,
        period: Period = "month",
        group_by: GroupBy | None = None,
        *,
        project_id: str | None = None,
        key_id: str | None = None,
    ) -> Usage:
        """Usage of all projects, or of one project or key."""
        return self._transport.send(all_usage_call(period, group_by, project_id, key_id))

    def create_dashboard_link(self, *, read_only: bool = False) -> DashboardLink:
        """Address that signs in to the dashboard, once and within a minute."""
        return self._transport.send(dashboard_call(read_only))
