"""The bound beside dynamic programming: never below it, and how far above."""

import os
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from proactrec.errors import InvalidInputError
from proactrec.evaluation.bound import BoundOptions, upper_bounds
from proactrec.evaluation.oracles import OracleGreedy, OracleLookahead
from proactrec.evaluation.pairs import Pairs
from proactrec.simulator.response import DistributionResponse
from proactrec.simulator.world import World, WorldOptions
from proactrec.testing.optimum import Small
from proactrec.testing.toys import dataset_of
from proactrec.worth import Worth

N_EXAMPLES = int(os.environ.get("PROACTREC_BOUND_EXAMPLES", "60"))
COARSE = BoundOptions(interest_step=0.01, chance_ratio=1.1)
INTEREST = Worth(target=0, step=0, interest=1)
ITEMS, HAD, USER = (1, 2, 3, 4, 5), (6, 7), 0
DATASET = dataset_of([[*HAD, 1, 2], [*ITEMS, *HAD]])
"""The last two of a history are held out, so that the first user has two items."""
SMALL: dict[str, Any] = {
    "seed": st.integers(0, 2**31),
    "dim": st.sampled_from([2, 3, 5, 8]),
    "slope": st.sampled_from([0.5, 2.0, 6.0, 15.0]),
    "kept": st.sampled_from([0.5, 0.8, 0.95]),
    "after_success": st.sampled_from(["continue", "stop"]),
}


def small(
    seed: int, dim: int, *, slope: float, worth: Worth, n_rounds: int = 3, **options: Any
) -> Small:
    """A random instance; items and users crowd around a direction, as fitted ones do."""
    draw = torch.Generator().manual_seed(seed)
    drawn = torch.randn(len(DATASET.items) + 3, dim, generator=draw)
    drawn += float(torch.rand((), generator=draw)) * torch.randn(dim, generator=draw)
    vectors = F.normalize(drawn, dim=1)
    vectors[2] = 0  # padding
    offset = float(torch.rand((), generator=draw)) - 0.3
    world = World(
        DATASET,
        vectors[:2],
        vectors[2:],
        np.array([1]),
        WorldOptions(**options),
        response=DistributionResponse(slope, offset),
    )
    return Small(DATASET, world, worth, 1, ITEMS, n_rounds)


def bound_of(one: Small, options: BoundOptions = COARSE, **settings: Any) -> float:
    pairs = Pairs(np.array([USER]), np.array([one.target]))
    settings = {"n_rounds": one.n_rounds, "options": options, **settings}
    return float(upper_bounds(one.world, pairs, one.worth, **settings)[0])


@settings(max_examples=N_EXAMPLES, deadline=None)
@given(
    **SMALL,
    worth=st.builds(
        Worth,
        target=st.sampled_from([0.0, 1.0]),
        step=st.sampled_from([0.0, 0.02]),
        interest=st.sampled_from([0.0, 0.2, 1.0]),
    ),
    leaving=st.sampled_from([0.0, 0.1, 0.4]),
    refused=st.sampled_from([0.0, 0.3]),
)
def test_no_order_of_items_passes_it(
    seed: int, dim: int, slope: float, kept: float, after_success: str, worth: Worth,
    leaving: float, refused: float,
) -> None:  # fmt: skip
    options = {"kept_share": kept, "leaving": leaving, "leaving_refused": refused}
    one = small(seed, dim, slope=slope, worth=worth, after_success=after_success, **options)
    assert one.best(USER) <= bound_of(one) + 1e-9


@settings(max_examples=max(N_EXAMPLES // 6, 5), deadline=None)
@given(**SMALL)
def test_oracles_stay_below_the_optimum_and_the_bound(
    seed: int, dim: int, slope: float, kept: float, after_success: str
) -> None:
    options = {"kept_share": kept, "after_success": after_success}
    one = small(seed, dim, slope=slope, worth=INTEREST, **options)
    best = one.best(USER)
    for oracle in (OracleGreedy(), OracleLookahead()):
        assert one.played(USER, one.choice_of(oracle, USER)) <= best + 1e-6
    assert best <= bound_of(one) + 1e-9
