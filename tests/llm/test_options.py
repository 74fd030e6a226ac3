"""Options: what is refused, and that a key in an address is not repeated."""

import re

import pytest

from proactrec.errors import InvalidInputError
from proactrec.llm.options import LLMOptions


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "LLMOptions.model must be given"),
        ({"model": "m", "url": "localhost:8000"}, "must be like http://localhost:8000/v1, got"),
        ({"model": "m", "url": "ftp://host/v1"}, "must be like http://localhost:8000/v1, got"),
        ({"model": "m", "max_cost": 1.0}, "max_cost needs a price"),
        ({"model": "m", "concurrency": 0}, "must be at least 1, got 0"),
        ({"model": "m", "timeout_s": float("inf")}, "must be a finite number"),
        ({"model": "m", "key": "sk-1"}, "LLMOptions.key does not exist"),
    ],
)
def test_bad_options(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        LLMOptions(**values)


@pytest.mark.parametrize("url", ["http://user:sk-1@host/v1", "http://host/v1?api-key=sk-1"])
def test_a_key_in_the_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidInputError, match="PROACTREC_LLM_KEY") as caught:
        LLMOptions(model="m", url=url)
    assert "sk-1" not in str(caught.value)


def test_address_ends_without_a_slash() -> None:
    assert LLMOptions(model="m", url="http://host/v1/").url == "http://host/v1"
