"""One door to every data set: by its name, from a folder or from the user's own files."""

import os
from functools import cache
from pathlib import Path
from typing import ClassVar

import polars as pl
from pydantic import Field

from proactrec.config import Options
from proactrec.data import imported
from proactrec.data.catalogue import Catalogue
from proactrec.data.categories import CategoryOptions, choose_categories
from proactrec.data.dataset import MIN_SPLIT_LENGTH, Dataset
from proactrec.data.filters import filter_interactions
from proactrec.data.interactions import Interactions, Removal, removal
from proactrec.data.selection import SelectionOptions, select_events
from proactrec.data.sources import SOURCES, recbole, table
from proactrec.data.sources.table import TableOptions
from proactrec.data.synthetic import demo_world
from proactrec.errors import DataError, InvalidInputError
from proactrec.names import unknown
from proactrec.types import FilterName, Repeats

DATA_DIR_VARIABLE = "PROACTREC_DATA"
OWN_FILES = ("csv", "parquet", "jsonl", "recbole")
NAMES = ("demo", *SOURCES, *OWN_FILES)


class DatasetOptions(Options):
    """Which data set, and what is left out of it."""

    later_fields: ClassVar[frozenset[str]] = frozenset({"selection", "categories", "cold_items"})

    name: str = Field(
        default="demo", description=f"data set: {', '.join(NAMES)}, or the folder of an import"
    )
    filter: FilterName = Field(
        default="k-core",
        description="which users and items are kept: all that have k interactions (k-core), the "
        "same less the most popular ones as in the published tables (paper), or every one (none)",
    )
    k: int = Field(default=5, ge=1, description="fewest interactions of a user or an item")
    cold_items: bool = Field(
        default=False,
        description="keep items of the catalogue that have no interactions left; they are placed "
        "by title, text and categories",
    )
    table: TableOptions | None = Field(
        default=None, description="own files, for csv, parquet, jsonl, recbole"
    )
    selection: SelectionOptions | None = Field(
        default=None, description="which events count, before the filter"
    )
    categories: CategoryOptions | None = Field(
        default=None, description="what becomes a category, instead of what the source says"
    )


def load_dataset(
    name: str = "demo",
    *,
    data_dir: Path | str | None = None,
    filter: FilterName = "k-core",
    k: int = 5,
    table: TableOptions | None = None,
    selection: SelectionOptions | None = None,
    categories: CategoryOptions | None = None,
    cold_items: bool = False,
) -> Dataset:
    """The data set of a name, filtered, indexed and split.

    Parameters
    ----------
    name : str
        The folder of an import, or a name: "demo" is made on the spot. Published sets
        (:data:`proactrec.data.sources.SOURCES`) are read from their folder in `data_dir`. "csv",
        "parquet" and "jsonl" read the files in `table`; "recbole" too, or else the folder `recbole`
        in `data_dir`.
    data_dir : path, optional
        By default the environment variable PROACTREC_DATA.
    filter : {"k-core", "paper", "none"}
        See :func:`proactrec.data.filters.filter_interactions`.
    k, table, selection, categories, cold_items
        As in :class:`DatasetOptions`.

    Raises
    ------
    UnknownIdError
        If there is no data set of that name.
    InvalidInputError
        If a folder or file is missing, or an option breaks its rule.
    DataError
        If the data cannot be used, or fewer than two users, fewer than two items, or no user with
        three items is left.
    """
    options = DatasetOptions(
        name=name,
        filter=filter,
        k=k,
        table=table,
        selection=selection,
        categories=categories,
        cold_items=cold_items,
    )
    return load(options, data_dir=data_dir)


def load(options: DatasetOptions, *, data_dir: Path | str | None = None) -> Dataset:
    """As :func:`load_dataset`, from options."""
    selection = options.selection or SelectionOptions()
    interactions, catalogue = _read(options, selection.repeats, data_dir)
    if options.categories is not None:
        catalogue = choose_categories(catalogue, interactions, options.categories)
    selected, removed = select_events(interactions, catalogue, selection)
    if options.filter == "paper":
        # As in the published counts: Last.fm has artists without a name.
        titled = catalogue.table.filter(pl.col("title") != "")
        events = selected.table.join(titled, on="item_id", how="semi", maintain_order="left")
        rule = "leaving out items without a title"
        selected = _noted(selected, Interactions(events), rule, removed)
    rule, kept = _filtered(selected, options, selection.min_length or 1)
    _noted(selected, kept, rule, removed)
    dataset = Dataset.build(options.name, kept, catalogue, removed, keep_cold=options.cold_items)
    _check_usable(dataset, options)
    return dataset


def _filtered(
    interactions: Interactions, options: DatasetOptions, min_length: int
) -> tuple[str, Interactions]:
    """What the filter leaves, and that again until all users have enough; the rule in words."""
    rule = f"the {options.filter} filter with k={options.k}"
    if min_length > 1:
        rule = f"{rule} and at least {min_length} of each user"
    while True:
        kept = filter_interactions(interactions, options.filter, options.k)
        enough = kept.table.filter(pl.len().over("user_id") >= min_length)
        if enough.height == kept.table.height:
            return rule, kept
        if enough.height == 0:
            raise DataError(f"{rule} leaves none of {len(interactions)} interactions")
        interactions = Interactions(enough)


def _noted(
    before: Interactions, after: Interactions, rule: str, removed: list[Removal]
) -> Interactions:
    if len(after) < len(before):
        removed.append(removal(rule, before.table, after.table))
    return after


def _read(
    options: DatasetOptions, repeats: Repeats, data_dir: Path | str | None
) -> tuple[Interactions, Catalogue]:
    if options.name not in NAMES and options.table is None and imported.is_import(options.name):
        return imported.load(Path(options.name))
    if options.name not in NAMES:
        folders = ", and folders that `proactrec data import` wrote"
        raise unknown("data set", options.name, NAMES, folders)
    if options.table is not None and options.name not in OWN_FILES:
        raise InvalidInputError(
            f"own files go with the data sets {', '.join(OWN_FILES)}, not with {options.name!r}"
        )
    if options.name == "demo":
        return _demo()
    if options.name in SOURCES:
        source = SOURCES[options.name]
        folder = _folder(options.name, data_dir, source.files, source.folder)
        return source.load(folder, repeats)
    if options.name == "recbole":
        if options.table is None:
            return recbole.load(_folder("recbole", data_dir, ("one .inter file",)), repeats=repeats)
        return recbole.load(options.table.events, options.table.items, repeats)
    if options.table is None:
        raise InvalidInputError(
            f"data set {options.name!r} needs an events file: --events FILE, or "
            "table=TableOptions(events=...)"
        )
    return table.load(options.table, repeats)


@cache
def _demo() -> tuple[Interactions, Catalogue]:
    """The demo world, made once in a process: a benchmark asks for it several times a cell."""
    return demo_world()


def _folder(
    name: str, data_dir: Path | str | None, files: tuple[str, ...], place: str | None = None
) -> Path:
    place = place or name
    expected = f"with the folder {place} in it, holding {', '.join(files)}"
    root = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if not root:
        raise InvalidInputError(
            f"data set {name!r} needs a data folder {expected}: "
            f"give --data-dir ROOT or set {DATA_DIR_VARIABLE}"
        )
    folder = Path(root) / place
    if not folder.is_dir():
        fetch = f"; proactrec data download {name} says how to get it" if name in SOURCES else ""
        raise InvalidInputError(
            f"{folder} is no folder; the data folder must come {expected}{fetch}"
        )
    return folder


def _check_usable(dataset: Dataset, options: DatasetOptions) -> None:
    longest = int(dataset.histories.lengths.max())
    if dataset.n_users < 2 or dataset.n_items < 2 or longest < MIN_SPLIT_LENGTH:
        raise DataError(
            f"data set {dataset.name!r} needs at least 2 users, 2 items and one user with "
            f"{MIN_SPLIT_LENGTH} items; filter {options.filter!r} with k={options.k} leaves "
            f"{dataset.n_users} users, {dataset.n_items} items and at most {longest} per user"
        )
