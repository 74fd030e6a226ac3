"""Names as people type them."""

import pytest

from proactrec.names import meant, spelled, unknown

METHODS = ("ITMPRec", "random", "target-now", "one round")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("ITMPRec", "ITMPRec"),
        ("itmprec", "ITMPRec"),
        ("Random", "random"),
        ("TARGET-NOW", "target-now"),
        ("nobody", "nobody"),
        ("", ""),
    ],
)
def test_capitals_do_not_matter(typed: str, found: str) -> None:
    assert spelled(typed, METHODS) == found


def test_of_names_that_differ_in_capitals_alone_each_is_itself() -> None:
    assert [spelled(name, ("a", "A")) for name in ("a", "A")] == ["a", "A"]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("itmpec", " (did you mean ITMPRec?)"),
        ("Randon", " (did you mean random?)"),
        ("xyz", ""),
        ("", ""),
    ],
)
def test_near_names_are_suggested(typed: str, said: str) -> None:
    assert meant(typed, METHODS) == said


def test_the_error_lists_what_there_is() -> None:
    said = str(unknown("method", "randm", METHODS, ", or a file"))
    wanted = "method 'randm' does not exist; there are ITMPRec, random, target-now, one round, "
    assert said == f"{wanted}or a file (did you mean random?)"
