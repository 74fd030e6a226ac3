"""Files that appear whole or not at all, whoever is killed while they are written."""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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


@contextmanager
def alone_in(folder: Path, *, is_replaced: bool = False) -> Iterator[None]:
    """Let no other command write a folder meanwhile; one that is killed is in nobody's way.

    Parameters
    ----------
    is_replaced : bool
        As :func:`replacing_folder` does: what says so lies beside the folder, else within.

    Raises
    ------
    InvalidInputError
        If another one writes it.
    """
    folder = folder.absolute()
    lock = folder.with_name(f".{folder.name}.lock") if is_replaced else folder / ".lock"
    made = [parent for parent in lock.parents if not parent.exists()]
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _held(lock, folder):
            yield
    finally:
        for parent in made:  # which are empty if nothing was written
            with suppress(OSError):
                parent.rmdir()


@contextmanager
def _held(lock: Path, folder: Path) -> Iterator[None]:
    while True:
        with lock.open("a", encoding="utf-8") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # no child inherits it
            except (BlockingIOError, PermissionError) as error:
                raise InvalidInputError(
                    f"another command is writing into {folder}: wait for its end, or choose another"
                    " folder"
                ) from error
            except OSError:  # a file system without locks
                pass
            if not _is_there(lock, file.fileno()):  # who had it before has just deleted it
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_there(path: Path, opened: int) -> bool:
    """Whether an opened file is still the one of this path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(opened))
    except FileNotFoundError:
        return False


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
