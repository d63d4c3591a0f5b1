"""Calls for files."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import BinaryIO

from ..models.batches import StoredFile
from .call import Answer, Call, Request, Upload, path_part, read_model

FILES_PATH = "/v1/files"
FileSource = bytes | str | PathLike[str] | BinaryIO
"""Bytes, the path of a file, or a file that is open for reading."""


def file_path(file_id: str, ending: str = "") -> str:
    """Path of a file."""
    return f"{FILES_PATH}/{path_part(file_id)}{ending}"


def upload_call(filename: str, content: bytes, purpose: str, expires_after_seconds: int | None) -> Call[StoredFile]:
    """Call that uploads a file."""
    fields = {"purpose": purpose}
    if expires_after_seconds is not None:
        fields["expires_after[anchor]"] = "created_at"
        fields["expires_after[seconds]"] = str(expires_after_seconds)
    return Call(Request("POST", FILES_PATH, upload=Upload(filename, content, fields)), read_model(StoredFile))


def content_call(file_id: str) -> Call[bytes]:
    """Call for the bytes of a file."""

    def read(answer: Answer) -> bytes:
        return answer.body

    return Call(Request("GET", file_path(file_id, "/content"), is_repeatable=True), read)


def read_source(source: FileSource, filename: str | None) -> tuple[str, bytes]:
    """Name and bytes of a file."""
    if isinstance(source, bytes):
        return filename or "upload", source
    if isinstance(source, (str, PathLike)):
        path = Path(source)
        return filename or path.name, path.read_bytes()
    return filename or Path(str(getattr(source, "name", "upload"))).name, source.read()
