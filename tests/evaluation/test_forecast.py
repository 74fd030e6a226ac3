"""Forecasts: intervals that hold as often as they say, and never a look at the world to come."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from proactrec.data.load import DatasetOptions
from proactrec.data.sources.table import TableOptions
from proactrec.errors import InvalidInputError
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.forecast import (
    SEGMENTS,
    Forecaster,
    ForecastOptions,
    foreseen_settings,
    limits,
)
from proactrec.evaluation.metrics import CAMPAIGN_METRICS
from proactrec.evaluation.prediction import MIN_WORLDS, Summary, predicted
from proactrec.graphau import GraphAUOptions
from proactrec.guidance.log import GuidanceLog
from proactrec.simulator import response
from proactrec.simulator.prior import PlausibleWorld, Prior, drawn_world
from proactrec.training import StoppingOptions
from proactrec.types import FloatArray

N_USERS, N_ITEMS, N_ROUNDS, N_FIGURES = 60, 30, 5, 400
N_SEGMENTS = len(SEGMENTS)


def summaries(
    values: FloatArray, *, variance: float = 0.0, n_users: int = 50, answers: Any = None
) -> list[Summary]:
    """Worlds with figures (n_worlds, N_SEGMENTS, n_figures)."""
    nothing = np.zeros((len(values), N_ROUNDS, 2, N_SEGMENTS))
    return [
        Summary(mean, np.full_like(mean, variance), np.full(N_SEGMENTS, float(n_users)), told)
        for mean, told in zip(values, nothing if answers is None else answers, strict=True)
    ]


def coverage(bounds: FloatArray, truth: FloatArray) -> FloatArray:
    held: FloatArray = ((bounds[:, 0] <= truth) & (truth <= bounds[:, 1])).mean((1, 2))
    return held


@pytest.mark.parametrize("n_worlds", [39, 79, 100])
@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_intervals_hold_as_often_as_they_say(n_worlds: int, shape: str) -> None:
    """2,800 independent figures, each with worlds of its own: four standard errors."""
    rng = np.random.default_rng(n_worlds)
    size = (n_worlds + 1, N_SEGMENTS, N_FIGURES)
    drawn = rng.standard_normal(size) if shape == "normal" else rng.lognormal(size=size)
    _, bounds = predicted(summaries(drawn[1:]), np.full(N_SEGMENTS, 50.0))
    for level, held in zip((0.8, 0.95), coverage(bounds, drawn[0]), strict=True):
        error = 4 * np.sqrt(level * (1 - level) / (N_SEGMENTS * N_FIGURES))
        assert held == pytest.approx(level, abs=error)


def test_the_error_of_a_small_sample_is_taken_away() -> None:
    """Worlds played with 25 users, a campaign of 1,000: left in, intervals hold far too often."""
    rng, deviation, n_played, n_campaign = np.random.default_rng(0), 5.0, 25, 1000
    size = (80, N_SEGMENTS, N_FIGURES)
    of_world = rng.standard_normal(size)
    truth = of_world[0] + deviation / n_campaign**0.5 * rng.standard_normal(size[1:])
    seen = of_world[1:] + deviation / n_played**0.5 * rng.standard_normal((79, *size[1:]))
    held = {}
    for variance in (0.0, deviation**2):
        worlds = summaries(seen, variance=variance, n_users=n_played)
        _, bounds = predicted(worlds, np.full(N_SEGMENTS, float(n_campaign)))
        held[variance] = coverage(bounds, truth)[0]
    assert held[0.0] > 0.9
    assert held[deviation**2] == pytest.approx(0.8, abs=0.035)


def test_the_error_of_the_campaign_itself_stays() -> None:
    """Also where the samples' own error is guessed to be all that the worlds differ by."""
    rng = np.random.default_rng(0)
    seen = rng.standard_normal((79, N_SEGMENTS, N_FIGURES))
    worlds = summaries(seen, variance=400.0, n_users=25)  # 16 of variance each, and 1 is seen
    _, bounds = predicted(worlds, np.full(N_SEGMENTS, 1000.0))
    width = (bounds[0, 1] - bounds[0, 0]).mean()
    assert width == pytest.approx(2 * 1.282 * (400 / 1000) ** 0.5, rel=0.1)


@pytest.mark.parametrize(("end", "at"), [(0.0, 0), (1.0, 1)])
def test_what_happens_to_nobody_or_all_in_most_worlds_may_do_so(end: float, at: int) -> None:
    """Shares of 0 and of 1 lie inside, though the mean of all worlds does not stand there."""
    rng = np.random.default_rng(0)
    drawn = rng.binomial(25, 0.02, (80, N_SEGMENTS, N_FIGURES)) / 25  # 0 in six of ten worlds
    worlds = summaries(np.abs(end - drawn[1:]), variance=0.02 * 0.98, n_users=25)
    median, bounds = predicted(worlds, np.full(N_SEGMENTS, 1000.0))
    assert (bounds[:, at] == end).all()
    assert np.median(median) == end
    assert (bounds[0, 1 - at] != end).all()


def test_answers_so_far_narrow_the_intervals_and_they_still_hold() -> None:
    """Figures that follow from acceptance so far, but for a tenth of their deviation."""
    rng, n_worlds = np.random.default_rng(1), 80
    answers = rng.uniform(size=(n_worlds, N_ROUNDS, 2, N_SEGMENTS))
    noise = 0.1 * answers.std() * rng.standard_normal((n_worlds, N_SEGMENTS, N_FIGURES))
    values = answers[:, 2, 0, :, None] + noise
    worlds = summaries(values[1:], answers=answers[1:])
    audience = np.full(N_SEGMENTS, 50.0)
    _, before = predicted(worlds, audience)
    _, after = predicted(worlds, audience, answers[0, :3])
    width = (after[:, 1] - after[:, 0]) / (before[:, 1] - before[:, 0])
    assert width.mean() < 0.3
    # One campaign's answers for all figures: its luck is common, so the bounds are wide.
    assert coverage(after, values[0])[0] == pytest.approx(0.8, abs=0.12)
    assert coverage(after, values[0])[1] > 0.88


def test_too_few_worlds_are_refused() -> None:
    few = summaries(np.zeros((MIN_WORLDS - 1, N_SEGMENTS, 1)))
    with pytest.raises(InvalidInputError, match="worlds must be at least 39, got 38"):
        predicted(few, np.ones(N_SEGMENTS))
    with pytest.raises(InvalidInputError, match=re.escape("ForecastOptions.n_worlds")):
        ForecastOptions(n_worlds=38)


@pytest.fixture(scope="module", autouse=True)
def quick_calibration() -> Iterator[None]:
    """Fewer random pairs to calibrate worlds on: that is most of what a tiny world costs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(response, "N_RANDOM_PAIRS", 5000)
        yield


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> TableOptions:
    """Even users like even items, odd users odd ones; items 1 … 10 are of the category Song."""
    folder, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    events = ["user_id,item_id,timestamp"]
    for user in range(N_USERS):
        own = [i for i in range(1, N_ITEMS + 1) if i % 2 == user % 2]
        events += [f"{user},{i},{t}" for t, i in enumerate(rng.permutation(own)[: 4 + user % 7])]
    kinds = ["Song" if i <= 10 else "Film" for i in range(1, N_ITEMS + 1)]
    items = [f"{i},title {i},{kind}" for i, kind in enumerate(kinds, start=1)]
    paths = [folder / "events.csv", folder / "items.csv"]
    paths[0].write_text("\n".join(events) + "\n")
    paths[1].write_text("\n".join(["item_id,title,categories", *items]) + "\n")
    return TableOptions(events=paths[0], items=paths[1])


@pytest.fixture(scope="module")
def options(table: TableOptions) -> ExperimentOptions:
    return ExperimentOptions(
        dataset=DatasetOptions(name="csv", filter="none", table=table),
        category="song",
        policy="nearest-to-target",
        graphau=GraphAUOptions(embedding_dim=8, stopping=StoppingOptions(n_epochs=3)),
        encoder="sasrec",
        encoder_options={"embedding_dim": 8, "max_seq_len": 6, "stopping": {"n_epochs": 2}},
    ).changed(
        {
            "protocol.targets.n_targets": 4,
            "protocol.rollout.n_rounds": N_ROUNDS,
            "protocol.metrics.rounds": (2, 5),
        }
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def caster(options: ExperimentOptions, store: Path) -> Forecaster:
    return Forecaster(Experiment(options, store), ForecastOptions(n_users=30))


def test_a_forecast_holds_in_worlds_that_it_never_saw(caster: Forecaster) -> None:
    """Campaigns of 60 users in 60 other worlds; an ensemble's own luck is 4.5 % (one deviation)."""
    worlds = caster.ensemble()
    tests = caster.summaries([drawn_world(Prior(), 0, n, "tests") for n in range(60)])
    _, bounds = predicted(worlds, caster.audience.n_users)
    held = np.mean([coverage(bounds, test.mean) for test in tests], axis=0)
    assert held[0] == pytest.approx(0.8, abs=0.1)
    assert held[1] == pytest.approx(0.95, abs=0.05)
    after = [predicted(worlds, caster.audience.n_users, t.answers[:2])[1] for t in tests]
    held = np.mean([coverage(b, t.mean) for b, t in zip(after, tests, strict=True)], axis=0)
    assert held[0] > 0.75
    assert held[1] > 0.9
    assert (
        np.mean([(b[0, 1] - b[0, 0]).mean() for b in after])
        < 0.8 * (bounds[0, 1] - bounds[0, 0]).mean()
    )


def test_the_world_of_the_run_is_never_looked_at(
    options: ExperimentOptions, store: Path, caster: Forecaster
) -> None:
    changes = {
        "protocol.world.world": "steep",
        "protocol.world.mean_accept": 0.9,
        "protocol.world.kept_share": 0.1,
        "protocol.world.receptivity": "per-user",
        "hidden": "factors",
    }
    wanted, n_before = caster.forecast(), len(list(store.glob("forecast-*")))
    other = Forecaster(Experiment(options.changed(changes), store), caster.options)
    assert other.forecast() == wanted
    assert len(list(store.glob("forecast-*"))) == n_before


def test_everybody_is_played_where_rails_count_users(
    options: ExperimentOptions, store: Path
) -> None:
    """A limit in numbers would be looser for a sample; a share is not."""
    asked = ForecastOptions(n_worlds=39, n_users=20)
    for pairs, n_played in ((0.5, 20), (7.0, N_USERS)):
        run = Experiment(options.changed({"rails.guided_pairs": pairs}), store)
        (summary, *_) = Forecaster(run, asked).ensemble()
        assert summary.n_users[0] == n_played


def test_a_run_after_a_forecast_counts_its_own_rails(
    options: ExperimentOptions, store: Path, tmp_path: Path
) -> None:
    """One process, one guide: what rails did in a hundred plausible worlds is no part of it."""
    railed = options.changed({"rails.plain_share": 0.4, "rails.item_cap_per_round": 9})
    alone, used = (Experiment(railed, folder) for folder in (tmp_path, store))
    Forecaster(used, ForecastOptions(n_worlds=39, n_users=20)).forecast()
    counts, wanted = (run.result().policy_notes["rails"] for run in (used, alone))
    assert counts == wanted
    assert counts["plain_share"] > 0


def test_content_alone_needs_categories(
    options: ExperimentOptions, table: TableOptions, store: Path
) -> None:
    bare = options.model_copy(update={"target_items": ("1", "2"), "category": None})
    bare = bare.changed({"dataset.table.items": None})
    asked = ForecastOptions(prior=Prior(hidden=("content",)))
    with pytest.raises(InvalidInputError, match="content alone needs categories, csv has none"):
        Forecaster(Experiment(bare, store), asked)


def test_laws_are_foreseen_where_one_item_is_shown_a_round(
    options: ExperimentOptions, store: Path
) -> None:
    """A world with a law, and one without: the first is another world, the second the same."""
    asked = ForecastOptions(n_worlds=39, n_users=20, prior=Prior(lawful=0.5))
    caster = Forecaster(Experiment(options, store), asked)
    usual = Forecaster(caster.experiment, ForecastOptions(n_worlds=39, n_users=20)).ensemble()
    has_law = [drawn_world(asked.prior, 0, n) != drawn_world(Prior(), 0, n) for n in range(39)]
    same = [
        np.array_equal(one.mean, other.mean, equal_nan=True)
        for one, other in zip(caster.ensemble(), usual, strict=True)
    ]
    assert all(is_same or law for is_same, law in zip(same, has_law, strict=True))
    assert same.count(False) >= sum(has_law) - 3 > 10  # a weak law may change nothing
    slots = Experiment(options.changed({"protocol.world.n_slots": 2}), store)
    with pytest.raises(InvalidInputError, match="lawful must be 0 where n_slots is 2"):
        Forecaster(slots, asked)


def test_a_second_forecast_plays_nothing(options: ExperimentOptions, store: Path) -> None:
    first = Forecaster(Experiment(options, store), ForecastOptions(n_worlds=39, n_users=20))
    figures = first.forecast()
    again = Forecaster(Experiment(options, store), first.options)
    again.play = None  # type: ignore[assignment, method-assign]  # nothing is to be played
    assert again.forecast() == figures


def test_a_killed_forecast_goes_on_with_the_next_world(
    options: ExperimentOptions, store: Path
) -> None:
    asked = ForecastOptions(n_worlds=39, n_users=21)
    killed, again = (Forecaster(Experiment(options, store), asked) for _ in range(2))
    played, play, told = [], again.play, []

    def stop(stage: str, done: int, total: int, note: str = "") -> None:
        if done == 30:
            raise KeyboardInterrupt

    def counted(world: PlausibleWorld, n_users: int | None = None) -> GuidanceLog:
        played.append(world)
        return play(world, n_users)

    killed._progress, n_before = stop, len(list(store.glob("forecast-*")))
    with pytest.raises(KeyboardInterrupt):
        killed.ensemble()
    again.play, again._progress = counted, lambda *now, note="": told.append(now)  # type: ignore[method-assign]
    found = again.ensemble()
    assert played == [drawn_world(again.prior, 0, n) for n in range(30, 39)]
    assert told[-1] == ("worlds", 39, 39)
    assert len(list(store.glob("forecast-*"))) == n_before + 1
    for number in (0, 29, 30):
        world = again.summarised(play(drawn_world(again.prior, 0, number), 21))
        for kept, made in zip(found[number], world, strict=True):
            np.testing.assert_array_equal(kept, made)


def test_figures_are_those_of_the_run(caster: Forecaster) -> None:
    run = caster.experiment
    found = caster.summarised(run.log).mean[0].reshape(len(CAMPAIGN_METRICS), -1)
    measured = run.figures["metrics"]
    for name, row in zip(CAMPAIGN_METRICS, found, strict=True):
        assert row == pytest.approx([measured[name][p]["mean"] for p in ("2", "5")])


def test_segments_are_thirds_of_the_audience(caster: Forecaster) -> None:
    log, audience = caster.experiment.log, caster.audience
    masks = audience.segments(log.user_idx, log.target_idx)
    for kind in (masks[1:4], masks[4:]):
        assert (kind.sum(0) == 1).all()
        assert kind.sum(1).min() > 0.2 * len(log.user_idx)
    length = caster.experiment.dataset.before("train").lengths[log.user_idx]
    assert length[masks[1]].max() < length[masks[3]].min()
    users, items = (x.numpy() for x in caster.experiment.interest)
    interest = (users[log.user_idx] * items[log.target_idx]).sum(1)
    for target in audience.target_idx:
        of_target = log.target_idx == target
        assert interest[masks[4] & of_target].max() <= interest[masks[6] & of_target].min()
    users_of = [len(np.unique(log.user_idx[mask])) for mask in masks]
    assert users_of == audience.n_users.tolist()


def test_answers_like_no_plausible_world_are_called_so(caster: Forecaster) -> None:
    (campaign,) = caster.summaries([drawn_world(Prior(), 0, 1, "tests")])
    assert caster.forecast(seen=campaign.answers[:2]).is_like_prior
    everything = np.ones_like(campaign.answers[:2])
    found = caster.forecast(seen=everything)
    assert not found.is_like_prior
    for one in found.figures:
        (low,), (high,) = limits([(one.metric, one.round)])
        assert all(low <= end <= high for ends in one.intervals.values() for end in ends)


def test_no_figure_is_foreseen_that_cannot_be() -> None:
    figures = [
        ("hr", 5),
        ("ioi", 5),
        ("target_accepted", 2),
        *(("rounds_to_target", p) for p in (2, 5)),
    ]
    low, high = limits(figures)
    assert low.tolist() == [0, -np.inf, 0, 1, 1]
    assert high.tolist() == [1, np.inf, 1, 2, 5]


def test_a_drawn_share_that_leaves_takes_the_place_of_the_worlds(caster: Forecaster) -> None:
    """And the worlds are named and noted by what is drawn."""
    run = caster.experiment
    leaves = run.options.changed({"protocol.world.leaving": 0.1})
    for prior, is_alike in ((Prior(), False), (Prior(leaving=(0.0, 0.2)), True)):
        settings = [foreseen_settings(options, prior) for options in (run.options, leaves)]
        assert (settings[0] == settings[1]) == is_alike


def test_wider_levels_hold_narrower_ones(caster: Forecaster) -> None:
    for one in caster.forecast().figures:
        (low, high), (lower, higher) = one.intervals["0.8"], one.intervals["0.95"]
        assert lower <= low <= one.median <= high <= higher
