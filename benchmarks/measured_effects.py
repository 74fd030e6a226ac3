"""How often statements on campaigns are wrong: A/A and A/B with a look every hour, splits, power.

Usage: python benchmarks/measured_effects.py PAGE.md [--campaigns 1000] [--users 4000]
       [--first 0] [--store runs/measured-effects]
A campaign's users come over two weeks, are drawn into an arm and mature a week later; from then on
it is looked at every hour. They differ in what they did before, which bears on what they do. Every
setting is kept in the store and not simulated again.
"""

import argparse
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from proactrec.files import read_json, write_json
from proactrec.measurement.effects import Cell, Effect, Plan, effects, users_needed
from proactrec.measurement.products import Layout, covariates_of, group_of, table_of
from proactrec.measurement.sample_ratio import ALPHA as BROKEN
from proactrec.measurement.sample_ratio import p_value
from shared.page import origin, page_parser, write_page

HOURS = 14 * 24
FIGURES = ("target", "purchases", "acceptance")
LAYOUT = Layout(2, np.array([3, 4, 5]), np.array([0, 0, 6]))
OUT, IN = "hold-out", "guided"
Z = 1.959964


class World(NamedTuple):
    """What users do, and what guidance adds to it."""

    name: str
    target: float = 0.1  # share of users who take their target
    uplift: float = 0.0  # added to it, to the chance to accept, and to purchases relatively
    held_out: float = 0.2
    drawn: float | None = None  # share that really is held out, where the split is broken


class Found(NamedTuple):
    """What one campaign came to."""

    stopped: dict[str, bool]  # whether any look before the end showed a difference
    final: dict[str, Effect]
    p_least: float  # of the sample ratio, over all looks
    p_end: float


def users(world: World, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Who is held out, and their numbers: (n_users, 6)."""
    out = rng.random(n) < (world.held_out if world.drawn is None else world.drawn)
    added = np.where(out, 0.0, world.uplift)
    keen = rng.gamma(2.0, 0.5, n)  # what a user is like, of mean 1
    before = rng.poisson(4 * keen)
    liked = rng.random(n) < 0.1 * np.minimum(keen, 5)
    # Whatever is added to a chance is added to its mean over users: no chance is cut off.
    target = rng.random(n) < world.target * (0.5 + 0.5 * np.minimum(keen, 4)) + added
    purchases = rng.poisson(0.3 * keen * (1 + added) * rng.gamma(0.5, 2.0, n))
    answered = rng.poisson(3 * keen)
    accepted = rng.binomial(answered, np.clip(0.4 + 0.05 * np.tanh(keen - 1) + added, 0, 1))
    return out, np.column_stack([before, liked, target, purchases, accepted, answered]).astype(
        float
    )


def played(world: World, n: int, seed: int) -> Found:
    """One campaign, looked at every hour."""
    rng = np.random.default_rng([seed, n])
    out, values = users(world, n, rng)
    hour = np.sort(rng.integers(0, HOURS, n))
    plan = Plan(LAYOUT, FIGURES, "target", OUT, (IN,), n)
    shares = {OUT: world.held_out, IN: 1 - world.held_out}
    stopped, final, least, now = dict.fromkeys(FIGURES, False), {}, 1.0, 1.0
    for cells in looked_at(out, values, hour):
        counts = {cell.arm: int(cell.table[0, 0]) for cell in cells}
        now = p_value([(shares, counts)])
        least = min(least, now)
        found = effects(cells, plan)[0]
        if found.kind == "final":
            final = found.effects
        else:
            for name, effect in found.effects.items():
                stopped[name] |= effect.is_shown
    return Found(stopped, final, least, now)


def looked_at(out: np.ndarray, values: np.ndarray, hour: np.ndarray) -> Iterator[list[Cell]]:
    """What is known after each hour in which somebody matured."""
    tables = {OUT: np.zeros((7, 7)), IN: np.zeros((7, 7))}
    for now in np.unique(hour):
        for arm, is_it in ((OUT, out), (IN, ~out)):
            tables[arm] = tables[arm] + table_of(values[(hour == now) & is_it])
        yield [Cell(1, arm, frozenset(), table) for arm, table in tables.items() if table[0, 0]]


def truths(world: World) -> dict[str, float]:
    """The true differences; of purchases, whose chance is not cut off, exactly too."""
    return {"target": world.uplift, "purchases": 0.3 * world.uplift, "acceptance": world.uplift}


def wilson(k: int, n: int) -> tuple[float, float]:
    """95 % interval of a share."""
    p, z2 = k / n, Z**2
    mid, off = p + z2 / (2 * n), Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n**2))
    return (mid - off) / (1 + z2 / n), (mid + off) / (1 + z2 / n)


def told(world: World, found: list[Found]) -> dict[str, Any]:
    """Rates over campaigns, each with its interval."""
    n, truth = len(found), truths(world)

    def rate(of: Callable[[Found], bool]) -> dict[str, float]:
        k = sum(map(of, found))
        low, high = wilson(k, n)
        return {"rate": k / n, "low": low, "high": high}

    def of_figure(name: str) -> dict[str, Any]:
        ends = [one.final[name] for one in found]
        return {
            "stopped before the end": rate(lambda one: one.stopped[name]),
            "shown at the end": rate(lambda one: one.final[name].is_shown),
            "ever shown": rate(lambda one: one.stopped[name] or one.final[name].is_shown),
            "covered at the end": rate(
                lambda one: one.final[name].low <= truth[name] <= one.final[name].high
            ),
            "half width": float(np.mean([(end.high - end.low) / 2 for end in ends])),
            "deviation": float(np.std([end.difference for end in ends])),
        }

    return {
        "world": world._asdict(),
        "campaigns": n,
        "figures": {name: of_figure(name) for name in FIGURES},
        "split accused at any look": rate(lambda one: one.p_least < BROKEN),
        "split accused at the end": rate(lambda one: one.p_end < BROKEN),
    }


def simulated(world: World, n_users: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """What campaigns of one world come to, from the store where it is known."""
    whole = (world, n_users, arguments.campaigns, arguments.first)
    kept = arguments.store / ("-".join(map(str, (*world, *whole[1:]))).replace("/", "") + ".json")
    if kept.exists():
        found: dict[str, Any] = read_json(kept)
        return found
    seeds = range(arguments.first, arguments.first + arguments.campaigns)
    with ProcessPoolExecutor() as pool:
        results = list(pool.map(partial(played, world, n_users), seeds, chunksize=10))
    found = told(world, results) | {"users": n_users}
    write_json(kept, found)
    print(world.name, n_users, found["figures"]["target"], flush=True)
    return found


def power(world: World, effect: float, arguments: argparse.Namespace) -> dict[str, Any]:
    """Users foretold for an effect from pilots' deviations, and those that simulation finds."""
    pilot = [effects_of_pilot(world, seed) for seed in range(20)]
    deviations = (
        float(np.mean([one for one, _ in pilot])),
        float(np.mean([two for _, two in pilot])),
    )
    shares = 1 - world.held_out, world.held_out
    foretold = users_needed(effect, deviations, shares)
    sizes = [round(foretold * factor) for factor in (0.7, 0.85, 1.0, 1.15, 1.3)]
    other = world._replace(name=f"{world.name} +{effect}", uplift=effect)
    rates = [
        simulated(other, n, arguments)["figures"]["target"]["shown at the end"]["rate"]
        for n in sizes
    ]
    return {
        "effect": effect,
        "foretold": foretold,
        "sizes": sizes,
        "shown": rates,
        "found": float(np.interp(0.8, rates, sizes)),
    }


def effects_of_pilot(world: World, seed: int) -> tuple[float, float]:
    """Deviations of one user's part in the target's figure, of a campaign of 2,000."""
    out, values = users(world, 2000, np.random.default_rng([seed, 1]))
    tables = [table_of(values[rows]) for rows in (~out, out)]
    centre, _ = covariates_of(tables[0] + tables[1], LAYOUT)
    one, other = (group_of(table, LAYOUT, centre) for table in tables)
    return math.sqrt(one.variance[0]), math.sqrt(other.variance[0])


SOUND = (
    World("A/A"),
    World("A/A, one in a hundred takes the target", target=0.01),
    World("A/A, a twentieth is held out", held_out=0.05),
)
EFFECTIVE = World("A/B", uplift=0.05)
BROKEN_SPLITS = (
    World("held out: a quarter too few", drawn=0.15),
    World("held out: a tenth too many", drawn=0.22),
)
EFFECTS = (0.03, 0.05)


def main() -> None:
    """Simulate what is not kept yet, and write the page."""
    parser = page_parser(__doc__)
    parser.add_argument("--campaigns", type=int, default=1000)
    parser.add_argument("--users", type=int, default=4000)
    parser.add_argument("--first", type=int, default=0, help="seed of the first campaign")
    parser.add_argument("--store", type=Path, default=Path("runs/measured-effects"))
    asked = parser.parse_args()
    asked.store.mkdir(parents=True, exist_ok=True)
    sizes = [(world, asked.users) for world in (*SOUND, EFFECTIVE, *BROKEN_SPLITS)]
    sizes += [(SOUND[0], asked.users // 10), (BROKEN_SPLITS[1], 5 * asked.users)]
    worlds = [simulated(world, n, asked) for world, n in sizes]
    needed = [power(World("power"), effect, asked) for effect in EFFECTS]
    content = {"origin": origin(), "worlds": worlds, "power": needed}
    write_page(asked.page, "How often measured effects are wrong", content, body(content))


def body(content: dict[str, Any]) -> str:
    """The page's tables."""

    def cell(one: dict[str, float]) -> str:
        return f"{one['rate']:.1%} ({one['low']:.1%}–{one['high']:.1%})"

    head = ["stopped before the end", "shown at the end", "ever shown", "covered at the end"]
    lines = [
        "Users come over two weeks and are looked at every hour once they have matured; at the "
        "planned number of users comes the final interval. In brackets: 95 % intervals (Wilson) of "
        "the rates over campaigns. Half widths are of the final interval.",
        "",
        f"| campaigns | users | figure | {' | '.join(head)} | half width |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {one['campaigns']:,} of {one['world']['name']} | {one['users']:,} | {name} | "
        f"{' | '.join(cell(figure[what]) for what in head)} | {figure['half width']:.4f} |"
        for one in content["worlds"]
        for name, figure in one["figures"].items()
    ]
    lines += ["", "## Splits", "", "| campaigns | users | held out: meant, drawn | accused at any "
              "look | at the end |", "| --- | ---: | --- | ---: | ---: |"]  # fmt: skip
    for one in content["worlds"]:
        world = one["world"]
        drawn = world["held_out"] if world["drawn"] is None else world["drawn"]
        lines.append(
            f"| {one['campaigns']:,} of {world['name']} | {one['users']:,} | "
            f"{world['held_out']:.0%}, {drawn:.0%} | {cell(one['split accused at any look'])} | "
            f"{cell(one['split accused at the end'])} |"
        )
    lines += ["", "## Power", "", "Users whose final interval shows an effect on the target with a "
              "chance of 80 %: foretold from 20 campaigns of 2,000 users without an effect, and as "
              "simulation finds (interpolated).", "",
              "| effect | foretold | found | foretold / found | shown at 70, 85, 100, 115, 130 % |",
              "| ---: | ---: | ---: | ---: | --- |"]  # fmt: skip
    lines += [
        f"| {one['effect']:.2f} | {one['foretold']:,} | {one['found']:,.0f} | "
        f"{one['foretold'] / one['found']:.2f} | {', '.join(f'{r:.0%}' for r in one['shown'])} |"
        for one in content["power"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
