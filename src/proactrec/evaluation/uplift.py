"""Uplift of simulated campaigns: sums of their logs, their division, and covariates of the data."""

from collections.abc import Sequence

import numpy as np

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError
from proactrec.evaluation.category_metrics import Watched
from proactrec.evaluation.metrics import CAMPAIGN_METRICS, campaign_metrics
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.graphau import InterestVectors
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.sums import Sums
from proactrec.measurement.uplift import Uplift, held_out_users, uplift
from proactrec.names import unknown
from proactrec.types import BoolArray, FloatArray, IntArray


def uplift_of_logs(
    guided: GuidanceLog,
    held_out: GuidanceLog,
    options: MetricOptions | None = None,
    *,
    covariates: FloatArray | None = None,
    metrics: Sequence[str] = tuple(CAMPAIGN_METRICS),
    watched: Watched | None = None,
) -> list[Uplift]:
    """The average effect of guidance, see :func:`uplift`, by two logs of as many rounds.

    With `watched`, what both logs watched, also that on these categories.

    Raises
    ------
    InvalidInputError, UnknownIdError
        For what is no log, rounds that differ, no metric or one that there is not, and see
        :func:`uplift`.
    """
    for name, log in (("guided", guided), ("held_out", held_out)):
        if not isinstance(log, GuidanceLog):
            raise InvalidInputError(f"{name} must be a GuidanceLog, got {type(log).__name__}")
    if not metrics:
        raise InvalidInputError("metrics must name one or more, got none")
    if guided.n_rounds != held_out.n_rounds:
        raise InvalidInputError(
            f"guided and held_out must have as many rounds, got {guided.n_rounds} and "
            f"{held_out.n_rounds}"
        )
    options = (options or MetricOptions()).up_to(guided.n_rounds)
    for metric in metrics:
        if metric not in CAMPAIGN_METRICS:
            raise unknown("metric", metric, CAMPAIGN_METRICS)
    chosen = {metric: CAMPAIGN_METRICS[metric] for metric in metrics}
    if watched is not None:
        more = campaign_metrics(watched)
        chosen |= {name: more[name] for name in more if name not in CAMPAIGN_METRICS}
    first, second = (
        Sums.beside([metric(log, options) for metric in chosen.values()])
        for log in (guided, held_out)
    )
    figures = [(metric, number) for metric in chosen for number in options.rounds]
    return uplift(first, second, figures, covariates=covariates)


def divided(
    guided: GuidanceLog, plain: GuidanceLog, share: float, *, seed: int = 0
) -> tuple[GuidanceLog, GuidanceLog]:
    """Logs of a campaign with a hold-out, from two runs in which everybody was in each group."""
    held = held_out_users(np.union1d(guided.user_idx, plain.user_idx), share, seed=seed)

    def is_held(log: GuidanceLog) -> BoolArray:
        return np.isin(log.user_idx, held)

    return guided.of(~is_held(guided)), plain.of(is_held(plain))


def before_campaign(dataset: Dataset, vectors: InterestVectors, targets: IntArray) -> FloatArray:
    """Covariates of every user: log of the train history's length, mean interest in the targets.

    Returns
    -------
    float array, shape (n_users, 2)
    """
    length = np.log1p(dataset.before("train").lengths)
    interest = vectors.user_vectors @ vectors.item_vectors[targets].mean(0)
    return np.stack([length, interest.double().cpu().numpy()], 1)
