"""Tomorrow's users: from events and journeys so far to what every user is shown next, and why.

Real users are known by id. Those whom models were fitted on have their histories and what came
since; others stand where their events put them; items that came after the fit, where their titles
and categories do.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from torch import Tensor

from proactrec.data.dataset import Histories
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.guidance.decision import GUIDED, REASONS, Ruled
from proactrec.guidance.guide import Places
from proactrec.guidance.ledger import FREE, Free, MemoryLedger
from proactrec.guidance.saved import SavedGuide
from proactrec.journeys import UNKNOWN, Journeys, Users
from proactrec.policies.base import Candidates, PredictsAcceptance, View
from proactrec.rng import keys_of
from proactrec.types import IntArray

JOURNEY_COLUMNS = ("user_id", "target_id", "round", "item_id", "guided", "answer")
HAS_TARGET, NOTHING_LEFT, OVERRULED = "has_target", "nothing_left", "overruled"
STEP, TARGET = "step", "target"
"""Reasons beside those of rails: why an item is shown, or none."""


class Left(NamedTuple):
    """Rows that could not be used, counted by why."""

    n: int
    why: str

    def __str__(self) -> str:
        return f"{self.n} rows left aside: {self.why}"


@dataclass(frozen=True, eq=False)
class People:
    """Real users as a guide sees them.

    Parameters
    ----------
    guide : SavedGuide
    user_ids : tuple of length n_users
    history : Histories
        Of each: what the guide knows of them, then their events that it does not, by time.
    opted_out : collection of str
        Ids, known here or not.
    """

    guide: SavedGuide
    user_ids: tuple[str, ...]
    history: Histories
    opted_out: Collection[str] = ()

    @classmethod
    def of(
        cls,
        guide: SavedGuide,
        events: pl.DataFrame,
        user_ids: Sequence[str] | None = None,
        opted_out: Collection[str] = (),
    ) -> "People":
        """These users, or everybody who has an event.

        Parameters
        ----------
        events : DataFrame
            `user_id`, `item_id` and `timestamp`, of items that the guide has; events that it was
            fitted on do no harm.

        Raises
        ------
        UnknownIdError
            If a user has no event and is not known to the guide.
        """
        wanted = tuple(user_ids or events["user_id"].unique(maintain_order=True))
        has_event = set(events["user_id"])
        for user_id in wanted:
            if user_id not in has_event and user_id not in guide.known.index:
                raise UnknownIdError(
                    f"user {user_id!r} has no event, and the guide knows no such one"
                )
        return cls(guide, wanted, _histories(guide, events, wanted), opted_out)

    @property
    def is_known(self) -> list[bool]:
        """Whether models were fitted on each user."""
        return [user_id in self.guide.known.index for user_id in self.user_ids]

    @cached_property
    def index(self) -> dict[str, int]:
        """Row of every id."""
        return {user_id: row for row, user_id in enumerate(self.user_ids)}

    @cached_property
    def users(self) -> Users:
        """As journeys refer to them."""
        known, out = self.guide.known.index, set(self.opted_out)
        drawn = np.zeros(len(self.user_ids), bool)
        if self.guide.guide.rails is not None:
            drawn = self.guide.guide.rails.opted_out(self.user_ids)
        return Users(
            key=keys_of(self.user_ids),
            known=np.array([known.get(user_id, -1) for user_id in self.user_ids], np.int64),
            history=self.history,
            opted_out=drawn | np.array([user_id in out for user_id in self.user_ids], bool),
        )

    def journeys(self, past: pl.DataFrame, target_ids: Sequence[str], n_rounds: int) -> Journeys:
        """Every user on the way to every target, with what was shown so far.

        Parameters
        ----------
        past : DataFrame
            Rounds so far, as :func:`checked_journeys` gives them.
        n_rounds : int
            Rounds that a journey has; it goes on after them, with none left.
        """
        items = self.guide.guide.items.index
        n_users = len(self.user_ids)
        user = np.tile(np.arange(n_users), len(target_ids))
        target = np.repeat([items[target_id] for target_id in target_ids], n_users)
        return self._on_the_way(past, user, target, n_rounds)

    def journeys_in(self, past: pl.DataFrame, category: str, n_rounds: int) -> Journeys:
        """Every user on the way to the item of a category that suits best.

        Whoever is on the way to one of them goes on, until it is reached; all others go to the one
        that the encoder finds most relevant, of those that they don't have.
        """
        guide, users = self.guide.guide, self.users
        items = torch.from_numpy(guide.items.of_category(category))
        everybody = torch.arange(len(users.key))
        begun = Journeys.begun(users, everybody, items[:1].expand(len(everybody)), 1)
        assert guide.recommender is not None
        best = []
        for rows in everybody.split(guide.block_size):
            some = begun.of(rows)
            relevance = guide.recommender.encoder.score(guide.recommender.place(some))
            allowed = guide.view(some, Places(relevance, relevance)).candidates.penalty
            best.append(items[(relevance + allowed)[:, items].argmax(1)])
        target = torch.cat(best).numpy()
        going = past.filter(pl.col("target").is_in(items.tolist())).sort("round")
        reached = going.filter((pl.col("item") == pl.col("target")) & (pl.col("answer") == 1))
        going = going.join(reached, on=["user", "target"], how="anti")
        target[going["user"].to_numpy()] = going["target"].to_numpy()  # the latest one stands
        return self._on_the_way(past, np.arange(len(users.key)), target, n_rounds)

    def _on_the_way(
        self, past: pl.DataFrame, user: IntArray, target: IntArray, n_rounds: int
    ) -> Journeys:
        rows = pl.DataFrame({"user": user, "target": target}).with_row_index("row")
        known = past.join(rows, on=["user", "target"], how="inner")
        most = max(n_rounds, known["round"].to_numpy().max(initial=0) + 1)
        begun = Journeys.begun(self.users, torch.from_numpy(user), torch.from_numpy(target), most)
        at = torch.from_numpy(known["row"].to_numpy().astype(np.int64))
        column = torch.from_numpy(known["round"].to_numpy() - 1)
        shown, answer, guided = begun.shown, begun.answer, begun.guided
        shown[at, column] = torch.from_numpy(known["item"].to_numpy())
        answer[at, column] = torch.from_numpy(known["answer"].to_numpy()).to(torch.int8)
        guided[at, column] = torch.from_numpy(known["guided"].to_numpy())
        last = torch.zeros_like(begun.round).scatter_reduce(0, at, column + 1, "amax")
        journeys = begun._replace(round=last + 1, rounds_left=(n_rounds - 1 - last).clamp(min=0))
        row, item = self.history.rows(user)
        owns = np.zeros(len(user), bool)
        owns[row[item == target[row]]] = True
        return journeys._replace(is_over=journeys.has_arrived | torch.from_numpy(owns))


def _histories(guide: SavedGuide, events: pl.DataFrame, user_ids: Sequence[str]) -> Histories:
    """What users had when the guide was fitted, and their events since."""
    items, known = guide.guide.items.index, guide.known
    rows = pl.DataFrame({"user_id": user_ids}).with_row_index("row")
    at = np.array([known.index.get(user_id, -1) for user_id in user_ids], np.int64)
    row, item = known.history.rows(at[at >= 0])
    before = pl.DataFrame({"row": np.flatnonzero(at >= 0)[row], "item": item}).cast(
        {"row": rows.schema["row"]}
    )
    since = (
        events.join(rows, on="user_id", how="inner", maintain_order="left")
        .with_columns(item=pl.col("item_id").replace_strict(items, return_dtype=pl.Int64))
        .sort("timestamp", maintain_order=True)
        .unique(["row", "item"], keep="first", maintain_order=True)
        .join(before, on=["row", "item"], how="anti", maintain_order="left")
    )
    whole = pl.concat([before, since.select("row", "item")]).sort("row", maintain_order=True)
    lengths = np.bincount(whole["row"].to_numpy(), minlength=len(user_ids))
    offsets = np.concatenate([[0], lengths.cumsum()]).astype(np.int64)
    return Histories(offsets, whole["item"].to_numpy())


def no_journeys() -> pl.DataFrame:
    """Rounds so far where there were none."""
    names = ("user", "target", "round", "item", "guided", "answer")
    kinds = {name: pl.Boolean() if name == "guided" else pl.Int64() for name in names}
    return pl.DataFrame(schema=kinds)


def checked_journeys(table: pl.DataFrame, people: People) -> tuple[pl.DataFrame, list[Left]]:
    """Rounds so far by inside indices, and what could not be used.

    Parameters
    ----------
    table : DataFrame
        The columns of :data:`JOURNEY_COLUMNS`: `round` counts from 1, `guided` is true or false, 1
        or 0, `answer` 1, 0 or empty: not known yet.

    Returns
    -------
    table with `user`, `target`, `round`, `item`, `guided`, `answer`

    Raises
    ------
    InvalidInputError
        If a column is missing.
    """
    if missing := [name for name in JOURNEY_COLUMNS if name not in table.columns]:
        raise InvalidInputError(
            f"journeys must have the columns {', '.join(JOURNEY_COLUMNS)}; "
            f"{', '.join(missing)} is missing"
        )
    items = people.guide.guide.items.index
    found = table.select(
        _index_of("user_id", people.index).alias("user"),
        _index_of("target_id", items).alias("target"),
        pl.col("round").cast(pl.Int64, strict=False),
        _index_of("item_id", items).alias("item"),
        _number("guided").alias("guided"),
        _number("answer").alias("answer"),
        is_empty=pl.col("answer").cast(pl.String).fill_null("") == "",
    )
    rules = (
        ("users who are not asked about", pl.col("user").is_not_null()),
        ("targets or items that the guide does not know", ~pl.any_horizontal(
            pl.col("target", "item").is_null()
        )),
        ("rounds below 1", pl.col("round").fill_null(0) >= 1),
        ("answers other than 1, 0 and empty", pl.col("is_empty") | pl.col("answer").is_in([0, 1])),
        ("guided other than 1 and 0", pl.col("guided").is_in([0, 1])),
    )  # fmt: skip
    left: list[Left] = []
    for why, holds in rules:
        kept = found.filter(holds)
        if kept.height < found.height:
            left.append(Left(found.height - kept.height, why))
        found = kept
    kept = found.unique(["user", "target", "round"], keep="last", maintain_order=True)
    if kept.height < found.height:
        left.append(Left(found.height - kept.height, "a round told again; the last row counts"))
    return kept.select(
        "user",
        "target",
        "round",
        "item",
        pl.col("guided") == 1,
        pl.col("answer").fill_null(UNKNOWN).cast(pl.Int64),
    ), left


def _index_of(column: str, index: dict[str, int]) -> pl.Expr:
    ids = pl.col(column).cast(pl.String)
    return ids.replace_strict(index, default=None, return_dtype=pl.Int64)


def _number(column: str) -> pl.Expr:
    """1 or 0 of numbers, truth values and texts; null otherwise."""
    text = pl.col(column).cast(pl.String).str.to_lowercase()
    return (
        text.replace({"true": "1", "false": "0"})
        .cast(pl.Float64, strict=False)
        .cast(pl.Int64, strict=False)
    )


def ledger_for(people: People, journeys: Journeys) -> Free | MemoryLedger:
    """The ledger of one call: what journeys so far used up of the caps counts.

    Raises
    ------
    InvalidInputError
        For rails that choose among all journeys of a run: that is a campaign's.
    """
    rails = people.guide.rails
    if rails.guided_pairs is not None:
        raise InvalidInputError(
            "rails.guided_pairs chooses among all journeys of a run: it is not for next"
        )
    if not rails.spans_users:
        return FREE
    ledger = MemoryLedger(rails, len(people.guide.guide.items), journeys.user_rows)
    ledger.resume(journeys)
    return ledger


def next_items(people: People, journeys: Journeys) -> pl.DataFrame:
    """One row per journey: what its user is shown next, and why.

    Columns: `user_id`, `target_id`, `round`, `item_id` and `title` (null: nothing), `guided`,
    `chance` of acceptance where the policy predicts it, `score`, `reason`, `known_user`,
    `known_item`.
    """
    guide = people.guide.guide
    ledger = ledger_for(people, journeys)
    with torch.no_grad():
        places = guide.places(journeys)
    ruled = guide.decide(journeys, ledger, places=places)
    shown = ruled.item_idx
    is_shown = (shown > 0).numpy()
    items = guide.items

    def named(names: Sequence[str], item_idx: Tensor) -> list[str | None]:
        return [names[item - 1] if item else None for item in item_idx.tolist()]

    user = journeys.user_rows
    known = np.array(people.is_known)
    return pl.DataFrame(
        {
            "user_id": [people.user_ids[row] for row in user],
            "target_id": named(items.item_ids, journeys.target_idx),
            "round": journeys.round.numpy(),
            "item_id": named(items.item_ids, shown),
            "title": named(items.titles, shown),
            "guided": ruled.guided.numpy(),
            "chance": _chances(people, journeys, places, shown),
            "score": np.where(is_shown, ruled.score.double().numpy(), np.nan),
            "reason": _reasons(journeys, ruled),
            "known_user": known[user],
            "known_item": is_shown & (shown.numpy() <= people.guide.n_fitted_items),
        }
    ).with_columns(pl.col("score").fill_nan(None), pl.col("chance").fill_nan(None))


def _chances(people: People, journeys: Journeys, places: Places, item_idx: Tensor) -> IntArray:
    """Chance of what is shown, as the policy believes; NaN where it predicts none: (n,)."""
    policy = people.guide.guide.policy
    nothing = np.full(len(item_idx), np.nan)
    if not isinstance(policy, PredictsAcceptance):
        return nothing
    only = Candidates(torch.zeros(len(item_idx), 1), item_idx[:, None])
    with torch.no_grad():
        found = policy.chances(View(journeys, places.own, only, journeys.rounds_left))
    return np.where(item_idx.numpy() > 0, found[:, 0].double().numpy(), np.nan)


def _reasons(journeys: Journeys, ruled: Ruled) -> list[str]:
    """Why each is shown what is shown."""
    columns = (
        journeys.is_over,
        ruled.item_idx,
        journeys.target_idx,
        ruled.guided,
        ruled.reason,
    )
    found = []
    for is_over, item, target, guided, reason in zip(*(x.tolist() for x in columns), strict=True):
        if is_over:
            found.append(HAS_TARGET)
        elif guided:
            found.append(TARGET if item == target else STEP)
        elif reason != GUIDED:
            found.append(REASONS[reason])
        else:
            found.append(OVERRULED if item else NOTHING_LEFT)
    return found
