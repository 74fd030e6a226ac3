"""Where a text table breaks its rules: quotes are checked before it is read, the rest after."""

import re


def has_sound_quotes(text: str, separator: str, quote: str) -> bool:
    """Whether every quote opens a value, closes it, or is doubled inside it.

    A reader of tables guesses at all others, and may join or part rows by it. Only rows with a
    quote are looked at.
    """
    inside = f"{quote}[^{quote}]*+(?:{quote}{quote}[^{quote}]*+)*+{quote}"
    value = f"(?:{inside}|[^{quote}{re.escape(separator)}\n]*+)"
    row = re.compile(f"{value}(?:{re.escape(separator)}{value})*+(?:\n|\\Z)")
    place = text.find(quote)
    while place >= 0:
        found = row.match(text, text.rfind("\n", 0, place) + 1)
        if found is None:
            return False
        place = text.find(quote, found.end())
    return True


def first_fault(text: str, separator: str, quote: str | None) -> str | None:
    """Line, column and fault in words of a text table's first broken row; None if none is found."""
    n_columns: int | None = None
    line, place = 1, 0
    while place < len(text):
        values, after, fault = _row(text, place, separator, quote)
        if fault:
            return f"line {line}, column {values}: {fault}"
        if n_columns is None:
            n_columns = values
        elif values > n_columns:
            return f"line {line} has {values} columns, the first line has {n_columns}"
        line += text.count("\n", place, after)
        place = after
    return None


def _row(text: str, place: int, separator: str, quote: str | None) -> tuple[int, int, str]:
    """Number of values of the row at `place`, where the next row starts, and what is wrong."""
    n_values = 1
    while True:
        end, fault = _value(text, place, separator, quote)
        if fault:
            return n_values, end, fault
        if end >= len(text) or text[end] == "\n":
            return n_values, end + 1, ""
        n_values, place = n_values + 1, end + 1


def _value(text: str, place: int, separator: str, quote: str | None) -> tuple[int, str]:
    """Where the value at `place` ends, and what is wrong with it."""
    if quote is None or not text.startswith(quote, place):
        ends = [n for n in (text.find(separator, place), text.find("\n", place)) if n >= 0]
        end = min(ends, default=len(text))
        if quote is not None and quote in text[place:end]:
            return end, "a quote inside a value that does not start with one"
        return end, ""
    end = text.find(quote, place + 1)
    while end >= 0 and text.startswith(quote, end + 1):  # a doubled quote stands for one
        end = text.find(quote, end + 2)
    if end < 0:
        return len(text), "a quote is opened and never closed"
    if end + 1 < len(text) and text[end + 1] not in (separator, "\n"):
        return end, "text after a closing quote"
    return end + 1, ""
