"""Five users, six items, two targets, three rounds: a log whose numbers can be read off."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from proactrec.data.catalogue import Catalogue
from proactrec.data.dataset import Dataset
from proactrec.data.interactions import Interactions
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.results import Figure, PairCounts, RunResult, TargetItem

N_USERS, N_ROUNDS, DIM = 5, 3, 4
HOSTILE = "<script>alert('x')</script> & $co$t"


@pytest.fixture
def dataset() -> Dataset:
    """Five users who each touched four of six items; item 6 is named `HOSTILE`."""
    events = [(user, (user + step) % 6 + 1, step) for user in range(N_USERS) for step in range(4)]
    interactions = pl.DataFrame(
        {
            "user_id": [f"u{user}" for user, _, _ in events],
            "item_id": [str(item) for _, item, _ in events],
            "timestamp": [time for _, _, time in events],
        }
    )
    catalogue = pl.DataFrame(
        {
            "item_id": [str(item) for item in range(1, 7)],
            "title": ["Alpha", "Beta", "Gamma", "Delta", "Epsilon", HOSTILE],
            "categories": [
                ["Noir"],
                ["Comedy"],
                ["Noir", "Comedy"],
                [],
                ["Drama"],
                ["<b>Noir</b>"],
            ],
        }
    )
    return Dataset.build("toy", Interactions(interactions), Catalogue(catalogue))


@pytest.fixture
def log() -> GuidanceLog:
    """Every user with targets 5 and 6; user 0 accepts target 6 in round 2 and stops."""
    user_idx, target_idx = np.tile(np.arange(N_USERS), 2), np.repeat([5, 6], N_USERS)
    n_pairs = len(user_idx)
    item_idx = np.tile([1, 2, 3], (n_pairs, 1))
    accepted = np.tile([True, False, True], (n_pairs, 1))
    accept_prob = np.tile([0.5, 0.25, 0.75], (n_pairs, 1))
    interest = np.linspace(0, 0.3, N_ROUNDS + 1) * np.linspace(1, 2, n_pairs)[:, None]
    rank = np.tile([5, 4, 4, 2], (n_pairs, 1))
    item_idx[5], accepted[5], accept_prob[5] = [1, 6, 0], [True, True, False], [0.5, 0.25, np.nan]
    return GuidanceLog(
        user_idx,
        target_idx,
        item_idx,
        accept_prob,
        accepted,
        interest,
        rank,
        np.ones(n_pairs, bool),
    )


@pytest.fixture
def trace() -> dict[str, Any]:
    """The `traced_pairs`, `vectors` and `target_vectors` of two pairs."""
    rng = np.random.default_rng(0)
    return {
        "traced_pairs": np.array([0, 5]),
        "vectors": rng.normal(size=(2, N_ROUNDS + 1, DIM)),
        "target_vectors": rng.normal(size=(2, DIM)),
    }


@pytest.fixture
def result() -> RunResult:
    """Everything that a report shows of a run."""
    return RunResult(
        dataset="toy",
        synthetic=True,
        n_users=5,
        n_items=6,
        n_interactions=20,
        policy="itmprec",
        protocol="common",
        seed=7,
        targets=(
            TargetItem(item_idx=5, item_id="5", title="Epsilon", score=0.5, share_seen=0.2),
            TargetItem(item_idx=6, item_id="6", title=HOSTILE, share_seen=0.4),
        ),
        metrics={
            "hr": {1: figure(0.412), 3: figure(0.523)},
            "ioi": {1: figure(-0.05), 3: figure(0.25)},
            "ior": {1: figure(12.3), 3: figure(34.5)},
            "target_accepted": {1: figure(0.123), 3: figure(0.456)},
            "rounds_to_target": {1: figure(1), 3: figure(2.345)},
        },
        outcome={"target_accepted": figure(0.456), "coverage": figure(0.5)},
        pairs=PairCounts(n_pairs=10, n_accepted_target=1, n_owners_left_out=2),
        next_item={"validation": {"hr@10": 0.1234, "ndcg@20": 0.0567}, "test": {"hr@10": 0.2}},
        popularity={"validation": {"hr@10": 0.0432}},
        interest_vectors={
            "random": {"mean": 0.01, "std": 0.1},
            "held_out": {"mean": 0.4, "std": 0.2},
        },
        seconds={"encoder": 12.5, "guidance": 2.5},
        peak_memory_mb=512.0,
        versions={"proactrec": "0.1.0"},
        options={"world": {"mean_accept": 0.5, "name": "<i>medium</i>"}},
        command="proactrec simulate --category 'A & B'",
    )


def figure(mean: float) -> Figure:
    """With an interval of 0.1 on either side."""
    return Figure(mean=mean, low=mean - 0.1, high=mean + 0.1)


@pytest.fixture
def invented_benchmark() -> Callable[..., pl.DataFrame]:
    """Makes the long frame of an invented benchmark: no figure in it was measured.

    Method k of n gains (k + 1) / n · strength of the world, a hundredth more in each further seed;
    methods named oracle… read the users' minds.
    """

    def invented(
        methods: Sequence[str] = ("SASRec", "IPG", "ITMPRec", "oracle-greedy"),
        places: Sequence[tuple[str, str]] = (("common", "medium"),),
        n_seeds: int = 3,
        dataset: str = "toy",
    ) -> pl.DataFrame:
        strength = {"flat": 0.2, "medium": 0.4, "steep": 0.6, "official": 0.5}
        rows = [
            (dataset, *place, method, method.startswith("oracle"), seed, *figure)
            for place in places
            for at, method in enumerate(methods)
            for seed in range(n_seeds)
            for figure in _invented_figures(
                (at + 1) / len(methods) * strength[place[1]] + seed / 100, place[0], at
            )
        ]
        names = "dataset protocol world method is_oracle seed metric round mean low high"
        return pl.DataFrame(rows, schema=names.split(), orient="row", infer_schema_length=None)

    return invented


def _invented_figures(gain: float, protocol: str, at: int) -> list[tuple[Any, ...]]:
    """(metric, round, mean, low, high) of one invented method and seed."""
    figures: list[tuple[Any, ...]] = []
    for number in range(21):
        figures += [
            ("accepted", number, gain * number / 40, None, None),
            ("interest", number, 0.1 + gain * number / 20, None, None),
            ("rank", number, 900 - 500 * gain * number / 20, None, None),
        ]
    for number in (5, 10, 15, 20):
        ioi = gain * number / 20
        for metric, mean in (
            ("hr", 0.3 + ioi / 2),
            ("ioi", ioi),
            ("ior", 500 * ioi),
            ("target_accepted", ioi / 2),
            ("rounds_to_target", number * (1 - ioi / 4)),
            ("worth", ioi),
        ):
            figures.append((metric, number, mean, mean * 0.9, mean * 1.1))
        if protocol != "official":
            figures.append(("ior200", number, 100 * ioi, 90 * ioi, 110 * ioi))
    for metric, mean in (
        ("share_of_oracle", gain),
        ("guidance_seconds", 1.3**at),
    ):
        figures.append((metric, 20, mean, None, None))
    return figures
