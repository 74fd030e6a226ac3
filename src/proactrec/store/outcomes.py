"""What became of a campaign's users, by the arm that was drawn for them: sums made in SQL.

A user is looked at in a window from the first decision on, and once it is over for good: whatever
was offered in it has been answered or given up. What they did before is a covariate. A campaign
whose shares of arms are changed begins a new epoch: within one, arms differ by chance alone.
"""

import json
from collections.abc import Iterable, Mapping
from itertools import combinations_with_replacement
from typing import Any, NamedTuple, Self

import numpy as np
from sqlalchemy import Connection

from proactrec.measurement.effects import Cell
from proactrec.measurement.products import Layout
from proactrec.store import campaigns
from proactrec.store.budgets import NEVER
from proactrec.store.campaign import Campaign
from proactrec.store.campaigns import Version
from proactrec.store.database import Hot
from proactrec.store.people import SECOND
from proactrec.types import FloatArray

HOUR = 3600 * SECOND
GRACE = 120 * SECOND
"""The worker settles what was not answered within that."""
MOST = 1000
"""A user's counts are cut off here: some robot would be most of the variance."""
BEFORE = ("taken_before", "target_before", "answered_before", "accepted_before")
"""Known when a user comes: items taken, whether a target is among them, answers and acceptances."""
WITHIN = ("target", "taken", "purchases", "objected", "accepted", "answered", "targets")
"""In the window: whether a target was taken, items taken, purchases, whether they opted out or
complained, answers that accept, answers, and targets among the items taken."""
COLUMNS = BEFORE + WITHIN
FIGURES = {
    "target": ("target", None),
    "target_share": ("targets", "taken"),
    "taken": ("taken", None),
    "purchases": ("purchases", None),
    "objections": ("objected", None),
    "acceptance": ("accepted", "answered"),
}
"""Numerator and denominator of what is measured; no denominator: by user."""


OF_ANSWERS = ("answered_before", "accepted_before", "accepted", "answered")


def _columns(part: str) -> str:
    """All columns, of which one part of the query knows some."""
    known = {"done": set(COLUMNS) - set(OF_ANSWERS), "answers": set(OF_ANSWERS)}.get(part, set())
    return ", ".join(name if name in known else f"0 AS {name}" for name in COLUMNS)


def _place(name: str | None) -> int:
    return 0 if name is None else 1 + COLUMNS.index(name)


LAYOUT = Layout(
    len(BEFORE),
    np.array([_place(top) for top, _ in FIGURES.values()]),
    np.array([_place(bottom) for _, bottom in FIGURES.values()]),
)
PAIRS = list(combinations_with_replacement(("1", *COLUMNS), 2))
FIRST_DECISION = """FROM decisions d
      WHERE d.tenant = a.tenant AND d.user_id = a.user_id AND d.campaign_id = a.campaign_id
      ORDER BY d.number LIMIT 1"""
WHOSE = f"""
WITH came AS (
  SELECT a.user_id, a.arm, a.at, (
      SELECT d.version {FIRST_DECISION}
    ) AS version, (
      SELECT d.seq {FIRST_DECISION}
    ) AS seq, (
      SELECT m.groups FROM memberships m
      WHERE m.tenant = a.tenant AND m.user_id = a.user_id AND m.at <= a.at
      ORDER BY m.number DESC LIMIT 1
    ) AS groups
  FROM assignments a WHERE a.tenant = ? AND a.campaign_id = ?
), whose AS (
  SELECT user_id, arm, at, version, groups, ROW_NUMBER() OVER (ORDER BY at, seq) AS place
  FROM came
)"""
"""Who came at once did so in the order of their first decisions, whoever was erased since."""
COUNTS = f"{WHOSE} SELECT version, arm, COUNT(*) FROM whose GROUP BY version, arm"
COUNTED = ",\n    ".join(
    f"CASE WHEN MAX({name}) > {MOST} THEN {MOST} ELSE MAX({name}) END AS {name}" for name in COLUMNS
)
SUMMED = ", ".join(f"SUM({one} * {other})" for one, other in PAIRS)
IS_TAKEN = "kind IN ('accept', 'purchase')"
IS_WITHIN = "at >= since AND at < since + ?"
SUMS = f"""{WHOSE}, matured AS (
  SELECT * FROM whose WHERE place <= ? AND at <= ?
), targets AS (
  SELECT DISTINCT target_id FROM decisions
  WHERE tenant = ? AND campaign_id = ? AND target_id <> ''
), told AS (
  SELECT w.user_id, e.decision, e.kind, e.item_id, w.at AS since, COALESCE(d.at, e.at) AS at
  FROM matured w JOIN events e ON e.tenant = ? AND e.user_id = w.user_id
  LEFT JOIN decisions d
    ON d.tenant = e.tenant AND d.user_id = e.user_id AND d.number = e.decision
  UNION ALL
  SELECT w.user_id, 0, 'opt-out', '', w.at, c.at
  FROM matured w JOIN consents c ON c.tenant = ? AND c.user_id = w.user_id AND c.guided = 0
), placed AS (
  SELECT user_id, decision, kind, item_id, since, at,
    CASE WHEN {IS_WITHIN} THEN 1 ELSE 0 END AS is_within,
    CASE WHEN at < since THEN 1 ELSE 0 END AS is_before,
    CASE WHEN {IS_TAKEN} THEN 1 ELSE 0 END AS is_taken,
    CASE WHEN item_id IN (SELECT target_id FROM targets) THEN 1 ELSE 0 END AS is_target
  FROM told
), done AS (
  SELECT user_id,
    COUNT(DISTINCT CASE WHEN is_taken * is_before = 1 THEN item_id END) AS taken_before,
    MAX(is_taken * is_before * is_target) AS target_before,
    MAX(is_taken * is_within * is_target) AS target,
    COUNT(DISTINCT CASE WHEN is_taken * is_within = 1 THEN item_id END) AS taken,
    COUNT(DISTINCT CASE WHEN is_taken * is_within * is_target = 1 THEN item_id END) AS targets,
    SUM(CASE WHEN kind = 'purchase' THEN is_within ELSE 0 END) AS purchases,
    MAX(CASE WHEN kind IN ('complaint', 'opt-out') THEN is_within ELSE 0 END) AS objected
  FROM placed GROUP BY user_id
), rounds AS (
  SELECT user_id, MAX(is_within) AS is_within, MAX(is_before) AS is_before, MAX(is_taken) AS taken,
    MAX(CASE WHEN kind IN ('skip', 'complaint', 'lapsed') THEN 1 ELSE 0 END) AS rejected,
    MAX(CASE WHEN kind = 'expired' THEN 1 ELSE 0 END) *
      MAX(CASE WHEN kind = 'impression' THEN 1 ELSE 0 END) AS passed
  FROM placed WHERE decision > 0 GROUP BY user_id, decision
), answers AS (
  SELECT user_id, SUM(is_within) AS answered, SUM(is_within * taken) AS accepted,
    SUM(is_before) AS answered_before, SUM(is_before * taken) AS accepted_before
  FROM rounds WHERE taken + rejected + passed > 0 GROUP BY user_id
), parts AS (
  SELECT user_id, version, arm, groups, {_columns("matured")} FROM matured
  UNION ALL SELECT user_id, NULL, NULL, NULL, {_columns("done")} FROM done
  UNION ALL SELECT user_id, NULL, NULL, NULL, {_columns("answers")} FROM answers
), by_user AS (
  SELECT MAX(version) AS version, MAX(arm) AS arm, COALESCE(MAX(groups), '[]') AS groups,
    {COUNTED}
  FROM parts GROUP BY user_id
)
SELECT version, arm, groups, {SUMMED} FROM by_user GROUP BY version, arm, groups
"""


class Outcomes(NamedTuple):
    """A campaign's users by epoch: the first version in which these shares held."""

    shares: dict[int, dict[str, float]]
    n_users: dict[int, dict[str, int]]  # all who came
    cells: list[Cell]  # of those who are measured

    def as_json(self, segments: Iterable[str]) -> dict[str, Any]:
        """What is kept: of groups those that are looked at apart, so that no others are named."""
        apart, added = frozenset(segments), dict[tuple[int, str, tuple[str, ...]], FloatArray]()
        for cell in self.cells:
            key = cell.epoch, cell.arm, tuple(sorted(cell.groups & apart))
            added[key] = added.get(key, 0) + cell.table
        return {
            "shares": list(self.shares.items()),
            "n_users": list(self.n_users.items()),
            "cells": [[*key, table.tolist()] for key, table in added.items()],
        }

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Self:
        """What :meth:`as_json` told, by an older version perhaps: of newer columns nothing."""
        size = 1 + len(COLUMNS)
        cells = [
            Cell(epoch, arm, frozenset(groups), np.pad(table, (0, size - len(table))))
            for epoch, arm, groups, table in told["cells"]
        ]
        return cls(dict(told["shares"]), dict(told["n_users"]), cells)


def outcomes(connection: Connection, version: Version, now: int) -> Outcomes:
    """What became of a campaign's users by now; of the planned number that came first, at most."""
    history = campaigns.history(connection, version.tenant, version.campaign_id)
    epochs = _epochs(history)
    shares = {epochs[one.version]: one.said.shares for one in history}
    hot, whose = Hot(connection), (version.tenant, version.campaign_id)
    n_users: dict[int, dict[str, int]] = {}
    for number, arm, n in hot.rows(COUNTS, whose):
        counts = n_users.setdefault(epochs[number], {})
        counts[arm] = counts.get(arm, 0) + n
    return Outcomes(
        {epoch: shares[epoch] for epoch in sorted(n_users)},
        n_users,
        _cells(hot, version, now, epochs),
    )


def matured_before(said: Campaign, now: int) -> int:
    """Who came before that is known for good."""
    waited = said.offer_seconds + said.answer_seconds
    return now - window_of(said) - waited * SECOND - GRACE


def _cells(hot: Hot, version: Version, now: int, epochs: dict[int, int]) -> list[Cell]:
    said, whose = version.said, (version.tenant, version.campaign_id)
    most = NEVER if said.measure.users is None else said.measure.users
    ripe, tenants = matured_before(said, now), (version.tenant,) * 2
    rows = hot.rows(SUMS, (*whose, most, ripe, *whose, *tenants, window_of(said)))
    return [
        Cell(epochs[number], arm, frozenset(json.loads(groups)), _table(sums))
        for number, arm, groups, *sums in sorted(rows)
    ]


def window_of(said: Campaign) -> int:
    """How long a user is looked at, in microseconds."""
    return round(said.measure.window_hours * HOUR)


def _table(sums: Iterable[int]) -> FloatArray:
    """The symmetric table of sums of products."""
    names = ("1", *COLUMNS)
    table = np.zeros((len(names), len(names)))
    for (one, other), total in zip(PAIRS, sums, strict=True):
        row, column = names.index(one), names.index(other)
        table[row, column] = table[column, row] = float(total)
    return table


def sums_in(cell: Cell) -> list[int]:
    """A cell's sums, in the order of the pairs."""
    names = ("1", *COLUMNS)
    return [int(cell.table[names.index(one), names.index(other)]) for one, other in PAIRS]


def _epochs(history: list[Version]) -> dict[int, int]:
    """The epoch of every version."""
    found, epoch, shares = dict[int, int](), 0, dict[str, float]()
    for one in history:
        if one.said.shares != shares:
            epoch, shares = one.version, one.said.shares
        found[one.version] = epoch
    return found
