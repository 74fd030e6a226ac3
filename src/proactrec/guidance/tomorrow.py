"""Tomorrow's users: from events and journeys so far to what every user is shown next, and why.

Real users are known by id. Those whom models were fitted on have their histories and what came
since; others stand where their events put them; items that came after the fit, where their titles
and categories do.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import torch
from torch import Tensor

from proactrec.data.dataset import Histories
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.guidance.decision import GUIDED, REASONS, Ruled
from proactrec.guidance.goals import best_targets
from proactrec.guidance.guide import Places
from proactrec.guidance.ledger import FREE, Free, MemoryLedger, Spent
from proactrec.guidance.rails import check_targets, targets_in
from proactrec.guidance.saved import SavedGuide
from proactrec.guidance.walks import PLANNED
from proactrec.journeys import ACCEPTED, OPEN_ENDED, REFUSED, Journeys, Users
from proactrec.policies.base import Candidates, PredictsAcceptance
from proactrec.rng import keys_of
from proactrec.threads import block_map
from proactrec.types import IntArray

HAS_TARGET, NOTHING_LEFT, OVERRULED = "has_target", "nothing_left", "overruled"
STEP, TARGET = "step", "target"
"""Reasons beside those of rails: why an item is shown, or none."""
NEXT = {
    **dict.fromkeys(("user_id", "target_id"), pl.String()),
    "round": pl.Int64(),
    **dict.fromkeys(("item_id", "title"), pl.String()),
    "guided": pl.Boolean(),
    **dict.fromkeys(("chance", "score"), pl.Float64()),
    "reason": pl.String(),
    **dict.fromkeys(("known_user", "known_item"), pl.Boolean()),
}
"""Columns of :func:`next_items`, in their order."""


@dataclass(frozen=True, eq=False)
class People:
    """Real users as a guide sees them.

    Parameters
    ----------
    guide : SavedGuide
    user_ids : tuple of length n_users
    history : Histories
        Of each: what the guide knows of them, then their events since, by time.
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
        wanted = tuple(dict.fromkeys(user_ids or events["user_id"]))
        has_event = set(events["user_id"])
        nobody = [one for one in wanted if one not in has_event and one not in guide.known.index]
        if nobody:
            more = f" ({len(nobody) - 1} more are like that)" if len(nobody) > 1 else ""
            raise UnknownIdError(
                f"user {nobody[0]!r} has no event and is not known to the guide{more}"
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

    def journeys(
        self, past: pl.DataFrame, target_ids: Sequence[str], n_rounds: int | None = None
    ) -> Journeys:
        """Every user on the way to every target, the first of them first, with what was shown.

        Parameters
        ----------
        past : DataFrame
            Rounds so far, as :func:`proactrec.guidance.past.checked_journeys` gives them.
        n_rounds : int, optional
            Rounds that a journey has; it goes on after them, with none left. By default nobody
            knows: campaigns are open-ended.
        """
        items, n_users = self.guide.guide.items.index, len(self.user_ids)
        targets = [items[target_id] for target_id in dict.fromkeys(target_ids)]
        check_targets(self.guide.rails, self.guide.guide.items, np.array(targets))
        return self._on_the_way(past, np.repeat(targets, n_users), n_rounds)

    def journeys_in(
        self, past: pl.DataFrame, category: str, n_rounds: int | None = None
    ) -> Journeys:
        """Every user on the way to the item of a category that suits best.

        Whoever is on the way to one of them goes on until they have it, or refused it for good.
        All others go to the best of those that are left to them, see :func:`best_targets`. What was
        shown on the way to another of them counts as shown.
        """
        items = torch.from_numpy(targets_in(self.guide.rails, self.guide.guide.items, category))
        going = past.filter(pl.col("target").is_in(items.tolist())).sort("round")
        answers = [ACCEPTED] if self.guide.guide.shows_again else [ACCEPTED, REFUSED]
        closed = going.filter(
            (pl.col("item") == pl.col("target")) & pl.col("answer").is_in(answers)
        ).select("user", "target")
        user, owned = self.history.rows(np.arange(len(self.user_ids)))
        closed = pl.concat([closed, pl.DataFrame({"user": user, "target": owned})])
        going = going.join(closed, on=["user", "target"], how="anti")
        target = self._best_of(items, closed, n_rounds)
        target[going["user"].to_numpy()] = going["target"].to_numpy()  # the latest one stands
        before = past.filter(pl.col("target").is_in(items.tolist()))
        before = before.filter(pl.col("target") != pl.Series(target).gather(before["user"]))
        column = before.select(pl.int_range(pl.len()).over("user")).to_series().to_numpy()
        shown = np.zeros((len(target), column.max(initial=-1) + 1), np.int64)
        shown[before["user"].to_numpy(), column] = before["item"].to_numpy()
        journeys = self._on_the_way(past, target, n_rounds)
        return journeys._replace(also_shown=torch.from_numpy(shown))

    def _best_of(self, items: Tensor, closed: pl.DataFrame, n_rounds: int | None) -> IntArray:
        """The one of these targets that suits every user best: (n_users,).

        The first for users who are led to none: they have it, or nothing leads there any more.
        """
        guide, everybody = self.guide.guide, torch.arange(len(self.user_ids))
        begun = Journeys.begun(self.users, everybody, torch.zeros_like(everybody), 1)
        left = OPEN_ENDED if n_rounds is None else n_rounds - 1
        begun = begun._replace(rounds_left=torch.full_like(everybody, left))
        place = np.full(len(guide.items) + 1, -1)
        place[items.numpy()] = np.arange(len(items))
        row, column = closed["user"].to_numpy(), place[closed["target"].to_numpy()]
        is_closed = np.zeros((len(everybody), len(items)), bool)
        is_closed[row[column >= 0], column[column >= 0]] = True
        best = best_targets(guide, begun, items, torch.from_numpy(is_closed)).numpy()
        return np.where(best > 0, best, int(items[0]))

    def rows_of(self, journeys: Journeys) -> IntArray:
        """Row of every journey's user here: (n,)."""
        return journeys.user_rows % len(self.user_ids)

    def _on_the_way(self, past: pl.DataFrame, target: IntArray, n_rounds: int | None) -> Journeys:
        """Journeys of all users, over and over, to these targets."""
        user = np.arange(len(target)) % len(self.user_ids)
        rows = pl.DataFrame({"user": user, "target": target}).with_row_index("row")
        known = past.join(rows, on=["user", "target"], how="inner")
        most = max(n_rounds or PLANNED, known["round"].to_numpy().max(initial=0) + 1)
        accepted = past.filter(pl.col("answer") == ACCEPTED)
        accepted = accepted.join(rows, on="user", maintain_order="left")  # of histories, too
        own = pl.col("target") == pl.col("target_right")
        users = self._before(user, accepted.filter(own), accepted.filter(~own))
        begun = Journeys.begun(users, torch.arange(len(user)), torch.from_numpy(target), most)
        at = torch.tensor(known["row"].to_list(), dtype=torch.int64)
        column = torch.tensor(known["round"].to_list(), dtype=torch.int64) - 1
        for place, name in (
            (begun.shown, "item"),
            (begun.answer, "answer"),
            (begun.guided, "guided"),
        ):
            place[at, column] = torch.tensor(known[name].to_list(), dtype=place.dtype)
        last = torch.zeros_like(begun.round).scatter_reduce(0, at, column + 1, "amax")
        left = torch.full_like(last, OPEN_ENDED)
        if n_rounds is not None:
            left = (n_rounds - 1 - last).clamp(min=0)
        journeys = begun._replace(round=last + 1, rounds_left=left)
        row, item = self.history.rows(user)
        owns = np.zeros(len(user), bool)
        owns[row[item == target[row]]] = True
        return journeys._replace(is_over=journeys.has_arrived | torch.from_numpy(owns))

    def _before(self, user: IntArray, own: pl.DataFrame, others: pl.DataFrame) -> Users:
        """Users of journeys, one for each: with what they accepted on the way to other targets.

        What they accepted in the journey itself is none of it. Shops log that as an event too: it
        would count twice.
        """
        users, n_rows = self.users, len(self.guide.guide.items) + 1
        row, item = self.history.rows(user)
        before = row * n_rows + item
        taken, more = (
            table["row"].to_numpy().astype(np.int64) * n_rows + table["item"].to_numpy()
            for table in (own, others)
        )
        more = more[~np.isin(more, before)]
        whole = np.concatenate([before, more[np.sort(np.unique(more, return_index=True)[1])]])
        whole = whole[~np.isin(whole, taken)]
        whole = whole[np.argsort(whole // n_rows, kind="stable")]
        return Users(
            key=users.key[user],
            known=users.known[user],
            history=_grouped(whole // n_rows, whole % n_rows, len(user)),
            opted_out=users.opted_out[user],
        )


def _histories(guide: SavedGuide, events: pl.DataFrame, user_ids: Sequence[str]) -> Histories:
    """What users had when the guide was fitted, and their events since.

    What they had of items that the fit left out (its filter) is older, if events show that.
    """
    items, known = guide.guide.items.index, guide.known
    rows = pl.DataFrame({"user_id": user_ids}, {"user_id": pl.String})  # even if there is nobody
    rows = rows.with_row_index("row").cast({"row": pl.Int64})
    at = np.array([known.index.get(user_id, -1) for user_id in user_ids], np.int64)
    row, item = known.history.rows(at[at >= 0])
    before = pl.DataFrame({"row": np.flatnonzero(at >= 0)[row], "item": item})
    all_events = (
        events.join(rows, on="user_id", how="inner", maintain_order="left")
        .with_columns(item=pl.col("item_id").replace_strict(items, return_dtype=pl.Int64))
        .sort("timestamp", maintain_order=True)
        .unique(["row", "item"], keep="first", maintain_order=True)
        .with_row_index("place")
        .join(
            before.with_columns(is_known=True),
            on=["row", "item"],
            how="left",
            maintain_order="left",
        )
        .with_columns(last=pl.col("place").filter("is_known").max().over("row"))
        .filter(pl.col("is_known").is_null())
    )
    is_older = (pl.col("place") < pl.col("last")).fill_null(False)
    parts = all_events.filter(is_older), before, all_events.filter(~is_older)
    whole = pl.concat([part.select("row", "item") for part in parts])
    whole = whole.sort("row", maintain_order=True)
    return _grouped(whole["row"].to_numpy(), whole["item"].to_numpy(writable=True), len(user_ids))


def _grouped(row: IntArray, item_idx: IntArray, n_rows: int) -> Histories:
    """Items by row, ascending."""
    lengths = np.bincount(row, minlength=n_rows)
    return Histories(np.concatenate([[0], lengths.cumsum()]).astype(np.int64), item_idx)


def ledger_for(
    people: People, journeys: Journeys, spent: Spent | None = None
) -> Free | MemoryLedger:
    """The ledger of one call: what journeys so far used up of the caps counts.

    `spent`: by all parts of the call, if it comes in several.

    Raises
    ------
    InvalidInputError
        For rails that choose among all journeys of a run: that is a campaign's.
    """
    rails = people.guide.rails
    if rails.guided_pairs is not None:
        raise InvalidInputError(
            "rails.guided_pairs chooses among all journeys of a run: it is not for next or plan"
        )
    if not rails.spans_users:
        return FREE
    ledger = MemoryLedger(rails, len(people.guide.guide.items), people.rows_of(journeys))
    ledger.resume(journeys, spent)
    return ledger


def next_items(people: People, journeys: Journeys, spent: Spent | None = None) -> pl.DataFrame:
    """One row per journey: what its user is shown next, and why.

    `spent` is what all parts of a call used up of the caps, if it comes in several.

    Columns: `user_id`, `target_id`, `round`, `item_id` and `title` (null: nothing), `guided`,
    `chance` of acceptance where the policy predicts it, `score`, `reason`, `known_user`,
    `known_item`.
    """
    guide = people.guide.guide
    ledger = ledger_for(people, journeys, spent)
    with torch.no_grad(), block_map() as map_blocks:
        places = guide.places(journeys)
        ruled = guide.decide(journeys, ledger, places=places, map_blocks=map_blocks)
    shown = ruled.item_idx
    is_shown = (shown > 0).numpy()
    items = guide.items

    def named(names: Sequence[str], item_idx: Tensor) -> list[str | None]:
        return [names[item - 1] if item else None for item in item_idx.tolist()]

    user = people.rows_of(journeys)
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
        },
        NEXT,
    ).with_columns(pl.col("score").fill_nan(None), pl.col("chance").fill_nan(None))


def _chances(people: People, journeys: Journeys, places: Places, item_idx: Tensor) -> IntArray:
    """Chance of what is shown, as the policy believes; NaN where it predicts none: (n,)."""
    guide = people.guide.guide
    policy = guide.policy
    nothing = np.full(len(item_idx), np.nan)
    if not isinstance(policy, PredictsAcceptance):
        return nothing
    only = Candidates(torch.zeros(len(item_idx), 1), item_idx[:, None])
    with torch.no_grad():
        found = policy.chances(guide.among(journeys, places.own, only))
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
