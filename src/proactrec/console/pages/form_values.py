"""What fields of a form say, read and checked; what is wrong is said by their labels."""

import math
from collections.abc import Callable
from typing import TypeVar

from nicegui.element import Element

from proactrec.console.elements import Field
from proactrec.console.frame import problem
from proactrec.errors import InvalidInputError, ProactrecError

T = TypeVar("T")


class FieldError(InvalidInputError):
    """A field says what breaks its rule."""

    def __init__(self, field: Field, rule: str) -> None:
        super().__init__(f"{field.label!r} {rule}")
        self.field = field


def read(ask: Callable[[], T], told: Element) -> T | None:
    """What a form says; None: it can't be so, and why is told there and shown at the field."""
    told.clear()
    try:
        return ask()
    except ProactrecError as error:
        with told:
            problem(error)
            if isinstance(error, FieldError):
                error.field.point_out()
        return None


def filled_in(field: Field) -> str:
    """A text.

    Raises
    ------
    FieldError
        If there is none.
    """
    found = field.value.strip()
    if not found:
        raise FieldError(field, "must not be empty")
    return found


def number(field: Field) -> float | None:
    """A number within the bounds of its input; None: nothing.

    Raises
    ------
    FieldError
        If it is none, or beyond a bound.
    """
    try:
        found = field.number()
    except ValueError as error:
        raise FieldError(field, f"must be a number, got {field.value!r}") from error
    if found is None:
        return None
    if not math.isfinite(found):
        raise FieldError(field, f"must be a number, got {field.value!r}")
    least, most = field.element._props.get("min"), field.element._props.get("max")
    if least is not None and found < float(least):
        raise FieldError(field, f"must be {least} or more, got {field.value}")
    if most is not None and found > float(most):
        raise FieldError(field, f"must be {most} or less, got {field.value}")
    return found


def whole(field: Field) -> int | None:
    """A whole number; None: nothing.

    Raises
    ------
    FieldError
        If it is none, or beyond a bound.
    """
    found = number(field)
    if found is not None and found != int(found):
        raise FieldError(field, f"must be a whole number, got {field.value}")
    return None if found is None else int(found)


def share(field: Field) -> float | None:
    """A share that is said in percent, or a difference of shares in points; None: nothing.

    Raises
    ------
    FieldError
        If it is no number, or beyond a bound.
    """
    found = number(field)
    return None if found is None else round(found / 100, 12)


def needed_share(field: Field) -> float:
    """The same where it has to be said.

    Raises
    ------
    FieldError
        If it is not, or if it is no number or beyond a bound.
    """
    found = share(field)
    if found is None:
        raise FieldError(field, "must not be empty")
    return found


def names(field: Field) -> list[str]:
    """What stands between commas."""
    return [one.strip() for one in field.value.split(",") if one.strip()]


def in_percent(part: float | None) -> str:
    """As a field holds a share; empty: there is none."""
    return "" if part is None else f"{100 * part:.10g}"


def counted(n: int | None) -> str:
    """As a field holds a number."""
    return "" if n is None else str(n)
