"""Parquet files."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from proactrec.data.importing.problems import Problems
from proactrec.data.importing.tables.base import SAMPLE_ROWS, first_line, numbered
from proactrec.errors import DataError


class ParquetTable:
    """A Parquet file; values keep their types."""

    unit = "row"

    def __init__(self, path: Path) -> None:
        self.path, self.notes = path, list[str]()
        self.n_rows: int | None = None
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty")
        self.columns = self._read(
            lambda: pl.scan_parquet(path, glob=False).collect_schema().names()
        )

    def sample(self, columns: Sequence[str]) -> pl.DataFrame:
        """The first rows."""
        scan = pl.scan_parquet(self.path, glob=False).select(columns)
        table: pl.DataFrame = self._read(lambda: scan.head(SAMPLE_ROWS).collect())
        return table

    def batches(self, columns: Sequence[str], problems: Problems) -> Iterator[pl.DataFrame]:
        """All rows."""
        scan = pl.scan_parquet(self.path, glob=False).select(columns)
        rest = numbered(scan, first=1)
        while (batch := self._read(lambda: next(rest, None))) is not None:
            self.n_rows = (self.n_rows or 0) + batch.height
            yield batch

    def _read(self, action: Any) -> Any:
        try:
            return action()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            # Polars panics on some damaged files, which is no Exception.
            raise DataError(f"{self.path} is not a whole Parquet file: {first_line(error)}") from (
                error
            )
