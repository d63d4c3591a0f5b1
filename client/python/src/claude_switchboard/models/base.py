"""Base of all records that the server sends."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

R = TypeVar("R", bound=BaseModel)


class Record(BaseModel):
    """Immutable record; fields of a newer server are kept in `model_extra`."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="allow", frozen=True, protected_namespaces=())


class Page(Record, Generic[R]):
    """Part of a list; `last_id` is the `after` of the next part."""

    data: list[R]
    has_more: bool = False
    last_id: str | None = None


class Deleted(Record):
    """Confirmation that something was deleted."""

    id: str
    deleted: bool = True
