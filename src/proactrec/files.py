"""Files that appear whole or not at all, whoever is killed while they are written."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from proactrec.errors import InvalidInputError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `path` if nothing fails until the end.

    Raises
    ------
    InvalidInputError
        If a folder is there, or a device or pipe, which would be gone.
    """
    if path.exists() and not path.is_file():
        raise InvalidInputError(f"{path} is there and no file: choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Where to fill a folder that takes the place of another if nothing fails until the end."""
    partial, old = (
        folder.absolute().parent / f".{folder.name}.{kind}-{os.getpid()}" for kind in ("new", "old")
    )
    partial.mkdir(parents=True)
    try:
        yield partial
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> Path:
    """Replace a file by text in UTF-8, on the disk when it returns; the path again."""
    with replacing(path) as partial, partial.open("w", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return path


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """What :func:`write_json` wrote."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
