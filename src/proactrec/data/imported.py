"""A folder that `proactrec data import` wrote, opened as a data set."""

from pathlib import Path

import polars as pl
import yaml

from proactrec.config import yaml_of
from proactrec.data.catalogue import Catalogue
from proactrec.data.interactions import Interactions
from proactrec.data.sources.files import check_columns_exist, read_parquet
from proactrec.errors import DataError

SETTINGS, EVENTS, ITEMS = "import.yaml", "events.parquet", "items.parquet"
FORMAT_VERSION = 1


def is_import(folder: Path | str) -> bool:
    """Whether a folder was written by an import."""
    return (Path(folder) / SETTINGS).is_file()


def load(folder: Path) -> tuple[Interactions, Catalogue]:
    """Events and items of an import.

    Raises
    ------
    DataError
        If a file is missing, damaged, of another version, or was changed so that it breaks a rule.
    """
    _check_version(folder / SETTINGS)
    events, items = read_parquet(folder / EVENTS), read_parquet(folder / ITEMS)
    check_columns_exist(events, ["user_id", "item_id", "timestamp"], folder / EVENTS)
    # Moments become microseconds; ranks are whole numbers already.
    timestamp = pl.col("timestamp").to_physical().cast(pl.Int64)
    return Interactions(events.select("user_id", "item_id", timestamp)), Catalogue(items)


def _check_version(path: Path) -> None:
    try:
        version = yaml_of(path.read_text(encoding="utf-8"))["format_version"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} can't be read as the settings of an import: {error}") from error
    if version != FORMAT_VERSION:
        raise DataError(f"{path} has the format {version}, this proactrec reads {FORMAT_VERSION}")
