"""Calls for records and pages of them, for new ones, and for deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel

from ..models.base import Deleted
from .call import Call, Request, read_model

M = TypeVar("M", bound=BaseModel)


def get_call(model: type[M], path: str, query: Mapping[str, object] | None = None, is_admin: bool = False) -> Call[M]:
    """Call for a record, or for a page of a list."""
    return Call(Request("GET", path, query or {}, is_repeatable=True, is_admin=is_admin), read_model(model))


def delete_call(path: str, is_admin: bool = False) -> Call[Deleted]:
    """Call that deletes a record."""
    return Call(Request("DELETE", path, is_repeatable=True, is_admin=is_admin), read_model(Deleted))


def post_call(model: type[M], path: str, body: object = None, is_admin: bool = False) -> Call[M]:
    """Call that makes or changes something, and is sent again only if it was not served."""
    return Call(Request("POST", path, body=body, is_admin=is_admin), read_model(model))
