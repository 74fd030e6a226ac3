"""Examples with `>>>`, in docstrings and on pages, give what they say."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import proactrec

from .blocks import pages

SOURCE = Path(proactrec.__file__).parent
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def modules() -> list[str]:
    """Modules that have such examples, by name."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        if ">>> " in path.read_text():
            parts = path.relative_to(SOURCE.parent).with_suffix("").parts
            found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


@pytest.mark.parametrize("name", modules())
def test_examples_of_a_module(name: str) -> None:
    failed, tried = doctest.testmod(import_module(name), optionflags=FLAGS)
    assert tried > 0
    assert failed == 0


def test_examples_of_pages() -> None:
    for path in pages():
        failed, _ = doctest.testfile(str(path), module_relative=False, optionflags=FLAGS)
        assert failed == 0, path
