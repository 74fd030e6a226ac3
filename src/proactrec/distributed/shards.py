"""A table of users in Parquet, cut by rows into shards that are worked on one by one."""

from pathlib import Path
from typing import Any, NamedTuple, Self

import polars as pl

from proactrec.data.sources.files import named
from proactrec.errors import DataError, InvalidInputError

COLUMNS = {"user_id": pl.String(), "item_ids": pl.List(pl.String())}
ROUNDS = "rounds"
"""A column that may be there: a list of what was shown to the user before, and the answers."""

SHARD_SIZE = 10_000
"""Journeys of a shard: seconds of work, and little memory beside what a guide takes."""


class Shard(NamedTuple):
    """Rows of a table that follow each other."""

    number: int  # from 0
    start: int
    n_rows: int

    @property
    def file_name(self) -> str:
        """Of what is made of it; in the order of names, files are in the order of shards."""
        return f"{self.number:06}.parquet"


def cut(n_rows: int, size: int) -> list[Shard]:
    """All rows of a table, `size` at a time."""
    return [
        Shard(number, start, min(size, n_rows - start))
        for number, start in enumerate(range(0, n_rows, size))
    ]


def rows_of(files: list[Path], shard: Shard, *columns: pl.Expr) -> pl.DataFrame:
    """These columns of a shard of a table."""
    of_shard = pl.scan_parquet(files, glob=False).slice(shard.start, shard.n_rows)
    with named(files[0] if len(files) == 1 else files[0].parent, "Parquet"):
        return of_shard.select(columns).collect()


class UserTable(NamedTuple):
    """Users, each once, in Parquet files of which a shard is read at a time."""

    files: list[Path]
    n_users: int
    has_rounds: bool

    @classmethod
    def opened(cls, path: Path) -> Self:
        """The users in a file, or in the files of a folder.

        Raises
        ------
        InvalidInputError
            If there is no such file.
        DataError
            If there is nobody in it, or a column is missing or of another kind.
        """
        files = parquet_files(path)
        scan = pl.scan_parquet(files, glob=False)
        schema = scan.collect_schema()
        if missing := [name for name in COLUMNS if name not in schema]:
            raise DataError(
                f"{path} must have the columns {', '.join(COLUMNS)}; {', '.join(missing)} is "
                "missing: see `proactrec data histories`"
            )
        _check_kinds(path, schema)
        n_users = scan.select(pl.len()).collect().item()
        if not n_users:
            raise DataError(f"{path} has no rows")
        return cls(files, n_users, ROUNDS in schema)

    def shards(self, size: int) -> list[Shard]:
        """All users, `size` at a time."""
        return cut(self.n_users, size)

    def rows(self, shard: Shard) -> pl.DataFrame:
        """`user_id`, `item_ids` and, if there, `rounds` of the users of a shard.

        Raises
        ------
        DataError
            If one has no id, or is there twice.
        """
        kept = [pl.col(name).cast(kind) for name, kind in COLUMNS.items()]
        rounds = [pl.col(ROUNDS)] if self.has_rounds else []
        found = rows_of(self.files, shard, *kept, *rounds)
        user_id = found["user_id"]
        is_bad = user_id.is_null() | user_id.is_duplicated()
        if is_bad.any():
            where = self.files[0] if len(self.files) == 1 else self.files[0].parent
            raise DataError(
                f"user_id must be there once in every row; {is_bad.sum()} rows of {where} break "
                f"this, first {user_id.filter(is_bad)[0]!r}"
            )
        return found


def check_ids(path: Path, name: str, kind: pl.DataType) -> None:
    """Refuse ids that others would be written otherwise than: 1.0 is no 1.

    Raises
    ------
    DataError
        If a column has neither texts nor whole numbers.
    """
    if kind.is_integer() or kind in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        return
    raise DataError(f"{name} in {path} must be texts or whole numbers, got {kind}")


def _check_kinds(path: Path, schema: pl.Schema) -> None:
    check_ids(path, "user_id", schema["user_id"])
    for name in ("item_ids", *([ROUNDS] if ROUNDS in schema else [])):
        kind = schema[name]
        if not isinstance(kind, pl.List):
            raise DataError(f"{name} in {path} must be lists, got {kind}")
        if name == "item_ids":
            inner: Any = kind.inner
            check_ids(path, "item_ids", inner)
        elif not isinstance(kind.inner, pl.Struct):
            raise DataError(f"{name} in {path} must be lists of rounds, got {kind}")


def parquet_files(path: Path) -> list[Path]:
    """The file, or all of a folder in the order of their names.

    Raises
    ------
    InvalidInputError
        If there is none.
    DataError
        If one is of another kind, or cut off.
    """
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise InvalidInputError(f"{path} must be a Parquet file, or a folder of .parquet files")
    for file in files:
        with named(file, "Parquet"):
            pl.read_parquet_schema(file)
    return files
