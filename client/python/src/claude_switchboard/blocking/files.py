"""Uploaded files."""

from __future__ import annotations

from typing import Literal

from .._core.files import FILES_PATH, FileSource, content_call, file_path, read_source, upload_call
from .._core.lists import delete_call, get_call
from ..models.base import Deleted, Page
from ..models.batches import StoredFile
from .transport import Transport


class Files:
    """Files of the project, for batches and for messages that name them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def upload(
        self,
        source: FileSource,
        *,
        purpose: str = "user_data",
        filename: str | None = None,
        expires_after_seconds: int | None = None,
    ) -> StoredFile:
        """Uploads a file, given by its path, as bytes, or open for reading. All of it is read into memory.

        >>> file = client.files.upload("report.pdf")
        >>> part = {"type": "file", "file": {"file_id": file.id}}
        """
        name, content = read_source(source, filename)
        return self._transport.send(upload_call(name, content, purpose, expires_after_seconds))

    def get(self, file_id: str) -> StoredFile:
        """Facts of a file."""
        return self._transport.send(get_call(StoredFile, file_path(file_id)))

    def content(self, file_id: str) -> bytes:
        """Bytes of a file."""
        return self._transport.send(content_call(file_id))

    def list(
        self,
        *,
        purpose: str | None = None,
        limit: int | None = None,
        after: str | None = None,
        order: Literal["asc", "desc"] | None = None,
    ) -> Page[StoredFile]:
        """Files of the project of the key."""
        query = {"purpose": purpose, "limit": limit, "after": after, "order": order}
        return self._transport.send(get_call(Page[StoredFile], FILES_PATH, query))

    def delete(self, file_id: str) -> Deleted:
        """Deletes a file."""
        return self._transport.send(delete_call(file_path(file_id)))
