"""Figures that ITMPRec's paper printed (Lian, Song & Ge, WWW '25, Tables 3 and 4)."""

from importlib.resources import files

import polars as pl


def published_figures(dataset: str) -> dict[str, dict[tuple[str, int], float]]:
    """By method, then by metric and round: hr, ioi and ior at 5, 10, 15 and 20, where printed."""
    path = files("proactrec.report").joinpath("published.csv")
    table = pl.read_csv(path.read_bytes()).filter(pl.col("dataset") == dataset)
    return {
        row["method"]: {
            (name.split("@")[0], int(name.split("@")[1])): float(value)
            for name, value in row.items()
            if "@" in name and value is not None
        }
        for row in table.iter_rows(named=True)
    }
