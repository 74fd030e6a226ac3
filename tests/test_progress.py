"""Progress that is printed."""

import pytest

from proactrec import PrintedProgress


def test_it_says_the_ends_of_stages_and_little_between(capsys: pytest.CaptureFixture[str]) -> None:
    told = PrintedProgress(every_s=3600)
    for done in range(1, 101):
        told("GraphAU", done, 100, "loss 0.5")
    told("GraphAU", 0, 100, "another one")
    for _ in range(3):
        told("waiting", 0, 1)
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "GraphAU 1/100 loss 0.5",
        "GraphAU 100/100 loss 0.5",
        "GraphAU 0/100 another one",
        "waiting 0/1",
    ]
    assert said.out == ""
    PrintedProgress(every_s=0)("waiting", 0, 1)
    assert capsys.readouterr().err == "waiting 0/1\n"
