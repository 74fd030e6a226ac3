"""From the figures of many worlds to medians and intervals of one more like them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from proactrec.errors import InvalidInputError
from proactrec.files import replacing
from proactrec.types import FloatArray

LEVELS = (0.8, 0.95)
MIN_WORLDS = 39
"""Fewest worlds between whose smallest and largest figure 95 % of worlds lie."""
CAUTION = (
    "Intervals are for users like those of the drawn worlds. In simulation, 80 % intervals held "
    "only 28 to 38 % of figures of interest where refused items push users away, 3 to 8 % where "
    "accepted ones hardly move them (of acceptance 71 to 84 %)."
)
"""Said beside every forecast; measured in docs/results/forecast-laws-ml-100k.md."""
RIDGES = (1e-3, 1e-2, 1e-1, 1.0)


class Summary(NamedTuple):
    """What a campaign achieved in a world, by segment; figures go by metric, then round.

    A segment that nobody is in holds NaN.
    """

    mean: FloatArray  # (n_segments, n_figures)
    variance: FloatArray  # (n_segments, n_figures), of one user's share
    n_users: FloatArray  # (n_segments,)
    answers: FloatArray  # (n_rounds, 2, n_segments), HR and target acceptance up to every round

    @classmethod
    def save_all(cls, worlds: Sequence[Self], path: Path) -> None:
        """Replace a file by what was achieved in several worlds."""
        stacked = (
            torch.from_numpy(np.ascontiguousarray(np.stack(parts)))
            for parts in zip(*worlds, strict=True)
        )
        with replacing(path) as partial:
            save_file(dict(zip(cls._fields, stacked, strict=True)), partial)

    @classmethod
    def load_all(cls, path: Path) -> list[Self]:
        """Read what :meth:`save_all` wrote."""
        saved = load_file(path)
        return [
            cls(*parts)
            for parts in zip(*(saved[name].numpy() for name in cls._fields), strict=True)
        ]


def predicted(
    worlds: Sequence[Summary], n_campaign: FloatArray, seen: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Medians (n_segments, n_figures) and bounds (n_levels, 2, n_segments, n_figures).

    Parameters
    ----------
    n_campaign : float array, shape (n_segments,)
        Users of the campaign in every segment.
    seen : float array, optional
        See :meth:`Forecaster.forecast`.

    Raises
    ------
    InvalidInputError
        If there are fewer worlds than 95 % intervals need.
    """
    if len(worlds) < MIN_WORLDS:
        raise InvalidInputError(f"worlds must be at least {MIN_WORLDS}, got {len(worlds)}")
    values = np.stack([world.mean for world in worlds])
    if seen is None:
        center, errors = values.mean(0), values - values.mean(0)
        errors *= _without_sampling(worlds, n_campaign, errors.var(0, ddof=1))
    else:
        told = np.stack([world.answers[: len(seen)] for world in worlds])
        center, errors = _after_answers(values, told, seen)
    ends = [[(1 - level) / 2, (1 + level) / 2] for level in LEVELS]
    wanted = [0.5, *np.ravel(ends)]
    found = center + np.quantile(errors, wanted, axis=0, method="weibull")
    if seen is None:
        at_end = _ends_of_several(values, wanted)
        found = np.where(np.isnan(at_end), found, at_end)
    return found[0], found[1:].reshape(len(LEVELS), 2, *center.shape)


def _ends_of_several(values: FloatArray, wanted: Sequence[float]) -> FloatArray:
    """Quantiles that are the least or largest value of several worlds, else NaN.

    A share that is 0 in so many worlds may be 0, and so may the rounds to targets that nobody
    accepts be all: what samples differ by must not draw such an end to the mean.
    """
    found: FloatArray = np.quantile(values, wanted, axis=0, method="weibull")
    is_end = (found == values.min(0)) | (found == values.max(0))
    n_worlds = np.stack([(values == one).sum(0) for one in found])
    return np.where(is_end & (n_worlds > 1), found, np.nan)


def _without_sampling(
    worlds: Sequence[Summary], n_campaign: FloatArray, total: FloatArray
) -> FloatArray:
    """Factor that takes away the spread by which samples are smaller than the campaign.

    The campaign's own error of sampling stays, however large that of the samples is guessed to be.
    """
    variance = np.stack([world.variance for world in worlds])  # (n_worlds, n_segments, n_figures)
    n_played = np.stack([world.n_users for world in worlds])[:, :, None]
    n_campaign = np.maximum(n_campaign, 1)[:, None]
    own = (variance / n_campaign).mean(0)
    added = (variance / np.maximum(n_played, 1)).mean(0) - own
    kept = np.maximum(total - added, own) / np.maximum(total, 1e-12)
    factor: FloatArray = np.sqrt(kept.clip(max=1))
    return factor


def _after_answers(
    values: FloatArray, told: FloatArray, seen: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Ridge prediction from answers so far, and leave-one-out errors in every world.

    `values` (n_worlds, ...); `told` (n_worlds, n_rounds, 2, n_segments). The strength of the ridge
    is the one with the smallest such errors.
    """
    rows, now = _features(told), _features(seen[None])
    center, spread = rows.mean(0), rows.std(0)
    is_used = np.isfinite(rows).all(0) & (spread > 0)
    rows, now = ((x - center)[:, is_used] / spread[is_used] for x in (rows, now))
    flat = values.reshape(len(values), -1)
    away, scale = flat - flat.mean(0), np.maximum(flat.std(0), 1e-12)
    best = None
    for strength in RIDGES:
        solve = np.linalg.inv(rows.T @ rows + strength * len(rows) * np.eye(rows.shape[1])) @ rows.T
        leverage = (rows * solve.T).sum(1) + 1 / len(rows)
        errors = (away - rows @ (solve @ away)) / (1 - leverage)[:, None]
        size = np.nanmean((errors / scale) ** 2)
        if best is None or size < best[0]:
            best = (size, flat.mean(0) + (now @ (solve @ away))[0], errors)
    assert best is not None
    return best[1].reshape(values.shape[1:]), best[2].reshape(values.shape)


def _features(answers: FloatArray) -> FloatArray:
    """Answers at the last round seen and half way to it, by segment: (n_worlds, n_features)."""
    last = answers.shape[1]
    return answers[:, sorted({last // 2, last - 1})].reshape(len(answers), -1)


def is_within(told: Sequence[FloatArray], seen: FloatArray) -> bool:
    """Whether HR so far lies among that of plausible worlds, in every segment."""
    acceptance = np.stack([one[-1, 0] for one in told])
    low, high = acceptance.min(0), acceptance.max(0)
    return bool(((seen[-1, 0] >= low) & (seen[-1, 0] <= high)).all())
