"""HR, IoI and IoR at rounds, and the figures that keep them honest, from a guidance log."""

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from proactrec.config import Options
from proactrec.data.dataset import Dataset
from proactrec.evaluation.log import GuidanceLog
from proactrec.evaluation.statistics import Estimate, bootstrap_weights, ratio_estimates
from proactrec.types import BoolArray, FloatArray, IntArray

ROUNDS = (5, 10, 15, 20)


class MetricOptions(Options):
    """What exactly HR, IoI and IoR are; defaults as in the protocol `common`."""

    rounds: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        ROUNDS, min_length=1, description="rounds P at which figures are given"
    )
    timing: Literal["after", "before"] = Field(
        "after", description="state after P rounds, or as the code logs it: after P - 1 (D22)"
    )
    hr: Literal["rounds", "first_targets"] = Field(
        "rounds",
        description="clicks of the first P rounds, or of all rounds for the first P targets (D23)",
    )
    rank_cut: int | None = Field(
        None, ge=1, description="ranks from this on count as the last one before it (D24)"
    )


def hit_ratio(
    log: GuidanceLog, options: MetricOptions, weights: FloatArray, n_users: int
) -> dict[str, Estimate]:
    r"""HR@P: share of shown items that were accepted in the first P rounds.

    :math:`\mathrm{HR@P} = \sum_{p \le P} \sum_u a_{up} / \sum_{p \le P} \sum_u s_{up}`, with s = 1
    where an item was shown; the paper's :math:`1 / P|U|` when everybody is shown one in all
    rounds. `hr="first_targets"` is what the public code computes: all rounds, first P targets.
    """
    accepted, shown, rounds = log.accepted, log.is_shown, options.rounds
    if options.hr == "first_targets":
        order = {item: rank for rank, item in enumerate(dict.fromkeys(log.target_idx.tolist()))}
        rank = np.array([order[item] for item in log.target_idx.tolist()])
        chosen = [np.broadcast_to((rank < p)[:, None], accepted.shape) for p in rounds]
    else:
        chosen = [np.broadcast_to(np.arange(log.n_rounds) < p, accepted.shape) for p in rounds]
    hits = np.stack([(accepted & c).sum(1) for c in chosen], 1)
    offers = np.stack([(shown & c).sum(1) for c in chosen], 1)
    return _by_round(log, hits, offers, options, weights, n_users)


def increase_of_interest(
    log: GuidanceLog, options: MetricOptions, weights: FloatArray, n_users: int
) -> dict[str, Estimate]:
    r"""IoI@P: mean over pairs of :math:`e_t^\top e_u^P - e_t^\top e_u^0`.

    A pair that ended early keeps its last state; an owner under ``owners="zero"`` counts as 0.
    """
    return _change(log, log.interest, options, weights, n_users)


def increase_of_rank(
    log: GuidanceLog, options: MetricOptions, weights: FloatArray, n_users: int
) -> dict[str, Estimate]:
    r"""IoR@P: mean over pairs of :math:`\mathrm{rank}_0 - \mathrm{rank}_P`, in places.

    Ranks are 0-based among the items outside the user's train history, cut at `rank_cut` if set.
    """
    rank = log.rank if options.rank_cut is None else np.minimum(log.rank, options.rank_cut - 1)
    return _change(log, -rank, options, weights, n_users)


def offered_acceptance(
    log: GuidanceLog, options: MetricOptions, weights: FloatArray, n_users: int
) -> dict[str, Estimate]:
    """Mean acceptance probability of what was shown in the first P rounds, by the simulator."""
    within = [np.arange(log.n_rounds) < p for p in options.rounds]
    prob = np.nan_to_num(log.accept_prob)
    total = np.stack([prob[:, w].sum(1) for w in within], 1)
    offers = np.stack([log.is_shown[:, w].sum(1) for w in within], 1)
    return _by_round(log, total, offers, options, weights, n_users)


def evaluate(
    log: GuidanceLog, dataset: Dataset, options: MetricOptions | None = None, *, seed: int = 0
) -> dict[str, Any]:
    """All figures of a log: `metrics` at rounds, single `outcome` figures, counts of `pairs`.

    Every estimate has a 95 % percentile bootstrap interval over users, except `coverage`, a count
    of distinct items over all users, which resampling users can only lower.
    """
    options = options or MetricOptions()
    rounds = tuple(p for p in options.rounds if p <= log.n_rounds) or (log.n_rounds,)
    options = options.model_copy(update={"rounds": rounds})
    n_users = dataset.n_users
    weights = bootstrap_weights(n_users, seed=seed)
    metrics = {
        "hr": hit_ratio(log, options, weights, n_users),
        "ioi": increase_of_interest(log, options, weights, n_users),
        "ior": increase_of_rank(log, options, weights, n_users),
        "accept_prob": offered_acceptance(log, options, weights, n_users),
    }
    if options.rank_cut is None:
        cut = options.model_copy(update={"rank_cut": 200})
        metrics["ior200"] = increase_of_rank(log, cut, weights, n_users)
    per_pair = np.stack([log.reached, log.rank[:, 0] == 0], 1)
    accepted, first = _estimates(log, per_pair, np.ones_like(per_pair), weights, n_users)
    shown = log.item_idx[log.is_shown]
    return {
        "metrics": {
            name: {p: estimate.as_dict() for p, estimate in values.items()}
            for name, values in metrics.items()
        },
        "outcome": {
            "target_accepted": accepted.as_dict(),
            "already_first": first.as_dict(),
            "category_entropy": category_entropy(log, dataset, weights).as_dict(),
            "coverage": {"mean": len(np.unique(shown)) / dataset.n_items},
        },
        "pairs": {
            "n_pairs": len(log.user_idx),
            "n_accepted_target": int(log.reached.sum()),
            "n_already_first": int((log.rank[:, 0] == 0).sum()),
            "n_nothing_left": int(((log.item_idx[:, -1] == 0) & ~log.reached).sum()),
            "n_owners_counted_as_zero": int((~log.is_counted).sum()),
        },
    }


def category_entropy(log: GuidanceLog, dataset: Dataset, weights: FloatArray) -> Estimate:
    """Entropy, in bits, of the categories of all shown items; an item shares itself out evenly.

    0 when all of one category was shown, log2(number of categories) when all alike.
    """
    names = {name: column for column, name in enumerate(dataset.category_names)}
    of_item = np.zeros((dataset.n_items + 1, len(names) + 1))
    for row, categories in enumerate(dataset.categories, start=1):
        columns = [names[name] for name in categories] or [len(names)]
        of_item[row, columns] = 1 / len(columns)
    n_rows = dataset.n_items + 1
    user = np.repeat(log.user_idx, log.n_rounds)
    shown_by_user = np.zeros((dataset.n_users, of_item.shape[1]))
    # Count (user, item) first: far fewer rows than decisions.
    key, count = np.unique(user * n_rows + log.item_idx.ravel(), return_counts=True)
    np.add.at(shown_by_user, key // n_rows, of_item[key % n_rows] * count[:, None])

    def entropy(total: FloatArray) -> FloatArray:
        share = total / np.maximum(total.sum(-1, keepdims=True), 1e-12)
        bits: FloatArray = -(share * np.log2(np.maximum(share, 1e-12))).sum(-1)
        return bits

    low, high = np.quantile(entropy(weights @ shown_by_user), [0.025, 0.975])
    return Estimate(float(entropy(shown_by_user.sum(0))), float(low), float(high))


def increase_per_target(log: GuidanceLog, targets: IntArray) -> FloatArray:
    """Mean IoI after the last round of every target, NaN without pairs: (n_targets,)."""
    gain = (log.interest[:, -1] - log.interest[:, 0]) * log.is_counted
    return np.array(
        [
            gain[rows].mean() if (rows := log.target_idx == item).any() else np.nan
            for item in targets
        ]
    )


def _change(
    log: GuidanceLog,
    state: FloatArray | IntArray,
    options: MetricOptions,
    weights: FloatArray,
    n_users: int,
) -> dict[str, Estimate]:
    """Mean change of a state per pair, from before guidance to round P."""
    back = 1 if options.timing == "before" else 0
    change = np.stack([state[:, p - back] - state[:, 0] for p in options.rounds], 1)
    change = change * log.is_counted[:, None]
    return _by_round(log, change, np.ones_like(change), options, weights, n_users)


def _by_round(
    log: GuidanceLog,
    numerator: FloatArray | IntArray,
    denominator: FloatArray | IntArray,
    options: MetricOptions,
    weights: FloatArray,
    n_users: int,
) -> dict[str, Estimate]:
    estimates = _estimates(log, numerator, denominator, weights, n_users)
    return {str(p): estimate for p, estimate in zip(options.rounds, estimates, strict=True)}


def _estimates(
    log: GuidanceLog,
    numerator: FloatArray | IntArray | BoolArray,
    denominator: FloatArray | IntArray | BoolArray,
    weights: FloatArray,
    n_users: int,
) -> list[Estimate]:
    """Ratios of sums over pairs, with intervals over users, of (n_pairs, n_figures) arrays."""
    sums = []
    for values in (numerator, denominator):
        total = np.zeros((n_users, values.shape[1]))
        np.add.at(total, log.user_idx, values)
        sums.append(total)
    return ratio_estimates(sums[0], sums[1], weights)
