"""What is done with the users of a shard: each is planned for, and the rows become a file."""

import io
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from proactrec.data.items import Items
from proactrec.distributed.shards import ROUNDS
from proactrec.distributed.versions import check_versions, versions
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.guidance.ledger import Spent, times_led
from proactrec.guidance.past import checked_journeys, no_journeys
from proactrec.guidance.rails import RailsOptions, check_targets, targets_in
from proactrec.guidance.saved import ITEMS, SavedGuide, open_guide, read_about
from proactrec.guidance.tomorrow import NEXT, People, next_items
from proactrec.journeys import Journeys
from proactrec.threads import one_thread
from proactrec.types import IntArray

PROBLEMS = "problems"
"""In the metadata of a file: what could not be used, counted by why, as JSON."""
NO_ITEM = "items of histories that the guide does not know, left aside"
NOBODY = "users of whom the guide knows nothing, left out"


@dataclass(frozen=True)
class Planning:
    """What is planned for everybody.

    Parameters
    ----------
    folder : Path
        Of the guide.
    target_ids : tuple of str
        Items to lead everybody to.
    category : str, optional
        Instead: everybody is led to the item of it that suits best.
    n_rounds : int, optional
        Rounds that a journey has; by default nobody knows.
    seed : int, optional
        Draws plain rounds; by default the guide's own.
    opted_out : frozenset of str
        Ids of users who are never guided.
    made_by : mapping
        Versions of packages; who has others may not do it.
    """

    folder: Path
    target_ids: tuple[str, ...] = ()
    category: str | None = None
    n_rounds: int | None = None
    seed: int | None = None
    opted_out: frozenset[str] = frozenset()
    made_by: Mapping[str, str] = field(default_factory=versions)

    @property
    def files(self) -> list[Path]:
        """All of the guide's."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file())

    @property
    def rails(self) -> RailsOptions:
        """The guide's."""
        return RailsOptions(**read_about(self.folder)["rails"])

    def check(self) -> None:
        """Look whether the guide can lead anybody there, without opening it.

        Raises
        ------
        InvalidInputError
            If it is not said where to, or rails forbid it.
        UnknownIdError
            If the guide does not know the targets or the category.
        """
        if bool(self.target_ids) == (self.category is not None):
            raise InvalidInputError("a plan needs targets or a category, one of them")
        rails = self.rails
        if rails.guided_pairs is not None:
            raise InvalidInputError("rails.guided_pairs chooses among all journeys: not in shards")
        name = read_about(self.folder)["dataset"]["name"]
        items = Items.load(self.folder / ITEMS, name)
        if self.category is not None:
            targets_in(rails, items, self.category)
        if unknown := [one for one in self.target_ids if one not in items.index]:
            raise UnknownIdError(f"the guide does not know the target {unknown[0]!r}")
        check_targets(rails, items, np.array([items.index[one] for one in self.target_ids]))

    def opened(self, folder: Path) -> "Planner":
        """The guide in a folder, ready to plan.

        Raises
        ------
        ArtefactError
            If packages here have other versions than where the plan was asked for.
        """
        check_versions(self.made_by)
        with one_thread():
            return Planner(self, open_guide(folder, seed=self.seed))


class Asked(NamedTuple):
    """The users of a shard and their journeys, and what could not be used, counted by why."""

    people: People
    journeys: Journeys | None  # None: there is nobody
    problems: Counter[str]


class Planner:
    """Plans for the users of a shard: what comes out depends on them and on the guide alone.

    All is done in one thread: where sums are cut would show in the last digits.
    """

    def __init__(self, wanted: Planning, guide: SavedGuide) -> None:
        self._wanted, self._guide = wanted, guide
        self._items = guide.guide.items
        self._item_ids = pl.Series(self._items.item_ids)
        self._n_rows = len(self._items) + 1

    def __call__(self, rows: pl.DataFrame, spent: Spent | None = None) -> bytes:
        """The content of a Parquet file with the rows of :func:`next_items`.

        Parameters
        ----------
        rows : DataFrame
            Of :meth:`proactrec.distributed.shards.UserTable.rows`.
        spent : Spent, optional
            What all shards used up of caps that count everybody.
        """
        with one_thread():
            asked = self._asked(rows)
            table = pl.DataFrame(schema=NEXT)
            if asked.journeys is not None:
                table = next_items(asked.people, asked.journeys, spent)
        content = io.BytesIO()
        problems = json.dumps(dict(sorted((+asked.problems).items())))
        table.write_parquet(content, metadata={PROBLEMS: problems})
        return content.getvalue()

    def nothing_spent(self) -> IntArray:
        """Zeros, (n_items + 1,)."""
        return np.zeros(self._n_rows, dtype=np.int64)

    def led_before(self, rows: pl.DataFrame) -> IntArray:
        """How often each item was a guided one of these users before: (n_items + 1,)."""
        with one_thread():
            journeys = self._asked(rows).journeys
        return self.nothing_spent() if journeys is None else times_led(journeys, self._n_rows)

    def led_now(self, content: bytes) -> IntArray:
        """How often each item is a guided one in a file: (n_items + 1,)."""
        table = pl.read_parquet(content, columns=["item_id", "guided"])
        led = [self._items.index[one] for one in table.filter("guided")["item_id"]]
        return np.bincount(np.array(led, dtype=np.int64), minlength=self._n_rows)

    def _asked(self, rows: pl.DataFrame) -> Asked:
        wanted, items = rows["user_id"].to_list(), self._items.index
        events, n_unknown = self._events(rows)
        has_event, known = set(events["user_id"]), self._guide.known.index
        user_ids = [one for one in wanted if one in has_event or one in known]
        people = People.of(self._guide, events, user_ids, self._wanted.opted_out)
        problems = Counter({NO_ITEM: n_unknown, NOBODY: len(wanted) - len(user_ids)})
        past = no_journeys()
        if ROUNDS in rows.columns:
            told = rows.select("user_id", ROUNDS).explode(ROUNDS).drop_nulls(ROUNDS)
            past, left = checked_journeys(told.unnest(ROUNDS), people.index, items)
            problems.update({f"rounds left aside: {one.why}": one.n for one in left})
        return Asked(people, self._journeys(people, past), problems)

    def _events(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
        """What users had, as events in the order of time, and how many were left aside."""
        had = rows.select("user_id", item_id="item_ids").explode("item_id").drop_nulls()
        events = had.filter(pl.col("item_id").is_in(self._item_ids.implode()))
        return events.with_row_index("timestamp"), had.height - events.height

    def _journeys(self, people: People, past: pl.DataFrame) -> Journeys | None:
        wanted = self._wanted
        if not people.user_ids:
            return None
        if wanted.category is not None:
            return people.journeys_in(past, wanted.category, wanted.n_rounds)
        return people.journeys(past, wanted.target_ids, wanted.n_rounds)
