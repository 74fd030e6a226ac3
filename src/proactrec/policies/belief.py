r"""What a planner believes: where users stand, and when they accept.

A user's place is a unit vector :math:`m` among the item vectors :math:`e_i`. It starts where the
user's history puts it, and every answer moves it: an accepted item as the simulators of the field
have it, and each answer by what it tells, as far as the chance did not foresee it (an extended
Kalman step with the variance :math:`v` in every direction):

.. math::
    m \leftarrow m + \frac{v a (y - p)}{1 + v a^2 p (1 - p)} e_i, \qquad
    m \leftarrow s m + (1 - s) e_i \text{ if accepted}

The chance is :math:`p = \sigma(w_0 + \sum_k a_k\, m_k^\top e_{ki} + w_2 \log n_i + b_i)`, with the
number of users :math:`n_i` who have the item and a slope :math:`a_k` for each of the
:mod:`~proactrec.policies.views`. Its weights are learned from the answers of all users. With the
shares :math:`w_k = a_k / a` of the slope :math:`a = \sum_k a_k` the views are one, :math:`m` and
:math:`e_i`.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from proactrec.journeys import UNKNOWN, Journeys
from proactrec.policies.base import Evidence
from proactrec.types import IntArray

N_NEWTON, ENOUGH = 12, 1e-6
LEAST_LEAVING = 0.001
PRIOR_ROUNDS = 100.0
"""Rounds of users that the assumed share of those who leave counts for."""
LEAST_SLOPE = 0.1
"""Of the prior's: however bad the vectors of a view, interest does not repel."""


class AcceptanceModel(NamedTuple):
    """Weights of the chance with what is known of them; a value, never changed.

    The weights (intercept, a slope for each view, popularity, the strength of each of the
    :mod:`~proactrec.policies.laws` that are learned) have a normal posterior, carried on from round
    to round. What they miss of single items goes into item effects: shrunken mean residuals.
    """

    weights: Tensor  # (n_views + 2 + n_laws,) float64
    precision: Tensor  # (n_views + 2 + n_laws, n_views + 2 + n_laws) float64
    surplus: Tensor  # (n_items + 1,), acceptances beyond those foreseen
    information: Tensor  # (n_items + 1,), sum of p (1 - p)
    shrinkage: float  # information that outweighs the prior of an item effect; inf: none
    least_slopes: Tensor  # (n_views,)
    n_left: Tensor  # (2,) float64: users who left after an acceptance and after a refusal
    n_played: Tensor  # (2,) float64: all that played such a round; both with the prior's

    @classmethod
    def before_answers(
        cls,
        n_rows: int,
        *,
        slopes: Sequence[float],
        deviations: Sequence[float],
        prior_chance: float,
        strength: float,
        shrinkage: float,
        leaving: tuple[float, float] = (0.0, 0.0),
        laws: Sequence[tuple[float, float]] = (),
    ) -> Self:
        """The prior.

        Parameters
        ----------
        n_rows : int
            Number of items + 1.
        slopes, deviations : sequences of length n_views
            Prior means of the slopes, and their prior deviations.
        prior_chance : float in (0, 1)
            Chance of an item without interest and of mean popularity.
        strength : float
            Prior precision of intercept and popularity.
        shrinkage : float
            See the class.
        leaving : two floats
            Assumed share that leaves after an acceptance and after a refusal.
        laws : sequence of length n_laws
            Prior means of the laws' strengths, and their prior deviations.
        """
        intercept = torch.logit(torch.tensor(prior_chance, dtype=torch.float64))
        strengths = [mean for mean, _ in laws]
        weights = torch.tensor([float(intercept), *slopes, 0.0, *strengths], dtype=torch.float64)
        spread = [1 / deviation**2 for deviation in deviations]
        of_laws = [1 / deviation**2 for _, deviation in laws]
        precision = torch.tensor([strength, *spread, strength, *of_laws], dtype=torch.float64)
        nothing = torch.zeros(n_rows)
        least = LEAST_SLOPE * weights[1 : 1 + len(slopes)]
        n_played = torch.full((2,), PRIOR_ROUNDS, dtype=torch.float64)
        n_left = n_played * torch.tensor(leaving, dtype=torch.float64)
        acceptance = weights, precision.diag(), nothing, nothing, shrinkage, least
        return cls(*acceptance, n_left, n_played)

    @property
    def slopes(self) -> Tensor:
        """Weight of interest, by view: (n_views,)."""
        return self.weights[1 : 1 + len(self.least_slopes)]

    @property
    def slope(self) -> float:
        """Weight of interest, all views together."""
        return float(self.slopes.sum())

    @property
    def strengths(self) -> Tensor:
        """Of the laws that are learned: (n_laws,)."""
        return self.weights[len(self.least_slopes) + 2 :]

    @property
    def deviations(self) -> Tensor:
        """Posterior deviations of the strengths: (n_laws,)."""
        variance: Tensor = torch.linalg.inv(self.precision).diagonal()
        return variance[len(self.least_slopes) + 2 :].sqrt()

    @property
    def shares(self) -> Tensor:
        """Of the views in interest: (n_views,), positive, their sum 1."""
        return (self.slopes / self.slopes.sum()).float()

    @property
    def leaving(self) -> Tensor:
        """Share that leaves after an acceptance and after a refusal: (2,).

        Where any is assumed it is never believed to be none: without an end, waiting would have
        none either.
        """
        found = (self.n_left / self.n_played).clamp(min=LEAST_LEAVING)
        return torch.where(self.n_left > 0, found, 0.0)

    def seen_again(self, evidence: Evidence) -> "AcceptanceModel":
        """The model after it was seen who came back; the same where nobody knows."""
        if evidence.stayed is None:
            return self
        refused = (~evidence.accepted).long()
        n_played = torch.bincount(refused, minlength=2).cpu()
        n_left = torch.bincount(refused[~evidence.stayed], minlength=2).cpu()
        return self._replace(n_left=self.n_left + n_left, n_played=self.n_played + n_played)

    def offsets(self, popularity: Tensor, optimism: float = 0.0) -> Tensor:
        """All that does not depend on the user: (n_items + 1,); `popularity` is standardised.

        With `optimism` an item effect is taken so many posterior deviations above its mean: items
        of which little is known look better than they are believed to be, and are tried.
        """
        weight = self.information + self.shrinkage
        effects = self.surplus / weight + optimism * weight.rsqrt()
        of_popularity = self.weights[len(self.least_slopes) + 1]
        return self.weights[0].float() + of_popularity.float() * popularity + effects

    @property
    def effects(self) -> Tensor:
        """Items' own logits: (n_items + 1,)."""
        return self.surplus / (self.information + self.shrinkage)

    def learned(
        self, evidence: Evidence, popularity: Tensor, effects: Tensor | None = None
    ) -> "AcceptanceModel":
        """The model after one more round: a Newton search for the new posterior mode.

        `evidence.features` (n, n_views) holds the interest that was foreseen, by view; where laws
        are learned, then (n, n_laws + 1) as :meth:`~proactrec.policies.laws.Trail.told` has them.
        `effects` (n_items + 1,) are those in them; without, weights are found as if items had none.
        """
        n_views, features = len(self.least_slopes), evidence.features.double()
        liked = popularity[evidence.item_idx].double()
        given, laws = features[:, n_views : n_views + 1].sum(1), features[:, n_views + 1 :]
        interest = features[:, :n_views]
        rows = torch.cat([torch.ones_like(liked)[:, None], interest, liked[:, None], laws], 1)
        answers = evidence.accepted.double()
        weights = self._mode(rows, given, answers)
        slopes = weights[1 : 1 + n_views]
        weights[1 : 1 + n_views] = slopes.maximum(self.least_slopes)
        chance = torch.sigmoid(rows @ weights + given)
        doubt, surplus = chance * (1 - chance), answers - chance
        if effects is not None:  # what is left adds to what was known already
            surplus = surplus + doubt * effects[evidence.item_idx]
        return self._replace(
            weights=weights,
            precision=(rows * doubt[:, None]).T @ rows + self.precision,
            surplus=self.surplus.index_add(0, evidence.item_idx, surplus.float()),
            information=self.information.index_add(0, evidence.item_idx, doubt.float()),
        )

    def within(self, least: Sequence[float], most: Sequence[float]) -> "AcceptanceModel":
        """The model given that strengths of laws are inside of these bounds (n_laws,).

        Where the mode is outside, the other weights are the likeliest beside the bound.
        """
        n_others, weights = len(self.weights) - len(least), self.weights
        low, high = (
            torch.cat([weights.new_full((n_others,), end), weights.new_tensor(inside)])
            for end, inside in ((-torch.inf, least), (torch.inf, most))
        )
        low[1 : 1 + len(self.least_slopes)] = self.least_slopes
        is_bound = torch.zeros_like(weights, dtype=torch.bool)
        while (is_outside := (weights < low) | (weights > high)).any():
            is_bound |= is_outside
            weights = torch.where(is_bound, weights.clamp(low, high), self.weights)
            free, pull = self.precision[~is_bound], (weights - self.weights)[is_bound]
            weights[~is_bound] -= torch.linalg.solve(free[:, ~is_bound], free[:, is_bound] @ pull)
        return self if weights is self.weights else self._replace(weights=weights)

    def _mode(self, rows: Tensor, given: Tensor, answers: Tensor) -> Tensor:
        """Most likely weights: Newton's steps, halved until they lead downhill.

        `given` (n,) is what is known of the logits beside them.
        """

        def loss(weights: Tensor) -> float:
            away = weights - self.weights
            logits = rows @ weights + given
            misfit = F.binary_cross_entropy_with_logits(logits, answers, reduction="sum")
            return float(misfit + 0.5 * away @ self.precision @ away)

        weights = self.weights.clone()
        for _ in range(N_NEWTON):
            chance = torch.sigmoid(rows @ weights + given)
            curvature = (rows * (chance * (1 - chance))[:, None]).T @ rows + self.precision
            slope = rows.T @ (answers - chance) - self.precision @ (weights - self.weights)
            step, now = torch.linalg.solve(curvature, slope), loss(weights)
            while step.norm() > ENOUGH and loss(weights + step) > now:
                step = step / 2
            weights = weights + step
        return weights


def effects_by(variance: Tensor, surplus: Tensor, information: Tensor) -> Tensor:
    """Effects of items (n,), by the variance of effects (k,) instead of the shrinkage: (n, k)."""
    return surplus[:, None] * variance / (information[:, None] * variance + 1)


def moved_by_answers(
    start: Tensor,
    item_vectors: Tensor,
    journeys: Journeys,
    slope: float,
    offsets: Tensor,
    *,
    kept_share: float,
    variance: float,
) -> Tensor:
    """Where users stand after all answers so far, unit rows (n, d).

    Parameters
    ----------
    start : float tensor, shape (n, d)
        Where their histories put them.
    item_vectors : float tensor, shape (n_items + 1, d)
    slope, offsets
        Of the acceptance model as it is now; offsets (n_items + 1,).
    kept_share : float in [0, 1]
        s: of the old vector, after an accepted item.
    variance : float
        v: how much a start may be wrong; 0 leaves surprise aside.
    """
    place, all_accepted = start, journeys.accepted
    for number in range(journeys.n_past):
        item_idx = journeys.shown[:, number] * (journeys.answer[:, number] != UNKNOWN)
        accepted = all_accepted[:, number]
        shown = item_vectors[item_idx]  # (n, d), zero where nothing was shown, or answered yet
        chance = torch.sigmoid(slope * (place * shown).sum(1) + offsets[item_idx])
        surprise = variance * slope * (accepted.float() - chance)
        surprise /= 1 + variance * slope**2 * chance * (1 - chance)
        told = F.normalize(place + surprise[:, None] * shown, dim=1)
        share = torch.ones_like(chance).masked_fill_(accepted, kept_share)[:, None]
        moved = F.normalize(share * told + (1 - share) * shown, dim=1)
        place = torch.where((item_idx > 0)[:, None], moved, place)
    return place


def standard_popularity(train_counts: IntArray) -> Tensor:
    """Log of an item's number of users, standardised; the mean for an item that nobody has yet."""
    counts = torch.from_numpy(train_counts)
    popularity, is_known = counts.float().clamp(min=1).log(), counts > 0
    known = popularity[is_known]
    standard = (popularity - known.mean()) / known.std().clamp(min=1e-6)
    return standard.masked_fill(~is_known, 0)
