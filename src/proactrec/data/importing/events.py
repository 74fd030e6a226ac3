"""Events of all files, checked row by row and kept as small numbers: 20 bytes an event."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from proactrec.data import ids
from proactrec.data.importing.kinds import weight_of
from proactrec.data.importing.options import EventColumns, ImportOptions
from proactrec.data.importing.problems import Problems, sift
from proactrec.data.importing.tables.base import (
    LINE,
    Table,
    TornTableError,
    check_columns,
    first_sample,
)
from proactrec.data.importing.tables.parquet import ParquetTable
from proactrec.data.importing.times import TimeReader
from proactrec.errors import DataError, InvalidInputError
from proactrec.progress import Progress, silent

SCHEMA: dict[str, type[pl.DataType]] = {
    "user": pl.UInt32,
    "item": pl.UInt32,
    "time": pl.Int64,
    "weight": pl.Float32,
}


class Ids:
    """Numbers for texts, from 0 in the order of their first occurrence.

    Every text is looked at once, when it is new, to see whether it can be an id.
    """

    def __init__(self) -> None:
        self._categories = pl.Categories.random()
        # The numbers live as long as a series of them: this one keeps them.
        self._kept = pl.Series([None], dtype=pl.Categorical(self._categories))
        self._n = 0
        self._missing, self._broken = set[int](), set[int]()
        self.n_padded = 0
        """Ids that begin or end with blanks."""

    def numbers(self, texts: pl.Series) -> pl.Series:
        """UInt32 number of every text; null stays null."""
        numbers = texts.cast(pl.Categorical(self._categories)).to_physical()
        highest = numbers.max()
        if isinstance(highest, int) and highest >= self._n:
            self._look(self._n, highest + 1)
            self._n = highest + 1
        return numbers

    def texts(self, numbers: pl.Expr) -> pl.Expr:
        """The texts of numbers."""
        return numbers.cat.to(pl.Categorical(self._categories)).cast(pl.String)

    def text(self, number: int) -> str:
        """The text of one number, "" where there is none."""
        return self.listed([number])[0] if number < self._n else ""

    def listed(self, numbers: Sequence[int]) -> list[str]:
        """The texts of some numbers."""
        table = pl.DataFrame({"number": pl.Series(numbers, dtype=pl.UInt32)})
        return table.select(self.texts(pl.col("number"))).to_series().to_list()

    def __len__(self) -> int:
        return self._n

    def is_missing(self, numbers: pl.Series) -> pl.Series:
        """Whether a number stands for a text that is no id, or for none."""
        return _is_among(numbers, self._missing) | numbers.is_null()

    def is_broken(self, numbers: pl.Series) -> pl.Series:
        """Whether a number stands for a text with a line end or NUL in it."""
        return _is_among(numbers, self._broken)

    def _look(self, start: int, end: int) -> None:
        numbers = pl.int_range(start, end, dtype=pl.UInt32)
        texts = pl.select(self.texts(numbers)).to_series()
        self._missing.update((start + ids.is_missing(texts).arg_true()).to_list())
        self._broken.update((start + ids.is_broken(texts).arg_true()).to_list())
        self.n_padded += int((~ids.is_missing(texts) & (texts != texts.str.strip_chars())).sum())


def _is_among(numbers: pl.Series, wanted: set[int]) -> pl.Series:
    if not wanted:
        return pl.repeat(False, numbers.len(), eager=True)
    return numbers.is_in(sorted(wanted)).fill_null(False)


class Gathered(NamedTuple):
    """All usable rows, in the order of the files."""

    events: pl.DataFrame  # user, item (UInt32), time (Int64), weight (Float32)
    users: Ids
    items: Ids
    n_rows: int  # rows read, blank ones not counted
    n_blank: int
    problems: Problems
    kinds: dict[str, int]  # rows by kind of event
    notes: list[str]
    time_unit: str


def gather(
    tables: Sequence[Table],
    columns: EventColumns,
    options: ImportOptions,
    progress: Progress = silent,
) -> Gathered:
    """Events of all tables.

    Raises
    ------
    DataError
        If a table lacks a column, a type cannot be used, or no row is left.
    """
    named = (name for name in columns.model_dump().values() if name)
    names = list(dict.fromkeys(named))  # one may be that of kinds, too
    for table in tables:
        check_columns(table, names)
    reader = None
    if columns.time:
        sample = first_sample(tables, [columns.time])[columns.time]
        reader = TimeReader(sample, options.time)
    cleaner = _Cleaner(columns, options, reader)
    frames, problems, notes, n_rows, n_blank = [], Problems(), list[str](), 0, 0
    for number, table in enumerate(tables):
        part = _part(table, names, cleaner)
        frames += part.frames
        problems.take(part.problems)
        cleaner.count(part)
        n_rows += part.n_rows
        n_blank += part.n_blank
        notes += table.notes
        progress("read", number + 1, len(tables), f"{n_rows:,} rows")
    events = pl.concat(frames) if frames else pl.DataFrame(schema=SCHEMA)
    return Gathered(
        events,
        cleaner.users,
        cleaner.items,
        n_rows,
        n_blank,
        problems,
        cleaner.kinds,
        notes,
        reader.unit if reader else "order",
    )


class _Part(NamedTuple):
    """What one file gave."""

    frames: list[pl.DataFrame]
    problems: Problems
    kinds: Counter[int]  # rows by number of their kind
    n_rows: int
    n_blank: int


def _part(table: Table, names: Sequence[str], cleaner: "_Cleaner") -> _Part:
    try:
        return _read(table, names, cleaner)
    except TornTableError:  # nothing of it counts; the table now reads line by line
        return _read(table, names, cleaner)


def _read(table: Table, names: Sequence[str], cleaner: "_Cleaner") -> _Part:
    problems, frames, kinds, n_blank = Problems(), [], Counter[int](), 0
    first = cleaner.n_ranked
    for batch in table.batches(names, problems):
        if not isinstance(table, ParquetTable):
            filled = batch.filter(~pl.all_horizontal(pl.col(names).is_null()))
            n_blank += batch.height - filled.height
            batch = filled
        frame, counts = cleaner.clean(batch, table, problems, first)
        first += batch.height
        frames.append(frame)
        kinds.update(counts)
    return _Part(frames, problems, kinds, kinds.total() + problems.n, n_blank)


class _Cleaner:
    """Turns batches of somebody's columns into numbers."""

    def __init__(
        self, columns: EventColumns, options: ImportOptions, reader: TimeReader | None
    ) -> None:
        self.columns, self._options, self._reader = columns, options, reader
        self.users, self.items = Ids(), Ids()
        if options.weights and not columns.event_type:
            raise InvalidInputError(
                "weights need a column of kinds of events: give --event-type COLUMN"
            )
        self._kinds, self._counts = Ids(), Counter[int]()
        self.n_ranked = 0

    def count(self, part: _Part) -> None:
        """Take over the counts of a file that was read to its end."""
        self.n_ranked += part.n_rows
        self._counts.update(part.kinds)

    @property
    def kinds(self) -> dict[str, int]:
        """Rows by kind of event, most first."""
        counts: Counter[str] = Counter()
        for number, n in self._counts.items():
            counts[self._kinds.text(number).strip()] += n
        return dict(sorted(counts.items(), key=lambda kind: (-kind[1], kind[0])))

    def clean(
        self, batch: pl.DataFrame, table: Table, problems: Problems, first: int
    ) -> tuple[pl.DataFrame, dict[int, int]]:
        """Good rows as numbers, and how many there are of each kind of event."""
        path, columns = table.path, self.columns
        user, item = (ids.texts(batch[str(x)], path) for x in (columns.user, columns.item))
        user_number, item_number = self.users.numbers(user), self.items.numbers(item)
        broken = "holds a line end or NUL (a quote not closed?)"
        reasons = [
            (f"{columns.user} holds no user", self.users.is_missing(user_number), user),
            (f"{columns.item} holds no item", self.items.is_missing(item_number), item),
            (f"{columns.user} {broken}", self.users.is_broken(user_number), user),
            (f"{columns.item} {broken}", self.items.is_broken(item_number), item),
        ]
        if self._reader is None:
            time = pl.int_range(first, first + batch.height, dtype=pl.Int64, eager=True)
        else:
            values = batch[str(columns.time)]
            time, is_implausible = self._reader.read(values)
            reasons += [
                (f"{columns.time} holds no time", values.is_null(), values),
                (f"{columns.time} cannot be read as a time", time.is_null(), values),
                (f"{columns.time} is outside the years 1980 to 2100", is_implausible, values),
            ]
            if self._reader.is_order:
                reasons.append((f"{columns.time} is negative", (time < 0).fill_null(True), values))
        is_good = sift(reasons, batch[LINE], f"{path}, {table.unit}", problems)
        kind = self._kind_numbers(batch, path)
        frame = pl.DataFrame(
            {
                "user": user_number,
                "item": item_number,
                "time": time,
                "weight": self._weights(kind),
                "kind": kind,
            }
        )
        frame = frame if is_good.all() else frame.filter(is_good)
        counts = dict(frame["kind"].value_counts().rows())
        if self.columns.event_type:
            frame = frame.filter(pl.col("weight") > 0)
        return frame.drop("kind"), counts

    def _kind_numbers(self, batch: pl.DataFrame, path: Path) -> pl.Series:
        if not self.columns.event_type:
            return pl.repeat(0, batch.height, dtype=pl.UInt32, eager=True)
        values = batch[self.columns.event_type]
        if values.dtype.is_nested():
            raise DataError(f"{values.name} must hold kinds in {path}, got the type {values.dtype}")
        return self._kinds.numbers(values.cast(pl.String).fill_null(""))

    def _weights(self, kind: pl.Series) -> pl.Series:
        if not self.columns.event_type:
            return pl.repeat(1.0, kind.len(), dtype=pl.Float32, eager=True)
        n_kinds = max(1, len(self._kinds))
        of_kind = [weight_of(self._kinds.text(n), self._options.weights) for n in range(n_kinds)]
        return pl.Series(of_kind, dtype=pl.Float32)[kind]
