"""Guides of several policies, fitted on a small log, and what is played with them."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from proactrec.data.load import DatasetOptions
from proactrec.data.sources.table import TableOptions
from proactrec.fitting.fitting import Fitting
from proactrec.fitting.guides import fit_guide
from proactrec.fitting.options import FittingOptions
from proactrec.graphau import GraphAUOptions
from proactrec.guidance.past import JOURNEY_COLUMNS, checked_journeys, no_journeys
from proactrec.guidance.saved import SavedGuide
from proactrec.guidance.tomorrow import People, next_items
from proactrec.testing.toys import TINY_IRN, TINY_PRORL
from proactrec.training import StoppingOptions

N_USERS, N_ITEMS, N_EACH = 24, 30, 9
KINDS = ("Drama", "Comedy", "War")
FEW = {"n_epochs": 2, "min_epochs": 1}
FORESIGHT = {"n_models": 1, "view_dim": 4, "graphau": {"embedding_dim": 4, "stopping": FEW}}
POLICIES: dict[str, tuple[str, dict[str, Any]]] = {
    "itmprec": ("itmprec", {}),
    "foresight": ("foresight", FORESIGHT),
    "irn, replan": ("irn", {"model": TINY_IRN, "mode": "replan"}),
    "irn, plan once": ("irn", {"model": TINY_IRN, "mode": "plan_once"}),
    "prorl, replan": ("prorl", {"model": TINY_PRORL, "mode": "replan"}),
    "prorl, plan once": ("prorl", {"model": TINY_PRORL}),
    "nearest": ("nearest-to-target", {}),
    "popular": ("popular", {}),
    "random": ("random", {}),
}


class Log(NamedTuple):
    """A shop's log: what the guide is fitted on."""

    events: pl.DataFrame
    items: pl.DataFrame


def log() -> Log:
    """24 users with 9 of 30 items each; every item has one of three categories."""
    rng = np.random.default_rng(3)
    rows = [
        (f"u{user:02}", f"i{item:02}", time)
        for user in range(N_USERS)
        for time, item in enumerate(rng.permutation(N_ITEMS)[:N_EACH])
    ]
    items = [(f"i{n:02}", f"Film {n}", KINDS[n % 3]) for n in range(N_ITEMS)]
    return Log(
        pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row"),
        pl.DataFrame(items, ["item_id", "title", "categories"], orient="row"),
    )


def fit(folder: Path, policy: str, **changes: Any) -> SavedGuide:
    """The guide of a policy of the table; models are trained once in the folder."""
    files = TableOptions(events=folder / "events.csv", items=folder / "items.csv")
    if not (folder / "events.csv").exists():
        whole = log()
        whole.events.write_csv(folder / "events.csv")
        whole.items.write_csv(folder / "items.csv")
    name, options = POLICIES[policy]
    wanted = FittingOptions(
        dataset=DatasetOptions(name="csv", filter="none", table=files),
        policy=name,
        policy_options=changes.pop("policy_options", options),
        encoder_options={"embedding_dim": 8, "max_seq_len": 6, "n_intents": 3, "stopping": FEW},
        graphau=GraphAUOptions(embedding_dim=8, stopping=StoppingOptions(**FEW)),
        **changes,
    )
    return fit_guide(Fitting(wanted, folder / "store"))


def answered(table: pl.DataFrame) -> pl.DataFrame:
    """What was shown, a third accepted, a third refused, a third not answered yet."""
    number = pl.concat_str("user_id", "target_id", "item_id").hash(7) % 3
    answer = pl.when(number < 2).then(number.cast(pl.Int64))
    return (
        table.filter(pl.col("item_id").is_not_null())
        .with_columns(answer=answer)
        .select(JOURNEY_COLUMNS)
    )


def played(
    people: People, target_ids: tuple[str, ...], n_rounds: int = 3
) -> tuple[list[pl.DataFrame], pl.DataFrame]:
    """What is shown in every round, and the journeys after the last but one."""
    past, tables = pl.DataFrame(), []
    for number in range(n_rounds):
        rounds = no_journeys()
        if number:
            past = pl.concat([past, answered(tables[-1])]) if past.height else answered(tables[-1])
            rounds, left = checked_journeys(past, people.index, people.guide.guide.items.index)
            assert left == []
        tables.append(next_items(people, people.journeys(rounds, target_ids, 6)))
    return tables, past


def changed_json(path: Path, **changes: Any) -> None:
    """The file with other values."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
