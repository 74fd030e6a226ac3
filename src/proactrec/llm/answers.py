"""What an answer says: the chance of a click, or a path of titles; nothing is ever guessed."""

import json
import math
import re
from collections.abc import Mapping

from proactrec.llm.cache import Answer

_DIGIT = re.compile(r"""(?:(?:a|answer)\s*:\s*)?(["']?)([01])\1\.?""", re.IGNORECASE)
_FENCED = re.compile(r"```[a-z]*\s*\n(.*?)\n?\s*```", re.DOTALL | re.IGNORECASE)
_TRAILING_COMMA = re.compile(r'(?<=")\s*,\s*\]\Z')
_KEYS = ("answer", "a")
_MAX_JSON_CHARS = 100


def click_probability(answer: Answer) -> float | None:
    """Chance of a click, in [0, 1]; None if the answer is neither 1 nor 0.

    With chances of the first token, :math:`p(1) / (p(0) + p(1))` over all ways to write the
    digit. Without them, or where the first token is not the answer (``{"answer": 1}``), the
    single digit in the text: 0.0 or 1.0.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> said = SimpleNamespace(text="1", top_logprobs={"1": -0.5, " 1": -3.0, "0": -1.2})
    >>> round(click_probability(said), 3)
    0.685
    >>> click_probability(SimpleNamespace(text="Perhaps.", top_logprobs=None)) is None
    True
    """
    digit, tops = click_digit(answer.text), answer.top_logprobs or {}
    probability = digit_probability(tops)
    if probability is None:
        return None if digit is None else float(digit)
    return probability if digit is None or _begins_with_digit(answer.text, tops) else float(digit)


def click_digit(text: str) -> int | None:
    """The single digit 0 or 1 that a text holds, or None.

    Read are ``1``, ``A: 1``, ``Answer: 1`` with or without quotes or a full stop, and
    ``{"answer": 1}``, also within a code fence.
    """
    text = text.strip()
    if fenced := _FENCED.fullmatch(text):
        text = fenced[1].strip()
    if text.startswith("{"):
        return _json_digit(text)
    found = _DIGIT.fullmatch(text)
    return int(found[2]) if found else None


def digit_probability(top_logprobs: Mapping[str, float]) -> float | None:
    """p(1) / (p(0) + p(1)) of one token, or None if neither digit has any mass.

    Tokens that write the same digit are added up: ``1``, `` 1``, ``"1``, ``A: 1`` ….
    """
    logs: tuple[list[float], list[float]] = ([], [])
    for token, log in top_logprobs.items():
        digit = _token_digit(token)
        if digit is not None and math.isfinite(log):
            logs[digit].append(log)
    if not logs[0] and not logs[1]:
        return None
    largest = max(logs[0] + logs[1])
    zero, one = (math.fsum(math.exp(log - largest) for log in side) for side in logs)
    return one / (zero + one)


def path_titles(text: str) -> list[str] | None:
    """The titles of the JSON list from the first ``[`` to the last ``]``; None if it is none.

    A comma after the last title is forgiven, as is any text around the list.

    Examples
    --------
    >>> path_titles('Here it is: ["Alien (1979)", "Contact (1997)",]')
    ['Alien (1979)', 'Contact (1997)']
    >>> path_titles('["Alien (1979)", 3]') is None
    True
    """
    first, last = text.find("["), text.rfind("]")
    if first < 0 or last < first:
        return None
    found = _json(_TRAILING_COMMA.sub("]", text[first : last + 1]))
    if not isinstance(found, list) or not all(isinstance(title, str) for title in found):
        return None
    return found


def _begins_with_digit(text: str, tokens: Mapping[str, float]) -> bool:
    """Whether the text begins with a token that writes a digit."""
    begin = text.lstrip()
    return any(
        begin.startswith(token.lstrip()) for token in tokens if _token_digit(token) is not None
    )


def _token_digit(token: str) -> int | None:
    """The digit of a token; it may open a quote that it does not close."""
    found = _DIGIT.fullmatch(token.strip(" \n▁Ġ").lstrip("\"'"))
    return int(found[2]) if found else None


def _json_digit(text: str) -> int | None:
    found = _json(text) if len(text) <= _MAX_JSON_CHARS else None
    if not isinstance(found, dict) or len(found) != 1:
        return None
    ((key, value),) = found.items()
    is_digit = key.casefold() in _KEYS and type(value) in (int, str) and str(value) in ("0", "1")
    return int(value) if is_digit else None


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
