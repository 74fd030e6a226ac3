"""Rules of options that need nothing loaded: bounds, choices, and paths that lead somewhere."""

import errno
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from proactrec.config import BOUNDS, number_text
from proactrec.errors import InvalidInputError
from proactrec.names import meant, spelled

IS_KEPT: Mapping[str, Callable[[Any, float], bool]] = {
    "ge": lambda value, bound: value >= bound,
    "gt": lambda value, bound: value > bound,
    "le": lambda value, bound: value <= bound,
    "lt": lambda value, bound: value < bound,
}


NUMBERS: Mapping[str, tuple[Callable[[str], int | float], str]] = {
    "int": (int, "a whole number"),
    "float": (float, "a number"),
}


class Rule(NamedTuple):
    """What the value of an option must be."""

    bounds: Mapping[str, float] = {}
    """By the names in :data:`proactrec.config.BOUNDS`."""
    choices: tuple[str, ...] = ()
    is_path: bool = False
    is_finite: bool = False
    number: str | None = None
    """What the text is to be read as, by its name in :data:`NUMBERS`."""

    def checked(self, option: str, value: Any) -> Any:
        """The value, choices spelled as they are known; of a list every one.

        Raises
        ------
        InvalidInputError
            If it breaks the rule.
        """
        if isinstance(value, list | tuple):
            return type(value)(self.checked(option, one) for one in value)
        if value is None:
            return None
        if self.number is not None:
            value = self._read(option, value)
        if self.choices and value:  # an empty text says that there is none, where that can be
            value = spelled(value, self.choices)
        if broken := self._broken(value):
            raise InvalidInputError(f"{option} must be {broken}, got {value!r}")
        return value

    def _read(self, option: str, value: str) -> int | float:
        kind, rule = NUMBERS[self.number or ""]
        try:
            return kind(value)
        except ValueError as error:
            raise InvalidInputError(f"{option} must be {rule}, got {value!r}") from error

    def _broken(self, value: Any) -> str:
        """What the value should be and is not; nothing if it is right."""
        if self.choices and value and value not in self.choices:
            return f"{listed(self.choices)}{meant(value, self.choices)}"
        if self.is_path:
            if not value or value.startswith("~"):  # which libraries take for the home folder
                return "a path, with the home folder spelled out" if value else "a path"
            return "a path without a circle of links" * is_circle(value)
        if self.is_finite and not math.isfinite(value):
            return "a finite number"
        kinds = (kind for kind, bound in self.bounds.items() if not IS_KEPT[kind](value, bound))
        return next((f"{BOUNDS[kind]} {number_text(self.bounds[kind])}" for kind in kinds), "")


def callback_of(option: str, rule: Rule) -> Callable[[Any], Any] | None:
    """What typer calls with the value of an option, its rule kept as `rule`; None without a rule.

    Typer hands it the values of a repeatable option as a list.
    """
    if rule == Rule():
        return None

    def checked(value: Any) -> Any:
        return rule.checked(option, value)

    vars(checked)["rule"] = rule
    return checked


def listed(words: tuple[str, ...]) -> str:
    """Choices in words, e.g. "flat, medium or steep"."""
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def is_circle(path: str) -> bool:
    """Whether symbolic links on the way of a path lead in a circle."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno == errno.ELOOP
    except ValueError:  # not even a path, e.g. with a byte 0
        return False
    return False
