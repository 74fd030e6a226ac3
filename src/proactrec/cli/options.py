"""Command-line options that several commands share, and the data set that they name."""

import inspect
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from proactrec.data.categories import CategoryOptions
from proactrec.data.imported import is_import
from proactrec.data.load import DATA_DIR_VARIABLE, NAMES, OWN_FILES, DatasetOptions
from proactrec.data.selection import SelectionOptions
from proactrec.data.sources.table import TableOptions
from proactrec.errors import InvalidInputError
from proactrec.types import FilterName, Repeats

CommandT = TypeVar("CommandT", bound=Callable[..., Any])
_OWN = f"Own files (--dataset {', '.join(OWN_FILES)})"
_COUNTS = "What counts"

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
        help="Events: .csv, .tsv, .jsonl (also .gz) or .parquet; for recbole the .inter file.",
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
RatingColumn = Annotated[
    str,
    typer.Option(
        "--rating-column", help="Column of ratings, for --min-rating.", rich_help_panel=_OWN
    ),
]
RepeatsRule = Annotated[
    Repeats,
    typer.Option(
        "--repeats",
        help="Which row of a repeated (user, item) pair counts, or refuse such a file.",
        rich_help_panel=_COUNTS,
    ),
]
MinRating = Annotated[
    float | None,
    typer.Option("--min-rating", help="Lowest rating that counts.", rich_help_panel=_COUNTS),
]
Since = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        formats=["%Y-%m-%d"],
        help="First day that counts, in UTC.",
        rich_help_panel=_COUNTS,
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(
        "--until",
        formats=["%Y-%m-%d"],
        help="Last day that counts, in UTC.",
        rich_help_panel=_COUNTS,
    ),
]
OnlyCategorised = Annotated[
    bool,
    typer.Option(
        "--only-categorised",
        help="Leave out items that have no category.",
        rich_help_panel=_COUNTS,
    ),
]
MaxPerUser = Annotated[
    int | None,
    typer.Option(
        "--max-per-user",
        min=1,
        help="Newest interactions of a user that count.",
        rich_help_panel=_COUNTS,
    ),
]
MinLength = Annotated[
    int | None,
    typer.Option(
        "--min-length",
        min=1,
        help="Fewest interactions of a user after all filters.",
        rich_help_panel=_COUNTS,
    ),
]
CategorySource = Annotated[
    str | None,
    typer.Option(
        "--category-source",
        help="What a published set's categories are made of, e.g. genres, tags, developer.",
        rich_help_panel=_COUNTS,
    ),
]
TopCategories = Annotated[
    int | None,
    typer.Option(
        "--top-categories",
        min=1,
        help="How many of the largest categories are kept.",
        rich_help_panel=_COUNTS,
    ),
]
MinCategorySize = Annotated[
    int | None,
    typer.Option(
        "--min-category-size",
        min=1,
        help="Fewest items of a category that is kept.",
        rich_help_panel=_COUNTS,
    ),
]
MergeSpellings = Annotated[
    bool,
    typer.Option(
        "--merge-spellings",
        help="Treat categories as one that differ in case, spaces and marks only.",
        rich_help_panel=_COUNTS,
    ),
]


def dataset_options(
    *,
    dataset: DatasetName = "demo",
    filter: Filter = "k-core",
    k: K = 5,
    cold_items: ColdItems = False,
    events: Events = None,
    items: Items = None,
    user_column: UserColumn = "user_id",
    item_column: ItemColumn = "item_id",
    time_column: TimeColumn = "timestamp",
    title_column: TitleColumn = "title",
    category_column: CategoryColumn = "categories",
    category_separator: CategorySeparator = "|",
    rating_column: RatingColumn = "",
    repeats: RepeatsRule = "earliest",
    min_rating: MinRating = None,
    since: Since = None,
    until: Until = None,
    only_categorised: OnlyCategorised = False,
    max_per_user: MaxPerUser = None,
    min_length: MinLength = None,
    category_source: CategorySource = None,
    top_categories: TopCategories = None,
    min_category_size: MinCategorySize = None,
    merge_spellings: MergeSpellings = False,
) -> DatasetOptions:
    """The options of :func:`proactrec.data.load.load`, from the command line's.

    An empty `time_column`, `title_column`, `category_column` or `rating_column` means that there is
    none. Selection and categories are None where all is as by default.

    Raises
    ------
    InvalidInputError
        If an option breaks its rule, or items come without events.
    """
    selection = SelectionOptions(
        repeats=repeats,
        min_rating=min_rating,
        since=since and since.date(),
        until=until and until.date(),
        only_categorised=only_categorised,
        max_per_user=max_per_user,
        min_length=min_length,
    )
    categories = CategoryOptions(
        source=category_source,
        top=top_categories,
        min_items=min_category_size,
        merge_spellings=merge_spellings,
    )
    table = None
    # Absolute, so that a run's settings hold wherever they are read again.
    if events is not None:
        table = TableOptions(
            events=events.absolute(),
            items=items.absolute() if items else None,
            user_column=user_column,
            item_column=item_column,
            time_column=time_column or None,
            title_column=title_column or None,
            category_column=category_column or None,
            category_separator=category_separator,
            rating_column=rating_column or None,
        )
    elif items is not None:
        raise InvalidInputError(f"--items needs --events, got only --items {items}")
    elif dataset not in NAMES and is_import(dataset):
        dataset = str(Path(dataset).absolute())
    return DatasetOptions(
        name=dataset,
        filter=filter,
        k=k,
        cold_items=cold_items,
        table=table,
        selection=None if selection == SelectionOptions() else selection,
        categories=None if categories == CategoryOptions() else categories,
    )


def takes_options_of(source: Callable[..., Any]) -> Callable[[CommandT], CommandT]:
    """Give a command that takes ``**rest`` the options of `source` that it does not name."""

    def given(command: CommandT) -> CommandT:
        named = inspect.signature(command).parameters
        own = [p for p in named.values() if p.kind is not p.VAR_KEYWORD]
        offered = inspect.signature(source, eval_str=True).parameters
        rest = [p for n, p in offered.items() if n not in named and p.default is not p.empty]
        taken = [*own, *(p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in rest)]
        command.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in taken}
        return command

    return given


takes_dataset_options = takes_options_of(dataset_options)
