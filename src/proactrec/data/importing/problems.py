"""Rows that could not be used: how many, why, and where the first one is."""

from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl


@dataclass
class Problem:
    """One reason for which rows were left out."""

    n: int
    where: str
    value: str

    def sentence(self, reason: str) -> str:
        """E.g. "12 rows left out: user is missing (first: e.csv, line 7, with '')"."""
        rows = "1 row" if self.n == 1 else f"{self.n:,} rows"
        return f"{rows} left out: {reason} (first: {self.where}, with {self.value})"


@dataclass
class Problems:
    """Reasons, in the order in which they were first met."""

    by_reason: dict[str, Problem] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Rows left out."""
        return sum(problem.n for problem in self.by_reason.values())

    def add(self, reason: str, where: str, value: Any, n: int = 1) -> None:
        """Count `n` more rows; the place and value of the first ever are kept."""
        text = repr(value)
        shown = text if len(text) <= 60 else f"{text[:57]}…"
        self.by_reason.setdefault(reason, Problem(0, where, shown)).n += n

    def take(self, others: "Problems") -> None:
        """Count what `others` counted."""
        for reason, problem in others.by_reason.items():
            self.by_reason.setdefault(reason, replace(problem, n=0)).n += problem.n

    def sentences(self) -> list[str]:
        """A sentence a reason."""
        return [problem.sentence(reason) for reason, problem in self.by_reason.items()]


def sift(
    reasons: list[tuple[str, pl.Series, pl.Series]], line: pl.Series, place: str, problems: Problems
) -> pl.Series:
    """Which rows are good; every other one is counted under the first reason that holds.

    Parameters
    ----------
    reasons : list of (sentence, is_bad, value)
        Bool series without nulls, and the values to show.
    line : Series
        Line (or row) number of every row.
    place : str
        What stands before it in messages: "events.csv, line".
    """
    is_good = pl.repeat(True, line.len(), eager=True)
    for reason, is_bad, value in reasons:
        is_new = is_bad & is_good
        n = int(is_new.sum())
        if n:
            row = int(is_new.arg_max() or 0)
            problems.add(reason, f"{place} {line[row]}", value[row], n)
            is_good = is_good & ~is_bad
    return is_good
