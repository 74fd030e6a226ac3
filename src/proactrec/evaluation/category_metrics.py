"""What becomes of categories: who accepts of them, their share of what is accepted, interest."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from proactrec.data.dataset import Dataset
from proactrec.data.items import Items
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.evaluation.hidden_metrics import increase_of
from proactrec.evaluation.observed_metrics import MetricOptions, Observed
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.bootstrap import ratio_estimates
from proactrec.measurement.sums import Sums, floats
from proactrec.types import BoolArray, FloatArray

CategoryMetric = Callable[[GuidanceLog, MetricOptions], Sums]


class Watched(NamedTuple):
    """Categories that are watched, and what their items weigh in the interest in them."""

    names: tuple[str, ...]  # whole paths
    is_in: BoolArray  # (n_categories, n_items + 1)
    weights: FloatArray  # (n_categories, n_items + 1), each row sums to 1

    @classmethod
    def of(cls, items: Items, options: MetricOptions) -> "Watched":
        """Those that the options watch.

        Raises
        ------
        UnknownIdError
            If there is no such category, or no such item.
        InvalidInputError
            If a category's items weigh nothing, or a name stands at several places of the tree.
        """
        weights = options.item_weights
        unknown = [one for one in weights if one not in items.index]
        if unknown:
            raise UnknownIdError(
                f"{len(unknown)} of {len(weights)} items with weights are not in {items.name}, "
                f"first {unknown[0]!r}"
            )
        weight = np.ones(len(items) + 1)
        weight[[items.index[one] for one in weights]] = list(weights.values())
        paths = tuple(dict.fromkeys(items.category(name) for name in options.watch))
        is_in = np.array([items.carry([path]) for path in paths])
        is_in = is_in.astype(bool).reshape(len(paths), len(items) + 1)
        total = is_in * weight
        for path, row in zip(paths, total, strict=True):
            if not row.sum() > 0:
                raise InvalidInputError(
                    f"item_weights must be above 0 for an item of {path!r}, got 0 for all"
                )
        return cls(paths, is_in, total / total.sum(1, keepdims=True))


def users_with_one(log: Observed, options: MetricOptions, is_in: BoolArray) -> Sums:
    r"""Share of journeys whose user accepted an item of a category in the first P rounds.

    :math:`\frac{1}{n} \sum_j \mathbb{1}[\sum_{p \le P} a_{jp} c_{jp} > 0]`, with c = 1 where what
    was shown is of it. Where every user has one journey, that is the share of users.

    Parameters
    ----------
    is_in : bool array, shape (n_items + 1,)
    """
    counts = _accepted(log, options, is_in[log.item_idx])
    return Sums(log.user_idx, log.target_idx, floats(counts > 0), np.ones_like(counts))


def share_of_accepted(log: Observed, options: MetricOptions, is_in: BoolArray) -> Sums:
    r"""Share of a category's items among all that were accepted in the first P rounds.

    :math:`\sum_j \sum_{p \le P} a_{jp} c_{jp} / \sum_j \sum_{p \le P} a_{jp}`; 0 where nothing was
    accepted.
    """
    everything = np.ones_like(log.accepted)
    counts = (_accepted(log, options, which) for which in (is_in[log.item_idx], everything))
    return Sums(log.user_idx, log.target_idx, *counts)


def increase_of_category_interest(log: GuidanceLog, options: MetricOptions, place: int) -> Sums:
    r"""Mean over journeys of :math:`\sum_i w_i e_i^\top (e_u^P - e_u^0)` over a category's items.

    The weights sum to 1, so that it is in the units of IoI. `place`: of the category among those
    that the log watched.
    """
    return increase_of(log, log.watched[:, :, place], options)


def metrics_of(watched: Watched) -> dict[str, dict[str, CategoryMetric]]:
    """The metrics by the categories' names and their own."""
    return {
        name: {
            "users_with_one": partial(users_with_one, is_in=is_in),
            "share_of_accepted": partial(share_of_accepted, is_in=is_in),
            "ioi": partial(increase_of_category_interest, place=place),
        }
        for place, (name, is_in) in enumerate(zip(watched.names, watched.is_in, strict=True))
    }


def category_figures(
    log: GuidanceLog, dataset: Dataset, options: MetricOptions, weights: FloatArray
) -> dict[str, dict[str, Any]]:
    """All figures of each watched category, with intervals over users.

    `share_before`: of the category among the items of the users' train histories;
    `interest_before`: the state from which interest changed, told with it where the log has it.

    Parameters
    ----------
    weights : float array, shape (n_draws, n_users)
        From :func:`proactrec.measurement.bootstrap.bootstrap_weights`.
    """
    options, watched = options.up_to(log.n_rounds), Watched.of(dataset.items, options)

    def figures(sums: Sums) -> list[dict[str, float]]:
        return [one.as_dict() for one in ratio_estimates(sums.by_user(), weights)]

    users = np.unique(log.user_idx)
    row, item_idx = dataset.before("train").rows(users)
    is_in = floats(watched.is_in[:, item_idx].T)  # (n_interactions, n_categories)
    had = Sums.of_users(users[row], is_in, np.ones_like(is_in))
    rounds = [str(number) for number in options.rounds]
    return {
        name: {
            "n_items": int(watched.is_in[place].sum()),
            "share_before": figures(had)[place],
            **({"interest_before": figures(_before(log, place))[0]} if _is_noted(log) else {}),
            "metrics": {
                metric: dict(zip(rounds, figures(sums(log, options)), strict=True))
                for metric, sums in by_metric.items()
                if metric != "ioi" or _is_noted(log)
            },
        }
        for place, (name, by_metric) in enumerate(metrics_of(watched).items())
    }


def _is_noted(log: GuidanceLog) -> bool:
    """Whether the log has the interest in what is watched."""
    return bool(log.watched.shape[2])


def _before(log: GuidanceLog, place: int) -> Sums:
    state = log.watched[:, :1, place]
    return Sums(log.user_idx, log.target_idx, state, np.ones_like(state))


def _accepted(log: Observed, options: MetricOptions, which: BoolArray) -> FloatArray:
    """How many of these (n_pairs, n_rounds) were accepted by each of the rounds: (n_pairs, P)."""
    hit = log.accepted & which
    return floats(np.stack([hit[:, :p].sum(1) for p in options.rounds], 1))
