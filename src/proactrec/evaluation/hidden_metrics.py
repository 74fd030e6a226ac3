"""Sums that only a simulation can know: of users' hidden interest and chances of acceptance."""

import numpy as np

from proactrec.evaluation.observed_metrics import MetricOptions, observed_worth
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.sums import Sums, floats
from proactrec.types import FloatArray, IntArray


def increase_of_interest(log: GuidanceLog, options: MetricOptions) -> Sums:
    r"""IoI@P: mean over pairs of :math:`e_t^\top e_u^P - e_t^\top e_u^0`.

    A pair that ended early keeps its last state; an owner under ``owners="zero"`` counts as 0.
    """
    return increase_of(log, log.interest, options)


def increase_of_rank(log: GuidanceLog, options: MetricOptions) -> Sums:
    r"""IoR@P: mean over pairs of :math:`\mathrm{rank}_0 - \mathrm{rank}_P`, in places.

    Ranks are 0-based among the items outside the user's train history, cut at `rank_cut` if set.
    """
    rank = log.rank if options.rank_cut is None else np.minimum(log.rank, options.rank_cut - 1)
    return increase_of(log, -rank, options)


def increase_of_cut_rank(log: GuidanceLog, options: MetricOptions) -> Sums:
    """IoR@P with ranks cut at 200, as published."""
    return increase_of_rank(log, options.model_copy(update={"rank_cut": 200}))


def worth(log: GuidanceLog, options: MetricOptions) -> Sums:
    """Worth@P: mean over pairs of what targets, steps and interest gained are worth by round P.

    :func:`observed_worth`, which a real campaign knows, and `worth.interest` times IoI@P, which it
    does not.
    """
    seen, interest = observed_worth(log, options), increase_of_interest(log, options)
    gained = seen.numerator + options.worth.interest * interest.numerator
    return Sums(log.user_idx, log.target_idx, gained, seen.denominator)


def offered_acceptance(log: GuidanceLog, options: MetricOptions) -> Sums:
    """Mean acceptance probability of what was shown in the first P rounds, by the simulator."""
    within = [np.arange(log.n_rounds) < p for p in options.rounds]
    prob, is_known = np.nan_to_num(log.accept_prob), np.isfinite(log.accept_prob)
    total = np.stack([prob[:, w].sum(1) for w in within], 1)
    counts = floats(np.stack([is_known[:, w].sum(1) for w in within], 1))
    return Sums(log.user_idx, log.target_idx, total, counts)


def increase_of(log: GuidanceLog, state: FloatArray | IntArray, options: MetricOptions) -> Sums:
    """Mean change per pair of a state (n_pairs, n_rounds + 1), from before guidance to round P."""
    back = 1 if options.timing == "before" else 0
    change = np.stack([state[:, p - back] - state[:, 0] for p in options.rounds], 1)
    change = floats(change * log.is_counted[:, None])
    return Sums(log.user_idx, log.target_idx, change, np.ones_like(change))
