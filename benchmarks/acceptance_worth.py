"""What Foresight gains and how often users accept, by what an acceptance is worth to it.

Usage: python benchmarks/acceptance_worth.py DATASET PAGE.md [--seeds 0 1 2] [--n-targets 10]
    [--n-users 300] [--workers 1] [--data-dir DIR] [--store runs/artefacts] [--set NAME=VALUE]
ITMPRec stands beside it: the same users, targets and luck. Finished stages lie in the store, so it
goes on where it was killed. `plots.py` draws the picture.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from proactrec.evaluation.benchmark.grid import grid
from proactrec.evaluation.benchmark.run import run
from proactrec.evaluation.benchmark.suites import Changes
from shared.cells import parser_of, say, set_up
from shared.page import origin, write_page
from shared.pictures import Pictures
from shared.tables import interval, table
from views import WORLDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORTHS = (0.0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12)
OTHER = "ITMPRec"
METHODS: dict[str, Changes] = {OTHER: {"policy": "itmprec"}} | {
    f"{worth:g}": {"policy": "foresight", "policy_options.worth.step": worth} for worth in WORTHS
}
FIGURES = ("hr", "ioi", "accepted")


def main() -> None:
    """Run what is missing and write the page."""
    arguments = parser_of(__doc__, n_targets=10, n_users=300).parse_args()
    base, workshop = set_up(arguments)
    cells = grid([base], METHODS, list(WORLDS.values()), arguments.seeds)
    results = run(cells, workshop, progress=say)
    places = [(w, m, s) for w in WORLDS for m in METHODS for s in arguments.seeds]
    rows = [
        {
            "world": world,
            "method": method,
            "seed": seed,
            "hr": list(result.metrics["hr"].values())[-1].mean,
            "ioi": list(result.metrics["ioi"].values())[-1].mean,
            "accepted": result.outcome["target_accepted"].mean,
        }
        for (world, method, seed), result in zip(places, results, strict=True)
    ]
    content = {
        "origin": origin(),
        "arguments": {name: str(value) for name, value in vars(arguments).items()},
        "rows": rows,
    }
    picture = f"![Increase of interest against hit ratio]({arguments.page.stem}.png)"
    body = f"{picture}\n\n{EXPLAINED}\n\n{figures_table(rows)}"
    title = f"What an acceptance is worth to Foresight, on {arguments.dataset}"
    write_page(arguments.page, title, content, body)
    print(body)


EXPLAINED = (
    "HR and IoI at the last round, and the share of campaigns whose target is accepted, by "
    "`worth.step`. Worlds without a slope in their name are medium. Means and 95 % intervals "
    "over seeds."
)


def _over_seeds(
    rows: Sequence[Mapping[str, Any]], world: str, method: str
) -> dict[str, list[float]]:
    found = [row for row in rows if (row["world"], row["method"]) == (world, method)]
    return {name: [row[name] for row in found] for name in FIGURES}


def figures_table(rows: list[dict[str, Any]]) -> str:
    """A row per world and worth."""
    lines = []
    for world in WORLDS:
        for method in METHODS:
            figures = _over_seeds(rows, world, method)
            lines.append([world, method, *(interval(figures[name], 3) for name in FIGURES)])
    return table(["world", "worth", "HR@20", "IoI@20", "target accepted"], lines)


def pictures(content: Mapping[str, Any], stem: str) -> Pictures:
    """The picture of a page, from its JSON."""
    return {f"{stem}.png": partial(drawn, content["rows"])}


def drawn(rows: Sequence[Mapping[str, Any]]) -> "Figure":
    """Increase of interest against hit ratio: a panel per world, a dot per worth."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from proactrec.report.drawing import BLUE, STYLE, VERMILION

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 5.6), layout="constrained")
        panels = figure.subplots(2, -(-len(WORLDS) // 2), squeeze=False).flat
        for axes, world in zip(panels, WORLDS, strict=True):
            points = [
                (fmean(found["hr"]), fmean(found["ioi"]))
                for found in (_over_seeds(rows, world, method) for method in METHODS)
            ]
            axes.plot(*zip(*points[1:], strict=True), marker="o", ms=4, color=BLUE)
            axes.plot(*points[0], marker="s", ms=6, color=VERMILION, ls="")
            axes.annotate(OTHER, points[0], (5, 5), textcoords="offset points", color=VERMILION)
            for name, point in list(zip(METHODS, points, strict=True))[1::3]:
                axes.annotate(name, point, (4, 5), textcoords="offset points", color=BLUE)
            axes.set_title(world)
            axes.set_ylim(bottom=0)
            axes.margins(x=0.2)
        figure.supxlabel("hit ratio over 20 rounds")
        figure.supylabel("increase of interest")
    return figure


if __name__ == "__main__":
    main()
