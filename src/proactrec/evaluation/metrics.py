"""The metrics by name, and the figures that keep them honest, from a guidance log."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from proactrec.data.dataset import Dataset
from proactrec.evaluation.category_metrics import Watched, category_figures, metrics_of
from proactrec.evaluation.hidden_metrics import (
    increase_of_cut_rank,
    increase_of_interest,
    increase_of_rank,
    offered_acceptance,
    worth,
)
from proactrec.evaluation.observed_metrics import (
    MetricOptions,
    hit_ratio,
    rounds_to_target,
    target_acceptance,
    targets_accepted,
)
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.bootstrap import (
    Estimate,
    bootstrap_weights,
    estimate_of,
    ratio_estimates,
)
from proactrec.measurement.entropy import entropy
from proactrec.measurement.sums import Sums, floats
from proactrec.types import BoolArray, FloatArray, IntArray

Metric = Callable[[GuidanceLog, MetricOptions], Sums]
"""A row for each pair of user and target, a column for each of the options' rounds."""

METRICS: dict[str, Metric] = {
    "hr": hit_ratio,
    "ioi": increase_of_interest,
    "ior": increase_of_rank,
    "accept_prob": offered_acceptance,
    "ior200": increase_of_cut_rank,
    "target_accepted": target_acceptance,
    "rounds_to_target": rounds_to_target,
    "worth": worth,
}
GOAL_METRICS: dict[str, Metric] = {**METRICS, "targets_accepted": targets_accepted}
"""Where users are led to whichever item of a goal suits: a row for each user."""
CAMPAIGN_METRICS: dict[str, Metric] = {
    "hr": hit_ratio,
    "target_accepted": target_acceptance,
    "rounds_to_target": rounds_to_target,
    "worth": worth,
    "ioi": increase_of_interest,
    "ior200": increase_of_cut_rank,
}
"""What a campaign is judged by, before (:mod:`.forecast`) and after (:mod:`.uplift`)."""


def campaign_metrics(watched: Watched) -> dict[str, Metric]:
    """What a campaign is judged by, and the figures of watched categories, as ``Home: ioi``."""
    return CAMPAIGN_METRICS | {
        f"{category}: {name}": metric
        for category, by_name in metrics_of(watched).items()
        for name, metric in by_name.items()
    }


def evaluate(
    log: GuidanceLog,
    dataset: Dataset,
    options: MetricOptions | None = None,
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """All figures of a log: `metrics` at rounds, single `outcome` figures, counts of `pairs`, and
    those of `categories` if any are watched.

    Every estimate has a 95 % percentile bootstrap interval over guided users, except `coverage`, a
    count of distinct items over all users, which resampling users can only lower.
    """
    options = options or MetricOptions()
    options = options.up_to(log.n_rounds)
    weights = bootstrap_weights(len(np.unique(log.user_idx)), seed=seed)

    def estimates(sums: Sums) -> list[Estimate]:
        return ratio_estimates(sums.by_user(), weights)

    metrics = GOAL_METRICS if log.has_goal else METRICS
    names = [name for name in metrics if name != "ior200" or options.rank_cut is None]
    per_pair = floats(np.stack([log.reached, log.rank[:, 0] == 0], 1))
    once = Sums(log.user_idx, log.target_idx, per_pair, np.ones_like(per_pair))
    accepted, first = estimates(once)
    spread = estimate_of(entropy, shown_categories(log, dataset), weights)
    shown, ended = log.slate[log.slate > 0], log.reached | log.has_left
    return {
        "metrics": {
            name: {
                str(p): estimate.as_dict()
                for p, estimate in zip(
                    options.rounds, estimates(metrics[name](log, options)), strict=True
                )
            }
            for name in names
        },
        "outcome": {
            "target_accepted": accepted.as_dict(),
            "already_first": first.as_dict(),
            "category_entropy": spread.as_dict(),
            "coverage": {"mean": len(np.unique(shown)) / dataset.n_items},
        },
        "pairs": {
            "n_pairs": len(log.user_idx),
            "n_accepted_target": int(log.reached.sum()),
            "n_already_first": int((log.rank[:, 0] == 0).sum()),
            "n_no_answer": int((log.is_shown & np.isnan(log.accept_prob)).sum()),
            "n_nothing_left": int(((log.item_idx[:, -1] == 0) & ~ended).sum()),
            "n_owners_counted_as_zero": int((~log.is_counted).sum()),
            **({"n_left": int(log.has_left.sum())} if log.has_left.any() else {}),
        },
        **_of_categories(log, dataset, options, weights),
    }


def _of_categories(
    log: GuidanceLog, dataset: Dataset, options: MetricOptions, weights: FloatArray
) -> dict[str, Any]:
    if not options.watch:
        return {}
    return {"categories": category_figures(log, dataset, options, weights)}


def by_group(
    log: GuidanceLog,
    plain: GuidanceLog | None,
    group: IntArray,
    names: tuple[str, ...],
    options: MetricOptions | None = None,
    *,
    told: Mapping[str, Mapping[str, int]] | None = None,
) -> dict[str, dict[str, float | None]]:
    """HR and IoI at the last of the rounds for groups of users; those without campaigns left out.

    HR is None where nothing was shown.

    Parameters
    ----------
    plain : GuidanceLog, optional
        The same campaigns without guidance; with it comes `clicks_lost`, the share by which HR is
        below theirs (negative: above), None where that or its clicks are none.
    group : int array, shape (n_users,)
        Place of every user's group in `names`.
    told : mapping, optional
        How many campaigns of each group there were, and were guided; with it comes `share_guided`.
    """
    options = (options or MetricOptions()).up_to(log.n_rounds)

    def figure(of: GuidanceLog, name: str, rows: BoolArray) -> float | None:
        sums = METRICS[name](of, options)
        top, bottom = sums.numerator[rows, -1].sum(), sums.denominator[rows, -1].sum()
        return float(top / bottom) if bottom else None

    found: dict[str, dict[str, float | None]] = {}
    for place, name in enumerate(names):
        rows: BoolArray = group[log.user_idx] == place
        if not rows.any():
            continue
        figures = {metric: figure(log, metric, rows) for metric in ("hr", "ioi")}
        if plain is not None:
            hr, usual = figures["hr"], figure(plain, "hr", rows)
            figures["clicks_lost"] = 1 - hr / usual if hr is not None and usual else None
        found[name] = {
            "n_users": len(np.unique(log.user_idx[rows])),
            "n_pairs": int(rows.sum()),
            **figures,
        }
        if told is not None:
            n_all, n_guided = told[name]["campaigns"], told[name]["guided"]
            found[name]["share_guided"] = n_guided / n_all if n_all else 0.0
    return found


def shown_categories(log: GuidanceLog, dataset: Dataset) -> FloatArray:
    """How many items of every category each guided user was shown, and last those of none.

    An item shares itself out evenly among its categories.

    Returns
    -------
    float array, shape (n_guided_users, n_categories + 1)
        By ascending `user_idx`.
    """
    names = {name: column for column, name in enumerate(dataset.items.category_names)}
    of_item = np.zeros((dataset.n_items + 1, len(names) + 1))
    for row, categories in enumerate(dataset.categories, start=1):
        columns = [names[name] for name in categories] or [len(names)]
        of_item[row, columns] = 1 / len(columns)
    n_rows = dataset.n_items + 1
    users, place = np.unique(log.user_idx, return_inverse=True)
    user = np.repeat(place, log.slate[0].size)
    shown_by_user = np.zeros((len(users), of_item.shape[1]))
    # Count (user, item) first: far fewer rows than decisions.
    key, count = np.unique(user * n_rows + log.slate.ravel(), return_counts=True)
    np.add.at(shown_by_user, key // n_rows, of_item[key % n_rows] * count[:, None])
    return shown_by_user
