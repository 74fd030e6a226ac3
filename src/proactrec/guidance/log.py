"""What happened in a guidance run, per journey and round; kept as one Parquet table."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from proactrec.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class GuidanceLog:
    """Outcome of a rollout.

    Column 0 of `interest` and `rank` is the state before guidance, column r the state after
    round r. A journey that has stopped (its target was accepted, or nothing was left to show) keeps
    its last state, and shows item 0 from then on.

    Parameters
    ----------
    user_idx, target_idx : int arrays, shape (n_pairs,)
        Target 0: whichever of a goal suited, see `led_to`.
    item_idx : int array, shape (n_pairs, n_rounds)
        Item shown; 0 where nothing was. Of a slate: the item taken, else the first.
    accept_prob : float array, shape (n_pairs, n_rounds)
        The simulated user's chance of accepting it, or any of a slate; NaN where nothing was shown.
    accepted : bool array, shape (n_pairs, n_rounds)
    interest : float array, shape (n_pairs, n_rounds + 1)
        Inner product of the simulated user's vector and the target's; its mean over the items of a
        goal.
    rank : int array, shape (n_pairs, n_rounds + 1)
        0-based place of the target among all items outside the user's train history; of the best
        item of a goal that is outside, too.
    is_counted : bool array, shape (n_pairs,)
        False for owners of the target under `owners="zero"`: they add 0 to IoI and IoR.
    slate : int array, shape (n_pairs, n_rounds, n_slots), optional
        All items shown; by default those of `item_idx`.
    guided : bool array, shape (n_pairs, n_rounds), optional
        Whether the policy chose what was shown, and not a guard rail; by default always.
    left_after : int array, shape (n_pairs,), optional
        Round after which the user left; 0, the default: stayed to the end.
    watched : float array, shape (n_pairs, n_rounds + 1, n_watched), optional
        Further interests of the simulated user, e.g. in categories; by default none.
    led_to : int array, shape (n_pairs, n_rounds), optional
        Target of every round, on the way to a goal; by default none has one.
    of_goal : bool array, shape (n_pairs, n_rounds), optional
        Whether what was shown is an item of the goal.
    """

    user_idx: IntArray
    target_idx: IntArray
    item_idx: IntArray
    accept_prob: FloatArray
    accepted: BoolArray
    interest: FloatArray
    rank: IntArray
    is_counted: BoolArray
    slate: IntArray = field(default_factory=lambda: np.empty((0, 0, 0), np.int64))
    guided: BoolArray = field(default_factory=lambda: np.empty((0, 0), bool))
    left_after: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    watched: FloatArray = field(default_factory=lambda: np.empty((0, 0, 0)))
    led_to: IntArray = field(default_factory=lambda: np.empty((0, 0), np.int64))
    of_goal: BoolArray = field(default_factory=lambda: np.empty((0, 0), bool))

    def __post_init__(self) -> None:
        if not self.slate.size:
            object.__setattr__(self, "slate", self.item_idx[:, :, None])
        if not self.guided.size:
            object.__setattr__(self, "guided", self.is_shown)
        if not self.left_after.size:
            object.__setattr__(self, "left_after", np.zeros_like(self.user_idx))
        if not self.watched.size:
            object.__setattr__(self, "watched", np.zeros((*self.interest.shape, 0)))
        if not self.led_to.size:
            nothing = np.empty((len(self.user_idx), 0), np.int64)
            object.__setattr__(self, "led_to", nothing)
            object.__setattr__(self, "of_goal", nothing.astype(bool))

    @property
    def n_rounds(self) -> int:
        """Number of rounds played."""
        return int(self.item_idx.shape[1])

    @property
    def is_shown(self) -> BoolArray:
        """Whether an item was shown, shape (n_pairs, n_rounds)."""
        return self.item_idx > 0

    @property
    def has_goal(self) -> bool:
        """Whether users were led to whichever item of a goal suited."""
        return bool(self.led_to.shape[1])

    @property
    def targets(self) -> IntArray:
        """Target of every round, shape (n_pairs, n_rounds)."""
        if self.has_goal:
            return self.led_to
        return np.broadcast_to(self.target_idx[:, None], self.item_idx.shape)

    @property
    def is_target(self) -> BoolArray:
        """Whether the target, or any item of the goal, was shown, shape (n_pairs, n_rounds)."""
        if self.has_goal:
            return self.of_goal & self.is_shown
        return np.asarray(self.item_idx == self.target_idx[:, None])

    @property
    def reached(self) -> BoolArray:
        """Whether the user accepted the target, or an item of the goal, shape (n_pairs,)."""
        return np.asarray(self.is_target_accepted.any(axis=1))

    @property
    def is_target_accepted(self) -> BoolArray:
        """Whether it was accepted in a round, shape (n_pairs, n_rounds)."""
        return np.asarray(self.accepted & self.is_target)

    @property
    def has_left(self) -> BoolArray:
        """Whether the user left before guidance was over, shape (n_pairs,)."""
        return np.asarray(self.left_after > 0)

    def of(self, rows: BoolArray | IntArray) -> "GuidanceLog":
        """The log of these journeys only."""
        return GuidanceLog(*(getattr(self, field.name)[rows] for field in fields(self)))

    def to_table(self) -> pl.DataFrame:
        """One row per (user, target, round), round 0 being the state before guidance."""
        n_pairs, n_rounds = self.item_idx.shape
        before = np.full((n_pairs, 1), np.nan)

        def rows(values: FloatArray | IntArray | BoolArray) -> FloatArray | IntArray | BoolArray:
            return values.ravel()

        per_pair = n_rounds + 1
        n_slots = self.slate.shape[2]
        goal, is_railed = self.has_goal, bool((self.guided != self.is_shown).any())
        return pl.DataFrame(
            {
                "user_idx": np.repeat(self.user_idx, per_pair).astype(np.int32),
                "target_idx": rows(np.hstack([self.targets[:, :1], self.targets])).astype(np.int32),
                "round": np.tile(np.arange(per_pair, dtype=np.int16), n_pairs),
                "item_idx": rows(np.pad(self.item_idx, ((0, 0), (1, 0)))).astype(np.int32),
                "accept_prob": rows(np.hstack([before, self.accept_prob])).astype(np.float32),
                "accepted": rows(np.pad(self.accepted, ((0, 0), (1, 0)))),
                "interest": rows(self.interest).astype(np.float32),
                "rank": rows(self.rank).astype(np.int32),
                "is_counted": np.repeat(self.is_counted, per_pair),
                **{
                    f"slot_{slot}": rows(np.pad(self.slate[:, :, slot], ((0, 0), (1, 0)))).astype(
                        np.int32
                    )
                    for slot in range(n_slots if n_slots > 1 else 0)
                },
                **({"guided": rows(np.pad(self.guided, ((0, 0), (1, 0))))} if is_railed else {}),
                **{
                    f"watched_{at}": rows(self.watched[:, :, at]).astype(np.float32)
                    for at in range(self.watched.shape[2])
                },
                **(
                    {"left_after": np.repeat(self.left_after, per_pair).astype(np.int16)}
                    if self.has_left.any()
                    else {}
                ),
                **({"of_goal": rows(np.pad(self.of_goal, ((0, 0), (1, 0))))} if goal else {}),
            }
        )

    @classmethod
    def from_table(cls, table: pl.DataFrame) -> "GuidanceLog":
        """The log that :meth:`to_table` wrote."""
        per_pair = int(table["round"].max()) + 1  # type: ignore[arg-type]

        def grid(column: str) -> NDArray[Any]:
            return table[column].to_numpy().reshape(-1, per_pair)

        watched = [column for column in table.columns if column.startswith("watched_")]
        slots = [column for column in table.columns if column.startswith("slot_")] or ["item_idx"]
        target_idx, to_goal = grid("target_idx").astype(np.int64), {}
        if "of_goal" in table.columns:
            to_goal = {"led_to": target_idx[:, 1:], "of_goal": grid("of_goal")[:, 1:]}
            target_idx = np.zeros_like(target_idx)
        return cls(
            user_idx=grid("user_idx")[:, 0].astype(np.int64),
            target_idx=target_idx[:, 0],
            item_idx=grid("item_idx")[:, 1:].astype(np.int64),
            accept_prob=grid("accept_prob")[:, 1:].astype(np.float64),
            accepted=grid("accepted")[:, 1:],
            interest=grid("interest").astype(np.float64),
            rank=grid("rank").astype(np.int64),
            is_counted=grid("is_counted")[:, 0],
            slate=np.stack([grid(slot)[:, 1:] for slot in slots], 2).astype(np.int64),
            guided=grid("guided" if "guided" in table.columns else "item_idx")[:, 1:] > 0,
            left_after=grid("left_after")[:, 0].astype(np.int64)
            if "left_after" in table.columns
            else np.empty(0, np.int64),
            watched=np.stack([grid(one).astype(np.float64) for one in watched], 2)
            if watched
            else np.empty((0, 0, 0)),
            **to_goal,
        )

    def save(self, path: Path) -> None:
        """Write the table as Parquet."""
        self.to_table().write_parquet(path)

    @classmethod
    def load(cls, path: Path) -> "GuidanceLog":
        """Read what :meth:`save` wrote."""
        return cls.from_table(pl.read_parquet(path, glob=False))
