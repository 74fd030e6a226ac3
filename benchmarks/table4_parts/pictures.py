"""The pictures of pages on many methods: gains by round, or figures by an option's value."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import polars as pl
from matplotlib.figure import Figure

from proactrec.evaluation.benchmark.suites import SENSITIVITY
from proactrec.report.benchmark.figures import COLUMNS, file_name, rank_metric
from proactrec.report.benchmark.plots import rounds_plot, sensitivity_plot
from shared.pictures import Pictures

Cell = Mapping[str, Any]
Place = tuple[str, str, str]
"""Data set, protocol and world."""
OF_ROUNDS = "IoI over the rounds"


def names_of(stem: str, place: Place, methods: Collection[str]) -> dict[str, str]:
    """File → what it shows: by each option whose values are the methods, else by round."""
    varied = [kind for kind, values in SENSITIVITY.items() if set(values) <= set(methods)]
    if varied:
        return {f"{stem}-{kind}.png": f"By {kind}" for kind in varied}
    return {f"{stem}-{file_name(*place)}.png": OF_ROUNDS}


def pictures(content: Mapping[str, Any], stem: str) -> Pictures:
    """The pictures of a page, from its JSON."""
    cells = content["cells"]
    methods = {cell["method"] for cell in cells}
    return {
        name: partial(_by_round if shown == OF_ROUNDS else _by_option, cells, place, shown)
        for place in dict.fromkeys((c["dataset"], c["protocol"], c["world"]) for c in cells)
        for name, shown in names_of(stem, place, methods).items()
    }


def _by_round(cells: Sequence[Cell], place: Place, _: str) -> Figure:
    return rounds_plot(_frame(_gains(cells)), *place, "interest")


def _by_option(cells: Sequence[Cell], place: Place, shown: str) -> Figure:
    kind = shown.removeprefix("By ")
    metrics = ("hr", "ioi", rank_metric(place[1]))
    figures, values = _frame(_figures(cells, metrics)), SENSITIVITY[kind]
    return sensitivity_plot(figures, *place, values, metrics, f"number of {kind}")


def _gains(cells: Iterable[Cell]) -> Iterator[tuple[Any, ...]]:
    """Gain in interest since round 0; IoI, its other name, decides which methods are in colour."""
    for cell in cells:
        yield (*_named(cell), "interest", 0, 0.0, None, None)
        for number, figure in cell["metrics"]["ioi"].items():
            for metric in ("interest", "ioi"):
                yield (*_named(cell), metric, int(number), figure["mean"], None, None)


def _figures(cells: Iterable[Cell], metrics: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    for cell in cells:
        for metric in metrics:
            for number, figure in cell["metrics"][metric].items():
                ends = figure.get("low"), figure.get("high")
                yield (*_named(cell), metric, int(number), figure["mean"], *ends)


def _named(cell: Cell) -> tuple[Any, ...]:
    place = (cell["dataset"], cell["protocol"], cell["world"])
    return (*place, cell["method"], cell["method"].startswith("oracle"), cell["seed"])


def _frame(rows: Iterable[tuple[Any, ...]]) -> pl.DataFrame:
    """As plots take it; what two benchmarks of one page played both stands once."""
    frame = pl.DataFrame([*rows], schema=[*COLUMNS], orient="row", infer_schema_length=None)
    of_one = [name for name in COLUMNS if name not in ("mean", "low", "high")]
    return frame.unique(of_one, keep="first", maintain_order=True)
