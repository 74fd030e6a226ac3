"""Uplift: intervals that hold the true effect as often as they say, and why pairs would not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from proactrec.data.dataset import Dataset
from proactrec.errors import InvalidInputError, ProactrecError
from proactrec.evaluation.metrics import CAMPAIGN_METRICS
from proactrec.evaluation.observed_metrics import MetricOptions
from proactrec.evaluation.rollout import RolloutOptions, rollout
from proactrec.evaluation.uplift import before_campaign, divided, uplift_of_logs
from proactrec.graphau import InterestVectors
from proactrec.guidance.log import GuidanceLog
from proactrec.measurement.student import student_quantile
from proactrec.measurement.uplift import Uplift, held_out_users, users_to_hold_out
from proactrec.policies.base import Policy
from proactrec.policies.foresight import Foresight
from proactrec.policies.reference import Popular, Random
from proactrec.simulator.world import World, WorldOptions
from proactrec.testing.toys import unit
from proactrec.types import FloatArray, IntArray

N_USERS, N_ITEMS, N_TARGETS, N_ROUNDS = 300, 40, 6, 6
LAST = MetricOptions(rounds=(N_ROUNDS,))
N_DRAWS = 800


class Population(NamedTuple):
    """Everybody, guided and not, with the same luck."""

    guided: GuidanceLog
    plain: GuidanceLog
    at_random: GuidanceLog
    covariates: FloatArray

    @property
    def truth(self) -> dict[str, float]:
        """The difference over everybody."""
        return {n: ratio(n, self.guided) - ratio(n, self.plain) for n in CAMPAIGN_METRICS}

    def campaign(
        self, rng: np.random.Generator, n_guided: int, n_held_out: int
    ) -> tuple[GuidanceLog, GuidanceLog, FloatArray]:
        """Users drawn from it, each in one group at random, with their covariates."""
        users = rng.integers(N_USERS, size=n_guided + n_held_out)
        groups = users[:n_guided], users[n_guided:]
        first = drawn(self.guided, groups[0], 0)
        second = drawn(self.plain, groups[1], n_guided)
        return first, second, self.covariates[users]


def drawn(log: GuidanceLog, users: IntArray, start: int) -> GuidanceLog:
    """All pairs of these users, who are numbered anew: one drawn twice is two users."""
    rows = np.flatnonzero(np.ones(len(log.user_idx)))
    order = np.argsort(log.user_idx, kind="stable")
    first = np.searchsorted(log.user_idx[order], np.arange(N_USERS + 1))
    picked = [rows[order[first[user] : first[user + 1]]] for user in users]
    numbers = np.repeat(np.arange(start, start + len(users)), [len(one) for one in picked])
    return replace(log.of(np.concatenate(picked)), user_idx=numbers)


@pytest.fixture(scope="module")
def population(dataset_of: Callable[..., Dataset]) -> Population:
    rng = np.random.default_rng(0)
    histories = [(rng.permutation(N_ITEMS)[: 4 + u % 9] + 1).tolist() for u in range(N_USERS)]
    data = dataset_of(histories)
    torch_rng = torch.Generator().manual_seed(1)
    vectors = InterestVectors(
        unit(torch_rng, N_USERS, 5, padding=False), unit(torch_rng, N_ITEMS + 1, 5, padding=True)
    )
    targets = np.arange(1, N_TARGETS + 1)
    options = WorldOptions(world="steep", receptivity="per-user", after_success="freeze")
    play = RolloutOptions(n_rounds=N_ROUNDS, n_traced=0)

    def played(policy: Policy, seed: int = 3) -> GuidanceLog:
        world = World(data, *vectors, targets, options, seed=seed)
        return rollout(policy, world, data, targets, play, n_workers=1).log

    earlier = played(Popular(data.items), seed=4)  # what users accepted before the campaign
    before = [earlier.accepted[earlier.user_idx == user].mean() for user in range(N_USERS)]
    covariates = np.column_stack([before_campaign(data, vectors, targets), before])
    items = data.items
    planner = Foresight(vectors, items.train_counts, data.before("train"))
    guided, plain = played(planner), played(Popular(items))
    return Population(guided, plain, played(Random(items.key)), covariates)


def ratio(name: str, log: GuidanceLog) -> float:
    sums = CAMPAIGN_METRICS[name](log, LAST)
    return float(sums.numerator.sum() / sums.denominator.sum())


def per_pair(log: GuidanceLog, start: int) -> GuidanceLog:
    """As if every pair were a user of its own."""
    return replace(log, user_idx=np.arange(start, start + len(log.user_idx)))


def found_by(
    population: Population, groups: tuple[int, int], *, seed: int, how: str, n_draws: int = N_DRAWS
) -> dict[str, list[Uplift]]:
    """Uplift of many campaigns; `how` users are counted: plainly, adjusted, or as pairs."""
    rng, found = np.random.default_rng(seed), {name: [] for name in CAMPAIGN_METRICS}
    for _ in range(n_draws):
        guided, held_out, covariates = population.campaign(rng, *groups)
        if how == "pairs":
            guided = per_pair(guided, 0)
            held_out = per_pair(held_out, len(guided.user_idx))
        told = covariates if how == "adjusted" else None
        for one in uplift_of_logs(guided, held_out, LAST, covariates=told):
            found[one.metric].append(one)
    return found


def held(found: list[Uplift], truth: float) -> float:
    return float(np.mean([one.difference.low <= truth <= one.difference.high for one in found]))


@pytest.mark.parametrize("how", ["plain", "adjusted"])
@pytest.mark.parametrize("groups", [(96, 24), (60, 60)])
def test_intervals_hold_the_true_effect(
    how: str, groups: tuple[int, int], population: Population
) -> None:
    """800 assignments: the standard error of 95 % is 0.8 %; 93 to 97 % over the four metrics."""
    found = found_by(population, groups, seed=sum(groups), how=how)
    coverage = {name: held(found[name], population.truth[name]) for name in found}
    assert 0.93 <= np.mean(list(coverage.values())) <= 0.97, coverage
    assert min(coverage.values()) > 0.92, coverage


def test_intervals_that_take_pairs_for_users_are_too_narrow(population: Population) -> None:
    """Pairs of one user go together: their number is not the number of independent answers."""
    found = found_by(population, (96, 24), seed=1, how="pairs", n_draws=300)
    assert held(found["hr"], population.truth["hr"]) < 0.8
    by_user = found_by(population, (96, 24), seed=1, how="plain", n_draws=300)["hr"]
    width = [
        np.mean([o.difference.high - o.difference.low for o in f]) for f in (found["hr"], by_user)
    ]
    assert width[0] < 0.75 * width[1]


def test_adjustment_narrows_and_does_not_bias(population: Population) -> None:
    """Also with few users, and with a covariate that says nothing and has a long tail."""
    rng = np.random.default_rng(5)
    useless = np.exp(2 * rng.standard_normal((N_USERS, 1)))
    noisy = population._replace(covariates=useless)
    for told, groups in ((population, (40, 14)), (noisy, (40, 14))):
        of_metric = found_by(told, groups, seed=2, how="adjusted")
        for name, ones in of_metric.items():
            means = np.array([one.difference.mean for one in ones])
            error = means.std() / N_DRAWS**0.5
            assert abs(means.mean() - population.truth[name]) < 4 * error, name
    spread = {}
    for how in ("plain", "adjusted"):
        found = found_by(population, (60, 60), seed=3, how=how, n_draws=400)["hr"]
        spread[how] = np.std([one.difference.mean for one in found])
    assert spread["adjusted"] < 0.9 * spread["plain"]


def test_with_equal_pairs_it_is_welchs_formula(population: Population) -> None:
    """By hand: means of user means, and their variances."""
    guided, held_out, _ = population.campaign(np.random.default_rng(0), 30, 20)
    one = next(o for o in uplift_of_logs(guided, held_out, LAST) if o.metric == "target_accepted")
    sums = [
        [log.reached[log.user_idx == user] for user in np.unique(log.user_idx)]
        for log in (guided, held_out)
    ]
    mean = [np.concatenate(group).mean() for group in sums]
    variance = []
    for group, center in zip(sums, mean, strict=True):
        size = np.mean([len(pairs) for pairs in group])
        scores = [(pairs.sum() - center * len(pairs)) / size for pairs in group]
        variance.append(np.var(scores, ddof=1) / len(group))
    n = [len(group) for group in sums]
    freedom = sum(variance) ** 2 / sum(v**2 / (k - 1) for v, k in zip(variance, n, strict=True))
    margin = student_quantile(0.975, np.array(freedom)) * sum(variance) ** 0.5
    assert (one.guided, one.held_out) == pytest.approx(mean)
    wanted = (mean[0] - mean[1], mean[0] - mean[1] - margin, mean[0] - mean[1] + margin)
    assert one.difference == pytest.approx(wanted)
    assert one.n_users == (30, 20)


def test_hold_out_is_drawn_by_user_and_every_user_may_be_in_it(population: Population) -> None:
    users = population.guided.user_idx
    first = held_out_users(users, 0.2)
    assert len(first) == len(np.unique(first)) == 0.2 * N_USERS
    assert (held_out_users(users, 0.2) == first).all()
    times = np.zeros(N_USERS)
    for seed in range(400):
        times[held_out_users(users, 0.2, seed=seed)] += 1
    assert abs(times - 80).max() < 5 * (400 * 0.2 * 0.8) ** 0.5
    guided, plain = divided(population.guided, population.plain, 0.2)
    assert (np.unique(plain.user_idx) == first).all()
    assert not np.isin(guided.user_idx, first).any()
    assert len(guided.user_idx) + len(plain.user_idx) == len(users)


def test_a_hold_out_of_the_size_that_is_said_shows_the_effect(population: Population) -> None:
    """Random against popular items, a small difference of HR: found in 80 % of 300 campaigns."""
    both = population._replace(guided=population.at_random)
    pilot = uplift_of_logs(*divided(both.guided, both.plain, 0.5), LAST, metrics=("hr",))[0]
    effect, n_users = both.truth["hr"], 1200
    n_held_out = users_to_hold_out(effect, pilot.deviations, n_users)
    assert n_held_out is not None
    assert 200 < n_held_out < 600
    found = found_by(both, (n_users - n_held_out, n_held_out), seed=4, how="plain", n_draws=300)
    seen = np.mean([o.difference.high < 0 for o in found["hr"]])
    assert seen == pytest.approx(0.8, abs=0.09)  # three standard errors, and the pilot's


def test_logs_of_different_length_are_not_compared(population: Population) -> None:
    guided, plain = divided(population.guided, population.plain, 0.2)
    short = replace(plain, item_idx=plain.item_idx[:, :4])
    with pytest.raises(InvalidInputError, match="must have as many rounds, got 6 and 4"):
        uplift_of_logs(guided, short)


def test_what_is_no_log_is_told(population: Population) -> None:
    nothing: Any = []
    with pytest.raises(InvalidInputError, match="held_out must be a GuidanceLog, got list"):
        uplift_of_logs(population.guided, nothing)


@pytest.mark.parametrize(
    ("metrics", "wanted"),
    [(["hr", "dog"], "metric 'dog' does not exist; there are "), ([], "metrics must name one or")],
)
def test_metrics_that_there_are_not_are_named(
    population: Population, metrics: list[str], wanted: str
) -> None:
    with pytest.raises(ProactrecError, match=wanted):
        uplift_of_logs(*divided(population.guided, population.plain, 0.2), metrics=metrics)
