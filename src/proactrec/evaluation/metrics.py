"""HR, IoI and IoR at rounds, and the figures that keep them honest, from a guidance log."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
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

    def up_to(self, n_rounds: int) -> "MetricOptions":
        """The same for guidance of so many rounds: no round that was not played."""
        rounds = tuple(p for p in self.rounds if p <= n_rounds) or (n_rounds,)
        return self.model_copy(update={"rounds": rounds})


class Parts(NamedTuple):
    """A metric as a ratio of two sums over pairs, one column per round P."""

    numerator: FloatArray  # (n_pairs, n_rounds P)
    denominator: FloatArray

    def summed(self, place: tuple[IntArray, ...], shape: tuple[int, ...]) -> "Parts":
        """The sums of all pairs at every place, an index (n_pairs,) an axis: (*shape, n_rounds)."""
        sums = []
        for values in self:
            total = np.zeros((*shape, values.shape[1]))
            np.add.at(total, place, values)
            sums.append(total)
        return Parts(*sums)


def hit_ratio(log: GuidanceLog, options: MetricOptions) -> Parts:
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
    return Parts(_floats(hits), _floats(np.stack([(shown & c).sum(1) for c in chosen], 1)))


def increase_of_interest(log: GuidanceLog, options: MetricOptions) -> Parts:
    r"""IoI@P: mean over pairs of :math:`e_t^\top e_u^P - e_t^\top e_u^0`.

    A pair that ended early keeps its last state; an owner under ``owners="zero"`` counts as 0.
    """
    return _change(log, log.interest, options)


def increase_of_rank(log: GuidanceLog, options: MetricOptions) -> Parts:
    r"""IoR@P: mean over pairs of :math:`\mathrm{rank}_0 - \mathrm{rank}_P`, in places.

    Ranks are 0-based among the items outside the user's train history, cut at `rank_cut` if set.
    """
    rank = log.rank if options.rank_cut is None else np.minimum(log.rank, options.rank_cut - 1)
    return _change(log, -rank, options)


def increase_of_cut_rank(log: GuidanceLog, options: MetricOptions) -> Parts:
    """IoR@P with ranks cut at 200, as published."""
    return increase_of_rank(log, options.model_copy(update={"rank_cut": 200}))


def offered_acceptance(log: GuidanceLog, options: MetricOptions) -> Parts:
    """Mean acceptance probability of what was shown in the first P rounds, by the simulator."""
    within = [np.arange(log.n_rounds) < p for p in options.rounds]
    prob = np.nan_to_num(log.accept_prob)
    total = np.stack([prob[:, w].sum(1) for w in within], 1)
    is_known = np.isfinite(log.accept_prob)
    return Parts(total, _floats(np.stack([is_known[:, w].sum(1) for w in within], 1)))


def target_acceptance(log: GuidanceLog, options: MetricOptions) -> Parts:
    """Share of pairs whose user accepted the target itself in the first P rounds."""
    hit = log.accepted & (log.item_idx == log.target_idx[:, None])
    reached = _floats(np.stack([hit[:, :p].any(1) for p in options.rounds], 1))
    return Parts(reached, np.ones_like(reached))


METRICS: dict[str, Callable[[GuidanceLog, MetricOptions], Parts]] = {
    "hr": hit_ratio,
    "ioi": increase_of_interest,
    "ior": increase_of_rank,
    "accept_prob": offered_acceptance,
    "ior200": increase_of_cut_rank,
}
CAMPAIGN_METRICS: dict[str, Callable[[GuidanceLog, MetricOptions], Parts]] = {
    "hr": hit_ratio,
    "target_accepted": target_acceptance,
    "ioi": increase_of_interest,
    "ior200": increase_of_cut_rank,
}
"""What a campaign is judged by, before (:mod:`.forecast`) and after (:mod:`.uplift`)."""


def evaluate(
    log: GuidanceLog,
    dataset: Dataset,
    options: MetricOptions | None = None,
    *,
    seed: int = 0,
    patience: int | None = None,
) -> dict[str, Any]:
    """All figures of a log: `metrics` at rounds, single `outcome` figures, counts of `pairs`.

    Users who leave are counted where the `patience` of the world is given.

    Every estimate has a 95 % percentile bootstrap interval over guided users, except `coverage`, a
    count of distinct items over all users, which resampling users can only lower.
    """
    options = options or MetricOptions()
    options = options.up_to(log.n_rounds)
    weights = bootstrap_weights(len(np.unique(log.user_idx)), seed=seed)

    def estimates(parts: Parts) -> list[Estimate]:
        return ratio_estimates(*per_user(log, parts), weights)

    names = [name for name in METRICS if name != "ior200" or options.rank_cut is None]
    per_pair = _floats(np.stack([log.reached, log.rank[:, 0] == 0], 1))
    accepted, first = estimates(Parts(per_pair, np.ones_like(per_pair)))
    shown, left = log.slate[log.slate > 0], log.left(patience)
    ended = log.reached | left
    return {
        "metrics": {
            name: {
                str(p): estimate.as_dict()
                for p, estimate in zip(
                    options.rounds, estimates(METRICS[name](log, options)), strict=True
                )
            }
            for name in names
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
            "n_no_answer": int((log.is_shown & np.isnan(log.accept_prob)).sum()),
            "n_nothing_left": int(((log.item_idx[:, -1] == 0) & ~ended).sum()),
            "n_owners_counted_as_zero": int((~log.is_counted).sum()),
            **({} if patience is None else {"n_left": int(left.sum())}),
        },
    }


def by_group(
    log: GuidanceLog,
    plain: GuidanceLog | None,
    group: IntArray,
    names: tuple[str, ...],
    options: MetricOptions | None = None,
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
    """
    options = (options or MetricOptions()).up_to(log.n_rounds)

    def figure(of: GuidanceLog, name: str, rows: BoolArray) -> float | None:
        top, bottom = (part[rows, -1].sum() for part in METRICS[name](of, options))
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
    return found


def category_entropy(log: GuidanceLog, dataset: Dataset, weights: FloatArray) -> Estimate:
    """Entropy, in bits, of the categories of all shown items; an item shares itself out evenly.

    0 when all of one category was shown, log2(number of categories) when all alike. The interval
    goes by `weights` (n_draws, n_guided_users).
    """
    names = {name: column for column, name in enumerate(dataset.category_names)}
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

    def entropy(total: FloatArray) -> FloatArray:
        share = total / np.maximum(total.sum(-1, keepdims=True), 1e-12)
        bits: FloatArray = -(share * np.log2(np.maximum(share, 1e-12))).sum(-1)
        return bits

    low, high = np.quantile(entropy(weights @ shown_by_user), [0.025, 0.975])
    return Estimate(float(entropy(shown_by_user.sum(0))), float(low), float(high))


def per_user(log: GuidanceLog, parts: Parts) -> Parts:
    """The sums of every guided user's pairs, by ascending `user_idx`: (n_users, n_columns)."""
    users, place = np.unique(log.user_idx, return_inverse=True)
    return parts.summed((place,), (len(users),))


def _change(log: GuidanceLog, state: FloatArray | IntArray, options: MetricOptions) -> Parts:
    """Mean change of a state per pair, from before guidance to round P."""
    back = 1 if options.timing == "before" else 0
    change = np.stack([state[:, p - back] - state[:, 0] for p in options.rounds], 1)
    change = _floats(change * log.is_counted[:, None])
    return Parts(change, np.ones_like(change))


def _floats(values: NDArray[Any]) -> FloatArray:
    return values.astype(np.float64)
