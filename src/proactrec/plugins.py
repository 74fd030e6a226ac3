"""Classes that are loaded on first use: by module and name, or from somebody's own file."""

import hashlib
import importlib
import importlib.util
from pathlib import Path
from typing import Any, TypeVar

from proactrec.errors import InvalidInputError, UnknownIdError

T = TypeVar("T")


def loaded(name: str) -> Any:
    """What ``module:name`` stands for."""
    module, _, kind = name.partition(":")
    return getattr(importlib.import_module(module), kind)


def is_file(name: str) -> bool:
    """Whether a name is the path of a file with a class of one's own."""
    return name.endswith(".py")


def source_of(name: str) -> str:
    """What tells apart two versions of a class: its name, or the hash of its file."""
    return hashlib.sha256(Path(name).read_bytes()).hexdigest() if is_file(name) else name


def from_file(name: str, base: type[T]) -> type[T]:
    """The last subclass of `base` that is defined in a file ``path/to/own.py``.

    Raises
    ------
    UnknownIdError
        If there is no such file.
    InvalidInputError
        If it can't be run, or defines none, or one without a `name`.
    """
    path, what = Path(name), base.__name__.lower()
    if not path.is_file():
        raise UnknownIdError(f"{what} file {path} does not exist")
    spec = importlib.util.spec_from_file_location(f"proactrec_{what}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InvalidInputError(
            f"{what} file {path} can't be run: {type(error).__name__}: {error}"
        ) from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base)
        and value.__module__ == module.__name__
    ]
    if not found:
        raise InvalidInputError(
            f"{what} file {path} must define a subclass of {base.__name__}, has none"
        )
    if not hasattr(found[-1], "name"):
        raise InvalidInputError(f"{what} file {path} must give {found[-1].__name__} a name")
    return found[-1]
