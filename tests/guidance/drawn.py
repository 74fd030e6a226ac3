"""What hypothesis draws: rails of every kind, and journeys in any mix of rounds."""

import os
from dataclasses import replace
from typing import NamedTuple

import torch
from hypothesis import strategies as st

from proactrec.guidance.guide import Guide
from proactrec.guidance.rails import RailsOptions
from proactrec.guidance.recorded import train_users
from proactrec.journeys import ACCEPTED, REFUSED, UNKNOWN, Journeys

from .toys import KINDS, N_ITEMS, N_ROUNDS, N_USERS, TARGETS, Toy

N_EXAMPLES = int(os.environ.get("PROACTREC_RAILS_EXAMPLES", "30"))

share = st.sampled_from([0.05, 0.1, 0.3, 0.5, 0.9])
count = st.integers(1, 5)
SPAN_USERS = {"item_cap_per_round", "item_cap_total", "daily_cap", "rounds_per_day", "guided_pairs"}
some_kinds = st.lists(st.sampled_from(KINDS), max_size=2, unique=True).map(tuple)


@st.composite
def rails_options(draw: st.DrawFn, *, spans: bool = True) -> RailsOptions:
    """Some of all rails; without those that span users where `spans` is false."""
    pause_after, daily_cap = draw(st.none() | count), draw(st.none() | count)
    given_rails = {
        "relevance_floor": draw(st.none() | share),
        "forbidden_categories": draw(some_kinds),
        "protected_categories": draw(some_kinds),
        "category_caps": draw(st.dictionaries(st.sampled_from(KINDS), st.integers(0, 4))),
        "item_cap": draw(st.none() | count),
        "plain_share": draw(st.just(0.0) | share),
        "guided_budget": draw(st.none() | st.integers(0, 5)),
        "pause_after": pause_after,
        "pause_rounds": 3 if pause_after is None else draw(count),
        "stop_after": draw(st.none() | count),
        "item_cap_per_round": draw(st.none() | count),
        "item_cap_total": draw(st.none() | st.integers(1, 20)),
        "daily_cap": daily_cap,
        "rounds_per_day": None if daily_cap is None else draw(count),
        "guided_pairs": draw(st.none() | share | st.integers(2, 30)),
        "opt_out": draw(st.lists(st.sampled_from(["u01", "u07"]), unique=True).map(tuple)),
        "opt_out_share": draw(st.just(0.0) | share),
    }
    names = sorted(given_rails if spans else set(given_rails) - SPAN_USERS)
    kept = draw(st.sets(st.sampled_from(names), min_size=1))
    for one, other in (("pause_rounds", "pause_after"), ("daily_cap", "rounds_per_day")):
        kept |= {one, other} if kept & {one, other} else set()
    return RailsOptions(**{name: value for name, value in given_rails.items() if name in kept})


class Row(NamedTuple):
    """A journey so far."""

    user: int
    target: int
    shown: list[int]
    answer: list[int]
    guided: list[bool]


@st.composite
def a_row(draw: st.DrawFn, answers: tuple[int, ...] = (ACCEPTED, REFUSED, UNKNOWN)) -> Row:
    n_past = draw(st.integers(0, N_ROUNDS - 1))
    one_each = {"min_size": n_past, "max_size": n_past}
    return Row(
        draw(st.integers(0, N_USERS - 1)),
        draw(st.sampled_from(TARGETS.tolist())),
        draw(st.lists(st.integers(1, N_ITEMS), unique=True, **one_each)),
        draw(st.lists(st.sampled_from(answers), **one_each)),
        draw(st.lists(st.booleans(), **one_each)),
    )


some_rows = st.lists(a_row(), min_size=1, max_size=7)


def journeys_of(rows: list[Row], toy: Toy, guide: Guide, padding: str = "left") -> Journeys:
    """The journeys of these rows, each in a round of its own."""
    users = replace(train_users(toy.dataset, guide), padding=padding)
    user, target = (torch.tensor([row[at] for row in rows]) for at in (0, 1))
    begun = Journeys.begun(users, user, target, N_ROUNDS)
    n_past = torch.tensor([len(row.shown) for row in rows])
    shown, answer, guided = begun.shown.clone(), begun.answer.clone(), begun.guided.clone()
    for at, row in enumerate(rows):
        past = slice(0, len(row.shown))
        shown[at, past] = torch.tensor(row.shown, dtype=shown.dtype)
        answer[at, past] = torch.tensor(row.answer, dtype=answer.dtype)
        guided[at, past] = torch.tensor(row.guided, dtype=guided.dtype)
    return begun._replace(
        shown=shown,
        answer=answer,
        guided=guided,
        round=begun.round + n_past,
        rounds_left=begun.rounds_left - n_past,
    )
