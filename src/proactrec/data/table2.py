"""The paper's Table 2 beside the data sets at hand, and where its figures contradict each other."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from proactrec.data.describe import describe
from proactrec.data.load import DATA_DIR_VARIABLE, load_dataset
from proactrec.data.sources import SOURCES
from proactrec.errors import DataError, InvalidInputError
from proactrec.types import FilterName


class Published(NamedTuple):
    """A row of the paper's table."""

    n_users: int
    n_items: int
    n_interactions: int
    density: float
    mean_length: float


PUBLISHED = {
    "ml-100k": Published(943, 1_348, 98_704, 0.077649, 104.67),
    "lastfm": Published(945, 2_782, 246_368, 0.093712, 36.78),
    "steam": Published(12_611, 2_017, 220_100, 0.009686, 19.54),
    "douban-movie": Published(2_623, 20_527, 1_161_110, 0.021565, 442.66),
}
OTHERS = ("steam-australia", "steam-200k", "movietweetings")
"""Sets without a published row: two stand where Steam's large file cannot be had."""
FILTERS: tuple[FilterName, ...] = ("paper", "k-core", "none")

QUIRKS = {
    "ml-100k": "The filter `paper` also drops Star Wars, the film with the most ratings (583): "
    "one item and 583 interactions fewer than the 5-core.",
    "lastfm": "945 users with the published 36.78 each have 34,757 interactions, not 246,368: that "
    "is Steam's count, since over Steam's 12,611 users it gives Steam's 19.54, and over all pairs "
    "Steam's 0.9686 %. The published density goes with the wrong count; it is 1.32 %.",
    "steam": "220,100 interactions fit neither the mean length nor the density beside them; the "
    "246,368 in the row of Lastfm fit both. The filters behind this row are not published.",
    "douban-movie": "The filters behind this row are not published; its figures agree with each "
    "other.",
    "steam-australia": "Another part of Steam's reviews than the paper's: Australian users only.",
    "steam-200k": "Purchases without times: another source than the paper's.",
}


class Row(NamedTuple):
    """One data set under one filter, or as published, or why it is not there."""

    dataset: str
    filter: str
    figures: dict[str, Any] | None
    missing: str = ""


def table2(data_dir: Path | None = None) -> list[Row]:
    """Published rows, each followed by ours under both filters; then sets without such a row."""
    rows = []
    for name in (*PUBLISHED, *OTHERS):
        if name in PUBLISHED:
            rows.append(Row(name, "published", PUBLISHED[name]._asdict()))
        rows += _ours(name, data_dir)
    return rows


def _ours(name: str, data_dir: Path | None) -> list[Row]:
    root = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    source = SOURCES[name]
    if not root:
        return [Row(name, "-", None, "no data folder: --data-dir ROOT")]
    missing = source.missing(Path(root) / (source.folder or name))
    if missing:
        return [Row(name, "-", None, f"not at hand: {', '.join(missing)}")]
    filters = FILTERS[:2] if name in PUBLISHED else FILTERS
    return [_counted(name, filter, data_dir) for filter in filters]


def _counted(name: str, filter: FilterName, data_dir: Path | None) -> Row:
    try:
        return Row(name, filter, describe(load_dataset(name, data_dir=data_dir, filter=filter)))
    except (DataError, InvalidInputError) as error:
        return Row(name, filter, None, str(error))
