"""The figures of a benchmark, a long frame, and the words for them.

Everywhere in :mod:`proactrec.report.benchmark`, `figures` is that frame: one row per dataset,
protocol, world, method, seed, metric and round (:data:`COLUMNS`).
"""

import re

import polars as pl

from proactrec.errors import InvalidInputError
from proactrec.measurement.student import T_975
from proactrec.report.tables import LABELS

PLACE = ("dataset", "protocol", "world")
COLUMNS = (*PLACE, "method", "is_oracle", "seed", "metric", "round", "mean", "low", "high")
ONE_FIGURE = (*PLACE, "method", "metric", "round")
ORACLES = "reads the users’ minds"
"""Heads the block of the oracles, wherever they are shown."""
HEADS = {
    **LABELS,
    "ior200": "IoR (cut 200)",
    "rounds_to_target": "rounds to target",
}


def head(metric: str) -> str:
    """Display label of a metric in a benchmark."""
    return HEADS.get(metric, metric.replace("_", " "))


def metric_at(metric: str, round: int) -> str:
    """Display label with the round, e.g. ``IoI@20`` or ``IoR@20 (cut 200)``."""
    name, bracket, note = head(metric).partition(" (")
    return f"{name}@{round}{bracket}{note}"


def place_text(dataset: str, protocol: str, world: str) -> str:
    """Where figures are from, e.g. ``ml-100k, protocol common, world medium``."""
    parts = [dataset, f"protocol {protocol}", *([f"world {world}"] if world != protocol else [])]
    return ", ".join(parts)


def file_name(dataset: str, protocol: str, world: str) -> str:
    """Name of a place's files, e.g. ``ml-100k-common-steep-per-user``."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join([dataset, protocol, world]).lower())


def seeds_text(fewest: int, most: int) -> str:
    """How many seeds a mean is over, e.g. ``3 seeds`` or ``2 to 3 seeds``."""
    return f"{fewest} to {most} seeds" if fewest < most else f"{most} seed{'s' * (most > 1)}"


def checked(figures: pl.DataFrame) -> pl.DataFrame:
    """The frame without rows that lack a mean.

    Raises
    ------
    InvalidInputError
        If a column is missing, nothing is left, or a seed's figure is there twice.
    """
    missing = [name for name in COLUMNS if name not in figures.columns]
    if missing:
        raise InvalidInputError(
            f"figures must have the columns {', '.join(COLUMNS)}; {', '.join(missing)} not found"
        )
    known = figures.filter(pl.col("mean").is_finite())
    if known.is_empty():
        raise InvalidInputError("figures must hold at least one mean, got none")
    twice = known.filter(known.select(*ONE_FIGURE, "seed").is_duplicated())
    if not twice.is_empty():
        first = ", ".join(str(value) for value in twice.select(*ONE_FIGURE, "seed").row(0))
        raise InvalidInputError(f"figures must hold each seed's figure once; twice: {first}")
    return known


def at_place(figures: pl.DataFrame, dataset: str, protocol: str, world: str) -> pl.DataFrame:
    """Figures of one dataset, protocol and world; InvalidInputError where there are none."""
    known = checked(figures)
    found = known.filter(dataset=dataset, protocol=protocol, world=world)
    if found.is_empty():
        places = known.select(PLACE).unique(maintain_order=True).rows()
        raise InvalidInputError(
            f"figures must hold {place_text(dataset, protocol, world)}; found: "
            + "; ".join(place_text(*place) for place in places)
        )
    return found


def over_seeds(figures: pl.DataFrame) -> pl.DataFrame:
    """Mean over seeds with a 95 % interval, in order of first appearance.

    Returns
    -------
    DataFrame
        One row per dataset, protocol, world, method, metric and round, with `is_oracle`, `mean`,
        `half_width` (Student's t over seeds; null with one seed), `n_seeds`, and `low` and `high`:
        the ends of that interval, or with one seed those that came with it (over users).
        Seeds whose mean is null or NaN are left out.
    """
    t_of = {n + 2: t for n, t in enumerate(T_975)}
    n_seeds, half_width = pl.col("n_seeds"), pl.col("half_width")
    t = n_seeds.replace_strict(t_of, default=1.96, return_dtype=pl.Float64)
    return (
        checked(figures)
        .group_by(ONE_FIGURE, maintain_order=True)
        .agg(
            pl.col("is_oracle").first(),
            pl.col("mean").mean(),
            (pl.col("mean").std() / pl.len().sqrt()).alias("half_width"),
            pl.len().cast(pl.Int64).alias("n_seeds"),
            pl.col("low", "high").cast(pl.Float64).first(),
        )
        .with_columns(half_width * t)
        .with_columns(
            pl.when(n_seeds == 1).then("low").otherwise(pl.col("mean") - half_width).alias("low"),
            pl.when(n_seeds == 1).then("high").otherwise(pl.col("mean") + half_width).alias("high"),
        )
    )


def rank_metric(protocol: str) -> str:
    """IoR with ranks cut at 200: `official` cuts all of its ranks there."""
    return "ior" if protocol == "official" else "ior200"
