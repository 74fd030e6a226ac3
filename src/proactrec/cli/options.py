"""Command-line options that several commands share, and the data set that they name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from proactrec.cli.flags import flags_of, given, naming, nested
from proactrec.data.imported import is_import
from proactrec.data.load import DATA_DIR_VARIABLE, NAMES, OWN_FILES, DatasetOptions
from proactrec.errors import InvalidInputError

OWN, COUNTS = f"Own files (--dataset {', '.join(OWN_FILES)})", "What counts"
DATA = {
    **flags_of(DatasetOptions, None, "filter", "k", "cold_items", dataset="name"),
    **flags_of(
        DatasetOptions,
        OWN,
        "table.events",
        "table.items",
        "table.user_column",
        "table.item_column",
        "table.time_column",
        "table.title_column",
        "table.category_column",
        "table.category_separator",
        "table.rating_column",
    ),
    **flags_of(
        DatasetOptions,
        COUNTS,
        "selection.repeats",
        "selection.min_rating",
        "selection.since",
        "selection.until",
        "selection.only_categorised",
        "selection.max_per_user",
        "selection.min_length",
        "categories.merge_spellings",
        category_source="categories.source",
        top_categories="categories.top",
        min_category_size="categories.min_items",
    ),
}
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar=DATA_DIR_VARIABLE,
        help="Folder that holds one folder for each data set, e.g. ROOT/ml-100k/u.data.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")
]
GuideFolder = Annotated[Path, typer.Argument(metavar="GUIDE", help="Folder of a guide.")]


def dataset_options(values: Mapping[str, Any]) -> DatasetOptions:
    """The options of :func:`proactrec.data.load.load`, from the values of the flags :data:`DATA`.

    Raises
    ------
    InvalidInputError
        If an option breaks its rule, or items come without events.
    """
    content = nested(given(DATA, values))
    name, table = content.get("name"), content.get("table")
    if values.get("events") is None:
        if values.get("items") is not None:
            raise InvalidInputError(f"--items needs --events, got only --items {values['items']}")
        content.pop("table", None)
        table = None
    # Absolute, so that a run's settings hold wherever they are read again.
    if table is not None:
        files = {part: table[part].absolute() for part in ("events", "items") if part in table}
        content["table"] = table | files
    elif name is not None and name not in NAMES and is_import(name):
        content["name"] = str(Path(name).absolute())
    with naming(DATA, values):
        return DatasetOptions(**content)
