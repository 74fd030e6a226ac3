"""Decides what it is asked on its standard input: another process, with a guide of its own.

Run as ``python -m tests.guidance.apart`` from the root of the repository.
"""

import json
import sys
from typing import Any, NamedTuple

import torch

from proactrec.guidance.rails import RailsOptions

from .drawn import Row, journeys_of
from .toys import made


class Case(NamedTuple):
    """A guide and the journeys that it is asked about."""

    policy: str
    rails: dict[str, Any] | None
    rows: list[Row]


def decided(cases: list[Case]) -> list[list[list[float]]]:
    """Item, whether it is a guided one, and score, of every journey of every case."""
    toy, found = made(), []
    for name, rails, rows in cases:
        guide = toy.guide(name, None if rails is None else RailsOptions(**rails))
        ruled = guide.decide(journeys_of(rows, toy, guide))
        columns = (ruled.item_idx, ruled.guided, ruled.score.nan_to_num())
        found.append(torch.stack([x.double() for x in columns], 1).tolist())
    return found


if __name__ == "__main__":
    asked = [Case(n, rails, [Row(*row) for row in rows]) for n, rails, rows in json.load(sys.stdin)]
    json.dump(decided(asked), sys.stdout)
