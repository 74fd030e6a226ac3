r"""What a campaign will achieve, said before it: the figures of many plausible worlds.

The campaign is played in worlds drawn from a :class:`Prior`, each with luck of its own. If the real
world were one more draw, independent of them as they of each other, its figure would be equally
likely to fall between any two neighbours of the n sorted ones, so the quantile of level q is the
:math:`q (n + 1)`-th of them: no shape is assumed, and the interval holds as often as it says for
any n. They are not independent but spread evenly, so that it holds by 1 % more often at most with
79 worlds, and by luck less often or more often than that far less. How far worlds may be unlike the
prior, no interval says.

Worlds are played with a sample of the audience, which adds an error that the campaign will not
have. With m of M users and the variance s² of one user's share (:func:`linearised`) it is
:math:`s^2 (1/m - 1/M)`; figures are drawn together so that only the rest of their variance stays.

After some rounds of the real campaign, its acceptances so far are compared with those of every
plausible world at that time: a ridge regression of the final figures on them takes the place of
the mean, and its leave-one-out errors that of the spread. The error of sampling is then left in,
as it is partly in the answers: such intervals are a little too wide.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from pydantic import Field

from proactrec.config import Options
from proactrec.errors import InvalidInputError
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.metrics import campaign_metrics
from proactrec.evaluation.observed_metrics import MetricOptions, hit_ratio, target_acceptance
from proactrec.evaluation.prediction import (
    CAUTION,
    LEVELS,
    MIN_WORLDS,
    Summary,
    is_within,
    predicted,
)
from proactrec.evaluation.rollout import rollout
from proactrec.fitting.artefacts import CHECKPOINT
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.ratios import linearised
from proactrec.measurement.sums import Sums
from proactrec.progress import Progress, silent
from proactrec.rng import generator
from proactrec.simulator.hidden import Hidden, Vectors, hidden_vectors
from proactrec.simulator.prior import PlausibleWorld, Prior, drawn_world
from proactrec.types import BoolArray, FloatArray, IntArray

SEGMENTS = (
    "all",
    "short history",
    "middle history",
    "long history",
    "far from target",
    "middle distance",
    "near target",
)
"""Everybody; thirds of the audience by train history; thirds of each target's users by interest."""
FORECAST_VERSION = 2
SHARES = ("hr", "target_accepted", "users_with_one", "share_of_accepted")
"""Metrics between 0 and 1."""
DRAWN = {"world", "mean_accept", "receptivity", "kept_share"}
"""Settings of a world that are always drawn."""
UNREAD: dict[str, Any] = {"hidden": True, "response": True}
"""Settings of a run that its forecast never reads, beside those of the world that are drawn."""


class ForecastOptions(Options):
    """How a forecast is made."""

    n_worlds: int = Field(79, ge=MIN_WORLDS, le=10_000, description="plausible worlds to play in")
    n_users: int = Field(
        300,
        ge=20,
        description="users played in each world, at most the audience; everybody where a rail is a "
        "number that holds for all users together",
    )
    prior: Prior = Field(Prior(), description="which worlds are plausible")


def foreseen_settings(options: ExperimentOptions, prior: Prior) -> dict[str, Any]:
    """The settings of a run that decide its forecast."""
    world = {"protocol": {"world": drawn_settings(prior)}}
    return options.model_dump(mode="json", exclude={**UNREAD, **world})


def drawn_settings(prior: Prior) -> set[str]:
    """Settings of a world that are drawn; the rest is the protocol's."""
    return DRAWN if prior.leaving is None else {*DRAWN, "leaving"}


def limits(figures: Sequence[tuple[str, int]]) -> tuple[FloatArray, FloatArray]:
    """Least and most that figures, each a metric at a round, can be: two arrays (n_figures,)."""
    ends = dict.fromkeys(SHARES, (0.0, 1.0))
    low, high = np.array(
        [
            (1.0, number) if name == "rounds_to_target" else ends.get(name, (-np.inf, np.inf))
            for name, number in ((metric.rpartition(": ")[2], at) for metric, at in figures)
        ]
    ).T
    return low, high


class Predicted(NamedTuple):
    """One figure to come."""

    segment: str
    metric: str
    round: int
    median: float
    intervals: dict[str, tuple[float, float]]  # by level, "0.8" and "0.95"


class Forecast(NamedTuple):
    """All figures to come, and whether the answers so far are like those of a plausible world."""

    figures: list[Predicted]
    is_like_prior: bool
    caution: str = CAUTION


class Audience(NamedTuple):
    """Whom a campaign guides, and in which segment every pair of user and target is."""

    user_idx: IntArray
    activity: IntArray  # (n_all_users,), third 0, 1 or 2 by length of the train history
    target_idx: IntArray
    closeness: IntArray  # (n_targets, n_all_users), third by the run's own interest vectors
    n_users: FloatArray  # (n_segments,), who has a pair in each segment

    @classmethod
    def of(cls, experiment: Experiment) -> Self:
        """The audience of a run."""
        data, users = experiment.dataset, experiment.guided_users
        targets = experiment.targets.item_idx
        train = data.before("train")
        activity = _thirds(train.lengths.astype(np.float64), users)
        vectors = experiment.interest
        interest = (vectors.item_vectors[targets] @ vectors.user_vectors.T).double().numpy()
        owns = np.zeros((data.n_users, data.n_items + 1), bool)
        owns[train.user_idx, train.item_idx] = True
        if experiment.options.goal.is_on:  # the goal as one target, closeness by its mean
            owns[:, 0], interest = owns[:, targets].all(1), interest.mean(0, keepdims=True)
            targets = np.zeros(1, np.int64)
        free = [users[~owns[users, target]] for target in targets]
        closeness = np.stack([_thirds(x, who) for x, who in zip(interest, free, strict=True)])
        plays = free if experiment.protocol.world.owners == "drop" else [users] * len(targets)
        audience = cls(users, activity, targets, closeness, np.zeros(len(SEGMENTS)))
        who, what = np.concatenate(plays), np.repeat(targets, [len(one) for one in plays])
        counts = [len(np.unique(who[mask])) for mask in audience.segments(who, what)]
        return audience._replace(n_users=np.array(counts, np.float64))

    def segments(self, user_idx: IntArray, target_idx: IntArray) -> BoolArray:
        """Which pairs are in which segment: (n_segments, n_pairs)."""
        order = {item: row for row, item in enumerate(self.target_idx.tolist())}
        rows = np.array([order[item] for item in target_idx.tolist()], np.int64)
        everybody = np.ones((1, len(user_idx)), bool)
        thirds = [self.activity[user_idx], self.closeness[rows, user_idx]]
        return np.concatenate([everybody, *(third == np.arange(3)[:, None] for third in thirds)])


def _thirds(values: FloatArray, among: IntArray) -> IntArray:
    """Third of everybody by the values of some: 0, 1 or 2; a tie goes to the upper third."""
    if not len(among):
        return np.zeros(len(values), np.int64)
    return np.searchsorted(np.quantile(values[among], [1 / 3, 2 / 3]), values, side="right")


class Forecaster:
    """Plays a run's campaign in plausible worlds; killed between two, it goes on with the next.

    The run's own world (slope, acceptance, hidden vectors, click model, receptivity) is never
    looked at.

    Parameters
    ----------
    experiment : Experiment
        Whose data, targets, audience and policy the campaign will have.
    """

    def __init__(
        self,
        experiment: Experiment,
        options: ForecastOptions | None = None,
        *,
        progress: Progress = silent,
    ) -> None:
        self.experiment, self.options = experiment, options or ForecastOptions()
        self.prior = self.options.prior
        if not experiment.dataset.items.category_names:
            if self.prior.hidden == ("content",):
                raise InvalidInputError(
                    f"a prior of content alone needs categories, {experiment.dataset.name} has none"
                )
            self.prior = self.prior.without("content")
        n_slots = experiment.protocol.world.n_slots
        if self.prior.lawful and n_slots > 1:  # some of the laws need one item a round
            raise InvalidInputError(f"lawful must be 0 where n_slots is {n_slots}")
        self.audience = Audience.of(experiment)
        n_rounds = experiment.protocol.rollout.n_rounds
        self.metrics = experiment.protocol.measured.up_to(n_rounds)
        self.judged_by = campaign_metrics(experiment.watched)
        self._progress = progress
        self._vectors: dict[Hidden, Vectors] = {}

    def ensemble(self) -> list[Summary]:
        """The campaign in all plausible worlds.

        With everybody where a rail is a number that holds for all users together: for a sample
        it would be looser.
        """
        seed, numbers = self.experiment.seed, range(self.options.n_worlds)
        n_users = None if self.experiment.options.rails.count_users else self.options.n_users
        return self.summaries([drawn_world(self.prior, seed, n) for n in numbers], n_users)

    def summaries(
        self, worlds: Sequence[PlausibleWorld], n_users: int | None = None
    ) -> list[Summary]:
        """The campaign in these worlds, with everybody of the audience or so many of them."""
        run = self.experiment
        inputs = {
            "version": FORECAST_VERSION,
            "guidance": run.guidance_inputs,
            "users": run.options.n_users,
            "played": n_users,
            "worlds": [world.model_dump() for world in worlds],
            "rest_of_world": run.protocol.world.model_dump(exclude=drawn_settings(self.prior)),
            "metrics": self.metrics.model_dump(),
        }

        def make(folder: Path) -> None:
            kept = folder / CHECKPOINT
            found = Summary.load_all(kept) if kept.exists() else []
            for number in range(len(found), len(worlds)):
                self._progress("worlds", number, len(worlds))
                found.append(self.summarised(self.play(worlds[number], n_users)))
                Summary.save_all(found, kept)
            self._progress("worlds", len(worlds), len(worlds))
            Summary.save_all(found, folder / "summaries.safetensors")

        folder = run.store.get_or_make("forecast", inputs, make).folder
        return Summary.load_all(folder / "summaries.safetensors")

    def play(self, world: PlausibleWorld, n_users: int | None = None) -> GuidanceLog:
        """What happens in one world."""
        run, users = self.experiment, self.audience.user_idx
        for kind in world.hidden:
            if kind not in self._vectors:
                self._vectors[kind] = (
                    run.interest if kind == "interest" else hidden_vectors(kind, run.dataset)
                )
        simulated = world.build(
            run.dataset,
            self._vectors,
            run.targets.item_idx,
            run.protocol.world,
            device=run.device,
        )
        if n_users is not None and n_users < len(users):
            rng = generator(world.seed, "sampled users")
            users = np.sort(rng.choice(users, n_users, replace=False))
        options = run.protocol.rollout.model_copy(update={"n_traced": 0})
        return rollout(
            run.guide,
            simulated,
            run.dataset,
            run.targets.item_idx,
            options,
            user_idx=users,
            watched=run.watched.weights,
            goal=run.fitting.goal,
        ).log

    def summarised(self, log: GuidanceLog) -> Summary:
        """The figures of a log, by segment."""
        figures = Sums.beside([metric(log, self.metrics) for metric in self.judged_by.values()])
        masks = self.audience.segments(log.user_idx, log.target_idx)
        means, variances, counts = [], [], []
        for mask in masks:
            users = figures.of(mask).by_user()
            counts.append(len(users.user_idx))
            if not counts[-1]:
                means.append(np.full(figures.numerator.shape[1], np.nan))
                variances.append(np.zeros(figures.numerator.shape[1]))
                continue
            mean, scores = linearised(users)
            means.append(mean)
            variances.append((scores**2).sum(0) / max(counts[-1] - 1, 1))
        return Summary(
            np.stack(means),
            np.stack(variances),
            np.array(counts, np.float64),
            self.answers(log, log.n_rounds),
        )

    def answers(self, log: GuidanceLog, n_rounds: int) -> FloatArray:
        """HR and target acceptance of a log up to every round, by segment.

        Nothing but acceptances is looked at. Shape (n_rounds, 2, n_segments).
        """
        every = MetricOptions(rounds=tuple(range(1, n_rounds + 1)))
        shares = []
        for metric in (hit_ratio, target_acceptance):
            sums = metric(log, every)
            masks = self.audience.segments(log.user_idx, log.target_idx).astype(np.float64)
            offered = np.maximum(masks @ sums.denominator, 1)
            shares.append((masks @ sums.numerator / offered).T)
        return np.stack(shares, 1)

    def forecast(
        self, worlds: Sequence[Summary] | None = None, seen: FloatArray | None = None
    ) -> Forecast:
        """What the campaign will achieve.

        Parameters
        ----------
        worlds : summaries, optional
            :meth:`ensemble` by default.
        seen : float array, shape (n_rounds_seen, 2, n_segments), optional
            The campaign's answers so far, as :meth:`answers` counts them.
        """
        worlds = self.ensemble() if worlds is None else worlds
        names = [(m, p) for m in self.judged_by for p in self.metrics.rounds]
        figures, is_like_prior = [], True
        median, bounds = predicted(worlds, self.audience.n_users, seen)
        ends = limits(names)
        median, bounds = median.clip(*ends), bounds.clip(*ends)
        for row, segment in enumerate(SEGMENTS):
            figures += [
                Predicted(
                    segment,
                    metric,
                    number,
                    float(median[row, at]),
                    {
                        str(level): (float(ends[0, row, at]), float(ends[1, row, at]))
                        for level, ends in zip(LEVELS, bounds, strict=True)
                    },
                )
                for at, (metric, number) in enumerate(names)
                if np.isfinite(median[row, at])
            ]
        if seen is not None:
            is_like_prior = is_within([w.answers[: len(seen)] for w in worlds], seen)
        return Forecast(figures, is_like_prior)


def forecast(
    experiment: Experiment, options: ForecastOptions | None = None, *, progress: Progress = silent
) -> Forecast:
    """What a run will achieve, said before its first round: see :class:`Forecaster`."""
    return Forecaster(experiment, options, progress=progress).forecast()
