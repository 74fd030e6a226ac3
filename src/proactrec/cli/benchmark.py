"""`proactrec benchmark`: all methods with the same users."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from rich.console import Console

from proactrec.cli import console, results
from proactrec.cli.flags import Flag, own_parameters, parameters
from proactrec.cli.setup import (
    GUIDE,
    MACHINE,
    Setup,
    language_model,
    run_flags,
    setup,
    take_options,
)
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.measurement.results import CELLS, CellResult
from proactrec.threads import n_allowed

if TYPE_CHECKING:
    import polars as pl

    from proactrec.evaluation.benchmark.grid import Cell
    from proactrec.evaluation.experiment import ExperimentOptions
    from proactrec.measurement.comparison import Difference
    from proactrec.report.benchmark.paper_table import PaperTable

FIGURES, SETTINGS = "figures.parquet", "settings.yaml"
NOT_ASKED = ("target", "policy", "without", "encoder_folder")
SET_BY_WORLDS = ("world", "receptivity", "hidden", "named_world", "seed")
"""Options of a run that cells differ in."""


def _asked(
    suite: Annotated[
        list[str],
        typer.Option(
            help="Methods to run: table4 (all of the paper's, and points of reference), table3 "
            "(parts of ITMPRec), figure4 (curiosity and intents), beyond (our planner and its "
            "parts), short (next-item, ITMPRec and our planner); repeatable.",
            rich_help_panel=GUIDE,
        ),
    ] = ["table4"],  # noqa: B006
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="A policy of your own (.py file), or any by name, beside those of the suite; "
            "repeatable.",
            rich_help_panel=GUIDE,
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Run only methods of these names; repeatable.", rich_help_panel=GUIDE),
    ] = None,
    protocol: Annotated[
        list[str],
        typer.Option(
            help="campaign, common, official or paper; repeatable.", rich_help_panel=GUIDE
        ),
    ] = ["campaign"],  # noqa: B006
    named_world: Annotated[
        list[str] | None,
        typer.Option(
            help="A named kind of users, see `proactrec worlds`, beside those of --world, "
            "--receptivity and --hidden, if any; repeatable.",
            rich_help_panel=GUIDE,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Processes side by side; one for each core.", rich_help_panel=MACHINE
        ),
    ] = None,
) -> None:
    """Options that a benchmark has beside, or instead of, those of a run."""


def _repeated() -> dict[str, Flag]:
    """Flags of a run of which a benchmark takes several values."""
    flags = run_flags()
    taken = {n: flags[n] for n in ("dataset", "world", "receptivity", "hidden", "seed")}
    taken["hidden"] = taken["hidden"]._replace(default=None, decided_by=False)
    return {name: flag._replace(repeats=True) for name, flag in taken.items()}


def benchmark(**values: Any) -> None:
    """Run many methods with the same users, side by side, and compare them in tables and plots.

    Every cell (method, world, seed) is computed once; killed at any time, the same command goes on
    with what is missing.

    Example: proactrec benchmark --dataset ml-100k --protocol official --seed 0 --seed 1 --seed 2
    --out runs/table4
    """
    from proactrec.evaluation.benchmark.figures import figures_table
    from proactrec.evaluation.benchmark.run import run
    from proactrec.evaluation.benchmark.tasks import Workshop
    from proactrec.files import write_json

    results.require_report()
    cells, first = _cells(values)
    out: Path = first.out
    out.mkdir(parents=True, exist_ok=True)
    settings = {"/".join(cell.name): cell.options.model_dump(mode="json") for cell in cells}
    (out / SETTINGS).write_text(yaml.safe_dump(settings, sort_keys=False))
    n_workers = values["workers"] or n_allowed()
    workshop = Workshop(first.store, first.data_dir, first.device, n_workers)
    done: dict[str, Any] = {}

    def keep(cell: "Cell", result: CellResult) -> None:
        done["/".join(cell.name)] = result.model_dump(mode="json", exclude_unset=True)
        write_json(out / CELLS, done)

    with console.progress() as progress:
        found = run(cells, workshop, progress=progress, finished=keep)
    figures = figures_table(found)
    figures.write_parquet(out / FIGURES)
    show_benchmark(out, figures, settings, quiet=values["json"])
    if values["json"]:
        results.print_json(list(done.values()))


def show_benchmark(
    out: Path, figures: "pl.DataFrame", settings: Mapping[str, Any], *, quiet: bool = False
) -> None:
    """Write the tables of a benchmark, its plots and its page into `out`, and print the tables."""
    from proactrec.report import published
    from proactrec.report.benchmark.figures import PLACE
    from proactrec.report.benchmark.formats import terminal_table
    from proactrec.report.benchmark.page import write_benchmark
    from proactrec.report.benchmark.paper_table import paper_table

    terminal = Console(quiet=quiet)
    places: list[tuple[str, str, str]] = [
        (dataset, protocol, world)
        for dataset, protocol, world in figures.select(PLACE)
        .unique(maintain_order=True)
        .iter_rows()
    ]
    significant = {place: _significant(out, figures, place) for place in places}
    printed = {
        place: published.published_figures(place[0]) for place in places if place[1] == "official"
    }
    for place in places:
        table = paper_table(
            figures, *place, significant=significant[place], published=printed.get(place)
        )
        terminal.print(terminal_table(table, terminal.width))
        _write_table(out / "tables", table)
        _draw(out / "plots", figures, place)
    page = write_benchmark(
        out / "benchmark.html", figures, settings, significant=significant, published=printed
    )
    for path in (out / FIGURES, out / "tables", out / "plots", page):
        terminal.print(f"written: {path}", soft_wrap=True, highlight=False)


def _write_table(folder: Path, table: "PaperTable") -> None:
    """As Markdown, LaTeX and Parquet."""
    from proactrec.report.benchmark.figures import file_name
    from proactrec.report.benchmark.formats import latex, markdown
    from proactrec.report.benchmark.paper_table import write_parquet

    name = file_name(*table[:3])
    write_parquet(table, folder / f"{name}.parquet")
    (folder / f"{name}.md").write_text(markdown(table))
    (folder / f"{name}.tex").write_text(latex(table))


def _draw(folder: Path, figures: "pl.DataFrame", place: tuple[str, str, str]) -> None:
    """The plots of one data set, protocol and world."""
    from proactrec.evaluation.benchmark.suites import SENSITIVITY
    from proactrec.report.benchmark.figures import file_name, rank_metric
    from proactrec.report.benchmark.plots import ROUNDS, cost_plot, rounds_plot, sensitivity_plot
    from proactrec.report.drawing import save_figure

    drawn = {metric: rounds_plot(figures, *place, metric) for metric in ROUNDS}
    drawn["cost"] = cost_plot(figures, *place)
    metrics = ("hr", "ioi", rank_metric(place[1]))
    for kind, values in SENSITIVITY.items():
        if set(values) <= set(figures["method"]):
            label = f"number of {kind}"
            drawn[f"by-{kind}"] = sensitivity_plot(figures, *place, values, metrics, label)
    folder.mkdir(exist_ok=True)
    for kind, figure in drawn.items():
        save_figure(figure, folder / f"{file_name(*place)}-{kind}.png")


def _significant(
    out: Path, figures: "pl.DataFrame", place: tuple[str, ...]
) -> set[tuple[str, str, int]]:
    """Best methods that beat the second best, by :func:`paired_differences`, at every round."""
    import polars as pl

    from proactrec.evaluation.comparison import USUAL
    from proactrec.measurement.comparison import LOWER_IS_BETTER

    here = figures.filter(
        *(pl.col(c) == v for c, v in zip(("dataset", "protocol", "world"), place, strict=True)),
        ~pl.col("is_oracle"),
        pl.col("metric").is_in(USUAL),
    )
    means = here.group_by("metric", "round", "method", maintain_order=True).agg(
        pl.col("mean").mean()
    )
    found, compared = set(), {}
    for (metric, number), ranked in means.group_by(["metric", "round"]):
        if len(ranked) < 2:
            continue
        is_descending = metric not in LOWER_IS_BETTER
        best, second = ranked.sort("mean", descending=is_descending)["method"][:2]
        pair = (best, second, metric)
        if pair not in compared:
            compared[pair] = _paired(out, *pair, place)
        if any(d.round == number and d.verdict == "better" for d in compared[pair]):
            found.add((best, str(metric), int(str(number))))
    return found


def _paired(
    out: Path, first: str, second: str, metric: str, place: tuple[str, ...]
) -> "list[Difference]":
    from proactrec.evaluation.comparison import compare_in

    world = ", ".join(place)
    try:
        return compare_in(out, first, second, (metric,), only=world)[world]
    except InvalidInputError:
        return []  # not the same targets (w/o P) or seeds: nothing that can be paired


def _cells(values: dict[str, Any]) -> "tuple[list[Cell], Setup]":
    """All cells that the options ask for, and the first run's setup."""
    from proactrec.evaluation.benchmark.grid import grid

    shared = {**values, **dict.fromkeys(SET_BY_WORLDS)}
    if values["response"] == "distribution":
        shared |= dict.fromkeys(("llm_url", "llm_model", "replay"))
    setups = [
        setup(**{**shared, "dataset": dataset, "protocol": protocol})
        for dataset, protocol in product(values["dataset"], values["protocol"])
    ]
    # Every method has the same targets, whichever encoder it stands on.
    bases = [s.options.changed(_chooser(s.options)) for s in setups]
    named = values["named_world"] or []
    cells = grid(bases, _methods(values), _worlds(values), values["seed"], named_worlds=named)
    return cells, setups[0]


def _chooser(options: "ExperimentOptions") -> dict[str, Any]:
    """The encoder that is asked for, as the one that chooses the targets."""
    return {
        "target_encoder": options.encoder,
        "target_encoder_options": options.encoder_options,
    }


def _methods(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    from proactrec.evaluation.benchmark.suites import SUITES
    from proactrec.policies.registry import policy_type

    methods: dict[str, Mapping[str, Any]] = {}
    for name in values["suite"]:
        if name not in SUITES:
            raise UnknownIdError(f"suite {name!r} does not exist; there are {', '.join(SUITES)}")
        methods |= SUITES[name]
    if values["llm_model"]:
        methods["LLM-IPP"] = {"policy": "llm-ipp", **language_model("policy_options", values)}
    for source in values["also"] or []:
        name = policy_type(source).name
        if methods.get(name, {"policy": source}) != {"policy": source}:
            raise InvalidInputError(
                f"--also {source}: a method {name!r} is there already; give its class another name"
            )
        methods[name] = {"policy": source}
    only = values["only"] or methods
    if unknown := [name for name in only if name not in methods]:
        raise UnknownIdError(f"method {unknown[0]!r} is not among {', '.join(methods)}")
    return {name: methods[name] for name in only}


def _worlds(values: Mapping[str, Any]) -> list[dict[str, str]]:
    names = {
        "world": "protocol.world.world",
        "receptivity": "protocol.world.receptivity",
        "hidden": "hidden",
    }
    if values["named_world"] and not any(values[name] for name in names):
        return []
    asked = product(*(values[name] or [None] for name in names))
    return [
        {name: value for name, value in zip(names.values(), one, strict=True) if value is not None}
        for one in asked
    ]


take_options(benchmark, [*parameters(_repeated()), *own_parameters(_asked)], NOT_ASKED)
