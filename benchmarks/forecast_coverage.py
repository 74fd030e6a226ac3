"""How often forecasts hold in worlds that they never saw.

Usage: python benchmarks/forecast_coverage.py DATASET PAGE.md [--policies itmprec foresight]
    [--n-tests 60] [--n-left-out 10] [--n-users 300] [--n-played 150] [--n-targets 5]
    [--filter paper] [--protocol common] [--leaving-between LOW HIGH] [--n-lawful 16]
    [--lawful 0.5] [--seed 0] [--store runs/artefacts] [--data-dir DIR]
The campaign is played with all users in test worlds: draws of the same prior with other seeds,
worlds of one kind of hidden vectors that the forecast's own worlds leave out, and draws of the
prior whose users follow another law; with --lawful, also forecast from worlds of which that share
has such laws. Every world is kept in the store, so it goes on where it was killed.
"""

import argparse
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from proactrec.data.load import DatasetOptions
from proactrec.evaluation.experiment import Experiment, ExperimentOptions
from proactrec.evaluation.forecast import SEGMENTS, Forecaster, ForecastOptions
from proactrec.evaluation.metrics import CAMPAIGN_METRICS
from proactrec.evaluation.observed_metrics import ROUNDS
from proactrec.evaluation.prediction import LEVELS, MIN_WORLDS, Summary, predicted
from proactrec.evaluation.protocols import PROTOCOLS
from proactrec.report.tables import label_of
from proactrec.simulator.hidden import HIDDEN
from proactrec.simulator.prior import OTHER_LAWS, Prior, drawn_world
from proactrec.types import FloatArray
from shared.page import origin, page_parser, write_page
from shared.tables import table

NAMED = ("policy", "worlds", "after")
"""Heads of what tells a case from others."""
LAWS = "other laws"
"""Test worlds of all such laws together."""
AFTER = 5
"""Rounds of the campaign that the second forecast has seen."""
LABELS = {metric: label_of(metric) for metric in CAMPAIGN_METRICS}
KNOWN = ("hr", "target_accepted", "rounds_to_target")
"""Figures that acceptances so far settle."""


class Case(NamedTuple):
    """Forecasts of many campaigns: what was tested, and which figures their intervals held."""

    policy: str
    worlds: str
    n_worlds: int
    after: int
    held: FloatArray  # (n_tests, n_levels, n_segments, n_figures), 1 or 0; NaN: known already
    width: FloatArray  # (n_tests, n_levels, n_segments, n_figures)
    error: FloatArray  # (n_tests, n_segments, n_figures), truth less median

    @classmethod
    def pooled(cls, worlds: str, cases: Sequence[Self]) -> Self:
        """Test worlds of several cases as one."""
        parts = zip(*(case[4:] for case in cases), strict=True)
        first = cases[0]
        return cls(first.policy, worlds, *first[2:4], *map(np.concatenate, parts))


def main() -> None:
    """Play what is missing, write the page."""
    arguments = _arguments()
    torch.set_num_threads(1)
    cases: list[Case] = []
    by_law: list[Case] = []
    for policy in arguments.policies:
        caster = _caster(policy, arguments)
        cases += cases_of(caster, arguments)
        for laws in cases_of_laws(caster, arguments) if arguments.n_lawful else ():
            by_law += laws
            cases.append(Case.pooled(laws[0].worlds.replace(OTHER_LAWS[0], LAWS), laws))
    rows = [row for case in cases for row in figures(case)]
    rows += [row for case in by_law for row in figures(case, SEGMENTS[:1])]
    content = {
        "origin": origin(),
        "arguments": {name: str(value) for name, value in vars(arguments).items()},
        "rows": rows,
    }
    body = "\n\n".join([explained(arguments), *tables(cases, by_law)])
    write_page(arguments.page, f"How often forecasts hold on {arguments.dataset}", content, body)
    print(body)


def _arguments() -> argparse.Namespace:
    parser = page_parser(__doc__, "dataset")
    parser.add_argument("--policies", nargs="+", default=["itmprec", "foresight"])
    parser.add_argument("--n-tests", type=int, default=60)
    parser.add_argument("--n-left-out", type=int, default=10, help="test worlds of each such kind")
    parser.add_argument("--n-users", type=int, default=300, help="users of the campaign")
    parser.add_argument("--n-played", type=int, default=150, help="users in a forecast's world")
    parser.add_argument("--n-targets", type=int, default=5)
    parser.add_argument("--filter", default="k-core")
    parser.add_argument("--protocol", default="common", choices=list(PROTOCOLS))
    parser.add_argument(
        "--leaving-between", type=float, nargs=2, help="share of users that leave after each round"
    )
    parser.add_argument("--n-lawful", type=int, default=0, help="test worlds of every other law")
    parser.add_argument("--lawful", type=float, help="share of a second forecast's worlds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", type=Path, default=Path("runs/artefacts"))
    parser.add_argument("--data-dir", type=Path)
    return parser.parse_args()


def _caster(policy: str, arguments: argparse.Namespace) -> Forecaster:
    """Of the campaign that a policy guides."""
    data = DatasetOptions(name=arguments.dataset, filter=arguments.filter)
    options = ExperimentOptions(
        dataset=data,
        policy=policy,
        n_users=arguments.n_users,
        seed=arguments.seed,
        protocol=PROTOCOLS[arguments.protocol],
    ).changed({"protocol.targets.n_targets": arguments.n_targets})
    run = Experiment(options, arguments.store, data_dir=arguments.data_dir)
    leaving = arguments.leaving_between and tuple(arguments.leaving_between)
    asked = ForecastOptions(n_users=arguments.n_played, prior=Prior(leaving=leaving))
    return Forecaster(run, asked, progress=_say)


def cases_of(caster: Forecaster, arguments: argparse.Namespace) -> Iterator[Case]:
    """Test worlds of the prior, then those of every kind that is left out."""
    policy, prior = caster.experiment.options.policy, caster.options.prior
    ensemble = caster.ensemble()
    tests = played(caster, prior, arguments.n_tests)
    n_played = ensemble[0].n_users
    for after in (0, AFTER):
        yield case_of(policy, "prior", after, caster, ensemble, tests)
        yield case_of(policy, "prior, reversed", after, caster, tests, ensemble, n_played)
    for kind in HIDDEN if arguments.n_left_out else ():
        others = without(kind, caster)
        only = prior.model_copy(update={"hidden": (kind,)})
        tests = played(caster, only, arguments.n_left_out)
        for after in (0, AFTER):
            yield case_of(policy, f"{kind}, left out", after, caster, others, tests)
    if arguments.lawful:
        tests = played(caster, prior, arguments.n_tests)
        for after in (0, AFTER):
            foreseen = with_laws(caster, arguments.lawful)
            yield case_of(policy, "prior, laws foreseen", after, caster, foreseen, tests)


def cases_of_laws(caster: Forecaster, arguments: argparse.Namespace) -> Iterator[list[Case]]:
    """Test worlds of every other law; by what was foreseen, and what was seen."""
    policy, run, prior = caster.experiment.options.policy, caster.experiment, caster.options.prior
    drawn = (drawn_world(prior, run.seed, number, "tests") for number in count())
    tests = {
        name: caster.summaries([one.under(name) for one in islice(drawn, arguments.n_lawful)])
        for name in OTHER_LAWS
    }
    ensembles = {"": caster.ensemble()}
    if arguments.lawful:
        ensembles[", laws foreseen"] = with_laws(caster, arguments.lawful)
    for how, ensemble in ensembles.items():
        for after in (0, AFTER):
            yield [
                case_of(policy, name + how, after, caster, ensemble, found)
                for name, found in tests.items()
            ]


def with_laws(caster: Forecaster, share: float) -> list[Summary]:
    """The forecast's worlds, a share of them with users of another law."""
    prior = caster.options.prior.model_copy(update={"lawful": share})
    numbers, seed = range(caster.options.n_worlds), caster.experiment.seed
    worlds = [drawn_world(prior, seed, number) for number in numbers]
    return caster.summaries(worlds, caster.options.n_users)


def played(caster: Forecaster, prior: Prior, n_worlds: int) -> list[Summary]:
    """The campaign, with everybody, in test worlds."""
    seed, numbers = caster.experiment.seed, range(n_worlds)
    return caster.summaries([drawn_world(prior, seed, number, "tests") for number in numbers])


def without(kind: str, caster: Forecaster) -> list[Summary]:
    """The first of the forecast's worlds that have nothing of a kind, as many as it needs."""
    drawn = (drawn_world(caster.options.prior, caster.experiment.seed, n) for n in count())
    others = (world for world in drawn if kind not in world.hidden)
    return caster.summaries(list(islice(others, MIN_WORLDS)), caster.options.n_users)


def case_of(
    policy: str,
    worlds: str,
    after: int,
    caster: Forecaster,
    ensemble: Sequence[Summary],
    tests: Sequence[Summary],
    n_users: FloatArray | None = None,
) -> Case:
    """Forecast every test campaign from one ensemble."""
    n_users = caster.audience.n_users if n_users is None else n_users
    found, width, error = [], [], []
    for test in tests:
        seen = test.answers[:after] if after else None
        median, bounds = predicted(ensemble, n_users, seen)
        low, high = bounds[:, 0], bounds[:, 1]
        found.append((low <= test.mean) & (test.mean <= high))
        width.append(high - low)
        error.append(test.mean - median)
    held = np.stack(found).astype(np.float64)
    rounds = caster.metrics.rounds
    for at, metric in enumerate(CAMPAIGN_METRICS):
        if metric in KNOWN:
            known = [at * len(rounds) + n for n, p in enumerate(rounds) if p <= after]
            held[..., known] = np.nan
    return Case(policy, worlds, len(ensemble), after, held, np.stack(width), np.stack(error))


def figures(case: Case, segments: Sequence[str] = SEGMENTS) -> Iterator[dict[str, Any]]:
    """Coverage and width of every segment and metric, over rounds."""
    n_rounds = case.held.shape[3] // len(CAMPAIGN_METRICS)
    for segment, name in enumerate(segments):
        for at, metric in enumerate(CAMPAIGN_METRICS):
            part = slice(at * n_rounds, (at + 1) * n_rounds)
            row = {"policy": case.policy, "worlds": case.worlds, "after": case.after}
            row |= {"segment": name, "metric": metric}
            for place, level in enumerate(LEVELS):
                held = np.nanmean(case.held[:, place, segment, part])
                row[f"coverage_{level}"] = round(float(held), 4)
                row[f"width_{level}"] = round(float(case.width[:, place, segment, part].mean()), 4)
            row["median_error"] = round(float(case.error[:, segment, part].mean()), 4)
            yield row


def explained(arguments: argparse.Namespace) -> str:
    """What the tables hold."""
    laws = (
        f" Other laws: {arguments.n_lawful} test worlds of each, other draws of the same "
        "prior, whose users follow that law besides, as strongly as in the named world."
        if arguments.n_lawful
        else ""
    )
    if arguments.lawful:
        laws += (
            f" Laws foreseen: {arguments.lawful:.0%} of the forecast's worlds have one of these "
            "laws, between not at all and twice as strongly; the rest stay as they are."
        )
    return (
        f"Campaigns with {arguments.n_users} users and {arguments.n_targets} targets, forecast "
        f"from worlds with {arguments.n_played} of the users. Share of figures, in per cent, that "
        "lie inside their 80 % and 95 % interval, over rounds 5, 10, 15, 20; in brackets the "
        "standard error over test worlds, whose figures go together; it is too large, as they are "
        "drawn evenly. Reversed: the test worlds forecast the others, so the mean of both is free "
        f"of most of the luck of one ensemble. After {AFTER}: the forecast has seen the "
        f"acceptances of {AFTER} rounds; HR, target acceptance and rounds to the target at round "
        f"{AFTER} are then known and not counted.{laws}"
    )


def tables(cases: Sequence[Case], by_law: Sequence[Case]) -> Iterator[str]:
    """By metric over all segments, by segment over all metrics, and how wide."""
    n_rounds = cases[0].held.shape[3] // len(CAMPAIGN_METRICS)
    slices = {
        LABELS[metric]: slice(at * n_rounds, (at + 1) * n_rounds)
        for at, metric in enumerate(CAMPAIGN_METRICS)
    }
    by_figure: dict[str, Any] = {
        "everything": lambda held: held,
        **{name: lambda held, part=part: held[..., part] for name, part in slices.items()},
    }
    yield "## By figure"
    yield _table(cases, by_figure)
    if by_law:
        yield "## By law"
        yield _table(by_law, by_figure)
    yield "## Targets accepted, by round"
    part = slices[LABELS["target_accepted"]]
    yield _table(
        cases,
        {
            f"@{ROUNDS[n]}": lambda held, n=n: held[..., part.start + n : part.start + n + 1]
            for n in range(n_rounds)
        },
    )
    yield "## By segment"
    yield _table(
        cases,
        {name: lambda held, row=row: held[:, row : row + 1] for row, name in enumerate(SEGMENTS)},
    )
    yield "## How wide an 80 % interval is at the last round, over everybody"
    lines = []
    for case in cases:
        last = [case.width[:, 0, 0, part.stop - 1].mean() for part in slices.values()]
        lines.append([*_named(case), *(f"{width:.3g}" for width in last)])
    yield table([*NAMED, *LABELS.values()], lines)


def _table(cases: Sequence[Case], columns: dict[str, Any]) -> str:
    lines = []
    for case in cases:
        cells = []
        for choose in columns.values():
            parts = []
            for place in range(len(LEVELS)):
                held = choose(case.held[:, place])
                if np.isnan(held).all():
                    parts = ["known"]
                    break
                by_world = np.nanmean(held, axis=(1, 2))
                error = by_world.std(ddof=1) / len(by_world) ** 0.5
                parts.append(f"{by_world.mean():.0%} ({error:.0%})".replace("%", ""))
            cells.append(" / ".join(parts))
        lines.append([*_named(case), *cells])
    return table([*NAMED, *columns], lines)


def _named(case: Case) -> list[str]:
    return [case.policy, f"{case.worlds} (n = {case.n_worlds})", str(case.after or "–")]


def _say(stage: str, done: int, total: int, note: str = "") -> None:
    if done % 20 == 0 or done == total:
        print(f"{stage} {done}/{total} {note}", flush=True)


if __name__ == "__main__":
    main()
