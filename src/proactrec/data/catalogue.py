"""What there is to recommend: item ids, titles and categories, checked once."""

from dataclasses import dataclass

import polars as pl

from proactrec.data.interactions import check_columns
from proactrec.errors import DataError

COLUMNS: dict[str, type[pl.DataType]] = {
    "item_id": pl.String,
    "title": pl.String,
    "categories": pl.List,
}


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Items by id; cannot be built invalid.

    Parameters
    ----------
    table : polars.DataFrame
        Columns `item_id` (String, unique), `title` (String, empty where there is none) and
        `categories` (List(String), may be empty lists). A column `text` (String) may hold
        descriptions.

    Raises
    ------
    DataError
        If there is no row, a column is missing, of another type or has nulls, or an id occurs
        twice.
    """

    table: pl.DataFrame

    def __post_init__(self) -> None:
        check_columns(self.table, COLUMNS, what="catalogue items")
        ids = self.table["item_id"]
        repeated = ids.filter(ids.is_duplicated()).unique(maintain_order=True)
        if repeated.len():
            raise DataError(
                f"catalogue ids must be unique; {repeated.len()} occur more than once, "
                f"first {repeated.head(3).to_list()}"
            )
