"""The figures of a benchmark as one long table."""

from collections.abc import Iterator, Sequence

import polars as pl

from proactrec.measurement.results import CellResult, Figure

TRAINED = (
    *("interest", "encoder", "intents", "irn", "belief"),
    *("prorl-judge", "prorl-start", "prorl"),
)
"""Stages that a method trains before it guides."""
REFERENCE = "oracle-lookahead"
"""Whose increase of interest the others' is a share of."""


def figures_table(cells: Sequence[CellResult]) -> pl.DataFrame:
    """All figures, one row per cell, metric and round.

    Columns: dataset, protocol, world, method, is_oracle, seed, metric, round, mean, low, high.
    Metrics are those of `metrics.json`; interest, rank and share of targets `accepted` at every
    round; and at the last round target_accepted, coverage, category_entropy, guidance_seconds,
    training_seconds and share_of_oracle (of the increase of interest of :class:`OracleLookahead`).
    """
    rows = [
        {
            "dataset": cell.dataset,
            "protocol": cell.protocol,
            "world": cell.world,
            "method": cell.method,
            "is_oracle": cell.reads_hidden_users,
            "seed": cell.seed,
            "metric": metric,
            "round": number,
            "mean": figure.mean,
            "low": figure.low,
            "high": figure.high,
        }
        for cell in cells
        for metric, number, figure in _figures(cell)
    ]
    schema = {"mean": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    table = pl.DataFrame(rows, schema_overrides=schema, infer_schema_length=None)
    return pl.concat([table, _shares_of_oracle(table)], how="diagonal")


def _figures(cell: CellResult) -> Iterator[tuple[str, int, Figure]]:
    """Metric, round and figure."""
    for metric, by_round in cell.metrics.items():
        for number, figure in by_round.items():
            yield metric, number, figure
    for metric, values in cell.curves.items():
        for number, value in enumerate(values):
            yield metric, number, Figure(mean=value)
    last = len(cell.curves["interest"]) - 1
    for outcome in ("target_accepted", "category_entropy", "coverage"):
        if last not in cell.metrics.get(outcome, {}):
            yield outcome, last, cell.outcome[outcome]
    yield "guidance_seconds", last, Figure(mean=cell.seconds.get("guidance", 0.0))
    training = sum(cell.seconds.get(kind, 0.0) for kind in TRAINED)
    yield "training_seconds", last, Figure(mean=training)


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
        *keys,
        "method",
        "is_oracle",
        "round",
        metric=pl.lit("share_of_oracle"),
        mean=pl.col("gain") / pl.col("best"),
    )
