"""`proactrec benchmark`: all methods with the same users."""

from collections.abc import Iterable, Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from proactrec.cli import console, results
from proactrec.cli.cost import begun
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
from proactrec.cli.workers import MOST_PROCESSES, RAY, runner
from proactrec.errors import InvalidInputError, UnknownIdError
from proactrec.files import alone_in
from proactrec.measurement.results import CELLS, CellResult
from proactrec.names import meant, spelled, unknown
from proactrec.threads import n_allowed

if TYPE_CHECKING:
    import polars as pl

    from proactrec.evaluation.benchmark.grid import Cell
    from proactrec.evaluation.benchmark.tasks import How
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
            "parts), short (next-item, ITMPRec and our planner), rivals (all who guide to "
            "targets, and oracles); repeatable.",
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
            min=1,
            max=MOST_PROCESSES,
            help="Processes side by side; one for each core.",
            rich_help_panel=MACHINE,
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help=f"{RAY} All its nodes must see --store and the data.", rich_help_panel=MACHINE
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
    results.require_report()
    how = _how(values["workers"], values["ray"])
    cells, first = _cells(values)
    with alone_in(first.out):
        _run(cells, first, how, is_json=values["json"])


def _run(cells: "list[Cell]", first: Setup, how: "How", *, is_json: bool) -> None:
    from proactrec.evaluation.benchmark.figures import figures_table
    from proactrec.evaluation.benchmark.run import run
    from proactrec.evaluation.benchmark.tasks import Workshop
    from proactrec.files import write_json, write_text

    out = first.out
    settings = {"/".join(cell.name): cell.options.model_dump(mode="json") for cell in cells}
    workshop = Workshop(first.store, first.data_dir, first.device, how)
    done: dict[str, Any] = {}

    def keep(cell: "Cell", result: CellResult) -> None:
        done["/".join(cell.name)] = result.model_dump(mode="json", exclude_unset=True)
        write_json(out / CELLS, in_order())

    def in_order() -> dict[str, Any]:
        """Of cells, whichever was done first."""
        return {name: done[name] for name in settings if name in done}

    with console.progress() as progress:
        begun(first, progress)  # every cell costs about as much
        write_text(out / SETTINGS, yaml.safe_dump(settings, sort_keys=False))
        found = run(cells, workshop, progress=progress, finished=keep)
    figures = figures_table(found)
    figures.write_parquet(out / FIGURES)
    show_benchmark(out, figures, settings, quiet=is_json)
    if is_json:
        results.print_json(list(in_order().values()))


def _how(n_workers: int | None, ray: str | None) -> "How":
    from proactrec.distributed.grids import by
    from proactrec.distributed.running import here
    from proactrec.evaluation.benchmark.tasks import one_by_one

    run = runner(n_allowed() if ray is None and n_workers is None else n_workers, ray, "--workers")
    return one_by_one if run is here else by(run)


def show_benchmark(
    out: Path, figures: "pl.DataFrame", settings: Mapping[str, Any], *, quiet: bool = False
) -> None:
    """Write the tables of a benchmark, its plots and its page into `out`, and print the tables."""
    from proactrec.report import published
    from proactrec.report.benchmark.figures import PLACE
    from proactrec.report.benchmark.formats import terminal_table
    from proactrec.report.benchmark.page import write_benchmark
    from proactrec.report.benchmark.paper_table import paper_table

    terminal = console.Terminal(quiet=quiet)
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
    (folder / f"{name}.md").write_text(markdown(table), encoding="utf-8")
    (folder / f"{name}.tex").write_text(latex(table), encoding="utf-8")


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
    from proactrec.simulator.worlds import WORLDS

    shared = {**values, **dict.fromkeys(SET_BY_WORLDS)}
    if values["response"] == "distribution":
        shared |= dict.fromkeys(("llm_url", "llm_model", "replay"))
    setups = [
        setup(**{**shared, "dataset": dataset, "protocol": protocol})
        for dataset, protocol in product(values["dataset"], values["protocol"])
    ]
    # Every method has the same targets, whichever encoder it stands on.
    bases = [s.options.changed(_chooser(s.options)) for s in setups]
    named = [spelled(name, WORLDS) for name in values["named_world"] or []]
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
    from proactrec.policies.registry import POLICIES, policy_type

    methods: dict[str, Mapping[str, Any]] = {}
    for name in values["suite"]:
        suite = SUITES.get(spelled(name, SUITES))
        if suite is None:
            raise unknown("suite", name, SUITES)
        methods |= suite
    asked = []  # by another option than --only, which leaves them in
    if values["llm_model"]:
        methods["LLM-IPP"] = {"policy": "llm-ipp", **language_model("policy_options", values)}
        asked = ["LLM-IPP"] if values["response"] == "distribution" else []
    for also in values["also"] or []:
        source = spelled(also, POLICIES)
        name = policy_type(source).name
        if methods.get(name, {"policy": source}) != {"policy": source}:
            raise InvalidInputError(
                f"--also {source}: a method {name!r} is there already; give its class another name"
            )
        methods[name] = {"policy": source}
        asked.append(name)
    only = [_method(name, methods) for name in values["only"] or methods]
    return {name: methods[name] for name in [*only, *asked]}


def _method(name: str, methods: Iterable[str]) -> str:
    """The method that is meant by a name, whatever its capitals."""
    found = spelled(name, methods)
    if found not in methods:
        among = f"{', '.join(methods)}{meant(name, methods)}"
        raise UnknownIdError(f"method {name!r} is not among {among}")
    return found


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
