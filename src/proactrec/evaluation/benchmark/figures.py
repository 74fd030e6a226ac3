"""The figures of a benchmark as one long table."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from proactrec.evaluation.benchmark.grid import Cell

TRAINED = ("interest", "encoder", "intents", "irn", "belief")
"""Stages that a method trains before it guides."""
REFERENCE = "oracle-lookahead"
"""Whose increase of interest the others' is a share of."""


def figures_table(cells: Sequence[Cell], results: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """All figures, one row per cell, metric and round.

    Columns: dataset, protocol, world, method, is_oracle, seed, metric, round, mean, low, high.
    Metrics are those of `metrics.json`; interest and rank at every round; and at the last round
    target_accepted, coverage, category_entropy, guidance_seconds, training_seconds and
    share_of_oracle (of the increase of interest of :class:`OracleLookahead`).
    """
    rows = []
    for cell, result in zip(cells, results, strict=True):
        name = {
            "dataset": result["dataset"],
            "protocol": result["protocol"],
            "world": cell.world,
            "method": cell.method,
            "is_oracle": result["reads_hidden_users"],
            "seed": result["seed"],
        }
        rows += [{**name, **figure} for figure in _figures(result)]
    schema = {"mean": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    table = pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
    return pl.concat([table, _shares_of_oracle(table)])


def _figures(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for metric, by_round in result["metrics"].items():
        for number, estimate in by_round.items():
            yield {"metric": metric, "round": int(number), **estimate}
    for metric, values in result["curves"].items():
        for number, value in enumerate(values):
            yield {"metric": metric, "round": number, "mean": value, "low": None, "high": None}
    last = len(result["curves"]["interest"]) - 1
    seconds = dict(result["seconds"])
    outcomes = ("target_accepted", "category_entropy", "coverage")
    single = {name: dict(result["outcome"][name]) for name in outcomes}
    single["guidance_seconds"] = {"mean": seconds.get("guidance", 0.0)}
    training = sum(seconds.get(kind, 0.0) for kind in TRAINED)
    single["training_seconds"] = {"mean": training}
    for metric, value in single.items():
        bounds = {end: value.get(end) for end in ("low", "high")}
        yield {"metric": metric, "round": last, "mean": value["mean"], **bounds}


def _shares_of_oracle(table: pl.DataFrame) -> pl.DataFrame:
    """Increase of interest at the last round as a share of the reference oracle's."""
    keys = ["dataset", "protocol", "world", "seed"]
    interest = table.filter(pl.col("metric") == "interest").sort("round")
    gain = interest.group_by([*keys, "method", "is_oracle"], maintain_order=True).agg(
        pl.col("round").last(), (pl.col("mean").last() - pl.col("mean").first()).alias("gain")
    )
    best = gain.filter(pl.col("method") == REFERENCE).select(*keys, pl.col("gain").alias("best"))
    shares = gain.join(best, on=keys).filter(pl.col("best") > 0)
    return shares.select(
        *keys[:3],
        "method",
        "is_oracle",
        "seed",
        pl.lit("share_of_oracle").alias("metric"),
        "round",
        (pl.col("gain") / pl.col("best")).alias("mean"),
        pl.lit(None, pl.Float64).alias("low"),
        pl.lit(None, pl.Float64).alias("high"),
    )
