"""Command-line options that several commands share, and the data set that they name."""

from pathlib import Path
from typing import Annotated

import typer

from proactrec.data.imported import is_import
from proactrec.data.load import DATA_DIR_VARIABLE, NAMES, OWN_FILES, DatasetOptions
from proactrec.data.sources.table import TableOptions
from proactrec.errors import InvalidInputError
from proactrec.types import FilterName

_OWN = f"Own files (--dataset {', '.join(OWN_FILES)})"

DatasetName = Annotated[
    str,
    typer.Option(
        "--dataset",
        help=f"Data set: {', '.join(NAMES)}, or the folder of an import.",
        show_default=True,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar=DATA_DIR_VARIABLE,
        help="Folder that holds one folder for each data set, e.g. ROOT/ml-100k/u.data.",
    ),
]
Filter = Annotated[
    FilterName,
    typer.Option(
        "--filter",
        help="Which users and items are kept: all that have k interactions (k-core), the same "
        "less the most popular ones as in the published tables (paper), or every one (none).",
    ),
]
K = Annotated[int, typer.Option("--k", min=1, help="Fewest interactions of a user or an item.")]
Events = Annotated[
    Path | None,
    typer.Option(
        "--events",
        help="Events: .csv, .tsv (also .gz) or .parquet; for recbole the .inter file.",
        rich_help_panel=_OWN,
    ),
]
Items = Annotated[
    Path | None,
    typer.Option(
        "--items",
        help="Titles and categories of items; for recbole the .item file.",
        rich_help_panel=_OWN,
    ),
]
UserColumn = Annotated[
    str, typer.Option("--user-column", help="Column of user ids.", rich_help_panel=_OWN)
]
ItemColumn = Annotated[
    str, typer.Option("--item-column", help="Column of item ids.", rich_help_panel=_OWN)
]
TimeColumn = Annotated[
    str,
    typer.Option(
        "--time-column",
        help="Column of times: numbers or ISO 8601. '' if the rows are in time order.",
        rich_help_panel=_OWN,
    ),
]
TitleColumn = Annotated[
    str,
    typer.Option(
        "--title-column", help="Column of titles. '' if there is none.", rich_help_panel=_OWN
    ),
]
CategoryColumn = Annotated[
    str,
    typer.Option(
        "--category-column",
        help="Column of categories. '' if there is none.",
        rich_help_panel=_OWN,
    ),
]
ColdItems = Annotated[
    bool,
    typer.Option(
        "--cold-items",
        help="Keep items of the catalogue that have no interactions left; they are placed by "
        "title, text and categories.",
    ),
]
CategorySeparator = Annotated[
    str,
    typer.Option(
        "--category-separator",
        help="What stands between two categories of an item.",
        rich_help_panel=_OWN,
    ),
]


def dataset_options(
    *,
    dataset: str,
    filter: FilterName,
    k: int,
    events: Path | None,
    items: Path | None,
    user_column: str,
    item_column: str,
    time_column: str,
    title_column: str,
    category_column: str,
    category_separator: str,
    cold_items: bool = False,
) -> DatasetOptions:
    """The options of :func:`proactrec.data.load.load`, from the command line's.

    An empty `time_column`, `title_column` or `category_column` means that there is none.

    Raises
    ------
    InvalidInputError
        If an option breaks its rule, or items come without events.
    """
    if events is None:
        if items is not None:
            raise InvalidInputError(f"--items needs --events, got only --items {items}")
        if dataset not in NAMES and is_import(
            dataset
        ):  # absolute, so that a run's settings hold wherever they are read
            dataset = str(Path(dataset).absolute())
        return DatasetOptions(name=dataset, filter=filter, k=k, cold_items=cold_items)
    # Absolute, so that a run's settings hold wherever they are read again.
    table = TableOptions(
        events=events.absolute(),
        items=items.absolute() if items else None,
        user_column=user_column,
        item_column=item_column,
        time_column=time_column or None,
        title_column=title_column or None,
        category_column=category_column or None,
        category_separator=category_separator,
    )
    return DatasetOptions(name=dataset, filter=filter, k=k, cold_items=cold_items, table=table)
