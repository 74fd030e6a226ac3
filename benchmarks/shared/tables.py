"""Tables of results pages, and means over seeds as they stand in them."""

import math
from collections.abc import Iterable, Sequence

from proactrec.measurement.student import T_975


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    rule = ["---"] * len(heads)
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))


def interval(values: Sequence[float], decimals: int) -> str:
    """Mean ± half-width of the 95 % interval over seeds."""
    n = len(values)
    mean = sum(values) / n
    if n == 1:
        return f"{mean:.{decimals}f}"
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    return f"{mean:.{decimals}f} ± {T_975[n - 2] * deviation / math.sqrt(n):.{decimals}f}"
