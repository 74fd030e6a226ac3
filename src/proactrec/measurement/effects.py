"""Effects of a campaign's arms, which may be looked at while it runs, and their intervals.

The unit is a user, in the arm that was drawn for them, whatever became of it (intention to treat).
A user counts once matured: a fixed time after the first decision, when what is counted of them does
not change any more; of users who still accumulate no sequential statement would be right. So one
more user is one more independent observation.

The chance of an error is divided: intervals while users come hold at all looks together, with
:data:`EARLY` of it; at the planned number of users the rest goes to one interval of the usual kind,
of the users who came first, whenever one looks at it. Without a planned number all of it goes to
the looks.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np

from proactrec.errors import InvalidInputError
from proactrec.measurement.products import (
    Differences,
    Group,
    Layout,
    covariates_of,
    differences,
    group_of,
)
from proactrec.measurement.sequences import TIGHTEST_AT, margin
from proactrec.measurement.student import student_quantile
from proactrec.types import FloatArray

ALPHA, EARLY = 0.05, 0.01
"""Chance of a wrong statement in all, and the part of it that goes to looks before the end."""
POWER = 0.8
LEAST_SHARE = 1e-6
"""Differences of shares that are smaller are not planned for."""
Kind = Literal["sequence", "final"]
LEAST: dict[Kind, int] = {"sequence": 100, "final": 30}
"""Users of either group before anything is said: below, the normal limit is far; farther for looks,
of which any may be wrong."""


class Cell(NamedTuple):
    """Users of an arm who were assigned in one epoch and are of the same groups."""

    epoch: int
    arm: str
    groups: frozenset[str]
    table: FloatArray  # sums of products, see :mod:`proactrec.measurement.products`


@dataclass(frozen=True)
class Plan:
    """What was said before anybody looked.

    Parameters
    ----------
    figures : sequence of str
        Names, in the order of the layout.
    metric : str
        The figure by which it is decided.
    baseline : str
        The arm that others are compared with.
    arms : sequence of str
        The others.
    n_planned : int, optional
        Matured users at the planned end.
    segments : sequence of str
        Groups that are looked at apart.
    """

    layout: Layout
    figures: Sequence[str]
    metric: str
    baseline: str
    arms: Sequence[str]
    n_planned: int | None = None
    segments: Sequence[str] = ()


class Effect(NamedTuple):
    """An arm less the baseline, in one figure."""

    metric: str
    value: float
    baseline: float
    difference: float
    low: float
    high: float
    kind: Kind
    alpha: float
    detectable: float  # smallest difference that so many users show at the end, with POWER

    @property
    def is_shown(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


class Compared(NamedTuple):
    """An arm against the baseline, among all users or those of a segment."""

    arm: str
    segment: str | None
    n_users: tuple[int, int]  # matured, of the arm and of the baseline
    effects: dict[str, Effect]  # empty: too few users
    kind: Kind


def effects(cells: Sequence[Cell], plan: Plan) -> list[Compared]:
    """Every arm against the baseline: among all, then by segment.

    Parameters
    ----------
    cells : sequence of Cell
        Of matured users; of the first `n_planned` only, once there are so many.
    """
    n_users = sum(int(cell.table[0, 0]) for cell in cells)
    kind: Kind = "final" if plan.n_planned is not None and n_users >= plan.n_planned else "sequence"
    return [
        _compared(_of(cells, segment), plan, arm, segment, kind)
        for segment in (None, *plan.segments)
        for arm in plan.arms
    ]


def users_needed(
    effect: float,
    deviations: tuple[float, float],
    shares: tuple[float, float],
    *,
    alpha: float = ALPHA - EARLY,
    power: float = POWER,
) -> int:
    """How many users the final interval needs, so that a difference shows.

    Parameters
    ----------
    effect : float
        Difference that is to be seen, of either sign, in the figure's unit.
    deviations : two floats
        Of what one user adds: guided and held out.
    shares : two floats
        Of all users: guided and held out.
    alpha : float, optional
        Chance that a difference shows where there is none.
    power : float, optional
        Chance that this one shows.
    """
    if effect == 0:
        raise InvalidInputError("effect must differ from 0, got 0")
    if min(shares) <= 0:
        raise InvalidInputError(f"shares must be above 0, got {shares}")
    one_user = sum(d**2 / share for d, share in zip(deviations, shares, strict=True))
    return math.ceil(one_user * (_sigmas(alpha, power) / effect) ** 2)


def users_for_share(effect: float, share: float, hold_out: float) -> int:
    """How many users the final interval needs of what is 1 for a share of them, 0 for the rest.

    Parameters
    ----------
    effect : float
        Difference that is to be seen.
    share : float
        Without guidance.
    hold_out : float
        Share of users who are not guided.
    """
    if abs(effect) < LEAST_SHARE:
        raise InvalidInputError(f"effect must be {LEAST_SHARE} or more off 0, got {effect}")
    if not 0 <= share + effect <= 1:
        raise InvalidInputError(f"rate + effect must be in [0, 1], got {share + effect}")
    deviations = _deviation(share + effect), _deviation(share)
    return users_needed(effect, deviations, (1 - hold_out, hold_out))


def _deviation(share: float) -> float:
    """Of what is 1 for a share of users, and 0 for the rest."""
    return math.sqrt(share * (1 - share))


def _sigmas(alpha: float, power: float) -> float:
    """Standard errors of a difference that shows with a chance."""
    normal = NormalDist()
    return normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)


def _of(cells: Iterable[Cell], segment: str | None) -> list[Cell]:
    return [cell for cell in cells if segment is None or segment in cell.groups]


def _compared(
    cells: Sequence[Cell], plan: Plan, arm: str, segment: str | None, kind: Kind
) -> Compared:
    by_epoch = {epoch: _tables(cells, epoch) for epoch in sorted({cell.epoch for cell in cells})}
    both = [
        (tables[arm], tables[plan.baseline])
        for tables in by_epoch.values()
        if min(_n(tables, arm), _n(tables, plan.baseline)) >= LEAST[kind]
    ]
    n_users = tuple(
        sum(_n(tables, name) for tables in by_epoch.values()) for name in (arm, plan.baseline)
    )
    n_comparisons = len(plan.arms) * (len(plan.segments) if segment else 1)
    found = _effects(both, plan, kind, n_comparisons) if both else {}
    return Compared(arm, segment, (n_users[0], n_users[1]), found, kind)


def _tables(cells: Iterable[Cell], epoch: int) -> Mapping[str, FloatArray]:
    found: dict[str, FloatArray] = {}
    for cell in cells:
        if cell.epoch == epoch:
            found[cell.arm] = found.get(cell.arm, 0) + cell.table
    return found


def _n(tables: Mapping[str, FloatArray], arm: str) -> int:
    return int(tables[arm][0, 0]) if arm in tables else 0


def _effects(
    both: Sequence[tuple[FloatArray, FloatArray]], plan: Plan, kind: Kind, n_comparisons: int
) -> dict[str, Effect]:
    """Figures within each epoch, weighted by its users: shares of arms may differ between them."""
    sizes = np.array([first[0, 0] + second[0, 0] for first, second in both])
    weights, n = sizes / sizes.sum(), int(sizes.sum())
    parts = [_within(first, second, plan.layout, kind) for first, second in both]
    one, other, value = (
        weights @ np.stack(rows)
        for rows in zip(*((p[0].mean, p[1].mean, p[2].value) for p in parts), strict=True)
    )
    shares = weights[:, None] ** 2 * np.stack([part[2].variance for part in parts])
    variance = shares.sum(0)
    within = np.stack([part[2].freedom for part in parts])
    freedom = variance**2 / np.maximum((shares**2 / within).sum(0), 1e-300)
    freedom = np.clip(freedom, within.min(0), within.sum(0))
    is_planned = plan.n_planned is not None
    at_end = (ALPHA - EARLY if is_planned else ALPHA) / n_comparisons
    whole = EARLY / n_comparisons if is_planned and kind == "sequence" else at_end
    found = {}
    for at, name in enumerate(plan.figures):
        if kind == "final":
            off = _fixed(float(variance[at]), float(freedom[at]), whole)
        else:
            # Statements before the end are wanted by half of it.
            tightest = (plan.n_planned or 2 * TIGHTEST_AT) // 2
            off = margin(float(variance[at]), n, alpha=whole, tightest_at=max(tightest, 1))
        mean = float(value[at])
        least = _sigmas(at_end, POWER) * math.sqrt(variance[at])
        found[name] = Effect(
            name, float(one[at]), float(other[at]), mean, mean - off, mean + off, kind, whole, least
        )
    return found


def _within(
    first: FloatArray, second: FloatArray, layout: Layout, kind: Kind
) -> tuple[Group, Group, Differences]:
    centre, covariance = covariates_of(first + second, layout)
    one, other = group_of(first, layout, centre), group_of(second, layout, centre)
    return one, other, differences(one, other, covariance, alike=kind == "sequence")


def _fixed(variance: float, freedom: float, alpha: float) -> float:
    quantile = student_quantile(1 - alpha / 2, np.array([freedom]))
    return float(quantile[0]) * math.sqrt(variance)
