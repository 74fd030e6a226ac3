"""What guard rails cost: increase of interest against clicks and relevance lost, rail by rail.

Usage: python benchmarks/rails_price.py DATASET PAGE.md [--policies foresight itmprec]
    [--rails guided_budget …] [--seeds 0 1 2] [--n-targets 20] [--n-users 1000] [--world medium]
    [--workers 1] [--data-dir DIR] [--store runs/artefacts] [--set NAME=VALUE]
Every rail at three settings, loose to strict, alone, beside the policy without rails and
next-item. Finished stages lie in the store, so it goes on where it was killed; `--set` changes
any setting of all runs. `plots.py` draws the picture.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
import torch

from proactrec.evaluation.benchmark.grid import grid
from proactrec.evaluation.benchmark.run import run
from proactrec.evaluation.benchmark.suites import Changes
from proactrec.evaluation.experiment import Experiment
from proactrec.guidance.decision import REASONS
from proactrec.report.tables import MISSING
from proactrec.rng import generator
from proactrec.types import FloatArray
from shared.cells import parser_of, say, set_up
from shared.page import origin, write_page
from shared.pictures import Pictures
from shared.tables import interval, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAIRS_LOOKED_AT = 400
"""Pairs, drawn at random, whose items' places by relevance are measured."""
PLAIN, FREE = "next-item", "no rails"
STEPS: dict[str, tuple[Any, ...]] = {
    "relevance_floor": (0.3, 0.1, 0.03),
    "acceptance_floor": (0.3, 0.5, 0.7),
    "plain_share": (0.25, 0.5, 0.75),
    "guided_budget": (15, 10, 5),
    "pause_after": (5, 3, 2),
    "stop_after": (8, 5, 3),
    "opt_out_share": (0.1, 0.3, 0.5),
    "item_cap_per_round": (100, 30, 10),
    "item_cap_total": (300, 100, 30),
    "daily_cap": (20, 10, 5),
    "guided_pairs": (0.75, 0.5, 0.25),
    "equal_groups": (0.75, 0.5, 0.25),
}
DAY = 5
"""Rounds of a day, for daily_cap."""
CAPS, N_PROTECTED = (10, 5, 2), (1, 2, 4)
RAILS = (*STEPS, "category_caps", "protected_categories")
HEADS = ("rail", "setting", "IoI", "share of IoI kept", "HR", "clicks lost", "place",
         "target accepted", "plain")  # fmt: skip
GROUP_HEADS = ("guided_pairs", "group of equal_groups", "share guided", "IoI", "HR", "clicks lost")


class Setting(NamedTuple):
    """One rail at one strength."""

    policy: str
    rail: str
    strength: str
    changes: Changes

    @property
    def name(self) -> str:
        """What its cells are called."""
        return " ".join(part for part in (self.policy, self.rail, self.strength) if part)


def main() -> None:
    """Run what is missing and write the page."""
    arguments = _arguments()
    base, workshop = set_up(arguments, {"protocol.world.world": arguments.world})
    rows = []
    for seed in arguments.seeds:
        settings = list(chosen(workshop.experiment(base.changed({"seed": seed})), arguments))
        cells = grid([base], {one.name: one.changes for one in settings}, seeds=(seed,))
        run(cells, workshop, progress=say)
        for one, cell in zip(settings, cells, strict=True):
            rows.append({**_named(one), **figures(workshop.experiment(cell.options))})
    policies = [policy for policy in arguments.policies if policy != PLAIN]
    body = "\n\n".join(
        f"## {policy}\n\n{rail_table(policy, rows)}{group_table(policy, rows)}"
        for policy in policies
    )
    content = {
        "origin": origin(),
        "arguments": {name: str(value) for name, value in vars(arguments).items()},
        "rows": rows,
    }
    picture = f"![Increase of interest against clicks lost]({arguments.page.stem}.png)"
    text = f"{picture}\n\n{EXPLAINED}\n\n{body}"
    some = len(arguments.rails) < len(RAILS)
    which = ", ".join(arguments.rails) if some else "guard rails"
    write_page(arguments.page, f"What {which} cost on {arguments.dataset}", content, text)
    print(body)


EXPLAINED = (
    "IoI and HR at the last round. Clicks lost: HR below next-item's, as a share of it, the same "
    "users and targets. Place: mean place of what was shown among all items that might be, most "
    f"relevant first, by the encoder, in per cent, over {PAIRS_LOOKED_AT} pairs drawn at random. "
    "Plain: share of rounds that rails made plain or empty. Means and 95 % intervals over seeds."
)


def _arguments() -> argparse.Namespace:
    parser = parser_of(__doc__, n_targets=20, n_users=None)
    parser.add_argument("--policies", nargs="+", default=["foresight", "itmprec"])
    parser.add_argument("--rails", nargs="+", default=list(RAILS), choices=RAILS)
    parser.add_argument("--world", default="medium")
    return parser.parse_args()


def chosen(experiment: Experiment, arguments: argparse.Namespace) -> Iterator[Setting]:
    """Next-item, then every policy without rails and with each."""
    yield Setting(PLAIN, "", "", {"policy": PLAIN})
    for policy in arguments.policies:
        yield Setting(policy, FREE, "", {"policy": policy})
        for rail, values in {**STEPS, **of_data(experiment)}.items():
            unpredicted = rail == "acceptance_floor" and policy != "foresight"
            if rail not in arguments.rails or unpredicted:
                continue
            for value in values:
                changes = {"policy": policy, **_changes(rail, value)}
                yield Setting(policy, rail, _in_words(value), changes)


def _changes(rail: str, value: Any) -> Changes:
    if rail == "equal_groups":
        return {"rails.equal_groups": "activity", "rails.guided_pairs": value}
    changes = {f"rails.{rail}": value}
    return {**changes, "rails.rounds_per_day": DAY} if rail == "daily_cap" else changes


def _in_words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {cap}" for name, cap in value.items())
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def of_data(experiment: Experiment) -> dict[str, tuple[Any, ...]]:
    """Caps on the promoted category, and the largest categories without a target."""
    data = experiment.dataset
    carried = {name for item in experiment.targets.item_idx for name in data.categories[item - 1]}
    free = [name for name in data.items.category_names if name not in carried]
    protected = dict.fromkeys(tuple(free[:n]) for n in N_PROTECTED)
    return {
        "category_caps": tuple({experiment.fitting.category: cap} for cap in CAPS),
        "protected_categories": tuple(names for names in protected if names),
    }


def _named(one: Setting) -> dict[str, Any]:
    return {"policy": one.policy, "rail": one.rail, "strength": one.strength}


def figures(experiment: Experiment) -> dict[str, Any]:
    """What a finished cell gained and cost."""
    result = experiment.result()
    ioi, hr = (list(result.metrics[name].values())[-1].mean for name in ("ioi", "hr"))
    told = result.policy_notes.get("rails", {})
    n_decisions = max(1, told.get("decisions", 0))
    return {
        "seed": result.seed,
        "ioi": ioi,
        "hr": hr,
        "accepted": result.outcome["target_accepted"].mean,
        "place": mean_place(experiment),
        "plain": sum(told.get(name, 0) for name in REASONS) / n_decisions,
        "notes": told,
        "groups": result.content().get("groups", {}),
    }


@torch.no_grad()
def mean_place(experiment: Experiment) -> float:
    """Mean place, in per cent, of shown items among those unseen, most relevant first."""
    encoder, log, known = (
        experiment.fitting.encoder,
        experiment.log,
        experiment.dataset.before("train"),
    )
    n_pairs, n_read = len(log.user_idx), encoder.options.max_seq_len
    pairs = generator(0, "rails price").choice(n_pairs, min(n_pairs, PAIRS_LOOKED_AT), False)
    shares: list[float] = []
    for pair in pairs:
        seq, shown = known.of(int(log.user_idx[pair])).tolist(), log.item_idx[pair]
        owned, seqs = list(seq), []
        for item, accepted in zip(shown, log.accepted[pair], strict=True):
            seqs.append(([0] * n_read + seq)[-n_read:])
            seq = [*seq, int(item)] if accepted else seq
        scores = encoder.score(encoder.encode(torch.tensor(seqs))).double().numpy()
        shares += _places(scores, [0, *owned], shown.tolist())
    return 100 * fmean(shares)


def _places(scores: FloatArray, gone: list[int], shown: Sequence[int]) -> Iterator[float]:
    for row, item in zip(scores, shown, strict=True):
        if item:
            left = np.delete(row, gone)
            yield float((left > row[item]).mean())
            gone = [*gone, item]


def rail_table(policy: str, rows: list[dict[str, Any]]) -> str:
    """A row per setting."""
    lines = []
    free = {row["seed"]: row["ioi"] for row in rows if _is(row, policy, FREE)}
    for (rail, strength), found in _settings(policy, rows).items():
        kept = [row["ioi"] / free[row["seed"]] for row in found]
        figures = (
            interval([row["ioi"] for row in found], 3),
            interval(kept, 2) if policy != PLAIN and rail else "",
            interval([row["hr"] for row in found], 3),
            interval(_lost(found, rows), 3),
            interval([row["place"] for row in found], 1),
            interval([row["accepted"] for row in found], 3),
            interval([row["plain"] for row in found], 2),
        )
        lines.append([rail or PLAIN, strength, *figures])
    return table(HEADS, lines)


def group_table(policy: str, rows: list[dict[str, Any]]) -> str:
    """A row per group under `equal_groups`, means over seeds; nothing without that rail."""
    lines = []
    found = [row for row in rows if _is(row, policy, "equal_groups")]
    for strength in dict.fromkeys(row["strength"] for row in found):
        per_seed = [row["groups"] for row in found if row["strength"] == strength]
        for name in per_seed[0]:
            means = (
                _mean_of([groups[name][figure] for groups in per_seed])
                for figure in ("share_guided", "ioi", "hr", "clicks_lost")
            )
            lines.append([strength, name, *means])
    return f"\n\n{table(GROUP_HEADS, lines)}" if found else ""


def _mean_of(values: list[float | None]) -> str:
    """Mean of those that are known; a dash where none is."""
    known = [value for value in values if value is not None]
    return f"{fmean(known):.3f}" if known else MISSING


def _is(row: dict[str, Any], policy: str, rail: str) -> bool:
    return (row["policy"], row["rail"]) == (policy, rail)


def _settings(policy: str, rows: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    """Rows of all seeds by rail and strength, next-item first."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        if row["policy"] in (policy, PLAIN):
            found.setdefault((row["rail"], row["strength"]), []).append(row)
    return found


def _lost(found: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[float]:
    """Clicks lost beside next-item of the same seed, as a share."""
    plain = {row["seed"]: row["hr"] for row in rows if row["policy"] == PLAIN}
    return [1 - row["hr"] / plain[row["seed"]] for row in found]


def pictures(content: Mapping[str, Any], stem: str) -> Pictures:
    """The picture of a page, from its JSON."""
    return {f"{stem}.png": partial(drawn, content["rows"])}


def drawn(rows: list[dict[str, Any]]) -> "Figure":
    """Increase of interest against clicks lost, a line per rail from no rails to its strictest."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from proactrec.report.drawing import STYLE

    policies = [name for name in dict.fromkeys(row["policy"] for row in rows) if name != PLAIN]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.6 * len(policies), 4.4), layout="constrained")
        panels = figure.subplots(1, len(policies), squeeze=False)[0]
        for axes, policy in zip(panels, policies, strict=True):
            _draw_panel(axes, policy, _means(policy, rows), mpl.colormaps["tab20"](range(20)))
        panels[0].set_ylabel("increase of interest")
        drawn: dict[str, Any] = {}
        for axes in panels:
            lines, names = axes.get_legend_handles_labels()
            drawn |= dict(zip(names, lines, strict=True))
        figure.legend(drawn.values(), drawn, fontsize=8, frameon=False, loc="outside right center")
    return figure


def _draw_panel(axes: Any, policy: str, points: pl.DataFrame, colours: Any) -> None:
    start = points.filter(rail=FREE).select("lost", "ioi").row(0)
    for rail, colour in zip(RAILS, colours, strict=False):
        line = [start, *points.filter(rail=rail).select("lost", "ioi").iter_rows()]
        if len(line) > 1:
            axes.plot(*zip(*line, strict=True), marker="o", ms=4, color=colour, label=rail)
    best, frontier = -np.inf, []
    for lost, ioi in (
        points.sort("lost", "ioi", descending=[False, True]).select("lost", "ioi").iter_rows()
    ):
        if ioi > best:
            best = ioi
            frontier.append((lost, ioi))
    axes.plot(*zip(*frontier, strict=True), color="black", lw=1, ls=":", label="frontier")
    axes.plot(*start, marker="s", ms=8, color="black", ls="", label=FREE)
    plain = points.filter(rail="").select("lost", "ioi").row(0)
    axes.plot(*plain, marker="D", ms=7, color="grey", ls="", label=PLAIN)
    axes.set(xlabel="clicks lost beside next-item, %")
    axes.set_title(policy)


def _means(policy: str, rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "rail": rail,
                "strength": strength,
                "lost": 100 * fmean(_lost(found, rows)),
                "ioi": fmean(row["ioi"] for row in found),
            }
            for (rail, strength), found in _settings(policy, rows).items()
        ]
    )


if __name__ == "__main__":
    main()
