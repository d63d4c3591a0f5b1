"""Short names for claude-switchboard.

>>> from claude_code_api import ClaudeClient
>>> client = ClaudeClient("http://127.0.0.1:8080", api_key="sk-sb-...", project_id="my-app")
>>> client.complete("Say hello.", model="haiku").content
'Hello!'
"""

from __future__ import annotations

from claude_switchboard import AsyncSwitchboard, Switchboard

__all__ = ["AsyncClaudeClient", "ClaudeClient"]


class ClaudeClient(Switchboard):
    """`Switchboard` with a project as its third argument."""

    def __init__(self, base_url: str | None = None, api_key: str | None = None, project_id: str | None = None) -> None:
        super().__init__(base_url, api_key, project_id=project_id)


class AsyncClaudeClient(AsyncSwitchboard):
    """`AsyncSwitchboard` with a project as its third argument."""

    def __init__(self, base_url: str | None = None, api_key: str | None = None, project_id: str | None = None) -> None:
        super().__init__(base_url, api_key, project_id=project_id)
