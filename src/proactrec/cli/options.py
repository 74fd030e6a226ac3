"""Command-line options that several commands share, and the data set that they name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from proactrec.cli.flags import flags_of, given, naming, nested
from proactrec.data.imported import is_import
from proactrec.data.load import DATA_DIR_VARIABLE, NAMES, OWN_FILES, DatasetOptions
from proactrec.data.selection import SelectionOptions
from proactrec.data.sources.table import TableOptions
from proactrec.errors import InvalidInputError
from proactrec.names import spelled, unknown
from proactrec.worth import Worth

OWN, COUNTS = f"Own files (--dataset {', '.join(OWN_FILES)})", "What counts"
DATA = {
    **flags_of(DatasetOptions, None, dataset="name"),
    **flags_of(DatasetOptions, None, "filter", "k", "cold_items"),
    **flags_of(DatasetOptions, OWN, *(f"table.{field}" for field in TableOptions.model_fields)),
    **flags_of(
        DatasetOptions,
        COUNTS,
        *(f"selection.{field}" for field in SelectionOptions.model_fields),
        "categories.merge_spellings",
        category_source="categories.source",
        top_categories="categories.top",
        min_category_size="categories.min_items",
        category_depth="categories.depth",
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
NamedWorth = Annotated[
    str | None,
    typer.Option(
        help=f"What guidance is for, of a policy that weighs it (foresight): "
        f"{', '.join(Worth.named)}; other values by --set policy_options.worth.target=2 and the "
        "like. By default what the protocol or the policy has."
    ),
]
GuideFolder = Annotated[Path, typer.Argument(metavar="GUIDE", help="Folder of a guide.")]
WHO = "Whom and where to"
Targets = Annotated[
    list[str] | None,
    typer.Option(help="Id of an item to lead users to; repeatable.", rich_help_panel=WHO),
]
Category = Annotated[
    str | None,
    typer.Option(
        help="Lead every user to the item of this category that suits best.", rich_help_panel=WHO
    ),
]
OptOut = Annotated[
    Path | None,
    typer.Option(help="File of user ids, one a line, who are never guided.", rich_help_panel=WHO),
]
Rounds = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Rounds that a journey has. If not given, nobody knows how many there will be: users "
        "are led as long as they come.",
        rich_help_panel=WHO,
    ),
]
GuideSeed = Annotated[
    int | None,
    typer.Option(min=0, help="Draws plain rounds; the guide's own if not given."),
]


def check_goal(target: list[str] | None, category: str | None) -> None:
    """Raise :class:`InvalidInputError` unless it is said where to, in one way."""
    if bool(target) == (category is not None):
        raise InvalidInputError("give --target or --category, one of them")


def dataset_options(values: Mapping[str, Any]) -> DatasetOptions:
    """The options of :func:`proactrec.data.load.load`, from the values of the flags :data:`DATA`.

    Raises
    ------
    InvalidInputError
        If an option breaks its rule, or items come without events.
    """
    content = nested(given(DATA, values))
    # Absolute, so that a run's settings hold wherever they are read again.
    files = {part: values[part].absolute() for part in ("events", "items") if values.get(part)}
    if files.keys() == {"items"}:
        raise InvalidInputError(f"--items needs --events, got only --items {values['items']}")
    name = content["name"] = spelled(values["dataset"], NAMES)
    if files:
        content["table"] |= files
    else:
        content.pop("table", None)
        if name not in NAMES and is_import(name):
            content["name"] = str(Path(name).absolute())
    with naming(DATA, values):
        return DatasetOptions(**content)


def named_worth(name: str | None, setting: str) -> dict[str, Any]:
    """A setting that is a worth with a name; none if there is no name."""
    if name is None:
        return {}
    found = Worth.named.get(spelled(name, Worth.named))
    if found is None:
        raise unknown("worth", name, Worth.named)
    return {setting: found.model_dump()}
