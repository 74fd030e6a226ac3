"""One self-contained HTML page of a benchmark: its tables, plots and settings."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from proactrec.files import write_text
from proactrec.report.benchmark.figures import (
    ORACLES,
    PLACE,
    checked,
    metric_at,
    place_text,
    seeds_text,
)
from proactrec.report.benchmark.paper_table import (
    SIGNIFICANT,
    PaperTable,
    cell_number,
    notes,
    paper_table,
)
from proactrec.report.benchmark.plots import cost_plot, rounds_plot, worlds_heat_map
from proactrec.report.drawing import svg
from proactrec.report.page import settings_text, template

INTERVALS = (
    "Intervals of means over seeds are 95 % Student-t intervals: mean ± t · s / √n, with s the "
    "standard deviation over the n seeds. They cover what differs between seeds, not the choice of "
    "users. With one seed, tables and the plots over rounds have none, and the bars of the other "
    "plots are 95 % bootstrap intervals over users. Round 0 is before guidance."
)
COUNTED = {"dataset": "data set", "method": "method", "seed": "seed"}
HEAT_MAPS = ("ioi", "ior200", "target_accepted")

Place = tuple[str, str, str]
"""Data set, protocol, world."""


class Section(NamedTuple):
    """One dataset, protocol and world; drawings are (SVG, caption)."""

    name: str
    table: PaperTable
    notes: str
    drawings: list[tuple[str, str]]


class Part(NamedTuple):
    """One data set: worlds beside each other, then one by one."""

    dataset: str
    heat_maps: list[str]
    sections: list[Section]


def write_benchmark(
    path: Path,
    figures: pl.DataFrame,
    settings: Mapping[str, Any],
    *,
    significant: Mapping[Place, Collection[tuple[str, str, int]]] | None = None,
    published: Mapping[Place, Mapping[str, Mapping[tuple[str, int], float]]] | None = None,
) -> Path:
    """Write the page and return its path; the file appears whole or not at all.

    Parameters
    ----------
    figures : DataFrame
        The long frame of :mod:`proactrec.report.benchmark.figures`. A plot whose metric is missing
        is left out.
    settings : mapping
        Shown as YAML; may be empty.
    significant, published : mappings from (dataset, protocol, world), optional
        To what :func:`~proactrec.report.benchmark.paper_table.paper_table` takes.
    """
    known = checked(figures)
    places = known.select(PLACE).unique(maintain_order=True).rows()
    parts = [
        Part(
            dataset,
            _heat_maps(known, dataset),
            [
                _section(
                    known,
                    place,
                    (significant or {}).get(place, ()),
                    (published or {}).get(place, {}),
                )
                for place in places
                if place[0] == dataset
            ],
        )
        for dataset in dict.fromkeys(place[0] for place in places)
    ]
    page = template("benchmark.html.j2").render(
        oracles=ORACLES,
        significant=SIGNIFICANT,
        number=cell_number,
        facts=_facts(known),
        intervals=INTERVALS,
        parts=parts,
        settings=settings_text(settings),
    )
    return write_text(path, page)


def _facts(known: pl.DataFrame) -> list[tuple[str, int]]:
    """How many of what."""
    counts = [(name, known[column].n_unique()) for column, name in COUNTED.items()]
    return [(name if count == 1 else f"{name}s", count) for name, count in counts]


def _heat_maps(known: pl.DataFrame, dataset: str) -> list[str]:
    """At the last round; none where there is one world only."""
    here = known.filter(dataset=dataset)
    drawn = []
    for metric in HEAT_MAPS:
        found = here.filter(metric=metric)
        if found.select("protocol", "world").n_unique() > 1:
            last = int(found["round"].max())  # type: ignore[arg-type]
            figure = worlds_heat_map(known, dataset, metric, last)
            drawn.append(svg(figure))
    return drawn


def _section(
    known: pl.DataFrame,
    place: Place,
    significant: Collection[tuple[str, str, int]],
    published: Mapping[str, Mapping[tuple[str, int], float]],
) -> Section:
    table = paper_table(known, *place, significant=significant, published=published)
    return Section(place_text(*place), table, notes(table), _drawings(known, place))


def _drawings(known: pl.DataFrame, place: Place) -> list[tuple[str, str]]:
    """The plots whose metrics are there."""
    found = known.filter(**dict(zip(PLACE, place, strict=True)))
    starts = set(found.filter(round=0)["metric"])
    seconds = set(found.filter(metric="guidance_seconds")["method"])
    drawn = []
    for metric, what in (
        ("accepted", "Share of pairs whose user has accepted the target by the round."),
        ("interest", "Mean gain in interest in the target since round 0, over all pairs."),
        ("rank", "Mean ranks that the target rose since round 0, over all pairs; not cut."),
    ):
        if metric in starts:
            figure = rounds_plot(known, *place, metric)
            drawn.append((svg(figure), f"{what} Dashed: {ORACLES}."))
    ioi = found.filter(metric="ioi")
    if seconds & set(ioi["method"]):
        figure = cost_plot(known, *place)
        last = metric_at("ioi", int(ioi["round"].max()))  # type: ignore[arg-type]
        seeds = seeds_text(*[ioi["seed"].n_unique()] * 2)
        drawn.append((svg(figure), f"{last} by the time that guidance took, {seeds}."))
    return drawn
